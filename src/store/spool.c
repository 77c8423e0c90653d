/* spool/: one file per large body, named by its queue id. */
#include "facteur/store/spool.h"

#include "facteur/base/clock.h"
#include "facteur/base/codec.h"
#include "facteur/base/mem.h"
#include "facteur/store/sys.h"

#include "dir_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

struct spool {
    int dir;
};

int spool_open(const char *state, struct spool **ret, struct err *e)
{
    int state_dir = sys->openat(AT_FDCWD, state, O_RDONLY | O_DIRECTORY, 0);
    int dir;

    if (state_dir < 0)
        return err_set(e, state_dir, "open the state directory %s: %s", state, err_text(state_dir));
    dir = sys_make_path(state_dir, "spool");
    (void)sys->close(state_dir);
    if (dir < 0)
        return err_set(e, dir, "open %s/spool: %s", state, err_text(dir));
    *ret = mem_zero(sizeof **ret);
    (*ret)->dir = dir;
    return 0;
}

void spool_close(struct spool **s)
{
    if (*s == NULL)
        return;
    (void)sys->close((*s)->dir);
    mem_free(*s);
    *s = NULL;
}

int spool_create(struct spool *s, uint64_t id, struct err *e)
{
    char name[14];
    int fd;

    base32_u64(id, name);
    fd = sys->openat(s->dir, name, O_WRONLY | O_CREAT | O_EXCL, 0600);
    return fd < 0 ? err_set(e, fd, "create spool/%s: %s", name, err_text(fd)) : fd;
}

int spool_sync(struct spool *s, int fd, struct err *e)
{
    int r = sys->fsync(fd);

    if (r < 0)
        return err_set(e, r, "sync a spool file: %s", err_text(r));
    r = sys->fsync(s->dir);
    return r < 0 ? err_set(e, r, "sync spool/: %s", err_text(r)) : 0;
}

int spool_read_open(struct spool *s, uint64_t id, struct err *e)
{
    char name[14];
    int fd;

    base32_u64(id, name);
    fd = sys->openat(s->dir, name, O_RDONLY, 0);
    return fd < 0 ? err_set(e, fd, "open spool/%s: %s", name, err_text(fd)) : fd;
}

int spool_check(struct spool *s, uint64_t id, uint64_t size, struct err *e)
{
    char name[14];
    struct stat st;

    base32_u64(id, name);
    if (fstatat(s->dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return err_set(e, -errno, "look at spool/%s: %s", name, err_text(-errno));
    if ((uint64_t)st.st_size != size)
        return err_set(e, -ENODATA, "spool/%s has %lld octets instead of %llu", name, (long long)st.st_size,
                       (unsigned long long)size);
    return 0;
}

int spool_remove(struct spool *s, uint64_t id)
{
    char name[14];
    int r;

    base32_u64(id, name);
    r = sys->unlinkat(s->dir, name);
    return r == -ENOENT ? 0 : r;
}

int spool_link(struct spool *s, uint64_t id, int to_dir, const char *to)
{
    char name[14];

    base32_u64(id, name);
    return sys->linkat(s->dir, name, to_dir, to);
}

struct sweep {
    struct spool *s;
    bool (*has_row)(void *ctx, uint64_t id);
    void *ctx;
    int64_t before_s;
    int gone;
};

static int sweep_one(void *ctx, int dir, const char *name)
{
    struct sweep *w = ctx;
    struct stat st;
    uint64_t id;

    if (base32_u64_parse(slice_str(name), &id) < 0)
        return 0; /* not ours */
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode) || st.st_mtime > w->before_s)
        return 0;
    if (!w->has_row(w->ctx, id) && spool_remove(w->s, id) == 0)
        w->gone++;
    return 0;
}

int spool_sweep(struct spool *s, bool (*has_row)(void *ctx, uint64_t id), void *ctx, struct err *e)
{
    struct sweep w = { .s = s, .has_row = has_row, .ctx = ctx, .before_s = clock_wall_ms() / 1000 - DIR_STALE_S };
    int r = dir_each(s->dir, sweep_one, &w);

    return r < 0 ? err_set(e, r, "read spool/: %s", err_text(r)) : w.gone;
}

int64_t spool_free_octets(struct spool *s)
{
    return sys->free_octets(s->dir);
}
