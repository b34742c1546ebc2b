#include "agent/json.h"

#include <stdlib.h>

#include "base/mem.h"
#include "drive.h"
#include "opf_test.h"

#define KEY(name) {.key = (name), .len = sizeof(name) - 1}
#define AT(i) {.index = (i)}
#define PATH(...)                                                                                  \
    {.steps = (opf_step[]){__VA_ARGS__}, .n = sizeof((opf_step[]){__VA_ARGS__}) / sizeof(opf_step)}

static const char *shown(const opf_value *value)
{
    static char last[512];
    opf_buf out;
    opf_why why;
    opf_buf_init(&out);
    if (value->kind == OPF_UNSET || opf_value_write(&out, value, OPF_AS_JSON, NULL, &why) != 0)
        snprintf(last, sizeof(last), "-");
    else
        snprintf(last, sizeof(last), "%.*s", (int)out.len, (char *)out.data);
    opf_buf_fini(&out);
    return last;
}

/* Finds one path in a copy of its own, so that ASan sees who reads too far. */
static const char *find(const char *json, opf_path path)
{
    static char copied[512];
    opf_arena arena = {0};
    opf_json_want want = {.path = &path};
    size_t len = strlen(json);
    char *copy = malloc(len ? len : 1);
    memcpy(copy, json, len);
    int rc = opf_json_find(copy, len, &want, 1, &arena);
    snprintf(copied, sizeof(copied), "%s", rc == 0 ? shown(&want.value) : "!");
    free(copy);
    opf_arena_fini(&arena);
    return copied;
}

TEST(paths_lead_to_values)
{
    const char *json =
        " {\"a\": 1, \"b\" : {\"c\": [10, {\"d\":\"x\\n\\u00e4\\ud83d\\ude00\"}, null, [ ] ]} ,"
        "\"e\":-1.5e2,\"t\":true,\"f\":false,\"n\":NaN,\"\\u0061b\":\"esc\",\"big\":"
        "9223372036854775808}";
    CHECK_STR(find(json, (opf_path)PATH(KEY("a"))), "1");
    CHECK_STR(find(json, (opf_path)PATH(KEY("b"), KEY("c"), AT(0))), "10");
    CHECK_STR(find(json, (opf_path)PATH(KEY("b"), KEY("c"), AT(1), KEY("d"))),
              "\"x\\n\\u00e4\\ud83d\\ude00\"");
    CHECK_STR(find(json, (opf_path)PATH(KEY("b"), KEY("c"), AT(-1))), "[ ]");
    CHECK_STR(find(json, (opf_path)PATH(KEY("b"), KEY("c"), AT(-4))), "10");
    CHECK_STR(find(json, (opf_path)PATH(KEY("b"), KEY("c"), AT(-5))), "-");
    CHECK_STR(find(json, (opf_path)PATH(KEY("b"), KEY("c"), AT(2))), "null");
    CHECK_STR(find(json, (opf_path)PATH(KEY("b"), KEY("c"), AT(4))), "-");
    CHECK_STR(find(json, (opf_path)PATH(KEY("b"), AT(0))), "-");
    CHECK_STR(find(json, (opf_path)PATH(KEY("a"), KEY("x"))), "-");
    CHECK_STR(find(json, (opf_path)PATH(KEY("e"))), "-150.0");
    CHECK_STR(find(json, (opf_path)PATH(KEY("t"))), "true");
    CHECK_STR(find(json, (opf_path)PATH(KEY("f"))), "false");
    CHECK_STR(find(json, (opf_path)PATH(KEY("n"))), "NaN");
    CHECK_STR(find(json, (opf_path)PATH(KEY("ab"))), "\"esc\"");
    CHECK_STR(find(json, (opf_path)PATH(KEY("big"))), "!");
    CHECK_STR(find(json, (opf_path)PATH(KEY("zz"))), "-");
    CHECK_STR(find("\xEF\xBB\xBF[1]", (opf_path)PATH(AT(0))), "1");
    opf_path whole = {NULL, 0};
    CHECK_STR(find("\"x\"", whole), "\"x\"");
    CHECK_STR(find("[1, 2]", whole), "[1, 2]");
    CHECK_STR(find("", whole), "-");
    CHECK_STR(find("<html>", (opf_path)PATH(KEY("a"))), "-");
}

