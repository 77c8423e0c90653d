/* FETCH's job: prepared rows and messages' files become finished text. A slice ends when its room is used up or
 * its time is over, also in the middle of a literal: the place is kept in struct fetch. */
#include "imap_in_fetch_priv.h"

#include "facteur/base/clock.h"

#include <errno.h>
#include <stdlib.h>

/* A message that cannot be said, after which the others can. */
enum { LEFT_OUT = 2, CHECK_EVERY = 16 /* rows that are copied, between looks at the clock */ };

static bool is_over(const struct fetch *f, int64_t since_us)
{
    return (f->files || f->at % CHECK_EVERY == 0) && clock_mono_us() - since_us > (int64_t)INDEX_SLICE_MS * 1000;
}

/* --- rows --- */

static int keep_text(struct fetch *f, struct slice text, struct fetch_text *ret)
{
    *ret = (struct fetch_text){ f->texts.n, text.n };
    return buf_add(&f->texts, text.p, text.n);
}

/* A row whose texts do not fit says nothing: its message is left out. */
static int take_row(void *to, const struct index_row *row)
{
    struct fetch *f = to;
    struct fetch_row *r = &f->rows[f->row_count];
    size_t start = f->texts.n;

    *r = (struct fetch_row){ .uid = row->uid, .saved_ms = row->saved_ms };
    f->row_count++;
    if (row->prepared != NULL) {
        memcpy(r->email_id, row->prepared->email_id, sizeof r->email_id);
        if (((f->fields & INDEX_ENVELOPE) != 0 && keep_text(f, row->prepared->envelope, &r->envelope) < 0) ||
            ((f->fields & INDEX_STRUCTURE) != 0 && keep_text(f, row->prepared->structure, &r->structure) < 0) ||
            ((f->fields & INDEX_PREVIEW) != 0 && keep_text(f, row->prepared->preview, &r->preview) < 0)) {
            f->texts.n = start;
            *r = (struct fetch_row){ .uid = row->uid };
        }
    }
    return f->texts.n >= f->aj.room || f->row_count == f->list_room || row->uid >= f->list[f->list_count - 1].uid;
}

static int read_rows(struct fetch *f, struct index *x, uint32_t from)
{
    int r;

    buf_reset(&f->texts);
    f->row_count = f->row_at = 0;
    r = index_read(x, f->folder, &f->uids, &from, f->fields, take_row, f, &f->aj.err);
    if (r < 0)
        return r;
    f->rows_until = r == MORE ? from : UINT32_MAX;
    return 0;
}

/* The message's row. MORE: not yet; LEFT_OUT: there is none. */
static int find_row(struct fetch *f, struct index *x, const struct fetch_message *m)
{
    if (m->uid >= f->rows_until)
        TRY(read_rows(f, x, m->uid));
    while (f->row_at < f->row_count && f->rows[f->row_at].uid < m->uid)
        f->row_at++;
    if (f->row_at < f->row_count && f->rows[f->row_at].uid == m->uid)
        return 0;
    if (m->uid >= f->rows_until)
        return MORE;
    f->expunged = true;
    return LEFT_OUT;
}

static size_t row_octets(const struct fetch_row *row)
{
    return row->envelope.n + row->structure.n + row->preview.n;
}

static void move_text(const struct fetch *f, struct fetch_text *text, struct buf *to)
{
    size_t at = to->n;

    (void)!buf_add(to, f->texts.p + text->at, text->n);
    text->at = at;
}

/* Of the rows only that of the message under way stays, unless it is large: then it is read again. */
static void drop_rows(struct fetch *f)
{
    struct fetch_row row;
    struct buf kept;

    if (!f->in_line || f->row_at == f->row_count || row_octets(&f->rows[f->row_at]) > FETCH_KEPT) {
        buf_clear(&f->texts);
        f->rows_until = 0;
        f->row_count = f->row_at = 0;
        return;
    }
    row = f->rows[f->row_at];
    buf_init(&kept, FETCH_TEXTS);
    move_text(f, &row.envelope, &kept);
    move_text(f, &row.structure, &kept);
    move_text(f, &row.preview, &kept);
    buf_clear(&f->texts);
    f->texts = kept;
    f->rows[0] = row;
    f->row_count = 1;
    f->row_at = 0;
    f->rows_until = row.uid + 1;
}

