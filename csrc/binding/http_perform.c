/* A request of an HttpSession: put together as requests does it, judged and reported as Locust's
 * HttpSession does it.
 *
 * Functions that look whether a request can be made here return 1 for one that can't: then
 * requests' own code makes it (opscore_fast.http_session).
 */
#include <string.h>
#include <time.h>

#include "binding/form.h"
#include "binding/http_session.h"
#include "binding/perform.h"

#define NOT_OURS 1

/* What is asked for, and whether it is usual */

static bool is_given(PyObject *value)
{
    return value && value != Py_None;
}

static bool is_empty_dict(PyObject *value)
{
    return !is_given(value) || (PyDict_CheckExact(value) && !PyDict_GET_SIZE(value));
}

/* A dict of empty lists, as requests begins with. */
static bool are_no_hooks(PyObject *hooks)
{
    PyObject *name, *functions;
    Py_ssize_t at = 0;
    if (!is_given(hooks))
        return true;
    if (!PyDict_CheckExact(hooks))
        return false;
    while (PyDict_Next(hooks, &at, &name, &functions))
        if (!PyList_CheckExact(functions) || PyList_GET_SIZE(functions))
            return false;
    return true;
}

static bool is_pair_of_texts(PyObject *auth)
{
    if (!PyTuple_CheckExact(auth) || PyTuple_GET_SIZE(auth) != 2)
        return false;
    PyObject *user = PyTuple_GET_ITEM(auth, 0), *password = PyTuple_GET_ITEM(auth, 1);
    return PyUnicode_CheckExact(user) && PyUnicode_CheckExact(password);
}

/* The credentials of the call, or else of the session: borrowed, or NULL. */
static PyObject *auth_of(const HttpSession *self, const HttpCall *call)
{
    PyObject *auth = is_given(call->call.auth) ? call->call.auth : self->auth;
    return is_given(auth) ? auth : NULL;
}

static bool is_usual_body(PyObject *data)
{
    return !is_given(data) || PyUnicode_CheckExact(data) || PyBytes_CheckExact(data) ||
           PyDict_CheckExact(data);
}

static bool set_timeout(PyObject *value, uint64_t *ns)
{
    double seconds;
    *ns = 0;
    if (value == Py_None)
        return true;
    if (PyFloat_CheckExact(value))
        seconds = PyFloat_AS_DOUBLE(value);
    else if (PyLong_CheckExact(value))
        seconds = PyLong_AsDouble(value);
    else
        return false;
    if (seconds == -1.0 && PyErr_Occurred())
        PyErr_Clear();
    *ns = seconds_to_ns(seconds);
    return *ns > 0; /* urllib3 has errors for the others */
}

static bool set_timeouts(HttpCall *call)
{
    PyObject *timeout = call->timeout;
    if (!timeout)
        return true;
    if (PyTuple_CheckExact(timeout) && PyTuple_GET_SIZE(timeout) == 2)
        return set_timeout(PyTuple_GET_ITEM(timeout, 0), &call->timeouts.connect_ns) &&
               set_timeout(PyTuple_GET_ITEM(timeout, 1), &call->timeouts.network_ns);
    bool usual = set_timeout(timeout, &call->timeouts.connect_ns);
    call->timeouts.network_ns = call->timeouts.connect_ns;
    return usual;
}

static bool is_usual(HttpSession *self, HttpCall *call)
{
    const Call *base = &call->call;
    PyObject *auth = auth_of(self, call);
    return self->is_plain && PyUnicode_CheckExact(base->method) && !is_given(base->files) &&
           !call->cookies && is_empty_dict(call->proxies) && is_empty_dict(self->proxies) &&
           !call->hooks && are_no_hooks(self->hooks) && (!auth || is_pair_of_texts(auth)) &&
           is_usual_body(base->data) && set_timeouts(call);
}

/* URLs */

/* Whether requests would leave a path as it is: urllib3 encodes brackets, removes dot segments and
 * writes percent-encodings in capitals. */
static bool is_normal(PyObject *path)
{
    const char *data = (const char *)PyUnicode_1BYTE_DATA(path);
    size_t len = (size_t)PyUnicode_GET_LENGTH(path);
    for (size_t i = 0; i < len; i++) {
        if (data[i] == '[' || data[i] == ']' || (data[i] == '/' && data[i + 1] == '.'))
            return false;
        if (data[i] == '%' && (i + 2 >= len || Py_ISLOWER(data[i + 1]) || Py_ISLOWER(data[i + 2])))
            return false;
    }
    return len && data[len - 1] != '?';
}

