/* Delivery into a Maildir, and making deliveries durable in bulk.
 *
 * A delivery is openat(tmp) + writev + renameat(new); its descriptor stays open until maildir_sync has synced it. The
 * queue holds the message all that time. What may be there from before (a crash, an fsync that failed) is never
 * believed to be on the disk: the message is written anew and renamed over it, under the same name, flags and all, so
 * there is neither a duplicate nor a file whose pages the kernel has dropped. */
#include "maildir_priv.h"

#include "facteur/base/mem.h"
#include "facteur/store/sys.h"

#include "maildir_name.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { COPY_PIECE = 64 * 1024, QUOTA_RECOUNT_MS = 10000 };

/* Where one delivery goes. */
struct target {
    struct opened *box;
    int dir;                 /* new/, or cur/ when an earlier copy is there */
    bool earlier;            /* the name is an earlier copy's */
    bool linked;             /* the file is another's too, which is durable already or synced with this one */
    char name[MAILDIR_NAME]; /* in dir */
};

static int copy_spooled(int from, int to, uint64_t size)
{
    char *piece = mem_alloc(COPY_PIECE);
    off_t at = 0;
    ssize_t n;
    int r = 0;

    while (r == 0 && (n = sys->pread(from, piece, COPY_PIECE, at)) != 0) {
        r = n < 0 ? (int)n : sys_write_all(to, slice_make(piece, (size_t)n));
        at += n;
    }
    mem_free(piece);
    return r == 0 && (uint64_t)at != size ? -ENODATA : r;
}

static int create_in_tmp(int tmp, const char *name)
{
    int fd = sys->openat(tmp, name, O_WRONLY | O_CREAT | O_EXCL, 0600);

    if (fd != -EEXIST)
        return fd;
    (void)sys->unlinkat(tmp, name); /* ours, from before a crash: nobody else derives this name */
    return sys->openat(tmp, name, O_WRONLY | O_CREAT | O_EXCL, 0600);
}

/* An earlier copy gives way only where it is: -ENOENT when its owner's session has renamed it since it was found. */
static int put_in_place(const struct maildir_delivery *d, const struct target *t)
{
    int r;

    if (!t->earlier)
        return sys->renameat(t->box->tmp, d->name, t->dir, t->name);
    r = sys->exchange(t->box->tmp, d->name, t->dir, t->name);
    if (r == 0)
        (void)sys->unlinkat(t->box->tmp, d->name);
    return r;
}

/* Writes the body (or a copy of the spool file `from`, if it is not negative) into tmp/ and renames it to its target.
 * Returns the descriptor. */
static int write_file(const struct maildir_delivery *d, const struct target *t, int from)
{
    int fd = create_in_tmp(t->box->tmp, d->name);
    int r;

    if (fd < 0)
        return fd;
    r = from >= 0 ? copy_spooled(from, fd, d->size) : sys_write_all(fd, d->body);
    if (r == 0)
        r = put_in_place(d, t);
    if (r == 0)
        return fd;
    (void)sys->close(fd);
    (void)sys->unlinkat(t->box->tmp, d->name);
    return r;
}

static bool same_file(int spooled, int dir, const char *name)
{
    struct stat a, b;

    return fstat(spooled, &a) == 0 && fstatat(dir, name, &b, AT_SYMLINK_NOFOLLOW) == 0 && a.st_dev == b.st_dev &&
           a.st_ino == b.st_ino;
}

/* A spool file is durable already: a link costs no data and no sync. Copied where links are not possible. */
static int link_file(struct spool *s, const struct maildir_delivery *d, struct target *t, struct err *e)
{
    int r, from;

    TRY(spool_check(s, d->id, d->size, e)); /* what is not whole stays in the queue */
    r = t->earlier ? -EEXIST : spool_link(s, d->id, t->dir, t->name);
    t->linked = r == 0;
    if (r == 0)
        return 0;
    from = spool_read_open(s, d->id, e); /* also tells a missing file from a missing directory */
    if (from < 0)
        return from;
    if (r == -EEXIST && same_file(from, t->dir, t->name))
        r = 0;
    t->linked = r == 0;
    if (r == -EXDEV || r == -EMLINK || r == -EPERM || r == -EOPNOTSUPP || r == -EEXIST)
        r = write_file(d, t, from);
    (void)sys->close(from);
    return r < 0 ? err_set(e, r, "write %s for %s: %s", d->name, d->user, err_text(r)) : r;
}

