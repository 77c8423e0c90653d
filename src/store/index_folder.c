/* The folders that the index knows: their rows, and their directories on the disk. */
#include "index_priv.h"

#include "facteur/base/clock.h"
#include "facteur/base/mem.h"
#include "facteur/store/sys.h"

#include "folder_name_priv.h"
#include "keywords_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

static bool dir_valid(const char *dir)
{
    return dir[0] == '.' && strcmp(dir, "..") != 0 && strchr(dir, '/') == NULL && strlen(dir) <= FOLDER_DIR;
}

static struct folder *folder_new(struct index *x, uint32_t id, const char *name, const char *dir)
{
    struct folder *f = mem_zero(sizeof *f);

    f->id = id;
    f->name = mem_str(name);
    f->dir = mem_str(dir);
    f->base = f->places[PLACE_CUR] = f->places[PLACE_NEW] = -1;
    f->uidnext = f->first_recent = f->row_next = 1;
    f->in_new = -1;
    f->prepared_low = f->prepared_high = UID_MAX;
    list_push(&x->folders, &f->link);
    x->folder_count++;
    if (id >= x->next_folder)
        x->next_folder = id + 1;
    return f;
}

static int read_folder(struct index *x, sqlite3_stmt *s)
{
    int64_t id, special, uidvalidity, uidnext, first_recent, modseq, vanished, due;
    char *name = NULL, *dir = NULL, *mailbox_id = NULL;
    int r = db_int(s, 0, 1, INT32_MAX, &id);

    if (r == 0)
        r = db_text(s, 1, INDEX_NAME, &name);
    if (r == 0)
        r = db_text(s, 2, FOLDER_DIR, &dir);
    if (r == 0)
        r = db_int(s, 3, SPECIAL_NONE, SPECIAL_TRASH, &special);
    if (r == 0)
        r = db_text(s, 4, sizeof(((struct folder *)NULL)->mailbox_id) - 1, &mailbox_id);
    if (r == 0)
        r = db_int(s, 5, 1, UINT32_MAX, &uidvalidity);
    if (r == 0)
        r = db_int(s, 6, 0, (int64_t)UID_MAX + 1, &uidnext);
    if (r == 0)
        r = db_int(s, 7, 1, (int64_t)UID_MAX + 1, &first_recent);
    if (r == 0)
        r = db_int(s, 8, 0, INT64_MAX / 2, &modseq);
    if (r == 0)
        r = db_int(s, 9, 0, INT64_MAX / 2, &vanished);
    if (r == 0)
        r = db_int(s, 10, 0, 1, &due);
    if (r == 0 && (name == NULL || dir == NULL || mailbox_id == NULL || !dir_valid(dir)))
        r = -EBADMSG;
    if (r == 0) {
        struct folder *f = folder_new(x, (uint32_t)id, name, dir);

        f->special = (enum index_special)special;
        slice_clip(slice_str(mailbox_id), f->mailbox_id, sizeof f->mailbox_id);
        f->uidvalidity = (uint32_t)uidvalidity;
        f->partial = uidnext == 0;
        f->uidnext = f->row_next = uidnext > 0 ? (uint32_t)uidnext : 1;
        f->first_recent = (uint32_t)first_recent;
        f->modseq = (uint64_t)modseq;
        f->vanished_from = (uint64_t)vanished;
        if (due != 0) /* which ones is found out by looking at them */
            index_names_unknown(x, f);
    }
    mem_free(name);
    mem_free(dir);
    mem_free(mailbox_id);
    return r;
}

int index_folders_read(struct index *x, struct err *e)
{
    int r;
    sqlite3_stmt *s = index_stmt(x, I_FOLDERS, &r, e);

    if (s == NULL)
        return r;
    while ((r = db_row(x->db, s, e)) > 0) {
        r = read_folder(x, s);
        if (r < 0) {
            (void)sqlite3_reset(s);
            return err_set(e, r, "index.db of %s has a folder that cannot be", x->user);
        }
    }
    return r;
}

