#include "client/conn.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/mem.h"
#include "client/engine.h"
#include "client/mux.h"

/* How much of a stream is held that nobody has taken. */
#define HELD_MAX (256U << 10)

/* How often one connection may receive in a row while others wait. */
#define RECEIVES_MAX 16

static void on_ready(opf_watch *watch, uint32_t events);
static void on_timer(opf_timer *timer);

static opf_engine *engine_of(const opf_conn *conn)
{
    return conn->origin->pool->engine;
}

static const opf_pool_options *options_of(const opf_conn *conn)
{
    return &conn->origin->pool->options;
}

/* Of the exchange under way. */
static const opf_timeouts *timeouts_of(const opf_conn *conn)
{
    return &conn->exchange->result.timeouts;
}

/* Deadlines */

/* Has the timer fire no later than at. It is set for as long as the connection lives, so that this
 * can't fail. */
void opf_conn_fire_by(opf_conn *conn, uint64_t at)
{
    if (conn->timer.at > at)
        opf_loop_timer_set(engine_of(conn)->loop, &conn->timer, at);
}

static void set_deadline(opf_conn *conn, uint64_t now, uint64_t timeout)
{
    conn->deadline = timeout ? now + timeout : 0;
    if (timeout)
        opf_conn_fire_by(conn, conn->deadline);
}

/* The end of an exchange */

static void detach(opf_conn *conn)
{
    conn->exchange->conn = NULL;
    conn->exchange = NULL;
    conn->deadline = 0;
}

void opf_conn_free(opf_conn *conn, bool polite)
{
    opf_origin *origin = conn->origin;
    opf_engine *engine = engine_of(conn);
    if (conn->exchange) {
        opf_exchange *exchange = conn->exchange;
        detach(conn);
        opf_exchange_let_go(exchange);
    }
    if (conn->mux)
        opf_mux_free(conn->mux, polite);
    opf_dial_cancel(&conn->dial);
    opf_loop_unwatch(engine->loop, &conn->watch);
    opf_loop_timer_clear(engine->loop, &conn->timer);
    opf_stream_close(&conn->stream, polite && !engine->forked);
    opf_list_remove(&conn->link);
    origin->n_conns--;
    engine->totals.connections--;
    opf_mem_free(conn);
}

void opf_conn_abandon(opf_conn *conn)
{
    opf_origin *origin = conn->origin;
    opf_conn_free(conn, true);
    if (!origin->pool->engine->forked)
        opf_origin_serve(origin);
}

/* When the response's last byte came: the kernel's word for it, or else now. */
void opf_conn_note_end(opf_conn *conn, opf_exchange *exchange, bool stamped)
{
    opf_engine *engine = engine_of(conn);
    opf_result *result = &exchange->result;
    uint64_t stamp = stamped ? conn->stream.stamp : 0;
    if (!stamp || (int64_t)stamp - engine->stamps.offset > (int64_t)engine->now)
        engine->now = opf_clock_mono(); /* it came after this poll began */
    uint64_t from = result->sent_ns ? result->sent_ns : result->start_ns;
    result->end_ns = opf_stampclock_to_mono(&engine->stamps, stamp, from, engine->now);
    result->seen_ns = engine->now;
    result->kernel_time = stamp && engine->stamps.trusted && result->end_ns != engine->now;
    if (result->head_ns)
        return; /* a stream was counted with its headers */
    if (result->kernel_time)
        engine->totals.stamped++;
    else
        engine->totals.unstamped++;
}

/* What is there to be sent at a time, whether or not it is sent already: the request's head or the
 * length of a piece, a body or a piece of it, the end of a chunk. */
#define PARTS 3

static void parts_of(const opf_exchange *exchange, struct iovec parts[PARTS])
{
    static const char end[] = "\r\n";
    const opf_buf *front = exchange->in_pieces ? &exchange->front : &exchange->out;
    parts[0] = (struct iovec){.iov_base = front->data, .iov_len = front->len};
    parts[1] = (struct iovec){.iov_base = (uint8_t *)(uintptr_t)exchange->body,
                              .iov_len = exchange->body_len};
    parts[2] = (struct iovec){.iov_base = (char *)(uintptr_t)end,
                              .iov_len = exchange->ends_chunk ? sizeof(end) - 1 : 0};
}

