/* HTTP/1.1 (RFC 9112): requests written, responses parsed (heads and trailers by llhttp, which only
 * h1.c knows).
 *
 * A parser is a member of its connection and fills in one message after the other. One thread.
 */
#ifndef OPF_HTTP_H1_H
#define OPF_HTTP_H1_H

#include <llhttp.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "http/chunks.h"
#include "http/lines.h"
#include "http/message.h"
#include "opf.h"

/* Writes the head of a request, up to and with the empty line. *close is set when it asks the
 * server to close, *chunked when its open body goes in chunks. Returns 0, OPF_ENOMEM, or OPF_EINVAL
 * with *error filled in; out is then in no useful state. */
int opf_h1_write_head(opf_buf *out, const opf_request *request, bool *close, bool *chunked,
                      opf_request_error *error);

/* What feeding a parser came to. */
typedef enum opf_h1_state {
    OPF_H1_MORE,  /* more bytes are needed */
    OPF_H1_DONE,  /* the message is whole */
    OPF_H1_FAILED /* failure and detail say why */
} opf_h1_state;

/* The part of a response that is due. */
typedef enum opf_h1_part {
    OPF_H1_HEAD,
    OPF_H1_LENGTH, /* a body of known length */
    OPF_H1_CHUNKS,
    OPF_H1_TRAILERS,
    OPF_H1_UNTIL_CLOSE, /* a body that the end of the connection ends */
    OPF_H1_WHOLE        /* nothing */
} opf_h1_part;

typedef struct opf_h1 {
    llhttp_t llhttp;
    opf_lines lines;
    opf_chunks chunks;
    opf_h1_part part;
    opf_message *message; /* NULL between messages */
    size_t max_headers;
    size_t max_body;
    size_t head_bytes; /* of status lines, headers and trailers so far, interim ones included */
    size_t body_bytes; /* of the body as sent, its framing included */
    uint64_t length;   /* the Content-Length, if there is one */
    size_t body_left;  /* of it */
    opf_failure failure;
    const char *detail; /* constant text */
    bool head_request;
    bool headers_done; /* those of the final response */
    bool in_value;     /* the last field has its value, or part of it */
    bool has_length;
    bool chunked; /* the body, by what the head says */
    bool closes;  /* an interim response has said so */
    bool keep_alive;
} opf_h1;

/* Sets up for the response to a request; head_request: it was a HEAD. The message must be empty. */
void opf_h1_begin(opf_h1 *h1, opf_message *message, bool head_request, size_t max_headers,
                  size_t max_body);

/* Takes in len bytes. *used is set to how many belonged to the message: after OPF_H1_DONE what is
 * left over is nothing that was asked for. */
opf_h1_state opf_h1_feed(opf_h1 *h1, const uint8_t *data, size_t len, size_t *used);

/* Takes in the end of the stream. */
opf_h1_state opf_h1_eof(opf_h1 *h1);

/* True while the rest of a body of known length is due: it may be received straight to *data, up to
 * *size bytes, and opf_h1_direct tells of it. */
bool opf_h1_wants(const opf_h1 *h1, uint8_t **data, size_t *size);
opf_h1_state opf_h1_direct(opf_h1 *h1, size_t received);

/* For messages whose framing somebody else undoes, after opf_h1_feed has had the head, line by line
 * or at once: takes in bytes of the body, and a line of the trailers, CRLF included; an empty one
 * ends them. */
opf_h1_state opf_h1_body(opf_h1 *h1, const uint8_t *data, size_t len);
opf_h1_state opf_h1_trailer(opf_h1 *h1, const char *line, size_t len);

/* True when any byte of the response has come. */
static inline bool opf_h1_began(const opf_h1 *h1)
{
    return h1->head_bytes > 0;
}

#endif
