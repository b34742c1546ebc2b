/* Requests from submit to done, against servers that do as they are told. */
#include "opf_test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
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

static int get(client *c, call *one)
{
    return call_submit(one, c->engine, c->pool, "GET", c->tls, c->port, "", 0);
}

/* Requests and waits; returns the failure, or -1 if it was not told, or told twice. */
static int fetch(client *c, call *one)
{
    one->done = 0;
    if (get(c, one) != 0 || !call_drive(c->engine, &one->done, 1) || one->done != 1)
        return -1;
    return (int)opf_exchange_result(one->exchange)->failure;
}

/* A connection and the next */

TEST(a_connection_is_kept)
{
    client c;
    call one = {0};
    CHECK(client_init(&c, serve_well, NULL, NULL));
    for (uint32_t i = 0; i < 5; i++) {
        CHECK_EQ_INT(fetch(&c, &one), OPF_FAIL_NONE);
        const opf_result *result = opf_exchange_result(one.exchange);
        CHECK_EQ_INT(result->status, 200);
        CHECK_BYTES(result->body, result->body_len, "ok");
        CHECK_EQ_INT(result->carried, i);
        CHECK_EQ_INT(result->bytes_received, strlen(ANSWER));
        CHECK(result->start_ns <= result->sent_ns && result->sent_ns <= result->end_ns &&
              result->end_ns <= result->seen_ns);
    }
    CHECK_EQ_INT(peer_count(c.server), 1);
    CHECK_EQ_INT(client_connections(&c), 1);
    opf_pool_close_idle(c.pool);
    CHECK_EQ_INT(client_connections(&c), 0);
    opf_exchange_free(one.exchange);
    client_fini(&c);
}

static void told(opf_exchange *exchange, void *arg)
{
    (void)exchange;
    ++*(int *)arg;
}

/* Answers with the request's last bytes. */
static void serve_echo(int fd, int number, void *arg)
{
    char request[4096], answer[128];
    (void)number, (void)arg;
    while (peer_read_request(fd, request, sizeof(request))) {
        snprintf(answer, sizeof(answer), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n%s",
                 request + strlen(request) - 2);
        if (!peer_send(fd, answer))
            return;
    }
}

TEST(a_prepared_request)
{
    static const char url[] = "http://127.0.0.1";
    client c;
    opf_url parsed;
    const char *why;
    int done = 0;
    size_t len;
    CHECK(client_init(&c, serve_echo, NULL, NULL));
    CHECK_EQ_INT(opf_url_parse(url, strlen(url), &parsed, &why), 0);
    parsed.port = c.port;
    opf_exchange *exchange = opf_exchange_new(c.engine);
    CHECK(exchange);
    for (int i = 0; i < 3; i++) {
        static const char head[] = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n";
        const opf_timeouts timeouts = {.network_ns = 5 * OPF_NS_PER_S};
        char body[3] = {'b', (char)('0' + i), '\0'};
        opf_buf *out = opf_exchange_prepare(exchange, c.pool, i ? &timeouts : NULL, false);
        CHECK_EQ_INT(out->len, 0);
        CHECK_EQ_INT(opf_buf_append_str(out, head), 0);
        CHECK_EQ_INT(opf_buf_append_str(out, body), 0);
        CHECK_EQ_INT(opf_exchange_submit_prepared(exchange, c.pool, &parsed, strlen(head), false,
                                                  told, &done),
                     0);
        CHECK(call_drive(c.engine, &done, i + 1));
        const opf_result *result = opf_exchange_result(exchange);
        CHECK_EQ_INT(result->failure, OPF_FAIL_NONE);
        CHECK_BYTES(result->body, result->body_len, body);
        CHECK(result->timeouts.network_ns == (i ? timeouts.network_ns : 0));
        CHECK_BYTES(opf_exchange_request_body(exchange, &len), len, body);
    }
    CHECK_EQ_INT(peer_count(c.server), 1);
    opf_exchange_free(exchange);
    client_fini(&c);
}

