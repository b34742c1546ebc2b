#include "agent/fleet.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "agent/agent.h"
#include "base/clock.h"
#include "base/mem.h"

#define FIGURES_NS (50 * OPF_NS_PER_MS) /* between two looks at a thread's CPU time */

/* Agents to stop. */
typedef struct stop_order {
    opf_node link;
    opf_stop how;
    size_t n;
    uint64_t agents[];
} stop_order;

typedef struct worker {
    opf_fleet *fleet;
    pthread_t thread;
    opf_crew crew;
    uint64_t figured;       /* monotonic ns of the last look */
    pthread_mutex_t lock;   /* of what follows */
    opf_list added;         /* agents */
    opf_list stops;         /* stop_order */
    opf_list tallies, ends; /* handed over */
    uint64_t asked, answered;
    bool quits;
    opf_fleet_figures figures;
} worker;

struct opf_fleet {
    uint32_t n, started;
    int event;
    uint64_t next;          /* agent's number */
    opf_plan *tried;        /* whose pool options can be used; held */
    opf_list tallies, ends; /* taken over, the owner's */
    pthread_mutex_t lock;
    pthread_cond_t answer;
    char *nameservers;
    worker workers[];
};

/* Moves all of a list behind another. */
static void splice(opf_list *to, opf_list *from)
{
    opf_node *node;
    while ((node = opf_list_pop_front(from)))
        opf_list_push_back(to, node);
}

static void tell_owner(opf_fleet *fleet)
{
    uint64_t one = 1;
    ssize_t n;
    do
        n = write(fleet->event, &one, sizeof(one));
    while (n < 0 && errno == EINTR); /* full: it is readable already */
}

/* In a worker's thread */

static void look(worker *w, uint64_t now)
{
    opf_fleet_figures *figures = &w->crew.figures;
    figures->cpu_ns = opf_clock_read(CLOCK_THREAD_CPUTIME_ID);
    opf_engine_get_totals(w->crew.engine, &figures->engine);
    w->figured = now;
}

/* Stops the order's agents, or of them those whose request waits for a connection. */
static void obey(worker *w, const stop_order *order, bool queued)
{
    for (size_t i = 0; i < order->n; i++) {
        opf_agent *agent = opf_roll_find(&w->crew.agents, order->agents[i]);
        if (agent && (!queued || opf_agent_is_queued(agent)))
            opf_agent_stop(agent, order->how);
    }
}

/* Those who wait for a connection go first: the request of one that is to stop too shall not be
 * sent when another's end makes room for it. */
static void obey_all(worker *w, opf_list *stops)
{
    opf_node *node;
    opf_engine_hold(w->crew.engine);
    for (node = stops->next; node != stops; node = node->next)
        obey(w, OPF_CONTAINER(node, stop_order, link), true);
    while ((node = opf_list_pop_front(stops))) {
        stop_order *order = OPF_CONTAINER(node, stop_order, link);
        obey(w, order, false);
        opf_mem_free(order);
    }
    opf_engine_flush(w->crew.engine);
}

/* Takes in what the owner has sent. Returns false at the end. */
static bool take_in(worker *w)
{
    opf_list added, stops;
    opf_node *node;
    opf_list_init(&added);
    opf_list_init(&stops);
    pthread_mutex_lock(&w->lock);
    bool quits = w->quits;
    splice(&added, &w->added);
    splice(&stops, &w->stops);
    pthread_mutex_unlock(&w->lock);
    while ((node = opf_list_pop_front(&added)))
        opf_agent_join(OPF_CONTAINER(node, opf_agent, link), &w->crew);
    if (!opf_list_empty(&stops))
        obey_all(w, &stops);
    return !quits;
}

