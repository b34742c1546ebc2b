/* TLS as servers really speak it: many records at once, records too many, and talk of their own. */
#include "opf_test.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "drive.h"
#include "opf.h"
#include "peer.h"

#define CERTIFICATE "tests/servers/certificates/localhost.pem"

/* The server's side of a connection: what it writes is kept until it is flushed as one piece. */
typedef struct side {
    SSL *ssl;
    SSL_CTX *ctx;
    BIO *in;
    BIO *out;
    int fd;
} side;

static bool side_flush(side *s)
{
    char data[1 << 16];
    int n;
    while ((n = BIO_read(s->out, data, sizeof(data))) > 0)
        if (send(s->fd, data, (size_t)n, MSG_NOSIGNAL) != n)
            return false;
    return true;
}

static bool side_fill(side *s)
{
    char data[1 << 14];
    ssize_t n = recv(s->fd, data, sizeof(data), 0);
    return n > 0 && BIO_write(s->in, data, (int)n) == n;
}

static void side_fini(side *s)
{
    SSL_free(s->ssl);
    SSL_CTX_free(s->ctx);
    ERR_clear_error();
}

/* Makes the side and does the handshake, whose last words are only sent by the next flush. */
static bool side_init(side *s, int fd, int version)
{
    *s = (side){.fd = fd, .ctx = SSL_CTX_new(TLS_server_method())};
    SSL_CTX_set_max_proto_version(s->ctx, version);
    if (SSL_CTX_use_certificate_chain_file(s->ctx, CERTIFICATE) != 1 ||
        SSL_CTX_use_PrivateKey_file(s->ctx, CERTIFICATE, SSL_FILETYPE_PEM) != 1)
        return false;
    s->ssl = SSL_new(s->ctx);
    s->in = BIO_new(BIO_s_mem());
    s->out = BIO_new(BIO_s_mem());
    SSL_set_bio(s->ssl, s->in, s->out);
    SSL_set_accept_state(s->ssl);
    while (SSL_do_handshake(s->ssl) != 1)
        if (!side_flush(s) || !side_fill(s))
            return false;
    return true;
}

static bool side_read(side *s)
{
    char data[1 << 14];
    while (SSL_read(s->ssl, data, sizeof(data)) <= 0)
        if (!side_flush(s) || !side_fill(s))
            return false;
    return true;
}

static void side_write(side *s, const char *text)
{
    SSL_write(s->ssl, text, (int)strlen(text));
}

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
        CHECK_EQ_INT(call_submit(&get, c.engine, c.pool, "GET", true, peer_port(c.server), "", 0),
                     0);
        CHECK(call_drive(c.engine, &get.done, i + 1));
        CHECK_EQ_INT(opf_exchange_result(get.exchange)->failure, OPF_FAIL_NONE);
        CHECK_EQ_INT(opf_exchange_result(get.exchange)->body_len, RECORDS);
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
        CHECK_EQ_INT(call_submit(&get, c.engine, c.pool, "GET", true, peer_port(c.server), "", 0),
                     0);
        CHECK(call_drive(c.engine, &get.done, i + 1));
        const opf_result *result = opf_exchange_result(get.exchange);
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
    CHECK_EQ_INT(call_submit(&get, c.engine, c.pool, "GET", true, peer_port(c.server), "", 0), 0);
    CHECK(call_drive(c.engine, &get.done, 1));
    const opf_result *result = opf_exchange_result(get.exchange);
    CHECK_EQ_INT(result->status, 503);
    CHECK_BYTES(result->body, result->body_len, "busy");
    opf_exchange_free(get.exchange);
    client_fini(&c);
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

#ifdef OPF_FAULTS

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
