/* How fast the store is without a network: one thread commits batches, one delivers into two Maildirs, one syncs what
 * was delivered in bulk, and the first deletes the rows in its next batches.
 *
 *   store_bench STATE MESSAGES BATCH OCTETS [SYNC_EACH [SYNC_THREADS]]
 *
 * prints messages/s accepted, messages/s until the last row is gone, CPU per message. STATE must be an empty
 * directory on the disk in question. */
#include "facteur/base/clock.h"
#include "facteur/base/mem.h"
#include "facteur/store/maildir.h"
#include "facteur/store/queue.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

enum { LOG_OCTETS = 16 << 20, WAITING_MAX = 20000, MAILBOXES = 2 };

struct item {
    struct link link;
    struct queue_message m;
    struct queue_recipient r;
    struct maildir_delivery d;
    struct queue_op op;
};

/* A line of work between two threads. */
struct pipe {
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct link items;
    size_t count;
    bool ended;
};

static struct bench {
    struct queue *queue;
    struct maildirs *maildirs;
    struct pipe committed, delivered, synced;
    size_t sync_each;
    char *body;
    size_t octets;
    int sync_threads;
} bench;

static void pipe_init(struct pipe *p)
{
    (void)pthread_mutex_init(&p->lock, NULL);
    (void)pthread_cond_init(&p->more, NULL);
    list_init(&p->items);
}

static void pipe_put(struct pipe *p, struct link *items, size_t count)
{
    (void)pthread_mutex_lock(&p->lock);
    list_move(items, &p->items);
    p->count += count;
    (void)pthread_cond_broadcast(&p->more);
    (void)pthread_mutex_unlock(&p->lock);
}

static void pipe_end(struct pipe *p)
{
    (void)pthread_mutex_lock(&p->lock);
    p->ended = true;
    (void)pthread_cond_broadcast(&p->more);
    (void)pthread_mutex_unlock(&p->lock);
}

/* At least `min` unless it has ended; 0 at the end. */
static size_t pipe_take(struct pipe *p, struct link *to, size_t min, size_t max)
{
    size_t n = 0;

    list_init(to);
    (void)pthread_mutex_lock(&p->lock);
    while (p->count < min && !p->ended)
        (void)pthread_cond_wait(&p->more, &p->lock);
    while (n < max && !list_empty(&p->items)) {
        list_push(to, list_pop(&p->items));
        n++;
    }
    p->count -= n;
    (void)pthread_mutex_unlock(&p->lock);
    return n;
}

static void die(const char *what, const struct err *e)
{
    fprintf(stderr, "%s: %s\n", what, e->text);
    exit(1);
}

static void *deliver(void *unused)
{
    struct link items;
    struct err e = { 0 };
    size_t n;

    (void)unused;
    while ((n = pipe_take(&bench.committed, &items, 1, 64)) > 0) {
        LIST_EACH (it, &items) {
            if (maildir_deliver(bench.maildirs, NULL, &LIST_ENTRY(it, struct item, link)->d, &e) < 0)
                die("deliver", &e);
        }
        pipe_put(&bench.delivered, &items, n);
    }
    pipe_end(&bench.delivered);
    return NULL;
}

static void *sync_all(void *unused)
{
    struct link items;
    size_t n;

    (void)unused;
    while ((n = pipe_take(&bench.delivered, &items, bench.sync_each, bench.sync_each)) > 0) {
        struct maildir_delivery **all = mem_array(n, sizeof(struct maildir_delivery *));
        int *results = mem_array(n, sizeof(int));
        size_t i = 0;

        LIST_EACH (it, &items) {
            all[i++] = &LIST_ENTRY(it, struct item, link)->d;
        }
        maildir_sync(bench.maildirs, all, n, results);
        for (i = 0; i < n; i++)
            if (results[i] < 0)
                abort();
        mem_free(all);
        mem_free(results);
        pipe_put(&bench.synced, &items, n);
    }
    pipe_end(&bench.synced);
    return NULL;
}

static struct item *make(size_t i)
{
    static const char *const users[MAILBOXES] = { "anna@example.org", "bernd@example.org" };
    struct item *it = mem_zero(sizeof *it);

