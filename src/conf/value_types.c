/* The kinds of single values and of lists of them: how each is read, and how it is printed. */
#include "load_priv.h"

#include <errno.h>

enum { TEXT_MOST = 1024, WORDS_MOST = 16 };

static void read_text(struct load *l, const struct field *f, const struct node *n, void *to)
{
    if (!want_scalar(l, f->key, n, "a text"))
        return;
    if (n->text.n > TEXT_MOST)
        problem(l, n, "%s: longer than %d octets", f->key, TEXT_MOST);
    else
        *(const char **)to = keep(l, n->text);
}

static void print_text(struct printer *p, const struct field *f, const void *from)
{
    (void)f;
    put_text(p, *(const char *const *)from);
}
const struct value_type type_text = { "text", read_text, print_text };

static void read_host(struct load *l, const struct field *f, const struct node *n, void *to)
{
    char name[LIMIT_DOMAIN + 1];
    struct ip ip;

    if (!want_scalar(l, f->key, n, "a host name"))
        return;
    if (ip_parse(n->text, &ip) == 0)
        problem(l, n, "%s: %s is an address, expected a name such as %s", f->key, shown(l, n), f->example);
    else if (domain_parse(n->text, name) < 0)
        problem(l, n, "%s: %s is no valid name, expected one such as %s", f->key, shown(l, n), f->example);
    else
        *(const char **)to = keep(l, slice_str(name));
}
const struct value_type type_host = { "name", read_host, print_text };

static void read_path(struct load *l, const struct field *f, const struct node *n, void *to)
{
    if (!want_scalar(l, f->key, n, "a path"))
        return;
    if (n->text.n == 0 || n->text.n > TEXT_MOST)
        problem(l, n, "%s: a path of 1 to %d octets is needed", f->key, TEXT_MOST);
    else
        *(const char **)to = keep_path(l, n->text);
}
const struct value_type type_path = { "path", read_path, print_text };
const struct value_type type_later_path = { "path", NULL, NULL };

static void read_system_user(struct load *l, const struct field *f, const struct node *n, void *to)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";

    if (!want_scalar(l, f->key, n, "the name of a system user"))
        return;
    if (n->text.n == 0 || n->text.n > 32 || strspn(n->text.p, allowed) != n->text.n || n->text.p[0] == '-')
        problem(l, n, "%s: %s is no name of a system user", f->key, shown(l, n));
    else if (slice_is(n->text, "root"))
        problem(l, n, "%s: the server does not stay root; make a user of its own for it", f->key);
    else
        *(const char **)to = keep(l, n->text);
    l->c->run_as_at = n->at;
}
const struct value_type type_system_user = { "system user", read_system_user, print_text };

static void read_delimiters(struct load *l, const struct field *f, const struct node *n, void *to)
{
    static const char allowed[] = "+-=_.#~/";

    if (!want_scalar(l, f->key, n, "delimiter characters"))
        return;
    if (n->text.n > 4 || strspn(n->text.p, allowed) != n->text.n)
        problem(l, n, "%s: %s is not up to four of the characters %s", f->key, shown(l, n), allowed);
    else
        *(const char **)to = keep(l, n->text);
}
const struct value_type type_delimiters = { "characters", read_delimiters, print_text };

static void read_bool(struct load *l, const struct field *f, const struct node *n, void *to)
{
    static const struct word words[] = { { "true", true },   { "yes", true }, { "on", true },
                                         { "false", false }, { "no", false }, { "off", false } };

    if (!want_scalar(l, f->key, n, "true or false"))
        return;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (slice_iis(n->text, words[i].word)) {
            *(bool *)to = words[i].value != 0;
            return;
        }
    problem(l, n, "%s: %s is neither true nor false", f->key, shown(l, n));
}

static void print_bool(struct printer *p, const struct field *f, const void *from)
{
    (void)f;
    put(p, "%s", *(const bool *)from ? "true" : "false");
}
const struct value_type type_bool = { "true or false", read_bool, print_bool };

/* The least and most as one would write them: sizes and durations with their units. */
static void tell_range(struct load *l, const struct field *f, const struct node *n,
                       int (*format)(uint64_t value, struct buf *out))
{
    struct buf least, most;

    buf_init(&least, 64);
    buf_init(&most, 64);
    if (format(f->min, &least) == 0 && format(f->max, &most) == 0)
        problem(l, n, "%s: %s is out of range, expected %s to %s", f->key, shown(l, n), buf_cstr(&least),
                buf_cstr(&most));
    buf_clear(&least);
    buf_clear(&most);
}

