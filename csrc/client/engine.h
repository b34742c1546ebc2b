/* Inside an engine: what its pools, connections and exchanges share.
 *
 * One thread, as opf.h says.
 */
#ifndef OPF_CLIENT_ENGINE_H
#define OPF_CLIENT_ENGINE_H

#include "base/blocks.h"
#include "base/clock.h"
#include "base/list.h"
#include "client/gather.h"
#include "loop/loop.h"
#include "opf.h"
#include "wire/network.h"
#include "wire/resolve.h"
#include "wire/tls.h"

/* Room for what one receive call brings, shared by all connections: a response's head and a small
 * body at once. */
#define OPF_RECV_SIZE (128U << 10)

/* TLS contexts and networks that an engine keeps: one for each set of options that its pools use.
 */
#define OPF_SHARED 16

struct opf_engine {
    opf_loop *loop;
    opf_resolver *resolver;
    opf_stampclock stamps;
    uint64_t now;      /* monotonic ns, as of the poll under way or of the last send */
    opf_list finished; /* exchanges whose done is due, by their link */
    opf_list spare;    /* exchanges to use again, by their link */
    uint32_t n_spare;
    opf_list unsent;        /* HTTP/2 connections that have something to send, by their link */
    opf_list spare_streams; /* of mux.c, to use again */
    uint32_t n_spare_streams;
    opf_blocks blocks;  /* of the sessions of HTTP/2 */
    uint32_t n_held;    /* requests that wait for the flush */
    uint32_t n_streams; /* of HTTP/2, under way */
    opf_gather gather;
    bool waits;     /* as its options say */
    bool held;      /* between opf_engine_hold and opf_engine_flush */
    uint64_t polls; /* begun so far */
    bool polling;
    bool forked;
    const opf_sink *sink;
    opf_tls_context *tls[OPF_SHARED];
    opf_network *networks[OPF_SHARED];
    opf_engine_totals totals;
    uint64_t most_connections; /* open at a time, since memory was last given back */
    uint8_t recv[OPF_RECV_SIZE];
};

/* Return the context or network for the options, made now if there is none yet and held for the
 * caller; one of an SSL_CTX of the driver's is the caller's alone. NULL: as opf_tls_context_new and
 * opf_network_new. */
opf_tls_context *opf_engine_tls(opf_engine *engine, const opf_tls_options *options, int *error,
                                char *text, size_t size);
opf_network *opf_engine_network(opf_engine *engine, const opf_network_options *options, int *error,
                                char *text, size_t size);

#endif
