/* The type Fleet: native threads that run agents, as their owner in Python sees them. */
#include "binding/handed.h"
#include "binding/plan.h"
#include "binding/value.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <structmember.h>

typedef struct Fleet {
    PyObject_HEAD State *state;
    opf_fleet *fleet; /* NULL: closed */
    PyObject *plans;  /* list of all Plans that were added: tallies name them, and agents need what
                         they hold */
    int n_waiting;    /* threads in wait() */
    PyObject *weakrefs;
    bool forked; /* the fleet is the parent process's: never touched again */
} Fleet;

/* Returns 0, or -1 with an exception if the fleet can't be used. */
static int check(const Fleet *self)
{
    if (self->fleet && !self->forked)
        return 0;
    PyErr_SetString(PyExc_RuntimeError,
                    self->forked ? "this Fleet was made before the process forked: make a new one "
                                   "in the child process"
                                 : "the Fleet is closed");
    return -1;
}

static PyObject *Fleet_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {"threads", "nameservers", NULL};
    unsigned int threads;
    const char *nameservers = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "I|z:Fleet", keywords, &threads, &nameservers))
        return NULL;
    if (threads < 1 || threads > OPF_FLEET_THREADS)
        return PyErr_Format(PyExc_ValueError, "a Fleet has 1 to %d threads, not %u",
                            OPF_FLEET_THREADS, threads);
    Fleet *self = (Fleet *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    self->state = state_of(type);
    self->plans = PyList_New(0);
    self->fleet = self->plans ? opf_fleet_new(threads, nameservers) : NULL;
    if (self->fleet)
        return (PyObject *)self;
    if (self->plans && errno == EINVAL)
        PyErr_Format(PyExc_ValueError, "name servers %s can't be used: give IP[:PORT],...",
                     nameservers ? nameservers : "of the system");
    else if (self->plans)
        PyErr_SetFromErrno(PyExc_OSError);
    Py_DECREF(self);
    return NULL;
}

/* Adding agents */

/* The arguments of add, as the engine has them. */
typedef struct Added {
    PyObject *rows; /* tuple of tuples */
    opf_value *slots;
    PyObject *kept; /* list of the strings of cookies */
    opf_agent_cookie *cookies;
    uint32_t n, n_cookies;
} Added;

static void Added_fini(Added *added)
{
    Py_XDECREF(added->rows);
    Py_XDECREF(added->kept);
    PyMem_Free(added->slots);
    PyMem_Free(added->cookies);
}

static int read_row(PyObject *row, Py_ssize_t width, opf_value *values)
{
    if (!PyTuple_Check(row) || PyTuple_GET_SIZE(row) != width) {
        PyErr_Format(PyExc_ValueError, "a row is a tuple of %zd values", width);
        return -1;
    }
    for (Py_ssize_t i = 0; i < width; i++)
        if (value_from_object(PyTuple_GET_ITEM(row, i), &values[i]) != 0)
            return -1;
    return 0;
}

static int read_rows(Added *added, PyObject *rows, uint32_t width)
{
    added->rows = PySequence_Tuple(rows); /* of our own: nobody can change it */
    if (!added->rows)
        return -1;
    Py_ssize_t n = PyTuple_GET_SIZE(added->rows);
    if (n < 1 || n > INT32_MAX) {
        PyErr_SetString(PyExc_ValueError, "rows: one for each agent, at least one");
        return -1;
    }
    added->n = (uint32_t)n;
    added->slots = PyMem_Calloc((size_t)n * (width ? width : 1), sizeof(*added->slots));
    if (!added->slots) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < n; i++)
        if (read_row(PyTuple_GET_ITEM(added->rows, i), (Py_ssize_t)width,
                     added->slots + (size_t)i * width) != 0)
            return -1;
    return 0;
}

static int read_cookies(Added *added, PyObject *cookies)
{
    PyObject *all = PySequence_Tuple(cookies);
    if (!all)
        return -1;
    size_t n = (size_t)PyTuple_GET_SIZE(all);
    added->kept = PyList_New(0);
    added->cookies = PyMem_Calloc(n ? n : 1, sizeof(*added->cookies));
    int ret = added->kept && added->cookies && n <= UINT32_MAX ? 0 : -1;
    if (ret != 0 && !PyErr_Occurred())
        PyErr_NoMemory();
    for (size_t i = 0; ret == 0 && i < n; i++)
        ret = cookie_from_object(PyTuple_GET_ITEM(all, (Py_ssize_t)i), added->kept,
                                 &added->cookies[i]);
    added->n_cookies = ret == 0 ? (uint32_t)n : 0;
    Py_DECREF(all);
    return ret;
}

