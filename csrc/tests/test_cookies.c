#include "agent/cookies.h"

#include <stdio.h>

#include "base/mem.h"
#include "drive.h"
#include "opf_test.h"

#define NOW 1700000000 /* 2023-11-14 22:13:20 UTC */

/* Has a response to url set cookies, one to a line. Returns what opf_jar_take does. */
static int take(opf_jar *jar, const char *url, const char *lines, int64_t now)
{
    enum { FIELDS = 8 };
    char head[2048];
    opf_field fields[FIELDS];
    opf_url parsed;
    const char *why;
    int at = snprintf(head, sizeof(head), "OKSet-Cookie");
    opf_result result = {
        .status = 200, .head = head, .fields = fields, .has_set_cookie = true, .reason_len = 2};
    if (opf_url_parse(url, strlen(url), &parsed, &why) != 0)
        return OPF_EINVAL;
    for (const char *line = lines; *line && result.n_fields < FIELDS;) {
        size_t len = strcspn(line, "\n");
        memcpy(head + at, line, len);
        fields[result.n_fields++] = (opf_field){2, 10, (uint32_t)at, (uint32_t)len};
        at += (int)len;
        line += len + (line[len] == '\n');
    }
    return opf_jar_take(jar, &parsed, &result, now);
}

/* Writes the Cookie header for url, NUL-terminated. Returns what opf_jar_write does. */
static int write_header(opf_jar *jar, const char *url, int64_t now, opf_buf *out)
{
    opf_url parsed;
    const char *why;
    opf_buf_init(out);
    if (opf_url_parse(url, strlen(url), &parsed, &why) != 0)
        return OPF_EINVAL;
    int ret = opf_jar_write(jar, &parsed, now, out);
    return ret == 0 ? opf_buf_append(out, "", 1) : ret;
}

