/* What a session makes of bytes that are almost right: each answer with one byte or more of it
 * changed, cut off or doubled, in pieces of any size. Nothing may be read or written out of place
 * (ASan), and each stream ends once or is still open. */
#include "opf_test.h"

#include <stdlib.h>

#include "base/mem.h"
#include "http/h2.h"

#define STREAMS 3
#define MUTATIONS 4000 /* of each answer */
#define HEAD "GET / HTTP/1.1\r\nHost: here\r\nX: y\r\n\r\n"

typedef struct request {
    opf_h2_stream h2;
    opf_message message;
    int ended;
    size_t given; /* of the body */
} request;

#define BODY 40000

static void on_sending(opf_h2_stream *stream)
{
    (void)stream;
}

static ssize_t on_body(opf_h2_stream *stream, uint8_t *data, size_t size, bool *end)
{
    request *r = OPF_CONTAINER(stream, request, h2);
    size_t n = BODY - r->given < size ? BODY - r->given : size;
    memset(data, 'b', n);
    r->given += n;
    *end = r->given == BODY;
    return (ssize_t)n;
}

static void on_came(opf_h2_stream *stream)
{
    (void)stream;
}

static void on_ended(opf_h2_stream *stream)
{
    OPF_CONTAINER(stream, request, h2)->ended++;
}

static const opf_h2_events events = {
    .sending = on_sending, .body = on_body, .came = on_came, .ended = on_ended};

static opf_blocks blocks;
static const opf_h2_options options = {
    .max_headers = 2000, .max_body = 3000, .window = 65535, .memory = &blocks};

/* Bytes of a frame of stream 0, 1, 3 or 5. */
#define FRAME(len, type, flags, stream, bytes) "\0\0" len type flags "\0\0\0" stream bytes
#define HEADERS(len, flags, stream, bytes) FRAME(len, "\1", flags, stream, bytes)
#define DATA(len, flags, stream, bytes) FRAME(len, "\0", flags, stream, bytes)

#define SETTINGS FRAME("\x0c", "\4", "\0", "\0", "\0\3\0\0\0\x64\0\4\0\0\xff\xff")
#define SMALL_WINDOW FRAME("\6", "\4", "\0", "\0", "\0\4\0\0\0\1")
#define ACK FRAME("\0", "\4", "\1", "\0", "")
#define PING FRAME("\x08", "\6", "\0", "\0", "12345678")
#define PRIORITY FRAME("\5", "\2", "\0", "\3", "\0\0\0\0\x10")
#define RESET FRAME("\4", "\3", "\0", "\3", "\0\0\0\x08")
#define WINDOW(stream) FRAME("\4", "\x08", "\0", stream, "\0\0\x10\0")
#define GOAWAY FRAME("\x08", "\7", "\0", "\0", "\0\0\0\1\0\0\0\0")

#define STATUS_200 "\x88"
#define STATUS_204 "\x89"
#define STATUS_103                                                                                 \
    "\x08\3"                                                                                       \
    "103" /* 5 bytes */
#define LENGTH_4                                                                                   \
    "\x0f\x0d\1"                                                                                   \
    "4"                    /* Content-Length, 4 bytes */
#define FIELD "\x40\1a\1b" /* "a: b", which is then indexed: 5 bytes */
#define INDEXED "\xbe"     /* the last one that was */
/* "custom-key: custom-value" in Huffman's code (RFC 7541, C.4.3): 20 bytes */
#define CUSTOM_NAME "\x40\x88\x25\xa8\x49\xe9\x5b\xa9\x7d\x7f"
#define CUSTOM_VALUE "\x89\x25\xa8\x49\xe9\x5b\xb8\xe8\xb4\xbf"

/* An answer with a length, one without a body, one with trailers. */
#define WHOLE                                                                                      \
    HEADERS("\5", "\4", "\1", STATUS_200 LENGTH_4)                                                 \
    DATA("\4", "\1", "\1", "body")                                                                 \
    HEADERS("\1", "\5", "\3", STATUS_204)                                                          \
    HEADERS("\1", "\4", "\5", STATUS_200)                                                          \
    DATA("\4", "\0", "\5", "body")                                                                 \
    HEADERS("\5", "\5", "\5", FIELD)

/* An interim response in two frames and the final one, padded; the others end otherwise. */
#define PIECES                                                                                     \
    HEADERS("\6", "\0", "\1", STATUS_103 "\x40")                                                   \
    FRAME("\4", "\x09", "\4", "\1", "\1a\1b")                                                      \
    HEADERS("\2", "\4", "\1", STATUS_200 INDEXED)                                                  \
    RESET WINDOW("\1") GOAWAY DATA("\7", "\x09", "\1", "\2body\0\0")

/* With priorities, and Huffman's code. */
#define ODD                                                                                        \
    HEADERS("\6", "\x25", "\1", "\0\0\0\0\x10" STATUS_200)                                         \
    SMALL_WINDOW PRIORITY WINDOW("\0")                                                             \
        HEADERS("\x15", "\5", "\3", STATUS_200 CUSTOM_NAME CUSTOM_VALUE)

