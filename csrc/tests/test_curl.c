/* Requests by libcurl, from submit to done, against servers and proxies that do as they are told.
 */
#include "opf_test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "cancelled.h"
#include "client.h"
#include "client/exchange.h"
#include "client/pool.h"
#include "drive.h"
#include "opf.h"
#include "peer.h"
#include "tls_side.h"

static const opf_curl_options plain;

static void on_done(opf_exchange *exchange, void *arg)
{
    (void)exchange;
    ((call *)arg)->done++;
}

/* What is asked for, if it is not just a GET of http://127.0.0.1:port/. */
typedef struct ask {
    const char *method;
    const char *url; /* NULL: the server's */
    const opf_header *headers;
    size_t n_headers;
    const void *body;
    size_t body_len;
    const opf_curl_options *curl; /* NULL: the plainest */
    bool stream;
    bool open; /* the body is given in pieces */
    bool fast; /* not by libcurl */
} ask;

static opf_request_error refused;

static int submit(client *c, call *one, const ask *a)
{
    const char *why, *method = a->method ? a->method : "GET";
    char own[64];
    opf_url url;
    snprintf(own, sizeof(own), "http://127.0.0.1:%u/", c->port);
    const char *text = a->url ? a->url : own;
    if (opf_url_parse(text, strlen(text), &url, &why) != 0)
        return OPF_EINVAL;
    if (!one->exchange && !(one->exchange = opf_exchange_new(c->engine)))
        return OPF_ENOMEM;
    opf_request request = {.url = &url,
                           .method = method,
                           .method_len = strlen(method),
                           .headers = a->headers,
                           .n_headers = a->n_headers,
                           .body = a->body,
                           .body_len = a->body_len,
                           .stream = a->stream,
                           .open_body = a->open,
                           .curl = a->fast   ? NULL
                                   : a->curl ? a->curl
                                             : &plain};
    one->done = 0;
    return opf_exchange_submit(one->exchange, c->pool, &request, on_done, one, &refused);
}

/* Requests and waits; returns the failure, or -1 if it was not told, or told twice. */
static int fetch(client *c, call *one, const ask *a)
{
    if (submit(c, one, a) != 0 || !call_drive(c->engine, &one->done, 1) || one->done != 1)
        return -1;
    return (int)opf_exchange_result(one->exchange)->failure;
}

static int get(client *c, call *one)
{
    return fetch(c, one, &(ask){0});
}

static const opf_result *result_of(const call *one)
{
    return opf_exchange_result(one->exchange);
}

/* Servers */

/* Gives the request back as the body. */
static void serve_echo(int fd, int number, void *arg)
{
    char request[32768], head[128];
    (void)number, (void)arg;
    while (peer_read_request(fd, request, sizeof(request))) {
        snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n",
                 strlen(request));
        if (!peer_send(fd, head) || !peer_send(fd, request))
            return;
    }
}

/* What the server got */

