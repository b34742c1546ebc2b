#include "binding/fast_session.h"

#include <structmember.h>

/* What Locust's put(), post() and so on hand to request(), with up to n_more positional arguments.
 */
static PyObject *body_of(const FastSession *self, const Call *call, int n_more)
{
    PyObject *const *names = self->base.state->names;
    PyObject *kwargs = PyDict_New();
    if (kwargs && ((n_more > 0 && PyDict_SetItem(kwargs, names[NAME_data],
                                                 call->data ? call->data : Py_None) != 0) ||
                   (n_more > 1 && PyDict_SetItem(kwargs, names[NAME_json],
                                                 call->json ? call->json : Py_None) != 0)))
        Py_CLEAR(kwargs);
    return kwargs;
}

/* A request by a function named for its method: url and up to n_more positional arguments (data,
 * json). */
static PyObject *by_method(FastSession *self, int method, int n_more, PyObject *const *args,
                           Py_ssize_t nargs, PyObject *keys)
{
    Call call = {.max_redirects = self->base.max_redirects,
                 .max_retries = self->base.max_retries,
                 .allow_redirects = true};
    PyObject *response = NULL;
    if (nargs > 1 + n_more)
        return Call_refuse_positional(1 + n_more, nargs);
    call.path = nargs > 0 ? args[0] : NULL;
    call.data = nargs > 1 ? args[1] : NULL;
    call.json = nargs > 2 ? args[2] : NULL;
    call.method = Py_NewRef(self->base.state->names[method]);
    if (Call_set_keywords(&self->base, &call, args + nargs, keys) == 0) {
        if (!call.path)
            response = Call_refuse_missing("url");
        else if (self->base.own_request)
            response = Call_by_own_request(&self->base, &call, body_of(self, &call, n_more),
                                           args + nargs, keys);
        else
            response = FastSession_perform(self, &call);
    }
    Call_fini(&call);
    return response;
}

#define BY_METHOD(function, method, n_more)                                                        \
    static PyObject *FastSession_##function(FastSession *self, PyObject *const *args,              \
                                            Py_ssize_t nargs, PyObject *keys)                      \
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

static PyObject *FastSession_request(FastSession *self, PyObject *const *args, Py_ssize_t nargs,
                                     PyObject *keys)
{
    Call call = {.max_redirects = self->base.max_redirects,
                 .max_retries = self->base.max_retries,
                 .allow_redirects = true};
    PyObject *response = NULL;
    if (nargs > N_PARAMETERS)
        return Call_refuse_positional(N_PARAMETERS, nargs);
    for (Py_ssize_t i = 0; i < nargs; i++)
        if (Call_set_keyword(&self->base, &call, self->base.state->names[request_parameters[i]],
                             args[i]) != 0)
            goto out;
    if (Call_set_keywords(&self->base, &call, args + nargs, keys) != 0)
        goto out;
    if (!call.method)
        Call_refuse_missing("method");
    else if (!call.path)
        Call_refuse_missing("url");
    else
        response = FastSession_perform(self, &call);

out:
    Call_fini(&call);
    return response;
}

/* The type */

static int set_default_headers(FastSession *self, PyObject *headers)
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

static int FastSession_init(FastSession *self, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {"base_url",    "request_event",   "user",
                               "pool",        "default_headers", "max_redirects",
                               "max_retries", "own_context",     NULL};
    Session *base = &self->base;
    PyObject *base_url, *event, *user, *pool, *headers;
    int own_context;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOOO!O!iip:FastSession", keywords, &base_url,
                                     &event, &user, base->state->pool_type, &pool, &PyList_Type,
                                     &headers, &base->max_redirects, &base->max_retries,
                                     &own_context) ||
        Session_set_up(base, base_url, event, user, pool, own_context) != 0 ||
        Session_note_request(base, base->state->fast_request) != 0)
        return -1;
    return set_default_headers(self, headers);
}

static PyObject *get_cookiejar(FastSession *self, void *Py_UNUSED(closure))
{
    if (!self->cookiejar) {
        PyObject *make = state_helper(self->base.state, HELPER_new_cookiejar);
        self->cookiejar = make ? PyObject_CallNoArgs(make) : NULL;
    }
    return Py_XNewRef(self->cookiejar);
}

static int set_cookiejar(FastSession *self, PyObject *value, void *Py_UNUSED(closure))
{
    Py_XSETREF(self->cookiejar, value && value != Py_None ? Py_NewRef(value) : NULL);
    return 0;
}

static int FastSession_traverse(FastSession *self, visitproc visit, void *arg)
{
    Py_VISIT(self->cookiejar);
    int ret = CookieMemo_traverse(&self->cookie_memo, visit, arg);
    return ret ? ret : Session_traverse(&self->base, visit, arg);
}

static int FastSession_clear(FastSession *self)
{
    Py_CLEAR(self->cookiejar);
    CookieMemo_clear(&self->cookie_memo);
    return Session_clear(&self->base);
}

static void FastSession_dealloc(FastSession *self)
{
    PyObject_GC_UnTrack(self);
    Py_CLEAR(self->cookiejar);
    CookieMemo_clear(&self->cookie_memo);
    for (Py_ssize_t i = 0; i < self->n_defaults; i++) {
        Py_DECREF(self->defaults[i].name);
        Py_DECREF(self->defaults[i].value);
    }
    PyMem_Free(self->defaults);
    Py_XDECREF(self->auth_header);
    Session_dealloc(&self->base);
}

#define REQUEST_METHOD(name, signature, text)                                                      \
    {#name, (PyCFunction)(void (*)(void))FastSession_##name, METH_FASTCALL | METH_KEYWORDS,        \
     #name "($self, " signature ")\n--\n\n" text}

static PyMethodDef FastSession_methods[] = {
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

static PyGetSetDef FastSession_getset[] = {
    {"cookiejar", (getter)get_cookiejar, (setter)set_cookiejar,
     "http.cookiejar.CookieJar: the session's cookies", NULL},
    {NULL},
};

static PyMemberDef FastSession_members[] = {
    {"auth_header", T_OBJECT, offsetof(FastSession, auth_header), 0,
     "str: Authorization of all requests, or None"},
    {NULL},
};

static PyType_Slot FastSession_slots[] = {
    {Py_tp_doc, "The C part of opscore_fast.FastHttpSession, which sets it up."},
    {Py_tp_init, FastSession_init},
    {Py_tp_dealloc, FastSession_dealloc},
    {Py_tp_traverse, FastSession_traverse},
    {Py_tp_clear, FastSession_clear},
    {Py_tp_methods, FastSession_methods},
    {Py_tp_getset, FastSession_getset},
    {Py_tp_members, FastSession_members},
    {0, NULL},
};

static PyType_Spec FastSession_spec = {
    .name = "opscore_fast._core.FastSession",
    .basicsize = sizeof(FastSession),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = FastSession_slots,
};

int FastSession_add(PyObject *module, State *state)
{
    return Session_add_derived(module, state, &FastSession_spec, &state->fast_request);
}
