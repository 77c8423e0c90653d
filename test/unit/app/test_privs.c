#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "facteur/app/privs.h"
#include "facteur/base/log.h"
#include "facteur/base/mem.h"
#include "facteur/mail/charset.h"
#include "privs_priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/landlock.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* What is given up cannot be had again, so each test is a child; its exit code is the number of the line that failed
 * (modulo 256, and never 0). */
#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            print_error("%s:%d: %s (%s)\n", __FILE__, __LINE__, #condition, e.text);                                   \
            _exit(__LINE__ % 255 + 1);                                                                                 \
        }                                                                                                              \
    } while (0)

struct world {
    char dir[64], state[96], outside[96], config_path[96];
    struct config config;
};

static int world_open(void **state)
{
    struct world *w = mem_zero(sizeof *w);
    struct err e = { 0 };

    (void)snprintf(w->dir, sizeof w->dir, "/tmp/facteur-privs-XXXXXX");
    if (mkdtemp(w->dir) == NULL || chmod(w->dir, 0777) < 0)
        return -1;
    (void)snprintf(w->state, sizeof w->state, "%s/state", w->dir);
    (void)snprintf(w->outside, sizeof w->outside, "%s/outside", w->dir);
    (void)snprintf(w->config_path, sizeof w->config_path, "%s/etc/facteur.yaml", w->dir);
    if (mkdir(w->outside, 0777) < 0 || chmod(w->outside, 0777) < 0)
        return -1;
    w->config.file = w->config_path;
    w->config.state = w->state;
    if (log_open(LOG_TARGET_NONE, NULL, LOG_FORMAT_LOGFMT, LOG_LEVEL_ERROR, &e) < 0)
        return -1;
    *state = w;
    return 0;
}

static int world_shut(void **state)
{
    struct world *w = *state;
    char command[96];

    (void)snprintf(command, sizeof command, "rm -r %s", w->dir);
    if (system(command) != 0)
        return -1;
    mem_free(w);
    return 0;
}

