#include "tls_side.h"

#include <openssl/err.h>
#include <string.h>
#include <sys/socket.h>

bool side_flush(side *s)
{
    char data[1 << 16];
    int n;
    while ((n = BIO_read(s->out, data, sizeof(data))) > 0)
        if (send(s->fd, data, (size_t)n, MSG_NOSIGNAL) != n)
            return false;
    return true;
}

bool side_fill(side *s)
{
    char data[1 << 14];
    ssize_t n = recv(s->fd, data, sizeof(data), 0);
    return n > 0 && BIO_write(s->in, data, (int)n) == n;
}

void side_fini(side *s)
{
    SSL_free(s->ssl);
    SSL_CTX_free(s->ctx);
    ERR_clear_error();
}

SSL_CTX *side_context(int version)
{
    static const char file[] = SIDE_CERTIFICATES "localhost.pem";
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_max_proto_version(ctx, version);
    if (SSL_CTX_use_certificate_chain_file(ctx, file) == 1 &&
        SSL_CTX_use_PrivateKey_file(ctx, file, SSL_FILETYPE_PEM) == 1)
        return ctx;
    SSL_CTX_free(ctx);
    return NULL;
}

bool side_init_with(side *s, int fd, SSL_CTX *ctx)
{
    *s = (side){.fd = fd, .ctx = ctx};
    if (!ctx)
        return false;
    s->ssl = SSL_new(s->ctx);
    s->in = BIO_new(BIO_s_mem());
    s->out = BIO_new(BIO_s_mem());
    SSL_set_bio(s->ssl, s->in, s->out);
    SSL_set_accept_state(s->ssl);
    int ret;
    while ((ret = SSL_do_handshake(s->ssl)) != 1)
        if (!side_flush(s) || SSL_get_error(s->ssl, ret) != SSL_ERROR_WANT_READ || !side_fill(s))
            return false;
    return true;
}

bool side_init(side *s, int fd, int version)
{
    return side_init_with(s, fd, side_context(version));
}

bool side_read(side *s)
{
    char data[1 << 14];
    while (SSL_read(s->ssl, data, sizeof(data)) <= 0)
        if (!side_flush(s) || !side_fill(s))
            return false;
    return true;
}

void side_write(side *s, const char *text)
{
    SSL_write(s->ssl, text, (int)strlen(text));
}
