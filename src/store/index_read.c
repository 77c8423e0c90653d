/* Messages as they are read: prepared texts from their rows, octets from their files.
 *
 * What is not prepared is prepared when it is first asked for (index_prepare.c), some rows at a time, and then read like
 * the rest. A message whose file cannot be read is left out. */
#include "index_priv.h"

#include "facteur/base/clock.h"
#include "facteur/base/mem.h"
#include "facteur/store/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

enum { CHECK_EVERY = 16, UNPREPARED = 2 };

int index_open_row(const struct folder *f, const struct row *row, int *ret_fd, uint64_t *ret_size)
{
    struct stat st;
    int fd = sys->openat(f->places[row->place], row->name, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);

    if (fd < 0)
        return fd;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        (void)sys->close(fd);
        return -ENOENT;
    }
    *ret_fd = fd;
    *ret_size = (uint64_t)st.st_size;
    return 0;
}

static int not_opened(const struct index *x, const struct folder *f, uint32_t uid, int code, struct err *e)
{
    return err_set(e, code, "open message %u in %s of %s: %s", (unsigned)uid, f->name, x->user, err_text(code));
}

static int note_size(struct index *x, struct folder *f, struct row *row, uint64_t wire, struct err *e)
{
    int64_t key = INDEX_KEY(f->id, row->message.uid);
    int r = index_begin(x, e);

    if (r < 0)
        return r;
    row->message.size = wire;
    row->message.modseq = index_next_modseq(x, f);
    r = index_row_put(x, f, row, e);
    if (r == 0)
        r = index_run(x, I_PREPARED_DELETE, &key, 1, e);
    if (r < 0) {
        index_rollback(x);
        return r;
    }
    f->prepared_low = f->prepared_high = UID_MAX;
    index_name_due(x, f, row->message.uid);
    index_changed(f, &row->message);
    r = index_save(x, f, e);
    if (r < 0)
        index_unsay(f);
    return r;
}

/* No message ever changes, but a file that was taken in before it was complete, or that another program has edited, has:
 * its name tells the size that it had. What was made of it then is not true any more. */
static int check_size(struct index *x, struct folder *f, struct row *row, uint64_t stored, struct err *e)
{
    struct file_name n;
    uint64_t wire;
    int r;

    file_name_parse(slice_str(row->name), &n);
    if (!n.has_size || n.size == stored || sqlite3_get_autocommit(x->db) == 0)
        return 0;
    if (index_wire_size(f->places[row->place], row->name, &wire) < 0 || wire == row->message.size)
        return 0;
    r = note_size(x, f, row, wire, e);
    return r == -EBADMSG ? r : 0; /* it can be read in any case */
}

static int message_once(struct index *x, uint32_t folder, uint32_t uid, int *ret_fd, uint64_t *ret_size, struct err *e)
{
    struct folder *f;
    struct row row;
    int r;

    TRY(index_folder_open(x, folder, &f, e));
    while ((r = index_ready(x, f, e)) == MORE)
        ;
    TRY(r);
    TRY(index_row(x, f, uid, &row, e));
    r = index_open_row(f, &row, ret_fd, ret_size);
    if (r == 0) {
        r = check_size(x, f, &row, *ret_size, e);
        if (r < 0)
            (void)sys->close(*ret_fd);
        return r;
    }
    if (r != -ENOENT)
        return not_opened(x, f, uid, r, e);
    f->must_scan = true; /* it may only have been renamed */
    while ((r = index_ready(x, f, e)) == MORE)
        ;
    TRY(r);
    TRY(index_row(x, f, uid, &row, e));
    r = index_open_row(f, &row, ret_fd, ret_size);
    return r < 0 ? not_opened(x, f, uid, r, e) : r;
}

int index_message(struct index *x, uint32_t folder, uint32_t uid, int *ret_fd, uint64_t *ret_size, struct err *e)
{
    int r = message_once(x, folder, uid, ret_fd, ret_size, e);

    if (index_recovered(x, r, e))
        r = message_once(x, folder, uid, ret_fd, ret_size, e);
    return r;
}

/* --- reading --- */

static struct slice text_at(sqlite3_stmt *s, int column)
{
    const char *p = sqlite3_column_blob(s, column);

    return (struct slice){ p, p != NULL ? (size_t)sqlite3_column_bytes(s, column) : 0 };
}

