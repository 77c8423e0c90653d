#include "pump.h"

#include "stream_priv.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

static void echo(struct end *e)
{
    stream_write(e->s, buf_slice(&e->in));
    buf_reset(&e->in);
}

static void octets_go_both_ways(void **state)
{
    struct pump *p = *state;
    struct wire w = { 0 };

    wire_open(p, &w);
    w.server.on_bytes = echo;
    stream_write(w.client.s, SLICE_LIT("hello "));
    stream_write(w.client.s, SLICE_LIT("world"));
    RUN_UNTIL(p, w.client.in.n >= 11);
    assert_true(end_has(&w.client, "hello world"));
    assert_int_equal(w.server.bytes_calls, 1); /* both writes left in one */
    wire_shut(p, &w);
}

static void addresses_are_known(void **state)
{
    struct pump *p = *state;
    struct wire w = { 0 };
    int on = 0;
    socklen_t n = sizeof on;

    wire_open(p, &w);
    assert_true(endpoint_equal(stream_peer(w.client.s), listener_endpoint(w.listener)));
    assert_true(endpoint_equal(stream_local(w.server.s), listener_endpoint(w.listener)));
    assert_true(endpoint_equal(stream_local(w.client.s), stream_peer(w.server.s)));
    assert_int_equal(getsockopt(stream_fd(w.server.s), IPPROTO_TCP, TCP_NODELAY, &on, &n), 0);
    assert_int_not_equal(on, 0); /* inherited from the listening socket */
    on = 0;
    assert_int_equal(getsockopt(stream_fd(w.client.s), IPPROTO_TCP, TCP_NODELAY, &on, &n), 0);
    assert_int_not_equal(on, 0);
    assert_ptr_equal(stream_loop(w.client.s), p->loop);
    wire_shut(p, &w);
}

static void finish_flushes_and_ends_both_sides(void **state)
{
    struct pump *p = *state;
    struct wire w = { 0 };

    wire_open(p, &w);
    stream_write(w.server.s, SLICE_LIT("221 bye\r\n"));
    stream_finish(w.server.s);
    stream_finish(w.server.s); /* once more is fine */
    assert_false(w.server.closed);
    stream_write(w.client.s, SLICE_LIT("one more command, too late\r\n"));
    RUN_UNTIL(p, w.client.ended);
    assert_int_equal(w.client.end_status, 0); /* no reset, although the server never read the last command */
    assert_true(end_has(&w.client, "221 bye\r\n"));
    assert_false(w.server.closed); /* it waits for our FIN */
    stream_close(w.client.s);
    RUN_UNTIL(p, w.server.closed);
    assert_int_equal(w.server.in.n, 0);
    wire_shut(p, &w);
}

static void an_agreed_end_waits_only_for_what_is_unread(void **state)
{
    struct pump *p = *state;

    for (int unread = 0; unread < 2; unread++) {
        struct wire w = { 0 };

        wire_open(p, &w);
        if (unread) {
            assert_true(write(stream_fd(w.client.s), "NOOP\r\n", 6) == 6); /* with the kernel before the server ends */
        }
        stream_write(w.server.s, SLICE_LIT("221 bye\r\n"));
        stream_finish_agreed(w.server.s);
        RUN_UNTIL(p, w.client.ended);
        assert_int_equal(w.client.end_status, 0);
        assert_true(end_has(&w.client, "221 bye\r\n"));
        assert_int_equal(w.server.closed, !unread);
        stream_close(w.client.s);
        RUN_UNTIL(p, w.server.closed);
        wire_shut(p, &w);
    }
}

static void finish_gives_up_on_a_peer_that_does_not_end(void **state)
{
    struct pump *p = *state;
    struct wire w = { 0 };

    clock_freeze(1000000, 1000000);
    wire_open(p, &w);
    stream_finish(w.server.s);
    RUN_UNTIL(p, w.client.ended);
    clock_advance(5001);
    RUN_UNTIL(p, w.server.closed);
    clock_thaw();
    wire_shut(p, &w);
}

static void a_peer_that_does_not_read_stops_the_writer(void **state)
{
    struct pump *p = *state;
    struct wire w = { 0 };
    static char block[8192];
    size_t sent = 0;

    wire_open(p, &w);
    stream_pause(w.client.s);
    memset(block, 'x', sizeof block);
    for (int quiet = 0; quiet < 20;) { /* the kernel's buffers are full when nothing drains for a while */
        while (!stream_is_full(w.server.s)) {
            stream_write(w.server.s, slice_make(block, sizeof block));
            sent += sizeof block;
            quiet = 0;
        }
        stream_flush(w.server.s);
        if (stream_is_full(w.server.s))
            quiet++;
    }
    assert_true(stream_is_full(w.server.s));
    assert_int_equal(w.client.in.n, 0);
    w.server.drains = 0;
    stream_resume(w.client.s);
    RUN_UNTIL(p, w.client.in.n == sent);
    RUN_UNTIL(p, w.server.drains == 1);
    assert_false(stream_is_full(w.server.s));
    wire_shut(p, &w);
}

