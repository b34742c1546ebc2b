#include "agent/eval.h"

#include <math.h>
#include <stdlib.h>

#include "agent/regex.h"
#include "base/mem.h"
#include "drive.h"
#include "opf_test.h"

/* Registers 0 and 1 are slots, 2 to 5 the task's; constants are what a test sets. */
enum { N_SLOTS = 2, N_REGISTERS = 6, N_CONSTANTS = 4 };

typedef struct bench {
    opf_plan plan;
    opf_eval eval;
    opf_value constants[N_CONSTANTS];
    opf_value slots[N_SLOTS];
    opf_value registers[N_REGISTERS - N_SLOTS];
    opf_arena arena;
    opf_random random;
    opf_buf scratch;
    opf_url site;
} bench;

static bench b;

static void begin(void)
{
    memset(&b, 0, sizeof(b));
    b.plan.n_slots = N_SLOTS;
    b.plan.n_registers = N_REGISTERS;
    b.plan.constants = b.constants;
    b.plan.n_constants = N_CONSTANTS;
    b.random = (opf_random){{1, 2, 3, 4}};
    opf_why why;
    opf_url_parse("http://h/", 9, &b.site, &why);
    b.eval = (opf_eval){.plan = &b.plan,
                        .site = &b.site,
                        .slots = b.slots,
                        .registers = b.registers,
                        .arena = &b.arena,
                        .random = &b.random,
                        .ordinal = 7,
                        .scratch = &b.scratch,
                        .why = "?"};
}

static void end(void)
{
    for (int i = 0; i < N_SLOTS; i++)
        opf_slot_clear(&b.slots[i]);
    opf_arena_fini(&b.arena);
    opf_buf_fini(&b.scratch);
}

static opf_value text(const char *s)
{
    return (opf_value){.kind = OPF_TEXT, .len = (uint32_t)strlen(s), .s = s};
}

static opf_value json(const char *s)
{
    return (opf_value){.kind = OPF_JSON, .len = (uint32_t)strlen(s), .s = s};
}

static opf_value integer(int64_t i)
{
    return (opf_value){.kind = OPF_INT, .i = i};
}

static opf_value real(double f)
{
    return (opf_value){.kind = OPF_FLOAT, .f = f};
}

static const opf_value none = {.kind = OPF_NONE}, unset = {.kind = OPF_UNSET},
                       yes = {.kind = OPF_BOOL, .b = true}, no = {.kind = OPF_BOOL, .b = false};

static const char *shown(const opf_value *value)
{
    static char last[4096];
    opf_buf out;
    opf_why why;
    opf_buf_init(&out);
    if (value->kind == OPF_UNSET)
        snprintf(last, sizeof(last), "unset");
    else if (opf_value_write(&out, value, value->kind == OPF_JSON ? OPF_AS_JSON : OPF_AS_TEXT, NULL,
                             &why) == 0)
        snprintf(last, sizeof(last), "%.*s", (int)out.len, out.data ? (char *)out.data : "");
    opf_buf_fini(&out);
    return last;
}

/* Executes an instruction of three constants, and shows the result or "!" and why not. */
static const char *run(opf_instruction in, opf_value x, opf_value y, opf_value z)
{
    static char last[4096];
    begin();
    b.constants[0] = x;
    b.constants[1] = y;
    b.constants[2] = z;
    in.dst = 2;
    in.a = ~0;
    if (in.op != OPF_OP_STRIP)
        in.b = ~1;
    if (in.op != OPF_OP_DATE_ISO)
        in.c = ~2;
    int rc = opf_eval_step(&b.eval, &in);
    snprintf(last, sizeof(last), "%s%s", rc == 0 ? "" : "!",
             rc == 0            ? shown(&b.registers[0])
             : rc == OPF_EINVAL ? b.eval.why
                                : "memory");
    end();
    return last;
}

static const char *two(opf_op op, opf_value x, opf_value y)
{
    return run((opf_instruction){.op = op}, x, y, none);
}

static const char *one(opf_op op, opf_value x)
{
    return two(op, x, none);
}