/* The colleague's copy is ours too, and shares the sync of its data. Its owner may have moved it since, or the file
 * system may not link: then it is written. */
static int share_file(struct maildirs *m, const struct maildir_delivery *d, struct target *t)
{
    struct opened *box = NULL;
    int r = t->earlier ? -EEXIST : opened_acquire(m, d->twin->user, &box, NULL);

    if (r == 0) {
        r = sys->linkat(box->dir_new, d->twin->name, t->dir, t->name);
        opened_release(m, &box);
    }
    t->linked = r == 0;
    return r < 0 ? write_file(d, t, -1) : 0;
}

/* In cur/ nothing is synced later, so it is done at once; this only happens in recovery. */
static int settle_in_cur(const struct target *t, int fd)
{
    int r = t->linked ? 0 : sys->fsync(fd);

    if (r == 0)
        r = sys->fsync(t->dir);
    if (r < 0) {
        if (!t->linked)
            (void)sys->close(fd);
        (void)sys->unlinkat(t->dir, t->name);
        return r;
    }
    return fd;
}

static int deliver_where(struct maildirs *m, struct spool *s, struct maildir_delivery *d, struct target *t,
                         struct err *e)
{
    bool in_cur = false;
    int fd;

    t->dir = t->box->dir_new;
    t->earlier = d->maybe_there && earlier_find(m, t->box, d->id, d->seq, &in_cur, t->name);
    if (!t->earlier)
        memcpy(t->name, d->name, sizeof t->name);
    if (in_cur) {
        t->dir = opened_dir(m, d->user, "cur");
        if (t->dir < 0)
            return err_set(e, t->dir, "open cur/ of %s: %s", d->user, err_text(t->dir));
    }
    fd = d->spooled ? link_file(s, d, t, e) : d->twin != NULL ? share_file(m, d, t) : write_file(d, t, -1);
    if (fd >= 0 && in_cur)
        fd = settle_in_cur(t, fd);
    if (fd < 0 && !d->spooled)
        (void)err_set(e, fd, "write %s for %s: %s", d->name, d->user, err_text(fd));
    if (in_cur)
        (void)sys->close(t->dir);
    return fd;
}

static int deliver_to(struct maildirs *m, struct spool *s, struct maildir_delivery *d, struct target *t, struct err *e)
{
    int fd = -ENOENT;

    for (int i = 0; i < EARLIER_LOOKS && fd == -ENOENT && (i == 0 || t->earlier); i++)
        fd = deliver_where(m, s, d, t, e);
    return fd;
}

/* Takes the message's room, if there is a quota and it leaves that much. */
static int take_room(struct maildirs *m, struct opened *box, const struct maildir_delivery *d, struct err *e)
{
    int64_t max_age = INT64_MAX;

    for (int i = 0; d->quota > 0 && i < 2; i++) {
        bool fits;

        TRY(opened_measure(m, box, max_age, e));
        (void)pthread_mutex_lock(&m->lock);
        fits = d->size <= d->quota && box->octets <= d->quota - d->size;
        (void)pthread_mutex_unlock(&m->lock);
        if (fits)
            break;
        if (i > 0)
            return err_set(e, -EDQUOT, "the mailbox of %s is full", d->user);
        max_age = QUOTA_RECOUNT_MS; /* its owner may have deleted mail since it was counted */
    }
    opened_count(m, box, 1, d->size);
    return 0;
}