size_t fetch_give_back(struct fetch *f)
{
    buf_clear(&f->out);
    buf_clear(&f->file.octets);
    buf_clear(&f->file.lines);
    buf_clear(&f->file.text);
    f->find_again = f->find_again || (f->in_section && f->section.is_text);
    if (f->fields != 0)
        drop_rows(f);
    return f->list_room * (sizeof *f->list + (f->fields != 0 ? sizeof *f->rows : 0)) + f->texts.cap;
}

/* --- \Seen --- */

static int compare_uids(const void *key, const void *message)
{
    uint32_t uid = *(const uint32_t *)key, other = ((const struct fetch_message *)message)->uid;

    return uid < other ? -1 : uid > other;
}

/* What index_store has made of messages that are about to be said. */
static void take_changes(struct fetch *f, size_t from)
{
    for (size_t i = from; i < f->aj.changes.count; i++) {
        const struct mailbox_message *new = &f->aj.changes.messages[i];
        struct fetch_message *m = bsearch(&new->uid, f->list, f->list_count, sizeof *f->list, compare_uids);

        if (m == NULL)
            continue;
        m->seen_now = m->seen_now || ((new->flags & ~m->flags) & FLAG_SEEN) != 0;
        m->flags = new->flags;
        m->keywords = new->keywords;
        m->modseq = new->modseq;
    }
}

/* Marks as many messages as this slice may have room for. A mailbox that cannot be written to is read all the same. */
static void mark_seen(struct fetch *f, struct index *x)
{
    static const struct index_store op = { .how = FLAGS_ADD, .flags = FLAG_SEEN };
    struct ranges uids = { 0 }, kept = { 0 };
    struct err ignored = { 0 };
    uint64_t octets = 0;
    uint32_t from = 0;
    size_t changes = f->aj.changes.count;
    int r = MORE;

    for (f->seen_until = f->at; f->seen_until < f->list_count; f->seen_until++) {
        const struct fetch_message *m = &f->list[f->seen_until];

        octets += m->size;
        if (f->seen_until > f->at && octets > f->aj.room)
            break;
        if ((m->flags & FLAG_SEEN) == 0)
            (void)!ranges_add(&uids, m->uid, m->uid);
    }
    f->aj.silent = true; /* \Seen is told with the message */
    while (uids.count > 0 && r == MORE) {
        uint32_t before = from;

        r = index_store(x, f->folder, &uids, &from, &op, &f->aj.changes, &kept, &ignored);
        if (r == MORE && from == before)
            f->aj.silent = false; /* others' changes came to light */
    }
    take_changes(f, changes);
    ranges_clear(&uids);
    ranges_clear(&kept);
}

/* --- files --- */

static int open_file(struct fetch *f, struct index *x, const struct fetch_message *m)
{
    uint64_t size = 0;
    int fd = -1;
    int r = index_message(x, f->folder, m->uid, &fd, &size, &f->aj.err);

    if (r == -ENOENT) {
        f->expunged = true;
        return LEFT_OUT;
    }
    if (r < 0) {
        f->failed = r;
        return LEFT_OUT;
    }
    message_open(&f->file, fd, size);
    return 0;
}

static int write_body(struct fetch *f)
{
    const struct mime *m;

    TRY(message_parse(&f->file, &m));
    TRY(fetch_write_label(f, SLICE_LIT("BODY")));
    return imap_write_structure(&f->out, m->root, false);
}

/* An item that is a part of the file: its name and the literal's length; the literal follows by and by. */
static int start_section(struct fetch *f, const struct fetch_item *item)
{
    int r = section_find(&f->file, &item->item, &f->section);

    if (r == -EOPNOTSUPP) {
        f->unknown_encoding = true;
        return 0;
    }
    if (r < 0)
        return r;
    TRY(fetch_write_label(f, item->label));
    if (item->item.kind == FETCH_BINARY_SIZE)
        return imap_write_number(&f->out, f->section.length);
    TRY(buf_adds(&f->out, f->section.binary ? "~{" : "{"));
    TRY(imap_write_number(&f->out, f->section.length));
    f->in_section = true;
    return buf_add(&f->out, "}\r\n", 3);
}

