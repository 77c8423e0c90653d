#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "facteur/base/mem.h"
#include "facteur/store/mailbox.h"
#include "mailbox_priv.h"

/* --- a client: it knows what it has been told, and nothing else --- */

enum { CLIENT_MAX = 4000 };

struct client {
    struct mailbox_view v;
    struct {
        uint32_t uid;
        uint8_t flags;
        uint64_t keywords;
    } known[CLIENT_MAX];
    uint32_t count;
    uint32_t recent; /* as RECENT said */
    unsigned calls;  /* of on_change */
    char log[400];
};

static unsigned expunged, flag_lines; /* told to anybody */

static void on_change(struct mailbox_view *v)
{
    LIST_ENTRY((struct link *)v, struct client, v.link)->calls++;
}

static void note(struct client *c, const char *what, uint32_t n)
{
    size_t at = strlen(c->log);

    (void)snprintf(c->log + at, sizeof c->log - at, "%s%u ", what, (unsigned)n);
}

static void on_expunge(void *to, uint32_t seq)
{
    struct client *c = to;

    assert_true(seq >= 1 && seq <= c->count);
    memmove(&c->known[seq - 1], &c->known[seq], (c->count - seq) * sizeof c->known[0]);
    c->count--;
    expunged++;
    note(c, "x", seq);
}

static void on_vanished(void *to, const struct ranges *uids)
{
    struct client *c = to;
    uint32_t kept = 0, before = c->count;

    for (uint32_t i = 0; i < c->count; i++)
        if (!ranges_has(uids, c->known[i].uid))
            c->known[kept++] = c->known[i];
    c->count = kept;
    assert_int_equal(ranges_count(uids), before - kept);
    expunged += before - kept;
    note(c, "v", before - kept);
}

static void fetch(struct client *c, uint32_t seq) /* FETCH seq (UID FLAGS) */
{
    const struct mailbox_message *m;

    c->known[seq - 1].uid = view_uid(&c->v, seq);
    assert_int_not_equal(c->known[seq - 1].uid, 0);
    if (seq > 1)
        assert_true(c->known[seq - 1].uid > c->known[seq - 2].uid);
    m = mailbox_find(c->v.mailbox, c->known[seq - 1].uid);
    if (m != NULL) {
        c->known[seq - 1].flags = m->flags;
        c->known[seq - 1].keywords = m->keywords;
    }
}

static void on_exists(void *to, uint32_t count)
{
    struct client *c = to;

    assert_true(count >= c->count && count <= CLIENT_MAX);
    while (c->count < count)
        fetch(c, ++c->count);
    note(c, "e", count);
}

static void on_recent(void *to, uint32_t count)
{
    ((struct client *)to)->recent = count;
    note(to, "r", count);
}

static void on_keywords(void *to)
{
    struct client *c = to;

    note(c, "k", c->v.mailbox->keyword_count);
}

static void on_flags(void *to, uint32_t seq, const struct mailbox_message *m, bool recent)
{
    struct client *c = to;

    assert_true(seq >= 1 && seq <= c->count);
    assert_int_equal(c->known[seq - 1].uid, m->uid);
    assert_int_equal(recent, ranges_has(&c->v.recent, m->uid));
    c->known[seq - 1].flags = m->flags;
    c->known[seq - 1].keywords = m->keywords;
    flag_lines++;
    note(c, "f", seq);
}

static const struct view_events plain = { on_expunge, NULL, on_exists, on_recent, on_keywords, on_flags };
static const struct view_events qresync = { NULL, on_vanished, on_exists, on_recent, on_keywords, on_flags };

static void client_open(struct client *c, struct mailbox *m, bool read_only)
{
    memset(c, 0, sizeof *c);
    c->v.on_change = on_change;
    view_open(&c->v, m, read_only);
    c->recent = (uint32_t)ranges_count(&c->v.recent);
    for (c->count = 0; c->count < view_count(&c->v);)
        fetch(c, ++c->count);
}

static const char *sync_log(struct client *c, bool may_expunge)
{
    c->log[0] = '\0';
    view_sync(&c->v, may_expunge, &plain, c);
    return c->log;
}

/* --- changes --- */

