#include "client/curl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "client/curl_transfer.h"
#include "wire/network.h"

#define KEPT_MAX 65536 /* connections, to origins in any number */
#define SPARE_MAX 4    /* transfers kept to be used again, in a pool */

/* libcurl as a whole */

static CURLcode global_status;

static void init_global(void)
{
    global_status = curl_global_init(CURL_GLOBAL_DEFAULT);
}

static bool is_ready(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, init_global);
    return global_status == CURLE_OK;
}

/* Deadlines */

#define DOOMED 1 /* the deadline of what has failed, which nothing moves any more */

/* The timer is set for as long as the transfer lives, so that this can't fail. */
static void fire_by(opf_transfer *t, uint64_t at)
{
    if (t->timer.at > at)
        opf_loop_timer_set(opf_curl_engine(t->multi)->loop, &t->timer, at);
}

void opf_curl_set_deadline(opf_transfer *t, uint64_t timeout)
{
    if (t->deadline == DOOMED)
        return;
    t->deadline = timeout ? opf_clock_mono() + timeout : 0;
    if (timeout)
        fire_by(t, t->deadline);
}

void opf_curl_fail_later(opf_transfer *t, opf_failure failure, int err, const char *detail)
{
    opf_curl_note(t, failure, err, detail);
    t->deadline = DOOMED;
    fire_by(t, 0);
}

opf_transfer *opf_curl_transfer_of(CURL *easy)
{
    char *t = NULL;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &t);
    return (opf_transfer *)(void *)t;
}

static void settle(opf_curl_multi *m);

void opf_curl_act(opf_curl_multi *m, curl_socket_t fd, int what)
{
    int running;
    if (curl_multi_socket_action(m->curlm, fd, what, &running) != CURLM_OK) {
        m->retired = true;
        for (opf_node *n = m->running.next; n != &m->running; n = n->next)
            opf_curl_fail_later(OPF_CONTAINER(n, opf_transfer, link), OPF_FAIL_NOMEM, 0, NULL);
    }
    settle(m);
}

/* libcurl's timer */

static int set_timer(CURLM *curlm, long timeout_ms, void *arg)
{
    opf_curl_multi *m = arg;
    (void)curlm;
    uint64_t at =
        timeout_ms < 0 ? UINT64_MAX : opf_clock_mono() + (uint64_t)timeout_ms * OPF_NS_PER_MS;
    /* it is always set, so that this can't fail */
    opf_loop_timer_set(opf_curl_engine(m)->loop, &m->timer, at);
    return 0;
}

static void on_timer(opf_timer *timer)
{
    opf_curl_multi *m = OPF_CONTAINER(timer, opf_curl_multi, timer);
    opf_loop_timer_set(opf_curl_engine(m)->loop, timer, UINT64_MAX);
    opf_curl_act(m, CURL_SOCKET_TIMEOUT, 0);
}

/* The end of a transfer */

static void forget_hosts(opf_transfer *t)
{
    opf_mem_free(t->peer.name);
    opf_mem_free(t->named.name);
    t->peer = t->named = (opf_curl_host){0};
}

static void transfer_free(opf_transfer *t)
{
    opf_list_remove(&t->link);
    forget_hosts(t);
    opf_loop_timer_clear(opf_curl_engine(t->multi)->loop, &t->timer);
    if (t->easy)
        curl_easy_cleanup(t->easy);
    curl_slist_free_all(t->headers);
    curl_slist_free_all(t->resolve);
    curl_slist_free_all(t->connect_to);
    opf_mem_free(t->key);
    opf_mem_free(t);
}

/* Takes the transfer from libcurl, which closes its connection unless the response is whole. */
static void take_out(opf_transfer *t)
{
    if (t->in_multi)
        curl_multi_remove_handle(t->multi->curlm, t->easy);
    t->in_multi = false;
    /* a connection that broke at once is closed without a word */
    if (t->socket && !t->sends && fcntl(t->socket->fd, F_GETFD) < 0)
        opf_curl_sock_free(t->socket);
}