/* The same for the base URL. */
static bool is_normal_base(const Session *self)
{
    if (!self->base_parsed || self->base.user)
        return false;
    for (uint32_t i = 0; i < self->base.host_len; i++)
        if (Py_ISUPPER(self->base.host[i]) || self->base.host[i] == '%')
            return false;
    return true;
}

/* Has requests make the URL, and name what nobody has named. */
static int by_prepare_url(HttpSession *self, HttpCall *call, Response *response, Url *url)
{
    Session *base = &self->base;
    PyObject *helper = state_helper(base->state, HELPER_http_url);
    PyObject *whole = helper ? Session_build_url(base->base_url, call->call.path) : NULL;
    PyObject *params = call->call.params ? call->call.params : Py_None;
    PyObject *made = whole ? PyObject_CallFunctionObjArgs(
                                 helper, whole, params, self->params ? self->params : Py_None, NULL)
                           : NULL;
    PyObject *text, *name;
    int ret = -1;
    if (made == Py_None) {
        ret = NOT_OURS;
    } else if (made && PyArg_ParseTuple(made, "UU", &text, &name)) {
        Py_XSETREF(response->path, Py_NewRef(text));
        if (!call->call.name)
            Py_XSETREF(response->name, Py_NewRef(name));
        ret = Url_parse(base, Py_NewRef(text), url);
    }
    Py_XDECREF(made);
    Py_XDECREF(whole);
    return ret;
}

/* The path with the parameters behind it, as a query or as more of one. */
static int add_params(PyObject *path, PyObject *params, PyObject **whole)
{
    PyObject *query;
    int ret = form_encode(params, &query);
    if (ret != 0)
        return ret;
    const char *mark = "";
    if (PyUnicode_GET_LENGTH(query))
        mark = PyUnicode_FindChar(path, '?', 0, PyUnicode_GET_LENGTH(path), 1) < 0 ? "?" : "&";
    *whole = PyUnicode_FromFormat("%U%s%U", path, mark, query);
    Py_DECREF(query);
    return *whole ? 0 : -1;
}

/* The usual case: a path behind the base URL that nothing has to be changed of. */
static int find_usual_url(HttpSession *self, HttpCall *call, Response *response, Url *url)
{
    PyObject *path = call->call.path, *whole;
    if (!is_empty_dict(self->params) || !is_normal_base(&self->base) ||
        !PyUnicode_IS_COMPACT_ASCII(path) || !is_normal(path))
        return NOT_OURS;
    if (!is_given(call->call.params))
        return Url_join(&self->base, path, url) ? 0 : NOT_OURS;
    int ret = add_params(path, call->call.params, &whole);
    if (ret != 0)
        return ret;
    if (!Url_join(&self->base, whole, url)) {
        Py_DECREF(whole);
        return NOT_OURS;
    }
    Py_SETREF(response->path, whole); /* url points into it */
    if (!call->call.name)
        Py_SETREF(response->name, Py_NewRef(whole));
    return 0;
}

static int find_url(HttpSession *self, HttpCall *call, Response *response, Url *url)
{
    int ret = find_usual_url(self, call, response, url);
    return ret == NOT_OURS ? by_prepare_url(self, call, response, url) : ret;
}

/* Bodies */

/* Makes the body, JSON apart. */
static int find_body(const Call *call, Body *body)
{
    PyObject *data = is_given(call->data) ? call->data : NULL, *text = data;
    int any = data ? PyObject_IsTrue(data) : 0;
    if (any < 0)
        return -1;
    if (!any) {
        body->is_json = is_given(call->json);
        return 0;
    }
    if (PyDict_CheckExact(data)) {
        int ret = form_encode(data, &text);
        if (ret != 0)
            return ret;
        body->content_type = "application/x-www-form-urlencoded";
    } else {
        Py_INCREF(text);
    }
    body->is_text = PyUnicode_Check(text);
    body->owner = body->is_text ? PyUnicode_AsUTF8String(text) : Py_NewRef(text);
    Py_DECREF(text);
    if (!body->owner)
        return -1;
    body->data = PyBytes_AS_STRING(body->owner);
    body->len = (size_t)PyBytes_GET_SIZE(body->owner);
    return 0;
}

static int write_json(State *state, const Call *call, Body *body)
{
    int ret = json_encode_plain(state, call->json, &body->data, &body->len);
    if (ret != 0 || body->len <= COPIED)
        return ret;
    body->owner = PyBytes_FromStringAndSize(body->data, (Py_ssize_t)body->len);
    if (!body->owner)
        return -1;
    body->data = PyBytes_AS_STRING(body->owner);
    return 0;
}

/* Headers */

