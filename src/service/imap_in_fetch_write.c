/* How a message is said: "* 3 FETCH (UID 5 FLAGS (\Seen) …)". */
#include "imap_in_fetch_priv.h"

#include <errno.h>

int fetch_write_start(struct fetch *f, const struct fetch_message *m)
{
    f->line_start = f->out.n;
    f->has_said = false;
    TRY(buf_add(&f->out, "* ", 2));
    TRY(imap_write_number(&f->out, m->seq));
    return buf_add(&f->out, " FETCH (", 8);
}

int fetch_write_label(struct fetch *f, struct slice label)
{
    if (f->has_said)
        TRY(buf_addc(&f->out, ' '));
    f->has_said = true;
    TRY(buf_add(&f->out, label.p, label.n));
    return buf_addc(&f->out, ' ');
}

static int write_flags(struct fetch *f, const struct fetch_message *m)
{
    TRY(fetch_write_label(f, SLICE_LIT("FLAGS")));
    return imap_write_flags(&f->out, m->flags, m->keywords, f->names, f->name_count, m->recent && !f->rev2);
}

static int write_modseq(struct fetch *f, const struct fetch_message *m)
{
    TRY(fetch_write_label(f, SLICE_LIT("MODSEQ")));
    TRY(buf_addc(&f->out, '('));
    TRY(imap_write_number(&f->out, m->modseq));
    return buf_addc(&f->out, ')');
}

int fetch_write_plain(struct fetch *f, const struct fetch_message *m, enum imap_fetch_kind kind)
{
    switch (kind) {
    case FETCH_FLAGS:
        return write_flags(f, m);
    case FETCH_UID:
        TRY(fetch_write_label(f, SLICE_LIT("UID")));
        return imap_write_number(&f->out, m->uid);
    case FETCH_INTERNALDATE:
        TRY(fetch_write_label(f, SLICE_LIT("INTERNALDATE")));
        return imap_write_date(&f->out, m->internal_ms);
    case FETCH_SIZE:
        TRY(fetch_write_label(f, SLICE_LIT("RFC822.SIZE")));
        return imap_write_number(&f->out, m->size);
    case FETCH_MODSEQ:
        return write_modseq(f, m);
    default: /* RFC 8474 section 5.3: there are no threads here */
        TRY(fetch_write_label(f, SLICE_LIT("THREADID")));
        return buf_add(&f->out, "NIL", 3);
    }
}

static bool has_item(const struct fetch *f, enum imap_fetch_kind kind)
{
    for (size_t i = 0; i < f->item_count; i++) {
        if (f->items[i].item.kind == kind)
            return true;
    }
    return false;
}

int fetch_write_end(struct fetch *f, const struct fetch_message *m)
{
    if (m->seen_now && !has_item(f, FETCH_FLAGS))
        TRY(write_flags(f, m));
    if (m->seen_now && f->condstore && !has_item(f, FETCH_MODSEQ)) /* RFC 7162 section 3.1.4 */
        TRY(write_modseq(f, m));
    if (!f->has_said) /* the list may not be empty */
        TRY(fetch_write_plain(f, m, FETCH_UID));
    return buf_add(&f->out, ")\r\n", 3);
}

static struct slice text_of(const struct fetch *f, struct fetch_text text)
{
    return slice_make(f->texts.p + text.at, text.n);
}

/* Prepared texts are what stands after the name. One that is missing makes no answer at all. A long one is said in
 * pieces; its row may have been read again meanwhile. */
static int write_prepared(struct fetch *f, struct slice label, struct fetch_text text)
{
    size_t room, n;

    if (text.n == 0)
        return -ENODATA;
    if (f->text_at == 0)
        TRY(fetch_write_label(f, label));
    else if (text.n != f->text_n)
        return -ESTALE;
    room = f->out.n < f->aj.room ? f->aj.room - f->out.n : 1;
    n = text.n - f->text_at < room ? text.n - f->text_at : room;
    TRY(buf_add(&f->out, f->texts.p + text.at + f->text_at, n));
    f->text_n = text.n;
    f->text_at = f->text_at + n < text.n ? f->text_at + n : 0;
    return f->text_at == 0 ? DONE : MORE;
}

int fetch_write_row(struct fetch *f, const struct fetch_row *row, enum imap_fetch_kind kind)
{
    switch (kind) {
    case FETCH_ENVELOPE:
        return write_prepared(f, SLICE_LIT("ENVELOPE"), row->envelope);
    case FETCH_BODYSTRUCTURE:
        return write_prepared(f, SLICE_LIT("BODYSTRUCTURE"), row->structure);
    case FETCH_PREVIEW:
        TRY(fetch_write_label(f, SLICE_LIT("PREVIEW")));
        return imap_write_string(&f->out, text_of(f, row->preview));
    case FETCH_EMAILID:
        TRY(fetch_write_label(f, SLICE_LIT("EMAILID")));
        return buf_addf(&f->out, "(%s)", row->email_id);
    default:
        TRY(fetch_write_label(f, SLICE_LIT("SAVEDATE")));
        return row->saved_ms > 0 ? imap_write_date(&f->out, row->saved_ms) : buf_add(&f->out, "NIL", 3);
    }
}
