#include "client/pool.h"

#include <malloc.h>

#include "base/mem.h"
#include "client/conn.h"
#include "client/curl.h"
#include "client/mux.h"

#define DEFAULT_CONCURRENCY 10
#define DEFAULT_HTTP2_WINDOW (1U << 20)
#define DEFAULT_HTTP2_CONNECTION_WINDOW (16U << 20)
#define HTTP2_WINDOW_MAX 0x7fffffffU        /* RFC 9113, 6.9.1 */
#define HTTP2_CONNECTION_WINDOW_MIN 0xffffU /* it begins with that (6.9.2) */
#define DEFAULT_MAX_HEADERS (64U << 10)
#define DEFAULT_MAX_BODY (1U << 30)
#define MAX_HEADERS_MAX (16U << 20) /* places in a head are 32 bits wide */

/* The value, or the default for 0, as far as it may be. */
static uint32_t within(uint32_t value, uint32_t by_default, uint32_t least, uint32_t most)
{
    if (!value)
        return by_default;
    return value < least ? least : value > most ? most : value;
}

/* Takes what the connections of all pools with such options have in common, and copies the rest. */
static int take_options(opf_pool *pool, const opf_pool_options *options, char *text, size_t size)
{
    opf_pool_options *own = &pool->options;
    int error = 0;
    *own = *options;
    own->tls = (opf_tls_options){0}; /* their pointers are the caller's */
    own->network = (opf_network_options){0};
    own->server_name = NULL;
    if (options->server_name && !(pool->server_name = opf_mem_strdup(options->server_name)))
        return OPF_ENOMEM;
    pool->tls = opf_engine_tls(pool->engine, &options->tls, &error, text, size);
    if (pool->tls)
        pool->network = opf_engine_network(pool->engine, &options->network, &error, text, size);
    if (!pool->network)
        return error;
    if (own->http2_connections)
        own->concurrency = own->http2_connections;
    if (!own->concurrency)
        own->concurrency = DEFAULT_CONCURRENCY;
    if (!own->http2_connections)
        own->http2_connections = 1;
    own->http2_window = within(own->http2_window, DEFAULT_HTTP2_WINDOW, 1, HTTP2_WINDOW_MAX);
    own->http2_connection_window =
        within(own->http2_connection_window, DEFAULT_HTTP2_CONNECTION_WINDOW,
               HTTP2_CONNECTION_WINDOW_MIN, HTTP2_WINDOW_MAX);
    if (!own->max_headers)
        own->max_headers = DEFAULT_MAX_HEADERS;
    if (own->max_headers > MAX_HEADERS_MAX)
        own->max_headers = MAX_HEADERS_MAX;
    if (!own->max_body)
        own->max_body = DEFAULT_MAX_BODY;
    return 0;
}

opf_pool *opf_pool_new(opf_engine *engine, const opf_pool_options *options, int *error,
                       char *error_text, size_t error_size)
{
    opf_pool *pool = opf_mem_zalloc(sizeof(*pool));
    *error = OPF_ENOMEM;
    if (!pool)
        return NULL;
    pool->engine = engine;
    opf_list_init(&pool->origins);
    opf_list_init(&pool->multis);
    *error = take_options(pool, options, error_text, error_size);
    if (!*error)
        return pool;
    opf_pool_free(pool);
    return NULL;
}

static void close_all(opf_list *conns)
{
    while (!opf_list_empty(conns))
        opf_conn_free(OPF_CONTAINER(conns->next, opf_conn, link), true);
}

const opf_pool_options *opf_pool_get_options(const opf_pool *pool)
{
    return &pool->options;
}

static void retire_shared(opf_origin *origin)
{
    for (opf_node *c = origin->shared.next, *next; c != &origin->shared; c = next) {
        next = c->next;
        opf_mux_retire(OPF_CONTAINER(c, opf_conn, link));
    }
}

void opf_pool_close_idle(opf_pool *pool)
{
    for (opf_node *n = pool->origins.next; n != &pool->origins; n = n->next) {
        opf_origin *origin = OPF_CONTAINER(n, opf_origin, link);
        close_all(&origin->idle);
        retire_shared(origin);
    }
    opf_curl_close_idle(pool);
}

void opf_origin_speaks(opf_origin *origin, bool http2)
{
    origin->sharing = http2 ? OPF_SHARES : OPF_SHARES_NOT;
    if (http2)
        close_all(&origin->idle);
    else
        retire_shared(origin);
}

