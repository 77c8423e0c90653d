/* The grammar: what each command means, what is refused, and that neither takes long. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "facteur/base/buf.h"
#include "facteur/base/mem.h"
#include "imap_parse_priv.h"

struct parsed {
    struct arena a;
    struct imap_command c;
    struct err e;
    int code;
    char *text;
};

static const struct imap_parse_options selected = { .authenticated = true, .selected = true };
static const struct imap_parse_options logged_in = { .authenticated = true };
static const struct imap_parse_options qresync = { .authenticated = true,
                                                   .selected = true,
                                                   .enabled = ENABLE_QRESYNC | ENABLE_CONDSTORE };
static const struct imap_parse_options utf8 = { .authenticated = true, .names_utf8 = true, .enabled = ENABLE_UTF8 };

/* From a copy of its own size, so that a look beyond the end is seen. */
static struct parsed *parse_octets(struct slice text, const struct imap_parse_options *o)
{
    struct parsed *p = mem_zero(sizeof *p);

    p->text = mem_alloc(text.n);
    if (text.n > 0)
        memcpy(p->text, text.p, text.n);
    p->code = imap_parse(slice_make(p->text, text.n), o, &p->a, &p->c, &p->e);
    return p;
}

static struct parsed *parse(const char *text, const struct imap_parse_options *o)
{
    return parse_octets(slice_str(text), o);
}

static struct parsed *good(const char *text, const struct imap_parse_options *o)
{
    struct parsed *p = parse(text, o);

    if (p->code != 0)
        fail_msg("%s: %d %s", text, p->code, p->e.text);
    return p;
}

static void done(struct parsed *p)
{
    arena_clear(&p->a);
    mem_free(p->text);
    mem_free(p);
}

#define assert_slice(s, text)                                                                                          \
    do {                                                                                                               \
        if (!slice_is(s, text))                                                                                        \
            fail_msg("\"%.*s\" is not \"%s\"", SLICE_ARG(s), text);                                                    \
    } while (0)

/* ---- what is refused ---- */

