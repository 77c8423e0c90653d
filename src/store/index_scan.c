/* A look at a folder's directories: names are read, then compared with the rows (index_match.c).
 *
 * What a listing says may be older than what our own calls did between two slices, and readdir may miss a file that
 * another program renames meanwhile; so a row is believed while its file is there, and has gone only when it is missing
 * in a reading during which the directory stood still, or in two readings. */
#include "index_priv.h"

#include "facteur/base/clock.h"
#include "facteur/base/mem.h"
#include "facteur/store/sys.h"

#include "dovecot_priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

enum { CHECK_EVERY = 256, FAR_FUTURE_NS = 2000000000 };

void index_scan_start(struct folder *f, const bool places[PLACES])
{
    struct index_scan *s = mem_zero(sizeof *s);

    for (int i = 0; i < PLACES; i++)
        s->places[i] = places[i];
    s->must = f->must_scan;
    s->began_us = clock_mono_us();
    s->believe_from = f->row_next;
    s->next = 1;
    if (places[PLACE_CUR] && places[PLACE_NEW]) { /* else what is in doubt may be where nobody looks now */
        f->doubt_until_ms = 0;
        f->unfinished = false;
    }
    f->scan = s;
}

void index_scan_free(struct index_scan **scan)
{
    struct index_scan *s = *scan;

    if (s == NULL)
        return;
    if (s->dir != NULL)
        (void)closedir(s->dir);
    arena_clear(&s->names);
    ranges_clear(&s->missing);
    ranges_clear(&s->missed);
    mem_free(s->items);
    mem_free(s->newcomers);
    if (s->uidlist != NULL)
        dovecot_uidlist_clear(s->uidlist);
    mem_free(s->uidlist);
    mem_free(s);
    *scan = NULL;
}

bool index_file_there(const struct folder *f, int place, const char *name)
{
    struct stat st;

    return fstatat(f->places[place], name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode);
}

void index_scan_add(struct scan_item **items, size_t *count, size_t *cap, const struct scan_item *item)
{
    if (*count == *cap) {
        *cap = *cap < 64 ? 64 : *cap * 2;
        *items = mem_resize(*items, *cap * sizeof **items);
    }
    (*items)[(*count)++] = *item;
}

