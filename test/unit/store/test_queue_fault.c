/* The queue under faults: a VFS between SQLite and the kernel makes the n-th write or sync fail or kills the process
 * there, for every n, and keeps beside each file what the *disk* has of it: only what was written before a sync that
 * succeeded, and of the rest some sectors by chance. So every run ends twice: as after SIGKILL (the files) and as after
 * a power cut (their shadows). What was accepted must be there, whole; what was refused must not be there after a kill,
 * and after a power cut, like what was not answered, whole or not at all. */
#include "store/store_test.h"

#include "facteur/store/sys.h"

#include <signal.h>
#include <sqlite3.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum fault {
    FAULT_WRITE_IOERR,
    FAULT_WRITE_FULL,
    FAULT_SYNC,
    FAULT_SYNC_LAST, /* … and the batch is answered, and then nothing more happens */
    FAULT_KILL,
    FAULT_SYNC_THEN_KILL, /* before that answer */
    FAULTS,
};
enum { BATCHES = 6, EACH = 2, LIVES = 2, IDS = LIVES * BATCHES * EACH + 1, SECTOR = 512, SIZE = 6000 };

/* What the child tells its parent. */
struct report {
    int accepted[IDS];
    int refused_id[IDS];
    int done[IDS];
    int reached; /* the fault happened */
    int refused; /* batches that failed */
};
static struct report *report;

static struct {
    enum fault fault;
    int at; /* the n-th call from now; 0: none */
} plan;

struct piece {
    struct piece *next;
    sqlite3_int64 at; /* negative: truncated to size */
    int n, size;
    char octets[];
};

struct shim_file {
    sqlite3_file base;
    sqlite3_file *real;
    int disk; /* the shadow, or -1 */
    struct piece *first, **last;
};

static sqlite3_vfs *real_vfs;
static struct shim_file *watched[4]; /* for the power cut */

static void keep(struct shim_file *f, sqlite3_int64 at, const void *p, int n)
{
    struct piece *piece = malloc(sizeof *piece + (size_t)n);

    if (piece == NULL)
        abort();
    piece->next = NULL;
    piece->at = at;
    piece->n = n;
    if (n > 0)
        memcpy(piece->octets, p, (size_t)n);
    *f->last = piece;
    f->last = &piece->next;
}

/* Brings what waits to the disk: all of it (after a sync), or of each sector as chance has it, or nothing. */
static void settle(struct shim_file *f, int percent)
{
    while (f->first != NULL) {
        struct piece *piece = f->first;

        f->first = piece->next;
        if (piece->at < 0 && rand() % 100 < percent && ftruncate(f->disk, 0) < 0)
            abort();
        for (int i = 0; piece->at >= 0 && i < piece->n; i += SECTOR) {
            int n = piece->n - i < SECTOR ? piece->n - i : SECTOR;

            if (rand() % 100 < percent && pwrite(f->disk, piece->octets + i, (size_t)n, piece->at + i) != n)
                abort();
        }
        free(piece);
    }
    f->last = &f->first;
}

static void power_cut(int percent)
{
    for (size_t i = 0; i < 4; i++)
        if (watched[i] != NULL)
            settle(watched[i], percent);
    _exit(0);
}

/* True when it is this call's turn. */
static bool strikes(bool is_sync)
{
    bool counts = plan.fault == FAULT_KILL || is_sync == (plan.fault == FAULT_SYNC || plan.fault == FAULT_SYNC_LAST ||
                                                          plan.fault == FAULT_SYNC_THEN_KILL);

    if (plan.at == 0 || !counts || --plan.at > 0)
        return false;
    report->reached = 1;
    if (plan.fault == FAULT_KILL)
        power_cut(50);
    return true;
}

static struct shim_file *shim(sqlite3_file *f)
{
    return (struct shim_file *)(void *)f;
}

