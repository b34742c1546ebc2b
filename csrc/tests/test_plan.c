#include "agent/plan.h"

#include "agent/regex.h"
#include "base/mem.h"
#include "drive.h"
#include "opf_test.h"

static void *many(size_t n, size_t size)
{
    return opf_mem_zalloc(n * size);
}

static opf_template literal(const char *text)
{
    opf_template tmpl = {.n = 1, .pieces = many(1, sizeof(opf_piece))};
    tmpl.pieces[0].text = opf_mem_strdup(text);
    tmpl.pieces[0].len = (uint32_t)strlen(text);
    return tmpl;
}

static void drop(const char **text)
{
    opf_mem_free((void *)(uintptr_t)*text);
    *text = NULL;
}

enum { N_CODE = 8 };
#define COMMA ,

static void add_values(opf_plan *plan)
{
    opf_why why;
    plan->constants = many(2, sizeof(opf_value));
    plan->n_constants = 2;
    plan->constants[0] = (opf_value){.kind = OPF_TEXT, .len = 1, .s = opf_mem_strdup("a")};
    plan->constants[1] = (opf_value){.kind = OPF_INT, .i = 1};
    plan->templates = many(1, sizeof(opf_template));
    plan->n_templates = 1;
    plan->templates[0].pieces = many(1, sizeof(opf_piece));
    plan->templates[0].n = 1;
    plan->templates[0].pieces[0].value = 3;
    plan->tables = many(1, sizeof(opf_table));
    plan->n_tables = 1;
    plan->tables[0] = (opf_table){.n = 1, .entries = many(1, sizeof(opf_operand))};
    plan->tables[0].entries[0] = ~1;
    plan->paths = many(1, sizeof(opf_path));
    plan->n_paths = 1;
    plan->paths[0] = (opf_path){.n = 1, .steps = many(1, sizeof(opf_step))};
    plan->paths[0].steps[0] = (opf_step){.key = opf_mem_strdup("k"), .len = 1};
    plan->regexes = many(1, sizeof(opf_regex *));
    plan->n_regexes = 1;
    plan->regexes[0] = opf_regex_new("(a)", 3, 0, &why);
    plan->raises = many(1, sizeof(opf_raise));
    plan->n_raises = 1;
    plan->raises[0] = (opf_raise){.type = opf_mem_strdup("ValueError"), .text = literal("x")};
}

static void add_request(opf_plan *plan)
{
    plan->places = many(1, sizeof(opf_place));
    plan->n_places = 1;
    plan->places[0].url = opf_mem_strdup("http://host:81");
    plan->requests = many(1, sizeof(opf_request_plan));
    plan->n_requests = 1;
    plan->requests[0].method = opf_mem_strdup("GET");
    plan->requests[0].target = literal("/");
    plan->requests[0].headers = many(1, sizeof(opf_request_header));
    plan->requests[0].n_headers = 1;
    plan->requests[0].headers[0].name = opf_mem_strdup("Host");
    plan->requests[0].headers[0].value = literal("host");
    plan->requests[0].cookies = many(1, sizeof(opf_request_cookie));
    plan->requests[0].n_cookies = 1;
    plan->requests[0].cookies[0] = (opf_request_cookie){.name = opf_mem_strdup("c"),
                                                        .domain = opf_mem_strdup(""),
                                                        .path = opf_mem_strdup("/"),
                                                        .value = literal("v")};
    plan->requests[0].extracts = many(1, sizeof(opf_extract));
    plan->requests[0].n_extracts = 1;
    plan->requests[0].extracts[0] = (opf_extract){.take = OPF_TAKE_REGEX, .dst = 1, .group = 1};
}

static void add_program(opf_plan *plan)
{
    plan->programs = many(1, sizeof(opf_program));
    plan->n_programs = 1;
    plan->programs[0] = (opf_program){
        .name = opf_mem_strdup("task"), .n = N_CODE, .code = many(N_CODE, sizeof(opf_instruction))};
    opf_instruction *code = plan->programs[0].code;
    code[0] = (opf_instruction){.op = OPF_OP_GEN, .what = OPF_GEN_COUNTER, .dst = 1};
    code[1] = (opf_instruction){.op = OPF_OP_REQUEST};
    code[2] = (opf_instruction){.op = OPF_OP_NEED, .a = 1, .target = OPF_NOTHING};
    code[3] =
        (opf_instruction){.op = OPF_OP_BRANCH, .what = OPF_IF_EQ, .a = 1, .b = ~0, .target = 6};
    code[4] = (opf_instruction){.op = OPF_OP_SEARCH, .dst = 2, .a = 1, .b = 1};
    code[5] = (opf_instruction){.op = OPF_OP_JUMP, .target = 7};
    code[6] = (opf_instruction){.op = OPF_OP_RAISE};
    code[7] = (opf_instruction){.op = OPF_OP_END};
}

