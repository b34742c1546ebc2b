/* When a thread rests before it looks for responses again. */
#include "opf_test.h"

#include "base/clock.h"
#include "client/gather.h"

#define MANY 200 /* streams under way */

/* Lets a while go by, of which a part was spent waiting. */
static void spend(opf_gather *gather, uint64_t *now, uint64_t waited, uint64_t ns)
{
    opf_gather_note_wait(gather, *now + ns - waited, *now + ns);
    *now += ns;
}

static bool is_due(opf_gather *gather, uint32_t came, uint32_t n_streams)
{
    opf_gather_note_poll(gather, came, n_streams);
    return gather->is_due;
}

TEST(a_busy_thread_rests_when_little_has_come)
{
    opf_gather gather = {0};
    uint64_t now = OPF_NS_PER_S;
    spend(&gather, &now, 0, OPF_NS_PER_S); /* the first period began long ago */
    spend(&gather, &now, 0, 2 * OPF_NS_PER_MS);
    CHECK(is_due(&gather, 1, MANY));
    CHECK(is_due(&gather, 15, MANY));
    CHECK(!is_due(&gather, 0, MANY));  /* it was something else that came */
    CHECK(!is_due(&gather, 16, MANY)); /* it was worth it */
    CHECK(!is_due(&gather, 1, 8));     /* the server may run out of work */
    CHECK(is_due(&gather, 1, 16));
    CHECK(!is_due(&gather, 2, 16));
    CHECK(is_due(&gather, 1, MANY));
    opf_gather_rest(&gather);
    CHECK(!gather.is_due); /* once */
}

TEST(a_thread_that_waits_does_not_rest)
{
    opf_gather gather = {0};
    uint64_t now = OPF_NS_PER_S;
    spend(&gather, &now, OPF_NS_PER_S / 2, OPF_NS_PER_S);
    CHECK(!is_due(&gather, 1, MANY));
    for (int i = 0; i < 20; i++) /* together more than an eighth of the period */
        spend(&gather, &now, 20000, 100000);
    CHECK(!is_due(&gather, 1, MANY));
    for (int i = 0; i < 20; i++)
        spend(&gather, &now, 5000, 100000);
    CHECK(is_due(&gather, 1, MANY));
    for (int i = 0; i < 20; i++)
        spend(&gather, &now, 50000, 100000);
    CHECK(!is_due(&gather, 1, MANY));
}

TEST(what_was_before_there_were_streams_does_not_count)
{
    opf_gather gather = {0};
    uint64_t now = OPF_NS_PER_S;
    spend(&gather, &now, 0, OPF_NS_PER_S);
    spend(&gather, &now, 0, 2 * OPF_NS_PER_MS);
    CHECK(is_due(&gather, 1, MANY));
    CHECK(!is_due(&gather, 1, 0)); /* the last one has ended */
    now += 10 * OPF_NS_PER_S;      /* of which nobody takes note */
    spend(&gather, &now, 100000, 100000);
    CHECK(!is_due(&gather, 1, MANY));
    spend(&gather, &now, 0, 2 * OPF_NS_PER_MS);
    CHECK(is_due(&gather, 1, MANY));
}

OPF_TEST_MAIN