/* Hands over what was asked for, or has to be told. */
static void hand_over(worker *w)
{
    uint64_t now = opf_clock_mono();
    bool ends = !opf_list_empty(&w->crew.ends);
    if (ends || now - w->figured >= FIGURES_NS)
        look(w, now);
    pthread_mutex_lock(&w->lock);
    bool asked = w->asked != w->answered;
    if (asked)
        look(w, now);
    if (asked || ends) {
        splice(&w->tallies, &w->crew.tallies);
        w->crew.tally = NULL;
        splice(&w->ends, &w->crew.ends);
        w->answered = w->asked;
    }
    w->figures = w->crew.figures;
    pthread_mutex_unlock(&w->lock);
    if (asked || ends)
        tell_owner(w->fleet);
    if (asked) {
        pthread_mutex_lock(&w->fleet->lock);
        pthread_cond_broadcast(&w->fleet->answer);
        pthread_mutex_unlock(&w->fleet->lock);
    }
}

static void *work(void *arg)
{
    worker *w = arg;
    /* rests are short (client/gather.h); without this they take some 50 us more */
    prctl(PR_SET_TIMERSLACK, 1UL);
    while (take_in(w)) {
        hand_over(w);
        if (opf_engine_poll(w->crew.engine, -1) < 0)
            break; /* can't be: its own descriptors */
    }
    return NULL;
}

/* In the owner's thread */

static void worker_init(worker *w, opf_fleet *fleet)
{
    w->fleet = fleet;
    pthread_mutex_init(&w->lock, NULL);
    opf_list_init(&w->added);
    opf_list_init(&w->stops);
    opf_list_init(&w->tallies);
    opf_list_init(&w->ends);
}

/* What the thread works with, before it has begun or after it has ended. */
static void engine_fini(worker *w)
{
    opf_engine *engine = w->crew.engine;
    opf_crew_fini(&w->crew);
    opf_engine_free(engine);
}

