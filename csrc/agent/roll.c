#include "agent/roll.h"

#include "agent/agent.h"
#include "base/mem.h"

#define FIRST_CHAINS 64

static opf_list *chains_new(uint32_t n)
{
    opf_list *chains = opf_mem_alloc(n * sizeof(*chains));
    for (uint32_t i = 0; chains && i < n; i++)
        opf_list_init(&chains[i]);
    return chains;
}

int opf_roll_init(opf_roll *roll)
{
    *roll = (opf_roll){.chains = chains_new(FIRST_CHAINS)};
    if (!roll->chains)
        return OPF_ENOMEM;
    roll->n_chains = FIRST_CHAINS;
    return 0;
}

void opf_roll_fini(opf_roll *roll)
{
    opf_mem_free(roll->chains);
    *roll = (opf_roll){0};
}

/* The numbers of a thread's agents are a number of threads apart: multiplying (Knuth's way) spreads
 * them. */
static opf_list *chain_of(const opf_roll *roll, uint64_t number)
{
    return &roll->chains[(number * 11400714819323198485ULL >> 32) & (roll->n_chains - 1)];
}

static void grow(opf_roll *roll)
{
    opf_roll grown = {.n = roll->n, .n_chains = roll->n_chains * 2};
    opf_node *node;
    grown.chains = chains_new(grown.n_chains);
    if (!grown.chains)
        return;
    for (uint32_t i = 0; i < roll->n_chains; i++)
        while ((node = opf_list_pop_front(&roll->chains[i])))
            opf_list_push_back(chain_of(&grown, OPF_CONTAINER(node, opf_agent, link)->number),
                               node);
    opf_mem_free(roll->chains);
    *roll = grown;
}

void opf_roll_add(opf_roll *roll, opf_agent *agent)
{
    if (roll->n >= roll->n_chains && roll->n_chains <= UINT32_MAX / 2)
        grow(roll);
    opf_list_push_back(chain_of(roll, agent->number), &agent->link);
    roll->n++;
}

void opf_roll_remove(opf_roll *roll, opf_agent *agent)
{
    opf_list_remove(&agent->link);
    roll->n--;
}

opf_agent *opf_roll_find(const opf_roll *roll, uint64_t number)
{
    const opf_list *chain = chain_of(roll, number);
    for (opf_node *n = chain->next; n != chain; n = n->next) {
        opf_agent *agent = OPF_CONTAINER(n, opf_agent, link);
        if (agent->number == number)
            return agent;
    }
    return NULL;
}
