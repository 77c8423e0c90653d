#include "facteur/conf/userfile.h"

#include "load_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { KEY_SIZE = LIMIT_LOCAL_PART + LIMIT_DOMAIN + 3, HASHES_MOST = 16, PATH_MOST = 4096 };

static const char first_lines[] =
    "# The users that \"facteur user\" keeps. Written as in \"users\" of the policy file;\n"
    "# edit it as you like, comments stay.\n";

/* A users file being changed: its text, and the tree of it. */
struct userfile {
    char path[PATH_MOST]; /* behind symbolic links */
    int dir;              /* its directory, locked while we work */
    bool is_new;
    struct buf text;
    struct arena tree;
    struct problems problems;
    struct node *root;
};

static void userfile_close(struct userfile *f)
{
    buf_wipe(&f->text);
    arena_wipe(&f->tree);
    problems_clear(&f->problems);
    if (f->dir >= 0)
        (void)close(f->dir); /* unlocks it */
}

static int parse(struct userfile *f, struct err *e)
{
    struct conf_problems told = { 0 };
    int code = yaml_read(&f->tree, f->path, buf_slice(&f->text), &f->problems, &f->root);

    if (code < 0 || f->problems.count > 0) {
        problems_tell(&f->problems, f->path, &told);
        (void)err_set(e, -EINVAL, "%.*s", (int)strcspn(buf_cstr(&told.text), "\n"), buf_cstr(&told.text));
        conf_problems_clear(&told);
        return -EINVAL;
    }
    if (!node_is_null(f->root) && (f->root->kind != NODE_MAP || f->root->flow))
        return err_set(e, -EINVAL, "%s: expected one user under the other, as \"anna@example.org:\"; edit it by hand",
                       f->path);
    return 0;
}

static int lock_directory(struct userfile *f, struct err *e)
{
    char dir[PATH_MOST];
    const char *slash = strrchr(f->path, '/');
    size_t n = slash == NULL ? 0 : slash == f->path ? 1 : (size_t)(slash - f->path);

    memcpy(dir, n > 0 ? f->path : ".", n > 0 ? n : 1);
    dir[n > 0 ? n : 1] = '\0';
    f->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (f->dir < 0 || flock(f->dir, LOCK_EX) < 0)
        return err_set(e, -errno, "%s: %s", dir, err_text(-errno));
    return 0;
}

static int userfile_open(struct userfile *f, const char *path, struct err *e)
{
    char *real = realpath(path, NULL);
    int code = slice_copy(slice_str(real != NULL ? real : path), f->path, sizeof f->path);

    free(real);
    f->dir = -1;
    if (code < 0)
        return err_set(e, -ENAMETOOLONG, "%s: the path is too long", path);
    TRY(lock_directory(f, e));
    code = file_read(f->path, YAML_MOST, false, &f->text, e);
    f->is_new = code == -ENOENT;
    if (f->is_new) {
        buf_init(&f->text, YAML_MOST);
        code = buf_adds(&f->text, first_lines);
    } else if (code < 0) {
        return err_wrap(e, "%s", f->path);
    }
    return code < 0 ? code : parse(f, e);
}

/* The octet at which a character begins. */
static size_t offset_of(const struct userfile *f, size_t character)
{
    size_t i = 0;

    for (; i < f->text.n; i++) {
        if (((unsigned char)f->text.p[i] & 0xc0) == 0x80)
            continue;
        if (character-- == 0)
            break;
    }
    return i;
}

static int exchange(struct userfile *f, size_t start, size_t end, struct slice with)
{
    struct buf made;
    int code;

    buf_init(&made, YAML_MOST);
    code = buf_add(&made, f->text.p, start);
    if (code == 0)
        code = buf_add(&made, with.p, with.n);
    if (code == 0)
        code = buf_add(&made, f->text.p + end, f->text.n - end);
    if (code < 0) {
        buf_clear(&made);
        return code;
    }
    buf_wipe(&f->text);
    f->text = made;
    return 0;
}

