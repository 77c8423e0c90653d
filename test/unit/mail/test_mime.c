#include "facteur/mail/mime.h"

#include "facteur/base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

enum { MESSAGE_MAX = 1 << 20, DUMP_MAX = 1 << 22 };

static void put(struct buf *out, struct slice s)
{
    assert_int_equal(s.p != NULL ? buf_addf(out, " '%.*s'", SLICE_ARG(s)) : buf_adds(out, " -"), 0);
}

static void put_addresses(struct buf *out, const char *name, const struct mime_address *a)
{
    if (a == NULL)
        return;
    assert_int_equal(buf_addf(out, " %s", name), 0);
    for (; a != NULL; a = a->next) {
        assert_int_equal(buf_adds(out, a->group_start ? " {" : a->group_end ? " }" : " <"), 0);
        put(out, a->name);
        put(out, a->route);
        put(out, a->mailbox);
        put(out, a->host);
    }
}

static void put_params(struct buf *out, const struct mime_params *p)
{
    for (size_t i = 0; i < p->raw_count; i++) {
        put(out, p->raw[i].name);
        put(out, p->raw[i].value);
    }
    assert_int_equal(buf_adds(out, " /"), 0);
    for (size_t i = 0; i < p->count; i++) {
        put(out, p->items[i].name);
        put(out, p->items[i].value);
    }
}

static void put_envelope(struct buf *out, const struct mime_envelope *e)
{
    put(out, e->date);
    put(out, e->subject);
    put(out, e->in_reply_to);
    put(out, e->message_id);
    put(out, e->references);
    put_addresses(out, "from", e->from);
    put_addresses(out, "sender", e->sender);
    put_addresses(out, "reply-to", e->reply_to);
    put_addresses(out, "to", e->to);
    put_addresses(out, "cc", e->cc);
    put_addresses(out, "bcc", e->bcc);
}

/* One line a part, all that the tree says of it. */
static void dump(const struct mime *m, struct buf *out)
{
    const struct mime_part *p = m->root;

    buf_reset(out);
    while (p != NULL) {
        assert_int_equal(buf_addf(out, "%u %d %d %d [%lu %lu %lu] %lu %lu %lu", p->children, p->multipart, p->message,
                                  (int)p->coding, (unsigned long)p->header_at, (unsigned long)p->body_at,
                                  (unsigned long)p->end, (unsigned long)p->header_bare, (unsigned long)p->body_bare,
                                  (unsigned long)p->body_lines),
                         0);
        put(out, p->type);
        put(out, p->subtype);
        put_params(out, &p->params);
        put(out, p->id);
        put(out, p->description);
        put(out, p->encoding);
        put(out, p->md5);
        put(out, p->location);
        put(out, p->disposition);
        put_params(out, &p->disposition_params);
        for (size_t i = 0; i < p->language_count; i++)
            put(out, p->languages[i]);
        if (p->envelope != NULL)
            put_envelope(out, p->envelope);
        assert_int_equal(buf_addc(out, '\n'), 0);
        if (p->first != NULL) {
            p = p->first;
            continue;
        }
        while (p != NULL && p->next == NULL)
            p = p->parent;
        p = p != NULL ? p->next : NULL;
    }
}

static void parse(struct mime *m, struct slice message)
{
    mime_init(m, true);
    assert_int_equal(mime_push(m, message), MORE);
    mime_end(m);
    assert_non_null(m->root);
}

static void parse_in_pieces(struct mime *m, struct slice message, size_t piece)
{
    mime_init(m, true);
    for (; message.n > 0; message = slice_skip(message, piece))
        assert_int_equal(mime_push(m, slice_head(message, piece)), MORE);
    mime_end(m);
}

static void assert_same_in_pieces(struct slice message)
{
    struct buf whole, pieces;
    struct mime m;

    buf_init(&whole, DUMP_MAX);
    buf_init(&pieces, DUMP_MAX);
    parse(&m, message);
    dump(&m, &whole);
    mime_clear(&m);
    for (size_t piece = 1; piece < 5; piece++) {
        parse_in_pieces(&m, message, piece);
        dump(&m, &pieces);
        assert_string_equal(buf_cstr(&whole), buf_cstr(&pieces));
        mime_clear(&m);
    }
    for (size_t cut = 1; cut < message.n && message.n < 1000; cut++) {
        mime_init(&m, true);
        assert_int_equal(mime_push(&m, slice_head(message, cut)), MORE);
        assert_int_equal(mime_push(&m, slice_skip(message, cut)), MORE);
        mime_end(&m);
        dump(&m, &pieces);
        assert_string_equal(buf_cstr(&whole), buf_cstr(&pieces));
        mime_clear(&m);
    }
    buf_clear(&whole);
    buf_clear(&pieces);
}