static const char *body_of(const call *one)
{
    static char text[32768];
    const opf_result *result = result_of(one);
    size_t len = result->body_len < sizeof(text) ? result->body_len : sizeof(text) - 1;
    if (len)
        memcpy(text, result->body, len);
    text[len] = '\0';
    return text;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The lines of a request's head, sorted: libcurl has Host first. */
static void sort_lines(const char *request, char *out, size_t size)
{
    char copy[32768], *lines[200], *save = NULL;
    size_t n = 0, at = 0;
    snprintf(copy, sizeof(copy), "%s", request);
    for (char *line = strtok_r(copy, "\r\n", &save); line && n < 200;
         line = strtok_r(NULL, "\r\n", &save))
        lines[n++] = line;
    qsort(lines, n, sizeof(lines[0]), by_text);
    for (size_t i = 0; i < n && at < size; i++)
        at += (size_t)snprintf(out + at, size - at, "%s|", lines[i]);
}

/* A request arrives as on the fast path. */
static void check_same(client *c, const ask *wanted)
{
    char texts[2][32768];
    for (int fast = 0; fast < 2; fast++) {
        call one = {0};
        ask a = *wanted;
        a.fast = fast;
        CHECK_EQ_INT(fetch(c, &one, &a), OPF_FAIL_NONE);
        CHECK_EQ_INT(result_of(&one)->via_curl, !fast);
        sort_lines(body_of(&one), texts[fast], sizeof(texts[fast]));
        opf_exchange_free(one.exchange);
    }
    CHECK_STR(texts[0], texts[1]);
}

TEST(the_server_gets_what_the_fast_path_sends)
{
    static const opf_header headers[] = {
        {"Accept", "text/*; q=0.5", 6, 13},
        {"X-Empty", "", 7, 0},
        {"X-Blank", " ", 7, 1},
        {"x-twice", "one", 7, 3},
        {"x-twice", "two", 7, 3},
        {"Authorization", "Bearer abc", 13, 10},
        {"Cookie", "a=b; c=d", 6, 8},
    };
    static const opf_header own[] = {
        {"Host", "somewhere.example", 4, 17},   {"User-Agent", "ours", 10, 4},
        {"Content-Type", "text/plain", 12, 10}, {"Expect", "100-continue", 6, 12},
        {"Connection", "close", 10, 5},
    };
    client c;
    char url[128];
    char *large = calloc(1, 20000);
    memset(large, 'x', 19999);
    CHECK(client_init(&c, serve_echo, NULL, NULL));
    snprintf(url, sizeof(url), "http://user:secret@127.0.0.1:%u/a/../b//c?q=%%20'\"<>#part",
             c.port);
    check_same(&c, &(ask){0});
    check_same(&c, &(ask){.url = url, .headers = headers + 3, .n_headers = 4});
    check_same(&c, &(ask){.method = "POST", .body = "", .body_len = 0});
    check_same(&c, &(ask){.method = "POST", .body = "ab", .body_len = 2});
    check_same(&c, &(ask){.method = "PUT", .body = large, .body_len = 19999});
    check_same(&c, &(ask){.method = "GET", .body = "ab", .body_len = 2});
    check_same(&c, &(ask){.method = "DELETE"});
    check_same(&c, &(ask){.method = "BREW", .body = "ab", .body_len = 2});
    check_same(&c, &(ask){.method = "POST", .headers = own, .n_headers = 5, .body = "a", 1});
    /* of blanks nothing is left, but the header is there */
    call one = {0};
    CHECK_EQ_INT(fetch(&c, &one, &(ask){.headers = headers, .n_headers = 7}), OPF_FAIL_NONE);
    CHECK(strstr(body_of(&one), "X-Empty:\r\n") && strstr(body_of(&one), "X-Blank:\r\n"));
    opf_exchange_free(one.exchange);
    client_fini(&c);
    free(large);
}

static void serve_heads(int fd, int number, void *arg)
{
    char request[4096];
    (void)number, (void)arg;
    while (peer_read_request(fd, request, sizeof(request)) &&
           peer_send(fd, "HTTP/1.1 200 OK\r\nContent-Length: 7\r\nX: y\r\n\r\n"))
        ;
}

TEST(head)
{
    client c;
    call one = {0};
    CHECK(client_init(&c, serve_heads, NULL, NULL));
    for (int i = 0; i < 2; i++) {
        CHECK_EQ_INT(fetch(&c, &one, &(ask){.method = "HEAD"}), OPF_FAIL_NONE);
        CHECK_EQ_INT(result_of(&one)->n_fields, 2);
        CHECK_EQ_INT(result_of(&one)->body_len, 0);
    }
    CHECK_EQ_INT(peer_count(c.server), 1);
    CHECK_EQ_INT(fetch(&c, &one, &(ask){.method = "HEAD", .body = "ab", .body_len = 2}),
                 OPF_FAIL_NONE);
    CHECK_EQ_INT(result_of(&one)->status, 200);
    opf_exchange_free(one.exchange);
    client_fini(&c);
}

/* A connection and the next */

TEST(a_connection_is_kept)
{
    client c;
    call one = {0};
    CHECK(client_init(&c, serve_well, NULL, NULL));
    for (uint32_t i = 0; i < 5; i++) {
        CHECK_EQ_INT(get(&c, &one), OPF_FAIL_NONE);
        const opf_result *result = result_of(&one);
        CHECK(result->via_curl && !result->kernel_time);
        CHECK_EQ_INT(result->status, 200);
        CHECK_EQ_INT(result->phase, OPF_PHASE_DONE);
        CHECK_BYTES(result->body, result->body_len, "ok");
        CHECK_EQ_INT(result->carried, i);
        CHECK_EQ_INT(result->idle_ns > 0, i > 0);
        CHECK_EQ_INT(result->bytes_received, strlen(ANSWER));
        CHECK(i ? result->start_ns == result->sent_ns : result->start_ns < result->sent_ns);
        CHECK(result->sent_ns <= result->end_ns && result->end_ns <= result->seen_ns);
    }
    CHECK_EQ_INT(peer_count(c.server), 1);
    CHECK_EQ_INT(client_connections(&c), 1);
    opf_pool_close_idle(c.pool);
    CHECK_EQ_INT(client_connections(&c), 0);
    CHECK_EQ_INT(get(&c, &one), OPF_FAIL_NONE);
    CHECK_EQ_INT(peer_count(c.server), 2);
    opf_exchange_free(one.exchange);
    client_fini(&c);
}

/* Each connection has the same port on our side, as if from addresses of their own. */
static bool same_ports;

__attribute__((visibility("default"))) int getsockname(int fd, struct sockaddr *addr,
                                                       socklen_t *len)
{
    long ret = syscall(SYS_getsockname, fd, addr, len);
    if (ret == 0 && same_ports && addr->sa_family == AF_INET)
        ((struct sockaddr_in *)(void *)addr)->sin_port = htons(7);
    return (int)ret;
}

/* Answers the second request of its first connection when there is another connection. */
static void serve_with_another(int fd, int number, void *arg)
{
    char request[4096];
    int *others = arg;
    __atomic_add_fetch(others, number > 0, __ATOMIC_SEQ_CST);
    for (int i = 0; peer_read_request(fd, request, sizeof(request)); i++) {
        for (int ms = 0; i && ms < 20000 && !__atomic_load_n(others, __ATOMIC_SEQ_CST); ms++)
            usleep(1000);
        peer_send(fd, ANSWER);
    }
}

TEST(connections_of_the_same_port)
{
    client c;
    call one = {0}, two = {0};
    int others = 0;
    CHECK(client_init(&c, serve_with_another, &others, NULL));
    same_ports = true;
    CHECK_EQ_INT(get(&c, &one), OPF_FAIL_NONE);
    CHECK_EQ_INT(submit(&c, &one, &(ask){0}), 0);
    CHECK_EQ_INT(submit(&c, &two, &(ask){0}), 0);
    CHECK(call_drive(c.engine, &one.done, 1));
    CHECK(call_drive(c.engine, &two.done, 1));
    same_ports = false;
    CHECK_EQ_INT(result_of(&one)->failure, OPF_FAIL_NONE);
    CHECK_EQ_INT(result_of(&one)->carried, 1);
    CHECK_EQ_INT(result_of(&two)->failure, OPF_FAIL_NONE);
    CHECK_EQ_INT(result_of(&two)->carried, 0);
    CHECK_EQ_INT(peer_count(c.server), 2);
    opf_exchange_free(one.exchange);
    opf_exchange_free(two.exchange);
    client_fini(&c);
}

/* Another server's dead connection of the same port is not taken for the one that is used. */
TEST(connections_of_the_same_port_elsewhere)
{
    client c;
    call one = {0};
    char url[64];
    opf_engine_totals totals;
    CHECK(client_init(&c, serve_well, NULL, NULL));
    peer *other = peer_new(serve_once, NULL);
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/", peer_port(other));
    same_ports = true;
    CHECK_EQ_INT(fetch(&c, &one, &(ask){.url = url}), OPF_FAIL_NONE);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ_INT(get(&c, &one), OPF_FAIL_NONE);
        CHECK_EQ_INT(result_of(&one)->carried, i);
    }
    same_ports = false;
    opf_engine_get_totals(c.engine, &totals);
    CHECK_EQ_INT(totals.replaced, 0);
    CHECK_EQ_INT(peer_count(c.server), 1);
    opf_exchange_free(one.exchange);
    client_fini(&c);
    peer_free(other);
}

/* The answer is there before libcurl looks for it first. */
static bool slow_sends;

__attribute__((visibility("default"))) ssize_t send(int fd, const void *data, size_t len, int flags)
{
    ssize_t n = syscall(SYS_sendto, fd, data, len, flags, NULL, 0);
    if (slow_sends)
        usleep(20000);
    return n;
}

TEST(a_connection_goes_from_one_to_the_next_at_once)
{
    client c;
    call one = {0}, two = {0};
    CHECK(client_init(&c, serve_well, NULL, NULL));
    CHECK_EQ_INT(get(&c, &one), OPF_FAIL_NONE);
    CHECK_EQ_INT(submit(&c, &one, &(ask){0}), 0);
    CHECK_EQ_INT(submit(&c, &two, &(ask){0}), 0);
    slow_sends = true;
    bool both = call_drive(c.engine, &one.done, 1) && call_drive(c.engine, &two.done, 1);
    slow_sends = false;
    CHECK(both);
    CHECK_EQ_INT(result_of(&one)->carried, 1);
    CHECK_EQ_INT(result_of(&two)->carried, peer_count(c.server) == 1 ? 2 : 0);
    int count = peer_count(c.server);
    CHECK_EQ_INT(get(&c, &one), OPF_FAIL_NONE);
    CHECK_EQ_INT(peer_count(c.server), count);
    CHECK(count > 1 || result_of(&one)->carried == 3);
    opf_exchange_free(one.exchange);
    opf_exchange_free(two.exchange);
    client_fini(&c);
}

/* Answers one request under TLS and never says farewell. */
static void serve_tls(int fd, int number, void *arg)
{
    side s;
    (void)number, (void)arg;
    if (side_init(&s, fd, TLS1_3_VERSION) && side_read(&s)) {
        side_write(&s, ANSWER);
        side_flush(&s);
        peer_wait_closed(fd);
    }
    side_fini(&s);
}

