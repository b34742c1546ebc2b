#include "agent/cookies.h"

#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "http/url.h"

/* One block with its strings behind it. */
typedef struct opf_jar_cookie {
    struct opf_jar_cookie *next;
    opf_agent_cookie is;
    size_t domain_len, path_len;
    uint64_t age; /* lower: older */
    bool due;     /* goes into the header that is being written */
    char text[];
} cookie;

/* Texts */

typedef struct span {
    const char *at; /* NULL: none */
    size_t len;
} span;

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_word(char c)
{
    return is_digit(c) || c == '_' || (lower(c) >= 'a' && lower(c) <= 'z');
}

/* What str.strip() takes off, in Latin-1. */
static bool is_space(char c)
{
    uint8_t u = (uint8_t)c;
    return (u >= 9 && u <= 13) || (u >= 0x1c && u <= 0x20) || u == 0x85 || u == 0xa0;
}

static span strip(span text)
{
    while (text.len && is_space(text.at[0])) {
        text.at++;
        text.len--;
    }
    while (text.len && is_space(text.at[text.len - 1]))
        text.len--;
    return text;
}

static span strip_quotes(span text)
{
    if (text.len && text.at[0] == '"') {
        text.at++;
        text.len--;
    }
    if (text.len && text.at[text.len - 1] == '"')
        text.len--;
    return text;
}

static bool is(span text, const char *lower_case)
{
    return text.len == strlen(lower_case) && strncasecmp(text.at, lower_case, text.len) == 0;
}

/* Cuts text at the first c: returns what stands before it, leaves what stands behind (none if there
 * is no c). */
static span cut(span *text, char c)
{
    span before = *text;
    const char *found = text->len ? memchr(text->at, c, text->len) : NULL;
    if (!found) {
        *text = (span){0};
        return before;
    }
    before.len = (size_t)(found - text->at);
    *text = (span){found + 1, text->len - before.len - 1};
    return before;
}

/* Reads an integer as Python's int() does, but for underscores; what is beyond 2^40 becomes that.
 */
static bool read_int(span text, int64_t *value)
{
    text = strip(text);
    bool negative = text.len && text.at[0] == '-';
    if (text.len && (text.at[0] == '-' || text.at[0] == '+')) {
        text.at++;
        text.len--;
    }
    int64_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (!is_digit(text.at[i]))
            return false;
        n = n * 10 + (text.at[i] - '0');
        if (n > (int64_t)1 << 40)
            n = (int64_t)1 << 40;
    }
    *value = negative ? -n : n;
    return text.len > 0;
}

/* Dates, as http.cookiejar.http2time reads them */

static void skip_space(span *text)
{
    while (text->len && is_space(text->at[0])) {
        text->at++;
        text->len--;
    }
}

static bool skip(span *text, char c)
{
    if (!text->len || text->at[0] != c)
        return false;
    text->at++;
    text->len--;
    return true;
}

/* Takes min to max characters of a kind off the front. */
static bool take(span *text, bool (*kind)(char), size_t min, size_t max, span *out)
{
    size_t n = 0;
    while (n < text->len && n < max && kind(text->at[n]))
        n++;
    *out = (span){text->at, n};
    text->at += n;
    text->len -= n;
    return n >= min;
}

static bool take_number(span *text, size_t min, size_t max, int64_t *value)
{
    span digits;
    return take(text, is_digit, min, max, &digits) && read_int(digits, value);
}

static bool is_letter(char c)
{
    return lower(c) >= 'a' && lower(c) <= 'z';
}

/* Behind a day and a month: white space, or - or /. */
static bool skip_separator(span *text)
{
    if (skip(text, '-') || skip(text, '/'))
        return true;
    size_t before = text->len;
    skip_space(text);
    return text->len < before;
}

static void skip_weekday(span *text)
{
    static const char days[7][4] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};
    span rest;
    for (size_t i = 0; i < 7; i++)
        if (text->len >= 3 && strncasecmp(text->at, days[i], 3) == 0) {
            take(text, is_letter, 0, SIZE_MAX, &rest);
            skip(text, ',');
            skip_space(text);
            return;
        }
}

