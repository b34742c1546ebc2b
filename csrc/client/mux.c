#include "client/mux.h"

#include <errno.h>
#include <sys/epoll.h>

#include "base/mem.h"
#include "client/engine.h"

/* How often one connection may receive, or send, in a row while others wait. */
#define RECEIVES_MAX 16
#define SENDS_MAX 16

/* How many requests wait for each other at most, while their driver makes more: the server may
 * begin.
 */
#define HELD_STREAMS 64

/* What is kept of a buffer that is empty. */
#define KEEP 16384

/* Streams kept for use. */
#define SPARE_MAX 1024

#define RECEIVING (EPOLLIN | EPOLLRDHUP)

static opf_engine *engine_of(const opf_mux *mux)
{
    return mux->conn->origin->pool->engine;
}

static opf_mux_stream *of(opf_h2_stream *h2)
{
    return OPF_CONTAINER(h2, opf_mux_stream, h2);
}

/* Whether the connection was received from just now, in the poll whose outcome is being dealt with.
 */
static bool is_fresh(const opf_mux *mux)
{
    const opf_engine *engine = engine_of(mux);
    return mux->received == engine->polls && (engine->polling || engine->held);
}

/* Deadlines */

static void set_deadline(opf_mux_stream *s, uint64_t now)
{
    uint64_t timeout = s->exchange->result.timeouts.network_ns;
    s->deadline = timeout ? now + timeout : 0;
    if (timeout)
        opf_conn_fire_by(s->mux->conn, s->deadline);
}

/* It is the server that lets us wait, but when the body's next piece is owed, or so much of a
 * stream is untaken that the server may not send on. */
static void set_deadline_for_server(opf_mux_stream *s, uint64_t now)
{
    if (s->exchange->hungry || s->h2.untaken > s->mux->h2.options.window / 2)
        s->deadline = 0;
    else
        set_deadline(s, now);
}

/* The end of a stream */

static opf_mux_stream *new_stream(opf_engine *engine)
{
    opf_node *node = opf_list_pop_front(&engine->spare_streams);
    if (!node)
        return opf_mem_zalloc(sizeof(opf_mux_stream));
    engine->n_spare_streams--;
    return OPF_CONTAINER(node, opf_mux_stream, link);
}

static void free_stream(opf_engine *engine, opf_mux_stream *s)
{
    if (engine->n_spare_streams >= SPARE_MAX) {
        opf_mem_free(s);
        return;
    }
    opf_list_push_front(&engine->spare_streams, &s->link);
    engine->n_spare_streams++;
}

void opf_mux_free_spare(opf_engine *engine)
{
    opf_node *node;
    while ((node = opf_list_pop_front(&engine->spare_streams)))
        opf_mem_free(OPF_CONTAINER(node, opf_mux_stream, link));
    engine->n_spare_streams = 0;
}

/* Places of streams that have ended just now are taken before others, so that what follows them is
 * sent together, on the connections that have work anyway. Without that each connection would get
 * a request at a time, and a system call for it. */
static void vacate(opf_mux *mux)
{
    if (!is_fresh(mux) || mux->drains)
        return;
    if (!mux->vacated++) {
        opf_list_remove(&mux->conn->link);
        opf_list_push_front(&mux->conn->origin->shared, &mux->conn->link);
    }
}

bool opf_mux_take_place(opf_mux *mux)
{
    if (!is_fresh(mux) || !mux->vacated)
        return false;
    mux->vacated--;
    return true;
}

/* Parts a stream that is on no session any more from its exchange, which is returned. */
static opf_exchange *detach(opf_mux_stream *s)
{
    opf_exchange *exchange = s->exchange;
    opf_mux *mux = s->mux;
    exchange->mux_stream = NULL;
    exchange->conn = NULL;
    engine_of(mux)->n_streams--;
    if (!mux->h2.n_streams)
        opf_conn_note_idle(mux->conn);
    vacate(mux);
    free_stream(engine_of(mux), s);
    return exchange;
}

/* Takes note of what has come for a streamed response. */
static void deliver(opf_mux_stream *s)
{
    opf_exchange *exchange = s->exchange;
    if (!exchange->stream || !s->h2.headers_done)
        return;
    if (!exchange->result.head_ns) {
        opf_conn_note_end(s->mux->conn, exchange, true);
        exchange->result.head_ns = exchange->result.end_ns;
    }
    opf_exchange_tell(exchange);
}

