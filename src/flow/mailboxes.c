#include "mailboxes_priv.h"

#include "facteur/base/clock.h"
#include "facteur/base/mem.h"

#include <sys/resource.h>

/* Indexes that are not at rest may hold a quarter of the process's descriptors: a database, and three directories for
 * each folder that was looked at. */
enum { QUIET_SHARE = 4, QUIET_DESCRIPTORS = 32 };

/* --- accounts --- */

static void account_free(struct account *a)
{
    list_unlink(&a->background_link);
    lane_wake(a);
    list_unlink(&a->names_link);
    mem_free(a->user);
    mem_free(a);
}

static void take_out(struct account *a)
{
    if (!link_is_in(&a->idle_link))
        return;
    list_unlink(&a->idle_link);
    a->m->idle_count--;
}

static void close_idle(struct account *a)
{
    take_out(a);
    LIST_EACH (l, &a->boxes) {
        box_free(LIST_ENTRY(l, struct open_mailbox, link));
    }
    lane_close(a);
}

void account_ref(struct account *a)
{
    a->users++;
    take_out(a);
}

void account_unref(struct account *a)
{
    struct mailboxes *m = a->m;

    if (--a->users > 0 || a->closing || m->cut_off)
        return;
    a->until_ms = clock_mono_ms() + MAILBOXES_LINGER_MS;
    list_push(&m->idle, &a->idle_link);
    m->idle_count++;
    if (m->stopping)
        close_idle(a);
    else if (m->idle_count > MAILBOXES_IDLE)
        close_idle(LIST_ENTRY(m->idle.next, struct account, idle_link));
    mailboxes_set_linger(m);
}

static void tell_stopped(struct deferred *d)
{
    struct mailboxes *m = LIST_ENTRY(d, struct mailboxes, stopped);

    m->stopping = false;
    m->on_stopped(m->on_stopped_owner);
}

static void check_stopped(struct mailboxes *m)
{
    if (m->stopping && m->accounts.count == 0)
        loop_defer(m->f->loop, &m->stopped, tell_stopped);
}

void account_closed(struct account *a)
{
    struct mailboxes *m = a->m;

    if (a->users > 0)
        return; /* somebody came meanwhile: the next job opens the index again */
    (void)map_take(&m->accounts, slice_str(a->user));
    account_free(a);
    check_stopped(m);
}

static struct account *account_new(struct mailboxes *m, const char *user)
{
    struct account *a = mem_zero(sizeof *a);

    a->m = m;
    a->user = mem_str(user);
    a->maildirs = m->f->maildirs;
    a->state = m->state;
    a->output.whole = &m->f->output;
    list_init(&a->boxes);
    list_init(&a->urgent);
    list_init(&a->line);
    list_init(&a->appends);
    (void)map_put(&m->accounts, slice_str(user), a);
    return a;
}

struct account *account_open(struct mailboxes *m, const char *user, uint64_t quota)
{
    struct account *a = map_get(&m->accounts, slice_str(user));

    if (a == NULL) {
        a = account_new(m, user);
        a->wanted = m->options;
        a->wanted.quota = quota;
        a->options = a->wanted;
    }
    account_ref(a);
    return a;
}

void account_close(struct account **a)
{
    if (*a != NULL)
        account_unref(*a);
    *a = NULL;
}

const char *account_user(const struct account *a)
{
    return a->user;
}

struct meter *account_output(struct account *a)
{
    return &a->output;
}

bool account_has_room(const struct account *a, uint64_t octets)
{
    uint64_t quota = a->wanted.quota, used;

    if (quota == 0 || !maildir_usage_known(a->maildirs, a->user, &used))
        return true;
    return used <= quota && octets <= quota - used;
}

/* --- lingering --- */

static bool linger_over(const struct link *head, int64_t until_ms, int64_t now_ms)
{
    return !list_empty(head) && until_ms <= now_ms;
}

static int64_t first_account_ms(const struct mailboxes *m)
{
    return list_empty(&m->idle) ? INT64_MAX : LIST_ENTRY(m->idle.next, struct account, idle_link)->until_ms;
}

static int64_t first_box_ms(const struct mailboxes *m)
{
    return list_empty(&m->idle_boxes) ? INT64_MAX
                                      : LIST_ENTRY(m->idle_boxes.next, struct open_mailbox, lingering)->until_ms;
}

static int64_t first_quiet_ms(const struct mailboxes *m)
{
    if (m->quiet_count > m->quiet_most)
        return 0; /* at once */
    return list_empty(&m->quiet) ? INT64_MAX : LIST_ENTRY(m->quiet.next, struct account, quiet_link)->rest_ms;
}

void mailboxes_set_linger(struct mailboxes *m)
{
    int64_t account = first_account_ms(m), box = first_box_ms(m), quiet = first_quiet_ms(m);
    int64_t first = account < box ? account : box;

    first = quiet < first ? quiet : first;

    if (first == INT64_MAX)
        timer_stop(m->linger);
    else
        timer_set(m->linger, first - clock_mono_ms());
}

