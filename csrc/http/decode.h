/* Content-Encoding: gzip, deflate, br. Whole bodies at once, in bounded memory. Threads: any. */
#ifndef OPF_HTTP_DECODE_H
#define OPF_HTTP_DECODE_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "opf.h"

enum {
    OPF_DECODE_UNKNOWN = 1, /* a coding that is not built in, or more of them than anybody uses */
    OPF_DECODE_BAD = -101,  /* malformed or cut off */
    OPF_DECODE_SIZE = -102  /* over max_out */
};

/* Undoes the codings of a Content-Encoding value, a list in the order in which they were applied
 * ("gzip, br"; x-gzip, deflate and identity are known, too, in any case), and appends what was
 * coded to out. deflate is taken with zlib's wrapping or without; gzip may have several members,
 * and bytes that follow the end are ignored. An empty body decodes to an empty one.
 *
 * Returns 0; OPF_DECODE_UNKNOWN: the body is to be taken as it is; OPF_DECODE_BAD or
 * OPF_DECODE_SIZE with *coding set to the constant name of the coding at fault (max_out holds for
 * each of a list); or OPF_ENOMEM. In all cases but 0 out holds what it held before.
 *
 * Memory, whatever the input claims: some 2 * max_out bytes, twice that for a list, and the
 * decoder's own, which with brotli is up to 16 MiB. */
int opf_decode(const char *content_encoding, size_t ce_len, const uint8_t *in, size_t in_len,
               size_t max_out, opf_buf *out, const char **coding);

#endif
