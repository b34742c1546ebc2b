#include "agent/agent.h"

#include <errno.h>
#include <math.h>

#include "agent/frame.h"
#include "agent/pools.h"
#include "base/clock.h"
#include "base/mem.h"
#include "client/engine.h"

#define TURN 4096      /* instructions in a row before others have their turn */
#define NESTING_MAX 64 /* task sets entered in a row */
#define WAIT_MAX_S 1e9

/* What the instructions of a turn came to. */
typedef enum outcome {
    GOES_ON,
    LEAVES, /* a request, a timer or the agent's end */
    TASK_OVER
} outcome;

static void fire(opf_timer *timer);
static void run(opf_agent *agent);

int opf_crew_init(opf_crew *crew, opf_engine *engine)
{
    *crew = (opf_crew){.engine = engine};
    opf_list_init(&crew->pools);
    opf_list_init(&crew->tallies);
    opf_list_init(&crew->ends);
    if (opf_roll_init(&crew->agents) != 0) {
        errno = ENOMEM;
        return OPF_ESYS;
    }
    return opf_random_init(&crew->random);
}

void opf_crew_fini(opf_crew *crew)
{
    opf_node *node;
    opf_crew_close_pools(crew);
    for (uint32_t i = 0; i < crew->agents.n_chains; i++)
        while (!opf_list_empty(&crew->agents.chains[i]))
            opf_agent_free(OPF_CONTAINER(crew->agents.chains[i].next, opf_agent, link));
    opf_roll_fini(&crew->agents);
    while ((node = opf_list_pop_front(&crew->tallies)))
        opf_tally_free(OPF_CONTAINER(node, opf_tally, link));
    while ((node = opf_list_pop_front(&crew->ends)))
        opf_agent_end_free(OPF_CONTAINER(node, opf_agent_end, link));
    opf_frame_free_spare(crew);
    opf_buf_fini(&crew->scratch);
    opf_buf_fini(&crew->body);
}

void opf_agent_end_free(opf_agent_end *end)
{
    if (!end)
        return;
    for (uint32_t i = 0; i < end->n_slots; i++)
        opf_slot_clear(&end->slots[i]);
    for (uint32_t i = 0; i < end->n_cookies; i++) {
        opf_agent_cookie *cookie = &end->cookies[i];
        opf_mem_free((void *)(uintptr_t)cookie->name);
        opf_mem_free((void *)(uintptr_t)cookie->value);
        opf_mem_free((void *)(uintptr_t)cookie->domain);
        opf_mem_free((void *)(uintptr_t)cookie->path);
    }
    opf_mem_free(end->slots);
    opf_mem_free(end->cookies);
    opf_mem_free(end);
}

static opf_agent_end *end_new(uint64_t number, const opf_value *slots, uint32_t n)
{
    opf_agent_end *end = opf_mem_zalloc(sizeof(*end));
    if (!end)
        return NULL;
    opf_list_init(&end->link);
    end->agent = number;
    end->slots = n ? opf_mem_zalloc(n * sizeof(*end->slots)) : NULL;
    bool good = !n || end->slots;
    for (; good && end->n_slots < n; end->n_slots++)
        good = opf_slot_set(&end->slots[end->n_slots], &slots[end->n_slots]) == 0;
    if (good)
        return end;
    opf_agent_end_free(end);
    return NULL;
}

opf_agent *opf_agent_new(opf_plan *plan, uint64_t number, const opf_value *slots,
                         const opf_agent_cookie *cookies, uint32_t n_cookies)
{
    opf_agent *agent = opf_mem_zalloc(sizeof(*agent));
    if (!agent)
        return NULL;
    opf_list_init(&agent->link);
    opf_timer_init(&agent->timer, fire);
    agent->number = number;
    agent->plan = plan;
    opf_plan_hold(plan);
    agent->jar.unescapes = plan->style == OPF_STYLE_HTTP;
    agent->end = end_new(number, slots, plan->n_slots);
    bool good = agent->end != NULL;
    for (uint32_t i = 0; good && i < n_cookies; i++)
        good = opf_jar_set(&agent->jar, &cookies[i]) == 0;
    if (good)
        return agent;
    opf_agent_free(agent);
    return NULL;
}

