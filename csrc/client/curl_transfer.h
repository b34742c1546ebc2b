/* Inside the libcurl path: what its files share. Nothing else includes this, or libcurl.
 *
 * curl.c is the way of a transfer through libcurl and the loop, curl_request.c what libcurl is told
 * of a request, curl_outcome.c what is made of its answers. One thread, as opf.h says.
 */
#ifndef OPF_CLIENT_CURL_TRANSFER_H
#define OPF_CLIENT_CURL_TRANSFER_H

#include <curl/curl.h>

#include "base/list.h"
#include "client/curl.h"
#include "http/h1.h"
#include "loop/loop.h"
#include "wire/dial.h"
#include "wire/resolve.h"

#if LIBCURL_VERSION_NUM < 0x075800
#error "libcurl 7.88 or newer is needed"
#endif

/* Sets an option of the handle easy unless one before it could not be set: bad is then why. */
#define OPF_CURL_SET(option, value) (bad = bad ? bad : curl_easy_setopt(easy, option, value))

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

#endif
