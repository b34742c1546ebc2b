#include "binding/perform.h"

#include <string.h>
#include <time.h>

#include "binding/body.h"
#include "binding/headers.h"
#include "binding/url.h"

/* Sending */

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
static PyObject *wire_method(Session *self, PyObject *method)
{
    for (int i = NAME_GET; i <= NAME_OPTIONS; i++)
        if (method == self->state->names[i])
            return Py_NewRef(method);
    if (!PyUnicode_Check(method) || !PyUnicode_IS_ASCII(method)) {
        PyErr_SetString(PyExc_ValueError, "method is not a token (RFC 9110, 5.6.2)");
        return NULL;
    }
    PyObject *upper = PyObject_CallMethodNoArgs(method, self->state->names[NAME_upper]);
    if (upper && !(PyUnicode_Check(upper) && PyUnicode_IS_ASCII(upper))) {
        PyErr_SetString(PyExc_ValueError, "method is not a token (RFC 9110, 5.6.2)");
        Py_CLEAR(upper);
    }
    return upper;
}

/* The order of precedence is FastHttpSession's: what the call gives, what follows from it, the
 * user's defaults. */
static int make_headers(Session *self, Call *call, Headers *headers, Body *body, PyObject **keep)
{
    if (Headers_put_defaults(self, headers) != 0 ||
        (call->headers && Headers_put_own(headers, call->headers, keep) != 0))
        return -1;
    bool own_type = headers->has_content_type, any_type = own_type;
    for (size_t i = 0; i < headers->n && !any_type; i++)
        any_type = Header_is(&headers->list[i], "content-type", 12);
    if (Body_make(self, call, any_type, body) != 0 ||
        Headers_put_authorization(self, call, headers, keep) != 0)
        return -1;
    if (!headers->has_accept_encoding &&
        PUT_HEADER(headers, "Accept-Encoding", "gzip, deflate, br") != 0)
        return -1;
    bool asks_json = body->is_json || (call->no_body && call->json && !call->data);
    if ((body->is_json && !own_type &&
         PUT_HEADER(headers, "Content-Type", "application/json") != 0) ||
        (asks_json && !headers->has_accept &&
         PUT_HEADER(headers, "Accept", "application/json") != 0))
        return -1;
    if (!body->is_json && body->content_type && (body->own_type || !any_type) &&
        Headers_put(headers, "Content-Type", 12, body->content_type, strlen(body->content_type),
                    false) != 0)
        return -1;
    if (call->no_body) {
        Headers_drop(headers, "content-type", 12);
        Headers_drop(headers, "content-length", 14);
        Headers_drop(headers, "content-encoding", 16);
    }
    if (call->other_origin)
        Headers_drop(headers, "authorization", 13);
    return 0;
}

static int submit(Session *self, Call *call, Response *response)
{
    Headers headers;
    Body body = {0};
    Url url = {0};
    PyObject *keep = NULL, *method = NULL;
    int ret = -1;
    if (Url_make(self, call, &url) != 0 || make_headers(self, call, &headers, &body, &keep) != 0)
        goto out;
    if (call->url)
        Py_XSETREF(response->url, Py_NewRef(call->url));
    if (self->cookiejar) {
        PyObject *text = Response_get_url(response);
        int put = text ? Headers_put_cookies(self, text, &headers, &keep) : -1;
        Py_XDECREF(text);
        if (put != 0)
            goto out;
    }
    method = wire_method(self, call->method);
    if (!method || (body.is_json && Body_write_json(self, call, &body) != 0))
        goto out;
    opf_request request = {.url = &url.parsed,
                           .method = (const char *)PyUnicode_1BYTE_DATA(method),
                           .method_len = (size_t)PyUnicode_GET_LENGTH(method),
                           .headers = headers.list,
                           .n_headers = headers.n,
                           .body = body.data,
                           .body_len = body.len,
                           .stream = call->stream};
    opf_request_error error;
    response->done = false;
    response->body_is_text = body.is_text;
    ret = opf_exchange_submit(response->exchange, call->pool->pool, &request, Engine_on_done,
                              response, &error);
    Py_XSETREF(response->body,
               body.owner && ret == 0 && body.len > COPIED ? Py_NewRef(body.owner) : NULL);
    if (ret != 0)
        ret = submit_error(ret, &request, &error);

out:
    Url_fini(&url);
    Body_fini(&body);
    Py_XDECREF(keep);
    Py_XDECREF(method);
    return ret;
}
/* Redirects and cookies */