/* A set with a set in it. */
static void add_sets(opf_plan *plan)
{
    plan->sets = many(2, sizeof(opf_task_set));
    plan->n_sets = 2;
    for (uint32_t i = 0; i < 2; i++) {
        plan->sets[i] =
            (opf_task_set){.n = 1, .choices = many(1, sizeof(opf_choice)), .on_start = OPF_NOTHING};
        plan->sets[i].choices[0].program = i == 0 ? OPF_NOTHING : 0;
        plan->sets[i].choices[0].set = 1;
    }
    plan->sets[0].wait.pace = OPF_PACE_SAMPLES;
}

/* A plan with one of each; register 0 is a slot. */
static opf_plan *make(void)
{
    opf_plan *plan = opf_plan_new();
    if (!plan)
        return NULL;
    plan->n_slots = 1;
    plan->n_registers = 4;
    plan->pool.server_name = opf_mem_strdup("name");
    add_values(plan);
    add_request(plan);
    add_program(plan);
    add_sets(plan);
    plan->counters = many(1, sizeof(opf_counter));
    plan->n_counters = 1;
    plan->samples = many(1, sizeof(opf_samples));
    plan->n_samples = 1;
    plan->lines = many(1, sizeof(char *));
    plan->n_lines = 1;
    plan->lines[0] = opf_mem_strdup("locustfile.py:1");
    return plan;
}

TEST(a_good_plan_is_sealed)
{
    opf_plan *plan = make();
    opf_why why = NULL;
    CHECK_EQ_INT(opf_plan_seal(plan, &why), 0);
    CHECK_EQ_INT(plan->places[0].parsed.port, 81);
    CHECK_BYTES(plan->places[0].parsed.host, plan->places[0].parsed.host_len, "host");
    CHECK(plan->samples[0].values[OPF_SAMPLES_N - 1] == 0.0);
    double values[OPF_SAMPLES_N];
    for (int i = 0; i < OPF_SAMPLES_N; i++)
        values[i] = i;
    opf_plan_set_samples(plan, 0, values);
    opf_plan_set_samples(plan, 1, values);
    CHECK(plan->samples[0].values[OPF_SAMPLES_N - 1] == OPF_SAMPLES_N - 1);
    opf_plan_hold(plan);
    opf_plan_release(plan);
    CHECK_EQ_INT(plan->n_lines, 1);
    opf_plan_release(plan);
    opf_plan_hold(NULL);
    opf_plan_release(NULL);
}

/* Breaks one thing and sees why the plan is not sealed. */
#define REFUSED(what, text)                                                                        \
    do {                                                                                           \
        opf_plan *plan = make();                                                                   \
        opf_instruction *code = plan->programs[0].code;                                            \
        opf_request_plan *request = plan->requests;                                                \
        opf_why why = NULL;                                                                        \
        (void)code;                                                                                \
        (void)request;                                                                             \
        what;                                                                                      \
        int rc = opf_plan_seal(plan, &why);                                                        \
        opf_plan_release(plan);                                                                    \
        CHECK_EQ_INT(rc, OPF_EINVAL);                                                              \
        CHECK_STR(why, text);                                                                      \
    } while (0)

TEST(a_bad_program_is_refused)
{
    REFUSED(code[0].op = (opf_op)99, "an instruction that does not exist");
    REFUSED(code[0].dst = 4, "an instruction's register does not exist");
    REFUSED(code[0].line = 1, "an instruction of a line that does not exist");
    REFUSED(code[0].a = 1, "an instruction names what does not exist");
    REFUSED(code[0].a = -1, "an instruction names what does not exist");
    REFUSED(code[0].what = 16, "an instruction names what does not exist");
    REFUSED(code[1].what = 1, "an instruction names what does not exist");
    REFUSED(code[2].what = 1, "an instruction names what does not exist");
    REFUSED(code[2].target = 8, "an instruction's target does not exist");
    REFUSED(code[2].a = 4, "an instruction's operand does not exist");
    REFUSED(code[3].b = ~2, "an instruction names what does not exist");
    REFUSED(code[3].b = INT32_MIN, "an instruction names what does not exist");
    REFUSED(code[3].what = 13, "an instruction names what does not exist");
    REFUSED(code[3].target = OPF_NOTHING, "an instruction's target does not exist");
    REFUSED(code[4].what = 1, "an instruction names what does not exist");
    REFUSED(code[4].b = 2, "an instruction names what does not exist");
    REFUSED(code[5].target = 8, "an instruction's target does not exist");
    REFUSED(code[5].target = 3, "a program goes round without a request or a sleep");
    REFUSED(code[5].target = 5, "a program goes round without a request or a sleep");
    REFUSED(code[6].what = 1, "an instruction names what does not exist");
    REFUSED(code[2] = (opf_instruction){.op = OPF_OP_EXPECT COMMA.what = 1},
            "an instruction names what does not exist");
    REFUSED(code[2] = (opf_instruction){.op = OPF_OP_EXPECT COMMA.a = 4},
            "an instruction's operand does not exist");
    REFUSED(code[7].op = OPF_OP_SUCCESS, "a program that does not end");
    REFUSED(plan->programs[0].n = 0, "a program without instructions");
    REFUSED(code[4] = (opf_instruction){.op = OPF_OP_MEMBER COMMA.what = 1},
            "an instruction names what does not exist");
    REFUSED(code[4] = (opf_instruction){.op = OPF_OP_PICK COMMA.what = 1},
            "an instruction names what does not exist");
}

