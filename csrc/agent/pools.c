#include "agent/pools.h"

#include "base/mem.h"

/* What the agents of a plan share. */
typedef struct shared {
    opf_node link;        /* in the crew's list */
    const opf_plan *plan; /* which its agents hold */
    opf_pool *pool;
    uint32_t agents;
} shared;

static bool shares(const opf_plan *plan)
{
    return plan->pool.http2_connections > 0;
}

static opf_pool *new_pool(opf_crew *crew, const opf_plan *plan, int *error)
{
    opf_pool_options options = plan->pool;
    options.concurrency = 1;
    crew->why[0] = '\0';
    return opf_pool_new(crew->engine, &options, error, crew->why, sizeof(crew->why));
}

static shared *find(opf_crew *crew, const opf_plan *plan)
{
    for (opf_node *n = crew->pools.next; n != &crew->pools; n = n->next) {
        shared *s = OPF_CONTAINER(n, shared, link);
        if (s->plan == plan)
            return s;
    }
    return NULL;
}

static shared *new_shared(opf_crew *crew, const opf_plan *plan, int *error)
{
    *error = OPF_ENOMEM;
    shared *s = opf_mem_zalloc(sizeof(*s));
    if (!s)
        return NULL;
    s->plan = plan;
    s->pool = new_pool(crew, plan, error);
    if (!s->pool) {
        opf_mem_free(s);
        return NULL;
    }
    opf_list_push_back(&crew->pools, &s->link);
    return s;
}

opf_pool *opf_crew_take_pool(opf_crew *crew, const opf_plan *plan, int *error)
{
    if (!shares(plan))
        return new_pool(crew, plan, error);
    shared *s = find(crew, plan);
    if (!s)
        s = new_shared(crew, plan, error);
    if (!s)
        return NULL;
    s->agents++;
    return s->pool;
}

void opf_crew_give_pool(opf_crew *crew, const opf_plan *plan, opf_pool *pool)
{
    if (!pool)
        return;
    if (!shares(plan)) {
        opf_pool_free(pool);
        return;
    }
    shared *s = find(crew, plan);
    if (--s->agents)
        return;
    opf_list_remove(&s->link);
    opf_pool_free(s->pool);
    opf_mem_free(s);
}

void opf_crew_close_pools(opf_crew *crew)
{
    for (opf_node *n = crew->pools.next; n != &crew->pools; n = n->next) {
        shared *s = OPF_CONTAINER(n, shared, link);
        opf_pool_free(s->pool);
        s->pool = NULL;
    }
}
