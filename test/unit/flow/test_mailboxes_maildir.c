/* Sessions, deliveries and other programs at work on one Maildir, at random, with the real index: what each session has
 * been told must be what its view says, and in the end what is on the disk; a UID never means another message. */
#include "flow_test.h"

#include "facteur/base/clock.h"
#include "facteur/flow/mailboxes.h"
#include "facteur/io/timer.h"

enum { SESSIONS = 4, KNOWN = 3000, TOKENS = 200000, MANY = 150 };

static const char *const user = "anna@example.org";

struct session {
    struct mailbox_view v; /* first */
    struct world *w;
    struct account *a;
    struct open_mailbox *box;
    struct job_scope scope;
    struct {
        uint32_t uid;
        uint8_t flags;
    } known[KNOWN]; /* as it was told */
    uint32_t count;
    bool opening, read_only;
    unsigned checked;
};

struct world {
    struct flow f;
    struct mailboxes *m;
    struct timer *step, *dog;
    struct dir dir;
    struct session sessions[SESSIONS];
    uint64_t seed;
    uint32_t token_of[TOKENS]; /* by UID; 0: not seen yet */
    uint32_t tokens;           /* messages made */
    uint32_t highest;          /* UID that a session has heard of */
    int steps, jobs;
    unsigned delivered, at_once, damaged;
    int64_t latency_us[4096]; /* from the start of a delivery to the first session that hears of it */
    unsigned latencies;
    int64_t began_us; /* of the delivery that is being announced; 0: none */
    bool late, stopped;
};

#define RUN_UNTIL(x, condition)                                                                                        \
    do {                                                                                                               \
        while (!(condition)) {                                                                                         \
            assert_false((x)->late);                                                                                   \
            (void)loop_run_once((x)->f.loop);                                                                          \
        }                                                                                                              \
    } while (0)

static uint32_t pick(struct world *w, uint32_t bound)
{
    w->seed = w->seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(w->seed >> 33) % bound;
}

/* --- what sessions are told --- */

static void on_expunge(void *to, uint32_t seq)
{
    struct session *s = to;

    assert_true(seq >= 1 && seq <= s->count);
    memmove(&s->known[seq - 1], &s->known[seq], (s->count - seq) * sizeof s->known[0]);
    s->count--;
}

static void fetch(struct session *s, uint32_t seq)
{
    const struct mailbox_message *m;

    assert_true(seq <= KNOWN);
    s->known[seq - 1].uid = view_uid(&s->v, seq);
    assert_true(seq == 1 || s->known[seq - 1].uid > s->known[seq - 2].uid);
    m = mailbox_find(s->v.mailbox, s->known[seq - 1].uid);
    s->known[seq - 1].flags = m != NULL ? m->flags : 0;
    if (s->known[seq - 1].uid > s->w->highest)
        s->w->highest = s->known[seq - 1].uid;
}

static void on_exists(void *to, uint32_t count)
{
    struct session *s = to;

    assert_true(count >= s->count);
    while (s->count < count)
        fetch(s, ++s->count);
}

static void on_flags(void *to, uint32_t seq, const struct mailbox_message *m, bool recent)
{
    struct session *s = to;

    (void)recent;
    assert_true(seq >= 1 && seq <= s->count);
    assert_int_equal(s->known[seq - 1].uid, m->uid);
    s->known[seq - 1].flags = m->flags;
}

static const struct view_events told = { .expunge = on_expunge, .exists = on_exists, .flags = on_flags };

static void compare(const struct session *s)
{
    assert_int_equal(view_count(&s->v), s->count);
    for (uint32_t i = 0; i < s->count; i++) {
        assert_int_equal(view_uid(&s->v, i + 1), s->known[i].uid);
        assert_int_equal(view_seq(&s->v, s->known[i].uid), i + 1);
    }
}

static void on_change(struct mailbox_view *v)
{
    struct session *s = (struct session *)(void *)v;

    if (s->w->began_us != 0 && s->w->latencies < 4096)
        s->w->latency_us[s->w->latencies++] = clock_mono_us() - s->w->began_us;
    s->w->began_us = 0;
    if (s == &s->w->sessions[0]) /* one is in IDLE: it hears of everything at once */
        view_sync(v, true, &told, s);
}

static void on_opened(void *owner, int code, struct open_mailbox *box, const struct err *e)
{
    struct session *s = owner;

    if (code < 0)
        fail_msg("open: %s", e->text);
    s->opening = false;
    s->box = box;
    s->v.on_change = on_change;
    view_open(&s->v, &box->m, s->read_only);
    for (s->count = 0; s->count < view_count(&s->v);)
        fetch(s, ++s->count);
}

