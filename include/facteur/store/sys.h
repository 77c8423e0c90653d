/* facteur: store/sys: the calls to the kernel that durability depends on, in one table.
 * Purpose:   spool, Maildir and user data go to disk through here, so that a test can make the n-th call fail.
 * Owner:     a constant table; a test sets another one before it starts and back after it.
 * Thread:    any.
 * Limits:    none.
 * Standards: POSIX; each returns a negative errno on failure, and goes on after EINTR and short counts. */
#ifndef FACTEUR_STORE_SYS_H
#define FACTEUR_STORE_SYS_H

#include "facteur/base/err.h"
#include "facteur/base/slice.h"

#include <sys/types.h>
#include <sys/uio.h>

struct sys {
    int (*openat)(int dir, const char *name, int flags, mode_t mode); /* O_CLOEXEC and O_NOFOLLOW are added */
    ssize_t (*writev)(int fd, const struct iovec *iov, int count);
    ssize_t (*pread)(int fd, void *to, size_t n, off_t at);
    int (*fsync)(int fd);
    /* Makes names in a directory durable whose files got them (by rename or link) and were synced after that: nothing is
     * left to do where the file's own sync has taken the name along. */
    int (*sync_names)(int dir);
    int (*syncfs)(int fd); /* the whole file system; -EOPNOTSUPP where that would not make every file durable */
    int (*renameat)(int from_dir, const char *from, int to_dir, const char *to);
    /* As renameat, but -EEXIST when `to` is there: what is not ours is never renamed over. */
    int (*rename_new)(int from_dir, const char *from, int to_dir, const char *to);
    /* Both change places; -ENOENT when one of them is not there (any more). */
    int (*exchange)(int a_dir, const char *a, int b_dir, const char *b);
    int (*linkat)(int from_dir, const char *from, int to_dir, const char *to);
    int (*unlinkat)(int dir, const char *name);
    int (*mkdirat)(int dir, const char *name, mode_t mode);
    int (*close)(int fd);
    int64_t (*free_octets)(int dir); /* what an ordinary user may still write */
};

extern const struct sys *sys; /* the kernel's own unless a test says otherwise */
extern const struct sys sys_kernel;

/* Writes all of it, whatever the pieces: 0 or negative. */
int sys_write_all(int fd, struct slice octets) MUST_USE;
/* Makes a path of directories, 0700; those that are there are fine. Returns an open directory. */
int sys_make_path(int dir, const char *path) MUST_USE;

#endif
