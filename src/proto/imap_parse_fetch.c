#include "imap_parse_priv.h"

#include <errno.h>
#include <stdio.h>

/* ---- sections ---- */

static const struct imap_name section_texts[] = {
    { "HEADER", SECTION_HEADER },
    { "HEADER.FIELDS", SECTION_FIELDS },
    { "HEADER.FIELDS.NOT", SECTION_FIELDS_NOT },
    { "TEXT", SECTION_TEXT },
    { "MIME", SECTION_MIME },
};

/* "1.2" and the dot behind it, if there is one. */
static int read_path(struct imap_cursor *x, struct imap_section *s, bool *ret_dot)
{
    size_t cap = 0;
    uint64_t part;

    *ret_dot = true;
    while (*ret_dot && x->in.n > 0 && x->in.p[0] >= '0' && x->in.p[0] <= '9') {
        TRY(imap_number(x, 1, UINT32_MAX, &part));
        if (s->depth == IMAP_SECTION_DEPTH)
            return err_set(x->e, -E2BIG, "A section is too deep");
        s->path = imap_grow(x->a, s->path, s->depth, &cap, sizeof *s->path);
        s->path[s->depth++] = (uint32_t)part;
        *ret_dot = imap_take_char(x, '.');
    }
    return 0;
}

/* SP "(" names ")" */
static int read_field_names(struct imap_cursor *x, struct imap_section *s)
{
    size_t cap = 0;
    bool end = false;

    TRY(imap_open(x));
    for (bool first = true;; first = false) {
        struct slice name;

        TRY(imap_next_member(x, first, &end));
        if (end)
            break;
        TRY(imap_astring(x, false, &name));
        for (size_t i = 0; i < name.n; i++)
            if (!imap_is_atom_char(name.p[i]) || name.p[i] == ':')
                return imap_bad_syntax(x, "That is no name of a header field");
        if (name.n == 0)
            return imap_bad_syntax(x, "A header field has a name");
        s->fields = imap_grow(x->a, s->fields, s->field_count, &cap, sizeof *s->fields);
        s->fields[s->field_count++] = name;
    }
    return s->field_count == 0 ? imap_bad_syntax(x, "HEADER.FIELDS needs a name") : 0;
}

static void upper(char *text)
{
    for (; *text != '\0'; text++)
        if (*text >= 'a' && *text <= 'z')
            *text = (char)(*text - 'a' + 'A');
}

/* As it is repeated in the answer: upper case, one SP between names. `words` is what stood there up to the names. */
static void spell(struct arena *a, struct imap_section *s, struct slice words)
{
    size_t n = words.n + 3;
    char *p, *to;

    for (size_t i = 0; i < s->field_count; i++)
        n += s->fields[i].n + 1;
    p = to = arena_zero(a, n + 1);
    memcpy(to, words.p, words.n);
    to += words.n;
    for (size_t i = 0; i < s->field_count; i++) {
        if (i == 0)
            *to++ = ' ';
        *to++ = i == 0 ? '(' : ' ';
        memcpy(to, s->fields[i].p, s->fields[i].n);
        to += s->fields[i].n;
    }
    if (s->field_count > 0)
        *to++ = ')';
    upper(p);
    s->spelled = slice_make(p, (size_t)(to - p));
}

/* Behind "[", with its "]". */
static int read_section(struct imap_cursor *x, bool binary, struct imap_section *s)
{
    struct slice start = x->in, word;
    const struct imap_name *text;
    bool dot = false;

    TRY(read_path(x, s, &dot));
    word = imap_word(x);
    text = word.n > 0 && !binary ? IMAP_FIND(section_texts, word) : NULL;
    if ((word.n > 0 && (text == NULL || !dot)) || (word.n == 0 && dot && s->depth > 0))
        return imap_bad_syntax(x, "A section is malformed");
    if (text != NULL)
        s->text = (enum imap_section_text)text->value;
    if (s->text == SECTION_MIME && s->depth == 0)
        return imap_bad_syntax(x, "MIME needs a part's number");
    start.n = (size_t)(x->in.p - start.p);
    if (s->text == SECTION_FIELDS || s->text == SECTION_FIELDS_NOT)
        TRY(read_field_names(x, s));
    spell(x->a, s, start);
    return imap_expect(x, ']');
}