static void session_open(struct world *w, struct session *s)
{
    s->w = w;
    s->opening = true;
    job_scope_init(&s->scope);
    s->a = account_open(w->m, user, 0);
    mailbox_open(s->a, SLICE_LIT("INBOX"), s->read_only, &s->scope, on_opened, s);
}

static void session_close(struct session *s)
{
    job_scope_abandon(&s->scope);
    if (s->box != NULL)
        view_close(&s->v);
    mailbox_unref(&s->box);
    account_close(&s->a);
    s->count = 0;
}

/* --- messages: each has a number of its own in it --- */

static size_t make_text(struct world *w, char *to, size_t room)
{
    return (size_t)snprintf(to, room, "Subject: %u\nFrom: a@example.org\n\nText.\n", (unsigned)++w->tokens);
}

struct delivery {
    struct job job;
    struct world *w;
    struct maildirs *maildirs;
    struct maildir_delivery d;
    char text[100];
    struct err err;
    int code;
    int64_t began_us;
};

static void run_delivery(struct job *job)
{
    struct delivery *d = LIST_ENTRY(job, struct delivery, job);

    d->code = maildir_deliver(d->maildirs, NULL, &d->d, &d->err);
}

static void delivery_done(void *owner, struct job *job)
{
    struct delivery *d = LIST_ENTRY(job, struct delivery, job);
    struct world *w = owner;
    uint64_t before = mailboxes_stats(w->m).arrivals;

    if (d->code < 0)
        fail_msg("deliver: %s", d->err.text);
    (void)close(d->d.fd);
    w->jobs--;
    w->began_us = d->began_us;
    mailboxes_delivered(w->m, user, d->d.name, d->d.wire_size, d->d.received_ms, d->began_us);
    w->began_us = 0;
    w->at_once += mailboxes_stats(w->m).arrivals > before;
}

static void delivery_drop(struct job *job)
{
    mem_free(LIST_ENTRY(job, struct delivery, job));
}

static void deliver(struct world *w)
{
    struct delivery *d = mem_zero(sizeof *d);

    d->w = w;
    d->maildirs = w->f.maildirs;
    d->d.user = user;
    d->d.id = ++w->delivered;
    d->d.received_ms = clock_wall_ms();
    d->d.body = slice_make(d->text, make_text(w, d->text, sizeof d->text));
    d->d.size = d->d.body.n;
    d->d.wire_size = d->d.size + 4;
    d->d.fd = -1;
    d->job.run = run_delivery;
    d->job.done = delivery_done;
    d->job.drop = delivery_drop;
    d->job.owner = w;
    d->began_us = clock_mono_us();
    w->jobs++;
    job_start(w->f.pool, JOB_DISK, NULL, &d->job);
}

/* --- what sessions do --- */

enum what { STORE, EXPUNGE, APPEND, COPY_IN, MOVE_OUT };

struct work {
    struct account_job j;
    struct world *w;
    enum what what;
    struct ranges uids, from_uids, to_uids;
    uint32_t from, folder, other;
    struct index_store op;
    char text[100];
    struct index_append item;
};

static int work_run(struct account_job *j, struct index *x)
{
    struct work *k = LIST_ENTRY(j, struct work, j);
    struct ranges modified = { 0 };
    struct index_folder sent;
    int r = index_folder(x, SLICE_LIT("Sent"), &sent, &j->err);

    if (r < 0)
        return r;
    switch (k->what) {
    case STORE:
        r = index_store(x, k->folder, &k->uids, &k->from, &k->op, &j->changes, &modified, &j->err);
        ranges_clear(&modified);
        return r;
    case EXPUNGE:
        return index_expunge(x, k->folder, &k->uids, &k->from, true, &j->changes, &j->err);
    case APPEND:
        return index_append(x, NULL, k->folder, &k->item, 1, &j->changes, &j->err);
    case COPY_IN: /* what lies in Sent comes back */
        j->folder2 = k->folder;
        return index_copy(x, sent.id, &k->uids, k->folder, true, &j->changes, &j->changes2, &k->from_uids, &k->to_uids,
                          &j->err);
    case MOVE_OUT:
        j->folder2 = sent.id;
        return index_copy(x, k->folder, &k->uids, sent.id, true, &j->changes, &j->changes2, &k->from_uids, &k->to_uids,
                          &j->err);
    }
    return 0;
}