static void origin_free(opf_origin *origin)
{
    opf_node *node;
    while ((node = opf_list_pop_front(&origin->waiting))) {
        opf_exchange *exchange = OPF_CONTAINER(node, opf_exchange, link);
        opf_exchange_let_go(exchange);
    }
    close_all(&origin->shared);
    close_all(&origin->busy);
    close_all(&origin->idle);
    opf_tls_sessions_fini(&origin->sessions);
    opf_list_remove(&origin->link);
    origin->pool->n_origins--;
    opf_mem_free(origin);
}

/* So many connections at a time make their memory worth giving back to the system when the last one
 * is gone: the allocator keeps what lies between blocks that are still in use. */
#define MANY_CONNECTIONS 64

static void give_back(opf_engine *engine)
{
    if (engine->totals.connections || engine->most_connections < MANY_CONNECTIONS || engine->forked)
        return;
    engine->most_connections = 0;
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

void opf_pool_free(opf_pool *pool)
{
    if (!pool)
        return;
    opf_curl_free(pool);
    while (!opf_list_empty(&pool->origins))
        origin_free(OPF_CONTAINER(pool->origins.next, opf_origin, link));
    opf_tls_context_release(pool->tls);
    opf_network_release(pool->network);
    give_back(pool->engine);
    opf_mem_free(pool->server_name);
    opf_mem_free(pool);
}

/* Origins without a connection that are kept for their TLS sessions. */
#define KEPT_ORIGINS 64

/* Forgets the origins that nothing is kept or asked for of: a user may go to ever new ones. */
static void drop_unused(opf_pool *pool)
{
    for (opf_node *n = pool->origins.next, *next; n != &pool->origins; n = next) {
        opf_origin *origin = OPF_CONTAINER(n, opf_origin, link);
        next = n->next;
        if (!origin->n_conns && opf_list_empty(&origin->waiting) &&
            (!origin->sessions.n || pool->n_origins > KEPT_ORIGINS))
            origin_free(origin);
    }
}

static bool may_share(const opf_pool *pool, const opf_url *url)
{
    return pool->options.http2 == OPF_HTTP2_PRIOR ||
           (pool->options.http2 == OPF_HTTP2_AUTO && url->tls);
}

static opf_origin *origin_new(opf_pool *pool, const opf_url *url)
{
    drop_unused(pool);
    opf_origin *origin = opf_mem_zalloc(sizeof(*origin) + url->host_len + 1);
    if (!origin)
        return NULL;
    origin->pool = pool;
    opf_list_init(&origin->idle);
    opf_list_init(&origin->busy);
    opf_list_init(&origin->shared);
    opf_list_init(&origin->waiting);
    origin->sharing = may_share(pool, url) ? OPF_MAY_SHARE : OPF_SHARES_NOT;
    origin->port = url->port;
    origin->tls = url->tls;
    origin->ip6 = url->ip6;
    origin->host_len = url->host_len;
    memcpy(origin->host, url->host, url->host_len);
    opf_list_push_front(&pool->origins, &origin->link);
    pool->n_origins++;
    return origin;
}

static opf_origin *origin_of(opf_pool *pool, const opf_url *url)
{
    for (opf_node *n = pool->origins.next; n != &pool->origins; n = n->next) {
        opf_origin *origin = OPF_CONTAINER(n, opf_origin, link);
        if (origin->port == url->port && origin->tls == url->tls &&
            origin->host_len == url->host_len &&
            memcmp(origin->host, url->host, url->host_len) == 0)
            return origin;
    }
    return origin_new(pool, url);
}

/* Finds a kept connection that still stands. */
static opf_conn *take_idle(opf_origin *origin)
{
    while (!opf_list_empty(&origin->idle)) {
        opf_conn *conn = OPF_CONTAINER(origin->idle.next, opf_conn, link);
        if (opf_conn_usable(conn))
            return conn;
        origin->pool->engine->totals.replaced++;
        opf_conn_free(conn, true);
    }
    return NULL;
}

/* Finds a connection that takes another stream: one where streams have just ended, or the one whose
 * turn it is. */
static opf_conn *take_shared(opf_origin *origin)
{
    opf_list *shared = &origin->shared;
    for (opf_node *n = shared->next, *next; n != shared; n = next) {
        opf_conn *conn = OPF_CONTAINER(n, opf_conn, link);
        bool gone;
        next = n->next;
        if (!opf_mux_usable(conn, &gone))
            continue;
        if (opf_mux_take_place(conn->mux))
            return conn;
        opf_list_remove(&conn->link);
        opf_list_push_back(shared, &conn->link);
        return conn;
    }
    return NULL;
}

/* The same as assign for an origin that speaks HTTP/2. Connections are made up to their number
 * before streams share one. */
static int assign_stream(opf_origin *origin, opf_exchange *exchange)
{
    uint32_t most = origin->pool->options.http2_connections;
    opf_conn *conn = take_shared(origin);
    bool can_dial = origin->n_conns - origin->n_draining < most;
    if (conn && (!can_dial || !conn->mux->h2.n_streams)) {
        int ret = opf_mux_start(conn, exchange);
        if (ret != OPF_EINVAL)
            return ret == 0 ? 1 : ret;
        opf_mux_retire(conn); /* its numbers for streams are used up */
        can_dial = origin->n_conns - origin->n_draining < most;
    }
    if (!can_dial)
        return 0;
    return opf_conn_dial(origin, exchange) == 0 ? 1 : OPF_ENOMEM;
}

/* Gives the exchange a connection if one is free or may be made. Returns 1 if so, 0 if not, or
 * OPF_ENOMEM. */
static int assign(opf_origin *origin, opf_exchange *exchange)
{
    if (origin->sharing)
        return assign_stream(origin, exchange);
    opf_conn *conn = take_idle(origin);
    if (conn) {
        opf_conn_start(conn, exchange);
        return 1;
    }
    if (origin->n_conns - origin->n_draining >= origin->pool->options.concurrency)
        return 0;
    return opf_conn_dial(origin, exchange) == 0 ? 1 : OPF_ENOMEM;
}

/* Puts the exchange before another, or at the queue's end. */
static void queue_before(opf_node *other, opf_exchange *exchange)
{
    exchange->state = OPF_EXCHANGE_QUEUED;
    exchange->result.phase = OPF_PHASE_QUEUE;
    exchange->queued_at = opf_clock_mono();
    opf_list_push_back(other, &exchange->link);
}

int opf_pool_submit(opf_pool *pool, opf_exchange *exchange, const opf_url *url)
{
    opf_origin *origin = origin_of(pool, url);
    if (!origin)
        return OPF_ENOMEM;
    exchange->number = origin->submitted++;
    int ret = opf_list_empty(&origin->waiting) ? assign(origin, exchange) : 0;
    if (ret < 0)
        return ret;
    if (ret == 0)
        queue_before(&origin->waiting, exchange);
    return 0;
}

void opf_origin_requeue(opf_origin *origin, opf_exchange *exchange)
{
    opf_node *n = origin->waiting.next;
    while (n != &origin->waiting && OPF_CONTAINER(n, opf_exchange, link)->number < exchange->number)
        n = n->next;
    queue_before(n, exchange);
}

void opf_origin_fail_waiting(opf_origin *origin, const opf_result *failed)
{
    opf_node *node;
    if (origin->n_conns)
        return;
    while ((node = opf_list_pop_front(&origin->waiting))) {
        opf_exchange *exchange = OPF_CONTAINER(node, opf_exchange, link);
        exchange->result.start_ns = exchange->queued_at;
        exchange->result.end_ns = failed->end_ns;
        exchange->result.seen_ns = failed->seen_ns;
        exchange->result.phase = failed->phase;
        opf_exchange_finish(exchange, failed->failure, failed->err, failed->detail);
    }
}

static void note_wait(opf_exchange *exchange)
{
    opf_engine_totals *totals = &exchange->engine->totals;
    uint64_t waited = opf_clock_mono() - exchange->queued_at;
    exchange->result.queue_ns += waited;
    totals->queued++;
    totals->queue_ns += waited;
}

void opf_origin_serve(opf_origin *origin)
{
    while (!opf_list_empty(&origin->waiting)) {
        opf_exchange *exchange = OPF_CONTAINER(origin->waiting.next, opf_exchange, link);
        opf_list_remove(&exchange->link);
        int ret = assign(origin, exchange);
        if (ret == 1) {
            note_wait(exchange);
            continue;
        }
        if (ret == 0) {
            opf_list_push_front(&origin->waiting, &exchange->link);
            return;
        }
        exchange->result.start_ns = exchange->result.end_ns = opf_clock_mono();
        exchange->result.seen_ns = exchange->result.end_ns;
        opf_exchange_finish(exchange, OPF_FAIL_NOMEM, 0, NULL);
    }
}
