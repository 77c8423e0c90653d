/* APPEND: durable when it returns.
 *
 * A file is in cur/ under its last name before it is synced: then one commit of the file system's journal holds the
 * file and its name, and the directory needs no sync of its own where that is known (sys->sync_names). A power cut in
 * between may leave a file there that is shorter than its name says. Nobody was told that it is there, and the first scan
 * after it sets it aside (index_take.c). */
#include "index_priv.h"

#include "facteur/base/clock.h"
#include "facteur/base/mem.h"
#include "facteur/store/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

enum { FILES_OPEN = 64 };

int index_room(struct index *x, uint64_t octets, struct err *e)
{
    uint64_t used, messages;

    if (x->options.quota == 0)
        return 0;
    TRY(maildir_usage(x->maildirs, x->user, &used, &messages, e));
    if (octets > x->options.quota || used > x->options.quota - octets)
        return err_set(e, -EDQUOT, "the mailbox of %s is full", x->user);
    return 0;
}

static int set_time(int fd, int64_t ms)
{
    struct timespec t = { .tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000 };

    if (t.tv_nsec < 0) {
        t.tv_sec--;
        t.tv_nsec += 1000000000;
    }
    return futimens(fd, (struct timespec[]){ t, t }) < 0 ? -errno : 0;
}

/* Writes tmp/<name> and renames it to cur/<name>; the descriptor, still to be synced. */
static int place_body(struct folder *f, int tmp, const struct index_append *item, const char *name)
{
    int fd = sys->openat(tmp, name, O_WRONLY | O_CREAT | O_EXCL, 0600);
    int r;

    if (fd < 0)
        return fd;
    r = sys_write_all(fd, item->body);
    if (r == 0)
        r = set_time(fd, item->internal_ms);
    if (r == 0)
        r = sys->rename_new(tmp, name, f->places[PLACE_CUR], name);
    if (r == 0)
        return fd;
    (void)sys->close(fd);
    (void)sys->unlinkat(tmp, name);
    return r;
}

static int place_spooled(struct folder *f, struct spool *s, const struct index_append *item, const char *name,
                         struct err *e)
{
    int fd = spool_read_open(s, item->spool_id, e);
    int r;

    if (fd < 0)
        return fd;
    r = set_time(fd, item->internal_ms);
    if (r == 0)
        r = spool_link(s, item->spool_id, f->places[PLACE_CUR], name);
    if (r == 0)
        return fd;
    (void)sys->close(fd);
    return r;
}

/* Files in cur/ that are still to be synced. */
struct placed {
    int fds[FILES_OPEN];
    size_t open;
    size_t count; /* with those synced already: as many are to be removed if it comes to nothing */
};

static int sync_files(struct placed *p)
{
    int r = 0;

    for (size_t i = 0; i < p->open; i++) {
        int synced = sys->fsync(p->fds[i]);
        int closed = sys->close(p->fds[i]);

        if (r == 0)
            r = synced < 0 ? synced : closed;
    }
    p->open = 0;
    return r;
}

/* All files into cur/, their octets on the way to the disk; negative: not all. */
static int place_all(struct folder *f, struct spool *s, int tmp, const struct index_append *items,
                     const struct row *rows, size_t count, struct placed *p, struct err *e)
{
    for (size_t i = 0; i < count; i++) {
        int fd = items[i].spooled ? place_spooled(f, s, &items[i], rows[i].name, e)
                                  : place_body(f, tmp, &items[i], rows[i].name);

        if (fd < 0)
            return fd;
        (void)sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
        p->fds[p->open++] = fd;
        p->count++;
        if (p->open == FILES_OPEN)
            TRY(sync_files(p));
    }
    return 0;
}

static int make_rows(struct index *x, struct folder *f, struct index_append *items, struct row *rows, size_t count,
                     struct err *e)
{
    uint64_t octets = 0, modseq;
    struct keyword_needs needs = { .count = 0 };

