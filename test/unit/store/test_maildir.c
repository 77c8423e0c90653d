#include "store/store_test.h"

#include "facteur/base/clock.h"
#include "facteur/base/codec.h"
#include "facteur/store/maildir.h"
#include "facteur/store/sys.h"

#include "maildir_name.h"

#include <sys/time.h>

#define ANNA   "mail/example.org/anna/Maildir"
#define USER   "anna@example.org"
#define BODY   "Return-Path: <>\n\nhello\n"
#define BODY_N (sizeof BODY - 1)

static struct dir state;
static struct maildirs *maildirs;
static struct spool *spool;

static int setup(void **ctx)
{
    (void)ctx;
    dir_make(&state);
    assert_int_equal(maildirs_open(state.path, &maildirs, NULL), 0);
    assert_int_equal(spool_open(state.path, &spool, NULL), 0);
    return 0;
}

static int teardown(void **ctx)
{
    (void)ctx;
    sys = &sys_kernel;
    clock_thaw();
    maildirs_close(&maildirs);
    spool_close(&spool);
    dir_remove(&state);
    return 0;
}

static void reopened(void)
{
    maildirs_close(&maildirs);
    assert_int_equal(maildirs_open(state.path, &maildirs, NULL), 0);
}

static struct maildir_delivery delivery(uint64_t id)
{
    return (struct maildir_delivery){ .user = USER,
                                      .id = id,
                                      .received_ms = 1700000000123,
                                      .body = { BODY, BODY_N },
                                      .size = BODY_N,
                                      .wire_size = BODY_N + 3,
                                      .fd = -1 };
}

static int sync_one(struct maildir_delivery *d)
{
    struct maildir_delivery *const all[] = { d };
    int result = 1;

    maildir_sync(maildirs, all, 1, &result);
    return result;
}

static void deliver(struct maildir_delivery *d)
{
    struct err e = { 0 };

    if (maildir_deliver(maildirs, spool, d, &e) < 0)
        fail_msg("%s", e.text);
    assert_int_equal(sync_one(d), 0);
}

static int count(const char *part)
{
    char path[256];

    (void)snprintf(path, sizeof path, ANNA "/%s", part);
    return dir_count(in_dir(&state, path), NULL);
}

static void check_content(const char *path)
{
    char text[256];

    assert_int_equal(file_read(path, text, sizeof text), BODY_N);
    assert_memory_equal(text, BODY, BODY_N);
}

static void move(const char *from, const char *to)
{
    char a[2048], b[2048];

    (void)snprintf(a, sizeof a, "%s/" ANNA "/%s", state.path, from);
    (void)snprintf(b, sizeof b, "%s/" ANNA "/%s", state.path, to);
    assert_int_equal(rename(a, b), 0);
}

static void spooled(uint64_t id)
{
    int fd = spool_create(spool, id, NULL);

    assert_true(fd >= 0);
    assert_int_equal(sys_write_all(fd, SLICE_LIT(BODY)), 0);
    assert_int_equal(spool_sync(spool, fd, NULL), 0);
    (void)close(fd);
}

static void dir_below(struct dir *d, const char *name)
{
    assert_int_equal(slice_copy(slice_str(in_dir(&state, name)), d->path, sizeof d->path), 0);
}

