#include "agent/redirect.h"

#include <stdio.h>

#include "base/mem.h"
#include "drive.h"
#include "opf_test.h"

/* A response with a status and, unless it is NULL, a Location. */
typedef struct answer {
    opf_result result;
    opf_field fields[2];
    char head[512];
} answer;

static const opf_result *answer_make(answer *a, int status, const char *location)
{
    int n = snprintf(a->head, sizeof(a->head), "Server: xLocation: %s", location ? location : "");
    a->fields[0] = (opf_field){0, 6, 8, 1};
    a->fields[1] = (opf_field){9, 8, 19, (uint32_t)n - 19};
    a->result = (opf_result){.status = status,
                             .phase = OPF_PHASE_DONE,
                             .head = a->head,
                             .fields = a->fields,
                             .n_fields = location ? 2 : 1};
    return &a->result;
}

/* Judges a redirect of a GET; the URL is NUL-terminated. Returns what opf_redirect_judge does. */
static int judge(const char *base, const char *location, opf_style style, opf_redirect *redirect,
                 opf_buf *url)
{
    answer a;
    opf_buf_init(url);
    int ret = opf_redirect_judge(answer_make(&a, 302, location), style, "GET", base, strlen(base),
                                 redirect, url);
    return ret == 0 ? opf_buf_append(url, "", 1) : ret;
}

static const struct {
    const char *base, *location, *want; /* as urllib.parse.urljoin gives it */
} joins[] = {
    {"http://h/a/b", "c", "http://h/a/c"},
    {"http://h/a/b", "/c", "http://h/c"},
    {"http://h/a/b/", "c", "http://h/a/b/c"},
    {"http://h", "c", "http://h/c"},
    {"http://h", "/c", "http://h/c"},
    {"http://h?q", "c", "http://h/c"},
    {"http://h/a?q", "?x=1", "http://h/a?x=1"},
    {"http://h/a?q=1", "#f", "http://h/a?q=1#f"},
    {"http://h/a/b?q", "c?d=/e", "http://h/a/c?d=/e"},
    {"http://h/a/b", "c?", "http://h/a/c"},
    {"http://h/a/b/c", "../d", "http://h/a/d"},
    {"http://h/a/b/c", "../../../d", "http://h/d"},
    {"http://h/a/b/c", "./d/.", "http://h/a/b/d/"},
    {"http://h/a/b/c", "..", "http://h/a/"},
    {"http://h/a/b/c", "../..", "http://h/"},
    {"http://h/a/b/c", ".", "http://h/a/b/"},
    {"http://h/a/b/c", "/../x", "http://h/x"},
    {"http://h/a/b/c", "/..", "http://h/"},
    {"http://h/a/b/c", "/x//y", "http://h/x//y"},
    {"http://h/a//b/c", "x//y", "http://h/a/b/x/y"},
    {"http://h/a/b/c", "x/", "http://h/a/b/x/"},
    {"http://h/a", "//g/b", "http://g/b"},
    {"https://h/a", "//g/b", "https://g/b"},
    {"http://h/a", "//g", "http://g"},
    {"http://h:8080/a", "b", "http://h:8080/b"},
    {"http://[::1]:8080/a", "b", "http://[::1]:8080/b"},
    {"http://h/a", "HTTPS://g:1/b/../c", "https://g:1/b/../c"},
    {"http://h/a", "http://g?x", "http://g?x"},
    {"http://h/a", "b c", "http://h/b%20c"},
    {"http://h/a", "/b?c=d e#f g", "http://h/b?c=d%20e#f%20g"},
    {"http://h/a", "  /b", "http://h/b"},
    {"http://h/a", "/b\tc", "http://h/bc"},
    {"http://h/a", "127.0.0.1:80/b", "http://h/127.0.0.1:80/b"},
    {"http://h/a", "/b:c", "http://h/b:c"},
    {"http://h/a", "/%7eb", "http://h/~b"},
};

static void check_leads(const char *base, const char *location, opf_style style, const char *want)
{
    opf_redirect redirect;
    opf_buf url;
    CHECK_EQ_INT(judge(base, location, style, &redirect, &url), 0);
    CHECK(redirect.follows && !redirect.why);
    CHECK_STR((const char *)url.data, want);
    opf_buf_fini(&url);
}

