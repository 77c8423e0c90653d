/* One command. The first octet says which options; what is understood must hold to its bounds. */
#include "facteur/base/codec.h"
#include "facteur/base/mem.h"
#include "facteur/proto/imap_parse.h"

#include <errno.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good)
{
    if (!good)
        abort();
}

static void check_set(const struct imap_set *set)
{
    check(set->count <= 20000 && !(set->saved && set->count > 0));
    for (size_t i = 0; i < set->count; i++)
        check(set->pieces[i].from <= UINT32_MAX && set->pieces[i].to <= UINT32_MAX);
}

static void check_name(struct slice name)
{
    check(utf8_valid(name));
    for (size_t i = 0; i < name.n; i++)
        check((unsigned char)name.p[i] >= 0x20 && name.p[i] != 0x7f);
}

/* All keys, by a stack of its own; each is read. */
static void check_keys(const struct imap_key *root)
{
    const struct imap_key *stack[IMAP_SEARCH_KEYS + 2];
    size_t n = 1, seen = 0;

    stack[0] = root;
    while (n > 0) {
        const struct imap_key *k = stack[--n];
        unsigned children = 0;

        check(++seen <= IMAP_SEARCH_KEYS + 1);
        check(utf8_valid(k->text) && slice_find(k->text, '\0') < 0 && utf8_valid(k->field));
        check_set(&k->set);
        check((k->kind == KEY_SEQ || k->kind == KEY_UID) == (k->set.count > 0 || k->set.saved));
        for (const struct imap_key *c = k->first; c != NULL; c = c->next, children++) {
            check(n < sizeof stack / sizeof stack[0]);
            stack[n++] = c;
        }
        check(k->kind == KEY_AND   ? children > 0
              : k->kind == KEY_OR  ? children == 2
              : k->kind == KEY_NOT ? children == 1
                                   : children == 0);
    }
}

static void check_fetch(const struct imap_fetch *f)
{
    check(f->count > 0 && f->count <= 1000);
    for (size_t i = 0; i < f->count; i++) {
        const struct imap_fetch_item *item = &f->items[i];

        check(item->section.depth <= IMAP_SECTION_DEPTH);
        check(!item->partial || item->length > 0);
        for (size_t k = 0; k < item->section.spelled.n; k++)
            check(item->section.spelled.p[k] >= ' ' && item->section.spelled.p[k] < 0x7f &&
                  item->section.spelled.p[k] != ']');
        for (size_t k = 0; k < item->section.field_count; k++)
            check(item->section.fields[k].n > 0);
    }
}

static void check_flags(const struct imap_flags *flags)
{
    check(flags->flags < 64);
    for (size_t i = 0; i < flags->keyword_count; i++)
        check(flags->keywords[i].n > 0 && flags->keywords[i].n <= 255);
}

static void check_command(const struct imap_command *c)
{
    check(c->tag.n > 0 && c->verb < IMAP_VERB_COUNT);
    check_set(&c->set);
    if (c->verb != IMAP_GETQUOTA && c->verb != IMAP_SETQUOTA)
        check_name(c->mailbox);
    check_name(c->to);
    check_flags(&c->store.flags);
    check_set(&c->select.match_seqs);
    check_set(&c->select.match_uids);
    for (size_t i = 0; i < c->select.known_uids.count; i++)
        check(c->select.known_uids.items[i].from <= c->select.known_uids.items[i].to);
    if (c->verb == IMAP_FETCH)
        check_fetch(&c->fetch);
    if (c->search.root != NULL)
        check_keys(c->search.root);
    for (size_t i = 0; i < c->list.pattern_count; i++) {
        check_name(c->list.patterns[i]);
        (void)imap_pattern_matches(c->list.patterns[i], c->list.reference);
    }
}

static void try_append(struct slice text, bool first, const struct imap_parse_options *o, struct arena *a,
                       struct imap_command *c)
{
    struct imap_append item = { .size = 1 };
    struct err e = { 0 };
    int code = imap_parse_append(text, first, o, a, c, &item, &e);

    check(code == 0 || code == MORE || (e.text[0] != '\0' && item.size == 1));
    if (code == 0) {
        check_name(c->mailbox);
        check_flags(&item.flags);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct imap_parse_options o;
    struct imap_command c;
    struct arena a = { 0 };
    struct err e = { 0 };
    struct slice text;
    uint64_t octets;
    bool nonsync, binary;
    char *copy;
    int code;

    if (size == 0)
        return 0;
    o = (struct imap_parse_options){ .names_utf8 = (data[0] & 1) != 0,
                                     .authenticated = (data[0] & 2) == 0,
                                     .selected = (data[0] & 6) == 0,
                                     .enabled = (data[0] & 8) != 0 ? 15U : 0U };
    copy = mem_dup(data + 1, size - 1);
    text = slice_make(copy, size - 1);
    code = imap_parse(text, &o, &a, &c, &e);
    check(code == 0 || code == -EINVAL || code == -E2BIG || code == -ENOTSUP);
    if (code == 0)
        check_command(&c);
    else
        check(e.text[0] != '\0');
    (void)imap_literal_at_end(text, &octets, &nonsync, &binary);
    try_append(text, true, &o, &a, &c);
    try_append(text, false, &o, &a, &c);
    arena_clear(&a);
    mem_free(copy);
    return 0;
}