static void test_delivery(void **ctx)
{
    struct maildir_delivery d = delivery(5);
    struct maildir_name parsed;
    struct stat st;
    char path[1024];

    (void)ctx;
    deliver(&d);
    (void)snprintf(path, sizeof path, "%s/" ANNA "/new/%s", state.path, d.name);
    check_content(path);
    assert_int_equal(count("tmp"), 0);
    assert_int_equal(count("cur"), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(stat(in_dir(&state, ANNA), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    maildir_name_parse(slice_str(d.name), &parsed);
    assert_true(parsed.ours && parsed.has_size);
    assert_int_equal(parsed.id, 5);
    assert_int_equal(parsed.size, BODY_N);
    assert_non_null(strstr(d.name, ",W=26"));
}

static void test_many_recipients_and_mailboxes(void **ctx)
{
    enum { N = 200 };
    struct maildir_delivery d[N];
    struct maildir_delivery *all[N];
    char users[N][32];
    int results[N], before = open_descriptors();

    (void)ctx;
    for (uint32_t i = 0; i < N; i++) {
        (void)snprintf(users[i], sizeof users[i], "user%u@example.org", (unsigned)i % 100);
        d[i] = delivery(7);
        d[i].user = users[i];
        d[i].seq = i;
        all[i] = &d[i];
        assert_int_equal(maildir_deliver(maildirs, spool, &d[i], NULL), 0);
    }
    maildir_sync(maildirs, all, N, results);
    for (size_t i = 0; i < N; i++)
        assert_int_equal(results[i], 0);
    assert_int_equal(dir_count(in_dir(&state, "mail/example.org/user42/Maildir/new"), NULL), 2);
    assert_true(open_descriptors() <= before + 2 * 100); /* bounded; all may be held by one sync */
    {
        struct maildir_delivery one = delivery(8);

        deliver(&one);
    }
    assert_true(open_descriptors() <= before + 2 * 64);
}

static void test_again(void **ctx)
{
    struct maildir_delivery d = delivery(5);
    char from[1400], to[300];

    (void)ctx;
    deliver(&d);
    deliver(&d); /* the same name: over it */
    assert_int_equal(count("new"), 1);
    (void)snprintf(from, sizeof from, "new/%s", d.name);
    (void)snprintf(to, sizeof to, "cur/%s,U=17:2,FS", d.name);
    move(from, to);
    reopened();
    d.maybe_there = true;
    deliver(&d);
    assert_int_equal(count("new"), 0);
    assert_int_equal(count("cur"), 1);
    (void)snprintf(from, sizeof from, "%s/" ANNA "/%s", state.path, to);
    check_content(from); /* under its flags and UID */
    d.seq = 1;           /* another recipient of the message has no copy yet */
    deliver(&d);
    assert_int_equal(count("new"), 1);
}

static unsigned renamings;

/* The owner's session is faster, twice. */
static int renamed_meanwhile(int a_dir, const char *a, int b_dir, const char *b)
{
    char to[300];

    (void)snprintf(to, sizeof to, "%s%u", b, renamings);
    if (renamings < 2) {
        renamings++;
        assert_int_equal(renameat(b_dir, b, b_dir, to), 0);
    }
    return sys_kernel.exchange(a_dir, a, b_dir, b);
}

static void test_renamed_meanwhile(void **ctx)
{
    struct maildir_delivery d = delivery(5);
    struct sys hooked = sys_kernel;
    char from[1400], to[300];

    (void)ctx;
    deliver(&d);
    (void)snprintf(from, sizeof from, "new/%s", d.name);
    (void)snprintf(to, sizeof to, "cur/%s,U=17:2,", d.name);
    move(from, to);
    reopened();
    d.maybe_there = true;
    hooked.exchange = renamed_meanwhile;
    renamings = 0;
    sys = &hooked;
    deliver(&d);
    sys = &sys_kernel;
    assert_int_equal(renamings, 2);
    assert_int_equal(count("new"), 0);
    assert_int_equal(count("cur"), 1);
    assert_int_equal(count("tmp"), 0);
}

static void test_half_copy_is_replaced(void **ctx)
{
    struct maildir_delivery d = delivery(5);
    char path[1024];

    (void)ctx;
    deliver(&d);
    (void)snprintf(path, sizeof path, "%s/" ANNA "/new/%s", state.path, d.name);
    file_write(path, "", 0); /* what a power cut can leave of a file that was not synced */
    (void)snprintf(path, sizeof path, "%s/" ANNA "/tmp/%s", state.path, d.name);
    file_write(path, "ha", 2);
    reopened();
    d.maybe_there = true;
    deliver(&d);
    assert_int_equal(count("new"), 1);
    assert_int_equal(count("tmp"), 0);
    (void)snprintf(path, sizeof path, "%s/" ANNA "/new/%s", state.path, d.name);
    check_content(path);
}

static int no_links(int from_dir, const char *from, int to_dir, const char *to)
{
    (void)from_dir;
    (void)from;
    (void)to_dir;
    (void)to;
    return -EXDEV;
}

static void test_spooled(void **ctx)
{
    struct maildir_delivery d = delivery(9);
    struct sys hooked = sys_kernel;
    struct stat st;
    char path[1024], id[14];

    (void)ctx;
    spooled(9);
    base32_u64(9, id);
    d.spooled = true;
    deliver(&d);
    d.seq = 1;
    deliver(&d);
    deliver(&d); /* again: it is there */
    (void)snprintf(path, sizeof path, "%s/spool/%s", state.path, id);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_nlink, 3);
    hooked.linkat = no_links;
    sys = &hooked;
    d.seq = 2;
    deliver(&d);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_nlink, 3);
    assert_int_equal(count("new"), 3);
    (void)snprintf(path, sizeof path, "%s/" ANNA "/new/%s", state.path, d.name);
    check_content(path);
    assert_int_equal(spool_remove(spool, 9), 0);
    d.seq = 3;
    assert_int_equal(maildir_deliver(maildirs, spool, &d, NULL), -ENOENT);
    assert_int_equal(count("tmp"), 0);
}

/* Shorter or longer than its row says: neither linked nor copied. */
static void test_spooled_of_another_size(void **ctx)
{
    struct maildir_delivery d = delivery(9);
    struct sys hooked = sys_kernel;
    struct err e = { 0 };

    (void)ctx;
    spooled(9);
    d.spooled = true;
    d.size = BODY_N + 1;
    assert_int_equal(maildir_deliver(maildirs, spool, &d, &e), -ENODATA);
    assert_non_null(strstr(e.text, "octets instead of"));
    hooked.linkat = no_links;
    sys = &hooked;
    assert_int_equal(maildir_deliver(maildirs, spool, &d, &e), -ENODATA);
    d.size = BODY_N - 1;
    assert_int_equal(maildir_deliver(maildirs, spool, &d, &e), -ENODATA);
    assert_int_equal(count("new"), 0);
    assert_int_equal(count("tmp"), 0);
}

static int no_sync(int fd)
{
    (void)fd;
    return -EIO;
}

/* Two recipients of one body share one file and one sync, and its failure. */
static void test_twins(void **ctx)
{
    struct maildir_delivery a = delivery(20), b = delivery(20);
    struct maildir_delivery *const both[] = { &a, &b };
    struct sys hooked = sys_kernel;
    int results[2] = { 1, 1 };
    struct stat st;
    char path[1024];

    (void)ctx;
    b.seq = 1;
    b.twin = &a;
    assert_int_equal(maildir_deliver(maildirs, spool, &a, NULL), 0);
    assert_int_equal(maildir_deliver(maildirs, spool, &b, NULL), 0);
    assert_true(a.fd >= 0);
    assert_int_equal(b.fd, -1);
    (void)snprintf(path, sizeof path, "%s/" ANNA "/new/%s", state.path, b.name);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_nlink, 2);
    hooked.fsync = no_sync;
    sys = &hooked;
    maildir_sync(maildirs, both, 2, results);
    sys = &sys_kernel;
    assert_int_equal(results[0], -EIO);
    assert_int_equal(results[1], -EIO);
    assert_int_equal(count("new"), 0);
    b.twin = NULL;
    hooked.linkat = no_links;
    assert_int_equal(maildir_deliver(maildirs, spool, &a, NULL), 0);
    b.twin = &a;
    sys = &hooked;
    hooked.fsync = sys_kernel.fsync;
    assert_int_equal(maildir_deliver(maildirs, spool, &b, NULL), 0);
    assert_true(b.fd >= 0); /* it could not be linked and was written */
    maildir_sync(maildirs, both, 2, results);
    sys = &sys_kernel;
    assert_int_equal(results[0] | results[1], 0);
    assert_int_equal(count("new"), 2);
}