static void finish(opf_mux_stream *s, opf_failure failure, int err, const char *detail)
{
    opf_mux *mux = s->mux;
    opf_exchange *exchange = s->exchange;
    const opf_pool_options *options = &mux->conn->origin->pool->options;
    if (failure == OPF_FAIL_NONE)
        deliver(s);
    opf_conn_note_end(mux->conn, exchange, failure == OPF_FAIL_NONE);
    if (!exchange->result.start_ns)
        exchange->result.start_ns = exchange->result.end_ns;
    exchange->result.bytes_received = s->h2.head_bytes + s->h2.body_bytes;
    if (s->h2.headers_done)
        exchange->result.phase = OPF_PHASE_BODY; /* finishing well makes it DONE */
    detach(s);
    if (failure == OPF_FAIL_NONE && !exchange->stream)
        failure = opf_exchange_decode(exchange, options->max_body, &detail);
    opf_exchange_finish(exchange, failure, err, detail);
}

/* Whether a request that the server has not looked at can be sent again: once, and as long as all
 * of its body is there. */
static bool can_resend(const opf_exchange *exchange)
{
    return !exchange->result.resent && !exchange->open_body && !exchange->in_pieces &&
           !exchange->has_news;
}

static void resend(opf_mux_stream *s)
{
    opf_origin *origin = s->mux->conn->origin;
    opf_exchange *exchange = detach(s);
    opf_message_reset(&exchange->message);
    exchange->result.resent++;
    exchange->result.http2 = false;
    opf_origin_requeue(origin, exchange);
}

/* What the session tells */

static void on_ended(opf_h2_stream *h2)
{
    opf_mux_stream *s = of(h2);
    if (h2->refused && can_resend(s->exchange))
        resend(s);
    else
        finish(s, h2->failure, 0, h2->detail);
}

static void on_came(opf_h2_stream *h2)
{
    opf_mux_stream *s = of(h2);
    size_t came = h2->head_bytes + h2->body_bytes;
    if (came != s->came) /* frames may hold nothing */
        set_deadline_for_server(s, engine_of(s->mux)->now);
    s->came = came;
    deliver(s);
}

static void on_moved(opf_h2_stream *h2)
{
    opf_exchange_refile(of(h2)->exchange);
}

static bool has_body(const opf_exchange *exchange)
{
    return exchange->open_body || exchange->body_len || exchange->out.len > exchange->head_len;
}

static void note_written(opf_exchange *exchange)
{
    if (exchange->result.phase == OPF_PHASE_SEND) /* a stream may be further already */
        exchange->result.phase = OPF_PHASE_WAIT;
}

static void on_sending(opf_h2_stream *h2)
{
    opf_mux_stream *s = of(h2);
    opf_exchange *exchange = s->exchange;
    exchange->result.sent_ns = s->mux->now;
    if (!exchange->result.start_ns)
        exchange->result.start_ns = s->mux->now;
    if (!has_body(exchange))
        note_written(exchange);
    set_deadline(s, s->mux->now);
}

/* What there is of the body: all of it, or a piece. */
static const uint8_t *body_of(const opf_exchange *exchange, size_t *len)
{
    if (exchange->in_pieces || exchange->body) {
        *len = exchange->body_len;
        return exchange->body;
    }
    *len = exchange->out.len - exchange->head_len;
    return exchange->out.data + exchange->head_len;
}

static ssize_t on_body(opf_h2_stream *h2, uint8_t *data, size_t size, bool *end)
{
    opf_mux_stream *s = of(h2);
    opf_exchange *exchange = s->exchange;
    size_t len;
    const uint8_t *body = body_of(exchange, &len);
    size_t n = len - s->sent < size ? len - s->sent : size;
    if (n)
        memcpy(data, body + s->sent, n);
    s->sent += n;
    set_deadline(s, s->mux->now);
    if (s->sent < len)
        return (ssize_t)n;
    if (!exchange->open_body) {
        *end = true;
        note_written(exchange);
        return (ssize_t)n;
    }
    s->deadline = 0; /* it is not the server that lets us wait */
    if (!exchange->hungry)
        opf_exchange_ask(exchange);
    return n ? (ssize_t)n : OPF_H2_LATER;
}

