/* TLS as servers really speak it: many records at once, records too many, and talk of their own. */
#include "opf_test.h"

#include <poll.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "drive.h"
#include "opf.h"
#include "peer.h"
#include "tls_side.h"

/* A client with one pool */
typedef struct client {
    opf_engine *engine;
    opf_pool *pool;
    peer *server;
} client;

static bool client_init(client *c, peer_fn *serve, uint64_t timeout_ns)
{
    int error;
    char text[256];
    opf_pool_options options = {.timeouts.network_ns = timeout_ns};
    c->engine = opf_engine_new(NULL);
    c->pool = c->engine ? opf_pool_new(c->engine, &options, &error, text, sizeof(text)) : NULL;
    c->server = peer_new(serve, NULL);
    return c->pool && c->server;
}

static void client_fini(client *c)
{
    opf_pool_free(c->pool);
    opf_engine_free(c->engine);
    peer_free(c->server);
}

/* Requests and waits. Returns the result, or NULL. */
static const opf_result *fetch(client *c, call *get)
{
    get->done = 0;
    if (call_submit(get, c->engine, c->pool, "GET", true, peer_port(c->server), "", 0) != 0 ||
        !call_drive(c->engine, &get->done, 1))
        return NULL;
    return opf_exchange_result(get->exchange);
}

/* One request to a server of its own: its response must have this body. */
static void check_body(peer_fn *serve, const char *body)
{
    client c;
    call get = {0};
    CHECK(client_init(&c, serve, 0));
    const opf_result *result = fetch(&c, &get);
    CHECK(result);
    CHECK_EQ_INT(result->failure, OPF_FAIL_NONE);
    CHECK_BYTES(result->body, result->body_len, body);
    opf_exchange_free(get.exchange);
    client_fini(&c);
}

#define RECORDS 150

