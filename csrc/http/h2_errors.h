/* What goes wrong on a connection that speaks HTTP/2, in words: constant texts. */
#ifndef OPF_HTTP_H2_ERRORS_H
#define OPF_HTTP_H2_ERRORS_H

#include <stdbool.h>
#include <stdint.h>

/* Returns the name of an error code (RFC 9113, 7). */
const char *opf_h2_code_name(uint32_t code);

/* Returns what the server has done, by the code with which we end a stream or the connection for
 * it. */
const char *opf_h2_violation(uint32_t code);

/* The same by what nghttp2 calls it; NULL: there is no better word than the code's. */
const char *opf_h2_objection(int error);

/* True when nghttp2 means by its error that the server has sent too much of something. */
bool opf_h2_is_flood(int error);

/* Returns what too many frames of a type are. */
const char *opf_h2_flood(uint8_t type);

#endif
