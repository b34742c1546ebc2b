/* A request's head, as HTTP/1.1 would send it, turned into HTTP/2's fields (RFC 9113, 8). */
#ifndef OPF_HTTP_H2_HEAD_H
#define OPF_HTTP_H2_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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

/* Bytes that fields point into for as long as nghttp2 has not written them: counted. */
typedef struct opf_h2_text {
    uint32_t holds;
    size_t size;
    char bytes[];
} opf_h2_text;

/* The fields of a connection's last request: one after the other has the same lines but for the
 * first, and then they stand as they are. A member of its owner's structure, all zero at first. */
typedef struct opf_h2_head {
    opf_buf lines;     /* behind the first, as they were given */
    opf_h2_text *text; /* the same with names in lower case, which the fields point into */
    opf_buf fields;    /* nghttp2_nv */
    bool has_host;     /* which is the authority */
} opf_h2_head;

/* Makes the fields of a request. Those that nghttp2 is not told to copy point into the text, which
 * is to be held until they are written; the others into the request. What HTTP/2 forbids (RFC
 * 9113, 8.2.2) is left out. nghttp2 indexes those that repeat, and by itself keeps Authorization
 * and short cookies out of tables. Returns 0 or OPF_ENOMEM. */
int opf_h2_head_write(opf_h2_head *head, const opf_h2_request *request);

/* Holds the text of the last request's fields once more. */
opf_h2_text *opf_h2_head_hold_text(opf_h2_head *head);

/* Lets go of a text; NULL does nothing. */
void opf_h2_text_release(opf_h2_text *text);

void opf_h2_head_fini(opf_h2_head *head);

#endif
