/* Bodies that are sent while they are made: what reaches the server, and what becomes of them when
 * it does not listen to the end. */
#include "opf_test.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "client.h"
#include "drive.h"
#include "opf.h"
#include "peer.h"

#define SHORTLY (300 * OPF_NS_PER_MS) /* a time-out that is to strike, or must not */
#define MIB (1U << 20)
#define PIECES_MAX 8

typedef struct piece {
    const char *data;
    size_t len;
} piece;

/* An exchange that is given its body by and by. */
typedef struct upload {
    opf_exchange *exchange;
    piece pieces[PIECES_MAX];
    size_t n;
    size_t at;       /* pieces given */
    size_t allowed;  /* of pieces and the end, how many may be given */
    bool ended;      /* the end was given */
    int failed;      /* writes that found no memory */
    int told;        /* calls of done */
    int finished;    /* calls of done that found it finished */
    bool has_length; /* a Content-Length is among the headers */
    bool stream;
    const char *method;
} upload;

static bool is_over(const upload *u)
{
    const opf_result *result = opf_exchange_result(u->exchange);
    return result->failure != OPF_FAIL_NONE || result->phase == OPF_PHASE_DONE;
}

/* Gives what is wanted, as far as it may. */
static void give(upload *u)
{
    while (!u->failed && opf_exchange_wants_body(u->exchange) && u->at + u->ended < u->allowed) {
        bool more = u->at < u->n;
        piece next = more ? u->pieces[u->at] : (piece){NULL, 0};
        if (opf_exchange_write(u->exchange, next.data, next.len) != 0)
            u->failed++;
        else if (more)
            u->at++;
        else
            u->ended = true;
    }
}

static void on_news(opf_exchange *exchange, void *arg)
{
    upload *u = arg;
    (void)exchange;
    u->told++;
    if (is_over(u))
        u->finished++;
    else
        give(u);
}

static void add(upload *u, const char *data, size_t len)
{
    u->pieces[u->n++] = (piece){data, len};
}

/* An upload of the texts up to NULL, all of which may be given. */
static upload upload_of(const char *const *texts)
{
    upload u = {.allowed = SIZE_MAX};
    for (; *texts; texts++)
        add(&u, *texts, strlen(*texts));
    return u;
}

static size_t length_of(const upload *u)
{
    size_t len = 0;
    for (size_t i = 0; i < u->n; i++)
        len += u->pieces[i].len;
    return len;
}

static int begin(client *c, upload *u)
{
    char text[64], length[32];
    const char *why;
    opf_url url;
    opf_request_error error;
    snprintf(text, sizeof(text), "http://127.0.0.1:%u/", peer_port(c->server));
    snprintf(length, sizeof(length), "%zu", length_of(u));
    if (opf_url_parse(text, strlen(text), &url, &why) != 0)
        return OPF_EINVAL;
    if (!u->exchange && !(u->exchange = opf_exchange_new(c->engine)))
        return OPF_ENOMEM;
    const char *method = u->method ? u->method : "POST";
    opf_header header = {.name = "Content-Length",
                         .name_len = 14,
                         .value = length,
                         .value_len = (uint32_t)strlen(length)};
    opf_request request = {.url = &url,
                           .method = method,
                           .method_len = strlen(method),
                           .headers = &header,
                           .n_headers = u->has_length,
                           .open_body = true,
                           .stream = u->stream};
    return opf_exchange_submit(u->exchange, c->pool, &request, on_news, u, &error);
}

/* Polls until the upload wants another piece than those allowed, or is over. */
static bool drive_to_hunger(client *c, const upload *u)
{
    uint64_t end = opf_clock_mono() + DRIVE_NS_MAX;
    while (!is_over(u) && !opf_exchange_wants_body(u->exchange) && opf_clock_mono() < end)
        if (opf_engine_poll(c->engine, 20) < 0)
            return false;
    return opf_exchange_wants_body(u->exchange);
}

/* Uploads and waits; returns the failure, or -1 if it was not told, or told twice. */
static int send_all(client *c, upload *u)
{
    if (begin(c, u) != 0 || !call_drive(c->engine, &u->finished, 1))
        return -1;
    call_idle(c->engine);
    return u->finished == 1 ? (int)opf_exchange_result(u->exchange)->failure : -1;
}

