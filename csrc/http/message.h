/* A response while it comes in: status, fields and body.
 *
 * Storage of the caller; buffers are kept from one use to the next, so that a connection's steady
 * state allocates nothing but the body. One thread.
 */
#ifndef OPF_HTTP_MESSAGE_H
#define OPF_HTTP_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "opf.h"

/* No such field. */
#define OPF_NO_FIELD UINT32_MAX

typedef struct opf_message {
    int status;
    int minor;
    bool has_set_cookie;
    bool streamed;      /* the body is taken away while it comes: of no known length here, and not
                           limited */
    uint32_t coding;    /* index of the first Content-Encoding field, or OPF_NO_FIELD */
    uint32_t n_codings; /* such fields */
    uint32_t n_fields;
    uint32_t n_trailers;
    uint32_t reason_len; /* of the reason phrase, which is what head begins with */
    opf_buf head;        /* names and values, one behind the other */
    opf_buf fields;      /* of opf_field */
    /* the body: in an object of the sink's when its length was known at once, else in a buffer */
    const opf_sink *sink;
    void *object;
    uint8_t *object_data;
    size_t object_size;
    size_t object_len; /* bytes received into it */
    opf_buf body;
} opf_message;

/* Sets up an empty message; sink may be NULL and must outlive it. */
void opf_message_init(opf_message *message, const opf_sink *sink);

/* Empties it and keeps the buffers, but for those that grew large. */
void opf_message_reset(opf_message *message);

/* Gives everything back. */
void opf_message_fini(opf_message *message);

/* Forgets status and fields, as after an interim response. */
void opf_message_forget_head(opf_message *message);

static inline opf_field *opf_message_field(const opf_message *message, uint32_t i)
{
    return (opf_field *)(void *)message->fields.data + i;
}

/* Appends to the reason phrase. Returns 0 or OPF_ENOMEM. */
int opf_message_add_reason(opf_message *message, const char *data, size_t len);

/* Appends an empty field (a trailer once the headers are over). Returns 0 or OPF_ENOMEM. */
int opf_message_add_field(opf_message *message, bool trailer);

/* Appends a whole field. Returns 0 or OPF_ENOMEM. */
int opf_message_add(opf_message *message, bool trailer, const char *name, size_t name_len,
                    const char *value, size_t value_len);

/* Appends to the name, or to the value, of the last field. Returns 0 or OPF_ENOMEM. */
int opf_message_add_name(opf_message *message, const char *data, size_t len);
int opf_message_add_value(opf_message *message, const char *data, size_t len);

/* Drops the blanks behind the value of the last field, if there is one. */
void opf_message_trim_value(opf_message *message);

/* Looks through the fields, once they are there, for those that the engine itself needs. */
void opf_message_index(opf_message *message);

/* The Content-Encoding, of a message that has one: *value with *len bytes. Several fields are one
 * list (RFC 9110, 5.3), which is put together in room. Returns 0 or OPF_ENOMEM. */
int opf_message_coding(const opf_message *message, opf_buf *room, const char **value, size_t *len);

/* Makes room for a body of exactly size bytes. Returns 0 or OPF_ENOMEM. */
int opf_message_expect_body(opf_message *message, size_t size);

/* The body so far. */
const uint8_t *opf_message_body(const opf_message *message, size_t *len);

/* Puts the bytes of body, whose buffer is taken over, in the place of what there was. */
void opf_message_replace_body(opf_message *message, opf_buf *body);

#endif
