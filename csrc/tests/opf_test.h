/*
 * The least a C test program needs. A program is one file csrc/tests/test_*.c:
 *
 *     #include "opf_test.h"
 *
 *     TEST(buffer_grows)
 *     {
 *         CHECK_EQ_INT(opf_buf_init(&buf), 0);
 *         CHECK(buf.data != NULL);
 *     }
 *
 *     OPF_TEST_MAIN
 *
 * main() runs the tests in the order of the file and prints one line for each; with arguments,
 * only the tests of those names. A failed check prints file:line with both values and leaves its
 * test; the others still run. Exit code 0 when all passed, 1 otherwise. Each macro evaluates its
 * arguments once. Checks work only in the body of a TEST or in a helper that returns void, and only
 * on the main thread.
 *
 * tests/test_engine_c.py compiles each program with the whole engine under ASan and UBSan. Other .c
 * files of this folder are linked into every program.
 */
#ifndef OPF_TEST_H
#define OPF_TEST_H

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct opf_test {
    const char *name;
    void (*run)(void);
    struct opf_test *next;
};

static struct opf_test *opf_test_first;
static struct opf_test **opf_test_last = &opf_test_first;
static int opf_test_failures; /* failed checks of the whole program */

#define TEST(test)                                                                                 \
    static void test_##test(void);                                                                 \
    __attribute__((constructor)) static void test_register_##test(void)                            \
    {                                                                                              \
        static struct opf_test entry = {#test, test_##test, NULL};                                 \
        *opf_test_last = &entry;                                                                   \
        opf_test_last = &entry.next;                                                               \
    }                                                                                              \
    static void test_##test(void)

#define OPF_TEST_FAIL(...)                                                                         \
    do {                                                                                           \
        opf_test_failures++;                                                                       \
        printf("%s:%d: ", __FILE__, __LINE__);                                                     \
        printf(__VA_ARGS__);                                                                       \
        printf("\n");                                                                              \
        return;                                                                                    \
    } while (0)

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            OPF_TEST_FAIL("CHECK(%s)", #condition);                                                \
    } while (0)

/* Any integers, compared as long long; large unsigned values belong into CHECK. */
#define CHECK_EQ_INT(got, want)                                                                    \
    do {                                                                                           \
        long long opf_got = (long long)(got), opf_want = (long long)(want);                        \
        if (opf_got != opf_want)                                                                   \
            OPF_TEST_FAIL("%s is %lld, not %lld", #got, opf_got, opf_want);                        \
    } while (0)

/* C strings; NULL equals only NULL. */
#define CHECK_STR(got, want)                                                                       \
    do {                                                                                           \
        const char *opf_got = (got), *opf_want = (want);                                           \
        if (opf_got != opf_want && (!opf_got || !opf_want || strcmp(opf_got, opf_want) != 0))      \
            OPF_TEST_FAIL("%s is \"%s\", not \"%s\"", #got, opf_got ? opf_got : "(null)",          \
                          opf_want ? opf_want : "(null)");                                         \
    } while (0)

/* Bytes with a length of their own against a C string. */
#define CHECK_BYTES(got, length, want)                                                             \
    do {                                                                                           \
        const char *opf_got = (const char *)(got), *opf_want = (want);                             \
        size_t opf_length = (size_t)(length);                                                      \
        if (opf_length != strlen(opf_want) ||                                                      \
            (opf_length > 0 && memcmp(opf_got, opf_want, opf_length) != 0))                        \
            OPF_TEST_FAIL("%s is \"%.*s\" (%zu bytes), not \"%s\" (%zu bytes)", #got,              \
                          (int)opf_length, opf_got ? opf_got : "", opf_length, opf_want,           \
                          strlen(opf_want));                                                       \
    } while (0)

static int opf_test_wanted(const char *name, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], name) == 0)
            return 1;
    }
    return argc < 2;
}

static int opf_test_run(int argc, char **argv)
{
    int count = 0;

    setvbuf(stdout, NULL, _IOLBF, 0);
    for (struct opf_test *test = opf_test_first; test; test = test->next) {
        int before = opf_test_failures;

        if (!opf_test_wanted(test->name, argc, argv))
            continue;
        count++;
        test->run();
        printf("%s %s\n", opf_test_failures == before ? "ok  " : "FAIL", test->name);
    }
    if (count == 0)
        printf("no test ran\n");
    return opf_test_failures > 0 || count == 0;
}

#define OPF_TEST_MAIN                                                                              \
    int main(int argc, char **argv)                                                                \
    {                                                                                              \
        return opf_test_run(argc, argv);                                                           \
    }

#endif