struct folder *index_folder_by_id(struct index *x, uint32_t id)
{
    LIST_EACH (it, &x->folders) {
        struct folder *f = LIST_ENTRY(it, struct folder, link);

        if (f->id == id)
            return f;
    }
    return NULL;
}

struct folder *index_folder_by_name(struct index *x, struct slice name)
{
    LIST_EACH (it, &x->folders) {
        struct folder *f = LIST_ENTRY(it, struct folder, link);

        if (slice_is(name, f->name))
            return f;
    }
    return NULL;
}

struct folder *index_folder_by_dir(struct index *x, const char *dir)
{
    LIST_EACH (it, &x->folders) {
        struct folder *f = LIST_ENTRY(it, struct folder, link);

        if (strcmp(dir, f->dir) == 0)
            return f;
    }
    return NULL;
}

int index_folder_put(struct index *x, struct folder *f, struct err *e)
{
    int r;
    sqlite3_stmt *s = index_stmt(x, I_FOLDER_PUT, &r, e);

    if (s == NULL)
        return r;
    (void)sqlite3_bind_int64(s, 1, f->id);
    db_bind_text(s, 2, f->name, INDEX_NAME);
    db_bind_text(s, 3, f->dir, FOLDER_DIR);
    (void)sqlite3_bind_int64(s, 4, f->special);
    db_bind_text(s, 5, f->mailbox_id, sizeof f->mailbox_id);
    (void)sqlite3_bind_int64(s, 6, f->uidvalidity);
    (void)sqlite3_bind_int64(s, 7, f->partial ? 0 : f->uidnext);
    (void)sqlite3_bind_int64(s, 8, f->first_recent);
    (void)sqlite3_bind_int64(s, 9, (int64_t)f->modseq);
    (void)sqlite3_bind_int64(s, 10, (int64_t)f->vanished_from);
    (void)sqlite3_bind_int64(s, 11, f->due.count > 0);
    return db_run(x->db, s, e);
}

void index_folder_fill(const struct folder *f, struct index_folder *ret)
{
    *ret = (struct index_folder){ .id = f->id,
                                  .uidvalidity = f->uidvalidity,
                                  .uidnext = f->uidnext,
                                  .first_recent = f->first_recent,
                                  .modseq = f->modseq,
                                  .special = f->special };
    memcpy(ret->mailbox_id, f->mailbox_id, sizeof ret->mailbox_id);
}

void index_folder_close(struct folder *f)
{
    for (int i = 0; i < PLACES; i++) {
        if (f->places[i] >= 0)
            (void)sys->close(f->places[i]);
        f->places[i] = -1;
    }
    if (f->base >= 0)
        (void)sys->close(f->base);
    f->base = -1;
    index_scan_free(&f->scan);
}

static void keywords_free(struct folder *f)
{
    for (unsigned i = 0; i < f->keyword_count; i++)
        mem_free(f->keywords[i]);
    f->keyword_count = 0;
}

void index_folder_unknown(struct folder *f)
{
    index_scan_free(&f->scan);
    mailbox_changes_clear(&f->unsaid);
    f->known[PLACE_CUR] = f->known[PLACE_NEW] = false;
    f->must_scan = f->rebuilt = f->partial = true;
    f->row_next = 1;
    f->named_below = f->uidnext;
    f->in_new = -1;
    ranges_clear(&f->due);
    f->prepared_low = f->prepared_high = UID_MAX;
}

void index_folder_free(struct index *x, struct folder **f)
{
    index_folder_close(*f);
    mailbox_changes_clear(&(*f)->unsaid);
    ranges_clear(&(*f)->due);
    keywords_free(*f);
    list_unlink(&(*f)->link);
    x->folder_count--;
    mem_free((*f)->name);
    mem_free((*f)->dir);
    mem_free(*f);
    *f = NULL;
}

int index_folder_dir(struct index *x, const struct folder *f, int *ret_fd, struct err *e)
{
    int fd = sys->openat(x->root, f->dir, O_RDONLY | O_DIRECTORY, 0);

    if (fd < 0)
        return index_refused(x, f->name, fd, e);
    *ret_fd = fd;
    return 0;
}

