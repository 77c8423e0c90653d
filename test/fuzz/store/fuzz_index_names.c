/* Any octets as names of files in a Maildir, with an index and without: no file is lost, each message has a UID of its
 * own, and a second look, a new index and our own renaming change nothing about that. Each line of the input is a name;
 * 'n' or 'c' before it says where the file is, 'r' makes the index anew. */
#include "facteur/base/mem.h"
#include "facteur/store/index.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define USER "a@b"
#define BOX  "mail/b/a/Maildir"

enum { NAMES = 40 };

static void check(bool ok)
{
    if (!ok)
        abort();
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static const char *join(const char *dir, const char *name)
{
    static char path[1024];

    (void)snprintf(path, sizeof path, "%s/" BOX "/%s", dir, name);
    return path;
}

/* Files that are messages; the hidden are none. */
static size_t count_files(const char *dir)
{
    static const char *const parts[] = { "cur", "new" };
    size_t n = 0;

    for (size_t i = 0; i < 2; i++) {
        DIR *d = opendir(join(dir, parts[i]));
        const struct dirent *entry;

        check(d != NULL);
        while ((entry = readdir(d)) != NULL)
            n += entry->d_name[0] != '.';
        (void)closedir(d);
    }
    return n;
}

/* Looks until nothing changes any more, then reads the list. */
static size_t look(struct index *x, uint32_t folder, uint32_t *uids)
{
    struct mailbox_changes c = { 0 };
    size_t n;
    int r;

    do {
        r = index_sync(x, folder, true, &c, NULL);
        check(r >= 0);
    } while (r == MORE);
    mailbox_changes_clear(&c);
    check(index_load(x, folder, &c, NULL) == 0);
    n = c.count;
    for (size_t i = 0; i < n; i++) {
        check(i == 0 || c.messages[i].uid > c.messages[i - 1].uid);
        check(c.messages[i].uid < c.uidnext);
        uids[i] = c.messages[i].uid;
    }
    mailbox_changes_clear(&c);
    return n;
}

static void make_files(const char *dir, struct slice in)
{
    const struct timespec complete[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = 1600000000 } };
    struct slice line;

    for (size_t i = 0; i < NAMES && in.n > 0; i++) {
        char name[300] = "cur/";
        int fd;

        (void)slice_cut(&in, '\n', &line);
        if (line.n < 2 || line.n > 256 || memchr(line.p, '/', line.n) != NULL || memchr(line.p, '\0', line.n) != NULL)
            continue;
        memcpy(name, line.p[0] == 'n' ? "new/" : "cur/", 4);
        memcpy(name + 4, line.p + 1, line.n - 1);
        name[4 + line.n - 1] = '\0';
        fd = openat(AT_FDCWD, join(dir, name), O_WRONLY | O_CREAT | O_EXCL, 0600);
        if (fd < 0)
            continue;
        check(write(fd, "a: b\n\nc\n", 8) == 8);
        check(futimens(fd, complete) == 0);
        (void)close(fd);
    }
}

static void store_all(struct index *x, uint32_t folder)
{
    struct index_store op = { .how = FLAGS_REPLACE, .flags = 0x3f };
    struct ranges all = { 0 }, modified = { 0 };
    struct mailbox_changes c = { 0 };
    uint32_t from = 0;
    int r;

    check(ranges_add(&all, 1, UINT32_MAX) == 0);
    do {
        r = index_store(x, folder, &all, &from, &op, &c, &modified, NULL);
        check(r >= 0);
    } while (r == MORE);
    mailbox_changes_clear(&c);
    ranges_clear(&all);
}

static struct index *open_index(struct maildirs *m, const char *dir, uint32_t *folder)
{
    static const struct index_options options = { .keywords = 64, .folders = 20, .uid_block = 100 };
    struct index *x = NULL;
    struct index_folder f;

    check(index_open(m, dir, USER, &options, &x, NULL) == 0);
    check(index_folder(x, SLICE_LIT("INBOX"), &f, NULL) == 0);
    *folder = f.id;
    return x;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = { (const char *)data, size }, first;
    char dir[64] = "/dev/shm/facteur-fuzz-XXXXXX";
    uint32_t uids[NAMES + 1], again[NAMES + 1], folder;
    struct maildirs *m = NULL;
    struct index *x;
    size_t n, before;

    if (mkdtemp(dir) == NULL) {
        (void)snprintf(dir, sizeof dir, "/tmp/facteur-fuzz-XXXXXX");
        check(mkdtemp(dir) != NULL);
    }
    check(maildirs_open(dir, &m, NULL) == 0);
    check(maildir_make(m, USER, NULL) == 0);
    if (slice_cut(&in, '\r', &first)) { /* these are there when the index is made, the others come after it */
        make_files(dir, first);
        x = open_index(m, dir, &folder);
        (void)look(x, folder, uids);
        index_close(&x);
    } else {
        in = first;
    }
    make_files(dir, in);
    before = count_files(dir);
    check(before <= 2 * NAMES);
    if (before > NAMES)
        goto end;
    x = open_index(m, dir, &folder);
    n = look(x, folder, uids);
    check(n == before && count_files(dir) == n);
    store_all(x, folder);
    check(look(x, folder, again) == n && memcmp(uids, again, n * sizeof uids[0]) == 0);
    check(index_rebuild(x, NULL) == 0);
    check(look(x, folder, again) == n && memcmp(uids, again, n * sizeof uids[0]) == 0);
    check(count_files(dir) == n);
    index_close(&x);
end:
    maildirs_close(&m);
    (void)nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    return 0;
}
