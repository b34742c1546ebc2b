#include "wire/resolve.h"

#include <ares.h>
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "dns.h"
#include "drive.h"
#include "opf_test.h"

#define ADDRS_MAX 8

static const struct dns_record zone[] = {
    {"both.test", DNS_A, 1000, "127.0.0.1"},
    {"both.test", DNS_AAAA, 1000, "::1"},
    {"four.test", DNS_A, 1000, "127.0.0.4"},
    {"again.test", DNS_A, 1000, "127.0.0.5"},
    {"short-aaaa.test", DNS_A, 1000, "127.0.0.1"},
    {"short-aaaa.test", DNS_AAAA, 1, "::1"},
    {"short-cname.test", DNS_CNAME, 1, "four.test"},
    {"zero.test", DNS_A, 0, "127.0.0.6"},
    {"alias.test", DNS_CNAME, 1000, "four.test"},
    {"empty.test", DNS_RCODE, 0, ""},
    {"broken.test", DNS_RCODE, 2, ""},
    {"refused.test", DNS_RCODE, 5, ""},
    {"silent.test", DNS_SILENT, 0, ""},
    {"long.test", DNS_LONG, 0, ""},
    {"long.test", DNS_A, 1000, "127.0.0.7"},
    {"host.search.test", DNS_A, 1000, "127.0.0.8"},
    {"twice.test", DNS_A, 1000, "127.0.0.9"},
    {"twice.test", DNS_A, 1000, "127.0.0.9"},
    {NULL, DNS_A, 0, NULL},
};

static const struct dns_record any_name[] = {
    {"*", DNS_A, 1000, "127.0.0.1"},
    {NULL, DNS_A, 0, NULL},
};

/* A loop with a resolver that asks a name server in the same loop. */
struct fixture {
    opf_loop *loop;
    struct dns_server dns;
    opf_resolver *resolver;
    int fds;
};

static bool set_up(struct fixture *fix, const struct dns_record *records)
{
    memset(fix, 0, sizeof(*fix));
    fix->fds = drive_count_fds();
    fix->loop = opf_loop_new();
    if (!fix->loop || dns_start(&fix->dns, fix->loop, records) != 0)
        return false;
    fix->resolver = opf_resolver_new(fix->loop, fix->dns.address);
    return fix->resolver != NULL;
}

/* Returns whether all descriptors are closed. */
static bool tear_down(struct fixture *fix)
{
    opf_resolver_free(fix->resolver);
    dns_stop(&fix->dns);
    opf_loop_free(fix->loop);
    return drive_count_fds() == fix->fds;
}

/* A lookup with what it came to. */
struct question {
    opf_lookup lookup;
    struct fixture *fix;
    int done; /* how often */
    int status;
    size_t n;
    opf_addr addrs[ADDRS_MAX];
    const char *why;
    const char *then; /* a name to look up from within done */
    struct question *next;
    struct question *cancel; /* to be cancelled from within done */
};

static void on_done(opf_lookup *lookup, int status, const opf_addr *addrs, size_t n,
                    const char *why)
{
    struct question *question = OPF_CONTAINER(lookup, struct question, lookup);
    question->done++;
    question->status = status;
    question->n = n;
    question->why = why;
    for (size_t i = 0; i < n && i < ADDRS_MAX; i++)
        question->addrs[i] = addrs[i];
    if (question->cancel)
        opf_lookup_cancel(question->fix->resolver, &question->cancel->lookup);
    if (question->next) {
        opf_lookup_init(&question->next->lookup, on_done);
        opf_resolver_lookup(question->fix->resolver, &question->next->lookup, question->then,
                            strlen(question->then));
    }
}

static int ask(struct fixture *fix, struct question *question, const char *host)
{
    memset(question, 0, sizeof(*question));
    question->fix = fix;
    opf_lookup_init(&question->lookup, on_done);
    return opf_resolver_lookup(fix->resolver, &question->lookup, host, strlen(host));
}

