/* Sessions in which the server sends what it likes while the client begins streams, sends bodies,
 * takes from streams and gives them up, all in an order that nobody has thought of, and without
 * memory at times. Nothing may be read or written out of place (ASan), nothing be kept without
 * bound, and each stream ends once.
 *
 * OPF_SEEDS in the environment: "from-to", other seeds than those of every day. */
#include "opf_test.h"

#include <stdlib.h>

#include "base/mem.h"
#include "frames_random.h"
#include "http/h2.h"

#define STREAMS 60 /* of a session */
#define STEPS 300
#define BODY 40000
#define WINDOW 65535
#define HEAD "POST / HTTP/1.1\r\nHost: here\r\nX: y\r\n\r\n"

typedef struct session session;

typedef struct request {
    opf_h2_stream h2;
    opf_message message;
    session *of;
    bool begun;
    bool open; /* it was begun and has not ended */
    size_t given;
    bool waits; /* more of the body is owed */
    int wrong;  /* calls for one that has ended */
    size_t taken;
} request;

struct session {
    opf_h2 h2;
    uint32_t state;
    uint32_t last; /* stream whose request is sent */
    uint32_t n;
    request requests[STREAMS];
};

static opf_blocks blocks;
static const opf_h2_options options = {
    .max_headers = 2000, .max_body = 30000, .window = WINDOW, .memory = &blocks};

static uint32_t below(session *s, uint32_t n)
{
    return random_below(&s->state, n);
}

static request *of(opf_h2_stream *stream)
{
    return OPF_CONTAINER(stream, request, h2);
}

static void begin(session *s)
{
    opf_h2_request asked = {.head = HEAD,
                            .head_len = sizeof(HEAD) - 1,
                            .authority = "there",
                            .authority_len = 5,
                            .has_body = below(s, 2),
                            .head_request = !below(s, 10)};
    if (s->n == STREAMS || (!opf_h2_room(&s->h2) && below(s, 4)))
        return;
    request *r = &s->requests[s->n];
    *r = (request){.of = s};
    opf_message_init(&r->message, NULL);
    r->message.streamed = !below(s, 3);
    if (opf_h2_begin(&s->h2, &r->h2, &r->message, &asked) != 0)
        return;
    s->n++;
    r->begun = r->open = true;
}

static void cancel(request *r)
{
    if (!r->open)
        return;
    r->open = false;
    opf_h2_cancel(&r->of->h2, &r->h2);
}

/* What a driver may do from within a call. */
static void interfere(session *s)
{
    if (!below(s, 4))
        begin(s);
    else if (!below(s, 8) && s->n)
        cancel(&s->requests[below(s, s->n)]);
}

static void take(request *r)
{
    size_t held = r->message.body.len - r->taken;
    size_t len = held ? below(r->of, (uint32_t)held) + 1 : 0;
    if (!r->begun || !r->message.streamed || !len)
        return;
    r->taken += len;
    opf_h2_took(&r->of->h2, &r->h2, len);
    if (r->open && r->h2.untaken != r->message.body.len - r->taken)
        r->wrong++;
}

static void on_sending(opf_h2_stream *stream)
{
    request *r = of(stream);
    r->wrong += !r->open;
    r->of->last = (uint32_t)stream->id;
}

static ssize_t on_body(opf_h2_stream *stream, uint8_t *data, size_t size, bool *end)
{
    request *r = of(stream);
    size_t n = 1 + below(r->of, 20000);
    r->wrong += !r->open;
    if (!below(r->of, 3)) {
        r->waits = true;
        return OPF_H2_LATER;
    }
    n = n < size ? n : size;
    n = n < BODY - r->given ? n : BODY - r->given;
    memset(data, 'b', n);
    r->given += n;
    *end = r->given == BODY;
    return (ssize_t)n;
}

static void on_came(opf_h2_stream *stream)
{
    request *r = of(stream);
    r->wrong += !r->open;
    if (!below(r->of, 3))
        take(r);
    interfere(r->of);
}

static void on_ended(opf_h2_stream *stream)
{
    request *r = of(stream);
    r->wrong += !r->open || stream->id;
    r->open = false;
    r->wrong += stream->failure == OPF_FAIL_NONE && (!stream->whole || !stream->headers_done);
    interfere(r->of);
}

