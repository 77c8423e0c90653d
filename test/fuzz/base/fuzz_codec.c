/* Codecs: decoding gives what encodes to the same again, and encoding anything decodes to it. */
#include "facteur/base/codec.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void both_ways(struct slice in, int (*encode)(struct slice, struct buf *),
                      int (*decode)(struct slice, struct buf *))
{
    struct buf text, back;

    buf_init(&text, 4 * in.n + 16);
    buf_init(&back, in.n);
    require(encode(in, &text) == 0);
    if (decode(buf_slice(&text), &back) == 0)
        require(slice_eq(buf_slice(&back), in));
    else
        require(decode == xtext_decode);
    buf_clear(&text);
    buf_clear(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = { (const char *)data, size };
    struct buf octets, text;
    char digits[14];
    uint64_t n;

    buf_init(&octets, size);
    buf_init(&text, size);
    if (base64_decode(in, &octets) == 0) {
        require(base64_encode(buf_slice(&octets), &text) == 0);
        require(slice_eq(buf_slice(&text), in));
    }
    buf_reset(&octets);
    if (xtext_decode(in, &octets) == 0)
        require(slice_find(buf_slice(&octets), '\0') < 0 && slice_find(buf_slice(&octets), '\n') < 0);
    if (base32_u64_parse(in, &n) == 0) {
        base32_u64(n, digits);
        require(slice_is(in, digits));
    }
    require(!ascii_only(in) || utf8_valid(in));
    both_ways(in, base64_encode, base64_decode);
    both_ways(in, xtext_encode, xtext_decode);
    buf_clear(&octets);
    buf_clear(&text);
    return 0;
}
