#include "imap_parse_priv.h"

#include <errno.h>

/* ---- commands with few arguments ---- */

static int args_none(struct imap_cursor *x)
{
    (void)x;
    return 0;
}

static int args_login(struct imap_cursor *x)
{
    TRY(imap_space(x));
    TRY(imap_astring(x, false, &x->c->user));
    TRY(imap_space(x));
    return imap_astring(x, false, &x->c->password);
}

/* RFC 4959: SP mechanism [SP initial-response] */
static int args_authenticate(struct imap_cursor *x)
{
    struct imap_command *c = x->c;

    TRY(imap_space(x));
    TRY(imap_atom(x, &c->mechanism));
    if (imap_is_at_end(x))
        return 0;
    TRY(imap_space(x));
    c->has_initial = true;
    return imap_atom(x, &c->initial);
}

static int args_enable(struct imap_cursor *x)
{
    static const struct imap_name known[] = {
        { "CONDSTORE", ENABLE_CONDSTORE },
        { "QRESYNC", ENABLE_QRESYNC },
        { "UTF8=ACCEPT", ENABLE_UTF8 },
        { "IMAP4rev2", ENABLE_REV2 },
    };

    do {
        const struct imap_name *one;
        struct slice word;

        TRY(imap_space(x));
        TRY(imap_atom(x, &word));
        one = IMAP_FIND(known, word);
        x->c->enable |= one != NULL ? one->value : 0;
    } while (!imap_is_at_end(x));
    return 0;
}

/* UID EXPUNGE alone has an argument (RFC 4315 2.1). */
static int args_expunge(struct imap_cursor *x)
{
    if (!x->c->uid)
        return 0;
    TRY(imap_space(x));
    return imap_set(x, &x->c->set);
}

static int add_to_id(struct imap_cursor *x, struct buf *id)
{
    struct slice field, value;
    bool nil;

    TRY(imap_string(x, false, &field));
    TRY(imap_space(x));
    TRY(imap_nstring(x, &value, &nil));
    if (field.n > 30 || value.n > 1024) /* RFC 2971 3.3 */
        return imap_bad_syntax(x, "ID has a field or value that is too long");
    if (!nil && buf_addf(id, "%s%.*s=%.*s", id->n > 0 ? " " : "", SLICE_ARG(field), SLICE_ARG(value)) < 0)
        return imap_bad_syntax(x, "ID is too long");
    return 0;
}

static int read_id(struct imap_cursor *x, struct buf *id)
{
    bool end = false;

    for (unsigned pairs = 0;; pairs++) {
        TRY(imap_next_member(x, pairs == 0, &end));
        if (end)
            return 0;
        if (pairs == 30) /* RFC 2971 3.3 */
            return imap_bad_syntax(x, "ID has too many fields");
        TRY(add_to_id(x, id));
    }
}

/* RFC 2971: NIL, or pairs. */
static int args_id(struct imap_cursor *x)
{
    struct buf id;
    int code;

    TRY(imap_space(x));
    if (!imap_take_char(x, '('))
        return slice_iis(imap_word(x), "NIL") ? 0 : imap_bad_syntax(x, "ID needs NIL or a list");
    buf_init(&id, 4096);
    code = read_id(x, &id);
    if (code == 0)
        x->c->id = imap_keep(x->a, buf_slice(&id));
    buf_clear(&id);
    return code;
}

/* The message literal was not there: imap_parse_append would have taken it. */
static int args_append(struct imap_cursor *x)
{
    return imap_bad_syntax(x, "A message literal is missing");
}

/* ---- the table ---- */

enum where { ANY, LOGGED_OUT, LOGGED_IN, SELECTED };