typedef struct Text {
    const char *data;
    size_t len;
} Text;

/* What may be a header's name or value; requests refuses the rest, and says why. In front, it wants
 * nothing that Python calls a space. */
static bool is_header_text(PyObject *object, Text *text)
{
    bool is_text = PyUnicode_CheckExact(object);
    if (is_text && PyUnicode_KIND(object) == PyUnicode_1BYTE_KIND) {
        text->data = (const char *)PyUnicode_1BYTE_DATA(object);
        text->len = (size_t)PyUnicode_GET_LENGTH(object);
    } else if (PyBytes_CheckExact(object)) {
        text->data = PyBytes_AS_STRING(object);
        text->len = (size_t)PyBytes_GET_SIZE(object);
    } else {
        return false;
    }
    if (!text->len)
        return true;
    unsigned char first = (unsigned char)text->data[0];
    bool is_space = is_text ? Py_UNICODE_ISSPACE(first) != 0 : Py_ISSPACE(first) != 0;
    return !is_space && !memchr(text->data, '\r', text->len) &&
           !memchr(text->data, '\n', text->len);
}

/* Puts one header of the session's or the call's; None takes one away. */
static int put_header(Headers *headers, PyObject *name, PyObject *value)
{
    Text n, v;
    if (!is_header_text(name, &n) || !n.len || memchr(n.data, ':', n.len))
        return NOT_OURS;
    if (value == Py_None) {
        Headers_drop(headers, n.data, n.len);
        return 0;
    }
    if (!is_header_text(value, &v))
        return NOT_OURS;
    opf_header header = {.name = n.data, .name_len = (uint32_t)n.len};
    if (Header_is(&header, "content-length", 14) || Header_is(&header, "transfer-encoding", 17))
        return NOT_OURS; /* requests has rules of its own for these */
    return Headers_put(headers, n.data, n.len, v.data, v.len, false);
}

/* The dict behind a requests.structures.CaseInsensitiveDict, of lower-case names and pairs: a new
 * reference, or NULL. */
static PyObject *store_of(State *state, PyObject *mapping)
{
    PyObject *store = PyObject_GetAttr(mapping, state->names[NAME__store]);
    if (!store)
        PyErr_Clear();
    else if (!PyDict_Check(store))
        Py_CLEAR(store);
    return store;
}

/* Puts the headers of a dict or CaseInsensitiveDict. They point into its strings, so that no Python
 * code may run from here until they are submitted. */
static int put_mapping(State *state, Headers *headers, PyObject *mapping)
{
    PyObject *name, *value;
    Py_ssize_t at = 0;
    int ret = 0;
    if (!is_given(mapping))
        return 0;
    if (PyDict_CheckExact(mapping)) {
        while (ret == 0 && PyDict_Next(mapping, &at, &name, &value))
            ret = put_header(headers, name, value);
        return ret;
    }
    PyObject *type = state->helpers[HELPER_case_insensitive_dict];
    PyObject *store = (PyObject *)Py_TYPE(mapping) == type ? store_of(state, mapping) : NULL;
    if (!store)
        return NOT_OURS;
    while (ret == 0 && PyDict_Next(store, &at, &name, &value))
        ret = PyTuple_CheckExact(value) && PyTuple_GET_SIZE(value) == 2
                  ? put_header(headers, PyTuple_GET_ITEM(value, 0), PyTuple_GET_ITEM(value, 1))
                  : NOT_OURS;
    Py_DECREF(store);
    return ret;
}

/* What a request's headers are made of beside those that are given: owned, or NULL. */
typedef struct Derived {
    PyObject *authorization;
    PyObject *cookie;
} Derived;

static void Derived_fini(Derived *derived)
{
    Py_XDECREF(derived->authorization);
    Py_XDECREF(derived->cookie);
}

/* Whether a jar is known to be empty. */
static bool is_empty_jar(State *state, PyObject *jar)
{
    if (!is_given(jar))
        return true;
    PyObject *cookies = PyObject_GetAttr(jar, state->names[NAME__cookies]);
    if (!cookies) {
        PyErr_Clear();
        return false;
    }
    bool empty = PyDict_CheckExact(cookies) && !PyDict_GET_SIZE(cookies);
    Py_DECREF(cookies);
    return empty;
}

static int derive_authorization(State *state, PyObject *auth, Derived *derived)
{
    if (!auth)
        return 0;
    if (!is_pair_of_texts(auth)) /* any more: that was looked at before the first try */
        return NOT_OURS;
    PyObject *helper = state_helper(state, HELPER_basic_auth);
    derived->authorization = helper ? PyObject_CallOneArg(helper, auth) : NULL;
    return derived->authorization ? 0 : -1;
}