TEST(broken_json_has_nothing_behind_the_break)
{
    static const char *const broken[] = {
        "{",           "{\"a\"",   "{\"a\":",         "{\"a\":tru}",       "{\"a\":\"x",
        "{\"a\":\"\\", "{\"a\":}", "{,\"a\":1}",      "{\"b\":1 \"a\":1}", "{\"a\":01}",
        "{\"a\":1.}",  "{a:1}",    "{\"a\":\"\\q\"}", "{\"a\":\"\\u12\"}", "[",
        "\""};
    for (size_t i = 0; i < sizeof(broken) / sizeof(*broken); i++)
        CHECK_STR(find(broken[i], (opf_path)PATH(KEY("a"))), "-");
}

TEST(a_broken_object_is_not_taken)
{
    static const char *const broken[] = {"{\"a\":{\"b\":tru}}", "{\"a\":[1 2]}",
                                         "{\"a\":{u}}",         "{\"a\":[}]}",
                                         "{\"a\":[\"\\q\"]}",   "{\"a\":[\"\n\"]}"};
    for (size_t i = 0; i < sizeof(broken) / sizeof(*broken); i++)
        CHECK_STR(find(broken[i], (opf_path)PATH(KEY("a"))), "-");
    CHECK_STR(find("{\"a\":[ ] }", (opf_path)PATH(KEY("a"))), "[ ]");
}

TEST(several_are_found_in_one_pass_that_stops_early)
{
    /* What is broken behind the last wanted value is never seen. */
    const char *json = "{\"a\":{\"b\":[1,2,3],\"c\":4},\"d\":5 ####";
    opf_path paths[] = {PATH(KEY("a"), KEY("b"), AT(-1)), PATH(KEY("a"), KEY("b")),
                        PATH(KEY("a"), KEY("b"), AT(0)), PATH(KEY("d")), PATH(KEY("d"))};
    static const char *const wanted[] = {"3", "[1,2,3]", "1", "5", "5"};
    opf_json_want wants[5];
    opf_arena arena = {0};
    for (int i = 0; i < 5; i++)
        wants[i].path = &paths[i];
    CHECK_EQ_INT(opf_json_find(json, strlen(json), wants, 5, &arena), 0);
    for (int i = 0; i < 5; i++)
        CHECK_STR(shown(&wants[i].value), wanted[i]);
    opf_arena_fini(&arena);
}

TEST(of_members_with_the_same_key_the_last_counts)
{
    opf_path a = PATH(KEY("a")), ab = PATH(KEY("a"), KEY("b")),
             first = PATH(KEY("l"), AT(0), KEY("a"));
    CHECK_STR(find("{\"a\":1,\"a\":2}", a), "2");
    CHECK_STR(find("{\"a\":1,\"x\":{\"a\":3},\"\\u0061\":2}", a), "2");
    CHECK_STR(find("{\"a\":1,\"x\":{\"a\":3},\"y\":\"a\"}", a), "1");
    CHECK_STR(find("{\"a\":{\"b\":1,\"b\":2}}", ab), "2");
    CHECK_STR(find("{\"a\":{\"b\":1},\"a\":{\"b\":2}}", ab), "2");
    CHECK_STR(find("{\"a\":{\"b\":1},\"a\":{}}", ab), "-");
    CHECK_STR(find("{\"a\":{\"b\":1},\"a\":[2]}", ab), "-");
    CHECK_STR(find("{\"a\":{\"b\":1},\"b\":2}", ab), "1");
    CHECK_STR(find("{\"l\":[{\"a\":1,\"c\":0,\"a\":2},{\"a\":3}]}", first), "2");
    CHECK_STR(find("{\"l\":[{\"a\":1},{\"a\":3}],\"l\":[{\"a\":4}]}", first), "4");
    /* nothing of the array is read behind its first member, whose keys can't come again there */
    CHECK_STR(find("{\"l\":[{\"a\":1},{\"a\":3},####", first), "1");
    CHECK_STR(find("{\"a\":1,\"c\":####", a), "1");
    char key[300], json[1000];
    memset(key, 'k', sizeof(key));
    opf_path path = {.steps = &(opf_step){.key = key, .len = 299}, .n = 1};
    snprintf(json, sizeof(json), "{\"%.299s\":1,\"b\":2,\"%.299s\":3}", key, key);
    opf_arena arena = {0};
    opf_json_want want = {.path = &path};
    CHECK_EQ_INT(opf_json_find(json, strlen(json), &want, 1, &arena), 0);
    CHECK_STR(shown(&want.value), "3");
    opf_arena_fini(&arena);
}

