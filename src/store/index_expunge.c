/* What goes, and what had gone. */
#include "index_priv.h"

#include "facteur/base/clock.h"
#include "facteur/base/mem.h"
#include "facteur/store/sys.h"

#include <errno.h>

enum { EXPUNGE_ROWS = 128 };

struct removal {
    struct ranges gone;
    int64_t messages, octets;
};

int index_remove(struct index *x, struct folder *f, const struct row *row, struct err *e)
{
    int r = sys->unlinkat(f->places[row->place], row->name);

    if (r == -ENOENT) {
        r = index_lost(f, row->message.uid);
        return r == 1 ? 0 : r; /* it has gone already */
    }
    if (r < 0)
        return err_set(e, r, "remove a message of %s: %s", x->user, err_text(r));
    if (f->retried == row->message.uid)
        f->retried = 0; /* it was found */
    return 0;
}

static int remove_one(struct index *x, struct folder *f, const struct row *row, struct removal *w, struct err *e)
{
    struct file_name n;

    TRY(index_remove(x, f, row, e));
    file_name_parse(slice_str(row->name), &n);
    w->messages++;
    w->octets += n.has_size && n.size <= INT64_MAX - (uint64_t)w->octets ? (int64_t)n.size : 0;
    if (row->place == PLACE_NEW && f->in_new > 0)
        f->in_new--;
    TRY(index_row_delete(x, f, row->message.uid, e));
    index_gone(f, row->message.uid);
    return ranges_add(&w->gone, row->message.uid, row->message.uid);
}

static int expunge_some(struct index *x, struct folder *f, const struct ranges *uids, uint32_t *from, bool any,
                        struct removal *w, struct err *e)
{
    int64_t since = clock_mono_us();
    struct row *rows = mem_array(EXPUNGE_ROWS, sizeof *rows);
    struct own_change own;
    int n, r = 0;

    index_own_start(f, &own);
    do {
        uint32_t next = *from;

        n = index_rows_of(x, f, uids, &next, rows, EXPUNGE_ROWS, e);
        r = n < 0 ? n : 0;
        for (int i = 0; i < n && r == 0; i++) {
            if (any || (rows[i].message.flags & FLAG_DELETED) != 0)
                r = remove_one(x, f, &rows[i], w, e);
            if (r == 0)
                *from = rows[i].message.uid + 1;
        }
        if (r == 0)
            *from = next;
    } while (r == 0 && n == EXPUNGE_ROWS && !index_slice_over(since));
    index_own_end(f, &own);
    mem_free(rows);
    return r < 0 ? r : n == EXPUNGE_ROWS ? MORE : DONE;
}

int index_note_removed(struct index *x, struct folder *f, const struct ranges *gone, struct err *e)
{
    int r = gone->count > 0 ? index_expunged_put(x, f, gone, index_next_modseq(x, f), e) : 0;

    if (r == 0)
        return index_save(x, f, e);
    index_rollback(x);
    return r;
}

static int expunge_once(struct index *x, uint32_t folder, const struct ranges *uids, uint32_t *from, bool any,
                        struct mailbox_changes *ret, struct err *e)
{
    struct removal w = { 0 };
    struct folder *f;
    int r, told;

    TRY(index_folder_open(x, folder, &f, e));
    r = index_ready(x, f, e);
    if (r == DONE) {
        TRY(index_begin(x, e));
        r = expunge_some(x, f, uids, from, any, &w, e);
        told = r == -EBADMSG ? r : index_note_removed(x, f, &w.gone, e);
        index_count(x, -w.messages, -w.octets);
        ranges_clear(&w.gone);
        if (told < 0) {
            f->must_scan = true;
            return told;
        }
        if (r == -EAGAIN)
            r = MORE;
    }
    if (r < 0)
        return r;
    told = index_tell(x, f, ret, e);
    return told < 0 ? told : r;
}

int index_expunge(struct index *x, uint32_t folder, const struct ranges *uids, uint32_t *from, bool any,
                  struct mailbox_changes *ret, struct err *e)
{
    int r = expunge_once(x, folder, uids, from, any, ret, e);

    return index_recovered(x, r, e) ? MORE : r;
}

/* All UIDs that are not there. */
static int vanished_all(struct index *x, struct folder *f, struct ranges *ret, struct err *e)
{
    struct row *rows = mem_array(EXPUNGE_ROWS, sizeof *rows);
    uint32_t next = 1;
    int n, r = 0;

    do {
        n = index_rows(x, f, next, UID_MAX, rows, EXPUNGE_ROWS, e);
        for (int i = 0; i < n && r == 0; i++) {
            if (rows[i].message.uid > next)
                r = ranges_add(ret, next, rows[i].message.uid - 1);
            next = rows[i].message.uid + 1;
        }
    } while (r == 0 && n == EXPUNGE_ROWS);
    if (r == 0 && n >= 0 && next < f->uidnext)
        r = ranges_add(ret, next, f->uidnext - 1);
    mem_free(rows);
    return n < 0 ? n : r;
}

static int vanished_since(struct index *x, struct folder *f, uint64_t since, struct ranges *ret, struct err *e)
{
    int64_t low, high;
    int r;
    sqlite3_stmt *s = index_stmt(x, I_EXPUNGED, &r, e);

    if (s == NULL)
        return r;
    (void)sqlite3_bind_int64(s, 1, f->id);
    (void)sqlite3_bind_int64(s, 2, since > INT64_MAX ? INT64_MAX : (int64_t)since);
    while ((r = db_row(x->db, s, e)) > 0) {
        r = db_int(s, 0, 1, UID_MAX, &low);
        if (r == 0)
            r = db_int(s, 1, low, UID_MAX, &high);
        if (r == 0)
            r = ranges_add(ret, (uint32_t)low, (uint32_t)high);
        if (r < 0)
            break;
    }
    (void)sqlite3_reset(s);
    return r;
}

static int vanished_once(struct index *x, uint32_t folder, uint64_t since, struct ranges *ret, struct err *e)
{
    struct folder *f;

    TRY(index_folder_open(x, folder, &f, e));
    if (since < f->vanished_from)
        return vanished_all(x, f, ret, e);
    return vanished_since(x, f, since, ret, e);
}

int index_vanished(struct index *x, uint32_t folder, uint64_t since, struct ranges *ret, struct err *e)
{
    int r = vanished_once(x, folder, since, ret, e);

    if (!index_recovered(x, r, e))
        return r;
    ranges_clear(ret);
    return vanished_once(x, folder, since, ret, e);
}
