/* Requests over HTTP/2 from submit to done, against servers that send the frames they are told. */
#include "opf_test.h"

#include <nghttp2/nghttp2.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "client/exchange.h"
#include "client/mux.h"
#include "drive.h"
#include "frames.h"
#include "opf.h"
#include "peer.h"
#include "tls_relay.h"

#ifndef BY_TLS
#define BY_TLS 0 /* in cleartext, with prior knowledge; else test_h2_tls.c */
#endif

#define HTTP2 (BY_TLS ? OPF_HTTP2_AUTO : OPF_HTTP2_PRIOR)
#define SHORTLY (300 * OPF_NS_PER_MS) /* a time-out that is to strike */
#define MIB (1U << 20)
#define N 8

typedef struct client {
    opf_engine *engine;
    opf_pool *pool;
    peer *server;
    uint16_t port;
} client;

/* Of which there is one at a time. */
static peer *new_server(peer_fn *serve, void *arg)
{
    static tls_relay relay;
    relay = (tls_relay){serve, arg};
    return BY_TLS ? peer_new(tls_relay_serve, &relay) : peer_new(serve, arg);
}

static bool client_init_with(client *c, peer_fn *serve, void *arg, opf_pool_options options)
{
    int error;
    char text[256];
    options.http2 = HTTP2;
    *c = (client){.engine = opf_engine_new(NULL)};
    if (!c->engine)
        return false;
    c->pool = opf_pool_new(c->engine, &options, &error, text, sizeof(text));
    c->server = new_server(serve, arg);
    c->port = peer_port(c->server);
    return c->pool;
}

static bool client_init(client *c, peer_fn *serve, void *arg)
{
    return client_init_with(c, serve, arg, (opf_pool_options){0});
}

static void client_fini(client *c)
{
    opf_pool_free(c->pool);
    opf_engine_free(c->engine);
    peer_free(c->server);
}

/* The end of a test with its n requests. */
static void end(client *c, const call *calls, int n)
{
    for (int i = 0; i < n; i++)
        opf_exchange_free(calls[i].exchange);
    client_fini(c);
}

static int submit(client *c, call *one, const char *method, const void *body, size_t len)
{
    one->done = 0;
    return call_submit(one, c->engine, c->pool, method, BY_TLS, c->port, body, len);
}

static void submit_all(client *c, call *calls, int n)
{
    for (int i = 0; i < n; i++)
        CHECK_EQ_INT(submit(c, &calls[i], "GET", NULL, 0), 0);
}

static const opf_result *result_of(const call *one)
{
    return opf_exchange_result(one->exchange);
}

/* Requests and waits; returns the failure, or -1 if it was not told, or told twice. */
static int fetch(client *c, call *one)
{
    if (submit(c, one, "GET", NULL, 0) != 0 || !call_drive(c->engine, &one->done, 1) ||
        one->done != 1)
        return -1;
    return (int)result_of(one)->failure;
}

static uint64_t open_connections(const client *c)
{
    opf_engine_totals totals;
    opf_engine_get_totals(c->engine, &totals);
    return totals.connections;
}

static void check_body(const call *one, const char *text)
{
    const opf_result *result = result_of(one);
    CHECK_EQ_INT(result->failure, OPF_FAIL_NONE);
    CHECK_EQ_INT(result->status, 200);
    CHECK(result->http2);
    CHECK_BYTES(result->body, result->body_len, text);
}

/* A field's value, or NULL; i counts trailers from n_fields on. */
static bool has_field(const opf_result *result, uint32_t i, const char *name, const char *value)
{
    const opf_field *field = &result->fields[i];
    return field->name_len == strlen(name) && field->value_len == strlen(value) &&
           memcmp(result->head + field->name_at, name, field->name_len) == 0 &&
           memcmp(result->head + field->value_at, value, field->value_len) == 0;
}

/* Servers */

static void serve_on(int fd)
{
    frame f;
    uint32_t stream;
    size_t body;
    while (frames_request(fd, &f, &stream, &body) && frames_answer(fd, stream, "ok"))
        ;
}

/* Begins, and reads the first request; returns its stream, or 0. */
static uint32_t first_request(int fd)
{
    frame f;
    uint32_t stream;
    size_t body;
    return frames_begin(fd, NULL, 0) && frames_request(fd, &f, &stream, &body) ? stream : 0;
}

/* Sends the head of an answer to the first request, too. */
static uint32_t begin_answer(int fd)
{
    uint32_t stream = first_request(fd);
    bool sent =
        stream && frames_send(fd, FRAME_HEADERS, FRAME_END_HEADERS, stream, BYTES(STATUS_200));
    return sent ? stream : 0;
}

static void serve_well(int fd, int number, void *arg)
{
    (void)number, (void)arg;
    if (frames_begin(fd, NULL, 0))
        serve_on(fd);
}

/* What a server sends to a request, given once; then it waits for the end. */
typedef struct script {
    const char *what;
    const void *bytes;
    size_t len;
    opf_failure failure;
    const char *detail;
} script;

/* The bytes of a frame: length below 256, type, flags, stream below 256. */
#define FRAME(len, type, flags, stream) "\0\0" len type flags "\0\0\0" stream
#define HEADERS(len) FRAME(len, "\x01", "\x04", "\x01")
#define ANSWER HEADERS("\x01") STATUS_200

static void serve_script(int fd, int number, void *arg)
{
    const script *s = arg;
    uint32_t stream = first_request(fd);
    (void)number;
    if (stream && send(fd, s->bytes, s->len, MSG_NOSIGNAL) == (ssize_t)s->len)
        peer_wait_closed(fd);
}

/* Tests */

TEST(requests_share_a_connection)
{
    client c;
    call calls[N] = {0};
    CHECK(client_init(&c, serve_well, NULL));
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < N; i++)
            CHECK_EQ_INT(submit(&c, &calls[i], i % 2 ? "POST" : "GET", "body", i % 2 ? 4 : 0), 0);
        for (int i = 0; i < N; i++) {
            CHECK(call_drive(c.engine, &calls[i].done, 1));
            check_body(&calls[i], "ok");
            const opf_result *result = result_of(&calls[i]);
            CHECK(result->start_ns && result->start_ns <= result->sent_ns);
            CHECK(result->sent_ns <= result->end_ns && result->end_ns <= result->seen_ns);
            CHECK(round == 0 || result->carried >= N);
        }
    }
    CHECK_EQ_INT(peer_count(c.server), 1);
    CHECK_EQ_INT(open_connections(&c), 1);
    end(&c, calls, N);
}

TEST(streams_spread_over_the_connections)
{
    client c;
    call calls[N] = {0};
    CHECK(client_init_with(&c, serve_well, NULL, (opf_pool_options){.http2_connections = 3}));
    for (int round = 0; round < 2; round++) {
        submit_all(&c, calls, N);
        for (int i = 0; i < N; i++) {
            CHECK(call_drive(c.engine, &calls[i].done, 1));
            check_body(&calls[i], "ok");
        }
    }
    CHECK_EQ_INT(peer_count(c.server), 3);
    end(&c, calls, N);
}

/* Answers a request, and on its first connection two more, in one piece. */
static void serve_a_pair(int fd, int number, void *arg)
{
    frame f;
    uint32_t stream = first_request(fd);
    size_t body;
    (void)arg;
    if (!stream || !frames_answer(fd, stream, "ok"))
        return;
    static const char pair[] = FRAME("\x01", "\x01", "\x05", "\x03")
        STATUS_200 FRAME("\x01", "\x01", "\x05", "\x05") STATUS_200;
    if (number == 0 && frames_request(fd, &f, &stream, &body) &&
        frames_request(fd, &f, &stream, &body))
        send(fd, BYTES(pair), MSG_NOSIGNAL);
    peer_wait_closed(fd);
}

