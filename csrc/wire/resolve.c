#include "wire/resolve.h"

#include <ares.h>
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <resolv.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/time.h>

#include "base/clock.h"
#include "base/mem.h"

#define HOST_MAX 255                                          /* of a name of DNS, RFC 1035 */
#define BUCKETS 256                                           /* a power of two */
#define NAMES_MAX 1024                                        /* answers kept */
#define ADDRS_MAX 64                                          /* kept of an answer */
#define LOCAL_TTL_S 1                                         /* of what the hosts file says */
#define ADDRESS_TEXT_MAX (INET6_ADDRSTRLEN + IF_NAMESIZE + 3) /* with "%25" */

/* What a name came to. Held by the cache while it may be used, and by the ready list while somebody
 * waits for it. */
struct answer {
    opf_node ready;
    opf_list waiters; /* of opf_lookup */
    uint32_t refs;
    int status;
    const char *why;
    uint64_t expires; /* monotonic ns */
    size_t n;
    opf_addr addrs[];
};

/* A name that is known or being asked for; of neither there is none. */
struct name {
    opf_node bucket;
    opf_node age; /* in the order of the answers, while there is one */
    opf_resolver *resolver;
    struct answer *answer;  /* the cache's, or NULL */
    struct answer *reserve; /* for the case that asking fails; NULL: nobody is asking */
    opf_list waiters;       /* of opf_lookup, for what is being asked */
    uint32_t hash;
    uint32_t len;
    char text[]; /* in lower case, NUL-terminated */
};

/* A socket of c-ares'. */
struct channel_socket {
    opf_node node;
    opf_watch watch;
    opf_resolver *resolver;
};

struct opf_resolver {
    opf_loop *loop;
    ares_channel channel;
    opf_timer
        timer; /* set while anybody waits: for c-ares' time-outs, or to deliver what is ready */
    opf_list sockets;
    opf_list ready; /* answers to deliver */
    opf_list ages;  /* names with answers, the oldest first */
    uint32_t n_answers;
    struct name *starting; /* being given to c-ares right now */
    uint64_t asked;
    bool forked;
    bool ending;
    opf_addr literal; /* what opf_resolver_cached returned last for an address */
    opf_list buckets[BUCKETS];
};

socklen_t opf_addr_to_sockaddr(const opf_addr *addr, uint16_t port, struct sockaddr_storage *out)
{
    memset(out, 0, sizeof(*out));
    if (addr->family == AF_INET) {
        struct sockaddr_in *in = (struct sockaddr_in *)out;
        in->sin_family = AF_INET;
        in->sin_port = htons(port);
        in->sin_addr = addr->ip.v4;
        return sizeof(*in);
    }
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(port);
    in6->sin6_addr = addr->ip.v6;
    in6->sin6_scope_id = addr->scope;
    return sizeof(*in6);
}

/* Addresses given as a host */

enum { IS_NAME, IS_ADDRESS, IS_NO_ADDRESS };

/* The index of an interface by its name or number, or 0. */
static uint32_t scope_index(const char *scope)
{
    /* in a URL the '%' stands encoded */
    if (strncmp(scope, "25", 2) == 0 && scope[2])
        scope += 2;
    uint32_t index = if_nametoindex(scope);
    if (index)
        return index;
    char *end;
    unsigned long number = strtoul(scope, &end, 10);
    return *scope >= '0' && *scope <= '9' && !*end && number <= UINT32_MAX ? (uint32_t)number : 0;
}

/* Returns IS_NO_ADDRESS with *why for what can be no name and yet is no address. */
static int parse_address(const char *host, size_t len, opf_addr *addr, const char **why)
{
    char text[ADDRESS_TEXT_MAX];
    bool has_colon = memchr(host, ':', len) != NULL;
    *why = "malformed IPv6 address";
    if (len >= sizeof(text))
        return has_colon ? IS_NO_ADDRESS : IS_NAME;
    memcpy(text, host, len);
    text[len] = '\0';
    memset(addr, 0, sizeof(*addr));
    if (!has_colon) {
        addr->family = AF_INET;
        return inet_pton(AF_INET, text, &addr->ip.v4) == 1 ? IS_ADDRESS : IS_NAME;
    }
    addr->family = AF_INET6;
    char *percent = strchr(text, '%');
    if (percent)
        *percent = '\0';
    if (inet_pton(AF_INET6, text, &addr->ip.v6) != 1)
        return IS_NO_ADDRESS;
    if (!percent)
        return IS_ADDRESS;
    addr->scope = scope_index(percent + 1);
    *why = "no such network interface";
    return addr->scope ? IS_ADDRESS : IS_NO_ADDRESS;
}

