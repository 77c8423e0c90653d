#include "imap_parse_priv.h"

#include "facteur/mail/charset.h"

#include <errno.h>

/* ---- search keys ---- */

/* What stands behind a key's word. */
enum key_arg {
    ARG_NONE,
    ARG_TEXT,
    ARG_FIELD_TEXT,
    ARG_KEYWORD,
    ARG_NUMBER,
    ARG_SECONDS,
    ARG_DATE,
    ARG_SET,
    ARG_MODSEQ,
    ARG_ID,
    ARG_KEYS /* other keys */
};

struct key_word {
    const char *word;
    enum imap_key_kind kind;
    enum key_arg arg;
    uint8_t flag;      /* KEY_FLAG, KEY_UNFLAG */
    const char *field; /* KEY_HEADER */
};

/* clang-format off */
static const struct key_word key_words[] = {
    { "ALL",                KEY_ALL,                ARG_NONE,       0,  NULL },
    { "ANSWERED",           KEY_FLAG,               ARG_NONE,       1,  NULL },
    { "BCC",                KEY_HEADER,             ARG_TEXT,       0,  "Bcc" },
    { "BEFORE",             KEY_BEFORE,             ARG_DATE,       0,  NULL },
    { "BODY",               KEY_BODY,               ARG_TEXT,       0,  NULL },
    { "CC",                 KEY_HEADER,             ARG_TEXT,       0,  "Cc" },
    { "DELETED",            KEY_FLAG,               ARG_NONE,       4,  NULL },
    { "DRAFT",              KEY_FLAG,               ARG_NONE,       16, NULL },
    { "EMAILID",            KEY_EMAILID,            ARG_ID,         0,  NULL },
    { "FLAGGED",            KEY_FLAG,               ARG_NONE,       2,  NULL },
    { "FROM",               KEY_HEADER,             ARG_TEXT,       0,  "From" },
    { "HEADER",             KEY_HEADER,             ARG_FIELD_TEXT, 0,  NULL },
    { "KEYWORD",            KEY_KEYWORD,            ARG_KEYWORD,    0,  NULL },
    { "LARGER",             KEY_LARGER,             ARG_NUMBER,     0,  NULL },
    { "MODSEQ",             KEY_MODSEQ,             ARG_MODSEQ,     0,  NULL },
    { "NEW",                KEY_NEW,                ARG_NONE,       0,  NULL },
    { "NOT",                KEY_NOT,                ARG_KEYS,       0,  NULL },
    { "OLD",                KEY_OLD,                ARG_NONE,       0,  NULL },
    { "OLDER",              KEY_OLDER,              ARG_SECONDS,    0,  NULL },
    { "ON",                 KEY_ON,                 ARG_DATE,       0,  NULL },
    { "OR",                 KEY_OR,                 ARG_KEYS,       0,  NULL },
    { "RECENT",             KEY_RECENT,             ARG_NONE,       0,  NULL },
    { "SAVEDATESUPPORTED",  KEY_SAVEDATESUPPORTED,  ARG_NONE,       0,  NULL },
    { "SAVEDBEFORE",        KEY_SAVEDBEFORE,        ARG_DATE,       0,  NULL },
    { "SAVEDON",            KEY_SAVEDON,            ARG_DATE,       0,  NULL },
    { "SAVEDSINCE",         KEY_SAVEDSINCE,         ARG_DATE,       0,  NULL },
    { "SEEN",               KEY_FLAG,               ARG_NONE,       8,  NULL },
    { "SENTBEFORE",         KEY_SENTBEFORE,         ARG_DATE,       0,  NULL },
    { "SENTON",             KEY_SENTON,             ARG_DATE,       0,  NULL },
    { "SENTSINCE",          KEY_SENTSINCE,          ARG_DATE,       0,  NULL },
    { "SINCE",              KEY_SINCE,              ARG_DATE,       0,  NULL },
    { "SMALLER",            KEY_SMALLER,            ARG_NUMBER,     0,  NULL },
    { "SUBJECT",            KEY_HEADER,             ARG_TEXT,       0,  "Subject" },
    { "TEXT",               KEY_TEXT,               ARG_TEXT,       0,  NULL },
    { "THREADID",           KEY_THREADID,           ARG_ID,         0,  NULL },
    { "TO",                 KEY_HEADER,             ARG_TEXT,       0,  "To" },
    { "UID",                KEY_UID,                ARG_SET,        0,  NULL },
    { "UNANSWERED",         KEY_UNFLAG,             ARG_NONE,       1,  NULL },
    { "UNDELETED",          KEY_UNFLAG,             ARG_NONE,       4,  NULL },
    { "UNDRAFT",            KEY_UNFLAG,             ARG_NONE,       16, NULL },
    { "UNFLAGGED",          KEY_UNFLAG,             ARG_NONE,       2,  NULL },
    { "UNKEYWORD",          KEY_UNKEYWORD,          ARG_KEYWORD,    0,  NULL },
    { "UNSEEN",             KEY_UNFLAG,             ARG_NONE,       8,  NULL },
    { "YOUNGER",            KEY_YOUNGER,            ARG_SECONDS,    0,  NULL },
};
/* clang-format on */

