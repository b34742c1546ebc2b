#include "wire/dial.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

#define ATTEMPT_DELAY_NS (250 * OPF_NS_PER_MS) /* RFC 8305, 5 */
#define UNIX_RETRY_NS (10 * OPF_NS_PER_MS)

/* One address. Its descriptor is the watch's while it is being connected to. */
struct attempt {
    opf_watch watch;
    struct opf_dial_state *state;
    opf_addr addr;
};

struct opf_dial_state {
    opf_dial *dial;
    opf_loop *loop;
    opf_resolver *resolver;
    opf_network *network;
    opf_lookup lookup;
    opf_timer timer; /* for the next attempt */
    struct attempt *attempts;
    size_t n;
    size_t next; /* the first attempt that has not begun */
    size_t open; /* attempts under way */
    int err;     /* that tells most so far */
    int err_rank;
    const char *why; /* of err, where that doesn't tell; constant text or NULL */
    uint16_t port;
};

/* Failures */

/* Whether this machine has a network of the address at all. Asked with UDP, which needs a route and
 * an address of our own as well, but no free port to the same peer. */
static bool has_network(const opf_addr *addr, uint16_t port)
{
    struct sockaddr_storage to;
    socklen_t len = opf_addr_to_sockaddr(addr, port, &to);
    int fd = socket(addr->family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return true;
    int ret = connect(fd, (struct sockaddr *)&to, len);
    close(fd);
    return ret == 0;
}

/* How much an errno tells about why there is no connection; localhost without IPv6 must come out as
 * what IPv4 says, and a shortage here must not look like the server's fault. */
static int rank_of(int err, const opf_addr *addr, uint16_t port)
{
    switch (err) {
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        return 3;
    case EADDRNOTAVAIL: /* no free port, or no address of that family */
        return has_network(addr, port) ? 3 : 1;
    case ENETUNREACH:
    case EAFNOSUPPORT:
    case EPROTONOSUPPORT:
    case EAGAIN: /* of a Unix socket, tried again */
        return 1;
    default:
        return 2;
    }
}

static void note_failure(struct attempt *attempt, int err, const char *why)
{
    struct opf_dial_state *state = attempt->state;
    /* only this machine is to blame for what needs words */
    int rank = why && err == EADDRNOTAVAIL ? 3 : rank_of(err, &attempt->addr, state->port);
    if (rank > state->err_rank) {
        state->err_rank = rank;
        state->err = err;
        state->why = why;
    }
}

/* Attempts */

static void on_writable(opf_watch *watch, uint32_t events);

/* Returns 0 with the attempt under way, or an errno, with *why a constant text or NULL. */
static int attempt_begin(struct attempt *attempt, const char **why)
{
    struct opf_dial_state *state = attempt->state;
    struct sockaddr_storage to;
    socklen_t len = opf_network_sockaddr(state->network, &attempt->addr, state->port, &to);
    int err, fd = opf_network_socket(state->network, attempt->addr.family, why);
    if (fd < 0)
        return errno;
    if (connect(fd, (struct sockaddr *)&to, len) != 0 && errno != EINPROGRESS && errno != EINTR) {
        err = errno;
        close(fd);
        return err;
    }
    if (opf_loop_watch(state->loop, &attempt->watch, fd, EPOLLOUT) != 0) {
        err = errno;
        close(fd);
        return err;
    }
    state->open++;
    return 0;
}

/* Gives up the attempt's descriptor. */
static int attempt_take(struct attempt *attempt)
{
    int fd = attempt->watch.fd;
    opf_loop_unwatch(attempt->state->loop, &attempt->watch);
    attempt->state->open--;
    return fd;
}

/* Begins the next attempt that doesn't fail at once. Returns false if there is nothing to wait for
 * any more. */
static bool go_on(struct opf_dial_state *state)
{
    opf_loop_timer_clear(state->loop, &state->timer);
    while (state->next < state->n) {
        struct attempt *attempt = &state->attempts[state->next++];
        const char *why;
        int err = attempt_begin(attempt, &why);
        if (err)
            note_failure(attempt, err, why);
        if (err == EAGAIN && attempt->addr.family == AF_UNIX) {
            /* the server's queue is full: there is no waiting for that but trying again */
            state->next--;
            return opf_loop_timer_set(state->loop, &state->timer,
                                      opf_clock_mono() + UNIX_RETRY_NS) == 0;
        }
        if (err)
            continue;
        /* without memory for the timer the next one just doesn't wait */
        if (state->next == state->n || opf_loop_timer_set(state->loop, &state->timer,
                                                          opf_clock_mono() + ATTEMPT_DELAY_NS) == 0)
            return true;
    }
    return state->open > 0;
}

/* Brings the addresses into the order of the attempts: the families take turns, beginning with the
 * first one's, as long as both last. */
static int make_attempts(struct opf_dial_state *state, const opf_addr *addrs, size_t n)
{
    size_t at[2] = {0, 0}; /* how far the first address's family has been used up, and the other */
    state->attempts = opf_mem_zalloc(n * sizeof(*state->attempts));
    if (!state->attempts)
        return OPF_ENOMEM;
    for (int turn = 0; state->n < n; turn = !turn) {
        size_t i = at[turn];
        while (i < n && (addrs[i].family != addrs[0].family) != turn)
            i++;
        at[turn] = i + 1;
        if (i >= n)
            continue;
        struct attempt *attempt = &state->attempts[state->n++];
        opf_watch_init(&attempt->watch, on_writable);
        attempt->state = state;
        attempt->addr = addrs[i];
    }
    return 0;
}

/* The end */

/* Ends the dial without a word. */
static void state_free(struct opf_dial_state *state)
{
    opf_lookup_cancel(state->resolver, &state->lookup);
    opf_loop_timer_clear(state->loop, &state->timer);
    for (size_t i = 0; i < state->next; i++)
        if (state->attempts[i].watch.fd >= 0)
            close(attempt_take(&state->attempts[i]));
    opf_mem_free(state->attempts);
    state->dial->state = NULL;
    opf_mem_free(state);
}

static void finish(struct opf_dial_state *state, int fd, opf_failure failure, int err,
                   const char *detail)
{
    opf_dial *dial = state->dial;
    state_free(state);
    dial->done(dial, fd, failure, err, detail);
}

static void fail(struct opf_dial_state *state)
{
    int err = state->err;
    const char *why = state->why;
    finish(state, -1, err == ECONNREFUSED ? OPF_FAIL_REFUSED : OPF_FAIL_CONNECT, err, why);
}

/* A socket that connects to a port of this machine on which nobody listens may be given that very
 * port, and then is connected to itself. */
static bool is_own_peer(int fd, uint16_t port)
{
    struct sockaddr_storage own = {0}, peer = {0};
    socklen_t own_len = sizeof(own), peer_len = sizeof(peer);
    if (getsockname(fd, (struct sockaddr *)&own, &own_len) != 0 || own.ss_family == AF_UNIX)
        return false;
    in_port_t own_port = own.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&own)->sin6_port
                                                   : ((struct sockaddr_in *)&own)->sin_port;
    return own_port == htons(port) && getpeername(fd, (struct sockaddr *)&peer, &peer_len) == 0 &&
           own_len == peer_len && memcmp(&own, &peer, own_len) == 0;
}