/* Finds what of it is not sent yet. Returns the number of pieces, none of them empty. */
static int unsent(const opf_conn *conn, struct iovec pieces[PARTS])
{
    struct iovec parts[PARTS];
    size_t sent = conn->sent;
    int n = 0;
    parts_of(conn->exchange, parts);
    for (int i = 0; i < PARTS; i++) {
        size_t len = parts[i].iov_len, at = sent < len ? sent : len;
        sent -= at;
        if (at < len)
            pieces[n++] =
                (struct iovec){.iov_base = (uint8_t *)parts[i].iov_base + at, .iov_len = len - at};
    }
    return n;
}

static bool is_sent(const opf_conn *conn)
{
    struct iovec pieces[PARTS];
    return !unsent(conn, pieces);
}

/* Whether the connection can carry another request after the one that just ended well. */
static bool can_go_on(opf_conn *conn, const opf_exchange *exchange)
{
    return conn->h1.keep_alive && !exchange->closes && !conn->half_closed && !conn->send_err &&
           !exchange->open_body && is_sent(conn) &&
           (!conn->stream.ops->pending(&conn->stream) || conn->stream.ops->idle(&conn->stream));
}

static void finish(opf_conn *conn, opf_failure failure, int err, const char *detail)
{
    opf_exchange *exchange = conn->exchange;
    opf_origin *origin = conn->origin;
    opf_conn_note_end(conn, exchange, failure == OPF_FAIL_NONE);
    bool keep = failure == OPF_FAIL_NONE && can_go_on(conn, exchange) && !origin->sharing;
    exchange->result.bytes_received = conn->h1.head_bytes + conn->h1.body_bytes;
    if (conn->h1.headers_done)
        exchange->result.phase = OPF_PHASE_BODY; /* finishing well makes it DONE */
    bool connecting = conn->state == OPF_CONN_DIALLING || conn->state == OPF_CONN_HANDSHAKE;
    detach(conn);
    if (keep) {
        conn->state = OPF_CONN_IDLE;
        conn->carried++;
        opf_conn_note_idle(conn);
        opf_list_remove(&conn->link);
        opf_list_push_front(&origin->idle, &conn->link);
    } else {
        opf_conn_free(conn, failure == OPF_FAIL_NONE);
    }
    if (failure == OPF_FAIL_NONE && !exchange->stream)
        failure = opf_exchange_decode(exchange, origin->pool->options.max_body, &detail);
    opf_exchange_finish(exchange, failure, err, detail);
    if (connecting && origin->sharing)
        opf_origin_fail_waiting(origin, &exchange->result);
    opf_origin_serve(origin);
}

void opf_conn_fail(opf_conn *conn, opf_failure failure, int err, const char *detail)
{
    finish(conn, failure, err, detail);
}

static void finish_broken(opf_conn *conn)
{
    opf_stream *stream = &conn->stream;
    finish(conn, stream->failure, stream->err, stream->detail);
}

/* Sending */

static void watch_for(opf_conn *conn, uint32_t events)
{
    opf_engine *engine = engine_of(conn);
    if (opf_loop_watch(engine->loop, &conn->watch, conn->stream.fd, events) != 0)
        finish(conn, OPF_FAIL_CONNECT, errno, NULL);
}

#define RECEIVING (EPOLLIN | EPOLLRDHUP)

/* Writes what it can. A failure is not final here: a server may answer before it has read a
 * request, and close. */