/* An ordinary request by a new exchange; returns its failure, or -1. */
static int fetch(client *c)
{
    call one = {0};
    int failure = -1;
    if (call_submit(&one, c->engine, c->pool, "GET", false, peer_port(c->server), "", 0) == 0 &&
        call_drive(c->engine, &one.done, 1))
        failure = (int)opf_exchange_result(one.exchange)->failure;
    opf_exchange_free(one.exchange);
    return failure;
}

/* Servers */

/* What is to come behind the heads of requests, on all connections. */
typedef struct expected {
    const char *body;
    size_t len;
    const char *answer;   /* NULL: ANSWER */
    size_t pause_us;      /* before each receive */
    const char *in_head;  /* what each head contains, or NULL */
    const char *not_head; /* what none contains, or NULL */
    int good;             /* requests that were so */
} expected;

static bool read_head(int fd, char *head, size_t size)
{
    size_t len = 0;
    while (len + 1 < size && recv(fd, head + len, 1, 0) == 1) {
        head[++len] = '\0';
        if (len >= 4 && memcmp(head + len - 4, "\r\n\r\n", 4) == 0)
            return true;
    }
    return false;
}

static bool read_expected(int fd, const expected *e)
{
    char got[8192];
    for (size_t at = 0; at < e->len;) {
        if (e->pause_us)
            usleep((useconds_t)e->pause_us);
        size_t most = e->len - at < sizeof(got) ? e->len - at : sizeof(got);
        ssize_t n = recv(fd, got, most, 0);
        if (n <= 0 || memcmp(got, e->body + at, (size_t)n) != 0)
            return false;
        at += (size_t)n;
    }
    return true;
}

/* Answers requests whose bodies are byte by byte what is expected; closes at another one. */
static void serve_expecting(int fd, int number, void *arg)
{
    expected *e = arg;
    char head[4096];
    (void)number;
    while (read_head(fd, head, sizeof(head))) {
        if ((e->in_head && !strstr(head, e->in_head)) ||
            (e->not_head && strstr(head, e->not_head)) || !read_expected(fd, e))
            return;
        e->good++;
        if (!peer_send(fd, e->answer ? e->answer : ANSWER))
            return;
    }
}

/* Answers the head of the first connection's request with the text at arg, and goes on to read
 * nothing until the client closes; then serves well. */
static void serve_early(int fd, int number, void *arg)
{
    char head[4096];
    struct pollfd gone = {.fd = fd, .events = POLLRDHUP};
    if (number) {
        while (read_head(fd, head, sizeof(head)) && peer_send(fd, ANSWER))
            ;
    } else if (read_head(fd, head, sizeof(head)) && peer_send(fd, arg)) {
        poll(&gone, 1, 20000);
    }
}

/* Resets the first connection behind the head, and one more byte. */
static void serve_reset_early(int fd, int number, void *arg)
{
    char head[4096], byte;
    if (number)
        serve_early(fd, number, arg);
    else if (read_head(fd, head, sizeof(head)) && recv(fd, &byte, 1, 0) == 1)
        peer_reset(fd);
}

/* The same, but closes behind it. */
static void serve_early_and_close(int fd, int number, void *arg)
{
    char head[4096];
    if (number)
        serve_early(fd, number, arg);
    else if (read_head(fd, head, sizeof(head)))
        peer_send(fd, arg);
}

/* Framing */

static const struct {
    const char *texts[PIECES_MAX];
    const char *chunks;
    const char *plain;
} framings[] = {
    {{NULL}, "0\r\n\r\n", ""},
    {{"x"}, "1\r\nx\r\n0\r\n\r\n", "x"},
    {{"hello"}, "5\r\nhello\r\n0\r\n\r\n", "hello"},
    {{"a", "bc", "0123456789abcdef"},
     "1\r\na\r\n2\r\nbc\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n",
     "abc0123456789abcdef"},
    {{"\r\n", "0\r\n\r\n"}, "2\r\n\r\n\r\n5\r\n0\r\n\r\n\r\n0\r\n\r\n", "\r\n0\r\n\r\n"},
};