/* "<0.1024>" */
static int read_partial(struct imap_cursor *x, struct imap_fetch_item *item)
{
    if (!imap_take_char(x, '<'))
        return 0;
    item->partial = true;
    TRY(imap_number(x, 0, INT64_MAX, &item->offset));
    TRY(imap_expect(x, '.'));
    TRY(imap_number(x, 1, INT64_MAX, &item->length));
    return imap_expect(x, '>');
}

/* ---- items ---- */

enum item_form { FORM_PLAIN, FORM_SECTION /* "[" is a must */, FORM_MAYBE_SECTION, FORM_PREVIEW, FORM_MODSEQ };

static const struct item_word {
    const char *word;
    enum imap_fetch_kind kind;
    enum item_form form;
    bool peek;
} item_words[] = {
    { "FLAGS", FETCH_FLAGS, FORM_PLAIN, false },
    { "UID", FETCH_UID, FORM_PLAIN, false },
    { "INTERNALDATE", FETCH_INTERNALDATE, FORM_PLAIN, false },
    { "RFC822.SIZE", FETCH_SIZE, FORM_PLAIN, false },
    { "ENVELOPE", FETCH_ENVELOPE, FORM_PLAIN, false },
    { "BODYSTRUCTURE", FETCH_BODYSTRUCTURE, FORM_PLAIN, false },
    { "BODY", FETCH_BODY, FORM_MAYBE_SECTION, false },
    { "BODY.PEEK", FETCH_SECTION, FORM_SECTION, true },
    { "RFC822", FETCH_RFC822, FORM_PLAIN, false },
    { "RFC822.HEADER", FETCH_RFC822_HEADER, FORM_PLAIN, true },
    { "RFC822.TEXT", FETCH_RFC822_TEXT, FORM_PLAIN, false },
    { "BINARY", FETCH_BINARY, FORM_SECTION, false },
    { "BINARY.PEEK", FETCH_BINARY, FORM_SECTION, true },
    { "BINARY.SIZE", FETCH_BINARY_SIZE, FORM_SECTION, true },
    { "MODSEQ", FETCH_MODSEQ, FORM_MODSEQ, false },
    { "EMAILID", FETCH_EMAILID, FORM_PLAIN, false },
    { "THREADID", FETCH_THREADID, FORM_PLAIN, false },
    { "SAVEDATE", FETCH_SAVEDATE, FORM_PLAIN, false },
    { "PREVIEW", FETCH_PREVIEW, FORM_PREVIEW, false },
};

static const struct macro {
    const char *word;
    enum imap_fetch_kind kinds[5];
    size_t count;
} macros[] = {
    { "ALL", { FETCH_FLAGS, FETCH_INTERNALDATE, FETCH_SIZE, FETCH_ENVELOPE }, 4 },
    { "FAST", { FETCH_FLAGS, FETCH_INTERNALDATE, FETCH_SIZE }, 3 },
    { "FULL", { FETCH_FLAGS, FETCH_INTERNALDATE, FETCH_SIZE, FETCH_ENVELOPE, FETCH_BODY }, 5 },
};

struct items {
    struct imap_fetch *f;
    size_t cap;
};

static bool is_same_item(const struct imap_fetch_item *a, const struct imap_fetch_item *b)
{
    return a->kind == b->kind && a->partial == b->partial && a->offset == b->offset && a->length == b->length &&
           slice_eq(a->section.spelled, b->section.spelled);
}

