/* A damaged page hides the rows on it, and those behind it from whoever walks in order. So every tree is walked from
 * both ends until a damaged page stops it; each tells ids, and each id is then looked up by itself, which finds the rows
 * between two damaged pages. */
#include "queue_salvage_priv.h"

#include "facteur/base/mem.h"

#include <errno.h>
#include <stdlib.h>

static const char *const walks[] = {
    "SELECT id, 0 FROM message ORDER BY id",
    "SELECT id, 0 FROM message ORDER BY id DESC",
    "SELECT message, seq FROM recipient ORDER BY message, seq",
    "SELECT message, seq FROM recipient ORDER BY message DESC, seq DESC",
    "SELECT message, seq FROM recipient INDEXED BY recipient_due WHERE due > 0 ORDER BY due",
    "SELECT message, seq FROM recipient INDEXED BY recipient_due WHERE due > 0 ORDER BY due DESC",
};
enum { WALKS = sizeof walks / sizeof walks[0], ROW_LEAST = 4 };

struct ids {
    uint64_t *all;
    size_t count, cap;
};

static void ids_add(struct ids *ids, int64_t id)
{
    if (id <= 0 || id == INT64_MAX || (ids->count > 0 && ids->all[ids->count - 1] == (uint64_t)id))
        return;
    if (ids->count == ids->cap) {
        ids->cap = ids->cap == 0 ? 256 : ids->cap * 2;
        ids->all = mem_resize(ids->all, ids->cap * sizeof *ids->all);
    }
    ids->all[ids->count++] = (uint64_t)id;
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static void ids_sort(struct ids *ids)
{
    size_t n = 0;

    if (ids->count > 0)
        qsort(ids->all, ids->count, sizeof *ids->all, by_number);
    for (size_t i = 0; i < ids->count; i++)
        if (n == 0 || ids->all[n - 1] != ids->all[i])
            ids->all[n++] = ids->all[i];
    ids->count = n;
}

/* A damaged tree may lead in a circle: it has no more rows than fit into its file. */
static int walk(struct queue *old, const char *sql, int64_t rows_most, struct ids *ids, struct err *e)
{
    sqlite3_stmt *s = NULL;
    int r = db_prepare(old->db, &sql, &s, 1, e);

    if (r == 0) {
        while ((r = db_row(old->db, s, e)) == 1) {
            ids_add(ids, sqlite3_column_int64(s, 0));
            if (rows_most-- == 0) {
                r = -EBADMSG;
                break;
            }
        }
    }
    db_finalize(&s, 1);
    return r;
}

int salvage_ids(struct queue *old, uint64_t **ret, size_t *ret_count, bool *ret_holes, struct err *e)
{
    struct ids ids = { 0 };
    int64_t pages = 0;
    int r = db_number(old->db, "PRAGMA page_count", 0, &pages, e);

    for (size_t i = 0; i < WALKS && (r == 0 || r == -EBADMSG); i++) {
        r = walk(old, walks[i], pages * (int64_t)old->page_size / ROW_LEAST, &ids, e);
        if (r == -EBADMSG)
            *ret_holes = true;
    }
    if (r < 0 && r != -EBADMSG) {
        mem_free(ids.all);
        return r;
    }
    ids_sort(&ids);
    *ret = ids.all;
    *ret_count = ids.count;
    return 0;
}

/* Upwards from the first recipient, or downwards from the last as far as the one that is known already. A row that makes
 * no sense is left out; a damaged page ends it. 0, or -EBADMSG for either. */
static int read_recipients(struct queue *old, bool down, struct queue_message *m, struct err *e)
{
    static const char *const sql[] = {
        "SELECT " QUEUE_RECIPIENT_COLUMNS " FROM recipient WHERE message = ?1 ORDER BY seq",
        "SELECT " QUEUE_RECIPIENT_COLUMNS " FROM recipient WHERE message = ?1 ORDER BY seq DESC",
    };
    int64_t known = m->count > 0 ? (int64_t)m->recipients[m->count - 1].seq : -1, last = down ? INT64_MAX : known;
    sqlite3_stmt *s = NULL;
    int worst = 0, r = db_prepare(old->db, &sql[down], &s, 1, e);

    if (r == 0) {
        (void)sqlite3_bind_int64(s, 1, (int64_t)m->id);
        while ((r = db_row(old->db, s, e)) == 1 && m->count < QUEUE_RECIPIENTS_MAX) {
            struct queue_recipient one = { 0 };

            if (queue_read_recipient(s, &one) < 0 || one.seq <= known || (down ? one.seq >= last : one.seq <= last)) {
                queue_recipient_clear(&one);
                worst = -EBADMSG;
                if (down)
                    break;
                continue;
            }
            m->recipients = mem_resize(m->recipients, (m->count + 1) * sizeof *m->recipients);
            m->recipients[m->count++] = one;
            last = one.seq;
        }
    }
    db_finalize(&s, 1);
    return r < 0 ? r : worst;
}

int salvage_message(struct queue *old, uint64_t id, struct queue_message **ret, bool *complete, struct err *e)
{
    struct queue_message *m = mem_zero(sizeof *m);
    sqlite3_stmt *s = old->stmt[Q_MESSAGE];
    int r, more;

    *ret = m;
    (void)sqlite3_bind_int64(s, 1, (int64_t)id);
    r = db_row(old->db, s, e);
    if (r == 1)
        r = queue_read_message(s, m);
    else if (r == 0)
        r = -EBADMSG; /* its recipients say that there was one */
    (void)sqlite3_reset(s);
    m->id = id;
    if (r == 0 && !m->spooled)
        r = queue_read_body(old, m, e);
    more = read_recipients(old, false, m, e);
    *complete = more == 0;
    if (more == -EBADMSG)
        more = read_recipients(old, true, m, e);
    if (more < 0 && more != -EBADMSG)
        return more;
    return r == 0 && m->count == 0 ? -EBADMSG : r;
}