static void change(struct mailbox_changes *c, uint32_t uid, uint8_t flags, uint64_t modseq)
{
    struct mailbox_message m = { .uid = uid, .flags = flags, .modseq = modseq, .size = uid };

    mailbox_changes_add(c, &m);
    c->modseq = c->modseq > modseq ? c->modseq : modseq;
}

static void apply(struct mailbox *m, struct mailbox_changes *c, struct mailbox_view *origin, bool silent)
{
    mailbox_apply(m, c, origin, silent);
    mailbox_changes_clear(c);
}

static void fill(struct mailbox *m, uint32_t from, uint32_t to)
{
    struct mailbox_changes c = { 0 };

    for (uint32_t uid = from; uid <= to; uid++)
        change(&c, uid, 0, m->modseq + 1);
    apply(m, &c, NULL, false);
}

static void expunge(struct mailbox *m, uint32_t from, uint32_t to)
{
    struct mailbox_changes c = { .modseq = m->modseq + 1 };

    assert_int_equal(ranges_add(&c.gone, from, to), 0);
    apply(m, &c, NULL, false);
}

static void set(struct mailbox *m, uint32_t uid, uint8_t flags, struct mailbox_view *origin, bool silent)
{
    struct mailbox_changes c = { 0 };

    change(&c, uid, flags, m->modseq + 1);
    apply(m, &c, origin, silent);
}

static void test_sets(void **state)
{
    struct ranges a = { 0 }, b = { 0 };

    (void)state;
    for (uint32_t n = 1; n <= 19; n += 3) /* 1:2, 4:5 … 19:20 */
        uids_push(&a, n, n + 1);
    uids_push(&b, 2, 7); /* over three of them */
    uids_push(&b, 11, 11);
    uids_push(&b, 30, 40);
    uids_take(&a, &b);
    assert_int_equal(ranges_count(&a), 9);
    assert_true(ranges_has(&a, 1) && ranges_has(&a, 8) && ranges_has(&a, 10) && ranges_has(&a, 20));
    assert_false(ranges_has(&a, 2) || ranges_has(&a, 4) || ranges_has(&a, 7) || ranges_has(&a, 11));
    uids_add(&a, &b, 35);
    assert_int_equal(ranges_count(&a), 9 + 7 + 5);
    assert_false(ranges_has(&a, 35));
    uids_add(&a, &b, 2);
    assert_int_equal(ranges_count(&a), 21);
    ranges_clear(&a);
    ranges_clear(&b);
}

static void test_ghosts_keep_their_numbers(void **state)
{
    static struct client c;
    struct mailbox m;

    (void)state;
    mailbox_init(&m);
    fill(&m, 1, 6);
    client_open(&c, &m, false);
    expunge(&m, 2, 3);
    expunge(&m, 5, 5);
    assert_int_equal(view_count(&c.v), 6);
    assert_int_equal(view_uid(&c.v, 6), 6);
    assert_int_equal(view_uid(&c.v, 3), 3);
    assert_int_equal(view_seq(&c.v, 5), 5);
    assert_int_equal(view_uid(&c.v, 7), 0);
    assert_int_equal(view_uid(&c.v, 0), 0);
    assert_false(view_has_news(&c.v, false));
    assert_true(view_has_news(&c.v, true));
    assert_string_equal(sync_log(&c, false), "");
    assert_string_equal(sync_log(&c, true), "x2 x2 x3 r3 ");
    assert_int_equal(view_count(&c.v), 3);
    assert_int_equal(view_uid(&c.v, 3), 6);
    assert_int_equal(view_seq(&c.v, 5), 0);
    assert_int_equal(view_last_uid(&c.v), 6);
    assert_string_equal(sync_log(&c, true), "");
    expunge(&m, 1, 100);
    assert_int_equal(view_last_uid(&c.v), 6);
    assert_string_equal(sync_log(&c, true), "x1 x1 x1 r0 ");
    assert_int_equal(view_last_uid(&c.v), 0);
    view_close(&c.v);
    mailbox_clear(&m);
}

