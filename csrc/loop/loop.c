#include "loop/loop.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/mem.h"

#define BATCH 1024
#define HEAP_ARITY 4

/* A place in the heap. The time stands here too: comparing touches no timer's memory. */
typedef struct place {
    uint64_t at;
    opf_timer *timer;
} place;

struct opf_loop {
    int epoll_fd;
    bool forked;
    bool keeps_time;       /* opf_loop_wait wakes up for timers by itself */
    bool coarse;           /* the kernel waits in whole milliseconds */
    bool dispatching;      /* what is armed is seen to at its end */
    opf_watch timer_watch; /* a timerfd, armed no later than the first timer */
    opf_watch wake_watch;  /* an eventfd */
    uint64_t armed;        /* when the timerfd fires, monotonic ns; UINT64_MAX: it doesn't */
    place *heap;           /* 4-ary, the earliest first */
    uint32_t n_timers;
    uint32_t cap_timers;
    struct epoll_event batch[BATCH]; /* of the poll under way */
    int batch_at;
    int batch_n;
};

/* The timers' heap */

static void heap_put(opf_loop *loop, uint32_t i, place what)
{
    loop->heap[i] = what;
    what.timer->slot = i + 1;
}

static void sift_up(opf_loop *loop, uint32_t i)
{
    place moved = loop->heap[i];
    while (i > 0) {
        uint32_t parent = (i - 1) / HEAP_ARITY;
        if (loop->heap[parent].at <= moved.at)
            break;
        heap_put(loop, i, loop->heap[parent]);
        i = parent;
    }
    heap_put(loop, i, moved);
}

static void sift_down(opf_loop *loop, uint32_t i)
{
    place moved = loop->heap[i];
    for (;;) {
        uint32_t first = i * HEAP_ARITY + 1, best = i;
        uint64_t best_at = moved.at;
        for (uint32_t c = first; c < first + HEAP_ARITY && c < loop->n_timers; c++) {
            if (loop->heap[c].at < best_at) {
                best = c;
                best_at = loop->heap[c].at;
            }
        }
        if (best == i)
            break;
        heap_put(loop, i, loop->heap[best]);
        i = best;
    }
    heap_put(loop, i, moved);
}

static int heap_room(opf_loop *loop)
{
    if (loop->n_timers < loop->cap_timers)
        return 0;
    uint32_t cap = loop->cap_timers ? loop->cap_timers * 2 : 64;
    place *heap = opf_mem_realloc(loop->heap, cap * sizeof(*heap));
    if (!heap)
        return OPF_ENOMEM;
    loop->heap = heap;
    loop->cap_timers = cap;
    return 0;
}

/* Arms the timerfd for the first timer, unless it fires no later already: one that fires too early
 * only costs a wake-up, and deadlines that keep moving back cost no system call. */
static void arm(opf_loop *loop)
{
    if (loop->forked || loop->keeps_time || loop->dispatching || !loop->n_timers ||
        loop->heap[0].at >= loop->armed)
        return;
    uint64_t at = loop->heap[0].at ? loop->heap[0].at : 1; /* 0 would disarm */
    struct itimerspec spec = {
        .it_value = {.tv_sec = (time_t)(at / OPF_NS_PER_S), .tv_nsec = (long)(at % OPF_NS_PER_S)}};
    if (timerfd_settime(loop->timer_watch.fd, TFD_TIMER_ABSTIME, &spec, NULL) == 0)
        loop->armed = at;
}

int opf_loop_timer_set(opf_loop *loop, opf_timer *timer, uint64_t at)
{
    if (timer->slot) {
        uint64_t was = timer->at;
        timer->at = loop->heap[timer->slot - 1].at = at;
        if (at < was)
            sift_up(loop, timer->slot - 1);
        else
            sift_down(loop, timer->slot - 1);
    } else {
        if (heap_room(loop) != 0)
            return OPF_ENOMEM;
        timer->at = at;
        heap_put(loop, loop->n_timers, (place){at, timer});
        loop->n_timers++;
        sift_up(loop, timer->slot - 1);
    }
    arm(loop);
    return 0;
}