/* Newer versions of libcurl wait for the server's farewell, without any transfer. */
TEST(connections_that_are_taken_leave_of)
{
    enum { N = 7 }; /* four are kept */
    client c;
    call one = {0};
    peer *servers[N];
    CHECK(client_init(&c, NULL, NULL, &(opf_pool_options){.concurrency = 1}));
    for (int i = 0; i < N; i++) {
        char url[64];
        servers[i] = peer_new(serve_tls, NULL);
        snprintf(url, sizeof(url), "https://127.0.0.1:%u/", peer_port(servers[i]));
        CHECK_EQ_INT(fetch(&c, &one, &(ask){.url = url}), OPF_FAIL_NONE);
    }
    opf_exchange_free(one.exchange);
    client_fini(&c);
    for (int i = 0; i < N; i++)
        peer_free(servers[i]);
}

TEST(both_ways_side_by_side)
{
    client c;
    call calls[2] = {0};
    CHECK(client_init(&c, serve_well, NULL, NULL));
    for (int i = 0; i < 6; i++)
        CHECK_EQ_INT(fetch(&c, &calls[0], &(ask){.fast = i % 2}), OPF_FAIL_NONE);
    CHECK_EQ_INT(peer_count(c.server), 2);
    opf_exchange_free(calls[0].exchange);
    client_fini(&c);
}

TEST(a_closed_connection_is_replaced)
{
    client c;
    call one = {0};
    CHECK(client_init(&c, serve_once, NULL, NULL));
    for (int i = 0; i < 3; i++) {
        CHECK_EQ_INT(get(&c, &one), OPF_FAIL_NONE);
        usleep(20000); /* the server closes, and nobody polls */
    }
    CHECK_EQ_INT(peer_count(c.server), 3);
    opf_exchange_free(one.exchange);
    client_fini(&c);
}

/* Says more than was asked for, on its first connection. */
static void serve_too_much(int fd, int number, void *arg)
{
    char request[4096];
    if (number)
        serve_well(fd, number, arg);
    else if (peer_read_request(fd, request, sizeof(request)) && peer_send(fd, ANSWER)) {
        usleep(20000);
        peer_send(fd, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
        peer_wait_closed(fd);
    }
}

TEST(a_connection_that_says_too_much_is_replaced)
{
    client c;
    call one = {0};
    opf_engine_totals totals;
    CHECK(client_init(&c, serve_too_much, NULL, NULL));
    CHECK_EQ_INT(get(&c, &one), OPF_FAIL_NONE);
    usleep(60000);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ_INT(get(&c, &one), OPF_FAIL_NONE);
        CHECK_BYTES(result_of(&one)->body, result_of(&one)->body_len, "ok");
        CHECK_EQ_INT(result_of(&one)->carried, i);
    }
    opf_engine_get_totals(c.engine, &totals);
    CHECK_EQ_INT(totals.replaced, 1);
    CHECK_EQ_INT(peer_count(c.server), 2);
    opf_exchange_free(one.exchange);
    client_fini(&c);
}

/* Closes in the face of the second request of the first connection. */
static void serve_then_drop(int fd, int number, void *arg)
{
    char request[4096];
    int *requests = arg;
    for (int i = 0; peer_read_request(fd, request, sizeof(request)); i++) {
        __atomic_add_fetch(requests, 1, __ATOMIC_SEQ_CST);
        if (!number && i)
            return;
        peer_send(fd, ANSWER);
    }
}

TEST(a_lost_request_is_not_sent_again)
{
    client c;
    call one = {0};
    int requests = 0;
    CHECK(client_init(&c, serve_then_drop, &requests, NULL));
    CHECK_EQ_INT(get(&c, &one), OPF_FAIL_NONE);
    CHECK_EQ_INT(fetch(&c, &one, &(ask){.method = "POST", .body = "ab", .body_len = 2}),
                 OPF_FAIL_CLOSED);
    CHECK_EQ_INT(result_of(&one)->carried, 1);
    CHECK(result_of(&one)->idle_ns > 0);
    CHECK_EQ_INT(result_of(&one)->phase, OPF_PHASE_WAIT);
    CHECK_EQ_INT(get(&c, &one), OPF_FAIL_NONE);
    CHECK_EQ_INT(requests, 3);
    opf_exchange_free(one.exchange);
    client_fini(&c);
}

/* Answers */

TEST(trailers_interim_answers_and_folds)
{
    client c;
    call one = {0};
    CHECK(client_init(&c, serve_first,
                      "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n"
                      "Set-Cookie: a=b\r\nTransfer-Encoding: chunked\r\n\r\n"
                      "2\r\nok\r\n0\r\nX-Sum:  1 \r\n\r\n",
                      NULL));
    CHECK_EQ_INT(get(&c, &one), OPF_FAIL_NONE);
    const opf_result *result = result_of(&one);
    CHECK_EQ_INT(result->status, 200);
    CHECK_EQ_INT(result->n_fields, 2);
    CHECK_EQ_INT(result->n_trailers, 1);
    CHECK(result->has_set_cookie);
    const opf_field *sum = &result->fields[2];
    CHECK_BYTES(result->head + sum->name_at, sum->name_len, "X-Sum");
    CHECK_BYTES(result->head + sum->value_at, sum->value_len, "1");
    CHECK_BYTES(result->body, result->body_len, "ok");
    opf_exchange_free(one.exchange);
    client_fini(&c);
}

/* What is made of an answer behind which the server closes; the next request goes well. */
static void check_answer(const char *text, opf_failure failure, int status, bool fast)
{
    client c;
    call one = {0};
    ask a = {.fast = fast};
    CHECK(client_init(&c, serve_first, (void *)(uintptr_t)text, NULL));
    CHECK_EQ_INT(fetch(&c, &one, &a), failure);
    CHECK_EQ_INT(result_of(&one)->status, status);
    opf_pool_close_idle(c.pool); /* the server closes, sooner or later */
    CHECK_EQ_INT(fetch(&c, &one, &a), OPF_FAIL_NONE);
    opf_exchange_free(one.exchange);
    client_fini(&c);
}

TEST(closed_too_early)
{
    static const struct {
        const char *text;
        opf_failure failure;
        int status;
    } cases[] = {
        {"", OPF_FAIL_CLOSED, 0},
        {"HT", OPF_FAIL_CLOSED_HEADERS, 0},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", OPF_FAIL_CLOSED_HEADERS, 0},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", OPF_FAIL_CLOSED_BODY, 200},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", OPF_FAIL_CLOSED_BODY, 200},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe", OPF_FAIL_CLOSED_BODY, 200},
        {"garbage\r\n", OPF_FAIL_PROTOCOL, 0},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", OPF_FAIL_PROTOCOL, 200},
        {"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", OPF_FAIL_PROTOCOL, 0},
        {"HTTP/1.1 200 OK\r\nb(d: x\r\n\r\n", OPF_FAIL_PROTOCOL, 0},
        {"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n", OPF_FAIL_PROTOCOL, 101},
        {"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nall", OPF_FAIL_NONE, 200},
        {"HTTP/1.1 204 No Content\r\n\r\n", OPF_FAIL_NONE, 204},
        {"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nno",
         OPF_FAIL_DECODE, 200},
    };
    for (int fast = 0; fast < 2; fast++) {
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
            int failures = opf_test_failures;
            check_answer(cases[i].text, cases[i].failure, cases[i].status, fast);
            if (opf_test_failures != failures)
                printf("for %s, fast %d\n", cases[i].text, fast);
        }
    }
}

