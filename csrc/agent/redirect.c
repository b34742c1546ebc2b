#include "agent/redirect.h"

#include <string.h>
#include <strings.h>

#include "http/url.h"

/* A URL reference, taken apart as urllib.parse.urlsplit does it. Without a scheme, authority, query
 * or fragment their length is 0. */
typedef struct reference {
    const char *scheme, *authority, *path, *query, *fragment;
    size_t scheme_len, authority_len, path_len, query_len, fragment_len;
} reference;

static bool is_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static size_t scheme_length(const char *text, size_t len)
{
    if (!len || !is_alpha(text[0]))
        return 0;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (c == ':')
            return i;
        if (!is_alpha(c) && !(c >= '0' && c <= '9') && c != '+' && c != '-' && c != '.')
            return 0;
    }
    return 0;
}

/* Bytes up to the first one of stops. */
static size_t span(const char *text, size_t len, const char *stops)
{
    size_t i = 0;
    while (i < len && !strchr(stops, text[i]))
        i++;
    return i;
}

static void cut(const char *text, size_t len, reference *out)
{
    const char *end = text + len;
    *out = (reference){.scheme = text, .scheme_len = scheme_length(text, len)};
    if (out->scheme_len)
        text += out->scheme_len + 1;
    if (end - text >= 2 && text[0] == '/' && text[1] == '/') {
        out->authority = text + 2;
        out->authority_len = span(text + 2, (size_t)(end - text) - 2, "/?#");
        text = out->authority + out->authority_len;
    }
    out->path = text;
    out->path_len = span(text, (size_t)(end - text), "?#");
    text += out->path_len;
    if (text < end && *text == '?') {
        out->query = text + 1;
        out->query_len = span(text + 1, (size_t)(end - text) - 1, "#");
        text = out->query + out->query_len;
    }
    if (text < end) {
        out->fragment = text + 1;
        out->fragment_len = (size_t)(end - text) - 1;
    }
}

static bool is_scheme(const reference *of, const char *scheme)
{
    return of->scheme_len == strlen(scheme) && strncasecmp(of->scheme, scheme, of->scheme_len) == 0;
}

static bool same_scheme(const reference *a, const reference *b)
{
    return a->scheme_len == b->scheme_len && strncasecmp(a->scheme, b->scheme, a->scheme_len) == 0;
}

/* Paths */

/* A path that grows by segments. */
typedef struct segments {
    opf_buf *out;
    size_t start; /* of the path in out */
    size_t n;
} segments;

static int push(segments *path, const char *segment, size_t len)
{
    if (path->n && opf_buf_append(path->out, "/", 1) != 0)
        return OPF_ENOMEM;
    path->n++;
    return opf_buf_append(path->out, segment, len);
}

static void pop(segments *path)
{
    if (!path->n)
        return;
    path->n--;
    const uint8_t *data = path->out->data;
    size_t len = path->out->len;
    while (len > path->start && data[len - 1] != '/')
        len--;
    path->out->len = len > path->start ? len - 1 : path->start;
}

/* What of a path's empty segments and of its last one is taken. */
enum { TAKE_EMPTY = 1, TAKE_FIRST_EMPTY = 2, TAKE_LAST = 4 };

/* Adds the segments of a path, resolving dots. */
static int resolve(segments *path, const char *text, size_t len, int take)
{
    const char *end = text + len;
    for (bool at_start = true;; at_start = false) {
        size_t n = span(text, (size_t)(end - text), "/");
        bool at_end = text + n == end;
        bool wanted = n || at_end || (take & TAKE_EMPTY) || (at_start && (take & TAKE_FIRST_EMPTY));
        int ret = 0;
        if (at_end && !(take & TAKE_LAST))
            return 0;
        if (n == 2 && memcmp(text, "..", 2) == 0)
            pop(path);
        else if (wanted && (n != 1 || *text != '.'))
            ret = push(path, text, n);
        if (ret != 0 || at_end)
            return ret;
        text += n + 1;
    }
}

