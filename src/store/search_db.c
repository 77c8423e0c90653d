/* The full-text index: two FTS5 tables of trigrams, whose rows have the keys of messages (index_priv.h).
 *
 *   search_head, search_body   contentless, without positions: which messages have a trigram, and nothing else
 *   search_done(folder, low, high)   all messages with these UIDs have been taken in
 *   search_always(key)               … but of these there is more than the tables know
 *   search_count(id = 1, taken)      rows in the tables; those of messages that have gone are not taken out
 *
 * A needle's trigrams are all in a text that contains it, so what the tables do not find is not there; what they find
 * may have the trigrams elsewhere. Texts and needles are folded before (charset_fold), the tokenizer folds nothing. */
#include "search_priv.h"

#include "facteur/base/mem.h"

#include <errno.h>

static const char schema[] =
    "CREATE VIRTUAL TABLE IF NOT EXISTS search_head USING fts5(text, content='', columnsize=0, detail=none,"
    " tokenize='trigram case_sensitive 1');"
    "CREATE VIRTUAL TABLE IF NOT EXISTS search_body USING fts5(text, content='', columnsize=0, detail=none,"
    " tokenize='trigram case_sensitive 1');"
    "CREATE TABLE IF NOT EXISTS search_done (folder INTEGER NOT NULL, low INTEGER NOT NULL, high INTEGER NOT NULL,"
    " PRIMARY KEY (folder, low)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS search_always (key INTEGER PRIMARY KEY);"
    "CREATE TABLE IF NOT EXISTS search_count (id INTEGER PRIMARY KEY CHECK (id = 1), taken INTEGER NOT NULL);"
    "INSERT OR IGNORE INTO search_count VALUES (1, 0)";

static const char drop_all[] = "DROP TABLE IF EXISTS search_head; DROP TABLE IF EXISTS search_body;"
                               "DROP TABLE IF EXISTS search_done; DROP TABLE IF EXISTS search_always;"
                               "DROP TABLE IF EXISTS search_count";

static const char *const statements[S_STATEMENTS] = {
    [S_DONE] = "SELECT low, high FROM search_done WHERE folder = ?1 ORDER BY low",
    [S_DONE_CLEAR] = "DELETE FROM search_done WHERE folder = ?1",
    [S_DONE_PUT] = "INSERT INTO search_done (folder, low, high) VALUES (?1, ?2, ?3)",
    [S_NEXT] = "SELECT key FROM message WHERE key BETWEEN ?1 AND ?2 ORDER BY key DESC LIMIT 1",
    [S_HEAD_PUT] = "INSERT INTO search_head (rowid, text) VALUES (?1, ?2)",
    [S_BODY_PUT] = "INSERT INTO search_body (rowid, text) VALUES (?1, ?2)",
    [S_ALWAYS_PUT] = "INSERT OR REPLACE INTO search_always (key) VALUES (?1)",
    [S_ALWAYS] = "SELECT key FROM search_always WHERE key BETWEEN ?1 AND ?2 ORDER BY key",
    [S_ALWAYS_CLEAR] = "DELETE FROM search_always WHERE key BETWEEN ?1 AND ?2",
    [S_COUNT] = "SELECT taken FROM search_count",
    [S_COUNT_ADD] = "UPDATE search_count SET taken = taken + ?1",
    [S_MESSAGES] = "SELECT count(*) FROM message",
    [S_HEAD] = "SELECT rowid FROM search_head WHERE search_head MATCH ?3 AND rowid BETWEEN ?1 AND ?2 ORDER BY rowid",
    [S_BODY] = "SELECT rowid FROM search_body WHERE search_body MATCH ?3 AND rowid BETWEEN ?1 AND ?2 ORDER BY rowid",
};

static void forget_folders(struct index_search *s)
{
    size_t cursor = 0;
    struct slice key;
    void *value;

    while (map_each(&s->done, &cursor, &key, &value)) {
        ranges_clear(value);
        mem_free(value);
    }
    map_clear(&s->done);
}

static void close_search(struct index *x)
{
    struct index_search *s = x->search;

    db_finalize(s->stmt, S_STATEMENTS);
    forget_folders(s);
    mem_free(s);
    x->search = NULL;
    x->search_close = NULL;
}