TEST(reset)
{
    client c;
    call one = {0};
    CHECK(client_init(&c, serve_reset, NULL, NULL));
    CHECK_EQ_INT(get(&c, &one), OPF_FAIL_RESET);
    CHECK_EQ_INT(result_of(&one)->phase, OPF_PHASE_WAIT);
    CHECK_EQ_INT(result_of(&one)->err, ECONNRESET);
    CHECK_EQ_INT(get(&c, &one), OPF_FAIL_NONE);
    opf_exchange_free(one.exchange);
    client_fini(&c);
}

TEST(nobody_listens)
{
    client c;
    call one = {0};
    CHECK(client_init(&c, serve_well, NULL, NULL));
    peer_free(c.server);
    c.server = NULL;
    CHECK_EQ_INT(get(&c, &one), OPF_FAIL_REFUSED);
    CHECK_EQ_INT(result_of(&one)->err, ECONNREFUSED);
    CHECK_EQ_INT(result_of(&one)->phase, OPF_PHASE_CONNECT);
    CHECK_EQ_INT(client_connections(&c), 0);
    opf_exchange_free(one.exchange);
    client_fini(&c);
}

TEST(limits)
{
    static const struct {
        const char *text;
        opf_failure failure;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world", OPF_FAIL_BODY_SIZE},
        {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello worl", OPF_FAIL_NONE},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n "
         "world\r\n0\r\n\r\n",
         OPF_FAIL_BODY_SIZE},
        {"HTTP/1.1 200 OK\r\nX: "
         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n\r\n",
         OPF_FAIL_HEADERS_SIZE},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        client c;
        call one = {0};
        CHECK(client_init(&c, serve_first, (void *)(uintptr_t)cases[i].text,
                          &(opf_pool_options){.max_headers = 100, .max_body = 10}));
        CHECK_EQ_INT(get(&c, &one), cases[i].failure);
        opf_exchange_free(one.exchange);
        client_fini(&c);
    }
}

static void serve_endless_line(int fd, int number, void *arg)
{
    char request[4096], line[4097];
    (void)number, (void)arg;
    memset(line, 'x', sizeof(line) - 1);
    line[sizeof(line) - 1] = '\0';
    if (peer_read_request(fd, request, sizeof(request)))
        for (peer_send(fd, "HTTP/1.1 200 OK\r\nX: "); peer_send(fd, line);)
            ;
}

TEST(an_endless_header)
{
    client c;
    call one = {0};
    CHECK(client_init(&c, serve_endless_line, NULL, NULL));
    CHECK_EQ_INT(get(&c, &one), OPF_FAIL_HEADERS_SIZE);
    opf_exchange_free(one.exchange);
    client_fini(&c);
}

/* Time-outs */

static const opf_pool_options impatient = {
    .timeouts = {.connect_ns = SHORTLY, .network_ns = SHORTLY}};

TEST(time_outs)
{
    static const struct {
        peer_fn *serve;
        const char *text;
        const char *url;
        size_t body_len;
        opf_failure failure;
        opf_phase phase;
    } cases[] = {
        {serve_and_hold, NULL, "https://127.0.0.1", 0, OPF_FAIL_TLS_TIMEOUT, OPF_PHASE_TLS},
        {serve_deaf, NULL, "http://127.0.0.1", LARGE, OPF_FAIL_WRITE_TIMEOUT, OPF_PHASE_SEND},
        {serve_and_hold, "", "http://127.0.0.1", 0, OPF_FAIL_READ_TIMEOUT, OPF_PHASE_WAIT},
        {serve_and_hold, "HTTP/1.1 200", "http://127.0.0.1", 0, OPF_FAIL_READ_TIMEOUT,
         OPF_PHASE_WAIT},
        {serve_and_hold, "HTTP/1.1 200 OK\r\n\r\nhalf", "http://127.0.0.1", 0,
         OPF_FAIL_READ_TIMEOUT, OPF_PHASE_BODY},
        {serve_and_hold, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhalf", "http://127.0.0.1", 0,
         OPF_FAIL_READ_TIMEOUT, OPF_PHASE_BODY},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        client c;
        call one = {0};
        char url[64];
        void *body = calloc(1, cases[i].body_len + 1);
        CHECK(client_init(&c, cases[i].serve, (void *)(uintptr_t)cases[i].text, &impatient));
        snprintf(url, sizeof(url), "%s:%u/", cases[i].url, c.port);
        CHECK_EQ_INT(fetch(&c, &one,
                           &(ask){.method = cases[i].body_len ? "POST" : "GET",
                                  .url = url,
                                  .body = body,
                                  .body_len = cases[i].body_len}),
                     cases[i].failure);
        CHECK_EQ_INT(result_of(&one)->phase, cases[i].phase);
        CHECK_EQ_INT(client_connections(&c), 0);
        opf_exchange_free(one.exchange);
        client_fini(&c);
        free(body);
    }
}

TEST(a_silent_name_server)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(in);
    char servers[32], text[64];
    int silent = socket(AF_INET, SOCK_DGRAM, 0), error;
    call one = {0};
    CHECK(silent >= 0 && bind(silent, (struct sockaddr *)&in, len) == 0 &&
          getsockname(silent, (struct sockaddr *)&in, &len) == 0);
    snprintf(servers, sizeof(servers), "127.0.0.1:%u", ntohs(in.sin_port));
    client c = {.engine = opf_engine_new(&(opf_engine_options){.nameservers = servers})};
    CHECK(c.engine);
    c.pool = opf_pool_new(c.engine, &impatient, &error, text, sizeof(text));
    CHECK_EQ_INT(fetch(&c, &one, &(ask){.url = "http://nobody.example/"}),
                 OPF_FAIL_RESOLVE_TIMEOUT);
    CHECK_EQ_INT(fetch(&c, &one,
                       &(ask){.url = "http://127.0.0.1/",
                              .curl = &(opf_curl_options){.proxy = "http://nobody.example:80"}}),
                 OPF_FAIL_PROXY);
    CHECK_EQ_INT(result_of(&one)->phase, OPF_PHASE_RESOLVE);
    opf_exchange_free(one.exchange);
    client_fini(&c);
    close(silent);
}

TEST(names)
{
    client c;
    call one = {0};
    char url[64];
    CHECK(client_init(&c, serve_well, NULL, NULL));
    snprintf(url, sizeof(url), "http://LocalHost:%u/", c.port);
    CHECK_EQ_INT(fetch(&c, &one, &(ask){.url = url}), OPF_FAIL_NONE);
    CHECK_EQ_INT(fetch(&c, &one, &(ask){.url = url}), OPF_FAIL_NONE);
    CHECK_EQ_INT(peer_count(c.server), 1);
    opf_exchange_free(one.exchange);
    client_fini(&c);
}

/* Many at once */

TEST(the_rest_waits_in_a_queue)
{
    enum { N = 20 };
    client c;
    call calls[N] = {0};
    CHECK(client_init(&c, serve_well, NULL, &(opf_pool_options){.concurrency = 2}));
    for (int i = 0; i < N; i++)
        CHECK_EQ_INT(submit(&c, &calls[i], &(ask){0}), 0);
    opf_exchange_cancel(calls[3].exchange);
    calls[3].done++;
    for (int i = 0; i < N; i++)
        CHECK(call_drive(c.engine, &calls[i].done, 1));
    call_idle(c.engine);
    for (int i = 0; i < N; i++) {
        CHECK_EQ_INT(calls[i].done, 1);
        CHECK_EQ_INT(result_of(&calls[i])->failure, i == 3 ? OPF_FAIL_CANCELLED : OPF_FAIL_NONE);
        opf_exchange_free(calls[i].exchange);
    }
    CHECK_EQ_INT(peer_count(c.server), 2);
    client_fini(&c);
}