static int derive_cookie(HttpSession *self, PyObject *jar, const Url *url, Response *response,
                         Derived *derived)
{
    if (is_empty_jar(self->base.state, jar))
        return 0;
    derived->cookie = CookieMemo_header(&self->cookie_memo, &self->base, jar,
                                        HELPER_http_cookie_header, url, response);
    return derived->cookie ? 0 : -1;
}

/* The session's credentials and jar are held: it may get others meanwhile. */
static int derive(HttpSession *self, HttpCall *call, const Url *url, Response *response,
                  Derived *derived)
{
    PyObject *auth = Py_XNewRef(auth_of(self, call));
    int ret = derive_authorization(self->base.state, auth, derived);
    Py_XDECREF(auth);
    if (ret != 0)
        return ret;
    PyObject *jar = Py_XNewRef(self->cookies);
    ret = derive_cookie(self, jar, url, response, derived);
    Py_XDECREF(jar);
    return ret;
}

/* Whether requests announces that there is no body. */
static bool announces_none(PyObject *method)
{
    return PyUnicode_CompareWithASCIIString(method, "GET") != 0 &&
           PyUnicode_CompareWithASCIIString(method, "HEAD") != 0;
}

static int put_headers(HttpSession *self, const HttpCall *call, const Derived *derived,
                       Parcel *parcel)
{
    Headers *headers = &parcel->headers;
    const Body *body = &parcel->body;
    State *state = self->base.state;
    if (!state_helper(state, HELPER_case_insensitive_dict)) /* put_mapping may not import it */
        return -1;
    int ret = put_mapping(state, headers, self->headers);
    if (ret == 0)
        ret = put_mapping(state, headers, call->call.headers);
    if (ret != 0)
        return ret;
    const char *type = body->is_json ? "application/json" : body->content_type;
    if (type && !Headers_has(headers, "content-type", 12) &&
        Headers_put(headers, "Content-Type", 12, type, strlen(type), false) != 0)
        return -1;
    if (derived->cookie && Headers_has(headers, "host", 4))
        return NOT_OURS; /* requests looks for the cookies of that one */
    if (derived->cookie && derived->cookie != Py_None && !Headers_has(headers, "cookie", 6) &&
        Headers_put_value(headers, "Cookie", derived->cookie) != 0)
        return -1;
    if (derived->authorization &&
        Headers_put_value(headers, "Authorization", derived->authorization) != 0)
        return -1;
    if (!body->len && announces_none(parcel->method) &&
        PUT_HEADER(headers, "Content-Length", "0") != 0)
        return -1;
    /* as http.client does: without the header, a server may use any coding */
    if (!Headers_has(headers, "accept-encoding", 15))
        return PUT_HEADER(headers, "Accept-Encoding", "identity");
    return 0;
}

/* Sending */

static int submit(Session *session, Call *base, Response *response)
{
    HttpSession *self = (HttpSession *)session;
    HttpCall *call = (HttpCall *)base;
    Parcel parcel = {.stream = base->stream, .timeouts = &call->timeouts};
    Derived derived = {0};
    int ret = find_url(self, call, response, &parcel.url);
    if (ret == 0 && parcel.url.parsed.tls != call->tls)
        ret = NOT_OURS; /* the connections were chosen by what was given, not by what it means */
    if (ret == 0)
        ret = find_body(base, &parcel.body);
    if (ret == 0)
        ret = derive(self, call, &parcel.url, response, &derived);
    if (ret == 0)
        ret = Parcel_set_method(&parcel, session->state, base->method);
    if (ret == 0 && parcel.body.is_json)
        ret = write_json(session->state, base, &parcel.body);
    if (ret == 0)
        ret = put_headers(self, call, &derived, &parcel);
    if (ret == 0)
        ret = Parcel_submit(&parcel, base->pool, response);
    Parcel_fini(&parcel);
    Derived_fini(&derived);
    return ret;
}

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

/* Sets what a request's failure to bring a response means. */
static int find_loss(HttpSession *self, Response *response)
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
    ret = Session_transmit(&self->base, &call->call, *response, submit, &start);
    if (ret != 0)
        return ret;
    (*response)->elapsed_ns = end_of(*response) - start;
    if (find_loss(self, *response) != 0 || take_cookies(self, *response) != 0)
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
    if (call->context && !PyDict_Check(call->context)) {
        PyErr_SetString(PyExc_TypeError, "context is a dict");
        return -1;
    }
    if (!PyUnicode_Check(call->path)) {
        PyErr_Format(PyExc_TypeError, "url is a str, not %s", Py_TYPE(call->path)->tp_name);
        return -1;
    }
    return 0;
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
    int ret = !environment && is_usual(self, call) ? directly(self, call, &response) : NOT_OURS;
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

