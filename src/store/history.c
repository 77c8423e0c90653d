/* history.db: the trace. Not synced, and made anew when damaged: no mail depends on it. */
#include "facteur/store/history.h"

#include "facteur/base/clock.h"
#include "facteur/base/mem.h"
#include "facteur/store/sys.h"

#include "db_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

enum { HISTORY_SCHEMA = 1, TEXT_MAX = 512, DAY_MS = 86400000 };

enum history_statement { H_BEGIN, H_COMMIT, H_ROLLBACK, H_ADD, H_EXPIRE, H_SHOW, H_STATEMENTS };

/* One tree, in the order of messages: what belongs together stands together, and no second index is written. */
static const char schema[] =
    "BEGIN IMMEDIATE;"
    "CREATE TABLE event (message INTEGER NOT NULL, n INTEGER NOT NULL, at INTEGER NOT NULL, kind INTEGER NOT NULL,"
    " who TEXT, text TEXT, peer TEXT, PRIMARY KEY (message, n)) WITHOUT ROWID;"
    "PRAGMA user_version = 1;"
    "COMMIT";

/* What lies in the future was written while the clock was wrong, and would never expire. */
static const char expire[] = "DELETE FROM event WHERE (message, n) IN"
                             " (SELECT message, n FROM event WHERE at < ?1 OR at > ?2 LIMIT ?3)";

static const char *const statements[H_STATEMENTS] = {
    [H_BEGIN] = "BEGIN IMMEDIATE",
    [H_COMMIT] = "COMMIT",
    [H_ROLLBACK] = "ROLLBACK",
    [H_ADD] = "INSERT INTO event (message, n, at, kind, who, text, peer) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    [H_EXPIRE] = expire,
    [H_SHOW] = "SELECT at, kind, who, text, peer FROM event WHERE message = ?1 ORDER BY n",
};

struct history {
    sqlite3 *db;
    sqlite3_stmt *stmt[H_STATEMENTS];
    int64_t last_n; /* events of one message in their order: time, and a counter below it */
};

void history_event_free(struct history_event **ev)
{
    if (*ev == NULL)
        return;
    list_unlink(&(*ev)->link);
    mem_free((*ev)->who);
    mem_free((*ev)->text);
    mem_free((*ev)->peer);
    mem_free(*ev);
    *ev = NULL;
}

void history_close(struct history **h)
{
    if (*h == NULL)
        return;
    db_finalize((*h)->stmt, H_STATEMENTS);
    if ((*h)->db != NULL)
        db_close(&(*h)->db);
    mem_free(*h);
    *h = NULL;
}

static int try_open(const char *state, struct history *h, struct err *e)
{
    int64_t version;

    TRY(db_open(state, "history.db", false, &h->db, e));
    TRY(db_exec(h->db,
                "PRAGMA page_size = 4096; PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL;"
                "PRAGMA synchronous = OFF; PRAGMA secure_delete = OFF; PRAGMA wal_autocheckpoint = 1000;"
                "PRAGMA journal_size_limit = 8388608; PRAGMA cache_size = -1024",
                e));
    TRY(db_number(h->db, "PRAGMA user_version", 0, &version, e));
    if (version == 0)
        TRY(db_exec(h->db, schema, e));
    else if (version != HISTORY_SCHEMA)
        return err_set(e, -EPROTO, "history.db was written by a newer facteur");
    return db_prepare(h->db, statements, h->stmt, H_STATEMENTS, e);
}

/* Renames a history that cannot be read to history.db.damaged, over an older one of that name. */
static int put_aside(const char *state, struct err *e)
{
    int dir = sys->openat(AT_FDCWD, state, O_RDONLY | O_DIRECTORY, 0);
    int r;

    if (dir < 0)
        return err_set(e, dir, "open the state directory %s: %s", state, err_text(dir));
    r = sys->renameat(dir, "history.db", dir, "history.db.damaged");
    (void)sys->renameat(dir, "history.db-wal", dir, "history.db-wal.damaged");
    (void)sys->close(dir);
    return r < 0 ? err_set(e, r, "put history.db aside: %s", err_text(r)) : 0;
}

