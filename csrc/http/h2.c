#include "http/h2.h"

#include <nghttp2/nghttp2.h>
#include <string.h>

#include "http/h2_errors.h"
#include "http/h2_head.h"

/* Streams until the server has said how many it takes: no server should take fewer (RFC
 * 9113, 6.5.2).
 */
#define STREAMS_BEFORE_SETTINGS 100

/* Bytes of a request's head at most, as HTTP/2 counts them. */
#define MAX_REQUEST_HEAD (1U << 20)

/* Frames without a response in them that a server may send for one of a request's, and for how many
 * bytes of its body one more: credit is for the stream and for the connection. */
#define REPLIES_A_FRAME 4
#define BYTES_A_REPLY 32

/* Bytes of data in each of the smallest frames that may be on their way when we end a stream. */
#define SMALL_FRAME 16

static void fail_stream(opf_h2_stream *stream, opf_failure failure, const char *detail)
{
    if (stream->failure == OPF_FAIL_NONE) {
        stream->failure = failure;
        stream->detail = detail;
    }
}

static void fail_session(opf_h2 *h2, opf_failure failure, const char *detail)
{
    if (h2->failure == OPF_FAIL_NONE) {
        h2->failure = h2->starved ? OPF_FAIL_NOMEM : failure;
        h2->detail = h2->starved ? NULL : detail;
    }
}

/* Fails the session for too many frames of the type that has come last. */
static void fail_flooded(opf_h2 *h2)
{
    fail_session(h2, OPF_FAIL_PROTOCOL, opf_h2_flood(h2->patience.type));
}

/* Streams of the session */

static opf_h2_stream *stream_of(opf_h2 *h2, int32_t id)
{
    if (!h2->last || h2->last->id != id)
        h2->last = id ? nghttp2_session_get_stream_user_data(h2->session, id) : NULL;
    return h2->last;
}

/* Of a stream that nghttp2 has not opened, or not any more. */
static opf_h2_stream *find_stream(opf_h2 *h2, int32_t id)
{
    for (opf_node *n = h2->streams.next; n != &h2->streams; n = n->next) {
        opf_h2_stream *stream = OPF_CONTAINER(n, opf_h2_stream, link);
        if (stream->id == id)
            return stream;
    }
    return NULL;
}

/* Its fields are written, or never will be. */
static void release_text(opf_h2_stream *stream)
{
    opf_h2_text_release(stream->text);
    stream->text = NULL;
}

static void drop(opf_h2 *h2, opf_h2_stream *stream)
{
    release_text(stream);
    opf_list_remove(&stream->link);
    h2->n_streams--;
    stream->id = 0;
    if (h2->last == stream)
        h2->last = NULL;
}

static void end(opf_h2 *h2, opf_h2_stream *stream)
{
    drop(h2, stream);
    if (h2->starved && stream->failure != OPF_FAIL_NONE) {
        stream->failure = OPF_FAIL_NOMEM;
        stream->detail = NULL;
    }
    h2->events->ended(stream);
}

/* Has what may be on its way yet of a stream that ends before its response does be no flood. */
static void expect_rest(opf_h2 *h2)
{
    opf_h2_patience_grant(&h2->patience, h2->options.window / SMALL_FRAME);
}

/* Fails a stream that nghttp2 resets. */
static void fail_received(opf_h2 *h2, opf_h2_stream *stream, opf_failure failure,
                          const char *detail)
{
    if (stream->failure == OPF_FAIL_NONE)
        expect_rest(h2);
    fail_stream(stream, failure, detail);
}

/* Has the server know that we want no more of a stream, which nghttp2 is to forget. */
static void reset(opf_h2 *h2, const opf_h2_stream *stream)
{
    expect_rest(h2);
    /* without memory for it the stream ends with the connection */
    nghttp2_session_set_stream_user_data(h2->session, stream->id, NULL);
    nghttp2_submit_rst_stream(h2->session, NGHTTP2_FLAG_NONE, stream->id, NGHTTP2_CANCEL);
}

/* Responses */

/* Whether len more bytes of names and values are over the limit. */
static bool is_over(opf_h2 *h2, opf_h2_stream *stream, size_t len)
{
    stream->head_bytes += len;
    if (stream->head_bytes <= h2->options.max_headers)
        return false;
    fail_received(h2, stream, OPF_FAIL_HEADERS_SIZE, NULL);
    return true;
}

