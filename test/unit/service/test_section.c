#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "section_priv.h"

#include "facteur/base/mem.h"

static struct message_file file;
static struct buf out;

/* A file of these octets, open. */
static void open_message(struct slice octets)
{
    char name[] = "/tmp/facteur-section.XXXXXX";
    int fd = mkstemp(name);

    assert_true(fd >= 0);
    unlink(name);
    assert_int_equal(write(fd, octets.p, octets.n), octets.n);
    message_open(&file, fd, octets.n);
}

static int begin(void **state)
{
    (void)state;
    message_init(&file);
    buf_init(&out, 16 * 1024 * 1024);
    return 0;
}

static int end(void **state)
{
    (void)state;
    message_clear(&file);
    buf_clear(&out);
    return 0;
}

/* All of a section; its announced length must be what comes. */
static struct slice all_of(const struct imap_fetch_item *item)
{
    struct section s;
    int r;

    assert_int_equal(section_find(&file, item, &s), 0);
    buf_reset(&out);
    do {
        r = section_next(&file, &s, &out);
        assert_true(r >= 0);
    } while (r == MORE);
    assert_int_equal(out.n, s.length);
    return buf_slice(&out);
}

static const char *said(enum imap_fetch_kind kind, enum imap_section_text text, size_t depth, uint32_t a, uint32_t b)
{
    uint32_t path[] = { a, b };
    struct imap_fetch_item item = { .kind = kind, .section = { .path = path, .depth = depth, .text = text } };

    (void)all_of(&item);
    return buf_cstr(&out);
}

#define MESSAGE                                                                                                        \
    "Subject: outer\nContent-Type: multipart/mixed; boundary=b\n\npre\n--b\nContent-Type: text/plain\n"                \
    "Content-Transfer-Encoding: base64\n\nQQpC\n--b\nContent-Type: message/rfc822\n\nSubject: inner\nX-A: 1\n 2\n\n"   \
    "in\r\nner\n--b\nContent-Transfer-Encoding: x-odd\n\nodd\n--b--\n"

static void parts(void **state)
{
    (void)state;
    open_message(SLICE_LIT(MESSAGE));
    assert_string_equal(said(FETCH_SECTION, SECTION_HEADER, 0, 0, 0),
                        "Subject: outer\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n");
    assert_string_equal(said(FETCH_SECTION, SECTION_ALL, 1, 1, 0), "QQpC");
    assert_string_equal(said(FETCH_SECTION, SECTION_MIME, 1, 1, 0),
                        "Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n");
    assert_string_equal(said(FETCH_SECTION, SECTION_ALL, 1, 2, 0), "Subject: inner\r\nX-A: 1\r\n 2\r\n\r\nin\r\nner");
    assert_string_equal(said(FETCH_SECTION, SECTION_HEADER, 1, 2, 0), "Subject: inner\r\nX-A: 1\r\n 2\r\n\r\n");
    assert_string_equal(said(FETCH_SECTION, SECTION_TEXT, 1, 2, 0), "in\r\nner");
    assert_string_equal(said(FETCH_SECTION, SECTION_ALL, 2, 2, 1), "in\r\nner");
    assert_string_equal(said(FETCH_SECTION, SECTION_ALL, 1, 9, 0), "");
    assert_string_equal(said(FETCH_SECTION, SECTION_HEADER, 1, 1, 0), "");
    assert_string_equal(said(FETCH_BINARY, SECTION_ALL, 1, 1, 0), "A\nB");
    assert_true(slice_istarts(slice_str(said(FETCH_RFC822_TEXT, SECTION_ALL, 0, 0, 0)), "pre\r\n--b\r\n"));
}

