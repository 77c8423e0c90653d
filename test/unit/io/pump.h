/* What the tests of io share: a loop with a watchdog, and an end of a connection that remembers what it was told. */
#ifndef FACTEUR_TEST_IO_PUMP_H
#define FACTEUR_TEST_IO_PUMP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "facteur/base/buf.h"
#include "facteur/base/clock.h"
#include "facteur/base/log.h"
#include "facteur/base/mem.h"
#include "facteur/io/listener.h"
#include "facteur/io/loop.h"
#include "facteur/io/stream.h"
#include "facteur/io/timer.h"

struct pump {
    struct loop *loop;
    struct timer *dog;
    bool late;
};

/* Turns the loop until the condition holds; a test that hangs fails after ten seconds instead. */
#define RUN_UNTIL(pump, condition)                                                                                     \
    do {                                                                                                               \
        while (!(condition)) {                                                                                         \
            assert_false((pump)->late);                                                                                \
            (void)loop_run_once((pump)->loop);                                                                         \
        }                                                                                                              \
    } while (0)

static inline void pump_bark(void *owner)
{
    ((struct pump *)owner)->late = true;
}

static inline int pump_open(void **state)
{
    struct pump *p = mem_zero(sizeof *p);
    struct err e;

    if (log_open(LOG_TARGET_NONE, NULL, LOG_FORMAT_LOGFMT, LOG_LEVEL_ERROR, &e) < 0 || loop_new(&p->loop, &e) < 0)
        return -1;
    (void)alarm(20); /* after a failure the loop may never become empty */
    p->dog = timer_new(p->loop, pump_bark, p);
    timer_set(p->dog, 10 * 1000);
    *state = p;
    return 0;
}

static inline int pump_shut(void **state)
{
    struct pump *p = *state;

    timer_close(&p->dog);
    loop_free(&p->loop);
    mem_free(p);
    return 0;
}

/* One end of a connection. What the test wants to happen inside a callback is a function of its own. */
struct end {
    struct stream *s;
    struct buf in;
    bool connected, ended, closed, tls;
    int connect_status, end_status, tls_status;
    unsigned bytes_calls, drains;
    struct tls_info info;
    char why[200];
    void (*on_bytes)(struct end *);
};

static inline void end_on_connect(void *owner, int status)
{
    struct end *e = owner;

    assert_false(e->closed);
    assert_false(e->connected);
    e->connected = true;
    e->connect_status = status;
}
static inline void end_on_bytes(void *owner, struct slice octets)
{
    struct end *e = owner;

    assert_false(e->closed);
    assert_true(octets.n > 0);
    e->bytes_calls++;
    assert_int_equal(buf_add(&e->in, octets.p, octets.n), 0);
    if (e->on_bytes != NULL)
        e->on_bytes(e);
}
static inline void end_on_end(void *owner, int status)
{
    struct end *e = owner;

    assert_false(e->ended);
    e->ended = true;
    e->end_status = status;
}
static inline void end_on_drain(void *owner)
{
    ((struct end *)owner)->drains++;
}
static inline void end_on_tls(void *owner, int status, const struct tls_info *info, const char *why)
{
    struct end *e = owner;

    assert_false(e->tls);
    e->tls = true;
    e->tls_status = status;
    if (status == 0)
        e->info = *info;
    else
        (void)snprintf(e->why, sizeof e->why, "%s", why);
}
static inline void end_on_closed(void *owner)
{
    struct end *e = owner;

    assert_false(e->closed);
    e->closed = true;
    e->s = NULL;
}

static const struct stream_events end_events = {
    .on_connect = end_on_connect,
    .on_bytes = end_on_bytes,
    .on_end = end_on_end,
    .on_drain = end_on_drain,
    .on_tls = end_on_tls,
    .on_closed = end_on_closed,
};

static inline void end_init(struct end *e)
{
    memset(e, 0, sizeof *e);
    buf_init(&e->in, 64 * 1024 * 1024);
}

static inline bool end_has(const struct end *e, const char *text)
{
    return slice_is(buf_slice(&e->in), text);
}

/* A server that takes one connection into `server`, and a client connected to it. */
struct wire {
    struct listener *listener;
    struct end server, client;
    bool start; /* start the accepted stream at once */
};

static inline void wire_on_accept(void *owner, struct stream *s)
{
    struct wire *w = owner;

    assert_null(w->server.s);
    w->server.s = s;
    if (w->start)
        stream_start(s, &end_events, &w->server);
}

static inline const struct endpoint *loopback(void)
{
    static const struct endpoint ep = { .family = 4, .octets = { 127, 0, 0, 1 } };

    return &ep;
}

static inline void wire_open(struct pump *p, struct wire *w)
{
    const struct listener_options options = { .reuse = true, .fd = -1 };
    struct err e;

    end_init(&w->server);
    end_init(&w->client);
    w->start = true;
    assert_int_equal(listener_new(p->loop, loopback(), &options, wire_on_accept, w, &w->listener, &e), 0);
    w->client.s = stream_connect(p->loop, listener_endpoint(w->listener), NULL, &end_events, &w->client);
    assert_false(w->client.connected);
    RUN_UNTIL(p, w->client.connected && w->server.s != NULL);
    assert_int_equal(w->client.connect_status, 0);
}

static inline void wire_shut(struct pump *p, struct wire *w)
{
    listener_close(&w->listener);
    if (w->client.s != NULL)
        stream_close(w->client.s);
    if (w->server.s != NULL)
        stream_close(w->server.s);
    RUN_UNTIL(p, w->client.s == NULL && w->server.s == NULL);
    buf_clear(&w->client.in);
    buf_clear(&w->server.in);
}

#endif