/* What http.cookiejar sends to `to` after `from` has set the cookies. */
static const struct {
    const char *from, *lines, *to, *want;
} cases[] = {
    {"http://h.test/", "a=1", "http://h.test/", "a=1"},
    {"http://h.test/", "a=1\nb=2", "http://h.test/x?y", "a=1; b=2"},
    {"http://h.test/", "a=1\na=2", "http://h.test/", "a=2"},
    {"http://h.test/", "a=1\nb=2\na=3", "http://h.test/", "a=3; b=2"},
    {"http://h.test/", "a", "http://h.test/", "a"},
    {"http://h.test/", "a=", "http://h.test/", "a="},
    {"http://h.test/", "=1", "http://h.test/", ""},
    {"http://h.test/", "", "http://h.test/", ""},
    {"http://h.test/", "; a=1", "http://h.test/", ""},
    {"http://h.test/", "  a  =  1 2  ;; x", "http://h.test/", "a=1 2"},
    {"http://h.test/", "a=\"b c\"", "http://h.test/", "a=\"b c\""},
    {"http://h.test/", "a=b=c", "http://h.test/", "a=b=c"},
    {"http://h.test/", "a=1, b=2", "http://h.test/", "a=1, b=2"},
    /* hosts */
    {"http://h.test/", "a=1", "http://g.test/", ""},
    {"http://h.test/", "a=1", "http://x.h.test/", "a=1"},
    {"http://h.test/", "a=1", "http://xh.test/", ""},
    {"http://H.Test/", "a=1", "http://h.tEST/", "a=1"},
    {"http://h.test/", "a=1", "http://h.test:8080/", "a=1"},
    {"http://x.h.test/", "a=1; Domain=h.test", "http://y.h.test/", "a=1"},
    {"http://x.h.test/", "a=1; domain=.H.TEST", "http://h.test/", "a=1"},
    {"http://h.test/", "a=1; Domain=x.h.test", "http://x.h.test/", ""},
    {"http://h.test/", "a=1; Domain=g.test", "http://g.test/", ""},
    {"http://h.test/", "a=1; Domain=test", "http://h.test/", ""},
    {"http://xh.test/", "a=1; Domain=h.test", "http://h.test/", ""},
    {"http://h.test/", "a=1; Domain", "http://h.test/", ""},
    {"http://h.test/", "a=1; Domain=", "http://h.test/", ""},
    {"http://h.test/", "a=1; Domain=h.test; Domain=g.test", "http://h.test/", "a=1"},
    {"http://localhost/", "a=1", "http://localhost/", "a=1"},
    {"http://localhost/", "a=1", "http://otherhost/", ""},
    {"http://localhost/", "a=1; Domain=localhost", "http://localhost/", ""},
    {"http://localhost/", "a=1; Domain=localhost.local", "http://localhost/", "a=1"},
    {"http://localhost/", "a=1; Domain=", "http://localhost/", ""},
    {"http://127.0.0.1/", "a=1", "http://127.0.0.1:99/", "a=1"},
    {"http://127.0.0.1/", "a=1; Domain=127.0.0.1", "http://127.0.0.1/", "a=1"},
    {"http://127.0.0.1/", "a=1", "http://127.0.0.2/", ""},
    {"http://[::1]/", "a=1", "http://[::1]:99/", "a=1"},
    /* paths */
    {"http://h.test/p/q", "a=1", "http://h.test/p/r", "a=1"},
    {"http://h.test/p/q", "a=1", "http://h.test/p", "a=1"},
    {"http://h.test/p/q", "a=1", "http://h.test/", ""},
    {"http://h.test/p/q", "a=1", "http://h.test/px", ""},
    {"http://h.test/p/q/", "a=1", "http://h.test/p/q", "a=1"},
    {"http://h.test/p/q/", "a=1; Version=1", "http://h.test/p/q", ""},
    {"http://h.test/p/q/", "a=1; Version=1", "http://h.test/p/q/r", "a=1"},
    {"http://h.test/p/q", "a=1; Version=2", "http://h.test/p/q", ""},
    {"http://h.test/p/q", "a=1; Version=x", "http://h.test/p/q", ""},
    {"http://h.test?q", "a=1", "http://h.test", "a=1"},
    {"http://h.test/p/q", "a=1; Path=/", "http://h.test/x", "a=1"},
    {"http://h.test/p/q", "a=1; Path=/x", "http://h.test/x?/y", "a=1"},
    {"http://h.test/p/q", "a=1; Path=/x/", "http://h.test/x", ""},
    {"http://h.test/p/q", "a=1; Path=", "http://h.test/p/z", "a=1"},
    {"http://h.test/p/q", "a=1; Path", "http://h.test/p/z", ""},
    {"http://h.test/", "a=1; Path=/b c", "http://h.test/b%20c/d", "a=1"},
    {"http://h.test/", "a=1; Path=/%c3%b6", "http://h.test/%C3%b6", "a=1"},
    {"http://h.test/", "a=1; Path=/\xf6", "http://h.test/%C3%B6", "a=1"},
    {"http://h.test/", "a=1; Path=/[", "http://h.test/[", "a=1"},
    {"http://h.test/p/q", "a=1; Path=/\nb=2; Path=/p/q\nc=3; Path=/p\nd=4; Path=/p/q",
     "http://h.test/p/q/", "b=2; d=4; c=3; a=1"},
    {"http://x.h.test/", "a=1; Domain=h.test\nb=2\nc=3; Domain=h.test", "http://x.h.test/",
     "a=1; c=3; b=2"},
    {"http://h.test/", "a=1; Path=/\na=2; Path=/p", "http://h.test/p", "a=2; a=1"},
    /* secure */
    {"http://h.test/", "a=1; Secure", "http://h.test/", ""},
    {"http://h.test/", "a=1; secure", "https://h.test/", "a=1"},
    {"http://h.test/", "a=1; Secure=", "http://h.test/", "a=1"},
    {"http://h.test/", "a=1; Secure=0", "http://h.test/", ""},
    {"http://h.test/", "a=1; HttpOnly; SameSite=Lax; Partitioned", "http://h.test/", "a=1"},
    /* times */
    {"http://h.test/", "a=1; Max-Age=10", "http://h.test/", "a=1"},
    {"http://h.test/", "a=1; Max-Age=0", "http://h.test/", ""},
    {"http://h.test/", "a=1; Max-Age=-5", "http://h.test/", ""},
    {"http://h.test/", "a=1; Max-Age=x", "http://h.test/", ""},
    {"http://h.test/", "a=1; Max-Age=99999999999999999999", "http://h.test/", "a=1"},
    {"http://h.test/", "a=1\na=2; Max-Age=0", "http://h.test/", "a=1"},
    {"http://h.test/", "a=1; Max-Age=10; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "http://h.test/",
     "a=1"},
    {"http://h.test/", "a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=10", "http://h.test/",
     "a=1"},
    {"http://h.test/", "a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "http://h.test/", ""},
    {"http://h.test/", "a=1; Expires=Tue, 14 Nov 2023 22:13:20 GMT", "http://h.test/", ""},
    {"http://h.test/", "a=1; Expires=Tue, 14 Nov 2023 22:13:21 GMT", "http://h.test/", "a=1"},
    {"http://h.test/", "a=1; Expires=\"Tue, 14 Nov 2023 22:13:20 GMT\"", "http://h.test/", ""},
    {"http://h.test/", "a=1; Expires=Tuesday, 14-Nov-23 22:13:20 GMT", "http://h.test/", ""},
    {"http://h.test/", "a=1; Expires=Tuesday, 14-Nov-23 22:13:21 GMT", "http://h.test/", "a=1"},
    {"http://h.test/", "a=1; Expires=14/11/2023:22:13:20", "http://h.test/", ""},
    {"http://h.test/", "a=1; Expires=14 nov 2023", "http://h.test/", ""},
    {"http://h.test/", "a=1; Expires=15 nov 2023", "http://h.test/", "a=1"},
    {"http://h.test/", "a=1; Expires=14 nov 2023 23:13:20 +0100", "http://h.test/", ""},
    {"http://h.test/", "a=1; Expires=14 nov 2023 23:13:21 +0100", "http://h.test/", "a=1"},
    {"http://h.test/", "a=1; Expires=14 nov 2023 21:13:20 -1:00", "http://h.test/", "a=1"},
    {"http://h.test/", "a=1; Expires=14 nov 2023 22:13 (x)", "http://h.test/", ""},
    {"http://h.test/", "a=1; Expires=14 nov 2023 22:13:20 CET", "http://h.test/", "a=1"},
    {"http://h.test/", "a=1; Expires=29 Feb 2020", "http://h.test/", ""},
    {"http://h.test/", "a=1; Expires=1 Jan 1969", "http://h.test/", "a=1"},
    {"http://h.test/", "a=1; Expires=0", "http://h.test/", "a=1"},
    {"http://h.test/", "a=1; Expires", "http://h.test/", "a=1"},
    {"http://h.test/", "a=1; Expires=32 Jan 2020", "http://h.test/", "a=1"},
    {"http://h.test/", "a=1; Expires=1 Jan 99999", "http://h.test/", "a=1"},
};

TEST(cookies_are_kept_and_sent_as_http_cookiejar_does)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        opf_jar jar = {0};
        opf_buf out;
        CHECK_EQ_INT(take(&jar, cases[i].from, cases[i].lines, NOW), 0);
        CHECK_EQ_INT(write_header(&jar, cases[i].to, NOW, &out), 0);
        bool as_wanted = strcmp((const char *)out.data, cases[i].want) == 0;
        if (!as_wanted)
            printf("%s sets %s; to %s: \"%s\", not \"%s\"\n", cases[i].from, cases[i].lines,
                   cases[i].to, out.data, cases[i].want);
        opf_buf_fini(&out);
        opf_jar_fini(&jar);
        CHECK(as_wanted);
    }
}

