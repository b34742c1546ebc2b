#include "wire/network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"

#define KEEP_ALIVE_MAX 32767 /* seconds, Linux's own limit */

/* A host whose addresses are given: n of the network's, from first on. */
struct given {
    char *host;
    uint16_t port; /* 0: any */
    size_t first;
    size_t n;
};

struct opf_network {
    size_t holds;
    opf_addr *sources;
    size_t n_sources;
    size_t turn[2]; /* where the search for the next source begins, of IPv4 and of IPv6 */
    struct given *given;
    size_t n_given;
    opf_addr *addrs; /* of the given hosts */
    size_t n_addrs;
    opf_addr unix_addr; /* of family AF_UNIX if there is a path */
    struct sockaddr_un unix_name;
    socklen_t unix_len;
    int keep_alive; /* seconds, 0: off */
    bool delay;
};

__attribute__((format(printf, 3, 4))) static int fails(char *text, size_t size, const char *format,
                                                       ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, size, format, arguments);
    va_end(arguments);
    return OPF_EINVAL;
}

/* Options */

static int take_sources(opf_network *network, const opf_network_options *options, char *text,
                        size_t size)
{
    const char *why;
    if (!options->n_sources)
        return 0;
    network->sources = opf_mem_zalloc(options->n_sources * sizeof(*network->sources));
    if (!network->sources)
        return OPF_ENOMEM;
    for (size_t i = 0; i < options->n_sources; i++)
        if (!opf_addr_parse(options->sources[i], &network->sources[network->n_sources++], &why))
            return fails(text, size, "source address %s can't be used: %s", options->sources[i],
                         why);
    return 0;
}

static struct given *find_given(const opf_network *network, const char *host, size_t len,
                                uint16_t port)
{
    for (size_t i = 0; i < network->n_given; i++) {
        struct given *given = &network->given[i];
        if (given->port == port && strlen(given->host) == len &&
            strncasecmp(given->host, host, len) == 0)
            return given;
    }
    return NULL;
}

static struct given *add_given(opf_network *network, const opf_resolve *resolve)
{
    struct given *given = &network->given[network->n_given];
    given->host = opf_mem_strdup(resolve->host);
    if (!given->host)
        return NULL;
    given->port = resolve->port;
    given->first = network->n_addrs;
    network->n_given++;
    return given;
}

/* Takes the hosts whose addresses are given, the addresses of one behind each other. */
static int take_given(opf_network *network, const opf_network_options *options, char *text,
                      size_t size)
{
    const opf_resolve *all = options->resolve;
    const char *why;
    if (!options->n_resolve)
        return 0;
    network->given = opf_mem_zalloc(options->n_resolve * sizeof(*network->given));
    network->addrs = opf_mem_zalloc(options->n_resolve * sizeof(*network->addrs));
    if (!network->given || !network->addrs)
        return OPF_ENOMEM;
    for (size_t i = 0; i < options->n_resolve; i++) {
        size_t len = strlen(all[i].host);
        if (find_given(network, all[i].host, len, all[i].port))
            continue; /* taken with the first of them */
        struct given *given = add_given(network, &all[i]);
        if (!given)
            return OPF_ENOMEM;
        for (size_t j = i; j < options->n_resolve; j++) {
            if (all[j].port != given->port || strcasecmp(all[j].host, given->host) != 0)
                continue;
            if (!opf_addr_parse(all[j].address, &network->addrs[network->n_addrs], &why))
                return fails(text, size, "address %s of host %s can't be used: %s", all[j].address,
                             all[j].host, why);
            network->n_addrs++;
            given->n++;
        }
    }
    return 0;
}

static int take_unix(opf_network *network, const char *path, char *text, size_t size)
{
    struct sockaddr_un *name = &network->unix_name;
    if (!path)
        return 0;
    size_t len = strlen(path);
    bool abstract = path[0] == '@';
    if (len <= abstract)
        return fails(text, size, "the Unix socket has no path");
    if (len >= sizeof(name->sun_path))
        return fails(text, size, "path of the Unix socket is longer than %zu bytes: %s",
                     sizeof(name->sun_path) - 1, path);
    network->unix_addr.family = AF_UNIX;
    name->sun_family = AF_UNIX;
    memcpy(name->sun_path, path, len);
    if (abstract)
        name->sun_path[0] = '\0';
    /* an abstract name ends with its length alone */
    network->unix_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + !abstract);
    return 0;
}

opf_network *opf_network_new(const opf_network_options *options, int *error, char *text,
                             size_t size)
{
    *error = OPF_ENOMEM;
    opf_network *network = opf_mem_zalloc(sizeof(*network));
    if (!network)
        return NULL;
    network->holds = 1;
    network->keep_alive = (int)options->keep_alive_s;
    network->delay = options->delay;
    if (options->keep_alive_s > KEEP_ALIVE_MAX)
        *error = fails(text, size, "TCP keep-alive of %u s is over %d s", options->keep_alive_s,
                       KEEP_ALIVE_MAX);
    else
        *error = take_sources(network, options, text, size);
    if (!*error)
        *error = take_given(network, options, text, size);
    if (!*error)
        *error = take_unix(network, options->unix_path, text, size);
    if (!*error)
        return network;
    opf_network_release(network);
    return NULL;
}

