#include "agent/value.h"

#include <math.h>

#include "agent/eval.h"
#include "agent/number.h"
#include "agent/utf8.h"
#include "base/mem.h"
#include "drive.h"
#include "opf_test.h"

static opf_value text(const char *s)
{
    return (opf_value){.kind = OPF_TEXT, .len = (uint32_t)strlen(s), .s = s};
}

static opf_value integer(int64_t i)
{
    return (opf_value){.kind = OPF_INT, .i = i};
}

static opf_value real(double f)
{
    return (opf_value){.kind = OPF_FLOAT, .f = f};
}

/* Writes the value, or "!" and why not, in a buffer of the next call. */
static const char *written_as(opf_value value, opf_encoding encoding, const opf_format *format)
{
    static char last[8192];
    opf_buf out;
    opf_why why = "?";
    opf_buf_init(&out);
    int rc = opf_value_write(&out, &value, encoding, format, &why);
    if (rc == 0)
        snprintf(last, sizeof(last), "%.*s", (int)out.len, out.data ? (char *)out.data : "");
    else
        snprintf(last, sizeof(last), "!%s", rc == OPF_EINVAL ? why : "memory");
    opf_buf_fini(&out);
    return last;
}

static const char *written(opf_value value, opf_encoding encoding)
{
    return written_as(value, encoding, NULL);
}

TEST(str_is_pythons)
{
    CHECK_STR(written(text("a\"\xC3\xA4"), OPF_AS_TEXT), "a\"\xC3\xA4");
    CHECK_STR(written(integer(INT64_MIN), OPF_AS_TEXT), "-9223372036854775808");
    CHECK_STR(written((opf_value){.kind = OPF_NONE}, OPF_AS_TEXT), "None");
    CHECK_STR(written((opf_value){.kind = OPF_BOOL, .b = true}, OPF_AS_TEXT), "True");
    CHECK_STR(written((opf_value){.kind = OPF_UNSET}, OPF_AS_TEXT), "!a value that is not there");
    opf_value json = text("[1]");
    json.kind = OPF_JSON;
    CHECK_STR(written(json, OPF_AS_TEXT), "!an object or array of JSON as text");
    CHECK_STR(written(json, OPF_AS_JSON), "[1]");
}

TEST(float_repr_is_pythons)
{
    static const struct {
        double f;
        const char *repr;
    } all[] = {{0.0, "0.0"},
               {-0.0, "-0.0"},
               {0.1, "0.1"},
               {1.0, "1.0"},
               {100.0, "100.0"},
               {1e15, "1000000000000000.0"},
               {1e16, "1e+16"},
               {123456789012345680.0, "1.2345678901234568e+17"},
               {0.0001, "0.0001"},
               {0.00001, "1e-05"},
               {1.5e300, "1.5e+300"},
               {5e-324, "5e-324"},
               {2.2250738585072014e-308, "2.2250738585072014e-308"},
               {1.7976931348623157e308, "1.7976931348623157e+308"},
               {1764083139.1234567, "1764083139.1234567"},
               {0.1 + 0.2, "0.30000000000000004"},
               {0x1p-1017, "7.120236347223045e-307"},
               {INFINITY, "inf"},
               {-INFINITY, "-inf"},
               {NAN, "nan"}};
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
        CHECK_STR(written(real(all[i].f), OPF_AS_TEXT), all[i].repr);
}

TEST(float_repr_reads_back)
{
    opf_random random = {{1, 2, 3, 4}};
    for (int i = 0; i < 20000; i++) {
        uint64_t bits = opf_random_bits(&random);
        double f, back;
        const char *why;
        memcpy(&f, &bits, sizeof(f));
        if (!isfinite(f))
            continue;
        char out[OPF_NUMBER_SIZE];
        size_t len = opf_number_write_repr(out, f);
        CHECK(len <= 24);
        CHECK_EQ_INT(opf_number_read_float(out, len, &back, &why), 0);
        CHECK(back == f);
    }
}

