/* FETCH. What the list in memory answers is said on the loop, a slice at a time; for the rest a job of the account's lane
 * makes finished text (imap_in_fetch_job.c) while the slice before it is being sent. */
#include "imap_in_fetch_priv.h"

#include "facteur/base/log.h"
#include "facteur/base/mem.h"

#include <errno.h>
#include <stdio.h>

/* --- the command as the job has it --- */

static struct slice copy(struct fetch *f, struct slice s)
{
    return slice_make(arena_str(&f->arena, s), s.n);
}

static struct slice make_label(struct fetch *f, const struct imap_fetch_item *item)
{
    static const char *const names[] = {
        [FETCH_SECTION] = "BODY",
        [FETCH_RFC822] = "RFC822",
        [FETCH_RFC822_HEADER] = "RFC822.HEADER",
        [FETCH_RFC822_TEXT] = "RFC822.TEXT",
        [FETCH_BINARY] = "BINARY",
        [FETCH_BINARY_SIZE] = "BINARY.SIZE",
    };
    bool is_section = item->kind == FETCH_SECTION || item->kind == FETCH_BINARY || item->kind == FETCH_BINARY_SIZE;
    struct buf label;
    struct slice ret;

    if (!is_section && item->kind != FETCH_RFC822 && item->kind != FETCH_RFC822_HEADER &&
        item->kind != FETCH_RFC822_TEXT)
        return SLICE_LIT("");
    buf_init(&label, item->section.spelled.n + 64);
    (void)!buf_adds(&label, names[item->kind]);
    if (is_section) {
        (void)!buf_addc(&label, '[');
        (void)!buf_add(&label, item->section.spelled.p, item->section.spelled.n);
        (void)!buf_addc(&label, ']');
    }
    if (item->partial)
        (void)!buf_addf(&label, "<%llu>", (unsigned long long)item->offset);
    ret = copy(f, buf_slice(&label));
    buf_clear(&label);
    return ret;
}

static void copy_section(struct fetch *f, struct imap_section *section)
{
    uint32_t *path = arena_zero(&f->arena, (section->depth + 1) * sizeof *path);
    struct slice *fields = arena_zero(&f->arena, (section->field_count + 1) * sizeof *fields);

    for (size_t i = 0; i < section->depth; i++)
        path[i] = section->path[i];
    for (size_t i = 0; i < section->field_count; i++)
        fields[i] = copy(f, section->fields[i]);
    section_sort_fields(fields, section->field_count);
    section->path = path;
    section->fields = fields;
    section->spelled = SLICE_LIT("");
}

static void take_item(struct fetch *f, const struct imap_fetch_item *item)
{
    static const unsigned fields[] = { [FETCH_ENVELOPE] = INDEX_ENVELOPE,
                                       [FETCH_BODYSTRUCTURE] = INDEX_STRUCTURE,
                                       [FETCH_PREVIEW] = INDEX_PREVIEW,
                                       [FETCH_EMAILID] = INDEX_IDS,
                                       [FETCH_SAVEDATE] = INDEX_SAVED };
    struct fetch_item *to = &f->items[f->item_count++];
    unsigned field = (size_t)item->kind < sizeof fields / sizeof *fields ? fields[item->kind] : 0;

    to->item = *item;
    to->label = make_label(f, item);
    copy_section(f, &to->item.section);
    f->fields |= field;
    if (field == 0 && !fetch_is_plain(item->kind))
        f->files = true;
    if ((item->kind == FETCH_SECTION || item->kind == FETCH_BINARY)
            ? !item->peek
            : item->kind == FETCH_RFC822 || item->kind == FETCH_RFC822_TEXT)
        f->marks_seen = true;
}

static void take_items(struct fetch *f, const struct imap_fetch *c)
{
    static const struct imap_fetch_item modseq = { .kind = FETCH_MODSEQ };
    bool has_modseq = false;

    f->items = arena_zero(&f->arena, (c->count + 1) * sizeof *f->items);
    for (size_t i = 0; i < c->count; i++) {
        take_item(f, &c->items[i]);
        has_modseq = has_modseq || c->items[i].kind == FETCH_MODSEQ;
    }
    if (c->changed_since && !has_modseq) /* RFC 7162 section 3.1.4.1 */
        take_item(f, &modseq);
}

/* --- which messages --- */

/* RFC 7162 section 3.1.4.1: only what has changed since. */
static int keep_changed(struct fetch *f, const struct mailbox *m)
{
    struct ranges changed = { 0 };

    for (size_t i = 0; i < f->uids.count; i++) {
        const struct range *r = &f->uids.items[i];

        for (size_t at = mailbox_index(m, r->from); at < m->count && m->messages[at].uid <= r->to; at++) {
            uint32_t uid = m->messages[at].uid;

            if (m->messages[at].modseq > f->since && ranges_add(&changed, uid, uid) < 0) {
                ranges_clear(&changed);
                return -E2BIG;
            }
        }
    }
    ranges_clear(&f->uids);
    f->uids = changed;
    return 0;
}

