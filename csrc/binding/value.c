#include "binding/value.h"

#include <string.h>

static int int_from_object(PyObject *object, opf_value *value)
{
    int overflow;
    long long i = PyLong_AsLongLongAndOverflow(object, &overflow);
    if (i == -1 && PyErr_Occurred())
        return -1;
    if (overflow) {
        PyErr_SetString(PyExc_ValueError, "an int of more than 64 bits can't be an agent's value");
        return -1;
    }
    *value = (opf_value){.kind = OPF_INT, .i = i};
    return 0;
}

static int text_from_object(PyObject *object, opf_value *value)
{
    Py_ssize_t len;
    const char *text = PyUnicode_AsUTF8AndSize(object, &len);
    if (!text)
        return -1;
    if ((size_t)len > UINT32_MAX) {
        PyErr_SetString(PyExc_ValueError, "a str of 4 GiB and more can't be an agent's value");
        return -1;
    }
    *value = (opf_value){.kind = OPF_TEXT, .len = (uint32_t)len, .s = text};
    return 0;
}

int value_from_object(PyObject *object, opf_value *value)
{
    if (object == Py_Ellipsis)
        *value = (opf_value){.kind = OPF_UNSET};
    else if (object == Py_None)
        *value = (opf_value){.kind = OPF_NONE};
    else if (PyBool_Check(object))
        *value = (opf_value){.kind = OPF_BOOL, .b = object == Py_True};
    else if (PyLong_Check(object))
        return int_from_object(object, value);
    else if (PyFloat_Check(object))
        *value = (opf_value){.kind = OPF_FLOAT, .f = PyFloat_AS_DOUBLE(object)};
    else if (PyUnicode_Check(object))
        return text_from_object(object, value);
    else {
        PyErr_Format(PyExc_TypeError,
                     "an agent's value is None, bool, int, float or str, not %.200s",
                     Py_TYPE(object)->tp_name);
        return -1;
    }
    return 0;
}

PyObject *text_as_object(const char *text, size_t len)
{
    if (!text)
        Py_RETURN_NONE;
    return PyUnicode_DecodeUTF8(text, (Py_ssize_t)len, "replace");
}

static PyObject *json_as_object(State *state, const opf_value *value)
{
    PyObject *loads = state_helper(state, HELPER_loads);
    PyObject *text = loads ? text_as_object(value->s, value->len) : NULL;
    PyObject *object = text ? PyObject_CallOneArg(loads, text) : NULL;
    Py_XDECREF(text);
    /* nested deeper than the caller's stack allows, or with an int of more digits than int() takes
     */
    if (text && !object &&
        (PyErr_ExceptionMatches(PyExc_ValueError) ||
         PyErr_ExceptionMatches(PyExc_RecursionError))) {
        PyErr_Clear();
        object = Py_NewRef(Py_Ellipsis);
    }
    return object;
}

PyObject *value_as_object(State *state, const opf_value *value)
{
    switch ((opf_kind)value->kind) {
    case OPF_UNSET:
        return Py_NewRef(Py_Ellipsis);
    case OPF_NONE:
        Py_RETURN_NONE;
    case OPF_BOOL:
        return PyBool_FromLong(value->b);
    case OPF_INT:
        return PyLong_FromLongLong(value->i);
    case OPF_FLOAT:
        return PyFloat_FromDouble(value->f);
    case OPF_TEXT:
        return text_as_object(value->s ? value->s : "", value->len);
    case OPF_JSON:
        return json_as_object(state, value);
    }
    return Py_NewRef(Py_Ellipsis);
}
