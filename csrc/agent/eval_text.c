#include "agent/eval_own.h"
#include "agent/json.h"
#include "agent/number.h"
#include "agent/regex.h"
#include "agent/utf8.h"

static int put_part(opf_eval *eval, uint32_t dst, const opf_value *of, size_t at, size_t len)
{
    opf_value part = {.kind = OPF_TEXT, .len = (uint32_t)len, .s = len ? of->s + at : ""};
    return opf_eval_put(eval, dst, &part);
}

static int length(opf_eval *eval, const opf_instruction *in)
{
    const opf_value *a = opf_eval_operand(eval, in->a);
    if (a->kind == OPF_TEXT)
        return opf_eval_put_int(eval, in->dst, (int64_t)opf_utf8_count(a->s, a->len));
    if (a->kind == OPF_JSON) {
        uint32_t n;
        int rc = opf_json_count(a, eval->arena, &n);
        return rc == 0 ? opf_eval_put_int(eval, in->dst, n) : rc;
    }
    return opf_eval_refuse(eval, "TypeError: len() of what has no length");
}

static int change_case(opf_eval *eval, const opf_instruction *in, const opf_value *a)
{
    char first = in->op == OPF_OP_LOWER ? 'A' : 'a';
    char *text = opf_arena_alloc(eval->arena, a->len);
    if (!text)
        return OPF_ENOMEM;
    for (uint32_t i = 0; i < a->len; i++) {
        char c = a->s[i];
        if ((unsigned char)c >= 0x80)
            return opf_eval_refuse(eval, "lower() or upper() of a text beyond ASCII");
        text[i] = (char)(c >= first && c < first + 26 ? c ^ 0x20 : c);
    }
    opf_value value = {.kind = OPF_TEXT, .len = a->len, .s = text};
    return opf_eval_put(eval, in->dst, &value);
}

static int strip(opf_eval *eval, const opf_instruction *in, const opf_value *a)
{
    size_t from = 0, to = a->len;
    while ((in->b & 1) && from < to && opf_is_space(a->s[from]))
        from++;
    while ((in->b & 2) && from < to && opf_is_space(a->s[to - 1]))
        to--;
    return put_part(eval, in->dst, a, from, to - from);
}

/* Appends what stands before a found text and what takes its place. */
static int put_replaced(opf_buf *out, const char *before, size_t len, const opf_value *c)
{
    if (opf_buf_append(out, before, len) != 0 || opf_buf_append(out, c->s, c->len) != 0)
        return OPF_ENOMEM;
    return out->len > OPF_ARENA_MAX ? OPF_ENOMEM : 0; /* it could not be kept */
}

/* Every found text, or for an empty one the gap before each character and at the end. */
static int write_replaced(const opf_value *a, const opf_value *b, const opf_value *c, opf_buf *out)
{
    size_t at = 0;
    while (b->len && a->len - at >= b->len) {
        const char *found = memmem(a->s + at, a->len - at, b->s, b->len);
        if (!found)
            break;
        size_t to = (size_t)(found - a->s);
        if (put_replaced(out, a->s + at, to - at, c) != 0)
            return OPF_ENOMEM;
        at = to + b->len;
    }
    while (b->len == 0 && at < a->len) {
        size_t from = at;
        opf_utf8_next(a->s, a->len, &at);
        if (put_replaced(out, NULL, 0, c) != 0 || opf_buf_append(out, a->s + from, at - from) != 0)
            return OPF_ENOMEM;
    }
    if (b->len == 0)
        return opf_buf_append(out, c->s, c->len);
    return at < a->len ? opf_buf_append(out, a->s + at, a->len - at) : 0;
}

static int replace(opf_eval *eval, const opf_instruction *in, const opf_value *a)
{
    const opf_value *b = opf_eval_operand(eval, in->b), *c = opf_eval_operand(eval, in->c);
    if (b->kind != OPF_TEXT || c->kind != OPF_TEXT)
        return opf_eval_refuse(eval, "TypeError: replace() of what is no text");
    eval->scratch->len = 0;
    int rc = write_replaced(a, b, c, eval->scratch);
    return rc == 0 ? opf_eval_put_text(eval, in->dst, eval->scratch->data, eval->scratch->len) : rc;
}

