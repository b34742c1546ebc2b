#include "base/clock.h"

/* Two readings in a row take some 50 ns; a pair that took longer was interrupted and tells a wrong
 * distance. */
#define PAIR_NS_MAX 5000
#define PAIR_TRIES 4

/* How much the distance may move without a step: slewing is limited to 500 ppm (adjtimex(2)), the
 * rest is the error of a pair that was interrupted at every try. */
#define SLEW_PER_MS 500
#define STEP_FLOOR_NS 200000

void opf_stampclock_init(opf_stampclock *clock)
{
    clock->offset = 0;
    clock->sampled = 0;
    clock->trusted = false;
}

void opf_stampclock_note(opf_stampclock *clock, uint64_t mono, uint64_t real)
{
    int64_t offset = (int64_t)real - (int64_t)mono;
    if (clock->sampled) {
        int64_t moved = offset - clock->offset;
        int64_t slewed =
            (int64_t)((mono - clock->sampled) / OPF_NS_PER_MS) * SLEW_PER_MS + STEP_FLOOR_NS;
        clock->trusted = moved <= slewed && moved >= -slewed;
    }
    clock->offset = offset;
    clock->sampled = mono;
}

uint64_t opf_stampclock_sample(opf_stampclock *clock)
{
    uint64_t mono = 0, real = 0, after = 0;
    for (int i = 0; i < PAIR_TRIES; i++) {
        mono = opf_clock_mono();
        real = opf_clock_real();
        after = opf_clock_mono();
        if (after - mono < PAIR_NS_MAX)
            break;
    }
    opf_stampclock_note(clock, mono, real);
    return after;
}

uint64_t opf_stampclock_to_mono(const opf_stampclock *clock, uint64_t stamp, uint64_t not_before,
                                uint64_t not_after)
{
    if (!stamp || !clock->trusted)
        return not_after;
    int64_t mono = (int64_t)stamp - clock->offset;
    if (mono < (int64_t)not_before || mono > (int64_t)not_after)
        return not_after;
    return (uint64_t)mono;
}