static void wrong_ones(void **state)
{
    static const struct {
        const char *text;
        int code;
    } rows[] = {
        { "", -EINVAL },
        { "a", -EINVAL },
        { "a ", -EINVAL },
        { " a NOOP", -EINVAL },
        { "(a NOOP", -EINVAL },
        { "a+ NOOP", -EINVAL },
        { "a NOOPS", -EINVAL },
        { "a NOOP x", -EINVAL },
        { "a UID NOOP", -EINVAL },
        { "a UID COPYX 1 x", -EINVAL },
        { "a LOGIN u p", -EINVAL },
        { "a SELECT", -EINVAL },
        { "a SELECT ", -EINVAL },
        { "a SELECT \"\"", -EINVAL },
        { "a SELECT \"x", -EINVAL },
        { "a SELECT \"x\\", -EINVAL },
        { "a SELECT \"x\\y\"", -EINVAL },
        { "a SELECT x\"y\"", -EINVAL },
        { "a SELECT \"x\"y", -EINVAL },
        { "a SELECT x%", -EINVAL },
        { "a SELECT x (", -EINVAL },
        { "a SELECT x (CONDSTORE", -EINVAL },
        { "a SELECT x (UNKNOWN)", -EINVAL },
        { "a SELECT x (QRESYNC (1 2))", -EINVAL },
        { "a SELECT &APw", -EINVAL },
        { "a SELECT \"\xc3\xbc\"", -EINVAL },
        { "a SELECT \"\xfc\"", -EINVAL },
        { "a SELECT &AAA-", -EINVAL },
        { "a SELECT &AAo-", -EINVAL },
        { "a SELECT \"a\x7f\"", -EINVAL },
        { "a SELECT &AH8-", -EINVAL },
        { "a SELECT {4}\r\nx\ry\n", -EINVAL },
        { "a SELECT {4}\r\nxy", -EINVAL },
        { "a SELECT {x}\r\nxy", -EINVAL },
        { "a SELECT {2}xy", -EINVAL },
        { "a SELECT {1{2}\r\nxy", -EINVAL },
        { "a SELECT ~{2}\r\nxy", -EINVAL },
        { "a SELECT {99999999999999999999999999}\r\nxy", -EINVAL },
        { "a RENAME x", -EINVAL },
        { "a CREATE x (USE \\Sent)", -EINVAL },
        { "a CREATE x (USE (Sent))", -EINVAL },
        { "a CREATE x (OTHER (\\Sent))", -EINVAL },
        { "a STATUS x", -EINVAL },
        { "a STATUS x ()", -EINVAL },
        { "a STATUS x (MESSAGES", -EINVAL },
        { "a STATUS x (UNKNOWN)", -EINVAL },
        { "a LIST", -EINVAL },
        { "a LIST \"\"", -EINVAL },
        { "a LIST \"\" ()", -EINVAL },
        { "a LIST (RECURSIVEMATCH) \"\" *", -EINVAL },
        { "a LIST (RECURSIVEMATCH REMOTE) \"\" *", -EINVAL },
        { "a LIST (UNKNOWN) \"\" *", -EINVAL },
        { "a LIST \"\" * RETURN", -EINVAL },
        { "a LIST \"\" * RETURN (UNKNOWN)", -EINVAL },
        { "a LIST \"\" * RETURN (STATUS)", -EINVAL },
        { "a LIST \"\" * CHILDREN", -EINVAL },
        { "a LSUB \"\" (a b)", -EINVAL },
        { "a FETCH", -EINVAL },
        { "a FETCH 1", -EINVAL },
        { "a FETCH 0 FLAGS", -EINVAL },
        { "a FETCH 4294967296 FLAGS", -EINVAL },
        { "a FETCH 1: FLAGS", -EINVAL },
        { "a FETCH 1:2:3 FLAGS", -EINVAL },
        { "a FETCH 1,,2 FLAGS", -EINVAL },
        { "a FETCH ,1 FLAGS", -EINVAL },
        { "a FETCH 1, FLAGS", -EINVAL },
        { "a FETCH -1 FLAGS", -EINVAL },
        { "a FETCH $,1 FLAGS", -EINVAL },
        { "a FETCH 1 ()", -EINVAL },
        { "a FETCH 1 (ALL)", -EINVAL },
        { "a FETCH 1 (FLAGS", -EINVAL },
        { "a FETCH 1 FLAGS UID", -EINVAL },
        { "a FETCH 1 BODY[", -EINVAL },
        { "a FETCH 1 BODY[1", -EINVAL },
        { "a FETCH 1 BODY[1.]", -EINVAL },
        { "a FETCH 1 BODY[0]", -EINVAL },
        { "a FETCH 1 BODY[.1]", -EINVAL },
        { "a FETCH 1 BODY[1TEXT]", -EINVAL },
        { "a FETCH 1 BODY[MIME]", -EINVAL },
        { "a FETCH 1 BODY[TEXT.1]", -EINVAL },
        { "a FETCH 1 BODY[HEADER.FIELDS]", -EINVAL },
        { "a FETCH 1 BODY[HEADER.FIELDS ()]", -EINVAL },
        { "a FETCH 1 BODY[HEADER.FIELDS (A:B)]", -EINVAL },
        { "a FETCH 1 BODY[HEADER.FIELDS (\"a b\")]", -EINVAL },
        { "a FETCH 1 BODY[HEADER.FIELDS (\"\")]", -EINVAL },
        { "a FETCH 1 BODY[]<0>", -EINVAL },
        { "a FETCH 1 BODY[]<0.0>", -EINVAL },
        { "a FETCH 1 BODY[]<0.1", -EINVAL },
        { "a FETCH 1 BODY[]<-1.1>", -EINVAL },
        { "a FETCH 1 BODY[]<18446744073709551616.1>", -EINVAL },
        { "a FETCH 1 BODY[]<9223372036854775808.1>", -EINVAL },
        { "a FETCH 1 BODY.PEEK", -EINVAL },
        { "a FETCH 1 FLAGS[]", -EINVAL },
        { "a FETCH 1 BINARY[TEXT]", -EINVAL },
        { "a FETCH 1 BINARY.SIZE[1]<0.1>", -EINVAL },
        { "a FETCH 1 PREVIEW (EAGER)", -EINVAL },
        { "a FETCH 1 FLAGS (CHANGEDSINCE)", -EINVAL },
        { "a FETCH 1 FLAGS (CHANGEDSINCE 9223372036854775808)", -EINVAL },
        { "a FETCH 1 FLAGS (UNKNOWN 1)", -EINVAL },
        { "a FETCH 1 FLAGS (PARTIAL 1:2)", -EINVAL },
        { "a UID FETCH 1 FLAGS (PARTIAL 1:-2)", -EINVAL },
        { "a UID FETCH 1 FLAGS (PARTIAL 0:2)", -EINVAL },
        { "a UID FETCH 1 FLAGS (PARTIAL 1)", -EINVAL },
        { "a UID FETCH 1 FLAGS (CHANGEDSINCE 1 VANISHED)", -EINVAL },
        { "a STORE 1 FLAGS", -EINVAL },
        { "a STORE 1 FLAGS (\\Recent)", -EINVAL },
        { "a STORE 1 FLAGS (\\Unknown)", -EINVAL },
        { "a STORE 1 FLAGS (\\)", -EINVAL },
        { "a STORE 1 FLAGS (\\Seen", -EINVAL },
        { "a STORE 1 FLAGS (\"x\")", -EINVAL },
        { "a STORE 1 *FLAGS (\\Seen)", -EINVAL },
        { "a STORE 1 FLAGS.LOUD (\\Seen)", -EINVAL },
        { "a STORE 1 (UNCHANGEDSINCE) FLAGS ()", -EINVAL },
        { "a STORE 1 (OTHER 1) FLAGS ()", -EINVAL },
        { "a COPY 1", -EINVAL },
        { "a UID EXPUNGE", -EINVAL },
        { "a EXPUNGE 1", -EINVAL },
        { "a SEARCH", -EINVAL },
        { "a SEARCH ()", -EINVAL },
        { "a SEARCH (ALL", -EINVAL },
        { "a SEARCH ALL)", -EINVAL },
        { "a SEARCH NOT", -EINVAL },
        { "a SEARCH OR ALL", -EINVAL },
        { "a SEARCH (OR ALL)", -EINVAL },
        { "a SEARCH NOT)", -EINVAL },
        { "a SEARCH UNKNOWN", -EINVAL },
        { "a SEARCH SUBJECT", -EINVAL },
        { "a SEARCH HEADER \"\" x", -EINVAL },
        { "a SEARCH LARGER x", -EINVAL },
        { "a SEARCH OLDER 0", -EINVAL },
        { "a SEARCH UID", -EINVAL },
        { "a SEARCH BEFORE 1-Foo-2020", -EINVAL },
        { "a SEARCH BEFORE 0-Jan-2020", -EINVAL },
        { "a SEARCH BEFORE 32-Jan-2020", -EINVAL },
        { "a SEARCH BEFORE 29-Feb-2021", -EINVAL },
        { "a SEARCH BEFORE 31-Apr-2020", -EINVAL },
        { "a SEARCH BEFORE 1-Jan-20", -EINVAL },
        { "a SEARCH BEFORE \"1-Jan-2020", -EINVAL },
        { "a SEARCH BEFORE 2020-01-01", -EINVAL },
        { "a SEARCH MODSEQ \"/flags/x\" none 1", -EINVAL },
        { "a SEARCH MODSEQ \"x\" all 1", -EINVAL },
        { "a SEARCH RETURN MIN ALL", -EINVAL },
        { "a SEARCH RETURN (MIN", -EINVAL },
        { "a SEARCH RETURN (UNKNOWN) ALL", -EINVAL },
        { "a SEARCH RETURN (ALL PARTIAL 1:2) ALL", -EINVAL },
        { "a SEARCH RETURN (PARTIAL 1:*) ALL", -EINVAL },
        { "a SEARCH RETURN (MIN)", -EINVAL },
        { "a SEARCH CHARSET UTF-8", -EINVAL },
        { "a SEARCH TEXT \"\xff\"", -EINVAL },
        { "a SORT RETURN (MIN) (DATE) UTF-8 ALL", -EINVAL },
        { "a SORT (DATE) ALL", -EINVAL },
        { "a SORT () UTF-8 ALL", -EINVAL },
        { "a SORT (REVERSE) UTF-8 ALL", -EINVAL },
        { "a SORT (UNKNOWN) UTF-8 ALL", -EINVAL },
        { "a THREAD UNKNOWN UTF-8 ALL", -EINVAL },
        { "a THREAD REFERENCES UTF-8", -EINVAL },
        { "a ENABLE", -EINVAL },
        { "a ENABLE CONDSTORE", -EINVAL }, /* with a mailbox selected */
        { "a ID", -EINVAL },
        { "a ID x", -EINVAL },
        { "a ID (\"x\")", -EINVAL },
        { "a ID (x \"y\")", -EINVAL },
        { "a GETQUOTA", -EINVAL },
        { "a SETQUOTA \"\" (STORAGE)", -EINVAL },
        { "a APPEND x", -EINVAL },
        { "a REPLACE 1 x", -EINVAL },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct parsed *p = parse(rows[i].text, &selected);

        if (p->code != rows[i].code)
            fail_msg("%s: %d, not %d", rows[i].text, p->code, rows[i].code);
        assert_true(p->e.text[0] != '\0');
        done(p);
    }
}