/* Takes the transfer from libcurl and from its exchange; keep: for the next one. */
static void release(opf_transfer *t, bool keep)
{
    opf_curl_multi *m = t->multi;
    opf_curl_detach(m);
    opf_lookup_cancel(opf_curl_engine(m)->resolver, &t->lookup);
    opf_dial_cancel(&t->dial);
    if (t->fd >= 0)
        close(t->fd);
    t->fd = -1;
    for (opf_node *n = m->sockets.next; n != &m->sockets; n = n->next) {
        opf_curl_sock *s = OPF_CONTAINER(n, opf_curl_sock, link);
        if (s->user == t)
            s->user = NULL;
    }
    take_out(t);
    t->exchange->transfer = NULL;
    t->exchange = NULL;
    opf_list_remove(&t->link);
    if (!keep || m->n_spare >= SPARE_MAX || opf_curl_engine(m)->forked) {
        transfer_free(t);
        return;
    }
    forget_hosts(t);
    curl_slist_free_all(t->headers); /* set anew before libcurl reads them again */
    curl_slist_free_all(t->resolve);
    curl_slist_free_all(t->connect_to);
    t->headers = t->resolve = t->connect_to = NULL;
    t->deadline = 0;
    opf_list_push_front(&m->spare, &t->link);
    m->n_spare++;
}

/* Counts the request on its connection, if that is kept. What the response says of that goes for
 * libcurl too: it finds the connection ended. */
static void note_socket(opf_transfer *t)
{
    if (!t->socket)
        return;
    if (t->socket->user == t &&
        opf_curl_ends_socket(t)) /* not if what came is for the next request */
        shutdown(t->socket->fd, SHUT_RDWR);
    t->socket->carried += t->sends;
    opf_curl_note_idle(t->socket, t->exchange->result.seen_ns);
}

/* Files the transfer's failure, or its success. */
static void finish(opf_transfer *t)
{
    opf_curl_multi *m = t->multi;
    opf_exchange *exchange = t->exchange;
    opf_engine *engine = opf_curl_engine(m);
    opf_result *result = &exchange->result;
    opf_failure failure = t->failure;
    const char *detail = t->detail;
    int err = t->err;
    opf_curl_note_phase(t);
    if (t->h1.headers_done)
        result->phase = OPF_PHASE_BODY; /* finishing well makes it DONE */
    result->seen_ns = opf_clock_mono();
    result->end_ns = failure == OPF_FAIL_NONE && t->last_ns ? t->last_ns : result->seen_ns;
    result->bytes_received = t->h1.head_bytes + t->h1.body_bytes;
    engine->now = result->seen_ns;
    engine->totals.unstamped += !result->head_ns;
    note_socket(t);
    release(t, failure == OPF_FAIL_NONE); /* an errno that libcurl has noted would stay */
    if (failure == OPF_FAIL_NONE && !exchange->stream)
        failure = opf_exchange_decode(exchange, m->pool->options.max_body, &detail);
    opf_exchange_finish(exchange, failure, err, detail);
}

static void multi_free(opf_curl_multi *m)
{
    opf_node *node;
    opf_curl_detach(m);
    while ((node = opf_list_pop_front(&m->spare)))
        transfer_free(OPF_CONTAINER(node, opf_transfer, link));
    if (m->curlm)
        curl_multi_cleanup(m->curlm);
    opf_loop_timer_clear(opf_curl_engine(m)->loop, &m->timer);
    opf_list_remove(&m->link);
    opf_mem_free(m);
}

/* Starting */

