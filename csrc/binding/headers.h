/* The headers of a request, on their way to the engine.
 *
 * They point into Python objects: those of the call and of the session, and what is held in keep, a
 * list that is made when it is first needed. Functions return 0, or -1 with an exception.
 */
#ifndef OPF_BINDING_HEADERS_H
#define OPF_BINDING_HEADERS_H

#include <stdbool.h>

#include "binding/binding.h"

#define HEADERS_MAX 128

typedef struct Headers {
    size_t n;
    bool has_content_type; /* among the request's own */
    bool has_accept;
    bool has_accept_encoding;
    opf_header list[HEADERS_MAX];
} Headers;

/* Whether a header has the name, in any case. */
bool Header_is(const opf_header *header, const char *name, size_t len);

/* Holds an object for as long as the headers point into it. */
int Headers_hold(PyObject **keep, PyObject *object);

/* Adds a header, in the place of those of its name unless it is one more line of them. */
int Headers_put(Headers *headers, const char *name, size_t name_len, const char *value,
                size_t value_len, bool one_more);

#define PUT_HEADER(headers, name, value)                                                           \
    Headers_put(headers, name, sizeof(name) - 1, value, sizeof(value) - 1, false)

/* Adds those of the call: a dict, or whatever dict() takes. */
int Headers_put_own(Headers *headers, PyObject *given, PyObject **keep);

/* Whether there is a header of the name. */
bool Headers_has(const Headers *headers, const char *name, size_t len);

/* Adds a header whose value is a str, which must outlive the headers. */
int Headers_put_value(Headers *headers, const char *name, PyObject *value);

/* Takes all headers of a name away. */
void Headers_drop(Headers *headers, const char *name, size_t len);

#endif
