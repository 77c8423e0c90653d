#include "facteur/mail/text.h"

#include "facteur/base/codec.h"
#include "facteur/base/mem.h"
#include "text_priv.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct memory {
    struct slice octets;
    size_t most; /* at one time */
    uint64_t fails_at;
};

static ssize_t read_memory(void *from, void *to, size_t n, uint64_t at)
{
    struct memory *m = from;
    size_t left = at < m->octets.n ? m->octets.n - (size_t)at : 0;

    if (m->fails_at > 0 && at >= m->fails_at)
        return -EIO;
    n = n < left ? n : left;
    n = n < m->most ? n : m->most;
    if (n > 0)
        memcpy(to, m->octets.p + at, n);
    return (ssize_t)n;
}

struct taken {
    struct buf text;
    int stop_after; /* calls; 0: never */
    int calls;
};

static int take(void *to, enum text_kind kind, bool nested, struct slice name, struct slice utf8)
{
    struct taken *t = to;

    assert_true(utf8_valid(utf8));
    if (kind == TEXT_HEADER)
        assert_int_equal(buf_addf(&t->text, "%s%.*s=%.*s|", nested ? ">" : "", SLICE_ARG(name), SLICE_ARG(utf8)), 0);
    else
        assert_int_equal(buf_add(&t->text, utf8.p, utf8.n), 0);
    return ++t->calls == t->stop_after ? 77 : 0;
}

static void parse(struct mime *m, const char *message)
{
    mime_init(m, true);
    (void)mime_push(m, slice_str(message));
    mime_end(m);
}

static void assert_walk(const char *message, uint64_t max, const char *expected)
{
    static const size_t pieces[] = { 1, 2, 3, 7, 100000 };
    struct mime m;

    parse(&m, message);
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        struct memory memory = { slice_str(message), pieces[i], 0 };
        struct taken taken = { .stop_after = 0 };

        buf_init(&taken.text, 100000);
        assert_int_equal(
            text_walk(&m, &(struct text_source){ read_memory, &memory }, max, &(struct text_sink){ take, &taken }), 0);
        assert_string_equal(buf_cstr(&taken.text), expected);
        buf_clear(&taken.text);
    }
    mime_clear(&m);
}

static void headers_come_before_texts(void **state)
{
    (void)state;
    assert_walk("Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\n =?utf-8?q?!?=\nTo : x\nno field\nX:\n\nbody\n", 1000,
                "Subject=Gr\xc3\xbc\xc3\x9f"
                "e!|To=x|X=|body\n");
    assert_walk("Subject: a\r\n b\r\n\r\nbody\r\n", 1000, "Subject=a b|body\r\n");
    assert_walk("Content-Type: multipart/mixed; boundary=b\n\npreamble\n--b\nContent-Type: text/html\n\n<p>one</p>\n"
                "--b\nContent-Type: message/rfc822\n\nSubject: inner\n\ntwo\n--b\nContent-Type: image/png\n\nthree\n"
                "--b--\nepilogue\n",
                1000,
                "Content-Type=multipart/mixed; boundary=b|>Content-Type=text/html|>Content-Type=message/rfc822|"
                ">Subject=inner|>Content-Type=image/png|\none\ntwo");
    assert_walk("", 1000, "");
}

static void texts_are_decoded(void **state)
{
    (void)state;
    assert_walk("Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\n"
                "Gr=FC=\n=DFe",
                1000,
                "Content-Type=text/plain; charset=iso-8859-1|Content-Transfer-Encoding=quoted-printable|"
                "Gr\xc3\xbc\xc3\x9f"
                "e");
    assert_walk("Content-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: base64\n\nPGI+R3LDvDwvYj7Dn2U=\n",
                1000,
                "Content-Type=text/html; charset=utf-8|Content-Transfer-Encoding=base64|Gr\xc3\xbc\xc3\x9f"
                "e");
    assert_walk("\nGr\xfc\xc3\x9f"
                "e",
                1000,
                "Gr\xc3\xbc\xc3\x9f"
                "e");
}

static void no_more_than_the_maximum_is_given(void **state)
{
    (void)state;
    assert_walk("\nabcdef", 4, "abcd");
    assert_walk("\nabc\xc3\xbcz", 4, "abc");
    assert_walk("\nabc\xc3\xbcz", 5, "abc\xc3\xbc");
    assert_walk("Content-Type: multipart/mixed; boundary=b\n\n--b\n\nabc\n--b\n\ndef\n--b--\n", 2,
                "Content-Type=multipart/mixed; boundary=b|abde");
}