static int shim_close(sqlite3_file *f)
{
    settle(shim(f), 0);
    for (size_t i = 0; i < 4; i++)
        if (watched[i] == shim(f))
            watched[i] = NULL;
    if (shim(f)->disk >= 0)
        (void)close(shim(f)->disk);
    return shim(f)->real->pMethods != NULL ? shim(f)->real->pMethods->xClose(shim(f)->real) : SQLITE_OK;
}
static int shim_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
    return shim(f)->real->pMethods->xRead(shim(f)->real, p, n, at);
}
static int shim_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
    if (strikes(false))
        return plan.fault == FAULT_WRITE_FULL ? SQLITE_FULL : SQLITE_IOERR_WRITE;
    if (shim(f)->disk >= 0)
        keep(shim(f), at, p, n);
    return shim(f)->real->pMethods->xWrite(shim(f)->real, p, n, at);
}
static int shim_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    if (shim(f)->disk >= 0 && size == 0)
        keep(shim(f), -1, NULL, 0);
    return shim(f)->real->pMethods->xTruncate(shim(f)->real, size);
}
static int shim_sync(sqlite3_file *f, int flags)
{
    if (strikes(true)) {
        settle(shim(f), 30); /* the kernel gives up these pages, and calls them clean */
        if (plan.fault == FAULT_SYNC_THEN_KILL)
            power_cut(0);
        return SQLITE_IOERR_FSYNC;
    }
    settle(shim(f), 100);
    return shim(f)->real->pMethods->xSync(shim(f)->real, flags & 0); /* the real disk is not on trial here */
}
static int shim_size(sqlite3_file *f, sqlite3_int64 *ret)
{
    return shim(f)->real->pMethods->xFileSize(shim(f)->real, ret);
}
static int shim_lock(sqlite3_file *f, int level)
{
    return shim(f)->real->pMethods->xLock(shim(f)->real, level);
}
static int shim_unlock(sqlite3_file *f, int level)
{
    return shim(f)->real->pMethods->xUnlock(shim(f)->real, level);
}
static int shim_check(sqlite3_file *f, int *ret)
{
    return shim(f)->real->pMethods->xCheckReservedLock(shim(f)->real, ret);
}
static int shim_control(sqlite3_file *f, int op, void *arg)
{
    return shim(f)->real->pMethods->xFileControl(shim(f)->real, op, arg);
}
static int shim_sector(sqlite3_file *f)
{
    (void)f;
    return SECTOR;
}
static int shim_device(sqlite3_file *f)
{
    return shim(f)->real->pMethods->xDeviceCharacteristics(shim(f)->real);
}

static const sqlite3_io_methods shim_methods = {
    .iVersion = 1, /* no shared memory: the queue must not need it */
    .xClose = shim_close,
    .xRead = shim_read,
    .xWrite = shim_write,
    .xTruncate = shim_truncate,
    .xSync = shim_sync,
    .xFileSize = shim_size,
    .xLock = shim_lock,
    .xUnlock = shim_unlock,
    .xCheckReservedLock = shim_check,
    .xFileControl = shim_control,
    .xSectorSize = shim_sector,
    .xDeviceCharacteristics = shim_device,
};

static int shim_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *ret_flags)
{
    struct shim_file *f = shim(file);
    char shadow[512];
    int rc;

    (void)vfs;
    memset(f, 0, sizeof *f);
    f->real = (sqlite3_file *)(void *)(f + 1);
    f->disk = -1;
    f->last = &f->first;
    rc = real_vfs->xOpen(real_vfs, name, f->real, flags, ret_flags);
    if (rc != SQLITE_OK)
        return rc;
    f->base.pMethods = &shim_methods;
    if ((flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL)) == 0)
        return rc;
    (void)snprintf(shadow, sizeof shadow, "%s.disk", name);
    f->disk = open(shadow, O_RDWR | O_CREAT, 0600);
    for (size_t i = 0; i < 4; i++)
        if (watched[i] == NULL) {
            watched[i] = f;
            break;
        }
    return rc;
}

static int shim_delete(sqlite3_vfs *vfs, const char *name, int sync)
{
    char shadow[512];

    (void)vfs;
    (void)snprintf(shadow, sizeof shadow, "%s.disk", name);
    (void)unlink(shadow);
    return real_vfs->xDelete(real_vfs, name, sync);
}

