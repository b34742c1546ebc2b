#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "agent/eval_own.h"
#include "agent/number.h"

static const char too_large[] = OPF_TOO_LARGE;
static const char by_zero[] = "ZeroDivisionError: division by zero";

/* a / b, rounded once: the quotient has more bits than a float, and stands for what is left. */
static double divide(int64_t a, int64_t b)
{
    uint64_t x = a < 0 ? 0 - (uint64_t)a : (uint64_t)a, y = b < 0 ? 0 - (uint64_t)b : (uint64_t)b;
    int shift = x ? __builtin_clzll(x) + 64 : 0;
    unsigned __int128 n = (unsigned __int128)x << shift, quotient = n / y;
    quotient |= n % y != 0;
    return copysign(ldexp((double)quotient, -shift), (a < 0) != (b < 0) ? -1.0 : 1.0);
}

static int int_arithmetic(opf_eval *eval, const opf_instruction *in, int64_t a, int64_t b)
{
    int64_t i = 0;
    bool over = false;
    if (in->op == OPF_OP_ADD)
        over = __builtin_add_overflow(a, b, &i);
    else if (in->op == OPF_OP_SUB)
        over = __builtin_sub_overflow(a, b, &i);
    else if (in->op == OPF_OP_MUL)
        over = __builtin_mul_overflow(a, b, &i);
    else if (b == 0)
        return opf_eval_refuse(eval, by_zero);
    else if (in->op == OPF_OP_TRUEDIV)
        return opf_eval_put_float(eval, in->dst, divide(a, b));
    else if (in->op == OPF_OP_FLOORDIV) {
        over = a == INT64_MIN && b == -1;
        if (!over)
            i = a / b - (a % b != 0 && (a < 0) != (b < 0));
    } else if (b != -1) { /* what -1 divides leaves 0 */
        i = a % b;
        i += i != 0 && (i < 0) != (b < 0) ? b : 0;
    }
    return over ? opf_eval_refuse(eval, too_large) : opf_eval_put_int(eval, in->dst, i);
}

/* As float_divmod does it in CPython. */
static void float_divmod(double a, double b, double *div, double *mod)
{
    *mod = fmod(a, b);
    *div = (a - *mod) / b;
    if (*mod != 0.0) {
        if ((b < 0) != (*mod < 0)) {
            *mod += b;
            *div -= 1.0;
        }
    } else {
        *mod = copysign(0.0, b);
    }
    if (*div != 0.0) {
        double below = floor(*div);
        *div = *div - below > 0.5 ? below + 1.0 : below;
    } else {
        *div = copysign(0.0, a / b);
    }
}

static int float_arithmetic(opf_eval *eval, const opf_instruction *in, double a, double b)
{
    double div, mod;
    switch (in->op) {
    case OPF_OP_ADD:
        return opf_eval_put_float(eval, in->dst, a + b);
    case OPF_OP_SUB:
        return opf_eval_put_float(eval, in->dst, a - b);
    case OPF_OP_MUL:
        return opf_eval_put_float(eval, in->dst, a * b);
    default:
        break;
    }
    if (b == 0.0)
        return opf_eval_refuse(eval, by_zero);
    if (in->op == OPF_OP_TRUEDIV)
        return opf_eval_put_float(eval, in->dst, a / b);
    float_divmod(a, b, &div, &mod);
    return opf_eval_put_float(eval, in->dst, in->op == OPF_OP_MOD ? mod : div);
}

static int join(opf_eval *eval, uint32_t dst, const opf_value *a, const opf_value *b)
{
    size_t len = (size_t)a->len + b->len;
    if (len > UINT32_MAX)
        return OPF_ENOMEM;
    char *text = opf_arena_alloc(eval->arena, len);
    if (!text)
        return OPF_ENOMEM;
    if (a->len)
        memcpy(text, a->s, a->len);
    if (b->len)
        memcpy(text + a->len, b->s, b->len);
    opf_value value = {.kind = OPF_TEXT, .len = (uint32_t)len, .s = text};
    return opf_eval_put(eval, dst, &value);
}

