#include "dovecot_priv.h"

#include "facteur/base/mem.h"

#include "folders_file_priv.h"

#include <errno.h>
#include <stdlib.h>

static const char file_name[] = "dovecot-uidlist";

void dovecot_uidlist_clear(struct dovecot_uidlist *l)
{
    mem_free(l->records);
    buf_clear(&l->text);
    *l = (struct dovecot_uidlist){ 0 };
}

/* The next word of a line; spaces may be doubled. */
static bool take_word(struct slice *line, struct slice *ret)
{
    while (line->n > 0) {
        (void)slice_cut(line, ' ', ret);
        if (ret->n > 0)
            return true;
    }
    return false;
}

static uint32_t number(struct slice s)
{
    uint64_t n = 0;

    return slice_u64(s, UINT32_MAX, &n) == 0 ? (uint32_t)n : 0;
}

/* "3 V<uidvalidity> N<uidnext> G<guid>", or in the old days "1 <uidvalidity> <uidnext>". */
static int parse_header(struct slice line, bool *ret_old, struct dovecot_uidlist *l)
{
    struct slice word = { 0 };

    if (!take_word(&line, &word) || (!slice_is(word, "3") && !slice_is(word, "1")))
        return -EBADMSG;
    *ret_old = slice_is(word, "1");
    if (*ret_old) {
        l->uidvalidity = take_word(&line, &word) ? number(word) : 0;
        l->uidnext = take_word(&line, &word) ? number(word) : 0;
    }
    while (!*ret_old && take_word(&line, &word)) {
        struct slice value = slice_skip(word, 1);

        if (word.p[0] == 'V')
            l->uidvalidity = number(value);
        else if (word.p[0] == 'N')
            l->uidnext = number(value);
        else if (word.p[0] == 'G' && slice_copy(value, l->guid, sizeof l->guid) < 0)
            return -EBADMSG;
    }
    return l->uidvalidity == 0 || l->uidnext == 0 ? -EBADMSG : 0;
}

/* RFC 1939 section 7: one to 70 characters from "!" to "~". */
static bool uidl_valid(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '!' || s.p[i] > '~')
            return false;
    }
    return s.n > 0 && s.n <= DOVECOT_UIDL;
}

/* "<uid> [<key><value> …] :<name>", in the old days "<uid> <name>". A UIDL without a value is the name. */
static bool parse_record(struct slice line, bool old, struct dovecot_record *ret)
{
    struct slice word;
    bool named = false;

    *ret = (struct dovecot_record){ 0 };
    if (!slice_cut(&line, ' ', &word))
        return false;
    ret->uid = number(word);
    while (!old && line.n > 0 && line.p[0] != ':') {
        (void)slice_cut(&line, ' ', &word);
        if (word.n > 1 && word.p[0] == 'P' && uidl_valid(slice_skip(word, 1)))
            ret->uidl = slice_skip(word, 1);
        named = named || slice_is(word, "P");
    }
    if (!old)
        line = slice_skip(line, 1);
    (void)slice_cut(&line, ':', &ret->name);
    if (named && uidl_valid(ret->name))
        ret->uidl = ret->name;
    return ret->uid != 0 && ret->uid != UINT32_MAX && ret->name.n > 0 && slice_find(ret->name, '/') < 0;
}

static int by_name(const void *a, const void *b)
{
    const struct dovecot_record *x = a, *y = b;
    size_t n = x->name.n < y->name.n ? x->name.n : y->name.n;
    int r = memcmp(x->name.p, y->name.p, n);

    if (r == 0)
        r = (x->name.n > y->name.n) - (x->name.n < y->name.n);
    return r;
}

static int by_name_and_uid(const void *a, const void *b)
{
    const struct dovecot_record *x = a, *y = b;
    int r = by_name(a, b);

    return r != 0 ? r : (x->uid > y->uid) - (x->uid < y->uid);
}

/* A name that is said again got a new UID: a file that went and came back. */
static size_t drop_earlier(struct dovecot_record *records, size_t count)
{
    size_t kept = 0;

    for (size_t i = 0; i < count; i++) {
        if (i + 1 == count || by_name(&records[i], &records[i + 1]) != 0)
            records[kept++] = records[i];
    }
    return kept;
}

static void parse_records(struct slice rest, bool old, struct dovecot_uidlist *l)
{
    struct dovecot_record record;
    struct slice line;
    size_t cap = 0;
    uint32_t last = 0;

    while (slice_cut(&rest, '\n', &line)) { /* a line without its end was not written completely */
        if (!parse_record(line, old, &record) || record.uid <= last)
            continue;
        last = record.uid;
        if (l->count == cap) {
            cap = cap > 0 ? cap * 2 : 64;
            l->records = mem_resize(l->records, cap * sizeof *l->records);
        }
        l->records[l->count++] = record;
    }
    if (l->uidnext <= last)
        l->uidnext = last + 1; /* lines are added without a new header */
    if (l->count > 0)
        qsort(l->records, l->count, sizeof *l->records, by_name_and_uid);
    l->count = drop_earlier(l->records, l->count);
}

int dovecot_uidlist_parse(struct buf *text, struct dovecot_uidlist *ret)
{
    struct dovecot_uidlist l = { .text = *text };
    struct slice rest = buf_slice(&l.text), line;
    bool old = false;
    int r;

    buf_init(text, text->max);
    r = slice_cut(&rest, '\n', &line) ? parse_header(line, &old, &l) : -EBADMSG;
    if (r < 0) {
        dovecot_uidlist_clear(&l);
        return r;
    }
    parse_records(rest, old, &l);
    *ret = l;
    return 0;
}

int dovecot_uidlist_read(int dir, struct dovecot_uidlist *ret, struct err *e)
{
    struct buf text;
    int r;

    buf_init(&text, DOVECOT_UIDLIST);
    r = small_file_read(dir, file_name, &text);
    if (r == -EINVAL || r == -EFBIG || r == -ELOOP)
        r = -EBADMSG;
    if (r == 0)
        r = dovecot_uidlist_parse(&text, ret);
    buf_clear(&text);
    return r < 0 ? err_set(e, r, "read %s: %s", file_name, err_text(r)) : 0;
}

const struct dovecot_record *dovecot_uidlist_find(const struct dovecot_uidlist *l, struct slice base)
{
    struct dovecot_record key = { .name = base };

    if (l->count == 0 || base.n == 0)
        return NULL;
    return bsearch(&key, l->records, l->count, sizeof *l->records, by_name);
}