static void a_writer_that_does_not_stop_is_ended(void **state)
{
    struct pump *p = *state;
    struct wire w = { 0 };
    char *block = mem_zero(1024 * 1024);

    wire_open(p, &w);
    stream_pause(w.client.s);
    for (int i = 0; i < 5; i++)
        stream_write(w.server.s, slice_make(block, 1024 * 1024));
    assert_false(w.server.ended); /* never from inside */
    RUN_UNTIL(p, w.server.ended);
    assert_int_equal(w.server.end_status, -ENOBUFS);
    wire_shut(p, &w);
    mem_free(block);
}

static void a_paused_stream_hears_nothing(void **state)
{
    struct pump *p = *state;
    struct wire w = { 0 };
    struct timer *t;

    wire_open(p, &w);
    stream_pause(w.server.s);
    stream_write(w.client.s, SLICE_LIT("one"));
    stream_finish(w.client.s);
    t = timer_new(p->loop, pump_bark, p);
    for (int i = 0; i < 5; i++) { /* some turns in which it could wrongly be told */
        timer_set(t, 1);
        loop_run_once(p->loop);
    }
    p->late = false;
    timer_close(&t);
    assert_int_equal(w.server.in.n, 0);
    assert_false(w.server.ended);
    stream_resume(w.server.s);
    assert_int_equal(w.server.in.n, 0); /* not from inside */
    RUN_UNTIL(p, w.server.ended);
    assert_true(end_has(&w.server, "one"));
    wire_shut(p, &w);
}

static void pause_inside(struct end *e)
{
    stream_pause(e->s);
}

static int worked_on; /* streams, in this turn */

static void work(struct end *e)
{
    int64_t until = clock_mono_us() + INPUT_US / 4;

    (void)e;
    worked_on++;
    while (clock_mono_us() < until)
        ;
}

static void many_that_speak_at_once_share_several_turns(void **state)
{
    enum { PEERS = 40 };
    struct pump *p = *state;
    struct wire w[PEERS] = { 0 };
    int all = 0;

    for (int i = 0; i < PEERS; i++) {
        wire_open(p, &w[i]);
        w[i].server.on_bytes = work;
    }
    for (int i = 0; i < PEERS; i++)
        assert_true(write(stream_fd(w[i].client.s), "NOOP\r\n", 6) == 6); /* with the kernel before the loop looks */
    while (all < PEERS) {
        assert_false(p->late);
        worked_on = 0;
        loop_run_once(p->loop);
        assert_true(worked_on <= 6); /* the first, four more until the time is over, and one that began before */
        all += worked_on;
    }
    for (int i = 0; i < PEERS; i++) {
        assert_int_equal(w[i].server.bytes_calls, 1);
        wire_shut(p, &w[i]);
    }
}

static void input_given_back_comes_again_in_order(void **state)
{
    struct pump *p = *state;
    struct wire w = { 0 };

    wire_open(p, &w);
    w.server.on_bytes = pause_inside;
    stream_write(w.client.s, SLICE_LIT("PROXY x\r\nEHLO"));
    RUN_UNTIL(p, w.server.in.n == 13);
    stream_write(w.client.s, SLICE_LIT(" y\r\n"));
    stream_flush(w.client.s);
    buf_reset(&w.server.in);
    stream_unread(w.server.s, SLICE_LIT("EHLO"));
    w.server.on_bytes = NULL;
    stream_resume(w.server.s);
    RUN_UNTIL(p, w.server.in.n >= 8);
    assert_true(end_has(&w.server, "EHLO y\r\n"));
    wire_shut(p, &w);
}

static void close_inside(struct end *e)
{
    stream_write(e->s, SLICE_LIT("never mind"));
    stream_close(e->s);
    stream_close(e->s);
    assert_false(e->closed);
}

static void close_in_a_callback_is_the_last_word(void **state)
{
    struct pump *p = *state;
    struct wire w = { 0 };

    wire_open(p, &w);
    w.server.on_bytes = close_inside;
    stream_write(w.client.s, SLICE_LIT("x"));
    stream_flush(w.client.s);
    stream_write(w.client.s, SLICE_LIT("y"));
    RUN_UNTIL(p, w.server.closed && w.client.ended);
    assert_int_equal(w.server.bytes_calls, 1);
    assert_false(w.server.ended);
    wire_shut(p, &w);
}

static void close_with_output_under_way_is_clean(void **state)
{
    struct pump *p = *state;
    struct wire w = { 0 };
    char *block = mem_zero(3 * 1024 * 1024);

    wire_open(p, &w);
    stream_pause(w.client.s);
    while (w.server.s->in_flight == 0) { /* until part of it waits in libuv */
        stream_write(w.server.s, slice_make(block, 3 * 1024 * 1024));
        stream_flush(w.server.s);
    }
    stream_close(w.server.s);
    RUN_UNTIL(p, w.server.closed);
    assert_int_equal(w.server.drains, 0);
    assert_false(w.server.ended);
    wire_shut(p, &w);
    mem_free(block);
}

