#include "store/store_test.h"

#include "facteur/base/codec.h"
#include "facteur/store/spool.h"
#include "facteur/store/sys.h"

#include <sys/time.h>

static struct dir state;
static struct spool *spool;

static int setup(void **ctx)
{
    (void)ctx;
    dir_make(&state);
    assert_int_equal(spool_open(state.path, &spool, NULL), 0);
    return 0;
}

static int teardown(void **ctx)
{
    (void)ctx;
    sys = &sys_kernel;
    spool_close(&spool);
    dir_remove(&state);
    return 0;
}

static void test_life(void **ctx)
{
    char text[64];
    int fd = spool_create(spool, 42, NULL);
    struct err e = { 0 };

    (void)ctx;
    assert_true(fd >= 0);
    assert_int_equal(sys_write_all(fd, SLICE_LIT("body")), 0);
    assert_int_equal(spool_sync(spool, fd, NULL), 0);
    (void)close(fd);
    assert_int_equal(spool_create(spool, 42, &e), -EEXIST); /* nobody's body is written over */
    assert_true(e.text[0] != '\0');
    fd = spool_read_open(spool, 42, NULL);
    assert_true(fd >= 0);
    assert_int_equal(sys->pread(fd, text, sizeof text, 0), 4);
    assert_memory_equal(text, "body", 4);
    (void)close(fd);
    assert_int_equal(spool_remove(spool, 42), 0);
    assert_int_equal(spool_remove(spool, 42), 0);
    assert_int_equal(spool_read_open(spool, 42, NULL), -ENOENT);
    assert_true(spool_free_octets(spool) > 0);
}

static void aged(uint64_t id)
{
    const struct timeval old[2] = { { 1000000000, 0 }, { 1000000000, 0 } };
    char name[14], path[400];
    int fd = spool_create(spool, id, NULL);

    (void)close(fd);
    base32_u64(id, name);
    (void)snprintf(path, sizeof path, "%s/spool/%s", state.path, name);
    assert_int_equal(utimes(path, old), 0);
}

static bool is_even(void *ctx, uint64_t id)
{
    (void)ctx;
    return id % 2 == 0;
}

static void test_sweep(void **ctx)
{
    (void)ctx;
    for (uint64_t id = 10; id < 20; id++)
        aged(id);
    (void)close(spool_create(spool, 21, NULL));                  /* without a row, but young */
    file_write(in_dir(&state, "spool/not-one-of-ours"), "x", 1); /* not ours to remove */
    assert_int_equal(spool_sweep(spool, is_even, NULL, NULL), 5);
    assert_int_equal(dir_count(in_dir(&state, "spool"), NULL), 7);
}

static int failing_at;
static int fail_fsync(int fd)
{
    (void)fd;
    return --failing_at == 0 ? -EIO : 0;
}

static void test_sync_fails(void **ctx)
{
    struct sys hooked = sys_kernel;
    int fd = spool_create(spool, 1, NULL);

    (void)ctx;
    hooked.fsync = fail_fsync;
    sys = &hooked;
    failing_at = 1; /* the file */
    assert_int_equal(spool_sync(spool, fd, NULL), -EIO);
    failing_at = 2; /* the directory */
    assert_int_equal(spool_sync(spool, fd, NULL), -EIO);
    failing_at = 3;
    assert_int_equal(spool_sync(spool, fd, NULL), 0);
    (void)close(fd);
}

static ssize_t one_octet(int fd, const struct iovec *iov, int count)
{
    struct iovec one = { iov[0].iov_base, 1 };

    (void)count;
    return sys_kernel.writev(fd, &one, 1);
}

static ssize_t full(int fd, const struct iovec *iov, int count)
{
    (void)fd;
    (void)iov;
    (void)count;
    return -ENOSPC;
}

static void test_short_writes(void **ctx)
{
    struct sys hooked = sys_kernel;
    char text[64];
    int fd = spool_create(spool, 1, NULL);

    (void)ctx;
    hooked.writev = one_octet;
    sys = &hooked;
    assert_int_equal(sys_write_all(fd, SLICE_LIT("no octet lost or doubled")), 0);
    hooked.writev = full;
    assert_int_equal(sys_write_all(fd, SLICE_LIT("x")), -ENOSPC);
    assert_int_equal(sys_write_all(fd, SLICE_LIT("")), 0);
    (void)close(fd);
    sys = &sys_kernel;
    fd = spool_read_open(spool, 1, NULL);
    assert_int_equal(sys->pread(fd, text, sizeof text, 0), 24);
    assert_memory_equal(text, "no octet lost or doubled", 24);
    (void)close(fd);
}

static void test_make_path(void **ctx)
{
    int dir = open(state.path, O_RDONLY | O_DIRECTORY);
    int before = open_descriptors();
    int fd = sys_make_path(dir, "a/b//c");
    struct stat st;

    (void)ctx;
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    (void)close(fd);
    fd = sys_make_path(dir, "a/b/c/");
    assert_true(fd >= 0);
    (void)close(fd);
    assert_int_equal(symlink("/", in_dir(&state, "a/link")), 0);
    assert_true(sys_make_path(dir, "a/link/tmp") < 0);
    file_write(in_dir(&state, "a/file"), "", 0);
    assert_true(sys_make_path(dir, "a/file/x") < 0);
    assert_int_equal(open_descriptors(), before);
    (void)close(dir);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_life), TEST(test_sweep), TEST(test_sync_fails), TEST(test_short_writes), TEST(test_make_path),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
