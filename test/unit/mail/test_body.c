#include "facteur/mail/body.h"

#include "facteur/base/mem.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { TEXT_MAX = 1 << 20 };

struct result {
    struct buf text;
    struct body_in b;
    enum progress progress;
    size_t used;
    unsigned pushes;
};

static const struct body_limits strict = { .size = TEXT_MAX, .line = 1000 };
static const struct body_limits fixing = { .size = TEXT_MAX, .line = 1000, .fix_bare = true };

static int keep(void *to, struct slice octets)
{
    struct result *r = to;

    r->pushes++;
    return buf_add(&r->text, octets.p, octets.n);
}

static void start(struct result *r, enum body_framing framing, const struct body_limits *limits)
{
    *r = (struct result){ .progress = MORE };
    buf_init(&r->text, TEXT_MAX);
    body_in_init(&r->b, framing, limits, (struct sink){ keep, r });
}

/* One piece, in memory of its own so that ASan sees every octet too far. */
static void feed(struct result *r, struct slice piece)
{
    char *copy = mem_alloc(piece.n);
    size_t used = 99999;

    if (piece.n > 0)
        memcpy(copy, piece.p, piece.n);
    r->progress = body_in_push(&r->b, (struct slice){ copy, piece.n }, &used);
    assert_true(used <= piece.n);
    r->used += used;
    mem_free(copy);
}

/* Feeds `in` in pieces of `size` octets until the end. */
static void run(struct result *r, enum body_framing framing, const struct body_limits *limits, struct slice in,
                size_t first, size_t size)
{
    start(r, framing, limits);
    if (framing != BODY_DOT)
        body_in_chunk(&r->b, in.n);
    for (size_t at = 0; at < in.n && r->progress == MORE;) {
        size_t n = at == 0 && first > 0 ? first : size;

        n = n > in.n - at ? in.n - at : n;
        feed(r, (struct slice){ in.p + at, n });
        at += n;
    }
    if (framing != BODY_DOT)
        body_in_finish(&r->b);
}

static void assert_same(const struct result *a, const struct result *b)
{
    assert_int_equal(a->progress, b->progress);
    assert_int_equal(a->used, b->used);
    assert_int_equal(a->b.defect, b->b.defect);
    assert_true(a->b.wire_size == b->b.wire_size);
    assert_true(a->b.lines == b->b.lines);
    if (a->b.defect == BODY_GOOD)
        assert_true(slice_eq(buf_slice(&a->text), buf_slice(&b->text)));
}

/* Whole, octet by octet, and split at every point: the same each time. The result of the whole stays in *r. */
static void run_all_ways(struct result *r, enum body_framing framing, const struct body_limits *limits, struct slice in)
{
    struct result other;

    run(r, framing, limits, in, 0, in.n);
    for (size_t cut = 0; cut < in.n && in.n < 4096; cut++) {
        run(&other, framing, limits, in, cut, cut == 0 ? 1 : in.n);
        assert_same(r, &other);
        buf_clear(&other.text);
    }
}

static void assert_message(struct slice wire, const struct body_limits *limits, const char *expected)
{
    struct result r;

    run_all_ways(&r, BODY_DOT, limits, wire);
    assert_int_equal(r.progress, DONE);
    assert_int_equal(r.used, wire.n);
    assert_int_equal(r.b.defect, BODY_GOOD);
    assert_string_equal(buf_cstr(&r.text), expected);
    buf_clear(&r.text);
}

static void takes_a_message(void **state)
{
    struct result r;

    (void)state;
    assert_message(SLICE_LIT("Subject: x\r\n\r\nHello\r\n.\r\n"), &strict, "Subject: x\n\nHello\n");
    assert_message(SLICE_LIT(".\r\n"), &strict, "");
    assert_message(SLICE_LIT("\r\n.\r\n"), &strict, "\n");
    assert_message(SLICE_LIT("..\r\n.\r\n"), &strict, ".\n");
    assert_message(SLICE_LIT("...\r\n..a\r\n.b\r\na.\r\n.\r\n"), &strict, "..\n.a\nb\na.\n");
    assert_message(SLICE_LIT("\v.\v\xc2\x85.\xc2\x85\r\n.\r\n"), &strict, "\v.\v\xc2\x85.\xc2\x85\n");
    run(&r, BODY_DOT, &strict, SLICE_LIT("a\r\n..b\r\n.\r\nQUIT\r\n"), 0, 99);
    assert_int_equal(r.used, 11);
    assert_true(r.b.wire_size == 7);
    assert_true(r.b.lines == 2);
    buf_clear(&r.text);
}

/* Everything that has ended data somewhere and must not here (A1, A2): each is followed by the true end, and nothing
 * before that ends it. */
