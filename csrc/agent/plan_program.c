#include "agent/plan_tables.h"
#include "agent/regex.h"
#include "base/mem.h"

/* What an instruction's fields are, to be checked. */
enum {
    DST = 1,
    A = 2,
    B = 4,
    C = 8,
    JUMPS = 16,    /* target is an instruction */
    MAY_JUMP = 32, /* or OPF_NOTHING */
    TEMPLATE = 64, /* what: an entry of that table */
    REQUEST = 128, /* the same, and so below */
    OPERANDS = DST | A | B | C
};

static const uint8_t fields[] = {
    [OPF_OP_GEN] = DST, /* the rest by its source */
    [OPF_OP_MOVE] = DST | A,
    [OPF_OP_TEXT] = DST | TEMPLATE,
    [OPF_OP_PICK] = DST | A,
    [OPF_OP_ADD] = DST | A | B,
    [OPF_OP_SUB] = DST | A | B,
    [OPF_OP_MUL] = DST | A | B,
    [OPF_OP_TRUEDIV] = DST | A | B,
    [OPF_OP_FLOORDIV] = DST | A | B,
    [OPF_OP_MOD] = DST | A | B,
    [OPF_OP_NEG] = DST | A,
    [OPF_OP_ABS] = DST | A,
    [OPF_OP_INT] = DST | A,
    [OPF_OP_FLOAT] = DST | A,
    [OPF_OP_ROUND] = DST | A | B,
    [OPF_OP_MIN] = DST | A | B,
    [OPF_OP_MAX] = DST | A | B,
    [OPF_OP_BOOL] = DST | A,
    [OPF_OP_LEN] = DST | A,
    [OPF_OP_LOWER] = DST | A,
    [OPF_OP_UPPER] = DST | A,
    [OPF_OP_STRIP] = DST | A,
    [OPF_OP_REPLACE] = DST | A | B | C,
    [OPF_OP_SLICE] = DST | A | B | C,
    [OPF_OP_MEMBER] = DST | A,
    [OPF_OP_SEARCH] = DST | A,
    [OPF_OP_TYPE] = DST | A,
    [OPF_OP_DATE_ISO] = DST | A | B,
    [OPF_OP_DATE_FORMAT] = DST | A | B | C,
    [OPF_OP_BRANCH] = A | JUMPS, /* b by its condition */
    [OPF_OP_JUMP] = JUMPS,
    [OPF_OP_REQUEST] = REQUEST,
    [OPF_OP_NEED] = A | MAY_JUMP | TEMPLATE,
    [OPF_OP_SUCCESS] = 0,
    [OPF_OP_FAILURE] = TEMPLATE,
    [OPF_OP_REPORT] = 0,
    [OPF_OP_FORGET] = 0,
    [OPF_OP_SLEEP] = A,
    [OPF_OP_RAISE] = 0,
    [OPF_OP_EXPECT] = A,
    [OPF_OP_STOP] = 0,
    [OPF_OP_END] = 0,
};

bool opf_plan_has(const opf_plan *plan, opf_operand operand)
{
    return operand >= 0 ? (uint32_t)operand < plan->n_registers
                        : (uint32_t)~operand < plan->n_constants;
}

static bool has_operands(const opf_plan *plan, const opf_instruction *in, unsigned which)
{
    return (!(which & A) || opf_plan_has(plan, in->a)) &&
           (!(which & B) || opf_plan_has(plan, in->b)) &&
           (!(which & C) || opf_plan_has(plan, in->c));
}

static bool good_source(const opf_plan *plan, const opf_instruction *in)
{
    switch ((opf_source)in->what) {
    case OPF_GEN_TIME:
    case OPF_GEN_TIME_NS:
    case OPF_GEN_MONOTONIC:
    case OPF_GEN_NOW:
    case OPF_GEN_UUID4:
    case OPF_GEN_UUID1:
    case OPF_GEN_RANDOM:
    case OPF_GEN_ORDINAL:
        return true;
    case OPF_GEN_UNIFORM:
    case OPF_GEN_GAUSS:
    case OPF_GEN_STRING:
        return has_operands(plan, in, A | B);
    case OPF_GEN_RANDRANGE:
        return has_operands(plan, in, A | B | C);
    case OPF_GEN_EXPOVARIATE:
    case OPF_GEN_BITS:
    case OPF_GEN_HEX:
        return has_operands(plan, in, A);
    case OPF_GEN_COUNTER:
        return in->a >= 0 && (uint32_t)in->a < plan->n_counters;
    }
    return false;
}