static int keep_plan(Fleet *self, PyObject *plan)
{
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(self->plans); i++)
        if (PyList_GET_ITEM(self->plans, i) == plan)
            return 0;
    return PyList_Append(self->plans, plan);
}

static PyObject *add(Fleet *self, Plan *plan, const Added *added, double delay)
{
    uint64_t first;
    char text[512] = "";
    if (check(self) != 0 || keep_plan(self, (PyObject *)plan) != 0)
        return NULL;
    int ret = opf_fleet_add(self->fleet, plan->plan, added->n, added->slots, added->cookies,
                            added->n_cookies, delay, &first, text, sizeof(text));
    if (ret == 0)
        return PyLong_FromUnsignedLongLong(first);
    if (ret == OPF_EINVAL)
        return PyErr_Format(PyExc_ValueError, "%s", text); /* a path's bytes may be no UTF-8 */
    if (ret == OPF_ESYS)
        return PyErr_SetFromErrno(PyExc_OSError);
    return PyErr_NoMemory();
}

static PyObject *Fleet_add_agents(Fleet *self, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {"plan", "rows", "cookies", "delay", NULL};
    PyObject *plan, *rows, *cookies = NULL, *first = NULL;
    double delay = 0.0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!O|Od:add", keywords, self->state->plan_type,
                                     &plan, &rows, &cookies, &delay))
        return NULL;
    if (!(delay >= 0) || !isfinite(delay)) {
        PyErr_SetString(PyExc_ValueError, "delay is a number of seconds from 0 on");
        return NULL;
    }
    Added added = {0};
    if (read_rows(&added, rows, ((Plan *)plan)->plan->n_slots) == 0 &&
        (!cookies || read_cookies(&added, cookies) == 0))
        first = add(self, (Plan *)plan, &added, delay);
    Added_fini(&added);
    return first;
}

static PyObject *Fleet_stop(Fleet *self, PyObject *args)
{
    PyObject *sequence;
    int how;
    if (!PyArg_ParseTuple(args, "Oi:stop", &sequence, &how))
        return NULL;
    if (how < OPF_STOP_AFTER_TASK || how > OPF_STOP_NOW) {
        PyErr_SetString(PyExc_ValueError, "an agent can't be stopped that way");
        return NULL;
    }
    PyObject *numbers = PySequence_Tuple(sequence);
    if (!numbers)
        return NULL;
    size_t n = (size_t)PyTuple_GET_SIZE(numbers);
    uint64_t *agents = PyMem_New(uint64_t, n ? n : 1);
    int ret = agents ? 0 : OPF_ENOMEM;
    for (size_t i = 0; ret == 0 && i < n; i++) {
        agents[i] = PyLong_AsUnsignedLongLong(PyTuple_GET_ITEM(numbers, (Py_ssize_t)i));
        if (agents[i] == UINT64_MAX && PyErr_Occurred())
            ret = OPF_EINVAL;
    }
    if (ret == 0)
        ret = check(self) == 0 ? opf_fleet_stop(self->fleet, agents, n, (opf_stop)how) : OPF_EINVAL;
    PyMem_Free(agents);
    Py_DECREF(numbers);
    if (ret == OPF_ENOMEM)
        return PyErr_NoMemory();
    if (ret != 0)
        return NULL;
    Py_RETURN_NONE;
}

/* Being handed over to */

static PyObject *Fleet_fileno(Fleet *self, PyObject *Py_UNUSED(ignored))
{
    return check(self) == 0 ? PyLong_FromLong(opf_fleet_fd(self->fleet)) : NULL;
}

static PyObject *Fleet_ask(Fleet *self, PyObject *Py_UNUSED(ignored))
{
    if (check(self) != 0)
        return NULL;
    opf_fleet_ask(self->fleet);
    Py_RETURN_NONE;
}