static bool in_range(const struct field *f, uint64_t value)
{
    return value >= f->min && (f->max == 0 || value <= f->max);
}

static int format_count(uint64_t value, struct buf *out)
{
    return buf_addf(out, "%llu", (unsigned long long)value);
}

static int format_duration(uint64_t value, struct buf *out)
{
    return duration_format((int64_t)value, out);
}

/* False after a problem. */
static bool take_count(struct load *l, const struct field *f, const struct node *n, uint64_t *ret)
{
    uint64_t value;
    int code;

    if (!want_scalar(l, f->key, n, "a number"))
        return false;
    code = slice_u64(n->text, UINT32_MAX, &value);
    if (code == -EINVAL)
        problem(l, n, "%s: %s is no whole number", f->key, shown(l, n));
    else if (code < 0 || !in_range(f, value))
        tell_range(l, f, n, format_count);
    else
        *ret = value;
    return code == 0 && in_range(f, value);
}

static void read_count(struct load *l, const struct field *f, const struct node *n, void *to)
{
    uint64_t value;

    if (take_count(l, f, n, &value))
        *(unsigned *)to = (unsigned)value;
}

static void print_count(struct printer *p, const struct field *f, const void *from)
{
    (void)f;
    put(p, "%u", *(const unsigned *)from);
}
const struct value_type type_count = { "number", read_count, print_count };

static void read_port(struct load *l, const struct field *f, const struct node *n, void *to)
{
    uint64_t value;

    if (take_count(l, f, n, &value))
        *(uint16_t *)to = (uint16_t)value;
}

static void print_port(struct printer *p, const struct field *f, const void *from)
{
    (void)f;
    put(p, "%u", (unsigned)*(const uint16_t *)from);
}
const struct value_type type_port = { "port", read_port, print_port };

static void read_size(struct load *l, const struct field *f, const struct node *n, void *to)
{
    uint64_t value;
    int code;

    if (!want_scalar(l, f->key, n, "a size such as 25 MiB"))
        return;
    code = size_parse(n->text, &value);
    if (code == -EINVAL)
        problem(l, n, "%s: %s is no size, expected one such as \"25 MiB\", \"25M\" or 26214400", f->key, shown(l, n));
    else if (code < 0 || !in_range(f, value))
        tell_range(l, f, n, size_format);
    else
        *(uint64_t *)to = value;
}

static void print_size(struct printer *p, const struct field *f, const void *from)
{
    (void)f;
    p->full |= size_format(*(const uint64_t *)from, p->out) < 0;
}
const struct value_type type_size = { "size", read_size, print_size };

/* False after a problem. */
static bool take_duration(struct load *l, const struct field *f, const struct node *n, int64_t *ret)
{
    int64_t value = 0;
    int code;

    if (!want_scalar(l, f->key, n, "a duration such as 5m"))
        return false;
    code = duration_parse(n->text, &value);
    if (code == -EINVAL)
        problem(l, n, "%s: %s is no duration, expected one such as 90s, 5m, 1h30m or 5d", f->key, shown(l, n));
    else if (code < 0 || !in_range(f, (uint64_t)value))
        tell_range(l, f, n, format_duration);
    else
        *ret = value;
    return code == 0 && in_range(f, (uint64_t)value);
}

static void read_duration(struct load *l, const struct field *f, const struct node *n, void *to)
{
    int64_t value;

    if (take_duration(l, f, n, &value))
        *(int64_t *)to = value;
}

static void print_duration(struct printer *p, const struct field *f, const void *from)
{
    (void)f;
    p->full |= duration_format(*(const int64_t *)from, p->out) < 0;
}
const struct value_type type_duration = { "duration", read_duration, print_duration };

/* All durations of the list; retry_count stands behind retry in struct conf_queue. */
static void read_retry(struct load *l, const struct field *f, const struct node *n, void *to)
{
    enum { RETRY_MOST = 100 };
    struct conf_queue *queue = (struct conf_queue *)(void *)((char *)to - offsetof(struct conf_queue, retry));
    size_t count = node_count(n);

    if (count == 0 || count > RETRY_MOST) {
        problem(l, n, "%s: expected 1 to %d durations", f->key, RETRY_MOST);
        return;
    }
    queue->retry = arena_zero(&l->c->arena, count * sizeof *queue->retry);
    for (const struct node *it = node_first(n); it != NULL; it = node_after(n, it))
        if (take_duration(l, f, it, &queue->retry[queue->retry_count]))
            queue->retry_count++;
}

