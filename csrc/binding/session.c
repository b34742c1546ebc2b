#include "binding/session.h"

#include <string.h>
#include <structmember.h>
#include <time.h>

/* Calls: what the arguments of a request say */

typedef struct Call {
    PyObject *method; /* as given: owned */
    PyObject *path;
    PyObject *name;
    PyObject *data;
    PyObject *json;
    PyObject *headers;
    PyObject *auth;
    PyObject *params;
    PyObject *context;
    PyObject *extra; /* dict of what is not among the above: owned, or NULL */
    int max_redirects;
    bool catch_response;
    bool allow_redirects;
    /* of a redirect */
    PyObject *url;      /* absolute; owned, or NULL */
    PyObject *location; /* of the first request, for a comparison of origins: owned */
    bool no_body;
    bool other_origin;
} Call;

static void Call_fini(Call *call)
{
    Py_XDECREF(call->method);
    Py_XDECREF(call->extra);
    Py_XDECREF(call->url);
    Py_XDECREF(call->location);
}

static int refuse(Session *self, const char *what)
{
    PyObject *helper = state_helper(self->state, HELPER_unsupported);
    PyObject *error = helper ? PyObject_CallFunction(helper, "s", what) : NULL;
    if (error) {
        PyErr_SetObject((PyObject *)Py_TYPE(error), error);
        Py_DECREF(error);
    }
    return -1;
}

static int set_flag(bool *flag, PyObject *value)
{
    int truth = PyObject_IsTrue(value);
    *flag = truth == 1;
    return truth < 0 ? -1 : 0;
}

static int set_max_redirects(Call *call, PyObject *value)
{
    if (value == Py_None)
        return 0;
    long n = PyLong_AsLong(value);
    if (n == -1 && PyErr_Occurred())
        return -1;
    call->max_redirects = n < 0 ? 0 : n > INT_MAX ? INT_MAX : (int)n;
    return 0;
}

static int set_extra(Call *call, PyObject *key, PyObject *value)
{
    if (!call->extra && !(call->extra = PyDict_New()))
        return -1;
    return PyDict_SetItem(call->extra, key, value);
}

/* Files one keyword argument. Keys of calls in a locustfile are interned, so that they are told
 * apart by address. */
static int set_keyword(Session *self, Call *call, PyObject *key, PyObject *value)
{
    PyObject *const *names = self->state->names;
    int truth;
    if (key == names[NAME_url])
        call->path = value;
    else if (key == names[NAME_method])
        Py_XSETREF(call->method, Py_NewRef(value));
    else if (key == names[NAME_name])
        call->name = value;
    else if (key == names[NAME_json])
        call->json = value;
    else if (key == names[NAME_headers])
        call->headers = value;
    else if (key == names[NAME_catch_response])
        return set_flag(&call->catch_response, value);
    else if (key == names[NAME_data])
        call->data = value;
    else if (key == names[NAME_params])
        call->params = value;
    else if (key == names[NAME_auth])
        call->auth = value;
    else if (key == names[NAME_context])
        call->context = value;
    else if (key == names[NAME_allow_redirects])
        return set_flag(&call->allow_redirects, value);
    else if (key == names[NAME_max_redirects])
        return set_max_redirects(call, value);
    else if (key == names[NAME_max_retries])
        return 0;
    else if (key == names[NAME_stream])
        return (truth = PyObject_IsTrue(value)) > 0 ? refuse(self, "stream=True") : truth;
    else if (key == names[NAME_files])
        return (truth = PyObject_IsTrue(value)) > 0 ? refuse(self, "files=") : truth;
    else
        return set_extra(call, key, value);
    return 0;
}

static int set_keywords(Session *self, Call *call, PyObject *const *values, PyObject *keys)
{
    Py_ssize_t n = keys ? PyTuple_GET_SIZE(keys) : 0;
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *key = Py_NewRef(PyTuple_GET_ITEM(keys, i));
        PyUnicode_InternInPlace(&key);
        int ret = set_keyword(self, call, key, values[i]);
        Py_DECREF(key);
        if (ret != 0)
            return -1;
    }
    return 0;
}

static PyObject *none_to_null(PyObject *value)
{
    return value == Py_None ? NULL : value;
}

/* Puts the call's arguments in order: None is the same as absent, a rename_request names those
 * without a name. */
static int settle(Session *self, Call *call)
{
    call->name = none_to_null(call->name);
    call->json = none_to_null(call->json);
    call->headers = none_to_null(call->headers);
    call->params = none_to_null(call->params);
    call->auth = none_to_null(call->auth);
    call->context = none_to_null(call->context);
    call->data = none_to_null(call->data);
    int named = call->name ? PyObject_IsTrue(call->name) : 0;
    int with_data = call->data ? PyObject_IsTrue(call->data) : 0;
    if (named < 0 || with_data < 0)
        return -1;
    if (!with_data)
        call->data = NULL;
    if (!named)
        call->name = none_to_null(self->request_name);
    if (call->context && !PyDict_Check(call->context)) {
        PyErr_SetString(PyExc_TypeError, "context is a dict");
        return -1;
    }
    if (!PyUnicode_Check(call->path)) {
        PyErr_Format(PyExc_TypeError, "url is a str, not %s", Py_TYPE(call->path)->tp_name);
        return -1;
    }
    if (call->extra) {
        PyObject *helper = state_helper(self->state, HELPER_unknown_keywords);
        PyObject *both = helper ? PyObject_CallFunction(helper, "OOOO", call->method, call->extra,
                                                        call->data ? call->data : Py_None,
                                                        call->params ? call->params : Py_None)
                                : NULL;
        if (!both)
            return -1;
        Py_SETREF(call->extra, both); /* keeps the two alive */
        call->data = none_to_null(PyTuple_GET_ITEM(both, 0));
        call->params = none_to_null(PyTuple_GET_ITEM(both, 1));
    }
    return 0;
}