/* The log is written again outside SQLite before recovery; its sync makes all of it durable. */
static int shadowing_fsync(int fd)
{
    char link[64], path[400], shadow[512], octets[4096];
    ssize_t n;
    off_t at = 0;
    int disk;

    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    n = readlink(link, path, sizeof path - 1);
    if (n < 4 || memcmp(path + n - 4, "-wal", 4) != 0)
        return 0;
    path[n] = '\0';
    (void)snprintf(shadow, sizeof shadow, "%s.disk", path);
    disk = open(shadow, O_RDWR | O_CREAT, 0600);
    while ((n = pread(fd, octets, sizeof octets, at)) > 0) {
        if (pwrite(disk, octets, (size_t)n, at) != n)
            abort();
        at += n;
    }
    (void)close(disk);
    return 0;
}

static void install(void)
{
    static sqlite3_vfs vfs;
    static struct sys hooked;
    sqlite3_vfs *above = NULL; /* the store's own, which the parent may have made upon the real one */

    (void)sqlite3_initialize();
    above = sqlite3_vfs_find("facteur");
    if (above != NULL)
        (void)sqlite3_vfs_unregister(above);
    real_vfs = sqlite3_vfs_find(NULL);
    vfs = *real_vfs;
    vfs.szOsFile = (int)sizeof(struct shim_file) + real_vfs->szOsFile;
    vfs.zName = "shim";
    vfs.xOpen = shim_open;
    vfs.xDelete = shim_delete;
    (void)sqlite3_vfs_register(&vfs, 1);
    hooked = sys_kernel;
    hooked.fsync = shadowing_fsync;
    sys = &hooked;
}

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "child: %s\n", what);
    abort();
}

/* One batch: two messages, and the two before them are done. */
static void batch(struct queue *q, uint64_t first)
{
    struct queue_message *m[EACH], *read = NULL;
    struct queue_op ops[EACH + EACH];
    struct link list;
    size_t n = 0;
    uint64_t old = first > EACH && report->accepted[first - EACH] ? first - EACH : 0;
    int r;

    list_init(&list);
    memset(ops, 0, sizeof ops);
    for (uint64_t i = 0; i < EACH; i++) {
        m[i] = message_make(first + i, 2, SIZE, 0);
        ops[n++] = (struct queue_op){ .kind = QUEUE_ADD, .message = m[i] };
    }
    for (uint32_t i = 0; old > 0 && i < 2; i++)
        ops[n++] = (struct queue_op){ .kind = QUEUE_DONE, .id = old, .seq = i };
    for (size_t i = 0; i < n; i++)
        list_push(&list, &ops[i].link);
    if (old > 0)
        report->done[old] = 2; /* asked and not answered */
    r = queue_apply(q, &list, NULL);
    report->refused += r < 0;
    if (old > 0)
        report->done[old] = r == 0 ? 1 : 2;
    for (uint64_t i = 0; i < EACH; i++) {
        report->accepted[first + i] = r == 0;
        report->refused_id[first + i] = r < 0;
        must((queue_get(q, first + i, true, &read, NULL) == 0) == (r == 0),
             "a refused message is seen, or the reverse");
        queue_message_free(&read);
        queue_message_free(&m[i]);
    }
}

/* One life of the server; returns in the parent when it has ended. */
static void live(const char *state, int life, enum fault fault, int at)
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        struct queue *q = NULL;
        struct err e = { 0 };

        install();
        srand((unsigned)(at * 7 + (int)fault));
        if (queue_open(state, &q, &e) < 0)
            must(false, e.text);
        plan.fault = fault;
        plan.at = at;
        for (int i = 0; i < BATCHES; i++) {
            batch(q, (uint64_t)(1 + (life * BATCHES + i) * EACH));
            if (fault == FAULT_SYNC_LAST && life == 0 && report->refused > 0)
                power_cut(50);
            if (life == 0 && i == 2) /* the second life must not be saved by a checkpoint */
                report->refused += queue_checkpoint(q, 0, NULL) < 0; /* then the next one does it */
        }
        power_cut(50);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("fault %d at %d: the child did not end well", (int)fault, at);
}

static void copy(const char *from, const char *to)
{
    static char octets[1 << 20];

    file_write(to, octets, file_read(from, octets, sizeof octets));
}

