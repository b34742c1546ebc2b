#include <strings.h>

#include "agent/frame.h"
#include "agent/plan_tables.h"
#include "agent/pools.h"
#include "agent/target.h"
#include "base/clock.h"
#include "http/url.h"

static bool is_name(const opf_request_header *header, const char *name)
{
    return strlen(name) == header->name_len &&
           strncasecmp(header->name, name, header->name_len) == 0;
}

/* geventhttpclient raises a ValueError for what would name a host to some servers. */
static int check_target(opf_agent *agent, opf_why *why)
{
    const opf_buf *url = &agent->frame->url;
    opf_buf *text = &agent->crew->body;
    const uint8_t *target = url->data + agent->frame->place_len;
    size_t len = url->len - agent->frame->place_len;
    if (len < 2 || memcmp(target, "//", 2) != 0)
        return 0;
    const char *quote = memchr(target, '\'', len) ? "\"" : "'"; /* as repr() has it */
    text->len = 0;
    if (opf_buf_append_str(text, "invalid request URI ") != 0 ||
        opf_buf_append_str(text, quote) != 0 || opf_buf_append(text, target, len) != 0 ||
        opf_buf_append_str(text, quote) != 0 ||
        opf_buf_append_str(text, ": protocol-relative targets are not origin-form") != 0 ||
        opf_buf_append(text, "", 1) != 0)
        return OPF_ENOMEM;
    *why = (const char *)text->data;
    return OPF_EINVAL;
}

/* The target into url behind scheme, host and port, in the form in which it is sent. */
static int write_target(opf_agent *agent, opf_eval *eval, const opf_request_plan *request,
                        opf_why *why)
{
    opf_frame *frame = agent->frame;
    const opf_place *place = &agent->plan->places[request->place];
    opf_buf *url = &frame->url, *scratch = &agent->crew->body;
    opf_buf *name = &frame->asked->name;
    scratch->len = url->len = name->len = 0;
    int ret = opf_eval_template(eval, &request->target, scratch);
    size_t len = scratch->len;
    if (ret == 0)
        ret = opf_eval_template(eval, &request->params, scratch);
    if (ret == 0 && request->name.n)
        ret = opf_eval_template(eval, &request->name, name);
    if (ret != 0) {
        *why = eval->why;
        return ret;
    }
    frame->place_len = strlen(place->url);
    const char *text = (const char *)scratch->data;
    if (opf_buf_append(url, place->url, frame->place_len) != 0)
        return OPF_ENOMEM;
    const char *params = !request->params.n ? NULL : text ? text + len : "";
    ret = opf_target_write(text, len, params, scratch->len - len, agent->plan->style, url, why);
    if (ret == 0 && agent->plan->style == OPF_STYLE_FAST)
        ret = check_target(agent, why);
    if (ret != 0)
        return ret;
    return request->name.n
               ? 0
               : opf_buf_append(name, url->data + frame->place_len, url->len - frame->place_len);
}

/* Where a redirect leads stands in url already. */
static int parse_again(opf_frame *frame, opf_why *why)
{
    opf_url *parsed = &frame->parsed;
    int ret = opf_url_parse((const char *)frame->url.data, frame->url.len, parsed, why);
    if (ret == 0)
        frame->place_len = (size_t)(parsed->target - (const char *)frame->url.data);
    return ret;
}

static int write_host(opf_buf *out, const opf_url *url)
{
    if (opf_buf_append_str(out, url->ip6 ? "Host: [" : "Host: ") != 0 ||
        opf_buf_append(out, url->host, url->host_len) != 0 ||
        (url->ip6 && opf_buf_append(out, "]", 1) != 0) ||
        (url->port_given &&
         (opf_buf_append(out, ":", 1) != 0 || opf_buf_append_uint(out, url->port) != 0)))
        return OPF_ENOMEM;
    return opf_buf_append(out, "\r\n", 2);
}

/* Whether a header is left out where a redirect leads. Cookies there are those of the jar. */
static bool is_dropped(const opf_frame *frame, const opf_request_header *header)
{
    return is_name(header, "cookie") ||
           (frame->redirect.drops_authorization && is_name(header, "authorization")) ||
           (frame->redirect.drops_body &&
            (is_name(header, "content-type") || is_name(header, "transfer-encoding")));
}