TEST(ints_are_pythons)
{
    CHECK_STR(two(OPF_OP_ADD, integer(2), yes), "3");
    CHECK_STR(two(OPF_OP_ADD, integer(INT64_MAX), integer(1)),
              "!OverflowError: an int beyond 64 bits");
    CHECK_STR(two(OPF_OP_SUB, integer(INT64_MIN), integer(1)),
              "!OverflowError: an int beyond 64 bits");
    CHECK_STR(two(OPF_OP_MUL, integer(INT64_MIN), integer(-1)),
              "!OverflowError: an int beyond 64 bits");
    CHECK_STR(two(OPF_OP_TRUEDIV, integer(7), integer(2)), "3.5");
    CHECK_STR(two(OPF_OP_TRUEDIV, integer(7), integer(0)), "!ZeroDivisionError: division by zero");
    CHECK_STR(two(OPF_OP_TRUEDIV, integer(0), integer(-5)), "-0.0");
    CHECK_STR(two(OPF_OP_TRUEDIV, integer(INT64_MIN), integer(INT64_MIN)), "1.0");
    /* quotients that a long double would have rounded before a float did */
    CHECK_STR(two(OPF_OP_TRUEDIV, integer(1), integer(-536333349736540)),
              "-1.8645120623045806e-15");
    CHECK_STR(two(OPF_OP_TRUEDIV, integer(7569484630282155), integer(-1409665838442271)),
              "-5.369701402884739");
    CHECK_STR(two(OPF_OP_TRUEDIV, integer(-6147798094393121), integer(-8920563881167824045)),
              "0.0006891714667692385");
    CHECK_STR(two(OPF_OP_FLOORDIV, integer(-7), integer(2)), "-4");
    CHECK_STR(two(OPF_OP_FLOORDIV, integer(7), integer(-2)), "-4");
    CHECK_STR(two(OPF_OP_FLOORDIV, integer(INT64_MIN), integer(-1)),
              "!OverflowError: an int beyond 64 bits");
    CHECK_STR(two(OPF_OP_FLOORDIV, integer(1), integer(0)), "!ZeroDivisionError: division by zero");
    CHECK_STR(two(OPF_OP_MOD, integer(-7), integer(3)), "2");
    CHECK_STR(two(OPF_OP_MOD, integer(7), integer(-3)), "-2");
    CHECK_STR(two(OPF_OP_MOD, integer(INT64_MIN), integer(-1)), "0");
    CHECK_STR(two(OPF_OP_MOD, integer(1), integer(0)), "!ZeroDivisionError: division by zero");
    CHECK_STR(one(OPF_OP_NEG, integer(INT64_MIN)), "!OverflowError: an int beyond 64 bits");
    CHECK_STR(one(OPF_OP_NEG, yes), "-1");
    CHECK_STR(one(OPF_OP_ABS, integer(-5)), "5");
}

TEST(floats_are_pythons)
{
    CHECK_STR(two(OPF_OP_ADD, real(0.1), real(0.2)), "0.30000000000000004");
    CHECK_STR(two(OPF_OP_MUL, real(1.5), integer(2)), "3.0");
    CHECK_STR(two(OPF_OP_FLOORDIV, real(-7.5), integer(2)), "-4.0");
    CHECK_STR(two(OPF_OP_MOD, real(-7.5), integer(2)), "0.5");
    CHECK_STR(two(OPF_OP_MOD, real(6.0), real(-3.0)), "-0.0");
    CHECK_STR(two(OPF_OP_MOD, real(1.0), real(0.0)), "!ZeroDivisionError: division by zero");
    CHECK_STR(one(OPF_OP_ABS, real(-0.5)), "0.5");
    CHECK_STR(two(OPF_OP_ROUND, real(2.5), none), "2");
    CHECK_STR(two(OPF_OP_ROUND, real(2.675), integer(2)), "2.67");
    CHECK_STR(two(OPF_OP_ROUND, real(1250.0), integer(-2)), "1200.0");
    CHECK_STR(two(OPF_OP_ROUND, real(1250.0000000000002), integer(-2)), "1300.0");
    CHECK_STR(two(OPF_OP_ROUND, real(-9950.0), integer(-2)), "-10000.0");
    CHECK_STR(two(OPF_OP_ROUND, real(5.0), integer(-1)), "0.0");
    CHECK_STR(two(OPF_OP_ROUND, real(-5.000000000000001), integer(-1)), "-10.0");
    CHECK_STR(two(OPF_OP_ROUND, real(-4.0), integer(-2)), "-0.0");
    CHECK_STR(two(OPF_OP_ROUND, real(1.1417981541647678e+46), integer(-3)),
              "1.1417981541647678e+46");
    CHECK_STR(two(OPF_OP_ROUND, real(1.3983839803942855e+247), integer(-246)), "1.4e+247");
    CHECK_STR(two(OPF_OP_ROUND, real(1.7976931348623157e308), integer(-308)),
              "!OverflowError: a rounded float that is too large");
    CHECK_STR(two(OPF_OP_ROUND, integer(250), integer(-2)), "200");
    CHECK_STR(two(OPF_OP_ROUND, integer(-250), integer(-2)), "-200");
    CHECK_STR(two(OPF_OP_ROUND, integer(350), integer(-2)), "400");
    CHECK_STR(two(OPF_OP_ROUND, integer(INT64_MAX), integer(-1)),
              "!OverflowError: an int beyond 64 bits");
    CHECK_STR(two(OPF_OP_ROUND, real(INFINITY), none),
              "!OverflowError: an int of an infinite float or of NaN");
    CHECK_STR(two(OPF_OP_ROUND, real(1e300), none), "!OverflowError: an int beyond 64 bits");
    CHECK_STR(two(OPF_OP_ROUND, real(-1.7976931348623157e308), integer(323)),
              "-1.7976931348623157e+308");
    CHECK_STR(two(OPF_OP_ADD, text("a"), integer(1)),
              "!TypeError: arithmetic with what is no number");
    CHECK_STR(two(OPF_OP_ADD, unset, integer(1)), "!TypeError: arithmetic with what is no number");
}

