#include "agent/plan.h"

#include <math.h>

#include "agent/plan_tables.h"
#include "agent/regex.h"
#include "base/mem.h"

#define PATH_MAX_STEPS 64

static int refuse(opf_why *why, const char *text)
{
    *why = text;
    return OPF_EINVAL;
}

opf_plan *opf_plan_new(void)
{
    opf_plan *plan = opf_mem_zalloc(sizeof(*plan));
    if (plan) {
        atomic_init(&plan->refs, 1);
        plan->start = OPF_NOTHING;
    }
    return plan;
}

void opf_plan_hold(opf_plan *plan)
{
    if (plan)
        atomic_fetch_add_explicit(&plan->refs, 1, memory_order_relaxed);
}

void opf_plan_release(opf_plan *plan)
{
    if (!plan || atomic_fetch_sub_explicit(&plan->refs, 1, memory_order_acq_rel) != 1)
        return;
    opf_plan_free_tables(plan);
    opf_mem_free(plan);
}

static bool is_absent(const void *table, uint32_t n)
{
    return n > 0 && !table;
}

static int check_tables(const opf_plan *plan, opf_why *why)
{
    if (is_absent(plan->constants, plan->n_constants) ||
        is_absent(plan->templates, plan->n_templates) || is_absent(plan->tables, plan->n_tables) ||
        is_absent(plan->paths, plan->n_paths) || is_absent(plan->regexes, plan->n_regexes) ||
        is_absent(plan->raises, plan->n_raises) || is_absent(plan->places, plan->n_places) ||
        is_absent(plan->requests, plan->n_requests) ||
        is_absent(plan->programs, plan->n_programs) || is_absent(plan->sets, plan->n_sets) ||
        is_absent(plan->counters, plan->n_counters) || is_absent(plan->samples, plan->n_samples) ||
        is_absent(plan->lines, plan->n_lines))
        return refuse(why, "a table that is not there");
    if (plan->style != OPF_STYLE_HTTP && plan->style != OPF_STYLE_FAST)
        return refuse(why, "a style that does not exist");
    if (plan->n_slots > plan->n_registers || plan->n_registers > INT32_MAX)
        return refuse(why, "more slots than registers");
    for (uint32_t i = 0; i < plan->n_regexes; i++)
        if (!plan->regexes[i])
            return refuse(why, "a regular expression that is not there");
    for (uint32_t i = 0; i < plan->n_lines; i++)
        if (!plan->lines[i])
            return refuse(why, "a line that is not there");
    return 0;
}

static int check_constants(const opf_plan *plan, opf_why *why)
{
    for (uint32_t i = 0; i < plan->n_constants; i++) {
        const opf_value *value = &plan->constants[i];
        if (value->kind > OPF_JSON)
            return refuse(why, "a constant of no kind");
        if ((value->kind == OPF_TEXT || value->kind == OPF_JSON) && !value->s && value->len)
            return refuse(why, "a constant text that is not there");
    }
    return 0;
}

static bool good_format(const opf_format *format)
{
    return !format->type || strchr("dfegxXs", format->type);
}

static int check_template(const opf_plan *plan, const opf_template *tmpl, opf_why *why)
{
    if (is_absent(tmpl->pieces, tmpl->n))
        return refuse(why, "a template that is not there");
    for (uint32_t i = 0; i < tmpl->n; i++) {
        const opf_piece *piece = &tmpl->pieces[i];
        if (piece->text)
            continue;
        if (!opf_plan_has(plan, piece->value))
            return refuse(why, "a template's operand does not exist");
        if ((unsigned)piece->encoding > OPF_AS_HEADER || !good_format(&piece->format))
            return refuse(why, "a template's encoding or format does not exist");
    }
    return 0;
}

