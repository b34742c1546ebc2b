/* Cookies that a request brings along, merged with the agent's as requests does it. */
#include "agent/frame.h"

#include "base/mem.h"
#include "drive.h"
#include "opf_test.h"

#define MAX_COOKIES 4

/* An agent with a frame, whose request is to http://h.test/; register 0 is a slot. */
static struct bench {
    opf_agent agent;
    opf_crew crew;
    opf_frame frame;
    opf_plan plan;
    opf_eval eval;
    opf_value slot;
    opf_request_plan request;
    opf_request_cookie cookies[MAX_COOKIES];
    opf_piece pieces[MAX_COOKIES];
} b;

static void begin(void)
{
    opf_why why;
    memset(&b, 0, sizeof(b));
    opf_buf_init(&b.crew.body);
    b.agent.crew = &b.crew;
    b.agent.frame = &b.frame;
    b.agent.plan = &b.plan;
    b.agent.jar.unescapes = true;
    b.plan.n_slots = b.plan.n_registers = 1;
    b.eval = (opf_eval){.plan = &b.plan, .slots = &b.slot, .arena = &b.frame.arena, .why = "?"};
    b.request.cookies = b.cookies;
    opf_url_parse("http://h.test/", 14, &b.frame.site, &why);
}

static void end(void)
{
    opf_buf_fini(&b.crew.body);
    opf_jar_fini(&b.agent.jar);
    opf_jar_fini(&b.frame.cookies);
}

/* Has the request bring a cookie along; value NULL: that of register 0. */
static void bring(const char *name, const char *value)
{
    uint32_t i = b.request.n_cookies++;
    b.pieces[i] = (opf_piece){.text = value, .encoding = OPF_AS_HEADER};
    if (value)
        b.pieces[i].len = (uint32_t)strlen(value);
    b.cookies[i] = (opf_request_cookie){.name = name,
                                        .domain = "",
                                        .path = "/",
                                        .host_only = true,
                                        .expires = INT64_MAX,
                                        .has_value = true,
                                        .value = {&b.pieces[i], 1}};
}

static int keep(const char *name, const char *value, const char *domain)
{
    opf_agent_cookie cookie = {name, value, domain, "/", true, false, INT64_MAX};
    return opf_jar_set(&b.agent.jar, &cookie);
}

static int merge(opf_why *why, bool *refused)
{
    *why = "";
    *refused = false;
    return opf_request_merge_cookies(&b.agent, &b.eval, &b.request, why, refused);
}

/* Follows a response that sets a cookie ("": none), which the agent's jar takes first. */
static int follow(const char *set)
{
    char head[128];
    int len = snprintf(head, sizeof(head), "Set-Cookie%s", set);
    opf_field field = {0, 10, 10, (uint32_t)len - 10};
    opf_result result = {.status = 302,
                         .head = head,
                         .fields = &field,
                         .n_fields = 1,
                         .has_set_cookie = *set != '\0'};
    int ret = opf_jar_take(&b.agent.jar, &b.frame.site, &result, 0);
    return ret == 0 ? opf_request_follow_cookies(&b.agent, &result) : ret;
}

static void check_sent(const char *want)
{
    opf_buf out;
    opf_buf_init(&out);
    CHECK_EQ_INT(opf_jar_write(&b.frame.cookies, &b.frame.site, 0, &out), 0);
    CHECK_EQ_INT(opf_buf_append(&out, "", 1), 0);
    CHECK_STR((const char *)out.data, want);
    opf_buf_fini(&out);
}

TEST(those_of_the_request_stand_beside_those_of_the_agent)
{
    opf_why why;
    bool refused;
    begin();
    CHECK_EQ_INT(keep("a", "here", "h.test"), 0);
    CHECK_EQ_INT(keep("a", "any", ""), 0);
    CHECK_EQ_INT(keep("c", "\"\\\"c\"", "h.test"), 0);
    b.slot = (opf_value){.kind = OPF_TEXT, .len = 3, .s = "\xc3\xbc!"};
    bring("b", NULL);
    bring("a", "new");
    bring("d", "\"\\\\\"\"");
    b.cookies[2].has_value = false;
    CHECK_EQ_INT(merge(&why, &refused), 0);
    check_sent("a=here; c=\"c\"; a=new; b=\xfc!; d");
    b.cookies[2].has_value = true;
    CHECK_EQ_INT(merge(&why, &refused), 0); /* kept twice, and each time quotes are taken out */
    check_sent("a=here; c=\"c\"; a=new; b=\xfc!; d=\"");
    CHECK_EQ_INT(b.agent.jar.n, 3);
    /* from the redirect on what the agent has goes before */
    CHECK_EQ_INT(follow("e=1; Path=/"), 0);
    check_sent("a=here; c=\"c\"; e=1; a=any; b=\xfc!; d=\"");
    CHECK_EQ_INT(follow("a=; Max-Age=0; Path=/"), 0);
    check_sent("c=\"c\"; e=1; a=any; b=\xfc!; d=\"");
    CHECK_EQ_INT(follow(""), 0);
    check_sent("c=\"c\"; e=1; a=any; b=\xfc!; d=\"");
    CHECK_EQ_INT(b.agent.jar.n, 3);
    end();
}

TEST(values_that_no_header_can_have_are_refused)
{
    static const char *const values[] = {"a\nb", "a\rb", "\x7f", "\xe2\x82\xac"};
    opf_why why;
    bool refused;
    for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++) {
        begin();
        b.slot = (opf_value){.kind = OPF_TEXT, .len = (uint32_t)strlen(values[i]), .s = values[i]};
        bring("a", "good");
        bring("b", NULL);
        CHECK_EQ_INT(merge(&why, &refused), OPF_EINVAL);
        CHECK(refused);
        CHECK(strstr(why, "header") != NULL);
        end();
    }
    begin();
    bring("a", "line\nbreak");
    CHECK_EQ_INT(merge(&why, &refused), OPF_EINVAL);
    CHECK(refused);
    CHECK_STR(why, "header value has a control character");
    end();
    begin();
    bring("a", NULL); /* the slot is not set: no fault of the request's */
    CHECK_EQ_INT(merge(&why, &refused), OPF_EINVAL);
    CHECK(!refused);
    end();
}

#ifdef OPF_FAULTS
TEST(without_memory_nothing_is_lost)
{
    bool fired = true;
    for (long n = 0; fired; n++) {
        opf_why why;
        bool refused;
        begin();
        CHECK_EQ_INT(keep("a", "1", "h.test"), 0);
        bring("b", "2");
        bring("c", "3");
        opf_mem_fail_after(n);
        int ret = merge(&why, &refused);
        if (ret == 0)
            ret = follow("d=4; Path=/");
        fired = drive_fault_fired(n);
        CHECK_EQ_INT(ret, fired ? OPF_ENOMEM : 0);
        CHECK(!refused);
        if (!fired)
            check_sent("a=1; d=4; b=2; c=3");
        CHECK(b.agent.jar.n >= 1);
        end();
    }
}
#endif

OPF_TEST_MAIN
