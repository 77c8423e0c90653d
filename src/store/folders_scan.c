/* The directories of a Maildir against the rows: other programs make, rename and remove folders too. */
#include "folders_priv.h"

#include "facteur/base/clock.h"
#include "facteur/base/mem.h"
#include "facteur/store/sys.h"

#include "dir_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { SETTLED_NS = 2000000000 }; /* a directory may change again within one tick of its clock */

/* What folders are called that nobody has marked; the first that is there counts. */
static const struct {
    const char *name;
    enum index_special special;
} well_known[] = {
    { "Drafts", SPECIAL_DRAFTS },       { "Sent", SPECIAL_SENT },       { "Sent Messages", SPECIAL_SENT },
    { "Sent Items", SPECIAL_SENT },     { "Junk", SPECIAL_JUNK },       { "Spam", SPECIAL_JUNK },
    { "Junk E-mail", SPECIAL_JUNK },    { "Trash", SPECIAL_TRASH },     { "Deleted Messages", SPECIAL_TRASH },
    { "Deleted Items", SPECIAL_TRASH }, { "Archive", SPECIAL_ARCHIVE }, { "Archives", SPECIAL_ARCHIVE },
};

enum { WELL_KNOWN = sizeof well_known / sizeof well_known[0] };

/* A directory that is a folder. */
struct found {
    char *name, *dir;
    bool canonical; /* the directory is what we would call it */
    bool is_new;    /* there is no row */
    bool is_ours;   /* it was a folder of ours before the index was lost */
    enum index_special special;
};

struct scan {
    struct index *x;
    struct map rows; /* directory → struct folder */
    struct found *items;
    size_t count, cap;
};

static void scan_clear(struct scan *s)
{
    for (size_t i = 0; i < s->count; i++) {
        mem_free(s->items[i].name);
        mem_free(s->items[i].dir);
    }
    mem_free(s->items);
    map_clear(&s->rows);
}

/* A directory that we have not seen before. -ENOTDIR: it is none, or a link. */
static int look_into(int root, const char *dir, bool *ret_ours)
{
    int fd = sys->openat(root, dir, O_RDONLY | O_DIRECTORY, 0);
    struct stat st;

    if (fd < 0)
        return fd;
    *ret_ours = fstatat(fd, "facteur-uidvalidity", &st, AT_SYMLINK_NOFOLLOW) == 0;
    (void)sys->close(fd);
    return 0;
}

static int take_entry(void *ctx, int root, const char *dir)
{
    struct scan *s = ctx;
    struct found f = { 0 };
    char name[INDEX_NAME + 1], again[FOLDER_DIR + 1];

    if (dir[0] != '.' || s->count >= FOLDERS_ON_DISK || folder_name_decode(slice_str(dir), name) < 0)
        return 0;
    f.is_new = map_get(&s->rows, slice_str(dir)) == NULL;
    if (f.is_new && look_into(root, dir, &f.is_ours) < 0)
        return 0;
    f.canonical = folder_name_encode(slice_str(name), again) == 0 && strcmp(dir, again) == 0;
    f.name = mem_str(name);
    f.dir = mem_str(dir);
    if (s->count == s->cap) {
        s->cap = s->cap > 0 ? s->cap * 2 : 32;
        s->items = mem_resize(s->items, s->cap * sizeof *s->items);
    }
    s->items[s->count++] = f;
    return 0;
}

/* By name; of those with one name the canonical one is the first. */
static int by_name(const void *a, const void *b)
{
    const struct found *x = a, *y = b;
    int r = strcmp(x->name, y->name);

    if (r == 0)
        r = (int)y->canonical - (int)x->canonical;
    return r != 0 ? r : strcmp(x->dir, y->dir);
}

/* Two directories may mean one name: the further ones cannot be shown. */
static void keep_first(struct scan *s)
{
    size_t kept = 0;

    if (s->count > 0)
        qsort(s->items, s->count, sizeof *s->items, by_name);
    for (size_t i = 0; i < s->count; i++) {
        if (kept > 0 && strcmp(s->items[kept - 1].name, s->items[i].name) == 0) {
            mem_free(s->items[i].name);
            mem_free(s->items[i].dir);
        } else {
            s->items[kept++] = s->items[i];
        }
    }
    s->count = kept;
}

