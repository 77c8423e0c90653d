#include "maildir_name.h"

#include "facteur/base/codec.h"
#include "facteur/store/maildir.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

enum { FILE_NAME_MAX = 255 };

/* "Q<13 characters>R<number>", the second of the parts that dots divide. */
static bool parse_delivery(struct slice part, struct maildir_name *ret)
{
    struct slice id;
    uint64_t seq;

    if (part.n < 2 || part.p[0] != 'Q')
        return false;
    part = slice_skip(part, 1);
    if (!slice_cut(&part, 'R', &id) || base32_u64_parse(id, &ret->id) < 0 || slice_u64(part, UINT32_MAX, &seq) < 0)
        return false;
    ret->seq = (uint32_t)seq;
    return true;
}

void maildir_name_parse(struct slice name, struct maildir_name *ret)
{
    struct slice base, part, seconds, delivery;
    uint64_t n;

    *ret = (struct maildir_name){ 0 };
    (void)slice_cut(&name, ':', &base); /* the flags stand behind it */
    (void)slice_cut(&base, ',', &part);
    if (slice_cut(&part, '.', &seconds) && slice_u64(seconds, INT64_MAX, &n) == 0 && slice_cut(&part, '.', &delivery))
        ret->ours = parse_delivery(delivery, ret);
    if (!ret->ours) {
        ret->id = 0;
        ret->seq = 0;
    }
    while (base.n > 0) {
        (void)slice_cut(&base, ',', &part);
        if (part.n > 2 && part.p[0] == 'S' && part.p[1] == '=' && slice_u64(slice_skip(part, 2), INT64_MAX, &n) == 0) {
            ret->has_size = true;
            ret->size = n;
        }
    }
}

int maildir_name_format(int64_t received_ms, uint64_t id, uint32_t seq, const char *host, uint64_t size,
                        uint64_t wire_size, char *to, size_t room)
{
    char text[14];
    int n;

    base32_u64(id, text);
    n = snprintf(to, room, "%" PRId64 ".Q%sR%" PRIu32 ".%s,S=%" PRIu64 ",W=%" PRIu64,
                 received_ms > 0 ? received_ms / 1000 : 0, text, seq, host, size, wire_size);
    return n < 0 || (size_t)n >= room ? -ENAMETOOLONG : 0;
}

static bool stays(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("_-+=~", c) != NULL);
}

int maildir_encode(struct slice part, struct buf *out)
{
    size_t from = out->n;

    if (part.n == 0)
        return -EINVAL;
    for (size_t i = 0; i < part.n; i++) {
        char c = part.p[i];
        int r = stays(c) || (c == '.' && i > 0) ? buf_addc(out, c) : buf_addf(out, "%%%02X", (unsigned char)c);

        if (r < 0 || out->n - from > FILE_NAME_MAX)
            return -ENAMETOOLONG;
    }
    return 0;
}

int maildir_path(const char *user, struct buf *out)
{
    const char *at = strrchr(user, '@');
    int r;

    if (at == NULL)
        return -EINVAL;
    TRY(buf_adds(out, "mail/"));
    r = maildir_encode(slice_str(at + 1), out);
    if (r == 0)
        r = buf_addc(out, '/');
    if (r == 0)
        r = maildir_encode(slice_make(user, (size_t)(at - user)), out);
    if (r == 0)
        r = buf_adds(out, "/Maildir");
    return r == -ENOBUFS ? -ENAMETOOLONG : r;
}
