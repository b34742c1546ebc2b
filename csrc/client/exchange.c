#include "client/exchange.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "client/conn.h"
#include "client/curl.h"
#include "client/mux.h"
#include "client/pool.h"
#include "http/decode.h"
#include "http/h1.h"

/* Bodies up to this are copied behind the head: one piece to send, and the caller's bytes may go.
 */
#define COPY_MAX 4096

/* Exchanges kept for use, and what their buffers may hold. */
#define SPARE_MAX 256
#define SPARE_OUT_MAX 8192

static void forget_request(opf_exchange *exchange)
{
    exchange->out.len = 0;
    exchange->head_len = 0;
    exchange->body = NULL;
    exchange->body_len = 0;
    exchange->hungry = false;
    exchange->in_pieces = false;
    exchange->ends_chunk = false;
    exchange->read_at = 0;
}

opf_exchange *opf_exchange_new(opf_engine *engine)
{
    opf_node *node = opf_list_pop_front(&engine->spare);
    opf_exchange *exchange;
    if (node) {
        exchange = OPF_CONTAINER(node, opf_exchange, link);
        engine->n_spare--;
        exchange->state = OPF_EXCHANGE_IDLE;
        exchange->result = (opf_result){0}; /* it may never be submitted */
        forget_request(exchange);
    } else {
        exchange = opf_mem_zalloc(sizeof(*exchange));
        if (!exchange)
            return NULL;
        exchange->engine = engine;
        opf_list_init(&exchange->link);
        opf_buf_init(&exchange->out);
        opf_buf_init(&exchange->front);
        opf_message_init(&exchange->message, engine->sink);
    }
    engine->totals.exchanges++;
    return exchange;
}

static void destroy(opf_exchange *exchange)
{
    opf_message_fini(&exchange->message);
    opf_buf_fini(&exchange->out);
    opf_buf_fini(&exchange->front);
    opf_mem_free(exchange);
}

void opf_exchange_free(opf_exchange *exchange)
{
    if (!exchange)
        return;
    opf_engine *engine = exchange->engine;
    opf_exchange_cancel(exchange);
    engine->totals.exchanges--;
    if (engine->n_spare >= SPARE_MAX) {
        destroy(exchange);
        return;
    }
    opf_message_reset(&exchange->message);
    if (exchange->out.cap > SPARE_OUT_MAX)
        opf_buf_fini(&exchange->out);
    exchange->state = OPF_EXCHANGE_SPARE;
    opf_list_push_front(&engine->spare, &exchange->link);
    engine->n_spare++;
}

void opf_exchange_free_spare(opf_engine *engine)
{
    opf_node *node;
    while ((node = opf_list_pop_front(&engine->spare)))
        destroy(OPF_CONTAINER(node, opf_exchange, link));
    engine->n_spare = 0;
}

/* Drops what the exchange brought before, and its request. */
static void begin(opf_exchange *exchange, opf_pool *pool, const opf_timeouts *timeouts)
{
    opf_exchange_cancel(exchange);
    opf_message_reset(&exchange->message);
    exchange->result = (opf_result){.timeouts = timeouts ? *timeouts : pool->options.timeouts};
    forget_request(exchange);
}

opf_buf *opf_exchange_prepare(opf_exchange *exchange, opf_pool *pool, const opf_timeouts *timeouts,
                              bool head_request)
{
    begin(exchange, pool, timeouts);
    exchange->open_body = false;
    exchange->chunked = false;
    exchange->stream = false;
    exchange->message.streamed = false;
    exchange->head_request = head_request;
    return &exchange->out;
}

int opf_exchange_submit_prepared(opf_exchange *exchange, opf_pool *pool, const opf_url *url,
                                 size_t head_len, bool closes, opf_done_fn *done, void *arg)
{
    if (exchange->engine->forked)
        return OPF_EFORKED;
    exchange->head_len = head_len;
    exchange->closes = closes;
    exchange->done = done;
    exchange->arg = arg;
    return opf_pool_submit(pool, exchange, url);
}

int opf_exchange_submit(opf_exchange *exchange, opf_pool *pool, const opf_request *request,
                        opf_done_fn *done, void *arg, opf_request_error *error)
{
    opf_engine *engine = exchange->engine;
    if (engine->forked)
        return OPF_EFORKED;
    begin(exchange, pool, request->timeouts);
    exchange->done = done;
    exchange->arg = arg;
    exchange->open_body = request->open_body;
    exchange->stream = request->stream;
    exchange->message.streamed = request->stream;
    exchange->head_request = request->method_len == 4 && memcmp(request->method, "HEAD", 4) == 0;
    int ret =
        opf_h1_write_head(&exchange->out, request, &exchange->closes, &exchange->chunked, error);
    if (ret != 0)
        return ret;
    exchange->head_len = exchange->out.len;
    if (request->body_len > COPY_MAX) {
        exchange->body = request->body;
        exchange->body_len = request->body_len;
    } else if (opf_buf_append(&exchange->out, request->body, request->body_len) != 0) {
        return OPF_ENOMEM;
    }
    if (request->curl)
        return opf_curl_submit(pool, exchange, request, error);
    return opf_pool_submit(pool, exchange, request->url);
}

