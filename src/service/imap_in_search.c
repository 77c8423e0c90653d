/* SEARCH, SORT and THREAD: what the session knows is copied for the job, whose answer goes out as the client reads it. */
#include "imap_in_search_priv.h"

#include "facteur/base/mem.h"

#include <errno.h>

/* RFC 9051 7.1: those that a client may try; mail/charset knows more. */
#define BADCHARSET                                                                                                     \
    "BADCHARSET (UTF-8 US-ASCII ISO-8859-1 ISO-8859-2 ISO-8859-15 WINDOWS-1251 WINDOWS-1252 KOI8-R ISO-2022-JP "       \
    "SHIFT_JIS EUC-KR GB18030 BIG5)"

static void search_drop(struct account_job *aj)
{
    struct search_job *j = LIST_ENTRY(aj, struct search_job, aj);

    search_program_clear(&j->program);
    ranges_clear(&j->found);
    ranges_clear(&j->numbers);
    buf_clear(&j->answer);
    arena_clear(&j->arena);
    mem_free(j->messages);
    mem_free(j->seqs);
    mem_free(j->threads);
    mem_free(j);
}

/* RFC 5182 2.1: what is saved is empty after a NO. */
static void refuse(struct imap_session *s, struct imap_result r)
{
    if ((s->command->search.returns & RETURN_SAVE) != 0)
        ranges_clear(&s->saved);
    imap_in_done(s, r);
}

static struct imap_result too_long(void)
{
    return imap_no("LIMIT", "The answer would be too long: narrow the search, or ask for a part of it (RETURN (PARTIAL "
                            "1:1000))");
}

static const char *const words[] = { [IMAP_SEARCH] = "SEARCH", [IMAP_SORT] = "SORT", [IMAP_THREAD] = "THREAD" };

static void search_done(void *owner, struct account_job *aj)
{
    struct imap_session *s = owner;
    struct search_job *j = LIST_ENTRY(aj, struct search_job, aj);

    if (aj->code == MORE) {
        peer_start_job(&s->peer, aj);
        return;
    }
    if (aj->code < 0) {
        refuse(s, aj->code == -ENOBUFS || aj->code == -E2BIG ? too_long() : imap_in_failed(s, aj->code, &aj->err));
        return;
    }
    imap_in_send(s, buf_slice(&j->answer));
    if ((j->search.returns & RETURN_SAVE) != 0) {
        ranges_clear(&s->saved);
        s->saved = j->found;
        j->found = (struct ranges){ 0 };
    }
    imap_in_done(s, imap_ok("%s completed", words[j->verb]));
}

/* --- the beginning --- */

static int scope_uids(void *ctx, const struct imap_set *set, bool uid, struct ranges *ret)
{
    return imap_in_set_uids(ctx, set, uid, ret, NULL);
}

static unsigned returns_of(const struct imap_session *s, const struct imap_search *search)
{
    bool rev2 = (imap_server_enabled(s->proto) & ENABLE_REV2) != 0;

    return search->extended ? search->returns : rev2 ? RETURN_ALL : 0;
}

static void take_command(struct imap_session *s, struct search_job *j, const struct imap_command *c)
{
    j->folder = s->box->folder.id;
    j->verb = c->verb;
    j->uid = c->uid;
    j->tag = slice_str(arena_str(&j->arena, c->tag));
    j->search = c->search;
    j->search.root = NULL;
    j->returns = c->verb == IMAP_SEARCH ? returns_of(s, &c->search) : 0;
    j->search.sort = arena_zero(&j->arena, (c->search.sort_count + 1) * sizeof *j->search.sort);
    if (c->search.sort_count > 0)
        memcpy(j->search.sort, c->search.sort, c->search.sort_count * sizeof *j->search.sort);
    buf_init(&j->answer, IMAP_ANSWER);
}

/* The messages that this session has been told of. */
static void take_snapshot(struct imap_session *s, struct search_job *j)
{
    size_t most = mailbox_index(&s->box->m, s->view.next);

    j->messages = mem_array(most + 1, sizeof *j->messages);
    j->seqs = mem_array(most + 1, sizeof *j->seqs);
    j->count = view_list(&s->view, j->messages, j->seqs);
}

void imap_in_search(struct imap_session *s, const struct imap_command *c)
{
    struct search_scope scope = { s, scope_uids, &s->view.recent, &s->box->m };
    struct search_job *j;
    int r;

    if (c->search.bad_charset) {
        refuse(s, imap_no(BADCHARSET, "That charset is not known here"));
        return;
    }
    j = mem_zero(sizeof *j);
    j->aj.run = search_job_run;
    j->aj.done = search_done;
    j->aj.drop = search_drop;
    j->aj.reads_only = true;
    take_command(s, j, c);
    take_snapshot(s, j);
    r = search_compile(c->search.root, &scope, &j->arena, &j->program);
    if (r < 0) {
        search_drop(&j->aj);
        refuse(s, imap_result_of_error(r));
        return;
    }
    j->program.mime = (struct mime_limits){ s->peer.config->limits.mime_depth, s->peer.config->limits.mime_parts };
    imap_in_start(s, &j->aj, true);
}
