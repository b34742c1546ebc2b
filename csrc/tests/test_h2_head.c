/* What a server reads of requests' heads, which nghttp2 writes long after they were given. */
#include "opf_test.h"

#include <nghttp2/nghttp2.h>
#include <stdlib.h>
#include <string.h>

#include "base/blocks.h"
#include "base/mem.h"
#include "http/h2.h"

#define STREAMS 4

static void note(opf_h2_stream *stream)
{
    (void)stream;
}

static ssize_t no_body(opf_h2_stream *stream, uint8_t *data, size_t size, bool *end)
{
    (void)stream, (void)data, (void)size;
    *end = true;
    return 0;
}

static const opf_h2_events events = {.sending = note, .body = no_body, .came = note, .ended = note};

typedef struct session {
    opf_blocks blocks;
    opf_h2 h2;
    opf_h2_stream streams[STREAMS];
    opf_message messages[STREAMS];
    int n;
} session;

static void session_init(session *s)
{
    *s = (session){0};
    opf_blocks_init(&s->blocks, OPF_BLOCKS_KEPT);
    opf_h2_options options = {
        .max_headers = 1000, .max_body = 1000, .window = 65535, .memory = &s->blocks};
    CHECK_EQ_INT(opf_h2_init(&s->h2, &options, &events), 0);
}

static void session_fini(session *s)
{
    opf_h2_fini(&s->h2);
    for (int i = 0; i < s->n; i++)
        opf_message_fini(&s->messages[i]);
    opf_blocks_fini(&s->blocks);
}

/* Begins a stream whose head is gone right afterwards, as its memory is used for something else. */
static int begin(session *s, const char *head)
{
    size_t len = strlen(head);
    char *copy = malloc(len);
    memcpy(copy, head, len);
    const opf_h2_request request = {
        .head = copy, .head_len = len, .tls = true, .authority = "origin", .authority_len = 6};
    opf_message_init(&s->messages[s->n], NULL);
    int ret = opf_h2_begin(&s->h2, &s->streams[s->n], &s->messages[s->n], &request);
    s->n++;
    memset(copy, '?', len);
    free(copy);
    return ret;
}

/* Appends the fields of a block as "name: value" and a comma each. */
static void inflate(nghttp2_hd_inflater *inflater, const uint8_t *block, size_t len, char *text)
{
    int flags = 0;
    while (!(flags & NGHTTP2_HD_INFLATE_FINAL)) {
        nghttp2_nv field;
        ssize_t n = nghttp2_hd_inflate_hd2(inflater, &field, &flags, block, len, 1);
        CHECK(n >= 0);
        block += n;
        len -= (size_t)n;
        if (flags & NGHTTP2_HD_INFLATE_EMIT)
            sprintf(text + strlen(text), "%s: %s, ", field.name, field.value);
    }
    nghttp2_hd_inflate_end_headers(inflater);
}

/* All heads that wait to be sent, one line each. */
static void written(session *s, char *text, size_t size)
{
    static uint8_t sent[65536];
    size_t len = opf_h2_pull(&s->h2, sent, sizeof(sent));
    nghttp2_hd_inflater *inflater;
    CHECK_EQ_INT(nghttp2_hd_inflate_new(&inflater), 0);
    memset(text, 0, size);
    for (size_t at = NGHTTP2_CLIENT_MAGIC_LEN; at + 9 <= len;) {
        size_t n = (size_t)sent[at] << 16 | (size_t)sent[at + 1] << 8 | sent[at + 2];
        if (sent[at + 3] == NGHTTP2_HEADERS) {
            inflate(inflater, sent + at + 9, n, text);
            strcat(text, "\n");
        }
        at += 9 + n;
    }
    nghttp2_hd_inflate_del(inflater);
}

TEST(a_head_becomes_the_fields_of_http2)
{
    session s;
    char text[4096];
    session_init(&s);
    CHECK_EQ_INT(begin(&s, "GET /a?b=c HTTP/1.1\r\nHost: there\r\nX-Some-Name:  with space \r\n"
                           "Connection: keep-alive\r\nTE: gzip\r\n\r\n"),
                 0);
    CHECK_EQ_INT(begin(&s, "GET / HTTP/1.1\r\nTE: trailers\r\n\r\n"), 0);
    CHECK_EQ_INT(begin(&s, "HEAD /x HTTP/1.1\r\n\r\n"), 0);
    written(&s, text, sizeof(text));
    CHECK_STR(text, ":method: GET, :scheme: https, :authority: there, :path: /a?b=c, "
                    "x-some-name: with space, \n"
                    ":method: GET, :scheme: https, :authority: origin, :path: /, te: trailers, \n"
                    ":method: HEAD, :scheme: https, :authority: origin, :path: /x, \n");
    session_fini(&s);
}

TEST(heads_that_wait_keep_their_own_lines)
{
    session s;
    char text[4096];
    session_init(&s);
    CHECK_EQ_INT(begin(&s, "GET /1 HTTP/1.1\r\nHost: a\r\nX: first\r\n\r\n"), 0);
    CHECK_EQ_INT(begin(&s, "GET /2 HTTP/1.1\r\nHost: a\r\nX: first\r\n\r\n"), 0);
    CHECK_EQ_INT(begin(&s, "GET /3 HTTP/1.1\r\nHost: b\r\nX: other\r\n\r\n"), 0);
    CHECK_EQ_INT(begin(&s, "GET /4 HTTP/1.1\r\nHost: c\r\nX: third\r\n\r\n"), 0);
    opf_h2_cancel(&s.h2, &s.streams[2]);
    written(&s, text, sizeof(text));
    CHECK_STR(text, ":method: GET, :scheme: https, :authority: a, :path: /1, x: first, \n"
                    ":method: GET, :scheme: https, :authority: a, :path: /2, x: first, \n"
                    ":method: GET, :scheme: https, :authority: c, :path: /4, x: third, \n");
    session_fini(&s);
}

TEST(a_head_without_memory_is_not_begun)
{
    for (int n = 0;; n++) {
        session s;
        char text[4096];
        session_init(&s);
        opf_mem_fail_after(n);
        int ret = begin(&s, "GET /1 HTTP/1.1\r\nHost: a\r\nX: first\r\n\r\n");
        opf_mem_fail_after(-1);
        CHECK(ret == 0 || ret == OPF_ENOMEM);
        CHECK_EQ_INT(begin(&s, "GET /2 HTTP/1.1\r\nHost: a\r\nX: first\r\n\r\n"), 0);
        written(&s, text, sizeof(text));
        CHECK(strstr(text, ":path: /2, x: first, \n") != NULL);
        session_fini(&s);
        if (ret == 0)
            break;
    }
}

OPF_TEST_MAIN