/* A bound of a slice in characters, as Python takes it. */
static int get_bound(opf_eval *eval, opf_operand operand, size_t count, size_t otherwise,
                     size_t *bound)
{
    const opf_value *value = opf_eval_operand(eval, operand);
    if (value->kind == OPF_NONE) {
        *bound = otherwise;
        return 0;
    }
    if (!opf_is_int(value))
        return opf_eval_refuse(eval, "TypeError: a slice by what is no int");
    int64_t i = opf_int_of(value), n = (int64_t)count;
    i = i < -n ? 0 : i < 0 ? n + i : i > n ? n : i;
    *bound = (size_t)i;
    return 0;
}

/* in->what: it is the one character at an index. */
static int slice(opf_eval *eval, const opf_instruction *in, const opf_value *a)
{
    size_t count = opf_utf8_count(a->s, a->len), from = 0, to = 0, at = 0;
    int rc = get_bound(eval, in->b, count, 0, &from);
    if (rc == 0)
        rc = get_bound(eval, in->c, count, count, &to);
    if (rc != 0)
        return rc;
    if (in->what && from >= to)
        return opf_eval_refuse(eval, "IndexError: string index out of range");
    for (size_t i = 0; i < from; i++)
        opf_utf8_next(a->s, a->len, &at);
    size_t start = at;
    for (size_t i = from; i < to; i++)
        opf_utf8_next(a->s, a->len, &at);
    return put_part(eval, in->dst, a, start, at - start);
}

static int member(opf_eval *eval, const opf_instruction *in)
{
    const opf_value *a = opf_eval_operand(eval, in->a);
    opf_json_want want = {.path = &eval->plan->paths[in->what]};
    int rc = 0;
    if (a->kind == OPF_JSON)
        rc = opf_json_find(a->s, a->len, &want, 1, eval->arena);
    if (a->kind != OPF_JSON || *a->s != '{')
        return opf_eval_no_attribute(eval, a, "get");
    if (rc == OPF_EINVAL)
        return opf_eval_refuse(eval, OPF_TOO_LARGE);
    return rc == 0 ? opf_eval_put(eval, in->dst, &want.value) : rc;
}

static int search(opf_eval *eval, const opf_instruction *in, const opf_value *a)
{
    size_t at, len;
    int rc = opf_regex_search(eval->plan->regexes[in->what], a->s, a->len, (uint32_t)in->b, &at,
                              &len, &eval->why);
    if (rc < 0)
        return rc;
    if (rc == 0 || at == SIZE_MAX)
        return opf_eval_put(eval, in->dst, &(opf_value){.kind = rc == 0 ? OPF_UNSET : OPF_NONE});
    return put_part(eval, in->dst, a, at, len);
}

/* Refuses what is done with texts of a value that is none. */
static int refuse_kind(opf_eval *eval, const opf_instruction *in, const opf_value *a)
{
    static const char *const strips[] = {"strip", "lstrip", "rstrip", "strip"};
    switch (in->op) {
    case OPF_OP_LOWER:
        return opf_eval_no_attribute(eval, a, "lower");
    case OPF_OP_UPPER:
        return opf_eval_no_attribute(eval, a, "upper");
    case OPF_OP_STRIP:
        return opf_eval_no_attribute(eval, a, strips[in->b & 3]);
    case OPF_OP_REPLACE:
        return opf_eval_no_attribute(eval, a, "replace");
    default:
        return opf_eval_refuse(eval, a->kind == OPF_UNSET
                                         ? "a value that is not there"
                                         : "TypeError: an operation on texts with what is none");
    }
}

int opf_eval_text(opf_eval *eval, const opf_instruction *in)
{
    const opf_value *a = opf_eval_operand(eval, in->a);
    if (in->op == OPF_OP_LEN)
        return length(eval, in);
    if (in->op == OPF_OP_MEMBER)
        return member(eval, in);
    if (in->op == OPF_OP_TYPE) {
        const char *name = opf_eval_type(a);
        return opf_eval_put_text(eval, in->dst, name, strlen(name));
    }
    if (a->kind != OPF_TEXT)
        return refuse_kind(eval, in, a);
    switch (in->op) {
    case OPF_OP_LOWER:
    case OPF_OP_UPPER:
        return change_case(eval, in, a);
    case OPF_OP_STRIP:
        return strip(eval, in, a);
    case OPF_OP_REPLACE:
        return replace(eval, in, a);
    case OPF_OP_SLICE:
        return slice(eval, in, a);
    default:
        return search(eval, in, a);
    }
}
