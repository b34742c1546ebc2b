/* The type HttpResponse: the C part of what HttpUser's requests bring. The rest is
 * requests.Response, from which the Python class is derived as well. */
#include "binding/session.h"
#include "binding/verdict.h"

#include <structmember.h>

static PyObject *get_request(Response *self, void *Py_UNUSED(closure))
{
    return Response_make_request(self, HELPER_prepared_request);
}

static int set_request(Response *self, PyObject *value, void *Py_UNUSED(closure))
{
    Py_XSETREF(self->request, Py_XNewRef(value));
    return 0;
}

static PyObject *get_url(Response *self, void *Py_UNUSED(closure))
{
    return Response_get_url(self);
}

/* What was asked for stays what it was. */
static int set_url(Response *self, PyObject *value, void *Py_UNUSED(closure))
{
    PyObject *request = get_request(self, NULL);
    if (!request)
        return -1;
    Py_DECREF(request);
    Py_XSETREF(self->url, Py_XNewRef(value));
    return 0;
}

/* What came */

static int status_of(const Response *self)
{
    if (self->forced_status)
        return self->forced_status;
    return self->lost ? 0 : Response_result(self)->status;
}

static PyObject *get_status_code(Response *self, void *Py_UNUSED(closure))
{
    return PyLong_FromLong(status_of(self));
}

static int set_status_code(Response *self, PyObject *value, void *Py_UNUSED(closure))
{
    long status = value ? PyLong_AsLong(value) : 0;
    if (status == -1 && PyErr_Occurred())
        return -1;
    self->forced_status = status > 0 && status < 1000 ? (int)status : 0;
    return 0;
}

static PyObject *make_headers(Response *self)
{
    PyObject *make = state_helper(self->state, HELPER_response_headers);
    PyObject *fields = make ? (self->lost ? PyList_New(0) : Response_fields(self)) : NULL;
    PyObject *headers = fields ? PyObject_CallOneArg(make, fields) : NULL;
    Py_XDECREF(fields);
    return headers;
}

static PyObject *get_headers(Response *self, void *Py_UNUSED(closure))
{
    if (!self->headers)
        self->headers = make_headers(self);
    return Py_XNewRef(self->headers);
}

static int set_headers(Response *self, PyObject *value, void *Py_UNUSED(closure))
{
    Py_XSETREF(self->headers, Py_XNewRef(value));
    return 0;
}

static PyObject *get_reason(Response *self, void *Py_UNUSED(closure))
{
    const opf_result *result = Response_result(self);
    if (self->reason || self->lost)
        return Response_or_none(self->reason);
    return PyUnicode_DecodeLatin1(result->head, (Py_ssize_t)result->reason_len, NULL);
}

static int set_reason(Response *self, PyObject *value, void *Py_UNUSED(closure))
{
    Py_XSETREF(self->reason, Py_XNewRef(value));
    return 0;
}

static PyObject *get_encoding(Response *self, void *Py_UNUSED(closure))
{
    if (self->encoding)
        return Py_NewRef(self->encoding);
    if (self->lost)
        Py_RETURN_NONE;
    const char *plain = Response_plain_encoding(self);
    if (plain) {
        self->encoding = PyUnicode_FromString(plain);
    } else {
        PyObject *helper = state_helper(self->state, HELPER_encoding_from_headers);
        PyObject *headers = helper ? make_headers(self) : NULL; /* nobody has changed these */
        self->encoding = headers ? PyObject_CallOneArg(helper, headers) : NULL;
        Py_XDECREF(headers);
    }
    return Py_XNewRef(self->encoding);
}

static int set_encoding(Response *self, PyObject *value, void *Py_UNUSED(closure))
{
    Py_XSETREF(self->encoding, value ? Py_NewRef(value) : NULL);
    return 0;
}

/* Does by requests' own code what is rare. */
static PyObject *by_requests(Response *self, int helper)
{
    PyObject *function = state_helper(self->state, helper);
    return function ? PyObject_CallOneArg(function, (PyObject *)self) : NULL;
}

