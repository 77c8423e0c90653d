#include "facteur/mail/address.h"

#include "facteur/base/mem.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { ALL = ADDRESS_UTF8 | ADDRESS_BARE | ADDRESS_LITERAL };

#define TEN  "abcdefghij"
#define L63  TEN TEN TEN TEN TEN TEN "abc"
#define D255 L63 "." L63 "." L63 "." L63

static void assert_address(const char *text, const char *local, const char *domain, const char *written)
{
    struct address a;
    char *again;

    assert_int_equal(address_parse(slice_str(text), ALL, &a), 0);
    assert_string_equal(a.local, local);
    assert_string_equal(a.domain, domain);
    again = address_str(&a);
    assert_string_equal(again, written);
    mem_free(again);
}

static void reads_to_one_canonical_form(void **state)
{
    (void)state;
    assert_address("User@Example.ORG", "User", "example.org", "User@example.org");
    assert_address("a.b+c@x.example.", "a.b+c", "x.example", "a.b+c@x.example");
    assert_address("\"a.b\"@example.org", "a.b", "example.org", "a.b@example.org");
    assert_address("\"a\\\\b\"@example.org", "a\\b", "example.org", "\"a\\\\b\"@example.org");
    assert_address("\"\\a\"@example.org", "a", "example.org", "a@example.org");
    assert_address("\"\\a b\\\"c\"@example.org", "a b\"c", "example.org", "\"a b\\\"c\"@example.org");
    assert_address("\"a@b\"@example.org", "a@b", "example.org", "\"a@b\"@example.org");
    assert_address("\".a\"@example.org", ".a", "example.org", "\".a\"@example.org");
    assert_address("u%h@example.org", "u%h", "example.org", "u%h@example.org");
    assert_address("h!u@example.org", "h!u", "example.org", "h!u@example.org");
    assert_address("!#$%&'*+-/=?^_`{|}~@a.example", "!#$%&'*+-/=?^_`{|}~", "a.example",
                   "!#$%&'*+-/=?^_`{|}~@a.example");
    assert_address("x@foo_bar.Example.com", "x", "foo_bar.example.com", "x@foo_bar.example.com");
    assert_address("x@_foo.bar_.example", "x", "_foo.bar_.example", "x@_foo.bar_.example");
    assert_address("postmaster", "postmaster", "", "postmaster");
    assert_address("a@[192.0.2.1]", "a", "[192.0.2.1]", "a@[192.0.2.1]");
    assert_address("a@[ipv6:2001:DB8:0::1]", "a", "[IPv6:2001:db8::1]", "a@[IPv6:2001:db8::1]");
    assert_address("a@b\xc3\xbc"
                   "cher.example",
                   "a", "xn--bcher-kva.example", "a@xn--bcher-kva.example");
    assert_address("a@B\xc3\x9c"
                   "CHER.Example",
                   "a", "xn--bcher-kva.example", "a@xn--bcher-kva.example");
    assert_address("\xe7\x94\xa8\xe6\x88\xb7@example.org", "\xe7\x94\xa8\xe6\x88\xb7", "example.org",
                   "\xe7\x94\xa8\xe6\x88\xb7@example.org");
    assert_address(TEN TEN TEN TEN TEN TEN "abcd@" D255, TEN TEN TEN TEN TEN TEN "abcd", D255,
                   TEN TEN TEN TEN TEN TEN "abcd@" D255);
}

