/* What tests need that drive a loop themselves. */
#ifndef OPF_TESTS_DRIVE_H
#define OPF_TESTS_DRIVE_H

#include <dirent.h>
#include <stdbool.h>

#include "base/clock.h"
#include "base/mem.h"
#include "loop/loop.h"

#define DRIVE_NS_MAX (20 * OPF_NS_PER_S) /* how long to wait for what has to happen */

/* Polls until *count has come to the wanted value or too much time has passed. Returns whether it
 * has. */
static inline bool drive_until(opf_loop *loop, const int *count, int wanted)
{
    uint64_t end = opf_clock_mono() + DRIVE_NS_MAX;
    while (*count < wanted && opf_clock_mono() < end)
        if (opf_loop_poll(loop, 100) < 0)
            return false;
    return *count >= wanted;
}

/* Polls until nothing is ready, for what must not happen. */
static inline void drive_idle(opf_loop *loop)
{
    for (int i = 0; i < 1000 && opf_loop_poll(loop, 20) > 0; i++)
        ;
}

/* The number of open descriptors, or -1. */
static inline int drive_count_fds(void)
{
    int n = 0;
    DIR *dir = opendir("/proc/self/fd");
    if (!dir)
        return -1;
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

#ifdef OPF_FAULTS
/* Switches the failing of allocations off. Returns whether the n-th had failed since
 * opf_mem_fail_after(n). */
static inline bool drive_fault_fired(long n)
{
    bool fired = true;
    for (long i = 0; i <= n && fired; i++) {
        void *p = opf_mem_alloc(1);
        fired = p != NULL;
        opf_mem_free(p);
    }
    opf_mem_fail_after(-1);
    return fired;
}
#endif

#endif