static void test_what_comes_and_goes_unannounced_is_not_mentioned(void **state)
{
    static struct client c;
    struct mailbox m;

    (void)state;
    mailbox_init(&m);
    fill(&m, 1, 2);
    client_open(&c, &m, false);
    fill(&m, 3, 5);
    assert_int_equal(c.calls, 1);
    set(&m, 4, FLAG_SEEN, NULL, false);
    expunge(&m, 3, 3);
    expunge(&m, 5, 5);
    expunge(&m, 1, 1);
    assert_int_equal(view_count(&c.v), 2);
    assert_string_equal(sync_log(&c, true), "x1 e2 r2 ");
    assert_int_equal(c.known[1].uid, 4);
    assert_int_equal(c.known[1].flags, FLAG_SEEN);
    fill(&m, 6, 6);
    expunge(&m, 2, 2);
    assert_string_equal(sync_log(&c, false), "e3 r3 "); /* 2 still has its number */
    assert_string_equal(sync_log(&c, true), "x1 r2 ");
    view_close(&c.v);
    mailbox_clear(&m);
}

static void test_flags_are_told_to_those_who_do_not_know(void **state)
{
    static struct client a, b;
    struct mailbox m;

    (void)state;
    mailbox_init(&m);
    fill(&m, 1, 3);
    client_open(&a, &m, false);
    client_open(&b, &m, false);
    set(&m, 2, FLAG_SEEN, &a.v, true);
    assert_int_equal(a.calls, 0);
    assert_int_equal(b.calls, 1);
    assert_string_equal(sync_log(&a, true), "");
    assert_string_equal(sync_log(&b, true), "f2 ");
    set(&m, 2, FLAG_SEEN, NULL, false); /* nothing new */
    assert_string_equal(sync_log(&b, true), "");
    set(&m, 2, FLAG_DELETED, &a.v, true);
    set(&m, 2, FLAG_FLAGGED, &b.v, false); /* another change came later: told after all */
    assert_string_equal(sync_log(&a, true), "f2 ");
    assert_string_equal(sync_log(&b, true), "f2 ");
    set(&m, 3, FLAG_FLAGGED, &b.v, false);
    expunge(&m, 3, 3);
    assert_string_equal(sync_log(&a, false), ""); /* a ghost has no flags */
    assert_string_equal(sync_log(&a, true), "x3 r2 ");
    view_close(&a.v);
    view_close(&b.v);
    mailbox_clear(&m);
}

static void test_recent_belongs_to_the_first(void **state)
{
    static struct client look, a, b;
    struct mailbox m;

    (void)state;
    mailbox_init(&m);
    fill(&m, 1, 3);
    client_open(&look, &m, true);
    client_open(&a, &m, false);
    client_open(&b, &m, false);
    assert_int_equal(look.recent, 3);
    assert_int_equal(a.recent, 3);
    assert_int_equal(b.recent, 0);
    assert_int_equal(m.first_recent, 4);
    fill(&m, 4, 4);
    assert_string_equal(sync_log(&look, true), "e4 r4 ");
    assert_string_equal(sync_log(&b, true), "e4 r1 ");
    assert_string_equal(sync_log(&a, true), "e4 r3 ");
    view_close(&a.v);
    view_close(&b.v);
    view_close(&look.v);
    mailbox_clear(&m);
}

static void test_keywords_are_told_once(void **state)
{
    static const char *const names[] = { "$Junk", "work", "home" }, *const others[] = { "$Junk", "play", "home" };
    static struct client c;
    struct mailbox_changes ch = { 0 };
    struct mailbox m;

    (void)state;
    mailbox_init(&m);
    mailbox_changes_keywords(&ch, names, 1);
    mailbox_changes_keywords(&ch, names, 2);
    apply(&m, &ch, NULL, false);
    client_open(&c, &m, false);
    assert_int_equal(mailbox_keyword(&m, slice_str("WORK")), 1);
    assert_true(mailbox_keyword(&m, slice_str("home")) < 0);
    assert_string_equal(sync_log(&c, true), "");
    mailbox_changes_keywords(&ch, names, 3);
    apply(&m, &ch, NULL, false);
    assert_int_equal(c.calls, 1);
    assert_string_equal(sync_log(&c, true), "k3 ");
    assert_string_equal(sync_log(&c, true), "");
    mailbox_changes_keywords(&ch, others, 3); /* by another program */
    apply(&m, &ch, NULL, false);
    assert_string_equal(sync_log(&c, true), "k3 ");
    assert_true(mailbox_keyword(&m, slice_str("work")) < 0);
    view_close(&c.v);
    mailbox_clear(&m);
}

