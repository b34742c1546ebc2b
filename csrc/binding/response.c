/* The type Response: what all kinds of responses have in common. */
#include "binding/response.h"

#include <string.h>
#include <structmember.h>

#include "binding/perform.h"

Response *Response_new(PyTypeObject *type, State *state, Session *session, Pool *pool)
{
    Response *self = (Response *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    self->state = state;
    self->session = (Session *)Py_NewRef(session);
    self->pool = (Pool *)Py_NewRef(pool);
    self->base_url = Py_NewRef(session->base_url);
    self->exchange = opf_exchange_new(pool->engine->engine);
    if (!self->exchange) {
        Py_DECREF(self);
        return (Response *)PyErr_NoMemory();
    }
    return self;
}

Engine *Response_engine(const Response *self)
{
    return self->pool->engine;
}

const opf_result *Response_result(const Response *self)
{
    return opf_exchange_result(self->exchange);
}

static PyObject *latin1(const char *data, size_t len)
{
    return PyUnicode_DecodeLatin1(data, (Py_ssize_t)len, NULL);
}

static PyObject *pair(const char *head, const opf_field *field)
{
    PyObject *name = latin1(head + field->name_at, field->name_len);
    PyObject *value = name ? latin1(head + field->value_at, field->value_len) : NULL;
    PyObject *both = value ? PyTuple_Pack(2, name, value) : NULL;
    Py_XDECREF(name);
    Py_XDECREF(value);
    return both;
}

PyObject *Response_fields(const Response *self)
{
    const opf_result *result = Response_result(self);
    PyObject *fields = PyList_New((Py_ssize_t)result->n_fields);
    if (!fields)
        return NULL;
    for (uint32_t i = 0; i < result->n_fields; i++) {
        PyObject *both = pair(result->head, &result->fields[i]);
        if (!both) {
            Py_DECREF(fields);
            return NULL;
        }
        PyList_SET_ITEM(fields, (Py_ssize_t)i, both);
    }
    return fields;
}

const opf_field *Response_field(const Response *self, const char *name)
{
    const opf_result *result = Response_result(self);
    size_t len = strlen(name);
    for (uint32_t i = 0; i < result->n_fields; i++) {
        const opf_field *field = &result->fields[i];
        if (field->name_len == len &&
            PyOS_strnicmp(result->head + field->name_at, name, (Py_ssize_t)len) == 0)
            return field;
    }
    return NULL;
}

/* The number in Content-Length; 0 without one. */
static size_t announced_length(const Response *self)
{
    const opf_result *result = Response_result(self);
    size_t length = 0;
    const opf_field *field = Response_field(self, "content-length");
    for (uint32_t i = 0; field && i < field->value_len; i++) {
        char digit = result->head[field->value_at + i];
        if (digit < '0' || digit > '9' || length > SIZE_MAX / 10 - 1)
            return 0;
        length = length * 10 + (size_t)(digit - '0');
    }
    return length;
}

size_t Response_length(const Response *self)
{
    const opf_result *result = Response_result(self);
    if (self->lost) /* but somebody may have given it a body */
        return self->content && PyBytes_Check(self->content)
                   ? (size_t)PyBytes_GET_SIZE(self->content)
                   : 0;
    return self->streamed ? announced_length(self) : result->body_len;
}

PyObject *Response_header(const Response *self, const char *name)
{
    const opf_result *result = Response_result(self);
    const opf_field *field = Response_field(self, name);
    return field ? latin1(result->head + field->value_at, field->value_len) : NULL;
}

/* What was asked */

PyObject *Response_get_url(Response *self)
{
    if (self->url)
        return Py_NewRef(self->url);
    return Session_build_url(self->base_url, self->path);
}

static PyObject *get_url(Response *self, void *Py_UNUSED(closure))
{
    return Response_get_url(self);
}

static int set_url(Response *self, PyObject *value, void *Py_UNUSED(closure))
{
    Py_XSETREF(self->url, Py_XNewRef(value));
    return 0;
}

static PyObject *request_body(Response *self)
{
    size_t len;
    const char *body = opf_exchange_request_body(self->exchange, &len);
    if (!len)
        Py_RETURN_NONE;
    if (self->body_is_text)
        return PyUnicode_DecodeUTF8(body, (Py_ssize_t)len, "replace");
    return PyBytes_FromStringAndSize(body, (Py_ssize_t)len);
}

PyObject *Response_make_request(Response *self, int helper)
{
    if (self->request)
        return Py_NewRef(self->request);
    PyObject *make = state_helper(self->state, helper);
    PyObject *url = make ? Response_get_url(self) : NULL;
    if (!url)
        return NULL;
    size_t len;
    const char *head = opf_exchange_request_head(self->exchange, &len);
    PyObject *head_bytes = PyBytes_FromStringAndSize(head, (Py_ssize_t)len);
    PyObject *body = head_bytes ? request_body(self) : NULL;
    if (body)
        self->request = PyObject_CallFunctionObjArgs(make, url, head_bytes, body, NULL);
    Py_XDECREF(body);
    Py_XDECREF(head_bytes);
    Py_DECREF(url);
    return Py_XNewRef(self->request);
}

/* Streams */

#define READ_SIZE (64 << 10)

PyObject *Response_read_some(Response *self, size_t size)
{
    PyObject *bytes =
        PyBytes_FromStringAndSize(NULL, size < READ_SIZE ? (Py_ssize_t)size : READ_SIZE);
    if (!bytes)
        return NULL;
    for (;;) {
        size_t n = opf_exchange_read(self->exchange, PyBytes_AS_STRING(bytes),
                                     (size_t)PyBytes_GET_SIZE(bytes));
        const opf_result *result = Response_result(self);
        if (n || (result->failure == OPF_FAIL_NONE && result->phase == OPF_PHASE_DONE)) {
            _PyBytes_Resize(&bytes, (Py_ssize_t)n);
            return bytes;
        }
        if (result->failure != OPF_FAIL_NONE) {
            PyObject *error = Session_failure_of(self->session, self);
            if (error)
                Response_raise(error);
            Py_XDECREF(error);
            break;
        }
        self->done = false;
        if (Engine_check(self->pool->engine) != 0 || Engine_wait(self->pool->engine, self) != 0)
            break;
    }
    Py_DECREF(bytes);
    return NULL;
}

/* Up to size bytes of a stream; fewer only at its end. */
PyObject *Response_read_whole(Response *self, size_t size)
{
    PyObject *all = PyByteArray_FromStringAndSize(NULL, 0);
    while (all && (size_t)PyByteArray_GET_SIZE(all) < size) {
        PyObject *piece = Response_read_some(self, size - (size_t)PyByteArray_GET_SIZE(all));
        Py_ssize_t n = piece ? PyBytes_GET_SIZE(piece) : 0;
        PyObject *grown = piece ? PySequence_InPlaceConcat(all, piece) : NULL;
        Py_XDECREF(piece);
        Py_SETREF(all, grown);
        if (!n)
            break;
    }
    PyObject *bytes = all ? PyBytes_FromObject(all) : NULL;
    Py_XDECREF(all);
    return bytes;
}

/* The encoding that the usual Content-Types stand for; NULL: it takes a closer look. */
const char *Response_plain_encoding(const Response *self)
{
    static const struct {
        const char *type;
        const char *encoding;
    } usual[] = {
        {"application/json", "utf-8"},
        {"application/json; charset=utf-8", "utf-8"},
        {"text/plain; charset=utf-8", "utf-8"},
        {"text/html; charset=utf-8", "utf-8"},
    };
    const opf_result *result = Response_result(self);
    const opf_field *field = Response_field(self, "content-type");
    if (!field)
        return NULL;
    for (size_t i = 0; i < sizeof(usual) / sizeof(*usual); i++)
        if (field->value_len == strlen(usual[i].type) &&
            memcmp(result->head + field->value_at, usual[i].type, field->value_len) == 0)
            return usual[i].encoding;
    return NULL;
}

/* A body of a known encoding that is read already, as a str. */
PyObject *Response_decode_utf8(Response *self)
{
    const opf_result *result = Response_result(self);
    return PyUnicode_DecodeUTF8((const char *)result->body, (Py_ssize_t)result->body_len,
                                "replace");
}

PyObject *Response_take_content(Response *self)
{
    const opf_result *result = Response_result(self);
    if (!self->content)
        self->content = opf_exchange_take_body(self->exchange);
    if (!self->content)
        self->content =
            PyBytes_FromStringAndSize((const char *)result->body, (Py_ssize_t)result->body_len);
    return Py_XNewRef(self->content);
}

/* What came of it */

static PyObject *get_lag(Response *self, void *Py_UNUSED(closure))
{
    const opf_result *result = Response_result(self);
    return PyFloat_FromDouble((double)(result->seen_ns - result->end_ns) / 1e9);
}

static PyObject *get_transport(Response *self, void *Py_UNUSED(closure))
{
    return PyUnicode_FromString(Response_result(self)->via_curl ? "libcurl" : "opscore_fast");
}

static PyObject *get_queue_time(Response *self, void *Py_UNUSED(closure))
{
    return PyFloat_FromDouble((double)Response_result(self)->queue_ns / 1e9);
}

static PyObject *get_http_version(Response *self, void *Py_UNUSED(closure))
{
    const opf_result *result = Response_result(self);
    if (!result->status)
        Py_RETURN_NONE;
    return result->http2 ? PyUnicode_FromString("2")
                         : PyUnicode_FromFormat("1.%d", result->http_minor);
}

static PyObject *get_trailers(Response *self, void *Py_UNUSED(closure))
{
    const opf_result *result = Response_result(self);
    PyObject *trailers = PyList_New((Py_ssize_t)result->n_trailers);
    for (uint32_t i = 0; trailers && i < result->n_trailers; i++) {
        PyObject *both = pair(result->head, &result->fields[result->n_fields + i]);
        if (!both)
            Py_CLEAR(trailers);
        else
            PyList_SET_ITEM(trailers, (Py_ssize_t)i, both);
    }
    return trailers;
}

static PyObject *get_history(Response *self, void *Py_UNUSED(closure))
{
    if (!self->history)
        self->history = PyList_New(0);
    return Py_XNewRef(self->history);
}

static int set_history(Response *self, PyObject *value, void *Py_UNUSED(closure))
{
    Py_XSETREF(self->history, Py_XNewRef(value));
    return 0;
}

PyObject *Response_or_none(PyObject *value)
{
    return Py_NewRef(value ? value : Py_None);
}

static PyObject *get_error(Response *self, void *Py_UNUSED(closure))
{
    return Response_or_none(self->error);
}

static int set_error(Response *self, PyObject *value, void *Py_UNUSED(closure))
{
    Py_XSETREF(self->error, value && value != Py_None ? Py_NewRef(value) : NULL);
    return 0;
}

PyObject *Response_raise(PyObject *exception)
{
    PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
    return NULL;
}

/* The type */

int Response_traverse(Response *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->pool);
    Py_VISIT(self->session);
    Py_VISIT(self->method);
    Py_VISIT(self->path);
    Py_VISIT(self->base_url);
    Py_VISIT(self->name);
    Py_VISIT(self->url);
    Py_VISIT(self->context);
    Py_VISIT(self->history);
    Py_VISIT(self->error);
    Py_VISIT(self->content);
    Py_VISIT(self->encoding);
    Py_VISIT(self->headers);
    Py_VISIT(self->request);
    Py_VISIT(self->reason);
    Py_VISIT(self->manual_result);
    Py_VISIT(self->meta);
    Py_VISIT(self->dict);
    Py_VISIT(self->pieces);
    return 0;
}