TEST(chunks_byte_by_byte)
{
    for (size_t i = 0; i < sizeof(framings) / sizeof(framings[0]); i++) {
        client c;
        expected e = {.body = framings[i].chunks,
                      .len = strlen(framings[i].chunks),
                      .in_head = "\r\nTransfer-Encoding: chunked\r\n",
                      .not_head = "Content-Length"};
        CHECK(client_init(&c, serve_expecting, &e, NULL));
        for (int again = 1; again <= 3; again++) {
            upload u = upload_of(framings[i].texts);
            CHECK_EQ_INT(send_all(&c, &u), OPF_FAIL_NONE);
            CHECK_BYTES(opf_exchange_result(u.exchange)->body, 2, "ok");
            CHECK(u.ended && u.at == u.n);
            opf_exchange_free(u.exchange);
        }
        CHECK_EQ_INT(peer_count(c.server), 1); /* a connection is kept behind an upload */
        client_fini(&c);
        CHECK_EQ_INT(e.good, 3);
    }
}

TEST(content_length_byte_by_byte)
{
    for (size_t i = 0; i < sizeof(framings) / sizeof(framings[0]); i++) {
        client c;
        expected e = {.body = framings[i].plain,
                      .len = strlen(framings[i].plain),
                      .in_head = "\r\nContent-Length: ",
                      .not_head = "Transfer-Encoding"};
        CHECK(client_init(&c, serve_expecting, &e, NULL));
        for (int again = 1; again <= 3; again++) {
            upload u = upload_of(framings[i].texts);
            u.has_length = true;
            CHECK_EQ_INT(send_all(&c, &u), OPF_FAIL_NONE);
            opf_exchange_free(u.exchange);
        }
        client_fini(&c);
        CHECK_EQ_INT(e.good, 3);
    }
}

/* Servers hand a chunk on when they have seen its end: that does not wait for the next piece. */
TEST(a_chunk_is_whole_before_the_next_piece_is_there)
{
    client c;
    expected e = {.body = "3\r\nabc\r\n", .len = 8};
    static const char *const texts[] = {"abc", "more", NULL};
    CHECK(client_init(&c, serve_expecting, &e, NULL));
    upload u = upload_of(texts);
    u.allowed = 1;
    CHECK_EQ_INT(send_all(&c, &u), OPF_FAIL_NONE); /* answered when the chunk had been read */
    CHECK(!opf_exchange_wants_body(u.exchange));
    CHECK_EQ_INT(u.at, 1);
    CHECK_EQ_INT(client_connections(&c), 0); /* the rest of the body is owed */
    opf_exchange_free(u.exchange);
    client_fini(&c);
    CHECK_EQ_INT(e.good, 1);
}

TEST(large_pieces_that_are_sent_in_parts)
{
    char *block = malloc(MIB), *wire = malloc(3 * MIB + 64);
    CHECK(block && wire);
    for (size_t i = 0; i < MIB; i++)
        block[i] = (char)(i * 7 + i / 251);
    for (int has_length = 0; has_length < 2; has_length++) {
        client c;
        expected e = {.body = wire, .pause_us = 100};
        upload u = {.allowed = SIZE_MAX, .has_length = has_length};
        for (int i = 0; i < 3; i++) {
            if (!has_length)
                e.len += (size_t)snprintf(wire + e.len, 16, "100000\r\n");
            memcpy(wire + e.len, block, MIB);
            e.len += MIB;
            if (!has_length)
                e.len += (size_t)snprintf(wire + e.len, 16, "\r\n");
            add(&u, block, MIB);
        }
        if (!has_length)
            e.len += (size_t)snprintf(wire + e.len, 16, "0\r\n\r\n");
        CHECK(client_init(&c, serve_expecting, &e, NULL));
        CHECK_EQ_INT(send_all(&c, &u), OPF_FAIL_NONE);
        CHECK_EQ_INT(client_connections(&c), 1);
        opf_exchange_free(u.exchange);
        client_fini(&c);
        CHECK_EQ_INT(e.good, 1);
    }
    free(block);
    free(wire);
}

