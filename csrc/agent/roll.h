/* Which agents a crew has, by number.
 *
 * Agents are in it by their link; nothing here owns them. One thread.
 */
#ifndef OPF_AGENT_ROLL_H
#define OPF_AGENT_ROLL_H

#include <stdint.h>

#include "base/list.h"

struct opf_agent;

typedef struct opf_roll {
    opf_list *chains;  /* by number */
    uint32_t n_chains; /* a power of two */
    uint32_t n;        /* agents */
} opf_roll;

/* Sets up an empty one. Returns 0 or OPF_ENOMEM. */
int opf_roll_init(opf_roll *roll);

/* Gives the memory back. It must be empty. */
void opf_roll_fini(opf_roll *roll);

/* Adds an agent, which is in no list. Without memory to grow the roll only gets slower. */
void opf_roll_add(opf_roll *roll, struct opf_agent *agent);

/* Takes out one of its agents. */
void opf_roll_remove(opf_roll *roll, struct opf_agent *agent);

/* Returns the agent of a number, or NULL. */
struct opf_agent *opf_roll_find(const opf_roll *roll, uint64_t number);

#endif
