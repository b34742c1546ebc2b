#include "client/gather.h"

#include <time.h>

#include "base/clock.h"

#define PERIOD_NS 1000000 /* of which it is told whether the thread was busy */
#define WAITED_PART 8     /* it was if it waited for less than that part of it */
#define FEW 16            /* responses, for which looking was not worth it */
#define PART 8            /* of the streams under way: the server has the others to do */
#define REST_NS 20000

void opf_gather_note_wait(opf_gather *gather, uint64_t from, uint64_t to)
{
    if (!gather->since)
        gather->since = from;
    gather->waited += to - from;
    if (to - gather->since < PERIOD_NS)
        return;
    gather->is_busy = gather->waited < (to - gather->since) / WAITED_PART;
    gather->since = to;
    gather->waited = 0;
}

void opf_gather_note_poll(opf_gather *gather, uint32_t came, uint32_t n_streams)
{
    if (!n_streams) /* waits are noted while there are some */
        *gather = (opf_gather){0};
    gather->is_due = gather->is_busy && came && came < FEW && came < n_streams / PART;
}

void opf_gather_rest(opf_gather *gather)
{
    const struct timespec rest = {.tv_nsec = REST_NS};
    if (!gather->is_due)
        return;
    gather->is_due = false;
    nanosleep(&rest, NULL); /* a signal may end it early */
}