static void test_a_complete_list_replaces_the_other(void **state)
{
    static struct client c;
    struct mailbox_changes ch = { .complete = true, .uidnext = 20 };
    struct mailbox m;

    (void)state;
    mailbox_init(&m);
    fill(&m, 1, 5);
    client_open(&c, &m, false);
    change(&ch, 7, 0, 9); /* in any order, with doubles */
    change(&ch, 2, FLAG_DRAFT, 9);
    change(&ch, 4, 0, 9);
    change(&ch, 2, FLAG_SEEN, 9);
    change(&ch, 0, 0, 9);
    change(&ch, UINT32_MAX, 0, 9);
    apply(&m, &ch, NULL, false);
    assert_int_equal(m.count, 3);
    assert_int_equal(m.uidnext, 20);
    assert_int_equal(m.modseq, 9);
    assert_string_equal(sync_log(&c, true), "x1 x2 x3 e3 r3 f1 ");
    assert_int_equal(c.known[0].flags, FLAG_SEEN);
    ch.complete = true;
    apply(&m, &ch, NULL, false);
    assert_int_equal(m.count, 0);
    assert_string_equal(sync_log(&c, true), "x1 x1 x1 r0 ");
    view_close(&c.v);
    mailbox_clear(&m);
}

static void test_a_list_may_be_taken_over(void **state)
{
    struct mailbox_changes ch = { .complete = true };
    const struct mailbox_message *items;
    struct mailbox m;

    (void)state;
    mailbox_init(&m);
    change(&ch, 3, 0, 4);
    change(&ch, 8, FLAG_SEEN, 5);
    items = ch.messages;
    mailbox_fill(&m, &ch);
    assert_ptr_equal(m.messages, items);
    assert_null(ch.messages);
    mailbox_changes_clear(&ch);
    assert_int_equal(m.count, 2);
    assert_int_equal(m.uidnext, 9);
    assert_int_equal(m.modseq, 5);
    ch.complete = true;
    change(&ch, 9, 0, 6); /* there is something already: compared, and in any order */
    change(&ch, 3, 0, 6);
    mailbox_fill(&m, &ch);
    mailbox_changes_clear(&ch);
    assert_int_equal(m.count, 2);
    assert_null(mailbox_find(&m, 8));
    assert_int_equal(m.uidnext, 10);
    mailbox_clear(&m);
}

static void test_what_comes_back_gets_no_number_that_others_have(void **state)
{
    static struct client a, b;
    struct ranges some = { 0 }, got = { 0 };
    struct mailbox m;
    bool beyond;

    (void)state;
    mailbox_init(&m);
    fill(&m, 1, 6);
    client_open(&a, &m, false);
    client_open(&b, &m, false);
    expunge(&m, 2, 3);
    assert_string_equal(sync_log(&a, true), "x2 x2 r4 ");
    fill(&m, 2, 2); /* for a it has gone, for b it never went */
    assert_int_equal(m.count, 5);
    assert_int_equal(view_count(&a.v), 4);
    assert_int_equal(view_seq(&a.v, 2), 0);
    assert_int_equal(view_uid(&a.v, 2), 4);
    assert_int_equal(view_seq(&a.v, 6), 4);
    assert_int_equal(ranges_add(&some, 1, 9), 0);
    assert_int_equal(view_uids_of_seqs(&a.v, &some, &got, &beyond), 0);
    assert_true(beyond);
    assert_int_equal(ranges_count(&got), 4);
    assert_false(ranges_has(&got, 2));
    assert_int_equal(view_uids(&a.v, &some, &got), 0);
    assert_int_equal(ranges_count(&got), 4);
    assert_int_equal(view_count(&b.v), 6);
    set(&m, 2, FLAG_SEEN, NULL, false);
    assert_string_equal(sync_log(&a, true), "");
    assert_string_equal(sync_log(&b, true), "x3 f2 ");
    expunge(&m, 2, 2);
    assert_string_equal(sync_log(&a, true), "");
    assert_string_equal(sync_log(&b, true), "x2 ");
    ranges_clear(&some);
    ranges_clear(&got);
    view_close(&a.v);
    view_close(&b.v);
    mailbox_clear(&m);
}

