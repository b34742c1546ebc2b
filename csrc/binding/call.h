/* Calls: what the arguments of a request say. */
#ifndef OPF_BINDING_CALL_H
#define OPF_BINDING_CALL_H

#include "binding/session.h"

typedef struct Call {
    Pool *pool;        /* whose connections are used: owned */
    PyObject *method;  /* as given: owned */
    PyObject *renamed; /* the session's name for requests without one: owned, or NULL */
    PyObject *path;
    PyObject *name;
    PyObject *data;
    PyObject *json;
    PyObject *headers;
    PyObject *auth;
    PyObject *params;
    PyObject *context;
    PyObject *files;
    PyObject *extra; /* dict of what is not among the above: owned, or NULL */
    int max_redirects;
    int max_retries;
    bool catch_response;
    bool stream;
    bool allow_redirects;
    PyObject *login;     /* what auth stands for, where that is another object: owned, or NULL */
    PyObject *multipart; /* (bytes, Content-Type) of files and data: owned, or NULL */
    /* of a redirect */
    PyObject *url;      /* absolute; owned, or NULL */
    PyObject *location; /* of the first request, for a comparison of origins: owned */
    bool no_body;
    bool other_origin;
} Call;

/* Lets go of what the call owns. */
void Call_fini(Call *call);

/* Names the call as the session names requests that are given no name (rename_request), if it does.
 * The session's name may be another one before the call is over. */
void Call_rename(Call *call, const Session *session);

/* Files one keyword argument, whose key must be interned. Returns 0, or -1 with an exception. */
int Call_set_keyword(Session *self, Call *call, PyObject *key, PyObject *value);

/* Files the keyword arguments of a vectorcall; keys may be NULL. Returns as above. */
int Call_set_keywords(Session *self, Call *call, PyObject *const *values, PyObject *keys);

/* Return NULL with a TypeError: an argument that is needed is not there; there are too many. */
PyObject *Call_refuse_missing(const char *what);
PyObject *Call_refuse_positional(Py_ssize_t most, Py_ssize_t given);

/* Calls self.request(method, url, ...) in Python, as Locust's get(), post() and so on do. kwargs:
 * what these add, taken over; values and keys: the keyword arguments of a vectorcall. Returns what
 * request does, or NULL with an exception; kwargs may be NULL with one already. */
PyObject *Call_by_own_request(Session *self, const Call *call, PyObject *kwargs,
                              PyObject *const *values, PyObject *keys);

/* Refuses a context or a URL of a wrong type. Returns as above. */
int Call_check(const Call *call);

/* Puts the arguments in order, once they are all there. Returns as above. */
int Call_settle(Session *self, Call *call);

#endif
