/* The type Plan: a recorded user class, ready to be run by the threads of a Fleet. */
#ifndef OPF_BINDING_PLAN_H
#define OPF_BINDING_PLAN_H

#include "agent/plan.h"
#include "binding/binding.h"
#include "binding/pool.h"

typedef struct Plan {
    PyObject_HEAD State *state;
    opf_plan *plan;   /* sealed */
    PyObject *source; /* the recording.plan.Plan */
    Pool *options;    /* which holds what the options point to outside of the plan, and connects
                         nothing itself */
} Plan;

/* Copies the tables of a recording.plan.Plan into an empty plan. Returns 0, or -1 with an
 * exception and the plan fit to be released. */
int plan_copy_tables(opf_plan *plan, PyObject *source);

/* Copies pool options, their strings too. Returns as plan_copy_tables. */
int plan_copy_options(opf_plan *plan, const opf_pool_options *options);

#endif