/* One record for each chunk, and all of them in one segment: what streaming servers send. */
static void serve_records(int fd, int number, void *arg)
{
    side s;
    (void)number, (void)arg;
    if (side_init(&s, fd, TLS1_3_VERSION)) {
        while (side_read(&s)) {
            side_write(&s, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            for (int i = 0; i < RECORDS; i++)
                side_write(&s, "1\r\nx\r\n");
            side_write(&s, "0\r\n\r\n");
            side_flush(&s);
        }
    }
    side_fini(&s);
}

/* No event tells of records that the TLS layer has read ahead; without a time-out nothing would
 * ever go on with them. */
TEST(many_records_in_one_piece)
{
    client c;
    call get = {0};
    CHECK(client_init(&c, serve_records, 0));
    for (int i = 0; i < 3; i++) {
        const opf_result *result = fetch(&c, &get);
        CHECK(result);
        CHECK_EQ_INT(result->failure, OPF_FAIL_NONE);
        CHECK_EQ_INT(result->body_len, RECORDS);
    }
    CHECK_EQ_INT(peer_count(c.server), 1);
    opf_exchange_free(get.exchange);
    client_fini(&c);
}

/* An answer too many, in a record of its own that comes along with the one that was asked for. */
static void serve_too_much(int fd, int number, void *arg)
{
    side s;
    (void)number, (void)arg;
    if (side_init(&s, fd, TLS1_3_VERSION)) {
        while (side_read(&s)) {
            side_write(&s, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nright");
            side_write(&s, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong");
            side_flush(&s);
        }
    }
    side_fini(&s);
}

TEST(an_answer_too_many_is_nobodys)
{
    client c;
    call get = {0};
    CHECK(client_init(&c, serve_too_much, 0));
    for (int i = 0; i < 4; i++) {
        const opf_result *result = fetch(&c, &get);
        CHECK(result);
        CHECK_EQ_INT(result->failure, OPF_FAIL_NONE);
        CHECK_BYTES(result->body, result->body_len, "right");
    }
    CHECK_EQ_INT(peer_count(c.server), 4);
    opf_exchange_free(get.exchange);
    client_fini(&c);
}

/* Says all it has to say before it is asked, with the handshake's last words. */
static void serve_early(int fd, int number, void *arg)
{
    side s;
    (void)number, (void)arg;
    if (side_init(&s, fd, TLS1_2_VERSION)) {
        side_write(&s, "HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy");
        side_flush(&s);
        peer_wait_closed(fd);
    }
    side_fini(&s);
}

TEST(an_answer_with_the_handshake)
{
    client c;
    call get = {0};
    CHECK(client_init(&c, serve_early, 0));
    const opf_result *result = fetch(&c, &get);
    CHECK(result);
    CHECK_EQ_INT(result->status, 503);
    CHECK_BYTES(result->body, result->body_len, "busy");
    opf_exchange_free(get.exchange);
    client_fini(&c);
}

/* Answers without a length, with a record behind it that is none: the connection's end is not the
 * body's. */
static void serve_garbage(int fd, int number, void *arg)
{
    static const char record[] = "\x17\x03\x03\x00\x20no key has ever been known to it";
    side s;
    (void)number, (void)arg;
    if (side_init(&s, fd, TLS1_3_VERSION) && side_read(&s)) {
        side_write(&s, "HTTP/1.1 200 OK\r\n\r\nabc");
        BIO_write(s.out, record, sizeof(record) - 1);
        side_flush(&s);
        peer_wait_closed(fd);
    }
    side_fini(&s);
}

TEST(a_failure_behind_an_answer_in_the_same_piece)
{
    client c;
    call get = {0};
    CHECK(client_init(&c, serve_garbage, 0));
    const opf_result *result = fetch(&c, &get);
    CHECK(result);
    CHECK_EQ_INT(result->status, 200);
    CHECK_EQ_INT(result->failure, OPF_FAIL_TLS);
    CHECK(result->detail && strstr(result->detail, "bad record mac"));
    opf_exchange_free(get.exchange);
    client_fini(&c);
}

/* The same with the word that it is over, while the socket stays open. */
static void serve_farewell(int fd, int number, void *arg)
{
    side s;
    (void)number, (void)arg;
    if (side_init(&s, fd, TLS1_3_VERSION) && side_read(&s)) {
        side_write(&s, "HTTP/1.1 200 OK\r\n\r\nabc");
        SSL_shutdown(s.ssl);
        side_flush(&s);
        peer_wait_closed(fd);
    }
    side_fini(&s);
}

TEST(a_farewell_behind_an_answer_in_the_same_piece)
{
    check_body(serve_farewell, "abc");
}

/* Wants to renegotiate in the middle of an upload, and goes away when the client waits for that. */
static void serve_renegotiation(int fd, int number, void *arg)
{
    side s;
    (void)number, (void)arg;
    if (side_init(&s, fd, TLS1_2_VERSION) && side_read(&s)) {
        char rest[1 << 14];
        struct pollfd silence = {.fd = fd, .events = POLLIN};
        SSL_renegotiate(s.ssl);
        SSL_do_handshake(s.ssl);
        side_flush(&s);
        while (poll(&silence, 1, 300) > 0 && recv(fd, rest, sizeof(rest), 0) > 0)
            ;
        shutdown(fd, SHUT_WR);
        peer_wait_closed(fd);
    }
    side_fini(&s);
}

TEST(no_answer_is_no_success)
{
    client c;
    call post = {0};
    size_t size = 64U << 20;
    void *body = calloc(1, size);
    CHECK(client_init(&c, serve_renegotiation, 0) && body);
    CHECK_EQ_INT(
        call_submit(&post, c.engine, c.pool, "POST", true, peer_port(c.server), body, size), 0);
    CHECK(call_drive(c.engine, &post.done, 1));
    const opf_result *result = opf_exchange_result(post.exchange);
    CHECK(result->failure != OPF_FAIL_NONE);
    CHECK_EQ_INT(result->status, 0);
    opf_exchange_free(post.exchange);
    client_fini(&c);
    free(body);
}

/* Receiving that has to write */

#define RECORD (16U << 10)
#define RECORD_MORE 29 /* bytes that TLS 1.2 puts around one, with the usual cipher */

/* A server on a Unix socket, which takes whole records or nothing, so that it is known when it is
 * full. Its first client tells how many fit, the others are asked to renegotiate with exactly those
 * on their way: their answer to that has to wait. */
typedef struct jam {
    int listener;
    char path[64];
    size_t body; /* of a request that fills the socket */
    pthread_t thread;
} jam;

static bool jam_measure(jam *j)
{
    side s;
    int fd = accept(j->listener, NULL, NULL), bytes = 0;
    if (side_init(&s, fd, TLS1_2_VERSION) && side_flush(&s)) {
        usleep(300000); /* the client writes until nothing more goes in */
        if (ioctl(fd, FIONREAD, &bytes) == 0)
            j->body = (size_t)bytes / (RECORD + RECORD_MORE) * RECORD;
    }
    side_fini(&s);
    close(fd);
    return j->body > 0;
}

/* begins: a part of the answer comes first, in the same piece. */
static void jam_renegotiate(jam *j, bool begins)
{
    static const char begin[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n";
    side s;
    char data[RECORD];
    int fd = accept(j->listener, NULL, NULL);
    if (side_init(&s, fd, TLS1_2_VERSION) && side_flush(&s)) {
        usleep(300000);
        if (begins)
            side_write(&s, begin);
        SSL_renegotiate(s.ssl);
        SSL_do_handshake(s.ssl);
        side_flush(&s);
        usleep(100000);
        bool open = true;
        while (open && SSL_renegotiate_pending(s.ssl)) /* the request comes first */
            if (SSL_read(s.ssl, data, sizeof(data)) <= 0)
                open = side_flush(&s) && (!SSL_renegotiate_pending(s.ssl) || side_fill(&s));
        if (open && !begins)
            side_write(&s, begin);
        if (open)
            side_write(&s, "ok");
        side_flush(&s);
        peer_wait_closed(fd);
    }
    side_fini(&s);
    close(fd);
}

static void *jam_serve(void *arg)
{
    if (jam_measure(arg)) {
        jam_renegotiate(arg, false);
        jam_renegotiate(arg, true);
    }
    return NULL;
}

static bool jam_init(jam *j)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    *j = (jam){.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    int len = snprintf(j->path, sizeof(j->path), "@opf-test-tls-%d", (int)getpid());
    memcpy(name.sun_path + 1, j->path + 1, (size_t)len - 1);
    return bind(j->listener, (struct sockaddr *)&name,
                (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)len)) == 0 &&
           listen(j->listener, 5) == 0 && pthread_create(&j->thread, NULL, jam_serve, j) == 0;
}

TEST(receiving_waits_until_it_can_write)
{
    jam j;
    call post = {0};
    int error;
    char text[64];
    size_t size = 4U << 20;
    void *body = calloc(1, size);
    CHECK(jam_init(&j) && body);
    opf_pool_options options = {.network.unix_path = j.path};
    opf_engine *engine = opf_engine_new(NULL);
    opf_pool *pool = opf_pool_new(engine, &options, &error, text, sizeof(text));
    CHECK(pool);
    CHECK_EQ_INT(call_submit(&post, engine, pool, "POST", true, 443, body, size), 0);
    CHECK(call_drive(engine, &post.done, 1)); /* the server closes */
    CHECK(j.body > 0 && j.body < size);
    bool done[2];
    opf_failure failures[2];
    for (int i = 0; i < 2; i++) {
        CHECK_EQ_INT(call_submit(&post, engine, pool, "POST", true, 443, body, j.body), 0);
        done[i] = call_drive(engine, &post.done, 2 + i);
        failures[i] = opf_exchange_result(post.exchange)->failure;
        if (!done[i])
            opf_exchange_cancel(post.exchange);
        opf_pool_close_idle(pool);
    }
    opf_exchange_free(post.exchange);
    opf_pool_free(pool);
    opf_engine_free(engine);
    pthread_join(j.thread, NULL);
    close(j.listener);
    free(body);
    for (int i = 0; i < 2; i++) {
        CHECK(done[i]);
        CHECK_EQ_INT(failures[i], OPF_FAIL_NONE);
    }
}

#ifdef OPF_FAULTS

/* Talks of keys, bit by bit, for as long as somebody listens, and answers nothing. */
static void serve_keys(int fd, int number, void *arg)
{
    side s;
    (void)number, (void)arg;
    if (side_init(&s, fd, TLS1_3_VERSION) && side_read(&s))
        while (side_flush(&s) && SSL_key_update(s.ssl, SSL_KEY_UPDATE_NOT_REQUESTED) == 1 &&
               SSL_do_handshake(s.ssl) == 1)
            usleep(1000);
    side_fini(&s);
}

TEST(records_without_data_put_no_time_out_off)
{
    client c;
    call get = {0};
    CHECK(client_init(&c, serve_keys, 200 * OPF_NS_PER_MS));
    const opf_result *result = fetch(&c, &get);
    CHECK(result);
    CHECK_EQ_INT(result->failure, OPF_FAIL_READ_TIMEOUT);
    CHECK_EQ_INT(result->bytes_received, 0);
    opf_exchange_free(get.exchange);
    client_fini(&c);
}

/* Sends all at once what the client is to hear of keys, and only then the answer. */
static void serve_keys_first(int fd, int number, void *arg)
{
    side s;
    (void)number, (void)arg;
    if (side_init(&s, fd, TLS1_3_VERSION) && side_read(&s)) {
        for (int i = 0; i < 20000; i++)
            if (SSL_key_update(s.ssl, SSL_KEY_UPDATE_NOT_REQUESTED) != 1 ||
                SSL_do_handshake(s.ssl) != 1)
                break;
        side_write(&s, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nright");
        side_flush(&s);
        peer_wait_closed(fd);
    }
    side_fini(&s);
}

TEST(records_without_data_end_no_turn_too_early)
{
    check_body(serve_keys_first, "right");
}

TEST(each_allocation_fails_once)
{
    bool fired = true;
    for (long n = 0; fired && n < 500; n++) {
        client c = {.server = peer_new(serve_records, NULL)};
        call get = {0};
        int error, ret = 0;
        char text[256];
        opf_pool_options options = {.timeouts.network_ns = 10 * OPF_NS_PER_S};
        opf_mem_fail_after(n);
        c.engine = opf_engine_new(NULL);
        c.pool = c.engine ? opf_pool_new(c.engine, &options, &error, text, sizeof(text)) : NULL;
        for (int i = 0; c.pool && i < 2 && ret == 0; i++) {
            ret = call_submit(&get, c.engine, c.pool, "GET", true, peer_port(c.server), "", 0);
            CHECK(ret == 0 || ret == OPF_ENOMEM);
            if (ret == 0)
                CHECK(call_drive(c.engine, &get.done, i + 1));
            opf_failure failure =
                get.exchange ? opf_exchange_result(get.exchange)->failure : OPF_FAIL_NONE;
            CHECK(failure == OPF_FAIL_NONE || failure == OPF_FAIL_NOMEM || failure == OPF_FAIL_TLS);
        }
        fired = drive_fault_fired(n);
        opf_exchange_free(get.exchange);
        client_fini(&c);
    }
    CHECK(!fired);
}

#endif

OPF_TEST_MAIN
