#include <stdalign.h>
#include <string.h>

#include "base/blocks.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/mem.h"

#include "drive.h"
#include "opf_test.h"

/* Lists */

struct item {
    int number;
    opf_node node;
};

static int number_of(opf_node *node)
{
    return OPF_CONTAINER(node, struct item, node)->number;
}

TEST(lists_keep_their_order)
{
    opf_list list;
    struct item items[4];
    opf_list_init(&list);
    CHECK(opf_list_empty(&list));
    CHECK(opf_list_pop_front(&list) == NULL);
    for (int i = 0; i < 4; i++) {
        items[i].number = i;
        opf_list_init(&items[i].node);
        CHECK(!opf_node_linked(&items[i].node));
    }
    opf_list_push_back(&list, &items[1].node);
    opf_list_push_back(&list, &items[2].node);
    opf_list_push_front(&list, &items[0].node);
    opf_list_push_back(&list, &items[3].node);
    CHECK(opf_node_linked(&items[2].node));
    opf_list_remove(&items[2].node);
    CHECK(!opf_node_linked(&items[2].node));
    opf_list_remove(&items[2].node); /* is in no list */
    CHECK_EQ_INT(number_of(opf_list_pop_front(&list)), 0);
    CHECK(!opf_node_linked(&items[0].node));
    CHECK_EQ_INT(number_of(list.prev), 3);
    CHECK_EQ_INT(number_of(opf_list_pop_front(&list)), 1);
    CHECK_EQ_INT(number_of(opf_list_pop_front(&list)), 3);
    CHECK(opf_list_empty(&list));
}

/* Blocks */

TEST(blocks_are_used_again_up_to_a_number)
{
    opf_blocks blocks;
    opf_blocks_init(&blocks, 2);
    void *given[4];
    for (int i = 0; i < 4; i++) {
        given[i] = opf_blocks_alloc(&blocks, 40);
        CHECK(given[i] != NULL);
        CHECK_EQ_INT((uintptr_t)given[i] % _Alignof(max_align_t), 0);
        memset(given[i], i, 40);
    }
    for (int i = 0; i < 4; i++)
        opf_blocks_free(&blocks, given[i]); /* the last two go back */
    CHECK(opf_blocks_alloc(&blocks, 33) == given[1]);
    CHECK(opf_blocks_alloc(&blocks, 48) == given[0]);
    opf_blocks_free(&blocks, given[1]);
    void *other = opf_blocks_alloc(&blocks, 100); /* of another size */
    CHECK(other != given[1]);
    opf_blocks_free(&blocks, other);
    opf_blocks_free(&blocks, given[0]);
    opf_blocks_free(&blocks, NULL);
    opf_blocks_fini(&blocks);
}

TEST(blocks_of_every_size_keep_what_they_hold_as_they_are_resized)
{
    opf_blocks blocks;
    opf_blocks_init(&blocks, 2);
    uint8_t *block = opf_blocks_realloc(&blocks, NULL, 1);
    CHECK(block != NULL);
    block[0] = 0;
    for (size_t size = 2; size <= OPF_BLOCKS_LARGEST + 100; size++) {
        block = opf_blocks_realloc(&blocks, block, size);
        CHECK(block != NULL);
        block[size - 1] = (uint8_t)(size - 1);
        for (size_t i = 0; i < size; i++)
            CHECK_EQ_INT(block[i], (uint8_t)i);
    }
    block = opf_blocks_realloc(&blocks, block, 3);
    CHECK(block[0] == 0 && block[2] == 2);
    CHECK(opf_blocks_alloc(&blocks, SIZE_MAX - 8) == NULL);
    CHECK(opf_blocks_realloc(&blocks, block, SIZE_MAX - 8) == NULL);
    opf_blocks_free(&blocks, block);
    opf_blocks_fini(&blocks);
}

TEST(a_block_without_memory_leaves_the_old_one)
{
    opf_blocks blocks;
    opf_blocks_init(&blocks, 1);
    char *block = opf_blocks_alloc(&blocks, 10);
    memcpy(block, "it stands", 10);
    opf_mem_fail_after(0);
    CHECK(opf_blocks_realloc(&blocks, block, 200) == NULL);
    opf_mem_fail_after(0);
    CHECK(opf_blocks_alloc(&blocks, 10) == NULL);
    opf_mem_fail_after(-1);
    CHECK(strcmp(block, "it stands") == 0);
    opf_blocks_free(&blocks, block);
    opf_blocks_fini(&blocks);
}

/* Buffers */

