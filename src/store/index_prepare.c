/* What the index keeps of each message: texts that options.prepare makes from its file, put into its row.
 *
 * Neighbours are prepared in groups, by two threads side by side where there are two (options.share): a client that
 * looks at a mailbox for the first time waits for all of them. */
#include "index_priv.h"

#include "facteur/base/clock.h"
#include "facteur/base/mem.h"
#include "facteur/store/sys.h"

#include <errno.h>
#include <stdatomic.h>

enum { PREPARE_ROWS = 256, GROUP_ROWS = 64, GROUP_OCTETS = 1024 * 1024 };

static int is_prepared(struct index *x, const struct folder *f, uint32_t uid, bool hasty, struct err *e)
{
    int r;
    sqlite3_stmt *s = index_stmt(x, I_PREPARED_HAS, &r, e);

    if (s == NULL)
        return r;
    (void)sqlite3_bind_int64(s, 1, INDEX_KEY(f->id, uid));
    (void)sqlite3_bind_int64(s, 2, hasty);
    r = db_row(x->db, s, e);
    (void)sqlite3_reset(s);
    return r;
}

static void bind_slice(sqlite3_stmt *s, int at, struct slice text)
{
    (void)sqlite3_bind_blob(s, at, text.n > 0 ? text.p : "", (int)text.n, SQLITE_STATIC);
}

static int put_prepared(struct index *x, const struct folder *f, uint32_t uid, const struct index_prepared *p,
                        struct err *e)
{
    const struct slice before[] = {
        p->envelope, p->structure, p->body, { p->email_id, strnlen(p->email_id, sizeof p->email_id) }
    };
    const struct slice after[] = { p->from,       p->to,         p->cc,         p->subject, p->display_from,
                                   p->display_to, p->message_id, p->references, p->preview };
    int r, at = 1;
    sqlite3_stmt *s = index_stmt(x, I_PREPARED_PUT, &r, e);

    if (s == NULL)
        return r;
    (void)sqlite3_bind_int64(s, at++, INDEX_KEY(f->id, uid));
    for (size_t i = 0; i < sizeof before / sizeof before[0]; i++)
        bind_slice(s, at++, before[i]);
    if (p->partial)
        (void)sqlite3_bind_null(s, 3); /* structure */
    (void)sqlite3_bind_int64(s, at++, p->sent_ms);
    (void)sqlite3_bind_int64(s, at++, p->reply);
    for (size_t i = 0; i < sizeof after / sizeof after[0]; i++)
        bind_slice(s, at++, after[i]);
    r = db_run(x->db, s, e);
    (void)sqlite3_clear_bindings(s);
    return r;
}

/* A row that is being prepared: the texts are made from its file alone, so two threads can do it side by side. */
struct preparing {
    const struct index *x;
    const struct folder *f;
    const struct row *row;
    struct arena texts;
    struct index_prepared made;
    int result; /* 1: its file cannot be read */
};

/* Neighbours that are prepared together. */
struct group {
    struct preparing items[GROUP_ROWS];
    int count;
    atomic_int next; /* that nobody has taken yet */
};

static void begin(struct preparing *p, const struct index *x, const struct folder *f, const struct row *row, bool hasty)
{
    *p = (struct preparing){ .x = x, .f = f, .row = row };
    p->made = (struct index_prepared){ .sent_ms = row->message.internal_ms, .limits = x->options.mime, .hasty = hasty };
}

static void make(struct preparing *p)
{
    uint64_t stored;
    int fd;

    p->result = index_open_row(p->f, p->row, &fd, &stored);
    if (p->result < 0) {
        p->result = p->result == -ENOENT ? -ENOENT : 1;
        return;
    }
    if (p->x->options.prepare != NULL && p->x->options.prepare(fd, stored, &p->texts, &p->made) < 0)
        p->result = 1;
    (void)sys->close(fd);
}

/* Each thread that runs it takes what is left. */
static void make_some(void *arg)
{
    struct group *g = arg;
    int i;

    while ((i = atomic_fetch_add(&g->next, 1)) < g->count)
        make(&g->items[i]);
}

static void make_all(const struct index *x, struct group *g)
{
    atomic_init(&g->next, 0);
    if (x->options.share != NULL && g->count > 1)
        x->options.share(x->options.share_arg, make_some, g);
    else
        make_some(g);
}

/* The rows from `rows` on that have no texts yet, up to the first that has; of large messages only one. */
static int gather(struct index *x, const struct folder *f, const struct row *rows, int count, bool hasty,
                  struct group *g, struct err *e)
{
    uint64_t octets = 0;

    for (g->count = 0; g->count < count && g->count < GROUP_ROWS; g->count++) {
        int r = is_prepared(x, f, rows[g->count].message.uid, hasty, e);

        octets += rows[g->count].message.size;
        if (r < 0)
            return r;
        if (r > 0 || (g->count > 0 && octets > GROUP_OCTETS))
            break;
        begin(&g->items[g->count], x, f, &rows[g->count], hasty);
    }
    return 0;
}

static int put(struct index *x, const struct preparing *p, struct err *e)
{
    return p->result == 0 ? put_prepared(x, p->f, p->row->message.uid, &p->made, e) : p->result;
}

/* 0, or the result of the first that could not be made. */
static int put_all(struct index *x, const struct group *g, int *ret_put, struct err *e)
{
    int r = 0;

    for (*ret_put = 0; *ret_put < g->count && r == 0;) {
        const struct preparing *p = &g->items[*ret_put];

        r = put(x, p, e);
        if (r == 0)
            ++*ret_put;
    }
    return r;
}

