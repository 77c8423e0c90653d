/* facteur: conf/load_priv: one load of a policy file, and the schema that drives it.
 * Purpose:   the schema table (fields and sections) from which reading, presets, messages, config_print and
 *            config_reference all come; the stages of a load that follow it.
 * Owner:     struct load lives for one load; what lasts is in the configuration's arena.
 * Thread:    any.
 * Limits:    sections nest as deep as the schema says, never as deep as the file does.
 * Standards: none. */
#ifndef FACTEUR_CONF_LOAD_PRIV_H
#define FACTEUR_CONF_LOAD_PRIV_H

#include "yaml_priv.h"

struct load {
    struct config *c;
    struct problems problems;
    struct arena tree;       /* nodes: gone after the load */
    const struct node *root; /* of the policy file */
    struct slice dir;        /* of the policy file, with the slash at the end; other files are relative to it */
    bool alone;              /* no other file is looked at */
    struct config_change change;
    const struct node **domain_nodes; /* beside config.domain_list */
};

struct printer {
    struct buf *out;
    unsigned indent;
    bool full; /* out has reached its maximum */
};

struct field;

/* How a kind of value is read and printed. `to` and `from` are the section's struct plus the field's offset. */
struct value_type {
    const char *name;                                                                    /* for the reference */
    void (*read)(struct load *l, const struct field *f, const struct node *n, void *to); /* NULL: a later stage's */
    void (*print)(struct printer *p, const struct field *f, const void *from);           /* the text behind "key:" */
};

struct word {
    const char *word; /* NULL ends the list */
    int value;
};

struct field {
    const char *key; /* NULL ends the list */
    const struct value_type *type;
    size_t offset;
    const char *preset; /* the default as one would write it: a scalar or "[a, b]"; NULL: none */
    const char *example;
    const char *meaning; /* with the unit; if the default depends on something: on what */
    uint64_t min, max;   /* counts, sizes, and durations in milliseconds; max 0: any */
    const struct word *words;
    const struct section *section; /* the fields inside */
    bool required;
};

struct section {
    const char *path;  /* "limits.timeouts", "users.*"; "" is the file's top level */
    const char *title; /* the same for a sentence: "a user" */
    const char *intro;
    const struct field *fields;
};
extern const struct section section_top, section_listener, section_tls, section_certificate, section_domain,
    section_user, section_auth, section_relay, section_next_hop, section_limits, section_timeouts, section_queue,
    section_imap, section_pop3, section_dns, section_log;
extern const struct section *const sections[]; /* all, in the order of the reference; ends with NULL */

/* The kinds of values (value_types.c; the ones that a later stage reads are in print_types.c). */
extern const struct value_type type_text, type_host, type_path, type_bool, type_count, type_port, type_size,
    type_duration, type_word, type_networks, type_secret, type_hashes, type_senders, type_domains, type_services,
    type_mechanisms, type_retry, type_servers, type_log_target, type_section, type_hop_host, type_system_user,
    type_delimiters;
extern const struct value_type type_listeners, type_certificates, type_later_path, type_domain_map, type_user_map,
    type_aliases, type_catch_all, type_smarthost, type_routes;

/* read.c: the engine. Reads what the mapping `n` gives (NULL or null: nothing), fills in presets, tells mistakes. */
void read_section(struct load *l, const struct section *s, const struct node *n, void *base);
const struct field *section_field(const struct section *s, const char *key);
/* False, with a problem that names what was expected, unless n is of the kind. */
bool want_scalar(struct load *l, const char *key, const struct node *n, const char *expected);
bool want_map(struct load *l, const char *key, const struct node *n);
/* " (did you mean "x"?)" or "": lives as long as the problems. */
const char *hint_nearest(struct load *l, struct slice seen, const char *const *words);
const char *shown(struct load *l, const struct node *n);
void problem(struct load *l, const struct node *n, const char *fmt, ...) PRINTF_LIKE(3, 4);
char *keep(struct load *l, struct slice text);      /* a copy in the configuration's arena */
char *keep_path(struct load *l, struct slice text); /* made absolute, or at least relative to the file */

static inline void *room_for_pointers(struct arena *a, size_t count)
{
    return arena_zero(a, count * sizeof(void *));
}

/* value.c: pure. 0, -EINVAL, or -ERANGE beyond 64 bits. */
int size_parse(struct slice text, uint64_t *ret) MUST_USE;    /* "25 MiB", "25M", "1048576" */
int duration_parse(struct slice text, int64_t *ret) MUST_USE; /* "5d", "1h30m", "500ms", "0"; milliseconds */
int size_format(uint64_t size, struct buf *out) MUST_USE;
int duration_format(int64_t ms, struct buf *out) MUST_USE;
bool hash_is_known(struct slice hash); /* by its form; nothing is computed */
bool hash_is_scram(struct slice hash);

/* file.c: the world outside of the text. */
/* The file's text, at most `most` octets, in *out (initialised here). A secret's file must not be open to others. */
int file_read(const char *path, size_t most, bool secret, struct buf *out, struct err *e) MUST_USE;
/* Notes that the policy reads this file. */
void file_note(struct load *l, const char *path, const struct node *n);
/* A scalar, or the text of {file: …} or {env: …} without the line break at its end. NULL after a problem. */
const char *secret_read(struct load *l, const char *key, const struct node *n);

/* safety.c: the rule that keeps the relay closed. Tells a problem for each network of strangers. */
const struct conf_user *typical_user(const struct config *c); /* typical.c */
void check_own_hop(struct load *l, const char *key, const struct conf_next_hop *hop);
void check_networks(struct load *l, const char *key, const struct node *n);
bool domain_is_too_wide(const char *name); /* "com": nobody's own */

/* The stages after the schema's reading, in this order. */
void complete_domains(struct load *l); /* accounts.c: domains, users, default_domain */
void complete_aliases(struct load *l); /* aliases.c */
void complete_tls(struct load *l);     /* network.c: needs the trusted networks read */
void complete_listeners(struct load *l);
void complete_relay(struct load *l); /* hop.c */

/* A next hop from a mapping or from "host" or "host:port", with its defaults; false after a problem. */
bool read_hop(struct load *l, const char *key, const struct node *n, struct conf_next_hop *to);

/* print.c */
void put(struct printer *p, const char *fmt, ...) PRINTF_LIKE(2, 3);
void put_text(struct printer *p, const char *text);                             /* quoted where YAML needs it */
void put_section(struct printer *p, const struct section *s, const void *base); /* its fields, one a line */

#endif
