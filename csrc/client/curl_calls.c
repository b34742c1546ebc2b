/* What libcurl calls on the way of a request: before it is sent, for its body, with the response.
 */
#include <strings.h>

#include "base/clock.h"
#include "client/curl_transfer.h"
#include "wire/tls_lend.h"

#define SENDS_MAX 16 /* of one request: NTLM takes three to a server, and to a proxy */

/* Bytes of the piece that is there of a body that is given in pieces. */
static size_t piece_len(const opf_exchange *exchange)
{
    return exchange->in_pieces ? exchange->body_len : 0;
}

void opf_curl_note_phase(opf_transfer *t)
{
    opf_result *result = &t->exchange->result;
    curl_off_t sent = 0;
    if (result->phase != OPF_PHASE_SEND)
        return;
    curl_easy_getinfo(t->easy, CURLINFO_SIZE_UPLOAD_T, &sent);
    const opf_exchange *exchange = t->exchange;
    size_t body_len;
    opf_exchange_request_body(exchange, &body_len);
    if (!t->answered && (exchange->open_body || t->piece_at < piece_len(exchange)))
        return;
    if (t->answered || (size_t)sent >= body_len)
        result->phase = OPF_PHASE_WAIT;
}

/* Only for names that it was not given the addresses of: asking for them would take a thread. */
static int refuse_lookup(void *resolver, void *reserved, void *arg)
{
    const opf_transfer *t = arg;
    (void)resolver, (void)reserved;
    return !t->peer.is_address && !t->named.is_address;
}

CURLcode opf_curl_begin_tls(CURL *easy, void *ssl_ctx, void *arg)
{
    opf_transfer *t = arg;
    (void)easy;
    t->exchange->result.phase = OPF_PHASE_TLS;
    t->tls_handshakes++;
    opf_curl_set_deadline(t, opf_curl_timeouts(t)->connect_ns);
    const char *why;
    int ret = opf_tls_context_lend(t->multi->pool->tls, ssl_ctx, &why);
    if (ret == 0)
        return CURLE_OK;
    opf_curl_note(t, ret == OPF_EINVAL ? OPF_FAIL_TLS : OPF_FAIL_NOMEM, 0,
                  ret == OPF_EINVAL ? why : NULL);
    return CURLE_ABORTED_BY_CALLBACK;
}

/* Called for more of a body that is given in pieces. */
static size_t read_body(char *data, size_t one, size_t size, void *arg)
{
    opf_transfer *t = arg;
    opf_exchange *exchange = t->exchange;
    size_t left = piece_len(exchange) - t->piece_at;
    (void)one;
    if (left) {
        size = left < size ? left : size;
        memcpy(data, exchange->body + t->piece_at, size);
        t->piece_at += size;
        return size;
    }
    if (!exchange->open_body)
        return 0;
    t->starved = true;
    t->deadline = 0; /* it is not the server that lets us wait */
    opf_exchange_ask(exchange);
    return CURL_READFUNC_PAUSE;
}

void opf_curl_begin_response(opf_transfer *t)
{
    opf_exchange *exchange = t->exchange;
    const opf_pool_options *options = &t->multi->pool->options;
    opf_message_reset(&exchange->message);
    opf_h1_begin(&t->h1, &exchange->message, exchange->head_request, options->max_headers,
                 options->max_body);
}

static void count_handshake(opf_transfer *t)
{
    opf_engine_totals *totals = &opf_curl_engine(t->multi)->totals;
    struct curl_tlssessioninfo *info = NULL;
    totals->handshakes++;
    if (curl_easy_getinfo(t->easy, CURLINFO_TLS_SSL_PTR, &info) == CURLE_OK && info &&
        info->internals)
        totals->resumed += opf_tls_resumed(info->internals);
}

/* Called before each sending of the request. */
static int begin_request(void *arg, char *ip, char *own_ip, int port, int own_port)
{
    opf_transfer *t = arg;
    opf_result *result = &t->exchange->result;
    (void)ip, (void)own_ip, (void)port;
    opf_curl_sock *s = opf_curl_sock_by_port(t, own_port);
    if (opf_curl_is_lost(t))
        return CURL_PREREQFUNC_ABORT;
    if (t->sends == SENDS_MAX) { /* libcurl would go on for as long as it is asked */
        opf_curl_note(t, OPF_FAIL_PROTOCOL, 0, "it does not stop to ask for authentication");
        return CURL_PREREQFUNC_ABORT;
    }
    if (s && opf_curl_is_spoilt(s, t)) {
        t->is_stale = true;
        return CURL_PREREQFUNC_ABORT;
    }
    if (t->tls_handshakes)
        count_handshake(t);
    result->phase = OPF_PHASE_SEND;
    if (!t->sends) {
        result->sent_ns = opf_clock_mono();
        if (!t->opened)
            result->start_ns = result->sent_ns;
    }
    if (s)
        opf_curl_use_socket(t, s);
    t->sends++;
    t->answered = false;
    t->tls_handshakes = 0;
    opf_curl_set_deadline(t, opf_curl_timeouts(t)->network_ns);
    return CURL_PREREQFUNC_OK;
}

