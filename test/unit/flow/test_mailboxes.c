#include "fake_index.h"

#include "facteur/base/clock.h"
#include "facteur/flow/mailboxes.h"
#include "facteur/io/timer.h"
#include "mailboxes_priv.h"

/* --- a flow with nothing but a loop, a pool and a policy --- */

struct fixture {
    struct flow f;
    struct mailboxes *m;
    struct timer *dog;
    struct dir dir;
    bool late, stopped;
};

static void bark(void *owner)
{
    ((struct fixture *)owner)->late = true;
}

#define RUN_UNTIL(x, condition)                                                                                        \
    do {                                                                                                               \
        while (!(condition)) {                                                                                         \
            assert_false((x)->late);                                                                                   \
            (void)loop_run_once((x)->f.loop);                                                                          \
        }                                                                                                              \
    } while (0)

static int make(void **state)
{
    struct fixture *x = mem_zero(sizeof *x);
    struct err e;

    fake_reset();
    dir_make(&x->dir);
    (void)alarm(FLOW_TEST_SECONDS);
    assert_int_equal(log_open(LOG_TARGET_FILE, in_dir(&x->dir, "log"), LOG_FORMAT_LOGFMT, LOG_LEVEL_INFO, &e), 0);
    assert_int_equal(loop_new(&x->f.loop, &e), 0);
    x->f.pool = job_pool_new(x->f.loop);
    x->f.config = flow_test_config(x->dir.path, 9);
    x->m = x->f.mailboxes = mailboxes_new(&x->f, NULL);
    x->dog = timer_new(x->f.loop, bark, x);
    timer_set(x->dog, 10 * 1000);
    *state = x;
    return 0;
}

static void on_stopped(void *owner)
{
    struct fixture *x = owner;

    assert_false(x->stopped);
    x->stopped = true;
}

static int unmake(void **state)
{
    struct fixture *x = *state;
    struct err e;

    if (!x->stopped && x->m != NULL) {
        mailboxes_stop(x->m, on_stopped, x);
        assert_false(x->stopped); /* on a later turn */
        RUN_UNTIL(x, x->stopped);
    }
    assert_int_equal(fake.opened, fake.closed);
    if (x->m != NULL)
        assert_int_equal(mailboxes_stats(x->m).accounts, 0);
    RUN_UNTIL(x, job_pool_idle(x->f.pool));
    mailboxes_free(&x->m);
    timer_close(&x->dog);
    job_pool_free(&x->f.pool);
    loop_free(&x->f.loop);
    config_unref(&x->f.config);
    assert_int_equal(log_open(LOG_TARGET_NONE, NULL, LOG_FORMAT_LOGFMT, LOG_LEVEL_ERROR, &e), 0);
    dir_remove(&x->dir);
    mem_free(x);
    return 0;
}

static int log_lines(struct fixture *x, const char *word)
{
    char text[8192];
    FILE *file = fopen(in_dir(&x->dir, "log"), "r");
    size_t n;
    int lines = 0;

    log_flush();
    assert_non_null(file);
    n = fread(text, 1, sizeof text - 1, file);
    text[n] = '\0';
    (void)fclose(file);
    for (const char *p = text; (p = strstr(p, word)) != NULL; p++)
        lines++;
    return lines;
}

/* --- a session --- */

struct session {
    struct mailbox_view v; /* first */
    struct account *a;
    struct open_mailbox *box;
    struct job_scope scope;
    int code;
    unsigned answers, changes, checked;
    bool viewing;
    char why[480];
};

static void on_change(struct mailbox_view *v)
{
    ((struct session *)(void *)v)->changes++;
}

static void on_opened(void *owner, int code, struct open_mailbox *box, const struct err *e)
{
    struct session *s = owner;

    s->answers++;
    s->code = code;
    s->box = box;
    if (code < 0) {
        (void)snprintf(s->why, sizeof s->why, "%s", e->text);
        return;
    }
    s->v.on_change = on_change;
    view_open(&s->v, &box->m, false);
    s->viewing = true;
}

static void on_checked(void *owner)
{
    ((struct session *)owner)->checked++;
}

static void session_begin(struct fixture *x, struct session *s, const char *user)
{
    memset(s, 0, sizeof *s);
    job_scope_init(&s->scope);
    s->a = account_open(x->m, user, 0);
}

static void session_select(struct fixture *x, struct session *s, const char *name)
{
    mailbox_open(s->a, slice_str(name), false, &s->scope, on_opened, s);
    assert_int_equal(s->answers, 0);
    RUN_UNTIL(x, s->answers == 1);
}

static void session_end(struct session *s)
{
    job_scope_abandon(&s->scope);
    if (s->viewing)
        view_close(&s->v);
    s->viewing = false;
    mailbox_unref(&s->box);
    account_close(&s->a);
}

static void settle(struct fixture *x) /* until nothing is under way */
{
    RUN_UNTIL(x, job_pool_idle(x->f.pool));
}

/* --- a job --- */

struct task {
    struct account_job j;
    int slices; /* MORE so often */
    bool add;   /* a message to INBOX, each slice */
    bool gate, again, hold;
    int64_t takes_ms; /* of the frozen clock, each slice */
    char letter;
    unsigned runs, done, dropped;
    size_t seen; /* messages in the box when done was called */
};

