/* Names, behind the rows: "<unique>,S=…,W=…,U=<uid>:2,<letters>" is written when nobody waits for it any more.
 *
 * What a file is to be called is made from its row; a name is due when that is not the name in the row. `due` of a
 * folder holds the UIDs that may be, and the folder's row says whether there are any: a process that finds that at its
 * start looks at all rows. A file is renamed within the transaction that notes the new name. When the process dies, or
 * the transaction fails, between the two, the scan knows the file by the unique part of its name, and takes from it
 * the letters in which it differs from the row's. */
#include "index_priv.h"

#include "facteur/base/clock.h"
#include "facteur/base/mem.h"
#include "facteur/store/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

enum { NAME_ROWS = 128, SLICE_US = 5000 /* short: somebody may come */ };

void index_name_due(struct index *x, struct folder *f, uint32_t uid)
{
    if (ranges_has(&f->due, uid))
        return;
    if (ranges_add(&f->due, uid, uid) < 0)
        index_names_unknown(x, f);
    else
        x->names_due++;
}

void index_names_unknown(struct index *x, struct folder *f)
{
    ranges_clear(&f->due);
    if (ranges_add(&f->due, 1, UID_MAX) == 0) /* always: it is one piece */
        x->names_due++;
}

void index_name_taken(struct index *x, struct folder *f, uint32_t uid)
{
    if (uid >= f->taken)
        f->taken = uid + 1;
    index_name_due(x, f, uid);
}

/* Where the file belongs: in new/ it stays as long as only looks that leave it there have seen it. */
static uint8_t place_of(const struct folder *f, const struct row *row)
{
    bool untouched = row->message.flags == 0 && row->message.keywords == 0;

    return row->place == PLACE_NEW && untouched && row->message.uid >= f->taken ? PLACE_NEW : PLACE_CUR;
}

static void make_base(struct index *x, const struct row *row, const struct file_name *n, uint64_t stored, bool again,
                      char to[MAILDIR_NAME])
{
    const struct mailbox_message *m = &row->message;

    if (again)
        file_name_new(x, m->uid, stored, m->size, to);
    else if (n->uid == m->uid && (!n->has_wire || n->wire == m->size))
        slice_clip(n->base, to, MAILDIR_NAME);
    else
        file_name_base(x, n->base, m->uid, stored, m->size, to);
}

/* The name that the row's file is to have in `place`. `again`: another file has the first choice. */
static void make_name(struct index *x, const struct folder *f, const struct row *row, uint64_t stored, uint8_t place,
                      bool again, char to[MAILDIR_NAME])
{
    const struct mailbox_message *m = &row->message;
    struct file_name n;
    char base[MAILDIR_NAME];

    file_name_parse(slice_str(row->name), &n);
    make_base(x, row, &n, stored, again, base);
    if (place == PLACE_NEW) {
        slice_clip(slice_str(base), to, MAILDIR_NAME);
        return;
    }
    if (file_name_flags(slice_str(base), n.info, m->flags, m->keywords, f->keyword_count, to) == 0)
        return;
    file_name_new(x, m->uid, stored, m->size, base); /* another program's name has no room for letters */
    if (file_name_flags(slice_str(base), (struct slice){ 0 }, m->flags, m->keywords, f->keyword_count, to) < 0)
        slice_clip(slice_str(row->name), to, MAILDIR_NAME); /* cannot be: ours are short */
}

/* Whether the file has its name, with its size; letters may stand in any order. */
static bool is_named(const struct folder *f, const struct row *row, uint8_t place)
{
    struct file_name n;

    file_name_parse(slice_str(row->name), &n);
    if (row->place != place || n.uid != row->message.uid || (n.has_wire && n.wire != row->message.size))
        return false;
    return place == PLACE_NEW ||
           (n.info.p != NULL && file_name_says(n.info, row->message.flags, row->message.keywords, f->keyword_count));
}

