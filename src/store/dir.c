#include "dir_priv.h"

#include "facteur/store/sys.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>

int dir_each(int dir, int (*fn)(void *ctx, int dir, const char *name), void *ctx)
{
    int fd = sys->openat(dir, ".", O_RDONLY | O_DIRECTORY, 0); /* a read position of our own */
    DIR *d;
    int r = 0;

    if (fd < 0)
        return fd;
    d = fdopendir(fd);
    if (d == NULL) {
        r = -errno;
        (void)sys->close(fd);
        return r;
    }
    while (r == 0) {
        const struct dirent *entry;

        errno = 0;
        entry = readdir(d);
        if (entry == NULL) {
            r = -errno;
            break;
        }
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            r = fn(ctx, dir, entry->d_name);
    }
    (void)closedir(d);
    return r;
}
