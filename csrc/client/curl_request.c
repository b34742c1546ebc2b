#include <arpa/inet.h>
#include <limits.h>
#include <stdlib.h>
#include <strings.h>

#include "base/mem.h"
#include "client/curl_transfer.h"
#include "wire/tls_lend.h"

#define NOWHERE "127.0.0.1" /* the address of what is connected already */
#define FOREVER_MS INT_MAX  /* libcurl's own time-outs: ours strike before */
#define DNS_KEEP_S 3600     /* libcurl forgets the addresses that it was given */
#define IDLE_MAX_S 31536000 /* as on the fast path, a connection idles for as long as it stands */

static bool has_feature(int bit)
{
    return (curl_version_info(CURLVERSION_NOW)->features & bit) != 0;
}

/* Why this libcurl can't do what is asked; NULL: it can. */
static const char *missing_feature(const opf_curl_options *options)
{
    opf_auth both[] = {options->auth, options->proxy_auth};
    for (size_t i = 0; i < 2; i++) {
        if (both[i] == OPF_AUTH_NTLM && !has_feature(CURL_VERSION_NTLM))
            return "the system's libcurl is built without NTLM";
        if (both[i] == OPF_AUTH_NEGOTIATE && !has_feature(CURL_VERSION_SPNEGO))
            return "the system's libcurl is built without Negotiate (SPNEGO)";
    }
    return NULL;
}

static bool add_header(opf_transfer *t, const char *text)
{
    struct curl_slist *list = curl_slist_append(t->headers, text);
    if (list)
        t->headers = list;
    return list != NULL;
}

static bool has_header(const opf_transfer *t, const char *name)
{
    size_t len = strlen(name);
    for (const struct curl_slist *h = t->headers; h; h = h->next)
        if (strncasecmp(h->data, name, len) == 0 && (h->data[len] == ':' || h->data[len] == ';'))
            return true;
    return false;
}

/* Gives libcurl a line of the head. */
static bool add_line(opf_transfer *t, const char *line, const char *end, opf_buf *text)
{
    const char *colon = memchr(line, ':', (size_t)(end - line)), *value = colon + 1;
    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    text->len = 0;
    /* a header without a value is written in a way of its own; with a colon it would be left out */
    int ret = value < end ? opf_buf_append(text, line, (size_t)(end - line))
                          : opf_buf_append(text, line, (size_t)(colon - line)) != 0 ||
                                opf_buf_append_str(text, ";") != 0;
    return ret == 0 && opf_buf_append(text, "", 1) == 0 && add_header(t, (const char *)text->data);
}

/* Gives libcurl the lines of the head that the fast path would send, and keeps it from adding more.
 */
static bool set_headers(opf_transfer *t)
{
    static const char *const own[] = {"Accept", "User-Agent", "Content-Type", "Expect"};
    size_t len;
    const char *at = opf_exchange_request_head(t->exchange, &len), *end = at + len;
    opf_buf text;
    opf_buf_init(&text);
    bool good = true;
    for (at = memchr(at, '\n', len) + 1; good && end - at > 2;) {
        const char *eol = memchr(at, '\r', (size_t)(end - at));
        good = add_line(t, at, eol, &text);
        at = eol + 2;
    }
    for (size_t i = 0; good && i < sizeof(own) / sizeof(own[0]); i++) {
        text.len = 0;
        if (!has_header(t, own[i]))
            good = opf_buf_append_str(&text, own[i]) == 0 && opf_buf_append(&text, ":", 2) == 0 &&
                   add_header(t, (const char *)text.data);
    }
    opf_buf_fini(&text);
    return good && curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->headers) == CURLE_OK;
}

static int append_host(opf_buf *out, const char *host, size_t len)
{
    bool ip6 = memchr(host, ':', len);
    return (ip6 && opf_buf_append_str(out, "[") != 0) || opf_buf_append(out, host, len) != 0 ||
           (ip6 && opf_buf_append_str(out, "]") != 0);
}

static int append_port(opf_buf *out, uint16_t port)
{
    return opf_buf_append_str(out, ":") != 0 || opf_buf_append_uint(out, port) != 0;
}

/* server_name: in the place of the host, or NULL. */
static int append_origin(opf_buf *out, const opf_url *url, const char *server_name)
{
    const char *host = server_name ? server_name : url->host;
    size_t len = server_name ? strlen(server_name) : url->host_len;
    return opf_buf_append_str(out, url->tls ? "https://" : "http://") != 0 ||
           append_host(out, host, len) != 0 ||
           (url->port_given && append_port(out, url->port) != 0);
}

