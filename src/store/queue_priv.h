/* facteur: store/queue_priv: the inside of queue.db, shared by the files that write, read and recover it.
 * Purpose:   the connection, its statements, the lock file.
 * Owner:     struct queue.
 * Thread:    the queue lane; `last_id` is the loop's alone after queue_open.
 * Limits:    the lengths below are checked when rows are read; longer texts are cut or refused when they are written.
 * Standards: none. */
#ifndef FACTEUR_STORE_QUEUE_PRIV_H
#define FACTEUR_STORE_QUEUE_PRIV_H

#include "facteur/store/queue.h"

#include "db_priv.h"

#include <sys/types.h>

enum { QUEUE_SCHEMA = 1 };
enum { QUEUE_TEXT_MAX = 1024, QUEUE_RECIPIENTS_MAX = 100000, QUEUE_BODY_MAX = 64 * 1024 * 1024 };
enum { QUEUE_NOTIFY_WARNED = 16 };                                /* beside enum queue_notify in its column */
enum { QUEUE_ID_TIME_SHIFT = 20 };                                /* below the milliseconds: a counter */
#define QUEUE_ID_RESERVE ((uint64_t)60000 << QUEUE_ID_TIME_SHIFT) /* a minute of ids is reserved at a time */

/* One row of X a kept statement. The order of columns is that of enum message_column and recipient_column. */
#define QUEUE_MESSAGE_COLUMNS                                                                                          \
    "id, received, sender, envid, login, client, flags, size, wire_size, trace_at, header_size, spooled"
#define QUEUE_RECIPIENT_COLUMNS "seq, route, address, mailbox, domain, orcpt, notify, due, attempts, last_reply"

enum queue_statement {
    Q_BEGIN,
    Q_COMMIT,
    Q_ROLLBACK,
    Q_ADD_MESSAGE,
    Q_ADD_RECIPIENT,
    Q_DONE_RECIPIENT,
    Q_DONE_MESSAGE,
    Q_RETRY,
    Q_ATTEMPT,
    Q_FLAGS,
    Q_DUE_ONE,
    Q_DUE_ALL,
    Q_NEAR,
    Q_RESERVE,
    Q_DELETE_RECIPIENTS,
    Q_DELETE_MESSAGE,
    Q_LEFT_OVER,
    Q_DUE_NOW,
    Q_NEXT_DUE,
    Q_MESSAGE,
    Q_BODY,
    Q_LIST,
    Q_RECIPIENTS,
    Q_RECIPIENTS_DUE,
    Q_COUNT_MESSAGES,
    Q_COUNT_RECIPIENTS,
    Q_STATEMENTS
};

enum queue_file { QUEUE_FILE_DB, QUEUE_FILE_LOG, QUEUE_FILES };
struct queue_file_id {
    dev_t dev;
    ino_t ino;
};

struct queue {
    sqlite3 *db;
    sqlite3_stmt *stmt[Q_STATEMENTS];
    int dir;             /* the state directory */
    int lock;            /* facteur.lock, held with flock; not empty while the queue is open */
    uint64_t last_id;    /* the loop's: the newest id given out */
    uint64_t id_reserve; /* the lane's: ids up to here are reserved in the database */
    uint64_t found_max;  /* the newest message at open: only up to it can rows be left over from before */
    uint64_t left_from;  /* no left-over rows are below this id */
    uint64_t wal_pages;
    uint64_t page_size;
    struct queue_file_id files[QUEUE_FILES]; /* as we opened them */
    bool log_lost;                           /* it was removed; nothing is written any more */
};

/* Takes <state>/facteur.lock. *ret_unclean: the last process that held it did not come to its end. */
int queue_lock(struct queue *q, const char *state, bool *ret_unclean, struct err *e) MUST_USE;
int queue_mark(struct queue *q, bool open, struct err *e) MUST_USE; /* writes or clears what ret_unclean says */

/* Before SQLite sees the files after an unclean end. */
int queue_before_recovery(struct queue *q, struct err *e) MUST_USE;
int queue_quick_check(struct queue *q, struct err *e) MUST_USE; /* bounded in time */
int queue_schema(struct queue *q, struct err *e) MUST_USE;

/* Prepares `stmt`. */
int queue_prepare(struct queue *q, struct err *e) MUST_USE;

/* The columns of QUEUE_MESSAGE_COLUMNS and of QUEUE_RECIPIENT_COLUMNS, where the statement stands: -EBADMSG for values that
 * cannot be. The body of m->id. */
int queue_read_message(sqlite3_stmt *s, struct queue_message *m) MUST_USE;
int queue_read_recipient(sqlite3_stmt *s, struct queue_recipient *r) MUST_USE;
int queue_read_body(struct queue *q, struct queue_message *m, struct err *e) MUST_USE;
void queue_recipient_clear(struct queue_recipient *r);

/* Notes which files we have open; both are there. */
int queue_know_files(struct queue *q, struct err *e) MUST_USE;
bool queue_has_file(const struct queue *q, enum queue_file which);
/* Whether a commit would stand, or stands, in files that have a name. -ESTALE with what to do. */
int queue_check_files(struct queue *q, struct err *e) MUST_USE;

/* The words of recovery behind an error of a damaged database; returns the code. */
int queue_damaged(const char *state, struct err *e, int code);

#endif