TEST(kinds_are_converted)
{
    CHECK_STR(one(OPF_OP_INT, real(-2.9)), "-2");
    CHECK_STR(one(OPF_OP_INT, text(" 12 ")), "12");
    CHECK_STR(one(OPF_OP_INT, text("x")), "!int() of a text that is no number");
    CHECK_STR(one(OPF_OP_INT, none), "!TypeError: int() of what is neither a number nor a text");
    CHECK_STR(one(OPF_OP_FLOAT, text("1e3")), "1000.0");
    CHECK_STR(one(OPF_OP_FLOAT, integer(3)), "3.0");
    CHECK_STR(one(OPF_OP_BOOL, text("")), "False");
    CHECK_STR(one(OPF_OP_BOOL, json("[0]")), "True");
    CHECK_STR(one(OPF_OP_BOOL, json("{}")), "False");
    CHECK_STR(one(OPF_OP_BOOL, real(0.0)), "False");
    CHECK_STR(one(OPF_OP_BOOL, unset), "!a value that is not there");
    CHECK_STR(two(OPF_OP_MIN, integer(2), real(1.5)), "1.5");
    CHECK_STR(two(OPF_OP_MAX, integer(2), real(2.0)), "2");
    CHECK_STR(two(OPF_OP_MAX, text("a"), text("b")), "b");
    CHECK_STR(two(OPF_OP_MIN, text("a"), integer(1)),
              "!TypeError: a comparison of what has no order");
    CHECK_STR(one(OPF_OP_MOVE, text("a")), "a");
}

TEST(texts_are_pythons)
{
    CHECK_STR(two(OPF_OP_ADD, text("a"), text("b")), "ab");
    CHECK_STR(one(OPF_OP_LEN, text("a\xC3\xA4")), "2");
    CHECK_STR(one(OPF_OP_LEN, json("[1,2]")), "2");
    CHECK_STR(one(OPF_OP_LEN, integer(1)), "!TypeError: len() of what has no length");
    CHECK_STR(one(OPF_OP_LOWER, text("aBZ[")), "abz[");
    CHECK_STR(one(OPF_OP_UPPER, text("abz{")), "ABZ{");
    CHECK_STR(one(OPF_OP_UPPER, text("\xC3\xA4")), "!lower() or upper() of a text beyond ASCII");
    opf_instruction in = {.op = OPF_OP_STRIP, .b = 3};
    CHECK_STR(run(in, text(" \t a \n"), none, none), "a");
    CHECK_STR(run(in, text("  "), none, none), "");
    in.b = 1;
    CHECK_STR(run(in, text(" a "), none, none), "a ");
    in.b = 2;
    CHECK_STR(run(in, text(" a "), none, none), " a");
    in = (opf_instruction){.op = OPF_OP_REPLACE};
    CHECK_STR(run(in, text("aXbXX"), text("X"), text("yy")), "ayybyyyy");
    CHECK_STR(run(in, text("a\xC3\xA4"), text(""), text("-")), "-a-\xC3\xA4-");
    CHECK_STR(run(in, text("abc"), text("abcd"), text("-")), "abc");
    CHECK_STR(run(in, text(""), text("a"), text("-")), "");
    in = (opf_instruction){.op = OPF_OP_SLICE};
    CHECK_STR(run(in, text("a\xC3\xA4z"), integer(1), integer(2)), "\xC3\xA4");
    CHECK_STR(run(in, text("abc"), integer(-2), none), "bc");
    CHECK_STR(run(in, text("abc"), none, integer(-1)), "ab");
    CHECK_STR(run(in, text("abc"), integer(5), integer(9)), "");
    CHECK_STR(run(in, text("abc"), integer(2), integer(1)), "");
    CHECK_STR(run(in, text("abc"), integer(INT64_MIN), integer(INT64_MAX)), "abc");
    CHECK_STR(run(in, integer(1), none, none),
              "!TypeError: an operation on texts with what is none");
}

TEST(a_long_text_is_replaced_in)
{
    enum { LENGTH = 3 << 20 };
    char *all = malloc(LENGTH);
    memset(all, 'a', LENGTH);
    all[LENGTH / 2] = 'X';
    begin();
    b.constants[0] = (opf_value){.kind = OPF_TEXT, .len = LENGTH, .s = all};
    b.constants[1] = text("X");
    b.constants[2] = text("yy");
    opf_instruction in = {.op = OPF_OP_REPLACE, .dst = 2, .a = ~0, .b = ~1, .c = ~2};
    CHECK_EQ_INT(opf_eval_step(&b.eval, &in), 0);
    CHECK_EQ_INT(b.registers[0].len, LENGTH + 1);
    b.constants[1] = text("a");
    CHECK_EQ_INT(opf_eval_step(&b.eval, &in), OPF_ENOMEM);
    CHECK(b.scratch.len < 2 * OPF_ARENA_MAX); /* it is given up early */
    end();
    free(all);
}

