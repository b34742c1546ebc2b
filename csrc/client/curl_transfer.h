/* Inside the libcurl path: what its files share. Nothing else includes this, or libcurl.
 *
 * curl.c is the way of a transfer through libcurl and the loop, curl_request.c what libcurl is told
 * of a request, curl_socket.c its sockets, curl_calls.c what it calls on the way of a request,
 * curl_outcome.c what is made of its answers. One thread, as opf.h says.
 */
#ifndef OPF_CLIENT_CURL_TRANSFER_H
#define OPF_CLIENT_CURL_TRANSFER_H

#include <curl/curl.h>

#include "base/list.h"
#include "client/curl.h"
#include "client/engine.h"
#include "http/h1.h"
#include "loop/loop.h"
#include "wire/dial.h"
#include "wire/resolve.h"

#if LIBCURL_VERSION_NUM < 0x075800
#error "libcurl 7.88 or newer is needed"
#endif

/* Sets an option of the handle easy unless one before it could not be set: bad is then why. */
#define OPF_CURL_SET(option, value) (bad = bad ? bad : curl_easy_setopt(easy, option, value))

/* As on the fast path: how much of a stream is held that nobody has taken. */
#define OPF_CURL_HELD_MAX (256U << 10)

/* A socket of libcurl's. */
typedef struct opf_curl_sock {
    opf_node link;
    opf_watch watch;
    struct opf_curl_multi *multi;
    opf_transfer *user; /* NULL while nothing is under way on it */
    int fd;
    int own_port; /* 0: it has none */
    int peer_port;
    bool is_tls;         /* it carries no plain HTTP */
    bool given_up;       /* closed in a forked child: its number is somebody else's */
    uint32_t carried;    /* requests before the one under way */
    opf_timer timer;     /* ends it when it has been idle for too long */
    uint64_t idle_since; /* monotonic ns */
} opf_curl_sock;

/* A CURLM and what hangs on it. */
typedef struct opf_curl_multi {
    opf_node link; /* in the pool's list, the current one first */
    opf_pool *pool;
    CURLM *curlm;
    opf_list running;
    opf_list waiting; /* for the pool's concurrency */
    opf_list spare;
    opf_list sockets;
    opf_timer timer;
    uint32_t n_spare;
    bool retired;  /* goes with its last transfer */
    bool detached; /* the sockets were closed after a fork */
} opf_curl_multi;

/* A host that libcurl will want an address of. */
typedef struct opf_curl_host {
    char *name; /* NULL: there is none */
    uint16_t port;
    bool is_address;
} opf_curl_host;

struct opf_transfer {
    opf_node link; /* in one of the multi's lists */
    opf_curl_multi *multi;
    opf_exchange *exchange;
    CURL *easy;
    char *key; /* all that authentication may hang on, the origin first */
    size_t origin_len;
    opf_curl_host peer;  /* whom to connect to: the proxy, or the server */
    opf_curl_host named; /* the server, if the proxy wants its address */
    opf_dial dial;
    opf_lookup lookup;
    int fd; /* a connection that libcurl has not taken yet, or -1 */
    struct curl_slist *headers, *resolve, *connect_to;
    opf_h1 h1;
    opf_timer timer;
    uint64_t deadline;     /* of what is under way, monotonic ns; 0: none */
    opf_curl_sock *socket; /* the one that is used, or was last */
    /* what callbacks found */
    opf_failure failure;
    const char *detail;
    int err;
    uint64_t last_ns;        /* when something of the response came */
    uint64_t received;       /* on its connection, before the request was sent */
    size_t piece_at;         /* bytes that libcurl has taken of a piece of an open body */
    uint32_t sends;          /* how often the request was sent: authentication takes its turns */
    uint32_t tls_handshakes; /* on the connection */
    bool opened;             /* a connection was made for it */
    bool wants_dial;         /* libcurl was stopped, for want of a connection */
    bool dialling;
    bool connects; /* libcurl does so itself, to a Unix socket */
    bool is_stale; /* libcurl was stopped, as the connection that it had kept was of no use */
    bool is_tls, is_address; /* the server */
    bool has_proxy, proxy_is_tls, has_auth;
    bool posts;     /* libcurl takes it for a POST, whatever its method is called */
    bool began;     /* bytes came after the request was sent */
    bool answered;  /* by headers, since it was sent last */
    bool paused;    /* nothing is received, as nobody takes it */
    bool starved;   /* nothing is sent, as the next piece of the body is not there */
    bool whole;     /* ended by us: libcurl would wait for a body that doesn't come */
    bool in_coding; /* the last line of the head was a Transfer-Encoding */
    bool in_multi;
    char error[CURL_ERROR_SIZE]; /* may have secrets in it: only an error code is read from it */
};

