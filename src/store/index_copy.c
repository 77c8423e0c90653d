/* COPY and MOVE: hard links under names of their own, durable before anything goes. */
#include "index_priv.h"

#include "facteur/base/clock.h"
#include "facteur/base/mem.h"
#include "facteur/store/sys.h"

#include "maildir_name.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

enum { COPY_ROWS = 128, COPY_PIECE = 64 * 1024, UNSYNCED_MS = 600000 };

struct copied {
    uint32_t from, to;
    const char *name; /* in the target's cur/ */
    uint64_t stored;
};

struct copy {
    struct folder *from, *to;
    const struct ranges *uids;
    uint32_t below;             /* UIDs from here on came while it ran */
    uint8_t bits[KEYWORDS_MAX]; /* the target's keyword for each of ours; KEYWORDS_MAX: none */
    uint64_t keywords, octets;
    struct arena names;
    struct copied *items;
    size_t count, cap;
    int tmp;
    uint64_t modseq;
    bool move;
};

/* How much there is to copy, and with which keywords. */
static int copy_measure(struct index *x, struct copy *c, struct row *rows, struct err *e)
{
    uint32_t from = 0;
    int n;

    do {
        n = index_rows_of(x, c->from, c->uids, &from, rows, COPY_ROWS, e);
        for (int i = 0; i < n; i++) {
            struct file_name name;

            file_name_parse(slice_str(rows[i].name), &name);
            c->octets += name.has_size ? name.size : rows[i].message.size;
            c->keywords |= rows[i].message.keywords;
            c->cap++;
        }
    } while (n == COPY_ROWS);
    return n < 0 ? n : 0;
}

/* Keywords that the target has no room for are not copied. */
static int map_keywords(struct index *x, struct copy *c, struct err *e)
{
    for (unsigned i = 0; i < KEYWORDS_MAX; i++) {
        unsigned bit = KEYWORDS_MAX;
        int r = 0;

        if ((c->keywords >> i & 1) != 0 && i < c->from->keyword_count)
            r = index_keyword_bit(x, c->to, slice_str(c->from->keywords[i]), true, &bit, e);
        if (r < 0 && r != -EXFULL && r != -EINVAL)
            return r;
        c->bits[i] = (uint8_t)bit;
    }
    return 0;
}

static uint64_t mapped(const struct copy *c, uint64_t keywords)
{
    uint64_t to = 0;

    for (unsigned i = 0; i < KEYWORDS_MAX; i++)
        if ((keywords >> i & 1) != 0 && c->bits[i] < KEYWORDS_MAX)
            to |= (uint64_t)1 << c->bits[i];
    return to;
}

/* Where links are not possible. */
static int copy_octets(int from, int to)
{
    char *piece = mem_alloc(COPY_PIECE);
    off_t at = 0;
    ssize_t n;
    int r = 0;

    while (r == 0 && (n = sys->pread(from, piece, COPY_PIECE, at)) != 0) {
        r = n < 0 ? (int)n : sys_write_all(to, slice_make(piece, (size_t)n));
        at += n;
    }
    mem_free(piece);
    return r;
}

static int copy_file(struct copy *c, const struct row *row, const char *name)
{
    int from = sys->openat(c->from->places[row->place], row->name, O_RDONLY | O_NONBLOCK, 0);
    struct stat st;
    int fd, r;

    if (from < 0)
        return from;
    fd = sys->openat(c->tmp, name, O_WRONLY | O_CREAT | O_EXCL, 0600);
    r = fd < 0 ? fd : copy_octets(from, fd);
    if (r == 0 && fstat(from, &st) == 0)
        (void)futimens(fd, (struct timespec[]){ st.st_atim, st.st_mtim });
    (void)sys->close(from);
    if (r == 0)
        r = sys->fsync(fd);
    if (fd >= 0)
        (void)sys->close(fd);
    if (r == 0)
        r = sys->rename_new(c->tmp, name, c->to->places[PLACE_CUR], name);
    if (r < 0 && fd >= 0)
        (void)sys->unlinkat(c->tmp, name);
    return r;
}

/* A delivery is written to the disk some seconds later; its copy is promised to be there now. */
static bool is_young_delivery(const struct row *row)
{
    int64_t age = clock_wall_ms() - row->message.internal_ms;
    struct maildir_name n;

    maildir_name_parse(slice_str(row->name), &n);
    return n.ours && age < UNSYNCED_MS && age > -(int64_t)UNSYNCED_MS;
}