TEST(json_is_dumps)
{
    CHECK_STR(written(text("a\"b\\c/\n\r\t\b\f\x01\x7F"), OPF_AS_JSON),
              "\"a\\\"b\\\\c/\\n\\r\\t\\b\\f\\u0001\\u007f\"");
    CHECK_STR(written(text("\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80"), OPF_AS_JSON),
              "\"\\u00e4\\u20ac\\ud83d\\ude00\"");
    CHECK_STR(written(text("\xED\xA0\x80"), OPF_AS_JSON), "\"\\ud800\"");
    CHECK_STR(written(text("\xC3(\xFF"), OPF_AS_JSON), "\"\\ufffd(\\ufffd\"");
    CHECK_STR(written(text("a\"b"), OPF_AS_JSON_STRING), "a\\\"b");
    CHECK_STR(written((opf_value){.kind = OPF_NONE}, OPF_AS_JSON), "null");
    CHECK_STR(written((opf_value){.kind = OPF_NONE}, OPF_AS_JSON_STRING), "None");
    CHECK_STR(written((opf_value){.kind = OPF_BOOL, .b = true}, OPF_AS_JSON), "true");
    CHECK_STR(written(integer(-5), OPF_AS_JSON), "-5");
    CHECK_STR(written(real(0.5), OPF_AS_JSON), "0.5");
    CHECK_STR(written(real(NAN), OPF_AS_JSON), "NaN");
    CHECK_STR(written(real(-INFINITY), OPF_AS_JSON), "-Infinity");
    CHECK_STR(written((opf_value){.kind = OPF_UNSET}, OPF_AS_JSON), "!a value that is not there");
    CHECK_STR(written(text(""), OPF_AS_JSON), "\"\"");
}

TEST(query_is_quote_plus)
{
    CHECK_STR(written(text("a b&c=d/\xC3\xA4_.-~+%"), OPF_AS_QUERY),
              "a+b%26c%3Dd%2F%C3%A4_.-~%2B%25");
    CHECK_STR(written(text(""), OPF_AS_QUERY), "");
    CHECK_STR(written(real(1e16), OPF_AS_QUERY), "1e%2B16");
}

TEST(header_is_latin_1)
{
    CHECK_STR(written(text("a\t\xC3\xA4"), OPF_AS_HEADER), "a\t\xE4");
    CHECK_STR(written(text("\xE2\x82\xAC"), OPF_AS_HEADER),
              "!a character in a header that Latin-1 does not have");
    CHECK_STR(written(text("a\r\nb"), OPF_AS_HEADER),
              "!a control character, such as a line break, in a header");
}

static const char *formatted(opf_value value, bool zero, int width, int precision, char type)
{
    opf_format format = {
        .zero = zero, .type = type, .width = (uint16_t)width, .precision = (int16_t)precision};
    return written_as(value, OPF_AS_TEXT, &format);
}

