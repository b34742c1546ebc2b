/* Scripted servers for tests of the client: each has a port on 127.0.0.1 and runs a function of the
 * test's for each connection, in a thread of its own. Failing calls in there end the connection.
 */
#ifndef OPF_TESTS_PEER_H
#define OPF_TESTS_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "opf.h"

/* Serves a connection, the number-th from 0, and returns; fd blocks, for 20 s at most, and is
 * closed behind it. */
typedef void peer_fn(int fd, int number, void *arg);

typedef struct peer peer;

/* Returns a server, or NULL. */
peer *peer_new(peer_fn *serve, void *arg);

/* Ends it: shuts its connections down and waits for their threads. NULL does nothing. */
void peer_free(peer *server);

uint16_t peer_port(const peer *server);

/* How many connections were accepted so far. */
int peer_count(peer *server);

/* Reads one request: its head, and the body that its Content-Length announces, into text, which has
 * room for size bytes and is NUL-terminated. Returns false if there is none. */
bool peer_read_request(int fd, char *text, size_t size);

/* Sends all of it. Returns false if the client has gone. */
bool peer_send(int fd, const char *text);

/* Waits until the client has closed. */
void peer_wait_closed(int fd);

/* Closes with a reset. */
void peer_reset(int fd);

/* An exchange and what became of it. */
typedef struct call {
    opf_exchange *exchange;
    int done; /* how often it was told */
} call;

/* Submits a request to the URL by the pool. Returns as opf_exchange_submit. */
int call_submit_url(call *c, opf_engine *engine, opf_pool *pool, const char *method,
                    const char *url, const void *body, size_t body_len);

/* The same to http(s)://127.0.0.1:port/. */
int call_submit(call *c, opf_engine *engine, opf_pool *pool, const char *method, bool tls,
                uint16_t port, const void *body, size_t body_len);

/* Polls until *count is at least wanted, for 20 s at most. Returns whether it is. */
bool call_drive(opf_engine *engine, const int *count, int wanted);

/* Polls until nothing has happened for a while. */
void call_idle(opf_engine *engine);

#endif