static void unknown_encodings(void **state)
{
    uint32_t path[] = { 3 };
    struct imap_fetch_item item = { .kind = FETCH_BINARY, .section = { .path = path, .depth = 1 } };
    struct section s;

    (void)state;
    open_message(SLICE_LIT(MESSAGE));
    assert_int_equal(section_find(&file, &item, &s), -EOPNOTSUPP);
    item.kind = FETCH_BINARY_SIZE;
    assert_int_equal(section_find(&file, &item, &s), -EOPNOTSUPP);
    item.kind = FETCH_SECTION;
    assert_int_equal(section_find(&file, &item, &s), 0);
    assert_int_equal(s.length, 3);
}

static const char *fields(enum imap_section_text text, const char *one, const char *two)
{
    struct slice names[] = { slice_str(one), slice_str(two) };
    struct imap_fetch_item item = { .kind = FETCH_SECTION,
                                    .section = { .text = text, .fields = names, .field_count = two != NULL ? 2 : 1 } };

    section_sort_fields(names, item.section.field_count);
    (void)all_of(&item);
    return buf_cstr(&out);
}

static void header_fields(void **state)
{
    (void)state;
    open_message(SLICE_LIT("To: a\nSUBJECT : s\n folded\nX-Y: z\nno field\nTo: b\r\n\nbody: text\n"));
    assert_string_equal(fields(SECTION_FIELDS, "to", NULL), "To: a\r\nTo: b\r\n\r\n");
    assert_string_equal(fields(SECTION_FIELDS, "x-y", "Subject"), "SUBJECT : s\r\n folded\r\nX-Y: z\r\n\r\n");
    assert_string_equal(fields(SECTION_FIELDS, "body", "T"), "\r\n");
    assert_string_equal(fields(SECTION_FIELDS_NOT, "to", "x-y"), "SUBJECT : s\r\n folded\r\nno field\r\n\r\n");
    open_message(SLICE_LIT("To: a\nCc: b"));
    assert_string_equal(fields(SECTION_FIELDS, "cc", NULL), "Cc: b\r\n\r\n");
    assert_string_equal(fields(SECTION_FIELDS_NOT, "cc", NULL), "To: a\r\n");
    open_message(SLICE_LIT(""));
    assert_string_equal(fields(SECTION_FIELDS, "cc", NULL), "\r\n");
    assert_string_equal(fields(SECTION_FIELDS_NOT, "cc", NULL), "");
}

/* A header that is longer than what is read at first, in a small file and a large one. */
static void long_headers(void **state)
{
    struct buf text;

    (void)state;
    for (size_t size = 3 * SECTION_HEAD; size < 2 * SECTION_WHOLE; size = size * 5 + 1) {
        struct imap_fetch_item item = { .kind = FETCH_SECTION, .section = { .text = SECTION_HEADER } };

        buf_init(&text, 1 << 20);
        while (text.n < size)
            assert_int_equal(buf_addf(&text, "X-%zu: %072d\n", text.n, 5), 0);
        assert_int_equal(buf_addf(&text, "To: a\n"), 0);
        size = text.n;
        assert_int_equal(buf_addf(&text, "\n%0*d\n", SECTION_HEAD / 2, 7), 0);
        open_message(buf_slice(&text));
        assert_string_equal(fields(SECTION_FIELDS, "to", NULL), "To: a\r\n\r\n");
        assert_true(slice_iends(all_of(&item), "To: a\r\n\r\n"));
        item.section.text = SECTION_TEXT;
        assert_int_equal(all_of(&item).n, SECTION_HEAD / 2 + 2);
        item.section.text = SECTION_ALL;
        assert_true(slice_iends(all_of(&item), "00007\r\n"));
        buf_clear(&text);
    }
}

static void nuls(void **state)
{
    struct imap_fetch_item item = { .kind = FETCH_SECTION };

    (void)state;
    open_message(SLICE_LIT("A: b\n\nx\0y\n"));
    assert_true(slice_is(all_of(&item), "A: b\r\n\r\nx\x80y\r\n"));
    item.kind = FETCH_BINARY;
    assert_true(slice_eq(all_of(&item), SLICE_LIT("A: b\r\n\r\nx\0y\r\n")));
}