int history_open(const char *state, struct history **ret, bool *ret_aside, struct err *e)
{
    struct err why = { 0 };
    struct history *h = mem_zero(sizeof *h);
    int r = try_open(state, h, &why);

    *ret_aside = r == -EBADMSG || r == -EPROTO;
    if (e != NULL)
        *e = why;
    if (*ret_aside) {
        history_close(&h);
        TRY(put_aside(state, e));
        h = mem_zero(sizeof *h);
        r = try_open(state, h, &why);
        if (r < 0 && e != NULL)
            *e = why;
    }
    if (r < 0) {
        history_close(&h);
        return r;
    }
    *ret = h;
    return 0;
}

static int64_t next_n(struct history *h)
{
    int64_t now = clock_wall_ms() << 20;

    h->last_n = now > h->last_n ? now : h->last_n + 1;
    return h->last_n;
}

static int add(struct history *h, const struct history_event *ev, struct err *e)
{
    sqlite3_stmt *s = h->stmt[H_ADD];

    (void)sqlite3_bind_int64(s, 1, (int64_t)ev->id);
    (void)sqlite3_bind_int64(s, 2, next_n(h));
    (void)sqlite3_bind_int64(s, 3, ev->wall_ms);
    (void)sqlite3_bind_int(s, 4, (int)ev->kind);
    db_bind_text(s, 5, ev->who, TEXT_MAX);
    db_bind_text(s, 6, ev->text, TEXT_MAX);
    db_bind_text(s, 7, ev->peer, TEXT_MAX);
    return db_run(h->db, s, e);
}

int history_write(struct history *h, const struct link *events, struct err *e)
{
    int r = db_run(h->db, h->stmt[H_BEGIN], e);

    if (r < 0)
        return r;
    for (const struct link *it = events->next; it != events && r == 0; it = it->next)
        r = add(h,
                (const struct history_event *)(const void *)((const char *)it - offsetof(struct history_event, link)),
                e);
    if (r == 0)
        r = db_run(h->db, h->stmt[H_COMMIT], e);
    if (r < 0)
        db_undo(h->db, h->stmt[H_ROLLBACK]);
    return r;
}

int history_expire(struct history *h, int64_t before_ms, size_t max, struct err *e)
{
    sqlite3_stmt *s = h->stmt[H_EXPIRE];

    (void)sqlite3_bind_int64(s, 1, before_ms);
    (void)sqlite3_bind_int64(s, 2, clock_wall_ms() + DAY_MS);
    (void)sqlite3_bind_int64(s, 3, max <= INT32_MAX ? (int64_t)max : INT32_MAX);
    TRY(db_run(h->db, s, e));
    return sqlite3_changes(h->db);
}

static int read_event(sqlite3_stmt *s, struct history_event *ev)
{
    int64_t kind;

    TRY(db_int(s, 0, INT64_MIN, INT64_MAX, &ev->wall_ms));
    TRY(db_int(s, 1, HISTORY_RECEIVED, HISTORY_REFUSED, &kind));
    TRY(db_text(s, 2, TEXT_MAX, &ev->who));
    TRY(db_text(s, 3, TEXT_MAX, &ev->text));
    TRY(db_text(s, 4, TEXT_MAX, &ev->peer));
    ev->kind = (enum history_kind)kind;
    return 0;
}

int history_show(struct history *h, uint64_t id, void (*fn)(void *ctx, const struct history_event *ev), void *ctx,
                 struct err *e)
{
    sqlite3_stmt *s = h->stmt[H_SHOW];
    int r;

    (void)sqlite3_bind_int64(s, 1, (int64_t)id);
    while ((r = db_row(h->db, s, e)) == 1) {
        struct history_event *ev = mem_zero(sizeof *ev);

        ev->id = id;
        if (read_event(s, ev) == 0)
            fn(ctx, ev);
        history_event_free(&ev);
    }
    return r;
}