    for (size_t i = 0; i < count; i++) { /* a refused message makes no keywords */
        octets += items[i].size;
        TRY(index_keywords_need(x, f, items[i].keywords, items[i].keyword_count, &needs, e));
    }
    TRY(index_room(x, octets, e));
    for (size_t i = 0; i < count; i++) {
        rows[i].message.keywords = 0;
        for (size_t k = 0; k < items[i].keyword_count; k++) {
            unsigned bit;

            TRY(index_keyword_bit(x, f, items[i].keywords[k], true, &bit, e));
            rows[i].message.keywords |= (uint64_t)1 << bit;
        }
    }
    TRY(index_uid_reserve(x, f, (uint64_t)f->uidnext + count, e));
    modseq = index_next_modseq(x, f);
    for (size_t i = 0; i < count; i++) {
        struct mailbox_message *m = &rows[i].message;
        char base[MAILDIR_NAME];

        m->uid = f->uidnext++;
        m->modseq = modseq;
        m->internal_ms = items[i].internal_ms;
        m->size = items[i].wire_size;
        m->flags = items[i].flags;
        rows[i].saved_ms = clock_wall_ms();
        rows[i].place = PLACE_CUR;
        file_name_new(x, m->uid, items[i].size, items[i].wire_size, base);
        TRY(file_name_flags(slice_str(base), (struct slice){ 0 }, m->flags, m->keywords, f->keyword_count,
                            rows[i].name));
    }
    return 0;
}

/* Begins the transaction that index_save ends. */
static int put_rows(struct index *x, struct folder *f, const struct row *rows, size_t count, struct err *e)
{
    int r = index_begin(x, e);

    if (r < 0)
        return r;
    for (size_t i = 0; i < count && r == 0; i++)
        r = index_row_put(x, f, &rows[i], e);
    if (r < 0)
        index_rollback(x);
    return r;
}

/* The rows are made while the files' octets are on their way to the disk; they count (commit) when the files are
 * durable. */
static int append_files(struct index *x, struct spool *s, struct folder *f, int tmp, const struct index_append *items,
                        const struct row *rows, size_t count, struct placed *p, struct err *e)
{
    int r = place_all(f, s, tmp, items, rows, count, p, e);
    int put = r == 0 ? put_rows(x, f, rows, count, e) : r;
    int synced = sync_files(p);

    if (r == 0)
        r = synced;
    if (r == 0)
        r = sys->sync_names(f->places[PLACE_CUR]);
    if (r == 0)
        return put == 0 ? index_save(x, f, e) : put;
    if (put == 0)
        index_rollback(x);
    return err_set(e, r, "write a message of %s: %s", x->user, err_text(r));
}

static int append_rows(struct index *x, struct spool *s, struct folder *f, struct index_append *items, struct row *rows,
                       size_t count, struct err *e)
{
    struct own_change own;
    struct placed placed = { .count = 0 };
    int tmp, r;

    TRY(make_rows(x, f, items, rows, count, e));
    tmp = sys_make_path(f->base, "tmp");
    if (tmp < 0)
        return err_set(e, tmp, "open tmp/ of %s: %s", x->user, err_text(tmp));
    index_own_start(f, &own);
    r = append_files(x, s, f, tmp, items, rows, count, &placed, e);
    (void)sys->close(tmp);
    if (r == -EBADMSG) { /* the files are there, and will be found with the others */
        for (size_t i = 0; i < count; i++)
            items[i].uid = rows[i].message.uid;
        return r;
    }
    for (size_t i = 0; i < placed.count && r < 0; i++)
        (void)sys->unlinkat(f->places[PLACE_CUR], rows[i].name);
    index_own_end(f, &own);
    return r;
}

static int append_once(struct index *x, struct spool *s, uint32_t folder, struct index_append *items, size_t count,
                       struct err *e)
{
    struct row *rows;
    struct folder *f;
    int r;

    TRY(index_folder_open(x, folder, &f, e));
    rows = mem_array(count, sizeof *rows);
    r = append_rows(x, s, f, items, rows, count, e);
    for (size_t i = 0; i < count && r == 0; i++) {
        items[i].uid = rows[i].message.uid;
        index_changed(f, &rows[i].message);
    }
    mem_free(rows);
    return r;
}

int index_append(struct index *x, struct spool *s, uint32_t folder, struct index_append *items, size_t count,
                 struct mailbox_changes *ret, struct err *e)
{
    struct folder *f;
    uint64_t octets = 0;
    int r = append_once(x, s, folder, items, count, e);

    f = index_folder_by_id(x, folder);
    if (r == -ENOENT && f != NULL) { /* the directories were made anew by somebody: once more */
        index_folder_close(f);
        TRY(index_root_open(x, e));
        r = append_once(x, s, folder, items, count, e);
    }
    if (index_recovered(x, r, e))
        r = items[0].uid != 0 ? 0 : append_once(x, s, folder, items, count, e);
    if (r < 0)
        return r;
    for (size_t i = 0; i < count; i++)
        octets += items[i].size;
    index_count(x, (int64_t)count, octets > INT64_MAX ? INT64_MAX : (int64_t)octets);
    f = index_folder_by_id(x, folder);
    return f != NULL ? index_tell(x, f, ret, e) : 0;
}
