/* queue.db read: every value is checked as if it came from the network (A60). */
#include "queue_priv.h"

#include "facteur/base/map.h"
#include "facteur/base/mem.h"

#include <errno.h>

void queue_recipient_clear(struct queue_recipient *r)
{
    mem_free(r->address);
    mem_free(r->mailbox);
    mem_free(r->domain);
    mem_free(r->orcpt);
    mem_free(r->last_reply);
}

void queue_message_free(struct queue_message **m)
{
    if (*m == NULL)
        return;
    for (uint32_t i = 0; i < (*m)->count; i++)
        queue_recipient_clear(&(*m)->recipients[i]);
    mem_free((*m)->recipients);
    mem_free((*m)->sender);
    mem_free((*m)->envid);
    mem_free((*m)->login);
    mem_free((*m)->client);
    mem_free((*m)->body);
    mem_free(*m);
    *m = NULL;
}

void queue_message_forget_body(struct queue_message *m)
{
    mem_free(m->body);
    m->body = NULL;
}

struct slice queue_message_body(const struct queue_message *m)
{
    return slice_make(m->body, m->body != NULL ? (size_t)m->size : 0);
}

static int bad_row(struct err *e, uint64_t id)
{
    return err_set(e, -EBADMSG, "the row of message %llu holds values that cannot be", (unsigned long long)id);
}

int queue_read_message(sqlite3_stmt *s, struct queue_message *m)
{
    int64_t id, flags, size, wire_size, trace_at, header_size, spooled;

    TRY(db_int(s, 0, 1, INT64_MAX, &id));
    m->id = (uint64_t)id;
    TRY(db_int(s, 1, INT64_MIN, INT64_MAX, &m->received_ms));
    TRY(db_text(s, 2, QUEUE_TEXT_MAX, &m->sender));
    TRY(db_text(s, 3, QUEUE_TEXT_MAX, &m->envid));
    TRY(db_text(s, 4, QUEUE_TEXT_MAX, &m->login));
    TRY(db_text(s, 5, QUEUE_TEXT_MAX, &m->client));
    TRY(db_int(s, 6, 0, INT32_MAX, &flags));
    TRY(db_int(s, 7, 0, INT64_MAX, &size));
    TRY(db_int(s, 8, 0, INT64_MAX, &wire_size));
    TRY(db_int(s, 9, 0, UINT32_MAX, &trace_at));
    TRY(db_int(s, 10, 0, UINT32_MAX, &header_size));
    TRY(db_int(s, 11, 0, 1, &spooled));
    if (m->sender == NULL || trace_at > size || header_size > size || (spooled == 0 && size > QUEUE_BODY_MAX))
        return -EBADMSG;
    m->flags = (unsigned)flags;
    m->size = (uint64_t)size;
    m->wire_size = (uint64_t)wire_size;
    m->trace_at = (uint32_t)trace_at;
    m->header_size = (uint32_t)header_size;
    m->spooled = spooled != 0;
    return 0;
}

int queue_read_recipient(sqlite3_stmt *s, struct queue_recipient *r)
{
    const unsigned notify_all = NOTIFY_NEVER | NOTIFY_SUCCESS | NOTIFY_FAILURE | NOTIFY_DELAY;
    int64_t seq, route, notify, attempts;

    TRY(db_int(s, 0, 0, UINT32_MAX, &seq));
    TRY(db_int(s, 1, QUEUE_LOCAL, QUEUE_REMOTE, &route));
    TRY(db_text(s, 2, QUEUE_TEXT_MAX, &r->address));
    TRY(db_text(s, 3, QUEUE_TEXT_MAX, &r->mailbox));
    TRY(db_text(s, 4, QUEUE_TEXT_MAX, &r->domain));
    TRY(db_text(s, 5, QUEUE_TEXT_MAX, &r->orcpt));
    TRY(db_int(s, 6, 0, notify_all | QUEUE_NOTIFY_WARNED, &notify));
    TRY(db_int(s, 7, 0, INT64_MAX, &r->due_ms));
    TRY(db_int(s, 8, 0, UINT32_MAX, &attempts));
    TRY(db_text(s, 9, QUEUE_TEXT_MAX, &r->last_reply));
    if (r->address == NULL || (route == QUEUE_LOCAL && r->mailbox == NULL) ||
        (route == QUEUE_REMOTE && r->domain == NULL))
        return -EBADMSG;
    r->seq = (uint32_t)seq;
    r->route = (enum queue_route)route;
    r->notify = (unsigned)notify & notify_all;
    r->warned = (notify & QUEUE_NOTIFY_WARNED) != 0;
    r->attempts = (uint32_t)attempts;
    return 0;
}