static const opf_h2_events events = {
    .sending = on_sending, .body = on_body, .came = on_came, .moved = on_moved, .ended = on_ended};

/* The end of a connection */

/* Tells the server why, as far as the socket takes it at once. */
static void say_last_words(opf_mux *mux)
{
    uint8_t frames[1024];
    if (mux->rest.len || mux->failure != OPF_FAIL_NONE)
        return;
    struct iovec piece = {.iov_base = frames};
    piece.iov_len = opf_h2_pull(&mux->h2, frames, sizeof(frames));
    if (piece.iov_len)
        mux->conn->stream.ops->send(&mux->conn->stream, &piece, 1);
}

void opf_mux_free(opf_mux *mux, bool polite)
{
    opf_conn *conn = mux->conn;
    bool quiet = !mux->h2.n_streams && mux->h2.failure == OPF_FAIL_NONE;
    while (!opf_list_empty(&mux->h2.streams)) {
        opf_mux_stream *s = of(OPF_CONTAINER(mux->h2.streams.next, opf_h2_stream, link));
        opf_h2_cancel(&mux->h2, &s->h2);
        opf_exchange_let_go(detach(s));
    }
    if (polite && quiet && !engine_of(mux)->forked) {
        opf_h2_say_goodbye(&mux->h2);
        say_last_words(mux);
    }
    if (mux->drains)
        conn->origin->n_draining--;
    opf_h2_fini(&mux->h2);
    opf_list_remove(&mux->link);
    opf_buf_fini(&mux->rest);
    conn->mux = NULL;
    opf_mem_free(mux);
}

/* Finishes what is on the connection and frees it. */
static void end_conn(opf_mux *mux)
{
    opf_conn *conn = mux->conn;
    opf_engine *engine = engine_of(mux);
    if (!mux->h2.n_streams)
        engine->totals.replaced++;
    if (mux->h2.failure != OPF_FAIL_NONE)
        say_last_words(mux); /* may end streams */
    while (!opf_list_empty(&mux->h2.streams)) {
        opf_h2_stream *h2 = OPF_CONTAINER(mux->h2.streams.next, opf_h2_stream, link);
        opf_h2_note_eof(&mux->h2, h2);
        bool by_socket = mux->failure != OPF_FAIL_NONE && !opf_h2_has_reason(&mux->h2);
        opf_failure failure = by_socket ? mux->failure : h2->failure;
        opf_h2_cancel(&mux->h2, h2);
        finish(of(h2), failure, by_socket ? mux->err : 0, by_socket ? mux->detail : h2->detail);
    }
    opf_conn_free(conn, mux->failure == OPF_FAIL_NONE);
}

static void note_broken(opf_mux *mux)
{
    const opf_stream *stream = &mux->conn->stream;
    mux->failure = stream->failure;
    mux->err = stream->err;
    mux->detail = stream->detail;
}

/* Has a connection that takes no more streams stand aside for a new one. */
static void drain(opf_mux *mux)
{
    opf_conn *conn = mux->conn;
    if (mux->drains)
        return;
    mux->drains = true;
    conn->origin->n_draining++;
    opf_list_remove(&conn->link);
    opf_list_push_back(&conn->origin->busy, &conn->link);
}

void opf_mux_retire(opf_conn *conn)
{
    if (conn->mux->h2.n_streams)
        drain(conn->mux);
    else
        opf_conn_free(conn, true);
}

static bool is_done(const opf_mux *mux)
{
    return mux->drains && !mux->h2.n_streams;
}

/* Sees what has become of the session. Returns false when that was the end of the connection. */
static bool settle(opf_mux *mux)
{
    if (mux->h2.going_away)
        drain(mux);
    if (opf_h2_is_over(&mux->h2) || is_done(mux)) {
        end_conn(mux);
        return false;
    }
    return true;
}

/* Receiving */

/* Has the timer go on with bytes that the stream holds already: epoll tells only of the socket's.
 */
static void read_on(opf_conn *conn)
{
    if (!conn->stream.ops->pending(&conn->stream))
        return;
    conn->unread = true;
    opf_conn_fire_by(conn, opf_clock_mono());
}

