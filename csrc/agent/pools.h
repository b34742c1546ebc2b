/* The connections of a crew's agents: each agent's own, or some that all agents of a plan share
 * (opf_pool_options.http2_connections).
 *
 * One thread.
 */
#ifndef OPF_AGENT_POOLS_H
#define OPF_AGENT_POOLS_H

#include "agent/agent.h"

/* Returns a pool for an agent of the plan, to be given back; or NULL with *error and crew->why as
 * opf_pool_new fills them in. The options were tried before, but what they name may have gone. */
opf_pool *opf_crew_take_pool(opf_crew *crew, const opf_plan *plan, int *error);

/* Gives back an agent's pool, which nothing of the agent is on any more; the last one of those that
 * share it has it closed. NULL does nothing. */
void opf_crew_give_pool(opf_crew *crew, const opf_plan *plan, opf_pool *pool);

/* Closes the shared ones before their agents are freed, so that none of what waits for a stream is
 * sent any more. Then the agents can but give them back. */
void opf_crew_close_pools(opf_crew *crew);

#endif
