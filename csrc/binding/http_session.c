#include "binding/http_session.h"

#include <structmember.h>

/* Arguments */

static PyObject *none_to_null(PyObject *value)
{
    return value == Py_None ? NULL : value;
}

/* Files one keyword argument that is not among those of FastHttpSession. Returns 1 if it is none of
 * ours either. */
static int set_own_keyword(HttpSession *self, HttpCall *call, PyObject *key, PyObject *value)
{
    PyObject *const *names = self->base.state->names;
    value = none_to_null(value);
    if (key == names[NAME_timeout])
        call->timeout = value;
    else if (key == names[NAME_verify])
        call->verify = value;
    else if (key == names[NAME_cert])
        call->cert = value;
    else if (key == names[NAME_proxies])
        call->proxies = value;
    else if (key == names[NAME_hooks])
        call->hooks = value;
    else if (key == names[NAME_cookies])
        call->cookies = value;
    else if (key == names[NAME_stream])
        call->stream = value;
    else
        return 1;
    return 0;
}

static int set_keyword(HttpSession *self, HttpCall *call, PyObject *key, PyObject *value)
{
    PyObject *const *names = self->base.state->names;
    if (set_own_keyword(self, call, key, value) == 0)
        return 0;
    if (key != names[NAME_max_redirects] && key != names[NAME_max_retries] &&
        Call_set_keyword(&self->base, &call->call, key, value) != 0)
        return -1;
    if (!call->call.extra && key != names[NAME_max_redirects] && key != names[NAME_max_retries])
        return 0;
    PyErr_Format(PyExc_TypeError, "HttpSession.request() got an unexpected keyword argument %R",
                 key);
    return -1;
}

static int set_keywords(HttpSession *self, HttpCall *call, PyObject *const *values, PyObject *keys)
{
    Py_ssize_t n = keys ? PyTuple_GET_SIZE(keys) : 0;
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *key = Py_NewRef(PyTuple_GET_ITEM(keys, i));
        PyUnicode_InternInPlace(&key);
        int ret = set_keyword(self, call, key, values[i]);
        Py_DECREF(key);
        if (ret != 0)
            return -1;
    }
    return 0;
}

/* What Locust's get(), post() and so on hand to request(). */
static PyObject *usual_of(const HttpSession *self, const Call *call)
{
    PyObject *const *names = self->base.state->names;
    PyObject *kwargs = PyDict_New();
    bool redirects = call->method == names[NAME_GET] || call->method == names[NAME_OPTIONS];
    if (kwargs &&
        (PyDict_SetItem(kwargs, names[NAME_data], call->data ? call->data : Py_None) != 0 ||
         PyDict_SetItem(kwargs, names[NAME_json], call->json ? call->json : Py_None) != 0 ||
         ((redirects || call->method == names[NAME_HEAD]) &&
          PyDict_SetItem(kwargs, names[NAME_allow_redirects], redirects ? Py_True : Py_False) !=
              0)))
        Py_CLEAR(kwargs);
    return kwargs;
}

/* A request by a function named for its method: url and up to n_more positional arguments (data,
 * json). */
static PyObject *by_method(HttpSession *self, int method, int n_more, PyObject *const *args,
                           Py_ssize_t nargs, PyObject *keys)
{
    HttpCall call = {
        .call = {.max_retries = self->base.max_retries, .allow_redirects = method != NAME_HEAD}};
    PyObject *response = NULL;
    if (nargs > 1 + n_more)
        return Call_refuse_positional(1 + n_more, nargs);
    call.call.path = nargs > 0 ? args[0] : NULL;
    call.call.data = nargs > 1 ? args[1] : NULL;
    call.call.json = nargs > 2 ? args[2] : NULL;
    call.call.method = Py_NewRef(self->base.state->names[method]);
    if (set_keywords(self, &call, args + nargs, keys) == 0) {
        if (!call.call.path)
            response = Call_refuse_missing("url");
        else if (self->base.own_request)
            response = Call_by_own_request(&self->base, &call.call, usual_of(self, &call.call),
                                           args + nargs, keys);
        else
            response = HttpSession_perform(self, &call);
    }
    Call_fini(&call.call);
    return response;
}

#define BY_METHOD(function, method, n_more)                                                        \
    static PyObject *HttpSession_##function(HttpSession *self, PyObject *const *args,              \
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

/* The positional parameters of locust.clients.HttpSession.request. */
static const int request_parameters[] = {NAME_method, NAME_url, NAME_name, NAME_catch_response,
                                         NAME_context};
#define N_PARAMETERS ((Py_ssize_t)(sizeof(request_parameters) / sizeof(*request_parameters)))

static PyObject *HttpSession_request(HttpSession *self, PyObject *const *args, Py_ssize_t nargs,
                                     PyObject *keys)
{
    HttpCall call = {.call = {.max_retries = self->base.max_retries, .allow_redirects = true}};
    PyObject *response = NULL;
    if (nargs > N_PARAMETERS)
        return Call_refuse_positional(N_PARAMETERS, nargs);
    for (Py_ssize_t i = 0; i < nargs; i++)
        if (set_keyword(self, &call, self->base.state->names[request_parameters[i]], args[i]) != 0)
            goto out;
    if (set_keywords(self, &call, args + nargs, keys) != 0)
        goto out;
    if (!call.call.method)
        Call_refuse_missing("method");
    else if (!call.call.path)
        Call_refuse_missing("url");
    else
        response = HttpSession_perform(self, &call);

out:
    Call_fini(&call.call);
    return response;
}

/* The type */