static void check(const char *state, enum fault fault, int at, bool killed)
{
    const char *view = killed ? "killed" : "power cut";
    bool there[IDS] = { false };
    struct queue_message **all;
    struct queue *q = NULL;
    struct err e = { 0 };
    size_t n;

    if (queue_open(state, &q, &e) < 0)
        fail_msg("fault %d at %d, %s: %s", (int)fault, at, view, e.text);
    assert_int_equal(queue_list(q, 0, 1000, &all, &n, NULL, &e), 0);
    assert_int_equal(e.code, 0);
    for (size_t i = 0; i < n; i++) {
        struct queue_message *m;

        assert_in_range(all[i]->id, 1, IDS - 1);
        assert_int_equal(queue_get(q, all[i]->id, true, &m, NULL), 0);
        assert_int_equal(m->count, 2);
        assert_int_equal(m->size, SIZE);
        body_check(m);
        there[m->id] = true;
        queue_message_free(&m);
        queue_message_free(&all[i]);
    }
    mem_free(all);
    queue_close(&q);
    for (int id = 1; id < IDS; id++) {
        if (report->accepted[id] && report->done[id] == 0 && !there[id])
            fail_msg("fault %d at %d, %s: message %d was accepted and is lost", (int)fault, at, view, id);
        if (report->refused_id[id] && there[id] && killed)
            fail_msg("fault %d at %d, %s: message %d was refused and is there", (int)fault, at, view, id);
        if (report->done[id] == 1 && there[id])
            fail_msg("fault %d at %d, %s: message %d is done and came back", (int)fault, at, view, id);
    }
}

/* Opens copies of the files (or their shadows), so that the next life finds them as the last one left them. */
static void check_copy(const struct dir *d, const char *suffix, enum fault fault, int at)
{
    static const char *const files[] = { "queue.db", "queue.db-wal", "facteur.lock" };
    struct dir other;
    char from[600];

    dir_make(&other);
    for (size_t i = 0; i < 3; i++) {
        (void)snprintf(from, sizeof from, "%s/%s%s", d->path, files[i], i < 2 ? suffix : "");
        if (access(from, F_OK) == 0)
            copy(from, in_dir(&other, files[i]));
    }
    check(other.path, fault, at, suffix[0] == '\0');
    dir_remove(&other);
}

static bool run(enum fault fault, int at)
{
    struct dir d;

    memset(report, 0, sizeof *report);
    dir_make(&d);
    for (int life = 0; life < LIVES; life++) {
        live(d.path, life, fault, life == 0 ? at : 0);
        check_copy(&d, "", fault, at);
        check_copy(&d, ".disk", fault, at);
    }
    dir_remove(&d);
    return report->reached;
}

static void all_of(enum fault fault, int step)
{
    int at = 1, refused = 0;

    for (; run(fault, at); at += step)
        refused += report->refused;
    assert_true(at > 5); /* it did strike */
    if (fault <= FAULT_SYNC_LAST)
        assert_true(refused > 2);
    assert_int_equal(report->refused, 0);
}

static void test_write_ioerr(void **ctx)
{
    (void)ctx;
    all_of(FAULT_WRITE_IOERR, 1);
}
static void test_write_full(void **ctx)
{
    (void)ctx;
    all_of(FAULT_WRITE_FULL, 1);
}
static void test_sync(void **ctx)
{
    (void)ctx;
    all_of(FAULT_SYNC, 1);
}
static void test_sync_last(void **ctx)
{
    (void)ctx;
    all_of(FAULT_SYNC_LAST, 1);
}
static void test_kill(void **ctx)
{
    (void)ctx;
    all_of(FAULT_KILL, 2);
}
static void test_sync_then_kill(void **ctx)
{
    (void)ctx;
    all_of(FAULT_SYNC_THEN_KILL, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_write_ioerr), cmocka_unit_test(test_write_full), cmocka_unit_test(test_sync),
        cmocka_unit_test(test_sync_last),   cmocka_unit_test(test_kill),       cmocka_unit_test(test_sync_then_kill),
    };

    /* The disk is simulated; the real one would only cost time. */
    if (access("/dev/shm", W_OK) == 0)
        (void)setenv("TMPDIR", "/dev/shm", 0);
    report = mmap(NULL, sizeof *report, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (report == MAP_FAILED)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
