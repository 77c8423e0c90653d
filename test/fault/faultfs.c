/* Makes calls that write fail: for LD_PRELOAD, under test/fault/fault.py.
 *
 * $FAULTFS_CONTROL names a file of struct control, which is mapped at start (so it is heard also when the program has
 * locked itself in). Calls on sockets, pipes and the standard descriptors are left alone; all other files that facteur
 * writes are its state. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { CALL_SYNC = 1, CALL_WRITE = 2, CALL_RENAME = 4, CALL_LINK = 8, CALL_CREATE = 16 };

struct control {
    _Atomic uint32_t calls;  /* bits of the above that may fail */
    _Atomic uint32_t error;  /* errno; 0: a write is cut short instead */
    _Atomic uint32_t chance; /* in 65536 */
    _Atomic uint32_t after;  /* so many pass first */
    _Atomic uint32_t seen;   /* calls that could have failed */
    _Atomic uint32_t failed;
};

static struct control *control;

__attribute__((constructor)) static void map_control(void)
{
    const char *path = getenv("FAULTFS_CONTROL");
    int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *at;

    if (fd < 0)
        return;
    at = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (at != MAP_FAILED)
        control = at;
}

/* The caller's own, so that threads share one sequence without a lock. */
static uint32_t draw(void)
{
    static _Atomic uint32_t state = 2463534242u;
    uint32_t x = atomic_fetch_add(&state, 0x9e3779b9u);

    x ^= x >> 16;
    x *= 0x85ebca6bu;
    x ^= x >> 13;
    x *= 0xc2b2ae35u;
    return (x ^ (x >> 16)) & 0xffff;
}

static int wants_failure(uint32_t call)
{
    if (control == NULL || (atomic_load(&control->calls) & call) == 0)
        return 0;
    if (atomic_fetch_add(&control->seen, 1) < atomic_load(&control->after) || draw() >= atomic_load(&control->chance))
        return 0;
    atomic_fetch_add(&control->failed, 1);
    return 1;
}

static int is_state(int fd)
{
    struct stat st;
    int saved = errno, is;

    is = fd > 2 && fstat(fd, &st) == 0 && (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode));
    errno = saved;
    return is;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int fails(uint32_t call)
{
    if (!wants_failure(call))
        return 0;
    errno = (int)atomic_load(&control->error);
    if (errno == 0)
        errno = EIO; /* only writes can be short */
    return 1;
}

#define SYNC_CALL(name)                                                                                                \
    int name(int fd)                                                                                                   \
    {                                                                                                                  \
        return is_state(fd) && fails(CALL_SYNC) ? -1 : REAL(name)(fd);                                                 \
    }
SYNC_CALL(fsync)
SYNC_CALL(fdatasync)
SYNC_CALL(syncfs)

/* 0: go on; -1: fail; else the count to write instead. */
static ssize_t bent(int fd, size_t n)
{
    if (!is_state(fd) || !wants_failure(CALL_WRITE))
        return 0;
    if (atomic_load(&control->error) == 0)
        return n > 1 ? (ssize_t)(n / 2) : 0;
    errno = (int)atomic_load(&control->error);
    return -1;
}

ssize_t write(int fd, const void *p, size_t n)
{
    ssize_t k = bent(fd, n);

    return k < 0 ? -1 : REAL(write)(fd, p, k > 0 ? (size_t)k : n);
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
    ssize_t k = bent(fd, n);

    return k < 0 ? -1 : REAL(pwrite)(fd, p, k > 0 ? (size_t)k : n, at);
}

#if defined(__GLIBC__)
ssize_t pwrite64(int fd, const void *p, size_t n, off64_t at)
{
    ssize_t k = bent(fd, n);

    return k < 0 ? -1 : REAL(pwrite64)(fd, p, k > 0 ? (size_t)k : n, at);
}
#endif

ssize_t writev(int fd, const struct iovec *iov, int count)
{
    ssize_t k = count > 0 ? bent(fd, iov[0].iov_len) : 0;

    if (k < 0)
        return -1;
    return k > 0 ? REAL(write)(fd, iov[0].iov_base, (size_t)k) : REAL(writev)(fd, iov, count);
}

int rename(const char *from, const char *to)
{
    return fails(CALL_RENAME) ? -1 : REAL(rename)(from, to);
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    return fails(CALL_RENAME) ? -1 : REAL(renameat)(from_dir, from, to_dir, to);
}

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
    return fails(CALL_RENAME) ? -1 : REAL(renameat2)(from_dir, from, to_dir, to, flags);
}

int link(const char *from, const char *to)
{
    return fails(CALL_LINK) ? -1 : REAL(link)(from, to);
}

int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
    return fails(CALL_LINK) ? -1 : REAL(linkat)(from_dir, from, to_dir, to, flags);
}

/* Without O_CREAT nothing is written, and nothing fails. `name` is openat or openat64, which libraries that were built
 * with large files use. */
#define OPEN_CALL(name)                                                                                                \
    int name(int dir, const char *path, int flags, ...)                                                                \
    {                                                                                                                  \
        mode_t mode = 0;                                                                                               \
                                                                                                                       \
        if ((flags & O_CREAT) != 0) {                                                                                  \
            __builtin_va_list args;                                                                                    \
                                                                                                                       \
            __builtin_va_start(args, flags);                                                                           \
            mode = __builtin_va_arg(args, mode_t);                                                                     \
            __builtin_va_end(args);                                                                                    \
            if (fails(CALL_CREATE))                                                                                    \
                return -1;                                                                                             \
        }                                                                                                              \
        return REAL(name)(dir, path, flags, mode);                                                                     \
    }
OPEN_CALL(openat)
#if defined(__GLIBC__)
OPEN_CALL(openat64)
#endif