static PyObject *Fleet_wait(Fleet *self, PyObject *arg)
{
    double timeout = PyFloat_AsDouble(arg);
    if ((timeout == -1.0 && PyErr_Occurred()) || check(self) != 0)
        return NULL;
    int ms = timeout > 0 ? (timeout < 1e6 ? (int)(timeout * 1e3) : 1000000000) : 0;
    bool all;
    self->n_waiting++;
    Py_BEGIN_ALLOW_THREADS;
    all = opf_fleet_wait(self->fleet, ms);
    Py_END_ALLOW_THREADS;
    self->n_waiting--;
    return PyBool_FromLong(all);
}

static PyObject *plan_of(const Fleet *self, const opf_tally *tally)
{
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(self->plans); i++)
        if (((Plan *)PyList_GET_ITEM(self->plans, i))->plan == tally->plan)
            return PyList_GET_ITEM(self->plans, i);
    return Py_None;
}

/* Appends what was made of something handed over, or drops the list with an exception. */
static void append(PyObject **list, PyObject *made)
{
    if (!made || PyList_Append(*list, made) != 0)
        Py_CLEAR(*list);
    Py_XDECREF(made);
}

/* Another thread may close the fleet while one runs Python, as json.loads does. */

static void take_tallies(Fleet *self, PyObject **list)
{
    for (opf_tally *tally; *list && self->fleet && (tally = opf_fleet_take_tally(self->fleet));) {
        append(list, tally_as_object(tally, plan_of(self, tally)));
        opf_tally_free(tally);
    }
}

/* most: of ends; the others are there the next time */
static void take_ends(Fleet *self, PyObject **list, unsigned int most)
{
    opf_agent_end *end;
    for (unsigned int i = 0;
         *list && self->fleet && i < most && (end = opf_fleet_take_end(self->fleet)); i++) {
        append(list, end_as_object(self->state, end));
        opf_agent_end_free(end);
    }
}

static PyObject *Fleet_take(Fleet *self, PyObject *args)
{
    unsigned int most = UINT_MAX;
    if (!PyArg_ParseTuple(args, "|I:take", &most) || check(self) != 0)
        return NULL;
    int collecting = PyGC_Disable(); /* finalizers may do anything, even close the fleet */
    PyObject *tallies = PyList_New(0), *ends = PyList_New(0);
    if (ends)
        take_tallies(self, &tallies);
    if (tallies && ends) /* those that came along with the tallies: what comes later is told anew */
        take_ends(self, &ends, most);
    if (collecting)
        PyGC_Enable();
    if (tallies && ends)
        return Py_BuildValue("(NN)", tallies, ends);
    Py_XDECREF(tallies);
    Py_XDECREF(ends);
    return NULL;
}

/* Figures */

static PyObject *figures_of(const Fleet *self, uint32_t thread)
{
    opf_fleet_figures f;
    opf_fleet_get_figures(self->fleet, thread, &f);
    const opf_engine_totals *t = &f.engine;
    return Py_BuildValue(
        "{s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K}", "agents",
        (unsigned long long)f.agents, "waiting", (unsigned long long)f.waiting, "under_way",
        (unsigned long long)f.under_way, "requests", (unsigned long long)f.requests, "cpu_ns",
        (unsigned long long)f.cpu_ns, "late_ns", (unsigned long long)f.late_ns, "connects",
        (unsigned long long)t->connects, "handshakes", (unsigned long long)t->handshakes, "resumed",
        (unsigned long long)t->resumed, "lookups", (unsigned long long)t->lookups, "replaced",
        (unsigned long long)t->replaced, "stamped", (unsigned long long)t->stamped, "unstamped",
        (unsigned long long)t->unstamped, "queued", (unsigned long long)t->queued, "queue_ns",
        (unsigned long long)t->queue_ns, "connections", (unsigned long long)t->connections);
}

static PyObject *Fleet_figures(Fleet *self, PyObject *Py_UNUSED(ignored))
{
    if (check(self) != 0)
        return NULL;
    uint32_t n = opf_fleet_threads(self->fleet);
    PyObject *list = PyList_New(0);
    for (uint32_t i = 0; list && i < n; i++) {
        if (check(self) == 0) /* a finalizer may close it whenever an object is made */
            append(&list, figures_of(self, i));
        else
            Py_CLEAR(list);
    }
    return list;
}