/* Receives once. Returns true when there may be more; *open is cleared at the connection's end. */
static bool receive_once(opf_mux *mux, bool *open)
{
    opf_conn *conn = mux->conn;
    opf_engine *engine = engine_of(mux);
    ssize_t n = conn->stream.ops->recv(&conn->stream, engine->recv, sizeof(engine->recv));
    if (n == OPF_IO_READ)
        return false;
    if (n == OPF_IO_WRITE) {
        conn->read_blocked = true;
        mux->blocked = true;
        *open =
            opf_loop_watch(engine->loop, &conn->watch, conn->stream.fd, RECEIVING | EPOLLOUT) == 0;
        return false;
    }
    if (n <= 0) {
        if (n != OPF_IO_EOF)
            note_broken(mux);
        *open = false;
        return false;
    }
    mux->heard = engine->now;
    if (opf_h2_feed(&mux->h2, engine->recv, (size_t)n, engine->now) != 0)
        return false; /* settle sees to it */
    return (size_t)n == sizeof(engine->recv) || conn->stream.ops->pending(&conn->stream);
}

static void queue(opf_mux *mux)
{
    opf_engine *engine = engine_of(mux);
    if (mux->blocked || engine->forked)
        return;
    if (!opf_node_linked(&mux->link))
        opf_list_push_back(&engine->unsent, &mux->link);
    if (!engine->polling && (!engine->held || ++engine->n_held >= HELD_STREAMS))
        opf_mux_flush(engine);
}

/* Receives what is there. Returns false when the connection has come to its end. What is to be sent
 * then is queued by the caller. */
static bool receive(opf_mux *mux)
{
    bool open = true;
    mux->received = engine_of(mux)->polls;
    mux->vacated = 0;
    int i = 0;
    while (i < RECEIVES_MAX && receive_once(mux, &open))
        i++;
    if (!open) {
        end_conn(mux);
        return false;
    }
    if (i == RECEIVES_MAX)
        read_on(mux->conn);
    return settle(mux);
}

/* Sending */

/* Keeps what the socket did not take. Returns false without memory. */
static bool keep_rest(opf_mux *mux, const uint8_t *data, size_t len)
{
    if (mux->rest.len) /* it stands there */
        return true;
    mux->rest_at = 0;
    return opf_buf_append(&mux->rest, data, len) == 0;
}

static void drop_rest(opf_mux *mux)
{
    mux->rest.len = mux->rest_at = 0;
    if (mux->rest.cap > KEEP)
        opf_buf_fini(&mux->rest);
}

static bool has_output(const opf_mux *mux)
{
    return mux->rest.len || opf_h2_wants_write(&mux->h2);
}

/* What is to be sent next; 0: nothing. */
static size_t next_bytes(opf_mux *mux, const uint8_t **data)
{
    opf_engine *engine = engine_of(mux);
    if (mux->rest.len) {
        *data = mux->rest.data + mux->rest_at;
        return mux->rest.len - mux->rest_at;
    }
    /* nothing is being received now: the room is free */
    *data = engine->recv;
    mux->now = engine->now = opf_clock_mono();
    return opf_h2_pull(&mux->h2, engine->recv, sizeof(engine->recv));
}

/* Sends once. Returns true when there may be more to send. */
static bool send_once(opf_mux *mux)
{
    opf_conn *conn = mux->conn;
    const uint8_t *data;
    size_t len = next_bytes(mux, &data);
    if (!len)
        return false;
    struct iovec piece = {.iov_base = (uint8_t *)(uintptr_t)data, .iov_len = len};
    ssize_t n = conn->stream.ops->send(&conn->stream, &piece, 1);
    size_t sent = n > 0 ? (size_t)n : 0;
    if (n < 0 && n != OPF_IO_WRITE && n != OPF_IO_READ) {
        note_broken(mux);
        if (n == OPF_IO_EOF)
            mux->failure = OPF_FAIL_RESET, mux->err = EPIPE;
        return false;
    }
    if (sent == len) {
        drop_rest(mux);
        return true;
    }
    if (!keep_rest(mux, data, len)) {
        mux->failure = OPF_FAIL_NOMEM;
        return false;
    }
    mux->rest_at += sent;
    mux->blocked = n == OPF_IO_WRITE;
    return n > 0;
}

/* A server may have answered before it closed: takes what is there, then ends the connection. */
static void end_broken(opf_mux *mux)
{
    opf_failure failure = mux->failure;
    int err = mux->err;
    const char *detail = mux->detail;
    bool open = true;
    if (failure == OPF_FAIL_RESET)
        for (int i = 0; i < RECEIVES_MAX && receive_once(mux, &open); i++)
            ;
    mux->failure = failure;
    mux->err = err;
    mux->detail = detail;
    end_conn(mux);
}