static bool await(struct fixture *fix, struct question *question)
{
    return drive_until(fix->loop, &question->done, 1);
}

static bool look_up(struct fixture *fix, struct question *question, const char *host)
{
    return ask(fix, question, host) == 0 && question->done == 0 && await(fix, question);
}

static const opf_addr *cached(struct fixture *fix, const char *host)
{
    size_t n = 0;
    const opf_addr *addrs = opf_resolver_cached(fix->resolver, host, strlen(host), &n);
    return n ? addrs : NULL;
}

/* Waits until the cache has let go of a name. */
static bool await_expiry(struct fixture *fix, const char *host)
{
    uint64_t end = opf_clock_mono() + DRIVE_NS_MAX;
    while (cached(fix, host) && opf_clock_mono() < end)
        opf_loop_poll(fix->loop, 20);
    return !cached(fix, host);
}

static const char *text_of(const opf_addr *addr)
{
    static char text[INET6_ADDRSTRLEN];
    return inet_ntop(addr->family, &addr->ip, text, sizeof(text));
}

TEST(addresses_become_socket_addresses)
{
    struct sockaddr_storage out;
    opf_addr addr = {.family = AF_INET};
    inet_pton(AF_INET, "192.0.2.7", &addr.ip.v4);
    CHECK_EQ_INT(opf_addr_to_sockaddr(&addr, 8080, &out), sizeof(struct sockaddr_in));
    struct sockaddr_in *in = (struct sockaddr_in *)&out;
    CHECK_EQ_INT(in->sin_family, AF_INET);
    CHECK_EQ_INT(ntohs(in->sin_port), 8080);
    CHECK(in->sin_addr.s_addr == addr.ip.v4.s_addr);

    opf_addr addr6 = {.family = AF_INET6, .scope = 3};
    inet_pton(AF_INET6, "fe80::7", &addr6.ip.v6);
    CHECK_EQ_INT(opf_addr_to_sockaddr(&addr6, 443, &out), sizeof(struct sockaddr_in6));
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&out;
    CHECK_EQ_INT(in6->sin6_family, AF_INET6);
    CHECK_EQ_INT(ntohs(in6->sin6_port), 443);
    CHECK_EQ_INT(in6->sin6_scope_id, 3);
    CHECK(memcmp(&in6->sin6_addr, &addr6.ip.v6, 16) == 0);
}

TEST(addresses_are_never_asked_for)
{
    struct fixture fix;
    struct question question;
    char scoped[32];
    CHECK(set_up(&fix, any_name));

    CHECK(look_up(&fix, &question, "127.0.0.1"));
    CHECK_EQ_INT(question.status, 0);
    CHECK_EQ_INT(question.n, 1);
    CHECK_STR(text_of(&question.addrs[0]), "127.0.0.1");
    CHECK(cached(&fix, "127.0.0.1") != NULL);
    CHECK(look_up(&fix, &question, "::1"));
    CHECK_STR(text_of(&question.addrs[0]), "::1");
    CHECK_EQ_INT(question.addrs[0].scope, 0);

    unsigned lo = if_nametoindex("lo");
    const char *forms[] = {"fe80::1%%lo", "fe80::1%%25lo", "fe80::1%%%u", "fe80::1%%25%u"};
    for (size_t i = 0; i < 4; i++) {
        snprintf(scoped, sizeof(scoped), forms[i], lo);
        const opf_addr *addr = cached(&fix, scoped);
        CHECK(addr != NULL);
        CHECK_EQ_INT(addr->scope, lo);
        CHECK_STR(text_of(addr), "fe80::1");
    }

    CHECK_EQ_INT(opf_resolver_asked(fix.resolver), 0);
    CHECK_EQ_INT(fix.dns.questions, 0);
    CHECK(tear_down(&fix));
}

