#include "agent/eval_own.h"

static int pick(opf_eval *eval, const opf_instruction *in)
{
    const opf_table *table = &eval->plan->tables[in->what];
    const opf_value *a = opf_eval_operand(eval, in->a);
    if (!opf_is_int(a))
        return opf_eval_refuse(eval, "TypeError: an index that is no int");
    int64_t i = opf_int_of(a);
    i += i < 0 ? (int64_t)table->n : 0;
    if (i < 0 || i >= (int64_t)table->n)
        return opf_eval_refuse(eval, "IndexError: list index out of range");
    return opf_eval_put(eval, in->dst, opf_eval_operand(eval, table->entries[i]));
}

static int text(opf_eval *eval, const opf_instruction *in)
{
    eval->scratch->len = 0;
    int rc = opf_eval_template(eval, &eval->plan->templates[in->what], eval->scratch);
    return rc == 0 ? opf_eval_put_text(eval, in->dst, eval->scratch->data, eval->scratch->len) : rc;
}

int opf_eval_step(opf_eval *eval, const opf_instruction *in)
{
    if (in->op == OPF_OP_GEN)
        return opf_eval_gen(eval, in);
    if (in->op == OPF_OP_MOVE)
        return opf_eval_put(eval, in->dst, opf_eval_operand(eval, in->a));
    if (in->op == OPF_OP_TEXT)
        return text(eval, in);
    if (in->op == OPF_OP_PICK)
        return pick(eval, in);
    if (in->op <= OPF_OP_BOOL)
        return opf_eval_number(eval, in);
    if (in->op <= OPF_OP_TYPE)
        return opf_eval_text(eval, in);
    return opf_eval_date(eval, in);
}
