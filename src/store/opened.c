/* The table of mailboxes. */
#include "maildir_priv.h"

#include "facteur/base/clock.h"
#include "facteur/base/mem.h"
#include "facteur/store/sys.h"

#include "dir_priv.h"
#include "maildir_name.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_MAX_LEN = 1024 };

/* A name for this machine, as a hint to people: recognition does not use it. */
static void host_token(char *to, size_t size)
{
    char name[256] = "";
    size_t n = 0;

    (void)gethostname(name, sizeof name - 1);
    for (const char *p = name; *p != '\0' && *p != '.' && n + 1 < size; p++)
        if ((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') || *p == '-')
            to[n++] = *p;
    if (n == 0)
        to[n++] = 'x';
    to[n] = '\0';
}

int maildirs_open(const char *state, struct maildirs **ret, struct err *e)
{
    int dir = sys->openat(AT_FDCWD, state, O_RDONLY | O_DIRECTORY, 0);
    int mail;
    struct maildirs *m;

    if (dir < 0)
        return err_set(e, dir, "open the state directory %s: %s", state, err_text(dir));
    mail = sys_make_path(dir, "mail");
    if (mail < 0) {
        (void)sys->close(dir);
        return err_set(e, mail, "open %s/mail: %s", state, err_text(mail));
    }
    (void)sys->close(mail);
    m = mem_zero(sizeof *m);
    m->state = dir;
    host_token(m->host, sizeof m->host);
    (void)pthread_mutex_init(&m->lock, NULL);
    list_init(&m->recent);
    *ret = m;
    return 0;
}

static void box_close(struct maildirs *m, struct opened *box)
{
    if (box->tmp < 0)
        return;
    (void)sys->close(box->tmp);
    (void)sys->close(box->dir_new);
    box->tmp = box->dir_new = -1;
    m->open--;
}

/* Takes it out of the table; who holds it goes on with it. */
static void box_forget(struct maildirs *m, struct opened *box)
{
    list_unlink(&box->link);
    (void)map_take(&m->by_user, slice_str(box->user));
    m->known--;
    box->orphan = true;
}

static void box_free(struct maildirs *m, struct opened *box)
{
    if (!box->orphan)
        box_forget(m, box);
    box_close(m, box);
    earlier_free(&box->earlier);
    mem_free(box->user);
    mem_free(box);
}

void maildirs_close(struct maildirs **m)
{
    if (*m == NULL)
        return;
    LIST_EACH (it, &(*m)->recent) {
        box_free(*m, LIST_ENTRY(it, struct opened, link));
    }
    map_clear(&(*m)->by_user);
    (void)sys->close((*m)->state);
    (void)pthread_mutex_destroy(&(*m)->lock);
    mem_free(*m);
    *m = NULL;
}

/* Each directory on the way synced once per process: a former one may have died between making it and syncing it. */
static int sync_path(int state, const char *path)
{
    char part[PATH_MAX_LEN + 1];
    int r = 0;

    for (size_t i = 0; r == 0; i++) {
        int fd;

        if (path[i] != '/' && path[i] != '\0')
            continue;
        if (slice_copy(slice_make(path, i), part, sizeof part) < 0)
            return -ENAMETOOLONG;
        fd = sys_make_path(state, part);
        if (fd < 0)
            return fd;
        r = sys->fsync(fd);
        (void)sys->close(fd);
        if (path[i] == '\0')
            break;
    }
    return r;
}

static int open_root(struct maildirs *m, const char *user, bool sync)
{
    struct buf path;
    int r;

    buf_init(&path, PATH_MAX_LEN);
    r = maildir_path(user, &path);
    if (r == 0)
        r = sys_make_path(m->state, buf_cstr(&path));
    if (r >= 0 && sync) {
        int synced = sync_path(m->state, buf_cstr(&path));

        if (synced < 0) {
            (void)sys->close(r);
            r = synced;
        }
    }
    buf_clear(&path);
    return r;
}

int opened_dir(struct maildirs *m, const char *user, const char *name)
{
    int root = open_root(m, user, false);
    int r;

    if (root < 0 || *name == '\0')
        return root;
    r = sys_make_path(root, name);
    (void)sys->close(root);
    return r;
}

static int box_open(struct maildirs *m, struct opened *box)
{
    static const char *const names[] = { "tmp", "new", "cur" };
    int fds[3] = { -1, -1, -1 };
    int root = open_root(m, box->user, false);
    int r = root < 0 ? root : 0;

    for (size_t i = 0; i < 3 && r >= 0; i++) {
        fds[i] = sys_make_path(root, names[i]);
        r = fds[i] < 0 ? fds[i] : 0;
    }
    if (r >= 0 && !box->synced) {
        int again = open_root(m, box->user, true);

        r = again < 0 ? again : 0;
        if (again >= 0)
            (void)sys->close(again);
    }
    if (root >= 0)
        (void)sys->close(root);
    if (fds[2] >= 0)
        (void)sys->close(fds[2]);
    if (r < 0) {
        for (size_t i = 0; i < 2; i++)
            if (fds[i] >= 0)
                (void)sys->close(fds[i]);
        return r;
    }
    box->synced = true;
    box->stale = false;
    box->tmp = fds[0];
    box->dir_new = fds[1];
    box->opened_ms = clock_mono_ms();
    m->open++;
    return 0;
}

/* Keeps the table within its bounds; the least recently used stand last. */
static void shrink(struct maildirs *m)
{
    for (struct link *it = m->recent.prev, *before = it->prev;
         it != &m->recent && (m->open > MAILBOXES_OPEN || m->known > MAILBOXES_KNOWN); it = before, before = it->prev) {
        struct opened *box = LIST_ENTRY(it, struct opened, link);

        if (box->users > 0)
            continue;
        if (m->known > MAILBOXES_KNOWN)
            box_free(m, box);
        else
            box_close(m, box);
    }
}

/* Closes directories that may not be the mailbox's any more; a mailbox that is in use gets a successor. */
static struct opened *renew(struct maildirs *m, struct opened *box)
{
    if (box->tmp < 0 || (!box->stale && clock_mono_ms() - box->opened_ms <= MAILBOX_FRESH_MS))
        return box;
    if (box->users > 0) {
        box_forget(m, box);
        return NULL;
    }
    box_close(m, box);
    return box;
}

static struct opened *find_or_add(struct maildirs *m, const char *user)
{
    struct opened *old = map_get(&m->by_user, slice_str(user));
    struct opened *box = old != NULL ? renew(m, old) : NULL;

    if (box != NULL) {
        list_unlink(&box->link);
    } else {
        box = mem_zero(sizeof *box);
        box->user = mem_str(user);
        box->tmp = box->dir_new = -1;
        if (old != NULL) {
            box->synced = !old->stale;
            box->counted = old->counted;
            box->counted_ms = old->counted_ms;
            box->octets = old->octets;
            box->messages = old->messages;
        }
        (void)map_put(&m->by_user, slice_str(user), box);
        m->known++;
    }
    box->link.prev = &m->recent; /* at the front: the last used first */
    box->link.next = m->recent.next;
    m->recent.next->prev = &box->link;
    m->recent.next = &box->link;
    return box;
}

int opened_refused(const char *user, const char *what, int r, struct err *e)
{
    struct buf path;
    bool rights = r == -EACCES || r == -EPERM;

    buf_init(&path, PATH_MAX_LEN);
    if (maildir_path(user, &path) < 0)
        buf_reset(&path);
    (void)err_set(e, r, "%s the mailbox of %s: %s (%s in the state directory%s)", what, user, err_text(r),
                  buf_cstr(&path), rights ? ": all in it must belong to facteur's user, chown -R it" : "");
    buf_clear(&path);
    return r;
}

int opened_acquire(struct maildirs *m, const char *user, struct opened **ret, struct err *e)
{
    struct opened *box;
    int r = 0;

    (void)pthread_mutex_lock(&m->lock);
    box = find_or_add(m, user);
    if (box->tmp < 0)
        r = box_open(m, box);
    if (r == 0) {
        box->users++;
        *ret = box;
        shrink(m);
    } else if (box->users == 0) {
        box_free(m, box);
    }
    (void)pthread_mutex_unlock(&m->lock);
    return r < 0 ? opened_refused(user, "open", r, e) : 0;
}

void opened_release(struct maildirs *m, struct opened **box)
{
    (void)pthread_mutex_lock(&m->lock);
    (*box)->users--;
    if ((*box)->users == 0 && (*box)->orphan)
        box_free(m, *box);
    (void)pthread_mutex_unlock(&m->lock);
    *box = NULL;
}

void opened_stale(struct maildirs *m, struct opened *box)
{
    (void)pthread_mutex_lock(&m->lock);
    box->stale = true;
    earlier_free(&box->earlier);
    (void)pthread_mutex_unlock(&m->lock);
}

int maildir_make(struct maildirs *m, const char *user, struct err *e)
{
    struct opened *box = NULL;
    int r = opened_acquire(m, user, &box, e);

    if (box != NULL)
        opened_release(m, &box);
    return r;
}

struct sweep {
    int64_t before_s;
    int gone;
};

/* Programs give a message the time at which it came before they give it its place: what says since when the file is there
 * is the later of its two times. */
static int sweep_tmp(void *ctx, int dir, const char *name)
{
    struct sweep *w = ctx;
    struct stat st;

    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
        return 0;
    if (st.st_mtime <= w->before_s && st.st_ctime <= w->before_s && sys->unlinkat(dir, name) == 0)
        w->gone++;
    return 0;
}

/* Walks one directory below `dir`; one that cannot be read is left for the next sweep. */
static void sweep_dir(int dir, const char *name, int (*fn)(void *ctx, int dir, const char *name), struct sweep *w)
{
    int fd = sys->openat(dir, name, O_RDONLY | O_DIRECTORY, 0);

    if (fd < 0)
        return;
    (void)dir_each(fd, fn, w);
    (void)sys->close(fd);
}

static int sweep_maildir(void *ctx, int dir, const char *name)
{
    if (strcmp(name, "tmp") == 0)
        sweep_dir(dir, name, sweep_tmp, ctx);
    return 0;
}

static int sweep_folders(void *ctx, int dir, const char *name)
{
    if (name[0] == '.') /* Maildir++: a folder is a Maildir of its own */
        sweep_dir(dir, name, sweep_maildir, ctx);
    return sweep_maildir(ctx, dir, name);
}

static int sweep_user(void *ctx, int dir, const char *name)
{
    if (strcmp(name, "Maildir") == 0)
        sweep_dir(dir, name, sweep_folders, ctx);
    return 0;
}

static int sweep_domain(void *ctx, int dir, const char *name)
{
    sweep_dir(dir, name, sweep_user, ctx);
    return 0;
}

static int sweep_mail(void *ctx, int dir, const char *name)
{
    sweep_dir(dir, name, sweep_domain, ctx);
    return 0;
}

int maildirs_sweep(struct maildirs *m, struct err *e)
{
    struct sweep w = { .before_s = clock_wall_ms() / 1000 - DIR_STALE_S };
    int mail = sys_make_path(m->state, "mail");
    int r;

    if (mail < 0)
        return err_set(e, mail, "open mail/: %s", err_text(mail));
    r = dir_each(mail, sweep_mail, &w);
    (void)sys->close(mail);
    return r < 0 ? err_set(e, r, "read mail/: %s", err_text(r)) : w.gone;
}
