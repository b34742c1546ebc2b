/* Streams: responses whose bodies are read while they come. */
#include "opf_test.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "client.h"
#include "client/exchange.h"
#include "drive.h"
#include "http/url.h"
#include "opf.h"
#include "peer.h"

#define BIG (8U << 20)
#define HEAD_OF_BIG "HTTP/1.1 200 OK\r\nContent-Length: 8388608\r\n\r\n"
#define HELD_AT_MOST (512U << 10)

static void on_done(opf_exchange *exchange, void *arg)
{
    (void)exchange;
    ((call *)arg)->done++;
}

/* Submits a request whose response is streamed. */
static int ask(client *c, call *one, const char *method, const void *body, size_t body_len)
{
    char text[64];
    const char *why;
    opf_url url;
    opf_request_error error;
    snprintf(text, sizeof(text), "http://127.0.0.1:%u/", (unsigned)peer_port(c->server));
    if (opf_url_parse(text, strlen(text), &url, &why) != 0)
        return OPF_EINVAL;
    opf_request request = {.url = &url,
                           .method = method,
                           .method_len = strlen(method),
                           .body = body,
                           .body_len = body_len,
                           .stream = true};
    one->done = 0;
    if (!one->exchange)
        one->exchange = opf_exchange_new(c->engine);
    return opf_exchange_submit(one->exchange, c->pool, &request, on_done, one, &error);
}

/* Whether done is to be called yet. */
static bool goes_on(const call *one)
{
    const opf_result *result = opf_exchange_result(one->exchange);
    return result->failure == OPF_FAIL_NONE && result->phase == OPF_PHASE_BODY;
}

/* Reads up to size bytes, fewer only at the end; returns how many. */
static size_t read_whole(client *c, call *one, char *data, size_t size)
{
    size_t got = 0;
    while (got < size) {
        one->done = 0;
        size_t n = opf_exchange_read(one->exchange, data + got, size - got);
        got += n;
        if (!n && (!goes_on(one) || !call_drive(c->engine, &one->done, 1)))
            break;
    }
    return got;
}

/* Servers */

static char letter(size_t at)
{
    return (char)('a' + at * at / 7 % 26);
}

static bool send_big(int fd)
{
    static char piece[1 << 16];
    for (size_t at = 0; at < BIG; at += sizeof(piece)) {
        for (size_t i = 0; i < sizeof(piece); i++)
            piece[i] = letter(at + i);
        for (size_t sent = 0; sent < sizeof(piece);) {
            ssize_t n = send(fd, piece + sent, sizeof(piece) - sent, MSG_NOSIGNAL);
            if (n <= 0)
                return false;
            sent += (size_t)n;
        }
    }
    return true;
}

static void serve_big(int fd, int number, void *arg)
{
    char request[4096];
    (void)number, (void)arg;
    while (peer_read_request(fd, request, sizeof(request)) && peer_send(fd, HEAD_OF_BIG) &&
           send_big(fd))
        ;
}

/* Sends the text at arg for each request. */
static void serve_text(int fd, int number, void *arg)
{
    char request[4096];
    (void)number;
    while (peer_read_request(fd, request, sizeof(request)) && peer_send(fd, arg))
        ;
}

/* Sends the text at arg once, and closes, resets or stays. */
static void serve_and_close(int fd, int number, void *arg)
{
    char request[4096];
    (void)number;
    if (peer_read_request(fd, request, sizeof(request)))
        peer_send(fd, arg);
}