/* A month's number, from its name or as it is; 0: none. */
static int64_t month_of(span text)
{
    static const char months[12][4] = {"jan", "feb", "mar", "apr", "may", "jun",
                                       "jul", "aug", "sep", "oct", "nov", "dec"};
    int64_t n;
    for (int64_t i = 0; i < 12; i++)
        if (is(text, months[i]))
            return i + 1;
    return read_int(text, &n) && n >= 1 && n <= 12 ? n : 0;
}

typedef struct date {
    int64_t year, month, day, hour, minute, second, offset;
} date;

/* The time of day, which may be missing. */
static bool take_clock(span *text, date *out)
{
    span rest = *text;
    date got = *out;
    size_t before = rest.len;
    if (!skip(&rest, ':'))
        skip_space(&rest);
    if (rest.len == before || !take_number(&rest, 1, 2, &got.hour) || !skip(&rest, ':') ||
        !take_number(&rest, 2, 2, &got.minute))
        return true;
    *text = rest;
    if (skip(&rest, ':') && take_number(&rest, 2, 2, &got.second))
        *text = rest;
    *out = got;
    return true;
}

/* The zone, which may be missing: a name of UTC, or [+-]h[h][mm]. */
static bool take_zone(span *text, date *out)
{
    static const char *const zones[] = {"gmt", "utc", "ut", "z"};
    span name;
    bool minus = text->len && text->at[0] == '-';
    if (take(text, is_letter, 1, SIZE_MAX, &name)) {
        for (size_t i = 0; i < 4; i++)
            if (is(name, zones[i]))
                return true;
        return false;
    }
    bool sign = skip(text, '-') || skip(text, '+');
    if (!take(text, is_digit, 2, 4, &name))
        return !sign && !name.len;
    int64_t hours = 0, minutes = 0;
    /* three digits are one of hours and two of minutes to its expression */
    size_t n_hours = name.len > 2 ? name.len - 2 : name.len;
    read_int((span){name.at, n_hours}, &hours);
    if (name.len > 2)
        read_int((span){name.at + n_hours, 2}, &minutes);
    out->offset = (minus ? -1 : 1) * (3600 * hours + 60 * minutes);
    return true;
}

static bool take_comment(span *text)
{
    span word;
    if (!skip(text, '('))
        return true;
    return take(text, is_word, 1, SIZE_MAX, &word) && skip(text, ')');
}

static bool take_date(span text, date *out)
{
    span month;
    skip_space(&text);
    skip_weekday(&text);
    if (!take_number(&text, 1, 2, &out->day) || !skip_separator(&text) ||
        !take(&text, is_word, 1, SIZE_MAX, &month) || !skip_separator(&text) ||
        !take_number(&text, 1, SIZE_MAX, &out->year) || !take_clock(&text, out))
        return false;
    out->month = month_of(month);
    skip_space(&text);
    if (!take_zone(&text, out))
        return false;
    skip_space(&text);
    if (!take_comment(&text))
        return false;
    skip_space(&text);
    return text.len == 0;
}

/* Days from 1970-01-01 to a day of the Gregorian calendar. */
static int64_t days_to(int64_t year, int64_t month, int64_t day)
{
    year -= month <= 2;
    int64_t era = year / 400, in_era = year - era * 400;
    int64_t in_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + in_era * 365 + in_era / 4 - in_era / 100 + in_year - 719468;
}

static int64_t year_of(int64_t now)
{
    int64_t year = 1970 + now / 31556952; /* of a mean year: right but for some hours */
    return year;
}

/* A year of two digits means the one that is closest. */
static int64_t whole_year(int64_t year, int64_t now)
{
    if (year >= 1000)
        return year;
    int64_t current = year_of(now), ahead = current % 100 - year;
    year += current - current % 100;
    if (ahead > 50)
        return year + 100;
    return ahead < -50 ? year - 100 : year;
}

/* Reads a date into seconds since 1970. Returns false for what is none. */
static bool read_date(span text, int64_t now, int64_t *seconds)
{
    date at = {0};
    if (!take_date(text, &at) || at.year > 9999)
        return false;
    at.year = whole_year(at.year, now);
    if (at.year < 1970 || !at.month || at.day < 1 || at.day > 31 || at.hour > 24 ||
        at.minute > 59 || at.second > 61)
        return false;
    *seconds = days_to(at.year, at.month, at.day) * 86400 + at.hour * 3600 + at.minute * 60 +
               at.second - at.offset;
    return true;
}

