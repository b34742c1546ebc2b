/* How connections are made: the sockets, what they are bound to, and hosts whose addresses are
 * given.
 *
 * A network is counted, and shared by all pools with equal options: only so can thousands of users
 * with a connection each take turns with the source addresses. One thread.
 */
#ifndef OPF_WIRE_NETWORK_H
#define OPF_WIRE_NETWORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "opf.h"
#include "wire/resolve.h"

typedef struct opf_network opf_network;

/* Returns a network, held once by the caller, or NULL with *error set to OPF_ENOMEM, or to
 * OPF_EINVAL with a text of at most size bytes. */
opf_network *opf_network_new(const opf_network_options *options, int *error, char *text,
                             size_t size);

/* Tries the source addresses: false with a text of at most size bytes if one is not this machine's.
 */
bool opf_network_check(const opf_network *network, char *text, size_t size);

/* True when both were made with the same options. */
bool opf_network_same(const opf_network *a, const opf_network *b);

void opf_network_hold(opf_network *network);

/* Lets go of one hold; the last one frees it. NULL does nothing. */
void opf_network_release(opf_network *network);

/* Returns the addresses that are given for the host and port, *n of them, valid as long as the
 * network; NULL: it is to be looked up. The one address of a Unix socket, which goes before all
 * others, is of the family AF_UNIX. */
const opf_addr *opf_network_given(const opf_network *network, const char *host, size_t len,
                                  uint16_t port, size_t *n);

/* Returns a socket to connect to the address with: non-blocking, close-on-exec, with the network's
 * options, bound to the next of its sources, and with SO_TIMESTAMPNS if the kernel has it. -1 with
 * errno set if there is none; *why is then a constant text if errno doesn't tell, else NULL. */
int opf_network_socket(opf_network *network, int family, const char **why);

/* Fills in *out for connect(2). Returns its length. */
socklen_t opf_network_sockaddr(const opf_network *network, const opf_addr *addr, uint16_t port,
                               struct sockaddr_storage *out);

#endif
