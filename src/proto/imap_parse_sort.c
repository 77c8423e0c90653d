#include "imap_parse_priv.h"

#include "facteur/mail/charset.h"

#include <errno.h>

/* UTF-8 needs no conversion; of all others only those that can be read are let in (RFC 9051 6.4.4). */
static int set_charset(struct imap_cursor *x, struct slice name)
{
    static const char *const no_names[] = { "X-UNKNOWN", "UNKNOWN-8BIT" }; /* of mail whose charset nobody knows */
    struct charset *known;

    for (size_t i = 0; i < sizeof no_names / sizeof no_names[0]; i++)
        x->c->search.bad_charset = x->c->search.bad_charset || slice_iis(name, no_names[i]);
    if (slice_iis(name, "UTF-8") || slice_iis(name, "US-ASCII"))
        return 0;
    known = name.n > 0 ? charset_open(name) : NULL;
    x->c->search.bad_charset = x->c->search.bad_charset || known == NULL;
    charset_close(&known);
    x->charset = name;
    return 0;
}

/* ---- RETURN ---- */

static const struct imap_name return_options[] = {
    { "MIN", RETURN_MIN },     { "MAX", RETURN_MAX },   { "ALL", RETURN_ALL },
    { "COUNT", RETURN_COUNT }, { "SAVE", RETURN_SAVE }, { "PARTIAL", RETURN_PARTIAL },
};

static int read_return_option(struct imap_cursor *x)
{
    struct imap_search *s = &x->c->search;
    const struct imap_name *option = IMAP_FIND(return_options, imap_word(x));

    if (option == NULL)
        return imap_bad_syntax(x, "There is no such RETURN option");
    s->returns |= option->value;
    if (option->value != RETURN_PARTIAL)
        return 0;
    TRY(imap_space(x));
    return imap_partial_range(x, &s->partial_from, &s->partial_to);
}

/* [SP "RETURN" SP "(" … ")"] SP */
static int read_return(struct imap_cursor *x)
{
    struct imap_search *s = &x->c->search;
    struct imap_cursor y;
    bool end = false;

    TRY(imap_space(x));
    y = *x;
    if (!slice_iis(imap_word(&y), "RETURN"))
        return 0;
    x->in = y.in;
    s->extended = true;
    TRY(imap_open(x));
    for (bool first = true; !end; first = false) {
        TRY(imap_next_member(x, first, &end));
        if (!end)
            TRY(read_return_option(x));
    }
    if ((s->returns & RETURN_PARTIAL) != 0 && (s->returns & RETURN_ALL) != 0)
        return imap_bad_syntax(x, "RETURN has either PARTIAL or ALL");
    s->returns = s->returns == 0 ? RETURN_ALL : s->returns;
    return imap_space(x);
}

int imap_args_search(struct imap_cursor *x)
{
    struct imap_cursor y;
    struct slice charset;

    TRY(read_return(x));
    y = *x;
    if (!slice_iis(imap_word(&y), "CHARSET"))
        return imap_search_keys(x);
    if ((x->o->enabled & ENABLE_UTF8) != 0) /* RFC 6855 3; SORT and THREAD cannot do without one */
        return imap_bad_syntax(x, "After ENABLE UTF8=ACCEPT there is no CHARSET");
    x->in = y.in;
    TRY(imap_space(x));
    TRY(imap_astring(x, false, &charset));
    TRY(set_charset(x, charset));
    TRY(imap_space(x));
    return imap_search_keys(x);
}

/* ---- SORT and THREAD (RFC 5256, 5957) ---- */

static const struct imap_name sort_keys[] = {
    { "ARRIVAL", SORT_ARRIVAL },
    { "CC", SORT_CC },
    { "DATE", SORT_DATE },
    { "FROM", SORT_FROM },
    { "SIZE", SORT_SIZE },
    { "SUBJECT", SORT_SUBJECT },
    { "TO", SORT_TO },
    { "DISPLAYFROM", SORT_DISPLAYFROM },
    { "DISPLAYTO", SORT_DISPLAYTO },
};
static const struct imap_name algorithms[] = {
    { "ORDEREDSUBJECT", THREAD_ORDEREDSUBJECT },
    { "REFERENCES", THREAD_REFERENCES },
};

static int read_criterion(struct imap_cursor *x, struct imap_sort *ret)
{
    struct slice word = imap_word(x);
    const struct imap_name *key;

    *ret = (struct imap_sort){ .reverse = slice_iis(word, "REVERSE") };
    if (ret->reverse) {
        TRY(imap_space(x));
        word = imap_word(x);
    }
    key = IMAP_FIND(sort_keys, word);
    if (key == NULL)
        return imap_bad_syntax(x, "There is no such SORT criterion");
    ret->key = (enum imap_sort_key)key->value;
    return 0;
}

static int read_criteria(struct imap_cursor *x)
{
    struct imap_search *s = &x->c->search;
    size_t cap = 0;
    bool end = false;

    TRY(imap_expect(x, '('));
    for (bool first = true;; first = false) {
        TRY(imap_next_member(x, first, &end));
        if (end)
            break;
        if (s->sort_count == IMAP_ITEMS)
            return err_set(x->e, -E2BIG, "SORT has too many criteria");
        s->sort = imap_grow(x->a, s->sort, s->sort_count, &cap, sizeof *s->sort);
        TRY(read_criterion(x, &s->sort[s->sort_count++]));
    }
    return s->sort_count == 0 ? imap_bad_syntax(x, "SORT needs a criterion") : 0;
}

/* SP charset SP keys */
static int read_charset_and_keys(struct imap_cursor *x)
{
    struct slice charset;

    TRY(imap_space(x));
    TRY(imap_astring(x, false, &charset));
    TRY(set_charset(x, charset));
    TRY(imap_space(x));
    return imap_search_keys(x);
}

/* RETURN would be RFC 5267's ESORT. */
int imap_args_sort(struct imap_cursor *x)
{
    TRY(imap_space(x));
    TRY(read_criteria(x));
    return read_charset_and_keys(x);
}

int imap_args_thread(struct imap_cursor *x)
{
    const struct imap_name *algorithm;

    TRY(imap_space(x));
    algorithm = IMAP_FIND(algorithms, imap_word(x));
    if (algorithm == NULL)
        return imap_bad_syntax(x, "There is no such THREAD algorithm");
    x->c->search.thread = (enum imap_thread)algorithm->value;
    return read_charset_and_keys(x);
}