static int deliver_once(struct maildirs *m, struct spool *s, struct maildir_delivery *d, struct err *e)
{
    struct target t = { 0 };
    int fd;

    TRY(opened_acquire(m, d->user, &t.box, e));
    fd = take_room(m, t.box, d, e);
    if (fd == 0) {
        fd = deliver_to(m, s, d, &t, e);
        if (fd < 0)
            opened_count(m, t.box, -1, d->size);
        if (fd == -ENOENT || fd == -ESTALE)
            opened_stale(m, t.box);
        else if (fd >= 0 && t.earlier)
            opened_count(m, t.box, -1, d->size); /* it was counted when it came first */
    }
    if (fd >= 0 && t.dir == t.box->dir_new)
        memcpy(d->name, t.name, sizeof d->name);
    if (fd >= 0)
        d->fd = t.linked ? -1 : fd;
    opened_release(m, &t.box);
    return fd < 0 ? fd : 0;
}

int maildir_deliver(struct maildirs *m, struct spool *s, struct maildir_delivery *d, struct err *e)
{
    int r = maildir_name_format(d->received_ms, d->id, d->seq, m->host, d->size, d->wire_size, d->name, sizeof d->name);

    d->fd = -1;
    if (r < 0)
        return err_set(e, r, "the file name is too long");
    r = deliver_once(m, s, d, e);
    if (r == -ENOENT || r == -ESTALE) /* a directory that we held open was removed: make it again, once */
        r = deliver_once(m, s, d, e);
    return r;
}

/* What has no descriptor is a link: to a spool file, which is durable, or to a twin before it in the list. */
static int code_of_link(struct maildir_delivery *const *deliveries, const int *results, size_t i)
{
    const struct maildir_delivery *twin = deliveries[i]->twin;

    if (twin == NULL)
        return 0;
    while (i-- > 0) {
        if (deliveries[i] == twin)
            return results[i];
    }
    return -EINVAL; /* not synced with its twin: written anew */
}

static int by_pointer(const void *a, const void *b)
{
    const struct opened *x = *(struct opened *const *)a, *y = *(struct opened *const *)b;

    return x < y ? -1 : x > y;
}

/* Syncs each new/ once; boxes is sorted. Answers into codes, which stand beside boxes. */
static void sync_directories(struct opened *const *boxes, size_t count, int *codes)
{
    for (size_t i = 0; i < count; i++) {
        if (boxes[i] == NULL)
            continue;
        codes[i] = i > 0 && boxes[i] == boxes[i - 1] ? codes[i - 1] : sys->fsync(boxes[i]->dir_new);
    }
}

static int code_of(struct opened *const *boxes, const int *codes, size_t count, struct opened *box)
{
    struct opened *const *at = bsearch(&box, boxes, count, sizeof(struct opened *), by_pointer);

    return codes[at - boxes];
}

static bool is_on(dev_t disk, int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && st.st_dev == disk;
}

/* All of them on the file system of the state directory, whose descriptor is older than any delivery's. */
static bool on_one_disk(const struct maildirs *m, struct maildir_delivery *const *deliveries,
                        struct opened *const *boxes, size_t count)
{
    struct stat state;

    if (fstat(m->state, &state) < 0)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (deliveries[i]->fd >= 0 && !is_on(state.st_dev, deliveries[i]->fd))
            return false;
        if (boxes[i] != NULL && (i == 0 || boxes[i] != boxes[i - 1]) && !is_on(state.st_dev, boxes[i]->dir_new))
            return false;
    }
    return true;
}

/* One sync of the file system instead of one of each file and directory, which costs each of them a flush of the disk.
 * A failure says that something could not be written, but not what, and is told only once: from then on every file is
 * asked for itself, which also tells what happened to it before. */
static bool sync_at_once(struct maildirs *m, struct maildir_delivery *const *deliveries, struct opened *const *boxes,
                         size_t count)
{
    bool free;
    int r;

    if (count < MAILDIR_BULK || !on_one_disk(m, deliveries, boxes, count))
        return false;
    (void)pthread_mutex_lock(&m->lock);
    free = !m->bulk_off && !m->bulk_running;
    m->bulk_running = m->bulk_running || free;
    (void)pthread_mutex_unlock(&m->lock);
    if (!free)
        return false;
    r = sys->syncfs(m->state);
    (void)pthread_mutex_lock(&m->lock);
    m->bulk_running = false;
    m->bulk_off = r < 0;
    (void)pthread_mutex_unlock(&m->lock);
    return r == 0;
}