TEST(a_key_is_seen_however_far_behind_it_stands_again)
{
    static const char *const again[] = {"\"a/\":2", "\"\\u0061/\":2", "\"a\\/\":2",
                                        "\"\\u00c4\":2,\"a/\":2"};
    opf_path path = PATH(KEY("a/"));
    for (size_t i = 0; i < sizeof(again) / sizeof(*again); i++)
        for (size_t far = 0; far < 700; far++) {
            char json[1000];
            snprintf(json, sizeof(json), "{\"a/\":1,\"b\":\"%*s\",%s}", (int)far, "", again[i]);
            opf_arena arena = {0};
            opf_json_want want = {.path = &path};
            char *copy = malloc(strlen(json)); /* so that ASan sees who reads too far */
            memcpy(copy, json, strlen(json));
            int rc = opf_json_find(copy, strlen(json), &want, 1, &arena);
            free(copy);
            CHECK_EQ_INT(rc, 0);
            if (want.value.kind != OPF_INT || want.value.i != 2)
                OPF_TEST_FAIL("%s behind %zu bytes is not seen", again[i], far);
            opf_arena_fini(&arena);
        }
}

TEST(indices_lead_into_texts)
{
    CHECK_STR(find("{\"a\":\"x\\u00e4z\"}", (opf_path)PATH(KEY("a"), AT(0))), "\"x\"");
    CHECK_STR(find("{\"a\":\"x\\u00e4z\"}", (opf_path)PATH(KEY("a"), AT(1))), "\"\\u00e4\"");
    CHECK_STR(find("{\"a\":\"x\\u00e4z\"}", (opf_path)PATH(KEY("a"), AT(-1))), "\"z\"");
    CHECK_STR(find("{\"a\":\"x\\u00e4z\"}", (opf_path)PATH(KEY("a"), AT(1), AT(0))), "\"\\u00e4\"");
    CHECK_STR(find("{\"a\":\"xyz\"}", (opf_path)PATH(KEY("a"), AT(3))), "-");
    CHECK_STR(find("{\"a\":\"xyz\"}", (opf_path)PATH(KEY("a"), AT(-4))), "-");
    CHECK_STR(find("{\"a\":\"xyz\"}", (opf_path)PATH(KEY("a"), AT(0), KEY("b"))), "-");
    CHECK_STR(find("{\"a\":\"\"}", (opf_path)PATH(KEY("a"), AT(0))), "-");
    CHECK_STR(find("\"xyz\"", (opf_path)PATH(AT(2))), "\"z\"");
}

