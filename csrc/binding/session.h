/* The type Session: what all kinds of sessions have in common. */
#ifndef OPF_BINDING_SESSION_H
#define OPF_BINDING_SESSION_H

#include "binding/binding.h"
#include "binding/collector.h"
#include "binding/pool.h"
#include "binding/response.h"

typedef struct Session {
    PyObject_HEAD State *state;
    Pool *pool; /* whose connections are used; NULL: the session is not set up */
    PyObject *base_url;
    PyObject *base_bytes; /* bytes that base points into */
    opf_url base;
    bool base_parsed;
    int max_redirects;
    int max_retries;
    Py_ssize_t retries; /* requests that were sent again, in all */
    PyObject *request_event;
    PyObject *user;
    PyObject *request_name;
    PyObject *proxy;       /* Proxy of all requests; NULL or None: none */
    PyObject *scheme_auth; /* SchemeAuth of those without credentials of their own; likewise */
    bool by_libcurl;       /* all requests, so that both ways can be compared */
    bool names_protocol;   /* requests are counted by name and by what was spoken */
    bool own_context;      /* the user's class overrides context() */
    bool own_request;      /* a subclass overrides request() */
    bool goes_on;          /* a gevent.Timeout that strikes a request goes on to the task */
    /* counting in C: for this one listener, or not at all */
    PyObject *known_handler;
    Collector *collector;
    PyObject *environment; /* whose stats the collector fills */
    PyObject *stats;
    PyObject *stats_module;    /* the dict of locust.stats, where users may replace: */
    PyObject *bucket_function; /* bucket_response_time; NULL: this Locust has none */
} Session;

/* Sets up what the type's own arguments don't. self->pool must be NULL before. Returns 0, or -1
 * with an exception. */
int Session_set_up(Session *self, PyObject *base_url, PyObject *event, PyObject *user,
                   PyObject *pool, bool own_context);

/* Notes whether the session's class overrides request(), which is `usual` where it does not.
 * Returns as above. */
int Session_note_request(Session *self, PyObject *usual);

/* Adds a type derived from it to the module. *request: its request(), a new reference. Returns as
 * above. */
int Session_add_derived(PyObject *module, State *state, PyType_Spec *spec, PyObject **request);

/* For types derived from it, whose own functions must call these. */
int Session_traverse(Session *self, visitproc visit, void *arg);
int Session_clear(Session *self);
void Session_dealloc(Session *self);

/* The path behind the base URL, or the path itself if it is a whole URL
 * (FastHttpSession._build_url): a new reference, or NULL with an exception. */
PyObject *Session_build_url(PyObject *base_url, PyObject *path);

/* The exception for a response whose exchange has failed: a new reference, or NULL with another
 * one. */
PyObject *Session_failure_of(Session *self, Response *response);

/* Reports the response's request to Locust, as a failure unless exception is NULL. Returns 0, or -1
 * with an exception that a listener has thrown. */
int Session_report(Session *self, Response *response, PyObject *exception);

/* Lets go of the one listener that is counted for in C, and of what its collector fills. */
void Session_forget_listener(Session *self);

/* The arguments of the request event as a dict: a new reference, or NULL with an exception. */
PyObject *Session_meta(Session *self, Response *response, PyObject *exception);

#endif
