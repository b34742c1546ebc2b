#include "http/url.h"

#include <arpa/inet.h>
#include <string.h>

/* Classes of characters, RFC 3986. */
enum {
    SAFE = 1,       /* stands in a URL as it is: reserved, unreserved and '%' */
    UNRESERVED = 2, /* means the same encoded or not */
    HOST = 4        /* may be in a host that is no IPv6 address */
};

#define PLAIN (SAFE | UNRESERVED | HOST)
#define SUB_DELIM (SAFE | HOST)

static const uint8_t classes[256] = {
    ['0' ... '9'] = PLAIN, ['A' ... 'Z'] = PLAIN, ['a' ... 'z'] = PLAIN, ['-'] = PLAIN,
    ['.'] = PLAIN,         ['_'] = PLAIN,         ['~'] = PLAIN,         ['!'] = SUB_DELIM,
    ['$'] = SUB_DELIM,     ['&'] = SUB_DELIM,     ['\''] = SUB_DELIM,    ['('] = SUB_DELIM,
    [')'] = SUB_DELIM,     ['*'] = SUB_DELIM,     ['+'] = SUB_DELIM,     [','] = SUB_DELIM,
    [';'] = SUB_DELIM,     ['='] = SUB_DELIM,     ['#'] = SAFE,          ['%'] = SAFE,
    ['/'] = SAFE,          [':'] = SAFE,          ['?'] = SAFE,          ['@'] = SAFE,
    ['['] = SAFE,          [']'] = SAFE,
};

static bool is(char c, int class)
{
    return (classes[(uint8_t)c] & class) != 0;
}

/* Splitting */

#define HTTP_PORT 80
#define HTTPS_PORT 443
#define IP6_TEXT_MAX 128 /* with a scope */

/* What is still to be split. */
struct rest {
    const char *at;
    const char *end;
    const char *why;
};

static int refuse(struct rest *rest, const char *why)
{
    rest->why = why;
    return OPF_EINVAL;
}

static int check_bytes(struct rest *rest)
{
    for (const char *p = rest->at; p < rest->end; p++) {
        uint8_t c = (uint8_t)*p;
        if (c < 0x20 || c == 0x7f)
            return refuse(rest, "URL has a control character");
        if (c == ' ')
            return refuse(rest, "URL has a space");
        if (c >= 0x80)
            return refuse(rest, "URL has a character outside ASCII");
    }
    return 0;
}

static bool starts_with(const struct rest *rest, const char *lower)
{
    size_t len = strlen(lower);
    if ((size_t)(rest->end - rest->at) < len)
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = rest->at[i];
        if ((c >= 'A' && c <= 'Z' ? c | 0x20 : c) != lower[i])
            return false;
    }
    return true;
}

static int split_scheme(struct rest *rest, opf_url *url)
{
    if (starts_with(rest, "http:")) {
        rest->at += 5;
    } else if (starts_with(rest, "https:")) {
        rest->at += 6;
        url->tls = true;
    } else {
        const char *p = rest->at;
        while (p < rest->end && (is(*p, UNRESERVED) || *p == '+'))
            p++;
        if (p == rest->at || p == rest->end || *p != ':')
            return refuse(rest, "URL has no scheme (http:// or https://)");
        return refuse(rest, "unsupported URL scheme");
    }
    if (rest->end - rest->at < 2 || rest->at[0] != '/' || rest->at[1] != '/')
        return refuse(rest, "URL has no host");
    rest->at += 2;
    return 0;
}

/* Cuts the authority off: what follows is the target, then the fragment. */
static int split_target(struct rest *rest, opf_url *url)
{
    const char *authority_end = rest->at, *target_end;
    while (authority_end < rest->end && !strchr("/?#", *authority_end))
        /* other parsers take it for a '/', and would find another host than we do */
        if (*authority_end++ == '\\')
            return refuse(rest, "URL has a backslash before its path");
    target_end = memchr(authority_end, '#', (size_t)(rest->end - authority_end));
    if (!target_end)
        target_end = rest->end;
    url->target = authority_end;
    url->target_len = (uint32_t)(target_end - authority_end);
    rest->end = authority_end;
    return 0;
}

static void split_user(struct rest *rest, opf_url *url)
{
    const char *at = memrchr(rest->at, '@', (size_t)(rest->end - rest->at));
    if (!at)
        return;
    url->user = rest->at;
    url->user_len = (uint32_t)(at - rest->at);
    rest->at = at + 1;
}

/* An IPv6 address, maybe with a scope (RFC 6874), whose existence is the resolver's business. */
static bool is_ip6(const char *host, size_t len)
{
    char text[IP6_TEXT_MAX];
    struct in6_addr addr;
    const char *percent = memchr(host, '%', len);
    size_t addr_len = percent ? (size_t)(percent - host) : len;
    if (len >= sizeof(text) || (percent && addr_len + 1 == len))
        return false;
    for (size_t i = addr_len + 1; i < len; i++)
        if (!is(host[i], UNRESERVED))
            return false;
    memcpy(text, host, addr_len);
    text[addr_len] = '\0';
    return inet_pton(AF_INET6, text, &addr) == 1;
}

static int split_ip6(struct rest *rest, opf_url *url)
{
    const char *end = memchr(rest->at, ']', (size_t)(rest->end - rest->at));
    if (!end || !is_ip6(rest->at + 1, (size_t)(end - rest->at - 1)))
        return refuse(rest, "URL has a malformed IPv6 address");
    url->ip6 = true;
    url->host = rest->at + 1;
    url->host_len = (uint32_t)(end - url->host);
    rest->at = end + 1;
    if (rest->at < rest->end && *rest->at != ':')
        return refuse(rest, "URL has characters between host and port");
    return 0;
}

