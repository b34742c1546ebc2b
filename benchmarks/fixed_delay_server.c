/*
 * An HTTP/1.1 server that answers every request a fixed time after it came, and knows how long
 * each answer really took: from the kernel's receive stamp of the request to the send call.
 *
 *     fixed_delay_server DELAY_US
 *
 * It listens on a free port of 127.0.0.1 and prints the port. SIGUSR1 forgets what was recorded,
 * SIGUSR2 stops recording, SIGTERM prints the percentiles as one line of JSON and ends.
 *
 * One thread. All times are CLOCK_REALTIME in nanoseconds, the clock of the kernel's stamps.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "loopback.h"

#define MAX_FDS 4096
#define MAX_REQUEST 4096
#define MAX_WAITING 16384
#define MAX_RECORDS (1u << 22)
#define BATCH 256

static const int signals[] = {SIGUSR1, SIGUSR2, SIGTERM, SIGINT};

static const char answer[] = "HTTP/1.1 200 OK\r\n"
                             "Content-Type: application/json\r\n"
                             "Content-Length: 16\r\n"
                             "\r\n"
                             "{\"status\": \"ok\"}";

struct connection {
    unsigned generation; /* of the descriptor: an answer for an earlier one is dropped */
    size_t length;
    char request[MAX_REQUEST + 1];
};

struct waiting {
    int fd;
    unsigned generation;
    int64_t received;
};

static struct connection *connections[MAX_FDS];
static unsigned generations[MAX_FDS];
static struct waiting queue[MAX_WAITING]; /* a ring: the delay is fixed, so due in this order */
static size_t queue_first, queue_count;
static uint32_t *records;
static size_t record_count;
static bool recording = true;
static int64_t delay;
static int epoll_fd, timer_fd;

static int64_t to_ns(const struct timespec *ts)
{
    return (int64_t)ts->tv_sec * 1000000000 + ts->tv_nsec;
}

static int64_t now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return to_ns(&ts);
}

static void watch(int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
        die("epoll_ctl");
}

static void arm_timer(void)
{
    struct itimerspec when = {0};
    if (queue_count > 0) {
        int64_t due = queue[queue_first].received + delay;
        when.it_value.tv_sec = (time_t)(due / 1000000000);
        when.it_value.tv_nsec = (long)(due % 1000000000);
    }
    if (timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &when, NULL) < 0)
        die("timerfd_settime");
}

static void close_connection(int fd)
{
    free(connections[fd]);
    connections[fd] = NULL;
    generations[fd]++;
    close(fd);
}

static void record(int64_t duration)
{
    if (recording && record_count < MAX_RECORDS)
        records[record_count++] = duration > UINT32_MAX ? UINT32_MAX : (uint32_t)duration;
}

static void send_due_answers(void)
{
    while (queue_count > 0) {
        const struct waiting *head = &queue[queue_first];
        int64_t sent = now();
        if (head->received + delay > sent)
            break;
        const struct connection *connection = connections[head->fd];
        if (connection && connection->generation == head->generation) {
            size_t length = sizeof(answer) - 1;
            if (send(head->fd, answer, length, MSG_NOSIGNAL) == (ssize_t)length)
                record(sent - head->received);
            else
                close_connection(head->fd);
        }
        queue_first = (queue_first + 1) % MAX_WAITING;
        queue_count--;
    }
    arm_timer();
}

static void enqueue(int fd, int64_t received)
{
    if (queue_count == MAX_WAITING) {
        fprintf(stderr, "more than %d requests wait for their answers\n", MAX_WAITING);
        exit(1);
    }
    queue[(queue_first + queue_count) % MAX_WAITING] =
        (struct waiting){.fd = fd, .generation = connections[fd]->generation, .received = received};
    if (queue_count++ == 0)
        arm_timer();
}

/* Length of the first request in the buffer, 0 while a part of it is missing. */
static size_t request_length(const struct connection *connection)
{
    const char *end = strstr(connection->request, "\r\n\r\n");
    if (!end)
        return 0;
    size_t length = (size_t)(end - connection->request) + 4;
    const char *field = strcasestr(connection->request, "\r\ncontent-length:");
    if (field && field < end)
        length += strtoul(field + sizeof("\r\ncontent-length:") - 1, NULL, 10);
    return length <= connection->length ? length : 0;
}

