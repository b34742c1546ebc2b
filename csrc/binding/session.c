#include "binding/session.h"

#include <structmember.h>

#include "binding/call.h"
#include "binding/perform.h"

/* Calls self.request(method, url, ...) in Python, as Locust's get(), post() and so on do. */
static PyObject *by_own_request(Session *self, Call *call, PyObject *const *args, Py_ssize_t nargs,
                                Py_ssize_t n_more, PyObject *keys)
{
    PyObject *const *names = self->state->names;
    PyObject *kwargs = PyDict_New(), *positional = NULL, *function = NULL, *result = NULL;
    if (!kwargs)
        return NULL;
    if ((n_more > 0 &&
         PyDict_SetItem(kwargs, names[NAME_data], call->data ? call->data : Py_None) != 0) ||
        (n_more > 1 &&
         PyDict_SetItem(kwargs, names[NAME_json], call->json ? call->json : Py_None) != 0))
        goto out;
    for (Py_ssize_t i = 0; keys && i < PyTuple_GET_SIZE(keys); i++)
        if (PyTuple_GET_ITEM(keys, i) != names[NAME_url] &&
            PyDict_SetItem(kwargs, PyTuple_GET_ITEM(keys, i), args[nargs + i]) != 0)
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

static PyObject *missing(const char *what)
{
    PyErr_Format(PyExc_TypeError, "missing argument: '%s'", what);
    return NULL;
}

/* A request by a function named for its method: url and up to n_more positional arguments (data,
 * json). */
static PyObject *by_method(Session *self, int method, int n_more, PyObject *const *args,
                           Py_ssize_t nargs, PyObject *keys)
{
    Call call = {.max_redirects = self->max_redirects,
                 .max_retries = self->max_retries,
                 .allow_redirects = true};
    PyObject *response = NULL;
    if (nargs > 1 + n_more) {
        PyErr_Format(PyExc_TypeError, "%d positional arguments at most, %zd were given", 1 + n_more,
                     nargs);
        return NULL;
    }
    call.path = nargs > 0 ? args[0] : NULL;
    call.data = nargs > 1 ? args[1] : NULL;
    call.json = nargs > 2 ? args[2] : NULL;
    call.method = Py_NewRef(self->state->names[method]);
    if (Call_set_keywords(self, &call, args + nargs, keys) == 0) {
        if (!call.path)
            response = missing("url");
        else if (self->own_request)
            response = by_own_request(self, &call, args, nargs, n_more, keys);
        else
            response = Session_perform(self, &call);
    }
    Call_fini(&call);
    return response;
}

#define BY_METHOD(function, method, n_more)                                                        \
    static PyObject *Session_##function(Session *self, PyObject *const *args, Py_ssize_t nargs,    \
                                        PyObject *keys)                                            \
    {                                                                                              \
        return by_method(self, NAME_##method, n_more, args, nargs, keys);                          \
    }

BY_METHOD(get, GET, 0)
BY_METHOD(head, HEAD, 0)
BY_METHOD(options, OPTIONS, 0)
BY_METHOD(delete, DELETE, 0)
BY_METHOD(patch, PATCH, 1)
BY_METHOD(put, PUT, 1)
BY_METHOD(post, POST, 2)

/* The positional parameters of FastHttpSession.request. */
static const int request_parameters[] = {
    NAME_method, NAME_url,     NAME_name, NAME_data, NAME_catch_response,
    NAME_stream, NAME_headers, NAME_auth, NAME_json, NAME_allow_redirects,
    NAME_context};
#define N_PARAMETERS ((Py_ssize_t)(sizeof(request_parameters) / sizeof(*request_parameters)))

static PyObject *Session_request(Session *self, PyObject *const *args, Py_ssize_t nargs,
                                 PyObject *keys)
{
    Call call = {.max_redirects = self->max_redirects,
                 .max_retries = self->max_retries,
                 .allow_redirects = true};
    PyObject *response = NULL;
    if (nargs > N_PARAMETERS) {
        PyErr_Format(PyExc_TypeError, "%zd positional arguments at most, %zd were given",
                     N_PARAMETERS, nargs);
        return NULL;
    }
    for (Py_ssize_t i = 0; i < nargs; i++)
        if (Call_set_keyword(self, &call, self->state->names[request_parameters[i]], args[i]) != 0)
            goto out;
    if (Call_set_keywords(self, &call, args + nargs, keys) != 0)
        goto out;
    if (!call.method)
        missing("method");
    else if (!call.path)
        missing("url");
    else
        response = Session_perform(self, &call);

out:
    Call_fini(&call);
    return response;
}

/* The type */

static int set_default_headers(Session *self, PyObject *headers)
{
    Py_ssize_t n = PyList_GET_SIZE(headers);
    self->defaults = PyMem_Calloc((size_t)n + 1, sizeof(*self->defaults));
    if (!self->defaults) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *name, *value;
        if (!PyArg_ParseTuple(PyList_GET_ITEM(headers, i), "SS", &name, &value))
            return -1;
        self->defaults[i].name = Py_NewRef(name);
        self->defaults[i].value = Py_NewRef(value);
        self->n_defaults = i + 1;
    }
    return 0;
}

