/* Forms and queries as requests encodes them (requests.models.RequestEncodingMixin._encode_params,
 * urllib.parse.urlencode and quote_plus), for the usual types of keys and values. */
#include "binding/form.h"

#include <string.h>

#define NOT_OURS 1

typedef struct Text {
    char *data;
    size_t len;
    size_t size;
} Text;

static int make_room(Text *text, size_t more)
{
    if (text->size - text->len >= more)
        return 0;
    size_t size = text->size ? text->size : 256;
    while (size - text->len < more)
        size *= 2;
    char *data = PyMem_Realloc(text->data, size);
    if (!data) {
        PyErr_NoMemory();
        return -1;
    }
    text->data = data;
    text->size = size;
    return 0;
}

static int put(Text *text, char c)
{
    if (make_room(text, 1) != 0)
        return -1;
    text->data[text->len++] = c;
    return 0;
}

/* urllib.parse.quote_plus of UTF-8. */
static int put_quoted(Text *text, const char *utf8, size_t len)
{
    static const char hex[] = "0123456789ABCDEF";
    if (make_room(text, len * 3) != 0)
        return -1;
    char *to = text->data + text->len;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)utf8[i];
        if (Py_ISALNUM(c) || c == '_' || c == '.' || c == '-' || c == '~') {
            *to++ = (char)c;
        } else if (c == ' ') {
            *to++ = '+';
        } else {
            *to++ = '%';
            *to++ = hex[c >> 4];
            *to++ = hex[c & 15];
        }
    }
    text->len = (size_t)(to - text->data);
    return 0;
}

static int put_object(Text *text, PyObject *object)
{
    Py_ssize_t len;
    bool plain = PyUnicode_CheckExact(object);
    if (!plain && !PyLong_CheckExact(object) && !PyBool_Check(object) &&
        !PyFloat_CheckExact(object))
        return NOT_OURS;
    int overflow = 0;
    if (PyLong_CheckExact(object))
        PyLong_AsLongLongAndOverflow(object, &overflow);
    if (overflow)
        return NOT_OURS; /* Python 3.12 and later have Python code for the longest */
    PyObject *shown = plain ? Py_NewRef(object) : PyObject_Str(object);
    if (!shown)
        return -1;
    const char *utf8 = PyUnicode_AsUTF8AndSize(shown, &len);
    int ret = utf8 ? put_quoted(text, utf8, (size_t)len) : NOT_OURS;
    if (!utf8) /* surrogates: requests has an error for them */
        PyErr_Clear();
    Py_DECREF(shown);
    return ret;
}

static int put_pair(Text *text, PyObject *key, PyObject *value)
{
    if (value == Py_None)
        return 0;
    int ret = text->len ? put(text, '&') : 0;
    if (ret == 0)
        ret = put_object(text, key);
    if (ret == 0)
        ret = put(text, '=');
    return ret == 0 ? put_object(text, value) : ret;
}

static int put_values(Text *text, PyObject *key, PyObject *values)
{
    if (!PyList_CheckExact(values) && !PyTuple_CheckExact(values))
        return put_pair(text, key, values);
    int ret = 0;
    for (Py_ssize_t i = 0; ret == 0 && i < PySequence_Fast_GET_SIZE(values); i++)
        ret = put_pair(text, key, PySequence_Fast_GET_ITEM(values, i));
    return ret;
}

int form_encode(PyObject *dict, PyObject **encoded)
{
    Text text = {0};
    PyObject *key, *values;
    Py_ssize_t at = 0;
    int ret = PyDict_CheckExact(dict) ? 0 : NOT_OURS;
    *encoded = NULL;
    /* nothing in here runs code that could change the dict */
    while (ret == 0 && PyDict_Next(dict, &at, &key, &values))
        ret = put_values(&text, key, values);
    if (ret == 0) {
        *encoded = PyUnicode_DecodeASCII(text.data ? text.data : "", (Py_ssize_t)text.len, NULL);
        ret = *encoded ? 0 : -1;
    }
    PyMem_Free(text.data);
    return ret;
}
