#include "agent/value.h"

#include <math.h>
#include <stdio.h>

#include "agent/number.h"
#include "agent/utf8.h"

#define WIDTH_MAX 4096

/* A value as text, in its pieces: blanks, sign, zeros, text, and what pads a text. */
typedef struct rendered {
    char number[OPF_NUMBER_SIZE];
    const char *text;
    size_t len;
    size_t left, zeros, right;
    bool negative;
    bool right_zeros;
} rendered;

static bool is_formatted(const opf_format *format)
{
    return format && (format->zero || format->type || format->width);
}

static int refuse(opf_why *why, const char *text)
{
    *why = text;
    return OPF_EINVAL;
}

static void set_text(rendered *r, const char *text)
{
    r->text = text;
    r->len = strlen(text);
}

static int plain(rendered *r, const opf_value *value, opf_why *why)
{
    r->text = r->number;
    switch ((opf_kind)value->kind) {
    case OPF_UNSET:
        return refuse(why, "a value that is not there");
    case OPF_NONE:
        set_text(r, "None");
        return 0;
    case OPF_BOOL:
        set_text(r, value->b ? "True" : "False");
        return 0;
    case OPF_INT:
        r->len = opf_number_write_int(r->number, value->i);
        return 0;
    case OPF_FLOAT:
        r->len = opf_number_write_repr(r->number, value->f);
        return 0;
    case OPF_TEXT:
        r->text = value->s;
        r->len = value->len;
        return 0;
    case OPF_JSON:
        return refuse(why, "an object or array of JSON as text");
    }
    return refuse(why, "a value of no kind");
}

static int as_int(rendered *r, int64_t i, const opf_format *format, opf_why *why)
{
    r->text = r->number;
    if (format->type == 'e' || format->type == 'f' || format->type == 'g') {
        r->len = opf_number_write_format(r->number, (double)i, format->type, format->precision);
        return 0;
    }
    if (format->type == 's')
        return refuse(why, "a number with a format for texts");
    if (format->precision >= 0)
        return refuse(why, "an int with a precision");
    if (format->type == 'x' || format->type == 'X') {
        uint64_t magnitude = i < 0 ? 0 - (uint64_t)i : (uint64_t)i;
        const char *spec = format->type == 'x' ? "%s%llx" : "%s%llX";
        r->len = (size_t)snprintf(r->number, sizeof(r->number), spec, i < 0 ? "-" : "",
                                  (unsigned long long)magnitude);
    } else {
        r->len = opf_number_write_int(r->number, i);
    }
    return 0;
}

static int as_float(rendered *r, double f, const opf_format *format, opf_why *why)
{
    if (format->type == 's')
        return refuse(why, "a number with a format for texts");
    if (format->type == 'd' || format->type == 'x' || format->type == 'X')
        return refuse(why, "a float with a format for ints");
    r->text = r->number;
    r->len = opf_number_write_format(r->number, f, format->type, format->precision);
    return 0;
}

static int as_text(rendered *r, const opf_value *value, const opf_format *format, opf_why *why)
{
    if (format->type && format->type != 's')
        return refuse(why, "a text with a format for numbers");
    r->text = value->s;
    r->len = value->len;
    if (format->precision >= 0) {
        size_t at = 0;
        for (int n = 0; n < format->precision && at < value->len; n++)
            opf_utf8_next(value->s, value->len, &at);
        r->len = at;
    }
    return 0;
}

static void pad(rendered *r, const opf_format *format, bool text)
{
    size_t n = opf_utf8_count(r->text, r->len);
    if (n >= format->width)
        return;
    size_t missing = format->width - n;
    if (text) {
        r->right = missing;
        r->right_zeros = format->zero;
    } else if (format->zero) {
        r->zeros = missing;
        r->negative = r->len && *r->text == '-';
        r->text += r->negative;
        r->len -= r->negative;
    } else {
        r->left = missing;
    }
}

static int formatted(rendered *r, const opf_value *value, const opf_format *format, opf_why *why)
{
    int rc;
    if (format->width > WIDTH_MAX || format->precision > OPF_PRECISION_MAX)
        return refuse(why, "a format that is too wide");
    switch ((opf_kind)value->kind) {
    case OPF_BOOL:
        rc = as_int(r, value->b, format, why);
        break;
    case OPF_INT:
        rc = as_int(r, value->i, format, why);
        break;
    case OPF_FLOAT:
        rc = as_float(r, value->f, format, why);
        break;
    case OPF_TEXT:
        rc = as_text(r, value, format, why);
        break;
    case OPF_NONE:
        return refuse(why, "TypeError: None with a format");
    default:
        return plain(r, value, why);
    }
    if (rc == 0)
        pad(r, format, value->kind == OPF_TEXT);
    return rc;
}

static const char lower_hex[] = "0123456789abcdef", upper_hex[] = "0123456789ABCDEF";

static char *put_u16(char *p, uint32_t c)
{
    *p++ = '\\';
    *p++ = 'u';
    for (int shift = 12; shift >= 0; shift -= 4)
        *p++ = lower_hex[c >> shift & 15];
    return p;
}

static char *put_json(char *p, uint32_t c)
{
    static const char named[] = "\"\\\n\r\t\b\f", names[] = "\"\\nrtbf";
    const char *found = c && c < 128 ? strchr(named, (int)c) : NULL;
    if (found) {
        *p++ = '\\';
        *p++ = names[found - named];
        return p;
    }
    if (c >= 0x20 && c < 0x7F) {
        *p++ = (char)c;
        return p;
    }
    if (c < 0x10000)
        return put_u16(p, c);
    c -= 0x10000;
    return put_u16(put_u16(p, 0xD800 | c >> 10), 0xDC00 | (c & 0x3FF));
}