/* Headers */

#define HEADERS_MAX 128

typedef struct Headers {
    opf_header list[HEADERS_MAX];
    size_t n;
    bool has_content_type; /* among the request's own */
    bool has_accept;
    bool has_accept_encoding;
} Headers;

static bool same_name(const opf_header *header, const char *name, size_t len)
{
    return header->name_len == len && PyOS_strnicmp(header->name, name, (Py_ssize_t)len) == 0;
}

/* Adds a header, in the place of those of its name unless it is one more line of them. */
static int put_header(Headers *headers, const char *name, size_t name_len, const char *value,
                      size_t value_len, bool one_more)
{
    size_t at = headers->n;
    if (name_len > UINT32_MAX || value_len > UINT32_MAX) {
        PyErr_SetString(PyExc_ValueError, "header is too long");
        return -1;
    }
    for (size_t i = 0; !one_more && i < headers->n; i++) {
        if (same_name(&headers->list[i], name, name_len)) {
            at = i;
            break;
        }
    }
    if (at == HEADERS_MAX) {
        PyErr_Format(PyExc_ValueError, "more than %d headers", HEADERS_MAX);
        return -1;
    }
    if (at == headers->n)
        headers->n++;
    headers->list[at] = (opf_header){.name = name,
                                     .value = value,
                                     .name_len = (uint32_t)name_len,
                                     .value_len = (uint32_t)value_len};
    return 0;
}

#define PUT_HEADER(headers, name, value)                                                           \
    put_header(headers, name, sizeof(name) - 1, value, sizeof(value) - 1, false)

/* Holds an object for as long as the headers point into it: Python code that runs meanwhile may
 * drop it everywhere else. Takes over the reference. */
static int hold(PyObject **keep, PyObject *object)
{
    int ret = -1;
    if (object && (*keep || (*keep = PyList_New(0))))
        ret = PyList_Append(*keep, object);
    Py_XDECREF(object);
    return ret;
}

/* The bytes of a header's name or value: they belong to the object, or to keep, a list that is made
 * when needed. */
static int header_bytes(PyObject *object, const char *what, PyObject *name, PyObject **keep,
                        const char **data, size_t *len)
{
    PyObject *made;
    if (PyUnicode_Check(object)) {
        if (PyUnicode_KIND(object) != PyUnicode_1BYTE_KIND) {
            PyErr_Format(PyExc_ValueError, "header %R: its %s has a character outside ISO-8859-1",
                         name, what);
            return -1;
        }
        *data = (const char *)PyUnicode_1BYTE_DATA(object);
        *len = (size_t)PyUnicode_GET_LENGTH(object);
        return 0;
    }
    if (PyBytes_Check(object)) {
        *data = PyBytes_AS_STRING(object);
        *len = (size_t)PyBytes_GET_SIZE(object);
        return 0;
    }
    if (!PyLong_Check(object) && !PyFloat_Check(object)) {
        PyErr_Format(PyExc_TypeError, "header %R: its %s is a str, not %s", name, what,
                     Py_TYPE(object)->tp_name);
        return -1;
    }
    made = PyObject_Str(object);
    return hold(keep, made) == 0 ? header_bytes(made, what, name, keep, data, len) : -1;
}

static void note_own(Headers *headers, const char *name, size_t len)
{
    opf_header header = {.name = name, .name_len = (uint32_t)len};
    if (same_name(&header, "content-type", 12))
        headers->has_content_type = true;
    else if (same_name(&header, "accept", 6))
        headers->has_accept = true;
    else if (same_name(&header, "accept-encoding", 15))
        headers->has_accept_encoding = true;
}

static int put_own(Headers *headers, PyObject *name, PyObject *value, PyObject **keep)
{
    const char *name_data, *value_data;
    size_t name_len, value_len;
    if (header_bytes(name, "name", name, keep, &name_data, &name_len) != 0)
        return -1;
    note_own(headers, name_data, name_len);
    if (!PyList_Check(value) && !PyTuple_Check(value)) {
        if (header_bytes(value, "value", name, keep, &value_data, &value_len) != 0)
            return -1;
        return put_header(headers, name_data, name_len, value_data, value_len, false);
    }
    if (PyList_Check(value)) {
        value = PyList_AsTuple(value);
        if (hold(keep, value) != 0)
            return -1;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(value); i++) {
        PyObject *item = PyTuple_GET_ITEM(value, i);
        if (header_bytes(item, "value", name, keep, &value_data, &value_len) != 0 ||
            put_header(headers, name_data, name_len, value_data, value_len, i > 0) != 0)
            return -1;
    }
    return 0;
}

/* The headers of a call: a dict, or whatever dict() takes. It is copied, as it may be changed while
 * a body is read or the cookies are looked for. */