TEST(what_can_be_no_name_is_not_asked_for)
{
    struct fixture fix;
    struct question question;
    CHECK(set_up(&fix, any_name));

    const char *bad[] = {"1::2::3", ":", "::1%", "::1%no-such-if", "a:b", "::g"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CHECK(!cached(&fix, bad[i]));
        CHECK(look_up(&fix, &question, bad[i]));
        CHECK_EQ_INT(question.status, OPF_EINVAL);
        CHECK_EQ_INT(question.n, 0);
        CHECK(question.why != NULL);
    }
    CHECK_STR(question.why, "malformed IPv6 address");
    CHECK(look_up(&fix, &question, "::1%no-such-if"));
    CHECK_STR(question.why, "no such network interface");

    char long_name[257];
    memset(long_name, 'a', 256);
    long_name[256] = '\0';
    CHECK_EQ_INT(ask(&fix, &question, long_name), OPF_EINVAL);
    CHECK_EQ_INT(ask(&fix, &question, ""), OPF_EINVAL);
    CHECK_EQ_INT(opf_resolver_lookup(fix.resolver, &question.lookup, "a\0b", 3), OPF_EINVAL);
    drive_idle(fix.loop);
    CHECK_EQ_INT(question.done, 0);
    CHECK_EQ_INT(fix.dns.questions, 0);
    CHECK(tear_down(&fix));
}

TEST(both_families_are_asked_for_and_kept)
{
    struct fixture fix;
    struct question question;
    CHECK(set_up(&fix, zone));
    CHECK(!cached(&fix, "both.test"));
    CHECK(look_up(&fix, &question, "both.test"));
    CHECK_EQ_INT(question.status, 0);
    CHECK_EQ_INT(question.n, 2);
    CHECK(question.addrs[0].family != question.addrs[1].family);
    CHECK_EQ_INT(fix.dns.questions, 2);

    const opf_addr *addrs = cached(&fix, "BOTH.Test");
    CHECK(addrs != NULL);
    CHECK(memcmp(addrs, question.addrs, 2 * sizeof(*addrs)) == 0);
    CHECK(look_up(&fix, &question, "bOtH.test"));
    CHECK_EQ_INT(question.n, 2);
    CHECK_EQ_INT(opf_resolver_asked(fix.resolver), 1);
    CHECK_EQ_INT(fix.dns.questions, 2);
    CHECK_EQ_INT(question.done, 1);
    CHECK(tear_down(&fix));
}

TEST(host_need_not_end_with_nul)
{
    struct fixture fix;
    struct question question = {.fix = &fix};
    size_t n = 0;
    CHECK(set_up(&fix, zone));
    opf_lookup_init(&question.lookup, on_done);
    CHECK_EQ_INT(opf_resolver_lookup(fix.resolver, &question.lookup, "four.testX", 9), 0);
    CHECK(await(&fix, &question));
    CHECK_EQ_INT(question.status, 0);
    CHECK_STR(text_of(&question.addrs[0]), "127.0.0.4");
    CHECK(opf_resolver_cached(fix.resolver, "127.0.0.1:80", 9, &n) != NULL);
    CHECK_EQ_INT(n, 1);
    CHECK(tear_down(&fix));
}

TEST(lookups_of_a_name_share_the_question)
{
    struct fixture fix;
    struct question questions[3];
    CHECK(set_up(&fix, zone));
    fix.dns.hold = true;
    for (int i = 0; i < 3; i++)
        CHECK_EQ_INT(ask(&fix, &questions[i], i ? "four.test" : "FOUR.test"), 0);
    drive_idle(fix.loop);
    CHECK_EQ_INT(fix.dns.n_held, 2); /* one for each family */
    CHECK_EQ_INT(questions[0].done, 0);
    dns_release(&fix.dns);
    for (int i = 0; i < 3; i++) {
        CHECK(await(&fix, &questions[i]));
        CHECK_STR(text_of(&questions[i].addrs[0]), "127.0.0.4");
    }
    drive_idle(fix.loop);
    for (int i = 0; i < 3; i++)
        CHECK_EQ_INT(questions[i].done, 1);
    CHECK_EQ_INT(opf_resolver_asked(fix.resolver), 3);
    CHECK_EQ_INT(fix.dns.questions, 2);
    CHECK(tear_down(&fix));
}