/* The name to send and to check under TLS in the place of the host's; NULL: that. */
static const char *server_name_of(const opf_transfer *t)
{
    return t->is_tls ? t->multi->pool->server_name : NULL;
}

/* With a name of its own, the host stands only in the Host header and here. */
static bool set_connect_to(opf_transfer *t, const opf_url *url)
{
    const char *name = server_name_of(t);
    opf_buf text;
    opf_buf_init(&text);
    bool good = true;
    if (name) {
        good = append_host(&text, name, strlen(name)) == 0 && append_port(&text, url->port) == 0 &&
               opf_buf_append_str(&text, ":") == 0 &&
               append_host(&text, url->host, url->host_len) == 0 &&
               append_port(&text, url->port) == 0 && opf_buf_append(&text, "", 1) == 0;
        t->connect_to = good ? curl_slist_append(NULL, (const char *)text.data) : NULL;
        good = t->connect_to != NULL;
    }
    opf_buf_fini(&text);
    return good && curl_easy_setopt(t->easy, CURLOPT_CONNECT_TO, t->connect_to) == CURLE_OK;
}

/* The target: as it stands in the head, but behind the origin for a proxy that is to forward it. */
static bool set_url(opf_transfer *t, const opf_request *request, bool forwarded)
{
    const opf_url *url = request->url;
    const char *head = (const char *)t->exchange->out.data + request->method_len + 1;
    const char *end = memchr(head, ' ', t->exchange->out.len - request->method_len - 1);
    opf_buf text;
    opf_buf_init(&text);
    bool good = append_origin(&text, url, server_name_of(t)) == 0;
    size_t target_at = forwarded ? 0 : text.len;
    good = good && opf_buf_append(&text, head, (size_t)(end - head)) == 0 &&
           opf_buf_append(&text, "", 1) == 0 &&
           curl_easy_setopt(t->easy, CURLOPT_URL, text.data) == CURLE_OK &&
           curl_easy_setopt(t->easy, CURLOPT_REQUEST_TARGET, text.data + target_at) == CURLE_OK;
    opf_buf_fini(&text);
    return good;
}

/* The length that the headers announce of a body that is given in pieces; -1: it goes in chunks. */
static curl_off_t announced(const opf_transfer *t)
{
    for (const struct curl_slist *h = t->headers; h; h = h->next)
        if (strncasecmp(h->data, "Content-Length:", 15) == 0)
            return strtoll(h->data + 15, NULL, 10);
    return -1;
}

static bool set_method(opf_transfer *t, const opf_request *request)
{
    CURL *easy = t->easy;
    CURLcode bad = CURLE_OK;
    size_t len;
    const char *body = opf_exchange_request_body(t->exchange, &len);
    char *method = opf_mem_alloc(request->method_len + 1);
    if (!method)
        return false;
    memcpy(method, request->method, request->method_len);
    method[request->method_len] = '\0';
    bool open = request->open_body;
    t->posts = open || len || (has_header(t, "Content-Length") && !t->exchange->head_request);
    OPF_CURL_SET(CURLOPT_NOBODY, 0L);
    OPF_CURL_SET(CURLOPT_POSTFIELDS, NULL);
    OPF_CURL_SET(CURLOPT_HTTPGET, 1L);
    if (t->posts) {
        OPF_CURL_SET(CURLOPT_POST, 1L);
        OPF_CURL_SET(CURLOPT_POSTFIELDSIZE_LARGE, open ? announced(t) : (curl_off_t)len);
        OPF_CURL_SET(CURLOPT_POSTFIELDS, open ? NULL : body);
    } else if (t->exchange->head_request) {
        OPF_CURL_SET(CURLOPT_NOBODY, 1L);
    }
    OPF_CURL_SET(CURLOPT_CUSTOMREQUEST, method);
    OPF_CURL_SET(CURLOPT_FORBID_REUSE, (long)t->exchange->closes);
    opf_mem_free(method);
    return bad == CURLE_OK;
}

static unsigned long auth_bits(opf_auth auth)
{
    switch (auth) {
    case OPF_AUTH_BASIC:
        return CURLAUTH_BASIC;
    case OPF_AUTH_DIGEST:
        return CURLAUTH_DIGEST;
    case OPF_AUTH_NTLM:
        return CURLAUTH_NTLM;
    case OPF_AUTH_NEGOTIATE:
        return CURLAUTH_NEGOTIATE;
    case OPF_AUTH_NONE:
        break;
    }
    return CURLAUTH_NONE;
}

static const char *or_empty(const char *text)
{
    return text ? text : "";
}