/* What is sent then goes in one piece, and no connection gets more than it had. */
TEST(requests_take_the_places_of_those_that_have_just_ended)
{
    client c;
    call first[2] = {0}, calls[4] = {0}, next[3] = {0};
    CHECK(client_init_with(&c, serve_a_pair, NULL, (opf_pool_options){.http2_connections = 2}));
    submit_all(&c, first, 2);
    for (int i = 0; i < 2; i++)
        CHECK(call_drive(c.engine, &first[i].done, 1));
    submit_all(&c, calls, 4);
    CHECK(calls[0].exchange->conn != calls[1].exchange->conn);
    const opf_conn *conns[2] = {calls[0].exchange->conn, calls[1].exchange->conn};
    opf_engine_hold(c.engine); /* what is asked between two polls belongs to the one before */
    uint64_t until = opf_clock_mono() + DRIVE_NS_MAX;
    while (!calls[0].done && !calls[1].done && opf_clock_mono() < until)
        CHECK(opf_engine_poll(c.engine, 100) >= 0);
    int which = calls[1].done;
    CHECK(calls[which].done && calls[which + 2].done);
    submit_all(&c, next, 3);
    CHECK(next[0].exchange->conn == conns[which]);
    CHECK(next[1].exchange->conn == conns[which]);
    CHECK(next[2].exchange->conn == conns[!which] || next[2].exchange->conn == conns[which]);
    opf_engine_flush(c.engine);
    for (int i = 0; i < 2; i++)
        opf_exchange_free(first[i].exchange);
    for (int i = 0; i < 3; i++)
        opf_exchange_free(next[i].exchange);
    end(&c, calls, 4);
}

/* Allows one stream at a time. */
static void serve_one_at_a_time(int fd, int number, void *arg)
{
    (void)number, (void)arg;
    if (!frames_begin(fd, BYTES("\0\3\0\0\0\1")))
        return;
    frame f;
    uint32_t stream;
    size_t body;
    while (frames_request(fd, &f, &stream, &body)) {
        struct pollfd more = {.fd = fd, .events = POLLIN};
        usleep(10000);
        /* nothing but acknowledgements may come while one is under way */
        while (poll(&more, 1, 0) == 1 && frames_read(fd, &f))
            if (f.type == FRAME_HEADERS)
                return;
        if (!frames_answer(fd, stream, "ok"))
            return;
    }
}

TEST(streams_over_the_servers_limit_wait_in_the_queue)
{
    client c;
    call first = {0}, calls[N] = {0};
    CHECK(client_init(&c, serve_one_at_a_time, NULL));
    CHECK_EQ_INT(fetch(&c, &first), OPF_FAIL_NONE); /* its settings are there */
    submit_all(&c, calls, N);
    for (int i = 0; i < N; i++) {
        CHECK(call_drive(c.engine, &calls[i].done, 1));
        check_body(&calls[i], "ok");
        const opf_result *result = result_of(&calls[i]);
        CHECK((result->queue_ns > 0) == (i > 0));
        /* the last one has waited for all others */
        CHECK(result->end_ns - result->start_ns < result->queue_ns || i < N - 1);
    }
    CHECK_EQ_INT(peer_count(c.server), 1);
    opf_exchange_free(first.exchange);
    end(&c, calls, N);
}

/* Takes no streams until *arg says so. */
static void serve_no_streams(int fd, int number, void *arg)
{
    frame f;
    const bool *opens = arg;
    (void)number;
    if (!frames_begin(fd, BYTES("\0\3\0\0\0\0")) || !frames_await(fd, FRAME_SETTINGS, &f))
        return;
    while (frames_read(fd, &f) && f.type != FRAME_HEADERS)
        ;
    frames_send_number(fd, FRAME_RST_STREAM, f.stream, CODE_REFUSED);
    usleep(20000);
    if (*opens && frames_send(fd, FRAME_SETTINGS, 0, 0, BYTES("\0\3\0\0\0\1")))
        serve_on(fd);
    else
        peer_wait_closed(fd);
}

TEST(a_server_that_takes_no_streams_is_waited_for_until_the_time_out)
{
    for (int opens = 0; opens < 2; opens++) {
        client c;
        call calls[3] = {0};
        bool arg = opens;
        opf_pool_options options = {.timeouts = {.network_ns = 3 * SHORTLY}};
        CHECK(client_init_with(&c, serve_no_streams, &arg, options));
        submit_all(&c, calls, 3);
        for (int i = 0; i < 3; i++) {
            CHECK(call_drive(c.engine, &calls[i].done, 1));
            opf_failure failure = result_of(&calls[i])->failure;
            if (i == 0 || opens)
                CHECK_EQ_INT(failure, opens ? OPF_FAIL_NONE : OPF_FAIL_WRITE_TIMEOUT);
        }
        end(&c, calls, 3);
    }
}

/* Takes one stream at a time at first, and then two, of which it answers the second first. */
static void serve_more_later(int fd, int number, void *arg)
{
    frame f;
    uint32_t stream, other;
    size_t body;
    (void)number, (void)arg;
    if (frames_begin(fd, BYTES("\0\3\0\0\0\1")) && frames_request(fd, &f, &stream, &body) &&
        frames_answer(fd, stream, "one") && frames_request(fd, &f, &stream, &body) &&
        frames_send(fd, FRAME_SETTINGS, 0, 0, BYTES("\0\3\0\0\0\2")) &&
        frames_request(fd, &f, &other, &body) && frames_answer(fd, other, "three") &&
        frames_answer(fd, stream, "two"))
        serve_on(fd);
}

TEST(settings_may_change)
{
    client c;
    call calls[3] = {0};
    CHECK(client_init(&c, serve_more_later, NULL));
    CHECK_EQ_INT(fetch(&c, &calls[0]), OPF_FAIL_NONE);
    CHECK_EQ_INT(submit(&c, &calls[1], "GET", NULL, 0), 0);
    CHECK_EQ_INT(submit(&c, &calls[2], "GET", NULL, 0), 0);
    for (int i = 1; i < 3; i++)
        CHECK(call_drive(c.engine, &calls[i].done, 1));
    check_body(&calls[0], "one");
    check_body(&calls[1], "two");
    check_body(&calls[2], "three");
    end(&c, calls, 3);
}

/* Going away */

/* On its first connection it goes away without having looked at the request. */
static void serve_after_going_away(int fd, int number, void *arg)
{
    frame f;
    uint32_t stream;
    size_t body;
    const uint32_t *code = arg;
    if (!frames_begin(fd, NULL, 0))
        return;
    if (number)
        serve_on(fd);
    else if (frames_request(fd, &f, &stream, &body) && frames_go_away(fd, 0, *code))
        peer_wait_closed(fd);
}

TEST(requests_above_the_last_stream_of_a_goaway_are_sent_again)
{
    uint32_t codes[] = {CODE_NO_ERROR, CODE_PROTOCOL};
    for (int i = 0; i < 2; i++) {
        client c;
        call one = {0};
        CHECK(client_init(&c, serve_after_going_away, &codes[i]));
        CHECK_EQ_INT(fetch(&c, &one), OPF_FAIL_NONE);
        check_body(&one, "ok");
        CHECK_EQ_INT(result_of(&one)->resent, 1);
        CHECK_EQ_INT(peer_count(c.server), 2);
        CHECK_EQ_INT(open_connections(&c), 1);
        end(&c, &one, 1);
    }
}

static void serve_going_away(int fd, int number, void *arg)
{
    uint32_t stream = first_request(fd);
    (void)number, (void)arg;
    if (stream && frames_go_away(fd, 0, CODE_NO_ERROR))
        peer_wait_closed(fd);
}