static size_t read_file(const char *name, char *to)
{
    char path[4096];
    FILE *f;
    size_t n;

    assert_true(snprintf(path, sizeof path, "%s/data/mime/%s", TEST_DIR, name) < (int)sizeof path);
    f = fopen(path, "rb");
    assert_non_null(f);
    n = fread(to, 1, MESSAGE_MAX, f);
    assert_int_equal(fclose(f), 0);
    return n;
}

static int is_message(const struct dirent *entry)
{
    return slice_iends(slice_str(entry->d_name), ".eml");
}

static int by_octets(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* Runs f for each message of test/data/mime in the order of their names. */
static int for_each_message(void (*f)(const char *name, struct slice message, struct buf *out), struct buf *out)
{
    char *message = mem_alloc(MESSAGE_MAX);
    struct dirent **entries = NULL;
    int count = scandir(TEST_DIR "/data/mime", &entries, is_message, by_octets);

    for (int i = 0; i < count; i++) {
        f(entries[i]->d_name, (struct slice){ message, read_file(entries[i]->d_name, message) }, out);
        mem_free(entries[i]);
    }
    mem_free(entries);
    mem_free(message);
    return count;
}

static void check_pieces(const char *name, struct slice message, struct buf *out)
{
    (void)name;
    (void)out;
    assert_same_in_pieces(message);
}

/* The tree is the same however the message comes. */
static void pieces_of_any_size_give_the_same_tree(void **state)
{
    (void)state;
    assert_true(for_each_message(check_pieces, NULL) > 200);
}

static void add_tree(const char *name, struct slice message, struct buf *out)
{
    struct buf tree;
    struct mime m;

    buf_init(&tree, DUMP_MAX);
    parse(&m, message);
    dump(&m, &tree);
    assert_int_equal(buf_addf(out, "== %s\n", name), 0);
    assert_int_equal(buf_add(out, tree.p, tree.n), 0);
    mime_clear(&m);
    buf_clear(&tree);
}

/* What the trees were when they gave what Dovecot gives (see trees.txt). What they are now is left in mime-trees.txt. */
static void trees_are_as_written_down(void **state)
{
    char *written = mem_alloc(MESSAGE_MAX);
    size_t n = read_file("trees.txt", written);
    struct buf out;
    FILE *f;

    (void)state;
    buf_init(&out, DUMP_MAX);
    (void)for_each_message(add_tree, &out);
    if (!slice_eq(buf_slice(&out), (struct slice){ written, n })) {
        f = fopen("mime-trees.txt", "wb");
        assert_non_null(f);
        assert_int_equal(fwrite(out.p, 1, out.n, f), out.n);
        assert_int_equal(fclose(f), 0);
        fail_msg("diff %s/data/mime/trees.txt mime-trees.txt", TEST_DIR);
    }
    buf_clear(&out);
    mem_free(written);
}

static void assert_slice(struct slice s, const char *text)
{
    if (text == NULL)
        assert_null(s.p);
    else if (!slice_is(s, text))
        fail_msg("\"%.*s\" is not \"%s\"", SLICE_ARG(s), text);
}

/* What stands at a place of the message. */
static void assert_place(const char *message, uint64_t from, uint64_t to, const char *text)
{
    assert_true(from <= to);
    assert_slice((struct slice){ message + from, (size_t)(to - from) }, text);
}

static void parts_have_their_places(void **state)
{
    static const char message[] =
        "Content-Type: multipart/mixed; boundary=b\r\nSubject: s\n\npre\n--b\nContent-ID: <1>\n\none\n"
        "\n--b\n\r\ntwo\r\n\r\n--b--\npost\n";
    const struct mime_part *p;
    struct mime m;

    (void)state;
    parse(&m, slice_str(message));
    assert_int_equal(m.parts, 3);
    p = m.root;
    assert_true(p->multipart && p->children == 2);
    assert_place(message, p->header_at, p->body_at, "Content-Type: multipart/mixed; boundary=b\r\nSubject: s\n\n");
    assert_int_equal(p->header_bare, 2);
    assert_int_equal(p->end, sizeof message - 1);
    p = p->first;
    assert_place(message, p->header_at, p->body_at, "Content-ID: <1>\n\n");
    assert_place(message, p->body_at, p->end, "one\n");
    assert_slice(p->id, "<1>");
    assert_int_equal(p->body_lines, 1);
    assert_int_equal(mime_wire_body(p), 5);
    assert_int_equal(mime_wire_header(p), 19);
    p = p->next;
    assert_place(message, p->header_at, p->body_at, "\r\n");
    assert_place(message, p->body_at, p->end, "two\r\n");
    assert_int_equal(mime_wire_body(p), 5);
    assert_null(p->next);
    mime_clear(&m);
}

static void messages_have_a_body_and_an_envelope(void **state)
{
    static const char message[] =
        "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n\nSubject: in\n"
        "Content-Type: multipart/mixed; boundary=i\n\n--i\n\none\n--b--\n";
    const struct mime_part *p;
    struct mime m;

    (void)state;
    parse(&m, slice_str(message));
    p = m.root->first;
    assert_true(p->message && !p->multipart && p->children == 1);
    assert_null(p->envelope);
    assert_int_equal(p->body_lines, 5);
    assert_slice(p->first->envelope->subject, "in");
    assert_place(message, p->first->header_at, p->first->body_at,
                 "Subject: in\nContent-Type: multipart/mixed; boundary=i\n\n");
    assert_int_equal(p->end, p->first->end);
    assert_place(message, p->first->first->body_at, p->end, "one");
    mime_clear(&m);
}

static void section_numbers_name_parts(void **state)
{
    static const char message[] =
        "Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b\nContent-Type: message/rfc822\n\n"
        "Content-Type: multipart/mixed; boundary=i\n\n--i\n\ntwo\n--i\n\nthree\n--i--\n--b\n"
        "Content-Type: message/rfc822\n\nSubject: x\n\nfour\n--b--\n";
    static const struct {
        uint32_t path[4];
        size_t depth;
        const char *body; /* NULL: there is none */
    } cases[] = {
        { { 1 }, 1, "one" },   { { 2, 1 }, 2, "two" },   { { 2, 2 }, 2, "three" }, { { 3, 1 }, 2, "four" },
        { { 0 }, 1, NULL },    { { 4 }, 1, NULL },       { { 1, 1 }, 2, NULL },    { { 2, 3 }, 2, NULL },
        { { 3, 2 }, 2, NULL }, { { 3, 1, 1 }, 3, NULL }, { { 2, 1, 1 }, 3, NULL }, { { UINT32_MAX }, 1, NULL },
    };
    uint32_t ones[3000];
    struct mime m;

    (void)state;
    parse(&m, slice_str(message));
    assert_ptr_equal(mime_find(&m, NULL, 0), m.root);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct mime_part *p = mime_find(&m, cases[i].path, cases[i].depth);

        if (cases[i].body == NULL)
            assert_null(p);
        else
            assert_place(message, p->body_at, p->end, cases[i].body);
    }
    for (size_t i = 0; i < sizeof ones / sizeof *ones; i++)
        ones[i] = 1;
    assert_null(mime_find(&m, ones, sizeof ones / sizeof *ones));
    mime_clear(&m);
    parse(&m, SLICE_LIT("Subject: x\n\nbody\n"));
    assert_ptr_equal(mime_find(&m, ones, 1), m.root); /* a message alone has one part */
    assert_null(mime_find(&m, ones, 2));
    mime_clear(&m);
}