/* --- many changes at random, several sessions --- */

enum { CLIENTS = 5, MODEL_MAX = 600, STEPS = 30000 };

struct model {
    struct {
        uint32_t uid;
        uint8_t flags;
    } all[MODEL_MAX]; /* the mailbox, kept the simple way */
    uint32_t count, uidnext;
    uint64_t seed;
};

static uint32_t pick(struct model *t, uint32_t bound)
{
    t->seed = t->seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(t->seed >> 33) % bound;
}

/* What the view's list says is what it knows, without those that have gone. */
static void check_list(const struct client *c)
{
    const struct mailbox *m = c->v.mailbox;
    struct mailbox_message *messages = calloc(m->count + 1, sizeof *messages);
    uint32_t *seqs = calloc(m->count + 1, sizeof *seqs);
    size_t count = view_list(&c->v, messages, seqs), live = 0;

    for (uint32_t i = 0; i < c->count; i++) {
        if (mailbox_find(m, c->known[i].uid) == NULL)
            continue;
        assert_true(live < count);
        assert_int_equal(messages[live].uid, c->known[i].uid);
        assert_int_equal(seqs[live++], i + 1);
    }
    assert_int_equal(live, count);
    free(messages);
    free(seqs);
}

static void check_numbers(struct model *t, const struct client *c)
{
    struct ranges seqs = { 0 }, got = { 0 };
    uint64_t cursor = 0;
    uint32_t uid, from, to, n;
    bool beyond = false;

    assert_int_equal(view_count(&c->v), c->count);
    assert_int_equal(view_last_uid(&c->v), c->count > 0 ? c->known[c->count - 1].uid : 0);
    for (uint32_t i = 0; i < c->count; i++) {
        assert_int_equal(view_uid(&c->v, i + 1), c->known[i].uid);
        assert_int_equal(view_seq(&c->v, c->known[i].uid), i + 1);
    }
    assert_int_equal(view_uid(&c->v, c->count + 1), 0);
    assert_int_equal(view_seq(&c->v, t->uidnext), 0);
    check_list(c);
    from = 1 + pick(t, c->count + 2);
    to = from + pick(t, c->count + 2);
    assert_int_equal(ranges_add(&seqs, from, to), 0);
    assert_int_equal(view_uids_of_seqs(&c->v, &seqs, &got, &beyond), 0);
    assert_int_equal(beyond, to > c->count);
    for (n = from - 1; ranges_next(&got, &cursor, &uid); n++)
        assert_int_equal(uid, c->known[n].uid);
    assert_int_equal(n, to < c->count ? to : from > c->count ? from - 1 : c->count);
    ranges_clear(&seqs);
    from = 1 + pick(t, t->uidnext);
    to = from + pick(t, t->uidnext);
    assert_int_equal(ranges_add(&seqs, from, to), 0);
    assert_int_equal(view_uids(&c->v, &seqs, &got), 0);
    for (n = 0; n < c->count && c->known[n].uid < from; n++)
        ;
    for (cursor = 0; ranges_next(&got, &cursor, &uid); n++)
        assert_int_equal(uid, c->known[n].uid);
    assert_true(n == c->count || c->known[n].uid > to);
    ranges_clear(&seqs);
    ranges_clear(&got);
}

static void check_equal(const struct model *t, const struct client *c)
{
    assert_int_equal(c->count, t->count);
    for (uint32_t i = 0; i < t->count; i++) {
        assert_int_equal(c->known[i].uid, t->all[i].uid);
        assert_int_equal(c->known[i].flags, t->all[i].flags);
    }
    assert_int_equal(c->recent, ranges_count(&c->v.recent));
    assert_false(view_has_news(&c->v, true));
}

