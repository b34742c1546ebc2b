#include <errno.h>
#include <sys/random.h>

#include "agent/eval.h"

int opf_random_init(opf_random *random)
{
    ssize_t n;
    do
        n = getrandom(random->s, sizeof(random->s), 0);
    while (n < 0 && errno == EINTR);
    if (n != (ssize_t)sizeof(random->s))
        return OPF_ESYS;
    random->s[0] |= 1; /* all zero would stay so */
    return 0;
}

static uint64_t rotate(uint64_t x, int by)
{
    return x << by | x >> (64 - by);
}

uint64_t opf_random_bits(opf_random *random)
{
    uint64_t *s = random->s;
    uint64_t result = rotate(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return result;
}

double opf_random_unit(opf_random *random)
{
    return (double)(opf_random_bits(random) >> 11) * 0x1p-53;
}

uint64_t opf_random_below(opf_random *random, uint64_t n)
{
    uint64_t refused = (0 - n) % n; /* 2^64 mod n: so many at the bottom would come too often */
    uint64_t bits;
    do
        bits = opf_random_bits(random);
    while (bits < refused);
    return bits % n;
}
