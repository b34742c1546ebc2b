#include "binding/handed.h"

#include <math.h>
#include <string.h>

#include "binding/collector.h"
#include "binding/value.h"

/* Returns a NUL-terminated text as a str, or None. */
static PyObject *str_of(const char *text)
{
    return text_as_object(text, text ? strlen(text) : 0);
}

/* Tallies */

static PyObject *cell_as_object(const opf_tally_cell *cell)
{
    PyObject *name = text_as_object(cell->name, cell->name_len);
    PyObject *method = name ? str_of(cell->method) : NULL;
    PyObject *tuple = method ? cell_tuple(name, method, &cell->cell, cell->last) : NULL;
    Py_XDECREF(name);
    Py_XDECREF(method);
    return tuple;
}

static PyObject *failure_as_object(const opf_tally *tally, const opf_tally_failure *failure)
{
    const opf_tally_cell *cell = &tally->cells[failure->cell];
    /* "N": of a NULL nothing more is built, and its exception stays */
    return Py_BuildValue("(NNiiiiNNiNNKddn)", text_as_object(cell->name, cell->name_len),
                         str_of(cell->method), (int)failure->fault, (int)failure->failure,
                         (int)failure->phase, failure->err, str_of(failure->detail),
                         PyBool_FromLong(failure->reused), failure->status, str_of(failure->url),
                         text_as_object(failure->text, failure->text_len),
                         (unsigned long long)failure->count, failure->connect_s, failure->network_s,
                         (Py_ssize_t)failure->limit);
}

static PyObject *raise_as_object(const opf_tally_raise *raise)
{
    return Py_BuildValue("(NNNNK)", str_of(raise->type), str_of(raise->text), str_of(raise->line),
                         str_of(raise->task), (unsigned long long)raise->count);
}

/* Adds a new object to a list, which is cleared if there is none. */
static void add(PyObject **list, PyObject *object)
{
    if (!object || PyList_Append(*list, object) != 0)
        Py_CLEAR(*list);
    Py_XDECREF(object);
}

PyObject *tally_as_object(const opf_tally *tally, PyObject *plan)
{
    PyObject *cells = PyList_New(0), *failures = PyList_New(0), *raises = PyList_New(0);
    for (uint32_t i = 0; cells && i < tally->n_cells; i++)
        if (tally->cells[i].cell.requests)
            add(&cells, cell_as_object(&tally->cells[i]));
    for (uint32_t i = 0; failures && i < tally->n_failures; i++)
        add(&failures, failure_as_object(tally, &tally->failures[i]));
    for (uint32_t i = 0; raises && i < tally->n_raises; i++)
        add(&raises, raise_as_object(&tally->raises[i]));
    if (cells && failures && raises)
        return Py_BuildValue("(OLNNNK)", plan, (long long)tally->second, cells, failures, raises,
                             (unsigned long long)tally->lost);
    Py_XDECREF(cells);
    Py_XDECREF(failures);
    Py_XDECREF(raises);
    return NULL;
}

/* Cookies: their bytes are Latin-1 to Python's jars */

static PyObject *latin1_of(const char *text)
{
    if (!text)
        Py_RETURN_NONE;
    return PyUnicode_DecodeLatin1(text, (Py_ssize_t)strlen(text), NULL);
}

static PyObject *cookie_as_object(const opf_agent_cookie *cookie)
{
    PyObject *expires =
        cookie->expires == INT64_MAX ? Py_NewRef(Py_None) : PyLong_FromLongLong(cookie->expires);
    return Py_BuildValue("(NNNNNNN)", latin1_of(cookie->name), latin1_of(cookie->value),
                         latin1_of(cookie->domain), latin1_of(cookie->path),
                         PyBool_FromLong(cookie->host_only), PyBool_FromLong(cookie->secure),
                         expires);
}

/* Points *text at the bytes of a str; None: NULL, if it may be. */
static int keep(PyObject *object, bool optional, PyObject *kept, const char **text)
{
    char *data = NULL;
    *text = NULL;
    if (optional && object == Py_None)
        return 0;
    if (!PyUnicode_Check(object)) {
        PyErr_SetString(PyExc_TypeError, "name, value, domain and path of a cookie are str");
        return -1;
    }
    PyObject *bytes = PyUnicode_AsLatin1String(object);
    if (!bytes) {
        if (PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) /* whose text has the value in it */
            PyErr_SetString(PyExc_ValueError, "a cookie has a character that no header can have");
        return -1;
    }
    int ret = PyList_Append(kept, bytes);
    Py_DECREF(bytes); /* the list has it */
    if (ret == 0)
        ret = PyBytes_AsStringAndSize(bytes, &data, NULL); /* refuses a NUL */
    for (const char *at = data; ret == 0 && *at; at++)
        if ((unsigned char)*at < 0x20 && *at != '\t') {
            PyErr_SetString(PyExc_ValueError, "a cookie has a control character");
            ret = -1;
        }
    *text = data;
    return ret;
}

static int read_expires(PyObject *object, int64_t *expires)
{
    int overflow = 0;
    *expires = INT64_MAX;
    if (object == Py_None)
        return 0;
    if (PyFloat_Check(object)) {
        double at = PyFloat_AS_DOUBLE(object);
        if (fabs(at) < 9e18)
            *expires = (int64_t)at;
        return 0;
    }
    long long at = PyLong_AsLongLongAndOverflow(object, &overflow);
    if (at == -1 && PyErr_Occurred())
        return -1;
    *expires = overflow ? (overflow < 0 ? INT64_MIN : INT64_MAX) : at;
    return 0;
}

int cookie_from_object(PyObject *object, PyObject *kept, opf_agent_cookie *cookie)
{
    PyObject *name, *value, *domain, *path, *expires;
    int host_only, secure;
    if (!PyTuple_Check(object)) {
        PyErr_SetString(PyExc_TypeError, "a cookie is a tuple (name, value, domain, path, "
                                         "host_only, secure, expires)");
        return -1;
    }
    if (!PyArg_ParseTuple(object, "OOOOppO", &name, &value, &domain, &path, &host_only, &secure,
                          &expires) ||
        keep(name, false, kept, &cookie->name) != 0 ||
        keep(value, true, kept, &cookie->value) != 0 ||
        keep(domain, false, kept, &cookie->domain) != 0 ||
        keep(path, false, kept, &cookie->path) != 0 || read_expires(expires, &cookie->expires) != 0)
        return -1;
    cookie->host_only = host_only != 0;
    cookie->secure = secure != 0;
    return 0;
}

/* Ends */

PyObject *end_as_object(State *state, const opf_agent_end *end)
{
    PyObject *slots = PyTuple_New((Py_ssize_t)end->n_slots), *cookies = PyList_New(0);
    for (uint32_t i = 0; slots && i < end->n_slots; i++) {
        PyObject *value = value_as_object(state, &end->slots[i]);
        if (value)
            PyTuple_SET_ITEM(slots, (Py_ssize_t)i, value);
        else
            Py_CLEAR(slots);
    }
    for (uint32_t i = 0; cookies && i < end->n_cookies; i++)
        add(&cookies, cookie_as_object(&end->cookies[i]));
    if (slots && cookies)
        return Py_BuildValue("(KiNNN)", (unsigned long long)end->agent, (int)end->why,
                             PyBool_FromLong(end->cut), slots, cookies);
    Py_XDECREF(slots);
    Py_XDECREF(cookies);
    return NULL;
}
