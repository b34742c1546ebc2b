/* Byte streams: one connected socket, plain or under TLS, behind a table of calls.
 *
 * Never blocks. A stream is a member of its owner's structure and is used by one thread. Receiving
 * fills in the kernel's time stamp of the newest bytes where the socket offers it (SO_TIMESTAMPNS).
 */
#ifndef OPF_WIRE_STREAM_H
#define OPF_WIRE_STREAM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "opf.h"

/* What a call returns instead of a number of bytes. */
enum {
    OPF_IO_READ = -101,  /* call again when the descriptor is readable */
    OPF_IO_WRITE = -102, /* call again when it is writable */
    OPF_IO_EOF = -103,   /* the peer has ended its side */
    OPF_IO_ERROR = -104  /* broken: failure, err and detail of the stream say how */
};

typedef struct opf_stream opf_stream;

typedef struct opf_stream_ops {
    /* Goes on with the handshake. Returns 0 when it is over, or OPF_IO_*. */
    int (*handshake)(opf_stream *stream);
    /* Receives up to size > 0 bytes. Returns their number (> 0) or OPF_IO_*. */
    ssize_t (*recv)(opf_stream *stream, uint8_t *data, size_t size);
    /* Sends some of n pieces. Returns the number of bytes taken (> 0) or OPF_IO_*. */
    ssize_t (*send)(opf_stream *stream, const struct iovec *pieces, int n);
    /* True when recv may bring bytes that poll(2) doesn't tell of. */
    bool (*pending)(const opf_stream *stream);
    /* True when a stream on which nothing is expected is as it should be: open and silent. */
    bool (*idle)(opf_stream *stream);
    /* Closes the descriptor and frees what belongs to it. polite: may tell the peer. */
    void (*close)(opf_stream *stream, bool polite);
} opf_stream_ops;

struct opf_stream {
    const opf_stream_ops *ops; /* NULL: closed, or never opened */
    int fd;
    void *tls;           /* of wire/tls.c */
    uint64_t stamp;      /* kernel's time of the bytes received last, CLOCK_REALTIME ns; 0: none */
    opf_failure failure; /* after OPF_IO_ERROR */
    int err;
    const char *detail; /* constant text or NULL */
};

static inline void opf_stream_init(opf_stream *stream)
{
    *stream = (opf_stream){.fd = -1};
}

/* Makes a plain TCP stream of a connected, non-blocking descriptor, which it then owns. */
void opf_stream_open_tcp(opf_stream *stream, int fd);

/* Closes the stream if it is open; it may be opened anew. */
static inline void opf_stream_close(opf_stream *stream, bool polite)
{
    if (stream->ops)
        stream->ops->close(stream, polite);
    opf_stream_init(stream);
}

/* For other streams over a socket: recvmsg(2) and sendmsg(2) with the returns above, and a look at
 * an idle socket: OPF_IO_READ open and silent, > 0 there are bytes, else it has ended. */
ssize_t opf_socket_recv(opf_stream *stream, uint8_t *data, size_t size);
ssize_t opf_socket_send(opf_stream *stream, const struct iovec *pieces, int n);
ssize_t opf_socket_peek(opf_stream *stream);

#endif
