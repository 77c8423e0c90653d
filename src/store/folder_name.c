#include "folder_name_priv.h"

#include "facteur/base/codec.h"
#include "facteur/mail/mutf7.h"

#include <errno.h>

static const char dot_run[] = "&AC4-"; /* "." in modified UTF-7, were it allowed to encode it */

enum { DOT_RUN = sizeof dot_run - 1 };

bool folder_name_is_inbox(struct slice name)
{
    return slice_iis(name, "INBOX");
}

int folder_name_normal(struct slice name, char to[INDEX_NAME + 1])
{
    struct slice rest = name, first;

    if (slice_copy(name, to, INDEX_NAME + 1) < 0)
        return -ENAMETOOLONG;
    (void)slice_cut(&rest, '/', &first);
    if (folder_name_is_inbox(first))
        memcpy(to, "INBOX", 5);
    return 0;
}

/* C0, DEL, C1, and the two that end lines and paragraphs (RFC 9051 section 5.1, RFC 5198 section 2). */
static bool has_control(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i], next = i + 1 < s.n ? (unsigned char)s.p[i + 1] : 0;

        if (c < 0x20 || c == 0x7f || (c == 0xc2 && next >= 0x80 && next <= 0x9f))
            return true;
        if (c == 0xe2 && next == 0x80 && i + 2 < s.n && ((unsigned char)s.p[i + 2] & 0xfe) == 0xa8)
            return true;
    }
    return false;
}

static bool is_dots(struct slice level)
{
    return slice_is(level, ".") || slice_is(level, "..");
}

/* A level as it stands on the disk. 0, -EINVAL or -ENOBUFS. */
static int encode_level(struct slice level, struct buf *out)
{
    struct slice piece;

    for (bool more = true; more;) {
        more = slice_cut(&level, '.', &piece);
        TRY(mutf7_encode(piece, out));
        if (more)
            TRY(buf_adds(out, dot_run));
    }
    return 0;
}

static int check_level(struct slice level, struct err *e)
{
    struct buf disk;
    int r;

    if (level.n == 0)
        return err_set(e, -EINVAL, "a folder's name has no empty level, and no \"/\" at its ends");
    if (is_dots(level))
        return err_set(e, -EINVAL, "\"%.*s\" cannot be the name of a folder", SLICE_ARG(level));
    buf_init(&disk, FOLDER_LEVEL);
    r = encode_level(level, &disk);
    buf_clear(&disk);
    if (r == -ENOBUFS)
        return err_set(e, -EINVAL, "a level of a folder's name takes at most %d octets on the disk", FOLDER_LEVEL);
    return r < 0 ? err_set(e, -EINVAL, "a folder's name cannot be written as modified UTF-7") : 0;
}

int index_name_check(struct slice name, struct err *e)
{
    char normal[INDEX_NAME + 1], dir[FOLDER_DIR + 1];
    struct slice rest = name, level;
    unsigned levels = 0;

    if (name.n == 0)
        return err_set(e, -EINVAL, "a folder's name is not empty");
    if (name.n > INDEX_NAME)
        return err_set(e, -EINVAL, "a folder's name has at most %d octets", INDEX_NAME);
    if (!utf8_valid(name))
        return err_set(e, -EINVAL, "a folder's name is UTF-8, and this is not");
    if (has_control(name))
        return err_set(e, -EINVAL, "a folder's name has no control characters");
    for (bool more = true; more;) {
        more = slice_cut(&rest, '/', &level);
        if (++levels > FOLDER_LEVELS)
            return err_set(e, -EINVAL, "folders go at most %d levels deep", FOLDER_LEVELS);
        TRY(check_level(level, e));
    }
    if (folder_name_normal(name, normal) < 0 || folder_name_encode(slice_str(normal), dir) < 0)
        return err_set(e, -EINVAL, "a folder's name takes at most %d octets on the disk, all levels together",
                       FOLDER_DIR);
    return 0;
}

int folder_name_encode(struct slice name, char to[FOLDER_DIR + 1])
{
    struct slice level;
    struct buf out;
    int r = 0;

    if (slice_is(name, "INBOX"))
        return slice_copy(SLICE_LIT("."), to, FOLDER_DIR + 1);
    buf_init(&out, FOLDER_DIR);
    for (bool more = true; r == 0 && more;) {
        more = slice_cut(&name, '/', &level);
        r = level.n == 0 || is_dots(level) || has_control(level) ? -EINVAL : buf_addc(&out, '.');
        if (r == 0)
            r = encode_level(level, &out);
    }
    if (r == 0)
        r = slice_copy(buf_slice(&out), to, FOLDER_DIR + 1);
    buf_clear(&out);
    return r == -ENOBUFS ? -ENAMETOOLONG : r;
}

/* Cuts at the first "&AC4-": as slice_cut does. */
static bool cut_dot(struct slice *s, struct slice *head)
{
    for (size_t i = 0; i + DOT_RUN <= s->n; i++) {
        if (memcmp(s->p + i, dot_run, DOT_RUN) != 0)
            continue;
        *head = slice_head(*s, i);
        *s = slice_skip(*s, i + DOT_RUN);
        return true;
    }
    *head = *s;
    *s = slice_skip(*s, s->n);
    return false;
}

static int decode_pieces(struct slice level, struct buf *out)
{
    size_t start = out->n;
    struct slice piece, whole;

    for (bool more = true; more;) {
        more = cut_dot(&level, &piece);
        TRY(mutf7_decode(piece, out));
        if (more)
            TRY(buf_addc(out, '.'));
    }
    whole = slice_skip(buf_slice(out), start);
    return memchr(whole.p, '/', whole.n) != NULL || has_control(whole) || is_dots(whole) ? -EINVAL : 0;
}

static int decode_level(struct slice level, struct buf *out)
{
    size_t start = out->n;
    int r;

    if (level.n == 0)
        return -EINVAL;
    r = decode_pieces(level, out);
    if (r != -EINVAL)
        return r;
    out->n = start; /* not ours: as it stands */
    if (!utf8_valid(level) || has_control(level) || memchr(level.p, '/', level.n) != NULL)
        return -EINVAL;
    return buf_add(out, level.p, level.n);
}

int folder_name_decode(struct slice dir, char to[INDEX_NAME + 1])
{
    struct slice level;
    struct buf out;
    int r = 0;

    if (dir.n < 2 || dir.n > FOLDER_DIR || dir.p[0] != '.')
        return -EINVAL;
    dir = slice_skip(dir, 1);
    buf_init(&out, INDEX_NAME);
    for (bool more = true; r == 0 && more;) {
        more = slice_cut(&dir, '.', &level);
        r = decode_level(level, &out);
        if (r == 0 && more)
            r = buf_addc(&out, '/');
    }
    if (r == 0 && folder_name_is_inbox(buf_slice(&out)))
        r = -EINVAL; /* INBOX is the Maildir itself */
    if (r == 0)
        r = folder_name_normal(buf_slice(&out), to);
    buf_clear(&out);
    return r < 0 ? -EINVAL : 0;
}
