/* index.db: schema, statements, transactions; and what happens when it is damaged. */
#include "index_priv.h"

#include "facteur/base/clock.h"
#include "facteur/base/mem.h"
#include "facteur/store/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

enum { BOOT_MAX = 64, PATH_ROOM = 2048, LOOKASIDE = 256, LOOKASIDES = 32 };

static const char *const files[] = { "index.db", "index.db-wal" };

static const char schema[] =
    "BEGIN IMMEDIATE;"
    "CREATE TABLE state (id INTEGER PRIMARY KEY CHECK (id = 1), clean INTEGER NOT NULL, boot TEXT NOT NULL,"
    " uidvalidity INTEGER NOT NULL);"
    "CREATE TABLE folder (id INTEGER PRIMARY KEY, name TEXT NOT NULL, dir TEXT NOT NULL, special INTEGER NOT NULL,"
    " mailbox_id TEXT NOT NULL, uidvalidity INTEGER NOT NULL, uidnext INTEGER NOT NULL, first_recent INTEGER NOT NULL,"
    " modseq INTEGER NOT NULL, vanished_from INTEGER NOT NULL, names_due INTEGER NOT NULL);"
    "CREATE TABLE keyword (folder INTEGER NOT NULL, bit INTEGER NOT NULL, name TEXT NOT NULL,"
    " PRIMARY KEY (folder, bit)) WITHOUT ROWID;"
    "CREATE TABLE message (key INTEGER PRIMARY KEY, modseq INTEGER NOT NULL, flags INTEGER NOT NULL,"
    " keywords INTEGER NOT NULL, internal_ms INTEGER NOT NULL, saved_ms INTEGER NOT NULL, size INTEGER NOT NULL,"
    " place INTEGER NOT NULL, name BLOB NOT NULL);"
    "CREATE TABLE prepared (key INTEGER PRIMARY KEY, envelope BLOB, structure BLOB, body BLOB, email_id BLOB,"
    " sent_ms INTEGER NOT NULL, reply INTEGER NOT NULL, sender BLOB, recipient BLOB, cc BLOB, subject BLOB,"
    " display_from BLOB, display_to BLOB, message_id BLOB, refs BLOB, preview BLOB);"
    "CREATE TABLE expunged (folder INTEGER NOT NULL, modseq INTEGER NOT NULL, low INTEGER NOT NULL,"
    " high INTEGER NOT NULL, PRIMARY KEY (folder, modseq, low)) WITHOUT ROWID;"
    "CREATE TABLE uidl (key INTEGER PRIMARY KEY, uidl TEXT NOT NULL);"
    "INSERT INTO state VALUES (1, 1, '', 0);"
    "PRAGMA user_version = 2;"
    "COMMIT";

#define MESSAGE_COLUMNS "key, modseq, flags, keywords, internal_ms, saved_ms, size, place, name"
#define PREPARED_TEXTS                                                                                                 \
    "envelope, structure, body, email_id, sent_ms, reply, sender, recipient, cc, subject, display_from, display_to,"   \
    " message_id, refs, preview"

