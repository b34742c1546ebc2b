#include <stdio.h>
#include <stdlib.h>

#include "agent/fleet.h"
#include "agent/tally.h"
#include "base/mem.h"
#include "drive.h"
#include "opf_test.h"

static int count(opf_tally *tally, const char *method, const char *name, uint32_t *cell)
{
    return opf_tally_count(tally, method, name, strlen(name), 1000000, 10, 5.0, cell);
}

TEST(requests_are_counted_by_method_and_name)
{
    opf_plan *plan = opf_plan_new();
    opf_tally *tally = opf_tally_new(plan, 7);
    uint32_t a = 9, b = 9, c = 9, again = 9;
    CHECK(tally && !tally->n_cells);
    CHECK_EQ_INT(count(tally, "GET", "/a", &a), 0);
    CHECK_EQ_INT(count(tally, "POST", "/a", &b), 0);
    CHECK_EQ_INT(count(tally, "GET", "/ab", &c), 0);
    CHECK_EQ_INT(count(tally, "GET", "/a", &again), 0);
    CHECK(a == again && a != b && b != c && a != c);
    CHECK_EQ_INT(tally->n_cells, 3);
    CHECK_EQ_INT(tally->cells[a].cell.requests, 2);
    CHECK_EQ_INT(tally->cells[a].cell.bytes, 20);
    CHECK_EQ_INT(tally->cells[b].cell.requests, 1);
    CHECK_STR(tally->cells[c].name, "/ab");
    CHECK_EQ_INT(tally->second, 7);
    opf_tally_free(tally);
    opf_plan_release(plan);
}

TEST(a_time_beyond_the_buckets_is_counted_in_the_last)
{
    opf_plan *plan = opf_plan_new();
    opf_tally *tally = opf_tally_new(plan, 0);
    uint32_t cell;
    CHECK_EQ_INT(opf_tally_count(tally, "GET", "/", 1, UINT64_MAX, 0, 0, &cell), 0);
    CHECK_EQ_INT(tally->cells[cell].cell.requests, 1);
    CHECK_EQ_INT(tally->lost, 0);
    opf_tally_free(tally);
    opf_plan_release(plan);
}

TEST(many_names_are_found_again)
{
    opf_plan *plan = opf_plan_new();
    opf_tally *tally = opf_tally_new(plan, 0);
    uint32_t cell;
    char name[32];
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 5000; i++) {
            snprintf(name, sizeof(name), "/%d", i);
            CHECK_EQ_INT(count(tally, "GET", name, &cell), 0);
            CHECK_STR(tally->cells[cell].name, name);
        }
    }
    CHECK_EQ_INT(tally->n_cells, 5000);
    for (uint32_t i = 0; i < 5000; i++)
        CHECK_EQ_INT(tally->cells[i].cell.requests, 2);
    opf_tally_free(tally);
    opf_plan_release(plan);
}

TEST(failures_differ_by_what_makes_their_text)
{
    opf_plan *plan = opf_plan_new();
    opf_tally *tally = opf_tally_new(plan, 0);
    char url[] = "http://h:1", text[] = "no good", other[] = "no gold";
    opf_tally_failure f = {.fault = OPF_FAULT_USER, .text = text, .text_len = 7, .url = url};
    opf_tally_fail(tally, &f);
    opf_tally_fail(tally, &f);
    f.text = other;
    opf_tally_fail(tally, &f);
    f.text_len = 0;
    opf_tally_fail(tally, &f);
    f.text = NULL;
    opf_tally_fail(tally, &f);
    f.err = 5;
    opf_tally_fail(tally, &f);
    f.reused = true;
    opf_tally_fail(tally, &f);
    f.network_s = 2;
    opf_tally_fail(tally, &f);
    f.cell = 1;
    opf_tally_fail(tally, &f);
    CHECK_EQ_INT(tally->n_failures, 8);
    CHECK_EQ_INT(tally->failures[0].count, 2);
    CHECK_STR(tally->failures[0].text, "no good");
    CHECK_STR(tally->failures[2].text, "");
    CHECK_STR(tally->failures[3].text, NULL);
    for (uint32_t i = 1; i < 8; i++)
        CHECK_EQ_INT(tally->failures[i].count, 1);
    opf_tally_free(tally);
    opf_plan_release(plan);
}

TEST(raises_are_counted_by_text_line_and_task)
{
    opf_plan *plan = opf_plan_new();
    opf_tally *tally = opf_tally_new(plan, 0);
    for (int i = 0; i < 20; i++) {
        char text[16];
        int len = snprintf(text, sizeof(text), "no %d", i % 10);
        opf_tally_raised(tally, "KeyError", text, (size_t)len, "f.py:1", "t");
    }
    opf_tally_raised(tally, "KeyError", "no 1", 4, "f.py:2", "t");
    opf_tally_raised(tally, "KeyError", "no 1", 4, "f.py:1", "u");
    opf_tally_raised(tally, "ValueError", NULL, 0, "f.py:1", "t");
    CHECK_EQ_INT(tally->n_raises, 13);
    CHECK_EQ_INT(tally->raises[0].count, 2);
    CHECK_STR(tally->raises[12].text, "");
    opf_tally_free(tally);
    opf_plan_release(plan);
}

/* Counts one of each; returns how many of the three have arrived. */
static uint64_t count_all(opf_tally *tally)
{
    uint32_t cell = 0;
    uint64_t arrived = 0;
    char url[] = "http://h", text[] = "t";
    opf_tally_failure f = {.fault = OPF_FAULT_USER, .url = url, .text = text, .text_len = 1};
    count(tally, "GET", "/", &cell);
    opf_tally_fail(tally, &f);
    opf_tally_raised(tally, "E", "t", 1, "l", "k");
    for (uint32_t i = 0; i < tally->n_cells; i++)
        arrived += tally->cells[i].cell.requests;
    for (uint32_t i = 0; i < tally->n_failures; i++)
        arrived += tally->failures[i].count;
    for (uint32_t i = 0; i < tally->n_raises; i++)
        arrived += tally->raises[i].count;
    return arrived;
}

TEST(what_has_no_memory_is_told)
{
    opf_plan *plan = opf_plan_new();
    bool fired = true;
    for (long n = 0; fired; n++) {
        opf_mem_fail_after(n);
        opf_tally *tally = opf_tally_new(plan, 0);
        uint64_t arrived = tally ? count_all(tally) : 0;
        fired = drive_fault_fired(n);
        if (!tally)
            continue;
        CHECK_EQ_INT(tally->lost, fired ? 1 : 0);
        CHECK_EQ_INT(arrived + tally->lost, 3);
        CHECK_EQ_INT(count_all(tally) + tally->lost, 6); /* goes on */
        opf_tally_free(tally);
    }
    opf_plan_release(plan);
}

OPF_TEST_MAIN
