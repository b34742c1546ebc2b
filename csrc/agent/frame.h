/* What a task under way needs: registers, texts, its exchange and the request asked last. Frames
 * are used again, by any agent of the crew. One thread.
 */
#ifndef OPF_AGENT_FRAME_H
#define OPF_AGENT_FRAME_H

#include "agent/agent.h"
#include "agent/redirect.h"
#include "client/exchange.h"

/* A request and how it is judged. */
typedef struct opf_asked {
    const opf_request_plan *request; /* NULL: none */
    bool open;                       /* caught and not counted yet */
    bool failed;
    opf_tally_failure failure; /* if failed; strings are in the buffers */
    opf_buf name, url, text;
    uint64_t ns, bytes;
} opf_asked;

typedef struct opf_frame {
    struct opf_frame *next;
    opf_value *registers;
    uint32_t n_registers, room;
    opf_arena arena;
    opf_exchange *exchange; /* NULL before the first request */
    const opf_program *program;
    uint32_t pc;
    bool sent;               /* the task has sent a request */
    bool whole;              /* it has come to its OPF_OP_END */
    opf_asked caught, plain; /* the last of each */
    opf_asked *asked;        /* the one of them that was sent last */
    /* of the request under way */
    opf_buf url; /* absolute; parsed points into it, or into the plan's place */
    opf_url parsed;
    opf_url site; /* the request as a jar sees it: parsed, or with the host of a header by hand */
    opf_buf host; /* that header's value */
    size_t place_len; /* of url: scheme, host and port */
    const char *method;
    opf_redirect redirect; /* what was dropped so far */
    uint32_t hops;
    uint64_t start_ns, end_ns; /* monotonic ns: of the first one's sending, of the last response */
    opf_jar cookies;           /* for a request that brings some along: those and the agent's */
} opf_frame;

/* Returns a frame for the plan with all registers unset, or NULL without memory. */
opf_frame *opf_frame_take(opf_crew *crew, const opf_plan *plan);
/* Gives it back; its exchange is freed. */
void opf_frame_give(opf_crew *crew, opf_frame *frame);
/* Frees the spare ones. */
void opf_frame_free_spare(opf_crew *crew);

/* Sends the request or follows to frame->url. Returns 0 (done will be called), OPF_ENOMEM, or
 * OPF_EINVAL with *why; *refused then tells that it is the request that can't be sent, and not a
 * value that can't be had. */
int opf_request_send(opf_agent *agent, opf_eval *eval, const opf_request_plan *request, bool again,
                     opf_done_fn *done, opf_why *why, bool *refused);

/* Merge the cookies that a request brings along with the agent's, in frame->cookies, as requests
 * merges them: before it is sent (returns as opf_request_send), and where a redirect is followed,
 * when the agent's jar has taken what the response has set (returns 0 or OPF_ENOMEM). */
int opf_request_merge_cookies(opf_agent *agent, opf_eval *eval, const opf_request_plan *request,
                              opf_why *why, bool *refused);
int opf_request_follow_cookies(opf_agent *agent, const opf_result *result);

/* Judges what came and files it in frame->asked. */
int opf_request_judge(opf_agent *agent, const opf_result *result, const opf_redirect *redirect);
/* Files that it has failed with a text of our own. Returns 0 or OPF_ENOMEM. */
int opf_asked_fail(opf_frame *frame, opf_asked *asked, opf_fault fault, const void *text,
                   size_t len);

/* Counts a request in the tally of this second. */
void opf_asked_count(opf_crew *crew, opf_plan *plan, opf_asked *asked);
/* Counts a failure of one that was counted before as a success. */
void opf_asked_count_failure(opf_crew *crew, opf_plan *plan, opf_asked *asked);
/* The tally of this second, or NULL without memory. */
opf_tally *opf_crew_tally(opf_crew *crew, opf_plan *plan, double *now);

#endif