/* Hosts and paths of requests */

static bool is_path_safe(char c)
{
    return is_word(c) || (c && strchr("%/;:@&=+$,!~*'().-", c));
}

static int append_percent(opf_buf *out, uint8_t byte)
{
    uint8_t text[3];
    opf_url_put_encoded(text, (char)byte);
    return opf_buf_append(out, text, 3);
}

/* Appends a path (Latin-1) as http.cookiejar.escape_path gives it. */
static int append_path(opf_buf *out, span path)
{
    int ret = 0;
    for (size_t i = 0; i < path.len && ret == 0; i++) {
        char c = path.at[i];
        uint8_t u = (uint8_t)c;
        if (opf_url_is_escape(path.at + i, path.at + path.len)) {
            char upper[3] = {'%', path.at[i + 1], path.at[i + 2]};
            for (int k = 1; k < 3; k++)
                if (!is_digit(upper[k]))
                    upper[k] = (char)(upper[k] & ~0x20);
            ret = opf_buf_append(out, upper, 3);
            i += 2;
        } else if (is_path_safe(c)) {
            ret = opf_buf_append(out, &c, 1);
        } else if (u < 0x80) {
            ret = append_percent(out, u);
        } else {
            ret = append_percent(out, (uint8_t)(0xc0 | u >> 6));
            if (ret == 0)
                ret = append_percent(out, 0x80 | (u & 0x3f));
        }
    }
    return ret;
}

/* Appends a request's path. */
static int append_request_path(opf_buf *out, const opf_url *url)
{
    span path = {url->target, url->target_len};
    path = cut(&path, '?');
    if (!path.len || path.at[0] != '/')
        if (opf_buf_append(out, "/", 1) != 0)
            return OPF_ENOMEM;
    return append_path(out, path);
}

/* Appends the effective request-host (RFC 2965): lower case, and one without a dot in .local. */
static int append_host(opf_buf *out, const opf_url *url)
{
    size_t start = out->len;
    if (opf_buf_reserve(out, (size_t)url->host_len + 8) != 0)
        return OPF_ENOMEM;
    if (url->ip6)
        out->data[out->len++] = '[';
    for (uint32_t i = 0; i < url->host_len; i++)
        out->data[out->len++] = (uint8_t)lower(url->host[i]);
    if (url->ip6)
        out->data[out->len++] = ']';
    if (!memchr(out->data + start, '.', out->len - start))
        return opf_buf_append(out, ".local", 6);
    return 0;
}

static bool ends_with(span text, span end)
{
    return text.len >= end.len &&
           (!end.len || memcmp(text.at + text.len - end.len, end.at, end.len) == 0);
}

/* The jar */

static bool same(const cookie *a, const opf_agent_cookie *b, int depth)
{
    if (strcmp(a->is.domain, b->domain) != 0 || a->is.host_only != b->host_only)
        return false;
    return (depth < 1 || strcmp(a->is.path, b->path) == 0) &&
           (depth < 2 || strcmp(a->is.name, b->name) == 0);
}

/* The place of the cookie, or NULL. */
static cookie **find(opf_jar *jar, const opf_agent_cookie *of)
{
    for (cookie **at = &jar->first; *at; at = &(*at)->next)
        if (same(*at, of, 2))
            return at;
    return NULL;
}

/* Where a new one goes: behind the last of its domain and path, of its domain, or of all. */
static cookie **find_place(opf_jar *jar, const opf_agent_cookie *of)
{
    cookie **best = NULL;
    for (int depth = 1; depth >= 0 && !best; depth--)
        for (cookie **at = &jar->first; *at; at = &(*at)->next)
            if (same(*at, of, depth))
                best = &(*at)->next;
    if (!best)
        for (best = &jar->first; *best; best = &(*best)->next)
            ;
    return best;
}

static void drop(opf_jar *jar, cookie **at)
{
    cookie *gone = *at;
    *at = gone->next;
    jar->n--;
    opf_mem_free(gone);
}

