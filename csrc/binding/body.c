#include "binding/body.h"

void Body_fini(Body *body)
{
    Py_XDECREF(body->owner);
    Py_XDECREF(body->content_type_owner);
}

int Body_write_json(State *state, PyObject *json, Body *body)
{
    if (json_encode(state, json, &body->data, &body->len) != 0)
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

/* Takes over a pair of bytes and Content-Type, as a helper has made it. */
static int take_pair(PyObject *both, Body *body)
{
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

/* Whatever is neither str nor bytes: dicts, files. */
static int other_body(State *state, PyObject *data, Body *body)
{
    PyObject *helper = state_helper(state, HELPER_encode_body);
    return take_pair(helper ? PyObject_CallOneArg(helper, data) : NULL, body);
}

int Body_make(State *state, const Call *call, bool has_content_type, Body *body)
{
    if (call->no_body)
        return 0;
    if (call->multipart) {
        body->own_type = true;
        return take_pair(Py_NewRef(call->multipart), body);
    }
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
    return other_body(state, call->data, body);
}
