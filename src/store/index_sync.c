/* When a folder must be looked at again, and what its readers are told.
 *
 * A directory that has the times it had when it was last read has not changed, unless the change came within the same
 * tick of the file system's clock as what we saw. A reading that is that fresh is done again later; so is what followed
 * changes of our own, which hide others' of the same tick. */
#include "index_priv.h"

#include "facteur/base/clock.h"
#include "facteur/base/mem.h"
#include "facteur/store/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

enum { DOUBT_MIN_MS = 100, DOUBT_MAX_MS = 5000, DOUBT_COST = 50 /* a look again at most 1/50 of the time */ };
enum { PATH_ROOM = 2048, TELL_ROWS = 256, UNSAID_MAX = 1 << 17 };

static void mark_of(const struct stat *st, struct dir_mark *ret)
{
    *ret = (struct dir_mark){ .dev = st->st_dev,
                              .ino = st->st_ino,
                              .mtime_ns = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec };
}

bool dir_mark_read(int fd, struct dir_mark *ret)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return false;
    mark_of(&st, ret);
    return true;
}

bool dir_mark_same(const struct dir_mark *a, const struct dir_mark *b)
{
    return a->mtime_ns == b->mtime_ns && a->ino == b->ino && a->dev == b->dev;
}

bool index_slice_over(int64_t since_us)
{
    return clock_mono_us() - since_us >= (int64_t)INDEX_SLICE_MS * 1000;
}

int64_t index_files_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_REALTIME_COARSE, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void index_doubt(struct folder *f)
{
    int64_t wait = f->scan_us * DOUBT_COST / 1000;

    if (f->doubt_until_ms != 0)
        return;
    wait = wait < DOUBT_MIN_MS ? DOUBT_MIN_MS : wait > DOUBT_MAX_MS ? DOUBT_MAX_MS : wait;
    f->doubt_until_ms = clock_mono_ms() + wait;
}

void index_own_start(const struct folder *f, struct own_change *own)
{
    for (int i = 0; i < PLACES; i++) {
        struct dir_mark now = { 0 };

        own->known[i] = f->known[i] && dir_mark_read(f->places[i], &now) && dir_mark_same(&now, &f->seen[i]);
    }
}

void index_own_end(struct folder *f, const struct own_change *own)
{
    for (int i = 0; i < PLACES; i++) {
        struct dir_mark now = { 0 };

        if (!own->known[i] || !dir_mark_read(f->places[i], &now) || dir_mark_same(&now, &f->seen[i]))
            continue;
        f->seen[i] = now;
        index_doubt(f);
    }
}

void index_changed(struct folder *f, const struct mailbox_message *m)
{
    if (!f->loaded || f->rebuilt)
        return;
    mailbox_changes_add(&f->unsaid, m);
    if (f->unsaid.count < UNSAID_MAX)
        return;
    mailbox_changes_clear(&f->unsaid); /* nobody has asked for a long time: the whole list is shorter */
    f->rebuilt = true;
}

void index_gone(struct folder *f, uint32_t uid)
{
    if (f->loaded && !f->rebuilt && ranges_add(&f->unsaid.gone, uid, uid) < 0)
        f->rebuilt = true;
}

void index_unsay(struct folder *f)
{
    mailbox_changes_clear(&f->unsaid);
    f->rebuilt = f->loaded;
}

void index_keywords_changed(struct folder *f)
{
    if (f->loaded)
        mailbox_changes_keywords(&f->unsaid, (const char *const *)f->keywords, f->keyword_count);
}

uint64_t index_next_modseq(struct index *x, struct folder *f)
{
    f->modseq = (f->modseq > x->modseq_floor ? f->modseq : x->modseq_floor) + 1;
    return f->modseq;
}

int index_save(struct index *x, struct folder *f, struct err *e)
{
    uint32_t next = f->uidnext;
    int r = index_folder_put(x, f, e);

    if (r < 0) {
        index_rollback(x);
        return r;
    }
    TRY(index_commit(x, e));
    if (!f->partial)
        f->row_next = next;
    return 0;
}

