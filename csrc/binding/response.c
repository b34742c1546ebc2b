#include "binding/response.h"

#include <stdbool.h>
#include <string.h>
#include <structmember.h>

#include "binding/pool.h"
#include "binding/session.h"

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

static const opf_result *result_of(const Response *self)
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
    const opf_result *result = result_of(self);
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

static const opf_field *find_field(const opf_result *result, const char *name)
{
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
static size_t announced_length(const opf_result *result)
{
    size_t length = 0;
    const opf_field *field = find_field(result, "content-length");
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
    const opf_result *result = result_of(self);
    if (self->lost)
        return 0;
    return self->streamed ? announced_length(result) : result->body_len;
}

PyObject *Response_header(const Response *self, const char *name)
{
    const opf_result *result = result_of(self);
    const opf_field *field = find_field(result, name);
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

static PyObject *get_request(Response *self, void *Py_UNUSED(closure))
{
    if (self->request)
        return Py_NewRef(self->request);
    PyObject *make = state_helper(self->state, HELPER_make_request);
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

/* What came */

static PyObject *get_status_code(Response *self, void *Py_UNUSED(closure))
{
    return PyLong_FromLong(result_of(self)->status);
}

static PyObject *get_ok(Response *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(result_of(self)->status < 400);
}

static PyObject *get_headers(Response *self, void *Py_UNUSED(closure))
{
    if (self->headers)
        return Py_NewRef(self->headers);
    if (!result_of(self)->status)
        Py_RETURN_NONE;
    PyObject *make = state_helper(self->state, HELPER_make_headers);
    PyObject *fields = make ? Response_fields(self) : NULL;
    if (!fields)
        return NULL;
    self->headers = PyObject_CallOneArg(make, fields);
    Py_DECREF(fields);
    return Py_XNewRef(self->headers);
}

/* Streams */

#define READ_SIZE (64 << 10)

/* The next bytes of a stream, up to READ_SIZE, waited for if need be: empty at its end, NULL with
 * an exception. */
static PyObject *read_stream(Response *self, size_t size)
{
    PyObject *bytes =
        PyBytes_FromStringAndSize(NULL, size < READ_SIZE ? (Py_ssize_t)size : READ_SIZE);
    if (!bytes)
        return NULL;
    for (;;) {
        size_t n = opf_exchange_read(self->exchange, PyBytes_AS_STRING(bytes),
                                     (size_t)PyBytes_GET_SIZE(bytes));
        const opf_result *result = result_of(self);
        if (n || (result->failure == OPF_FAIL_NONE && result->phase == OPF_PHASE_DONE)) {
            _PyBytes_Resize(&bytes, (Py_ssize_t)n);
            return bytes;
        }
        if (result->failure != OPF_FAIL_NONE) {
            PyObject *error = Session_failure_of(self->session, self);
            if (error)
                PyErr_SetObject((PyObject *)Py_TYPE(error), error);
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
static PyObject *read_whole(Response *self, size_t size)
{
    PyObject *all = PyByteArray_FromStringAndSize(NULL, 0);
    while (all && (size_t)PyByteArray_GET_SIZE(all) < size) {
        PyObject *piece = read_stream(self, size - (size_t)PyByteArray_GET_SIZE(all));
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

static PyObject *get_content(Response *self, void *Py_UNUSED(closure));

static PyObject *Response_read(Response *self, PyObject *args)
{
    PyObject *given = Py_None;
    size_t size = SIZE_MAX;
    if (!PyArg_ParseTuple(args, "|O:read", &given))
        return NULL;
    if (given != Py_None) {
        Py_ssize_t n = PyNumber_AsSsize_t(given, PyExc_OverflowError);
        if (n == -1 && PyErr_Occurred())
            return NULL;
        if (n >= 0)
            size = (size_t)n;
    }
    if (self->streamed)
        return read_whole(self, size);
    PyObject *content = get_content(self, NULL);
    if (!content || content == Py_None)
        return content;
    size_t left = (size_t)PyBytes_GET_SIZE(content) - self->read_at;
    if (size > left)
        size = left;
    PyObject *piece =
        PyBytes_FromStringAndSize(PyBytes_AS_STRING(content) + self->read_at, (Py_ssize_t)size);
    if (piece)
        self->read_at += size;
    Py_DECREF(content);
    return piece;
}

/* The rest of a stream, decoded. */
static PyObject *stream_content(Response *self)
{
    PyObject *raw = read_whole(self, SIZE_MAX);
    PyObject *coding = raw ? Response_header(self, "content-encoding") : NULL;
    if (!coding)
        return raw && !PyErr_Occurred() ? raw : (Py_XDECREF(raw), NULL);
    PyObject *helper = state_helper(self->state, HELPER_decode_content);
    PyObject *decoded = helper ? PyObject_CallFunctionObjArgs(helper, raw, coding, NULL) : NULL;
    Py_DECREF(coding);
    Py_DECREF(raw);
    return decoded;
}

static PyObject *Response_iter_content(Response *self, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {"chunk_size", "decode_content", NULL};
    PyObject *size = NULL, *decode = Py_True;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|OO:iter_content", keywords, &size, &decode))
        return NULL;
    PyObject *helper = state_helper(self->state, HELPER_iter_content);
    PyObject *usual = size ? Py_NewRef(size) : PyLong_FromLong(1024);
    PyObject *pieces = helper && usual ? PyObject_CallFunctionObjArgs(helper, (PyObject *)self,
                                                                      usual, decode, NULL)
                                       : NULL;
    Py_XDECREF(usual);
    return pieces;
}

static PyObject *get_stream(Response *self, void *Py_UNUSED(closure))
{
    return Py_NewRef(self);
}

static PyObject *get_content(Response *self, void *Py_UNUSED(closure))
{
    if (self->content)
        return Py_NewRef(self->content);
    if (self->lost)
        Py_RETURN_NONE;
    if (self->streamed) {
        self->content = stream_content(self);
        return Py_XNewRef(self->content);
    }
    const opf_result *result = result_of(self);
    self->content = opf_exchange_take_body(self->exchange);
    if (!self->content)
        self->content =
            PyBytes_FromStringAndSize((const char *)result->body, (Py_ssize_t)result->body_len);
    return Py_XNewRef(self->content);
}

/* The encoding that the usual Content-Types stand for; NULL: it takes a closer look. */
static const char *plain_encoding(const opf_result *result)
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
    const opf_field *field = find_field(result, "content-type");
    if (!field)
        return NULL;
    for (size_t i = 0; i < sizeof(usual) / sizeof(*usual); i++)
        if (field->value_len == strlen(usual[i].type) &&
            memcmp(result->head + field->value_at, usual[i].type, field->value_len) == 0)
            return usual[i].encoding;
    return NULL;
}

static PyObject *get_text(Response *self, void *Py_UNUSED(closure))
{
    if (self->lost)
        Py_RETURN_NONE;
    const opf_result *result = result_of(self);
    if (!self->streamed && (!self->encoding || self->encoding == Py_None) &&
        plain_encoding(result)) {
        PyObject *text = PyUnicode_DecodeUTF8((const char *)result->body,
                                              (Py_ssize_t)result->body_len, "replace");
        if (text && !self->encoding)
            self->encoding = PyUnicode_FromString(plain_encoding(result));
        return text;
    }
    PyObject *decode = state_helper(self->state, HELPER_decode_text);
    return decode ? PyObject_CallOneArg(decode, (PyObject *)self) : NULL;
}

static PyObject *Response_json(Response *self, PyObject *Py_UNUSED(ignored))
{
    PyObject *loads = state_helper(self->state, HELPER_loads);
    PyObject *text = loads ? get_text(self, NULL) : NULL;
    PyObject *value = text ? PyObject_CallOneArg(loads, text) : NULL;
    Py_XDECREF(text);
    return value;
}

static PyObject *get_elapsed(Response *self, void *Py_UNUSED(closure))
{
    PyObject *timedelta = state_helper(self->state, HELPER_timedelta);
    if (!timedelta)
        return NULL;
    return PyObject_CallFunction(timedelta, "id", 0, (double)self->elapsed_ns / 1e9);
}

static PyObject *get_lag(Response *self, void *Py_UNUSED(closure))
{
    const opf_result *result = result_of(self);
    return PyFloat_FromDouble((double)(result->seen_ns - result->end_ns) / 1e9);
}

static PyObject *get_history(Response *self, void *Py_UNUSED(closure))
{
    if (!self->history)
        self->history = PyList_New(0);
    return Py_XNewRef(self->history);
}

static PyObject *get_or_none(PyObject *value)
{
    return Py_NewRef(value ? value : Py_None);
}

static PyObject *get_error(Response *self, void *Py_UNUSED(closure))
{
    return get_or_none(self->error);
}

static int set_error(Response *self, PyObject *value, void *Py_UNUSED(closure))
{
    Py_XSETREF(self->error, value && value != Py_None ? Py_NewRef(value) : NULL);
    return 0;
}

static PyObject *get_encoding(Response *self, void *Py_UNUSED(closure))
{
    return get_or_none(self->encoding);
}

static int set_encoding(Response *self, PyObject *value, void *Py_UNUSED(closure))
{
    Py_XSETREF(self->encoding, value && value != Py_None ? Py_NewRef(value) : NULL);
    return 0;
}

static PyObject *raise(PyObject *exception)
{
    PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
    return NULL;
}

static PyObject *Response_raise_for_status(Response *self, PyObject *Py_UNUSED(ignored))
{
    if (self->error)
        return raise(self->error);
    Py_RETURN_NONE;
}

static PyObject *raise_locust_error(Response *self, const char *text)
{
    PyObject *error = state_helper(self->state, HELPER_locust_error);
    if (error)
        PyErr_SetString(error, text);
    return NULL;
}

static PyObject *Response_no_verdict(Response *self, PyObject *Py_UNUSED(args))
{
    return raise_locust_error(
        self,
        "If you want to change the state of the request, you must pass catch_response=True. See "
        "http://docs.locust.io/en/stable/writing-a-locustfile.html#validating-responses");
}

static PyObject *Response_enter(Response *self, PyObject *Py_UNUSED(ignored))
{
    return Py_NewRef(self);
}

static PyObject *Response_exit(Response *Py_UNUSED(self), PyObject *Py_UNUSED(args))
{
    Py_RETURN_NONE;
}

static PyObject *Response_repr(Response *self)
{
    return PyUnicode_FromFormat("<%s [%d]>", _PyType_Name(Py_TYPE(self)), result_of(self)->status);
}

static int Response_traverse(Response *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->pool);
    Py_VISIT(self->session);
    Py_VISIT(self->method);
    Py_VISIT(self->path);
    Py_VISIT(self->name);
    Py_VISIT(self->context);
    Py_VISIT(self->history);
    Py_VISIT(self->error);
    Py_VISIT(self->headers);
    Py_VISIT(self->request);
    Py_VISIT(self->manual_result);
    Py_VISIT(self->meta);
    Py_VISIT(self->dict);
    return 0;
}

/* Breaks cycles; what the other functions rely on (session, pool, path) stays until the end. */
static int Response_clear(Response *self)
{
    Py_CLEAR(self->context);
    Py_CLEAR(self->history);
    Py_CLEAR(self->error);
    Py_CLEAR(self->headers);
    Py_CLEAR(self->request);
    Py_CLEAR(self->manual_result);
    Py_CLEAR(self->meta);
    Py_CLEAR(self->dict);
    return 0;
}

static void Response_dealloc(Response *self)
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
    Py_XDECREF(self->url);
    Py_XDECREF(self->body);
    Py_XDECREF(self->content);
    Py_XDECREF(self->encoding);
    Py_XDECREF(self->session);
    Py_XDECREF(self->pool);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyGetSetDef Response_getset[] = {
    {"status_code", (getter)get_status_code, NULL, "int: the status, 0 if none came", NULL},
    {"ok", (getter)get_ok, NULL, "bool: the status is below 400", NULL},
    {"content", (getter)get_content, NULL,
     "bytes: the body, decoded by its Content-Encoding; None if no whole response came", NULL},
    {"text", (getter)get_text, NULL, "str: the body, decoded by encoding; None as content", NULL},
    {"headers", (getter)get_headers, NULL,
     "geventhttpclient.header.Headers: of the response; None if no status came", NULL},
    {"url", (getter)get_url, NULL, "str: the URL of the request", NULL},
    {"request", (getter)get_request, NULL, "FastRequest: what was sent", NULL},
    {"elapsed", (getter)get_elapsed, NULL, "datetime.timedelta: the response time", NULL},
    {"history", (getter)get_history, NULL,
     "list: the redirecting responses that led to this one, oldest first", NULL},
    {"lag", (getter)get_lag, NULL,
     "float: seconds from the arrival of the response until it was seen; no part of the response "
     "time",
     NULL},
    {"error", (getter)get_error, (setter)set_error,
     "Exception: what makes the request a failure, or None", NULL},
    {"encoding", (getter)get_encoding, (setter)set_encoding,
     "str: encoding of text, found out when first needed unless it is set before", NULL},
    {"stream", (getter)get_stream, NULL, "what the body can be read from: the response itself",
     NULL},
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL, NULL},
    {NULL},
};

static PyMethodDef Response_methods[] = {
    {"json", (PyCFunction)Response_json, METH_NOARGS,
     "json($self, /)\n--\n\nThe value of the JSON text in the body. Raises json.JSONDecodeError."},
    {"read", (PyCFunction)Response_read, METH_VARARGS,
     "read($self, size=None, /)\n--\n\nUp to size bytes of the body, all that is left without "
     "one.\n\n"
     "Of a stream (stream=True) as they were sent, waited for; fewer only at its end."},
    {"iter_content", (PyCFunction)(void (*)(void))Response_iter_content,
     METH_VARARGS | METH_KEYWORDS,
     "iter_content($self, chunk_size=1024, decode_content=True)\n--\n\nThe body in pieces.\n\n"
     "Each is a str if it is UTF-8 and decode_content is true, else bytes, as Locust has it."},
    {"raise_for_status", (PyCFunction)Response_raise_for_status, METH_NOARGS,
     "raise_for_status($self, /)\n--\n\nRaise the error of a failed request."},
    {"success", (PyCFunction)Response_no_verdict, METH_NOARGS,
     "success($self, /)\n--\n\nRaises LocustError: only with catch_response=True."},
    {"failure", (PyCFunction)Response_no_verdict, METH_VARARGS,
     "failure($self, exc, /)\n--\n\nRaises LocustError: only with catch_response=True."},
    {"__enter__", (PyCFunction)Response_enter, METH_NOARGS, NULL},
    {"__exit__", (PyCFunction)Response_exit, METH_VARARGS, NULL},
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
    {Py_tp_dealloc, Response_dealloc},
    {Py_tp_traverse, Response_traverse},
    {Py_tp_clear, Response_clear},
    {Py_tp_repr, Response_repr},
    {Py_tp_getset, Response_getset},
    {Py_tp_methods, Response_methods},
    {Py_tp_members, Response_members},
    {0, NULL},
};

static PyType_Spec Response_spec = {
    .name = "opscore_fast._core.FastResponse",
    .basicsize = sizeof(Response),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = Response_slots,
};

/* ResponseContextManager: the verdict is the user's
 * (locust.contrib.fasthttp.ResponseContextManager) */

static PyObject *Catching_enter(Response *self, PyObject *Py_UNUSED(ignored))
{
    self->entered = true;
    return Py_NewRef(self);
}

static PyObject *refuse_verdict(Response *self, const char *call)
{
    char text[256];
    PyOS_snprintf(
        text, sizeof(text),
        "Tried to set status on a request that has not yet been made. Make sure you use a "
        "with-block, like this:\n\nwith self.client.request(..., catch_response=True) as "
        "response:\n    response.%s",
        call);
    return raise_locust_error(self, text);
}

static PyObject *Catching_success(Response *self, PyObject *Py_UNUSED(ignored))
{
    if (!self->entered)
        return refuse_verdict(self, "success()");
    Py_XSETREF(self->manual_result, Py_NewRef(Py_True));
    Py_RETURN_NONE;
}

static PyObject *Catching_failure(Response *self, PyObject *exc)
{
    if (!self->entered)
        return refuse_verdict(self, "failure(...)");
    PyObject *verdict;
    if (PyObject_IsInstance(exc, PyExc_Exception) == 1) {
        verdict = Py_NewRef(exc);
    } else {
        PyObject *type = state_helper(self->state, HELPER_catch_response_error);
        verdict = type ? PyObject_CallOneArg(type, exc) : NULL;
        if (!verdict)
            return NULL;
    }
    Py_XSETREF(self->manual_result, verdict);
    Py_RETURN_NONE;
}

static PyObject *Catching_raise_for_status(Response *self, PyObject *Py_UNUSED(ignored))
{
    if (!self->manual_result)
        return Response_raise_for_status(self, NULL);
    if (self->manual_result != Py_True)
        return raise(self->manual_result);
    Py_RETURN_NONE;
}

/* Whether an exception that left the with-block is Locust's ResponseError: -1 with an exception. */
static int is_response_error(Response *self, PyObject *value)
{
    PyObject *type = state_helper(self->state, HELPER_response_error);
    return type ? PyObject_IsInstance(value, type) : -1;
}

static PyObject *Catching_exit(Response *self, PyObject *args)
{
    PyObject *type, *value, *traceback, *exception = self->error;
    if (!PyArg_UnpackTuple(args, "__exit__", 3, 3, &type, &value, &traceback))
        return NULL;
    bool raised = type != Py_None;
    if (self->manual_result) {
        exception = self->manual_result == Py_True ? NULL : self->manual_result;
    } else if (raised) {
        int ours = is_response_error(self, value);
        if (ours < 0)
            return NULL;
        if (!ours)
            Py_RETURN_FALSE; /* not reported: Locust counts such a task as a user error */
        exception = value;
    }
    Py_XINCREF(exception);
    int ret = Session_report(self->session, self, exception);
    Py_XDECREF(exception);
    if (ret != 0)
        return NULL;
    return PyBool_FromLong(!(self->manual_result && raised));
}

static PyObject *get_request_meta(Response *self, void *Py_UNUSED(closure))
{
    if (!self->meta)
        self->meta = Session_meta(self->session, self, self->error);
    return Py_XNewRef(self->meta);
}

static int set_request_meta(Response *self, PyObject *value, void *Py_UNUSED(closure))
{
    if (!value || !PyDict_Check(value)) {
        PyErr_SetString(PyExc_TypeError, "request_meta is a dict");
        return -1;
    }
    Py_XSETREF(self->meta, Py_NewRef(value));
    return 0;
}

static PyObject *get_manual_result(Response *self, void *Py_UNUSED(closure))
{
    return get_or_none(self->manual_result);
}

static PyGetSetDef Catching_getset[] = {
    {"request_meta", (getter)get_request_meta, (setter)set_request_meta,
     "dict: the arguments of the request event; changes are reported", NULL},
    {"_manual_result", (getter)get_manual_result, NULL, "True, an exception or None", NULL},
    {NULL},
};

static PyMethodDef Catching_methods[] = {
    {"success", (PyCFunction)Catching_success, METH_NOARGS,
     "success($self, /)\n--\n\nReport the request as successful, whatever its status."},
    {"failure", (PyCFunction)Catching_failure, METH_O,
     "failure($self, exc, /)\n--\n\nReport the request as failed, with an exception or a text."},
    {"raise_for_status", (PyCFunction)Catching_raise_for_status, METH_NOARGS,
     "raise_for_status($self, /)\n--\n\nRaise what makes the request a failure."},
    {"__enter__", (PyCFunction)Catching_enter, METH_NOARGS, NULL},
    {"__exit__", (PyCFunction)Catching_exit, METH_VARARGS, NULL},
    {NULL},
};

static PyType_Slot Catching_slots[] = {
    {Py_tp_doc,
     "A response whose request is reported when its with-block ends (catch_response=True)."},
    {Py_tp_traverse, Response_traverse},
    {Py_tp_clear, Response_clear},
    {Py_tp_dealloc, Response_dealloc},
    {Py_tp_getset, Catching_getset},
    {Py_tp_methods, Catching_methods},
    {0, NULL},
};

static PyType_Spec Catching_spec = {
    .name = "opscore_fast._core.ResponseContextManager",
    .basicsize = sizeof(Response),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = Catching_slots,
};

int Response_add(PyObject *module, State *state)
{
    state->response_type = add_type(module, &Response_spec, NULL);
    if (!state->response_type)
        return -1;
    state->catching_type = add_type(module, &Catching_spec, (PyObject *)state->response_type);
    return state->catching_type ? 0 : -1;
}