/* nghttp2 has seen to it that it is three digits. */
static void take_status(opf_message *message, const char *value, size_t len)
{
    int status = 0;
    for (size_t i = 0; i < len && i < 3; i++)
        status = status * 10 + (value[i] - '0');
    message->status = status;
}

/* nghttp2 has seen to it that there is but one, and a number. */
static void take_length(opf_h2_stream *stream, const char *value, size_t len)
{
    uint64_t length = 0;
    for (size_t i = 0; i < len; i++)
        length = length * 10 + (uint64_t)(value[i] - '0');
    stream->has_length = true;
    stream->length = length;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *arg)
{
    opf_h2 *h2 = arg;
    opf_h2_stream *stream = stream_of(h2, frame->hd.stream_id);
    (void)session, (void)flags;
    if (!stream || stream->failure != OPF_FAIL_NONE)
        return 0;
    h2->progress = true;
    if (is_over(h2, stream, name_len + value_len))
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    if (name_len && name[0] == ':') {
        take_status(stream->message, (const char *)value, value_len);
        return 0;
    }
    if (!stream->headers_done && name_len == 14 && memcmp(name, "content-length", 14) == 0)
        take_length(stream, (const char *)value, value_len);
    int ret = opf_message_add(stream->message, stream->headers_done, (const char *)name, name_len,
                              (const char *)value, value_len);
    if (stream->headers_done && h2->events->moved)
        h2->events->moved(stream);
    if (ret == 0)
        return 0;
    fail_received(h2, stream, OPF_FAIL_NOMEM, NULL);
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static int on_invalid_header(nghttp2_session *session, const nghttp2_frame *frame,
                             const uint8_t *name, size_t name_len, const uint8_t *value,
                             size_t value_len, uint8_t flags, void *arg)
{
    opf_h2_stream *stream = stream_of(arg, frame->hd.stream_id);
    (void)session, (void)name, (void)name_len, (void)value, (void)value_len, (void)flags;
    if (stream)
        fail_received(arg, stream, OPF_FAIL_PROTOCOL, opf_h2_objection(NGHTTP2_ERR_HTTP_HEADER));
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

/* The final response's headers are there: makes room for a body of known length. */
static void expect_body(opf_h2 *h2, opf_h2_stream *stream)
{
    opf_message *message = stream->message;
    if (!stream->has_length || !stream->length || stream->head_request || message->status == 304)
        return;
    if (stream->length > h2->options.max_body && !message->streamed)
        fail_stream(stream, OPF_FAIL_BODY_SIZE, NULL);
    else if (opf_message_expect_body(message, (size_t)stream->length) != 0)
        fail_stream(stream, OPF_FAIL_NOMEM, NULL);
}

static void on_head(opf_h2 *h2, opf_h2_stream *stream)
{
    opf_message *message = stream->message;
    if (stream->headers_done) /* trailers */
        return;
    if (message->status >= 100 && message->status < 200) {
        opf_message_forget_head(message);
        stream->has_length = false;
        return;
    }
    stream->headers_done = true;
    opf_message_index(message);
    expect_body(h2, stream);
}

/* Ends a stream whose failure is ours to tell, unless nghttp2 does it. */
static void give_up(opf_h2 *h2, opf_h2_stream *stream)
{
    reset(h2, stream);
    end(h2, stream);
}

static void on_stream_frame(opf_h2 *h2, opf_h2_stream *stream, const nghttp2_frame *frame)
{
    if (frame->hd.type == NGHTTP2_HEADERS)
        on_head(h2, stream);
    else if (frame->hd.type != NGHTTP2_DATA)
        return;
    if (stream->failure != OPF_FAIL_NONE) {
        give_up(h2, stream);
        return;
    }
    if (!(frame->hd.flags & NGHTTP2_FLAG_END_STREAM)) {
        h2->events->came(stream);
        return;
    }
    stream->whole = true;
    /* a response may end before its request: nobody wants the rest of that */
    if (nghttp2_session_get_stream_local_close(h2->session, stream->id) == 0)
        give_up(h2, stream);
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    opf_h2 *h2 = arg;
    opf_h2_stream *stream;
    (void)session;
    h2->answered = true;
    switch (frame->hd.type) {
    case NGHTTP2_GOAWAY:
        h2->going_away = true;
        h2->away_code = frame->goaway.error_code;
        h2->away_last = frame->goaway.last_stream_id;
        return 0;
    case NGHTTP2_RST_STREAM:
        stream = stream_of(h2, frame->hd.stream_id);
        if (stream && !stream->whole) {
            fail_stream(stream, OPF_FAIL_STREAM_RESET,
                        opf_h2_code_name(frame->rst_stream.error_code));
            stream->refused =
                frame->rst_stream.error_code == NGHTTP2_REFUSED_STREAM && !stream->head_bytes;
        }
        return 0;
    default:
        stream = stream_of(h2, frame->hd.stream_id);
        if (stream)
            on_stream_frame(h2, stream, frame);
        return 0;
    }
}

static void add_body(const opf_h2 *h2, opf_h2_stream *stream, const uint8_t *data, size_t len)
{
    opf_message *message = stream->message;
    if (message->object && len <= message->object_size - message->object_len) {
        memcpy(message->object_data + message->object_len, data, len);
        message->object_len += len;
    } else if (message->object) {
        fail_stream(stream, OPF_FAIL_PROTOCOL, "HTTP/2: a body of another length than it said");
    } else if (!message->streamed && len > h2->options.max_body - message->body.len) {
        fail_stream(stream, OPF_FAIL_BODY_SIZE, NULL);
    } else if (opf_buf_append(&message->body, data, len) != 0) {
        fail_stream(stream, OPF_FAIL_NOMEM, NULL);
    }
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                   size_t len, void *arg)
{
    opf_h2 *h2 = arg;
    opf_h2_stream *stream = stream_of(h2, id);
    (void)flags;
    if (!stream) {
        nghttp2_session_consume_connection(session, len);
        return 0;
    }
    stream->body_bytes += len;
    h2->progress |= len > 0;
    if (stream->failure == OPF_FAIL_NONE)
        add_body(h2, stream, data, len);
    if (stream->message->streamed) {
        stream->untaken += len;
        nghttp2_session_consume_connection(session, len);
    } else {
        nghttp2_session_consume(session, id, len);
    }
    if (stream->failure != OPF_FAIL_NONE)
        give_up(h2, stream);
    return 0;
}

/* A stream of which nghttp2 knows no more: it was answered, or reset by one side or the other, or
 * is above the last one of a GOAWAY. */
static void note_close(opf_h2 *h2, opf_h2_stream *stream, uint32_t code)
{
    if (stream->whole || stream->failure != OPF_FAIL_NONE)
        return;
    if (h2->going_away && stream->id > h2->away_last) {
        fail_stream(stream, OPF_FAIL_GOAWAY, opf_h2_code_name(h2->away_code));
        stream->refused = !stream->head_bytes; /* else it has looked at it, whatever it says */
    } else if (stream->has_length && code == NGHTTP2_PROTOCOL_ERROR) {
        fail_stream(stream, OPF_FAIL_PROTOCOL, "HTTP/2: a body of another length than it said");
    } else {
        fail_stream(stream, OPF_FAIL_PROTOCOL, opf_h2_violation(code));
    }
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *arg)
{
    opf_h2 *h2 = arg;
    opf_h2_stream *stream = stream_of(h2, id);
    (void)session;
    if (!stream)
        return 0;
    note_close(h2, stream, code);
    end(h2, stream);
    return 0;
}

static int on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int error,
                            void *arg)
{
    opf_h2 *h2 = arg;
    opf_h2_stream *stream = stream_of(h2, frame->hd.stream_id);
    const char *detail = opf_h2_objection(error);
    (void)session;
    if (frame->hd.type == NGHTTP2_PUSH_PROMISE)
        detail = "HTTP/2: a push that was refused";
    if (!detail)
        detail = opf_h2_violation(NGHTTP2_PROTOCOL_ERROR);
    if (stream)
        fail_received(h2, stream, OPF_FAIL_PROTOCOL, detail);
    else
        fail_session(h2, OPF_FAIL_PROTOCOL, detail);
    return 0;
}

static int on_error(nghttp2_session *session, int error, const char *text, size_t len, void *arg)
{
    (void)session, (void)text, (void)len;
    if (error == NGHTTP2_ERR_SETTINGS_EXPECTED)
        fail_session(arg, OPF_FAIL_NO_HTTP2, "it did not begin with SETTINGS");
    return 0;
}

/* Requests */

static int before_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    opf_h2 *h2 = arg;
    (void)session;
    if (frame->hd.type == NGHTTP2_HEADERS) {
        opf_h2_stream *stream = stream_of(h2, frame->hd.stream_id);
        opf_h2_patience_grant(&h2->patience, REPLIES_A_FRAME);
        if (stream) {
            release_text(stream);
            h2->events->sending(stream);
        }
    } else if (frame->hd.type == NGHTTP2_GOAWAY && frame->goaway.error_code != NGHTTP2_NO_ERROR) {
        if (frame->goaway.error_code == NGHTTP2_ENHANCE_YOUR_CALM)
            fail_flooded(h2);
        else
            fail_session(h2, OPF_FAIL_PROTOCOL, opf_h2_violation(frame->goaway.error_code));
    }
    return 0;
}

