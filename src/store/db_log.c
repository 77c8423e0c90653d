/* The write-ahead log's file: between SQLite and its own VFS.
 *
 * SQLite writes a frame's header and its page one by one, ten calls for a small commit, and it lets the file grow. Here
 *  - what is contiguous is gathered and written at once, before anything else happens to the file;
 *  - the file grows by zeros, well ahead of its frames: a sync that changes a file's size or allocates blocks waits for
 *    the file system's journal as well, and takes two to three times as long. Zeros are no frames (a frame's salt and
 *    checksum say so), and real zeros are needed, since allocated but unwritten blocks are a change of the journal too.
 *
 * Promises kept: writes reach the kernel in SQLite's order, all of a transaction with its last frame and all of them
 * before a sync. So a write that fails fails the commit that it belongs to, and a commit outlives the process. What
 * failed is forgotten: SQLite writes all frames of the next batch anew. Where a commit counts only when it has been
 * synced (queue.db), a batch whose sync failed would still stand whole in the kernel's cache, and a kill would let
 * recovery find it and deliver mail that was refused: so there a sync that fails takes the batch back, by zeros over the
 * header of its first frame (or over the log's own, when the batch is the first in it: all before it is in the database
 * then). Where commits are not synced (index.db, history.db) they were answered before, and stay. */
#include "db_priv.h"

#include "facteur/base/mem.h"

#include <string.h>

enum {
    GATHER = 64 * 1024,
    AHEAD_MIN = 128 * 1024,
    AHEAD_MAX = 1024 * 1024,
    FRAME_HEADER = 24,
    FRAME_COMMIT = 4, /* where it says whether the frame ends a transaction: not 0 */
    NOWHERE = -1
};

struct log_file {
    sqlite3_file base;
    sqlite3_file *real;
    bool durable;        /* commits are synced */
    bool last;           /* the frame that is being written ends a transaction */
    sqlite3_int64 size;  /* the file is at least so long */
    sqlite3_int64 fresh; /* the lowest place written since the last good sync, or NOWHERE */
    sqlite3_int64 next;  /* behind what was written last */
    sqlite3_int64 at;    /* where `gathered` belongs */
    int n;
    char *gathered; /* GATHER octets, or NULL */
};

static struct log_file *log_of(sqlite3_file *f)
{
    return (struct log_file *)(void *)f;
}

static int real_write(struct log_file *l, const char *p, int n, sqlite3_int64 at)
{
    int rc = l->real->pMethods->xWrite(l->real, p, n, at);

    if (rc == SQLITE_OK && at + n > l->size)
        l->size = at + n;
    return rc;
}

/* A disk without room for the zeros may still have room for frames: only these are worth an error. */
static void write_ahead(struct log_file *l)
{
    sqlite3_int64 ahead = l->size < AHEAD_MIN ? AHEAD_MIN : l->size > AHEAD_MAX ? AHEAD_MAX : l->size;
    sqlite3_int64 end = l->size + ahead;
    char *zeros = mem_zero(GATHER);

    while (l->size < end && real_write(l, zeros, GATHER, l->size) == SQLITE_OK)
        ;
    mem_free(zeros);
}

static int flush(struct log_file *l)
{
    bool grows = l->at + l->n > l->size;
    int rc;

    if (l->n == 0)
        return SQLITE_OK;
    rc = real_write(l, l->gathered, l->n, l->at);
    l->n = 0;
    if (rc == SQLITE_OK && grows)
        write_ahead(l);
    return rc;
}

static bool ends_transaction(const char *p, int n)
{
    static const char none[4];

    return n == FRAME_HEADER && memcmp(p + FRAME_COMMIT, none, sizeof none) != 0;
}

/* SQLite writes the header of a frame, then its page; what does not follow on is a frame that is changed again. */
static int log_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
    struct log_file *l = log_of(f);
    bool follows = at == l->next, last = l->last;
    int rc = SQLITE_OK;

    if (l->n > 0 && (!follows || n > GATHER - l->n))
        rc = flush(l);
    if (rc != SQLITE_OK)
        return rc;
    l->next = at + n;
    l->last = ends_transaction(p, n);
    if (l->fresh == NOWHERE || at < l->fresh)
        l->fresh = at;
    if (!follows || n > GATHER)
        return real_write(l, p, n, at);
    if (l->gathered == NULL)
        l->gathered = mem_alloc(GATHER);
    if (l->n == 0)
        l->at = at;
    memcpy(l->gathered + l->n, p, (size_t)n);
    l->n += n;
    return last ? flush(l) : SQLITE_OK;
}

