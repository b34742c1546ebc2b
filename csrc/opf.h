/* The engine's face: what a driver (the Python binding, an agent thread, a test) sees of it.
 *
 * An engine is a reactor with its connections, names and TLS contexts. It is passive: whoever
 * drives it watches opf_engine_fd and calls opf_engine_poll. Everything that hangs on one engine
 * (pools, exchanges) belongs to one thread at a time; only opf_engine_wake may be called from
 * another. No function here blocks, unless it says so.
 *
 * A pool is a user's set of connections. An exchange is one request and its response: the driver
 * submits it to a pool, and its done function is called once from opf_engine_poll, when the
 * response is whole or the request has failed. A failed request is no error of a call: it is data,
 * in the exchange's result. Functions return 0 or one of OPF_E*.
 *
 * Times are nanoseconds of CLOCK_MONOTONIC, sizes are bytes, strings are not NUL-terminated where a
 * length stands by.
 */
#ifndef OPF_H
#define OPF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    OPF_ENOMEM = -1, /* out of memory */
    OPF_ESYS = -2,   /* a system call failed: errno */
    OPF_EINVAL = -3, /* an argument that can't be used; opf_request_error says which */
    OPF_EFORKED =
        -4 /* the engine was made before a fork: its connections belong to the parent process */
};

/* What became of a request. A bounded set: one value, one text. */
typedef enum opf_failure {
    OPF_FAIL_NONE = 0,        /* a whole response came */
    OPF_FAIL_RESOLVE,         /* the name has no address; detail says why */
    OPF_FAIL_RESOLVE_TIMEOUT, /* no answer from the name servers in time */
    OPF_FAIL_REFUSED,         /* nothing listens there */
    OPF_FAIL_CONNECT,         /* any other reason not to be connected: err */
    OPF_FAIL_CONNECT_TIMEOUT, /* no connection in time */
    OPF_FAIL_TLS,             /* the handshake failed, or TLS later on; detail */
    OPF_FAIL_CERTIFICATE,     /* the server's certificate was not accepted; detail */
    OPF_FAIL_TLS_TIMEOUT,     /* the handshake took too long */
    OPF_FAIL_RESET,           /* the connection broke: err, phase */
    OPF_FAIL_CLOSED,          /* the server closed without one byte of a response */
    OPF_FAIL_CLOSED_HEADERS,  /* the server closed within the status line or the headers */
    OPF_FAIL_CLOSED_BODY,     /* the server closed within the body */
    OPF_FAIL_WRITE_TIMEOUT,   /* the server took no more of the request in time */
    OPF_FAIL_READ_TIMEOUT,    /* nothing came from the server in time; phase */
    OPF_FAIL_PROTOCOL,        /* what came is not HTTP; detail */
    OPF_FAIL_HEADERS_SIZE,    /* headers over the limit */
    OPF_FAIL_BODY_SIZE,       /* body over the limit, as sent or decoded */
    OPF_FAIL_DECODE, /* the body does not decode by its Content-Encoding; detail names the coding */
    OPF_FAIL_PROXY,  /* the proxy was not reached, or refused or failed to pass the request on:
                        detail, err, proxy_status */
    OPF_FAIL_STREAM_RESET, /* HTTP/2: the server ended the request's stream; detail: its code */
    OPF_FAIL_GOAWAY,       /* HTTP/2: the server went away without an answer; detail: its code */
    OPF_FAIL_NO_HTTP2,     /* the server doesn't speak HTTP/2, which was asked for; detail */
    OPF_FAIL_NOMEM,        /* out of memory on our side */
    OPF_FAIL_CANCELLED     /* its owner lost interest: opf_exchange_cancel */
} opf_failure;

/* How far a request had come. */
typedef enum opf_phase {
    OPF_PHASE_QUEUE = 0, /* waits for one of the pool's connections */
    OPF_PHASE_RESOLVE,
    OPF_PHASE_CONNECT,
    OPF_PHASE_TLS,
    OPF_PHASE_SEND, /* part of the request is not written yet */
    OPF_PHASE_WAIT, /* written; no byte of the response yet, or headers only in part */
    OPF_PHASE_BODY, /* headers are there, the body is not whole */
    OPF_PHASE_DONE
} opf_phase;

typedef struct opf_engine opf_engine;
typedef struct opf_pool opf_pool;
typedef struct opf_exchange opf_exchange;

/* The engine */

/* Where response bodies of known length go: lets a driver have them received into memory of its own
 * kind. */
