#include "http/message.h"

#include <strings.h>

#include "base/mem.h"

/* What is kept of a buffer between two uses. */
#define KEEP 8192

/* Bodies longer than this are received into a buffer that grows, so that a Content-Length alone
 * takes no memory. */
#define EXACT_MAX (16U << 20)

void opf_message_init(opf_message *message, const opf_sink *sink)
{
    *message = (opf_message){.sink = sink, .coding = OPF_NO_FIELD};
}

static void drop_object(opf_message *message)
{
    if (message->object)
        message->sink->free(message->object);
    message->object = NULL;
    message->object_data = NULL;
    message->object_size = 0;
    message->object_len = 0;
}

static void empty(opf_buf *buf)
{
    if (buf->cap > KEEP)
        opf_buf_fini(buf);
    buf->len = 0;
}

void opf_message_reset(opf_message *message)
{
    opf_message_forget_head(message);
    drop_object(message);
    empty(&message->head);
    empty(&message->fields);
    empty(&message->body);
}

void opf_message_fini(opf_message *message)
{
    drop_object(message);
    opf_buf_fini(&message->head);
    opf_buf_fini(&message->fields);
    opf_buf_fini(&message->body);
}

void opf_message_forget_head(opf_message *message)
{
    message->status = 0;
    message->minor = 0;
    message->has_set_cookie = false;
    message->coding = OPF_NO_FIELD;
    message->n_codings = 0;
    message->n_fields = 0;
    message->n_trailers = 0;
    message->reason_len = 0;
    message->head.len = 0;
    message->fields.len = 0;
}

int opf_message_add_reason(opf_message *message, const char *data, size_t len)
{
    if (opf_buf_append(&message->head, data, len) != 0)
        return OPF_ENOMEM;
    message->reason_len += (uint32_t)len; /* bounded by the limit on headers */
    return 0;
}

static opf_field *last_field(opf_message *message)
{
    return opf_message_field(message, message->n_fields + message->n_trailers - 1);
}

int opf_message_add_field(opf_message *message, bool trailer)
{
    uint32_t at = (uint32_t)message->head.len; /* far below 4 GiB by the limit on headers */
    opf_field field = {.name_at = at, .value_at = at};
    if (opf_buf_append(&message->fields, &field, sizeof(field)) != 0)
        return OPF_ENOMEM;
    if (trailer)
        message->n_trailers++;
    else
        message->n_fields++;
    return 0;
}

int opf_message_add(opf_message *message, bool trailer, const char *name, size_t name_len,
                    const char *value, size_t value_len)
{
    opf_buf *head = &message->head;
    if (opf_buf_reserve(head, name_len + value_len) != 0)
        return OPF_ENOMEM;
    opf_field field = {.name_at = (uint32_t)head->len,
                       .name_len = (uint32_t)name_len,
                       .value_at = (uint32_t)(head->len + name_len),
                       .value_len = (uint32_t)value_len};
    if (opf_buf_append(&message->fields, &field, sizeof(field)) != 0)
        return OPF_ENOMEM;
    *(trailer ? &message->n_trailers : &message->n_fields) += 1;
    if (name_len)
        memcpy(head->data + head->len, name, name_len);
    if (value_len)
        memcpy(head->data + head->len + name_len, value, value_len);
    head->len += name_len + value_len;
    return 0;
}

int opf_message_add_name(opf_message *message, const char *data, size_t len)
{
    if (opf_buf_append(&message->head, data, len) != 0)
        return OPF_ENOMEM;
    opf_field *field = last_field(message);
    field->name_len += (uint32_t)len;
    field->value_at = field->name_at + field->name_len;
    return 0;
}

int opf_message_add_value(opf_message *message, const char *data, size_t len)
{
    if (opf_buf_append(&message->head, data, len) != 0)
        return OPF_ENOMEM;
    last_field(message)->value_len += (uint32_t)len;
    return 0;
}

void opf_message_trim_value(opf_message *message)
{
    if (!(message->n_fields + message->n_trailers))
        return;
    opf_field *field = last_field(message);
    while (field->value_len) {
        uint8_t last = message->head.data[field->value_at + field->value_len - 1];
        if (last != ' ' && last != '\t')
            break;
        field->value_len--;
        message->head.len--; /* more of the value may come */
    }
}

static bool is_coding(const opf_message *message, const opf_field *field)
{
    const char *name = (const char *)message->head.data + field->name_at;
    return field->name_len == 16 && strncasecmp(name, "content-encoding", 16) == 0;
}

void opf_message_index(opf_message *message)
{
    const char *head = (const char *)message->head.data;
    for (uint32_t i = 0; i < message->n_fields; i++) {
        const opf_field *field = opf_message_field(message, i);
        if (field->name_len == 10 && strncasecmp(head + field->name_at, "set-cookie", 10) == 0)
            message->has_set_cookie = true;
        else if (is_coding(message, field) && !message->n_codings++)
            message->coding = i;
    }
}

int opf_message_coding(const opf_message *message, opf_buf *room, const char **value, size_t *len)
{
    const char *head = (const char *)message->head.data;
    const opf_field *field = opf_message_field(message, message->coding);
    *value = head + field->value_at;
    *len = field->value_len;
    if (message->n_codings == 1)
        return 0;
    for (uint32_t i = message->coding; i < message->n_fields; i++) {
        field = opf_message_field(message, i);
        if (is_coding(message, field) &&
            (opf_buf_append(room, head + field->value_at, field->value_len) != 0 ||
             opf_buf_append(room, ",", 1) != 0))
            return OPF_ENOMEM;
    }
    *value = (const char *)room->data;
    *len = room->len;
    return 0;
}

int opf_message_expect_body(opf_message *message, size_t size)
{
    if (size > EXACT_MAX || message->streamed)
        return 0;
    if (!message->sink)
        return opf_buf_reserve(&message->body, size);
    message->object = message->sink->alloc(size, &message->object_data);
    if (!message->object)
        return OPF_ENOMEM;
    message->object_size = size;
    return 0;
}

const uint8_t *opf_message_body(const opf_message *message, size_t *len)
{
    *len = message->object ? message->object_len : message->body.len;
    return message->object ? message->object_data : message->body.data;
}

void opf_message_replace_body(opf_message *message, opf_buf *body)
{
    drop_object(message);
    opf_buf_fini(&message->body);
    message->body = *body;
    opf_buf_init(body);
}