/* Said twice it is answered once; it stays unseen only when all said so. */
static int add_item(struct imap_cursor *x, struct items *to, const struct imap_fetch_item *item)
{
    struct imap_fetch *f = to->f;

    for (size_t i = 0; i < f->count; i++)
        if (is_same_item(&f->items[i], item)) {
            f->items[i].peek = f->items[i].peek && item->peek;
            return 0;
        }
    if (f->count == IMAP_ITEMS)
        return err_set(x->e, -E2BIG, "FETCH has too many items");
    f->items = imap_grow(x->a, f->items, f->count, &to->cap, sizeof *f->items);
    f->items[f->count++] = *item;
    return 0;
}

static int add_kind(struct imap_cursor *x, struct items *to, enum imap_fetch_kind kind)
{
    struct imap_fetch_item item = { .kind = kind };

    return add_item(x, to, &item);
}

/* "[" and "<" end it, as they do not end an atom. */
static struct slice take_item_word(struct imap_cursor *x)
{
    size_t n = 0;

    while (n < x->in.n && imap_is_atom_char(x->in.p[n]) && x->in.p[n] != '[' && x->in.p[n] != '<')
        n++;
    x->in = slice_skip(x->in, n);
    return slice_make(x->in.p - n, n);
}

static const struct item_word *find_item(struct slice word)
{
    for (size_t i = 0; i < sizeof item_words / sizeof item_words[0]; i++)
        if (slice_iis(word, item_words[i].word))
            return &item_words[i];
    return NULL;
}

/* RFC 8970 3.1: PREVIEW [SP "(" "LAZY" ")"] */
static int read_preview(struct imap_cursor *x)
{
    struct imap_cursor y = *x;

    if (imap_space(&y) < 0 || !imap_take_char(&y, '('))
        return 0;
    if (!slice_iis(imap_word(&y), "LAZY") || !imap_take_char(&y, ')'))
        return imap_bad_syntax(x, "PREVIEW knows LAZY only");
    x->in = y.in;
    return 0;
}

static int read_item(struct imap_cursor *x, struct slice word, struct items *to)
{
    const struct item_word *w = find_item(word);
    struct imap_fetch_item item;
    bool has_section = imap_is_at(x, '[');

    if (w == NULL)
        return imap_bad_syntax(x, "There is no such FETCH item");
    item = (struct imap_fetch_item){ .kind = w->kind, .peek = w->peek };
    if (w->form == FORM_SECTION || (w->form == FORM_MAYBE_SECTION && has_section)) {
        TRY(imap_expect(x, '['));
        item.kind = w->kind == FETCH_BODY ? FETCH_SECTION : w->kind;
        TRY(read_section(x, item.kind != FETCH_SECTION, &item.section));
        if (item.kind != FETCH_BINARY_SIZE)
            TRY(read_partial(x, &item));
    } else if (w->form == FORM_PREVIEW) {
        TRY(read_preview(x));
    } else if (w->form == FORM_MODSEQ) {
        x->c->enable |= ENABLE_CONDSTORE;
    }
    return add_item(x, to, &item);
}

static int read_items(struct imap_cursor *x, struct items *to)
{
    struct slice word;
    bool end = false;

    if (!imap_take_char(x, '(')) {
        word = take_item_word(x);
        for (size_t i = 0; i < sizeof macros / sizeof macros[0]; i++)
            if (slice_iis(word, macros[i].word)) {
                for (size_t k = 0; k < macros[i].count; k++)
                    TRY(add_kind(x, to, macros[i].kinds[k]));
                return 0;
            }
        return read_item(x, word, to);
    }
    for (bool first = true;; first = false) {
        TRY(imap_next_member(x, first, &end));
        if (end)
            return first ? imap_bad_syntax(x, "FETCH needs an item") : 0;
        TRY(read_item(x, take_item_word(x), to));
    }
}

/* ---- modifiers ---- */

static int mod_changed_since(struct imap_cursor *x, struct imap_fetch *f)
{
    f->changed_since = true;
    x->c->enable |= ENABLE_CONDSTORE;
    TRY(imap_space(x));
    return imap_modseq(x, 0, &f->since);
}

