/* What a plan's instructions do that concerns values alone: drawing, computing, comparing, writing
 * templates, and taking values from a response.
 *
 * One evaluation belongs to one task under way of one agent. Texts that are made in it live in its
 * arena, until opf_arena_clear. One thread.
 */
#ifndef OPF_AGENT_EVAL_H
#define OPF_AGENT_EVAL_H

#include "agent/plan.h"
#include "agent/value.h"
#include "base/buf.h"
#include "opf.h"

/* Memory for texts: given back all at once. All zero before its first use. */
typedef struct opf_arena {
    struct opf_arena_block *blocks;
    size_t used; /* bytes in all blocks */
} opf_arena;

#define OPF_ARENA_MAX (4U << 20) /* bytes; what would need more is out of memory */

/* Returns len bytes that stay until the arena is cleared, or NULL. */
void *opf_arena_alloc(opf_arena *arena, size_t len);
/* Empties it and keeps one block, unless it is a large one; opf_arena_fini keeps none. */
void opf_arena_clear(opf_arena *arena);
void opf_arena_fini(opf_arena *arena);

/* Random numbers (xoshiro256**, Blackman and Vigna 2018). */
typedef struct opf_random {
    uint64_t s[4];
} opf_random;

/* Seeds it from the system (getrandom). Returns 0 or OPF_ESYS. */
int opf_random_init(opf_random *random);
uint64_t opf_random_bits(opf_random *random);
double opf_random_unit(opf_random *random);                /* in [0, 1), 53 bits */
uint64_t opf_random_below(opf_random *random, uint64_t n); /* in [0, n), n > 0, unbiased */

typedef struct opf_eval {
    opf_plan *plan;       /* sealed */
    opf_value *slots;     /* the agent's, plan->n_slots of them */
    opf_value *registers; /* the task's: plan->n_registers - n_slots, by their number - n_slots */
    opf_arena *arena;
    opf_random *random;
    uint64_t ordinal;    /* the agent's number */
    opf_buf *scratch;    /* of the thread */
    const opf_url *site; /* whose cookies opf_eval_extract takes; NULL: it takes none */
    opf_why why; /* of the last OPF_EINVAL: a text, constant or of the arena, such as "int() of a
                    text that is no number", of what Python raises no ValueError for with the
                    exception's type before it: "TypeError: len() of what has no length" */
} opf_eval;

/* Slots: values that outlive tasks; each text is a block of its own (opf_mem_alloc). Setting copies
 * and frees what was there. Return 0 or OPF_ENOMEM with nothing changed. */
int opf_slot_set(opf_value *slot, const opf_value *value);
void opf_slot_clear(opf_value *slot);

/* The value of an operand. It belongs to the plan, the agent or the arena. */
const opf_value *opf_eval_operand(const opf_eval *eval, opf_operand operand);

/* Makes a register OPF_UNSET. */
void opf_eval_unset(opf_eval *eval, uint32_t dst);

/* Executes one of OPF_OP_GEN to OPF_OP_DATE_FORMAT. Returns 0, OPF_ENOMEM, or OPF_EINVAL with why.
 */
int opf_eval_step(opf_eval *eval, const opf_instruction *in);

/* Decides an OPF_OP_BRANCH. Returns as opf_eval_step. */
int opf_eval_test(opf_eval *eval, const opf_instruction *in, bool *holds);

/* Appends a template as it stands with the present values. Returns as opf_eval_step; out is then in
 * no useful state. */
int opf_eval_template(opf_eval *eval, const opf_template *tmpl, opf_buf *out);

/* Takes all extracts from a result (of a failed request too) in one pass over its body. What is not
 * there is OPF_UNSET. Returns 0, OPF_ENOMEM, or OPF_EINVAL with why for what is there and can't be
 * kept. */
int opf_eval_extract(opf_eval *eval, const opf_extract *extracts, uint32_t n,
                     const opf_result *result, opf_style style, const char *url, size_t url_len);

#endif