void opf_exchange_let_go(opf_exchange *exchange)
{
    exchange->conn = NULL;
    exchange->state = OPF_EXCHANGE_IDLE;
    exchange->has_news = false;
    opf_list_remove(&exchange->link);
}

void opf_exchange_cancel(opf_exchange *exchange)
{
    opf_result *result = &exchange->result;
    switch (exchange->state) {
    case OPF_EXCHANGE_ACTIVE:
        if (exchange->transfer)
            opf_curl_abandon(exchange->transfer);
        else if (exchange->mux_stream)
            opf_mux_abandon(exchange);
        else
            opf_conn_abandon(exchange->conn);
        break;
    case OPF_EXCHANGE_QUEUED:
    case OPF_EXCHANGE_FINISHED:
        break;
    case OPF_EXCHANGE_IDLE:
    case OPF_EXCHANGE_SPARE:
        return;
    }
    opf_exchange_let_go(exchange);
    result->failure = OPF_FAIL_CANCELLED;
    result->end_ns = result->seen_ns = opf_clock_mono();
    if (!result->start_ns)
        result->start_ns = result->end_ns;
}

opf_failure opf_exchange_decode(opf_exchange *exchange, size_t max_body, const char **detail)
{
    opf_message *message = &exchange->message;
    size_t len;
    const uint8_t *body = opf_message_body(message, &len);
    if (message->coding == OPF_NO_FIELD || !len)
        return OPF_FAIL_NONE;
    const char *coding;
    size_t coding_len;
    opf_buf codings, decoded;
    opf_buf_init(&codings);
    opf_buf_init(&decoded);
    int ret = opf_message_coding(message, &codings, &coding, &coding_len);
    if (ret == 0)
        ret = opf_decode(coding, coding_len, body, len, max_body, &decoded, detail);
    if (ret == 0)
        opf_message_replace_body(message, &decoded);
    opf_buf_fini(&codings);
    opf_buf_fini(&decoded);
    if (ret >= 0)
        return OPF_FAIL_NONE;
    if (ret == OPF_ENOMEM)
        return OPF_FAIL_NOMEM;
    return ret == OPF_DECODE_SIZE ? OPF_FAIL_BODY_SIZE : OPF_FAIL_DECODE;
}

/* Brings the result up to date with the message, whose memory may have moved. */
static void file_message(opf_exchange *exchange)
{
    opf_result *result = &exchange->result;
    const opf_message *message = &exchange->message;
    result->status = message->status;
    result->http_minor = message->minor;
    result->head = (const char *)message->head.data;
    result->reason_len = message->reason_len;
    result->fields = opf_message_field(message, 0);
    result->n_fields = message->n_fields;
    result->n_trailers = message->n_trailers;
    result->has_set_cookie = message->has_set_cookie;
    if (!exchange->stream)
        result->body = opf_message_body(message, &result->body_len);
}

void opf_exchange_refile(opf_exchange *exchange)
{
    if (exchange->result.head_ns)
        file_message(exchange);
}

static void make_due(opf_exchange *exchange)
{
    opf_engine *engine = exchange->engine;
    if (exchange->has_news) /* is in the list already */
        return;
    opf_list_push_back(&engine->finished, &exchange->link);
    if (!engine->polling)
        opf_loop_wake(engine->loop);
}

void opf_exchange_ask(opf_exchange *exchange)
{
    exchange->hungry = true;
    make_due(exchange);
    exchange->has_news = true;
}

bool opf_exchange_wants_body(const opf_exchange *exchange)
{
    return exchange->hungry && exchange->state == OPF_EXCHANGE_ACTIVE && !exchange->engine->forked;
}

/* Writes what goes before a piece (RFC 9112, 7.1): its length; of the last chunk all there is. */
static int frame(opf_exchange *exchange, size_t len)
{
    char text[32];
    if (opf_buf_reserve(&exchange->front, sizeof(text)) != 0)
        return OPF_ENOMEM;
    exchange->front.len = 0;
    if (!exchange->chunked)
        return 0;
    int n = snprintf(text, sizeof(text), len ? "%zx\r\n" : "%zx\r\n\r\n", len);
    return opf_buf_append(&exchange->front, text, (size_t)n);
}

