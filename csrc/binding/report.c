/* How a session's requests reach Locust: counted in C while only Locust's own statistics listen to
 * the request event, or as events. */
#include "binding/session.h"

/* The one listener of the event: a new reference; NULL if there is another number of them (or no
 * list of them at all). */
static PyObject *only_handler(Session *self)
{
    PyObject *event = Response_or_none(self->request_event); /* held: it may go meanwhile */
    PyObject *handlers = PyObject_GetAttr(event, self->state->names[NAME__handlers]);
    PyObject *handler = NULL;
    Py_DECREF(event);
    if (!handlers) {
        PyErr_Clear();
        return NULL;
    }
    if (PyList_CheckExact(handlers) && PyList_GET_SIZE(handlers) == 1)
        handler = Py_NewRef(PyList_GET_ITEM(handlers, 0));
    Py_DECREF(handlers);
    return handler;
}

void Session_forget_listener(Session *self)
{
    Py_CLEAR(self->known_handler);
    Py_CLEAR(self->collector);
    Py_CLEAR(self->environment);
    Py_CLEAR(self->stats);
    Py_CLEAR(self->stats_module);
    Py_CLEAR(self->bucket_function);
}

/* Takes over what attach() has found out about the one listener: None, or a collector with what it
 * fills. */
static int attach(Session *self, PyObject *handler)
{
    Session_forget_listener(self);
    PyObject *helper = state_helper(self->state, HELPER_attach);
    if (!helper)
        return -1;
    Py_INCREF(handler);
    PyObject *found = PyObject_CallFunctionObjArgs(helper, self->request_event, handler, NULL);
    if (!found) {
        Py_DECREF(handler);
        return -1;
    }
    self->known_handler = handler;
    int ret = 0;
    if (found != Py_None) {
        PyObject *collector, *environment, *stats, *module, *function;
        ret = -1;
        if (PyArg_ParseTuple(found, "O!OOO!O", self->state->collector_type, &collector,
                             &environment, &stats, &PyDict_Type, &module, &function)) {
            self->stats_module = Py_NewRef(module);
            self->bucket_function = function == Py_None ? NULL : Py_NewRef(function);
            self->collector = (Collector *)Py_NewRef(collector);
            self->environment = Py_NewRef(environment);
            self->stats = Py_NewRef(stats);
            ret = 0;
        }
    }
    Py_DECREF(found);
    return ret;
}

/* Somebody else listens, or the statistics are others now: what is counted goes where it belongs.
 */
static int detach(Session *self)
{
    PyObject *stats = self->stats;
    if (!stats) {
        Session_forget_listener(self);
        return 0;
    }
    Py_INCREF(stats);
    Session_forget_listener(self);
    PyObject *helper = state_helper(self->state, HELPER_detach);
    PyObject *done = helper ? PyObject_CallOneArg(helper, stats) : NULL;
    Py_DECREF(stats);
    Py_XDECREF(done);
    return done ? 0 : -1;
}

/* Whether what attach() found out still holds: 0 if not, or -1 with an exception. */
static int is_attached(Session *self, PyObject *handler)
{
    if (handler != self->known_handler)
        return 0;
    if (!self->collector)
        return 1; /* events, as long as this one listens */
    if (Collector_is_closed(self->collector))
        return 0; /* another session has ended the counting for a while */
    if (PyDict_GetItemWithError(self->stats_module,
                                self->state->names[NAME_bucket_response_time]) !=
        self->bucket_function)
        return PyErr_Occurred() ? -1 : 0; /* somebody has replaced what C does in its place */
    PyObject *stats = PyObject_GetAttr(self->environment, self->state->names[NAME_stats]);
    if (!stats)
        return -1;
    Py_DECREF(stats);
    return stats == self->stats;
}

/* Finds the collector that counts this session's requests: *collector is a new reference, NULL:
 * fire the event. */
static int find_collector(Session *self, Collector **collector)
{
    *collector = NULL;
    PyObject *handler = only_handler(self);
    if (!handler)
        return detach(self);
    int ret = is_attached(self, handler);
    if (ret == 0)
        ret = detach(self) != 0 || attach(self, handler) != 0 ? -1 : 1;
    Py_DECREF(handler);
    if (ret < 0)
        return -1;
    *collector = (Collector *)Py_XNewRef((PyObject *)self->collector);
    return 0;
}

static int log_failure(PyObject *stats, Response *response, PyObject *name, PyObject *exception)
{
    PyObject *logged =
        PyObject_CallMethod(stats, "log_failure", "OOO", response->method, name, exception);
    Py_XDECREF(logged);
    return logged ? 0 : -1;
}

