#include "load_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SECRET_MOST = 8192 };

static int read_all(int fd, size_t most, struct buf *out, struct err *e)
{
    for (;;) {
        char *room = buf_room(out, 1);
        ssize_t n;

        if (room == NULL)
            return err_set(e, -EFBIG, "larger than %zu octets", most);
        n = read(fd, room, out->cap - out->n < out->max - out->n ? out->cap - out->n : out->max - out->n);
        if (n == 0)
            return 0;
        if (n < 0 && errno != EINTR)
            return err_set(e, -errno, "%s", err_text(-errno));
        if (n > 0)
            out->n += (size_t)n;
    }
}

static int check_file(int fd, bool secret, uint64_t *ret_size, struct err *e)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return err_set(e, -errno, "%s", err_text(-errno));
    if (!S_ISREG(st.st_mode))
        return err_set(e, -EINVAL, "no regular file");
    if (secret && (st.st_mode & (S_IWGRP | S_IRWXO)) != 0)
        return err_set(e, -EPERM, "open to other users (mode %03o); chmod it to 600 or 640",
                       (unsigned)(st.st_mode & 0777));
    *ret_size = (uint64_t)st.st_size;
    return 0;
}

int file_read(const char *path, size_t most, bool secret, struct buf *out, struct err *e)
{
    /* O_NONBLOCK: a FIFO by mistake is refused below and does not hang the start */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    uint64_t size = 0;
    int code;

    buf_init(out, most + 1); /* one more, so that the end is seen at exactly `most` */
    if (fd < 0)
        return err_set(e, -errno, "%s", err_text(-errno));
    code = check_file(fd, secret, &size, e);
    if (code == 0) {
        (void)!buf_room(out,
                        size < most ? (size_t)size + 1 : 1); /* at once: a buffer that grows leaves copies behind */
        code = read_all(fd, most, out, e);
    }
    if (code == 0 && out->n > most)
        code = err_set(e, -EFBIG, "larger than %zu octets", most);
    (void)close(fd);
    if (code < 0)
        buf_wipe(out);
    return code;
}

void file_note(struct load *l, const char *path, const struct node *n)
{
    struct conf_file *f = arena_zero(&l->c->arena, sizeof *f);

    *f = (struct conf_file){ path, n->at, l->c->files };
    l->c->files = f;
}

static const char *secret_from_file(struct load *l, const char *key, const struct node *n)
{
    const char *path = keep_path(l, n->text), *secret = NULL;
    struct buf text;
    struct err e;

    if (l->alone) {
        problem(l, n, "%s: no file is read here", key);
        return NULL;
    }
    file_note(l, path, n);
    if (file_read(path, SECRET_MOST, true, &text, &e) < 0) {
        problem(l, n, "%s: %s: %s", key, path, e.text);
        return NULL;
    }
    if (text.n > 0 && text.p[text.n - 1] == '\n')
        text.n--;
    if (text.n > 0 && text.p[text.n - 1] == '\r')
        text.n--;
    if (text.n == 0 || memchr(text.p, '\0', text.n) != NULL)
        problem(l, n, "%s: %s is empty or holds a NUL", key, path);
    else
        secret = keep(l, buf_slice(&text));
    buf_wipe(&text);
    return secret;
}

static const char *secret_from_environment(struct load *l, const char *key, const struct node *n)
{
    const char *value = getenv(n->text.p);

    if (value == NULL || value[0] == '\0') {
        problem(l, n, "%s: the environment variable %s is not set", key, shown(l, n));
        return NULL;
    }
    return keep(l, slice_str(value));
}

const char *secret_read(struct load *l, const char *key, const struct node *n)
{
    if (n->kind == NODE_SCALAR)
        return keep(l, n->text);
    if (n->kind == NODE_MAP && n->count == 1 && n->first->kind == NODE_SCALAR && n->first->text.n > 0) {
        if (slice_is(n->first->key, "file"))
            return secret_from_file(l, key, n->first);
        if (slice_is(n->first->key, "env"))
            return secret_from_environment(l, key, n->first);
    }
    problem(l, n, "%s: expected a text, {file: path} or {env: NAME}", key);
    return NULL;
}
