/* Making and removing directories. */
#include "folders_priv.h"

#include "facteur/base/clock.h"
#include "facteur/base/codec.h"
#include "facteur/base/rand.h"
#include "facteur/store/sys.h"

#include "dir_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static const char making[] = "facteur-new-", gone[] = "facteur-gone-"; /* no dot: no folder */

enum { UNLISTED = 40 };

static void unlisted_name(const char *prefix, char to[UNLISTED])
{
    char id[14];
    uint64_t n;

    rand_bytes(&n, sizeof n);
    base32_u64(n, id);
    (void)snprintf(to, UNLISTED, "%s%s", prefix, id);
}

static int fill(int dir)
{
    static const char *const parts[] = { "cur", "new", "tmp" };
    int fd;

    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        TRY(sys->mkdirat(dir, parts[i], 0700));
    fd = sys->openat(dir, "maildirfolder", O_WRONLY | O_CREAT | O_EXCL,
                     0600); /* Maildir++: who delivers into it knows */
    if (fd < 0)
        return fd;
    return sys->close(fd);
}

int folders_dir_make(struct index *x, const char *dir, struct err *e)
{
    char name[UNLISTED];
    int fd, r;

    unlisted_name(making, name);
    folders_state(x)->sweep = true; /* in case that this fails */
    r = sys->mkdirat(x->root, name, 0700);
    if (r < 0)
        return err_set(e, r, "make a folder for %s: %s", x->user, err_text(r));
    fd = sys->openat(x->root, name, O_RDONLY | O_DIRECTORY, 0);
    r = fd < 0 ? fd : fill(fd);
    if (fd >= 0)
        (void)sys->close(fd);
    if (r == 0)
        r = sys->rename_new(x->root, name, x->root, dir);
    if (r == -EEXIST)
        return err_set(e, -EEXIST, "there is something called %s already", dir);
    return r < 0 ? err_set(e, r, "make the folder %s of %s: %s", dir, x->user, err_text(r)) : 0;
}

int folders_dir_remove(struct index *x, const char *dir, struct err *e)
{
    char name[UNLISTED];
    int r;

    unlisted_name(gone, name);
    r = sys->renameat(x->root, dir, x->root, name);
    if (r < 0)
        return err_set(e, r, "remove the folder %s of %s: %s", dir, x->user, err_text(r));
    folders_state(x)->sweep = true;
    r = sys->fsync(x->root);
    return r < 0 ? err_set(e, r, "remove the folder %s of %s: %s", dir, x->user, err_text(r)) : 0;
}

struct sweep {
    struct index *x;
    int64_t since_us;
    bool again; /* there is more */
};

/* A directory inside of a deleted one is moved up and deleted by itself: so nothing here goes deep. */
static int sweep_file(void *ctx, int dir, const char *name)
{
    struct sweep *w = ctx;
    char up[UNLISTED];
    int r = sys->unlinkat(dir, name);

    if (r == -EISDIR || r == -EPERM) {
        unlisted_name(gone, up);
        if (sys->renameat(dir, name, w->x->root, up) == 0)
            w->again = true;
    }
    return index_slice_over(w->since_us) ? MORE : 0;
}

static bool is_gone(const char *name)
{
    return strncmp(name, gone, sizeof gone - 1) == 0 || strncmp(name, making, sizeof making - 1) == 0;
}

static int sweep_entry(void *ctx, int root, const char *name)
{
    struct sweep *w = ctx;
    int fd, r;

    if (!is_gone(name))
        return 0;
    fd = sys->openat(root, name, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return 0;
    r = dir_each(fd, sweep_file, w);
    (void)sys->close(fd);
    if (r == 0)
        (void)unlinkat(root, name, AT_REMOVEDIR); /* what cannot be removed is tried again at the next start */
    return r == MORE ? MORE : 0;
}

int folders_sweep(struct index *x)
{
    struct folders *f = folders_state(x);
    struct sweep w = { .x = x, .since_us = clock_mono_us() };

    if (!f->sweep)
        return DONE;
    do {
        w.again = false;
        if (dir_each(x->root, sweep_entry, &w) == MORE)
            return MORE;
    } while (w.again);
    f->sweep = false;
    return DONE;
}