/* A request that could not be sent, as the server began to go away meanwhile. */
static int on_frame_not_send(nghttp2_session *session, const nghttp2_frame *frame, int error,
                             void *arg)
{
    opf_h2 *h2 = arg;
    opf_h2_stream *stream;
    (void)session;
    if (frame->hd.type != NGHTTP2_HEADERS || !(stream = find_stream(h2, frame->hd.stream_id)))
        return 0;
    if (error == NGHTTP2_ERR_FRAME_SIZE_ERROR) {
        fail_stream(stream, OPF_FAIL_PROTOCOL, "HTTP/2: the request's headers are too large");
    } else {
        fail_stream(stream, OPF_FAIL_GOAWAY, opf_h2_code_name(h2->away_code));
        stream->refused = h2->going_away;
    }
    reset(h2, stream);
    end(h2, stream);
    return 0;
}

static ssize_t read_body(nghttp2_session *session, int32_t id, uint8_t *data, size_t size,
                         uint32_t *flags, nghttp2_data_source *source, void *arg)
{
    opf_h2 *h2 = arg;
    opf_h2_stream *stream = stream_of(h2, id);
    bool is_end = false;
    (void)session, (void)source;
    if (!stream) /* given up: its reset is on the way */
        return NGHTTP2_ERR_DEFERRED;
    ssize_t n = h2->events->body(stream, data, size, &is_end);
    if (n > 0)
        opf_h2_patience_grant(&h2->patience, REPLIES_A_FRAME + (uint64_t)n / BYTES_A_REPLY);
    if (is_end)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return n == OPF_H2_LATER ? NGHTTP2_ERR_DEFERRED : n;
}

