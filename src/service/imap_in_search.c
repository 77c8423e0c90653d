/* SEARCH, SORT and THREAD: a snapshot of the session's list is asked message by message in the user's lane, a slice at a
 * time; the answer is put together on the loop. */
#include "imap_in_priv.h"

#include "facteur/base/clock.h"
#include "facteur/base/mem.h"
#include "facteur/proto/imap_thread.h"
#include "search_program.h"

#include <errno.h>
#include <stdio.h>

enum {
    CHUNK = 512,                                           /* rows read ahead */
    ANSWER_MAX = STREAM_MAX_OUTPUT - 4 * STREAM_HIGH_WATER /* what can be sent at once */
};

struct search_job {
    struct account_job aj;
    struct arena arena;
    uint32_t folder;
    enum imap_verb verb;
    struct search_program program;
    struct mailbox_message *messages; /* the snapshot, ascending by UID */
    uint32_t *seqs;                   /* of SORT and THREAD without UID: their sequence numbers */
    size_t count, next;
    bool narrowed;
    /* rows of messages[row_from … row_to) */
    struct search_row *rows;
    size_t row_from, row_to;
    /* results */
    struct ranges found;
    struct imap_sort *sort;
    size_t sort_count;
    enum imap_thread thread;
    struct thread_message *threads; /* of the found ones */
    size_t thread_count;
    uint32_t read_from;
    bool searched, sorted;
    struct buf answer; /* SORT's or THREAD's */
};

/* --- in the job --- */

