#include "binding/cookie_memo.h"

#include <time.h>

int CookieMemo_traverse(CookieMemo *memo, visitproc visit, void *arg)
{
    Py_VISIT(memo->jar);
    Py_VISIT(memo->version); /* of a jar of the user's own, it may be anything */
    return 0;
}

void CookieMemo_clear(CookieMemo *memo)
{
    Py_CLEAR(memo->jar);
    Py_CLEAR(memo->version);
    Py_CLEAR(memo->base);
    Py_CLEAR(memo->header);
}

static bool holds(const CookieMemo *memo, State *state, PyObject *jar, PyObject *base)
{
    if (!memo->header || jar != memo->jar || base != memo->base)
        return false;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if ((double)now.tv_sec + 1 >= memo->until)
        return false;
    PyObject *version = PyObject_GetAttr(jar, state->names[NAME_version]);
    if (!version)
        PyErr_Clear();
    Py_XDECREF(version);
    return version && version == memo->version; /* that may be another one, or none, by now */
}

/* Asks the jar. base is NULL when the answer can't be remembered. */
static PyObject *look_up(CookieMemo *memo, Session *session, PyObject *jar, int helper,
                         PyObject *base, Response *response)
{
    PyObject *function = state_helper(session->state, helper);
    PyObject *text = function ? Response_get_url(response) : NULL;
    PyObject *found = text ? PyObject_CallFunctionObjArgs(function, jar, text, NULL) : NULL;
    Py_XDECREF(text);
    PyObject *header = NULL, *version;
    double until;
    if (found && PyArg_ParseTuple(found, "OOd", &header, &version, &until))
        Py_INCREF(header);
    else
        header = NULL;
    CookieMemo was = *memo;
    *memo = (CookieMemo){0};
    if (header && base && version != Py_None)
        *memo = (CookieMemo){.jar = Py_NewRef(jar),
                             .version = Py_NewRef(version),
                             .base = Py_NewRef(base),
                             .header = Py_NewRef(header),
                             .until = until};
    CookieMemo_clear(&was);
    Py_XDECREF(found);
    return header;
}

PyObject *CookieMemo_header(CookieMemo *memo, Session *session, PyObject *jar, int helper,
                            const Url *url, Response *response)
{
    PyObject *base = session->base_bytes && url->text == session->base_bytes ? url->text : NULL;
    PyObject *header;
    Py_INCREF(jar); /* the session may get another one meanwhile */
    if (base && holds(memo, session->state, jar, base))
        header = Py_NewRef(memo->header);
    else
        header = look_up(memo, session, jar, helper, base, response);
    Py_DECREF(jar);
    return header;
}
