/* The body of a request, on its way to the engine. */
#ifndef OPF_BINDING_BODY_H
#define OPF_BINDING_BODY_H

#include "binding/call.h"

typedef struct Body {
    const char *data;
    size_t len;
    PyObject *owner;          /* bytes that data points into: owned, or NULL */
    const char *content_type; /* to be sent unless one is given; NULL: none */
    PyObject *content_type_owner;
    bool own_type; /* content_type goes in the place of any other */
    bool is_text;
    bool is_json;
} Body;

/* Bodies longer than this are not copied by the engine (opf_request.body): then ours must stay. */
#define COPIED 4096

/* Lets go of what the body owns. */
void Body_fini(Body *body);

/* Makes the body of the call, JSON apart, which is only marked as such. has_content_type: a header
 * gives its type. Returns 0, or -1 with an exception. */
int Body_make(State *state, const Call *call, bool has_content_type, Body *body);

/* Writes the JSON. No Python code may run from here until the body is submitted: it might write
 * JSON of its own in the same place. */
int Body_write_json(State *state, PyObject *json, Body *body);

#endif
