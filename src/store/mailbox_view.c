#include "mailbox_priv.h"

#include "facteur/base/mem.h"

/* --- sets that can count --- */

static void rank(struct mailbox_ranked *r)
{
    uint32_t sum = 0;

    r->before = mem_resize(r->before, (r->set.count + 1) * sizeof *r->before);
    for (size_t i = 0; i < r->set.count; i++) {
        r->before[i] = sum;
        sum += r->set.items[i].to - r->set.items[i].from + 1;
    }
    r->before[r->set.count] = sum;
}

static void ranked_clear(struct mailbox_ranked *r)
{
    ranges_clear(&r->set);
    mem_free(r->before);
    r->before = NULL;
}

/* The first piece that ends at uid or after it. */
static size_t piece_at(const struct ranges *r, uint32_t uid)
{
    size_t low = 0, high = r->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (r->items[middle].to < uid)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static uint32_t ranked_below(const struct mailbox_ranked *r, uint32_t uid)
{
    size_t at;

    if (r->set.count == 0)
        return 0;
    at = piece_at(&r->set, uid);
    if (at < r->set.count && r->set.items[at].from < uid)
        return r->before[at] + (uid - r->set.items[at].from);
    return r->before[at];
}

/* --- numbers --- */

static bool is_plain(const struct mailbox_view *v) /* sequence numbers are those of the list */
{
    return v->ghosts.set.count == 0 && v->hidden.set.count == 0;
}

/* How many messages of this view have a UID below `uid`, which is at most `next`. */
static uint32_t below(const struct mailbox_view *v, uint32_t uid)
{
    uint32_t live = (uint32_t)mailbox_index(v->mailbox, uid);

    return live - ranked_below(&v->hidden, uid) + ranked_below(&v->ghosts, uid);
}

uint32_t view_count(const struct mailbox_view *v)
{
    return below(v, v->next);
}

static bool is_here(const struct mailbox_view *v, uint32_t uid)
{
    return uid > 0 && uid < v->next &&
           (ranges_has(&v->ghosts.set, uid) ||
            (mailbox_find(v->mailbox, uid) != NULL && !ranges_has(&v->hidden.set, uid)));
}

uint32_t view_seq(const struct mailbox_view *v, uint32_t uid)
{
    return is_here(v, uid) ? below(v, uid) + 1 : 0;
}

uint32_t view_uid(const struct mailbox_view *v, uint32_t seq)
{
    uint32_t low = 1, high = v->next;

    if (seq == 0 || seq > view_count(v))
        return 0;
    if (is_plain(v))
        return v->mailbox->messages[seq - 1].uid;
    while (low < high) { /* the lowest UID with at least `seq` messages up to it */
        uint32_t middle = low + (high - low) / 2;

        if (below(v, middle + 1) < seq)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

uint32_t view_last_uid(const struct mailbox_view *v)
{
    return view_uid(v, view_count(v));
}

/* Walks a view's UIDs in ascending order. */
struct walk {
    const struct mailbox_view *v;
    size_t message, ghost, hidden; /* the next message, and the pieces that are not behind it */
    uint32_t ghost_uid;            /* the next one */
};

static void walk_ghost(struct walk *w, uint32_t from)
{
    const struct ranges *ghosts = &w->v->ghosts.set;

    w->ghost_uid = UINT32_MAX;
    if (w->ghost < ghosts->count)
        w->ghost_uid = from > ghosts->items[w->ghost].from ? from : ghosts->items[w->ghost].from;
}

static void walk_message(struct walk *w)
{
    const struct mailbox *m = w->v->mailbox;
    const struct ranges *hidden = &w->v->hidden.set;

    while (w->hidden < hidden->count && w->message < m->count) {
        uint32_t uid = m->messages[w->message].uid;

        if (hidden->items[w->hidden].to < uid)
            w->hidden++;
        else if (hidden->items[w->hidden].from <= uid)
            w->message++;
        else
            return;
    }
}

static void walk_start(struct walk *w, const struct mailbox_view *v, uint32_t from)
{
    *w = (struct walk){ v, mailbox_index(v->mailbox, from), piece_at(&v->ghosts.set, from),
                        piece_at(&v->hidden.set, from), 0 };
    walk_ghost(w, from);
    walk_message(w);
}

static uint32_t walk_next(struct walk *w) /* 0: the end */
{
    const struct mailbox *m = w->v->mailbox;
    uint32_t live = w->message < m->count ? m->messages[w->message].uid : UINT32_MAX;

    if (w->ghost_uid < live) {
        uint32_t uid = w->ghost_uid;

        if (uid == w->v->ghosts.set.items[w->ghost].to)
            w->ghost++;
        walk_ghost(w, uid + 1);
        return uid;
    }
    if (live >= w->v->next)
        return 0;
    w->message++;
    walk_message(w);
    return live;
}

int view_uids_of_seqs(const struct mailbox_view *v, const struct ranges *seqs, struct ranges *ret, bool *ret_beyond)
{
    uint32_t count = view_count(v);
    struct ranges found = { 0 };
    bool past = false;
    int code = 0;

    for (size_t i = 0; i < seqs->count && code == 0; i++) {
        uint32_t from = seqs->items[i].from > 0 ? seqs->items[i].from : 1, to = seqs->items[i].to;
        struct walk w;

        past = past || to > count;
        to = to < count ? to : count;
        if (from > to)
            continue;
        walk_start(&w, v, view_uid(v, from));
        for (uint32_t left = to - from + 1; left > 0 && code == 0; left--) {
            uint32_t uid = walk_next(&w);

            code = ranges_add(&found, uid, uid);
        }
    }
    if (code < 0) {
        ranges_clear(&found);
        return code;
    }
    ranges_clear(ret);
    *ret = found;
    *ret_beyond = past;
    return 0;
}

/* The usual case: a saved search may have a piece for each third message, and the next one is near. */
static int plain_uids(const struct mailbox_view *v, const struct ranges *uids, struct ranges *ret)
{
    const struct mailbox *m = v->mailbox;
    size_t count = mailbox_index(m, v->next), at = 0;

    for (size_t i = 0; i < uids->count && at < count; i++) {
        const struct range *r = &uids->items[i];

        at += m->messages[at].uid < r->from;
        if (at < count && m->messages[at].uid < r->from)
            at = mailbox_index(m, r->from);
        for (; at < count && m->messages[at].uid <= r->to; at++)
            TRY(ranges_add(ret, m->messages[at].uid, m->messages[at].uid));
    }
    return 0;
}

static int walked_uids(const struct mailbox_view *v, const struct ranges *uids, struct ranges *ret)
{
    for (size_t i = 0; i < uids->count; i++) {
        struct walk w;
        uint32_t uid;

        walk_start(&w, v, uids->items[i].from > 0 ? uids->items[i].from : 1);
        while ((uid = walk_next(&w)) != 0 && uid <= uids->items[i].to)
            TRY(ranges_add(ret, uid, uid));
    }
    return 0;
}

int view_uids(const struct mailbox_view *v, const struct ranges *uids, struct ranges *ret)
{
    struct ranges found = { 0 };
    int code = is_plain(v) ? plain_uids(v, uids, &found) : walked_uids(v, uids, &found);

    if (code < 0) {
        ranges_clear(&found);
        return code;
    }
    ranges_clear(ret);
    *ret = found;
    return 0;
}

size_t view_list(const struct mailbox_view *v, struct mailbox_message *messages, uint32_t *seqs)
{
    const struct mailbox *m = v->mailbox;
    const struct ranges *ghosts = &v->ghosts.set, *hidden = &v->hidden.set;
    size_t count = 0, g = 0, h = 0;
    uint32_t seq = 0;

    for (size_t i = 0; i < m->count && m->messages[i].uid < v->next; i++) {
        uint32_t uid = m->messages[i].uid;

        for (; g < ghosts->count && ghosts->items[g].to < uid; g++)
            seq += ghosts->items[g].to - ghosts->items[g].from + 1;
        while (h < hidden->count && hidden->items[h].to < uid)
            h++;
        if (h < hidden->count && hidden->items[h].from <= uid)
            continue;
        messages[count] = m->messages[i];
        seqs[count++] = ++seq;
    }
    return count;
}

/* --- what is new --- */

/* Announces what has come; whether there was something. The first session that hears of a message has it as \Recent. */
static bool announce(struct mailbox_view *v)
{
    struct mailbox *m = v->mailbox;
    size_t first = mailbox_index(m, v->next);

    if (first == m->count)
        return false;
    for (size_t i = mailbox_index(m, v->next > m->first_recent ? v->next : m->first_recent); i < m->count; i++)
        uids_push(&v->recent, m->messages[i].uid, m->messages[i].uid);
    v->next = m->messages[m->count - 1].uid + 1;
    if (!v->read_only && m->first_recent < v->next)
        m->first_recent = v->next;
    return true;
}

void view_open(struct mailbox_view *v, struct mailbox *m, bool read_only)
{
    v->mailbox = m;
    v->next = 1;
    v->changed = v->recent = (struct ranges){ 0 };
    v->ghosts = v->hidden = (struct mailbox_ranked){ 0 };
    v->keywords_told = m->keyword_count;
    v->read_only = read_only;
    v->recent_told = true;
    list_push(&m->views, &v->link);
    (void)announce(v);
}

void view_close(struct mailbox_view *v)
{
    list_unlink(&v->link);
    ranges_clear(&v->changed);
    ranges_clear(&v->recent);
    ranked_clear(&v->ghosts);
    ranked_clear(&v->hidden);
    v->mailbox = NULL;
}

/* Messages that came in below what was announced: a ghost that came back is itself again, others stay hidden. */
static void note_slipped_in(struct mailbox_view *v, const struct ranges *added)
{
    struct ranges back = { 0 }, fresh = { 0 };

    uids_add(&fresh, added, v->next);
    if (fresh.count > 0) {
        uids_add(&back, &fresh, v->next);
        uids_take(&fresh, &v->ghosts.set);
        uids_take(&back, &fresh);
        uids_take(&v->ghosts.set, &back);
        uids_add(&v->changed, &back, v->next);
        uids_add(&v->hidden.set, &fresh, v->next);
        rank(&v->ghosts);
        rank(&v->hidden);
    }
    ranges_clear(&back);
    ranges_clear(&fresh);
}

static void note_removed(struct mailbox_view *v, const struct ranges *removed)
{
    struct ranges seen = { 0 };

    if (v->hidden.set.count == 0) {
        uids_add(&v->ghosts.set, removed, v->next);
    } else {
        uids_add(&seen, removed, v->next);
        uids_take(&seen, &v->hidden.set);
        uids_take(&v->hidden.set, removed);
        uids_add(&v->ghosts.set, &seen, v->next);
        ranges_clear(&seen);
        rank(&v->hidden);
    }
    rank(&v->ghosts);
}

bool view_note(struct mailbox_view *v, const struct mailbox_news *news, bool silent)
{
    const struct mailbox *m = v->mailbox;

    if (news->keywords_renamed)
        v->keywords_told = 0;
    if (news->added.count > 0 && news->added.items[0].from < v->next)
        note_slipped_in(v, &news->added);
    if (news->removed.count > 0 && news->removed.items[0].from < v->next)
        note_removed(v, &news->removed);
    if (!silent)
        uids_add(&v->changed, &news->altered, v->next);
    return news->altered.count + news->removed.count + news->added.count > 0 || v->keywords_told != m->keyword_count
               ? view_has_news(v, true)
               : false;
}

bool view_has_news(const struct mailbox_view *v, bool may_expunge)
{
    const struct mailbox *m = v->mailbox;

    return (m->count > 0 && m->messages[m->count - 1].uid >= v->next) || v->changed.count > 0 ||
           v->keywords_told != m->keyword_count || (may_expunge && v->ghosts.set.count > 0);
}

/* --- telling it --- */

/* The first of the ghosts: so many pieces, or numbers. */
static void first_ghosts(const struct mailbox_view *v, uint32_t most, bool pieces, struct ranges *ret)
{
    const struct ranges *all = &v->ghosts.set;

    for (size_t i = 0; i < all->count && most > 0; i++) {
        struct range piece = all->items[i];
        uint32_t count = pieces ? 1 : piece.to - piece.from + 1;

        if (count > most)
            piece.to = piece.from + most - 1;
        uids_push(ret, piece.from, piece.to);
        most -= count < most ? count : most;
    }
}

/* These ghosts go for good. As each goes, those behind it move up: its number is one more than the live ones before it. */
static void tell_expunged(struct mailbox_view *v, const struct ranges *gone, const struct view_events *events, void *to)
{
    uint64_t cursor = 0, recent = ranges_count(&v->recent);
    uint32_t uid;

    uids_take(&v->ghosts.set, gone);
    if (v->ghosts.set.count > 0)
        rank(&v->ghosts);
    else
        ranked_clear(&v->ghosts);
    uids_take(&v->changed, gone);
    uids_take(&v->recent, gone);
    v->recent_told = v->recent_told && ranges_count(&v->recent) == recent;
    if (events->vanished != NULL)
        events->vanished(to, gone);
    else if (events->expunge != NULL)
        while (ranges_next(gone, &cursor, &uid))
            events->expunge(to, below(v, uid) + 1);
}

bool view_sync_gone(struct mailbox_view *v, uint32_t most, const struct view_events *events, void *to)
{
    struct ranges gone = { 0 };

    first_ghosts(v, most, events->vanished != NULL, &gone);
    if (gone.count > 0)
        tell_expunged(v, &gone, events, to);
    ranges_clear(&gone);
    return v->ghosts.set.count > 0;
}

static void tell_flags(struct mailbox_view *v, uint32_t most, const struct view_events *events, void *to)
{
    struct ranges changed = v->changed, told = { 0 };
    uint64_t cursor = 0;
    uint32_t uid;

    v->changed = (struct ranges){ 0 };
    for (; most > 0 && ranges_next(&changed, &cursor, &uid); most--) {
        const struct mailbox_message *m = mailbox_find(v->mailbox, uid);

        if (events->flags != NULL && m != NULL && !ranges_has(&v->hidden.set, uid))
            events->flags(to, below(v, uid) + 1, m, ranges_has(&v->recent, uid));
    }
    if (most == 0) {
        uids_push(&told, 1, (uint32_t)cursor);
        uids_take(&changed, &told);
        v->changed = changed;
        changed = (struct ranges){ 0 };
    }
    ranges_clear(&changed);
    ranges_clear(&told);
}

static void tell_keywords(struct mailbox_view *v, const struct view_events *events, void *to)
{
    if (v->keywords_told == v->mailbox->keyword_count)
        return;
    v->keywords_told = v->mailbox->keyword_count;
    if (events->keywords != NULL)
        events->keywords(to);
}

bool view_sync_flags(struct mailbox_view *v, uint32_t most, const struct view_events *events, void *to)
{
    tell_keywords(v, events, to);
    if (v->changed.count > 0)
        tell_flags(v, most, events, to);
    return v->changed.count > 0;
}

void view_sync(struct mailbox_view *v, bool may_expunge, const struct view_events *events, void *to)
{
    if (may_expunge && v->ghosts.set.count > 0)
        (void)view_sync_gone(v, UINT32_MAX, events, to);
    if (announce(v)) {
        v->recent_told = false;
        if (events->exists != NULL)
            events->exists(to, view_count(v));
    }
    if (!v->recent_told && events->recent != NULL)
        events->recent(to, (uint32_t)ranges_count(&v->recent));
    v->recent_told = true;
    tell_keywords(v, events, to);
    if (v->changed.count > 0)
        tell_flags(v, UINT32_MAX, events, to);
}
