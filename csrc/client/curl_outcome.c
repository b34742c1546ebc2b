#include <errno.h>
#include <stdlib.h>

#include "client/curl_transfer.h"
#include "wire/tls_lend.h"

#define UNSPECIFIED 1 /* X509_V_ERR_UNSPECIFIED, when OpenSSL was not asked */
#define TOO_LARGE 100 /* CURLE_TOO_LARGE, of newer versions */

/* OpenSSL's error code in libcurl's text, or 0. */
static unsigned long tls_error(const opf_transfer *t)
{
    const char *at = strstr(t->error, "error:");
    return at ? strtoul(at + 6, NULL, 16) : 0;
}

/* The connection has ended: what that means is for the parser to say. */
static void judge_end(opf_transfer *t)
{
    if (opf_h1_eof(&t->h1) == OPF_H1_DONE)
        return;
    opf_failure failure = t->h1.failure;
    if (failure == OPF_FAIL_CLOSED && t->began && !t->is_tls)
        failure = OPF_FAIL_CLOSED_HEADERS; /* part of a status line */
    opf_curl_note(t, failure, 0, t->h1.detail);
}

static void judge_broken(opf_transfer *t, int err)
{
    unsigned long code = tls_error(t);
    if (opf_tls_error_is_eof(code) || (!code && !err && !t->sends))
        judge_end(t);
    else if (code)
        opf_curl_note(t, OPF_FAIL_TLS, 0, opf_tls_error_text(code));
    else if (!err && t->h1.headers_done)
        opf_curl_note(t, OPF_FAIL_PROTOCOL, 0, "its chunks are malformed");
    else
        opf_curl_note(t, OPF_FAIL_RESET, err ? err : ECONNRESET, NULL);
}

static void judge_certificate(opf_transfer *t, bool proxy)
{
    long verdict = 0;
    curl_easy_getinfo(t->easy, proxy ? CURLINFO_PROXY_SSL_VERIFYRESULT : CURLINFO_SSL_VERIFYRESULT,
                      &verdict);
    bool is_address = proxy ? t->peer.is_address : t->is_address;
    const char *text = is_address ? "IP address mismatch" : "hostname mismatch";
    if (verdict > UNSPECIFIED) /* else libcurl has compared the names itself */
        text = opf_tls_verdict_text(verdict);
    opf_curl_note(t, OPF_FAIL_CERTIFICATE, 0, text);
}

static void judge_handshake(opf_transfer *t, int err)
{
    unsigned long code = tls_error(t);
    if (code && !opf_tls_error_is_eof(code))
        opf_curl_note(t, OPF_FAIL_TLS, 0, opf_tls_error_text(code));
    else if (err && err != EAGAIN && err != EINPROGRESS)
        opf_curl_note(t, OPF_FAIL_RESET, err, NULL);
    else
        opf_curl_note(t, OPF_FAIL_TLS, 0, "the server closed the connection during the handshake");
}

/* What SOCKS says, and what may go wrong in saying it. */
static const char *socks_text(CURLproxycode code)
{
    switch (code) {
    case CURLPX_BAD_VERSION:
    case CURLPX_UNKNOWN_MODE:
    case CURLPX_UNKNOWN_FAIL:
    case CURLPX_BAD_ADDRESS_TYPE:
        return "its answer is not SOCKS of the version asked for";
    case CURLPX_CLOSED:
    case CURLPX_RECV_CONNECT:
    case CURLPX_RECV_AUTH:
    case CURLPX_RECV_ADDRESS:
    case CURLPX_RECV_REQACK:
        return "it closed the connection";
    case CURLPX_NO_AUTH:
        return "it accepts none of the ways to authenticate";
    case CURLPX_USER_REJECTED:
    case CURLPX_REQUEST_FAILED:
        return "it did not accept user and password";
    case CURLPX_REPLY_CONNECTION_REFUSED:
        return "the connection was refused to it";
    case CURLPX_REPLY_HOST_UNREACHABLE:
    case CURLPX_REPLY_NETWORK_UNREACHABLE:
        return "it can't reach the server";
    case CURLPX_REPLY_NOT_ALLOWED:
        return "its rules don't allow the connection";
    case CURLPX_REPLY_TTL_EXPIRED:
        return "it could not reach the server in time";
    case CURLPX_REPLY_GENERAL_SERVER_FAILURE:
    case CURLPX_REPLY_UNASSIGNED:
        return "it failed";
    case CURLPX_RESOLVE_HOST:
        return "the server's name can't be resolved";
    default:
        return "it did not make the connection";
    }
}

static const char *connect_text(long status)
{
    if (status == 407)
        return "it asks for authentication";
    return "it refused the tunnel";
}

