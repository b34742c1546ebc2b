/* Sockets as the options want them, and options that can't be. */
#include "wire/network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include "base/mem.h"
#include "client/engine.h"
#include "drive.h"
#include "opf_test.h"

static opf_network *network_of(opf_network_options options)
{
    int error;
    char text[256];
    return opf_network_new(&options, &error, text, sizeof(text));
}

static int option(int fd, int level, int name)
{
    int value = -1;
    socklen_t len = sizeof(value);
    return getsockopt(fd, level, name, &value, &len) == 0 ? value : -1;
}

/* The address that a socket is bound to. */
static const char *address_of(int fd)
{
    static char text[INET6_ADDRSTRLEN];
    struct sockaddr_storage name;
    socklen_t len = sizeof(name);
    text[0] = '\0';
    if (getsockname(fd, (struct sockaddr *)&name, &len) == 0)
        inet_ntop(name.ss_family,
                  name.ss_family == AF_INET6 ? (void *)&((struct sockaddr_in6 *)&name)->sin6_addr
                                             : (void *)&((struct sockaddr_in *)&name)->sin_addr,
                  text, sizeof(text));
    return text;
}

static uint16_t port_of(int fd)
{
    struct sockaddr_in name = {0};
    socklen_t len = sizeof(name);
    return getsockname(fd, (struct sockaddr *)&name, &len) == 0 ? ntohs(name.sin_port) : 1;
}

TEST(options_of_a_socket)
{
    static const struct {
        opf_network_options options;
        int no_delay, keep_alive, seconds;
    } cases[] = {
        {{.delay = false}, 1, 0, -1},
        {{.delay = true}, 0, 0, -1},
        {{.keep_alive_s = 17}, 1, 1, 17},
        {{.delay = true, .keep_alive_s = 32767}, 0, 1, 32767},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *why;
        opf_network *network = network_of(cases[i].options);
        CHECK(network);
        int fd = opf_network_socket(network, AF_INET, &why);
        CHECK(fd >= 0);
        CHECK_EQ_INT(option(fd, IPPROTO_TCP, TCP_NODELAY) != 0, cases[i].no_delay);
        CHECK_EQ_INT(option(fd, SOL_SOCKET, SO_KEEPALIVE), cases[i].keep_alive);
        if (cases[i].keep_alive) {
            CHECK_EQ_INT(option(fd, IPPROTO_TCP, TCP_KEEPIDLE), cases[i].seconds);
            CHECK_EQ_INT(option(fd, IPPROTO_TCP, TCP_KEEPINTVL), cases[i].seconds);
        }
        CHECK_EQ_INT(option(fd, SOL_SOCKET, SO_TIMESTAMPNS), 1);
        CHECK_EQ_INT(option(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT), 0);
        CHECK_STR(address_of(fd), "0.0.0.0");
        close(fd);
        opf_network_release(network);
    }
}

TEST(sources_take_turns)
{
    const char *const sources[] = {"127.0.0.2", "::1", "127.0.0.3"};
    const char *why;
    opf_network *network = network_of((opf_network_options){.sources = sources, .n_sources = 3});
    CHECK(network);
    for (int i = 0; i < 10; i++) {
        int fd = opf_network_socket(network, AF_INET, &why);
        CHECK(fd >= 0);
        CHECK_STR(address_of(fd), i % 2 ? "127.0.0.3" : "127.0.0.2");
        /* a port is only chosen when it is known for which server it has to be free */
        CHECK_EQ_INT(port_of(fd), 0);
        CHECK_EQ_INT(option(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT), 1);
        close(fd);
        fd = opf_network_socket(network, AF_INET6, &why);
        if (fd >= 0) {
            CHECK_STR(address_of(fd), "::1");
            CHECK_EQ_INT(port_of(fd), 0);
            close(fd);
        }
    }
    opf_network_release(network);
}

TEST(no_source_of_the_family)
{
    const char *const sources[] = {"127.0.0.2"};
    const char *why;
    opf_network *network = network_of((opf_network_options){.sources = sources, .n_sources = 1});
    CHECK(network);
    CHECK_EQ_INT(opf_network_socket(network, AF_INET6, &why), -1);
    CHECK_EQ_INT(errno, EAFNOSUPPORT);
    CHECK_STR(why, "no source address is of the server's address family");
    opf_network_release(network);
}

static void check_refused(opf_network_options options, const char *expected)
{
    int error = 0;
    char text[256] = "";
    CHECK(!opf_network_new(&options, &error, text, sizeof(text)));
    CHECK_EQ_INT(error, OPF_EINVAL);
    CHECK_STR(text, expected);
}

