#include "loop/loop.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/mem.h"
#include "drive.h"
#include "opf_test.h"

/* A watch that counts its calls, and takes what can be read. */
struct counter {
    opf_watch watch;
    opf_loop *loop;
    int calls;
    uint32_t events;
    struct counter *unwatch; /* to be ended from within */
    bool leave;              /* what can be read */
    bool slow;
};

#define SLOW_NS (3 * OPF_NS_PER_MS)

/* Takes its time, as a TLS handshake does. */
static void work_slowly(void)
{
    uint64_t end = opf_clock_mono() + SLOW_NS;
    while (opf_clock_mono() < end)
        ;
}

static void on_counter(opf_watch *watch, uint32_t events)
{
    struct counter *counter = OPF_CONTAINER(watch, struct counter, watch);
    char data[64];
    counter->calls++;
    counter->events = events;
    if (counter->slow)
        work_slowly();
    if (counter->unwatch)
        opf_loop_unwatch(counter->loop, &counter->unwatch->watch);
    if (!counter->leave && (events & EPOLLIN))
        (void)!read(watch->fd, data, sizeof(data));
}

static void counter_init(struct counter *counter, opf_loop *loop)
{
    memset(counter, 0, sizeof(*counter));
    counter->loop = loop;
    opf_watch_init(&counter->watch, on_counter);
}

/* A timer that counts. */
struct alarm {
    opf_timer timer;
    opf_loop *loop;
    int fired;
    int *order; /* counts all alarms; NULL: nobody asks */
    int place;
    uint64_t again_at; /* set it anew for then, from within */
    bool again;
    bool slow;
    struct alarm *clear; /* to be cleared from within */
};

static void on_alarm(opf_timer *timer)
{
    struct alarm *alarm = OPF_CONTAINER(timer, struct alarm, timer);
    alarm->fired++;
    if (alarm->slow)
        work_slowly();
    if (alarm->order)
        alarm->place = (*alarm->order)++;
    if (alarm->clear)
        opf_loop_timer_clear(alarm->loop, &alarm->clear->timer);
    if (alarm->again)
        opf_loop_timer_set(alarm->loop, timer, alarm->again_at);
}

static void alarm_init(struct alarm *alarm, opf_loop *loop)
{
    memset(alarm, 0, sizeof(*alarm));
    alarm->loop = loop;
    opf_timer_init(&alarm->timer, on_alarm);
}

static bool is_readable(int fd, int timeout_ms)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    return poll(&poll_fd, 1, timeout_ms) == 1;
}

TEST(a_loop_gives_everything_back)
{
    int fds = drive_count_fds();
    opf_loop *loop = opf_loop_new();
    CHECK(loop != NULL);
    CHECK(drive_count_fds() > fds);
    CHECK_EQ_INT(opf_loop_poll(loop, 0), 0);
    CHECK(!is_readable(opf_loop_fd(loop), 0));
    opf_loop_free(loop);
    opf_loop_free(NULL);
    CHECK_EQ_INT(drive_count_fds(), fds);
}

