/* Letters in names: what they say, and keywords that get their names later than files have the letters. */
#include "index_priv.h"

#include "facteur/base/mem.h"

#include "keywords_priv.h"

enum { LETTER_ROWS = 128 };

/* A letter that we have no name for may have got one from another program since. */
static int keywords_again(struct index *x, struct folder *f, struct slice info, struct err *e)
{
    unsigned before = f->keyword_count;
    bool unknown = false;

    for (size_t i = 0; i < info.n; i++)
        unknown = unknown || (info.p[i] >= 'a' && info.p[i] <= 'z' && (unsigned)(info.p[i] - 'a') >= before);
    if (!unknown || f->scan->keywords_read)
        return 0;
    f->scan->keywords_read = true;
    TRY(index_keywords_read(x, f, e));
    if (f->keyword_count == before)
        return 0;
    if (!f->named)
        f->named_from = before;
    f->named = true;
    index_keywords_changed(f);
    return 0;
}

int index_letters(struct index *x, struct folder *f, struct slice info, struct mailbox_message *m, struct err *e)
{
    uint64_t in_name = ((uint64_t)1 << KEYWORDS_IN_NAME) - 1, keywords;

    TRY(keywords_again(x, f, info, e));
    file_name_read(info, f->keyword_count, &m->flags, &keywords);
    m->keywords = (m->keywords & ~in_name) | keywords;
    return 0;
}

/* The row gets the keywords from `from` on that its file's name has had all the time. */
static int name_letters(struct index *x, struct folder *f, struct row *row, unsigned from, struct err *e)
{
    uint64_t in_name, known = ((uint64_t)1 << from) - 1;
    struct file_name n;
    uint8_t flags;

    file_name_parse(slice_str(row->name), &n);
    file_name_read(n.info, f->keyword_count, &flags, &in_name);
    in_name &= ~known & ~row->message.keywords;
    if (in_name == 0)
        return 0;
    row->message.keywords |= in_name;
    row->message.modseq = index_next_modseq(x, f);
    index_changed(f, &row->message);
    return index_row_flags(x, f, row, e);
}

/* A slice, in one transaction. */
static int name_some(struct index *x, struct folder *f, int64_t since, struct err *e)
{
    struct row *rows = mem_array(LETTER_ROWS, sizeof *rows);
    uint32_t *next = &f->scan->letters_next;
    int n, r;

    do {
        n = index_rows(x, f, *next, UID_MAX, rows, LETTER_ROWS, e);
        r = n < 0 ? n : 0;
        for (int i = 0; i < n && r == 0; i++) {
            *next = rows[i].message.uid + 1;
            r = name_letters(x, f, &rows[i], f->named_from, e);
        }
    } while (r == 0 && n == LETTER_ROWS && !index_slice_over(since));
    mem_free(rows);
    return r < 0 ? r : n == LETTER_ROWS ? MORE : DONE;
}

int index_letters_some(struct index *x, struct folder *f, int64_t since, struct err *e)
{
    int r = DONE, saved;

    if (f->named && f->named_from < KEYWORDS_IN_NAME) {
        TRY(index_begin(x, e));
        r = name_some(x, f, since, e);
        saved = r < 0 ? r : index_save(x, f, e);
        if (r < 0)
            index_rollback(x);
        if (saved < 0) {
            index_unsay(f);
            return saved;
        }
    }
    f->named = f->named && r == MORE;
    return r;
}
