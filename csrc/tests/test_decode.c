#include "http/decode.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/mem.h"
#include "drive.h"
#include "opf_test.h"

#define LIMIT (64u << 20)
#define GZIP 31
#define ZLIB 15
#define RAW (-15)

static const uint8_t br_text[] = {0x8b, 0x06, 0x80, 0x68, 0x65, 0x6c, 0x6c, 0x6f, 0x2c,
                                  0x20, 0x62, 0x72, 0x6f, 0x74, 0x6c, 0x69, 0x0a, 0x03};
static const uint8_t br_empty[] = {0x3b};
/* a million zero bytes */
static const uint8_t br_zeros[] = {0x5b, 0x3f, 0x42, 0x8f, 0x7f, 0x02, 0x20,
                                   0x1e, 0x0b, 0x04, 0xf2, 0x73, 0x1e, 0x00};

/* Codes data with zlib and appends it to out. */
static bool code(int window_bits, const void *data, size_t len, opf_buf *out)
{
    z_stream z = {.zalloc = NULL};
    if (deflateInit2(&z, 6, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return false;
    size_t room = deflateBound(&z, len) + 32;
    bool ok = opf_buf_reserve(out, room) == 0;
    if (ok) {
        z.next_in = (Bytef *)(uintptr_t)data;
        z.avail_in = (uInt)len;
        z.next_out = out->data + out->len;
        z.avail_out = (uInt)room;
        ok = deflate(&z, Z_FINISH) == Z_STREAM_END;
        out->len += room - z.avail_out;
    }
    deflateEnd(&z);
    return ok;
}

/* Bytes that compress to about a half. */
static uint8_t *make_data(size_t len)
{
    uint8_t *data = opf_mem_alloc(len ? len : 1);
    uint32_t state = 1;
    for (size_t i = 0; data && i < len; i++) {
        state = state * 1664525 + 1013904223;
        data[i] = (uint8_t)('a' + (state >> 24) % 16);
    }
    return data;
}

static int decode(const char *coding, const void *in, size_t in_len, size_t max, opf_buf *out,
                  const char **fault)
{
    /* an exact copy, so that a read past its end is seen */
    uint8_t *copy = opf_mem_alloc(in_len ? in_len : 1);
    if (!copy)
        return OPF_ENOMEM;
    if (in_len)
        memcpy(copy, in, in_len);
    int ret = opf_decode(coding, strlen(coding), copy, in_len, max, out, fault);
    opf_mem_free(copy);
    return ret;
}

static void check_decodes(const char *coding, const void *in, size_t in_len, const void *want,
                          size_t len)
{
    opf_buf out;
    const char *fault = NULL;
    opf_buf_init(&out);
    CHECK_EQ_INT(opf_buf_append_str(&out, "before"), 0);
    CHECK_EQ_INT(decode(coding, in, in_len, len, &out, &fault), 0); /* just within the limit */
    CHECK_EQ_INT(out.len, 6 + len);
    CHECK(memcmp(out.data, "before", 6) == 0);
    CHECK(len == 0 || memcmp(out.data + 6, want, len) == 0);
    CHECK(fault == NULL);
    opf_buf_fini(&out);
    if (!len)
        return;
    CHECK_EQ_INT(opf_buf_append_str(&out, "before"), 0);
    CHECK_EQ_INT(decode(coding, in, in_len, len - 1, &out, &fault), OPF_DECODE_SIZE);
    CHECK_BYTES(out.data, out.len, "before");
    CHECK(fault != NULL);
    opf_buf_fini(&out);
}

static void check_fails(const char *coding, const void *in, size_t in_len, const char *fault_want)
{
    opf_buf out;
    const char *fault = NULL;
    opf_buf_init(&out);
    CHECK_EQ_INT(opf_buf_append_str(&out, "before"), 0);
    CHECK_EQ_INT(decode(coding, in, in_len, LIMIT, &out, &fault), OPF_DECODE_BAD);
    CHECK_STR(fault, fault_want);
    CHECK_BYTES(out.data, out.len, "before");
    opf_buf_fini(&out);
}

TEST(codings_are_known_in_any_case)
{
    static const char *known[] = {"gzip", "GZip", "x-gzip", "deflate", "br", "BR", "identity"};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        check_decodes(known[i], "", 0, "", 0);
}

TEST(what_was_coded_comes_back)
{
    static const size_t sizes[] = {0, 1, 63, 64, 1023, 1024, 1025, 65536, 300000};
    static const struct {
        const char *coding;
        int window_bits;
    } cases[] = {{"gzip", GZIP}, {"X-GZIP", GZIP}, {"deflate", ZLIB}, {"deflate", RAW}};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        uint8_t *data = make_data(sizes[i]);
        CHECK(data != NULL);
        for (size_t k = 0; k < sizeof(cases) / sizeof(cases[0]); k++) {
            opf_buf in;
            opf_buf_init(&in);
            CHECK(code(cases[k].window_bits, data, sizes[i], &in));
            check_decodes(cases[k].coding, in.data, in.len, data, sizes[i]);
            opf_buf_fini(&in);
        }
        opf_mem_free(data);
    }
    check_decodes("br", br_text, sizeof(br_text), "hello, brotli\n", 14);
    check_decodes("br", br_empty, sizeof(br_empty), "", 0);
    uint8_t *zeros = opf_mem_zalloc(1000000);
    CHECK(zeros != NULL);
    check_decodes("br", br_zeros, sizeof(br_zeros), zeros, 1000000);
    opf_mem_free(zeros);
}

TEST(identity_and_nothing_are_copied)
{
    check_decodes("identity", "text", 4, "text", 4);
    check_decodes("", "text", 4, "text", 4);
    check_decodes(" , ,\t", "text", 4, "text", 4);
    check_decodes("identity, Identity", "text", 4, "text", 4);
}

TEST(an_empty_body_decodes_to_an_empty_one)
{
    check_decodes("gzip", "", 0, "", 0);
    check_decodes("deflate", "", 0, "", 0);
    check_decodes("br", "", 0, "", 0);
    check_decodes("gzip, br", "", 0, "", 0);
}

TEST(gzip_may_have_several_members)
{
    opf_buf in;
    opf_buf_init(&in);
    CHECK(code(GZIP, "first ", 6, &in));
    CHECK(code(GZIP, "", 0, &in));
    CHECK(code(GZIP, "second", 6, &in));
    check_decodes("gzip", in.data, in.len, "first second", 12);
    size_t whole = in.len;
    /* padding, and whatever servers leave behind the end */
    CHECK_EQ_INT(opf_buf_append(&in, "\0\0\0\0\0", 5), 0);
    check_decodes("gzip", in.data, in.len, "first second", 12);
    in.len = whole;
    CHECK_EQ_INT(opf_buf_append_str(&in, "\x1f..."), 0);
    check_decodes("gzip", in.data, in.len, "first second", 12);
    /* another member that is none */
    in.len = whole;
    CHECK_EQ_INT(opf_buf_append_str(&in, "\x1f\x8b..."), 0);
    check_fails("gzip", in.data, in.len, "gzip");
    opf_buf_fini(&in);
}

TEST(bytes_behind_the_end_are_ignored)
{
    opf_buf in;
    opf_buf_init(&in);
    CHECK(code(ZLIB, "text", 4, &in) && opf_buf_append_str(&in, "more") == 0);
    check_decodes("deflate", in.data, in.len, "text", 4);
    in.len = 0;
    CHECK(code(RAW, "text", 4, &in) && opf_buf_append_str(&in, "more") == 0);
    check_decodes("deflate", in.data, in.len, "text", 4);
    in.len = 0;
    CHECK(opf_buf_append(&in, br_text, sizeof(br_text)) == 0 &&
          opf_buf_append_str(&in, "more") == 0);
    check_decodes("br", in.data, in.len, "hello, brotli\n", 14);
    opf_buf_fini(&in);
}

TEST(raw_deflate_that_looks_like_zlib_is_told_apart)
{
    /* a stored block whose padding makes a zlib header of its first two bytes, then an empty last
     * one */
    static const uint8_t tricky[] = {0x78, 0x01, 0x00, 0xfe, 0xff, 'a', 0x03, 0x00};
    check_decodes("deflate", tricky, sizeof(tricky), "a", 1);
}

TEST(lists_are_undone_from_the_last)
{
    opf_buf once, twice;
    uint8_t *data = make_data(5000);
    CHECK(data != NULL);
    opf_buf_init(&once);
    opf_buf_init(&twice);
    CHECK(code(GZIP, data, 5000, &once));
    CHECK(code(ZLIB, once.data, once.len, &twice));
    check_decodes("gzip, deflate", twice.data, twice.len, data, 5000);
    check_decodes(",GZIP ,identity,\tdeflate ,", twice.data, twice.len, data, 5000);
    check_fails("deflate, gzip", twice.data, twice.len, "gzip");
    check_fails("gzip, br, deflate", twice.data, twice.len, "br");
    opf_buf_fini(&once);
    opf_buf_fini(&twice);
    opf_mem_free(data);
}

static void check_unknown(const char *coding)
{
    opf_buf out;
    const char *fault = NULL;
    opf_buf_init(&out);
    CHECK_EQ_INT(decode(coding, "text", 4, LIMIT, &out, &fault), OPF_DECODE_UNKNOWN);
    CHECK_EQ_INT(out.len, 0);
    opf_buf_fini(&out);
}

TEST(what_is_not_built_in_is_left_alone)
{
    static const char *unknown[] = {"gzi", "gzipp", "zstd", "compress", "b", "brr"};
    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
        check_unknown(unknown[i]);
    check_unknown("gzip, zstd");
    check_unknown("zstd, gzip");
    check_unknown("gzip deflate");
    check_unknown("gzip;q=1");
    check_unknown("gzip, gzip, gzip, gzip, gzip, gzip");
}

static void check_damage(const char *coding, const char *name, const uint8_t *in, size_t len)
{
    for (size_t cut = 1; cut < len; cut++)
        check_fails(coding, in, cut, name);
}

TEST(what_is_cut_off_is_malformed)
{
    static const struct {
        const char *coding;
        int window_bits;
    } cases[] = {{"gzip", GZIP}, {"deflate", ZLIB}, {"deflate", RAW}};
    for (size_t i = 0; i < 3; i++) {
        opf_buf in;
        opf_buf_init(&in);
        CHECK(code(cases[i].window_bits, "hello, hello, hello, zlib", 25, &in));
        check_damage(cases[i].coding, cases[i].coding, in.data, in.len);
        opf_buf_fini(&in);
    }
    check_damage("br", "br", br_text, sizeof(br_text));
    check_damage("br", "br", br_zeros, sizeof(br_zeros));
}

TEST(what_is_malformed_is_told)
{
    opf_buf in;
    opf_buf_init(&in);
    check_fails("gzip", "this is no gzip at all", 22, "gzip");
    check_fails("x-gzip", "<html>", 6, "gzip");
    check_fails("deflate", "\xff\xff\xff\xff", 4, "deflate");
    check_fails("br", "\xff\xff\xff\xff", 4, "br");
    CHECK(code(GZIP, "some text", 9, &in));
    in.data[in.len - 6] ^= 1; /* the checksum */
    check_fails("gzip", in.data, in.len, "gzip");
    in.data[in.len - 6] ^= 1;
    in.data[in.len - 2] ^= 1; /* the size, which also was used as a guess */
    check_fails("gzip", in.data, in.len, "gzip");
    in.len = 0;
    CHECK(code(ZLIB, "some text", 9, &in));
    in.data[in.len - 1] ^= 1;
    check_fails("deflate", in.data, in.len, "deflate");
    opf_buf_fini(&in);
}

/* Decodes with a limit. Checks that it is kept, and how much room that took. */
static void check_bounded(const char *coding, const uint8_t *in, size_t in_len, size_t limit)
{
    opf_buf out;
    const char *fault = NULL;
    opf_buf_init(&out);
    CHECK_EQ_INT(decode(coding, in, in_len, limit, &out, &fault), OPF_DECODE_SIZE);
    CHECK_EQ_INT(out.len, 0);
    CHECK(out.cap <= 2 * limit + 64);
    CHECK(fault != NULL);
    opf_buf_fini(&out);
}

TEST(bombs_take_no_more_than_the_limit)
{
    enum { BOMB = 20000000 };
    opf_buf in, outer;
    uint8_t *zeros = opf_mem_zalloc(BOMB);
    CHECK(zeros != NULL);
    opf_buf_init(&in);
    opf_buf_init(&outer);
    CHECK(code(GZIP, zeros, BOMB, &in));
    check_bounded("gzip", in.data, in.len, 100000);
    check_bounded("gzip", in.data, in.len, 1);
    check_bounded("gzip", in.data, in.len, 0);
    CHECK(code(GZIP, in.data, in.len, &outer));
    check_bounded("gzip, gzip", outer.data, outer.len, 100000);
    check_bounded("gzip, gzip", outer.data, outer.len, 100); /* already in between */
    in.len = 0;
    CHECK(code(RAW, zeros, BOMB, &in));
    check_bounded("deflate", in.data, in.len, 100000);
    check_bounded("br", br_zeros, sizeof(br_zeros), 100000);
    check_bounded("br", br_zeros, sizeof(br_zeros), 0);
    check_bounded("identity", zeros, 1000, 999);
    opf_buf_fini(&in);
    opf_buf_fini(&outer);
    opf_mem_free(zeros);
}

TEST(a_size_that_lies_is_not_believed)
{
    opf_buf in, out;
    const char *fault = NULL;
    opf_buf_init(&in);
    opf_buf_init(&out);
    CHECK(code(GZIP, "text", 4, &in));
    memset(in.data + in.len - 4, 0xf0, 4); /* 4 GB */
    CHECK_EQ_INT(decode("gzip", in.data, in.len, SIZE_MAX, &out, &fault), OPF_DECODE_BAD);
    CHECK(out.cap < 65536);
    opf_buf_fini(&out);
    opf_buf_fini(&in);
}

TEST(random_bytes_do_no_harm)
{
    static const char *codings[] = {"gzip", "deflate", "br", "br, deflate, gzip"};
    static const uint8_t gzip_head[] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3};
    uint32_t state = 7;
    for (int round = 0; round < 4000; round++) {
        uint8_t in[200];
        opf_buf out;
        const char *fault = NULL;
        for (size_t i = 0; i < sizeof(in); i++) {
            state = state * 1664525 + 1013904223;
            in[i] = (uint8_t)(state >> 24);
        }
        if (round % 2)
            memcpy(in, gzip_head, sizeof(gzip_head));
        opf_buf_init(&out);
        int ret = decode(codings[round % 4], in, sizeof(in), 100000, &out, &fault);
        CHECK(ret == 0 || ret == OPF_DECODE_BAD || ret == OPF_DECODE_SIZE);
        CHECK(ret == 0 || (fault && out.len == 0));
        opf_buf_fini(&out);
    }
}