int opf_h2_begin(opf_h2 *h2, opf_h2_stream *stream, opf_message *message,
                 const opf_h2_request *request)
{
    nghttp2_data_provider body = {.read_callback = read_body};
    if (h2->going_away || h2->failure != OPF_FAIL_NONE)
        return OPF_EINVAL;
    if (opf_h2_head_write(&h2->head, request) != 0)
        return OPF_ENOMEM;
    int32_t id = nghttp2_submit_request(
        h2->session, NULL, (const nghttp2_nv *)(const void *)h2->head.fields.data,
        h2->head.fields.len / sizeof(nghttp2_nv), request->has_body ? &body : NULL, stream);
    if (id == NGHTTP2_ERR_NOMEM)
        return OPF_ENOMEM;
    if (id < 0) { /* there are no more numbers */
        h2->going_away = true;
        return OPF_EINVAL;
    }
    *stream = (opf_h2_stream){.id = id,
                              .message = message,
                              .text = opf_h2_head_hold_text(&h2->head),
                              .head_request = request->head_request};
    opf_list_push_back(&h2->streams, &stream->link);
    h2->n_streams++;
    return 0;
}

void opf_h2_cancel(opf_h2 *h2, opf_h2_stream *stream)
{
    if (!stream->id)
        return;
    reset(h2, stream);
    drop(h2, stream);
}

