/* Conversion to 7 bits: what comes out has 7 bits and short lines, is the same in pieces of any size, has the same parts
 * with the same contents; and what went in fit comes out as it was. */
#include "facteur/base/mem.h"
#include "facteur/mail/seven_bit.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

/* False: it cannot be converted. */
static bool convert(struct slice message, size_t piece, struct buf *out, uint64_t *ret_size)
{
    struct seven_bit s;
    struct err e;
    struct buf block;
    bool good;

    seven_bit_init(&s);
    buf_init(&block, SEVEN_BIT_OUT);
    for (struct slice rest = message; rest.n > 0; rest = slice_skip(rest, piece))
        seven_bit_survey(&s, slice_head(rest, piece));
    good = seven_bit_plan(&s, ret_size, &e) == 0;
    for (struct slice rest = message; good && rest.n > 0; rest = slice_skip(rest, piece)) {
        buf_reset(&block);
        require(seven_bit_push(&s, slice_head(rest, piece), &block) == 0);
        require(buf_add(out, block.p, block.n) == 0);
    }
    buf_reset(&block);
    require(!good || (seven_bit_end(&s, &block) == 0 && buf_add(out, block.p, block.n) == 0));
    buf_clear(&block);
    seven_bit_clear(&s);
    return good;
}

static bool is_fit(struct slice s)
{
    size_t column = 0;

    for (size_t i = 0; i < s.n; i++) {
        bool line_end = s.p[i] == '\r' && i + 1 < s.n && s.p[i + 1] == '\n';

        i += line_end ? 1 : 0;
        column = line_end ? 0 : column + 1;
        if (!line_end && (s.p[i] == '\r' || s.p[i] == '\n' || s.p[i] == '\0' || (unsigned char)s.p[i] > 127))
            return false;
        if (column > MIME_LINE)
            return false;
    }
    return true;
}

static void parse(struct mime *m, struct slice message)
{
    mime_init(m, true);
    (void)mime_push(m, message);
    mime_end(m);
}

static void decode(struct slice message, const struct mime_part *part, struct buf *out)
{
    struct transfer t;

    buf_init(out, 4 * message.n + 256);
    transfer_init(&t, part->coding);
    require(transfer_push(&t, slice_make(message.p + part->body_at, (size_t)(part->end - part->body_at)), true, out) ==
            0);
}

static void check_contents(struct slice before, const struct mime_part *a, struct slice after,
                           const struct mime_part *b)
{
    struct buf was, is;

    decode(before, a, &was);
    decode(after, b, &is);
    require(slice_eq(buf_slice(&was), buf_slice(&is)));
    buf_clear(&was);
    buf_clear(&is);
}

static const struct mime_part *next_part(const struct mime_part *part)
{
    if (part->first != NULL)
        return part->first;
    while (part != NULL && part->next == NULL)
        part = part->parent;
    return part != NULL ? part->next : NULL;
}

static void check_same_message(struct slice before, struct slice after)
{
    struct mime was, is;
    const struct mime_part *a, *b;

    parse(&was, before);
    parse(&is, after);
    for (a = was.root, b = is.root; a != NULL && b != NULL; a = next_part(a), b = next_part(b)) {
        require(slice_ieq(a->type, b->type));
        require(slice_ieq(a->subtype, b->subtype) && a->children == b->children);
        if (!a->multipart && !a->message)
            check_contents(before, a, after, b);
    }
    require(a == NULL && b == NULL);
    mime_clear(&was);
    mime_clear(&is);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice message;
    struct buf whole, pieces;
    uint64_t estimate = 0, again = 0;
    bool good;

    if (size < 1 || size > SEVEN_BIT_BLOCK)
        return 0;
    message = (struct slice){ (const char *)data + 1, size - 1 };
    buf_init(&whole, SEVEN_BIT_OUT);
    buf_init(&pieces, SEVEN_BIT_OUT);
    good = convert(message, SEVEN_BIT_BLOCK, &whole, &estimate);
    require(convert(message, 1U + data[0] % 64, &pieces, &again) == good);
    require(slice_eq(buf_slice(&whole), buf_slice(&pieces)) && estimate == again);
    if (is_fit(message))
        require(good && slice_eq(message, buf_slice(&whole)) && estimate == message.n);
    if (good) {
        require(is_fit(buf_slice(&whole)));
        check_same_message(message, buf_slice(&whole));
    }
    buf_clear(&whole);
    buf_clear(&pieces);
    return 0;
}
