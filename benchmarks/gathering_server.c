/*
 * An HTTP/2 server, in cleartext, that holds its answers until so many requests are there at a
 * time, and then answers them all, as it does each one from there on.
 *
 *     gathering_server REQUESTS STREAMS
 *
 * It allows STREAMS streams on a connection, listens on a free port of 127.0.0.1 and prints the
 * port. SIGTERM prints what it has counted as one line of JSON and ends it:
 *
 *     requests, answered    those that came whole, and the answers that went out whole
 *     broken                streams that ended otherwise
 *     most, connections     most requests without an answer at a time, most connections at a time
 *
 * One thread.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loopback.h"

#define MAX_FDS 16384
#define RECEIVED 65536
#define BATCH 256

static const int signals[] = {SIGTERM, SIGINT};

static const char answer[] = "{\"status\": \"ok\"}";

struct connection {
    int fd;
    bool wants_out; /* epoll tells when the socket takes more */
    nghttp2_session *session;
    size_t n_held;
    int32_t held[]; /* streams whose answers are held back */
};

static struct connection *connections[MAX_FDS];
static size_t n_connections, n_held, allowed;
static size_t requests, answered, broken, most_held, most_connections;
static size_t to_gather;
static bool gathered;
static int epoll_fd;

static void check(int error, const char *what)
{
    if (error) {
        fprintf(stderr, "%s: %s\n", what, nghttp2_strerror(error));
        exit(1);
    }
}

static void watch(int op, int fd, uint32_t what)
{
    struct epoll_event event = {.events = what, .data.fd = fd};
    if (epoll_ctl(epoll_fd, op, fd, &event) < 0)
        die("epoll_ctl");
}

static void close_connection(struct connection *connection)
{
    n_held -= connection->n_held;
    n_connections--;
    connections[connection->fd] = NULL;
    nghttp2_session_del(connection->session);
    close(connection->fd);
    free(connection);
}

/* Sends what the session has to say; closes the connection if that fails or all has been said. */
static void flush(struct connection *connection)
{
    nghttp2_session *session = connection->session;
    if (nghttp2_session_send(session) != 0 ||
        (!nghttp2_session_want_read(session) && !nghttp2_session_want_write(session))) {
        close_connection(connection);
        return;
    }
    bool wants_out = nghttp2_session_want_write(session);
    if (wants_out != connection->wants_out) {
        connection->wants_out = wants_out;
        watch(EPOLL_CTL_MOD, connection->fd, EPOLLIN | (wants_out ? EPOLLOUT : 0U));
    }
}

static ssize_t read_answer(nghttp2_session *session, int32_t id, uint8_t *data, size_t size,
                           uint32_t *flags, nghttp2_data_source *source, void *arg)
{
    (void)session, (void)id, (void)source, (void)arg;
    if (size < sizeof(answer) - 1)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    memcpy(data, answer, sizeof(answer) - 1);
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    return sizeof(answer) - 1;
}

#define FIELD(name, value)                                                                         \
    {(uint8_t *)(name), (uint8_t *)(value), sizeof(name) - 1, sizeof(value) - 1,                   \
     NGHTTP2_NV_FLAG_NONE}

static void answer_held(struct connection *connection)
{
    const nghttp2_nv fields[] = {FIELD(":status", "200"),
                                 FIELD("content-type", "application/json")};
    const nghttp2_data_provider body = {.read_callback = read_answer};
    for (size_t i = 0; i < connection->n_held; i++)
        check(nghttp2_submit_response(connection->session, connection->held[i], fields,
                                      sizeof(fields) / sizeof(*fields), &body),
              "nghttp2_submit_response");
    n_held -= connection->n_held;
    connection->n_held = 0;
}

