/* Opening and closing a user's index. */
#include "facteur/store/index.h"

#include "facteur/base/mem.h"
#include "facteur/store/sys.h"

#include "index_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

enum { PATH_ROOM = 4096 };

int index_refused(const struct index *x, const char *folder, int r, struct err *e)
{
    bool rights = r == -EACCES || r == -EPERM;

    return err_set(e, r, "open folder %s of %s: %s (%s/Maildir%s)", folder, x->user, err_text(r), x->where,
                   rights ? ": all in it must belong to facteur's user, chown -R it" : "");
}

int index_root_open(struct index *x, struct err *e)
{
    char path[PATH_ROOM];
    int n = snprintf(path, sizeof path, "%s/Maildir", x->path);
    int fd = n < 0 || (size_t)n >= sizeof path ? -ENAMETOOLONG : sys_make_path(x->maildirs->state, path);

    if (fd < 0)
        return index_refused(x, "INBOX", fd, e);
    if (x->root >= 0)
        (void)sys->close(x->root);
    x->root = fd;
    return 0;
}

static void release(struct index **x)
{
    LIST_EACH (it, &(*x)->folders) {
        struct folder *f = LIST_ENTRY(it, struct folder, link);

        index_folder_free(*x, &f);
    }
    if ((*x)->folders_close != NULL)
        (*x)->folders_close(*x);
    index_db_close(*x);
    if ((*x)->root >= 0)
        (void)sys->close((*x)->root);
    mem_free((*x)->user);
    mem_free((*x)->path);
    mem_free((*x)->where);
    mem_free(*x);
    *x = NULL;
}

static int set_paths(struct index *x, const char *state, struct err *e)
{
    static const char tail[] = "/Maildir";
    struct buf path;
    int r;

    buf_init(&path, PATH_ROOM);
    r = maildir_path(x->user, &path);
    if (r == 0 && path.n > sizeof tail) {
        x->path = mem_dup(path.p, path.n - (sizeof tail - 1));
        buf_reset(&path);
        r = buf_addf(&path, "%s/%s", state, x->path);
    }
    if (r == 0)
        x->where = mem_str(buf_cstr(&path));
    buf_clear(&path);
    return r < 0 ? err_set(e, r, "%s has no place for a mailbox: %s", x->user, err_text(r)) : 0;
}

static int open_all(struct index *x, const char *state, struct err *e)
{
    int r;

    TRY(set_paths(x, state, e));
    TRY(index_root_open(x, e));
    TRY(index_db_open(x, e));
    r = index_folders_read(x, e);
    if (r == -EBADMSG) {
        LIST_EACH (it, &x->folders) {
            struct folder *f = LIST_ENTRY(it, struct folder, link);

            index_folder_free(x, &f);
        }
        r = index_db_remake(x, e);
    }
    if (r == 0)
        r = folders_open(x, e);
    return index_recovered(x, r, e) ? folders_open(x, e) : r;
}

int index_open(struct maildirs *m, const char *state, const char *user, const struct index_options *o,
               struct index **ret, struct err *e)
{
    struct index *x = mem_zero(sizeof *x);
    int r;

    x->maildirs = m;
    x->user = mem_str(user);
    x->options = *o;
    x->root = -1;
    list_init(&x->folders);
    r = open_all(x, state, e);
    if (r < 0) {
        release(&x);
        return r;
    }
    *ret = x;
    return 0;
}

void index_set_limits(struct index *x, const struct index_options *o)
{
    x->options.quota = o->quota;
    x->options.keywords = o->keywords;
    x->options.folders = o->folders;
    x->options.mime = o->mime;
}

/* UIDs of a block that were not used may be given after all: then none is left out. */
static void give_back_uids(struct index *x)
{
    LIST_EACH (it, &x->folders) {
        struct folder *f = LIST_ENTRY(it, struct folder, link);

        if (!f->checked || f->reserved <= f->uidnext)
            continue;
        if (f->base < 0 && index_folder_dir(x, f, &f->base, NULL) < 0)
            continue;
        if (index_uid_write(x, f, f->uidnext, NULL) < 0)
            continue; /* some are left out */
    }
}

void index_close(struct index **x)
{
    if (*x == NULL)
        return;
    index_names_all(*x);
    give_back_uids(*x);
    index_db_clean(*x);
    release(x);
}

void index_rest(struct index *x)
{
    LIST_EACH (it, &x->folders) {
        if (LIST_ENTRY(it, struct folder, link)->scan != NULL)
            return;
    }
    index_names_all(x);
    LIST_EACH (it, &x->folders) {
        index_folder_close(LIST_ENTRY(it, struct folder, link));
    }
    if (x->db == NULL)
        return;
    index_db_clean(x);
    index_db_close(x);
}

bool index_was_rebuilt(struct index *x)
{
    bool rebuilt = x->rebuilt;

    x->rebuilt = false;
    return rebuilt;
}

bool index_left_out(struct index *x, struct err *ret)
{
    if (x->left_out.code == 0)
        return false;
    *ret = x->left_out;
    x->left_out.code = 0;
    return true;
}

int index_rebuild(struct index *x, struct err *e)
{
    uint32_t *ids;
    size_t count = 0;
    int r;

    index_names_all(x);
    TRY(index_db_remake(x, e));
    TRY(folders_open(x, e));
    ids = mem_array(x->folder_count + 1, sizeof *ids);
    LIST_EACH (it, &x->folders) {
        ids[count++] = LIST_ENTRY(it, struct folder, link)->id;
    }
    r = 0;
    for (size_t i = 0; i < count && r == 0; i++) {
        struct folder *f;

        r = index_folder_open(x, ids[i], &f, e);
        while (r == 0 && (r = index_ready(x, f, e)) == MORE)
            r = 0;
    }
    mem_free(ids);
    return r < 0 ? r : 0;
}

void index_count(struct index *x, int64_t messages, int64_t octets)
{
    opened_adjust(x->maildirs, x->user, messages, octets);
}

int index_uidl(struct index *x, uint32_t folder, uint32_t uid, char to[71])
{
    int64_t key = INDEX_KEY(folder, uid);
    char *uidl = NULL;
    int r;
    sqlite3_stmt *s = index_stmt(x, I_UIDL, &r, NULL);

    if (s == NULL)
        return r;
    (void)sqlite3_bind_int64(s, 1, key);
    r = db_row(x->db, s, NULL);
    if (r <= 0)
        return r == 0 ? -ENOENT : r;
    r = db_text(s, 0, 70, &uidl);
    (void)sqlite3_reset(s);
    if (r == 0 && uidl != NULL)
        r = slice_copy(slice_str(uidl), to, 71);
    else if (r == 0)
        r = -ENOENT;
    mem_free(uidl);
    return r;
}

int index_base_name(struct index *x, uint32_t folder, uint32_t uid, char to[MAILDIR_NAME])
{
    struct folder *f;
    struct file_name n;
    struct row row;
    int r = index_folder_open(x, folder, &f, NULL);

    while (r == 0 && ranges_has(&f->due, uid)) /* only what stands on the disk stays the same */
        r = index_names_of(x, f, NULL) < 0 ? -EIO : 0;
    if (r == 0)
        r = index_row(x, f, uid, &row, NULL);
    if (r < 0)
        return r;
    file_name_parse(slice_str(row.name), &n);
    return slice_copy(file_name_adopted(n.base), to, MAILDIR_NAME);
}