TEST(a_request_is_sent_again_but_once)
{
    client c;
    call one = {0};
    CHECK(client_init(&c, serve_going_away, NULL));
    CHECK_EQ_INT(fetch(&c, &one), OPF_FAIL_GOAWAY);
    CHECK_STR(result_of(&one)->detail, "NO_ERROR");
    CHECK_EQ_INT(result_of(&one)->resent, 1);
    CHECK_EQ_INT(peer_count(c.server), 2);
    end(&c, &one, 1);
}

/* Goes away with a request under way, which it answers. */
static void serve_last_request(int fd, int number, void *arg)
{
    uint32_t stream = first_request(fd);
    (void)number, (void)arg;
    if (stream && frames_go_away(fd, stream, CODE_NO_ERROR) && usleep(20000) == 0 &&
        frames_answer(fd, stream, "ok"))
        peer_wait_closed(fd);
}

TEST(requests_below_the_last_stream_of_a_goaway_are_answered)
{
    client c;
    call calls[3] = {0};
    CHECK(client_init(&c, serve_last_request, NULL));
    for (int i = 0; i < 3; i++) {
        CHECK_EQ_INT(fetch(&c, &calls[i]), OPF_FAIL_NONE);
        check_body(&calls[i], "ok");
        CHECK_EQ_INT(result_of(&calls[i])->resent, 0);
    }
    CHECK_EQ_INT(peer_count(c.server), 3);
    call_idle(c.engine);
    CHECK_EQ_INT(open_connections(&c), 0);
    end(&c, calls, 3);
}

/* Refuses the first *arg streams, then answers. */
static void serve_refusing(int fd, int number, void *arg)
{
    frame f;
    uint32_t stream;
    size_t body;
    int *left = arg;
    (void)number;
    if (!frames_begin(fd, NULL, 0))
        return;
    while (frames_request(fd, &f, &stream, &body))
        if (!((*left)-- > 0 ? frames_send_number(fd, FRAME_RST_STREAM, stream, CODE_REFUSED)
                            : frames_answer(fd, stream, "ok")))
            return;
}

TEST(refused_streams_are_sent_again_once)
{
    for (int refusals = 1; refusals <= 2; refusals++) {
        client c;
        call one = {0};
        int left = refusals;
        CHECK(client_init(&c, serve_refusing, &left));
        int failure = fetch(&c, &one);
        CHECK_EQ_INT(failure, refusals == 1 ? OPF_FAIL_NONE : OPF_FAIL_STREAM_RESET);
        if (refusals == 2)
            CHECK_STR(result_of(&one)->detail, "REFUSED_STREAM");
        CHECK_EQ_INT(result_of(&one)->resent, 1);
        CHECK_EQ_INT(fetch(&c, &one), OPF_FAIL_NONE);
        CHECK_EQ_INT(peer_count(c.server), 1);
        end(&c, &one, 1);
    }
}

/* Frames that end a request */

static const script hostile[] = {
#define RST(code) FRAME("\4", "\3", "\0", "\1") "\0\0\0" code
    {"reset: no error", BYTES(RST("\0")), OPF_FAIL_STREAM_RESET, "NO_ERROR"},
    {"reset: protocol", BYTES(RST("\1")), OPF_FAIL_STREAM_RESET, "PROTOCOL_ERROR"},
    {"reset: internal", BYTES(RST("\2")), OPF_FAIL_STREAM_RESET, "INTERNAL_ERROR"},
    {"reset: flow control", BYTES(RST("\3")), OPF_FAIL_STREAM_RESET, "FLOW_CONTROL_ERROR"},
    {"reset: settings", BYTES(RST("\4")), OPF_FAIL_STREAM_RESET, "SETTINGS_TIMEOUT"},
    {"reset: closed", BYTES(RST("\5")), OPF_FAIL_STREAM_RESET, "STREAM_CLOSED"},
    {"reset: frame size", BYTES(RST("\6")), OPF_FAIL_STREAM_RESET, "FRAME_SIZE_ERROR"},
    {"reset: cancel", BYTES(RST("\x08")), OPF_FAIL_STREAM_RESET, "CANCEL"},
    {"reset: compression", BYTES(RST("\x09")), OPF_FAIL_STREAM_RESET, "COMPRESSION_ERROR"},
    {"reset: connect", BYTES(RST("\x0a")), OPF_FAIL_STREAM_RESET, "CONNECT_ERROR"},
    {"reset: calm", BYTES(RST("\x0b")), OPF_FAIL_STREAM_RESET, "ENHANCE_YOUR_CALM"},
    {"reset: security", BYTES(RST("\x0c")), OPF_FAIL_STREAM_RESET, "INADEQUATE_SECURITY"},
    {"reset: HTTP/1.1", BYTES(RST("\x0d")), OPF_FAIL_STREAM_RESET, "HTTP_1_1_REQUIRED"},
    {"reset: unknown", BYTES(RST("\xee")), OPF_FAIL_STREAM_RESET, "an unknown error code"},
    {"reset within the body", BYTES(ANSWER RST("\2")), OPF_FAIL_STREAM_RESET, "INTERNAL_ERROR"},
    {"going away with an error, then nothing",
     BYTES(FRAME("\x08", "\7", "\0", "\0") "\0\0\0\1\0\0\0\x0b"), OPF_FAIL_READ_TIMEOUT, NULL},
    {"data before headers", BYTES(FRAME("\2", "\0", "\1", "\1") "ok"), OPF_FAIL_PROTOCOL,
     "HTTP/2: a frame that breaks the protocol"},
    {"data of no stream", BYTES(FRAME("\2", "\0", "\1", "\0") "ok"), OPF_FAIL_PROTOCOL,
     "HTTP/2: a frame that breaks the protocol"},
    {"data of a stream that nobody began", BYTES(FRAME("\2", "\0", "\1", "\7") "ok"),
     OPF_FAIL_PROTOCOL, "HTTP/2: a frame that breaks the protocol"},
    {"headers of a stream that nobody began", BYTES(FRAME("\1", "\1", "\5", "\7") STATUS_200),
     OPF_FAIL_PROTOCOL, "HTTP/2: a frame that breaks the protocol"},
    {"headers that can't be decompressed", BYTES(HEADERS("\2") "\xff\xff"), OPF_FAIL_PROTOCOL,
     "HTTP/2: headers that can't be decompressed"},
    {"an index that there is not", BYTES(HEADERS("\1") "\xfe"), OPF_FAIL_PROTOCOL,
     "HTTP/2: headers that can't be decompressed"},
    {"no status", BYTES(FRAME("\5", "\1", "\5", "\1") "\0\1a\1b"), OPF_FAIL_PROTOCOL,
     "HTTP/2: a malformed response"},
    {"an empty head", BYTES(FRAME("\0", "\1", "\5", "\1")), OPF_FAIL_PROTOCOL,
     "HTTP/2: a malformed response"},
    {"a status that is none", BYTES(HEADERS("\x0c") "\0\7:status\2ab"), OPF_FAIL_PROTOCOL,
     "HTTP/2: an invalid header field"},
    {"two statuses", BYTES(HEADERS("\2") STATUS_200 STATUS_200), OPF_FAIL_PROTOCOL,
     "HTTP/2: an invalid header field"},
    {"a name in upper case", BYTES(HEADERS("\6") STATUS_200 "\0\1A\1b"), OPF_FAIL_PROTOCOL,
     "HTTP/2: an invalid header field"},
    {"a line break in a value", BYTES(HEADERS("\6") STATUS_200 "\0\1a\1\n"), OPF_FAIL_PROTOCOL,
     "HTTP/2: an invalid header field"},
    {"Connection",
     BYTES(HEADERS("\x13") STATUS_200 "\0\x0a"
                                      "connection\5close"),
     OPF_FAIL_PROTOCOL, "HTTP/2: an invalid header field"},
    {"more body than Content-Length",
     BYTES(HEADERS("\x13") STATUS_200 "\0\x0e"
                                      "content-length\1"
                                      "1" FRAME("\2", "\0", "\1", "\1") "ok"),
     OPF_FAIL_PROTOCOL, "HTTP/2: a body of another length than it said"},
    {"less body than Content-Length",
     BYTES(HEADERS("\x13") STATUS_200 "\0\x0e"
                                      "content-length\1"
                                      "3" FRAME("\2", "\0", "\1", "\1") "ok"),
     OPF_FAIL_PROTOCOL, "HTTP/2: a body of another length than it said"},
    {"a window of nothing more", BYTES(FRAME("\4", "\x08", "\0", "\0") "\0\0\0\0"),
     OPF_FAIL_PROTOCOL, "HTTP/2: a frame that breaks the protocol"},
    {"a window that overflows", BYTES(FRAME("\4", "\x08", "\0", "\0") "\x7f\xff\xff\xff"),
     OPF_FAIL_PROTOCOL, "HTTP/2: more data than its window allows"},
    {"a push", BYTES(FRAME("\5", "\5", "\4", "\1") "\0\0\0\2\x82"), OPF_FAIL_PROTOCOL,
     "HTTP/2: a push that was refused"},
    {"settings of a wrong size", BYTES(FRAME("\5", "\4", "\0", "\0") "\0\3\0\0\0"),
     OPF_FAIL_PROTOCOL, "HTTP/2: a frame of a wrong size"},
    {"a ping of a wrong size", BYTES(FRAME("\1", "\6", "\0", "\0") "x"), OPF_FAIL_PROTOCOL,
     "HTTP/2: a frame of a wrong size"},
    {"a frame larger than we take", BYTES("\xff\xff\xff\0\0\0\0\0\1"), OPF_FAIL_PROTOCOL,
     "HTTP/2: a frame of a wrong size"},
    {"a frame within headers",
     BYTES(FRAME("\1", "\1", "\0", "\1") STATUS_200 FRAME("\x08", "\6", "\0", "\0") "12345678"),
     OPF_FAIL_PROTOCOL, "HTTP/2: a frame that breaks the protocol"},
    {"a continuation of nothing", BYTES(FRAME("\1", "\x09", "\4", "\1") STATUS_200),
     OPF_FAIL_PROTOCOL, "HTTP/2: a frame that breaks the protocol"},
    {"headers only in part", BYTES(FRAME("\1", "\1", "\0", "\1") STATUS_200), OPF_FAIL_READ_TIMEOUT,
     NULL},
    {"a frame only in part", BYTES(ANSWER "\0\0\2\0"), OPF_FAIL_READ_TIMEOUT, NULL},
};