static void test_quota(void **ctx)
{
    struct maildir_delivery d = delivery(1);
    uint64_t octets, messages;
    struct err e = { 0 };

    (void)ctx;
    d.quota = 2 * BODY_N;
    deliver(&d);
    d.id = 2;
    deliver(&d);
    d.id = 3;
    assert_int_equal(maildir_deliver(maildirs, spool, &d, &e), -EDQUOT);
    assert_non_null(strstr(e.text, "full"));
    assert_int_equal(count("new"), 2);
    /* other programs' files, in folders, with and without sizes in their names */
    assert_int_equal(mkdir(in_dir(&state, ANNA "/.Sent"), 0700), 0);
    assert_int_equal(mkdir(in_dir(&state, ANNA "/.Sent/cur"), 0700), 0);
    file_write(in_dir(&state, ANNA "/.Sent/cur/1.x.y,S=1000:2,S"), "abc", 3);
    file_write(in_dir(&state, ANNA "/cur/strange"), "12345", 5);
    file_write(in_dir(&state, ANNA "/cur/1.x.y,S=-5,S=99999999999999999999,S=:2,"), "12345", 5);
    reopened();
    assert_int_equal(maildir_usage(maildirs, USER, &octets, &messages, NULL), 0);
    assert_int_equal(messages, 5);
    assert_int_equal(octets, 2 * BODY_N + 1000 + 5 + 5);
    d.quota = 0;
    deliver(&d);
    assert_int_equal(maildir_usage(maildirs, USER, &octets, &messages, NULL), 0);
    assert_int_equal(messages, 6);
    assert_int_equal(octets, 3 * BODY_N + 1000 + 5 + 5);
    /* its owner makes room; that is seen before the next message is refused */
    (void)unlink(in_dir(&state, ANNA "/.Sent/cur/1.x.y,S=1000:2,S"));
    d.id = 4;
    d.quota = 500;
    clock_freeze(clock_mono_ms() + 60000, clock_wall_ms());
    deliver(&d);
}

