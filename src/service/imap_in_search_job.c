/* A snapshot of the session's list is asked message by message in the user's lane, a slice at a time; then the answer is
 * written. */
#include "imap_in_search_priv.h"

#include "facteur/base/clock.h"
#include "facteur/base/mem.h"

#include <errno.h>

enum { CHUNK = 512 /* rows read ahead */ };

/* --- rows --- */

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

    if (at < j->row_to && j->messages[at].uid == row->uid)
        search_take_row(row, &j->rows[at - j->row_from]);
    return 0;
}

/* The rows of the next CHUNK messages. */
static int read_rows(struct search_job *j, struct index *x)
{
    struct ranges uids = { 0 };
    uint32_t from = 0;
    int r;

    if (j->program.fields == 0 || j->next < j->row_to)
        return 0;
    if (j->rows == NULL)
        j->rows = arena_zero(&j->arena, CHUNK * sizeof *j->rows);
    j->row_from = j->next;
    j->row_to = j->count - j->next < CHUNK ? j->count : j->next + CHUNK;
    memset(j->rows, 0, CHUNK * sizeof *j->rows);
    r = ranges_add(&uids, j->messages[j->row_from].uid, j->messages[j->row_to - 1].uid);
    if (r == 0)
        do
            r = index_read(x, j->folder, &uids, &from, j->program.fields, take_row, j, &j->aj.err);
        while (r == MORE);
    ranges_clear(&uids);
    return r;
}

/* --- searching --- */

static uint32_t number_of(const struct search_job *j, size_t at)
{
    return j->uid ? j->messages[at].uid : j->seqs[at];
}

static int found(struct search_job *j, size_t at)
{
    TRY(ranges_add(&j->found, j->messages[at].uid, j->messages[at].uid));
    return j->verb == IMAP_SEARCH ? ranges_add(&j->numbers, number_of(j, at), number_of(j, at)) : 0;
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
            TRY(found(j, j->next));
        if ((j->next & 15) == 15 && clock_mono_ms() > until) {
            j->next++;
            return MORE;
        }
    }
    return DONE;
}

/* --- SORT, THREAD --- */

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
    j->threads[j->thread_count++] = (struct thread_message){ .number = number_of(j, at),
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

static int read_keys(struct search_job *j, struct index *x)
{
    if (j->threads == NULL)
        j->threads = mem_array((size_t)ranges_count(&j->found) + 1, sizeof *j->threads);
    return index_read(x, j->folder, &j->found, &j->read_from, INDEX_SORT, take_keys, j, &j->aj.err);
}

/* --- the answer --- */

/* RFC 7162 3.1.5: the highest of the messages that are told of. */
static int add_modseq(struct search_job *j)
{
    uint64_t highest = 0, cursor = 0;
    uint32_t uid;

    if (!j->search.uses_modseq || j->found.count == 0)
        return 0;
    for (size_t at = 0; ranges_next(&j->found, &cursor, &uid); at++) {
        while (at < j->count && j->messages[at].uid < uid)
            at++;
        if (at < j->count && j->messages[at].modseq > highest)
            highest = j->messages[at].modseq;
    }
    return buf_addf(&j->answer, j->returns != 0 ? " MODSEQ %llu" : " (MODSEQ %llu)", (unsigned long long)highest);
}

static int add_number(struct search_job *j, uint32_t n)
{
    TRY(buf_addc(&j->answer, ' '));
    return imap_write_number(&j->answer, n);
}

static void first_and_last(const struct ranges *r, uint32_t *first, uint32_t *last)
{
    *first = r->count > 0 ? r->items[0].from : 0;
    *last = r->count > 0 ? r->items[r->count - 1].to : 0;
}

/* The from-th to to-th numbers, counted from the end when negative (RFC 9394). */
static int cut_partial(const struct ranges *all, int64_t from, int64_t to, struct ranges *ret)
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
        if (++at >= first && at <= last)
            TRY(ranges_add(ret, n, n));
    return 0;
}

static int add_partial(struct search_job *j)
{
    int64_t from = j->search.partial_from, to = j->search.partial_to;
    struct ranges part = { 0 };
    int r = cut_partial(&j->numbers, from, to, &part);

    if (r == 0)
        r = buf_addf(&j->answer, " PARTIAL (%lld:%lld ", (long long)from, (long long)to);
    if (r == 0)
        r = part.count > 0 ? ranges_format(&part, &j->answer) : buf_adds(&j->answer, "NIL");
    ranges_clear(&part);
    return r < 0 ? r : buf_addc(&j->answer, ')');
}

