/* A message as the full-text index takes it in. */
#include "search_priv.h"

#include "facteur/base/mem.h"
#include "facteur/mail/charset.h"
#include "facteur/mail/text.h"
#include "facteur/store/sys.h"

#include <errno.h>

enum {
    PIECE = 64 * 1024,
    TEXT_MAX = 16 * 1024 * 1024, /* folded, it is still a value that our SQLite takes (db.c) */
    FOLDED = 3                   /* octets that one may become: U+FFFD */
};

void search_text_clear(struct search_text *t)
{
    buf_clear(&t->head);
    buf_clear(&t->body);
}

static ssize_t read_stored(void *from, void *to, size_t n, uint64_t at)
{
    return sys->pread(*(const int *)from, to, n, (off_t)at);
}

static int parse(int fd, uint64_t stored, struct mime *m)
{
    char *piece = mem_alloc(PIECE);
    enum progress p = MORE;
    uint64_t at = 0;
    ssize_t n = 0;

    while (p == MORE && at < stored) {
        n = sys->pread(fd, piece, stored - at < PIECE ? (size_t)(stored - at) : PIECE, (off_t)at);
        if (n <= 0)
            break;
        p = mime_push(m, slice_make(piece, (size_t)n));
        at += (uint64_t)n;
    }
    mime_end(m);
    mem_free(piece);
    return n < 0 ? (int)n : 0;
}

/* As much of it as fits; an incomplete character at the end becomes U+FFFD like any other broken one. */
static int add(struct buf *b, struct slice s)
{
    size_t room = b->max - b->n;

    return buf_add(b, s.p, s.n < room ? s.n : room) < 0 || s.n > room ? 1 : 0;
}

static int take(void *to, enum text_kind kind, bool nested, struct slice name, struct slice utf8)
{
    struct search_text *t = to;
    struct buf *b = kind == TEXT_HEADER && !nested ? &t->head : &t->body;
    int full = 0;

    if (kind == TEXT_HEADER)
        full = add(b, name) | add(b, SLICE_LIT(": "));
    full |= add(b, utf8);
    if (kind == TEXT_HEADER)
        full |= add(b, SLICE_LIT("\n"));
    return full;
}

/* NUL would end the tokenizer's work. */
static int fold(struct buf *b)
{
    struct buf folded;
    int r;

    for (size_t i = 0; i < b->n; i++) {
        if (b->p[i] == '\0')
            b->p[i] = '\n';
    }
    buf_init(&folded, FOLDED * b->max);
    r = charset_fold(buf_slice(b), &folded);
    buf_clear(b);
    *b = folded;
    return r;
}

void search_text_read(int fd, uint64_t stored, uint64_t max, struct search_text *ret)
{
    const struct text_source source = { read_stored, &fd };
    const struct text_sink sink = { take, ret };
    struct mime m;
    size_t room = max < TEXT_MAX ? (size_t)max : TEXT_MAX;
    int r;

    buf_init(&ret->head, room);
    buf_init(&ret->body, room);
    mime_init(&m, true);
    r = parse(fd, stored, &m);
    if (r == 0)
        r = text_walk(&m, &source, UINT64_MAX, &sink);
    mime_clear(&m);
    ret->cut = r != 0;
    if (fold(&ret->head) < 0 || fold(&ret->body) < 0)
        ret->cut = true;
}
