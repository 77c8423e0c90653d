/* queue.db: opening, the group commit, checkpoints, ids.
 *
 * Durability. One transaction is one batch; WAL with synchronous=FULL syncs the log once before COMMIT answers, and
 * only then are the messages of the batch answered 250. What if that sync fails (F4, F5)? The kernel may have dropped
 * the pages and calls them clean, so syncing again proves nothing: they must be *written* again.
 *  - COMMIT fails, SQLite rolls back and keeps its end of the log (mxFrame) in front of the failed batch. The next
 * batch starts there and writes all of its frames anew, over the failed ones, so its own sync covers every octet that
 * its durability depends on. Frames of the failed batch that reach further cannot be taken for its continuation: each
 *    frame's checksum includes all before it. So the connection is *kept*: closing and opening it would run recovery,
 *    which reads the failed batch from the cache, counts it in, and puts later commits behind frames that the disk may
 *    not have.
 *  - For the same reason the log is written again before recovery when the last process did not end well
 *    (queue_before_recovery).
 *  - A checkpoint whose sync of queue.db failed does not count: SQLite keeps the frames in the log and copies all of
 *    them again at the next one.
 *  - The failed batch is taken back in the log itself (db_log.c), so that a kill -9 right after it does not bring it back.
 *    Only a power cut may: the disk can have the batch and not what took it back. It is seen whole then (its messages
 *    were answered 451, so at worst they arrive twice), or not at all, but never in part.
 *
 * locking_mode=EXCLUSIVE: the index of the log lives in our memory, so there is no -shm file to lose or to map, and
 * five calls to fcntl are saved per batch. The price: an operator's sqlite3 shell cannot look in while we run; the gain
 * beside speed: it cannot hold the lock either (F13), and its long read cannot keep the log from being reused. */
#include "queue_priv.h"

#include "facteur/base/clock.h"
#include "facteur/base/mem.h"
#include "facteur/store/sys.h"

#include <errno.h>

enum { REPLY_MAX = 1000 };

/* The order is that of enum queue_statement. */
static const char *const statements[Q_STATEMENTS] = {
    [Q_BEGIN] = "BEGIN IMMEDIATE",
    [Q_COMMIT] = "COMMIT",
    [Q_ROLLBACK] = "ROLLBACK",
    [Q_ADD_MESSAGE] = "INSERT INTO message (" QUEUE_MESSAGE_COLUMNS ", body)"
                      " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
    [Q_ADD_RECIPIENT] = "INSERT INTO recipient (" QUEUE_RECIPIENT_COLUMNS ", message)"
                        " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    [Q_DONE_RECIPIENT] = "DELETE FROM recipient WHERE message = ?1 AND seq = ?2",
    [Q_DONE_MESSAGE] = "DELETE FROM message WHERE id = ?1 AND NOT EXISTS"
                       " (SELECT 1 FROM recipient WHERE message = ?1)",
    [Q_RETRY] = "UPDATE recipient SET attempts = ?3, due = ?4, last_reply = ?5, notify = notify | ?6"
                " WHERE message = ?1 AND seq = ?2",
    [Q_ATTEMPT] = "UPDATE recipient SET attempts = ?3 WHERE message = ?1 AND seq = ?2",
    [Q_FLAGS] = "UPDATE message SET flags = ?2 WHERE id = ?1",
    [Q_DUE_ONE] = "UPDATE recipient SET due = ?2 WHERE message = ?1 AND due > 0",
    [Q_DUE_ALL] = "UPDATE recipient SET due = ?2 WHERE due > 0 AND due > ?2 AND due < ?3",
    [Q_NEAR] = "UPDATE recipient SET due = ?1 + abs(random() % ?2) WHERE due > 0 AND due > ?3 AND due < ?4",
    [Q_RESERVE] = "UPDATE meta SET value = ?1 WHERE key = 'id_reserve'",
    [Q_DELETE_RECIPIENTS] = "DELETE FROM recipient WHERE message = ?1",
    [Q_DELETE_MESSAGE] = "DELETE FROM message WHERE id = ?1",
    [Q_LEFT_OVER] = "SELECT message FROM recipient WHERE message >= ?1 AND message <= ?2 AND due = 0"
                    " ORDER BY message, seq",
    [Q_DUE_NOW] = "SELECT message, due FROM recipient WHERE due > 0 AND due <= ?1 ORDER BY due",
    [Q_NEXT_DUE] = "SELECT due FROM recipient WHERE due > 0 AND due > ?1 ORDER BY due LIMIT 1",
    [Q_MESSAGE] = "SELECT " QUEUE_MESSAGE_COLUMNS " FROM message WHERE id = ?1",
    [Q_BODY] = "SELECT body FROM message WHERE id = ?1",
    [Q_LIST] = "SELECT " QUEUE_MESSAGE_COLUMNS " FROM message WHERE id > ?1 ORDER BY id LIMIT ?2",
    [Q_RECIPIENTS] = "SELECT " QUEUE_RECIPIENT_COLUMNS " FROM recipient WHERE message = ?1 ORDER BY seq",
    [Q_RECIPIENTS_DUE] = "SELECT " QUEUE_RECIPIENT_COLUMNS " FROM recipient WHERE message = ?1 AND due >= ?2"
                         " AND due <= ?3 ORDER BY seq",
    [Q_COUNT_MESSAGES] = "SELECT count(*), coalesce(sum(size), 0) FROM message",
    [Q_COUNT_RECIPIENTS] = "SELECT count(*) FROM recipient",
};