static int worker_start(worker *w)
{
    opf_engine_options options = {.nameservers = w->fleet->nameservers, .waits = true};
    opf_engine *engine = opf_engine_new(&options);
    if (!engine)
        return OPF_ESYS;
    int err = opf_crew_init(&w->crew, engine) == 0 ? 0 : errno;
    if (!err) {
        sigset_t all, before;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        err = pthread_create(&w->thread, NULL, work, w);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    if (!err)
        return 0;
    engine_fini(w);
    errno = err;
    return OPF_ESYS;
}

static void free_lists(opf_list *tallies, opf_list *ends)
{
    opf_node *node;
    while ((node = opf_list_pop_front(tallies)))
        opf_tally_free(OPF_CONTAINER(node, opf_tally, link));
    while ((node = opf_list_pop_front(ends)))
        opf_agent_end_free(OPF_CONTAINER(node, opf_agent_end, link));
}

static void drop_agents(opf_list *agents)
{
    opf_node *node;
    while ((node = opf_list_pop_front(agents)))
        opf_agent_free(OPF_CONTAINER(node, opf_agent, link));
}

static void worker_fini(worker *w)
{
    opf_node *node;
    drop_agents(&w->added);
    while ((node = opf_list_pop_front(&w->stops)))
        opf_mem_free(OPF_CONTAINER(node, stop_order, link));
    free_lists(&w->tallies, &w->ends);
    pthread_mutex_destroy(&w->lock);
}

opf_fleet *opf_fleet_new(uint32_t n_threads, const char *nameservers)
{
    if (!n_threads || n_threads > OPF_FLEET_THREADS) {
        errno = EINVAL;
        return NULL;
    }
    opf_fleet *fleet = opf_mem_zalloc(sizeof(*fleet) + n_threads * sizeof(worker));
    if (!fleet) {
        errno = ENOMEM;
        return NULL;
    }
    pthread_condattr_t attributes;
    fleet->n = n_threads;
    fleet->event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    opf_list_init(&fleet->tallies);
    opf_list_init(&fleet->ends);
    pthread_mutex_init(&fleet->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&fleet->answer, &attributes);
    pthread_condattr_destroy(&attributes);
    for (uint32_t i = 0; i < n_threads; i++)
        worker_init(&fleet->workers[i], fleet);
    errno = fleet->event < 0 ? errno : ENOMEM;
    bool good = fleet->event >= 0;
    if (good && nameservers)
        good = (fleet->nameservers = opf_mem_strdup(nameservers)) != NULL;
    for (; good && fleet->started < n_threads; fleet->started += good)
        good = worker_start(&fleet->workers[fleet->started]) == 0;
    if (good)
        return fleet;
    int err = errno;
    opf_fleet_free(fleet);
    errno = err;
    return NULL;
}

void opf_fleet_free(opf_fleet *fleet)
{
    if (!fleet)
        return;
    for (uint32_t i = 0; i < fleet->started; i++) {
        worker *w = &fleet->workers[i];
        pthread_mutex_lock(&w->lock);
        w->quits = true;
        opf_engine_wake(w->crew.engine);
        pthread_mutex_unlock(&w->lock);
    }
    for (uint32_t i = 0; i < fleet->started; i++) {
        pthread_join(fleet->workers[i].thread, NULL);
        engine_fini(&fleet->workers[i]);
    }
    for (uint32_t i = 0; i < fleet->n; i++)
        worker_fini(&fleet->workers[i]);
    free_lists(&fleet->tallies, &fleet->ends);
    opf_plan_release(fleet->tried);
    if (fleet->event >= 0)
        close(fleet->event);
    pthread_cond_destroy(&fleet->answer);
    pthread_mutex_destroy(&fleet->lock);
    opf_mem_free(fleet->nameservers);
    opf_mem_free(fleet);
}

/* Finds out whether pools can be made as the plan wants them. */
static int try_plan(opf_fleet *fleet, opf_plan *plan, char *text, size_t size)
{
    int error = 0;
    if (fleet->tried == plan)
        return 0;
    opf_engine *engine = opf_engine_new(NULL);
    if (!engine)
        return errno == ENOMEM ? OPF_ENOMEM : OPF_ESYS;
    opf_pool *pool = opf_pool_new(engine, &plan->pool, &error, text, size);
    bool good = pool != NULL;
    opf_pool_free(pool);
    opf_engine_free(engine);
    if (!good)
        return error;
    opf_plan_release(fleet->tried);
    fleet->tried = plan;
    opf_plan_hold(plan);
    return 0;
}

int opf_fleet_add(opf_fleet *fleet, opf_plan *plan, uint32_t n, const opf_value *slots,
                  const opf_agent_cookie *cookies, uint32_t n_cookies, double delay_s,
                  uint64_t *first, char *error_text, size_t error_size)
{
    opf_list agents;
    opf_list_init(&agents);
    int ret = try_plan(fleet, plan, error_text, error_size);
    uint64_t delay = delay_s > 0 ? (uint64_t)((delay_s < 1e9 ? delay_s : 1e9) * 1e9) : 0;
    uint64_t begins = opf_clock_mono() + delay;
    for (uint32_t i = 0; ret == 0 && i < n; i++) {
        const opf_value *own = slots ? slots + (size_t)i * plan->n_slots : NULL;
        opf_agent *agent = opf_agent_new(plan, fleet->next + i, own, cookies, n_cookies);
        if (!agent) {
            ret = OPF_ENOMEM;
            break;
        }
        agent->begins = begins;
        opf_list_push_back(&agents, &agent->link);
    }
    if (ret != 0) {
        drop_agents(&agents);
        return ret;
    }
    *first = fleet->next;
    fleet->next += n;
    opf_node *node;
    while ((node = opf_list_pop_front(&agents))) {
        opf_agent *agent = OPF_CONTAINER(node, opf_agent, link);
        worker *w = &fleet->workers[agent->number % fleet->n];
        pthread_mutex_lock(&w->lock);
        opf_list_push_back(&w->added, node);
        pthread_mutex_unlock(&w->lock);
    }
    for (uint32_t i = 0; i < fleet->n; i++)
        opf_engine_wake(fleet->workers[i].crew.engine);
    return 0;
}

static stop_order *order_new(const opf_fleet *fleet, uint32_t thread, const uint64_t *agents,
                             size_t n, opf_stop how)
{
    stop_order *order = opf_mem_alloc(sizeof(*order) + n * sizeof(*agents));
    if (!order)
        return NULL;
    order->how = how;
    order->n = 0;
    for (size_t i = 0; i < n; i++)
        if (agents[i] % fleet->n == thread)
            order->agents[order->n++] = agents[i];
    opf_list_init(&order->link);
    return order;
}

int opf_fleet_stop(opf_fleet *fleet, const uint64_t *agents, size_t n, opf_stop how)
{
    int ret = 0;
    for (uint32_t i = 0; i < fleet->n; i++) {
        worker *w = &fleet->workers[i];
        stop_order *order = order_new(fleet, i, agents, n, how);
        if (!order) {
            ret = OPF_ENOMEM;
            continue;
        }
        if (!order->n) { /* none of them is this thread's */
            opf_mem_free(order);
            continue;
        }
        pthread_mutex_lock(&w->lock);
        opf_list_push_back(&w->stops, &order->link);
        pthread_mutex_unlock(&w->lock);
        opf_engine_wake(w->crew.engine);
    }
    return ret;
}

int opf_fleet_fd(const opf_fleet *fleet)
{
    return fleet->event;
}

void opf_fleet_ask(opf_fleet *fleet)
{
    for (uint32_t i = 0; i < fleet->n; i++) {
        worker *w = &fleet->workers[i];
        pthread_mutex_lock(&w->lock);
        w->asked++;
        pthread_mutex_unlock(&w->lock);
        opf_engine_wake(w->crew.engine);
    }
}

static bool has_answered(opf_fleet *fleet)
{
    bool all = true;
    for (uint32_t i = 0; all && i < fleet->n; i++) {
        worker *w = &fleet->workers[i];
        pthread_mutex_lock(&w->lock);
        all = w->asked == w->answered;
        pthread_mutex_unlock(&w->lock);
    }
    return all;
}

bool opf_fleet_wait(opf_fleet *fleet, int timeout_ms)
{
    uint64_t end = opf_clock_mono() + (unsigned)(timeout_ms > 0 ? timeout_ms : 0) * OPF_NS_PER_MS;
    struct timespec until = {.tv_sec = (time_t)(end / OPF_NS_PER_S),
                             .tv_nsec = (long)(end % OPF_NS_PER_S)};
    bool all;
    int err = 0;
    pthread_mutex_lock(&fleet->lock);
    while (!(all = has_answered(fleet)) && err == 0)
        err = pthread_cond_timedwait(&fleet->answer, &fleet->lock, &until);
    pthread_mutex_unlock(&fleet->lock);
    return all;
}

/* Takes over from the threads. What is told of each is told with its counts. */
static void collect(opf_fleet *fleet)
{
    uint64_t told;
    while (read(fleet->event, &told, sizeof(told)) > 0)
        ;
    for (uint32_t i = 0; i < fleet->n; i++) {
        worker *w = &fleet->workers[i];
        pthread_mutex_lock(&w->lock);
        splice(&fleet->tallies, &w->tallies);
        splice(&fleet->ends, &w->ends);
        pthread_mutex_unlock(&w->lock);
    }
}

opf_tally *opf_fleet_take_tally(opf_fleet *fleet)
{
    if (opf_list_empty(&fleet->tallies) && opf_list_empty(&fleet->ends))
        collect(fleet);
    opf_node *node = opf_list_pop_front(&fleet->tallies);
    return node ? OPF_CONTAINER(node, opf_tally, link) : NULL;
}

opf_agent_end *opf_fleet_take_end(opf_fleet *fleet)
{
    opf_node *node = opf_list_pop_front(&fleet->ends);
    return node ? OPF_CONTAINER(node, opf_agent_end, link) : NULL;
}

uint32_t opf_fleet_threads(const opf_fleet *fleet)
{
    return fleet->n;
}

void opf_fleet_get_figures(const opf_fleet *fleet, uint32_t thread, opf_fleet_figures *figures)
{
    worker *w = (worker *)(uintptr_t)&fleet->workers[thread];
    pthread_mutex_lock(&w->lock);
    *figures = w->figures;
    pthread_mutex_unlock(&w->lock);
}