TEST(each_bad_frame_has_its_failure)
{
    for (size_t i = 0; i < sizeof(hostile) / sizeof(*hostile); i++) {
        const script *s = &hostile[i];
        client c;
        call one = {0};
        opf_pool_options options = {.timeouts = {.network_ns = 2 * OPF_NS_PER_S}};
        if (s->failure == OPF_FAIL_READ_TIMEOUT)
            options.timeouts.network_ns = SHORTLY;
        CHECK(client_init_with(&c, serve_script, (void *)(uintptr_t)s, options));
        int failure = fetch(&c, &one);
        const char *detail = failure < 0 ? NULL : result_of(&one)->detail;
        if (failure != (int)s->failure ||
            (detail != s->detail && (!detail || !s->detail || strcmp(detail, s->detail) != 0)))
            OPF_TEST_FAIL("%s: failure %d, \"%s\"", s->what, failure, detail ? detail : "");
        end(&c, &one, 1);
    }
}

/* Answers in HTTP/1.1. */
static void serve_http1(int fd, int number, void *arg)
{
    char request[4096];
    (void)number;
    if (recv(fd, request, sizeof(request), 0) > 0 && peer_send(fd, arg))
        peer_wait_closed(fd);
}

static void serve_nothing(int fd, int number, void *arg)
{
    char request[4096];
    (void)number, (void)arg;
    recv(fd, request, sizeof(request), 0);
}