void opf_agent_free(opf_agent *agent)
{
    if (!agent)
        return;
    if (agent->crew) {
        opf_loop_timer_clear(agent->crew->engine->loop, &agent->timer);
        opf_roll_remove(&agent->crew->agents, agent);
    }
    if (agent->frame)
        opf_frame_give(agent->crew, agent->frame);
    opf_crew_give_pool(agent->crew, agent->plan, agent->pool);
    opf_jar_fini(&agent->jar);
    opf_agent_end_free(agent->end);
    opf_plan_release(agent->plan);
    opf_mem_free(agent);
}

static int copy_cookie(void *arg, const opf_agent_cookie *cookie)
{
    opf_agent_end *end = arg;
    opf_agent_cookie *copy = &end->cookies[end->n_cookies++];
    *copy = *cookie;
    copy->name = opf_mem_strdup(cookie->name);
    copy->value = cookie->value ? opf_mem_strdup(cookie->value) : NULL;
    copy->domain = opf_mem_strdup(cookie->domain);
    copy->path = opf_mem_strdup(cookie->path);
    return copy->name && copy->domain && copy->path && !copy->value == !cookie->value ? 0
                                                                                      : OPF_ENOMEM;
}

/* Ends the agent and files its end. It is gone afterwards. */
static void finish(opf_agent *agent, opf_end why, bool cut)
{
    opf_agent_end *end = agent->end;
    agent->end = NULL;
    end->why = why;
    end->cut = cut;
    if (agent->jar.n) {
        end->cookies = opf_mem_zalloc(agent->jar.n * sizeof(*end->cookies));
        if (!end->cookies || opf_jar_each(&agent->jar, copy_cookie, end) != 0)
            end->why = OPF_END_FAILED;
    }
    opf_list_push_back(&agent->crew->ends, &end->link);
    opf_agent_free(agent);
}

static void enter(opf_agent *agent, opf_agent_state state)
{
    opf_fleet_figures *figures = &agent->crew->figures;
    figures->waiting -= agent->state == OPF_AGENT_WAITS;
    figures->under_way -= agent->state == OPF_AGENT_ASKS;
    agent->state = state;
    figures->waiting += state == OPF_AGENT_WAITS;
    figures->under_way += state == OPF_AGENT_ASKS;
}

/* Counts a caught request that came and that nobody has reported. */
static void settle(opf_agent *agent)
{
    if (agent->frame && agent->frame->caught.open)
        opf_asked_count(agent->crew, agent->plan, &agent->frame->caught);
}

static void leave(opf_agent *agent, opf_end why)
{
    bool cut = agent->state == OPF_AGENT_ASKS;
    settle(agent);
    enter(agent, OPF_AGENT_RUNS);
    agent->crew->figures.agents--;
    finish(agent, why, cut);
}

/* Goes on at a time. Without memory for the timer the agent ends. */
static void sleep_until(opf_agent *agent, opf_agent_state state, uint64_t at)
{
    enter(agent, state);
    if (opf_loop_timer_set(agent->crew->engine->loop, &agent->timer, at) != 0)
        leave(agent, OPF_END_FAILED);
}

/* Times that all agents have in common are so far apart, or by a power of two less. */
#define GRAIN_MAX (1ULL << 20)

uint64_t opf_agent_later(uint64_t now, uint64_t wait)
{
    uint64_t grain = GRAIN_MAX;
    while (grain > wait / 1024 && grain > 1)
        grain /= 2;
    return (now + wait + grain - 1) & ~(grain - 1);
}

static uint64_t to_ns(double s)
{
    return s > 0 ? (uint64_t)((s < WAIT_MAX_S ? s : WAIT_MAX_S) * 1e9) : 0; /* NaN: 0 */
}

void opf_agent_join(opf_agent *agent, opf_crew *crew)
{
    agent->crew = crew;
    opf_roll_add(&crew->agents, agent);
    agent->state = OPF_AGENT_RUNS;
    crew->figures.agents++;
    sleep_until(agent, OPF_AGENT_WAITS, agent->begins);
}

bool opf_agent_is_queued(const opf_agent *agent)
{
    return agent->state == OPF_AGENT_ASKS && agent->frame->exchange->state == OPF_EXCHANGE_QUEUED;
}

void opf_agent_stop(opf_agent *agent, opf_stop how)
{
    if (!agent->stops || how > agent->stop)
        agent->stop = how;
    agent->stops = true;
    bool at_once = agent->stop == OPF_STOP_NOW || agent->state == OPF_AGENT_WAITS ||
                   (agent->stop == OPF_STOP_AFTER_REQUEST && agent->state == OPF_AGENT_SLEEPS);
    if (at_once && agent->state != OPF_AGENT_RUNS)
        leave(agent, OPF_END_ASKED);
}