/* What may be said when. */
static const struct verb {
    const char *name;
    enum where where;
    bool uid; /* UID may stand before it */
    imap_args *args;
} verbs[IMAP_VERB_COUNT] = {
    /* clang-format off */
    [IMAP_CAPABILITY]   = { "CAPABILITY",   ANY,        false, args_none },
    [IMAP_NOOP]         = { "NOOP",         ANY,        false, args_none },
    [IMAP_LOGOUT]       = { "LOGOUT",       ANY,        false, args_none },
    [IMAP_ID]           = { "ID",           ANY,        false, args_id },
    [IMAP_STARTTLS]     = { "STARTTLS",     LOGGED_OUT, false, args_none },
    [IMAP_AUTHENTICATE] = { "AUTHENTICATE", LOGGED_OUT, false, args_authenticate },
    [IMAP_LOGIN]        = { "LOGIN",        LOGGED_OUT, false, args_login },
    [IMAP_ENABLE]       = { "ENABLE",       LOGGED_IN,  false, args_enable },
    [IMAP_SELECT]       = { "SELECT",       LOGGED_IN,  false, imap_args_select },
    [IMAP_EXAMINE]      = { "EXAMINE",      LOGGED_IN,  false, imap_args_select },
    [IMAP_CREATE]       = { "CREATE",       LOGGED_IN,  false, imap_args_create },
    [IMAP_DELETE]       = { "DELETE",       LOGGED_IN,  false, imap_args_mailbox },
    [IMAP_RENAME]       = { "RENAME",       LOGGED_IN,  false, imap_args_rename },
    [IMAP_SUBSCRIBE]    = { "SUBSCRIBE",    LOGGED_IN,  false, imap_args_mailbox },
    [IMAP_UNSUBSCRIBE]  = { "UNSUBSCRIBE",  LOGGED_IN,  false, imap_args_mailbox },
    [IMAP_LIST]         = { "LIST",         LOGGED_IN,  false, imap_args_list },
    [IMAP_LSUB]         = { "LSUB",         LOGGED_IN,  false, imap_args_lsub },
    [IMAP_NAMESPACE]    = { "NAMESPACE",    LOGGED_IN,  false, args_none },
    [IMAP_STATUS]       = { "STATUS",       LOGGED_IN,  false, imap_args_status },
    [IMAP_APPEND]       = { "APPEND",       LOGGED_IN,  false, args_append },
    [IMAP_IDLE]         = { "IDLE",         LOGGED_IN,  false, args_none },
    [IMAP_GETQUOTA]     = { "GETQUOTA",     LOGGED_IN,  false, imap_args_quota },
    [IMAP_GETQUOTAROOT] = { "GETQUOTAROOT", LOGGED_IN,  false, imap_args_mailbox },
    [IMAP_SETQUOTA]     = { "SETQUOTA",     LOGGED_IN,  false, imap_args_setquota },
    [IMAP_CHECK]        = { "CHECK",        SELECTED,   false, args_none },
    [IMAP_CLOSE]        = { "CLOSE",        SELECTED,   false, args_none },
    [IMAP_UNSELECT]     = { "UNSELECT",     SELECTED,   false, args_none },
    [IMAP_EXPUNGE]      = { "EXPUNGE",      SELECTED,   true,  args_expunge },
    [IMAP_SEARCH]       = { "SEARCH",       SELECTED,   true,  imap_args_search },
    [IMAP_SORT]         = { "SORT",         SELECTED,   true,  imap_args_sort },
    [IMAP_THREAD]       = { "THREAD",       SELECTED,   true,  imap_args_thread },
    [IMAP_FETCH]        = { "FETCH",        SELECTED,   true,  imap_args_fetch },
    [IMAP_STORE]        = { "STORE",        SELECTED,   true,  imap_args_store },
    [IMAP_COPY]         = { "COPY",         SELECTED,   true,  imap_args_copy },
    [IMAP_MOVE]         = { "MOVE",         SELECTED,   true,  imap_args_copy },
    [IMAP_REPLACE]      = { "REPLACE",      SELECTED,   true,  args_append },
    /* clang-format on */
};

/* 1*<ASTRING-CHAR except "+"> */
static int read_tag(struct imap_cursor *x)
{
    size_t n = 0;

    while (n < x->in.n && (imap_is_atom_char(x->in.p[n]) || x->in.p[n] == ']') && x->in.p[n] != '+')
        n++;
    if (n == 0 || n > IMAP_TAG || (n < x->in.n && x->in.p[n] != ' '))
        return imap_bad_syntax(x, "A command begins with a tag");
    x->c->tag = slice_head(x->in, n);
    x->in = slice_skip(x->in, n);
    if (imap_space(x) < 0)
        return imap_bad_syntax(x, "Behind the tag a command is missing");
    return 0;
}

static int find_verb(struct imap_cursor *x)
{
    struct slice word = imap_word(x);

    x->c->uid = slice_iis(word, "UID");
    if (x->c->uid) {
        TRY(imap_space(x));
        word = imap_word(x);
    }
    for (size_t i = 0; i < IMAP_VERB_COUNT; i++)
        if (slice_iis(word, verbs[i].name) && (verbs[i].uid || !x->c->uid)) {
            x->c->verb = (enum imap_verb)i;
            return 0;
        }
    return imap_bad_syntax(x, "There is no such command");
}

bool imap_is_of_mailbox(enum imap_verb verb)
{
    return verbs[verb].where == SELECTED;
}

int imap_parse_head(struct imap_cursor *x)
{
    enum where where;

    TRY(read_tag(x));
    x->c->verb = IMAP_VERB_COUNT;
    TRY(find_verb(x));
    where = verbs[x->c->verb].where;
    if (where == LOGGED_OUT && x->o->authenticated)
        return imap_bad_syntax(x, "Already logged in");
    if ((where == LOGGED_IN || where == SELECTED) && !x->o->authenticated)
        return imap_bad_syntax(x, "Log in first");
    if (where == SELECTED && !x->o->selected)
        return imap_bad_syntax(x, "Select a mailbox first");
    /* RFC 9051 6.3.1: what is enabled changes what a selected mailbox's session says. */
    if (x->c->verb == IMAP_ENABLE && x->o->selected)
        return imap_bad_syntax(x, "ENABLE comes before a mailbox is selected");
    return 0;
}

int imap_parse(struct slice text, const struct imap_parse_options *o, struct arena *a, struct imap_command *ret,
               struct err *e)
{
    struct imap_cursor x = { .in = text, .o = o, .a = a, .c = ret, .e = e };

    *ret = (struct imap_command){ 0 };
    TRY(imap_parse_head(&x));
    TRY(verbs[ret->verb].args(&x));
    return imap_is_at_end(&x) ? 0 : imap_bad_syntax(&x, "Something is left over behind the arguments");
}