TEST(pieces_that_nobody_wants_are_not_sent)
{
    client c;
    expected e = {.body = "2\r\nok\r\n0\r\n\r\n", .len = 12};
    static const char *const texts[] = {"ok", NULL};
    CHECK(client_init(&c, serve_expecting, &e, NULL));
    upload u = upload_of(texts);
    CHECK_EQ_INT(begin(&c, &u), 0);
    CHECK(!opf_exchange_wants_body(u.exchange)); /* it is not connected yet */
    CHECK_EQ_INT(opf_exchange_write(u.exchange, "no", 2), 0);
    CHECK(call_drive(c.engine, &u.finished, 1));
    CHECK_EQ_INT(opf_exchange_write(u.exchange, "no", 2), 0);
    CHECK_EQ_INT(opf_exchange_result(u.exchange)->failure, OPF_FAIL_NONE);
    /* the exchange is none of an open body any more */
    call plain = {.exchange = u.exchange};
    CHECK_EQ_INT(call_submit(&plain, c.engine, c.pool, "POST", false, peer_port(c.server),
                             "2\r\nok\r\n0\r\n\r\n", 12),
                 0);
    CHECK(call_drive(c.engine, &plain.done, 1));
    CHECK_EQ_INT(opf_exchange_result(plain.exchange)->failure, OPF_FAIL_NONE);
    size_t len;
    const char *body = opf_exchange_request_body(plain.exchange, &len);
    CHECK_BYTES(body, len, "2\r\nok\r\n0\r\n\r\n");
    CHECK_EQ_INT(peer_count(c.server), 1);
    opf_exchange_free(plain.exchange);
    client_fini(&c);
    CHECK_EQ_INT(e.good, 2);
}

TEST(head_requests_have_bodies_too)
{
    client c;
    expected e = {.body = "1\r\nx\r\n0\r\n\r\n",
                  .len = 11,
                  .answer = "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"};
    static const char *const texts[] = {"x", NULL};
    CHECK(client_init(&c, serve_expecting, &e, NULL));
    for (int stream = 0; stream < 2; stream++) {
        upload u = upload_of(texts);
        u.method = "HEAD";
        u.stream = stream;
        CHECK_EQ_INT(begin(&c, &u), 0);
        CHECK(call_drive(c.engine, &u.finished, 1));
        CHECK_EQ_INT(opf_exchange_result(u.exchange)->failure, OPF_FAIL_NONE);
        CHECK_EQ_INT(opf_exchange_result(u.exchange)->body_len, 0);
        opf_exchange_free(u.exchange);
    }
    CHECK_EQ_INT(peer_count(c.server), 1);
    client_fini(&c);
    CHECK_EQ_INT(e.good, 2);
}

/* Servers that do not wait for the end */

static void check_early(peer_fn *serve, const char *answer, size_t allowed, int status)
{
    client c;
    static const char *const texts[] = {"one", "two", NULL};
    CHECK(client_init(&c, serve, (void *)(uintptr_t)answer, NULL));
    upload u = upload_of(texts);
    u.allowed = allowed;
    CHECK_EQ_INT(send_all(&c, &u), OPF_FAIL_NONE);
    CHECK_EQ_INT(opf_exchange_result(u.exchange)->status, status);
    CHECK_EQ_INT(opf_exchange_result(u.exchange)->phase, OPF_PHASE_DONE);
    CHECK(!opf_exchange_wants_body(u.exchange));
    CHECK_EQ_INT(opf_exchange_write(u.exchange, "late", 4), 0);
    CHECK_EQ_INT(client_connections(&c), 0);
    CHECK_EQ_INT(fetch(&c), OPF_FAIL_NONE);
    CHECK_EQ_INT(peer_count(c.server), 2);
    opf_exchange_free(u.exchange);
    client_fini(&c);
}

TEST(answered_early)
{
    static const char *const kept = "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno",
                             *const ended = "HTTP/1.1 401 No\r\nConnection: close\r\n\r\nno";
    for (size_t allowed = 0; allowed < 3; allowed++)
        check_early(serve_early, kept, allowed, 413);
    check_early(serve_early_and_close, kept, 0, 413);
    check_early(serve_early_and_close, ended, 0, 401);
}