static void work_drop(struct account_job *j)
{
    struct work *k = LIST_ENTRY(j, struct work, j);

    if (j->code < 0 && j->code != -ENOENT)
        fail_msg("job %d: %s", (int)k->what, j->err.text);
    k->w->jobs--;
    mailbox_changes_clear(&j->changes);
    mailbox_changes_clear(&j->changes2);
    ranges_clear(&k->uids);
    ranges_clear(&k->from_uids);
    ranges_clear(&k->to_uids);
    mem_free(k);
}

static void work(struct world *w, struct session *s, enum what what)
{
    struct work *k = mem_zero(sizeof *k);
    uint32_t share = 1 + pick(w, 20);

    k->w = w;
    k->what = what;
    k->folder = s->box->folder.id;
    for (uint32_t i = 0; i < s->count && what != COPY_IN; i++)
        if (pick(w, what == STORE ? share : 8 + share) == 0)
            assert_int_equal(ranges_add(&k->uids, s->known[i].uid, s->known[i].uid), 0);
    if (what == COPY_IN)
        assert_int_equal(ranges_add(&k->uids, 1, 100000), 0);
    k->op.how = (enum index_how)pick(w, 3);
    k->op.flags = (uint8_t)pick(w, 32);
    k->item.body = slice_make(k->text, make_text(w, k->text, sizeof k->text));
    k->item.size = k->item.body.n;
    k->item.wire_size = k->item.size + 4;
    k->item.internal_ms = 1000;
    k->j.run = work_run;
    k->j.drop = work_drop;
    k->j.owner = s;
    if (what != COPY_IN)
        k->j.box = s->box;
    k->j.origin = &s->v;
    w->jobs++;
    account_start(s->a, &s->scope, &k->j);
}

/* --- what other programs do --- */

static const char *in_maildir(const struct world *w, const char *place, const char *name)
{
    static char paths[4][1200];
    static unsigned next;
    char *p = paths[next++ % 4];

    (void)snprintf(p, sizeof paths[0], "%s/mail/example.org/anna/Maildir/%s/%s", w->dir.path, place, name);
    return p;
}

/* A file of the directory, by chance. */
static bool some_file(struct world *w, const char *place, char name[256])
{
    DIR *d = opendir(in_maildir(w, place, "."));
    const struct dirent *entry;
    uint32_t n = 0;

    assert_non_null(d);
    while ((entry = readdir(d)) != NULL)
        if (entry->d_name[0] != '.' && pick(w, ++n) == 0)
            (void)snprintf(name, 256, "%.255s", entry->d_name);
    (void)closedir(d);
    return n > 0;
}

static void other_adds(struct world *w)
{
    const struct timespec complete[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = 1600000000 } };
    char text[100], name[64];
    size_t n = make_text(w, text, sizeof text);
    const char *place = pick(w, 2) == 0 ? "cur" : "new";

    (void)snprintf(name, sizeof name, "1700000000.%u.other%s", (unsigned)w->tokens,
                   place[0] == 'c' && pick(w, 2) == 0 ? ":2,S" : "");
    file_write(in_maildir(w, "tmp", name), text, n);
    assert_int_equal(utimensat(AT_FDCWD, in_maildir(w, "tmp", name), complete, 0), 0);
    assert_int_equal(rename(in_maildir(w, "tmp", name), in_maildir(w, place, name)), 0);
}

static void other_renames(struct world *w)
{
    static const char *const letters[] = { "", "S", "F", "FS", "RS", "DST", "T" };
    const char *place = pick(w, 3) == 0 ? "new" : "cur";
    char name[256], to[300];

    if (!some_file(w, place, name))
        return;
    (void)snprintf(to, sizeof to, "%.*s:2,%s", (int)strcspn(name, ":"), name, letters[pick(w, 7)]);
    (void)rename(in_maildir(w, place, name), in_maildir(w, "cur", to)); /* the server may have been faster */
}

static void other_removes(struct world *w)
{
    char name[256];

    if (some_file(w, "cur", name))
        (void)unlink(in_maildir(w, "cur", name));
}

static void lose_index(struct world *w)
{
    static const char *const files[] = { "index.db", "index.db-wal", "index.db-shm" };

    for (size_t i = 0; i < 3; i++) {
        char path[600];

        (void)snprintf(path, sizeof path, "%s/mail/example.org/anna/%s", w->dir.path, files[i]);
        (void)unlink(path);
    }
    w->damaged++;
}

/* --- the whole --- */

static void on_checked(void *owner)
{
    ((struct session *)owner)->checked++;
}

