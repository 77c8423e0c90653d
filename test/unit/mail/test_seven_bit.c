#include "facteur/mail/seven_bit.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

enum { OUT_MAX = 4 << 20 };

/* The two readings, each cut at `cut` and then into pieces. */
static int convert_in_pieces(struct slice in, size_t cut, size_t piece, struct buf *out, uint64_t *size, struct err *e)
{
    struct seven_bit s;
    struct slice rest;
    int code;

    seven_bit_init(&s);
    seven_bit_survey(&s, slice_head(in, cut));
    for (rest = slice_skip(in, cut); rest.n > 0; rest = slice_skip(rest, piece))
        seven_bit_survey(&s, slice_head(rest, piece));
    buf_reset(out);
    code = seven_bit_plan(&s, size, e);
    if (code == 0) {
        assert_int_equal(seven_bit_push(&s, slice_head(in, cut), out), 0);
        for (rest = slice_skip(in, cut); rest.n > 0; rest = slice_skip(rest, piece))
            assert_int_equal(seven_bit_push(&s, slice_head(rest, piece), out), 0);
        assert_int_equal(seven_bit_end(&s, out), 0);
    }
    seven_bit_clear(&s);
    seven_bit_clear(&s);
    return code;
}

static void assert_same(const struct buf *out, struct slice text)
{
    if (!slice_eq(buf_slice(out), text))
        fail_msg("got\n%.*s\ninstead of\n%.*s", SLICE_ARG(buf_slice(out)), SLICE_ARG(text));
}

/* Whole, cut at every place (of long ones at many), and octet by octet. */
static void assert_converts(struct slice in, struct slice text)
{
    struct buf out;
    uint64_t size = 0, again = 0;

    buf_init(&out, OUT_MAX);
    assert_int_equal(convert_in_pieces(in, 0, SEVEN_BIT_BLOCK, &out, &size, NULL), 0);
    assert_same(&out, text);
    assert_true(size + 8 >= out.n); /* about as large, and rather larger */
    assert_true(size <= 2 * out.n + 300);
    for (size_t cut = 0; cut <= in.n; cut += 1 + in.n / 1000 * 7) {
        assert_int_equal(convert_in_pieces(in, cut, SEVEN_BIT_BLOCK, &out, &again, NULL), 0);
        assert_same(&out, text);
    }
    assert_int_equal(convert_in_pieces(in, 0, 1, &out, &again, NULL), 0);
    assert_same(&out, text);
    assert_int_equal(size, again);
    buf_clear(&out);
}
#define CONVERTS(in, text) assert_converts(SLICE_LIT(in), SLICE_LIT(text))
#define STAYS(in)          CONVERTS(in, in)

static void assert_refuses(struct slice in, const char *why)
{
    struct buf out;
    struct err e;
    uint64_t size = 7;

    buf_init(&out, OUT_MAX);
    for (size_t cut = 0; cut <= in.n; cut += 1 + in.n / 1000 * 7) {
        assert_int_equal(convert_in_pieces(in, cut, SEVEN_BIT_BLOCK, &out, &size, &e), -EBADMSG);
        if (strstr(e.text, why) == NULL)
            fail_msg("\"%s\" is not in \"%s\"", why, e.text);
    }
    assert_int_equal(convert_in_pieces(in, 0, 1, &out, &size, &e), -EBADMSG);
    assert_int_equal(size, 7);
    buf_clear(&out);
}
#define REFUSES(in, why) assert_refuses(SLICE_LIT(in), why)

#define FROM    "From: anna@example.org\r\n"
#define VERSION "MIME-Version: 1.0\r\n"
#define PLAIN   "Content-Type: text/plain; charset=utf-8\r\n"
#define CTE     "Content-Transfer-Encoding: "
#define U       "\xc3\xbc"

static void what_fits_stays_as_it_is(void **state)
{
    (void)state;
    STAYS("");
    STAYS("\r\n");
    STAYS("Subject: no body");
    STAYS(FROM "\r\ntext without an end");
    STAYS(FROM VERSION PLAIN CTE "8bit\r\n\r\nall = ASCII \r\n\t\r\n");
    STAYS(FROM VERSION "Content-Type: multipart/mixed; boundary=b\r\n" CTE "binary\r\n\r\n--b\r\n" CTE
                       "8bit\r\n\r\n.\r\n--b--\r\n");
    STAYS(FROM "Content-Type: multipart/mixed; boundary=b\r\n\r\nno boundary\r\n");
    STAYS(FROM "Content-Type: message/partial\r\n\r\n7bit\r\n");
}

