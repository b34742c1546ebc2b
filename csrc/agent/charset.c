#include "agent/charset.h"

#include <strings.h>

#include "agent/utf8.h"

/* Where a word stands in a text, whatever its case; NULL: nowhere. */
static const char *find_word(const char *s, size_t len, const char *word)
{
    size_t n = strlen(word);
    for (size_t i = 0; i + n <= len; i++)
        if (strncasecmp(s + i, word, n) == 0)
            return s + i;
    return NULL;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '"' || c == '\'';
}

static opf_charset by_name(const char *s, size_t len)
{
    static const struct {
        const char *name;
        opf_charset charset;
    } known[] = {{"utf-8", OPF_CHARSET_UTF8},        {"utf8", OPF_CHARSET_UTF8},
                 {"us-ascii", OPF_CHARSET_ASCII},    {"ascii", OPF_CHARSET_ASCII},
                 {"iso-8859-1", OPF_CHARSET_LATIN1}, {"iso8859-1", OPF_CHARSET_LATIN1},
                 {"latin-1", OPF_CHARSET_LATIN1},    {"latin1", OPF_CHARSET_LATIN1},
                 {"iso_8859-1", OPF_CHARSET_LATIN1}};
    for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
        if (strlen(known[i].name) == len && strncasecmp(known[i].name, s, len) == 0)
            return known[i].charset;
    return OPF_CHARSET_OTHER;
}

opf_charset opf_charset_of(const char *type, size_t len)
{
    const char *found = find_word(type, len, "charset=");
    if (found) {
        const char *s = found + strlen("charset="), *end = type + len;
        const char *semicolon = memchr(s, ';', (size_t)(end - s));
        end = semicolon ? semicolon : end;
        while (s < end && is_blank(*s))
            s++;
        while (end > s && is_blank(end[-1]))
            end--;
        if (s < end)
            return by_name(s, (size_t)(end - s));
    }
    const char *semicolon = memchr(type, ';', len);
    len = semicolon ? (size_t)(semicolon - type) : len;
    if (find_word(type, len, "text"))
        return OPF_CHARSET_LATIN1;
    return find_word(type, len, "application/json") ? OPF_CHARSET_UTF8 : OPF_CHARSET_GUESS;
}

/* Bytes at the beginning that are ASCII. */
static size_t ascii_run(const uint8_t *bytes, size_t len)
{
    size_t n = 0;
    while (n < len && bytes[n] < 0x80)
        n++;
    return n;
}

static bool is_utf8(const char *s, size_t len)
{
    for (size_t at = 0; at < len;) {
        size_t from = at;
        if (opf_utf8_next(s, len, &at) == OPF_UTF8_BAD &&
            (at - from != 3 || memcmp(s + from, "\xEF\xBF\xBD", 3) != 0))
            return false;
    }
    return true;
}

/* The next character of a text that is not UTF-8 as it stands. */
static uint32_t next(opf_charset charset, const char *s, size_t len, size_t *at)
{
    if (charset == OPF_CHARSET_UTF8)
        return opf_utf8_next(s, len, at);
    uint8_t c = (uint8_t)s[(*at)++];
    return charset == OPF_CHARSET_ASCII && c >= 0x80 ? OPF_UTF8_BAD : c;
}

static int convert(opf_charset charset, const char *s, size_t len, opf_arena *arena,
                   opf_value *text)
{
    size_t size = 0, n = 0;
    char piece[4];
    for (size_t at = 0; at < len;)
        size += opf_utf8_put(piece, next(charset, s, len, &at));
    char *out = opf_arena_alloc(arena, size);
    if (!out)
        return OPF_ENOMEM;
    for (size_t at = 0; at < len;)
        n += opf_utf8_put(out + n, next(charset, s, len, &at));
    *text = (opf_value){.kind = OPF_TEXT, .len = (uint32_t)n, .s = out};
    return 0;
}

int opf_charset_decode(opf_charset charset, const uint8_t *bytes, size_t len, opf_arena *arena,
                       opf_value *text)
{
    const char *s = len ? (const char *)bytes : "";
    *text = (opf_value){.kind = OPF_UNSET};
    if (charset == OPF_CHARSET_OTHER)
        return 0;
    if (len > UINT32_MAX)
        return OPF_ENOMEM;
    size_t plain = ascii_run((const uint8_t *)s, len);
    bool utf8 = charset == OPF_CHARSET_UTF8 || charset == OPF_CHARSET_GUESS;
    if (plain == len || (utf8 && is_utf8(s + plain, len - plain))) {
        *text = (opf_value){.kind = OPF_TEXT, .len = (uint32_t)len, .s = s};
        return 0;
    }
    return charset == OPF_CHARSET_GUESS ? 0 : convert(charset, s, len, arena, text);
}