/* The user's key form; a name that the loader would refuse is refused here too. */
static int name_key(const char *name, char key[KEY_SIZE], struct err *e)
{
    struct address address;

    if (address_parse(slice_str(name), 0, &address) < 0 || strpbrk(address.local, " \"\\@,:;<>()[]") != NULL)
        return err_set(e, -EINVAL, "\"%s\" is no address for a user, expected one such as anna@example.org", name);
    address_key(&address, key);
    return 0;
}

static const struct node *find_user(const struct userfile *f, const char *key)
{
    char other[KEY_SIZE];
    struct address address;

    for (const struct node *n = f->root->kind == NODE_MAP ? f->root->first : NULL; n != NULL; n = n->next) {
        if (address_parse(n->key, ADDRESS_UTF8, &address) < 0)
            continue;
        address_key(&address, other);
        if (strcmp(key, other) == 0)
            return n;
    }
    return NULL;
}

/* The hashes on one line: "a", or ["a", "b"]. No known hash has a character that quotes would need escaped. */
static int put_hashes(struct buf *out, const char *const *hashes, size_t count, struct err *e)
{
    if (count == 0 || count > HASHES_MOST)
        return err_set(e, -EINVAL, "1 to %d password hashes are needed", HASHES_MOST);
    TRY(buf_adds(out, count > 1 ? "[" : ""));
    for (size_t i = 0; i < count; i++) {
        if (!hash_is_known(slice_str(hashes[i])))
            return err_set(e, -EINVAL, "this is no password hash that is known here");
        TRY(buf_addf(out, "%s\"%s\"", i > 0 ? ", " : "", hashes[i]));
    }
    return buf_adds(out, count > 1 ? "]" : "");
}

static int write_all(int fd, struct slice text)
{
    while (text.n > 0) {
        ssize_t n = write(fd, text.p, text.n);

        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0)
            text = slice_skip(text, (size_t)n);
    }
    return 0;
}

/* It gets the old file's mode and owner; a first one the directory's owner, and nobody else reads the hashes. */
static int write_beside(struct userfile *f, int fd)
{
    struct stat like;

    TRY(write_all(fd, buf_slice(&f->text)));
    if ((f->is_new ? fstat(f->dir, &like) : stat(f->path, &like)) < 0)
        return -errno;
    if (!f->is_new && fchmod(fd, like.st_mode & 07777) < 0)
        return -errno;
    if (fchown(fd, like.st_uid, like.st_gid) < 0 && errno != EPERM)
        return -errno;
    return fsync(fd) < 0 ? -errno : 0;
}

static int replace(struct userfile *f, struct err *e)
{
    char beside[PATH_MOST + 8];
    int fd, code;

    (void)snprintf(beside, sizeof beside, "%s.XXXXXX", f->path);
    fd = mkostemp(beside, O_CLOEXEC);
    if (fd < 0)
        return err_set(e, -errno, "%s: %s", beside, err_text(-errno));
    code = write_beside(f, fd);
    if (close(fd) < 0 && code == 0)
        code = -errno;
    if (code == 0 && rename(beside, f->path) < 0)
        code = -errno;
    if (code < 0) {
        (void)unlink(beside);
        return err_set(e, code, "%s: %s", f->path, err_text(code));
    }
    if (fsync(f->dir) < 0)
        return err_set(e, -errno, "%s: %s", f->path, err_text(-errno));
    return 0;
}

/* Reads the changed text again before it counts: whatever went wrong, the old file is better than a broken one. */
static int check_and_replace(struct userfile *f, const char *key, bool there, struct err *e)
{
    arena_clear(&f->tree);
    TRY(parse(f, e));
    if ((find_user(f, key) != NULL) != there)
        return err_set(e, -EINVAL, "%s: its form is too unusual to be changed here; edit it by hand", f->path);
    return replace(f, e);
}

/* Quotes, unless the name is plain in YAML whatever stands around it; it holds no quote itself. */
static const char *quote_for(const char *key)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyz0123456789._+-@";
    bool starts_plain = strspn(key, "abcdefghijklmnopqrstuvwxyz0123456789") > 0;

    return starts_plain && key[strspn(key, plain)] == '\0' ? "" : "\"";
}