/* 1: the row's name is another now; 0: it stays, or its file is not there. */
static int name_row(struct index *x, struct folder *f, struct row *row)
{
    uint8_t place = place_of(f, row);
    struct stat st;
    char to[MAILDIR_NAME];
    int r = -EEXIST;

    if (is_named(f, row, place))
        return 0;
    if (fstatat(f->places[row->place], row->name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        r = -errno;
    } else {
        for (int i = 0; i < 2 && r == -EEXIST; i++) {
            make_name(x, f, row, (uint64_t)st.st_size, place, i > 0, to);
            r = row->place == place && strcmp(row->name, to) == 0
                    ? 0
                    : sys->rename_new(f->places[row->place], row->name, f->places[place], to);
        }
    }
    if (r == -ENOENT) { /* another program was first: the next sync sees what became of it */
        f->known[PLACE_CUR] = f->known[PLACE_NEW] = false;
        return 0;
    }
    if (r < 0)
        return r;
    if (row->place == PLACE_NEW && place == PLACE_CUR && f->in_new > 0)
        f->in_new--;
    row->place = place;
    slice_clip(slice_str(to), row->name, sizeof row->name);
    return 1;
}

/* Rows from *from on, in a transaction that has begun, until the slice is over. */
static int name_rows(struct index *x, struct folder *f, uint32_t *from, struct err *e)
{
    int64_t since = clock_mono_us();
    struct row *rows = mem_array(NAME_ROWS, sizeof *rows);
    int n, r = 0;

    do {
        uint32_t next = *from;

        n = index_rows_of(x, f, &f->due, &next, rows, NAME_ROWS, e);
        r = n < 0 ? n : 0;
        for (int i = 0; i < n && r >= 0; i++) {
            r = name_row(x, f, &rows[i]);
            if (r == 1)
                r = index_row_flags(x, f, &rows[i], e);
            else if (r < 0)
                (void)err_set(e, r, "rename a message of %s: %s", x->user, err_text(r));
            if (r >= 0)
                *from = rows[i].message.uid + 1;
        }
        if (r >= 0)
            *from = next;
    } while (r >= 0 && n == NAME_ROWS && clock_mono_us() - since < SLICE_US);
    mem_free(rows);
    return r < 0 ? r : n == NAME_ROWS ? MORE : DONE;
}

static int names_of(struct index *x, struct folder *f, struct err *e)
{
    struct own_change own;
    uint32_t from = f->due.items[0].from;
    int r, saved;

    TRY(index_begin(x, e));
    index_own_start(f, &own);
    r = name_rows(x, f, &from, e);
    index_own_end(f, &own);
    if (r == -EBADMSG) {
        index_rollback(x);
        return r;
    }
    if (r == DONE)
        ranges_clear(&f->due);
    else if (from > 1 && ranges_remove(&f->due, 1, from - 1) < 0)
        index_names_unknown(x, f);
    saved = index_save(x, f, e);
    if (saved < 0) { /* files may have names that no row has: they are looked for before anything else is done */
        index_names_unknown(x, f);
        f->must_scan = true;
    }
    return saved < 0 ? saved : r;
}

int index_names_of(struct index *x, struct folder *f, struct err *e)
{
    int r;

    if (f->due.count == 0)
        return DONE;
    r = names_of(x, f, e);
    return r == DONE ? index_adopted(x, f, e) : r;
}

/* Not one that is being scanned: renames between two slices would make the scan see a directory that never stands still,
 * and begin again. */
static struct folder *folder_due(struct index *x)
{
    for (struct link *l = x->folders.prev; l != &x->folders; l = l->prev) { /* the last used last */
        struct folder *f = LIST_ENTRY(l, struct folder, link);

        if (f->due.count > 0 && f->scan == NULL)
            return f;
    }
    return NULL;
}

static void count_due(struct index *x)
{
    x->names_due = 0;
    LIST_EACH (it, &x->folders) {
        const struct folder *f = LIST_ENTRY(it, struct folder, link);
        uint64_t due = ranges_count(&f->due);

        x->names_due += due < f->uidnext ? due : f->uidnext;
    }
}

static int names_once(struct index *x, struct err *e)
{
    struct folder *f = folder_due(x), *open;
    int r;

    if (f == NULL)
        return DONE;
    index_folder_used(x, f); /* the others have their turn before it again, also when it fails */
    r = index_folder_open(x, f->id, &open, e);
    if (r == -ENOENT) /* its directory has gone */
        ranges_clear(&f->due);
    else if (r == 0)
        r = index_names_of(x, f, e);
    return r < 0 && r != -ENOENT ? r : folder_due(x) != NULL ? MORE : DONE;
}

int index_names(struct index *x, struct err *e)
{
    int r = names_once(x, e);

    if (index_recovered(x, r, e))
        r = DONE;
    count_due(x);
    return r;
}

uint64_t index_names_due(const struct index *x)
{
    return x->names_due;
}

void index_names_all(struct index *x)
{
    LIST_EACH (it, &x->folders) {
        struct folder *f = LIST_ENTRY(it, struct folder, link);

        if (f->scan != NULL) /* nobody goes on with it */
            f->known[PLACE_CUR] = f->known[PLACE_NEW] = false;
        index_scan_free(&f->scan);
    }
    while (index_names(x, NULL) == MORE)
        ;
}