TEST(a_watch_is_told_what_is_ready)
{
    int fds[2];
    struct counter counter;
    opf_loop *loop = opf_loop_new();
    CHECK(loop != NULL);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
    counter_init(&counter, loop);
    CHECK_EQ_INT(opf_loop_watch(loop, &counter.watch, fds[0], EPOLLIN), 0);
    CHECK_EQ_INT(opf_loop_poll(loop, 0), 0);
    CHECK(write(fds[1], "x", 1) == 1);
    CHECK(is_readable(opf_loop_fd(loop), 1000));
    CHECK_EQ_INT(opf_loop_poll(loop, 1000), 1);
    CHECK_EQ_INT(counter.events, EPOLLIN);
    CHECK_EQ_INT(opf_loop_poll(loop, 0), 0);

    /* the same descriptor for something else, then for what it had */
    CHECK_EQ_INT(opf_loop_watch(loop, &counter.watch, fds[0], EPOLLOUT), 0);
    CHECK_EQ_INT(opf_loop_poll(loop, 0), 1);
    CHECK_EQ_INT(counter.events, EPOLLOUT);
    CHECK_EQ_INT(opf_loop_watch(loop, &counter.watch, fds[0], EPOLLOUT), 0);
    CHECK_EQ_INT(opf_loop_watch(loop, &counter.watch, fds[0], EPOLLIN), 0);
    CHECK_EQ_INT(opf_loop_poll(loop, 0), 0);

    /* what is not taken is told again */
    counter.leave = true;
    CHECK(write(fds[1], "x", 1) == 1);
    CHECK_EQ_INT(opf_loop_poll(loop, 0), 1);
    CHECK_EQ_INT(opf_loop_poll(loop, 0), 1);
    opf_loop_unwatch(loop, &counter.watch);
    CHECK_EQ_INT(counter.watch.fd, -1);
    opf_loop_unwatch(loop, &counter.watch);
    CHECK_EQ_INT(opf_loop_poll(loop, 0), 0);

    counter.leave = false;
    CHECK_EQ_INT(opf_loop_watch(loop, &counter.watch, fds[0], EPOLLIN), 0);
    CHECK_EQ_INT(opf_loop_poll(loop, 0), 1);
    close(fds[1]);
    CHECK_EQ_INT(opf_loop_poll(loop, 0), 1);
    CHECK((counter.events & EPOLLHUP) != 0);
    opf_loop_unwatch(loop, &counter.watch);
    close(fds[0]);
    opf_loop_free(loop);
}

TEST(waiting_and_dispatching_may_be_apart)
{
    int fds[2];
    struct counter counter;
    opf_loop *loop = opf_loop_new();
    CHECK(loop != NULL);
    CHECK(pipe(fds) == 0);
    counter_init(&counter, loop);
    CHECK_EQ_INT(opf_loop_watch(loop, &counter.watch, fds[0], EPOLLIN), 0);
    CHECK(write(fds[1], "x", 1) == 1);
    CHECK_EQ_INT(opf_loop_wait(loop, 1000), 0);
    CHECK_EQ_INT(counter.calls, 0);
    CHECK_EQ_INT(opf_loop_dispatch(loop), 1);
    CHECK_EQ_INT(counter.calls, 1);
    CHECK_EQ_INT(opf_loop_dispatch(loop), 0); /* nothing was waited for */
    CHECK(write(fds[1], "x", 1) == 1);
    CHECK_EQ_INT(opf_loop_wait(loop, 1000), 0);
    opf_loop_unwatch(loop, &counter.watch);
    CHECK_EQ_INT(opf_loop_dispatch(loop), 0);
    close(fds[0]);
    close(fds[1]);
    opf_loop_free(loop);
}

TEST(descriptors_that_cannot_be_watched_are_told)
{
    struct counter counter;
    opf_loop *loop = opf_loop_new();
    CHECK(loop != NULL);
    counter_init(&counter, loop);
    errno = 0;
    CHECK_EQ_INT(opf_loop_watch(loop, &counter.watch, 9999, EPOLLIN), OPF_ESYS);
    CHECK_EQ_INT(errno, EBADF);
    CHECK_EQ_INT(counter.watch.fd, -1);
    opf_loop_free(loop);
}

TEST(a_watch_ended_within_a_poll_is_not_called)
{
    int fds[2][2];
    struct counter counters[2];
    opf_loop *loop = opf_loop_new();
    CHECK(loop != NULL);
    for (int i = 0; i < 2; i++) {
        CHECK(pipe(fds[i]) == 0);
        CHECK(write(fds[i][1], "x", 1) == 1);
        counter_init(&counters[i], loop);
        CHECK_EQ_INT(opf_loop_watch(loop, &counters[i].watch, fds[i][0], EPOLLIN), 0);
    }
    counters[0].unwatch = &counters[1];
    counters[1].unwatch = &counters[0];
    CHECK_EQ_INT(opf_loop_poll(loop, 0), 1);
    CHECK_EQ_INT(counters[0].calls + counters[1].calls, 1);
    for (int i = 0; i < 2; i++) {
        opf_loop_unwatch(loop, &counters[i].watch);
        close(fds[i][0]);
        close(fds[i][1]);
    }
    opf_loop_free(loop);
}

