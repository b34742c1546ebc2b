/* Responses parsed: each framing, cut in two at every byte and fed byte by byte, and its limits. */
#include "opf_test.h"

#include <stdlib.h>
#include <string.h>

#include "outcome.h"

/* What a response is to come to. */
typedef struct wanted {
    const char *text;
    bool head_request;
    bool ended; /* the connection is ended behind the text */
    int status;
    opf_failure failure;
    const char *body;
    const char *fields; /* "name=value;..." */
    bool keep_alive;
    size_t left_over;
} wanted;

static void begin(outcome *o, const wanted *w, const opf_sink *with_sink)
{
    outcome_begin(o, w->head_request, with_sink);
}

static void end(outcome *o, const wanted *w)
{
    if (w->ended && o->state == OPF_H1_MORE)
        o->state = opf_h1_eof(&o->h1);
}

static void fields_of(const opf_message *message, char *text, size_t size)
{
    size_t len = 0;
    text[0] = '\0';
    for (uint32_t i = 0; i < message->n_fields + message->n_trailers && len < size; i++) {
        const opf_field *f = opf_message_field(message, i);
        const char *head = (const char *)message->head.data;
        len += (size_t)snprintf(text + len, size - len, "%.*s=%.*s;", (int)f->name_len,
                                head + f->name_at, (int)f->value_len, head + f->value_at);
    }
}

static void check(outcome *o, const wanted *w)
{
    char fields[1024];
    CHECK_EQ_INT(o->h1.failure, w->failure);
    CHECK_EQ_INT(o->state, w->failure ? OPF_H1_FAILED : OPF_H1_DONE);
    CHECK_EQ_INT(o->message.status, w->status);
    if (w->failure)
        return;
    size_t len;
    const uint8_t *body = opf_message_body(&o->message, &len);
    CHECK_BYTES(body, len, w->body);
    CHECK_EQ_INT(o->h1.keep_alive, w->keep_alive);
    CHECK_EQ_INT(o->left_over, w->left_over);
    CHECK_EQ_INT(o->h1.head_bytes + o->h1.body_bytes, strlen(w->text) - w->left_over);
    fields_of(&o->message, fields, sizeof(fields));
    CHECK_STR(fields, w->fields);
}

/* Feeds the text in every way. */
static void check_all(const wanted *w)
{
    size_t len = strlen(w->text);
    int failures = opf_test_failures;
    for (int with_sink = 0; with_sink < 2; with_sink++) {
        for (size_t cut = 0; cut <= len + 1 && opf_test_failures == failures; cut++) {
            outcome o;
            begin(&o, w, with_sink ? &sink : NULL);
            if (cut <= len) {
                feed(&o, w->text, cut);
                feed(&o, w->text + cut, len - cut);
            } else {
                for (size_t i = 0; i < len; i++)
                    feed(&o, w->text + i, 1);
            }
            end(&o, w);
            check(&o, w);
            if (opf_test_failures != failures)
                printf("cut at %zu: %s\n", cut, w->text);
            outcome_fini(&o);
        }
    }
    CHECK_EQ_INT(objects, 0);
}

#define OK "HTTP/1.1 200 OK\r\n"
#define LENGTH(n) "Content-Length: " #n "\r\n\r\n"
#define CHUNKED "Transfer-Encoding: chunked\r\n\r\n"

TEST(content_length)
{
    check_all(&(wanted){.text = OK "A: b\r\n" LENGTH(5) "hello",
                        .status = 200,
                        .body = "hello",
                        .fields = "A=b;Content-Length=5;",
                        .keep_alive = true});
}

TEST(no_body)
{
    check_all(&(wanted){.text = OK LENGTH(0),
                        .status = 200,
                        .body = "",
                        .fields = "Content-Length=0;",
                        .keep_alive = true});
}

TEST(chunked)
{
    check_all(&(wanted){.text = OK CHUNKED "5\r\nhello\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n",
                        .status = 200,
                        .body = "hello0123456789",
                        .fields = "Transfer-Encoding=chunked;",
                        .keep_alive = true});
}