static void texts_become_quoted_printable(void **state)
{
    (void)state;
    CONVERTS(FROM VERSION PLAIN CTE "8bit\r\n\r\nGr" U "\xc3\x9f"
                                    "e\r\n\r\n-- \r\nAnna = a\tb\t\r\n",
             FROM VERSION PLAIN CTE "quoted-printable\r\n\r\nGr=C3=BC=C3=9Fe\r\n\r\n=2D-=20\r\nAnna =3D a\tb=09\r\n");
    CONVERTS(FROM VERSION CTE " (the) 8BIT\r\n (folded)\r\n" PLAIN "\r\n" U,
             FROM VERSION CTE "quoted-printable\r\n" PLAIN "\r\n=C3=BC");
    /* The first field counts for readers: it is the one that changes. */
    CONVERTS(FROM VERSION PLAIN CTE "8bit\r\nX: y\r\n" CTE "base64\r\nZ: z\r\n\r\n" U "\r\n",
             FROM VERSION PLAIN CTE "quoted-printable\r\nX: y\r\nZ: z\r\n\r\n=C3=BC\r\n");
    CONVERTS(FROM VERSION PLAIN CTE "7bit\r\n\r\na \r\nb " U " \r\n" U " ",
             FROM VERSION PLAIN CTE "quoted-printable\r\n\r\na=20\r\nb =C3=BC=20\r\n=C3=BC=20");
    CONVERTS(FROM VERSION PLAIN CTE "8-bit\r\n\r\n" U "\r\n",
             FROM VERSION PLAIN CTE "quoted-printable\r\n\r\n=C3=BC\r\n");
}

static void what_is_missing_is_added(void **state)
{
    (void)state;
    CONVERTS(FROM "\r\n" U "\r\n", FROM VERSION "Content-Type: text/plain; charset=unknown-8bit\r\n" CTE
                                                "quoted-printable\r\n\r\n=C3=BC\r\n");
    CONVERTS("\r\n" U,
             VERSION "Content-Type: text/plain; charset=unknown-8bit\r\n" CTE "quoted-printable\r\n\r\n=C3=BC");
    CONVERTS(FROM "mime-version: 1.0\r\n\r\n" U "\r\n",
             FROM "mime-version: 1.0\r\nContent-Type: text/plain; charset=unknown-8bit\r\n" CTE
                  "quoted-printable\r\n\r\n=C3=BC\r\n");
    CONVERTS(FROM PLAIN "\r\n" U "\r\n", FROM PLAIN VERSION CTE "quoted-printable\r\n\r\n=C3=BC\r\n");
    /* What is no MIME is not encoded, whatever it says. */
    CONVERTS(FROM CTE "base64\r\n\r\n" U "\r\n", FROM CTE
             "quoted-printable\r\n" VERSION "Content-Type: text/plain; charset=unknown-8bit\r\n\r\n=C3=BC\r\n");
}

static void other_contents_become_base64(void **state)
{
    (void)state;
    CONVERTS(FROM VERSION "Content-Type: application/x\r\n" CTE "binary\r\n\r\n\x80\r\n\n\r\0a",
             FROM VERSION "Content-Type: application/x\r\n" CTE "base64\r\n\r\ngA0KCg0AYQ==");
    CONVERTS(FROM VERSION "Content-Type: image/x\r\n\r\n"
                          "0123456789012345678901234567890123456789012345678901234\r\n\xff",
             FROM VERSION
             "Content-Type: image/x\r\n" CTE
             "base64\r\n\r\nMDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNA0K\r\n/w==");
    CONVERTS(FROM VERSION PLAIN CTE "binary\r\n\r\nNUL \0 CR\r LF\n end",
             FROM VERSION PLAIN CTE "quoted-printable\r\n\r\nNUL =00 CR=0D LF=0A end");
}

