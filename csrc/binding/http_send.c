/* What requests has put together, on its way to the engine; see opscore_fast.http_session. */
#include "binding/http_session.h"
#include "binding/perform.h"
#include "binding/route.h"

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
    Parcel parcel;
    Parcel_init(&parcel);
    parcel.pieces = call->pieces;
    parcel.stream = base->stream;
    parcel.timeouts = &call->timeouts;
    parcel.proxy = call->proxy;
    parcel.auth = call->auth;
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
         HttpSession_find_loss(self, response) != 0))
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