/* Bodies that are given in pieces */

/* Answers with the request's head and body, once its chunks or its length have come. */
static void serve_pieces(int fd, int number, void *arg)
{
    static char request[65536];
    char head[128];
    size_t len = 0;
    (void)number, (void)arg;
    const char *end = NULL;
    while (!end && len + 1 < sizeof(request)) {
        ssize_t n = recv(fd, request + len, sizeof(request) - 1 - len, 0);
        if (n <= 0)
            return;
        len += (size_t)n;
        request[len] = '\0';
        end = strstr(request, strstr(request, "chunked\r\n") ? "\r\n0\r\n\r\n" : "three");
    }
    snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", len);
    peer_send(fd, head);
    peer_send(fd, request);
    peer_wait_closed(fd);
}

/* Gives the pieces as they are wanted, the end behind them. */
static void check_pieces(const opf_header *headers, size_t n_headers, const char *body)
{
    static const char *const pieces[] = {"one", "two", "three", ""};
    client c;
    call one = {0};
    int given = 0;
    uint64_t end = opf_clock_mono() + DRIVE_NS_MAX;
    CHECK(client_init(&c, serve_pieces, NULL, NULL));
    ask a = {.method = "PUT", .open = true, .headers = headers, .n_headers = n_headers};
    CHECK_EQ_INT(submit(&c, &one, &a), 0);
    while (result_of(&one)->phase != OPF_PHASE_DONE && opf_clock_mono() < end) {
        CHECK(opf_engine_poll(c.engine, 100) >= 0);
        CHECK_EQ_INT(result_of(&one)->failure, OPF_FAIL_NONE);
        if (given < 4 && opf_exchange_wants_body(one.exchange)) {
            CHECK_EQ_INT(result_of(&one)->phase, OPF_PHASE_SEND);
            const char *piece = pieces[given++];
            CHECK_EQ_INT(opf_exchange_write(one.exchange, piece, strlen(piece)), 0);
        }
    }
    CHECK_EQ_INT(result_of(&one)->status, 200);
    CHECK(strstr(body_of(&one), body));
    CHECK(!strstr(body_of(&one), "Expect"));
    opf_exchange_free(one.exchange);
    client_fini(&c);
}

TEST(a_body_in_pieces)
{
    static const opf_header length = {"Content-Length", "11", 14, 2};
    check_pieces(NULL, 0, "\r\n\r\n3\r\none\r\n3\r\ntwo\r\n5\r\nthree\r\n0\r\n\r\n");
    check_pieces(&length, 1, "\r\n\r\nonetwothree");
}

TEST(a_body_in_pieces_is_not_finished)
{
    client c;
    call one = {0};
    CHECK(client_init(&c, serve_deaf, NULL,
                      &(opf_pool_options){.timeouts = {.network_ns = SHORTLY}}));
    CHECK_EQ_INT(submit(&c, &one, &(ask){.method = "PUT", .open = true}), 0);
    CHECK(call_drive(c.engine, &one.done, 1));
    CHECK(opf_exchange_wants_body(one.exchange));
    call_idle(c.engine); /* no time-out while we are the ones to be waited for */
    CHECK_EQ_INT(result_of(&one)->failure, OPF_FAIL_NONE);
    opf_exchange_cancel(one.exchange);
    CHECK(!opf_exchange_wants_body(one.exchange));
    CHECK_EQ_INT(client_connections(&c), 0);
    opf_exchange_free(one.exchange);
    client_fini(&c);
}

/* Streams */

#define STREAM_SIZE (4U << 20)

static void serve_stream(int fd, int number, void *arg)
{
    char request[4096];
    size_t *sent = arg;
    (void)number;
    static char piece[1 << 16];
    memset(piece, 'x', sizeof(piece));
    if (!peer_read_request(fd, request, sizeof(request)) ||
        !peer_send(fd, "HTTP/1.1 200 OK\r\nContent-Length: 4194304\r\n\r\n"))
        return;
    for (size_t left = STREAM_SIZE; left;) {
        ssize_t n = send(fd, piece, sizeof(piece) < left ? sizeof(piece) : left, MSG_NOSIGNAL);
        if (n <= 0)
            return;
        left -= (size_t)n;
        __atomic_add_fetch(sent, (size_t)n, __ATOMIC_SEQ_CST);
    }
    peer_read_request(fd, request, sizeof(request));
}

TEST(a_stream_is_held_back)
{
    static char piece[100000];
    client c;
    call one = {0};
    size_t sent = 0, got = 0;
    CHECK(client_init(&c, serve_stream, &sent, NULL));
    CHECK_EQ_INT(submit(&c, &one, &(ask){.stream = true}), 0);
    CHECK(call_drive(c.engine, &one.done, 1));
    CHECK_EQ_INT(result_of(&one)->status, 200);
    CHECK(result_of(&one)->head_ns);
    call_idle(c.engine);
    CHECK_EQ_INT(result_of(&one)->phase, OPF_PHASE_BODY);
    CHECK(opf_exchange_held(one.exchange) < (300U << 10));
    for (;;) {
        size_t n = opf_exchange_read(one.exchange, piece, sizeof(piece));
        const opf_result *result = result_of(&one);
        got += n;
        if (!n && (result->phase == OPF_PHASE_DONE || result->failure != OPF_FAIL_NONE))
            break;
        if (!n) {
            one.done = 0;
            CHECK(call_drive(c.engine, &one.done, 1));
        }
        CHECK(opf_exchange_held(one.exchange) < (300U << 10));
    }
    CHECK_EQ_INT(result_of(&one)->failure, OPF_FAIL_NONE);
    CHECK_EQ_INT(got, STREAM_SIZE);
    opf_exchange_free(one.exchange);
    client_fini(&c);
}

TEST(a_stream_is_freed_in_the_middle)
{
    static char piece[1000];
    for (int taken = 0; taken < 2; taken++) {
        client c;
        call one = {0};
        size_t sent = 0;
        CHECK(client_init(&c, serve_stream, &sent, NULL));
        CHECK_EQ_INT(submit(&c, &one, &(ask){.stream = true}), 0);
        CHECK(call_drive(c.engine, &one.done, 1));
        call_idle(c.engine);
        if (taken)
            opf_exchange_read(one.exchange, piece, sizeof(piece));
        opf_exchange_free(one.exchange);
        CHECK_EQ_INT(client_connections(&c), 0);
        client_fini(&c);
    }
}

/* Lost interest */

static int submit_to_root(client *c, call *one, const char *method, bool tls, const void *body,
                          size_t body_len)
{
    char url[64];
    snprintf(url, sizeof(url), "%s://127.0.0.1:%u/", tls ? "https" : "http", c->port);
    return submit(c, one, &(ask){.method = method, .url = url, .body = body, .body_len = body_len});
}

TEST(cancelled)
{
    check_cancelled_everywhere(submit_to_root);
}