/* Whether requests takes a value for none that can be sent. */
static bool begins_with_space(const opf_eval *eval, const uint8_t *data, size_t len)
{
    return eval->plan->style == OPF_STYLE_HTTP && len && (*data == ' ' || *data == '\t');
}

/* One that varies, or of a request that follows a redirect. *refused: it is one that none may have,
 * and not a value that can't be had. */
static int write_header(opf_eval *eval, const opf_request_header *header, opf_buf *out,
                        bool *closes, bool *refused)
{
    if (opf_buf_append(out, header->name, header->name_len) != 0 ||
        opf_buf_append(out, ": ", 2) != 0)
        return OPF_ENOMEM;
    size_t at = out->len;
    int ret = opf_eval_template(eval, &header->value, out);
    *refused = ret == 0 || (ret == OPF_EINVAL && opf_value_breaks_header(eval->why));
    if (ret == 0 && opf_header_breaks_line(out->data + at, out->len - at)) {
        eval->why = "header value has a control character";
        ret = OPF_EINVAL;
    }
    if (ret == 0 && begins_with_space(eval, out->data + at, out->len - at)) {
        eval->why = "header value begins with white space";
        ret = OPF_EINVAL;
    }
    if (ret != 0)
        return ret;
    *closes |= opf_header_closes(header, out->data + at, out->len - at);
    return opf_buf_append(out, "\r\n", 2);
}

static int write_headers(opf_agent *agent, opf_eval *eval, const opf_request_plan *request,
                         opf_buf *out, bool *closes, opf_why *why, bool *refused)
{
    opf_frame *frame = agent->frame;
    uint32_t n;
    for (uint32_t i = 0; i < request->n_headers; i += n) {
        const opf_request_header *header = &request->headers[i];
        int ret = 0;
        n = 1;
        if (!frame->hops && header->n_joined) {
            n = header->n_joined;
            *closes |= header->closes;
            ret = opf_buf_append(out, header->lines, header->lines_len);
        } else if (frame->hops && !request->has_host && is_name(header, "host")) {
            ret = write_host(out, &frame->parsed);
        } else if (!frame->hops || !is_dropped(frame, header)) {
            ret = write_header(eval, header, out, closes, refused);
        }
        if (ret != 0) {
            *why = eval->why;
            return ret;
        }
    }
    return 0;
}

/* Finds what the request is to a jar. Returns as opf_eval_template. */
static int find_site(opf_agent *agent, opf_eval *eval, const opf_request_plan *request)
{
    opf_frame *frame = agent->frame;
    opf_buf *host = &frame->host;
    frame->site = frame->parsed;
    if (!request->has_host || agent->plan->style != OPF_STYLE_HTTP)
        return 0;
    host->len = 0;
    for (uint32_t i = 0; i < request->n_headers; i++)
        if (is_name(&request->headers[i], "host")) {
            int ret = opf_eval_template(eval, &request->headers[i].value, host);
            if (ret == 0)
                ret = opf_buf_append(host, "", 1);
            if (ret != 0)
                return ret;
            break;
        }
    size_t len = host->len ? strcspn((const char *)host->data, "/?#") : 0, digits = len;
    while (digits && host->data[digits - 1] >= '0' && host->data[digits - 1] <= '9')
        digits--;
    if (digits && digits < len && host->data[digits - 1] == ':')
        len = digits - 1;
    if (len) {
        frame->site.host = (const char *)host->data;
        frame->site.host_len = (uint32_t)len;
        frame->site.ip6 = false; /* the brackets are there */
    }
    return 0;
}

static int write_cookies(opf_agent *agent, opf_jar *jar, opf_buf *out)
{
    size_t before = out->len;
    if (opf_buf_append_str(out, "Cookie: ") != 0)
        return OPF_ENOMEM;
    size_t at = out->len;
    int64_t now = (int64_t)(opf_clock_real() / OPF_NS_PER_S);
    if (opf_jar_write(jar, &agent->frame->site, now, out) != 0)
        return OPF_ENOMEM;
    if (out->len == at) {
        out->len = before;
        return 0;
    }
    return opf_buf_append(out, "\r\n", 2);
}

static bool tells_no_length(const opf_agent *agent, const char *method)
{
    if (agent->plan->style == OPF_STYLE_HTTP)
        return strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
    return strcmp(method, "POST") != 0 && strcmp(method, "PUT") != 0 &&
           strcmp(method, "PATCH") != 0;
}