typedef struct opf_sink {
    /* Returns an object with room for size bytes at *data, or NULL. It belongs to the exchange
     * until it is taken. */
    void *(*alloc)(size_t size, uint8_t **data);
    /* Gives an object back. */
    void (*free)(void *object);
} opf_sink;

typedef struct opf_engine_options {
    const char *nameservers; /* "ip[:port],..." to ask instead of the system's, or NULL */
    const opf_sink *sink;    /* must outlive the engine; NULL: bodies are plain memory */
    bool waits; /* opf_engine_poll is what the thread waits in: opf_engine_fd does not tell of time
                   that has passed */
} opf_engine_options;

/* Returns an engine for the calling thread, or NULL with errno set. The caller owns it. NULL
 * options: the defaults. */
opf_engine *opf_engine_new(const opf_engine_options *options);

/* Frees an engine all of whose pools are freed. NULL does nothing. */
void opf_engine_free(opf_engine *engine);

/* The descriptor to watch for reading. The engine owns it. */
int opf_engine_fd(const opf_engine *engine);

/* Between the two, requests over HTTP/2 that are submitted wait for each other, so that many of
 * them are written at a time; the second call writes them. opf_engine_poll does both by itself. */
void opf_engine_hold(opf_engine *engine);
void opf_engine_flush(opf_engine *engine);

/* Does what is ready, after waiting up to timeout_ms for something (0: not at all; -1: without
 * limit), in bounded time. Returns the number of things done, or OPF_ESYS, OPF_EFORKED. */
int opf_engine_poll(opf_engine *engine, int timeout_ms);

/* Makes opf_engine_fd readable. From any thread. */
void opf_engine_wake(opf_engine *engine);

/* To be called in a forked child: the engine refuses everything from now on but to be freed, which
 * then touches nothing that the parent process still uses. */
void opf_engine_forked(opf_engine *engine);

/* Totals since the engine was made. */
typedef struct opf_engine_totals {
    uint64_t connects;    /* connections asked for */
    uint64_t handshakes;  /* TLS handshakes finished */
    uint64_t resumed;     /* of those: with a session of an earlier connection */
    uint64_t lookups;     /* names asked of the resolver, cache hits not counted */
    uint64_t replaced;    /* kept connections found closed before a request was written on them */
    uint64_t stamped;     /* responses whose time is the kernel's */
    uint64_t unstamped;   /* responses whose time is the clock's */
    uint64_t queued;      /* times that a request waited for a connection or a stream */
    uint64_t queue_ns;    /* for how long in all */
    uint64_t connections; /* open now, idle ones included */
    uint64_t exchanges;   /* alive now */
} opf_engine_totals;

void opf_engine_get_totals(const opf_engine *engine, opf_engine_totals *totals);

/* Pools */

/* Time-outs in ns; 0: none. */
typedef struct opf_timeouts {
    uint64_t connect_ns; /* for each of: resolving, connecting, the TLS handshake */
    uint64_t network_ns; /* without progress while sending or receiving */
} opf_timeouts;

/* Versions of TLS, in their order. */
typedef enum opf_tls_version {
    OPF_TLS_ANY = 0, /* what the system's OpenSSL allows */
    OPF_TLS_1_0,
    OPF_TLS_1_1,
    OPF_TLS_1_2,
    OPF_TLS_1_3
} opf_tls_version;

/* How TLS is spoken. Pools with equal options share one context. */
typedef struct opf_tls_options {
    bool verify;           /* the server's certificate: its chain and its name */
    const char *ca_file;   /* PEM bundle to trust; NULL: none named */
    const char *ca_dir;    /* directory of hashed certificates to trust; NULL: none named. Neither:
                              the system's */
    const char *cert_file; /* client certificate, PEM with its chain; NULL: none */
    const char *key_file;  /* its private key, PEM; NULL: in cert_file */
    const char *key_password; /* of the key; NULL: it has none. In no text, ever */
    opf_tls_version min_version;
    opf_tls_version max_version;
    const char *ciphers;      /* OpenSSL's cipher list for TLS 1.2 and below; NULL: its default */
    const char *ciphersuites; /* the same for TLS 1.3 */
    /* An SSL_CTX of the driver's, of the same OpenSSL, to use as it is in the place of all of the
     * above; it is held (SSL_CTX_up_ref) and never changed. Its callbacks must do without SSL
     * objects of the driver's. NULL: none. */
    void *ssl_ctx;
    bool check_name; /* with ssl_ctx: check the server's name, if the context verifies */
} opf_tls_options;