static int sync_young(struct copy *c, const char *name, const struct row *row)
{
    int fd, r;

    if (!is_young_delivery(row))
        return 0;
    fd = sys->openat(c->to->places[PLACE_CUR], name, O_RDONLY | O_NONBLOCK, 0);
    if (fd < 0)
        return fd;
    r = sys->fsync(fd);
    (void)sys->close(fd);
    return r;
}

static int link_file(struct copy *c, const struct row *row, const char *name)
{
    int r = sys->linkat(c->from->places[row->place], row->name, c->to->places[PLACE_CUR], name);

    if (r == -EXDEV || r == -EMLINK || r == -EPERM || r == -EOPNOTSUPP)
        return copy_file(c, row, name);
    return r;
}

static int stored_size(const struct copy *c, const struct row *row, uint64_t *ret)
{
    struct file_name n;
    struct stat st;

    file_name_parse(slice_str(row->name), &n);
    *ret = n.size;
    if (n.has_size)
        return 0;
    if (fstatat(c->from->places[row->place], row->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    *ret = (uint64_t)st.st_size;
    return 0;
}

/* 1: it has gone. */
static int copy_one(struct index *x, struct copy *c, const struct row *row, struct err *e)
{
    struct copied *item = &c->items[c->count];
    struct row to = *row;
    char base[MAILDIR_NAME];
    int r = stored_size(c, row, &item->stored);

    to.message.keywords = mapped(c, row->message.keywords);
    to.message.modseq = c->modseq;
    to.message.uid = c->to->uidnext;
    to.saved_ms = clock_wall_ms();
    to.place = PLACE_CUR;
    file_name_new(x, to.message.uid, item->stored, to.message.size, base);
    if (r == 0)
        r = file_name_flags(slice_str(base), (struct slice){ 0 }, to.message.flags, to.message.keywords,
                            c->to->keyword_count, to.name);
    if (r == 0)
        r = link_file(c, row, to.name);
    if (r == -ENOENT)
        return index_lost(c->from, row->message.uid);
    if (r < 0)
        return err_set(e, r, "copy message %u in %s of %s: %s", (unsigned)row->message.uid, c->from->name, x->user,
                       err_text(r));
    item->from = row->message.uid;
    item->to = to.message.uid;
    item->name = arena_str(&c->names, slice_str(to.name));
    c->count++;
    c->to->uidnext++;
    r = sync_young(c, item->name, row);
    if (r < 0)
        return err_set(e, r, "sync a message of %s: %s", x->user, err_text(r));
    TRY(index_row_put(x, c->to, &to, e));
    TRY(index_run(x, I_PREPARED_COPY, (int64_t[]){ INDEX_KEY(c->from->id, item->from), INDEX_KEY(c->to->id, item->to) },
                  2, e));
    index_changed(c->to, &to.message);
    return 0;
}

static int copy_all(struct index *x, struct copy *c, struct row *rows, struct err *e)
{
    uint32_t from = 0;
    int n, r = 0;

    do {
        n = index_rows_of(x, c->from, c->uids, &from, rows, COPY_ROWS, e);
        for (int i = 0; i < n && r >= 0 && c->count < c->cap; i++)
            if (rows[i].message.uid < c->below)
                r = copy_one(x, c, &rows[i], e);
    } while (r >= 0 && n == COPY_ROWS && from < c->below);
    if (n < 0 || r < 0)
        return n < 0 ? n : r;
    r = c->count > 0 ? sys->fsync(c->to->places[PLACE_CUR]) : 0;
    return r < 0 ? err_set(e, r, "sync folder %s of %s: %s", c->to->name, x->user, err_text(r)) : 0;
}

static int copy_run(struct index *x, struct copy *c, struct err *e)
{
    struct row *rows = mem_array(COPY_ROWS, sizeof *rows);
    struct own_change own;
    int r = copy_measure(x, c, rows, e);

    if (r == 0)
        r = map_keywords(x, c, e);
    if (r == 0 && !c->move) /* moved, it takes no more room: also a full account can be tidied up */
        r = index_room(x, c->octets, e);
    if (r == 0)
        r = index_uid_reserve(x, c->to, (uint64_t)c->to->uidnext + c->cap, e);
    if (r == 0)
        r = index_begin(x, e);
    if (r == 0) {
        c->items = mem_array(c->cap + 1, sizeof *c->items);
        c->modseq = index_next_modseq(x, c->to);
        index_own_start(c->to, &own);
        r = copy_all(x, c, rows, e);
        if (r == 0)
            r = index_save(x, c->to, e);
        else
            index_rollback(x);
        for (size_t i = 0; i < c->count && r < 0; i++)
            (void)sys->unlinkat(c->to->places[PLACE_CUR], c->items[i].name);
        index_own_end(c->to, &own);
    }
    mem_free(rows);
    return r;
}

static int move_one(struct index *x, struct copy *c, uint32_t uid, struct ranges *gone, struct err *e)
{
    struct row row;
    int r = index_row(x, c->from, uid, &row, e);

    if (r == 0)
        r = index_remove(x, c->from, &row, e);
    if (r == -EAGAIN) { /* it was renamed meanwhile: what stays is there twice, which is better than not at all */
        c->from->retried = 0;
        return 0;
    }
    TRY(r);
    if (row.place == PLACE_NEW && c->from->in_new > 0)
        c->from->in_new--;
    TRY(index_row_delete(x, c->from, uid, e));
    index_gone(c->from, uid);
    return ranges_add(gone, uid, uid);
}

static int move_rest(struct index *x, struct copy *c, struct err *e)
{
    struct ranges gone = { 0 };
    struct own_change own;
    int r, saved;

    TRY(index_begin(x, e));
    index_own_start(c->from, &own);
    r = 0;
    for (size_t i = 0; i < c->count && r == 0; i++)
        r = move_one(x, c, c->items[i].from, &gone, e);
    index_own_end(c->from, &own);
    saved = r == -EBADMSG ? r : index_note_removed(x, c->from, &gone, e);
    ranges_clear(&gone);
    if (saved < 0)
        c->from->must_scan = true;
    return saved < 0 ? saved : r;
}

static int copy_once(struct index *x, uint32_t from, const struct ranges *uids, uint32_t to, bool move, struct copy *c,
                     struct err *e)
{
    int r;

    TRY(index_folder_open(x, from, &c->from, e));
    TRY(index_folder_open(x, to, &c->to, e));
    r = index_ready(x, c->from, e);
    if (r != DONE)
        return r;
    c->uids = uids;
    c->move = move;
    c->below = c->from == c->to ? c->from->uidnext : UINT32_MAX;
    c->tmp = sys_make_path(c->to->base, "tmp");
    if (c->tmp < 0)
        return err_set(e, c->tmp, "open tmp/ of %s: %s", x->user, err_text(c->tmp));
    r = copy_run(x, c, e);
    (void)sys->close(c->tmp);
    if (r < 0) { /* rows that were noted are not there */
        c->to->rebuilt = c->to->loaded;
        return r == -EAGAIN ? MORE : r;
    }
    if (move)
        r = move_rest(x, c, e);
    else
        index_count(x, (int64_t)c->count, (int64_t)c->octets);
    return r;
}

int index_copy(struct index *x, uint32_t from, const struct ranges *uids, uint32_t to, bool move,
               struct mailbox_changes *gone_from, struct mailbox_changes *added_to, struct ranges *from_uids,
               struct ranges *to_uids, struct err *e)
{
    struct copy c = { 0 };
    int r = copy_once(x, from, uids, to, move, &c, e);

    if (index_recovered(x, r, e))
        r = MORE; /* copies that stay are there twice */
    for (size_t i = 0; i < c.count && r == DONE; i++) {
        r = ranges_add(from_uids, c.items[i].from, c.items[i].from);
        if (r == 0)
            r = ranges_add(to_uids, c.items[i].to, c.items[i].to);
    }
    if (r >= 0 && c.to != NULL && added_to != NULL) {
        int told = index_tell(x, c.to, added_to, e);

        if (told == 0 && c.from != c.to && gone_from != NULL)
            told = index_tell(x, c.from, gone_from, e);
        r = told < 0 ? told : r;
    }
    arena_clear(&c.names);
    mem_free(c.items);
    return r;
}