static bool good_condition(const opf_plan *plan, const opf_instruction *in)
{
    switch ((opf_condition)in->what) {
    case OPF_IF_EQ:
    case OPF_IF_NE:
    case OPF_IF_LT:
    case OPF_IF_LE:
    case OPF_IF_GT:
    case OPF_IF_GE:
    case OPF_IF_IN:
    case OPF_IF_STARTS:
    case OPF_IF_ENDS:
        return has_operands(plan, in, B);
    case OPF_IF_TRUE:
    case OPF_IF_SET:
    case OPF_IF_NONE:
    case OPF_IF_KIND:
        return true;
    }
    return false;
}

static bool good_details(const opf_plan *plan, const opf_instruction *in)
{
    switch (in->op) {
    case OPF_OP_GEN:
        return good_source(plan, in);
    case OPF_OP_PICK:
        return in->what < plan->n_tables;
    case OPF_OP_MEMBER:
        return in->what < plan->n_paths;
    case OPF_OP_SEARCH:
        return in->what < plan->n_regexes && in->b >= 0 &&
               (uint32_t)in->b <= opf_regex_groups(plan->regexes[in->what]);
    case OPF_OP_BRANCH:
        return good_condition(plan, in);
    case OPF_OP_RAISE:
    case OPF_OP_EXPECT:
        return in->what < plan->n_raises;
    default:
        return true;
    }
}

static int refuse(opf_why *why, const char *text)
{
    *why = text;
    return OPF_EINVAL;
}

static int check_instruction(const opf_plan *plan, const opf_program *program,
                             const opf_instruction *in, opf_why *why)
{
    if ((unsigned)in->op > OPF_OP_END)
        return refuse(why, "an instruction that does not exist");
    unsigned which = fields[in->op];
    if (in->line >= plan->n_lines)
        return refuse(why, "an instruction of a line that does not exist");
    if ((which & DST) && in->dst >= plan->n_registers)
        return refuse(why, "an instruction's register does not exist");
    if (!has_operands(plan, in, which))
        return refuse(why, "an instruction's operand does not exist");
    if (((which & JUMPS) || ((which & MAY_JUMP) && in->target != OPF_NOTHING)) &&
        in->target >= program->n)
        return refuse(why, "an instruction's target does not exist");
    if (((which & TEMPLATE) && in->what >= plan->n_templates) ||
        ((which & REQUEST) && in->what >= plan->n_requests) || !good_details(plan, in))
        return refuse(why, "an instruction names what does not exist");
    return 0;
}

static bool ends(opf_op op)
{
    return op == OPF_OP_END || op == OPF_OP_STOP || op == OPF_OP_RAISE;
}

/* Where an instruction may lead to at once; what waits in between may lead anywhere. Returns how
 * many. */
static unsigned successors(const opf_program *program, uint32_t at, uint32_t next[2])
{
    const opf_instruction *in = &program->code[at];
    unsigned n = 0;
    if (ends(in->op) || in->op == OPF_OP_REQUEST || in->op == OPF_OP_SLEEP)
        return 0;
    if (in->op != OPF_OP_JUMP)
        next[n++] = at + 1;
    if ((fields[in->op] & JUMPS) || ((fields[in->op] & MAY_JUMP) && in->target != OPF_NOTHING))
        next[n++] = in->target;
    return n;
}

/* Instructions that can be told to end are taken away, until none is left or those that are go
 * round. */
static int check_ends(const opf_program *program, opf_why *why)
{
    uint32_t n = program->n, left = n, before;
    bool *good = opf_mem_zalloc(n);
    if (!good)
        return OPF_ENOMEM;
    do {
        before = left;
        for (uint32_t at = n; at-- > 0;) {
            uint32_t next[2];
            unsigned many = good[at] ? 0 : successors(program, at, next);
            bool all = !good[at];
            for (unsigned i = 0; i < many; i++)
                all = all && good[next[i]];
            if (all) {
                good[at] = true;
                left--;
            }
        }
    } while (left && left < before);
    opf_mem_free(good);
    return left ? refuse(why, "a program goes round without a request or a sleep") : 0;
}

int opf_plan_check_program(const opf_plan *plan, const opf_program *program, opf_why *why)
{
    if (!program->name)
        return refuse(why, "a program without a name");
    if (program->n == 0 || !program->code)
        return refuse(why, "a program without instructions");
    for (uint32_t i = 0; i < program->n; i++) {
        int rc = check_instruction(plan, program, &program->code[i], why);
        if (rc != 0)
            return rc;
    }
    opf_op last = program->code[program->n - 1].op;
    if (!ends(last) && last != OPF_OP_JUMP)
        return refuse(why, "a program that does not end");
    return check_ends(program, why);
}
