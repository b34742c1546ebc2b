/* The server's side of a TLS connection, for the functions of a peer.
 *
 * What it writes is kept until it is flushed as one piece. Failing calls end the connection.
 */
#ifndef OPF_TESTS_TLS_SIDE_H
#define OPF_TESTS_TLS_SIDE_H

#include <openssl/ssl.h>
#include <stdbool.h>

#define SIDE_CERTIFICATES "tests/servers/certificates/"

typedef struct side {
    SSL *ssl;
    SSL_CTX *ctx;
    BIO *in;
    BIO *out;
    int fd;
} side;

/* Returns a context with the certificate of localhost that speaks up to a version. NULL on failure.
 */
SSL_CTX *side_context(int version);

/* Makes the side with a context, which it then owns, and does the handshake, whose last words are
 * only sent by the next flush. */
bool side_init_with(side *s, int fd, SSL_CTX *ctx);

/* The same with a context of its own. */
bool side_init(side *s, int fd, int version);

void side_fini(side *s);

/* Waits until a piece of data has come. */
bool side_read(side *s);

void side_write(side *s, const char *text);

bool side_flush(side *s);

/* Receives what is there into OpenSSL's hands. */
bool side_fill(side *s);

#endif
