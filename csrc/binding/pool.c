#include "binding/pool.h"

#include <structmember.h>

#include "binding/ssl_context.h"

uint64_t seconds_to_ns(double seconds)
{
    if (!(seconds > 0))
        return 0;
    return seconds > 1e9 ? 0 : (uint64_t)(seconds * 1e9);
}

/* Has the connections under TLS be made with an ssl.SSLContext. */
static int take_context(Pool *self, PyObject *context)
{
    opf_tls_options *tls = &self->options.tls;
    PyObject *check = PyObject_GetAttrString(context, "check_hostname");
    int checks = check ? PyObject_IsTrue(check) : -1;
    Py_XDECREF(check);
    if (checks < 0)
        PyErr_Clear(); /* it is no context, and there are better words for that */
    tls->ssl_ctx = ssl_context_get(context);
    tls->check_name = checks > 0;
    return tls->ssl_ctx ? PyList_Append(self->kept, context) : -1;
}

int Pool_make_context(Pool *self)
{
    if (!self->context_factory)
        return 0;
    PyObject *context = PyObject_CallNoArgs(self->context_factory);
    int ret = context ? 0 : -1;
    if (context && self->context_factory) /* else made by a request that came between */
        ret = take_context(self, context);
    Py_XDECREF(context);
    if (ret == 0)
        Py_CLEAR(self->context_factory);
    return ret;
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
    if (!self->pool && Pool_make_context(self) != 0)
        return -1;
    if (self->pool)
        return 0;
    char text[512];
    int error;
    self->pool = opf_pool_new(self->engine->engine, &self->options, &error, text, sizeof(text));
    if (self->pool)
        return 0;
    if (error == OPF_EINVAL)
        PyErr_Format(PyExc_ValueError, "%s", text); /* a path's bytes may be no UTF-8 */
    else
        PyErr_NoMemory();
    return -1;
}

/* The type */

/* Points *text into a bytes object, or leaves it for None. */
static int keep_text(Pool *self, PyObject *bytes, const char *name, const char **text)
{
    char *data;
    if (bytes == Py_None)
        return 0;
    if (!PyBytes_Check(bytes)) {
        PyErr_Format(PyExc_TypeError, "%s is bytes or None", name);
        return -1;
    }
    if (PyBytes_AsStringAndSize(bytes, &data, NULL) != 0) /* with a NUL in it */
        return -1;
    *text = data;
    return PyList_Append(self->kept, bytes);
}

static int keep_sources(Pool *self, PyObject *list)
{
    opf_network_options *network = &self->options.network;
    Py_ssize_t n = PyList_GET_SIZE(list);
    self->sources = n ? PyMem_Calloc((size_t)n, sizeof(*self->sources)) : NULL;
    if (n && !self->sources) {
        PyErr_NoMemory();
        return -1;
    }
    network->sources = self->sources;
    for (Py_ssize_t i = 0; i < n; i++) {
        self->sources[i] = "";
        if (keep_text(self, PyList_GET_ITEM(list, i), "a source", &self->sources[i]) != 0)
            return -1;
        network->n_sources++;
    }
    return 0;
}

static int keep_resolve(Pool *self, PyObject *list)
{
    opf_network_options *network = &self->options.network;
    Py_ssize_t n = PyList_GET_SIZE(list);
    self->resolve = n ? PyMem_Calloc((size_t)n, sizeof(*self->resolve)) : NULL;
    if (n && !self->resolve) {
        PyErr_NoMemory();
        return -1;
    }
    network->resolve = self->resolve;
    for (Py_ssize_t i = 0; i < n; i++) {
        opf_resolve *resolve = &self->resolve[i];
        PyObject *host, *address;
        if (!PyArg_ParseTuple(PyList_GET_ITEM(list, i), "SHS", &host, &resolve->port, &address) ||
            keep_text(self, host, "a host", &resolve->host) != 0 ||
            keep_text(self, address, "an address", &resolve->address) != 0)
            return -1;
        network->n_resolve++;
    }
    return 0;
}

/* What Pool() is given for its options. */
typedef struct Given {
    PyObject *ca_file, *ca_dir, *cert_file, *key_file, *key_password, *ciphers, *ciphersuites;
    PyObject *ssl_context, *make_ssl_context, *server_name, *sources, *resolve, *unix_path;
    double connection_timeout, network_timeout, idle_timeout;
    Py_ssize_t max_headers, max_body;
    unsigned int concurrency, keep_alive;
    unsigned int http2_connections, http2_window, http2_connection_window, http2_streams;
    int verify, min_version, max_version, resume, delay, http2;
} Given;

static int keep_tls(Pool *self, const Given *given)
{
    opf_tls_options *tls = &self->options.tls;
    if (given->ssl_context != Py_None && take_context(self, given->ssl_context) != 0)
        return -1;
    if (given->make_ssl_context != Py_None)
        self->context_factory = Py_NewRef(given->make_ssl_context);
    return keep_text(self, given->ca_file, "ca_file", &tls->ca_file) != 0 ||
                   keep_text(self, given->ca_dir, "ca_dir", &tls->ca_dir) != 0 ||
                   keep_text(self, given->cert_file, "cert_file", &tls->cert_file) != 0 ||
                   keep_text(self, given->key_file, "key_file", &tls->key_file) != 0 ||
                   keep_text(self, given->key_password, "key_password", &tls->key_password) != 0 ||
                   keep_text(self, given->ciphers, "ciphers", &tls->ciphers) != 0 ||
                   keep_text(self, given->ciphersuites, "ciphersuites", &tls->ciphersuites) != 0
               ? -1
               : 0;
}

