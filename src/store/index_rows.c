/* Rows of messages, checked as they are read. */
#include "index_priv.h"

#include <errno.h>

static int read_row(sqlite3_stmt *s, const struct folder *f, struct row *ret)
{
    int64_t key, modseq, flags, size, place;
    int n = sqlite3_column_bytes(s, 8);
    const void *name = sqlite3_column_blob(s, 8);

    TRY(db_int(s, 0, INDEX_KEY(f->id, 1), INDEX_KEY(f->id, UID_MAX), &key));
    TRY(db_int(s, 1, 1, INT64_MAX - 1, &modseq));
    TRY(db_int(s, 2, 0, UINT8_MAX, &flags));
    TRY(db_int(s, 6, 0, INT64_MAX, &size));
    TRY(db_int(s, 7, 0, PLACES - 1, &place));
    if (name == NULL || n <= 0 || n >= MAILDIR_NAME || memchr(name, '/', (size_t)n) != NULL ||
        memchr(name, '\0', (size_t)n) != NULL)
        return -EBADMSG;
    ret->message = (struct mailbox_message){ .modseq = (uint64_t)modseq,
                                             .keywords = (uint64_t)sqlite3_column_int64(s, 3),
                                             .internal_ms = sqlite3_column_int64(s, 4),
                                             .size = (uint64_t)size,
                                             .uid = (uint32_t)key,
                                             .flags = (uint8_t)flags };
    ret->saved_ms = sqlite3_column_int64(s, 5);
    ret->place = (uint8_t)place;
    memcpy(ret->name, name, (size_t)n);
    ret->name[n] = '\0';
    return 0;
}

int index_rows(struct index *x, const struct folder *f, uint32_t from, uint32_t to, struct row *rows, size_t room,
               struct err *e)
{
    size_t count = 0;
    int r;
    sqlite3_stmt *s = index_stmt(x, I_MESSAGES, &r, e);

    if (s == NULL)
        return r;
    (void)sqlite3_bind_int64(s, 1, INDEX_KEY(f->id, from > 0 ? from : 1));
    (void)sqlite3_bind_int64(s, 2, INDEX_KEY(f->id, to < UID_MAX ? to : UID_MAX));
    (void)sqlite3_bind_int64(s, 3, (int64_t)room);
    while (count < room && (r = db_row(x->db, s, e)) > 0) {
        r = read_row(s, f, &rows[count]);
        if (r < 0) {
            (void)sqlite3_reset(s);
            return err_set(e, r, "index.db of %s has a row that cannot be", x->user);
        }
        count++;
    }
    (void)sqlite3_reset(s);
    return r < 0 ? r : (int)count;
}

int index_row(struct index *x, const struct folder *f, uint32_t uid, struct row *ret, struct err *e)
{
    int r = index_rows(x, f, uid, uid, ret, 1, e);

    return r == 0 ? -ENOENT : r < 0 ? r : 0;
}

int index_row_put(struct index *x, const struct folder *f, const struct row *row, struct err *e)
{
    const struct mailbox_message *m = &row->message;
    int r;
    sqlite3_stmt *s = index_stmt(x, I_MESSAGE_PUT, &r, e);

    if (s == NULL)
        return r;
    (void)sqlite3_bind_int64(s, 1, INDEX_KEY(f->id, m->uid));
    (void)sqlite3_bind_int64(s, 2, (int64_t)m->modseq);
    (void)sqlite3_bind_int64(s, 3, m->flags);
    (void)sqlite3_bind_int64(s, 4, (int64_t)m->keywords);
    (void)sqlite3_bind_int64(s, 5, m->internal_ms);
    (void)sqlite3_bind_int64(s, 6, row->saved_ms);
    (void)sqlite3_bind_int64(s, 7, (int64_t)m->size);
    (void)sqlite3_bind_int64(s, 8, row->place);
    (void)sqlite3_bind_blob(s, 9, row->name, (int)strlen(row->name), SQLITE_STATIC);
    return db_run(x->db, s, e);
}

int index_row_flags(struct index *x, const struct folder *f, const struct row *row, struct err *e)
{
    int r;
    sqlite3_stmt *s = index_stmt(x, I_MESSAGE_FLAGS, &r, e);

    if (s == NULL)
        return r;
    (void)sqlite3_bind_int64(s, 1, INDEX_KEY(f->id, row->message.uid));
    (void)sqlite3_bind_int64(s, 2, (int64_t)row->message.modseq);
    (void)sqlite3_bind_int64(s, 3, row->message.flags);
    (void)sqlite3_bind_int64(s, 4, (int64_t)row->message.keywords);
    (void)sqlite3_bind_int64(s, 5, row->place);
    (void)sqlite3_bind_blob(s, 6, row->name, (int)strlen(row->name), SQLITE_STATIC);
    return db_run(x->db, s, e);
}

int index_row_delete(struct index *x, const struct folder *f, uint32_t uid, struct err *e)
{
    static const enum index_statement all[] = { I_MESSAGE_DELETE, I_PREPARED_DELETE, I_UIDL_DELETE };
    int64_t key = INDEX_KEY(f->id, uid);

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        TRY(index_run(x, all[i], &key, 1, e));
    return 0;
}

/* Forgets the oldest: clients that have been away for longer are told of all UIDs that are not there. */
static int trim_expunged(struct index *x, struct folder *f, struct err *e)
{
    int64_t bound;
    int r;
    sqlite3_stmt *s = index_stmt(x, I_EXPUNGED_BOUND, &r, e);

    if (s == NULL)
        return r;
    (void)sqlite3_bind_int64(s, 1, f->id);
    (void)sqlite3_bind_int64(s, 2, EXPUNGED_ROWS);
    r = db_row(x->db, s, e);
    if (r <= 0)
        return r;
    bound = sqlite3_column_int64(s, 0);
    (void)sqlite3_reset(s);
    if (bound > 0 && (uint64_t)bound > f->vanished_from)
        f->vanished_from = (uint64_t)bound;
    return index_run(x, I_EXPUNGED_TRIM, (int64_t[]){ f->id, bound }, 2, e);
}

int index_expunged_put(struct index *x, struct folder *f, const struct ranges *gone, uint64_t modseq, struct err *e)
{
    for (size_t i = 0; i < gone->count; i++) {
        int64_t row[] = { f->id, (int64_t)modseq, gone->items[i].from, gone->items[i].to };

        TRY(index_run(x, I_EXPUNGED_PUT, row, 4, e));
    }
    f->expunged_puts += (unsigned)gone->count;
    if (f->expunged_puts < EXPUNGED_TRIM)
        return 0;
    f->expunged_puts = 0;
    return trim_expunged(x, f, e);
}
