/* Taking messages in. */
#include "folders_priv.h"
#include "search_priv.h"

#include "facteur/base/clock.h"
#include "facteur/base/mem.h"
#include "facteur/store/search.h"
#include "facteur/store/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

enum {
    SLICE_MESSAGES = 64,
    SLICE_TEXT = 48 * 1024, /* octets that the tables take in within a slice */
    WRITE_US = 10000,       /* of a slice: what is left is for reading */
    RENEW_MIN = 2000        /* rows of gone messages that are not worth new tables */
};

struct taken {
    uint32_t uid;
    bool readable; /* else its file was renamed just now, or has gone */
    struct search_text text;
};

struct batch {
    struct taken items[SLICE_MESSAGES]; /* descending */
    size_t count;
    bool last; /* there are no more */
};

static void batch_free(struct batch *b)
{
    for (size_t i = 0; i < b->count; i++)
        search_text_clear(&b->items[i].text);
    mem_free(b);
}

/* The greatest UID below `below` that is there and not done; 0: none. */
static int next_uid(struct index *x, uint32_t folder, const struct ranges *done, uint32_t below, uint32_t *ret,
                    struct err *e)
{
    size_t i = done->count;

    *ret = 0;
    while (below > 1) {
        uint32_t low = 1;
        sqlite3_stmt *s;
        int r;

        while (i > 0 && done->items[i - 1].from >= below)
            i--;
        if (i > 0 && done->items[i - 1].to >= below - 1) { /* it stands right below */
            below = done->items[--i].from;
            continue;
        }
        if (i > 0)
            low = done->items[i - 1].to + 1;
        TRY(search_statement(x, S_NEXT, folder, low, below - 1, &s, e));
        r = db_row(x->db, s, e);
        if (r < 0)
            return r;
        if (r == 1) {
            *ret = (uint32_t)(sqlite3_column_int64(s, 0) & UINT32_MAX);
            (void)sqlite3_reset(s);
            return 0;
        }
        below = low;
    }
    return 0;
}

static int read_one(struct index *x, const struct folder *f, struct taken *t, struct err *e)
{
    struct stat st;
    struct row row;
    int fd;

    TRY(index_row(x, f, t->uid, &row, e));
    fd = sys->openat(f->places[row.place], row.name, O_RDONLY | O_NONBLOCK, 0);
    if (fd < 0)
        return 0;
    t->readable = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    if (t->readable)
        search_text_read(fd, (uint64_t)st.st_size, x->options.search_max, &t->text);
    (void)sys->close(fd);
    return 0;
}

static int read_batch(struct index *x, const struct folder *f, const struct ranges *done, struct batch *b,
                      struct err *e)
{
    int64_t since_us = clock_mono_us() - WRITE_US;
    uint32_t below = UINT32_MAX;
    size_t octets = 0;

    while (b->count < SLICE_MESSAGES && octets < SLICE_TEXT && !index_slice_over(since_us)) {
        struct taken *t = &b->items[b->count];
        uint32_t uid;

        TRY(next_uid(x, f->id, done, below, &uid, e));
        b->last = uid == 0;
        if (b->last)
            break;
        t->uid = below = uid;
        b->count++;
        TRY(read_one(x, f, t, e));
        octets += t->text.head.n + t->text.body.n;
    }
    return 0;
}

static int put_text(struct index *x, enum search_statement which, int64_t key, const struct buf *text, struct err *e)
{
    sqlite3_stmt *s;
    int r;

    if (text->n == 0)
        return 0;
    TRY(search_numbered(x, which, key, 0, 0, &s, e));
    (void)sqlite3_bind_text64(s, 2, text->p, text->n, SQLITE_STATIC, SQLITE_UTF8);
    r = db_run(x->db, s, e);
    (void)sqlite3_clear_bindings(s);
    return r;
}

/* Ascending, as FTS5 likes it: otherwise each row would be written out by itself. */
static int write_batch(struct index *x, uint32_t folder, const struct batch *b, const struct ranges *done,
                       struct err *e)
{
    int64_t taken = 0;

