#include "http/h1.h"

#include <strings.h>

/* Request heads */

#define TOKEN 1  /* RFC 9110, 5.6.2 */
#define VALUE 2  /* of a field: anything but control characters; tab is allowed (RFC 9110, 5.5) */
#define TARGET 4 /* no control characters and no space */

static const uint8_t char_class[256] = {
    ['\t'] = VALUE,
    [' '] = VALUE,
    ['!'] = TOKEN | VALUE | TARGET,
    ['"'] = VALUE | TARGET,
    ['#' ... '\''] = TOKEN | VALUE | TARGET,
    ['(' ... ')'] = VALUE | TARGET,
    ['*' ... '+'] = TOKEN | VALUE | TARGET,
    [','] = VALUE | TARGET,
    ['-' ... '.'] = TOKEN | VALUE | TARGET,
    ['/'] = VALUE | TARGET,
    ['0' ... '9'] = TOKEN | VALUE | TARGET,
    [':' ... '@'] = VALUE | TARGET,
    ['A' ... 'Z'] = TOKEN | VALUE | TARGET,
    ['[' ... ']'] = VALUE | TARGET,
    ['^' ... 'z'] = TOKEN | VALUE | TARGET,
    ['{'] = VALUE | TARGET,
    ['|'] = TOKEN | VALUE | TARGET,
    ['}'] = VALUE | TARGET,
    ['~'] = TOKEN | VALUE | TARGET,
    [0x80 ... 0xff] = VALUE | TARGET,
};

static bool all_of(const char *data, size_t len, uint8_t class)
{
    uint8_t all = class;
    for (size_t i = 0; i < len; i++)
        all &= char_class[(uint8_t)data[i]];
    return all != 0;
}

static bool is(const opf_header *header, const char *name, size_t len)
{
    return header->name_len == len && strncasecmp(header->name, name, len) == 0;
}

static bool has_token(const opf_header *header, const char *token, size_t len)
{
    for (size_t i = 0; i + len <= header->value_len; i++)
        if (strncasecmp(header->value + i, token, len) == 0)
            return true;
    return false;
}

/* What a request's own headers have settled already. */
typedef struct settled {
    bool host;
    bool length;
} settled;

static const char *check_header(const opf_header *header, settled *given, bool *close)
{
    if (!header->name_len || !all_of(header->name, header->name_len, TOKEN))
        return "header name is not a token (RFC 9110, 5.6.2)";
    if (!all_of(header->value, header->value_len, VALUE))
        return "header value has a control character";
    if (is(header, "host", 4))
        given->host = true;
    else if (is(header, "content-length", 14))
        given->length = true;
    else if (is(header, "transfer-encoding", 17))
        return "Transfer-Encoding is not supported: bodies are sent with their Content-Length";
    else if (is(header, "connection", 10) && has_token(header, "close", 5))
        *close = true;
    return NULL;
}

static void put(opf_buf *out, const void *data, size_t len)
{
    memcpy(out->data + out->len, data, len);
    out->len += len;
}

#define PUT(out, literal) put(out, literal, sizeof(literal) - 1)

static void put_host(opf_buf *out, const opf_url *url)
{
    PUT(out, "Host: ");
    if (url->ip6)
        PUT(out, "[");
    /* a scope means nothing to the server (RFC 6874, 4) */
    const char *scope = url->ip6 ? memchr(url->host, '%', url->host_len) : NULL;
    put(out, url->host, scope ? (size_t)(scope - url->host) : url->host_len);
    if (url->ip6)
        PUT(out, "]");
    if (url->port_given) {
        PUT(out, ":");
        opf_buf_append_uint(out, url->port); /* fits: room was made */
    }
    PUT(out, "\r\n");
}

static bool body_is_usual(const opf_request *request)
{
    static const char *const methods[] = {"POST", "PUT", "PATCH"};
    for (size_t i = 0; i < 3; i++)
        if (strlen(methods[i]) == request->method_len &&
            memcmp(methods[i], request->method, request->method_len) == 0)
            return true;
    return false;
}