static int task_run(struct account_job *j, struct index *index)
{
    struct task *t = LIST_ENTRY(j, struct task, j);

    assert_non_null(index);
    if (t->gate)
        fake_gate();
    (void)fake_enter(t->letter, 0);
    t->runs++;
    assert_int_equal(fake.inside++, 0); /* nothing else of this user runs */
    if (t->add)
        fake_add(&fake.folders[0], &j->changes);
    fake.inside--;
    return fake_leave(t->slices-- > 0 ? MORE : DONE);
}

static void task_done(void *owner, struct account_job *j)
{
    struct task *t = LIST_ENTRY(j, struct task, j);
    struct session *s = owner;

    t->done++;
    if (t->takes_ms > 0)
        clock_advance(t->takes_ms);
    t->seen = s->box != NULL ? s->box->m.count : 0;
    if (j->code == MORE && t->hold)
        account_hold(j);
    else if (j->code == MORE && t->again)
        account_start(s->a, &s->scope, j);
}

static void task_drop(struct account_job *j)
{
    LIST_ENTRY(j, struct task, j)->dropped++;
}

static void task_start(struct task *t, struct session *s, char letter)
{
    t->letter = letter;
    t->j.run = task_run;
    t->j.done = task_done;
    t->j.drop = task_drop;
    t->j.owner = s;
    t->j.box = s->box;
    account_start(s->a, &s->scope, &t->j);
    assert_int_equal(t->done, 0);
}

/* --- opening --- */

static void sessions_share_a_mailbox(void **state)
{
    struct fixture *x = *state;
    struct session a, b, c, none;
    struct mailboxes_stats stats;

    fake_others_add(1);
    fake_others_add(1);
    fake.sync_slices = 2;
    session_begin(x, &a, "anna@example.org");
    session_begin(x, &b, "anna@example.org");
    session_begin(x, &c, "anna@example.org");
    session_begin(x, &none, "anna@example.org");
    mailbox_open(a.a, SLICE_LIT("INBOX"), false, &a.scope, on_opened, &a);
    mailbox_open(b.a, SLICE_LIT("inbox"), true, &b.scope, on_opened, &b);
    mailbox_open(c.a, SLICE_LIT("Nowhere"), true, &c.scope, on_opened, &c);
    mailbox_open(none.a, SLICE_LIT("INBOX"), true, &none.scope, on_opened, &none);
    job_scope_abandon(&none.scope);
    RUN_UNTIL(x, a.answers == 1 && b.answers == 1 && c.answers == 1);
    assert_int_equal(a.code, 0);
    assert_ptr_equal(a.box, b.box);
    assert_int_equal(a.box->m.count, 2);
    assert_int_equal(a.box->m.uidvalidity, 7);
    assert_int_equal(fake_count("L1"), 1);
    assert_int_equal(c.code, -ENOENT);
    assert_string_equal(c.why, "as the test wants it");
    assert_null(c.box);
    assert_int_equal(none.answers, 0);
    assert_ptr_equal(mailbox_opened(a.a, 1), a.box);
    assert_null(mailbox_opened(a.a, 2));
    stats = mailboxes_stats(x->m);
    assert_int_equal(stats.accounts, 1);
    assert_int_equal(stats.mailboxes, 1);
    assert_int_equal(stats.views, 2);
    assert_string_equal(account_user(a.a), "anna@example.org");
    settle(x);
    assert_true(fake_called("V1")); /* UIDs for arrivals */
    session_end(&a);
    session_end(&b);
    session_end(&c);
    session_begin(x, &c, "anna@example.org"); /* it is still there, and is looked at again */
    fake_others_add(1);
    session_select(x, &c, "INBOX");
    assert_int_equal(c.box->m.count, 3);
    assert_int_equal(fake_count("L1"), 1);
    assert_int_equal(fake.opened, 1);
    session_end(&c);
    session_end(&none);
}

static void a_check_sees_what_was_there_when_it_was_asked_for(void **state)
{
    struct fixture *x = *state;
    struct session a;

    session_begin(x, &a, "anna@example.org");
    session_select(x, &a, "Sent");
    settle(x);
    fake_gate_set(true);
    mailbox_check(a.box, &a.scope, on_checked, &a);
    fake_gate_await(1); /* it has begun to look … */
    fake_others_add(2);
    mailbox_check(a.box, &a.scope, on_checked, &a); /* … so this one needs another look */
    mailbox_check(a.box, NULL, NULL, NULL);
    fake_gate_set(false);
    RUN_UNTIL(x, a.checked == 2);
    assert_int_equal(a.box->m.count, 1);
    assert_int_equal(a.changes, 1);
    assert_int_equal(fake_count("S2"), 3);
    session_end(&a);
}

/* --- jobs --- */

