/* A connection: it is dialled, does the TLS handshake, and carries one exchange after the other.
 *
 * It belongs to its origin and is in one of its lists. Time-outs are one lazy timer a connection: a
 * deadline that moves back costs nothing, the timer looks when it fires. One thread.
 */
#ifndef OPF_CLIENT_CONN_H
#define OPF_CLIENT_CONN_H

#include "base/list.h"
#include "client/exchange.h"
#include "client/pool.h"
#include "http/h1.h"
#include "loop/loop.h"
#include "wire/dial.h"
#include "wire/stream.h"

typedef struct opf_mux opf_mux;

typedef enum opf_conn_state {
    OPF_CONN_DIALLING,
    OPF_CONN_HANDSHAKE,
    OPF_CONN_IDLE,
    OPF_CONN_BUSY,
    OPF_CONN_SHARED /* it speaks HTTP/2: mux.c has it */
} opf_conn_state;

struct opf_conn {
    opf_node link; /* in the origin's idle or busy list */
    opf_origin *origin;
    opf_exchange *exchange; /* NULL while idle or shared */
    opf_mux *mux;           /* of a shared one; else NULL */
    opf_watch watch;
    opf_timer timer;
    uint64_t deadline; /* of what is under way, monotonic ns; 0: none */
    opf_stream stream;
    opf_dial dial;
    opf_h1 h1;
    opf_conn_state state;
    bool paused;         /* not read: its stream holds enough that nobody has taken */
    bool half_closed;    /* the server has ended its side: nothing more can be asked of it */
    bool read_blocked;   /* the stream has to write before it can be read on (TLS) */
    bool came;           /* the look at it that is under way has brought something */
    bool unread;         /* the stream holds bytes already: the timer goes on with them */
    int send_err;        /* errno of a send that failed: maybe an answer came all the same */
    size_t sent;         /* bytes of the request that are written */
    uint64_t idle_since; /* monotonic ns */
    uint32_t carried;    /* requests before the one under way */
};

/* Makes a connection for the exchange and begins to dial. Returns 0 or OPF_ENOMEM. */
int opf_conn_dial(opf_origin *origin, opf_exchange *exchange);

/* Sends the exchange on an idle connection. */
void opf_conn_start(opf_conn *conn, opf_exchange *exchange);

/* True when an idle connection can carry another request, as far as can be known without sending
 * one. It costs a system call, and saves every request that would be sent to a server that has
 * closed: think times come close to keep-alive times, and some servers close after a response
 * without a word. */
bool opf_conn_usable(opf_conn *conn);

/* Tells that somebody has taken from what the stream holds. May finish the exchange. */
void opf_conn_read_on(opf_conn *conn);

/* Goes on sending, as there is another piece of the body. May finish the exchange. */
void opf_conn_send_on(opf_conn *conn);

/* Closes a connection under whose exchange somebody lost interest; the exchange is not finished. */
void opf_conn_abandon(opf_conn *conn);

/* For mux.c: finishes the exchange under way with a failure, and frees the connection. */
void opf_conn_fail(opf_conn *conn, opf_failure failure, int err, const char *detail);

/* Takes note that the connection carries nothing from now on. */
void opf_conn_note_idle(opf_conn *conn);

/* The same: has the timer fire no later than at, monotonic ns. It can't fail. */
void opf_conn_fire_by(opf_conn *conn, uint64_t at);

/* The same: fills in when the response's last byte came: the kernel's word for it, or else now. */
void opf_conn_note_end(opf_conn *conn, opf_exchange *exchange, bool stamped);

/* Closes and frees; polite: may tell the server. What is on it is let go of, not finished. */
void opf_conn_free(opf_conn *conn, bool polite);

#endif
