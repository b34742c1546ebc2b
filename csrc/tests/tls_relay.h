/* A peer's connections by TLS: its function reads and writes plain bytes, on a socket pair, and a
 * relay does the TLS between that and the client. HTTP/2 is chosen by ALPN.
 */
#ifndef OPF_TESTS_TLS_RELAY_H
#define OPF_TESTS_TLS_RELAY_H

#include "peer.h"

typedef struct tls_relay {
    peer_fn *serve;
    void *arg;
} tls_relay;

/* A peer_fn, with a tls_relay as its arg. When the relayed function returns, the client is told by
 * a close_notify. */
void tls_relay_serve(int fd, int number, void *arg);

#endif
