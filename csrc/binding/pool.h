/* The type Pool: connections and the options that they are made with. */
#ifndef OPF_BINDING_POOL_H
#define OPF_BINDING_POOL_H

#include "binding/binding.h"
#include "binding/engine.h"

typedef struct Pool {
    PyObject_HEAD State *state;
    Engine *engine; /* NULL until the first request, then the same for good */
    opf_pool *pool; /* likewise */
    PyObject *engine_factory;
    PyObject *context_factory; /* of the ssl.SSLContext, until it is made; or NULL */
    opf_pool_options options;
    PyObject *kept;       /* list of the objects that the options point into */
    const char **sources; /* of the options */
    opf_resolve *resolve; /* likewise */
} Pool;

/* Makes the engine and the pool if they are not there yet, and checks that they may be used here
 * and now. Returns 0, or -1 with an exception. */
int Pool_ready(Pool *self);

/* Asks for the ssl.SSLContext that is to be made when it is needed, if there is one. Returns 0, or
 * -1 with an exception. */
int Pool_make_context(Pool *self);

/* Takes a number of seconds as the engine has it: 0 for none, and for what is no positive number.
 */
uint64_t seconds_to_ns(double seconds);

#endif
