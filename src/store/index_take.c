/* Newcomers: files without a row. Each gets a UID and a row; its name follows (index_names.c).
 *
 * A UID that a name already carries is kept where it can be right: no other file has it, it is not below what the rows
 * tell about (there it would be that of a message that has gone), and it was given before the rows were lost or the
 * process began (else it is another folder's). What Dovecot's list says goes before that, as long as a folder is being
 * adopted. */
#include "index_priv.h"

#include "facteur/base/clock.h"
#include "facteur/base/mem.h"
#include "facteur/store/sys.h"

#include "dovecot_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { READ_PIECE = 64 * 1024 };

static const int64_t WRITING_NS = 2000000000; /* nobody has written for so long: it is complete */

static const struct dovecot_record *find_without(const struct dovecot_uidlist *l, struct slice base, const char *fields)
{
    char to[MAILDIR_NAME];
    struct slice part;
    size_t n = 0;

    while (base.n > 0) {
        (void)slice_cut(&base, ',', &part);
        if (n > 0 && part.n >= 2 && part.p[1] == '=' && strchr(fields, part.p[0]) != NULL)
            continue;
        if (n + part.n + 1 >= sizeof to)
            return NULL;
        if (n > 0)
            to[n++] = ',';
        memcpy(to + n, part.p, part.n);
        n += part.n;
    }
    return dovecot_uidlist_find(l, slice_make(to, n));
}

/* Dovecot's record of a file, which may have got its new name from us before a crash. */
static const struct dovecot_record *record_of(const struct dovecot_uidlist *l, const char *name)
{
    static const char *const ours[] = { "", "U", "UW", "US", "SWU" };
    const struct dovecot_record *found = NULL;
    struct file_name n;

    file_name_parse(slice_str(name), &n);
    for (size_t i = 0; l != NULL && found == NULL && i < sizeof ours / sizeof ours[0]; i++)
        found = find_without(l, n.base, ours[i]);
    return found;
}

static void want(const struct folder *f, const struct index_scan *s, struct scan_item *item)
{
    const struct dovecot_record *record = f->adopting ? record_of(s->uidlist, item->name) : NULL;
    uint32_t from = f->adopting && s->uidlist != NULL ? s->uidlist->uidnext : s->believe_from;

    if (record != NULL && record->uid < from)
        item->uid = record->uid;
    else if (item->uid < from || item->uid >= f->named_below)
        item->uid = 0;
}

static int by_age(const struct scan_item *x, const struct scan_item *y)
{
    if (x->seconds != y->seconds)
        return x->seconds < y->seconds ? -1 : 1;
    return strcmp(x->name, y->name);
}

/* Those with a UID first, in its order; then what was in cur/, which is not recent; then by time. */
static int by_want(const void *a, const void *b)
{
    const struct scan_item *x = a, *y = b;

    if (x->uid != y->uid)
        return x->uid == 0 ? 1 : y->uid == 0 ? -1 : x->uid < y->uid ? -1 : 1;
    if (x->place != y->place)
        return x->place < y->place ? -1 : 1;
    return by_age(x, y);
}

static void sort(struct index_scan *s)
{
    bool twice = false;

    if (s->new_count == 0)
        return;
    qsort(s->newcomers, s->new_count, sizeof *s->newcomers, by_want);
    for (size_t i = s->new_count - 1; i > 0; i--)
        if (s->newcomers[i].uid != 0 && s->newcomers[i].uid == s->newcomers[i - 1].uid) {
            s->newcomers[i].uid = 0; /* the older keeps it */
            twice = true;
        }
    if (twice)
        qsort(s->newcomers, s->new_count, sizeof *s->newcomers, by_want);
}

static int read_uidlist(struct folder *f, struct index_scan *s, struct err *e)
{
    int r;

    s->uidlist = mem_zero(sizeof *s->uidlist);
    r = dovecot_uidlist_read(f->base, s->uidlist, e);
    if (r < 0 || s->uidlist->uidvalidity != f->uidvalidity) {
        if (r == 0)
            dovecot_uidlist_clear(s->uidlist);
        mem_free(s->uidlist);
        s->uidlist = NULL;
    }
    return r == -ENOENT || r == -EBADMSG ? 0 : r;
}

static int start(struct index *x, struct folder *f, struct err *e)
{
    struct index_scan *s = f->scan;
    uint32_t unnamed = 0;

    if (s->new_count > 0 && (f->adopting || (s->places[PLACE_CUR] && s->rows == 0)))
        TRY(read_uidlist(f, s, e));
    for (size_t i = 0; i < s->new_count; i++)
        want(f, s, &s->newcomers[i]);
    sort(s);
    for (size_t i = 0; i < s->new_count; i++)
        unnamed += s->newcomers[i].uid == 0;
    s->sorted = true;
    return unnamed > 0 ? index_uid_reserve(x, f, (uint64_t)f->uidnext + unnamed, e) : 0;
}

