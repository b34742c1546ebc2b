#include "binding/perform.h"

#include <time.h>

/* Sending */

void Parcel_fini(Parcel *parcel)
{
    Url_fini(&parcel->url);
    Body_fini(&parcel->body);
    Py_XDECREF(parcel->keep);
    Py_XDECREF(parcel->method);
}

static int submit_error(int ret, const opf_request *request, const opf_request_error *error)
{
    if (ret == OPF_ENOMEM) {
        PyErr_NoMemory();
    } else if (ret == OPF_EFORKED) {
        PyErr_SetString(PyExc_RuntimeError, "this session was used before the process forked");
    } else if (error->header != SIZE_MAX) {
        /* the name only: values are secrets */
        const opf_header *header = &request->headers[error->header];
        PyObject *name = PyUnicode_DecodeLatin1(header->name, (Py_ssize_t)header->name_len, NULL);
        if (name)
            PyErr_Format(PyExc_ValueError, "header %R: %s", name, error->why);
        Py_XDECREF(name);
    } else {
        PyErr_SetString(PyExc_ValueError, error->why);
    }
    return -1;
}

/* The method as it is sent, in upper case: a new reference. */
static PyObject *wire_method(State *state, PyObject *method)
{
    for (int i = NAME_GET; i <= NAME_OPTIONS; i++)
        if (method == state->names[i])
            return Py_NewRef(method);
    if (!PyUnicode_Check(method) || !PyUnicode_IS_ASCII(method)) {
        PyErr_SetString(PyExc_ValueError, "method is not a token (RFC 9110, 5.6.2)");
        return NULL;
    }
    PyObject *upper = PyObject_CallMethodNoArgs(method, state->names[NAME_upper]);
    if (upper && !(PyUnicode_Check(upper) && PyUnicode_IS_ASCII(upper))) {
        PyErr_SetString(PyExc_ValueError, "method is not a token (RFC 9110, 5.6.2)");
        Py_CLEAR(upper);
    }
    return upper;
}

int Parcel_set_method(Parcel *parcel, State *state, PyObject *method)
{
    parcel->method = wire_method(state, method);
    return parcel->method ? 0 : -1;
}

int Parcel_submit(Parcel *parcel, Pool *pool, Response *response)
{
    Body *body = &parcel->body;
    const Session *session = response->session;
    opf_curl_options curl;
    bool by_curl = Route_make(session, parcel->proxy, parcel->auth, &curl);
    opf_request request = {.url = &parcel->url.parsed,
                           .method = (const char *)PyUnicode_1BYTE_DATA(parcel->method),
                           .method_len = (size_t)PyUnicode_GET_LENGTH(parcel->method),
                           .headers = parcel->headers.list,
                           .n_headers = parcel->headers.n,
                           .body = body->data,
                           .body_len = body->len,
                           .open_body = parcel->pieces != NULL,
                           .timeouts = parcel->timeouts,
                           .curl = by_curl ? &curl : NULL,
                           .stream = parcel->stream};
    opf_request_error error;
    response->done = false;
    PyObject *proxy = parcel->proxy && parcel->proxy != Py_None ? parcel->proxy : session->proxy;
    Py_XSETREF(response->proxy, curl.proxy ? Py_NewRef(proxy) : NULL);
    response->body_is_text = body->is_text;
    int ret = opf_exchange_submit(response->exchange, pool->pool, &request, Engine_on_done,
                                  response, &error);
    Py_XSETREF(response->body,
               body->owner && ret == 0 && body->len > COPIED ? Py_NewRef(body->owner) : NULL);
    if (ret != 0)
        return submit_error(ret, &request, &error);
    Py_XSETREF(response->pieces, Py_XNewRef(parcel->pieces));
    return 0;
}

/* The outcome */