static bool stops_here(const opf_agent *agent)
{
    return agent->stops && agent->stop >= OPF_STOP_AFTER_REQUEST;
}

/* Waits between tasks */

static uint64_t pace(opf_agent *agent, uint64_t now, double s)
{
    uint64_t wait = to_ns(s);
    if (agent->paced) {
        uint64_t took = now - agent->paced_ns;
        took = took > agent->paced_wait_ns ? took - agent->paced_wait_ns : 0;
        wait = wait > took ? wait - took : 0;
    }
    agent->paced = true;
    agent->paced_ns = now;
    agent->paced_wait_ns = wait;
    return wait;
}

static uint64_t draw_wait(opf_agent *agent, uint64_t now)
{
    const opf_wait *wait = &agent->plan->sets[agent->set].wait;
    opf_random *random = &agent->crew->random;
    switch (wait->pace) {
    case OPF_PACE_CONSTANT:
        return to_ns(wait->a);
    case OPF_PACE_BETWEEN:
        return to_ns(wait->a + opf_random_unit(random) * (wait->b - wait->a));
    case OPF_PACE_PACING:
        return pace(agent, now, wait->a);
    case OPF_PACE_POISSON:
        return wait->a > 0 ? to_ns(-log(1 - opf_random_unit(random)) / wait->a) : 0;
    case OPF_PACE_SAMPLES: {
        opf_samples *samples = &agent->plan->samples[wait->samples];
        uint32_t i = atomic_fetch_add_explicit(&samples->next, 1, memory_order_relaxed);
        return to_ns(
            atomic_load_explicit(&samples->values[i % OPF_SAMPLES_N], memory_order_relaxed));
    }
    }
    return 0;
}

/* The program to run next; OPF_NOTHING: others shall have their turn first. */
static uint32_t choose(opf_agent *agent)
{
    const opf_plan *plan = agent->plan;
    agent->in_set_up = false;
    if (!agent->begun) {
        agent->begun = true;
        if (plan->start != OPF_NOTHING) {
            agent->in_set_up = true;
            return plan->start;
        }
        if (plan->sets[0].on_start != OPF_NOTHING) {
            agent->in_set_up = true;
            return plan->sets[0].on_start;
        }
    }
    for (int i = 0; i < NESTING_MAX; i++) {
        const opf_task_set *set = &plan->sets[agent->set];
        if (!set->n)
            return OPF_NOTHING;
        uint32_t which = set->sequential ? agent->next++ % set->n
                                         : (uint32_t)opf_random_below(&agent->crew->random, set->n);
        const opf_choice *choice = &set->choices[which];
        if (choice->program != OPF_NOTHING)
            return choice->program;
        agent->outer = agent->set;
        agent->outer_next = agent->next;
        agent->set = choice->set;
        agent->next = 0;
        if (plan->sets[agent->set].on_start != OPF_NOTHING) {
            agent->in_set_up = true;
            return plan->sets[agent->set].on_start;
        }
    }
    return OPF_NOTHING;
}

/* Instructions */

static opf_eval eval_of(opf_agent *agent)
{
    opf_crew *crew = agent->crew;
    return (opf_eval){.plan = agent->plan,
                      .slots = agent->end->slots,
                      .registers = agent->frame->registers,
                      .arena = &agent->frame->arena,
                      .random = &crew->random,
                      .ordinal = agent->number,
                      .scratch = &crew->scratch};
}

static outcome raise_text(opf_agent *agent, const char *type, const void *text, size_t len,
                          uint32_t line)
{
    double now;
    opf_tally *tally = opf_crew_tally(agent->crew, agent->plan, &now);
    if (tally)
        opf_tally_raised(tally, type, text, len,
                         line < agent->plan->n_lines ? agent->plan->lines[line] : "",
                         agent->frame->program->name);
    agent->frame->caught.open = false; /* not counted, as with Locust */
    return TASK_OVER;
}

/* Raises what could not be computed: why is a text, of an exception that is no ValueError with its
 * type before it. */
static outcome raise_why(opf_agent *agent, int ret, opf_why why, uint32_t line)
{
    char type[32] = "ValueError";
    if (ret == OPF_ENOMEM)
        why = "MemoryError: no memory for the values of a task, of which an agent keeps 4 MiB at "
              "most";
    why = why ? why : "";
    size_t len = strcspn(why, ": "), error = strlen("Error");
    if (len >= error && len < sizeof(type) &&
        strncmp(why + len - error, "Error: ", error + 2) == 0) {
        memcpy(type, why, len);
        type[len] = '\0';
        why += len + strlen(": ");
    }
    return raise_text(agent, type, why, strlen(why), line);
}

