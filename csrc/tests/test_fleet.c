/* Agents on threads, against servers that do as they are told. */
#include <netinet/in.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/fleet.h"
#include "base/clock.h"
#include "base/mem.h"
#include "frames.h"
#include "frames_random.h"
#include "opf_test.h"
#include "peer.h"

#define PATIENCE_NS (20 * OPF_NS_PER_S)

typedef struct counts {
    uint64_t requests, failures, raises, lost, ends, cut;
    uint64_t total_ns;
    opf_fault fault;
    opf_failure failure;
    char text[64], type[32], name[64];
    int64_t slot; /* of the agent that ended last */
    char cookie[32];
    opf_end why;
} counts;

static opf_template literal(const char *text)
{
    opf_template tmpl = {.n = 1, .pieces = opf_mem_zalloc(sizeof(opf_piece))};
    tmpl.pieces[0].text = opf_mem_strdup(text);
    tmpl.pieces[0].len = (uint32_t)strlen(text);
    return tmpl;
}

static opf_template varying(const char *text, opf_operand value, opf_encoding encoding)
{
    opf_template tmpl = {.n = 2, .pieces = opf_mem_zalloc(2 * sizeof(opf_piece))};
    tmpl.pieces[0].text = opf_mem_strdup(text);
    tmpl.pieces[0].len = (uint32_t)strlen(text);
    tmpl.pieces[1].value = value;
    tmpl.pieces[1].encoding = encoding;
    return tmpl;
}

#define PATH "/post"

static void add_request(opf_plan *plan, opf_operand vary, bool caught, uint64_t network_ns)
{
    plan->requests = opf_mem_zalloc(sizeof(opf_request_plan));
    plan->n_requests = 1;
    opf_request_plan *request = plan->requests;
    request->method = opf_mem_strdup("POST");
    request->target = literal(PATH);
    request->headers = opf_mem_zalloc(2 * sizeof(opf_request_header));
    request->n_headers = 2;
    request->headers[0] =
        (opf_request_header){.name = opf_mem_strdup("Host"), .name_len = 4, .value = literal("h")};
    request->headers[1] =
        (opf_request_header){.name = opf_mem_strdup("X-A"),
                             .name_len = 3,
                             .value = vary ? varying("v", vary, OPF_AS_HEADER) : literal("v")};
    request->has_body = true;
    request->body = vary ? varying("b=", vary, OPF_AS_TEXT) : literal("b=1");
    request->caught = caught;
    request->redirects = true;
    request->connect_ns = UINT64_MAX;
    request->network_ns = network_ns ? network_ns : UINT64_MAX;
    request->extracts = opf_mem_zalloc(sizeof(opf_extract));
    request->n_extracts = 1;
    request->extracts[0] = (opf_extract){.take = OPF_TAKE_STATUS, .dst = 2};
}

/* A plan of one request and one program, sealed; register 0 is a slot, 1 and 2 are the task's,
 * constant 0 is 1, constant 1 is 30, constant 2 is 200, constant 3 is 0, template 0 is "no good".
 * Steps: an array that ends as the program. */