/* Those that MIN, MAX and PARTIAL tell of. */
static int add_told(const struct search_job *j, struct ranges *ret)
{
    unsigned returns = j->search.returns;
    uint32_t first, last;

    first_and_last(&j->found, &first, &last);
    if ((returns & RETURN_MIN) != 0)
        TRY(ranges_add(ret, first, first));
    if ((returns & RETURN_MAX) != 0)
        TRY(ranges_add(ret, last, last));
    return (returns & RETURN_PARTIAL) != 0 ? cut_partial(&j->found, j->search.partial_from, j->search.partial_to, ret)
                                           : 0;
}

/* RFC 4731 2.1, 9394 3.2: without ALL and COUNT, MODSEQ and the saved result are those of the messages that are told
 * of. */
static int keep_told(struct search_job *j)
{
    unsigned told = j->search.returns & (RETURN_MIN | RETURN_MAX | RETURN_PARTIAL);
    struct ranges some = { 0 };
    int r;

    if (told == 0 || (j->search.returns & (RETURN_ALL | RETURN_COUNT)) != 0 || j->found.count == 0)
        return 0;
    r = add_told(j, &some);
    ranges_clear(&j->found);
    j->found = some;
    return r;
}

static int write_esearch(struct search_job *j)
{
    struct buf *out = &j->answer;
    uint32_t first, last;

    first_and_last(&j->numbers, &first, &last);
    TRY(buf_adds(out, "* ESEARCH (TAG "));
    TRY(imap_write_string(out, j->tag));
    TRY(buf_addf(out, ")%s", j->uid ? " UID" : ""));
    if ((j->returns & RETURN_MIN) != 0 && first > 0)
        TRY(buf_addf(out, " MIN %u", (unsigned)first));
    if ((j->returns & RETURN_MAX) != 0 && first > 0)
        TRY(buf_addf(out, " MAX %u", (unsigned)last));
    if ((j->returns & RETURN_ALL) != 0 && first > 0) {
        TRY(buf_adds(out, " ALL "));
        TRY(ranges_format(&j->numbers, out));
    }
    if ((j->returns & RETURN_PARTIAL) != 0)
        TRY(add_partial(j));
    if ((j->returns & RETURN_COUNT) != 0)
        TRY(buf_addf(out, " COUNT %llu", (unsigned long long)ranges_count(&j->numbers)));
    TRY(add_modseq(j));
    return buf_adds(out, "\r\n");
}

static int write_search(struct search_job *j)
{
    uint64_t cursor = 0;
    uint32_t n;

    TRY(buf_adds(&j->answer, "* SEARCH"));
    while (ranges_next(&j->numbers, &cursor, &n))
        TRY(add_number(j, n));
    TRY(add_modseq(j));
    return buf_adds(&j->answer, "\r\n");
}

static int write_sorted(struct search_job *j)
{
    bool thread = j->verb == IMAP_THREAD;

    TRY(buf_adds(&j->answer, thread ? "* THREAD" : "* SORT"));
    if (thread && j->thread_count > 0)
        TRY(buf_addc(&j->answer, ' '));
    if (thread)
        TRY(thread_write(j->threads, j->thread_count, j->search.thread, &j->answer));
    else
        sort_messages(j->threads, j->thread_count, j->search.sort, j->search.sort_count);
    for (size_t i = 0; !thread && i < j->thread_count; i++)
        TRY(add_number(j, j->threads[i].number));
    if (!thread) /* RFC 7162 section 7 has it for SEARCH and SORT */
        TRY(add_modseq(j));
    return buf_adds(&j->answer, "\r\n");
}

static int write_answer(struct search_job *j)
{
    if (j->verb != IMAP_SEARCH)
        return write_sorted(j);
    TRY(keep_told(j));
    if (j->returns == RETURN_SAVE)
        return 0; /* RFC 5182 2.1: then nothing is answered */
    return j->returns == 0 ? write_search(j) : write_esearch(j);
}

int search_job_run(struct account_job *aj, struct index *x)
{
    struct search_job *j = LIST_ENTRY(aj, struct search_job, aj);
    int r = j->searched ? DONE : search_slice(j, x);

    if (r != DONE)
        return r;
    j->searched = true;
    if (j->verb != IMAP_SEARCH)
        r = read_keys(j, x);
    return r == DONE ? write_answer(j) : r;
}