TEST(trailers)
{
    static const char text[] = OK CHUNKED "1\r\nx\r\n0\r\nSum: 17\r\nLast:\r\n\r\n";
    check_all(&(wanted){.text = text,
                        .status = 200,
                        .body = "x",
                        .fields = "Transfer-Encoding=chunked;Sum=17;Last=;",
                        .keep_alive = true});
    outcome o;
    begin(&o, &(wanted){.text = text}, NULL);
    feed(&o, text, strlen(text));
    CHECK_EQ_INT(o.message.n_fields, 1);
    CHECK_EQ_INT(o.message.n_trailers, 2);
    outcome_fini(&o);
}

TEST(until_close)
{
    check_all(&(wanted){.text = OK "\r\nall there is",
                        .ended = true,
                        .status = 200,
                        .body = "all there is",
                        .fields = ""});
    check_all(&(wanted){.text = "HTTP/1.0 200 OK\r\nA: b\r\n\r\n",
                        .ended = true,
                        .status = 200,
                        .body = "",
                        .fields = "A=b;"});
}

TEST(http_1_0)
{
    check_all(&(wanted){.text = "HTTP/1.0 200 OK\r\n" LENGTH(2) "ok",
                        .status = 200,
                        .body = "ok",
                        .fields = "Content-Length=2;"});
    check_all(&(wanted){.text = "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n" LENGTH(2) "ok",
                        .status = 200,
                        .body = "ok",
                        .fields = "Connection=keep-alive;Content-Length=2;",
                        .keep_alive = true});
}

TEST(connection_close)
{
    check_all(&(wanted){.text = OK "Connection: close\r\n" LENGTH(2) "ok",
                        .status = 200,
                        .body = "ok",
                        .fields = "Connection=close;Content-Length=2;"});
}

TEST(statuses_without_a_body)
{
    check_all(&(wanted){.text = "HTTP/1.1 204 No Content\r\nA: b\r\n\r\n",
                        .status = 204,
                        .body = "",
                        .fields = "A=b;",
                        .keep_alive = true});
    check_all(&(wanted){.text = "HTTP/1.1 304 Not Modified\r\n" LENGTH(5),
                        .status = 304,
                        .body = "",
                        .fields = "Content-Length=5;",
                        .keep_alive = true});
    check_all(&(wanted){.text = "HTTP/1.1 304 Not Modified\r\n" CHUNKED,
                        .status = 304,
                        .body = "",
                        .fields = "Transfer-Encoding=chunked;",
                        .keep_alive = true});
}

TEST(head)
{
    check_all(&(wanted){.text = OK LENGTH(5),
                        .head_request = true,
                        .status = 200,
                        .body = "",
                        .fields = "Content-Length=5;",
                        .keep_alive = true});
    check_all(&(wanted){.text = OK "\r\n",
                        .head_request = true,
                        .status = 200,
                        .body = "",
                        .fields = "",
                        .keep_alive = true});
    check_all(&(wanted){.text = OK CHUNKED,
                        .head_request = true,
                        .status = 200,
                        .body = "",
                        .fields = "Transfer-Encoding=chunked;",
                        .keep_alive = true});
    /* a length over the limit that will not come */
    check_all(&(wanted){.text = OK LENGTH(99999999999),
                        .head_request = true,
                        .status = 200,
                        .body = "",
                        .fields = "Content-Length=99999999999;",
                        .keep_alive = true});
}

TEST(interim_responses)
{
    check_all(&(wanted){.text = "HTTP/1.1 100 Continue\r\n\r\n"
                                "HTTP/1.1 103 Early Hints\r\nLink: x\r\n"
                                "Content-Length: 3\r\n\r\n" OK "A: b\r\n" LENGTH(2) "ok",
                        .status = 200,
                        .body = "ok",
                        .fields = "A=b;Content-Length=2;",
                        .keep_alive = true});
    /* nothing of an interim response's framing is left for the final one */
    check_all(
        &(wanted){.text = "HTTP/1.1 103 Early Hints\r\nContent-Length: 3\r\n\r\n" OK "\r\nrest",
                  .ended = true,
                  .status = 200,
                  .body = "rest",
                  .fields = ""});
    check_all(&(wanted){.text = "HTTP/1.1 103 Early Hints\r\n" CHUNKED OK LENGTH(2) "ok",
                        .status = 200,
                        .body = "ok",
                        .fields = "Content-Length=2;",
                        .keep_alive = true});
}