TEST(redirects_lead_where_urljoin_says)
{
    for (size_t i = 0; i < sizeof(joins) / sizeof(joins[0]); i++)
        for (int style = OPF_STYLE_HTTP; style <= OPF_STYLE_FAST; style++) {
            opf_redirect redirect;
            opf_buf url;
            CHECK_EQ_INT(judge(joins[i].base, joins[i].location, (opf_style)style, &redirect, &url),
                         0);
            bool as_wanted = redirect.follows && !redirect.why &&
                             strcmp((const char *)url.data, joins[i].want) == 0;
            if (!as_wanted)
                printf("%s + %s: \"%s\", %s\n", joins[i].base, joins[i].location, url.data,
                       redirect.why ? redirect.why : "");
            opf_buf_fini(&url);
            CHECK(as_wanted);
        }
}

/* requests quotes what it joins: escapes of dots count, a broken escape spoils no other's. */
TEST(requests_quotes_before_it_joins)
{
    static const struct {
        const char *location, *want;
    } all[] = {{"%2e%2e/c", "http://h/c"},
               {"c%zz", "http://h/a%20b/c%25zz"},
               {"c?d=%zz%20", "http://h/a%20b/c?d=%25zz%2520"}};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        check_leads("http://h/a%20b/x", all[i].location, OPF_STYLE_HTTP, all[i].want);
}

TEST(each_style_reads_bytes_outside_ascii_its_own_way)
{
    check_leads("http://h/", "/\xc3\xb6", OPF_STYLE_HTTP, "http://h/%C3%B6");
    check_leads("http://h/", "/\xc3\xb6", OPF_STYLE_FAST, "http://h/%C3%83%C2%B6");
}

TEST(a_fragment_goes_on_with_requests_alone)
{
    check_leads("http://h/#f", "/b", OPF_STYLE_HTTP, "http://h/b#f");
    check_leads("http://h/#f", "/b#g", OPF_STYLE_HTTP, "http://h/b#g");
    check_leads("http://h/#f", "/b", OPF_STYLE_FAST, "http://h/b");
}

static const struct {
    const char *location, *http, *fast; /* why */
} refusals[] = {
    {"ftp://g/", "redirect to a URL that is neither http nor https",
     "redirect to a URL that is neither http nor https"},
    {"mailto:x", "redirect to a URL that is neither http nor https",
     "redirect to a URL without a host"},
    {"https:///b", "redirect to a URL that can't be parsed", "redirect to a URL without a host"},
    {"https:b", "redirect to a URL that can't be parsed", "redirect to a URL without a host"},
    {"http://g:x/", "redirect to a URL that can't be parsed",
     "redirect to a URL that can't be parsed"},
    {"http://[g/", "redirect to a URL that can't be parsed",
     "redirect to a URL that can't be parsed"},
    {"http://g:99999/", "redirect to a URL that can't be parsed",
     "redirect to a URL that can't be parsed"},
};

TEST(what_can_not_be_followed_has_a_reason)
{
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++)
        for (int style = OPF_STYLE_HTTP; style <= OPF_STYLE_FAST; style++) {
            opf_redirect redirect;
            opf_buf url;
            CHECK_EQ_INT(
                judge("http://h/a", refusals[i].location, (opf_style)style, &redirect, &url), 0);
            size_t len = url.len;
            opf_buf_fini(&url);
            CHECK(!redirect.follows);
            CHECK_EQ_INT(len, 1);
            CHECK_STR(redirect.why, style == OPF_STYLE_HTTP ? refusals[i].http : refusals[i].fast);
        }
}

