/* Inside an engine: what its pools, connections and exchanges share.
 *
 * One thread, as opf.h says.
 */
#ifndef OPF_CLIENT_ENGINE_H
#define OPF_CLIENT_ENGINE_H

#include "base/clock.h"
#include "base/list.h"
#include "loop/loop.h"
#include "opf.h"
#include "wire/resolve.h"
#include "wire/tls.h"

/* Room for what one receive call brings, shared by all connections: a response's head and a small
 * body at once. */
#define OPF_RECV_SIZE (128U << 10)

/* TLS contexts that an engine keeps: one for each set of options that its pools use. */
#define OPF_TLS_CONTEXTS 16

struct opf_engine {
    opf_loop *loop;
    opf_resolver *resolver;
    opf_stampclock stamps;
    uint64_t now;      /* monotonic ns, as of the poll under way or of the last send */
    opf_list finished; /* exchanges whose done is due, by their link */
    opf_list spare;    /* exchanges to use again, by their link */
    uint32_t n_spare;
    bool polling;
    bool forked;
    const opf_sink *sink;
    opf_tls_context *tls[OPF_TLS_CONTEXTS];
    opf_engine_totals totals;
    uint64_t most_connections; /* open at a time, since memory was last given back */
    uint8_t recv[OPF_RECV_SIZE];
};

/* Returns the context for the options, made now if there is none yet; the engine holds it, and the
 * caller must hold it too to keep it. NULL: it can't be made, a text of at most size bytes is in
 * error. */
opf_tls_context *opf_engine_tls(opf_engine *engine, const opf_tls_options *options, char *error,
                                size_t size);

#endif
