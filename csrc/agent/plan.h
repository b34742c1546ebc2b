/* A plan: what the agents of one user class do, as it was recorded, ready to be run.
 *
 * It is filled in once (by the binding, through the tables below), checked by opf_plan_seal, and
 * never changed afterwards but for its shared counters, so that any number of threads may run it.
 * All tables belong to the plan. Operands name values: 0 and up are registers, ~i is the plan's
 * constant i. The registers below n_slots are the agent's own and last as long as it does; those
 * above are the task's and are OPF_UNSET when it begins.
 */
#ifndef OPF_AGENT_PLAN_H
#define OPF_AGENT_PLAN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "agent/value.h"
#include "opf.h"

typedef int32_t opf_operand;

#define OPF_NOTHING UINT32_MAX /* no such entry of a table */

/* Templates */

/* A piece of a template: bytes, or a value where text is NULL. */
typedef struct opf_piece {
    const char *text;
    uint32_t len;
    opf_operand value;
    opf_encoding encoding;
    opf_format format;
} opf_piece;

typedef struct opf_template {
    opf_piece *pieces;
    uint32_t n;
} opf_template;

/* What is drawn or read anew each time */

typedef enum opf_source {
    OPF_GEN_TIME,        /* time.time(): float, s */
    OPF_GEN_TIME_NS,     /* time.time_ns() */
    OPF_GEN_MONOTONIC,   /* time.monotonic(), perf_counter(): float, s */
    OPF_GEN_NOW,         /* int: microseconds since 1970, UTC, which opf_op DATE_* take */
    OPF_GEN_UUID4,       /* text: str(uuid.uuid4()) */
    OPF_GEN_UUID1,       /* text: str(uuid.uuid1()) */
    OPF_GEN_RANDOM,      /* float in [0, 1) */
    OPF_GEN_UNIFORM,     /* float: a + (b - a) * random() */
    OPF_GEN_RANDRANGE,   /* int: a + c * randrange((b - a) / c): a up to, but not with, b; step c */
    OPF_GEN_GAUSS,       /* float: mean a, deviation b */
    OPF_GEN_EXPOVARIATE, /* float: rate a */
    OPF_GEN_BITS,        /* int: a random bits, 0 to 63 */
    OPF_GEN_HEX,         /* text: a random bytes in hexadecimal */
    OPF_GEN_STRING,      /* text: a characters of the ASCII alphabet b (a text) */
    OPF_GEN_COUNTER, /* int: the plan's counter number a (no operand): its start, then step more */
    OPF_GEN_ORDINAL  /* int: the agent's number, from 0 on, unlike that of any other */
} opf_source;

typedef struct opf_counter {
    _Atomic int64_t next;
    int64_t step;
} opf_counter;

/* Instructions. dst is a register; a, b and c operands unless said otherwise. An error of a value
 * (of a kind that the instruction can't take, not set, out of range) fails as `line` of the
 * locustfile would with an exception: see OPF_OP_RAISE. */