static void print_retry(struct printer *p, const struct field *f, const void *from)
{
    const struct conf_queue *queue =
        (const struct conf_queue *)(const void *)((const char *)from - offsetof(struct conf_queue, retry));

    (void)f;
    put(p, "[");
    for (size_t i = 0; i < queue->retry_count; i++) {
        put(p, "%s", i > 0 ? ", " : "");
        p->full |= duration_format(queue->retry[i], p->out) < 0;
    }
    put(p, "]");
}
const struct value_type type_retry = { "list of durations", read_retry, print_retry };

/* False after a problem that names the nearest word. */
static bool take_word(struct load *l, const char *key, const struct word *words, const struct node *n, int *ret)
{
    const char *names[WORDS_MOST];
    struct buf all;
    size_t count = 0;

    for (const struct word *w = words; w->word != NULL; w++) {
        if (n->kind == NODE_SCALAR && slice_iis(n->text, w->word)) {
            *ret = w->value;
            return true;
        }
        names[count++] = w->word;
    }
    names[count] = NULL;
    buf_init(&all, 256);
    for (size_t i = 0; i < count; i++)
        (void)!buf_addf(&all, "%s%s", i == 0 ? "" : i == count - 1 ? " or " : ", ", names[i]);
    problem(l, n, "%s: expected %s, found %s%s", key, buf_cstr(&all), shown(l, n),
            n->kind == NODE_SCALAR ? hint_nearest(l, n->text, names) : "");
    buf_clear(&all);
    return false;
}

static void read_word(struct load *l, const struct field *f, const struct node *n, void *to)
{
    int value;

    if (take_word(l, f->key, f->words, n, &value))
        memcpy(to, &value, sizeof value); /* an enum of the field's own kind */
}

static void print_word(struct printer *p, const struct field *f, const void *from)
{
    int value;

    memcpy(&value, from, sizeof value);
    for (const struct word *w = f->words; w->word != NULL; w++)
        if (w->value == value) {
            put(p, "%s", w->word);
            return;
        }
}
const struct value_type type_word = { "word", read_word, print_word };

static void read_services(struct load *l, const struct field *f, const struct node *n, void *to)
{
    unsigned bits = 0;
    int value;

    for (const struct node *it = node_first(n); it != NULL; it = node_after(n, it))
        if (take_word(l, f->key, f->words, it, &value))
            bits |= (unsigned)value;
    *(unsigned *)to = bits;
}

static void print_services(struct printer *p, const struct field *f, const void *from)
{
    unsigned bits = *(const unsigned *)from;
    const char *between = "";

    put(p, "[");
    for (const struct word *w = f->words; w->word != NULL; w++)
        if ((bits & (unsigned)w->value) != 0) {
            put(p, "%s%s", between, w->word);
            between = ", ";
        }
    put(p, "]");
}
const struct value_type type_services = { "list of words", read_services, print_services };

/* The three flags of config.auth. */
static void read_mechanisms(struct load *l, const struct field *f, const struct node *n, void *to)
{
    unsigned bits = 0;

    (void)to;
    read_services(l, f, n, &bits);
    l->c->auth.plain = (bits & 1) != 0;
    l->c->auth.login = (bits & 2) != 0;
    l->c->auth.scram = (bits & 4) != 0;
    if (node_count(n) == 0)
        problem(l, n, "%s: at least one mechanism is needed", f->key);
}

static void print_mechanisms(struct printer *p, const struct field *f, const void *from)
{
    const struct config *c = from;
    unsigned bits = (c->auth.plain ? 1U : 0U) | (c->auth.login ? 2U : 0U) | (c->auth.scram ? 4U : 0U);

    print_services(p, f, &bits);
}
const struct value_type type_mechanisms = { "list of words", read_mechanisms, print_mechanisms };

static void print_strings(struct printer *p, const struct field *f, const void *from)
{
    const struct conf_strings *strings = from;

    (void)f;
    put(p, "[");
    for (size_t i = 0; i < strings->count; i++) {
        put(p, "%s", i > 0 ? ", " : "");
        put_text(p, strings->items[i]);
    }
    put(p, "]");
}

static void strings_start(struct load *l, struct conf_strings *strings, size_t count)
{
    *strings = (struct conf_strings){ arena_zero(&l->c->arena, (count + 1) * sizeof *strings->items), 0 };
}

