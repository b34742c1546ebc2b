/* What the options of TLS come to: on the wire, and in words when they can't be. */
#include "opf_test.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <unistd.h>

#include "client/engine.h"
#include "client/pool.h"
#include "drive.h"
#include "opf.h"
#include "peer.h"
#include "tls_side.h"

#define LOCALHOST SIDE_CERTIFICATES "localhost.pem"
#define AUTHORITY SIDE_CERTIFICATES "authority.pem"
#define CLIENT SIDE_CERTIFICATES "client.pem"
#define LOCKED SIDE_CERTIFICATES "client-locked.pem"
#define RSA_KEY SIDE_CERTIFICATES "client-rsa.key"
#define PASSWORD "correct horse"

/* What a server is to do, and what it has seen of its last client. */
typedef struct script {
    int version;              /* the highest it speaks */
    bool wants_client;        /* asks for a certificate and goes without one not */
    bool closes;              /* after each answer */
    unsigned char ticket[16]; /* one key for all connections, so that sessions are known again */
    char server_name[64];
    char client_name[64];
    char cipher[64];
    int spoken;
    int resumed;
} script;

static void note(script *seen, SSL *ssl)
{
    X509 *certificate = SSL_get1_peer_certificate(ssl);
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    snprintf(seen->server_name, sizeof(seen->server_name), "%s", name ? name : "");
    snprintf(seen->cipher, sizeof(seen->cipher), "%s", SSL_get_cipher_name(ssl));
    seen->spoken = SSL_version(ssl);
    seen->resumed += SSL_session_reused(ssl);
    seen->client_name[0] = '\0';
    if (certificate)
        X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName,
                                  seen->client_name, sizeof(seen->client_name));
    X509_free(certificate);
}

static SSL_CTX *context_of(const script *todo)
{
    unsigned char keys[80] = "always the same keys";
    SSL_CTX *ctx = side_context(todo->version ? todo->version : TLS1_3_VERSION);
    if (!ctx)
        return NULL;
    SSL_CTX_set_tlsext_ticket_keys(ctx, keys, SSL_CTX_set_tlsext_ticket_keys(ctx, NULL, 0));
    SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"test", 4);
    if (todo->wants_client) {
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
        SSL_CTX_load_verify_file(ctx, AUTHORITY);
    }
    return ctx;
}

static void serve(int fd, int number, void *arg)
{
    side s;
    script *todo = arg;
    (void)number;
    bool open = side_init_with(&s, fd, context_of(todo));
    if (open)
        note(todo, s.ssl);
    else
        peer_wait_closed(fd); /* a reset must not overtake the alert */
    while (open && side_read(&s)) {
        side_write(&s, todo->closes
                           ? "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"
                           : "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        side_flush(&s);
        if (todo->closes)
            break;
    }
    side_fini(&s);
}

typedef struct client {
    opf_engine *engine;
    opf_pool *pool;
    peer *server;
    script script;
    call get;
} client;

static bool client_init(client *c, const opf_pool_options *options)
{
    int error;
    char text[256] = "";
    c->engine = opf_engine_new(NULL);
    c->pool = c->engine ? opf_pool_new(c->engine, options, &error, text, sizeof(text)) : NULL;
    c->server = peer_new(serve, &c->script);
    if (!c->pool)
        printf("%s\n", text);
    return c->pool && c->server;
}

/* Ends the client and then the server, whose notes stand from then on. */
static void client_fini(client *c)
{
    opf_exchange_free(c->get.exchange);
    opf_pool_free(c->pool);
    opf_engine_free(c->engine);
    peer_free(c->server);
}

/* Requests and waits; returns the result. */
static const opf_result *fetch(client *c)
{
    static const opf_result none = {.failure = OPF_FAIL_CANCELLED};
    c->get.done = 0;
    if (call_submit(&c->get, c->engine, c->pool, "GET", true, peer_port(c->server), "", 0) != 0 ||
        !call_drive(c->engine, &c->get.done, 1))
        return &none;
    return opf_exchange_result(c->get.exchange);
}

/* Client certificates */

static void check_client(const opf_tls_options *options, int version, const char *name)
{
    client c = {.script = {.version = version, .wants_client = true}};
    CHECK(client_init(&c, &(opf_pool_options){.tls = *options}));
    const opf_result *result = fetch(&c);
    if (name) {
        CHECK_EQ_INT(result->failure, OPF_FAIL_NONE);
        CHECK_EQ_INT(result->status, 200);
    } else {
        CHECK_EQ_INT(result->failure, OPF_FAIL_TLS);
        CHECK(result->detail && strstr(result->detail, "alert"));
    }
    client_fini(&c);
    CHECK_STR(c.script.client_name, name ? name : "");
}

TEST(client_certificates)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    static const opf_tls_options self_signed = {.cert_file = SIDE_CERTIFICATES "self-signed.pem"};
    for (int i = 0; i < 2; i++) {
        check_client(&(opf_tls_options){.cert_file = CLIENT}, versions[i], "client");
        check_client(&(opf_tls_options){.cert_file = LOCKED, .key_password = PASSWORD}, versions[i],
                     "client");
        check_client(
            &(opf_tls_options){.cert_file = CLIENT, .key_file = LOCKED, .key_password = PASSWORD},
            versions[i], "client");
        check_client(&(opf_tls_options){.verify = false}, versions[i], NULL);
        check_client(&self_signed, versions[i], NULL);
    }
}