/* Sends what waits. May end the connection. */
static void flush(opf_mux *mux)
{
    opf_conn *conn = mux->conn;
    opf_engine *engine = engine_of(mux);
    int i = 0;
    mux->blocked = false;
    while (i < SENDS_MAX && send_once(mux))
        i++;
    if (i == SENDS_MAX)
        mux->blocked = true; /* others wait */
    uint32_t wanted = RECEIVING | (mux->blocked ? (uint32_t)EPOLLOUT : 0);
    if (mux->failure == OPF_FAIL_NONE &&
        opf_loop_watch(engine->loop, &conn->watch, conn->stream.fd, wanted) != 0) {
        mux->failure = OPF_FAIL_CONNECT;
        mux->err = errno;
    }
    if (mux->failure != OPF_FAIL_NONE)
        end_broken(mux);
    else
        settle(mux);
}

void opf_mux_flush(opf_engine *engine)
{
    opf_node *node;
    engine->n_held = 0;
    while ((node = opf_list_pop_front(&engine->unsent))) {
        opf_mux *mux = OPF_CONTAINER(node, opf_mux, link);
        opf_origin *origin = mux->conn->origin;
        flush(mux);
        opf_origin_serve(origin);
    }
}

/* Starting */

static opf_mux *new_mux(opf_conn *conn)
{
    const opf_pool_options *options = &conn->origin->pool->options;
    opf_h2_options h2 = {.max_headers = options->max_headers,
                         .max_body = options->max_body,
                         .window = options->http2_window,
                         .connection_window = options->http2_connection_window,
                         .max_streams = options->http2_streams,
                         .memory = &conn->origin->pool->engine->blocks};
    opf_mux *mux = opf_mem_zalloc(sizeof(*mux));
    if (!mux)
        return NULL;
    if (opf_h2_init(&mux->h2, &h2, &events) != 0) {
        opf_mem_free(mux);
        return NULL;
    }
    mux->conn = conn;
    opf_list_init(&mux->link);
    return mux;
}

void opf_mux_begin(opf_conn *conn)
{
    opf_origin *origin = conn->origin;
    opf_exchange *exchange = conn->exchange;
    conn->mux = new_mux(conn);
    if (!conn->mux) {
        opf_conn_fail(conn, OPF_FAIL_NOMEM, 0, NULL);
        return;
    }
    conn->exchange = NULL;
    conn->deadline = 0;
    conn->state = OPF_CONN_SHARED;
    conn->idle_since = opf_clock_mono();
    opf_list_remove(&conn->link);
    opf_list_push_back(&origin->shared, &conn->link);
    opf_origin_speaks(origin, true);
    read_on(conn); /* a server may have said something already */
    if (opf_mux_start(conn, exchange) != 0) {
        opf_conn_note_end(conn, exchange, false);
        opf_exchange_finish(exchange, OPF_FAIL_NOMEM, 0, NULL);
    }
    opf_origin_serve(origin);
}

bool opf_mux_usable(opf_conn *conn, bool *gone)
{
    opf_mux *mux = conn->mux;
    *gone = false;
    if (mux->h2.n_streams || mux->blocked || !mux->h2.answered || is_fresh(mux))
        return opf_h2_room(&mux->h2) > 0;
    *gone = !receive(mux);
    return !*gone && opf_h2_room(&mux->h2) > 0;
}

int opf_mux_start(opf_conn *conn, opf_exchange *exchange)
{
    opf_mux *mux = conn->mux;
    opf_engine *engine = engine_of(mux);
    opf_origin *origin = conn->origin;
    const opf_h2_request request = {.head = (const char *)exchange->out.data,
                                    .head_len = exchange->head_len,
                                    .tls = origin->tls,
                                    .authority = origin->host,
                                    .authority_len = origin->host_len,
                                    .has_body = has_body(exchange),
                                    .head_request = exchange->head_request};
    bool was_idle = !mux->h2.n_streams;
    opf_mux_stream *s = new_stream(engine);
    if (!s)
        return OPF_ENOMEM;
    int ret = opf_h2_begin(&mux->h2, &s->h2, &exchange->message, &request);
    if (ret != 0) {
        free_stream(engine, s);
        return ret;
    }
    engine->n_streams++;
    opf_list_init(&s->link);
    s->mux = mux;
    s->exchange = exchange;
    s->sent = s->came = 0;
    exchange->conn = conn;
    exchange->mux_stream = s;
    exchange->state = OPF_EXCHANGE_ACTIVE;
    exchange->result.phase = OPF_PHASE_SEND;
    exchange->result.http2 = true;
    exchange->result.carried = conn->carried++;
    uint64_t now = engine->polling ? engine->now : opf_clock_mono();
    exchange->result.idle_ns = was_idle && exchange->result.carried ? now - conn->idle_since : 0;
    set_deadline(s, now); /* it may take long until the server lets us send it */
    queue(mux);
    return 0;
}