TEST(switching_protocols_is_refused)
{
    check_all(&(wanted){.text = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n"
                                "Connection: upgrade\r\n\r\n",
                        .status = 101,
                        .failure = OPF_FAIL_PROTOCOL});
}

TEST(what_follows_is_left)
{
    check_all(&(wanted){.text = OK LENGTH(2) "okHTTP/1.1",
                        .status = 200,
                        .body = "ok",
                        .fields = "Content-Length=2;",
                        .keep_alive = true,
                        .left_over = 8});
    check_all(&(wanted){.text = OK CHUNKED "0\r\n\r\nmore",
                        .status = 200,
                        .body = "",
                        .fields = "Transfer-Encoding=chunked;",
                        .keep_alive = true,
                        .left_over = 4});
    check_all(&(wanted){.text = "HTTP/1.1 204 No Content\r\n\r\nmore",
                        .status = 204,
                        .body = "",
                        .fields = "",
                        .keep_alive = true,
                        .left_over = 4});
}

TEST(fields)
{
    check_all(&(wanted){.text = OK "Empty:\r\nBlank:  \t \r\nSpace: \t a b \t\r\nSame: 1\r\n"
                                   "Same: 2\r\nContent-Length:2\r\n\r\nok",
                        .status = 200,
                        .body = "ok",
                        .fields = "Empty=;Blank=;Space=a b;Same=1;Same=2;Content-Length=2;",
                        .keep_alive = true});
}

static void check_failed(const char *text, opf_failure failure)
{
    /* the status may have come or not, by where the text is cut */
    size_t len = strlen(text);
    for (size_t cut = 0; cut <= len; cut++) {
        outcome o;
        wanted w = {.text = text, .ended = true};
        begin(&o, &w, &sink);
        feed(&o, text, cut);
        feed(&o, text + cut, len - cut);
        end(&o, &w);
        if (o.state != OPF_H1_FAILED || o.h1.failure != failure)
            printf("cut at %zu: %.60s\n", cut, text);
        CHECK_EQ_INT(o.state, OPF_H1_FAILED);
        CHECK_EQ_INT(o.h1.failure, failure);
        CHECK(failure != OPF_FAIL_PROTOCOL || o.h1.detail);
        outcome_fini(&o);
    }
    CHECK_EQ_INT(objects, 0);
}

TEST(cut_off)
{
    check_failed("", OPF_FAIL_CLOSED);
    check_failed("H", OPF_FAIL_CLOSED_HEADERS);
    check_failed(OK "A: b\r\n", OPF_FAIL_CLOSED_HEADERS);
    check_failed("HTTP/1.1 100 Continue\r\n\r\n", OPF_FAIL_CLOSED_HEADERS);
    check_failed(OK LENGTH(5), OPF_FAIL_CLOSED_BODY);
    check_failed(OK LENGTH(5) "hell", OPF_FAIL_CLOSED_BODY);
    check_failed(OK CHUNKED, OPF_FAIL_CLOSED_BODY);
    check_failed(OK CHUNKED "5\r\nhello\r\n", OPF_FAIL_CLOSED_BODY);
    check_failed(OK CHUNKED "0\r\nA: b\r\n", OPF_FAIL_CLOSED_BODY);
}

TEST(no_http)
{
    check_failed("SSH-2.0-OpenSSH_9.2p1\r\n", OPF_FAIL_PROTOCOL);
    check_failed("<html>\r\n\r\n", OPF_FAIL_PROTOCOL);
    check_failed("HTTP/1.1 2x0 OK\r\n\r\n", OPF_FAIL_PROTOCOL);
    check_failed(OK "no colon\r\n\r\n", OPF_FAIL_PROTOCOL);
    check_failed(OK "A: \x01\r\n\r\n", OPF_FAIL_PROTOCOL);
    check_failed(OK "Content-Length: -1\r\n\r\n", OPF_FAIL_PROTOCOL);
    check_failed(OK "Content-Length: 1x\r\n\r\n", OPF_FAIL_PROTOCOL);
    check_failed(OK "Content-Length: 99999999999999999999999\r\n\r\n", OPF_FAIL_PROTOCOL);
    check_failed(OK "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", OPF_FAIL_PROTOCOL);
    check_failed(OK CHUNKED "xyz\r\n", OPF_FAIL_PROTOCOL);
    check_failed(OK CHUNKED "5\r\nhelloworld", OPF_FAIL_PROTOCOL);
    check_failed(OK CHUNKED "fffffffffffffffff\r\n", OPF_FAIL_PROTOCOL);
    /* two framings: whoever believes the other one is sent the rest (RFC 9112, 6.3) */
    check_failed(OK
                 "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
                 OPF_FAIL_PROTOCOL);
}