typedef enum opf_op {
    OPF_OP_GEN,  /* dst = source (what), with a, b, c */
    OPF_OP_MOVE, /* dst = a; to a slot it is copied */
    OPF_OP_TEXT, /* dst = template (what) */
    OPF_OP_PICK, /* dst = table (what)[a]; negative as in Python, beyond is an error */
    OPF_OP_ADD,  /* dst = a + b, of numbers as in Python; of texts: both together */
    OPF_OP_SUB,  /* these and the next: numbers */
    OPF_OP_MUL,
    OPF_OP_TRUEDIV,  /* a / b, float */
    OPF_OP_FLOORDIV, /* a // b */
    OPF_OP_MOD,      /* a % b, with Python's sign */
    OPF_OP_NEG,
    OPF_OP_ABS,
    OPF_OP_INT,   /* int(a): of a float towards 0, of a text as Python reads it */
    OPF_OP_FLOAT, /* float(a) */
    OPF_OP_ROUND, /* round(a, b), half to even; b unset (constant None): to an int */
    OPF_OP_MIN,   /* min(a, b) */
    OPF_OP_MAX,
    OPF_OP_BOOL,  /* bool(a) */
    OPF_OP_LEN,   /* len(a): characters of a text, members of JSON */
    OPF_OP_LOWER, /* of texts in ASCII only: others are an error */
    OPF_OP_UPPER,
    OPF_OP_STRIP,   /* ASCII white space; b: 1 left, 2 right, 3 both (a number, not an operand) */
    OPF_OP_REPLACE, /* dst = a.replace(b, c) */
    OPF_OP_SLICE,   /* dst = a[b:c] of a text, by characters; constants int or None; what: 1 if b is
                     an index, and c what follows it */
    OPF_OP_MEMBER,  /* dst = what a (an object of JSON) has at path (what); OPF_UNSET: nothing */
    OPF_OP_SEARCH,  /* dst = group b (a number) of regex (what) in the text a; UNSET: no match */
    OPF_OP_TYPE,    /* dst = type(a).__name__ */
    OPF_OP_DATE_ISO, /* dst = datetime of a (microseconds since 1970) .isoformat(); b: offset from
                        UTC in seconds, written behind it; constant None: naive and local; c: 1
                        timespec milliseconds, 2 seconds, 0 auto (a number) */
    OPF_OP_DATE_FORMAT, /* dst = .strftime(text constant c), b as above; %f and what strftime has */
    OPF_OP_BRANCH,      /* unless condition (what) of a and b: goes to `target` */
    OPF_OP_JUMP,        /* goes to `target` */
    OPF_OP_REQUEST, /* sends request (what), waits for its response, takes its extracts. Unless it
                       is caught, it is then judged by what is usual and counted */
    OPF_OP_NEED,    /* a must be set: else the request under way or sent last has failed with text
                       template (what), and the task goes on at `target` (OPF_NOTHING: it ends) */
    OPF_OP_SUCCESS, /* the caught request is a success */
    OPF_OP_FAILURE, /* the caught request is a failure with the text template (what) */
    OPF_OP_REPORT,  /* the end of the with-block: counts the caught request, judged by what is usual
                       if nobody has */
    OPF_OP_FORGET,  /* the with-block is left by another exception: not counted, as with Locust */
    OPF_OP_SLEEP,   /* waits a seconds */
    OPF_OP_RAISE,   /* the task ends with exception (what) */
    OPF_OP_EXPECT,  /* a must be set: else as OPF_OP_RAISE */
    OPF_OP_STOP,    /* StopUser: the agent ends */
    OPF_OP_END      /* the task is over */
} opf_op;

typedef enum opf_condition {
    OPF_IF_EQ, /* as Python's ==: different kinds are not equal, True == 1 == 1.0 */
    OPF_IF_NE,
    OPF_IF_LT, /* of two numbers or two texts, else an error */
    OPF_IF_LE,
    OPF_IF_GT,
    OPF_IF_GE,
    OPF_IF_TRUE,   /* bool(a) */
    OPF_IF_SET,    /* a is not OPF_UNSET */
    OPF_IF_NONE,   /* a is None */
    OPF_IF_IN,     /* the text a stands in the text b; b JSON: a is a member or a key of it */
    OPF_IF_STARTS, /* a.startswith(b) */
    OPF_IF_ENDS,
    OPF_IF_KIND /* a is of a kind of the mask b (a number: bits 1 << opf_kind, and the two below) */
} opf_condition;

/* Of which kind of JSON a value is, for OPF_IF_KIND. */
#define OPF_KIND_OBJECT 7
#define OPF_KIND_ARRAY 8

typedef struct opf_instruction {
    opf_op op;
    uint32_t dst;
    uint32_t what;   /* an entry of a table, opf_source or opf_condition */
    uint32_t target; /* index of an instruction of the same program */
    opf_operand a, b, c;
    uint32_t line; /* entry of the plan's lines: where in the locustfile */
} opf_instruction;

/* Tables that instructions name */

typedef struct opf_table {
    opf_operand *entries;
    uint32_t n; /* > 0 */
} opf_table;

/* A step of a path in JSON: a key, or an index where key is NULL. */
typedef struct opf_step {
    const char *key; /* UTF-8, not escaped */
    uint32_t len;
    int32_t index; /* negative: from the end */
} opf_step;

