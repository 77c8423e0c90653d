/* Questions about users' mailboxes: asked in the user's lane. */
#include "control_priv.h"

#include "facteur/base/mem.h"
#include "facteur/flow/mailboxes.h"

#include <errno.h>

struct question {
    struct account_job aj;
    struct control_job *asked; /* who wants to know */
    struct account *account;
    struct maildirs *maildirs;
    uint64_t quota;
    json_t *list;
    struct arena arena;
    struct folder_entry *first, **last, *at;
};

/* A folder whose numbers are still to be asked for. */
struct folder_entry {
    struct folder_entry *next;
    uint32_t id;
    json_t *json; /* in the list */
};

static const char *const special_words[] = {
    [SPECIAL_ALL] = "all",   [SPECIAL_ARCHIVE] = "archive", [SPECIAL_DRAFTS] = "drafts", [SPECIAL_FLAGGED] = "flagged",
    [SPECIAL_JUNK] = "junk", [SPECIAL_SENT] = "sent",       [SPECIAL_TRASH] = "trash",
};

/* --- in the lane --- */

static void take_folder(void *to, const struct index_entry *entry)
{
    struct question *q = to;
    struct folder_entry *f;
    json_t *json;

    if (!entry->exists)
        return;
    json = json_pack("{ss% sb ss?}", "name", entry->name.p, entry->name.n, "subscribed", entry->subscribed, "special",
                     special_words[entry->special]);
    if (json == NULL || json_array_append_new(q->list, json) < 0)
        return;
    f = arena_zero(&q->arena, sizeof *f);
    f->id = entry->folder;
    f->json = json;
    *q->last = f;
    q->last = &f->next;
}

static void put_numbers(json_t *json, const struct index_status *st)
{
    (void)json_object_set_new(json, "messages", json_integer(st->messages));
    (void)json_object_set_new(json, "unseen", json_integer(st->unseen));
    (void)json_object_set_new(json, "octets", json_integer((json_int_t)st->size));
    (void)json_object_set_new(json, "uidnext", json_integer(st->uidnext));
    (void)json_object_set_new(json, "uidvalidity", json_integer(st->uidvalidity));
}

static int run_list(struct account_job *aj, struct index *x)
{
    struct question *q = LIST_ENTRY(aj, struct question, aj);

    if (q->list == NULL) {
        q->list = json_array();
        q->last = &q->first;
        TRY(index_list(x, take_folder, q, &aj->err));
        q->at = q->first;
    }
    for (; q->at != NULL; q->at = q->at->next) {
        struct index_status st;
        int r = index_status(x, q->at->id, &st, &aj->err);

        if (r != DONE)
            return r;
        put_numbers(q->at->json, &st);
    }
    return DONE;
}

static int run_quota(struct account_job *aj, struct index *x)
{
    struct question *q = LIST_ENTRY(aj, struct question, aj);
    uint64_t octets, messages;

    (void)x;
    TRY(maildir_usage(q->maildirs, account_user(q->account), &octets, &messages, &aj->err));
    q->asked->answer =
        json_pack("{sb sI sI so}", "ok", 1, "octets", (json_int_t)octets, "messages", (json_int_t)messages, "quota",
                  q->quota > 0 ? json_integer((json_int_t)q->quota) : json_null());
    return DONE;
}

static int run_rebuild(struct account_job *aj, struct index *x)
{
    struct question *q = LIST_ENTRY(aj, struct question, aj);

    TRY(index_rebuild(x, &aj->err));
    q->asked->answer = json_pack("{sb ss}", "ok", 1, "rebuilt", account_user(q->account));
    return DONE;
}

/* --- on the loop --- */

static void done(void *owner, struct account_job *aj)
{
    struct question *q = LIST_ENTRY(aj, struct question, aj);

    (void)owner;
    if (aj->code == MORE) {
        account_start(q->account, NULL, aj);
        return;
    }
    if (q->list != NULL && aj->code >= 0) {
        q->asked->answer = json_pack("{sb so}", "ok", 1, "mailboxes", q->list);
        q->list = NULL;
    }
    q->asked->code = aj->code;
    q->asked->e = aj->err;
    control_end(q->asked);
}

static void drop(struct account_job *aj)
{
    struct question *q = LIST_ENTRY(aj, struct question, aj);

    control_job_free(q->asked);
    json_decref(q->list);
    arena_clear(&q->arena);
    account_close(&q->account);
    mem_free(q);
}

static void refuse_user(struct control_client *cl, const char *name)
{
    char text[CONTROL_TEXT_MAX];

    if (name == NULL) {
        control_refuse(cl, "bad-request", "a user's name is wanted");
        return;
    }
    (void)snprintf(text, sizeof text, "there is no user %.300s", name);
    control_refuse(cl, "no-user", text);
}

static void ask(struct control_client *cl, const json_t *request, int (*run)(struct account_job *, struct index *))
{
    const struct flow *f = control_env(cl)->flow;
    const char *name = json_string_value(json_object_get(request, "user"));
    const struct conf_user *user = name != NULL && f != NULL ? config_login(f->config, slice_str(name)) : NULL;
    struct question *q;

    if (user == NULL) {
        refuse_user(cl, name);
        return;
    }
    q = mem_zero(sizeof *q);
    q->asked = mem_zero(sizeof *q->asked);
    q->account = account_open(f->mailboxes, user->name, user->quota);
    q->maildirs = f->maildirs;
    q->quota = user->quota;
    q->aj.run = run;
    q->aj.done = done;
    q->aj.drop = drop;
    control_begin(cl, q->asked);
    account_start(q->account, NULL, &q->aj);
}

void control_mailbox_list(struct control_client *cl, const json_t *request)
{
    ask(cl, request, run_list);
}

void control_mailbox_quota(struct control_client *cl, const json_t *request)
{
    ask(cl, request, run_quota);
}

void control_mailbox_rebuild(struct control_client *cl, const json_t *request)
{
    ask(cl, request, run_rebuild);
}
