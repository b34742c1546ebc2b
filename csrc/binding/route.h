/* The types Proxy and SchemeAuth: what has libcurl take a request.
 *
 * Both are immutable, and hold secrets: nothing of them but a Proxy's shown URL reaches a text.
 */
#ifndef OPF_BINDING_ROUTE_H
#define OPF_BINDING_ROUTE_H

#include <stdbool.h>

#include "binding/binding.h"

struct Session;

typedef struct Proxy {
    PyObject_HEAD opf_auth auth; /* NONE: Basic, if the URL has a user */
    PyObject *url;               /* bytes */
    PyObject *shown;             /* str: the URL without user and password */
} Proxy;

typedef struct SchemeAuth {
    PyObject_HEAD opf_auth scheme;
    bool for_proxy;
    PyObject *user; /* bytes */
    PyObject *password;
} SchemeAuth;

/* Fills in how libcurl does a request of the session: by the proxy, or else the session's, with the
 * credentials (each may be NULL or None; one of another type is none). They must outlive the
 * options. Returns false if the fast path can do it. */
bool Route_make(const struct Session *session, PyObject *proxy, PyObject *auth,
                opf_curl_options *options);

/* True for a SchemeAuth. */
bool is_scheme_auth(const State *state, PyObject *auth);

#endif