/* Checks what is sent to http://h.test/. */
static void check_sent(opf_jar *jar, int64_t now, const char *want)
{
    opf_buf out;
    CHECK_EQ_INT(write_header(jar, "http://h.test/", now, &out), 0);
    CHECK_STR((const char *)out.data, want);
    opf_buf_fini(&out);
}

TEST(cookies_are_deleted_and_expire)
{
    opf_jar jar = {0};
    CHECK_EQ_INT(take(&jar, "http://h.test/", "a=1\nb=2\nc=3; Max-Age=5", NOW), 0);
    check_sent(&jar, NOW, "a=1; b=2; c=3");
    CHECK_EQ_INT(take(&jar, "http://h.test/", "a=; Max-Age=0", NOW), 0);
    check_sent(&jar, NOW + 4, "b=2; c=3");
    CHECK_EQ_INT(take(&jar, "http://h.test/", "b=; Path=/x; Max-Age=0", NOW), 0);
    check_sent(&jar, NOW + 5, "b=2");
    CHECK_EQ_INT(jar.n, 1);
    opf_jar_fini(&jar);
    CHECK(!jar.first);
    CHECK_EQ_INT(jar.n, 0);
}

TEST(the_oldest_go_when_there_are_too_many)
{
    opf_jar jar = {0};
    char text[32];
    for (int i = 0; i < OPF_JAR_MAX + 1; i++) {
        snprintf(text, sizeof(text), "c%d=%d; Path=/%d", i, i, i % 7);
        CHECK_EQ_INT(take(&jar, "http://h.test/", text, NOW), 0);
        if (i == 1) /* is the newest again */
            CHECK_EQ_INT(take(&jar, "http://h.test/", "c0=x; Path=/0", NOW), 0);
    }
    CHECK_EQ_INT(jar.n, OPF_JAR_MAX);
    opf_buf out;
    CHECK_EQ_INT(write_header(&jar, "http://h.test/1", NOW, &out), 0);
    CHECK(strstr((const char *)out.data, "c1=") == NULL);
    CHECK(strstr((const char *)out.data, "c8=8; c15=15") != NULL);
    opf_buf_fini(&out);
    CHECK_EQ_INT(write_header(&jar, "http://h.test/0", NOW, &out), 0);
    CHECK(strstr((const char *)out.data, "c0=x; c7=7") != NULL);
    opf_buf_fini(&out);
    opf_jar_fini(&jar);
}