static int write_json(opf_buf *out, const char *s, size_t len)
{
    for (size_t at = 0; at < len;) {
        size_t run = at;
        while (run < len && s[run] >= 0x20 && s[run] < 0x7F && s[run] != '"' && s[run] != '\\')
            run++;
        if (opf_buf_append(out, s + at, run - at) != 0 || opf_buf_reserve(out, 12) != 0)
            return OPF_ENOMEM;
        at = run;
        if (at < len) {
            char *p = (char *)out->data + out->len;
            out->len += (size_t)(put_json(p, opf_utf8_next(s, len, &at)) - p);
        }
    }
    return 0;
}

static bool is_unreserved(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' ||
           c == '.' || c == '-' || c == '~';
}

static int write_query(opf_buf *out, const char *s, size_t len)
{
    if (len > SIZE_MAX / 3 || opf_buf_reserve(out, 3 * len) != 0)
        return OPF_ENOMEM;
    uint8_t *p = out->data + out->len;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s[i];
        if (is_unreserved(c)) {
            *p++ = c;
        } else if (c == ' ') {
            *p++ = '+';
        } else {
            *p++ = '%';
            *p++ = (uint8_t)upper_hex[c >> 4];
            *p++ = (uint8_t)upper_hex[c & 15];
        }
    }
    out->len = len ? (size_t)(p - out->data) : out->len;
    return 0;
}

static const char control_character[] = "a control character, such as a line break, in a header";
static const char no_latin1[] = "a character in a header that Latin-1 does not have";

bool opf_value_breaks_header(opf_why why)
{
    return why == control_character || why == no_latin1;
}

static int write_header(opf_buf *out, const char *s, size_t len, opf_why *why)
{
    if (opf_buf_reserve(out, len) != 0)
        return OPF_ENOMEM;
    for (size_t at = 0; at < len;) {
        uint32_t c = opf_utf8_next(s, len, &at);
        if ((c < 0x20 && c != '\t') || c == 0x7F)
            return refuse(why, control_character);
        if (c > 0xFF)
            return refuse(why, no_latin1);
        out->data[out->len++] = (uint8_t)c;
    }
    return 0;
}

static int encode(opf_buf *out, const char *s, size_t len, opf_encoding encoding, opf_why *why)
{
    switch (encoding) {
    case OPF_AS_TEXT:
        return opf_buf_append(out, s, len);
    case OPF_AS_JSON:
    case OPF_AS_JSON_STRING:
        return write_json(out, s, len);
    case OPF_AS_QUERY:
        return write_query(out, s, len);
    case OPF_AS_HEADER:
        return write_header(out, s, len, why);
    }
    return refuse(why, "an encoding that does not exist");
}

static int repeat(opf_buf *out, const char *what, size_t n, opf_encoding encoding, opf_why *why)
{
    int rc = 0;
    for (size_t i = 0; i < n && rc == 0; i++)
        rc = encode(out, what, 1, encoding, why);
    return rc;
}

static int write_rendered(opf_buf *out, const rendered *r, opf_encoding encoding, opf_why *why)
{
    int rc = repeat(out, " ", r->left, encoding, why);
    if (rc == 0)
        rc = repeat(out, "-", r->negative, encoding, why);
    if (rc == 0)
        rc = repeat(out, "0", r->zeros, encoding, why);
    if (rc == 0)
        rc = encode(out, r->text, r->len, encoding, why);
    return rc == 0 ? repeat(out, r->right_zeros ? "0" : " ", r->right, encoding, why) : rc;
}

static int write_float_json(opf_buf *out, double f)
{
    char number[OPF_NUMBER_SIZE];
    if (isnan(f))
        return opf_buf_append_str(out, "NaN");
    if (isinf(f))
        return opf_buf_append_str(out, f < 0 ? "-Infinity" : "Infinity");
    return opf_buf_append(out, number, opf_number_write_repr(number, f));
}

/* json.dumps of what is no text. */
static int write_bare_json(opf_buf *out, const opf_value *value, opf_why *why)
{
    switch ((opf_kind)value->kind) {
    case OPF_NONE:
        return opf_buf_append_str(out, "null");
    case OPF_BOOL:
        return opf_buf_append_str(out, value->b ? "true" : "false");
    case OPF_FLOAT:
        return write_float_json(out, value->f);
    case OPF_JSON:
        return opf_buf_append(out, value->s, value->len);
    default: {
        rendered r;
        int rc = plain(&r, value, why);
        return rc == 0 ? opf_buf_append(out, r.text, r.len) : rc;
    }
    }
}

int opf_value_write(opf_buf *out, const opf_value *value, opf_encoding encoding,
                    const opf_format *format, opf_why *why)
{
    bool spec = is_formatted(format);
    if (encoding == OPF_AS_JSON && value->kind != OPF_TEXT && !spec)
        return write_bare_json(out, value, why);
    rendered r;
    r.left = r.zeros = r.right = 0;
    r.negative = r.right_zeros = false;
    int rc = spec ? formatted(&r, value, format, why) : plain(&r, value, why);
    if (rc != 0)
        return rc;
    bool quotes = encoding == OPF_AS_JSON;
    rc = repeat(out, "\"", quotes, OPF_AS_TEXT, why);
    if (rc == 0)
        rc = write_rendered(out, &r, encoding, why);
    return rc == 0 ? repeat(out, "\"", quotes, OPF_AS_TEXT, why) : rc;
}