/* RFC 9394 section 3.3: the n-th to the m-th of them, counted from the end when negative. */
static void keep_part(struct fetch *f, int64_t from, int64_t to)
{
    int64_t count = (int64_t)ranges_count(&f->uids), seen = 0;
    struct ranges part = { 0 };
    int64_t low, high;

    from = from < 0 ? count + 1 + from : from;
    to = to < 0 ? count + 1 + to : to;
    low = from < to ? from : to;
    high = from < to ? to : from;
    for (size_t i = 0; i < f->uids.count && seen < high; i++) {
        const struct range *r = &f->uids.items[i];
        int64_t n = (int64_t)r->to - r->from + 1;
        int64_t first = low - seen > 1 ? low - seen : 1; /* of this range, counted from 1 */
        int64_t last = high - seen < n ? high - seen : n;

        if (first <= last)
            (void)!ranges_add(&part, r->from + (uint32_t)(first - 1), r->from + (uint32_t)(last - 1));
        seen += n;
    }
    ranges_clear(&f->uids);
    f->uids = part;
}

/* The UIDs as they were written: VANISHED tells of those that are no more. "*" may have been any. */
static int take_named(struct fetch *f, const struct imap_set *set)
{
    if (set->saved)
        return ranges_copy(&f->uids, &f->named);
    for (size_t i = 0; i < set->count; i++) {
        uint32_t from = set->pieces[i].from != 0 ? set->pieces[i].from : UINT32_MAX;
        uint32_t to = set->pieces[i].to != 0 ? set->pieces[i].to : UINT32_MAX;

        TRY(ranges_add(&f->named, from, to));
    }
    return 0;
}

static void tell_vanished(struct imap_session *s, struct fetch *f)
{
    if (ranges_keep(&f->vanished, &f->named) == 0)
        imap_in_write_vanished(s, &f->vanished, true);
    imap_in_flush(s);
    ranges_clear(&f->vanished);
    f->wants_vanished = false;
}

/* --- the list --- */

static void take_names(struct fetch *f, const struct mailbox *m)
{
    if (f->name_count == m->keyword_count)
        return;
    f->names = arena_zero(&f->arena, m->keyword_count * sizeof *f->names);
    for (unsigned i = 0; i < m->keyword_count; i++)
        f->names[i] = arena_str(&f->arena, slice_str(m->keywords[i]));
    f->name_count = m->keyword_count;
}

/* Copies the next messages of the list. Sequence numbers stay as they are while the command runs: the client hears of no
 * EXPUNGE. */
static void fill_list(struct imap_session *s, struct fetch *f)
{
    const struct mailbox_view *v = &s->view;
    const struct mailbox *m = v->mailbox;
    bool plain = v->ghosts.set.count == 0 && v->hidden.set.count == 0;
    size_t i = 0;

    if (f->at < f->list_count || f->all_listed)
        return;
    take_names(f, m);
    f->at = f->list_count = f->seen_until = 0;
    while (i < f->uids.count && f->uids.items[i].to < f->next_uid)
        i++;
    for (; i < f->uids.count; i++) {
        const struct range *r = &f->uids.items[i];
        size_t at = mailbox_index(m, r->from < f->next_uid ? (uint32_t)f->next_uid : r->from);

        for (; at < m->count && m->messages[at].uid <= r->to; at++) {
            const struct mailbox_message *from = &m->messages[at];

            if (f->list_count == f->list_room)
                return;
            f->list[f->list_count++] =
                (struct fetch_message){ .modseq = from->modseq,
                                        .keywords = from->keywords,
                                        .size = from->size,
                                        .internal_ms = from->internal_ms,
                                        .uid = from->uid,
                                        .seq = plain ? (uint32_t)at + 1 : view_seq(v, from->uid),
                                        .flags = from->flags,
                                        .recent = v->recent.count > 0 && ranges_has(&v->recent, from->uid) };
            f->next_uid = (uint64_t)from->uid + 1;
            f->listed++;
        }
    }
    f->all_listed = true;
    f->expunged = f->expunged || f->listed < ranges_count(&f->uids);
}

/* --- answers --- */

static struct imap_result result_of(const struct imap_session *s, const struct fetch *f)
{
    if (f->unknown_encoding)
        return imap_no("UNKNOWN-CTE", "The encoding of a part is not known, or it is broken");
    if (f->failed < 0)
        return imap_in_failed(s, f->failed, &f->aj.err);
    return f->expunged ? imap_in_gone(!f->uid) : imap_ok("FETCH completed");
}

static void fetch_drop(struct account_job *aj)
{
    struct fetch *f = LIST_ENTRY(aj, struct fetch, aj);

    message_clear(&f->file);
    ranges_clear(&f->uids);
    ranges_clear(&f->named);
    ranges_clear(&f->vanished);
    buf_clear(&f->texts);
    buf_clear(&f->out);
    mem_free(f->list);
    mem_free(f->rows);
    arena_clear(&f->arena);
    mem_free(f);
}

static void send_out(struct imap_session *s, struct fetch *f)
{
    imap_in_send(s, buf_slice(&f->out));
    buf_reset(&f->out);
}