TEST(dates_are_pythons)
{
    opf_instruction in = {.op = OPF_OP_DATE_ISO};
    CHECK_STR(run(in, integer(1764083139123456), integer(0), none),
              "2025-11-25T15:05:39.123456+00:00");
    CHECK_STR(run(in, integer(-1), integer(-5400), none), "1969-12-31T22:29:59.999999-01:30");
    in.c = 1;
    CHECK_STR(run(in, integer(1764083139123456), integer(0), none),
              "2025-11-25T15:05:39.123+00:00");
    in.c = 2;
    CHECK_STR(run(in, integer(1764083139123456), integer(0), none), "2025-11-25T15:05:39+00:00");
    CHECK_STR(run(in, integer(INT64_MAX), integer(0), none),
              "!a date before the year 1 or after 9999");
    setenv("TZ", "UTC-2", 1);
    tzset();
    CHECK_STR(run(in, integer(0), none, none), "1970-01-01T02:00:00");
    in = (opf_instruction){.op = OPF_OP_DATE_FORMAT};
    CHECK_STR(run(in, integer(1), integer(3600), text("%Y%%%d %f %z %Z")),
              "1970%01 000001 +0100 UTC+01:00");
    CHECK_STR(run(in, integer(0), none, text("%H%z")), "02");
    CHECK_STR(run(in, integer(0), none, text("")), "");
    CHECK_STR(run(in, integer(0), integer(86400), text("")),
              "!an offset from UTC of a day or more");
}

static const char *drawn(opf_source source, opf_value x, opf_value y, opf_value z)
{
    return run((opf_instruction){.op = OPF_OP_GEN, .what = source}, x, y, z);
}

TEST(values_are_drawn)
{
    CHECK_STR(drawn(OPF_GEN_ORDINAL, none, none, none), "7");
    CHECK_STR(drawn(OPF_GEN_UNIFORM, integer(3), integer(3), none), "3.0");
    CHECK_STR(drawn(OPF_GEN_RANDRANGE, integer(5), integer(6), integer(1)), "5");
    CHECK_STR(drawn(OPF_GEN_RANDRANGE, integer(5), integer(4), integer(-3)), "5");
    CHECK_STR(drawn(OPF_GEN_RANDRANGE, integer(5), integer(5), integer(1)),
              "!a random int of an empty range");
    CHECK_STR(drawn(OPF_GEN_RANDRANGE, integer(5), integer(6), integer(0)),
              "!a random int in steps of 0");
    CHECK(drawn(OPF_GEN_RANDRANGE, integer(INT64_MIN), integer(INT64_MAX), integer(1))[0] != '!');
    CHECK_STR(drawn(OPF_GEN_EXPOVARIATE, integer(0), none, none),
              "!ZeroDivisionError: float division by zero");
    CHECK_STR(drawn(OPF_GEN_BITS, integer(0), none, none), "0");
    CHECK(drawn(OPF_GEN_BITS, integer(63), none, none)[0] != '-');
    CHECK_STR(drawn(OPF_GEN_BITS, integer(64), none, none),
              "!a size that is negative or too large");
    CHECK_EQ_INT(strlen(drawn(OPF_GEN_HEX, integer(16), none, none)), 32);
    CHECK_STR(drawn(OPF_GEN_STRING, integer(3), text("a"), none), "aaa");
    CHECK_STR(drawn(OPF_GEN_STRING, integer(3), text(""), none),
              "!random characters of no alphabet");
    CHECK(strtod(drawn(OPF_GEN_TIME, none, none, none), NULL) > 1.7e9);
    CHECK(strtoll(drawn(OPF_GEN_NOW, none, none, none), NULL, 10) > 1700000000000000);
    CHECK(strtod(drawn(OPF_GEN_MONOTONIC, none, none, none), NULL) > 0);
    CHECK(strlen(drawn(OPF_GEN_TIME_NS, none, none, none)) == 19);
    CHECK(strtod(drawn(OPF_GEN_RANDOM, none, none, none), NULL) < 1);
    CHECK(drawn(OPF_GEN_GAUSS, integer(0), integer(1), none)[0] != '!');
    static const opf_source uuids[] = {OPF_GEN_UUID1, OPF_GEN_UUID4};
    for (int i = 0; i < 2; i++) {
        const char *uuid = drawn(uuids[i], none, none, none);
        CHECK_EQ_INT(strlen(uuid), 36);
        CHECK_EQ_INT(uuid[14], i == 0 ? '1' : '4');
        CHECK(strchr("89ab", uuid[19]) != NULL);
        CHECK(uuid[8] == '-' && uuid[13] == '-' && uuid[18] == '-' && uuid[23] == '-');
    }
}

TEST(counters_are_shared)
{
    opf_counter counter = {.next = 10, .step = 5};
    begin();
    b.plan.counters = &counter;
    b.plan.n_counters = 1;
    opf_instruction in = {.op = OPF_OP_GEN, .what = OPF_GEN_COUNTER, .dst = 0, .a = 0};
    CHECK_EQ_INT(opf_eval_step(&b.eval, &in), 0);
    CHECK_EQ_INT(opf_eval_step(&b.eval, &in), 0);
    CHECK_EQ_INT(b.slots[0].i, 15);
    end();
}