/* Options that can't be */

static void check_refused(opf_tls_options options, const char *expected)
{
    int error = 0;
    char text[256] = "";
    opf_engine *engine = opf_engine_new(NULL);
    opf_pool *pool =
        opf_pool_new(engine, &(opf_pool_options){.tls = options}, &error, text, sizeof(text));
    CHECK(!pool);
    CHECK_EQ_INT(error, OPF_EINVAL);
    CHECK_STR(text, expected);
    CHECK_EQ_INT(ERR_peek_error(), 0);
    opf_engine_free(engine);
}

TEST(options_that_cannot_be)
{
    check_refused((opf_tls_options){.ca_file = "/nowhere"},
                  "CA bundle /nowhere can't be loaded: No such file or directory");
    check_refused((opf_tls_options){.cert_file = "/nowhere"},
                  "client certificate /nowhere can't be loaded: No such file or directory");
    check_refused((opf_tls_options){.cert_file = RSA_KEY},
                  "client certificate " RSA_KEY " can't be loaded: no certificate in it");
    check_refused((opf_tls_options){.cert_file = AUTHORITY},
                  "client key " AUTHORITY " can't be loaded: no private key in it");
    check_refused((opf_tls_options){.cert_file = CLIENT, .key_file = "/nowhere"},
                  "client key /nowhere can't be loaded: No such file or directory");
    check_refused((opf_tls_options){.cert_file = CLIENT, .key_file = LOCALHOST},
                  "client key " LOCALHOST " does not belong to the certificate " CLIENT);
    check_refused((opf_tls_options){.cert_file = CLIENT, .key_file = RSA_KEY},
                  "client key " RSA_KEY " does not belong to the certificate " CLIENT);
    check_refused((opf_tls_options){.cert_file = LOCKED},
                  "client key " LOCKED " can't be decrypted: it needs a password");
    check_refused((opf_tls_options){.cert_file = LOCKED, .key_password = ""},
                  "client key " LOCKED " can't be decrypted: the password is wrong");
    check_refused((opf_tls_options){.cert_file = LOCKED, .key_password = "secret"},
                  "client key " LOCKED " can't be decrypted: the password is wrong");
    check_refused((opf_tls_options){.ciphers = "NONSENSE"},
                  "TLS cipher list NONSENSE can't be used: no cipher match");
    check_refused((opf_tls_options){.ciphersuites = "NONSENSE"},
                  "TLS 1.3 cipher suites NONSENSE can't be used: no cipher match");
    check_refused((opf_tls_options){.min_version = OPF_TLS_1_3, .max_version = OPF_TLS_1_2},
                  "the highest TLS version is below the lowest");
}

/* What is spoken */

static void check_spoken(const opf_tls_options *options, int server, int spoken, const char *cipher)
{
    client c = {.script = {.version = server}};
    CHECK(client_init(&c, &(opf_pool_options){.tls = *options}));
    const opf_result *result = fetch(&c);
    CHECK_EQ_INT(result->failure, spoken ? OPF_FAIL_NONE : OPF_FAIL_TLS);
    client_fini(&c);
    CHECK_EQ_INT(c.script.spoken, spoken);
    if (cipher)
        CHECK_STR(c.script.cipher, cipher);
}

