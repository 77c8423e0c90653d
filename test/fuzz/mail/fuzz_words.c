/* Header text: decoded it is one line of UTF-8, and the base of a subject's base is itself. */
#include "facteur/base/codec.h"
#include "facteur/base/mem.h"
#include "facteur/mail/charset.h"
#include "facteur/mail/words.h"

#include <stdlib.h>

enum { TEXT_MAX = 1 << 24 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice value = { (const char *)data, size };
    struct buf text, base, folded;
    bool reply = false;

    buf_init(&text, TEXT_MAX);
    buf_init(&base, TEXT_MAX);
    buf_init(&folded, TEXT_MAX);
    require(words_decode(value, &text) == 0);
    require(utf8_valid(buf_slice(&text)));
    for (size_t i = 0; i < text.n; i++)
        require(text.p[i] != '\r' && text.p[i] != '\n' && text.p[i] != '\0');
    require(words_base_subject(buf_slice(&text), &base, &reply) == 0);
    require(base.n <= 2 * text.n + 4 && utf8_valid(buf_slice(&base)));
    require(charset_fold(buf_slice(&base), &folded) == 0);
    require(slice_eq(buf_slice(&base), buf_slice(&folded))); /* folding again changes nothing */
    buf_reset(&folded);
    require(words_base_subject(buf_slice(&base), &folded, &reply) == 0);
    require(slice_eq(buf_slice(&base), buf_slice(&folded)) && !reply);
    buf_clear(&text);
    buf_clear(&base);
    buf_clear(&folded);
    return 0;
}
