/* What the tests of store/index share: a user's Maildir, an index on it, and a list kept by what the index tells. */
#ifndef FACTEUR_TEST_INDEX_TEST_H
#define FACTEUR_TEST_INDEX_TEST_H

#include "store/store_test.h"

#include "facteur/base/clock.h"
#include "facteur/store/index.h"
#include "facteur/store/sys.h"

#include <signal.h>
#include <sys/wait.h>

#define USER "anna@example.org"
#define HOME "mail/example.org/anna"
#define BOX  HOME "/Maildir"

static struct dir state;
static struct maildirs *maildirs;
static struct spool *spool;
static struct index *box;
static struct mailbox list; /* of INBOX */
static uint32_t inbox;
static unsigned prepared_count;

/* The first line of the message is its ENVELOPE. */
static UNUSED int prepare(int fd, uint64_t stored, struct arena *a, struct index_prepared *ret)
{
    char text[200];
    ssize_t n = pread(fd, text, sizeof text, 0);

    (void)stored;
    if (n < 0)
        return -errno;
    prepared_count++;
    ret->envelope = slice_str(arena_str(a, slice_head(slice_make(text, (size_t)n), strcspn(text, "\n"))));
    ret->structure = SLICE_LIT("(structure)");
    ret->subject = SLICE_LIT("subject");
    ret->preview = SLICE_LIT("preview");
    ret->sent_ms = 1234567;
    ret->reply = true;
    memcpy(ret->email_id, "Eabc", 5);
    return 0;
}

static struct index_options options;

static UNUSED void must(int code, const struct err *e)
{
    if (code < 0)
        fail_msg("%d: %s", code, e->text);
}

static UNUSED void open_box(void)
{
    struct err e = { 0 };
    struct index_folder f;

    must(index_open(maildirs, state.path, USER, &options, &box, &e), &e);
    must(index_folder(box, SLICE_LIT("INBOX"), &f, &e), &e);
    inbox = f.id;
}

static UNUSED int setup(void **ctx)
{
    (void)ctx;
    options = (struct index_options){ .keywords = 64, .folders = 12, .uid_block = 16, .prepare = prepare };
    dir_make(&state);
    assert_int_equal(maildirs_open(state.path, &maildirs, NULL), 0);
    assert_int_equal(spool_open(state.path, &spool, NULL), 0);
    assert_int_equal(maildir_make(maildirs, USER, NULL), 0);
    mailbox_init(&list);
    open_box();
    return 0;
}

static UNUSED int teardown(void **ctx)
{
    (void)ctx;
    sys = &sys_kernel;
    clock_thaw();
    mailbox_clear(&list);
    index_close(&box);
    maildirs_close(&maildirs);
    spool_close(&spool);
    dir_remove(&state);
    return 0;
}

static UNUSED const char *in_box(const char *name)
{
    static char paths[4][1024];
    static unsigned next;
    char *p = paths[next++ % 4];

    (void)snprintf(p, sizeof paths[0], "%s/" BOX "/%s", state.path, name);
    return p;
}

static UNUSED void put(const char *name, const char *text)
{
    file_write(in_box(name), text, strlen(text));
    file_age(in_box(name));
}

static UNUSED void apply(struct mailbox_changes *c)
{
    mailbox_apply(&list, c, NULL, false);
    mailbox_changes_clear(c);
}

/* All slices; how many there were. */
static UNUSED int sync_with(bool take_new)
{
    struct mailbox_changes c = { 0 };
    struct err e = { 0 };
    int r, slices = 0;

    do {
        r = index_sync(box, inbox, take_new, &c, &e);
        must(r, &e);
        apply(&c);
        slices++;
    } while (r == MORE);
    return slices;
}

/* The names that are due are written; how many slices it took. */
static UNUSED int write_names(void)
{
    struct err e = { 0 };
    int r, slices = 0;

    do {
        r = index_names(box, &e);
        must(r, &e);
        slices++;
    } while (r == MORE);
    assert_int_equal(index_names_due(box), 0);
    return slices;
}

static UNUSED int sync_box(void)
{
    return sync_with(true);
}

static UNUSED void load(void)
{
    struct mailbox_changes c = { 0 };
    struct err e = { 0 };

    must(index_load(box, inbox, &c, &e), &e);
    assert_true(c.complete);
    apply(&c);
}

/* As mailboxes are opened: look, then load. */
static UNUSED void sync_and_load(void)
{
    (void)sync_box();
    load();
}

static UNUSED void reopen(void)
{
    index_close(&box);
    mailbox_clear(&list);
    mailbox_init(&list);
    open_box();
    sync_and_load();
}

/* Does it in a process that is killed after it: nothing is closed. Failed assertions show as its status. */
static UNUSED void in_dying_process(void (*fn)(void))
{
    pid_t child;
    int status = 0;

    index_close(&box);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        open_box();
        sync_and_load();
        fn();
        (void)kill(getpid(), SIGKILL);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    mailbox_clear(&list);
    mailbox_init(&list);
    open_box();
    sync_and_load();
}

