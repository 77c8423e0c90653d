#include "facteur/app/privs.h"

#include "facteur/base/log.h"

#include "privs_priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PASSWD_TEXT = 16 * 1024 };

static int hide_memory(struct err *e)
{
    if (!CHECKED_BUILD && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return err_set(e, -errno, "PR_SET_DUMPABLE: %s", err_text(-errno));
    return 0;
}

int privs_limits(struct err *e)
{
    const struct rlimit none = { 0, 0 };
    struct rlimit files;

    umask(077);
    if (setrlimit(RLIMIT_CORE, &none) < 0)
        return err_set(e, -errno, "RLIMIT_CORE: %s", err_text(-errno));
    if (getrlimit(RLIMIT_NOFILE, &files) < 0)
        return err_set(e, -errno, "RLIMIT_NOFILE: %s", err_text(-errno));
    files.rlim_cur = files.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &files) < 0)
        return err_set(e, -errno, "RLIMIT_NOFILE: %s", err_text(-errno));
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return err_set(e, -errno, "PR_SET_NO_NEW_PRIVS: %s", err_text(-errno));
    privs_forbid_io_uring();
    return hide_memory(e);
}

int privs_find_user(const struct config *c, struct privs_user *ret, struct err *e)
{
    const char *name = c->run_as != NULL ? c->run_as : PRIVS_DEFAULT_USER;
    struct passwd entry, *found = NULL;
    char text[PASSWD_TEXT];
    int code = getpwnam_r(name, &entry, text, sizeof text, &found);

    if (found == NULL && code != 0 && code != ENOENT && code != ESRCH)
        return err_set(e, -code, "looking for the user %s: %s", name, err_text(-code));
    if (found == NULL && c->run_as != NULL)
        return err_set(e, -ENOENT,
                       "%s:%u:%u: run_as: the user %s does not exist on this system: make it (useradd --system --shell "
                       "/usr/sbin/nologin %s), or name another",
                       c->run_as_at.file, c->run_as_at.line, c->run_as_at.column, name, name);
    if (found == NULL)
        return err_set(e, -ENOENT,
                       "started as root without a user to become: make one (useradd --system --shell "
                       "/usr/sbin/nologin " PRIVS_DEFAULT_USER
                       "), or name one with run_as in %s, or start facteur as an "
                       "ordinary user",
                       c->file);
    if (found->pw_uid == 0 || found->pw_gid == 0)
        return err_set(e, -EPERM, "run_as: %s is root or of root's group; name an ordinary user", name);
    *ret = (struct privs_user){ name, found->pw_uid, found->pw_gid };
    return 0;
}

void privs_name(char to[PRIVS_NAME])
{
    struct passwd entry, *found = NULL;
    char text[PASSWD_TEXT];

    if (getpwuid_r(geteuid(), &entry, text, sizeof text, &found) == 0 && found != NULL)
        (void)snprintf(to, PRIVS_NAME, "%s", found->pw_name);
    else
        (void)snprintf(to, PRIVS_NAME, "%u", (unsigned)geteuid());
}