/* A host whose addresses are given. */
typedef struct opf_resolve {
    const char *host;    /* name or address, as in the URL (IPv6 without brackets) */
    uint16_t port;       /* 0: any; one with the port goes before one without */
    const char *address; /* IPv4 or IPv6 */
} opf_resolve;

/* How connections are made. Pools with equal options take turns with the sources. */
typedef struct opf_network_options {
    const char *const *sources; /* addresses to connect from, in turn; those of the other family
                                   than the server's address are passed over */
    size_t n_sources;           /* 0: the system chooses */
    const opf_resolve *resolve; /* never looked up; several of a host are tried in their order */
    size_t n_resolve;
    const char *unix_path; /* Unix socket to connect to, whatever the host; "@name": abstract */
    uint32_t keep_alive_s; /* TCP keep-alive: probe after so many seconds of silence; 0: off */
    bool delay;            /* let the kernel hold small writes back (no TCP_NODELAY) */
} opf_network_options;

/* Whether HTTP/2 is spoken. */
typedef enum opf_http2 {
    OPF_HTTP2_OFF = 0,
    OPF_HTTP2_AUTO, /* by https, if the server chooses it (ALPN); else HTTP/1.1 */
    OPF_HTTP2_PRIOR /* by http and https, without asking: the server is known to speak it */
} opf_http2;

typedef struct opf_pool_options {
    uint32_t concurrency; /* connections to one origin at most; 0: 10 */
    opf_http2 http2;
    uint32_t http2_connections; /* to an origin, in the place of concurrency, whatever it speaks; 0:
                                   1 to one that speaks HTTP/2 (and agents have pools of their own)
                                 */
    uint32_t http2_window;      /* bytes of a stream that the server may send ahead; 0: 1 MiB */
    uint32_t http2_connection_window; /* likewise of all streams of a connection, 65,535 or more; 0:
                                         16 MiB */
    uint32_t http2_streams; /* of a connection at a time at most, if the server allows more; 0: as
                               many as that allows */
    opf_timeouts timeouts;  /* of requests that have none of their own */
    uint64_t idle_ns;   /* a connection that has carried nothing for so long is closed; 0: kept */
    size_t max_headers; /* of a response, status line and trailers included; 0: 64 KiB */
    size_t max_body;    /* of a response, as sent and decoded; 0: 1 GiB */
    opf_tls_options tls;
    const char *server_name; /* sent (SNI) and checked in the place of the URL's host; NULL: that */
    bool tls_resume;         /* keep TLS sessions, each origin's for its next connections */
    opf_network_options network;
} opf_pool_options;

/* Returns a pool, or NULL with *error set to OPF_ENOMEM, or to OPF_EINVAL with a text of at most
 * error_size bytes in error_text (a file that can't be read, a key that doesn't fit its
 * certificate, an address that is none ...). All that the options point to is copied. The caller
 * owns it; it must be freed before its engine. */
opf_pool *opf_pool_new(opf_engine *engine, const opf_pool_options *options, int *error,
                       char *error_text, size_t error_size);

/* The options in force: defaults stand where 0 was given. They belong to the pool. */
const opf_pool_options *opf_pool_get_options(const opf_pool *pool);

/* Closes the idle connections; those in use are closed when their exchange ends. The pool goes on.
 */
void opf_pool_close_idle(opf_pool *pool);

/* Closes every connection and frees the pool. Exchanges under way are cancelled: done is not
 * called; they stay their owner's. NULL does nothing. */
void opf_pool_free(opf_pool *pool);

/* Requests */

/* A parsed http or https URL; pointers into the parsed string. */
typedef struct opf_url {
    bool tls;
    bool ip6; /* the host is an IPv6 address, given here without its brackets */
    uint16_t port;
    bool port_given;    /* the URL names a port other than the scheme's own */
    const char *user;   /* userinfo before '@', NULL: none */
    const char *host;   /* never empty */
    const char *target; /* path and query without the fragment; may be empty or begin with '?' */
    uint32_t user_len;
    uint32_t host_len;
    uint32_t target_len;
} opf_url;

/* Splits a URL (RFC 3986). Returns 0, or OPF_EINVAL with *why set to a constant text. */
int opf_url_parse(const char *url, size_t len, opf_url *parsed, const char **why);

/* A header to send. Name: a token; value: no control characters but tab (RFC 9110, 5.5). */
typedef struct opf_header {
    const char *name;
    const char *value;
    uint32_t name_len;
    uint32_t value_len;
} opf_header;

/* How somebody says who they are. */
typedef enum opf_auth {
    OPF_AUTH_NONE = 0,
    OPF_AUTH_BASIC,
    OPF_AUTH_DIGEST,
    OPF_AUTH_NTLM,
    OPF_AUTH_NEGOTIATE /* Kerberos: getting a ticket may block */
} opf_auth;