TEST(more_watches_than_a_poll_takes_are_all_called)
{
    enum { WATCHES = 600 };
    int fds[2];
    static struct counter counters[WATCHES];
    opf_loop *loop = opf_loop_new();
    CHECK(loop != NULL);
    CHECK(pipe(fds) == 0);
    CHECK(write(fds[1], "x", 1) == 1);
    for (int i = 0; i < WATCHES; i++) {
        int fd = dup(fds[0]);
        if (fd < 0)
            OPF_TEST_FAIL("no descriptor");
        counter_init(&counters[i], loop);
        counters[i].leave = true;
        CHECK_EQ_INT(opf_loop_watch(loop, &counters[i].watch, fd, EPOLLIN), 0);
    }
    int missing = WATCHES;
    for (int polls = 0; missing && polls < 1000; polls++) {
        CHECK(opf_loop_poll(loop, 0) > 0);
        missing = 0;
        for (int i = 0; i < WATCHES; i++)
            missing += counters[i].calls == 0;
    }
    CHECK_EQ_INT(missing, 0);
    for (int i = 0; i < WATCHES; i++) {
        int fd = counters[i].watch.fd;
        opf_loop_unwatch(loop, &counters[i].watch);
        close(fd);
    }
    close(fds[0]);
    close(fds[1]);
    opf_loop_free(loop);
}

/* Whoever drives the loop gets its turn between slow callbacks, and each of these gets its own. */
TEST(a_poll_is_bounded_and_fair)
{
    enum { N = 40, ROUNDS = 3 };
    struct counter counters[N];
    int fds[2], calls = 0;
    opf_loop *loop = opf_loop_new();
    CHECK(loop != NULL);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0 && write(fds[1], "x", 1) == 1);
    for (int i = 0; i < N; i++) {
        counter_init(&counters[i], loop);
        counters[i].leave = counters[i].slow = true; /* always ready */
        CHECK_EQ_INT(opf_loop_watch(loop, &counters[i].watch, dup(fds[0]), EPOLLIN), 0);
    }
    while (calls < ROUNDS * N) {
        int done = opf_loop_poll(loop, 0);
        CHECK(done > 0 && done < N / 2);
        CHECK(is_readable(opf_loop_fd(loop), 0));
        calls += done;
    }
    for (int i = 0; i < N; i++) {
        CHECK(counters[i].calls >= ROUNDS - 1 && counters[i].calls <= ROUNDS + 1);
        int fd = counters[i].watch.fd;
        opf_loop_unwatch(loop, &counters[i].watch);
        close(fd);
    }
    CHECK_EQ_INT(opf_loop_poll(loop, 0), 0);
    close(fds[0]);
    close(fds[1]);
    opf_loop_free(loop);
}

/* They may be deadlines for just what is ready. */
TEST(timers_wait_for_what_is_ready)
{
    enum { N = 40 };
    struct counter counters[N];
    struct alarm alarm;
    int fds[2], ready = 0;
    opf_loop *loop = opf_loop_new();
    CHECK(loop != NULL);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0 && write(fds[1], "x", 1) == 1);
    for (int i = 0; i < N; i++) {
        counter_init(&counters[i], loop);
        counters[i].leave = counters[i].slow = true;
        CHECK_EQ_INT(opf_loop_watch(loop, &counters[i].watch, dup(fds[0]), EPOLLIN), 0);
    }
    alarm_init(&alarm, loop);
    CHECK_EQ_INT(opf_loop_timer_set(loop, &alarm.timer, 1), 0);
    for (int polls = 0; !alarm.fired && polls < N; polls++)
        opf_loop_poll(loop, 0);
    CHECK_EQ_INT(alarm.fired, 1);
    for (int i = 0; i < N; i++) {
        ready += counters[i].calls > 0;
        int fd = counters[i].watch.fd;
        opf_loop_unwatch(loop, &counters[i].watch);
        close(fd);
    }
    CHECK_EQ_INT(ready, N);
    close(fds[0]);
    close(fds[1]);
    opf_loop_free(loop);
}