static void read_domains(struct load *l, const struct field *f, const struct node *n, void *to)
{
    struct conf_strings *strings = to;
    char name[LIMIT_DOMAIN + 1];

    strings_start(l, strings, node_count(n));
    for (const struct node *it = node_first(n); it != NULL; it = node_after(n, it)) {
        if (!want_scalar(l, f->key, it, "a domain"))
            continue;
        if (strchr(it->text.p, '*') != NULL)
            problem(l, it, "%s: %s would open the relay to the world; name each domain", f->key, shown(l, it));
        else if (domain_parse(it->text, name) < 0)
            problem(l, it, "%s: %s is no valid domain", f->key, shown(l, it));
        else if (domain_is_too_wide(name))
            problem(l, it, "%s: %s is a top-level domain, which nobody relays for", f->key, shown(l, it));
        else
            strings->items[strings->count++] = keep(l, slice_str(name));
    }
}
const struct value_type type_domains = { "list of domains", read_domains, print_strings };

/* "sales@example.org", "@example.org", "*". */
static void read_senders(struct load *l, const struct field *f, const struct node *n, void *to)
{
    struct conf_strings *strings = to;
    char name[LIMIT_DOMAIN + 1], key[LIMIT_LOCAL_PART + LIMIT_DOMAIN + 3];
    struct address address;

    strings_start(l, strings, node_count(n));
    for (const struct node *it = node_first(n); it != NULL; it = node_after(n, it)) {
        if (!want_scalar(l, f->key, it, "an address"))
            continue;
        key[0] = '\0';
        if (slice_is(it->text, "*")) {
            key[0] = '*';
            key[1] = '\0';
        } else if (it->text.n > 1 && it->text.p[0] == '@' && domain_parse(slice_skip(it->text, 1), name) == 0) {
            key[0] = '@';
            memcpy(key + 1, name, strlen(name) + 1);
        } else if (address_parse(it->text, ADDRESS_UTF8, &address) == 0) {
            address_key(&address, key);
        }
        if (key[0] == '\0')
            problem(l, it, "%s: %s is none of an address, a domain such as @example.org, and \"*\"", f->key,
                    shown(l, it));
        else
            strings->items[strings->count++] = keep(l, slice_str(key));
    }
}
const struct value_type type_senders = { "list of addresses", read_senders, print_strings };

/* "host bits" behind the prefix are a slip that would trust the wrong range: the right one is told. */
static void tell_network(struct load *l, const char *key, const struct node *n, int code)
{
    struct slice rest = n->text, head;
    char text[IP_TEXT];
    uint64_t bits = 0;
    struct ip ip;

    if (code == -ERANGE && slice_cut(&rest, '/', &head) && ip_parse(head, &ip) == 0 &&
        slice_u64(rest, ip.family == 4 ? 32 : 128, &bits) == 0) {
        ip = ip_mask(&ip, (unsigned)bits, (unsigned)bits);
        ip_format(&ip, text);
        problem(l, n, "%s: %s has bits set behind its prefix (did you mean \"%s/%u\"?)", key, shown(l, n), text,
                (unsigned)bits);
        return;
    }
    problem(l, n, "%s: %s is no network, expected one such as 192.168.0.0/16, 2001:db8::/32 or 192.0.2.1", key,
            shown(l, n));
}

static void read_networks(struct load *l, const struct field *f, const struct node *n, void *to)
{
    struct conf_networks *networks = to;

    *networks = (struct conf_networks){ arena_zero(&l->c->arena, (node_count(n) + 1) * sizeof *networks->items), 0 };
    for (const struct node *it = node_first(n); it != NULL; it = node_after(n, it)) {
        int code;

        if (!want_scalar(l, f->key, it, "a network"))
            continue;
        code = network_parse(it->text, &networks->items[networks->count]);
        if (code < 0)
            tell_network(l, f->key, it, code);
        else
            networks->count++;
    }
}

static void print_networks(struct printer *p, const struct field *f, const void *from)
{
    const struct conf_networks *networks = from;
    char text[IP_TEXT];

    (void)f;
    put(p, "[");
    for (size_t i = 0; i < networks->count; i++) {
        ip_format(&networks->items[i].base, text);
        put(p, "%s\"%s/%u\"", i > 0 ? ", " : "", text, (unsigned)networks->items[i].bits);
    }
    put(p, "]");
}
const struct value_type type_networks = { "list of networks", read_networks, print_networks };

static void read_secret(struct load *l, const struct field *f, const struct node *n, void *to)
{
    const char *secret = secret_read(l, f->key, n);

    if (secret != NULL)
        *(const char **)to = secret;
}

static void print_secret(struct printer *p, const struct field *f, const void *from)
{
    (void)f;
    put(p, "%s", *(const char *const *)from != NULL ? "\"********\"" : "null");
}
const struct value_type type_secret = { "secret", read_secret, print_secret };
