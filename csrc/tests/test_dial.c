#include "wire/dial.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "dns.h"
#include "drive.h"
#include "opf_test.h"

static const struct dns_record zone[] = {
    {"both.test", DNS_A, 1000, "127.0.0.1"},
    {"both.test", DNS_AAAA, 1000, "::1"},
    {"pair.test", DNS_A, 1000, "127.0.0.1"},
    {"pair.test", DNS_A, 1000, "127.0.0.2"},
    {"second.test", DNS_A, 1000, "127.0.0.2"},
    {"second.test", DNS_A, 1000, "127.0.0.1"},
    {"turns.test", DNS_A, 1000, "127.0.0.2"},
    {"turns.test", DNS_A, 1000, "127.0.0.3"},
    {"turns.test", DNS_AAAA, 1000, "::ffff:127.0.0.1"},
    {"no-network.test", DNS_A, 1000, "224.0.0.1"}, /* no address of a TCP peer */
    {"half.test", DNS_A, 1000, "224.0.0.1"},
    {"half.test", DNS_A, 1000, "127.0.0.1"},
    {"silent.test", DNS_SILENT, 0, ""},
    {"one.test", DNS_A, 1000, "127.0.0.1"},
    {NULL, DNS_A, 0, NULL},
};

struct fixture {
    opf_loop *loop;
    struct dns_server dns;
    opf_resolver *resolver;
    opf_network *network;
    int fds;
};

static bool set_up_network(struct fixture *fix, const opf_network_options *options)
{
    int error;
    char text[256];
    memset(fix, 0, sizeof(*fix));
    fix->fds = drive_count_fds();
    fix->loop = opf_loop_new();
    if (!fix->loop || dns_start(&fix->dns, fix->loop, zone) != 0)
        return false;
    fix->resolver = opf_resolver_new(fix->loop, fix->dns.address);
    fix->network = opf_network_new(options, &error, text, sizeof(text));
    return fix->resolver && fix->network;
}

static bool set_up(struct fixture *fix)
{
    static const opf_network_options none;
    return set_up_network(fix, &none);
}

static bool tear_down(struct fixture *fix)
{
    opf_network_release(fix->network);
    opf_resolver_free(fix->resolver);
    dns_stop(&fix->dns);
    opf_loop_free(fix->loop);
    return drive_count_fds() == fix->fds;
}

/* A dial with what it came to. */
struct call {
    opf_dial dial;
    int done; /* how often */
    int fd;
    opf_failure failure;
    int err;
    const char *detail;
    struct fixture *again; /* to dial once more from within done */
    uint16_t port;
};

static void on_done(opf_dial *dial, int fd, opf_failure failure, int err, const char *detail)
{
    struct call *call = OPF_CONTAINER(dial, struct call, dial);
    call->done++;
    call->fd = fd;
    call->failure = failure;
    call->err = err;
    call->detail = detail;
    struct fixture *fix = call->again;
    call->again = NULL;
    if (fix)
        opf_dial_start(dial, fix->loop, fix->resolver, fix->network, "127.0.0.1", 9, call->port,
                       on_done);
}

static int start(struct fixture *fix, struct call *call, const char *host, uint16_t port)
{
    memset(call, 0, sizeof(*call));
    call->fd = -1;
    return opf_dial_start(&call->dial, fix->loop, fix->resolver, fix->network, host, strlen(host),
                          port, on_done);
}

static bool await(struct fixture *fix, struct call *call)
{
    return drive_until(fix->loop, &call->done, 1);
}

static bool dial(struct fixture *fix, struct call *call, const char *host, uint16_t port)
{
    return start(fix, call, host, port) == 0 && call->done == 0 && await(fix, call) &&
           !call->dial.state;
}

/* Puts the answer for a name into the resolver's cache. */
static bool learn(struct fixture *fix, const char *host)
{
    struct call call;
    size_t n;
    if (!dial(fix, &call, host, 1))
        return false;
    if (call.fd >= 0)
        close(call.fd);
    return opf_resolver_cached(fix->resolver, host, strlen(host), &n) != NULL;
}