static int put_own_all(Headers *headers, PyObject *given, PyObject **keep)
{
    PyObject *name, *value, *dict;
    Py_ssize_t at = 0;
    if (PyDict_CheckExact(given))
        dict = PyDict_Copy(given);
    else
        dict = PyObject_CallOneArg((PyObject *)&PyDict_Type, given);
    if (!dict) {
        if (PyErr_ExceptionMatches(PyExc_TypeError) || PyErr_ExceptionMatches(PyExc_ValueError))
            PyErr_Format(PyExc_TypeError, "headers is a dict or a list of pairs, not %R",
                         Py_TYPE(given));
        return -1;
    }
    if (hold(keep, dict) != 0)
        return -1;
    while (PyDict_Next(dict, &at, &name, &value))
        if (put_own(headers, name, value, keep) != 0)
            return -1;
    return 0;
}

static int put_authorization(Session *self, Call *call, Headers *headers, PyObject **keep)
{
    PyObject *value = self->auth_header;
    if (call->auth) {
        PyObject *helper = state_helper(self->state, HELPER_basic_auth);
        value = helper ? PyObject_CallOneArg(helper, call->auth) : NULL;
    } else if (!value || value == Py_None) {
        return 0;
    } else {
        Py_INCREF(value);
    }
    if (hold(keep, value) != 0)
        return -1;
    Py_ssize_t len;
    const char *data = PyUnicode_AsUTF8AndSize(value, &len);
    return data ? put_header(headers, "Authorization", 13, data, (size_t)len, false) : -1;
}

static void drop_header(Headers *headers, const char *name, size_t len)
{
    size_t kept = 0;
    for (size_t i = 0; i < headers->n; i++)
        if (!same_name(&headers->list[i], name, len))
            headers->list[kept++] = headers->list[i];
    headers->n = kept;
}

static int put_cookies(Session *self, PyObject *url, Headers *headers, PyObject **keep)
{
    if (!self->cookiejar)
        return 0;
    for (size_t i = 0; i < headers->n; i++)
        if (same_name(&headers->list[i], "cookie", 6))
            return 0;
    PyObject *helper = state_helper(self->state, HELPER_cookie_header);
    PyObject *value =
        helper ? PyObject_CallFunctionObjArgs(helper, self->cookiejar, url, NULL) : NULL;
    if (!value)
        return -1;
    const char *data;
    size_t len;
    if (hold(keep, value) != 0)
        return -1;
    if (value == Py_None)
        return 0;
    if (header_bytes(value, "value", value, keep, &data, &len) != 0)
        return -1;
    return put_header(headers, "Cookie", 6, data, len, false);
}

/* Bodies */

typedef struct Body {
    const char *data;
    size_t len;
    PyObject *owner;          /* bytes that data points into: owned, or NULL */
    const char *content_type; /* to be sent unless one is given; NULL: none */
    PyObject *content_type_owner;
    bool is_text;
    bool is_json;
} Body;

static void Body_fini(Body *body)
{
    Py_XDECREF(body->owner);
    Py_XDECREF(body->content_type_owner);
}

/* Bodies longer than this are not copied by the engine (opf_request.body): then ours must stay. */
#define COPIED 4096

/* Writes the JSON. No Python code may run from here until the body is submitted: it might write
 * JSON of its own in the same place. */
static int write_json(Session *self, const Call *call, Body *body)
{
    if (json_encode(self->state, call->json, &body->data, &body->len) != 0)
        return -1;
    if (body->len <= COPIED)
        return 0;
    body->owner = PyBytes_FromStringAndSize(body->data, (Py_ssize_t)body->len);
    if (!body->owner)
        return -1;
    body->data = PyBytes_AS_STRING(body->owner);
    return 0;
}

static int own_bytes(Body *body, PyObject *bytes)
{
    body->owner = bytes;
    body->data = PyBytes_AS_STRING(bytes);
    body->len = (size_t)PyBytes_GET_SIZE(bytes);
    return 0;
}

/* Whatever is neither str nor bytes: dicts, files. */
static int other_body(Session *self, PyObject *data, Body *body)
{
    PyObject *helper = state_helper(self->state, HELPER_encode_body);
    PyObject *both = helper ? PyObject_CallOneArg(helper, data) : NULL;
    PyObject *bytes, *content_type;
    if (!both)
        return -1;
    int ret = -1;
    if (PyArg_ParseTuple(both, "SU", &bytes, &content_type)) {
        body->content_type_owner = Py_NewRef(content_type);
        body->content_type = PyUnicode_AsUTF8(content_type);
        if (body->content_type)
            ret = own_bytes(body, Py_NewRef(bytes));
    }
    Py_DECREF(both);
    return ret;
}

static int make_body(Session *self, const Call *call, bool has_content_type, Body *body)
{
    if (call->no_body)
        return 0;
    if (!call->data) {
        body->is_text = body->is_json = call->json != NULL; /* written last of all */
        return 0;
    }
    if (PyUnicode_Check(call->data)) {
        PyObject *bytes = PyUnicode_AsUTF8String(call->data);
        body->is_text = has_content_type;
        body->content_type = "text/plain; charset=utf-8";
        return bytes ? own_bytes(body, bytes) : -1;
    }
    if (PyBytes_Check(call->data)) {
        body->content_type = "application/octet-stream";
        return own_bytes(body, Py_NewRef(call->data));
    }
    return other_body(self, call->data, body);
}

/* URLs */

