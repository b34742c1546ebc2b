#include "tls_relay.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "tls_side.h"

/* The function that is relayed, in a thread of its own. */
typedef struct inner {
    const tls_relay *relay;
    int fd;
    int number;
} inner;

static void *run_inner(void *arg)
{
    inner *in = arg;
    in->relay->serve(in->fd, in->number, in->relay->arg);
    close(in->fd);
    return NULL;
}

static int choose_http2(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                        const unsigned char *in, unsigned int in_len, void *arg)
{
    static const unsigned char ours[] = "\2h2";
    unsigned char *found;
    (void)ssl, (void)arg;
    if (SSL_select_next_proto(&found, out_len, ours, 3, in, in_len) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = found;
    return SSL_TLSEXT_ERR_OK;
}

/* Sends to the function, unless the client goes while that doesn't read. To one that has ended
 * nothing is sent: what it said last is still to be passed on. */
static bool send_all(int plain, const char *data, size_t len, int client)
{
    while (len) {
        struct pollfd fds[2] = {{.fd = client, .events = POLLRDHUP},
                                {.fd = plain, .events = POLLOUT}};
        ssize_t n = send(plain, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0) {
            data += n;
            len -= (size_t)n;
        } else if (errno == EPIPE) {
            return true;
        } else if (errno != EAGAIN || poll(fds, 2, 20000) <= 0 || fds[0].revents) {
            return false;
        }
    }
    return true;
}

/* What OpenSSL has of the client's goes to the function. */
static bool pass_in(side *s, int plain)
{
    char data[1 << 14];
    int n;
    while ((n = SSL_read(s->ssl, data, sizeof(data))) > 0)
        if (!send_all(plain, data, (size_t)n, s->fd))
            return false;
    return SSL_get_error(s->ssl, n) == SSL_ERROR_WANT_READ && side_flush(s);
}

/* What the function says goes to the client. */
static bool pass_out(side *s, int plain)
{
    char data[1 << 14];
    ssize_t n = recv(plain, data, sizeof(data), 0);
    if (n > 0)
        return SSL_write(s->ssl, data, (int)n) == n && side_flush(s);
    SSL_shutdown(s->ssl);
    side_flush(s);
    return false;
}

static void relay(side *s, int plain)
{
    struct pollfd fds[2] = {{.fd = s->fd, .events = POLLIN}, {.fd = plain, .events = POLLIN}};
    bool open = side_flush(s) && pass_in(s, plain);
    while (open && poll(fds, 2, 20000) > 0) {
        if (fds[0].revents)
            open = side_fill(s) && pass_in(s, plain);
        if (open && fds[1].revents)
            open = pass_out(s, plain);
    }
}

void tls_relay_serve(int fd, int number, void *arg)
{
    int pair[2], yes = 1;
    struct timeval patience = {.tv_sec = 20};
    SSL_CTX *ctx = side_context(TLS1_3_VERSION);
    side s = {0};
    pthread_t thread;
    inner in = {.relay = arg, .number = number};
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
    if (ctx)
        SSL_CTX_set_alpn_select_cb(ctx, choose_http2, NULL);
    if (side_init_with(&s, fd, ctx) && socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0) {
        in.fd = pair[1];
        for (int i = 0; i < 2; i++) {
            setsockopt(pair[i], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
            setsockopt(pair[i], SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
        }
        if (pthread_create(&thread, NULL, run_inner, &in) == 0) {
            relay(&s, pair[0]);
            shutdown(pair[0], SHUT_RDWR);
            shutdown(fd, SHUT_WR);
            pthread_join(thread, NULL);
        } else {
            close(pair[1]);
        }
        close(pair[0]);
    }
    side_fini(&s);
}
