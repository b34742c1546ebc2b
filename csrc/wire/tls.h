/* TLS streams on OpenSSL. */
#ifndef OPF_WIRE_TLS_H
#define OPF_WIRE_TLS_H

#include "wire/stream.h"
#include "wire/tls_context.h"

/* Sessions kept of one server. More connections than that begun at a time do full handshakes. */
#define OPF_TLS_SESSIONS 8

/* What earlier connections to a server left for later ones: a member of its owner's structure, all
 * zero at first, that outlives the streams opened with it. A TLS 1.3 session is used once (RFC
 * 8446, C.4), others as long as the server takes them. */
typedef struct opf_tls_sessions {
    SSL_SESSION *kept[OPF_TLS_SESSIONS]; /* the newest last */
    uint32_t n;
} opf_tls_sessions;

/* Forgets the sessions. */
void opf_tls_sessions_fini(opf_tls_sessions *sessions);

/* Makes a TLS stream of a connected, non-blocking descriptor, which it then owns, for the server
 * name (NUL-terminated; sent as SNI and checked against the certificate; an IP address is only
 * checked). It offers one of the sessions, and leaves its own there; NULL: neither. http2 says
 * which protocols are offered (ALPN). The stream must stay where it is. Returns 0, or OPF_ENOMEM,
 * or OPF_EINVAL with *why a constant text: then the descriptor is still the caller's. */
int opf_stream_open_tls(opf_stream *stream, int fd, opf_tls_context *context, const char *name,
                        opf_tls_sessions *sessions, opf_http2 http2, const char **why);

/* True when the stream's handshake took up an earlier session. */
bool opf_stream_resumed(const opf_stream *stream);

/* True when the server chose HTTP/2 in the stream's handshake. */
bool opf_stream_speaks_http2(const opf_stream *stream);

#endif
