/* The body of a message on its way out. A spooled one is read by jobs, a block ahead of what is being sent; a job owns
 * the file while it runs, so that a connection can end at any time. */
#include "remote_priv.h"

#include "facteur/base/mem.h"
#include "facteur/store/sys.h"

#include <errno.h>
#include <stdio.h>

struct spool_block {
    struct job job;
    struct spool *spool;
    uint64_t id, at;
    int fd;     /* in and out; -1: not opened yet, or handed on */
    int status; /* out */
    size_t n;
    char *octets; /* NULL: handed on */
};

static void read_block(struct job *job)
{
    struct spool_block *b = LIST_ENTRY(job, struct spool_block, job);
    size_t done = 0;

    if (b->fd < 0)
        b->fd = spool_read_open(b->spool, b->id, NULL);
    if (b->fd < 0) {
        b->status = b->fd;
        b->fd = -1;
        return;
    }
    while (done < b->n) {
        ssize_t n = sys->pread(b->fd, b->octets + done, b->n - done, (off_t)(b->at + done));

        if (n <= 0) { /* shorter than its row says: never to be sent as if it were whole */
            b->status = n < 0 ? (int)n : -ENODATA;
            return;
        }
        done += (size_t)n;
    }
}

static void free_block(struct spool_block *b)
{
    if (b == NULL)
        return;
    if (b->fd >= 0)
        (void)sys->close(b->fd);
    mem_free(b->octets);
    mem_free(b);
}

static void drop_block(struct job *job)
{
    free_block(LIST_ENTRY(job, struct spool_block, job));
}

static void block_read(void *owner, struct job *job)
{
    struct remote_body *body = owner;
    struct spool_block *b = LIST_ENTRY(job, struct spool_block, job);
    struct spool_block *kept = mem_zero(sizeof *kept);

    body->reading = false;
    body->fd = b->fd;
    body->status = b->status;
    kept->fd = b->fd = -1;
    kept->n = b->n;
    kept->octets = b->octets;
    b->octets = NULL;
    body->next = kept;
    if (!body->wanted)
        return;
    body->wanted = false;
    body->ready(body->owner);
}

static void read_ahead(struct remote_body *b)
{
    struct spool_block *block;

    if (b->reading || b->next != NULL || b->left == 0 || b->status < 0)
        return;
    block = mem_zero(sizeof *block);
    block->n = b->left < REMOTE_BLOCK ? (size_t)b->left : REMOTE_BLOCK;
    block->octets = mem_alloc(block->n);
    block->spool = b->r->env.spool;
    block->id = b->id;
    block->at = b->at;
    block->fd = b->fd;
    block->job = (struct job){ .run = read_block, .done = block_read, .drop = drop_block, .owner = b };
    b->fd = -1;
    b->at += block->n;
    b->left -= block->n;
    b->reading = true;
    job_start(b->r->env.jobs, JOB_DISK, &b->scope, &block->job);
}

/* A forward that leads back to us is known by it (A35). It is not in the stored text, which others share who do not get
 * their mail by this alias. */
static int first_line(const struct queue_message *m, const char *asked, char *to, size_t size)
{
    if (asked == NULL || !ascii_only(slice_str(asked)))
        return 0;
    return snprintf(to, size, "Delivered-To: %s%s", asked, (m->flags & QUEUE_BINARY) != 0 ? "\r\n" : "\n");
}

size_t remote_body_first(const struct queue_message *m, const char *asked)
{
    char line[REMOTE_FIRST_LINE];

    return (size_t)first_line(m, asked, line, sizeof line);
}

void remote_body_start(struct remote_body *b, struct remote *r, const struct queue_message *m, const char *asked,
                       void (*ready)(void *owner), void *owner)
{
    remote_body_stop(b);
    *b = (struct remote_body){ .r = r, .id = m->id, .fd = -1, .ready = ready, .owner = owner };
    job_scope_init(&b->scope);
    b->p = b->first;
    b->n = (size_t)first_line(m, asked, b->first, sizeof b->first);
    if (!m->spooled) {
        b->inline_body = slice_skip(queue_message_body(m), m->trace_at);
        return;
    }
    b->at = m->trace_at;
    b->left = m->size - m->trace_at;
    read_ahead(b);
}

ssize_t remote_body_read(struct remote_body *b, const char **ret, size_t n)
{
    if (b->n == 0 && b->inline_body.n > 0) {
        b->p = b->inline_body.p;
        b->n = b->inline_body.n;
        b->inline_body.n = 0;
    } else if (b->n == 0) {
        free_block(b->block);
        b->block = b->next;
        b->next = NULL;
        if (b->status < 0)
            return b->status;
        if (b->block != NULL) {
            b->p = b->block->octets;
            b->n = b->block->n;
        } else if (b->reading) {
            b->wanted = true;
            return -EAGAIN;
        }
        read_ahead(b);
    }
    if (b->n == 0)
        return 0;
    if (n > b->n)
        n = b->n;
    *ret = b->p;
    b->p += n;
    b->n -= n;
    return (ssize_t)n;
}

void remote_body_stop(struct remote_body *b)
{
    if (b->r == NULL)
        return;
    job_scope_abandon(&b->scope);
    free_block(b->block);
    free_block(b->next);
    if (b->fd >= 0)
        (void)sys->close(b->fd);
    *b = (struct remote_body){ .fd = -1 };
}