/* Every command cut off anywhere: nothing is read beyond the end, and what is left is refused or means less. */
static void cut_anywhere(void **state)
{
    static const char *const texts[] = {
        "a1 UID FETCH 1:*,5,$ (FLAGS BODY.PEEK[1.2.HEADER.FIELDS.NOT (\"To\" {4}\r\nFrom)]<0.100>) (CHANGEDSINCE 5)",
        ("a2 UID SEARCH RETURN (MIN PARTIAL -1:-5) CHARSET UTF-8 OR (NOT SEEN HEADER \"X\" {3}\r\na b) 1:5 SINCE "
         "\"1-Jan-2020\""),
        "a3 LIST (SUBSCRIBED) \"\" (\"a*\" %) RETURN (CHILDREN STATUS (MESSAGES SIZE))",
        "a4 STORE 1:3 (UNCHANGEDSINCE 5) +FLAGS.SILENT (\\Seen x)",
        "a5 SELECT \"a\\\\b\" (QRESYNC (1 2 3:4 (1,2 3,4)))",
        "a6 CREATE &APw- (USE (\\Sent))",
    };

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        for (size_t n = 0; n <= strlen(texts[i]); n++) {
            struct parsed *p = parse_octets(slice_make(texts[i], n), &qresync);

            assert_true(p->code == 0 || p->code == -EINVAL);
            done(p);
        }
}

/* ---- what commands mean ---- */

static void sets(void **state)
{
    struct parsed *p = good("a COPY 1,3:5,*:2,*:*,7:* x", &selected);
    static const struct imap_piece want[] = { { 1, 1 }, { 3, 5 }, { 0, 2 }, { 0, 0 }, { 7, 0 } };

    (void)state;
    assert_int_equal(p->c.set.count, 5);
    assert_memory_equal(p->c.set.pieces, want, sizeof want);
    assert_slice(p->c.mailbox, "x");
    done(p);
    p = good("a UID MOVE $ x", &selected);
    assert_true(p->c.uid && p->c.set.saved && p->c.verb == IMAP_MOVE);
    done(p);
    p = good("a UID EXPUNGE 1:4294967295", &selected);
    assert_int_equal(p->c.set.pieces[0].to, 4294967295U);
    done(p);
}

static void names(void **state)
{
    static const struct {
        const char *text, *want;
        const struct imap_parse_options *o;
    } rows[] = {
        { "a SELECT inBOX", "INBOX", &logged_in },
        { "a SELECT \"INBOX\"", "INBOX", &logged_in },
        { "a SELECT {5}\r\ninbox", "INBOX", &logged_in },
        { "a SELECT {5+}\r\ninbox", "INBOX", &logged_in },
        { "a SELECT Entw&APw-rfe", "Entw\xc3\xbcrfe", &logged_in },
        { "a SELECT R&-D", "R&D", &logged_in },
        { "a SELECT \"Entw\xc3\xbcrfe\"", "Entw\xc3\xbcrfe", &utf8 },
        { "a SELECT Entw&APw-rfe", "Entw&APw-rfe", &utf8 },
        { "a SELECT \"a b\\\"c\\\\d\"", "a b\"c\\d", &logged_in },
        { "a SELECT a]b", "a]b", &logged_in },
        { "a SELECT   x  ", "x", &logged_in },
        { "a CREATE a/b/", "a/b", &logged_in },
        { "a CREATE inbox/", "INBOX", &logged_in },
        { "a GETQUOTA \"\"", "", &logged_in },
        { "a GETQUOTAROOT inbox", "INBOX", &logged_in },
        { "a SETQUOTA \"\" (STORAGE 512)", "", &logged_in },
        { "a SETQUOTA \"\" ()", "", &logged_in },
    };
    struct parsed *p;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        p = good(rows[i].text, rows[i].o);
        assert_slice(p->c.mailbox, rows[i].want);
        done(p);
    }
    p = good("a RENAME a \"b c\"", &logged_in);
    assert_slice(p->c.mailbox, "a");
    assert_slice(p->c.to, "b c");
    done(p);
}

