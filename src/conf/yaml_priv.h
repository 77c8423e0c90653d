/* facteur: conf/yaml_priv: a YAML text as a tree that knows its places.
 * Purpose:   reads by libyaml's events; refuses what no policy needs (aliases, tags, several documents, duplicates).
 * Owner:     the tree lives in the arena that the caller gives.
 * Thread:    any.
 * Limits:    YAML_MOST octets, YAML_DEPTH levels; not recursive.
 * Standards: YAML 1.1 as libyaml reads it. */
#ifndef FACTEUR_CONF_YAML_PRIV_H
#define FACTEUR_CONF_YAML_PRIV_H

#include "problem_priv.h"

enum { YAML_MOST = 1024 * 1024, YAML_DEPTH = 12 };

enum node_kind { NODE_SCALAR, NODE_LIST, NODE_MAP };

/* Where something stands, in characters from the text's start; `end` is behind it. */
struct span {
    size_t start, end;
};

struct node {
    enum node_kind kind;
    bool plain;           /* a scalar without quotes */
    bool flow;            /* a list in brackets, a mapping in braces */
    struct conf_place at; /* of the value */
    struct span span;
    struct slice text; /* a scalar's; NUL-terminated and without control characters */
    struct slice key;  /* in a mapping: its name, NUL-terminated */
    struct conf_place key_at;
    struct span key_span;
    struct node *first, *next;
    size_t count; /* of children */
};

/* -EINVAL when it cannot be read to its end. What else was wrong is left out of the tree, and told as a problem too. An
 * empty text gives a null scalar. `file` must outlive the tree. */
int yaml_read(struct arena *tree, const char *file, struct slice text, struct problems *problems,
              struct node **ret) MUST_USE;

/* The child of that name, or NULL; NULL for what is no mapping. */
const struct node *node_get(const struct node *map, const char *key);
bool node_is_null(const struct node *n); /* NULL, nothing, "~" or "null" without quotes */

/* Walks a list; anything else stands for a list of itself. */
static inline const struct node *node_first(const struct node *n)
{
    return n->kind == NODE_LIST ? n->first : n;
}
static inline const struct node *node_after(const struct node *list, const struct node *it)
{
    return list->kind == NODE_LIST ? it->next : NULL;
}
static inline size_t node_count(const struct node *n)
{
    return n->kind == NODE_LIST ? n->count : 1;
}

#endif
