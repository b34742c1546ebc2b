/* The type HttpSession: the C part of opscore_fast.HttpSession, which is a requests.Session too.
 *
 * What is usual in load tests is done here; anything else by requests' own code, which comes back
 * to HttpSession_send by its adapter.
 */
#ifndef OPF_BINDING_HTTP_SESSION_H
#define OPF_BINDING_HTTP_SESSION_H

#include "binding/call.h"
#include "binding/cookie_memo.h"
#include "binding/session.h"

typedef struct HttpSession {
    Session base;
    PyTypeObject *response_type;
    bool is_plain; /* no subclass changes how requests are put together or sent */
    /* as of requests.Session; NULL or None: nothing */
    PyObject *headers;
    PyObject *auth;
    PyObject *params;
    PyObject *hooks;
    PyObject *proxies;
    PyObject *cookies;
    PyObject *verify;
    PyObject *cert;
    PyObject *stream;
    PyObject *trust_env;
    CookieMemo cookie_memo;
    /* connections under TLS: for these two, or NULL */
    PyObject *tls_verify;
    PyObject *tls_cert;
    Pool *tls_pool;
} HttpSession;

/* A call with what only requests has; the objects are borrowed, NULL for None. */
typedef struct HttpCall {
    Call call;
    PyObject *cert;
    PyObject *cookies;
    PyObject *hooks;
    PyObject *proxies;
    PyObject *stream;
    PyObject *timeout;
    PyObject *verify;
    opf_timeouts timeouts; /* what timeout says */
    bool tls;              /* the connections are for TLS with the options of the call */
} HttpCall;

/* Makes the request that the call describes. Returns its response, a new reference, or NULL with an
 * exception. */
PyObject *HttpSession_perform(HttpSession *self, HttpCall *call);

/* Sets what a request's failure to bring a response means. Returns 0, or -1 with an exception. */
int HttpSession_find_loss(HttpSession *self, Response *response);

/* The function _send: sends a request that is put together already. A failed one is a response with
 * an error. */
PyObject *HttpSession_send(HttpSession *self, PyObject *args);

/* The function _lose: a response for what was never sent, because of the error; with None one that
 * is to be filled in. */
PyObject *HttpSession_lose(HttpSession *self, PyObject *error);

#endif
