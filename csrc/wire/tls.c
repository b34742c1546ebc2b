#include "wire/tls.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

#define HOST_MAX 255 /* RFC 1035, 2.3.4 */

struct opf_tls_context {
    SSL_CTX *ctx;
    BIO_METHOD *bio; /* sockets with time stamps, as a BIO */
    size_t holds;
    bool verify;
    char *ca_file;
    char *ca_dir;
};

/* What hangs on a stream. */
typedef struct tls_side {
    SSL *ssl;
    opf_tls_context *context;
    bool open;   /* the handshake is over */
    bool broken; /* nothing more may be written, not even a farewell */
} tls_side;

/* The BIO: OpenSSL's reads and writes on the stream's socket */

static int bio_read(BIO *bio, char *data, int size)
{
    opf_stream *stream = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (size <= 0)
        return 0;
    ssize_t n = opf_socket_recv(stream, (uint8_t *)data, (size_t)size);
    if (n > 0)
        return (int)n;
    if (n == OPF_IO_READ) {
        BIO_set_retry_read(bio);
        return -1;
    }
    if (n == OPF_IO_EOF)
        BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
    return n == OPF_IO_EOF ? 0 : -1;
}

static int bio_write(BIO *bio, const char *data, int size)
{
    opf_stream *stream = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (size <= 0)
        return 0;
    struct iovec piece = {.iov_base = (char *)(uintptr_t)data, .iov_len = (size_t)size};
    ssize_t n = opf_socket_send(stream, &piece, 1);
    if (n >= 0)
        return (int)n;
    if (n == OPF_IO_WRITE)
        BIO_set_retry_write(bio);
    return -1;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    (void)number;
    (void)pointer;
    switch (command) {
    case BIO_CTRL_FLUSH:
        return 1;
    case BIO_CTRL_EOF:
        return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0;
    default:
        return 0;
    }
}

static BIO_METHOD *bio_method_new(void)
{
    /* the number only tells kinds of BIO apart in a chain, and ours stands alone */
    BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK | 0x7f, "opscore_fast socket");
    if (!method)
        return NULL;
    if (!BIO_meth_set_read(method, bio_read) || !BIO_meth_set_write(method, bio_write) ||
        !BIO_meth_set_ctrl(method, bio_ctrl)) {
        BIO_meth_free(method);
        return NULL;
    }
    return method;
}

/* Contexts */

static const char *reason(const char *otherwise)
{
    const char *text = ERR_reason_error_string(ERR_peek_last_error());
    return text ? text : otherwise;
}

static bool load_trust(opf_tls_context *context, char *error, size_t size)
{
    if (!context->ca_file && !context->ca_dir) {
        if (SSL_CTX_set_default_verify_paths(context->ctx) == 1)
            return true;
        snprintf(error, size, "the system's CA certificates can't be loaded: %s",
                 reason("unknown"));
        return false;
    }
    if (context->ca_file && SSL_CTX_load_verify_file(context->ctx, context->ca_file) != 1) {
        snprintf(error, size, "CA bundle %s can't be loaded: %s", context->ca_file,
                 reason("no certificate in it"));
        return false;
    }
    if (context->ca_dir && SSL_CTX_load_verify_dir(context->ctx, context->ca_dir) != 1) {
        snprintf(error, size, "CA directory %s can't be used: %s", context->ca_dir,
                 reason("unknown"));
        return false;
    }
    return true;
}