static void jobs_run_one_by_one_and_share_the_lane(void **state)
{
    struct fixture *x = *state;
    struct session a, b;
    struct task t = { .slices = 2, .add = true, .again = true }, u = { .add = true }, w = { 0 };

    session_begin(x, &a, "anna@example.org");
    session_begin(x, &b, "anna@example.org");
    session_select(x, &a, "INBOX");
    settle(x);
    fake_log_clear();
    t.gate = true;
    fake_gate_set(true);
    task_start(&t, &a, '1');
    task_start(&u, &a, '2');
    task_start(&w, &b, '3');
    fake_gate_set(false);
    RUN_UNTIL(x, t.dropped == 1 && u.dropped == 1 && w.dropped == 1);
    settle(x);
    assert_true(fake_called("12311")); /* a slice, then the others, then the rest */
    assert_int_equal(t.done, 3);
    assert_int_equal(t.seen, 4); /* changes are there when done is called */
    assert_int_equal(u.seen, 2);
    assert_int_equal(a.box->m.count, 4);
    assert_int_equal(a.changes, 4);
    session_end(&a);
    session_end(&b);
}

static void abandoned_work_that_changes_something_is_finished(void **state)
{
    struct fixture *x = *state;
    struct session a, b;
    struct task t = { .slices = 2, .add = true, .gate = true }, u = { .slices = 5 }, w = { .add = true };

    session_begin(x, &a, "anna@example.org");
    session_begin(x, &b, "anna@example.org");
    session_select(x, &a, "INBOX");
    session_select(x, &b, "INBOX");
    settle(x);
    fake_gate_set(true);
    t.j.silent = true;
    t.j.origin = &a.v;
    u.j.reads_only = true;
    task_start(&t, &a, '1');
    task_start(&u, &a, '2');
    task_start(&w, &a, '3');
    fake_gate_await(1);
    session_end(&a);
    fake_gate_set(false);
    RUN_UNTIL(x, t.dropped == 1 && u.dropped == 1 && w.dropped == 1);
    assert_int_equal(t.done + u.done + w.done, 0);
    assert_int_equal(t.runs, 3);
    assert_int_equal(u.runs, 1);
    assert_int_equal(b.box->m.count, 4);
    assert_int_equal(view_count(&b.v), 0);
    assert_true(view_has_news(&b.v, false));
    session_end(&b);
}

static void a_job_waits_for_its_client(void **state)
{
    struct fixture *x = *state;
    struct session a;
    struct task t = { .slices = 2, .add = true, .hold = true }, u = { .slices = 2, .hold = true }, w = { .slices = 1 };

    session_begin(x, &a, "anna@example.org");
    session_select(x, &a, "INBOX");
    task_start(&t, &a, '1');
    task_start(&u, &a, '2');
    task_start(&w, &a, '3');
    RUN_UNTIL(x, t.done == 1 && u.done == 1 && w.done == 1);
    settle(x);
    assert_int_equal(t.dropped + u.dropped, 0);
    assert_int_equal(w.dropped, 1); /* done did nothing: it has ended */
    account_start(a.a, &a.scope, &t.j);
    RUN_UNTIL(x, t.done == 2);
    account_start(a.a, &a.scope, &t.j);
    RUN_UNTIL(x, t.dropped == 1);
    assert_int_equal(t.done, 3);
    assert_int_equal(a.box->m.count, 3);
    account_drop(&u.j);
    assert_int_equal(u.dropped, 1);
    session_end(&a);
}

static void a_copy_reaches_the_sessions_on_its_target(void **state)
{
    struct fixture *x = *state;
    struct session a, b;
    struct task t = { 0 };
    struct mailbox_message m = { .uid = 9, .modseq = 5 };

    session_begin(x, &a, "anna@example.org");
    session_begin(x, &b, "anna@example.org");
    session_select(x, &a, "INBOX");
    session_select(x, &b, "Sent");
    t.j.folder2 = 2;
    mailbox_changes_add(&t.j.changes2, &m);
    task_start(&t, &a, '1');
    RUN_UNTIL(x, t.dropped == 1);
    assert_int_equal(b.box->m.count, 1);
    assert_int_equal(b.changes, 1);
    assert_int_equal(a.changes, 0);
    session_end(&a);
    session_end(&b);
}

struct addition {
    struct mailbox_append m;
    struct index_append items[100];
    struct session *s;
    unsigned done, dropped;
    size_t seen; /* messages in the session's box when done was called */
};

static void addition_done(void *owner, struct mailbox_append *m)
{
    struct addition *t = LIST_ENTRY(m, struct addition, m);

    assert_ptr_equal(owner, t->s);
    t->done++;
    t->seen = t->s->box->m.count;
}

static void addition_drop(struct mailbox_append *m)
{
    LIST_ENTRY(m, struct addition, m)->dropped++;
}

static void addition_start(struct addition *t, struct session *s, const char *name, size_t count, uint64_t size)
{
    memset(t, 0, sizeof *t);
    t->s = s;
    t->m = (struct mailbox_append){ .name = slice_str(name), .items = t->items, .count = count, .owner = s };
    t->m.done = addition_done;
    t->m.drop = addition_drop;
    for (size_t i = 0; i < count; i++)
        t->items[i].size = size;
    mailbox_append(s->a, &s->scope, &t->m);
    assert_int_equal(t->done, 0);
}