static int HttpSession_init(HttpSession *self, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {"base_url",    "request_event", "user",     "pool", "response_type",
                               "max_retries", "own_context",   "is_plain", NULL};
    Session *base = &self->base;
    PyObject *base_url, *event, *user, *pool, *response_type;
    int own_context, is_plain;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOOO!O!ipp:HttpSession", keywords, &base_url,
                                     &event, &user, base->state->pool_type, &pool, &PyType_Type,
                                     &response_type, &base->max_retries, &own_context, &is_plain))
        return -1;
    if (!PyType_IsSubtype((PyTypeObject *)response_type, base->state->http_response_type)) {
        PyErr_SetString(PyExc_TypeError, "response_type is derived from HttpResponse");
        return -1;
    }
    if (!self->response_type) /* before the pool, without which it is not asked for */
        self->response_type = (PyTypeObject *)Py_NewRef(response_type);
    if (Session_set_up(base, base_url, event, user, pool, own_context) != 0)
        return -1;
    self->is_plain = is_plain;
    base->goes_on = true;
    return Session_note_request(base, base->state->http_request);
}

/* clang-format off */
#define OBJECTS(X)                                                                                 \
    X(headers) X(auth) X(params) X(hooks) X(proxies) X(cookies) X(verify) X(cert) X(stream)        \
    X(trust_env) X(tls_verify) X(tls_cert) X(tls_pool)
/* clang-format on */

static int HttpSession_traverse(HttpSession *self, visitproc visit, void *arg)
{
#define VISIT(member) Py_VISIT(self->member);
    OBJECTS(VISIT)
#undef VISIT
    Py_VISIT(self->response_type);
    int ret = CookieMemo_traverse(&self->cookie_memo, visit, arg);
    return ret ? ret : Session_traverse(&self->base, visit, arg);
}

/* Breaks cycles; a session without its type could not be called any more. */
static int HttpSession_clear(HttpSession *self)
{
#define CLEAR(member) Py_CLEAR(self->member);
    OBJECTS(CLEAR)
#undef CLEAR
    CookieMemo_clear(&self->cookie_memo);
    return Session_clear(&self->base);
}

static void HttpSession_dealloc(HttpSession *self)
{
    PyObject_GC_UnTrack(self);
    HttpSession_clear(self);
    Py_XDECREF(self->response_type);
    Session_dealloc(&self->base);
}

#define REQUEST_METHOD(name, signature, text)                                                      \
    {#name, (PyCFunction)(void (*)(void))HttpSession_##name, METH_FASTCALL | METH_KEYWORDS,        \
     #name "($self, " signature ")\n--\n\n" text}

static PyMethodDef HttpSession_methods[] = {
    REQUEST_METHOD(request,
                   "method, url, name=None, catch_response=False, context=None, *, data=None, "
                   "json=None, **kwargs",
                   "Send a request and wait for its response; as Locust's HttpSession.request."),
    REQUEST_METHOD(get, "url, **kwargs", "Send a GET request."),
    REQUEST_METHOD(head, "url, **kwargs", "Send a HEAD request."),
    REQUEST_METHOD(options, "url, **kwargs", "Send an OPTIONS request."),
    REQUEST_METHOD(delete, "url, **kwargs", "Send a DELETE request."),
    REQUEST_METHOD(patch, "url, data=None, **kwargs", "Send a PATCH request."),
    REQUEST_METHOD(put, "url, data=None, **kwargs", "Send a PUT request."),
    REQUEST_METHOD(post, "url, data=None, json=None, **kwargs", "Send a POST request."),
    {"_send", (PyCFunction)HttpSession_send, METH_VARARGS,
     "_send($self, method, url, headers, body, stream, connect_timeout, read_timeout, pool, "
     "proxy, auth, /)\n"
     "--\n\nSend what requests has put together, and wait for the response."},
    {"_lose", (PyCFunction)HttpSession_lose, METH_O,
     "_lose($self, error, /)\n--\n\nThe response to a request that an error kept from being sent."},
    {NULL},
};

#define OBJECT(name, text) {#name, T_OBJECT, offsetof(HttpSession, name), 0, text}

static PyMemberDef HttpSession_members[] = {
    OBJECT(headers, "CaseInsensitiveDict: headers of every request"),
    OBJECT(auth, "pair or callable: credentials of every request"),
    OBJECT(params, "dict: parameters of every request"),
    OBJECT(hooks, "dict: functions that every response is given to"),
    OBJECT(proxies, "dict: proxies by scheme"),
    OBJECT(cookies, "RequestsCookieJar: the session's cookies"),
    OBJECT(verify, "bool or str: whether certificates are checked, or the CAs to trust"),
    OBJECT(cert, "str or pair: client certificate"),
    OBJECT(stream, "bool: of no effect, as Locust reads each body that no call wants as a stream"),
    OBJECT(trust_env, "bool: whether the environment names proxies and credentials"),
    {NULL},
};

static PyType_Slot HttpSession_slots[] = {
    {Py_tp_doc, "The C part of opscore_fast.HttpSession, which sets it up."},
    {Py_tp_init, HttpSession_init},
    {Py_tp_dealloc, HttpSession_dealloc},
    {Py_tp_traverse, HttpSession_traverse},
    {Py_tp_clear, HttpSession_clear},
    {Py_tp_methods, HttpSession_methods},
    {Py_tp_members, HttpSession_members},
    {0, NULL},
};

static PyType_Spec HttpSession_spec = {
    .name = "opscore_fast._core.HttpSession",
    .basicsize = sizeof(HttpSession),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = HttpSession_slots,
};

int HttpSession_add(PyObject *module, State *state)
{
    return Session_add_derived(module, state, &HttpSession_spec, &state->http_request);
}