static int refuse(opf_request_error *error, const char *why, size_t header)
{
    error->why = why;
    error->header = header;
    return OPF_EINVAL;
}

/* More than all the fixed parts of a head take together. */
#define FIXED_PARTS 128

static int make_room(opf_buf *out, const opf_request *request)
{
    size_t need =
        FIXED_PARTS + request->method_len + request->url->target_len + request->url->host_len;
    for (size_t i = 0; i < request->n_headers; i++)
        need += (size_t)request->headers[i].name_len + request->headers[i].value_len + 4;
    return opf_buf_reserve(out, need);
}

int opf_h1_write_head(opf_buf *out, const opf_request *request, bool *close, bool *chunked,
                      opf_request_error *error)
{
    const opf_url *url = request->url;
    settled given = {0};
    *close = false;
    *chunked = false;
    if (!request->method_len || !all_of(request->method, request->method_len, TOKEN))
        return refuse(error, "method is not a token (RFC 9110, 5.6.2)", SIZE_MAX);
    if (url->target_len && !all_of(url->target, url->target_len, TARGET))
        return refuse(error, "URL has a control character or a space", SIZE_MAX);
    if (make_room(out, request) != 0)
        return OPF_ENOMEM;
    put(out, request->method, request->method_len);
    PUT(out, " ");
    if (!url->target_len || url->target[0] == '?')
        PUT(out, "/");
    put(out, url->target, url->target_len);
    PUT(out, " HTTP/1.1\r\n");
    for (size_t i = 0; i < request->n_headers; i++) {
        const opf_header *header = &request->headers[i];
        const char *why = check_header(header, &given, close);
        if (why)
            return refuse(error, why, i);
        put(out, header->name, header->name_len);
        PUT(out, ": ");
        put(out, header->value, header->value_len);
        PUT(out, "\r\n");
    }
    if (!given.host)
        put_host(out, url);
    if (!given.length && request->open_body) {
        *chunked = true;
        PUT(out, "Transfer-Encoding: chunked\r\n");
    } else if (!given.length && (request->body_len || body_is_usual(request))) {
        PUT(out, "Content-Length: ");
        opf_buf_append_uint(out, request->body_len);
        PUT(out, "\r\n");
    }
    PUT(out, "\r\n");
    return 0;
}

/* Responses */

static int fail(opf_h1 *h1, opf_failure failure, const char *detail)
{
    if (h1->failure == OPF_FAIL_NONE) {
        h1->failure = failure;
        h1->detail = detail;
    }
    return HPE_USER;
}

static int no_memory(opf_h1 *h1)
{
    return fail(h1, OPF_FAIL_NOMEM, NULL);
}

/* Whether len more bytes of names and values are over the limit. */
static bool is_over(opf_h1 *h1, size_t len)
{
    if (len <= h1->max_headers && h1->message->head.len <= h1->max_headers - len)
        return false;
    fail(h1, OPF_FAIL_HEADERS_SIZE, NULL);
    return true;
}

static int on_status(llhttp_t *llhttp, const char *at, size_t len)
{
    opf_h1 *h1 = llhttp->data;
    if (is_over(h1, len))
        return HPE_USER;
    return opf_message_add_reason(h1->message, at, len) == 0 ? 0 : no_memory(h1);
}

static int on_header_field(llhttp_t *llhttp, const char *at, size_t len)
{
    opf_h1 *h1 = llhttp->data;
    opf_message *message = h1->message;
    if (is_over(h1, len))
        return HPE_USER;
    if (memchr(at, ' ', len)) /* some versions of llhttp take it for part of a name */
        return fail(h1, OPF_FAIL_PROTOCOL, "space in a header name");
    if (h1->in_value || !(message->n_fields + message->n_trailers)) {
        if (opf_message_add_field(message, h1->headers_done) != 0)
            return no_memory(h1);
        h1->in_value = false;
    }
    return opf_message_add_name(message, at, len) == 0 ? 0 : no_memory(h1);
}

