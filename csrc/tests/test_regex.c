#include "agent/regex.h"

#include "base/mem.h"
#include "drive.h"
#include "opf.h"
#include "opf_test.h"

/* Searches and returns what the group holds: "-" no match, "." no part, "!" and why not. */
static const char *search(const char *pattern, uint32_t flags, const char *text, uint32_t group)
{
    static char last[256];
    opf_why why = NULL;
    opf_regex *regex = opf_regex_new(pattern, strlen(pattern), flags, &why);
    if (!regex) {
        snprintf(last, sizeof(last), "!%s", why ? why : "memory");
        return last;
    }
    size_t at = 0, len = 0;
    int rc = opf_regex_search(regex, text, strlen(text), group, &at, &len, &why);
    opf_regex_free(regex);
    if (rc < 0)
        snprintf(last, sizeof(last), "!%s", why ? why : "memory");
    else if (rc == 0 || at == SIZE_MAX)
        snprintf(last, sizeof(last), "%s", rc == 0 ? "-" : ".");
    else
        snprintf(last, sizeof(last), "%.*s", (int)len, text + at);
    return last;
}

TEST(searches_as_re)
{
    CHECK_STR(search("name=\"(\\w+)\"", 0, "<a name=\"token\">", 1), "token");
    CHECK_STR(search("(a)|(b)", 0, "b", 1), ".");
    CHECK_STR(search("(a)|(b)", 0, "b", 2), "b");
    CHECK_STR(search("x", 0, "abc", 0), "-");
    CHECK_STR(search("", 0, "", 0), "");
    CHECK_STR(search("A.c", OPF_RE_IGNORECASE, "xabcx", 0), "abc");
    CHECK_STR(search("a.c", 0, "a\nc", 0), "-");
    CHECK_STR(search("a.c", OPF_RE_DOTALL, "a\nc", 0), "a\nc");
    CHECK_STR(search("a.c", 0, "a\rc", 0), "a\rc");
    CHECK_STR(search("^b$", OPF_RE_MULTILINE, "a\nb\nc", 0), "b");
    CHECK_STR(search("\\s^", OPF_RE_MULTILINE, "a\n", 0), "\n");
    CHECK_STR(search("^b$", 0, "a\nb\nc", 0), "-");
    CHECK_STR(search("\\w+", 0, "\xC3\xA4x", 0), "\xC3\xA4x");
    CHECK_STR(search("\\w+", OPF_RE_ASCII, "\xC3\xA4x", 0), "x");
    CHECK_STR(search("(?P<id>\\d+)", 0, "id 42", 1), "42");
    CHECK_STR(search("[]a]+", 0, "x]a", 0), "]a");
    CHECK_STR(search("\\x41\\u0042", 0, "AB", 0), "AB");
}

TEST(what_is_not_the_same_is_refused)
{
    CHECK(search("a\\Z", 0, "a", 0)[0] == '!');
    CHECK(search("\\v", 0, "a", 0)[0] == '!');
    CHECK(search("\\p{L}", 0, "a", 0)[0] == '!');
    CHECK(search("(?i)a", 0, "a", 0)[0] == '!');
    CHECK(search("(?>a)", 0, "a", 0)[0] == '!');
    CHECK(search("(*UTF)a", 0, "a", 0)[0] == '!');
    CHECK(search("[[:alpha:]]", 0, "a", 0)[0] == '!');
    CHECK(search("a{,2}", 0, "a", 0)[0] == '!');
    CHECK(search("(", 0, "a", 0)[0] == '!');
    CHECK(search("a", 64, "a", 0)[0] == '!');
    CHECK(search("\xFF", 0, "a", 0)[0] == '!');
}

TEST(bad_texts_and_long_searches_are_errors)
{
    CHECK_STR(search("a", 0, "\xFF", 0), "!a search in a text that is no UTF-8");
    CHECK_STR(search("^(a+)+$", 0, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaac", 0),
              "!a search by a regular expression that takes too long");
}

TEST(groups_are_counted)
{
    opf_why why;
    opf_regex *regex = opf_regex_new("(a)(?:b)(c)", 11, 0, &why);
    CHECK(regex != NULL);
    CHECK_EQ_INT(opf_regex_groups(regex), 2);
    opf_regex_free(regex);
    opf_regex_free(NULL);
}

TEST(survives_every_failed_allocation)
{
    for (long n = 0;; n++) {
        opf_why why = NULL;
        size_t at, len;
        int rc = OPF_ENOMEM;
        opf_mem_fail_after(n);
        opf_regex *regex = opf_regex_new("(a+)b", 5, 0, &why);
        if (regex)
            rc = opf_regex_search(regex, "xaab", 4, 1, &at, &len, &why);
        bool fired = drive_fault_fired(n);
        opf_regex_free(regex);
        CHECK(why == NULL);
        CHECK_EQ_INT(rc, fired ? OPF_ENOMEM : 1);
        if (!fired)
            break;
    }
}

OPF_TEST_MAIN
