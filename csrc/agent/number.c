#include "agent/number.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "opf.h"

#define READ_MAX 400 /* characters of a number that is read; more say nothing */

/* Decimal digits of a finite number: d[0] . d[1] d[2] ... * 10^exponent. */
typedef struct digits {
    char d[OPF_PRECISION_MAX + 2];
    int n;
    int exponent;
    bool negative;
} digits;

static void get_digits(double f, int n, digits *out)
{
    char text[OPF_NUMBER_SIZE];
    snprintf(text, sizeof(text), "%.*e", n - 1, f);
    out->negative = text[0] == '-';
    out->n = 0;
    const char *p = text;
    for (; *p && *p != 'e'; p++)
        if (*p >= '0' && *p <= '9') /* the point is the locale's */
            out->d[out->n++] = *p;
    out->exponent = *p ? atoi(p + 1) : 0;
}

static double value_of(const digits *in)
{
    char text[OPF_NUMBER_SIZE];
    snprintf(text, sizeof(text), "%s%.*se%d", in->negative ? "-" : "", in->n, in->d,
             in->exponent - in->n + 1);
    return strtod(text, NULL);
}

static void drop_zeros(digits *in)
{
    while (in->n > 1 && in->d[in->n - 1] == '0')
        in->n--;
}

/* The next number of as many digits. */
static void step_up(digits *in)
{
    int i = in->n - 1;
    for (; i >= 0 && in->d[i] == '9'; i--)
        in->d[i] = '0';
    if (i >= 0) {
        in->d[i]++;
    } else {
        in->d[0] = '1';
        in->exponent++;
    }
}

/* The fewest digits that read back as f. 15 always stand for themselves, unless f is subnormal. */
static void shortest(double f, digits *out)
{
    for (int n = fabs(f) < 2.3e-308 ? 1 : 15; n < 17; n++) {
        get_digits(f, n, out);
        if (value_of(out) == f)
            return;
        /* Below a power of two doubles are closer: the nearest digits may miss, those above not. */
        step_up(out);
        if (value_of(out) == f)
            return;
    }
    get_digits(f, 17, out);
}

static size_t write_special(char *out, double f)
{
    const char *text = isnan(f) ? "nan" : f < 0 ? "-inf" : "inf";
    size_t len = strlen(text);
    memcpy(out, text, len);
    return len;
}

static size_t write_exponent(char *out, int exponent)
{
    int n = snprintf(out, 8, "e%c%02d", exponent < 0 ? '-' : '+', abs(exponent));
    return (size_t)n;
}

static char *put_zeros(char *p, int n)
{
    if (n > 0)
        memset(p, '0', (size_t)n);
    return n > 0 ? p + n : p;
}

static char *put_digits(char *p, const char *d, int n)
{
    if (n > 0)
        memcpy(p, d, (size_t)n);
    return n > 0 ? p + n : p;
}

static size_t layout(char *out, const digits *in, bool scientific, bool dot)
{
    char *p = out;
    if (in->negative)
        *p++ = '-';
    if (scientific) {
        *p++ = in->d[0];
        if (in->n > 1)
            *p++ = '.';
        p = put_digits(p, in->d + 1, in->n - 1);
        return (size_t)(p - out) + write_exponent(p, in->exponent);
    }
    int whole = in->exponent + 1; /* digits before the point */
    if (whole <= 0) {
        *p++ = '0';
        *p++ = '.';
        p = put_zeros(p, -whole);
        return (size_t)(put_digits(p, in->d, in->n) - out);
    }
    p = put_digits(p, in->d, in->n < whole ? in->n : whole);
    p = put_zeros(p, whole - in->n);
    if (in->n > whole || dot)
        *p++ = '.';
    p = put_digits(p, in->d + whole, in->n - whole);
    if (in->n <= whole && dot)
        *p++ = '0';
    return (size_t)(p - out);
}

size_t opf_number_write_repr(char *out, double f)
{
    if (!isfinite(f))
        return write_special(out, f);
    digits found;
    shortest(f, &found);
    drop_zeros(&found);
    return layout(out, &found, found.exponent < -4 || found.exponent >= 16, true);
}

size_t opf_number_write_format(char *out, double f, char type, int precision)
{
    if (!isfinite(f))
        return write_special(out, f);
    if (!type && precision < 0)
        return opf_number_write_repr(out, f);
    precision = precision < 0 ? 6 : precision > OPF_PRECISION_MAX ? OPF_PRECISION_MAX : precision;
    if (type == 'f') {
        int n = snprintf(out, OPF_NUMBER_SIZE, "%.*f", precision, f);
        for (int i = 0; i < n; i++)
            if (out[i] == ',')
                out[i] = '.';
        return (size_t)n;
    }
    digits found;
    if (type == 'e') {
        get_digits(f, precision + 1, &found);
        return layout(out, &found, true, false);
    }
    precision = precision > 0 ? precision : 1;
    get_digits(f, precision, &found);
    drop_zeros(&found);
    bool scientific = found.exponent < -4 || found.exponent >= precision - (type ? 0 : 1);
    return layout(out, &found, scientific, !type);
}

