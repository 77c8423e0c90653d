/* A damaged queue.db is copied, the copy is read, what it still tells goes into a new queue.db, and only then does anything
 * change: the damaged files get other names and the new one gets theirs. */
#include "facteur/store/queue_salvage.h"

#include "facteur/base/codec.h"
#include "facteur/base/mem.h"
#include "facteur/store/sys.h"

#include "dir_priv.h"
#include "queue_salvage_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define WORK "salvage" /* a directory in the state directory, for as long as it takes */

enum { PAGE = 4096, BATCH = 64, BATCH_OCTETS = 8 * 1024 * 1024, KEPT_MOST = 1000 };
enum { HEADER_PAGES = 28, HEADER_FREE = 32, HEADER_FREE_SIZE = 8 }; /* sqlite.org/fileformat.html, 1.3 */

struct salvage {
    struct queue_salvage *told;
    const char *state;
    struct queue *q;    /* the state directory and its lock, nothing else */
    struct queue *old;  /* the copy */
    struct queue *made; /* the new one */
    int work;           /* the directory WORK */
    bool patched;       /* its first page was unreadable and is a new one now */
    bool unread;        /* the disk did not give all of it */
    uint64_t *ids;      /* of the messages that were saved, in order */
    size_t count;
};

/* What waits to be written in one transaction. */
struct batch {
    struct queue_op ops[BATCH];
    struct queue_message *messages[BATCH];
    size_t count;
    uint64_t octets;
};

