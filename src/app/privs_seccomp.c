#include "facteur/base/log.h"

#include "privs_priv.h"

#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What a running facteur and its libraries ask of the kernel: on amd64, i386, arm64 and armhf, with the C libraries of
 * Debian 12 and 13 and what they try first before they fall back. A name that an architecture does not have is no rule
 * there. To everything else the kernel answers ENOSYS, as one does that is too old to have the call: a library that
 * is newer than this table then takes its older way, which a refusal (EPERM) would not make it do. */
static const char *const allowed[] = {
    /* descriptors */
    "close", "close_range", "dup", "dup2", "dup3", "fcntl", "fcntl64", "read", "readv", "pread64", "preadv", "write",
    "writev", "pwrite64", "pwritev", "lseek", "_llseek", "pipe", "pipe2", "eventfd2", "sendfile", "sendfile64",
    "copy_file_range",
    /* files */
    "open", "openat", "openat2", "access", "faccessat", "faccessat2", "stat", "stat64", "lstat", "lstat64", "fstat",
    "fstat64", "fstatat64", "newfstatat", "statx", "statfs", "statfs64", "fstatfs", "fstatfs64", "readlink",
    "readlinkat", "getcwd", "getdents64", "mkdir", "mkdirat", "rmdir", "unlink", "unlinkat", "link", "linkat", "rename",
    "renameat", "renameat2", "chmod", "fchmod", "fchmodat", "fchmodat2", "umask", "utime", "utimes", "utimensat",
    "utimensat_time64", "truncate", "truncate64", "ftruncate", "ftruncate64", "fallocate", "fadvise64", "fadvise64_64",
    "arm_fadvise64_64", "flock", "fsync", "fdatasync", "syncfs", "sync_file_range", "sync_file_range2",
    "arm_sync_file_range", "inotify_init1", "inotify_add_watch", "inotify_rm_watch",
    /* sockets; `socket` itself is below */
    "bind", "listen", "accept", "accept4", "connect", "shutdown", "getsockname", "getpeername", "getsockopt",
    "setsockopt", "send", "sendto", "sendmsg", "sendmmsg", "recv", "recvfrom", "recvmsg", "recvmmsg", "recvmmsg_time64",
    /* waiting */
    "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2", "poll", "ppoll", "ppoll_time64",
    "restart_syscall", "nanosleep", "clock_nanosleep", "clock_nanosleep_time64",
    /* time, chance, and what the machine is */
    "clock_gettime", "clock_gettime64", "clock_getres", "clock_getres_time64", "gettimeofday", "time", "getrandom",
    "uname", "sysinfo", "getcpu", "sched_getaffinity", "getrlimit", "ugetrlimit", "getrusage",
    /* memory and threads; those that could make code are below */
    "brk", "munmap", "mremap", "madvise", "futex", "futex_time64", "rseq", "set_robust_list", "membarrier",
    "sched_yield", "exit", "exit_group",
    /* signals */
    "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigreturn", "sigaltstack",
    /* who this is */
    "getpid", "gettid", "getppid", "getuid", "getuid32", "geteuid", "geteuid32", "getgid", "getgid32", "getegid",
    "getegid32"
};

/* 32-bit systems have a call of that name which takes its arguments from memory, where no rule sees them. */
#ifdef __NR_mmap2
#define MMAP "mmap2"
#else
#define MMAP "mmap"
#endif

enum {
    NAMESPACES =
        CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET
};

