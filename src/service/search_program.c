#include "search_program.h"

#include "facteur/base/clock.h"
#include "facteur/base/mem.h"
#include "facteur/mail/charset.h"
#include "facteur/mail/date.h"
#include "facteur/mail/text.h"
#include "facteur/store/sys.h"

#include <errno.h>

enum { FOLDED_MAX = 1024 * 1024, DAY_MS = 24 * 3600 * 1000, PIECE = 64 * 1024 };

/* What a key costs to ask: the list, the row, the full-text index and then the file. */
enum { COST_LIST, COST_ROW, COST_HEADER, COST_TEXT };

/* --- compiling --- */

static unsigned cost_of(enum imap_key_kind kind)
{
    switch (kind) {
    case KEY_SENTBEFORE:
    case KEY_SENTON:
    case KEY_SENTSINCE:
    case KEY_SAVEDBEFORE:
    case KEY_SAVEDON:
    case KEY_SAVEDSINCE:
    case KEY_EMAILID:
        return COST_ROW;
    case KEY_HEADER:
        return COST_HEADER;
    case KEY_BODY:
    case KEY_TEXT:
        return COST_TEXT;
    default:
        return COST_LIST;
    }
}

static unsigned fields_of(enum imap_key_kind kind)
{
    switch (kind) {
    case KEY_SENTBEFORE:
    case KEY_SENTON:
    case KEY_SENTSINCE:
        return INDEX_ENVELOPE | INDEX_SORT;
    case KEY_SAVEDBEFORE:
    case KEY_SAVEDON:
    case KEY_SAVEDSINCE:
        return INDEX_SAVED;
    case KEY_EMAILID:
        return INDEX_IDS;
    default:
        return 0;
    }
}

static struct slice folded(struct slice text, struct arena *a)
{
    struct buf out;
    struct slice copy;

    buf_init(&out, FOLDED_MAX);
    (void)!charset_fold(text, &out); /* a command's text is far below the maximum */
    copy = slice_make(arena_str(a, buf_slice(&out)), out.n);
    buf_clear(&out);
    return copy;
}

/* As texts of header fields are compared: a run of white space is one space (mail/words). */
static struct slice squeezed(struct slice text, struct arena *a)
{
    char *copy = arena_zero(a, text.n);
    size_t n = 0;

    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];

        if (c == '\t' || c == '\r' || c == '\n')
            c = ' ';
        if (c != ' ' || n == 0 || copy[n - 1] != ' ')
            copy[n++] = c;
    }
    return slice_make(copy, n);
}

static int compile_set(const struct imap_key *from, const struct search_scope *scope, struct search_key *k)
{
    switch (k->kind) {
    case KEY_SEQ:
    case KEY_UID:
        return scope->uids(scope->ctx, &from->set, k->kind == KEY_UID, &k->uids);
    case KEY_RECENT:
    case KEY_NEW:
    case KEY_OLD:
        return ranges_copy(scope->recent, &k->uids);
    default:
        return 0;
    }
}

static void compile_values(const struct imap_key *from, const struct search_scope *scope, struct arena *a,
                           struct search_key *k)
{
    k->flag = from->flag;
    k->number = from->number;
    k->day = from->day;
    k->field = from->field.n > 0 ? slice_str(arena_str(a, from->field)) : from->field;
    if (k->kind == KEY_KEYWORD || k->kind == KEY_UNKEYWORD) {
        int bit = mailbox_keyword(scope->mailbox, from->text);

        k->bits = bit >= 0 ? (uint64_t)1 << bit : 0;
    } else if (k->kind == KEY_EMAILID || k->kind == KEY_THREADID) {
        k->text = slice_str(arena_str(a, from->text));
    } else if (from->text.n > 0) {
        k->text = folded(from->text, a);
        k->spaced = squeezed(k->text, a);
    }
}

/* Cheap ones stand first; equal ones stay as written. */
static void insert(struct search_key **first, struct search_key *k)
{
    while (*first != NULL && (*first)->cost <= k->cost)
        first = &(*first)->next;
    k->next = *first;
    *first = k;
}

/* The depth is the parser's: IMAP_SEARCH_DEPTH. */
static int compile_key(const struct imap_key *from, const struct search_scope *scope, struct arena *a,
                       struct search_program *p, struct search_key **ret)
{
    struct search_key *k = arena_zero(a, sizeof *k);

    *ret = k; /* also when something in it fails: its ranges are freed by the tree */
    k->kind = from->kind;
    k->cost = cost_of(from->kind);
    p->fields |= fields_of(k->kind);
    compile_values(from, scope, a, k);
    for (const struct imap_key *child = from->first; child != NULL; child = child->next) {
        struct search_key *compiled = NULL;
        int r = compile_key(child, scope, a, p, &compiled);

        insert(&k->first, compiled);
        k->cost = compiled->cost > k->cost ? compiled->cost : k->cost;
        if (r < 0)
            return r;
    }
    return compile_set(from, scope, k);
}

int search_compile(const struct imap_key *keys, const struct search_scope *scope, struct arena *a,
                   struct search_program *ret)
{
    *ret = (struct search_program){ .now_ms = clock_wall_ms() };
    return compile_key(keys, scope, a, ret, &ret->root);
}