TEST(versions_and_ciphers)
{
    check_spoken(&(opf_tls_options){.min_version = OPF_TLS_1_2}, TLS1_3_VERSION, TLS1_3_VERSION,
                 NULL);
    check_spoken(&(opf_tls_options){.min_version = OPF_TLS_1_2}, TLS1_2_VERSION, TLS1_2_VERSION,
                 NULL);
    check_spoken(&(opf_tls_options){.min_version = OPF_TLS_1_3}, TLS1_2_VERSION, 0, NULL);
    check_spoken(&(opf_tls_options){.max_version = OPF_TLS_1_2}, TLS1_3_VERSION, TLS1_2_VERSION,
                 NULL);
    check_spoken(
        &(opf_tls_options){.max_version = OPF_TLS_1_2, .ciphers = "ECDHE-ECDSA-CHACHA20-POLY1305"},
        TLS1_3_VERSION, TLS1_2_VERSION, "ECDHE-ECDSA-CHACHA20-POLY1305");
    check_spoken(&(opf_tls_options){.ciphersuites = "TLS_AES_128_GCM_SHA256"}, TLS1_3_VERSION,
                 TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256");
}

/* The server's name */

static void check_name(const char *server_name, const char *url_host, opf_failure failure,
                       const char *sent)
{
    client c = {.script = {.version = TLS1_3_VERSION}};
    static const opf_resolve resolve = {"elsewhere.test", 0, "127.0.0.1"};
    char url[80];
    CHECK(client_init(&c, &(opf_pool_options){.tls = {.verify = true, .ca_file = AUTHORITY},
                                              .server_name = server_name,
                                              .network = {.resolve = &resolve, .n_resolve = 1}}));
    snprintf(url, sizeof(url), "https://%s:%u/", url_host, peer_port(c.server));
    CHECK_EQ_INT(call_submit_url(&c.get, c.engine, c.pool, "GET", url, "", 0), 0);
    CHECK(call_drive(c.engine, &c.get.done, 1));
    CHECK_EQ_INT(opf_exchange_result(c.get.exchange)->failure, failure);
    client_fini(&c);
    if (!failure)
        CHECK_STR(c.script.server_name, sent);
}

TEST(the_name_of_the_server)
{
    check_name(NULL, "127.0.0.1", OPF_FAIL_NONE, "");
    check_name(NULL, "elsewhere.test", OPF_FAIL_CERTIFICATE, NULL);
    check_name("localhost", "elsewhere.test", OPF_FAIL_NONE, "localhost");
    check_name("localhost", "127.0.0.1", OPF_FAIL_NONE, "localhost");
    check_name("127.0.0.1", "elsewhere.test", OPF_FAIL_NONE, "");
    check_name("::1", "elsewhere.test", OPF_FAIL_NONE, "");
    check_name("::1%lo", "elsewhere.test", OPF_FAIL_NONE, "");
    check_name("::2", "elsewhere.test", OPF_FAIL_CERTIFICATE, NULL);
    check_name("elsewhere.test", "127.0.0.1", OPF_FAIL_CERTIFICATE, NULL);
    char name[300];
    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    check_name(name, "127.0.0.1", OPF_FAIL_TLS, NULL);
}

/* Sessions */

static void check_resumed(opf_pool_options options, script todo, int requests, uint64_t resumed)
{
    opf_engine_totals totals;
    client c = {.script = todo};
    CHECK(client_init(&c, &options));
    for (int i = 0; i < requests; i++)
        CHECK_EQ_INT(fetch(&c)->failure, OPF_FAIL_NONE);
    opf_engine_get_totals(c.engine, &totals);
    CHECK_EQ_INT(totals.handshakes, todo.closes ? requests : 1);
    CHECK_EQ_INT(totals.resumed, resumed);
    client_fini(&c);
    CHECK_EQ_INT(c.script.resumed, resumed);
}

TEST(sessions_are_resumed)
{
    const opf_pool_options resuming = {.tls_resume = true}, plain = {.tls_resume = false};
    const opf_pool_options checked = {.tls = {.verify = true, .ca_file = AUTHORITY},
                                      .tls_resume = true};
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        script closing = {.version = version, .closes = true}, keeping = {.version = version};
        check_resumed(resuming, closing, 6, 5);
        check_resumed(checked, closing, 6, 5);
        check_resumed(plain, closing, 6, 0);
        check_resumed(resuming, keeping, 6, 0);
    }
}

