/* Values of agents (agent/value.h) as Python objects: None, bool, int, float and str; ... is what
 * is not set. */
#ifndef OPF_BINDING_VALUE_H
#define OPF_BINDING_VALUE_H

#include "agent/plan.h"
#include "binding/binding.h"

/* Points *value at what the object holds, whose text stays the object's. Returns 0, or -1 with
 * TypeError or ValueError (an int of more than 64 bits). */
int value_from_object(PyObject *object, opf_value *value);

/* Returns a value as a new object (JSON as json.loads gives it, ... if it doesn't), or NULL with an
 * exception. */
PyObject *value_as_object(State *state, const opf_value *value);

/* Returns UTF-8 as a str, with what is none of it replaced; None for NULL. NULL with an exception.
 */
PyObject *text_as_object(const char *text, size_t len);

#endif