static void parameters_are_shown_and_decoded(void **state)
{
    static const char message[] =
        "Content-Type: text/plain; CharSet=\"utf-8\"; name*1=b; name*0=a\n"
        "Content-Disposition: attachment; filename=plain;\n filename*0*=iso-8859-1'de'Gr%FC;\n"
        " filename*1*=%DFe; filename*2=\"%.txt\"\n\n";
    struct mime m;

    (void)state;
    parse(&m, slice_str(message));
    assert_slice(*mime_param(&m.root->params, "charset"), "utf-8");
    assert_slice(*mime_param(&m.root->params, "NAME"), "ab");
    assert_null(mime_param(&m.root->params, "filename"));
    assert_slice(*mime_param(&m.root->disposition_params, "filename"), "Gr\xc3\xbc\xc3\x9f"
                                                                       "e%.txt");
    assert_int_equal(m.root->disposition_params.raw_count, 2);
    assert_slice(m.root->disposition_params.raw[0].value, "plain");
    assert_slice(m.root->disposition_params.raw[1].name, "filename*");
    assert_slice(m.root->disposition_params.raw[1].value, "iso-8859-1'de'Gr%FC%DFe%25.txt");
    assert_slice(m.root->params.raw[1].name, "name");
    mime_clear(&m);
}

static void the_envelope_alone_ends_with_the_header(void **state)
{
    struct mime m;

    (void)state;
    mime_init(&m, false);
    assert_int_equal(mime_push(&m, SLICE_LIT("Subject: x\nContent-Type: multipart/mixed; boundary=b\n")), MORE);
    assert_int_equal(mime_push(&m, SLICE_LIT("\n--b\n\nbody\n")), DONE);
    assert_int_equal(mime_push(&m, SLICE_LIT("--b\n")), DONE);
    mime_end(&m);
    assert_slice(m.root->envelope->subject, "x");
    assert_null(m.root->first);
    assert_int_equal(m.root->body_at, 54);
    mime_clear(&m);
    mime_init(&m, false);
    mime_end(&m);
    assert_slice(m.root->envelope->subject, NULL);
    mime_clear(&m);
}