/* Two sessions in INBOX, of which the first has a job that holds the lane. */
static void hold_lane(struct fixture *x, struct session *a, struct session *b, struct task *t)
{
    fake.room = 100;
    session_begin(x, a, "anna@example.org");
    session_begin(x, b, "anna@example.org");
    session_select(x, a, "INBOX");
    session_select(x, b, "INBOX");
    settle(x);
    fake_gate_set(true);
    t->gate = true;
    task_start(t, a, '1');
    fake_gate_await(1);
    fake_log_clear();
}

static void appends_that_wait_share_a_job(void **state)
{
    static struct addition one, two, three, sent, nowhere;
    struct fixture *x = *state;
    struct session a, b;
    struct task t = { 0 };

    hold_lane(x, &a, &b, &t);
    addition_start(&one, &a, "INBOX", 2, 1);
    addition_start(&sent, &b, "Sent", 1, 1);
    addition_start(&nowhere, &b, "Nowhere", 1, 1);
    addition_start(&two, &b, "INBOX", 1, 1);
    addition_start(&three, &a, "INBOX", 1, 1);
    job_scope_abandon(&a.scope); /* it is written nevertheless */
    fake_gate_set(false);
    RUN_UNTIL(x, one.dropped + two.dropped + three.dropped + sent.dropped + nowhere.dropped == 5);
    settle(x);
    assert_int_equal(fake_count("+1"), 1);
    assert_int_equal(fake_count("+2"), 1);
    assert_int_equal(one.done + three.done, 0);
    assert_int_equal(two.done + sent.done + nowhere.done, 3);
    assert_int_equal(two.m.code, 0);
    assert_int_equal(two.items[0].uid, 3);
    assert_int_equal(two.m.folder.uidvalidity, 7);
    assert_int_equal(two.seen, 4); /* what has changed is there when done is called */
    assert_int_equal(three.items[0].uid, 4);
    assert_int_equal(b.changes, 1);
    assert_int_equal(nowhere.m.code, -ENOENT);
    assert_int_equal(nowhere.m.folder.id, 0);
    session_end(&a);
    session_end(&b);
}

static void an_append_that_fails_does_so_alone(void **state)
{
    static struct addition small, large, last;
    struct fixture *x = *state;
    struct session a, b;
    struct task t = { 0 };

    hold_lane(x, &a, &b, &t);
    addition_start(&small, &a, "INBOX", 1, 10);
    addition_start(&large, &b, "INBOX", 1, 101);
    addition_start(&last, &a, "INBOX", 1, 10);
    fake_gate_set(false);
    RUN_UNTIL(x, small.dropped + large.dropped + last.dropped == 3);
    settle(x);
    assert_int_equal(fake_count("+1"), 4);
    assert_int_equal(small.m.code, 0);
    assert_int_equal(large.m.code, -EDQUOT);
    assert_string_equal(large.m.err.text, "as the test wants it");
    assert_int_equal(last.m.code, 0);
    assert_int_equal(last.items[0].uid, 2);
    assert_int_equal(a.box->m.count, 2);
    session_end(&a);
    session_end(&b);
}

static void a_job_takes_only_so_many_messages(void **state)
{
    static struct addition many, more[40];
    struct fixture *x = *state;
    struct session a, b;
    struct task t = { 0 };
    unsigned dropped = 0;

    hold_lane(x, &a, &b, &t);
    addition_start(&many, &a, "INBOX", 100, 1); /* one command's are never divided */
    for (size_t i = 0; i < 40; i++)
        addition_start(&more[i], &b, "INBOX", 3, 1);
    fake_gate_set(false);
    RUN_UNTIL(x, many.dropped == 1);
    while (dropped < 40) {
        (void)loop_run_once(x->f.loop);
        dropped = 0;
        for (size_t i = 0; i < 40; i++)
            dropped += more[i].dropped;
    }
    settle(x);
    assert_int_equal(fake_count("+1"), 3); /* 100, 63 and 57 */
    assert_int_equal(a.box->m.count, 220);
    session_end(&a);
    session_end(&b);
}

static void an_index_that_cannot_be_opened_is_tried_again(void **state)
{
    struct fixture *x = *state;
    struct session a;

    fake.open_code = -EACCES;
    session_begin(x, &a, "anna@example.org");
    session_select(x, &a, "INBOX");
    assert_int_equal(a.code, -EACCES);
    assert_int_equal(log_lines(x, "index-not-opened"), 1);
    fake.open_code = 0;
    a.answers = 0;
    session_select(x, &a, "INBOX");
    assert_int_equal(a.code, 0);
    session_end(&a);
}

/* --- deliveries --- */

static void deliver(struct fixture *x, const char *name)
{
    int64_t began = clock_mono_us() + 1; /* after whatever has ended by now */

    fake_write(name);
    mailboxes_delivered(x->m, "anna@example.org", name, 100, 5000, began);
}

