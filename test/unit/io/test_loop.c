#include "pump.h"

#include "loop_priv.h"

#include <signal.h>

struct call {
    struct deferred d;
    struct pump *p;
    int ran;
    struct call *also; /* deferred or cancelled from inside */
    bool cancel;
};

static void on_call(struct deferred *d)
{
    struct call *c = LIST_ENTRY(d, struct call, d);

    c->ran++;
    if (c->also != NULL && c->cancel)
        loop_defer_cancel(c->p->loop, &c->also->d);
    else if (c->also != NULL)
        loop_defer(c->p->loop, &c->also->d, on_call);
}

static void a_deferred_call_comes_later_and_once(void **state)
{
    struct pump *p = *state;
    struct call a = { .p = p }, b = { .p = p }, c = { .p = p };

    a.also = &b;
    loop_defer(p->loop, &a.d, on_call);
    loop_defer(p->loop, &a.d, on_call);
    loop_defer(p->loop, &c.d, on_call);
    loop_defer_cancel(p->loop, &c.d);
    loop_defer_cancel(p->loop, &c.d);
    assert_int_equal(a.ran, 0);
    loop_run_once(p->loop);
    assert_int_equal(a.ran, 1);
    assert_int_equal(b.ran, 0); /* deferred in a deferred call: the next turn */
    loop_run_once(p->loop);
    assert_int_equal(b.ran, 1);
    assert_int_equal(a.ran, 1);
    assert_int_equal(c.ran, 0);
}

static void a_cancelled_call_does_not_keep_the_loop_alive(void **state)
{
    struct pump *p = *state;
    struct call a = { .p = p };

    timer_stop(p->dog);
    loop_defer(p->loop, &a.d, on_call);
    loop_defer_cancel(p->loop, &a.d);
    (void)loop_run(p->loop); /* returns */
    assert_int_equal(a.ran, 0);
}

static void a_deferred_call_can_cancel_its_neighbour(void **state)
{
    struct pump *p = *state;
    struct call a = { .p = p, .cancel = true }, b = { .p = p };

    a.also = &b;
    loop_defer(p->loop, &a.d, on_call);
    loop_defer(p->loop, &b.d, on_call);
    loop_run_once(p->loop);
    assert_int_equal(a.ran, 1);
    assert_int_equal(b.ran, 0);
}

static void dig(struct deferred *d)
{
    int64_t until = clock_mono_us() + COSTLY_US + 1000;

    while (clock_mono_us() < until)
        ;
    LIST_ENTRY(d, struct call, d)->ran++;
}

static void costly_work_leaves_the_turn_to_others(void **state)
{
    struct pump *p = *state;
    struct call a = { .p = p }, b = { .p = p }, gone = { .p = p }, quick = { .p = p };

    loop_defer_costly(p->loop, &a.d, dig);
    loop_defer_costly(p->loop, &gone.d, dig);
    loop_defer_costly(p->loop, &b.d, dig);
    loop_defer(p->loop, &quick.d, on_call);
    loop_defer_cancel(p->loop, &gone.d);
    loop_run_once(p->loop);
    assert_int_equal(quick.ran, 1);
    assert_int_equal(a.ran, 1);
    assert_int_equal(b.ran, 0); /* the turn has been long enough */
    loop_run_once(p->loop);     /* does not wait */
    assert_int_equal(b.ran, 1);
    assert_int_equal(a.ran, 1);
    assert_int_equal(gone.ran, 0);
}

struct clockwork {
    struct timer *t;
    int fired;
    bool close;
};

static void on_tick(void *owner)
{
    struct clockwork *c = owner;

    c->fired++;
    if (c->close)
        timer_close(&c->t);
}