static void send_some(opf_conn *conn)
{
    struct iovec pieces[PARTS];
    int n;
    while ((n = unsent(conn, pieces))) {
        ssize_t sent = conn->stream.ops->send(&conn->stream, pieces, n);
        if (sent > 0) {
            conn->sent += (size_t)sent;
            continue;
        }
        if (sent == OPF_IO_WRITE || sent == OPF_IO_READ) {
            conn->paused = false; /* the server may have to be rid of something first */
            watch_for(conn, RECEIVING | (sent == OPF_IO_WRITE ? (uint32_t)EPOLLOUT : 0));
            return;
        }
        if (sent != OPF_IO_EOF && conn->stream.failure != OPF_FAIL_RESET) {
            finish_broken(conn);
            return;
        }
        conn->send_err = sent == OPF_IO_EOF ? EPIPE : conn->stream.err;
        break;
    }
    if (!conn->send_err && conn->exchange->open_body) {
        conn->deadline = 0; /* it is not the server that lets us wait */
        if (!conn->exchange->hungry)
            opf_exchange_ask(conn->exchange);
    } else if (!conn->send_err && !conn->h1.headers_done) {
        conn->exchange->result.phase = OPF_PHASE_WAIT; /* a stream may be further already */
    }
    if (conn->paused)
        conn->deadline = 0; /* nor is it when nobody reads the stream */
    else
        watch_for(conn, RECEIVING);
}

void opf_conn_send_on(opf_conn *conn)
{
    conn->sent = 0;
    set_deadline(conn, opf_clock_mono(), timeouts_of(conn)->network_ns);
    send_some(conn);
}

/* Writes the request on a connection that is ready for it. now: a fresh reading of the clock. */
static void begin(opf_conn *conn, uint64_t now)
{
    opf_exchange *exchange = conn->exchange;
    const opf_pool_options *options = options_of(conn);
    conn->state = OPF_CONN_BUSY;
    conn->sent = 0;
    conn->send_err = 0;
    conn->unread = false;
    conn->paused = false;
    conn->read_blocked = false;
    opf_h1_begin(&conn->h1, &exchange->message, exchange->head_request, options->max_headers,
                 options->max_body);
    set_deadline(conn, now, exchange->result.timeouts.network_ns);
    exchange->result.phase = OPF_PHASE_SEND;
    exchange->result.sent_ns = now;
    exchange->result.carried = conn->carried;
    send_some(conn);
}

static void attach(opf_conn *conn, opf_exchange *exchange, uint64_t now)
{
    conn->exchange = exchange;
    exchange->conn = conn;
    exchange->state = OPF_EXCHANGE_ACTIVE;
    exchange->result.start_ns = now;
}

void opf_conn_start(opf_conn *conn, opf_exchange *exchange)
{
    uint64_t now = opf_clock_mono();
    attach(conn, exchange, now);
    exchange->result.idle_ns = now - conn->idle_since;
    opf_list_remove(&conn->link);
    opf_list_push_back(&conn->origin->busy, &conn->link);
    begin(conn, now);
}

bool opf_conn_usable(opf_conn *conn)
{
    return conn->stream.ops->idle(&conn->stream);
}

/* Receiving */

static void on_eof(opf_conn *conn)
{
    conn->half_closed = true;
    if (opf_h1_eof(&conn->h1) == OPF_H1_DONE)
        finish(conn, OPF_FAIL_NONE, 0, NULL);
    else if (conn->send_err && !opf_h1_began(&conn->h1))
        finish(conn, OPF_FAIL_RESET, conn->send_err, NULL);
    else
        finish(conn, conn->h1.failure, 0, conn->h1.detail);
}

/* Takes note of what has come for a stream: its head, more of its body. Returns false when that is
 * enough for now. */
static bool deliver(opf_conn *conn, bool whole)
{
    opf_exchange *exchange = conn->exchange;
    if (!exchange->stream || !conn->h1.headers_done)
        return true;
    if (!exchange->result.head_ns) {
        opf_conn_note_end(conn, exchange, true);
        exchange->result.head_ns = exchange->result.end_ns;
    }
    opf_exchange_tell(exchange);
    if (whole || opf_exchange_held(exchange) < HELD_MAX || !is_sent(conn))
        return true;
    opf_loop_unwatch(engine_of(conn)->loop, &conn->watch);
    conn->paused = true;
    conn->unread = false;
    conn->deadline = 0;
    return false;
}