static void session_step(struct world *w, struct session *s)
{
    uint32_t what = pick(w, 100);

    if (s->opening)
        return;
    compare(s);
    if (what < 40)
        view_sync(&s->v, pick(w, 2) == 0, &told, s);
    else if (what < 60)
        work(w, s, STORE);
    else if (what < 66)
        work(w, s, s->box->m.count > MANY ? EXPUNGE : APPEND);
    else if (what < 70)
        work(w, s, MOVE_OUT);
    else if (what < 73)
        work(w, s, COPY_IN);
    else if (what < 80)
        mailbox_check(s->box, &s->scope, on_checked, s);
    else if (what < 82 && s != &w->sessions[0]) {
        session_close(s);
        session_open(w, s);
    }
}

static void step(void *owner)
{
    struct world *w = owner;
    uint32_t what = pick(w, 100);

    if (w->steps > 0 && w->jobs < 20) {
        if (what < 35)
            session_step(w, &w->sessions[pick(w, SESSIONS)]);
        else if (what < 60)
            deliver(w);
        else if (what < 68)
            other_adds(w);
        else if (what < 85)
            other_renames(w);
        else if (what < 99)
            other_removes(w);
        else if (pick(w, 4) == 0)
            lose_index(w);
        w->steps--;
    }
    if (w->steps > 0)
        timer_set(w->step, pick(w, 2));
}

/* 0: the file is just getting another name. */
static uint32_t token_in(const char *path)
{
    char text[100] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    unsigned token = 0;

    if (fd < 0)
        return 0;
    (void)close(fd);
    assert_true(n > 0);
    text[n] = '\0';
    assert_int_equal(sscanf(text, "Subject: %u", &token), 1);
    return token;
}

static bool has_letter(const char *info, char letter)
{
    return strchr(info, letter) != NULL;
}

/* Whether a file's UID and flags are the mailbox's. */
static bool is_known(struct world *w, const struct mailbox *m, const char *name)
{
    const char *u = strstr(name, ",U="), *info = strchr(name, ':');
    uint32_t uid = u != NULL ? (uint32_t)strtoul(u + 3, NULL, 10) : 0, token;
    const struct mailbox_message *message = mailbox_find(m, uid);

    if (message == NULL || info == NULL)
        return false;
    assert_true(uid < TOKENS);
    token = token_in(in_maildir(w, "cur", name));
    if (token == 0)
        return false;
    assert_true(w->token_of[uid] == 0 || w->token_of[uid] == token); /* no other message has had it */
    w->token_of[uid] = token;
    return has_letter(info, 'S') == ((message->flags & FLAG_SEEN) != 0) &&
           has_letter(info, 'T') == ((message->flags & FLAG_DELETED) != 0) &&
           has_letter(info, 'F') == ((message->flags & FLAG_FLAGGED) != 0);
}

static bool same_as_disk(struct world *w, const struct mailbox *m)
{
    DIR *d = opendir(in_maildir(w, "cur", "."));
    const struct dirent *entry;
    bool same = dir_count(in_maildir(w, "new", "."), NULL) == 0;
    size_t files = 0;

    assert_non_null(d);
    while (same && (entry = readdir(d)) != NULL)
        if (entry->d_name[0] != '.') {
            files++;
            same = is_known(w, m, entry->d_name);
        }
    (void)closedir(d);
    return same && files == m->count;
}

static bool all_open(const struct world *w)
{
    for (int i = 0; i < SESSIONS; i++)
        if (w->sessions[i].opening)
            return false;
    return true;
}

/* Everything stands still; then all have the same, and it is what is there. */
static void check_all(struct world *w)
{
    struct session *s = &w->sessions[0];

    RUN_UNTIL(w, w->jobs == 0 && all_open(w));
    do { /* what hid behind a change of the same moment is seen after a while */
        s->checked = 0;
        mailbox_check(s->box, &s->scope, on_checked, s);
        RUN_UNTIL(w, s->checked >= 1); /* more: an earlier step's look was answered in the same turn */
        timer_set(w->step, 20);        /* at the latest */
        (void)loop_run_once(w->f.loop);
    } while (!same_as_disk(w, &s->box->m));
    for (int i = 0; i < SESSIONS; i++) {
        struct session *each = &w->sessions[i];

        view_sync(&each->v, true, &told, each);
        compare(each);
        if (each->v.hidden.set.count == 0)
            assert_int_equal(each->count, s->box->m.count);
        for (uint32_t k = 0; k < each->count; k++)
            assert_int_equal(each->known[k].flags, mailbox_find(&s->box->m, each->known[k].uid)->flags);
    }
}