TEST(lines_that_end_in_lf_alone)
{
    check_all(&(wanted){.text = "HTTP/1.1 200 OK\nA: b\nEmpty:\nContent-Length: 5\n\nhello",
                        .status = 200,
                        .body = "hello",
                        .fields = "A=b;Empty=;Content-Length=5;",
                        .keep_alive = true});
    check_all(&(wanted){.text = "HTTP/1.1 100 Continue\n\nHTTP/1.1 200 OK\r\nA: b\n"
                                "Transfer-Encoding: chunked\n\r\n1\r\nx\r\n0\r\nT: u\n\n",
                        .status = 200,
                        .body = "x",
                        .fields = "A=b;Transfer-Encoding=chunked;T=u;",
                        .keep_alive = true});
}

TEST(empty_lines_before_the_status_line)
{
    check_all(&(wanted){.text = "\r\n\n\r\n" OK LENGTH(2) "ok",
                        .status = 200,
                        .body = "ok",
                        .fields = "Content-Length=2;",
                        .keep_alive = true});
}

TEST(continued_lines)
{
    check_all(&(wanted){.text = OK
                        "A: b\r\n c\r\nB: \t\r\n\t d \t\r\n  e \r\n \r\nC:\n x\r\n" LENGTH(2) "ok",
                        .status = 200,
                        .body = "ok",
                        .fields = "A=b c;B=d e;C=x;Content-Length=2;",
                        .keep_alive = true});
    check_all(&(wanted){.text = OK
                        "Transfer-Encoding:\r\n chunked\r\n\r\n1\r\nx\r\n0\r\nT: u\r\n v\r\n\r\n",
                        .status = 200,
                        .body = "x",
                        .fields = "Transfer-Encoding=chunked;T=u v;",
                        .keep_alive = true});
    check_failed("HTTP/1.1 200 OK\r\n A: b\r\n\r\n", OPF_FAIL_PROTOCOL);
    check_failed(OK "A\r\n : b\r\n\r\n", OPF_FAIL_PROTOCOL);
    check_failed(OK "Content-Length: 1\r\n 1\r\n\r\nhello world", OPF_FAIL_PROTOCOL);
}

/* Some take a CR for the end of a line, or of the head: what follows is what somebody else made
 * them send. */
TEST(cr_without_lf)
{
    check_failed("HTTP/1.1 200 O\rK\r\n\r\n", OPF_FAIL_PROTOCOL);
    check_failed(OK "A: \rb\r\n\r\n", OPF_FAIL_PROTOCOL);
    check_failed(OK "A: b\rContent-Length: 5\r\n\r\nhello", OPF_FAIL_PROTOCOL);
    check_failed(OK "A: b\r\r\n\r\n", OPF_FAIL_PROTOCOL);
    check_failed(OK "\rA: b\r\n\r\n", OPF_FAIL_PROTOCOL);
    check_failed(OK "A: b\r\n\r\r\n", OPF_FAIL_PROTOCOL);
    check_failed("\r" OK "\r\n", OPF_FAIL_PROTOCOL);
    check_failed(OK CHUNKED "0\r\n\rx", OPF_FAIL_PROTOCOL);
}