TEST(interim_responses_end_nothing)
{
    client c;
    static const char *const texts[] = {"one", NULL};
    CHECK(client_init(&c, serve_early, "HTTP/1.1 100 Continue\r\n\r\n", NULL));
    upload u = upload_of(texts);
    u.allowed = 0;
    CHECK_EQ_INT(begin(&c, &u), 0);
    CHECK(drive_to_hunger(&c, &u));
    call_idle(c.engine);
    CHECK_EQ_INT(u.finished, 0);
    CHECK(opf_exchange_wants_body(u.exchange));
    opf_exchange_free(u.exchange);
    client_fini(&c);
}

static void check_lost(peer_fn *serve, const char *text, size_t allowed, opf_failure failure,
                       opf_phase phase)
{
    client c;
    static const char *const texts[] = {"one", "two", NULL};
    CHECK(client_init(&c, serve, (void *)(uintptr_t)text, NULL));
    upload u = upload_of(texts);
    u.allowed = allowed;
    CHECK_EQ_INT(send_all(&c, &u), failure);
    CHECK_EQ_INT(opf_exchange_result(u.exchange)->phase, phase);
    CHECK(!opf_exchange_wants_body(u.exchange));
    CHECK_EQ_INT(client_connections(&c), 0);
    CHECK_EQ_INT(fetch(&c), OPF_FAIL_NONE);
    opf_exchange_free(u.exchange);
    client_fini(&c);
}

TEST(lost_within_the_body)
{
    check_lost(serve_early_and_close, "", 0, OPF_FAIL_CLOSED, OPF_PHASE_SEND);
    check_lost(serve_early_and_close, "HTTP/1.1 20", 0, OPF_FAIL_CLOSED_HEADERS, OPF_PHASE_SEND);
    check_lost(serve_early_and_close, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nno", 0,
               OPF_FAIL_CLOSED_BODY, OPF_PHASE_BODY);
    check_lost(serve_early, "nonsense\r\n\r\n", 0, OPF_FAIL_PROTOCOL, OPF_PHASE_SEND);
    check_lost(serve_reset_early, NULL, 1, OPF_FAIL_RESET, OPF_PHASE_SEND);
}

/* Time-outs */

static const opf_pool_options impatient = {.timeouts = {SHORTLY, SHORTLY}};

TEST(a_server_that_does_not_read)
{
    client c;
    char *block = calloc(1, MIB);
    upload u = {.allowed = SIZE_MAX};
    CHECK(block && client_init(&c, serve_early, "", &impatient));
    for (int i = 0; i < PIECES_MAX; i++)
        add(&u, block, MIB);
    CHECK_EQ_INT(send_all(&c, &u), OPF_FAIL_WRITE_TIMEOUT);
    CHECK_EQ_INT(opf_exchange_result(u.exchange)->phase, OPF_PHASE_SEND);
    CHECK_EQ_INT(client_connections(&c), 0);
    opf_exchange_free(u.exchange);
    client_fini(&c);
    free(block);
}

TEST(a_server_that_does_not_answer)
{
    client c;
    static const char *const texts[] = {"one", NULL};
    CHECK(client_init(&c, serve_early, "", &impatient));
    upload u = upload_of(texts);
    CHECK_EQ_INT(send_all(&c, &u), OPF_FAIL_READ_TIMEOUT);
    CHECK_EQ_INT(opf_exchange_result(u.exchange)->phase, OPF_PHASE_WAIT);
    opf_exchange_free(u.exchange);
    client_fini(&c);
}

/* Polls for some time-outs' time. */
static void let_time_pass(client *c)
{
    uint64_t end = opf_clock_mono() + 4 * SHORTLY;
    while (opf_clock_mono() < end)
        opf_engine_poll(c->engine, 20);
}

TEST(no_time_out_while_the_client_makes_the_server_wait)
{
    client c;
    expected e = {.body = "3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n", .len = 21};
    static const char *const texts[] = {"one", "two", NULL};
    CHECK(client_init(&c, serve_expecting, &e, &impatient));
    upload u = upload_of(texts);
    u.allowed = 0;
    CHECK_EQ_INT(begin(&c, &u), 0);
    for (; u.allowed < 3; u.allowed++) {
        CHECK(drive_to_hunger(&c, &u));
        let_time_pass(&c);
        CHECK_EQ_INT(u.finished, 0);
        give(&u);
    }
    CHECK(drive_to_hunger(&c, &u));
    give(&u);
    CHECK(call_drive(c.engine, &u.finished, 1));
    CHECK_EQ_INT(opf_exchange_result(u.exchange)->failure, OPF_FAIL_NONE);
    opf_exchange_free(u.exchange);
    client_fini(&c);
    CHECK_EQ_INT(e.good, 1);
}