TEST(formats_are_pythons)
{
    CHECK_STR(formatted(integer(7), true, 4, -1, 'd'), "0007");
    CHECK_STR(formatted(integer(-7), true, 4, -1, 0), "-007");
    CHECK_STR(formatted(integer(7), false, 4, -1, 0), "   7");
    CHECK_STR(formatted(integer(255), false, 0, -1, 'x'), "ff");
    CHECK_STR(formatted(integer(-255), true, 6, -1, 'X'), "-000FF");
    CHECK_STR(formatted(integer(3), false, 0, 2, 'f'), "3.00");
    CHECK_STR(formatted(integer(3), false, 0, 2, 'd'), "!an int with a precision");
    CHECK_STR(formatted((opf_value){.kind = OPF_BOOL, .b = true}, false, 3, -1, 0), "  1");
    CHECK_STR(formatted(real(2.675), false, 0, 2, 'f'), "2.67");
    CHECK_STR(formatted(real(0.5), false, 0, 0, 'f'), "0");
    CHECK_STR(formatted(real(-1.5), true, 7, 2, 'f'), "-001.50");
    CHECK_STR(formatted(real(12345.678), false, 0, 2, 'e'), "1.23e+04");
    CHECK_STR(formatted(real(12345.678), false, 0, -1, 'g'), "12345.7");
    CHECK_STR(formatted(real(1234567.0), false, 0, -1, 'g'), "1.23457e+06");
    CHECK_STR(formatted(real(3.0), false, 6, 3, 0), "   3.0");
    CHECK_STR(formatted(real(100.0), false, 6, 3, 0), " 1e+02");
    CHECK_STR(formatted(real(0.5), false, 6, -1, 0), "   0.5");
    CHECK_STR(formatted(real(0.5), false, 0, -1, 'd'), "!a float with a format for ints");
    CHECK_STR(formatted(text("\xC3\xA4z"), false, 4, 1, 's'), "\xC3\xA4   ");
    CHECK_STR(formatted(text("ab"), true, 4, -1, 0), "ab00");
    CHECK_STR(formatted(text("a"), false, 0, -1, 'd'), "!a text with a format for numbers");
    CHECK_STR(formatted((opf_value){.kind = OPF_NONE}, false, 3, -1, 0),
              "!TypeError: None with a format");
    CHECK_STR(formatted(real(1.0), false, 0, 9999, 'f'), "!a format that is too wide");
    CHECK_EQ_INT(strlen(formatted(real(-1.7976931348623157e308), false, 0, 255, 'f')), 566);
    CHECK_EQ_INT(strlen(formatted(real(-1.7976931348623157e308), false, 0, 255, 'e')), 263);
}

TEST(int_of_a_text)
{
    static const struct {
        const char *text;
        int rc;
        int64_t i;
    } all[] = {{" 42\n", 0, 42},
               {"-1_000", 0, -1000},
               {"+0", 0, 0},
               {"9223372036854775807", 0, INT64_MAX},
               {"-9223372036854775808", 0, INT64_MIN},
               {"9223372036854775808", OPF_EINVAL, 0},
               {"", OPF_EINVAL, 0},
               {"-", OPF_EINVAL, 0},
               {"1__0", OPF_EINVAL, 0},
               {"_1", OPF_EINVAL, 0},
               {"1_", OPF_EINVAL, 0},
               {"\x1c"
                "1",
                OPF_EINVAL, 0}, /* white space to str.strip() alone */
               {"1.0", OPF_EINVAL, 0}};
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
        int64_t n = 0;
        const char *why;
        CHECK_EQ_INT(opf_number_read_int(all[i].text, strlen(all[i].text), &n, &why), all[i].rc);
        CHECK_EQ_INT(n, all[i].i);
    }
}

TEST(float_of_a_text)
{
    static const struct {
        const char *text;
        int rc;
        double f;
    } all[] = {{" 1.5 ", 0, 1.5},
               {"1_0.2_5e1", 0, 102.5},
               {".5", 0, 0.5},
               {"5.", 0, 5.0},
               {"-1e-2", 0, -0.01},
               {"1E400", 0, INFINITY},
               {"-Infinity", 0, -INFINITY},
               {"inf", 0, INFINITY},
               {"1e999999999999999999999", 0, INFINITY},
               {".", OPF_EINVAL, 0},
               {"e5", OPF_EINVAL, 0},
               {"1e", OPF_EINVAL, 0},
               {"1_.5", OPF_EINVAL, 0},
               {"0x10", OPF_EINVAL, 0},
               {"1 2", OPF_EINVAL, 0},
               {"1\x1f", OPF_EINVAL, 0},
               {"-", OPF_EINVAL, 0},
               {"", OPF_EINVAL, 0}};
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
        double f = 0;
        const char *why;
        CHECK_EQ_INT(opf_number_read_float(all[i].text, strlen(all[i].text), &f, &why), all[i].rc);
        CHECK(all[i].rc != 0 || f == all[i].f);
    }
}

