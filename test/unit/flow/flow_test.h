/* What the tests of the schedule share: flow on stores of its own, as a server starts it. */
#ifndef FACTEUR_TEST_FLOW_TEST_H
#define FACTEUR_TEST_FLOW_TEST_H

#include "store/store_test.h"

#include "facteur/base/log.h"
#include "facteur/flow/commit.h"
#include "facteur/flow/flow.h"
#include "facteur/flow/schedule.h"

enum { FLOW_TEST_SECONDS = 20 };

static UNUSED void flow_test_turn(void *owner)
{
    if (((struct flow *)owner)->local != NULL) /* else it has been cleared */
        flow_turn(owner);
}

static UNUSED struct config *flow_test_config(const char *state, int port)
{
    struct conf_problems problems;
    struct config *c = NULL;
    char text[1024];

    (void)snprintf(
        text, sizeof text,
        "hostname: mail.example.org\nstate: %s\ndomains: {example.org: {}}\n"
        "users: {anna@example.org: {}}\nlisten: [{address: 127.0.0.1, port: 2525, service: smtp, tls: none}]\n"
        "relay: {smarthost: {host: 127.0.0.1, port: %d, tls: none}}\n",
        state, port);
    if (config_parse(NULL, slice_str(text), &c, &problems) < 0)
        fail_msg("%.*s", (int)problems.text.n, problems.text.p);
    conf_problems_clear(&problems);
    return c;
}

/* `port`: the smarthost's, on 127.0.0.1. All else of *f is what it was. */
static UNUSED void flow_test_start(struct flow *f, const char *state, int port)
{
    struct config *config = flow_test_config(state, port);
    struct err e;

    (void)alarm(FLOW_TEST_SECONDS);
    assert_int_equal(log_open(LOG_TARGET_NONE, NULL, LOG_FORMAT_LOGFMT, LOG_LEVEL_ERROR, &e), 0);
    assert_int_equal(loop_new(&f->loop, &e), 0);
    f->pool = job_pool_new(f->loop);
    assert_int_equal(queue_open(state, &f->queue, &e), 0);
    assert_int_equal(spool_open(state, &f->spool, &e), 0);
    assert_int_equal(maildirs_open(state, &f->maildirs, &e), 0);
    assert_int_equal(dns_new(f->loop, "127.0.0.1:9", &f->dns, &e), 0);
    f->counters = counters_new();
    flow_start(f, config);
    config_unref(&config);
    loop_on_turn(f->loop, flow_test_turn, f);
}

/* Until nothing can be done now. */
static UNUSED void flow_test_settle(struct flow *f)
{
    while (!schedule_is_quiet(f) || !commit_is_idle(f->commit))
        (void)loop_run_once(f->loop);
}

static UNUSED void flow_test_quiet(void *owner)
{
    *(bool *)owner = true;
}

static UNUSED void flow_test_stop(struct flow *f)
{
    bool quiet = false;

    flow_stop(f, flow_test_quiet, &quiet);
    while (!quiet || !job_pool_idle(f->pool))
        (void)loop_run_once(f->loop);
    flow_clear(f);
    dns_free(&f->dns);
    counters_free(&f->counters);
    (void)loop_run_once(f->loop);
    job_pool_free(&f->pool);
    loop_free(&f->loop);
    maildirs_close(&f->maildirs);
    spool_close(&f->spool);
    queue_close(&f->queue);
}

#endif