bool Response_is_lost(const Response *response)
{
    const opf_result *result = opf_exchange_result(response->exchange);
    if (response->streamed && result->head_ns && result->failure != OPF_FAIL_CANCELLED)
        return false;
    return result->failure != OPF_FAIL_NONE;
}

PyObject *Session_failure_of(Session *self, Response *response)
{
    const opf_result *r = opf_exchange_result(response->exchange);
    const opf_pool_options *options = opf_pool_get_options(response->pool->pool);
    PyObject *helper = state_helper(self->state, HELPER_failure);
    PyObject *url = helper ? Response_get_url(response) : NULL;
    PyObject *error = NULL;
    if (url)
        error = PyObject_CallFunction(
            helper, "iiizOddKKdIiO", (int)r->failure, (int)r->phase, r->err, r->detail, url,
            (double)r->timeouts.connect_ns / 1e9, (double)r->timeouts.network_ns / 1e9,
            (unsigned long long)r->bytes_received,
            (unsigned long long)(r->failure == OPF_FAIL_HEADERS_SIZE ? options->max_headers
                                                                     : options->max_body),
            (double)r->idle_ns / 1e9, (unsigned int)r->carried, r->proxy_status,
            response->proxy ? response->proxy : Py_None);
    Py_XDECREF(url);
    return error;
}

/* Requests */

int Session_get_ready(Session *self, Call *call)
{
    if (!self->pool || !self->base_url) {
        PyErr_SetString(PyExc_RuntimeError,
                        "the session is not set up: call super().__init__() in its class");
        return -1;
    }
    if (!call->pool)
        call->pool = (Pool *)Py_NewRef(self->pool);
    return Pool_ready(call->pool);
}

Response *Session_new_response(Session *self, const Call *call, PyTypeObject *type)
{
    Response *response = Response_new(type, self->state, self, call->pool);
    if (!response)
        return NULL;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    response->start_time = (double)now.tv_sec + (double)now.tv_nsec / 1e9;
    response->streamed = call->stream;
    response->method = Py_NewRef(call->method);
    response->path = Py_NewRef(call->path);
    response->name = Py_NewRef(call->name ? call->name : call->path);
    response->context =
        call->context && PyDict_GET_SIZE(call->context) ? Py_NewRef(call->context) : NULL;
    return response;
}

/* Waits for the response. A gevent.Timeout that strikes meanwhile makes a failed request of a
 * FastHttpSession, as with Locust's; any other exception goes on. */
static int await(Session *self, Response *response)
{
    if (Engine_wait(Response_engine(response), response) == 0)
        return 0;
    if (self->goes_on)
        return -1;
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyObject *timeout = state_helper(self->state, HELPER_timeout);
    if (timeout && PyErr_GivenExceptionMatches(type, timeout)) {
        Py_XDECREF(type);
        Py_XDECREF(value);
        Py_XDECREF(traceback);
        return 0; /* the exchange is cancelled, which its result tells */
    }
    PyErr_Restore(type, value, traceback);
    return -1;
}

/* Whether there is something to return: the request is over, or a stream's headers are there. */
static bool is_settled(const Response *response)
{
    const opf_result *result = opf_exchange_result(response->exchange);
    return result->end_ns || result->head_ns;
}

/* Whether the server still waits for the rest of a body. A stream's headers may be there. */
static bool owes_body(const Response *response)
{
    const opf_result *result = opf_exchange_result(response->exchange);
    return response->pieces && result->failure == OPF_FAIL_NONE && result->phase != OPF_PHASE_DONE;
}

/* Gives the engine a piece of a body, or its end (NULL), if it still wants it. The reference is
 * taken over. */
static int give(Response *response, PyObject *piece)
{
    if (!opf_exchange_wants_body(response->exchange)) { /* answered or lost meanwhile */
        Py_XDECREF(piece);
        return 0;
    }
    Py_XSETREF(response->body, piece);
    response->done = false;
    if (opf_exchange_write(response->exchange, piece ? PyBytes_AS_STRING(piece) : NULL,
                           piece ? (size_t)PyBytes_GET_SIZE(piece) : 0) != 0) {
        PyErr_NoMemory();
        return -1;
    }
    if (!piece)
        Py_CLEAR(response->pieces);
    return 0;
}

