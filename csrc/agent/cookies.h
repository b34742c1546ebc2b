/* An agent's cookies (RFC 6265, 5.3 and 5.4, as Python's http.cookiejar with its default policy
 * keeps and sends them).
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
} opf_jar;

#define OPF_JAR_MAX 300 /* cookies; of more the oldest go (RFC 6265, 6.1 asks for 50 a domain) */

/* Keeps what a response's Set-Cookie fields say. now: seconds since 1970. Returns 0 or OPF_ENOMEM.
 */
int opf_jar_take(opf_jar *jar, const opf_url *url, const opf_result *result, int64_t now);

/* Keeps one as it is. Returns 0 or OPF_ENOMEM. */
int opf_jar_set(opf_jar *jar, const opf_agent_cookie *cookie);

/* Appends the value of a Cookie header for the URL; nothing if no cookie is for it. Returns 0 or
 * OPF_ENOMEM. */
int opf_jar_write(opf_jar *jar, const opf_url *url, int64_t now, opf_buf *out);

/* Calls each cookie that is kept, oldest first; stops when it returns anything but 0, which is then
 * returned. */
int opf_jar_each(const opf_jar *jar, int (*call)(void *arg, const opf_agent_cookie *), void *arg);

void opf_jar_fini(opf_jar *jar);

#endif
