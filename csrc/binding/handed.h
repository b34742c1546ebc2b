/* What a fleet hands over, as Python objects. */
#ifndef OPF_BINDING_HANDED_H
#define OPF_BINDING_HANDED_H

#include "agent/fleet.h"
#include "binding/binding.h"

/* Returns (plan, second, cells, failures, raises, lost), see Fleet.take, or NULL with an exception.
 * plan: the Python object of the tally's plan. */
PyObject *tally_as_object(const opf_tally *tally, PyObject *plan);

/* Returns (agent, why, cut, slots, cookies), or NULL with an exception. */
PyObject *end_as_object(State *state, const opf_agent_end *end);

/* Points *cookie into a tuple (name, value, domain, path, host_only, secure, expires), whose
 * strings it puts as bytes into the list kept. Returns 0, or -1 with an exception. */
int cookie_from_object(PyObject *object, PyObject *kept, opf_agent_cookie *cookie);

#endif
