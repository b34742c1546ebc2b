/* Responses changed at random, from a fixed seed: fed whole and in random pieces they come to the
 * same. */
#include "opf_test.h"

#include "base/mem.h"
#include "outcome.h"

#define ROUNDS 50000
#define SIZE_MAX_TEXT 1024

static const char *const responses[] = {
    "HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1;a=b\r\nx\r\n0\r\nT: "
    "u\r\n\r\n",
    "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "HTTP/1.0 404 Not Found\r\nA: b\r\n c\r\nSet-Cookie: d=e\r\n\r\nuntil the end\r\n",
    "HTTP/1.1 204 No Content\nA:\nB: \t c \t\n\n",
    "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 99\r\n\r\n",
};

/* What is put in, besides single bytes. */
static const char *const pieces[] = {
    "\r\n",
    "\n",
    "\r",
    " ",
    "\t",
    ":",
    ",",
    ";",
    "0",
    "5",
    "\r\n\r\n",
    "\r\n ",
    "0\r\n\r\n",
    "A: b\r\n",
    "Content-Length: 5\r\n",
    "Content-Length: 6\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: identity\r\n",
    "Connection: close\r\n",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.1 200 OK\r\n",
    "ffffffffffffffff",
    "5\r\nhello\r\n",
};

#define COUNT(array) (sizeof(array) / sizeof(array[0]))

static uint64_t seed = 0x9e3779b97f4a7c15;

/* xorshift64: less than n. */
static size_t any(size_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (size_t)(seed % n);
}

typedef struct text {
    char data[SIZE_MAX_TEXT];
    size_t len;
} text;

static void insert(text *t, size_t at, const char *data, size_t len)
{
    if (t->len + len > sizeof(t->data))
        return;
    memmove(t->data + at + len, t->data + at, t->len - at);
    memcpy(t->data + at, data, len);
    t->len += len;
}

static void cut_out(text *t, size_t at, size_t len)
{
    if (len > t->len - at)
        len = t->len - at;
    memmove(t->data + at, t->data + at + len, t->len - at - len);
    t->len -= len;
}

static void mutate(text *t)
{
    size_t at = any(t->len + 1);
    const char *piece = pieces[any(COUNT(pieces))];
    char byte = (char)any(256), copy[32];
    size_t len = 1 + any(sizeof(copy));
    switch (any(6)) {
    case 0:
        insert(t, at, piece, strlen(piece));
        break;
    case 1:
        insert(t, at, &byte, 1);
        break;
    case 2:
        cut_out(t, at, len);
        break;
    case 3:
        cut_out(t, at, 1);
        break;
    case 4: /* something said twice */
        if (len > t->len - at)
            len = t->len - at;
        memcpy(copy, t->data + at, len);
        insert(t, at, copy, len);
        break;
    default:
        if (at < t->len)
            t->data[at] = byte;
    }
}

static void make(text *t)
{
    t->len = 0;
    const char *response = responses[any(COUNT(responses))];
    insert(t, 0, response, strlen(response));
    for (size_t n = any(6); n > 0; n--)
        mutate(t);
    if (any(4) == 0) { /* and another response, that nobody asked for */
        response = responses[any(COUNT(responses))];
        insert(t, t->len, response, strlen(response));
    }
}

static void feed_all(outcome *o, const text *t, size_t longest)
{
    for (size_t at = 0; at < t->len;) {
        size_t n = longest ? 1 + any(longest) : t->len;
        if (n > t->len - at)
            n = t->len - at;
        feed(o, t->data + at, n);
        at += n;
    }
    if (o->state == OPF_H1_MORE)
        o->state = opf_h1_eof(&o->h1);
}

static bool same_bytes(const uint8_t *a, const uint8_t *b, size_t len)
{
    return !len || memcmp(a, b, len) == 0;
}

static bool same_fields(const opf_message *a, const opf_message *b)
{
    if (a->n_fields != b->n_fields || a->n_trailers != b->n_trailers)
        return false;
    for (uint32_t i = 0; i < a->n_fields + a->n_trailers; i++) {
        const opf_field *f = opf_message_field(a, i), *g = opf_message_field(b, i);
        if (f->name_len != g->name_len || f->value_len != g->value_len ||
            (f->name_len + f->value_len &&
             (!same_bytes(a->head.data + f->name_at, b->head.data + g->name_at, f->name_len) ||
              !same_bytes(a->head.data + f->value_at, b->head.data + g->value_at, f->value_len))))
            return false;
    }
    return true;
}

static bool same(const outcome *a, const outcome *b)
{
    if (a->state != b->state || a->h1.failure != b->h1.failure ||
        a->message.status != b->message.status)
        return false;
    if (a->state == OPF_H1_FAILED)
        return true;
    size_t a_len, b_len;
    const uint8_t *a_body = opf_message_body(&a->message, &a_len);
    const uint8_t *b_body = opf_message_body(&b->message, &b_len);
    return a_len == b_len && same_bytes(a_body, b_body, a_len) && a->left_over == b->left_over &&
           a->h1.keep_alive == b->h1.keep_alive && a->h1.head_bytes == b->h1.head_bytes &&
           a->h1.body_bytes == b->h1.body_bytes && same_fields(&a->message, &b->message);
}

/* What holds of every response that was taken. */
static bool is_sound(const outcome *o, const text *t)
{
    size_t len;
    opf_message_body(&o->message, &len);
    if (o->state == OPF_H1_FAILED)
        return o->h1.failure != OPF_FAIL_NONE;
    return o->state == OPF_H1_DONE && o->message.status >= 200 && len <= MAX_BODY &&
           o->h1.head_bytes + o->h1.body_bytes + o->left_over == t->len;
}

static void show(const text *t)
{
    for (size_t i = 0; i < t->len; i++) {
        uint8_t c = (uint8_t)t->data[i];
        if (c >= 0x20 && c < 0x7f && c != '\\')
            putchar(c);
        else
            printf("\\x%02x", c);
    }
    putchar('\n');
}

TEST(pieces_come_to_the_same)
{
    size_t done = 0, failed = 0;
    for (int round = 0; round < ROUNDS && !opf_test_failures; round++) {
        text t;
        outcome whole, split;
        make(&t);
        bool head_request = any(8) == 0;
        outcome_begin(&whole, head_request, &sink);
        outcome_begin(&split, head_request, any(2) ? &sink : NULL);
        feed_all(&whole, &t, 0);
        feed_all(&split, &t, 1 + any(any(2) ? 3 : 40));
        *(whole.state == OPF_H1_DONE ? &done : &failed) += 1;
        bool good = same(&whole, &split) && is_sound(&whole, &t);
        if (!good)
            show(&t);
        outcome_fini(&whole);
        outcome_fini(&split);
        CHECK(good);
    }
    CHECK_EQ_INT(objects, 0);
    CHECK(done > ROUNDS / 10 && failed > ROUNDS / 10); /* of both there is plenty */
}

#ifdef OPF_FAULTS

TEST(no_allocation_is_taken_for_granted)
{
    for (int round = 0; round < 300; round++) {
        text t;
        make(&t);
        for (long n = 0;; n++) {
            outcome o;
            outcome_begin(&o, false, NULL);
            opf_mem_fail_after(n);
            feed_all(&o, &t, 0);
            opf_mem_fail_after(-1);
            bool lacked = o.h1.failure == OPF_FAIL_NOMEM;
            outcome_fini(&o);
            if (!lacked)
                break;
            CHECK(n < 1000);
        }
    }
}

#endif

OPF_TEST_MAIN
