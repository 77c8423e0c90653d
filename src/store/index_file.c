/* What a file's name says, and what a file is to be called: "<unique>,S=…,W=…,U=<uid>:2,<letters>". What stands before
 * ",U=" is the base as the file had it when it was adopted: sizes that were not there come after it. */
#include "index_priv.h"

#include "facteur/base/clock.h"
#include "facteur/base/rand.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

/* A base may be so long that ":2," and all letters still find room behind it. */
enum { BASE_MAX = 215 };

static const struct {
    char letter;
    uint8_t flag;
} letters[] = {
    { 'D', FLAG_DRAFT },    { 'F', FLAG_FLAGGED }, { 'P', FLAG_FORWARDED },
    { 'R', FLAG_ANSWERED }, { 'S', FLAG_SEEN },    { 'T', FLAG_DELETED },
};

static bool field(struct slice part, char letter, uint64_t max, uint64_t *ret)
{
    return part.n > 2 && part.p[0] == letter && part.p[1] == '=' && slice_u64(slice_skip(part, 2), max, ret) == 0;
}

/* Fields that the base gets anew; whatever else stands there stays. */
static bool is_ours(struct slice part)
{
    return part.n >= 2 && part.p[1] == '=' && (part.p[0] == 'S' || part.p[0] == 'W' || part.p[0] == 'U');
}

void file_name_parse(struct slice name, struct file_name *ret)
{
    struct slice rest = name, part, seconds;
    uint64_t n;

    *ret = (struct file_name){ 0 };
    (void)slice_cut(&rest, ':', &ret->base);
    if (rest.n >= 2 && rest.p[0] == '2' && rest.p[1] == ',')
        ret->info = slice_skip(rest, 2);
    rest = ret->base;
    (void)slice_cut(&rest, ',', &part);
    if (slice_cut(&part, '.', &seconds) && slice_u64(seconds, INT64_MAX / 1000, &n) == 0)
        ret->seconds = n;
    while (rest.n > 0) {
        (void)slice_cut(&rest, ',', &part);
        if (field(part, 'S', INT64_MAX, &n)) {
            ret->has_size = true;
            ret->size = n;
        } else if (field(part, 'W', INT64_MAX, &n)) {
            ret->has_wire = true;
            ret->wire = n;
        } else if (field(part, 'U', UID_MAX, &n)) {
            ret->uid = (uint32_t)n;
        }
    }
}

/* Whether the part is the first such field and right: then it stays where it is. */
static bool keep(struct slice part, char letter, uint64_t right, bool *has)
{
    uint64_t n;

    if (*has || !field(part, letter, INT64_MAX, &n) || n != right)
        return false;
    *has = true;
    return true;
}

struct slice file_name_adopted(struct slice base)
{
    struct slice rest = base, part;

    (void)slice_cut(&rest, ',', &part);
    while (rest.n > 0) {
        const char *at = rest.p;

        (void)slice_cut(&rest, ',', &part);
        if (slice_is(slice_head(part, 2), "U="))
            return slice_head(base, (size_t)(at - base.p) - 1);
    }
    return base;
}

void file_name_base(struct index *x, struct slice base, uint32_t uid, uint64_t size, uint64_t wire,
                    char to[MAILDIR_NAME])
{
    struct slice rest = base, part;
    bool has_size = false, has_wire = false, has_uid = false;
    size_t n = 0;
    int tail;

    /* Nothing before the first comma: what follows could begin with a dot, and such files are no messages. */
    if (base.n == 0 || base.p[0] == ',')
        return file_name_new(x, uid, size, wire, to);
    while (rest.n > 0) {
        (void)slice_cut(&rest, ',', &part);
        has_uid = has_uid || (n > 0 && slice_is(slice_head(part, 2), "U="));
        if (n > 0 && is_ours(part) && (has_uid || !keep(part, 'S', size, &has_size)) &&
            (has_uid || !keep(part, 'W', wire, &has_wire)))
            continue;
        if (part.n + 1 > BASE_MAX - n)
            return file_name_new(x, uid, size, wire, to);
        if (n > 0)
            to[n++] = ',';
        memcpy(to + n, part.p, part.n);
        n += part.n;
    }
    tail = snprintf(to + n, MAILDIR_NAME - n, ",U=%" PRIu32, uid);
    if (!has_size)
        tail += snprintf(to + n + tail, MAILDIR_NAME - n - (size_t)tail, ",S=%" PRIu64, size);
    if (!has_wire)
        tail += snprintf(to + n + tail, MAILDIR_NAME - n - (size_t)tail, ",W=%" PRIu64, wire);
    if ((size_t)tail > BASE_MAX - n)
        file_name_new(x, uid, size, wire, to);
}

