/* One agent: runs the tasks of its plan, one after the other, on its thread's engine.
 *
 * What agents of a thread share is the crew. Everything here belongs to the crew's thread, but
 * opf_agent_new and the freeing of agents that no crew has yet.
 */
#ifndef OPF_AGENT_AGENT_H
#define OPF_AGENT_AGENT_H

#include "agent/cookies.h"
#include "agent/eval.h"
#include "agent/fleet.h"
#include "agent/plan.h"
#include "agent/roll.h"
#include "agent/tally.h"
#include "loop/loop.h"

typedef struct opf_crew {
    opf_engine *engine;
    opf_random random;
    opf_roll agents;
    opf_list pools;   /* of pools.c: shared ones */
    opf_list tallies; /* not handed over yet */
    opf_list ends;    /* opf_agent_end, not told yet */
    opf_tally *tally; /* of the tallies, the one used last; or NULL */
    struct opf_frame *spare;
    uint32_t n_spare;
    opf_buf scratch; /* of evaluations */
    opf_buf body;    /* of a request, before its length is known */
    uint64_t lost;   /* requests that found no memory for a tally: told by the next one */
    char why[256];   /* a pool could not be made, the last time */
    opf_fleet_figures figures;
} opf_crew;

typedef enum opf_agent_state {
    OPF_AGENT_WAITS,  /* for its begin or its next task, by timer */
    OPF_AGENT_SLEEPS, /* within a task, by timer; or lets others have their turn */
    OPF_AGENT_ASKS,   /* a request is under way */
    OPF_AGENT_RUNS    /* its instructions are being done just now */
} opf_agent_state;

typedef struct opf_agent {
    opf_node link; /* of the crew's agents, or of those that wait for a crew */
    opf_crew *crew;
    opf_plan *plan; /* held */
    uint64_t number;
    opf_agent_end *end; /* has the slots; told when it ends */
    opf_pool *pool;     /* of pools.c; NULL before the first request */
    opf_jar jar;
    opf_timer timer;
    struct opf_frame *frame; /* NULL between tasks */
    opf_agent_state state;
    bool stops; /* as stop says */
    opf_stop stop;
    bool begun;                 /* the plan's start was chosen */
    uint32_t set;               /* the task set it is in */
    uint32_t next;              /* choice of a sequential one */
    uint32_t outer, outer_next; /* the set that it was chosen in, and the choice there */
    bool in_set_up;             /* an on_start is under way: no wait behind it */
    bool paced;                 /* the next two count */
    uint64_t paced_ns, paced_wait_ns;
    uint64_t begins; /* monotonic ns */
} opf_agent;

/* Sets up an empty crew. Returns 0, or OPF_ESYS with errno set. The engine stays the caller's. */
int opf_crew_init(opf_crew *crew, opf_engine *engine);

/* Frees the agents, what was not handed over, and the memory. */
void opf_crew_fini(opf_crew *crew);

/* Returns an agent, or NULL without memory. Slots (the plan's n_slots) and cookies are copied. */
opf_agent *opf_agent_new(opf_plan *plan, uint64_t number, const opf_value *slots,
                         const opf_agent_cookie *cookies, uint32_t n_cookies);

/* Frees an agent, giving up what is under way; nothing is told. */
void opf_agent_free(opf_agent *agent);

/* Makes it one of the crew's; it begins at agent->begins. */
void opf_agent_join(opf_agent *agent, opf_crew *crew);

/* The time at which an agent goes on that waits so many ns from now on: later than asked for by up
 * to a thousandth, a millisecond at most, so that those which would go on one shortly after the
 * other do it together, and the thread wakes up once for all of them. */
uint64_t opf_agent_later(uint64_t now, uint64_t wait);

/* True while it has a request that waits for a connection, or for a stream of one. */
bool opf_agent_is_queued(const opf_agent *agent);

/* Makes it end; it may be gone when this returns. */
void opf_agent_stop(opf_agent *agent, opf_stop how);

#endif
