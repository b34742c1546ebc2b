#include "binding/plan.h"

#include <math.h>

/* Pool options are read by the type Pool, which says what is wrong with them. */
static Pool *read_options(State *state, PyObject *options)
{
    PyObject *args = PyTuple_Pack(1, Py_None); /* no engine: it makes no connections */
    PyObject *pool = args ? PyObject_Call((PyObject *)state->pool_type, args, options) : NULL;
    Py_XDECREF(args);
    if (pool && Pool_make_context((Pool *)pool) != 0)
        Py_CLEAR(pool);
    return (Pool *)pool;
}

static PyObject *Plan_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {"plan", "options", NULL};
    PyObject *source, *options;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OO!:Plan", keywords, &source, &PyDict_Type,
                                     &options))
        return NULL;
    Plan *self = (Plan *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    self->state = state_of(type);
    self->source = Py_NewRef(source);
    self->options = read_options(self->state, options);
    self->plan = self->options ? opf_plan_new() : NULL;
    if (self->options && !self->plan)
        PyErr_NoMemory();
    int ret = self->plan ? 0 : -1;
    if (ret == 0 && (plan_copy_options(self->plan, &self->options->options) != 0 ||
                     plan_copy_tables(self->plan, source) != 0))
        ret = -1;
    opf_why why = "it can't be run";
    int sealed = ret == 0 ? opf_plan_seal(self->plan, &why) : 0;
    if (sealed == OPF_EINVAL)
        PyErr_Format(PyExc_ValueError, "the plan can't be run: %s", why);
    else if (sealed != 0)
        PyErr_NoMemory();
    if (ret == 0 && sealed == 0)
        return (PyObject *)self;
    Py_DECREF(self);
    return NULL;
}

static int read_samples(PyObject *sequence, double *values)
{
    PyObject *fast = PySequence_Tuple(sequence); /* of our own: no __float__ can change it */
    if (!fast)
        return -1;
    int ret = 0;
    if (PyTuple_GET_SIZE(fast) != OPF_SAMPLES_N) {
        PyErr_Format(PyExc_ValueError, "%d samples are wanted, not %zd", OPF_SAMPLES_N,
                     PyTuple_GET_SIZE(fast));
        ret = -1;
    }
    for (Py_ssize_t i = 0; ret == 0 && i < OPF_SAMPLES_N; i++) {
        values[i] = PyFloat_AsDouble(PyTuple_GET_ITEM(fast, i));
        if (values[i] == -1.0 && PyErr_Occurred()) {
            ret = -1;
        } else if (!isfinite(values[i])) {
            PyErr_SetString(PyExc_ValueError, "a sample is no finite number");
            ret = -1;
        }
    }
    Py_DECREF(fast);
    return ret;
}

static PyObject *Plan_set_samples(Plan *self, PyObject *args)
{
    unsigned int index;
    PyObject *sequence;
    if (!PyArg_ParseTuple(args, "IO:set_samples", &index, &sequence))
        return NULL;
    if (index >= self->plan->n_samples) {
        PyErr_SetString(PyExc_IndexError, "the plan has no such samples");
        return NULL;
    }
    double *values = PyMem_New(double, OPF_SAMPLES_N);
    if (!values)
        return PyErr_NoMemory();
    int ret = read_samples(sequence, values);
    if (ret == 0)
        opf_plan_set_samples(self->plan, index, values);
    PyMem_Free(values);
    if (ret != 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *get_source(Plan *self, void *Py_UNUSED(closure))
{
    return Py_NewRef(self->source ? self->source : Py_None); /* none any more: being collected */
}

static int Plan_traverse(Plan *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->source);
    Py_VISIT(self->options);
    return 0;
}

static int Plan_clear(Plan *self)
{
    Py_CLEAR(self->source);
    return 0;
}

static void Plan_dealloc(Plan *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    opf_plan_release(self->plan);
    Py_XDECREF(self->options);
    Plan_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef Plan_methods[] = {
    {"set_samples", (PyCFunction)Plan_set_samples, METH_VARARGS,
     "set_samples($self, index, values, /)\n--\n\nGive the agents 4,096 other waits (seconds) to "
     "take from."},
    {NULL},
};

static PyGetSetDef Plan_getset[] = {
    {"source", (getter)get_source, NULL, "recording.plan.Plan: what it was made from", NULL},
    {NULL},
};

static PyType_Slot Plan_slots[] = {
    {Py_tp_doc,
     "Plan(plan, options)\n--\n\nA recorded user class, ready to be run by a Fleet.\n\n"
     "plan: a recording.plan.Plan, which is copied; options: what Pool() takes, but for\n"
     "engine_factory. Raises ValueError for what can't be run."},
    {Py_tp_new, Plan_new},
    {Py_tp_dealloc, Plan_dealloc},
    {Py_tp_traverse, Plan_traverse},
    {Py_tp_clear, Plan_clear},
    {Py_tp_methods, Plan_methods},
    {Py_tp_getset, Plan_getset},
    {0, NULL},
};

static PyType_Spec Plan_spec = {
    .name = "opscore_fast._core.Plan",
    .basicsize = sizeof(Plan),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = Plan_slots,
};

int Plan_add(PyObject *module, State *state)
{
    state->plan_type = add_type(module, &Plan_spec, NULL);
    return state->plan_type ? 0 : -1;
}
