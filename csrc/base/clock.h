/* Time, in nanoseconds.
 *
 * All times of the engine are readings of CLOCK_MONOTONIC. The kernel stamps what it receives with
 * CLOCK_REALTIME, so an opf_stampclock keeps the distance of the two clocks, samples it anew before
 * stamps are used, and notices a step of the wall clock: stamps from around a step are refused, so
 * that no step ever enters a response time.
 */
#ifndef OPF_BASE_CLOCK_H
#define OPF_BASE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define OPF_NS_PER_S 1000000000ULL
#define OPF_NS_PER_MS 1000000ULL

static inline uint64_t opf_clock_read(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts); /* can't fail for the clocks used here */
    return (uint64_t)ts.tv_sec * OPF_NS_PER_S + (uint64_t)ts.tv_nsec;
}

/* CLOCK_MONOTONIC, nanoseconds. */
static inline uint64_t opf_clock_mono(void)
{
    return opf_clock_read(CLOCK_MONOTONIC);
}

/* CLOCK_REALTIME, nanoseconds since 1970. */
static inline uint64_t opf_clock_real(void)
{
    return opf_clock_read(CLOCK_REALTIME);
}

typedef struct opf_stampclock {
    int64_t offset;   /* CLOCK_REALTIME less CLOCK_MONOTONIC at the last sample, ns */
    uint64_t sampled; /* when that was, monotonic; 0: never */
    bool trusted;     /* no step of the wall clock between the last two samples */
} opf_stampclock;

/* Sets up a clock that trusts no stamp before its first two samples. */
void opf_stampclock_init(opf_stampclock *clock);

/* Samples both clocks; call before a batch of stamps is converted. Returns the monotonic reading,
 * ns. */
uint64_t opf_stampclock_sample(opf_stampclock *clock);

/* As opf_stampclock_sample with readings made by the caller: mono just before real. For tests. */
void opf_stampclock_note(opf_stampclock *clock, uint64_t mono, uint64_t real);

/* The monotonic time of a kernel stamp (wall clock, ns; 0: none), which can't be before not_before
 * nor after not_after: a stamp outside, a missing one and one from around a step of the wall clock
 * give not_after. */
uint64_t opf_stampclock_to_mono(const opf_stampclock *clock, uint64_t stamp, uint64_t not_before,
                                uint64_t not_after);

#endif