static int mod_vanished(struct imap_cursor *x, struct imap_fetch *f)
{
    f->vanished = true;
    return (x->o->enabled & ENABLE_QRESYNC) == 0 ? imap_bad_syntax(x, "VANISHED needs ENABLE QRESYNC") : 0;
}

static int mod_partial(struct imap_cursor *x, struct imap_fetch *f)
{
    f->partial = true;
    TRY(imap_space(x));
    return imap_partial_range(x, &f->partial_from, &f->partial_to);
}

/* [SP "(" … ")"] */
static int read_modifiers(struct imap_cursor *x, struct imap_fetch *f)
{
    static const struct {
        const char *word;
        int (*read)(struct imap_cursor *x, struct imap_fetch *f);
    } modifiers[] = {
        { "CHANGEDSINCE", mod_changed_since },
        { "VANISHED", mod_vanished },
        { "PARTIAL", mod_partial },
    };
    bool end = false;

    if (imap_is_at_end(x))
        return 0;
    TRY(imap_open(x));
    for (bool first = true; !end; first = false) {
        struct slice word;
        size_t i = 0, n = sizeof modifiers / sizeof modifiers[0];

        TRY(imap_next_member(x, first, &end));
        if (end)
            break;
        word = imap_word(x);
        while (i < n && !slice_iis(word, modifiers[i].word))
            i++;
        if (i == n)
            return imap_bad_syntax(x, "There is no such FETCH modifier");
        TRY(modifiers[i].read(x, f));
    }
    if ((f->vanished || f->partial) && !x->c->uid)
        return imap_bad_syntax(x, "VANISHED and PARTIAL need UID FETCH");
    if (f->vanished && !f->changed_since)
        return imap_bad_syntax(x, "VANISHED needs CHANGEDSINCE");
    return 0;
}

int imap_args_fetch(struct imap_cursor *x)
{
    struct items to = { .f = &x->c->fetch };

    TRY(imap_space(x));
    TRY(imap_set(x, &x->c->set));
    TRY(imap_space(x));
    if (x->c->uid)
        TRY(add_kind(x, &to, FETCH_UID));
    TRY(read_items(x, &to));
    TRY(read_modifiers(x, to.f));
    /* RFC 7162 3.1.4.1: CHANGEDSINCE brings MODSEQ with it */
    return to.f->changed_since ? add_kind(x, &to, FETCH_MODSEQ) : 0;
}

/* ---- STORE ---- */

static int read_unchanged_since(struct imap_cursor *x, struct imap_store *s)
{
    TRY(imap_expect(x, '('));
    if (!slice_iis(imap_word(x), "UNCHANGEDSINCE"))
        return imap_bad_syntax(x, "STORE knows the modifier UNCHANGEDSINCE only");
    TRY(imap_space(x));
    TRY(imap_modseq(x, 0, &s->since));
    s->unchanged_since = true;
    x->c->enable |= ENABLE_CONDSTORE;
    TRY(imap_expect(x, ')'));
    return imap_space(x);
}

int imap_args_store(struct imap_cursor *x)
{
    struct imap_store *s = &x->c->store;
    struct slice word;
    size_t cap = 0;

    TRY(imap_space(x));
    TRY(imap_set(x, &x->c->set));
    TRY(imap_space(x));
    if (imap_is_at(x, '('))
        TRY(read_unchanged_since(x, s));
    if (imap_take_char(x, '+'))
        s->how = IMAP_STORE_ADD;
    else if (imap_take_char(x, '-'))
        s->how = IMAP_STORE_REMOVE;
    word = imap_word(x);
    s->silent = slice_iis(word, "FLAGS.SILENT");
    if (!s->silent && !slice_iis(word, "FLAGS"))
        return imap_bad_syntax(x, "STORE knows FLAGS, +FLAGS and -FLAGS, each with or without .SILENT");
    TRY(imap_space(x));
    if (imap_is_at(x, '('))
        return imap_flag_list(x, &s->flags);
    do {
        TRY(imap_flag(x, &s->flags, &cap));
    } while (!imap_is_at_end(x) && imap_space(x) == 0);
    return 0;
}
