/* What a thread has counted: requests and failures by name, and exceptions of tasks.
 *
 * A tally holds what belongs to one second of CLOCK_REALTIME, as Locust counts requests per second.
 * It has one owner at a time, and is handed over whole.
 */
#ifndef OPF_AGENT_TALLY_H
#define OPF_AGENT_TALLY_H

#include "agent/plan.h"
#include "base/list.h"
#include "opf.h"

/* Requests of one method and name. */
typedef struct opf_tally_cell {
    char *method; /* NUL-terminated, as is the name */
    char *name;
    uint32_t name_len;
    opf_cell cell;
    double last; /* seconds since 1970 of the last request */
} opf_tally_cell;

/* Why a request counts as failed. What of it makes another text is what tells failures apart. */
typedef enum opf_fault {
    OPF_FAULT_ENGINE,    /* failure, phase, err, detail, reused, redirected: as in opf_result */
    OPF_FAULT_STATUS,    /* status and text, the reason phrase */
    OPF_FAULT_USER,      /* text, by response.failure() */
    OPF_FAULT_MISSING,   /* text: what a response does not have that the task needs */
    OPF_FAULT_REFUSED,   /* not sent: text says why (a line break in a header ...) */
    OPF_FAULT_REDIRECTS, /* more than the plan's max_redirects */
    OPF_FAULT_REDIRECT   /* one that can't be followed: text says why */
} opf_fault;

typedef struct opf_tally_failure {
    uint32_t cell;
    opf_fault fault;
    opf_failure failure;
    opf_phase phase;
    int err;
    const char *detail; /* constant text or NULL */
    bool reused;        /* the connection had carried requests before */
    int status;
    char *url;  /* scheme, host and port that were asked, NUL-terminated */
    char *text; /* UTF-8, NUL-terminated, or NULL */
    uint32_t text_len;
    uint64_t count;
    double connect_s, network_s; /* time-outs that were in force */
    size_t limit;                /* that was exceeded, in bytes; 0: none */
} opf_tally_failure;

/* Exceptions that tasks ended with. */
typedef struct opf_tally_raise {
    char *type;
    char *text; /* NUL-terminated */
    char *line; /* "locustfile.py:12" */
    char *task;
    uint64_t count;
} opf_tally_raise;

typedef struct opf_tally {
    opf_node link; /* in a list of whoever has it */
    int64_t second;
    const void *plan; /* opf_plan whose requests it counts, held */
    opf_tally_cell *cells;
    uint32_t n_cells;
    opf_tally_failure *failures;
    uint32_t n_failures;
    opf_tally_raise *raises;
    uint32_t n_raises;
    /* hash indexes and capacities follow, tally.c's own */
    struct opf_tally_index *index;
    uint64_t lost; /* counts that had no memory: told to the log, never silent */
} opf_tally;

/* Returns an empty tally, which holds the plan, or NULL without memory. opf_tally_free (fleet.h)
 * frees it. */
opf_tally *opf_tally_new(opf_plan *plan, int64_t second);

/* Counts a request that took ns at `last` (seconds since 1970). Times beyond the last bucket stand
 * in that. *cell, for opf_tally_fail, is set to its cell. Returns 0, or OPF_ENOMEM: then it is
 * among the lost. */
int opf_tally_count(opf_tally *tally, const char *method, const char *name, size_t name_len,
                    uint64_t ns, uint64_t bytes, double last, uint32_t *cell);

/* Finds or makes the cell of a name without counting a request. Returns as opf_tally_count. */
int opf_tally_name(opf_tally *tally, const char *method, const char *name, size_t name_len,
                   uint32_t *cell);

/* Counts a failure of a request that was counted; its strings (text of text_len bytes, not
 * NUL-terminated) are copied, its count is not looked at. Without memory it is among the lost. */
void opf_tally_fail(opf_tally *tally, const opf_tally_failure *failure);

/* Counts an exception; the text need not end with NUL. Without memory it is among the lost. */
void opf_tally_raised(opf_tally *tally, const char *type, const char *text, size_t text_len,
                      const char *line, const char *task);

#endif