static int fail_fsync(int fd)
{
    (void)fd;
    return -EIO;
}

static void test_failed_sync(void **ctx)
{
    struct maildir_delivery d = delivery(3);
    struct sys hooked = sys_kernel;

    (void)ctx;
    deliver(&d);
    d.id = 4;
    assert_int_equal(maildir_deliver(maildirs, spool, &d, NULL), 0);
    hooked.fsync = fail_fsync;
    sys = &hooked;
    assert_int_equal(sync_one(&d), -EIO);
    assert_int_equal(count("new"), 1); /* gone, so that nobody believes in it */
    sys = &sys_kernel;
    d.maybe_there = true;
    deliver(&d);
    assert_int_equal(count("new"), 2);
}

static int whole_syncs, file_syncs, whole_code;

static int count_syncfs(int fd)
{
    (void)fd;
    whole_syncs++;
    return whole_code;
}

static int count_fsync(int fd)
{
    (void)fd;
    file_syncs++;
    return 0;
}

static void sync_many(uint64_t first, struct sys *hooked)
{
    static struct maildir_delivery d[MAILDIR_BULK];
    struct maildir_delivery *all[MAILDIR_BULK];
    int results[MAILDIR_BULK];

    for (size_t i = 0; i < MAILDIR_BULK; i++) {
        d[i] = delivery(first + i);
        all[i] = &d[i];
        assert_int_equal(maildir_deliver(maildirs, spool, &d[i], NULL), 0);
    }
    whole_syncs = file_syncs = 0;
    sys = hooked;
    maildir_sync(maildirs, all, MAILDIR_BULK, results);
    sys = &sys_kernel;
    for (size_t i = 0; i < MAILDIR_BULK; i++) {
        assert_int_equal(results[i], 0);
        assert_int_equal(d[i].fd, -1);
    }
}

