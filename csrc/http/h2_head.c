#include "http/h2_head.h"

#include <nghttp2/nghttp2.h>
#include <string.h>
#include <strings.h>

static bool is(const char *name, size_t len, const char *other)
{
    return strlen(other) == len && memcmp(name, other, len) == 0;
}

/* Fields that speak of one HTTP/1.1 connection (RFC 9113, 8.2.2), or stand elsewhere in HTTP/2. */
static bool is_left_out(const nghttp2_nv *field)
{
    static const char *const names[] = {
        "connection",        "host",          "keep-alive", "upgrade", "proxy-connection",
        "transfer-encoding", "http2-settings"};
    const char *name = (const char *)field->name;
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (is(name, field->namelen, names[i]))
            return true;
    return is(name, field->namelen, "te") &&
           !(field->valuelen == 8 && strncasecmp((const char *)field->value, "trailers", 8) == 0);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static void lower(char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (text[i] >= 'A' && text[i] <= 'Z')
            text[i] = (char)(text[i] | 0x20);
}

/* Splits a line "Name: value"; name: where its copy stands that may be changed. */
static nghttp2_nv split(const char *line, size_t len, char *name)
{
    const char *colon = memchr(line, ':', len), *end_of = line + len;
    const char *value = colon ? colon + 1 : end_of;
    size_t name_len = (size_t)((colon ? colon : end_of) - line);
    while (value < end_of && is_blank(*value))
        value++;
    while (value < end_of && is_blank(end_of[-1]))
        end_of--;
    lower(name, name_len);
    return (nghttp2_nv){.name = (uint8_t *)name,
                        .namelen = name_len,
                        .value = (uint8_t *)(uintptr_t)value,
                        .valuelen = (size_t)(end_of - value)};
}

static int add(opf_buf *fields, const nghttp2_nv *field)
{
    return opf_buf_append(fields, field, sizeof(*field));
}

static int add_pseudo(opf_buf *fields, const char *name, const char *value, size_t len)
{
    nghttp2_nv field = {.name = (uint8_t *)(uintptr_t)name,
                        .namelen = strlen(name),
                        .value = (uint8_t *)(uintptr_t)value,
                        .valuelen = len};
    return add(fields, &field);
}

/* The place of :authority among the fields. */
#define AUTHORITY 2

/* Turns the lines behind the first into fields; what a Host says is the authority. */
static int add_lines(opf_buf *fields, opf_buf *names, const opf_h2_request *request,
                     const char *line)
{
    const char *head_end = request->head + request->head_len;
    while (line < head_end) {
        const char *cr = memchr(line, '\r', (size_t)(head_end - line));
        size_t len = (size_t)((cr ? cr : head_end) - line);
        if (!len)
            break;
        nghttp2_nv field = split(line, len, (char *)names->data + (line - request->head));
        if (is((char *)field.name, field.namelen, "host")) {
            nghttp2_nv *authority = (nghttp2_nv *)(void *)fields->data + AUTHORITY;
            authority->value = field.value;
            authority->valuelen = field.valuelen;
        } else if (!is_left_out(&field) && add(fields, &field) != 0) {
            return OPF_ENOMEM;
        }
        line += len + 2;
    }
    return 0;
}

int opf_h2_write_fields(opf_buf *fields, opf_buf *names, const opf_h2_request *request)
{
    const char *head = request->head, *head_end = head + request->head_len;
    const char *cr = memchr(head, '\r', request->head_len);
    const char *line_end = cr ? cr : head_end;
    const char *space = memchr(head, ' ', (size_t)(line_end - head));
    const char *target = space ? space + 1 : line_end;
    const char *behind = memrchr(target, ' ', (size_t)(line_end - target));
    names->len = 0;
    fields->len = 0;
    if (opf_buf_append(names, head, request->head_len) != 0 ||
        add_pseudo(fields, ":method", head, (size_t)((space ? space : line_end) - head)) != 0 ||
        add_pseudo(fields, ":scheme", request->tls ? "https" : "http", request->tls ? 5 : 4) != 0 ||
        add_pseudo(fields, ":authority", request->authority, request->authority_len) != 0 ||
        add_pseudo(fields, ":path", target, (size_t)((behind ? behind : line_end) - target)) != 0)
        return OPF_ENOMEM;
    return add_lines(fields, names, request, line_end + 2);
}
