#include "agent/plan_tables.h"
#include "agent/regex.h"
#include "base/mem.h"

/* Strings of a plan are const to those who run it. */
static void drop(const void *p)
{
    opf_mem_free((void *)(uintptr_t)p);
}

static void free_template(opf_template *tmpl)
{
    for (uint32_t i = 0; tmpl->pieces && i < tmpl->n; i++)
        drop(tmpl->pieces[i].text);
    drop(tmpl->pieces);
}

static void free_request(opf_request_plan *request)
{
    drop(request->method);
    free_template(&request->target);
    free_template(&request->params);
    free_template(&request->url);
    free_template(&request->name);
    free_template(&request->body);
    for (uint32_t i = 0; request->headers && i < request->n_headers; i++) {
        drop(request->headers[i].name);
        free_template(&request->headers[i].value);
        drop(request->headers[i].lines);
    }
    drop(request->headers);
    for (uint32_t i = 0; request->cookies && i < request->n_cookies; i++) {
        drop(request->cookies[i].name);
        drop(request->cookies[i].domain);
        drop(request->cookies[i].path);
        free_template(&request->cookies[i].value);
    }
    drop(request->cookies);
    for (uint32_t i = 0; request->extracts && i < request->n_extracts; i++)
        drop(request->extracts[i].name);
    drop(request->extracts);
}

static void free_path(opf_path *path)
{
    for (uint32_t i = 0; path->steps && i < path->n; i++)
        drop(path->steps[i].key);
    drop(path->steps);
}

static void free_pool(opf_pool_options *pool)
{
    opf_tls_options *tls = &pool->tls;
    const void *strings[] = {tls->ca_file,      tls->ca_dir,       tls->cert_file,
                             tls->key_file,     tls->key_password, tls->ciphers,
                             tls->ciphersuites, pool->server_name, pool->network.unix_path};
    for (size_t i = 0; i < sizeof(strings) / sizeof(*strings); i++)
        drop(strings[i]);
    for (size_t i = 0; pool->network.sources && i < pool->network.n_sources; i++)
        drop(pool->network.sources[i]);
    drop(pool->network.sources);
    for (size_t i = 0; pool->network.resolve && i < pool->network.n_resolve; i++) {
        drop(pool->network.resolve[i].host);
        drop(pool->network.resolve[i].address);
    }
    drop(pool->network.resolve);
}

static void free_values(opf_plan *plan)
{
    for (uint32_t i = 0; plan->constants && i < plan->n_constants; i++)
        if (plan->constants[i].kind == OPF_TEXT || plan->constants[i].kind == OPF_JSON)
            drop(plan->constants[i].s);
    drop(plan->constants);
    for (uint32_t i = 0; plan->templates && i < plan->n_templates; i++)
        free_template(&plan->templates[i]);
    drop(plan->templates);
    for (uint32_t i = 0; plan->tables && i < plan->n_tables; i++)
        drop(plan->tables[i].entries);
    drop(plan->tables);
    for (uint32_t i = 0; plan->paths && i < plan->n_paths; i++)
        free_path(&plan->paths[i]);
    drop(plan->paths);
    for (uint32_t i = 0; plan->regexes && i < plan->n_regexes; i++)
        opf_regex_free(plan->regexes[i]);
    drop(plan->regexes);
    for (uint32_t i = 0; plan->raises && i < plan->n_raises; i++) {
        drop(plan->raises[i].type);
        free_template(&plan->raises[i].text);
    }
    drop(plan->raises);
}

static void free_work(opf_plan *plan)
{
    for (uint32_t i = 0; plan->places && i < plan->n_places; i++)
        drop(plan->places[i].url);
    drop(plan->places);
    for (uint32_t i = 0; plan->requests && i < plan->n_requests; i++)
        free_request(&plan->requests[i]);
    drop(plan->requests);
    for (uint32_t i = 0; plan->programs && i < plan->n_programs; i++) {
        drop(plan->programs[i].name);
        drop(plan->programs[i].code);
    }
    drop(plan->programs);
    for (uint32_t i = 0; plan->sets && i < plan->n_sets; i++)
        drop(plan->sets[i].choices);
    drop(plan->sets);
    drop(plan->counters);
    for (uint32_t i = 0; plan->samples && i < plan->n_samples; i++)
        drop(plan->samples[i].values);
    drop(plan->samples);
    for (uint32_t i = 0; plan->lines && i < plan->n_lines; i++)
        drop(plan->lines[i]);
    drop(plan->lines);
}

void opf_plan_free_tables(opf_plan *plan)
{
    free_pool(&plan->pool);
    free_values(plan);
    free_work(plan);
}