static int outcome(int fd, uint16_t port)
{
    int err = 0;
    socklen_t len = sizeof(err);
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) != 0)
        return errno;
    return !err && is_own_peer(fd, port) ? ECONNREFUSED : err;
}

static void on_writable(opf_watch *watch, uint32_t events)
{
    struct attempt *attempt = OPF_CONTAINER(watch, struct attempt, watch);
    struct opf_dial_state *state = attempt->state;
    (void)events;
    int fd = attempt_take(attempt);
    int err = outcome(fd, state->port);
    if (!err) {
        finish(state, fd, OPF_FAIL_NONE, 0, NULL);
        return;
    }
    close(fd);
    note_failure(attempt, err, NULL);
    if (!go_on(state))
        fail(state);
}

static void on_timer(opf_timer *timer)
{
    struct opf_dial_state *state = OPF_CONTAINER(timer, struct opf_dial_state, timer);
    if (!go_on(state))
        fail(state);
}

/* The errno for which no socket can be had, or 0. */
static int socket_shortage(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno;
    close(fd);
    return 0;
}

static void on_lookup_failed(struct opf_dial_state *state, int status, const char *why)
{
    /* without descriptors no name server can be asked and no hosts file be read */
    int err = status == OPF_ESYS ? socket_shortage() : 0;
    if (status == OPF_ENOMEM)
        finish(state, -1, OPF_FAIL_NOMEM, ENOMEM, NULL);
    else if (err)
        finish(state, -1, OPF_FAIL_CONNECT, err, NULL);
    else
        finish(state, -1, OPF_FAIL_RESOLVE, 0, why);
}

static void on_lookup(opf_lookup *lookup, int status, const opf_addr *addrs, size_t n,
                      const char *why)
{
    struct opf_dial_state *state = OPF_CONTAINER(lookup, struct opf_dial_state, lookup);
    if (status != 0) {
        on_lookup_failed(state, status, why);
        return;
    }
    state->dial->phase = OPF_PHASE_CONNECT;
    if (make_attempts(state, addrs, n) != 0)
        finish(state, -1, OPF_FAIL_NOMEM, ENOMEM, NULL);
    else if (!go_on(state))
        fail(state);
}

/* Starts with addresses that are known. What fails at once is told by the timer. */
static int start_known(struct opf_dial_state *state, const opf_addr *addrs, size_t n)
{
    state->dial->phase = OPF_PHASE_CONNECT;
    if (make_attempts(state, addrs, n) != 0)
        return OPF_ENOMEM;
    return go_on(state) ? 0 : opf_loop_timer_set(state->loop, &state->timer, 0);
}

int opf_dial_start(opf_dial *dial, opf_loop *loop, opf_resolver *resolver, opf_network *network,
                   const char *host, size_t host_len, uint16_t port, opf_dial_fn *done)
{
    size_t n = 0;
    int ret;
    struct opf_dial_state *state = opf_mem_zalloc(sizeof(*state));
    if (!state)
        return OPF_ENOMEM;
    state->dial = dial;
    state->loop = loop;
    state->resolver = resolver;
    state->network = network;
    state->port = port;
    opf_lookup_init(&state->lookup, on_lookup);
    opf_timer_init(&state->timer, on_timer);
    dial->done = done;
    dial->state = state;
    dial->phase = OPF_PHASE_RESOLVE;
    const opf_addr *addrs = opf_network_given(network, host, host_len, port, &n);
    if (!addrs)
        addrs = opf_resolver_cached(resolver, host, host_len, &n);
    if (addrs)
        ret = start_known(state, addrs, n);
    else
        ret = opf_resolver_lookup(resolver, &state->lookup, host, host_len);
    if (ret != 0)
        state_free(state);
    return ret;
}

void opf_dial_cancel(opf_dial *dial)
{
    if (dial->state)
        state_free(dial->state);
}