static int arithmetic(opf_eval *eval, const opf_instruction *in)
{
    const opf_value *a = opf_eval_operand(eval, in->a), *b = opf_eval_operand(eval, in->b);
    if (in->op == OPF_OP_ADD && a->kind == OPF_TEXT && b->kind == OPF_TEXT)
        return join(eval, in->dst, a, b);
    if (!opf_is_number(a) || !opf_is_number(b))
        return opf_eval_refuse(eval, "TypeError: arithmetic with what is no number");
    if (opf_is_int(a) && opf_is_int(b))
        return int_arithmetic(eval, in, opf_int_of(a), opf_int_of(b));
    return float_arithmetic(eval, in, opf_float_of(a), opf_float_of(b));
}

static int sign(opf_eval *eval, const opf_instruction *in)
{
    const opf_value *a = opf_eval_operand(eval, in->a);
    if (!opf_is_number(a))
        return opf_eval_refuse(eval, "TypeError: arithmetic with what is no number");
    if (a->kind == OPF_FLOAT)
        return opf_eval_put_float(eval, in->dst, in->op == OPF_OP_NEG ? -a->f : fabs(a->f));
    int64_t i = opf_int_of(a);
    if (i == INT64_MIN)
        return opf_eval_refuse(eval, too_large);
    return opf_eval_put_int(eval, in->dst, in->op == OPF_OP_NEG || i < 0 ? -i : i);
}

static int put_whole(opf_eval *eval, uint32_t dst, double f)
{
    if (!isfinite(f))
        return opf_eval_refuse(eval, "OverflowError: an int of an infinite float or of NaN");
    if (f < -0x1p63 || f >= 0x1p63)
        return opf_eval_refuse(eval, too_large);
    return opf_eval_put_int(eval, dst, (int64_t)f);
}

static int to_int(opf_eval *eval, const opf_instruction *in)
{
    const opf_value *a = opf_eval_operand(eval, in->a);
    int64_t i;
    if (opf_is_int(a))
        return opf_eval_put_int(eval, in->dst, opf_int_of(a));
    if (a->kind == OPF_FLOAT)
        return put_whole(eval, in->dst, a->f);
    if (a->kind != OPF_TEXT)
        return opf_eval_refuse(eval, "TypeError: int() of what is neither a number nor a text");
    int rc = opf_number_read_int(a->s, a->len, &i, &eval->why);
    return rc == 0 ? opf_eval_put_int(eval, in->dst, i) : rc;
}

static int to_float(opf_eval *eval, const opf_instruction *in)
{
    const opf_value *a = opf_eval_operand(eval, in->a);
    double f;
    if (opf_is_number(a))
        return opf_eval_put_float(eval, in->dst, opf_float_of(a));
    if (a->kind != OPF_TEXT)
        return opf_eval_refuse(eval, "TypeError: float() of what is neither a number nor a text");
    int rc = opf_number_read_float(a->s, a->len, &f, &eval->why);
    return rc == 0 ? opf_eval_put_float(eval, in->dst, f) : rc;
}

static int round_int(opf_eval *eval, uint32_t dst, int64_t i, int64_t places)
{
    if (places >= 0)
        return opf_eval_put_int(eval, dst, i);
    if (places < -19)
        return opf_eval_put_int(eval, dst, 0);
    __int128 unit = 1;
    for (int64_t n = places; n < 0; n++)
        unit *= 10;
    __int128 rest = i % unit;
    rest += rest < 0 ? unit : 0;
    __int128 below = i - rest;
    bool up = rest * 2 > unit || (rest * 2 == unit && (below / unit) % 2 != 0);
    below += up ? unit : 0;
    if (below < INT64_MIN || below > INT64_MAX)
        return opf_eval_refuse(eval, too_large);
    return opf_eval_put_int(eval, dst, (int64_t)below);
}

/* To digits before the point (places is negative) by the decimal digits of the float: of one that
 * has any, 52 behind the point are all there are. */