TEST(a_closed_connection_is_replaced)
{
    client c;
    call one = {0};
    CHECK(client_init(&c, serve_once, NULL, NULL));
    for (int i = 0; i < 5; i++) {
        CHECK_EQ_INT(fetch(&c, &one), OPF_FAIL_NONE);
        usleep(20000); /* the server closes, and nobody polls */
    }
    CHECK_EQ_INT(peer_count(c.server), 5);
    call_idle(c.engine);
    CHECK_EQ_INT(client_connections(&c), 0);
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
        {"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nall", OPF_FAIL_NONE, 200},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        client c;
        call one = {0};
        CHECK(client_init(&c, serve_first, (void *)(uintptr_t)cases[i].text, NULL));
        CHECK_EQ_INT(fetch(&c, &one), cases[i].failure);
        CHECK_EQ_INT(opf_exchange_result(one.exchange)->status, cases[i].status);
        CHECK_EQ_INT(client_connections(&c), 0);
        CHECK_EQ_INT(fetch(&c, &one), OPF_FAIL_NONE);
        opf_exchange_free(one.exchange);
        client_fini(&c);
    }
}

TEST(reset)
{
    client c;
    call one = {0};
    CHECK(client_init(&c, serve_reset, NULL, NULL));
    CHECK_EQ_INT(fetch(&c, &one), OPF_FAIL_RESET);
    CHECK_EQ_INT(opf_exchange_result(one.exchange)->phase, OPF_PHASE_WAIT);
    CHECK_EQ_INT(fetch(&c, &one), OPF_FAIL_NONE);
    opf_exchange_free(one.exchange);
    client_fini(&c);
}

TEST(a_large_body_and_an_early_answer)
{
    client c;
    call one = {0};
    void *body = calloc(1, LARGE);
    CHECK(client_init(&c, serve_first,
                      "HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno",
                      NULL) &&
          body);
    /* the server reads the head only: 4 KiB are not enough for the body */
    CHECK_EQ_INT(call_submit(&one, c.engine, c.pool, "POST", false, c.port, body, LARGE), 0);
    CHECK(call_drive(c.engine, &one.done, 1));
    opf_failure failure = opf_exchange_result(one.exchange)->failure;
    /* a reset may overtake the answer; that the server closed is all that is certain */
    CHECK(failure == OPF_FAIL_NONE || failure == OPF_FAIL_RESET || failure == OPF_FAIL_CLOSED);
    CHECK_EQ_INT(client_connections(&c), 0);
    CHECK_EQ_INT(fetch(&c, &one), OPF_FAIL_NONE);
    opf_exchange_free(one.exchange);
    client_fini(&c);
    free(body);
}

/* Time-outs */

static void check_timeout(const char *url, client *c, size_t body_len, opf_failure failure,
                          opf_phase phase)
{
    call one = {0};
    char text[64];
    void *body = calloc(1, body_len + 1);
    snprintf(text, sizeof(text), "%s:%u/", url, c->port);
    CHECK_EQ_INT(
        call_submit_url(&one, c->engine, c->pool, body_len ? "POST" : "GET", text, body, body_len),
        0);
    CHECK(call_drive(c->engine, &one.done, 1));
    CHECK_EQ_INT(opf_exchange_result(one.exchange)->failure, failure);
    CHECK_EQ_INT(opf_exchange_result(one.exchange)->phase, phase);
    CHECK_EQ_INT(client_connections(c), 0);
    opf_exchange_free(one.exchange);
    free(body);
}

static const opf_pool_options impatient = {.timeouts = {SHORTLY, SHORTLY}};

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
        CHECK(client_init(&c, cases[i].serve, (void *)(uintptr_t)cases[i].text, &impatient));
        check_timeout(cases[i].url, &c, cases[i].body_len, cases[i].failure, cases[i].phase);
        client_fini(&c);
    }
}

/* A port that never answers an attempt to connect, as its backlog is full. */
typedef struct stalled {
    int listener;
    int held[4];
    uint16_t port;
} stalled;

static bool stalled_open(stalled *s)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(in);
    s->listener = socket(AF_INET, SOCK_STREAM, 0);
    if (s->listener < 0 || bind(s->listener, (struct sockaddr *)&in, len) != 0 ||
        listen(s->listener, 0) != 0 || getsockname(s->listener, (struct sockaddr *)&in, &len) != 0)
        return false;
    for (int i = 0; i < 4; i++) {
        s->held[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        connect(s->held[i], (struct sockaddr *)&in, len);
    }
    s->port = ntohs(in.sin_port);
    return true;
}

