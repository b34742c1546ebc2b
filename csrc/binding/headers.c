#include "binding/headers.h"

#include <string.h>

bool Header_is(const opf_header *header, const char *name, size_t len)
{
    return header->name_len == len && PyOS_strnicmp(header->name, name, (Py_ssize_t)len) == 0;
}

/* Adds a header, in the place of those of its name unless it is one more line of them. */
int Headers_put(Headers *headers, const char *name, size_t name_len, const char *value,
                size_t value_len, bool one_more)
{
    size_t at = headers->n;
    if (name_len > UINT32_MAX || value_len > UINT32_MAX) {
        PyErr_SetString(PyExc_ValueError, "header is too long");
        return -1;
    }
    for (size_t i = 0; !one_more && i < headers->n; i++) {
        if (Header_is(&headers->list[i], name, name_len)) {
            at = i;
            break;
        }
    }
    if (at == HEADERS_MAX) {
        PyErr_Format(PyExc_ValueError, "more than %d headers", HEADERS_MAX);
        return -1;
    }
    if (at == headers->n)
        headers->n++;
    headers->list[at] = (opf_header){.name = name,
                                     .value = value,
                                     .name_len = (uint32_t)name_len,
                                     .value_len = (uint32_t)value_len};
    return 0;
}

/* Holds an object for as long as the headers point into it: Python code that runs meanwhile may
 * drop it everywhere else. Takes over the reference. */
int Headers_hold(PyObject **keep, PyObject *object)
{
    int ret = -1;
    if (object && (*keep || (*keep = PyList_New(0))))
        ret = PyList_Append(*keep, object);
    Py_XDECREF(object);
    return ret;
}

/* The bytes of a header's name or value: they belong to the object, or to keep, a list that is made
 * when needed. */
static int header_bytes(PyObject *object, const char *what, PyObject *name, PyObject **keep,
                        const char **data, size_t *len)
{
    PyObject *made;
    if (PyUnicode_Check(object)) {
        if (PyUnicode_KIND(object) != PyUnicode_1BYTE_KIND) {
            PyErr_Format(PyExc_ValueError, "header %R: its %s has a character outside ISO-8859-1",
                         name, what);
            return -1;
        }
        *data = (const char *)PyUnicode_1BYTE_DATA(object);
        *len = (size_t)PyUnicode_GET_LENGTH(object);
        return 0;
    }
    if (PyBytes_Check(object)) {
        *data = PyBytes_AS_STRING(object);
        *len = (size_t)PyBytes_GET_SIZE(object);
        return 0;
    }
    if (!PyLong_Check(object) && !PyFloat_Check(object)) {
        PyErr_Format(PyExc_TypeError, "header %R: its %s is a str, not %s", name, what,
                     Py_TYPE(object)->tp_name);
        return -1;
    }
    made = PyObject_Str(object);
    return Headers_hold(keep, made) == 0 ? header_bytes(made, what, name, keep, data, len) : -1;
}

static void note_own(Headers *headers, const char *name, size_t len)
{
    opf_header header = {.name = name, .name_len = (uint32_t)len};
    if (Header_is(&header, "content-type", 12))
        headers->has_content_type = true;
    else if (Header_is(&header, "accept", 6))
        headers->has_accept = true;
    else if (Header_is(&header, "accept-encoding", 15))
        headers->has_accept_encoding = true;
}

static int put_own(Headers *headers, PyObject *name, PyObject *value, PyObject **keep)
{
    const char *name_data, *value_data;
    size_t name_len, value_len;
    if (header_bytes(name, "name", name, keep, &name_data, &name_len) != 0)
        return -1;
    note_own(headers, name_data, name_len);
    if (!PyList_Check(value) && !PyTuple_Check(value)) {
        if (header_bytes(value, "value", name, keep, &value_data, &value_len) != 0)
            return -1;
        return Headers_put(headers, name_data, name_len, value_data, value_len, false);
    }
    if (PyList_Check(value)) {
        value = PyList_AsTuple(value);
        if (Headers_hold(keep, value) != 0)
            return -1;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(value); i++) {
        PyObject *item = PyTuple_GET_ITEM(value, i);
        if (header_bytes(item, "value", name, keep, &value_data, &value_len) != 0 ||
            Headers_put(headers, name_data, name_len, value_data, value_len, i > 0) != 0)
            return -1;
    }
    return 0;
}

/* The headers of a call: a dict, or whatever dict() takes. It is copied, as it may be changed while
 * a body is read or the cookies are looked for. */
int Headers_put_own(Headers *headers, PyObject *given, PyObject **keep)
{
    PyObject *name, *value, *dict;
    Py_ssize_t at = 0;
    if (PyDict_CheckExact(given))
        dict = PyDict_Copy(given);
    else
        dict = PyObject_CallOneArg((PyObject *)&PyDict_Type, given);
    if (!dict) {
        if (PyErr_ExceptionMatches(PyExc_TypeError) || PyErr_ExceptionMatches(PyExc_ValueError))
            PyErr_Format(PyExc_TypeError, "headers is a dict or a list of pairs, not %R",
                         Py_TYPE(given));
        return -1;
    }
    if (Headers_hold(keep, dict) != 0)
        return -1;
    while (PyDict_Next(dict, &at, &name, &value))
        if (put_own(headers, name, value, keep) != 0)
            return -1;
    return 0;
}

void Headers_drop(Headers *headers, const char *name, size_t len)
{
    size_t kept = 0;
    for (size_t i = 0; i < headers->n; i++)
        if (!Header_is(&headers->list[i], name, len))
            headers->list[kept++] = headers->list[i];
    headers->n = kept;
}

bool Headers_has(const Headers *headers, const char *name, size_t len)
{
    for (size_t i = 0; i < headers->n; i++)
        if (Header_is(&headers->list[i], name, len))
            return true;
    return false;
}

int Headers_put_value(Headers *headers, const char *name, PyObject *value)
{
    if (!PyUnicode_Check(value) || PyUnicode_KIND(value) != PyUnicode_1BYTE_KIND) {
        PyErr_Format(PyExc_ValueError, "header '%s' has a character outside ISO-8859-1", name);
        return -1;
    }
    return Headers_put(headers, name, strlen(name), (const char *)PyUnicode_1BYTE_DATA(value),
                       (size_t)PyUnicode_GET_LENGTH(value), false);
}