TEST(options_that_cannot_be)
{
    const char *const names[] = {"127.0.0.1", "localhost"};
    const char *const broken[] = {"::1::"};
    char path[120];
    memset(path, 'x', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    check_refused((opf_network_options){.sources = names, .n_sources = 2},
                  "source address localhost can't be used: not an IP address");
    check_refused((opf_network_options){.sources = broken, .n_sources = 1},
                  "source address ::1:: can't be used: malformed IPv6 address");
    check_refused(
        (opf_network_options){.resolve = &(opf_resolve){"a.test", 80, "b.test"}, .n_resolve = 1},
        "address b.test of host a.test can't be used: not an IP address");
    check_refused((opf_network_options){.unix_path = ""}, "the Unix socket has no path");
    check_refused((opf_network_options){.unix_path = "@"}, "the Unix socket has no path");
    check_refused((opf_network_options){.keep_alive_s = 32768},
                  "TCP keep-alive of 32768 s is over 32767 s");
    char text[256];
    snprintf(text, sizeof(text), "path of the Unix socket is longer than 107 bytes: %s", path);
    check_refused((opf_network_options){.unix_path = path}, text);
}

TEST(a_source_that_is_not_ours)
{
    const char *const sources[] = {"127.0.0.1", "192.0.2.1"}; /* TEST-NET-1, RFC 5737 */
    char text[256] = "";
    const char *why;
    opf_network *network = network_of((opf_network_options){.sources = sources, .n_sources = 2});
    CHECK(network);
    CHECK(!opf_network_check(network, text, sizeof(text)));
    CHECK_STR(text, "source address 192.0.2.1 can't be used: it is not an address of this machine");
    int fd = opf_network_socket(network, AF_INET, &why);
    CHECK(fd >= 0);
    close(fd);
    CHECK_EQ_INT(opf_network_socket(network, AF_INET, &why), -1);
    CHECK_STR(why, "a source address is not one of this machine's any more");
    opf_network_release(network);
}

TEST(given_addresses)
{
    static const opf_resolve resolve[] = {
        {"a.test", 0, "127.0.0.1"},  {"b.test", 81, "127.0.0.2"}, {"a.test", 80, "127.0.0.3"},
        {"A.Test", 0, "fe80::1%lo"}, {"::1", 0, "127.0.0.4"},
    };
    size_t n = 9;
    opf_network *network = network_of((opf_network_options){.resolve = resolve, .n_resolve = 5});
    CHECK(network);
    const opf_addr *addrs = opf_network_given(network, "A.TEST", 6, 443, &n);
    CHECK(addrs && n == 2);
    CHECK(addrs[0].ip.v4.s_addr == inet_addr("127.0.0.1"));
    CHECK(addrs[1].family == AF_INET6 && addrs[1].scope);
    addrs = opf_network_given(network, "a.test", 6, 80, &n); /* the port tells more */
    CHECK(addrs && n == 1 && addrs->ip.v4.s_addr == inet_addr("127.0.0.3"));
    addrs = opf_network_given(network, "b.test", 6, 81, &n);
    CHECK(addrs && n == 1 && addrs->ip.v4.s_addr == inet_addr("127.0.0.2"));
    addrs = opf_network_given(network, "::1", 3, 81, &n);
    CHECK(addrs && n == 1 && addrs->ip.v4.s_addr == inet_addr("127.0.0.4"));
    CHECK(!opf_network_given(network, "b.test", 6, 80, &n) && n == 0);
    CHECK(!opf_network_given(network, "a.tes", 5, 80, &n));
    CHECK(!opf_network_given(network, "a.test.", 7, 80, &n));
    opf_network_release(network);
}

TEST(equal_options_are_one_network)
{
    const char *const some[] = {"127.0.0.1", "127.0.0.2"}, *const others[] = {"127.0.0.2"};
    static const opf_resolve a[] = {{"a.test", 80, "127.0.0.1"}},
                             b[] = {{"a.test", 0, "127.0.0.1"}},
                             c[] = {{"b.test", 80, "127.0.0.1"}}, d[] = {{"a.test", 80, "::1"}};
    const opf_network_options kinds[] = {
        {.delay = false},
        {.delay = true},
        {.keep_alive_s = 1},
        {.sources = some, .n_sources = 2},
        {.sources = others, .n_sources = 1},
        {.unix_path = "/a"},
        {.unix_path = "@a"},
        {.resolve = a, .n_resolve = 1},
        {.resolve = b, .n_resolve = 1},
        {.resolve = c, .n_resolve = 1},
        {.resolve = d, .n_resolve = 1},
    };
    enum { N = sizeof(kinds) / sizeof(kinds[0]) };
    opf_network *made[N];
    int error;
    char text[256];
    opf_engine *engine = opf_engine_new(NULL);
    CHECK(engine);
    for (size_t i = 0; i < N; i++) {
        made[i] = opf_engine_network(engine, &kinds[i], &error, text, sizeof(text));
        CHECK(made[i]);
        for (size_t j = 0; j < i; j++)
            CHECK(made[j] != made[i]);
    }
    for (size_t i = 0; i < N; i++) {
        opf_network *again = opf_engine_network(engine, &kinds[i], &error, text, sizeof(text));
        CHECK(again == made[i]);
        opf_network_release(again);
        opf_network_release(made[i]);
    }
    /* the engine keeps a bounded number, and whoever holds one keeps it too */
    opf_network *kept = opf_engine_network(engine, &kinds[3], &error, text, sizeof(text));
    for (uint32_t i = 10; i < 50; i++) {
        opf_network_options options = {.keep_alive_s = i};
        opf_network *network = opf_engine_network(engine, &options, &error, text, sizeof(text));
        CHECK(network);
        opf_network_release(network);
    }
    const char *why;
    int fd = opf_network_socket(kept, AF_INET, &why);
    CHECK(fd >= 0);
    close(fd);
    opf_network_release(kept);
    opf_engine_free(engine);
}

#ifdef OPF_FAULTS

TEST(each_allocation_fails_once)
{
    const char *const sources[] = {"127.0.0.1"};
    static const opf_resolve resolve[] = {{"a.test", 80, "127.0.0.1"}, {"b.test", 0, "::1"}};
    bool fired = true;
    long n = 0;
    for (; fired && n < 50; n++) {
        int error = 0;
        char text[64];
        opf_network_options options = {.sources = sources,
                                       .n_sources = 1,
                                       .resolve = resolve,
                                       .n_resolve = 2,
                                       .unix_path = "@x"};
        opf_mem_fail_after(n);
        opf_network *network = opf_network_new(&options, &error, text, sizeof(text));
        fired = drive_fault_fired(n);
        CHECK(fired ? !network && error == OPF_ENOMEM : network != NULL);
        opf_network_release(network);
    }
    CHECK_EQ_INT(n, 7);
}

#endif

OPF_TEST_MAIN