static void a_delivery_is_announced_in_its_turn(void **state)
{
    struct fixture *x = *state;
    struct session a, b;
    struct task t = { .gate = true }, u = { 0 };

    deliver(x, "nobody-is-there");
    session_begin(x, &a, "anna@example.org");
    session_begin(x, &b, "anna@example.org");
    session_select(x, &a, "INBOX");
    session_select(x, &b, "INBOX");
    settle(x);
    assert_int_equal(a.box->m.count, 1);
    fake_log_clear();
    fake_gate_set(true);
    t.j.reads_only = true;
    task_start(&t, &a, '1');
    task_start(&u, &a, '2');
    fake_gate_await(1);
    deliver(x, "one");
    assert_int_equal(a.changes, 1);
    assert_int_equal(b.changes, 1);
    assert_int_equal(a.box->m.count, 2);
    assert_int_equal(a.box->m.messages[1].uid, 2);
    assert_int_equal(a.box->m.messages[1].size, 100);
    assert_int_equal(a.box->m.messages[1].internal_ms, 5000);
    deliver(x, "two");
    assert_int_equal(a.box->m.messages[2].uid, 3);
    fake_gate_set(false);
    RUN_UNTIL(x, u.dropped == 1);
    settle(x);
    assert_true(fake_called("1A12")); /* their files are named before anybody asks for them */
    assert_int_equal(a.box->m.count, 3);
    assert_int_equal(mailboxes_stats(x->m).arrivals, 2);
    assert_int_equal(fake.folders[0].count, 3);
    session_end(&a);
    session_end(&b);
}

static void a_delivery_waits_for_who_may_have_found_it(void **state)
{
    struct fixture *x = *state;
    struct session a;
    struct task t = { .gate = true, .add = true };
    int64_t before = clock_mono_us();

    session_begin(x, &a, "anna@example.org");
    session_select(x, &a, "INBOX");
    settle(x);
    fake_gate_set(true);
    task_start(&t, &a, '1'); /* it gives UIDs */
    fake_gate_await(1);
    deliver(x, "one");
    assert_int_equal(a.changes, 0);
    fake_gate_set(false);
    RUN_UNTIL(x, a.box->m.count == 2);
    settle(x);
    fake_write("two");
    mailboxes_delivered(x->m, "anna@example.org", "two", 1, 1, before); /* a look has ended since it began */
    assert_int_equal(a.box->m.count, 2);
    RUN_UNTIL(x, a.box->m.count == 3);
    mailboxes_delivered(x->m, "anna@example.org", "two", 1, 1, 0); /* a copy that was there already */
    settle(x);
    assert_int_equal(a.box->m.count, 3);
    assert_int_equal(mailboxes_stats(x->m).arrivals, 2);
    fake_gate_set(true);
    mailbox_check(a.box, &a.scope, on_checked, &a);
    fake_gate_await(1);
    deliver(x, "three"); /* and the look takes it */
    deliver(x, "four");
    fake_gate_set(false);
    RUN_UNTIL(x, a.checked == 1);
    assert_int_equal(a.box->m.count, 5);
    settle(x);
    assert_int_equal(a.box->m.count, 5);
    assert_int_equal(mailboxes_stats(x->m).arrivals, 2);
    assert_int_equal(log_lines(x, "taken-back"), 0);
    session_end(&a);
}

static void an_arrival_whose_file_has_gone_is_taken_back(void **state)
{
    struct fixture *x = *state;
    struct session a;

    session_begin(x, &a, "anna@example.org");
    session_select(x, &a, "INBOX");
    settle(x);
    fake_log_clear();
    mailboxes_delivered(x->m, "anna@example.org", "taken-by-mutt", 1, 1, clock_mono_us() + 1);
    deliver(x, "one");
    assert_int_equal(a.box->m.count, 2);
    settle(x);
    assert_int_equal(a.box->m.count, 1);
    assert_int_equal(a.box->m.messages[0].uid, 2);
    assert_true(fake_called("S1"));
    assert_int_equal(log_lines(x, "arrival-taken-back"), 1);
    session_end(&a);
}

static void uids_are_kept_ready_for_many(void **state)
{
    struct fixture *x = *state;
    struct session a;
    char name[20];

    session_begin(x, &a, "anna@example.org");
    session_select(x, &a, "INBOX");
    settle(x);
    for (int i = 0; i < 1500; i++) {
        (void)snprintf(name, sizeof name, "m%d", i);
        deliver(x, name);
        if (i % 5 == 0)
            settle(x);
    }
    settle(x);
    assert_int_equal(a.box->m.count, 1500);
    assert_int_equal(mailboxes_stats(x->m).arrivals, 1500);
    assert_in_range(fake_count("V1"), 5, 15);
    for (size_t i = 0; i < 1500; i++)
        assert_int_equal(fake.folders[0].all[i].uid, a.box->m.messages[i].uid);
    session_end(&a);
}

/* --- names that follow the index --- */

static void names_wait_until_nobody_does(void **state)
{
    struct fixture *x = *state;
    struct session a;
    struct task t = { .slices = 3 }, u = { 0 };

    session_begin(x, &a, "anna@example.org");
    session_select(x, &a, "INBOX");
    settle(x);
    fake_log_clear();
    fake.names_due = 250;
    t.again = true;
    task_start(&t, &a, '1');
    task_start(&u, &a, '2');
    RUN_UNTIL(x, u.dropped == 1 && t.dropped == 1);
    assert_int_equal(fake.named, 0);
    RUN_UNTIL(x, fake.named == 3);
    settle(x);
    assert_true(fake_called("n1n1n1"));
    assert_int_equal(fake.names_due, 0);
    session_end(&a);
}

