#include "wire/tls.h"

#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

/* How often one call may receive from the socket: OpenSSL goes on by itself for as long as there
 * are records that bring no data (session tickets, key updates), and a server may send them without
 * end. */
#define RECEIVES_MAX 8

/* What hangs on a stream. */
typedef struct tls_side {
    SSL *ssl;
    opf_tls_context *context;
    opf_tls_sessions *sessions; /* NULL: none are kept */
    SSL_SESSION *known;         /* held: the stream's own that needs no keeping; or NULL */
    uint32_t receives;          /* from the socket, in the call under way */
    int behind;                 /* OPF_IO_* but READ, behind what was received last; or 0 */
    bool open;                  /* the handshake is over */
    bool broken;                /* nothing more may be written, not even a farewell */
} tls_side;

/* The BIO: OpenSSL's reads and writes on the stream's socket */

static int bio_read(BIO *bio, char *data, int size)
{
    opf_stream *stream = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (size <= 0)
        return 0;
    bool is_enough = stream->tls && ++((tls_side *)stream->tls)->receives > RECEIVES_MAX;
    ssize_t n = is_enough ? OPF_IO_READ : opf_socket_recv(stream, (uint8_t *)data, (size_t)size);
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

/* Sessions */

void opf_tls_sessions_fini(opf_tls_sessions *sessions)
{
    while (sessions->n)
        SSL_SESSION_free(sessions->kept[--sessions->n]);
}

static void drop_session(opf_tls_sessions *sessions, uint32_t i)
{
    SSL_SESSION_free(sessions->kept[i]);
    sessions->n--;
    memmove(sessions->kept + i, sessions->kept + i + 1,
            (sessions->n - i) * sizeof(sessions->kept[0]));
}

/* Notes the stream's session of now as one that needs no keeping. It is held, or the next one might
 * be given its place in memory and pass for it. */
static void know_session(tls_side *side)
{
    SSL_SESSION_free(side->known);
    side->known = SSL_get1_session(side->ssl);
}

/* Offers the newest session that can be. Without one, or without memory, the handshake is a full
 * one. */
static void offer_session(tls_side *side)
{
    opf_tls_sessions *sessions = side->sessions;
    while (sessions && sessions->n) {
        uint32_t last = sessions->n - 1;
        SSL_SESSION *session = sessions->kept[last];
        bool once = SSL_SESSION_get_protocol_version(session) >= TLS1_3_VERSION;
        bool offered = SSL_SESSION_is_resumable(session) && SSL_set_session(side->ssl, session);
        if (offered)
            know_session(side);
        if (once || !offered)
            drop_session(sessions, last);
        if (offered)
            return;
    }
}

/* Keeps the stream's session if it is a new one that can be resumed. They are looked for instead of
 * being told by OpenSSL's callback, which would have to be set in a context that may be another's:
 * TLS 1.3 sends its tickets at any time behind the handshake, and each makes a new session. */
static void keep_session(tls_side *side)
{
    opf_tls_sessions *sessions = side->sessions;
    if (!sessions || SSL_get0_session(side->ssl) == side->known)
        return;
    know_session(side);
    if (!side->known || !SSL_SESSION_is_resumable(side->known))
        return;
    if (sessions->n == OPF_TLS_SESSIONS)
        drop_session(sessions, 0);
    SSL_SESSION_up_ref(side->known);
    sessions->kept[sessions->n] = side->known;
    sessions->n++;
}

/* Streams */

static const char *reason(const char *otherwise)
{
    const char *text = ERR_reason_error_string(ERR_peek_last_error());
    return text ? text : otherwise;
}

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
    if (!side->open && verdict != X509_V_OK && (SSL_get_verify_mode(side->ssl) & SSL_VERIFY_PEER)) {
        stream->failure = OPF_FAIL_CERTIFICATE;
        stream->detail = X509_verify_cert_error_string(verdict);
    } else {
        stream->failure = OPF_FAIL_TLS;
        stream->detail = reason("protocol error");
    }
    stream->err = 0;
    return OPF_IO_ERROR;
}

/* A context of the driver's that logs its keys expects an SSL object of the driver's behind each
 * stream, and would take ours for one. It may begin to do so at any time. */
static const char KEY_LOG[] = "the SSL context logs its keys, which can't be done here";

static bool has_key_log(const opf_tls_context *context)
{
    return context->options.ssl_ctx && SSL_CTX_get_keylog_callback(context->ctx);
}

static int tls_handshake(opf_stream *stream)
{
    tls_side *side = stream->tls;
    if (has_key_log(side->context)) {
        stream->failure = OPF_FAIL_TLS;
        stream->detail = KEY_LOG;
        stream->err = 0;
        return OPF_IO_ERROR;
    }
    ERR_clear_error();
    side->receives = 0;
    int ret = SSL_do_handshake(side->ssl);
    if (ret != 1)
        return outcome(stream, ret);
    side->open = true;
    if (side->sessions && SSL_version(side->ssl) >= TLS1_3_VERSION)
        know_session(side); /* no ticket has come for it yet */
    else
        keep_session(side);
    return 0;
}

