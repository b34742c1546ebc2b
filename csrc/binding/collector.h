/* The type Collector: requests counted in C until Locust's statistics take them over. */
#ifndef OPF_BINDING_COLLECTOR_H
#define OPF_BINDING_COLLECTOR_H

#include "binding/binding.h"

struct Collector;
typedef struct Collector Collector;

/* Counts one request as RequestStats.log_request would. Returns 0, or -1 with an exception. */
int Collector_record(Collector *self, PyObject *method, PyObject *name, uint64_t ns, size_t length);

/* Returns (name, method, requests, total ms, min ms, max ms, time of the last, bytes, {response
 * time in ms: count}), or NULL with an exception. */
PyObject *cell_tuple(PyObject *name, PyObject *method, const opf_cell *cell, double last);

/* True when nobody drains it any more. */
bool Collector_is_closed(const Collector *self);

#endif
