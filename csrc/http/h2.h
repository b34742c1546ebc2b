/* HTTP/2 (RFC 9113): a client's side of one connection. nghttp2 keeps the session, and only h2*.c
 * know it.
 *
 * A session turns bytes that were received into messages, one for each stream, and requests into
 * bytes to be sent. It never touches a socket. Storage of the caller; what happens to streams is
 * told by a table of calls, from within opf_h2_feed and opf_h2_pull and from nowhere else. They may
 * begin, cancel and take from streams, but must not feed, pull or end the session. One thread.
 */
#ifndef OPF_HTTP_H2_H
#define OPF_HTTP_H2_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/blocks.h"
#include "base/buf.h"
#include "base/list.h"
#include "http/h2_head.h"
#include "http/h2_patience.h"
#include "http/message.h"
#include "opf.h"

/* One request and its response: a member of its owner's structure. */
typedef struct opf_h2_stream {
    opf_node link; /* in the session's list */
    int32_t id;    /* 0: it is on no session */
    opf_message *message;
    opf_h2_text *text; /* held until the request's head is written; or NULL */
    size_t head_bytes; /* names and values of the response, interim ones and trailers included */
    size_t body_bytes; /* of the body, as sent */
    uint64_t length;   /* the Content-Length, if there is one */
    size_t untaken;    /* bytes of a streamed body that nobody has taken yet */
    opf_failure failure;
    const char *detail; /* constant text */
    bool has_length;
    bool head_request;
    bool headers_done; /* those of the final response */
    bool whole;        /* the response has come to its end */
    bool refused;      /* the server vouches for not having looked at it: it may be sent again */
} opf_h2_stream;

/* Returned instead of a number of bytes: more of the body is to come, but not yet. */
#define OPF_H2_LATER (-1)

typedef struct opf_h2_events {
    /* The request is about to be sent. */
    void (*sending)(opf_h2_stream *stream);
    /* Writes up to size bytes of the request's body to data; *end is set with the last ones.
     * Returns their number or OPF_H2_LATER. */
    ssize_t (*body)(opf_h2_stream *stream, uint8_t *data, size_t size, bool *end);
    /* Something of the response has come, and it is not over. */
    void (*came)(opf_h2_stream *stream);
    /* A trailer has come, maybe not the last: the message's memory may have moved. NULL: nobody
     * looks at it before the end. */
    void (*moved)(opf_h2_stream *stream);
    /* The stream is over and on no session any more: its failure tells how it went. */
    void (*ended)(opf_h2_stream *stream);
} opf_h2_events;

typedef struct opf_h2_options {
    size_t max_headers;         /* of a response, its trailers included */
    size_t max_body;            /* of a response that is not streamed */
    uint32_t window;            /* bytes of a stream that may come before somebody takes them */
    uint32_t connection_window; /* bytes that may be on their way over all streams */
    uint32_t max_streams;       /* at a time, however many the server takes; 0: as many as those */
    opf_blocks *memory;         /* what nghttp2 allocates comes from there */
} opf_h2_options;

typedef struct opf_h2 {
    struct nghttp2_session *session;
    const opf_h2_events *events;
    opf_h2_options options;
    opf_list streams;
    uint32_t n_streams;
    opf_h2_stream *last;  /* that a frame was about: the next call is likely to be about it too */
    opf_h2_head head;     /* of the last request */
    const uint8_t *frame; /* that was not wholly pulled yet; or NULL */
    size_t frame_len;
    opf_h2_patience patience;
    bool progress;       /* what is being taken in has brought something of a response */
    opf_failure failure; /* of the session as a whole */
    const char *detail;  /* constant text */
    bool starved;        /* an allocation has failed: whatever fails then does so for this */
    bool answered;       /* a frame of the server has come */
    bool going_away;     /* the server takes no more streams, or there are no more numbers */
    uint32_t away_code;  /* error code of its GOAWAY */
    int32_t away_last;   /* the last stream that it may have looked at */
} opf_h2;

/* Sets up a session and has its preface and settings wait to be pulled. Returns 0 or OPF_ENOMEM. */
int opf_h2_init(opf_h2 *h2, const opf_h2_options *options, const opf_h2_events *events);

/* Ends the session; its streams are let go of without a word. */
void opf_h2_fini(opf_h2 *h2);

/* Begins a stream and has its request wait to be pulled; the head's bytes are used only during the
 * call. The message must be empty. What HTTP/2 forbids (RFC 9113, 8.2.2) is left out. Returns 0, or
 * OPF_ENOMEM, or OPF_EINVAL when the session takes no more streams, with the stream untouched. */
int opf_h2_begin(opf_h2 *h2, opf_h2_stream *stream, opf_message *message,
                 const opf_h2_request *request);

/* Ends a stream on our side, without calling ended; the server is told. */
void opf_h2_cancel(opf_h2 *h2, opf_h2_stream *stream);

/* Tells that there is more of a request's body. */
void opf_h2_resume(opf_h2 *h2, opf_h2_stream *stream);

/* Tells that so many bytes of a streamed body were taken. */
void opf_h2_took(opf_h2 *h2, opf_h2_stream *stream, size_t len);

/* Takes in what was received; now is monotonic ns. Returns 0, or -1 when the session has failed;
 * what it says to that may be pulled yet. */
int opf_h2_feed(opf_h2 *h2, const uint8_t *data, size_t len, uint64_t now);

/* Writes up to size bytes of what is to be sent. Returns their number. */
size_t opf_h2_pull(opf_h2 *h2, uint8_t *data, size_t size);

/* True when opf_h2_pull would bring something. */
bool opf_h2_wants_write(const opf_h2 *h2);

/* True when the session is at its end: nothing more will come of it. */
bool opf_h2_is_over(const opf_h2 *h2);

/* How many more streams may be begun now. */
uint32_t opf_h2_room(const opf_h2 *h2);

/* True when the server, or the session, has said why the connection ends: the end itself is then no
 * news. */
bool opf_h2_has_reason(const opf_h2 *h2);

/* What the end of the connection means for a stream: its failure and detail are filled in. */
void opf_h2_note_eof(const opf_h2 *h2, opf_h2_stream *stream);

/* Has a farewell wait to be pulled. */
void opf_h2_say_goodbye(opf_h2 *h2);

#endif
