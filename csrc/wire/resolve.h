/* Names to addresses: hosts file and DNS, with one cache for all users of an engine.
 *
 * A name is asked for in both families. An answer lives as long as the shortest-lived of its
 * records; one without a time to live (TTL 0) serves those who wait for it and nobody else. What
 * the hosts file says has none and is kept for a second. Lookups of a name that is being asked for
 * share the question. Failures are not kept. An IPv4 or IPv6 address ("fe80::1%eth0" and RFC 6874's
 * "fe80::1%25eth0" included) is its own answer and is never asked for.
 *
 * Time-outs of the name servers are those of resolv.conf and c-ares; who has a deadline cancels the
 * lookup when it is over. Threads: that of the loop, for everything here.
 */
#ifndef OPF_WIRE_RESOLVE_H
#define OPF_WIRE_RESOLVE_H

#include <netinet/in.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/list.h"
#include "loop/loop.h"
#include "opf.h"

typedef struct opf_addr {
    int family;     /* AF_INET or AF_INET6 */
    uint32_t scope; /* interface index of a link-local IPv6 address, or 0 */
    union {
        struct in_addr v4;
        struct in6_addr v6;
    } ip;
} opf_addr;

/* Fills in *out for the address and port (in host order). Returns the length to give to connect(2).
 */
socklen_t opf_addr_to_sockaddr(const opf_addr *addr, uint16_t port, struct sockaddr_storage *out);

/* Takes an IPv4 or IPv6 address, with a scope or without, into *addr. Returns false with *why set
 * to a constant text for what is none. */
bool opf_addr_parse(const char *text, opf_addr *addr, const char **why);

typedef struct opf_resolver opf_resolver;
typedef struct opf_lookup opf_lookup;

/* Called once from opf_loop_poll, with the lookup ended already: status 0 and n > 0 addresses in
 * the order of RFC 6724, valid during the call only; or, with why a constant text, OPF_EINVAL (the
 * name has no address), OPF_ESYS (the name servers could not be asked, or gave no answer) or
 * OPF_ENOMEM. May do anything but free the resolver. */
typedef void opf_lookup_fn(opf_lookup *lookup, int status, const opf_addr *addrs, size_t n,
                           const char *why);

/* A lookup: a member of its owner's structure. */
struct opf_lookup {
    opf_node node; /* the resolver's */
    opf_lookup_fn *done;
};

/* Sets up a lookup that is not under way. */
static inline void opf_lookup_init(opf_lookup *lookup, opf_lookup_fn *done)
{
    opf_list_init(&lookup->node);
    lookup->done = done;
}

/* Returns a resolver that asks the system's name servers, or those of "ip[:port],..."
 * ("[ip6]:port"); NULL with errno set (EINVAL: nameservers can't be used). The caller owns it; the
 * loop must outlive it. */
opf_resolver *opf_resolver_new(opf_loop *loop, const char *nameservers);

/* Frees the resolver. Lookups under way end without done. NULL does nothing. */
void opf_resolver_free(opf_resolver *resolver);

/* Returns the addresses of host if they are known without asking, *n of them, valid until the next
 * call of the resolver or of opf_loop_poll; otherwise NULL. host need not be NUL-terminated and is
 * not case-sensitive. */
const opf_addr *opf_resolver_cached(opf_resolver *resolver, const char *host, size_t len,
                                    size_t *n);

/* Asks for the addresses of host, answered by lookup->done later on, never from here. The lookup is
 * set up with opf_lookup_init, not under way, and must stay where it is until done or
 * opf_lookup_cancel. host is copied. Returns 0; or OPF_ENOMEM, OPF_EINVAL (no name of a host:
 * empty, too long, or with a NUL) or OPF_EFORKED, and then done is not called. */
int opf_resolver_lookup(opf_resolver *resolver, opf_lookup *lookup, const char *host, size_t len);

/* Ends a lookup without done; does nothing for one that is not under way. What was asked goes on
 * for the cache. */
void opf_lookup_cancel(opf_resolver *resolver, opf_lookup *lookup);

/* Lookups that had to be asked for or to wait for what others asked: neither addresses nor answered
 * by the cache. */
uint64_t opf_resolver_asked(const opf_resolver *resolver);

/* To be called in a forked child, beside opf_loop_forked: lookups are refused from now on.
 * opf_resolver_free then only closes the child's copies of the descriptors. */
void opf_resolver_forked(opf_resolver *resolver);

#endif
