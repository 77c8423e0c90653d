/* Deliveries that sessions have been told of: their files get the UIDs that were announced. */
#include "index_priv.h"

#include "facteur/base/clock.h"
#include "facteur/base/mem.h"

#include <errno.h>

enum { TAKEN_ROWS = 128 };

/* Whether a scan was there before us. The rows that it made are known by their files' names as long as these are due. */
static int find_taken(struct index *x, struct folder *f, struct index_arrival *items, size_t count, struct err *e)
{
    struct row *rows = mem_array(TAKEN_ROWS, sizeof *rows);
    uint32_t from = 1;
    int n;

    do {
        n = index_rows_of(x, f, &f->due, &from, rows, TAKEN_ROWS, e);
        for (int i = 0; i < n; i++)
            for (size_t k = 0; k < count && rows[i].place == PLACE_NEW; k++)
                if (strcmp(rows[i].name, items[k].name) == 0)
                    items[k].code = err_set(e, -ENOENT, "new/%s of %s has its UID", items[k].name, x->user);
    } while (n == TAKEN_ROWS);
    mem_free(rows);
    return n < 0 ? n : 0;
}

static int arrived_one(struct index *x, struct folder *f, const struct index_arrival *a, struct err *e)
{
    struct row row = { .message = a->message, .saved_ms = clock_wall_ms(), .place = PLACE_NEW };
    struct row other;
    int r = index_row(x, f, a->message.uid, &other, e);

    if (r != -ENOENT)
        return r < 0 ? r : err_set(e, -EEXIST, "UID %u of %s is taken", (unsigned)a->message.uid, x->user);
    TRY(slice_copy(slice_str(a->name), row.name, sizeof row.name));
    if (!index_file_there(f, PLACE_NEW, row.name))
        return err_set(e, -ENOENT, "new/%s of %s is not there", row.name, x->user);
    TRY(index_row_put(x, f, &row, e));
    index_name_taken(x, f, row.message.uid);
    if (f->in_new >= 0)
        f->in_new++;
    return 0;
}

/* What one of them lacks is its own affair; what the database lacks is all of theirs. */
static int arrived_all(struct index *x, struct folder *f, struct index_arrival *items, size_t count, struct err *e)
{
    int r = index_begin(x, e);

    if (r < 0)
        return r;
    for (size_t i = 0; i < count && r == 0; i++) {
        if (items[i].code == 0)
            items[i].code = arrived_one(x, f, &items[i], e);
        if (items[i].code < 0 && items[i].code != -ENOENT && items[i].code != -EEXIST)
            r = items[i].code;
    }
    if (r == 0)
        r = index_save(x, f, e);
    else
        index_rollback(x);
    if (r < 0)
        f->in_new = -1;
    return r;
}

/* UIDs and mod-sequences have been told to somebody, whatever becomes of them. */
static int note_given(struct index *x, struct folder *f, const struct index_arrival *items, size_t count, struct err *e)
{
    for (size_t i = 0; i < count; i++) {
        const struct mailbox_message *m = &items[i].message;

        if (m->uid == 0 || m->uid > UID_MAX)
            return err_set(e, -EINVAL, "no UID");
        if (m->uid >= f->uidnext)
            f->uidnext = m->uid + 1;
        if (m->modseq > f->modseq)
            f->modseq = m->modseq;
    }
    return index_uid_reserve(x, f, f->uidnext, e);
}

static int arrived_once(struct index *x, uint32_t folder, struct index_arrival *items, size_t count, struct err *e)
{
    struct folder *f;
    int r;

    for (size_t i = 0; i < count; i++)
        items[i].code = 0;
    TRY(index_folder_open(x, folder, &f, e));
    TRY(note_given(x, f, items, count, e));
    do
        r = f->in_new != 0 ? index_names_of(x, f, e) : DONE;
    while (r == MORE);
    if (r == -EBADMSG)
        return r;
    if (f->due.count > 0)
        TRY(find_taken(x, f, items, count, e));
    TRY(arrived_all(x, f, items, count, e));
    if (f->scan == NULL)
        return 0;
    while ((r = index_names_of(x, f, e)) == MORE) /* its list has them under the names that they have now */
        ;
    if (r < 0)
        index_scan_free(&f->scan);
    return r == -EBADMSG ? r : 0;
}

int index_arrived(struct index *x, uint32_t folder, struct index_arrival *items, size_t count, struct err *e)
{
    int r = arrived_once(x, folder, items, count, e);

    if (index_recovered(x, r, e))
        r = arrived_once(x, folder, items, count, e);
    for (size_t i = 0; i < count && r < 0; i++)
        items[i].code = r;
    return r;
}