static int check_values(const opf_plan *plan, opf_why *why)
{
    int rc = check_constants(plan, why);
    for (uint32_t i = 0; i < plan->n_templates && rc == 0; i++)
        rc = check_template(plan, &plan->templates[i], why);
    for (uint32_t i = 0; i < plan->n_tables && rc == 0; i++) {
        const opf_table *table = &plan->tables[i];
        if (table->n == 0 || !table->entries)
            rc = refuse(why, "a table without entries");
        for (uint32_t j = 0; j < table->n && rc == 0; j++)
            if (!opf_plan_has(plan, table->entries[j]))
                rc = refuse(why, "a table's operand does not exist");
    }
    for (uint32_t i = 0; i < plan->n_paths && rc == 0; i++)
        if (plan->paths[i].n > PATH_MAX_STEPS || is_absent(plan->paths[i].steps, plan->paths[i].n))
            rc = refuse(why, "a path that is too long, or not there");
    for (uint32_t i = 0; i < plan->n_raises && rc == 0; i++)
        rc = plan->raises[i].type ? check_template(plan, &plan->raises[i].text, why)
                                  : refuse(why, "an exception without a type");
    return rc;
}

static int check_extract(const opf_plan *plan, const opf_extract *extract, opf_why *why)
{
    if ((unsigned)extract->take > OPF_TAKE_TYPE)
        return refuse(why, "an extract that does not exist");
    if (extract->dst >= plan->n_registers)
        return refuse(why, "an extract's register does not exist");
    bool named = extract->take == OPF_TAKE_HEADER || extract->take == OPF_TAKE_COOKIE;
    if (named && !extract->name)
        return refuse(why, "an extract without a name");
    if (extract->take == OPF_TAKE_JSON && extract->what >= plan->n_paths)
        return refuse(why, "an extract's path does not exist");
    if (extract->take == OPF_TAKE_REGEX &&
        (extract->what >= plan->n_regexes ||
         extract->group > opf_regex_groups(plan->regexes[extract->what])))
        return refuse(why, "an extract's regular expression or group does not exist");
    return 0;
}

static int check_cookie(const opf_plan *plan, const opf_request_cookie *cookie, opf_why *why)
{
    if (!cookie->name || !cookie->domain || !cookie->path)
        return refuse(why, "a cookie without a name, domain or path");
    return check_template(plan, &cookie->value, why);
}

static int check_request(const opf_plan *plan, const opf_request_plan *request, opf_why *why)
{
    if (!request->method || !*request->method)
        return refuse(why, "a request without a method");
    if (request->place >= plan->n_places)
        return refuse(why, "a request's place does not exist");
    if (request->line >= plan->n_lines)
        return refuse(why, "a request of a line that does not exist");
    if (is_absent(request->headers, request->n_headers) ||
        is_absent(request->cookies, request->n_cookies) ||
        is_absent(request->extracts, request->n_extracts))
        return refuse(why, "a request's table is not there");
    int rc = check_template(plan, &request->target, why);
    if (rc == 0)
        rc = check_template(plan, &request->params, why);
    if (rc == 0)
        rc = check_template(plan, &request->url, why);
    if (rc == 0)
        rc = check_template(plan, &request->name, why);
    if (rc == 0 && request->has_body)
        rc = check_template(plan, &request->body, why);
    for (uint32_t i = 0; i < request->n_headers && rc == 0; i++)
        rc = request->headers[i].name ? check_template(plan, &request->headers[i].value, why)
                                      : refuse(why, "a header without a name");
    for (uint32_t i = 0; i < request->n_cookies && rc == 0; i++)
        rc = check_cookie(plan, &request->cookies[i], why);
    for (uint32_t i = 0; i < request->n_extracts && rc == 0; i++)
        rc = check_extract(plan, &request->extracts[i], why);
    return rc;
}

static int parse_places(opf_plan *plan, opf_why *why)
{
    for (uint32_t i = 0; i < plan->n_places; i++) {
        opf_place *place = &plan->places[i];
        if (!place->url)
            return refuse(why, "a place without a URL");
        if (opf_url_parse(place->url, strlen(place->url), &place->parsed, why) != 0)
            return OPF_EINVAL;
        if (place->parsed.target_len)
            return refuse(why, "a place with a path");
    }
    return 0;
}

static bool is_program(const opf_plan *plan, uint32_t program)
{
    return program == OPF_NOTHING || program < plan->n_programs;
}