TEST(validity_is_that_of_loads)
{
    static const char *const good[] = {"{}",     "[]",        " [1, 2.5e-3 ,\"a\\u00e4\\\"\" ] \n",
                                       "null",   "-0",        "{\"a\":{\"b\":[true,false,null]}}",
                                       "NaN",    "-Infinity", "\"\"",
                                       "[[],{}]"};
    static const char *const bad[] = {
        "",   " ",       "[1,]",  "{\"a\":1,}", "[1 2]",        "01",      "1.",     "-",
        "+1", ".5",      "1e",    "nul",        "\"\t\"",       "\"\\x\"", "\"\\\"", "[}",
        "{]", "{\"a\"}", "{1:2}", "[1]x",       "{\"a\\q\":1}", "'a'",     "[",      "\"a"};
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
        if (!opf_json_valid(good[i], strlen(good[i])))
            OPF_TEST_FAIL("%s is valid", good[i]);
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        size_t len = strlen(bad[i]);
        char *copy = malloc(len ? len : 1);
        memcpy(copy, bad[i], len);
        bool valid = opf_json_valid(copy, len);
        free(copy);
        if (valid)
            OPF_TEST_FAIL("%s is not valid", bad[i]);
    }
}

TEST(nesting_is_bounded)
{
    enum { DEPTH = 1000000 };
    char *deep = malloc(DEPTH);
    memset(deep, '[', DEPTH);
    CHECK(!opf_json_valid(deep, DEPTH));
    opf_arena arena = {0};
    opf_path path = PATH(AT(0), AT(0), AT(0));
    opf_json_want want = {.path = &path};
    CHECK_EQ_INT(opf_json_find(deep, DEPTH, &want, 1, &arena), 0);
    CHECK_EQ_INT(want.value.kind, OPF_UNSET);
    free(deep);
}

TEST(members_are_counted)
{
    static const struct {
        const char *json;
        uint32_t n;
    } all[] = {{"[]", 0},
               {" { } ", 0},
               {"[1, [2, 3], \"a,b\"]", 3},
               {"[1, 1]", 2},
               {"{\"a\":1,\"b\":{\"c\":2}}", 2},
               {"{\"a\":1,\"b\":2,\"\\u0061\":3,\"b\":{},\"c\":4}", 3}};
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
        opf_value json = {.kind = OPF_JSON, .len = (uint32_t)strlen(all[i].json), .s = all[i].json};
        opf_arena arena = {0};
        uint32_t n = 99;
        CHECK_EQ_INT(opf_json_count(&json, &arena, &n), 0);
        CHECK_EQ_INT(n, all[i].n);
        opf_arena_fini(&arena);
    }
}

TEST(every_cut_and_mutation_is_survived)
{
    const char *json = "{\"a\":[1,{\"b\":\"\\u00e4\\ud83d\\ude00\\n\"},-2.5e3,true,null],\"c\":{}}";
    size_t len = strlen(json);
    opf_path paths[] = {PATH(KEY("a"), AT(1), KEY("b")), PATH(KEY("a"), AT(-1)), PATH(KEY("c"))};
    static const char noise[] = "\"\\{}[],:u0 e";
    for (size_t cut = 0; cut <= len; cut++)
        for (size_t at = 0; at < cut; at++)
            for (size_t k = 0; k < sizeof(noise); k++) {
                opf_json_want wants[3] = {
                    {.path = &paths[0]}, {.path = &paths[1]}, {.path = &paths[2]}};
                opf_arena arena = {0};
                char *copy = malloc(cut);
                memcpy(copy, json, cut);
                copy[at] = noise[k];
                int rc = opf_json_find(copy, cut, wants, 3, &arena);
                opf_json_valid(copy, cut);
                free(copy);
                opf_arena_fini(&arena);
                CHECK_EQ_INT(rc, 0);
            }
}

TEST(finding_survives_a_failed_allocation)
{
    opf_path path = PATH(KEY("a"));
    opf_json_want want = {.path = &path};
    opf_arena arena = {0};
    opf_mem_fail_after(0);
    int rc = opf_json_find("{\"a\":\"\\n\"}", 10, &want, 1, &arena);
    opf_mem_fail_after(-1);
    CHECK_EQ_INT(rc, OPF_ENOMEM);
}

OPF_TEST_MAIN
