/* Clients that do at random what drivers do (requests, uploads piece by piece, downloads, giving
 * up, closing, freeing a pool) against servers that send frames at random. Each request is told
 * once, or was given up.
 *
 * OPF_SEEDS in the environment: "from-to", other seeds than those of every day. */
#include "opf_test.h"

#include <stdlib.h>

#include "base/clock.h"
#include "client/exchange.h"
#include "frames_random.h"
#include "opf.h"
#include "peer.h"

#define CALLS 12
#define STEPS 400
#define TIMEOUT (60 * OPF_NS_PER_MS)
#define LARGE 300000

typedef struct request {
    opf_exchange *exchange;
    bool streams, uploads;
    bool open;
    int wrong;
} request;

typedef struct client {
    uint32_t state;
    opf_engine *engine;
    opf_pool *pool;
    char url[64];
    request requests[CALLS];
    int done;
} client;

static uint32_t below(client *c, uint32_t n)
{
    return random_below(&c->state, n);
}

static void serve(int fd, int number, void *arg)
{
    frames_random_serve(fd, (uint32_t)number * 7919 + *(const uint32_t *)arg);
}

static bool is_over(const opf_result *result)
{
    return result->failure != OPF_FAIL_NONE || result->phase == OPF_PHASE_DONE;
}

static void on_done(opf_exchange *exchange, void *arg)
{
    request *r = arg;
    const opf_result *result = opf_exchange_result(exchange);
    size_t sum = 0;
    r->wrong += !r->open || exchange != r->exchange;
    for (uint32_t i = 0; i < result->n_fields + result->n_trailers; i++)
        sum += (uint8_t)result->head[result->fields[i].name_at]; /* ASan sees whether it's there */
    for (size_t i = 0; i < result->body_len; i += 100)
        sum += result->body[i];
    r->wrong += sum == SIZE_MAX;
    r->wrong += !is_over(result) && !r->streams && !r->uploads;
    if (is_over(result))
        r->open = false;
}

static opf_pool *new_pool(client *c)
{
    int error;
    char text[256];
    opf_pool_options options = {.http2 = OPF_HTTP2_PRIOR,
                                .http2_connections = 1 + below(c, 3),
                                .http2_window = 1000 + below(c, 100000),
                                .max_headers = 3000,
                                .max_body = 100000,
                                .timeouts = {.connect_ns = TIMEOUT, .network_ns = TIMEOUT}};
    return opf_pool_new(c->engine, &options, &error, text, sizeof(text));
}

static void submit(client *c, request *r)
{
    static const char body[LARGE];
    const char *why;
    opf_url url;
    opf_request_error error;
    if (r->open || opf_url_parse(c->url, strlen(c->url), &url, &why) != 0)
        return;
    if (r->exchange && below(c, 2)) {
        opf_exchange_free(r->exchange);
        r->exchange = NULL;
    }
    if (!r->exchange)
        r->exchange = opf_exchange_new(c->engine);
    r->streams = !below(c, 3);
    r->uploads = !below(c, 4);
    opf_request asked = {.url = &url,
                         .method = "POST",
                         .method_len = 4,
                         .body = body,
                         .body_len = below(c, 2) || r->uploads ? 0 : below(c, LARGE),
                         .open_body = r->uploads,
                         .stream = r->streams};
    r->open = opf_exchange_submit(r->exchange, c->pool, &asked, on_done, r, &error) == 0;
    r->wrong += !r->open;
}

static void give_up(client *c, request *r)
{
    if (!r->exchange)
        return;
    if (below(c, 2)) {
        opf_exchange_cancel(r->exchange);
    } else {
        opf_exchange_free(r->exchange);
        r->exchange = NULL;
    }
    r->open = false;
}

static void go_on(client *c, request *r)
{
    static char piece[50000], room[30000];
    if (!r->open)
        return;
    if (r->streams)
        opf_exchange_read(r->exchange, room, 1 + below(c, sizeof(room)));
    if (opf_exchange_wants_body(r->exchange))
        opf_exchange_write(r->exchange, piece, below(c, 4) ? below(c, sizeof(piece)) : 0);
}

static void replace_pool(client *c)
{
    opf_pool_free(c->pool);
    for (int i = 0; i < CALLS; i++) { /* what had come to its end is still to be told */
        request *r = &c->requests[i];
        r->open = r->open && r->exchange->state == OPF_EXCHANGE_FINISHED;
    }
    c->pool = new_pool(c);
}

static void step(client *c)
{
    request *r = &c->requests[below(c, CALLS)];
    uint32_t what = below(c, 200);
    if (what < 60)
        submit(c, r);
    else if (what < 120)
        opf_engine_poll(c->engine, below(c, 4) ? 0 : (int)below(c, 5));
    else if (what < 130)
        give_up(c, r);
    else if (what < 190)
        go_on(c, r);
    else if (what < 194)
        opf_engine_hold(c->engine);
    else if (what < 198)
        opf_engine_flush(c->engine);
    else if (what < 199)
        opf_pool_close_idle(c->pool);
    else if (!below(c, 4))
        replace_pool(c);
}

static int count_open(const client *c)
{
    int open = 0;
    for (int i = 0; i < CALLS; i++)
        open += c->requests[i].open;
    return open;
}

/* All that is under way comes to its end: by a time-out at least, once nothing of it is owed. */
static void finish(client *c)
{
    uint64_t until = opf_clock_mono() + 20 * OPF_NS_PER_S;
    opf_engine_flush(c->engine);
    while (count_open(c) && opf_clock_mono() < until) {
        for (int i = 0; i < CALLS; i++)
            go_on(c, &c->requests[i]);
        opf_engine_poll(c->engine, 10);
    }
    CHECK_EQ_INT(count_open(c), 0);
}

static void run(unsigned seed)
{
    client c = {.state = seed};
    uint32_t server_seed = seed * 31;
    int failures = opf_test_failures;
    peer *server = peer_new(serve, &server_seed);
    snprintf(c.url, sizeof(c.url), "http://127.0.0.1:%u/", peer_port(server));
    c.engine = opf_engine_new(NULL);
    c.pool = new_pool(&c);
    for (int i = 0; i < STEPS; i++)
        step(&c);
    finish(&c);
    for (int i = 0; i < CALLS; i++) {
        CHECK_EQ_INT(c.requests[i].wrong, 0);
        opf_exchange_free(c.requests[i].exchange);
    }
    opf_pool_free(c.pool);
    opf_engine_totals totals;
    opf_engine_get_totals(c.engine, &totals);
    CHECK_EQ_INT(totals.connections, 0);
    CHECK_EQ_INT(totals.exchanges, 0);
    opf_engine_free(c.engine);
    peer_free(server);
    if (failures != opf_test_failures)
        OPF_TEST_FAIL("with seed %u", seed);
}

TEST(each_request_ends_once)
{
    unsigned from = 0, to = 20;
    const char *text = getenv("OPF_SEEDS");
    if (text && sscanf(text, "%u-%u", &from, &to) != 2)
        OPF_TEST_FAIL("OPF_SEEDS is \"%s\"", text);
    for (unsigned seed = from; seed < to && opf_test_failures < 5; seed++)
        run(seed);
}

OPF_TEST_MAIN
