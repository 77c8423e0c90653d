/* Folders by their names. */
#include "folders_priv.h"

#include "facteur/base/mem.h"
#include "facteur/store/sys.h"

#include "dir_priv.h"
#include "maildir_name.h"
#include "search_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

static void counted_clear(struct folders *f)
{
    size_t cursor = 0;
    struct slice key;
    void *value;

    while (map_each(&f->counted, &cursor, &key, &value))
        mem_free(value);
    map_clear(&f->counted);
}

static void close_state(struct index *x)
{
    struct folders *f = x->folders_state;

    counted_clear(f);
    mem_free(f);
    x->folders_state = NULL;
    x->folders_close = NULL;
}

struct folders *folders_state(struct index *x)
{
    if (x->folders_state == NULL) {
        struct folders *f = mem_zero(sizeof *f);

        f->sweep = true; /* a former process may have left something */
        x->folders_state = f;
        x->folders_close = close_state;
    }
    return x->folders_state;
}

int folders_drop(struct index *x, struct folder *row, struct err *e)
{
    uint32_t id = row->id;

    mem_free(map_take(&folders_state(x)->counted, (struct slice){ (const char *)&id, sizeof id }));
    TRY(search_forget(x, id, e));
    return index_folder_drop(x, &row, e);
}

/* Everybody expects these. */
static const char *const first_folders[] = { "Drafts", "Sent", "Junk", "Trash", "Archive" };

enum { FIRST_FOLDERS = sizeof first_folders / sizeof first_folders[0] };

/* Nonzero for a folder that is none of these. */
static int is_foreign(void *ctx, int root, const char *dir)
{
    char name[INDEX_NAME + 1];

    (void)ctx;
    (void)root;
    if (folder_name_decode(slice_str(dir), name) < 0)
        return 0;
    for (size_t i = 0; i < FIRST_FOLDERS; i++) {
        if (strcmp(first_folders[i], name) == 0)
            return 0;
    }
    return 1;
}

/* Whether nobody has had folders here yet. INBOX gets its UIDVALIDITY after the first folders, so that those which a
 * crash kept from being made are made the next time. */
static bool is_first_time(struct index *x)
{
    struct stat st;

    return x->folder_count == 0 && fstatat(x->root, "facteur-uidvalidity", &st, AT_SYMLINK_NOFOLLOW) < 0 &&
           errno == ENOENT && dir_each(x->root, is_foreign, NULL) == 0;
}

static int sync_root(struct index *x, struct err *e)
{
    int r = sys->fsync(x->root);

    return r < 0 ? err_set(e, r, "sync the mailbox of %s: %s", x->user, err_text(r)) : 0;
}

/* What they are for is said by their names (folders_scan). */
static int make_first_folders(struct index *x, struct err *e)
{
    const char *names[FIRST_FOLDERS + 1] = { "INBOX" };
    char dir[FOLDER_DIR + 1];

    for (size_t i = 0; i < FIRST_FOLDERS; i++) {
        int r = folder_name_encode(slice_str(first_folders[i]), dir);

        if (r == 0)
            r = folders_dir_make(x, dir, e);
        if (r < 0 && r != -EEXIST)
            return r;
        names[i + 1] = first_folders[i];
    }
    TRY(sync_root(x, e));
    return subscriptions_set(x->root, names, FIRST_FOLDERS + 1, true, SIZE_MAX, e);
}

int folders_open(struct index *x, struct err *e)
{
    struct folders *f = folders_state(x);
    struct folder *inbox = index_folder_by_dir(x, ".");

    f->known = false;
    counted_clear(f);
    if (is_first_time(x))
        TRY(make_first_folders(x, e));
    if (inbox == NULL)
        TRY(index_folder_add(x, "INBOX", ".", SPECIAL_NONE, &inbox, e));
    TRY(folders_scan(x, e));
    (void)folders_sweep(x);
    return 0;
}

/* The row of a name as a client says it: 0 with NULL when there is none. */
static int look_up(struct index *x, struct slice name, struct folder **ret, struct err *e)
{
    char normal[INDEX_NAME + 1];

    *ret = NULL;
    if (folder_name_normal(name, normal) < 0)
        return 0;
    if (strcmp(normal, "INBOX") != 0) /* which is always there */
        TRY(folders_scan(x, e));
    *ret = index_folder_by_name(x, slice_str(normal));
    return 0;
}

static bool holds_others(struct index *x, struct slice name)
{
    LIST_EACH (it, &x->folders) {
        struct slice other = slice_str(LIST_ENTRY(it, struct folder, link)->name);

        if (other.n > name.n && other.p[name.n] == '/' && slice_eq(slice_head(other, name.n), name))
            return true;
    }
    return false;
}

