#include "facteur/base/log.h"
#include "facteur/base/mem.h"

#include "privs_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Rights of later versions than the oldest kernel header that we build with. */
#ifndef LANDLOCK_ACCESS_FS_REFER
#define LANDLOCK_ACCESS_FS_REFER (1ULL << 13)
#endif
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14)
#endif

#define FILE_RIGHTS                                                                                                    \
    (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE |                       \
     LANDLOCK_ACCESS_FS_TRUNCATE)
#define READ_RIGHTS (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define FIRST_RIGHTS                                                                                                   \
    (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE | READ_RIGHTS | LANDLOCK_ACCESS_FS_REMOVE_DIR |        \
     LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR |                     \
     LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |                       \
     LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM)

struct ruleset {
    int fd;
    uint64_t handled;
    int code; /* of the first rule that failed */
};

/* What the libraries read: resolver and CA files, time zones, shared objects (libgcc at a thread's end), and what the
 * status tells of the process. Secrets of containers and systemd are read again at a reload. */
static const char *const system_places[] = { "/etc",         "/usr",           "/lib",
                                             "/lib64",       "/proc",          "/run/systemd/resolve",
                                             "/run/secrets", "/run/resolvconf" };

static void allow(struct ruleset *r, const char *path, uint64_t rights)
{
    struct landlock_path_beneath_attr rule = { 0 };
    struct stat st;
    int fd = path != NULL ? open(path, O_PATH | O_CLOEXEC) : -1;

    if (fd < 0)
        return; /* what is not there needs no right */
    if (fstat(fd, &st) == 0 && !S_ISDIR(st.st_mode))
        rights &= FILE_RIGHTS;
    rule.allowed_access = rights & r->handled;
    rule.parent_fd = fd;
    if (rule.allowed_access != 0 && syscall(SYS_landlock_add_rule, r->fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0 &&
        r->code == 0)
        r->code = -errno;
    close(fd);
}

/* A file's directory: "." for a bare name, "/" for one in the root. Changes the path. */
static const char *directory_of(char *path)
{
    char *slash = strrchr(path, '/');

    if (slash == NULL)
        return ".";
    slash[slash == path ? 1 : 0] = '\0';
    return path;
}

/* The directory that a file is in, and the one behind its symbolic links. */
static void allow_around(struct ruleset *r, const char *path, uint64_t rights)
{
    char *copy, *real;

    if (path == NULL)
        return;
    copy = mem_str(path);
    allow(r, directory_of(copy), rights);
    mem_free(copy);
    real = realpath(path, NULL);
    if (real != NULL)
        allow(r, directory_of(real), rights);
    free(real);
}

static void allow_config(struct ruleset *r, const struct config *c)
{
    const uint64_t write = r->handled & ~(uint64_t)LANDLOCK_ACCESS_FS_EXECUTE;

    allow_around(r, c->file, READ_RIGHTS);
    allow_around(r, c->users_file, READ_RIGHTS);
    for (size_t i = 0; i < c->tls.pair_count; i++) {
        allow_around(r, c->tls.pairs[i].certificate, READ_RIGHTS);
        allow_around(r, c->tls.pairs[i].key, READ_RIGHTS);
    }
    allow_around(r, c->tls.ca, READ_RIGHTS);
    allow_around(r, getenv("SSL_CERT_FILE"), READ_RIGHTS);
    allow(r, getenv("CREDENTIALS_DIRECTORY"), READ_RIGHTS);
    for (size_t i = 0; i < sizeof system_places / sizeof system_places[0]; i++)
        allow(r, system_places[i], READ_RIGHTS);
    allow(r, "/dev/null", READ_RIGHTS | LANDLOCK_ACCESS_FS_WRITE_FILE);
    allow(r, "/dev/urandom", READ_RIGHTS);
    allow(r, c->state, write);
    if (c->log.target == LOG_TARGET_FILE)
        allow_around(r, c->log.path, write);
    for (size_t i = 0; i < c->listener_count; i++)
        if (strncmp(c->listeners[i].address, "unix:", 5) == 0)
            allow_around(r, c->listeners[i].address + 5, LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_REMOVE_FILE);
}

static void log_without(const char *why)
{
    LOG(INFO, "landlock", kv_str("state", "off"), kv_str("reason", why));
}

bool privs_landlock(const struct config *c)
{
    struct landlock_ruleset_attr attr = { .handled_access_fs = FIRST_RIGHTS | LANDLOCK_ACCESS_FS_REFER };
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    struct ruleset r = { 0 };

    if (version < 0) {
        log_without(err_text(-errno));
        return false;
    }
    if (version < 2) {
        log_without("the kernel has only its first version");
        return false;
    }
    if (version >= 3)
        attr.handled_access_fs |= LANDLOCK_ACCESS_FS_TRUNCATE;
    r.handled = attr.handled_access_fs;
    r.fd = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof attr.handled_access_fs, 0);
    if (r.fd < 0) {
        log_without(err_text(-errno));
        return false;
    }
    allow_config(&r, c);
    if (r.code == 0 && syscall(SYS_landlock_restrict_self, r.fd, 0) < 0)
        r.code = -errno;
    close(r.fd);
    if (r.code < 0)
        log_without(err_text(r.code));
    else
        LOG(INFO, "landlock", kv_str("state", "on"), kv_num("version", version));
    return r.code == 0;
}
