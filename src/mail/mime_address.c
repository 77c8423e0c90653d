#include "mime_priv.h"

#include <errno.h>

/* Lists are read as Dovecot reads them, so that a client sees the same addresses after a move: a broken address stays
 * visible, and what it lacks is named in its place, because a missing host would mean a group (RFC 9051 7.5.2). */
struct list {
    struct scan scan;
    struct arena *arena;
    struct mime_scratch *scratch;
    struct buf *text;
    struct mime_address now;
    bool broken; /* of the address at hand */
    struct mime_address **tail;
};

static struct slice keep(struct list *l)
{
    return mime_keep(l->arena, buf_slice(l->text));
}

static struct slice keep_for_people(struct list *l, const struct buf *text)
{
    buf_reset(&l->scratch->more);
    scan_squeeze(buf_slice(text), &l->scratch->more);
    return mime_keep(l->arena, buf_slice(&l->scratch->more));
}

static void add(struct list *l)
{
    struct mime_address *a = arena_zero(l->arena, sizeof *a);

    *a = l->now;
    *l->tail = a;
    l->tail = &a->next;
    l->now = (struct mime_address){ 0 };
    l->broken = false;
}

static void add_mailbox(struct list *l)
{
    if (l->now.mailbox.p == NULL)
        l->now.mailbox = SLICE_LIT("MISSING_MAILBOX");
    if (l->now.host.n == 0)
        l->now.host = SLICE_LIT("MISSING_DOMAIN");
    add(l);
}

/* local-part, also with dots at its ends or in a row. */
static enum scan_result local_part(struct list *l)
{
    enum scan_result result = SCAN_BROKEN;
    struct scan *s = &l->scan;

    buf_reset(l->text);
    if (scan_peek(s) == '"') {
        result = scan_quoted_string(s, l->text);
    } else {
        do {
            while (scan_skip(s, '.')) {
                scan_put(l->text, ".", 1);
                result = s->p < s->end ? SCAN_MORE : SCAN_END;
            }
            if (s->p == s->end || scan_peek(s) == '@')
                break;
            result = scan_atom(s, l->text);
        } while (result == SCAN_MORE && scan_peek(s) == '.');
    }
    if (result != SCAN_BROKEN)
        l->now.mailbox = keep(l);
    return result;
}

static enum scan_result domain(struct list *l)
{
    enum scan_result result;

    buf_reset(l->text);
    result = scan_domain(&l->scan, l->text);
    if (result != SCAN_BROKEN)
        l->now.host = keep(l);
    return result;
}

/* obs-domain-list, at its first "@"; true when it was one. */
static bool route(struct list *l)
{
    struct scan *s = &l->scan;

    buf_reset(l->text);
    while (scan_skip(s, '@')) {
        scan_put(l->text, l->text->n > 0 ? ",@" : "@", l->text->n > 0 ? 2 : 1);
        if (scan_domain(s, l->text) != SCAN_MORE)
            return false;
        while (scan_cfws(s) == SCAN_MORE && scan_skip(s, ','))
            continue;
    }
    if (s->p == s->end)
        return false;
    l->now.route = keep(l);
    return scan_skip(s, ':');
}

/* "<" [ route ] addr-spec ">", behind its "<". */
static enum scan_result angle_addr(struct list *l)
{
    struct scan *s = &l->scan;

    if (scan_cfws(s) != SCAN_MORE)
        return SCAN_BROKEN;
    if (scan_peek(s) == '@') {
        if (!route(l)) {
            l->now.route = SLICE_LIT("INVALID_ROUTE");
            if (s->p == s->end)
                return SCAN_BROKEN;
        }
        if (scan_cfws(s) != SCAN_MORE)
            return SCAN_BROKEN;
    }
    if (scan_peek(s) != '>') {
        if (local_part(l) != SCAN_MORE)
            return SCAN_BROKEN;
        if (scan_skip(s, '@') && domain(l) != SCAN_MORE)
            return SCAN_BROKEN;
    }
    return scan_skip(s, '>') ? scan_cfws(s) : SCAN_BROKEN;
}