static void refuses_what_is_no_address(void **state)
{
    static const struct {
        const char *text;
        int code;
    } rows[] = {
        { "", -EINVAL },
        { "@", -EINVAL },
        { "@example.org", -EINVAL },
        { "a@", -EINVAL },
        { "a", -EINVAL },
        { "\"\"@example.org", -EINVAL },
        { "\"a@example.org", -EINVAL },
        { "\"a\"b@example.org", -EINVAL },
        { "\"a\\", -EINVAL },
        { ".a@example.org", -EINVAL },
        { "a.@example.org", -EINVAL },
        { "a..b@example.org", -EINVAL },
        { "a b@example.org", -EINVAL },
        { " a@example.org", -EINVAL },
        { "a@example.org ", -EINVAL },
        { "a@b@example.org", -EINVAL },
        { "a@-b.example", -EINVAL },
        { "a@b-.example", -EINVAL },
        { "a@.example", -EINVAL },
        { "a@b..example", -EINVAL },
        { "a@b.example..", -EINVAL },
        { "a@.", -EINVAL },
        { "a@192.0.2.1", -EINVAL },
        { "a@example.org>", -EINVAL },
        { "a@exa,mple.org", -EINVAL },
        { "a(b)@example.org", -EINVAL },
        { "\"a\nb\"@example.org", -EINVAL },
        { "\"a\\\rb\"@example.org", -EINVAL },
        { "\"a\x7f\"@example.org", -EINVAL },
        { "\"a\tb\"@example.org", -EINVAL },
        { "a@[192.0.2.1]", -EINVAL }, /* literals were not allowed */
        { "a@" L63 "x.example", -ENAMETOOLONG },
        { "a@" D255 "x", -ENAMETOOLONG },
        { "a@" L63 "." L63 "." L63 "." L63 ".a", -ENAMETOOLONG },
        { TEN TEN TEN TEN TEN TEN "abcde@example.org", -ENAMETOOLONG },
        { "\"" TEN TEN TEN TEN TEN TEN "abcde\"@example.org", -ENAMETOOLONG },
        { "\xc3\xa4@example.org", -EILSEQ },
        { "a@\xc3\xa4.example", -EILSEQ },
    };
    static const struct {
        const char *text;
        int code;
    } international[] = {
        { "\xff@example.org", -EILSEQ },
        { "\xc3@example.org", -EILSEQ },
        { "\xed\xa0\x80@example.org", -EILSEQ },
        { "\xc2\x85@example.org", -EINVAL }, /* a control character */
        { "a@\xff.example", -EILSEQ },
        { "a@\xc3\xa4 b.example", -EINVAL },
        { "a@[192.0.2.256]", -EINVAL },
        { "a@[192.0.2.1", -EINVAL },
        { "a@[192.0.2.1]x", -EINVAL },
        { "a@[]", -EINVAL },
        { "a@[::1]", -EINVAL },
        { "a@[IPv6:192.0.2.1]", -EINVAL },
        { "a@[IPv6:]", -EINVAL },
        { "a@[x-tag:abc]", -EINVAL },
    };
    struct address a = { .local = "untouched" };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(address_parse(slice_str(rows[i].text), 0, &a), rows[i].code);
    for (size_t i = 0; i < sizeof international / sizeof international[0]; i++)
        assert_int_equal(address_parse(slice_str(international[i].text), ALL, &a), international[i].code);
    assert_int_equal(address_parse(SLICE_LIT("a\0b@example.org"), ALL, &a), -EINVAL);
    assert_int_equal(address_parse(SLICE_LIT("\"a\0b\"@example.org"), ALL, &a), -EINVAL);
    assert_int_equal(address_parse(SLICE_LIT("a@exam\0ple.org"), ALL, &a), -EINVAL);
    assert_int_equal(address_parse(SLICE_LIT("a@\xc3\xa4\0.org"), ALL, &a), -EINVAL);
    assert_string_equal(a.local, "untouched");
}

static void bounds_very_long_ones(void **state)
{
    char *text = mem_alloc(10000);
    struct address a;
    struct slice in = { text, 10000 };

    (void)state;
    memset(text, 'a', 10000);
    assert_int_equal(address_parse(in, ALL, &a), -ENAMETOOLONG);
    text[1] = '@';
    assert_int_equal(address_parse(in, ALL, &a), -ENAMETOOLONG);
    text[9000] = (char)0xff;
    assert_int_equal(address_parse(in, ALL, &a), -ENAMETOOLONG);
    text[0] = '<';
    text[1] = 'a';
    text[9999] = '>';
    assert_int_equal(path_parse(&in, ALL, &a), -ENAMETOOLONG);
    assert_int_equal(in.n, 10000);
    mem_free(text);
}

static void assert_path(const char *text, int code, const char *local, const char *domain, const char *rest)
{
    struct slice in = slice_str(text);
    struct address a = { 0 };

    assert_int_equal(path_parse(&in, ADDRESS_BARE, &a), code);
    assert_true(slice_is(in, code == 0 ? rest : text));
    assert_string_equal(a.local, code == 0 ? local : "");
    assert_string_equal(a.domain, code == 0 ? domain : "");
}