static void drop_oldest(opf_jar *jar)
{
    cookie **oldest = &jar->first;
    for (cookie **at = &jar->first; *at; at = &(*at)->next)
        if ((*at)->age < (*oldest)->age)
            oldest = at;
    drop(jar, oldest);
}

/* Copies text into the block at *to, which is moved behind it. */
static const char *put(char **to, const char *text)
{
    size_t size = strlen(text) + 1;
    char *at = *to;
    memcpy(at, text, size);
    *to += size;
    return at;
}

static void unescape(char *value)
{
    size_t len = strlen(value);
    if (!len || value[0] != '"' || value[len - 1] != '"')
        return;
    for (const char *at = value; *at;)
        if (at[0] == '\\' && at[1] == '"')
            at += 2;
        else
            *value++ = *at++;
    *value = '\0';
}

static cookie *copy(const opf_agent_cookie *from, bool unescapes)
{
    size_t size = sizeof(cookie) + strlen(from->name) + strlen(from->domain) + strlen(from->path) +
                  (from->value ? strlen(from->value) : 0) + 4;
    cookie *made = opf_mem_alloc(size);
    if (!made)
        return NULL;
    char *to = made->text;
    *made =
        (cookie){.is = *from, .domain_len = strlen(from->domain), .path_len = strlen(from->path)};
    made->is.name = put(&to, from->name);
    char *value = to;
    made->is.value = from->value ? put(&to, from->value) : NULL;
    if (from->value && unescapes)
        unescape(value);
    made->is.domain = put(&to, from->domain);
    made->is.path = put(&to, from->path);
    return made;
}

int opf_jar_set(opf_jar *jar, const opf_agent_cookie *from)
{
    cookie *made = copy(from, jar->unescapes);
    if (!made)
        return OPF_ENOMEM;
    made->age = jar->taken++;
    cookie **at = find(jar, from);
    if (at) {
        made->next = (*at)->next;
        opf_mem_free(*at);
        *at = made;
        return 0;
    }
    if (jar->n >= OPF_JAR_MAX)
        drop_oldest(jar);
    at = find_place(jar, from);
    made->next = *at;
    *at = made;
    jar->n++;
    return 0;
}

static int add_one(void *jar, const opf_agent_cookie *one)
{
    return opf_jar_set(jar, one);
}

int opf_jar_add(opf_jar *jar, const opf_jar *other)
{
    return opf_jar_each(other, add_one, jar);
}

/* Taking cookies */

/* A Set-Cookie field, read. */
typedef struct given {
    span name, value;
    span domain, path; /* at NULL: not given */
    int64_t expires;   /* INT64_MAX: not given */
    int64_t version;
    bool secure, has_secure;
} given;

typedef struct attributes {
    bool has_domain, has_path, has_version, has_expires, has_max_age;
} attributes;

/* Notes an attribute; the first of a kind counts, but for Max-Age. Returns false for one that
 * spoils the cookie. */
static bool note(given *out, attributes *seen, span key, span value, int64_t now)
{
    if (is(key, "secure") && !out->has_secure) {
        out->has_secure = true;
        out->secure = !value.at || value.len;
    } else if (is(key, "domain") && !seen->has_domain) {
        seen->has_domain = true;
        out->domain = value;
        return value.at != NULL;
    } else if (is(key, "path") && !seen->has_path) {
        seen->has_path = true;
        out->path = value;
        return value.at != NULL;
    } else if (is(key, "version") && !seen->has_version) {
        seen->has_version = true;
        return value.at && read_int(strip_quotes(value), &out->version);
    } else if (is(key, "max-age")) {
        int64_t age;
        if (!value.at || !read_int(value, &age))
            return false;
        seen->has_max_age = true;
        out->expires = now + age;
    } else if (is(key, "expires") && !seen->has_expires && !seen->has_max_age && value.at) {
        int64_t at;
        if (read_date(strip_quotes(value), now, &at)) {
            seen->has_expires = true;
            out->expires = at;
        }
    }
    return true;
}