/* Of a context of the driver's too, in which nothing is changed. */
TEST(sessions_of_a_foreign_context)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    long mode = SSL_CTX_get_mode(ctx), cache = SSL_CTX_get_session_cache_mode(ctx);
    check_resumed((opf_pool_options){.tls = {.ssl_ctx = ctx}, .tls_resume = true},
                  (script){.version = TLS1_3_VERSION, .closes = true}, 4, 3);
    CHECK_EQ_INT(SSL_CTX_get_mode(ctx), mode);
    CHECK_EQ_INT(SSL_CTX_get_session_cache_mode(ctx), cache);
    CHECK_EQ_INT(SSL_CTX_sess_number(ctx), 0);
    SSL_CTX_free(ctx);
}

TEST(sessions_are_each_origins_own_and_bounded)
{
    enum { N = 12 };
    client c = {.script = {.version = TLS1_2_VERSION}};
    call calls[N] = {0};
    char url[64];
    opf_engine_totals totals;
    CHECK(client_init(&c, &(opf_pool_options){.tls_resume = true, .concurrency = N}));
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < N; i++)
            CHECK_EQ_INT(
                call_submit(&calls[i], c.engine, c.pool, "GET", true, peer_port(c.server), "", 0),
                0);
        for (int i = 0; i < N; i++)
            CHECK(call_drive(c.engine, &calls[i].done, round + 1));
        CHECK(OPF_CONTAINER(c.pool->origins.next, opf_origin, link)->sessions.n <=
              OPF_TLS_SESSIONS);
        opf_pool_close_idle(c.pool);
    }
    opf_engine_get_totals(c.engine, &totals);
    CHECK_EQ_INT(totals.handshakes, 2 * N);
    CHECK(totals.resumed >= N); /* all of the second round, maybe some of the first */
    uint64_t resumed = totals.resumed;
    /* another origin of the same server */
    snprintf(url, sizeof(url), "https://127.0.0.9:%u/", peer_port(c.server));
    opf_network_release(c.pool->network);
    int error;
    char text[64];
    static const opf_resolve resolve = {"127.0.0.9", 0, "127.0.0.1"};
    c.pool->network = opf_engine_network(
        c.engine, &(opf_network_options){.resolve = &resolve, .n_resolve = 1}, &error, text, 64);
    CHECK_EQ_INT(call_submit_url(&c.get, c.engine, c.pool, "GET", url, "", 0), 0);
    CHECK(call_drive(c.engine, &c.get.done, 1));
    opf_engine_get_totals(c.engine, &totals);
    CHECK_EQ_INT(totals.handshakes, 2 * N + 1);
    CHECK_EQ_INT(totals.resumed, resumed);
    for (int i = 0; i < N; i++)
        opf_exchange_free(calls[i].exchange);
    client_fini(&c);
}

/* Contexts */

TEST(equal_options_are_one_context)
{
    static const opf_tls_options kinds[] = {
        {.verify = false},
        {.verify = true},
        {.verify = true, .ca_file = AUTHORITY},
        {.cert_file = CLIENT},
        {.cert_file = CLIENT, .key_file = CLIENT},
        {.cert_file = LOCKED, .key_password = PASSWORD},
        {.min_version = OPF_TLS_1_2},
        {.max_version = OPF_TLS_1_2},
        {.ciphers = "ECDHE-ECDSA-AES128-GCM-SHA256"},
        {.ciphersuites = "TLS_AES_128_GCM_SHA256"},
    };
    enum { N = sizeof(kinds) / sizeof(kinds[0]) };
    opf_tls_context *made[N];
    int error;
    char text[256];
    opf_engine *engine = opf_engine_new(NULL);
    CHECK(engine);
    for (size_t i = 0; i < N; i++) {
        made[i] = opf_engine_tls(engine, &kinds[i], &error, text, sizeof(text));
        CHECK(made[i]);
        for (size_t j = 0; j < i; j++)
            CHECK(made[j] != made[i]);
    }
    for (size_t i = 0; i < N; i++) {
        CHECK(opf_engine_tls(engine, &kinds[i], &error, text, sizeof(text)) == made[i]);
        opf_tls_context_release(made[i]);
        opf_tls_context_release(made[i]);
    }
    opf_engine_free(engine);
}

/* Foreign contexts */

static void keep_key(const SSL *ssl, const char *line)
{
    (void)ssl, (void)line;
    abort(); /* as Python's would, or worse: it takes the SSL for one of its own */
}

