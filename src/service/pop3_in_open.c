/* Login: the list of messages, and the unique-ids that stand in files. */
#include "pop3_in_priv.h"

#include "facteur/base/log.h"
#include "facteur/base/mem.h"

#include <errno.h>
#include <stdio.h>

enum { UIDL_SIZE = 71 };

struct open_job {
    struct account_job aj;
    uint32_t folder;
    enum conf_uidl format;
    uint32_t *uids; /* the session's, which may not go before the job: copied */
    size_t count, next;
    const char **uidls;
    struct arena arena;
};

/* RFC 1939 section 7: 1 to 70 octets from 0x21 to 0x7E. File names may be anything. */
static bool is_uidl(struct slice id)
{
    for (size_t i = 0; i < id.n; i++)
        if (id.p[i] < 0x21 || id.p[i] > 0x7E)
            return false;
    return id.n > 0 && id.n < UIDL_SIZE;
}

static int run_open(struct account_job *aj, struct index *x)
{
    struct open_job *j = LIST_ENTRY(aj, struct open_job, aj);
    char text[MAILDIR_NAME];

    for (; j->next < j->count; j->next++) {
        int r = index_uidl(x, j->folder, j->uids[j->next], text);

        if (r < 0 && j->format == UIDL_FILE_NAME)
            r = index_base_name(x, j->folder, j->uids[j->next], text);
        if (r >= 0 && is_uidl(slice_str(text)))
            j->uidls[j->next] = arena_str(&j->arena, slice_str(text));
        if ((j->next & 1023) == 1023) {
            j->next++;
            return MORE;
        }
    }
    return DONE;
}

static void open_done(void *owner, struct account_job *aj)
{
    struct pop3_session *s = owner;
    struct open_job *j = LIST_ENTRY(aj, struct open_job, aj);

    if (aj->code == MORE) {
        peer_start_job(&s->peer, aj);
        return;
    }
    s->uidls = j->uidls;
    s->arena = j->arena;
    j->uidls = NULL;
    j->arena = (struct arena){ 0 };
    pop3_server_opened(s->proto, aj->code, s->messages, s->count);
    peer_sync_input(&s->peer);
}

static void open_drop(struct account_job *aj)
{
    struct open_job *j = LIST_ENTRY(aj, struct open_job, aj);

    arena_clear(&j->arena);
    mem_free(j->uidls);
    mem_free(j->uids);
    mem_free(j);
}

static void take_list(struct pop3_session *s)
{
    const struct mailbox *m = &s->box->m;
    int bit = mailbox_keyword(m, SLICE_LIT(POP3_LEFT));
    uint64_t left = bit >= 0 ? (uint64_t)1 << bit : 0;

    s->uidvalidity = m->uidvalidity;
    s->messages = mem_array(m->count + 1, sizeof *s->messages);
    s->uids = mem_array(m->count + 1, sizeof *s->uids);
    for (size_t i = 0; i < m->count; i++) {
        if ((m->messages[i].keywords & left) != 0)
            continue;
        s->messages[s->count] = (struct pop3_message){ .size = m->messages[i].size };
        s->uids[s->count++] = m->messages[i].uid;
    }
}

static void opened(void *owner, int code, struct open_mailbox *box, const struct err *e)
{
    struct pop3_session *s = owner;
    struct open_job *j;

    if (code >= 0 && box->locked) {
        mailbox_unref(&box);
        code = -EBUSY;
    }
    if (code < 0) {
        if (code != -EBUSY)
            LOG(ERROR, "mailbox-failed", kv_str("session", s->peer.client.session),
                kv_str("user", s->peer.client.user->name), kv_str("reason", e->text));
        pop3_server_opened(s->proto, code, NULL, 0);
        peer_sync_input(&s->peer);
        return;
    }
    s->box = box;
    box->locked = true;
    take_list(s);
    j = mem_zero(sizeof *j);
    j->folder = box->folder.id;
    j->format = s->peer.config->pop3.uidl;
    j->count = s->count;
    j->uids = mem_array(s->count + 1, sizeof *j->uids);
    memcpy(j->uids, s->uids, s->count * sizeof *j->uids);
    j->uidls = mem_array(s->count + 1, sizeof *j->uidls);
    memset((void *)j->uidls, 0, (s->count + 1) * sizeof *j->uidls);
    j->aj.run = run_open;
    j->aj.done = open_done;
    j->aj.drop = open_drop;
    j->aj.reads_only = true;
    pop3_in_start(s, &j->aj);
}

void pop3_in_open(void *world)
{
    struct pop3_session *s = world;

    s->peer.account = peer_open_account(&s->peer);
    mailbox_open(s->peer.account, SLICE_LIT("INBOX"), false, &s->peer.jobs, opened, s);
}

void pop3_in_uidl(void *world, size_t i, char *to)
{
    struct pop3_session *s = world;
    unsigned uid = s->uids[i], validity = s->uidvalidity;

    if (s->uidls[i] != NULL) {
        (void)snprintf(to, UIDL_SIZE, "%s", s->uidls[i]);
        return;
    }
    switch (s->peer.config->pop3.uidl) {
    case UIDL_DOVECOT:
        (void)snprintf(to, UIDL_SIZE, "%08x%08x", uid, validity);
        break;
    case UIDL_UID:
        (void)snprintf(to, UIDL_SIZE, "%u", uid);
        break;
    default:
        (void)snprintf(to, UIDL_SIZE, "%u.%u", validity, uid);
        break;
    }
}