/* Reads a Set-Cookie field. Returns whether it is a cookie. */
static bool read_field(span text, int64_t now, given *out)
{
    attributes seen = {0};
    *out = (given){.expires = INT64_MAX};
    if (text.len && memchr(text.at, '\0', text.len))
        return false;
    for (bool first = true; first || text.at; first = false) {
        span value = strip(cut(&text, ';'));
        span key = strip(cut(&value, '='));
        value = value.at ? strip(value) : value;
        if (first) {
            if (!key.len)
                return false;
            out->name = key;
            out->value = value;
        } else if (key.len && !note(out, &seen, key, value, now)) {
            return false;
        }
    }
    return out->version == 0 || out->version == 1;
}

static int put_span(opf_buf *out, span text, size_t *at)
{
    *at = out->len;
    return opf_buf_append(out, text.at, text.len) != 0 || opf_buf_append(out, "", 1) != 0
               ? OPF_ENOMEM
               : 0;
}

/* Appends the path that a cookie is for, NUL-terminated. */
static int put_path(opf_buf *out, const given *from, const opf_url *url, size_t *at)
{
    *at = out->len;
    int ret = from->path.len ? append_path(out, from->path) : append_request_path(out, url);
    if (ret == 0 && !from->path.len) {
        /* to the last slash, with it in RFC 2109 */
        while (out->data[out->len - 1] != '/')
            out->len--;
        if (from->version == 0 && out->len > *at + 1)
            out->len--;
    }
    return ret == 0 ? opf_buf_append(out, "", 1) : ret;
}

/* Appends the domain that a cookie is for, without a dot before it, NUL-terminated. */
static int put_domain(opf_buf *out, const given *from, const opf_url *url, size_t *at)
{
    *at = out->len;
    span domain = from->domain;
    if (!domain.at)
        return append_host(out, url) != 0 ? OPF_ENOMEM : opf_buf_append(out, "", 1);
    if (domain.len && domain.at[0] == '.') {
        domain.at++;
        domain.len--;
    }
    int ret = put_span(out, domain, at);
    for (size_t i = *at; i < out->len && ret == 0; i++)
        out->data[i] = (uint8_t)lower((char)out->data[i]);
    return ret;
}

/* Whether a host may set a cookie for a domain. */
static bool may_set(span host, span domain)
{
    bool local = ends_with(host, (span){".local", 6});
    if (!local && (!domain.len || !memchr(domain.at, '.', domain.len)))
        return false;
    if (ends_with(host, domain) &&
        (host.len == domain.len || host.at[host.len - domain.len - 1] == '.'))
        return true;
    return local && ends_with((span){host.at, host.len - 6}, domain);
}

/* Makes a cookie of a field, its strings in scratch. Returns 0 or OPF_ENOMEM. */
static int make(const given *from, const opf_url *url, opf_buf *scratch, opf_agent_cookie *out,
                bool *allowed)
{
    size_t name, value = 0, domain, path, host;
    scratch->len = 0;
    if (put_span(scratch, from->name, &name) != 0 ||
        (from->value.at && put_span(scratch, from->value, &value) != 0) ||
        put_domain(scratch, from, url, &domain) != 0 || put_path(scratch, from, url, &path) != 0)
        return OPF_ENOMEM;
    host = scratch->len;
    if (append_host(scratch, url) != 0)
        return OPF_ENOMEM;
    const char *text = (const char *)scratch->data;
    *out = (opf_agent_cookie){.name = text + name,
                              .value = from->value.at ? text + value : NULL,
                              .domain = text + domain,
                              .path = text + path,
                              .host_only = !from->domain.at,
                              .secure = from->secure,
                              .expires = from->expires};
    *allowed = out->host_only || may_set((span){text + host, scratch->len - host},
                                         (span){out->domain, strlen(out->domain)});
    return 0;
}

/* Takes those of a result's cookies that have expired (which deletes them), or the others. */
static int take_fields(opf_jar *jar, const opf_url *url, const opf_result *result, int64_t now,
                       bool expired, opf_buf *scratch)
{
    for (uint32_t i = 0; i < result->n_fields; i++) {
        const opf_field *field = &result->fields[i];
        given from;
        opf_agent_cookie made;
        bool allowed;
        if (field->name_len != 10 ||
            strncasecmp(result->head + field->name_at, "set-cookie", 10) != 0 ||
            !read_field((span){result->head + field->value_at, field->value_len}, now, &from) ||
            (from.expires <= now) != expired)
            continue;
        if (make(&from, url, scratch, &made, &allowed) != 0)
            return OPF_ENOMEM;
        cookie **old = expired ? find(jar, &made) : NULL;
        if (old)
            drop(jar, old);
        if (!expired && allowed && opf_jar_set(jar, &made) != 0)
            return OPF_ENOMEM;
    }
    return 0;
}

