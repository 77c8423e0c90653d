/* A store/index in memory, linked in place of the real one: what it was asked, in order, and what it is to answer. Jobs
 * call it on threads of the pool; the test looks at it under the same lock. */
#ifndef FACTEUR_TEST_FLOW_FAKE_INDEX_H
#define FACTEUR_TEST_FLOW_FAKE_INDEX_H

#include "flow_test.h"

#include "facteur/store/search.h"

#include <pthread.h>

enum { FAKE_FOLDERS = 2, FAKE_MESSAGES = 4000 };

struct fake_folder {
    const char *name;
    struct mailbox_message all[FAKE_MESSAGES]; /* as the rows say */
    size_t count;
    struct mailbox_changes unsaid;  /* what other programs did: told by the next sync */
    char arriving[8][MAILDIR_NAME]; /* names in new/ */
    uint32_t uidnext, reserved, first_recent, uidvalidity;
    uint64_t modseq;
    int prepare_slices, search_slices;
};

static struct fake {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct fake_folder folders[FAKE_FOLDERS];
    char log[64 * 1024]; /* one letter a call, folder's number behind it */
    bool shut;           /* jobs wait in fake_gate */
    int waiting;         /* in the gate */
    int inside;          /* calls under way: one at a time for one user */
    int opened, closed, sync_slices, sync_code, open_code;
    bool rebuilt, gone;
    uint64_t room;      /* for appends, each: -EDQUOT */
    uint64_t names_due; /* a slice writes 100 of them, or fails */
    int names_code, named, rested;
    const char *path;
} fake;

struct index {
    int dummy;
};

static void fake_note(char what, uint32_t folder)
{
    size_t n = strlen(fake.log);

    assert_true(n + 3 < sizeof fake.log);
    fake.log[n] = what;
    if (folder != 0)
        fake.log[n + 1] = (char)('0' + folder);
}

static struct fake_folder *fake_enter(char what, uint32_t folder)
{
    (void)pthread_mutex_lock(&fake.lock);
    fake_note(what, folder);
    return folder >= 1 && folder <= FAKE_FOLDERS ? &fake.folders[folder - 1] : NULL;
}

static int fake_leave(int code)
{
    (void)pthread_mutex_unlock(&fake.lock);
    return code;
}

static int fake_fail(struct err *e, int code)
{
    return fake_leave(err_set(e, code, "as the test wants it"));
}

/* --- for the test --- */

static UNUSED void fake_reset(void)
{
    for (size_t i = 0; i < FAKE_FOLDERS; i++)
        mailbox_changes_clear(&fake.folders[i].unsaid);
    memset(&fake, 0, sizeof fake);
    (void)pthread_mutex_init(&fake.lock, NULL);
    (void)pthread_cond_init(&fake.changed, NULL);
    for (uint32_t i = 0; i < FAKE_FOLDERS; i++) {
        fake.folders[i].name = i == 0 ? "INBOX" : "Sent";
        fake.folders[i].uidnext = fake.folders[i].first_recent = 1;
        fake.folders[i].uidvalidity = 7;
        fake.folders[i].modseq = 1;
    }
}

static UNUSED void fake_gate_set(bool shut)
{
    (void)pthread_mutex_lock(&fake.lock);
    fake.shut = shut;
    (void)pthread_cond_broadcast(&fake.changed);
    (void)pthread_mutex_unlock(&fake.lock);
}

static UNUSED void fake_gate_await(int waiting)
{
    (void)pthread_mutex_lock(&fake.lock);
    while (fake.waiting < waiting)
        (void)pthread_cond_wait(&fake.changed, &fake.lock);
    (void)pthread_mutex_unlock(&fake.lock);
}

static UNUSED void fake_gate(void) /* a job waits here while it is shut */
{
    (void)pthread_mutex_lock(&fake.lock);
    fake.waiting++;
    (void)pthread_cond_broadcast(&fake.changed);
    while (fake.shut)
        (void)pthread_cond_wait(&fake.changed, &fake.lock);
    fake.waiting--;
    (void)pthread_mutex_unlock(&fake.lock);
}