/* Receives once. Returns true when there may be more to receive for the exchange under way. */
static bool receive_once(opf_conn *conn)
{
    opf_engine *engine = engine_of(conn);
    uint8_t *data;
    size_t size, used;
    opf_h1_state state;
    bool direct = opf_h1_wants(&conn->h1, &data, &size);
    if (!direct) {
        data = engine->recv;
        size = sizeof(engine->recv);
    }
    ssize_t n = conn->stream.ops->recv(&conn->stream, data, size);
    if (n == OPF_IO_WRITE) {
        conn->read_blocked = true;
        watch_for(conn, RECEIVING | EPOLLOUT);
        return false;
    } else if (n == OPF_IO_READ) {
        return false;
    } else if (n == OPF_IO_EOF) {
        on_eof(conn);
        return false;
    } else if (n < 0) {
        finish_broken(conn);
        return false;
    }
    conn->came = true;
    if (direct) {
        state = opf_h1_direct(&conn->h1, (size_t)n);
    } else {
        state = opf_h1_feed(&conn->h1, data, (size_t)n, &used);
        if (state == OPF_H1_DONE && used < (size_t)n)
            conn->half_closed =
                true; /* bytes that belong to no request: not to be trusted any more */
    }
    bool go_on = deliver(conn, state != OPF_H1_MORE);
    if (state == OPF_H1_DONE) {
        finish(conn, OPF_FAIL_NONE, 0, NULL);
        return false;
    }
    if (state == OPF_H1_FAILED) {
        finish(conn, conn->h1.failure, 0, conn->h1.detail);
        return false;
    }
    if (!go_on)
        return false;
    return (size_t)n == size || conn->stream.ops->pending(&conn->stream);
}

/* Has the timer go on with bytes that the stream holds already: epoll tells only of the socket's.
 */
static void read_on(opf_conn *conn)
{
    if (!conn->stream.ops->pending(&conn->stream))
        return;
    conn->unread = true;
    opf_conn_fire_by(conn, opf_clock_mono()); /* behind those that wait for the same */
}

static void receive(opf_conn *conn)
{
    opf_engine *engine = engine_of(conn);
    opf_exchange *exchange = conn->exchange;
    int i = 0;
    conn->came = false;
    while (i < RECEIVES_MAX && receive_once(conn))
        i++;
    if (exchange->conn != conn) /* finished, and the connection maybe freed */
        return;
    if (conn->paused)
        return;
    if (conn->came && !exchange->hungry) /* records of TLS alone may hold nothing */
        set_deadline(conn, engine->now, timeouts_of(conn)->network_ns);
    if (i == RECEIVES_MAX)
        read_on(conn);
}

void opf_conn_read_on(opf_conn *conn)
{
    if (!conn->paused || opf_exchange_held(conn->exchange) > HELD_MAX / 2)
        return;
    opf_exchange *exchange = conn->exchange;
    conn->paused = false;
    if (!exchange->hungry)
        set_deadline(conn, opf_clock_mono(), timeouts_of(conn)->network_ns);
    watch_for(conn, RECEIVING);
    if (exchange->conn == conn)
        read_on(conn);
}

/* Connecting */