static PyObject *context_of(Session *self, Response *response)
{
    PyObject *context =
        self->own_context ? PyObject_CallMethod(self->user, "context", NULL) : PyDict_New();
    if (!context)
        return NULL;
    PyObject *merged = PyDict_New();
    if (!merged || PyDict_Update(merged, context) != 0 ||
        (response->context && PyDict_Update(merged, response->context) != 0))
        Py_CLEAR(merged);
    Py_DECREF(context);
    return merged;
}

static int set(PyObject *dict, PyObject *key, PyObject *value)
{
    int ret = value ? PyDict_SetItem(dict, key, value) : -1;
    Py_XDECREF(value);
    return ret;
}

PyObject *Session_meta(Session *self, Response *response, PyObject *exception)
{
    PyObject *const *names = self->state->names;
    PyObject *meta = PyDict_New();
    if (!meta)
        return NULL;
    if (set(meta, names[NAME_request_type], Py_NewRef(response->method)) != 0 ||
        set(meta, names[NAME_name], Py_NewRef(response->name)) != 0 ||
        set(meta, names[NAME_context], context_of(self, response)) != 0 ||
        set(meta, names[NAME_response], Py_NewRef(response)) != 0 ||
        set(meta, names[NAME_exception], Py_NewRef(exception ? exception : Py_None)) != 0 ||
        set(meta, names[NAME_start_time], PyFloat_FromDouble(response->start_time)) != 0 ||
        set(meta, names[NAME_url], Session_build_url(response->base_url, response->path)) != 0 ||
        set(meta, names[NAME_response_length], PyLong_FromSize_t(Response_length(response))) != 0 ||
        set(meta, names[NAME_response_time],
            PyFloat_FromDouble((double)response->elapsed_ns / 1e6)) != 0) {
        Py_DECREF(meta);
        return NULL;
    }
    return meta;
}

/* The name by which the request is counted: a new reference. */
static PyObject *counted_name(const Session *self, const Response *response, PyObject *name)
{
    const char *protocol =
        self->names_protocol ? opf_result_protocol(Response_result(response)) : NULL;
    return protocol ? PyUnicode_FromFormat("%S [%s]", name, protocol) : Py_NewRef(name);
}

/* The event's arguments of whoever has made or changed them, with the name by which the request is
 * counted: a new dict. */
static PyObject *counted_meta(const Session *self, const Response *response, PyObject *meta)
{
    PyObject *key = self->state->names[NAME_name];
    PyObject *copy = PyDict_Copy(meta);
    PyObject *name = copy ? PyDict_GetItemWithError(copy, key) : NULL;
    PyObject *counted = name ? counted_name(self, response, name) : NULL;
    int ret = counted ? PyDict_SetItem(copy, key, counted) : 0;
    Py_XDECREF(counted);
    if (ret != 0 || PyErr_Occurred())
        Py_CLEAR(copy);
    return copy;
}

static int fire(Session *self, Response *response, PyObject *exception)
{
    PyObject *meta =
        response->meta ? Py_NewRef(response->meta) : Session_meta(self, response, exception);
    if (meta && self->names_protocol)
        Py_SETREF(meta, counted_meta(self, response, meta));
    if (!meta)
        return -1;
    int ret = -1;
    PyObject *fired = NULL, *none = PyTuple_New(0);
    PyObject *event = Response_or_none(self->request_event);
    PyObject *function = PyObject_GetAttr(event, self->state->names[NAME_fire]);
    if (function && none &&
        PyDict_SetItem(meta, self->state->names[NAME_exception], exception ? exception : Py_None) ==
            0)
        fired = PyObject_Call(function, none, meta);
    if (fired)
        ret = 0;
    Py_XDECREF(fired);
    Py_XDECREF(function);
    Py_XDECREF(none);
    Py_DECREF(event);
    Py_DECREF(meta);
    return ret;
}

static int record(Session *self, Collector *collector, Response *response, PyObject *exception)
{
    PyObject *name = counted_name(self, response, response->name);
    if (!name)
        return -1;
    PyObject *stats = Py_NewRef(self->stats);
    int ret = Collector_record(collector, response->method, name, response->elapsed_ns,
                               Response_length(response));
    if (ret != 0)
        ret = PyErr_Occurred() ? -1 : fire(self, response, exception);
    else if (exception)
        ret = log_failure(stats, response, name, exception);
    Py_DECREF(stats);
    Py_DECREF(name);
    return ret;
}

int Session_report(Session *self, Response *response, PyObject *exception)
{
    Collector *collector;
    if (find_collector(self, &collector) != 0)
        return -1;
    if (collector && !response->meta && self->own_context) {
        /* it may have effects of its own, even on who listens */
        Py_DECREF(collector);
        PyObject *context = context_of(self, response);
        if (!context)
            return -1;
        Py_DECREF(context);
        if (find_collector(self, &collector) != 0)
            return -1;
    }
    int ret = !collector || response->meta ? fire(self, response, exception)
                                           : record(self, collector, response, exception);
    Py_XDECREF(collector);
    return ret;
}