static void add(opf_transfer *t)
{
    CURL *easy = t->easy;
    CURLcode bad = CURLE_OK;
    OPF_CURL_SET(CURLOPT_RESOLVE, t->resolve);
    /* made for nothing otherwise; and if it was another's that was found to be of no use, its own
     * would be chosen, and found so, again */
    OPF_CURL_SET(CURLOPT_FRESH_CONNECT, t->fd >= 0 || t->is_stale ? 1L : 0L);
    t->is_stale = false;
    t->exchange->result.phase = OPF_PHASE_CONNECT;
    opf_curl_set_deadline(t, opf_curl_timeouts(t)->connect_ns);
    if (bad != CURLE_OK || curl_multi_add_handle(t->multi->curlm, t->easy) != CURLM_OK) {
        opf_curl_fail_later(t, OPF_FAIL_NOMEM, 0, NULL);
        return;
    }
    t->in_multi = true;
}

/* With a host that can't be reached the request can't begin; of a proxy it is the proxy's fault. */
static void fail_at_peer(opf_transfer *t, opf_failure failure, int err, const char *detail)
{
    if (t->has_proxy && failure != OPF_FAIL_NOMEM)
        failure = OPF_FAIL_PROXY;
    opf_curl_fail_later(t, failure, err, detail);
}

static void on_dialled(opf_dial *dial, int fd, opf_failure failure, int err, const char *detail)
{
    opf_transfer *t = OPF_CONTAINER(dial, opf_transfer, dial);
    t->dialling = false;
    t->exchange->result.phase = dial->phase;
    if (fd < 0) {
        fail_at_peer(t, failure, err, detail);
        return;
    }
    t->fd = fd;
    add(t);
}

/* Makes the connection that libcurl could not begin without, and lets it begin anew. */
static void dial(opf_transfer *t)
{
    opf_engine *engine = opf_curl_engine(t->multi);
    take_out(t);
    opf_curl_begin_response(t);
    t->wants_dial = false;
    t->dialling = true;
    engine->totals.connects++;
    t->exchange->result.phase = OPF_PHASE_RESOLVE;
    opf_curl_set_deadline(t, opf_curl_timeouts(t)->connect_ns);
    int ret = opf_dial_start(&t->dial, engine->loop, engine->resolver, t->multi->pool->network,
                             t->peer.name, strlen(t->peer.name), t->peer.port, on_dialled);
    if (ret == OPF_EINVAL)
        fail_at_peer(t, OPF_FAIL_RESOLVE, 0, "not a valid host name");
    else if (ret != 0)
        opf_curl_fail_later(t, OPF_FAIL_NOMEM, 0, NULL);
}

/* Begins anew, by another connection than the one that was kept. */
static void replace(opf_transfer *t)
{
    take_out(t);
    opf_curl_begin_response(t);
    opf_curl_engine(t->multi)->totals.replaced++;
    add(t);
}

static int give_addresses(opf_transfer *t, const opf_addr *addrs, size_t n)
{
    char text[INET6_ADDRSTRLEN];
    const opf_addr *addr = &addrs[0];
    for (size_t i = n; i-- > 0;) /* SOCKS 4 has no room for another */
        if (addrs[i].family == AF_INET)
            addr = &addrs[i];
    inet_ntop(addr->family, &addr->ip, text, sizeof(text));
    return opf_curl_give_address(t, &t->named, text);
}

static void on_resolved(opf_lookup *lookup, int status, const opf_addr *addrs, size_t n,
                        const char *why)
{
    opf_transfer *t = OPF_CONTAINER(lookup, opf_transfer, lookup);
    if (status != 0)
        opf_curl_fail_later(t, status == OPF_ENOMEM ? OPF_FAIL_NOMEM : OPF_FAIL_RESOLVE, 0, why);
    else if (give_addresses(t, addrs, n) != 0)
        opf_curl_fail_later(t, OPF_FAIL_NOMEM, 0, NULL);
    else
        add(t);
}