/* What has just been written once more is not a new place on the disk; should it fail too, a shorter file says the same. */
static void take_back(struct log_file *l)
{
    static const char zeros[FRAME_HEADER];

    if (real_write(l, zeros, FRAME_HEADER, l->fresh) == SQLITE_OK)
        return;
    if (l->real->pMethods->xTruncate(l->real, l->fresh) == SQLITE_OK)
        l->size = l->fresh;
}

static int log_sync(sqlite3_file *f, int flags)
{
    struct log_file *l = log_of(f);
    int rc = flush(l);

    if (rc == SQLITE_OK)
        rc = l->real->pMethods->xSync(l->real, flags);
    if (rc != SQLITE_OK && l->durable && l->fresh != NOWHERE)
        take_back(l);
    l->fresh = NOWHERE;
    return rc;
}

static int log_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
    struct log_file *l = log_of(f);
    int rc = flush(l);

    return rc == SQLITE_OK ? l->real->pMethods->xRead(l->real, p, n, at) : rc;
}

static int log_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    struct log_file *l = log_of(f);
    int rc = flush(l);

    if (rc == SQLITE_OK)
        rc = l->real->pMethods->xTruncate(l->real, size);
    if (rc == SQLITE_OK)
        l->size = size;
    return rc;
}

static int log_file_size(sqlite3_file *f, sqlite3_int64 *ret)
{
    struct log_file *l = log_of(f);
    int rc = flush(l);

    return rc == SQLITE_OK ? l->real->pMethods->xFileSize(l->real, ret) : rc;
}

static int log_file_control(sqlite3_file *f, int op, void *arg)
{
    struct log_file *l = log_of(f);
    int rc = flush(l);

    return rc == SQLITE_OK ? l->real->pMethods->xFileControl(l->real, op, arg) : rc;
}

static int log_sector_size(sqlite3_file *f)
{
    return log_of(f)->real->pMethods->xSectorSize(log_of(f)->real);
}

static int log_device_characteristics(sqlite3_file *f)
{
    return log_of(f)->real->pMethods->xDeviceCharacteristics(log_of(f)->real);
}

static int log_close(sqlite3_file *f)
{
    struct log_file *l = log_of(f);

    (void)flush(l); /* what was committed has been synced: this is of no commit */
    mem_free(l->gathered);
    return l->real->pMethods->xClose(l->real);
}

/* SQLite locks the database, never its log. */
static const sqlite3_io_methods log_methods = {
    .iVersion = 1,
    .xClose = log_close,
    .xRead = log_read,
    .xWrite = log_write,
    .xTruncate = log_truncate,
    .xSync = log_sync,
    .xFileSize = log_file_size,
    .xFileControl = log_file_control,
    .xSectorSize = log_sector_size,
    .xDeviceCharacteristics = log_device_characteristics,
};

enum { LAZY, DURABLE, KINDS };
static const char *const names[KINDS] = { "facteur-lazy", "facteur" };

/* Every file but the log is SQLite's own. */
static int vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *ret_flags)
{
    sqlite3_vfs *real = vfs->pAppData;
    struct log_file *l = log_of(f);
    int rc;

    if ((flags & SQLITE_OPEN_WAL) == 0)
        return real->xOpen(real, name, f, flags, ret_flags);
    *l = (struct log_file){ .real = (sqlite3_file *)(void *)(l + 1),
                            .durable = strcmp(vfs->zName, names[DURABLE]) == 0,
                            .fresh = NOWHERE };
    rc = real->xOpen(real, name, l->real, flags, ret_flags);
    if (rc == SQLITE_OK)
        rc = l->real->pMethods->xFileSize(l->real, &l->size);
    if (rc == SQLITE_OK)
        l->base.pMethods = &log_methods;
    else if (l->real->pMethods != NULL)
        (void)l->real->pMethods->xClose(l->real);
    return rc;
}

const char *db_log_vfs(bool durable)
{
    sqlite3_vfs *real = sqlite3_vfs_find(NULL), *ours;

    for (int i = 0; real != NULL && i < KINDS; i++) {
        if (sqlite3_vfs_find(names[i]) != NULL)
            continue;
        ours = mem_zero(sizeof *ours); /* SQLite's from now on, until the process ends */
        *ours = *real;
        ours->pNext = NULL;
        ours->pAppData = real;
        ours->zName = names[i];
        ours->szOsFile += (int)sizeof(struct log_file);
        ours->xOpen = vfs_open;
        if (sqlite3_vfs_register(ours, 0) != SQLITE_OK)
            return NULL;
    }
    return real != NULL ? names[durable ? DURABLE : LAZY] : NULL;
}
