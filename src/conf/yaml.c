#include "yaml_priv.h"

#include <errno.h>
#include <stdio.h>
#include <yaml.h>

/* One open list or mapping. */
struct level {
    struct node *node, *last; /* last: its newest child */
    const struct node *key;   /* a mapping's key that waits for its value */
    bool drop;                /* … which is left out: what is wrong has been said */
    struct map seen;          /* a mapping's keys, to find one that comes twice */
};

struct reader {
    struct arena *tree;
    const char *file;
    struct problems *problems;
    struct level levels[YAML_DEPTH];
    size_t depth;
    struct node *root;
    bool failed; /* the rest cannot be read */
    bool done;
};

static struct conf_place place_of(const struct reader *r, yaml_mark_t mark)
{
    return (struct conf_place){ r->file, (unsigned)mark.line + 1, (unsigned)mark.column + 1 };
}

/* Leaves out the value that would come here. */
static void drop(struct reader *r)
{
    if (r->depth == 0)
        return;
    r->levels[r->depth - 1].drop = false;
    r->levels[r->depth - 1].key = NULL;
}

/* Puts a value where it belongs: into the open list or mapping, or at the root. */
static void attach(struct reader *r, struct node *n)
{
    struct level *level;

    if (r->depth == 0) {
        r->root = n;
        return;
    }
    level = &r->levels[r->depth - 1];
    if (level->drop) {
        drop(r);
        return;
    }
    if (level->node->kind == NODE_MAP) {
        n->key = level->key->text;
        n->key_at = level->key->at;
        n->key_span = level->key->span;
        level->key = NULL;
    }
    if (level->last == NULL)
        level->node->first = n;
    else
        level->last->next = n;
    level->last = n;
    level->node->count++;
}

static void take_key(struct reader *r, struct level *level, const struct node *n)
{
    struct node *earlier = map_get(&level->seen, n->text);

    level->key = n;
    if (earlier == NULL) {
        (void)map_put(&level->seen, n->text, (void *)n);
        return;
    }
    problem_add(r->problems, n->at, "%s is given twice; the first is in line %u", problem_shown(r->problems, n->text),
                earlier->at.line);
    level->drop = true;
}

static bool has_control(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
            return true;
    return false;
}

static bool wants_key(const struct level *level)
{
    return level != NULL && level->node->kind == NODE_MAP && level->key == NULL;
}

static void on_scalar(struct reader *r, const yaml_event_t *e)
{
    struct slice text = { (const char *)e->data.scalar.value, e->data.scalar.length };
    struct node *n = arena_zero(r->tree, sizeof *n);
    struct level *level = r->depth > 0 ? &r->levels[r->depth - 1] : NULL;
    bool bad = has_control(text);

    n->at = place_of(r, e->start_mark);
    n->span = (struct span){ e->start_mark.index, e->end_mark.index };
    n->plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    if (bad)
        problem_add(r->problems, n->at, "%s holds a line break or another control character, which no setting takes",
                    problem_shown(r->problems, text));
    n->text = (struct slice){ arena_str(r->tree, text), text.n };
    if (wants_key(level) && bad) {
        level->key = n;
        level->drop = true;
    } else if (wants_key(level)) {
        take_key(r, level, n);
    } else if (bad) {
        drop(r);
    } else {
        attach(r, n);
    }
}

static void on_start(struct reader *r, const yaml_event_t *e, enum node_kind kind)
{
    struct level *level = r->depth > 0 ? &r->levels[r->depth - 1] : NULL;
    struct node *n;

    if (wants_key(level)) {
        problem_add(r->problems, place_of(r, e->start_mark), "a key must be a single word or a quoted text");
        r->failed = r->done = true;
        return;
    }
    if (r->depth == YAML_DEPTH) {
        problem_add(r->problems, place_of(r, e->start_mark), "nested more than %d levels deep", YAML_DEPTH);
        r->failed = r->done = true;
        return;
    }
    n = arena_zero(r->tree, sizeof *n);
    n->kind = kind;
    n->at = place_of(r, e->start_mark);
    n->span = (struct span){ e->start_mark.index, e->end_mark.index };
    n->flow = kind == NODE_LIST ? e->data.sequence_start.style == YAML_FLOW_SEQUENCE_STYLE
                                : e->data.mapping_start.style == YAML_FLOW_MAPPING_STYLE;
    attach(r, n);
    r->levels[r->depth++] = (struct level){ .node = n };
}

/* A list or mapping without brackets ends where its last child does: the event comes only with the next token. */
static void on_end(struct reader *r, size_t end)
{
    struct level *level = &r->levels[--r->depth];

    map_clear(&level->seen);
    if (level->node->flow)
        level->node->span.end = end;
    else if (level->last != NULL)
        level->node->span.end = level->last->span.end;
}

