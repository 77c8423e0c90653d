/* Looking up. A needle's trigrams are all in a text that contains it, so what the tables do not find is not there; what
 * they find may have the trigrams elsewhere. */
#include "facteur/store/search.h"
#include "search_priv.h"

#include <errno.h>

enum {
    TRIGRAMS = 12, /* looked up for one needle: more would hardly narrow it down further */
    QUERY_ROOM = TRIGRAMS * 32
};

/* The octets of the character at the front of valid UTF-8. */
static size_t character(struct slice s)
{
    size_t n = 1;

    while (n < s.n && ((unsigned char)s.p[n] & 0xc0) == 0x80)
        n++;
    return n;
}

static size_t count_characters(struct slice s)
{
    size_t count = 0;

    for (; s.n > 0; s = slice_skip(s, character(s)))
        count++;
    return count;
}

/* Adds "abc" in FTS5's quotes. */
static int add_trigram(struct slice at, struct buf *out)
{
    size_t n = 0;

    for (int i = 0; i < 3; i++)
        n += character(slice_skip(at, n));
    TRY(buf_adds(out, out->n > 0 ? " AND \"" : "\""));
    for (size_t i = 0; i < n; i++) {
        if (at.p[i] == '"')
            TRY(buf_addc(out, '"'));
        TRY(buf_addc(out, at.p[i]));
    }
    return buf_addc(out, '"');
}

/* Trigrams of the needle, spread over it when there are too many. */
static int make_query(struct slice needle, struct buf *out)
{
    size_t count = count_characters(needle), i = 0, given = 0;

    if (count < 3 || memchr(needle.p, '\0', needle.n) != NULL)
        return -ENOTSUP;
    count -= 2;
    for (; i < count; needle = slice_skip(needle, character(needle)), i++) {
        if (count > TRIGRAMS && i * TRIGRAMS / count < given)
            continue;
        TRY(add_trigram(needle, out));
        given++;
    }
    return 0;
}

/* Adds the UIDs that a statement gives. */
static int add_keys(struct index *x, sqlite3_stmt *s, struct ranges *ret, struct err *e)
{
    int r;

    while ((r = db_row(x->db, s, e)) == 1) {
        uint32_t uid = (uint32_t)(sqlite3_column_int64(s, 0) & UINT32_MAX);

        r = ranges_add(ret, uid, uid);
        if (r < 0) {
            (void)sqlite3_reset(s);
            return err_set(e, r, "too many messages in too many pieces");
        }
    }
    (void)sqlite3_clear_bindings(s);
    return r;
}

static int look_up(struct index *x, uint32_t folder, enum search_statement which, struct slice query,
                   struct ranges *ret, struct err *e)
{
    sqlite3_stmt *s;

    TRY(search_statement(x, which, folder, 0, UINT32_MAX, &s, e));
    if (query.n > 0)
        (void)sqlite3_bind_text64(s, 3, query.p, query.n, SQLITE_STATIC, SQLITE_UTF8);
    return add_keys(x, s, ret, e);
}

/* What nothing is known of. */
static int add_unknown(const struct ranges *done, struct ranges *ret)
{
    uint32_t from = 1;

    for (size_t i = 0; i < done->count; i++) {
        if (done->items[i].from > from)
            TRY(ranges_add(ret, from, done->items[i].from - 1));
        if (done->items[i].to == UINT32_MAX)
            return 0;
        from = done->items[i].to + 1;
    }
    return ranges_add(ret, from, UINT32_MAX);
}

static int candidates(struct index *x, uint32_t folder, enum search_field field, struct slice query, struct ranges *ret,
                      struct err *e)
{
    struct index_search *s;
    struct ranges *done;

    TRY(search_open(x, &s, e));
    TRY(search_done(x, folder, &done, e));
    if (field != SEARCH_IN_BODY)
        TRY(look_up(x, folder, S_HEAD, query, ret, e));
    if (field != SEARCH_IN_HEADER)
        TRY(look_up(x, folder, S_BODY, query, ret, e));
    TRY(look_up(x, folder, S_ALWAYS, (struct slice){ 0 }, ret, e));
    return add_unknown(done, ret) < 0 ? err_set(e, -E2BIG, "too many messages in too many pieces") : 0;
}

int search_candidates(struct index *x, uint32_t folder, enum search_field field, struct slice folded,
                      struct ranges *ret, struct err *e)
{
    struct ranges found = { 0 };
    struct buf query;
    int r = -ENOTSUP;

    buf_init(&query, QUERY_ROOM);
    if (x->options.search)
        r = make_query(folded, &query);
    if (r == 0)
        r = candidates(x, folder, field, buf_slice(&query), &found, e);
    buf_clear(&query);
    if (r == 0) {
        ranges_clear(ret);
        *ret = found;
        return 0;
    }
    ranges_clear(&found);
    if (r == -ENOTSUP || r == -E2BIG || index_recovered(x, r, e)) /* the index was made anew: it knows nothing yet */
        return err_set(e, -ENOTSUP, "the full-text index cannot tell");
    return r;
}