/* Counts what is not caught; a caught one waits for its report. */
static void file(opf_agent *agent)
{
    opf_frame *frame = agent->frame;
    if (frame->asked == &frame->caught)
        frame->caught.open = true;
    else
        opf_asked_count(agent->crew, agent->plan, frame->asked);
}

static void answered(opf_exchange *exchange, void *arg);

/* Takes what the request's response is asked for. Returns as opf_eval_extract. */
static int extract(opf_agent *agent, opf_eval *eval, const opf_result *result)
{
    opf_frame *frame = agent->frame;
    const opf_request_plan *request = frame->asked->request;
    const opf_buf *url = &frame->url;
    if (request->url.n && !frame->hops) {
        opf_buf *given = &agent->crew->body;
        given->len = 0;
        int ret = opf_eval_template(eval, &request->url, given);
        if (ret != 0)
            return ret;
        url = given;
    }
    return opf_eval_extract(eval, request->extracts, request->n_extracts, result,
                            agent->plan->style, (const char *)url->data, url->len);
}

/* A request that can't be sent has failed. */
static outcome refuse(opf_agent *agent, opf_eval *eval, const opf_request_plan *request,
                      opf_why why)
{
    opf_frame *frame = agent->frame;
    opf_asked *asked = frame->asked;
    static const opf_result nothing = {.failure = OPF_FAIL_CANCELLED};
    asked->ns = asked->bytes = 0;
    if (opf_asked_fail(frame, asked, OPF_FAULT_REFUSED, why, strlen(why)) != 0 ||
        extract(agent, eval, &nothing) != 0)
        return raise_why(agent, OPF_ENOMEM, NULL, request->line);
    file(agent);
    return GOES_ON;
}

static outcome ask(opf_agent *agent, opf_eval *eval, const opf_instruction *in)
{
    opf_frame *frame = agent->frame;
    const opf_request_plan *request = &agent->plan->requests[in->what];
    opf_why why = NULL;
    bool refused;
    if (stops_here(agent)) {
        leave(agent, OPF_END_ASKED);
        return LEAVES;
    }
    if (request->caught)
        settle(agent);
    frame->asked = request->caught ? &frame->caught : &frame->plain;
    frame->asked->request = request;
    frame->asked->failed = false;
    frame->hops = 0;
    frame->redirect = (opf_redirect){0};
    int ret = opf_request_send(agent, eval, request, false, answered, &why, &refused);
    if (ret == OPF_EINVAL && refused)
        return refuse(agent, eval, request, why);
    if (ret != 0)
        return raise_why(agent, ret, why, in->line);
    frame->sent = true;
    enter(agent, OPF_AGENT_ASKS);
    return LEAVES;
}

/* Writes a template into crew->body, whose data is then never NULL. Returns as opf_eval_step. */
static int write_text(opf_agent *agent, opf_eval *eval, const opf_template *tmpl)
{
    opf_buf *text = &agent->crew->body;
    text->len = 0;
    if (opf_buf_reserve(text, 1) != 0)
        return OPF_ENOMEM;
    return opf_eval_template(eval, tmpl, text);
}

static outcome need(opf_agent *agent, opf_eval *eval, const opf_instruction *in)
{
    opf_frame *frame = agent->frame;
    opf_asked *asked = frame->caught.open ? &frame->caught : frame->asked;
    if (opf_eval_operand(eval, in->a)->kind != OPF_UNSET)
        return GOES_ON;
    if (asked && asked->request && (asked->open || !asked->failed)) {
        const opf_buf *text = &agent->crew->body;
        int ret = write_text(agent, eval, &agent->plan->templates[in->what]);
        if (ret == 0)
            ret = opf_asked_fail(frame, asked, OPF_FAULT_MISSING, text->data, text->len);
        if (ret != 0)
            return raise_why(agent, ret, eval->why, in->line);
        if (asked->open)
            opf_asked_count(agent->crew, agent->plan, asked);
        else
            opf_asked_count_failure(agent->crew, agent->plan, asked);
    }
    if (in->target == OPF_NOTHING)
        return TASK_OVER;
    frame->pc = in->target;
    return GOES_ON;
}