static void many_names_go_between(void **state)
{
    struct fixture *x = *state;
    struct session a;
    struct task t = { .slices = 7, .again = true, .takes_ms = 50 };

    session_begin(x, &a, "anna@example.org");
    session_select(x, &a, "INBOX");
    settle(x);
    fake_log_clear();
    fake.names_due = 100000;
    clock_freeze(clock_mono_ms(), clock_wall_ms());
    task_start(&t, &a, '1');
    RUN_UNTIL(x, t.done == 7);
    assert_int_equal(fake_count("n1"), 3); /* one for every 100 ms */
    fake.names_due = 0;
    RUN_UNTIL(x, t.dropped == 1);
    settle(x);
    clock_thaw();
    session_end(&a);
}

static void a_failure_is_said_once_and_tried_again(void **state)
{
    struct fixture *x = *state;
    struct session a;
    struct task t = { 0 };
    int64_t began = clock_mono_ms();

    session_begin(x, &a, "anna@example.org");
    session_select(x, &a, "INBOX");
    settle(x);
    fake.names_code = -EIO;
    fake.names_due = 50;
    task_start(&t, &a, '1');
    RUN_UNTIL(x, fake.named == 2); /* the second comes after a while */
    settle(x);
    assert_true(clock_mono_ms() - began >= 1000);
    assert_int_equal(log_lines(x, "names-not-written"), 1);
    fake.names_code = 0;
    fake.names_due = 0;
    session_end(&a);
}

/* --- other programs --- */

