/* A connection that speaks HTTP/2: many exchanges at a time, each on a stream.
 *
 * conn.c dials and does the handshake; then the connection is handed over to here. It belongs to
 * its origin's shared list while it takes streams, and to the busy ones when it takes no more (the
 * server is going away) but still carries some. What is to be sent waits until the engine flushes,
 * so that the frames of many requests go in one system call. One thread.
 */
#ifndef OPF_CLIENT_MUX_H
#define OPF_CLIENT_MUX_H

#include "client/conn.h"
#include "http/h2.h"

/* An exchange on its stream. */
typedef struct opf_mux_stream {
    opf_h2_stream h2;
    opf_node link; /* among those to use again */
    opf_mux *mux;
    opf_exchange *exchange;
    uint64_t deadline; /* monotonic ns; 0: none */
    size_t sent;       /* bytes of the body, or of the piece of it, that are in frames */
    size_t came;       /* bytes of the response, as of the last that put the deadline off */
} opf_mux_stream;

struct opf_mux {
    opf_conn *conn;
    opf_h2 h2;
    opf_node link;       /* in the engine's list of those that have something to send */
    opf_buf rest;        /* that the socket did not take */
    size_t rest_at;      /* bytes of it that it took since */
    uint64_t received;   /* the engine's poll in which it was looked at last */
    uint32_t vacated;    /* streams that ended in that poll, less those that have followed */
    uint64_t heard;      /* monotonic ns of when something has come last */
    uint64_t now;        /* when the frames that are pulled are to be sent */
    opf_failure failure; /* of the socket, while sending; or none */
    int err;
    const char *detail;
    bool blocked; /* the socket takes no more for now */
    bool drains;  /* takes no more streams */
};

/* Takes a connection over whose handshake is done, with the exchange for which it was made. May end
 * the connection. */
void opf_mux_begin(opf_conn *conn);

/* True when the connection takes another stream. It looks first at one that carries none, whose
 * server may have gone: that may end the connection, and then *gone is set. */
bool opf_mux_usable(opf_conn *conn, bool *gone);

/* Takes the place of a stream that has ended in this poll. Returns false if there is none. */
bool opf_mux_take_place(opf_mux *mux);

/* Sends the exchange on a stream. Returns 0, OPF_ENOMEM or OPF_EINVAL (it takes no more). */
int opf_mux_start(opf_conn *conn, opf_exchange *exchange);

/* Has the connection take no more streams: it is closed now, or when those under way have ended. */
void opf_mux_retire(opf_conn *conn);

/* What conn.c and exchange.c pass on. */
void opf_mux_ready(opf_conn *conn, uint32_t events);
void opf_mux_timer(opf_conn *conn);
void opf_mux_read_on(opf_exchange *exchange);
void opf_mux_send_on(opf_exchange *exchange);
void opf_mux_abandon(opf_exchange *exchange);

/* Ends the HTTP/2 side of a connection that is being freed; exchanges are let go of. */
void opf_mux_free(opf_mux *mux, bool polite);

/* Sends what waits on all connections. */
void opf_mux_flush(opf_engine *engine);

/* Frees the streams that wait to be used again. */
void opf_mux_free_spare(opf_engine *engine);

#endif
