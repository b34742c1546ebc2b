/* Forms and queries: application/x-www-form-urlencoded. */
#ifndef OPF_BINDING_FORM_H
#define OPF_BINDING_FORM_H

#include <stdbool.h>

#include "binding/binding.h"

/* Encodes a dict of texts, numbers, None and lists of these. Returns 0 with a new str in *encoded,
 * 1 for a dict that requests must encode, or -1 with an exception. */
int form_encode(PyObject *dict, PyObject **encoded);

#endif
