/* The types FastResponse and ResponseContextManager, as in locust.contrib.fasthttp. */
#include "binding/session.h"
#include "binding/verdict.h"

static PyObject *get_request(Response *self, void *Py_UNUSED(closure))
{
    return Response_make_request(self, HELPER_make_request);
}

/* What came */

static PyObject *get_status_code(Response *self, void *Py_UNUSED(closure))
{
    return PyLong_FromLong(Response_result(self)->status);
}

static PyObject *get_ok(Response *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(Response_result(self)->status < 400);
}

static PyObject *get_headers(Response *self, void *Py_UNUSED(closure))
{
    if (self->headers)
        return Py_NewRef(self->headers);
    if (!Response_result(self)->status)
        Py_RETURN_NONE;
    PyObject *make = state_helper(self->state, HELPER_make_headers);
    PyObject *fields = make ? Response_fields(self) : NULL;
    if (!fields)
        return NULL;
    self->headers = PyObject_CallOneArg(make, fields);
    Py_DECREF(fields);
    return Py_XNewRef(self->headers);
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
        return Response_read_whole(self, size);
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
    PyObject *raw = Response_read_whole(self, SIZE_MAX);
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
    return Response_take_content(self);
}

static PyObject *get_text(Response *self, void *Py_UNUSED(closure))
{
    if (self->lost)
        Py_RETURN_NONE;
    const char *plain = self->streamed ? NULL : Response_plain_encoding(self);
    if (plain && (!self->encoding || self->encoding == Py_None)) {
        PyObject *text = Response_decode_utf8(self);
        if (text && !self->encoding)
            self->encoding = PyUnicode_FromString(plain);
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

static PyObject *get_encoding(Response *self, void *Py_UNUSED(closure))
{
    return Response_or_none(self->encoding);
}

static int set_encoding(Response *self, PyObject *value, void *Py_UNUSED(closure))
{
    Py_XSETREF(self->encoding, value && value != Py_None ? Py_NewRef(value) : NULL);
    return 0;
}

static PyObject *Response_raise_for_status(Response *self, PyObject *Py_UNUSED(ignored))
{
    if (self->error)
        return Response_raise(self->error);
    Py_RETURN_NONE;
}

static PyObject *Response_no_verdict(Response *self, PyObject *Py_UNUSED(args))
{
    return raise_locust_error(
        self->state,
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
    const opf_result *result = Response_result(self);
    return PyUnicode_FromFormat("<%s [%d]%s>", _PyType_Name(Py_TYPE(self)), result->status,
                                result->via_curl ? " by libcurl" : "");
}

static PyGetSetDef FastResponse_getset[] = {
    {"status_code", (getter)get_status_code, NULL, "int: the status, 0 if none came", NULL},
    {"ok", (getter)get_ok, NULL, "bool: the status is below 400", NULL},
    {"content", (getter)get_content, NULL,
     "bytes: the body, decoded by its Content-Encoding; None if no whole response came", NULL},
    {"text", (getter)get_text, NULL, "str: the body, decoded by encoding; None as content", NULL},
    {"headers", (getter)get_headers, NULL,
     "geventhttpclient.header.Headers: of the response; None if no status came", NULL},
    {"request", (getter)get_request, NULL, "FastRequest: what was sent", NULL},
    {"_request", (getter)get_request, NULL, "the same, as Locust's run_single_user reads it", NULL},
    {"elapsed", (getter)get_elapsed, NULL, "datetime.timedelta: the response time", NULL},
    {"encoding", (getter)get_encoding, (setter)set_encoding,
     "str: encoding of text, found out when first needed unless it is set before", NULL},
    {"stream", (getter)get_stream, NULL, "what the body can be read from: the response itself",
     NULL},
    {NULL},
};

static PyMethodDef FastResponse_methods[] = {
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

static PyType_Slot FastResponse_slots[] = {
    {Py_tp_doc, "What came of a request; made by a session only.\n\n"
                "Attributes that cost something are made when they are first read."},
    RESPONSE_SLOTS,
    {Py_tp_repr, Response_repr},
    {Py_tp_getset, FastResponse_getset},
    {Py_tp_methods, FastResponse_methods},
    {0, NULL},
};

static PyType_Spec FastResponse_spec = {
    .name = "opscore_fast._core.FastResponse",
    .basicsize = sizeof(Response),
    .flags = RESPONSE_FLAGS,
    .slots = FastResponse_slots,
};

/* ResponseContextManager: the verdict is the user's */

static PyObject *Catching_enter(Response *self, PyObject *Py_UNUSED(ignored))
{
    self->entered = true;
    return Py_NewRef(self);
}

static PyObject *Catching_raise_for_status(Response *self, PyObject *Py_UNUSED(ignored))
{
    if (!self->manual_result)
        return Response_raise_for_status(self, NULL);
    if (self->manual_result != Py_True)
        return Response_raise(self->manual_result);
    Py_RETURN_NONE;
}

static PyObject *error_of(Response *self)
{
    return Py_XNewRef(self->error);
}

static PyObject *Catching_exit(Response *self, PyObject *args)
{
    return Verdict_exit(self, args, error_of);
}

static PyObject *get_meta(Response *self, void *Py_UNUSED(closure))
{
    if (!self->meta)
        self->meta = Session_meta(self->session, self, self->error);
    return Py_XNewRef(self->meta);
}

static PyGetSetDef Catching_getset[] = {
    {"request_meta", (getter)get_meta, (setter)Verdict_set_meta,
     "dict: the arguments of the request event; changes are reported", NULL},
    {"_manual_result", (getter)Verdict_get_manual, NULL, "True, an exception or None", NULL},
    {NULL},
};

static PyMethodDef Catching_methods[] = {
    {"success", (PyCFunction)Verdict_success, METH_NOARGS,
     "success($self, /)\n--\n\nReport the request as successful, whatever its status."},
    {"failure", (PyCFunction)Verdict_failure, METH_O,
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
    RESPONSE_SLOTS,
    {Py_tp_getset, Catching_getset},
    {Py_tp_methods, Catching_methods},
    {0, NULL},
};

static PyType_Spec Catching_spec = {
    .name = "opscore_fast._core.ResponseContextManager",
    .basicsize = sizeof(Response),
    .flags = RESPONSE_FLAGS,
    .slots = Catching_slots,
};

int FastResponse_add(PyObject *module, State *state, PyTypeObject *base)
{
    state->response_type = add_type(module, &FastResponse_spec, (PyObject *)base);
    if (!state->response_type)
        return -1;
    state->catching_type = add_type(module, &Catching_spec, (PyObject *)state->response_type);
    return state->catching_type ? 0 : -1;
}