static int prepare_group(struct index *x, struct group *g, int *ret_put, struct err *e)
{
    int r;

    make_all(x, g);
    r = put_all(x, g, ret_put, e);
    for (int i = 0; i < g->count; i++)
        arena_clear(&g->items[i].texts);
    return r;
}

/* Prepares the rows that have no texts yet, up to the first that has; *passed (in a row that could not be prepared) is
 * what is to be left out. */
static int prepare_rows(struct index *x, struct folder *f, const struct row *rows, int count, bool hasty, int64_t since,
                        uint32_t *passed, struct err *e)
{
    struct group *g = mem_alloc(sizeof *g);
    int r = 0;

    for (int i = 0, done = 0; i < count && r == 0 && (i == 0 || !index_slice_over(since)); i += done) {
        r = gather(x, f, rows + i, count - i, hasty, g, e);
        if (r < 0 || g->count == 0)
            break;
        r = prepare_group(x, g, &done, e);
        if (r == -ENOENT)
            r = index_lost(f, rows[i + done].message.uid);
        if (r == 1 && i + done == 0)
            *passed = rows[0].message.uid;
    }
    mem_free(g);
    return r < 0 ? r : 0;
}

int index_prepare_from(struct index *x, struct folder *f, const struct ranges *uids, uint32_t from, bool hasty,
                       int64_t since, uint32_t *passed, struct err *e)
{
    struct row *rows = mem_array(PREPARE_ROWS, sizeof *rows);
    int n = index_rows_of(x, f, uids, &from, rows, PREPARE_ROWS, e);
    int r = n < 0 ? n : n == 0 ? 0 : index_begin(x, e);

    if (r == 0 && n > 0) {
        int saved;

        r = prepare_rows(x, f, rows, n, hasty, since, passed, e);
        if (r < 0 && r != -EAGAIN) {
            index_rollback(x);
        } else {
            saved = index_commit(x, e);
            r = saved < 0 ? saved : r;
        }
    }
    mem_free(rows);
    return r;
}

static int unprepared(struct index *x, const struct folder *f, uint32_t from, uint32_t to, uint32_t *uids, int room,
                      struct err *e)
{
    int n = 0, r;
    sqlite3_stmt *s = index_stmt(x, I_UNPREPARED, &r, e);

    if (s == NULL)
        return r;
    (void)sqlite3_bind_int64(s, 1, INDEX_KEY(f->id, from));
    (void)sqlite3_bind_int64(s, 2, INDEX_KEY(f->id, to));
    (void)sqlite3_bind_int64(s, 3, room);
    while (n < room && (r = db_row(x->db, s, e)) > 0)
        uids[n++] = (uint32_t)sqlite3_column_int64(s, 0);
    (void)sqlite3_reset(s);
    return r < 0 ? r : n;
}

/* 1: its file cannot be read. */
static int prepare_one(struct index *x, struct folder *f, const struct row *row, struct err *e)
{
    struct preparing p;
    int r;

    begin(&p, x, f, row, false);
    make(&p);
    r = put(x, &p, e);
    arena_clear(&p.texts);
    return r;
}

static int prepare_uids(struct index *x, struct folder *f, const uint32_t *uids, int count, int64_t since, int *done,
                        bool *any, struct err *e)
{
    int r = index_begin(x, e);

    if (r < 0)
        return r;
    *any = false;
    for (*done = 0; *done < count && r >= 0 && (*done == 0 || !index_slice_over(since)); (*done)++) {
        struct row row;

        r = index_row(x, f, uids[*done], &row, e);
        if (r == 0)
            r = prepare_one(x, f, &row, e);
        *any = *any || r == 0;
        if (r == -ENOENT) {
            f->known[PLACE_CUR] = false; /* the next sync sees what became of it */
            r = 0;
        }
    }
    if (r >= 0)
        return index_commit(x, e);
    index_rollback(x);
    return r;
}

static int prepare_some(struct index *x, struct folder *f, struct err *e)
{
    int64_t since = clock_mono_us();
    uint32_t uids[PREPARE_ROWS] = { 0 };
    int n, done;
    bool any;

    if (f->prepared_low >= f->prepared_high)
        f->prepared_low = f->prepared_high = f->uidnext;
    do {
        uint32_t next = f->uidnext;

        n = unprepared(x, f, f->prepared_high, UID_MAX, uids, PREPARE_ROWS, e);
        if (n == 0) {
            f->prepared_high = next;
            n = f->prepared_low > 1 ? unprepared(x, f, 1, f->prepared_low - 1, uids, PREPARE_ROWS, e) : 0;
            if (n == 0)
                f->prepared_low = 1;
        }
        if (n <= 0)
            return n;
        TRY(prepare_uids(x, f, uids, n, since, &done, &any, e));
        if (uids[done - 1] < f->prepared_low)
            f->prepared_low = uids[done - 1];
        else if (!any || (done == n && n < PREPARE_ROWS))
            f->prepared_high = next; /* what cannot be prepared is passed over */
    } while (!index_slice_over(since));
    return MORE;
}

int index_prepare_some(struct index *x, uint32_t folder, struct err *e)
{
    struct folder *f;
    int r = index_folder_open(x, folder, &f, e);

    if (r == 0)
        r = prepare_some(x, f, e);
    return index_recovered(x, r, e) ? MORE : r;
}
