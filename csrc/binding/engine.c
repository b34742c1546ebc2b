#include "binding/engine.h"

#include <errno.h>
#include <greenlet.h>
#include <structmember.h>

#include "binding/response.h"

/* Bodies of known length are received straight into bytes objects. */

static void *sink_alloc(size_t size, uint8_t **data)
{
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size);
    if (!bytes) {
        PyErr_Clear();
        return NULL;
    }
    *data = (uint8_t *)PyBytes_AS_STRING(bytes);
    return bytes;
}

static void sink_free(void *object)
{
    Py_DECREF((PyObject *)object);
}

static const opf_sink bytes_sink = {.alloc = sink_alloc, .free = sink_free};

/* The list of responses whose greenlets are due */

static void ready_push(Engine *self, Response *response)
{
    if (response->in_ready)
        return;
    response->in_ready = true;
    response->next_ready = NULL;
    response->prev_ready = self->ready_last;
    if (self->ready_last)
        self->ready_last->next_ready = response;
    else
        self->ready_first = response;
    self->ready_last = response;
}

static void ready_remove(Engine *self, Response *response)
{
    if (!response->in_ready)
        return;
    response->in_ready = false;
    if (response->prev_ready)
        response->prev_ready->next_ready = response->next_ready;
    else
        self->ready_first = response->next_ready;
    if (response->next_ready)
        response->next_ready->prev_ready = response->prev_ready;
    else
        self->ready_last = response->prev_ready;
}

void Engine_on_done(opf_exchange *exchange, void *arg)
{
    (void)exchange;
    Response *response = arg;
    response->done = true;
    ready_push(Response_engine(response), response);
}

void Engine_forget(Engine *self, Response *response)
{
    ready_remove(self, response);
}

/* Waiting */

/* Whether the hub's loop goes on for our sake alone: only while somebody waits. */
static int hold_loop(Engine *self, bool hold, State *state)
{
    if (self->holds_loop == hold || !self->watcher)
        return 0;
    if (PyObject_SetAttr(self->watcher, state->names[NAME_ref], hold ? Py_True : Py_False) != 0)
        return -1;
    self->holds_loop = hold;
    return 0;
}

int Engine_check(Engine *self)
{
    if (self->forked) {
        PyErr_SetString(
            PyExc_RuntimeError,
            "this session was used before the process forked: make a new one in the child process");
        return -1;
    }
    if (!self->watcher) {
        PyErr_SetString(PyExc_RuntimeError, "the engine of this session is closed");
        return -1;
    }
    if (self->thread != PyThread_get_thread_ident()) {
        PyErr_SetString(
            PyExc_RuntimeError,
            "this session belongs to another thread: make one in the thread that uses it");
        return -1;
    }
    return 0;
}

static int wait_until_done(Engine *self, Response *response)
{
    while (!response->done) {
        PyObject *got = PyGreenlet_Switch((PyGreenlet *)self->hub, NULL, NULL);
        if (!got)
            return -1;
        Py_DECREF(got); /* whoever else switched here: only done counts */
    }
    return 0;
}

int Engine_wait(Engine *self, Response *response)
{
    State *state = response->state;
    PyObject *greenlet = (PyObject *)PyGreenlet_GetCurrent();
    if (!greenlet)
        return -1;
    int ret = -1;
    if (response->greenlet) {
        PyErr_SetString(PyExc_RuntimeError, "another greenlet is reading this response");
        ret = 1; /* which goes on */
    } else if (Engine_check(self) != 0) {
        /* closed while the request was put together: nobody would ever switch here */
    } else if (greenlet == self->hub) {
        PyObject *error = state_helper(state, HELPER_blocking_switch_out);
        if (error)
            PyErr_SetString(error, "requests can't be made in a callback of the event loop");
    } else if (hold_loop(self, true, state) == 0) {
        self->n_waiting++;
        response->greenlet = greenlet; /* only now may it be switched to */
        ret = wait_until_done(self, response);
        response->greenlet = NULL;
        self->n_waiting--;
    }
    Py_DECREF(greenlet);
    if (ret > 0)
        return -1;
    ready_remove(self, response);
    if (ret != 0) {
        opf_exchange_cancel(response->exchange);
        if (!self->n_waiting)
            opf_engine_wake(self->engine); /* dispatch is to let go of the loop */
    }
    return ret;
}

