#include <strings.h>

#include "agent/charset.h"
#include "agent/cookies.h"
#include "agent/eval_own.h"
#include "agent/json.h"
#include "agent/regex.h"
#include "base/clock.h"

/* A response while things are taken from it. */
typedef struct taking {
    opf_eval *eval;
    const opf_result *result;
    const char *url;
    size_t url_len;
    opf_value text; /* the body's, once it was asked for */
    bool has_text;
} taking;

static bool is_named(const opf_result *result, const opf_field *field, const char *name)
{
    return field->name_len == strlen(name) &&
           strncasecmp(result->head + field->name_at, name, field->name_len) == 0;
}

/* The value of a header (the first), or an empty text. */
static const char *find_header(const opf_result *result, const char *name, size_t *len)
{
    for (uint32_t i = 0; i < result->n_fields; i++)
        if (is_named(result, &result->fields[i], name)) {
            *len = result->fields[i].value_len;
            return result->head + result->fields[i].value_at;
        }
    *len = 0;
    return "";
}

static int get_text(taking *t)
{
    if (t->has_text)
        return 0;
    size_t len;
    const char *type = find_header(t->result, "content-type", &len);
    opf_charset charset = opf_charset_of(type, len);
    int rc =
        opf_charset_decode(charset, t->result->body, t->result->body_len, t->eval->arena, &t->text);
    t->has_text = rc == 0;
    return rc;
}

static int put_latin1(taking *t, uint32_t dst, const char *s, size_t len)
{
    opf_value value;
    int rc =
        opf_charset_decode(OPF_CHARSET_LATIN1, (const uint8_t *)s, len, t->eval->arena, &value);
    return rc == 0 ? opf_eval_put_copy(t->eval, dst, &value) : rc;
}

static int take_header(taking *t, const opf_extract *extract)
{
    opf_buf *out = t->eval->scratch;
    bool any = false;
    out->len = 0;
    for (uint32_t i = 0; i < t->result->n_fields; i++) {
        const opf_field *field = &t->result->fields[i];
        if (!is_named(t->result, field, extract->name))
            continue;
        if ((any && opf_buf_append(out, ", ", 2) != 0) ||
            opf_buf_append(out, t->result->head + field->value_at, field->value_len) != 0)
            return OPF_ENOMEM;
        any = true;
    }
    if (any)
        return put_latin1(t, extract->dst, (const char *)out->data, out->len);
    opf_eval_unset(t->eval, extract->dst);
    return 0;
}

/* A cookie that is looked for by its name. */
typedef struct wanted {
    const char *name;
    const char *value; /* NULL: not found, or without one */
} wanted;

/* Returns OPF_EINVAL where a RequestsCookieJar raises CookieConflictError. */
static int look_at(void *arg, const opf_agent_cookie *cookie)
{
    wanted *want = arg;
    if (strcmp(cookie->name, want->name) != 0)
        return 0;
    if (want->value)
        return OPF_EINVAL;
    want->value = cookie->value;
    return 0;
}

/* What response.cookies of requests has: a jar of what this response sets, and may set. */
static int take_cookie(taking *t, const opf_extract *extract)
{
    opf_jar jar = {.unescapes = true};
    wanted want = {.name = extract->name};
    const opf_url *site = t->eval->site;
    opf_eval_unset(t->eval, extract->dst);
    if (!t->result->has_set_cookie || !site)
        return 0;
    int rc = opf_jar_take(&jar, site, t->result, (int64_t)(opf_clock_real() / OPF_NS_PER_S));
    if (rc == 0 && opf_jar_each(&jar, look_at, &want) != 0)
        rc = opf_eval_refuse(t->eval, "CookieConflictError: several cookies with that name");
    else if (rc == 0 && want.value)
        rc = put_latin1(t, extract->dst, want.value, strlen(want.value));
    opf_jar_fini(&jar);
    return rc;
}

static int take_text(taking *t, uint32_t dst)
{
    int rc = get_text(t);
    return rc == 0 ? opf_eval_put_copy(t->eval, dst, &t->text) : rc;
}