/* Many are synced as a whole; when that fails once, each file is asked for itself, for good. */
static void test_bulk(void **ctx)
{
    struct sys hooked = sys_kernel;

    (void)ctx;
    hooked.syncfs = count_syncfs;
    hooked.fsync = count_fsync;
    whole_code = 0;
    sync_many(100, &hooked);
    assert_int_equal(whole_syncs, 1);
    assert_int_equal(file_syncs, 0);
    assert_true(maildir_syncs_at_once(maildirs));
    whole_code = -EIO;
    sync_many(200, &hooked);
    assert_int_equal(whole_syncs, 1);
    assert_int_equal(file_syncs, MAILDIR_BULK + 1);
    assert_false(maildir_syncs_at_once(maildirs));
    whole_code = 0;
    sync_many(300, &hooked);
    assert_int_equal(whole_syncs, 0);
    assert_int_equal(file_syncs, MAILDIR_BULK + 1);
}

static void test_directories_come_back(void **ctx)
{
    struct maildir_delivery d = delivery(3);
    struct dir mail;

    (void)ctx;
    deliver(&d);
    dir_below(&mail, "mail");
    dir_remove(&mail); /* behind our back, with descriptors open */
    d.id = 4;
    deliver(&d);
    assert_int_equal(count("new"), 1);
}

static void test_links_are_refused(void **ctx)
{
    struct maildir_delivery d = delivery(3);
    struct dir other;

    (void)ctx;
    dir_make(&other);
    assert_int_equal(mkdir(in_dir(&state, "mail/example.org"), 0700), 0);
    assert_int_equal(symlink(other.path, in_dir(&state, "mail/example.org/anna")), 0);
    assert_true(maildir_deliver(maildirs, spool, &d, NULL) < 0);
    assert_int_equal(dir_count(other.path, NULL), 0);
    assert_int_equal(unlink(in_dir(&state, "mail/example.org/anna")), 0);
    assert_int_equal(maildir_make(maildirs, USER, NULL), 0);
    assert_int_equal(rmdir(in_dir(&state, ANNA "/new")), 0);
    assert_int_equal(symlink(other.path, in_dir(&state, ANNA "/new")), 0);
    reopened();
    assert_true(maildir_deliver(maildirs, spool, &d, NULL) < 0);
    assert_int_equal(dir_count(other.path, NULL), 0);
    dir_remove(&other);
}

static void test_names(void **ctx)
{
    static const struct {
        const char *user, *path; /* NULL: refused */
    } names[] = {
        { USER, ANNA },
        { "Anna.B+tag@example.org", "mail/example.org/Anna.B+tag/Maildir" },
        { "../../etc/passwd@example.org", "mail/example.org/%2E.%2F..%2Fetc%2Fpasswd/Maildir" },
        { ".@..", "mail/%2E./%2E/Maildir" },
        { "a/b@c/d", "mail/c%2Fd/a%2Fb/Maildir" },
        { "a@b@example.org", "mail/example.org/a%40b/Maildir" },
        { "j\xc3\xb6rg@example.org", "mail/example.org/j%C3%B6rg/Maildir" },
        { "a\x01\x7f%@example.org", "mail/example.org/a%01%7F%25/Maildir" },
        { "nobody", NULL },
        { "@example.org", NULL },
        { "anna@", NULL },
    };
    struct buf path;
    char user[400];

    (void)ctx;
    buf_init(&path, 1024);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        buf_reset(&path);
        assert_int_equal(maildir_path(names[i].user, &path), names[i].path != NULL ? 0 : -EINVAL);
        if (names[i].path != NULL)
            assert_string_equal(buf_cstr(&path), names[i].path);
    }
    memset(user, '!', sizeof user); /* three octets each */
    memcpy(user + 90, "@example.org", sizeof "@example.org");
    buf_reset(&path);
    assert_int_equal(maildir_path(user, &path), -ENAMETOOLONG);
    buf_clear(&path);
}

