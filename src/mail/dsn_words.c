#include "dsn_priv.h"
#include "facteur/base/codec.h"

enum { SOFT_WIDTH = 76, HARD_WIDTH = 500 };

/* The word at the front of *in, without the spaces and controls before it; empty at the end. */
static struct slice next_word(struct slice *in)
{
    size_t n = 0;
    struct slice word;

    while (in->n > 0 && ((unsigned char)in->p[0] <= 0x20 || in->p[0] == 0x7f))
        *in = slice_skip(*in, 1);
    while (n < in->n && (unsigned char)in->p[n] > 0x20 && in->p[n] != 0x7f && n < HARD_WIDTH)
        n++;
    for (int i = 0; n >= HARD_WIDTH - 3 && n < in->n && ((unsigned char)in->p[n] & 0xc0) == 0x80 && i < 3; i++)
        n--; /* not in the middle of a character, which has three octets after its first */
    word = slice_head(*in, n);
    *in = slice_skip(*in, n);
    return word;
}

static int add_word(struct slice word, bool utf8, struct buf *out)
{
    for (size_t i = 0; i < word.n; i++)
        TRY(buf_addc(out, (unsigned char)word.p[i] > 0x7e && !utf8 ? '?' : word.p[i]));
    return 0;
}

int dsn_words(const char *words, const char *indent, bool utf8, struct buf *out)
{
    struct slice in = slice_head(slice_str(words), DSN_WORDS_MAX);
    size_t width = SOFT_WIDTH; /* the first word starts where the caller stands */
    bool first = true;

    utf8 = utf8 && utf8_valid(in);
    for (struct slice word = next_word(&in); word.n > 0; word = next_word(&in)) {
        if (!first && width + 1 + word.n > SOFT_WIDTH) {
            TRY(buf_addc(out, '\n'));
            TRY(buf_adds(out, indent));
            width = strlen(indent);
        } else if (!first) {
            TRY(buf_addc(out, ' '));
            width++;
        } else {
            width = strlen(indent);
        }
        TRY(add_word(word, utf8, out));
        width += word.n;
        first = false;
    }
    return 0;
}