/* Notes why the transfer fails; the first to say so is believed. */
static inline void opf_curl_note(opf_transfer *t, opf_failure failure, int err, const char *detail)
{
    if (t->failure != OPF_FAIL_NONE)
        return;
    t->failure = failure;
    t->err = err;
    t->detail = detail;
}

/* A text for the request, of which two may share an easy handle and what it knows of
 * authentication if theirs are the same; its first *origin_len bytes are the origin. The caller
 * owns it. NULL without memory. */
char *opf_curl_key(const opf_request *request, size_t *origin_len);

/* Tells libcurl all of the request of the transfer's exchange. Returns 0, OPF_ENOMEM, or OPF_EINVAL
 * with *error filled in. */
int opf_curl_set_request(opf_transfer *t, const opf_request *request, opf_request_error *error);

/* Tells libcurl the address of a host. Returns 0 or OPF_ENOMEM. */
int opf_curl_give_address(opf_transfer *t, const opf_curl_host *host, const char *address);

/* Notes what has become of a transfer that libcurl ended with the code. */
void opf_curl_judge(opf_transfer *t, CURLcode code);

/* What a transfer that is over its time failed with; brings the result's phase up to date. */
opf_failure opf_curl_timeout(const opf_transfer *t);

/* curl.c */

static inline opf_engine *opf_curl_engine(const opf_curl_multi *m)
{
    return m->pool->engine;
}

static inline const opf_timeouts *opf_curl_timeouts(const opf_transfer *t)
{
    return &t->exchange->result.timeouts;
}

/* What is under way may take so many ns; 0: for ever. */
void opf_curl_set_deadline(opf_transfer *t, uint64_t timeout);

/* Has the transfer finished with this in its turn: not from within the call that found it. */
void opf_curl_fail_later(opf_transfer *t, opf_failure failure, int err, const char *detail);

/* Has libcurl do its part; what it is done with is finished. It has no memory when it can't, and
 * does not tell for which transfer. */
void opf_curl_act(opf_curl_multi *m, curl_socket_t fd, int what);

/* The transfer of an easy handle; NULL: it has none. */
opf_transfer *opf_curl_transfer_of(CURL *easy);

/* curl_request.c */

/* Tells libcurl what is the same for all requests. False without memory. */
bool opf_curl_set_constants(opf_transfer *t);

/* Trust and certificates come from the pool's context, which libcurl's own are made to share. False
 * if this libcurl has another TLS library. */
bool opf_curl_set_tls(opf_transfer *t);

/* curl_socket.c */

/* Tells libcurl how to open and close sockets. False without memory. */
bool opf_curl_set_socket_calls(opf_transfer *t);

/* Called by libcurl when it waits for something else. */
int opf_curl_watch_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *unused);

/* The socket on which the transfer's request goes out, from this port of ours; NULL: nobody knows.
 * libcurl tells of a connection no more than its ports before it sends. Connections to several
 * addresses, or from several, may have the same: one that another transfer uses is not it, unless
 * that is through with it and only we don't know yet. */
opf_curl_sock *opf_curl_sock_by_port(const opf_transfer *t, int own_port);

/* Notes on which socket the request goes out, and what that has carried before. */
void opf_curl_use_socket(opf_transfer *t, opf_curl_sock *s);

/* Whether a request was lost on a kept connection, which libcurl would send again: whether to is
 * the driver's choice. Notes the failure then. */
bool opf_curl_is_lost(opf_transfer *t);

/* Whether a kept connection, on which nothing is expected, has ended or brought something: libcurl
 * notices only the former. One under TLS may bring tickets. Then it is ended for libcurl too. */
bool opf_curl_is_spoilt(const opf_curl_sock *s, const opf_transfer *t);

/* Whether the response leaves its connection, which must be there, of no use. */
bool opf_curl_ends_socket(const opf_transfer *t);

/* The socket is idle from now on. Without memory for the timer it idles on. */
void opf_curl_note_idle(opf_curl_sock *s, uint64_t now);

/* Forgets the socket, which is libcurl's to close. */
void opf_curl_sock_free(opf_curl_sock *s);

/* In a forked child: closes the child's copies, so that nothing more is said on them. */
void opf_curl_detach(opf_curl_multi *m);

/* curl_calls.c */

/* Tells libcurl what to call on the way of the transfer's request. False without memory. */
bool opf_curl_set_calls(opf_transfer *t);

/* Called by libcurl with each SSL_CTX of its own. */
CURLcode opf_curl_begin_tls(CURL *easy, void *ssl_ctx, void *arg);

/* A response is to come, the first or after one that asked for authentication. */
void opf_curl_begin_response(opf_transfer *t);

/* A request is written when libcurl has sent all of its body, or waits only for the answer. */
void opf_curl_note_phase(opf_transfer *t);

#endif