TEST(a_poll_of_slow_timers_is_bounded)
{
    enum { N = 40 };
    struct alarm alarms[N];
    int order = 0, polls = 0;
    opf_loop *loop = opf_loop_new();
    CHECK(loop != NULL);
    for (int i = 0; i < N; i++) {
        alarm_init(&alarms[i], loop);
        alarms[i].slow = true;
        alarms[i].order = &order;
        CHECK_EQ_INT(opf_loop_timer_set(loop, &alarms[i].timer, (uint64_t)i + 1), 0);
    }
    for (int fired = 0; fired < N; polls++) {
        CHECK(is_readable(opf_loop_fd(loop), 1000));
        opf_loop_poll(loop, 0);
        CHECK(order > fired && order - fired < N / 2);
        fired = order;
    }
    for (int i = 0; i < N; i++)
        CHECK_EQ_INT(alarms[i].place, i);
    opf_loop_free(loop);
}

TEST(timers_fire_in_their_order)
{
    enum { TIMERS = 300 };
    static struct alarm alarms[TIMERS];
    int order = 0;
    uint32_t state = 1;
    opf_loop *loop = opf_loop_new();
    CHECK(loop != NULL);
    uint64_t now = opf_clock_mono();
    for (int i = 0; i < TIMERS; i++) {
        alarm_init(&alarms[i], loop);
        alarms[i].order = &order;
        /* twice, so that they move both ways */
        for (int k = 0; k < 2; k++) {
            state = state * 1664525 + 1013904223;
            CHECK_EQ_INT(opf_loop_timer_set(loop, &alarms[i].timer, now - (state >> 8)), 0);
        }
    }
    for (int i = 0; i < TIMERS; i += 3)
        opf_loop_timer_clear(loop, &alarms[i].timer);
    CHECK(is_readable(opf_loop_fd(loop), 1000));
    while (opf_loop_poll(loop, 0) > 0)
        ;
    CHECK_EQ_INT(order, TIMERS - TIMERS / 3);
    for (int i = 0; i < TIMERS; i++) {
        CHECK_EQ_INT(alarms[i].fired, i % 3 != 0);
        CHECK(!opf_timer_is_set(&alarms[i].timer));
        for (int k = 0; k < i; k++)
            if (i % 3 && k % 3 && alarms[i].timer.at != alarms[k].timer.at)
                CHECK((alarms[i].timer.at < alarms[k].timer.at) ==
                      (alarms[i].place < alarms[k].place));
    }
    opf_loop_free(loop);
}