static const char *tested(opf_condition condition, opf_value x, opf_value y)
{
    bool holds = false;
    begin();
    b.constants[0] = x;
    b.constants[1] = y;
    opf_instruction in = {.op = OPF_OP_BRANCH, .what = condition, .a = ~0, .b = ~1};
    int rc = opf_eval_test(&b.eval, &in, &holds);
    end();
    return rc != 0 ? "error" : holds ? "yes" : "no";
}

TEST(conditions_are_pythons)
{
    CHECK_STR(tested(OPF_IF_EQ, yes, real(1.0)), "yes");
    CHECK_STR(tested(OPF_IF_EQ, text("1"), integer(1)), "no");
    CHECK_STR(tested(OPF_IF_NE, text("1"), none), "yes");
    CHECK_STR(tested(OPF_IF_EQ, none, none), "yes");
    CHECK_STR(tested(OPF_IF_EQ, real(NAN), real(NAN)), "no");
    CHECK_STR(tested(OPF_IF_NE, real(NAN), real(NAN)), "yes");
    CHECK_STR(tested(OPF_IF_EQ, integer(INT64_MAX), real(0x1p63)), "no");
    CHECK_STR(tested(OPF_IF_EQ, json("[1]"), json("[1]")), "yes");
    CHECK_STR(tested(OPF_IF_EQ, unset, none), "error");
    CHECK_STR(tested(OPF_IF_LT, integer(INT64_MAX), real(0x1p63)), "yes");
    CHECK_STR(tested(OPF_IF_LT, real(NAN), integer(1)), "no");
    CHECK_STR(tested(OPF_IF_GE, real(NAN), integer(1)), "no");
    CHECK_STR(tested(OPF_IF_GT, real(NAN), integer(1)), "no");
    CHECK_STR(tested(OPF_IF_LE, text("a"), text("a")), "yes");
    CHECK_STR(tested(OPF_IF_LT, text("a"), text("ab")), "yes");
    CHECK_STR(tested(OPF_IF_GT, text("b"), integer(1)), "error");
    CHECK_STR(tested(OPF_IF_TRUE, text("x"), none), "yes");
    CHECK_STR(tested(OPF_IF_TRUE, none, none), "no");
    CHECK_STR(tested(OPF_IF_SET, unset, none), "no");
    CHECK_STR(tested(OPF_IF_SET, none, none), "yes");
    CHECK_STR(tested(OPF_IF_NONE, none, none), "yes");
    CHECK_STR(tested(OPF_IF_IN, text("b"), text("abc")), "yes");
    CHECK_STR(tested(OPF_IF_IN, text(""), text("")), "yes");
    CHECK_STR(tested(OPF_IF_IN, integer(1), text("1")), "error");
    CHECK_STR(tested(OPF_IF_IN, integer(2), json("[1,2.0]")), "yes");
    CHECK_STR(tested(OPF_IF_IN, text("k"), json("{\"a\":1,\"\\u006b\":2}")), "yes");
    CHECK_STR(tested(OPF_IF_IN, text("2"), json("{\"a\":\"2\"}")), "no");
    CHECK_STR(tested(OPF_IF_STARTS, text("abc"), text("ab")), "yes");
    CHECK_STR(tested(OPF_IF_STARTS, text("a"), text("ab")), "no");
    CHECK_STR(tested(OPF_IF_ENDS, text("abc"), text("bc")), "yes");
    CHECK_STR(tested(OPF_IF_ENDS, integer(1), text("bc")), "error");
    begin();
    bool holds;
    b.constants[0] = no;
    opf_instruction in = {
        .op = OPF_OP_BRANCH, .what = OPF_IF_KIND, .a = ~0, .b = 1 << OPF_BOOL | 1 << OPF_INT};
    CHECK_EQ_INT(opf_eval_test(&b.eval, &in, &holds), 0);
    CHECK(holds);
    in.b = 1 << OPF_TEXT;
    CHECK_EQ_INT(opf_eval_test(&b.eval, &in, &holds), 0);
    CHECK(!holds);
    end();
}

TEST(a_register_outlives_the_slot_that_it_came_from)
{
    begin();
    opf_value old = text("the old one"), new = text("the new one");
    CHECK_EQ_INT(opf_slot_set(&b.slots[0], &old), 0);
    opf_instruction move = {.op = OPF_OP_MOVE, .dst = 2, .a = 0};
    opf_instruction part = {.op = OPF_OP_SLICE, .dst = 3, .a = 0, .b = ~0, .c = ~1};
    b.constants[0] = integer(4);
    b.constants[1] = none;
    CHECK_EQ_INT(opf_eval_step(&b.eval, &move), 0);
    CHECK_EQ_INT(opf_eval_step(&b.eval, &part), 0);
    part.dst = 0; /* a slot's part into the slot itself */
    CHECK_EQ_INT(opf_eval_step(&b.eval, &part), 0);
    CHECK_STR(shown(&b.slots[0]), "old one");
    CHECK_EQ_INT(opf_slot_set(&b.slots[0], &new), 0);
    CHECK_STR(shown(&b.registers[0]), "the old one");
    CHECK_STR(shown(&b.registers[1]), "old one");
    opf_eval_unset(&b.eval, 0);
    opf_eval_unset(&b.eval, 2);
    CHECK_EQ_INT(b.slots[0].kind, OPF_UNSET);
    CHECK_EQ_INT(b.registers[0].kind, OPF_UNSET);
    end();
}

