/* The header: cut anywhere it gives the same fields and the same rest, and nothing is lost between them. The first
 * octet chooses the length of the pieces. */
#include "facteur/mail/header.h"

#include <errno.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

/* The result's code; what belongs to the body goes to `body`. */
static int run(struct header *h, struct slice in, size_t piece, struct buf *body)
{
    size_t used = 0;
    int code = MORE;

    header_init(h);
    buf_init(body, in.n);
    while (in.n > 0 && code == MORE) {
        struct slice one = slice_head(in, piece);

        code = header_push(h, one, &used);
        if (code < 0)
            return code;
        require(used <= one.n && (code == DONE || used == one.n));
        in = slice_skip(in, used);
    }
    if (code == MORE)
        code = header_end(h);
    if (code == 0)
        require(buf_add(body, h->spill.p, h->spill.n) == 0 && buf_add(body, in.p, in.n) == 0);
    return code;
}

static void check_fields(const struct header *h)
{
    struct buf value;
    struct address a;
    size_t total = 0;
    int addresses;

    buf_init(&value, LIMIT_HEADER);
    for (size_t i = 0; i < h->count; i++) {
        total += h->fields[i].all.n;
        require(h->fields[i].name.n > 0 && h->fields[i].all.p[h->fields[i].all.n - 1] == '\n');
        require(header_value(&h->fields[i], &value) == 0);
        require(slice_find(buf_slice(&value), '\n') < 0);
        addresses = header_addresses(buf_slice(&value), &a, 1);
        require(addresses >= 0 || addresses == -EINVAL);
    }
    require(total == h->text.n);
    buf_clear(&value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct header whole, cut;
    struct buf whole_body, cut_body;
    struct slice in;
    int code;

    if (size < 1)
        return 0;
    in = (struct slice){ (const char *)data + 1, size - 1 };
    code = run(&whole, in, size, &whole_body);
    require(run(&cut, in, data[0] % 16 + 1U, &cut_body) == code);
    if (code == 0) {
        require(whole.count == cut.count && whole.broken == cut.broken);
        require(slice_eq(buf_slice(&whole.text), buf_slice(&cut.text)));
        require(slice_eq(buf_slice(&whole_body), buf_slice(&cut_body)));
        check_fields(&whole);
    }
    header_clear(&whole);
    header_clear(&cut);
    buf_clear(&whole_body);
    buf_clear(&cut_body);
    return 0;
}