TEST(a_pool_is_freed_with_all_that_is_under_way)
{
    enum { N = 6 };
    client c;
    call calls[N] = {0};
    CHECK(client_init(&c, serve_and_hold, "", &(opf_pool_options){.concurrency = 3}));
    for (int i = 0; i < N; i++)
        CHECK_EQ_INT(submit(&c, &calls[i], &(ask){0}), 0);
    CHECK(drive_to(&c, &calls[0], OPF_PHASE_WAIT));
    opf_pool_close_idle(c.pool);
    opf_pool_free(c.pool);
    c.pool = NULL;
    CHECK_EQ_INT(client_connections(&c), 0);
    for (int i = 0; i < N; i++) {
        CHECK_EQ_INT(calls[i].done, 0);
        opf_exchange_free(calls[i].exchange);
    }
    client_fini(&c);
}

TEST(connections_in_use_outlive_close_idle)
{
    client c;
    call one = {0};
    CHECK(client_init(&c, serve_well, NULL, NULL));
    CHECK_EQ_INT(submit(&c, &one, &(ask){0}), 0);
    opf_pool_close_idle(c.pool);
    CHECK(call_drive(c.engine, &one.done, 1));
    CHECK_EQ_INT(result_of(&one)->failure, OPF_FAIL_NONE);
    CHECK_EQ_INT(client_connections(&c), 0);
    CHECK_EQ_INT(get(&c, &one), OPF_FAIL_NONE);
    opf_exchange_free(one.exchange);
    client_fini(&c);
}

/* libcurl knows the sockets by their numbers: nobody else gets them before it has let go. */
TEST(a_forked_child_keeps_the_numbers)
{
    client c;
    call one = {0}, two = {0};
    int status;
    CHECK(client_init(&c, serve_well, NULL, NULL));
    CHECK_EQ_INT(get(&c, &one), OPF_FAIL_NONE);
    CHECK_EQ_INT(submit(&c, &two, &(ask){0}), 0);
    pid_t child = fork();
    if (!child) {
        int fds = drive_count_fds();
        opf_engine_forked(c.engine);
        opf_exchange_free(two.exchange);
        int kept = drive_count_fds();
        opf_pool_close_idle(c.pool);
        opf_pool_free(c.pool);
        bool closed = drive_count_fds() < fds;
        opf_exchange_free(one.exchange);
        opf_engine_free(c.engine);
        _exit(kept == fds && closed ? 0 : 1);
    }
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    CHECK_EQ_INT(status, 0);
    CHECK(call_drive(c.engine, &two.done, 1));
    CHECK_EQ_INT(result_of(&two)->failure, OPF_FAIL_NONE);
    opf_exchange_free(one.exchange);
    opf_exchange_free(two.exchange);
    client_fini(&c);
}

TEST(a_forked_child_says_nothing)
{
    client c;
    call one = {0}, two = {0};
    int status;
    CHECK(client_init(&c, serve_well, NULL, NULL));
    CHECK_EQ_INT(get(&c, &one), OPF_FAIL_NONE);
    CHECK_EQ_INT(submit(&c, &two, &(ask){0}), 0);
    pid_t child = fork();
    if (!child) {
        opf_engine_forked(c.engine);
        int ret = submit(&c, &one, &(ask){0});
        opf_exchange_free(two.exchange);
        opf_exchange_free(one.exchange);
        opf_pool_free(c.pool);
        opf_engine_free(c.engine);
        _exit(ret == OPF_EFORKED ? 0 : 1);
    }
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    CHECK_EQ_INT(status, 0);
    CHECK(call_drive(c.engine, &two.done, 1));
    CHECK_EQ_INT(result_of(&two)->failure, OPF_FAIL_NONE);
    CHECK_EQ_INT(result_of(&two)->carried, 1);
    CHECK_EQ_INT(peer_count(c.server), 1);
    opf_exchange_free(one.exchange);
    opf_exchange_free(two.exchange);
    client_fini(&c);
}

/* Proxies */

static int dial(uint16_t port)
{
    struct sockaddr_in in = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&in, sizeof(in)) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

/* Passes bytes on, both ways, until one side ends. */
static void relay(int a, int b)
{
    char bytes[16384];
    struct pollfd fds[2] = {{.fd = a, .events = POLLIN}, {.fd = b, .events = POLLIN}};
    while (poll(fds, 2, 20000) > 0) {
        for (int i = 0; i < 2; i++) {
            if (!fds[i].revents)
                continue;
            ssize_t n = recv(fds[i].fd, bytes, sizeof(bytes), 0);
            if (n <= 0 || send(fds[1 - i].fd, bytes, (size_t)n, MSG_NOSIGNAL) != n)
                return;
        }
    }
}

#define CREDENTIALS "\r\nProxy-Authorization: Basic amFuZTpwOnc=\r\n" /* jane, p:w */

/* Forwards requests to the port that their URL names; arg: the last request. */
static void serve_forward(int fd, int number, void *arg)
{
    char request[4096], answer[4096];
    (void)number;
    while (peer_read_request(fd, request, sizeof(request))) {
        unsigned int port = 0;
        if (arg)
            snprintf(arg, sizeof(request), "%s", request);
        if (sscanf(request, "GET http://127.0.0.1:%u/", &port) != 1 || !port)
            return;
        int server = dial((uint16_t)port);
        if (server < 0)
            return;
        send(server, request, strlen(request), MSG_NOSIGNAL);
        bool whole = peer_read_request(server, answer, sizeof(answer)); /* of the same form */
        close(server);
        if (!whole)
            return;
        peer_send(fd, answer);
    }
}

TEST(forward_proxy)
{
    client c;
    call one = {0};
    char proxy[64], last[4096] = "", line[64];
    peer *forward = peer_new(serve_forward, last);
    snprintf(proxy, sizeof(proxy), "http://jane:p%%3Aw@127.0.0.1:%u", peer_port(forward));
    CHECK(client_init(&c, serve_echo, NULL, NULL));
    for (int i = 0; i < 3; i++)
        CHECK_EQ_INT(fetch(&c, &one, &(ask){.curl = &(opf_curl_options){.proxy = proxy}}),
                     OPF_FAIL_NONE);
    snprintf(line, sizeof(line), "GET http://127.0.0.1:%u/ HTTP/1.1\r\n", c.port);
    CHECK(strstr(last, line));
    CHECK(strstr(last, CREDENTIALS));
    CHECK_EQ_INT(peer_count(forward), 1);
    CHECK_EQ_INT(result_of(&one)->carried, 2);
    opf_exchange_free(one.exchange);
    client_fini(&c);
    peer_free(forward);
}

/* Opens a tunnel, whatever the host is called, or answers with the text at arg. */
static void serve_connect(int fd, int number, void *arg)
{
    char request[4096], *colon;
    (void)number;
    if (!peer_read_request(fd, request, sizeof(request)))
        return;
    colon = strchr(request, ':');
    if (arg) {
        peer_send(fd, arg);
        return;
    }
    int server = colon ? dial((uint16_t)atoi(colon + 1)) : -1;
    if (server >= 0 && peer_send(fd, "HTTP/1.1 200 Connected\r\nX-Proxy: yes\r\n\r\n"))
        relay(fd, server);
    close(server);
}