static void stalled_close(stalled *s)
{
    for (int i = 0; i < 4; i++)
        close(s->held[i]);
    close(s->listener);
}

TEST(time_outs_before_there_is_a_connection)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(in);
    stalled port;
    client c;
    CHECK(stalled_open(&port));
    CHECK(client_init(&c, NULL, NULL, &impatient));
    c.port = port.port;
    check_timeout("http://127.0.0.1", &c, 0, OPF_FAIL_CONNECT_TIMEOUT, OPF_PHASE_CONNECT);
    client_fini(&c);
    stalled_close(&port);

    /* a name server that does not answer */
    char servers[32], error_text[64];
    int silent = socket(AF_INET, SOCK_DGRAM, 0), error;
    CHECK(silent >= 0 && bind(silent, (struct sockaddr *)&in, len) == 0 &&
          getsockname(silent, (struct sockaddr *)&in, &len) == 0);
    snprintf(servers, sizeof(servers), "127.0.0.1:%u", ntohs(in.sin_port));
    c = (client){.engine = opf_engine_new(&(opf_engine_options){.nameservers = servers})};
    CHECK(c.engine);
    c.pool = opf_pool_new(c.engine, &impatient, &error, error_text, sizeof(error_text));
    c.port = 80;
    check_timeout("http://nobody.example", &c, 0, OPF_FAIL_RESOLVE_TIMEOUT, OPF_PHASE_RESOLVE);
    client_fini(&c);
    close(silent);
}

/* Many at once */

TEST(the_rest_waits_in_a_queue)
{
    enum { N = 40 };
    client c;
    call calls[N] = {0};
    CHECK(client_init(&c, serve_well, NULL, &(opf_pool_options){.concurrency = 2}));
    for (int i = 0; i < N; i++)
        CHECK_EQ_INT(get(&c, &calls[i]), 0);
    CHECK_EQ_INT(client_connections(&c), 2);
    for (int i = 0; i < N; i++)
        CHECK(call_drive(c.engine, &calls[i].done, 1));
    call_idle(c.engine);
    for (int i = 0; i < N; i++) {
        CHECK_EQ_INT(calls[i].done, 1);
        CHECK_EQ_INT(opf_exchange_result(calls[i].exchange)->failure, OPF_FAIL_NONE);
        opf_exchange_free(calls[i].exchange);
    }
    CHECK_EQ_INT(peer_count(c.server), 2);
    client_fini(&c);
}

/* One connection whose server fails each first time: nobody in the queue is forgotten. */
TEST(the_queue_goes_on_after_failures)
{
    enum { N = 20 };
    client c;
    call calls[N] = {0};
    CHECK(client_init(&c, serve_once, NULL, &(opf_pool_options){.concurrency = 1}));
    for (int i = 0; i < N; i++)
        CHECK_EQ_INT(get(&c, &calls[i]), 0);
    for (int i = 0; i < N; i++)
        CHECK(call_drive(c.engine, &calls[i].done, 1));
    call_idle(c.engine);
    for (int i = 0; i < N; i++) {
        CHECK_EQ_INT(calls[i].done, 1);
        opf_exchange_free(calls[i].exchange);
    }
    CHECK_EQ_INT(client_connections(&c), 0);
    client_fini(&c);
}

/* Lost interest */

static int submit_plainly(client *c, call *one, const char *method, bool tls, const void *body,
                          size_t body_len)
{
    return call_submit(one, c->engine, c->pool, method, tls, c->port, body, body_len);
}

TEST(cancelled)
{
    check_cancelled_everywhere(submit_plainly);
}

