/* The SSL_CTX inside a Python ssl.SSLContext. */
#ifndef OPF_BINDING_SSL_CONTEXT_H
#define OPF_BINDING_SSL_CONTEXT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* Returns the SSL_CTX of an ssl.SSLContext (gevent's is one too), borrowed from it; or NULL with a
 * ValueError or TypeError that says why it can't be used. */
void *ssl_context_get(PyObject *context);

#endif
