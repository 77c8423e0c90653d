#include "facteur/mail/charset.h"

#include "casemap_priv.h"
#include "charset_table_priv.h"
#include "facteur/base/mem.h"
#include "utf8_priv.h"

#include <errno.h>
#include <iconv.h>
#include <link.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { NAME_MAX_OCTETS = 64, HELD_MAX = 16, CHUNK = 1024 };

enum kind {
    GUESSED, /* UTF-8, and what is none is Windows-1252 */
    UTF8,
    BY_TABLE, /* an octet is a character */
    BY_ICONV
};

struct charset {
    enum kind kind;
    const uint16_t *high; /* BY_TABLE: what the octets from 0x80 are */
    iconv_t cd;
    size_t unit;         /* octets to pass over when they are broken */
    char held[HELD_MAX]; /* the start of a character whose rest has not come */
    size_t held_n;
};

/* Windows-1252; also for ISO-8859-1, whose other 32 are control characters that no mail means. */
static const char western[] = "CP1252";

/* The charsets of mail, named by their letters and digits alone ("iso-8859_15" is iso885915). Others are not given to
 * iconv: a name from a message chooses no code of the C library that nobody meant to have. */
static const struct known {
    const char *name, *by; /* the table's or iconv's name */
    enum kind kind;
    size_t unit; /* octets that make one unit of the charset */
} known[] = {
    { "", NULL, GUESSED, 1 },
    { "usascii", NULL, GUESSED, 1 },
    { "ascii", NULL, GUESSED, 1 },
    { "ansix341968", NULL, GUESSED, 1 },
    { "iso646us", NULL, GUESSED, 1 },
    { "unknown8bit", NULL, GUESSED, 1 },
    { "xunknown", NULL, GUESSED, 1 },
    { "utf8", NULL, UTF8, 1 },
    { "unicode11utf8", NULL, UTF8, 1 },
    { "iso88591", western, BY_TABLE, 1 },
    { "latin1", western, BY_TABLE, 1 },
    { "windows1252", western, BY_TABLE, 1 },
    { "cp1252", western, BY_TABLE, 1 },
    { "xcp1252", western, BY_TABLE, 1 },
    { "ansi", western, BY_TABLE, 1 },
    { "utf7", "UTF-7", BY_ICONV, 1 },
    { "unicode11utf7", "UTF-7", BY_ICONV, 1 },
    { "utf16", "UTF-16", BY_ICONV, 2 },
    { "utf16le", "UTF-16LE", BY_ICONV, 2 },
    { "utf16be", "UTF-16BE", BY_ICONV, 2 },
    { "utf32", "UTF-32", BY_ICONV, 4 },
    { "utf32le", "UTF-32LE", BY_ICONV, 4 },
    { "utf32be", "UTF-32BE", BY_ICONV, 4 },
    { "iso88592", "ISO-8859-2", BY_TABLE, 1 },
    { "latin2", "ISO-8859-2", BY_TABLE, 1 },
    { "iso88593", "ISO-8859-3", BY_TABLE, 1 },
    { "iso88594", "ISO-8859-4", BY_TABLE, 1 },
    { "iso88595", "ISO-8859-5", BY_TABLE, 1 },
    { "iso88596", "ISO-8859-6", BY_TABLE, 1 },
    { "iso88596i", "ISO-8859-6", BY_TABLE, 1 },
    { "iso88597", "ISO-8859-7", BY_TABLE, 1 },
    { "iso88598", "ISO-8859-8", BY_TABLE, 1 },
    { "iso88598i", "ISO-8859-8", BY_TABLE, 1 },
    { "iso88599", "ISO-8859-9", BY_TABLE, 1 },
    { "latin5", "ISO-8859-9", BY_TABLE, 1 },
    { "iso885910", "ISO-8859-10", BY_TABLE, 1 },
    { "iso885911", "ISO-8859-11", BY_TABLE, 1 },
    { "tis620", "ISO-8859-11", BY_TABLE, 1 },
    { "windows874", "ISO-8859-11", BY_TABLE, 1 },
    { "iso885913", "ISO-8859-13", BY_TABLE, 1 },
    { "iso885914", "ISO-8859-14", BY_TABLE, 1 },
    { "iso885915", "ISO-8859-15", BY_TABLE, 1 },
    { "latin9", "ISO-8859-15", BY_TABLE, 1 },
    { "iso885916", "ISO-8859-16", BY_TABLE, 1 },
    { "windows1250", "CP1250", BY_TABLE, 1 },
    { "cp1250", "CP1250", BY_TABLE, 1 },
    { "windows1251", "CP1251", BY_TABLE, 1 },
    { "cp1251", "CP1251", BY_TABLE, 1 },
    { "windows1253", "CP1253", BY_TABLE, 1 },
    { "cp1253", "CP1253", BY_TABLE, 1 },
    { "windows1254", "CP1254", BY_TABLE, 1 },
    { "cp1254", "CP1254", BY_TABLE, 1 },
    { "windows1255", "CP1255", BY_ICONV, 1 },
    { "cp1255", "CP1255", BY_ICONV, 1 },
    { "windows1256", "CP1256", BY_TABLE, 1 },
    { "cp1256", "CP1256", BY_TABLE, 1 },
    { "windows1257", "CP1257", BY_TABLE, 1 },
    { "cp1257", "CP1257", BY_TABLE, 1 },
    { "windows1258", "CP1258", BY_ICONV, 1 },
    { "cp1258", "CP1258", BY_ICONV, 1 },
    { "koi8r", "KOI8-R", BY_TABLE, 1 },
    { "koi8u", "KOI8-U", BY_TABLE, 1 },
    { "ibm437", "CP437", BY_TABLE, 1 },
    { "cp437", "CP437", BY_TABLE, 1 },
    { "ibm850", "CP850", BY_TABLE, 1 },
    { "cp850", "CP850", BY_TABLE, 1 },
    { "ibm852", "CP852", BY_TABLE, 1 },
    { "cp852", "CP852", BY_TABLE, 1 },
    { "ibm866", "CP866", BY_TABLE, 1 },
    { "cp866", "CP866", BY_TABLE, 1 },
    { "macintosh", "MACINTOSH", BY_TABLE, 1 },
    { "xmacroman", "MACINTOSH", BY_TABLE, 1 },
    { "iso2022jp", "ISO-2022-JP", BY_ICONV, 1 },
    { "csiso2022jp", "ISO-2022-JP", BY_ICONV, 1 },
    { "cp50220", "ISO-2022-JP", BY_ICONV, 1 },
    { "cp50221", "ISO-2022-JP", BY_ICONV, 1 },
    { "shiftjis", "CP932", BY_ICONV, 1 },
    { "sjis", "CP932", BY_ICONV, 1 },
    { "xsjis", "CP932", BY_ICONV, 1 },
    { "mskanji", "CP932", BY_ICONV, 1 },
    { "windows31j", "CP932", BY_ICONV, 1 },
    { "cp932", "CP932", BY_ICONV, 1 },
    { "eucjp", "EUC-JP", BY_ICONV, 1 },
    { "xeucjp", "EUC-JP", BY_ICONV, 1 },
    { "euckr", "CP949", BY_ICONV, 1 },
    { "ksc56011987", "CP949", BY_ICONV, 1 },
    { "ksc5601", "CP949", BY_ICONV, 1 },
    { "windows949", "CP949", BY_ICONV, 1 },
    { "cp949", "CP949", BY_ICONV, 1 },
    { "iso2022kr", "ISO-2022-KR", BY_ICONV, 1 },
    { "gb2312", "GB18030", BY_ICONV, 1 },
    { "euccn", "GB18030", BY_ICONV, 1 },
    { "gbk", "GB18030", BY_ICONV, 1 },
    { "xgbk", "GB18030", BY_ICONV, 1 },
    { "cp936", "GB18030", BY_ICONV, 1 },
    { "gb18030", "GB18030", BY_ICONV, 1 },
    { "big5", "BIG5", BY_ICONV, 1 },
    { "cp950", "BIG5", BY_ICONV, 1 },
    { "xxbig5", "BIG5", BY_ICONV, 1 },
    { "big5hkscs", "BIG5-HKSCS", BY_ICONV, 1 },
};

