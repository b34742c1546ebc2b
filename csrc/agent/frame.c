#include "agent/frame.h"

#include "base/clock.h"
#include "base/mem.h"

#define SPARE_MAX 256
#define SPARE_BYTES 16384 /* what a buffer of a spare frame may hold */

static void asked_fini(opf_asked *asked)
{
    opf_buf_fini(&asked->name);
    opf_buf_fini(&asked->url);
    opf_buf_fini(&asked->text);
}

static void frame_free(opf_frame *frame)
{
    opf_arena_fini(&frame->arena);
    asked_fini(&frame->caught);
    asked_fini(&frame->plain);
    opf_buf_fini(&frame->url);
    opf_buf_fini(&frame->host);
    opf_jar_fini(&frame->cookies);
    opf_mem_free(frame->registers);
    opf_mem_free(frame);
}

opf_frame *opf_frame_take(opf_crew *crew, const opf_plan *plan)
{
    uint32_t n = plan->n_registers - plan->n_slots;
    opf_frame *frame = crew->spare;
    if (frame) {
        crew->spare = frame->next;
        crew->n_spare--;
    } else if (!(frame = opf_mem_zalloc(sizeof(*frame)))) {
        return NULL;
    }
    if (n > frame->room) {
        opf_value *registers = opf_mem_realloc(frame->registers, n * sizeof(*registers));
        if (!registers) {
            frame_free(frame);
            return NULL;
        }
        frame->registers = registers;
        frame->room = n;
    }
    frame->n_registers = n;
    for (uint32_t i = 0; i < n; i++)
        frame->registers[i] = (opf_value){.kind = OPF_UNSET};
    frame->caught.open = false;
    frame->caught.request = frame->plain.request = NULL;
    frame->asked = NULL;
    frame->url.len = frame->place_len = 0;
    frame->sent = frame->whole = false;
    frame->pc = 0;
    return frame;
}

static void trim(opf_buf *buf)
{
    if (buf->cap > SPARE_BYTES)
        opf_buf_fini(buf);
}

static void trim_asked(opf_asked *asked)
{
    trim(&asked->name);
    trim(&asked->url);
    trim(&asked->text);
}

void opf_frame_give(opf_crew *crew, opf_frame *frame)
{
    opf_exchange_free(frame->exchange);
    frame->exchange = NULL;
    opf_arena_clear(&frame->arena);
    opf_jar_fini(&frame->cookies);
    if (crew->n_spare >= SPARE_MAX) {
        frame_free(frame);
        return;
    }
    trim_asked(&frame->caught);
    trim_asked(&frame->plain);
    trim(&frame->url);
    trim(&frame->host);
    frame->next = crew->spare;
    crew->spare = frame;
    crew->n_spare++;
}

void opf_frame_free_spare(opf_crew *crew)
{
    for (opf_frame *frame = crew->spare, *next; frame; frame = next) {
        next = frame->next;
        frame_free(frame);
    }
    crew->spare = NULL;
    crew->n_spare = 0;
}

opf_tally *opf_crew_tally(opf_crew *crew, opf_plan *plan, double *now)
{
    /* as of the poll under way: near enough, and no reading of a clock for each request */
    const opf_engine *engine = crew->engine;
    uint64_t ns = (uint64_t)((int64_t)engine->now + engine->stamps.offset);
    int64_t second = (int64_t)(ns / OPF_NS_PER_S);
    opf_tally *tally = crew->tally;
    *now = (double)ns / 1e9;
    if (tally && tally->second == second && tally->plan == plan)
        return tally;
    for (opf_node *n = crew->tallies.prev; n != &crew->tallies; n = n->prev) {
        tally = OPF_CONTAINER(n, opf_tally, link);
        if (tally->second != second)
            break;
        if (tally->plan == plan)
            return crew->tally = tally;
    }
    tally = opf_tally_new(plan, second);
    if (!tally) {
        crew->lost++;
        return NULL;
    }
    tally->lost = crew->lost;
    crew->lost = 0;
    opf_list_push_back(&crew->tallies, &tally->link);
    return crew->tally = tally;
}