static int tell_all(struct index *x, struct folder *f, struct mailbox_changes *ret, struct err *e)
{
    struct row *rows = mem_array(TELL_ROWS, sizeof *rows);
    uint32_t from = 1;
    int n;

    mailbox_changes_clear(ret);
    do {
        n = index_rows(x, f, from, UID_MAX, rows, TELL_ROWS, e);
        for (int i = 0; i < n; i++) {
            mailbox_changes_add(ret, &rows[i].message);
            from = rows[i].message.uid + 1;
        }
    } while (n == TELL_ROWS);
    mem_free(rows);
    if (n < 0)
        return n;
    ret->complete = true;
    mailbox_changes_keywords(ret, (const char *const *)f->keywords, f->keyword_count);
    return 0;
}

static void tell_news(struct folder *f, struct mailbox_changes *ret)
{
    if (ret->messages == NULL) {
        ret->messages = f->unsaid.messages;
        ret->count = f->unsaid.count;
        ret->cap = f->unsaid.cap;
        f->unsaid.messages = NULL;
        f->unsaid.count = f->unsaid.cap = 0;
    }
    for (size_t i = 0; i < f->unsaid.count; i++)
        mailbox_changes_add(ret, &f->unsaid.messages[i]);
    for (size_t i = 0; i < f->unsaid.gone.count; i++)
        if (ranges_add(&ret->gone, f->unsaid.gone.items[i].from, f->unsaid.gone.items[i].to) < 0)
            f->rebuilt = true;
    if (f->unsaid.keywords != NULL)
        mailbox_changes_keywords(ret, (const char *const *)f->unsaid.keywords, f->unsaid.keyword_count);
}

int index_tell(struct index *x, struct folder *f, struct mailbox_changes *ret, struct err *e)
{
    if (ret == NULL || (f->rebuilt && (f->must_scan || f->scan != NULL)))
        return 0; /* later; when all is known again */
    if (f->rebuilt)
        TRY(tell_all(x, f, ret, e));
    else
        tell_news(f, ret);
    f->rebuilt = false;
    mailbox_changes_clear(&f->unsaid);
    ret->unfinished = f->unfinished;
    ret->modseq = f->modseq;
    ret->uidnext = f->uidnext;
    ret->first_recent = f->first_recent;
    return 0;
}

int index_load(struct index *x, uint32_t folder, struct mailbox_changes *ret, struct err *e)
{
    struct folder *f;
    int r = index_folder_open(x, folder, &f, e);

    if (r == 0) {
        mailbox_changes_clear(&f->unsaid);
        r = tell_all(x, f, ret, e);
    }
    if (index_recovered(x, r, e)) /* nothing is known: the sync that follows says what there is */
        r = index_folder_open(x, folder, &f, e);
    if (r < 0)
        return r;
    f->loaded = true;
    f->rebuilt = false;
    ret->complete = true;
    ret->unfinished = f->unfinished;
    ret->modseq = f->modseq;
    ret->uidnext = f->uidnext;
    ret->first_recent = f->first_recent;
    return 0;
}

/* The directories are others than those that are held: opened anew, with the Maildir itself. */
static int reopen(struct index *x, struct folder **f, struct err *e)
{
    uint32_t id = (*f)->id;

    index_folder_close(*f);
    TRY(index_root_open(x, e));
    return index_folder_open(x, id, f, e);
}