static bool same_addrs(const opf_addr *a, const opf_addr *b, size_t n)
{
    return !n || memcmp(a, b, n * sizeof(*a)) == 0;
}

bool opf_network_same(const opf_network *a, const opf_network *b)
{
    if (a->n_sources != b->n_sources || a->n_given != b->n_given || a->n_addrs != b->n_addrs ||
        a->keep_alive != b->keep_alive || a->delay != b->delay || a->unix_len != b->unix_len ||
        memcmp(&a->unix_name, &b->unix_name, sizeof(a->unix_name)) != 0 ||
        !same_addrs(a->sources, b->sources, a->n_sources) ||
        !same_addrs(a->addrs, b->addrs, a->n_addrs))
        return false;
    for (size_t i = 0; i < a->n_given; i++)
        if (a->given[i].port != b->given[i].port || a->given[i].n != b->given[i].n ||
            strcmp(a->given[i].host, b->given[i].host) != 0)
            return false;
    return true;
}

void opf_network_hold(opf_network *network)
{
    network->holds++;
}

void opf_network_release(opf_network *network)
{
    if (!network || --network->holds)
        return;
    for (size_t i = 0; i < network->n_given; i++)
        opf_mem_free(network->given[i].host);
    opf_mem_free(network->given);
    opf_mem_free(network->addrs);
    opf_mem_free(network->sources);
    opf_mem_free(network);
}

/* Where to */

const opf_addr *opf_network_given(const opf_network *network, const char *host, size_t len,
                                  uint16_t port, size_t *n)
{
    if (network->unix_len) {
        *n = 1;
        return &network->unix_addr;
    }
    const struct given *given = find_given(network, host, len, port);
    if (!given)
        given = find_given(network, host, len, 0);
    *n = given ? given->n : 0;
    return given ? network->addrs + given->first : NULL;
}

socklen_t opf_network_sockaddr(const opf_network *network, const opf_addr *addr, uint16_t port,
                               struct sockaddr_storage *out)
{
    if (addr->family != AF_UNIX)
        return opf_addr_to_sockaddr(addr, port, out);
    memcpy(out, &network->unix_name, sizeof(network->unix_name));
    return network->unix_len;
}

/* Sockets */

static bool bind_to(int fd, const opf_addr *source)
{
    struct sockaddr_storage name;
    socklen_t len = opf_addr_to_sockaddr(source, 0, &name);
    return bind(fd, (struct sockaddr *)&name, len) == 0;
}

bool opf_network_check(const opf_network *network, char *text, size_t size)
{
    for (size_t i = 0; i < network->n_sources; i++) {
        const opf_addr *source = &network->sources[i];
        char address[INET6_ADDRSTRLEN] = "";
        /* UDP's ports are of no use to anybody here */
        int fd = socket(source->family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        bool bound = fd >= 0 && bind_to(fd, source);
        int err = errno;
        if (fd >= 0)
            close(fd);
        /* a lack of descriptors says nothing about the address */
        if (bound || err == EMFILE || err == ENFILE || err == ENOBUFS || err == ENOMEM)
            continue;
        inet_ntop(source->family, &source->ip, address, sizeof(address));
        fails(text, size, "source address %s can't be used: %s", address,
              err == EADDRNOTAVAIL ? "it is not an address of this machine" : strerror(err));
        return false;
    }
    return true;
}

static const opf_addr *next_source(opf_network *network, int family)
{
    size_t *turn = &network->turn[family == AF_INET6];
    for (size_t i = 0; i < network->n_sources; i++) {
        const opf_addr *source = &network->sources[*turn];
        *turn = (*turn + 1) % network->n_sources;
        if (source->family == family)
            return source;
    }
    return NULL;
}

/* Binds to the next source, but not to a port: connect finds one that is free towards the server,
 * so that each source has its own 28,000 for each of them. */
static int bind_source(opf_network *network, int fd, int family, const char **why)
{
    int one = 1;
    const opf_addr *source = next_source(network, family);
    if (!source) {
        *why = "no source address is of the server's address family";
        errno = EAFNOSUPPORT;
        return -1;
    }
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
    if (bind_to(fd, source))
        return 0;
    if (errno == EADDRNOTAVAIL)
        *why = "a source address is not one of this machine's any more";
    return -1;
}

/* None of these is worth a failure. */
static void set_options(const opf_network *network, int fd)
{
    int one = 1;
    if (!network->delay)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (network->keep_alive) {
        int seconds = network->keep_alive;
        setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
        setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &seconds, sizeof(seconds));
        setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &seconds, sizeof(seconds));
    }
}

int opf_network_socket(opf_network *network, int family, const char **why)
{
    int one = 1;
    *why = NULL;
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    /* the stamps must be on before the first byte may come; Unix sockets have none */
    setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof(one));
    if (family == AF_UNIX)
        return fd;
    set_options(network, fd);
    if (!network->n_sources || bind_source(network, fd, family, why) == 0)
        return fd;
    int err = errno;
    close(fd);
    errno = err;
    return -1;
}