static void add_some(struct model *t, struct mailbox_changes *ch, uint32_t most)
{
    uint32_t count = 1 + pick(t, most);

    for (; count > 0 && t->count < MODEL_MAX; count--) {
        t->uidnext += pick(t, 3); /* some UIDs are never given */
        t->all[t->count].uid = t->uidnext++;
        t->all[t->count].flags = (uint8_t)pick(t, 4);
        change(ch, t->all[t->count].uid, t->all[t->count].flags, 1);
        t->count++;
    }
}

static void remove_some(struct model *t, struct mailbox_changes *ch, uint32_t share)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < t->count; i++)
        if (pick(t, share) == 0)
            assert_int_equal(ranges_add(&ch->gone, t->all[i].uid, t->all[i].uid), 0);
        else
            t->all[kept++] = t->all[i];
    t->count = kept;
    if (pick(t, 2) == 0)
        assert_int_equal(ranges_add(&ch->gone, t->uidnext + 5, t->uidnext + 9), 0); /* there are none */
}

static void alter_some(struct model *t, struct mailbox_changes *ch, struct client *by, bool silent)
{
    uint32_t share = 1 + pick(t, 30);

    for (uint32_t i = 0; i < t->count; i++) {
        if (pick(t, share) != 0)
            continue;
        t->all[i].flags = (uint8_t)pick(t, 64);
        change(ch, t->all[i].uid, t->all[i].flags, 1);
        for (uint32_t k = 0; silent && k < by->count; k++) /* it knows what it asked for */
            if (by->known[k].uid == t->all[i].uid)
                by->known[k].flags = t->all[i].flags;
    }
}

static void complete_list(const struct model *t, struct mailbox_changes *ch)
{
    mailbox_changes_clear(ch);
    ch->complete = true;
    for (uint32_t i = t->count; i > 0; i--) /* descending: it is sorted when applied */
        change(ch, t->all[i - 1].uid, t->all[i - 1].flags, 1);
}

/* No more than was asked for goes, and what is left is told of later. */
static void check_part(struct client *c, uint32_t most, const struct view_events *events)
{
    uint64_t numbers = ranges_count(&c->v.ghosts.set), left;
    size_t pieces = c->v.ghosts.set.count;
    bool more = view_sync_gone(&c->v, most, events, c);

    left = ranges_count(&c->v.ghosts.set);
    assert_int_equal(more, left > 0);
    if (events->vanished != NULL)
        assert_int_equal(c->v.ghosts.set.count, pieces > most ? pieces - most : 0);
    else
        assert_int_equal(left, numbers > most ? numbers - most : 0);
}

static void step(struct model *t, struct mailbox *m, struct client *clients)
{
    struct client *c = &clients[pick(t, CLIENTS)];
    struct mailbox_changes ch = { 0 };
    bool silent = false;
    struct mailbox_message one;

    switch (pick(t, 12)) {
    case 0:
    case 1:
        add_some(t, &ch, 4);
        break;
    case 2:
        remove_some(t, &ch, 2 + pick(t, 40));
        break;
    case 3:
    case 4:
        silent = pick(t, 2) == 0;
        alter_some(t, &ch, c, silent);
        break;
    case 5: /* all at once */
        add_some(t, &ch, 6);
        alter_some(t, &ch, c, false);
        remove_some(t, &ch, 10);
        if (pick(t, 3) == 0)
            complete_list(t, &ch);
        break;
    case 6:
        add_some(t, &ch, 1);
        one = ch.count > 0 ? ch.messages[0] : (struct mailbox_message){ 0 };
        mailbox_changes_clear(&ch);
        if (one.uid != 0)
            mailbox_arrive(m, &one);
        break;
    case 7:
        if (pick(t, 20) == 0) {
            view_close(&c->v);
            client_open(c, m, c == &clients[0]);
        }
        break;
    default: {
        const struct view_events *events = pick(t, 3) == 0 ? &qresync : &plain;
        bool may_expunge = pick(t, 2) == 0;

        if (pick(t, 3) == 0)
            (void)view_sync_flags(&c->v, 1 + (uint32_t)pick(t, 3), events, c);
        if (may_expunge && pick(t, 3) == 0)
            check_part(c, 1 + (uint32_t)pick(t, 3), events);
        view_sync(&c->v, may_expunge, events, c);
        if (may_expunge)
            check_equal(t, c);
        break;
    }
    }
    apply(m, &ch, silent ? &c->v : NULL, silent);
}