static outcome fail_caught(opf_agent *agent, opf_eval *eval, const opf_instruction *in)
{
    const opf_buf *text = &agent->crew->body;
    int ret = write_text(agent, eval, &agent->plan->templates[in->what]);
    if (ret == 0)
        ret = opf_asked_fail(agent->frame, &agent->frame->caught, OPF_FAULT_USER, text->data,
                             text->len);
    return ret == 0 ? GOES_ON : raise_why(agent, ret, eval->why, in->line);
}

static outcome raise_planned(opf_agent *agent, opf_eval *eval, const opf_instruction *in)
{
    const opf_raise *raise = &agent->plan->raises[in->what];
    const opf_buf *text = &agent->crew->body;
    int ret = write_text(agent, eval, &raise->text);
    return ret == 0 ? raise_text(agent, raise->type, text->data, text->len, in->line)
                    : raise_why(agent, ret, eval->why, in->line);
}

static outcome nap(opf_agent *agent, opf_eval *eval, const opf_instruction *in)
{
    const opf_value *value = opf_eval_operand(eval, in->a);
    double s = value->kind == OPF_FLOAT  ? value->f
               : value->kind == OPF_INT  ? (double)value->i
               : value->kind == OPF_BOOL ? value->b
                                         : -1;
    if (!(s >= 0))
        return raise_why(agent, OPF_EINVAL, "sleep length must be a number, not negative",
                         in->line);
    if (stops_here(agent))
        leave(agent, OPF_END_ASKED);
    else
        sleep_until(agent, OPF_AGENT_SLEEPS, opf_agent_later(opf_clock_mono(), to_ns(s)));
    return LEAVES;
}

static outcome step(opf_agent *agent, opf_eval *eval)
{
    opf_frame *frame = agent->frame;
    const opf_instruction *in = &frame->program->code[frame->pc++];
    bool holds;
    int ret = 0;
    switch (in->op) {
    case OPF_OP_BRANCH:
        ret = opf_eval_test(eval, in, &holds);
        if (ret == 0 && !holds)
            frame->pc = in->target;
        break;
    case OPF_OP_JUMP:
        frame->pc = in->target;
        break;
    case OPF_OP_REQUEST:
        return ask(agent, eval, in);
    case OPF_OP_NEED:
        return need(agent, eval, in);
    case OPF_OP_SUCCESS:
        frame->caught.failed = false;
        break;
    case OPF_OP_FAILURE:
        return fail_caught(agent, eval, in);
    case OPF_OP_REPORT:
        settle(agent);
        break;
    case OPF_OP_FORGET:
        frame->caught.open = false;
        break;
    case OPF_OP_SLEEP:
        return nap(agent, eval, in);
    case OPF_OP_EXPECT:
        if (opf_eval_operand(eval, in->a)->kind != OPF_UNSET)
            break;
        return raise_planned(agent, eval, in);
    case OPF_OP_RAISE:
        return raise_planned(agent, eval, in);
    case OPF_OP_STOP:
        leave(agent, OPF_END_STOP_USER);
        return LEAVES;
    case OPF_OP_END:
        frame->whole = true;
        return TASK_OVER;
    default:
        ret = opf_eval_step(eval, in);
    }
    return ret == 0 ? GOES_ON : raise_why(agent, ret, eval->why, in->line);
}

/* Begins the next task. Returns false if the agent has gone or waits. */
static bool begin_task(opf_agent *agent)
{
    uint32_t program = choose(agent);
    if (program == OPF_NOTHING) {
        sleep_until(agent, OPF_AGENT_WAITS, opf_clock_mono() + OPF_NS_PER_S);
        return false;
    }
    agent->frame = opf_frame_take(agent->crew, agent->plan);
    if (!agent->frame) {
        leave(agent, OPF_END_FAILED);
        return false;
    }
    agent->frame->program = &agent->plan->programs[program];
    return true;
}

/* A user whose on_start has raised an exception never comes to its tasks. */
static bool has_failed_to_start(const opf_agent *agent)
{
    const opf_plan *plan = agent->plan;
    const opf_frame *frame = agent->frame;
    return plan->start != OPF_NOTHING && frame->program == &plan->programs[plan->start] &&
           !frame->whole;
}

/* A task set whose on_start has raised an exception is left, as a task of the set around it. */
static void leave_set(opf_agent *agent)
{
    agent->set = agent->outer;
    agent->next = agent->outer_next;
    agent->in_set_up = false;
}

/* Ends a task and waits. Without a wait the next begins at once if this one has left the thread to
 * others by a request, else after their turn. */