/* Every offset and some lengths, in a small file and in one that is read in pieces. */
static void partial_of(struct slice wire)
{
    static const uint64_t lengths[] = { 0, 1, 2, 7, 65536, 70000, UINT64_MAX };
    struct imap_fetch_item item = { .kind = FETCH_SECTION, .partial = true };
    uint64_t step = wire.n > 1000 ? 8191 : 1;

    for (item.offset = 0; item.offset < wire.n + 3 * step; item.offset += step) {
        for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
            struct slice want = slice_head(slice_skip(wire, (size_t)item.offset), (size_t)lengths[i]);

            item.length = lengths[i];
            assert_true(slice_eq(all_of(&item), want));
        }
    }
    item.offset = UINT64_MAX;
    assert_int_equal(all_of(&item).n, 0);
}

static void partials(void **state)
{
    struct buf stored, wire;

    (void)state;
    open_message(SLICE_LIT("A: b\n\none\r\ntwo\rthree\n\n"));
    partial_of(SLICE_LIT("A: b\r\n\r\none\r\ntwo\rthree\r\n\r\n"));

    buf_init(&stored, 1 << 20);
    buf_init(&wire, 1 << 20);
    for (unsigned i = 0; stored.n < 3 * SECTION_WHOLE / 2; i++) { /* both line ends, at every place of a piece's edge */
        bool cr = i % 3 == 0;

        assert_int_equal(buf_addf(&stored, "%0*u%s", (int)(i % 61) + 1, i, cr ? "\r\n" : "\n"), 0);
        assert_int_equal(buf_addf(&wire, "%0*u\r\n", (int)(i % 61) + 1, i), 0);
    }
    open_message(buf_slice(&stored));
    partial_of(buf_slice(&wire));
    buf_clear(&stored);
    buf_clear(&wire);
}

/* CRLF whose CR is a piece's last octet, and a CR there that stands alone. */
static void edges(void **state)
{
    static const char *const tails[] = { "\r\nend\n", "\rend\n", "\n\nend\n", "\r\r\nend\n" };
    static const char *const said_tails[] = { "\r\nend\r\n", "\rend\r\n", "\r\n\r\nend\r\n", "\r\r\nend\r\n" };
    struct imap_fetch_item item = { .kind = FETCH_SECTION };
    size_t head = 5 * SECTION_PIECE - 1;

    (void)state;
    for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
        for (size_t less = 0; less < 3; less++) {
            char *text = mem_alloc(head + 16);
            struct slice got;

            memset(text, 'x', head);
            memcpy(text + head - less, tails[i], strlen(tails[i]) + 1);
            open_message(slice_str(text));
            got = all_of(&item);
            assert_true(slice_is(slice_skip(got, head - less), said_tails[i]));
            mem_free(text);
        }
    }
}

static void a_file_that_shrinks(void **state)
{
    struct imap_fetch_item item = { .kind = FETCH_SECTION };
    struct section s;
    struct buf text;
    int r = MORE;

    (void)state;
    buf_init(&text, 1 << 20);
    while (text.n <= SECTION_WHOLE)
        assert_int_equal(buf_adds(&text, "0123456789\n"), 0);
    open_message(buf_slice(&text));
    assert_int_equal(section_find(&file, &item, &s), 0);
    assert_int_equal(section_next(&file, &s, &out), MORE);
    assert_int_equal(ftruncate(file.fd, SECTION_PIECE + 10), 0);
    while (r == MORE)
        r = section_next(&file, &s, &out);
    assert_int_equal(r, -EIO);
    buf_clear(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(parts, begin, end),
        cmocka_unit_test_setup_teardown(unknown_encodings, begin, end),
        cmocka_unit_test_setup_teardown(header_fields, begin, end),
        cmocka_unit_test_setup_teardown(long_headers, begin, end),
        cmocka_unit_test_setup_teardown(nuls, begin, end),
        cmocka_unit_test_setup_teardown(partials, begin, end),
        cmocka_unit_test_setup_teardown(edges, begin, end),
        cmocka_unit_test_setup_teardown(a_file_that_shrinks, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
