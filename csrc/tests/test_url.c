#include "http/url.h"

#include <stdint.h>

#include "base/mem.h"
#include "drive.h"
#include "opf_test.h"

struct good {
    const char *text;
    bool tls;
    bool ip6;
    const char *user; /* NULL: none */
    const char *host;
    int port;
    bool port_given;
    const char *target;
};

static const struct good good[] = {
    {"http://host", false, false, NULL, "host", 80, false, ""},
    {"https://host", true, false, NULL, "host", 443, false, ""},
    {"HtTpS://Host/", true, false, NULL, "Host", 443, false, "/"},
    {"http://host:8080/a/b?c=d#e", false, false, NULL, "host", 8080, true, "/a/b?c=d"},
    {"http://host?a=/b#c?d", false, false, NULL, "host", 80, false, "?a=/b"},
    {"http://host#a/b?c", false, false, NULL, "host", 80, false, ""},
    {"http://host/#a#b", false, false, NULL, "host", 80, false, "/"},
    {"http://host:/", false, false, NULL, "host", 80, false, "/"},
    {"http://host:", false, false, NULL, "host", 80, false, ""},
    {"http://host:80/", false, false, NULL, "host", 80, false, "/"},
    {"https://host:80/", true, false, NULL, "host", 80, true, "/"},
    {"http://host:443/", false, false, NULL, "host", 443, true, "/"},
    {"https://host:0443", true, false, NULL, "host", 443, false, ""},
    {"http://host:65535", false, false, NULL, "host", 65535, true, ""},
    {"http://host:000000000000000000000001", false, false, NULL, "host", 1, true, ""},
    {"http://127.0.0.1:1/", false, false, NULL, "127.0.0.1", 1, true, "/"},
    {"http://a-b_c.d~e!$&'()*+,;=/", false, false, NULL, "a-b_c.d~e!$&'()*+,;=", 80, false, "/"},
    {"http://[::1]", false, true, NULL, "::1", 80, false, ""},
    {"http://[::1]:99/x", false, true, NULL, "::1", 99, true, "/x"},
    {"http://[::1]:", false, true, NULL, "::1", 80, false, ""},
    {"http://[::1]?x", false, true, NULL, "::1", 80, false, "?x"},
    {"http://[fe80::1%25eth0]/", false, true, NULL, "fe80::1%25eth0", 80, false, "/"},
    {"http://[fe80::1%eth0.1]/", false, true, NULL, "fe80::1%eth0.1", 80, false, "/"},
    {"http://[::ffff:1.2.3.4]/", false, true, NULL, "::ffff:1.2.3.4", 80, false, "/"},
    {"http://u@host/", false, false, "u", "host", 80, false, "/"},
    {"http://@host/", false, false, "", "host", 80, false, "/"},
    {"http://u:p%40@host:1/", false, false, "u:p%40", "host", 1, true, "/"},
    {"http://u:p@q@host/", false, false, "u:p@q", "host", 80, false, "/"},
    {"http://u:p@[::1]:5/", false, true, "u:p", "::1", 5, true, "/"},
    {"http://[::1]@host/", false, false, "[::1]", "host", 80, false, "/"},
    {"http://good.test:80@evil.test/", false, false, "good.test:80", "evil.test", 80, false, "/"},
    /* what follows the path's beginning is none of the authority's */
    {"http://host/a@b:99", false, false, NULL, "host", 80, false, "/a@b:99"},
    {"http://host?a@b", false, false, NULL, "host", 80, false, "?a@b"},
    {"http://host#@evil.test/", false, false, NULL, "host", 80, false, ""},
    {"http://host/\\evil.test", false, false, NULL, "host", 80, false, "/\\evil.test"},
    {"http://host//evil.test//", false, false, NULL, "host", 80, false, "//evil.test//"},
    {"http://host/%zz%00<>\"{}|^`", false, false, NULL, "host", 80, false, "/%zz%00<>\"{}|^`"},
};

TEST(urls_are_split)
{
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        const struct good *want = &good[i];
        opf_url url;
        const char *why = NULL;
        int ret = opf_url_parse(want->text, strlen(want->text), &url, &why);
        if (ret != 0)
            OPF_TEST_FAIL("%s: %s", want->text, why);
        CHECK_EQ_INT(url.tls, want->tls);
        CHECK_EQ_INT(url.ip6, want->ip6);
        CHECK_EQ_INT(url.user != NULL, want->user != NULL);
        if (want->user)
            CHECK_BYTES(url.user, url.user_len, want->user);
        CHECK_BYTES(url.host, url.host_len, want->host);
        CHECK_EQ_INT(url.port, want->port);
        CHECK_EQ_INT(url.port_given, want->port_given);
        CHECK(url.target != NULL);
        CHECK_BYTES(url.target, url.target_len, want->target);
    }
}