static void fetch_items(void **state)
{
    static const struct {
        const char *items, *want; /* kinds as letters, see below */
    } rows[] = {
        { "ALL", "fise" },
        { "FAST", "fis" },
        { "full", "fiseb" },
        { "FLAGS", "f" },
        { "(FLAGS flags FLAGS)", "f" },
        { "(UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODY BODYSTRUCTURE)", "ufisebB" },
        { "(RFC822 RFC822.HEADER RFC822.TEXT)", "rht" },
        { "(MODSEQ EMAILID THREADID SAVEDATE PREVIEW)", "metSp" },
        { "(PREVIEW (LAZY) UID)", "pu" },
        { "PREVIEW (LAZY)", "p" },
        { "BODY[]", "[" },
        { "(BODY[] BODY.PEEK[] BODY[1])", "[[" },
        { "(BODY[]<0.5> BODY[]<0.6> BODY[]<0.5>)", "[[" },
        { "(BINARY[1] BINARY.PEEK[1] BINARY.SIZE[1] BINARY[])", "nNn" },
    };
    static const char letters[] = {
        [FETCH_FLAGS] = 'f',       [FETCH_UID] = 'u',           [FETCH_INTERNALDATE] = 'i',  [FETCH_SIZE] = 's',
        [FETCH_ENVELOPE] = 'e',    [FETCH_BODY] = 'b',          [FETCH_BODYSTRUCTURE] = 'B', [FETCH_SECTION] = '[',
        [FETCH_RFC822] = 'r',      [FETCH_RFC822_HEADER] = 'h', [FETCH_RFC822_TEXT] = 't',   [FETCH_BINARY] = 'n',
        [FETCH_BINARY_SIZE] = 'N', [FETCH_MODSEQ] = 'm',        [FETCH_EMAILID] = 'e',       [FETCH_THREADID] = 't',
        [FETCH_SAVEDATE] = 'S',    [FETCH_PREVIEW] = 'p'
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[200], kinds[20] = "";
        struct parsed *p;

        (void)snprintf(text, sizeof text, "a FETCH 1 %s", rows[i].items);
        p = good(text, &selected);
        for (size_t k = 0; k < p->c.fetch.count; k++)
            kinds[k] = letters[p->c.fetch.items[k].kind];
        assert_string_equal(kinds, rows[i].want);
        assert_int_equal(p->c.enable, strchr(kinds, 'm') != NULL ? ENABLE_CONDSTORE : 0);
        done(p);
    }
}

static void fetch_sections(void **state)
{
    struct parsed *p = good("a FETCH 1 (body.peek[1.22.header.fields (to {4}\r\nFrom)]<5.10> BODY[1.MIME] BODY[text] "
                            "BODY[HEADER.FIELDS.NOT (x)] BODY[header] BODY.PEEK[2] BODY[2] BODY[4294967295])",
                            &selected);
    const struct imap_fetch_item *i = p->c.fetch.items;

    (void)state;
    assert_int_equal(p->c.fetch.count, 7);
    assert_slice(i[0].section.spelled, "1.22.HEADER.FIELDS (TO FROM)");
    assert_int_equal(i[0].section.depth, 2);
    assert_int_equal(i[0].section.path[1], 22);
    assert_int_equal(i[0].section.text, SECTION_FIELDS);
    assert_int_equal(i[0].section.field_count, 2);
    assert_slice(i[0].section.fields[1], "From");
    assert_true(i[0].peek && i[0].partial && i[0].offset == 5 && i[0].length == 10);
    assert_slice(i[1].section.spelled, "1.MIME");
    assert_int_equal(i[1].section.text, SECTION_MIME);
    assert_false(i[1].peek || i[1].partial);
    assert_slice(i[2].section.spelled, "TEXT");
    assert_slice(i[3].section.spelled, "HEADER.FIELDS.NOT (X)");
    assert_int_equal(i[4].section.text, SECTION_HEADER);
    assert_slice(i[5].section.spelled, "2");
    assert_int_equal(i[5].section.text, SECTION_ALL);
    assert_false(i[5].peek); /* said once with PEEK and once without */
    done(p);
}

static void fetch_modifiers(void **state)
{
    struct parsed *p = good("a UID FETCH 1:* (FLAGS) (CHANGEDSINCE 12345 VANISHED)", &qresync);

    (void)state;
    assert_true(p->c.fetch.changed_since && p->c.fetch.vanished && p->c.fetch.since == 12345);
    assert_int_equal(p->c.fetch.items[0].kind, FETCH_UID);
    assert_int_equal(p->c.fetch.items[2].kind, FETCH_MODSEQ);
    assert_int_equal(p->c.enable, ENABLE_CONDSTORE);
    done(p);
    p = parse("a UID FETCH 1:* FLAGS (VANISHED)", &qresync);
    assert_int_equal(p->code, -EINVAL);
    done(p);
    p = parse("a FETCH 1:* FLAGS (CHANGEDSINCE 1 VANISHED)", &qresync);
    assert_int_equal(p->code, -EINVAL);
    done(p);
    p = good("a UID FETCH 1:* FLAGS (PARTIAL -1:-100)", &selected);
    assert_true(p->c.fetch.partial && p->c.fetch.partial_from == -1 && p->c.fetch.partial_to == -100);
    done(p);
}

static void stores(void **state)
{
    struct parsed *p =
        good("a STORE 1:2 (UNCHANGEDSINCE 7) -FLAGS.SILENT (\\seen \\DELETED $forwarded work $Junk)", &selected);

    (void)state;
    assert_int_equal(p->c.store.how, IMAP_STORE_REMOVE);
    assert_true(p->c.store.silent && p->c.store.unchanged_since && p->c.store.since == 7);
    assert_int_equal(p->c.store.flags.flags, 8 | 4 | 32);
    assert_int_equal(p->c.store.flags.keyword_count, 2);
    assert_slice(p->c.store.flags.keywords[1], "$Junk");
    done(p);
    p = good("a STORE 1 flags \\Seen x ", &selected);
    assert_int_equal(p->c.store.how, IMAP_STORE_REPLACE);
    assert_int_equal(p->c.store.flags.flags, 8);
    assert_slice(p->c.store.flags.keywords[0], "x");
    done(p);
    p = good("a STORE 1 +FLAGS ()", &selected);
    assert_int_equal(p->c.store.how, IMAP_STORE_ADD);
    done(p);
}