TEST(buffers_grow_and_keep_what_they_hold)
{
    opf_buf buf;
    opf_buf_init(&buf);
    CHECK(buf.data == NULL);
    CHECK_EQ_INT(opf_buf_append(&buf, NULL, 0), 0);
    for (int i = 0; i < 1000; i++)
        CHECK_EQ_INT(opf_buf_append_str(&buf, "0123456789"), 0);
    CHECK_EQ_INT(buf.len, 10000);
    CHECK(buf.cap >= buf.len);
    for (size_t i = 0; i < buf.len; i++)
        CHECK(buf.data[i] == '0' + i % 10);
    opf_buf_fini(&buf);
    CHECK(buf.data == NULL);
    CHECK_EQ_INT(buf.cap, 0);
    CHECK_EQ_INT(opf_buf_append_str(&buf, "again"), 0);
    CHECK_BYTES(buf.data, buf.len, "again");
    opf_buf_fini(&buf);
}

TEST(reserved_room_is_not_allocated_twice)
{
    opf_buf buf;
    opf_buf_init(&buf);
    CHECK_EQ_INT(opf_buf_reserve(&buf, 5000), 0);
    CHECK_EQ_INT(buf.len, 0);
    CHECK(buf.cap >= 5000);
    uint8_t *data = buf.data;
    for (int i = 0; i < 5000; i++)
        CHECK_EQ_INT(opf_buf_append(&buf, "x", 1), 0);
    CHECK(buf.data == data);
    CHECK_EQ_INT(opf_buf_reserve(&buf, SIZE_MAX), OPF_ENOMEM);
    CHECK_EQ_INT(opf_buf_reserve(&buf, SIZE_MAX / 2), OPF_ENOMEM);
    CHECK(buf.data == data);
    CHECK_EQ_INT(buf.len, 5000);
    opf_buf_fini(&buf);
}