/* Breaks cycles; what the other functions rely on (session, pool, path) stays until the end. */
int Response_clear(Response *self)
{
    if (self->content) /* the engine's result points into it: it is not to be asked for again */
        Py_SETREF(self->content, Py_NewRef(Py_None));
    Py_CLEAR(self->url);
    Py_CLEAR(self->context);
    Py_CLEAR(self->history);
    Py_CLEAR(self->error);
    Py_CLEAR(self->encoding);
    Py_CLEAR(self->headers);
    Py_CLEAR(self->request);
    Py_CLEAR(self->reason);
    Py_CLEAR(self->manual_result);
    Py_CLEAR(self->meta);
    Py_CLEAR(self->dict);
    Py_CLEAR(self->pieces);
    return 0;
}

void Response_dealloc(Response *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (self->weakrefs)
        PyObject_ClearWeakRefs((PyObject *)self);
    Response_clear(self);
    if (self->pool)
        Engine_forget(self->pool->engine, self);
    opf_exchange_free(self->exchange);
    Py_XDECREF(self->method);
    Py_XDECREF(self->path);
    Py_XDECREF(self->base_url);
    Py_XDECREF(self->name);
    Py_XDECREF(self->body);
    Py_XDECREF(self->proxy);
    Py_XDECREF(self->content);
    Py_XDECREF(self->session);
    Py_XDECREF(self->pool);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyGetSetDef Response_getset[] = {
    {"url", (getter)get_url, (setter)set_url, "str: the URL of the request", NULL},
    {"history", (getter)get_history, (setter)set_history,
     "list: the redirecting responses that led to this one, oldest first", NULL},
    {"lag", (getter)get_lag, NULL,
     "float: seconds from the arrival of the response until it was seen; no part of the response "
     "time",
     NULL},
    {"transport", (getter)get_transport, NULL,
     "str: what carried the last request: 'opscore_fast', or 'libcurl' (proxies, Digest ...)",
     NULL},
    {"queue_time", (getter)get_queue_time, NULL,
     "float: seconds that the request waited for a connection, or for a stream of one (HTTP/2); no "
     "part of the response time",
     NULL},
    {"http_version", (getter)get_http_version, NULL,
     "str: the version of HTTP that the response came in: '2', '1.1' or '1.0'; None: none came",
     NULL},
    {"trailers", (getter)get_trailers, NULL,
     "list: (name, value) of each field behind the body, in their order", NULL},
    {"error", (getter)get_error, (setter)set_error,
     "Exception: what makes the request a failure, or None", NULL},
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL, NULL},
    {NULL},
};

static PyMemberDef Response_members[] = {
    {"retries", T_INT, offsetof(Response, retries), READONLY,
     "int: times that the request was sent again (max_retries)"},
    {"__dictoffset__", T_PYSSIZET, offsetof(Response, dict), READONLY, NULL},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(Response, weakrefs), READONLY, NULL},
    {NULL},
};

static PyType_Slot Response_slots[] = {
    {Py_tp_doc, "What came of a request; made by a session only.\n\n"
                "Attributes that cost something are made when they are first read."},
    RESPONSE_SLOTS,
    {Py_tp_getset, Response_getset},
    {Py_tp_members, Response_members},
    {0, NULL},
};

static PyType_Spec Response_spec = {
    .name = "opscore_fast._core.Response",
    .basicsize = sizeof(Response),
    .flags = RESPONSE_FLAGS,
    .slots = Response_slots,
};

int Response_add(PyObject *module, State *state)
{
    PyTypeObject *type = add_type(module, &Response_spec, NULL);
    int ret = type && FastResponse_add(module, state, type) == 0 &&
                      HttpResponse_add(module, state, type) == 0
                  ? 0
                  : -1;
    Py_XDECREF(type);
    return ret;
}
