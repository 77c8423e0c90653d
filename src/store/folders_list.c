/* What LIST and STATUS tell. */
#include "folders_priv.h"

#include "facteur/base/arena.h"
#include "facteur/base/mem.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

/* A list in the making: all in one arena, found by name. */
struct list {
    struct arena arena;
    struct map by_name; /* → struct index_entry */
    struct index_entry **sorted;
};

static void list_clear(struct list *l)
{
    map_clear(&l->by_name);
    mem_free(l->sorted);
    arena_clear(&l->arena);
}

static struct index_entry *entry_of(struct list *l, struct slice name)
{
    struct index_entry *entry = map_get(&l->by_name, name);

    if (entry != NULL)
        return entry;
    entry = arena_zero(&l->arena, sizeof *entry);
    entry->name = (struct slice){ arena_str(&l->arena, name), name.n };
    (void)map_put(&l->by_name, entry->name, entry);
    return entry;
}

/* RFC 3501 6.3.9: the levels above a subscribed name are listed, folders or not. */
static void add_subscribed(struct list *l, struct slice name)
{
    entry_of(l, name)->subscribed = true;
    for (size_t i = name.n; i-- > 0;)
        if (name.p[i] == '/')
            (void)entry_of(l, slice_head(name, i));
}

/* The levels above a folder have children, and are listed even if they are no folders themselves. */
static void add_parents(struct list *l, struct slice name)
{
    for (size_t i = name.n; i-- > 0;) {
        struct index_entry *parent;

        if (name.p[i] != '/')
            continue;
        parent = entry_of(l, slice_head(name, i));
        if (parent->has_children)
            return; /* and so have those above it */
        parent->has_children = true;
    }
}

static void add_folder(struct list *l, const struct folder *row)
{
    struct index_entry *entry = entry_of(l, slice_str(row->name));

    entry->exists = true;
    entry->special = row->special;
    entry->folder = row->id;
    memcpy(entry->mailbox_id, row->mailbox_id, sizeof entry->mailbox_id);
    add_parents(l, entry->name);
}

/* "/" before everything else, so that what is below a folder follows it at once; INBOX first. */
static int by_name(const void *a, const void *b)
{
    struct slice x = (*(struct index_entry *const *)a)->name, y = (*(struct index_entry *const *)b)->name;
    bool x_inbox = slice_is(slice_head(x, x.n > 5 && x.p[5] == '/' ? 5 : x.n), "INBOX");
    bool y_inbox = slice_is(slice_head(y, y.n > 5 && y.p[5] == '/' ? 5 : y.n), "INBOX");

    if (x_inbox != y_inbox)
        return x_inbox ? -1 : 1;
    for (size_t i = 0; i < x.n && i < y.n; i++) {
        int cx = x.p[i] == '/' ? 0 : (unsigned char)x.p[i], cy = y.p[i] == '/' ? 0 : (unsigned char)y.p[i];

        if (cx != cy)
            return cx - cy;
    }
    return (x.n > y.n) - (x.n < y.n);
}

static void sort(struct list *l)
{
    size_t cursor = 0, n = 0;
    struct slice key;
    void *value;

    l->sorted = mem_array(l->by_name.count, sizeof *l->sorted);
    while (map_each(&l->by_name, &cursor, &key, &value))
        l->sorted[n++] = value;
    if (n > 0)
        qsort(l->sorted, n, sizeof *l->sorted, by_name);
}

static int make_list(struct index *x, struct list *l, struct err *e)
{
    struct subscriptions s;

    TRY(folders_scan(x, e));
    TRY(subscriptions_read(x->root, &s, e));
    LIST_EACH (it, &x->folders) {
        add_folder(l, LIST_ENTRY(it, struct folder, link));
    }
    for (size_t i = 0; i < s.count; i++) {
        if (s.items[i].name != NULL)
            add_subscribed(l, slice_str(s.items[i].name));
    }
    subscriptions_clear(&s);
    sort(l);
    return 0;
}

int index_list(struct index *x, void (*fn)(void *to, const struct index_entry *entry), void *to, struct err *e)
{
    struct list l = { 0 };
    int r = make_list(x, &l, e);

    if (r < 0 && index_recovered(x, r, e)) {
        list_clear(&l);
        l = (struct list){ 0 };
        r = make_list(x, &l, e);
    }
    for (size_t i = 0; r == 0 && i < l.by_name.count; i++)
        fn(to, l.sorted[i]);
    list_clear(&l);
    (void)folders_sweep(x);
    return r;
}