static const struct {
    const char *bytes;
    size_t len;
} answers[] = {
#define ANSWER(literal) {literal, sizeof(literal) - 1}
    ANSWER(SETTINGS ACK WHOLE), ANSWER(SETTINGS PING PIECES), ANSWER(SETTINGS ODD)};

/* The same numbers each time. */
static uint32_t next(uint32_t *state)
{
    *state = *state * 1664525 + 1013904223;
    return *state >> 8;
}

/* Changes bytes in room, which holds len of them and has place for twice as many. Returns how many
 * there are now. */
static size_t mutate(uint8_t *room, size_t len, uint32_t *state)
{
    for (uint32_t changes = 1 + next(state) % 3; changes; changes--) {
        size_t at = next(state) % len, n = 1 + next(state) % 12;
        if (n > len - at)
            n = len - at;
        switch (next(state) % 6) {
        case 0:
            room[at] = (uint8_t)next(state);
            break;
        case 1:
            room[at] ^= (uint8_t)(1U << next(state) % 8);
            break;
        case 2:
            room[at] = (uint8_t)(next(state) % 2 ? 0xff : 0);
            break;
        case 3: /* out */
            memmove(room + at, room + at + n, len - at - n);
            len -= n;
            break;
        case 4: /* twice */
            memmove(room + at + n, room + at, len - at);
            len += n;
            break;
        default: /* no more */
            len = at + 1;
            break;
        }
        if (!len)
            return 0;
    }
    return len;
}

static void pull_all(opf_h2 *h2)
{
    static uint8_t sent[70000];
    for (int i = 0; i < 10 && opf_h2_pull(h2, sent, sizeof(sent)) == sizeof(sent); i++)
        ;
}

static void begin(opf_h2 *h2, request *requests)
{
    const opf_h2_request asked = {.head = HEAD,
                                  .head_len = sizeof(HEAD) - 1,
                                  .authority = "there",
                                  .authority_len = 5,
                                  .has_body = true};
    CHECK_EQ_INT(opf_h2_init(h2, &options, &events), 0);
    for (int i = 0; i < STREAMS; i++) {
        requests[i] = (request){0};
        opf_message_init(&requests[i].message, NULL);
        requests[i].message.streamed = i == 2;
        CHECK_EQ_INT(opf_h2_begin(h2, &requests[i].h2, &requests[i].message, &asked), 0);
    }
    pull_all(h2);
}

/* Feeds the bytes in pieces, each a copy of its own, so that ASan sees who reads too far. */
static void feed(opf_h2 *h2, const uint8_t *bytes, size_t len, size_t piece)
{
    for (size_t at = 0; at < len && !opf_h2_is_over(h2); at += piece) {
        size_t n = len - at < piece ? len - at : piece;
        uint8_t *copy = malloc(n);
        memcpy(copy, bytes + at, n);
        opf_h2_feed(h2, copy, n, 0);
        free(copy);
        pull_all(h2);
    }
}

/* Returns how many streams have ended. */
static int run(const uint8_t *bytes, size_t len, size_t piece)
{
    opf_h2 h2;
    request requests[STREAMS];
    int ended = 0;
    begin(&h2, requests);
    feed(&h2, bytes, len, piece);
    for (int i = 0; i < STREAMS; i++) {
        request *r = &requests[i];
        if (r->ended > 1 || (r->ended == 1) == (r->h2.id != 0))
            ended = -100;
        if (r->message.head.len > options.max_headers || r->message.body.len > 65535)
            ended = -100;
        ended += r->ended;
        if (r->h2.id) {
            opf_h2_note_eof(&h2, &r->h2);
            if (r->h2.failure == OPF_FAIL_NONE)
                ended = -100;
        }
    }
    opf_h2_fini(&h2);
    for (int i = 0; i < STREAMS; i++)
        opf_message_fini(&requests[i].message);
    return ended;
}

TEST(answers_are_right_as_they_are)
{
    static const int ends[] = {3, 3, 2};
    for (size_t i = 0; i < sizeof(answers) / sizeof(*answers); i++)
        /* from 2 on: nghttp2 1.52 counts the bytes of a continuation that come one by one as so
         * many continuations */
        for (size_t piece = 2; piece <= answers[i].len; piece++)
            CHECK_EQ_INT(run((const uint8_t *)answers[i].bytes, answers[i].len, piece), ends[i]);
}

TEST(almost_right_answers_do_no_harm)
{
    uint32_t state = 1;
    for (size_t i = 0; i < sizeof(answers) / sizeof(*answers); i++) {
        for (int n = 0; n < MUTATIONS; n++) {
            uint8_t room[1024];
            memcpy(room, answers[i].bytes, answers[i].len);
            size_t len = mutate(room, answers[i].len, &state);
            CHECK(run(room, len, 1 + next(&state) % (len + 1)) >= 0);
        }
    }
}

OPF_TEST_MAIN