TEST(what_is_no_redirect_is_not_followed)
{
    static const int statuses[] = {0, 200, 201, 300, 304, 305, 306, 309, 400};
    opf_redirect redirect;
    opf_buf url;
    answer a;
    opf_buf_init(&url);
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        CHECK_EQ_INT(opf_redirect_judge(answer_make(&a, statuses[i], "/b"), OPF_STYLE_HTTP, "GET",
                                        "http://h/", 9, &redirect, &url),
                     0);
        CHECK(!redirect.follows && !redirect.why);
    }
    static const char *const locations[] = {NULL, "", "  "};
    for (size_t i = 0; i < 3; i++) {
        CHECK_EQ_INT(opf_redirect_judge(answer_make(&a, 302, locations[i]), OPF_STYLE_FAST, "GET",
                                        "http://h/", 9, &redirect, &url),
                     0);
        CHECK(!redirect.follows && !redirect.why);
    }
    answer_make(&a, 302, "/b");
    a.result.failure = OPF_FAIL_CLOSED_BODY;
    CHECK_EQ_INT(
        opf_redirect_judge(&a.result, OPF_STYLE_HTTP, "GET", "http://h/", 9, &redirect, &url), 0);
    CHECK(!redirect.follows && !redirect.why);
    CHECK_EQ_INT(url.len, 0);
}

static const struct {
    int status;
    const char *method;
    bool http_get, fast_get, drops_body;
} methods[] = {
    {301, "POST", true, true, true},    {301, "PUT", false, true, true},
    {301, "HEAD", false, false, true},  {302, "POST", true, true, true},
    {302, "PUT", true, true, true},     {302, "HEAD", false, false, true},
    {303, "PUT", true, true, true},     {303, "HEAD", false, false, true},
    {307, "POST", false, false, false}, {308, "POST", false, false, false},
};

TEST(methods_and_bodies_change_as_with_requests_and_geventhttpclient)
{
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
        for (int style = OPF_STYLE_HTTP; style <= OPF_STYLE_FAST; style++) {
            opf_redirect redirect;
            opf_buf url;
            answer a;
            opf_buf_init(&url);
            CHECK_EQ_INT(opf_redirect_judge(answer_make(&a, methods[i].status, "/b"),
                                            (opf_style)style, methods[i].method, "http://h/", 9,
                                            &redirect, &url),
                         0);
            opf_buf_fini(&url);
            CHECK(redirect.follows);
            CHECK_EQ_INT(redirect.to_get,
                         style == OPF_STYLE_HTTP ? methods[i].http_get : methods[i].fast_get);
            CHECK_EQ_INT(redirect.drops_body, methods[i].drops_body);
        }
}

static const struct {
    const char *base, *location;
    bool http, fast; /* Authorization is dropped */
} origins[] = {
    {"http://h/a", "/b", false, false},
    {"http://h/a", "http://H:80/b", false, false},
    {"http://h/a", "http://g/b", true, true},
    {"http://h/a", "http://h:81/b", true, true},
    {"http://h/a", "https://h/b", false, true},
    {"http://h:80/a", "https://h:443/b", false, true},
    {"http://h:8080/a", "https://h/b", true, true},
    {"https://h/a", "http://h/b", true, true},
};

TEST(authorization_is_for_its_origin)
{
    for (size_t i = 0; i < sizeof(origins) / sizeof(origins[0]); i++)
        for (int style = OPF_STYLE_HTTP; style <= OPF_STYLE_FAST; style++) {
            opf_redirect redirect;
            opf_buf url;
            CHECK_EQ_INT(
                judge(origins[i].base, origins[i].location, (opf_style)style, &redirect, &url), 0);
            opf_buf_fini(&url);
            CHECK(redirect.follows);
            CHECK_EQ_INT(redirect.drops_authorization,
                         style == OPF_STYLE_HTTP ? origins[i].http : origins[i].fast);
        }
}

#ifdef OPF_FAULTS
TEST(without_memory_nothing_is_written)
{
    bool fired = true;
    for (long n = 0; fired; n++) {
        opf_redirect redirect;
        opf_buf url;
        answer a;
        opf_buf_init(&url);
        CHECK_EQ_INT(opf_buf_append_str(&url, "x"), 0);
        answer_make(&a, 302, "c/../\xc3\xb6?d#e");
        opf_mem_fail_after(n);
        int ret = opf_redirect_judge(&a.result, OPF_STYLE_FAST, "GET", "http://h/a/b", 12,
                                     &redirect, &url);
        fired = drive_fault_fired(n);
        size_t len = url.len;
        opf_buf_fini(&url);
        CHECK_EQ_INT(ret, fired ? OPF_ENOMEM : 0);
        CHECK_EQ_INT(len, fired ? 1 : 28);
        CHECK_EQ_INT(redirect.follows, !fired);
    }
}
#endif

OPF_TEST_MAIN