TEST(names_that_are_none)
{
    check_failed(OK ": b\r\n\r\n", OPF_FAIL_PROTOCOL);
    check_failed(OK ":\r\n\r\n", OPF_FAIL_PROTOCOL);
    check_failed(OK CHUNKED "0\r\n: b\r\n\r\n", OPF_FAIL_PROTOCOL);
    check_failed(OK "A : b\r\n\r\n", OPF_FAIL_PROTOCOL);
    check_failed(OK "A B: c\r\n\r\n", OPF_FAIL_PROTOCOL);
    check_failed(OK "Content-Length : 5\r\n\r\nhello", OPF_FAIL_PROTOCOL);
    check_failed(OK CHUNKED "0\r\nA : b\r\n\r\n", OPF_FAIL_PROTOCOL);
}

TEST(malformed_status_lines)
{
    static const char *const lines[] = {
        "HTTP/0.9 200 OK",  "HTTP/1.1 20 OK",  "HTTP/1.1 2",       "HTTP/1.1 0200 OK",
        "HTTP/1.1 099 OK",  "HTTP/1.1 2 00",   "HTTP/1.1  200 OK", "HTTP/1.1 2000 OK",
        "HTTP/1.1 200OK",   "http/1.1 200 OK", "HTTP/1.2 200 OK",  "ICY 200 OK",
        "RTSP/1.0 200 OK",  "HTTP/1.1",        " HTTP/1.1 200 OK", "HTTP/1.1 +20 OK",
        "HTTP/1.10 200 OK",
    };
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        char text[100];
        snprintf(text, sizeof(text), "%s\r\n\r\n", lines[i]);
        check_failed(text, OPF_FAIL_PROTOCOL);
    }
    check_all(&(wanted){.text = "HTTP/1.1 200\r\n" LENGTH(0),
                        .status = 200,
                        .body = "",
                        .fields = "Content-Length=0;",
                        .keep_alive = true});
}

TEST(content_length_twice)
{
    check_all(&(wanted){.text = OK "Content-Length: 2\r\nA: b\r\nContent-Length: 02\r\n\r\nok",
                        .status = 200,
                        .body = "ok",
                        .fields = "Content-Length=2;A=b;Content-Length=02;",
                        .keep_alive = true});
    /* each response has its own */
    check_all(&(wanted){.text = "HTTP/1.1 103 X\r\nContent-Length: 3\r\n\r\n" OK LENGTH(2) "ok",
                        .status = 200,
                        .body = "ok",
                        .fields = "Content-Length=2;",
                        .keep_alive = true});
    /* and a trailer is none */
    check_all(&(wanted){.text = OK CHUNKED "0\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n",
                        .status = 200,
                        .body = "",
                        .fields = "Transfer-Encoding=chunked;Content-Length=3;Content-Length=4;",
                        .keep_alive = true});
}

TEST(transfer_codings)
{
    static const char *const chunked[] = {
        "chunked",
        "Chunked\t",
        "\t chunked ,",
        ",chunked",
        "identity, chunked",
        "chunked, chunked",
        "chunked\r\nTransfer-Encoding: chunked",
    };
    static const char *const refused[] = {
        "gzip",
        "gzip, chunked",
        "chunked, gzip",
        "chunked, identity",
        "chunkedx",
        "\"chunked\"",
        "chunked;q=1",
        "chun ked",
        "x",
        "chunked\r\nTransfer-Encoding: identity",
        "\r\nTransfer-Encoding: chunked",
        "",
    };
    char text[200];
    for (size_t i = 0; i < sizeof(chunked) / sizeof(chunked[0]); i++) {
        outcome o;
        snprintf(text, sizeof(text), OK "Transfer-Encoding: %s\r\n\r\n1\r\nx\r\n0\r\n\r\n",
                 chunked[i]);
        begin(&o, &(wanted){.text = text}, NULL);
        feed(&o, text, strlen(text));
        CHECK_EQ_INT(o.state, OPF_H1_DONE);
        CHECK_EQ_INT(o.message.body.len, 1);
        CHECK(o.h1.keep_alive);
        outcome_fini(&o);
    }
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        snprintf(text, sizeof(text), OK "Transfer-Encoding: %s\r\n\r\n1\r\nx\r\n0\r\n\r\n",
                 refused[i]);
        check_failed(text, OPF_FAIL_PROTOCOL);
    }
    check_all(&(wanted){.text = OK "Transfer-Encoding: identity\r\n" LENGTH(2) "ok",
                        .status = 200,
                        .body = "ok",
                        .fields = "Transfer-Encoding=identity;Content-Length=2;",
                        .keep_alive = true});
}