/* What libcurl does for a request, which then goes by it and not by the fast path. All zero: it is
 * sent as it is. Strings end with NUL. What is given here reaches no text. */
typedef struct opf_curl_options {
    const char *proxy; /* URL of the scheme http, https, socks4, socks4a, socks5 or socks5h; user
                          and password may stand in it, percent-encoded; NULL: none */
    const char *proxy_user; /* goes before the URL's; NULL: that */
    const char *proxy_password;
    opf_auth proxy_auth;
    opf_auth auth; /* to the server; NONE: what the headers say */
    const char *user;
    const char *password;
} opf_curl_options;

typedef struct opf_request {
    const opf_url *url;
    const char *method; /* a token */
    size_t method_len;
    /* In their order. Host and Content-Length are added unless they are among them;
     * Transfer-Encoding is refused. */
    const opf_header *headers;
    size_t n_headers;
    /* The body. Up to a few KiB are copied; of a longer one the bytes must stay until the exchange
     * ends or is freed. */
    const void *body;
    size_t body_len;
    /* The body is not there yet: it is given piece by piece by opf_exchange_write, and sent in
     * chunks (RFC 9112, 7.1) unless a Content-Length is among the headers. body must be empty. */
    bool open_body;
    const opf_timeouts *timeouts; /* NULL: the pool's */
    const opf_curl_options *curl; /* NULL: the fast path */
    /* The response's body is not waited for: done is called when the headers are there, and again
     * whenever there is something to opf_exchange_read. It is not decoded, and max_body is no limit
     * on it. */
    bool stream;
} opf_request;

/* Why a request was refused with OPF_EINVAL. */
typedef struct opf_request_error {
    const char *why; /* a constant text */
    size_t header;   /* index of the header it is about, or SIZE_MAX */
} opf_request_error;

typedef void opf_done_fn(opf_exchange *exchange, void *arg);

/* Returns a new exchange, or NULL without memory. The caller owns it until opf_exchange_free. */
opf_exchange *opf_exchange_new(opf_engine *engine);

/* Frees an exchange; one under way is cancelled first. Must come before opf_engine_free. NULL does
 * nothing. */
void opf_exchange_free(opf_exchange *exchange);

/* Sends a request by one of the pool's connections, now or when one is free. The strings of the
 * request are used only during the call (but see its body). done(exchange, arg) is called once from
 * opf_engine_poll, never from here. A second call on the same exchange is allowed after it is done,
 * and drops what the first brought. Returns 0, OPF_ENOMEM, OPF_EFORKED, or OPF_EINVAL with *error
 * filled in and nothing sent. */
int opf_exchange_submit(opf_exchange *exchange, opf_pool *pool, const opf_request *request,
                        opf_done_fn *done, void *arg, opf_request_error *error);

/* True when an open body's pieces so far are written and the next may be given. done is called when
 * this becomes true. */
bool opf_exchange_wants_body(const opf_exchange *exchange);

/* Gives the next piece of an open body; an empty one ends it. The bytes must stay until done is
 * called again or the exchange ends. Does nothing while no piece is wanted. Returns 0, or
 * OPF_ENOMEM with nothing done. */
int opf_exchange_write(opf_exchange *exchange, const void *data, size_t len);

/* Ends an exchange that is under way without calling done: its connection is closed. Otherwise does
 * nothing. */
void opf_exchange_cancel(opf_exchange *exchange);

/* Results */

/* A response header: places in opf_result.head. */
typedef struct opf_field {
    uint32_t name_at;
    uint32_t name_len;
    uint32_t value_at;
    uint32_t value_len;
} opf_field;