TEST(cancelled_in_the_queue_and_when_told)
{
    client c;
    call first = {0}, queued = {0}, refused = {0};
    char url[400] = "http://";
    CHECK(client_init(&c, serve_well, NULL, &(opf_pool_options){.concurrency = 1}));
    CHECK_EQ_INT(get(&c, &first), 0);
    CHECK_EQ_INT(get(&c, &queued), 0);
    opf_exchange_cancel(queued.exchange);
    /* a host that can't be one fails at once, and is told in the next poll */
    memset(url + 7, 'x', 300);
    strcpy(url + 307, "/");
    CHECK_EQ_INT(call_submit_url(&refused, c.engine, c.pool, "GET", url, "", 0), 0);
    opf_exchange_cancel(refused.exchange);
    CHECK(call_drive(c.engine, &first.done, 1));
    call_idle(c.engine);
    CHECK_EQ_INT(queued.done, 0);
    CHECK_EQ_INT(refused.done, 0);
    CHECK_EQ_INT(call_submit_url(&refused, c.engine, c.pool, "GET", url, "", 0), 0);
    CHECK(call_drive(c.engine, &refused.done, 1));
    CHECK_EQ_INT(opf_exchange_result(refused.exchange)->failure, OPF_FAIL_RESOLVE);
    /* each can be used again */
    CHECK_EQ_INT(fetch(&c, &queued), OPF_FAIL_NONE);
    opf_exchange_free(first.exchange);
    opf_exchange_free(queued.exchange);
    opf_exchange_free(refused.exchange);
    client_fini(&c);
}

TEST(a_pool_is_freed_with_all_that_is_under_way)
{
    enum { N = 6 };
    client c;
    call calls[N] = {0}, other = {0};
    opf_pool_options options = {.concurrency = 3};
    int error;
    char text[64];
    CHECK(client_init(&c, serve_well, NULL, &options));
    opf_pool *pool = opf_pool_new(c.engine, &options, &error, text, sizeof(text));
    peer *silent = peer_new(serve_and_hold, "");
    CHECK(pool && silent);
    for (int i = 0; i < N; i++) {
        CHECK_EQ_INT(call_submit(&calls[i], c.engine, pool, "GET", false, peer_port(silent), "", 0),
                     0);
        if (i == 1)
            CHECK(drive_to(&c, &calls[0], OPF_PHASE_WAIT));
    }
    opf_pool_free(pool);
    CHECK_EQ_INT(client_connections(&c), 0);
    CHECK_EQ_INT(fetch(&c, &other), OPF_FAIL_NONE);
    for (int i = 0; i < N; i++) {
        CHECK_EQ_INT(calls[i].done, 0);
        if (i % 2)
            CHECK_EQ_INT(fetch(&c, &calls[i]), OPF_FAIL_NONE);
        opf_exchange_free(calls[i].exchange);
    }
    opf_exchange_free(other.exchange);
    peer_free(silent);
    client_fini(&c);
}

/* Many hosts */

static size_t count_origins(const opf_pool *pool)
{
    size_t n = 0;
    for (const opf_node *node = pool->origins.next; node != &pool->origins; node = node->next)
        n++;
    return n;
}

TEST(origins_without_a_connection_are_forgotten)
{
    client c;
    call one = {0};
    char url[64];
    CHECK(client_init(&c, serve_well, NULL, NULL));
    CHECK_EQ_INT(fetch(&c, &one), OPF_FAIL_NONE);
    for (int i = 2; i < 200; i++) { /* nobody listens there */
        one.done = 0;
        snprintf(url, sizeof(url), "http://127.0.0.%d:%u/", i, c.port);
        CHECK_EQ_INT(call_submit_url(&one, c.engine, c.pool, "GET", url, "", 0), 0);
        CHECK(call_drive(c.engine, &one.done, 1));
        CHECK_EQ_INT(opf_exchange_result(one.exchange)->failure, OPF_FAIL_REFUSED);
    }
    CHECK(count_origins(c.pool) <= 2);
    CHECK_EQ_INT(fetch(&c, &one), OPF_FAIL_NONE);
    CHECK_EQ_INT(peer_count(c.server), 1);
    opf_exchange_free(one.exchange);
    client_fini(&c);
}

/* Shortage of memory */

#ifdef OPF_FAULTS