/* What YAML offers and a policy does without. Aliases are how a few lines become gigabytes. */
static void refuse_extras(struct reader *r, const yaml_event_t *e)
{
    const yaml_char_t *anchor = NULL, *tag = NULL;

    if (e->type == YAML_ALIAS_EVENT)
        anchor = e->data.alias.anchor;
    if (e->type == YAML_SCALAR_EVENT) {
        anchor = e->data.scalar.anchor;
        tag = e->data.scalar.tag;
    }
    if (e->type == YAML_SEQUENCE_START_EVENT) {
        anchor = e->data.sequence_start.anchor;
        tag = e->data.sequence_start.tag;
    }
    if (e->type == YAML_MAPPING_START_EVENT) {
        anchor = e->data.mapping_start.anchor;
        tag = e->data.mapping_start.tag;
    }
    if (anchor != NULL)
        problem_add(r->problems, place_of(r, e->start_mark),
                    "anchors and aliases (\"&name\", \"*name\") are not supported; a value that begins with & or * "
                    "needs quotes");
    else if (tag != NULL)
        problem_add(r->problems, place_of(r, e->start_mark),
                    "tags (\"!name\") are not supported; a value that begins with ! needs quotes");
}

static void on_event(struct reader *r, const yaml_event_t *e)
{
    refuse_extras(r, e);
    switch (e->type) {
    case YAML_ALIAS_EVENT:
        if (wants_key(r->depth > 0 ? &r->levels[r->depth - 1] : NULL))
            r->failed = r->done = true;
        drop(r);
        break;
    case YAML_DOCUMENT_START_EVENT:
        if (r->root != NULL) {
            problem_add(r->problems, place_of(r, e->start_mark), "a second document begins here; only one is read");
            r->failed = r->done = true;
        }
        break;
    case YAML_SCALAR_EVENT:
        on_scalar(r, e);
        break;
    case YAML_SEQUENCE_START_EVENT:
        on_start(r, e, NODE_LIST);
        break;
    case YAML_MAPPING_START_EVENT:
        on_start(r, e, NODE_MAP);
        break;
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        on_end(r, e->end_mark.index);
        break;
    case YAML_STREAM_END_EVENT:
        r->done = true;
        break;
    default:
        break;
    }
}

/* libyaml counts octets for malformed UTF-8 and keeps no mark: the line is found here. */
static struct conf_place place_of_octet(const struct reader *r, struct slice text, size_t offset)
{
    struct conf_place at = { r->file, 1, 1 };

    for (size_t i = 0; i < offset && i < text.n; i++) {
        at.column++;
        if (text.p[i] == '\n') {
            at.line++;
            at.column = 1;
        }
    }
    return at;
}

static void on_syntax_error(struct reader *r, const yaml_parser_t *parser, struct slice text)
{
    const char *why = parser->problem != NULL ? parser->problem : "cannot be read";
    size_t offset = parser->problem_mark.index;
    bool tab = offset < text.n && text.p[offset] == '\t';
    bool star = parser->context != NULL && strstr(parser->context, "alias") != NULL;
    char begun[48] = "";

    r->failed = true;
    if (parser->context != NULL && parser->context_mark.line != parser->problem_mark.line)
        (void)snprintf(begun, sizeof begun, ", which begins in line %zu", parser->context_mark.line + 1);
    if (parser->error == YAML_READER_ERROR)
        problem_add(r->problems, place_of_octet(r, text, parser->problem_offset), "not readable as UTF-8 text: %s",
                    why);
    else
        problem_add(r->problems, place_of(r, parser->problem_mark), "this is no YAML: %s%s%s%s%s%s", why,
                    parser->context != NULL ? " " : "", parser->context != NULL ? parser->context : "",
                    star ? " (a * stands in quotes: \"*\")" : "", tab ? " (a tab cannot indent; use spaces)" : "",
                    begun);
}

int yaml_read(struct arena *tree, const char *file, struct slice text, struct problems *problems, struct node **ret)
{
    struct reader r = { .tree = tree, .file = file, .problems = problems };
    yaml_parser_t parser;
    yaml_event_t event;

    if (text.n > YAML_MOST) {
        problem_add(problems, (struct conf_place){ file, 0, 0 }, "larger than %d KiB", YAML_MOST / 1024);
        return -EINVAL;
    }
    if (yaml_parser_initialize(&parser) == 0)
        return -ENOMEM;
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, (const unsigned char *)(text.n > 0 ? text.p : ""), text.n);
    while (!r.done) {
        if (yaml_parser_parse(&parser, &event) == 0) {
            on_syntax_error(&r, &parser, text);
            break;
        }
        on_event(&r, &event);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    while (r.depth > 0)
        on_end(&r, text.n);
    if (r.failed)
        return -EINVAL;
    if (r.root == NULL) {
        r.root = arena_zero(tree, sizeof *r.root);
        *r.root = (struct node){ .kind = NODE_SCALAR, .plain = true, .at = { file, 1, 1 }, .text = SLICE_LIT("") };
    }
    *ret = r.root;
    return 0;
}

const struct node *node_get(const struct node *map, const char *key)
{
    if (map == NULL || map->kind != NODE_MAP)
        return NULL;
    for (const struct node *n = map->first; n != NULL; n = n->next)
        if (slice_is(n->key, key))
            return n;
    return NULL;
}

bool node_is_null(const struct node *n)
{
    return n == NULL || (n->kind == NODE_SCALAR && n->plain &&
                         (n->text.n == 0 || slice_is(n->text, "~") || slice_is(n->text, "null")));
}