static void on_linger(void *owner)
{
    struct mailboxes *m = owner;
    int64_t now = clock_mono_ms();

    while (linger_over(&m->idle_boxes, first_box_ms(m), now))
        box_free(LIST_ENTRY(m->idle_boxes.next, struct open_mailbox, lingering));
    while (linger_over(&m->quiet, first_quiet_ms(m), now))
        lane_rest(LIST_ENTRY(m->quiet.next, struct account, quiet_link));
    while (linger_over(&m->idle, first_account_ms(m), now))
        close_idle(LIST_ENTRY(m->idle.next, struct account, idle_link));
    mailboxes_set_linger(m);
}

/* --- all of them --- */

static void on_background_due(void *owner)
{
    background_offer(owner);
}

static size_t descriptors(void)
{
    struct rlimit files;

    return getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < SIZE_MAX ? (size_t)files.rlim_cur : SIZE_MAX;
}

static void share(void *pool, void (*fn)(void *), void *arg)
{
    job_share(pool, fn, arg);
}

struct mailboxes *mailboxes_new(struct flow *f,
                                int (*prepare)(int fd, uint64_t stored, struct arena *a, struct index_prepared *ret))
{
    struct mailboxes *m = mem_zero(sizeof *m);

    m->f = f;
    m->state = mem_str(f->config->state);
    m->options.prepare = prepare;
    m->options.share = share;
    m->options.share_arg = f->pool;
    list_init(&m->idle);
    list_init(&m->idle_boxes);
    list_init(&m->background);
    list_init(&m->quiet);
    m->quiet_most = descriptors() / QUIET_SHARE / QUIET_DESCRIPTORS + 1;
    list_init(&m->names);
    m->linger = timer_new(f->loop, on_linger, m);
    m->background_due = timer_new(f->loop, on_background_due, m);
    mailboxes_configure(m, f->config);
    return m;
}

void mailboxes_configure(struct mailboxes *m, const struct config *config)
{
    struct slice key;
    size_t cursor = 0;
    void *value;

    m->options.keywords = config->limits.keywords < KEYWORDS_MAX ? config->limits.keywords : KEYWORDS_MAX;
    m->options.folders = config->limits.mailboxes;
    m->options.uid_block = RESERVE_AHEAD;
    m->options.search = config->imap.search_index;
    m->options.search_max = config->imap.search_size;
    m->options.mime = (struct mime_limits){ config->limits.mime_depth, config->limits.mime_parts };
    while (map_each(&m->accounts, &cursor, &key, &value)) {
        struct account *a = value;
        const struct conf_user *user = config_user(config, a->user);
        uint64_t quota = user != NULL ? user->quota : a->wanted.quota;

        a->wanted = m->options;
        a->wanted.quota = quota;
    }
}

void mailboxes_stop(struct mailboxes *m, void (*done)(void *owner), void *owner)
{
    m->stopping = true;
    m->on_stopped = done;
    m->on_stopped_owner = owner;
    while (!list_empty(&m->idle))
        close_idle(LIST_ENTRY(m->idle.next, struct account, idle_link));
    check_stopped(m);
}

/* The process ends in haste: what runs comes to the end of its slice, the rest is left. */
static void cut_off(struct mailboxes *m)
{
    struct slice key;
    size_t cursor = 0;
    void *value;

    m->cut_off = true;
    while (m->accounts.count > 0 && !job_pool_idle(m->f->pool))
        (void)loop_run_once(m->f->loop);
    while (map_each(&m->accounts, &cursor, &key, &value)) {
        struct account *a = value;

        lane_drop_all(a);
        LIST_EACH (l, &a->boxes) {
            box_free(LIST_ENTRY(l, struct open_mailbox, link));
        }
        if (a->index != NULL)
            index_close(&a->index);
        account_free(a);
    }
}

void mailboxes_free(struct mailboxes **mailboxes)
{
    struct mailboxes *m = *mailboxes;

    if (m == NULL)
        return;
    cut_off(m);
    loop_defer_cancel(m->f->loop, &m->stopped);
    timer_close(&m->linger);
    timer_close(&m->names_timer);
    timer_close(&m->background_due);
    arrive_forget(m);
    map_clear(&m->accounts);
    mem_free(m->state);
    mem_free(m);
    *mailboxes = NULL;
}

struct mailboxes_stats mailboxes_stats(const struct mailboxes *m)
{
    struct mailboxes_stats s = { .accounts = (unsigned)m->accounts.count,
                                 .arrivals = m->arrivals,
                                 .rebuilt = m->rebuilt };
    struct slice key;
    size_t cursor = 0;
    void *value;

    while (map_each(&m->accounts, &cursor, &key, &value)) {
        const struct account *a = value;

        LIST_EACH (l, &a->boxes) {
            s.mailboxes++;
            LIST_EACH (view, &LIST_ENTRY(l, struct open_mailbox, link)->m.views) {
                s.views++;
            }
        }
    }
    return s;
}
