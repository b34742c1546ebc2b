/* Receiving less often, where a thread has its hands full with responses that come one by one.
 *
 * A server answers the streams of an HTTP/2 connection as it gets to them, each by a write of its
 * own. A client that is as fast takes them one by one too, and asks for the next each time: three
 * system calls for a request on this side and as many on the other, where one could do for ten. So
 * the thread rests before it looks again, as network cards put off interrupts, if the server has
 * enough to do meanwhile and the thread has been working without a pause: one that waits for the
 * server now and then takes each response at once. The kernel stamps what comes meanwhile, so a
 * rest is in a response time only as far as several responses come in one receive, which has the
 * stamp of the last. A member of its engine, all zero at first. One thread.
 */
#ifndef OPF_CLIENT_GATHER_H
#define OPF_CLIENT_GATHER_H

#include <stdbool.h>
#include <stdint.h>

typedef struct opf_gather {
    uint64_t since;  /* begin of the period, monotonic ns; 0: the next wait begins one */
    uint64_t waited; /* ns of it for which there was nothing to do */
    bool is_busy;    /* the period before was spent working, or resting */
    bool is_due;     /* the last poll has brought little */
} opf_gather;

/* Takes note of a wait for events, from and to monotonic ns. */
void opf_gather_note_wait(opf_gather *gather, uint64_t from, uint64_t to);

/* Takes note of what a poll has brought: responses, of all streams that were under way. */
void opf_gather_note_poll(opf_gather *gather, uint32_t came, uint32_t n_streams);

/* Rests, if it is time to, for some 20 us. */
void opf_gather_rest(opf_gather *gather);

#endif