static const struct key_word *find_key(struct slice word)
{
    for (size_t i = 0; i < sizeof key_words / sizeof key_words[0]; i++)
        if (slice_iis(word, key_words[i].word))
            return &key_words[i];
    return NULL;
}

/* A text in the command's charset, as UTF-8. */
static int read_text(struct imap_cursor *x, struct slice *ret)
{
    bool other = x->charset.n > 0;
    struct buf utf8;
    struct slice s;
    int code;

    TRY(imap_astring(x, other, &s));
    if (!other) {
        *ret = s;
        return 0;
    }
    buf_init(&utf8, s.n * 4 + 16);
    code = charset_to_utf8(x->charset, s, &utf8);
    if (code == 0)
        *ret = imap_keep(x->a, buf_slice(&utf8));
    buf_clear(&utf8);
    return code < 0 ? imap_bad_syntax(x, "A string cannot be read in that charset") : 0;
}

static int read_keyword(struct imap_cursor *x, struct imap_key *k)
{
    TRY(imap_atom(x, &k->text));
    if (k->text.n > IMAP_KEYWORD)
        return imap_bad_syntax(x, "Keyword is too long");
    if (slice_iis(k->text, "$Forwarded")) {
        k->kind = k->kind == KEY_KEYWORD ? KEY_FLAG : KEY_UNFLAG;
        k->flag = IMAP_FORWARDED;
    }
    return 0;
}

/* RFC 7162 3.1.5: MODSEQ [entry-name SP entry-type] number; which entry is all the same here. */
static int read_modseq_key(struct imap_cursor *x, struct imap_key *k)
{
    static const struct imap_name types[] = { { "all", 0 }, { "priv", 0 }, { "shared", 0 } };
    struct slice entry, type;

    if (imap_is_at(x, '"')) {
        TRY(imap_string(x, false, &entry));
        TRY(imap_space(x));
        TRY(imap_atom(x, &type));
        if (!slice_istarts(entry, "/flags/") || IMAP_FIND(types, type) == NULL)
            return imap_bad_syntax(x, "MODSEQ knows no such entry");
        TRY(imap_space(x));
    }
    x->c->search.uses_modseq = true;
    x->c->enable |= ENABLE_CONDSTORE;
    return imap_modseq(x, 0, &k->number);
}

static int read_field(struct imap_cursor *x, struct imap_key *k)
{
    TRY(imap_astring(x, false, &k->field));
    if (k->field.n == 0)
        return imap_bad_syntax(x, "A header field has a name");
    TRY(imap_space(x));
    return read_text(x, &k->text);
}

static int read_object_id(struct imap_cursor *x, struct imap_key *k)
{
    TRY(imap_atom(x, &k->text));
    return k->text.n > 255 ? imap_bad_syntax(x, "An object id is too long") : 0;
}

