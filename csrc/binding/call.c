#include "binding/call.h"

#include <limits.h>

void Call_fini(Call *call)
{
    Py_XDECREF(call->pool);
    Py_XDECREF(call->method);
    Py_XDECREF(call->renamed);
    Py_XDECREF(call->extra);
    Py_XDECREF(call->login);
    Py_XDECREF(call->multipart);
    Py_XDECREF(call->url);
    Py_XDECREF(call->location);
}

static int set_flag(bool *flag, PyObject *value)
{
    int truth = PyObject_IsTrue(value);
    *flag = truth == 1;
    return truth < 0 ? -1 : 0;
}

static int set_count(int *count, PyObject *value)
{
    if (value == Py_None)
        return 0;
    long n = PyLong_AsLong(value);
    if (n == -1 && PyErr_Occurred())
        return -1;
    *count = n < 0 ? 0 : n > INT_MAX ? INT_MAX : (int)n;
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
int Call_set_keyword(Session *self, Call *call, PyObject *key, PyObject *value)
{
    PyObject *const *names = self->state->names;
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
        return set_count(&call->max_redirects, value);
    else if (key == names[NAME_max_retries])
        return set_count(&call->max_retries, value);
    else if (key == names[NAME_stream])
        return set_flag(&call->stream, value);
    else if (key == names[NAME_files])
        call->files = value;
    else
        return set_extra(call, key, value);
    return 0;
}

int Call_set_keywords(Session *self, Call *call, PyObject *const *values, PyObject *keys)
{
    Py_ssize_t n = keys ? PyTuple_GET_SIZE(keys) : 0;
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *key = Py_NewRef(PyTuple_GET_ITEM(keys, i));
        PyUnicode_InternInPlace(&key);
        int ret = Call_set_keyword(self, call, key, values[i]);
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

void Call_rename(Call *call, const Session *session)
{
    PyObject *name = session->request_name;
    Py_XSETREF(call->renamed, name && name != Py_None ? Py_NewRef(name) : NULL);
    call->name = call->renamed;
}

/* Encodes files, if there are any: once, since they may be read only once. */
static int encode_files(Session *self, Call *call)
{
    int any = call->files ? PyObject_IsTrue(call->files) : 0;
    if (any <= 0)
        return any;
    PyObject *helper = state_helper(self->state, HELPER_encode_files);
    PyObject *data = call->data ? call->data : Py_None;
    if (helper && !call->data && call->json)
        PyErr_SetString(PyExc_ValueError, "json= and files= can't go together: a body is one or "
                                          "the other; form fields go into data=");
    else if (helper)
        call->multipart = PyObject_CallFunctionObjArgs(helper, call->files, data, NULL);
    return call->multipart ? 0 : -1;
}

/* Finds out what credentials of another kind than a pair stand for. */
static int find_login(Session *self, Call *call)
{
    if (!call->auth || PyTuple_CheckExact(call->auth))
        return 0;
    PyObject *helper = state_helper(self->state, HELPER_login);
    call->login = helper ? PyObject_CallOneArg(helper, call->auth) : NULL;
    call->auth = call->login;
    return call->login ? 0 : -1;
}

PyObject *Call_refuse_missing(const char *what)
{
    PyErr_Format(PyExc_TypeError, "missing argument: '%s'", what);
    return NULL;
}

PyObject *Call_refuse_positional(Py_ssize_t most, Py_ssize_t given)
{
    PyErr_Format(PyExc_TypeError, "%zd positional arguments at most, %zd were given", most, given);
    return NULL;
}

PyObject *Call_by_own_request(Session *self, const Call *call, PyObject *kwargs,
                              PyObject *const *values, PyObject *keys)
{
    PyObject *const *names = self->state->names;
    PyObject *positional = NULL, *function = NULL, *result = NULL;
    if (!kwargs)
        return NULL;
    for (Py_ssize_t i = 0; keys && i < PyTuple_GET_SIZE(keys); i++)
        if (PyTuple_GET_ITEM(keys, i) != names[NAME_url] &&
            PyDict_SetItem(kwargs, PyTuple_GET_ITEM(keys, i), values[i]) != 0)
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

int Call_check(const Call *call)
{
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

/* Puts the call's arguments in order: None is the same as absent, a rename_request names those
 * without a name. */
int Call_settle(Session *self, Call *call)
{
    call->name = none_to_null(call->name);
    call->json = none_to_null(call->json);
    call->headers = none_to_null(call->headers);
    call->params = none_to_null(call->params);
    call->auth = none_to_null(call->auth);
    call->context = none_to_null(call->context);
    call->data = none_to_null(call->data);
    call->files = none_to_null(call->files);
    int named = call->name ? PyObject_IsTrue(call->name) : 0;
    int with_data = call->data ? PyObject_IsTrue(call->data) : 0;
    if (named < 0 || with_data < 0)
        return -1;
    if (!with_data)
        call->data = NULL;
    if (!named)
        Call_rename(call, self);
    if (Call_check(call) != 0)
        return -1;
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
    return find_login(self, call) == 0 ? encode_files(self, call) : -1;
}