/* Gives the next UID to a message, as a job would; the lock is held. */
static UNUSED void fake_add(struct fake_folder *f, struct mailbox_changes *c)
{
    struct mailbox_message m = { .uid = f->uidnext++, .modseq = ++f->modseq };

    assert_true(f->count < FAKE_MESSAGES);
    f->all[f->count++] = m;
    mailbox_changes_add(c, &m);
    c->modseq = f->modseq;
    c->uidnext = f->uidnext;
}

static UNUSED void fake_others_add(uint32_t folder) /* another program puts a message there */
{
    (void)pthread_mutex_lock(&fake.lock);
    fake_add(&fake.folders[folder - 1], &fake.folders[folder - 1].unsaid);
    (void)pthread_mutex_unlock(&fake.lock);
}

static UNUSED void fake_write(const char *name) /* flow/local writes new/<name> */
{
    (void)pthread_mutex_lock(&fake.lock);
    for (size_t i = 0; i < 8; i++)
        if (fake.folders[0].arriving[i][0] == '\0') {
            (void)snprintf(fake.folders[0].arriving[i], MAILDIR_NAME, "%s", name);
            break;
        }
    (void)pthread_mutex_unlock(&fake.lock);
}

static UNUSED bool fake_called(const char *calls)
{
    bool found;

    (void)pthread_mutex_lock(&fake.lock);
    found = strstr(fake.log, calls) != NULL;
    (void)pthread_mutex_unlock(&fake.lock);
    return found;
}

static UNUSED int fake_count(const char *call)
{
    int n = 0;

    (void)pthread_mutex_lock(&fake.lock);
    for (const char *p = fake.log; (p = strstr(p, call)) != NULL; p++)
        n++;
    (void)pthread_mutex_unlock(&fake.lock);
    return n;
}

static UNUSED void fake_log_clear(void)
{
    (void)pthread_mutex_lock(&fake.lock);
    memset(fake.log, 0, sizeof fake.log);
    (void)pthread_mutex_unlock(&fake.lock);
}

/* --- the index --- */

int index_open(struct maildirs *m, const char *state, const char *user, const struct index_options *o,
               struct index **ret, struct err *e)
{
    (void)m;
    (void)fake_enter('O', 0);
    assert_non_null(state);
    assert_non_null(strchr(user, '@'));
    assert_true(o->keywords > 0 && o->folders > 0);
    if (fake.open_code < 0)
        return fake_fail(e, fake.open_code);
    fake.opened++;
    *ret = mem_zero(sizeof **ret);
    return fake_leave(0);
}

void index_close(struct index **x)
{
    (void)fake_enter('C', 0);
    fake.closed++;
    (void)fake_leave(0);
    mem_free(*x);
    *x = NULL;
}

void index_rest(struct index *x)
{
    (void)x;
    (void)pthread_mutex_lock(&fake.lock);
    fake.rested++;
    (void)pthread_mutex_unlock(&fake.lock);
}

void index_set_limits(struct index *x, const struct index_options *o)
{
    (void)x;
    (void)o;
}

bool index_left_out(struct index *x, struct err *ret)
{
    (void)x;
    (void)ret;
    return false;
}

bool index_was_rebuilt(struct index *x)
{
    bool was;

    (void)x;
    (void)pthread_mutex_lock(&fake.lock);
    was = fake.rebuilt;
    fake.rebuilt = false;
    (void)pthread_mutex_unlock(&fake.lock);
    return was;
}

int index_folder(struct index *x, struct slice name, struct index_folder *ret, struct err *e)
{
    (void)x;
    (void)fake_enter('f', 0);
    for (uint32_t i = 0; i < FAKE_FOLDERS; i++)
        if (slice_iis(name, fake.folders[i].name) && !fake.gone) {
            const struct fake_folder *f = &fake.folders[i];

            *ret = (struct index_folder){ .id = i + 1,
                                          .uidvalidity = f->uidvalidity,
                                          .uidnext = f->uidnext,
                                          .first_recent = f->first_recent,
                                          .modseq = f->modseq };
            return fake_leave(0);
        }
    return fake_fail(e, -ENOENT);
}

int index_folder_path(struct index *x, uint32_t folder, struct buf *out)
{
    (void)x;
    (void)folder;
    return fake.path != NULL ? buf_adds(out, fake.path) : 0;
}

