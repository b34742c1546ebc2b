#include "binding/http_request.h"

#include <string.h>

#include "binding/form.h"

/* What is asked for, and whether it is usual */

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

bool HttpCall_is_usual(const HttpSession *self, HttpCall *call)
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

int HttpCall_submit(Session *session, Call *base, Response *response)
{
    HttpSession *self = (HttpSession *)session;
    HttpCall *call = (HttpCall *)base;
    Parcel parcel;
    Parcel_init(&parcel);
    parcel.stream = base->stream;
    parcel.timeouts = &call->timeouts;
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
