/* facteur: store/db_priv: what queue.db and history.db have in common.
 * Purpose:   opening SQLite with its safety catches on, statements kept, errors as errno values.
 * Owner:     the database that embeds it.
 * Thread:    one at a time: connections are opened without a mutex.
 * Limits:    LENGTH, SQL_LENGTH, ATTACHED and the like are lowered to what our statements need.
 * Standards: SQLite 3.40 and later. */
#ifndef FACTEUR_STORE_DB_PRIV_H
#define FACTEUR_STORE_DB_PRIV_H

#include "facteur/base/err.h"
#include "facteur/base/slice.h"

#include <sqlite3.h>

/* Opens (or makes) the file `name` in the state directory and sets what every database of ours wants. `durable`: a
 * commit is one only when it has been synced (synchronous = FULL). */
int db_open(const char *state, const char *name, bool durable, sqlite3 **ret, struct err *e) MUST_USE;
void db_close(sqlite3 **db);

/* The name of the VFS with which such databases are opened, registered by the first call (see db_log.c): the first database
 * is opened before there are threads. NULL, which is SQLite's own, when that fails. */
const char *db_log_vfs(bool durable);

/* Runs constant text. */
int db_exec(sqlite3 *db, const char *sql, struct err *e) MUST_USE;

/* Prepares count statements (kept until db_finalize). */
int db_prepare(sqlite3 *db, const char *const *sql, sqlite3_stmt **to, size_t count, struct err *e) MUST_USE;
void db_finalize(sqlite3_stmt **stmts, size_t count);

/* Steps a statement that gives no rows, and resets it. */
int db_run(sqlite3 *db, sqlite3_stmt *s, struct err *e) MUST_USE;

/* Steps a statement: 1 with a row, 0 at the end (and reset), negative (and reset). */
int db_row(sqlite3 *db, sqlite3_stmt *s, struct err *e) MUST_USE;

/* Rolls back what is left of a failed transaction: after FULL and IOERR SQLite has done it by itself. */
void db_undo(sqlite3 *db, sqlite3_stmt *rollback);

/* The one integer that a constant query gives; `fallback` without a row. */
int db_number(sqlite3 *db, const char *sql, int64_t fallback, int64_t *ret, struct err *e) MUST_USE;

/* The errno value of a result code, with SQLite's words in e. */
int db_fail(sqlite3 *db, int rc, struct err *e);

/* Binds text (NULL stays NULL) that outlives the step; cut at max octets. */
void db_bind_text(sqlite3_stmt *s, int at, const char *text, size_t max);

/* A column's text as a new string, NULL for NULL. -EBADMSG when it is longer than max, no text, or holds a NUL: what
 * stands in a database is checked as if it came from the network. */
int db_text(sqlite3_stmt *s, int column, size_t max, char **ret) MUST_USE;

/* A column's number if it lies in min … max, else -EBADMSG. */
int db_int(sqlite3_stmt *s, int column, int64_t min, int64_t max, int64_t *ret) MUST_USE;

#endif
