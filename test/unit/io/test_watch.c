#include "pump.h"

#include "facteur/io/watch.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

struct seen {
    unsigned calls;
    struct watch **close; /* in the callback */
};

static void on_change(void *owner)
{
    struct seen *s = owner;

    s->calls++;
    if (s->close != NULL)
        watch_close(s->close);
}

struct place {
    char top[64], cur[80], new[80];
};

static void place_make(struct place *p)
{
    (void)snprintf(p->top, sizeof p->top, "/tmp/facteur-watch-XXXXXX");
    assert_non_null(mkdtemp(p->top));
    (void)snprintf(p->cur, sizeof p->cur, "%s/cur", p->top);
    (void)snprintf(p->new, sizeof p->new, "%s/new", p->top);
    assert_int_equal(mkdir(p->cur, 0700), 0);
    assert_int_equal(mkdir(p->new, 0700), 0);
}

static void touch(const char *folder, const char *name)
{
    char path[160];
    int fd;

    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(close(fd), 0);
}

static void place_remove(struct place *p)
{
    char path[160];

    for (unsigned i = 0; i < 10; i++) {
        (void)snprintf(path, sizeof path, "%s/m%u", p->cur, i);
        (void)unlink(path);
        (void)snprintf(path, sizeof path, "%s/m%u", p->new, i);
        (void)unlink(path);
    }
    (void)rmdir(p->cur);
    (void)rmdir(p->new);
    assert_int_equal(rmdir(p->top), 0);
}

static void test_many_events_make_one_call(void **state)
{
    struct pump *pump = *state;
    struct place p;
    const char *paths[2] = { p.cur, p.new };
    struct seen seen = { 0 };
    struct watch *w = NULL;
    char from[160], to[160];

    place_make(&p);
    assert_int_equal(watch_new(pump->loop, paths, 2, on_change, &seen, &w), 0);
    touch(p.new, "m1");
    touch(p.new, "m2");
    touch(p.cur, "m3");
    RUN_UNTIL(pump, seen.calls > 0);
    assert_int_equal(seen.calls, 1);
    (void)snprintf(from, sizeof from, "%s/m1", p.new);
    (void)snprintf(to, sizeof to, "%s/m1", p.cur);
    assert_int_equal(rename(from, to), 0);
    RUN_UNTIL(pump, seen.calls > 1);
    assert_int_equal(unlink(to), 0);
    RUN_UNTIL(pump, seen.calls > 2);
    assert_int_equal(seen.calls, 3);
    watch_close(&w);
    assert_null(w);
    touch(p.new, "m4");
    place_remove(&p);
}

static void test_closed_in_its_callback_or_with_news_under_way(void **state)
{
    struct pump *pump = *state;
    struct place p;
    const char *paths[2] = { p.cur, p.new };
    struct seen a = { 0 }, b = { 0 }, c = { 0 };
    struct watch *wa = NULL, *wb = NULL, *wc = NULL;

    place_make(&p);
    assert_int_equal(watch_new(pump->loop, paths, 2, on_change, &a, &wa), 0);
    assert_int_equal(watch_new(pump->loop, paths, 1, on_change, &b, &wb), 0);
    assert_int_equal(watch_new(pump->loop, paths + 1, 1, on_change, &c, &wc), 0);
    a.close = &wb; /* of the same directory, and its news are on their way */
    touch(p.cur, "m1");
    RUN_UNTIL(pump, a.calls > 0);
    assert_null(wb);
    assert_true(b.calls <= 1); /* either came first */
    c.close = &wc;
    touch(p.new, "m2");
    RUN_UNTIL(pump, c.calls > 0);
    assert_null(wc);
    watch_close(&wa);
    watch_close(&wa);
    place_remove(&p);
}

static void test_what_is_not_there_cannot_be_watched(void **state)
{
    struct pump *pump = *state;
    struct place p;
    const char *paths[2] = { p.cur, "/nonexistent/new" };
    struct seen seen = { 0 };
    struct watch *w = NULL;

    place_make(&p);
    assert_int_equal(watch_new(pump->loop, paths, 2, on_change, &seen, &w), -ENOENT);
    assert_int_equal(watch_new(pump->loop, paths, 3, on_change, &seen, &w), -EINVAL);
    assert_null(w);
    place_remove(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_many_events_make_one_call, pump_open, pump_shut),
        cmocka_unit_test_setup_teardown(test_closed_in_its_callback_or_with_news_under_way, pump_open, pump_shut),
        cmocka_unit_test_setup_teardown(test_what_is_not_there_cannot_be_watched, pump_open, pump_shut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
