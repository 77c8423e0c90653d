/* What the store's tests share: a state directory of their own, files in it, messages to queue. */
#ifndef FACTEUR_TEST_STORE_TEST_H
#define FACTEUR_TEST_STORE_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "facteur/base/mem.h"
#include "facteur/store/queue.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define UNUSED __attribute__((unused))

struct dir {
    char path[200];
};

static UNUSED int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static UNUSED void dir_make(struct dir *d)
{
    const char *tmp = getenv("TMPDIR");

    (void)snprintf(d->path, sizeof d->path, "%s/facteur-store-XXXXXX", tmp != NULL ? tmp : "/tmp");
    assert_non_null(mkdtemp(d->path));
}

static UNUSED void dir_remove(struct dir *d)
{
    (void)nftw(d->path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* A path below the directory, good until the fourth call after it. */
static UNUSED const char *in_dir(const struct dir *d, const char *name)
{
    static char paths[4][1024];
    static unsigned next;
    char *p = paths[next++ % 4];

    (void)snprintf(p, sizeof paths[0], "%s/%s", d->path, name);
    return p;
}

static UNUSED void file_write(const char *path, const void *p, size_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, p, n), n);
    (void)close(fd);
}

/* Nobody is writing it any more. */
static UNUSED void file_age(const char *path)
{
    struct timespec old[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = time(NULL) - 60 } };

    assert_int_equal(utimensat(AT_FDCWD, path, old, 0), 0);
}

static UNUSED size_t file_read(const char *path, char *to, size_t room)
{
    int fd = open(path, O_RDONLY);
    ssize_t n;

    assert_true(fd >= 0);
    n = read(fd, to, room);
    assert_true(n >= 0);
    (void)close(fd);
    return (size_t)n;
}

/* How many entries; the name of one of them in `name` (of 256) where it is not NULL. */
static UNUSED int dir_count(const char *path, char *name)
{
    DIR *d = opendir(path);
    const struct dirent *entry;
    int n = 0;

    if (d == NULL)
        return -1;
    while ((entry = readdir(d)) != NULL)
        if (entry->d_name[0] != '.') {
            if (name != NULL)
                (void)snprintf(name, 256, "%s", entry->d_name);
            n++;
        }
    (void)closedir(d);
    return n;
}

static UNUSED int open_descriptors(void)
{
    return dir_count("/proc/self/fd", NULL);
}

/* A message with `count` recipients, first local, then remote in turn; its body tells its id. */
static UNUSED struct queue_message *message_make(uint64_t id, uint32_t count, size_t size, int64_t due_ms)
{
    struct queue_message *m = mem_zero(sizeof *m);

    m->id = id;
    m->received_ms = 1700000000123;
    m->sender = mem_str("sender@example.com");
    m->envid = mem_str("env");
    m->client = mem_str("192.0.2.1");
    m->flags = QUEUE_8BIT;
    m->size = size;
    m->wire_size = size + 10;
    m->trace_at = size > 4 ? 4 : 0;
    m->header_size = m->trace_at;
    m->body = mem_alloc(size);
    for (size_t i = 0; i < size; i++)
        m->body[i] = (char)((id + i) & 0x7f);
    m->count = count;
    m->recipients = mem_array(count, sizeof *m->recipients);
    for (uint32_t i = 0; i < count; i++) {
        struct queue_recipient *r = &m->recipients[i];

        r->seq = i;
        r->route = i % 2 == 0 ? QUEUE_LOCAL : QUEUE_REMOTE;
        r->address = mem_str(i % 2 == 0 ? "anna@example.org" : "karl@example.net");
        if (i % 2 == 0)
            r->mailbox = mem_str("anna@example.org");
        else
            r->domain = mem_str("example.net");
        r->orcpt = i == 0 ? mem_str("rfc822;anna@example.org") : NULL;
        r->notify = NOTIFY_FAILURE;
        r->due_ms = due_ms;
    }
    return m;
}

static UNUSED int apply_one(struct queue *q, struct queue_op *op)
{
    struct link ops;
    int r;

    list_init(&ops);
    list_push(&ops, &op->link);
    r = queue_apply(q, &ops, NULL);
    list_unlink(&op->link);
    return r;
}

static UNUSED int add_message(struct queue *q, struct queue_message *m)
{
    struct queue_op op = { .kind = QUEUE_ADD, .message = m, .id = m->id };

    return apply_one(q, &op);
}

static UNUSED void body_check(const struct queue_message *m)
{
    assert_non_null(m->body);
    for (size_t i = 0; i < m->size; i++)
        assert_int_equal(m->body[i], (char)((m->id + i) & 0x7f));
}

#endif