static void check_connect(const char *answer, opf_failure failure, int status, const char *detail,
                          peer_fn *serve)
{
    client c;
    call one = {0};
    char proxy[64], url[64];
    peer *server = peer_new(serve, (void *)(uintptr_t)answer);
    snprintf(proxy, sizeof(proxy), "http://127.0.0.1:%u", peer_port(server));
    CHECK(client_init(&c, serve_and_hold, NULL, &impatient));
    snprintf(url, sizeof(url), "https://nowhere.example:%u/", c.port);
    CHECK_EQ_INT(fetch(&c, &one, &(ask){.url = url, .curl = &(opf_curl_options){.proxy = proxy}}),
                 failure);
    CHECK_EQ_INT(result_of(&one)->proxy_status, status);
    CHECK_STR(result_of(&one)->detail, detail);
    CHECK_EQ_INT(client_connections(&c), 0);
    opf_exchange_free(one.exchange);
    client_fini(&c);
    peer_free(server);
}

TEST(tunnels_that_are_none)
{
    check_connect("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", OPF_FAIL_PROXY, 503,
                  "it refused the tunnel", serve_connect);
    check_connect("HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic realm=x\r\nContent-Length: "
                  "0\r\n\r\n",
                  OPF_FAIL_PROXY, 407, "it asks for authentication", serve_connect);
    check_connect("", OPF_FAIL_PROXY, 0, "it closed the connection", serve_connect);
    check_connect(NULL, OPF_FAIL_PROXY, 0, NULL, serve_and_hold); /* a time-out */
    /* the tunnel stands, and the server says nothing */
    check_connect(NULL, OPF_FAIL_TLS_TIMEOUT, 0, NULL, serve_connect);
}

TEST(a_proxy_that_is_not_there)
{
    static const char *const schemes[] = {"http", "https", "socks4", "socks5h"};
    client c;
    call one = {0};
    char proxy[64];
    peer *gone = peer_new(serve_well, NULL);
    uint16_t port = peer_port(gone);
    peer_free(gone);
    CHECK(client_init(&c, serve_well, NULL, NULL));
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        snprintf(proxy, sizeof(proxy), "%s://127.0.0.1:%u", schemes[i], port);
        CHECK_EQ_INT(fetch(&c, &one, &(ask){.curl = &(opf_curl_options){.proxy = proxy}}),
                     OPF_FAIL_PROXY);
        CHECK_EQ_INT(result_of(&one)->err, ECONNREFUSED);
    }
    CHECK_EQ_INT(peer_count(c.server), 0);
    opf_exchange_free(one.exchange);
    client_fini(&c);
}

static bool read_n(int fd, void *data, size_t n)
{
    return recv(fd, data, n, MSG_WAITALL) == (ssize_t)n;
}

/* Version 5 without authentication, or with jane and pw if arg says so; addresses of 127.0.0.1 and
 * names, which all mean this machine. */
static void serve_socks5(int fd, int number, void *arg)
{
    uint8_t b[600];
    uint16_t port = 0;
    (void)number;
    if (!read_n(fd, b, 2) || !read_n(fd, b + 2, b[1]))
        return;
    send(fd, (uint8_t[]){5, arg ? 2 : 0}, 2, MSG_NOSIGNAL);
    if (arg) {
        if (!read_n(fd, b, 2) || !read_n(fd, b + 2, b[1] + 1U) || !read_n(fd, b + 300, b[2 + b[1]]))
            return;
        bool good = b[1] == 4 && memcmp(b + 2, "jane", 4) == 0 && memcmp(b + 300, "pw", 2) == 0;
        send(fd, (uint8_t[]){1, !good}, 2, MSG_NOSIGNAL);
        if (!good)
            return;
    }
    if (!read_n(fd, b, 4))
        return;
    size_t len = b[3] == 1 ? 4 : 0;
    if (b[3] == 3) {
        if (!read_n(fd, b, 1))
            return;
        len = b[0];
    }
    if (!read_n(fd, b, len + 2))
        return;
    port = (uint16_t)(b[len] << 8 | b[len + 1]);
    int server = dial(port);
    uint8_t answer[10] = {5, server < 0 ? 5 : 0, 0, 1};
    send(fd, answer, sizeof(answer), MSG_NOSIGNAL);
    if (server >= 0)
        relay(fd, server);
    close(server);
}

TEST(socks5)
{
    static const struct {
        const char *login;
        const char *host;
        const char *scheme;
        opf_failure failure;
    } cases[] = {
        {"", "127.0.0.1", "socks5", OPF_FAIL_NONE},
        {"", "localhost", "socks5", OPF_FAIL_NONE},
        {"", "nowhere.example", "socks5h", OPF_FAIL_NONE},
        {"jane:pw@", "127.0.0.1", "socks5h", OPF_FAIL_NONE},
        {"jane:no@", "127.0.0.1", "socks5", OPF_FAIL_PROXY},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        client c;
        call one = {0};
        char proxy[64], url[64];
        peer *server = peer_new(serve_socks5, *cases[i].login ? "" : NULL);
        CHECK(client_init(&c, serve_echo, NULL, NULL));
        snprintf(proxy, sizeof(proxy), "%s://%s127.0.0.1:%u", cases[i].scheme, cases[i].login,
                 peer_port(server));
        snprintf(url, sizeof(url), "http://%s:%u/x", cases[i].host, c.port);
        ask a = {.url = url, .curl = &(opf_curl_options){.proxy = proxy}};
        for (int n = 0; n < 2; n++)
            CHECK_EQ_INT(fetch(&c, &one, &a), cases[i].failure);
        if (cases[i].failure == OPF_FAIL_NONE) {
            CHECK(strstr(body_of(&one), "GET /x HTTP/1.1\r\n"));
            CHECK_EQ_INT(peer_count(server), 1);
        } else {
            CHECK_STR(result_of(&one)->detail, "it did not accept user and password");
        }
        opf_exchange_free(one.exchange);
        client_fini(&c);
        peer_free(server);
    }
}

TEST(socks5_refuses)
{
    client c;
    call one = {0};
    char proxy[64];
    peer *server = peer_new(serve_socks5, NULL), *gone = peer_new(serve_well, NULL);
    CHECK(client_init(&c, NULL, NULL, NULL));
    c.port = peer_port(gone);
    peer_free(gone);
    snprintf(proxy, sizeof(proxy), "socks5://127.0.0.1:%u", peer_port(server));
    CHECK_EQ_INT(fetch(&c, &one, &(ask){.curl = &(opf_curl_options){.proxy = proxy}}),
                 OPF_FAIL_PROXY);
    CHECK_STR(result_of(&one)->detail, "the connection was refused to it");
    opf_exchange_free(one.exchange);
    client_fini(&c);
    peer_free(server);
}

TEST(proxies_that_are_none)
{
    client c;
    call one = {0};
    CHECK(client_init(&c, serve_well, NULL, NULL));
    CHECK_EQ_INT(submit(&c, &one, &(ask){.curl = &(opf_curl_options){.proxy = "ftp://x:1"}}),
                 OPF_EINVAL);
    CHECK(strstr(refused.why, "unsupported proxy scheme"));
    CHECK_EQ_INT(submit(&c, &one, &(ask){.curl = &(opf_curl_options){.proxy = "http://[x"}}),
                 OPF_EINVAL);
    CHECK_STR(refused.why, "malformed proxy URL");
    opf_exchange_free(one.exchange);
    client_fini(&c);
}