bool opf_addr_parse(const char *text, opf_addr *addr, const char **why)
{
    int kind = parse_address(text, strlen(text), addr, why);
    if (kind == IS_NAME)
        *why = "not an IP address";
    return kind == IS_ADDRESS;
}

/* Answers */

static struct answer *answer_new(size_t n)
{
    struct answer *answer = opf_mem_zalloc(sizeof(*answer) + n * sizeof(answer->addrs[0]));
    if (!answer)
        return NULL;
    opf_list_init(&answer->ready);
    opf_list_init(&answer->waiters);
    answer->refs = 1;
    return answer;
}

static void answer_unref(struct answer *answer)
{
    if (--answer->refs == 0)
        opf_mem_free(answer);
}

/* Moves all of a list to another one, which need not be set up. */
static void list_move(opf_list *to, opf_list *from)
{
    opf_list_init(to);
    if (opf_list_empty(from))
        return;
    *to = *from;
    to->next->prev = to;
    to->prev->next = to;
    opf_list_init(from);
}

/* Has the answer delivered. The list takes over the caller's reference. */
static void make_ready(opf_resolver *resolver, struct answer *answer)
{
    opf_list_push_back(&resolver->ready, &answer->ready);
}

static void deliver_one(struct answer *answer)
{
    opf_list waiters;
    opf_node *node;
    /* who looks the name up again from within waits for the next round */
    list_move(&waiters, &answer->waiters);
    while ((node = opf_list_pop_front(&waiters))) {
        opf_lookup *lookup = OPF_CONTAINER(node, opf_lookup, node);
        lookup->done(lookup, answer->status, answer->n ? answer->addrs : NULL, answer->n,
                     answer->why);
    }
}

static void deliver(opf_resolver *resolver)
{
    opf_list ready;
    opf_node *node;
    list_move(&ready, &resolver->ready);
    while ((node = opf_list_pop_front(&ready))) {
        struct answer *answer = OPF_CONTAINER(node, struct answer, ready);
        deliver_one(answer);
        answer_unref(answer);
    }
}

/* Names */

static uint32_t hash_of(const char *text, size_t len)
{
    uint32_t hash = 2166136261U; /* FNV-1a */
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (uint8_t)text[i]) * 16777619U;
    return hash;
}

static void to_lower(char *to, const char *from, size_t len)
{
    for (size_t i = 0; i < len; i++)
        to[i] = (char)(from[i] >= 'A' && from[i] <= 'Z' ? from[i] | 0x20 : from[i]);
}

static struct name *name_find(opf_resolver *resolver, const char *lower, size_t len)
{
    uint32_t hash = hash_of(lower, len);
    opf_list *bucket = &resolver->buckets[hash % BUCKETS];
    for (opf_node *node = bucket->next; node != bucket; node = node->next) {
        struct name *name = OPF_CONTAINER(node, struct name, bucket);
        if (name->hash == hash && name->len == len && memcmp(name->text, lower, len) == 0)
            return name;
    }
    return NULL;
}

static struct name *name_new(opf_resolver *resolver, const char *lower, size_t len)
{
    struct name *name = opf_mem_alloc(sizeof(*name) + len + 1);
    if (!name)
        return NULL;
    name->resolver = resolver;
    name->answer = NULL;
    name->reserve = NULL;
    opf_list_init(&name->age);
    opf_list_init(&name->waiters);
    name->hash = hash_of(lower, len);
    name->len = (uint32_t)len;
    memcpy(name->text, lower, len);
    name->text[len] = '\0';
    opf_list_push_back(&resolver->buckets[name->hash % BUCKETS], &name->bucket);
    return name;
}

static void name_drop_answer(struct name *name)
{
    if (!name->answer)
        return;
    answer_unref(name->answer);
    name->answer = NULL;
    opf_list_remove(&name->age);
    name->resolver->n_answers--;
}

/* Frees a name that is neither known nor being asked for. */
static void name_release(struct name *name)
{
    if (name->answer || name->reserve)
        return;
    opf_list_remove(&name->bucket);
    opf_mem_free(name);
}

