/* How full a mailbox is, and which deliveries it already holds: both are read from file names. */
#include "maildir_priv.h"

#include "facteur/base/clock.h"
#include "facteur/base/mem.h"
#include "facteur/store/sys.h"

#include "dir_priv.h"
#include "maildir_name.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

enum { USAGE_MAX_AGE_MS = 600000 };

struct measure {
    uint64_t octets, messages;
};

static int measure_file(void *ctx, int dir, const char *name)
{
    struct measure *w = ctx;
    struct maildir_name parsed;
    struct stat st;

    if (name[0] == '.')
        return 0;
    maildir_name_parse(slice_str(name), &parsed);
    if (!parsed.has_size) {
        if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
            return 0;
        parsed.size = (uint64_t)st.st_size;
    }
    if (__builtin_add_overflow(w->octets, parsed.size, &w->octets))
        w->octets = UINT64_MAX; /* a name that lies fills its own mailbox only */
    w->messages++;
    return 0;
}

static void measure_folder(int root, const char *name, struct measure *w)
{
    static const char *const parts[] = { "new", "cur" };
    int folder = sys->openat(root, name, O_RDONLY | O_DIRECTORY, 0);

    for (size_t i = 0; i < 2 && folder >= 0; i++) {
        int fd = sys->openat(folder, parts[i], O_RDONLY | O_DIRECTORY, 0);

        if (fd < 0)
            continue;
        (void)dir_each(fd, measure_file, w);
        (void)sys->close(fd);
    }
    if (folder >= 0)
        (void)sys->close(folder);
}

static int measure_entry(void *ctx, int root, const char *name)
{
    if (name[0] == '.')
        measure_folder(root, name, ctx);
    return 0;
}

int opened_measure(struct maildirs *m, struct opened *box, int64_t max_age_ms, struct err *e)
{
    struct measure w = { 0 };
    bool known;
    int root, r;

    (void)pthread_mutex_lock(&m->lock);
    known = box->counted && clock_mono_ms() - box->counted_ms <= max_age_ms;
    (void)pthread_mutex_unlock(&m->lock);
    if (known)
        return 0;
    root = opened_dir(m, box->user, "");
    if (root < 0)
        return opened_refused(box->user, "open", root, e);
    measure_folder(root, ".", &w);
    r = dir_each(root, measure_entry, &w);
    (void)sys->close(root);
    if (r < 0)
        return opened_refused(box->user, "read", r, e);
    (void)pthread_mutex_lock(&m->lock);
    box->counted = true;
    box->counted_ms = clock_mono_ms();
    box->octets = w.octets;
    box->messages = w.messages;
    (void)pthread_mutex_unlock(&m->lock);
    return 0;
}

void opened_count(struct maildirs *m, struct opened *box, int messages, uint64_t octets)
{
    (void)pthread_mutex_lock(&m->lock);
    if (box->counted && messages > 0) {
        box->octets += octets;
        box->messages++;
    } else if (box->counted) {
        box->octets -= octets < box->octets ? octets : box->octets;
        box->messages -= box->messages > 0;
    }
    (void)pthread_mutex_unlock(&m->lock);
}

static uint64_t moved_by(uint64_t n, int64_t by)
{
    uint64_t less = by < 0 ? -(uint64_t)by : 0;

    return by >= 0 ? n + (uint64_t)by : n > less ? n - less : 0;
}

void opened_adjust(struct maildirs *m, const char *user, int64_t messages, int64_t octets)
{
    struct opened *box;

    (void)pthread_mutex_lock(&m->lock);
    box = map_get(&m->by_user, slice_str(user));
    if (box != NULL && box->counted) {
        box->messages = moved_by(box->messages, messages);
        box->octets = moved_by(box->octets, octets);
    }
    (void)pthread_mutex_unlock(&m->lock);
}

int maildir_usage(struct maildirs *m, const char *user, uint64_t *ret_octets, uint64_t *ret_messages, struct err *e)
{
    struct opened *box;
    int r;

    TRY(opened_acquire(m, user, &box, e));
    r = opened_measure(m, box, USAGE_MAX_AGE_MS, e);
    if (r == 0) {
        (void)pthread_mutex_lock(&m->lock);
        *ret_octets = box->octets;
        *ret_messages = box->messages;
        (void)pthread_mutex_unlock(&m->lock);
    }
    opened_release(m, &box);
    return r;
}

bool maildir_usage_known(struct maildirs *m, const char *user, uint64_t *ret_octets)
{
    const struct opened *box;
    bool known;

    if (pthread_mutex_trylock(&m->lock) != 0)
        return false;
    box = map_get(&m->by_user, slice_str(user));
    known = box != NULL && box->counted && clock_mono_ms() - box->counted_ms <= USAGE_MAX_AGE_MS;
    *ret_octets = known ? box->octets : 0;
    (void)pthread_mutex_unlock(&m->lock);
    return known;
}