static int check_set(const opf_plan *plan, const opf_task_set *set, opf_why *why)
{
    if (set->n == 0 || !set->choices)
        return refuse(why, "a set without tasks");
    if (!is_program(plan, set->on_start))
        return refuse(why, "a set's on_start does not exist");
    if ((unsigned)set->wait.pace > OPF_PACE_SAMPLES || !isfinite(set->wait.a) ||
        !isfinite(set->wait.b))
        return refuse(why, "a wait that does not exist");
    if (set->wait.pace == OPF_PACE_SAMPLES && set->wait.samples >= plan->n_samples)
        return refuse(why, "a wait's samples do not exist");
    for (uint32_t i = 0; i < set->n; i++) {
        const opf_choice *choice = &set->choices[i];
        bool good = choice->program == OPF_NOTHING ? choice->set < plan->n_sets
                                                   : choice->program < plan->n_programs;
        if (!good)
            return refuse(why, "a set's task does not exist");
    }
    return 0;
}

/* Who enters a nested set stays there, so that sets in a ring would be entered for ever. */
static int check_nesting(const opf_plan *plan, opf_why *why)
{
    bool *good = opf_mem_zalloc(plan->n_sets);
    uint32_t left = plan->n_sets, before;
    if (!good)
        return OPF_ENOMEM;
    do {
        before = left;
        for (uint32_t i = plan->n_sets; i-- > 0;) {
            bool all = !good[i];
            for (uint32_t j = 0; j < plan->sets[i].n && all; j++) {
                const opf_choice *choice = &plan->sets[i].choices[j];
                all = choice->program != OPF_NOTHING || good[choice->set];
            }
            if (all) {
                good[i] = true;
                left--;
            }
        }
    } while (left && left < before);
    opf_mem_free(good);
    return left ? refuse(why, "sets of tasks that contain each other") : 0;
}

static int check_work(const opf_plan *plan, opf_why *why)
{
    int rc = 0;
    for (uint32_t i = 0; i < plan->n_requests && rc == 0; i++)
        rc = check_request(plan, &plan->requests[i], why);
    for (uint32_t i = 0; i < plan->n_programs && rc == 0; i++)
        rc = opf_plan_check_program(plan, &plan->programs[i], why);
    for (uint32_t i = 0; i < plan->n_sets && rc == 0; i++)
        rc = check_set(plan, &plan->sets[i], why);
    if (rc == 0 && plan->n_sets == 0)
        rc = refuse(why, "a plan without tasks");
    if (rc == 0 && !is_program(plan, plan->start))
        rc = refuse(why, "a plan's on_start does not exist");
    return rc == 0 ? check_nesting(plan, why) : rc;
}

static int make_samples(opf_plan *plan)
{
    for (uint32_t i = 0; i < plan->n_samples; i++) {
        opf_samples *samples = &plan->samples[i];
        if (samples->values)
            continue;
        samples->values = opf_mem_alloc(OPF_SAMPLES_N * sizeof(*samples->values));
        if (!samples->values)
            return OPF_ENOMEM;
        for (uint32_t j = 0; j < OPF_SAMPLES_N; j++)
            atomic_init(&samples->values[j], 0.0);
        atomic_init(&samples->next, 0);
    }
    return 0;
}

static int join_headers(opf_plan *plan)
{
    int rc = 0;
    for (uint32_t i = 0; i < plan->n_requests && rc == 0; i++)
        rc = opf_plan_join_headers(&plan->requests[i]);
    return rc;
}

int opf_plan_seal(opf_plan *plan, opf_why *why)
{
    int rc = check_tables(plan, why);
    if (rc == 0)
        rc = check_values(plan, why);
    if (rc == 0)
        rc = parse_places(plan, why);
    if (rc == 0)
        rc = check_work(plan, why);
    if (rc == 0)
        rc = join_headers(plan);
    return rc == 0 ? make_samples(plan) : rc;
}

void opf_plan_set_samples(opf_plan *plan, uint32_t samples, const double *values)
{
    if (samples >= plan->n_samples)
        return;
    for (uint32_t i = 0; i < OPF_SAMPLES_N; i++)
        atomic_store_explicit(&plan->samples[samples].values[i], values[i], memory_order_relaxed);
}