void opf_loop_timer_clear(opf_loop *loop, opf_timer *timer)
{
    if (!timer->slot)
        return;
    uint32_t i = timer->slot - 1;
    timer->slot = 0;
    loop->n_timers--;
    if (i == loop->n_timers)
        return;
    heap_put(loop, i, loop->heap[loop->n_timers]);
    sift_down(loop, i);
    sift_up(loop, loop->heap[i].timer->slot - 1);
}

/* How long one poll may go on with events, and again with timers: what is left over comes first in
 * the next, and whoever drives the loop gets its turn between them (TLS handshakes are the work
 * that needs this). */
#define POLL_NS_MAX (10 * OPF_NS_PER_MS)
#define CLOCK_EVERY 4 /* callbacks: a reading costs less than 1 % of any */

/* Fires what is due. */
static int fire_due(opf_loop *loop)
{
    int fired = 0;
    if (!loop->n_timers)
        return 0;
    uint64_t now = opf_clock_mono(), until = now + POLL_NS_MAX;
    /* as many as were set when this began: a timer that sets itself to now must not keep us here */
    for (uint32_t left = loop->n_timers; left && loop->n_timers && loop->heap[0].at <= now;
         left--) {
        if (fired && fired % CLOCK_EVERY == 0 && opf_clock_mono() > until)
            break;
        opf_timer *timer = loop->heap[0].timer;
        opf_loop_timer_clear(loop, timer);
        timer->fire(timer);
        fired++;
    }
    return fired;
}

/* The loop's own descriptors */

static void drain(int fd)
{
    uint64_t count;
    while (read(fd, &count, sizeof(count)) < 0 && errno == EINTR)
        ;
}

static void on_timerfd(opf_watch *watch, uint32_t events)
{
    (void)events;
    opf_loop *loop = OPF_CONTAINER(watch, opf_loop, timer_watch);
    drain(watch->fd);
    loop->armed = UINT64_MAX;
}

static void on_wake(opf_watch *watch, uint32_t events)
{
    (void)events;
    drain(watch->fd);
}

void opf_loop_wake(opf_loop *loop)
{
    uint64_t one = 1;
    if (loop->forked)
        return;
    while (write(loop->wake_watch.fd, &one, sizeof(one)) < 0 && errno == EINTR)
        ;
}

opf_loop *opf_loop_new(void)
{
    int timer_fd = -1, wake_fd = -1;
    opf_loop *loop = opf_mem_zalloc(sizeof(*loop));
    if (!loop) {
        errno = ENOMEM;
        return NULL;
    }
    loop->armed = UINT64_MAX;
    opf_watch_init(&loop->timer_watch, on_timerfd);
    opf_watch_init(&loop->wake_watch, on_wake);
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll_fd < 0)
        goto fail;
    timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (timer_fd < 0)
        goto fail;
    wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (wake_fd < 0)
        goto fail;
    if (opf_loop_watch(loop, &loop->timer_watch, timer_fd, EPOLLIN) != 0 ||
        opf_loop_watch(loop, &loop->wake_watch, wake_fd, EPOLLIN) != 0)
        goto fail;
    return loop;

fail:;
    int err = errno;
    if (wake_fd >= 0)
        close(wake_fd);
    if (timer_fd >= 0)
        close(timer_fd);
    if (loop->epoll_fd >= 0)
        close(loop->epoll_fd);
    opf_mem_free(loop);
    errno = err;
    return NULL;
}

void opf_loop_free(opf_loop *loop)
{
    if (!loop)
        return;
    close(loop->wake_watch.fd);
    close(loop->timer_watch.fd);
    close(loop->epoll_fd);
    opf_mem_free(loop->heap);
    opf_mem_free(loop);
}

void opf_loop_forked(opf_loop *loop)
{
    loop->forked = true;
}

int opf_loop_fd(const opf_loop *loop)
{
    return loop->epoll_fd;
}

/* Watches */