/* The tree in a short form. */
static void write_key(const struct imap_key *k, struct buf *out)
{
    static const char *const names_of[] = {
        [KEY_ALL] = "all",
        [KEY_AND] = "and",
        [KEY_OR] = "or",
        [KEY_NOT] = "not",
        [KEY_SEQ] = "seq",
        [KEY_UID] = "uid",
        [KEY_FLAG] = "flag",
        [KEY_UNFLAG] = "unflag",
        [KEY_KEYWORD] = "keyword",
        [KEY_UNKEYWORD] = "unkeyword",
        [KEY_RECENT] = "recent",
        [KEY_OLD] = "old",
        [KEY_NEW] = "new",
        [KEY_LARGER] = "larger",
        [KEY_SMALLER] = "smaller",
        [KEY_BEFORE] = "before",
        [KEY_ON] = "on",
        [KEY_SINCE] = "since",
        [KEY_SENTBEFORE] = "sentbefore",
        [KEY_SENTON] = "senton",
        [KEY_SENTSINCE] = "sentsince",
        [KEY_SAVEDBEFORE] = "savedbefore",
        [KEY_SAVEDON] = "savedon",
        [KEY_SAVEDSINCE] = "savedsince",
        [KEY_SAVEDATESUPPORTED] = "savedatesupported",
        [KEY_OLDER] = "older",
        [KEY_YOUNGER] = "younger",
        [KEY_MODSEQ] = "modseq",
        [KEY_EMAILID] = "emailid",
        [KEY_THREADID] = "threadid",
        [KEY_HEADER] = "header",
        [KEY_BODY] = "body",
        [KEY_TEXT] = "text",
    };

    (void)!buf_adds(out, names_of[k->kind]);
    if (k->kind == KEY_AND || k->kind == KEY_OR || k->kind == KEY_NOT) {
        (void)!buf_adds(out, "(");
        for (const struct imap_key *c = k->first; c != NULL; c = c->next) {
            write_key(c, out);
            (void)!buf_adds(out, c->next != NULL ? " " : "");
        }
        (void)!buf_adds(out, ")");
    }
    if (k->kind == KEY_SEQ || k->kind == KEY_UID)
        (void)!buf_addf(out, "%zu", k->set.count);
    if (k->flag != 0 || k->number != 0)
        (void)!buf_addf(out, "%llu", (unsigned long long)(k->flag + k->number));
    if (k->day != 0)
        (void)!buf_addf(out, "%lld", (long long)k->day);
    if (k->field.n > 0)
        (void)!buf_addf(out, "<%.*s>", SLICE_ARG(k->field));
    if (k->text.n > 0)
        (void)!buf_addf(out, "<%.*s>", SLICE_ARG(k->text));
}

static void search_keys(void **state)
{
    static const struct {
        const char *keys, *want;
    } rows[] = {
        { "ALL", "and(all)" },
        { "1:3,5 UID 7 $", "and(seq2 uid1 seq0)" },
        { "SEEN unseen ANSWERED DELETED DRAFT FLAGGED UNFLAGGED",
          "and(flag8 unflag8 flag1 flag4 flag16 flag2 unflag2)" },
        { "UNANSWERED UNDELETED UNDRAFT NEW OLD RECENT", "and(unflag1 unflag4 unflag16 new old recent)" },
        { "KEYWORD x UNKEYWORD y KEYWORD $Forwarded UNKEYWORD $FORWARDED",
          "and(keyword<x> unkeyword<y> flag32<$Forwarded> unflag32<$FORWARDED>)" },
        { "OR SEEN NOT (DRAFT NOT NEW) OLD", "and(or(flag8 not(and(flag16 not(new)))) old)" },
        { "OR OR SEEN DRAFT OR OLD NEW ALL", "and(or(or(flag8 flag16) or(old new)) all)" },
        { "((ALL) (OLD (NEW)))", "and(and(and(all) and(old and(new))))" },
        { "NOT NOT NOT ALL", "and(not(not(not(all))))" },
        { "FROM a TO \"b c\" CC {3}\r\nd\"e BCC f SUBJECT g", "and(header<From><a> header<To><b c> header<Cc><d\"e> "
                                                              "header<Bcc><f> header<Subject><g>)" },
        { "HEADER X-Y \"\" BODY z TEXT \"\xc3\xbc\"", "and(header<X-Y> body<z> text<\xc3\xbc>)" },
        { "LARGER 5 SMALLER 6 OLDER 7 YOUNGER 8 MODSEQ 9", "and(larger5 smaller6 older7 younger8 modseq9)" },
        { "MODSEQ \"/flags/\\\\draft\" all 620162338", "and(modseq620162338)" },
        { "BEFORE 2-Jan-1970 ON \"1-Jan-2000\" SINCE 29-feb-2024", "and(before1 on10957 since19782)" },
        { "SENTBEFORE 31-DEC-1969 SENTON 01-Mar-1900 SENTSINCE 1-Jan-0001",
          "and(sentbefore-1 senton-25508 sentsince-719162)" },
        { "SAVEDBEFORE 2-Jan-1970 SAVEDON 2-Jan-1970 SAVEDSINCE 2-Jan-1970 SAVEDATESUPPORTED",
          "and(savedbefore1 savedon1 savedsince1 savedatesupported)" },
        { "EMAILID M1 THREADID T-2_", "and(emailid<M1> threadid<T-2_>)" },
        { "CHARSET ISO-8859-1 SUBJECT {1}\r\n\xfc", "and(header<Subject><\xc3\xbc>)" },
        { "CHARSET iso-8859-15 BODY \"\xa4\"", "and(body<\xe2\x82\xac>)" },
        { "CHARSET UTF-8 TEXT \"\xe2\x82\xac\" ", "and(text<\xe2\x82\xac>)" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[400];
        struct parsed *p;
        struct buf out;

        (void)snprintf(text, sizeof text, "a SEARCH %s", rows[i].keys);
        p = good(text, &selected);
        buf_init(&out, 4096);
        write_key(p->c.search.root, &out);
        assert_string_equal(buf_cstr(&out), rows[i].want);
        assert_int_equal(p->c.search.uses_modseq, strstr(text, "MODSEQ") != NULL);
        assert_false(p->c.search.extended);
        buf_clear(&out);
        done(p);
    }
}

static void search_results(void **state)
{
    static const struct {
        const char *text;
        bool extended;
        unsigned returns;
    } rows[] = {
        { "a SEARCH ALL", false, 0 },
        { "a SEARCH RETURN () ALL", true, RETURN_ALL },
        { "a SEARCH RETURN (MIN max COUNT ALL SAVE) ALL", true,
          RETURN_MIN | RETURN_MAX | RETURN_COUNT | RETURN_ALL | RETURN_SAVE },
        { "a UID SEARCH RETURN (SAVE) CHARSET UTF-8 ALL", true, RETURN_SAVE },
        { "a UID SEARCH RETURN (PARTIAL -1:-500 COUNT) ALL", true, RETURN_PARTIAL | RETURN_COUNT },
    };
    struct parsed *p;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        p = good(rows[i].text, &selected);
        assert_int_equal(p->c.search.extended, rows[i].extended);
        assert_int_equal(p->c.search.returns, rows[i].returns);
        done(p);
    }
    p = good("a UID SORT (REVERSE DATE SUBJECT DISPLAYTO) US-ASCII UNSEEN", &selected);
    assert_int_equal(p->c.search.sort_count, 3);
    assert_true(p->c.search.sort[0].reverse && p->c.search.sort[0].key == SORT_DATE);
    assert_true(!p->c.search.sort[1].reverse && p->c.search.sort[1].key == SORT_SUBJECT);
    assert_int_equal(p->c.search.sort[2].key, SORT_DISPLAYTO);
    done(p);
    p = good("a THREAD REFERENCES UTF-8 ALL", &selected);
    assert_int_equal(p->c.search.thread, THREAD_REFERENCES);
    done(p);
}

