/* TLS spoken by somebody else: a context lent to another SSL_CTX, and what OpenSSL's codes mean.
 *
 * No type of OpenSSL's is in here. One thread.
 */
#ifndef OPF_WIRE_TLS_LEND_H
#define OPF_WIRE_TLS_LEND_H

#include <stdbool.h>

#include "opf.h"

struct opf_tls_context;

/* Has an SSL_CTX of somebody else's do as the context does: what it trusts, its certificate,
 * versions, ciphers. The context is ready. Returns 0, OPF_ENOMEM, or OPF_EINVAL with *why a
 * constant text. */
int opf_tls_context_lend(struct opf_tls_context *context, void *ssl_ctx, const char **why);

/* Whether a context that is ready checks the server's certificate, and its name as well. */
bool opf_tls_context_verifies(const struct opf_tls_context *context, bool *name);

/* Constant texts for an error code of OpenSSL's and for a verification's verdict; NULL: there is
 * none. */
const char *opf_tls_error_text(unsigned long code);
const char *opf_tls_verdict_text(long verdict);

/* True when the handshake of an SSL object took up an earlier session. */
bool opf_tls_resumed(const void *ssl);

/* The connection ended without TLS's farewell. */
bool opf_tls_error_is_eof(unsigned long code);

#endif