/* An LF alone ends lines of headers and around parts, as everywhere in mail/mime; in a part it is data. */
static void line_ends_become_crlf(void **state)
{
    (void)state;
    CONVERTS(FROM VERSION PLAIN "\r\na\nb\r\n", FROM VERSION PLAIN CTE "quoted-printable\r\n\r\na=0Ab\r\n");
    CONVERTS("Subject: x\nFrom: y\r\n\r\nz\r\n", "Subject: x\r\nFrom: y\r\n\r\nz\r\n");
    CONVERTS(VERSION "Content-Type: multipart/mixed; boundary=b\r\n\r\npreamble\n--b\n\nx\r\n--b--\n",
             VERSION "Content-Type: multipart/mixed; boundary=b\r\n\r\npreamble\r\n--b\r\n\r\nx\r\n--b--\r\n");
}

static void multiparts_are_walked(void **state)
{
    (void)state;
    CONVERTS(FROM VERSION "Content-Type: multipart/alternative; boundary=\"b\"\r\n" CTE "8bit\r\n\r\n"
                          "preamble\r\n--b\r\n" PLAIN CTE "8bit\r\n\r\n" U "\r\n\r\n--b\r\n"
                          "Content-Type: text/html\r\n" CTE "8bit\r\n\r\n<p>ASCII\r\n--b\r\n"
                          "Content-Type: image/png\r\n" CTE "base64\r\n\r\niVBO\r\n--b--\r\nepilogue",
             FROM VERSION "Content-Type: multipart/alternative; boundary=\"b\"\r\n" CTE "7bit\r\n\r\n"
                          "preamble\r\n--b\r\n" PLAIN CTE "quoted-printable\r\n\r\n=C3=BC\r\n\r\n--b\r\n"
                          "Content-Type: text/html\r\n" CTE "7bit\r\n\r\n<p>ASCII\r\n--b\r\n"
                          "Content-Type: image/png\r\n" CTE "base64\r\n\r\niVBO\r\n--b--\r\nepilogue");
    CONVERTS(FROM VERSION "Content-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\n"
                          "Content-Type: multipart/related; boundary=oo\r\n\r\n--oo\r\n\r\n" U "\r\n--oo \r\n"
                          "Content-Type: application/x\r\n\r\n\xff\r\n--oo--\r\n\r\n--o\r\n\r\nx\r\n--o--",
             FROM VERSION "Content-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\n"
                          "Content-Type: multipart/related; boundary=oo\r\n\r\n--oo\r\n"
                          "Content-Type: text/plain; charset=unknown-8bit\r\n" CTE "quoted-printable\r\n\r\n"
                          "=C3=BC\r\n--oo \r\n"
                          "Content-Type: application/x\r\n" CTE "base64\r\n\r\n/w==\r\n--oo--\r\n\r\n"
                          "--o\r\n\r\nx\r\n--o--");
    /* Without ends: each part ends with what is around it. */
    CONVERTS(VERSION "Content-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\n"
                     "Content-Type: multipart/mixed; boundary=i\r\n\r\n--i\r\n" PLAIN "\r\n" U "\r\n--o\r\n" PLAIN
                     "\r\n" U,
             VERSION "Content-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\n"
                     "Content-Type: multipart/mixed; boundary=i\r\n\r\n--i\r\n" PLAIN CTE
                     "quoted-printable\r\n\r\n=C3=BC\r\n--o\r\n" PLAIN CTE "quoted-printable\r\n\r\n=C3=BC");
    /* A part that ends in its header, and one without any text. */
    CONVERTS(VERSION "Content-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\n" CTE "8bit\r\n--o\r\n" CTE
                     "8bit\r\n\r\n--o\r\n" PLAIN "\r\n" U "\r\n--o--\r\n",
             VERSION "Content-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\n" CTE "8bit\r\n--o\r\n" CTE
                     "8bit\r\n\r\n--o\r\n" PLAIN CTE "quoted-printable\r\n\r\n=C3=BC\r\n--o--\r\n");
    CONVERTS(VERSION "Content-Type: multipart/signed; boundary=s; micalg=pgp-sha512\r\n\r\n--s\r\n" PLAIN CTE
                     "8bit\r\n\r\n" U
                     "\r\n--s\r\nContent-Type: application/pgp-signature\r\n\r\n-----BEGIN\r\n--s--\r\n",
             VERSION "Content-Type: multipart/signed; boundary=s; micalg=pgp-sha512\r\n\r\n--s\r\n" PLAIN CTE
                     "quoted-printable\r\n\r\n=C3=BC\r\n--s\r\nContent-Type: application/pgp-signature\r\n\r\n"
                     "-----BEGIN\r\n--s--\r\n");
}