static void only_crlf_dot_crlf_ends_it(void **state)
{
    static const struct {
        struct slice wire;
        enum body_defect defect;
    } rows[] = {
        { SLICE_LIT("a\n.\nb\r\n.\r\n"), BODY_BARE_LF },
        { SLICE_LIT("a\n.\r\nb\r\n.\r\n"), BODY_BARE_LF },
        { SLICE_LIT("a\r\n.\nb\r\n.\r\n"), BODY_BARE_LF },
        { SLICE_LIT("a\r.\rb\r\n.\r\n"), BODY_BARE_CR },
        { SLICE_LIT("a\r.\r\nb\r\n.\r\n"), BODY_BARE_CR },
        { SLICE_LIT("a\r\n.\rb\r\n.\r\n"), BODY_BARE_CR },
        { SLICE_LIT("a\r\n.\r\r\nb\r\n.\r\n"), BODY_BARE_CR },
        { SLICE_LIT("a\r\r\nb\r\n.\r\n"), BODY_BARE_CR },
        { SLICE_LIT("a\r\n\0.\r\nb\r\n.\r\n"), BODY_NUL },
        { SLICE_LIT("a\r\n.\0\r\nb\r\n.\r\n"), BODY_NUL },
        { SLICE_LIT("a\0\r\n.\r\n"), BODY_NUL },
        { SLICE_LIT("\n.\r\n\r\n.\r\n"), BODY_BARE_LF },
        { SLICE_LIT("\r.\r\n\r\n.\r\n"), BODY_BARE_CR },
        { SLICE_LIT(".\n.\r\n\r\n.\r\n"), BODY_BARE_LF },
        { SLICE_LIT("a\n\r.\r\nb\r\n.\r\n"), BODY_BARE_LF },
        { SLICE_LIT("a\n\n.\n\nb\r\n.\r\n"), BODY_BARE_LF },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct result r;

        run_all_ways(&r, BODY_DOT, &strict, rows[i].wire);
        assert_int_equal(r.b.defect, rows[i].defect);
        assert_int_equal(r.progress, DONE);
        assert_int_equal(r.used, rows[i].wire.n);
        buf_clear(&r.text);
    }
}

/* Line ends made by fixing end no message, and a dot after one is text. */
static void fixes_line_ends_but_not_the_end(void **state)
{
    (void)state;
    assert_message(SLICE_LIT("a\nb\rc\r\n.\r\n"), &fixing, "a\nb\nc\n");
    assert_message(SLICE_LIT("a\n.\nb\r\n.\r\n"), &fixing, "a\n.\nb\n");
    assert_message(SLICE_LIT("a\n.\r\nb\r\n.\r\n"), &fixing, "a\n.\nb\n");
    assert_message(SLICE_LIT("a\r\n.\nb\r\n.\r\n"), &fixing, "a\n.\nb\n");
    assert_message(SLICE_LIT("a\r.\rb\r\n.\r\n"), &fixing, "a\n.\nb\n");
    assert_message(SLICE_LIT("a\r\n.\rb\r\n.\r\n"), &fixing, "a\n.\nb\n");
    assert_message(SLICE_LIT("a\r\n.\r\r\nb\r\n.\r\n"), &fixing, "a\n.\n\nb\n");
    assert_message(SLICE_LIT("a\n..\nb\r\n..\r\n.\r\n"), &fixing, "a\n..\nb\n.\n");
    assert_message(SLICE_LIT("a\r\r\n.\r\n"), &fixing, "a\n\n");
    assert_message(SLICE_LIT("\n\r\n.\r\n"), &fixing, "\n\n");
}

static void bounds_lines_and_size(void **state)
{
    const struct body_limits small = { .size = 20, .line = 10 };
    struct result r;

    (void)state;
    assert_message(SLICE_LIT("12345678\r\n..345678\r\n.\r\n"), &small, "12345678\n.345678\n");
    run_all_ways(&r, BODY_DOT, &small, SLICE_LIT("123456789\r\n.\r\n"));
    assert_int_equal(r.b.defect, BODY_LONG_LINE);
    assert_int_equal(r.progress, DONE);
    buf_clear(&r.text);
    run_all_ways(&r, BODY_DOT, &small, SLICE_LIT("12345678\r\n12345678\r\n\r\n.\r\n"));
    assert_int_equal(r.b.defect, BODY_TOO_BIG);
    assert_int_equal(r.progress, DONE);
    assert_true(r.b.wire_size == 22);
    buf_clear(&r.text);
}

static int refuse(void *to, struct slice octets)
{
    (void)to;
    (void)octets;
    return -ENOSPC;
}

static void a_failing_sink_is_noted_once(void **state)
{
    struct body_in b;
    size_t used;

    (void)state;
    body_in_init(&b, BODY_DOT, &strict, (struct sink){ refuse, NULL });
    assert_int_equal(body_in_push(&b, SLICE_LIT("a\r\nb\n"), &used), MORE);
    assert_int_equal(used, 5);
    assert_int_equal(b.defect, BODY_BARE_LF); /* nothing was pushed before it was seen */
    body_in_init(&b, BODY_DOT, &strict, (struct sink){ refuse, NULL });
    assert_int_equal(body_in_push(&b, SLICE_LIT("a\r\n"), &used), MORE);
    assert_int_equal(b.defect, BODY_SINK_FAILED);
    assert_int_equal(b.sink_code, -ENOSPC);
    assert_int_equal(body_in_push(&b, SLICE_LIT("b\n\r\n.\r\nQUIT"), &used), DONE);
    assert_int_equal(used, 7);
    assert_int_equal(b.defect, BODY_SINK_FAILED);
}