static int count_log(void *ctx, sqlite3 *db, const char *name, int pages)
{
    struct queue *q = ctx;

    (void)db;
    (void)name;
    q->wal_pages = (uint64_t)pages;
    return SQLITE_OK;
}

int queue_prepare(struct queue *q, struct err *e)
{
    return db_prepare(q->db, statements, q->stmt, Q_STATEMENTS, e);
}

/* Everything between the lock and the mark. */
static int open_database(struct queue *q, const char *state, bool unclean, struct err *e)
{
    int64_t max, reserve, page;

    if (unclean)
        TRY(queue_before_recovery(q, e));
    TRY(db_open(state, "queue.db", true, &q->db, e));
    /* secure_delete is on in Debian's build and would write zeros over every body that is done. */
    TRY(db_exec(q->db,
                "PRAGMA page_size = 4096; PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL;"
                "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0; PRAGMA secure_delete = OFF;"
                "PRAGMA journal_size_limit = 67108864; PRAGMA cache_size = -2048",
                e));
    if (unclean)
        TRY(queue_quick_check(q, e));
    TRY(queue_schema(q, e));
    TRY(queue_prepare(q, e));
    TRY(db_number(q->db, "SELECT max(id) FROM message", 0, &max, e));
    TRY(db_number(q->db, "SELECT value FROM meta WHERE key = 'id_reserve'", 0, &reserve, e));
    TRY(db_number(q->db, "PRAGMA page_size", 4096, &page, e));
    if (max < 0 || reserve < 0 || max == INT64_MAX || reserve == INT64_MAX)
        return err_set(e, -EBADMSG, "an id is out of range");
    q->found_max = (uint64_t)max;
    q->last_id = (uint64_t)(max > reserve ? max : reserve);
    q->page_size = (uint64_t)page;
    (void)sqlite3_wal_hook(q->db, count_log, q);
    return 0;
}

/* A write before the first batch: it makes queue.db-wal (and its directory entry) durable before the mark says that it
 * must be there, and it shows at start, not at the first message, that the disk takes writes (F8). */
static int first_write(struct queue *q, struct err *e)
{
    (void)sqlite3_bind_int64(q->stmt[Q_RESERVE], 1, (int64_t)q->last_id);
    return db_run(q->db, q->stmt[Q_RESERVE], e);
}

static void release(struct queue *q)
{
    db_finalize(q->stmt, Q_STATEMENTS);
    if (q->db != NULL)
        db_close(&q->db);
    if (q->lock >= 0)
        (void)sys->close(q->lock);
    if (q->dir >= 0)
        (void)sys->close(q->dir);
    mem_free(q);
}