typedef struct opf_path {
    opf_step *steps;
    uint32_t n; /* 0: the whole */
} opf_path;

/* What is taken from a response when it has come. */
typedef enum opf_take {
    OPF_TAKE_STATUS,  /* int; 0 when none came */
    OPF_TAKE_OK,      /* bool: a status below 400, and no failure */
    OPF_TAKE_REASON,  /* text */
    OPF_TAKE_TEXT,    /* text: the body by its charset; UNSET in one that we don't know */
    OPF_TAKE_CONTENT, /* text: the body's bytes as they are */
    OPF_TAKE_SIZE,    /* int: bytes of the body */
    OPF_TAKE_ELAPSED, /* float: s */
    OPF_TAKE_HEADER,  /* text: of the name; several are joined by ", "; UNSET: none */
    OPF_TAKE_COOKIE,  /* text: of that name, as requests' response.cookies has it */
    OPF_TAKE_URL,     /* text: the URL asked for last */
    OPF_TAKE_IS_JSON, /* bool: the whole body is JSON */
    OPF_TAKE_JSON,    /* what the body's JSON has at path; UNSET: it is no JSON or has none there */
    OPF_TAKE_REGEX,   /* text: group of regex in the text; UNSET: no match */
    OPF_TAKE_TYPE     /* text: type(...).__name__ of the body's JSON, of which only the beginning is
                         looked at; UNSET: it is none */
} opf_take;

typedef struct opf_extract {
    opf_take take;
    uint32_t dst;
    uint32_t what; /* path or regex */
    uint32_t group;
    const char *name; /* of a header (lower case) or cookie, NUL-terminated */
} opf_extract;

typedef struct opf_request_header {
    const char *name;
    uint32_t name_len;
    opf_template value;
    /* made by seal */
    uint32_t n_joined; /* so many headers from this one on don't vary; 0: this one does */
    bool closes;       /* one of them asks the server to close */
    char *lines;       /* they as they are sent */
    size_t lines_len;
} opf_request_header;

/* A cookie that a request brings along; but for its value it is an opf_agent_cookie. */
typedef struct opf_request_cookie {
    const char *name, *domain, *path; /* NUL-terminated */
    bool host_only, secure;
    int64_t expires;
    bool has_value; /* else it is sent as its name alone */
    opf_template value;
} opf_request_cookie;

/* Where requests go: scheme, host and port. */
typedef struct opf_place {
    char *url; /* scheme://host[:port], NUL-terminated: parsed by seal */
    opf_url parsed;
} opf_place;

/* How a request is judged and its URL quoted: as by Locust's HttpUser or its FastHttpUser. */
typedef enum opf_style { OPF_STYLE_HTTP, OPF_STYLE_FAST } opf_style;

/* Whether a status is a success: as requests' Response.raise_for_status has it, or
 * valid_response_codes of Locust's contrib.fasthttp.LocustUserAgent. */
static inline bool opf_style_accepts(opf_style style, int status)
{
    if (style == OPF_STYLE_HTTP)
        return status < 400 || status >= 600;
    return (status >= 200 && status <= 208) || status == 226 || (status >= 301 && status <= 304) ||
           status == 307 || status == 308;
}

typedef struct opf_request_plan {
    const char *method; /* NUL-terminated */
    uint32_t place;
    opf_template target; /* path and query; what no URL may have is quoted when it is written */
    opf_template params; /* more of the query, where that depends on what target is written to */
    opf_template url;    /* that its response has unless it was redirected; n == 0: as it is sent */
    opf_template name;   /* in the statistics; n == 0: the target as it is sent */
    opf_request_header *headers; /* Host included; without Content-Length and Cookie */
    uint32_t n_headers;
    bool has_body;
    opf_template body;
    bool caught;     /* catch_response: counted by OPF_OP_REPORT */
    bool redirects;  /* are followed */
    bool has_cookie; /* a Cookie header is among the headers: no other is added, but to what follows
                        a redirect */
    bool has_host; /* the Host header is by hand: it goes where a redirect leads, too, and requests
                      keeps and sends cookies by it */
    opf_request_cookie *cookies; /* sent beside the agent's, which they go before, and not kept */
    uint32_t n_cookies;
    uint64_t connect_ns, network_ns; /* time-outs; UINT64_MAX: the plan's */
    opf_extract *extracts;
    uint32_t n_extracts;
    uint32_t line;
} opf_request_plan;

