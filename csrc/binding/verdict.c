#include "binding/verdict.h"

#include "binding/session.h"

PyObject *raise_locust_error(State *state, const char *text)
{
    PyObject *error = state_helper(state, HELPER_locust_error);
    if (error)
        PyErr_SetString(error, text);
    return NULL;
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
    return raise_locust_error(self->state, text);
}

PyObject *Verdict_success(Response *self, PyObject *Py_UNUSED(ignored))
{
    if (!self->entered)
        return refuse_verdict(self, "success()");
    Py_XSETREF(self->manual_result, Py_NewRef(Py_True));
    Py_RETURN_NONE;
}

PyObject *Verdict_failure(Response *self, PyObject *exc)
{
    if (!self->entered)
        return refuse_verdict(self, "failure(...)");
    PyObject *verdict;
    int is_exception = PyObject_IsInstance(exc, PyExc_Exception);
    if (is_exception < 0)
        return NULL;
    if (is_exception) {
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

/* Whether an exception that left the with-block is Locust's ResponseError: -1 with an exception. */
static int is_response_error(Response *self, PyObject *value)
{
    PyObject *type = state_helper(self->state, HELPER_response_error);
    return type ? PyObject_IsInstance(value, type) : -1;
}

PyObject *Verdict_exit(Response *self, PyObject *args, DefaultVerdict *default_verdict)
{
    PyObject *type, *value, *traceback, *exception = NULL;
    if (!PyArg_UnpackTuple(args, "__exit__", 3, 3, &type, &value, &traceback))
        return NULL;
    bool raised = type != Py_None;
    if (self->manual_result) {
        exception = self->manual_result == Py_True ? NULL : Py_NewRef(self->manual_result);
    } else if (raised) {
        int ours = is_response_error(self, value);
        if (ours < 0)
            return NULL;
        if (!ours)
            Py_RETURN_FALSE; /* not reported: Locust counts such a task as a user error */
        exception = Py_NewRef(value);
    } else {
        exception = default_verdict(self);
        if (!exception && PyErr_Occurred())
            return NULL;
    }
    int ret = Session_report(self->session, self, exception);
    Py_XDECREF(exception);
    if (ret != 0)
        return NULL;
    return PyBool_FromLong(!(self->manual_result && raised));
}

PyObject *Verdict_get_meta(Response *self, void *Py_UNUSED(closure))
{
    if (!self->meta)
        self->meta = Session_meta(self->session, self, NULL);
    return Py_XNewRef(self->meta);
}

int Verdict_set_meta(Response *self, PyObject *value, void *Py_UNUSED(closure))
{
    if (!value || !PyDict_Check(value)) {
        PyErr_SetString(PyExc_TypeError, "request_meta is a dict");
        return -1;
    }
    Py_XSETREF(self->meta, Py_NewRef(value));
    return 0;
}

PyObject *Verdict_get_manual(Response *self, void *Py_UNUSED(closure))
{
    return Response_or_none(self->manual_result);
}
