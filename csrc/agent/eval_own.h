/* What the parts of the evaluation share; eval.h is its face. One thread.
 *
 * Functions return 0, OPF_ENOMEM, or OPF_EINVAL with eval->why. dst is any register: of the task or
 * a slot.
 */
#ifndef OPF_AGENT_EVAL_OWN_H
#define OPF_AGENT_EVAL_OWN_H

#include "agent/eval.h"

static inline bool opf_has_bytes(const opf_value *value)
{
    return value->kind == OPF_TEXT || value->kind == OPF_JSON;
}

static inline bool opf_is_int(const opf_value *value) /* bool is one, as in Python */
{
    return value->kind == OPF_INT || value->kind == OPF_BOOL;
}

static inline int64_t opf_int_of(const opf_value *value)
{
    return value->kind == OPF_BOOL ? value->b : value->i;
}

static inline bool opf_is_number(const opf_value *value)
{
    return opf_is_int(value) || value->kind == OPF_FLOAT;
}

static inline double opf_float_of(const opf_value *value)
{
    return value->kind == OPF_FLOAT ? value->f : (double)opf_int_of(value);
}

/* Sets a register. A text's bytes must be the plan's, a slot's or the arena's; opf_eval_put_copy
 * copies those of anybody. */
int opf_eval_put(opf_eval *eval, uint32_t dst, const opf_value *value);
int opf_eval_put_copy(opf_eval *eval, uint32_t dst, const opf_value *value);
int opf_eval_put_text(opf_eval *eval, uint32_t dst, const void *s, size_t len); /* copies */
int opf_eval_put_int(opf_eval *eval, uint32_t dst, int64_t i);
int opf_eval_put_float(opf_eval *eval, uint32_t dst, double f);
int opf_eval_put_bool(opf_eval *eval, uint32_t dst, bool b);

/* Sets why and returns OPF_EINVAL. */
int opf_eval_refuse(opf_eval *eval, const char *why);

/* As opf_eval_refuse, for what has no such attribute: as Python's AttributeError. */
int opf_eval_no_attribute(opf_eval *eval, const opf_value *value, const char *name);

/* type(value).__name__; "" of what is not set. */
const char *opf_eval_type(const opf_value *value);

/* Why an int of JSON is not read. */
#define OPF_TOO_LARGE "OverflowError: an int beyond 64 bits"

/* Two numbers or two texts as Python orders them: *order is below, at or above 0; of a NaN *order
 * is 2, which is no order. */
int opf_eval_compare(opf_eval *eval, const opf_value *a, const opf_value *b, int *order);

/* bool(value). */
int opf_eval_truth(opf_eval *eval, const opf_value *value, bool *truth);

/* Kinds of instructions, a file each. */
int opf_eval_gen(opf_eval *eval, const opf_instruction *in);    /* GEN */
int opf_eval_number(opf_eval *eval, const opf_instruction *in); /* ADD to BOOL */
int opf_eval_text(opf_eval *eval, const opf_instruction *in);   /* LEN to TYPE */
int opf_eval_date(opf_eval *eval, const opf_instruction *in);   /* DATE_* */

#endif