static void end_task(opf_agent *agent)
{
    uint64_t now = opf_clock_mono();
    bool sent = agent->frame->sent, whole = agent->frame->whole;
    bool failed = has_failed_to_start(agent);
    settle(agent);
    opf_frame_give(agent->crew, agent->frame);
    agent->frame = NULL;
    if (failed || agent->stops) {
        leave(agent, failed ? OPF_END_ON_START : OPF_END_ASKED);
        return;
    }
    if (agent->in_set_up && !whole)
        leave_set(agent);
    uint64_t wait = agent->in_set_up ? 0 : draw_wait(agent, now);
    if (sent && !wait)
        run(agent);
    else
        sleep_until(agent, OPF_AGENT_WAITS, opf_agent_later(now, wait));
}

static void run(opf_agent *agent)
{
    enter(agent, OPF_AGENT_RUNS);
    if (!agent->frame && !begin_task(agent))
        return;
    opf_eval eval = eval_of(agent);
    outcome came = GOES_ON;
    for (int i = 0; came == GOES_ON && i < TURN; i++)
        came = step(agent, &eval);
    if (came == TASK_OVER)
        end_task(agent);
    else if (came == GOES_ON && stops_here(agent))
        leave(agent, OPF_END_ASKED);
    else if (came == GOES_ON)
        sleep_until(agent, OPF_AGENT_SLEEPS, opf_clock_mono());
}

static void fire(opf_timer *timer)
{
    opf_agent *agent = OPF_CONTAINER(timer, opf_agent, timer);
    uint64_t now = opf_clock_mono();
    agent->crew->figures.late_ns = now > timer->at ? now - timer->at : 0;
    run(agent);
}

/* Goes where a redirect leads, if it does. Returns 1 if it was sent, 0 if this was the last. */
static int follow(opf_agent *agent, opf_eval *eval, const opf_result *result,
                  opf_redirect *redirect)
{
    opf_frame *frame = agent->frame;
    const opf_request_plan *request = frame->asked->request;
    opf_buf *url = &agent->crew->body;
    opf_why why = NULL;
    bool refused;
    url->len = 0;
    if (!request->redirects || result->failure != OPF_FAIL_NONE || result->status < 300 ||
        result->status >= 400)
        return 0;
    if (opf_redirect_judge(result, agent->plan->style, frame->method, (char *)frame->url.data,
                           frame->url.len, redirect, url) != 0)
        return OPF_ENOMEM;
    if (!redirect->follows || frame->hops >= agent->plan->max_redirects)
        return 0;
    if (request->n_cookies && opf_request_follow_cookies(agent, result) != 0)
        return OPF_ENOMEM;
    frame->url.len = 0;
    if (opf_buf_append(&frame->url, url->data, url->len) != 0)
        return OPF_ENOMEM;
    frame->hops++;
    frame->redirect.drops_body |= redirect->drops_body;
    frame->redirect.drops_authorization |= redirect->drops_authorization;
    if (redirect->to_get)
        frame->method = "GET";
    int ret = opf_request_send(agent, eval, request, true, answered, &why, &refused);
    if (ret == OPF_EINVAL) {
        redirect->why = why;
        return 0;
    }
    return ret == 0 ? 1 : ret;
}

static void answered(opf_exchange *exchange, void *arg)
{
    opf_agent *agent = arg;
    opf_frame *frame = agent->frame;
    const opf_request_plan *request = frame->asked->request;
    const opf_result *result = opf_exchange_result(exchange);
    opf_redirect redirect = {0};
    opf_eval eval = eval_of(agent);
    eval.site = &frame->site;
    int ret = 0;
    if (!frame->hops)
        frame->start_ns = result->start_ns;
    frame->end_ns = result->end_ns; /* what follows a redirect begins in the same exchange */
    if (result->has_set_cookie)
        ret = opf_jar_take(&agent->jar, &frame->site, result,
                           (int64_t)(opf_clock_real() / OPF_NS_PER_S));
    if (ret == 0)
        ret = follow(agent, &eval, result, &redirect);
    if (ret == 1)
        return;
    opf_jar_fini(&frame->cookies);
    enter(agent, OPF_AGENT_RUNS);
    if (ret == 0)
        ret = opf_request_judge(agent, result, request->redirects ? &redirect : NULL);
    if (ret == 0) {
        ret = extract(agent, &eval, result);
        file(agent); /* what it has brought may be too much, but it was sent and answered */
    } else {
        agent->crew->lost++;
    }
    if (ret == 0) {
        run(agent);
        return;
    }
    settle(agent);
    raise_why(agent, ret, eval.why, request->line);
    end_task(agent);
}
