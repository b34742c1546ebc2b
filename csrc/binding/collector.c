#include "binding/collector.h"

#include <structmember.h>
#include <time.h>

#define CACHE_SIZE 64 /* a power of two */

/* A request name, and what has been counted for it since the last drain. */
typedef struct Cell {
    PyObject *name;
    PyObject *method;
    opf_cell cell;
    double last; /* time of the last request, seconds since 1970 */
    bool dirty;
} Cell;

struct Collector {
    PyObject_HEAD PyObject *flush; /* called when a second is over */
    PyObject *on_cell; /* called with name and method before they are counted for the first time */
    PyObject *index;   /* {(name, method): number of the cell} */
    Cell **cells;
    Py_ssize_t n_cells;
    Py_ssize_t cap_cells;
    Cell **dirty; /* has room for all cells */
    Py_ssize_t n_dirty;
    bool closed;             /* what is counted now would be lost */
    time_t second;           /* to which all that is counted belongs */
    Cell *cache[CACHE_SIZE]; /* by the name's address */
};

static size_t cache_slot(const PyObject *name)
{
    return ((uintptr_t)name >> 4) & (CACHE_SIZE - 1);
}

static void cell_free(Cell *cell)
{
    Py_XDECREF(cell->name);
    Py_XDECREF(cell->method);
    opf_cell_fini(&cell->cell);
    PyMem_Free(cell);
}

static int make_room(Collector *self)
{
    if (self->n_cells < self->cap_cells)
        return 0;
    Py_ssize_t cap = self->cap_cells ? self->cap_cells * 2 : 16;
    Cell **cells = PyMem_Resize(self->cells, Cell *, (size_t)cap);
    if (!cells)
        goto no_memory;
    self->cells = cells;
    Cell **dirty = PyMem_Resize(self->dirty, Cell *, (size_t)cap);
    if (!dirty)
        goto no_memory;
    self->dirty = dirty;
    self->cap_cells = cap;
    return 0;

no_memory:
    PyErr_NoMemory();
    return -1;
}

static Cell *add_cell(Collector *self, PyObject *key, PyObject *method, PyObject *name)
{
    PyObject *told = PyObject_CallFunctionObjArgs(self->on_cell, name, method, NULL);
    if (!told)
        return NULL;
    Py_DECREF(told);
    if (make_room(self) != 0)
        return NULL;
    Cell *cell = PyMem_Calloc(1, sizeof(*cell));
    PyObject *number = cell ? PyLong_FromSsize_t(self->n_cells) : PyErr_NoMemory();
    if (!number || PyDict_SetItem(self->index, key, number) != 0) {
        Py_XDECREF(number);
        PyMem_Free(cell);
        return NULL;
    }
    Py_DECREF(number);
    cell->name = Py_NewRef(name);
    cell->method = Py_NewRef(method);
    self->cells[self->n_cells++] = cell;
    return cell;
}

static Cell *find_cell(Collector *self, PyObject *method, PyObject *name)
{
    Cell **cached = &self->cache[cache_slot(name)];
    if (*cached && (*cached)->name == name && (*cached)->method == method)
        return *cached;
    PyObject *key = PyTuple_Pack(2, name, method);
    if (!key)
        return NULL;
    PyObject *number = PyDict_GetItemWithError(self->index, key);
    Cell *cell = NULL;
    if (number)
        cell = self->cells[PyLong_AsSsize_t(number)];
    else if (!PyErr_Occurred())
        cell = add_cell(self, key, method, name);
    Py_DECREF(key);
    /* only the very objects that the cell holds may be known by their address */
    if (cell && cell->name == name && cell->method == method)
        *cached = cell;
    return cell;
}

int Collector_record(Collector *self, PyObject *method, PyObject *name, uint64_t ns, size_t length)
{
    struct timespec now;
    if (!self->index) {
        PyErr_SetString(PyExc_RuntimeError, "the Collector is not set up");
        return -1;
    }
    clock_gettime(CLOCK_REALTIME, &now);
    if (self->n_dirty && now.tv_sec != self->second) {
        PyObject *flushed = PyObject_CallNoArgs(self->flush);
        if (!flushed)
            return -1;
        Py_DECREF(flushed);
    }
    Cell *cell = find_cell(self, method, name);
    if (!cell)
        return -1;
    self->second = now.tv_sec;
    int ret = opf_cell_add(&cell->cell, ns, length);
    if (ret != 0)
        return ret; /* too long for a cell, or no memory: the caller logs it the long way */
    cell->last = (double)now.tv_sec + (double)now.tv_nsec / 1e9;
    if (!cell->dirty) {
        cell->dirty = true;
        self->dirty[self->n_dirty++] = cell;
    }
    return 0;
}

static PyObject *buckets_of(const opf_cell *cell)
{
    PyObject *buckets = PyDict_New();
    uint32_t at = 0, ms, count;
    while (buckets && opf_cell_next(cell, &at, &ms, &count)) {
        PyObject *key = PyLong_FromUnsignedLong(ms);
        PyObject *value = key ? PyLong_FromUnsignedLong(count) : NULL;
        if (!value || PyDict_SetItem(buckets, key, value) != 0)
            Py_CLEAR(buckets);
        Py_XDECREF(key);
        Py_XDECREF(value);
    }
    return buckets;
}

PyObject *cell_tuple(PyObject *name, PyObject *method, const opf_cell *c, double last)
{
    PyObject *buckets = buckets_of(c);
    if (!buckets)
        return NULL;
    return Py_BuildValue("(OOKddddKN)", name, method, (unsigned long long)c->requests,
                         (double)c->total_ns / 1e6, (double)c->min_ns / 1e6,
                         (double)c->max_ns / 1e6, last, (unsigned long long)c->bytes, buckets);
}