int queue_open(const char *state, struct queue **ret, struct err *e)
{
    struct queue *q = mem_zero(sizeof *q);
    struct err mine = { 0 };
    bool unclean = false;
    int r;

    q->dir = q->lock = -1;
    r = queue_lock(q, state, &unclean, &mine);
    if (r == 0) {
        r = open_database(q, state, unclean, &mine);
        if (r == 0)
            r = first_write(q, &mine);
        if (r == 0)
            r = queue_know_files(q, &mine);
        if (r == -EBADMSG && q->db != NULL)
            r = queue_damaged(state, &mine, r);
        if (r == -EBUSY)
            (void)err_set(&mine, r, "another program has %s/queue.db open (a sqlite3 shell?): close it", state);
    }
    if (r == 0)
        r = queue_mark(q, true, &mine);
    if (r < 0) {
        if (q->db != NULL) /* a log that was not understood stays as it is */
            (void)sqlite3_db_config(q->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        release(q);
        return e != NULL ? (*e = mine, r) : r;
    }
    *ret = q;
    return 0;
}

void queue_close(struct queue **q)
{
    if (*q == NULL)
        return;
    /* The log is emptied first, then the mark goes, then SQLite removes the file: a crash in between never leaves a
     * mark that asks for a log which is rightly gone. */
    if (queue_has_file(*q, QUEUE_FILE_DB) &&
        sqlite3_wal_checkpoint_v2((*q)->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL) == SQLITE_OK &&
        queue_mark(*q, false, NULL) == 0) {
        release(*q);
    } else {
        (void)sqlite3_db_config((*q)->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        release(*q);
    }
    *q = NULL;
}

static int add_recipient(struct queue *q, uint64_t id, const struct queue_recipient *r, struct err *e)
{
    sqlite3_stmt *s = q->stmt[Q_ADD_RECIPIENT];

    (void)sqlite3_bind_int64(s, 1, r->seq);
    (void)sqlite3_bind_int(s, 2, (int)r->route);
    db_bind_text(s, 3, r->address, QUEUE_TEXT_MAX);
    db_bind_text(s, 4, r->mailbox, QUEUE_TEXT_MAX);
    db_bind_text(s, 5, r->domain, QUEUE_TEXT_MAX);
    db_bind_text(s, 6, r->orcpt, QUEUE_TEXT_MAX);
    (void)sqlite3_bind_int(s, 7, (int)r->notify);
    (void)sqlite3_bind_int64(s, 8, r->due_ms > 0 ? r->due_ms : 0);
    (void)sqlite3_bind_int64(s, 9, r->attempts);
    db_bind_text(s, 10, r->last_reply, REPLY_MAX);
    (void)sqlite3_bind_int64(s, 11, (int64_t)id);
    return db_run(q->db, s, e);
}

static int apply_add(struct queue *q, struct queue_op *op, struct err *e)
{
    const struct queue_message *m = op->message;
    sqlite3_stmt *s = q->stmt[Q_ADD_MESSAGE];

    if (m->count == 0 || m->count > QUEUE_RECIPIENTS_MAX || m->size > INT64_MAX || m->wire_size > INT64_MAX ||
        (!m->spooled && m->size > QUEUE_BODY_MAX))
        return err_set(e, -EINVAL, "a message of %u recipients and %llu octets", m->count, (unsigned long long)m->size);
    (void)sqlite3_bind_int64(s, 1, (int64_t)m->id);
    (void)sqlite3_bind_int64(s, 2, m->received_ms);
    db_bind_text(s, 3, m->sender, QUEUE_TEXT_MAX);
    db_bind_text(s, 4, m->envid, QUEUE_TEXT_MAX);
    db_bind_text(s, 5, m->login, QUEUE_TEXT_MAX);
    db_bind_text(s, 6, m->client, QUEUE_TEXT_MAX);
    (void)sqlite3_bind_int64(s, 7, m->flags);
    (void)sqlite3_bind_int64(s, 8, (int64_t)m->size);
    (void)sqlite3_bind_int64(s, 9, (int64_t)m->wire_size);
    (void)sqlite3_bind_int64(s, 10, m->trace_at);
    (void)sqlite3_bind_int64(s, 11, m->header_size);
    (void)sqlite3_bind_int(s, 12, m->spooled);
    if (m->spooled)
        (void)sqlite3_bind_null(s, 13);
    else
        (void)sqlite3_bind_blob64(s, 13, m->body != NULL ? m->body : "", m->size, SQLITE_STATIC);
    TRY(db_run(q->db, s, e));
    for (uint32_t i = 0; i < m->count; i++)
        TRY(add_recipient(q, m->id, &m->recipients[i], e));
    return 0;
}

static int apply_done(struct queue *q, struct queue_op *op, struct err *e)
{
    sqlite3_stmt *s = q->stmt[Q_DONE_RECIPIENT];

    (void)sqlite3_bind_int64(s, 1, (int64_t)op->id);
    (void)sqlite3_bind_int64(s, 2, op->seq);
    return db_run(q->db, s, e);
}

/* Behind the last of several recipients of one message that are done: the message goes if it has no other. */
static int end_message(struct queue *q, struct queue_op *op, const struct link *ops, struct err *e)
{
    const struct queue_op *next = LIST_ENTRY(op->link.next, struct queue_op, link);
    sqlite3_stmt *s = q->stmt[Q_DONE_MESSAGE];

    if (op->link.next != ops && next->kind == QUEUE_DONE && next->id == op->id)
        return 0;
    (void)sqlite3_bind_int64(s, 1, (int64_t)op->id);
    TRY(db_run(q->db, s, e));
    op->message_gone = sqlite3_changes(q->db) > 0;
    return 0;
}

static int apply_retry(struct queue *q, struct queue_op *op, struct err *e)
{
    sqlite3_stmt *s = q->stmt[Q_RETRY];

    (void)sqlite3_bind_int64(s, 1, (int64_t)op->id);
    (void)sqlite3_bind_int64(s, 2, op->seq);
    (void)sqlite3_bind_int64(s, 3, op->attempts);
    (void)sqlite3_bind_int64(s, 4, op->due_ms > 0 ? op->due_ms : 1);
    db_bind_text(s, 5, op->text, REPLY_MAX);
    (void)sqlite3_bind_int(s, 6, op->warned ? QUEUE_NOTIFY_WARNED : 0);
    return db_run(q->db, s, e);
}

static int apply_attempt(struct queue *q, struct queue_op *op, struct err *e)
{
    sqlite3_stmt *s = q->stmt[Q_ATTEMPT];

    (void)sqlite3_bind_int64(s, 1, (int64_t)op->id);
    (void)sqlite3_bind_int64(s, 2, op->seq);
    (void)sqlite3_bind_int64(s, 3, op->attempts);
    return db_run(q->db, s, e);
}

static int apply_flags(struct queue *q, struct queue_op *op, struct err *e)
{
    sqlite3_stmt *s = q->stmt[Q_FLAGS];

    (void)sqlite3_bind_int64(s, 1, (int64_t)op->id);
    (void)sqlite3_bind_int64(s, 2, op->flags);
    return db_run(q->db, s, e);
}

static int apply_due(struct queue *q, struct queue_op *op, struct err *e)
{
    sqlite3_stmt *s = q->stmt[op->id != 0 ? Q_DUE_ONE : Q_DUE_ALL];

    if (op->id != 0)
        (void)sqlite3_bind_int64(s, 1, (int64_t)op->id);
    else
        (void)sqlite3_bind_int64(s, 3, QUEUE_HELD_DUE);
    (void)sqlite3_bind_int64(s, 2, op->due_ms > 0 ? op->due_ms : 1);
    return db_run(q->db, s, e);
}

/* A time that was given with the right clock lies within the longest wait and its jitter of a twentieth. */
static int apply_near(struct queue *q, struct queue_op *op, struct err *e)
{
    sqlite3_stmt *s = q->stmt[Q_NEAR];

    if (op->within_ms <= 0)
        return err_set(e, -EINVAL, "due times within %lld ms", (long long)op->within_ms);
    (void)sqlite3_bind_int64(s, 1, op->due_ms + 1);
    (void)sqlite3_bind_int64(s, 2, op->within_ms);
    (void)sqlite3_bind_int64(s, 3, op->due_ms + op->within_ms + op->within_ms / 20 + 1);
    (void)sqlite3_bind_int64(s, 4, QUEUE_HELD_DUE);
    TRY(db_run(q->db, s, e));
    op->changed = (uint64_t)sqlite3_changes(q->db);
    return 0;
}

static int (*const appliers[])(struct queue *q, struct queue_op *op, struct err *e) = {
    [QUEUE_ADD] = apply_add,         [QUEUE_DONE] = apply_done,   [QUEUE_RETRY] = apply_retry,
    [QUEUE_ATTEMPT] = apply_attempt, [QUEUE_FLAGS] = apply_flags, [QUEUE_DUE] = apply_due,
    [QUEUE_NEAR] = apply_near,
};

/* Ids up to a minute ahead are reserved with the batch that first needs it, so that an id is not used twice even when
 * the clock is set back between two runs. */
static int reserve_ids(struct queue *q, uint64_t newest, struct err *e)
{
    if (newest <= q->id_reserve)
        return 0;
    (void)sqlite3_bind_int64(q->stmt[Q_RESERVE], 1, (int64_t)(newest + QUEUE_ID_RESERVE));
    return db_run(q->db, q->stmt[Q_RESERVE], e);
}

int queue_apply(struct queue *q, struct link *ops, struct err *e)
{
    uint64_t newest = 0;
    int r = queue_check_files(q, e);

    if (r == 0)
        r = db_run(q->db, q->stmt[Q_BEGIN], e);
    if (r < 0)
        return r;
    LIST_EACH (it, ops) {
        struct queue_op *op = LIST_ENTRY(it, struct queue_op, link);

        if (op->kind == QUEUE_ADD && op->message->id > newest)
            newest = op->message->id;
        r = appliers[op->kind](q, op, e);
        if (r == 0 && op->kind == QUEUE_DONE)
            r = end_message(q, op, ops, e);
        if (r < 0)
            break;
    }
    if (r == 0)
        r = reserve_ids(q, newest, e);
    if (r == 0)
        r = db_run(q->db, q->stmt[Q_COMMIT], e);
    if (r == 0) {
        if (newest > q->id_reserve)
            q->id_reserve = newest + QUEUE_ID_RESERVE;
        return queue_check_files(q, e); /* again: only now is it certain that it stands where the next start looks */
    }
    db_undo(q->db, q->stmt[Q_ROLLBACK]);
    LIST_EACH (it, ops) {
        LIST_ENTRY(it, struct queue_op, link)->message_gone = false;
    }
    return r;
}

int queue_delete(struct queue *q, uint64_t id, struct err *e)
{
    static const enum queue_statement steps[] = { Q_DELETE_RECIPIENTS, Q_DELETE_MESSAGE };
    int r = queue_check_files(q, e);

    if (r == 0)
        r = db_run(q->db, q->stmt[Q_BEGIN], e);
    if (r < 0)
        return r;
    for (size_t i = 0; i < 2 && r == 0; i++) {
        (void)sqlite3_bind_int64(q->stmt[steps[i]], 1, (int64_t)id);
        r = db_run(q->db, q->stmt[steps[i]], e);
    }
    if (r == 0 && sqlite3_changes(q->db) == 0)
        r = err_set(e, -ENOENT, "no such message in the queue");
    if (r == 0)
        r = db_run(q->db, q->stmt[Q_COMMIT], e);
    if (r < 0)
        db_undo(q->db, q->stmt[Q_ROLLBACK]);
    return r;
}

int queue_checkpoint(struct queue *q, uint64_t wal_octets, struct err *e)
{
    int in_log = 0, copied = 0, rc;

    if (q->wal_pages == 0 || q->wal_pages * q->page_size <= wal_octets)
        return 0;
    rc = sqlite3_wal_checkpoint_v2(q->db, NULL, SQLITE_CHECKPOINT_PASSIVE, &in_log, &copied);
    if (rc != SQLITE_OK)
        return db_fail(q->db, rc, e);
    if (copied == in_log)
        q->wal_pages = 0; /* the next batch starts at the log's beginning, in blocks that are already allocated */
    return 0;
}

uint64_t queue_new_id(struct queue *q)
{
    uint64_t now = (uint64_t)clock_wall_ms() << QUEUE_ID_TIME_SHIFT;

    q->last_id = now > q->last_id ? now : q->last_id + 1;
    return q->last_id;
}
