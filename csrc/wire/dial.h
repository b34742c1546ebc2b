/* A connection to a host by name: resolves it and tries its addresses as RFC 8305 (Happy Eyeballs)
 * wants.
 *
 * What the network gives for the host goes before what the resolver knows. The addresses come in
 * the resolver's order, with the two families taking turns. An attempt begins 250 ms after the one
 * before it, or as soon as one fails. The first to connect wins, the others are closed. There is no
 * time-out here: who has a deadline cancels. Threads: that of the loop.
 */
#ifndef OPF_WIRE_DIAL_H
#define OPF_WIRE_DIAL_H

#include <stddef.h>
#include <stdint.h>

#include "loop/loop.h"
#include "opf.h"
#include "wire/network.h"
#include "wire/resolve.h"

typedef struct opf_dial opf_dial;

/* Called once from opf_loop_poll, when the dial is over already and may be started again or freed.
 *
 * fd >= 0: connected, not watched, non-blocking, close-on-exec, as
 * opf_network_socket made it; the callee owns it. failure is OPF_FAIL_NONE.
 *
 * fd < 0: failure is one of
 * - OPF_FAIL_RESOLVE, detail is a constant text;
 * - OPF_FAIL_REFUSED, err is ECONNREFUSED;
 * - OPF_FAIL_CONNECT, err is the errno that tells most: first of all what this machine is short of
 *   (EMFILE, ENFILE, ENOBUFS; EADDRNOTAVAIL: no free port), last of all that it has no such network
 *   (ENETUNREACH, ...); detail is a constant text if the errno doesn't tell, else NULL;
 * - OPF_FAIL_NOMEM, err is ENOMEM. */
typedef void opf_dial_fn(opf_dial *dial, int fd, opf_failure failure, int err, const char *detail);

/* A dial: a member of its owner's structure, all zero before its first use. What it needs while it
 * is under way is on the heap and given back when it is over. */
struct opf_dial {
    opf_dial_fn *done;
    struct opf_dial_state *state; /* NULL: not under way */
    opf_phase phase; /* OPF_PHASE_RESOLVE or OPF_PHASE_CONNECT; stands after the dial is over */
};

/* Starts connecting to host and port. The host is copied; the dial must stay where it is until it
 * is over, and the network live as long. Returns 0; or OPF_ENOMEM, OPF_EINVAL (no name of a host)
 * or OPF_EFORKED, and then done is not called. */
int opf_dial_start(opf_dial *dial, opf_loop *loop, opf_resolver *resolver, opf_network *network,
                   const char *host, size_t host_len, uint16_t port, opf_dial_fn *done);

/* Ends a dial without calling done, and closes its attempts. Does nothing for one that is not under
 * way. */
void opf_dial_cancel(opf_dial *dial);

#endif