/* Events */

void opf_mux_ready(opf_conn *conn, uint32_t happened)
{
    opf_mux *mux = conn->mux;
    opf_origin *origin = conn->origin;
    bool can_read = happened & (RECEIVING | EPOLLHUP | EPOLLERR);
    if (conn->read_blocked && (happened & EPOLLOUT)) {
        conn->read_blocked = false;
        can_read = true;
    }
    if (happened & EPOLLOUT)
        mux->blocked = false;
    if (!can_read || receive(mux))
        if ((happened & EPOLLOUT) || has_output(mux))
            queue(mux);
    opf_origin_serve(origin);
}

/* Ends the streams whose time is over. Returns when the next one's is. If nothing at all has come
 * while one waited, the server may be gone: others shall not wait for it. */
static uint64_t expire(opf_mux *mux, uint64_t now)
{
    uint64_t next = UINT64_MAX;
    for (opf_node *n = mux->h2.streams.next, *behind; n != &mux->h2.streams; n = behind) {
        opf_mux_stream *s = of(OPF_CONTAINER(n, opf_h2_stream, link));
        behind = n->next;
        if (!s->deadline)
            continue;
        if (s->deadline > now) {
            next = s->deadline < next ? s->deadline : next;
            continue;
        }
        bool sending = s->exchange->result.phase == OPF_PHASE_SEND;
        if (mux->heard < s->deadline - s->exchange->result.timeouts.network_ns)
            drain(mux);
        opf_h2_cancel(&mux->h2, &s->h2);
        finish(s, sending ? OPF_FAIL_WRITE_TIMEOUT : OPF_FAIL_READ_TIMEOUT, ETIMEDOUT, NULL);
    }
    return next;
}

void opf_mux_timer(opf_conn *conn)
{
    opf_mux *mux = conn->mux;
    opf_origin *origin = conn->origin;
    opf_conn_fire_by(conn, expire(mux, opf_clock_mono()));
    if (is_done(mux)) {
        opf_conn_free(conn, true);
        opf_origin_serve(origin);
        return;
    }
    if (conn->unread) {
        conn->unread = false;
        opf_mux_ready(conn, EPOLLIN);
        return;
    }
    if (has_output(mux))
        queue(mux);
    opf_origin_serve(origin);
}

void opf_mux_read_on(opf_exchange *exchange)
{
    opf_mux_stream *s = exchange->mux_stream;
    opf_mux *mux = s->mux;
    size_t taken = s->h2.untaken - opf_exchange_held(exchange);
    if (!taken)
        return;
    opf_h2_took(&mux->h2, &s->h2, taken);
    if (!s->deadline)
        set_deadline_for_server(s, opf_clock_mono());
    if (opf_h2_wants_write(&mux->h2))
        queue(mux);
}

void opf_mux_send_on(opf_exchange *exchange)
{
    opf_mux_stream *s = exchange->mux_stream;
    s->sent = 0;
    set_deadline(s, opf_clock_mono());
    opf_h2_resume(&s->mux->h2, &s->h2);
    queue(s->mux);
}

void opf_mux_abandon(opf_exchange *exchange)
{
    opf_mux_stream *s = exchange->mux_stream;
    opf_mux *mux = s->mux;
    opf_origin *origin = mux->conn->origin;
    bool forked = engine_of(mux)->forked;
    opf_h2_cancel(&mux->h2, &s->h2);
    detach(s);
    if (forked)
        return;
    if (is_done(mux))
        opf_conn_free(mux->conn, true);
    else
        queue(mux);
    opf_origin_serve(origin);
}
