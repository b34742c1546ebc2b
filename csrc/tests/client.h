/* A client with its server, and servers of HTTP/1.1 that do the usual. */
#ifndef OPF_TESTS_CLIENT_H
#define OPF_TESTS_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "opf.h"
#include "peer.h"

#define ANSWER "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

typedef struct client {
    opf_engine *engine;
    opf_pool *pool;
    peer *server;
    uint16_t port; /* the server's */
    bool tls;      /* requests are https */
} client;

/* Makes the engine, a pool (options: NULL for the defaults) and the server (serve: NULL for none).
 * Returns whether all are there; client_fini is due in any case. */
bool client_init(client *c, peer_fn *serve, void *arg, const opf_pool_options *options);

void client_fini(client *c);

uint64_t client_connections(const client *c);

/* Answers each request with ANSWER. */
void serve_well(int fd, int number, void *arg);

/* Answers one, and closes. */
void serve_once(int fd, int number, void *arg);

/* Answers with the text at arg and closes, on its first connection; then well. */
void serve_first(int fd, int number, void *arg);

/* Says what is at arg (NULL: nothing) and no more. */
void serve_and_hold(int fd, int number, void *arg);

/* Never reads. */
void serve_deaf(int fd, int number, void *arg);

/* Resets its first connection when it has read a request; serves the others well. */
void serve_reset(int fd, int number, void *arg);

#endif
