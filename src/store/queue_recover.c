/* What happens to queue.db before it is used: one process, files as they were left, the schema of today. */
#include "queue_priv.h"

#include "facteur/base/clock.h"
#include "facteur/base/mem.h"
#include "facteur/store/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { QUICK_CHECK_MS = 2000, PROGRESS_STEPS = 10000 };

static const char *const upgrades[QUEUE_SCHEMA] = {
    /* 1. The body comes last in its row, so that listing messages never reads the pages it overflows to. `due` is 0 for
     * a recipient that its maker delivers at once: such rows stay out of the index, which most messages then never
     * touch. */
    "CREATE TABLE message ("
    "  id INTEGER PRIMARY KEY, received INTEGER NOT NULL, sender TEXT NOT NULL, envid TEXT, login TEXT, client TEXT,"
    "  flags INTEGER NOT NULL, size INTEGER NOT NULL, wire_size INTEGER NOT NULL, trace_at INTEGER NOT NULL,"
    "  header_size INTEGER NOT NULL, spooled INTEGER NOT NULL, body BLOB);"
    "CREATE TABLE recipient ("
    "  message INTEGER NOT NULL, seq INTEGER NOT NULL, route INTEGER NOT NULL, address TEXT NOT NULL, mailbox TEXT,"
    "  domain TEXT, orcpt TEXT, notify INTEGER NOT NULL, due INTEGER NOT NULL, attempts INTEGER NOT NULL,"
    "  last_reply TEXT, PRIMARY KEY (message, seq)) WITHOUT ROWID;"
    "CREATE INDEX recipient_due ON recipient (due) WHERE due > 0;"
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
    "INSERT INTO meta VALUES ('id_reserve', 0);"
    "PRAGMA application_id = 1717658484;" /* "fact" */
    "PRAGMA user_version = 1;",
};

int queue_damaged(const char *state, struct err *e, int code)
{
    struct err said;

    if (code != -EBADMSG || e == NULL)
        return code;
    said = *e;
    return err_set(e, code, "%s/queue.db is damaged: %.200s. \"facteur queue salvage\" saves what can be read of it",
                   state, said.text);
}

int queue_lock(struct queue *q, const char *state, bool *ret_unclean, struct err *e)
{
    char said[24] = "";
    ssize_t n;

    q->dir = sys->openat(AT_FDCWD, state, O_RDONLY | O_DIRECTORY, 0);
    if (q->dir < 0)
        return err_set(e, q->dir, "open the state directory %s: %s", state, err_text(q->dir));
    q->lock = sys->openat(q->dir, "facteur.lock", O_RDWR | O_CREAT, 0600);
    if (q->lock < 0)
        return err_set(e, q->lock, "open %s/facteur.lock: %s", state, err_text(q->lock));
    n = sys->pread(q->lock, said, sizeof said - 1, 0);
    if (flock(q->lock, LOCK_EX | LOCK_NB) < 0) {
        int code = errno == EWOULDBLOCK ? -EBUSY : -errno;

        return err_set(e, code, "%s is in use by the facteur with process id %ld; stop it first", state,
                       strtol(said, NULL, 10));
    }
    *ret_unclean = n > 0;
    return 0;
}

int queue_mark(struct queue *q, bool open, struct err *e)
{
    char text[24];
    int n = open ? snprintf(text, sizeof text, "%ld\n", (long)getpid()) : 0;
    int r = 0;

    if (ftruncate(q->lock, 0) < 0 || lseek(q->lock, 0, SEEK_SET) < 0)
        r = -errno;
    if (r == 0)
        r = sys_write_all(q->lock, slice_make(text, (size_t)n));
    if (r == 0)
        r = sys->fsync(q->lock);
    if (r == 0)
        r = sys->fsync(q->dir);
    return r < 0 ? err_set(e, r, "write facteur.lock: %s", err_text(r)) : 0;
}

/* Writes every octet of the log again in its place and syncs it. Should the last process have died after an fsync that
 * failed, then the kernel shows frames (from its cache, marked clean) that are not on the disk; recovery would count
 * them in, later commits would stand behind them, and a power cut would lose those with them. Writing makes the pages
 * dirty, so that this fsync is true for all of them. */
static int rewrite_log(int fd)
{
    enum { PIECE = 256 * 1024 };
    char *piece = mem_alloc(PIECE);
    off_t at = 0;
    int r = 0;

    while (r == 0) {
        ssize_t n = sys->pread(fd, piece, PIECE, at);

        if (n <= 0) {
            r = (int)n;
            break;
        }
        if (pwrite(fd, piece, (size_t)n, at) != n)
            r = -EIO;
        at += n;
    }
    mem_free(piece);
    return r < 0 ? r : sys->fsync(fd);
}

int queue_before_recovery(struct queue *q, struct err *e)
{
    static const char *const files[] = { "queue.db", "queue.db-wal" };
    int r;

    /* Both were there before the mark was written: see queue_open. */
    for (size_t i = 0; i < 2; i++) {
        struct stat st;

        if (fstatat(q->dir, files[i], &st, AT_SYMLINK_NOFOLLOW) < 0)
            return err_set(e, -EBADMSG,
                           "%s is gone, and accepted mail may be in it: put it back; or, to go on without that mail, "
                           "remove facteur.lock",
                           files[i]);
    }
    r = sys->openat(q->dir, files[1], O_RDWR, 0);
    if (r >= 0) {
        int fd = r;

        r = rewrite_log(fd);
        (void)sys->close(fd);
    }
    return r < 0 ? err_set(e, r, "write queue.db-wal again: %s", err_text(r)) : 0;
}

static int past(void *deadline)
{
    return clock_mono_ms() > *(int64_t *)deadline;
}

int queue_quick_check(struct queue *q, struct err *e)
{
    static const char *const sql = "PRAGMA quick_check(1)";
    int64_t deadline = clock_mono_ms() + QUICK_CHECK_MS;
    sqlite3_stmt *s = NULL;
    int r = db_prepare(q->db, &sql, &s, 1, e);

    sqlite3_progress_handler(q->db, PROGRESS_STEPS, past, &deadline);
    if (r == 0)
        r = db_row(q->db, s, e);
    if (r == 1) {
        const char *said = (const char *)sqlite3_column_text(s, 0);

        r = said != NULL && strcmp(said, "ok") == 0 ? 0 : err_set(e, -EBADMSG, "%s", said != NULL ? said : "");
    }
    sqlite3_progress_handler(q->db, 0, NULL, NULL);
    db_finalize(&s, 1);
    return r == -EINTR ? 0 : r; /* a long queue: the rest is checked as it is read */
}

int queue_schema(struct queue *q, struct err *e)
{
    int64_t version;
    int r;

    TRY(db_number(q->db, "PRAGMA user_version", 0, &version, e));
    if (version < 0 || version > QUEUE_SCHEMA)
        return err_set(e, -EPROTO, "queue.db was written by a newer facteur (schema %lld, this one knows %d): upgrade",
                       (long long)version, QUEUE_SCHEMA);
    if (version == QUEUE_SCHEMA)
        return 0;
    TRY(db_exec(q->db, "BEGIN IMMEDIATE", e));
    for (r = 0; r == 0 && version < QUEUE_SCHEMA; version++)
        r = db_exec(q->db, upgrades[version], e);
    if (r == 0)
        r = db_exec(q->db, "COMMIT", e);
    if (r < 0) /* the error that counts is in e */
        (void)sqlite3_exec(q->db, "ROLLBACK", NULL, NULL, NULL);
    return r;
}