static void handshake(opf_conn *conn)
{
    int ret = conn->stream.ops->handshake(&conn->stream);
    if (ret == OPF_IO_READ) {
        watch_for(conn, EPOLLIN);
    } else if (ret == OPF_IO_WRITE) {
        watch_for(conn, EPOLLOUT);
    } else if (ret == 0) {
        opf_exchange *exchange = conn->exchange;
        engine_of(conn)->totals.handshakes++;
        engine_of(conn)->totals.resumed += opf_stream_resumed(&conn->stream);
        if (opf_stream_speaks_http2(&conn->stream)) {
            opf_mux_begin(conn);
            return;
        }
        if (options_of(conn)->http2 == OPF_HTTP2_PRIOR) {
            finish(conn, OPF_FAIL_NO_HTTP2, 0, "it did not choose h2 in the TLS handshake");
            return;
        }
        opf_origin *origin = conn->origin;
        bool shared = origin->sharing != OPF_SHARES_NOT;
        opf_origin_speaks(origin, false);
        begin(conn, opf_clock_mono());
        if (exchange->conn == conn)
            read_on(conn); /* a server may have answered already */
        if (shared)
            opf_origin_serve(origin); /* connections of their own for those who wait */
    } else if (ret == OPF_IO_EOF) {
        finish(conn, OPF_FAIL_TLS, 0, "the server closed the connection during the handshake");
    } else {
        finish_broken(conn);
    }
}

static void open_tls(opf_conn *conn, int fd)
{
    opf_origin *origin = conn->origin;
    opf_pool *pool = origin->pool;
    const char *why;
    conn->exchange->result.phase = OPF_PHASE_TLS;
    int ret = opf_stream_open_tls(
        &conn->stream, fd, pool->tls, pool->server_name ? pool->server_name : origin->host,
        pool->options.tls_resume ? &origin->sessions : NULL, pool->options.http2, &why);
    if (ret != 0) {
        close(fd);
        finish(conn, ret == OPF_EINVAL ? OPF_FAIL_TLS : OPF_FAIL_NOMEM, 0,
               ret == OPF_EINVAL ? why : NULL);
        return;
    }
    conn->state = OPF_CONN_HANDSHAKE;
    set_deadline(conn, opf_clock_mono(), timeouts_of(conn)->connect_ns);
    handshake(conn);
}

static void on_dialled(opf_dial *dial, int fd, opf_failure failure, int err, const char *detail)
{
    opf_conn *conn = OPF_CONTAINER(dial, opf_conn, dial);
    if (fd < 0) {
        conn->exchange->result.phase = dial->phase;
        finish(conn, failure, err, detail);
    } else if (conn->origin->tls) {
        open_tls(conn, fd);
    } else {
        opf_stream_open_tcp(&conn->stream, fd);
        if (conn->origin->sharing)
            opf_mux_begin(conn);
        else
            begin(conn, opf_clock_mono());
    }
}

int opf_conn_dial(opf_origin *origin, opf_exchange *exchange)
{
    opf_engine *engine = origin->pool->engine;
    opf_conn *conn = opf_mem_zalloc(sizeof(*conn));
    if (!conn)
        return OPF_ENOMEM;
    conn->origin = origin;
    opf_watch_init(&conn->watch, on_ready);
    opf_timer_init(&conn->timer, on_timer);
    opf_stream_init(&conn->stream);
    if (opf_loop_timer_set(engine->loop, &conn->timer, UINT64_MAX) != 0) {
        opf_mem_free(conn);
        return OPF_ENOMEM;
    }
    opf_list_push_back(&origin->busy, &conn->link);
    origin->n_conns++;
    engine->totals.connections++;
    if (engine->totals.connections > engine->most_connections)
        engine->most_connections = engine->totals.connections;
    engine->totals.connects++;
    uint64_t now = opf_clock_mono();
    attach(conn, exchange, now);
    conn->state = OPF_CONN_DIALLING;
    set_deadline(conn, now, exchange->result.timeouts.connect_ns);
    exchange->result.phase = OPF_PHASE_RESOLVE;
    int ret = opf_dial_start(&conn->dial, engine->loop, engine->resolver, origin->pool->network,
                             origin->host, origin->host_len, origin->port, on_dialled);
    if (ret == OPF_EINVAL)
        finish(conn, OPF_FAIL_RESOLVE, 0, "not a valid host name");
    else if (ret != 0)
        finish(conn, OPF_FAIL_NOMEM, 0, NULL);
    return 0;
}

/* Events */

