/* Mailbox names: whatever is accepted in either direction comes back as itself. */
#include "facteur/base/codec.h"
#include "facteur/base/mem.h"
#include "facteur/mail/mutf7.h"

#include <stdlib.h>

enum { NAME_MAX_OCTETS = 1 << 22 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = { (const char *)data, size };
    struct buf there, back;

    buf_init(&there, NAME_MAX_OCTETS);
    buf_init(&back, NAME_MAX_OCTETS);
    if (mutf7_decode(in, &there) == 0) {
        require(utf8_valid(buf_slice(&there)));
        require(mutf7_encode(buf_slice(&there), &back) == 0);
        require(slice_eq(buf_slice(&back), in));
    } else {
        require(there.n == 0);
    }
    buf_reset(&there);
    buf_reset(&back);
    require((mutf7_encode(in, &there) == 0) == utf8_valid(in));
    if (utf8_valid(in)) {
        for (size_t i = 0; i < there.n; i++)
            require(there.p[i] >= 0x20 && there.p[i] < 0x7f);
        require(mutf7_decode(buf_slice(&there), &back) == 0);
        require(slice_eq(buf_slice(&back), in));
    }
    buf_clear(&there);
    buf_clear(&back);
    return 0;
}