/* Looks up the server's address for a proxy that wants it, then goes on. */
static void resolve(opf_transfer *t)
{
    const opf_curl_host *h = &t->named;
    if (!h->name || h->is_address) {
        add(t);
        return;
    }
    size_t n;
    const opf_addr *given =
        opf_network_given(t->multi->pool->network, h->name, strlen(h->name), h->port, &n);
    if (given && given->family != AF_UNIX) {
        if (give_addresses(t, given, n) != 0)
            opf_curl_fail_later(t, OPF_FAIL_NOMEM, 0, NULL);
        else
            add(t);
        return;
    }
    int ret = opf_resolver_lookup(opf_curl_engine(t->multi)->resolver, &t->lookup, h->name,
                                  strlen(h->name));
    if (ret != 0)
        opf_curl_fail_later(t, ret == OPF_EINVAL ? OPF_FAIL_RESOLVE : OPF_FAIL_NOMEM, 0,
                            ret == OPF_EINVAL ? "not a valid host name" : NULL);
}

static void start(opf_transfer *t)
{
    opf_result *result = &t->exchange->result;
    opf_list_remove(&t->link);
    opf_list_push_back(&t->multi->running, &t->link);
    result->start_ns = opf_clock_mono();
    result->phase = OPF_PHASE_RESOLVE;
    opf_curl_set_deadline(t, opf_curl_timeouts(t)->connect_ns);
    if (t->failure != OPF_FAIL_NONE)
        opf_curl_fail_later(t, t->failure, t->err, t->detail);
    else
        resolve(t);
}

static bool same_origin(const opf_transfer *a, const opf_transfer *b)
{
    return a->origin_len == b->origin_len && memcmp(a->key, b->key, a->origin_len) == 0;
}

static bool has_room(const opf_curl_multi *m, const opf_transfer *t)
{
    uint32_t n = 0;
    for (const opf_node *node = m->running.next; node != &m->running; node = node->next)
        n += same_origin(OPF_CONTAINER(node, opf_transfer, link), t);
    return n < m->pool->options.concurrency;
}

/* Starts those who wait and may, and frees what has retired. The last thing to do in an event; a
 * forked child starts nothing. */
static void go_on(opf_curl_multi *m)
{
    if (opf_curl_engine(m)->forked)
        return;
    for (opf_node *node = m->waiting.next, *next; node != &m->waiting; node = next) {
        opf_transfer *t = OPF_CONTAINER(node, opf_transfer, link);
        next = node->next;
        if (has_room(m, t))
            start(t);
    }
    if (m->retired && opf_list_empty(&m->running) && opf_list_empty(&m->waiting))
        multi_free(m);
}

/* Finishes what libcurl is done with. */
static void settle(opf_curl_multi *m)
{
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(m->curlm, &left))) {
        CURLcode code = message->data.result;
        if (message->msg != CURLMSG_DONE)
            continue;
        opf_transfer *t = opf_curl_transfer_of(message->easy_handle);
        if (t->wants_dial && t->failure == OPF_FAIL_NONE) {
            dial(t);
            continue;
        }
        if (t->is_stale && t->failure == OPF_FAIL_NONE) {
            replace(t);
            continue;
        }
        opf_curl_judge(t, code);
        finish(t);
    }
    for (opf_node *n = m->running.next; n != &m->running; n = n->next)
        opf_curl_note_phase(OPF_CONTAINER(n, opf_transfer, link));
    go_on(m);
}

static void on_deadline(opf_timer *timer)
{
    opf_transfer *t = OPF_CONTAINER(timer, opf_transfer, timer);
    opf_curl_multi *m = t->multi;
    /* its place in the loop is still free: kept now, it can't be missing later */
    opf_loop_timer_set(opf_curl_engine(m)->loop, timer, UINT64_MAX);
    if (!t->exchange || !t->deadline)
        return;
    if (opf_clock_mono() < t->deadline) {
        fire_by(t, t->deadline);
        return;
    }
    opf_curl_note_phase(t);
    if (t->failure == OPF_FAIL_NONE)
        opf_curl_note(t, opf_curl_timeout(t), ETIMEDOUT, NULL);
    finish(t);
    go_on(m);
}

/* Transfers */