/* The end of a fleet */

static void end(Fleet *self)
{
    opf_fleet *fleet = self->fleet;
    self->fleet = NULL;
    if (!fleet || self->forked)
        return;
    Py_BEGIN_ALLOW_THREADS;
    opf_fleet_free(fleet);
    Py_END_ALLOW_THREADS;
}

static PyObject *Fleet_close(Fleet *self, PyObject *Py_UNUSED(ignored))
{
    if (self->n_waiting && !self->forked) {
        PyErr_SetString(PyExc_RuntimeError, "another thread waits for the Fleet");
        return NULL;
    }
    end(self);
    Py_RETURN_NONE;
}

static PyObject *Fleet_mark_forked(Fleet *self, PyObject *Py_UNUSED(ignored))
{
    self->forked = true;
    Py_RETURN_NONE;
}

static int Fleet_traverse(Fleet *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->plans);
    return 0;
}

static void Fleet_dealloc(Fleet *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (self->weakrefs)
        PyObject_ClearWeakRefs((PyObject *)self);
    end(self); /* before what its agents need */
    Py_XDECREF(self->plans);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef Fleet_methods[] = {
    {"add", (PyCFunction)(void (*)(void))Fleet_add_agents, METH_VARARGS | METH_KEYWORDS,
     "add($self, /, plan, rows, cookies=(), delay=0.0)\n--\n\nAdd an agent of a Plan for each "
     "row: a tuple of what its slots hold.\n\n"
     "Returns the number of the first; the others follow."},
    {"stop", (PyCFunction)Fleet_stop, METH_VARARGS,
     "stop($self, agents, how, /)\n--\n\nHave agents end: 0 after their task, 1 after their "
     "request, 2 at once."},
    {"fileno", (PyCFunction)Fleet_fileno, METH_NOARGS,
     "fileno($self, /)\n--\n\nThe descriptor that is readable when there is something to take."},
    {"ask", (PyCFunction)Fleet_ask, METH_NOARGS,
     "ask($self, /)\n--\n\nAsk the threads to hand over what they have counted."},
    {"wait", (PyCFunction)Fleet_wait, METH_O,
     "wait($self, timeout, /)\n--\n\nWait up to timeout seconds until what was asked for is "
     "handed over.\n\nReturns whether it is."},
    {"take", (PyCFunction)Fleet_take, METH_VARARGS,
     "take($self, most=4294967295, /)\n--\n\nReturn (tallies, ends): all that has been handed "
     "over, but no more ends than most.\n\nThe others are there the next time."},
    {"figures", (PyCFunction)Fleet_figures, METH_NOARGS,
     "figures($self, /)\n--\n\nFigures of each thread, as a list of dicts."},
    {"close", (PyCFunction)Fleet_close, METH_NOARGS,
     "close($self, /)\n--\n\nEnd the threads, and what is under way."},
    {"mark_forked", (PyCFunction)Fleet_mark_forked, METH_NOARGS,
     "mark_forked($self, /)\n--\n\nRefuse to work from now on: this is the child of a fork."},
    {NULL},
};

static PyMemberDef Fleet_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(Fleet, weakrefs), READONLY, NULL},
    {NULL},
};

static PyType_Slot Fleet_slots[] = {
    {Py_tp_doc, "Fleet(threads, nameservers=None)\n--\n\nNative threads that run agents of "
                "Plans.\n\n"
                "nameservers: str \"ip[:port],...\" to ask instead of the system's."},
    {Py_tp_new, Fleet_new},
    {Py_tp_dealloc, Fleet_dealloc},
    {Py_tp_traverse, Fleet_traverse},
    {Py_tp_methods, Fleet_methods},
    {Py_tp_members, Fleet_members},
    {0, NULL},
};

static PyType_Spec Fleet_spec = {
    .name = "opscore_fast._core.Fleet",
    .basicsize = sizeof(Fleet),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = Fleet_slots,
};

int Fleet_add(PyObject *module, State *state)
{
    state->fleet_type = add_type(module, &Fleet_spec, NULL);
    return state->fleet_type ? 0 : -1;
}