/* In quiet times nearly every delivery is announced in its turn. */
static void deliver_quietly(struct world *w, unsigned count)
{
    unsigned before = w->at_once;

    w->latencies = 0;
    for (unsigned i = 0; i < count; i++) {
        deliver(w);
        RUN_UNTIL(w, w->jobs == 0);
        RUN_UNTIL(w, job_pool_idle(w->f.pool));
    }
    assert_true(w->at_once - before > count / 2);
}

static int prepare(int fd, uint64_t stored, struct arena *a, struct index_prepared *ret)
{
    (void)fd;
    (void)stored;
    (void)a;
    *ret = (struct index_prepared){ .envelope = SLICE_LIT("()"), .structure = SLICE_LIT("()") };
    return 0;
}

static void bark(void *owner)
{
    ((struct world *)owner)->late = true;
}

static void world_make(struct world *w, uint64_t seed, int seconds)
{
    struct err e;

    memset(w, 0, sizeof *w);
    w->seed = seed;
    dir_make(&w->dir);
    (void)alarm((unsigned)seconds + 5);
    assert_int_equal(log_open(LOG_TARGET_NONE, NULL, LOG_FORMAT_LOGFMT, LOG_LEVEL_ERROR, &e), 0);
    assert_int_equal(loop_new(&w->f.loop, &e), 0);
    w->f.pool = job_pool_new(w->f.loop);
    w->f.config = flow_test_config(w->dir.path, 9);
    assert_int_equal(maildirs_open(w->dir.path, &w->f.maildirs, &e), 0);
    assert_int_equal(maildir_make(w->f.maildirs, user, &e), 0);
    w->m = mailboxes_new(&w->f, prepare);
    w->dog = timer_new(w->f.loop, bark, w);
    timer_set(w->dog, seconds * 1000);
    w->step = timer_new(w->f.loop, step, w);
    for (int i = 0; i < SESSIONS; i++) {
        w->sessions[i].read_only = i == 3;
        session_open(w, &w->sessions[i]);
    }
}

static void on_stopped(void *owner)
{
    ((struct world *)owner)->stopped = true;
}

static void world_end(struct world *w)
{
    for (int i = 0; i < SESSIONS; i++)
        session_close(&w->sessions[i]);
    mailboxes_stop(w->m, on_stopped, w);
    RUN_UNTIL(w, w->stopped && job_pool_idle(w->f.pool));
    mailboxes_free(&w->m);
    timer_close(&w->step);
    timer_close(&w->dog);
    maildirs_close(&w->f.maildirs);
    job_pool_free(&w->f.pool);
    loop_free(&w->f.loop);
    config_unref(&w->f.config);
    dir_remove(&w->dir);
}

static int by_number(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return x < y ? -1 : x > y;
}

static void print_latency(struct world *w, const char *when, uint64_t seed)
{
    qsort(w->latency_us, w->latencies, sizeof w->latency_us[0], by_number);
    print_message("seed %u, %s: %u delivered, %u announced at once, %u indexes lost; p50 %d us, p99 %d us\n",
                  (unsigned)seed, when, w->delivered, w->at_once, w->damaged, (int)w->latency_us[w->latencies / 2],
                  (int)w->latency_us[w->latencies * 99 / 100]);
}

static void run_world(uint64_t seed, int steps, int seconds, bool print)
{
    struct world *w = mem_zero(sizeof *w);

    world_make(w, seed, seconds);
    RUN_UNTIL(w, all_open(w));
    for (int round = 0; round < 4; round++) {
        w->steps = steps / 4;
        timer_set(w->step, 0);
        RUN_UNTIL(w, w->steps <= 0);
        check_all(w);
    }
    if (print)
        print_latency(w, "busy", seed);
    deliver_quietly(w, print ? 1000 : 20);
    if (print)
        print_latency(w, "quiet", seed);
    check_all(w);
    world_end(w);
    mem_free(w);
}

/* FACTEUR_STRESS=n in the environment: n seeds of 20 times the length. */
static void test_all_at_once(void **state)
{
    const char *stress = getenv("FACTEUR_STRESS");
    uint64_t seeds = stress != NULL ? strtoul(stress, NULL, 10) : 1;

    (void)state;
    for (uint64_t seed = 1; seed <= seeds; seed++)
        run_world(seed, stress != NULL ? 16000 : 800, stress != NULL ? 100 : 20, stress != NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_all_at_once) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