static bool ends_in_dots(const char *path, size_t len)
{
    size_t n = 0;
    while (n < len && path[len - 1 - n] != '/')
        n++;
    const char *last = path + len - n;
    return (n == 1 && last[0] == '.') || (n == 2 && last[0] == '.' && last[1] == '.');
}

/* Appends the path that a relative one leads to (urllib.parse.urljoin). */
static int join_path(const reference *base, const reference *to, opf_buf *out)
{
    opf_buf made;
    opf_buf_init(&made);
    segments path = {.out = &made};
    bool absolute = to->path[0] == '/';
    int ret = 0;
    if (!absolute && base->path_len)
        ret = resolve(&path, base->path, base->path_len, TAKE_FIRST_EMPTY);
    if (!absolute && !base->path_len)
        ret = push(&path, "", 0);
    if (ret == 0)
        ret = resolve(&path, to->path, to->path_len, (absolute ? TAKE_EMPTY : 0) | TAKE_LAST);
    if (ret == 0 && ends_in_dots(to->path, to->path_len))
        ret = push(&path, "", 0);
    if (ret == 0 && (!made.len || made.data[0] != '/'))
        ret = opf_buf_append(out, "/", 1);
    if (ret == 0)
        ret = opf_buf_append(out, made.data, made.len);
    opf_buf_fini(&made);
    return ret;
}

/* Appends mark and text, unless it is empty. */
static int append_part(opf_buf *out, char mark, const char *text, size_t len)
{
    if (!len)
        return 0;
    return opf_buf_append(out, &mark, 1) != 0 || opf_buf_append(out, text, len) != 0 ? OPF_ENOMEM
                                                                                     : 0;
}

/* Appends where a reference leads from base. */
static int join(const reference *base, const reference *to, opf_buf *out)
{
    const reference *scheme = to->scheme_len ? to : base;
    bool own = to->authority_len || !same_scheme(scheme, base);
    const reference *authority = own ? to : base;
    int ret = opf_buf_append(out, is_scheme(scheme, "https") ? "https://" : "http://",
                             is_scheme(scheme, "https") ? 8 : 7);
    if (ret == 0)
        ret = opf_buf_append(out, authority->authority, authority->authority_len);
    if (ret != 0)
        return ret;
    const reference *query = to;
    if (own) {
        if (to->path_len && to->path[0] != '/')
            ret = opf_buf_append(out, "/", 1);
        if (ret == 0)
            ret = opf_buf_append(out, to->path, to->path_len);
    } else if (to->path_len) {
        ret = join_path(base, to, out);
    } else {
        ret = opf_buf_append(out, base->path, base->path_len);
        query = to->query_len ? to : base;
    }
    if (ret == 0)
        ret = append_part(out, '?', query->query, query->query_len);
    if (ret == 0)
        ret = append_part(out, '#', to->fragment, to->fragment_len);
    return ret;
}

/* The response */

static const opf_field *find_location(const opf_result *result)
{
    for (uint32_t i = 0; i < result->n_fields; i++) {
        const opf_field *field = &result->fields[i];
        if (field->name_len == 8 && strncasecmp(result->head + field->name_at, "location", 8) == 0)
            return field;
    }
    return NULL;
}

/* Copies a Location as urlsplit reads it: without what stands before it and without line breaks and
 * tabs. geventhttpclient takes its bytes for Latin-1, requests for UTF-8. */
static int clean(const char *text, size_t len, opf_style style, opf_buf *out)
{
    while (len && (uint8_t)*text <= 0x20) {
        text++;
        len--;
    }
    for (size_t i = 0; i < len; i++) {
        uint8_t c = (uint8_t)text[i], pair[2] = {(uint8_t)(0xc0 | c >> 6), 0x80 | (c & 0x3f)};
        bool two = c >= 0x80 && style == OPF_STYLE_FAST;
        if (c == '\t' || c == '\r' || c == '\n')
            continue;
        if (opf_buf_append(out, two ? pair : &c, two ? 2 : 1) != 0)
            return OPF_ENOMEM;
    }
    return 0;
}