/* Takes note of what has come for a stream. */
static void tell(opf_transfer *t)
{
    opf_exchange *exchange = t->exchange;
    if (!exchange->stream)
        return;
    if (!exchange->result.head_ns) {
        exchange->result.head_ns = t->last_ns;
        opf_curl_engine(t->multi)->totals.unstamped++;
    }
    opf_exchange_tell(exchange);
}

static size_t fail_write(opf_transfer *t)
{
    opf_curl_note(t, t->h1.failure, 0, t->h1.detail);
    return 0;
}

/* Whether a line of a head goes on with a Transfer-Encoding that began before. Older versions of
 * libcurl would not see it and take the chunks for the body. */
static bool is_folded_coding(opf_transfer *t, const char *line, size_t len)
{
    static const char name[] = "transfer-encoding:";
    const size_t name_len = sizeof(name) - 1;
    if (len && (line[0] == ' ' || line[0] == '\t'))
        return t->in_coding;
    t->in_coding = len >= name_len && strncasecmp(line, name, name_len) == 0;
    return false;
}

/* Called with each line of a head, and of the trailers. */
static size_t on_header(char *line, size_t one, size_t len, void *arg)
{
    opf_transfer *t = arg;
    opf_h1_state state;
    size_t used;
    (void)one;
    t->last_ns = opf_clock_mono();
    t->began = t->answered = true;
    opf_curl_note_phase(t);
    if (t->h1.headers_done && len >= 5 && memcmp(line, "HTTP/", 5) == 0)
        opf_curl_begin_response(t); /* the one before asked for authentication */
    if (t->h1.headers_done) {
        state = opf_h1_trailer(&t->h1, line, len);
        return state == OPF_H1_FAILED ? fail_write(t) : len;
    }
    if (is_folded_coding(t, line, len)) {
        opf_curl_note(t, OPF_FAIL_PROTOCOL, 0, "Transfer-Encoding in several lines");
        return 0;
    }
    state = opf_h1_feed(&t->h1, (const uint8_t *)line, len, &used);
    if (state == OPF_H1_FAILED)
        return fail_write(t);
    if (t->h1.headers_done && t->posts && t->exchange->head_request) {
        t->whole = true;
        return 0;
    }
    /* an answer that asks for authentication may not be the last word */
    if (t->h1.headers_done && !t->has_auth)
        tell(t);
    return len;
}

static size_t on_body(char *data, size_t one, size_t len, void *arg)
{
    opf_transfer *t = arg;
    opf_exchange *exchange = t->exchange;
    (void)one;
    if (!t->h1.headers_done) {
        opf_curl_note(t, OPF_FAIL_PROTOCOL, 0, "body without a status line");
        return 0;
    }
    if (exchange->stream && opf_exchange_held(exchange) >= OPF_CURL_HELD_MAX) {
        t->paused = true;
        t->deadline = 0;
        return CURL_WRITEFUNC_PAUSE;
    }
    t->last_ns = opf_clock_mono();
    if (opf_h1_body(&t->h1, (const uint8_t *)data, len) == OPF_H1_FAILED)
        return fail_write(t);
    tell(t);
    return len;
}

bool opf_curl_set_calls(opf_transfer *t)
{
    CURL *easy = t->easy;
    CURLcode bad = CURLE_OK;
    OPF_CURL_SET(CURLOPT_RESOLVER_START_FUNCTION, refuse_lookup);
    OPF_CURL_SET(CURLOPT_RESOLVER_START_DATA, t);
    OPF_CURL_SET(CURLOPT_PREREQFUNCTION, begin_request);
    OPF_CURL_SET(CURLOPT_PREREQDATA, t);
    OPF_CURL_SET(CURLOPT_READFUNCTION, read_body);
    OPF_CURL_SET(CURLOPT_READDATA, t);
    OPF_CURL_SET(CURLOPT_HEADERFUNCTION, on_header);
    OPF_CURL_SET(CURLOPT_HEADERDATA, t);
    OPF_CURL_SET(CURLOPT_WRITEFUNCTION, on_body);
    OPF_CURL_SET(CURLOPT_WRITEDATA, t);
    return bad == CURLE_OK;
}