static void fill(sqlite3_stmt *s, bool all, struct index_prepared *p)
{
    struct slice *const texts[] = { &p->from,       &p->to,         &p->cc,         &p->subject, &p->display_from,
                                    &p->display_to, &p->message_id, &p->references, &p->preview };
    struct slice id;

    p->envelope = text_at(s, 3);
    if (!all)
        return;
    p->structure = text_at(s, 4);
    p->body = text_at(s, 5);
    id = text_at(s, 6);
    if (id.n > 0)
        memcpy(p->email_id, id.p, id.n < sizeof p->email_id ? id.n : sizeof p->email_id);
    p->sent_ms = sqlite3_column_int64(s, 7);
    p->reply = sqlite3_column_int64(s, 8) != 0;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        *texts[i] = text_at(s, 9 + (int)i);
}

struct reader {
    unsigned fields;
    int (*fn)(void *to, const struct index_row *row);
    void *to;
};

static const unsigned from_prepared =
    INDEX_ENVELOPE | INDEX_STRUCTURE | INDEX_BODY | INDEX_PREVIEW | INDEX_SORT | INDEX_IDS;

static bool wants_all(const struct reader *w)
{
    return (w->fields & from_prepared & ~(unsigned)INDEX_ENVELOPE) != 0;
}

/* DONE at the end of the range, MORE to stop there, UNPREPARED at *from. */
static int read_range(struct index *x, struct folder *f, uint32_t to, uint32_t *from, const struct reader *w,
                      int64_t since, struct err *e)
{
    bool all = wants_all(w);
    int r;
    sqlite3_stmt *s = index_stmt(x, all ? I_PREPARED : I_ENVELOPES, &r, e);

    if (s == NULL)
        return r;
    (void)sqlite3_bind_int64(s, 1, INDEX_KEY(f->id, *from > 0 ? *from : 1));
    (void)sqlite3_bind_int64(s, 2, INDEX_KEY(f->id, to < UID_MAX ? to : UID_MAX));
    for (size_t n = 1; (r = db_row(x->db, s, e)) > 0; n++) {
        struct index_prepared p = { 0 };
        struct index_row row = { .uid = (uint32_t)sqlite3_column_int64(s, 0), .saved_ms = sqlite3_column_int64(s, 1) };

        if ((w->fields & from_prepared) != 0) {
            if (sqlite3_column_type(s, 2) == SQLITE_NULL || (all && sqlite3_column_type(s, 4) == SQLITE_NULL)) {
                *from = row.uid;
                r = UNPREPARED;
                break;
            }
            fill(s, all, &p);
            row.prepared = &p;
        }
        *from = row.uid < UINT32_MAX ? row.uid + 1 : row.uid;
        if (w->fn(w->to, &row) != 0 || (n % CHECK_EVERY == 0 && index_slice_over(since))) {
            r = MORE;
            break;
        }
    }
    (void)sqlite3_reset(s);
    return r;
}

static int read_all(struct index *x, struct folder *f, const struct ranges *uids, uint32_t *from,
                    const struct reader *w, struct err *e)
{
    int64_t since = clock_mono_us();

    for (size_t i = 0; i < uids->count;) {
        const struct range *range = &uids->items[i];
        uint32_t passed = 0;
        int r;

        if (range->to < *from) {
            i++;
            continue;
        }
        if (*from < range->from)
            *from = range->from;
        r = read_range(x, f, range->to, from, w, since, e);
        if (r < 0 || r == MORE)
            return r;
        if (r == DONE) {
            *from = range->to < UINT32_MAX ? range->to + 1 : range->to;
            i++;
            continue;
        }
        r = index_prepare_from(x, f, uids, *from, !wants_all(w), since, &passed, e);
        if (r < 0)
            return r == -EAGAIN ? MORE : r;
        if (passed != 0)
            *from = passed + 1;
        if (index_slice_over(since))
            return MORE;
    }
    return DONE;
}

static int read_once(struct index *x, uint32_t folder, const struct ranges *uids, uint32_t *from,
                     const struct reader *w, struct err *e)
{
    struct folder *f;
    int r;

    TRY(index_folder_open(x, folder, &f, e));
    r = index_ready(x, f, e);
    return r == DONE ? read_all(x, f, uids, from, w, e) : r;
}

int index_read(struct index *x, uint32_t folder, const struct ranges *uids, uint32_t *from, unsigned fields,
               int (*fn)(void *to, const struct index_row *row), void *to, struct err *e)
{
    struct reader w = { .fields = fields, .fn = fn, .to = to };
    int r = read_once(x, folder, uids, from, &w, e);

    return index_recovered(x, r, e) ? MORE : r;
}