static void a_timer_fires_once_and_may_close_itself(void **state)
{
    struct pump *p = *state;
    struct clockwork a = { 0 }, b = { .close = true }, stopped = { 0 }, last = { 0 };

    a.t = timer_new(p->loop, on_tick, &a);
    b.t = timer_new(p->loop, on_tick, &b);
    stopped.t = timer_new(p->loop, on_tick, &stopped);
    last.t = timer_new(p->loop, on_tick, &last);
    timer_set(a.t, 5000);
    timer_set(a.t, 0); /* replaces */
    timer_set(b.t, 0);
    timer_set(stopped.t, 0);
    timer_stop(stopped.t);
    timer_set(last.t, 5);
    assert_int_equal(a.fired + b.fired, 0);
    RUN_UNTIL(p, last.fired == 1);
    assert_int_equal(a.fired, 1);
    assert_int_equal(b.fired, 1);
    assert_null(b.t);
    assert_int_equal(stopped.fired, 0);
    timer_close(&a.t);
    timer_close(&a.t);
    timer_close(&stopped.t);
    timer_close(&last.t);
}

/* One turn that does not wait. */
static void turn(struct pump *p)
{
    struct call c = { .p = p };

    loop_defer(p->loop, &c.d, on_call);
    loop_run_once(p->loop);
    assert_int_equal(c.ran, 1);
}

static void stall(struct deferred *d)
{
    struct pump *p = LIST_ENTRY(d, struct call, d)->p;
    int64_t until = clock_mono_us() + 60 * 1000;

    loop_note(p->loop, "digging");
    while (clock_mono_us() < until)
        ;
    loop_note(p->loop, "resting");
}

static void the_meter_names_what_held_up_the_loop(void **state)
{
    struct pump *p = *state;
    struct call c = { .p = p };
    struct loop_stalls before = loop_stalls(p->loop), after;

    loop_defer(p->loop, &c.d, stall);
    turn(p);
    after = loop_stalls(p->loop);
    assert_int_equal(after.over_limit, before.over_limit + 1);
    assert_true(after.longest_us >= 60 * 1000);
    assert_string_equal(after.longest_what, "digging");
    assert_true(after.turns > before.turns);
    assert_true(after.longest_wall_ms > 0);
}

static void nap(void *owner)
{
    *(bool *)owner = true;
}

static void waiting_is_no_stall(void **state)
{
    struct pump *p = *state;
    bool woke = false;
    struct timer *t = timer_new(p->loop, nap, &woke);
    uint64_t before = loop_stalls(p->loop).over_limit;

    timer_set(t, 80);
    RUN_UNTIL(p, woke);
    timer_close(&t);
    turn(p);
    assert_int_equal(loop_stalls(p->loop).over_limit, before);
}

static void count(void *owner)
{
    ++*(int *)owner;
}

static void on_hup(void *owner, int signum)
{
    assert_int_equal(signum, SIGHUP);
    ++*(int *)owner;
}

static void turns_and_signals_are_told(void **state)
{
    struct pump *p = *state;
    int turns = 0, hups = 0;

    loop_on_turn(p->loop, count, &turns);
    assert_int_equal(loop_on_signal(p->loop, SIGHUP, on_hup, &hups), 0);
    assert_int_equal(raise(SIGHUP), 0);
    assert_int_equal(hups, 0);
    RUN_UNTIL(p, hups == 1);
    assert_true(turns > 0);
    loop_on_turn(p->loop, NULL, NULL);
    assert_int_equal(raise(SIGPIPE), 0); /* ignored */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_deferred_call_comes_later_and_once, pump_open, pump_shut),
        cmocka_unit_test_setup_teardown(a_cancelled_call_does_not_keep_the_loop_alive, pump_open, pump_shut),
        cmocka_unit_test_setup_teardown(a_deferred_call_can_cancel_its_neighbour, pump_open, pump_shut),
        cmocka_unit_test_setup_teardown(costly_work_leaves_the_turn_to_others, pump_open, pump_shut),
        cmocka_unit_test_setup_teardown(a_timer_fires_once_and_may_close_itself, pump_open, pump_shut),
        cmocka_unit_test_setup_teardown(the_meter_names_what_held_up_the_loop, pump_open, pump_shut),
        cmocka_unit_test_setup_teardown(waiting_is_no_stall, pump_open, pump_shut),
        cmocka_unit_test_setup_teardown(turns_and_signals_are_told, pump_open, pump_shut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