    for (size_t i = b->count; i-- > 0;) {
        const struct taken *t = &b->items[i];
        int64_t key = INDEX_KEY(folder, t->uid);

        TRY(put_text(x, S_HEAD_PUT, key, &t->text.head, e));
        TRY(put_text(x, S_BODY_PUT, key, &t->text.body, e));
        if (!t->readable || t->text.cut)
            TRY(search_run(x, S_ALWAYS_PUT, key, 0, 0, e));
        taken += t->readable;
    }
    TRY(search_run(x, S_COUNT_ADD, taken, 0, 0, e));
    TRY(search_run(x, S_DONE_CLEAR, folder, 0, 0, e));
    for (size_t i = 0; i < done->count; i++)
        TRY(search_run(x, S_DONE_PUT, folder, done->items[i].from, done->items[i].to, e));
    return 0;
}

/* All UIDs from the least of the batch up to the greatest that is done are done now, or were passed over since they are
 * nobody's, and never will be: so the ranges stay few. */
static int done_after(const struct ranges *before, const struct batch *b, struct ranges *ret)
{
    uint32_t low = b->last ? 1 : b->items[b->count - 1].uid, high = b->items[0].uid;

    if (before->count > 0 && before->items[before->count - 1].to > high)
        high = before->items[before->count - 1].to;
    TRY(ranges_copy(before, ret));
    return ranges_add(ret, low, high);
}

static int number_of(struct index *x, enum search_statement which, int64_t *ret, struct err *e)
{
    sqlite3_stmt *s;
    int r;

    TRY(search_numbered(x, which, 0, 0, 0, &s, e));
    r = db_row(x->db, s, e);
    if (r == 1)
        *ret = sqlite3_column_int64(s, 0);
    (void)sqlite3_reset(s);
    return r < 0 ? r : 0;
}

/* When most rows are of messages that have gone, the tables start anew. */
static int renew_if_worn(struct index *x, struct err *e)
{
    int64_t taken = 0, messages = 0;

    TRY(number_of(x, S_COUNT, &taken, e));
    if (taken < RENEW_MIN)
        return DONE;
    TRY(number_of(x, S_MESSAGES, &messages, e));
    if (taken - messages < RENEW_MIN || taken < 2 * messages)
        return DONE;
    TRY(search_renew(x, e));
    return MORE;
}

static int write_all(struct index *x, uint32_t folder, const struct batch *b, struct ranges *done, struct err *e)
{
    struct ranges after = { 0 };
    int r = done_after(done, b, &after);

    if (r == 0)
        r = index_begin(x, e);
    if (r == 0) {
        r = write_batch(x, folder, b, &after, e);
        if (r < 0)
            index_rollback(x);
        else
            r = index_commit(x, e);
    }
    if (r < 0) {
        ranges_clear(&after);
        return r;
    }
    ranges_clear(done);
    *done = after;
    return 0;
}

static int fill_once(struct index *x, uint32_t folder, struct err *e)
{
    struct index_search *s;
    struct ranges *done;
    struct folder *f;
    struct batch *b;
    int r;

    TRY(index_folder_open(x, folder, &f, e));
    r = index_catch_up(x, f, false, e);
    if (r != DONE) /* what a scan finds may be older than what is done */
        return r;
    TRY(search_open(x, &s, e));
    TRY(search_done(x, folder, &done, e));
    b = mem_zero(sizeof *b);
    r = read_batch(x, f, done, b, e);
    if (r == 0 && b->count > 0)
        r = write_all(x, folder, b, done, e);
    if (r == 0)
        r = b->last ? renew_if_worn(x, e) : MORE;
    batch_free(b);
    return r;
}

int search_fill(struct index *x, uint32_t folder, struct err *e)
{
    int r;

    if (folders_sweep(x) == MORE) /* work for the background as well */
        return MORE;
    if (!x->options.search)
        return DONE;
    r = fill_once(x, folder, e);
    return r < 0 && index_recovered(x, r, e) ? MORE : r;
}