static void a_vanished_peer_is_an_end(void **state)
{
    struct pump *p = *state;
    struct wire w = { 0 };

    wire_open(p, &w);
    stream_close(w.client.s);
    RUN_UNTIL(p, w.server.ended);
    assert_int_equal(w.server.end_status, 0);
    stream_write(w.server.s, SLICE_LIT("into the void"));
    stream_flush(w.server.s);
    stream_write(w.server.s, SLICE_LIT("again")); /* answered by a reset: no signal, no second on_end */
    stream_flush(w.server.s);
    stream_finish(w.server.s);
    RUN_UNTIL(p, w.server.closed);
    wire_shut(p, &w);
}

static void a_refused_connection_is_told_later(void **state)
{
    struct pump *p = *state;
    struct wire w = { 0 };
    struct endpoint gone;
    struct end e;

    wire_open(p, &w);
    gone = *listener_endpoint(w.listener);
    wire_shut(p, &w);
    end_init(&e);
    e.s = stream_connect(p->loop, &gone, NULL, &end_events, &e);
    assert_false(e.connected);
    RUN_UNTIL(p, e.connected);
    assert_int_equal(e.connect_status, -ECONNREFUSED);
    stream_close(e.s);
    RUN_UNTIL(p, e.closed);
    assert_false(e.ended);
}

static void an_address_that_cannot_be_is_told_later_too(void **state)
{
    struct pump *p = *state;
    const struct endpoint nowhere = { 0 }, from = { .family = 4, .octets = { 203, 0, 113, 1 } };
    struct end e, f;

    end_init(&e);
    end_init(&f);
    e.s = stream_connect(p->loop, &nowhere, NULL, &end_events, &e);
    f.s = stream_connect(p->loop, loopback(), &from, &end_events, &f);
    assert_false(e.connected);
    RUN_UNTIL(p, e.connected && f.connected);
    assert_true(e.connect_status < 0 && f.connect_status < 0);
    stream_close(e.s);
    stream_finish(f.s);
    RUN_UNTIL(p, e.closed && f.closed);
}

static void close_before_connected_is_clean(void **state)
{
    struct pump *p = *state;
    struct end e;

    end_init(&e);
    e.s = stream_connect(p->loop, loopback(), NULL, &end_events, &e);
    stream_write(e.s, SLICE_LIT("early"));
    stream_close(e.s);
    RUN_UNTIL(p, e.closed);
    assert_false(e.connected);
}

static void writes_before_connected_are_kept(void **state)
{
    struct pump *p = *state;
    struct wire w = { 0 };
    struct end e;

    wire_open(p, &w);
    stream_close(w.server.s);
    RUN_UNTIL(p, w.server.closed);
    end_init(&e);
    e.s = stream_connect(p->loop, listener_endpoint(w.listener), loopback(), &end_events, &e);
    stream_write(e.s, SLICE_LIT("early"));
    w.server.closed = w.server.ended = false;
    RUN_UNTIL(p, w.server.in.n == 5);
    stream_close(e.s);
    RUN_UNTIL(p, e.closed);
    wire_shut(p, &w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(octets_go_both_ways, pump_open, pump_shut),
        cmocka_unit_test_setup_teardown(addresses_are_known, pump_open, pump_shut),
        cmocka_unit_test_setup_teardown(finish_flushes_and_ends_both_sides, pump_open, pump_shut),
        cmocka_unit_test_setup_teardown(an_agreed_end_waits_only_for_what_is_unread, pump_open, pump_shut),
        cmocka_unit_test_setup_teardown(finish_gives_up_on_a_peer_that_does_not_end, pump_open, pump_shut),
        cmocka_unit_test_setup_teardown(a_peer_that_does_not_read_stops_the_writer, pump_open, pump_shut),
        cmocka_unit_test_setup_teardown(a_writer_that_does_not_stop_is_ended, pump_open, pump_shut),
        cmocka_unit_test_setup_teardown(a_paused_stream_hears_nothing, pump_open, pump_shut),
        cmocka_unit_test_setup_teardown(many_that_speak_at_once_share_several_turns, pump_open, pump_shut),
        cmocka_unit_test_setup_teardown(input_given_back_comes_again_in_order, pump_open, pump_shut),
        cmocka_unit_test_setup_teardown(close_in_a_callback_is_the_last_word, pump_open, pump_shut),
        cmocka_unit_test_setup_teardown(close_with_output_under_way_is_clean, pump_open, pump_shut),
        cmocka_unit_test_setup_teardown(a_vanished_peer_is_an_end, pump_open, pump_shut),
        cmocka_unit_test_setup_teardown(a_refused_connection_is_told_later, pump_open, pump_shut),
        cmocka_unit_test_setup_teardown(an_address_that_cannot_be_is_told_later_too, pump_open, pump_shut),
        cmocka_unit_test_setup_teardown(close_before_connected_is_clean, pump_open, pump_shut),
        cmocka_unit_test_setup_teardown(writes_before_connected_are_kept, pump_open, pump_shut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