/* What requests.Response keeps: False for a body that nobody has read yet. */
static PyObject *get_kept_content(Response *self, void *Py_UNUSED(closure))
{
    if (self->content)
        return Py_NewRef(self->content);
    if (self->lost)
        Py_RETURN_NONE;
    if (self->streamed)
        Py_RETURN_FALSE;
    return Response_take_content(self);
}

static int set_kept_content(Response *self, PyObject *value, void *Py_UNUSED(closure))
{
    if (!value) { /* it holds what would be asked for again */
        PyErr_SetString(PyExc_AttributeError, "_content can't be deleted");
        return -1;
    }
    Py_XSETREF(self->content, Py_NewRef(value));
    return 0;
}

static PyObject *get_consumed(Response *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(self->consumed || !self->streamed);
}

static int set_consumed(Response *self, PyObject *value, void *Py_UNUSED(closure))
{
    int consumed = value ? PyObject_IsTrue(value) : 0;
    if (consumed < 0)
        return -1;
    self->consumed = consumed;
    return 0;
}

static PyObject *get_content(Response *self, void *Py_UNUSED(closure))
{
    if (self->streamed && !self->lost)
        return by_requests(self, HELPER_http_content);
    return get_kept_content(self, NULL);
}

/* Whether the body can be decoded here: it is all there, and nobody has changed what it is. */
static bool is_plain_text(Response *self)
{
    return !self->streamed && !self->lost && !self->encoding && !self->content &&
           Response_plain_encoding(self);
}

static PyObject *get_text(Response *self, void *Py_UNUSED(closure))
{
    return is_plain_text(self) ? Response_decode_utf8(self) : by_requests(self, HELPER_http_text);
}

static PyObject *Response_json(Response *self, PyObject *args, PyObject *kwargs)
{
    if (is_plain_text(self) && !PyTuple_GET_SIZE(args) && !kwargs) {
        PyObject *loads = state_helper(self->state, HELPER_loads);
        PyObject *text = loads ? Response_decode_utf8(self) : NULL;
        PyObject *value = text ? PyObject_CallOneArg(loads, text) : NULL;
        Py_XDECREF(text);
        if (value || !PyErr_ExceptionMatches(PyExc_ValueError))
            return value;
        PyErr_Clear(); /* requests has an exception of its own for it */
    }
    PyObject *function = state_helper(self->state, HELPER_http_json);
    PyObject *all = function ? PyTuple_New(PyTuple_GET_SIZE(args) + 1) : NULL;
    if (!all)
        return NULL;
    PyTuple_SET_ITEM(all, 0, Py_NewRef(self));
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(args); i++)
        PyTuple_SET_ITEM(all, i + 1, Py_NewRef(PyTuple_GET_ITEM(args, i)));
    PyObject *value = PyObject_Call(function, all, kwargs);
    Py_DECREF(all);
    return value;
}

static PyObject *get_elapsed(Response *self, void *Py_UNUSED(closure))
{
    const opf_result *result = Response_result(self);
    PyObject *timedelta = state_helper(self->state, HELPER_timedelta);
    uint64_t end = result->head_ns ? result->head_ns : result->end_ns;
    return timedelta
               ? PyObject_CallFunction(timedelta, "id", 0, (double)(end - result->start_ns) / 1e9)
               : NULL;
}

/* requests.Session.send sets it by a clock that is read when the greenlet runs again; ours is the
 * time at which the response arrived. */
static int ignore_elapsed(Response *Py_UNUSED(self), PyObject *Py_UNUSED(value),
                          void *Py_UNUSED(closure))
{
    return 0;
}

static int parse_size(PyObject *args, size_t *size)
{
    PyObject *given = Py_None;
    *size = SIZE_MAX;
    if (!PyArg_ParseTuple(args, "|O:_read", &given))
        return -1;
    if (given == Py_None)
        return 0;
    Py_ssize_t n = PyNumber_AsSsize_t(given, PyExc_OverflowError);
    if (n == -1 && PyErr_Occurred())
        return -1;
    if (n >= 0)
        *size = (size_t)n;
    return 0;
}

