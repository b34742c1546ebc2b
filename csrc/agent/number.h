/* Numbers as Python writes and reads them, whatever the locale is. Threads: any. */
#ifndef OPF_AGENT_NUMBER_H
#define OPF_AGENT_NUMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OPF_PRECISION_MAX 255
#define OPF_NUMBER_SIZE 640 /* of any number with that precision */

/* Write to out, which has OPF_NUMBER_SIZE bytes; not NUL-terminated. Return the number of bytes. */
size_t opf_number_write_int(char *out, int64_t i);
size_t opf_number_write_repr(char *out, double f); /* repr(f) */
/* type e, f or g, or 0: as format() without a type, which g is with a digit behind the point. */
size_t opf_number_write_format(char *out, double f, char type, int precision);

/* Read what int() and float() take, of ASCII. Return 0, or OPF_EINVAL with *why. */
int opf_number_read_int(const char *s, size_t len, int64_t *i, const char **why);
int opf_number_read_float(const char *s, size_t len, double *f, const char **why);

/* Python's white space among ASCII. */
static inline bool opf_is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r') || (c >= 0x1C && c <= 0x1F);
}

#endif