static int read_start(struct folder *f, struct index_scan *s)
{
    int fd;

    s->before_ns = index_files_ns();
    if (!dir_mark_read(f->places[s->place], &s->before))
        return -errno;
    fd = sys->openat(f->places[s->place], ".", O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return fd;
    s->dir = fdopendir(fd);
    if (s->dir == NULL) {
        int r = -errno;

        (void)sys->close(fd);
        return r;
    }
    return 0;
}

/* What was read is what is there if the directory stood still; if it changed just before, it may change again without a
 * sign. */
static void read_end(struct folder *f, struct index_scan *s)
{
    struct dir_mark after;
    int64_t age = s->before_ns - s->before.mtime_ns;
    bool fresh = age <= 0 && age > -(int64_t)FAR_FUTURE_NS;

    (void)closedir(s->dir);
    s->dir = NULL;
    f->known[s->place] = dir_mark_read(f->places[s->place], &after) && dir_mark_same(&s->before, &after);
    f->seen[s->place] = s->before;
    if (!f->known[s->place] || fresh)
        s->unsure = true;
    if (f->known[s->place] && fresh)
        index_doubt(f);
}

static void take_name(struct index_scan *s, const char *name)
{
    struct file_name n;
    struct scan_item item = { .place = (uint8_t)s->place };

    if (name[0] == '.' || strlen(name) >= MAILDIR_NAME)
        return;
    file_name_parse(slice_str(name), &n);
    item.name = arena_str(&s->names, slice_str(name));
    item.uid = n.uid;
    item.seconds = n.seconds;
    index_scan_add(&s->items, &s->count, &s->cap, &item);
}

/* MORE: the slice is over. */
static int read_some(struct folder *f, struct index_scan *s, int64_t since)
{
    for (size_t n = 1; s->place < PLACES; n++) {
        const struct dirent *entry;

        if (!s->places[s->place]) {
            s->place++;
            continue;
        }
        if (s->dir == NULL)
            TRY(read_start(f, s));
        errno = 0;
        entry = readdir(s->dir);
        if (entry == NULL && errno != 0)
            return -errno;
        if (entry == NULL) {
            read_end(f, s);
            s->place++;
            continue;
        }
        if (entry->d_type == DT_REG || entry->d_type == DT_UNKNOWN)
            take_name(s, entry->d_name);
        if (n % CHECK_EVERY == 0 && index_slice_over(since))
            return MORE;
    }
    index_match_start(s);
    s->phase = SCAN_MATCH;
    return DONE;
}

/* Reads once more; what it misses too has gone. */
static void read_again(struct folder *f)
{
    struct index_scan *s = f->scan, *next;

    index_scan_start(f, (bool[PLACES]){ true, true });
    next = f->scan;
    next->must = s->must;
    next->again = true;
    next->began_us = s->began_us;
    next->believe_from = s->believe_from;
    next->missed = s->missing;
    s->missing = (struct ranges){ 0 };
    index_scan_free(&s);
}

static int gone_one(struct index *x, struct folder *f, uint32_t uid, struct ranges *gone, struct err *e)
{
    struct row row;
    struct file_name n;
    int r = index_row(x, f, uid, &row, e);

    if (r == -ENOENT)
        return 0;
    if (r < 0 || index_file_there(f, row.place, row.name))
        return r;
    file_name_parse(slice_str(row.name), &n);
    index_count(x, -1, n.has_size ? -(int64_t)n.size : 0);
    TRY(index_row_delete(x, f, uid, e));
    index_gone(f, uid);
    return ranges_add(gone, uid, uid);
}

static int gone_some(struct index *x, struct folder *f, int64_t since, struct err *e)
{
    struct index_scan *s = f->scan;
    struct ranges gone = { 0 };
    uint32_t uid;
    bool more = false;
    int r;

    if (s->missing.count > 0 && s->unsure && !s->again) {
        read_again(f);
        return 0;
    }
    if (s->missing.count == 0) {
        s->phase = SCAN_TAKE;
        return 0;
    }
    TRY(index_begin(x, e));
    r = 0;
    while (r == 0 && !more && ranges_next(&s->missing, &s->cursor, &uid)) {
        if (!s->again || !s->unsure || ranges_has(&s->missed, uid))
            r = gone_one(x, f, uid, &gone, e);
        else
            f->known[PLACE_CUR] = false;
        more = index_slice_over(since);
    }
    if (r == 0 && gone.count > 0)
        r = index_expunged_put(x, f, &gone, index_next_modseq(x, f), e);
    ranges_clear(&gone);
    if (r < 0)
        index_rollback(x);
    else
        r = index_save(x, f, e);
    if (r < 0)
        index_unsay(f);
    else if (!more)
        s->phase = SCAN_TAKE;
    return r;
}

int index_adopted(struct index *x, struct folder *f, struct err *e)
{
    if (!f->adopting || f->partial || f->unfinished || f->due.count > 0)
        return DONE;
    f->adopting = false;
    return index_uid_write(x, f, f->reserved, e);
}

static int finish(struct index *x, struct folder *f, struct err *e)
{
    struct index_scan *s = f->scan;

    if (f->partial && !f->unfinished && s->places[PLACE_CUR] && s->places[PLACE_NEW]) {
        f->partial = false;
        TRY(index_begin(x, e));
        TRY(index_save(x, f, e));
    }
    if (s->must)
        f->must_scan = false;
    f->scan_us = s->used_us;
    index_scan_free(&f->scan);
    return index_adopted(x, f, e);
}

static int step(struct index *x, struct folder *f, bool take_new, int64_t since, struct err *e)
{
    struct index_scan *s = f->scan;
    int r;

    switch (s->phase) {
    case SCAN_READ:
        r = read_some(f, s, since);
        return r < 0 ? err_set(e, r, "read folder %s of %s: %s", f->name, x->user, err_text(r)) : r;
    case SCAN_MATCH:
        return index_match_some(x, f, take_new, e);
    case SCAN_GONE:
        return gone_some(x, f, since, e);
    case SCAN_TAKE:
        r = index_take_some(x, f, take_new, since, e);
        if (r == DONE)
            s->phase = SCAN_LETTERS;
        return r;
    case SCAN_LETTERS:
        break;
    }
    return index_letters_some(x, f, since, e);
}

int index_scan_step(struct index *x, struct folder *f, bool take_new, struct err *e)
{
    int64_t since = clock_mono_us();
    bool last = false;
    int r = DONE;

    while (r == DONE && !last && !index_slice_over(since)) {
        last = f->scan->phase == SCAN_LETTERS;
        r = step(x, f, take_new, since, e);
    }
    if (r < 0) {
        index_scan_free(&f->scan);
        f->known[PLACE_CUR] = f->known[PLACE_NEW] = false;
        return r;
    }
    f->scan->used_us += clock_mono_us() - since;
    return r == DONE && last ? finish(x, f, e) : MORE;
}