/* Lost interest */

static void check_cancelled(size_t allowed, size_t size, bool freed)
{
    client c;
    char *block = calloc(1, size);
    upload u = {.allowed = allowed}, next = {.allowed = SIZE_MAX};
    CHECK(block && client_init(&c, serve_early, "", &(opf_pool_options){.concurrency = 1}));
    for (int i = 0; i < PIECES_MAX; i++)
        add(&u, block, size);
    CHECK_EQ_INT(begin(&c, &u), 0);
    CHECK_EQ_INT(begin(&c, &next), 0);
    CHECK(!opf_exchange_wants_body(next.exchange));
    if (size == 1)
        CHECK(drive_to_hunger(&c, &u));
    else
        call_idle(c.engine); /* the socket takes no more */
    CHECK_EQ_INT(opf_exchange_result(u.exchange)->phase, OPF_PHASE_SEND);
    if (freed)
        opf_exchange_free(u.exchange);
    else
        opf_exchange_cancel(u.exchange);
    if (!freed) {
        CHECK(!opf_exchange_wants_body(u.exchange));
        CHECK_EQ_INT(opf_exchange_write(u.exchange, "late", 4), 0);
        opf_exchange_free(u.exchange);
    }
    CHECK(call_drive(c.engine, &next.finished, 1));
    CHECK_EQ_INT(opf_exchange_result(next.exchange)->failure, OPF_FAIL_NONE);
    CHECK_EQ_INT(u.finished, 0);
    CHECK_EQ_INT(peer_count(c.server), 2);
    opf_exchange_free(next.exchange);
    client_fini(&c);
    free(block);
}

TEST(cancelled)
{
    for (int freed = 0; freed < 2; freed++) {
        check_cancelled(0, 1, freed);
        check_cancelled(1, 1, freed);
        check_cancelled(SIZE_MAX, 4 * MIB, freed);
    }
}

TEST(nothing_is_sent_after_a_fork)
{
    client c;
    CHECK(client_init(&c, serve_early, "", NULL));
    upload u = {.n = 0};
    CHECK_EQ_INT(begin(&c, &u), 0);
    CHECK(drive_to_hunger(&c, &u));
    opf_engine_forked(c.engine); /* as in the child: the connection is the parent's */
    CHECK(!opf_exchange_wants_body(u.exchange));
    CHECK_EQ_INT(opf_exchange_write(u.exchange, "mine", 4), 0);
    CHECK_EQ_INT(opf_exchange_result(u.exchange)->phase, OPF_PHASE_SEND);
    opf_exchange_free(u.exchange);
    client_fini(&c);
}

/* Done is due when the exchange goes. */
TEST(cancelled_before_it_is_told_that_it_may_go_on)
{
    for (int freed = 0; freed < 2; freed++) {
        client c;
        static const char *const texts[] = {"one", "two", NULL};
        CHECK(client_init(&c, serve_early, "", NULL));
        upload u = upload_of(texts);
        u.allowed = 1;
        CHECK_EQ_INT(begin(&c, &u), 0);
        CHECK(drive_to_hunger(&c, &u));
        CHECK_EQ_INT(u.at, 1);
        u.allowed = 2;
        give(&u); /* the socket takes it: done is due again */
        int told = u.told;
        if (freed)
            opf_exchange_free(u.exchange);
        else
            opf_exchange_cancel(u.exchange);
        call_idle(c.engine);
        CHECK_EQ_INT(u.told, told);
        CHECK_EQ_INT(client_connections(&c), 0);
        if (!freed)
            opf_exchange_free(u.exchange);
        client_fini(&c);
    }
}