static void takes_chunks(void **state)
{
    struct result r;

    (void)state;
    run_all_ways(&r, BODY_CHUNK, &strict, SLICE_LIT("a\r\n.\r\n..b\r\n"));
    assert_int_equal(r.b.defect, BODY_GOOD);
    assert_int_equal(r.progress, DONE);
    assert_string_equal(buf_cstr(&r.text), "a\n.\n..b\n");
    buf_clear(&r.text);
    run_all_ways(&r, BODY_CHUNK, &strict, SLICE_LIT("a\r\nb"));
    assert_string_equal(buf_cstr(&r.text), "a\nb\n");
    assert_true(r.b.wire_size == 6);
    buf_clear(&r.text);
    run_all_ways(&r, BODY_CHUNK, &strict, SLICE_LIT("a\r"));
    assert_int_equal(r.b.defect, BODY_BARE_CR);
    buf_clear(&r.text);
    run_all_ways(&r, BODY_CHUNK, &fixing, SLICE_LIT("a\r"));
    assert_string_equal(buf_cstr(&r.text), "a\n");
    buf_clear(&r.text);
    run_all_ways(&r, BODY_CHUNK, &strict, SLICE_LIT("a\nb\r\n"));
    assert_int_equal(r.b.defect, BODY_BARE_LF);
    buf_clear(&r.text);
}

/* The border of chunks may stand inside a CRLF, and octets behind a chunk are commands. */
static void chunks_join(void **state)
{
    struct result r;
    size_t used;

    (void)state;
    start(&r, BODY_CHUNK, &strict);
    body_in_chunk(&r.b, 2);
    assert_int_equal(body_in_push(&r.b, SLICE_LIT("a\rBDAT 3"), &used), DONE);
    assert_int_equal(used, 2);
    body_in_chunk(&r.b, 3);
    assert_int_equal(body_in_push(&r.b, SLICE_LIT("\nb"), &used), MORE);
    assert_int_equal(body_in_push(&r.b, SLICE_LIT("c\r\n"), &used), DONE);
    assert_int_equal(used, 1);
    body_in_chunk(&r.b, 0);
    assert_int_equal(body_in_push(&r.b, SLICE_LIT("QUIT"), &used), DONE);
    assert_int_equal(used, 0);
    body_in_finish(&r.b);
    assert_int_equal(r.b.defect, BODY_GOOD);
    assert_string_equal(buf_cstr(&r.text), "a\nbc\n");
    buf_clear(&r.text);
}

static void an_open_end_stays_open(void **state)
{
    const struct body_limits open_end = { .fix_bare = true, .open_end = true };
    struct result r;

    (void)state;
    run_all_ways(&r, BODY_CHUNK, &open_end, SLICE_LIT("a\r\nbc"));
    assert_string_equal(buf_cstr(&r.text), "a\nbc");
    assert_true(r.b.wire_size == 5);
    buf_clear(&r.text);
}

static void binary_is_left_alone(void **state)
{
    const struct slice in = SLICE_LIT("a\r\nb\nc\r\0.\r\n.\r\n");
    const struct body_limits small = { .size = 3 };
    struct result r;

    (void)state;
    run_all_ways(&r, BODY_BINARY, &strict, in);
    assert_int_equal(r.b.defect, BODY_GOOD);
    assert_true(slice_eq(buf_slice(&r.text), in));
    buf_clear(&r.text);
    run_all_ways(&r, BODY_BINARY, &small, in);
    assert_int_equal(r.b.defect, BODY_TOO_BIG);
    assert_int_equal(r.used, in.n);
    buf_clear(&r.text);
}

/* Many lines come as few pushes: the sink writes to a file or hashes. */
static void pushes_large_runs(void **state)
{
    char *wire = mem_alloc(65536 + 3);
    struct result r;

    (void)state;
    for (size_t i = 0; i < 65536; i++)
        wire[i] = i % 64 == 62 ? '\r' : i % 64 == 63 ? '\n' : 'x';
    memcpy(wire + 65536, ".\r\n", 3);
    run(&r, BODY_DOT, &strict, slice_make(wire, 65536 + 3), 0, 65536 + 3);
    assert_int_equal(r.progress, DONE);
    assert_int_equal(r.text.n, 65536 / 64 * 63);
    assert_true(r.pushes <= 10);
    buf_clear(&r.text);
    mem_free(wire);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_a_message),
        cmocka_unit_test(only_crlf_dot_crlf_ends_it),
        cmocka_unit_test(fixes_line_ends_but_not_the_end),
        cmocka_unit_test(bounds_lines_and_size),
        cmocka_unit_test(a_failing_sink_is_noted_once),
        cmocka_unit_test(takes_chunks),
        cmocka_unit_test(chunks_join),
        cmocka_unit_test(an_open_end_stays_open),
        cmocka_unit_test(binary_is_left_alone),
        cmocka_unit_test(pushes_large_runs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