static PyObject *Response_read(Response *self, PyObject *args)
{
    size_t size;
    if (parse_size(args, &size) != 0)
        return NULL;
    if (!self->streamed || self->lost)
        return PyBytes_FromStringAndSize(NULL, 0);
    return Response_read_whole(self, size);
}

static PyObject *Response_read1(Response *self, PyObject *args)
{
    size_t size;
    if (parse_size(args, &size) != 0)
        return NULL;
    if (!self->streamed || self->lost || !size)
        return PyBytes_FromStringAndSize(NULL, 0);
    return Response_read_some(self, size);
}

static PyObject *Response_get_fields(Response *self, PyObject *Py_UNUSED(ignored))
{
    return self->lost ? PyList_New(0) : Response_fields(self);
}

static PyObject *Response_cancel(Response *self, PyObject *Py_UNUSED(ignored))
{
    opf_exchange_cancel(self->exchange);
    if (self->greenlet) { /* another one is reading: it would wait for ever */
        Engine_on_done(self->exchange, self);
        opf_engine_wake(Response_engine(self)->engine);
    }
    Py_RETURN_NONE;
}

/* The verdict */

static bool is_bad(const Response *self)
{
    int status = status_of(self);
    return status >= 400 && status < 600;
}

PyObject *HttpResponse_verdict(Response *self)
{
    if (self->error)
        return Py_NewRef(self->error);
    if (!is_bad(self))
        return NULL;
    PyObject *helper = state_helper(self->state, HELPER_http_error);
    return helper ? PyObject_CallFunctionObjArgs(helper, (PyObject *)self, self->name, NULL) : NULL;
}

static PyObject *get_ok(Response *self, void *Py_UNUSED(closure))
{
    if (!self->manual_result && !self->error)
        return PyBool_FromLong(!is_bad(self));
    return by_requests(self, HELPER_http_ok);
}

static PyObject *Response_raise_for_status(Response *self, PyObject *Py_UNUSED(ignored))
{
    if (self->manual_result == Py_True)
        Py_RETURN_NONE;
    if (self->manual_result)
        return Response_raise(self->manual_result);
    if (self->error)
        return Response_raise(self->error);
    if (is_bad(self))
        return by_requests(self, HELPER_http_raise);
    Py_RETURN_NONE;
}

static PyObject *Response_enter(Response *self, PyObject *Py_UNUSED(ignored))
{
    self->entered = true;
    if (!self->catching)
        return raise_locust_error(self->state, "In order to use a with-block for requests, you "
                                               "must also pass catch_response=True");
    return Py_NewRef(self);
}

static PyObject *Response_exit(Response *self, PyObject *args)
{
    return Verdict_exit(self, args, HttpResponse_verdict);
}

/* Until the with-block ends, nothing is said of a failure. */
static PyObject *get_meta(Response *self, void *Py_UNUSED(closure))
{
    if (self->meta || self->catching)
        return Verdict_get_meta(self, NULL);
    PyObject *exception = HttpResponse_verdict(self);
    if (!exception && PyErr_Occurred())
        return NULL;
    self->meta = Session_meta(self->session, self, exception);
    Py_XDECREF(exception);
    return Py_XNewRef(self->meta);
}

/* The type */