static void test_parse(void **ctx)
{
    static const struct {
        const char *name;
        bool ours, has_size;
        uint64_t id, seq, size;
    } names[] = {
        { "1700000000.Q0000000000005R2.mx,S=10,W=12", true, true, 5, 2, 10 },
        { "1700000000.Q0000000000005R2.mx,S=10,W=12,U=9:2,FS", true, true, 5, 2, 10 },
        { "1700000000.Q0000000000005R2.mx:2,S=77", true, false, 5, 2, 0 },
        { "1700000000.Q0000000000005R4294967296.mx", false, false, 0, 0, 0 },
        { "1700000000.Q0000000000005R.mx", false, false, 0, 0, 0 },
        { "1700000000.Q000000000000wR2.mx,S=1", false, true, 0, 0, 1 },
        { "x.Q0000000000005R2.mx", false, false, 0, 0, 0 },
        { "1700000000.M5P7.host,S=99999999999999999999", false, false, 0, 0, 0 },
        { "1700000000.M5P7.host,S=12:2,", false, true, 0, 0, 12 },
        { "S=12", false, false, 0, 0, 0 },
        { ",S=12", false, true, 0, 0, 12 },
        { "", false, false, 0, 0, 0 },
        { ":", false, false, 0, 0, 0 },
    };

    (void)ctx;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct maildir_name n;

        maildir_name_parse(slice_str(names[i].name), &n);
        assert_int_equal(n.ours, names[i].ours);
        assert_int_equal(n.has_size, names[i].has_size);
        assert_int_equal(n.id, names[i].id);
        assert_int_equal(n.seq, names[i].seq);
        assert_int_equal(n.size, names[i].size);
    }
}

static void test_sweep(void **ctx)
{
    const struct timeval old[2] = { { 1000000000, 0 }, { 1000000000, 0 } };
    struct timeval soon[2] = { { 0, 0 }, { 0, 0 } };

    (void)ctx;
    assert_int_equal(maildir_make(maildirs, USER, NULL), 0);
    assert_int_equal(mkdir(in_dir(&state, ANNA "/.Sent"), 0700), 0);
    assert_int_equal(mkdir(in_dir(&state, ANNA "/.Sent/tmp"), 0700), 0);
    file_write(in_dir(&state, ANNA "/tmp/old"), "x", 1);
    file_write(in_dir(&state, ANNA "/tmp/young"), "x", 1);
    file_write(in_dir(&state, ANNA "/new/old"), "x", 1);
    file_write(in_dir(&state, ANNA "/.Sent/tmp/old"), "x", 1);
    assert_int_equal(utimes(in_dir(&state, ANNA "/tmp/old"), old), 0);
    assert_int_equal(utimes(in_dir(&state, ANNA "/new/old"), old), 0);
    assert_int_equal(utimes(in_dir(&state, ANNA "/.Sent/tmp/old"), old), 0);
    assert_int_equal(maildirs_sweep(maildirs, NULL), 0); /* old messages that were put there just now */
    clock_freeze(0, clock_wall_ms() + (int64_t)48 * 3600 * 1000);
    soon[0].tv_sec = soon[1].tv_sec = clock_wall_ms() / 1000;
    assert_int_equal(utimes(in_dir(&state, ANNA "/tmp/young"), soon), 0);
    assert_int_equal(maildirs_sweep(maildirs, NULL), 2);
    clock_thaw();
    assert_int_equal(count("tmp"), 1);
    assert_int_equal(count("new"), 1);
}

/* The n-th call fails. */
static struct {
    int at, code;
    bool reached;
} plan;

static int strikes(void)
{
    if (plan.at == 0 || --plan.at > 0)
        return 0;
    plan.reached = true;
    return plan.code;
}