static int set_base_url(Session *self, PyObject *base_url)
{
    const char *why;
    self->base_url = Py_NewRef(base_url);
    if (!PyUnicode_Check(base_url))
        return 0; /* None: only absolute URLs will do */
    self->base_bytes = PyUnicode_AsUTF8String(base_url);
    if (!self->base_bytes)
        return -1;
    self->base_parsed =
        opf_url_parse(PyBytes_AS_STRING(self->base_bytes),
                      (size_t)PyBytes_GET_SIZE(self->base_bytes), &self->base, &why) == 0;
    return 0;
}

static PyObject *Session_new(PyTypeObject *type, PyObject *Py_UNUSED(args),
                             PyObject *Py_UNUSED(kwargs))
{
    Session *self = (Session *)type->tp_alloc(type, 0);
    if (self)
        self->state = state_of(type); /* even a session that is never set up can be called */
    return (PyObject *)self;
}

static int Session_init(Session *self, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {"base_url",    "request_event",   "user",
                               "pool",        "default_headers", "max_redirects",
                               "max_retries", "own_context",     NULL};
    PyObject *base_url, *event, *user, *pool, *headers;
    int own_context;
    if (self->pool) {
        PyErr_SetString(PyExc_RuntimeError, "a Session is set up once");
        return -1;
    }
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOOO!O!iip:Session", keywords, &base_url,
                                     &event, &user, self->state->pool_type, &pool, &PyList_Type,
                                     &headers, &self->max_redirects, &self->max_retries,
                                     &own_context))
        return -1;
    self->pool = (Pool *)Py_NewRef(pool);
    self->request_event = Py_NewRef(event);
    self->user = Py_NewRef(user);
    self->own_context = own_context;
    PyObject *request =
        PyObject_GetAttr((PyObject *)Py_TYPE(self), self->state->names[NAME_request]);
    if (!request)
        return -1;
    self->own_request = request != self->state->session_request;
    Py_DECREF(request);
    return set_default_headers(self, headers) != 0 ? -1 : set_base_url(self, base_url);
}

static PyObject *get_cookiejar(Session *self, void *Py_UNUSED(closure))
{
    if (!self->cookiejar) {
        PyObject *make = state_helper(self->state, HELPER_new_cookiejar);
        self->cookiejar = make ? PyObject_CallNoArgs(make) : NULL;
    }
    return Py_XNewRef(self->cookiejar);
}

static int set_cookiejar(Session *self, PyObject *value, void *Py_UNUSED(closure))
{
    Py_XSETREF(self->cookiejar, value && value != Py_None ? Py_NewRef(value) : NULL);
    return 0;
}

static PyObject *get_base_url(Session *self, void *Py_UNUSED(closure))
{
    return Py_NewRef(self->base_url ? self->base_url : Py_None);
}

static int change_base_url(Session *self, PyObject *value, void *Py_UNUSED(closure))
{
    PyObject *was = self->base_url, *bytes = self->base_bytes;
    self->base_bytes = NULL;
    self->base_parsed = false;
    int ret = set_base_url(self, value ? value : Py_None);
    Py_XDECREF(was);
    Py_XDECREF(bytes);
    return ret;
}

static int Session_traverse(Session *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->pool);
    Py_VISIT(self->request_event);
    Py_VISIT(self->user);
    Py_VISIT(self->cookiejar);
    Py_VISIT(self->known_handler);
    Py_VISIT(self->collector);
    Py_VISIT(self->environment);
    Py_VISIT(self->stats);
    Py_VISIT(self->stats_module);
    Py_VISIT(self->bucket_function);
    return 0;
}

/* Breaks cycles; what requests rely on becomes None. */
static int Session_clear(Session *self)
{
    Py_XSETREF(self->request_event, Py_NewRef(Py_None));
    Py_XSETREF(self->user, Py_NewRef(Py_None));
    Py_CLEAR(self->cookiejar);
    Py_CLEAR(self->known_handler);
    Py_CLEAR(self->collector);
    Py_CLEAR(self->environment);
    Py_CLEAR(self->stats);
    Py_CLEAR(self->stats_module);
    Py_CLEAR(self->bucket_function);
    return 0;
}