/* Steps a statement of recipients and puts them into m. */
static int read_recipients(struct queue *q, sqlite3_stmt *s, struct queue_message *m, struct err *e)
{
    uint32_t cap = 0;
    int r;

    while ((r = db_row(q->db, s, e)) == 1) {
        if (m->count == cap) {
            cap = cap == 0 ? 1 : cap * 2;
            m->recipients = mem_resize(m->recipients, cap * sizeof *m->recipients);
        }
        m->recipients[m->count] = (struct queue_recipient){ 0 };
        r = m->count == QUEUE_RECIPIENTS_MAX ? -EBADMSG : queue_read_recipient(s, &m->recipients[m->count]);
        if (r == 0) {
            m->count++;
            continue;
        }
        if (m->count < cap)
            queue_recipient_clear(&m->recipients[m->count]);
        (void)sqlite3_reset(s);
        return bad_row(e, m->id);
    }
    return r;
}

int queue_read_body(struct queue *q, struct queue_message *m, struct err *e)
{
    sqlite3_stmt *s = q->stmt[Q_BODY];
    int r;

    (void)sqlite3_bind_int64(s, 1, (int64_t)m->id);
    r = db_row(q->db, s, e);
    if (r == 1) {
        size_t n = (size_t)sqlite3_column_bytes(s, 0);
        const void *p = sqlite3_column_blob(s, 0);

        if (sqlite3_column_type(s, 0) == SQLITE_BLOB && n == m->size)
            m->body = mem_dup(n > 0 ? p : "", n);
        (void)sqlite3_reset(s);
        r = m->body != NULL ? 0 : bad_row(e, m->id);
    }
    return r;
}

/* The message of row `s` (just stepped) with the recipients that `recipients` (bound) gives. */
static int take_row(struct queue *q, sqlite3_stmt *s, sqlite3_stmt *recipients, struct queue_message **ret,
                    struct err *e)
{
    struct queue_message *m = mem_zero(sizeof *m);
    int r = queue_read_message(s, m);

    if (r < 0)
        r = bad_row(e, (uint64_t)sqlite3_column_int64(s, 0));
    else
        r = read_recipients(q, recipients, m, e);
    if (r < 0) {
        queue_message_free(&m);
        return r;
    }
    *ret = m;
    return 0;
}

/* A message by its id. -ENOENT. */
static int take_id(struct queue *q, uint64_t id, sqlite3_stmt *recipients, struct queue_message **ret, struct err *e)
{
    sqlite3_stmt *s = q->stmt[Q_MESSAGE];
    int r;

    (void)sqlite3_bind_int64(s, 1, (int64_t)id);
    (void)sqlite3_bind_int64(recipients, 1, (int64_t)id);
    r = db_row(q->db, s, e);
    if (r == 0)
        return err_set(e, -ENOENT, "no such message in the queue");
    if (r == 1) {
        r = take_row(q, s, recipients, ret, e);
        (void)sqlite3_reset(s);
    }
    return r;
}

int queue_get(struct queue *q, uint64_t id, bool with_body, struct queue_message **ret, struct err *e)
{
    struct queue_message *m = NULL;
    int r = id <= INT64_MAX ? take_id(q, id, q->stmt[Q_RECIPIENTS], &m, e) : err_set(e, -ENOENT, "no such message");

    if (m != NULL && with_body && !m->spooled)
        r = queue_read_body(q, m, e);
    if (r < 0) {
        queue_message_free(&m);
        return r;
    }
    *ret = m;
    return 0;
}

/* Ids in the order of their finding, each once. */
struct found {
    struct map seen;
    uint64_t *ids;
    size_t count, max;
    int64_t next_due;
};

/* False when it is one too many. */
static bool found_add(struct found *f, uint64_t id)
{
    struct slice key = { (const char *)&id, sizeof id };

    if (map_get(&f->seen, key) != NULL)
        return true;
    if (f->count == f->max)
        return false;
    (void)map_put(&f->seen, key, f);
    f->ids[f->count++] = id;
    return true;
}

/* Rows that a process before us added for delivery at once and did not finish. */
static int find_left_over(struct queue *q, struct found *f, int64_t due_ms, struct err *e)
{
    sqlite3_stmt *s = q->stmt[Q_LEFT_OVER];
    uint64_t first = 0;
    int r;

    if (q->left_from > q->found_max)
        return 0;
    (void)sqlite3_bind_int64(s, 1, (int64_t)q->left_from);
    (void)sqlite3_bind_int64(s, 2, (int64_t)q->found_max);
    while ((r = db_row(q->db, s, e)) == 1) {
        uint64_t id = (uint64_t)sqlite3_column_int64(s, 0);

        if (first == 0)
            first = id;
        if (!found_add(f, id)) {
            f->next_due = due_ms;
            (void)sqlite3_reset(s);
            break;
        }
    }
    if (r < 0)
        return r;
    q->left_from = first != 0 ? first : q->found_max + 1; /* none are made any more: they only become fewer */
    return 0;
}

