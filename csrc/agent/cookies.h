/* Cookies, kept and sent as Python's http.cookiejar with its default policy does it:
 * what a host sets for itself alone is sent to the hosts below it too, Domain needs a dot in it, of
 * Max-Age and Expires the first goes before. Unlike there, a Port attribute says nothing (as in RFC
 * 6265). Bytes outside ASCII are kept and sent as they came.
 *
 * Storage of the caller, all zero before its first use; an empty jar takes no memory. One thread.
 */
#ifndef OPF_AGENT_COOKIES_H
#define OPF_AGENT_COOKIES_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/fleet.h"
#include "base/buf.h"
#include "opf.h"

typedef struct opf_jar {
    struct opf_jar_cookie *first;
    uint32_t n;
    bool unescapes; /* as the jars of requests do: of a value in quotes each \" is left out */
    uint64_t taken; /* cookies so far, which tells the oldest */
} opf_jar;

#define OPF_JAR_MAX 300 /* cookies; of more the oldest go (RFC 6265, 6.1 asks for 50 a domain) */

/* Keeps what a response's Set-Cookie fields say. now: seconds since 1970. Returns 0 or OPF_ENOMEM.
 */
int opf_jar_take(opf_jar *jar, const opf_url *url, const opf_result *result, int64_t now);

/* Keeps one as it is, in the place of one of the same domain, path and name; one that has expired
 * is kept until a header is written. Returns 0 or OPF_ENOMEM. */
int opf_jar_set(opf_jar *jar, const opf_agent_cookie *cookie);

/* Keeps all that another jar has, as opf_jar_set. Returns 0, or OPF_ENOMEM with some of them kept.
 */
int opf_jar_add(opf_jar *jar, const opf_jar *other);

/* Appends the value of a Cookie header for the URL; nothing if no cookie is for it. Returns 0 or
 * OPF_ENOMEM. */
int opf_jar_write(opf_jar *jar, const opf_url *url, int64_t now, opf_buf *out);

/* Calls each cookie that is kept, in the order of a CookieJar (by domain, path and name, each as it
 * was first seen); stops when it returns anything but 0, which is then returned. */
int opf_jar_each(const opf_jar *jar, int (*call)(void *arg, const opf_agent_cookie *), void *arg);

void opf_jar_fini(opf_jar *jar);

#endif