static void reads_paths(void **state)
{
    struct slice in = slice_str("<>");
    struct address a;

    (void)state;
    assert_path("<a@example.org> SIZE=1", 0, "a", "example.org", " SIZE=1");
    assert_path("<postmaster>", 0, "postmaster", "", "");
    assert_path("<>x", 0, "", "", "x");
    assert_path("<\"a>b\"@example.org>", 0, "a>b", "example.org", "");
    assert_path("<\"a\\\\\"@example.org>", 0, "a\\", "example.org", "");
    assert_path("<\"a\\\"@example.org>", -EINVAL, "", "", ""); /* the quote is escaped: no end */
    assert_path("<@one.example,@two.example:a@example.org>", 0, "a", "example.org", "");
    assert_path("<@one.example:>", -EINVAL, "", "", "");
    assert_path("<@one.example>", -EINVAL, "", "", "");
    assert_path("<@one.example,two.example:a@example.org>", -EINVAL, "", "", "");
    assert_path("<@:a@example.org>", -EINVAL, "", "", "");
    assert_path("a@example.org", -EINVAL, "", "", "");
    assert_path("<a@example.org", -EINVAL, "", "", "");
    assert_path("<a@example.org\">", -EINVAL, "", "", "");
    assert_path("< a@example.org>", -EINVAL, "", "", "");
    assert_path("<<a@example.org>>", -EINVAL, "", "", "");
    assert_path("", -EINVAL, "", "", "");
    assert_path("< >", -EINVAL, "", "", "");
    assert_int_equal(path_parse(&in, 0, &a), 0);
    assert_true(address_is_null(&a));
}

static void folds_and_cuts(void **state)
{
    char key[LIMIT_LOCAL_PART + LIMIT_DOMAIN + 3];
    struct address a;

    (void)state;
    assert_int_equal(address_parse(slice_str("John.Doe+News-x@Example.org"), 0, &a), 0);
    address_key(&a, key);
    assert_string_equal(key, "john.doe+news-x@example.org");
    assert_true(address_cut_tag(&a, "+-"));
    assert_string_equal(a.local, "John.Doe");
    assert_false(address_cut_tag(&a, "+-"));
    assert_int_equal(address_parse(slice_str("+x@example.org"), 0, &a), 0);
    assert_false(address_cut_tag(&a, "+"));
    assert_int_equal(address_parse(slice_str("x+@example.org"), 0, &a), 0);
    assert_true(address_cut_tag(&a, "+"));
    assert_string_equal(a.local, "x");
    assert_int_equal(address_parse(slice_str("x+\xc3\xa4@example.org"), ADDRESS_UTF8, &a), 0);
    assert_true(a.utf8);
    assert_true(address_cut_tag(&a, "+"));
    assert_false(a.utf8);
}

static void reads_domains_and_greetings(void **state)
{
    static const char *const greetings[][2] = { { "Mail.Example.ORG", "mail.example.org" },
                                                { "host_1", "host_1" },
                                                { "DESKTOP-1", "desktop-1" },
                                                { "192.0.2.1", "192.0.2.1" },
                                                { "[192.0.2.1]", "[192.0.2.1]" },
                                                { "[::1]", "[IPv6:::1]" },
                                                { "[IPv6:::1]", "[IPv6:::1]" },
                                                { "example.org.", "example.org" } };
    static const char *const wrong[] = { "",    ".",   "a..b", ".a",    "a b",
                                         "a(b", "[1]", "[",    "a\x01", "\xc3\xa4.example",
                                         "a;b", "a\r", L63 "x" };
    char to[LIMIT_DOMAIN + 1] = "old";

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_int_equal(helo_parse(slice_str(wrong[i]), to), -EINVAL);
    assert_int_equal(helo_parse(SLICE_LIT("a\0b"), to), -EINVAL);
    assert_string_equal(to, "old");
    for (size_t i = 0; i < sizeof greetings / sizeof greetings[0]; i++) {
        assert_int_equal(helo_parse(slice_str(greetings[i][0]), to), 0);
        assert_string_equal(to, greetings[i][1]);
    }
    assert_int_equal(domain_parse(slice_str("XN--BCHER-kva.Example."), to), 0);
    assert_string_equal(to, "xn--bcher-kva.example");
    assert_int_equal(domain_parse(slice_str("fa\xc3\x9f.example"), to), 0);
    assert_string_equal(to, "xn--fa-hia.example"); /* not transitional: fass.example is another domain */
    assert_int_equal(domain_parse(slice_str("[192.0.2.1]"), to), -EINVAL);
    assert_int_equal(domain_parse(slice_str(""), to), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_to_one_canonical_form),
        cmocka_unit_test(refuses_what_is_no_address),
        cmocka_unit_test(bounds_very_long_ones),
        cmocka_unit_test(reads_paths),
        cmocka_unit_test(folds_and_cuts),
        cmocka_unit_test(reads_domains_and_greetings),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