static int on_header_value(llhttp_t *llhttp, const char *at, size_t len)
{
    opf_h1 *h1 = llhttp->data;
    h1->in_value = true;
    if (is_over(h1, len))
        return HPE_USER;
    return opf_message_add_value(h1->message, at, len) == 0 ? 0 : no_memory(h1);
}

/* Takes a Content-Length out of llhttp, which would refuse the same one twice (RFC 9110, 8.6). */
static int note_length(opf_h1 *h1, llhttp_t *llhttp)
{
    uint64_t length = llhttp->content_length;
    llhttp->flags &= (uint16_t)~F_CONTENT_LENGTH;
    llhttp->content_length = 0;
    if (h1->headers_done) /* a trailer says nothing of the framing (RFC 9112, 6.5.1) */
        return 0;
    if (h1->has_length && h1->length != length)
        return fail(h1, OPF_FAIL_PROTOCOL, "Content-Length fields that differ");
    h1->has_length = true;
    h1->length = length;
    return 0;
}

/* A field without a value makes no span of it, and blanks behind a value belong to none (RFC
 * 9112, 5.1). */
static int on_header_value_complete(llhttp_t *llhttp)
{
    opf_h1 *h1 = llhttp->data;
    opf_message *message = h1->message;
    h1->in_value = true;
    if (!opf_message_field(message, message->n_fields + message->n_trailers - 1)->name_len)
        return fail(h1, OPF_FAIL_PROTOCOL, "header without a name");
    opf_message_trim_value(message);
    return llhttp->flags & F_CONTENT_LENGTH ? note_length(h1, llhttp) : 0;
}

static bool is_interim(int status)
{
    return status >= 100 && status < 200;
}

/* Whether the status line begins as it must: llhttp knows HTTP/0.9 too, some versions other
 * protocols, and any number of digits. */
static bool begins_right(const opf_lines *lines)
{
    if (lines->n_start < 12 || memcmp(lines->start, "HTTP/", 5) != 0 || lines->start[5] == '0' ||
        lines->start[8] != ' ' || lines->start[9] == '0')
        return false;
    for (int i = 9; i < 12; i++)
        if (lines->start[i] < '0' || lines->start[i] > '9')
            return false;
    return lines->n_start == 12 || lines->start[12] == ' ';
}

/* Framing (RFC 9112, 6.3) */

/* Takes in one coding of a Transfer-Encoding. Returns false for one that isn't known or stands in
 * the wrong place. */