bool maildir_syncs_at_once(struct maildirs *m)
{
    bool off;

    (void)pthread_mutex_lock(&m->lock);
    off = m->bulk_off;
    (void)pthread_mutex_unlock(&m->lock);
    return !off;
}

static void sync_files(struct maildir_delivery *const *deliveries, size_t count, bool durable, int *results)
{
    for (size_t i = 0; i < count && !durable; i++) /* all on their way before the first is waited for */
        if (deliveries[i]->fd >= 0)
            (void)sync_file_range(deliveries[i]->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
    for (size_t i = 0; i < count; i++) {
        struct maildir_delivery *d = deliveries[i];

        if (results[i] == 0 && d->fd < 0)
            results[i] = code_of_link(deliveries, results, i);
        if (d->fd < 0)
            continue;
        if (!durable && results[i] == 0)
            results[i] = sys->fsync(d->fd);
        if (sys->close(d->fd) < 0 && results[i] == 0)
            results[i] = -EIO;
        d->fd = -1;
    }
}

/* A message may have left new/ for cur/ before new/ was synced: then its name is durable with cur/. What is still in
 * new/ was there then too, since nothing moves back. */
static void sync_moved(struct maildirs *m, struct maildir_delivery *const *deliveries, struct opened *const *held,
                       size_t count, int *results)
{
    const struct opened *synced = NULL;

    for (size_t i = 0; i < count; i++) {
        struct stat st;
        int cur;

        if (results[i] < 0 || held[i] == synced ||
            fstatat(held[i]->dir_new, deliveries[i]->name, &st, AT_SYMLINK_NOFOLLOW) == 0)
            continue;
        cur = opened_dir(m, deliveries[i]->user, "cur");
        results[i] = cur < 0 ? cur : sys->fsync(cur);
        if (cur >= 0)
            (void)sys->close(cur);
        if (results[i] == 0)
            synced = held[i];
    }
}

/* Removes what is not durable, also when it has been moved and renamed meanwhile. */
static void remove_failed(struct maildirs *m, struct opened *box, const struct maildir_delivery *d)
{
    char name[MAILDIR_NAME];
    bool in_cur;
    int r = sys->unlinkat(box->dir_new, d->name);

    opened_count(m, box, -1, d->size);
    opened_stale(m, box); /* and with it the list of earlier copies */
    if (r != -ENOENT || !earlier_find(m, box, d->id, d->seq, &in_cur, name))
        return;
    r = opened_dir(m, d->user, in_cur ? "cur" : "new");
    if (r >= 0) {
        (void)sys->unlinkat(r, name);
        (void)sys->close(r);
    }
}

void maildir_sync(struct maildirs *m, struct maildir_delivery *const *deliveries, size_t count, int *results)
{
    struct opened **held = mem_array(count, sizeof(struct opened *));
    struct opened **sorted = mem_array(count, sizeof(struct opened *));
    int *codes = mem_array(count, sizeof(int));
    bool durable;

    for (size_t i = 0; i < count; i++) {
        results[i] = opened_acquire(m, deliveries[i]->user, &held[i], NULL) < 0 ? -EIO : 0;
        sorted[i] = held[i];
    }
    durable = sync_at_once(m, deliveries, held, count);
    sync_files(deliveries, count, durable, results);
    qsort(sorted, count, sizeof(struct opened *), by_pointer);
    if (!durable)
        sync_directories(sorted, count, codes);
    for (size_t i = 0; i < count; i++)
        if (held[i] != NULL && results[i] == 0)
            results[i] = code_of(sorted, codes, count, held[i]);
    if (!durable)
        sync_moved(m, deliveries, held, count, results);
    for (size_t i = 0; i < count; i++)
        if (held[i] != NULL && results[i] < 0)
            remove_failed(m, held[i], deliveries[i]);
    for (size_t i = 0; i < count; i++)
        if (held[i] != NULL)
            opened_release(m, &held[i]);
    mem_free(held);
    mem_free(sorted);
    mem_free(codes);
}