/* Pieces of a body that are sent in a row before the hub has its turn. */
#define PIECES_A_TURN 16

/* Has the next piece of a body made, and sends it. */
static int feed(Session *self, Response *response, unsigned turn)
{
    PyObject *piece = PyIter_Next(response->pieces);
    if (!piece && PyErr_Occurred())
        return -1;
    if (piece && !PyBytes_Check(piece)) {
        PyErr_SetString(PyExc_TypeError, "a body is made of bytes");
        Py_DECREF(piece);
        return -1;
    }
    if (piece && !PyBytes_GET_SIZE(piece)) {
        Py_DECREF(piece); /* it would end the body */
        return 0;
    }
    /* That the piece before is sent has not been said yet, but will be in the next poll. An end is
     * given at once: its answer may be on its way. */
    if (piece && turn % PIECES_A_TURN == 0 && !response->done &&
        opf_exchange_wants_body(response->exchange) && await(self, response) != 0) {
        Py_DECREF(piece);
        return -1;
    }
    return give(response, piece);
}

/* Gives what the engine wants of the body, and waits for the response. Only the exchange's state
 * counts: a piece may have been sent, and the next one given, before the engine says that it wants
 * it, and that is then said late. */
static int feed_and_await(Session *self, Response *response)
{
    if (!response->pieces)
        return await(self, response);
    for (unsigned turn = 1; owes_body(response) || !is_settled(response); turn++) {
        bool wanted = opf_exchange_wants_body(response->exchange);
        if (!wanted)
            response->done = false;
        if ((wanted ? feed(self, response, turn) : await(self, response)) != 0) {
            opf_exchange_cancel(response->exchange);
            return -1;
        }
    }
    Py_CLEAR(response->pieces);
    return 0;
}

/* Methods of which a second request does no more than one (RFC 9110, 9.2.2). */
static bool is_idempotent(PyObject *method)
{
    static const char *const methods[] = {"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"};
    const char *name = PyUnicode_AsUTF8(method);
    if (!name)
        PyErr_Clear();
    for (size_t i = 0; name && i < sizeof(methods) / sizeof(*methods); i++)
        if (PyOS_stricmp(name, methods[i]) == 0)
            return true;
    return false;
}

/* Whether the request was lost in a way in which sending it again may help: before a byte of an
 * answer came, or by a time-out (as geventhttpclient's UserAgent has it). */
static bool was_lost(const opf_result *result)
{
    switch (result->failure) {
    case OPF_FAIL_CLOSED:
    case OPF_FAIL_RESOLVE_TIMEOUT:
    case OPF_FAIL_CONNECT_TIMEOUT:
    case OPF_FAIL_TLS_TIMEOUT:
    case OPF_FAIL_WRITE_TIMEOUT:
    case OPF_FAIL_READ_TIMEOUT:
        return true;
    case OPF_FAIL_RESET:
        return !result->bytes_received;
    default:
        return false;
    }
}

int Session_transmit(Session *self, Call *call, Response *response, SubmitFn *submit,
                     uint64_t *start)
{
    for (int tries = 0;; tries++) {
        int ret = submit(self, call, response);
        if (ret != 0)
            return ret;
        if (feed_and_await(self, response) != 0)
            return -1;
        const opf_result *result = opf_exchange_result(response->exchange);
        if (!*start)
            *start = result->start_ns;
        response->retries += (int)result->resent;
        self->retries += result->resent;
        if (tries >= call->max_retries || !was_lost(result) || !is_idempotent(call->method))
            return 0;
        response->retries++;
        self->retries++;
        opf_pool_close_idle(call->pool->pool); /* what was kept as long may be as dead */
    }
}