/* Calls that are allowed when the bits of `mask` in one argument are `value`; a row for each value. */
struct limit {
    const char *name;
    unsigned argument;
    uint64_t mask, value;
};
static const struct limit limited[] = {
    /* A thread, and neither a process nor a namespace. clone3, whose arguments no rule can see, is left to ENOSYS. */
    { "clone", 0, CLONE_THREAD | NAMESPACES, CLONE_THREAD },
    /* What is written is never run. */
    { MMAP, 2, PROT_EXEC, 0 },
    { "mprotect", 2, PROT_EXEC, 0 },
    /* On i386 the C library makes sockets by socketcall, whose arguments no rule can see either. */
    { "socket", 0, UINT32_MAX, AF_UNIX },
    { "socket", 0, UINT32_MAX, AF_INET },
    { "socket", 0, UINT32_MAX, AF_INET6 },
    { "socket", 0, UINT32_MAX, AF_NETLINK }, /* getifaddrs */
    { "ioctl", 1, UINT32_MAX, FIONBIO },
    { "ioctl", 1, UINT32_MAX, FIOCLEX },
    { "ioctl", 1, UINT32_MAX, FIONCLEX },
    { "ioctl", 1, UINT32_MAX, FIONREAD },
    { "ioctl", 1, UINT32_MAX, TCGETS },      /* isatty */
    { "ioctl", 1, UINT32_MAX, SIOCGIFNAME }, /* resolvers at link-local addresses */
    { "ioctl", 1, UINT32_MAX, SIOCGIFINDEX },
    { "prctl", 0, UINT32_MAX, PR_SET_NAME }, /* threads' names */
    { "prlimit64", 2, UINT64_MAX, 0 },       /* asking, not setting */
};

enum { ALLOWED = sizeof allowed / sizeof allowed[0], LIMITED = sizeof limited / sizeof limited[0] };

static int allow(scmp_filter_ctx filter, const char *name)
{
    int call = seccomp_syscall_resolve_name(name);

    if (call == __NR_SCMP_ERROR)
        return 0; /* the library is older than the call, and whoever makes it falls back */
    return seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 0);
}

static int allow_limited(scmp_filter_ctx filter, const struct limit *l)
{
    const struct scmp_arg_cmp when = { l->argument, SCMP_CMP_MASKED_EQ, l->mask, l->value };

    return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, seccomp_syscall_resolve_name(l->name), 1, &when);
}

static int fill(scmp_filter_ctx filter)
{
    const struct limit itself = { "tgkill", 0, UINT32_MAX, (uint64_t)getpid() }; /* for abort and raise */

    for (size_t i = 0; i < ALLOWED; i++)
        TRY(allow(filter, allowed[i]));
    for (size_t i = 0; i < LIMITED; i++)
        TRY(allow_limited(filter, &limited[i]));
    return allow_limited(filter, &itself);
}

/* Takes the filter; `code`: of what was done to it before. */
static int load(scmp_filter_ctx filter, int code)
{
    if (code == 0) /* a tree, not a row of comparisons: for kernels that do not remember what is always allowed */
        code = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    if (code == 0) /* the kernel's own reason, if it refuses */
        code = seccomp_attr_set(filter, SCMP_FLTATR_API_SYSRAWRC, 1);
    if (code == 0)
        code = seccomp_load(filter);
    seccomp_release(filter);
    return code;
}

static int forbidding = -ECANCELED; /* 0: no rings are made; else why that could not be had */

void privs_forbid_io_uring(void)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);

    if (filter != NULL)
        forbidding = load(filter, seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(io_uring_setup), 0));
}

int privs_seccomp_install(void)
{
    scmp_filter_ctx filter;

    if (forbidding < 0)
        return forbidding;
    filter = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
    return filter == NULL ? -ENOMEM : load(filter, fill(filter));
}

bool privs_seccomp(void)
{
    const char *why = "a checked build";
    int code = -EOPNOTSUPP;

    if (!CHECKED_BUILD) {
        code = privs_seccomp_install();
        why = err_text(code);
    }
    if (code < 0)
        LOG(INFO, "seccomp", kv_str("state", "off"), kv_str("reason", why));
    else
        LOG(INFO, "seccomp", kv_str("state", "on"), kv_num("calls", ALLOWED + LIMITED + 1));
    return code == 0;
}
