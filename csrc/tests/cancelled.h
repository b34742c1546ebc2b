/* Requests in which somebody loses interest, for the tests of each way by which they go. Behind
 * opf_test.h. */
#ifndef OPF_TESTS_CANCELLED_H
#define OPF_TESTS_CANCELLED_H

#include <stdlib.h>

#include "client.h"
#include "drive.h"

#define SHORTLY (100 * OPF_NS_PER_MS) /* a time-out that is to strike */
#define LARGE (64U << 20)             /* more than sockets take in */

/* Submits a request for the server's root. Returns as opf_exchange_submit. */
typedef int submit_fn(client *c, call *one, const char *method, bool tls, const void *body,
                      size_t body_len);

/* Polls until the exchange has come to the phase. */
static bool drive_to(client *c, const call *one, opf_phase phase)
{
    uint64_t end = opf_clock_mono() + DRIVE_NS_MAX;
    while (!one->done && opf_exchange_result(one->exchange)->phase < phase &&
           opf_clock_mono() < end)
        if (opf_engine_poll(c->engine, 20) < 0)
            return false;
    return !one->done && opf_exchange_result(one->exchange)->phase == phase;
}

/* What is cancelled: a request to a server, in its phase. */
typedef struct cancelled {
    peer_fn *serve;
    const char *text;
    bool tls;
    size_t body_len;
    opf_phase phase;
} cancelled;

/* Cancels the exchange in its phase: it is not told, and who waits behind it is served. */
static void check_cancelled(submit_fn *submit, const cancelled *how, bool freed)
{
    client c;
    call one = {0}, next = {0};
    void *body = calloc(1, how->body_len + 1);
    CHECK(client_init(&c, how->serve, (void *)(uintptr_t)how->text,
                      &(opf_pool_options){.concurrency = 1, .timeouts.network_ns = SHORTLY}));
    CHECK_EQ_INT(submit(&c, &one, how->body_len ? "POST" : "GET", how->tls, body, how->body_len),
                 0);
    CHECK_EQ_INT(submit(&c, &next, "GET", how->tls, "", 0), 0);
    if (how->phase != OPF_PHASE_RESOLVE)
        CHECK(drive_to(&c, &one, how->phase));
    if (freed)
        opf_exchange_free(one.exchange);
    else
        opf_exchange_cancel(one.exchange);
    if (how->tls) { /* there will be no answer */
        opf_exchange_cancel(next.exchange);
        CHECK_EQ_INT(client_connections(&c), 0);
    } else {
        CHECK(call_drive(c.engine, &next.done, 1));
    }
    call_idle(c.engine);
    CHECK_EQ_INT(one.done, 0);
    CHECK_EQ_INT(next.done, !how->tls);
    if (!freed)
        opf_exchange_free(one.exchange);
    opf_exchange_free(next.exchange);
    client_fini(&c);
    free(body);
}

static void check_cancelled_everywhere(submit_fn *submit)
{
    static const char half[] = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf";
    const cancelled cases[] = {
        {serve_well, NULL, false, 0, OPF_PHASE_RESOLVE},
        {serve_and_hold, NULL, true, 0, OPF_PHASE_TLS},
        {serve_deaf, NULL, false, LARGE, OPF_PHASE_SEND},
        {serve_and_hold, "", false, 0, OPF_PHASE_WAIT},
        {serve_and_hold, half, false, 0, OPF_PHASE_WAIT},
    };
    for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++)
        check_cancelled(submit, &cases[i / 2], i % 2);
}

#endif