static void a_walk_stops_when_told(void **state)
{
    static const char message[] = "A: b\nC: d\n\nbody\n";
    struct memory memory = { slice_str(message), 1000, 0 };
    struct taken taken = { .stop_after = 2 };
    struct mime m;

    (void)state;
    parse(&m, message);
    buf_init(&taken.text, 1000);
    assert_int_equal(
        text_walk(&m, &(struct text_source){ read_memory, &memory }, 1000, &(struct text_sink){ take, &taken }), 77);
    assert_string_equal(buf_cstr(&taken.text), "A=b|C=d|");
    taken.stop_after = 0;
    memory.fails_at = 5;
    assert_int_equal(
        text_walk(&m, &(struct text_source){ read_memory, &memory }, 1000, &(struct text_sink){ take, &taken }), -EIO);
    buf_clear(&taken.text);
    mime_clear(&m);
}

/* Whole and octet by octet. */
static void assert_html(const char *in, const char *text)
{
    struct slice all = slice_str(in);
    struct buf out;
    struct html h;

    buf_init(&out, 1000);
    html_init(&h);
    assert_int_equal(html_push(&h, all, true, &out), 0);
    assert_string_equal(buf_cstr(&out), text);
    buf_reset(&out);
    html_init(&h);
    for (size_t i = 0; i < all.n; i++)
        assert_int_equal(html_push(&h, (struct slice){ in + i, 1 }, i + 1 == all.n, &out), 0);
    assert_string_equal(buf_cstr(&out), text);
    buf_clear(&out);
}

static void html_becomes_text(void **state)
{
    (void)state;
    assert_html("plain", "plain");
    assert_html("a<b>b</b>c<i class='x>y'>d</i>", "abcd");
    assert_html("a<br>b<BR/>c<p>d", "a\nb\nc\nd");
    assert_html("<a href=\"x>y\" title='\"'>link</a>", "link");
    assert_html("<a title=it's>x</a>", "x");
    assert_html("<style>p { x }</style>a<SCRIPT>if (a < b) '</s>'</script >b<title>t</title>c", "\na\nb\nc");
    assert_html("a<!-- <b> -- > - -->b<!-->c<!--->d<!doctype html>e<?xml x?>f", "abcdef");
    assert_html("1 < 2 &amp;&lt;&gt;&quot;&apos;&#39;&#x41;&#X42; &nbsp;", "1 < 2 &<>\"''AB  ");
    assert_html("&auml;&Uuml;&szlig;&euro;&yuml;&iexcl;&ndash;&shy;",
                "\xc3\xa4\xc3\x9c\xc3\x9f\xe2\x82\xac\xc3\xbf\xc2\xa1\xe2\x80\x93");
    assert_html("AT&T &unknown; &amp &#0; &#xd800; &#99999999; &;", "AT&T &unknown; & &#0; &#xd800; &#99999999; &;");
    assert_html("&#128231;", "\xf0\x9f\x93\xa7");
    assert_html("a &am", "a &am");
    assert_html("a <", "a <");
    assert_html("a <b", "a ");
    assert_html("a<verylongelementnamehere>b</x-y:z>c", "a\nb\nc");
}

static void assert_preview(const char *message, const char *preview)
{
    struct memory memory = { slice_str(message), 10, 0 };
    struct mime m;
    struct buf out;

    parse(&m, message);
    buf_init(&out, 1000);
    assert_int_equal(text_preview(&m, &(struct text_source){ read_memory, &memory }, &out), 0);
    assert_string_equal(buf_cstr(&out), preview);
    buf_clear(&out);
    mime_clear(&m);
}

#define TEN  "0123456789"
#define L200 TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN

static void a_preview_is_the_first_text(void **state)
{
    (void)state;
    assert_preview("Subject: x\n\n", "");
    assert_preview("\n\n \n Hello,\n\n\tworld  \n", "Hello, world");
    assert_preview("\n" L200 "more", L200);
    assert_preview("\n" L200 "\n", L200);
    assert_preview("Content-Type: multipart/alternative; boundary=b\n\n--b\n\n \n--b\nContent-Type: text/html\n\n"
                   "<style>x</style><p>Hi<b>!</b>&zwnj;&#8203; \xc2\xa0 <p>you\n--b--\n",
                   "Hi! you");
    assert_preview("Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Disposition: attachment\n\nfile\n--b\n"
                   "Content-Type: image/png\n\nx\n--b\n\ntext\n--b--\n",
                   "text");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_come_before_texts),
        cmocka_unit_test(texts_are_decoded),
        cmocka_unit_test(no_more_than_the_maximum_is_given),
        cmocka_unit_test(a_walk_stops_when_told),
        cmocka_unit_test(html_becomes_text),
        cmocka_unit_test(a_preview_is_the_first_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