static int f_openat(int dir, const char *name, int flags, mode_t mode)
{
    int r = strikes();

    return r < 0 ? r : sys_kernel.openat(dir, name, flags, mode);
}
static ssize_t f_writev(int fd, const struct iovec *iov, int n)
{
    int r = strikes();
    struct iovec less = iov[0];

    (void)n;
    if (r < 0 && r != -EINTR)
        return r;
    less.iov_len = less.iov_len > 3 ? 3 : less.iov_len; /* every write is short */
    return sys_kernel.writev(fd, &less, 1);
}
static ssize_t f_pread(int fd, void *to, size_t n, off_t at)
{
    int r = strikes();

    return r < 0 ? r : sys_kernel.pread(fd, to, n, at);
}
static int f_fsync(int fd)
{
    int r = strikes();

    (void)fd;
    return r;
}
static int f_renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    int r = strikes();

    return r < 0 ? r : sys_kernel.renameat(from_dir, from, to_dir, to);
}
static int f_linkat(int from_dir, const char *from, int to_dir, const char *to)
{
    int r = strikes();

    return r < 0 ? r : sys_kernel.linkat(from_dir, from, to_dir, to);
}
static int f_mkdirat(int dir, const char *name, mode_t mode)
{
    int r = strikes();

    return r < 0 ? r : sys_kernel.mkdirat(dir, name, mode);
}

static void fault_run(int code, bool use_spool)
{
    struct sys hooked = sys_kernel;
    int before = open_descriptors();

    hooked.openat = f_openat;
    hooked.writev = f_writev;
    hooked.pread = f_pread;
    hooked.fsync = f_fsync;
    hooked.renameat = f_renameat;
    hooked.linkat = f_linkat;
    hooked.mkdirat = f_mkdirat;
    for (int at = 1;; at++) {
        struct maildir_delivery d = delivery(11);
        struct dir mail;
        struct err e = { 0 };
        char path[1024];
        int r;

        d.spooled = use_spool;
        sys = &hooked;
        plan.at = at;
        plan.code = code;
        plan.reached = false;
        r = maildir_deliver(maildirs, spool, &d, &e);
        assert_true(r == 0 || e.text[0] != '\0');
        if (r == 0)
            r = sync_one(&d);
        plan.at = 0;
        sys = &sys_kernel;
        (void)snprintf(path, sizeof path, "%s/" ANNA "/new/%s", state.path, d.name);
        if (r == 0)
            check_content(path);
        else
            assert_int_equal(access(path, F_OK), -1); /* nothing half, nothing doubtful */
        d.maybe_there = true;
        deliver(&d); /* the service returns with the disk */
        check_content(path);
        assert_int_equal(count("new"), 1);
        assert_int_equal(count("tmp"), 0);
        reopened();
        assert_int_equal(open_descriptors(), before);
        dir_below(&mail, "mail/example.org");
        dir_remove(&mail);
        if (!plan.reached) {
            assert_true(at > 10);
            break;
        }
    }
}

static void test_faults(void **ctx)
{
    static const int codes[] = { -EIO, -ENOSPC, -EMFILE };

    (void)ctx;
    spooled(11);
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        fault_run(codes[i], false);
        fault_run(codes[i], true);
    }
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_delivery),
        TEST(test_many_recipients_and_mailboxes),
        TEST(test_again),
        TEST(test_renamed_meanwhile),
        TEST(test_half_copy_is_replaced),
        TEST(test_spooled),
        TEST(test_spooled_of_another_size),
        TEST(test_twins),
        TEST(test_quota),
        TEST(test_failed_sync),
        TEST(test_bulk),
        TEST(test_directories_come_back),
        TEST(test_links_are_refused),
        TEST(test_names),
        TEST(test_parse),
        TEST(test_sweep),
        TEST(test_faults),
    };

    if (access("/dev/shm", W_OK) == 0) /* faults are made, not waited for */
        (void)setenv("TMPDIR", "/dev/shm", 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