/* Content-Length, the end of the head, and the body. */
static int write_rest(opf_agent *agent, opf_eval *eval, const opf_request_plan *request,
                      opf_buf *out, size_t *head_len, opf_why *why)
{
    opf_frame *frame = agent->frame;
    opf_buf *body = &agent->crew->body;
    body->len = 0;
    bool has_body = request->has_body && !(frame->hops && frame->redirect.drops_body);
    if (has_body) {
        int ret = opf_eval_template(eval, &request->body, body);
        if (ret != 0) {
            *why = eval->why;
            return ret;
        }
    }
    if (has_body || !tells_no_length(agent, frame->method)) {
        if (opf_buf_append_str(out, "Content-Length: ") != 0 ||
            opf_buf_append_uint(out, body->len) != 0 || opf_buf_append(out, "\r\n", 2) != 0)
            return OPF_ENOMEM;
    }
    if (opf_buf_append(out, "\r\n", 2) != 0)
        return OPF_ENOMEM;
    *head_len = out->len;
    return opf_buf_append(out, body->data, body->len);
}

static int make_pool(opf_agent *agent, opf_why *why)
{
    int error = OPF_ENOMEM;
    if (!agent->pool)
        agent->pool = opf_crew_take_pool(agent->crew, agent->plan, &error);
    if (!agent->pool) {
        *why = agent->crew->why;
        return error;
    }
    if (!agent->frame->exchange)
        agent->frame->exchange = opf_exchange_new(agent->crew->engine);
    return agent->frame->exchange ? 0 : OPF_ENOMEM;
}

static opf_timeouts timeouts_of(const opf_agent *agent, const opf_request_plan *request)
{
    opf_timeouts timeouts = agent->plan->pool.timeouts;
    if (request->connect_ns != UINT64_MAX)
        timeouts.connect_ns = request->connect_ns;
    if (request->network_ns != UINT64_MAX)
        timeouts.network_ns = request->network_ns;
    return timeouts;
}

int opf_request_send(opf_agent *agent, opf_eval *eval, const opf_request_plan *request, bool again,
                     opf_done_fn *done, opf_why *why, bool *refused)
{
    opf_frame *frame = agent->frame;
    opf_timeouts timeouts = timeouts_of(agent, request);
    size_t head_len;
    bool closes = false;
    *refused = false;
    if (!again) {
        frame->method = request->method;
        frame->parsed = agent->plan->places[request->place].parsed;
    }
    int ret = make_pool(agent, why);
    if (ret == 0)
        ret = again ? parse_again(frame, why) : write_target(agent, eval, request, why);
    if (ret != 0)
        return ret;
    opf_buf *out = opf_exchange_prepare(frame->exchange, agent->pool, &timeouts,
                                        strcmp(frame->method, "HEAD") == 0);
    const char *target = (const char *)frame->url.data + frame->place_len;
    size_t target_len = frame->url.len - frame->place_len;
    const char *hash = target_len ? memchr(target, '#', target_len) : NULL;
    if (hash)
        target_len = (size_t)(hash - target);
    if (opf_buf_append_str(out, frame->method) != 0 || opf_buf_append(out, " ", 1) != 0 ||
        ((!target_len || *target != '/') && opf_buf_append(out, "/", 1) != 0) ||
        opf_buf_append(out, target, target_len) != 0 ||
        opf_buf_append_str(out, " HTTP/1.1\r\n") != 0)
        return OPF_ENOMEM;
    /* the jar asks for the path too */
    frame->parsed.target = target;
    frame->parsed.target_len = (uint32_t)target_len;
    ret = write_headers(agent, eval, request, out, &closes, why, refused);
    if (ret == 0)
        ret = find_site(agent, eval, request);
    if (ret == 0 && request->n_cookies && !again)
        ret = opf_request_merge_cookies(agent, eval, request, why, refused);
    opf_jar *jar = request->n_cookies ? &frame->cookies : &agent->jar;
    if (ret == 0 && jar->n && (again || !request->has_cookie))
        ret = write_cookies(agent, jar, out);
    if (ret == 0)
        ret = write_rest(agent, eval, request, out, &head_len, why);
    if (ret != 0)
        return ret;
    return opf_exchange_submit_prepared(frame->exchange, agent->pool, &frame->parsed, head_len,
                                        closes, done, agent);
}
