/* Directory against rows.
 *
 * Names are sorted by the UID that each carries, and walked beside the rows. A row whose file has not got its UID into its
 * name yet (index_names.c) is looked up by its name. What no row knows has come, and a row without a file may have
 * gone: of that index_scan.c makes sure. */
#include "index_priv.h"

#include "facteur/base/mem.h"

#include <stdlib.h>

enum { MATCH_ROWS = 256 };

static int by_uid(const void *a, const void *b)
{
    const struct scan_item *x = a, *y = b;

    if (x->uid != y->uid)
        return x->uid < y->uid ? -1 : 1;
    return strcmp(x->name, y->name);
}

void index_match_start(struct index_scan *s)
{
    if (s->count > 0)
        qsort(s->items, s->count, sizeof *s->items, by_uid);
}

/* The file has another name than the row says: where its letters differ from those that it had, they are the flags
 * now. (What the row says beside, and its name did not yet, stays.) */
static int follow(struct index *x, struct folder *f, struct row *row, const struct scan_item *item, struct err *e)
{
    struct mailbox_message was = row->message, before = was, now = was;
    struct file_name n;

    file_name_parse(slice_str(row->name), &n);
    TRY(index_letters(x, f, n.info, &before, e));
    file_name_parse(slice_str(item->name), &n);
    TRY(index_letters(x, f, n.info, &now, e));
    row->message.flags = (uint8_t)(was.flags ^ ((before.flags ^ now.flags) & (was.flags ^ now.flags)));
    row->message.keywords = was.keywords ^ ((before.keywords ^ now.keywords) & (was.keywords ^ now.keywords));
    row->place = item->place;
    slice_clip(slice_str(item->name), row->name, sizeof row->name);
    index_name_due(x, f, was.uid);
    if (row->message.flags == was.flags && row->message.keywords == was.keywords)
        return 0;
    row->message.modseq = index_next_modseq(x, f);
    index_changed(f, &row->message);
    return 0;
}

/* The first item that does not come before (uid, name). Rows come in the order of their UIDs, and most names have them. */
static size_t first_from(struct index_scan *s, uint32_t uid, const char *name)
{
    struct scan_item key = { .uid = uid, .name = name };
    size_t low = 0, high = s->count;

    while (s->at < s->count && s->items[s->at].uid < s->at_uid)
        s->at++;
    if (uid == s->at_uid)
        low = s->at;
    if (low < high && by_uid(&s->items[low], &key) >= 0)
        return low;
    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (by_uid(&s->items[middle], &key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The item that has the row's name, whose UID is `uid`; NULL: none. */
static struct scan_item *find_exact(struct index_scan *s, const struct row *row, uint32_t uid)
{
    for (size_t i = first_from(s, uid, row->name); i < s->count; i++) {
        if (!slice_is(slice_str(s->items[i].name), row->name))
            break;
        if (s->items[i].place == row->place)
            return &s->items[i];
    }
    return NULL;
}

/* The same for a name that the row's file has got since, by us or by another program. */
static struct scan_item *find_renamed(const struct folder *f, struct index_scan *s, const struct row *row, uint32_t uid)
{
    struct file_name n, other;
    struct slice rest, unique;
    char start[MAILDIR_NAME];

    file_name_parse(slice_str(row->name), &n);
    rest = n.base;
    (void)slice_cut(&rest, ',', &unique);
    slice_clip(unique, start, sizeof start);
    for (size_t i = first_from(s, uid, start); i < s->count && s->items[i].uid == uid; i++) {
        if (strncmp(s->items[i].name, start, strlen(start)) != 0)
            break;
        file_name_parse(slice_str(s->items[i].name), &other);
        if (!s->items[i].known && file_name_same(n.base, other.base) &&
            index_file_there(f, s->items[i].place, s->items[i].name))
            return &s->items[i];
    }
    return NULL;
}

/* The row's file among the items; sets *changed when the row must follow it. NULL: it is not among them. */
static struct scan_item *choose(const struct folder *f, struct index_scan *s, const struct row *row, bool *changed)
{
    struct file_name n;
    struct scan_item *item;

    *changed = false;
    s->at_uid = row->message.uid;
    file_name_parse(slice_str(row->name), &n);
    item = find_exact(s, row, n.uid);
    if (item != NULL && n.uid == row->message.uid)
        return item;
    if (index_file_there(f, row->place, row->name))
        return item;
    *changed = true;
    item = find_renamed(f, s, row, row->message.uid);
    if (item == NULL && n.uid != row->message.uid)
        item = find_renamed(f, s, row, n.uid);
    if (item == NULL && s->places[row->place] && ranges_add(&s->missing, row->message.uid, row->message.uid) < 0)
        s->unsure = true;
    return item;
}

static int match_row(struct index *x, struct folder *f, struct row *row, bool take_new, bool *begun, struct err *e)
{
    struct index_scan *s = f->scan;
    struct scan_item *item;
    bool changed;

    s->rows++;
    item = choose(f, s, row, &changed);
    if (item != NULL)
        item->known = true;
    if (item != NULL && changed)
        TRY(follow(x, f, row, item, e));
    if (take_new && row->place == PLACE_NEW)
        index_name_taken(x, f, row->message.uid);
    s->in_new += row->place == PLACE_NEW;
    if (item == NULL || !changed)
        return 0;
    if (!*begun)
        TRY(index_begin(x, e));
    *begun = true;
    return index_row_flags(x, f, row, e);
}

/* What is no row's file has come. */
static void match_end(struct index_scan *s)
{
    for (size_t i = 0; i < s->count; i++)
        if (!s->items[i].known)
            index_scan_add(&s->newcomers, &s->new_count, &s->new_cap, &s->items[i]);
    s->phase = SCAN_GONE;
}

static int match_rows(struct index *x, struct folder *f, bool take_new, struct err *e)
{
    struct index_scan *s = f->scan;
    struct row *rows = mem_array(MATCH_ROWS, sizeof *rows);
    bool begun = false;
    int n = index_rows(x, f, s->next, UID_MAX, rows, MATCH_ROWS, e);
    int r = n < 0 ? n : 0;

    for (int i = 0; i < n && r == 0; i++) {
        s->next = rows[i].message.uid + 1;
        r = match_row(x, f, &rows[i], take_new, &begun, e);
    }
    mem_free(rows);
    if (begun && r == 0)
        r = index_save(x, f, e);
    else if (begun)
        index_rollback(x);
    if (begun && r < 0)
        index_unsay(f);
    if (r < 0 || n == MATCH_ROWS)
        return r;
    f->in_new = s->in_new;
    match_end(s);
    return 0;
}

int index_match_some(struct index *x, struct folder *f, bool take_new, struct err *e)
{
    if (f->scan->places[PLACE_CUR])
        return match_rows(x, f, take_new, e);
    match_end(f->scan); /* only new/ was read, and no row's file is there */
    return DONE;
}