TEST(characters_are_counted)
{
    CHECK_EQ_INT(opf_utf8_count("a\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80", 10), 4);
    CHECK_EQ_INT(opf_utf8_count("\xE2\x82", 2), 1);
    CHECK_EQ_INT(opf_utf8_count("\xC0\x80", 2), 2);
    char out[4];
    CHECK_BYTES(out, opf_utf8_put(out, 0x1F600), "\xF0\x9F\x98\x80");
    CHECK_BYTES(out, opf_utf8_put(out, 0xE4), "\xC3\xA4");
}

TEST(writing_survives_every_failed_allocation)
{
    static const opf_encoding encodings[] = {OPF_AS_TEXT, OPF_AS_JSON, OPF_AS_JSON_STRING,
                                             OPF_AS_QUERY, OPF_AS_HEADER};
    char long_text[300];
    memset(long_text, 'a', sizeof(long_text));
    opf_value value = {.kind = OPF_TEXT, .len = sizeof(long_text), .s = long_text};
    for (size_t i = 0; i < sizeof(encodings) / sizeof(*encodings); i++) {
        for (long n = 0;; n++) {
            opf_buf out;
            opf_why why;
            opf_buf_init(&out);
            opf_mem_fail_after(n);
            int rc = opf_value_write(&out, &value, encodings[i], NULL, &why);
            bool fired = drive_fault_fired(n);
            opf_buf_fini(&out);
            CHECK_EQ_INT(rc, fired ? OPF_ENOMEM : 0);
            if (!fired)
                break;
        }
    }
}

TEST(arena_gives_all_back_at_once)
{
    opf_arena arena = {0};
    char *first = opf_arena_alloc(&arena, 10);
    char *second = opf_arena_alloc(&arena, 10);
    CHECK(first && second && second >= first + 10);
    char *large = opf_arena_alloc(&arena, 100000);
    CHECK(large != NULL);
    memset(large, 1, 100000);
    CHECK(opf_arena_alloc(&arena, OPF_ARENA_MAX) == NULL);
    CHECK(opf_arena_alloc(&arena, SIZE_MAX) == NULL);
    CHECK(opf_arena_alloc(&arena, 0) != NULL);
    opf_arena_clear(&arena);
    CHECK_EQ_INT(arena.used, 0);
    CHECK(arena.blocks == NULL); /* the last one was large */
    first = opf_arena_alloc(&arena, 10);
    opf_arena_clear(&arena);
    CHECK(first && opf_arena_alloc(&arena, 10) == first);
    opf_arena_clear(&arena);
    CHECK(opf_arena_alloc(&arena, OPF_ARENA_MAX) != NULL);
    opf_arena_clear(&arena);
    opf_arena_fini(&arena);
    opf_mem_fail_after(0);
    CHECK(opf_arena_alloc(&arena, 1) == NULL);
    opf_mem_fail_after(-1);
}

TEST(random_is_spread)
{
    opf_random random;
    CHECK_EQ_INT(opf_random_init(&random), 0);
    int counts[7] = {0};
    for (int i = 0; i < 7000; i++) {
        uint64_t n = opf_random_below(&random, 7);
        CHECK(n < 7);
        counts[n]++;
        double unit = opf_random_unit(&random);
        CHECK(unit >= 0 && unit < 1);
    }
    for (int i = 0; i < 7; i++)
        CHECK(counts[i] > 700 && counts[i] < 1300);
    CHECK(opf_random_below(&random, UINT64_MAX) < UINT64_MAX);
    CHECK_EQ_INT(opf_random_below(&random, 1), 0);
}

TEST(random_is_xoshiro)
{
    opf_random random = {{1, 2, 3, 4}}; /* the first numbers of the reference implementation */
    CHECK(opf_random_bits(&random) == 11520);
    CHECK(opf_random_bits(&random) == 0);
    CHECK(opf_random_bits(&random) == 1509978240);
}

OPF_TEST_MAIN