#ifdef OPF_FAULTS

static void check_survives(const char *coding, const uint8_t *in, size_t in_len, size_t len)
{
    bool fired = true;
    long n = 0;
    for (; fired; n++) {
        opf_buf out;
        const char *fault = NULL;
        opf_buf_init(&out);
        opf_mem_fail_after(n);
        int ret = opf_decode(coding, strlen(coding), in, in_len, LIMIT, &out, &fault);
        fired = drive_fault_fired(n);
        CHECK_EQ_INT(ret, fired ? OPF_ENOMEM : 0);
        CHECK_EQ_INT(out.len, fired ? 0 : len);
        opf_buf_fini(&out);
    }
    CHECK(n > 1);
}

TEST(no_allocation_is_taken_for_granted)
{
    opf_buf once, twice;
    uint8_t *data = make_data(100000);
    CHECK(data != NULL);
    opf_buf_init(&once);
    opf_buf_init(&twice);
    CHECK(code(GZIP, data, 100000, &once));
    check_survives("gzip", once.data, once.len, 100000);
    CHECK(code(ZLIB, once.data, once.len, &twice));
    check_survives("gzip, deflate", twice.data, twice.len, 100000);
    once.len = 0;
    CHECK(code(RAW, data, 100000, &once));
    check_survives("deflate", once.data, once.len, 100000);
    check_survives("br", br_text, sizeof(br_text), 14);
    check_survives("br", br_zeros, sizeof(br_zeros), 1000000);
    check_survives("identity", data, 100, 100);
    opf_buf_fini(&once);
    opf_buf_fini(&twice);
    opf_mem_free(data);
}

#endif

OPF_TEST_MAIN