static void attached_messages_are_converted_inside(void **state)
{
    (void)state;
    CONVERTS(FROM VERSION "Content-Type: message/rfc822\r\n" CTE "8bit\r\n\r\n"
                          "Subject: inner\r\n" VERSION "Content-Type: multipart/mixed; boundary=b\r\n" CTE
                          "8bit\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n" CTE "binary\r\n\r\n"
                          "Subject: innermost\r\n\r\n" U "\r\n--b--\r\n",
             FROM VERSION "Content-Type: message/rfc822\r\n" CTE "7bit\r\n\r\n"
                          "Subject: inner\r\n" VERSION "Content-Type: multipart/mixed; boundary=b\r\n" CTE
                          "7bit\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n" CTE "7bit\r\n\r\n"
                          "Subject: innermost\r\n" VERSION "Content-Type: text/plain; charset=unknown-8bit\r\n" CTE
                          "quoted-printable\r\n\r\n=C3=BC\r\n--b--\r\n");
    CONVERTS(VERSION "Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nSubject: one\r\n" PLAIN "\r\n" U
                     "\r\n--b--\r\n",
             VERSION "Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nSubject: one\r\n" PLAIN VERSION CTE
                     "quoted-printable\r\n\r\n=C3=BC\r\n--b--\r\n");
    CONVERTS(VERSION "Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\nContent-Type: message/delivery-status"
                     "\r\n\r\nDiagnostic-Code: " U "\r\n--b\r\nContent-Type: text/rfc822-headers\r\n" CTE
                     "8bit\r\n\r\nSubject: " U "\r\n--b--\r\n",
             VERSION "Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\nContent-Type: message/delivery-status"
                     "\r\n" CTE "quoted-printable\r\n\r\nDiagnostic-Code: =C3=BC\r\n--b\r\n"
                     "Content-Type: text/rfc822-headers\r\n" CTE
                     "quoted-printable\r\n\r\nSubject: =C3=BC\r\n--b--\r\n");
}

static void nothing_becomes_a_boundary(void **state)
{
    (void)state;
    /* By what it is escaped to, … */
    CONVERTS(VERSION "Content-Type: multipart/mixed; boundary=\"b=FF\"\r\n\r\n--b=FF\r\n\r\n--b\xff\r\n--b=FF--\r\n",
             VERSION "Content-Type: multipart/mixed; boundary=\"b=FF\"\r\n\r\n--b=FF\r\n"
                     "Content-Type: text/plain; charset=unknown-8bit\r\n" CTE
                     "quoted-printable\r\n\r\n=2D-b=FF\r\n--b=FF--\r\n");
    /* … at a soft line end, … */
    CONVERTS(VERSION "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" PLAIN "\r\n" U
                     "345678901234567890123456789012345678901234567890123456789012345678901--b--\r\n--b--\r\n",
             VERSION "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" PLAIN CTE "quoted-printable\r\n\r\n"
                     "=C3=BC345678901234567890123456789012345678901234567890123456789012345678901=\r\n=2D-b--\r\n"
                     "--b--\r\n");
    /* … or by what is left out of a line that nobody reads. */
    CONVERTS(VERSION "Content-Type: multipart/mixed; boundary=bc\r\n\r\nGr" U "\xc3\x9f"
                     "e\r\n--b\xffzc\r\n\rx\r--bc\r\n--bc\r\n\r\nx\r\n--bc--" U "\r\n" U " end",
             VERSION "Content-Type: multipart/mixed; boundary=bc\r\n\r\nGr\r\n--b\r\n\r\n--bc\r\n\r\nx\r\n--bc--\r\n");
}

