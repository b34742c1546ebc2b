/* The types FastResponse and ResponseContextManager. */
#ifndef OPF_BINDING_RESPONSE_H
#define OPF_BINDING_RESPONSE_H

#include "binding/binding.h"

struct Pool;
struct Session;

typedef struct Response {
    PyObject_HEAD State *state;
    struct Pool *pool;       /* holds the exchange's engine */
    struct Session *session; /* for reporting */
    opf_exchange *exchange;
    /* while its greenlet waits */
    PyObject *greenlet; /* held by its own stack; NULL: it does not wait */
    struct Response *next_ready;
    struct Response *prev_ready;
    bool in_ready;
    bool done;
    /* what was asked */
    PyObject *method;   /* as given */
    PyObject *path;     /* the url argument */
    PyObject *base_url; /* of the session, when it was asked */
    PyObject *name;     /* in the statistics */
    PyObject *context;  /* dict, or NULL: empty */
    PyObject *url;      /* the whole URL of the last request; NULL: base and path */
    PyObject *body;     /* bytes of a long body, or NULL */
    int retries;        /* times that the request was sent again */
    bool streamed;      /* its body is read from the exchange */
    bool lost;          /* no response came; of a stream, not even its headers */
    size_t read_at;     /* bytes of content that read() has given; of a stream none */
    bool body_is_text;  /* request.body is a str */
    double start_time;  /* seconds since 1970 */
    uint64_t elapsed_ns;
    /* what came of it; NULL: not made yet */
    PyObject *history; /* list of the responses that led here, or NULL */
    PyObject *error;
    PyObject *content;
    PyObject *encoding;
    PyObject *headers;
    PyObject *request;
    /* of a ResponseContextManager */
    PyObject *manual_result; /* NULL: none, True, or the exception */
    PyObject *meta;          /* dict, once somebody has asked for it */
    bool entered;
    PyObject *dict;
    PyObject *weakrefs;
} Response;

/* Returns a new response of the type, whose exchange is ready to be submitted to the pool; NULL
 * with an exception. */
Response *Response_new(PyTypeObject *type, State *state, struct Session *session,
                       struct Pool *pool);

/* The engine of its pool: borrowed. */
struct Engine *Response_engine(const Response *self);

/* The whole URL of the last request: a new reference, or NULL with an exception. */
PyObject *Response_get_url(Response *self);

/* Length of the body in bytes, of a stream by its Content-Length; 0 for none. */
size_t Response_length(const Response *self);

/* (name, value) pairs of the response's headers: a new list, or NULL with an exception. */
PyObject *Response_fields(const Response *self);

/* The value of a header, by its lower-case name: a new str; NULL without an exception if there is
 * none. */
PyObject *Response_header(const Response *self, const char *name);

#endif