TEST(rings_through_a_request_are_taken)
{
    opf_plan *plan = make();
    opf_why why = NULL;
    plan->programs[0].code[5].target = 1;
    CHECK_EQ_INT(opf_plan_seal(plan, &why), 0);
    opf_plan_release(plan);
}

TEST(bad_tables_are_refused)
{
    REFUSED(plan->n_slots = 5, "more slots than registers");
    REFUSED(plan->constants[1].kind = 9, "a constant of no kind");
    REFUSED(plan->templates[0].pieces[0].value = ~2, "a template's operand does not exist");
    REFUSED(plan->templates[0].pieces[0].encoding = (opf_encoding)5,
            "a template's encoding or format does not exist");
    REFUSED(plan->templates[0].pieces[0].format.type = 'n',
            "a template's encoding or format does not exist");
    REFUSED(plan->tables[0].entries[0] = 4, "a table's operand does not exist");
    REFUSED(plan->tables[0].n = 0, "a table without entries");
    REFUSED(plan->places[0].url[0] = 'x', "unsupported URL scheme");
    REFUSED(request->place = 1, "a request's place does not exist");
    REFUSED(request->line = 1, "a request of a line that does not exist");
    REFUSED(request->extracts[0].dst = 4, "an extract's register does not exist");
    REFUSED(request->extracts[0].group = 2,
            "an extract's regular expression or group does not exist");
    REFUSED(request->extracts[0].take = OPF_TAKE_HEADER, "an extract without a name");
    REFUSED(request->extracts[0].take = (opf_take)14, "an extract that does not exist");
    REFUSED((request->extracts[0].take = OPF_TAKE_JSON, request->extracts[0].what = 1),
            "an extract's path does not exist");
    REFUSED(drop(&request->cookies[0].path), "a cookie without a name, domain or path");
    REFUSED((drop(&request->cookies[0].value.pieces[0].text),
             request->cookies[0].value.pieces[0].value = 4),
            "a template's operand does not exist");
    REFUSED(plan->sets[0].wait.samples = 1, "a wait's samples do not exist");
    REFUSED(plan->sets[0].wait.pace = (opf_pace)5, "a wait that does not exist");
    REFUSED(plan->sets[0].choices[0].set = 2, "a set's task does not exist");
    REFUSED(plan->sets[0].choices[0].set = 0, "sets of tasks that contain each other");
    REFUSED(plan->sets[1].choices[0].program = 1, "a set's task does not exist");
    REFUSED(plan->sets[1].on_start = 1, "a set's on_start does not exist");
    REFUSED(plan->start = 1, "a plan's on_start does not exist");
}

TEST(an_empty_plan_is_refused_and_freed)
{
    opf_plan *plan = opf_plan_new();
    opf_why why = NULL;
    CHECK_EQ_INT(opf_plan_seal(plan, &why), OPF_EINVAL);
    CHECK_STR(why, "a plan without tasks");
    plan->n_lines = 3; /* a table that no memory was there for */
    plan->n_requests = 3;
    CHECK_EQ_INT(opf_plan_seal(plan, &why), OPF_EINVAL);
    CHECK_STR(why, "a table that is not there");
    opf_plan_release(plan);
}

TEST(sealing_survives_every_failed_allocation)
{
    opf_mem_fail_after(0);
    CHECK(opf_plan_new() == NULL);
    opf_mem_fail_after(-1);
    for (long n = 0;; n++) {
        opf_plan *plan = make();
        opf_why why;
        opf_mem_fail_after(n);
        int rc = opf_plan_seal(plan, &why);
        bool fired = drive_fault_fired(n);
        opf_plan_release(plan);
        CHECK_EQ_INT(rc, fired ? OPF_ENOMEM : 0);
        if (!fired)
            break;
    }
}

OPF_TEST_MAIN