/* Requests with one allocation failing. Each call is told once, or was refused at once. */
static void check_fault(peer *server, const char *host, long n, bool *fired)
{
    enum { N = 4 };
    client c = {.port = peer_port(server)};
    call calls[N] = {0};
    opf_pool_options options = {.concurrency = 2, .timeouts.network_ns = 10 * OPF_NS_PER_S};
    int error, expected = 0, told = 0;
    char text[64], url[64];
    char *body = calloc(1, 10000);
    snprintf(url, sizeof(url), "http://%s:%u/", host, c.port);
    opf_mem_fail_after(n);
    c.engine = opf_engine_new(NULL);
    if (c.engine)
        c.pool = opf_pool_new(c.engine, &options, &error, text, sizeof(text));
    for (int round = 0; c.pool && round < 2; round++) {
        for (int i = 0; i < N; i++) {
            calls[i].done = 0;
            int ret = call_submit_url(&calls[i], c.engine, c.pool, "POST", url, body,
                                      i % 2 ? 10000 : 100);
            CHECK(ret == 0 || ret == OPF_ENOMEM);
            expected += ret == 0;
            if (ret != 0)
                calls[i].done = 1;
        }
        for (int i = 0; i < N; i++)
            CHECK(call_drive(c.engine, &calls[i].done, 1));
        for (int i = 0; i < N; i++) {
            opf_failure failure =
                calls[i].exchange ? opf_exchange_result(calls[i].exchange)->failure : 0;
            told += calls[i].done;
            CHECK(failure == OPF_FAIL_NONE || failure == OPF_FAIL_NOMEM ||
                  failure == OPF_FAIL_CONNECT || failure == OPF_FAIL_RESOLVE);
        }
    }
    CHECK(told <= 2 * N && expected <= told);
    *fired = drive_fault_fired(n);
    for (int i = 0; i < N; i++)
        opf_exchange_free(calls[i].exchange);
    opf_pool_free(c.pool);
    opf_engine_free(c.engine);
    free(body);
}

static void serve_any(int fd, int number, void *arg)
{
    char *request = malloc(32768);
    (void)number, (void)arg;
    while (
        request && peer_read_request(fd, request, 32768) &&
        peer_send(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"))
        ;
    free(request);
}

TEST(each_allocation_fails_once)
{
    static const char *const hosts[] = {"127.0.0.1", "localhost"};
    for (size_t h = 0; h < 2; h++) {
        bool fired = true;
        long n = 0;
        for (; fired && n < 500; n++) {
            peer *server = peer_new(serve_any, NULL);
            int fds = drive_count_fds(), failures = opf_test_failures;
            check_fault(server, hosts[h], n, &fired);
            if (opf_test_failures != failures) {
                printf("allocation %ld, %s\n", n, hosts[h]);
                return;
            }
            /* the server's connections come and go as they please */
            int server_fds = 2 * peer_count(server);
            CHECK(drive_count_fds() <= fds + server_fds);
            peer_free(server);
        }
        CHECK(n > 20 && !fired);
    }
}

/* Nobody waits for ever because there was no memory for the timer. */
TEST(time_outs_without_memory)
{
    static const opf_pool_options options = {.timeouts = {20 * OPF_NS_PER_MS, 20 * OPF_NS_PER_MS}};
    bool fired = true;
    stalled port;
    CHECK(stalled_open(&port));
    for (long n = 0; fired && n < 500; n++) {
        client c;
        call one = {0};
        int ret = OPF_ENOMEM;
        opf_mem_fail_after(n);
        if (client_init(&c, NULL, NULL, &options)) {
            c.port = port.port;
            ret = get(&c, &one);
        }
        CHECK(ret == 0 || ret == OPF_ENOMEM);
        if (ret == 0)
            CHECK(call_drive(c.engine, &one.done, 1));
        fired = drive_fault_fired(n);
        opf_exchange_free(one.exchange);
        client_fini(&c);
    }
    stalled_close(&port);
    CHECK(!fired);
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
            CHECK_EQ_INT(fetch(&c, &one), OPF_FAIL_NONE);
        CHECK_EQ_INT(get(&c, &two), 0);
        opf_engine_poll(c.engine, 20);
        opf_exchange_free(two.exchange);
        opf_exchange_free(one.exchange);
        client_fini(&c);
        CHECK_EQ_INT(drive_count_fds(), fds);
    }
}

OPF_TEST_MAIN
