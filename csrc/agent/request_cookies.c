/* Cookies that a request brings along, beside those of the agent. */
#include "agent/frame.h"
#include "agent/plan_tables.h"
#include "base/clock.h"

/* Keeps one, with its value as it is now. */
static int bring(opf_eval *eval, const opf_request_cookie *cookie, opf_buf *value, opf_jar *jar,
                 opf_why *why, bool *refused)
{
    value->len = 0;
    if (opf_buf_reserve(value, 1) != 0)
        return OPF_ENOMEM;
    int ret = opf_eval_template(eval, &cookie->value, value);
    *refused = ret == OPF_EINVAL && opf_value_breaks_header(eval->why);
    *why = eval->why;
    if (ret == 0 && opf_header_breaks_line(value->data, value->len)) {
        *why = "header value has a control character";
        *refused = true;
        ret = OPF_EINVAL;
    }
    if (ret != 0)
        return ret;
    if (opf_buf_append(value, "", 1) != 0)
        return OPF_ENOMEM;
    opf_agent_cookie made = {.name = cookie->name,
                             .value = cookie->has_value ? (const char *)value->data : NULL,
                             .domain = cookie->domain,
                             .path = cookie->path,
                             .host_only = cookie->host_only,
                             .secure = cookie->secure,
                             .expires = cookie->expires};
    return opf_jar_set(jar, &made);
}

int opf_request_merge_cookies(opf_agent *agent, opf_eval *eval, const opf_request_plan *request,
                              opf_why *why, bool *refused)
{
    opf_jar *jar = &agent->frame->cookies;
    opf_jar brought = {.unescapes = agent->jar.unescapes};
    opf_jar_fini(jar);
    jar->unescapes = agent->jar.unescapes;
    int ret = 0;
    for (uint32_t i = 0; i < request->n_cookies && ret == 0; i++)
        ret = bring(eval, &request->cookies[i], &agent->crew->body, &brought, why, refused);
    if (ret == 0)
        ret = opf_jar_add(jar, &agent->jar);
    if (ret == 0)
        ret = opf_jar_add(jar, &brought);
    opf_jar_fini(&brought);
    return ret;
}

int opf_request_follow_cookies(opf_agent *agent, const opf_result *result)
{
    opf_frame *frame = agent->frame;
    opf_jar next = {.unescapes = frame->cookies.unescapes};
    int ret = opf_jar_add(&next, &frame->cookies);
    if (ret == 0)
        ret = opf_jar_take(&next, &frame->site, result, (int64_t)(opf_clock_real() / OPF_NS_PER_S));
    if (ret == 0) /* what the agent has of the same name goes before, from here on */
        ret = opf_jar_add(&next, &agent->jar);
    opf_jar_fini(ret == 0 ? &frame->cookies : &next);
    if (ret == 0)
        frame->cookies = next;
    return ret;
}