int opf_loop_watch(opf_loop *loop, opf_watch *watch, int fd, uint32_t events)
{
    int op = watch->fd == fd ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    struct epoll_event event = {.events = events, .data = {.ptr = watch}};
    if (op == EPOLL_CTL_MOD && watch->events == events)
        return 0;
    if (loop->forked)
        return OPF_EFORKED;
    if (epoll_ctl(loop->epoll_fd, op, fd, &event) != 0)
        return OPF_ESYS;
    watch->fd = fd;
    watch->events = events;
    return 0;
}

void opf_loop_unwatch(opf_loop *loop, opf_watch *watch)
{
    if (watch->fd < 0)
        return;
    if (!loop->forked)
        epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL); /* fails only for a closed one */
    watch->fd = -1;
    watch->events = 0;
    for (int i = loop->batch_at; i < loop->batch_n; i++)
        if (loop->batch[i].data.ptr == watch)
            loop->batch[i].data.ptr = NULL;
}

void opf_loop_keep_time(opf_loop *loop)
{
    loop->keeps_time = true;
}

/* How long to wait for the first timer, in ns, if that is less than so long. The kernel may be late
 * by a thousandth of what it is asked for: of a long wait it wakes us a little before the end. */
#define LONG_NS (64 * OPF_NS_PER_MS)

static uint64_t until_first(const opf_loop *loop, uint64_t ns)
{
    uint64_t now = opf_clock_mono(), at = loop->heap[0].at;
    if (at == UINT64_MAX)
        return ns;
    uint64_t left = at > now ? at - now : 0;
    if (left > LONG_NS)
        left -= left / 256;
    return left < ns ? left : ns;
}

/* epoll_wait with a time-out in ns where the kernel has that (5.11). */
static int wait_ns(opf_loop *loop, uint64_t ns)
{
#ifdef SYS_epoll_pwait2
    struct timespec limit = {.tv_sec = (time_t)(ns / OPF_NS_PER_S),
                             .tv_nsec = (long)(ns % OPF_NS_PER_S)};
    if (ns && !loop->coarse) {
        long n = syscall(SYS_epoll_pwait2, loop->epoll_fd, loop->batch, BATCH, &limit, NULL, 0);
        if (n >= 0 || (errno != ENOSYS && errno != EPERM))
            return (int)n;
        loop->coarse = true;
    }
#endif
    uint64_t ms = (ns + OPF_NS_PER_MS - 1) / OPF_NS_PER_MS;
    return epoll_wait(loop->epoll_fd, loop->batch, BATCH, ms < INT_MAX ? (int)ms : INT_MAX);
}

int opf_loop_wait(opf_loop *loop, int timeout_ms)
{
    if (loop->batch_at <
        loop->batch_n) /* left over: asked anew, the first might come first again */
        return 0;
    uint64_t most = timeout_ms < 0 ? UINT64_MAX : (unsigned)timeout_ms * OPF_NS_PER_MS;
    uint64_t ns = loop->keeps_time && most && loop->n_timers ? until_first(loop, most) : most;
    int n =
        ns == most ? epoll_wait(loop->epoll_fd, loop->batch, BATCH, timeout_ms) : wait_ns(loop, ns);
    loop->batch_at = 0;
    loop->batch_n = n < 0 ? 0 : n;
    return n < 0 && errno != EINTR ? OPF_ESYS : 0;
}

int opf_loop_dispatch(opf_loop *loop)
{
    int done = 0;
    uint64_t until = opf_clock_mono() + POLL_NS_MAX;
    loop->dispatching = true;
    while (loop->batch_at < loop->batch_n) {
        if (done && done % CLOCK_EVERY == 0 && opf_clock_mono() > until)
            break;
        struct epoll_event *event = &loop->batch[loop->batch_at++];
        opf_watch *watch = event->data.ptr;
        if (!watch)
            continue;
        watch->ready(watch, event->events);
        done++;
    }
    if (loop->batch_at == loop->batch_n) /* no deadline strikes before what came in time is seen */
        done += fire_due(loop);
    loop->dispatching = false;
    arm(loop);
    return done;
}

int opf_loop_poll(opf_loop *loop, int timeout_ms)
{
    return opf_loop_wait(loop, timeout_ms) == 0 ? opf_loop_dispatch(loop) : OPF_ESYS;
}
