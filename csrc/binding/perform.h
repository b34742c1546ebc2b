/* A request from its call to its response: sent, waited for, redirected, judged and reported. */
#ifndef OPF_BINDING_PERFORM_H
#define OPF_BINDING_PERFORM_H

#include "binding/call.h"

/* Makes the request that the call describes. Returns its response, a new reference, or NULL with an
 * exception. */
PyObject *Session_perform(Session *self, Call *call);

#endif