TEST(tables_and_templates)
{
    opf_operand entries[] = {~0, ~1, 0};
    opf_table table = {.entries = entries, .n = 3};
    opf_piece pieces[] = {{.text = "{\"k\":", .len = 5},
                          {.value = ~0, .encoding = OPF_AS_JSON},
                          {.text = "", .len = 0},
                          {.value = 0}};
    opf_template tmpl = {.pieces = pieces, .n = 4};
    begin();
    b.plan.tables = &table;
    b.plan.templates = &tmpl;
    b.constants[0] = text("a");
    b.constants[1] = integer(-1);
    b.constants[2] = integer(3);
    opf_instruction pick = {.op = OPF_OP_PICK, .dst = 2, .a = ~1};
    opf_value slot = text("}");
    CHECK_EQ_INT(opf_slot_set(&b.slots[0], &slot), 0);
    CHECK_EQ_INT(opf_eval_step(&b.eval, &pick), 0);
    CHECK_STR(shown(&b.registers[0]), "}");
    pick.a = ~2;
    CHECK_EQ_INT(opf_eval_step(&b.eval, &pick), OPF_EINVAL);
    CHECK_STR(b.eval.why, "IndexError: list index out of range");
    opf_instruction write = {.op = OPF_OP_TEXT, .dst = 3};
    CHECK_EQ_INT(opf_eval_step(&b.eval, &write), 0);
    CHECK_STR(shown(&b.registers[1]), "{\"k\":\"a\"}");
    opf_eval_unset(&b.eval, 0);
    CHECK_EQ_INT(opf_eval_step(&b.eval, &write), OPF_EINVAL);
    CHECK_STR(b.eval.why, "a value that is not there");
    end();
}

TEST(members_and_searches)
{
    opf_step steps[] = {{.key = "a", .len = 1}, {.index = -1}};
    opf_path path = {.steps = steps, .n = 2};
    opf_why why;
    opf_regex *regex = opf_regex_new("id=(\\d+)(x)?", 12, 0, &why);
    begin();
    b.plan.paths = &path;
    b.plan.regexes = &regex;
    b.constants[0] = json("{\"a\":[1,\"\\u0041\"]}");
    b.constants[1] = text("id=42");
    b.constants[2] = text("none");
    opf_instruction in = {.op = OPF_OP_MEMBER, .dst = 2, .a = ~0};
    CHECK_EQ_INT(opf_eval_step(&b.eval, &in), 0);
    CHECK_STR(shown(&b.registers[0]), "A");
    in = (opf_instruction){.op = OPF_OP_SEARCH, .dst = 2, .a = ~1, .b = 1};
    CHECK_EQ_INT(opf_eval_step(&b.eval, &in), 0);
    CHECK_STR(shown(&b.registers[0]), "42");
    in.b = 2;
    CHECK_EQ_INT(opf_eval_step(&b.eval, &in), 0);
    CHECK_EQ_INT(b.registers[0].kind, OPF_NONE);
    in.a = ~2;
    CHECK_EQ_INT(opf_eval_step(&b.eval, &in), 0);
    CHECK_EQ_INT(b.registers[0].kind, OPF_UNSET);
    opf_regex_free(regex);
    end();
}

/* Responses */

#define FIELDS_MAX 8

typedef struct answer {
    opf_result result;
    opf_field fields[FIELDS_MAX];
    opf_buf head;
    char *body; /* ended by no NUL, so that ASan sees who reads on */
} answer;

static void answer_init(answer *a, const char *body)
{
    size_t len = strlen(body);
    memset(a, 0, sizeof(*a));
    a->body = malloc(len ? len : 1);
    memcpy(a->body, body, len);
    opf_buf_append_str(&a->head, "Fine");
    a->result = (opf_result){.status = 201,
                             .reason_len = 4,
                             .fields = a->fields,
                             .head = (char *)a->head.data,
                             .body = (uint8_t *)a->body,
                             .body_len = len,
                             .start_ns = 1000000000,
                             .end_ns = 1250000000};
}

static void answer_add(answer *a, const char *name, const char *value)
{
    opf_field *field = &a->fields[a->result.n_fields++];
    field->name_at = (uint32_t)a->head.len;
    field->name_len = (uint32_t)strlen(name);
    opf_buf_append_str(&a->head, name);
    field->value_at = (uint32_t)a->head.len;
    field->value_len = (uint32_t)strlen(value);
    opf_buf_append_str(&a->head, value);
    a->result.head = (char *)a->head.data;
    a->result.has_set_cookie |= strcmp(name, "Set-Cookie") == 0;
}

static void answer_fini(answer *a)
{
    opf_buf_fini(&a->head);
    free(a->body);
}

