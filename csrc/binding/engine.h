/* The type Engine: the C engine driven by a gevent hub, whose greenlets wait for it. */
#ifndef OPF_BINDING_ENGINE_H
#define OPF_BINDING_ENGINE_H

#include "binding/binding.h"

struct Response;

typedef struct Engine {
    PyObject_HEAD opf_engine *engine;
    PyObject *hub;
    PyObject *loop;       /* the hub's, which may be destroyed before the engine is closed */
    PyObject *watcher;    /* the hub's, on the engine's descriptor */
    unsigned long thread; /* of the hub */
    Py_ssize_t n_waiting; /* greenlets */
    bool holds_loop;      /* the watcher keeps the hub's loop alive */
    bool forked;
    struct Response *ready_first; /* whose greenlets are to be switched to */
    struct Response *ready_last;
    PyObject *weakrefs;
} Engine;

/* Checks that the engine may be used here and now. Returns 0, or -1 with an exception. */
int Engine_check(Engine *self);

/* Lets the calling greenlet wait until the response's exchange is done. Returns 0, or -1 with the
 * exception that was thrown into the greenlet: the exchange is cancelled then. */
int Engine_wait(Engine *self, struct Response *response);

/* The done function of every exchange; arg is its Response. */
void Engine_on_done(opf_exchange *exchange, void *arg);

/* Takes a response that goes away out of the list of those whose greenlets are due. */
void Engine_forget(Engine *self, struct Response *response);

#endif
