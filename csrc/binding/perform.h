/* What the requests of all kinds of sessions have in common: put into the engine, waited for, sent
 * again, judged. */
#ifndef OPF_BINDING_PERFORM_H
#define OPF_BINDING_PERFORM_H

#include <stddef.h>
#include <string.h>

#include "binding/body.h"
#include "binding/call.h"
#include "binding/headers.h"
#include "binding/route.h"
#include "binding/url.h"

/* A request on its way to the engine. */
typedef struct Parcel {
    Body body;
    Url url;
    PyObject *method; /* as it is sent: owned, or NULL */
    PyObject *keep;   /* list of what the headers point into: owned, or NULL */
    PyObject *pieces; /* iterator over bytes, in the place of a body: borrowed, or NULL */
    bool stream;
    const opf_timeouts *timeouts; /* NULL: the pool's */
    PyObject *proxy;              /* borrowed; NULL or None: the session's */
    PyObject *auth;               /* SchemeAuth: borrowed; else no credentials for libcurl */
    Headers headers;              /* whose list stands last, as nobody sets it up */
} Parcel;

/* Sets up an empty parcel. */
static inline void Parcel_init(Parcel *parcel)
{
    memset(parcel, 0, offsetof(Parcel, headers.list));
}

/* Lets go of what the parcel owns. */
void Parcel_fini(Parcel *parcel);

/* Sets the parcel's method, in upper case. Returns 0, or -1 with an exception. */
int Parcel_set_method(Parcel *parcel, State *state, PyObject *method);

/* Submits the parcel for the response to the pool. Returns 0, or -1 with an exception: a ValueError
 * for what can't be sent. */
int Parcel_submit(Parcel *parcel, Pool *pool, Response *response);

/* Puts a request together and submits it for the response. Returns 0, -1 with an exception, or what
 * else is handed on to who called Session_transmit. */
typedef int SubmitFn(Session *self, Call *call, Response *response);

/* Checks that the session is set up and its connections may be used. Returns 0, or -1 with an
 * exception. */
int Session_get_ready(Session *self, Call *call);

/* A new response for the call, of the type: a new reference, or NULL with an exception. */
Response *Session_new_response(Session *self, const Call *call, PyTypeObject *type);

/* Sends the request and waits for its answer, again if it may be and has to be. *start is set to
 * when it was sent first, unless that is known. Returns what submit returns, or -1 with an
 * exception. */
int Session_transmit(Session *self, Call *call, Response *response, SubmitFn *submit,
                     uint64_t *start);

/* True when no response came. A stream's is there with its headers: that it broke off behind them,
 * maybe within the same poll, is told to whoever reads it. */
bool Response_is_lost(const Response *response);

#endif