TEST(a_timer_wakes_whoever_waits)
{
    struct alarm soon, late;
    opf_loop *loop = opf_loop_new();
    CHECK(loop != NULL);
    alarm_init(&soon, loop);
    alarm_init(&late, loop);
    uint64_t now = opf_clock_mono();
    CHECK_EQ_INT(opf_loop_timer_set(loop, &late.timer, now + 3600 * OPF_NS_PER_S), 0);
    CHECK_EQ_INT(opf_loop_timer_set(loop, &soon.timer, now + 20 * OPF_NS_PER_MS), 0);
    CHECK(opf_timer_is_set(&soon.timer));
    CHECK(is_readable(opf_loop_fd(loop), 10000));
    CHECK(drive_until(loop, &soon.fired, 1));
    CHECK(opf_clock_mono() >= now + 20 * OPF_NS_PER_MS); /* not before its time */
    CHECK_EQ_INT(late.fired, 0);
    opf_loop_poll(loop, 0);
    CHECK(!is_readable(opf_loop_fd(loop), 0));

    /* moved from later to sooner, and from sooner to later */
    CHECK_EQ_INT(opf_loop_timer_set(loop, &soon.timer, now + 7200 * OPF_NS_PER_S), 0);
    CHECK_EQ_INT(opf_loop_timer_set(loop, &late.timer, 0), 0);
    CHECK(drive_until(loop, &late.fired, 1));
    CHECK_EQ_INT(soon.fired, 1);
    CHECK_EQ_INT(opf_loop_timer_set(loop, &late.timer, opf_clock_mono()), 0);
    CHECK_EQ_INT(opf_loop_timer_set(loop, &late.timer, now + 3600 * OPF_NS_PER_S), 0);
    drive_idle(loop);
    CHECK_EQ_INT(late.fired, 1);
    CHECK_EQ_INT(opf_loop_timer_set(loop, &late.timer, UINT64_MAX), 0);
    drive_idle(loop);
    CHECK_EQ_INT(late.fired, 1);
    opf_loop_free(loop);
}

TEST(a_loop_may_keep_time_by_itself)
{
    struct alarm soon, later, never;
    opf_loop *loop = opf_loop_new();
    CHECK(loop != NULL);
    opf_loop_keep_time(loop);
    alarm_init(&soon, loop);
    alarm_init(&later, loop);
    alarm_init(&never, loop);
    uint64_t now = opf_clock_mono();
    CHECK_EQ_INT(opf_loop_timer_set(loop, &never.timer, UINT64_MAX), 0);
    CHECK_EQ_INT(opf_loop_poll(loop, 1), 0);
    CHECK_EQ_INT(opf_loop_timer_set(loop, &later.timer, now + 150 * OPF_NS_PER_MS), 0);
    CHECK_EQ_INT(opf_loop_timer_set(loop, &soon.timer, now + 10 * OPF_NS_PER_MS), 0);
    while (!soon.fired)
        CHECK(opf_loop_poll(loop, -1) >= 0);
    CHECK(opf_clock_mono() >= now + 10 * OPF_NS_PER_MS);
    CHECK_EQ_INT(later.fired, 0);
    CHECK_EQ_INT(opf_loop_poll(loop, 1), 0); /* the caller's limit comes first */
    while (!later.fired)
        CHECK(opf_loop_poll(loop, -1) >= 0);
    CHECK(opf_clock_mono() >= now + 150 * OPF_NS_PER_MS);

    /* what is due is not waited for, and not told by the descriptor */
    CHECK_EQ_INT(opf_loop_timer_set(loop, &soon.timer, now), 0);
    CHECK(!is_readable(opf_loop_fd(loop), 0));
    CHECK_EQ_INT(opf_loop_poll(loop, -1), 1);
    CHECK_EQ_INT(soon.fired, 2);
    CHECK_EQ_INT(never.fired, 0);
    opf_loop_free(loop);
}

TEST(a_timer_may_change_others_and_itself)
{
    struct alarm first, second;
    opf_loop *loop = opf_loop_new();
    CHECK(loop != NULL);
    alarm_init(&first, loop);
    alarm_init(&second, loop);
    first.clear = &second;
    first.again = true;
    first.again_at = 0; /* is due at once */
    CHECK_EQ_INT(opf_loop_timer_set(loop, &first.timer, 0), 0);
    CHECK_EQ_INT(opf_loop_timer_set(loop, &second.timer, 1), 0);
    int done = opf_loop_poll(loop, 1000);
    CHECK(done >= 1 && done <= 3); /* does not stay for as long as it is due */
    CHECK_EQ_INT(second.fired, 0);
    CHECK(drive_until(loop, &first.fired, 5));
    CHECK(opf_timer_is_set(&first.timer));
    opf_loop_timer_clear(loop, &first.timer);
    opf_loop_timer_clear(loop, &first.timer);
    int fired = first.fired;
    drive_idle(loop);
    CHECK_EQ_INT(first.fired, fired);
    opf_loop_free(loop);
}