/* A slice of what needs the list alone: IMAP_OUTPUT octets are made in less than a millisecond or two. */
static int say_list(struct imap_session *s, struct fetch *f)
{
    while (f->out.n < f->aj.room) {
        if (f->at == f->list_count)
            fill_list(s, f);
        if (f->at == f->list_count)
            return DONE;
        for (; f->at < f->list_count && f->out.n < f->aj.room; f->at++) {
            const struct fetch_message *m = &f->list[f->at];

            TRY(fetch_write_start(f, m));
            for (size_t i = 0; i < f->item_count; i++)
                TRY(fetch_write_plain(f, m, f->items[i].item.kind));
            TRY(fetch_write_end(f, m));
        }
    }
    return MORE;
}

static bool is_plain(const struct fetch *f)
{
    return f->fields == 0 && !f->files;
}

static void fetch_done(void *owner, struct account_job *aj)
{
    struct imap_session *s = owner;
    struct fetch *f = LIST_ENTRY(aj, struct fetch, aj);
    int r = aj->code;
    bool ahead;

    if (f->wants_vanished && f->has_vanished)
        tell_vanished(s, f);
    if (r >= 0 && is_plain(f)) /* this job is only there to wait for */
        r = stream_is_full(s->peer.stream) ? MORE : say_list(s, f);
    ahead = f->aj.room == IMAP_OUTPUT && !stream_is_full(s->peer.stream);
    send_out(s, f);
    if (r == MORE) {
        fill_list(s, f);
        if (ahead) { /* there is plenty of memory: the next slice is made while this one leaves */
            imap_in_take_slice(s, aj);
            peer_start_job(&s->peer, aj);
            return;
        }
        stream_flush(s->peer.stream); /* whether the client takes it is known then */
        if (!imap_in_continue(s, aj))
            imap_in_hold(s, fetch_give_back(f));
        return;
    }
    if (r < 0 && f->in_line) {
        LOG(ERROR, "fetch-failed", kv_str("session", s->peer.client.session), kv_num("uid", f->list[f->at].uid),
            kv_str("reason", err_text(r)));
        peer_close(&s->peer,
                   false); /* in the middle of a literal: nothing else that we could say would be understood */
        return;
    }
    imap_in_done(s, r < 0 ? imap_result_of_error(r) : result_of(s, f));
}

/* --- the command --- */

static struct fetch *make(struct imap_session *s, const struct imap_command *c)
{
    struct fetch *f = mem_zero(sizeof *f);
    unsigned enabled = imap_server_enabled(s->proto);

    f->folder = s->box->folder.id;
    f->uid = c->uid;
    f->condstore = (enabled & ENABLE_CONDSTORE) != 0;
    f->rev2 = (enabled & ENABLE_REV2) != 0;
    f->since = c->fetch.since;
    f->wants_vanished = c->fetch.vanished;
    take_items(f, &c->fetch);
    f->marks_seen = f->marks_seen && !s->view.read_only;
    f->aj.reads_only = !f->marks_seen;
    f->aj.for_owner = true;
    message_init(&f->file);
    f->file.limits = (struct mime_limits){ s->peer.config->limits.mime_depth, s->peer.config->limits.mime_parts };
    buf_init(&f->texts, FETCH_TEXTS);
    buf_init(&f->out, FETCH_OUT);
    f->aj.room = peer_slice(&s->peer);
    f->aj.run = fetch_run;
    f->aj.done = fetch_done;
    f->aj.drop = fetch_drop;
    return f;
}

static int take_messages(struct imap_session *s, const struct imap_command *c, struct fetch *f, bool *ret_beyond)
{
    TRY(imap_in_uids(s, c, &f->uids, ret_beyond));
    if (f->wants_vanished)
        TRY(take_named(f, &c->set));
    if (c->fetch.changed_since)
        TRY(keep_changed(f, &s->box->m));
    if (c->fetch.partial)
        keep_part(f, c->fetch.partial_from, c->fetch.partial_to);
    f->list_room = f->aj.room / (IMAP_OUTPUT / FETCH_LIST);
    f->list_room = ranges_count(&f->uids) < f->list_room ? (size_t)ranges_count(&f->uids) : f->list_room;
    f->list = mem_array(f->list_room, sizeof *f->list);
    if (f->fields != 0)
        f->rows = mem_array(f->list_room, sizeof *f->rows);
    return 0;
}

void imap_in_fetch(struct imap_session *s, const struct imap_command *c)
{
    struct fetch *f = make(s, c);
    bool beyond = false;
    int r = take_messages(s, c, f, &beyond);
    struct imap_result result;

    imap_in_hold(s, f->aj.room);
    imap_in_flush(s); /* what this file makes goes out by another way */

    if (r == 0 && !beyond && is_plain(f) && !f->wants_vanished)
        r = say_list(s, f);
    else if (r == 0 && !beyond)
        r = MORE;
    if (r == MORE) {
        send_out(s, f);
        fill_list(s, f);
        imap_in_start(s, &f->aj, true);
        return;
    }
    send_out(s, f);
    result = r < 0 ? imap_result_of_error(r) : beyond ? imap_bad("There are no such message numbers") : result_of(s, f);
    fetch_drop(&f->aj);
    imap_in_done(s, result);
}