static const char *const statements[I_STATEMENTS] = {
    [I_BEGIN] = "BEGIN IMMEDIATE",
    [I_COMMIT] = "COMMIT",
    [I_ROLLBACK] = "ROLLBACK",
    [I_STATE_GET] = "SELECT clean, boot, uidvalidity FROM state WHERE id = 1",
    [I_STATE_SET] = "UPDATE state SET clean = ?1, boot = ?2, uidvalidity = ?3 WHERE id = 1",
    [I_FOLDERS] =
        "SELECT id, name, dir, special, mailbox_id, uidvalidity, uidnext, first_recent, modseq, vanished_from,"
        " names_due FROM folder ORDER BY id",
    [I_FOLDER_PUT] = "INSERT OR REPLACE INTO folder (id, name, dir, special, mailbox_id, uidvalidity, uidnext,"
                     " first_recent, modseq, vanished_from, names_due) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9,"
                     " ?10, ?11)",
    [I_FOLDER_DELETE] = "DELETE FROM folder WHERE id = ?1",
    [I_FOLDER_MESSAGES_DELETE] = "DELETE FROM message WHERE key BETWEEN ?1 AND ?2",
    [I_FOLDER_PREPARED_DELETE] = "DELETE FROM prepared WHERE key BETWEEN ?1 AND ?2",
    [I_FOLDER_EXPUNGED_DELETE] = "DELETE FROM expunged WHERE folder = ?1",
    [I_FOLDER_KEYWORDS_DELETE] = "DELETE FROM keyword WHERE folder = ?1",
    [I_FOLDER_UIDL_DELETE] = "DELETE FROM uidl WHERE key BETWEEN ?1 AND ?2",
    [I_KEYWORDS] = "SELECT bit, name FROM keyword WHERE folder = ?1 ORDER BY bit",
    [I_KEYWORD_PUT] = "INSERT OR REPLACE INTO keyword (folder, bit, name) VALUES (?1, ?2, ?3)",
    [I_MESSAGES] = "SELECT " MESSAGE_COLUMNS " FROM message WHERE key BETWEEN ?1 AND ?2 ORDER BY key LIMIT ?3",
    [I_MESSAGE_PUT] =
        "INSERT OR REPLACE INTO message (" MESSAGE_COLUMNS ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    [I_MESSAGE_FLAGS] =
        "UPDATE message SET modseq = ?2, flags = ?3, keywords = ?4, place = ?5, name = ?6 WHERE key = ?1",
    [I_MESSAGE_DELETE] = "DELETE FROM message WHERE key = ?1",
    [I_PREPARED] =
        "SELECT m.key, m.saved_ms, p.key, " PREPARED_TEXTS " FROM message m LEFT JOIN prepared p ON p.key = m.key"
        " WHERE m.key BETWEEN ?1 AND ?2 ORDER BY m.key",
    [I_ENVELOPES] = "SELECT m.key, m.saved_ms, p.key, envelope FROM message m LEFT JOIN prepared p ON p.key = m.key"
                    " WHERE m.key BETWEEN ?1 AND ?2 ORDER BY m.key",
    [I_PREPARED_HAS] = "SELECT 1 FROM prepared WHERE key = ?1 AND (?2 OR structure IS NOT NULL)",
    [I_PREPARED_PUT] =
        "INSERT OR REPLACE INTO prepared (key, " PREPARED_TEXTS ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8,"
        " ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
    [I_PREPARED_COPY] = "INSERT OR REPLACE INTO prepared (key, " PREPARED_TEXTS ") SELECT ?2, " PREPARED_TEXTS
                        " FROM prepared WHERE key = ?1",
    [I_PREPARED_DELETE] = "DELETE FROM prepared WHERE key = ?1",
    [I_UNPREPARED] =
        "SELECT m.key FROM message m WHERE m.key BETWEEN ?1 AND ?2 AND NOT EXISTS"
        " (SELECT 1 FROM prepared p WHERE p.key = m.key AND p.structure IS NOT NULL) ORDER BY m.key DESC LIMIT ?3",
    [I_EXPUNGED] = "SELECT low, high FROM expunged WHERE folder = ?1 AND modseq > ?2",
    [I_EXPUNGED_PUT] = "INSERT OR REPLACE INTO expunged (folder, modseq, low, high) VALUES (?1, ?2, ?3, ?4)",
    [I_EXPUNGED_BOUND] = "SELECT modseq FROM expunged WHERE folder = ?1 ORDER BY modseq DESC LIMIT 1 OFFSET ?2",
    [I_EXPUNGED_TRIM] = "DELETE FROM expunged WHERE folder = ?1 AND modseq <= ?2",
    [I_UIDL] = "SELECT uidl FROM uidl WHERE key = ?1",
    [I_UIDL_PUT] = "INSERT OR REPLACE INTO uidl (key, uidl) VALUES (?1, ?2)",
    [I_UIDL_DELETE] = "DELETE FROM uidl WHERE key = ?1",
    [I_MODSEQ_MESSAGES] = "UPDATE message SET modseq = ?1",
    [I_MODSEQ_FOLDERS] = "UPDATE folder SET modseq = ?1, vanished_from = ?1",
};

/* What tells one run of the system from the next: after a power cut the last transactions are not there. */
static void boot_id(char to[BOOT_MAX])
{
    int fd = sys->openat(AT_FDCWD, "/proc/sys/kernel/random/boot_id", O_RDONLY, 0);
    ssize_t n = 0;

    if (fd >= 0) {
        n = sys->pread(fd, to, BOOT_MAX - 1, 0);
        (void)sys->close(fd);
    }
    to[n > 0 ? n : 0] = '\0';
    to[strcspn(to, "\n")] = '\0';
}

sqlite3_stmt *index_stmt(struct index *x, enum index_statement s, int *code, struct err *e)
{
    *code = x->db == NULL ? index_db_again(x, e) : 0;
    if (*code == 0 && x->stmt[s] == NULL)
        *code = db_prepare(x->db, &statements[s], &x->stmt[s], 1, e);
    if (*code == -EIO && x->db != NULL && (sqlite3_errcode(x->db) & 0xff) == SQLITE_ERROR)
        *code = -EBADMSG; /* our text is right, so the tables are not */
    return *code < 0 ? NULL : x->stmt[s];
}