/* A search that is given up finds nothing. */
static int take_regex(taking *t, const opf_extract *extract)
{
    size_t at = 0, len = 0;
    int rc = get_text(t);
    if (rc == 0 && t->text.kind == OPF_TEXT)
        rc = opf_regex_search(t->eval->plan->regexes[extract->what], t->text.s, t->text.len,
                              extract->group, &at, &len, &t->eval->why);
    if (rc == OPF_ENOMEM)
        return rc;
    if (rc == 1 && at != SIZE_MAX)
        return opf_eval_put_text(t->eval, extract->dst, t->text.s + at, len);
    return opf_eval_put(t->eval, extract->dst,
                        &(opf_value){.kind = rc == 1 ? OPF_NONE : OPF_UNSET});
}

static double elapsed(const opf_result *result)
{
    return result->end_ns > result->start_ns && result->start_ns
               ? (double)(result->end_ns - result->start_ns) / 1e9
               : 0.0;
}

static int take_type(taking *t, uint32_t dst)
{
    opf_value value;
    opf_json_begin((const char *)t->result->body, t->result->body_len, &value);
    const char *name = opf_eval_type(&value);
    if (value.kind != OPF_UNSET)
        return opf_eval_put_text(t->eval, dst, name, strlen(name));
    opf_eval_unset(t->eval, dst);
    return 0;
}

static int take(taking *t, const opf_extract *extract)
{
    const opf_result *result = t->result;
    opf_eval *eval = t->eval;
    uint32_t dst = extract->dst;
    switch (extract->take) {
    case OPF_TAKE_STATUS:
        return opf_eval_put_int(eval, dst, result->status);
    case OPF_TAKE_OK:
        return opf_eval_put_bool(eval, dst,
                                 result->failure == OPF_FAIL_NONE && result->status < 400);
    case OPF_TAKE_REASON:
        return put_latin1(t, dst, result->head, result->head ? result->reason_len : 0);
    case OPF_TAKE_TEXT:
        return take_text(t, dst);
    case OPF_TAKE_CONTENT:
        return opf_eval_put_text(eval, dst, result->body, result->body_len);
    case OPF_TAKE_SIZE:
        return opf_eval_put_int(eval, dst, (int64_t)result->body_len);
    case OPF_TAKE_ELAPSED:
        return opf_eval_put_float(eval, dst, elapsed(result));
    case OPF_TAKE_HEADER:
        return take_header(t, extract);
    case OPF_TAKE_COOKIE:
        return take_cookie(t, extract);
    case OPF_TAKE_URL:
        return opf_eval_put_text(eval, dst, t->url, t->url_len);
    case OPF_TAKE_IS_JSON:
        return opf_eval_put_bool(eval, dst,
                                 opf_json_valid((const char *)result->body, result->body_len));
    case OPF_TAKE_JSON:
        return 0; /* all in one pass: take_json */
    case OPF_TAKE_REGEX:
        return take_regex(t, extract);
    case OPF_TAKE_TYPE:
        return take_type(t, dst);
    }
    return 0;
}

static int take_json(taking *t, const opf_extract *extracts, uint32_t n, uint32_t n_json)
{
    opf_json_want *wants = opf_arena_alloc(t->eval->arena, n_json * sizeof(*wants));
    uint32_t at = 0;
    if (!wants)
        return OPF_ENOMEM;
    for (uint32_t i = 0; i < n; i++)
        if (extracts[i].take == OPF_TAKE_JSON)
            wants[at++].path = &t->eval->plan->paths[extracts[i].what];
    int rc = opf_json_find((const char *)t->result->body, t->result->body_len, wants, n_json,
                           t->eval->arena);
    at = 0;
    if (rc == OPF_EINVAL)
        return opf_eval_refuse(t->eval, OPF_TOO_LARGE);
    for (uint32_t i = 0; i < n && rc == 0; i++)
        if (extracts[i].take == OPF_TAKE_JSON)
            rc = opf_eval_put_copy(t->eval, extracts[i].dst, &wants[at++].value);
    return rc;
}

int opf_eval_extract(opf_eval *eval, const opf_extract *extracts, uint32_t n,
                     const opf_result *result, opf_style style, const char *url, size_t url_len)
{
    (void)style; /* both read bodies alike */
    taking t = {.eval = eval, .result = result, .url = url, .url_len = url_len};
    uint32_t n_json = 0;
    for (uint32_t i = 0; i < n; i++) {
        int rc = take(&t, &extracts[i]);
        if (rc != 0)
            return rc;
        n_json += extracts[i].take == OPF_TAKE_JSON;
    }
    return n_json ? take_json(&t, extracts, n, n_json) : 0;
}
