/* A pool's origins: for each the connections and the queue of those who wait for one.
 *
 * One thread, as opf.h says.
 */
#ifndef OPF_CLIENT_POOL_H
#define OPF_CLIENT_POOL_H

#include "base/list.h"
#include "client/engine.h"
#include "client/exchange.h"
#include "opf.h"

/* Whether an origin's connections carry many requests at a time (HTTP/2). */
typedef enum opf_sharing {
    OPF_SHARES_NOT = 0,
    OPF_MAY_SHARE, /* the first connection will tell */
    OPF_SHARES
} opf_sharing;

/* A scheme, host and port that a pool has connections to. */
typedef struct opf_origin {
    opf_node link; /* in the pool's list */
    opf_pool *pool;
    opf_list idle;             /* connections, the one used last first */
    opf_list busy;             /* connections, dialling ones included */
    opf_list shared;           /* connections that speak HTTP/2 and take streams */
    opf_list waiting;          /* exchanges, in their order */
    uint64_t submitted;        /* exchanges so far */
    opf_tls_sessions sessions; /* empty unless the pool's options want them */
    uint32_t n_conns;
    uint32_t n_draining; /* of those: that take no more streams */
    opf_sharing sharing;
    uint16_t port;
    bool tls;
    bool ip6;
    uint32_t host_len;
    char host[]; /* NUL-terminated too */
} opf_origin;

struct opf_pool {
    opf_engine *engine;
    opf_list origins;
    uint32_t n_origins;
    opf_list multis;          /* of curl.c */
    opf_pool_options options; /* without what is in the context and the network */
    opf_tls_context *tls;
    opf_network *network;
    char *server_name; /* or NULL: the origin's host */
};

/* Puts the exchange, whose request is written, on a connection or into the queue. Returns 0 or
 * OPF_ENOMEM. */
int opf_pool_submit(opf_pool *pool, opf_exchange *exchange, const opf_url *url);

/* Puts an exchange that is on no connection any more into the queue again, where it was. */
void opf_origin_requeue(opf_origin *origin, opf_exchange *exchange);

/* Fails those who wait for the one connection that could not be made, as its own exchange failed;
 * does nothing if there is another connection. */
void opf_origin_fail_waiting(opf_origin *origin, const opf_result *failed);

/* Tells the origin what its newest connection speaks. Those of before that speak otherwise take no
 * more requests: servers behind one name may differ. */
void opf_origin_speaks(opf_origin *origin, bool http2);

/* Tells the origin that one of its connections has become free (and is in the idle list) or is
 * gone: whoever waits first gets it, or a new one. */
void opf_origin_serve(opf_origin *origin);

#endif