static void take_requests(int fd, int64_t received)
{
    struct connection *connection = connections[fd];
    size_t length;
    while ((length = request_length(connection)) > 0) {
        connection->length -= length;
        memmove(connection->request, connection->request + length, connection->length + 1);
        enqueue(fd, received);
    }
}

static int64_t receive_stamp(struct msghdr *message)
{
    struct cmsghdr *cmsg;
    for (cmsg = CMSG_FIRSTHDR(message); cmsg; cmsg = CMSG_NXTHDR(message, cmsg)) {
        if (cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SCM_TIMESTAMPNS) {
            struct timespec ts;
            memcpy(&ts, CMSG_DATA(cmsg), sizeof(ts));
            return to_ns(&ts);
        }
    }
    return now();
}

static void read_requests(int fd)
{
    struct connection *connection = connections[fd];
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(struct timespec))];
    } control;
    struct iovec part = {.iov_base = connection->request + connection->length,
                         .iov_len = MAX_REQUEST - connection->length};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control.bytes)};
    ssize_t got = recvmsg(fd, &message, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) { /* closed, reset, or a request that does not fit */
        close_connection(fd);
        return;
    }
    connection->length += (size_t)got;
    connection->request[connection->length] = '\0';
    take_requests(fd, receive_stamp(&message));
}

static void accept_connection(int listener)
{
    int on = 1;
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return;
    struct connection *connection = fd < MAX_FDS ? calloc(1, sizeof(*connection)) : NULL;
    if (!connection) {
        fprintf(stderr, "too many connections\n");
        close(fd);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on));
    connection->generation = generations[fd];
    connections[fd] = connection;
    watch(fd);
}

static int by_value(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

static double percentile_ms(unsigned percent)
{
    size_t at = record_count * percent / 100;
    return record_count ? records[at < record_count ? at : record_count - 1] / 1e6 : 0.0;
}

static void report(void)
{
    qsort(records, record_count, sizeof(*records), by_value);
    printf("{\"requests\": %zu, \"p50\": %.4f, \"p95\": %.4f, \"p99\": %.4f, \"max\": %.4f}\n",
           record_count, percentile_ms(50), percentile_ms(95), percentile_ms(99),
           percentile_ms(100));
    fflush(stdout);
}

/* Returns false when the server is to end. */
static bool take_signal(int signal_fd)
{
    struct signalfd_siginfo info;
    if (read(signal_fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
        return true;
    if (info.ssi_signo == SIGUSR1) {
        record_count = 0;
        recording = true;
    } else if (info.ssi_signo == SIGUSR2) {
        recording = false;
    } else {
        return false;
    }
    return true;
}

static void serve(int listener, int signal_fd)
{
    struct epoll_event events[BATCH];
    for (;;) {
        int count = epoll_wait(epoll_fd, events, BATCH, -1);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            uint64_t expirations;
            if (fd == signal_fd) {
                if (!take_signal(signal_fd))
                    return;
            } else if (fd == listener) {
                accept_connection(listener);
            } else if (fd == timer_fd) {
                if (read(timer_fd, &expirations, sizeof(expirations)) < 0 && errno != EAGAIN)
                    die("read timerfd");
            } else if (connections[fd]) {
                read_requests(fd);
            }
            /* Between any two reads, so that a burst of requests delays no answer. */
            send_due_answers();
        }
    }
}

int main(int argc, char **argv)
{
    long delay_us = argc == 2 ? strtol(argv[1], NULL, 10) : 0;
    if (delay_us <= 0) {
        fprintf(stderr, "usage: fixed_delay_server DELAY_US\n");
        return 2;
    }
    delay = delay_us * 1000;
    records = malloc(MAX_RECORDS * sizeof(*records));
    if (!records)
        die("malloc");
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    timer_fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);
    if (epoll_fd < 0 || timer_fd < 0)
        die("epoll or timerfd");
    int signal_fd = open_signals(signals, sizeof(signals) / sizeof(*signals));
    watch(timer_fd);
    watch(signal_fd);
    int listener = open_listener();
    watch(listener);
    serve(listener, signal_fd);
    report();
    return 0;
}
