#include "facteur/base/ranges.h"

#include "facteur/base/mem.h"

#include <errno.h>

void ranges_clear(struct ranges *r)
{
    mem_free(r->items);
    *r = (struct ranges){ 0 };
}

/* The first item that ends at n or after it; count when there is none. */
static size_t first_ending_at(const struct ranges *r, uint64_t n)
{
    size_t low = 0, high = r->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (r->items[middle].to < n)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The first item that starts after n. */
static size_t first_starting_after(const struct ranges *r, uint64_t n)
{
    size_t low = 0, high = r->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (r->items[middle].from <= n)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Puts `count` pieces (at most 2) where the items [at, end) are. */
static int replace(struct ranges *r, size_t at, size_t end, const struct range *pieces, size_t count)
{
    size_t now = r->count - (end - at) + count;

    if (now > RANGES_MAX)
        return -E2BIG;
    if (now > r->cap) {
        size_t cap = r->cap < 4 ? 4 : r->cap * 2;

        r->items = mem_resize(r->items, cap * sizeof *r->items);
        r->cap = cap;
    }
    if (end < r->count && end != at + count)
        memmove(r->items + at + count, r->items + end, (r->count - end) * sizeof *r->items);
    for (size_t i = 0; i < count; i++)
        r->items[at + i] = pieces[i];
    r->count = now;
    return 0;
}

int ranges_add(struct ranges *r, uint32_t from, uint32_t to)
{
    struct range piece = { from < to ? from : to, from < to ? to : from };
    struct range *last = r->count > 0 ? &r->items[r->count - 1] : NULL;
    size_t at, end;

    if (last == NULL || piece.from > (uint64_t)last->to + 1)
        return replace(r, r->count, r->count, &piece, 1);
    if (piece.from >= last->from) { /* the usual case: the next number */
        last->to = piece.to > last->to ? piece.to : last->to;
        return 0;
    }
    at = first_ending_at(r, piece.from > 0 ? (uint64_t)piece.from - 1 : 0); /* touching counts as overlapping */
    end = first_starting_after(r, (uint64_t)piece.to + 1);
    if (at < end) {
        piece.from = r->items[at].from < piece.from ? r->items[at].from : piece.from;
        piece.to = r->items[end - 1].to > piece.to ? r->items[end - 1].to : piece.to;
    }
    return replace(r, at, end, &piece, 1);
}

int ranges_remove(struct ranges *r, uint32_t from, uint32_t to)
{
    uint32_t low = from < to ? from : to, high = from < to ? to : from;
    size_t at = first_ending_at(r, low), end = first_starting_after(r, high), count = 0;
    struct range rest[2];

    if (at >= end)
        return 0;
    if (r->items[at].from < low)
        rest[count++] = (struct range){ r->items[at].from, low - 1 };
    if (r->items[end - 1].to > high)
        rest[count++] = (struct range){ high + 1, r->items[end - 1].to };
    return replace(r, at, end, rest, count);
}

int ranges_keep(struct ranges *r, const struct ranges *with)
{
    struct ranges both = { 0 };
    size_t from = 0;
    int code = 0;

    for (size_t i = 0; i < r->count && code == 0; i++) {
        const struct range *a = &r->items[i];

        while (from < with->count && with->items[from].to < a->from)
            from++;
        for (size_t k = from; k < with->count && with->items[k].from <= a->to && code == 0; k++) {
            const struct range *b = &with->items[k];

            code = ranges_add(&both, a->from > b->from ? a->from : b->from, a->to < b->to ? a->to : b->to);
        }
    }
    if (code < 0) {
        ranges_clear(&both);
        return code;
    }
    ranges_clear(r);
    *r = both;
    return 0;
}

bool ranges_has(const struct ranges *r, uint32_t n)
{
    size_t at = first_ending_at(r, n);

    return at < r->count && r->items[at].from <= n;
}

uint64_t ranges_count(const struct ranges *r)
{
    uint64_t count = 0;

    for (size_t i = 0; i < r->count; i++)
        count += (uint64_t)r->items[i].to - r->items[i].from + 1;
    return count;
}

int ranges_copy(const struct ranges *from, struct ranges *to)
{
    struct range *items = NULL;

    if (from == to)
        return 0;
    if (from->count > RANGES_MAX)
        return -E2BIG;
    if (from->count > 0) {
        items = mem_array(from->count, sizeof *items);
        memcpy(items, from->items, from->count * sizeof *items);
    }
    ranges_clear(to);
    *to = (struct ranges){ items, from->count, from->count };
    return 0;
}

bool ranges_next(const struct ranges *r, uint64_t *cursor, uint32_t *ret)
{
    uint64_t wanted = *cursor + 1;
    size_t at = first_ending_at(r, wanted);

    if (at == r->count)
        return false;
    *cursor = r->items[at].from > wanted ? r->items[at].from : wanted;
    *ret = (uint32_t)*cursor;
    return true;
}

int ranges_format(const struct ranges *r, struct buf *out)
{
    size_t start = out->n;

    for (size_t i = 0; i < r->count; i++) {
        const struct range *item = &r->items[i];
        const char *comma = i > 0 ? "," : "";
        int code = item->from == item->to
                       ? buf_addf(out, "%s%lu", comma, (unsigned long)item->from)
                       : buf_addf(out, "%s%lu:%lu", comma, (unsigned long)item->from, (unsigned long)item->to);

        if (code < 0) {
            out->n = start;
            return code;
        }
    }
    return 0;
}
