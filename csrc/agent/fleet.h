/* A fleet: native threads, each with its own engine, agents and tallies.
 *
 * Threads share nothing on the way of a request. Agents come and go by messages; what was counted
 * is handed over when somebody asks for it, and before an agent's end is told, so that who knows of
 * the end has every count. All functions here are for one thread, the fleet's owner, unless they
 * say otherwise; none of them blocks longer than it says. A fleet of before a fork must not be
 * used.
 */
#ifndef OPF_AGENT_FLEET_H
#define OPF_AGENT_FLEET_H

#include "agent/plan.h"
#include "agent/tally.h"
#include "agent/value.h"
#include "opf.h"

typedef struct opf_fleet opf_fleet;

/* A cookie that an agent begins with, or ends with. Strings are NUL-terminated, of the caller;
 * their bytes are sent as they are. */
typedef struct opf_agent_cookie {
    const char *name;
    const char *value;  /* NULL: none, not even an empty one */
    const char *domain; /* without a leading dot; empty: any host */
    const char *path;
    bool host_only;  /* was set without a Domain: http.cookiejar has no dot before its domain */
    bool secure;     /* over TLS alone */
    int64_t expires; /* seconds since 1970; INT64_MAX: with the agent */
} opf_agent_cookie;

/* How an agent is made to end. */
typedef enum opf_stop {
    OPF_STOP_AFTER_TASK, /* when the task under way is over; at once while it waits for the next */
    OPF_STOP_AFTER_REQUEST, /* when the request under way is over and counted */
    OPF_STOP_NOW            /* a request under way is given up and counts as nothing */
} opf_stop;

/* Why an agent has ended. */
typedef enum opf_end {
    OPF_END_ASKED,     /* opf_fleet_stop */
    OPF_END_STOP_USER, /* StopUser in a task */
    OPF_END_FAILED,    /* it could not go on: no memory */
    OPF_END_ON_START   /* the plan's start has ended by an exception, or for want of a value */
} opf_end;

typedef struct opf_agent_end {
    opf_node link;
    uint64_t agent;
    opf_end why;
    bool cut;         /* a request under way was given up */
    uint32_t n_slots; /* what it remembers at its end; texts belong to this message */
    opf_value *slots;
    opf_agent_cookie *cookies;
    uint32_t n_cookies;
} opf_agent_end;

/* Starts so many threads (1 to OPF_FLEET_THREADS). nameservers: as in opf_engine_options. Returns
 * NULL with errno set. */
#define OPF_FLEET_THREADS 256
opf_fleet *opf_fleet_new(uint32_t n_threads, const char *nameservers);

/* Ends the threads, giving up what is under way, and frees the fleet. Blocks until they have ended,
 * which takes no longer than a poll. NULL does nothing. */
void opf_fleet_free(opf_fleet *fleet);

/* Adds n agents of a sealed plan, evenly to the threads; they begin delay_s from now. slots: n
 * times the plan's n_slots values, which are copied; cookies: what each begins with. *first is the
 * number of the first agent, the others follow. Returns 0, or with nothing added OPF_ENOMEM,
 * OPF_ESYS (no descriptors are left, say) or OPF_EINVAL with *error_text filled in, when the plan's
 * pool options can't be used (as opf_pool_new). */
int opf_fleet_add(opf_fleet *fleet, opf_plan *plan, uint32_t n, const opf_value *slots,
                  const opf_agent_cookie *cookies, uint32_t n_cookies, double delay_s,
                  uint64_t *first, char *error_text, size_t error_size);

/* Asks agents to end; a stronger way may be asked for later. Unknown ones are passed over: they may
 * have ended meanwhile. Returns 0 or OPF_ENOMEM. */
int opf_fleet_stop(opf_fleet *fleet, const uint64_t *agents, size_t n, opf_stop how);

/* Readable when there are ends to be taken, or tallies that were asked for. */
int opf_fleet_fd(const opf_fleet *fleet);

/* Asks each thread to hand over what it has counted; they do within a poll. */
void opf_fleet_ask(opf_fleet *fleet);

/* Waits up to timeout_ms until all that was asked for is handed over. For any caller without the
 * GIL. Returns whether it is. */
bool opf_fleet_wait(opf_fleet *fleet, int timeout_ms);

/* Take all that has been handed over: tallies first, then ends, whose counts are among them. The
 * caller frees each by opf_tally_free or opf_agent_end_free. NULL: nothing more. */
opf_tally *opf_fleet_take_tally(opf_fleet *fleet);
opf_agent_end *opf_fleet_take_end(opf_fleet *fleet);
void opf_tally_free(opf_tally *tally);
void opf_agent_end_free(opf_agent_end *end);

/* Figures of a thread. */
typedef struct opf_fleet_figures {
    uint64_t agents;    /* that it has */
    uint64_t waiting;   /* of these: between tasks */
    uint64_t under_way; /* of these: a request is under way */
    uint64_t requests;  /* counted since it began */
    uint64_t cpu_ns;    /* of its own, since it began */
    uint64_t late_ns;   /* how long after its time the last timer fired: the generator's own lag */
    opf_engine_totals engine;
} opf_fleet_figures;

uint32_t opf_fleet_threads(const opf_fleet *fleet);

/* As of the last poll of the thread, from any thread. */
void opf_fleet_get_figures(const opf_fleet *fleet, uint32_t thread, opf_fleet_figures *figures);

#endif
