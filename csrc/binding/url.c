#include "binding/url.h"

#include <string.h>

void Url_fini(Url *url)
{
    opf_free(url->quoted);
    Py_XDECREF(url->text);
}

bool Url_is_absolute(const char *path)
{
    return PyOS_strnicmp(path, "http://", 7) == 0 || PyOS_strnicmp(path, "https://", 8) == 0;
}

PyObject *Session_build_url(PyObject *base_url, PyObject *path)
{
    const char *text = PyUnicode_AsUTF8(path);
    if (!text)
        return NULL;
    if (Url_is_absolute(text) || !PyUnicode_Check(base_url))
        return Py_NewRef(path);
    return PyUnicode_Concat(base_url, path);
}

/* True for a URL of another scheme, which no base URL may stand before. */
static bool is_foreign(const char *path)
{
    const char *at = path;
    while (Py_ISALNUM(*at) || *at == '+' || *at == '-' || *at == '.')
        at++;
    return at > path && strncmp(at, "://", 3) == 0;
}

/* Raises ValueError for a URL, whose user and password are in no text. */
static int url_error(Session *self, const char *why, PyObject *url)
{
    PyObject *helper = state_helper(self->state, HELPER_shown_url);
    PyObject *shown = helper ? PyObject_CallOneArg(helper, url) : NULL;
    if (shown)
        PyErr_Format(PyExc_ValueError, "%s: %R", why, shown);
    Py_XDECREF(shown);
    return -1;
}

static bool has_control(const char *data, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)data[i] < 0x20 || data[i] == 0x7f)
            return true;
    return false;
}

/* A '?' with nothing behind it is not sent, as by FastHttpSession. */
static void drop_empty_query(opf_url *url)
{
    const char *mark = url->target_len ? memchr(url->target, '?', url->target_len) : NULL;
    if (mark && mark == url->target + url->target_len - 1)
        url->target_len--;
}

/* Takes a whole URL apart, having percent-encoded what needs it. Takes over the reference to text.
 */
int Url_parse(Session *self, PyObject *text, Url *url)
{
    Py_ssize_t size;
    size_t len;
    const char *why, *data;
    url->text = text;
    if (!PyUnicode_IS_ASCII(text)) {
        PyObject *helper = state_helper(self->state, HELPER_ascii_url);
        url->text = helper ? PyObject_CallOneArg(helper, text) : NULL;
        Py_DECREF(text);
        if (!url->text)
            return -1;
    }
    data = PyUnicode_AsUTF8AndSize(url->text, &size);
    if (!data)
        return -1;
    len = (size_t)size;
    if (has_control(data, len))
        return url_error(self, "URL has a control character", url->text);
    if (!opf_url_is_quoted(data, len)) {
        url->quoted = opf_url_requote(data, len, &len);
        if (!url->quoted) {
            PyErr_NoMemory();
            return -1;
        }
        data = url->quoted;
    }
    if (opf_url_parse(data, len, &url->parsed, &why) != 0)
        return url_error(self, why, url->text);
    drop_empty_query(&url->parsed);
    return 0;
}

/* The usual case: a path to be put behind the base URL, nothing in it to be changed. */
bool Url_join(Session *self, PyObject *path, Url *url)
{
    if (!self->base_parsed || self->base.target_len || !PyUnicode_IS_COMPACT_ASCII(path))
        return false;
    const char *data = (const char *)PyUnicode_1BYTE_DATA(path);
    size_t len = (size_t)PyUnicode_GET_LENGTH(path);
    if (!len || data[0] != '/' || len > UINT32_MAX || memchr(data, '#', len) ||
        !opf_url_is_quoted(data, len))
        return false;
    url->text = Py_NewRef(self->base_bytes);
    url->parsed = self->base;
    url->parsed.target = data;
    url->parsed.target_len = (uint32_t)len;
    drop_empty_query(&url->parsed);
    return true;
}

/* Finds the URL of the call. */
int Url_make(Session *self, const Call *call, Url *url)
{
    PyObject *text;
    if (call->url) {
        text = Py_NewRef(call->url);
    } else {
        if (!call->params && Url_join(self, call->path, url))
            return 0;
        const char *path = PyUnicode_AsUTF8(call->path);
        if (!path)
            return -1;
        bool absolute = Url_is_absolute(path);
        if (!absolute && is_foreign(path))
            return url_error(self, "URL has a scheme other than http and https", call->path);
        if (!absolute && !PyUnicode_Check(self->base_url))
            return url_error(self, "URL has no host, and the session has no base URL", call->path);
        text = Session_build_url(self->base_url, call->path);
        if (!text)
            return -1;
        if (call->params) {
            PyObject *helper = state_helper(self->state, HELPER_with_params);
            Py_SETREF(text, helper ? PyObject_CallFunctionObjArgs(helper, text, call->params, NULL)
                                   : NULL);
            if (!text)
                return -1;
        }
    }
    return Url_parse(self, text, url);
}
