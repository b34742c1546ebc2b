#include "agent/target.h"

#include <ctype.h>
#include <string.h>

#include "http/url.h"

/* What urllib3 leaves as it is, in a path, and in a query too. */
static bool is_plain(char c, bool query)
{
    static const char others[] = "-._~!$&'()*+,;=:@/";
    bool alnum = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
    return alnum || (c && strchr(others, c)) || (query && c == '?');
}

/* A path or a query, as urllib3's _encode_invalid_chars has it. */
static int encode(const char *p, const char *end, bool query, opf_buf *out)
{
    bool all = true;
    if (opf_buf_reserve(out, 3 * (size_t)(end - p)) != 0)
        return OPF_ENOMEM;
    for (const char *q = p; q < end; q++)
        all = all && (*q != '%' || opf_url_is_escape(q, end));
    uint8_t *to = out->data + out->len;
    for (; p < end; p++) {
        bool escape = opf_url_is_escape(p, end);
        if (is_plain(*p, query) || (*p == '%' && all))
            *to++ = (uint8_t)*p;
        else
            to = opf_url_put_encoded(to, *p);
        for (int i = 0; escape && i < 2; i++) /* written in capitals */
            *to++ = (uint8_t)toupper((unsigned char)*++p);
    }
    out->len = (size_t)(to - out->data);
    return 0;
}

static bool is_segment(const char *p, const char *end, const char *name)
{
    size_t len = strlen(name);
    return (size_t)(end - p) == len && memcmp(p, name, len) == 0;
}

/* A path that begins with a slash, without its dot segments (RFC 3986, 5.2.4). */
static int remove_dots(const char *p, const char *end, opf_buf *out)
{
    size_t start = out->len;
    while (p < end) {
        const char *next = memchr(p + 1, '/', (size_t)(end - p - 1));
        next = next ? next : end;
        bool one = is_segment(p, next, "/."), two = is_segment(p, next, "/..");
        while (two && out->len > start && out->data[--out->len] != '/')
            ;
        if (!one && !two && opf_buf_append(out, p, (size_t)(next - p)) != 0)
            return OPF_ENOMEM;
        if ((one || two) && next == end && opf_buf_append(out, "/", 1) != 0)
            return OPF_ENOMEM;
        p = next;
    }
    return 0;
}

static bool has_dots(const char *p, const char *end)
{
    for (; p + 1 < end; p++)
        if (p[0] == '/' && p[1] == '.')
            return true;
    return false;
}

static const char *find_byte(const char *p, const char *end, char c)
{
    return p < end ? memchr(p, c, (size_t)(end - p)) : NULL;
}

/* Whether urllib3 would write the query of what requests has made in another way once more; 0, 1 or
 * OPF_ENOMEM. */
static int changes_again(const char *p, const char *end)
{
    opf_buf again = {0};
    const char *query = find_byte(p, end, '?');
    int ret = query ? encode(query, end, true, &again) : 0;
    if (ret == 0 && query)
        ret = again.len != (size_t)(end - query) || memcmp(again.data, query, again.len) != 0;
    opf_buf_fini(&again);
    return ret;
}

static int as_requests(const char *target, const char *end, const char *params, size_t params_len,
                       opf_buf *out, opf_why *why)
{
    opf_buf path = {0}, whole = {0};
    size_t start = out->len;
    const char *query = memchr(target, '?', (size_t)(end - target));
    const char *from = target, *to = query ? query : end;
    int ret = 0;
    if (has_dots(from, to)) {
        ret = remove_dots(from, to, &path);
        from = (char *)path.data;
        to = from + path.len;
    }
    if (ret == 0)
        ret = encode(from, to, false, &whole);
    if (ret == 0 && query && query + 1 < end)
        ret =
            opf_buf_append(&whole, "?", 1) != 0 ? OPF_ENOMEM : encode(query + 1, end, true, &whole);
    if (ret == 0 && params_len &&
        (opf_buf_append(&whole, query && query + 1 < end ? "&" : "?", 1) != 0 ||
         opf_buf_append(&whole, params, params_len) != 0))
        ret = OPF_ENOMEM;
    if (ret == 0)
        ret = opf_url_quote((char *)whole.data, whole.len, out);
    if (ret == 0 && params_len)
        ret = changes_again((char *)out->data + start, (char *)out->data + out->len);
    if (ret == 1) {
        *why = "params= with what no query may have, such as a lone percent sign";
        ret = OPF_EINVAL;
    }
    opf_buf_fini(&path);
    opf_buf_fini(&whole);
    return ret;
}

/* Whether the http style may write it in another way than the fast one. */
static bool is_special(const char *p, const char *end)
{
    for (const char *q = p; q < end; q++)
        if (*q == '%' || *q == '[' || *q == ']' || (*q == '/' && q + 1 < end && q[1] == '.') ||
            (*q == '?' && q + 1 == end))
            return true;
    return false;
}

static int as_geventhttpclient(const char *target, size_t len, const char *params,
                               size_t params_len, opf_buf *out)
{
    opf_buf whole = {0};
    bool has_query = find_byte(target, target + len, '?') != NULL;
    int ret = opf_buf_append(&whole, target, len);
    if (ret == 0 && (has_query || params_len))
        ret = opf_buf_append(&whole, has_query ? "&" : "?", 1);
    if (ret == 0)
        ret = opf_buf_append(&whole, params, params_len);
    if (ret == 0)
        ret = opf_url_quote((char *)whole.data, whole.len, out);
    opf_buf_fini(&whole);
    return ret;
}

/* Length up to a byte, or the whole. */
static size_t length_to(const char *s, size_t len, char c)
{
    const char *found = find_byte(s, s + len, c);
    return found ? (size_t)(found - s) : len;
}

int opf_target_write(const char *target, size_t len, const char *params, size_t params_len,
                     opf_style style, opf_buf *out, opf_why *why)
{
    size_t shown = length_to(params, params_len, '#');
    if (style == OPF_STYLE_FAST && shown < params_len) {
        *why = "params= with a number sign";
        return OPF_EINVAL;
    }
    params_len = shown;
    target = len ? target : "";
    len = length_to(target, len, '#');
    if (style == OPF_STYLE_FAST && len && length_to(target, len, '?') == len - 1)
        len--; /* no query at all */
    if (*target != '/' && opf_buf_append(out, "/", 1) != 0)
        return OPF_ENOMEM;
    bool quoted = opf_url_is_quoted(target, len);
    if (style == OPF_STYLE_HTTP && (params_len || !quoted || is_special(target, target + len)))
        return as_requests(target, target + len, params, params_len, out, why);
    if (params && style == OPF_STYLE_FAST)
        return as_geventhttpclient(target, len, params, params_len, out);
    return quoted ? opf_buf_append(out, target, len) : opf_url_quote(target, len, out);
}