void index_folder_used(struct index *x, struct folder *f)
{
    list_unlink(&f->link);
    f->link.prev = &x->folders;
    f->link.next = x->folders.next;
    x->folders.next->prev = &f->link;
    x->folders.next = &f->link;
}

/* Others give way. */
static void hold(struct index *x, struct folder *f)
{
    unsigned held = 0;

    index_folder_used(x, f);
    LIST_EACH (it, &x->folders) {
        struct folder *other = LIST_ENTRY(it, struct folder, link);

        if (other->base >= 0 && ++held > FOLDERS_HELD && other->scan == NULL)
            index_folder_close(other);
    }
}

static int open_places(struct index *x, struct folder *f, struct err *e)
{
    static const char *const names[PLACES] = { [PLACE_CUR] = "cur", [PLACE_NEW] = "new" };
    struct stat st;
    int tmp, r;

    TRY(index_folder_dir(x, f, &f->base, e));
    tmp = sys_make_path(f->base, "tmp");
    r = tmp < 0 ? tmp : 0;
    if (tmp >= 0)
        (void)sys->close(tmp);
    for (int i = 0; i < PLACES && r == 0; i++) {
        f->places[i] = sys_make_path(f->base, names[i]);
        r = f->places[i] < 0 ? f->places[i] : 0;
    }
    if (r == 0 && fstat(f->base, &st) < 0)
        r = -errno;
    if (r < 0) {
        index_folder_close(f);
        return index_refused(x, f->name, r, e);
    }
    if (st.st_ino != f->base_mark.ino || st.st_dev != f->base_mark.dev) {
        f->base_mark = (struct dir_mark){ .dev = st.st_dev, .ino = st.st_ino };
        f->checked = false;
        f->known[PLACE_CUR] = f->known[PLACE_NEW] = false;
    }
    return 0;
}

int index_keywords_read(struct index *x, struct folder *f, struct err *e)
{
    struct keywords in_file = { 0 };
    char *name = NULL;
    int64_t bit;
    int r;
    sqlite3_stmt *s;

    r = keywords_read(f->base, &in_file, e);
    if (r < 0)
        return err_set(e, r, "read dovecot-keywords of %s, folder %s: %s", x->user, f->name, err_text(r));
    keywords_free(f);
    for (unsigned i = 0; i < in_file.count; i++)
        f->keywords[i] = mem_str(in_file.names[i]);
    f->keyword_count = in_file.count;
    keywords_clear(&in_file);
    s = index_stmt(x, I_KEYWORDS, &r, e);
    if (s == NULL)
        return r;
    (void)sqlite3_bind_int64(s, 1, f->id);
    while ((r = db_row(x->db, s, e)) > 0 && f->keyword_count >= KEYWORDS_IN_NAME) {
        r = db_int(s, 0, KEYWORDS_IN_NAME, KEYWORDS_MAX - 1, &bit);
        if (r == 0)
            r = db_text(s, 1, KEYWORD_LENGTH, &name);
        if (r < 0 || bit != (int64_t)f->keyword_count || name == NULL || !keyword_valid(slice_str(name))) {
            mem_free(name);
            (void)sqlite3_reset(s);
            return err_set(e, -EBADMSG, "index.db of %s has a keyword that cannot be", x->user);
        }
        f->keywords[f->keyword_count++] = name;
        name = NULL;
    }
    (void)sqlite3_reset(s);
    return r < 0 ? r : 0;
}

static int check(struct index *x, struct folder *f, struct err *e)
{
    int r = index_uid_check(x, f, e);

    if (r == 0)
        r = index_keywords_read(x, f, e);
    if (r < 0) {
        index_folder_close(f);
        return r;
    }
    f->checked = true;
    f->named_below = f->uidnext;
    return 0;
}

