/* JSON as json.dumps writes it with its default arguments (Lib/json/encoder.py), for the types that
 * it knows itself; anything else, however rare, goes to json.dumps. */
#include "binding/binding.h"

#include <stdbool.h>
#include <string.h>

#define DEPTH_MAX 200

/* Ours can't express it: json.dumps shall. */
#define NOT_OURS 1

typedef struct Writer {
    State *state;
    size_t len;
    bool allow_nan;
} Writer;

static int write_value(Writer *w, PyObject *value, int depth);

static char *room(Writer *w, size_t more)
{
    State *state = w->state;
    if (state->scratch_size - w->len < more) {
        size_t size = state->scratch_size ? state->scratch_size : 1024;
        while (size - w->len < more)
            size *= 2;
        char *scratch = PyMem_Realloc(state->scratch, size);
        if (!scratch) {
            PyErr_NoMemory();
            return NULL;
        }
        state->scratch = scratch;
        state->scratch_size = size;
    }
    return state->scratch + w->len;
}

static int put(Writer *w, const char *text, size_t len)
{
    char *to = room(w, len);
    if (!to)
        return -1;
    memcpy(to, text, len);
    w->len += len;
    return 0;
}

static char *put_u(char *to, Py_UCS4 c)
{
    static const char hex[] = "0123456789abcdef";
    *to++ = '\\';
    *to++ = 'u';
    for (int shift = 12; shift >= 0; shift -= 4)
        *to++ = hex[(c >> shift) & 15];
    return to;
}

static char *put_char(char *to, Py_UCS4 c)
{
    static const char short_forms[] = {['"'] = '"',  ['\\'] = '\\', ['\n'] = 'n', ['\r'] = 'r',
                                       ['\t'] = 't', ['\f'] = 'f',  ['\b'] = 'b'};
    if (c >= ' ' && c <= '~' && c != '"' && c != '\\') {
        *to++ = (char)c;
        return to;
    }
    if (c < sizeof(short_forms) && short_forms[c]) {
        *to++ = '\\';
        *to++ = short_forms[c];
        return to;
    }
    if (c < 0x10000)
        return put_u(to, c);
    c -= 0x10000;
    to = put_u(to, 0xd800 | (c >> 10));
    return put_u(to, 0xdc00 | (c & 0x3ff));
}

static int write_str(Writer *w, PyObject *text)
{
    Py_ssize_t n = PyUnicode_GET_LENGTH(text);
    int kind = PyUnicode_KIND(text);
    const void *data = PyUnicode_DATA(text);
    char *start = room(w, (size_t)n * 12 + 2); /* at most a surrogate pair for each character */
    if (!start)
        return -1;
    char *to = start;
    *to++ = '"';
    for (Py_ssize_t i = 0; i < n; i++)
        to = put_char(to, PyUnicode_READ(kind, data, i));
    *to++ = '"';
    w->len += (size_t)(to - start);
    return 0;
}

static int write_repr(Writer *w, PyObject *value)
{
    PyObject *text = PyObject_Repr(value);
    if (!text)
        return -1;
    Py_ssize_t len;
    const char *utf8 = PyUnicode_AsUTF8AndSize(text, &len);
    int ret = utf8 ? put(w, utf8, (size_t)len) : -1;
    Py_DECREF(text);
    return ret;
}

static int write_int(Writer *w, PyObject *value)
{
    int overflow;
    long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
    if (overflow)
        return NOT_OURS; /* Python 3.12 and later have Python code for the longest */
    if (number == -1 && PyErr_Occurred())
        return -1;
    char digits[24];
    char *at = digits + sizeof(digits);
    unsigned long long rest =
        number < 0 ? 0ULL - (unsigned long long)number : (unsigned long long)number;
    do {
        *--at = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest);
    if (number < 0)
        *--at = '-';
    return put(w, at, (size_t)(digits + sizeof(digits) - at));
}

static int write_float(Writer *w, PyObject *value)
{
    double number = PyFloat_AS_DOUBLE(value);
    if (number - number != 0 && !w->allow_nan)
        return NOT_OURS;
    if (number != number)
        return put(w, "NaN", 3);
    if (number - number != 0)
        return number > 0 ? put(w, "Infinity", 8) : put(w, "-Infinity", 9);
    return write_repr(w, value);
}

static int write_dict(Writer *w, PyObject *dict, int depth)
{
    PyObject *key, *value;
    Py_ssize_t at = 0;
    bool first = true;
    if (put(w, "{", 1) != 0)
        return -1;
    while (PyDict_Next(dict, &at, &key, &value)) {
        if (!PyUnicode_CheckExact(key))
            return NOT_OURS;
        if (!first && put(w, ", ", 2) != 0)
            return -1;
        first = false;
        if (write_str(w, key) != 0 || put(w, ": ", 2) != 0)
            return -1;
        int ret = write_value(w, value, depth);
        if (ret != 0)
            return ret;
    }
    return put(w, "}", 1);
}

static int write_sequence(Writer *w, PyObject *sequence, int depth)
{
    Py_ssize_t n = PySequence_Fast_GET_SIZE(sequence);
    if (put(w, "[", 1) != 0)
        return -1;
    for (Py_ssize_t i = 0; i < n; i++) {
        if (i && put(w, ", ", 2) != 0)
            return -1;
        int ret = write_value(w, PySequence_Fast_GET_ITEM(sequence, i), depth);
        if (ret != 0)
            return ret;
    }
    return put(w, "]", 1);
}

static int write_value(Writer *w, PyObject *value, int depth)
{
    if (PyUnicode_CheckExact(value))
        return write_str(w, value);
    if (value == Py_None)
        return put(w, "null", 4);
    if (value == Py_True)
        return put(w, "true", 4);
    if (value == Py_False)
        return put(w, "false", 5);
    if (PyLong_CheckExact(value))
        return write_int(w, value);
    if (PyFloat_CheckExact(value))
        return write_float(w, value);
    if (depth >= DEPTH_MAX)
        return NOT_OURS;
    if (PyDict_CheckExact(value))
        return write_dict(w, value, depth + 1);
    if (PyList_CheckExact(value) || PyTuple_CheckExact(value))
        return write_sequence(w, value, depth + 1);
    return NOT_OURS;
}

static int write_by_dumps(Writer *w, PyObject *value)
{
    PyObject *dumps = state_helper(w->state, HELPER_dumps);
    PyObject *text = dumps ? PyObject_CallOneArg(dumps, value) : NULL;
    if (!text)
        return -1;
    Py_ssize_t len;
    const char *utf8 = PyUnicode_AsUTF8AndSize(text, &len);
    w->len = 0;
    int ret = utf8 ? put(w, utf8, (size_t)len) : -1;
    Py_DECREF(text);
    return ret;
}

static int write_ours(Writer *w, PyObject *obj, const char **text, size_t *len)
{
    int ret = write_value(w, obj, 0);
    *text = w->state->scratch;
    *len = w->len;
    return ret;
}

int json_encode(State *state, PyObject *obj, const char **text, size_t *len)
{
    Writer w = {.state = state, .allow_nan = true};
    int ret = write_ours(&w, obj, text, len);
    if (ret != NOT_OURS)
        return ret;
    ret = write_by_dumps(&w, obj);
    *text = state->scratch;
    *len = w.len;
    return ret;
}

int json_encode_plain(State *state, PyObject *obj, const char **text, size_t *len)
{
    Writer w = {.state = state};
    return write_ours(&w, obj, text, len);
}
