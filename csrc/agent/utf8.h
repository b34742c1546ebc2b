/* UTF-8, as Python holds texts: read with errors="replace", with lone surrogates let through, as
 * JSON may bring them. Threads: any.
 */
#ifndef OPF_AGENT_UTF8_H
#define OPF_AGENT_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OPF_UTF8_BAD 0xFFFDU /* what stands for bytes that are no UTF-8 */

/* Returns the character at *at, which is below len, and moves *at behind it. */
uint32_t opf_utf8_next(const char *s, size_t len, size_t *at);

/* Writes a character below 0x110000 to out, which has room for 4 bytes. Returns their number. */
size_t opf_utf8_put(char *out, uint32_t c);

/* Characters of a text. */
size_t opf_utf8_count(const char *s, size_t len);

/* Makes a text the one character at an index, which is from the end if it is negative. Returns
 * false with nothing changed if there is none. */
bool opf_utf8_character(const char **s, uint32_t *len, int32_t index);

#endif
