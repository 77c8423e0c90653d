/* The file of a message while sections are taken from it. */
#include "section_priv.h"

#include <errno.h>
#include <unistd.h>

void message_init(struct message_file *f)
{
    *f = (struct message_file){ .fd = -1 };
    buf_init(&f->octets, SECTION_WHOLE);
    buf_init(&f->lines, 2 * SECTION_PIECE);
    buf_init(&f->text, 2 * MIME_HEADER + 2);
}

void message_close(struct message_file *f)
{
    if (f->fd >= 0)
        close(f->fd);
    f->fd = -1;
    if (f->parsed)
        mime_clear(&f->mime);
    f->parsed = false;
    f->has_body_at = false;
    f->octets_at = 0;
    buf_reset(&f->octets);
}

void message_clear(struct message_file *f)
{
    message_close(f);
    buf_clear(&f->octets);
    buf_clear(&f->lines);
    buf_clear(&f->text);
}

/* Fills `to` from the stored octets at `at` on; fewer only at the file's end. */
static ssize_t read_at(int fd, char *to, size_t n, uint64_t at)
{
    size_t got = 0;

    while (got < n) {
        ssize_t r = pread(fd, to + got, n - got, (off_t)(at + got));

        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return -errno;
        if (r == 0)
            break;
        got += (size_t)r;
    }
    return (ssize_t)got;
}

/* Reads n octets; fewer are there only when the file has shrunk. */
static int load(struct message_file *f, uint64_t at, size_t n)
{
    char *room;
    ssize_t r;

    buf_reset(&f->octets);
    room = buf_room(&f->octets, n);
    if (room == NULL)
        return -ENOBUFS;
    r = read_at(f->fd, room, n, at);
    if (r < 0)
        return (int)r;
    f->octets.n = (size_t)r;
    f->octets_at = at;
    return (size_t)r < n ? -EIO : 0;
}

void message_open(struct message_file *f, int fd, uint64_t size)
{
    message_close(f);
    f->fd = fd;
    f->size = size;
}

struct slice message_has(const struct message_file *f, uint64_t at, size_t n)
{
    if (at < f->octets_at || at - f->octets_at >= f->octets.n)
        return (struct slice){ NULL, 0 };
    return slice_head(slice_skip(buf_slice(&f->octets), (size_t)(at - f->octets_at)), n);
}

int message_release(struct message_file *f)
{
    int fd = f->fd;

    f->fd = -1;
    message_close(f);
    return fd;
}

int message_head(struct message_file *f)
{
    if (f->octets.n > 0)
        return 0;
    return load(f, 0, f->size < SECTION_HEAD ? (size_t)f->size : SECTION_HEAD);
}

int message_piece(struct message_file *f, uint64_t at, uint64_t end, struct slice *ret)
{
    size_t n = end - at < SECTION_PIECE ? (size_t)(end - at) : SECTION_PIECE;

    *ret = message_has(f, at, n);
    if (ret->n > 0)
        return 0;
    TRY(f->size <= SECTION_WHOLE ? load(f, 0, (size_t)f->size) : load(f, at, n));
    *ret = message_has(f, at, n);
    return ret->n > 0 ? 0 : -EIO;
}

ssize_t message_read(struct message_file *f, void *to, size_t n, uint64_t at)
{
    struct slice here = message_has(f, at, n);

    if (here.n == 0)
        return read_at(f->fd, to, n, at);
    memcpy(to, here.p, here.n);
    return (ssize_t)here.n;
}

int message_parse(struct message_file *f, const struct mime **ret)
{
    uint64_t at = 0;

    *ret = &f->mime;
    if (f->parsed)
        return 0;
    mime_init(&f->mime, true);
    mime_limit(&f->mime, f->limits);
    f->parsed = true;
    while (at < f->size) {
        struct slice piece;
        int code = message_piece(f, at, f->size, &piece);

        if (code < 0) {
            mime_clear(&f->mime);
            f->parsed = false;
            return code;
        }
        at += piece.n;
        if (mime_push(&f->mime, piece) == DONE)
            break;
    }
    mime_end(&f->mime);
    f->body_at = f->mime.root->body_at;
    f->has_body_at = true;
    return 0;
}