/* Takes one extract into a slot or register, and shows it when the response has gone. */
static const char *taken(answer *a, opf_extract extract)
{
    static char last[256];
    extract.dst = 2;
    int rc = opf_eval_extract(&b.eval, &extract, 1, &a->result, OPF_STYLE_HTTP, "http://h/", 9);
    snprintf(last, sizeof(last), "%s", rc == 0 ? shown(&b.registers[0]) : "!");
    return last;
}

static const char *text_of(const char *type, const char *body)
{
    answer a;
    begin();
    answer_init(&a, body);
    if (type)
        answer_add(&a, "Content-Type", type);
    const char *found = taken(&a, (opf_extract){.take = OPF_TAKE_TEXT});
    answer_fini(&a);
    end();
    return found;
}

TEST(bodies_are_read_by_their_charset)
{
    CHECK_STR(text_of("text/html; charset=UTF-8", "\xC3\xA4"), "\xC3\xA4");
    CHECK_STR(text_of("text/html; charset=\"utf-8\"; x=y", "\xC3\xA4\xFF"), "\xC3\xA4\xEF\xBF\xBD");
    CHECK_STR(text_of("text/html; charset=iso-8859-1", "\xE4"), "\xC3\xA4");
    CHECK_STR(text_of("text/html", "\xE4"), "\xC3\xA4");
    CHECK_STR(text_of("text/html; charset=ascii", "a\xE4"), "a\xEF\xBF\xBD");
    CHECK_STR(text_of("application/json", "\xC3\xA4"), "\xC3\xA4");
    CHECK_STR(text_of(NULL, "\xC3\xA4"), "\xC3\xA4");
    CHECK_STR(text_of(NULL, "\xE4"), "unset");
    CHECK_STR(text_of("text/html; charset=utf-16", "a"), "unset");
    CHECK_STR(text_of("text/html", ""), "");
}

TEST(everything_is_taken_from_a_response)
{
    answer a;
    begin();
    answer_init(&a, "{\"id\": 42}");
    answer_add(&a, "X-One", "1");
    answer_add(&a, "x-one", "\xE4");
    answer_add(&a, "Set-Cookie", "sid=abc; Path=/");
    answer_add(&a, "Set-Cookie", " other = x ");
    CHECK_STR(taken(&a, (opf_extract){.take = OPF_TAKE_STATUS}), "201");
    CHECK_STR(taken(&a, (opf_extract){.take = OPF_TAKE_OK}), "True");
    CHECK_STR(taken(&a, (opf_extract){.take = OPF_TAKE_REASON}), "Fine");
    CHECK_STR(taken(&a, (opf_extract){.take = OPF_TAKE_CONTENT}), "{\"id\": 42}");
    CHECK_STR(taken(&a, (opf_extract){.take = OPF_TAKE_SIZE}), "10");
    CHECK_STR(taken(&a, (opf_extract){.take = OPF_TAKE_ELAPSED}), "0.25");
    CHECK_STR(taken(&a, (opf_extract){.take = OPF_TAKE_HEADER, .name = "x-one"}), "1, \xC3\xA4");
    CHECK_STR(taken(&a, (opf_extract){.take = OPF_TAKE_HEADER, .name = "x-on"}), "unset");
    CHECK_STR(taken(&a, (opf_extract){.take = OPF_TAKE_COOKIE, .name = "sid"}), "abc");
    CHECK_STR(taken(&a, (opf_extract){.take = OPF_TAKE_COOKIE, .name = "other"}), "x");
    CHECK_STR(taken(&a, (opf_extract){.take = OPF_TAKE_COOKIE, .name = "si"}), "unset");
    CHECK_STR(taken(&a, (opf_extract){.take = OPF_TAKE_URL}), "http://h/");
    CHECK_STR(taken(&a, (opf_extract){.take = OPF_TAKE_IS_JSON}), "True");
    a.result.failure = OPF_FAIL_RESET;
    CHECK_STR(taken(&a, (opf_extract){.take = OPF_TAKE_OK}), "False");
    answer_fini(&a);
    end();
}

/* As the jar of requests' response.cookies has it, of a response to http://h/. */
static const char *cookie_of(const char *first, const char *second)
{
    answer a;
    begin();
    answer_init(&a, "");
    answer_add(&a, "Set-Cookie", first);
    answer_add(&a, "Set-Cookie", second);
    const char *found = taken(&a, (opf_extract){.take = OPF_TAKE_COOKIE, .name = "a"});
    answer_fini(&a);
    return found; /* and b is left for its why */
}