int index_run(struct index *x, enum index_statement which, const int64_t *numbers, size_t count, struct err *e)
{
    int r;
    sqlite3_stmt *s = index_stmt(x, which, &r, e);

    if (s == NULL)
        return r;
    for (size_t i = 0; i < count; i++)
        (void)sqlite3_bind_int64(s, (int)i + 1, numbers[i]);
    return db_run(x->db, s, e);
}

static int state_set(struct index *x, bool clean, struct err *e)
{
    char boot[BOOT_MAX];
    int r;
    sqlite3_stmt *s = index_stmt(x, I_STATE_SET, &r, e);

    if (s == NULL)
        return r;
    boot_id(boot);
    (void)sqlite3_bind_int64(s, 1, clean);
    db_bind_text(s, 2, boot, sizeof boot);
    (void)sqlite3_bind_int64(s, 3, x->uidvalidity);
    r = db_run(x->db, s, e);
    (void)sqlite3_clear_bindings(s);
    return r;
}

int index_begin(struct index *x, struct err *e)
{
    int r;

    TRY(index_run(x, I_BEGIN, NULL, 0, e));
    x->uidvalidity_written = x->uidvalidity;
    r = x->dirty && x->uidvalidity == x->uidvalidity_put ? 0 : state_set(x, false, e);
    if (r < 0)
        index_rollback(x);
    return r;
}

int index_commit(struct index *x, struct err *e)
{
    int r = index_run(x, I_COMMIT, NULL, 0, e);

    if (r < 0) {
        index_rollback(x);
        return r;
    }
    x->dirty = true;
    x->uidvalidity_put = x->uidvalidity_written;
    return 0;
}

void index_rollback(struct index *x)
{
    int r;
    sqlite3_stmt *s = index_stmt(x, I_ROLLBACK, &r, NULL);

    if (s != NULL)
        db_undo(x->db, s);
}

/* After an unclean end every modseq given now is above those that may have been given; and when the system went down
 * too, rows may be older than what clients were told: all count as changed. */
static int state_read(struct index *x, struct err *e)
{
    char boot[BOOT_MAX], *then = NULL;
    int64_t clean = 0, uidvalidity = 0;
    int64_t floor = clock_wall_ms();
    bool same;
    int r;
    sqlite3_stmt *s = index_stmt(x, I_STATE_GET, &r, e);

    if (s != NULL)
        r = db_row(x->db, s, e);
    if (r < 0)
        return r;
    if (r == 0)
        return -EBADMSG;
    r = db_int(s, 0, 0, 1, &clean);
    if (r == 0)
        r = db_text(s, 1, BOOT_MAX, &then);
    if (r == 0)
        r = db_int(s, 2, 0, UINT32_MAX, &uidvalidity);
    (void)sqlite3_reset(s);
    boot_id(boot);
    same = then != NULL && boot[0] != '\0' && strcmp(boot, then) == 0;
    mem_free(then);
    if (r < 0)
        return r;
    x->was_clean = clean != 0;
    if (uidvalidity > x->uidvalidity)
        x->uidvalidity = (uint32_t)uidvalidity;
    x->uidvalidity_put = (uint32_t)uidvalidity;
    if (x->was_clean)
        return 0;
    if (x->modseq_floor < (uint64_t)floor)
        x->modseq_floor = (uint64_t)floor;
    if (same)
        return 0;
    x->cut_ns = index_files_ns();
    TRY(index_begin(x, e));
    r = index_run(x, I_MODSEQ_MESSAGES, &floor, 1, e);
    if (r == 0)
        r = index_run(x, I_MODSEQ_FOLDERS, &floor, 1, e);
    if (r == 0)
        return index_commit(x, e);
    index_rollback(x);
    return r;
}

static int db_dir(struct index *x, struct err *e)
{
    int dir = sys->openat(x->maildirs->state, x->path, O_RDONLY | O_DIRECTORY, 0);

    return dir < 0 ? err_set(e, dir, "open %s: %s", x->path, err_text(dir)) : dir;
}

static ino_t db_inode(const struct index *x)
{
    char path[PATH_ROOM];
    struct stat st;

    (void)snprintf(path, sizeof path, "%s/%s", x->path, files[0]);
    return fstatat(x->maildirs->state, path, &st, AT_SYMLINK_NOFOLLOW) == 0 ? st.st_ino : 0;
}

