/* CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE, NAMESPACE and quotas. */
#include "imap_in_priv.h"

#include "facteur/base/mem.h"

#include <errno.h>
#include <stdio.h>

/* --- CREATE … UNSUBSCRIBE --- */

struct folder_job {
    struct account_job aj;
    struct account *account; /* counted */
    enum imap_verb verb;
    struct arena arena;
    struct slice name, to;
    enum index_special special;
    struct index_folder folder; /* the one that was there before (DELETE), or that was made */
    bool deleted;
};

static int run_folder(struct account_job *aj, struct index *x)
{
    struct folder_job *j = LIST_ENTRY(aj, struct folder_job, aj);

    switch (j->verb) {
    case IMAP_CREATE:
        TRY(index_create(x, j->name, j->special, &aj->err));
        return index_folder(x, j->name, &j->folder, &aj->err);
    case IMAP_DELETE:
        TRY(index_folder(x, j->name, &j->folder, &aj->err));
        TRY(index_delete(x, j->name, &aj->err));
        j->deleted = true;
        return DONE;
    case IMAP_RENAME:
        TRY(index_rename(x, j->name, j->to, &aj->err));
        if (!slice_iis(j->name, "INBOX")) { /* which stays, only its messages go */
            aj->renamed = j->name;
            aj->renamed_to = j->to;
        }
        return DONE;
    default:
        return index_subscribe(x, j->name, j->verb == IMAP_SUBSCRIBE, &aj->err);
    }
}

/* The sessions on a mailbox that is no more are told so, and nobody gets it who selects another of its name. */
static void mark_gone(struct folder_job *j)
{
    struct open_mailbox *box = j->deleted ? mailbox_opened(j->account, j->folder.id) : NULL;

    j->deleted = false;
    if (box != NULL)
        mailbox_mark_gone(box);
}

/* What a person can mend is said in the words of the store; the rest by its code. */
static struct imap_result failed(const struct imap_session *s, const struct account_job *aj)
{
    struct imap_result r = imap_in_failed(s, aj->code, &aj->err);

    if (aj->code == -EINVAL || aj->code == -EPERM || aj->code == -EEXIST || aj->code == -ENOENT ||
        aj->code == -EDQUOT || aj->code == -ENOTSUP) {
        if (aj->code == -EDQUOT)
            (void)!slice_copy(SLICE_LIT("LIMIT"), r.code, sizeof r.code);
        if (aj->code == -ENOTSUP)
            (void)!slice_copy(SLICE_LIT("USEATTR"), r.code, sizeof r.code);
        if (aj->code == -EINVAL)
            (void)!slice_copy(SLICE_LIT("CANNOT"), r.code, sizeof r.code);
        slice_clip(slice_str(aj->err.text), r.text, sizeof r.text);
        if (r.text[0] >= 'a' && r.text[0] <= 'z')
            r.text[0] = (char)(r.text[0] - 'a' + 'A');
    }
    return r;
}

static void folder_done(void *owner, struct account_job *aj)
{
    static const char *const words[] = { [IMAP_CREATE] = "CREATE",
                                         [IMAP_DELETE] = "DELETE",
                                         [IMAP_RENAME] = "RENAME",
                                         [IMAP_SUBSCRIBE] = "SUBSCRIBE",
                                         [IMAP_UNSUBSCRIBE] = "UNSUBSCRIBE" };
    struct imap_session *s = owner;
    struct folder_job *j = LIST_ENTRY(aj, struct folder_job, aj);
    struct imap_result r;

    if (aj->code == MORE) {
        peer_start_job(&s->peer, aj);
        return;
    }
    if (aj->code < 0) {
        imap_in_done(s, failed(s, aj));
        return;
    }
    mark_gone(j);
    r = imap_ok("%s completed", words[j->verb]);
    if (j->verb == IMAP_CREATE)
        (void)snprintf(r.code, sizeof r.code, "MAILBOXID (%s)", j->folder.mailbox_id);
    imap_in_done(s, r);
}