/* Makes the transfer new again, but for what it keeps: its easy handle, its key and its timer. */
static void clear(opf_transfer *t)
{
    opf_transfer kept = *t;
    memset(t, 0, sizeof(*t));
    t->multi = kept.multi;
    t->easy = kept.easy;
    t->key = kept.key;
    t->timer = kept.timer;
    t->fd = -1;
    opf_list_init(&t->link);
    opf_lookup_init(&t->lookup, on_resolved);
}

/* Takes the key over, also when there is no memory. */
static opf_transfer *transfer_new(opf_curl_multi *m, char *key)
{
    opf_transfer *t = opf_mem_zalloc(sizeof(*t));
    if (!t) {
        opf_mem_free(key);
        return NULL;
    }
    t->multi = m;
    t->key = key;
    opf_timer_init(&t->timer, on_deadline);
    clear(t);
    t->easy = curl_easy_init();
    if (!t->easy || opf_loop_timer_set(opf_curl_engine(m)->loop, &t->timer, UINT64_MAX) != 0) {
        transfer_free(t);
        return NULL;
    }
    return t;
}

/* Returns a transfer for the key, which it takes over: what an easy handle knows of an
 * authentication is used again for the same, and for nothing else. NULL without memory. */
static opf_transfer *transfer_take(opf_curl_multi *m, char *key)
{
    opf_transfer *t = NULL;
    for (opf_node *n = m->spare.next; n != &m->spare; n = n->next) {
        t = OPF_CONTAINER(n, opf_transfer, link);
        if (strcmp(t->key, key) == 0)
            break;
        t = NULL;
    }
    bool known = t != NULL;
    if (!t && m->n_spare == SPARE_MAX)
        t = OPF_CONTAINER(m->spare.prev, opf_transfer, link);
    if (!t)
        return transfer_new(m, key);
    opf_list_remove(&t->link);
    m->n_spare--;
    opf_mem_free(t->key);
    t->key = key;
    if (!known)
        curl_easy_reset(t->easy);
    clear(t);
    return t;
}

/* Connections that libcurl keeps, to all origins together. */
static long kept_max(const opf_pool *pool)
{
    uint32_t n = pool->options.concurrency;
    return n < KEPT_MAX / 4 ? (long)n * 4 : KEPT_MAX;
}

