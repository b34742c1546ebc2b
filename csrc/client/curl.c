#include "client/curl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/tcp.h>
#include <pthread.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "client/curl_transfer.h"
#include "wire/network.h"
#include "wire/tls_lend.h"

/* As on the fast path: how much of a stream is held that nobody has taken. */
#define HELD_MAX (256U << 10)

#define KEPT_MAX 65536      /* connections, to origins in any number */
#define SPARE_MAX 4         /* transfers kept to be used again, in a pool */
#define FOREVER_MS INT_MAX  /* libcurl's own time-outs: ours strike before */
#define DNS_KEEP_S 3600     /* libcurl forgets the addresses that it was given */
#define SENDS_MAX 16        /* of one request: NTLM takes three to a server, and to a proxy */
#define IDLE_MAX_S 31536000 /* as on the fast path, a connection idles for as long as it stands */

static opf_engine *engine_of(const opf_curl_multi *m)
{
    return m->pool->engine;
}

static const opf_timeouts *timeouts_of(const opf_transfer *t)
{
    return &t->exchange->result.timeouts;
}

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
        opf_loop_timer_set(engine_of(t->multi)->loop, &t->timer, at);
}

static void set_deadline(opf_transfer *t, uint64_t timeout)
{
    if (t->deadline == DOOMED)
        return;
    t->deadline = timeout ? opf_clock_mono() + timeout : 0;
    if (timeout)
        fire_by(t, t->deadline);
}

/* Has the transfer finished with this in its turn: not from within the call that found it. */
static void fail_later(opf_transfer *t, opf_failure failure, int err, const char *detail)
{
    opf_curl_note(t, failure, err, detail);
    t->deadline = DOOMED;
    fire_by(t, 0);
}

static opf_transfer *transfer_of(CURL *easy)
{
    char *t = NULL;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &t);
    return (opf_transfer *)(void *)t;
}

/* Sockets */

static void settle(opf_curl_multi *m);
static void on_socket(opf_watch *watch, uint32_t events);

static opf_curl_sock *sock_find(opf_curl_multi *m, curl_socket_t fd)
{
    for (opf_node *n = m->sockets.next; n != &m->sockets; n = n->next) {
        opf_curl_sock *s = OPF_CONTAINER(n, opf_curl_sock, link);
        if (s->fd == fd)
            return s;
    }
    return NULL;
}

static int port_of(int fd)
{
    struct sockaddr_storage own = {0};
    socklen_t len = sizeof(own);
    if (getsockname(fd, (struct sockaddr *)&own, &len) != 0)
        return 0;
    if (own.ss_family == AF_INET)
        return ntohs(((struct sockaddr_in *)&own)->sin_port);
    return own.ss_family == AF_INET6 ? ntohs(((struct sockaddr_in6 *)&own)->sin6_port) : 0;
}

/* Bytes that have come on a connection, 0 where nobody counts. libcurl does not tell of a status
 * line that was cut off. */
static uint64_t received(int fd)
{
    struct tcp_info info = {0};
    socklen_t len = sizeof(info);
    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 ? info.tcpi_bytes_received : 0;
}

/* libcurl tells of a connection no more than its ports before it sends. Connections to several
 * addresses, or from several, may have the same: one that another transfer uses is not it, unless
 * that is through with it and only we don't know yet. */
static opf_curl_sock *sock_by_port(const opf_transfer *t, int own_port)
{
    const opf_list *sockets = &t->multi->sockets;
    opf_curl_sock *left = NULL;
    if (own_port <= 0)
        return NULL;
    if (t->opened && t->socket && t->socket->own_port == own_port)
        return t->socket;
    for (opf_node *n = sockets->next; n != sockets; n = n->next) {
        opf_curl_sock *s = OPF_CONTAINER(n, opf_curl_sock, link);
        if (s->own_port != own_port || s->peer_port != t->peer.port)
            continue;
        if (!s->user || s->user == t)
            return s;
        if (s->user->h1.headers_done)
            left = s;
    }
    return left;
}

/* A request that was lost on a kept connection, which libcurl would send again: whether to is the
 * driver's choice. */
static bool is_lost(opf_transfer *t)
{
    if (!t->sends || t->answered)
        return false;
    opf_curl_note(t, OPF_FAIL_CLOSED, 0, NULL);
    t->exchange->result.phase = OPF_PHASE_WAIT;
    return true;
}