static const struct {
    const char *text;
    const char *why;
} bad[] = {
    {"", "URL has no scheme (http:// or https://)"},
    {"host", "URL has no scheme (http:// or https://)"},
    {"host/path", "URL has no scheme (http:// or https://)"},
    {"/path", "URL has no scheme (http:// or https://)"},
    {"//host/path", "URL has no scheme (http:// or https://)"},
    {"://host", "URL has no scheme (http:// or https://)"},
    {"ftp://host/", "unsupported URL scheme"},
    {"httpx://host/", "unsupported URL scheme"},
    {"httpss://host/", "unsupported URL scheme"},
    {"localhost:8080/", "unsupported URL scheme"},
    {"http+unix://host/", "unsupported URL scheme"},
    {"http:", "URL has no host"},
    {"http:/", "URL has no host"},
    {"http:host", "URL has no host"},
    {"http:/host", "URL has no host"},
    {"http://", "URL has no host"},
    {"https:///path", "URL has no host"},
    {"http://?a", "URL has no host"},
    {"http://#a", "URL has no host"},
    {"http://:80/", "URL has no host"},
    {"http://user@/", "URL has no host"},
    {"http://user@:80/", "URL has no host"},
    {"http://host:0/", "URL has port 0"},
    {"http://host:00", "URL has port 0"},
    {"http://host:65536/", "URL has a port over 65535"},
    {"http://host:99999999999999999999/", "URL has a port over 65535"},
    {"http://host:8o/", "URL has a port that is no number"},
    {"http://host:-1/", "URL has a port that is no number"},
    {"http://host:+80/", "URL has a port that is no number"},
    {"http://host:80:80/", "URL has an IPv6 address without brackets, or two ports"},
    {"http://::1/", "URL has an IPv6 address without brackets, or two ports"},
    {"http://fe80::1/", "URL has an IPv6 address without brackets, or two ports"},
    {"http://host\n/", "URL has a control character"},
    {"http://host/a\r\nX: y", "URL has a control character"},
    {"http://host/\x7f", "URL has a control character"},
    {"http://host/#\t", "URL has a control character"},
    {"\x01http://host/", "URL has a control character"},
    {" http://host/", "URL has a space"},
    {"http://host /", "URL has a space"},
    {"http://host/a b", "URL has a space"},
    {"http://h\xc3\xb6st/", "URL has a character outside ASCII"},
    {"http://host/\xc3\xb6", "URL has a character outside ASCII"},
    {"http://host\\@evil.test/", "URL has a backslash before its path"},
    {"http://evil.test\\.good.test/", "URL has a backslash before its path"},
    {"http://user\\:x@host/", "URL has a backslash before its path"},
    {"http:\\\\host\\", "URL has no host"},
    {"http://h%6fst/", "URL has a percent-encoded host"},
    {"http://host%00.evil.test/", "URL has a percent-encoded host"},
    {"http://ho<st/", "URL has a host with a character that no host has"},
    {"http://ho\"st/", "URL has a host with a character that no host has"},
    {"http://host]/", "URL has a host with a character that no host has"},
    {"http://ho[st]/", "URL has a host with a character that no host has"},
    {"http://[::1", "URL has a malformed IPv6 address"},
    {"http://[]/", "URL has a malformed IPv6 address"},
    {"http://[host]/", "URL has a malformed IPv6 address"},
    {"http://[1.2.3.4]/", "URL has a malformed IPv6 address"},
    {"http://[::1%]/", "URL has a malformed IPv6 address"},
    {"http://[::1%a:b]/", "URL has a malformed IPv6 address"},
    {"http://[v1.x]/", "URL has a malformed IPv6 address"},
    {"http://[::1]x/", "URL has characters between host and port"},
    {"http://[::1]80/", "URL has characters between host and port"},
    {"http://[::1].evil.test/", "URL has characters between host and port"},
    {"http://[::1]:x/", "URL has a port that is no number"},
};

TEST(bad_urls_are_refused_with_a_reason)
{
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        opf_url url;
        const char *why = NULL;
        int ret = opf_url_parse(bad[i].text, strlen(bad[i].text), &url, &why);
        if (ret != OPF_EINVAL || !why || strcmp(why, bad[i].why) != 0)
            OPF_TEST_FAIL("%s: %d, %s", bad[i].text, ret, why ? why : "(null)");
    }
    opf_url url;
    const char *why = NULL;
    CHECK_EQ_INT(opf_url_parse("http://host/\0", 13, &url, &why), OPF_EINVAL);
    CHECK_STR(why, "URL has a control character");
    char long_scope[300] = "http://[::1%";
    memset(long_scope + 12, 'a', 200);
    strcpy(long_scope + 212, "]/");
    CHECK_EQ_INT(opf_url_parse(long_scope, strlen(long_scope), &url, &why), OPF_EINVAL);
    CHECK_STR(why, "URL has a malformed IPv6 address");
}