size_t opf_number_write_int(char *out, int64_t i)
{
    return (size_t)snprintf(out, OPF_NUMBER_SIZE, "%lld", (long long)i);
}

/* What int() and float() pass over in a text of ASCII, which is less than str.strip() takes off. */
static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static void strip(const char **s, size_t *len)
{
    while (*len && is_blank(**s)) {
        ++*s;
        --*len;
    }
    while (*len && is_blank((*s)[*len - 1]))
        --*len;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

int opf_number_read_int(const char *s, size_t len, int64_t *i, const char **why)
{
    strip(&s, &len);
    size_t at = len && (*s == '-' || *s == '+');
    bool negative = at && *s == '-';
    bool after_digit = false;
    uint64_t n = 0, most = (uint64_t)INT64_MAX + negative;
    *why = "int() of a text that is no number";
    for (; at < len; at++) {
        if (s[at] == '_' && after_digit) {
            after_digit = false;
            continue;
        }
        if (!is_digit(s[at]))
            return OPF_EINVAL;
        after_digit = true;
        uint64_t digit = (uint64_t)(s[at] - '0');
        if (n > (most - digit) / 10) {
            *why = "OverflowError: an int beyond 64 bits";
            return OPF_EINVAL;
        }
        n = n * 10 + digit;
    }
    if (!after_digit)
        return OPF_EINVAL;
    *i = negative ? (int64_t)(0 - n) : (int64_t)n;
    return 0;
}

/* Appends digits with single underscores between them. Returns whether there is any, and none is
 * misplaced. */
static bool copy_digits(const char *s, size_t len, size_t *at, char *out, size_t *n)
{
    bool after_digit = false, any = false;
    for (; *at < len; ++*at) {
        if (is_digit(s[*at])) {
            out[(*n)++] = s[*at];
            after_digit = any = true;
        } else if (s[*at] == '_' && after_digit) {
            after_digit = false;
        } else {
            break;
        }
    }
    return any && after_digit;
}

static bool read_word(const char *s, size_t len, double *f)
{
    static const struct {
        const char *word;
        double f;
    } words[] = {{"inf", INFINITY}, {"infinity", INFINITY}, {"nan", NAN}};
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
        if (strlen(words[i].word) != len)
            continue;
        size_t same = 0;
        while (same < len && (s[same] | 0x20) == words[i].word[same])
            same++;
        if (same == len) {
            *f = words[i].f;
            return true;
        }
    }
    return false;
}

/* The digits are gathered without the point, which strtod would want in the locale's form. */
int opf_number_read_float(const char *s, size_t len, double *f, const char **why)
{
    char text[READ_MAX + 32];
    size_t n = 0, at = 0;
    strip(&s, &len);
    *why = "float() of a text that is no number";
    if (len > READ_MAX || len == 0)
        return OPF_EINVAL;
    bool negative = *s == '-';
    if (negative || *s == '+')
        at++;
    if (read_word(s + at, len - at, f)) {
        *f = negative ? -*f : *f;
        return 0;
    }
    size_t from = at;
    bool good = copy_digits(s, len, &at, text, &n);
    bool whole = at > from;
    if (whole && !good)
        return OPF_EINVAL;
    size_t before = n;
    if (at < len && s[at] == '.') {
        from = ++at;
        good = copy_digits(s, len, &at, text, &n);
        if ((at > from && !good) || (at == from && !whole))
            return OPF_EINVAL;
    }
    if (n == 0)
        return OPF_EINVAL;
    long exponent = 0;
    if (at < len && (s[at] | 0x20) == 'e') {
        char digits_of[READ_MAX + 2];
        size_t m = 0;
        bool down = ++at < len && s[at] == '-';
        if (at < len && (s[at] == '-' || s[at] == '+'))
            at++;
        if (!copy_digits(s, len, &at, digits_of, &m))
            return OPF_EINVAL;
        digits_of[m] = '\0';
        exponent = strtol(digits_of, NULL, 10);
        exponent = exponent > 100000 ? 100000 : exponent;
        exponent = down ? -exponent : exponent;
    }
    if (at != len)
        return OPF_EINVAL;
    snprintf(text + n, sizeof(text) - n, "e%ld", exponent - (long)(n - before));
    *f = strtod(text, NULL);
    *f = negative ? -*f : *f;
    return 0;
}