static void see_message(int sent, int version, int type, const void *data, size_t len, SSL *ssl,
                        void *arg)
{
    (void)sent, (void)version, (void)type, (void)data, (void)len, (void)ssl, (void)arg;
    abort();
}

static void check_foreign(SSL_CTX *ctx, bool check, const char *host, opf_failure failure)
{
    client c = {.script = {.wants_client = true}};
    char url[64];
    CHECK(client_init(&c, &(opf_pool_options){.tls = {.ssl_ctx = ctx, .check_name = check},
                                              .server_name = host}));
    snprintf(url, sizeof(url), "https://127.0.0.1:%u/", peer_port(c.server));
    CHECK_EQ_INT(call_submit_url(&c.get, c.engine, c.pool, "GET", url, "", 0), 0);
    CHECK(call_drive(c.engine, &c.get.done, 1));
    CHECK_EQ_INT(opf_exchange_result(c.get.exchange)->failure, failure);
    client_fini(&c);
    if (!failure)
        CHECK_STR(c.script.client_name, "client");
}

TEST(a_foreign_context_is_used_as_it_is)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    CHECK(ctx && SSL_CTX_use_certificate_chain_file(ctx, CLIENT) == 1 &&
          SSL_CTX_use_PrivateKey_file(ctx, CLIENT, SSL_FILETYPE_PEM) == 1);
    check_foreign(ctx, false, "any.test", OPF_FAIL_NONE);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    check_foreign(ctx, false, "any.test", OPF_FAIL_CERTIFICATE);
    CHECK(SSL_CTX_load_verify_file(ctx, AUTHORITY) == 1);
    check_foreign(ctx, false, "any.test", OPF_FAIL_NONE);
    check_foreign(ctx, true, "any.test", OPF_FAIL_CERTIFICATE);
    check_foreign(ctx, true, "localhost", OPF_FAIL_NONE);
    check_foreign(ctx, true, "127.0.0.1", OPF_FAIL_NONE);
    /* callbacks of the context's owner are not for our streams */
    SSL_CTX_set_msg_callback(ctx, see_message);
    check_foreign(ctx, true, "localhost", OPF_FAIL_NONE);
    SSL_CTX_set_keylog_callback(ctx, keep_key);
    check_foreign(ctx, true, "localhost", OPF_FAIL_TLS);
    SSL_CTX_free(ctx);
}

TEST(a_foreign_context_outlives_its_owner)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    client c = {.script = {.version = TLS1_3_VERSION}};
    CHECK(client_init(&c, &(opf_pool_options){.tls = {.ssl_ctx = ctx}}));
    SSL_CTX_free(ctx);
    CHECK_EQ_INT(fetch(&c)->failure, OPF_FAIL_NONE);
    client_fini(&c);
}

#ifdef OPF_FAULTS

TEST(each_allocation_fails_once)
{
    static const opf_pool_options options = {
        .tls = {.ca_file = AUTHORITY, .cert_file = LOCKED, .key_password = PASSWORD},
        .server_name = "localhost",
        .tls_resume = true};
    bool fired = true;
    for (long n = 0; fired && n < 100; n++) {
        client c = {.script = {.version = TLS1_3_VERSION, .closes = true}};
        int error, ret = 0;
        char text[256] = "";
        c.server = peer_new(serve, &c.script);
        opf_mem_fail_after(n);
        c.engine = opf_engine_new(NULL);
        c.pool = c.engine ? opf_pool_new(c.engine, &options, &error, text, sizeof(text)) : NULL;
        CHECK(c.pool || !c.engine || error == OPF_ENOMEM);
        for (int i = 0; c.pool && i < 3 && ret == 0; i++) {
            ret = call_submit(&c.get, c.engine, c.pool, "GET", true, peer_port(c.server), "", 0);
            CHECK(ret == 0 || ret == OPF_ENOMEM);
            if (ret == 0)
                CHECK(call_drive(c.engine, &c.get.done, i + 1));
            opf_failure failure =
                c.get.exchange ? opf_exchange_result(c.get.exchange)->failure : OPF_FAIL_NONE;
            CHECK(failure == OPF_FAIL_NONE || failure == OPF_FAIL_NOMEM);
        }
        fired = drive_fault_fired(n);
        client_fini(&c);
    }
    CHECK(!fired);
}

#endif

OPF_TEST_MAIN