static PyObject *drain(Collector *self)
{
    PyObject *drained = PyList_New(self->n_dirty);
    if (!drained)
        return NULL;
    for (Py_ssize_t i = 0; i < self->n_dirty; i++) {
        const Cell *cell = self->dirty[i];
        PyObject *tuple = cell_tuple(cell->name, cell->method, &cell->cell, cell->last);
        if (!tuple) {
            Py_DECREF(drained);
            return NULL;
        }
        PyList_SET_ITEM(drained, i, tuple);
    }
    for (Py_ssize_t i = 0; i < self->n_dirty; i++) {
        opf_cell_reset(&self->dirty[i]->cell);
        self->dirty[i]->dirty = false;
    }
    self->n_dirty = 0;
    return drained;
}

static PyObject *Collector_drain(Collector *self, PyObject *Py_UNUSED(ignored))
{
    /* finalizers may do anything, even make requests that are counted here */
    int collecting = PyGC_Disable();
    PyObject *drained = drain(self);
    if (collecting)
        PyGC_Enable();
    return drained;
}

static PyObject *Collector_clear_cells(Collector *self, PyObject *Py_UNUSED(ignored))
{
    Py_ssize_t n = self->n_cells;
    memset(self->cache, 0, sizeof(self->cache));
    self->n_dirty = 0;
    self->n_cells = 0;
    if (self->index)
        PyDict_Clear(self->index);
    while (n)
        cell_free(self->cells[--n]);
    Py_RETURN_NONE;
}

bool Collector_is_closed(const Collector *self)
{
    return self->closed;
}

static PyObject *Collector_close(Collector *self, PyObject *Py_UNUSED(ignored))
{
    self->closed = true;
    return Collector_clear_cells(self, NULL);
}

static PyObject *Collector_record_method(Collector *self, PyObject *args)
{
    PyObject *method, *name;
    double ms;
    Py_ssize_t length;
    if (!PyArg_ParseTuple(args, "OOdn:record", &method, &name, &ms, &length))
        return NULL;
    if (!(ms >= 0 && ms < 1e12) || length < 0) {
        PyErr_SetString(PyExc_ValueError, "response time and length must not be negative");
        return NULL;
    }
    int ret = Collector_record(self, method, name, (uint64_t)(ms * 1e6), (size_t)length);
    if (ret != 0 && PyErr_Occurred())
        return NULL;
    return PyBool_FromLong(ret == 0);
}

static int Collector_init(Collector *self, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {"flush", "on_cell", NULL};
    PyObject *flush, *on_cell;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OO:Collector", keywords, &flush, &on_cell))
        return -1;
    PyObject *index = PyDict_New();
    if (!index)
        return -1;
    Py_XSETREF(self->index, index);
    Py_XSETREF(self->flush, Py_NewRef(flush));
    Py_XSETREF(self->on_cell, Py_NewRef(on_cell));
    return 0;
}

static int Collector_traverse(Collector *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->flush);
    Py_VISIT(self->on_cell);
    Py_VISIT(self->index);
    return 0;
}

static int Collector_clear(Collector *self)
{
    Py_CLEAR(self->flush);
    Py_CLEAR(self->on_cell);
    Py_CLEAR(self->index);
    return 0;
}

static void Collector_dealloc(Collector *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_DECREF(Collector_clear_cells(self, NULL));
    Collector_clear(self);
    PyMem_Free(self->cells);
    PyMem_Free(self->dirty);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef Collector_methods[] = {
    {"record", (PyCFunction)Collector_record_method, METH_VARARGS,
     "record($self, method, name, response_time, length, /)\n--\n\nCount a request; response_time "
     "in ms.\n\n"
     "Returns False if it has to be logged the long way."},
    {"drain", (PyCFunction)Collector_drain, METH_NOARGS,
     "drain($self, /)\n--\n\nReturn what has been counted, and begin anew.\n\n"
     "A list of (name, method, requests, total ms, min ms, max ms, time of the last, bytes,\n"
     "{response time in ms: count})."},
    {"clear", (PyCFunction)Collector_clear_cells, METH_NOARGS,
     "clear($self, /)\n--\n\nForget all names and what is counted for them."},
    {"close", (PyCFunction)Collector_close, METH_NOARGS,
     "close($self, /)\n--\n\nForget all, and have the sessions look for another collector."},
    {NULL},
};

static PyMemberDef Collector_members[] = {
    {"pending", T_PYSSIZET, offsetof(Collector, n_dirty), READONLY,
     "int: names with requests that are not drained"},
    {NULL},
};

static PyType_Slot Collector_slots[] = {
    {Py_tp_doc,
     "Collector(flush, on_cell)\n--\n\nRequests of one second, counted by name and method.\n\n"
     "flush() is called before a request of another second is counted, and must drain;\n"
     "on_cell(name, method) before the first request of a name."},
    {Py_tp_init, Collector_init},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_dealloc, Collector_dealloc},
    {Py_tp_traverse, Collector_traverse},
    {Py_tp_clear, Collector_clear},
    {Py_tp_methods, Collector_methods},
    {Py_tp_members, Collector_members},
    {0, NULL},
};

static PyType_Spec Collector_spec = {
    .name = "opscore_fast._core.Collector",
    .basicsize = sizeof(Collector),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = Collector_slots,
};

int Collector_add(PyObject *module, State *state)
{
    state->collector_type = add_type(module, &Collector_spec, NULL);
    return state->collector_type ? 0 : -1;
}