TEST(numbers_are_appended_in_decimal)
{
    static const struct {
        uint64_t n;
        const char *text;
    } cases[] = {{0, "0"},
                 {7, "7"},
                 {10, "10"},
                 {1234567890, "1234567890"},
                 {UINT64_MAX, "18446744073709551615"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        opf_buf buf;
        opf_buf_init(&buf);
        CHECK_EQ_INT(opf_buf_append_uint(&buf, cases[i].n), 0);
        CHECK_BYTES(buf.data, buf.len, cases[i].text);
        opf_buf_fini(&buf);
    }
}

/* Memory */

TEST(memory_is_what_malloc_gives)
{
    uint8_t *p = opf_mem_zalloc(100);
    CHECK(p != NULL);
    for (int i = 0; i < 100; i++)
        CHECK_EQ_INT(p[i], 0);
    p[99] = 9;
    p = opf_mem_realloc(p, 1000);
    CHECK(p != NULL);
    CHECK_EQ_INT(p[99], 9);
    opf_mem_free(p);
    opf_mem_free(NULL);
    char *copy = opf_mem_strdup("text");
    CHECK_STR(copy, "text");
    opf_mem_free(copy);
}

#ifdef OPF_FAULTS

TEST(the_nth_allocation_fails_once)
{
    opf_mem_fail_after(2);
    void *a = opf_mem_alloc(1), *b = opf_mem_zalloc(1), *c = opf_mem_realloc(NULL, 1);
    char *d = opf_mem_strdup("");
    opf_mem_fail_after(0);
    char *e = opf_mem_strdup("");
    opf_mem_fail_after(0);
    opf_mem_fail_after(-1);
    void *f = opf_mem_alloc(1);
    CHECK(a && b && !c && d && !e && f);
    opf_mem_free(a);
    opf_mem_free(b);
    opf_mem_free(d);
    opf_mem_free(f);
}

TEST(a_buffer_without_memory_stays_as_it_is)
{
    opf_buf buf;
    opf_buf_init(&buf);
    opf_mem_fail_after(0);
    CHECK_EQ_INT(opf_buf_append_str(&buf, "text"), OPF_ENOMEM);
    CHECK(buf.data == NULL);
    CHECK_EQ_INT(opf_buf_append_str(&buf, "text"), 0);
    size_t cap = buf.cap;
    opf_mem_fail_after(0);
    char many[1000];
    memset(many, 'x', sizeof(many));
    CHECK_EQ_INT(opf_buf_append(&buf, many, sizeof(many)), OPF_ENOMEM);
    CHECK_BYTES(buf.data, buf.len, "text");
    CHECK_EQ_INT(buf.cap, cap);
    opf_buf_fini(&buf);
}

#endif

/* Clocks */

#define REAL 1700000000000000000ULL /* a wall clock's reading */
#define SECOND OPF_NS_PER_S

TEST(the_clocks_run)
{
    uint64_t first = opf_clock_mono();
    CHECK(first > 0);
    CHECK(opf_clock_mono() >= first);
    CHECK(opf_clock_real() > REAL);
}

TEST(stamps_become_monotonic_times)
{
    opf_stampclock clock;
    opf_stampclock_init(&clock);
    /* nothing is trusted before the second sample */
    CHECK_EQ_INT(opf_stampclock_to_mono(&clock, REAL, 0, 77), 77);
    opf_stampclock_note(&clock, 100 * SECOND, REAL);
    CHECK(opf_stampclock_to_mono(&clock, REAL, 0, 200 * SECOND) == 200 * SECOND);
    opf_stampclock_note(&clock, 101 * SECOND, REAL + SECOND);
    CHECK(opf_stampclock_to_mono(&clock, REAL + 5, 0, 200 * SECOND) == 100 * SECOND + 5);
    /* a missing stamp, and those that can't be */
    CHECK(opf_stampclock_to_mono(&clock, 0, 1, 200 * SECOND) == 200 * SECOND);
    CHECK(opf_stampclock_to_mono(&clock, REAL, 100 * SECOND + 1, 200 * SECOND) == 200 * SECOND);
    CHECK(opf_stampclock_to_mono(&clock, REAL, 100 * SECOND, 200 * SECOND) == 100 * SECOND);
    CHECK(opf_stampclock_to_mono(&clock, REAL + 1, 0, 100 * SECOND) == 100 * SECOND);
    CHECK(opf_stampclock_to_mono(&clock, 5, 0, 100 * SECOND) == 100 * SECOND);
}

TEST(a_step_of_the_wall_clock_is_noticed)
{
    for (int sign = -1; sign <= 1; sign += 2) {
        opf_stampclock clock;
        uint64_t step = sign < 0 ? -(3600 * SECOND) : 3600 * SECOND;
        opf_stampclock_init(&clock);
        opf_stampclock_note(&clock, 100 * SECOND, REAL);
        opf_stampclock_note(&clock, 101 * SECOND, REAL + SECOND);
        CHECK(clock.trusted);
        opf_stampclock_note(&clock, 102 * SECOND, REAL + 2 * SECOND + step);
        CHECK(!clock.trusted);
        CHECK(opf_stampclock_to_mono(&clock, REAL + 2 * SECOND + step, 0, 102 * SECOND) ==
              102 * SECOND);
        CHECK(opf_stampclock_to_mono(&clock, REAL + 2 * SECOND, 0, 102 * SECOND) == 102 * SECOND);
        /* and is over when the distance stays */
        opf_stampclock_note(&clock, 103 * SECOND, REAL + 3 * SECOND + step);
        CHECK(clock.trusted);
        CHECK(opf_stampclock_to_mono(&clock, REAL + 3 * SECOND + step - 7, 0, 103 * SECOND) ==
              103 * SECOND - 7);
    }
}

TEST(slewing_is_no_step)
{
    opf_stampclock clock;
    opf_stampclock_init(&clock);
    opf_stampclock_note(&clock, 100 * SECOND, REAL);
    /* 500 ppm of ten seconds */
    opf_stampclock_note(&clock, 110 * SECOND, REAL + 10 * SECOND + 5 * OPF_NS_PER_MS);
    CHECK(clock.trusted);
    opf_stampclock_note(&clock, 120 * SECOND, REAL + 20 * SECOND);
    CHECK(clock.trusted);
    opf_stampclock_note(&clock, 120 * SECOND + 1, REAL + 20 * SECOND + 2 * OPF_NS_PER_MS);
    CHECK(!clock.trusted);
}

TEST(the_real_clocks_are_sampled)
{
    opf_stampclock clock;
    opf_stampclock_init(&clock);
    uint64_t before = opf_clock_mono();
    uint64_t first = opf_stampclock_sample(&clock);
    CHECK(first >= before && first <= opf_clock_mono());
    /* two samples next to each other agree, unless the clock was set between them */
    for (int i = 0; i < 3 && !clock.trusted; i++)
        opf_stampclock_sample(&clock);
    CHECK(clock.trusted);
    uint64_t real = opf_clock_real();
    uint64_t mono = opf_stampclock_to_mono(&clock, real, before, opf_clock_mono() + SECOND);
    CHECK(mono >= before && mono <= opf_clock_mono() + OPF_NS_PER_MS);
}

OPF_TEST_MAIN