TEST(the_environment_is_left_alone)
{
    client c;
    call one = {0};
    CHECK(client_init(&c, serve_well, NULL, NULL));
    setenv("http_proxy", "http://127.0.0.1:9", 1);
    CHECK_EQ_INT(get(&c, &one), OPF_FAIL_NONE);
    unsetenv("http_proxy");
    opf_exchange_free(one.exchange);
    client_fini(&c);
}

/* Authentication */

/* Asks for Digest and takes whoever answers with anything; counts the requests that had a body. */
static void serve_digest(int fd, int number, void *arg)
{
    char request[4096];
    int *counts = arg;
    (void)number;
    while (peer_read_request(fd, request, sizeof(request))) {
        bool known = strstr(request, "\r\nAuthorization: Digest username=\"jane\"");
        __atomic_add_fetch(&counts[known], 1, __ATOMIC_SEQ_CST);
        if (!known)
            peer_send(fd, "HTTP/1.1 401 Who\r\nWWW-Authenticate: Digest realm=\"r\", "
                          "nonce=\"n\", qop=\"auth\"\r\nContent-Length: 2\r\n\r\nno");
        else if (strstr(request, "\r\n\r\nhello"))
            peer_send(fd, ANSWER);
        else
            peer_send(fd, "HTTP/1.1 400 No Body\r\nContent-Length: 0\r\n\r\n");
    }
}

TEST(digest)
{
    opf_curl_options jane = {.auth = OPF_AUTH_DIGEST, .user = "jane", .password = "pw"};
    opf_curl_options joe = {.auth = OPF_AUTH_DIGEST, .user = "joe", .password = "pw"};
    client c;
    call one = {0};
    int counts[2] = {0};
    ask a = {.method = "POST", .body = "hello", .body_len = 5, .curl = &jane};
    CHECK(client_init(&c, serve_digest, counts, NULL));
    for (int i = 0; i < 3; i++) {
        a.stream = i == 1;
        CHECK_EQ_INT(submit(&c, &one, &a), 0);
        CHECK(call_drive(c.engine, &one.done, 1));
        CHECK_EQ_INT(result_of(&one)->status, 200);
        CHECK_EQ_INT(result_of(&one)->n_fields, 1);
        call_idle(c.engine);
        CHECK_EQ_INT(result_of(&one)->failure, OPF_FAIL_NONE);
    }
    CHECK_EQ_INT(counts[0], 1); /* the server's challenge serves for all */
    CHECK_EQ_INT(counts[1], 3);
    CHECK_EQ_INT(peer_count(c.server), 1);
    a.curl = &joe;
    a.stream = false;
    CHECK_EQ_INT(fetch(&c, &one, &a), OPF_FAIL_NONE);
    CHECK_EQ_INT(result_of(&one)->status, 401);
    CHECK_BYTES(result_of(&one)->body, result_of(&one)->body_len, "no");
    opf_exchange_free(one.exchange);
    client_fini(&c);
}

/* Never content, and never saying that the password is wrong. */
static void serve_stale(int fd, int number, void *arg)
{
    char request[4096];
    (void)number, (void)arg;
    while (peer_read_request(fd, request, sizeof(request)) &&
           peer_send(fd, "HTTP/1.1 401 Who\r\nWWW-Authenticate: Digest realm=\"r\", nonce=\"n\", "
                         "stale=true, qop=\"auth\"\r\nContent-Length: 2\r\n\r\nno"))
        ;
}

TEST(authentication_without_an_end)
{
    opf_curl_options jane = {.auth = OPF_AUTH_DIGEST, .user = "jane", .password = "pw"};
    client c;
    call one = {0};
    CHECK(client_init(&c, serve_stale, NULL, NULL));
    CHECK_EQ_INT(fetch(&c, &one, &(ask){.curl = &jane}), OPF_FAIL_PROTOCOL);
    CHECK_STR(result_of(&one)->detail, "it does not stop to ask for authentication");
    opf_exchange_free(one.exchange);
    client_fini(&c);
}

/* Shortage of memory */

#ifdef OPF_FAULTS

static void serve_any(int fd, int number, void *arg)
{
    char *request = malloc(32768);
    (void)number, (void)arg;
    while (request && peer_read_request(fd, request, 32768) &&
           peer_send(
               fd,
               "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX: y\r\n\r\n"))
        ;
    free(request);
}

/* Requests with one allocation of ours failing. Each is told once, or was refused. */
static void check_fault(peer *server, const opf_curl_options *options, long n, bool *fired)
{
    enum { N = 3 };
    client c = {.port = peer_port(server)};
    call calls[N] = {0};
    opf_pool_options pool = {.concurrency = 2, .timeouts = {.network_ns = 10 * OPF_NS_PER_S}};
    int error, told = 0;
    char text[64];
    char *body = calloc(1, 10000);
    opf_mem_fail_after(n);
    c.engine = opf_engine_new(NULL);
    if (c.engine)
        c.pool = opf_pool_new(c.engine, &pool, &error, text, sizeof(text));
    for (int round = 0; c.pool && round < 2; round++) {
        for (int i = 0; i < N; i++) {
            int ret = submit(&c, &calls[i],
                             &(ask){.method = "POST",
                                    .body = body,
                                    .body_len = i % 2 ? 10000 : 100,
                                    .curl = options});
            CHECK(ret == 0 || ret == OPF_ENOMEM);
            if (ret != 0)
                calls[i].done = 1;
        }
        for (int i = 0; i < N; i++)
            CHECK(call_drive(c.engine, &calls[i].done, 1));
        for (int i = 0; i < N; i++)
            told += calls[i].done;
    }
    CHECK(told <= 2 * N);
    *fired = drive_fault_fired(n);
    for (int i = 0; i < N; i++)
        opf_exchange_free(calls[i].exchange);
    opf_pool_free(c.pool);
    opf_engine_free(c.engine);
    free(body);
}

TEST(each_allocation_fails_once)
{
    char proxy[64];
    peer *socks = peer_new(serve_socks5, "");
    snprintf(proxy, sizeof(proxy), "socks5h://jane:pw@127.0.0.1:%u", peer_port(socks));
    opf_curl_options all[] = {{0}, {.proxy = proxy}};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        bool fired = true;
        long n = 0;
        for (; fired && n < 2000; n++) {
            peer *server = peer_new(serve_any, NULL);
            int failures = opf_test_failures;
            check_fault(server, &all[i], n, &fired);
            peer_free(server);
            if (opf_test_failures != failures) {
                printf("allocation %ld\n", n);
                return;
            }
        }
        CHECK(n > 30 && !fired);
    }
    peer_free(socks);
}

#endif

TEST(no_descriptor_is_left)
{
    int fds = drive_count_fds();
    for (int i = 0; i < 3; i++) {
        client c;
        call one = {0}, two = {0};
        CHECK(client_init(&c, i == 2 ? serve_and_hold : serve_once, i == 2 ? "HTTP" : NULL, NULL));
        if (i < 2)
            CHECK_EQ_INT(get(&c, &one), OPF_FAIL_NONE);
        CHECK_EQ_INT(submit(&c, &two, &(ask){0}), 0);
        opf_engine_poll(c.engine, 20);
        opf_exchange_free(two.exchange);
        opf_exchange_free(one.exchange);
        client_fini(&c);
        CHECK_EQ_INT(drive_count_fds(), fds);
    }
}

OPF_TEST_MAIN