static int find_due(struct queue *q, struct found *f, int64_t due_ms, struct err *e)
{
    sqlite3_stmt *s = q->stmt[Q_DUE_NOW];
    int r;

    (void)sqlite3_bind_int64(s, 1, due_ms);
    while ((r = db_row(q->db, s, e)) == 1) {
        if (!found_add(f, (uint64_t)sqlite3_column_int64(s, 0))) {
            int64_t due = sqlite3_column_int64(s, 1);

            f->next_due = due < f->next_due ? due : f->next_due;
            (void)sqlite3_reset(s);
            return 0;
        }
    }
    if (r < 0 || f->next_due <= due_ms)
        return r;
    s = q->stmt[Q_NEXT_DUE];
    (void)sqlite3_bind_int64(s, 1, due_ms);
    r = db_row(q->db, s, e);
    if (r == 1) {
        f->next_due = sqlite3_column_int64(s, 0);
        (void)sqlite3_reset(s);
    }
    return r < 0 ? r : 0;
}

static void free_all(struct queue_message **all, size_t count)
{
    for (size_t i = 0; i < count; i++)
        queue_message_free(&all[i]);
    mem_free(all);
}

int queue_load(struct queue *q, int64_t due_ms, size_t max, struct queue_message ***ret, size_t *ret_count,
               int64_t *ret_next_due, struct err *e)
{
    struct found f = { .max = max, .ids = mem_array(max, sizeof *f.ids), .next_due = INT64_MAX };
    struct queue_message **all = mem_array(max, sizeof(struct queue_message *));
    size_t n = 0;
    int r = find_left_over(q, &f, due_ms, e);

    if (r == 0)
        r = find_due(q, &f, due_ms, e);
    for (size_t i = 0; r == 0 && i < f.count; i++) {
        sqlite3_stmt *recipients = q->stmt[Q_RECIPIENTS_DUE];

        (void)sqlite3_bind_int64(recipients, 2, f.ids[i] <= q->found_max ? 0 : 1);
        (void)sqlite3_bind_int64(recipients, 3, due_ms);
        r = take_id(q, f.ids[i], recipients, &all[n], e);
        if (r == 0)
            n++;
        if (r == -EBADMSG || r == -ENOENT) /* one bad row does not hold up the others: e names it */
            r = 0;
    }
    map_clear(&f.seen);
    mem_free(f.ids);
    if (r < 0) {
        free_all(all, n);
        return r;
    }
    *ret = all;
    *ret_count = n;
    *ret_next_due = f.next_due;
    return 0;
}

int queue_list(struct queue *q, uint64_t after, size_t max, struct queue_message ***ret, size_t *ret_count,
               struct queue_gaps *gaps, struct err *e)
{
    struct queue_gaps g = { .last = after };
    struct queue_message **all = mem_array(max, sizeof(struct queue_message *));
    sqlite3_stmt *s = q->stmt[Q_LIST];
    size_t n = 0;
    int r;

    (void)sqlite3_bind_int64(s, 1, after <= INT64_MAX ? (int64_t)after : INT64_MAX);
    (void)sqlite3_bind_int64(s, 2, max <= INT32_MAX ? (int64_t)max : INT32_MAX);
    while ((r = db_row(q->db, s, e)) == 1) {
        g.last = (uint64_t)sqlite3_column_int64(s, 0);
        g.rows++;
        (void)sqlite3_bind_int64(q->stmt[Q_RECIPIENTS], 1, (int64_t)g.last);
        r = take_row(q, s, q->stmt[Q_RECIPIENTS], &all[n], e);
        if (r == 0)
            n++;
        else
            g.unread++;
        if (r < 0 && r != -EBADMSG) {
            (void)sqlite3_reset(s);
            break;
        }
    }
    g.cut = r == -EBADMSG;
    if (r < 0 && (!g.cut || gaps == NULL)) {
        free_all(all, n);
        return r;
    }
    if (gaps != NULL)
        *gaps = g;
    *ret = all;
    *ret_count = n;
    return 0;
}

int queue_count(struct queue *q, struct queue_counts *ret, struct err *e)
{
    struct queue_counts c;
    sqlite3_stmt *s = q->stmt[Q_COUNT_MESSAGES];

    TRY(db_row(q->db, s, e));
    c.messages = (uint64_t)sqlite3_column_int64(s, 0);
    c.octets = (uint64_t)sqlite3_column_int64(s, 1);
    (void)sqlite3_reset(s);
    s = q->stmt[Q_COUNT_RECIPIENTS];
    TRY(db_row(q->db, s, e));
    c.recipients = (uint64_t)sqlite3_column_int64(s, 0);
    (void)sqlite3_reset(s);
    *ret = c;
    return 0;
}
