/* One request and its response.
 *
 * An exchange waits in its origin's queue, or is on a connection, or is finished. The connection
 * moves it along and finishes it; done is then called at the end of the poll, so that no callback
 * ever runs in the middle of the engine.
 */
#ifndef OPF_CLIENT_EXCHANGE_H
#define OPF_CLIENT_EXCHANGE_H

#include "base/buf.h"
#include "base/list.h"
#include "client/engine.h"
#include "http/message.h"
#include "opf.h"

typedef struct opf_conn opf_conn;
typedef struct opf_transfer opf_transfer;
typedef struct opf_mux_stream opf_mux_stream;

typedef enum opf_exchange_state {
    OPF_EXCHANGE_IDLE,     /* new, or reported */
    OPF_EXCHANGE_QUEUED,   /* in its origin's queue, by link */
    OPF_EXCHANGE_ACTIVE,   /* on conn, or with libcurl as transfer */
    OPF_EXCHANGE_FINISHED, /* in the engine's list, by link: done is due */
    OPF_EXCHANGE_SPARE     /* in the engine's list of those to use again, by link */
} opf_exchange_state;

struct opf_exchange {
    opf_engine *engine;
    opf_node link;
    opf_conn *conn;
    opf_transfer *transfer;     /* NULL: it is not libcurl's */
    opf_mux_stream *mux_stream; /* NULL: it is on no HTTP/2 connection */
    uint64_t number;            /* in the order of its origin's */
    uint64_t queued_at;         /* monotonic ns, while it is in a queue */
    opf_exchange_state state;
    bool head_request;
    bool stream;
    bool has_news;   /* done is due, though it is not finished: in the engine's list, by link */
    size_t read_at;  /* of a stream: bytes of the message's body that were taken */
    bool closes;     /* the request asks the server to close */
    bool open_body;  /* more of the body is to be given */
    bool chunked;    /* it is sent in chunks */
    bool hungry;     /* what is there of it is written: the next piece may be given */
    bool in_pieces;  /* front stands in the place of out, and body is a piece */
    bool ends_chunk; /* behind the piece comes the end of its chunk */
    opf_buf out;     /* the head, and a small body behind it */
    opf_buf front;   /* what goes before a piece: its length */
    size_t head_len;
    const uint8_t *body; /* a large body or a piece, not ours; or NULL */
    size_t body_len;     /* of the large body or the piece */
    opf_message message;
    opf_result result;
    opf_done_fn *done;
    void *arg;
};

/* Begins a request that the caller writes itself, head and body, into the buffer that is returned.
 * What the exchange brought before is dropped. timeouts: NULL for the pool's. The request is then
 * sent by opf_exchange_submit_prepared, or never. */
opf_buf *opf_exchange_prepare(opf_exchange *exchange, opf_pool *pool, const opf_timeouts *timeouts,
                              bool head_request);

/* Sends what was written, of which head_len bytes are the head, as opf_exchange_submit does it; the
 * caller vouches for its form. closes: it asks the server to close. Returns 0, OPF_ENOMEM or
 * OPF_EFORKED. */
int opf_exchange_submit_prepared(opf_exchange *exchange, opf_pool *pool, const opf_url *url,
                                 size_t head_len, bool closes, opf_done_fn *done, void *arg);

/* Makes done due for an open body whose next piece is wanted. */
void opf_exchange_ask(opf_exchange *exchange);

/* Makes done due for a stream whose headers are there, or whose body has grown. */
void opf_exchange_tell(opf_exchange *exchange);

/* Brings the result of a stream whose headers were told up to date: its memory may have moved. */
void opf_exchange_refile(opf_exchange *exchange);

/* Takes an exchange whose connection or place in the queue goes away out of everything; done is not
 * called. */
void opf_exchange_let_go(opf_exchange *exchange);

/* Bytes of a stream that nobody has taken yet. */
size_t opf_exchange_held(const opf_exchange *exchange);

/* Files what became of the exchange, which is on no connection and in no list any more, and makes
 * done due. The caller has filled in the result's times and counts. */
void opf_exchange_finish(opf_exchange *exchange, opf_failure failure, int err, const char *detail);

/* Decodes the body of a whole response by its Content-Encoding; an unknown coding leaves it as it
 * came. Returns OPF_FAIL_NONE, or the failure with *detail set to a constant text. */
opf_failure opf_exchange_decode(opf_exchange *exchange, size_t max_body, const char **detail);

/* Calls done for what is finished; returns how many. */
int opf_exchange_report(opf_engine *engine);

/* Frees the exchanges that wait to be used again. */
void opf_exchange_free_spare(opf_engine *engine);

#endif