/* What an exchange brought; valid from done until the exchange is submitted again or freed. */
typedef struct opf_result {
    opf_timeouts timeouts; /* that were in force */
    opf_failure failure;
    opf_phase phase;     /* OPF_PHASE_DONE, or where it failed */
    int err;             /* errno of the failure, or 0 */
    const char *detail;  /* constant text; NULL: none */
    int status;          /* 0: no status line came */
    int http_minor;      /* of the response: HTTP/1.x */
    bool http2;          /* it was HTTP/2 */
    const char *head;    /* the reason phrase, names and values of the fields */
    uint32_t reason_len; /* of the reason phrase, which stands first */
    const opf_field *fields;
    uint32_t n_fields;
    uint32_t n_trailers; /* stand behind the n_fields */
    const uint8_t *body; /* decoded */
    size_t body_len;
    size_t bytes_received; /* of the response, as sent */
    uint64_t
        start_ns;     /* when connecting began, or on a kept connection just before the send call */
    uint64_t sent_ns; /* just before the first send call; 0: nothing was sent */
    uint64_t end_ns;  /* when the last byte reached the kernel, or the failure happened */
    uint64_t head_ns; /* of a stream: when its headers had reached the kernel; 0: not yet */
    uint64_t seen_ns; /* when the engine saw it: seen_ns - end_ns is the client's own lag */
    uint64_t idle_ns; /* how long the connection had been idle before; 0 on a new one */
    uint64_t queue_ns; /* how long it waited for a connection or a stream, which is no part of the
                          above; 0: not at all */
    uint32_t carried;  /* requests that the connection had carried before */
    uint32_t resent; /* times that it was sent again, as the server had not looked at it (HTTP/2) */
    bool has_set_cookie; /* a Set-Cookie header is among the fields */
    bool kernel_time;    /* end_ns is the kernel's stamp */
    bool via_curl;       /* libcurl did it; times are the clock's, and bytes_received has no framing
                            of a body */
    int proxy_status;    /* of the proxy's answer to CONNECT; 0: none */
} opf_result;

/* The result of an exchange that is done. It belongs to the exchange. */
const opf_result *opf_exchange_result(const opf_exchange *exchange);

/* What was spoken with the server: "HTTP/2", "HTTP/1.1" or "HTTP/1.0", a constant text. NULL:
 * nothing, since there was no connection, or one to a server that doesn't speak what was asked for.
 */
const char *opf_result_protocol(const opf_result *result);

/* Takes up to size bytes of a streamed body, as they were sent. Returns their number; 0: none are
 * there now, and the result tells whether more is to come (its phase is OPF_PHASE_BODY and there is
 * no failure: done will be called) or that was all. What nobody takes stays with the server: some
 * hundred KiB are held, then the connection is not read any more. */
size_t opf_exchange_read(opf_exchange *exchange, void *data, size_t size);

/* The sink's object that holds exactly the body, which the caller then owns (body stays valid while
 * it lives); NULL when the body is not in one. */
void *opf_exchange_take_body(opf_exchange *exchange);

/* The request as it was sent: the head's bytes, and the body's. They belong to the exchange (a long
 * body to whoever submitted it). */
const char *opf_exchange_request_head(const opf_exchange *exchange, size_t *len);
const char *opf_exchange_request_body(const opf_exchange *exchange, size_t *len);

/* Statistics */

/* Pairs of bucket and count that a cell holds before it takes memory for all buckets. */
#define OPF_CELL_FEW 8

/* The response times of one request name since the cell was last emptied, in the form in which
 * Locust's StatsEntry keeps them (locust.stats.StatsEntry.log). Storage of the caller, all zero
 * before its first use. One thread. */
typedef struct opf_cell {
    uint64_t requests;
    uint64_t total_ns;
    uint64_t min_ns; /* of requests > 0 */
    uint64_t max_ns;
    uint64_t bytes; /* response lengths */
    uint16_t few_buckets[OPF_CELL_FEW];
    uint32_t few_counts[OPF_CELL_FEW];
    uint32_t n_few;
    uint32_t *counts; /* by bucket, once there are more than a few; or NULL */
} opf_cell;

/* Counts a request that took ns and whose response had so many bytes. Returns 0, or OPF_EINVAL for
 * a time beyond the last bucket (over nine minutes) or OPF_ENOMEM: then nothing is counted. */
int opf_cell_add(opf_cell *cell, uint64_t ns, uint64_t bytes);

/* Goes through the cell's buckets: *at is 0 at first. Returns false when there are no more, else
 * true with the bucket's response time in ms, as Locust's bucket_response_time gives it, and its
 * count. */
bool opf_cell_next(const opf_cell *cell, uint32_t *at, uint32_t *ms, uint32_t *count);

/* Empties the cell and keeps its memory. */
void opf_cell_reset(opf_cell *cell);

/* Gives the cell's memory back. */
void opf_cell_fini(opf_cell *cell);

/* Memory that came from here. NULL does nothing. */
void opf_free(void *p);

/* Returns the URL with what no URL may have percent-encoded, as requests.utils.requote_uri does it,
 * and its length; the caller gives it back with opf_free. NULL without memory. */
char *opf_url_requote(const char *url, size_t len, size_t *quoted_len);

/* True when opf_url_requote would change nothing. */
bool opf_url_is_quoted(const char *url, size_t len);

#endif
