/* Sections of hostile messages: what is announced as a literal's length is what comes, whole or in part. The first six
 * octets choose the section, the rest is the message. */
#include "../../../src/service/section_priv.h"

#include "facteur/proto/imap_write.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good)
{
    if (!good)
        abort();
}

static void take(struct message_file *f, const struct imap_fetch_item *item, struct buf *out)
{
    struct section s;
    int r = section_find(f, item, &s);

    buf_reset(out);
    if (r < 0) {
        check(r == -EOPNOTSUPP);
        return;
    }
    while ((r = section_next(f, &s, out)) == MORE)
        continue;
    check(r == DONE && out->n == s.length);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum imap_fetch_kind kinds[] = { FETCH_SECTION, FETCH_BINARY, FETCH_RFC822, FETCH_RFC822_HEADER,
                                                  FETCH_RFC822_TEXT };
    struct slice fields[] = { SLICE_LIT("subject"), SLICE_LIT("content-type") };
    uint32_t path[3];
    struct imap_fetch_item item = { .kind = FETCH_SECTION };
    struct message_file f;
    struct buf all, part, structure;
    const struct mime *m;
    int fd;

    if (size < 6)
        return 0;
    for (size_t i = 0; i < 3; i++)
        path[i] = data[i] % 4 + 1U;
    fd = memfd_create("message", 0);
    check(fd >= 0 && write(fd, data + 6, size - 6) == (ssize_t)(size - 6));
    section_sort_fields(fields, 2);
    item.kind = kinds[data[3] % 5];
    item.section = (struct imap_section){ .path = path, .depth = data[4] % 4, .fields = fields, .field_count = 2 };
    item.section.text = item.kind == FETCH_SECTION ? (enum imap_section_text)(data[5] % 6) : SECTION_ALL;

    message_init(&f);
    buf_init(&all, 4 * size + 1024);
    buf_init(&part, 4 * size + 1024);
    buf_init(&structure, 1 << 20);
    message_open(&f, fd, size - 6);
    take(&f, &item, &all);
    item.partial = true;
    item.offset = data[5] >> 3;
    item.length = data[4] >> 2;
    take(&f, &item, &part);
    check(
        slice_eq(slice_head(slice_skip(buf_slice(&all), (size_t)item.offset), (size_t)item.length), buf_slice(&part)));
    check(message_parse(&f, &m) == 0);
    (void)!imap_write_structure(&structure, m->root, true); /* it may be too long */
    message_clear(&f);
    buf_clear(&all);
    buf_clear(&part);
    buf_clear(&structure);
    return 0;
}