static PyGetSetDef HttpResponse_getset[] = {
    {"status_code", (getter)get_status_code, (setter)set_status_code,
     "int: the status, 0 if no whole response came", NULL},
    {"ok", (getter)get_ok, NULL, "bool: the status is below 400", NULL},
    {"reason", (getter)get_reason, (setter)set_reason,
     "str: the reason phrase, None if no response came", NULL},
    {"content", (getter)get_content, NULL,
     "bytes: the body, decoded by its Content-Encoding; None if no whole response came", NULL},
    {"text", (getter)get_text, NULL, "str: the body, decoded by encoding", NULL},
    {"headers", (getter)get_headers, (setter)set_headers,
     "requests.structures.CaseInsensitiveDict: of the response", NULL},
    {"url", (getter)get_url, (setter)set_url, "str: of the response, behind redirects", NULL},
    {"request", (getter)get_request, (setter)set_request, "requests.PreparedRequest: what was sent",
     NULL},
    {"elapsed", (getter)get_elapsed, (setter)ignore_elapsed,
     "datetime.timedelta: the response time of this request alone", NULL},
    {"encoding", (getter)get_encoding, (setter)set_encoding,
     "str: encoding of text, by the headers unless it is set; None: by the body", NULL},
    {"_content", (getter)get_kept_content, (setter)set_kept_content, NULL, NULL},
    {"_content_consumed", (getter)get_consumed, (setter)set_consumed, NULL, NULL},
    {"request_meta", (getter)get_meta, (setter)Verdict_set_meta,
     "dict: the arguments of the request event; changes are reported", NULL},
    {"_manual_result", (getter)Verdict_get_manual, NULL, "True, an exception or None", NULL},
    {NULL},
};

static PyMethodDef HttpResponse_methods[] = {
    {"json", (PyCFunction)(void (*)(void))Response_json, METH_VARARGS | METH_KEYWORDS,
     "json($self, /, **kwargs)\n--\n\nThe value of the JSON text in the body.\n\n"
     "kwargs: as of json.loads. Raises requests.exceptions.JSONDecodeError."},
    {"_read", (PyCFunction)Response_read, METH_VARARGS,
     "_read($self, size=None, /)\n--\n\nUp to size bytes of a stream as they were sent."},
    {"_read1", (PyCFunction)Response_read1, METH_VARARGS,
     "_read1($self, size=None, /)\n--\n\nThe next bytes of a stream, as many as are there."},
    {"_fields", (PyCFunction)Response_get_fields, METH_NOARGS,
     "_fields($self, /)\n--\n\nThe headers, line by line."},
    {"_cancel", (PyCFunction)Response_cancel, METH_NOARGS,
     "_cancel($self, /)\n--\n\nClose the connection of a stream that is not at its end."},
    {"raise_for_status", (PyCFunction)Response_raise_for_status, METH_NOARGS,
     "raise_for_status($self, /)\n--\n\nRaise what makes the request a failure."},
    {"success", (PyCFunction)Verdict_success, METH_NOARGS,
     "success($self, /)\n--\n\nReport the request as successful, whatever its status."},
    {"failure", (PyCFunction)Verdict_failure, METH_O,
     "failure($self, exc, /)\n--\n\nReport the request as failed, with an exception or a text."},
    {"__enter__", (PyCFunction)Response_enter, METH_NOARGS, NULL},
    {"__exit__", (PyCFunction)Response_exit, METH_VARARGS, NULL},
    {NULL},
};

static PyMemberDef HttpResponse_members[] = {
    {"_session", T_OBJECT, offsetof(Response, session), READONLY, NULL},
    {"_unfollowed", T_BOOL, offsetof(Response, unfollowed), READONLY, NULL},
    {NULL},
};

static PyType_Slot HttpResponse_slots[] = {
    {Py_tp_doc, "The C part of opscore_fast.http_response.ResponseContextManager."},
    RESPONSE_SLOTS,
    {Py_tp_getset, HttpResponse_getset},
    {Py_tp_methods, HttpResponse_methods},
    {Py_tp_members, HttpResponse_members},
    {0, NULL},
};

static PyType_Spec HttpResponse_spec = {
    .name = "opscore_fast._core.HttpResponse",
    .basicsize = sizeof(Response),
    .flags = RESPONSE_FLAGS,
    .slots = HttpResponse_slots,
};

int HttpResponse_add(PyObject *module, State *state, PyTypeObject *base)
{
    state->http_response_type = add_type(module, &HttpResponse_spec, (PyObject *)base);
    return state->http_response_type ? 0 : -1;
}
