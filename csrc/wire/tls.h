/* TLS streams on OpenSSL.
 *
 * A context holds what all connections with the same options share: the CA store above all, which
 * is what makes a context dear. It is counted: each stream holds it, and so does who made it. One
 * thread.
 */
#ifndef OPF_WIRE_TLS_H
#define OPF_WIRE_TLS_H

#include "wire/stream.h"

typedef struct opf_tls_context opf_tls_context;

typedef struct opf_tls_options {
    bool verify;         /* check the chain and the name */
    const char *ca_file; /* PEM bundle, or NULL */
    const char *ca_dir;  /* directory of hashed certificates, or NULL; neither: the system's */
} opf_tls_options;

/* Returns a context, held once by the caller, or NULL with a text of at most size bytes in error.
 */
opf_tls_context *opf_tls_context_new(const opf_tls_options *options, char *error, size_t size);

/* True when the context was made with these options. */
bool opf_tls_context_is(const opf_tls_context *context, const opf_tls_options *options);

void opf_tls_context_hold(opf_tls_context *context);

/* Lets go of one hold; the last one frees the context. NULL does nothing. */
void opf_tls_context_release(opf_tls_context *context);

/* Makes a TLS stream of a connected, non-blocking descriptor, which it then owns, for the server
 * name host (sent as SNI and checked against the certificate; an IP address is only checked). The
 * stream must stay where it is. Returns 0 or OPF_ENOMEM: then the descriptor is still the caller's.
 */
int opf_stream_open_tls(opf_stream *stream, int fd, opf_tls_context *context, const char *host,
                        size_t host_len);

#endif