static void *wake_soon(void *loop)
{
    usleep(10000);
    opf_loop_wake(loop);
    return NULL;
}

TEST(another_thread_may_wake_the_loop)
{
    pthread_t thread;
    opf_loop *loop = opf_loop_new();
    CHECK(loop != NULL);
    CHECK(pthread_create(&thread, NULL, wake_soon, loop) == 0);
    CHECK(opf_loop_poll(loop, 20000) > 0);
    pthread_join(thread, NULL);
    CHECK(!is_readable(opf_loop_fd(loop), 0));
    for (int i = 0; i < 3; i++)
        opf_loop_wake(loop);
    CHECK(is_readable(opf_loop_fd(loop), 0));
    CHECK(opf_loop_poll(loop, 0) > 0);
    CHECK(!is_readable(opf_loop_fd(loop), 0));
    opf_loop_free(loop);
}

TEST(a_forked_child_leaves_the_parents_watches_alone)
{
    int fds[2], status;
    struct counter counter;
    opf_loop *loop = opf_loop_new();
    CHECK(loop != NULL);
    CHECK(pipe(fds) == 0);
    counter_init(&counter, loop);
    CHECK_EQ_INT(opf_loop_watch(loop, &counter.watch, fds[0], EPOLLIN), 0);
    pid_t child = fork();
    if (child == 0) {
        struct counter another;
        opf_loop_forked(loop);
        counter_init(&another, loop);
        int ret = opf_loop_watch(loop, &another.watch, fds[1], EPOLLOUT);
        opf_timer timer;
        opf_timer_init(&timer, NULL);
        opf_loop_unwatch(loop, &counter.watch);
        opf_loop_wake(loop);
        opf_loop_timer_set(loop, &timer, 1);
        opf_loop_free(loop);
        _exit(ret == OPF_EFORKED && counter.watch.fd == -1 ? 0 : 1);
    }
    CHECK(child > 0);
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK_EQ_INT(opf_loop_poll(loop, 0), 0);
    CHECK(write(fds[1], "x", 1) == 1);
    CHECK_EQ_INT(opf_loop_poll(loop, 1000), 1);
    CHECK_EQ_INT(counter.calls, 1);
    opf_loop_unwatch(loop, &counter.watch);
    close(fds[0]);
    close(fds[1]);
    opf_loop_free(loop);
}

#ifdef OPF_FAULTS

TEST(a_loop_without_memory_is_not_made)
{
    int fds = drive_count_fds();
    opf_mem_fail_after(0);
    errno = 0;
    CHECK(opf_loop_new() == NULL);
    CHECK_EQ_INT(errno, ENOMEM);
    CHECK_EQ_INT(drive_count_fds(), fds);
}

TEST(a_timer_without_memory_is_not_set)
{
    enum { TIMERS = 200 };
    static struct alarm alarms[TIMERS];
    int refused = 0;
    opf_loop *loop = opf_loop_new();
    CHECK(loop != NULL);
    for (int i = 0; i < TIMERS; i++) {
        alarm_init(&alarms[i], loop);
        opf_mem_fail_after(0);
        int ret = opf_loop_timer_set(loop, &alarms[i].timer, 1);
        opf_mem_fail_after(-1);
        CHECK_EQ_INT(opf_timer_is_set(&alarms[i].timer), ret == 0);
        if (ret != 0) {
            CHECK_EQ_INT(ret, OPF_ENOMEM);
            refused++;
            CHECK_EQ_INT(opf_loop_timer_set(loop, &alarms[i].timer, 1), 0);
        }
    }
    CHECK(refused > 0);
    CHECK_EQ_INT(opf_loop_poll(loop, 0) >= TIMERS, 1);
    for (int i = 0; i < TIMERS; i++)
        CHECK_EQ_INT(alarms[i].fired, 1);
    opf_loop_free(loop);
}

#endif

OPF_TEST_MAIN
