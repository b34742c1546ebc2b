/* The type Response, from which FastResponse and HttpResponse are derived. */
#ifndef OPF_BINDING_RESPONSE_H
#define OPF_BINDING_RESPONSE_H

#include "binding/binding.h"

struct Engine;
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
    PyObject *body;     /* bytes of a long body or of a piece of one, or NULL */
    PyObject *pieces;  /* iterator over the rest of a body that is sent while it is made, or NULL */
    PyObject *proxy;   /* the Proxy that it went by, or NULL */
    int retries;       /* times that the request was sent again */
    bool streamed;     /* its body is read from the exchange */
    bool lost;         /* no response came; of a stream, not even its headers */
    bool consumed;     /* of a stream: somebody has read its body, as requests has it */
    size_t read_at;    /* bytes of content that read() has given; of a stream none */
    bool body_is_text; /* request.body is a str */
    double start_time; /* seconds since 1970 */
    uint64_t elapsed_ns; /* that is reported: from the first request to the last response */
    /* what came of it; NULL: not made yet */
    PyObject *history; /* list of the responses that led here, or NULL */
    PyObject *error;
    PyObject *content;
    PyObject *encoding;
    PyObject *headers;
    PyObject *request;
    PyObject *reason;  /* given by somebody else; of an HttpResponse */
    int forced_status; /* likewise; 0: none */
    /* of one whose verdict is the user's */
    PyObject *manual_result; /* NULL: none, True, or the exception */
    PyObject *meta;          /* dict, once somebody has asked for it */
    bool entered;
    bool catching;   /* an HttpResponse: asked for with catch_response */
    bool unfollowed; /* an HttpResponse: a redirect that was not to be followed */
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

/* What the engine says of it. */
const opf_result *Response_result(const Response *self);

/* The request as it was sent, made by the helper when it is first asked for: a new reference, or
 * NULL with an exception. */
PyObject *Response_make_request(Response *self, int helper);

/* A header of the response by its lower-case name, or NULL. */
const opf_field *Response_field(const Response *self, const char *name);

/* (name, value) pairs of the response's headers: a new list, or NULL with an exception. */
PyObject *Response_fields(const Response *self);

/* The value of a header, by its lower-case name: a new str; NULL without an exception if there is
 * none. */
PyObject *Response_header(const Response *self, const char *name);

/* The encoding that the usual Content-Types stand for; NULL: it takes a closer look. */
const char *Response_plain_encoding(const Response *self);

/* The body, whole and not a stream's, as UTF-8 or as it is: a new str or bytes, or NULL with an
 * exception. */
PyObject *Response_decode_utf8(Response *self);
PyObject *Response_take_content(Response *self);

/* The next bytes of a stream, up to size, as many as are there, waited for if there are none: empty
 * at its end, NULL with an exception. */
PyObject *Response_read_some(Response *self, size_t size);

/* Up to size bytes of a stream, waited for, fewer only at its end: new bytes, or NULL with an
 * exception. */
PyObject *Response_read_whole(Response *self, size_t size);

/* A new reference to the object, or to None for NULL. */
PyObject *Response_or_none(PyObject *value);

/* Raises an exception that is an object already; returns NULL. */
PyObject *Response_raise(PyObject *exception);

/* The slots and flags of all derived types. */
int Response_traverse(Response *self, visitproc visit, void *arg);
int Response_clear(Response *self);
void Response_dealloc(Response *self);

#define RESPONSE_SLOTS                                                                             \
    {Py_tp_dealloc, Response_dealloc}, {Py_tp_traverse, Response_traverse},                        \
    {                                                                                              \
        Py_tp_clear, Response_clear                                                                \
    }

#define RESPONSE_FLAGS                                                                             \
    (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE |                               \
     Py_TPFLAGS_DISALLOW_INSTANTIATION)

/* Derived types add themselves. */
int FastResponse_add(PyObject *module, State *state, PyTypeObject *base);

/* What makes the request of an HttpResponse a failure: a new reference, NULL for none, or NULL with
 * an exception. */
PyObject *HttpResponse_verdict(Response *self);
int HttpResponse_add(PyObject *module, State *state, PyTypeObject *base);

#endif
