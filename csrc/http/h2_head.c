#include "http/h2_head.h"

#include <nghttp2/nghttp2.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"

/* Of a field whose bytes nghttp2 need not copy. */
#define STAYS (NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE)

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

/* Splits a line "Name: value", whose name is brought into lower case. */
static nghttp2_nv split(char *line, size_t len)
{
    const char *colon = memchr(line, ':', len), *end_of = line + len;
    const char *value = colon ? colon + 1 : end_of;
    size_t name_len = (size_t)((colon ? colon : end_of) - line);
    while (value < end_of && is_blank(*value))
        value++;
    while (value < end_of && is_blank(end_of[-1]))
        end_of--;
    lower(line, name_len);
    return (nghttp2_nv){.name = (uint8_t *)line,
                        .namelen = name_len,
                        .value = (uint8_t *)(uintptr_t)value,
                        .valuelen = (size_t)(end_of - value),
                        .flags = STAYS};
}

/* The places of the pseudo-header fields, which come before all others (RFC 9113, 8.3). */
enum { METHOD, SCHEME, AUTHORITY, PATH, N_PSEUDO };

static nghttp2_nv *field_at(opf_h2_head *head, size_t i)
{
    return (nghttp2_nv *)(void *)head->fields.data + i;
}

static void set(opf_h2_head *head, size_t i, const char *value, size_t len, uint8_t flags)
{
    field_at(head, i)->value = (uint8_t *)(uintptr_t)value;
    field_at(head, i)->valuelen = len;
    field_at(head, i)->flags = flags;
}

static int add_pseudo(opf_h2_head *head)
{
    static const char *const names[N_PSEUDO] = {":method", ":scheme", ":authority", ":path"};
    for (size_t i = 0; i < N_PSEUDO; i++) {
        nghttp2_nv field = {.name = (uint8_t *)(uintptr_t)names[i], .namelen = strlen(names[i])};
        if (opf_buf_append(&head->fields, &field, sizeof(field)) != 0)
            return OPF_ENOMEM;
    }
    return 0;
}

/* Turns the lines behind the first, up to the empty one, into fields. */
static int add_lines(opf_h2_head *head, size_t text_len)
{
    char *line = head->text->bytes, *end = line + text_len;
    while (line < end) {
        const char *cr = memchr(line, '\r', (size_t)(end - line));
        size_t len = (size_t)((cr ? cr : end) - line);
        if (!len)
            break;
        nghttp2_nv field = split(line, len);
        if (is((char *)field.name, field.namelen, "host")) {
            head->has_host = true;
            set(head, AUTHORITY, (char *)field.value, field.valuelen, STAYS);
        } else if (!is_left_out(&field) &&
                   opf_buf_append(&head->fields, &field, sizeof(field)) != 0) {
            return OPF_ENOMEM;
        }
        line += len + 2;
    }
    return 0;
}

/* Copies the lines, into the room of those before if no field of another request points there. */
static int renew_text(opf_h2_head *head, const char *lines, size_t len)
{
    opf_h2_text *text = head->text;
    if (!text || text->holds > 1 || text->size < len) {
        opf_h2_text_release(text);
        head->text = text = opf_mem_alloc(sizeof(*text) + len);
        if (!text)
            return OPF_ENOMEM;
        text->holds = 1;
        text->size = len;
    }
    memcpy(text->bytes, lines, len);
    return 0;
}

/* Makes the fields of lines that are not those of the request before. */
static int take_lines(opf_h2_head *head, const char *lines, size_t len)
{
    head->has_host = false;
    head->fields.len = head->lines.len = 0;
    if (renew_text(head, lines, len) != 0 || add_pseudo(head) != 0 || add_lines(head, len) != 0)
        return OPF_ENOMEM;
    return opf_buf_append(&head->lines, lines, len); /* now they are known */
}

int opf_h2_head_write(opf_h2_head *head, const opf_h2_request *request)
{
    const char *text = request->head, *end = text + request->head_len;
    const char *cr = memchr(text, '\r', request->head_len);
    const char *line_end = cr ? cr : end;
    const char *lines = cr && end - cr > 2 ? cr + 2 : end;
    size_t len = (size_t)(end - lines);
    const char *space = memchr(text, ' ', (size_t)(line_end - text));
    const char *target = space ? space + 1 : line_end;
    const char *behind = memrchr(target, ' ', (size_t)(line_end - target));
    bool known = len && head->lines.len == len && memcmp(head->lines.data, lines, len) == 0;
    if (!known && take_lines(head, lines, len) != 0)
        return OPF_ENOMEM;
    const uint8_t copied = NGHTTP2_NV_FLAG_NO_COPY_NAME;
    set(head, METHOD, text, (size_t)((space ? space : line_end) - text), copied);
    set(head, SCHEME, request->tls ? "https" : "http", request->tls ? 5 : 4, STAYS);
    set(head, PATH, target, (size_t)((behind ? behind : line_end) - target), copied);
    if (!head->has_host)
        set(head, AUTHORITY, request->authority, request->authority_len, copied);
    return 0;
}

opf_h2_text *opf_h2_head_hold_text(opf_h2_head *head)
{
    head->text->holds++;
    return head->text;
}

void opf_h2_text_release(opf_h2_text *text)
{
    if (text && --text->holds == 0)
        opf_mem_free(text);
}

void opf_h2_head_fini(opf_h2_head *head)
{
    opf_h2_text_release(head->text);
    head->text = NULL;
    opf_buf_fini(&head->lines);
    opf_buf_fini(&head->fields);
}