static void Session_dealloc(Session *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Session_clear(self);
    for (Py_ssize_t i = 0; i < self->n_defaults; i++) {
        Py_DECREF(self->defaults[i].name);
        Py_DECREF(self->defaults[i].value);
    }
    PyMem_Free(self->defaults);
    Py_XDECREF(self->request_event);
    Py_XDECREF(self->user);
    Py_XDECREF(self->pool);
    Py_XDECREF(self->base_url);
    Py_XDECREF(self->base_bytes);
    Py_XDECREF(self->request_name);
    Py_XDECREF(self->auth_header);
    type->tp_free(self);
    Py_DECREF(type);
}

#define REQUEST_METHOD(name, signature, text)                                                      \
    {#name, (PyCFunction)(void (*)(void))Session_##name, METH_FASTCALL | METH_KEYWORDS,            \
     #name "($self, " signature ")\n--\n\n" text}

static PyMethodDef Session_methods[] = {
    REQUEST_METHOD(
        request,
        "method, url, name=None, data=None, catch_response=False, stream=False, headers=None, "
        "auth=None, json=None, allow_redirects=True, context=None, **kwargs",
        "Send a request and wait for its response; as Locust's FastHttpSession.request."),
    REQUEST_METHOD(get, "url, **kwargs", "Send a GET request."),
    REQUEST_METHOD(head, "url, **kwargs", "Send a HEAD request."),
    REQUEST_METHOD(options, "url, **kwargs", "Send an OPTIONS request."),
    REQUEST_METHOD(delete, "url, **kwargs", "Send a DELETE request."),
    REQUEST_METHOD(patch, "url, data=None, **kwargs", "Send a PATCH request."),
    REQUEST_METHOD(put, "url, data=None, **kwargs", "Send a PUT request."),
    REQUEST_METHOD(post, "url, data=None, json=None, **kwargs", "Send a POST request."),
    {NULL},
};

static PyGetSetDef Session_getset[] = {
    {"cookiejar", (getter)get_cookiejar, (setter)set_cookiejar,
     "http.cookiejar.CookieJar: the session's cookies", NULL},
    {"base_url", (getter)get_base_url, (setter)change_base_url, "str: what paths are put behind",
     NULL},
    {NULL},
};

static PyMemberDef Session_members[] = {
    {"pool", T_OBJECT, offsetof(Session, pool), READONLY, "Pool: whose connections are used"},
    {"request_event", T_OBJECT, offsetof(Session, request_event), 0, "locust.event.EventHook"},
    {"user", T_OBJECT, offsetof(Session, user), 0, "locust.User or None"},
    {"request_name", T_OBJECT, offsetof(Session, request_name), 0,
     "str: name of requests that are given none, or None"},
    {"auth_header", T_OBJECT, offsetof(Session, auth_header), 0,
     "str: Authorization of all requests, or None"},
    {"max_retries", T_INT, offsetof(Session, max_retries), 0,
     "int: times that a lost request is sent again at most, if its method is idempotent"},
    {"retries", T_PYSSIZET, offsetof(Session, retries), READONLY,
     "int: times that a request was sent again so far"},
    {"max_redirects", T_INT, offsetof(Session, max_redirects), 0,
     "int: redirects followed for one request at most"},
    {NULL},
};

static PyType_Slot Session_slots[] = {
    {Py_tp_doc, "The C part of opscore_fast.FastHttpSession, which sets it up."},
    {Py_tp_init, Session_init},
    {Py_tp_new, Session_new},
    {Py_tp_dealloc, Session_dealloc},
    {Py_tp_traverse, Session_traverse},
    {Py_tp_clear, Session_clear},
    {Py_tp_methods, Session_methods},
    {Py_tp_getset, Session_getset},
    {Py_tp_members, Session_members},
    {0, NULL},
};

static PyType_Spec Session_spec = {
    .name = "opscore_fast._core.Session",
    .basicsize = sizeof(Session),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = Session_slots,
};

int Session_add(PyObject *module, State *state)
{
    state->session_type = add_type(module, &Session_spec, NULL);
    if (!state->session_type)
        return -1;
    state->session_request =
        PyObject_GetAttr((PyObject *)state->session_type, state->names[NAME_request]);
    return state->session_request ? 0 : -1;
}