static void a_change_of_the_directory_is_seen(void **state)
{
    struct fixture *x = *state;
    struct session a;
    int fd;

    assert_int_equal(mkdir(in_dir(&x->dir, "cur"), 0700) | mkdir(in_dir(&x->dir, "new"), 0700), 0);
    fake.path = x->dir.path;
    session_begin(x, &a, "anna@example.org");
    session_select(x, &a, "INBOX");
    settle(x);
    fake_others_add(1);
    fd = open(in_dir(&x->dir, "new/1"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    (void)close(fd);
    RUN_UNTIL(x, a.box->m.count == 1);
    assert_int_equal(a.changes, 1);
    session_end(&a);
}

static void a_folder_that_vanishes_is_gone(void **state)
{
    struct fixture *x = *state;
    struct session a, b;

    session_begin(x, &a, "anna@example.org");
    session_begin(x, &b, "anna@example.org");
    session_select(x, &a, "Sent");
    settle(x);
    fake.gone = true;
    mailbox_check(a.box, &a.scope, on_checked, &a);
    RUN_UNTIL(x, a.checked == 1);
    assert_true(a.box->gone);
    assert_int_equal(a.changes, 1);
    assert_null(mailbox_opened(a.a, 2));
    fake.gone = false;
    session_select(x, &b, "Sent");
    assert_int_equal(b.code, 0);
    assert_ptr_not_equal(a.box, b.box);
    mailbox_mark_gone(b.box);
    assert_int_equal(b.changes, 1);
    mailbox_check(b.box, &b.scope, on_checked, &b);
    RUN_UNTIL(x, b.checked == 1);
    session_end(&a);
    session_end(&b);
}

static void a_rebuilt_index_is_compared_with_what_was_told(void **state)
{
    struct fixture *x = *state;
    struct session a;
    struct task t = { 0 };

    fake_others_add(1);
    fake_others_add(1);
    session_begin(x, &a, "anna@example.org");
    session_select(x, &a, "INBOX");
    settle(x);
    fake.rebuilt = true;
    fake.folders[0].all[0] = fake.folders[0].all[1];
    fake.folders[0].count = 1;
    task_start(&t, &a, '1');
    RUN_UNTIL(x, a.box->m.count == 1);
    settle(x);
    assert_int_equal(log_lines(x, "index-rebuilt"), 1);
    assert_int_equal(mailboxes_stats(x->m).rebuilt, 1);
    assert_false(a.box->gone);
    fake.rebuilt = true;
    fake.folders[0].uidvalidity = 8; /* nothing that clients know holds any more */
    mailbox_check(a.box, &a.scope, on_checked, &a);
    RUN_UNTIL(x, a.box->gone);
    settle(x);
    session_end(&a);
}

static void a_look_that_fails_is_said(void **state)
{
    struct fixture *x = *state;
    struct session a;

    session_begin(x, &a, "anna@example.org");
    session_select(x, &a, "INBOX");
    settle(x);
    fake.sync_code = -EIO;
    mailbox_check(a.box, &a.scope, on_checked, &a);
    RUN_UNTIL(x, a.checked == 1);
    settle(x);
    mailbox_check(a.box, &a.scope, on_checked, &a);
    RUN_UNTIL(x, a.checked == 2);
    assert_int_equal(log_lines(x, "mailbox-not-read"), 1);
    assert_false(a.box->gone);
    fake.sync_code = 0;
    session_end(&a);
}

/* --- what nobody waits for, and the end --- */

static void background_work_gives_way(void **state)
{
    struct fixture *x = *state;
    struct session a, b;
    struct task t = { .gate = true }, u = { 0 };

    fake.folders[0].prepare_slices = 3;
    fake.folders[0].search_slices = 2;
    fake.folders[1].prepare_slices = 1;
    session_begin(x, &a, "anna@example.org");
    session_begin(x, &b, "bob@example.org");
    fake_gate_set(true);
    mailbox_open(a.a, SLICE_LIT("INBOX"), false, &a.scope, on_opened, &a);
    task_start(&t, &a, '1');
    task_start(&u, &a, '2');
    fake_gate_set(false);
    RUN_UNTIL(x, u.dropped == 1 && a.answers == 1);
    session_select(x, &b, "Sent");
    RUN_UNTIL(x, fake_count("p1") + fake_count("q1") + fake_count("p2") + fake_count("q2") == 10);
    settle(x);
    assert_int_equal(fake_count("p1"), 4);
    assert_int_equal(fake_count("q1"), 3);
    assert_int_equal(fake_count("p2"), 2);
    assert_int_equal(fake_count("q2"), 1);
    assert_true(strstr(fake.log, "2") < strstr(fake.log, "p")); /* after everything that waited */
    assert_true(strstr(fake.log, "q1") > strstr(fake.log, "p1p"));
    session_end(&a);
    session_end(&b);
}

/* A client that says one thing after the other finds its lane free each time, until the work has been put off for long. */
static void background_work_waits_for_a_pause(void **state)
{
    struct fixture *x = *state;
    struct session a;
    int64_t waited = 0;

    fake.folders[0].prepare_slices = 5;
    clock_freeze(clock_mono_ms(), clock_wall_ms());
    session_begin(x, &a, "anna@example.org");
    session_select(x, &a, "INBOX");
    for (; waited < MAILBOXES_LATE_MS - 2 * MAILBOXES_PAUSE_MS; waited += MAILBOXES_PAUSE_MS - 1) {
        struct task t = { 0 };

        clock_advance(MAILBOXES_PAUSE_MS - 1);
        task_start(&t, &a, '1');
        RUN_UNTIL(x, t.dropped == 1);
        settle(x);
        assert_int_equal(fake_count("p1"), 0);
    }
    for (int i = 0; i < 3; i++) { /* in a row without a pause: one slice, then it waits again */
        struct task t = { 0 };

        clock_advance(MAILBOXES_PAUSE_MS - 1);
        task_start(&t, &a, '1');
        RUN_UNTIL(x, t.dropped == 1);
        settle(x);
    }
    assert_int_equal(fake_count("p1"), 1);
    clock_advance(MAILBOXES_PAUSE_MS);
    RUN_UNTIL(x, fake_count("p1") == 6 && fake_count("q1") == 1); /* a pause: all of it, without more of them */
    settle(x);
    clock_thaw();
    session_end(&a);
}

static void recents_are_noted_when_the_sessions_have_gone(void **state)
{
    struct fixture *x = *state;
    struct session a;

    fake_others_add(1);
    session_begin(x, &a, "anna@example.org");
    session_select(x, &a, "INBOX");
    settle(x);
    assert_int_equal(ranges_count(&a.v.recent), 1);
    assert_false(fake_called("R1"));
    session_end(&a);
    settle(x);
    assert_true(fake_called("R1"));
    assert_int_equal(fake.folders[0].first_recent, 2);
}

static void few_idle_accounts_are_kept(void **state)
{
    struct fixture *x = *state;
    struct session many[MAILBOXES_IDLE + 3];
    char user[40];

    for (int i = 0; i < MAILBOXES_IDLE + 3; i++) {
        (void)snprintf(user, sizeof user, "user%d@example.org", i);
        session_begin(x, &many[i], user);
        session_select(x, &many[i], "INBOX");
    }
    settle(x);
    assert_int_equal(fake.closed, 0);
    for (int i = 0; i < MAILBOXES_IDLE + 3; i++)
        session_end(&many[i]);
    settle(x);
    assert_int_equal(fake.closed, 3);
    assert_int_equal(mailboxes_stats(x->m).accounts, MAILBOXES_IDLE);
    session_begin(x, &many[0], "user0@example.org");
    session_select(x, &many[0], "INBOX");
    assert_int_equal(fake.opened, MAILBOXES_IDLE + 4);
    session_end(&many[0]);
}

static void few_indexes_stay_awake(void **state)
{
    struct fixture *x = *state;
    struct session four[4];
    struct task t = { 0 };
    char user[40];

    x->m->quiet_most = 2;
    for (int i = 0; i < 4; i++) {
        (void)snprintf(user, sizeof user, "user%d@example.org", i);
        session_begin(x, &four[i], user);
        session_select(x, &four[i], "INBOX");
    }
    RUN_UNTIL(x, fake.rested == 2); /* long before ten seconds of quiet are over */
    settle(x);
    assert_int_equal(x->m->quiet_count, 2);
    assert_int_equal(fake.rested, 2);
    task_start(&t, &four[0], '1'); /* it wakes, and the next one rests instead */
    RUN_UNTIL(x, fake.rested == 3);
    assert_int_equal(x->m->quiet_count, 2);
    for (int i = 0; i < 4; i++)
        session_end(&four[i]);
}

static void stopping_waits_for_the_sessions(void **state)
{
    struct fixture *x = *state;
    struct session a, b;
    struct task t = { .gate = true, .add = true };

    session_begin(x, &a, "anna@example.org");
    session_begin(x, &b, "bob@example.org");
    session_select(x, &a, "INBOX");
    session_select(x, &b, "INBOX");
    settle(x);
    session_end(&b);
    fake_gate_set(true);
    task_start(&t, &a, '1');
    mailboxes_stop(x->m, on_stopped, x);
    RUN_UNTIL(x, fake_called("C"));
    assert_false(x->stopped);
    session_end(&a);
    mailboxes_delivered(x->m, "anna@example.org", "late", 1, 1, clock_mono_us());
    fake_gate_set(false);
    RUN_UNTIL(x, x->stopped);
    assert_int_equal(t.runs, 1);
    assert_int_equal(t.dropped, 1);
}

static void a_session_may_come_while_the_index_closes(void **state)
{
    struct fixture *x = *state;
    struct session a, b;

    session_begin(x, &a, "anna@example.org");
    session_select(x, &a, "INBOX");
    settle(x);
    mailboxes_stop(x->m, on_stopped, x);
    session_end(&a);                          /* closes now … */
    session_begin(x, &b, "anna@example.org"); /* … and has to be opened again */
    session_select(x, &b, "INBOX");
    assert_int_equal(b.code, 0);
    assert_int_equal(fake.opened, 2);
    assert_false(x->stopped);
    session_end(&b);
    RUN_UNTIL(x, x->stopped);
}

static void the_end_may_come_in_haste(void **state)
{
    struct fixture *x = *state;
    struct session a, b;
    struct task t = { .gate = true, .slices = 3, .again = true }, u = { 0 };
    static struct addition waiting;

    session_begin(x, &a, "anna@example.org");
    session_begin(x, &b, "bob@example.org");
    session_select(x, &a, "INBOX");
    session_select(x, &b, "INBOX");
    settle(x);
    fake_gate_set(true);
    task_start(&t, &a, '1');
    task_start(&u, &a, '2');
    fake_gate_await(1);
    deliver(x, "one");
    addition_start(&waiting, &a, "INBOX", 1, 1);
    job_scope_abandon(&a.scope);
    view_close(&a.v);
    view_close(&b.v);
    fake_gate_set(false);
    mailboxes_free(&x->m);
    assert_int_equal(t.runs, 1);
    assert_int_equal(t.dropped, 1);
    assert_int_equal(u.runs, 0);
    assert_int_equal(u.dropped, 1);
    assert_int_equal(waiting.dropped, 1);
    assert_int_equal(waiting.done, 0);
}

static void quota_warnings_are_few(void **state)
{
    struct fixture *x = *state;

    mailboxes_filled(x->m, "anna@example.org", 79000, 100000);
    mailboxes_filled(x->m, "anna@example.org", 100000, 0);
    assert_int_equal(log_lines(x, "quota-warning"), 0);
    for (int i = 0; i < 10; i++) {
        mailboxes_filled(x->m, "anna@example.org", 81000, 100000);
        mailboxes_filled(x->m, "anna@example.org", 97000, 100000);
        mailboxes_filled(x->m, "bob@example.org", UINT64_MAX, 5);
    }
    assert_int_equal(log_lines(x, "quota-warning"), 3);
    clock_freeze(clock_mono_ms(), clock_wall_ms());
    clock_advance(QUOTA_WARN_MS + 1);
    mailboxes_filled(x->m, "anna@example.org", 97000, 100000);
    clock_thaw();
    assert_int_equal(log_lines(x, "quota-warning"), 4);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make, unmake)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(sessions_share_a_mailbox),
        TEST(a_check_sees_what_was_there_when_it_was_asked_for),
        TEST(appends_that_wait_share_a_job),
        TEST(an_append_that_fails_does_so_alone),
        TEST(a_job_takes_only_so_many_messages),
        TEST(jobs_run_one_by_one_and_share_the_lane),
        TEST(abandoned_work_that_changes_something_is_finished),
        TEST(a_job_waits_for_its_client),
        TEST(a_copy_reaches_the_sessions_on_its_target),
        TEST(an_index_that_cannot_be_opened_is_tried_again),
        TEST(a_delivery_is_announced_in_its_turn),
        TEST(a_delivery_waits_for_who_may_have_found_it),
        TEST(an_arrival_whose_file_has_gone_is_taken_back),
        TEST(names_wait_until_nobody_does),
        TEST(many_names_go_between),
        TEST(a_failure_is_said_once_and_tried_again),
        TEST(uids_are_kept_ready_for_many),
        TEST(a_change_of_the_directory_is_seen),
        TEST(a_folder_that_vanishes_is_gone),
        TEST(a_rebuilt_index_is_compared_with_what_was_told),
        TEST(a_look_that_fails_is_said),
        TEST(background_work_gives_way),
        TEST(background_work_waits_for_a_pause),
        TEST(recents_are_noted_when_the_sessions_have_gone),
        TEST(few_idle_accounts_are_kept),
        TEST(few_indexes_stay_awake),
        TEST(stopping_waits_for_the_sessions),
        TEST(a_session_may_come_while_the_index_closes),
        TEST(the_end_may_come_in_haste),
        TEST(quota_warnings_are_few),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