int index_wire_size(int dir, const char *name, uint64_t *ret)
{
    char *piece;
    uint64_t size = 0;
    char last = '\0';
    ssize_t n;
    int fd = sys->openat(dir, name, O_RDONLY | O_NONBLOCK, 0);

    if (fd < 0)
        return fd;
    piece = mem_alloc(READ_PIECE);
    for (off_t at = 0; (n = sys->pread(fd, piece, READ_PIECE, at)) > 0; at += n) {
        const char *p = piece, *end = piece + n;

        size += (uint64_t)n;
        while ((p = memchr(p, '\n', (size_t)(end - p))) != NULL) {
            size += (p > piece ? p[-1] : last) != '\r';
            p++;
        }
        last = end[-1];
        if (n < READ_PIECE)
            break;
    }
    mem_free(piece);
    (void)sys->close(fd);
    if (n < 0)
        return (int)n;
    *ret = size;
    return 0;
}

/* Whether another program may still be writing the file where it is (cp, tar, scp), and not, as it should be, in tmp/: the
 * octets are the last that has changed, and that just now. A file that is renamed, or gets its time set, when it is
 * complete has changed since. */
static bool being_written(const struct stat *st)
{
    int64_t age = index_files_ns() - ((int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec);

    return st->st_mtim.tv_sec == st->st_ctim.tv_sec && st->st_mtim.tv_nsec == st->st_ctim.tv_nsec && age < WRITING_NS &&
           age > -WRITING_NS;
}

static bool has_our_form(struct slice base)
{
    struct slice part;

    if (!slice_cut(&base, '.', &part))
        return false;
    (void)slice_cut(&base, '.', &part);
    return part.n == 17 && part.p[0] == 'R';
}

/* Whether it is an APPEND that was under way when the system went down: made by us and shorter than it was to be, nothing
 * has happened to it since, and its UID is of those that no row was written for. Nobody was told that it is there. */
static bool was_cut_off(const struct index *x, const struct folder *f, const struct file_name *n, const struct stat *st)
{
    int64_t changed = (int64_t)st->st_ctim.tv_sec * 1000000000 + st->st_ctim.tv_nsec;

    return x->cut_ns != 0 && changed < x->cut_ns && n->has_size && (uint64_t)st->st_size < n->size &&
           n->uid >= f->scan->believe_from && has_our_form(n->base);
}

/* tmp/ is swept. */
static int set_aside(const struct folder *f, const struct scan_item *item)
{
    int tmp = sys_make_path(f->base, "tmp");
    int r = tmp < 0 ? tmp : sys->renameat(f->places[item->place], item->name, tmp, item->name);

    if (tmp >= 0)
        (void)sys->close(tmp);
    return r < 0 && r != -ENOENT ? r : 1;
}

/* Another program was faster: the next look tells what became of the file. */
static int gone(struct folder *f, const struct scan_item *item)
{
    f->known[item->place] = false;
    return 1;
}

/* 0: a message, 1: none of ours (or no longer there, or not yet complete). */
static int measure(const struct index *x, struct folder *f, const struct scan_item *item, const struct file_name *n,
                   struct row *row)
{
    struct stat st;
    uint64_t stored;
    int r;

    if (fstatat(f->places[item->place], item->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? gone(f, item) : -errno;
    if (!S_ISREG(st.st_mode))
        return 1;
    stored = (uint64_t)st.st_size;
    row->message.internal_ms = (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000;
    row->saved_ms = row->message.internal_ms;
    if (was_cut_off(x, f, n, &st))
        return set_aside(f, item);
    if ((!n->has_size || n->size != stored) && being_written(&st)) {
        f->unfinished = true;
        index_doubt(f);
        return 1;
    }
    if (n->has_size && n->has_wire && n->size == stored && n->wire >= stored && n->wire - stored <= stored) {
        row->message.size = n->wire;
        return 0;
    }
    r = index_wire_size(f->places[item->place], item->name, &row->message.size);
    return r == -ENOENT ? gone(f, item) : r;
}

/* A second name of a file that has its row: another program renames by link and unlink, and is between the two. It stays:
 * when the row's name goes, the row follows to this one. */
static bool is_twin(const struct folder *f, const struct scan_item *item, const struct row *row)
{
    struct stat a, b;

    return fstatat(f->places[item->place], item->name, &a, AT_SYMLINK_NOFOLLOW) == 0 &&
           fstatat(f->places[row->place], row->name, &b, AT_SYMLINK_NOFOLLOW) == 0 && a.st_ino == b.st_ino &&
           a.st_dev == b.st_dev;
}

/* Whether a row has the UID that the name carries: 1 when the item is done with (it is that row's file). */
static int taken(struct index *x, struct folder *f, struct scan_item *item, struct err *e)
{
    struct file_name n, known;
    struct row row;
    int r;

    file_name_parse(slice_str(item->name), &n);
    if (item->uid != 0 && item->uid != n.uid) { /* Dovecot's */
        r = index_row(x, f, item->uid, &row, e);
        if (r == 0)
            item->uid = 0;
        else if (r != -ENOENT)
            return r;
    }
    r = n.uid != 0 ? index_row(x, f, n.uid, &row, e) : -ENOENT;
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    if (item->uid == n.uid)
        item->uid = 0;
    file_name_parse(slice_str(row.name), &known);
    if (!slice_eq(known.base, n.base))
        return 0;
    return is_twin(f, item, &row);
}

static int put_row(struct index *x, struct folder *f, const struct scan_item *item, const struct row *row,
                   struct err *e)
{
    const struct dovecot_record *record = record_of(f->scan->uidlist, item->name);
    int r;
    sqlite3_stmt *s;

    TRY(index_row_put(x, f, row, e));
    if (record == NULL || record->uidl.n == 0 || record->uid != row->message.uid)
        return 0;
    s = index_stmt(x, I_UIDL_PUT, &r, e);
    if (s == NULL)
        return r;
    (void)sqlite3_bind_int64(s, 1, INDEX_KEY(f->id, row->message.uid));
    (void)sqlite3_bind_text(s, 2, record->uidl.p, (int)record->uidl.n, SQLITE_STATIC);
    return db_run(x->db, s, e);
}

static int take_one(struct index *x, struct folder *f, struct scan_item *item, bool take_new, uint64_t modseq,
                    struct err *e)
{
    struct row row = { .message.modseq = modseq };
    struct file_name n;
    bool counted;
    int r = taken(x, f, item, e);

    if (r != 0)
        return r < 0 ? r : 0;
    file_name_parse(slice_str(item->name), &n);
    r = measure(x, f, item, &n, &row);
    if (r == -EACCES || r == -EPERM) { /* one file of another owner does not keep the others from their reader */
        (void)err_set(&x->left_out, r, "%s/%s in %s: %s", item->place == PLACE_CUR ? "cur" : "new", item->name, f->name,
                      err_text(r));
        return 0;
    }
    if (r != 0)
        return r < 0 ? err_set(e, r, "read %s in %s of %s: %s", item->name, f->name, x->user, err_text(r)) : 0;
    TRY(index_letters(x, f, n.info, &row.message, e));
    counted = item->uid == 0;
    if (counted)
        TRY(index_uid_reserve(x, f, (uint64_t)f->uidnext + 1, e));
    row.message.uid = counted ? f->uidnext : item->uid;
    row.place = item->place;
    slice_clip(slice_str(item->name), row.name, sizeof row.name);
    if (row.message.uid >= f->uidnext)
        f->uidnext = row.message.uid + 1;
    if (counted && item->place == PLACE_CUR && f->scan->rows == 0 && f->scan->places[PLACE_CUR] &&
        f->first_recent == row.message.uid)
        f->first_recent++; /* an old mailbox is not all new */
    if (row.place == PLACE_NEW)
        f->in_new++;
    if (row.place == PLACE_NEW && take_new)
        index_name_taken(x, f, row.message.uid);
    else
        index_name_due(x, f, row.message.uid);
    TRY(put_row(x, f, item, &row, e));
    index_changed(f, &row.message);
    return 0;
}

int index_take_some(struct index *x, struct folder *f, bool take_new, int64_t since, struct err *e)
{
    struct index_scan *s = f->scan;
    uint64_t modseq;
    int r = 0;

    if (!s->sorted)
        TRY(start(x, f, e));
    if (s->new_at == s->new_count)
        return DONE;
    TRY(index_begin(x, e));
    modseq = index_next_modseq(x, f);
    do {
        r = take_one(x, f, &s->newcomers[s->new_at++], take_new, modseq, e);
    } while (r == 0 && s->new_at < s->new_count && !index_slice_over(since));
    if (r == 0)
        r = index_save(x, f, e);
    else
        index_rollback(x);
    if (r < 0) {
        index_unsay(f);
        f->in_new = -1;
        return r;
    }
    return s->new_at < s->new_count ? MORE : DONE;
}