static bool is_there(int dir, const char *name)
{
    struct stat st;

    return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* --- the copy --- */

static int copy_pages(struct salvage *s, int from, int to)
{
    char page[PAGE];
    struct stat st;
    int r = fstat(from, &st) < 0 ? -errno : 0;

    for (off_t at = 0; r == 0 && at < st.st_size; at += PAGE) {
        ssize_t n = sys->pread(from, page, sizeof page, at);

        if (n == -EIO) { /* the disk cannot give this page: the others count */
            s->unread = true;
            n = sizeof page;
            memset(page, 0, sizeof page);
        }
        r = n < 0 ? (int)n : sys_write_all(to, slice_make(page, (size_t)n));
    }
    return r;
}

static int copy(struct salvage *s, const char *name, const char *as, struct err *e)
{
    int from = sys->openat(s->q->dir, name, O_RDONLY, 0), to, r;

    if (from < 0)
        return err_set(e, from, "open %s/%s: %s", s->state, name, err_text(from));
    to = sys->openat(s->work, as, O_WRONLY | O_CREAT | O_EXCL, 0600);
    r = to < 0 ? to : copy_pages(s, from, to);
    if (to >= 0)
        (void)sys->close(to);
    (void)sys->close(from);
    return r < 0 ? err_set(e, r, "copy %s/%s: %s", s->state, name, err_text(r)) : 0;
}

/* Of an earlier salvage that did not come to its end, too. */
static void clear_work(int work)
{
    static const char *const names[] = { "damaged.db", "damaged.db-wal", "damaged.db-shm", "damaged.db-journal",
                                         "queue.db",   "queue.db-wal",   "facteur.lock" };

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        (void)sys->unlinkat(work, names[i]);
}

/* The first page holds only the schema, which is the same for all. */
static int patch_first_page(struct salvage *s, const char *work, struct err *e)
{
    struct queue *empty = NULL;
    unsigned char page[PAGE];
    struct stat st;
    int fd, r;

    TRY(queue_open(work, &empty, e));
    queue_close(&empty);
    r = fd = sys->openat(s->work, "queue.db", O_RDONLY, 0);
    if (fd >= 0) {
        r = sys->pread(fd, page, sizeof page, 0) == PAGE ? 0 : -EIO;
        (void)sys->close(fd);
    }
    if (r == 0)
        r = fd = sys->openat(s->work, "damaged.db", O_RDWR, 0);
    if (r >= 0) {
        r = fstat(fd, &st) < 0 ? -errno : 0;
        for (size_t i = 0; r == 0 && i < 4; i++)
            page[HEADER_PAGES + i] = (unsigned char)((uint64_t)st.st_size / PAGE >> (24 - 8 * i));
        memset(page + HEADER_FREE, 0, HEADER_FREE_SIZE);
        if (r == 0 && pwrite(fd, page, sizeof page, 0) != PAGE)
            r = -EIO;
        (void)sys->close(fd);
    }
    s->patched = true;
    return r < 0 ? err_set(e, r, "repair the copy's first page: %s", err_text(r)) : 0;
}

static void close_old(struct salvage *s)
{
    if (s->old == NULL)
        return;
    db_finalize(s->old->stmt, Q_STATEMENTS);
    if (s->old->db != NULL)
        db_close(&s->old->db);
    mem_free(s->old);
    s->old = NULL;
}

static int open_old(struct salvage *s, const char *work, struct err *e)
{
    int64_t version = 0;

    close_old(s);
    s->old = mem_zero(sizeof *s->old);
    s->old->page_size = PAGE;
    TRY(db_open(work, "damaged.db", false, &s->old->db, e));
    (void)sqlite3_db_config(s->old->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    TRY(db_exec(s->old->db, "PRAGMA locking_mode = EXCLUSIVE", e));
    TRY(db_number(s->old->db, "PRAGMA user_version", 0, &version, e));
    if (version > QUEUE_SCHEMA)
        return err_set(e, -EPROTO, "%s/queue.db was written by a newer facteur: upgrade", s->state);
    return queue_prepare(s->old, e);
}

static int prepare(struct salvage *s, struct err *e)
{
    char work[PAGE];
    int r;

    if (!is_there(s->q->dir, "queue.db"))
        return err_set(e, -ENOENT, "there is no queue.db in %s", s->state);
    if (snprintf(work, sizeof work, "%s/" WORK, s->state) >= (int)sizeof work)
        return err_set(e, -ENAMETOOLONG, "%s: the path is too long", s->state);
    s->work = sys_make_path(s->q->dir, WORK);
    if (s->work < 0)
        return err_set(e, s->work, "make %s: %s", work, err_text(s->work));
    clear_work(s->work);
    TRY(copy(s, "queue.db", "damaged.db", e));
    if (is_there(s->q->dir, "queue.db-wal"))
        TRY(copy(s, "queue.db-wal", "damaged.db-wal", e));
    r = open_old(s, work, e);
    if (r == -EBADMSG || r == -EIO) {
        close_old(s);
        TRY(patch_first_page(s, work, e));
        r = open_old(s, work, e);
    }
    return r < 0 ? r : queue_open(work, &s->made, e);
}

/* --- the rows --- */

static int write_batch(struct salvage *s, struct batch *b, struct err *e)
{
    struct link ops;
    int r = 0;

    list_init(&ops);
    for (size_t i = 0; i < b->count; i++) {
        b->ops[i] = (struct queue_op){ .kind = QUEUE_ADD, .message = b->messages[i] };
        list_push(&ops, &b->ops[i].link);
    }
    if (b->count > 0)
        r = queue_apply(s->made, &ops, e);
    for (size_t i = 0; i < b->count; i++) {
        s->told->messages++;
        s->told->recipients += b->messages[i]->count;
        queue_message_free(&b->messages[i]);
    }
    b->count = 0;
    b->octets = 0;
    return r;
}

static void tell(struct salvage *s, enum queue_lost what, const struct queue_message *m)
{
    s->told->messages_lost += what == QUEUE_LOST_MESSAGE;
    s->told->lost(s->told->ctx, what, m->id, m->sender, m->count > 0 ? m->recipients[0].address : NULL);
}

/* Takes one message out of the old file. */
static int take(struct salvage *s, uint64_t id, struct batch *b, struct err *e)
{
    struct queue_message *m = NULL;
    bool complete = false;
    int r = salvage_message(s->old, id, &m, &complete, e);

    if (r == 0) {
        if (!complete)
            tell(s, QUEUE_LOST_RECIPIENTS, m);
        s->told->pages_lost |= !complete;
        s->ids[s->count++] = id;
        b->octets += m->spooled ? 0 : m->size;
        b->messages[b->count++] = m;
        return b->count == BATCH || b->octets > BATCH_OCTETS ? write_batch(s, b, e) : 0;
    }
    if (r == -EBADMSG) {
        tell(s, QUEUE_LOST_MESSAGE, m);
        r = 0;
    }
    queue_message_free(&m);
    return r;
}

static int take_all(struct salvage *s, struct err *e)
{
    struct batch *b = mem_zero(sizeof *b);
    size_t count = 0;
    int r = salvage_ids(s->old, &s->ids, &count, &s->told->pages_lost, e);

    for (size_t i = 0; r == 0 && i < count; i++)
        r = take(s, s->ids[i], b, e); /* what was saved is noted at the array's beginning, behind which i never is */
    if (r == 0)
        r = write_batch(s, b, e);
    for (size_t i = 0; i < b->count; i++)
        queue_message_free(&b->messages[i]);
    mem_free(b);
    return r;
}

static bool is_whole(struct salvage *s)
{
    static const char *const sql = "PRAGMA integrity_check(1)";
    struct err ignored = { 0 };
    sqlite3_stmt *stmt = NULL;
    bool whole = !s->patched && !s->unread && !s->told->pages_lost && s->told->messages_lost == 0 &&
                 db_prepare(s->old->db, &sql, &stmt, 1, &ignored) == 0 && db_row(s->old->db, stmt, &ignored) == 1 &&
                 strcmp((const char *)sqlite3_column_text(stmt, 0), "ok") == 0;

    db_finalize(&stmt, 1);
    return whole;
}

/* --- into its place --- */

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

/* The next start would sweep away what has no row; it may be the text of a message that could not be read. */
static int keep_spool_file(void *ctx, int dir, const char *name)
{
    struct salvage *s = ctx;
    uint64_t id;
    int to, r;

    if (base32_u64_parse(slice_str(name), &id) < 0 ||
        (s->count > 0 && bsearch(&id, s->ids, s->count, sizeof id, by_number) != NULL))
        return 0;
    to = sys_make_path(s->q->dir, "spool.damaged");
    if (to < 0)
        return to;
    r = sys->rename_new(dir, name, to, name);
    (void)sys->close(to);
    if (r == 0)
        s->told->lost(s->told->ctx, QUEUE_LOST_SPOOL, id, NULL, NULL);
    return r;
}

static int keep_spool(struct salvage *s, struct err *e)
{
    int r = 0, dir = sys->openat(s->q->dir, "spool", O_RDONLY | O_DIRECTORY, 0);

    if (dir >= 0) {
        r = dir_each(dir, keep_spool_file, s);
        (void)sys->close(dir);
    }
    return r < 0 ? err_set(e, r, "move files of %s/spool to spool.damaged: %s", s->state, err_text(r)) : 0;
}

/* Names that nobody has yet, so that SQLite takes the log for the file's. */
static int choose_names(struct salvage *s, char log[80])
{
    for (int i = 1; i < KEPT_MOST; i++) {
        (void)snprintf(s->told->kept, sizeof s->told->kept, i == 1 ? "queue.db.damaged" : "queue.db.damaged.%d", i);
        (void)snprintf(log, 80, "%s-wal", s->told->kept);
        if (!is_there(s->q->dir, s->told->kept) && !is_there(s->q->dir, log))
            return 0;
    }
    return -EEXIST;
}

/* The mark stands in the lock file meanwhile: should this end half way, then the next start misses a file and says so,
 * instead of beginning with an empty queue. */
static int change_places(struct salvage *s, struct err *e)
{
    int dir = s->q->dir;
    char log[80];
    bool has_log = is_there(dir, "queue.db-wal");
    int r = choose_names(s, log);

    if (r < 0)
        return err_set(e, r, "there are too many queue.db.damaged in %s: move them away", s->state);
    TRY(queue_mark(s->q, true, e));
    if (has_log)
        r = sys->rename_new(dir, "queue.db-wal", dir, log);
    if (r == 0) {
        r = sys->rename_new(dir, "queue.db", dir, s->told->kept);
        if (r == 0) {
            r = sys->rename_new(s->work, "queue.db", dir, "queue.db");
            if (r < 0)
                (void)sys->rename_new(dir, s->told->kept, dir, "queue.db");
        }
        if (r < 0 && has_log)
            (void)sys->rename_new(dir, log, dir, "queue.db-wal");
    }
    if (r == 0)
        r = sys->fsync(dir);
    if (r < 0)
        return err_set(e, r, "put the new queue.db into its place in %s: %s", s->state, err_text(r));
    return queue_mark(s->q, false, e);
}

static int finish(struct salvage *s, struct err *e)
{
    s->told->whole = is_whole(s);
    s->told->pages_lost |= s->unread;
    close_old(s);
    queue_close(&s->made); /* which empties its log */
    if (s->told->whole)
        return 0;
    if (is_there(s->work, "queue.db-wal"))
        return err_set(e, -EIO, "the new queue.db could not be written whole into %s/" WORK, s->state);
    TRY(keep_spool(s, e));
    return change_places(s, e);
}

int queue_salvage(const char *state, struct queue_salvage *told, struct err *e)
{
    struct salvage s = { .told = told, .state = state, .q = mem_zero(sizeof *s.q), .work = -1 };
    bool unclean = false;
    int r;

    s.q->dir = s.q->lock = -1;
    r = queue_lock(s.q, state, &unclean, e);
    if (r == 0)
        r = prepare(&s, e);
    if (r == 0)
        r = take_all(&s, e);
    if (r == 0)
        r = finish(&s, e);
    close_old(&s);
    queue_close(&s.made);
    if (s.work >= 0) {
        clear_work(s.work);
        (void)sys->close(s.work);
        (void)unlinkat(s.q->dir, WORK, AT_REMOVEDIR);
    }
    if (s.q->lock >= 0)
        (void)sys->close(s.q->lock);
    if (s.q->dir >= 0)
        (void)sys->close(s.q->dir);
    mem_free(s.q);
    mem_free(s.ids);
    return r;
}