enum { KNOWN = sizeof known / sizeof known[0] };

static const struct known *find(struct slice name)
{
    char key[NAME_MAX_OCTETS + 1];
    size_t n = 0;

    if (name.n > NAME_MAX_OCTETS)
        return NULL;
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];

        if (c >= 'A' && c <= 'Z')
            c = (char)(c - 'A' + 'a');
        if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
            key[n++] = c;
        else if (strchr("-_. :()", c) == NULL || c == '\0')
            return NULL;
    }
    for (size_t i = 0; i < KNOWN; i++)
        if (slice_is((struct slice){ key, n }, known[i].name))
            return &known[i];
    return NULL;
}

static bool init(struct charset *c, struct slice name)
{
    const struct known *k = find(name);

    if (k == NULL)
        return false;
    *c = (struct charset){ .kind = k->kind, .unit = k->unit };
    if (k->kind == BY_TABLE) {
        c->high = charset_table(k->by);
        return c->high != NULL;
    }
    if (k->kind == BY_ICONV) {
        c->cd = iconv_open("UTF-8", k->by);
        if (c->cd == (iconv_t)-1)
            return false;
    }
    return true;
}

static void clear(struct charset *c)
{
    if (c->kind == BY_ICONV)
        (void)iconv_close(c->cd);
}