/* Ends what has been idle for too long. The socket is libcurl's, which finds it ended and closes it
 * when it looks for a connection the next time. */
static void expire_idle(opf_timer *timer)
{
    opf_curl_sock *s = OPF_CONTAINER(timer, opf_curl_sock, timer);
    if (!s->user && !engine_of(s->multi)->forked)
        shutdown(s->fd, SHUT_RDWR);
}

/* Without memory for the timer it idles on. */
static void note_idle(opf_curl_sock *s, uint64_t now)
{
    uint64_t limit = s->multi->pool->options.idle_ns;
    s->idle_since = now;
    if (limit)
        opf_loop_timer_set(engine_of(s->multi)->loop, &s->timer, now + limit);
}

/* Takes note of a socket that libcurl gets, and owns from now on. */
static curl_socket_t add_socket(opf_transfer *t, int fd)
{
    opf_curl_multi *m = t->multi;
    opf_engine *engine = engine_of(m);
    opf_curl_sock *s = opf_mem_zalloc(sizeof(*s));
    if (!s) {
        opf_curl_note(t, OPF_FAIL_NOMEM, 0, NULL);
        close(fd);
        return CURL_SOCKET_BAD;
    }
    s->fd = fd;
    s->multi = m;
    s->own_port = port_of(fd);
    s->peer_port = t->peer.port;
    opf_watch_init(&s->watch, on_socket);
    opf_timer_init(&s->timer, expire_idle);
    opf_list_push_back(&m->sockets, &s->link);
    t->socket = s;
    t->opened = true;
    t->tls_handshakes = 0;
    if (++engine->totals.connections > engine->most_connections)
        engine->most_connections = engine->totals.connections;
    return fd;
}

/* A Unix socket, which libcurl is to connect itself: one that is connected can't be told so. */
static curl_socket_t open_unix(opf_transfer *t, const opf_addr *unix_addr,
                               struct curl_sockaddr *addr)
{
    opf_network *network = t->multi->pool->network;
    struct sockaddr_storage path;
    const char *why = NULL;
    int fd = opf_network_socket(network, AF_UNIX, &why);
    if (fd < 0) {
        opf_curl_note(t, OPF_FAIL_CONNECT, errno, why);
        return CURL_SOCKET_BAD;
    }
    addr->family = AF_UNIX;
    addr->protocol = 0;
    addr->addrlen = opf_network_sockaddr(network, unix_addr, 0, &path);
    memcpy(&addr->addr, &path, addr->addrlen); /* libcurl has room for any */
    engine_of(t->multi)->totals.connects++;
    t->connects = true;
    return add_socket(t, fd);
}

/* Called by libcurl when none of the kept connections will do. It gets one that stands: connecting
 * is the engine's own business. Until there is one, this ends the attempt. */
static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *addr)
{
    opf_transfer *t = arg;
    int fd = t->fd;
    size_t n;
    (void)purpose;
    if (is_lost(t))
        return CURL_SOCKET_BAD;
    t->connects = false;
    if (fd >= 0) {
        t->fd = -1;
        return add_socket(t, fd);
    }
    const opf_addr *given = opf_network_given(t->multi->pool->network, t->peer.name,
                                              strlen(t->peer.name), t->peer.port, &n);
    if (given && given->family == AF_UNIX)
        return open_unix(t, given, addr);
    t->wants_dial = true;
    return CURL_SOCKET_BAD;
}

/* libcurl 7.88 calls connect(2) all the same. For a TCP socket that was connected without waiting
 * that is the call which tells so, and succeeds. */
static int is_connected(void *arg, curl_socket_t fd, curlsocktype purpose)
{
    const opf_transfer *t = arg;
    (void)fd, (void)purpose;
    return t->connects ? CURL_SOCKOPT_OK : CURL_SOCKOPT_ALREADY_CONNECTED;
}

static void forget_socket(opf_list *transfers, const opf_curl_sock *s)
{
    for (opf_node *n = transfers->next; n != transfers; n = n->next) {
        opf_transfer *t = OPF_CONTAINER(n, opf_transfer, link);
        if (t->socket == s)
            t->socket = NULL;
    }
}