int opf_exchange_write(opf_exchange *exchange, const void *data, size_t len)
{
    if (!opf_exchange_wants_body(exchange))
        return 0;
    if (frame(exchange, len) != 0)
        return OPF_ENOMEM;
    exchange->in_pieces = true;
    exchange->ends_chunk = exchange->chunked && len;
    exchange->hungry = false;
    exchange->open_body = len > 0;
    exchange->body = data;
    exchange->body_len = len;
    if (exchange->transfer)
        opf_curl_send_on(exchange->transfer);
    else if (exchange->mux_stream)
        opf_mux_send_on(exchange);
    else
        opf_conn_send_on(exchange->conn);
    return 0;
}

void opf_exchange_tell(opf_exchange *exchange)
{
    file_message(exchange);
    exchange->result.phase = OPF_PHASE_BODY;
    make_due(exchange);
    exchange->has_news = true;
}

size_t opf_exchange_held(const opf_exchange *exchange)
{
    return exchange->message.body.len - exchange->read_at;
}

size_t opf_exchange_read(opf_exchange *exchange, void *data, size_t size)
{
    opf_buf *body = &exchange->message.body;
    size_t held = opf_exchange_held(exchange);
    if (size > held)
        size = held;
    if (size)
        memcpy(data, body->data + exchange->read_at, size);
    exchange->read_at += size;
    if (exchange->read_at > body->len / 2) { /* moves each byte once at most, on the average */
        memmove(body->data, body->data + exchange->read_at, held - size);
        body->len = held - size;
        exchange->read_at = 0;
    }
    if (exchange->transfer)
        opf_curl_read_on(exchange->transfer);
    else if (exchange->mux_stream)
        opf_mux_read_on(exchange);
    else if (exchange->state == OPF_EXCHANGE_ACTIVE)
        opf_conn_read_on(exchange->conn);
    return size;
}

void opf_exchange_finish(opf_exchange *exchange, opf_failure failure, int err, const char *detail)
{
    opf_result *result = &exchange->result;
    file_message(exchange);
    result->failure = failure;
    result->err = err;
    result->detail = detail;
    if (failure == OPF_FAIL_NONE)
        result->phase = OPF_PHASE_DONE;
    exchange->conn = NULL;
    exchange->state = OPF_EXCHANGE_FINISHED;
    make_due(exchange);
    exchange->has_news = false;
}

int opf_exchange_report(opf_engine *engine)
{
    int reported = 0;
    opf_list due;
    opf_node *node;
    /* what done makes due in its turn waits for the next poll, which a wake-up brings */
    opf_list_init(&due);
    if (opf_list_empty(&engine->finished))
        return 0;
    due = engine->finished;
    due.next->prev = &due;
    due.prev->next = &due;
    opf_list_init(&engine->finished);
    while ((node = opf_list_pop_front(&due))) {
        opf_exchange *exchange = OPF_CONTAINER(node, opf_exchange, link);
        exchange->has_news = false;
        if (exchange->state == OPF_EXCHANGE_FINISHED)
            exchange->state = OPF_EXCHANGE_IDLE;
        exchange->done(exchange, exchange->arg);
        reported++;
    }
    if (!opf_list_empty(&engine->finished))
        opf_loop_wake(engine->loop);
    return reported;
}

const opf_result *opf_exchange_result(const opf_exchange *exchange)
{
    return &exchange->result;
}

const char *opf_result_protocol(const opf_result *result)
{
    if (result->phase < OPF_PHASE_SEND || result->failure == OPF_FAIL_NO_HTTP2)
        return NULL;
    if (result->http2)
        return "HTTP/2";
    return result->status && result->http_minor == 0 ? "HTTP/1.0" : "HTTP/1.1";
}

void *opf_exchange_take_body(opf_exchange *exchange)
{
    opf_message *message = &exchange->message;
    void *object = message->object;
    if (!object || message->object_len != message->object_size)
        return NULL;
    message->object = NULL;
    return object;
}

const char *opf_exchange_request_head(const opf_exchange *exchange, size_t *len)
{
    *len = exchange->head_len;
    return (const char *)exchange->out.data;
}

const char *opf_exchange_request_body(const opf_exchange *exchange, size_t *len)
{
    if (exchange->body && !exchange->in_pieces) {
        *len = exchange->body_len;
        return (const char *)exchange->body;
    }
    *len = exchange->out.len - exchange->head_len;
    return (const char *)exchange->out.data + exchange->head_len;
}