static int round_tens(opf_eval *eval, uint32_t dst, double f, int64_t places)
{
    char text[OPF_NUMBER_SIZE], kept[OPF_NUMBER_SIZE] = "0";
    snprintf(text, sizeof(text), "%.52f", fabs(f));
    int64_t n = (int64_t)strspn(text, "0123456789") + places;
    if (n < 0)
        return opf_eval_put_float(eval, dst, copysign(0.0, f));
    const char *rest = text + n;
    bool tie = *rest == '5' && strcspn(rest + 1, "123456789") == strlen(rest + 1);
    bool up = tie ? n > 0 && rest[-1] % 2 != 0 : *rest >= '5';
    memcpy(kept + 1, text, (size_t)n);
    for (int64_t i = n; up; i--) {
        up = kept[i] == '9';
        kept[i] = up ? '0' : (char)(kept[i] + 1);
    }
    snprintf(kept + n + 1, sizeof(kept) - (size_t)n - 1, "e%d", (int)-places);
    double rounded = copysign(strtod(kept, NULL), f);
    return isfinite(rounded)
               ? opf_eval_put_float(eval, dst, rounded)
               : opf_eval_refuse(eval, "OverflowError: a rounded float that is too large");
}

/* To digits behind the point by the decimal digits of the float, as CPython does it. */
static int round_float(opf_eval *eval, uint32_t dst, double f, int64_t places)
{
    char text[OPF_NUMBER_SIZE + 128];
    if (!isfinite(f) || places > 323)
        return opf_eval_put_float(eval, dst, f);
    if (places < -308)
        return opf_eval_put_float(eval, dst, copysign(0.0, f));
    if (places < 0)
        return round_tens(eval, dst, f, places);
    snprintf(text, sizeof(text), "%.*f", (int)places, f);
    return opf_eval_put_float(eval, dst, strtod(text, NULL));
}

static int round_to(opf_eval *eval, const opf_instruction *in)
{
    const opf_value *a = opf_eval_operand(eval, in->a), *b = opf_eval_operand(eval, in->b);
    bool whole = b->kind == OPF_NONE || b->kind == OPF_UNSET;
    if (!opf_is_number(a) || !(whole || opf_is_int(b)))
        return opf_eval_refuse(eval, "TypeError: round() of what is no number");
    if (opf_is_int(a))
        return round_int(eval, in->dst, opf_int_of(a), whole ? 0 : opf_int_of(b));
    if (whole)
        return put_whole(eval, in->dst, nearbyint(a->f));
    return round_float(eval, in->dst, a->f, opf_int_of(b));
}

/* The first unless the second goes before it, as Python's min and max. */
static int choose(opf_eval *eval, const opf_instruction *in)
{
    const opf_value *a = opf_eval_operand(eval, in->a), *b = opf_eval_operand(eval, in->b);
    int order;
    int rc = opf_eval_compare(eval, b, a, &order);
    if (rc != 0)
        return rc;
    bool second = in->op == OPF_OP_MIN ? order < 0 : order == 1;
    return opf_eval_put(eval, in->dst, second ? b : a);
}

static int to_bool(opf_eval *eval, const opf_instruction *in)
{
    bool truth;
    int rc = opf_eval_truth(eval, opf_eval_operand(eval, in->a), &truth);
    return rc == 0 ? opf_eval_put_bool(eval, in->dst, truth) : rc;
}

int opf_eval_number(opf_eval *eval, const opf_instruction *in)
{
    switch (in->op) {
    case OPF_OP_NEG:
    case OPF_OP_ABS:
        return sign(eval, in);
    case OPF_OP_INT:
        return to_int(eval, in);
    case OPF_OP_FLOAT:
        return to_float(eval, in);
    case OPF_OP_ROUND:
        return round_to(eval, in);
    case OPF_OP_MIN:
    case OPF_OP_MAX:
        return choose(eval, in);
    case OPF_OP_BOOL:
        return to_bool(eval, in);
    default:
        return arithmetic(eval, in);
    }
}