TEST(uploads_in_a_queue)
{
    enum { N = 20 };
    client c;
    expected e = {.body = "3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n", .len = 21};
    static const char *const texts[] = {"one", "two", NULL};
    upload uploads[N];
    CHECK(client_init(&c, serve_expecting, &e, &(opf_pool_options){.concurrency = 1}));
    for (int i = 0; i < N; i++) {
        uploads[i] = upload_of(texts);
        CHECK_EQ_INT(begin(&c, &uploads[i]), 0);
    }
    opf_exchange_cancel(uploads[N / 2].exchange);
    for (int i = 0; i < N; i++) {
        if (i != N / 2)
            CHECK(call_drive(c.engine, &uploads[i].finished, 1));
    }
    call_idle(c.engine);
    for (int i = 0; i < N; i++) {
        CHECK_EQ_INT(uploads[i].finished, i != N / 2);
        CHECK_EQ_INT(opf_exchange_result(uploads[i].exchange)->failure,
                     i == N / 2 ? OPF_FAIL_CANCELLED : OPF_FAIL_NONE);
        opf_exchange_free(uploads[i].exchange);
    }
    CHECK_EQ_INT(peer_count(c.server), 1);
    client_fini(&c);
    CHECK_EQ_INT(e.good, N - 1);
}

/* Streams */

/* Answers the head at once with part of a body, and with the rest when the request's body is there.
 */
static void serve_on_the_way(int fd, int number, void *arg)
{
    char head[4096];
    (void)number;
    if (read_head(fd, head, sizeof(head)) &&
        peer_send(fd, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nfir") &&
        read_expected(fd, arg) && peer_send(fd, "st."))
        peer_wait_closed(fd);
}

TEST(a_stream_that_is_answered_before_its_request_is_over)
{
    client c;
    expected e = {.body = "3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n", .len = 21};
    static const char *const texts[] = {"one", "two", NULL};
    char body[16];
    CHECK(client_init(&c, serve_on_the_way, &e, &impatient));
    upload u = upload_of(texts);
    u.stream = true;
    u.allowed = 0;
    CHECK_EQ_INT(begin(&c, &u), 0);
    uint64_t end = opf_clock_mono() + DRIVE_NS_MAX;
    while (!opf_exchange_result(u.exchange)->head_ns && opf_clock_mono() < end)
        opf_engine_poll(c.engine, 20);
    CHECK_EQ_INT(opf_exchange_result(u.exchange)->status, 200);
    CHECK(opf_exchange_wants_body(u.exchange));
    CHECK_EQ_INT(opf_exchange_read(u.exchange, body, sizeof(body)), 3);
    let_time_pass(&c); /* it is still the server that waits */
    CHECK_EQ_INT(u.finished, 0);
    u.allowed = SIZE_MAX;
    give(&u);
    CHECK(call_drive(c.engine, &u.finished, 1));
    CHECK_EQ_INT(opf_exchange_result(u.exchange)->failure, OPF_FAIL_NONE);
    CHECK_EQ_INT(opf_exchange_read(u.exchange, body + 3, sizeof(body) - 3), 3);
    CHECK_BYTES(body, 6, "first.");
    CHECK_EQ_INT(client_connections(&c), 1);
    opf_exchange_free(u.exchange);
    client_fini(&c);
}

#define LONG_ANSWER (2 * MIB)

/* Answers the head at once with a long body, and with its last byte when the request's body is
 * there. */
static void serve_at_length(int fd, int number, void *arg)
{
    char head[4096], *block = calloc(1, LONG_ANSWER + 1);
    (void)number;
    if (block && read_head(fd, head, sizeof(head))) {
        memset(block, 'x', LONG_ANSWER);
        snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %u\r\n\r\n",
                 LONG_ANSWER + 1);
        if (peer_send(fd, head) && peer_send(fd, block) && read_expected(fd, arg) &&
            peer_send(fd, "."))
            peer_wait_closed(fd);
    }
    free(block);
}

/* Reads a stream up to so many bytes in all. */
static void read_up_to(client *c, const upload *u, size_t *got, size_t wanted)
{
    static char body[65536];
    uint64_t end = opf_clock_mono() + DRIVE_NS_MAX;
    while (*got < wanted && opf_clock_mono() < end) {
        size_t n = opf_exchange_read(u->exchange, body, sizeof(body));
        *got += n;
        if (!n)
            opf_engine_poll(c->engine, 20);
    }
}