static int read_key_arg(struct imap_cursor *x, enum key_arg arg, struct imap_key *k)
{
    if (arg == ARG_NONE || arg == ARG_KEYS)
        return 0;
    TRY(imap_space(x));
    switch (arg) {
    case ARG_TEXT:
        return read_text(x, &k->text);
    case ARG_FIELD_TEXT:
        return read_field(x, k);
    case ARG_KEYWORD:
        return read_keyword(x, k);
    case ARG_NUMBER:
        return imap_number(x, 0, INT64_MAX, &k->number);
    case ARG_SECONDS:
        return imap_number(x, 1, UINT32_MAX, &k->number);
    case ARG_DATE:
        return imap_date(x, &k->day);
    case ARG_SET:
        return imap_set(x, &k->set);
    case ARG_MODSEQ:
        return read_modseq_key(x, k);
    case ARG_ID:
        return read_object_id(x, k);
    case ARG_NONE:
    case ARG_KEYS:
        break;
    }
    return 0;
}

/* A key without those below it: these follow. */
static int read_key(struct imap_cursor *x, struct imap_key *k)
{
    const struct key_word *w;

    if (imap_take_char(x, '(')) {
        k->kind = KEY_AND;
        return 0;
    }
    if (x->in.n > 0 && strchr("0123456789*$", x->in.p[0]) != NULL && x->in.p[0] != '\0') {
        k->kind = KEY_SEQ;
        return imap_set(x, &k->set);
    }
    w = find_key(imap_word(x));
    if (w == NULL)
        return imap_bad_syntax(x, "There is no such search key");
    k->kind = w->kind;
    k->flag = w->flag;
    k->field = slice_str(w->field);
    return read_key_arg(x, w->arg, k);
}

/* Keys that wait for those below them; the lowest is the command's. */
struct key_frame {
    struct imap_key **tail;
    unsigned needs; /* children still to come; NO_END: until ")" or the end */
    bool empty;
};
enum { NO_END = UINT8_MAX };

static unsigned children_of(enum imap_key_kind kind)
{
    return kind == KEY_AND ? NO_END : kind == KEY_OR ? 2U : kind == KEY_NOT ? 1U : 0U;
}

/* Closes what has all its children and each group that ends here. */
static void close_frames(struct imap_cursor *x, const struct key_frame *frames, size_t *depth)
{
    for (;;) {
        const struct key_frame *f = &frames[*depth - 1];
        bool complete = f->needs == 0;

        if (f->needs == NO_END && *depth > 1 && !f->empty)
            complete = imap_take_char(x, ')');
        if (!complete)
            return;
        --*depth;
    }
}

/* One key into the frame on top; those that it contains open a frame of their own. */
static int add_key(struct imap_cursor *x, struct key_frame *frames, size_t *depth)
{
    struct key_frame *f = &frames[*depth - 1];
    struct imap_key *k = arena_zero(x->a, sizeof *k);

    if (!f->empty || f->needs != NO_END)
        TRY(imap_space(x));
    TRY(read_key(x, k));
    *f->tail = k;
    f->tail = &k->next;
    f->empty = false;
    f->needs -= f->needs != NO_END;
    if (children_of(k->kind) == 0)
        return 0;
    if (*depth > imap_limit(x->o->limits.search_depth, IMAP_SEARCH_DEPTH))
        return err_set(x->e, -E2BIG, "A search is nested too deeply");
    frames[(*depth)++] = (struct key_frame){ &k->first, children_of(k->kind), true };
    return 0;
}

/* Nesting is a stack of ours, not the machine's. */
int imap_search_keys(struct imap_cursor *x)
{
    struct imap_key *root = arena_zero(x->a, sizeof *root);
    struct key_frame frames[IMAP_SEARCH_DEPTH + 1] = { { &root->first, NO_END, true } };
    size_t depth = 1, count = 0;

    root->kind = KEY_AND;
    do {
        if (++count > imap_limit(x->o->limits.search_keys, IMAP_SEARCH_KEYS))
            return err_set(x->e, -E2BIG, "A search has too many keys");
        TRY(add_key(x, frames, &depth));
        close_frames(x, frames, &depth);
    } while (depth > 1 || !imap_is_at_end(x));
    x->c->search.root = root;
    return 0;
}