/* Puts a Location as requests quotes it, before it is joined, in its place. */
static int requote(opf_buf *location)
{
    opf_buf quoted;
    opf_buf_init(&quoted);
    int ret = opf_url_quote((const char *)location->data, location->len, &quoted);
    opf_buf_fini(ret == 0 ? location : &quoted);
    if (ret == 0)
        *location = quoted;
    return ret;
}

/* Says why a reference can't be followed, or NULL. */
static const char *refuse(const reference *to, opf_style style)
{
    if (style == OPF_STYLE_FAST && to->scheme_len && !to->authority_len)
        return "redirect to a URL without a host";
    if (to->scheme_len && !is_scheme(to, "http") && !is_scheme(to, "https"))
        return "redirect to a URL that is neither http nor https";
    return NULL;
}

static void judge_method(int status, opf_style style, const char *method, opf_redirect *redirect)
{
    redirect->drops_body = status == 301 || status == 302 || status == 303;
    if (!redirect->drops_body || strcasecmp(method, "HEAD") == 0)
        return;
    /* requests: of a 301 POST alone becomes GET */
    redirect->to_get = style == OPF_STYLE_FAST || status != 301 || strcasecmp(method, "POST") == 0;
}

static bool drops_authorization(const opf_url *from, const opf_url *to, opf_style style)
{
    if (from->host_len != to->host_len || strncasecmp(from->host, to->host, to->host_len) != 0)
        return true;
    if (style == OPF_STYLE_HTTP && !from->tls && to->tls && from->port == 80 && to->port == 443)
        return false;
    return from->tls != to->tls || from->port != to->port;
}

/* Writes the URL that a cleaned Location names, and says in redirect whether it is followed. */
static int follow(const opf_buf *location, opf_style style, const char *base, size_t base_len,
                  opf_redirect *redirect, opf_buf *url)
{
    reference from, to;
    opf_url from_parsed, to_parsed;
    const char *why;
    opf_buf joined;
    opf_buf_init(&joined);
    cut(base, base_len, &from);
    cut((const char *)location->data, location->len, &to);
    redirect->why = refuse(&to, style);
    if (redirect->why)
        return 0;
    if (style == OPF_STYLE_HTTP && !to.fragment_len) { /* RFC 9110, 10.2.2 */
        to.fragment = from.fragment;
        to.fragment_len = from.fragment_len;
    }
    size_t start = url->len;
    int ret = join(&from, &to, &joined);
    if (ret == 0)
        ret = opf_url_quote((const char *)joined.data, joined.len, url);
    opf_buf_fini(&joined);
    if (ret != 0)
        return ret;
    if (opf_url_parse((const char *)url->data + start, url->len - start, &to_parsed, &why) != 0 ||
        opf_url_parse(base, base_len, &from_parsed, &why) != 0) {
        url->len = start;
        redirect->why = "redirect to a URL that can't be parsed";
        return 0;
    }
    redirect->follows = true;
    redirect->drops_authorization = drops_authorization(&from_parsed, &to_parsed, style);
    return 0;
}

int opf_redirect_judge(const opf_result *result, opf_style style, const char *method,
                       const char *base, size_t base_len, opf_redirect *redirect, opf_buf *url)
{
    *redirect = (opf_redirect){0};
    int status = result->failure == OPF_FAIL_NONE ? result->status : 0;
    if (status != 301 && status != 302 && status != 303 && status != 307 && status != 308)
        return 0;
    const opf_field *field = find_location(result);
    if (!field || !field->value_len)
        return 0;
    opf_buf location;
    opf_buf_init(&location);
    int ret = clean(result->head + field->value_at, field->value_len, style, &location);
    if (ret == 0 && location.len && style == OPF_STYLE_HTTP)
        ret = requote(&location);
    if (ret == 0 && location.len)
        ret = follow(&location, style, base, base_len, redirect, url);
    opf_buf_fini(&location);
    if (ret == 0 && redirect->follows)
        judge_method(status, style, method, redirect);
    return ret;
}