/* The tree in depth-first order without a stack is not worth it: its depth is bounded. */
static void clear_key(struct search_key *k)
{
    for (; k != NULL; k = k->next) {
        clear_key(k->first);
        ranges_clear(&k->uids);
        ranges_clear(&k->maybe);
    }
}

void search_program_clear(struct search_program *p)
{
    clear_key(p->root);
    p->root = NULL;
}

/* --- the full-text index --- */

static int narrow_key(struct search_key *k, struct index *x, uint32_t folder, struct err *e)
{
    static const enum search_field fields[] = {
        [KEY_HEADER] = SEARCH_IN_HEADER, [KEY_BODY] = SEARCH_IN_BODY, [KEY_TEXT] = SEARCH_IN_ANY
    };

    for (; k != NULL; k = k->next) {
        int r = 0;

        TRY(narrow_key(k->first, x, folder, e));
        if (k->cost < COST_HEADER || k->first != NULL || k->text.n == 0)
            continue;
        if (k->kind != KEY_HEADER && !slice_eq(k->spaced, k->text)) /* it would be two things to look for */
            continue;
        r = search_candidates(x, folder, fields[k->kind], k->spaced, &k->maybe, e);
        if (r < 0 && r != -ENOTSUP)
            return r;
        k->narrowed = r == 0;
    }
    return 0;
}

int search_narrow(struct search_program *p, struct index *x, uint32_t folder, struct err *e)
{
    return narrow_key(p->root, x, folder, e);
}

/* --- contents --- */

/* One message whose file is being looked into. */
struct contents {
    struct index *x;
    uint32_t folder, uid;
    int fd; /* -1: not open yet */
    uint64_t size;
    bool parsed, structure;
    struct mime_limits limits;
    struct mime mime;
};

static int parse(struct contents *c, bool structure)
{
    enum progress more = MORE;
    uint64_t at = 0;
    char *piece;

    if (c->fd < 0)
        TRY(index_message(c->x, c->folder, c->uid, &c->fd, &c->size, NULL));
    if (c->parsed && (c->structure || !structure))
        return 0;
    if (c->parsed)
        mime_clear(&c->mime);
    mime_init(&c->mime, structure);
    mime_limit(&c->mime, c->limits);
    c->parsed = true;
    c->structure = structure;
    piece = mem_alloc(PIECE);
    while (more == MORE) {
        ssize_t n = sys->pread(c->fd, piece, PIECE, (off_t)at);

        if (n <= 0)
            break;
        at += (uint64_t)n;
        more = mime_push(&c->mime, slice_make(piece, (size_t)n));
    }
    mem_free(piece);
    mime_end(&c->mime);
    return 0;
}

static void contents_clear(struct contents *c)
{
    if (c->parsed)
        mime_clear(&c->mime);
    if (c->fd >= 0)
        (void)sys->close(c->fd);
}

static ssize_t read_contents(void *from, void *to, size_t n, uint64_t at)
{
    return sys->pread(((const struct contents *)from)->fd, to, n, (off_t)at);
}

struct finder {
    const struct search_key *key;
    struct buf text; /* folded; of a body also the end of the piece before */
    bool found;
};

static bool has(struct slice text, struct slice needle)
{
    return needle.n == 0 || (text.n >= needle.n && memmem(text.p, text.n, needle.p, needle.n) != NULL);
}

static int take(void *to, enum text_kind kind, bool nested, struct slice name, struct slice utf8)
{
    struct finder *f = to;
    const struct search_key *k = f->key;
    bool top = kind == TEXT_HEADER && !nested;

    if (k->kind == KEY_HEADER && (kind == TEXT_BODY || nested))
        return kind == TEXT_BODY;
    if (k->kind == KEY_HEADER ? !slice_ieq(name, k->field) : k->kind == KEY_BODY && top)
        return 0;
    if (kind == TEXT_HEADER)
        buf_reset(&f->text);
    else if (f->text.n >= k->text.n) /* a word may begin in the piece before */
        buf_drop(&f->text, f->text.n - (k->text.n > 0 ? k->text.n - 1 : 0));
    if (kind == TEXT_HEADER && k->kind != KEY_HEADER &&
        (charset_fold(name, &f->text) < 0 || buf_adds(&f->text, ": ") < 0))
        return -ENOBUFS;
    if (charset_fold(utf8, &f->text) < 0)
        return -ENOBUFS;
    f->found = has(buf_slice(&f->text), kind == TEXT_HEADER ? k->spaced : k->text);
    if (kind == TEXT_HEADER)
        buf_reset(&f->text);
    return f->found;
}

static int find_text(struct contents *c, const struct search_key *k)
{
    struct text_source source = { read_contents, c };
    struct finder f = { .key = k };
    struct text_sink sink = { take, &f };
    int r = parse(c, k->kind != KEY_HEADER);

    if (r < 0)
        return r == -ENOENT ? 0 : r;
    buf_init(&f.text, (size_t)16 * FOLDED_MAX);
    r = text_walk(&c->mime, &source, UINT64_MAX, &sink);
    buf_clear(&f.text);
    return r < 0 ? r : f.found;
}