int opf_jar_take(opf_jar *jar, const opf_url *url, const opf_result *result, int64_t now)
{
    if (!result->has_set_cookie)
        return 0;
    opf_buf scratch;
    opf_buf_init(&scratch);
    /* a CookieJar deletes while it reads the fields, and keeps what is new afterwards */
    int ret = take_fields(jar, url, result, now, true, &scratch);
    if (ret == 0)
        ret = take_fields(jar, url, result, now, false, &scratch);
    opf_buf_fini(&scratch);
    return ret;
}

/* Sending cookies */

static bool is_for(const cookie *of, span host, span path, bool tls)
{
    span domain = {of->is.domain, of->domain_len};
    if ((of->is.secure && !tls) || (!domain.len && !of->is.host_only))
        return false;
    if (!ends_with(host, domain) ||
        (domain.len && host.len > domain.len && host.at[host.len - domain.len - 1] != '.'))
        return false;
    if (path.len < of->path_len || memcmp(path.at, of->is.path, of->path_len) != 0)
        return false;
    return path.len == of->path_len || (of->path_len && of->is.path[of->path_len - 1] == '/') ||
           path.at[of->path_len] == '/';
}

/* Marks what is for a request, and drops what has expired. */
static void mark(opf_jar *jar, span host, span path, bool tls, int64_t now)
{
    for (cookie **at = &jar->first; *at;) {
        if ((*at)->is.expires <= now) {
            drop(jar, at);
            continue;
        }
        (*at)->due = is_for(*at, host, path, tls);
        at = &(*at)->next;
    }
}

/* The next shorter path of a cookie that is due; SIZE_MAX: none. */
static size_t next_length(const opf_jar *jar, size_t below)
{
    size_t best = SIZE_MAX;
    for (const cookie *at = jar->first; at; at = at->next)
        if (at->due && at->path_len < below && (best == SIZE_MAX || at->path_len > best))
            best = at->path_len;
    return best;
}

static int append_cookie(opf_buf *out, const cookie *of, bool first)
{
    if ((!first && opf_buf_append(out, "; ", 2) != 0) || opf_buf_append_str(out, of->is.name) != 0)
        return OPF_ENOMEM;
    if (!of->is.value)
        return 0;
    return opf_buf_append(out, "=", 1) != 0 || opf_buf_append_str(out, of->is.value) != 0
               ? OPF_ENOMEM
               : 0;
}

int opf_jar_write(opf_jar *jar, const opf_url *url, int64_t now, opf_buf *out)
{
    if (!jar->first)
        return 0;
    size_t start = out->len, host;
    int ret = append_request_path(out, url);
    host = out->len;
    if (ret == 0)
        ret = append_host(out, url);
    if (ret == 0)
        mark(jar, (span){(char *)out->data + host, out->len - host},
             (span){(char *)out->data + start, host - start}, url->tls, now);
    out->len = start;
    if (ret != 0)
        return ret;
    for (size_t len = next_length(jar, SIZE_MAX); len != SIZE_MAX; len = next_length(jar, len))
        for (const cookie *at = jar->first; at; at = at->next)
            if (at->due && at->path_len == len && append_cookie(out, at, out->len == start) != 0) {
                out->len = start;
                return OPF_ENOMEM;
            }
    return 0;
}

int opf_jar_each(const opf_jar *jar, int (*call)(void *arg, const opf_agent_cookie *), void *arg)
{
    for (const cookie *at = jar->first; at; at = at->next) {
        int ret = call(arg, &at->is);
        if (ret != 0)
            return ret;
    }
    return 0;
}

void opf_jar_fini(opf_jar *jar)
{
    while (jar->first)
        drop(jar, &jar->first);
}
