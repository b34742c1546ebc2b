/* With-blocks in which the user decides whether a request has failed (catch_response=True), as in
 * locust.clients.ResponseContextManager and its twin of locust.contrib.fasthttp. */
#ifndef OPF_BINDING_VERDICT_H
#define OPF_BINDING_VERDICT_H

#include "binding/response.h"

/* Raises Locust's LocustError; returns NULL. */
PyObject *raise_locust_error(State *state, const char *text);

/* The functions success() and failure(exc). */
PyObject *Verdict_success(Response *self, PyObject *ignored);
PyObject *Verdict_failure(Response *self, PyObject *exc);

/* What makes the request a failure without the user's verdict: a new reference, NULL for none, or
 * NULL with an exception. */
typedef PyObject *DefaultVerdict(Response *self);

/* The function __exit__: reports the request. */
PyObject *Verdict_exit(Response *self, PyObject *args, DefaultVerdict *verdict);

/* The attributes request_meta and _manual_result. */
PyObject *Verdict_get_meta(Response *self, void *closure);
int Verdict_set_meta(Response *self, PyObject *value, void *closure);
PyObject *Verdict_get_manual(Response *self, void *closure);

#endif