static int write_item(struct fetch *f, const struct fetch_item *item)
{
    const struct fetch_message *m = &f->list[f->at];

    switch (item->item.kind) {
    case FETCH_ENVELOPE:
    case FETCH_BODYSTRUCTURE:
    case FETCH_PREVIEW:
    case FETCH_EMAILID:
    case FETCH_SAVEDATE:
        return fetch_write_row(f, &f->rows[f->row_at], item->item.kind);
    case FETCH_BODY:
        return write_body(f);
    default:
        return fetch_is_plain(item->item.kind) ? fetch_write_plain(f, m, item->item.kind) : start_section(f, item);
    }
}

/* --- messages --- */

static int start_message(struct fetch *f, struct index *x)
{
    const struct fetch_message *m = &f->list[f->at];

    if (f->fields != 0) {
        int r = find_row(f, x, m);

        if (r != 0)
            return r;
    }
    if (f->marks_seen && f->at >= f->seen_until)
        mark_seen(f, x);
    if (f->files) {
        int r = open_file(f, x, m);

        if (r != 0)
            return r;
    }
    TRY(fetch_write_start(f, m));
    f->item = 0;
    f->in_line = true;
    return 0;
}

/* The section under way, of which a part has been said. */
static int find_again(struct fetch *f)
{
    struct section found;

    TRY(section_find(&f->file, &f->items[f->item - 1].item, &found));
    if (found.length != f->section.length)
        return -ESTALE;
    found.skip = f->section.skip;
    found.left = f->section.left;
    f->section = found;
    f->find_again = false;
    return 0;
}

/* In the middle of one: its row may have been given back. */
static int go_on_message(struct fetch *f, struct index *x)
{
    int r = f->fields != 0 ? find_row(f, x, &f->list[f->at]) : 0;

    return r == LEFT_OUT ? -ESTALE : r;
}

/* Goes on with the message until it is said (DONE) or the output is full (MORE). */
static int write_message(struct fetch *f)
{
    while (f->out.n < f->aj.room) {
        if (f->in_section) {
            int r = f->find_again ? find_again(f) : 0;

            f->section.most = f->aj.room;
            if (r == 0)
                r = section_next(&f->file, &f->section, &f->out);
            if (r < 0)
                return r;
            f->in_section = r == MORE;
        } else if (f->item < f->item_count) {
            int r = write_item(f, &f->items[f->item]);

            if (r < 0)
                return r;
            f->item += r != MORE;
        } else {
            return fetch_write_end(f, &f->list[f->at]);
        }
    }
    return MORE;
}

/* DONE: it has been said or left out. MORE: the slice is at its end. Negative: nothing more can be said. */
static int one_message(struct fetch *f, struct index *x)
{
    int r = f->in_line ? go_on_message(f, x) : start_message(f, x);

    if (r == 0)
        r = write_message(f);
    if (r == MORE)
        return MORE;
    if (r < 0 && f->in_line) {
        if (f->line_start == SIZE_MAX)
            return r; /* the client has its beginning already */
        f->out.n = f->line_start;
        f->failed = r;
        r = LEFT_OUT;
    }
    f->in_line = f->in_section = f->find_again = false;
    f->text_at = 0;
    message_close(&f->file);
    if (r < 0)
        return r;
    f->at++;
    return DONE;
}

int fetch_run(struct account_job *aj, struct index *x)
{
    struct fetch *f = LIST_ENTRY(aj, struct fetch, aj);
    int64_t since_us = clock_mono_us();

    if (f->wants_vanished && !f->has_vanished) {
        TRY(index_vanished(x, f->folder, f->since, &f->vanished, &aj->err));
        f->has_vanished = true;
        return MORE; /* it is told first */
    }
    f->line_start = SIZE_MAX;
    while ((f->fields != 0 || f->files) && f->at < f->list_count) {
        int r = one_message(f, x);

        if (r < 0)
            return r;
        if (r == MORE || f->out.n >= f->aj.room || is_over(f, since_us))
            break;
    }
    if (f->texts.cap > 2 * IMAP_OUTPUT) /* others of the lane may be next */
        drop_rows(f);
    return f->all_listed && f->at == f->list_count ? DONE : MORE;
}
