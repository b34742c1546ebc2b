#include "wire/stream.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

static int broken(opf_stream *stream, int err)
{
    stream->failure = OPF_FAIL_RESET;
    stream->err = err;
    stream->detail = NULL;
    return OPF_IO_ERROR;
}

static uint64_t stamp_of(struct msghdr *msg)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
            struct timespec ts;
            memcpy(&ts, CMSG_DATA(c), sizeof(ts));
            return (uint64_t)ts.tv_sec * OPF_NS_PER_S + (uint64_t)ts.tv_nsec;
        }
    }
    return 0;
}

/* What recv(2) has returned, as an opf_stream_ops tells it. */
static ssize_t received(opf_stream *stream, ssize_t n)
{
    if (n > 0)
        return n;
    if (n == 0)
        return OPF_IO_EOF;
    if (errno == EAGAIN || errno == EWOULDBLOCK)
        return OPF_IO_READ;
    return broken(stream, errno);
}

ssize_t opf_socket_recv(opf_stream *stream, uint8_t *data, size_t size)
{
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(sizeof(struct timespec)) + 64];
    } control;
    struct iovec piece = {.iov_base = data, .iov_len = size};
    struct msghdr msg = {.msg_iov = &piece,
                         .msg_iovlen = 1,
                         .msg_control = control.room,
                         .msg_controllen = sizeof(control.room)};
    ssize_t n;
    do
        n = recvmsg(stream->fd, &msg, MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n > 0)
        stream->stamp = stamp_of(&msg);
    return received(stream, n);
}

ssize_t opf_socket_send(opf_stream *stream, const struct iovec *pieces, int n)
{
    ssize_t sent;
    if (n == 1) {
        do
            sent = send(stream->fd, pieces->iov_base, pieces->iov_len, MSG_NOSIGNAL | MSG_DONTWAIT);
        while (sent < 0 && errno == EINTR);
    } else {
        struct msghdr msg = {.msg_iov = (struct iovec *)(uintptr_t)pieces, .msg_iovlen = (size_t)n};
        do
            sent = sendmsg(stream->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
        while (sent < 0 && errno == EINTR);
    }
    if (sent >= 0)
        return sent;
    if (errno == EAGAIN || errno == EWOULDBLOCK)
        return OPF_IO_WRITE;
    return broken(stream, errno);
}

ssize_t opf_socket_peek(opf_stream *stream)
{
    uint8_t byte;
    ssize_t n;
    do
        n = recv(stream->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    return received(stream, n);
}

static int tcp_handshake(opf_stream *stream)
{
    (void)stream;
    return 0;
}

static bool tcp_pending(const opf_stream *stream)
{
    (void)stream;
    return false;
}

static bool tcp_idle(opf_stream *stream)
{
    return opf_socket_peek(stream) == OPF_IO_READ;
}

static void tcp_close(opf_stream *stream, bool polite)
{
    (void)polite;
    close(stream->fd);
}

static const opf_stream_ops tcp_ops = {
    .handshake = tcp_handshake,
    .recv = opf_socket_recv,
    .send = opf_socket_send,
    .pending = tcp_pending,
    .idle = tcp_idle,
    .close = tcp_close,
};

void opf_stream_open_tcp(opf_stream *stream, int fd)
{
    opf_stream_init(stream);
    stream->ops = &tcp_ops;
    stream->fd = fd;
}