/* Every message is \Recent in one session that may take it, at most. */
static void check_recents(const struct mailbox *m, const struct client *clients)
{
    for (size_t i = 0; i < m->count; i++) {
        unsigned owners = 0;

        for (unsigned k = 1; k < CLIENTS; k++)
            owners += ranges_has(&clients[k].v.recent, m->messages[i].uid);
        assert_true(owners <= 1);
    }
}

static void run_model(uint64_t seed)
{
    static struct client clients[CLIENTS];
    static struct model t;
    struct mailbox m;

    memset(&t, 0, sizeof t);
    expunged = flag_lines = 0;
    t.seed = seed;
    t.uidnext = 1;
    mailbox_init(&m);
    for (unsigned i = 0; i < CLIENTS; i++)
        client_open(&clients[i], &m, i == 0);
    for (unsigned i = 0; i < STEPS; i++) {
        step(&t, &m, clients);
        if (i % 8 == 0)
            check_numbers(&t, &clients[pick(&t, CLIENTS)]);
        if (i % 64 == 0)
            check_recents(&m, clients);
    }
    for (unsigned i = 0; i < CLIENTS; i++) {
        view_sync(&clients[i].v, true, &plain, &clients[i]);
        check_equal(&t, &clients[i]);
        check_numbers(&t, &clients[i]);
        assert_true(expunged > STEPS / 4 && flag_lines > STEPS / 4);
        view_close(&clients[i].v);
    }
    mailbox_clear(&m);
}

static void test_random_operations(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 2; seed++)
        run_model(seed);
}

/* --- size --- */

static uint32_t told;

static void count_expunge(void *to, uint32_t seq)
{
    (void)to;
    told += seq > 0;
}

static void count_flags(void *to, uint32_t seq, const struct mailbox_message *m, bool recent)
{
    (void)to;
    (void)m;
    (void)recent;
    told += seq > 0;
}

/* What would take minutes if any of it were quadratic. */
static void test_a_large_mailbox(void **state)
{
    static const struct view_events count = { .expunge = count_expunge, .flags = count_flags };
    struct mailbox_changes ch = { 0 };
    struct mailbox_view v = { 0 };
    struct mailbox m;

    (void)state;
    mailbox_init(&m);
    fill(&m, 1, 200000);
    view_open(&v, &m, false);
    for (uint32_t uid = 200000; uid >= 2; uid -= 2)
        change(&ch, uid, FLAG_SEEN, 2);
    apply(&m, &ch, NULL, false);
    view_sync(&v, true, &count, NULL);
    assert_int_equal(told, 100000);
    for (uint32_t uid = 1; uid < 200000; uid += 2)
        assert_int_equal(ranges_add(&ch.gone, uid, uid), 0);
    apply(&m, &ch, NULL, false);
    for (uint32_t seq = 1; seq <= 200000; seq += 7)
        assert_int_equal(view_seq(&v, view_uid(&v, seq)), seq);
    for (uint32_t uid = 2; uid < 200000; uid += 4)
        assert_int_equal(ranges_add(&ch.gone, uid, uid), 0);
    apply(&m, &ch, NULL, false);
    told = 0;
    view_sync(&v, true, &count, NULL);
    assert_int_equal(told, 150000);
    assert_int_equal(view_count(&v), 50000);
    view_close(&v);
    mailbox_clear(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sets),
        cmocka_unit_test(test_ghosts_keep_their_numbers),
        cmocka_unit_test(test_what_comes_and_goes_unannounced_is_not_mentioned),
        cmocka_unit_test(test_flags_are_told_to_those_who_do_not_know),
        cmocka_unit_test(test_recent_belongs_to_the_first),
        cmocka_unit_test(test_keywords_are_told_once),
        cmocka_unit_test(test_a_complete_list_replaces_the_other),
        cmocka_unit_test(test_a_list_may_be_taken_over),
        cmocka_unit_test(test_what_comes_back_gets_no_number_that_others_have),
        cmocka_unit_test(test_random_operations),
        cmocka_unit_test(test_a_large_mailbox),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
