#include "binding/session.h"

#include <structmember.h>

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

int Session_set_up(Session *self, PyObject *base_url, PyObject *event, PyObject *user,
                   PyObject *pool, bool own_context)
{
    if (self->pool) {
        PyErr_SetString(PyExc_RuntimeError, "a session is set up once");
        return -1;
    }
    self->pool = (Pool *)Py_NewRef(pool);
    Py_XSETREF(self->request_event, Py_NewRef(event));
    Py_XSETREF(self->user, Py_NewRef(user));
    self->own_context = own_context;
    return set_base_url(self, base_url);
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

int Session_traverse(Session *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->pool);
    Py_VISIT(self->base_url);
    Py_VISIT(self->request_event);
    Py_VISIT(self->user);
    Py_VISIT(self->request_name);
    Py_VISIT(self->proxy);
    Py_VISIT(self->scheme_auth);
    Py_VISIT(self->known_handler);
    Py_VISIT(self->collector);
    Py_VISIT(self->environment);
    Py_VISIT(self->stats);
    Py_VISIT(self->stats_module);
    Py_VISIT(self->bucket_function);
    return 0;
}

/* Breaks cycles; what requests rely on becomes None. */
int Session_clear(Session *self)
{
    if (self->base_url)
        Py_SETREF(self->base_url, Py_NewRef(Py_None));
    self->base_parsed = false;
    Py_XSETREF(self->request_event, Py_NewRef(Py_None));
    Py_XSETREF(self->user, Py_NewRef(Py_None));
    Py_CLEAR(self->request_name);
    Py_CLEAR(self->proxy);
    Py_CLEAR(self->scheme_auth);
    Session_forget_listener(self);
    return 0;
}

void Session_dealloc(Session *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Session_clear(self);
    Py_XDECREF(self->request_event);
    Py_XDECREF(self->user);
    Py_XDECREF(self->pool);
    Py_XDECREF(self->base_url);
    Py_XDECREF(self->base_bytes);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyGetSetDef Session_getset[] = {
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
    {"_proxy", T_OBJECT, offsetof(Session, proxy), 0, "Proxy of all requests, or None"},
    {"_scheme_auth", T_OBJECT, offsetof(Session, scheme_auth), 0,
     "SchemeAuth of requests that have no credentials of their own, or None"},
    {"_by_libcurl", T_BOOL, offsetof(Session, by_libcurl), 0,
     "bool: libcurl does all requests, not only those that take it"},
    {"_names_protocol", T_BOOL, offsetof(Session, names_protocol), 0,
     "bool: what was spoken stands behind the name by which a request is counted"},
    {"max_retries", T_INT, offsetof(Session, max_retries), 0,
     "int: times that a lost request is sent again at most, if its method is idempotent"},
    {"retries", T_PYSSIZET, offsetof(Session, retries), READONLY,
     "int: times that a request was sent again so far"},
    {"max_redirects", T_INT, offsetof(Session, max_redirects), 0,
     "int: redirects followed for one request at most"},
    {NULL},
};

static PyType_Slot Session_slots[] = {
    {Py_tp_doc, "What a FastSession and an HttpSession have in common."},
    {Py_tp_new, Session_new},
    {Py_tp_dealloc, Session_dealloc},
    {Py_tp_traverse, Session_traverse},
    {Py_tp_clear, Session_clear},
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

int Session_note_request(Session *self, PyObject *usual)
{
    PyObject *request =
        PyObject_GetAttr((PyObject *)Py_TYPE(self), self->state->names[NAME_request]);
    if (!request)
        return -1;
    self->own_request = request != usual;
    Py_DECREF(request);
    return 0;
}

int Session_add_derived(PyObject *module, State *state, PyType_Spec *spec, PyObject **request)
{
    PyTypeObject *type = add_type(module, spec, (PyObject *)state->session_type);
    if (!type)
        return -1;
    *request = PyObject_GetAttr((PyObject *)type, state->names[NAME_request]);
    Py_DECREF(type);
    return *request ? 0 : -1;
}

int Session_add(PyObject *module, State *state)
{
    state->session_type = add_type(module, &Session_spec, NULL);
    return state->session_type ? 0 : -1;
}