void file_name_new(struct index *x, uint32_t uid, uint64_t size, uint64_t wire, char to[MAILDIR_NAME])
{
    uint64_t r;

    rand_bytes(&r, sizeof r);
    (void)snprintf(to, MAILDIR_NAME, "%" PRId64 ".R%016" PRIx64 ".%s,S=%" PRIu64 ",W=%" PRIu64 ",U=%" PRIu32,
                   clock_wall_ms() / 1000, r, x->maildirs->host, size, wire, uid);
}

static unsigned named(unsigned keyword_count)
{
    return keyword_count < KEYWORDS_IN_NAME ? keyword_count : KEYWORDS_IN_NAME;
}

/* Letters that mean nothing to us, but perhaps to the program that put them there. */
static bool is_foreign(char c, unsigned keyword_count)
{
    if (c >= 'a' && c <= 'z')
        return (unsigned)(c - 'a') >= named(keyword_count);
    for (size_t i = 0; i < sizeof letters / sizeof letters[0]; i++)
        if (letters[i].letter == c)
            return false;
    return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

int file_name_flags(struct slice base, struct slice info, uint8_t flags, uint64_t keywords, unsigned keyword_count,
                    char to[MAILDIR_NAME])
{
    bool set[128] = { false };
    size_t n = base.n;

    if (base.n + 3 >= MAILDIR_NAME)
        return -ENAMETOOLONG;
    for (size_t i = 0; i < info.n; i++)
        if (is_foreign(info.p[i], keyword_count))
            set[(unsigned char)info.p[i]] = true;
    for (size_t i = 0; i < sizeof letters / sizeof letters[0]; i++)
        if ((flags & letters[i].flag) != 0)
            set[(unsigned char)letters[i].letter] = true;
    for (unsigned i = 0; i < named(keyword_count); i++)
        if ((keywords >> i & 1) != 0)
            set['a' + i] = true;
    memcpy(to, base.p, base.n);
    to[n++] = ':';
    to[n++] = '2';
    to[n++] = ',';
    for (unsigned c = '0'; c <= 'z'; c++) {
        if (!set[c])
            continue;
        if (n + 1 >= MAILDIR_NAME)
            return -ENAMETOOLONG;
        to[n++] = (char)c;
    }
    to[n] = '\0';
    return 0;
}

void file_name_read(struct slice info, unsigned keyword_count, uint8_t *flags, uint64_t *keywords)
{
    uint8_t f = 0;
    uint64_t k = 0;

    for (size_t at = 0; at < info.n; at++) {
        char c = info.p[at];

        for (size_t i = 0; i < sizeof letters / sizeof letters[0]; i++)
            if (letters[i].letter == c)
                f |= letters[i].flag;
        if (c >= 'a' && c <= 'z' && (unsigned)(c - 'a') < named(keyword_count))
            k |= (uint64_t)1 << (c - 'a');
    }
    *flags = f;
    *keywords = k;
}

bool file_name_says(struct slice info, uint8_t flags, uint64_t keywords, unsigned keyword_count)
{
    uint64_t mask = ((uint64_t)1 << named(keyword_count)) - 1, k;
    uint8_t f;

    file_name_read(info, keyword_count, &f, &k);
    return f == flags && k == (keywords & mask);
}

/* The next piece between commas that is not of us; the first is never. */
static bool next_piece(struct slice *rest, bool first, struct slice *ret)
{
    while (rest->n > 0) {
        (void)slice_cut(rest, ',', ret);
        if (first || !is_ours(*ret))
            return true;
    }
    return false;
}

bool file_name_same(struct slice a, struct slice b)
{
    struct slice x = { 0 }, y = { 0 };

    for (bool first = true;; first = false) {
        bool more = next_piece(&a, first, &x);

        if (next_piece(&b, first, &y) != more)
            return false;
        if (!more)
            return true;
        if (!slice_eq(x, y))
            return false;
    }
}
