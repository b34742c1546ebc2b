/* A request's head, as HTTP/1.1 would send it, turned into HTTP/2's fields (RFC 9113, 8). */
#ifndef OPF_HTTP_H2_HEAD_H
#define OPF_HTTP_H2_HEAD_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

/* What a request says of itself, in the form in which HTTP/1.1 would send it. */
typedef struct opf_h2_request {
    const char *head; /* from the method to the empty line */
    size_t head_len;
    bool tls;
    const char *authority; /* if the head has no Host */
    size_t authority_len;
    bool has_body;
    bool head_request;
} opf_h2_request;

/* Writes the fields, an array of nghttp2_nv, which point into the head and into names. What HTTP/2
 * forbids (RFC 9113, 8.2.2) is left out. nghttp2 indexes those that repeat, and by itself keeps
 * Authorization and short cookies out of tables. Returns 0 or OPF_ENOMEM. */
int opf_h2_write_fields(opf_buf *fields, opf_buf *names, const opf_h2_request *request);

#endif