    it->r = (struct queue_recipient){ .route = QUEUE_LOCAL,
                                      .address = (char *)(uintptr_t)users[i % MAILBOXES],
                                      .mailbox = (char *)(uintptr_t)users[i % MAILBOXES] };
    it->m = (struct queue_message){ .id = queue_new_id(bench.queue),
                                    .received_ms = clock_wall_ms(),
                                    .sender = (char *)(uintptr_t) "sender@example.com",
                                    .client = (char *)(uintptr_t) "127.0.0.1",
                                    .size = bench.octets,
                                    .wire_size = bench.octets,
                                    .body = bench.body,
                                    .recipients = &it->r,
                                    .count = 1 };
    it->d = (struct maildir_delivery){ .user = users[i % MAILBOXES],
                                       .id = it->m.id,
                                       .received_ms = it->m.received_ms,
                                       .body = { bench.body, bench.octets },
                                       .size = bench.octets,
                                       .wire_size = bench.octets,
                                       .fd = -1 };
    return it;
}

/* One batch: `add` new messages and the deletion of what was synced meanwhile. */
static size_t commit(size_t from, size_t add, size_t min_done)
{
    struct link ops, items, done;
    struct err e = { 0 };
    size_t gone = pipe_take(&bench.synced, &done, min_done, 1000);

    list_init(&ops);
    list_init(&items);
    for (size_t i = 0; i < add; i++) {
        struct item *it = make(from + i);

        it->op = (struct queue_op){ .kind = QUEUE_ADD, .message = &it->m, .id = it->m.id };
        list_push(&ops, &it->op.link);
        list_push(&items, &it->link);
    }
    LIST_EACH (l, &done) {
        struct item *it = LIST_ENTRY(l, struct item, link);

        it->op = (struct queue_op){ .kind = QUEUE_DONE, .id = it->m.id };
        list_push(&ops, &it->op.link);
    }
    if (!list_empty(&ops) && queue_apply(bench.queue, &ops, &e) < 0)
        die("apply", &e);
    pipe_put(&bench.committed, &items, add);
    LIST_EACH (l, &done) {
        mem_free(LIST_ENTRY(l, struct item, link));
    }
    if (queue_checkpoint(bench.queue, LOG_OCTETS, &e) < 0)
        die("checkpoint", &e);
    return gone;
}

int main(int argc, char **argv)
{
    size_t total = argc > 2 ? strtoul(argv[2], NULL, 10) : 0, batch = argc > 3 ? strtoul(argv[3], NULL, 10) : 16;
    struct err e = { 0 };
    pthread_t threads[2];
    struct rusage use;
    size_t gone = 0;
    int64_t start, accepted, end;
    double cpu;

    if (argc < 5) {
        fprintf(stderr, "usage: store_bench STATE MESSAGES BATCH OCTETS [SYNC_EACH]\n");
        return 64;
    }
    bench.octets = strtoul(argv[4], NULL, 10);
    bench.sync_each = argc > 5 ? strtoul(argv[5], NULL, 10) : 500;
    bench.body = mem_alloc(bench.octets);
    memset(bench.body, 'x', bench.octets);
    pipe_init(&bench.committed);
    pipe_init(&bench.delivered);
    pipe_init(&bench.synced);
    if (queue_open(argv[1], &bench.queue, &e) < 0 || maildirs_open(argv[1], &bench.maildirs, &e) < 0)
        die("open", &e);
    start = clock_mono_us();
    (void)pthread_create(&threads[0], NULL, deliver, NULL);
    (void)pthread_create(&threads[1], NULL, sync_all, NULL);
    for (size_t i = 0; i < total; i += batch)
        gone += commit(i, batch < total - i ? batch : total - i, i - gone > WAITING_MAX ? 1 : 0);
    accepted = clock_mono_us();
    pipe_end(&bench.committed);
    while (gone < total)
        gone += commit(0, 0, 1);
    end = clock_mono_us();
    (void)pthread_join(threads[0], NULL);
    (void)pthread_join(threads[1], NULL);
    (void)getrusage(RUSAGE_SELF, &use);
    cpu = (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) * 1e6 +
          (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec);
    printf("batch %zu: accepted %.0f/s, done %.0f/s, CPU %.1f us a message (user %.1f), %ld KiB\n", batch,
           (double)total * 1e6 / (double)(accepted - start), (double)total * 1e6 / (double)(end - start),
           cpu / (double)total, ((double)use.ru_utime.tv_sec * 1e6 + (double)use.ru_utime.tv_usec) / (double)total,
           use.ru_maxrss);
    maildirs_close(&bench.maildirs);
    queue_close(&bench.queue);
    return 0;
}