/* An exception that a task ends with; told to Locust as events.user_error would be. */
typedef struct opf_raise {
    const char *type; /* "AssertionError", NUL-terminated */
    opf_template text;
} opf_raise;

typedef struct opf_program {
    const char *name; /* of the task, NUL-terminated */
    opf_instruction *code;
    uint32_t n;
} opf_program;

/* Waits between tasks (locust.user.wait_time). */
typedef enum opf_pace {
    OPF_PACE_CONSTANT, /* a seconds */
    OPF_PACE_BETWEEN,  /* a + random() * (b - a) */
    OPF_PACE_PACING,   /* constant_pacing(a): a task each a seconds, at once when one took longer */
    OPF_PACE_POISSON,  /* expovariate(a) */
    OPF_PACE_SAMPLES   /* the next of the plan's samples number `samples` */
} opf_pace;

typedef struct opf_wait {
    opf_pace pace;
    double a, b;
    uint32_t samples;
} opf_wait;

/* Waits that Python has drawn. Any thread may take one: the next, and from the first again. */
typedef struct opf_samples {
    _Atomic double *values; /* OPF_SAMPLES_N; seal makes them, all 0 */
    _Atomic uint32_t next;
} opf_samples;
#define OPF_SAMPLES_N 4096

/* Tasks to choose from: a user's, or a nested TaskSet's. Who enters a nested one stays there. */
typedef struct opf_choice {
    uint32_t program; /* or OPF_NOTHING: */
    uint32_t set;     /* a nested one */
} opf_choice;

typedef struct opf_task_set {
    bool sequential;     /* one after the other, and from the first again */
    opf_choice *choices; /* one for each time it is in Locust's tasks (weights are repeats) */
    uint32_t n;
    opf_wait wait;
    uint32_t on_start; /* program, or OPF_NOTHING */
} opf_task_set;

typedef struct opf_plan {
    _Atomic uint32_t refs;
    opf_style style;
    bool names_protocol; /* requests are counted by name and by what was spoken */
    uint32_t n_slots;
    uint32_t n_registers; /* slots included */
    uint32_t max_redirects;
    opf_pool_options pool; /* strings belong to the plan */
    opf_value *constants;
    uint32_t n_constants;
    opf_template *templates;
    uint32_t n_templates;
    opf_table *tables;
    uint32_t n_tables;
    opf_path *paths;
    uint32_t n_paths;
    struct opf_regex **regexes; /* agent/regex.h */
    uint32_t n_regexes;
    opf_raise *raises;
    uint32_t n_raises;
    opf_place *places;
    uint32_t n_places;
    opf_request_plan *requests;
    uint32_t n_requests;
    opf_program *programs;
    uint32_t n_programs;
    opf_task_set *sets; /* the first is the user's own */
    uint32_t n_sets;
    uint32_t start; /* program that an agent begins with (its on_start), or OPF_NOTHING; an agent
                       that does not come to its OPF_OP_END ends */
    opf_counter *counters;
    uint32_t n_counters;
    opf_samples *samples;
    uint32_t n_samples;
    char **lines; /* "locustfile.py:12" */
    uint32_t n_lines;
} opf_plan;

/* Returns an empty plan with one reference, or NULL without memory. */
opf_plan *opf_plan_new(void);

/* Checks every index, target, register and operand of a plan whose tables are filled in, and
 * prepares it. Returns 0, OPF_ENOMEM, or OPF_EINVAL with *why set to a constant text. No plan is
 * run that was not sealed. */
int opf_plan_seal(opf_plan *plan, opf_why *why);

/* Hold and release a plan, from any thread; the last release frees it with all its tables, each of
 * which came from opf_mem_* (an array of n == 0 may be NULL). NULL does nothing. */
void opf_plan_hold(opf_plan *plan);
void opf_plan_release(opf_plan *plan);

/* Gives a sealed plan OPF_SAMPLES_N other waits to take. From any thread. */
void opf_plan_set_samples(opf_plan *plan, uint32_t samples, const double *values);

#endif