static int key_by_name(const void *key, const void *item)
{
    return strcmp(key, ((const struct found *)item)->name);
}

static struct found *find(struct scan *s, const char *name)
{
    return s->count > 0 ? bsearch(name, s->items, s->count, sizeof *s->items, key_by_name) : NULL;
}

/* Rows whose directories have gone, or stand behind another one now. */
static int drop_gone(struct scan *s, struct err *e)
{
    LIST_EACH (it, &s->x->folders) {
        struct folder *row = LIST_ENTRY(it, struct folder, link);
        const struct found *f = find(s, row->name);

        if (strcmp(row->dir, ".") != 0 && (f == NULL || strcmp(f->dir, row->dir) != 0))
            TRY(folders_drop(s->x, row, e));
    }
    return 0;
}

/* "Sent" or "INBOX/Sent". */
static struct found *find_well_known(struct scan *s, const char *name)
{
    char below[64] = "INBOX/";
    struct found *f = find(s, name);

    if (f == NULL && slice_copy(slice_str(name), below + 6, sizeof below - 6) == 0)
        f = find(s, below);
    return f;
}

/* A directory that we may not use is no reason to do without the others. */
static bool is_its_own(int code)
{
    return code == -EACCES || code == -EPERM || code == -ENOTDIR || code == -ELOOP || code == -ENOENT;
}

static int add_new(struct scan *s, bool ours, struct err *e)
{
    for (size_t i = 0; i < s->count; i++) {
        const struct found *f = &s->items[i];
        struct folder *row;
        int r;

        if (!f->is_new || f->is_ours != ours)
            continue;
        r = index_folder_add(s->x, f->name, f->dir, f->special, &row, e);
        if (r < 0 && !is_its_own(r))
            return r;
    }
    return 0;
}

/* Those that were ours know what they are for. */
static void choose_specials(struct scan *s)
{
    bool used[SPECIALS] = { 0 };

    LIST_EACH (it, &s->x->folders) {
        used[LIST_ENTRY(it, struct folder, link)->special] = true;
    }
    for (size_t i = 0; i < WELL_KNOWN; i++) {
        struct found *f = used[well_known[i].special] ? NULL : find_well_known(s, well_known[i].name);

        if (f == NULL || !f->is_new || f->is_ours)
            continue;
        f->special = well_known[i].special;
        used[f->special] = true;
    }
}

static int compare(struct index *x, struct err *e)
{
    struct scan s = { .x = x };
    int r;

    LIST_EACH (it, &x->folders) {
        struct folder *row = LIST_ENTRY(it, struct folder, link);

        (void)map_put(&s.rows, slice_str(row->dir), row);
    }
    r = dir_each(x->root, take_entry, &s);
    if (r < 0) {
        (void)err_set(e, r, "read the mailbox of %s: %s", x->user, err_text(r));
    } else {
        keep_first(&s);
        r = drop_gone(&s, e);
        if (r == 0)
            r = add_new(&s, true, e);
        choose_specials(&s);
        if (r == 0)
            r = add_new(&s, false, e);
    }
    scan_clear(&s);
    return r;
}

int folders_scan(struct index *x, struct err *e)
{
    struct folders *f = folders_state(x);
    struct dir_mark now;

    if (!dir_mark_read(x->root, &now))
        return err_set(e, -EIO, "look at the mailbox of %s: %s", x->user, err_text(-EIO));
    if (f->known && dir_mark_same(&now, &f->seen))
        return 0;
    f->known = false;
    TRY(compare(x, e));
    f->seen = now;
    f->known = clock_wall_ms() * 1000000 - now.mtime_ns > SETTLED_NS;
    return 0;
}

enum index_special folders_special_for(struct index *x, const char *name)
{
    enum index_special special = SPECIAL_NONE;

    for (size_t i = 0; i < WELL_KNOWN; i++) {
        if (strcmp(well_known[i].name, name) == 0)
            special = well_known[i].special;
    }
    LIST_EACH (it, &x->folders) {
        if (LIST_ENTRY(it, struct folder, link)->special == special)
            return SPECIAL_NONE;
    }
    return special;
}
