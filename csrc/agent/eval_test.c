#include "agent/eval_own.h"
#include "agent/json.h"

static int order_of(long double a, long double b)
{
    return a < b ? -1 : a > b ? 1 : a == b ? 0 : 2;
}

/* A long double holds every int of 64 bits and every double. */
static long double exact(const opf_value *value)
{
    return value->kind == OPF_FLOAT ? (long double)value->f : (long double)opf_int_of(value);
}

static int compare_bytes(const opf_value *a, const opf_value *b)
{
    uint32_t len = a->len < b->len ? a->len : b->len;
    int order = len ? memcmp(a->s, b->s, len) : 0;
    if (order == 0)
        return (a->len > b->len) - (a->len < b->len);
    return order < 0 ? -1 : 1;
}

int opf_eval_compare(opf_eval *eval, const opf_value *a, const opf_value *b, int *order)
{
    if (a->kind == OPF_TEXT && b->kind == OPF_TEXT) {
        *order = compare_bytes(a, b);
        return 0;
    }
    if (!opf_is_number(a) || !opf_is_number(b))
        return opf_eval_refuse(eval, "TypeError: a comparison of what has no order");
    *order = order_of(exact(a), exact(b));
    return 0;
}

int opf_eval_truth(opf_eval *eval, const opf_value *value, bool *truth)
{
    switch ((opf_kind)value->kind) {
    case OPF_UNSET:
        return opf_eval_refuse(eval, "a value that is not there");
    case OPF_NONE:
        *truth = false;
        return 0;
    case OPF_BOOL:
    case OPF_INT:
        *truth = opf_int_of(value) != 0;
        return 0;
    case OPF_FLOAT:
        *truth = value->f != 0.0;
        return 0;
    case OPF_TEXT:
        *truth = value->len > 0;
        return 0;
    case OPF_JSON: {
        opf_json_raw key, member;
        size_t at = 0;
        *truth = opf_json_next(value, &at, &key, &member);
        return 0;
    }
    }
    return opf_eval_refuse(eval, "a value of no kind");
}

/* Objects and arrays are equal if they stand there in the same way, and else not compared. */
static int equal(opf_eval *eval, const opf_value *a, const opf_value *b, bool *holds)
{
    *holds = false;
    if (opf_is_number(a) && opf_is_number(b))
        *holds = order_of(exact(a), exact(b)) == 0;
    else if (a->kind == b->kind)
        *holds = !opf_has_bytes(a) || compare_bytes(a, b) == 0;
    return a->kind == OPF_JSON && b->kind == OPF_JSON && !*holds
               ? opf_eval_refuse(eval,
                                 "a comparison of two lists or dicts that are not the same text")
               : 0;
}

static bool starts(const opf_value *a, const opf_value *b)
{
    return a->len >= b->len && (b->len == 0 || memcmp(a->s, b->s, b->len) == 0);
}

static bool ends(const opf_value *a, const opf_value *b)
{
    return a->len >= b->len && (b->len == 0 || memcmp(a->s + (a->len - b->len), b->s, b->len) == 0);
}

static int is_member(opf_eval *eval, const opf_value *a, const opf_value *json, bool *holds)
{
    opf_json_raw key, member;
    *holds = false;
    for (size_t at = 0; !*holds && opf_json_next(json, &at, &key, &member);) {
        opf_value value;
        if (key.s) {
            *holds = a->kind == OPF_TEXT && opf_json_is_text(key, a->s, a->len);
            continue;
        }
        int rc = opf_json_value(member, eval->arena, &value);
        if (rc == OPF_EINVAL)
            return opf_eval_refuse(eval, OPF_TOO_LARGE);
        if (rc == 0 && value.kind != OPF_UNSET)
            rc = equal(eval, a, &value, holds);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int is_in(opf_eval *eval, const opf_value *a, const opf_value *b, bool *holds)
{
    if (b->kind == OPF_JSON)
        return is_member(eval, a, b, holds);
    if (a->kind != OPF_TEXT || b->kind != OPF_TEXT)
        return opf_eval_refuse(eval, "TypeError: a search in what is no text");
    *holds = a->len == 0 || (b->len && memmem(b->s, b->len, a->s, a->len));
    return 0;
}

static int compare(opf_eval *eval, opf_condition condition, const opf_value *a, const opf_value *b,
                   bool *holds)
{
    int order = 2;
    int rc = opf_eval_compare(eval, a, b, &order);
    if (condition == OPF_IF_LT)
        *holds = order < 0;
    else if (condition == OPF_IF_LE)
        *holds = order <= 0;
    else if (condition == OPF_IF_GT)
        *holds = order == 1;
    else
        *holds = order == 0 || order == 1;
    return rc;
}

static opf_operand kinds_of(const opf_value *a)
{
    opf_operand json = 0;
    if (a->kind == OPF_JSON)
        json = 1 << (*a->s == '{' ? OPF_KIND_OBJECT : OPF_KIND_ARRAY);
    return 1 << a->kind | json;
}

int opf_eval_test(opf_eval *eval, const opf_instruction *in, bool *holds)
{
    const opf_value *a = opf_eval_operand(eval, in->a), *b;
    opf_condition condition = (opf_condition)in->what;
    int rc;
    *holds = false;
    if (condition == OPF_IF_TRUE)
        return opf_eval_truth(eval, a, holds);
    if (condition == OPF_IF_SET || condition == OPF_IF_NONE || condition == OPF_IF_KIND) {
        *holds = condition == OPF_IF_SET    ? a->kind != OPF_UNSET
                 : condition == OPF_IF_NONE ? a->kind == OPF_NONE
                                            : (in->b & kinds_of(a)) != 0;
        return 0;
    }
    b = opf_eval_operand(eval, in->b);
    if (a->kind == OPF_UNSET || b->kind == OPF_UNSET)
        return opf_eval_refuse(eval, "a value that is not there");
    switch (condition) {
    case OPF_IF_EQ:
    case OPF_IF_NE:
        rc = equal(eval, a, b, holds);
        *holds = *holds == (condition == OPF_IF_EQ);
        return rc;
    case OPF_IF_IN:
        return is_in(eval, a, b, holds);
    case OPF_IF_STARTS:
    case OPF_IF_ENDS:
        if (a->kind != OPF_TEXT)
            return opf_eval_no_attribute(eval, a,
                                         condition == OPF_IF_STARTS ? "startswith" : "endswith");
        if (b->kind != OPF_TEXT)
            return opf_eval_refuse(eval, "TypeError: the start or end of what is no text");
        *holds = condition == OPF_IF_STARTS ? starts(a, b) : ends(a, b);
        return 0;
    default:
        return compare(eval, condition, a, b, holds);
    }
}