/* An exception that reached the hub out of a greenlet is reported by the hub, as it does for its
 * own. */
static void report_error(Engine *self, State *state)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    PyObject *ret = PyObject_CallMethodObjArgs(self->hub, state->names[NAME_handle_error], Py_None,
                                               type ? type : Py_None, value ? value : Py_None,
                                               traceback ? traceback : Py_None, NULL);
    if (!ret)
        PyErr_WriteUnraisable(self->hub);
    Py_XDECREF(ret);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
}

static PyObject *not_set_up(void)
{
    PyErr_SetString(PyExc_RuntimeError, "the Engine is not set up");
    return NULL;
}

static PyObject *Engine_dispatch(Engine *self, PyObject *Py_UNUSED(ignored))
{
    State *state = state_of(Py_TYPE(self));
    if (!self->watcher)
        return not_set_up();
    if (self->forked) /* the descriptor is the parent's too, and may be ready for ever */
        return PyObject_CallMethod(self->watcher, "stop", NULL);
    if (opf_engine_poll(self->engine, 0) == OPF_ESYS)
        return PyErr_SetFromErrno(PyExc_OSError);
    Py_INCREF(self);
    opf_engine_hold(self->engine);
    /* a greenlet's next request is done in a later poll, so this ends */
    while (self->ready_first) {
        Response *response = self->ready_first;
        ready_remove(self, response);
        if (!response->greenlet)
            continue; /* it does not wait yet, and will not have to */
        PyObject *greenlet = Py_NewRef(response->greenlet);
        PyObject *got = PyGreenlet_Switch((PyGreenlet *)greenlet, NULL, NULL);
        if (got)
            Py_DECREF(got);
        else
            report_error(self, state);
        Py_DECREF(greenlet);
    }
    opf_engine_flush(self->engine);
    int ret = self->n_waiting ? 0 : hold_loop(self, false, state);
    Py_DECREF(self);
    if (ret != 0)
        return NULL;
    Py_RETURN_NONE;
}

/* The type */

static int Engine_init(Engine *self, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {"hub", "nameservers", NULL};
    PyObject *hub;
    const char *nameservers = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|z:Engine", keywords, &hub, &nameservers))
        return -1;
    if (self->engine) {
        PyErr_SetString(PyExc_RuntimeError, "an Engine is set up once");
        return -1;
    }
    opf_engine_options options = {.nameservers = nameservers, .sink = &bytes_sink};
    self->engine = opf_engine_new(&options);
    if (!self->engine) {
        if (errno == EINVAL)
            PyErr_Format(PyExc_ValueError, "name servers %s can't be used: give IP[:PORT],...",
                         nameservers ? nameservers : "of the system");
        else
            PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    self->hub = Py_NewRef(hub);
    self->thread = PyThread_get_thread_ident();
    self->loop = PyObject_GetAttrString(hub, "loop");
    if (!self->loop)
        return -1;
    self->watcher =
        PyObject_CallMethod(self->loop, "io", "iiO", opf_engine_fd(self->engine), 1, Py_False);
    if (!self->watcher)
        return -1;
    PyObject *dispatch = PyObject_GetAttrString((PyObject *)self, "dispatch");
    PyObject *started =
        dispatch ? PyObject_CallMethod(self->watcher, "start", "O", dispatch) : NULL;
    Py_XDECREF(dispatch);
    if (!started)
        return -1;
    Py_DECREF(started);
    return 0;
}

static PyObject *Engine_mark_forked(Engine *self, PyObject *Py_UNUSED(ignored))
{
    self->forked = true;
    if (self->engine)
        opf_engine_forked(self->engine);
    Py_RETURN_NONE;
}

/* Whether watchers of the loop may still be touched: 1, 0, or -1 with an exception. */
static int loop_is_alive(Engine *self)
{
    PyObject *pointer = PyObject_GetAttrString(self->loop, "ptr");
    if (!pointer)
        return -1;
    int alive = PyObject_IsTrue(pointer);
    Py_DECREF(pointer);
    return alive;
}

static PyObject *Engine_close(Engine *self, PyObject *Py_UNUSED(ignored))
{
    if (!self->watcher)
        Py_RETURN_NONE;
    int alive = loop_is_alive(self);
    if (alive < 0)
        return NULL;
    if (!alive) {
        /* the watcher can't be stopped any more, but must not keep us */
        if (PyObject_SetAttrString(self->watcher, "callback", Py_None) != 0)
            return NULL;
        Py_CLEAR(self->watcher);
        Py_RETURN_NONE;
    }
    PyObject *stopped = PyObject_CallMethod(self->watcher, "stop", NULL);
    if (!stopped)
        return NULL;
    Py_DECREF(stopped);
    stopped = PyObject_CallMethod(self->watcher, "close", NULL);
    if (!stopped)
        return NULL;
    Py_CLEAR(self->watcher);
    return stopped;
}

static PyObject *Engine_totals(Engine *self, PyObject *Py_UNUSED(ignored))
{
    opf_engine_totals t;
    if (!self->engine)
        return not_set_up();
    opf_engine_get_totals(self->engine, &t);
    return Py_BuildValue(
        "{s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:n}", "connects",
        (unsigned long long)t.connects, "handshakes", (unsigned long long)t.handshakes, "resumed",
        (unsigned long long)t.resumed, "lookups", (unsigned long long)t.lookups, "replaced",
        (unsigned long long)t.replaced, "stamped", (unsigned long long)t.stamped, "unstamped",
        (unsigned long long)t.unstamped, "queued", (unsigned long long)t.queued, "queue_ns",
        (unsigned long long)t.queue_ns, "connections", (unsigned long long)t.connections,
        "exchanges", (unsigned long long)t.exchanges, "waiting", self->n_waiting);
}

static int Engine_traverse(Engine *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->hub);
    Py_VISIT(self->loop);
    Py_VISIT(self->watcher);
    return 0;
}