/* The numbers of a folder, good while nothing has changed in it. */
struct counted {
    struct index_status status;
    uint32_t first_recent;
};

static const char count_sql[] = "SELECT count(*), total(size), count(nullif(flags & ?3, 0)), "
                                "count(nullif(flags & ?4, 0)), total(iif(flags & ?4, size, 0)) "
                                "FROM message WHERE key BETWEEN ?1 AND ?2";
static const char recent_sql[] = "SELECT count(*) FROM message WHERE key BETWEEN ?1 AND ?2";

static uint64_t octets(double n)
{
    return n > 0 && n < 9e18 ? (uint64_t)n : 0;
}

static int count_messages(struct index *x, sqlite3_stmt *const *s, const struct folder *f, struct index_status *ret,
                          struct err *e)
{
    int r;

    (void)sqlite3_bind_int64(s[0], 1, INDEX_KEY(f->id, 0));
    (void)sqlite3_bind_int64(s[0], 2, INDEX_KEY(f->id, UINT32_MAX));
    (void)sqlite3_bind_int(s[0], 3, FLAG_SEEN);
    (void)sqlite3_bind_int(s[0], 4, FLAG_DELETED);
    r = db_row(x->db, s[0], e);
    if (r < 0)
        return r;
    ret->messages = (uint32_t)sqlite3_column_int64(s[0], 0);
    ret->size = octets(sqlite3_column_double(s[0], 1));
    ret->unseen = ret->messages - (uint32_t)sqlite3_column_int64(s[0], 2);
    ret->deleted = (uint32_t)sqlite3_column_int64(s[0], 3);
    ret->deleted_size = octets(sqlite3_column_double(s[0], 4));
    (void)sqlite3_bind_int64(s[1], 1, INDEX_KEY(f->id, f->first_recent));
    (void)sqlite3_bind_int64(s[1], 2, INDEX_KEY(f->id, UINT32_MAX));
    r = db_row(x->db, s[1], e);
    if (r < 0)
        return r;
    ret->recent = (uint32_t)sqlite3_column_int64(s[1], 0);
    return 0;
}

static int count_anew(struct index *x, const struct folder *f, struct index_status *ret, struct err *e)
{
    static const char *const sql[] = { count_sql, recent_sql };
    struct index_status counts = { 0 };
    sqlite3_stmt *s[2] = { NULL, NULL };
    int r = db_prepare(x->db, sql, s, 2, e);

    if (r == 0)
        r = count_messages(x, s, f, &counts, e);
    db_finalize(s, 2);
    if (r == 0)
        *ret = counts;
    return r;
}

/* What is kept of the folder, if it is still true. */
static struct counted *counted_of(struct index *x, const struct folder *f)
{
    struct folders *state = folders_state(x);
    struct slice key = { (const char *)&f->id, sizeof f->id };
    struct counted *c = map_get(&state->counted, key);

    if (c == NULL) {
        c = mem_zero(sizeof *c);
        (void)map_put(&state->counted, key, c);
    }
    return c;
}

static int status_once(struct index *x, uint32_t folder, struct index_status *ret, struct err *e)
{
    struct folder *f;
    struct counted *c;
    int r;

    TRY(index_folder_open(x, folder, &f, e));
    r = index_catch_up(x, f, false, e);
    if (r != DONE)
        return r;
    c = counted_of(x, f);
    if (c->status.uidnext != f->uidnext || c->status.modseq != f->modseq || c->first_recent != f->first_recent) {
        TRY(count_anew(x, f, &c->status, e));
        c->status.modseq = f->modseq;
        c->status.uidnext = f->uidnext;
        c->first_recent = f->first_recent;
    }
    c->status.uidvalidity = f->uidvalidity;
    memcpy(c->status.mailbox_id, f->mailbox_id, sizeof c->status.mailbox_id);
    *ret = c->status;
    return DONE;
}

int index_status(struct index *x, uint32_t folder, struct index_status *ret, struct err *e)
{
    int r = status_once(x, folder, ret, e);

    return r < 0 && index_recovered(x, r, e) ? status_once(x, folder, ret, e) : r;
}
