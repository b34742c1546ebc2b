/* libcurl's sockets: opened with what wire/dial has connected, watched in the loop, closed. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "client/curl_transfer.h"
#include "wire/network.h"

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

opf_curl_sock *opf_curl_sock_by_port(const opf_transfer *t, int own_port)
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

bool opf_curl_is_lost(opf_transfer *t)
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
    if (!s->user && !opf_curl_engine(s->multi)->forked)
        shutdown(s->fd, SHUT_RDWR);
}

void opf_curl_note_idle(opf_curl_sock *s, uint64_t now)
{
    uint64_t limit = s->multi->pool->options.idle_ns;
    s->idle_since = now;
    if (limit)
        opf_loop_timer_set(opf_curl_engine(s->multi)->loop, &s->timer, now + limit);
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
        opf_curl_set_deadline(t, opf_curl_timeouts(t)->network_ns);
    opf_curl_act(m, s->fd, what);
}

/* Takes note of a socket that libcurl gets, and owns from now on. */
static curl_socket_t add_socket(opf_transfer *t, int fd)
{
    opf_curl_multi *m = t->multi;
    opf_engine *engine = opf_curl_engine(m);
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
    opf_curl_engine(t->multi)->totals.connects++;
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
    if (opf_curl_is_lost(t))
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

void opf_curl_sock_free(opf_curl_sock *s)
{
    opf_loop_unwatch(opf_curl_engine(s->multi)->loop, &s->watch);
    opf_loop_timer_clear(opf_curl_engine(s->multi)->loop, &s->timer);
    forget_socket(&s->multi->running, s);
    opf_curl_engine(s->multi)->totals.connections--;
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
        opf_curl_sock_free(s);
    return ours ? close(fd) : 0;
}

/* In a forked child: closes the child's copies, so that nothing more is said on them. Their numbers
 * stay taken by a socket that leads nowhere: libcurl may still speak to them, and until then the
 * child may open what must not hear that. */
void opf_curl_detach(opf_curl_multi *m)
{
    if (!opf_curl_engine(m)->forked || m->detached)
        return;
    m->detached = true;
    int nowhere = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    for (opf_node *n = m->sockets.next; n != &m->sockets; n = n->next) {
        opf_curl_sock *s = OPF_CONTAINER(n, opf_curl_sock, link);
        opf_loop_unwatch(opf_curl_engine(m)->loop, &s->watch);
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

bool opf_curl_ends_socket(const opf_transfer *t)
{
    return t->h1.headers_done && (!t->h1.keep_alive || has_leftover(t));
}

/* Whether a connection comes from a transfer that is through with it, and only we don't know yet.
 */
static bool is_handed_on(const opf_curl_sock *s, const opf_transfer *t)
{
    return s->user && s->user != t && s->user->socket == s;
}

void opf_curl_use_socket(opf_transfer *t, opf_curl_sock *s)
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

int opf_curl_watch_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *unused)
{
    opf_curl_multi *m = arg;
    opf_curl_sock *s = sock_find(m, fd);
    (void)unused;
    if (!s)
        return 0;
    if (what == CURL_POLL_REMOVE || m->detached) {
        opf_loop_unwatch(opf_curl_engine(m)->loop, &s->watch);
        return 0;
    }
    /* NULL: of one that libcurl takes leave of, since 8.12 */
    opf_transfer *t = opf_curl_transfer_of(easy);
    if (t && !t->socket && t->sends)
        opf_curl_use_socket(t, s); /* which has no port to be found by */
    s->user = t;
    uint32_t events =
        (what & CURL_POLL_IN ? EPOLLIN : 0) | (what & CURL_POLL_OUT ? (uint32_t)EPOLLOUT : 0);
    if (opf_loop_watch(opf_curl_engine(m)->loop, &s->watch, fd, events) != 0 && t)
        opf_curl_fail_later(t, OPF_FAIL_CONNECT, errno, NULL);
    return 0;
}

bool opf_curl_is_spoilt(const opf_curl_sock *s, const opf_transfer *t)
{
    char bytes[1024];
    bool at_once = is_handed_on(s, t);
    if ((!s->carried && !at_once) || s->is_tls)
        return false;
    bool ended = at_once && opf_curl_ends_socket(s->user);
    ssize_t n = recv(s->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR) && !ended)
        return false;
    shutdown(s->fd, SHUT_RDWR);
    while (n > 0)
        n = recv(s->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    return true;
}

bool opf_curl_set_socket_calls(opf_transfer *t)
{
    CURL *easy = t->easy;
    CURLcode bad = CURLE_OK;
    OPF_CURL_SET(CURLOPT_OPENSOCKETFUNCTION, open_socket);
    OPF_CURL_SET(CURLOPT_OPENSOCKETDATA, t);
    OPF_CURL_SET(CURLOPT_SOCKOPTFUNCTION, is_connected);
    OPF_CURL_SET(CURLOPT_SOCKOPTDATA, t);
    OPF_CURL_SET(CURLOPT_CLOSESOCKETFUNCTION, close_socket);
    OPF_CURL_SET(CURLOPT_CLOSESOCKETDATA, t->multi); /* outlives the transfer */
    return bad == CURLE_OK;
}