/* Whether what failed was between us and the proxy. */
static bool is_at_proxy(const opf_transfer *t, long connect_status)
{
    if (!t->has_proxy || t->sends)
        return false;
    bool tunnelled = connect_status / 100 == 2;
    return !tunnelled && t->tls_handshakes <= (t->proxy_is_tls ? 1 : 0);
}

static void judge_code(opf_transfer *t, CURLcode code, int err)
{
    switch (code) {
    case CURLE_OK:
        if (!t->h1.headers_done)
            judge_end(t);
        else if (t->h1.part == OPF_H1_TRAILERS) /* the empty line behind them is libcurl's */
            opf_h1_trailer(&t->h1, "\r\n", 2);
        break;
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
        judge_end(t);
        break;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
        opf_curl_note(t, OPF_FAIL_RESOLVE, 0, "not a valid host name");
        break;
    case CURLE_COULDNT_CONNECT:
        opf_curl_note(t, err == ECONNREFUSED ? OPF_FAIL_REFUSED : OPF_FAIL_CONNECT,
                      err ? err : ECONNRESET, NULL);
        break;
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
        judge_broken(t, err);
        break;
    case CURLE_SSL_CONNECT_ERROR:
        judge_handshake(t, err);
        break;
    case CURLE_PEER_FAILED_VERIFICATION:
        judge_certificate(t, t->proxy_is_tls && t->tls_handshakes < 2);
        break;
    case CURLE_OUT_OF_MEMORY: /* also of a line of 100 KiB */
        opf_curl_note(t, t->began ? OPF_FAIL_HEADERS_SIZE : OPF_FAIL_NOMEM, 0, NULL);
        break;
    case TOO_LARGE:
        opf_curl_note(t, OPF_FAIL_HEADERS_SIZE, 0, NULL);
        break;
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_WEIRD_SERVER_REPLY:
        opf_curl_note(t, OPF_FAIL_PROTOCOL, 0, "its head is not that of an HTTP response");
        break;
    default: /* texts of libcurl's are constant */
        opf_curl_note(t, t->sends ? OPF_FAIL_PROTOCOL : OPF_FAIL_CONNECT, err,
                      curl_easy_strerror(code));
        break;
    }
}

void opf_curl_judge(opf_transfer *t, CURLcode code)
{
    long err = 0, connect_status = 0, proxy_code = CURLPX_OK;
    if (t->whole)
        return;
    curl_easy_getinfo(t->easy, CURLINFO_OS_ERRNO, &err);
    curl_easy_getinfo(t->easy, CURLINFO_HTTP_CONNECTCODE, &connect_status);
    curl_easy_getinfo(t->easy, CURLINFO_PROXY_ERROR, &proxy_code);
    bool at_proxy = code != CURLE_OK && is_at_proxy(t, connect_status);
    if (code == CURLE_PROXY)
        opf_curl_note(t, OPF_FAIL_PROXY, 0, socks_text((CURLproxycode)proxy_code));
    if (at_proxy && connect_status) {
        t->exchange->result.proxy_status = (int)connect_status;
        opf_curl_note(t, OPF_FAIL_PROXY, 0, connect_text(connect_status));
    }
    judge_code(t, code, (int)err);
    if (at_proxy && t->failure != OPF_FAIL_NOMEM && t->failure != OPF_FAIL_PROXY) {
        if (t->failure == OPF_FAIL_CLOSED || t->failure == OPF_FAIL_CLOSED_HEADERS)
            t->detail = "it closed the connection";
        t->failure = OPF_FAIL_PROXY;
    }
}

opf_failure opf_curl_timeout(const opf_transfer *t)
{
    opf_result *result = &t->exchange->result;
    long connect_status = 0;
    if (t->dialling)
        result->phase = t->dial.phase;
    curl_easy_getinfo(t->easy, CURLINFO_HTTP_CONNECTCODE, &connect_status);
    if ((t->dialling && t->has_proxy) || (t->in_multi && is_at_proxy(t, connect_status)))
        return OPF_FAIL_PROXY;
    switch (result->phase) {
    case OPF_PHASE_RESOLVE:
        return OPF_FAIL_RESOLVE_TIMEOUT;
    case OPF_PHASE_CONNECT:
        return OPF_FAIL_CONNECT_TIMEOUT;
    case OPF_PHASE_TLS:
        return OPF_FAIL_TLS_TIMEOUT;
    case OPF_PHASE_SEND:
        return OPF_FAIL_WRITE_TIMEOUT;
    default:
        return OPF_FAIL_READ_TIMEOUT;
    }
}