/* "uid" or "uid:flags" of all messages, as the list has them. */
static UNUSED const char *listed(void)
{
    static char text[4096];
    size_t n = 0;

    text[0] = '\0';
    for (size_t i = 0; i < list.count; i++) {
        const struct mailbox_message *m = &list.messages[i];

        n += (size_t)snprintf(text + n, sizeof text - n, "%s%u", i > 0 ? " " : "", m->uid);
        if (m->flags != 0 || m->keywords != 0)
            n += (size_t)snprintf(text + n, sizeof text - n, ":%x", m->flags);
        if (m->keywords != 0)
            n += (size_t)snprintf(text + n, sizeof text - n, "/%llx", (unsigned long long)m->keywords);
    }
    return text;
}

static UNUSED uint32_t folder_named(const char *name)
{
    struct index_folder f;
    struct err e = { 0 };

    must(index_folder(box, slice_str(name), &f, &e), &e);
    return f.id;
}

static UNUSED struct index_folder folder_now(void)
{
    struct index_folder f;
    struct err e = { 0 };

    must(index_folder(box, SLICE_LIT("INBOX"), &f, &e), &e);
    return f;
}

static UNUSED struct ranges uids(uint32_t from, uint32_t to)
{
    struct ranges r = { 0 };

    assert_int_equal(ranges_add(&r, from, to), 0);
    return r;
}

static UNUSED int store_flags(uint32_t from, uint32_t to, enum index_how how, uint8_t flags, uint64_t keywords)
{
    struct index_store op = { .how = how, .flags = flags, .keywords = keywords };
    struct ranges r = uids(from, to), modified = { 0 };
    struct mailbox_changes c = { 0 };
    struct err e = { 0 };
    uint32_t at = 0;
    int code;

    do {
        code = index_store(box, inbox, &r, &at, &op, &c, &modified, &e);
        if (code >= 0)
            apply(&c);
    } while (code == MORE);
    ranges_clear(&r);
    ranges_clear(&modified);
    return code;
}

static UNUSED int expunge(uint32_t from, uint32_t to, bool any)
{
    struct ranges r = uids(from, to);
    struct mailbox_changes c = { 0 };
    struct err e = { 0 };
    uint32_t at = 0;
    int code;

    do {
        code = index_expunge(box, inbox, &r, &at, any, &c, &e);
        if (code >= 0)
            apply(&c);
    } while (code == MORE);
    ranges_clear(&r);
    return code;
}

static UNUSED int append_to(uint32_t folder, const char *text, uint8_t flags, uint32_t *ret_uid)
{
    size_t n = strlen(text), lines = 0;
    struct index_append item = { .body = { text, n }, .flags = flags, .size = n, .internal_ms = 1600000000500 };
    struct mailbox_changes c = { 0 };
    struct err e = { 0 };
    int r;

    for (size_t i = 0; i < n; i++)
        lines += text[i] == '\n';
    item.wire_size = n + lines;
    r = index_append(box, spool, folder, &item, 1, &c, &e);
    if (r == 0 && folder == inbox)
        apply(&c);
    mailbox_changes_clear(&c);
    if (r == 0 && ret_uid != NULL)
        *ret_uid = item.uid;
    return r;
}

static UNUSED int append(const char *text, uint8_t flags)
{
    return append_to(inbox, text, flags, NULL);
}

/* The message's octets; "" when it is not there. */
static UNUSED const char *text_of(uint32_t folder, uint32_t uid)
{
    static char text[256];
    uint64_t size;
    ssize_t n;
    int fd;

    if (index_message(box, folder, uid, &fd, &size, NULL) < 0)
        return "";
    n = pread(fd, text, sizeof text - 1, 0);
    (void)close(fd);
    assert_int_equal(n, size);
    text[n] = '\0';
    return text;
}

/* The name of the file in `part` that has `needle` in its name. */
static UNUSED bool find_file(const char *part, const char *needle, char name[256])
{
    DIR *d = opendir(in_box(part));
    const struct dirent *entry;
    bool found = false;

    assert_non_null(d);
    while (!found && (entry = readdir(d)) != NULL)
        if (strstr(entry->d_name, needle) != NULL) {
            (void)snprintf(name, 256, "%s", entry->d_name);
            found = true;
        }
    (void)closedir(d);
    return found;
}

/* Another program gives the message with that UID other letters. */
static UNUSED void rename_letters(const char *uid_field, const char *letters)
{
    char name[256], from[300], to[600];

    (void)write_names();
    assert_true(find_file("cur", uid_field, name));
    (void)snprintf(from, sizeof from, "cur/%s", name);
    (void)snprintf(to, sizeof to, "cur/%.*s:2,%s", (int)strcspn(name, ":"), name, letters);
    assert_int_equal(rename(in_box(from), in_box(to)), 0);
}

/* Own changes may hide others of the same instant for a while; tests do not wait for that. */
static UNUSED void look_closely(void)
{
    static time_t seconds = 1500000000; /* not now: two looks may fall into one tick */
    struct timespec other[2] = { { .tv_sec = ++seconds }, { .tv_sec = seconds } };

    assert_int_equal(utimensat(AT_FDCWD, in_box("cur"), other, 0), 0);
    assert_int_equal(utimensat(AT_FDCWD, in_box("new"), other, 0), 0);
}

#endif
