#include "client/engine.h"

#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "client/exchange.h"
#include "client/mux.h"
#include "http/url.h"

opf_engine *opf_engine_new(const opf_engine_options *options)
{
    opf_engine *engine = opf_mem_alloc(sizeof(*engine));
    if (!engine) {
        errno = ENOMEM;
        return NULL;
    }
    memset(engine, 0, offsetof(opf_engine, recv)); /* the pages of recv come when they are used */
    opf_stampclock_init(&engine->stamps);
    opf_list_init(&engine->finished);
    opf_list_init(&engine->spare);
    opf_list_init(&engine->unsent);
    opf_list_init(&engine->spare_streams);
    opf_blocks_init(&engine->blocks, OPF_BLOCKS_KEPT);
    engine->sink = options ? options->sink : NULL;
    engine->loop = opf_loop_new();
    if (!engine->loop)
        goto fail;
    engine->waits = options && options->waits;
    if (engine->waits)
        opf_loop_keep_time(engine->loop);
    engine->resolver = opf_resolver_new(engine->loop, options ? options->nameservers : NULL);
    if (!engine->resolver)
        goto fail;
    engine->now = opf_stampclock_sample(&engine->stamps);
    return engine;

fail:;
    int err = errno;
    opf_engine_free(engine);
    errno = err;
    return NULL;
}

void opf_engine_free(opf_engine *engine)
{
    if (!engine)
        return;
    opf_exchange_free_spare(engine);
    opf_mux_free_spare(engine);
    opf_blocks_fini(&engine->blocks);
    for (size_t i = 0; i < OPF_SHARED; i++) {
        opf_tls_context_release(engine->tls[i]);
        opf_network_release(engine->networks[i]);
    }
    if (engine->resolver)
        opf_resolver_free(engine->resolver);
    opf_loop_free(engine->loop);
    opf_mem_free(engine);
}

int opf_engine_fd(const opf_engine *engine)
{
    return opf_loop_fd(engine->loop);
}

/* What comes to its end by it is reported in the next poll. */
static void flush(opf_engine *engine)
{
    opf_mux_flush(engine);
    if (!opf_list_empty(&engine->finished))
        opf_loop_wake(engine->loop);
}

/* Waits for events, and then looks at the clocks. */
static int wait(opf_engine *engine, int timeout_ms)
{
    bool gathers = engine->waits && engine->n_streams && timeout_ms;
    if (gathers)
        opf_gather_rest(&engine->gather);
    uint64_t from = gathers ? opf_clock_mono() : 0;
    if (opf_loop_wait(engine->loop, timeout_ms) != 0)
        return OPF_ESYS;
    engine->now = opf_stampclock_sample(&engine->stamps);
    if (gathers)
        opf_gather_note_wait(&engine->gather, from, engine->now);
    return 0;
}

int opf_engine_poll(opf_engine *engine, int timeout_ms)
{
    if (engine->forked)
        return OPF_EFORKED;
    if (!opf_list_empty(&engine->finished))
        timeout_ms = 0;
    int ret = wait(engine, timeout_ms);
    if (ret != 0)
        return ret;
    engine->polling = true;
    engine->polls++;
    int done = opf_loop_dispatch(engine->loop);
    int reported = opf_exchange_report(engine);
    if (engine->waits)
        opf_gather_note_poll(&engine->gather, (uint32_t)reported, engine->n_streams);
    done += reported;
    if (!opf_list_empty(&engine->unsent))
        flush(engine);
    engine->polling = false;
    return done;
}

void opf_engine_hold(opf_engine *engine)
{
    engine->held = true;
}

void opf_engine_flush(opf_engine *engine)
{
    engine->held = false;
    if (!opf_list_empty(&engine->unsent) && !engine->forked)
        opf_mux_flush(engine);
}

void opf_engine_wake(opf_engine *engine)
{
    opf_loop_wake(engine->loop);
}

void opf_engine_forked(opf_engine *engine)
{
    engine->forked = true;
    opf_loop_forked(engine->loop);
    opf_resolver_forked(engine->resolver);
}

void opf_engine_get_totals(const opf_engine *engine, opf_engine_totals *totals)
{
    *totals = engine->totals;
    totals->lookups = opf_resolver_asked(engine->resolver);
}

opf_tls_context *opf_engine_tls(opf_engine *engine, const opf_tls_options *options, int *error,
                                char *text, size_t size)
{
    size_t i = 0;
    for (; i < OPF_SHARED && engine->tls[i]; i++) {
        if (opf_tls_context_is(engine->tls[i], options)) {
            opf_tls_context_hold(engine->tls[i]);
            return engine->tls[i];
        }
    }
    opf_tls_context *context = opf_tls_context_new(options, error, text, size);
    if (!context || options->ssl_ctx)
        return context;
    if (i == OPF_SHARED) { /* more than one test needs: let go of the oldest */
        i--;
        opf_tls_context_release(engine->tls[0]);
        memmove(engine->tls, engine->tls + 1, i * sizeof(*engine->tls));
    }
    opf_tls_context_hold(context);
    engine->tls[i] = context;
    return context;
}

opf_network *opf_engine_network(opf_engine *engine, const opf_network_options *options, int *error,
                                char *text, size_t size)
{
    size_t i = 0;
    opf_network *network = opf_network_new(options, error, text, size);
    if (!network)
        return NULL;
    for (; i < OPF_SHARED && engine->networks[i]; i++) {
        if (opf_network_same(engine->networks[i], network)) {
            opf_network_release(network);
            opf_network_hold(engine->networks[i]);
            return engine->networks[i];
        }
    }
    if (!opf_network_check(network, text, size)) {
        *error = OPF_EINVAL;
        opf_network_release(network);
        return NULL;
    }
    if (i == OPF_SHARED) {
        i--;
        opf_network_release(engine->networks[0]);
        memmove(engine->networks, engine->networks + 1, i * sizeof(*engine->networks));
    }
    opf_network_hold(network);
    engine->networks[i] = network;
    return network;
}

void opf_free(void *p)
{
    opf_mem_free(p);
}

char *opf_url_requote(const char *url, size_t len, size_t *quoted_len)
{
    opf_buf quoted;
    opf_buf_init(&quoted);
    if (opf_buf_reserve(&quoted, len + 1) != 0 || opf_url_quote(url, len, &quoted) != 0) {
        opf_buf_fini(&quoted);
        return NULL;
    }
    *quoted_len = quoted.len;
    return (char *)quoted.data;
}