struct charset *charset_open(struct slice name)
{
    struct charset c;
    struct charset *heap;

    if (!init(&c, name))
        return NULL;
    heap = mem_alloc(sizeof *heap);
    *heap = c;
    return heap;
}

void charset_close(struct charset **c)
{
    if (*c == NULL)
        return;
    clear(*c);
    mem_free(*c);
    *c = NULL;
}

/* --- all of them --- */

struct charsets {
    iconv_t cds[KNOWN];
    size_t count;
};

/* What was read of a module to load it is not needed again before a message is in its charset: some 50 KiB each. Its
 * read-only pages are the file's own, and come back by themselves. */
static int give_back_pages(struct dl_phdr_info *module, size_t size, void *page_size)
{
    size_t page = *(size_t *)page_size;

    (void)size;
    for (size_t i = 0; strstr(module->dlpi_name, "/gconv/") != NULL && i < module->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &module->dlpi_phdr[i];
        uintptr_t start = module->dlpi_addr + part->p_vaddr;

        if (part->p_type == PT_LOAD && (part->p_flags & PF_W) == 0)
            (void)madvise((void *)(start - start % page), part->p_memsz + start % page, MADV_DONTNEED);
    }
    return 0;
}

struct charsets *charsets_load(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    struct charsets *all = mem_zero(sizeof *all);
    const char *last = "";

    for (size_t i = 0; i < KNOWN; i++) {
        iconv_t cd;

        if (known[i].kind != BY_ICONV || strcmp(known[i].by, last) == 0) /* names of the same one stand together */
            continue;
        last = known[i].by;
        cd = iconv_open("UTF-8", last);
        if (cd != (iconv_t)-1)
            all->cds[all->count++] = cd;
    }
    (void)dl_iterate_phdr(give_back_pages, &page);
    return all;
}

void charsets_release(struct charsets **c)
{
    struct charsets *all = *c;

    if (all == NULL)
        return;
    while (all->count > 0)
        (void)iconv_close(all->cds[--all->count]);
    mem_free(all);
    *c = NULL;
}

/* --- one in use --- */

static int push_octets(const uint16_t *high, struct slice in, struct buf *out)
{
    size_t plain = 0;

    for (size_t i = 0; i < in.n; i++) {
        if ((unsigned char)in.p[i] < 0x80)
            continue;
        TRY(buf_add(out, in.p + plain, i - plain));
        TRY(utf8_add(high[(unsigned char)in.p[i] - 0x80], out));
        plain = i + 1;
    }
    return plain < in.n ? buf_add(out, in.p + plain, in.n - plain) : 0;
}

/* What stands for octets that are no UTF-8. */
static int add_broken(const struct charset *c, struct slice bad, struct buf *out)
{
    if (c->kind == UTF8)
        return utf8_add(UTF8_REPLACEMENT, out);
    return push_octets(charset_table(western), bad, out);
}

/* Completes the character whose start is held, octet by octet. */
static int push_held(struct charset *c, struct slice *in, struct buf *out)
{
    while (c->held_n > 0 && in->n > 0) {
        int n;

        c->held[c->held_n] = in->p[0];
        n = utf8_length((struct slice){ c->held, c->held_n + 1 });
        if (n < 0) { /* what was held is broken; this octet starts anew */
            TRY(add_broken(c, (struct slice){ c->held, c->held_n }, out));
            c->held_n = 0;
            return 0;
        }
        *in = slice_skip(*in, 1);
        c->held_n++;
        if (n > 0) {
            TRY(buf_add(out, c->held, c->held_n));
            c->held_n = 0;
        }
    }
    return 0;
}