TEST(cookies_are_those_that_the_response_may_set)
{
    static const char *const cases[][3] = {
        {"a=1; Path=/x; HttpOnly", "b=2", "1"},
        {"a=1", "a=2", "2"},
        {"a=1", "a=2; Max-Age=0", "1"},
        {"a=1; Max-Age=0", "ba=1", "unset"},
        {"a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "b=a=1", "unset"},
        {"a=1; Domain=other.test", "A=1", "unset"},
        {"a", "a; Path=/x", "unset"},
        {"a=", "b", ""},
        {"a=\"x\\\"y\"", "b", "\"xy\""},
        {"a=\xE4; Secure", "b", "\xC3\xA4"},
        {"a=1", "a=2; Path=/x", "!"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        CHECK_STR(cookie_of(cases[i][0], cases[i][1]), cases[i][2]);
        if (*cases[i][2] == '!')
            CHECK_STR(b.eval.why, "CookieConflictError: several cookies with that name");
        end();
    }
}

TEST(a_cookie_survives_every_failed_allocation)
{
    bool fired = true;
    for (long n = 0; fired; n++) {
        answer a;
        opf_extract extract = {.take = OPF_TAKE_COOKIE, .dst = 2, .name = "a"};
        begin();
        answer_init(&a, "");
        answer_add(&a, "Set-Cookie", "a=1");
        opf_mem_fail_after(n);
        int rc = opf_eval_extract(&b.eval, &extract, 1, &a.result, OPF_STYLE_HTTP, "http://h/", 9);
        fired = drive_fault_fired(n);
        answer_fini(&a);
        CHECK_EQ_INT(rc, fired ? OPF_ENOMEM : 0);
        end();
    }
}

TEST(a_response_that_never_came_has_nothing)
{
    opf_result result = {.failure = OPF_FAIL_REFUSED};
    opf_path path = {NULL, 0};
    opf_why why;
    opf_regex *regex = opf_regex_new("a", 1, 0, &why);
    begin();
    b.plan.paths = &path;
    b.plan.regexes = &regex;
    for (int take = OPF_TAKE_STATUS; take <= OPF_TAKE_REGEX; take++) {
        opf_extract extract = {.take = (opf_take)take, .dst = 2, .name = "x"};
        CHECK_EQ_INT(opf_eval_extract(&b.eval, &extract, 1, &result, OPF_STYLE_FAST, "", 0), 0);
    }
    opf_regex_free(regex);
    end();
}

/* Takes several, into a slot too, with the n-th allocation failing. Returns as opf_eval_extract. */
static int take_several(long n, bool *fired)
{
    opf_step step = {.key = "t", .len = 1};
    opf_path path = {.steps = &step, .n = 1};
    opf_why why;
    opf_regex *regex = opf_regex_new(".t.:", 4, 0, &why);
    opf_extract extracts[] = {{.take = OPF_TAKE_JSON, .dst = 0},
                              {.take = OPF_TAKE_JSON, .dst = 2},
                              {.take = OPF_TAKE_REGEX, .dst = 3},
                              {.take = OPF_TAKE_HEADER, .dst = 4, .name = "h"},
                              {.take = OPF_TAKE_TEXT, .dst = 1}};
    answer a;
    answer_init(&a, "{\"t\":\"x\\ny\xE4\"}");
    answer_add(&a, "Content-Type", "text/plain");
    answer_add(&a, "h", "\xE4");
    b.plan.paths = &path;
    b.plan.regexes = &regex;
    opf_mem_fail_after(n);
    int rc = opf_eval_extract(&b.eval, extracts, 5, &a.result, OPF_STYLE_HTTP, "", 0);
    *fired = drive_fault_fired(n);
    opf_regex_free(regex);
    answer_fini(&a);
    return rc;
}

TEST(taking_survives_every_failed_allocation)
{
    bool fired = true;
    for (long n = 0; fired; n++) {
        begin();
        int rc = take_several(n, &fired);
        if (!fired) {
            CHECK_EQ_INT(rc, 0);
            CHECK_STR(shown(&b.slots[0]), "x\ny\xE4");
            CHECK_STR(shown(&b.registers[0]), "x\ny\xE4");
            CHECK_STR(shown(&b.registers[1]), "\"t\":");
            CHECK_STR(shown(&b.registers[2]), "\xC3\xA4");
            CHECK_STR(shown(&b.slots[1]), "{\"t\":\"x\\ny\xC3\xA4\"}");
        }
        end();
        CHECK(rc == (fired ? OPF_ENOMEM : 0));
    }
}

TEST(steps_survive_every_failed_allocation)
{
    static const opf_op ops[] = {OPF_OP_MOVE,  OPF_OP_ADD,     OPF_OP_UPPER,
                                 OPF_OP_SLICE, OPF_OP_REPLACE, OPF_OP_STRIP};
    for (size_t i = 0; i < sizeof(ops) / sizeof(*ops); i++)
        for (uint32_t dst = 1; dst <= 2; dst++) {
            bool fired = true;
            for (long n = 0; fired; n++) {
                begin();
                opf_value slot = text("abc");
                CHECK_EQ_INT(opf_slot_set(&b.slots[0], &slot), 0);
                b.constants[0] = ops[i] == OPF_OP_SLICE ? integer(1) : text("b");
                b.constants[1] = ops[i] == OPF_OP_SLICE ? none : text("xyz");
                opf_instruction in = {.op = ops[i], .dst = dst, .a = 0, .b = ~0, .c = ~1};
                opf_mem_fail_after(n);
                int rc = opf_eval_step(&b.eval, &in);
                fired = drive_fault_fired(n);
                end();
                CHECK_EQ_INT(rc, fired ? OPF_ENOMEM : 0);
            }
        }
}

OPF_TEST_MAIN
