#include "folders_file_priv.h"

#include "facteur/store/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

enum { READ_PIECE = 64 * 1024 };

static int read_all(int fd, struct buf *out)
{
    struct stat st;
    off_t at = 0;

    if (fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -EINVAL;
    while (out->n < out->max) {
        size_t room = out->max - out->n < READ_PIECE ? out->max - out->n : READ_PIECE;
        ssize_t n = sys->pread(fd, buf_room(out, room), room, at);

        if (n < 0)
            return (int)n;
        if (n == 0)
            break;
        out->n += (size_t)n;
        at += n;
    }
    return (uint64_t)st.st_size > (uint64_t)at ? -EFBIG : 0;
}

int small_file_read(int dir, const char *name, struct buf *out)
{
    int fd = sys->openat(dir, name, O_RDONLY | O_NONBLOCK, 0); /* a fifo must not hold us up */
    size_t start = out->n;
    int r;

    if (fd < 0)
        return fd;
    r = read_all(fd, out);
    (void)sys->close(fd);
    if (r < 0)
        out->n = start;
    return r;
}

int small_file_write(int dir, const char *name, struct slice content)
{
    char tmp[64];
    int n = snprintf(tmp, sizeof tmp, "facteur-tmp-%s", name);
    int fd, r;

    if (n < 0 || (size_t)n >= sizeof tmp)
        return -ENAMETOOLONG;
    (void)sys->unlinkat(dir, tmp); /* from before a crash */
    fd = sys->openat(dir, tmp, O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (fd < 0)
        return fd;
    r = sys_write_all(fd, content);
    if (r == 0)
        r = sys->fsync(fd);
    if (sys->close(fd) < 0 && r == 0)
        r = -EIO;
    if (r == 0)
        r = sys->renameat(dir, tmp, dir, name);
    if (r < 0) {
        (void)sys->unlinkat(dir, tmp);
        return r;
    }
    return sys->fsync(dir);
}