bool index_db_there(const struct index *x)
{
    return db_inode(x) == x->inode;
}

/* *ret_made: there was none (or an empty file). */
static int try_open(struct index *x, bool *ret_made, struct err *e)
{
    int64_t version;

    TRY(db_open(x->where, files[0], false, &x->db, e));
    (void)sqlite3_db_config(x->db, SQLITE_DBCONFIG_LOOKASIDE, NULL, LOOKASIDE, LOOKASIDES); /* there are many of us */
    TRY(db_exec(x->db,
                "PRAGMA page_size = 8192; PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL;"
                "PRAGMA synchronous = NORMAL; PRAGMA secure_delete = OFF; PRAGMA wal_autocheckpoint = 500;"
                "PRAGMA journal_size_limit = 8388608; PRAGMA cache_size = -4096",
                e));
    TRY(db_number(x->db, "PRAGMA user_version", 0, &version, e));
    *ret_made = version == 0;
    if (version == 0) {
        TRY(db_exec(x->db, schema, e));
        x->modseq_floor = x->modseq_floor > (uint64_t)clock_wall_ms() ? x->modseq_floor : (uint64_t)clock_wall_ms();
    } else if (version != INDEX_SCHEMA) {
        return err_set(e, -EBADMSG, "index.db of %s has another form", x->user);
    }
    TRY(state_read(x, e));
    x->inode = db_inode(x);
    return 0;
}

void index_db_close(struct index *x)
{
    if (x->search_close != NULL)
        x->search_close(x);
    x->search_close = NULL;
    db_finalize(x->stmt, I_STATEMENTS);
    if (x->db != NULL)
        db_close(&x->db);
    x->dirty = false;
}

static int put_aside(struct index *x, struct err *e)
{
    int dir = db_dir(x, e);

    if (dir < 0)
        return dir;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char aside[64];
        int r;

        (void)snprintf(aside, sizeof aside, "%s.damaged", files[i]);
        r = sys->renameat(dir, files[i], dir, aside);
        if (r < 0 && r != -ENOENT) {
            (void)sys->close(dir);
            return err_set(e, r, "put %s/%s aside: %s", x->path, files[i], err_text(r));
        }
    }
    (void)sys->close(dir);
    return 0;
}

int index_db_open(struct index *x, struct err *e)
{
    bool made;
    int r = try_open(x, &made, e);

    if (r != -EBADMSG)
        return r;
    index_db_close(x);
    TRY(put_aside(x, e));
    x->rebuilt = true;
    return try_open(x, &made, e);
}

void index_db_clean(struct index *x)
{
    int r = 0;

    if (x->db == NULL || !x->dirty || index_run(x, I_BEGIN, NULL, 0, NULL) < 0)
        return;
    r = state_set(x, true, NULL);
    if (r == 0)
        r = index_run(x, I_COMMIT, NULL, 0, NULL);
    if (r < 0)
        index_rollback(x);
}

/* The folders that are known stay what they are, with their ids: sessions hold them. Their messages are found again. */
static int folders_again(struct index *x, struct err *e)
{
    int r;

    TRY(index_begin(x, e));
    r = 0;
    LIST_EACH (it, &x->folders) {
        struct folder *f = LIST_ENTRY(it, struct folder, link);

        index_folder_unknown(f);
        f->modseq = f->vanished_from = x->modseq_floor;
        if (r == 0)
            r = index_folder_put(x, f, e);
    }
    if (r == 0)
        return index_commit(x, e);
    index_rollback(x);
    return r;
}

int index_db_remake(struct index *x, struct err *e)
{
    bool made;

    if (x->db != NULL)
        index_rollback(x);
    index_db_close(x);
    LIST_EACH (it, &x->folders) {
        const struct folder *f = LIST_ENTRY(it, struct folder, link);

        if (x->modseq_floor <= f->modseq)
            x->modseq_floor = f->modseq + 1;
    }
    TRY(put_aside(x, e));
    x->rebuilt = true;
    TRY(try_open(x, &made, e));
    x->was_clean = false;
    return folders_again(x, e);
}

int index_db_again(struct index *x, struct err *e)
{
    bool made = false;
    int r = index_db_there(x) ? try_open(x, &made, e) : -EBADMSG;

    return r == -EBADMSG || (r == 0 && made) ? index_db_remake(x, e) : r;
}

bool index_recovered(struct index *x, int code, struct err *e)
{
    return code == -EBADMSG && index_db_remake(x, e) == 0;
}