static int split_host(struct rest *rest, opf_url *url)
{
    if (rest->at < rest->end && *rest->at == '[')
        return split_ip6(rest, url);
    url->host = rest->at;
    while (rest->at < rest->end && is(*rest->at, HOST))
        rest->at++;
    url->host_len = (uint32_t)(rest->at - url->host);
    if (rest->at < rest->end && *rest->at != ':')
        return refuse(rest, *rest->at == '%' ? "URL has a percent-encoded host"
                                             : "URL has a host with a character that no host has");
    if (rest->at < rest->end && memchr(rest->at + 1, ':', (size_t)(rest->end - rest->at - 1)))
        return refuse(rest, "URL has an IPv6 address without brackets, or two ports");
    if (!url->host_len)
        return refuse(rest, "URL has no host");
    return 0;
}

/* The rest of the authority is nothing, or ':' and a port, which may be empty. */
static int split_port(struct rest *rest, opf_url *url)
{
    uint32_t own = url->tls ? HTTPS_PORT : HTTP_PORT, port = 0;
    const char *p = rest->at < rest->end ? rest->at + 1 : rest->end;
    bool given = p < rest->end;
    for (; p < rest->end; p++) {
        if (*p < '0' || *p > '9')
            return refuse(rest, "URL has a port that is no number");
        port = port * 10 + (uint32_t)(*p - '0');
        if (port > UINT16_MAX)
            return refuse(rest, "URL has a port over 65535");
    }
    if (given && !port)
        return refuse(rest, "URL has port 0");
    url->port = (uint16_t)(given ? port : own);
    url->port_given = url->port != own;
    return 0;
}

int opf_url_parse(const char *text, size_t len, opf_url *url, const char **why)
{
    struct rest rest = {.at = text, .end = text + len};
    int ret;
    memset(url, 0, sizeof(*url));
    if (len > UINT32_MAX) {
        *why = "URL is too long";
        return OPF_EINVAL;
    }
    if ((ret = check_bytes(&rest)) == 0 && (ret = split_scheme(&rest, url)) == 0 &&
        (ret = split_target(&rest, url)) == 0) {
        split_user(&rest, url);
        if ((ret = split_host(&rest, url)) == 0)
            ret = split_port(&rest, url);
    }
    if (ret != 0)
        *why = rest.why;
    return ret;
}

/* Quoting */

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool opf_url_is_escape(const char *p, const char *end)
{
    return end - p >= 3 && *p == '%' && hex_value(p[1]) >= 0 && hex_value(p[2]) >= 0;
}

/* Bytes of the letter or digit at p; 0: there is none. */
static ptrdiff_t letter_length(const char *p, const char *end)
{
    ptrdiff_t n = 1;
    if (p == end || ((uint8_t)*p < 0x80 && (!is(*p, UNRESERVED) || strchr("-._~", *p))))
        return 0;
    while ((uint8_t)*p >= 0xC0 && p + n < end && ((uint8_t)p[n] & 0xC0) == 0x80)
        n++;
    return n;
}

enum {
    NO_ESCAPE = -1, /* a '%' on its own */
    BAD_ESCAPE = -2 /* one that was meant as an escape and is none */
};

/* What the '%' at p encodes: a byte, NO_ESCAPE or BAD_ESCAPE. */
static int escape_value(const char *p, const char *end)
{
    ptrdiff_t first = letter_length(p + 1, end);
    if (!first || !letter_length(p + 1 + first, end))
        return NO_ESCAPE;
    int high = hex_value(p[1]), low = hex_value(p[2]);
    return high < 0 || low < 0 ? BAD_ESCAPE : high << 4 | low;
}

bool opf_url_is_quoted(const char *url, size_t len)
{
    const char *end = url + len;
    for (const char *p = url; p < end; p++) {
        if (!is(*p, SAFE))
            return false;
        if (*p != '%')
            continue;
        int value = escape_value(p, end);
        if (value == BAD_ESCAPE || (value >= 0 && is((char)value, UNRESERVED)))
            return false;
    }
    return true;
}

static bool has_bad_escape(const char *url, const char *end)
{
    for (const char *p = url; p < end; p++)
        if (*p == '%' && escape_value(p, end) == BAD_ESCAPE)
            return true;
    return false;
}

uint8_t *opf_url_put_encoded(uint8_t *to, char c)
{
    static const char digits[] = "0123456789ABCDEF";
    *to++ = '%';
    *to++ = (uint8_t)digits[(uint8_t)c >> 4];
    *to++ = (uint8_t)digits[(uint8_t)c & 15];
    return to;
}

int opf_url_quote(const char *url, size_t len, opf_buf *out)
{
    const char *end = url + len;
    if (!len)
        return 0;
    if (len > SIZE_MAX / 3 || opf_buf_reserve(out, len * 3) != 0)
        return OPF_ENOMEM;
    bool literal = has_bad_escape(url, end);
    uint8_t *to = out->data + out->len;
    for (const char *p = url; p < end; p++) {
        int value = *p == '%' && !literal ? escape_value(p, end) : NO_ESCAPE;
        if (value >= 0 && is((char)value, UNRESERVED)) {
            *to++ = (uint8_t)value;
            p += 2;
        } else if (is(*p, SAFE) && !(*p == '%' && literal)) {
            *to++ = (uint8_t)*p;
        } else {
            to = opf_url_put_encoded(to, *p);
        }
    }
    out->len = (size_t)(to - out->data);
    return 0;
}
