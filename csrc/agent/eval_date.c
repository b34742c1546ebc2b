#include <stdio.h>
#include <time.h>

#include "agent/eval_own.h"

#define FORMAT_MAX 256
#define DATE_MAX 1024
#define OFFSET_MAX 86399

/* A point of time, broken down. */
typedef struct date {
    struct tm tm;
    int micros;
    bool aware;     /* of its offset */
    int64_t offset; /* from UTC, s */
} date;

static int get_date(opf_eval *eval, const opf_instruction *in, date *out)
{
    const opf_value *a = opf_eval_operand(eval, in->a), *b = opf_eval_operand(eval, in->b);
    if (!opf_is_int(a) || !(b->kind == OPF_NONE || opf_is_int(b)))
        return opf_eval_refuse(eval, "a date of what is no int");
    out->aware = b->kind != OPF_NONE;
    out->offset = out->aware ? opf_int_of(b) : 0;
    int64_t micros = opf_int_of(a), seconds = micros / 1000000;
    if (out->offset < -OFFSET_MAX || out->offset > OFFSET_MAX)
        return opf_eval_refuse(eval, "an offset from UTC of a day or more");
    out->micros = (int)(micros % 1000000);
    if (out->micros < 0) {
        out->micros += 1000000;
        seconds--;
    }
    time_t t = (time_t)(seconds + out->offset);
    bool done = out->aware ? gmtime_r(&t, &out->tm) != NULL : localtime_r(&t, &out->tm) != NULL;
    if (!done || out->tm.tm_year < 1 - 1900 || out->tm.tm_year > 9999 - 1900)
        return opf_eval_refuse(eval, "a date before the year 1 or after 9999");
    return 0;
}

/* +HH:MM, and :SS if there are any. */
static size_t write_offset(char *out, size_t size, int64_t offset, const char *colon)
{
    int64_t s = offset < 0 ? -offset : offset;
    int n = snprintf(out, size, "%c%02d%s%02d", offset < 0 ? '-' : '+', (int)(s / 3600), colon,
                     (int)(s / 60 % 60));
    if (s % 60)
        n += snprintf(out + n, size - (size_t)n, "%s%02d", colon, (int)(s % 60));
    return (size_t)n;
}

static int isoformat(opf_eval *eval, const opf_instruction *in, const date *d)
{
    char text[96];
    int n = snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d", d->tm.tm_year + 1900,
                     d->tm.tm_mon + 1, d->tm.tm_mday, d->tm.tm_hour, d->tm.tm_min, d->tm.tm_sec);
    if (in->c == 1)
        n += snprintf(text + n, sizeof(text) - (size_t)n, ".%03d", d->micros / 1000);
    else if (in->c != 2 && d->micros)
        n += snprintf(text + n, sizeof(text) - (size_t)n, ".%06d", d->micros);
    size_t len = (size_t)n;
    if (d->aware)
        len += write_offset(text + len, sizeof(text) - len, d->offset, ":");
    return opf_eval_put_text(eval, in->dst, text, len);
}

/* What datetime fills in itself. Returns its length. */
static size_t own_code(char code, const date *d, char *out, size_t size)
{
    if (code == 'f')
        return (size_t)snprintf(out, size, "%06d", d->micros);
    if (!d->aware)
        return 0;
    if (code == 'z')
        return write_offset(out, size, d->offset, "");
    size_t len = (size_t)snprintf(out, size, "UTC");
    return d->offset ? len + write_offset(out + len, size - len, d->offset, ":") : len;
}

static int format_date(opf_eval *eval, const opf_instruction *in, const date *d)
{
    const opf_value *c = opf_eval_operand(eval, in->c);
    char format[2 * FORMAT_MAX + 32], text[DATE_MAX];
    size_t n = 0;
    if (c->kind != OPF_TEXT || (c->len && memchr(c->s, '\0', c->len)))
        return opf_eval_refuse(eval, "a date's format that is no text");
    for (uint32_t i = 0; i < c->len; i++) {
        if (n > 2 * FORMAT_MAX)
            return opf_eval_refuse(eval, "a date's format that is too long");
        char code = c->s[i] == '%' && i + 1 < c->len ? c->s[i + 1] : '\0';
        if (code == 'f' || code == 'z' || code == 'Z') {
            n += own_code(code, d, format + n, sizeof(format) - n);
            i++;
            continue;
        }
        format[n++] = c->s[i];
        if (code) {
            format[n++] = code;
            i++;
        }
    }
    format[n++] = ' '; /* so that no text is told from one that is too long */
    format[n] = '\0';
    size_t len = strftime(text, sizeof(text), format, &d->tm);
    if (len == 0)
        return opf_eval_refuse(eval, "a date's format that is too long");
    return opf_eval_put_text(eval, in->dst, text, len - 1);
}

int opf_eval_date(opf_eval *eval, const opf_instruction *in)
{
    date d;
    int rc = get_date(eval, in, &d);
    if (rc != 0)
        return rc;
    return in->op == OPF_OP_DATE_ISO ? isoformat(eval, in, &d) : format_date(eval, in, &d);
}
