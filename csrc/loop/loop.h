/* The reactor: one epoll descriptor, timers and a wake-up.
 *
 * A passive one: opf_loop_dispatch does whatever is ready and returns. Somebody else's event loop
 * may watch opf_loop_fd, which becomes readable when there is something to do (a timerfd in the
 * epoll set stands for the timers), or a thread of its own may call opf_loop_poll with a time-out.
 * Everything belongs to the thread that polls, but opf_loop_wake.
 */
#ifndef OPF_LOOP_LOOP_H
#define OPF_LOOP_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "opf.h"

typedef struct opf_loop opf_loop;
typedef struct opf_watch opf_watch;
typedef struct opf_timer opf_timer;

/* Called with the events (EPOLLIN, ...) that are ready. May change, end or free any watch or timer,
 * its own too. */
typedef void opf_watch_fn(opf_watch *watch, uint32_t events);

/* Called once when the timer is due; the timer is not set any more and may be set again. */
typedef void opf_timer_fn(opf_timer *timer);

/* A watched descriptor: a member of its owner's structure. */
struct opf_watch {
    opf_watch_fn *ready;
    int fd;          /* -1: not watched */
    uint32_t events; /* as given to epoll_ctl */
};

/* A timer: a member of its owner's structure. */
struct opf_timer {
    opf_timer_fn *fire;
    uint64_t at;   /* monotonic ns at which it fires */
    uint32_t slot; /* place in the heap + 1; 0: not set */
};

/* Returns a loop, or NULL with errno set. The caller owns it. */
opf_loop *opf_loop_new(void);

/* Closes the loop's own descriptors and frees it; watches and timers must have been ended before,
 * or are never touched again. NULL does nothing. */
void opf_loop_free(opf_loop *loop);

/* To be called in a forked child: the loop's descriptors are shared with the parent process, so
 * from now on they are left alone. */
void opf_loop_forked(opf_loop *loop);

/* The descriptor that is readable when opf_loop_poll has something to do. The loop owns it. */
int opf_loop_fd(const opf_loop *loop);

/* From now on opf_loop_wait itself wakes up for timers, and opf_loop_fd does not tell of them: that
 * saves the system calls which set a timerfd and read it. For a loop that its thread waits in. */
void opf_loop_keep_time(opf_loop *loop);

/* Waits up to timeout_ms (0: not at all, -1: without limit) until something is ready. Returns 0, or
 * OPF_ESYS with errno set. To be followed by opf_loop_dispatch. */
int opf_loop_wait(opf_loop *loop, int timeout_ms);

/* Does what the wait found: events first, then due timers, for a bounded time; what is left over
 * comes first after the next wait. Returns the number of callbacks made. */
int opf_loop_dispatch(opf_loop *loop);

/* Both in one. Returns as opf_loop_dispatch, or OPF_ESYS with errno set. */
int opf_loop_poll(opf_loop *loop, int timeout_ms);

/* Makes opf_loop_fd readable and the next opf_loop_poll return. From any thread. */
void opf_loop_wake(opf_loop *loop);

static inline void opf_watch_init(opf_watch *watch, opf_watch_fn *ready)
{
    watch->ready = ready;
    watch->fd = -1;
    watch->events = 0;
}

/* Watches fd, or changes the events of a watch that has it already. Returns 0, or OPF_ESYS with
 * errno set. */
int opf_loop_watch(opf_loop *loop, opf_watch *watch, int fd, uint32_t events);

/* Ends a watch; to be called before the descriptor is closed. No event of it is delivered any more,
 * not even one that is pending in the poll under way. Does nothing for one that is not watched. */
void opf_loop_unwatch(opf_loop *loop, opf_watch *watch);

static inline void opf_timer_init(opf_timer *timer, opf_timer_fn *fire)
{
    timer->fire = fire;
    timer->at = 0;
    timer->slot = 0;
}

static inline bool opf_timer_is_set(const opf_timer *timer)
{
    return timer->slot != 0;
}

/* Sets (or moves) the timer to fire at a monotonic time in ns. Returns 0 or OPF_ENOMEM. */
int opf_loop_timer_set(opf_loop *loop, opf_timer *timer, uint64_t at);

/* Takes the timer out; does nothing for one that is not set. */
void opf_loop_timer_clear(opf_loop *loop, opf_timer *timer);

#endif