static opf_plan *make(uint16_t port, const opf_instruction *code, uint32_t n, double wait_s,
                      opf_operand vary, bool caught, uint64_t network_ns)
{
    opf_plan *plan = opf_plan_new();
    opf_why why = "";
    char url[64];
    snprintf(url, sizeof(url), "http://127.0.0.1:%u", port);
    plan->n_slots = 1;
    plan->n_registers = 3;
    plan->max_redirects = 3;
    plan->constants = opf_mem_zalloc(4 * sizeof(opf_value));
    plan->n_constants = 4;
    plan->constants[3] = (opf_value){.kind = OPF_INT, .i = 0};
    plan->constants[0] = (opf_value){.kind = OPF_INT, .i = 1};
    plan->constants[1] = (opf_value){.kind = OPF_INT, .i = 30};
    plan->constants[2] = (opf_value){.kind = OPF_INT, .i = 200};
    plan->templates = opf_mem_zalloc(sizeof(opf_template));
    plan->n_templates = 1;
    plan->templates[0] = literal("no good");
    plan->raises = opf_mem_zalloc(sizeof(opf_raise));
    plan->n_raises = 1;
    plan->raises[0] = (opf_raise){.type = opf_mem_strdup("KeyError"), .text = literal("gone")};
    plan->places = opf_mem_zalloc(sizeof(opf_place));
    plan->n_places = 1;
    plan->places[0].url = opf_mem_strdup(url);
    add_request(plan, vary, caught, network_ns);
    plan->programs = opf_mem_zalloc(sizeof(opf_program));
    plan->n_programs = 1;
    plan->programs[0] = (opf_program){.name = opf_mem_strdup("task"), .n = n};
    plan->programs[0].code = opf_mem_zalloc(n * sizeof(*code));
    memcpy(plan->programs[0].code, code, n * sizeof(*code));
    plan->sets = opf_mem_zalloc(sizeof(opf_task_set));
    plan->n_sets = 1;
    plan->sets[0] = (opf_task_set){.n = 1, .on_start = OPF_NOTHING, .wait = {.a = wait_s}};
    plan->sets[0].choices = opf_mem_zalloc(sizeof(opf_choice));
    plan->sets[0].choices[0] = (opf_choice){.program = 0, .set = OPF_NOTHING};
    plan->lines = opf_mem_zalloc(sizeof(char *));
    plan->n_lines = 1;
    plan->lines[0] = opf_mem_strdup("f.py:1");
    if (opf_plan_seal(plan, &why) == 0)
        return plan;
    printf("seal: %s\n", why);
    exit(2);
}

static void add_tally(counts *c, const opf_tally *tally)
{
    c->lost += tally->lost;
    for (uint32_t i = 0; i < tally->n_cells; i++) {
        c->requests += tally->cells[i].cell.requests;
        c->total_ns += tally->cells[i].cell.total_ns;
        snprintf(c->name, sizeof(c->name), "%s %s", tally->cells[i].method, tally->cells[i].name);
    }
    for (uint32_t i = 0; i < tally->n_failures; i++) {
        c->failures += tally->failures[i].count;
        c->fault = tally->failures[i].fault;
        c->failure = tally->failures[i].failure;
        snprintf(c->text, sizeof(c->text), "%s",
                 tally->failures[i].text ? tally->failures[i].text : "");
    }
    for (uint32_t i = 0; i < tally->n_raises; i++) {
        c->raises += tally->raises[i].count;
        snprintf(c->type, sizeof(c->type), "%s", tally->raises[i].type);
    }
}

static void take(opf_fleet *fleet, counts *c)
{
    opf_tally *tally;
    opf_agent_end *end;
    while ((tally = opf_fleet_take_tally(fleet))) {
        add_tally(c, tally);
        opf_tally_free(tally);
    }
    while ((end = opf_fleet_take_end(fleet))) {
        c->ends++;
        c->cut += end->cut;
        c->why = end->why;
        c->slot = end->slots[0].i;
        if (end->n_cookies)
            snprintf(c->cookie, sizeof(c->cookie), "%s=%s", end->cookies[0].name,
                     end->cookies[0].value);
        opf_agent_end_free(end);
    }
}

/* Takes until there are so many requests, raises and ends. */
static bool take_until(opf_fleet *fleet, counts *c, uint64_t requests, uint64_t raises,
                       uint64_t ends)
{
    uint64_t until = opf_clock_mono() + PATIENCE_NS;
    while (opf_clock_mono() < until) {
        opf_fleet_ask(fleet);
        if (!opf_fleet_wait(fleet, 20000))
            return false;
        take(fleet, c);
        if (c->requests >= requests && c->raises >= raises && c->ends >= ends)
            return true;
        usleep(5000);
    }
    return false;
}

static opf_fleet *start(opf_plan *plan, uint32_t threads, uint32_t n, uint64_t *first)
{
    char text[128];
    opf_fleet *fleet = opf_fleet_new(threads, NULL);
    opf_value *slots = calloc(n, sizeof(*slots));
    const opf_agent_cookie cookie = {"a", "b", "127.0.0.1", "/", true, false, INT64_MAX};
    for (uint32_t i = 0; i < n; i++)
        slots[i] = (opf_value){.kind = OPF_INT, .i = 7};
    if (!fleet ||
        opf_fleet_add(fleet, plan, n, slots, &cookie, 1, 0, first, text, sizeof(text)) != 0)
        exit(2);
    free(slots);
    return fleet;
}

static int stop(opf_fleet *fleet, uint64_t first, size_t n, opf_stop how)
{
    uint64_t agents[4096];
    for (size_t i = 0; i < n; i++)
        agents[i] = first + n - 1 - i;
    return opf_fleet_stop(fleet, agents, n, how);
}