void opf_h2_resume(opf_h2 *h2, opf_h2_stream *stream)
{
    if (nghttp2_session_resume_data(h2->session, stream->id) == NGHTTP2_ERR_NOMEM)
        fail_session(h2, OPF_FAIL_NOMEM, NULL);
}

void opf_h2_took(opf_h2 *h2, opf_h2_stream *stream, size_t len)
{
    stream->untaken -= len;
    if (stream->id && nghttp2_session_consume_stream(h2->session, stream->id, len) != 0)
        fail_session(h2, OPF_FAIL_NOMEM, NULL);
}

/* The session */

static void *note_starved(opf_h2 *h2, void *p)
{
    h2->starved |= !p;
    return p;
}

static opf_blocks *memory_of(const opf_h2 *h2)
{
    return h2->options.memory;
}

static void *give_memory(size_t size, void *arg)
{
    return note_starved(arg, opf_blocks_alloc(memory_of(arg), size));
}

static void free_memory(void *p, void *arg)
{
    opf_blocks_free(memory_of(arg), p);
}

static void *give_zeroes(size_t n, size_t size, void *arg)
{
    size_t total;
    if (__builtin_mul_overflow(n, size, &total))
        return NULL;
    void *p = give_memory(total, arg);
    return p ? memset(p, 0, total) : NULL;
}

static void *resize_memory(void *p, size_t size, void *arg)
{
    return note_starved(arg, opf_blocks_realloc(memory_of(arg), p, size));
}

static void set_callbacks(nghttp2_session_callbacks *callbacks)
{
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback(callbacks, on_invalid_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid_frame);
    nghttp2_session_callbacks_set_before_frame_send_callback(callbacks, before_frame_send);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, on_frame_not_send);
    nghttp2_session_callbacks_set_error_callback2(callbacks, on_error);
}

static int make_session(opf_h2 *h2)
{
    nghttp2_mem mem = {h2, give_memory, free_memory, give_zeroes, resize_memory};
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_option *option = NULL;
    int ret = OPF_ENOMEM;
    if (nghttp2_session_callbacks_new(&callbacks) == 0 && nghttp2_option_new(&option) == 0) {
        set_callbacks(callbacks);
        nghttp2_option_set_no_auto_window_update(option, 1);
        nghttp2_option_set_max_send_header_block_length(option, MAX_REQUEST_HEAD);
        if (nghttp2_session_client_new3(&h2->session, callbacks, h2, option, &mem) == 0)
            ret = 0;
    }
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_option_del(option);
    return ret;
}

int opf_h2_init(opf_h2 *h2, const opf_h2_options *options, const opf_h2_events *events)
{
    *h2 = (opf_h2){.events = events, .options = *options};
    opf_list_init(&h2->streams);
    opf_h2_patience_restore(&h2->patience);
    /* no word of priorities: without RFC 7540's (RFC 9113, 5.3) nghttp2 1.52 frees a request twice
     * when memory runs out */
    nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, options->window},
    };
    if (make_session(h2) != 0)
        return OPF_ENOMEM;
    if (nghttp2_submit_settings(h2->session, NGHTTP2_FLAG_NONE, settings,
                                sizeof(settings) / sizeof(*settings)) == 0 &&
        nghttp2_session_set_local_window_size(h2->session, NGHTTP2_FLAG_NONE, 0,
                                              (int32_t)options->connection_window) == 0)
        return 0;
    opf_h2_fini(h2);
    return OPF_ENOMEM;
}

void opf_h2_fini(opf_h2 *h2)
{
    while (!opf_list_empty(&h2->streams))
        drop(h2, OPF_CONTAINER(h2->streams.next, opf_h2_stream, link));
    nghttp2_session_del(h2->session);
    h2->session = NULL;
    opf_h2_head_fini(&h2->head);
}

/* Whether what came first can't be a frame: nobody's first one is as long as this says. */
static bool is_http1(const uint8_t *data, size_t len)
{
    return len >= 5 && memcmp(data, "HTTP/", 5) == 0;
}

/* Counts what has come against our patience, if it has brought nothing. */
static void judge_flood(opf_h2 *h2, uint64_t cost)
{
    if (h2->progress) {
        opf_h2_patience_restore(&h2->patience);
    } else if (!opf_h2_patience_spend(&h2->patience, cost)) {
        fail_flooded(h2);
        nghttp2_session_terminate_session(h2->session, NGHTTP2_ENHANCE_YOUR_CALM);
    }
}

