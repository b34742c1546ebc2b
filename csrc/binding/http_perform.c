/* A request of an HttpSession: made here or by requests, redirected, judged and reported as
 * Locust's HttpSession does it. */
#include <time.h>

#include "binding/http_request.h"

/* Remembers the connections for these options. */
static void keep_tls_pool(HttpSession *self, PyObject *pool, PyObject *verify, PyObject *cert)
{
    PyObject *was[] = {(PyObject *)self->tls_pool, self->tls_verify, self->tls_cert};
    self->tls_pool = (Pool *)Py_NewRef(pool);
    self->tls_verify = Py_NewRef(verify);
    self->tls_cert = Py_NewRef(cert);
    for (size_t i = 0; i < sizeof(was) / sizeof(*was); i++)
        Py_XDECREF(was[i]); /* may run code that makes requests: the three belong together */
}

/* Finds the connections under TLS for these options: a new reference, or NULL with an exception. */
static Pool *find_tls_pool(HttpSession *self, PyObject *verify, PyObject *cert)
{
    State *state = self->base.state;
    if (self->tls_pool && verify == self->tls_verify && cert == self->tls_cert)
        return (Pool *)Py_NewRef(self->tls_pool);
    PyObject *helper = state_helper(state, HELPER_http_pool);
    PyObject *pool =
        helper ? PyObject_CallFunctionObjArgs(helper, (PyObject *)self, verify, cert, NULL) : NULL;
    if (pool && !PyObject_TypeCheck(pool, state->pool_type)) {
        PyErr_SetString(PyExc_TypeError, "pool_for must return a Pool");
        Py_CLEAR(pool);
    }
    if (pool)
        keep_tls_pool(self, pool, verify, cert);
    return (Pool *)pool;
}

/* Finds the connections for the call. */
static int find_pool(HttpSession *self, HttpCall *call)
{
    Session *base = &self->base;
    const char *path = PyUnicode_AsUTF8(call->call.path);
    if (!path)
        return -1;
    bool absolute = Url_is_absolute(path);
    call->tls =
        absolute ? PyOS_strnicmp(path, "https:", 6) == 0 : base->base_parsed && base->base.tls;
    if (!call->tls)
        return Session_get_ready(base, &call->call);
    PyObject *verify = call->verify ? call->verify : self->verify ? self->verify : Py_None;
    PyObject *cert = call->cert ? call->cert : self->cert ? self->cert : Py_None;
    Py_INCREF(verify); /* the session may get others meanwhile */
    Py_INCREF(cert);
    Pool *pool = find_tls_pool(self, verify, cert);
    Py_DECREF(verify);
    Py_DECREF(cert);
    if (!pool)
        return -1;
    Py_XSETREF(call->call.pool, pool);
    return Session_get_ready(base, &call->call);
}

/* When the response was there: of a stream, its headers. */
static uint64_t end_of(const Response *response)
{
    const opf_result *result = Response_result(response);
    return result->head_ns ? result->head_ns : result->end_ns;
}

int HttpSession_find_loss(HttpSession *self, Response *response)
{
    response->lost = Response_is_lost(response);
    if (!response->lost)
        return 0;
    Py_XSETREF(response->error, Session_failure_of(&self->base, response));
    PyObject *helper =
        response->error ? state_helper(self->base.state, HELPER_note_response) : NULL;
    PyObject *noted =
        helper ? PyObject_CallFunctionObjArgs(helper, response->error, (PyObject *)response, NULL)
               : NULL;
    Py_XDECREF(noted);
    return noted ? 0 : -1;
}

static int take_cookies(HttpSession *self, Response *response)
{
    if (!Response_result(response)->has_set_cookie || response->lost)
        return 0;
    PyObject *helper = state_helper(self->base.state, HELPER_http_take_cookies);
    PyObject *taken =
        helper ? PyObject_CallFunctionObjArgs(helper, (PyObject *)self, (PyObject *)response, NULL)
               : NULL;
    Py_XDECREF(taken);
    return taken ? 0 : -1;
}

static bool is_redirect(const Response *response)
{
    int status = Response_result(response)->status;
    return !response->lost &&
           (status == 301 || status == 302 || status == 303 || status == 307 || status == 308) &&
           Response_field(response, "location");
}