TEST(a_server_without_http2_is_told_at_once)
{
    client c;
    call calls[3] = {0};
    CHECK(client_init(&c, serve_http1, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"));
    submit_all(&c, calls, 3);
    for (int i = 0; i < 3; i++) {
        CHECK(call_drive(c.engine, &calls[i].done, 1));
        CHECK_EQ_INT(result_of(&calls[i])->failure, OPF_FAIL_NO_HTTP2);
        CHECK_STR(result_of(&calls[i])->detail, "it answered in HTTP/1");
    }
    end(&c, calls, 3);
    call one = {0};
    CHECK(client_init(&c, serve_http1, "SSH-2.0-OpenSSH_9.2p1\r\n"));
    CHECK_EQ_INT(fetch(&c, &one), OPF_FAIL_NO_HTTP2);
    CHECK_STR(result_of(&one)->detail, "it did not begin with SETTINGS");
    end(&c, &one, 1);
    one = (call){0};
    CHECK(client_init(&c, serve_nothing, NULL));
    CHECK_EQ_INT(fetch(&c, &one), OPF_FAIL_NO_HTTP2);
    CHECK_STR(result_of(&one)->detail, "it closed the connection at once");
    end(&c, &one, 1);
}

/* Says what the script has and closes. */
static void serve_and_close(int fd, int number, void *arg)
{
    const script *s = arg;
    uint32_t stream = first_request(fd);
    (void)number;
    if (stream && s->len)
        send(fd, s->bytes, s->len, MSG_NOSIGNAL);
}

TEST(a_connection_that_closes_fails_its_requests)
{
    static const script scripts[] = {
        {"nothing", "", 0, OPF_FAIL_CLOSED, NULL},
        {"a head", BYTES(ANSWER), OPF_FAIL_CLOSED_BODY, NULL},
        {"part of the body", BYTES(ANSWER FRAME("\2", "\0", "\0", "\1") "ok"), OPF_FAIL_CLOSED_BODY,
         NULL},
        {"an error", BYTES(FRAME("\x08", "\7", "\0", "\0") "\0\0\0\1\0\0\0\x0b"), OPF_FAIL_GOAWAY,
         "ENHANCE_YOUR_CALM"},
    };
    for (size_t i = 0; i < sizeof(scripts) / sizeof(*scripts); i++) {
        client c;
        call one = {0};
        CHECK(client_init(&c, serve_and_close, (void *)(uintptr_t)&scripts[i]));
        CHECK_EQ_INT(fetch(&c, &one), scripts[i].failure);
        CHECK_STR(result_of(&one)->detail, scripts[i].detail);
        CHECK_EQ_INT(open_connections(&c), 0);
        end(&c, &one, 1);
    }
}

#if !BY_TLS /* whose relay ends a connection in order */
static void serve_reset(int fd, int number, void *arg)
{
    (void)number, (void)arg;
    if (first_request(fd))
        peer_reset(fd);
}

TEST(a_connection_that_breaks_fails_its_requests)
{
    client c;
    call one = {0};
    CHECK(client_init(&c, serve_reset, NULL));
    CHECK_EQ_INT(fetch(&c, &one), OPF_FAIL_RESET);
    CHECK_EQ_INT(result_of(&one)->phase, OPF_PHASE_WAIT);
    CHECK(result_of(&one)->err);
    end(&c, &one, 1);
}
#endif

/* Heads */

/* Sends a head of *arg bytes or more in continuations that never end. */
static void serve_endless_head(int fd, int number, void *arg)
{
    static char field[] = "\0\1a\x7f\x81\x01................................................"
                          "................................................................"
                          "................................................................"
                          "................................................................"
                          "................................................................";
    uint32_t stream = first_request(fd);
    (void)number, (void)arg;
    if (!stream || !frames_send(fd, FRAME_HEADERS, 0, stream, BYTES(STATUS_200)))
        return;
    while (frames_send(fd, FRAME_CONTINUATION, 0, stream, field, 6 + 256))
        ;
}

TEST(a_head_without_end_fails)
{
    client c;
    call one = {0};
    CHECK(client_init(&c, serve_endless_head, NULL));
    int failure = fetch(&c, &one);
    /* which limit is the first depends on nghttp2's version: that of their number, or ours */
    if (failure == OPF_FAIL_PROTOCOL)
        CHECK_STR(result_of(&one)->detail, "HTTP/2: a flood of CONTINUATION frames");
    else
        CHECK_EQ_INT(failure, OPF_FAIL_HEADERS_SIZE);
    end(&c, &one, 1);
}

/* Answers with 40 fields of 100 bytes, in one frame. */
static void serve_large_head(int fd, int number, void *arg)
{
    frame f;
    uint32_t stream;
    size_t body;
    char head[8192] = STATUS_200;
    size_t len = 1;
    (void)number, (void)arg;
    for (int i = 0; i < 40; i++) {
        memcpy(head + len, "\0\1a\x63", 4);
        memset(head + len + 4, 'b', 99);
        len += 103;
    }
    if (!frames_begin(fd, NULL, 0))
        return;
    while (frames_request(fd, &f, &stream, &body) &&
           frames_send(fd, FRAME_HEADERS, FRAME_END_HEADERS | FRAME_END_STREAM, stream, head, len))
        ;
}

TEST(a_head_over_the_limit_fails_and_the_connection_goes_on)
{
    client c;
    call one = {0};
    CHECK(client_init_with(&c, serve_large_head, NULL, (opf_pool_options){.max_headers = 3999}));
    CHECK_EQ_INT(fetch(&c, &one), OPF_FAIL_HEADERS_SIZE);
    CHECK_EQ_INT(fetch(&c, &one), OPF_FAIL_HEADERS_SIZE);
    CHECK_EQ_INT(peer_count(c.server), 1);
    end(&c, &one, 1);
    one = (call){0};
    CHECK(client_init_with(&c, serve_large_head, NULL, (opf_pool_options){.max_headers = 4100}));
    CHECK_EQ_INT(fetch(&c, &one), OPF_FAIL_NONE);
    CHECK_EQ_INT(result_of(&one)->n_fields, 40);
    end(&c, &one, 1);
}

/* Answers one request with a head that is too large and many small pieces of a body, as if they had
 * been under way when the client gave up, and then another. */
static void serve_small_pieces(int fd, int number, void *arg)
{
    enum { PIECES = 20000, PIECE = 16 }; /* less than the window */
    static uint8_t pieces[PIECES][9 + PIECE];
    frame f;
    uint32_t stream, other;
    size_t body;
    char head[7 + 4000] = STATUS_200 "\0\1a\x7f\xa1\x1e"; /* a field of 4,000 bytes */
    (void)number, (void)arg;
    memset(head + 7, 'b', 4000);
    if (!frames_begin(fd, NULL, 0) || !frames_request(fd, &f, &stream, &body) ||
        !frames_request(fd, &f, &other, &body) ||
        !frames_send(fd, FRAME_HEADERS, FRAME_END_HEADERS, stream, head, sizeof(head)))
        return;
    for (int i = 0; i < PIECES; i++) {
        pieces[i][2] = PIECE;
        pieces[i][8] = (uint8_t)stream;
    }
    const uint8_t *at = pieces[0], *end = at + sizeof(pieces);
    for (ssize_t n; at < end; at += n)
        if ((n = send(fd, at, (size_t)(end - at), MSG_NOSIGNAL)) <= 0)
            return;
    if (frames_answer(fd, other, "ok"))
        peer_wait_closed(fd);
}

TEST(what_was_under_way_on_a_stream_that_has_failed_is_no_flood)
{
    client c;
    call calls[2] = {0};
    CHECK(client_init_with(&c, serve_small_pieces, NULL, (opf_pool_options){.max_headers = 3000}));
    submit_all(&c, calls, 2);
    for (int i = 0; i < 2; i++)
        CHECK(call_drive(c.engine, &calls[i].done, 1));
    CHECK_EQ_INT(result_of(&calls[0])->failure, OPF_FAIL_HEADERS_SIZE);
    check_body(&calls[1], "ok");
    CHECK_EQ_INT(peer_count(c.server), 1);
    end(&c, calls, 2);
}

static const script interim = {
    "interim",
    BYTES(HEADERS("\x13") "\x08\3"
                          "103"
                          "\0\4link\7"
                          "</a>; b" ANSWER FRAME("\2", "\0", "\0", "\1") "ok" FRAME(
                              "\x0f", "\1", "\5", "\1") "\0\x0b"
                                                        "grpc-status\1"
                                                        "0"),
    OPF_FAIL_NONE, NULL};

TEST(interim_responses_are_passed_over_and_trailers_kept)
{
    client c;
    call one = {0};
    CHECK(client_init(&c, serve_script, (void *)(uintptr_t)&interim));
    CHECK_EQ_INT(fetch(&c, &one), OPF_FAIL_NONE);
    check_body(&one, "ok");
    const opf_result *result = result_of(&one);
    CHECK_EQ_INT(result->n_fields, 0);
    CHECK_EQ_INT(result->n_trailers, 1);
    CHECK(has_field(result, 0, "grpc-status", "0"));
    end(&c, &one, 1);
}

/* Bodies */

static void serve_body(int fd, int number, void *arg)
{
    frame f;
    uint32_t stream = begin_answer(fd);
    size_t len = *(const size_t *)arg;
    static const char data[16384];
    uint64_t window = 16 * MIB, stream_window = MIB; /* as our client has set them by then */
    (void)number;
    while (stream && len) {
        size_t n = len < sizeof(data) ? len : sizeof(data);
        while (n > window || n > stream_window) {
            if (!frames_await(fd, FRAME_WINDOW_UPDATE, &f))
                return;
            uint32_t more = (uint32_t)f.data[0] << 24 | (uint32_t)f.data[1] << 16 |
                            (uint32_t)f.data[2] << 8 | f.data[3];
            *(f.stream ? &stream_window : &window) += more;
        }
        len -= n;
        window -= n;
        stream_window -= n;
        if (!frames_send(fd, FRAME_DATA, len ? 0 : FRAME_END_STREAM, stream, data, n))
            return;
    }
    peer_wait_closed(fd);
}

TEST(large_bodies_come_as_windows_open)
{
    client c;
    call one = {0};
    size_t len = 5 * MIB + 1;
    CHECK(client_init(&c, serve_body, &len));
    CHECK_EQ_INT(fetch(&c, &one), OPF_FAIL_NONE);
    CHECK_EQ_INT(result_of(&one)->body_len, len);
    end(&c, &one, 1);
}

TEST(a_body_over_the_limit_fails)
{
    client c;
    call one = {0};
    size_t len = 100000;
    CHECK(client_init_with(&c, serve_body, &len, (opf_pool_options){.max_body = len - 1}));
    CHECK_EQ_INT(fetch(&c, &one), OPF_FAIL_BODY_SIZE);
    end(&c, &one, 1);
}

/* Counts what a request's body has. */
static void serve_upload(int fd, int number, void *arg)
{
    frame f;
    uint32_t stream;
    size_t *body = arg;
    (void)number;
    /* windows of 1,000 bytes */
    if (frames_begin(fd, BYTES("\0\4\0\0\3\xe8")) && frames_request(fd, &f, &stream, body) &&
        frames_answer(fd, stream, "ok"))
        peer_wait_closed(fd);
}

TEST(large_bodies_go_as_windows_open)
{
    client c;
    call one = {0};
    size_t came = 0, len = 300001;
    char *body = calloc(1, len);
    CHECK(client_init(&c, serve_upload, &came));
    CHECK_EQ_INT(submit(&c, &one, "POST", body, len), 0);
    CHECK(call_drive(c.engine, &one.done, 1));
    check_body(&one, "ok");
    CHECK_EQ_INT(came, len);
    end(&c, &one, 1);
    free(body);
}

/* Never opens a window. */
static void serve_no_window(int fd, int number, void *arg)
{
    (void)number, (void)arg;
    if (frames_begin(fd, BYTES("\0\4\0\0\0\0")))
        peer_wait_closed(fd);
}

TEST(a_window_that_stays_shut_is_a_write_timeout)
{
    client c;
    call one = {0};
    opf_pool_options options = {.timeouts = {.network_ns = SHORTLY}};
    CHECK(client_init_with(&c, serve_no_window, NULL, options));
    char body[100000] = {0};
    CHECK_EQ_INT(submit(&c, &one, "POST", body, sizeof(body)), 0);
    CHECK(call_drive(c.engine, &one.done, 1));
    CHECK_EQ_INT(result_of(&one)->failure, OPF_FAIL_WRITE_TIMEOUT);
    CHECK_EQ_INT(open_connections(&c), 1);
    end(&c, &one, 1);
}

/* Answers a request's head, and wants no more of its body. */
static void serve_early(int fd, int number, void *arg)
{
    frame f;
    int *cancelled = arg;
    (void)number;
    if (frames_begin(fd, NULL, 0) && frames_await(fd, FRAME_HEADERS, &f) &&
        frames_answer(fd, f.stream, "ok") && frames_await(fd, FRAME_RST_STREAM, &f)) {
        *cancelled = f.data[3];
        serve_on(fd);
    }
}

TEST(an_answer_before_the_end_of_the_body_ends_it)
{
    client c;
    call one = {0};
    int cancelled = 0;
    char *body = calloc(1, MIB);
    CHECK(client_init(&c, serve_early, &cancelled));
    CHECK_EQ_INT(submit(&c, &one, "POST", body, MIB), 0);
    CHECK(call_drive(c.engine, &one.done, 1));
    check_body(&one, "ok");
    CHECK_EQ_INT(fetch(&c, &one), OPF_FAIL_NONE);
    CHECK_EQ_INT(cancelled, CODE_CANCEL);
    CHECK_EQ_INT(peer_count(c.server), 1);
    end(&c, &one, 1);
    free(body);
}

/* Streams */

typedef struct download {
    opf_exchange *exchange;
    int told;
    int finished;
} download;

static void on_news(opf_exchange *exchange, void *arg)
{
    download *d = arg;
    const opf_result *result = opf_exchange_result(exchange);
    d->told++;
    d->finished += result->failure != OPF_FAIL_NONE || result->phase == OPF_PHASE_DONE;
}

static int begin_download(client *c, download *d, bool open_body)
{
    char text[64];
    const char *why;
    opf_url url;
    opf_request_error error;
    snprintf(text, sizeof(text), "%s://127.0.0.1:%u/", BY_TLS ? "https" : "http", c->port);
    if (opf_url_parse(text, strlen(text), &url, &why) != 0)
        return OPF_EINVAL;
    if (!d->exchange)
        d->exchange = opf_exchange_new(c->engine);
    opf_request request = {.url = &url,
                           .method = open_body ? "POST" : "GET",
                           .method_len = open_body ? 4 : 3,
                           .open_body = open_body,
                           .stream = !open_body};
    return opf_exchange_submit(d->exchange, c->pool, &request, on_news, d, &error);
}

/* Reads the body, which is to have `len` bytes. */
static void read_to_end(client *c, download *d, size_t len)
{
    static char room[100000];
    size_t read = 0;
    while (!d->finished || opf_exchange_held(d->exchange)) {
        size_t n = opf_exchange_read(d->exchange, room, sizeof(room));
        read += n;
        if (!n)
            CHECK(opf_engine_poll(c->engine, 1000) >= 0);
    }
    CHECK_EQ_INT(opf_exchange_result(d->exchange)->failure, OPF_FAIL_NONE);
    CHECK_EQ_INT(read, len);
}

static void end_download(client *c, const download *d)
{
    opf_exchange_free(d->exchange);
    client_fini(c);
}

TEST(a_stream_that_nobody_reads_is_held_by_its_window)
{
    client c;
    download d = {0};
    size_t len = 5 * MIB;
    CHECK(client_init_with(&c, serve_body, &len,
                           (opf_pool_options){.timeouts = {.network_ns = SHORTLY}}));
    CHECK_EQ_INT(begin_download(&c, &d, false), 0);
    CHECK(call_drive(c.engine, &d.told, 1));
    call_idle(c.engine);
    size_t held = opf_exchange_held(d.exchange);
    CHECK(held > MIB / 2 && held <= MIB);
    usleep(2 * SHORTLY / 1000);
    call_idle(c.engine);
    CHECK_EQ_INT(d.finished, 0); /* that it waits is not the server's fault */
    read_to_end(&c, &d, len);
    CHECK(opf_exchange_result(d.exchange)->head_ns);
    end_download(&c, &d);
}

TEST(a_forked_child_does_not_open_the_window)
{
    client c;
    download d = {0};
    size_t len = 3 * MIB;
    static char room[1000];
    int status;
    CHECK(client_init(&c, serve_body, &len));
    CHECK_EQ_INT(begin_download(&c, &d, false), 0);
    CHECK(call_drive(c.engine, &d.told, 1));
    call_idle(c.engine);
    pid_t pid = fork();
    if (pid == 0) {
        opf_engine_forked(c.engine);
        while (opf_exchange_read(d.exchange, room, sizeof(room)))
            ;
        _exit(0);
    }
    CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
    call_idle(c.engine);
    read_to_end(&c, &d, len);
    end_download(&c, &d);
}

/* Sends more than the window, and again. */
static void serve_over_window(int fd, int number, void *arg)
{
    uint32_t stream = begin_answer(fd);
    static const char data[16384];
    (void)number, (void)arg;
    while (stream && frames_send(fd, FRAME_DATA, 0, stream, data, sizeof(data)))
        ;
}

TEST(more_data_than_the_window_allows_fails)
{
    client c;
    download d = {0};
    CHECK(client_init(&c, serve_over_window, NULL));
    CHECK_EQ_INT(begin_download(&c, &d, false), 0);
    CHECK(call_drive(c.engine, &d.finished, 1));
    const opf_result *result = opf_exchange_result(d.exchange);
    CHECK_EQ_INT(result->failure, OPF_FAIL_PROTOCOL);
    CHECK_STR(result->detail, "HTTP/2: more data than its window allows");
    end_download(&c, &d);
}

TEST(bodies_are_sent_while_they_are_made)
{
    client c;
    download d = {0};
    size_t came = 0, given = 0;
    static const char piece[50000];
    CHECK(client_init(&c, serve_upload, &came));
    CHECK_EQ_INT(begin_download(&c, &d, true), 0);
    for (int i = 0; i < 6; i++) {
        uint64_t until = opf_clock_mono() + DRIVE_NS_MAX;
        while (!opf_exchange_wants_body(d.exchange) && opf_clock_mono() < until)
            CHECK(opf_engine_poll(c.engine, 100) >= 0);
        size_t len = i < 5 ? sizeof(piece) / (size_t)(i + 1) : 0;
        CHECK_EQ_INT(opf_exchange_write(d.exchange, piece, len), 0);
        given += len;
    }
    CHECK(call_drive(c.engine, &d.finished, 1));
    CHECK_EQ_INT(opf_exchange_result(d.exchange)->failure, OPF_FAIL_NONE);
    CHECK_EQ_INT(came, given);
    end_download(&c, &d);
}

/* Begins its answer and goes away, as though it had not looked at the request. */
static void serve_half_and_go_away(int fd, int number, void *arg)
{
    uint32_t stream = begin_answer(fd);
    (void)number, (void)arg;
    if (stream && usleep(20000) == 0 && frames_go_away(fd, 0, CODE_NO_ERROR))
        peer_wait_closed(fd);
}

TEST(what_was_answered_in_part_is_not_sent_again)
{
    for (int streamed = 0; streamed < 2; streamed++) {
        client c;
        call one = {0};
        download d = {0};
        CHECK(client_init(&c, serve_half_and_go_away, NULL));
        if (streamed) {
            CHECK_EQ_INT(begin_download(&c, &d, false), 0);
            CHECK(call_drive(c.engine, &d.told, 1));
            CHECK_EQ_INT(opf_exchange_result(d.exchange)->status, 200);
            CHECK(call_drive(c.engine, &d.finished, 1));
        } else {
            CHECK_EQ_INT(fetch(&c, &one), OPF_FAIL_GOAWAY);
        }
        const opf_result *result = streamed ? opf_exchange_result(d.exchange) : result_of(&one);
        CHECK_EQ_INT(result->failure, OPF_FAIL_GOAWAY);
        CHECK_EQ_INT(result->status, 200);
        CHECK_EQ_INT(result->resent, 0);
        CHECK_EQ_INT(peer_count(c.server), 1);
        opf_exchange_free(d.exchange);
        end(&c, &one, 1);
    }
}

/* Answers, and sends trailers of which the end is missing. */
static void serve_half_trailers(int fd, int number, void *arg)
{
    uint32_t stream = first_request(fd);
    char fields[100 * 5];
    (void)number, (void)arg;
    for (size_t i = 0; i < sizeof(fields); i += 5)
        memcpy(fields + i, "\0\1a\1b", 5);
    if (stream &&
        frames_send(fd, FRAME_HEADERS, FRAME_END_HEADERS, stream, BYTES(STATUS_200 "\0\1x\1y")) &&
        usleep(20000) == 0 &&
        frames_send(fd, FRAME_HEADERS, FRAME_END_STREAM, stream, fields, sizeof(fields)))
        peer_wait_closed(fd);
}

TEST(a_streams_headers_stay_while_trailers_come)
{
    client c;
    download d = {0};
    CHECK(client_init(&c, serve_half_trailers, NULL));
    CHECK_EQ_INT(begin_download(&c, &d, false), 0);
    CHECK(call_drive(c.engine, &d.told, 1));
    CHECK(has_field(opf_exchange_result(d.exchange), 0, "x", "y"));
    for (int i = 0; i < 5; i++)
        CHECK(opf_engine_poll(c.engine, 50) >= 0);
    CHECK(has_field(opf_exchange_result(d.exchange), 0, "x", "y"));
    end_download(&c, &d);
}

/* One request's end is no other's */

/* Answers every second request and lets the others wait; counts those that are given up. */
static void serve_every_second(int fd, int number, void *arg)
{
    frame f;
    int n = 0, *given_up = arg;
    (void)number;
    if (!frames_begin(fd, NULL, 0))
        return;
    while (frames_read(fd, &f)) {
        if (f.type == FRAME_HEADERS && n++ % 2 && !frames_answer(fd, f.stream, "ok"))
            return;
        if (f.type == FRAME_RST_STREAM)
            ++*given_up;
    }
}

TEST(a_time_out_ends_one_stream)
{
    client c;
    call calls[N] = {0};
    int given_up = 0;
    opf_pool_options options = {.timeouts = {.network_ns = 3 * SHORTLY}};
    CHECK(client_init_with(&c, serve_every_second, &given_up, options));
    submit_all(&c, calls, N);
    for (int i = 0; i < N; i++) {
        CHECK(call_drive(c.engine, &calls[i].done, 1));
        CHECK_EQ_INT(result_of(&calls[i])->failure, i % 2 ? OPF_FAIL_NONE : OPF_FAIL_READ_TIMEOUT);
    }
    CHECK_EQ_INT(open_connections(&c), 1);
    CHECK_EQ_INT(peer_count(c.server), 1);
    end(&c, calls, N); /* the server has read all by then */
    CHECK_EQ_INT(given_up, N / 2);
}

/* Says nothing but its settings on its first connection, where it opens all windows but doesn't
 * read if *arg is set. */
static void serve_silently(int fd, int number, void *arg)
{
    const bool *deaf = arg;
    if (!frames_begin(fd, BYTES("\0\4\x7f\xff\xff\xff")))
        return;
    if (number) {
        serve_on(fd);
    } else if (*deaf && frames_send_number(fd, FRAME_WINDOW_UPDATE, 0, 0x7fff0000)) {
        struct pollfd end = {.fd = fd, .events = POLLRDHUP};
        poll(&end, 1, 20000);
    } else {
        peer_wait_closed(fd);
    }
}

TEST(a_connection_that_has_gone_silent_is_replaced)
{
    for (int deaf = 0; deaf < 2; deaf++) {
        client c;
        call one = {0};
        size_t len = 30 * MIB;
        char *body = calloc(1, len);
        bool is_deaf = deaf;
        opf_pool_options options = {.timeouts = {.network_ns = 3 * SHORTLY}};
        CHECK(client_init_with(&c, serve_silently, &is_deaf, options));
        /* the settings come behind a short first request: only the second has heard nothing */
        for (int i = deaf; i < 2; i++) {
            CHECK_EQ_INT(submit(&c, &one, "POST", body, deaf ? len : 1), 0);
            CHECK(call_drive(c.engine, &one.done, 1));
            CHECK_EQ_INT(result_of(&one)->failure,
                         deaf ? OPF_FAIL_WRITE_TIMEOUT : OPF_FAIL_READ_TIMEOUT);
        }
        CHECK_EQ_INT(open_connections(&c), 0);
        CHECK_EQ_INT(fetch(&c, &one), OPF_FAIL_NONE);
        CHECK_EQ_INT(peer_count(c.server), 2);
        end(&c, &one, 1);
        free(body);
    }
}

/* Begins a response and then sends frames of its body that hold nothing. */
static void serve_nothing_at_length(int fd, int number, void *arg)
{
    uint32_t stream = begin_answer(fd);
    (void)number, (void)arg;
    while (stream && frames_send(fd, FRAME_DATA, 0, stream, NULL, 0))
        usleep(5000);
}

TEST(frames_without_bytes_put_no_time_out_off)
{
    client c;
    call one = {0};
    opf_pool_options options = {.timeouts = {.network_ns = 5 * SHORTLY}};
    CHECK(client_init_with(&c, serve_nothing_at_length, NULL, options));
    CHECK_EQ_INT(fetch(&c, &one), OPF_FAIL_READ_TIMEOUT);
    opf_exchange_free(one.exchange);
    client_fini(&c);
}

TEST(cancelling_ends_one_stream)
{
    client c;
    call calls[N] = {0};
    int given_up = 0;
    CHECK(client_init(&c, serve_every_second, &given_up));
    submit_all(&c, calls, N);
    for (int i = 1; i < N; i += 2)
        CHECK(call_drive(c.engine, &calls[i].done, 1));
    for (int i = 0; i < N; i += 2) {
        opf_exchange_cancel(calls[i].exchange);
        CHECK_EQ_INT(result_of(&calls[i])->failure, OPF_FAIL_CANCELLED);
    }
    call_idle(c.engine);
    for (int i = 0; i < N; i++)
        CHECK_EQ_INT(calls[i].done, i % 2);
    CHECK_EQ_INT(open_connections(&c), 1);
    end(&c, calls, N); /* the server has read all by then */
    CHECK_EQ_INT(given_up, N / 2);
}

TEST(a_pool_is_freed_with_streams_under_way)
{
    client c;
    call calls[N] = {0};
    int given_up = 0;
    CHECK(client_init(&c, serve_every_second, &given_up));
    submit_all(&c, calls, N);
    CHECK(call_drive(c.engine, &calls[1].done, 1));
    opf_pool_free(c.pool);
    c.pool = NULL;
    end(&c, calls, N);
}

/* Idle connections */

/* Closes each connection behind its first answer, with a word or without. */
static void serve_once(int fd, int number, void *arg)
{
    uint32_t stream = first_request(fd);
    const bool *polite = arg;
    (void)number;
    if (stream && frames_answer(fd, stream, "ok") && *polite)
        frames_go_away(fd, stream, CODE_NO_ERROR);
}

/* Waits until the end of the one connection, which is not looked at yet, has come. */
static void await_end(const client *c)
{
    const opf_origin *origin = OPF_CONTAINER(c->pool->origins.next, opf_origin, link);
    if (opf_list_empty(&origin->shared))
        return; /* it was seen already */
    const opf_conn *conn = OPF_CONTAINER(origin->shared.next, opf_conn, link);
    struct pollfd end = {.fd = conn->stream.fd, .events = POLLRDHUP};
    poll(&end, 1, 20000);
}

TEST(a_kept_connection_that_was_closed_is_replaced)
{
    for (int polite = 0; polite < 2; polite++) {
        client c;
        call one = {0};
        bool is_polite = polite;
        CHECK(client_init(&c, serve_once, &is_polite));
        for (int i = 0; i < 3; i++) {
            CHECK_EQ_INT(fetch(&c, &one), OPF_FAIL_NONE);
            await_end(&c);
        }
        CHECK_EQ_INT(peer_count(c.server), 3);
        end(&c, &one, 1);
    }
}

/* Pings, and goes on when it is answered. */
static void serve_ping(int fd, int number, void *arg)
{
    frame f;
    uint32_t stream = first_request(fd);
    (void)number, (void)arg;
    if (stream && frames_send(fd, FRAME_PING, 0, 0, "12345678", 8) &&
        frames_await(fd, FRAME_PING, &f) && (f.flags & FRAME_ACK) &&
        memcmp(f.data, "12345678", 8) == 0 && frames_answer(fd, stream, "ok"))
        peer_wait_closed(fd);
}

TEST(pings_are_answered)
{
    client c;
    call one = {0};
    CHECK(client_init(&c, serve_ping, NULL));
    CHECK_EQ_INT(fetch(&c, &one), OPF_FAIL_NONE);
    end(&c, &one, 1);
}

TEST(a_connection_whose_stream_numbers_are_used_up_is_replaced)
{
    client c;
    call one = {0}, two = {0};
    CHECK(client_init(&c, serve_well, NULL));
    CHECK_EQ_INT(submit(&c, &one, "GET", NULL, 0), 0);
    CHECK(call_drive(c.engine, &one.done, 1));
    CHECK_EQ_INT(submit(&c, &one, "GET", NULL, 0), 0);
    struct nghttp2_session *session = one.exchange->mux_stream->mux->h2.session;
    CHECK_EQ_INT(nghttp2_session_set_next_stream_id(session, INT32_MAX), 0);
    CHECK_EQ_INT(submit(&c, &two, "GET", NULL, 0), 0);
    CHECK(call_drive(c.engine, &one.done, 1));
    CHECK(call_drive(c.engine, &two.done, 1));
    check_body(&one, "ok");
    check_body(&two, "ok");
    CHECK_EQ_INT(peer_count(c.server), 1);
    for (int i = 2; i < 4; i++) {
        CHECK_EQ_INT(fetch(&c, &one), OPF_FAIL_NONE);
        CHECK_EQ_INT(peer_count(c.server), 2);
        CHECK_EQ_INT(open_connections(&c), 1);
    }
    opf_exchange_free(one.exchange);
    opf_exchange_free(two.exchange);
    client_fini(&c);
}

TEST(idle_connections_are_closed_when_told)
{
    client c;
    call one = {0};
    CHECK(client_init(&c, serve_well, NULL));
    CHECK_EQ_INT(fetch(&c, &one), OPF_FAIL_NONE);
    opf_pool_close_idle(c.pool);
    CHECK_EQ_INT(open_connections(&c), 0);
    CHECK_EQ_INT(fetch(&c, &one), OPF_FAIL_NONE);
    CHECK_EQ_INT(peer_count(c.server), 2);
    end(&c, &one, 1);
}

TEST(connections_that_are_idle_for_long_are_closed_if_wanted)
{
    client c;
    call one = {0};
    CHECK(client_init_with(&c, serve_well, NULL, (opf_pool_options){.idle_ns = SHORTLY}));
    for (int i = 1; i < 3; i++) {
        CHECK_EQ_INT(fetch(&c, &one), OPF_FAIL_NONE);
        CHECK_EQ_INT(peer_count(c.server), i);
        uint64_t until = opf_clock_mono() + DRIVE_NS_MAX;
        while (open_connections(&c) && opf_clock_mono() < until)
            CHECK(opf_engine_poll(c.engine, 100) >= 0);
        CHECK_EQ_INT(open_connections(&c), 0);
    }
    end(&c, &one, 1);
}

/* No memory */

static void check_fault(peer *server, long n, bool *fired)
{
    client c = {.server = server, .port = peer_port(server)};
    call calls[3] = {0};
    opf_pool_options options = {.http2 = HTTP2};
    char text[64];
    int error;
    static const char body[10000];
    opf_mem_fail_after(n);
    c.engine = opf_engine_new(NULL);
    if (c.engine)
        c.pool = opf_pool_new(c.engine, &options, &error, text, sizeof(text));
    for (int i = 0; c.pool && i < 3; i++) {
        int ret = submit(&c, &calls[i], "POST", body, i ? 10 : sizeof(body));
        CHECK(ret == 0 || ret == OPF_ENOMEM);
        if (ret != 0)
            calls[i].done = 1;
    }
    for (int i = 0; c.pool && i < 3; i++) {
        CHECK(call_drive(c.engine, &calls[i].done, 1));
        opf_failure failure = calls[i].exchange ? result_of(&calls[i])->failure : OPF_FAIL_NONE;
        if (failure != OPF_FAIL_NONE && failure != OPF_FAIL_NOMEM && failure != OPF_FAIL_CONNECT)
            OPF_TEST_FAIL("failure %d: %s", (int)failure, result_of(&calls[i])->detail);
    }
    *fired = drive_fault_fired(n);
    for (int i = 0; i < 3; i++)
        opf_exchange_free(calls[i].exchange);
    opf_pool_free(c.pool);
    opf_engine_free(c.engine);
}

TEST(any_allocation_may_fail)
{
    bool fired = true;
    long n = 0;
    for (; fired && n < 1000; n++) {
        peer *server = new_server(serve_well, NULL);
        int before = opf_test_failures;
        check_fault(server, n, &fired);
        peer_free(server);
        if (opf_test_failures > before)
            OPF_TEST_FAIL("with allocation %ld", n);
    }
    CHECK(!fired && n > 20);
}

OPF_TEST_MAIN
