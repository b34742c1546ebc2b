#include "client.h"

#include <poll.h>
#include <signal.h>

bool client_init(client *c, peer_fn *serve, void *arg, const opf_pool_options *options)
{
    static const opf_pool_options none;
    int error;
    char text[256];
    signal(SIGPIPE, SIG_IGN); /* libcurl and OpenSSL write without MSG_NOSIGNAL */
    *c = (client){.engine = opf_engine_new(NULL)};
    if (!c->engine)
        return false;
    c->pool = opf_pool_new(c->engine, options ? options : &none, &error, text, sizeof(text));
    c->server = serve ? peer_new(serve, arg) : NULL;
    c->port = c->server ? peer_port(c->server) : 0;
    return c->pool && (c->server || !serve);
}

void client_fini(client *c)
{
    opf_pool_free(c->pool);
    opf_engine_free(c->engine);
    peer_free(c->server);
}

uint64_t client_connections(const client *c)
{
    opf_engine_totals totals;
    opf_engine_get_totals(c->engine, &totals);
    return totals.connections;
}

void serve_well(int fd, int number, void *arg)
{
    char request[4096];
    (void)number, (void)arg;
    while (peer_read_request(fd, request, sizeof(request)) && peer_send(fd, ANSWER))
        ;
}

void serve_once(int fd, int number, void *arg)
{
    char request[4096];
    (void)number, (void)arg;
    if (peer_read_request(fd, request, sizeof(request)))
        peer_send(fd, ANSWER);
}

void serve_first(int fd, int number, void *arg)
{
    char request[4096];
    if (number)
        serve_well(fd, number, NULL);
    else if (peer_read_request(fd, request, sizeof(request)))
        peer_send(fd, arg);
}

void serve_and_hold(int fd, int number, void *arg)
{
    char request[4096];
    (void)number;
    if (arg && peer_read_request(fd, request, sizeof(request)))
        peer_send(fd, arg);
    peer_wait_closed(fd);
}

void serve_deaf(int fd, int number, void *arg)
{
    struct pollfd gone = {.fd = fd, .events = POLLRDHUP};
    (void)number, (void)arg;
    poll(&gone, 1, 20000);
}

void serve_reset(int fd, int number, void *arg)
{
    char request[4096];
    if (number)
        serve_well(fd, number, arg);
    else if (peer_read_request(fd, request, sizeof(request)))
        peer_reset(fd);
}