/* Answers when the head has come, and reads the request's body then. */
static void serve_early(int fd, int number, void *arg)
{
    static char piece[1 << 16];
    (void)number, (void)arg;
    if (recv(fd, piece, 1, 0) != 1 ||
        !peer_send(fd, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab"))
        return;
    poll(NULL, 0, 100);
    size_t left = BIG;
    while (left) {
        ssize_t n = recv(fd, piece, sizeof(piece), 0);
        if (n <= 0)
            return;
        left -= (size_t)n < left ? (size_t)n : left;
    }
    poll(NULL, 0, 100);
    peer_send(fd, "cd");
    peer_wait_closed(fd);
}

/* A body, whole and in order */

TEST(every_byte_comes_once_and_in_order)
{
    static const size_t sizes[] = {1000003, 65536, 4099, BIG};
    char *data = malloc(BIG + 1);
    client c;
    call one = {0};
    CHECK(data);
    CHECK(client_init(&c, serve_big, NULL, NULL));
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        CHECK_EQ_INT(ask(&c, &one, "GET", NULL, 0), 0);
        CHECK(call_drive(c.engine, &one.done, 1));
        CHECK_EQ_INT(opf_exchange_result(one.exchange)->status, 200);
        size_t got = 0, n;
        while ((n = read_whole(&c, &one, data + got,
                               sizes[i] < BIG + 1 - got ? sizes[i] : BIG + 1 - got)))
            got += n;
        CHECK_EQ_INT(got, BIG);
        size_t wrong = 0;
        for (size_t at = 0; at < got; at++)
            wrong += data[at] != letter(at);
        CHECK_EQ_INT(wrong, 0);
        CHECK_EQ_INT(opf_exchange_result(one.exchange)->phase, OPF_PHASE_DONE);
        CHECK_EQ_INT(opf_exchange_result(one.exchange)->carried, i);
    }
    CHECK_EQ_INT(peer_count(c.server), 1);
    opf_exchange_free(one.exchange);
    client_fini(&c);
    free(data);
}

TEST(what_nobody_takes_is_not_received)
{
    client c;
    call one = {0};
    CHECK(client_init(&c, serve_big, NULL, NULL));
    CHECK_EQ_INT(ask(&c, &one, "GET", NULL, 0), 0);
    CHECK(call_drive(c.engine, &one.done, 1));
    call_idle(c.engine);
    size_t held = opf_exchange_held(one.exchange);
    CHECK(held > 0 && held < HELD_AT_MOST);
    call_idle(c.engine);
    CHECK_EQ_INT(opf_exchange_held(one.exchange), held);
    CHECK(goes_on(&one));
    opf_exchange_free(one.exchange);
    CHECK_EQ_INT(client_connections(&c), 0);
    client_fini(&c);
}

TEST(a_paused_stream_has_no_deadline)
{
    client c;
    call one = {0};
    char *data = malloc(BIG);
    opf_pool_options options = {.timeouts.network_ns = 300 * OPF_NS_PER_MS};
    CHECK(data);
    CHECK(client_init(&c, serve_big, NULL, &options));
    CHECK_EQ_INT(ask(&c, &one, "GET", NULL, 0), 0);
    CHECK(call_drive(c.engine, &one.done, 1));
    uint64_t until = opf_clock_mono() + 1000 * OPF_NS_PER_MS;
    while (opf_clock_mono() < until)
        opf_engine_poll(c.engine, 50);
    CHECK(goes_on(&one));
    CHECK_EQ_INT(read_whole(&c, &one, data, BIG), BIG);
    opf_exchange_free(one.exchange);
    client_fini(&c);
    free(data);
}

/* Responses without much of a body */

TEST(short_responses_are_whole_at_once)
{
    static const struct {
        const char *method, *text, *body;
    } cases[] = {
        {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "ok"},
        {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", ""},
        {"GET", "HTTP/1.1 204 No Content\r\n\r\n", ""},
        {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", ""},
        {"GET",
         "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
         "1\r\no\r\n1\r\nk\r\n0\r\nX-Trailer: 1\r\n\r\n",
         "ok"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        client c;
        call one = {0};
        char data[16];
        CHECK(client_init(&c, serve_text, (void *)(uintptr_t)cases[i].text, NULL));
        for (int again = 0; again < 2; again++) {
            CHECK_EQ_INT(ask(&c, &one, cases[i].method, NULL, 0), 0);
            CHECK(call_drive(c.engine, &one.done, 1));
            const opf_result *result = opf_exchange_result(one.exchange);
            CHECK_EQ_INT(result->failure, OPF_FAIL_NONE);
            CHECK(result->head_ns && result->head_ns <= result->end_ns + OPF_NS_PER_S);
            size_t n = read_whole(&c, &one, data, sizeof(data));
            CHECK_BYTES(data, n, cases[i].body);
            CHECK_EQ_INT(result->phase, OPF_PHASE_DONE);
            call_idle(c.engine);
        }
        CHECK_EQ_INT(peer_count(c.server), 1);
        opf_exchange_free(one.exchange);
        client_fini(&c);
    }
}

/* Failures */

TEST(what_came_before_a_failure_can_be_read)
{
    client c;
    call one = {0};
    char data[16];
    opf_pool_options options = {.timeouts.network_ns = 200 * OPF_NS_PER_MS};
    static const char *const text = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf";
    for (int i = 0; i < 2; i++) {
        CHECK(client_init(&c, i ? serve_and_hold : serve_and_close, (void *)(uintptr_t)text,
                          &options));
        CHECK_EQ_INT(ask(&c, &one, "GET", NULL, 0), 0);
        CHECK(call_drive(c.engine, &one.done, 1));
        uint64_t until = opf_clock_mono() + DRIVE_NS_MAX;
        while (goes_on(&one) && opf_clock_mono() < until)
            opf_engine_poll(c.engine, 50);
        const opf_result *result = opf_exchange_result(one.exchange);
        CHECK_EQ_INT(result->failure, i ? OPF_FAIL_READ_TIMEOUT : OPF_FAIL_CLOSED_BODY);
        CHECK_EQ_INT(result->status, 200);
        CHECK_EQ_INT(read_whole(&c, &one, data, 2), 2);
        CHECK_EQ_INT(read_whole(&c, &one, data + 2, sizeof(data) - 2), 2);
        CHECK_BYTES(data, 4, "half");
        CHECK_EQ_INT(client_connections(&c), 0);
        opf_exchange_free(one.exchange);
        one.exchange = NULL;
        client_fini(&c);
    }
}

TEST(a_stream_that_is_freed_with_news_is_not_told_of)
{
    client c;
    call one = {0}, two = {0};
    CHECK(client_init(&c, serve_big, NULL, NULL));
    CHECK_EQ_INT(ask(&c, &one, "GET", NULL, 0), 0);
    CHECK(call_drive(c.engine, &one.done, 1));
    opf_exchange_tell(one.exchange);
    opf_exchange_free(one.exchange);
    CHECK(opf_list_empty(&c.engine->finished));
    CHECK_EQ_INT(ask(&c, &two, "GET", NULL, 0), 0);
    CHECK(call_drive(c.engine, &two.done, 1));
    opf_exchange_tell(two.exchange);
    CHECK_EQ_INT(ask(&c, &two, "GET", NULL, 0), 0);
    CHECK(opf_list_empty(&c.engine->finished));
    CHECK_EQ_INT(opf_exchange_held(two.exchange), 0);
    CHECK(call_drive(c.engine, &two.done, 1));
    opf_exchange_tell(two.exchange);
    opf_exchange_cancel(two.exchange);
    two.done = 0;
    call_idle(c.engine);
    CHECK_EQ_INT(two.done, 0);
    CHECK_EQ_INT(opf_exchange_result(two.exchange)->failure, OPF_FAIL_CANCELLED);
    opf_exchange_free(two.exchange);
    client_fini(&c);
}

static void free_other(opf_exchange *exchange, void *arg)
{
    opf_exchange **pair = arg;
    opf_exchange_free(exchange == pair[0] ? pair[1] : pair[0]);
    pair[exchange == pair[0] ? 1 : 0] = NULL;
}

TEST(done_may_free_another_stream_with_news)
{
    client c;
    call one = {0}, two = {0};
    CHECK(client_init(&c, serve_big, NULL, NULL));
    CHECK_EQ_INT(ask(&c, &one, "GET", NULL, 0), 0);
    CHECK_EQ_INT(ask(&c, &two, "GET", NULL, 0), 0);
    CHECK(call_drive(c.engine, &one.done, 1));
    CHECK(call_drive(c.engine, &two.done, 1));
    call_idle(c.engine);
    opf_exchange *pair[2] = {one.exchange, two.exchange};
    for (int i = 0; i < 2; i++) {
        pair[i]->done = free_other;
        pair[i]->arg = pair;
        opf_exchange_tell(pair[i]);
    }
    opf_engine_poll(c.engine, 0);
    CHECK(!pair[0] != !pair[1]);
    opf_exchange_free(pair[0] ? pair[0] : pair[1]);
    CHECK_EQ_INT(client_connections(&c), 0);
    client_fini(&c);
}

TEST(an_answer_before_the_request_is_sent_stays_told_of)
{
    client c;
    call one = {0};
    char data[8], *body = calloc(1, BIG);
    CHECK(body);
    CHECK(client_init(&c, serve_early, NULL, NULL));
    CHECK_EQ_INT(ask(&c, &one, "POST", body, BIG), 0);
    CHECK(call_drive(c.engine, &one.done, 1));
    CHECK_EQ_INT(read_whole(&c, &one, data, 2), 2);
    uint64_t until = opf_clock_mono() + DRIVE_NS_MAX;
    while (opf_exchange_held(one.exchange) < 2 && goes_on(&one) && opf_clock_mono() < until)
        opf_engine_poll(c.engine, 20);
    CHECK_EQ_INT(read_whole(&c, &one, data + 2, sizeof(data) - 2), 2);
    CHECK_BYTES(data, 4, "abcd");
    opf_exchange_free(one.exchange);
    client_fini(&c);
    free(body);
}

TEST(a_pool_that_goes_lets_go_of_its_streams)
{
    client c;
    call one = {0};
    int fds = drive_count_fds();
    CHECK(client_init(&c, serve_big, NULL, NULL));
    CHECK_EQ_INT(ask(&c, &one, "GET", NULL, 0), 0);
    CHECK(call_drive(c.engine, &one.done, 1));
    opf_exchange_tell(one.exchange);
    size_t held = opf_exchange_held(one.exchange);
    opf_pool_free(c.pool);
    c.pool = NULL;
    CHECK(opf_list_empty(&c.engine->finished));
    char *data = malloc(held + 1);
    CHECK(data);
    CHECK_EQ_INT(opf_exchange_read(one.exchange, data, held + 1), held);
    free(data);
    opf_exchange_free(one.exchange);
    client_fini(&c);
    CHECK_EQ_INT(drive_count_fds(), fds);
}

OPF_TEST_MAIN