TEST(chunk_forms)
{
    check_all(&(wanted){.text = OK CHUNKED "5  \r\nhello\r\n0005 ; a = \"b\\\"c\"\r\nhello\r\n"
                                           "00000000000000000001;;\r\nx\r\n0\t;a\r\n\r\n",
                        .status = 200,
                        .body = "hellohellox",
                        .fields = "Transfer-Encoding=chunked;",
                        .keep_alive = true});
    static const char *const refused[] = {
        "1\r\nx  0\r\n\r\n",    "1\r\nx\n0\r\n\r\n",        "1\r\nx\r0\r\n\r\n",
        "1\nx\r\n0\r\n\r\n",    "1\rx\r\n0\r\n\r\n",        "1 1\r\nx\r\n0\r\n\r\n",
        "+1\r\nx\r\n0\r\n\r\n", " 1\r\nx\r\n0\r\n\r\n",     "0x1\r\nx\r\n0\r\n\r\n",
        "\r\n1\r\nx\r\n0\r\n",  "1;a\rb\r\nx\r\n0\r\n\r\n", "1;a\nb\r\nx\r\n0\r\n\r\n",
        "1g\r\nx\r\n0\r\n\r\n", ";a\r\nx\r\n0\r\n\r\n",     "10000000000000001\r\nx\r\n",
        "1\r\nxx\r\n0\r\n\r\n", "1\r\n\r\n0\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        char text[100];
        snprintf(text, sizeof(text), OK CHUNKED "%s", refused[i]);
        check_failed(text, OPF_FAIL_PROTOCOL);
    }
}

TEST(connections_that_do_not_last)
{
    check_all(&(wanted){.text = "HTTP/1.1 103 Early Hints\r\nConnection: close\r\n\r\n"
                                "HTTP/1.1 103 Early Hints\r\n\r\n" OK LENGTH(2) "ok",
                        .status = 200,
                        .body = "ok",
                        .fields = "Content-Length=2;"});
    check_all(
        &(wanted){.text = "HTTP/1.0 200 OK\r\nConnection: keep-alive, close\r\n" LENGTH(2) "ok",
                  .status = 200,
                  .body = "ok",
                  .fields = "Connection=keep-alive, close;Content-Length=2;"});
    check_all(&(wanted){.text = "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n" CHUNKED
                                "2\r\nok\r\n0\r\n\r\n",
                        .status = 200,
                        .body = "ok",
                        .fields = "Connection=keep-alive;Transfer-Encoding=chunked;"});
}

static void check_coding(const char *lines, const char *wanted_coding)
{
    char text[200];
    outcome o;
    opf_buf room;
    opf_buf_init(&room);
    snprintf(text, sizeof(text), OK "%s" LENGTH(0), lines);
    begin(&o, &(wanted){.text = text}, NULL);
    feed(&o, text, strlen(text));
    CHECK_EQ_INT(o.state, OPF_H1_DONE);
    CHECK(o.message.coding != OPF_NO_FIELD);
    const char *coding;
    size_t len;
    CHECK_EQ_INT(opf_message_coding(&o.message, &room, &coding, &len), 0);
    CHECK_BYTES(coding, len, wanted_coding);
    opf_buf_fini(&room);
    outcome_fini(&o);
}

TEST(content_codings_are_one_list)
{
    check_coding("Content-Encoding: gzip\r\n", "gzip");
    check_coding("A: b\r\nContent-Encoding: deflate\r\nC: d\r\ncontent-encoding: br, gzip\r\n",
                 "deflate,br, gzip,");
}