static void folder_drop(struct account_job *aj)
{
    struct folder_job *j = LIST_ENTRY(aj, struct folder_job, aj);

    mark_gone(j); /* also when its client has not waited for it */
    account_close(&j->account);
    arena_clear(&j->arena);
    mem_free(j);
}

void imap_in_folder(struct imap_session *s, const struct imap_command *c)
{
    struct folder_job *j = mem_zero(sizeof *j);
    struct slice name = c->mailbox;

    /* RFC 9051 6.3.4: "x/" announces that names below x will be made; here nothing needs to be announced. */
    if (c->verb == IMAP_CREATE && name.n > 1 && name.p[name.n - 1] == '/')
        name.n--;
    j->account = peer_open_account(&s->peer);
    j->verb = c->verb;
    j->name = slice_str(arena_str(&j->arena, name));
    j->to = slice_str(arena_str(&j->arena, c->to));
    j->special = (enum index_special)c->special;
    j->aj.run = run_folder;
    j->aj.done = folder_done;
    j->aj.drop = folder_drop;
    imap_in_start(s, &j->aj, false);
}

/* --- NAMESPACE (RFC 2342) --- */

void imap_in_namespace(struct imap_session *s, const struct imap_command *c)
{
    (void)c;
    (void)!buf_adds(&s->out, "* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n");
    imap_in_done(s, imap_ok("NAMESPACE completed"));
}

/* --- quotas (RFC 9208): one root, "", for all of an account's mail --- */

struct quota_job {
    struct account_job aj;
    struct maildirs *maildirs;
    char user[LIMIT_USERNAME + 1];
    uint64_t used, messages;
};

static int run_quota(struct account_job *aj, struct index *x)
{
    struct quota_job *j = LIST_ENTRY(aj, struct quota_job, aj);

    (void)x;
    return maildir_usage(j->maildirs, j->user, &j->used, &j->messages, &aj->err);
}

static void quota_done(void *owner, struct account_job *aj)
{
    struct imap_session *s = owner;
    const struct quota_job *j = LIST_ENTRY(aj, struct quota_job, aj);

    if (aj->code < 0) {
        imap_in_done(s, imap_in_failed(s, aj->code, &aj->err));
        return;
    }
    /* Both rounded in the same way: what is full looks full, and what is not does not. */
    (void)!buf_addf(&s->out, "* QUOTA \"\" (STORAGE %llu %llu)\r\n", (unsigned long long)((j->used + 1023) / 1024),
                    (unsigned long long)((s->peer.client.user->quota + 1023) / 1024));
    imap_in_done(s, imap_ok("%s completed", s->command->verb == IMAP_GETQUOTA ? "GETQUOTA" : "GETQUOTAROOT"));
}

static void quota_drop(struct account_job *aj)
{
    mem_free(LIST_ENTRY(aj, struct quota_job, aj));
}

void imap_in_quota(struct imap_session *s, const struct imap_command *c)
{
    const struct conf_user *user = s->peer.client.user;
    struct quota_job *j;

    if (c->verb == IMAP_SETQUOTA) {
        imap_in_done(s, imap_no("NOPERM", "Quotas are set in the policy file (users, quota)"));
        return;
    }
    if (c->verb == IMAP_GETQUOTA && (c->mailbox.n > 0 || user->quota == 0)) {
        imap_in_done(s, imap_no("NONEXISTENT", "There is no such quota root"));
        return;
    }
    if (c->verb == IMAP_GETQUOTAROOT) {
        (void)!buf_adds(&s->out, "* QUOTAROOT ");
        (void)!imap_write_mailbox(&s->out, c->mailbox, imap_server_names_utf8(s->proto));
        (void)!buf_adds(&s->out, user->quota > 0 ? " \"\"\r\n" : "\r\n");
    }
    if (user->quota == 0) {
        imap_in_done(s, imap_ok("GETQUOTAROOT completed"));
        return;
    }
    j = mem_zero(sizeof *j);
    j->maildirs = peers_flow(s->peer.peers)->maildirs;
    slice_clip(slice_str(user->name), j->user, sizeof j->user);
    j->aj.run = run_quota;
    j->aj.done = quota_done;
    j->aj.drop = quota_drop;
    imap_in_start(s, &j->aj, false);
}
