#include "binding/route.h"

#include <string.h>
#include <structmember.h>

#include "binding/session.h"

bool is_scheme_auth(const State *state, PyObject *auth)
{
    return auth && PyObject_TypeCheck(auth, state->scheme_auth_type);
}

static bool is_proxy(const State *state, PyObject *proxy)
{
    return proxy && PyObject_TypeCheck(proxy, state->proxy_type);
}

bool Route_make(const Session *session, PyObject *proxy, PyObject *auth, opf_curl_options *options)
{
    const State *state = session->state;
    bool used = session->by_libcurl;
    *options = (opf_curl_options){0};
    if (!is_proxy(state, proxy))
        proxy = session->proxy;
    if (is_proxy(state, proxy)) {
        options->proxy = PyBytes_AS_STRING(((Proxy *)proxy)->url);
        options->proxy_auth = ((Proxy *)proxy)->auth;
        used = true;
    }
    if (is_scheme_auth(state, auth)) {
        const SchemeAuth *login = (SchemeAuth *)auth;
        const char *user = PyBytes_AS_STRING(login->user);
        const char *password = PyBytes_AS_STRING(login->password);
        if (login->for_proxy) {
            options->proxy_auth = login->scheme;
            options->proxy_user = user;
            options->proxy_password = password;
        } else {
            options->auth = login->scheme;
            options->user = user;
            options->password = password;
            used = true;
        }
    }
    return used;
}

/* The types */

/* A str as bytes that end with their only NUL: a new reference, or NULL with an exception. */
static PyObject *text_of(PyObject *str, const char *what)
{
    PyObject *bytes = PyUnicode_AsUTF8String(str);
    if (bytes && strlen(PyBytes_AS_STRING(bytes)) != (size_t)PyBytes_GET_SIZE(bytes)) {
        PyErr_Format(PyExc_ValueError, "%s has a null character", what);
        Py_CLEAR(bytes);
    }
    return bytes;
}

static bool is_known(int scheme)
{
    if (scheme >= OPF_AUTH_NONE && scheme <= OPF_AUTH_NEGOTIATE)
        return true;
    PyErr_SetString(PyExc_ValueError, "unknown authentication scheme");
    return false;
}

static PyObject *Proxy_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {"url", "shown", "auth", NULL};
    PyObject *url, *shown;
    int auth = OPF_AUTH_NONE;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "UU|i:Proxy", keywords, &url, &shown, &auth) ||
        !is_known(auth))
        return NULL;
    Proxy *self = (Proxy *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    self->auth = (opf_auth)auth;
    self->shown = Py_NewRef(shown);
    self->url = text_of(url, "the proxy's URL");
    if (!self->url)
        Py_CLEAR(self);
    return (PyObject *)self;
}

static void Proxy_dealloc(Proxy *self)
{
    PyTypeObject *type = Py_TYPE(self);
    Py_XDECREF(self->url);
    Py_XDECREF(self->shown);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *Proxy_repr(Proxy *self)
{
    return PyUnicode_FromFormat("<Proxy %U>", self->shown);
}

static PyMemberDef Proxy_members[] = {
    {"shown", T_OBJECT, offsetof(Proxy, shown), READONLY, "str: the URL without its secrets"},
    {NULL},
};

static PyType_Slot Proxy_slots[] = {
    {Py_tp_doc, "A proxy: its URL, as libcurl has it, and how to authenticate."},
    {Py_tp_new, Proxy_new},
    {Py_tp_dealloc, Proxy_dealloc},
    {Py_tp_repr, Proxy_repr},
    {Py_tp_members, Proxy_members},
    {0, NULL},
};

static PyType_Spec Proxy_spec = {
    .name = "opscore_fast._core.Proxy",
    .basicsize = sizeof(Proxy),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = Proxy_slots,
};

static PyObject *SchemeAuth_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {"scheme", "user", "password", "for_proxy", NULL};
    PyObject *user, *password;
    int scheme, for_proxy = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "iUU|p:SchemeAuth", keywords, &scheme, &user,
                                     &password, &for_proxy) ||
        !is_known(scheme))
        return NULL;
    SchemeAuth *self = (SchemeAuth *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    self->scheme = (opf_auth)scheme;
    self->for_proxy = for_proxy;
    self->user = text_of(user, "the user's name");
    self->password = self->user ? text_of(password, "the password") : NULL;
    if (!self->password)
        Py_CLEAR(self);
    return (PyObject *)self;
}

static void SchemeAuth_dealloc(SchemeAuth *self)
{
    PyTypeObject *type = Py_TYPE(self);
    Py_XDECREF(self->user);
    Py_XDECREF(self->password);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *SchemeAuth_repr(SchemeAuth *self)
{
    return PyUnicode_FromFormat("<%s>", Py_TYPE(self)->tp_name);
}

static PyType_Slot SchemeAuth_slots[] = {
    {Py_tp_doc, "User and password for an authentication scheme of libcurl's."},
    {Py_tp_new, SchemeAuth_new},
    {Py_tp_dealloc, SchemeAuth_dealloc},
    {Py_tp_repr, SchemeAuth_repr},
    {0, NULL},
};

static PyType_Spec SchemeAuth_spec = {
    .name = "opscore_fast._core.SchemeAuth",
    .basicsize = sizeof(SchemeAuth),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = SchemeAuth_slots,
};

int Route_add(PyObject *module, State *state)
{
    state->proxy_type = add_type(module, &Proxy_spec, NULL);
    state->scheme_auth_type = state->proxy_type ? add_type(module, &SchemeAuth_spec, NULL) : NULL;
    return state->scheme_auth_type ? 0 : -1;
}