static bool set_up(SSL_CTX *ctx, bool verify)
{
    static const unsigned char alpn[] = "\x08http/1.1";
    SSL_CTX_set_verify(ctx, verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
    /* thousands of connections idle at a time: no buffers then, and no sessions that nobody resumes
     */
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_read_ahead(ctx, 1); /* a record for one system call, not two */
    return SSL_CTX_set_alpn_protos(ctx, alpn, sizeof(alpn) - 1) == 0;
}

static bool copy_text(char **to, const char *from)
{
    if (!from)
        return true;
    *to = opf_mem_strdup(from);
    return *to != NULL;
}

opf_tls_context *opf_tls_context_new(const opf_tls_options *options, char *error, size_t size)
{
    snprintf(error, size, "out of memory");
    opf_tls_context *context = opf_mem_zalloc(sizeof(*context));
    if (!context)
        return NULL;
    context->holds = 1;
    context->verify = options->verify;
    ERR_clear_error();
    if (!copy_text(&context->ca_file, options->ca_file) ||
        !copy_text(&context->ca_dir, options->ca_dir))
        goto fail;
    context->bio = bio_method_new();
    context->ctx = SSL_CTX_new(TLS_client_method());
    if (!context->bio || !context->ctx || !set_up(context->ctx, options->verify))
        goto fail;
    /* the system's store is some 140 certificates: only read when something is checked against it
     */
    if ((options->verify || options->ca_file || options->ca_dir) &&
        !load_trust(context, error, size))
        goto fail;
    ERR_clear_error();
    return context;

fail:
    ERR_clear_error();
    opf_tls_context_release(context);
    return NULL;
}

static bool same(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

bool opf_tls_context_is(const opf_tls_context *context, const opf_tls_options *options)
{
    return context->verify == options->verify && same(context->ca_file, options->ca_file) &&
           same(context->ca_dir, options->ca_dir);
}

void opf_tls_context_hold(opf_tls_context *context)
{
    context->holds++;
}

void opf_tls_context_release(opf_tls_context *context)
{
    if (!context || --context->holds)
        return;
    SSL_CTX_free(context->ctx);
    BIO_meth_free(context->bio);
    opf_mem_free(context->ca_file);
    opf_mem_free(context->ca_dir);
    opf_mem_free(context);
}

/* Streams */

/* Tells what a call of OpenSSL that did not succeed means. */
static int outcome(opf_stream *stream, int ret)
{
    tls_side *side = stream->tls;
    switch (SSL_get_error(side->ssl, ret)) {
    case SSL_ERROR_WANT_READ:
        return OPF_IO_READ;
    case SSL_ERROR_WANT_WRITE:
        return OPF_IO_WRITE;
    case SSL_ERROR_ZERO_RETURN:
        return OPF_IO_EOF;
    case SSL_ERROR_SYSCALL:
        side->broken = true;
        if (stream->failure == OPF_FAIL_NONE)
            return OPF_IO_EOF;
        return OPF_IO_ERROR; /* the socket's own error, noted by opf_socket_* */
    default:
        break;
    }
    side->broken = true;
    unsigned long code = ERR_peek_last_error();
    long verdict = SSL_get_verify_result(side->ssl);
#ifdef SSL_R_UNEXPECTED_EOF_WHILE_READING
    if (ERR_GET_REASON(code) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
        return OPF_IO_EOF;
#endif
    if (!side->open && side->context->verify && verdict != X509_V_OK) {
        stream->failure = OPF_FAIL_CERTIFICATE;
        stream->detail = X509_verify_cert_error_string(verdict);
    } else {
        stream->failure = OPF_FAIL_TLS;
        stream->detail = reason("protocol error");
    }
    stream->err = 0;
    return OPF_IO_ERROR;
}

static int tls_handshake(opf_stream *stream)
{
    tls_side *side = stream->tls;
    ERR_clear_error();
    int ret = SSL_do_handshake(side->ssl);
    if (ret == 1) {
        side->open = true;
        return 0;
    }
    return outcome(stream, ret);
}

static ssize_t tls_recv(opf_stream *stream, uint8_t *data, size_t size)
{
    tls_side *side = stream->tls;
    size_t n;
    ERR_clear_error();
    int ret = SSL_read_ex(side->ssl, data, size, &n);
    return ret == 1 ? (ssize_t)n : outcome(stream, ret);
}

static ssize_t tls_send(opf_stream *stream, const struct iovec *pieces, int n)
{
    tls_side *side = stream->tls;
    size_t total = 0;
    for (int i = 0; i < n; i++) {
        size_t sent;
        if (!pieces[i].iov_len)
            continue;
        ERR_clear_error();
        int ret = SSL_write_ex(side->ssl, pieces[i].iov_base, pieces[i].iov_len, &sent);
        if (ret != 1) {
            int out = outcome(stream, ret);
            return total ? (ssize_t)total : out;
        }
        total += sent;
        if (sent < pieces[i].iov_len)
            break;
    }
    return (ssize_t)total;
}

static bool tls_pending(const opf_stream *stream)
{
    const tls_side *side = stream->tls;
    return SSL_has_pending(side->ssl) == 1;
}

static bool tls_idle(opf_stream *stream)
{
    ssize_t seen = opf_socket_peek(stream);
    if (seen == OPF_IO_READ && !tls_pending(stream))
        return true;
    if (seen <= 0 && seen != OPF_IO_READ)
        return false;
    /* session tickets may come at any time: records that bring no data are no reason to worry */
    uint8_t byte;
    return tls_recv(stream, &byte, 1) == OPF_IO_READ && !tls_pending(stream);
}

static void side_free(tls_side *side)
{
    SSL_free(side->ssl);
    opf_tls_context_release(side->context);
    opf_mem_free(side);
}

static void tls_close(opf_stream *stream, bool polite)
{
    tls_side *side = stream->tls;
    if (polite && side->open && !side->broken) {
        ERR_clear_error();
        SSL_shutdown(side->ssl); /* close_notify, if the socket takes it at once */
        ERR_clear_error();
    }
    side_free(side);
    close(stream->fd);
}

static const opf_stream_ops tls_ops = {
    .handshake = tls_handshake,
    .recv = tls_recv,
    .send = tls_send,
    .pending = tls_pending,
    .idle = tls_idle,
    .close = tls_close,
};

/* Names the server: an IP address is checked but never sent (RFC 6066, 3). */
static bool name_server(SSL *ssl, const char *host, bool verify)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
    if (X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1)
        return true;
    ERR_clear_error();
    if (SSL_set_tlsext_host_name(ssl, host) != 1)
        return false;
    return !verify || SSL_set1_host(ssl, host) == 1;
}

int opf_stream_open_tls(opf_stream *stream, int fd, opf_tls_context *context, const char *host,
                        size_t host_len)
{
    char name[HOST_MAX + 1];
    if (host_len > HOST_MAX)
        host_len = HOST_MAX; /* such a name was never resolved */
    memcpy(name, host, host_len);
    name[host_len] = '\0';
    tls_side *side = opf_mem_zalloc(sizeof(*side));
    if (!side)
        return OPF_ENOMEM;
    opf_tls_context_hold(context);
    side->context = context;
    side->ssl = SSL_new(context->ctx);
    BIO *bio = side->ssl ? BIO_new(context->bio) : NULL;
    if (!bio)
        goto fail;
    BIO_set_data(bio, stream);
    BIO_set_init(bio, 1);
    SSL_set_bio(side->ssl, bio, bio);
    SSL_set_connect_state(side->ssl);
    if (!name_server(side->ssl, name, context->verify))
        goto fail;
    opf_stream_init(stream);
    stream->ops = &tls_ops;
    stream->fd = fd;
    stream->tls = side;
    return 0;

fail:
    ERR_clear_error();
    side_free(side);
    return OPF_ENOMEM;
}
