#include <math.h>
#include <time.h>

#include "agent/eval_own.h"

#define HEX_MAX 65536
#define STRING_MAX (1 << 20)
#define UUID_EPOCH 0x01B21DD213814000ULL /* 100 ns from 1582-10-15 to 1970 */

static int64_t clock_ns(clockid_t clock)
{
    struct timespec now = {0, 0};
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static char *put_hex(char *p, uint64_t value, int digits)
{
    for (int i = digits - 1; i >= 0; i--)
        *p++ = "0123456789abcdef"[value >> (4 * i) & 15];
    return p;
}

static int put_uuid(opf_eval *eval, uint32_t dst, uint64_t high, uint64_t low)
{
    char text[36], *p = text;
    p = put_hex(p, high >> 32, 8);
    *p++ = '-';
    p = put_hex(p, high >> 16, 4);
    *p++ = '-';
    p = put_hex(p, high, 4);
    *p++ = '-';
    p = put_hex(p, low >> 48, 4);
    *p++ = '-';
    put_hex(p, low, 12);
    return opf_eval_put_text(eval, dst, text, sizeof(text));
}

static uint64_t variant(uint64_t low)
{
    return (low & ~(3ULL << 62)) | 1ULL << 63;
}

static int uuid4(opf_eval *eval, uint32_t dst)
{
    uint64_t high = opf_random_bits(eval->random), low = opf_random_bits(eval->random);
    return put_uuid(eval, dst, (high & ~0xF000ULL) | 0x4000, variant(low));
}

/* The node is random with its multicast bit set (RFC 9562, 6.10), as no thread knows of others. */
static int uuid1(opf_eval *eval, uint32_t dst)
{
    uint64_t t = (uint64_t)(clock_ns(CLOCK_REALTIME) / 100) + UUID_EPOCH;
    uint64_t high = t << 32 | (t >> 16 & 0xFFFF0000) | 0x1000 | (t >> 48 & 0xFFF);
    return put_uuid(eval, dst, high, variant(opf_random_bits(eval->random) | 1ULL << 40));
}

static int randrange(opf_eval *eval, const opf_instruction *in)
{
    const opf_value *from = opf_eval_operand(eval, in->a), *to = opf_eval_operand(eval, in->b),
                    *by = opf_eval_operand(eval, in->c);
    if (!opf_is_int(from) || !opf_is_int(to) || !opf_is_int(by))
        return opf_eval_refuse(eval, "a random int between what are no ints");
    __int128 a = opf_int_of(from), b = opf_int_of(to), c = opf_int_of(by);
    if (c == 0)
        return opf_eval_refuse(eval, "a random int in steps of 0");
    __int128 n = c > 0 ? (b - a + c - 1) / c : (b - a + c + 1) / c;
    if (n <= 0)
        return opf_eval_refuse(eval, "a random int of an empty range");
    if (n > UINT64_MAX)
        n = UINT64_MAX; /* 2^64 can't be: b is not in it */
    return opf_eval_put_int(
        eval, in->dst, (int64_t)(a + c * (__int128)opf_random_below(eval->random, (uint64_t)n)));
}

static double gauss(opf_random *random)
{
    double radius = sqrt(-2.0 * log(1.0 - opf_random_unit(random)));
    return radius * cos(2.0 * M_PI * opf_random_unit(random));
}

static int distribution(opf_eval *eval, const opf_instruction *in)
{
    const opf_value *first = opf_eval_operand(eval, in->a);
    const opf_value *second =
        in->what == OPF_GEN_EXPOVARIATE ? first : opf_eval_operand(eval, in->b);
    if (!opf_is_number(first) || !opf_is_number(second))
        return opf_eval_refuse(eval, "a random number by what are no numbers");
    double a = opf_float_of(first), b = opf_float_of(second), f;
    if (in->what == OPF_GEN_UNIFORM)
        f = a + (b - a) * opf_random_unit(eval->random);
    else if (in->what == OPF_GEN_GAUSS)
        f = a + b * gauss(eval->random);
    else if (a == 0.0)
        return opf_eval_refuse(eval, "ZeroDivisionError: float division by zero");
    else
        f = -log(1.0 - opf_random_unit(eval->random)) / a;
    return opf_eval_put_float(eval, in->dst, f);
}

/* A size from 0 to most. */
static int get_size(opf_eval *eval, opf_operand operand, int64_t most, int64_t *size)
{
    const opf_value *value = opf_eval_operand(eval, operand);
    if (!opf_is_int(value))
        return opf_eval_refuse(eval, "a size that is no int");
    *size = opf_int_of(value);
    if (*size < 0 || *size > most)
        return opf_eval_refuse(eval, "a size that is negative or too large");
    return 0;
}

static int random_bits(opf_eval *eval, const opf_instruction *in)
{
    int64_t n;
    int rc = get_size(eval, in->a, 63, &n);
    if (rc != 0)
        return rc;
    return opf_eval_put_int(eval, in->dst,
                            n ? (int64_t)(opf_random_bits(eval->random) >> (64 - n)) : 0);
}

static int random_hex(opf_eval *eval, const opf_instruction *in)
{
    int64_t n;
    int rc = get_size(eval, in->a, HEX_MAX, &n);
    if (rc != 0)
        return rc;
    char *text = opf_arena_alloc(eval->arena, 2 * (size_t)n), *p = text;
    if (!text)
        return OPF_ENOMEM;
    for (int64_t i = 0; i < n; i++)
        p = put_hex(p, opf_random_bits(eval->random) >> 56, 2);
    opf_value value = {.kind = OPF_TEXT, .len = (uint32_t)(2 * n), .s = text};
    return opf_eval_put(eval, in->dst, &value);
}

static int random_string(opf_eval *eval, const opf_instruction *in)
{
    int64_t n;
    const opf_value *alphabet = opf_eval_operand(eval, in->b);
    int rc = get_size(eval, in->a, STRING_MAX, &n);
    if (rc != 0)
        return rc;
    if (alphabet->kind != OPF_TEXT || alphabet->len == 0)
        return opf_eval_refuse(eval, "random characters of no alphabet");
    for (uint32_t i = 0; i < alphabet->len; i++)
        if ((unsigned char)alphabet->s[i] >= 0x80)
            return opf_eval_refuse(eval, "random characters of an alphabet beyond ASCII");
    char *text = opf_arena_alloc(eval->arena, (size_t)n);
    if (!text)
        return OPF_ENOMEM;
    for (int64_t i = 0; i < n; i++)
        text[i] = alphabet->s[opf_random_below(eval->random, alphabet->len)];
    opf_value value = {.kind = OPF_TEXT, .len = (uint32_t)n, .s = text};
    return opf_eval_put(eval, in->dst, &value);
}

static int count(opf_eval *eval, const opf_instruction *in)
{
    opf_counter *counter = &eval->plan->counters[in->a];
    return opf_eval_put_int(
        eval, in->dst,
        atomic_fetch_add_explicit(&counter->next, counter->step, memory_order_relaxed));
}

int opf_eval_gen(opf_eval *eval, const opf_instruction *in)
{
    switch ((opf_source)in->what) {
    case OPF_GEN_TIME:
        return opf_eval_put_float(eval, in->dst, (double)clock_ns(CLOCK_REALTIME) / 1e9);
    case OPF_GEN_TIME_NS:
        return opf_eval_put_int(eval, in->dst, clock_ns(CLOCK_REALTIME));
    case OPF_GEN_MONOTONIC:
        return opf_eval_put_float(eval, in->dst, (double)clock_ns(CLOCK_MONOTONIC) / 1e9);
    case OPF_GEN_NOW:
        return opf_eval_put_int(eval, in->dst, clock_ns(CLOCK_REALTIME) / 1000);
    case OPF_GEN_UUID4:
        return uuid4(eval, in->dst);
    case OPF_GEN_UUID1:
        return uuid1(eval, in->dst);
    case OPF_GEN_RANDOM:
        return opf_eval_put_float(eval, in->dst, opf_random_unit(eval->random));
    case OPF_GEN_UNIFORM:
    case OPF_GEN_GAUSS:
    case OPF_GEN_EXPOVARIATE:
        return distribution(eval, in);
    case OPF_GEN_RANDRANGE:
        return randrange(eval, in);
    case OPF_GEN_BITS:
        return random_bits(eval, in);
    case OPF_GEN_HEX:
        return random_hex(eval, in);
    case OPF_GEN_STRING:
        return random_string(eval, in);
    case OPF_GEN_COUNTER:
        return count(eval, in);
    case OPF_GEN_ORDINAL:
        return opf_eval_put_int(eval, in->dst, (int64_t)eval->ordinal);
    }
    return opf_eval_refuse(eval, "a source that does not exist");
}
