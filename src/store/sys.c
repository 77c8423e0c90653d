/* The kernel's calls behind the table, each complete: EINTR is not seen above this file. */
#include "facteur/store/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

/* statfs(2) */
#define MAGIC_EXT4  0xef53
#define MAGIC_XFS   0x58465342
#define MAGIC_BTRFS 0x9123683e
#define MAGIC_F2FS  0xf2f52010
#define MAGIC_TMPFS 0x01021994

static int open_once(int dir, const char *name, int flags, mode_t mode)
{
    int fd;

    do {
        fd = openat(dir, name, flags | O_CLOEXEC | O_NOFOLLOW, mode);
    } while (fd < 0 && errno == EINTR);
    return fd < 0 ? -errno : fd;
}

/* Who reads mail writes nothing: not even when it was read, of which nobody asks a Maildir. Only a file's owner may ask
 * for that. */
static int kernel_openat(int dir, const char *name, int flags, mode_t mode)
{
    int fd = -EPERM;

    if ((flags & O_ACCMODE) == O_RDONLY)
        fd = open_once(dir, name, flags | O_NOATIME, mode);
    return fd == -EPERM ? open_once(dir, name, flags, mode) : fd;
}

static ssize_t kernel_writev(int fd, const struct iovec *iov, int count)
{
    ssize_t n;

    do {
        n = writev(fd, iov, count);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

static ssize_t kernel_pread(int fd, void *to, size_t n, off_t at)
{
    size_t have = 0;

    while (have < n) {
        ssize_t got = pread(fd, (char *)to + have, n - have, at + (off_t)have);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            break;
        have += (size_t)got;
    }
    return (ssize_t)have;
}

static int kernel_fsync(int fd)
{
    int r;

    do {
        r = fsync(fd); /* EINTR comes before anything was lost; every other failure is final for the file */
    } while (r < 0 && errno == EINTR);
    return r < 0 ? -errno : 0;
}

static bool is_among(int fd, const uint32_t *magic, size_t count)
{
    struct statfs s;

    if (fstatfs(fd, &s) < 0)
        return false;
    for (size_t i = 0; i < count; i++) {
        if ((uint32_t)s.f_type == magic[i])
            return true;
    }
    return false;
}

/* ext4 and XFS: a rename or link changes the file's inode (its ctime) in the transaction that changes the directory, and
 * the file's sync waits for its last transaction. (Without a journal ext4 syncs the directory with a file that has just got
 * its name there.) One more sync would only flush the disk's cache once more. */
static int kernel_sync_names(int dir)
{
    static const uint32_t magic[] = { MAGIC_EXT4, MAGIC_XFS };

    return is_among(dir, magic, sizeof magic / sizeof magic[0]) ? 0 : kernel_fsync(dir);
}

/* Those whose syncfs waits for the disk (a FUSE server, for one, is never told), and reports what could not be written
 * since the descriptor was opened (Linux 5.8). */
static bool syncs_as_a_whole(int fd)
{
    static const uint32_t magic[] = { MAGIC_EXT4, MAGIC_XFS, MAGIC_BTRFS, MAGIC_F2FS, MAGIC_TMPFS };

    return is_among(fd, magic, sizeof magic / sizeof magic[0]);
}

static int kernel_syncfs(int fd)
{
    if (!syncs_as_a_whole(fd))
        return -EOPNOTSUPP;
    return syncfs(fd) < 0 ? -errno : 0;
}

static int kernel_renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    return renameat(from_dir, from, to_dir, to) < 0 ? -errno : 0;
}

/* Where the file system cannot do it at once, whoever looks first is believed. */
static int kernel_rename_new(int from_dir, const char *from, int to_dir, const char *to)
{
    struct stat st;

    if (renameat2(from_dir, from, to_dir, to, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -errno;
    if (fstatat(to_dir, to, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return -EEXIST;
    return kernel_renameat(from_dir, from, to_dir, to);
}

/* Where the file system cannot, `a` goes to `b`'s place. */
static int kernel_exchange(int a_dir, const char *a, int b_dir, const char *b)
{
    struct stat st;

    if (renameat2(a_dir, a, b_dir, b, RENAME_EXCHANGE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -errno;
    if (fstatat(b_dir, b, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    return kernel_renameat(a_dir, a, b_dir, b);
}

static int kernel_linkat(int from_dir, const char *from, int to_dir, const char *to)
{
    return linkat(from_dir, from, to_dir, to, 0) < 0 ? -errno : 0;
}

static int kernel_unlinkat(int dir, const char *name)
{
    return unlinkat(dir, name, 0) < 0 ? -errno : 0;
}

static int kernel_mkdirat(int dir, const char *name, mode_t mode)
{
    return mkdirat(dir, name, mode) < 0 ? -errno : 0;
}

static int kernel_close(int fd)
{
    return close(fd) < 0 && errno != EINTR ? -errno : 0; /* Linux frees the descriptor in either case */
}

static int64_t kernel_free_octets(int dir)
{
    struct statvfs v;

    if (fstatvfs(dir, &v) < 0)
        return -errno;
    if (v.f_files > 0 && v.f_favail == 0) /* no inode left is no room, whatever the blocks say */
        return 0;
    return (int64_t)v.f_bavail * (int64_t)v.f_frsize;
}

const struct sys sys_kernel = {
    .openat = kernel_openat,
    .writev = kernel_writev,
    .pread = kernel_pread,
    .fsync = kernel_fsync,
    .sync_names = kernel_sync_names,
    .syncfs = kernel_syncfs,
    .renameat = kernel_renameat,
    .rename_new = kernel_rename_new,
    .exchange = kernel_exchange,
    .linkat = kernel_linkat,
    .unlinkat = kernel_unlinkat,
    .mkdirat = kernel_mkdirat,
    .close = kernel_close,
    .free_octets = kernel_free_octets,
};

const struct sys *sys = &sys_kernel;

int sys_write_all(int fd, struct slice octets)
{
    while (octets.n > 0) {
        struct iovec iov = { (void *)(uintptr_t)octets.p, octets.n };
        ssize_t n = sys->writev(fd, &iov, 1);

        if (n < 0)
            return (int)n;
        if (n == 0)
            return -EIO;
        octets = slice_skip(octets, (size_t)n);
    }
    return 0;
}

/* One step down: the directory `name` in `dir`, made if it is missing and its entry made durable then. */
static int step_into(int dir, const char *name)
{
    int fd = sys->openat(dir, name, O_RDONLY | O_DIRECTORY, 0);
    int r;

    if (fd != -ENOENT)
        return fd;
    r = sys->mkdirat(dir, name, 0700);
    if (r < 0 && r != -EEXIST) /* another job was first: fine */
        return r;
    r = sys->fsync(dir);
    if (r < 0)
        return r;
    return sys->openat(dir, name, O_RDONLY | O_DIRECTORY, 0);
}

int sys_make_path(int dir, const char *path)
{
    struct slice rest = slice_str(path);
    struct slice part;
    int at = dir;

    for (bool more = true; more;) {
        char name[256];
        int next = 0;

        more = slice_cut(&rest, '/', &part);
        if (part.n == 0 && more)
            continue; /* a doubled slash */
        if (part.n == 0)
            part = SLICE_LIT(".");
        next = slice_copy(part, name, sizeof name) < 0 ? -ENAMETOOLONG : step_into(at, name);
        if (at != dir)
            (void)sys->close(at);
        if (next < 0)
            return next;
        at = next;
    }
    return at;
}