static int Engine_clear(Engine *self)
{
    Py_CLEAR(self->hub);
    Py_CLEAR(self->loop);
    Py_CLEAR(self->watcher);
    return 0;
}

static void Engine_dealloc(Engine *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (self->weakrefs)
        PyObject_ClearWeakRefs((PyObject *)self);
    Engine_clear(self);
    opf_engine_free(self->engine);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef Engine_methods[] = {
    {"dispatch", (PyCFunction)Engine_dispatch, METH_NOARGS,
     "dispatch($self, /)\n--\n\nDo what is ready and switch to the greenlets that waited for "
     "it.\n\n"
     "The hub calls it when the engine's descriptor is readable."},
    {"mark_forked", (PyCFunction)Engine_mark_forked, METH_NOARGS,
     "mark_forked($self, /)\n--\n\nRefuse to work from now on: this is the child of a fork."},
    {"close", (PyCFunction)Engine_close, METH_NOARGS,
     "close($self, /)\n--\n\nStop watching; greenlets that wait are never switched to any more."},
    {"totals", (PyCFunction)Engine_totals, METH_NOARGS,
     "totals($self, /)\n--\n\nCounts since the engine was made, as a dict of int."},
    {NULL},
};

static PyMemberDef Engine_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(Engine, weakrefs), READONLY, NULL},
    {NULL},
};

static PyType_Slot Engine_slots[] = {
    {Py_tp_doc, "Engine(hub, nameservers=None)\n--\n\nThe C engine, driven by a gevent hub.\n\n"
                "nameservers: str \"ip[:port],...\" to ask instead of the system's."},
    {Py_tp_init, Engine_init},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_dealloc, Engine_dealloc},
    {Py_tp_traverse, Engine_traverse},
    {Py_tp_clear, Engine_clear},
    {Py_tp_methods, Engine_methods},
    {Py_tp_members, Engine_members},
    {0, NULL},
};

static PyType_Spec Engine_spec = {
    .name = "opscore_fast._core.Engine",
    .basicsize = sizeof(Engine),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = Engine_slots,
};

int Engine_add(PyObject *module, State *state)
{
    PyGreenlet_Import();
    if (!_PyGreenlet_API)
        return -1;
    state->engine_type = add_type(module, &Engine_spec, NULL);
    return state->engine_type ? 0 : -1;
}