static void sock_free(opf_curl_sock *s)
{
    opf_loop_unwatch(engine_of(s->multi)->loop, &s->watch);
    opf_loop_timer_clear(engine_of(s->multi)->loop, &s->timer);
    forget_socket(&s->multi->running, s);
    engine_of(s->multi)->totals.connections--;
    opf_list_remove(&s->link);
    opf_mem_free(s);
}

static int close_socket(void *arg, curl_socket_t fd)
{
    opf_curl_multi *m = arg;
    opf_curl_sock *s = sock_find(m, fd);
    if (s && s->user && s->user->socket == s && received(fd) > s->user->received + 1)
        s->user->began = true; /* the end itself may count as one */
    bool ours = s ? !s->given_up : !m->detached;
    if (s)
        sock_free(s);
    return ours ? close(fd) : 0;
}

/* In a forked child: closes the child's copies, so that nothing more is said on them. Their numbers
 * stay taken by a socket that leads nowhere: libcurl may still speak to them, and until then the
 * child may open what must not hear that. */
static void detach(opf_curl_multi *m)
{
    if (!engine_of(m)->forked || m->detached)
        return;
    m->detached = true;
    int nowhere = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    for (opf_node *n = m->sockets.next; n != &m->sockets; n = n->next) {
        opf_curl_sock *s = OPF_CONTAINER(n, opf_curl_sock, link);
        opf_loop_unwatch(engine_of(m)->loop, &s->watch);
        s->given_up = nowhere < 0 || dup3(nowhere, s->fd, O_CLOEXEC) < 0;
        if (s->given_up)
            close(s->fd);
    }
    if (nowhere >= 0)
        close(nowhere);
}

/* Whether more has come than belongs to the response. Nobody counts the framing of chunks. */
static bool has_leftover(const opf_transfer *t)
{
    const opf_h1 *h1 = &t->h1;
    return !t->socket->is_tls && !h1->chunked &&
           received(t->socket->fd) > t->received + h1->head_bytes + h1->body_bytes;
}

/* Whether the response leaves its connection of no use. */
static bool ends_socket(const opf_transfer *t)
{
    return t->h1.headers_done && (!t->h1.keep_alive || has_leftover(t));
}

/* Whether a connection comes from a transfer that is through with it, and only we don't know yet.
 */
static bool is_handed_on(const opf_curl_sock *s, const opf_transfer *t)
{
    return s->user && s->user != t && s->user->socket == s;
}

/* Notes on which socket the request goes out, and what that has carried before. */
static void use_socket(opf_transfer *t, opf_curl_sock *s)
{
    opf_result *result = &t->exchange->result;
    bool at_once = is_handed_on(s, t);
    uint32_t carried = s->carried + (at_once ? s->user->sends : 0);
    t->socket = s;
    s->user = t;
    s->is_tls = t->is_tls || t->proxy_is_tls;
    t->received = received(s->fd);
    if (t->sends > 1 || !carried)
        return;
    result->carried = carried;
    if (!at_once && result->sent_ns > s->idle_since)
        result->idle_ns = result->sent_ns - s->idle_since;
}

/* Called by libcurl when it waits for something else. */
static int watch_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *unused)
{
    opf_curl_multi *m = arg;
    opf_curl_sock *s = sock_find(m, fd);
    (void)unused;
    if (!s)
        return 0;
    if (what == CURL_POLL_REMOVE || m->detached) {
        opf_loop_unwatch(engine_of(m)->loop, &s->watch);
        return 0;
    }
    opf_transfer *t = transfer_of(easy); /* NULL: one that libcurl takes leave of, since 8.12 */
    if (t && !t->socket && t->sends)
        use_socket(t, s); /* which has no port to be found by */
    s->user = t;
    uint32_t events =
        (what & CURL_POLL_IN ? EPOLLIN : 0) | (what & CURL_POLL_OUT ? (uint32_t)EPOLLOUT : 0);
    if (opf_loop_watch(engine_of(m)->loop, &s->watch, fd, events) != 0 && t)
        fail_later(t, OPF_FAIL_CONNECT, errno, NULL);
    return 0;
}

/* Bytes of the piece that is there of a body that is given in pieces. */
static size_t piece_len(const opf_exchange *exchange)
{
    return exchange->in_pieces ? exchange->body_len : 0;
}

