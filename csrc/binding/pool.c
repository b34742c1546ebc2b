#include "binding/pool.h"

#include <structmember.h>

uint64_t seconds_to_ns(double seconds)
{
    if (!(seconds > 0))
        return 0;
    return seconds > 1e9 ? 0 : (uint64_t)(seconds * 1e9);
}

static int make_engine(Pool *self)
{
    if (!self->engine_factory) {
        PyErr_SetString(PyExc_RuntimeError, "the Pool is not set up");
        return -1;
    }
    PyObject *engine = PyObject_CallNoArgs(self->engine_factory);
    if (engine && !PyObject_TypeCheck(engine, self->state->engine_type)) {
        PyErr_SetString(PyExc_TypeError, "engine_factory must return an Engine");
        Py_CLEAR(engine);
    }
    if (!engine)
        return -1;
    if (self->engine) /* made by a request that came between */
        Py_DECREF(engine);
    else
        self->engine = (Engine *)engine;
    return 0;
}

int Pool_ready(Pool *self)
{
    if (!self->engine && make_engine(self) != 0)
        return -1;
    if (Engine_check(self->engine) != 0)
        return -1;
    if (self->pool)
        return 0;
    char text[512];
    int error;
    self->pool = opf_pool_new(self->engine->engine, &self->options, &error, text, sizeof(text));
    if (self->pool)
        return 0;
    if (error == OPF_EINVAL)
        PyErr_SetString(PyExc_ValueError, text);
    else
        PyErr_NoMemory();
    return -1;
}

/* The type */

static int keep_path(Pool *self, PyObject *bytes, const char *name, const char **path)
{
    if (bytes == Py_None)
        return 0;
    if (!PyBytes_Check(bytes)) {
        PyErr_Format(PyExc_TypeError, "%s is bytes or None", name);
        return -1;
    }
    *path = PyBytes_AS_STRING(bytes);
    return PyList_Append(self->strings, bytes);
}

static PyObject *Pool_new(PyTypeObject *type, PyObject *Py_UNUSED(args),
                          PyObject *Py_UNUSED(kwargs))
{
    Pool *self = (Pool *)type->tp_alloc(type, 0);
    if (self)
        self->state = state_of(type);
    return (PyObject *)self;
}

static int Pool_init(Pool *self, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {
        "engine_factory", "concurrency", "connection_timeout", "network_timeout", "verify",
        "ca_file",        "ca_dir",      "max_headers",        "max_body",        NULL};
    PyObject *factory, *ca_file = Py_None, *ca_dir = Py_None;
    double connection_timeout = 60.0, network_timeout = 60.0;
    unsigned int concurrency = 10;
    int verify = 0;
    Py_ssize_t max_headers = 0, max_body = 0;
    if (self->engine_factory) {
        PyErr_SetString(PyExc_RuntimeError, "a Pool is set up once");
        return -1;
    }
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|IddpOOnn:Pool", keywords, &factory,
                                     &concurrency, &connection_timeout, &network_timeout, &verify,
                                     &ca_file, &ca_dir, &max_headers, &max_body))
        return -1;
    self->options = (opf_pool_options){
        .concurrency = concurrency,
        .timeouts = {seconds_to_ns(connection_timeout), seconds_to_ns(network_timeout)},
        .max_headers = max_headers > 0 ? (size_t)max_headers : 0,
        .max_body = max_body > 0 ? (size_t)max_body : 0,
        .tls.verify = verify};
    self->strings = PyList_New(0);
    if (!self->strings || keep_path(self, ca_file, "ca_file", &self->options.tls.ca_file) != 0 ||
        keep_path(self, ca_dir, "ca_dir", &self->options.tls.ca_dir) != 0)
        return -1;
    self->engine_factory = Py_NewRef(factory);
    return 0;
}

static PyObject *Pool_close_idle(Pool *self, PyObject *Py_UNUSED(ignored))
{
    if (self->pool)
        opf_pool_close_idle(self->pool);
    Py_RETURN_NONE;
}

static int Pool_traverse(Pool *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->engine);
    Py_VISIT(self->engine_factory);
    return 0;
}

static void Pool_dealloc(Pool *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    opf_pool_free(self->pool);
    Py_XDECREF(self->strings);
    Py_XDECREF(self->engine_factory);
    Py_XDECREF(self->engine);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef Pool_methods[] = {
    {"close_idle_connections", (PyCFunction)Pool_close_idle, METH_NOARGS,
     "close_idle_connections($self, /)\n--\n\nClose the kept connections: the next request makes a "
     "new one."},
    {NULL},
};

static PyType_Slot Pool_slots[] = {
    {Py_tp_doc, "Connections of one user, or of several that share them, and their options.\n\n"
                "Times in seconds (0: no limit), sizes in bytes (0: the engine's default)."},
    {Py_tp_init, Pool_init},
    {Py_tp_new, Pool_new},
    {Py_tp_dealloc, Pool_dealloc},
    {Py_tp_traverse, Pool_traverse},
    {Py_tp_methods, Pool_methods},
    {0, NULL},
};

static PyType_Spec Pool_spec = {
    .name = "opscore_fast._core.Pool",
    .basicsize = sizeof(Pool),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = Pool_slots,
};

int Pool_add(PyObject *module, State *state)
{
    state->pool_type = add_type(module, &Pool_spec, NULL);
    return state->pool_type ? 0 : -1;
}