static int keep_options(Pool *self, const Given *given)
{
    opf_pool_options *options = &self->options;
    if (keep_tls(self, given) != 0 ||
        keep_text(self, given->server_name, "server_name", &options->server_name) != 0 ||
        keep_text(self, given->unix_path, "unix_path", &options->network.unix_path) != 0)
        return -1;
    if (given->sources && keep_sources(self, given->sources) != 0)
        return -1;
    return given->resolve ? keep_resolve(self, given->resolve) : 0;
}

static PyObject *Pool_new(PyTypeObject *type, PyObject *Py_UNUSED(args),
                          PyObject *Py_UNUSED(kwargs))
{
    Pool *self = (Pool *)type->tp_alloc(type, 0);
    if (self)
        self->state = state_of(type);
    return (PyObject *)self;
}

/* Fills in given; *factory is borrowed from args. */
static int parse(PyObject *args, PyObject *kwargs, PyObject **factory, Given *given)
{
    static char *keywords[] = {
        "engine_factory", "concurrency", "connection_timeout", "network_timeout", "verify",
        "ca_file", "ca_dir", "max_headers", "max_body",
        /* by name only */
        "cert_file", "key_file", "key_password", "min_version", "max_version", "ciphers",
        "ciphersuites", "ssl_context", "make_ssl_context", "server_name", "tls_resume", "sources",
        "resolve", "unix_path", "keep_alive", "delay", "http2", "http2_connections", "http2_window",
        "http2_connection_window", "http2_streams", "idle_timeout", NULL};
    *given = (Given){.ca_file = Py_None,
                     .ca_dir = Py_None,
                     .cert_file = Py_None,
                     .key_file = Py_None,
                     .key_password = Py_None,
                     .ciphers = Py_None,
                     .ciphersuites = Py_None,
                     .ssl_context = Py_None,
                     .make_ssl_context = Py_None,
                     .server_name = Py_None,
                     .unix_path = Py_None,
                     .connection_timeout = 60.0,
                     .network_timeout = 60.0,
                     .concurrency = 10,
                     .http2 = OPF_HTTP2_OFF};
    if (PyArg_ParseTupleAndKeywords(
            args, kwargs, "O|IddpOOnn$OOOiiOOOOOpO!O!OIpiIIIId:Pool", keywords, factory,
            &given->concurrency, &given->connection_timeout, &given->network_timeout,
            &given->verify, &given->ca_file, &given->ca_dir, &given->max_headers, &given->max_body,
            &given->cert_file, &given->key_file, &given->key_password, &given->min_version,
            &given->max_version, &given->ciphers, &given->ciphersuites, &given->ssl_context,
            &given->make_ssl_context, &given->server_name, &given->resume, &PyList_Type,
            &given->sources, &PyList_Type, &given->resolve, &given->unix_path, &given->keep_alive,
            &given->delay, &given->http2, &given->http2_connections, &given->http2_window,
            &given->http2_connection_window, &given->http2_streams, &given->idle_timeout))
        return 0;
    return -1;
}

static int check_given(const Given *given)
{
    if (given->http2 < OPF_HTTP2_OFF || given->http2 > OPF_HTTP2_PRIOR) {
        PyErr_SetString(PyExc_ValueError, "no such way to speak HTTP/2");
        return -1;
    }
    if (given->min_version < OPF_TLS_ANY || given->min_version > OPF_TLS_1_3 ||
        given->max_version < OPF_TLS_ANY || given->max_version > OPF_TLS_1_3) {
        PyErr_SetString(PyExc_ValueError, "no such version of TLS");
        return -1;
    }
    return 0;
}

/* The options that are no objects. */
static opf_pool_options plain_options(const Given *given)
{
    return (opf_pool_options){
        .concurrency = given->concurrency,
        .http2 = (opf_http2)given->http2,
        .http2_connections = given->http2_connections,
        .http2_window = given->http2_window,
        .http2_connection_window = given->http2_connection_window,
        .http2_streams = given->http2_streams,
        .timeouts = {seconds_to_ns(given->connection_timeout),
                     seconds_to_ns(given->network_timeout)},
        .idle_ns = seconds_to_ns(given->idle_timeout),
        .max_headers = given->max_headers > 0 ? (size_t)given->max_headers : 0,
        .max_body = given->max_body > 0 ? (size_t)given->max_body : 0,
        .tls = {.verify = given->verify,
                .min_version = (opf_tls_version)given->min_version,
                .max_version = (opf_tls_version)given->max_version},
        .tls_resume = given->resume,
        .network = {.keep_alive_s = given->keep_alive, .delay = given->delay}};
}

static int Pool_init(Pool *self, PyObject *args, PyObject *kwargs)
{
    PyObject *factory;
    Given given;
    if (self->kept) {
        PyErr_SetString(PyExc_RuntimeError, "a Pool is set up once");
        return -1;
    }
    if (parse(args, kwargs, &factory, &given) != 0 || check_given(&given) != 0)
        return -1;
    self->options = plain_options(&given);
    self->kept = PyList_New(0);
    if (!self->kept || keep_options(self, &given) != 0)
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
    Py_VISIT(self->context_factory);
    Py_VISIT(self->engine_factory);
    Py_VISIT(self->kept);
    return 0;
}

static void Pool_dealloc(Pool *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    opf_pool_free(self->pool);
    PyMem_Free(self->sources);
    PyMem_Free(self->resolve);
    Py_XDECREF(self->kept);
    Py_XDECREF(self->engine_factory);
    Py_XDECREF(self->context_factory);
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
