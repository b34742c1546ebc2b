/* The connections of a crew's agents: each agent's own, or some that all agents of a plan share
 * (opf_pool_options.http2_connections).
 *
 * One thread.
 */
#ifndef OPF_AGENT_POOLS_H
#define OPF_AGENT_POOLS_H

#include "agent/agent.h"

/* Returns a pool for an agent of the plan, or NULL without memory. To be given back. */
opf_pool *opf_crew_take_pool(opf_crew *crew, const opf_plan *plan);

/* Gives back an agent's pool, which nothing of the agent is on any more; the last one of those that
 * share it has it closed. NULL does nothing. */
void opf_crew_give_pool(opf_crew *crew, const opf_plan *plan, opf_pool *pool);

#endif