static int collect(void *arg, const opf_agent_cookie *cookie)
{
    char *text = arg;
    size_t len = strlen(text);
    snprintf(text + len, 512 - len, "%s|%s|%s|%s|%d|%d|%lld\n", cookie->name,
             cookie->value ? cookie->value : "(none)", cookie->domain, cookie->path,
             cookie->host_only, cookie->secure,
             cookie->expires == INT64_MAX ? -1 : (long long)cookie->expires);
    return strcmp(cookie->name, "stop") == 0 ? 7 : 0;
}

TEST(what_is_kept_is_told_and_can_be_kept_again)
{
    opf_jar jar = {0};
    char text[512] = "";
    CHECK_EQ_INT(take(&jar, "http://x.h.test/p/q",
                      "a=1\nb; Domain=h.test; Path=/r; Secure; Max-Age=9\nstop=\nnever=1", NOW),
                 0);
    CHECK_EQ_INT(opf_jar_each(&jar, collect, text), 7);
    CHECK_STR(text, "a|1|x.h.test|/p|1|0|-1\n"
                    "stop||x.h.test|/p|1|0|-1\n");
    opf_agent_cookie of = {.name = "any",
                           .value = "1",
                           .domain = "",
                           .path = "/",
                           .host_only = true,
                           .expires = INT64_MAX};
    CHECK_EQ_INT(opf_jar_set(&jar, &of), 0);
    of.value = "2";
    CHECK_EQ_INT(opf_jar_set(&jar, &of), 0);
    check_sent(&jar, NOW, "any=2");
    CHECK_EQ_INT(jar.n, 5);
    opf_jar_fini(&jar);
}

TEST(quotes_within_quotes_are_left_out_where_requests_does_so)
{
    static const struct {
        const char *given, *kept;
    } values[] = {
        {"\"a\\\"b\"", "\"ab\""},
        {"\"a\\\\\"\"", "\"a\\\""},
        {"\"\\\"", "\""},
        {"\"", "\""},
        {"", ""},
        {"a\\\"b", "a\\\"b"},
        {"\"a\\\"b", "\"a\\\"b"},
        {"a\\\"b\"", "a\\\"b\""},
    };
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        opf_jar jar = {.unescapes = true}, plain = {0}, other = {0};
        char want[64];
        snprintf(want, sizeof(want), "a=%s", values[i].given);
        CHECK_EQ_INT(take(&plain, "http://h.test/", want, NOW), 0);
        check_sent(&plain, NOW, want);
        CHECK_EQ_INT(opf_jar_add(&other, &plain), 0);
        check_sent(&other, NOW, want);
        CHECK_EQ_INT(opf_jar_add(&jar, &plain), 0);
        snprintf(want, sizeof(want), "a=%s", values[i].kept);
        check_sent(&jar, NOW, want);
        opf_jar_fini(&jar);
        opf_jar_fini(&plain);
        opf_jar_fini(&other);
    }
}

TEST(a_jar_added_keeps_the_order_and_goes_before)
{
    opf_jar jar = {0}, other = {0};
    CHECK_EQ_INT(take(&jar, "http://h.test/", "a=1\nb=2", NOW), 0);
    CHECK_EQ_INT(take(&other, "http://h.test/", "c=3\na=4", NOW), 0);
    CHECK_EQ_INT(opf_jar_add(&jar, &other), 0);
    check_sent(&jar, NOW, "a=4; b=2; c=3");
    check_sent(&other, NOW, "c=3; a=4");
    opf_jar_fini(&jar);
    opf_jar_fini(&other);
}

#ifdef OPF_FAULTS
TEST(without_memory_what_is_there_stays)
{
    bool fired = true;
    for (long n = 0; fired; n++) {
        opf_jar jar = {0};
        opf_buf out;
        CHECK_EQ_INT(take(&jar, "http://h.test/", "a=1\nb=2", NOW), 0);
        opf_mem_fail_after(n);
        int ret = take(&jar, "http://h.test/", "b=3; Path=/; Max-Age=60; Domain=h.test", NOW);
        if (ret == 0)
            ret = write_header(&jar, "http://h.test/", NOW, &out);
        else
            opf_buf_init(&out);
        fired = drive_fault_fired(n);
        if (ret == 0)
            CHECK_STR((const char *)out.data, "a=1; b=2; b=3");
        else
            CHECK_EQ_INT(out.len, 0);
        opf_buf_fini(&out);
        CHECK_EQ_INT(ret, fired ? OPF_ENOMEM : 0);
        CHECK(jar.n >= 2);
        opf_jar_fini(&jar);
    }
}
#endif

OPF_TEST_MAIN
