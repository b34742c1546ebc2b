#include "peer.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "drive.h"

#define CONNECTIONS_MAX 256

struct connection {
    peer *server;
    pthread_t thread;
    int fd; /* a second descriptor, to shut it down by */
    int number;
};

struct peer {
    peer_fn *serve;
    void *arg;
    int listener;
    uint16_t port;
    pthread_t thread;
    pthread_mutex_t lock;
    int count;
    struct connection connections[CONNECTIONS_MAX];
};

static void *run_connection(void *arg)
{
    struct connection *connection = arg;
    peer *server = connection->server;
    int fd = dup(connection->fd);
    if (fd >= 0) {
        server->serve(fd, connection->number, server->arg);
        close(fd);
    }
    /* the client shall see the end now, while fd of the connection stays until the server's end */
    shutdown(connection->fd, SHUT_RDWR);
    return NULL;
}

static void set_count(peer *server, int count)
{
    pthread_mutex_lock(&server->lock);
    server->count = count;
    pthread_mutex_unlock(&server->lock);
}

static void *run_listener(void *arg)
{
    peer *server = arg;
    for (int i = 0; i < CONNECTIONS_MAX; i++) {
        struct connection *connection = &server->connections[i];
        struct timeval patience = {.tv_sec = 20};
        int fd = accept(server->listener, NULL, NULL);
        if (fd < 0)
            return NULL;
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
        *connection = (struct connection){.server = server, .fd = fd, .number = i};
        set_count(server, i + 1); /* before anybody may get an answer */
        if (pthread_create(&connection->thread, NULL, run_connection, connection) != 0) {
            set_count(server, i);
            close(fd);
            return NULL;
        }
    }
    return NULL;
}

peer *peer_new(peer_fn *serve, void *arg)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(in);
    peer *server = calloc(1, sizeof(*server));
    if (!server)
        return NULL;
    server->serve = serve;
    server->arg = arg;
    pthread_mutex_init(&server->lock, NULL);
    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (server->listener < 0 || bind(server->listener, (struct sockaddr *)&in, sizeof(in)) != 0 ||
        listen(server->listener, 128) != 0 ||
        getsockname(server->listener, (struct sockaddr *)&in, &len) != 0 ||
        pthread_create(&server->thread, NULL, run_listener, server) != 0) {
        perror("peer_new");
        exit(2);
    }
    server->port = ntohs(in.sin_port);
    return server;
}

void peer_free(peer *server)
{
    if (!server)
        return;
    shutdown(server->listener, SHUT_RDWR);
    pthread_join(server->thread, NULL);
    close(server->listener);
    for (int i = 0; i < server->count; i++)
        shutdown(server->connections[i].fd, SHUT_RDWR);
    for (int i = 0; i < server->count; i++) {
        pthread_join(server->connections[i].thread, NULL);
        close(server->connections[i].fd);
    }
    pthread_mutex_destroy(&server->lock);
    free(server);
}

uint16_t peer_port(const peer *server)
{
    return server->port;
}

int peer_count(peer *server)
{
    pthread_mutex_lock(&server->lock);
    int count = server->count;
    pthread_mutex_unlock(&server->lock);
    return count;
}

static size_t content_length(const char *head)
{
    const char *field = strcasestr(head, "\r\ncontent-length:");
    return field ? strtoul(field + 17, NULL, 10) : 0;
}

bool peer_read_request(int fd, char *text, size_t size)
{
    size_t len = 0, whole = SIZE_MAX;
    while (len < whole) {
        ssize_t n = len + 1 < size ? recv(fd, text + len, size - 1 - len, 0) : 0;
        if (n <= 0)
            return false;
        len += (size_t)n;
        text[len] = '\0';
        const char *end = strstr(text, "\r\n\r\n");
        if (end && whole == SIZE_MAX)
            whole = (size_t)(end + 4 - text) + content_length(text);
    }
    return true;
}

bool peer_send(int fd, const char *text)
{
    size_t len = strlen(text);
    while (len) {
        ssize_t n = send(fd, text, len, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        text += n;
        len -= (size_t)n;
    }
    return true;
}

void peer_wait_closed(int fd)
{
    char rest[4096];
    while (recv(fd, rest, sizeof(rest), 0) > 0)
        ;
}

void peer_reset(int fd)
{
    struct linger linger = {.l_onoff = 1};
    struct sockaddr none = {.sa_family = AF_UNSPEC};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    /* closing would not do it: there is a second descriptor */
    connect(fd, &none, sizeof(none));
}

static void on_done(opf_exchange *exchange, void *arg)
{
    (void)exchange;
    call *c = arg;
    c->done++;
}

int call_submit_url(call *c, opf_engine *engine, opf_pool *pool, const char *method,
                    const char *text, const void *body, size_t body_len)
{
    const char *why;
    opf_url url;
    opf_request_error error;
    if (opf_url_parse(text, strlen(text), &url, &why) != 0)
        return OPF_EINVAL;
    if (!c->exchange && !(c->exchange = opf_exchange_new(engine)))
        return OPF_ENOMEM;
    opf_request request = {.url = &url,
                           .method = method,
                           .method_len = strlen(method),
                           .body = body,
                           .body_len = body_len};
    return opf_exchange_submit(c->exchange, pool, &request, on_done, c, &error);
}

int call_submit(call *c, opf_engine *engine, opf_pool *pool, const char *method, bool tls,
                uint16_t port, const void *body, size_t body_len)
{
    char text[64];
    snprintf(text, sizeof(text), "%s://127.0.0.1:%u/", tls ? "https" : "http", port);
    return call_submit_url(c, engine, pool, method, text, body, body_len);
}

bool call_drive(opf_engine *engine, const int *count, int wanted)
{
    uint64_t end = opf_clock_mono() + DRIVE_NS_MAX;
    while (*count < wanted && opf_clock_mono() < end)
        if (opf_engine_poll(engine, 100) < 0)
            return false;
    return *count >= wanted;
}

void call_idle(opf_engine *engine)
{
    for (int i = 0; i < 1000 && opf_engine_poll(engine, 20) > 0; i++)
        ;
}