int opf_h2_feed(opf_h2 *h2, const uint8_t *data, size_t len, uint64_t now)
{
    if (!h2->answered && is_http1(data, len))
        fail_session(h2, OPF_FAIL_NO_HTTP2, "it answered in HTTP/1");
    if (h2->failure != OPF_FAIL_NONE)
        return -1;
    opf_h2_patience_renew(&h2->patience, now);
    uint64_t cost = opf_h2_patience_cost(&h2->patience, data, len);
    h2->progress = false;
    ssize_t n = nghttp2_session_mem_recv(h2->session, data, len);
    h2->last = NULL;
    if (n == NGHTTP2_ERR_NOMEM)
        fail_session(h2, OPF_FAIL_NOMEM, NULL);
    else if (opf_h2_is_flood((int)n))
        fail_flooded(h2);
    else if (n < 0)
        fail_session(h2, OPF_FAIL_PROTOCOL,
                     opf_h2_objection((int)n) ? opf_h2_objection((int)n)
                                              : opf_h2_violation(NGHTTP2_PROTOCOL_ERROR));
    else
        judge_flood(h2, cost);
    return h2->failure == OPF_FAIL_NONE ? 0 : -1;
}

size_t opf_h2_pull(opf_h2 *h2, uint8_t *data, size_t size)
{
    size_t at = 0;
    while (at < size) {
        if (!h2->frame_len) {
            ssize_t n = nghttp2_session_mem_send(h2->session, &h2->frame);
            if (n < 0)
                fail_session(h2, OPF_FAIL_NOMEM, NULL);
            if (n <= 0)
                break;
            h2->frame_len = (size_t)n;
        }
        size_t len = h2->frame_len < size - at ? h2->frame_len : size - at;
        memcpy(data + at, h2->frame, len);
        at += len;
        h2->frame += len;
        h2->frame_len -= len;
    }
    return at;
}

bool opf_h2_wants_write(const opf_h2 *h2)
{
    return h2->frame_len || nghttp2_session_want_write(h2->session);
}

bool opf_h2_is_over(const opf_h2 *h2)
{
    return h2->failure != OPF_FAIL_NONE ||
           (!nghttp2_session_want_read(h2->session) && !opf_h2_wants_write(h2));
}

uint32_t opf_h2_room(const opf_h2 *h2)
{
    if (h2->going_away || h2->failure != OPF_FAIL_NONE)
        return 0;
    uint32_t most = h2->answered ? nghttp2_session_get_remote_settings(
                                       h2->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS)
                                 : STREAMS_BEFORE_SETTINGS;
    if (!most && !h2->n_streams) /* none at all for now: one shall see whether that changes */
        return 1;
    if (h2->options.max_streams && most > h2->options.max_streams)
        most = h2->options.max_streams;
    return most > h2->n_streams ? most - h2->n_streams : 0;
}

bool opf_h2_has_reason(const opf_h2 *h2)
{
    return h2->failure != OPF_FAIL_NONE || (h2->going_away && h2->away_code != NGHTTP2_NO_ERROR);
}

void opf_h2_note_eof(const opf_h2 *h2, opf_h2_stream *stream)
{
    if (h2->failure != OPF_FAIL_NONE)
        fail_stream(stream, h2->failure, h2->detail);
    else if (!h2->answered)
        fail_stream(stream, OPF_FAIL_NO_HTTP2, "it closed the connection at once");
    else if (h2->going_away && h2->away_code != NGHTTP2_NO_ERROR)
        fail_stream(stream, OPF_FAIL_GOAWAY, opf_h2_code_name(h2->away_code));
    else if (stream->headers_done)
        fail_stream(stream, OPF_FAIL_CLOSED_BODY, NULL);
    else
        fail_stream(stream, stream->head_bytes ? OPF_FAIL_CLOSED_HEADERS : OPF_FAIL_CLOSED, NULL);
}

void opf_h2_say_goodbye(opf_h2 *h2)
{
    nghttp2_session_terminate_session(h2->session, NGHTTP2_NO_ERROR);
}
