#include "facteur/mail/words.h"

#include "facteur/mail/charset.h"
#include "facteur/mail/transfer.h"
#include "hex_priv.h"

#include <errno.h>

/* An encoded word, taken apart. */
struct word {
    struct slice charset; /* without its language (RFC 2231 section 5) */
    bool base64;
    struct slice text; /* still encoded */
    size_t n;          /* octets of all of it */
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Reads one at the front of `in`, which starts with "=?". Each of its three parts ends at the next "?", so that a text
 * of nothing but starts of words is looked at four times and not more. White space in the text is let pass: not
 * allowed, but seen. */
static bool read_word(struct slice in, struct word *ret)
{
    struct slice rest = slice_skip(in, 2), coding, language;
    struct word w;

    if (!slice_cut(&rest, '?', &w.charset) || w.charset.n == 0 || !slice_cut(&rest, '?', &coding) || coding.n != 1 ||
        !slice_cut(&rest, '?', &w.text) || rest.n == 0 || rest.p[0] != '=')
        return false;
    for (size_t i = 0; i < w.charset.n; i++)
        if (is_blank(w.charset.p[i]) || (unsigned char)w.charset.p[i] < 0x21)
            return false;
    language = w.charset;
    (void)slice_cut(&language, '*', &w.charset);
    w.base64 = coding.p[0] == 'b' || coding.p[0] == 'B';
    if (!w.base64 && coding.p[0] != 'q' && coding.p[0] != 'Q')
        return false;
    w.n = (size_t)(rest.p + 1 - in.p);
    *ret = w;
    return true;
}

/* The decoder between two words: those of one charset are one text, so that a character may be cut between them (not
 * allowed, but seen). */
struct decoder {
    struct slice charset;
    struct charset *converter; /* NULL: no word is open */
    struct buf octets;
    struct buf *out;
};

static int flush(struct decoder *d)
{
    int code = 0;

    if (d->converter != NULL)
        code = charset_push(d->converter, (struct slice){ "", 0 }, true, d->out);
    charset_close(&d->converter);
    return code;
}

static int open_charset(struct decoder *d, struct slice charset)
{
    if (d->converter != NULL && slice_ieq(d->charset, charset))
        return 0;
    TRY(flush(d));
    d->charset = charset;
    d->converter = charset_open(charset);
    if (d->converter == NULL)
        d->converter = charset_open((struct slice){ "", 0 });
    return 0;
}

/* RFC 2047 section 4.2: as quoted-printable, but "_" is a space and there are no lines. */
static int decode_q(struct slice text, struct buf *out)
{
    char *to = buf_room(out, text.n);

    if (to == NULL)
        return -ENOBUFS;
    for (size_t i = 0; i < text.n; i++) {
        int octet = text.p[i] == '=' ? hex_octet(slice_skip(text, i + 1)) : -1;

        if (octet >= 0)
            i += 2;
        else
            octet = text.p[i] == '_' ? ' ' : (unsigned char)text.p[i];
        *to++ = (char)octet;
        out->n++;
    }
    return 0;
}

static int decode_b(struct slice text, struct buf *out)
{
    struct transfer t;

    transfer_init(&t, MIME_BASE64);
    return transfer_push(&t, text, true, out);
}

static int take_word(struct decoder *d, const struct word *w)
{
    TRY(open_charset(d, w->charset));
    buf_reset(&d->octets);
    TRY(w->base64 ? decode_b(w->text, &d->octets) : decode_q(w->text, &d->octets));
    return charset_push(d->converter, buf_slice(&d->octets), false, d->out);
}

/* Text between words, of which white space alone falls away between two of them. */
static int take_text(struct decoder *d, struct slice text, bool after_word, bool before_word)
{
    bool blank = true;

    for (size_t i = 0; i < text.n && blank; i++)
        blank = is_blank(text.p[i]);
    if (text.n == 0 || (blank && after_word && before_word))
        return 0;
    TRY(flush(d));
    return charset_to_utf8((struct slice){ "", 0 }, text, d->out);
}

static int decode(struct decoder *d, struct slice value)
{
    size_t plain = 0, i = 0; /* where the text since the last word starts, and how far it has been looked at */
    bool after_word = false;

    while (i + 1 < value.n) {
        const char *at = memchr(value.p + i, '=', value.n - i);
        struct word w;

        if (at == NULL)
            break;
        i = (size_t)(at - value.p);
        if (i + 1 == value.n || value.p[i + 1] != '?' || !read_word(slice_skip(value, i), &w)) {
            i++;
            continue;
        }
        TRY(take_text(d, (struct slice){ value.p + plain, i - plain }, after_word, true));
        TRY(take_word(d, &w));
        i += w.n;
        plain = i;
        after_word = true;
    }
    TRY(take_text(d, slice_skip(value, plain), after_word, false));
    return flush(d);
}

/* Makes one line of what was added: a run of white space (a fold is one) or NULs becomes a space, as in ENVELOPE; a
 * line end at the end falls away. */
static void flatten(struct buf *b, size_t start)
{
    size_t to = start;

    while (b->n > start && (b->p[b->n - 1] == '\r' || b->p[b->n - 1] == '\n'))
        b->n--;
    for (size_t i = start; i < b->n; i++) {
        bool space = is_blank(b->p[i]) || b->p[i] == '\0';

        if (!space)
            b->p[to++] = b->p[i];
        else if (to == start || b->p[to - 1] != ' ')
            b->p[to++] = ' ';
    }
    b->n = to;
}

int words_decode(struct slice value, struct buf *out)
{
    struct decoder d = { .out = out };
    size_t start = out->n;
    int code;

    buf_init(&d.octets, value.n + 1);
    code = decode(&d, value);
    charset_close(&d.converter);
    buf_clear(&d.octets);
    if (code < 0)
        out->n = start;
    else
        flatten(out, start);
    return code;
}

static struct slice trim_front(struct slice s)
{
    while (s.n > 0 && s.p[0] == ' ')
        s = slice_skip(s, 1);
    return s;
}

static struct slice trim_back(struct slice s)
{
    while (s.n > 0 && s.p[s.n - 1] == ' ')
        s.n--;
    return s;
}

/* subj-blob = "[" *BLOBCHAR "]" *WSP off the front; BLOBCHAR is anything but brackets. */
static bool drop_blob(struct slice *s)
{
    size_t n = 1;

    if (s->n == 0 || s->p[0] != '[')
        return false;
    while (n < s->n && s->p[n] != '[' && s->p[n] != ']')
        n++;
    if (n == s->n || s->p[n] != ']')
        return false;
    *s = trim_front(slice_skip(*s, n + 1));
    return true;
}

/* subj-leader without its blobs: ("re" / "fw" / "fwd") *WSP [subj-blob] ":" off the front. */
static bool drop_refwd(struct slice *s)
{
    struct slice rest = *s;

    if (slice_istarts(rest, "FWD"))
        rest = slice_skip(rest, 3);
    else if (slice_istarts(rest, "RE") || slice_istarts(rest, "FW"))
        rest = slice_skip(rest, 2);
    else
        return false;
    rest = trim_front(rest);
    (void)drop_blob(&rest);
    if (rest.n == 0 || rest.p[0] != ':')
        return false;
    *s = trim_front(slice_skip(rest, 1));
    return true;
}

/* RFC 5256 section 2.1, steps 3 to 5: leaders, and blobs that something is left without. Blobs before a leader belong
 * to it; each octet is looked at twice at most, because `blobs` never goes back. */
static void drop_leaders(struct slice *s, bool *reply)
{
    struct slice blobs = *s; /* *s without the blobs at its front */

    for (;;) {
        while (drop_blob(&blobs))
            continue;
        if (!drop_refwd(&blobs))
            break;
        *reply = true;
        *s = blobs;
    }
    while (s->p < blobs.p) { /* blobs without a leader behind them */
        struct slice rest = *s;

        (void)drop_blob(&rest);
        if (rest.n == 0)
            break;
        *s = rest;
    }
}

/* Step 2: "(fwd)" at the end. */
static void drop_trailers(struct slice *s, bool *reply)
{
    *s = trim_back(*s);
    while (slice_iends(*s, "(FWD)")) {
        s->n -= 5;
        *s = trim_back(*s);
        *reply = true;
    }
}

/* White space becomes single spaces (step 1). */
static int squeeze(struct slice in, struct buf *out)
{
    while (in.n > 0) {
        size_t n = 0;

        while (n < in.n && !is_blank(in.p[n]))
            n++;
        TRY(buf_add(out, in.p, n));
        in = slice_skip(in, n);
        for (n = 0; n < in.n && is_blank(in.p[n]);)
            n++;
        if (n > 0)
            TRY(buf_addc(out, ' '));
        in = slice_skip(in, n);
    }
    return 0;
}

static int base_subject(struct slice utf8, struct buf *text, struct buf *out, bool *ret_reply)
{
    bool reply = false;
    struct slice s;

    TRY(squeeze(utf8, text));
    s = trim_front(buf_slice(text));
    for (;;) {
        drop_trailers(&s, &reply);
        drop_leaders(&s, &reply);
        if (!slice_istarts(s, "[FWD:") || s.p[s.n - 1] != ']') /* step 6 */
            break;
        s = trim_front((struct slice){ s.p + 5, s.n - 6 });
        reply = true;
    }
    TRY(charset_fold(s, out));
    *ret_reply = reply;
    return 0;
}

int words_base_subject(struct slice utf8, struct buf *out, bool *ret_reply)
{
    struct buf text;
    size_t start = out->n;
    int code;

    buf_init(&text, utf8.n);
    code = base_subject(utf8, &text, out, ret_reply);
    buf_clear(&text);
    if (code < 0)
        out->n = start;
    return code;
}