/* A listener on an address and port, whose queue holds one connection. Returns -1 on failure. */
static int listen_at(const opf_addr *addr, uint16_t port)
{
    struct sockaddr_storage name;
    int one = 1;
    socklen_t len = opf_addr_to_sockaddr(addr, port, &name);
    int fd = socket(addr->family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (addr->family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
    if (bind(fd, (struct sockaddr *)&name, len) != 0 || listen(fd, 0) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* The same for a port of 0, which is given back: one that the system gives nobody by itself (they
 * begin at 32768), so that it is free on the other addresses too. */
static int listen_on(const char *address, uint16_t *port)
{
    static unsigned int next;
    opf_addr addr = {.family = strchr(address, ':') ? AF_INET6 : AF_INET};
    inet_pton(addr.family, address, &addr.ip);
    if (*port)
        return listen_at(&addr, *port);
    if (!next)
        next = (unsigned int)getpid() * 61;
    for (int tries = 0; tries < 100; tries++) {
        uint16_t any = (uint16_t)(20000 + next++ % 12000);
        int fd = listen_at(&addr, any);
        if (fd >= 0) {
            *port = any;
            return fd;
        }
    }
    return -1;
}

/* A port on which nobody listens, nor is given to anybody by chance while the returned descriptor
 * is open. */
static int reserve_port(uint16_t *port)
{
    static const opf_addr any[] = {{.family = AF_INET6}, {.family = AF_INET}};
    for (int i = 0; i < 2; i++) {
        struct sockaddr_storage name;
        socklen_t len = opf_addr_to_sockaddr(&any[i], 0, &name);
        int fd = socket(any[i].family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
            continue;
        if (bind(fd, (struct sockaddr *)&name, len) == 0 &&
            getsockname(fd, (struct sockaddr *)&name, &len) == 0) {
            *port = ntohs(((struct sockaddr_in *)&name)->sin_port);
            return fd;
        }
        close(fd);
    }
    return -1;
}

/* Listens where nobody is answered: the queue is full. What fills it goes to *filler. */
static int listen_deaf(const char *address, uint16_t *port, int *filler)
{
    struct sockaddr_storage name;
    socklen_t len = sizeof(name);
    int fd = listen_on(address, port);
    if (fd < 0)
        return -1;
    *filler = socket(strchr(address, ':') ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (getsockname(fd, (struct sockaddr *)&name, &len) != 0 || *filler < 0 ||
        connect(*filler, (struct sockaddr *)&name, len) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static bool has_ip6(void)
{
    uint16_t port = 0;
    int fd = listen_on("::1", &port);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static const char *peer_of(int fd)
{
    static char text[INET6_ADDRSTRLEN];
    struct sockaddr_storage name;
    socklen_t len = sizeof(name);
    text[0] = '\0';
    if (getpeername(fd, (struct sockaddr *)&name, &len) != 0)
        return text;
    const void *at = name.ss_family == AF_INET6 ? (void *)&((struct sockaddr_in6 *)&name)->sin6_addr
                                                : (void *)&((struct sockaddr_in *)&name)->sin_addr;
    inet_ntop(name.ss_family, at, text, sizeof(text));
    return text;
}

static int option_of(int fd, int level, int option)
{
    int value = -1;
    socklen_t len = sizeof(value);
    getsockopt(fd, level, option, &value, &len);
    return value;
}

TEST(a_connection_is_ready_to_use)
{
    struct fixture fix;
    struct call call;
    uint16_t port = 0;
    CHECK(set_up(&fix));
    int listener = listen_on("127.0.0.1", &port);
    CHECK(listener >= 0);
    CHECK(dial(&fix, &call, "127.0.0.1", port));
    CHECK_EQ_INT(call.failure, OPF_FAIL_NONE);
    CHECK(call.fd >= 0);
    CHECK_EQ_INT(call.dial.phase, OPF_PHASE_CONNECT);
    CHECK((fcntl(call.fd, F_GETFL) & O_NONBLOCK) != 0);
    CHECK((fcntl(call.fd, F_GETFD) & FD_CLOEXEC) != 0);
    CHECK(option_of(call.fd, IPPROTO_TCP, TCP_NODELAY) > 0);
    CHECK(option_of(call.fd, SOL_SOCKET, SO_TIMESTAMPNS) > 0);
    opf_watch watch;
    opf_watch_init(&watch, NULL);
    CHECK_EQ_INT(opf_loop_watch(fix.loop, &watch, call.fd, 0), 0); /* it is not watched yet */
    opf_loop_unwatch(fix.loop, &watch);

    int peer = accept(listener, NULL, NULL);
    CHECK(peer >= 0);
    CHECK(send(call.fd, "hello", 5, MSG_NOSIGNAL) == 5);
    char got[8];
    CHECK(recv(peer, got, sizeof(got), 0) == 5);
    drive_idle(fix.loop);
    CHECK_EQ_INT(call.done, 1);
    close(peer);
    close(call.fd);
    close(listener);
    CHECK(tear_down(&fix));
}

static void check_reaches(const char *host, const char *address)
{
    struct fixture fix;
    struct call call;
    uint16_t port = 0;
    CHECK(set_up(&fix));
    int listener = listen_on(address, &port);
    CHECK(listener >= 0);
    CHECK_EQ_INT(start(&fix, &call, host, port), 0);
    CHECK_EQ_INT(call.dial.phase, OPF_PHASE_RESOLVE);
    CHECK(await(&fix, &call));
    CHECK(call.fd >= 0);
    CHECK_STR(peer_of(call.fd), address);
    close(call.fd);
    /* and once more with what is known now */
    close(accept(listener, NULL, NULL));
    CHECK_EQ_INT(start(&fix, &call, host, port), 0);
    CHECK_EQ_INT(call.dial.phase, OPF_PHASE_CONNECT);
    CHECK_EQ_INT(call.done, 0);
    CHECK(await(&fix, &call));
    CHECK(call.fd >= 0);
    CHECK_STR(peer_of(call.fd), address);
    close(call.fd);
    close(listener);
    CHECK(tear_down(&fix));
}

TEST(the_family_that_is_refused_does_not_matter)
{
    check_reaches("both.test", "127.0.0.1");
    if (has_ip6())
        check_reaches("both.test", "::1");
    check_reaches("pair.test", "127.0.0.2");
    check_reaches("half.test", "127.0.0.1");
}

TEST(localhost_is_reached_in_either_family)
{
    struct fixture fix;
    struct call call;
    size_t n = 0;
    CHECK(set_up(&fix));
    CHECK(learn(&fix, "localhost"));
    const opf_addr *addrs = opf_resolver_cached(fix.resolver, "localhost", 9, &n);
    CHECK(addrs != NULL);
    opf_addr known[8];
    n = n < 8 ? n : 8;
    memcpy(known, addrs, n * sizeof(known[0]));
    for (size_t i = 0; i < n; i++) {
        char address[INET6_ADDRSTRLEN];
        uint16_t port = 0;
        if (known[i].family == AF_INET6 && !has_ip6())
            continue;
        inet_ntop(known[i].family, &known[i].ip, address, sizeof(address));
        int listener = listen_on(address, &port);
        CHECK(listener >= 0);
        CHECK(dial(&fix, &call, "localhost", port));
        CHECK(call.fd >= 0);
        CHECK_STR(peer_of(call.fd), address);
        close(call.fd);
        close(listener);
    }
    CHECK(tear_down(&fix));
}

TEST(an_address_that_does_not_answer_is_passed_over)
{
    struct fixture fix;
    struct call call;
    uint16_t port = 0;
    int filler = -1;
    size_t n = 0;
    CHECK(set_up(&fix));
    int deaf = listen_deaf("127.0.0.2", &port, &filler);
    CHECK(deaf >= 0);
    int listener = listen_on("127.0.0.1", &port);
    CHECK(listener >= 0);
    CHECK(dial(&fix, &call, "second.test", port));
    CHECK(call.fd >= 0);
    CHECK_STR(peer_of(call.fd), "127.0.0.1");
    const opf_addr *addrs = opf_resolver_cached(fix.resolver, "second.test", 11, &n);
    CHECK(addrs != NULL);
    CHECK_EQ_INT(n, 2);
    CHECK(addrs[0].ip.v4.s_addr == inet_addr("127.0.0.2")); /* which was tried first */
    close(call.fd);
    close(listener);
    close(filler);
    close(deaf);
    CHECK(tear_down(&fix));
}

TEST(the_families_take_turns)
{
    struct fixture fix;
    struct call call;
    uint16_t port = 0;
    int filler = -1;
    size_t n = 0;
    if (!has_ip6())
        return;
    CHECK(set_up(&fix));
    /* the second address in the resolver's order would answer, but it is the other family's turn */
    int deaf = listen_deaf("127.0.0.2", &port, &filler);
    CHECK(deaf >= 0);
    int same = listen_on("127.0.0.3", &port), other = listen_on("127.0.0.1", &port);
    CHECK(same >= 0 && other >= 0);
    CHECK(dial(&fix, &call, "turns.test", port));
    CHECK(call.fd >= 0);
    CHECK_STR(peer_of(call.fd), "::ffff:127.0.0.1");
    const opf_addr *addrs = opf_resolver_cached(fix.resolver, "turns.test", 10, &n);
    CHECK(addrs != NULL);
    CHECK_EQ_INT(n, 3);
    CHECK_EQ_INT(addrs[0].family, AF_INET);
    CHECK_EQ_INT(addrs[1].family, AF_INET);
    close(call.fd);
    close(same);
    close(other);
    close(filler);
    close(deaf);
    CHECK(tear_down(&fix));
}

static void check_fails(const char *host, opf_failure failure, int err)
{
    struct fixture fix;
    struct call call;
    uint16_t port = 0;
    CHECK(set_up(&fix));
    int reserved = reserve_port(&port);
    CHECK(reserved >= 0);
    /* asked for, then with what is known */
    for (int i = 0; i < 2; i++) {
        CHECK(dial(&fix, &call, host, port));
        CHECK_EQ_INT(call.fd, -1);
        CHECK_EQ_INT(call.failure, failure);
        CHECK_EQ_INT(call.err, err);
        CHECK_EQ_INT(call.detail != NULL, failure == OPF_FAIL_RESOLVE);
        drive_idle(fix.loop);
        CHECK_EQ_INT(call.done, 1);
    }
    close(reserved);
    CHECK(tear_down(&fix));
}

TEST(failures_tell_what_tells_most)
{
    check_fails("127.0.0.1", OPF_FAIL_REFUSED, ECONNREFUSED);
    if (has_ip6())
        check_fails("::1", OPF_FAIL_REFUSED, ECONNREFUSED);
    check_fails("both.test", OPF_FAIL_REFUSED, ECONNREFUSED);
    check_fails("pair.test", OPF_FAIL_REFUSED, ECONNREFUSED);
    check_fails("half.test", OPF_FAIL_REFUSED, ECONNREFUSED);
    check_fails("no-network.test", OPF_FAIL_CONNECT, ENETUNREACH);
    check_fails("224.0.0.1", OPF_FAIL_CONNECT, ENETUNREACH);
    check_fails("nowhere.test.", OPF_FAIL_RESOLVE, 0);
    check_fails("::zz", OPF_FAIL_RESOLVE, 0);
    check_fails("silent.test.", OPF_FAIL_RESOLVE, 0);
}

TEST(hosts_that_are_none_are_refused)
{
    struct fixture fix;
    struct call call;
    char long_name[300];
    CHECK(set_up(&fix));
    memset(long_name, 'a', sizeof(long_name) - 1);
    long_name[sizeof(long_name) - 1] = '\0';
    CHECK_EQ_INT(start(&fix, &call, "", 80), OPF_EINVAL);
    CHECK_EQ_INT(start(&fix, &call, long_name, 80), OPF_EINVAL);
    CHECK(!call.dial.state);
    opf_resolver_forked(fix.resolver);
    CHECK_EQ_INT(start(&fix, &call, "127.0.0.1", 80), OPF_EFORKED);
    drive_idle(fix.loop);
    CHECK_EQ_INT(call.done, 0);
    CHECK(tear_down(&fix));
}

/* Leaves room for a number of descriptors beyond those that are open. Returns 0 or -1. */
static int limit_fds(struct rlimit *was, int room)
{
    int fd = dup(0);
    if (fd < 0 || getrlimit(RLIMIT_NOFILE, was) != 0)
        return -1;
    close(fd);
    struct rlimit limit = {.rlim_cur = (rlim_t)(fd + room), .rlim_max = was->rlim_max};
    return setrlimit(RLIMIT_NOFILE, &limit);
}

TEST(a_lack_of_descriptors_is_told_as_such)
{
    struct fixture fix;
    struct rlimit was;
    static const char *hosts[] = {"127.0.0.1", "pair.test", "one.test.", "localhost"};
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        struct call call;
        CHECK(set_up(&fix));
        if (i < 2)
            CHECK(learn(&fix, hosts[i]));
        CHECK_EQ_INT(limit_fds(&was, 0), 0);
        bool ended = dial(&fix, &call, hosts[i], 9);
        setrlimit(RLIMIT_NOFILE, &was);
        CHECK(ended);
        CHECK_EQ_INT(call.fd, -1);
        CHECK_EQ_INT(call.failure, OPF_FAIL_CONNECT);
        CHECK_EQ_INT(call.err, EMFILE);
        CHECK(tear_down(&fix));
    }
}

/* In a network of its own with the given ports to connect from. Returns false if that can't be had
 * here. */
static bool enter_small_network(const char *ports)
{
    struct ifreq request = {.ifr_name = "lo"};
    if (unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0 && unshare(CLONE_NEWNET) != 0)
        return false;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &request) != 0)
        return false;
    request.ifr_flags |= IFF_UP;
    bool up = ioctl(fd, SIOCSIFFLAGS, &request) == 0;
    close(fd);
    fd = open("/proc/sys/net/ipv4/ip_local_port_range", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool written = write(fd, ports, strlen(ports)) == (ssize_t)strlen(ports);
    close(fd);
    return up && written;
}

#define NOT_HERE 99 /* without namespaces there is nothing to see */

/* Dials until no port is left. Returns 0 if that is what the failure says. */
static int run_out_of_ports(void)
{
    struct fixture fix;
    struct call calls[4];
    uint16_t port = 900;
    int i, ret = 1;
    if (!enter_small_network("40000 40001"))
        return NOT_HERE;
    if (!set_up(&fix))
        return 2;
    int listener = listen_on("127.0.0.1", &port);
    if (listener < 0 || listen(listener, 8) != 0)
        return 2;
    for (i = 0; i < 4 && dial(&fix, &calls[i], "127.0.0.1", port) && calls[i].fd >= 0; i++)
        ;
    if (i > 0 && i < 4 && calls[i].failure == OPF_FAIL_CONNECT && calls[i].err == EADDRNOTAVAIL)
        ret = 0;
    /* a port that is refused in one family must not hide that there is none in the other */
    if (ret == 0 && (!dial(&fix, &calls[i], "both.test", port) ||
                     calls[i].failure != OPF_FAIL_CONNECT || calls[i].err != EADDRNOTAVAIL))
        ret = 3;
    while (i-- > 0)
        close(calls[i].fd);
    close(listener);
    return tear_down(&fix) ? ret : 4;
}

/* Dials the only port that there is to dial from, on which nobody listens. Returns 0 if it is
 * refused. */
static int dial_oneself(void)
{
    struct fixture fix = {.loop = NULL};
    static const opf_network_options none;
    int error;
    char text[64];
    struct call call;
    if (!enter_small_network("40000 40000"))
        return NOT_HERE;
    /* without a name server, which would take the port */
    fix.loop = opf_loop_new();
    fix.resolver = fix.loop ? opf_resolver_new(fix.loop, "127.0.0.1:9") : NULL;
    fix.network = opf_network_new(&none, &error, text, sizeof(text));
    if (!fix.resolver || !fix.network)
        return 2;
    const char *hosts[] = {"127.0.0.1", "::1"};
    for (int i = 0; i < 2; i++)
        if (!dial(&fix, &call, hosts[i], 40000) || call.fd != -1 ||
            call.failure != OPF_FAIL_REFUSED)
            return 3;
    opf_network_release(fix.network);
    opf_resolver_free(fix.resolver);
    opf_loop_free(fix.loop);
    return 0;
}

/* Dials a name with an IPv6 address where there is no IPv6. Returns 0 if what IPv4 says is told. */
static int dial_without_ip6(void)
{
    struct fixture fix;
    struct call call;
    if (!enter_small_network("40000 50000"))
        return NOT_HERE;
    int fd = open("/proc/sys/net/ipv6/conf/all/disable_ipv6", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return NOT_HERE;
    if (write(fd, "1", 1) != 1 || close(fd) != 0 || !set_up(&fix))
        return 2;
    for (int i = 0; i < 2; i++)
        if (!dial(&fix, &call, "both.test", 9) || call.failure != OPF_FAIL_REFUSED)
            return 1;
    if (!dial(&fix, &call, "::1", 9) || call.failure != OPF_FAIL_CONNECT || !call.err)
        return 3;
    return tear_down(&fix) ? 0 : 4;
}

/* The exit code of a child that does what is given. */
static int in_child(int (*what)(void))
{
    int status = -1;
    pid_t child = fork();
    if (child == 0)
        _exit(what());
    if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status))
        return -1;
    return WEXITSTATUS(status);
}

TEST(a_lack_of_ports_is_told_as_such)
{
    int ret = in_child(run_out_of_ports);
    if (ret != NOT_HERE)
        CHECK_EQ_INT(ret, 0);
}

TEST(a_missing_family_does_not_hide_what_the_other_says)
{
    int ret = in_child(dial_without_ip6);
    if (ret != NOT_HERE)
        CHECK_EQ_INT(ret, 0);
}

TEST(nobody_is_connected_to_himself)
{
    int ret = in_child(dial_oneself);
    if (ret != NOT_HERE)
        CHECK_EQ_INT(ret, 0);
}

/* Sources and given addresses */

static void check_reaches_by(const opf_network_options *options, const char *host,
                             const char *address)
{
    struct fixture fix;
    struct call call;
    uint16_t port = 0;
    CHECK(set_up_network(&fix, options));
    int listener = listen_on(address, &port);
    CHECK(listener >= 0);
    CHECK(dial(&fix, &call, host, port));
    CHECK(call.fd >= 0);
    CHECK_STR(peer_of(call.fd), address);
    CHECK_EQ_INT(opf_resolver_asked(fix.resolver), 0);
    close(call.fd);
    close(listener);
    CHECK(tear_down(&fix));
}

TEST(given_addresses_are_not_looked_up)
{
    static const opf_resolve resolve[] = {{"both.test", 0, "224.0.0.1"},
                                          {"both.test", 0, "127.0.0.5"},
                                          {"127.0.0.1", 0, "127.0.0.6"}};
    const opf_network_options options = {.resolve = resolve, .n_resolve = 3};
    check_reaches_by(&options, "both.test", "127.0.0.5");
    check_reaches_by(&options, "Both.TEST", "127.0.0.5");
    check_reaches_by(&options, "127.0.0.1", "127.0.0.6");
}

TEST(a_family_without_a_source_is_passed_over)
{
    const char *const sources[] = {"127.0.0.7"};
    const opf_network_options options = {.sources = sources, .n_sources = 1};
    static const opf_resolve six = {"six.test", 0, "::1"};
    struct fixture fix;
    struct call call;
    uint16_t port = 0;
    CHECK(set_up_network(&fix, &options));
    int listener = listen_on("127.0.0.1", &port);
    CHECK(listener >= 0);
    CHECK(dial(&fix, &call, "both.test", port));
    CHECK(call.fd >= 0);
    struct sockaddr_in own;
    socklen_t len = sizeof(own);
    CHECK(getsockname(call.fd, (struct sockaddr *)&own, &len) == 0);
    CHECK(own.sin_addr.s_addr == inet_addr("127.0.0.7"));
    close(call.fd);
    close(listener);
    /* what the server of the other family says goes before that there is none */
    CHECK(dial(&fix, &call, "both.test", port));
    CHECK_EQ_INT(call.failure, OPF_FAIL_REFUSED);
    CHECK(call.detail == NULL);
    CHECK(tear_down(&fix));

    opf_network_options with_six = options;
    with_six.resolve = &six;
    with_six.n_resolve = 1;
    CHECK(set_up_network(&fix, &with_six));
    CHECK(dial(&fix, &call, "six.test", port));
    CHECK_EQ_INT(call.failure, OPF_FAIL_CONNECT);
    CHECK_EQ_INT(call.err, EAFNOSUPPORT);
    CHECK_STR(call.detail, "no source address is of the server's address family");
    CHECK(tear_down(&fix));
}

#define PORTS 20
#define SOURCES 3

/* Dials the server until no port is left; returns how often that went well, at most max. */
static int dial_out(struct fixture *fix, struct call *calls, uint16_t port, int max)
{
    int n = 0;
    while (n < max && dial(fix, &calls[n], "127.0.0.1", port) && calls[n].fd >= 0)
        n++;
    return n < max && calls[n].failure == OPF_FAIL_CONNECT && calls[n].err == EADDRNOTAVAIL ? n : 0;
}

/* Each of some sources has all ports of this machine, for each server anew. */
static int use_all_ports(void)
{
    enum { MAX = SOURCES * PORTS + 1 };
    const char *const sources[SOURCES] = {"127.0.0.2", "127.0.0.3", "127.0.0.4"};
    const opf_network_options options = {.sources = sources, .n_sources = SOURCES};
    struct fixture fix = {.loop = NULL};
    struct call calls[2][MAX];
    int listeners[2], n[2];
    if (!enter_small_network("40000 40019"))
        return NOT_HERE;
    if (!set_up_network(&fix, &options))
        return 2;
    for (int i = 0; i < 2; i++) {
        uint16_t port = (uint16_t)(900 + i);
        listeners[i] = listen_on("127.0.0.1", &port);
        if (listeners[i] < 0 || listen(listeners[i], MAX) != 0)
            return 3;
        n[i] = dial_out(&fix, calls[i], port, MAX);
        if (n[i] <= (SOURCES - 1) * PORTS) /* a port or two are the kernel's secret */
            return 4;
    }
    for (int i = 0; i < 2; i++) {
        while (n[i] > 0)
            close(calls[i][--n[i]].fd);
        close(listeners[i]);
    }
    return tear_down(&fix) ? 0 : 5;
}

TEST(each_source_has_all_ports)
{
    int ret = in_child(use_all_ports);
    if (ret != NOT_HERE)
        CHECK_EQ_INT(ret, 0);
}

/* Unix sockets */

/* Listens on a Unix socket, abstract for a path that begins with '@'; -1 on failure. */
static int listen_unix(const char *path, int backlog)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    size_t len = strlen(path);
    memcpy(name.sun_path, path, len + 1);
    if (*path == '@')
        name.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (bind(fd, (struct sockaddr *)&name,
             (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + (*path != '@'))) == 0 &&
        listen(fd, backlog) == 0)
        return fd;
    close(fd);
    return -1;
}

/* A path that nobody has. */
static const char *unix_path(bool abstract)
{
    static char path[64];
    snprintf(path, sizeof(path), "%s/tmp/opf-test-%d.sock", abstract ? "@" : "", (int)getpid());
    if (!abstract)
        unlink(path);
    return path;
}

TEST(unix_sockets)
{
    for (int abstract = 0; abstract < 2; abstract++) {
        struct fixture fix;
        struct call call;
        const char *path = unix_path(abstract);
        CHECK(set_up_network(&fix, &(opf_network_options){.unix_path = path, .keep_alive_s = 9}));
        int listener = listen_unix(path, 5);
        CHECK(listener >= 0);
        CHECK(dial(&fix, &call, "nowhere.test.", 80));
        CHECK(call.fd >= 0);
        CHECK_EQ_INT(opf_resolver_asked(fix.resolver), 0);
        int fd = accept(listener, NULL, NULL);
        CHECK(fd >= 0 && write(fd, "x", 1) == 1);
        char byte = 0;
        CHECK(read(call.fd, &byte, 1) == 1 && byte == 'x');
        close(fd);
        close(call.fd);
        close(listener);
        /* the path stays and is refused, an abstract name is gone with its socket */
        CHECK(dial(&fix, &call, "nowhere.test.", 80));
        CHECK_EQ_INT(call.failure, OPF_FAIL_REFUSED);
        unlink(path);
        CHECK(dial(&fix, &call, "nowhere.test.", 80));
        CHECK_EQ_INT(call.err, abstract ? ECONNREFUSED : ENOENT);
        CHECK(tear_down(&fix));
    }
}

TEST(a_unix_socket_with_a_full_queue_is_waited_for)
{
    struct fixture fix;
    struct call call, more[4];
    const char *path = unix_path(true);
    CHECK(set_up_network(&fix, &(opf_network_options){.unix_path = path}));
    int listener = listen_unix(path, 0), n = 0;
    CHECK(listener >= 0);
    for (; n < 4; n++) {
        CHECK_EQ_INT(start(&fix, &more[n], "any", 80), 0);
        drive_idle(fix.loop);
        if (!more[n].done)
            break;
    }
    CHECK(n > 0 && n < 4);
    CHECK_EQ_INT(more[n].done, 0);
    CHECK_EQ_INT(start(&fix, &call, "any", 80), 0);
    opf_dial_cancel(&call.dial); /* while it waits */
    close(accept(listener, NULL, NULL));
    CHECK(await(&fix, &more[n]));
    CHECK(more[n].fd >= 0);
    for (int i = 0; i <= n; i++)
        close(more[i].fd);
    close(listener);
    CHECK(tear_down(&fix));
}

TEST(a_cancelled_dial_is_over)
{
    struct fixture fix;
    struct call call;
    uint16_t port = 0;
    int filler = -1;
    memset(&call, 0, sizeof(call));
    opf_dial_cancel(&call.dial); /* not under way */
    CHECK(set_up(&fix));
    int deaf = listen_deaf("127.0.0.2", &port, &filler);
    CHECK(deaf >= 0);
    int fds = drive_count_fds();

    /* while resolving */
    fix.dns.hold = true;
    CHECK_EQ_INT(start(&fix, &call, "both.test", port), 0);
    drive_idle(fix.loop);
    opf_dial_cancel(&call.dial);
    opf_dial_cancel(&call.dial);
    CHECK(!call.dial.state);
    dns_release(&fix.dns);
    drive_idle(fix.loop);
    CHECK_EQ_INT(call.done, 0);

    /* before and after the loop has seen a connecting attempt */
    for (int polls = 0; polls < 3; polls++) {
        CHECK_EQ_INT(start(&fix, &call, "127.0.0.2", port), 0);
        CHECK(drive_count_fds() > fds);
        for (int i = 0; i < polls; i++)
            opf_loop_poll(fix.loop, 1);
        opf_dial_cancel(&call.dial);
        CHECK(!call.dial.state);
        CHECK_EQ_INT(drive_count_fds(), fds);
    }

    /* when it has failed, which is not told yet */
    CHECK_EQ_INT(start(&fix, &call, "224.0.0.1", port), 0);
    opf_dial_cancel(&call.dial);
    drive_idle(fix.loop);
    CHECK_EQ_INT(call.done, 0);

    close(filler);
    close(deaf);
    CHECK(tear_down(&fix));
}

TEST(a_dial_is_cancelled_with_all_its_attempts)
{
    struct fixture fix;
    struct call call;
    uint16_t port = 0;
    int fillers[2] = {-1, -1};
    CHECK(set_up(&fix));
    int first = listen_deaf("127.0.0.2", &port, &fillers[0]);
    int second = listen_deaf("127.0.0.1", &port, &fillers[1]);
    CHECK(first >= 0 && second >= 0);
    CHECK(learn(&fix, "second.test"));
    int fds = drive_count_fds();
    CHECK_EQ_INT(start(&fix, &call, "second.test", port), 0);
    uint64_t end = opf_clock_mono() + DRIVE_NS_MAX;
    while (drive_count_fds() < fds + 2 && opf_clock_mono() < end)
        opf_loop_poll(fix.loop, 50);
    CHECK_EQ_INT(drive_count_fds(), fds + 2);
    CHECK_EQ_INT(call.done, 0);
    opf_dial_cancel(&call.dial);
    CHECK_EQ_INT(drive_count_fds(), fds);
    for (int i = 0; i < 2; i++)
        close(fillers[i]);
    close(first);
    close(second);
    CHECK(tear_down(&fix));
}

TEST(a_dial_may_be_started_again_from_done)
{
    struct fixture fix;
    struct call call;
    uint16_t port = 0;
    CHECK(set_up(&fix));
    int reserved = reserve_port(&port);
    CHECK(reserved >= 0);
    CHECK_EQ_INT(start(&fix, &call, "127.0.0.1", port), 0);
    call.again = &fix;
    call.port = port;
    CHECK(drive_until(fix.loop, &call.done, 2));
    CHECK_EQ_INT(call.failure, OPF_FAIL_REFUSED);
    CHECK(!call.dial.state);
    close(reserved);
    CHECK(tear_down(&fix));
}

#ifdef OPF_FAULTS

/* Dials while the n-th allocation fails. It must connect or be short of memory. */
static bool survives(const char *host, bool known, uint16_t port, long n, bool *fired)
{
    struct fixture fix;
    struct call call;
    bool ok = set_up(&fix) && (!known || learn(&fix, host));
    opf_mem_fail_after(n);
    int ret = ok ? start(&fix, &call, host, port) : 0;
    if (ret == 0)
        ok = ok && await(&fix, &call) &&
             (call.fd >= 0 || call.failure == OPF_FAIL_NOMEM || call.failure == OPF_FAIL_RESOLVE);
    else
        ok = ret == OPF_ENOMEM && !call.dial.state && call.done == 0;
    *fired = drive_fault_fired(n);
    if (call.fd >= 0)
        close(call.fd);
    return tear_down(&fix) && ok;
}

TEST(no_allocation_is_taken_for_granted)
{
    static const struct {
        const char *host;
        bool known;
    } cases[] = {{"127.0.0.1", false}, {"second.test", true}, {"second.test", false}};
    uint16_t port = 0;
    int listener = listen_on("127.0.0.1", &port);
    CHECK(listener >= 0 && listen(listener, 64) == 0);
    for (size_t i = 0; i < 3; i++) {
        bool fired = true;
        long n = 0;
        for (; fired; n++)
            if (!survives(cases[i].host, cases[i].known, port, n, &fired))
                OPF_TEST_FAIL("%s does not survive failure of allocation %ld", cases[i].host, n);
        CHECK(n > 2);
    }
    close(listener);
}

TEST(a_failure_that_cannot_be_told_later_is_told_at_once)
{
    struct fixture fix;
    struct call call;
    int refused = 0;
    for (long n = 0; n < 4; n++) {
        CHECK(set_up(&fix));
        opf_mem_fail_after(n);
        int ret = start(&fix, &call, "224.0.0.1", 9);
        drive_fault_fired(n);
        refused += ret == OPF_ENOMEM;
        CHECK(ret == OPF_ENOMEM || await(&fix, &call));
        CHECK(ret == 0 || !call.dial.state);
        drive_idle(fix.loop);
        CHECK_EQ_INT(call.done, ret == 0);
        CHECK(tear_down(&fix));
    }
    CHECK_EQ_INT(refused, 3); /* the state, the attempts, the timer */
}

#endif

int main(int argc, char **argv)
{
    setenv("RES_OPTIONS", "timeout:1 attempts:1", 1);
    setenv("LOCALDOMAIN", "search.test", 1);
    return opf_test_run(argc, argv);
}