static int look_at(struct index *x, const struct folder *f, int place, struct dir_mark *ret)
{
    static const char *const names[PLACES] = { [PLACE_CUR] = "cur", [PLACE_NEW] = "new" };
    char path[PATH_ROOM];
    struct stat st;
    int n = snprintf(path, sizeof path, "%s/Maildir/%s/%s", x->path, f->dir, names[place]);

    if (n < 0 || (size_t)n >= sizeof path)
        return -ENAMETOOLONG;
    if (fstatat(x->maildirs->state, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    mark_of(&st, ret);
    return 0;
}

/* Whether what is held is what stands in the Maildir now. */
static bool held_is(const struct folder *f, int place, const struct dir_mark *now)
{
    struct dir_mark held = { 0 };

    if (f->known[place])
        return now->ino == f->seen[place].ino && now->dev == f->seen[place].dev;
    return dir_mark_read(f->places[place], &held) && now->ino == held.ino && now->dev == held.dev;
}

/* Which directories are to be read. */
static int look(struct index *x, struct folder **f, bool take_new, bool need[PLACES], struct err *e)
{
    bool doubt = (*f)->doubt_until_ms != 0 && clock_mono_ms() >= (*f)->doubt_until_ms;

    for (int i = 0; i < PLACES; i++) {
        struct dir_mark now = { 0 };
        int r = look_at(x, *f, i, &now);

        if (r == -ENOENT || (r == 0 && !held_is(*f, i, &now))) {
            TRY(reopen(x, f, e)); /* made anew when only cur/ or new/ is missing */
            need[PLACE_CUR] = need[PLACE_NEW] = true;
            return 0;
        }
        if (r < 0)
            return err_set(e, r, "look at folder %s of %s: %s", (*f)->name, x->user, err_text(r));
        need[i] = doubt || (*f)->must_scan || !(*f)->known[i] || !dir_mark_same(&now, &(*f)->seen[i]);
    }
    if (take_new && (*f)->in_new > 0 && (*f)->due.count == 0)
        need[PLACE_NEW] = true;
    if ((need[PLACE_CUR] || need[PLACE_NEW]) && (*f)->in_new != 0) /* a row's file may be in either */
        need[PLACE_CUR] = need[PLACE_NEW] = true;
    return 0;
}

int index_catch_up(struct index *x, struct folder *f, bool take_new, struct err *e)
{
    bool need[PLACES] = { false };

    if (f->scan == NULL) {
        TRY(look(x, &f, take_new, need, e));
        if (!need[PLACE_CUR] && !need[PLACE_NEW])
            return DONE;
        if (index_names_of(x, f, NULL) == -EBADMSG) /* what has its name is simpler to find */
            return -EBADMSG;
        index_scan_start(f, need);
    }
    return index_scan_step(x, f, take_new, e);
}

int index_ready(struct index *x, struct folder *f, struct err *e)
{
    if (f->must_scan && f->scan == NULL)
        index_scan_start(f, (bool[PLACES]){ true, true });
    if (f->scan == NULL || !f->must_scan)
        return DONE;
    return index_scan_step(x, f, false, e);
}

static int sync_once(struct index *x, uint32_t folder, bool take_new, struct mailbox_changes *ret, struct err *e)
{
    struct folder *f;
    int r, told;

    if (!index_db_there(x)) {
        index_names_all(x); /* it was removed: what is open can still be read */
        TRY(index_db_remake(x, e));
    }
    TRY(index_folder_open(x, folder, &f, e));
    r = index_catch_up(x, f, take_new, e);
    if (r < 0)
        return r;
    told = index_tell(x, f, ret, e);
    return told < 0 ? told : r;
}

int index_sync(struct index *x, uint32_t folder, bool take_new, struct mailbox_changes *ret, struct err *e)
{
    int r = sync_once(x, folder, take_new, ret, e);

    return index_recovered(x, r, e) ? MORE : r;
}

int index_set_recent(struct index *x, uint32_t folder, uint32_t first_recent, struct err *e)
{
    struct folder *f;
    int r = index_folder_open(x, folder, &f, e);

    if (r < 0)
        return r;
    f->first_recent = first_recent;
    r = index_begin(x, e);
    if (r == 0)
        r = index_save(x, f, e);
    return index_recovered(x, r, e) ? 0 : r;
}

int index_reserve(struct index *x, uint32_t folder, uint32_t ahead, uint32_t *ret, struct err *e)
{
    struct folder *f;

    TRY(index_folder_open(x, folder, &f, e));
    TRY(index_uid_reserve(x, f, (uint64_t)f->uidnext + ahead, e));
    *ret = f->reserved;
    return 0;
}