TEST(limit_on_bodies)
{
    check_failed(OK LENGTH(100001), OPF_FAIL_BODY_SIZE);
    check_failed(OK LENGTH(18446744073709551615), OPF_FAIL_BODY_SIZE);

    char *text = malloc(MAX_BODY + 200);
    for (int framing = 0; framing < 2; framing++) {
        for (size_t over = 0; over < 2; over++) {
            size_t n = (size_t)sprintf(text, framing ? OK "\r\n" : OK CHUNKED "%zx\r\n",
                                       (size_t)MAX_BODY + over);
            memset(text + n, 'x', MAX_BODY + over);
            strcpy(text + n + MAX_BODY + over, framing ? "" : "\r\n0\r\n\r\n");
            outcome o;
            wanted w = {.text = text, .ended = true};
            begin(&o, &w, NULL);
            feed(&o, text, strlen(text));
            end(&o, &w);
            CHECK_EQ_INT(o.h1.failure, over ? OPF_FAIL_BODY_SIZE : OPF_FAIL_NONE);
            CHECK(o.message.body.len <= MAX_BODY);
            outcome_fini(&o);
        }
    }
    free(text);
}

/* Feeds start once, then more over and over. */
static void check_endless(const char *start, const char *more, opf_failure failure, size_t most)
{
    outcome o;
    wanted w = {.text = start};
    size_t fed = strlen(start);
    begin(&o, &w, NULL);
    feed(&o, start, strlen(start));
    while (o.state == OPF_H1_MORE && fed < 10 * most) {
        feed(&o, more, strlen(more));
        fed += strlen(more);
    }
    CHECK_EQ_INT(o.state, OPF_H1_FAILED);
    CHECK_EQ_INT(o.h1.failure, failure);
    CHECK(fed <= most);
    outcome_fini(&o);
}

TEST(limit_on_heads)
{
    const size_t most = MAX_HEADERS + 200;
    check_endless("HTTP/1.1 200 O", "K", OPF_FAIL_HEADERS_SIZE, most);
    check_endless(OK "A", "a", OPF_FAIL_HEADERS_SIZE, most);
    check_endless(OK "A: ", "a", OPF_FAIL_HEADERS_SIZE, most);
    check_endless(OK "A:", " ", OPF_FAIL_HEADERS_SIZE, most);
    check_endless(OK, "A: b\r\n", OPF_FAIL_HEADERS_SIZE, most);
    check_endless("", "\r\n", OPF_FAIL_HEADERS_SIZE, most);
    check_endless("", "HTTP/1.1 100 Continue\r\n\r\n", OPF_FAIL_HEADERS_SIZE, most);
    check_endless("", "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", OPF_FAIL_HEADERS_SIZE, most);
    check_endless(OK CHUNKED "0\r\n", "A: bcdefghijk\r\n", OPF_FAIL_HEADERS_SIZE, 2 * most);
}

/* By its bytes, however they come. */
TEST(limit_on_heads_is_exact)
{
    char text[MAX_HEADERS + 100];
    for (size_t over = 0; over < 2; over++) {
        size_t fixed = strlen("HTTP/1.1 200 \r\n" LENGTH(2)), reason = MAX_HEADERS + over - fixed;
        size_t n = (size_t)sprintf(text, "HTTP/1.1 200 ");
        memset(text + n, 'x', reason);
        strcpy(text + n + reason, "\r\n" LENGTH(2) "ok");
        for (size_t piece = 1; piece < 2 * MAX_HEADERS; piece = piece * 3 + 1) {
            outcome o;
            wanted w = {.text = text};
            begin(&o, &w, NULL);
            for (size_t at = 0, len = strlen(text); at < len; at += piece)
                feed(&o, text + at, len - at < piece ? len - at : piece);
            CHECK_EQ_INT(o.h1.failure, over ? OPF_FAIL_HEADERS_SIZE : OPF_FAIL_NONE);
            CHECK_EQ_INT(o.message.status, over ? 0 : 200);
            outcome_fini(&o);
        }
    }
}

TEST(limit_on_framing)
{
    const size_t most = 9 * (MAX_BODY + MAX_HEADERS);
    check_endless(OK CHUNKED "1;", "x", OPF_FAIL_PROTOCOL, OPF_CHUNKS_EXCESS + 1000);
    check_endless(OK CHUNKED, "1;xxxxxxxxxxxx\r\na\r\n", OPF_FAIL_BODY_SIZE, most);
    check_endless(OK CHUNKED "0\r\nA:", " ", OPF_FAIL_BODY_SIZE, most);
}

OPF_TEST_MAIN