/* What requests has put together */

typedef struct PreparedCall {
    Call call;
    PyObject *headers; /* list of pairs of bytes */
    PyObject *body;    /* bytes, or NULL */
    PyObject *pieces;  /* iterator over bytes, in the place of a body, or NULL */
    PyObject *proxy;   /* Proxy, or None: the session's */
    PyObject *auth;    /* SchemeAuth, or None */
    opf_timeouts timeouts;
} PreparedCall;

static int put_prepared(Parcel *parcel, PyObject *headers)
{
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(headers); i++) {
        PyObject *name, *value;
        if (!PyArg_ParseTuple(PyList_GET_ITEM(headers, i), "SS", &name, &value))
            return -1;
        if (Headers_put(&parcel->headers, PyBytes_AS_STRING(name), (size_t)PyBytes_GET_SIZE(name),
                        PyBytes_AS_STRING(value), (size_t)PyBytes_GET_SIZE(value), true) != 0)
            return -1;
    }
    return 0;
}

static int submit_prepared(Session *session, Call *base, Response *response)
{
    PreparedCall *call = (PreparedCall *)base;
    Parcel parcel = {.pieces = call->pieces,
                     .stream = base->stream,
                     .timeouts = &call->timeouts,
                     .proxy = call->proxy,
                     .auth = call->auth};
    int ret = -1;
    if (call->body) {
        parcel.body.owner = Py_NewRef(call->body);
        parcel.body.data = PyBytes_AS_STRING(call->body);
        parcel.body.len = (size_t)PyBytes_GET_SIZE(call->body);
    }
    if (Url_parse(session, Py_NewRef(base->path), &parcel.url) == 0 &&
        Parcel_set_method(&parcel, session->state, base->method) == 0 &&
        put_prepared(&parcel, call->headers) == 0)
        ret = Parcel_submit(&parcel, base->pool, response);
    Parcel_fini(&parcel);
    return ret;
}

static int seconds_of(PyObject *value, uint64_t *ns)
{
    double seconds = value == Py_None ? 0 : PyFloat_AsDouble(value);
    *ns = seconds_to_ns(seconds);
    return seconds == -1.0 && PyErr_Occurred() ? -1 : 0;
}

PyObject *HttpSession_send(HttpSession *self, PyObject *args)
{
    PreparedCall call = {.call = {.max_retries = self->base.max_retries}};
    PyObject *method, *body, *pool, *connect, *read;
    int stream;
    uint64_t start = 0;
    if (!PyArg_ParseTuple(args, "UUO!OpOOO!OO:_send", &method, &call.call.path, &PyList_Type,
                          &call.headers, &body, &stream, &connect, &read,
                          self->base.state->pool_type, &pool, &call.proxy, &call.auth) ||
        seconds_of(connect, &call.timeouts.connect_ns) != 0 ||
        seconds_of(read, &call.timeouts.network_ns) != 0)
        return NULL;
    if (PyIter_Check(body)) {
        call.pieces = body;
        call.call.max_retries = 0; /* it can be sent but once */
    } else if (PyBytes_Check(body)) {
        call.body = body;
    } else if (body != Py_None) {
        PyErr_SetString(PyExc_TypeError, "body is bytes, an iterator or None");
        return NULL;
    }
    call.call.stream = stream;
    call.call.method = Py_NewRef(method);
    call.call.pool = (Pool *)Py_NewRef(pool);
    Response *response = NULL;
    if (Session_get_ready(&self->base, &call.call) == 0)
        response = Session_new_response(&self->base, &call.call, self->response_type);
    if (response &&
        (Session_transmit(&self->base, &call.call, response, submit_prepared, &start) != 0 ||
         find_loss(self, response) != 0))
        Py_CLEAR(response);
    Call_fini(&call.call);
    return (PyObject *)response;
}

PyObject *HttpSession_lose(HttpSession *self, PyObject *error)
{
    Call call = {.path = self->base.state->names[NAME_url],
                 .method = Py_NewRef(self->base.state->names[NAME_GET])};
    Response *response = NULL;
    if (Session_get_ready(&self->base, &call) == 0)
        response = Session_new_response(&self->base, &call, self->response_type);
    if (response) {
        response->lost = true;
        response->error = error == Py_None ? NULL : Py_NewRef(error);
    }
    Call_fini(&call);
    return (PyObject *)response;
}