static bool set_auth(opf_transfer *t, const opf_curl_options *options)
{
    CURL *easy = t->easy;
    CURLcode bad = CURLE_OK;
    t->has_auth = options->auth != OPF_AUTH_NONE;
    OPF_CURL_SET(CURLOPT_HTTPAUTH, auth_bits(options->auth));
    OPF_CURL_SET(CURLOPT_USERNAME, t->has_auth ? or_empty(options->user) : NULL);
    OPF_CURL_SET(CURLOPT_PASSWORD, t->has_auth ? or_empty(options->password) : NULL);
    return bad == CURLE_OK;
}

/* Proxies */

typedef struct proxy {
    const char *scheme; /* constant */
    bool forwards;      /* an http URL is asked of it by its whole name */
    bool resolves;      /* it is told the server's name, not an address */
    uint16_t port;      /* if none is given */
    CURLU *url;
    char *host, *user, *password; /* of the URL; NULL: none */
} proxy;

static const proxy schemes[] = {
    {.scheme = "http", .forwards = true, .resolves = true, .port = 80},
    {.scheme = "https", .forwards = true, .resolves = true, .port = 443},
    {.scheme = "socks4", .port = 1080},
    {.scheme = "socks4a", .resolves = true, .port = 1080},
    {.scheme = "socks5", .port = 1080},
    {.scheme = "socks5h", .resolves = true, .port = 1080},
};

static void proxy_fini(proxy *p)
{
    curl_url_cleanup(p->url);
    curl_free(p->host);
    curl_free(p->user);
    curl_free(p->password);
    *p = (proxy){0};
}

static int refuse(opf_request_error *error, const char *why)
{
    error->why = why;
    error->header = SIZE_MAX;
    return OPF_EINVAL;
}

static const proxy *proxy_scheme(const char *scheme)
{
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++)
        if (strcasecmp(schemes[i].scheme, scheme) == 0)
            return &schemes[i];
    return NULL;
}

/* Reads an optional part of the URL. Returns 0 or OPF_ENOMEM, or OPF_EINVAL. */
static int proxy_part(proxy *p, CURLUPart part, char **text)
{
    switch (curl_url_get(p->url, part, text, part == CURLUPART_HOST ? 0 : CURLU_URLDECODE)) {
    case CURLUE_OK:
        return 0;
    case CURLUE_NO_USER:
    case CURLUE_NO_PASSWORD:
    case CURLUE_NO_PORT:
        return 0;
    case CURLUE_OUT_OF_MEMORY:
        return OPF_ENOMEM;
    default:
        return OPF_EINVAL;
    }
}

/* Splits the URL of a proxy. Returns 0, OPF_ENOMEM, or OPF_EINVAL with *error. */
static int proxy_init(proxy *p, const char *url, opf_request_error *error)
{
    char *scheme = NULL, *port = NULL;
    int ret = OPF_ENOMEM;
    CURLU *parsed = curl_url();
    if (!parsed)
        return OPF_ENOMEM;
    CURLUcode code = curl_url_set(parsed, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME);
    p->url = parsed;
    if (code == CURLUE_OK)
        code = curl_url_get(parsed, CURLUPART_SCHEME, &scheme, 0);
    if (code == CURLUE_OUT_OF_MEMORY)
        goto out;
    const proxy *found = code == CURLUE_OK ? proxy_scheme(scheme) : NULL;
    ret = refuse(error, code == CURLUE_OK
                            ? "unsupported proxy scheme: it is none of http, https, socks4, "
                              "socks4a, socks5, socks5h"
                            : "malformed proxy URL");
    if (!found)
        goto out;
    *p = *found;
    p->url = parsed;
    ret = proxy_part(p, CURLUPART_HOST, &p->host);
    if (ret == 0)
        ret = proxy_part(p, CURLUPART_USER, &p->user);
    if (ret == 0)
        ret = proxy_part(p, CURLUPART_PASSWORD, &p->password);
    if (ret == 0)
        ret = proxy_part(p, CURLUPART_PORT, &port);
    if (ret == 0 && port)
        p->port = (uint16_t)strtoul(port, NULL, 10);
    if (ret == OPF_EINVAL || (ret == 0 && !p->host))
        ret = refuse(error, "malformed proxy URL");
out:
    curl_free(scheme);
    curl_free(port);
    if (ret != 0)
        proxy_fini(p);
    return ret;
}

