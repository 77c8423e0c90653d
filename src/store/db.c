/* SQLite with its safety catches on. */
#include "db_priv.h"

#include "facteur/base/buf.h"
#include "facteur/base/mem.h"
#include "facteur/store/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

enum { BUSY_MS = 2000, VALUE_MAX = 64 * 1024 * 1024, SQL_MAX = 16 * 1024, PATH_ROOM = 4096 };

static const struct {
    int rc, code;
} codes[] = {
    { SQLITE_FULL, -ENOSPC },     { SQLITE_BUSY, -EBUSY },      { SQLITE_LOCKED, -EBUSY },
    { SQLITE_CORRUPT, -EBADMSG }, { SQLITE_NOTADB, -EBADMSG },  { SQLITE_READONLY, -EROFS },
    { SQLITE_NOMEM, -ENOMEM },    { SQLITE_TOOBIG, -EMSGSIZE }, { SQLITE_PERM, -EACCES },
    { SQLITE_CANTOPEN, -EACCES }, { SQLITE_INTERRUPT, -EINTR }, { SQLITE_CONSTRAINT, -EEXIST },
    { SQLITE_ERROR, -EBADMSG }, /* our SQL is always the same: a table is missing, the file is not what it was */
};

int db_fail(sqlite3 *db, int rc, struct err *e)
{
    int code = -EIO;
    int primary = rc & 0xff;

    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        if (codes[i].rc == primary)
            code = codes[i].code;
    if ((primary == SQLITE_IOERR || primary == SQLITE_CANTOPEN) && db != NULL && sqlite3_system_errno(db) > 0)
        code = -sqlite3_system_errno(db); /* the kernel's own word: ENOSPC, EROFS, EDQUOT, EMFILE … */
    if (code == -ENOENT)
        code = -EBADMSG; /* removed under us: to callers, ENOENT is a row or a folder that is not there */
    return err_set(e, code, "%s (SQLite %d)", db != NULL ? sqlite3_errmsg(db) : sqlite3_errstr(rc), rc);
}

static const struct {
    int limit, value;
} limits[] = {
    { SQLITE_LIMIT_LENGTH, VALUE_MAX }, { SQLITE_LIMIT_SQL_LENGTH, SQL_MAX }, { SQLITE_LIMIT_ATTACHED, 0 },
    { SQLITE_LIMIT_TRIGGER_DEPTH, 1 },  { SQLITE_LIMIT_FUNCTION_ARG, 8 },     { SQLITE_LIMIT_COLUMN, 32 },
    { SQLITE_LIMIT_EXPR_DEPTH, 32 },    { SQLITE_LIMIT_COMPOUND_SELECT, 4 },  { SQLITE_LIMIT_VARIABLE_NUMBER, 32 },
    { SQLITE_LIMIT_WORKER_THREADS, 0 },
};

/* SQLite refuses a link anywhere in the path with NOFOLLOW, and a state directory may well stand behind one: the
 * directory's true name is found first, so that only the file itself must not be a link. */
static int open_file(const char *state, const char *name, bool durable, sqlite3 **ret, struct err *e)
{
    char *dir = realpath(state, NULL);
    struct buf path;
    int r, rc, fd;

    if (dir == NULL)
        return err_set(e, -errno, "%s: %s", state, err_text(-errno));
    buf_init(&path, PATH_ROOM);
    r = buf_addf(&path, "%s/%s", dir, name);
    free(dir);
    if (r < 0) {
        buf_clear(&path);
        return err_set(e, -ENAMETOOLONG, "%s: the path is too long", state);
    }
    fd = sys->openat(AT_FDCWD, buf_cstr(&path), O_RDWR | O_CREAT, 0600); /* SQLite would make it 0644 */
    if (fd >= 0)
        (void)sys->close(fd);
    rc = sqlite3_open_v2(buf_cstr(&path), ret,
                         SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW,
                         db_log_vfs(durable));
    buf_clear(&path);
    if (rc == SQLITE_OK)
        return 0;
    r = db_fail(*ret, rc, e);
    (void)sqlite3_close_v2(*ret);
    *ret = NULL;
    return err_set(e, r, "open %s/%s: %s", state, name, err_text(r));
}