void opf_asked_count(opf_crew *crew, opf_plan *plan, opf_asked *asked)
{
    double now;
    asked->open = false;
    crew->figures.requests++;
    opf_tally *tally = opf_crew_tally(crew, plan, &now);
    if (!tally ||
        opf_tally_count(tally, asked->request->method, (const char *)asked->name.data,
                        asked->name.len, asked->ns, asked->bytes, now, &asked->failure.cell) != 0)
        return;
    if (asked->failed)
        opf_tally_fail(tally, &asked->failure);
}

void opf_asked_count_failure(opf_crew *crew, opf_plan *plan, opf_asked *asked)
{
    double now;
    opf_tally *tally = opf_crew_tally(crew, plan, &now);
    if (tally && opf_tally_name(tally, asked->request->method, (const char *)asked->name.data,
                                asked->name.len, &asked->failure.cell) == 0)
        opf_tally_fail(tally, &asked->failure);
}

static int set_text(opf_buf *buf, const void *data, size_t len)
{
    buf->len = 0;
    return opf_buf_append(buf, data, len);
}

int opf_asked_fail(opf_frame *frame, opf_asked *asked, opf_fault fault, const void *text,
                   size_t len)
{
    asked->failed = true;
    asked->failure = (opf_tally_failure){.fault = fault};
    if (set_text(&asked->text, text, len) != 0 ||
        set_text(&asked->url, frame->url.data, frame->place_len) != 0 ||
        opf_buf_append(&asked->url, "", 1) != 0)
        return OPF_ENOMEM;
    asked->failure.url = (char *)asked->url.data;
    asked->failure.text = text ? (asked->text.data ? (char *)asked->text.data : (char *)"") : NULL;
    asked->failure.text_len = (uint32_t)len;
    return 0;
}

/* Adds to the name by which a request is counted what was spoken. */
static int name_protocol(opf_buf *name, const opf_result *result)
{
    const char *protocol = opf_result_protocol(result);
    if (!protocol)
        return 0;
    return opf_buf_append_str(name, " [") != 0 || opf_buf_append_str(name, protocol) != 0 ||
                   opf_buf_append_str(name, "]") != 0
               ? OPF_ENOMEM
               : 0;
}

int opf_request_judge(opf_agent *agent, const opf_result *result, const opf_redirect *redirect)
{
    opf_frame *frame = agent->frame;
    opf_asked *asked = frame->asked;
    asked->ns = frame->end_ns > frame->start_ns ? frame->end_ns - frame->start_ns : 0;
    asked->bytes = result->failure == OPF_FAIL_NONE ? result->body_len : 0;
    asked->failed = false;
    int ret = agent->plan->names_protocol ? name_protocol(&asked->name, result) : 0;
    opf_tally_failure *failure = &asked->failure;
    if (ret != 0)
        return ret;
    if (result->failure != OPF_FAIL_NONE) {
        ret = opf_asked_fail(frame, asked, OPF_FAULT_ENGINE, NULL, 0);
        failure->failure = result->failure;
        failure->phase = result->phase;
        failure->err = result->err;
        failure->detail = result->detail;
        failure->reused = result->carried > 0;
        failure->limit = result->failure == OPF_FAIL_HEADERS_SIZE
                             ? opf_pool_get_options(agent->pool)->max_headers
                         : result->failure == OPF_FAIL_BODY_SIZE
                             ? opf_pool_get_options(agent->pool)->max_body
                             : 0;
    } else if (redirect && redirect->why) {
        ret =
            opf_asked_fail(frame, asked, OPF_FAULT_REDIRECT, redirect->why, strlen(redirect->why));
    } else if (redirect && redirect->follows) {
        ret = opf_asked_fail(frame, asked, OPF_FAULT_REDIRECTS, NULL, 0);
    } else if (!opf_style_accepts(agent->plan->style, result->status)) {
        ret = opf_asked_fail(frame, asked, OPF_FAULT_STATUS, result->head, result->reason_len);
    }
    if (!asked->failed)
        return 0;
    failure->status = result->status;
    failure->connect_s = (double)result->timeouts.connect_ns / 1e9;
    failure->network_s = (double)result->timeouts.network_ns / 1e9;
    return ret;
}