static void lists(void **state)
{
    struct parsed *p = good("a LIST (SUBSCRIBED RECURSIVEMATCH SPECIAL-USE) ref (\"a&APw-%\" *) RETURN (CHILDREN "
                            "SUBSCRIBED SPECIAL-USE STATUS (MESSAGES UIDNEXT HIGHESTMODSEQ))",
                            &logged_in);

    (void)state;
    assert_true(p->c.list.extended);
    assert_int_equal(p->c.list.options, LIST_SUBSCRIBED | LIST_RECURSIVEMATCH | LIST_SPECIAL_USE |
                                            LIST_RETURN_CHILDREN | LIST_RETURN_SUBSCRIBED | LIST_RETURN_SPECIAL_USE |
                                            LIST_RETURN_STATUS);
    assert_int_equal(p->c.list.status, STATUS_MESSAGES | STATUS_UIDNEXT | STATUS_HIGHESTMODSEQ);
    assert_int_equal(p->c.list.pattern_count, 2);
    assert_slice(p->c.list.reference, "ref");
    assert_slice(p->c.list.patterns[0], "a\xc3\xbc%");
    assert_slice(p->c.list.patterns[1], "*");
    done(p);
    p = good("a LIST \"\" \"\"", &logged_in);
    assert_false(p->c.list.extended);
    assert_int_equal(p->c.list.patterns[0].n, 0);
    done(p);
    p = good("a LIST () \"\" % RETURN ()", &logged_in);
    assert_true(p->c.list.extended && p->c.list.options == 0);
    done(p);
    p = good("a LSUB \"\" *", &logged_in);
    assert_slice(p->c.list.patterns[0], "*");
    done(p);
    p = good("a STATUS x (messages RECENT UIDNEXT UIDVALIDITY UNSEEN DELETED SIZE HIGHESTMODSEQ MAILBOXID "
             "APPENDLIMIT DELETED-STORAGE)",
             &logged_in);
    assert_int_equal(p->c.status, 2047);
    assert_int_equal(p->c.enable, ENABLE_CONDSTORE);
    done(p);
}

static void selects(void **state)
{
    struct parsed *p =
        good("a SELECT x (QRESYNC (4294967295 90060115194045007 7,1:5,3:6 (1,5 2,9)) CONDSTORE)", &qresync);

    (void)state;
    assert_true(p->c.select.condstore && p->c.select.qresync);
    assert_int_equal(p->c.select.uidvalidity, 4294967295U);
    assert_true(p->c.select.modseq == 90060115194045007U);
    assert_int_equal(p->c.select.known_uids.count, 1);
    assert_true(p->c.select.known_uids.items[0].from == 1 && p->c.select.known_uids.items[0].to == 7);
    assert_int_equal(p->c.select.match_seqs.count, 2);
    assert_int_equal(p->c.select.match_uids.pieces[1].from, 9);
    done(p);
    p = good("a SELECT x (QRESYNC (1 2 (1 5)))", &qresync);
    assert_int_equal(p->c.select.known_uids.count, 0);
    assert_int_equal(p->c.select.match_uids.count, 1);
    done(p);
    p = good("a EXAMINE x (CONDSTORE)", &selected);
    assert_true(p->c.select.condstore && !p->c.select.qresync && p->c.enable == ENABLE_CONDSTORE);
    done(p);
    p = good("a CREATE x (USE (\\DRAFTS))", &logged_in);
    assert_true(p->c.special == 3 && !p->c.special_refused);
    done(p);
    p = good("a CREATE x (USE (\\Drafts \\Sent))", &logged_in);
    assert_true(p->c.special_refused);
    done(p);
}

static void before_login(void **state)
{
    static const struct imap_parse_options nobody = { 0 };
    struct parsed *p = good("a LOGIN \"a b\" {3}\r\np w", &nobody);

    (void)state;
    assert_slice(p->c.user, "a b");
    assert_slice(p->c.password, "p w");
    done(p);
    p = good("a AUTHENTICATE plain AGE=", &nobody);
    assert_true(p->c.has_initial);
    assert_slice(p->c.initial, "AGE=");
    done(p);
    p = good("a AUTHENTICATE PLAIN =", &nobody);
    assert_slice(p->c.initial, "=");
    done(p);
    p = good("a ID (\"name\" \"x y\" \"os\" NIL \"version\" {1}\r\n1)", &nobody);
    assert_slice(p->c.id, "name=x y version=1");
    done(p);
    p = good("a ENABLE CONDSTORE X utf8=accept imap4rev2 QRESYNC", &logged_in);
    assert_int_equal(p->c.enable, 15);
    done(p);
    p = parse("a SELECT x", &nobody);
    assert_int_equal(p->code, -EINVAL);
    assert_string_equal(p->e.text, "Log in first");
    assert_slice(p->c.tag, "a");
    done(p);
}

