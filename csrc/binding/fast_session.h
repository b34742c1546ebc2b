/* The type FastSession: the C part of opscore_fast.FastHttpSession. */
#ifndef OPF_BINDING_FAST_SESSION_H
#define OPF_BINDING_FAST_SESSION_H

#include "binding/call.h"
#include "binding/cookie_memo.h"
#include "binding/session.h"

/* A header that goes with every request. */
typedef struct DefaultHeader {
    PyObject *name; /* bytes */
    PyObject *value;
} DefaultHeader;

typedef struct FastSession {
    Session base;
    DefaultHeader *defaults;
    Py_ssize_t n_defaults;
    PyObject *auth_header; /* Authorization of all requests; NULL or None: none */
    PyObject *cookiejar;   /* NULL until somebody needs it */
    CookieMemo cookie_memo;
} FastSession;

/* Makes the request that the call describes. Returns its response, a new reference, or NULL with an
 * exception. */
PyObject *FastSession_perform(FastSession *self, Call *call);

#endif