static bool add_coding(const char *coding, size_t len, bool *chunked)
{
    if (!len)
        return true;
    if (len == 8 && strncasecmp(coding, "identity", 8) == 0) /* of RFC 2616: none at all */
        return !*chunked;
    *chunked = len == 7 && strncasecmp(coding, "chunked", 7) == 0;
    return *chunked;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool add_codings(const char *list, size_t len, bool *chunked)
{
    const char *end = list + len;
    while (list < end) {
        const char *comma = memchr(list, ',', (size_t)(end - list)), *stop = comma ? comma : end;
        const char *next = comma ? comma + 1 : end;
        while (list < stop && is_blank(*list))
            list++;
        while (list < stop && is_blank(stop[-1]))
            stop--;
        if (!add_coding(list, (size_t)(stop - list), chunked))
            return false;
        list = next;
    }
    return true;
}

/* Reads the Transfer-Encoding fields. Nothing but chunked was offered, so that anything else is a
 * body that nobody can read. */
static bool read_codings(const opf_message *message, bool *chunked)
{
    for (uint32_t i = 0; i < message->n_fields; i++) {
        const opf_field *field = opf_message_field(message, i);
        const char *head = (const char *)message->head.data;
        if (field->name_len == 17 &&
            strncasecmp(head + field->name_at, "transfer-encoding", 17) == 0 &&
            (!field->value_len || !add_codings(head + field->value_at, field->value_len, chunked)))
            return false;
    }
    return true;
}

static int expect_body(opf_h1 *h1)
{
    opf_message *message = h1->message;
    if (h1->part != OPF_H1_LENGTH)
        return 0;
    if (!h1->length) {
        h1->part = OPF_H1_WHOLE;
        return 0;
    }
    if (h1->length > h1->max_body && !message->streamed)
        return fail(h1, OPF_FAIL_BODY_SIZE, NULL);
    h1->body_left = (size_t)h1->length;
    return opf_message_expect_body(message, h1->body_left) == 0 ? 0 : no_memory(h1);
}

/* Finds out what follows the headers. */
static int find_framing(opf_h1 *h1)
{
    const opf_message *message = h1->message;
    bool chunked = false;
    if (h1->head_request || message->status == 204 || message->status == 304) {
        h1->part = OPF_H1_WHOLE;
        return 0;
    }
    if (!read_codings(message, &chunked))
        return fail(h1, OPF_FAIL_PROTOCOL, "Transfer-Encoding that was not offered");
    if (chunked && h1->has_length)
        return fail(h1, OPF_FAIL_PROTOCOL, "Content-Length beside Transfer-Encoding: chunked");
    h1->chunked = chunked;
    h1->part = h1->has_length ? OPF_H1_LENGTH : chunked ? OPF_H1_CHUNKS : OPF_H1_UNTIL_CLOSE;
    return 0;
}

/* RFC 9112, 9.3; with a Transfer-Encoding in HTTP/1.0 the framing is not to be trusted (6.1). */
static bool can_keep_alive(const opf_h1 *h1, const llhttp_t *llhttp)
{
    if (h1->part == OPF_H1_UNTIL_CLOSE || h1->closes || (llhttp->flags & F_CONNECTION_CLOSE))
        return false;
    if (llhttp->http_minor)
        return true;
    return (llhttp->flags & (F_CONNECTION_KEEP_ALIVE | F_TRANSFER_ENCODING)) ==
           F_CONNECTION_KEEP_ALIVE;
}

/* Returns what llhttp wants: -1 failed, 1 there is no body for it to parse, or a pause: trailers
 * may follow. */
static int on_headers_complete(llhttp_t *llhttp)
{
    opf_h1 *h1 = llhttp->data;
    opf_message *message = h1->message;
    h1->in_value = true; /* whatever comes next begins a field */
    if (!begins_right(&h1->lines))
        return fail(h1, OPF_FAIL_PROTOCOL, "malformed status line"), -1;
    message->status = llhttp->status_code;
    message->minor = llhttp->http_minor;
    if (message->status == 101)
        return fail(h1, OPF_FAIL_PROTOCOL, "101 Switching Protocols was not asked for"), -1;
    if (is_interim(message->status)) {
        h1->closes |= (llhttp->flags & F_CONNECTION_CLOSE) != 0;
        return 1;
    }
    if (find_framing(h1) != 0) {
        message->status = 0; /* nothing of it is to be believed */
        return -1;
    }
    h1->headers_done = true;
    h1->keep_alive = can_keep_alive(h1, llhttp);
    opf_message_index(message);
    if (expect_body(h1) != 0)
        return -1;
    if (h1->part != OPF_H1_CHUNKS)
        return 1;
    llhttp->flags |= F_CHUNKED; /* it sees fewer forms of it than there are */
    return HPE_PAUSED;
}

static int on_message_complete(llhttp_t *llhttp)
{
    opf_h1 *h1 = llhttp->data;
    if (is_interim(h1->message->status)) {
        opf_message_forget_head(h1->message);
        h1->has_length = false;
    }
    return 0;
}

static const llhttp_settings_t settings = {
    .on_status = on_status,
    .on_header_field = on_header_field,
    .on_header_value = on_header_value,
    .on_header_value_complete = on_header_value_complete,
    .on_headers_complete = on_headers_complete,
    .on_message_complete = on_message_complete,
};

void opf_h1_begin(opf_h1 *h1, opf_message *message, bool head_request, size_t max_headers,
                  size_t max_body)
{
    *h1 = (opf_h1){.message = message,
                   .head_request = head_request,
                   .max_headers = max_headers,
                   .max_body = max_body,
                   .in_value = true};
    opf_lines_init(&h1->lines, false);
    /* llhttp asks for settings that may be written, and never writes them */
    llhttp_init(&h1->llhttp, HTTP_RESPONSE, (llhttp_settings_t *)(uintptr_t)&settings);
    /* an interim response that says "close" does not end the connection before the final one */
    llhttp_set_lenient_keep_alive(&h1->llhttp, 1);
    /* find_framing judges these */
    llhttp_set_lenient_chunked_length(&h1->llhttp, 1);
    llhttp_set_lenient_transfer_encoding(&h1->llhttp, 1);
    h1->llhttp.data = h1;
}

static opf_h1_state state_of(const opf_h1 *h1)
{
    if (h1->failure != OPF_FAIL_NONE)
        return OPF_H1_FAILED;
    return h1->part == OPF_H1_WHOLE ? OPF_H1_DONE : OPF_H1_MORE;
}

/* Small chunks and endless trailers are bounded by what the limits allow. */
static void check_framing(opf_h1 *h1)
{
    if (!h1->message->streamed && h1->body_bytes / 8 > h1->max_body + h1->max_headers)
        fail(h1, OPF_FAIL_BODY_SIZE, NULL);
}

/* Has llhttp parse what lines gives. */
static int give(void *arg, const char *data, size_t len)
{
    opf_h1 *h1 = arg;
    if (h1->lines.folding) /* blanks before a continuation belong to the fold */
        opf_message_trim_value(h1->message);
    llhttp_errno_t code = llhttp_execute(&h1->llhttp, data, len);
    if (code == HPE_PAUSED)
        llhttp_resume(&h1->llhttp);
    else if (code != HPE_OK)
        fail(h1, OPF_FAIL_PROTOCOL, llhttp_get_error_reason(&h1->llhttp));
    return h1->failure == OPF_FAIL_NONE ? 0 : -1;
}

/* Takes a head or trailers. Each of these returns how many bytes it took. */
static size_t take_lines(opf_h1 *h1, const uint8_t *data, size_t len)
{
    bool trailers = h1->part == OPF_H1_TRAILERS;
    size_t used, room = trailers ? len : h1->max_headers - h1->head_bytes;
    if (!room)
        return fail(h1, OPF_FAIL_HEADERS_SIZE, NULL), 0;
    if (len > room) /* whether a head is too long is not a matter of how it comes */
        len = room;
    opf_lines_state state = opf_lines_feed(&h1->lines, (const char *)data, len, &used, give, h1);
    *(trailers ? &h1->body_bytes : &h1->head_bytes) += used;
    if (state == OPF_LINES_BARE_CR)
        fail(h1, OPF_FAIL_PROTOCOL, "CR without LF");
    else if (state == OPF_LINES_END && trailers)
        h1->part = OPF_H1_WHOLE;
    else if (state == OPF_LINES_END)
        opf_lines_init(&h1->lines, h1->headers_done);
    check_framing(h1);
    return used;
}

/* So many bytes of a Content-Length have come. */
static void count_length(opf_h1 *h1, size_t len)
{
    h1->body_left -= len;
    h1->body_bytes += len;
    if (!h1->body_left)
        h1->part = OPF_H1_WHOLE;
}

static size_t take_length(opf_h1 *h1, const uint8_t *data, size_t len)
{
    opf_message *message = h1->message;
    if (len > h1->body_left)
        len = h1->body_left;
    if (message->object) {
        memcpy(message->object_data + message->object_len, data, len);
        message->object_len += len;
    } else if (opf_buf_append(&message->body, data, len) != 0) {
        no_memory(h1);
    }
    count_length(h1, len);
    return len;
}

static void add_body(opf_h1 *h1, const uint8_t *data, size_t len)
{
    opf_message *message = h1->message;
    if (!message->streamed && len > h1->max_body - message->body.len)
        fail(h1, OPF_FAIL_BODY_SIZE, NULL);
    else if (opf_buf_append(&message->body, data, len) != 0)
        no_memory(h1);
}

static size_t take_chunks(opf_h1 *h1, const uint8_t *data, size_t len)
{
    const uint8_t *piece;
    size_t piece_len, used;
    opf_chunks_state state = opf_chunks_feed(&h1->chunks, data, len, &used, &piece, &piece_len);
    h1->body_bytes += used;
    if (piece_len)
        add_body(h1, piece, piece_len);
    if (state == OPF_CHUNKS_BAD) {
        fail(h1, OPF_FAIL_PROTOCOL, h1->chunks.why);
    } else if (state == OPF_CHUNKS_LAST) {
        h1->part = OPF_H1_TRAILERS;
        give(h1, "0\r\n", 3); /* all that llhttp sees of the chunks */
    }
    check_framing(h1);
    return used;
}

static size_t take_until_close(opf_h1 *h1, const uint8_t *data, size_t len)
{
    h1->body_bytes += len;
    add_body(h1, data, len);
    return len;
}

static size_t take(opf_h1 *h1, const uint8_t *data, size_t len)
{
    switch (h1->part) {
    case OPF_H1_LENGTH:
        return take_length(h1, data, len);
    case OPF_H1_CHUNKS:
        return take_chunks(h1, data, len);
    case OPF_H1_UNTIL_CLOSE:
        return take_until_close(h1, data, len);
    default:
        return take_lines(h1, data, len);
    }
}

opf_h1_state opf_h1_feed(opf_h1 *h1, const uint8_t *data, size_t len, size_t *used)
{
    size_t at = 0;
    while (at < len && state_of(h1) == OPF_H1_MORE)
        at += take(h1, data + at, len - at);
    *used = at;
    return state_of(h1);
}

opf_h1_state opf_h1_eof(opf_h1 *h1)
{
    if (h1->part == OPF_H1_UNTIL_CLOSE)
        h1->part = OPF_H1_WHOLE;
    if (h1->part == OPF_H1_WHOLE)
        return state_of(h1);
    if (!h1->head_bytes)
        fail(h1, OPF_FAIL_CLOSED, NULL);
    else
        fail(h1, h1->headers_done ? OPF_FAIL_CLOSED_BODY : OPF_FAIL_CLOSED_HEADERS, NULL);
    return OPF_H1_FAILED;
}

bool opf_h1_wants(const opf_h1 *h1, uint8_t **data, size_t *size)
{
    const opf_message *message = h1->message;
    if (!h1->body_left || !message->object)
        return false;
    *data = message->object_data + message->object_len;
    *size = h1->body_left;
    return true;
}

opf_h1_state opf_h1_direct(opf_h1 *h1, size_t received)
{
    h1->message->object_len += received;
    count_length(h1, received);
    return state_of(h1);
}

opf_h1_state opf_h1_body(opf_h1 *h1, const uint8_t *data, size_t len)
{
    if (h1->part == OPF_H1_LENGTH) {
        if (take_length(h1, data, len) < len)
            fail(h1, OPF_FAIL_PROTOCOL, "more body than Content-Length said");
    } else if (h1->part == OPF_H1_CHUNKS || h1->part == OPF_H1_UNTIL_CLOSE) {
        take_until_close(h1, data, len);
    } else if (len) {
        fail(h1, OPF_FAIL_PROTOCOL, "a body where there is none");
    }
    return state_of(h1);
}

opf_h1_state opf_h1_trailer(opf_h1 *h1, const char *line, size_t len)
{
    size_t used;
    if (h1->part == OPF_H1_CHUNKS) {
        h1->part = OPF_H1_TRAILERS;
        give(h1, "0\r\n", 3); /* as in take_chunks */
    }
    return h1->part == OPF_H1_TRAILERS ? opf_h1_feed(h1, (const uint8_t *)line, len, &used)
                                       : state_of(h1);
}