static const opf_h2_events events = {
    .sending = on_sending, .body = on_body, .came = on_came, .ended = on_ended};

/* Each piece is a copy of its own, so that ASan sees who reads too far. */
static void feed(session *s)
{
    static uint8_t room[FRAMES_RANDOM_MAX];
    size_t len = frames_random(&s->state, s->last, room);
    size_t piece = below(s, 3) ? len : 1 + below(s, (uint32_t)len);
    for (size_t at = 0; at < len; at += piece) {
        size_t n = len - at < piece ? len - at : piece;
        uint8_t *copy = malloc(n);
        memcpy(copy, room + at, n);
        opf_h2_feed(&s->h2, copy, n, 0);
        free(copy);
    }
}

static void pull(session *s)
{
    static uint8_t sent[70000];
    size_t size = below(s, 2) ? sizeof(sent) : 1 + below(s, 3000);
    opf_h2_pull(&s->h2, sent, size);
}

static void step(session *s)
{
    request *r = s->n ? &s->requests[below(s, s->n)] : NULL;
    uint32_t what = below(s, 100);
    if (what < 15)
        begin(s);
    else if (what < 60)
        feed(s);
    else if (what < 80)
        pull(s);
    else if (r && what < 84)
        cancel(r);
    else if (r && what < 94)
        take(r);
    else if (r && r->open && r->waits)
        r->waits = false, opf_h2_resume(&s->h2, &r->h2);
}

static void check(const session *s)
{
    uint32_t open = 0;
    for (uint32_t i = 0; i < s->n; i++) {
        const request *r = &s->requests[i];
        open += r->open;
        CHECK_EQ_INT(r->wrong, 0);
        CHECK(r->open == (r->h2.id != 0));
        CHECK(r->message.head.len <= options.max_headers);
        CHECK(r->message.streamed || r->message.body.len <= options.max_body);
        CHECK(r->message.body.len - r->taken <= WINDOW);
    }
    CHECK_EQ_INT(s->h2.n_streams, open);
}

/* What is left when the connection ends: each is told its reason. */
static void end(session *s)
{
    for (uint32_t i = 0; i < s->n; i++) {
        request *r = &s->requests[i];
        if (!r->open)
            continue;
        opf_h2_note_eof(&s->h2, &r->h2);
        CHECK(r->h2.failure != OPF_FAIL_NONE);
        cancel(r);
    }
}

static void run(uint32_t seed, bool starves)
{
    session s = {.state = seed};
    if (opf_h2_init(&s.h2, &options, &events) != 0)
        return;
    if (below(&s, 20)) {
        static const uint8_t settings[] = "\0\0\6\4\0\0\0\0\0\0\3\0\0\0\x64";
        opf_h2_feed(&s.h2, settings, sizeof(settings) - 1, 0);
    }
    int failures = opf_test_failures;
    for (int i = 0; i < STEPS && !opf_h2_is_over(&s.h2) && failures == opf_test_failures; i++) {
        if (starves && !below(&s, 20))
            opf_mem_fail_after(below(&s, 20));
        step(&s);
        check(&s);
    }
    opf_mem_fail_after(-1);
    end(&s);
    opf_h2_fini(&s.h2);
    for (uint32_t i = 0; i < s.n; i++)
        opf_message_fini(&s.requests[i].message);
    if (failures != opf_test_failures)
        OPF_TEST_FAIL("with seed %" PRIu32, seed);
}

static void run_seeds(bool starves)
{
    unsigned from = 0, to = 3000;
    const char *text = getenv("OPF_SEEDS");
    if (text && sscanf(text, "%u-%u", &from, &to) != 2)
        OPF_TEST_FAIL("OPF_SEEDS is \"%s\"", text);
    for (unsigned seed = from; seed < to && opf_test_failures < 5; seed++)
        run(seed, starves);
}

TEST(whatever_a_server_sends_each_stream_ends_once)
{
    run_seeds(false);
}

TEST(the_same_holds_without_memory)
{
    run_seeds(true);
}

OPF_TEST_MAIN