static void check_expires(const char *host)
{
    struct fixture fix;
    struct question question;
    CHECK(set_up(&fix, zone));
    CHECK(look_up(&fix, &question, host));
    CHECK_EQ_INT(question.status, 0);
    unsigned questions = fix.dns.questions;
    CHECK(await_expiry(&fix, host));
    CHECK(look_up(&fix, &question, host));
    CHECK_EQ_INT(question.status, 0);
    CHECK(fix.dns.questions == 2 * questions);
    CHECK_EQ_INT(opf_resolver_asked(fix.resolver), 2);
    CHECK(tear_down(&fix));
}

TEST(an_answer_lives_as_long_as_its_shortest_record)
{
    check_expires("short-aaaa.test");
    check_expires("short-cname.test");
}

TEST(ttl_zero_serves_only_those_who_wait)
{
    struct fixture fix;
    struct question questions[2], later;
    CHECK(set_up(&fix, zone));
    CHECK_EQ_INT(ask(&fix, &questions[0], "zero.test"), 0);
    CHECK_EQ_INT(ask(&fix, &questions[1], "zero.test"), 0);
    CHECK(await(&fix, &questions[0]) && await(&fix, &questions[1]));
    CHECK_EQ_INT(questions[0].status, 0);
    CHECK_STR(text_of(&questions[1].addrs[0]), "127.0.0.6");
    CHECK_EQ_INT(fix.dns.questions, 2);
    CHECK(!cached(&fix, "zero.test"));
    CHECK(look_up(&fix, &later, "zero.test"));
    CHECK_EQ_INT(fix.dns.questions, 4);
    CHECK(tear_down(&fix));
}

TEST(aliases_are_followed)
{
    struct fixture fix;
    struct question question;
    CHECK(set_up(&fix, zone));
    CHECK(look_up(&fix, &question, "alias.test"));
    CHECK_EQ_INT(question.n, 1);
    CHECK_STR(text_of(&question.addrs[0]), "127.0.0.4");
    CHECK(cached(&fix, "alias.test") != NULL);
    CHECK(tear_down(&fix));
}

TEST(an_address_given_twice_is_taken_once)
{
    struct fixture fix;
    struct question question;
    CHECK(set_up(&fix, zone));
    CHECK(look_up(&fix, &question, "twice.test"));
    CHECK_EQ_INT(question.n, 1);
    CHECK(tear_down(&fix));
}

TEST(search_domains_are_tried)
{
    struct fixture fix;
    struct question question;
    CHECK(set_up(&fix, zone));
    CHECK(look_up(&fix, &question, "host"));
    CHECK_EQ_INT(question.status, 0);
    CHECK_STR(text_of(&question.addrs[0]), "127.0.0.8");
    CHECK(tear_down(&fix));
}

