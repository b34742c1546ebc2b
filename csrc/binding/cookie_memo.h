/* The Cookie header of a session's usual requests, remembered.
 *
 * What http.cookiejar does to find it costs more than the rest of a request. It stays the same as
 * long as nothing is put into the jar or taken out (opscore_fast.cookies.VersionedJar has a version
 * that changes then), the request goes to the base URL, no cookie is for some paths only, and none
 * expires.
 */
#ifndef OPF_BINDING_COOKIE_MEMO_H
#define OPF_BINDING_COOKIE_MEMO_H

#include "binding/headers.h"
#include "binding/response.h"
#include "binding/url.h"

/* A member of its session, all zero at first; what it holds is owned. */
typedef struct CookieMemo {
    PyObject *jar;
    PyObject *version;
    PyObject *base;   /* bytes of the base URL */
    PyObject *header; /* str, or None: no cookies are sent */
    double until;     /* seconds since 1970 */
} CookieMemo;

int CookieMemo_traverse(CookieMemo *memo, visitproc visit, void *arg);
void CookieMemo_clear(CookieMemo *memo);

/* Finds the Cookie header that the jar has for the response's request to the URL, as the helper
 * does: function(jar, url) returning (str or None, version or None, until). Returns a new
 * reference, None for no header, or NULL with an exception. */
PyObject *CookieMemo_header(CookieMemo *memo, Session *session, PyObject *jar, int helper,
                            const Url *url, Response *response);

#endif