/* Makes room for one more answer: at the cost of the expired ones, else of the oldest. */
static void evict(opf_resolver *resolver)
{
    if (resolver->n_answers < NAMES_MAX)
        return;
    uint64_t now = opf_clock_mono();
    opf_list *ages = &resolver->ages;
    for (opf_node *node = ages->next, *next; node != ages; node = next) {
        struct name *name = OPF_CONTAINER(node, struct name, age);
        next = node->next;
        if (name->answer->expires > now)
            continue;
        name_drop_answer(name);
        name_release(name);
    }
    if (resolver->n_answers < NAMES_MAX)
        return;
    struct name *oldest = OPF_CONTAINER(ages->next, struct name, age);
    name_drop_answer(oldest);
    name_release(oldest);
}

static void name_keep(struct name *name, struct answer *answer)
{
    opf_resolver *resolver = name->resolver;
    evict(resolver);
    answer->refs++;
    name->answer = answer;
    opf_list_push_back(&resolver->ages, &name->age);
    resolver->n_answers++;
}

/* The name's answer if it may still be used. */
static struct answer *name_fresh(struct name *name)
{
    if (name->answer && name->answer->expires <= opf_clock_mono())
        name_drop_answer(name);
    return name->answer;
}

/* What c-ares answers */

static int status_of(int ares_status, const char **why)
{
    switch (ares_status) {
    case ARES_ENOTFOUND:
        *why = "no such name";
        return OPF_EINVAL;
    case ARES_ENODATA:
        *why = "the name has no address";
        return OPF_EINVAL;
    case ARES_EBADNAME:
        *why = "not the name of a host";
        return OPF_EINVAL;
    case ARES_ETIMEOUT:
        *why = "the name servers did not answer in time";
        return OPF_ESYS;
    case ARES_ENOMEM:
        *why = "out of memory";
        return OPF_ENOMEM;
    case ARES_ECONNREFUSED:
        *why = "the name servers gave no answer"; /* not reached, or none of them able or willing */
        return OPF_ESYS;
    case ARES_ESERVFAIL:
        *why = "the name server failed";
        return OPF_ESYS;
    case ARES_EREFUSED:
        *why = "the name server refused to answer";
        return OPF_ESYS;
    case ARES_EBADRESP:
        *why = "the name server's answer is malformed";
        return OPF_ESYS;
    default:
        *why = ares_strerror(ares_status);
        return OPF_ESYS;
    }
}

static bool addr_from_node(const struct ares_addrinfo_node *node, opf_addr *addr)
{
    memset(addr, 0, sizeof(*addr));
    addr->family = node->ai_family;
    if (node->ai_family == AF_INET && node->ai_addrlen >= sizeof(struct sockaddr_in)) {
        struct sockaddr_in in;
        memcpy(&in, node->ai_addr, sizeof(in));
        addr->ip.v4 = in.sin_addr;
        return true;
    }
    if (node->ai_family == AF_INET6 && node->ai_addrlen >= sizeof(struct sockaddr_in6)) {
        struct sockaddr_in6 in6;
        memcpy(&in6, node->ai_addr, sizeof(in6));
        addr->ip.v6 = in6.sin6_addr;
        addr->scope = in6.sin6_scope_id;
        return true;
    }
    return false;
}

static bool has_addr(const struct answer *answer, const opf_addr *addr)
{
    for (size_t i = 0; i < answer->n; i++)
        if (memcmp(&answer->addrs[i], addr, sizeof(*addr)) == 0)
            return true;
    return false;
}

/* The shortest time to live among an answer's records, seconds. */
static uint64_t shortest_ttl(const struct ares_addrinfo *info)
{
    int ttl = INT32_MAX;
    for (const struct ares_addrinfo_node *node = info->nodes; node; node = node->ai_next)
        ttl = node->ai_ttl < ttl ? node->ai_ttl : ttl;
    for (const struct ares_addrinfo_cname *cname = info->cnames; cname; cname = cname->next)
        ttl = cname->ttl < ttl ? cname->ttl : ttl;
    return ttl > 0 ? (uint64_t)ttl : 0;
}

/* An answer with the addresses that c-ares found; NULL: no memory. */
static struct answer *answer_from(const struct ares_addrinfo *info)
{
    size_t n = 0;
    for (const struct ares_addrinfo_node *node = info->nodes; node && n < ADDRS_MAX;
         node = node->ai_next)
        n++;
    struct answer *answer = answer_new(n);
    if (!answer)
        return NULL;
    for (const struct ares_addrinfo_node *node = info->nodes; node && answer->n < n;
         node = node->ai_next) {
        opf_addr addr;
        /* a hosts file may say the same thing twice */
        if (addr_from_node(node, &addr) && !has_addr(answer, &addr))
            answer->addrs[answer->n++] = addr;
    }
    return answer;
}