/* A request is written when libcurl has sent all of its body, or waits only for the answer. */
static void note_phase(opf_transfer *t)
{
    opf_result *result = &t->exchange->result;
    curl_off_t sent = 0;
    if (result->phase != OPF_PHASE_SEND)
        return;
    curl_easy_getinfo(t->easy, CURLINFO_SIZE_UPLOAD_T, &sent);
    const opf_exchange *exchange = t->exchange;
    size_t body_len;
    opf_exchange_request_body(exchange, &body_len);
    if (!t->answered && (exchange->open_body || t->piece_at < piece_len(exchange)))
        return;
    if (t->answered || (size_t)sent >= body_len)
        result->phase = OPF_PHASE_WAIT;
}

/* Has libcurl do its part. It has no memory when it can't, and does not tell for which transfer. */
static void act(opf_curl_multi *m, curl_socket_t fd, int what)
{
    int running;
    if (curl_multi_socket_action(m->curlm, fd, what, &running) != CURLM_OK) {
        m->retired = true;
        for (opf_node *n = m->running.next; n != &m->running; n = n->next)
            fail_later(OPF_CONTAINER(n, opf_transfer, link), OPF_FAIL_NOMEM, 0, NULL);
    }
    settle(m);
}

static void on_socket(opf_watch *watch, uint32_t events)
{
    opf_curl_sock *s = OPF_CONTAINER(watch, opf_curl_sock, watch);
    opf_curl_multi *m = s->multi;
    opf_transfer *t = s->user;
    int what = (events & EPOLLIN ? CURL_CSELECT_IN : 0) |
               (events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
               (events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);
    if (t && t->sends && !t->paused && !t->starved)
        set_deadline(t, timeouts_of(t)->network_ns);
    act(m, s->fd, what);
}

/* libcurl's timer */

static int set_timer(CURLM *curlm, long timeout_ms, void *arg)
{
    opf_curl_multi *m = arg;
    (void)curlm;
    uint64_t at =
        timeout_ms < 0 ? UINT64_MAX : opf_clock_mono() + (uint64_t)timeout_ms * OPF_NS_PER_MS;
    /* it is always set, so that this can't fail */
    opf_loop_timer_set(engine_of(m)->loop, &m->timer, at);
    return 0;
}

static void on_timer(opf_timer *timer)
{
    opf_curl_multi *m = OPF_CONTAINER(timer, opf_curl_multi, timer);
    opf_loop_timer_set(engine_of(m)->loop, timer, UINT64_MAX);
    act(m, CURL_SOCKET_TIMEOUT, 0);
}

/* What libcurl calls on the way of a request */

/* Only for names that it was not given the addresses of: asking for them would take a thread. */
static int refuse_lookup(void *resolver, void *reserved, void *arg)
{
    const opf_transfer *t = arg;
    (void)resolver, (void)reserved;
    return !t->peer.is_address && !t->named.is_address;
}

static CURLcode begin_tls(CURL *easy, void *ssl_ctx, void *arg)
{
    opf_transfer *t = arg;
    (void)easy;
    t->exchange->result.phase = OPF_PHASE_TLS;
    t->tls_handshakes++;
    set_deadline(t, timeouts_of(t)->connect_ns);
    const char *why;
    int ret = opf_tls_context_lend(t->multi->pool->tls, ssl_ctx, &why);
    if (ret == 0)
        return CURLE_OK;
    opf_curl_note(t, ret == OPF_EINVAL ? OPF_FAIL_TLS : OPF_FAIL_NOMEM, 0,
                  ret == OPF_EINVAL ? why : NULL);
    return CURLE_ABORTED_BY_CALLBACK;
}

/* Called for more of a body that is given in pieces. */
static size_t read_body(char *data, size_t one, size_t size, void *arg)
{
    opf_transfer *t = arg;
    opf_exchange *exchange = t->exchange;
    size_t left = piece_len(exchange) - t->piece_at;
    (void)one;
    if (left) {
        size = left < size ? left : size;
        memcpy(data, exchange->body + t->piece_at, size);
        t->piece_at += size;
        return size;
    }
    if (!exchange->open_body)
        return 0;
    t->starved = true;
    t->deadline = 0; /* it is not the server that lets us wait */
    opf_exchange_ask(exchange);
    return CURL_READFUNC_PAUSE;
}

static void begin_response(opf_transfer *t)
{
    opf_exchange *exchange = t->exchange;
    const opf_pool_options *options = &t->multi->pool->options;
    opf_message_reset(&exchange->message);
    opf_h1_begin(&t->h1, &exchange->message, exchange->head_request, options->max_headers,
                 options->max_body);
}

/* Whether a kept connection, on which nothing is expected, has ended or brought something: libcurl
 * notices only the former. One under TLS may bring tickets. Then it is ended for libcurl too. */
static bool is_spoilt(const opf_curl_sock *s, const opf_transfer *t)
{
    char bytes[1024];
    bool at_once = is_handed_on(s, t);
    if ((!s->carried && !at_once) || s->is_tls)
        return false;
    bool ended = at_once && ends_socket(s->user);
    ssize_t n = recv(s->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR) && !ended)
        return false;
    shutdown(s->fd, SHUT_RDWR);
    while (n > 0)
        n = recv(s->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    return true;
}

static void count_handshake(opf_transfer *t)
{
    opf_engine_totals *totals = &engine_of(t->multi)->totals;
    struct curl_tlssessioninfo *info = NULL;
    totals->handshakes++;
    if (curl_easy_getinfo(t->easy, CURLINFO_TLS_SSL_PTR, &info) == CURLE_OK && info &&
        info->internals)
        totals->resumed += opf_tls_resumed(info->internals);
}

/* Called before each sending of the request. */
static int begin_request(void *arg, char *ip, char *own_ip, int port, int own_port)
{
    opf_transfer *t = arg;
    opf_result *result = &t->exchange->result;
    (void)ip, (void)own_ip, (void)port;
    opf_curl_sock *s = sock_by_port(t, own_port);
    if (is_lost(t))
        return CURL_PREREQFUNC_ABORT;
    if (t->sends == SENDS_MAX) { /* libcurl would go on for as long as it is asked */
        opf_curl_note(t, OPF_FAIL_PROTOCOL, 0, "it does not stop to ask for authentication");
        return CURL_PREREQFUNC_ABORT;
    }
    if (s && is_spoilt(s, t)) {
        t->is_stale = true;
        return CURL_PREREQFUNC_ABORT;
    }
    if (t->tls_handshakes)
        count_handshake(t);
    result->phase = OPF_PHASE_SEND;
    if (!t->sends) {
        result->sent_ns = opf_clock_mono();
        if (!t->opened)
            result->start_ns = result->sent_ns;
    }
    if (s)
        use_socket(t, s);
    t->sends++;
    t->answered = false;
    t->tls_handshakes = 0;
    set_deadline(t, timeouts_of(t)->network_ns);
    return CURL_PREREQFUNC_OK;
}

/* Takes note of what has come for a stream. */
static void tell(opf_transfer *t)
{
    opf_exchange *exchange = t->exchange;
    if (!exchange->stream)
        return;
    if (!exchange->result.head_ns) {
        exchange->result.head_ns = t->last_ns;
        engine_of(t->multi)->totals.unstamped++;
    }
    opf_exchange_tell(exchange);
}

static size_t fail_write(opf_transfer *t)
{
    opf_curl_note(t, t->h1.failure, 0, t->h1.detail);
    return 0;
}

/* Whether a line of a head goes on with a Transfer-Encoding that began before. Older versions of
 * libcurl would not see it and take the chunks for the body. */
static bool is_folded_coding(opf_transfer *t, const char *line, size_t len)
{
    static const char name[] = "transfer-encoding:";
    const size_t name_len = sizeof(name) - 1;
    if (len && (line[0] == ' ' || line[0] == '\t'))
        return t->in_coding;
    t->in_coding = len >= name_len && strncasecmp(line, name, name_len) == 0;
    return false;
}

/* Called with each line of a head, and of the trailers. */
static size_t on_header(char *line, size_t one, size_t len, void *arg)
{
    opf_transfer *t = arg;
    opf_h1_state state;
    size_t used;
    (void)one;
    t->last_ns = opf_clock_mono();
    t->began = t->answered = true;
    note_phase(t);
    if (t->h1.headers_done && len >= 5 && memcmp(line, "HTTP/", 5) == 0)
        begin_response(t); /* the one before asked for authentication */
    if (t->h1.headers_done) {
        state = opf_h1_trailer(&t->h1, line, len);
        return state == OPF_H1_FAILED ? fail_write(t) : len;
    }
    if (is_folded_coding(t, line, len)) {
        opf_curl_note(t, OPF_FAIL_PROTOCOL, 0, "Transfer-Encoding in several lines");
        return 0;
    }
    state = opf_h1_feed(&t->h1, (const uint8_t *)line, len, &used);
    if (state == OPF_H1_FAILED)
        return fail_write(t);
    if (t->h1.headers_done && t->posts && t->exchange->head_request) {
        t->whole = true;
        return 0;
    }
    /* an answer that asks for authentication may not be the last word */
    if (t->h1.headers_done && !t->has_auth)
        tell(t);
    return len;
}

static size_t on_body(char *data, size_t one, size_t len, void *arg)
{
    opf_transfer *t = arg;
    opf_exchange *exchange = t->exchange;
    (void)one;
    if (!t->h1.headers_done) {
        opf_curl_note(t, OPF_FAIL_PROTOCOL, 0, "body without a status line");
        return 0;
    }
    if (exchange->stream && opf_exchange_held(exchange) >= HELD_MAX) {
        t->paused = true;
        t->deadline = 0;
        return CURL_WRITEFUNC_PAUSE;
    }
    t->last_ns = opf_clock_mono();
    if (opf_h1_body(&t->h1, (const uint8_t *)data, len) == OPF_H1_FAILED)
        return fail_write(t);
    tell(t);
    return len;
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
    opf_loop_timer_clear(engine_of(t->multi)->loop, &t->timer);
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
        sock_free(t->socket);
}

/* Takes the transfer from libcurl and from its exchange; keep: for the next one. */
static void release(opf_transfer *t, bool keep)
{
    opf_curl_multi *m = t->multi;
    detach(m);
    opf_lookup_cancel(engine_of(m)->resolver, &t->lookup);
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
    if (!keep || m->n_spare >= SPARE_MAX || engine_of(m)->forked) {
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
    if (t->socket->user == t && ends_socket(t)) /* not if what came is for the next request */
        shutdown(t->socket->fd, SHUT_RDWR);
    t->socket->carried += t->sends;
    note_idle(t->socket, t->exchange->result.seen_ns);
}

/* Files the transfer's failure, or its success. */
static void finish(opf_transfer *t)
{
    opf_curl_multi *m = t->multi;
    opf_exchange *exchange = t->exchange;
    opf_engine *engine = engine_of(m);
    opf_result *result = &exchange->result;
    opf_failure failure = t->failure;
    const char *detail = t->detail;
    int err = t->err;
    note_phase(t);
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
    detach(m);
    while ((node = opf_list_pop_front(&m->spare)))
        transfer_free(OPF_CONTAINER(node, opf_transfer, link));
    if (m->curlm)
        curl_multi_cleanup(m->curlm);
    opf_loop_timer_clear(engine_of(m)->loop, &m->timer);
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
    set_deadline(t, timeouts_of(t)->connect_ns);
    if (bad != CURLE_OK || curl_multi_add_handle(t->multi->curlm, t->easy) != CURLM_OK) {
        fail_later(t, OPF_FAIL_NOMEM, 0, NULL);
        return;
    }
    t->in_multi = true;
}

/* With a host that can't be reached the request can't begin; of a proxy it is the proxy's fault. */
static void fail_at_peer(opf_transfer *t, opf_failure failure, int err, const char *detail)
{
    if (t->has_proxy && failure != OPF_FAIL_NOMEM)
        failure = OPF_FAIL_PROXY;
    fail_later(t, failure, err, detail);
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
    opf_engine *engine = engine_of(t->multi);
    take_out(t);
    begin_response(t);
    t->wants_dial = false;
    t->dialling = true;
    engine->totals.connects++;
    t->exchange->result.phase = OPF_PHASE_RESOLVE;
    set_deadline(t, timeouts_of(t)->connect_ns);
    int ret = opf_dial_start(&t->dial, engine->loop, engine->resolver, t->multi->pool->network,
                             t->peer.name, strlen(t->peer.name), t->peer.port, on_dialled);
    if (ret == OPF_EINVAL)
        fail_at_peer(t, OPF_FAIL_RESOLVE, 0, "not a valid host name");
    else if (ret != 0)
        fail_later(t, OPF_FAIL_NOMEM, 0, NULL);
}

/* Begins anew, by another connection than the one that was kept. */
static void replace(opf_transfer *t)
{
    take_out(t);
    begin_response(t);
    engine_of(t->multi)->totals.replaced++;
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
        fail_later(t, status == OPF_ENOMEM ? OPF_FAIL_NOMEM : OPF_FAIL_RESOLVE, 0, why);
    else if (give_addresses(t, addrs, n) != 0)
        fail_later(t, OPF_FAIL_NOMEM, 0, NULL);
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
            fail_later(t, OPF_FAIL_NOMEM, 0, NULL);
        else
            add(t);
        return;
    }
    int ret =
        opf_resolver_lookup(engine_of(t->multi)->resolver, &t->lookup, h->name, strlen(h->name));
    if (ret != 0)
        fail_later(t, ret == OPF_EINVAL ? OPF_FAIL_RESOLVE : OPF_FAIL_NOMEM, 0,
                   ret == OPF_EINVAL ? "not a valid host name" : NULL);
}

static void start(opf_transfer *t)
{
    opf_result *result = &t->exchange->result;
    opf_list_remove(&t->link);
    opf_list_push_back(&t->multi->running, &t->link);
    result->start_ns = opf_clock_mono();
    result->phase = OPF_PHASE_RESOLVE;
    set_deadline(t, timeouts_of(t)->connect_ns);
    if (t->failure != OPF_FAIL_NONE)
        fail_later(t, t->failure, t->err, t->detail);
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
    if (engine_of(m)->forked)
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
        opf_transfer *t = transfer_of(message->easy_handle);
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
        note_phase(OPF_CONTAINER(n, opf_transfer, link));
    go_on(m);
}

static void on_deadline(opf_timer *timer)
{
    opf_transfer *t = OPF_CONTAINER(timer, opf_transfer, timer);
    opf_curl_multi *m = t->multi;
    /* its place in the loop is still free: kept now, it can't be missing later */
    opf_loop_timer_set(engine_of(m)->loop, timer, UINT64_MAX);
    if (!t->exchange || !t->deadline)
        return;
    if (opf_clock_mono() < t->deadline) {
        fire_by(t, t->deadline);
        return;
    }
    note_phase(t);
    if (t->failure == OPF_FAIL_NONE)
        opf_curl_note(t, opf_curl_timeout(t), ETIMEDOUT, NULL);
    finish(t);
    go_on(m);
}

/* What libcurl is told of a request */

/* Options that no request changes. */
static bool set_constants(opf_transfer *t)
{
    CURL *easy = t->easy;
    opf_curl_multi *m = t->multi;
    CURLcode bad = CURLE_OK;
    OPF_CURL_SET(CURLOPT_PRIVATE, t);
    OPF_CURL_SET(CURLOPT_NOSIGNAL, 1L);
    OPF_CURL_SET(CURLOPT_ERRORBUFFER, t->error);
    OPF_CURL_SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    OPF_CURL_SET(CURLOPT_PROTOCOLS_STR, "http,https");
    OPF_CURL_SET(CURLOPT_FOLLOWLOCATION, 0L);
    OPF_CURL_SET(CURLOPT_PATH_AS_IS, 1L);
    OPF_CURL_SET(CURLOPT_HTTP_CONTENT_DECODING, 0L);
    OPF_CURL_SET(CURLOPT_EXPECT_100_TIMEOUT_MS, 1L);
    OPF_CURL_SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    OPF_CURL_SET(CURLOPT_CONNECTTIMEOUT_MS, (long)FOREVER_MS);
    OPF_CURL_SET(CURLOPT_DNS_CACHE_TIMEOUT, (long)DNS_KEEP_S);
    OPF_CURL_SET(CURLOPT_MAXAGE_CONN, (long)IDLE_MAX_S);
    OPF_CURL_SET(CURLOPT_TCP_NODELAY, 0L);                   /* as the dial has set it */
    OPF_CURL_SET(CURLOPT_NOPROXY, "");                       /* not the environment's */
    OPF_CURL_SET(CURLOPT_SOCKS5_AUTH, (long)CURLAUTH_BASIC); /* the other one blocks */
    OPF_CURL_SET(CURLOPT_OPENSOCKETFUNCTION, open_socket);
    OPF_CURL_SET(CURLOPT_OPENSOCKETDATA, t);
    OPF_CURL_SET(CURLOPT_SOCKOPTFUNCTION, is_connected);
    OPF_CURL_SET(CURLOPT_SOCKOPTDATA, t);
    OPF_CURL_SET(CURLOPT_CLOSESOCKETFUNCTION, close_socket);
    OPF_CURL_SET(CURLOPT_CLOSESOCKETDATA, m); /* outlives the transfer */
    OPF_CURL_SET(CURLOPT_RESOLVER_START_FUNCTION, refuse_lookup);
    OPF_CURL_SET(CURLOPT_RESOLVER_START_DATA, t);
    OPF_CURL_SET(CURLOPT_PREREQFUNCTION, begin_request);
    OPF_CURL_SET(CURLOPT_PREREQDATA, t);
    OPF_CURL_SET(CURLOPT_READFUNCTION, read_body);
    OPF_CURL_SET(CURLOPT_READDATA, t);
    OPF_CURL_SET(CURLOPT_HEADERFUNCTION, on_header);
    OPF_CURL_SET(CURLOPT_HEADERDATA, t);
    OPF_CURL_SET(CURLOPT_WRITEFUNCTION, on_body);
    OPF_CURL_SET(CURLOPT_WRITEDATA, t);
    return bad == CURLE_OK;
}

/* Trust and certificates come from the pool's context, which libcurl's own are made to share. */
static bool set_tls(opf_transfer *t)
{
    CURL *easy = t->easy;
    const opf_pool *pool = t->multi->pool;
    bool check_name, verify = opf_tls_context_verifies(pool->tls, &check_name);
    CURLcode bad = CURLE_OK;
    OPF_CURL_SET(CURLOPT_SSL_VERIFYPEER, (long)verify);
    OPF_CURL_SET(CURLOPT_SSL_VERIFYHOST, check_name ? 2L : 0L);
    OPF_CURL_SET(CURLOPT_PROXY_SSL_VERIFYPEER, (long)verify);
    OPF_CURL_SET(CURLOPT_PROXY_SSL_VERIFYHOST, check_name ? 2L : 0L);
    OPF_CURL_SET(CURLOPT_SSL_SESSIONID_CACHE, pool->options.tls_resume ? 1L : 0L);
    OPF_CURL_SET(CURLOPT_CAINFO, NULL);
    OPF_CURL_SET(CURLOPT_CAPATH, NULL);
    OPF_CURL_SET(CURLOPT_PROXY_CAINFO, NULL);
    OPF_CURL_SET(CURLOPT_PROXY_CAPATH, NULL);
    OPF_CURL_SET(CURLOPT_SSL_OPTIONS,
                 (long)CURLSSLOPT_NO_PARTIALCHAIN); /* leave the store as it is */
    OPF_CURL_SET(CURLOPT_PROXY_SSL_OPTIONS, (long)CURLSSLOPT_NO_PARTIALCHAIN);
    OPF_CURL_SET(CURLOPT_CA_CACHE_TIMEOUT, 0L);
    OPF_CURL_SET(CURLOPT_SSL_CTX_FUNCTION, begin_tls);
    OPF_CURL_SET(CURLOPT_SSL_CTX_DATA, t);
    return bad == CURLE_OK;
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
    if (!t->easy || opf_loop_timer_set(engine_of(m)->loop, &t->timer, UINT64_MAX) != 0) {
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
    SETM(CURLMOPT_SOCKETFUNCTION, watch_socket);
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
    begin_response(t);
    if (!set_constants(t))
        return OPF_ENOMEM;
    int ret = opf_curl_set_request(t, request, error);
    if (ret != 0 || (!t->is_tls && !t->proxy_is_tls))
        return ret;
    int ready = opf_tls_context_ready(t->multi->pool->tls);
    if (ready == OPF_ENOMEM)
        return OPF_ENOMEM;
    if (ready != 0)
        opf_curl_note(t, OPF_FAIL_TLS, 0, "no TLS context can be made");
    else if (!set_tls(t))
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
    if (!t->paused || opf_exchange_held(t->exchange) > HELD_MAX / 2)
        return;
    t->paused = false;
    set_deadline(t, t->starved ? 0 : timeouts_of(t)->network_ns);
    go_on_by(t);
}

void opf_curl_send_on(opf_transfer *t)
{
    t->piece_at = 0;
    t->starved = false;
    set_deadline(t, timeouts_of(t)->network_ns);
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