static void broken_encodings_are_done_anew(void **state)
{
    (void)state;
    CONVERTS(FROM VERSION PLAIN CTE "quoted-printable\r\n\r\na=3D=\r\n" U " \r\n=zz\r\n",
             FROM VERSION PLAIN CTE "quoted-printable\r\n\r\na=3D=C3=BC\r\n=3Dzz\r\n");
    CONVERTS(FROM VERSION PLAIN CTE "base64\r\n\r\nR3LD\xffvMOf\r\nZQ0K\r\n",
             FROM VERSION PLAIN CTE "quoted-printable\r\n\r\nGr=C3=BC=C3=9Fe\r\n");
    CONVERTS(FROM VERSION "Content-Type: application/x\r\n" CTE "base64\r\n\r\nAAEC\r\n\xff",
             FROM VERSION "Content-Type: application/x\r\n" CTE "base64\r\n\r\nAAEC");
}

/* count times what, behind `before`. */
static void put(struct buf *b, const char *before, size_t count, const char *what)
{
    assert_int_equal(buf_adds(b, before), 0);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(buf_adds(b, what), 0);
}

static void long_lines_are_broken(void **state)
{
    struct buf in, text;

    (void)state;
    buf_init(&in, OUT_MAX);
    buf_init(&text, OUT_MAX);
    put(&in, VERSION "Content-Type: text/plain\r\n\r\n", 998, "x");
    put(&in, "\r\n", 0, "");
    assert_converts(buf_slice(&in), buf_slice(&in)); /* still fits */
    buf_reset(&in);
    put(&in, VERSION "Content-Type: text/plain\r\n\r\n", 1500, "x");
    put(&in, "\r\n", 0, "");
    put(&text, VERSION "Content-Type: text/plain\r\n" CTE "quoted-printable\r\n\r\n", 75, "x");
    for (int i = 1; i < 20; i++)
        put(&text, "=\r\n", 75, "x");
    put(&text, "\r\n", 0, "");
    assert_converts(buf_slice(&in), buf_slice(&text));
    /* In a header: at white space. */
    buf_reset(&in);
    buf_reset(&text);
    put(&in, VERSION "References:", 60, " <1234@example.org>");
    put(&in, "\r\nX-Last: y\r\n\r\n" U, 0, "");
    put(&text, VERSION "References:", 51, " <1234@example.org>");
    put(&text, "\r\n", 9, " <1234@example.org>");
    put(&text,
        "\r\nX-Last: y\r\nContent-Type: text/plain; charset=unknown-8bit\r\n" CTE "quoted-printable\r\n\r\n=C3=BC", 0,
        "");
    assert_converts(buf_slice(&in), buf_slice(&text));
    /* Also one that gives way, and one that looks like a field in its middle. */
    buf_reset(&in);
    buf_reset(&text);
    put(&in, VERSION PLAIN CTE "8bit (", 600, "c ");
    put(&in, "c)\r\nX:", 990, "x");
    put(&in, " " CTE "8bit\r\n\r\n" U, 0, "");
    put(&text, VERSION PLAIN CTE "quoted-printable\r\nX:", 990, "x");
    put(&text, "\r\n " CTE "8bit\r\n\r\n=C3=BC", 0, "");
    assert_converts(buf_slice(&in), buf_slice(&text));
    /* And where nobody looks: it ends. */
    buf_reset(&in);
    buf_reset(&text);
    put(&in, VERSION "Content-Type: multipart/mixed; boundary=b\r\n\r\n", 2000, "-");
    put(&in, "\r\n--b\r\n\r\nx\r\n--b--", 0, "");
    put(&text, VERSION "Content-Type: multipart/mixed; boundary=b\r\n\r\n", 998, "-");
    put(&text, "\r\n--b\r\n\r\nx\r\n--b--", 0, "");
    assert_converts(buf_slice(&in), buf_slice(&text));
    buf_clear(&in);
    buf_clear(&text);
}

