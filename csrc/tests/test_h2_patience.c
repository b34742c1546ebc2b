/* Frames are counted by their heads, however they come in pieces. */
#include "base/clock.h"
#include "http/h2_patience.h"
#include "opf_test.h"

/* PING, DATA of three bytes, an empty SETTINGS. */
static const uint8_t frames[] = "\0\0\x08\6\0\0\0\0\0"
                                "12345678"
                                "\0\0\3\0\0\0\0\0\1"
                                "abc"
                                "\0\0\0\4\0\0\0\0\0";

TEST(pieces_of_any_size)
{
    const size_t len = sizeof(frames) - 1;
    for (size_t piece = 1; piece <= len; piece++) {
        opf_h2_patience patience = {0};
        uint64_t cost = 0;
        for (size_t at = 0; at < len; at += piece)
            cost +=
                opf_h2_patience_cost(&patience, frames + at, len - at < piece ? len - at : piece);
        CHECK_EQ_INT(cost, 3);
        CHECK_EQ_INT(patience.type, 4);
    }
}

TEST(bytes_count_too)
{
    static uint8_t frame[9 + 16384] = "\0\x40\0\xfa";
    opf_h2_patience patience = {0};
    CHECK_EQ_INT(opf_h2_patience_cost(&patience, frame, sizeof(frame)),
                 1 + sizeof(frame) / OPF_H2_PATIENCE_BYTES);
    CHECK_EQ_INT(patience.type, 0xfa);
}

TEST(spent_and_whole_again)
{
    opf_h2_patience patience = {0};
    opf_h2_patience_restore(&patience);
    CHECK(opf_h2_patience_spend(&patience, OPF_H2_PATIENCE));
    CHECK(!opf_h2_patience_spend(&patience, 1));
    opf_h2_patience_grant(&patience, 2);
    CHECK(opf_h2_patience_spend(&patience, 2));
    opf_h2_patience_renew(&patience, OPF_NS_PER_S - 1);
    CHECK(!opf_h2_patience_spend(&patience, 1));
    opf_h2_patience_renew(&patience, OPF_NS_PER_S);
    CHECK(opf_h2_patience_spend(&patience, OPF_H2_PATIENCE));
    /* what is granted beyond it stays */
    opf_h2_patience_grant(&patience, 2 * OPF_H2_PATIENCE);
    opf_h2_patience_restore(&patience);
    CHECK(opf_h2_patience_spend(&patience, 2 * OPF_H2_PATIENCE));
}

OPF_TEST_MAIN