/* A stream that nobody reads is paused, and goes on, while the client makes the server wait for the
 * request's body: no time-out strikes for it. */
TEST(a_paused_stream_whose_request_is_not_over)
{
    client c;
    expected e = {.body = "3\r\none\r\n0\r\n\r\n", .len = 13};
    static const char *const texts[] = {"one", NULL};
    size_t got = 0;
    CHECK(client_init(&c, serve_at_length, &e, &impatient));
    upload u = upload_of(texts);
    u.stream = true;
    u.allowed = 0;
    CHECK_EQ_INT(begin(&c, &u), 0);
    call_idle(c.engine);
    CHECK(opf_exchange_wants_body(u.exchange));
    read_up_to(&c, &u, &got, LONG_ANSWER);
    CHECK_EQ_INT(got, LONG_ANSWER);
    let_time_pass(&c);
    CHECK_EQ_INT(u.finished, 0);
    u.allowed = SIZE_MAX;
    give(&u);
    read_up_to(&c, &u, &got, LONG_ANSWER + 1);
    CHECK_EQ_INT(got, LONG_ANSWER + 1);
    CHECK(call_drive(c.engine, &u.finished, 1));
    CHECK_EQ_INT(opf_exchange_result(u.exchange)->failure, OPF_FAIL_NONE);
    CHECK_EQ_INT(client_connections(&c), 1);
    opf_exchange_free(u.exchange);
    client_fini(&c);
}

/* Shortage of memory */

#ifdef OPF_FAULTS

/* Uploads with one allocation failing: each is refused, told once, or finds no memory for a piece.
 */
static void check_fault(client *c, long n, bool *fired)
{
    enum { N = 2 };
    static const char *const texts[] = {"one", "two", NULL};
    upload uploads[N] = {0};
    int error;
    char text[64];
    opf_mem_fail_after(n);
    c->engine = opf_engine_new(NULL);
    if (c->engine)
        c->pool = opf_pool_new(c->engine, &(opf_pool_options){.concurrency = 1}, &error, text,
                               sizeof(text));
    for (int i = 0; c->pool && i < N; i++) {
        upload *u = &uploads[i];
        *u = upload_of(texts);
        int ret = begin(c, u);
        CHECK(ret == 0 || ret == OPF_ENOMEM);
        uint64_t end = opf_clock_mono() + DRIVE_NS_MAX;
        while (ret == 0 && !u->finished && !u->failed && opf_clock_mono() < end)
            CHECK(opf_engine_poll(c->engine, 100) >= 0);
        CHECK(ret != 0 || u->finished + u->failed == 1);
        if (u->failed) { /* nothing was done: it can be done again */
            CHECK(opf_exchange_wants_body(u->exchange));
            u->failed = 0;
            give(u);
            CHECK(call_drive(c->engine, &u->finished, 1));
            CHECK_EQ_INT(opf_exchange_result(u->exchange)->failure, OPF_FAIL_NONE);
        }
    }
    *fired = drive_fault_fired(n);
    for (int i = 0; i < N; i++) {
        if (uploads[i].exchange) {
            opf_failure failure = opf_exchange_result(uploads[i].exchange)->failure;
            CHECK(failure == OPF_FAIL_NONE || failure == OPF_FAIL_NOMEM ||
                  failure == OPF_FAIL_CONNECT);
        }
        opf_exchange_free(uploads[i].exchange);
    }
    opf_pool_free(c->pool);
    opf_engine_free(c->engine);
}

TEST(each_allocation_fails_once)
{
    bool fired = true;
    long n = 0;
    for (; fired && n < 500; n++) {
        expected e = {.body = "3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n", .len = 21};
        client c = {.server = peer_new(serve_expecting, &e)};
        int failures = opf_test_failures;
        check_fault(&c, n, &fired);
        peer_free(c.server);
        if (opf_test_failures != failures) {
            printf("allocation %ld\n", n);
            return;
        }
    }
    CHECK(n > 10 && !fired);
}

#endif

OPF_TEST_MAIN