static size_t at_uid(const struct search_job *j, size_t from, size_t to, uint32_t uid)
{
    while (from < to) {
        size_t middle = from + (to - from) / 2;

        if (j->messages[middle].uid < uid)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

static int take_row(void *to, const struct index_row *row)
{
    struct search_job *j = to;
    size_t at = at_uid(j, j->row_from, j->row_to, row->uid);
    struct search_row *r = &j->rows[at - j->row_from];

    if (at == j->row_to || j->messages[at].uid != row->uid)
        return 0;
    r->sent_ms = row->prepared->sent_ms;
    r->saved_ms = row->saved_ms;
    memcpy(r->email_id, row->prepared->email_id, sizeof r->email_id);
    return 0;
}

/* The rows of the next CHUNK messages. */
static int read_rows(struct search_job *j, struct index *x)
{
    struct ranges uids = { 0 };
    uint32_t from = 0;
    int r;

    if (!j->program.reads_rows || j->next < j->row_to)
        return 0;
    if (j->rows == NULL)
        j->rows = arena_zero(&j->arena, CHUNK * sizeof *j->rows);
    j->row_from = j->next;
    j->row_to = j->count - j->next < CHUNK ? j->count : j->next + CHUNK;
    memset(j->rows, 0, CHUNK * sizeof *j->rows);
    r = ranges_add(&uids, j->messages[j->row_from].uid, j->messages[j->row_to - 1].uid);
    if (r == 0)
        do
            r = index_read(x, j->folder, &uids, &from, INDEX_SORT | INDEX_IDS | INDEX_SAVED, take_row, j, &j->aj.err);
        while (r == MORE);
    ranges_clear(&uids);
    return r;
}

static int search_slice(struct search_job *j, struct index *x)
{
    int64_t until = clock_mono_ms() + INDEX_SLICE_MS;

    if (!j->narrowed)
        TRY(search_narrow(&j->program, x, j->folder, &j->aj.err));
    j->narrowed = true;
    for (; j->next < j->count; j->next++) {
        const struct mailbox_message *m = &j->messages[j->next];
        int r;

        TRY(read_rows(j, x));
        r = search_matches(&j->program, x, j->folder, m, j->rows != NULL ? &j->rows[j->next - j->row_from] : NULL);
        if (r < 0)
            return r;
        if (r > 0)
            TRY(ranges_add(&j->found, m->uid, m->uid));
        if ((j->next & 15) == 15 && clock_mono_ms() > until) {
            j->next++;
            return MORE;
        }
    }
    return DONE;
}

static struct slice kept(struct search_job *j, struct slice text)
{
    char *copy;

    if (text.n == 0)
        return slice_make(NULL, 0);
    copy = arena_zero(&j->arena, text.n);
    memcpy(copy, text.p, text.n);
    return slice_make(copy, text.n);
}

static int take_keys(void *to, const struct index_row *row)
{
    struct search_job *j = to;
    const struct index_prepared *p = row->prepared;
    size_t at = at_uid(j, 0, j->count, row->uid);
    const struct mailbox_message *m = &j->messages[at];

    if (at == j->count || m->uid != row->uid)
        return 0;
    j->threads[j->thread_count++] = (struct thread_message){ .number = j->seqs != NULL ? j->seqs[at] : m->uid,
                                                             .reply = p->reply,
                                                             .internal_ms = m->internal_ms,
                                                             .sent_ms = p->sent_ms,
                                                             .size = m->size,
                                                             .subject = kept(j, p->subject),
                                                             .from = kept(j, p->from),
                                                             .to = kept(j, p->to),
                                                             .cc = kept(j, p->cc),
                                                             .display_from = kept(j, p->display_from),
                                                             .display_to = kept(j, p->display_to),
                                                             .message_id = kept(j, p->message_id),
                                                             .references = kept(j, p->references) };
    return 0;
}

static int sort_slice(struct search_job *j, struct index *x)
{
    int r;

    if (j->threads == NULL)
        j->threads = mem_array((size_t)ranges_count(&j->found) + 1, sizeof *j->threads);
    r = index_read(x, j->folder, &j->found, &j->read_from, INDEX_SORT, take_keys, j, &j->aj.err);
    if (r != DONE)
        return r;
    if (j->verb == IMAP_THREAD)
        return thread_write(j->threads, j->thread_count, j->thread, &j->answer);
    sort_messages(j->threads, j->thread_count, j->sort, j->sort_count);
    for (size_t i = 0; i < j->thread_count; i++)
        TRY(buf_addf(&j->answer, " %u", (unsigned)j->threads[i].number));
    return DONE;
}

static int run_search(struct account_job *aj, struct index *x)
{
    struct search_job *j = LIST_ENTRY(aj, struct search_job, aj);

    if (!j->searched) {
        int r = search_slice(j, x);

        if (r != DONE)
            return r;
        j->searched = true;
    }
    return j->verb == IMAP_SEARCH ? DONE : sort_slice(j, x);
}

static void search_drop(struct account_job *aj)
{
    struct search_job *j = LIST_ENTRY(aj, struct search_job, aj);

    search_program_clear(&j->program);
    ranges_clear(&j->found);
    buf_clear(&j->answer);
    arena_clear(&j->arena);
    mem_free(j->messages);
    mem_free(j->seqs);
    mem_free(j->threads);
    mem_free(j);
}

/* --- the answer --- */

/* RFC 7162 3.1.5: the highest of the messages that are told of. */
static uint64_t highest_modseq(const struct imap_session *s, const struct ranges *uids)
{
    uint64_t cursor = 0, highest = 0;
    uint32_t uid;

    while (ranges_next(uids, &cursor, &uid)) {
        const struct mailbox_message *m = mailbox_find(&s->box->m, uid);

        if (m != NULL && m->modseq > highest)
            highest = m->modseq;
    }
    return highest;
}

/* UIDs as the numbers of the answer. */
static void to_numbers(struct imap_session *s, const struct ranges *uids, bool uid, struct ranges *ret)
{
    uint64_t cursor = 0;
    uint32_t n;

    while (ranges_next(uids, &cursor, &n)) {
        uint32_t number = uid ? n : view_seq(&s->view, n);

        if (number != 0 && ranges_add(ret, number, number) < 0)
            return;
    }
}

static void first_and_last(const struct ranges *r, uint32_t *first, uint32_t *last)
{
    *first = r->count > 0 ? r->items[0].from : 0;
    *last = r->count > 0 ? r->items[r->count - 1].to : 0;
}

/* The from-th to to-th numbers, counted from the end when negative (RFC 9394). */
static void cut_partial(const struct ranges *all, int64_t from, int64_t to, struct ranges *ret)
{
    int64_t count = (int64_t)ranges_count(all), at = 0;
    int64_t first = from < 0 ? count + from + 1 : from, last = to < 0 ? count + to + 1 : to;
    uint64_t cursor = 0;
    uint32_t n;

    if (first > last) {
        int64_t swap = first;

        first = last;
        last = swap;
    }
    while (ranges_next(all, &cursor, &n))
        if (++at >= first && at <= last && ranges_add(ret, n, n) < 0)
            return;
}

/* What may be long stands in the job's `answer`; it is sent behind what `out` has. */
static void send_answer(struct imap_session *s, const struct search_job *j)
{
    imap_in_flush(s);
    imap_in_send(s, buf_slice(&j->answer));
}

static int format_partial(const struct imap_search *search, const struct ranges *numbers, struct buf *out)
{
    struct ranges part = { 0 };
    int r;

    cut_partial(numbers, search->partial_from, search->partial_to, &part);
    r = part.count > 0 ? ranges_format(&part, out) : buf_adds(out, "NIL");
    ranges_clear(&part);
    return r;
}

/* The numbers that the answer lists, as it lists them. -ENOBUFS: more than can be sent at once. */
static int format_numbers(struct search_job *j, const struct imap_search *search, unsigned returns,
                          const struct ranges *numbers)
{
    uint64_t cursor = 0;
    uint32_t n;

    if ((returns & RETURN_PARTIAL) != 0)
        return format_partial(search, numbers, &j->answer);
    if (returns != 0)
        return (returns & RETURN_ALL) != 0 ? ranges_format(numbers, &j->answer) : 0;
    while (ranges_next(numbers, &cursor, &n)) {
        TRY(buf_addc(&j->answer, ' '));
        TRY(imap_write_number(&j->answer, n));
    }
    return 0;
}

static void write_esearch(struct imap_session *s, const struct search_job *j, const struct ranges *numbers,
                          unsigned returns)
{
    const struct imap_command *c = s->command;
    uint32_t first, last;

    first_and_last(numbers, &first, &last);
    (void)!buf_adds(&s->out, "* ESEARCH (TAG ");
    (void)!imap_write_string(&s->out, c->tag);
    (void)!buf_addf(&s->out, ")%s", c->uid ? " UID" : "");
    if ((returns & RETURN_MIN) != 0 && first > 0)
        (void)!buf_addf(&s->out, " MIN %u", (unsigned)first);
    if ((returns & RETURN_MAX) != 0 && first > 0)
        (void)!buf_addf(&s->out, " MAX %u", (unsigned)last);
    if ((returns & RETURN_ALL) != 0 && first > 0) {
        (void)!buf_adds(&s->out, " ALL ");
        send_answer(s, j);
    }
    if ((returns & RETURN_PARTIAL) != 0) {
        (void)!buf_addf(&s->out, " PARTIAL (%lld:%lld ", (long long)c->search.partial_from,
                        (long long)c->search.partial_to);
        send_answer(s, j);
        (void)!buf_addc(&s->out, ')');
    }
    if ((returns & RETURN_COUNT) != 0)
        (void)!buf_addf(&s->out, " COUNT %llu", (unsigned long long)ranges_count(numbers));
    if (c->search.uses_modseq && first > 0)
        (void)!buf_addf(&s->out, " MODSEQ %llu", (unsigned long long)highest_modseq(s, &j->found));
    (void)!buf_adds(&s->out, "\r\n");
}

static void write_search(struct imap_session *s, const struct search_job *j, const struct ranges *numbers)
{
    (void)!buf_adds(&s->out, "* SEARCH");
    send_answer(s, j);
    if (s->command->search.uses_modseq && numbers->count > 0)
        (void)!buf_addf(&s->out, " (MODSEQ %llu)", (unsigned long long)highest_modseq(s, &j->found));
    (void)!buf_adds(&s->out, "\r\n");
}

/* RFC 4731 2.1: of MIN and MAX alone, MODSEQ and the saved result are those of the messages that are told of. */
static void keep_told(const struct imap_search *search, struct ranges *uids)
{
    unsigned told = search->returns & (RETURN_MIN | RETURN_MAX);
    struct ranges ends = { 0 };
    uint32_t first, last;

    if (told == 0 || (search->returns & (RETURN_ALL | RETURN_COUNT | RETURN_PARTIAL)) != 0 || uids->count == 0)
        return;
    first_and_last(uids, &first, &last);
    if ((told & RETURN_MIN) != 0)
        (void)!ranges_add(&ends, first, first);
    if ((told & RETURN_MAX) != 0)
        (void)!ranges_add(&ends, last, last);
    ranges_clear(uids);
    *uids = ends;
}

static struct imap_result too_long(void)
{
    return imap_no("LIMIT",
                   "The answer would be longer than is sent at once: narrow the search, or ask for a part of it "
                   "(RETURN (PARTIAL 1:1000))");
}

/* -ENOBUFS: nothing was answered, and nothing is saved. */
static int answer_search(struct imap_session *s, struct search_job *j)
{
    const struct imap_command *c = s->command;
    const struct imap_search *search = &c->search;
    bool rev2 = (imap_server_enabled(s->proto) & ENABLE_REV2) != 0;
    unsigned returns = search->extended ? search->returns : rev2 ? RETURN_ALL : 0;
    struct ranges numbers = { 0 };
    int r;

    to_numbers(s, &j->found, c->uid, &numbers);
    r = format_numbers(j, search, returns, &numbers);
    if (r < 0) {
        ranges_clear(&numbers);
        return r;
    }
    keep_told(search, &j->found);
    if (returns == 0)
        write_search(s, j, &numbers);
    else if (returns != RETURN_SAVE) /* RFC 5182 2.1: then nothing is answered */
        write_esearch(s, j, &numbers, returns);
    if ((search->returns & RETURN_SAVE) != 0) {
        ranges_clear(&s->saved);
        s->saved = j->found;
        j->found = (struct ranges){ 0 };
    }
    ranges_clear(&numbers);
    return 0;
}

static void answer_sorted(struct imap_session *s, struct search_job *j)
{
    bool thread = j->verb == IMAP_THREAD;

    (void)!buf_adds(&s->out, thread ? "* THREAD" : "* SORT");
    imap_in_flush(s);
    if (thread && j->answer.n > 0)
        imap_in_send(s, SLICE_LIT(" "));
    imap_in_send(s, buf_slice(&j->answer));
    if (s->command->search.uses_modseq && j->found.count > 0)
        (void)!buf_addf(&s->out, " (MODSEQ %llu)", (unsigned long long)highest_modseq(s, &j->found));
    (void)!buf_adds(&s->out, "\r\n");
}

static const char *const words[] = { [IMAP_SEARCH] = "SEARCH", [IMAP_SORT] = "SORT", [IMAP_THREAD] = "THREAD" };

static void search_done(void *owner, struct account_job *aj)
{
    struct imap_session *s = owner;
    struct search_job *j = LIST_ENTRY(aj, struct search_job, aj);

    if (aj->code == MORE) {
        account_start(s->account, &s->peer.jobs, aj);
        return;
    }
    if (aj->code < 0) {
        if ((s->command->search.returns & RETURN_SAVE) != 0)
            ranges_clear(&s->saved);
        imap_in_done(s, aj->code == -ENOBUFS ? too_long() : imap_in_failed(s, aj->code, &aj->err));
        return;
    }
    if (j->verb != IMAP_SEARCH) {
        answer_sorted(s, j);
    } else if (answer_search(s, j) < 0) {
        imap_in_done(s, too_long());
        return;
    }
    imap_in_done(s, imap_ok("%s completed", words[j->verb]));
}

/* --- the beginning --- */

static int scope_uids(void *ctx, const struct imap_set *set, bool uid, struct ranges *ret)
{
    return imap_in_set_uids(ctx, set, uid, ret, NULL);
}

/* The messages that this session has been told of. */
static void take_snapshot(struct imap_session *s, struct search_job *j)
{
    const struct mailbox *m = &s->box->m;
    bool numbers = j->verb != IMAP_SEARCH && !s->command->uid;

    j->count = m->count;
    while (j->count > 0 && m->messages[j->count - 1].uid >= s->view.next)
        j->count--;
    j->messages = mem_array(j->count + 1, sizeof *j->messages);
    if (j->count > 0)
        memcpy(j->messages, m->messages, j->count * sizeof *j->messages);
    if (!numbers)
        return;
    j->seqs = mem_array(j->count + 1, sizeof *j->seqs);
    for (size_t i = 0; i < j->count; i++)
        j->seqs[i] = view_seq(&s->view, j->messages[i].uid);
}

void imap_in_search(struct imap_session *s, const struct imap_command *c)
{
    struct search_scope scope = { s, scope_uids, &s->view.recent, &s->box->m };
    struct search_job *j = mem_zero(sizeof *j);
    int r;

    j->folder = s->box->folder.id;
    j->verb = c->verb;
    j->thread = c->search.thread;
    j->sort_count = c->search.sort_count;
    j->sort = arena_zero(&j->arena, (j->sort_count + 1) * sizeof *j->sort);
    if (j->sort_count > 0)
        memcpy(j->sort, c->search.sort, j->sort_count * sizeof *j->sort);
    buf_init(&j->answer, ANSWER_MAX);
    j->aj.run = run_search;
    j->aj.done = search_done;
    j->aj.drop = search_drop;
    j->aj.reads_only = true;
    take_snapshot(s, j);
    r = search_compile(c->search.root, &scope, &j->arena, &j->program);
    if (r < 0) {
        search_drop(&j->aj);
        imap_in_done(s, imap_result_of_error(r));
        return;
    }
    imap_in_start(s, &j->aj, true);
}