typedef struct Url {
    opf_url parsed;
    char *quoted;   /* to be freed, or NULL */
    PyObject *text; /* str, or bytes of the base, that parsed points into: owned, or NULL */
} Url;

static void Url_fini(Url *url)
{
    opf_free(url->quoted);
    Py_XDECREF(url->text);
}

static bool is_absolute(const char *path)
{
    return PyOS_strnicmp(path, "http://", 7) == 0 || PyOS_strnicmp(path, "https://", 8) == 0;
}

PyObject *Session_build_url(PyObject *base_url, PyObject *path)
{
    const char *text = PyUnicode_AsUTF8(path);
    if (!text)
        return NULL;
    if (is_absolute(text) || !PyUnicode_Check(base_url))
        return Py_NewRef(path);
    return PyUnicode_Concat(base_url, path);
}

/* True for a URL of another scheme, which no base URL may stand before. */
static bool is_foreign(const char *path)
{
    const char *at = path;
    while (Py_ISALNUM(*at) || *at == '+' || *at == '-' || *at == '.')
        at++;
    return at > path && strncmp(at, "://", 3) == 0;
}

static int url_error(const char *why, PyObject *url)
{
    PyErr_Format(PyExc_ValueError, "%s: %R", why, url);
    return -1;
}

static bool has_control(const char *data, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)data[i] < 0x20 || data[i] == 0x7f)
            return true;
    return false;
}

/* A '?' with nothing behind it is not sent, as by FastHttpSession. */
static void drop_empty_query(opf_url *url)
{
    const char *mark = url->target_len ? memchr(url->target, '?', url->target_len) : NULL;
    if (mark && mark == url->target + url->target_len - 1)
        url->target_len--;
}

/* Takes a whole URL apart, having percent-encoded what needs it. Takes over the reference to text.
 */
static int parse_url(Session *self, PyObject *text, Url *url)
{
    Py_ssize_t size;
    size_t len;
    const char *why, *data;
    url->text = text;
    if (!PyUnicode_IS_ASCII(text)) {
        PyObject *helper = state_helper(self->state, HELPER_ascii_url);
        url->text = helper ? PyObject_CallOneArg(helper, text) : NULL;
        Py_DECREF(text);
        if (!url->text)
            return -1;
    }
    data = PyUnicode_AsUTF8AndSize(url->text, &size);
    if (!data)
        return -1;
    len = (size_t)size;
    if (has_control(data, len))
        return url_error("URL has a control character", url->text);
    if (!opf_url_is_quoted(data, len)) {
        url->quoted = opf_url_requote(data, len, &len);
        if (!url->quoted) {
            PyErr_NoMemory();
            return -1;
        }
        data = url->quoted;
    }
    if (opf_url_parse(data, len, &url->parsed, &why) != 0)
        return url_error(why, url->text);
    drop_empty_query(&url->parsed);
    return 0;
}

/* The usual case: a path to be put behind the base URL, nothing in it to be changed. */
static bool plain_path(Session *self, PyObject *path, Url *url)
{
    if (!self->base_parsed || self->base.target_len || !PyUnicode_IS_COMPACT_ASCII(path))
        return false;
    const char *data = (const char *)PyUnicode_1BYTE_DATA(path);
    size_t len = (size_t)PyUnicode_GET_LENGTH(path);
    if (!len || data[0] != '/' || len > UINT32_MAX || memchr(data, '#', len) ||
        !opf_url_is_quoted(data, len))
        return false;
    url->text = Py_NewRef(self->base_bytes);
    url->parsed = self->base;
    url->parsed.target = data;
    url->parsed.target_len = (uint32_t)len;
    drop_empty_query(&url->parsed);
    return true;
}

/* Finds the URL of the call. */
static int make_url(Session *self, const Call *call, Url *url)
{
    PyObject *text;
    if (call->url) {
        text = Py_NewRef(call->url);
    } else {
        if (!call->params && plain_path(self, call->path, url))
            return 0;
        const char *path = PyUnicode_AsUTF8(call->path);
        if (!path)
            return -1;
        bool absolute = is_absolute(path);
        if (!absolute && is_foreign(path))
            return url_error("URL has a scheme other than http and https", call->path);
        if (!absolute && !PyUnicode_Check(self->base_url))
            return url_error("URL has no host, and the session has no base URL", call->path);
        text = Session_build_url(self->base_url, call->path);
        if (!text)
            return -1;
        if (call->params) {
            PyObject *helper = state_helper(self->state, HELPER_with_params);
            Py_SETREF(text, helper ? PyObject_CallFunctionObjArgs(helper, text, call->params, NULL)
                                   : NULL);
            if (!text)
                return -1;
        }
    }
    return parse_url(self, text, url);
}

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

static int put_defaults(Session *self, Headers *headers)
{
    headers->n = 0;
    headers->has_accept = headers->has_accept_encoding = headers->has_content_type = false;
    for (Py_ssize_t i = 0; i < self->n_defaults; i++) {
        PyObject *name = self->defaults[i].name, *value = self->defaults[i].value;
        if (put_header(headers, PyBytes_AS_STRING(name), (size_t)PyBytes_GET_SIZE(name),
                       PyBytes_AS_STRING(value), (size_t)PyBytes_GET_SIZE(value), true) != 0)
            return -1;
    }
    return 0;
}

/* The order of precedence is FastHttpSession's: what the call gives, what follows from it, the
 * user's defaults. */
