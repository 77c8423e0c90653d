#include "load_priv.h"

#include <stdarg.h>
#include <stdio.h>

enum { WORDS_MOST = 64 };

void problem(struct load *l, const struct node *n, const char *fmt, ...)
{
    char text[PROBLEM_TEXT];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    problem_add(&l->problems, n->at, "%s", text);
}

char *keep(struct load *l, struct slice text)
{
    return arena_str(&l->c->arena, text);
}

char *keep_path(struct load *l, struct slice text)
{
    char *path;

    if (text.n > 0 && text.p[0] == '/')
        return keep(l, text);
    path = arena_zero(&l->c->arena, l->dir.n + text.n + 1);
    if (l->dir.n > 0)
        memcpy(path, l->dir.p, l->dir.n);
    if (text.n > 0)
        memcpy(path + l->dir.n, text.p, text.n);
    return path;
}

const char *shown(struct load *l, const struct node *n)
{
    if (n->kind == NODE_LIST)
        return "a list";
    if (n->kind == NODE_MAP)
        return "a mapping";
    return node_is_null(n) ? "nothing" : problem_shown(&l->problems, n->text);
}

bool want_scalar(struct load *l, const char *key, const struct node *n, const char *expected)
{
    if (n->kind == NODE_SCALAR)
        return true;
    problem(l, n, "%s: expected %s, found %s", key, expected, shown(l, n));
    return false;
}

bool want_map(struct load *l, const char *key, const struct node *n)
{
    if (n->kind == NODE_MAP)
        return true;
    problem(l, n, "%s: expected a mapping (lines of \"name: value\"), found %s", key, shown(l, n));
    return false;
}

const char *hint_nearest(struct load *l, struct slice seen, const char *const *words)
{
    const char *word = nearest_word(seen, words);
    char text[64];

    if (word == NULL)
        return "";
    (void)snprintf(text, sizeof text, " (did you mean \"%s\"?)", word);
    return arena_str(&l->problems.arena, slice_str(text));
}

const struct field *section_field(const struct section *s, const char *key)
{
    for (const struct field *f = s->fields; f->key != NULL; f++)
        if (strcmp(f->key, key) == 0)
            return f;
    return NULL;
}

/* A key that stands in the wrong place is told its right one; a mistyped key the nearest of this place. */
static void tell_unknown(struct load *l, const struct section *s, const struct node *n)
{
    const char *words[WORDS_MOST];
    const char *hint;
    size_t count = 0;

    for (const struct field *f = s->fields; f->key != NULL && count < WORDS_MOST - 1; f++)
        words[count++] = f->key;
    words[count] = NULL;
    hint = hint_nearest(l, n->key, words);
    for (const struct section *const *other = sections; hint[0] == '\0' && *other != NULL; other++)
        if (section_field(*other, n->key.p) != NULL) {
            problem_add(&l->problems, n->key_at, "unknown key %s in %s (it belongs to %s)",
                        problem_shown(&l->problems, n->key), s->title, (*other)->title);
            return;
        }
    problem_add(&l->problems, n->key_at, "unknown key %s in %s%s", problem_shown(&l->problems, n->key), s->title, hint);
}

/* "[a, b]" or "a" as nodes; presets are ours, so this is all the YAML they need. */
static const struct node *preset_node(struct load *l, const char *preset)
{
    static const struct node made = { .kind = NODE_SCALAR, .at = { "default", 0, 0 } };
    struct slice rest = slice_str(preset), item;
    struct node *n = arena_zero(&l->tree, sizeof *n), **end = &n->first;

    *n = made;
    n->text = rest;
    if (preset[0] != '[')
        return n;
    n->kind = NODE_LIST;
    rest = slice_make(rest.p + 1, rest.n - 2);
    while (rest.n > 0) {
        struct node *child = arena_zero(&l->tree, sizeof *child);

        (void)slice_cut(&rest, ',', &item);
        *child = made;
        child->text = slice_trim(item);
        child->text.p = arena_str(&l->tree, child->text);
        *end = child;
        end = &child->next;
        n->count++;
    }
    return n;
}

static void read_field(struct load *l, const struct section *s, const struct field *f, const struct node *n,
                       const struct node *parent, void *base)
{
    void *to = (char *)base + f->offset;

    if (f->type->read == NULL)
        return;
    if (f->section != NULL) {
        f->type->read(l, f, n, to); /* a section is there in any case: its presets are */
        return;
    }
    if (!node_is_null(n)) {
        f->type->read(l, f, n, to);
        return;
    }
    if (f->preset != NULL)
        f->type->read(l, f, preset_node(l, f->preset), to);
    else if (f->required && parent != NULL)
        problem(l, n != NULL ? n : parent, "%s needs \"%s\", for example \"%s: %s\"", s->title, f->key, f->key,
                f->example);
}

void read_section(struct load *l, const struct section *s, const struct node *n, void *base)
{
    if (!node_is_null(n) && !want_map(l, s->title, n))
        n = NULL;
    if (n != NULL && n->kind == NODE_MAP)
        for (const struct node *child = n->first; child != NULL; child = child->next)
            if (section_field(s, child->key.p) == NULL)
                tell_unknown(l, s, child);
    for (const struct field *f = s->fields; f->key != NULL; f++)
        read_field(l, s, f, node_get(n, f->key), n, base);
}