/* Empty (a file system of its own has a lost+found), or a state directory already. */
static bool may_be_taken(int dir)
{
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    const struct dirent *entry;
    bool empty = d != NULL;
    struct stat st;

    if (fd >= 0 && d == NULL)
        close(fd);
    while (d != NULL && empty && (entry = readdir(d)) != NULL)
        empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
                strcmp(entry->d_name, "lost+found") == 0;
    if (d != NULL)
        closedir(d);
    return empty || fstatat(dir, "facteur.lock", &st, AT_SYMLINK_NOFOLLOW) == 0 ||
           fstatat(dir, "queue.db", &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* The state directory is there and, if root made it for facteur, the user's. */
static int give_state(const char *state, const struct privs_user *user, struct err *e)
{
    struct stat st;
    int fd, code = 0;

    if (mkdir(state, 0700) < 0 && errno != EEXIST)
        return err_set(e, -errno, "%s: cannot be made: %s", state, err_text(-errno));
    fd = open(state, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return err_set(e, -errno, "%s: %s", state, err_text(-errno));
    if (fstat(fd, &st) == 0 && st.st_uid == 0 && !may_be_taken(fd))
        code =
            err_set(e, -EPERM,
                    "the state directory %s belongs to root and holds files that are not facteur's: name a directory "
                    "of its own with \"state\"; or, if this one is meant: chown %s %s",
                    state, user->name, state);
    else if (fstat(fd, &st) < 0 || (st.st_uid == 0 && fchown(fd, user->uid, user->gid) < 0))
        code = err_set(e, -errno, "%s: cannot be given to %s: %s", state, user->name, err_text(-errno));
    close(fd);
    return code;
}

/* The log file was opened as root; after a rotation it must be writable for the user. */
static int give_log(const struct config *c, const struct privs_user *user, struct err *e)
{
    struct stat st;
    int fd, code = 0;

    if (c->log.target != LOG_TARGET_FILE || c->log.path == NULL)
        return 0;
    fd = open(c->log.path, O_WRONLY | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return 0; /* log_open has said what there is to say */
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == 0 && st.st_nlink == 1 &&
        fchown(fd, user->uid, user->gid) < 0)
        code = err_set(e, -errno, "%s: cannot be given to %s: %s", c->log.path, user->name, err_text(-errno));
    close(fd);
    return code;
}

static int become(const struct privs_user *user, struct err *e)
{
    if (initgroups(user->name, user->gid) < 0 || setresgid(user->gid, user->gid, user->gid) < 0 ||
        setresuid(user->uid, user->uid, user->uid) < 0)
        return err_set(e, -errno, "cannot become %s: %s", user->name, err_text(-errno));
    if (setresuid(0, 0, 0) == 0 || seteuid(0) == 0 || setresgid(0, 0, 0) == 0 || setegid(0) == 0 || getuid() == 0)
        return err_set(e, -EPERM, "root is still within reach after becoming %s", user->name);
    return 0;
}

int privs_drop(const struct config *c, struct privs_confined *ret, struct err *e)
{
    struct privs_user user = { 0 };

    if (geteuid() == 0 || getuid() == 0) {
        TRY(privs_find_user(c, &user, e));
        TRY(give_state(c->state, &user, e));
        TRY(give_log(c, &user, e));
        TRY(become(&user, e));
        TRY(hide_memory(e)); /* a change of user undoes it */
        LOG(INFO, "privileges", kv_str("user", user.name));
    } else if (mkdir(c->state, 0700) < 0 && errno != EEXIST) { /* what Landlock lets through must be there before */
        int code = -errno;
        char name[PRIVS_NAME];

        privs_name(name);
        return err_set(e, code, "the state directory %s cannot be made: %s; as root: install -d -m 700 -o %s %s",
                       c->state, err_text(code), name, c->state);
    }
    /* SQLite's temporary files are out of reach elsewhere. */
    if (setenv("SQLITE_TMPDIR", c->state, 0) < 0)
        return err_set(e, -errno, "SQLITE_TMPDIR: %s", err_text(-errno));
    ret->landlock = privs_landlock(c);
    ret->seccomp = privs_seccomp();
    return 0;
}

/* --- for commands --- */

enum { GROUPS_MOST = 1024 };

int privs_may_read(const struct privs_user *user, const char *path, bool *ret_reaches)
{
    gid_t own[GROUPS_MOST];
    int count = getgroups(GROUPS_MOST, own), fd = -1, code = 0;
    struct stat st;

    if (count < 0 || initgroups(user->name, user->gid) < 0)
        return -errno;
    if (setegid(user->gid) == 0 && seteuid(user->uid) == 0) {
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        code = fd < 0 ? -errno : 0;
        *ret_reaches = stat(path, &st) == 0 || errno != EACCES;
        if (fd >= 0)
            close(fd);
    } else {
        code = -errno;
    }
    privs_return();
    if (setgroups((size_t)count, own) < 0)
        abort();
    return code;
}

int privs_borrow(const struct config *c, struct err *e)
{
    struct privs_user user = { 0 };
    struct stat st;
    int code = privs_find_user(c, &user, e);

    if (code == 0) {
        code = give_state(c->state, &user, e);
    } else if (c->run_as == NULL && stat(c->state, &st) == 0) { /* a server that nobody starts as root */
        user = (struct privs_user){ "the state directory's owner", st.st_uid, st.st_gid };
        code = 0;
    }
    if (code < 0)
        return code;
    if (setegid(user.gid) < 0 || seteuid(user.uid) < 0) {
        code = err_set(e, -errno, "cannot act as %s: %s", user.name, err_text(-errno));
        privs_return();
    }
    return code;
}

void privs_return(void)
{
    if (seteuid(getuid()) < 0 || setegid(getgid()) < 0)
        abort(); /* a process that does not know who it is must not go on */
}
