/* Whether the files that we write are still the ones in the state directory. Who removes queue.db or its log under a
 * running server leaves it writing into files without a name: all would seem well, and be gone with the process (F14).
 * fstatat before and after a commit is little beside its sync. */
#include "queue_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const names[QUEUE_FILES] = { [QUEUE_FILE_DB] = "queue.db", [QUEUE_FILE_LOG] = "queue.db-wal" };

static bool look(const struct queue *q, enum queue_file which, struct queue_file_id *ret)
{
    struct stat st;

    if (fstatat(q->dir, names[which], &st, AT_SYMLINK_NOFOLLOW) < 0)
        return false;
    ret->dev = st.st_dev;
    ret->ino = st.st_ino;
    return true;
}

bool queue_has_file(const struct queue *q, enum queue_file which)
{
    struct queue_file_id now;

    return look(q, which, &now) && now.dev == q->files[which].dev && now.ino == q->files[which].ino;
}

int queue_know_files(struct queue *q, struct err *e)
{
    for (unsigned i = 0; i < QUEUE_FILES; i++) {
        if (!look(q, (enum queue_file)i, &q->files[i]))
            return err_set(e, -errno, "%s: %s", names[i], err_text(-errno));
    }
    return 0;
}

/* What has lost its name can still be read and written by us: the log's frames go into the database's file. */
static bool empty_log(struct queue *q)
{
    int in_log = 0, copied = 0;
    int rc = sqlite3_wal_checkpoint_v2(q->db, NULL, SQLITE_CHECKPOINT_PASSIVE, &in_log, &copied);

    return rc == SQLITE_OK && copied == in_log;
}

int queue_check_files(struct queue *q, struct err *e)
{
    if (!queue_has_file(q, QUEUE_FILE_DB)) {
        (void)empty_log(q); /* so that what /proc shows of queue.db is all there is */
        return err_set(e, -ESTALE,
                       "queue.db was removed or replaced while facteur runs: move it back; if it is gone, copy it from "
                       "/proc/%ld/fd (ls -l there shows its number), stop facteur, and put the copy in its place",
                       (long)getpid());
    }
    if (!q->log_lost && queue_has_file(q, QUEUE_FILE_LOG))
        return 0;
    /* For good: a log that is put back has nothing that queue.db has not, and must not get more. */
    q->log_lost = q->log_lost || (empty_log(q) && queue_mark(q, false, NULL) == 0);
    return err_set(e, -ESTALE,
                   q->log_lost ? "queue.db-wal was removed while facteur runs; all accepted mail stands in queue.db: "
                                 "restart facteur"
                               : "queue.db-wal was removed while facteur runs, and queue.db cannot be written: move it "
                                 "back, or mend that and then stop facteur with SIGTERM, which tries again");
}