static bool set_proxy(opf_transfer *t, const proxy *p, const opf_curl_options *options)
{
    CURL *easy = t->easy;
    CURLcode bad = CURLE_OK;
    const char *user = options->proxy_user ? options->proxy_user : p->user;
    const char *password = options->proxy_user ? options->proxy_password : p->password;
    opf_auth auth = options->proxy_auth;
    opf_buf url;
    opf_buf_init(&url);
    if (auth == OPF_AUTH_NONE && user)
        auth = OPF_AUTH_BASIC;
    if (auth != OPF_AUTH_NONE)
        user = or_empty(user);
    if (p->host &&
        (opf_buf_append_str(&url, p->scheme) != 0 || opf_buf_append_str(&url, "://") != 0 ||
         opf_buf_append_str(&url, p->host) != 0 || opf_buf_append_str(&url, ":") != 0 ||
         opf_buf_append_uint(&url, p->port) != 0))
        bad = CURLE_OUT_OF_MEMORY;
    if (opf_buf_append(&url, "", 1) != 0) /* an empty one: not the environment's either */
        bad = CURLE_OUT_OF_MEMORY;
    OPF_CURL_SET(CURLOPT_PROXY, url.data);
    OPF_CURL_SET(CURLOPT_PROXYUSERNAME, user);
    OPF_CURL_SET(CURLOPT_PROXYPASSWORD, user ? or_empty(password) : NULL);
    OPF_CURL_SET(CURLOPT_PROXYAUTH, user ? auth_bits(auth) : (unsigned long)CURLAUTH_BASIC);
    opf_buf_fini(&url);
    t->has_proxy = p->host != NULL;
    t->proxy_is_tls = t->has_proxy && strcmp(p->scheme, "https") == 0;
    return bad == CURLE_OK;
}

static bool is_address(const char *host, size_t len)
{
    char text[INET_ADDRSTRLEN];
    struct in_addr any;
    if (memchr(host, ':', len))
        return true;
    if (len >= sizeof(text))
        return false;
    memcpy(text, host, len);
    text[len] = '\0';
    return inet_pton(AF_INET, text, &any) == 1;
}

static bool set_host(opf_curl_host *h, const char *name, size_t len, uint16_t port)
{
    if (len > 2 && name[0] == '[') { /* as libcurl's URLs have an IPv6 address */
        name++;
        len -= 2;
    }
    *h = (opf_curl_host){.name = opf_mem_alloc(len + 1), .port = port};
    if (!h->name)
        return false;
    memcpy(h->name, name, len);
    h->name[len] = '\0';
    h->is_address = is_address(name, len);
    return true;
}

/* Notes whom to connect to, and whose address libcurl must know for a proxy. */
static bool set_hosts(opf_transfer *t, const proxy *p, const opf_url *url)
{
    const char *peer = p->host ? p->host : url->host;
    size_t len = p->host ? strlen(p->host) : url->host_len;
    if (!set_host(&t->peer, peer, len, p->host ? p->port : url->port))
        return false;
    if (!t->peer.is_address && opf_curl_give_address(t, &t->peer, NOWHERE) != 0)
        return false;
    return !p->host || p->resolves || set_host(&t->named, url->host, url->host_len, url->port);
}

int opf_curl_give_address(opf_transfer *t, const opf_curl_host *h, const char *address)
{
    opf_buf entry;
    int ret = OPF_ENOMEM;
    opf_buf_init(&entry);
    if (opf_buf_append_str(&entry, "+") == 0 && opf_buf_append_str(&entry, h->name) == 0 &&
        opf_buf_append_str(&entry, ":") == 0 && opf_buf_append_uint(&entry, h->port) == 0 &&
        opf_buf_append_str(&entry, ":") == 0 && opf_buf_append_str(&entry, address) == 0 &&
        opf_buf_append(&entry, "", 1) == 0) {
        struct curl_slist *list = curl_slist_append(t->resolve, (const char *)entry.data);
        if (list) {
            t->resolve = list;
            ret = 0;
        }
    }
    opf_buf_fini(&entry);
    return ret;
}

char *opf_curl_key(const opf_request *request, size_t *origin_len)
{
    const opf_curl_options *options = request->curl;
    const char *parts[] = {options->proxy, options->proxy_user, options->proxy_password,
                           options->user, options->password};
    char modes[] = {(char)('0' + options->auth), (char)('0' + options->proxy_auth), '\0'};
    opf_buf key;
    opf_buf_init(&key);
    int ret = append_origin(&key, request->url, NULL);
    *origin_len = key.len;
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        ret = ret || opf_buf_append_str(&key, parts[i] ? "\n+" : "\n-") != 0 ||
              opf_buf_append_str(&key, or_empty(parts[i])) != 0;
    if (ret || opf_buf_append(&key, modes, sizeof(modes)) != 0) {
        opf_buf_fini(&key);
        return NULL;
    }
    return (char *)key.data;
}

