#include "agent/utf8.h"

static uint32_t long_form(const unsigned char *s, size_t left, size_t *used)
{
    unsigned more = s[0] >= 0xF0 ? 3 : s[0] >= 0xE0 ? 2 : 1;
    uint32_t c = s[0] & (0x3FU >> more);
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    for (*used = 1; *used <= more; ++*used) {
        if (*used >= left || (s[*used] & 0xC0) != 0x80)
            return OPF_UTF8_BAD;
        c = c << 6 | (s[*used] & 0x3FU);
    }
    if (c < least[more] || c > 0x10FFFF) {
        *used = 1;
        return OPF_UTF8_BAD;
    }
    return c;
}

uint32_t opf_utf8_next(const char *s, size_t len, size_t *at)
{
    const unsigned char *p = (const unsigned char *)s + *at;
    size_t used = 1;
    uint32_t c = *p;
    if (c >= 0x80)
        c = c < 0xC2 || c > 0xF4 ? OPF_UTF8_BAD : long_form(p, len - *at, &used);
    *at += used;
    return c;
}

size_t opf_utf8_put(char *out, uint32_t c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (size_t i = n - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (c & 0x3F));
        c >>= 6;
    }
    out[0] = (char)(lead[n] | c);
    return n;
}

size_t opf_utf8_count(const char *s, size_t len)
{
    size_t n = 0;
    for (size_t at = 0; at < len; n++)
        opf_utf8_next(s, len, &at);
    return n;
}

bool opf_utf8_character(const char **s, uint32_t *len, int32_t index)
{
    int64_t count = (int64_t)opf_utf8_count(*s, *len), wanted = index < 0 ? count + index : index;
    size_t at = 0, from = 0;
    if (wanted < 0 || wanted >= count)
        return false;
    for (int64_t i = 0; i <= wanted; i++) {
        from = at;
        opf_utf8_next(*s, *len, &at);
    }
    *s += from;
    *len = (uint32_t)(at - from);
    return true;
}