/* [display-name] angle-addr; false when there is no "<". */
static bool name_addr(struct list *l)
{
    struct scan *s = &l->scan;

    buf_reset(l->text);
    if (scan_phrase(s, l->text) != SCAN_MORE || !scan_skip(s, '<'))
        return false;
    if (l->text->n > 0)
        l->now.name = keep_for_people(l, l->text);
    if (angle_addr(l) == SCAN_BROKEN)
        l->now.host = SLICE_LIT("SYNTAX_ERROR");
    return true;
}

/* local-part "@" domain, with a comment as the name. Words without "@" are a name without address, one word alone is
 * a mailbox without host. */
static void addr_spec(struct list *l)
{
    struct scan *s = &l->scan;
    bool quoted = scan_peek(s) == '"', has_at = false;
    enum scan_result result;
    size_t n;

    buf_reset(s->comment);
    result = local_part(l);
    l->broken = result != SCAN_MORE;
    if (result != SCAN_END && scan_skip(s, '@')) {
        has_at = true;
        (void)domain(l);
    }
    if (s->comment->n > 0) {
        l->now.name = keep_for_people(l, s->comment);
    } else if (!has_at) {
        scan_put(l->text, " ", 1);
        n = l->text->n;
        (void)scan_phrase(s, l->text);
        if (l->text->n > n) {
            l->now.mailbox = (struct slice){ 0 };
            l->now.name = keep_for_people(l, l->text);
        } else if (!quoted) {
            l->now.host = SLICE_LIT("");
        }
        l->broken = true;
    }
}

static void mailbox(struct list *l)
{
    const char *start = l->scan.p;

    if (!name_addr(l)) {
        l->scan.p = start;
        addr_spec(l);
        if (l->broken && l->now.name.p == NULL && l->now.mailbox.p != NULL && l->now.host.p == NULL) {
            l->now.name = keep_for_people(l, l->text); /* a quoted string alone */
            l->now.mailbox = (struct slice){ 0 };
        }
    }
    add_mailbox(l);
}

/* display-name ":" [ mailbox-list ] ";"; false when there is no ":". */
static bool group(struct list *l)
{
    struct scan *s = &l->scan;
    enum scan_result result;

    buf_reset(l->text);
    if (scan_phrase(s, l->text) != SCAN_MORE || !scan_skip(s, ':'))
        return false;
    result = scan_cfws(s);
    l->now = (struct mime_address){ .mailbox = keep(l), .group_start = true };
    add(l);
    if (result == SCAN_MORE && scan_peek(s) != ';')
        do
            mailbox(l);
        while (!mime_is_full(l->arena) && scan_skip(s, ',') && scan_cfws(s) == SCAN_MORE);
    if (scan_skip(s, ';'))
        (void)scan_cfws(s);
    l->now.group_end = true;
    add(l);
    return true;
}

struct mime_address **mime_add_addresses(struct arena *a, struct mime_scratch *scratch, struct slice value,
                                         struct mime_address **tail)
{
    struct list l = { .arena = a, .scratch = scratch, .text = &scratch->text, .tail = tail };
    struct scan *s = &l.scan;

    if (value.n == 0)
        return tail;
    *s = (struct scan){ value.p, value.p + value.n, &scratch->comment };
    if (scan_cfws(s) != SCAN_MORE)
        return tail;
    while (!mime_is_full(a)) {
        const char *start = s->p;
        enum scan_result result;

        if (!group(&l)) {
            s->p = start;
            mailbox(&l);
        }
        if (!scan_skip(s, ','))
            break; /* the end, or what is no list */
        result = scan_cfws(s);
        if (result == SCAN_BROKEN)
            add_mailbox(&l);
        if (result != SCAN_MORE)
            break;
    }
    return l.tail;
}

int mime_parse_addresses(struct arena *a, struct slice value, struct mime_address **ret)
{
    struct mime_scratch scratch;
    struct mime_address *first = NULL;

    if (value.n > SCAN_MAX)
        return -EMSGSIZE;
    mime_scratch_init(&scratch);
    (void)mime_add_addresses(a, &scratch, value, &first);
    mime_scratch_clear(&scratch);
    *ret = first;
    return 0;
}