int index_folder_open(struct index *x, uint32_t id, struct folder **ret, struct err *e)
{
    struct folder *f = index_folder_by_id(x, id);

    if (f == NULL)
        return err_set(e, -ENOENT, "%s has no such folder", x->user);
    if (x->db == NULL)
        TRY(index_db_again(x, e));
    if (f->base < 0)
        TRY(open_places(x, f, e));
    if (!f->checked)
        TRY(check(x, f, e));
    hold(x, f);
    *ret = f;
    return 0;
}

int index_folder_add(struct index *x, const char *name, const char *dir, enum index_special special,
                     struct folder **ret, struct err *e)
{
    struct folder *f;
    int r;

    if (!dir_valid(dir))
        return err_set(e, -EINVAL, "no directory of a folder");
    f = folder_new(x, x->next_folder > 0 ? x->next_folder : 1, name, dir);
    f->special = special;
    f->must_scan = f->partial = true;
    /* It may have been a folder of ours before, with its UIDVALIDITY: then clients know what it had then. */
    f->modseq = (uint64_t)clock_wall_ms();
    f->modseq = f->vanished_from = f->modseq > x->modseq_floor ? f->modseq : x->modseq_floor;
    r = open_places(x, f, e);
    if (r == 0)
        r = check(x, f, e);
    if (r == 0)
        r = index_begin(x, e);
    if (r == 0) {
        r = index_folder_put(x, f, e);
        if (r == 0)
            r = index_commit(x, e);
        else
            index_rollback(x);
    }
    if (r < 0) {
        index_folder_free(x, &f);
        return r;
    }
    hold(x, f);
    *ret = f;
    return 0;
}

static int delete_messages(struct index *x, const struct folder *f, struct err *e)
{
    static const enum index_statement by_key[] = { I_FOLDER_MESSAGES_DELETE, I_FOLDER_PREPARED_DELETE,
                                                   I_FOLDER_UIDL_DELETE };
    static const enum index_statement by_id[] = { I_FOLDER_EXPUNGED_DELETE, I_FOLDER_KEYWORDS_DELETE };
    int64_t keys[] = { INDEX_KEY(f->id, 0), INDEX_KEY(f->id, UINT32_MAX) };
    int64_t id = f->id;

    for (size_t i = 0; i < sizeof by_key / sizeof by_key[0]; i++)
        TRY(index_run(x, by_key[i], keys, 2, e));
    for (size_t i = 0; i < sizeof by_id / sizeof by_id[0]; i++)
        TRY(index_run(x, by_id[i], &id, 1, e));
    return 0;
}

int index_folder_forget(struct index *x, struct folder *f, struct err *e)
{
    int r;

    TRY(index_begin(x, e));
    r = delete_messages(x, f, e);
    if (r < 0) {
        index_rollback(x);
        return r;
    }
    index_folder_unknown(f);
    return index_commit(x, e);
}

int index_folder_drop(struct index *x, struct folder **f, struct err *e)
{
    int64_t id = (*f)->id;
    int r;

    TRY(index_begin(x, e));
    r = delete_messages(x, *f, e);
    if (r == 0)
        r = index_run(x, I_FOLDER_DELETE, &id, 1, e);
    if (r < 0) {
        index_rollback(x);
        return r;
    }
    TRY(index_commit(x, e));
    if (x->modseq_floor <= (*f)->modseq) /* it may come back */
        x->modseq_floor = (*f)->modseq + 1;
    index_folder_free(x, f);
    return 0;
}

int index_folder_move(struct index *x, struct folder *f, const char *name, const char *dir, struct err *e)
{
    struct folder was = *f;
    int r;

    if (!dir_valid(dir))
        return err_set(e, -EINVAL, "no directory of a folder");
    f->name = mem_str(name);
    f->dir = mem_str(dir);
    r = index_begin(x, e);
    if (r == 0) {
        r = index_folder_put(x, f, e);
        if (r == 0)
            r = index_commit(x, e);
        else
            index_rollback(x);
    }
    mem_free(r == 0 ? was.name : f->name);
    mem_free(r == 0 ? was.dir : f->dir);
    if (r < 0) {
        f->name = was.name;
        f->dir = was.dir;
    }
    return r;
}
