/* Flags and keywords: they stand in the row at once; the file gets the name that says so behind it (index_names.c). */
#include "index_priv.h"

#include "facteur/base/clock.h"
#include "facteur/base/mem.h"

#include "keywords_priv.h"

#include <errno.h>

enum { STORE_ROWS = 128 };

int index_rows_of(struct index *x, const struct folder *f, const struct ranges *uids, uint32_t *from, struct row *rows,
                  size_t room, struct err *e)
{
    size_t low = 0, high = uids->count, count = 0;

    while (low < high) { /* the first range that ends at *from or after it */
        size_t middle = low + (high - low) / 2;

        if (uids->items[middle].to < *from)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < uids->count && count < room; low++) {
        const struct range *range = &uids->items[low];
        uint32_t start = *from > range->from ? *from : range->from;
        int n = index_rows(x, f, start, range->to, rows + count, room - count, e);

        if (n < 0)
            return n;
        count += (size_t)n;
        if (count < room)
            *from = range->to < UINT32_MAX ? range->to + 1 : UINT32_MAX;
        else
            *from = rows[count - 1].message.uid + 1;
    }
    return (int)count;
}

/* What a file was not where its row says means: it was renamed (the folder is read, and the call goes on with the same
 * message), or it has gone (once it was looked for). 1: go on without it. */
int index_lost(struct folder *f, uint32_t uid)
{
    if (f->retried == uid) {
        f->retried = 0;
        f->known[PLACE_CUR] = false;
        return 1;
    }
    f->retried = uid;
    f->must_scan = true;
    return -EAGAIN;
}

static void new_flags(const struct index_store *op, struct mailbox_message *m)
{
    switch (op->how) {
    case FLAGS_REPLACE:
        m->flags = op->flags;
        m->keywords = op->keywords;
        break;
    case FLAGS_ADD:
        m->flags |= op->flags;
        m->keywords |= op->keywords;
        break;
    case FLAGS_REMOVE:
        m->flags = (uint8_t)(m->flags & ~op->flags);
        m->keywords &= ~op->keywords;
        break;
    }
}

/* 0, 1 when nothing changes, or negative. */
static int store_one(struct index *x, struct folder *f, struct row *row, const struct index_store *op, uint64_t *modseq,
                     struct ranges *modified, struct err *e)
{
    struct mailbox_message was = row->message;

    if (op->conditional && was.modseq > op->since)
        return ranges_add(modified, was.uid, was.uid) < 0 ? -E2BIG : 1;
    new_flags(op, &row->message);
    if (row->message.flags == was.flags && row->message.keywords == was.keywords)
        return 1;
    if (*modseq == 0)
        *modseq = index_next_modseq(x, f);
    row->message.modseq = *modseq;
    TRY(index_row_flags(x, f, row, e));
    index_name_due(x, f, was.uid);
    index_changed(f, &row->message);
    return 0;
}

/* A slice, in one transaction. */
static int store_some(struct index *x, struct folder *f, const struct ranges *uids, uint32_t *from,
                      const struct index_store *op, struct ranges *modified, struct err *e)
{
    int64_t since = clock_mono_us();
    struct row *rows = mem_array(STORE_ROWS, sizeof *rows);
    uint64_t modseq = 0;
    int n, r = 0;

    do {
        uint32_t next = *from;

        n = index_rows_of(x, f, uids, &next, rows, STORE_ROWS, e);
        r = n < 0 ? n : 0;
        for (int i = 0; i < n && r >= 0; i++) {
            r = store_one(x, f, &rows[i], op, &modseq, modified, e);
            if (r >= 0)
                *from = rows[i].message.uid + 1;
        }
        if (r >= 0)
            *from = next;
    } while (r >= 0 && n == STORE_ROWS && !index_slice_over(since));
    mem_free(rows);
    return r < 0 ? r : n == STORE_ROWS ? MORE : DONE;
}

static int store_once(struct index *x, uint32_t folder, const struct ranges *uids, uint32_t *from,
                      const struct index_store *op, struct mailbox_changes *ret, struct ranges *modified, struct err *e)
{
    struct folder *f;
    bool others;
    int r, saved;

    TRY(index_folder_open(x, folder, &f, e));
    others = ret != NULL && (f->must_scan || f->rebuilt || f->unsaid.count + f->unsaid.gone.count > 0);
    r = index_ready(x, f, e);
    if (r == DONE && others) {
        r = MORE; /* by itself: who asked knows what it did, but not that */
    } else if (r == DONE) {
        uint32_t start = *from;

        TRY(index_begin(x, e));
        r = store_some(x, f, uids, from, op, modified, e);
        saved = r < 0 ? r : index_save(x, f, e);
        if (r < 0)
            index_rollback(x);
        if (saved < 0) { /* nothing has happened */
            index_unsay(f);
            *from = start;
            return saved;
        }
    }
    if (r < 0)
        return r;
    saved = index_tell(x, f, ret, e);
    return saved < 0 ? saved : r;
}