static int append_user(struct userfile *f, const char *key, struct slice hashes)
{
    int indent = f->root->kind == NODE_MAP ? (int)f->root->at.column - 1 : 0;
    const char *quote = quote_for(key);

    if (f->text.n > 0 && f->text.p[f->text.n - 1] != '\n')
        TRY(buf_addc(&f->text, '\n'));
    return buf_addf(&f->text, "%*s%s%s%s:\n%*spassword: %.*s\n", indent, "", quote, key, quote, indent + 2, "",
                    SLICE_ARG(hashes));
}

static int change_password(struct userfile *f, const struct node *user, struct slice hashes)
{
    const struct node *password = node_get(user, "password");
    int indent = (int)user->key_at.column - 1;
    struct span span = { user->key_span.end, user->span.end };
    struct buf with;
    int code;

    buf_init(&with, YAML_MOST);
    if (password != NULL) {
        span = (struct span){ password->key_span.end, password->span.end };
        code = buf_addf(&with, ": %.*s", SLICE_ARG(hashes));
    } else if (user->kind == NODE_MAP && user->count > 0) {
        span = (struct span){ user->first->key_span.start, user->first->key_span.start };
        if (user->flow)
            code = buf_addf(&with, "password: %.*s, ", SLICE_ARG(hashes));
        else
            code = buf_addf(&with, "password: %.*s\n%*s", SLICE_ARG(hashes), (int)user->first->key_at.column - 1, "");
    } else {
        code = buf_addf(&with, ":\n%*spassword: %.*s", indent + 2, "", SLICE_ARG(hashes));
    }
    if (code == 0)
        code = exchange(f, offset_of(f, span.start), offset_of(f, span.end), buf_slice(&with));
    buf_clear(&with);
    return code;
}

/* Whole lines: from the name's to the last of its value. */
static int remove_user(struct userfile *f, const struct node *user)
{
    size_t start = offset_of(f, user->key_span.start), end = offset_of(f, user->span.end);

    while (start > 0 && f->text.p[start - 1] != '\n')
        start--;
    while (end < f->text.n && f->text.p[end] != '\n')
        end++;
    return exchange(f, start, end < f->text.n ? end + 1 : end, slice_make("", 0));
}

static int put_user(const char *path, const char *name, const char *const *hashes, size_t count, bool is_new,
                    struct err *e)
{
    struct userfile f = { .dir = -1 };
    char key[KEY_SIZE];
    struct buf value;
    const struct node *user;
    int code;

    buf_init(&value, YAML_MOST);
    code = name_key(name, key, e);
    if (code == 0)
        code = put_hashes(&value, hashes, count, e);
    if (code == 0)
        code = userfile_open(&f, path, e);
    if (code == 0) {
        user = find_user(&f, key);
        if (is_new && user != NULL)
            code = err_set(e, -EEXIST, "%s is there already", key);
        else if (!is_new && user == NULL)
            code = err_set(e, -ENOENT, "there is no user %s in %s", key, f.path);
        else
            code = is_new ? append_user(&f, key, buf_slice(&value)) : change_password(&f, user, buf_slice(&value));
        if (code == -ENOBUFS)
            code = err_set(e, -EFBIG, "%s: the file would be too large", f.path);
    }
    if (code == 0)
        code = check_and_replace(&f, key, true, e);
    userfile_close(&f);
    buf_clear(&value);
    return code;
}

int userfile_add(const char *path, const char *name, const char *const *hashes, size_t count, struct err *e)
{
    return put_user(path, name, hashes, count, true, e);
}

int userfile_set_password(const char *path, const char *name, const char *const *hashes, size_t count, struct err *e)
{
    return put_user(path, name, hashes, count, false, e);
}

int userfile_delete(const char *path, const char *name, struct err *e)
{
    struct userfile f = { .dir = -1 };
    char key[KEY_SIZE];
    const struct node *user;
    int code = name_key(name, key, e);

    if (code == 0)
        code = userfile_open(&f, path, e);
    if (code == 0) {
        user = find_user(&f, key);
        code = user == NULL ? err_set(e, -ENOENT, "there is no user %s in %s", key, f.path) : remove_user(&f, user);
    }
    if (code == 0)
        code = check_and_replace(&f, key, false, e);
    userfile_close(&f);
    return code;
}