static void take_request(struct connection *connection, int32_t id)
{
    requests++;
    if (connection->n_held == allowed)
        check(NGHTTP2_ERR_INVALID_STATE, "more streams than are allowed");
    connection->held[connection->n_held++] = id;
    if (++n_held > most_held)
        most_held = n_held;
    gathered = gathered || n_held >= to_gather;
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    (void)session;
    bool of_request = frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA;
    if (of_request && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
        take_request(arg, frame->hd.stream_id);
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *arg)
{
    struct connection *connection = arg;
    (void)session;
    if (code == NGHTTP2_NO_ERROR)
        answered++;
    else
        broken++;
    for (size_t i = 0; i < connection->n_held; i++) {
        if (connection->held[i] == id) {
            connection->held[i] = connection->held[--connection->n_held];
            n_held--;
            break;
        }
    }
    return 0;
}

static ssize_t send_some(nghttp2_session *session, const uint8_t *data, size_t size, int flags,
                         void *arg)
{
    const struct connection *connection = arg;
    (void)session, (void)flags;
    ssize_t sent = send(connection->fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0)
        return sent;
    return errno == EAGAIN || errno == EINTR ? NGHTTP2_ERR_WOULDBLOCK
                                             : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static void start_session(struct connection *connection)
{
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, (uint32_t)allowed}};
    nghttp2_session_callbacks *callbacks = NULL;
    check(nghttp2_session_callbacks_new(&callbacks), "nghttp2_session_callbacks_new");
    nghttp2_session_callbacks_set_send_callback(callbacks, send_some);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    check(nghttp2_session_server_new(&connection->session, callbacks, connection),
          "nghttp2_session_server_new");
    nghttp2_session_callbacks_del(callbacks);
    check(nghttp2_submit_settings(connection->session, NGHTTP2_FLAG_NONE, settings, 1),
          "nghttp2_submit_settings");
}

static void accept_connection(int listener)
{
    int on = 1;
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return;
    struct connection *connection = NULL;
    if (fd < MAX_FDS)
        connection = calloc(1, sizeof(*connection) + allowed * sizeof(*connection->held));
    if (!connection) {
        fprintf(stderr, "too many connections\n");
        close(fd);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    connection->fd = fd;
    connections[fd] = connection;
    if (++n_connections > most_connections)
        most_connections = n_connections;
    start_session(connection);
    watch(EPOLL_CTL_ADD, fd, EPOLLIN);
    flush(connection);
}

static void answer_all(void)
{
    for (int fd = 0; fd < MAX_FDS; fd++) {
        if (connections[fd] && connections[fd]->n_held) {
            answer_held(connections[fd]);
            flush(connections[fd]);
        }
    }
}

static void serve_connection(struct connection *connection)
{
    static uint8_t received[RECEIVED];
    bool before = gathered;
    ssize_t got = recv(connection->fd, received, sizeof(received), MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        got = 0;
    else if (got <= 0) {
        close_connection(connection);
        return;
    }
    if (got > 0 && nghttp2_session_mem_recv(connection->session, received, (size_t)got) != got) {
        close_connection(connection);
        return;
    }
    if (gathered)
        answer_held(connection);
    flush(connection);
    if (gathered && !before)
        answer_all();
}

static void serve(int listener, int signal_fd)
{
    struct epoll_event events[BATCH];
    for (;;) {
        int count = epoll_wait(epoll_fd, events, BATCH, -1);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == signal_fd)
                return;
            if (fd == listener)
                accept_connection(listener);
            else if (connections[fd])
                serve_connection(connections[fd]);
        }
    }
}

int main(int argc, char **argv)
{
    long gather = argc == 3 ? strtol(argv[1], NULL, 10) : 0;
    long streams = argc == 3 ? strtol(argv[2], NULL, 10) : 0;
    if (gather <= 0 || streams <= 0 || streams > 1000000) {
        fprintf(stderr, "usage: gathering_server REQUESTS STREAMS\n");
        return 2;
    }
    to_gather = (size_t)gather;
    allowed = (size_t)streams;
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0)
        die("epoll_create1");
    int signal_fd = open_signals(signals, sizeof(signals) / sizeof(*signals));
    watch(EPOLL_CTL_ADD, signal_fd, EPOLLIN);
    int listener = open_listener();
    watch(EPOLL_CTL_ADD, listener, EPOLLIN);
    serve(listener, signal_fd);
    printf("{\"requests\": %zu, \"answered\": %zu, \"broken\": %zu, \"most\": %zu,"
           " \"connections\": %zu}\n",
           requests, answered, broken, most_held, most_connections);
    return 0;
}