static int in_child(struct world *w, void (*check)(struct world *w))
{
    pid_t child = fork();
    int status = 0;

    assert_true(child >= 0);
    if (child == 0) {
        check(w);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void check_limits(struct world *w)
{
    struct err e = { 0 };
    struct rlimit limit;

    (void)w;
    CHECK(privs_limits(&e) == 0);
    CHECK(getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_max == 0);
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur == limit.rlim_max);
    CHECK(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
    CHECK(umask(0) == 077);
    /* Else the event loop would have a ring, past the filter that comes later. */
    CHECK(syscall(SYS_io_uring_setup, 0, NULL) == -1 && errno == ENOSYS);
}

static void limits_are_set(void **state)
{
    assert_int_equal(in_child(*state, check_limits), 0);
}

static void check_drop(struct world *w)
{
    const struct passwd *nobody = getpwnam("nobody");
    struct privs_confined confined;
    struct err e = { 0 };
    struct stat st;

    CHECK(nobody != NULL);
    CHECK(privs_limits(&e) == 0);
    CHECK(privs_drop(&w->config, &confined, &e) == 0);
    CHECK(getuid() == nobody->pw_uid && geteuid() == nobody->pw_uid && getgid() == nobody->pw_gid);
    CHECK(setuid(0) < 0 && setgid(0) < 0 && setresuid(-1U, 0, -1U) < 0);
    CHECK(stat(w->state, &st) == 0 && st.st_uid == nobody->pw_uid && (st.st_mode & 0777) == 0700);
    CHECK(access("/etc/shadow", R_OK) < 0);
}

static void root_becomes_the_user(void **state)
{
    struct world *w = *state;

    if (geteuid() != 0)
        skip();
    w->config.run_as = "nobody";
    assert_int_equal(in_child(w, check_drop), 0);
}

static void check_refused(struct world *w)
{
    struct privs_confined confined;
    struct err e = { 0 };

    w->config.run_as = "no-such-user-here";
    CHECK(privs_drop(&w->config, &confined, &e) == -ENOENT);
    CHECK(strstr(e.text, "no-such-user-here") != NULL);
    w->config.run_as = "root";
    CHECK(privs_drop(&w->config, &confined, &e) == -EPERM);
    w->config.run_as = NULL;
    if (getpwnam("facteur") == NULL) {
        CHECK(privs_drop(&w->config, &confined, &e) == -ENOENT);
        CHECK(strstr(e.text, "run_as") != NULL && strstr(e.text, "useradd") != NULL);
    }
    CHECK(geteuid() == 0);
}

static void root_without_a_user_is_refused(void **state)
{
    struct world *w = *state;

    if (geteuid() != 0)
        skip();
    assert_int_equal(in_child(w, check_refused), 0);
}

static bool can_make(const char *dir)
{
    char path[128];
    int fd;

    (void)snprintf(path, sizeof path, "%s/file", dir);
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return false;
    close(fd);
    return true;
}

static void check_landlock(struct world *w)
{
    struct privs_confined confined = { 0 };
    char from[128], to[128];
    struct err e = { 0 };

    CHECK(can_make(w->outside)); /* before */
    CHECK(privs_limits(&e) == 0);
    CHECK(privs_drop(&w->config, &confined, &e) == 0);
    CHECK(!can_make(w->outside));
    (void)snprintf(from, sizeof from, "%s/file", w->outside);
    CHECK(open(from, O_RDONLY | O_CLOEXEC) < 0 && errno == EACCES);
    CHECK(can_make(w->state));
    /* spool to Maildir: links and renames between directories */
    (void)snprintf(to, sizeof to, "%s/a", w->state);
    CHECK(mkdir(to, 0700) == 0);
    (void)snprintf(from, sizeof from, "%s/file", w->state);
    (void)snprintf(to, sizeof to, "%s/a/link", w->state);
    CHECK(link(from, to) == 0);
    (void)snprintf(to, sizeof to, "%s/a/renamed", w->state);
    CHECK(rename(from, to) == 0 && truncate(to, 1) == 0 && unlink(to) == 0);
    CHECK(open("/etc/passwd", O_RDONLY | O_CLOEXEC) >= 0);
    CHECK(open("/proc/self/statm", O_RDONLY | O_CLOEXEC) >= 0);
    CHECK(open("/dev/null", O_RDWR | O_CLOEXEC) >= 0);
    CHECK(execl("/bin/true", "true", (char *)NULL) < 0 && errno == (confined.seccomp ? ENOSYS : EACCES));
    CHECK(confined.landlock && confined.seccomp == !CHECKED_BUILD);
}

static void the_rest_of_the_disk_is_out_of_reach(void **state)
{
    struct world *w = *state;

    if (syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) < 2)
        skip();
    if (geteuid() == 0)
        w->config.run_as = "nobody";
    else
        assert_int_equal(mkdir(w->state, 0700), 0);
    assert_int_equal(in_child(w, check_landlock), 0);
}

/* Each of them with no arguments; without the filter some would even succeed. */
static const struct {
    const char *name;
    long number;
} refused_calls[] = {
    { "execve", SYS_execve },
    { "execveat", SYS_execveat },
    { "ptrace", SYS_ptrace },
    { "mount", SYS_mount },
    { "bpf", SYS_bpf },
    { "keyctl", SYS_keyctl },
    { "personality", SYS_personality },
    { "process_vm_readv", SYS_process_vm_readv },
    { "unshare", SYS_unshare },
    { "process_vm_writev", SYS_process_vm_writev },
    { "setuid", SYS_setuid },
    { "perf_event_open", SYS_perf_event_open },
    { "chroot", SYS_chroot },
    { "io_uring_setup", SYS_io_uring_setup },
    { "memfd_create", SYS_memfd_create },
    { "userfaultfd", SYS_userfaultfd },
    { "kill", SYS_kill },
    { "clone3", SYS_clone3 },
};

static void check_refused_calls(struct world *w)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    struct err e = { 0 };
    void *memory;
    char c = 'x';

    (void)w;
    CHECK(privs_limits(&e) == 0);
    CHECK(privs_seccomp_install() == 0);
    for (size_t i = 0; i < sizeof refused_calls / sizeof refused_calls[0]; i++) {
        (void)err_set(&e, 0, "%s", refused_calls[i].name);
        errno = 0;
        CHECK(syscall(refused_calls[i].number, 0, 0, 0, 0, 0, 0) == -1 && errno == ENOSYS);
    }
    CHECK(fork() == -1 && errno == ENOSYS);
    CHECK(syscall(SYS_tgkill, getppid(), getppid(), 0) == -1 && errno == ENOSYS);
    CHECK(syscall(SYS_socket, AF_PACKET, SOCK_RAW, 0) == -1 && errno == ENOSYS);
    CHECK(ioctl(STDIN_FILENO, TIOCSTI, &c) == -1 && errno == ENOSYS);
    CHECK(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == -1 && errno == ENOSYS);
    /* What is written is never run. */
    CHECK(mmap(NULL, page, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED && errno == ENOSYS);
    memory = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    CHECK(mprotect(memory, page, PROT_READ | PROT_EXEC) == -1 && errno == ENOSYS);
    CHECK(mprotect(memory, page, PROT_READ) == 0 && munmap(memory, page) == 0);
}

static void no_programs_and_no_new_code(void **state)
{
    assert_int_equal(in_child(*state, check_refused_calls), 0);
}

static int raised;

static void on_raised(int signum)
{
    raised = signum;
}

static void *sit(void *arg)
{
    return arg;
}

/* Names are what the server does with a message: written, synced, linked, renamed, looked for, removed. */
static void check_file_work(struct world *w, struct err e)
{
    char from[128], to[128];
    struct stat st;
    DIR *dir;
    int fd;

    (void)snprintf(from, sizeof from, "%s/a", w->outside);
    (void)snprintf(to, sizeof to, "%s/b", w->outside);
    fd = open(from, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    CHECK(fd >= 0 && pwrite(fd, "octets", 6, 0) == 6 && ftruncate(fd, 3) == 0 && fsync(fd) == 0 && fdatasync(fd) == 0);
    CHECK(flock(fd, LOCK_EX) == 0 && fstat(fd, &st) == 0 && st.st_size == 3 && futimens(fd, NULL) == 0);
    CHECK(close(fd) == 0 && link(from, to) == 0 && unlink(from) == 0 && rename(to, from) == 0);
    CHECK(chmod(from, 0640) == 0 && access(from, R_OK) == 0 && lstat(from, &st) == 0);
    CHECK(mkdir(to, 0700) == 0 && rmdir(to) == 0);
    dir = opendir(w->outside);
    CHECK(dir != NULL && readdir(dir) != NULL && closedir(dir) == 0);
}

static void check_allowed_calls(struct world *w)
{
    struct charsets *charsets = charsets_load();
    struct ifaddrs *addresses = NULL;
    struct err e = { 0 };
    pthread_t thread;
    struct buf text;
    int fds[2];

    CHECK(privs_limits(&e) == 0);
    CHECK(privs_seccomp_install() == 0);
    check_file_work(w, e);
    CHECK(pthread_create(&thread, NULL, sit, w) == 0 && pthread_join(thread, NULL) == 0);
    CHECK(signal(SIGUSR1, on_raised) != SIG_ERR && raise(SIGUSR1) == 0 && raised == SIGUSR1);
    CHECK(pipe2(fds, O_CLOEXEC) == 0 && ioctl(fds[0], FIONREAD, &fds[1]) == 0);
    CHECK(socket(AF_INET, SOCK_STREAM, 0) >= 0 && socket(AF_UNIX, SOCK_DGRAM, 0) >= 0);
    CHECK(getifaddrs(&addresses) == 0 && sysconf(_SC_OPEN_MAX) > 0);
    freeifaddrs(addresses);
    /* Converters, which the C library has in files of their own. */
    buf_init(&text, 64);
    CHECK(charset_to_utf8(slice_str("koi8-r"), slice_str("\xc1"), &text) == 0 && slice_is(buf_slice(&text), "а"));
    buf_clear(&text);
    CHECK(charset_to_utf8(slice_str("iso-2022-jp"), slice_str("\x1b$B$\"\x1b(B"), &text) == 0 &&
          slice_is(buf_slice(&text), "あ"));
    buf_clear(&text);
    charsets_release(&charsets);
}

static void what_the_server_does_is_allowed(void **state)
{
    assert_int_equal(in_child(*state, check_allowed_calls), 0);
}

static void check_borrow(struct world *w)
{
    const struct passwd *nobody = getpwnam("nobody");
    struct err e = { 0 };

    CHECK(privs_borrow(&w->config, &e) == 0);
    CHECK(geteuid() == nobody->pw_uid && getegid() == nobody->pw_gid);
    CHECK(can_make(w->state));
    privs_return();
    CHECK(geteuid() == 0 && getegid() == getgid());
}

static void a_command_acts_as_the_user(void **state)
{
    struct world *w = *state;

    if (geteuid() != 0)
        skip();
    w->config.run_as = "nobody";
    assert_int_equal(in_child(w, check_borrow), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_open, world_shut)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(limits_are_set),
        TEST(root_becomes_the_user),
        TEST(root_without_a_user_is_refused),
        TEST(the_rest_of_the_disk_is_out_of_reach),
        TEST(no_programs_and_no_new_code),
        TEST(what_the_server_does_is_allowed),
        TEST(a_command_acts_as_the_user),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