int db_open(const char *state, const char *name, bool durable, sqlite3 **ret, struct err *e)
{
    sqlite3 *db = NULL;
    int r = open_file(state, name, durable, &db, e);

    if (r < 0)
        return r;
    (void)sqlite3_extended_result_codes(db, 1);
    (void)sqlite3_busy_timeout(db, BUSY_MS);
    (void)sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    (void)sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    (void)sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, NULL);
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++)
        (void)sqlite3_limit(db, limits[i].limit, limits[i].value);
    r = db_exec(db,
                "PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0; PRAGMA temp_store = MEMORY;"
                "PRAGMA foreign_keys = OFF; PRAGMA recursive_triggers = OFF",
                e);
    if (r < 0) {
        db_close(&db);
        return r;
    }
    *ret = db;
    return 0;
}

void db_close(sqlite3 **db)
{
    (void)sqlite3_close_v2(*db);
    *db = NULL;
}

int db_exec(sqlite3 *db, const char *sql, struct err *e)
{
    int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);

    return rc == SQLITE_OK ? 0 : db_fail(db, rc, e);
}

int db_prepare(sqlite3 *db, const char *const *sql, sqlite3_stmt **to, size_t count, struct err *e)
{
    for (size_t i = 0; i < count; i++) {
        int rc = sqlite3_prepare_v3(db, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &to[i], NULL);

        if (rc != SQLITE_OK)
            return db_fail(db, rc, e);
    }
    return 0;
}

void db_finalize(sqlite3_stmt **stmts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        (void)sqlite3_finalize(stmts[i]);
        stmts[i] = NULL;
    }
}

int db_run(sqlite3 *db, sqlite3_stmt *s, struct err *e)
{
    int rc = sqlite3_step(s);
    int r = rc == SQLITE_DONE || rc == SQLITE_ROW ? 0 : db_fail(db, rc, e);

    (void)sqlite3_reset(s);
    return r;
}

int db_row(sqlite3 *db, sqlite3_stmt *s, struct err *e)
{
    int rc = sqlite3_step(s);
    int r;

    if (rc == SQLITE_ROW)
        return 1;
    r = rc == SQLITE_DONE ? 0 : db_fail(db, rc, e);
    (void)sqlite3_reset(s);
    return r;
}

void db_undo(sqlite3 *db, sqlite3_stmt *rollback)
{
    if (sqlite3_get_autocommit(db))
        return;
    (void)sqlite3_step(rollback);
    (void)sqlite3_reset(rollback);
}

int db_number(sqlite3 *db, const char *sql, int64_t fallback, int64_t *ret, struct err *e)
{
    sqlite3_stmt *s = NULL;
    int r = db_prepare(db, &sql, &s, 1, e);

    if (r == 0)
        r = db_row(db, s, e);
    if (r >= 0)
        *ret = r == 1 && sqlite3_column_type(s, 0) == SQLITE_INTEGER ? sqlite3_column_int64(s, 0) : fallback;
    db_finalize(&s, 1);
    return r < 0 ? r : 0;
}

void db_bind_text(sqlite3_stmt *s, int at, const char *text, size_t max)
{
    if (text == NULL)
        (void)sqlite3_bind_null(s, at);
    else
        (void)sqlite3_bind_text(s, at, text, (int)strnlen(text, max), SQLITE_STATIC);
}

int db_text(sqlite3_stmt *s, int column, size_t max, char **ret)
{
    const unsigned char *p;
    size_t n;

    if (sqlite3_column_type(s, column) == SQLITE_NULL) {
        *ret = NULL;
        return 0;
    }
    if (sqlite3_column_type(s, column) != SQLITE_TEXT)
        return -EBADMSG;
    p = sqlite3_column_text(s, column);
    n = (size_t)sqlite3_column_bytes(s, column);
    if (p == NULL || n > max || memchr(p, '\0', n) != NULL)
        return -EBADMSG;
    *ret = mem_dup(p, n);
    return 0;
}

int db_int(sqlite3_stmt *s, int column, int64_t min, int64_t max, int64_t *ret)
{
    int64_t v;

    if (sqlite3_column_type(s, column) != SQLITE_INTEGER)
        return -EBADMSG;
    v = sqlite3_column_int64(s, column);
    if (v < min || v > max)
        return -EBADMSG;
    *ret = v;
    return 0;
}