static opf_failure timeout_failure(opf_conn *conn)
{
    switch (conn->state) {
    case OPF_CONN_DIALLING:
        conn->exchange->result.phase = conn->dial.phase;
        return conn->dial.phase == OPF_PHASE_RESOLVE ? OPF_FAIL_RESOLVE_TIMEOUT
                                                     : OPF_FAIL_CONNECT_TIMEOUT;
    case OPF_CONN_HANDSHAKE:
        return OPF_FAIL_TLS_TIMEOUT;
    default:
        return conn->exchange->result.phase == OPF_PHASE_SEND ? OPF_FAIL_WRITE_TIMEOUT
                                                              : OPF_FAIL_READ_TIMEOUT;
    }
}

/* Closes a connection that has carried nothing for too long. Returns whether it did. */
static bool expire_idle(opf_conn *conn)
{
    uint64_t limit = options_of(conn)->idle_ns;
    bool is_idle = conn->mux ? !conn->mux->h2.n_streams : conn->state == OPF_CONN_IDLE;
    if (!limit || !is_idle)
        return false;
    if (opf_clock_mono() < conn->idle_since + limit) {
        opf_conn_fire_by(conn, conn->idle_since + limit);
        return false;
    }
    opf_conn_free(conn, true);
    return true;
}

void opf_conn_note_idle(opf_conn *conn)
{
    uint64_t limit = options_of(conn)->idle_ns;
    conn->idle_since = engine_of(conn)->now;
    if (limit && !engine_of(conn)->forked) /* the timer is the parent's */
        opf_conn_fire_by(conn, conn->idle_since + limit);
}

static void on_timer(opf_timer *timer)
{
    opf_conn *conn = OPF_CONTAINER(timer, opf_conn, timer);
    /* its place in the loop is still free: kept now, it can't be missing later */
    opf_loop_timer_set(engine_of(conn)->loop, timer, UINT64_MAX);
    if (expire_idle(conn))
        return;
    if (conn->mux) {
        opf_mux_timer(conn);
        return;
    }
    if (conn->exchange && conn->unread) {
        conn->unread = false;
        receive(conn);
        return;
    }
    if (!conn->exchange || !conn->deadline)
        return;
    if (opf_clock_mono() < conn->deadline)
        opf_conn_fire_by(conn, conn->deadline);
    else
        finish(conn, timeout_failure(conn), ETIMEDOUT, NULL);
}

static void on_busy(opf_conn *conn, uint32_t events)
{
    opf_exchange *exchange = conn->exchange;
    if (events & EPOLLRDHUP)
        conn->half_closed = true;
    /* TLS may want to write before it can be read, and the other way round */
    bool can_read = events & (RECEIVING | EPOLLHUP | EPOLLERR);
    if (conn->read_blocked && (events & EPOLLOUT)) {
        conn->read_blocked = false;
        can_read = true;
    }
    bool held_up = exchange->result.phase == OPF_PHASE_SEND && !exchange->hungry &&
                   !(conn->watch.events & EPOLLOUT);
    if ((events & EPOLLOUT) || (held_up && !conn->send_err)) {
        set_deadline(conn, opf_clock_mono(), timeouts_of(conn)->network_ns);
        send_some(conn);
        if (exchange->conn != conn)
            return;
    }
    if (can_read)
        receive(conn);
}

static void on_ready(opf_watch *watch, uint32_t events)
{
    opf_conn *conn = OPF_CONTAINER(watch, opf_conn, watch);
    switch (conn->state) {
    case OPF_CONN_HANDSHAKE:
        handshake(conn);
        break;
    case OPF_CONN_BUSY:
        on_busy(conn, events);
        break;
    case OPF_CONN_SHARED:
        opf_mux_ready(conn, events);
        break;
    case OPF_CONN_IDLE: /* closed by the server, or words that nobody asked for */
        if (!conn->stream.ops->idle(&conn->stream)) {
            engine_of(conn)->totals.replaced++;
            opf_conn_free(conn, true);
        }
        break;
    case OPF_CONN_DIALLING:
        break;
    }
}
