/* TLS contexts: what all connections with the same options share, the CA store above all, which is
 * what makes one dear.
 *
 * A context is counted: each stream holds it, and so does who made it. One thread.
 */
#ifndef OPF_WIRE_TLS_CONTEXT_H
#define OPF_WIRE_TLS_CONTEXT_H

#include <openssl/ssl.h>

#include "opf.h"

typedef struct opf_tls_context {
    SSL_CTX *ctx;    /* NULL until it is needed */
    BIO_METHOD *bio; /* sockets with time stamps, as a BIO; made by who uses it first */
    size_t holds;
    opf_tls_options options; /* its strings are the context's own */
} opf_tls_context;

/* Returns a context, held once by the caller, or NULL with *error set to OPF_ENOMEM, or to
 * OPF_EINVAL with a text of at most size bytes: options that can't be honoured are told at once. */
opf_tls_context *opf_tls_context_new(const opf_tls_options *options, int *error, char *text,
                                     size_t size);

/* Makes the context's SSL_CTX if that was put off: one that only names the system's CAs, which take
 * time to load, is made when it is first needed. Returns 0 or OPF_EINVAL or OPF_ENOMEM. */
int opf_tls_context_ready(opf_tls_context *context);

/* True when the context was made with these options. */
bool opf_tls_context_is(const opf_tls_context *context, const opf_tls_options *options);

void opf_tls_context_hold(opf_tls_context *context);

/* Lets go of one hold; the last one frees the context. NULL does nothing. */
void opf_tls_context_release(opf_tls_context *context);

#endif