int index_store(struct index *x, uint32_t folder, const struct ranges *uids, uint32_t *from,
                const struct index_store *op, struct mailbox_changes *ret, struct ranges *modified, struct err *e)
{
    int r = store_once(x, folder, uids, from, op, ret, modified, e);

    return index_recovered(x, r, e) ? MORE : r;
}

static int keyword_add(struct index *x, struct folder *f, struct slice name, struct err *e)
{
    unsigned bit = f->keyword_count;
    int r = 0;

    f->keywords[bit] = mem_dup(name.p, name.n);
    if (bit < KEYWORDS_IN_NAME) {
        r = keywords_write(f->base, (const char *const *)f->keywords, bit + 1, e);
    } else {
        sqlite3_stmt *s;

        r = index_begin(x, e);
        s = r == 0 ? index_stmt(x, I_KEYWORD_PUT, &r, e) : NULL;
        if (s != NULL) {
            (void)sqlite3_bind_int64(s, 1, f->id);
            (void)sqlite3_bind_int64(s, 2, bit);
            db_bind_text(s, 3, f->keywords[bit], KEYWORD_LENGTH);
            r = db_run(x->db, s, e);
        }
        if (r == 0)
            r = index_commit(x, e);
        else
            index_rollback(x);
    }
    if (r < 0)
        mem_free(f->keywords[bit]);
    else
        f->keyword_count++;
    return r;
}

static unsigned most_keywords(const struct index *x)
{
    return x->options.keywords < KEYWORDS_MAX ? x->options.keywords : KEYWORDS_MAX;
}

static int too_many(unsigned max, struct err *e)
{
    return err_set(e, -EXFULL, "a mailbox may have %u keywords (limits.keywords)", max);
}

static bool is_needed(const struct keyword_needs *n, struct slice name)
{
    for (unsigned i = 0; i < n->count; i++)
        if (slice_ieq(n->names[i], name))
            return true;
    return false;
}

int index_keywords_need(struct index *x, struct folder *f, const struct slice *names, size_t count,
                        struct keyword_needs *n, struct err *e)
{
    unsigned max = most_keywords(x), bit;

    for (size_t i = 0; i < count; i++) {
        int r = index_keyword_bit(x, f, names[i], false, &bit, NULL);

        if (r != -ENOENT && r < 0)
            return err_set(e, r, "%s", err_text(r));
        if (r == 0 || is_needed(n, names[i]))
            continue;
        if (f->keyword_count + n->count >= max)
            return too_many(max, e);
        n->names[n->count++] = names[i];
    }
    return 0;
}

int index_keywords_fit(struct index *x, uint32_t folder, const struct slice *names, size_t count, struct err *e)
{
    struct keyword_needs needs = { .count = 0 };
    struct folder *f;

    TRY(index_folder_open(x, folder, &f, e));
    return index_keywords_need(x, f, names, count, &needs, e);
}

int index_keyword_bit(struct index *x, struct folder *f, struct slice name, bool create, unsigned *ret, struct err *e)
{
    unsigned max = most_keywords(x);

    for (int again = 0; again < 2; again++) {
        for (unsigned i = 0; i < f->keyword_count; i++)
            if (slice_iis(name, f->keywords[i])) {
                *ret = i;
                return 0;
            }
        if (!create)
            return err_set(e, -ENOENT, "no message has this keyword");
        if (again == 0) /* another program may have named a letter */
            TRY(index_keywords_read(x, f, e));
    }
    if (!keyword_valid(name))
        return err_set(e, -EINVAL, "this cannot be a keyword");
    if (f->keyword_count >= max)
        return too_many(max, e);
    TRY(keyword_add(x, f, name, e));
    index_keywords_changed(f);
    *ret = f->keyword_count - 1;
    return 0;
}

static int keyword_once(struct index *x, uint32_t folder, struct slice name, bool create, unsigned *ret,
                        struct mailbox_changes *changes, struct err *e)
{
    struct folder *f;

    TRY(index_folder_open(x, folder, &f, e));
    TRY(index_keyword_bit(x, f, name, create, ret, e));
    return index_tell(x, f, changes, e);
}

int index_keyword(struct index *x, uint32_t folder, struct slice name, bool create, unsigned *ret,
                  struct mailbox_changes *changes, struct err *e)
{
    int r = keyword_once(x, folder, name, create, ret, changes, e);

    return index_recovered(x, r, e) ? keyword_once(x, folder, name, create, ret, changes, e) : r;
}
