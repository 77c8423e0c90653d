#include "problem_priv.h"

#include "facteur/base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct problem {
    struct conf_place at;
    unsigned number; /* of finding, for a stable order */
    const char *text;
};

enum { PROBLEMS_TEXT_MOST = 256 * 1024, WORD_MOST = 32 };

void problems_clear(struct problems *p)
{
    arena_clear(&p->arena);
    mem_free(p->items);
    *p = (struct problems){ 0 };
}

void problem_add(struct problems *p, struct conf_place at, const char *fmt, ...)
{
    char text[PROBLEM_TEXT];
    va_list args;

    p->count++;
    if (p->count > PROBLEMS_MOST)
        return;
    if (p->items == NULL)
        p->items = mem_array(PROBLEMS_MOST, sizeof *p->items);
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    p->items[p->count - 1] = (struct problem){ at, p->count, arena_str(&p->arena, slice_str(text)) };
}

const char *problem_shown(struct problems *p, struct slice text)
{
    char shown[4 * SHOWN_MOST + 8];
    size_t n = 0;

    shown[n++] = '"';
    for (size_t i = 0; i < text.n && i < SHOWN_MOST; i++) {
        unsigned char c = (unsigned char)text.p[i];

        if (c < 0x20 || c == 0x7f)
            n += (size_t)snprintf(shown + n, sizeof shown - n, "\\x%02x", c);
        else
            shown[n++] = (char)c;
    }
    n += (size_t)snprintf(shown + n, sizeof shown - n, "%s\"", text.n > SHOWN_MOST ? "..." : "");
    return arena_str(&p->arena, (struct slice){ shown, n });
}

/* One order for qsort: the main file first, then by line and column, then as found. */
struct ranked {
    const struct problem *problem;
    bool other_file;
};

static int compare_unsigned(unsigned a, unsigned b)
{
    return (a > b) - (a < b);
}

static int by_place(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    int order = (int)x->other_file - (int)y->other_file;

    if (order == 0)
        order = compare_unsigned(x->problem->at.line, y->problem->at.line);
    if (order == 0)
        order = compare_unsigned(x->problem->at.column, y->problem->at.column);
    return order != 0 ? order : compare_unsigned(x->problem->number, y->problem->number);
}

static int tell_one(const struct problem *p, struct buf *out)
{
    if (p->at.line == 0)
        return buf_addf(out, "%s: %s\n", p->at.file, p->text);
    return buf_addf(out, "%s:%u:%u: %s\n", p->at.file, p->at.line, p->at.column, p->text);
}

void problems_tell(const struct problems *p, const char *first, struct conf_problems *out)
{
    size_t kept = p->count < PROBLEMS_MOST ? p->count : PROBLEMS_MOST;
    struct ranked *order = mem_array(kept + 1, sizeof *order);
    bool fits = true;

    buf_init(&out->text, PROBLEMS_TEXT_MOST);
    out->count = p->count;
    for (size_t i = 0; i < kept; i++)
        order[i] = (struct ranked){ &p->items[i], p->items[i].at.file != first };
    qsort(order, kept, sizeof *order, by_place);
    for (size_t i = 0; i < kept && fits; i++)
        fits = tell_one(order[i].problem, &out->text) == 0;
    if (fits && p->count > kept)
        (void)!buf_addf(&out->text, "%s: and %u more\n", first, p->count - (unsigned)kept);
    mem_free(order);
}

/* Case and the choice of dash are no reason to miss a word. */
static char fold(char c)
{
    return c == '-' ? '_' : c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* Optimal string alignment: insertions, deletions, changes and swapped neighbours cost 1. */
static size_t distance(struct slice a, struct slice b)
{
    size_t rows[3][WORD_MOST + 1] = { { 0 } };

    for (size_t j = 0; j <= b.n; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a.n; i++) {
        size_t *now = rows[i % 3], *last = rows[(i + 2) % 3], *before = rows[(i + 1) % 3];

        now[0] = i;
        for (size_t j = 1; j <= b.n; j++) {
            size_t best = last[j - 1] + (fold(a.p[i - 1]) != fold(b.p[j - 1]));

            best = last[j] + 1 < best ? last[j] + 1 : best;
            best = now[j - 1] + 1 < best ? now[j - 1] + 1 : best;
            if (i > 1 && j > 1 && fold(a.p[i - 1]) == fold(b.p[j - 2]) && fold(a.p[i - 2]) == fold(b.p[j - 1]) &&
                before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            now[j] = best;
        }
    }
    return rows[a.n % 3][b.n];
}

const char *nearest_word(struct slice seen, const char *const *words)
{
    const char *nearest = NULL;
    size_t least;

    if (seen.n == 0 || seen.n > WORD_MOST)
        return NULL;
    least = (seen.n + 2) / 3 + 1;
    for (; *words != NULL; words++) {
        struct slice word = slice_str(*words);
        size_t d;

        if (word.n > WORD_MOST)
            continue;
        d = distance(seen, word);
        if (d < least) {
            least = d;
            nearest = *words;
        }
    }
    return nearest;
}