static void literals_at_the_end(void **state)
{
    static const struct {
        const char *line;
        bool is, nonsync, binary;
        uint64_t octets;
    } rows[] = {
        { "a x {5}", true, false, false, 5 },
        { "a x {5+}", true, true, false, 5 },
        { "a x ~{5}", true, false, true, 5 },
        { "{0}", true, false, false, 0 },
        { "{007}", true, false, false, 7 },
        { "{2147483648}", true, false, false, 2147483648U },
        { "{18446744073709551614}", true, false, false, UINT64_MAX - 1 },
        { "{18446744073709551616}", true, false, false, UINT64_MAX },
        { "{9999999999999999999999999999999999999999999999999999999999+}", true, true, false, UINT64_MAX },
        { "", false, false, false, 0 },
        { "}", false, false, false, 0 },
        { "{}", false, false, false, 0 },
        { "{+}", false, false, false, 0 },
        { "5}", false, false, false, 0 },
        { "{5-}", false, false, false, 0 },
        { "{-5}", false, false, false, 0 },
        { "{5++}", false, false, false, 0 },
        { "{5} ", false, false, false, 0 },
        { "{ 5}", false, false, false, 0 },
        { "{5x}", false, false, false, 0 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t octets = 0;
        bool nonsync = false, binary = false;

        assert_int_equal(imap_literal_at_end(slice_str(rows[i].line), &octets, &nonsync, &binary), rows[i].is);
        assert_true(octets == rows[i].octets && nonsync == rows[i].nonsync && binary == rows[i].binary);
    }
}

static void dates_of_append(void **state)
{
    static const struct {
        const char *date;
        int64_t ms;
    } rows[] = {
        { "\" 1-Jan-1970 00:00:00 +0000\"", 0 },
        { "\"01-Jan-1970 00:00:00 -0100\"", 3600000 },
        { "\"31-Dec-9999 23:59:59 +0000\"", 253402300799000 },
        { "\"29-Feb-2000 12:00:60 +1245\"", 951779760000 },
        { "\"1-jan-1970 00:00:00 +0000\"", 0 },
        { "\"1-Jan-1970 24:00:00 +0000\"", -1 },
        { "\"1-Jan-1970 00:60:00 +0000\"", -1 },
        { "\"1-Jan-1970 00:00:00 +0060\"", -1 },
        { "\"1-Jan-1970 00:00:00 +2400\"", -1 },
        { "\"1-Jan-1970 00:00:00 0000\"", -1 },
        { "\"1-Jan-1970 00:00:00\"", -1 },
        { "\"30-Feb-1970 00:00:00 +0000\"", -1 },
        { "\"  1-Jan-1970 00:00:00 +0000\"", -1 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[100];
        struct arena a = { 0 };
        struct imap_command c;
        struct imap_append item = { 0 };
        struct err e;
        int code;

        (void)snprintf(text, sizeof text, "a APPEND x %s {5}", rows[i].date);
        code = imap_parse_append(slice_str(text), true, &logged_in, &a, &c, &item, &e);
        assert_int_equal(code, rows[i].ms == -1 ? -EINVAL : 0);
        if (code == 0)
            assert_true(item.has_date && item.internal_ms == rows[i].ms && item.size == 5);
        arena_clear(&a);
    }
}

/* ---- bounds and time ---- */

static char *repeat(const char *head, const char *one, size_t times, const char *tail)
{
    struct buf b;

    buf_init(&b, 64 << 20);
    assert_int_equal(buf_adds(&b, head), 0);
    for (size_t i = 0; i < times; i++)
        assert_int_equal(buf_adds(&b, one), 0);
    assert_int_equal(buf_adds(&b, tail), 0);
    assert_int_equal(buf_addc(&b, '\0'), 0);
    return buf_give(&b, &(size_t){ 0 });
}

static void bounds(void **state)
{
    static const struct {
        const char *head, *one;
        size_t times; /* as many as are taken */
        const char *tail;
        int beyond;
    } rows[] = {
        { "a FETCH 1", ",1", IMAP_SET_PIECES - 1, " FLAGS", -E2BIG },
        { "a SEARCH ALL", " ALL", IMAP_SEARCH_KEYS - 1, "", -E2BIG },
        { "a SEARCH ", "NOT ", IMAP_SEARCH_DEPTH, "ALL", -E2BIG },
        { "a SEARCH ", "OR ALL ", IMAP_SEARCH_DEPTH, "ALL", -E2BIG },
        { "a FETCH 1 BODY[1", ".1", IMAP_SECTION_DEPTH - 1, "]", -E2BIG },
        { "a SORT (DATE", " DATE", IMAP_ITEMS - 1, ") UTF-8 ALL", -E2BIG },
        { "a LIST \"\" (x", " x", IMAP_ITEMS - 1, ")", -E2BIG },
        { "", "t", IMAP_TAG, " NOOP", -EINVAL },
        { "a STORE 1 FLAGS ", "x", IMAP_KEYWORD, "", -EINVAL },
        { "a SEARCH KEYWORD ", "x", IMAP_KEYWORD, "", -EINVAL },
        { "a ID (\"k\" \"", "v", 1024, "\")", -EINVAL },
        { "a ID (\"k\" \"v\"", " \"k\" \"v\"", 29, ")", -EINVAL },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (size_t beyond = 0; beyond <= 1; beyond++) {
            char *text = repeat(rows[i].head, rows[i].one, rows[i].times + beyond, rows[i].tail);
            struct parsed *p = parse(text, &selected);

            if (p->code != (beyond ? rows[i].beyond : 0))
                fail_msg("%s… %zu: %d %s", rows[i].head, rows[i].times + beyond, p->code, p->e.text);
            done(p);
            mem_free(text);
        }
}

static void items_of_fetch_are_bounded(void **state)
{
    (void)state;
    for (int n = IMAP_ITEMS; n <= IMAP_ITEMS + 1; n++) {
        struct buf text;
        struct parsed *p;

        buf_init(&text, 1 << 20);
        for (int i = 1; i <= n; i++)
            assert_int_equal(buf_addf(&text, "%sBODY[%d]", i == 1 ? "a FETCH 1 (" : " ", i), 0);
        assert_int_equal(buf_adds(&text, ")"), 0);
        p = parse_octets(buf_slice(&text), &selected);
        assert_int_equal(p->code, n == IMAP_ITEMS ? 0 : -E2BIG);
        done(p);
        buf_clear(&text);
    }
}

static void nul_is_in_no_string(void **state)
{
    static const struct slice texts[] = { { "a SELECT {3}\r\na\0b", sizeof "a SELECT {3}\r\na\0b" - 1 },
                                          { "a SELECT \"a\0b\"", sizeof "a SELECT \"a\0b\"" - 1 },
                                          { "a SELECT a\0b", sizeof "a SELECT a\0b" - 1 },
                                          { "a\0 NOOP", sizeof "a\0 NOOP" - 1 } };

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct parsed *p = parse_octets(texts[i], &selected);

        assert_int_equal(p->code, -EINVAL);
        done(p);
    }
}

static void parentheses_are_bounded(void **state)
{
    char text[2 * IMAP_SEARCH_DEPTH + 40];
    int n;

    (void)state;
    for (int depth = 1; depth <= IMAP_SEARCH_DEPTH + 1; depth++) {
        struct parsed *p;

        n = snprintf(text, sizeof text, "a SEARCH ");
        memset(text + n, '(', (size_t)depth);
        memcpy(text + n + depth, "ALL", 3);
        memset(text + n + depth + 3, ')', (size_t)depth);
        p = parse_octets(slice_make(text, (size_t)(n + 2 * depth + 3)), &selected);
        assert_int_equal(p->code, depth <= IMAP_SEARCH_DEPTH ? 0 : -E2BIG);
        done(p);
    }
}

/* Of this process alone: what others do at the time does not count. */
static int64_t cpu_us(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static int64_t time_of(const char *head, const char *one, size_t times, const char *tail)
{
    char *text = repeat(head, one, times, tail);
    int64_t best = INT64_MAX;

    for (int i = 0; i < 3; i++) {
        int64_t start = cpu_us(), took;

        done(parse(text, &selected));
        took = cpu_us() - start;
        best = took < best ? took : best;
    }
    mem_free(text);
    return best;
}

/* Four times as much would take sixteen times as long if it were quadratic; what takes no time at all is not looked at. */
static void time_is_linear(void **state)
{
    static const struct {
        const char *head, *one, *tail;
        size_t times;
    } rows[] = {
        { "a FETCH 1", ",1", " FLAGS", 4000 },
        { "a SEARCH ALL", " ALL", "", 1200 },
        { "a SEARCH ALL", " TEXT \"abc\\\"def\"", "", 1200 },
        { "a SEARCH CHARSET ISO-8859-1 ALL", " TEXT \"\xfc\"", "", 1200 },
        { "a SEARCH ", "(", "", 100000 },
        { "a SEARCH ", " ", "", 100000 },
        { "a SEARCH TEXT \"", "\\\"", "\"", 100000 },
        { "a SEARCH TEXT \"", "\\\"", "", 100000 },
        { "a SELECT ", "&-", "", 100000 },
        { "a SELECT \"", "&APw-", "\"", 20000 },
        { "a STORE 1 FLAGS (", "k ", ")", 50000 },
        { "a STORE 1 FLAGS (", "\\Seen ", ")", 50000 },
        { "a FETCH 1 (", "FLAGS ", ")", 50000 },
        { "a FETCH 1 BODY[HEADER.FIELDS (", "x ", ")]", 50000 },
        { "a FETCH 1 (", "BODY[HEADER.FIELDS (x)] ", ")", 10000 },
        { "a LIST \"\" ", "*", "", 100000 },
        { "a SETQUOTA \"\" (", "X 1 ", ")", 50000 },
        { "a SELECT {9}\r\n", "{9}\r\n", "", 50000 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int64_t once = time_of(rows[i].head, rows[i].one, rows[i].times, rows[i].tail);
        int64_t four = time_of(rows[i].head, rows[i].one, rows[i].times * 4, rows[i].tail);

        if (four > 10 * once && four > 100000)
            fail_msg("%s%s…: %lld µs, then %lld", rows[i].head, rows[i].one, (long long)once, (long long)four);
    }
}

static void limits_of_the_options(void **state)
{
    static const struct imap_parse_options narrow = { .limits = { 2, 3, 2 }, .authenticated = true, .selected = true };
    static const struct {
        const char *text;
        int code;
    } rows[] = {
        { "a SEARCH ALL ALL ALL", 0 }, { "a SEARCH ALL ALL ALL ALL", -E2BIG },
        { "a SEARCH NOT NOT ALL", 0 }, { "a SEARCH NOT NOT NOT ALL", -E2BIG },
        { "a FETCH 1,3 UID", 0 },      { "a FETCH 1,3,5 UID", -E2BIG },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct parsed *p = parse(rows[i].text, &narrow);

        if (p->code != rows[i].code)
            fail_msg("%s: %d %s", rows[i].text, p->code, p->e.text);
        done(p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_ones),
        cmocka_unit_test(cut_anywhere),
        cmocka_unit_test(sets),
        cmocka_unit_test(names),
        cmocka_unit_test(fetch_items),
        cmocka_unit_test(fetch_sections),
        cmocka_unit_test(fetch_modifiers),
        cmocka_unit_test(stores),
        cmocka_unit_test(search_keys),
        cmocka_unit_test(search_results),
        cmocka_unit_test(lists),
        cmocka_unit_test(selects),
        cmocka_unit_test(before_login),
        cmocka_unit_test(literals_at_the_end),
        cmocka_unit_test(dates_of_append),
        cmocka_unit_test(bounds),
        cmocka_unit_test(items_of_fetch_are_bounded),
        cmocka_unit_test(nul_is_in_no_string),
        cmocka_unit_test(parentheses_are_bounded),
        cmocka_unit_test(time_is_linear),
        cmocka_unit_test(limits_of_the_options),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