static void addresses_alone_can_be_read(void **state)
{
    struct arena arena = { 0 };
    struct mime_address *a = NULL;

    (void)state;
    assert_int_equal(mime_parse_addresses(&arena, SLICE_LIT("Ann <a@x>, G: b@y;, c"), &a), 0);
    assert_slice(a->name, "Ann");
    assert_slice(a->mailbox, "a");
    assert_slice(a->host, "x");
    a = a->next;
    assert_true(a->group_start);
    assert_slice(a->mailbox, "G");
    assert_slice(a->host, NULL);
    a = a->next->next;
    assert_true(a->group_end);
    assert_slice(a->mailbox, NULL);
    a = a->next;
    assert_slice(a->mailbox, "c");
    assert_slice(a->host, "MISSING_DOMAIN");
    assert_null(a->next);
    assert_int_equal(mime_parse_addresses(&arena, SLICE_LIT(" (none) "), &a), 0);
    assert_null(a);
    arena_clear(&arena);
}

/* A message of `count` times `again` between two texts. */
static struct slice repeat(struct buf *out, const char *head, const char *again, size_t count, const char *tail)
{
    buf_init(out, 64U << 20);
    assert_int_equal(buf_adds(out, head), 0);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(buf_adds(out, again), 0);
    assert_int_equal(buf_adds(out, tail), 0);
    return buf_slice(out);
}

static unsigned depth_of(const struct mime *m)
{
    unsigned depth = 0;

    for (const struct mime_part *p = m->root; p->first != NULL; p = p->first)
        depth++;
    return depth;
}

static void depth_and_number_are_limited(void **state)
{
    struct mime m;
    struct buf b;

    (void)state;
    parse(&m, repeat(&b, "", "Content-Type: message/rfc822\n\n", 2000, "x"));
    assert_int_equal(depth_of(&m), MIME_DEPTH - 1);
    mime_clear(&m);
    buf_clear(&b);
    parse(&m, repeat(&b, "", "Content-Type: multipart/mixed; boundary=b\n\n--b\n", 5000, "x"));
    assert_int_equal(depth_of(&m), MIME_DEPTH - 1);
    mime_clear(&m);
    buf_clear(&b);
    parse(&m, repeat(&b, "Content-Type: multipart/mixed; boundary=b\n\n", "--b\n\n", 50000, "--b--\n"));
    assert_int_equal(m.parts, MIME_PARTS);
    assert_int_equal(m.root->children, MIME_PARTS - 1);
    assert_int_equal(m.root->last->end, b.n); /* the rest is the last part's */
    mime_clear(&m);
    buf_clear(&b);
    parse(&m, repeat(&b, "Content-Type: multipart/digest; boundary=b\n\n", "--b\n\n", 50000, "--b--\n"));
    assert_true(m.parts <= MIME_PARTS + 1);
    mime_clear(&m);
    buf_clear(&b);
}

static void long_things_are_limited(void **state)
{
    size_t count = 0;
    struct slice s;
    struct mime m;
    struct buf b;

    (void)state;
    s = repeat(&b, "To: ", "a,", MIME_HEADER, "\n\nbody"); /* twice as long as what is looked at */
    parse(&m, s);
    for (const struct mime_address *a = m.root->envelope->to; a != NULL; a = a->next)
        count++;
    assert_true(count > 100000);
    assert_true(m.arena.total < 2U * MIME_MEMORY);
    assert_int_equal(m.root->end - m.root->body_at, 4);
    mime_clear(&m);
    buf_clear(&b);
    s = repeat(&b, "Content-Type: multipart/mixed; boundary=\"", "x", 60000, "\"\n\n--");
    for (size_t i = 0; i < 60000; i++)
        assert_int_equal(buf_addc(&b, 'x'), 0);
    assert_int_equal(buf_adds(&b, "\n\none"), 0);
    parse(&m, buf_slice(&b));
    assert_int_equal(m.root->children, 1);
    assert_int_equal(m.root->first->end - m.root->first->body_at, 3);
    mime_clear(&m);
    buf_clear(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_of_any_size_give_the_same_tree),
        cmocka_unit_test(trees_are_as_written_down),
        cmocka_unit_test(parts_have_their_places),
        cmocka_unit_test(messages_have_a_body_and_an_envelope),
        cmocka_unit_test(section_numbers_name_parts),
        cmocka_unit_test(parameters_are_shown_and_decoded),
        cmocka_unit_test(the_envelope_alone_ends_with_the_header),
        cmocka_unit_test(addresses_alone_can_be_read),
        cmocka_unit_test(depth_and_number_are_limited),
        cmocka_unit_test(long_things_are_limited),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
