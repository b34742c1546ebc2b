/* A request of a FastSession: put together, redirected, judged and reported, as Locust's
 * FastHttpSession and geventhttpclient do it. */
#include <string.h>

#include "agent/plan.h"
#include "binding/fast_session.h"
#include "binding/perform.h"

/* Sending */

/* Begins with those of every request. */
static int put_defaults(FastSession *self, Headers *headers)
{
    for (Py_ssize_t i = 0; i < self->n_defaults; i++) {
        PyObject *name = self->defaults[i].name, *value = self->defaults[i].value;
        if (Headers_put(headers, PyBytes_AS_STRING(name), (size_t)PyBytes_GET_SIZE(name),
                        PyBytes_AS_STRING(value), (size_t)PyBytes_GET_SIZE(value), true) != 0)
            return -1;
    }
    return 0;
}

/* Adds the Authorization of the call, or else of the session. */
static int put_authorization(FastSession *self, Call *call, Headers *headers, PyObject **keep)
{
    PyObject *value = self->auth_header;
    if (is_scheme_auth(self->base.state, call->auth))
        return 0;
    if (call->auth) {
        PyObject *helper = state_helper(self->base.state, HELPER_basic_auth);
        value = helper ? PyObject_CallOneArg(helper, call->auth) : NULL;
    } else if (!value || value == Py_None) {
        return 0;
    } else {
        Py_INCREF(value);
    }
    if (Headers_hold(keep, value) != 0)
        return -1;
    Py_ssize_t len;
    const char *data = PyUnicode_AsUTF8AndSize(value, &len);
    return data ? Headers_put(headers, "Authorization", 13, data, (size_t)len, false) : -1;
}

/* The order of precedence is FastHttpSession's: what the call gives, what follows from it, the
 * user's defaults. */
static int make_headers(FastSession *self, Call *call, Headers *headers, Body *body,
                        PyObject **keep)
{
    if (put_defaults(self, headers) != 0 ||
        (call->headers && Headers_put_own(headers, call->headers, keep) != 0))
        return -1;
    bool own_type = headers->has_content_type, any_type = own_type;
    for (size_t i = 0; i < headers->n && !any_type; i++)
        any_type = Header_is(&headers->list[i], "content-type", 12);
    if (Body_make(self->base.state, call, any_type, body) != 0 ||
        put_authorization(self, call, headers, keep) != 0)
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
    if (call->location) /* behind a redirect: cookies there are those of the jar */
        Headers_drop(headers, "cookie", 6);
    return 0;
}

/* Adds the cookies that the session has for the URL, unless the call has some of its own. */
static int put_cookies(FastSession *self, Response *response, Parcel *parcel)
{
    if (Headers_has(&parcel->headers, "cookie", 6))
        return 0;
    PyObject *value = CookieMemo_header(&self->cookie_memo, &self->base, self->cookiejar,
                                        HELPER_cookie_header, &parcel->url, response);
    if (!value || Headers_hold(&parcel->keep, value) != 0)
        return -1;
    return value == Py_None ? 0 : Headers_put_value(&parcel->headers, "Cookie", value);
}

/* The SchemeAuth of the call, or else of the session; another origin gets none. */
static PyObject *scheme_auth_of(const FastSession *self, const Call *call)
{
    if (call->other_origin)
        return NULL;
    return call->auth ? call->auth : self->base.scheme_auth;
}

static int submit(Session *session, Call *call, Response *response)
{
    FastSession *self = (FastSession *)session;
    Parcel parcel;
    Parcel_init(&parcel);
    parcel.stream = call->stream;
    parcel.auth = scheme_auth_of(self, call);
    Body *body = &parcel.body;
    int ret = -1;
    if (is_scheme_auth(session->state, parcel.auth) &&
        Headers_hold(&parcel.keep, Py_NewRef(parcel.auth)) != 0)
        goto out;
    if (Url_make(session, call, &parcel.url) != 0 ||
        make_headers(self, call, &parcel.headers, body, &parcel.keep) != 0)
        goto out;
    if (call->url)
        Py_XSETREF(response->url, Py_NewRef(call->url));
    if (self->cookiejar && put_cookies(self, response, &parcel) != 0)
        goto out;
    if (Parcel_set_method(&parcel, session->state, call->method) == 0 &&
        (!body->is_json || Body_write_json(session->state, call->json, body) == 0))
        ret = Parcel_submit(&parcel, call->pool, response);

out:
    Parcel_fini(&parcel);
    return ret;
}

/* Redirects and cookies */

static int take_cookies(FastSession *self, Response *response)
{
    if (!opf_exchange_result(response->exchange)->has_set_cookie)
        return 0;
    if (!self->cookiejar) {
        PyObject *make = state_helper(self->base.state, HELPER_new_cookiejar);
        self->cookiejar = make ? PyObject_CallNoArgs(make) : NULL;
        if (!self->cookiejar)
            return -1;
    }
    PyObject *helper = state_helper(self->base.state, HELPER_extract_cookies);
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

/* Readies the call for the next hop. Returns 1 if there is one, 0 if not (response->error may say
 * why), or -1. */
static int next_hop(Session *self, Call *call, Response *response, int hops)
{
    const opf_result *result = opf_exchange_result(response->exchange);
    if (Response_is_lost(response) || !redirects(result->status) || !call->allow_redirects ||
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
    response->lost = Response_is_lost(response);
    if (response->error)
        return 0;
    if (response->lost)
        response->error = Session_failure_of(self, response);
    else if (!opf_style_accepts(OPF_STYLE_FAST, result->status))
        response->error = bad_status_of(self, response, result->status);
    else
        return 0;
    return response->error ? 0 : -1;
}

/* Requests */

static Response *new_response(Session *self, const Call *call)
{
    State *state = self->state;
    return Session_new_response(self, call,
                                call->catch_response ? state->catching_type : state->response_type);
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
static int exchange(FastSession *self, Call *call, Response **response)
{
    uint64_t start = 0;
    for (int hops = 0;; hops++) {
        if (Session_transmit(&self->base, call, *response, submit, &start) != 0)
            return -1;
        const opf_result *result = opf_exchange_result((*response)->exchange);
        /* of a stream, only until its headers were there */
        (*response)->elapsed_ns = (result->head_ns ? result->head_ns : result->end_ns) - start;
        if (take_cookies(self, *response) != 0)
            return -1;
        int next = next_hop(&self->base, call, *response, hops);
        if (next <= 0)
            return next < 0 ? -1 : find_error(&self->base, *response);
        if ((*response)->streamed)
            opf_exchange_cancel((*response)->exchange); /* nobody wants the body of a redirect */
        (*response)->lost = Response_is_lost(*response);
        Response *after = following(&self->base, call, *response);
        if (!after)
            return -1;
        Py_SETREF(*response, after);
    }
}

/* Makes the request that the call describes. Returns its response, a new reference, or NULL with an
 * exception. */
PyObject *FastSession_perform(FastSession *self, Call *call)
{
    if (Session_get_ready(&self->base, call) != 0 || Call_settle(&self->base, call) != 0)
        return NULL;
    Response *response = new_response(&self->base, call);
    if (!response)
        return NULL;
    if (exchange(self, call, &response) != 0 ||
        (!call->catch_response && Session_report(&self->base, response, response->error) != 0))
        Py_CLEAR(response);
    return (PyObject *)response;
}