static int take_cookies(Session *self, Response *response)
{
    if (!opf_exchange_result(response->exchange)->has_set_cookie)
        return 0;
    if (!self->cookiejar) {
        PyObject *make = state_helper(self->state, HELPER_new_cookiejar);
        self->cookiejar = make ? PyObject_CallNoArgs(make) : NULL;
        if (!self->cookiejar)
            return -1;
    }
    PyObject *helper = state_helper(self->state, HELPER_extract_cookies);
    PyObject *url = helper ? Response_get_url(response) : NULL;
    PyObject *fields = url ? Response_fields(response) : NULL;
    PyObject *taken =
        fields ? PyObject_CallFunctionObjArgs(helper, self->cookiejar, url, fields, NULL) : NULL;
    Py_XDECREF(fields);
    Py_XDECREF(url);
    Py_XDECREF(taken);
    return taken ? 0 : -1;
}

static bool redirects(int status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* Whether the next hop's URL can be used; returns as next_hop. What a server sends is no error of
 * the caller's. */
static int check_target(Session *self, const Call *call, Response *response)
{
    Url url = {0};
    int ret = Url_make(self, call, &url) == 0 ? 1 : -1;
    Url_fini(&url);
    if (ret == 1 || !PyErr_ExceptionMatches(PyExc_ValueError))
        return ret;
    PyErr_Clear();
    PyObject *helper = state_helper(self->state, HELPER_redirect_error);
    PyObject *error =
        helper ? PyObject_CallFunction(helper, "s", "redirect to a URL that can't be parsed")
               : NULL;
    if (!error)
        return -1;
    Py_XSETREF(response->error, error);
    return 0;
}

/* True when no response came. A stream's is there with its headers: that it broke off behind them,
 * maybe within the same poll, is told to whoever reads it. */
static bool is_lost(const Response *response)
{
    const opf_result *result = opf_exchange_result(response->exchange);
    if (response->streamed && result->head_ns && result->failure != OPF_FAIL_CANCELLED)
        return false;
    return result->failure != OPF_FAIL_NONE;
}

/* Readies the call for the next hop. Returns 1 if there is one, 0 if not (response->error may say
 * why), or -1. */
static int next_hop(Session *self, Call *call, Response *response, int hops)
{
    const opf_result *result = opf_exchange_result(response->exchange);
    if (is_lost(response) || !redirects(result->status) || !call->allow_redirects ||
        !call->max_redirects)
        return 0;
    PyObject *location = Response_header(response, "location");
    if (!location)
        return PyErr_Occurred() ? -1 : 0;
    if (!PyUnicode_GET_LENGTH(location)) {
        Py_DECREF(location);
        return 0;
    }
    PyObject *url = Response_get_url(response), *next = NULL;
    PyObject *helper;
    int ret = -1;
    if (!url)
        goto out;
    if (hops >= call->max_redirects) {
        helper = state_helper(self->state, HELPER_too_many_redirects);
        next = helper ? PyObject_CallFunction(helper, "Oi", url, call->max_redirects) : NULL;
        if (next) {
            Py_XSETREF(response->error, Py_NewRef(next));
            ret = 0;
        }
        goto out;
    }
    if (!call->location)
        call->location = Py_NewRef(url);
    helper = state_helper(self->state, HELPER_redirect);
    next = helper ? PyObject_CallFunction(helper, "OOOiO", call->location, url, location,
                                          result->status, call->method)
                  : NULL;
    if (!next)
        goto out;
    if (PyTuple_Check(next)) {
        PyObject *target, *method;
        int no_body, other_origin;
        if (!PyArg_ParseTuple(next, "UUpp", &target, &method, &no_body, &other_origin))
            goto out;
        Py_XSETREF(call->url, Py_NewRef(target));
        Py_SETREF(call->method, Py_NewRef(method));
        call->no_body |= no_body != 0;
        call->other_origin = other_origin != 0;
        ret = check_target(self, call, response);
    } else { /* an exception that makes this the last answer */
        Py_XSETREF(response->error, Py_NewRef(next));
        ret = 0;
    }

out:
    Py_XDECREF(next);
    Py_XDECREF(url);
    Py_DECREF(location);
    return ret;
}

/* The outcome */

static bool is_good(int status)
{
    return (status >= 200 && status <= 208) || status == 226 || (status >= 301 && status <= 304) ||
           status == 307 || status == 308;
}

PyObject *Session_failure_of(Session *self, Response *response)
{
    const opf_result *r = opf_exchange_result(response->exchange);
    const opf_pool_options *options = &response->pool->options;
    PyObject *helper = state_helper(self->state, HELPER_failure);
    PyObject *url = helper ? Response_get_url(response) : NULL;
    PyObject *error = NULL;
    if (url)
        error = PyObject_CallFunction(
            helper, "iiizOddKKdI", (int)r->failure, (int)r->phase, r->err, r->detail, url,
            (double)r->timeouts.connect_ns / 1e9, (double)r->timeouts.network_ns / 1e9,
            (unsigned long long)r->bytes_received,
            (unsigned long long)(r->failure == OPF_FAIL_HEADERS_SIZE ? options->max_headers
                                                                     : options->max_body),
            (double)r->idle_ns / 1e9, (unsigned int)r->carried);
    Py_XDECREF(url);
    return error;
}

static PyObject *bad_status_of(Session *self, Response *response, int status)
{
    PyObject *helper = state_helper(self->state, HELPER_bad_status);
    PyObject *url = helper ? Response_get_url(response) : NULL;
    PyObject *error = url ? PyObject_CallFunction(helper, "Oi", url, status) : NULL;
    Py_XDECREF(url);
    return error;
}

static int find_error(Session *self, Response *response)
{
    const opf_result *result = opf_exchange_result(response->exchange);
    response->lost = is_lost(response);
    if (response->error)
        return 0;
    if (response->lost)
        response->error = Session_failure_of(self, response);
    else if (!is_good(result->status))
        response->error = bad_status_of(self, response, result->status);
    else
        return 0;
    return response->error ? 0 : -1;
}

/* Requests */

static int get_ready(Session *self, Call *call)
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

static Response *new_response(Session *self, const Call *call)
{
    Response *response =
        Response_new(call->catch_response ? self->state->catching_type : self->state->response_type,
                     self->state, self, call->pool);
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

/* Waits for the response. A gevent.Timeout that strikes meanwhile makes a failed request, as with
 * FastHttpSession; any other exception goes on. */
static int await(Session *self, Response *response)
{
    if (Engine_wait(Response_engine(response), response) == 0)
        return 0;
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

/* Sends the request and waits for its answer, again if it may be and has to be. *start is when it
 * was sent first. */
static int send_and_wait(Session *self, Call *call, Response *response, uint64_t *start)
{
    for (int tries = 0;; tries++) {
        if (submit(self, call, response) != 0 || await(self, response) != 0)
            return -1;
        const opf_result *result = opf_exchange_result(response->exchange);
        if (!*start)
            *start = result->start_ns;
        if (tries >= call->max_retries || !was_lost(result) || !is_idempotent(call->method))
            return 0;
        response->retries++;
        self->retries++;
        opf_pool_close_idle(call->pool->pool); /* what was kept as long may be as dead */
    }
}

/* The response of the hop after this one, which becomes the last of its history: a new reference,
 * or NULL with an exception. */
static Response *following(Session *self, const Call *call, Response *response)
{
    Response *next = new_response(self, call);
    if (!next)
        return NULL;
    Py_SETREF(next->method, Py_NewRef(response->method)); /* by which the whole is reported */
    next->start_time = response->start_time;
    next->retries = response->retries;
    next->history = response->history ? PySequence_List(response->history) : PyList_New(0);
    if (!next->history || PyList_Append(next->history, (PyObject *)response) != 0)
        Py_CLEAR(next);
    return next;
}

/* Makes the request and those to which it is redirected. *response is the first one's, and in the
 * end the last one's. */
static int exchange(Session *self, Call *call, Response **response)
{
    uint64_t start = 0;
    for (int hops = 0;; hops++) {
        if (send_and_wait(self, call, *response, &start) != 0)
            return -1;
        const opf_result *result = opf_exchange_result((*response)->exchange);
        /* of a stream, only until its headers were there */
        (*response)->elapsed_ns = (result->head_ns ? result->head_ns : result->end_ns) - start;
        if (take_cookies(self, *response) != 0)
            return -1;
        int next = next_hop(self, call, *response, hops);
        if (next <= 0)
            return next < 0 ? -1 : find_error(self, *response);
        if ((*response)->streamed)
            opf_exchange_cancel((*response)->exchange); /* nobody wants the body of a redirect */
        (*response)->lost = is_lost(*response);
        Response *after = following(self, call, *response);
        if (!after)
            return -1;
        Py_SETREF(*response, after);
    }
}

/* Makes the request that the call describes. Returns its response, a new reference, or NULL with an
 * exception. */
PyObject *Session_perform(Session *self, Call *call)
{
    if (get_ready(self, call) != 0 || Call_settle(self, call) != 0)
        return NULL;
    Response *response = new_response(self, call);
    if (!response)
        return NULL;
    if (exchange(self, call, &response) != 0 ||
        (!call->catch_response && Session_report(self, response, response->error) != 0))
        Py_CLEAR(response);
    return (PyObject *)response;
}