static opf_curl_multi *multi_new(opf_pool *pool)
{
    opf_curl_multi *m = opf_mem_zalloc(sizeof(*m));
    if (!m)
        return NULL;
    m->pool = pool;
    opf_list_init(&m->link);
    opf_list_init(&m->running);
    opf_list_init(&m->waiting);
    opf_list_init(&m->spare);
    opf_list_init(&m->sockets);
    opf_timer_init(&m->timer, on_timer);
    m->curlm = curl_multi_init();
    CURLMcode bad = m->curlm ? CURLM_OK : CURLM_OUT_OF_MEMORY;
    if (opf_loop_timer_set(pool->engine->loop, &m->timer, UINT64_MAX) != 0)
        bad = CURLM_OUT_OF_MEMORY;
#define SETM(option, value) (bad = bad ? bad : curl_multi_setopt(m->curlm, option, value))
    SETM(CURLMOPT_SOCKETFUNCTION, opf_curl_watch_socket);
    SETM(CURLMOPT_SOCKETDATA, m);
    SETM(CURLMOPT_TIMERFUNCTION, set_timer);
    SETM(CURLMOPT_TIMERDATA, m);
    SETM(CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
    SETM(CURLMOPT_MAXCONNECTS, kept_max(pool));
    if (bad) {
        multi_free(m);
        return NULL;
    }
    opf_list_push_front(&pool->multis, &m->link);
    return m;
}

static opf_curl_multi *multi_of(opf_pool *pool)
{
    opf_curl_multi *m = OPF_CONTAINER(pool->multis.next, opf_curl_multi, link);
    return opf_list_empty(&pool->multis) || m->retired ? multi_new(pool) : m;
}

/* Tells libcurl all that it must know. Returns as opf_curl_submit. */
static int set_up(opf_transfer *t, const opf_request *request, opf_request_error *error)
{
    opf_curl_begin_response(t);
    if (!opf_curl_set_constants(t))
        return OPF_ENOMEM;
    int ret = opf_curl_set_request(t, request, error);
    if (ret != 0 || (!t->is_tls && !t->proxy_is_tls))
        return ret;
    int ready = opf_tls_context_ready(t->multi->pool->tls);
    if (ready == OPF_ENOMEM)
        return OPF_ENOMEM;
    if (ready != 0)
        opf_curl_note(t, OPF_FAIL_TLS, 0, "no TLS context can be made");
    else if (!opf_curl_set_tls(t))
        opf_curl_note(t, OPF_FAIL_TLS, 0, "the system's libcurl is not built with OpenSSL");
    return 0;
}

int opf_curl_submit(opf_pool *pool, opf_exchange *exchange, const opf_request *request,
                    opf_request_error *error)
{
    size_t origin_len;
    if (!is_ready())
        return OPF_ENOMEM;
    opf_curl_multi *m = multi_of(pool);
    char *key = m ? opf_curl_key(request, &origin_len) : NULL;
    opf_transfer *t = key ? transfer_take(m, key) : NULL;
    if (!t)
        return OPF_ENOMEM;
    t->origin_len = origin_len;
    t->exchange = exchange;
    int ret = set_up(t, request, error);
    if (ret != 0) {
        transfer_free(t);
        return ret;
    }
    exchange->transfer = t;
    exchange->state = OPF_EXCHANGE_ACTIVE;
    exchange->result.via_curl = true;
    if (has_room(m, t) && opf_list_empty(&m->waiting))
        start(t);
    else
        opf_list_push_back(&m->waiting, &t->link);
    return 0;
}

/* Has libcurl go on with what is not held up any more; it may call back from within. */
static void go_on_by(opf_transfer *t)
{
    opf_curl_multi *m = t->multi;
    int pause = (t->paused ? CURLPAUSE_RECV : 0) | (t->starved ? CURLPAUSE_SEND : 0);
    CURLcode code = curl_easy_pause(t->easy, pause);
    if (code == CURLE_OK)
        return;
    opf_curl_judge(t, code);
    finish(t);
    go_on(m);
}

void opf_curl_read_on(opf_transfer *t)
{
    if (!t->paused || opf_exchange_held(t->exchange) > OPF_CURL_HELD_MAX / 2)
        return;
    t->paused = false;
    opf_curl_set_deadline(t, t->starved ? 0 : opf_curl_timeouts(t)->network_ns);
    go_on_by(t);
}

void opf_curl_send_on(opf_transfer *t)
{
    t->piece_at = 0;
    t->starved = false;
    opf_curl_set_deadline(t, opf_curl_timeouts(t)->network_ns);
    go_on_by(t);
}

void opf_curl_abandon(opf_transfer *t)
{
    opf_curl_multi *m = t->multi;
    release(t, false);
    go_on(m);
}

void opf_curl_close_idle(opf_pool *pool)
{
    for (opf_node *n = pool->multis.next, *next; n != &pool->multis; n = next) {
        opf_curl_multi *m = OPF_CONTAINER(n, opf_curl_multi, link);
        next = n->next;
        m->retired = true;
        go_on(m);
    }
}

static void let_all_go(opf_list *transfers)
{
    while (!opf_list_empty(transfers)) {
        opf_transfer *t = OPF_CONTAINER(transfers->next, opf_transfer, link);
        opf_exchange *exchange = t->exchange;
        release(t, false);
        opf_exchange_let_go(exchange);
    }
}

void opf_curl_free(opf_pool *pool)
{
    while (!opf_list_empty(&pool->multis)) {
        opf_curl_multi *m = OPF_CONTAINER(pool->multis.next, opf_curl_multi, link);
        let_all_go(&m->waiting);
        let_all_go(&m->running);
        multi_free(m);
    }
}