static int not_there(struct index *x, struct slice name, struct err *e)
{
    TRY(index_name_check(name, e));
    if (holds_others(x, name))
        return err_set(e, -ENOENT, "\"%.*s\" is no folder, it only holds others", SLICE_ARG(name));
    return err_set(e, -ENOENT, "there is no folder \"%.*s\"", SLICE_ARG(name));
}

static int folder_once(struct index *x, struct slice name, struct index_folder *ret, struct err *e)
{
    struct folder *row;

    TRY(look_up(x, name, &row, e));
    if (row == NULL)
        return not_there(x, name, e);
    index_folder_fill(row, ret);
    return 0;
}

int index_folder(struct index *x, struct slice name, struct index_folder *ret, struct err *e)
{
    int r = folder_once(x, name, ret, e);

    return r < 0 && index_recovered(x, r, e) ? folder_once(x, name, ret, e) : r;
}

static int create_once(struct index *x, struct slice name, enum index_special special, struct err *e)
{
    char normal[INDEX_NAME + 1], dir[FOLDER_DIR + 1];
    struct folder *row;

    TRY(look_up(x, name, &row, e));
    if (row != NULL)
        return err_set(e, -EEXIST, "there is a folder \"%.*s\" already", SLICE_ARG(name));
    if (x->folder_count >= x->options.folders)
        return err_set(e, -EDQUOT, "there are %zu folders, which is as many as there may be", x->folder_count);
    TRY(folder_name_normal(name, normal));
    TRY(folder_name_encode(slice_str(normal), dir));
    if (special == SPECIAL_NONE)
        special = folders_special_for(x, normal);
    TRY(folders_dir_make(x, dir, e));
    TRY(sync_root(x, e));
    return index_folder_add(x, normal, dir, special, &row, e);
}

int index_create(struct index *x, struct slice name, enum index_special special, struct err *e)
{
    int r;

    TRY(index_name_check(name, e));
    if (special == SPECIAL_ALL || special == SPECIAL_FLAGGED)
        return err_set(e, -ENOTSUP, "no folder can hold all or all flagged messages of the others");
    r = create_once(x, name, special, e);
    return r < 0 && index_recovered(x, r, e) ? create_once(x, name, special, e) : r;
}

struct measure {
    int64_t messages, octets;
};

static int measure_file(void *ctx, int dir, const char *name)
{
    struct measure *w = ctx;
    struct maildir_name parsed;
    struct stat st;

    if (name[0] == '.')
        return 0;
    maildir_name_parse(slice_str(name), &parsed);
    if (!parsed.has_size && fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode))
        parsed.size = (uint64_t)st.st_size;
    if (parsed.size <= INT64_MAX && !__builtin_add_overflow(w->octets, (int64_t)parsed.size, &w->octets))
        w->messages++;
    return 0;
}

/* What the quota counts of a folder. */
static struct measure measure(struct index *x, const struct folder *row)
{
    static const char *const parts[] = { "cur", "new" };
    struct measure w = { 0 };
    int base;

    if (index_folder_dir(x, row, &base, NULL) < 0)
        return w;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        int fd = sys->openat(base, parts[i], O_RDONLY | O_DIRECTORY, 0);

        if (fd < 0)
            continue;
        (void)dir_each(fd, measure_file, &w);
        (void)sys->close(fd);
    }
    (void)sys->close(base);
    return w;
}

static int delete_once(struct index *x, struct slice name, struct err *e)
{
    struct folder *row;
    struct measure w;

    TRY(look_up(x, name, &row, e));
    if (row == NULL)
        return not_there(x, name, e);
    if (strcmp(row->dir, ".") == 0)
        return err_set(e, -EPERM, "INBOX cannot be deleted");
    w = measure(x, row);
    TRY(folders_dir_remove(x, row->dir, e));
    index_count(x, -w.messages, -w.octets);
    TRY(folders_drop(x, row, e));
    (void)folders_sweep(x);
    return 0;
}

int index_delete(struct index *x, struct slice name, struct err *e)
{
    int r = delete_once(x, name, e);

    /* When its directory has gone already, there is nothing to do again: the index is made without it. */
    if (r < 0 && index_recovered(x, r, e)) {
        r = delete_once(x, name, e);
        return r == -ENOENT ? 0 : r;
    }
    return r;
}

int index_subscribe(struct index *x, struct slice name, bool on, struct err *e)
{
    char normal[INDEX_NAME + 1];
    const char *names[] = { normal };

    if (on)
        TRY(index_name_check(name, e));
    if (folder_name_normal(name, normal) < 0)
        return 0;
    return subscriptions_set(x->root, names, 1, on, 2 * (size_t)x->options.folders + FIRST_FOLDERS + 1, e);
}