static int push_utf8(struct charset *c, struct slice in, struct buf *out)
{
    size_t good = 0;

    TRY(push_held(c, &in, out));
    while (good < in.n) {
        struct slice rest;
        int n;

        good += utf8_ascii(slice_skip(in, good));
        if (good == in.n)
            break;
        rest = slice_skip(in, good);
        n = utf8_length(rest);
        if (n > 0) {
            good += (size_t)n;
            continue;
        }
        TRY(buf_add(out, in.p, good));
        if (n == 0) {
            memcpy(c->held, rest.p, rest.n);
            c->held_n = rest.n;
            return 0;
        }
        TRY(add_broken(c, slice_head(rest, (size_t)-n), out));
        in = slice_skip(rest, (size_t)-n);
        good = 0;
    }
    return buf_add(out, in.p, good);
}

/* Converts as much as there are whole characters; *in is what is left: the start of one. */
static int convert(struct charset *c, struct slice *in, struct buf *out)
{
    while (in->n > 0) {
        char text[CHUNK];
        char *from = (char *)(uintptr_t)in->p, *to = text; /* iconv takes char **, and only reads there */
        size_t from_n = in->n, to_n = sizeof text;
        size_t result = iconv(c->cd, &from, &from_n, &to, &to_n);
        int code = result == (size_t)-1 ? errno : 0;

        TRY(buf_add(out, text, sizeof text - to_n));
        *in = slice_skip(*in, in->n - from_n);
        if (code == EINVAL && in->n < HELD_MAX)
            return 0;
        if (code == EINVAL || code == EILSEQ || (code != 0 && to_n == sizeof text)) {
            TRY(utf8_add(UTF8_REPLACEMENT, out));
            *in = slice_skip(*in, c->unit);
        }
    }
    return 0;
}

static int push_iconv(struct charset *c, struct slice in, struct buf *out)
{
    while (c->held_n > 0 && in.n > 0) {
        char piece[2 * HELD_MAX];
        size_t taken = in.n < HELD_MAX ? in.n : HELD_MAX;
        struct slice both = { piece, c->held_n + taken };

        memcpy(piece, c->held, c->held_n);
        memcpy(piece + c->held_n, in.p, taken);
        TRY(convert(c, &both, out));
        if (both.n > taken) { /* still not whole, and all of `in` was taken */
            memcpy(c->held, both.p, both.n);
            c->held_n = both.n;
            return 0;
        }
        c->held_n = 0;
        in = slice_skip(in, taken - both.n);
    }
    TRY(convert(c, &in, out));
    if (in.n > 0)
        memcpy(c->held, in.p, in.n);
    c->held_n += in.n;
    return 0;
}

int charset_push(struct charset *c, struct slice in, bool last, struct buf *out)
{
    int code = 0;

    switch (c->kind) {
    case BY_TABLE:
        return push_octets(c->high, in, out);
    case GUESSED:
    case UTF8:
        TRY(push_utf8(c, in, out));
        if (last && c->held_n > 0)
            code = add_broken(c, (struct slice){ c->held, c->held_n }, out);
        break;
    case BY_ICONV:
        TRY(push_iconv(c, in, out));
        if (last && c->held_n > 0)
            code = utf8_add(UTF8_REPLACEMENT, out);
        if (last)
            (void)iconv(c->cd, NULL, NULL, NULL, NULL);
        break;
    }
    if (last)
        c->held_n = 0;
    return code;
}

int charset_to_utf8(struct slice name, struct slice in, struct buf *out)
{
    struct charset c;
    int code;

    if (!init(&c, name))
        c = (struct charset){ .kind = GUESSED };
    code = charset_push(&c, in, true, out);
    clear(&c);
    return code;
}

int charset_fold(struct slice utf8, struct buf *out)
{
    while (utf8.n > 0) {
        size_t plain = 0;

        while (plain < utf8.n && (unsigned char)utf8.p[plain] < 0x80)
            plain++;
        if (plain > 0) {
            char *to = buf_room(out, plain);

            if (to == NULL)
                return -ENOBUFS;
            for (size_t i = 0; i < plain; i++)
                to[i] = utf8.p[i] >= 'a' && utf8.p[i] <= 'z' ? (char)(utf8.p[i] - 'a' + 'A') : utf8.p[i];
            out->n += plain;
            utf8 = slice_skip(utf8, plain);
            continue;
        }
        TRY(utf8_add(casemap_fold(utf8_take(&utf8)), out));
    }
    return 0;
}