/* Takes over what requests' code has brought: the response, and how long it took. */
static int take_over(HttpSession *self, PyObject *brought, uint64_t started, Response **response)
{
    if (!brought)
        return -1;
    if (!PyObject_TypeCheck(brought, self->base.state->http_response_type)) {
        PyErr_Format(PyExc_TypeError,
                     "a response hook returned %R: HttpSession needs the response that it was "
                     "given, or another one of the same session",
                     (PyObject *)Py_TYPE(brought));
        Py_DECREF(brought);
        return -1;
    }
    Response *last = (Response *)brought, *first = last;
    if (last->history && PyList_Check(last->history) && PyList_GET_SIZE(last->history)) {
        PyObject *oldest = PyList_GET_ITEM(last->history, 0);
        if (PyObject_TypeCheck(oldest, self->base.state->http_response_type))
            first = (Response *)oldest;
    }
    uint64_t start = Response_result(first)->start_ns, end = end_of(last);
    struct timespec now;
    if (!start)
        start = started;
    if (!end) { /* it was never asked for: requests gave up */
        clock_gettime(CLOCK_MONOTONIC, &now);
        end = (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
    }
    last->elapsed_ns = end > start ? end - start : 0;
    *response = last;
    return 0;
}

/* Has a response be reported as the first one of its request. */
static void report_as(Response *last, const Response *first)
{
    if (last == first)
        return;
    if (!last->url)
        last->url = Py_NewRef(last->path);
    last->start_time = first->start_time;
    last->retries += first->retries;
    Py_XSETREF(last->name, Py_NewRef(first->name));
    Py_XSETREF(last->path, Py_NewRef(first->path));
    Py_XSETREF(last->base_url, Py_NewRef(first->base_url));
}

/* Follows a redirect, by requests' code. */
static int follow(HttpSession *self, const HttpCall *call, Response **response)
{
    uint64_t start = Response_result(*response)->start_ns;
    PyObject *helper = state_helper(self->base.state, HELPER_http_follow);
    if (!helper)
        return -1;
    PyObject *last = PyObject_CallFunction(
        helper, "OOOOOO", self, *response, call->call.stream ? Py_True : Py_False,
        call->timeout ? call->timeout : Py_None, call->verify ? call->verify : Py_None,
        call->cert ? call->cert : Py_None);
    Response *taken;
    if (take_over(self, last, start, &taken) != 0)
        return -1;
    report_as(taken, *response);
    Py_SETREF(*response, taken);
    return 0;
}

/* Makes the request here. */
static int directly(HttpSession *self, HttpCall *call, Response **response)
{
    uint64_t start = 0;
    int ret = find_pool(self, call);
    if (ret != 0)
        return ret;
    *response = Session_new_response(&self->base, &call->call, self->response_type);
    if (!*response)
        return -1;
    ret = Session_transmit(&self->base, &call->call, *response, HttpCall_submit, &start);
    if (ret != 0)
        return ret;
    (*response)->elapsed_ns = end_of(*response) - start;
    if (HttpSession_find_loss(self, *response) != 0 || take_cookies(self, *response) != 0)
        return -1;
    if (!is_redirect(*response))
        return 0;
    (*response)->unfollowed = !call->call.allow_redirects;
    return call->call.allow_redirects ? follow(self, call, response) : 0;
}

static int set(PyObject *dict, PyObject *name, PyObject *value)
{
    return value ? PyDict_SetItem(dict, name, value) : 0;
}

/* The keyword arguments for requests.Session.request: a new dict, or NULL with an exception. */
static PyObject *keywords_of(HttpSession *self, const HttpCall *http)
{
    const Call *call = &http->call;
    PyObject *const *n = self->base.state->names;
    PyObject *kwargs = PyDict_New();
    if (kwargs &&
        (set(kwargs, n[NAME_data], call->data) || set(kwargs, n[NAME_json], call->json) ||
         set(kwargs, n[NAME_params], call->params) || set(kwargs, n[NAME_headers], call->headers) ||
         set(kwargs, n[NAME_files], call->files) || set(kwargs, n[NAME_auth], call->auth) ||
         set(kwargs, n[NAME_cookies], http->cookies) || set(kwargs, n[NAME_hooks], http->hooks) ||
         set(kwargs, n[NAME_timeout], http->timeout) || set(kwargs, n[NAME_cert], http->cert) ||
         set(kwargs, n[NAME_proxies], http->proxies) || set(kwargs, n[NAME_stream], http->stream) ||
         set(kwargs, n[NAME_verify], http->verify) ||
         set(kwargs, n[NAME_allow_redirects], call->allow_redirects ? Py_True : Py_False)))
        Py_CLEAR(kwargs);
    return kwargs;
}

/* Has requests make the request. */
static int slowly(HttpSession *self, HttpCall *call, Response **response)
{
    Session *base = &self->base;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t started = (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
    clock_gettime(CLOCK_REALTIME, &now);
    PyObject *helper = state_helper(base->state, HELPER_http_slowly);
    PyObject *whole = helper ? Session_build_url(base->base_url, call->call.path) : NULL;
    PyObject *kwargs = whole ? keywords_of(self, call) : NULL;
    PyObject *brought = kwargs
                            ? PyObject_CallFunctionObjArgs(helper, (PyObject *)self,
                                                           call->call.method, whole, kwargs, NULL)
                            : NULL;
    PyObject *last, *url, *name;
    int ret = -1;
    if (brought && PyArg_ParseTuple(brought, "OUU", &last, &url, &name) &&
        take_over(self, Py_NewRef(last), started, response) == 0) {
        Response *taken = *response;
        taken->start_time = (double)now.tv_sec + (double)now.tv_nsec / 1e9;
        if (!taken->url)
            taken->url = Py_NewRef(Response_result(taken)->start_ns ? taken->path : url);
        Py_XSETREF(taken->path, Py_NewRef(url)); /* of the first request, which is reported */
        if (!PyUnicode_GET_LENGTH(name))         /* nothing was put together that has a URL */
            name = call->call.path;
        Py_XSETREF(taken->name, Py_NewRef(call->call.name ? call->call.name : name));
        ret = 0;
    }
    Py_XDECREF(brought);
    Py_XDECREF(kwargs);
    Py_XDECREF(whole);
    return ret;
}

/* Puts the arguments in order. */
static int settle(HttpSession *self, HttpCall *http)
{
    Call *call = &http->call;
    int named = is_given(call->name) ? PyObject_IsTrue(call->name) : 0;
    /* what the session says does not count: Locust reads such a body for its length */
    int streamed = is_given(http->stream) ? PyObject_IsTrue(http->stream) : 0;
    if (named < 0 || streamed < 0)
        return -1;
    call->stream = streamed;
    if (!named)
        Call_rename(call, &self->base);
    if (!is_given(call->context))
        call->context = NULL;
    return Call_check(call);
}

/* Notes in the response what the call says of how it is reported. */
static void file_call(const HttpCall *http, Response *response)
{
    const Call *call = &http->call;
    response->catching = call->catch_response;
    Py_XSETREF(response->method, Py_NewRef(call->method));
    Py_XSETREF(response->context,
               call->context && PyDict_GET_SIZE(call->context) ? Py_NewRef(call->context) : NULL);
}

static int report(Session *self, Response *response)
{
    PyObject *exception = HttpResponse_verdict(response);
    if (!exception && PyErr_Occurred())
        return -1;
    int ret = Session_report(self, response, exception);
    Py_XDECREF(exception);
    return ret;
}

PyObject *HttpSession_perform(HttpSession *self, HttpCall *call)
{
    Session *base = &self->base;
    Response *response = NULL;
    if (settle(self, call) != 0 || Session_get_ready(base, &call->call) != 0)
        return NULL;
    int environment = is_given(self->trust_env) ? PyObject_IsTrue(self->trust_env) : 0;
    if (environment < 0)
        return NULL;
    int ret =
        !environment && HttpCall_is_usual(self, call) ? directly(self, call, &response) : NOT_OURS;
    if (ret == NOT_OURS) {
        Py_CLEAR(response);
        ret = slowly(self, call, &response);
    }
    if (ret == 0)
        file_call(call, response);
    if (ret != 0 || (!call->call.catch_response && report(base, response) != 0))
        Py_CLEAR(response);
    return (PyObject *)response;
}
