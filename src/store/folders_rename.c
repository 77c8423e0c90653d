/* Renaming folders, with all that is below them. */
#include "folders_priv.h"

#include "facteur/base/mem.h"
#include "facteur/store/sys.h"

#include <errno.h>

/* One folder's move. */
struct move {
    struct folder *row;
    char *from_dir;
    char name[INDEX_NAME + 1];
    char dir[FOLDER_DIR + 1];
};

struct moves {
    struct move *items;
    size_t count;
};

static void moves_clear(struct moves *m)
{
    for (size_t i = 0; i < m->count; i++)
        mem_free(m->items[i].from_dir);
    mem_free(m->items);
    *m = (struct moves){ 0 };
}

/* Whether `name` is `above` or below it. */
static bool is_in(const char *name, const char *above)
{
    size_t n = strlen(above);

    return strncmp(name, above, n) == 0 && (name[n] == '\0' || name[n] == '/');
}

/* The new name and directory of a folder that is `from` or below it. */
static int plan_one(struct move *m, const char *from, const char *to, struct err *e)
{
    struct slice rest = slice_skip(slice_str(m->row->name), strlen(from));
    struct buf name;
    int r;

    buf_init(&name, INDEX_NAME);
    r = buf_adds(&name, to);
    if (r == 0)
        r = buf_add(&name, rest.p, rest.n);
    r = r < 0 ? err_set(e, -EINVAL, "the name \"%s%.*s\" is too long", to, SLICE_ARG(rest))
              : index_name_check(buf_slice(&name), e);
    if (r == 0)
        r = slice_copy(buf_slice(&name), m->name, sizeof m->name);
    if (r == 0)
        r = folder_name_encode(buf_slice(&name), m->dir);
    buf_clear(&name);
    return r;
}

/* All that will be moved; none of the new names is taken. */
static int plan(struct index *x, const char *from, const char *to, struct moves *m, struct err *e)
{
    m->items = mem_array(x->folder_count, sizeof *m->items);
    LIST_EACH (it, &x->folders) {
        struct folder *row = LIST_ENTRY(it, struct folder, link);
        struct move *move = &m->items[m->count];

        if (!is_in(row->name, from))
            continue;
        move->row = row;
        move->from_dir = mem_str(row->dir);
        m->count++;
        TRY(plan_one(move, from, to, e));
        if (index_folder_by_name(x, slice_str(move->name)) != NULL)
            return err_set(e, -EEXIST, "there is a folder \"%s\" already", move->name);
    }
    return m->count > 0 ? 0 : err_set(e, -ENOENT, "there is no folder \"%s\"", from);
}

/* Directories first: when one cannot be moved, those before it go back. */
static int move_dirs(struct index *x, const struct moves *m, struct err *e)
{
    for (size_t i = 0; i < m->count; i++) {
        int r = sys->rename_new(x->root, m->items[i].from_dir, x->root, m->items[i].dir);

        if (r == 0)
            continue;
        while (i-- > 0)
            (void)sys->renameat(x->root, m->items[i].dir, x->root, m->items[i].from_dir);
        return err_set(e, r, "rename a folder of %s: %s", x->user, err_text(r));
    }
    return sys->fsync(x->root);
}

static int move_rows(struct index *x, const struct moves *m, struct err *e)
{
    for (size_t i = 0; i < m->count; i++)
        TRY(index_folder_move(x, m->items[i].row, m->items[i].name, m->items[i].dir, e));
    return 0;
}

static int rename_once(struct index *x, const char *from, const char *to, struct err *e)
{
    struct moves m = { 0 };
    int r = folders_scan(x, e);

    if (r == 0)
        r = plan(x, from, to, &m, e);
    if (r == 0)
        r = move_dirs(x, &m, e);
    if (r == 0)
        r = move_rows(x, &m, e);
    moves_clear(&m);
    return r;
}

/* RFC 9051 section 6.3.6: the messages go to a new folder, INBOX stays. */
static int move_inbox(struct index *x, const char *to, struct err *e)
{
    struct ranges all = { 0 }, from_uids = { 0 }, to_uids = { 0 };
    struct index_folder inbox, target;
    struct folder *f;
    int r;

    TRY(index_create(x, slice_str(to), SPECIAL_NONE, e));
    TRY(index_folder(x, SLICE_LIT("INBOX"), &inbox, e));
    TRY(index_folder(x, slice_str(to), &target, e));
    do {
        TRY(index_folder_open(x, inbox.id, &f, e));
        r = index_catch_up(x, f, true, e);
    } while (r == MORE);
    if (r == DONE)
        r = ranges_add(&all, 1, UINT32_MAX);
    do { /* sessions on the two hear of it when they sync */
        r = r < 0 ? r : index_copy(x, inbox.id, &all, target.id, true, NULL, NULL, &from_uids, &to_uids, e);
    } while (r == MORE);
    ranges_clear(&all);
    ranges_clear(&from_uids);
    ranges_clear(&to_uids);
    return r;
}

int index_rename(struct index *x, struct slice from, struct slice to, struct err *e)
{
    char old[INDEX_NAME + 1], new[INDEX_NAME + 1];
    int r;

    TRY(index_name_check(to, e));
    TRY(folder_name_normal(to, new));
    if (folder_name_normal(from, old) < 0)
        return err_set(e, -ENOENT, "there is no such folder");
    if (folder_name_is_inbox(to) || strcmp(old, new) == 0)
        return err_set(e, -EEXIST, "there is a folder \"%s\" already", new);
    if (folder_name_is_inbox(from))
        return move_inbox(x, new, e);
    if (is_in(new, old))
        return err_set(e, -EINVAL, "a folder cannot be moved below itself");
    r = rename_once(x, old, new, e);
    if (r < 0 && index_recovered(x, r, e)) {
        r = rename_once(x, old, new, e);
        return r == -ENOENT ? 0 : r; /* the directories had been renamed already */
    }
    return r;
}