TEST(failures_say_why_and_are_not_kept)
{
    static const struct {
        const char *host;
        int status;
        const char *why; /* NULL: versions of c-ares differ */
    } cases[] = {
        {"nowhere.test.", OPF_EINVAL, "no such name"},
        {"empty.test.", OPF_EINVAL, "the name has no address"},
        {"broken.test.", OPF_ESYS, NULL},
        {"refused.test.", OPF_ESYS, NULL},
        {"silent.test.", OPF_ESYS, "the name servers did not answer in time"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fixture fix;
        struct question questions[2];
        CHECK(set_up(&fix, zone));
        CHECK_EQ_INT(ask(&fix, &questions[0], cases[i].host), 0);
        CHECK_EQ_INT(ask(&fix, &questions[1], cases[i].host), 0);
        for (int k = 0; k < 2; k++) {
            CHECK(await(&fix, &questions[k]));
            CHECK(questions[k].why != NULL);
            if (cases[i].why)
                CHECK_STR(questions[k].why, cases[i].why);
            CHECK_EQ_INT(questions[k].status, cases[i].status);
            CHECK_EQ_INT(questions[k].n, 0);
        }
        CHECK(!cached(&fix, cases[i].host));
        unsigned asked = fix.dns.questions;
        fix.dns.hold = true;
        CHECK_EQ_INT(ask(&fix, &questions[0], cases[i].host), 0);
        drive_idle(fix.loop);
        CHECK(fix.dns.questions > asked);
        CHECK(tear_down(&fix));
    }
}

TEST(a_name_server_that_is_not_there_is_a_failure)
{
    struct fixture fix;
    struct question question;
    CHECK(set_up(&fix, zone));
    dns_stop(&fix.dns);
    CHECK(look_up(&fix, &question, "four.test."));
    CHECK_EQ_INT(question.status, OPF_ESYS);
    CHECK(question.why != NULL);
    CHECK(tear_down(&fix));
}

TEST(long_answers_come_by_tcp)
{
    struct fixture fix;
    struct question question;
    CHECK(set_up(&fix, zone));
    CHECK(look_up(&fix, &question, "long.test"));
    CHECK_EQ_INT(question.status, 0);
    CHECK_STR(text_of(&question.addrs[0]), "127.0.0.7");
    CHECK_EQ_INT(fix.dns.tcp_questions, 2);
    CHECK(tear_down(&fix));
}

TEST(localhost_is_known_without_a_name_server)
{
    struct fixture fix;
    struct question question;
    bool has_loopback = false;
    CHECK(set_up(&fix, zone));
    CHECK(look_up(&fix, &question, "localhost"));
    CHECK_EQ_INT(question.status, 0);
    for (size_t i = 0; i < question.n; i++)
        has_loopback = has_loopback || strcmp(text_of(&question.addrs[i]), "127.0.0.1") == 0;
    CHECK(has_loopback);
    CHECK_EQ_INT(fix.dns.questions, 0);
    CHECK(await_expiry(&fix, "localhost"));
    CHECK(tear_down(&fix));
}

TEST(what_the_hosts_file_says_is_kept_for_a_moment)
{
    struct fixture fix;
    struct question question;
    CHECK(set_up(&fix, zone));
    CHECK_EQ_INT(ask(&fix, &question, "localhost"), 0);
    CHECK(cached(&fix, "localhost") != NULL); /* the file has been read already */
    CHECK(await(&fix, &question));
    CHECK(tear_down(&fix));
}

TEST(a_cancelled_lookup_is_not_answered)
{
    struct fixture fix;
    struct question first, second;
    CHECK(set_up(&fix, zone));
    opf_lookup_init(&first.lookup, on_done);
    opf_lookup_cancel(fix.resolver, &first.lookup); /* not under way */

    /* asked for, with another one waiting */
    fix.dns.hold = true;
    CHECK_EQ_INT(ask(&fix, &first, "four.test"), 0);
    CHECK_EQ_INT(ask(&fix, &second, "four.test"), 0);
    drive_idle(fix.loop);
    opf_lookup_cancel(fix.resolver, &first.lookup);
    opf_lookup_cancel(fix.resolver, &first.lookup);
    dns_release(&fix.dns);
    CHECK(await(&fix, &second));
    CHECK_EQ_INT(first.done, 0);

    /* asked for, with nobody left: the cache gets it all the same */
    fix.dns.hold = true;
    CHECK_EQ_INT(ask(&fix, &first, "again.test"), 0);
    drive_idle(fix.loop);
    opf_lookup_cancel(fix.resolver, &first.lookup);
    dns_release(&fix.dns);
    drive_idle(fix.loop);
    CHECK(cached(&fix, "again.test") != NULL);

    /* answered, but not told yet */
    CHECK_EQ_INT(ask(&fix, &first, "four.test"), 0);
    opf_lookup_cancel(fix.resolver, &first.lookup);
    CHECK_EQ_INT(ask(&fix, &second, "127.0.0.1"), 0);
    opf_lookup_cancel(fix.resolver, &second.lookup);
    drive_idle(fix.loop);
    CHECK_EQ_INT(first.done, 0);
    CHECK_EQ_INT(second.done, 0);
    CHECK(tear_down(&fix));
}

TEST(done_may_cancel_others_and_look_up_again)
{
    static const char *hosts[] = {"four.test", "zero.test", "127.0.0.1"};
    for (size_t i = 0; i < 3; i++) {
        struct fixture fix;
        struct question first, second, third;
        CHECK(set_up(&fix, zone));
        CHECK_EQ_INT(ask(&fix, &first, hosts[i]), 0);
        CHECK_EQ_INT(ask(&fix, &second, hosts[i]), 0);
        memset(&third, 0, sizeof(third));
        first.cancel = &second;
        first.next = &third;
        first.then = hosts[i];
        CHECK(await(&fix, &third));
        CHECK_EQ_INT(third.status, 0);
        drive_idle(fix.loop);
        CHECK_EQ_INT(first.done, 1);
        CHECK_EQ_INT(second.done, 0);
        CHECK_EQ_INT(third.done, 1);
        CHECK(tear_down(&fix));
    }
}

TEST(the_cache_is_bounded)
{
    struct fixture fix;
    struct question question;
    char host[32];
    enum { NAMES = 1100 };
    CHECK(set_up(&fix, any_name));
    for (int i = 0; i < NAMES; i++) {
        snprintf(host, sizeof(host), "n%d.test", i);
        CHECK(look_up(&fix, &question, host));
        CHECK_EQ_INT(question.status, 0);
    }
    int kept = 0;
    for (int i = 0; i < NAMES; i++) {
        snprintf(host, sizeof(host), "n%d.test", i);
        kept += cached(&fix, host) != NULL;
    }
    CHECK_EQ_INT(kept, 1024);
    CHECK(!cached(&fix, "n0.test"));
    CHECK(cached(&fix, host) != NULL);
    CHECK(tear_down(&fix));
}

TEST(freeing_ends_what_is_under_way)
{
    struct fixture fix;
    struct question waiting, ready;
    CHECK(set_up(&fix, zone));
    fix.dns.hold = true;
    CHECK_EQ_INT(ask(&fix, &waiting, "four.test"), 0);
    drive_idle(fix.loop);
    CHECK_EQ_INT(ask(&fix, &ready, "127.0.0.1"), 0);
    opf_resolver_free(fix.resolver);
    fix.resolver = NULL;
    drive_idle(fix.loop);
    CHECK_EQ_INT(waiting.done, 0);
    CHECK_EQ_INT(ready.done, 0);
    CHECK(tear_down(&fix));
}

/* What a forked child does with the resolver of its parent. Returns its exit code. */
static int be_child(struct fixture *fix)
{
    struct question question;
    opf_loop_forked(fix->loop);
    opf_resolver_forked(fix->resolver);
    if (ask(fix, &question, "four.test") != OPF_EFORKED || cached(fix, "four.test"))
        return 1;
    opf_resolver_free(fix->resolver);
    return 0;
}

TEST(a_forked_child_leaves_the_parents_lookups_alone)
{
    struct fixture fix;
    struct question question;
    int status;
    CHECK(set_up(&fix, zone));
    CHECK(look_up(&fix, &question, "four.test"));
    fix.dns.hold = true;
    CHECK_EQ_INT(ask(&fix, &question, "both.test"), 0);
    drive_idle(fix.loop);
    CHECK_EQ_INT(fix.dns.n_held, 2);
    pid_t child = fork();
    if (child == 0)
        _exit(be_child(&fix));
    CHECK(child > 0);
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    CHECK_EQ_INT(WEXITSTATUS(status), 0);
    dns_release(&fix.dns);
    CHECK(await(&fix, &question));
    CHECK_EQ_INT(question.status, 0);
    CHECK(tear_down(&fix));
}

TEST(name_servers_that_are_none_are_refused)
{
    opf_loop *loop = opf_loop_new();
    CHECK(loop != NULL);
    const char *bad[] = {"", "nonsense", "300.1.1.1", "127.0.0.1,nonsense"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        errno = 0;
        CHECK(opf_resolver_new(loop, bad[i]) == NULL);
        CHECK_EQ_INT(errno, EINVAL);
    }
    const char *good[] = {"127.0.0.1", "127.0.0.1:5353,[::1]:53", "::1"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        opf_resolver *resolver = opf_resolver_new(loop, good[i]);
        CHECK(resolver != NULL);
        opf_resolver_free(resolver);
    }
    opf_resolver *resolver = opf_resolver_new(loop, NULL);
    CHECK(resolver != NULL);
    opf_resolver_free(resolver);
    opf_resolver_free(NULL);
    opf_loop_free(loop);
}

#ifdef OPF_FAULTS

/* Whether c-ares' allocations are among those that fail. */
static bool ares_fails;

static void *ares_alloc(size_t size)
{
    return ares_fails ? opf_mem_alloc(size) : malloc(size);
}

static void *ares_realloc(void *p, size_t size)
{
    return ares_fails ? opf_mem_realloc(p, size) : realloc(p, size);
}

/* Looks a name up twice while the n-th allocation fails. Each must be refused for want of memory,
 * or answered; and, if strict, not by saying that there is no such address. */
static bool survives(const char *host, long n, bool strict, bool *fired)
{
    struct fixture fix;
    struct question questions[2];
    bool ok = true;
    if (!set_up(&fix, zone))
        return false;
    opf_mem_fail_after(n);
    for (int i = 0; i < 2 && ok; i++) {
        int ret = ask(&fix, &questions[i], host);
        if (ret == 0)
            ok = await(&fix, &questions[i]) && (!strict || questions[i].status != OPF_EINVAL);
        else
            ok = ret == OPF_ENOMEM;
    }
    *fired = drive_fault_fired(n);
    drive_idle(fix.loop);
    return tear_down(&fix) && ok;
}

static void check_survives(const char *host, bool strict)
{
    bool fired = true;
    long n = 0;
    for (; fired; n++)
        if (!survives(host, n, strict, &fired))
            OPF_TEST_FAIL("%s does not survive failure of allocation %ld", host, n);
    CHECK(n > 2);
}

TEST(no_allocation_is_taken_for_granted)
{
    check_survives("127.0.0.1", true);
    check_survives("both.test", true);
    check_survives("localhost", true);
    check_survives("long.test", false); /* c-ares takes one family's answer for both */
    ares_fails = true;
    check_survives("both.test", false);
    check_survives("localhost", false);
    ares_fails = false;
}

TEST(a_resolver_that_cannot_be_made_leaves_nothing)
{
    int fds = drive_count_fds();
    opf_loop *loop = opf_loop_new();
    opf_resolver *resolver = NULL;
    CHECK(loop != NULL);
    ares_fails = true;
    for (long n = 0; !resolver; n++) {
        opf_mem_fail_after(n);
        errno = 0;
        resolver = opf_resolver_new(loop, "127.0.0.1:53,[::1]:53");
        bool fired = drive_fault_fired(n);
        CHECK(resolver || fired);
        CHECK(resolver || errno == ENOMEM);
    }
    ares_fails = false;
    opf_resolver_free(resolver);
    opf_loop_free(loop);
    CHECK_EQ_INT(drive_count_fds(), fds);
}

#endif

int main(int argc, char **argv)
{
    /* few and short attempts at servers that don't answer, and a domain of ours to search */
    setenv("RES_OPTIONS", "timeout:1 attempts:1", 1);
    setenv("LOCALDOMAIN", "search.test", 1);
#ifdef OPF_FAULTS
    ares_library_init_mem(ARES_LIB_INIT_ALL, ares_alloc, free, ares_realloc);
#endif
    return opf_test_run(argc, argv);
}