/* Turns what c-ares says into an answer to deliver, and keeps it if it may be kept. */
static struct answer *settle(struct name *name, int ares_status, const struct ares_addrinfo *info)
{
    struct answer *failed = name->reserve, *found = NULL;
    name->reserve = NULL;
    if (ares_status == ARES_SUCCESS && info) {
        found = answer_from(info);
        ares_status = found ? ARES_ENODATA : ARES_ENOMEM; /* if there is nothing in it */
    }
    if (!found || !found->n) {
        opf_mem_free(found);
        failed->status = status_of(ares_status, &failed->why);
        return failed;
    }
    opf_mem_free(failed);
    uint64_t ttl = shortest_ttl(info);
    /* what is answered at once comes from the hosts file, which knows no TTL */
    if (!ttl && name->resolver->starting == name)
        ttl = LOCAL_TTL_S;
    found->expires = opf_clock_mono() + ttl * OPF_NS_PER_S;
    if (ttl)
        name_keep(name, found);
    return found;
}

static void on_answer(void *arg, int ares_status, int timeouts, struct ares_addrinfo *info)
{
    struct name *name = arg;
    opf_resolver *resolver = name->resolver;
    (void)timeouts;
    if (!resolver->ending) {
        struct answer *answer = settle(name, ares_status, info);
        list_move(&answer->waiters, &name->waiters);
        make_ready(resolver, answer);
        name_release(name);
    }
    if (info)
        ares_freeaddrinfo(info);
}

/* c-ares in the loop */

/* Sets the timer to what is next. It is set while anybody waits, so that moving it can't fail. */
static void set_timer(opf_resolver *resolver)
{
    struct timeval left;
    if (!opf_list_empty(&resolver->ready))
        opf_loop_timer_set(resolver->loop, &resolver->timer, 0);
    else if (ares_timeout(resolver->channel, NULL, &left))
        opf_loop_timer_set(resolver->loop, &resolver->timer,
                           opf_clock_mono() + (uint64_t)left.tv_sec * OPF_NS_PER_S +
                               (uint64_t)left.tv_usec * 1000);
    else
        opf_loop_timer_clear(resolver->loop, &resolver->timer);
}

static void process(opf_resolver *resolver, ares_socket_t readable, ares_socket_t writable)
{
    ares_process_fd(resolver->channel, readable, writable);
    deliver(resolver);
    set_timer(resolver);
}

