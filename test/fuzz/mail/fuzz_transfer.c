/* A part's body on its way to text: transfer encoding, charset and HTML give the same whole and in pieces, and UTF-8.
 * The first octet chooses the encoding and the size of the pieces, the second the charset. */
#include "facteur/base/codec.h"
#include "facteur/base/mem.h"
#include "facteur/mail/charset.h"
#include "facteur/mail/text.h"
#include "facteur/mail/transfer.h"

#include <stdlib.h>

enum { TEXT_MAX = 1 << 26 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const charsets[] = { "",          "utf-8",  "iso-8859-1",  "koi8-r", "iso-2022-jp",
                                        "shift_jis", "euc-kr", "gb2312",      "big5",   "utf-16",
                                        "utf-16le",  "utf-7",  "iso-2022-kr", "euc-jp", "utf-32be",
                                        "big5-hkscs" };

static void require(bool holds)
{
    if (!holds)
        abort();
}

static bool is_broken(struct slice utf8)
{
    return utf8.n > 0 && memmem(utf8.p, utf8.n, "\xef\xbf\xbd", 3) != NULL;
}

static bool is_stateful(const char *charset)
{
    return slice_istarts(slice_str(charset), "iso-2022") || slice_iis(slice_str(charset), "utf-7");
}

static void decode(enum mime_encoding coding, const char *name, struct slice in, size_t piece, struct buf *octets,
                   struct buf *text)
{
    struct charset *c = charset_open(slice_str(name));
    struct transfer t;
    size_t given = 0;

    require(c != NULL);
    transfer_init(&t, coding);
    do {
        bool last = in.n <= piece;

        require(transfer_push(&t, slice_head(in, piece), last, octets) == 0);
        require(charset_push(c, slice_skip(buf_slice(octets), given), last, text) == 0);
        given = octets->n;
        in = slice_skip(in, piece);
    } while (in.n > 0);
    charset_close(&c);
}

/* The whole way, as a message. */
struct memory {
    struct slice octets;
};

static ssize_t read_memory(void *from, void *to, size_t n, uint64_t at)
{
    const struct memory *m = from;

    n = n < m->octets.n - at ? n : (size_t)(m->octets.n - at);
    if (n > 0)
        memcpy(to, m->octets.p + at, n);
    return (ssize_t)n;
}

static int take(void *to, enum text_kind kind, bool nested, struct slice name, struct slice utf8)
{
    (void)kind;
    (void)nested;
    (void)name;
    require(utf8_valid(utf8));
    *(size_t *)to += utf8.n;
    return 0;
}

static void walk(struct slice message)
{
    struct memory memory = { message };
    struct text_source source = { read_memory, &memory };
    size_t taken = 0, characters = 0;
    struct text_sink sink = { take, &taken };
    struct buf preview;
    struct mime m;

    mime_init(&m, true);
    (void)mime_push(&m, message);
    mime_end(&m);
    require(text_walk(&m, &source, UINT64_MAX, &sink) == 0);
    buf_init(&preview, 800);
    require(text_preview(&m, &source, &preview) == 0 && utf8_valid(buf_slice(&preview)));
    for (size_t i = 0; i < preview.n; i++)
        characters += ((unsigned char)preview.p[i] & 0xc0) != 0x80;
    require(characters <= 200);
    buf_clear(&preview);
    mime_clear(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum mime_encoding codings[] = { MIME_7BIT, MIME_BASE64, MIME_QUOTED_PRINTABLE };
    struct buf octets[2], text[2];
    struct slice in;

    if (size < 2)
        return 0;
    in = (struct slice){ (const char *)data + 2, size - 2 };
    for (int i = 0; i < 2; i++) {
        buf_init(&octets[i], TEXT_MAX);
        buf_init(&text[i], TEXT_MAX);
        decode(codings[data[0] % 3], charsets[data[1] % 16], in, i == 0 ? in.n + 1 : 1U + data[0] / 3, &octets[i],
               &text[i]);
    }
    require(slice_eq(buf_slice(&octets[0]), buf_slice(&octets[1])));
    /* what the C library makes of escape sequences behind broken octets depends on where it is called */
    if (!is_broken(buf_slice(&text[0])) || !is_stateful(charsets[data[1] % 16]))
        require(slice_eq(buf_slice(&text[0]), buf_slice(&text[1])));
    require(utf8_valid(buf_slice(&text[0])));
    for (int i = 0; i < 2; i++) {
        buf_clear(&octets[i]);
        buf_clear(&text[i]);
    }
    walk(in);
    return 0;
}