/* The tables are made when they are first needed, also after index.db was made anew. */
int search_open(struct index *x, struct index_search **ret, struct err *e)
{
    int r;

    if (x->search == NULL) {
        TRY(index_begin(x, e));
        r = db_exec(x->db, schema, e);
        if (r < 0) {
            index_rollback(x);
            return r;
        }
        TRY(index_commit(x, e));
        x->search = mem_zero(sizeof(struct index_search));
        x->search_close = close_search;
    }
    *ret = x->search;
    return 0;
}

/* A statement bound to the keys of the folder's UIDs low … high. */
int search_statement(struct index *x, enum search_statement which, uint32_t folder, uint32_t low, uint32_t high,
                     sqlite3_stmt **ret, struct err *e)
{
    struct index_search *s = x->search;

    if (s->stmt[which] == NULL)
        TRY(db_prepare(x->db, &statements[which], &s->stmt[which], 1, e));
    (void)sqlite3_bind_int64(s->stmt[which], 1, INDEX_KEY(folder, low));
    (void)sqlite3_bind_int64(s->stmt[which], 2, INDEX_KEY(folder, high));
    *ret = s->stmt[which];
    return 0;
}

/* A statement bound to plain numbers. */
int search_numbered(struct index *x, enum search_statement which, int64_t a, int64_t b, int64_t c, sqlite3_stmt **ret,
                    struct err *e)
{
    const int64_t numbers[] = { a, b, c };

    TRY(search_statement(x, which, 0, 0, 0, ret, e));
    for (int i = 0; i < sqlite3_bind_parameter_count(*ret) && i < 3; i++)
        (void)sqlite3_bind_int64(*ret, i + 1, numbers[i]);
    return 0;
}

int search_run(struct index *x, enum search_statement which, int64_t a, int64_t b, int64_t c, struct err *e)
{
    sqlite3_stmt *s;

    TRY(search_numbered(x, which, a, b, c, &s, e));
    return db_run(x->db, s, e);
}

static int read_done(struct index *x, uint32_t folder, struct ranges *ret, struct err *e)
{
    sqlite3_stmt *s;
    int r;

    TRY(search_numbered(x, S_DONE, folder, 0, 0, &s, e));
    while ((r = db_row(x->db, s, e)) == 1) {
        int64_t low = 0, high = 0;

        r = db_int(s, 0, 1, UINT32_MAX, &low);
        if (r == 0)
            r = db_int(s, 1, low, UINT32_MAX, &high);
        if (r == 0)
            r = ranges_add(ret, (uint32_t)low, (uint32_t)high);
        if (r < 0) {
            (void)sqlite3_reset(s);
            return err_set(e, -EBADMSG, "what the full-text index says of itself cannot be");
        }
    }
    return r;
}

int search_done(struct index *x, uint32_t folder, struct ranges **ret, struct err *e)
{
    struct index_search *s = x->search;
    struct slice key = { (const char *)&folder, sizeof folder };
    struct ranges *done = map_get(&s->done, key);
    int r;

    if (done == NULL) {
        done = mem_zero(sizeof *done);
        r = read_done(x, folder, done, e);
        if (r < 0) {
            ranges_clear(done);
            mem_free(done);
            return r;
        }
        (void)map_put(&s->done, key, done);
    }
    *ret = done;
    return 0;
}

int search_forget(struct index *x, uint32_t folder, struct err *e)
{
    struct index_search *s;
    struct ranges *done;
    sqlite3_stmt *stmt;
    int r;

    if (!x->options.search)
        return 0;
    TRY(search_open(x, &s, e));
    done = map_take(&s->done, (struct slice){ (const char *)&folder, sizeof folder });
    if (done != NULL)
        ranges_clear(done);
    mem_free(done);
    TRY(index_begin(x, e));
    r = search_run(x, S_DONE_CLEAR, folder, 0, 0, e);
    if (r == 0)
        r = search_statement(x, S_ALWAYS_CLEAR, folder, 0, UINT32_MAX, &stmt, e);
    if (r == 0)
        r = db_run(x->db, stmt, e);
    if (r < 0) {
        index_rollback(x);
        return r;
    }
    return index_commit(x, e);
}

int search_renew(struct index *x, struct err *e)
{
    int r;

    x->search_close(x);
    TRY(index_begin(x, e));
    r = db_exec(x->db, drop_all, e);
    if (r < 0) {
        index_rollback(x);
        return r;
    }
    return index_commit(x, e);
}