/* Earlier copies. Only ids from `from` on are kept: recovery asks in ascending order and about few messages, while the
 * mailbox may hold a hundred thousand. */
struct earlier {
    struct map by_delivery; /* (id, seq) → name with 'n' or 'c' before it */
    uint64_t from;
    int64_t read_ms;
    char place;
    bool unsure; /* names changed while they were read: one may have been missed */
};

struct delivery_key {
    uint64_t id;
    uint64_t seq; /* as wide as the id, so that the struct has no padding */
};

void earlier_free(struct earlier **list)
{
    size_t cursor = 0;
    struct slice key;
    void *value;

    if (*list == NULL)
        return;
    while (map_each(&(*list)->by_delivery, &cursor, &key, &value))
        mem_free(value);
    map_clear(&(*list)->by_delivery);
    mem_free(*list);
    *list = NULL;
}

static int earlier_add(void *ctx, int dir, const char *name)
{
    struct earlier *list = ctx;
    struct maildir_name parsed;
    struct delivery_key key;
    char placed[MAILDIR_NAME + 1];

    (void)dir;
    maildir_name_parse(slice_str(name), &parsed);
    if (!parsed.ours || parsed.id < list->from)
        return 0;
    key = (struct delivery_key){ parsed.id, parsed.seq };
    placed[0] = list->place;
    if (slice_copy(slice_str(name), placed + 1, sizeof placed - 1) == 0)
        mem_free(map_put(&list->by_delivery, (struct slice){ (const char *)&key, sizeof key }, mem_str(placed)));
    return 0;
}

static bool changed_since(int dir, const struct stat *before)
{
    struct stat now;

    return fstat(dir, &now) < 0 || now.st_mtim.tv_sec != before->st_mtim.tv_sec ||
           now.st_mtim.tv_nsec != before->st_mtim.tv_nsec;
}

static struct earlier *earlier_read(struct maildirs *m, const char *user, uint64_t from)
{
    static const char *const parts[] = { "new", "cur" };
    struct earlier *list = mem_zero(sizeof *list);

    list->from = from;
    list->read_ms = clock_mono_ms();
    for (size_t i = 0; i < 2; i++) {
        int fd = opened_dir(m, user, parts[i]);
        struct stat before;

        if (fd < 0)
            continue;
        (void)fstat(fd, &before);
        list->place = parts[i][0];
        (void)dir_each(fd, earlier_add, list);
        list->unsure = list->unsure || changed_since(fd, &before);
        (void)sys->close(fd);
    }
    return list;
}

static bool earlier_fresh(const struct earlier *list, uint64_t id)
{
    return list != NULL && id >= list->from && clock_mono_ms() - list->read_ms <= MAILBOX_EARLIER_MS;
}

static bool look_up(struct maildirs *m, struct opened *box, uint64_t id, uint32_t seq, bool again, bool *ret_in_cur,
                    char name[MAILDIR_NAME], bool *ret_unsure)
{
    struct delivery_key key = { id, seq };
    struct earlier *fresh = NULL;
    const char *placed;
    bool found = false;

    (void)pthread_mutex_lock(&m->lock);
    if (again || !earlier_fresh(box->earlier, id)) {
        (void)pthread_mutex_unlock(&m->lock);
        fresh = earlier_read(m, box->user, id); /* long: not under the lock */
        (void)pthread_mutex_lock(&m->lock);
        earlier_free(&box->earlier);
        box->earlier = fresh;
    }
    placed = map_get(&box->earlier->by_delivery, (struct slice){ (const char *)&key, sizeof key });
    if (placed != NULL && slice_copy(slice_str(placed + 1), name, MAILDIR_NAME) == 0) {
        *ret_in_cur = placed[0] == 'c';
        found = true;
    }
    *ret_unsure = box->earlier->unsure;
    (void)pthread_mutex_unlock(&m->lock);
    return found;
}

/* The owner's session may have given it another name since the list was read. */
static bool is_there(struct maildirs *m, const char *user, bool in_cur, const char *name)
{
    struct stat st;
    int dir = opened_dir(m, user, in_cur ? "cur" : "new");
    bool there = dir >= 0 && fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0;

    if (dir >= 0)
        (void)sys->close(dir);
    return there;
}

bool earlier_find(struct maildirs *m, struct opened *box, uint64_t id, uint32_t seq, bool *ret_in_cur,
                  char name[MAILDIR_NAME])
{
    bool found = true, unsure = true;

    for (int i = 0; i < EARLIER_LOOKS && (found || unsure); i++) {
        found = look_up(m, box, id, seq, i > 0, ret_in_cur, name, &unsure);
        if (found && is_there(m, box->user, *ret_in_cur, name))
            return true;
    }
    *ret_in_cur = false;
    return false;
}