static void on_timer(opf_timer *timer)
{
    opf_resolver *resolver = OPF_CONTAINER(timer, opf_resolver, timer);
    /* its place in the loop is still free: kept now, it can't be missing later */
    opf_loop_timer_set(resolver->loop, timer, UINT64_MAX);
    process(resolver, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}

static void on_socket(opf_watch *watch, uint32_t events)
{
    struct channel_socket *socket = OPF_CONTAINER(watch, struct channel_socket, watch);
    int fd = watch->fd;
    /* an error is fetched by reading */
    process(socket->resolver, events & ~(uint32_t)EPOLLOUT ? fd : ARES_SOCKET_BAD,
            events & EPOLLOUT ? fd : ARES_SOCKET_BAD);
}

static struct channel_socket *socket_find(opf_resolver *resolver, int fd)
{
    for (opf_node *node = resolver->sockets.next; node != &resolver->sockets; node = node->next) {
        struct channel_socket *socket = OPF_CONTAINER(node, struct channel_socket, node);
        if (socket->watch.fd == fd)
            return socket;
    }
    return NULL;
}

static void socket_free(struct channel_socket *socket)
{
    opf_loop_unwatch(socket->resolver->loop, &socket->watch);
    opf_list_remove(&socket->node);
    opf_mem_free(socket);
}

/* Called by c-ares for a new socket, before it is used: the place to say that it can't be. */
static int on_socket_created(ares_socket_t fd, int type, void *arg)
{
    opf_resolver *resolver = arg;
    (void)type;
    struct channel_socket *socket = socket_find(resolver, fd);
    if (socket)
        socket_free(socket); /* of a descriptor that was closed without a word */
    socket = opf_mem_alloc(sizeof(*socket));
    if (!socket)
        return -1;
    opf_list_init(&socket->node);
    opf_watch_init(&socket->watch, on_socket);
    socket->resolver = resolver;
    if (opf_loop_watch(resolver->loop, &socket->watch, fd, EPOLLIN) != 0) {
        opf_mem_free(socket);
        return -1;
    }
    opf_list_push_back(&resolver->sockets, &socket->node);
    return 0;
}

/* Called by c-ares when it waits for something else, or is about to close the socket. */
static void on_socket_state(void *arg, ares_socket_t fd, int readable, int writable)
{
    opf_resolver *resolver = arg;
    struct channel_socket *socket = socket_find(resolver, fd);
    if (!socket)
        return;
    if (!readable && !writable)
        socket_free(socket);
    else /* can't fail for want of memory: the descriptor is in the set */
        opf_loop_watch(resolver->loop, &socket->watch, fd,
                       (readable ? (uint32_t)EPOLLIN : 0) | (writable ? (uint32_t)EPOLLOUT : 0));
}

#define ARES_READS_TIMEOUTS 0x011600 /* the version that heeds all of resolv.conf */

/* Has old versions of c-ares heed the time-outs of resolv.conf as well. Their own would let a name
 * wait for 75 s. */
static void take_timeouts(struct ares_options *options, int *mask)
{
#if ARES_VERSION < ARES_READS_TIMEOUTS
    struct __res_state state;
    memset(&state, 0, sizeof(state));
    if (res_ninit(&state) != 0)
        return;
    options->timeout = state.retrans * 1000;
    options->tries = state.retry;
    *mask |= ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES;
    res_nclose(&state);
#else
    (void)options;
    (void)mask;
#endif
}

static int channel_open(opf_resolver *resolver, const char *nameservers)
{
    struct ares_options options = {.sock_state_cb = on_socket_state,
                                   .sock_state_cb_data = resolver};
    int mask = ARES_OPT_SOCK_STATE_CB;
#ifdef ARES_OPT_QUERY_CACHE
    mask |= ARES_OPT_QUERY_CACHE; /* with no time to live: one cache is enough */
#endif
    take_timeouts(&options, &mask);
    int status = ares_init_options(&resolver->channel, &options, mask);
    if (status != ARES_SUCCESS) {
        errno = status == ARES_ENOMEM ? ENOMEM : EIO;
        return OPF_ESYS;
    }
    ares_set_socket_callback(resolver->channel, on_socket_created, resolver);
    if (!nameservers)
        return 0;
    status =
        *nameservers ? ares_set_servers_ports_csv(resolver->channel, nameservers) : ARES_EBADSTR;
    if (status != ARES_SUCCESS) {
        ares_destroy(resolver->channel);
        errno = status == ARES_ENOMEM ? ENOMEM : EINVAL;
        return OPF_ESYS;
    }
    return 0;
}

/* The resolver */

opf_resolver *opf_resolver_new(opf_loop *loop, const char *nameservers)
{
    opf_resolver *resolver = opf_mem_zalloc(sizeof(*resolver));
    if (!resolver) {
        errno = ENOMEM;
        return NULL;
    }
    resolver->loop = loop;
    opf_timer_init(&resolver->timer, on_timer);
    opf_list_init(&resolver->sockets);
    opf_list_init(&resolver->ready);
    opf_list_init(&resolver->ages);
    for (size_t i = 0; i < BUCKETS; i++)
        opf_list_init(&resolver->buckets[i]);
    if (channel_open(resolver, nameservers) != 0) {
        int err = errno;
        opf_mem_free(resolver);
        errno = err;
        return NULL;
    }
    return resolver;
}

static void forget_waiters(opf_list *waiters)
{
    while (opf_list_pop_front(waiters))
        ;
}

void opf_resolver_free(opf_resolver *resolver)
{
    opf_node *node;
    if (!resolver)
        return;
    resolver->ending = true;
    ares_destroy(resolver->channel);
    while ((node = resolver->sockets.next) != &resolver->sockets)
        socket_free(OPF_CONTAINER(node, struct channel_socket, node));
    while ((node = opf_list_pop_front(&resolver->ready))) {
        struct answer *answer = OPF_CONTAINER(node, struct answer, ready);
        forget_waiters(&answer->waiters);
        answer_unref(answer);
    }
    for (size_t i = 0; i < BUCKETS; i++) {
        while ((node = resolver->buckets[i].next) != &resolver->buckets[i]) {
            struct name *name = OPF_CONTAINER(node, struct name, bucket);
            forget_waiters(&name->waiters);
            opf_mem_free(name->reserve);
            name->reserve = NULL;
            name_drop_answer(name);
            name_release(name);
        }
    }
    opf_loop_timer_clear(resolver->loop, &resolver->timer);
    opf_mem_free(resolver);
}

void opf_resolver_forked(opf_resolver *resolver)
{
    resolver->forked = true;
}

uint64_t opf_resolver_asked(const opf_resolver *resolver)
{
    return resolver->asked;
}

/* Lookups */

static bool is_host(const char *host, size_t len)
{
    return len && len <= HOST_MAX && !memchr(host, '\0', len);
}

const opf_addr *opf_resolver_cached(opf_resolver *resolver, const char *host, size_t len, size_t *n)
{
    char lower[HOST_MAX];
    const char *why;
    if (resolver->forked || !is_host(host, len))
        return NULL;
    int kind = parse_address(host, len, &resolver->literal, &why);
    if (kind != IS_NAME) {
        *n = 1;
        return kind == IS_ADDRESS ? &resolver->literal : NULL;
    }
    to_lower(lower, host, len);
    struct name *name = name_find(resolver, lower, len);
    struct answer *answer = name ? name_fresh(name) : NULL;
    if (answer) {
        *n = answer->n;
        return answer->addrs;
    }
    if (name)
        name_release(name);
    return NULL;
}

/* Keeps a place for the timer in the loop. Returns 0 or OPF_ENOMEM. */
static int hold_timer(opf_resolver *resolver)
{
    if (opf_timer_is_set(&resolver->timer))
        return 0;
    return opf_loop_timer_set(resolver->loop, &resolver->timer, UINT64_MAX);
}

/* Has the lookup answered with what is known already. */
static int answer_later(opf_resolver *resolver, opf_lookup *lookup, struct answer *answer)
{
    if (hold_timer(resolver) != 0)
        return OPF_ENOMEM;
    if (!opf_node_linked(&answer->ready)) {
        answer->refs++;
        make_ready(resolver, answer);
    }
    opf_list_push_back(&answer->waiters, &lookup->node);
    set_timer(resolver);
    return 0;
}

/* Answers for a host that is an address, or that can be none: why. */
static int lookup_address(opf_resolver *resolver, opf_lookup *lookup, const opf_addr *addr,
                          const char *why)
{
    struct answer *answer = answer_new(1);
    if (!answer)
        return OPF_ENOMEM;
    if (addr) {
        answer->n = 1;
        answer->addrs[0] = *addr;
    } else {
        answer->status = OPF_EINVAL;
        answer->why = why;
    }
    int status = answer_later(resolver, lookup, answer);
    answer_unref(answer);
    return status;
}

/* Begins to ask for a name on behalf of its first waiter. */
static int ask(struct name *name, opf_lookup *lookup)
{
    opf_resolver *resolver = name->resolver;
    struct ares_addrinfo_hints hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    if (hold_timer(resolver) != 0)
        return OPF_ENOMEM;
    name->reserve = answer_new(0);
    if (!name->reserve) {
        set_timer(resolver);
        return OPF_ENOMEM;
    }
    opf_list_push_back(&name->waiters, &lookup->node);
    resolver->starting = name;
    /* may answer at once, and free the name */
    ares_getaddrinfo(resolver->channel, name->text, NULL, &hints, on_answer, name);
    resolver->starting = NULL;
    set_timer(resolver);
    return 0;
}

static int lookup_name(opf_resolver *resolver, opf_lookup *lookup, const char *lower, size_t len)
{
    struct name *name = name_find(resolver, lower, len);
    struct answer *answer = name ? name_fresh(name) : NULL;
    if (answer)
        return answer_later(resolver, lookup, answer);
    if (!name && !(name = name_new(resolver, lower, len)))
        return OPF_ENOMEM;
    if (name->reserve) {
        opf_list_push_back(&name->waiters, &lookup->node);
    } else if (ask(name, lookup) != 0) {
        name_release(name);
        return OPF_ENOMEM;
    }
    resolver->asked++;
    return 0;
}

int opf_resolver_lookup(opf_resolver *resolver, opf_lookup *lookup, const char *host, size_t len)
{
    char lower[HOST_MAX];
    opf_addr addr;
    const char *why;
    if (resolver->forked)
        return OPF_EFORKED;
    if (!is_host(host, len))
        return OPF_EINVAL;
    int kind = parse_address(host, len, &addr, &why);
    if (kind != IS_NAME)
        return lookup_address(resolver, lookup, kind == IS_ADDRESS ? &addr : NULL, why);
    to_lower(lower, host, len);
    return lookup_name(resolver, lookup, lower, len);
}

void opf_lookup_cancel(opf_resolver *resolver, opf_lookup *lookup)
{
    (void)resolver;
    opf_list_remove(&lookup->node);
}