int opf_curl_set_request(opf_transfer *t, const opf_request *request, opf_request_error *error)
{
    const opf_curl_options *options = request->curl;
    const opf_url *url = request->url;
    proxy p = {0};
    const char *why = missing_feature(options);
    if (why)
        return refuse(error, why);
    int ret = options->proxy ? proxy_init(&p, options->proxy, error) : 0;
    if (ret != 0)
        return ret;
    t->is_tls = url->tls;
    const char *name = server_name_of(t);
    t->is_address = name ? is_address(name, strlen(name)) : is_address(url->host, url->host_len);
    if (!set_headers(t) || !set_url(t, request, p.forwards && !url->tls) ||
        !set_method(t, request) || !set_auth(t, options) || !set_proxy(t, &p, options) ||
        !set_hosts(t, &p, url) || !set_connect_to(t, url))
        ret = OPF_ENOMEM;
    proxy_fini(&p);
    return ret;
}

bool opf_curl_set_constants(opf_transfer *t)
{
    CURL *easy = t->easy;
    CURLcode bad = CURLE_OK;
    OPF_CURL_SET(CURLOPT_PRIVATE, t);
    OPF_CURL_SET(CURLOPT_NOSIGNAL, 1L);
    OPF_CURL_SET(CURLOPT_ERRORBUFFER, t->error);
    OPF_CURL_SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    OPF_CURL_SET(CURLOPT_PROTOCOLS_STR, "http,https");
    OPF_CURL_SET(CURLOPT_FOLLOWLOCATION, 0L);
    OPF_CURL_SET(CURLOPT_PATH_AS_IS, 1L);
    OPF_CURL_SET(CURLOPT_HTTP_CONTENT_DECODING, 0L);
    OPF_CURL_SET(CURLOPT_EXPECT_100_TIMEOUT_MS, 1L);
    OPF_CURL_SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    OPF_CURL_SET(CURLOPT_CONNECTTIMEOUT_MS, (long)FOREVER_MS);
    OPF_CURL_SET(CURLOPT_DNS_CACHE_TIMEOUT, (long)DNS_KEEP_S);
    OPF_CURL_SET(CURLOPT_MAXAGE_CONN, (long)IDLE_MAX_S);
    OPF_CURL_SET(CURLOPT_TCP_NODELAY, 0L);                   /* as the dial has set it */
    OPF_CURL_SET(CURLOPT_NOPROXY, "");                       /* not the environment's */
    OPF_CURL_SET(CURLOPT_SOCKS5_AUTH, (long)CURLAUTH_BASIC); /* the other one blocks */
    return bad == CURLE_OK && opf_curl_set_socket_calls(t) && opf_curl_set_calls(t);
}

bool opf_curl_set_tls(opf_transfer *t)
{
    CURL *easy = t->easy;
    const opf_pool *pool = t->multi->pool;
    bool check_name, verify = opf_tls_context_verifies(pool->tls, &check_name);
    CURLcode bad = CURLE_OK;
    OPF_CURL_SET(CURLOPT_SSL_VERIFYPEER, (long)verify);
    OPF_CURL_SET(CURLOPT_SSL_VERIFYHOST, check_name ? 2L : 0L);
    OPF_CURL_SET(CURLOPT_PROXY_SSL_VERIFYPEER, (long)verify);
    OPF_CURL_SET(CURLOPT_PROXY_SSL_VERIFYHOST, check_name ? 2L : 0L);
    OPF_CURL_SET(CURLOPT_SSL_SESSIONID_CACHE, pool->options.tls_resume ? 1L : 0L);
    OPF_CURL_SET(CURLOPT_CAINFO, NULL);
    OPF_CURL_SET(CURLOPT_CAPATH, NULL);
    OPF_CURL_SET(CURLOPT_PROXY_CAINFO, NULL);
    OPF_CURL_SET(CURLOPT_PROXY_CAPATH, NULL);
    OPF_CURL_SET(CURLOPT_SSL_OPTIONS,
                 (long)CURLSSLOPT_NO_PARTIALCHAIN); /* leave the store as it is */
    OPF_CURL_SET(CURLOPT_PROXY_SSL_OPTIONS, (long)CURLSSLOPT_NO_PARTIALCHAIN);
    OPF_CURL_SET(CURLOPT_CA_CACHE_TIMEOUT, 0L);
    OPF_CURL_SET(CURLOPT_SSL_CTX_FUNCTION, opf_curl_begin_tls);
    OPF_CURL_SET(CURLOPT_SSL_CTX_DATA, t);
    return bad == CURLE_OK;
}
