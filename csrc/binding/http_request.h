/* How a request of an HttpSession is put together, as requests does it. */
#ifndef OPF_BINDING_HTTP_REQUEST_H
#define OPF_BINDING_HTTP_REQUEST_H

#include "binding/http_session.h"
#include "binding/perform.h"

/* What a function returns for a request that requests' own code must make
 * (opscore_fast.http_session). */
#define NOT_OURS 1

static inline bool is_given(PyObject *value)
{
    return value && value != Py_None;
}

/* Whether the request is one of the usual kind, as far as its arguments tell; sets its time-outs.
 */
bool HttpCall_is_usual(const HttpSession *self, HttpCall *call);

/* Puts the request together and submits it: a SubmitFn, which may return NOT_OURS. Names the
 * response, if the call does not. */
int HttpCall_submit(Session *session, Call *base, Response *response);

#endif