static void what_cannot_be_converted_says_why(void **state)
{
    struct buf in;

    (void)state;
    REFUSES("Subject: Gr" U "\r\n\r\nASCII\r\n", "its header has 8-bit");
    REFUSES("Subject: NUL \0\r\n\r\nASCII\r\n", "its header has 8-bit");
    REFUSES("Subject: CR \r.\r\n\r\nASCII\r\n", "its header has 8-bit");
    REFUSES("Subject: at the end\r", "its header has 8-bit");
    REFUSES(FROM VERSION "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
                         "Content-Disposition: attachment; filename=\"" U "\"\r\n\r\nx\r\n--b--\r\n",
            "header of one of its parts has 8-bit");
    REFUSES(FROM VERSION "Content-Type: message/rfc822\r\n\r\nSubject: " U "\r\n\r\nx\r\n",
            "header of one of its parts has 8-bit");
    REFUSES(FROM VERSION "Content-Type: multipart/mixed; boundary=b\r\n\r\n" U "\r\n", "nowhere");
    REFUSES(FROM VERSION "Content-Type: multipart/mixed; boundary=b\r\n\r\n" U "\r\n--b", "nowhere");
    REFUSES(FROM VERSION "Content-Type: multipart/mixed; boundary*=utf-8''%C3%BC\r\n\r\n" U "\r\n--b", "not ASCII");
    REFUSES(FROM VERSION "Content-Type: message/partial; number=1\r\n\r\n" U "\r\n", "fragment");
    REFUSES(FROM VERSION "Content-Type: message/external-body\r\n\r\n" U "\r\n", "fragment");
    buf_init(&in, OUT_MAX);
    put(&in, VERSION "X: ", 998, "x");
    put(&in, "\r\n\r\n" U, 0, "");
    assert_refuses(buf_slice(&in), "its header has an endless line");
    buf_reset(&in);
    put(&in, VERSION "X: x", 998, " ");
    put(&in, "\r\n\r\n" U, 0, "");
    assert_refuses(buf_slice(&in), "its header has an endless line");
    buf_reset(&in);
    put(&in, "", MIME_DEPTH, "Content-Type: message/rfc822\r\n\r\n");
    put(&in, "\r\n" U, 0, "");
    assert_refuses(buf_slice(&in), "nested too deeply");
    buf_reset(&in);
    put(&in, "", MIME_DEPTH, "Content-Type: message/rfc822\r\n\r\n");
    assert_converts(buf_slice(&in), buf_slice(&in));
    buf_reset(&in);
    put(&in, "Content-Type: multipart/mixed; boundary=b\r\n", MIME_PARTS, "\r\n--b\r\n");
    put(&in, "\r\n" U, 0, "");
    {
        struct buf out;
        struct err e;
        uint64_t size;

        buf_init(&out, OUT_MAX);
        assert_int_equal(convert_in_pieces(buf_slice(&in), 0, SEVEN_BIT_BLOCK, &out, &size, &e), -EBADMSG);
        assert_string_equal(e.text, "it has too many parts");
        buf_clear(&out);
    }
    buf_clear(&in);
}

/* The smallest parts there can be grow the most. */
static void the_room_is_enough(void **state)
{
    struct seven_bit s;
    struct buf in, out;
    uint64_t size;
    struct slice rest;

    (void)state;
    buf_init(&in, 2 * SEVEN_BIT_BLOCK);
    buf_init(&out, SEVEN_BIT_OUT);
    put(&in, "Content-Type: multipart/digest; boundary=\"\"\n", 2000, "\n--\n\n\n\xff");
    seven_bit_init(&s);
    seven_bit_survey(&s, buf_slice(&in));
    assert_int_equal(seven_bit_plan(&s, &size, NULL), 0);
    for (rest = buf_slice(&in); rest.n > 0; rest = slice_skip(rest, SEVEN_BIT_BLOCK)) {
        assert_int_equal(seven_bit_push(&s, slice_head(rest, SEVEN_BIT_BLOCK), &out), 0);
        assert_true(out.n > SEVEN_BIT_BLOCK / 2);
        buf_reset(&out);
    }
    assert_int_equal(seven_bit_end(&s, &out), 0);
    seven_bit_clear(&s);
    buf_clear(&in);
    buf_clear(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_fits_stays_as_it_is),
        cmocka_unit_test(texts_become_quoted_printable),
        cmocka_unit_test(what_is_missing_is_added),
        cmocka_unit_test(other_contents_become_base64),
        cmocka_unit_test(line_ends_become_crlf),
        cmocka_unit_test(multiparts_are_walked),
        cmocka_unit_test(attached_messages_are_converted_inside),
        cmocka_unit_test(nothing_becomes_a_boundary),
        cmocka_unit_test(broken_encodings_are_done_anew),
        cmocka_unit_test(long_lines_are_broken),
        cmocka_unit_test(what_cannot_be_converted_says_why),
        cmocka_unit_test(the_room_is_enough),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
