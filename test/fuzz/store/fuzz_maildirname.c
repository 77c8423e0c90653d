/* Any octets as a file's name in a Maildir, and as a user's name: what is read from them stays within bounds, what is
 * made of them is a safe file name, and what we name ourselves is read back. */
#include "facteur/base/mem.h"
#include "facteur/store/maildir.h"

#include "../../../src/store/maildir_name.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void name_is_safe(const struct buf *b)
{
    check(b->n > 0 && b->n <= 255 && b->p[0] != '.');
    for (size_t i = 0; i < b->n; i++)
        check(b->p[i] > ' ' && b->p[i] < 0x7f && b->p[i] != '/');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = { (const char *)data, size };
    struct maildir_name n, again;
    char name[MAILDIR_NAME];
    struct buf out;
    char *user = mem_dup(data, size);

    maildir_name_parse(in, &n);
    check(n.ours || (n.id == 0 && n.seq == 0));
    check(n.has_size || n.size == 0);
    if (n.ours && n.size <= INT64_MAX) {
        check(maildir_name_format(1700000000000, n.id, n.seq, "host", n.size, n.size, name, sizeof name) == 0);
        maildir_name_parse(slice_str(name), &again);
        check(again.ours && again.id == n.id && again.seq == n.seq && again.has_size && again.size == n.size);
    }
    buf_init(&out, 4096);
    if (maildir_encode(in, &out) == 0)
        name_is_safe(&out);
    buf_reset(&out);
    if (maildir_path(user, &out) == 0) {
        struct slice rest = buf_slice(&out), part;
        int parts = 1;

        while (slice_cut(&rest, '/', &part)) {
            check(part.n > 0 && part.p[0] != '.');
            parts++;
        }
        check(parts == 4);
    }
    buf_clear(&out);
    mem_free(user);
    return 0;
}