int index_sync(struct index *x, uint32_t folder, bool take_new, struct mailbox_changes *ret, struct err *e)
{
    struct fake_folder *f;

    (void)x;
    fake_gate();
    f = fake_enter(take_new ? 'S' : 's', folder);
    if (fake.gone || fake.sync_code < 0)
        return fake_fail(e, fake.gone ? -ENOENT : fake.sync_code);
    for (size_t i = 0; i < 8; i++)
        if (f->arriving[i][0] != '\0') {
            fake_add(f, &f->unsaid);
            f->arriving[i][0] = '\0';
        }
    *ret = f->unsaid;
    f->unsaid = (struct mailbox_changes){ 0 };
    return fake_leave(fake.sync_slices-- > 0 ? MORE : DONE);
}

int index_load(struct index *x, uint32_t folder, struct mailbox_changes *ret, struct err *e)
{
    const struct fake_folder *f = fake_enter('L', folder);

    (void)x;
    (void)e;
    for (size_t i = 0; i < f->count; i++)
        mailbox_changes_add(ret, &f->all[i]);
    return fake_leave(0);
}

int index_set_recent(struct index *x, uint32_t folder, uint32_t first_recent, struct err *e)
{
    struct fake_folder *f = fake_enter('R', folder);

    (void)x;
    (void)e;
    f->first_recent = first_recent;
    return fake_leave(0);
}

int index_reserve(struct index *x, uint32_t folder, uint32_t ahead, uint32_t *ret, struct err *e)
{
    struct fake_folder *f = fake_enter('V', folder);

    (void)x;
    (void)e;
    f->reserved = *ret = f->uidnext + ahead;
    return fake_leave(0);
}

int index_append(struct index *x, struct spool *s, uint32_t folder, struct index_append *items, size_t count,
                 struct mailbox_changes *ret, struct err *e)
{
    struct fake_folder *f = fake_enter('+', folder);
    uint64_t octets = 0;

    (void)x;
    (void)s;
    for (size_t i = 0; i < count; i++)
        octets += items[i].size;
    if (octets > fake.room)
        return fake_fail(e, -EDQUOT);
    for (size_t i = 0; i < count; i++) {
        items[i].uid = f->uidnext;
        fake_add(f, ret);
    }
    return fake_leave(0);
}

static int arrive_one(struct fake_folder *f, const struct index_arrival *a)
{
    for (size_t i = 0; i < 8; i++)
        if (strcmp(f->arriving[i], a->name) == 0) {
            assert_true(a->message.uid >= f->uidnext && a->message.uid < f->reserved && a->message.modseq > f->modseq);
            f->arriving[i][0] = '\0';
            f->all[f->count++] = a->message;
            f->uidnext = a->message.uid + 1;
            f->modseq = a->message.modseq;
            return 0;
        }
    return -ENOENT;
}

int index_arrived(struct index *x, uint32_t folder, struct index_arrival *items, size_t count, struct err *e)
{
    struct fake_folder *f = fake_enter('A', folder);

    (void)x;
    for (size_t i = 0; i < count; i++) {
        items[i].code = arrive_one(f, &items[i]);
        if (items[i].code < 0)
            (void)err_set(e, items[i].code, "it is not there");
    }
    return fake_leave(0);
}

int index_names(struct index *x, struct err *e)
{
    (void)x;
    (void)fake_enter('n', 1);
    fake.named++;
    if (fake.names_code < 0)
        return fake_fail(e, fake.names_code);
    fake.names_due -= fake.names_due > 100 ? 100 : fake.names_due;
    return fake_leave(fake.names_due > 0 ? MORE : DONE);
}

uint64_t index_names_due(const struct index *x)
{
    (void)x;
    return fake.names_due;
}

int index_prepare_some(struct index *x, uint32_t folder, struct err *e)
{
    struct fake_folder *f = fake_enter('p', folder);

    (void)x;
    (void)e;
    return fake_leave(f->prepare_slices-- > 0 ? MORE : DONE);
}

int search_fill(struct index *x, uint32_t folder, struct err *e)
{
    struct fake_folder *f = fake_enter('q', folder);

    (void)x;
    (void)e;
    return fake_leave(f->search_slices-- > 0 ? MORE : DONE);
}

#endif