/* A sanitizer would see a read past the end of these exact copies. */
TEST(no_byte_past_the_end_is_read)
{
    const char *text = "https://u:p@[fe80::1%25eth0]:8080/a?b#c";
    for (size_t len = 0; len <= strlen(text); len++) {
        opf_url url;
        const char *why = NULL;
        char *copy = opf_mem_alloc(len ? len : 1);
        CHECK(copy != NULL);
        memcpy(copy, text, len);
        int ret = opf_url_parse(copy, len, &url, &why);
        opf_mem_free(copy);
        CHECK(ret == 0 || why != NULL);
    }
}

static const struct {
    const char *text;
    const char *quoted; /* NULL: as it is */
} quotes[] = {
    {"", NULL},
    {"http://host/a?b=c&d=e;f,g:h@i!j$k'l(m)n*o+p#q[r]s~t-u_v.w", NULL},
    {"http://host/a b", "http://host/a%20b"},
    {"/\x01\x1f\x7f\n", "/%01%1F%7F%0A"},
    {"/\"<>\\^`{|}", "/%22%3C%3E%5C%5E%60%7B%7C%7D"},
    {"/\xc3\xb6\xe2\x82\xac", "/%C3%B6%E2%82%AC"},
    {"/%41%7e%2D%5f%2e%30", "/A~-_.0"},
    {"/%2f%2F%c3%B6%20%25", NULL},
    {"/%2541", NULL}, /* is not decoded twice */
    {"/%4%31", "/%41"},
    {"/%", NULL},
    {"/%4", NULL},
    {"/%-1%_a%1-", NULL},
    {"/%%41", "/%A"},
    {"/%zz", "/%25zz"},
    {"/%41%zz%2f b", "/%2541%25zz%252f%20b"},
    {"/%4g", "/%254g"},
    {"/%0x41", "/%250x41"},
    {"/%\xc3\xb6\x31", "/%25%C3%B61"},
    {"/%\xc3\xb6%", "/%%C3%B6%"},
    {"/%\xc3\xb6\xc3\xb6", "/%25%C3%B6%C3%B6"},
};

TEST(urls_are_quoted_as_requests_does)
{
    for (size_t i = 0; i < sizeof(quotes) / sizeof(quotes[0]); i++) {
        const char *text = quotes[i].text, *want = quotes[i].quoted ? quotes[i].quoted : text;
        opf_buf out;
        opf_buf_init(&out);
        CHECK_EQ_INT(opf_buf_append_str(&out, "before "), 0);
        CHECK_EQ_INT(opf_url_quote(text, strlen(text), &out), 0);
        CHECK_BYTES(out.data + 7, out.len - 7, want);
        CHECK_EQ_INT(opf_url_is_quoted(text, strlen(text)), !quotes[i].quoted);
        opf_buf_fini(&out);
    }
}

/* All strings of five of these characters, which cover every way of reading a percent sign. */
TEST(what_is_quoted_is_what_quoting_leaves)
{
    static const char alphabet[] = "%a4Gz2/ -\xc3";
    enum { LETTERS = sizeof(alphabet) - 1, LEN_MAX = 5 };
    for (unsigned n = 0; n < 100000; n++) {
        char text[LEN_MAX];
        unsigned rest = n;
        size_t len = 0;
        opf_buf out;
        for (; len < LEN_MAX; len++, rest /= LETTERS)
            text[len] = alphabet[rest % LETTERS];
        opf_buf_init(&out);
        CHECK_EQ_INT(opf_url_quote(text, len, &out), 0);
        bool same = out.len == len && memcmp(out.data, text, len) == 0;
        opf_buf_fini(&out);
        CHECK_EQ_INT(opf_url_is_quoted(text, len), same);
    }
}

#ifdef OPF_FAULTS
TEST(quoting_without_memory_changes_nothing)
{
    opf_buf out;
    opf_buf_init(&out);
    opf_mem_fail_after(0);
    int ret = opf_url_quote("/a b", 4, &out);
    CHECK(drive_fault_fired(0));
    CHECK_EQ_INT(ret, OPF_ENOMEM);
    CHECK_EQ_INT(out.len, 0);
    CHECK_EQ_INT(opf_url_quote("/a b", SIZE_MAX / 2, &out), OPF_ENOMEM);
    opf_buf_fini(&out);
}
#endif

OPF_TEST_MAIN
