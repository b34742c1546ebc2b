#include "stats/cell.h"

#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

/* Locust's buckets: each ms up to 100, then steps of 10 ms up to a second, of 100 ms up to ten, and
 * whole seconds. The numbers are where the steps' buckets begin: a step's first value (11 of its
 * units) follows the one before it. */
#define TENS 101
#define HUNDREDS 191
#define THOUSANDS 281
#define LAST_MS 540000
#define BUCKETS (THOUSANDS + LAST_MS / 1000 - 11 + 1)
#define FIRST_UNIT 11

/* ns in whole units, half to even as Python's round() has it. */
static uint32_t round_to(uint64_t ns, uint64_t unit)
{
    uint64_t whole = ns / unit, rest = ns % unit;
    if (rest > unit / 2 || (rest == unit / 2 && (whole & 1)))
        whole++;
    return (uint32_t)whole;
}

static uint32_t bucket_of(uint64_t ns)
{
    const uint64_t ms = OPF_NS_PER_MS;
    if (ns < 100 * ms)
        return round_to(ns, ms);
    if (ns < 1000 * ms)
        return TENS + round_to(ns, 10 * ms) - FIRST_UNIT;
    if (ns < 10000 * ms)
        return HUNDREDS + round_to(ns, 100 * ms) - FIRST_UNIT;
    return THOUSANDS + round_to(ns, 1000 * ms) - FIRST_UNIT;
}

static uint32_t ms_of(uint32_t bucket)
{
    if (bucket < TENS)
        return bucket;
    if (bucket < HUNDREDS)
        return (bucket - TENS + FIRST_UNIT) * 10;
    if (bucket < THOUSANDS)
        return (bucket - HUNDREDS + FIRST_UNIT) * 100;
    return (bucket - THOUSANDS + FIRST_UNIT) * 1000;
}

/* Moves the few pairs into an array of all buckets. */
static int spread(opf_cell *cell)
{
    cell->counts = opf_mem_zalloc(BUCKETS * sizeof(*cell->counts));
    if (!cell->counts)
        return OPF_ENOMEM;
    for (uint32_t i = 0; i < cell->n_few; i++)
        cell->counts[cell->few_buckets[i]] = cell->few_counts[i];
    cell->n_few = 0;
    return 0;
}

static int count(opf_cell *cell, uint32_t bucket)
{
    if (!cell->counts) {
        for (uint32_t i = 0; i < cell->n_few; i++) {
            if (cell->few_buckets[i] == bucket) {
                cell->few_counts[i]++;
                return 0;
            }
        }
        if (cell->n_few < OPF_CELL_FEW) {
            cell->few_buckets[cell->n_few] = (uint16_t)bucket;
            cell->few_counts[cell->n_few++] = 1;
            return 0;
        }
        if (spread(cell) != 0)
            return OPF_ENOMEM;
    }
    cell->counts[bucket]++;
    return 0;
}

int opf_cell_add(opf_cell *cell, uint64_t ns, uint64_t bytes)
{
    if (ns > LAST_MS * OPF_NS_PER_MS)
        return OPF_EINVAL;
    if (count(cell, bucket_of(ns)) != 0)
        return OPF_ENOMEM;
    if (!cell->requests || ns < cell->min_ns)
        cell->min_ns = ns;
    if (ns > cell->max_ns)
        cell->max_ns = ns;
    cell->requests++;
    cell->total_ns += ns;
    cell->bytes += bytes;
    return 0;
}

bool opf_cell_next(const opf_cell *cell, uint32_t *at, uint32_t *ms, uint32_t *count_out)
{
    if (!cell->counts) {
        if (*at >= cell->n_few)
            return false;
        *ms = ms_of(cell->few_buckets[*at]);
        *count_out = cell->few_counts[*at];
        ++*at;
        return true;
    }
    while (*at < BUCKETS && !cell->counts[*at])
        ++*at;
    if (*at >= BUCKETS)
        return false;
    *ms = ms_of(*at);
    *count_out = cell->counts[*at];
    ++*at;
    return true;
}

void opf_cell_reset(opf_cell *cell)
{
    uint32_t *counts = cell->counts;
    if (counts)
        memset(counts, 0, BUCKETS * sizeof(*counts));
    *cell = (opf_cell){.counts = counts};
}

void opf_cell_fini(opf_cell *cell)
{
    opf_mem_free(cell->counts);
    *cell = (opf_cell){0};
}