/* Receives of as many records as there are: servers of HTTP/2 send one for each small response.
 * What ends the stream behind them, which OpenSSL says but once, is told the next time, and so is
 * what has to be written before there is more. */
static ssize_t tls_recv(opf_stream *stream, uint8_t *data, size_t size)
{
    tls_side *side = stream->tls;
    size_t total = 0, n;
    int ret = 1;
    if (side->behind == OPF_IO_EOF || side->behind == OPF_IO_ERROR)
        return side->behind;
    side->behind = 0;
    ERR_clear_error();
    side->receives = 0;
    do {
        ret = SSL_read_ex(side->ssl, data + total, size - total, &n);
        total += ret == 1 ? n : 0;
    } while (ret == 1 && total < size && SSL_has_pending(side->ssl));
    keep_session(side);
    int out = ret == 1 ? 0 : outcome(stream, ret);
    if (!total)
        return out;
    if (out != OPF_IO_READ)
        side->behind = out;
    return (ssize_t)total;
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
        side->receives = 0;
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
    return side->behind || SSL_has_pending(side->ssl) == 1;
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
    SSL_SESSION_free(side->known);
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
static bool name_server(SSL *ssl, const char *name, bool check)
{
    char address[INET6_ADDRSTRLEN];
    size_t len = strcspn(name, "%"); /* a scope means nothing to the server */
    if (len < sizeof(address)) {
        memcpy(address, name, len);
        address[len] = '\0';
        struct in6_addr any;
        if (inet_pton(AF_INET6, address, &any) == 1 || inet_pton(AF_INET, address, &any) == 1)
            return !check || X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), address) == 1;
    }
    if (SSL_set_tlsext_host_name(ssl, name) != 1)
        return false;
    return !check || SSL_set1_host(ssl, name) == 1;
}

/* Makes the SSL what we need, whoever its context belongs to. */
static bool set_up(SSL *ssl, opf_http2 http2)
{
    static const unsigned char alpn[] = "\x02h2\x08http/1.1";
    const unsigned char *from = http2 == OPF_HTTP2_OFF ? alpn + 3 : alpn;
    const unsigned char *to = http2 == OPF_HTTP2_PRIOR ? alpn + 3 : alpn + sizeof(alpn) - 1;
    /* thousands of connections idle at a time: no buffers then */
    SSL_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                          SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_AUTO_RETRY);
    SSL_set_read_ahead(ssl, 1); /* a record for one system call, not two */
    /* a driver's callbacks take the SSL for one of the driver's */
    SSL_set_msg_callback(ssl, NULL);
#ifndef OPENSSL_NO_PSK
    SSL_set_psk_client_callback(ssl, NULL);
#endif
    return SSL_set_alpn_protos(ssl, from, (unsigned)(to - from)) == 0;
}

/* Makes the stream's SSL. Returns false without memory. */
static bool open_ssl(tls_side *side, opf_stream *stream, const char *name, opf_http2 http2)
{
    opf_tls_context *context = side->context;
    const opf_tls_options *options = &context->options;
    if (!context->bio && !(context->bio = bio_method_new()))
        return false;
    side->ssl = SSL_new(context->ctx);
    BIO *bio = side->ssl ? BIO_new(context->bio) : NULL;
    if (!bio)
        return false;
    BIO_set_data(bio, stream);
    BIO_set_init(bio, 1);
    SSL_set_bio(side->ssl, bio, bio);
    SSL_set_connect_state(side->ssl);
    return set_up(side->ssl, http2) &&
           name_server(side->ssl, name, options->ssl_ctx ? options->check_name : options->verify);
}

int opf_stream_open_tls(opf_stream *stream, int fd, opf_tls_context *context, const char *name,
                        opf_tls_sessions *sessions, opf_http2 http2, const char **why)
{
    *why = "the server's name is too long for TLS";
    if (strlen(name) > TLSEXT_MAXLEN_host_name)
        return OPF_EINVAL;
    *why = "no TLS context can be made";
    int ret = opf_tls_context_ready(context);
    if (ret != 0)
        return ret;
    tls_side *side = opf_mem_zalloc(sizeof(*side));
    if (!side)
        return OPF_ENOMEM;
    opf_tls_context_hold(context);
    side->context = context;
    side->sessions = sessions;
    if (!open_ssl(side, stream, name, http2)) {
        ERR_clear_error();
        side_free(side);
        return OPF_ENOMEM;
    }
    offer_session(side);
    opf_stream_init(stream);
    stream->ops = &tls_ops;
    stream->fd = fd;
    stream->tls = side;
    return 0;
}

bool opf_stream_resumed(const opf_stream *stream)
{
    const tls_side *side = stream->tls;
    return side && SSL_session_reused(side->ssl);
}

bool opf_stream_speaks_http2(const opf_stream *stream)
{
    const tls_side *side = stream->tls;
    const unsigned char *chosen;
    unsigned len;
    SSL_get0_alpn_selected(side->ssl, &chosen, &len);
    return len == 2 && memcmp(chosen, "h2", 2) == 0;
}