/* Servers */

static atomic_int received;
static atomic_int wrong;

static void serve_well(int fd, int number, void *arg)
{
    char request[4096];
    (void)number;
    while (peer_read_request(fd, request, sizeof(request))) {
        atomic_fetch_add(&received, 1);
        if (arg && strcmp(request, arg) != 0) {
            if (!atomic_fetch_add(&wrong, 1))
                printf("got: %s\n", request);
        }
        if (!peer_send(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
            return;
    }
}

static void serve_slowly(int fd, int number, void *arg)
{
    char request[4096];
    (void)number, (void)arg;
    while (peer_read_request(fd, request, sizeof(request))) {
        atomic_fetch_add(&received, 1);
        usleep(100000);
        if (!peer_send(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
            return;
    }
}

static void serve_500(int fd, int number, void *arg)
{
    char request[4096];
    (void)number, (void)arg;
    while (peer_read_request(fd, request, sizeof(request)))
        if (!peer_send(fd, "HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n"))
            return;
}

static void serve_reset(int fd, int number, void *arg)
{
    char request[4096];
    (void)number, (void)arg;
    if (peer_read_request(fd, request, sizeof(request)))
        peer_reset(fd);
}

static void serve_nothing(int fd, int number, void *arg)
{
    (void)number, (void)arg;
    peer_wait_closed(fd);
}

static void serve_redirect(int fd, int number, void *arg)
{
    char request[4096];
    (void)number, (void)arg;
    while (peer_read_request(fd, request, sizeof(request))) {
        bool again = strncmp(request, "GET /there ", 11) == 0;
        if (again &&
            (!strstr(request, "Cookie: a=b") || !strstr(request, "c=d") || strstr(request, "b=1")))
            atomic_fetch_add(&wrong, 1);
        if (!peer_send(fd, again ? "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
                                 : "HTTP/1.1 302 Found\r\nSet-Cookie: c=d\r\nLocation: "
                                   "/there\r\nContent-Length: 0\r\n\r\n"))
            return;
    }
}

static void serve_redirect_with_cookies(int fd, int number, void *arg)
{
    char request[4096];
    (void)number, (void)arg;
    while (peer_read_request(fd, request, sizeof(request))) {
        bool again = strncmp(request, "GET /there ", 11) == 0;
        if (!strstr(request, again ? "\r\nCookie: a=b; g=h; e=f\r\n" : "e=f\r\n") ||
            !strstr(request, "Cookie: a=b; "))
            atomic_fetch_add(&wrong, 1);
        if (!peer_send(fd, again ? "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
                                 : "HTTP/1.1 302 Found\r\nSet-Cookie: g=h; Path=/\r\nLocation: "
                                   "/there\r\nContent-Length: 0\r\n\r\n"))
            return;
    }
}

static const opf_instruction once[] = {{.op = OPF_OP_REQUEST}, {.op = OPF_OP_END}};

#define AGENTS 8

/* Stops while requests are under way; every one that was sent is counted. */
static void check_stop(peer_fn *serve, const char *expected, opf_operand vary, opf_stop how,
                       double wait_s)
{
    static char text[512];
    counts c = {0};
    uint64_t first;
    atomic_store(&received, 0);
    atomic_store(&wrong, 0);
    snprintf(text, sizeof(text), "%s", expected ? expected : "");
    peer *server = peer_new(serve, expected ? text : NULL);
    opf_plan *plan = make(peer_port(server), once, 2, wait_s, vary, false, 0);
    opf_fleet *fleet = start(plan, 2, AGENTS, &first);
    opf_plan_release(plan);
    CHECK(take_until(fleet, &c, 20, 0, 0));
    CHECK_EQ_INT(stop(fleet, first, AGENTS, how), 0);
    CHECK(take_until(fleet, &c, 20, 0, AGENTS));
    opf_fleet_free(fleet);
    peer_free(server);
    CHECK_EQ_INT(c.ends, AGENTS);
    CHECK_EQ_INT(c.failures, 0);
    CHECK_EQ_INT(c.lost, 0);
    CHECK_EQ_INT(c.slot, 7);
    CHECK_STR(c.cookie, "a=b");
    CHECK_STR(c.name, "POST " PATH);
    CHECK_EQ_INT(atomic_load(&wrong), 0);
    if (how == OPF_STOP_NOW)
        CHECK(atomic_load(&received) >= (int)c.requests &&
              atomic_load(&received) <= (int)(c.requests + c.cut));
    else
        CHECK_EQ_INT(atomic_load(&received), c.requests);
    if (how != OPF_STOP_NOW)
        CHECK_EQ_INT(c.cut, 0);
}

TEST(a_constant_request)
{
    check_stop(serve_well,
               "POST " PATH " HTTP/1.1\r\nHost: h\r\nX-A: v\r\nCookie: a=b\r\nContent-Length: "
               "3\r\n\r\nb=1",
               0, OPF_STOP_AFTER_REQUEST, 0);
}

TEST(a_varying_request)
{
    check_stop(serve_well,
               "POST " PATH " HTTP/1.1\r\nHost: h\r\nX-A: v30\r\nCookie: a=b\r\nContent-Length: "
               "4\r\n\r\nb=30",
               ~1, OPF_STOP_AFTER_TASK, 0.001);
}

TEST(stopped_after_slow_requests)
{
    check_stop(serve_slowly, NULL, 0, OPF_STOP_AFTER_REQUEST, 0);
    check_stop(serve_slowly, NULL, 0, OPF_STOP_AFTER_TASK, 0);
}

TEST(stopped_at_once)
{
    check_stop(serve_slowly, NULL, 0, OPF_STOP_NOW, 0);
}

/* Runs a program until there was one of what is wanted. */
static counts run_program(peer_fn *serve, const opf_instruction *code, uint32_t n, bool caught,
                          uint64_t network_ns, uint64_t raises)
{
    counts c = {0};
    uint64_t first;
    peer *server = peer_new(serve ? serve : serve_nothing, NULL);
    uint16_t port = peer_port(server);
    if (!serve) {
        peer_free(server); /* nothing listens there any more */
        server = NULL;
    }
    opf_plan *plan = make(port, code, n, 30, 0, caught, network_ns);
    opf_fleet *fleet = start(plan, 1, 1, &first);
    bool came = take_until(fleet, &c, raises ? 0 : 1, raises, 0);
    stop(fleet, first, 1, OPF_STOP_AFTER_TASK);
    if (!came || !take_until(fleet, &c, 0, 0, 1))
        c.ends = 99;
    opf_fleet_free(fleet);
    opf_plan_release(plan);
    peer_free(server);
    return c;
}

TEST(failures_of_the_network)
{
    counts c = run_program(NULL, once, 2, false, 0, 0);
    CHECK_EQ_INT(c.requests, 1);
    CHECK_EQ_INT(c.failures, 1);
    CHECK_EQ_INT(c.failure, OPF_FAIL_REFUSED);
    c = run_program(serve_reset, once, 2, false, 0, 0);
    CHECK_EQ_INT(c.failures, 1);
    CHECK_EQ_INT(c.failure, OPF_FAIL_RESET);
    c = run_program(serve_nothing, once, 2, false, 50 * OPF_NS_PER_MS, 0);
    CHECK_EQ_INT(c.failures, 1);
    CHECK_EQ_INT(c.failure, OPF_FAIL_READ_TIMEOUT);
    CHECK_EQ_INT(c.fault, OPF_FAULT_ENGINE);
    c = run_program(serve_500, once, 2, false, 0, 0);
    CHECK_EQ_INT(c.failures, 1);
    CHECK_EQ_INT(c.fault, OPF_FAULT_STATUS);
    CHECK_STR(c.text, "Broken");
    CHECK_EQ_INT(c.ends, 1);
}

TEST(a_caught_request_is_judged_by_branches)
{
    static const opf_instruction code[] = {
        {.op = OPF_OP_REQUEST},
        {.op = OPF_OP_BRANCH, .what = OPF_IF_EQ, .a = 2, .b = ~2, .target = 4},
        {.op = OPF_OP_FAILURE},
        {.op = OPF_OP_JUMP, .target = 5},
        {.op = OPF_OP_SUCCESS},
        {.op = OPF_OP_REPORT},
        {.op = OPF_OP_END},
    };
    counts c = run_program(serve_well, code, 7, true, 0, 0);
    CHECK_EQ_INT(c.requests, 1);
    CHECK_EQ_INT(c.failures, 1);
    CHECK_EQ_INT(c.fault, OPF_FAULT_USER);
    CHECK_STR(c.text, "no good");
    c = run_program(serve_500, code, 7, true, 0, 0);
    CHECK_EQ_INT(c.requests, 1);
    CHECK_EQ_INT(c.failures, 0);
}

TEST(what_is_needed_and_not_there)
{
    static const opf_instruction code[] = {{.op = OPF_OP_REQUEST},
                                           {.op = OPF_OP_NEED, .a = 1, .target = OPF_NOTHING},
                                           {.op = OPF_OP_END}};
    for (int caught = 0; caught < 2; caught++) {
        counts c = run_program(serve_well, code, 3, caught, 0, 0);
        CHECK_EQ_INT(c.requests, 1);
        CHECK_EQ_INT(c.failures, 1);
        CHECK_EQ_INT(c.fault, OPF_FAULT_MISSING);
        CHECK_STR(c.text, "no good");
    }
}

TEST(exceptions)
{
    static const opf_instruction raise[] = {{.op = OPF_OP_REQUEST}, {.op = OPF_OP_RAISE}};
    static const opf_instruction unset[] = {
        {.op = OPF_OP_EXPECT, .a = 1}, {.op = OPF_OP_REQUEST}, {.op = OPF_OP_END}};
    static const opf_instruction set[] = {
        {.op = OPF_OP_EXPECT, .a = 0}, {.op = OPF_OP_REQUEST}, {.op = OPF_OP_END}};
    static const opf_instruction value[] = {{.op = OPF_OP_ADD, .dst = 1, .a = 1, .b = ~0},
                                            {.op = OPF_OP_END}};
    counts c = run_program(serve_well, raise, 2, true, 0, 1);
    CHECK_EQ_INT(c.requests, 0); /* caught, not reported */
    CHECK_EQ_INT(c.raises, 1);
    CHECK_STR(c.type, "KeyError");
    c = run_program(serve_well, raise, 2, false, 0, 1);
    CHECK_EQ_INT(c.requests, 1);
    c = run_program(serve_well, unset, 3, false, 0, 1);
    CHECK_EQ_INT(c.raises, 1);
    CHECK_EQ_INT(c.requests, 0);
    CHECK_STR(c.type, "KeyError");
    c = run_program(serve_well, set, 3, false, 0, 0);
    CHECK_EQ_INT(c.raises, 0);
    CHECK_EQ_INT(c.requests, 1);
    c = run_program(serve_well, value, 2, false, 0, 1);
    CHECK_EQ_INT(c.raises, 1);
    CHECK_STR(c.type, "TypeError");
}

TEST(a_redirect_is_followed)
{
    atomic_store(&wrong, 0);
    counts c = run_program(serve_redirect, once, 2, false, 0, 0);
    CHECK_EQ_INT(c.requests, 1);
    CHECK_EQ_INT(c.failures, 0);
    CHECK_EQ_INT(atomic_load(&wrong), 0);
}

/* Twice: what a frame had of the first request is no part of the second. */
TEST(cookies_of_a_request_go_where_a_redirect_leads)
{
    counts c = {0};
    uint64_t first;
    atomic_store(&wrong, 0);
    peer *server = peer_new(serve_redirect_with_cookies, NULL);
    opf_plan *plan = make(peer_port(server), once, 2, 0.001, 0, false, 0);
    opf_request_plan *request = plan->requests;
    request->cookies = opf_mem_zalloc(sizeof(opf_request_cookie));
    request->n_cookies = 1;
    request->cookies[0] = (opf_request_cookie){.name = opf_mem_strdup("e"),
                                               .domain = opf_mem_strdup(""),
                                               .path = opf_mem_strdup("/"),
                                               .host_only = true,
                                               .expires = INT64_MAX,
                                               .has_value = true,
                                               .value = literal("f")};
    opf_fleet *fleet = start(plan, 1, 2, &first);
    opf_plan_release(plan);
    CHECK(take_until(fleet, &c, 8, 0, 0));
    CHECK_EQ_INT(stop(fleet, first, 2, OPF_STOP_NOW), 0);
    CHECK(take_until(fleet, &c, 8, 0, 2));
    opf_fleet_free(fleet);
    peer_free(server);
    CHECK_EQ_INT(c.failures, 0);
    CHECK_EQ_INT(atomic_load(&wrong), 0);
    CHECK_STR(c.cookie, "a=b");
}

static void serve_slow_redirect(int fd, int number, void *arg)
{
    char request[4096];
    (void)number, (void)arg;
    while (peer_read_request(fd, request, sizeof(request))) {
        usleep(20000);
        if (!peer_send(fd, "HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n"))
            return;
    }
}

TEST(a_redirect_whose_request_can_not_be_written)
{
    counts c = {0};
    uint64_t first;
    peer *server = peer_new(serve_slow_redirect, NULL);
    opf_plan *plan = make(peer_port(server), once, 2, 30, 0, false, 0);
    /* joined with the others already, it is written by itself only where a redirect leads */
    *(char *)(uintptr_t)plan->requests[0].headers[1].value.pieces[0].text = '\n';
    opf_fleet *fleet = start(plan, 1, 1, &first);
    CHECK(take_until(fleet, &c, 1, 0, 0));
    opf_fleet_free(fleet);
    opf_plan_release(plan);
    peer_free(server);
    CHECK_EQ_INT(c.failures, 1);
    CHECK_EQ_INT(c.fault, OPF_FAULT_REDIRECT);
    CHECK_STR(c.text, "header value has a control character");
    CHECK(c.total_ns > 0);
}

TEST(an_agent_that_stops_itself)
{
    static const opf_instruction code[] = {
        {.op = OPF_OP_REQUEST}, {.op = OPF_OP_MOVE, .dst = 0, .a = ~1}, {.op = OPF_OP_STOP}};
    counts c = run_program(serve_well, code, 3, false, 0, 0);
    CHECK_EQ_INT(c.requests, 1);
    CHECK_EQ_INT(c.ends, 1);
    CHECK_EQ_INT(c.why, OPF_END_STOP_USER);
    CHECK_EQ_INT(c.slot, 30);
}

/* A task that sends nothing and waits 0 lets others, and the owner, have their turn. */
TEST(many_wait_and_some_spin)
{
    static const opf_instruction nothing[] = {{.op = OPF_OP_END}};
    static const opf_instruction endless[] = {{.op = OPF_OP_SLEEP, .a = ~3},
                                              {.op = OPF_OP_JUMP, .target = 0}};
    counts c = {0};
    opf_fleet_figures figures;
    uint64_t first, spinners, loopers;
    char text[128];
    opf_value slot[2] = {{.kind = OPF_NONE}, {.kind = OPF_NONE}};
    opf_plan *waits = make(1, nothing, 1, 1000, 0, false, 0);
    opf_plan *spins = make(1, nothing, 1, 0, 0, false, 0);
    opf_plan *loops = make(1, endless, 2, 0, 0, false, 0);
    opf_fleet *fleet = start(waits, 1, 4000, &first);
    CHECK_EQ_INT(opf_fleet_add(fleet, spins, 2, slot, NULL, 0, 0, &spinners, text, sizeof(text)),
                 0);
    CHECK_EQ_INT(opf_fleet_add(fleet, loops, 1, slot, NULL, 0, 0, &loopers, text, sizeof(text)), 0);
    for (int i = 0; i < 2; i++) /* the first answer may be from before they came */
        CHECK(take_until(fleet, &c, 0, 0, 0));
    opf_fleet_get_figures(fleet, 0, &figures);
    CHECK_EQ_INT(figures.agents, 4003);
    CHECK_EQ_INT(stop(fleet, spinners, 2, OPF_STOP_AFTER_TASK), 0);
    CHECK_EQ_INT(stop(fleet, loopers, 1, OPF_STOP_NOW), 0);
    CHECK(take_until(fleet, &c, 0, 0, 3));
    CHECK_EQ_INT(stop(fleet, first, 4000, OPF_STOP_AFTER_TASK), 0);
    CHECK(take_until(fleet, &c, 0, 0, 4003));
    opf_fleet_get_figures(fleet, 0, &figures);
    CHECK_EQ_INT(figures.agents, 0);
    CHECK_EQ_INT(figures.waiting, 0);
    CHECK_EQ_INT(c.requests, 0);
    opf_fleet_free(fleet);
    opf_plan_release(waits);
    opf_plan_release(spins);
    opf_plan_release(loops);
}

/* As Locust stops users: one by one. It takes no look at all the others each time. */
TEST(many_are_stopped_one_by_one)
{
    static const opf_instruction nothing[] = {{.op = OPF_OP_END}};
    const uint32_t n = 100000;
    counts c = {0};
    opf_fleet_figures figures;
    uint64_t first, left = 0;
    opf_plan *plan = make(1, nothing, 1, 1000, 0, false, 0);
    opf_fleet *fleet = start(plan, 2, n, &first);
    opf_plan_release(plan);
    for (uint32_t i = 1; i < n; i++) {
        uint64_t agent = first + (uint64_t)i * 7919 % n; /* in no order, the first left out */
        CHECK_EQ_INT(opf_fleet_stop(fleet, &agent, 1, OPF_STOP_AFTER_TASK), 0);
    }
    CHECK_EQ_INT(opf_fleet_stop(fleet, &(uint64_t){first + n}, 1, OPF_STOP_NOW), 0);
    CHECK(take_until(fleet, &c, 0, 0, n - 1));
    CHECK_EQ_INT(c.ends, n - 1);
    for (uint32_t i = 0; i < 2; i++) {
        opf_fleet_get_figures(fleet, i, &figures);
        left += figures.agents;
    }
    CHECK_EQ_INT(left, 1);
    CHECK_EQ_INT(opf_fleet_stop(fleet, &first, 1, OPF_STOP_AFTER_TASK), 0);
    CHECK(take_until(fleet, &c, 0, 0, n));
    CHECK_EQ_INT(c.ends, n);
    opf_fleet_free(fleet);
}

TEST(waits_end_together)
{
    const uint64_t s = OPF_NS_PER_S, grain = 1 << 20;
    for (uint64_t now = 17 * s; now < 18 * s; now += 7 * OPF_NS_PER_MS + 13) {
        for (uint64_t wait = 1; wait < 100 * s; wait = wait * 3 + 1) {
            uint64_t at = opf_agent_later(now, wait);
            CHECK(at >= now + wait);
            CHECK(at - now - wait <= wait / 1024);
        }
        CHECK_EQ_INT(opf_agent_later(now, 0), now);
        CHECK_EQ_INT(opf_agent_later(now, 5 * s) % grain, 0);
        CHECK_EQ_INT(opf_agent_later(now, 3600 * s) % grain, 0);
    }
    CHECK_EQ_INT(opf_agent_later(grain + 1, 5000 * grain), 5002 * grain);
    CHECK_EQ_INT(opf_agent_later(2 * grain - 1, 5000 * grain), 5002 * grain);
}

TEST(freed_in_the_middle)
{
    counts c = {0};
    uint64_t first;
    peer *server = peer_new(serve_slowly, NULL);
    opf_plan *plan = make(peer_port(server), once, 2, 0, 0, false, 0);
    opf_fleet *fleet = start(plan, 2, AGENTS, &first);
    CHECK(take_until(fleet, &c, 1, 0, 0));
    opf_fleet_free(fleet);
    opf_plan_release(plan);
    peer_free(server);
}

/* HTTP/2 */

static opf_plan *make_http2(peer *server, uint32_t connections, double wait_s, uint64_t network_ns)
{
    opf_plan *plan = make(peer_port(server), once, 2, wait_s, 0, false, network_ns);
    plan->pool.http2 = OPF_HTTP2_PRIOR;
    plan->pool.http2_connections = connections;
    return plan;
}

/* Answers so many requests, refuses every tenth, and goes away with more of them under way. */
static void serve_and_go_away(int fd, int number, void *arg)
{
    static _Thread_local frame f;
    uint32_t stream;
    size_t body;
    const int *most = arg;
    (void)number;
    if (!frames_begin(fd, NULL, 0))
        return;
    for (int i = 0; (i < *most || !*most) && frames_request(fd, &f, &stream, &body); i++) {
        bool answers = *most == 0 || i % 10 != 9;
        atomic_fetch_add(&received, answers);
        if (answers ? !frames_answer(fd, stream, "ok")
                    : !frames_send_number(fd, FRAME_RST_STREAM, stream, CODE_REFUSED))
            return;
    }
    frames_go_away(fd, stream, CODE_NO_ERROR);
    peer_wait_closed(fd);
}

/* Each request that was answered is counted once, whatever had to be sent again, and however agents
 * are stopped that share connections. */
static void check_shared(int most, opf_stop how, uint32_t connections)
{
    enum { MANY = 40 };
    counts c = {0};
    uint64_t first;
    atomic_store(&received, 0);
    peer *server = peer_new(serve_and_go_away, &most);
    opf_plan *plan = make_http2(server, connections, 0, 0);
    opf_fleet *fleet = start(plan, 2, MANY, &first);
    opf_plan_release(plan);
    CHECK(take_until(fleet, &c, 1000, 0, 0));
    CHECK_EQ_INT(stop(fleet, first, MANY / 2, how), 0); /* the others go on */
    CHECK(take_until(fleet, &c, c.requests + 100, 0, MANY / 2));
    CHECK_EQ_INT(stop(fleet, first + MANY / 2, MANY / 2, how), 0);
    CHECK(take_until(fleet, &c, 0, 0, MANY));
    opf_fleet_free(fleet);
    peer_free(server);
    CHECK_EQ_INT(c.ends, MANY);
    CHECK_EQ_INT(c.lost, 0);
    uint64_t good = c.requests - c.failures, answered = (uint64_t)atomic_load(&received);
    CHECK(c.failures == 0 || most);
    CHECK(good <= answered && answered <= good + c.cut);
    CHECK(how == OPF_STOP_NOW || !c.cut);
}

TEST(agents_share_connections)
{
    check_shared(0, OPF_STOP_AFTER_TASK, 1);
    check_shared(0, OPF_STOP_NOW, 2);
    check_shared(0, OPF_STOP_NOW, 0); /* each its own */
}

TEST(shared_connections_that_go_away)
{
    check_shared(100, OPF_STOP_AFTER_TASK, 1);
    check_shared(100, OPF_STOP_NOW, 2);
}

/* Counts requests, and answers none. */
static void serve_headers(int fd, int number, void *arg)
{
    static _Thread_local frame f;
    (void)number, (void)arg;
    if (!frames_begin(fd, BYTES("\0\3\0\0\0\12")))
        return;
    while (frames_read(fd, &f))
        atomic_fetch_add(&received, f.type == FRAME_HEADERS);
}

TEST(what_waits_for_a_stream_is_not_sent_when_all_are_stopped)
{
    enum { MANY = 500 };
    for (int freed = 0; freed < 2; freed++) {
        counts c = {0};
        uint64_t first, until = opf_clock_mono() + PATIENCE_NS;
        atomic_store(&received, 0);
        peer *server = peer_new(serve_headers, NULL);
        opf_plan *plan = make_http2(server, 1, 0, 0);
        opf_fleet *fleet = start(plan, 1, MANY, &first);
        opf_plan_release(plan);
        /* so many are sent before its settings have come */
        while (atomic_load(&received) < 100 && opf_clock_mono() < until)
            usleep(1000);
        if (!freed) {
            CHECK_EQ_INT(stop(fleet, first, MANY, OPF_STOP_NOW), 0);
            CHECK(take_until(fleet, &c, 0, 0, MANY));
            CHECK_EQ_INT(c.requests, 0);
        }
        opf_fleet_free(fleet);
        peer_free(server);
        CHECK_EQ_INT(atomic_load(&received), 100);
    }
}

static void serve_at_random(int fd, int number, void *arg)
{
    frames_random_serve(fd, (uint32_t)number * 7919 + *(const uint32_t *)arg);
}

TEST(agents_outlive_what_a_server_sends)
{
    enum { MANY = 30 };
    for (uint32_t seed = 1; seed < 4; seed++) {
        counts c = {0};
        uint64_t first;
        peer *server = peer_new(serve_at_random, &seed);
        opf_plan *plan = make_http2(server, seed % 3, 0.02, 100 * OPF_NS_PER_MS);
        opf_fleet *fleet = start(plan, 2, MANY, &first);
        opf_plan_release(plan);
        CHECK(take_until(fleet, &c, 200, 0, 0));
        CHECK_EQ_INT(stop(fleet, first, MANY / 2, OPF_STOP_NOW), 0);
        CHECK(take_until(fleet, &c, 0, 0, MANY / 2));
        CHECK_EQ_INT(stop(fleet, first, MANY, OPF_STOP_AFTER_TASK), 0);
        CHECK(take_until(fleet, &c, 0, 0, MANY));
        CHECK_EQ_INT(c.ends, MANY);
        CHECK_EQ_INT(c.lost, 0);
        opf_fleet_free(fleet);
        peer_free(server);
    }
}

OPF_TEST_MAIN