/* --- asking --- */

static int64_t day_of(int64_t ms)
{
    return ms >= 0 ? ms / DAY_MS : -((-ms + DAY_MS - 1) / DAY_MS);
}

static bool compare_day(enum imap_key_kind kind, enum imap_key_kind before, int64_t there, int64_t day)
{
    return kind == before ? there < day : (int)kind == (int)before + 1 ? there == day : there >= day;
}

/* The date is the first string of the prepared envelope: ("Mon, 7 Feb 1994 21:52:25 -0800" … */
static int64_t sent_day(const struct index_prepared *p)
{
    struct slice rest = slice_skip(p->envelope, 2), date;
    int64_t day;

    if (slice_istarts(p->envelope, "(\"") && slice_cut(&rest, '"', &date) && date_parse_day(date, &day) == 0)
        return day;
    return day_of(p->sent_ms);
}

void search_take_row(const struct index_row *row, struct search_row *ret)
{
    ret->known = true;
    ret->saved_ms = row->saved_ms;
    if (row->prepared == NULL) /* of INDEX_SAVED alone */
        return;
    ret->sent_day = sent_day(row->prepared);
    memcpy(ret->email_id, row->prepared->email_id, sizeof ret->email_id);
}

static bool matches_list(const struct search_key *k, const struct mailbox_message *m, int64_t now_ms)
{
    int64_t age = (now_ms - m->internal_ms) / 1000;

    switch (k->kind) {
    case KEY_SEQ:
    case KEY_UID:
    case KEY_RECENT:
        return ranges_has(&k->uids, m->uid);
    case KEY_OLD:
        return !ranges_has(&k->uids, m->uid);
    case KEY_NEW:
        return ranges_has(&k->uids, m->uid) && (m->flags & FLAG_SEEN) == 0;
    case KEY_FLAG:
        return (m->flags & k->flag) != 0;
    case KEY_UNFLAG:
        return (m->flags & k->flag) == 0;
    case KEY_KEYWORD:
        return (m->keywords & k->bits) != 0;
    case KEY_UNKEYWORD:
        return (m->keywords & k->bits) == 0;
    case KEY_LARGER:
        return m->size > k->number;
    case KEY_SMALLER:
        return m->size < k->number;
    case KEY_BEFORE:
    case KEY_ON:
    case KEY_SINCE:
        return compare_day(k->kind, KEY_BEFORE, day_of(m->internal_ms), k->day);
    case KEY_OLDER:
        return age >= 0 && (uint64_t)age >= k->number;
    case KEY_YOUNGER:
        return age < 0 || (uint64_t)age <= k->number;
    case KEY_MODSEQ:
        return m->modseq >= k->number;
    case KEY_THREADID:
        return false; /* no message has one */
    default:
        return true; /* KEY_ALL, KEY_SAVEDATESUPPORTED */
    }
}

static bool matches_row(const struct search_key *k, const struct search_row *row)
{
    if (k->kind == KEY_EMAILID)
        return slice_is(k->text, row->email_id);
    if (k->kind == KEY_SENTBEFORE || k->kind == KEY_SENTON || k->kind == KEY_SENTSINCE)
        return compare_day(k->kind, KEY_SENTBEFORE, row->sent_day, k->day);
    return compare_day(k->kind, KEY_SAVEDBEFORE, day_of(row->saved_ms), k->day);
}

struct question {
    const struct search_program *p;
    const struct mailbox_message *m;
    const struct search_row *row;
    struct contents contents;
};

static int ask(struct question *q, const struct search_key *k);

static int ask_and(struct question *q, const struct search_key *k)
{
    int r = 1;

    for (const struct search_key *child = k->first; child != NULL && r == 1; child = child->next)
        r = ask(q, child);
    return r;
}

static int ask_or(struct question *q, const struct search_key *k)
{
    int r = 0;

    for (const struct search_key *child = k->first; child != NULL && r == 0; child = child->next)
        r = ask(q, child);
    return r;
}

static int ask(struct question *q, const struct search_key *k)
{
    int r;

    switch (k->kind) {
    case KEY_AND:
        return ask_and(q, k);
    case KEY_OR:
        return ask_or(q, k);
    case KEY_NOT:
        r = ask_and(q, k);
        return r < 0 ? r : !r;
    default:
        break;
    }
    if (k->cost == COST_LIST)
        return matches_list(k, q->m, q->p->now_ms);
    if (k->cost == COST_ROW)
        return q->row != NULL && q->row->known && matches_row(k, q->row);
    if (k->narrowed && !ranges_has(&k->maybe, q->m->uid))
        return 0;
    return find_text(&q->contents, k);
}

int search_matches(const struct search_program *p, struct index *x, uint32_t folder, const struct mailbox_message *m,
                   const struct search_row *row)
{
    struct question q = {
        .p = p, .m = m, .row = row, .contents = { .x = x, .folder = folder, .uid = m->uid, .fd = -1, .limits = p->mime }
    };
    int r = ask(&q, p->root);

    contents_clear(&q.contents);
    return r;
}