static int make_headers(Session *self, Call *call, Headers *headers, Body *body, PyObject **keep)
{
    if (put_defaults(self, headers) != 0 ||
        (call->headers && put_own_all(headers, call->headers, keep) != 0))
        return -1;
    bool own_type = headers->has_content_type, any_type = own_type;
    for (size_t i = 0; i < headers->n && !any_type; i++)
        any_type = same_name(&headers->list[i], "content-type", 12);
    if (make_body(self, call, any_type, body) != 0 ||
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
    if (!body->is_json && body->content_type && !any_type &&
        put_header(headers, "Content-Type", 12, body->content_type, strlen(body->content_type),
                   false) != 0)
        return -1;
    if (call->no_body) {
        drop_header(headers, "content-type", 12);
        drop_header(headers, "content-length", 14);
        drop_header(headers, "content-encoding", 16);
    }
    if (call->other_origin)
        drop_header(headers, "authorization", 13);
    return 0;
}

static int submit(Session *self, Call *call, Response *response)
{
    Headers headers;
    Body body = {0};
    Url url = {0};
    PyObject *keep = NULL, *method = NULL;
    int ret = -1;
    if (make_url(self, call, &url) != 0 || make_headers(self, call, &headers, &body, &keep) != 0)
        goto out;
    if (call->url)
        Py_XSETREF(response->url, Py_NewRef(call->url));
    if (self->cookiejar) {
        PyObject *text = Response_get_url(response);
        int put = text ? put_cookies(self, text, &headers, &keep) : -1;
        Py_XDECREF(text);
        if (put != 0)
            goto out;
    }
    method = wire_method(self, call->method);
    if (!method || (body.is_json && write_json(self, call, &body) != 0))
        goto out;
    opf_request request = {.url = &url.parsed,
                           .method = (const char *)PyUnicode_1BYTE_DATA(method),
                           .method_len = (size_t)PyUnicode_GET_LENGTH(method),
                           .headers = headers.list,
                           .n_headers = headers.n,
                           .body = body.data,
                           .body_len = body.len};
    opf_request_error error;
    response->done = false;
    response->body_is_text = body.is_text;
    ret = opf_exchange_submit(response->exchange, self->pool, &request, Engine_on_done, response,
                              &error);
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
    int ret = make_url(self, call, &url) == 0 ? 1 : -1;
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
    if (result->failure != OPF_FAIL_NONE || !redirects(result->status) || !call->allow_redirects ||
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

static PyObject *failure_of(Session *self, Response *response)
{
    const opf_result *r = opf_exchange_result(response->exchange);
    PyObject *helper = state_helper(self->state, HELPER_failure);
    PyObject *url = helper ? Response_get_url(response) : NULL;
    PyObject *error = NULL;
    if (url)
        error = PyObject_CallFunction(
            helper, "iiizOddKKdI", (int)r->failure, (int)r->phase, r->err, r->detail, url,
            (double)self->options.connect_timeout_ns / 1e9,
            (double)self->options.network_timeout_ns / 1e9, (unsigned long long)r->bytes_received,
            (unsigned long long)(r->failure == OPF_FAIL_HEADERS_SIZE ? self->options.max_headers
                                                                     : self->options.max_body),
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
    if (response->error)
        return 0;
    if (result->failure != OPF_FAIL_NONE)
        response->error = failure_of(self, response);
    else if (!is_good(result->status))
        response->error = bad_status_of(self, response, result->status);
    else
        return 0;
    return response->error ? 0 : -1;
}

/* Requests */

static int get_ready(Session *self)
{
    if (!self->engine_factory) {
        PyErr_SetString(PyExc_RuntimeError,
                        "the session is not set up: call super().__init__() in its class");
        return -1;
    }
    if (!self->engine) {
        PyObject *engine = PyObject_CallNoArgs(self->engine_factory);
        if (engine && !PyObject_TypeCheck(engine, self->state->engine_type)) {
            PyErr_SetString(PyExc_TypeError, "engine_factory must return an Engine");
            Py_CLEAR(engine);
        }
        if (!engine)
            return -1;
        self->engine = (Engine *)engine;
    }
    if (Engine_check(self->engine) != 0)
        return -1;
    if (!self->pool) {
        char text[512];
        int error;
        self->pool = opf_pool_new(self->engine->engine, &self->options, &error, text, sizeof(text));
        if (!self->pool) {
            if (error == OPF_EINVAL)
                PyErr_SetString(PyExc_ValueError, text);
            else
                PyErr_NoMemory();
            return -1;
        }
    }
    return 0;
}

static Response *new_response(Session *self, const Call *call)
{
    Response *response =
        Response_new(call->catch_response ? self->state->catching_type : self->state->response_type,
                     self->state, self);
    if (!response)
        return NULL;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    response->start_time = (double)now.tv_sec + (double)now.tv_nsec / 1e9;
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
    if (Engine_wait(self->engine, response) == 0)
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

static int exchange(Session *self, Call *call, Response *response)
{
    uint64_t start = 0;
    for (int hops = 0;; hops++) {
        if (submit(self, call, response) != 0 || await(self, response) != 0)
            return -1;
        const opf_result *result = opf_exchange_result(response->exchange);
        if (!hops)
            start = result->start_ns;
        response->elapsed_ns = result->end_ns - start;
        if (take_cookies(self, response) != 0)
            return -1;
        int next = next_hop(self, call, response, hops);
        if (next <= 0)
            return next < 0 ? -1 : find_error(self, response);
    }
}

/* Makes the request that the call describes. Returns its response, a new reference, or NULL with an
 * exception. */
static PyObject *perform(Session *self, Call *call)
{
    if (get_ready(self) != 0 || settle(self, call) != 0)
        return NULL;
    Response *response = new_response(self, call);
    if (!response)
        return NULL;
    if (exchange(self, call, response) != 0 ||
        (!call->catch_response && Session_report(self, response, response->error) != 0))
        Py_CLEAR(response);
    return (PyObject *)response;
}

/* Calls self.request(method, url, ...) in Python, as Locust's get(), post() and so on do. */
static PyObject *by_own_request(Session *self, Call *call, PyObject *const *args, Py_ssize_t nargs,
                                Py_ssize_t n_more, PyObject *keys)
{
    PyObject *const *names = self->state->names;
    PyObject *kwargs = PyDict_New(), *positional = NULL, *function = NULL, *result = NULL;
    if (!kwargs)
        return NULL;
    if ((n_more > 0 &&
         PyDict_SetItem(kwargs, names[NAME_data], call->data ? call->data : Py_None) != 0) ||
        (n_more > 1 &&
         PyDict_SetItem(kwargs, names[NAME_json], call->json ? call->json : Py_None) != 0))
        goto out;
    for (Py_ssize_t i = 0; keys && i < PyTuple_GET_SIZE(keys); i++)
        if (PyTuple_GET_ITEM(keys, i) != names[NAME_url] &&
            PyDict_SetItem(kwargs, PyTuple_GET_ITEM(keys, i), args[nargs + i]) != 0)
            goto out;
    positional = PyTuple_Pack(2, call->method, call->path);
    function = PyObject_GetAttr((PyObject *)self, names[NAME_request]);
    if (positional && function)
        result = PyObject_Call(function, positional, kwargs);

out:
    Py_XDECREF(function);
    Py_XDECREF(positional);
    Py_DECREF(kwargs);
    return result;
}

static PyObject *missing(const char *what)
{
    PyErr_Format(PyExc_TypeError, "missing argument: '%s'", what);
    return NULL;
}

/* A request by a function named for its method: url and up to n_more positional arguments (data,
 * json). */
static PyObject *by_method(Session *self, int method, int n_more, PyObject *const *args,
                           Py_ssize_t nargs, PyObject *keys)
{
    Call call = {.max_redirects = self->max_redirects, .allow_redirects = true};
    PyObject *response = NULL;
    if (nargs > 1 + n_more) {
        PyErr_Format(PyExc_TypeError, "%d positional arguments at most, %zd were given", 1 + n_more,
                     nargs);
        return NULL;
    }
    call.path = nargs > 0 ? args[0] : NULL;
    call.data = nargs > 1 ? args[1] : NULL;
    call.json = nargs > 2 ? args[2] : NULL;
    call.method = Py_NewRef(self->state->names[method]);
    if (set_keywords(self, &call, args + nargs, keys) == 0) {
        if (!call.path)
            response = missing("url");
        else if (self->own_request)
            response = by_own_request(self, &call, args, nargs, n_more, keys);
        else
            response = perform(self, &call);
    }
    Call_fini(&call);
    return response;
}

#define BY_METHOD(function, method, n_more)                                                        \
    static PyObject *Session_##function(Session *self, PyObject *const *args, Py_ssize_t nargs,    \
                                        PyObject *keys)                                            \
    {                                                                                              \
        return by_method(self, NAME_##method, n_more, args, nargs, keys);                          \
    }

BY_METHOD(get, GET, 0)
BY_METHOD(head, HEAD, 0)
BY_METHOD(options, OPTIONS, 0)
BY_METHOD(delete, DELETE, 0)
BY_METHOD(patch, PATCH, 1)
BY_METHOD(put, PUT, 1)
BY_METHOD(post, POST, 2)

/* The positional parameters of FastHttpSession.request. */
static const int request_parameters[] = {
    NAME_method, NAME_url,     NAME_name, NAME_data, NAME_catch_response,
    NAME_stream, NAME_headers, NAME_auth, NAME_json, NAME_allow_redirects,
    NAME_context};
#define N_PARAMETERS ((Py_ssize_t)(sizeof(request_parameters) / sizeof(*request_parameters)))

static PyObject *Session_request(Session *self, PyObject *const *args, Py_ssize_t nargs,
                                 PyObject *keys)
{
    Call call = {.max_redirects = self->max_redirects, .allow_redirects = true};
    PyObject *response = NULL;
    if (nargs > N_PARAMETERS) {
        PyErr_Format(PyExc_TypeError, "%zd positional arguments at most, %zd were given",
                     N_PARAMETERS, nargs);
        return NULL;
    }
    for (Py_ssize_t i = 0; i < nargs; i++)
        if (set_keyword(self, &call, self->state->names[request_parameters[i]], args[i]) != 0)
            goto out;
    if (set_keywords(self, &call, args + nargs, keys) != 0)
        goto out;
    if (!call.method)
        missing("method");
    else if (!call.path)
        missing("url");
    else
        response = perform(self, &call);

out:
    Call_fini(&call);
    return response;
}

/* The type */

static int set_default_headers(Session *self, PyObject *headers)
{
    Py_ssize_t n = PyList_GET_SIZE(headers);
    self->defaults = PyMem_Calloc((size_t)n + 1, sizeof(*self->defaults));
    if (!self->defaults) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *name, *value;
        if (!PyArg_ParseTuple(PyList_GET_ITEM(headers, i), "SS", &name, &value))
            return -1;
        self->defaults[i].name = Py_NewRef(name);
        self->defaults[i].value = Py_NewRef(value);
        self->n_defaults = i + 1;
    }
    return 0;
}

static int set_base_url(Session *self, PyObject *base_url)
{
    const char *why;
    self->base_url = Py_NewRef(base_url);
    if (!PyUnicode_Check(base_url))
        return 0; /* None: only absolute URLs will do */
    self->base_bytes = PyUnicode_AsUTF8String(base_url);
    if (!self->base_bytes)
        return -1;
    self->base_parsed =
        opf_url_parse(PyBytes_AS_STRING(self->base_bytes),
                      (size_t)PyBytes_GET_SIZE(self->base_bytes), &self->base, &why) == 0;
    return 0;
}

static uint64_t seconds_to_ns(double seconds)
{
    if (!(seconds > 0))
        return 0;
    return seconds > 1e9 ? 0 : (uint64_t)(seconds * 1e9);
}

static int keep_path(PyObject *bytes, PyObject **owner, const char **path)
{
    if (bytes == Py_None)
        return 0;
    if (!PyBytes_Check(bytes)) {
        PyErr_SetString(PyExc_TypeError, "ca_file and ca_dir are bytes or None");
        return -1;
    }
    Py_XSETREF(*owner, Py_NewRef(bytes));
    *path = PyBytes_AS_STRING(bytes);
    return 0;
}

static PyObject *Session_new(PyTypeObject *type, PyObject *Py_UNUSED(args),
                             PyObject *Py_UNUSED(kwargs))
{
    Session *self = (Session *)type->tp_alloc(type, 0);
    if (self)
        self->state = state_of(type); /* even a session that is never set up can be called */
    return (PyObject *)self;
}

static int Session_init(Session *self, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {"base_url",
                               "request_event",
                               "user",
                               "engine_factory",
                               "default_headers",
                               "connection_timeout",
                               "network_timeout",
                               "concurrency",
                               "max_redirects",
                               "verify",
                               "ca_file",
                               "ca_dir",
                               "max_headers",
                               "max_body",
                               "own_context",
                               NULL};
    PyObject *base_url, *event, *user, *factory, *headers, *ca_file, *ca_dir;
    double connection_timeout, network_timeout;
    unsigned int concurrency;
    int verify, own_context;
    Py_ssize_t max_headers, max_body;
    if (self->engine_factory) {
        PyErr_SetString(PyExc_RuntimeError, "a Session is set up once");
        return -1;
    }
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOOOO!ddIipOOnnp:Session", keywords, &base_url,
                                     &event, &user, &factory, &PyList_Type, &headers,
                                     &connection_timeout, &network_timeout, &concurrency,
                                     &self->max_redirects, &verify, &ca_file, &ca_dir, &max_headers,
                                     &max_body, &own_context))
        return -1;
    self->request_event = Py_NewRef(event);
    self->user = Py_NewRef(user);
    self->engine_factory = Py_NewRef(factory);
    self->own_context = own_context;
    self->options = (opf_pool_options){.concurrency = concurrency,
                                       .connect_timeout_ns = seconds_to_ns(connection_timeout),
                                       .network_timeout_ns = seconds_to_ns(network_timeout),
                                       .max_headers = max_headers > 0 ? (size_t)max_headers : 0,
                                       .max_body = max_body > 0 ? (size_t)max_body : 0,
                                       .verify = verify};
    PyObject *request =
        PyObject_GetAttr((PyObject *)Py_TYPE(self), self->state->names[NAME_request]);
    if (!request)
        return -1;
    self->own_request = request != self->state->session_request;
    Py_DECREF(request);
    if (keep_path(ca_file, &self->ca_file, &self->options.ca_file) != 0 ||
        keep_path(ca_dir, &self->ca_dir, &self->options.ca_dir) != 0)
        return -1;
    return set_default_headers(self, headers) != 0 ? -1 : set_base_url(self, base_url);
}

static PyObject *Session_close_idle(Session *self, PyObject *Py_UNUSED(ignored))
{
    if (self->pool)
        opf_pool_close_idle(self->pool);
    Py_RETURN_NONE;
}

static PyObject *get_cookiejar(Session *self, void *Py_UNUSED(closure))
{
    if (!self->cookiejar) {
        PyObject *make = state_helper(self->state, HELPER_new_cookiejar);
        self->cookiejar = make ? PyObject_CallNoArgs(make) : NULL;
    }
    return Py_XNewRef(self->cookiejar);
}

static int set_cookiejar(Session *self, PyObject *value, void *Py_UNUSED(closure))
{
    Py_XSETREF(self->cookiejar, value && value != Py_None ? Py_NewRef(value) : NULL);
    return 0;
}

static PyObject *get_base_url(Session *self, void *Py_UNUSED(closure))
{
    return Py_NewRef(self->base_url ? self->base_url : Py_None);
}

static int change_base_url(Session *self, PyObject *value, void *Py_UNUSED(closure))
{
    PyObject *was = self->base_url, *bytes = self->base_bytes;
    self->base_bytes = NULL;
    self->base_parsed = false;
    int ret = set_base_url(self, value ? value : Py_None);
    Py_XDECREF(was);
    Py_XDECREF(bytes);
    return ret;
}

static int Session_traverse(Session *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->engine);
    Py_VISIT(self->engine_factory);
    Py_VISIT(self->request_event);
    Py_VISIT(self->user);
    Py_VISIT(self->cookiejar);
    Py_VISIT(self->known_handler);
    Py_VISIT(self->collector);
    Py_VISIT(self->environment);
    Py_VISIT(self->stats);
    Py_VISIT(self->stats_module);
    Py_VISIT(self->bucket_function);
    return 0;
}

/* Breaks cycles; what requests rely on becomes None. */
static int Session_clear(Session *self)
{
    Py_XSETREF(self->request_event, Py_NewRef(Py_None));
    Py_XSETREF(self->user, Py_NewRef(Py_None));
    Py_CLEAR(self->cookiejar);
    Py_CLEAR(self->known_handler);
    Py_CLEAR(self->collector);
    Py_CLEAR(self->environment);
    Py_CLEAR(self->stats);
    Py_CLEAR(self->stats_module);
    Py_CLEAR(self->bucket_function);
    return 0;
}

static void Session_dealloc(Session *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Session_clear(self);
    opf_pool_free(self->pool);
    for (Py_ssize_t i = 0; i < self->n_defaults; i++) {
        Py_DECREF(self->defaults[i].name);
        Py_DECREF(self->defaults[i].value);
    }
    PyMem_Free(self->defaults);
    Py_XDECREF(self->request_event);
    Py_XDECREF(self->user);
    Py_XDECREF(self->engine_factory);
    Py_XDECREF(self->engine);
    Py_XDECREF(self->ca_file);
    Py_XDECREF(self->ca_dir);
    Py_XDECREF(self->base_url);
    Py_XDECREF(self->base_bytes);
    Py_XDECREF(self->request_name);
    Py_XDECREF(self->auth_header);
    type->tp_free(self);
    Py_DECREF(type);
}

#define REQUEST_METHOD(name, signature, text)                                                      \
    {#name, (PyCFunction)(void (*)(void))Session_##name, METH_FASTCALL | METH_KEYWORDS,            \
     #name "($self, " signature ")\n--\n\n" text}

static PyMethodDef Session_methods[] = {
    REQUEST_METHOD(
        request,
        "method, url, name=None, data=None, catch_response=False, stream=False, headers=None, "
        "auth=None, json=None, allow_redirects=True, context=None, **kwargs",
        "Send a request and wait for its response; as Locust's FastHttpSession.request."),
    REQUEST_METHOD(get, "url, **kwargs", "Send a GET request."),
    REQUEST_METHOD(head, "url, **kwargs", "Send a HEAD request."),
    REQUEST_METHOD(options, "url, **kwargs", "Send an OPTIONS request."),
    REQUEST_METHOD(delete, "url, **kwargs", "Send a DELETE request."),
    REQUEST_METHOD(patch, "url, data=None, **kwargs", "Send a PATCH request."),
    REQUEST_METHOD(put, "url, data=None, **kwargs", "Send a PUT request."),
    REQUEST_METHOD(post, "url, data=None, json=None, **kwargs", "Send a POST request."),
    {"close_idle_connections", (PyCFunction)Session_close_idle, METH_NOARGS,
     "close_idle_connections($self, /)\n--\n\nClose the kept connections: the next request makes a "
     "new one."},
    {NULL},
};

static PyGetSetDef Session_getset[] = {
    {"cookiejar", (getter)get_cookiejar, (setter)set_cookiejar,
     "http.cookiejar.CookieJar: the session's cookies", NULL},
    {"base_url", (getter)get_base_url, (setter)change_base_url, "str: what paths are put behind",
     NULL},
    {NULL},
};

static PyMemberDef Session_members[] = {
    {"request_event", T_OBJECT, offsetof(Session, request_event), 0, "locust.event.EventHook"},
    {"user", T_OBJECT, offsetof(Session, user), 0, "locust.User or None"},
    {"request_name", T_OBJECT, offsetof(Session, request_name), 0,
     "str: name of requests that are given none, or None"},
    {"auth_header", T_OBJECT, offsetof(Session, auth_header), 0,
     "str: Authorization of all requests, or None"},
    {"max_redirects", T_INT, offsetof(Session, max_redirects), 0,
     "int: redirects followed for one request at most"},
    {NULL},
};

static PyType_Slot Session_slots[] = {
    {Py_tp_doc, "The C part of opscore_fast.FastHttpSession, which sets it up."},
    {Py_tp_init, Session_init},
    {Py_tp_new, Session_new},
    {Py_tp_dealloc, Session_dealloc},
    {Py_tp_traverse, Session_traverse},
    {Py_tp_clear, Session_clear},
    {Py_tp_methods, Session_methods},
    {Py_tp_getset, Session_getset},
    {Py_tp_members, Session_members},
    {0, NULL},
};

static PyType_Spec Session_spec = {
    .name = "opscore_fast._core.Session",
    .basicsize = sizeof(Session),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = Session_slots,
};

int Session_add(PyObject *module, State *state)
{
    state->session_type = add_type(module, &Session_spec, NULL);
    if (!state->session_type)
        return -1;
    state->session_request =
        PyObject_GetAttr((PyObject *)state->session_type, state->names[NAME_request]);
    return state->session_request ? 0 : -1;
}
