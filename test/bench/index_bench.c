/* How fast the index is without a network and without reading messages apart: one Maildir of N messages that another
 * program wrote.
 *
 *   index_bench STATE MESSAGES [sizes]
 *
 * STATE is an empty directory on the disk in question. With "sizes" the names carry ,S= and ,W=, as Dovecot's do. */
#include "facteur/base/clock.h"
#include "facteur/base/mem.h"
#include "facteur/store/index.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define USER "anna@example.org"

static struct index *box;
static uint32_t inbox;
static int64_t began_us, longest_us;
static char body[4096];

static void must(int r, const struct err *e)
{
    if (r >= 0)
        return;
    (void)fprintf(stderr, "%d: %s\n", r, e->text);
    exit(1);
}

/* What a message is taken apart into, in length. */
static int prepare(int fd, uint64_t stored, struct arena *a, struct index_prepared *ret)
{
    static char piece[65536];
    char *text = arena_zero(a, 1024);

    if (pread(fd, piece, sizeof piece, 0) != (ssize_t)stored)
        return -EIO;
    memset(text, 'x', 1024);
    ret->envelope = slice_make(text, 380);
    ret->structure = slice_make(text, 200);
    ret->body = slice_make(text, 80);
    ret->preview = slice_make(text, 150);
    ret->from = ret->to = ret->display_from = ret->display_to = slice_make(text, 20);
    ret->subject = ret->message_id = slice_make(text, 40);
    memcpy(ret->email_id, "E0123456789abcdef0123456789abcdef012", 36);
    return 0;
}

static void start(void)
{
    began_us = clock_mono_us();
    longest_us = 0;
}

static int64_t slice_start(void)
{
    return clock_mono_us();
}

static void slice_end(int64_t since)
{
    int64_t took = clock_mono_us() - since;

    longest_us = took > longest_us ? took : longest_us;
}

static void report(const char *what, size_t n)
{
    int64_t us = clock_mono_us() - began_us;
    struct rusage u;

    (void)getrusage(RUSAGE_SELF, &u);
    (void)printf("%-28s %8.1f ms %9.0f /s  longest slice %6.1f ms  most memory %ld KiB\n", what, (double)us / 1000,
                 (double)n * 1e6 / (double)us, (double)longest_us / 1000, u.ru_maxrss);
}

static void fill(const char *state, size_t n, bool sizes)
{
    for (size_t i = 0; i < n; i++) {
        char path[1024];
        int fd;

        (void)snprintf(path, sizeof path, "%s/mail/example.org/anna/Maildir/cur/%zu.M%zuP1.host%s:2,S", state,
                       1600000000 + i, i, sizes ? ",S=4096,W=4160" : "");
        fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
        if (fd < 0 || write(fd, body, sizeof body) != sizeof body)
            exit(1);
        (void)close(fd);
    }
}

static size_t sync_box(const char *what, size_t n)
{
    struct mailbox_changes c = { 0 };
    struct err e = { 0 };
    size_t found = 0;
    int r;

    start();
    do {
        int64_t since = slice_start();

        r = index_sync(box, inbox, true, &c, &e);
        slice_end(since);
        must(r, &e);
        found += c.count;
        mailbox_changes_clear(&c);
    } while (r == MORE);
    report(what, n);
    return found;
}

static int count_octets(void *to, const struct index_row *row)
{
    *(uint64_t *)to += row->prepared->envelope.n;
    return 0;
}

static void read_rows(const char *what, unsigned fields, size_t n)
{
    struct ranges all = { 0 };
    struct err e = { 0 };
    uint64_t octets = 0;
    uint32_t from = 0;
    int r;

    must(ranges_add(&all, 1, UINT32_MAX), &e);
    start();
    do {
        int64_t since = slice_start();

        r = index_read(box, inbox, &all, &from, fields, count_octets, &octets, &e);
        slice_end(since);
        must(r, &e);
    } while (r == MORE);
    report(what, n);
    ranges_clear(&all);
}

static void open_messages(size_t n)
{
    struct err e = { 0 };

    start();
    for (size_t i = 1; i <= n; i++) {
        uint64_t size;
        int fd;

        must(index_message(box, inbox, (uint32_t)i, &fd, &size, &e), &e);
        (void)close(fd);
    }
    report("open and close each", n);
}

static void change(const char *what, enum index_how how, uint8_t flags, bool expunge, size_t n)
{
    struct index_store op = { .how = how, .flags = flags };
    struct ranges all = { 0 }, modified = { 0 };
    struct mailbox_changes c = { 0 };
    struct err e = { 0 };
    uint32_t from = 0;
    int r;

    must(ranges_add(&all, 1, UINT32_MAX), &e);
    start();
    do {
        int64_t since = slice_start();

        r = expunge ? index_expunge(box, inbox, &all, &from, true, &c, &e)
                    : index_store(box, inbox, &all, &from, &op, &c, &modified, &e);
        slice_end(since);
        must(r, &e);
        mailbox_changes_clear(&c);
    } while (r == MORE);
    report(what, n);
    ranges_clear(&all);
}

static void append(struct spool *s, size_t n)
{
    struct err e = { 0 };

    start();
    for (size_t i = 0; i < n; i++) {
        struct index_append item = { .body = { body, sizeof body }, .size = sizeof body, .wire_size = 4160 };
        struct mailbox_changes c = { 0 };
        int64_t since = slice_start();

        must(index_append(box, s, inbox, &item, 1, &c, &e), &e);
        slice_end(since);
        mailbox_changes_clear(&c);
    }
    report("append", n);
}

static void copy(const char *name, bool move, size_t n)
{
    struct mailbox_changes gone = { 0 }, added = { 0 };
    struct ranges all = { 0 }, from = { 0 }, to = { 0 };
    struct index_folder f;
    struct err e = { 0 };

    must(index_folder(box, slice_str(name), &f, &e), &e);
    must(ranges_add(&all, 1, UINT32_MAX), &e);
    start();
    must(index_copy(box, inbox, &all, f.id, move, &gone, &added, &from, &to, &e), &e);
    report(move ? "move" : "copy", n);
    mailbox_changes_clear(&gone);
    mailbox_changes_clear(&added);
    ranges_clear(&all);
    ranges_clear(&from);
    ranges_clear(&to);
}

static void open_box(struct maildirs *m, const char *state)
{
    static const struct index_options options = {
        .keywords = 64, .folders = 100, .uid_block = 1000, .prepare = prepare
    };
    struct index_folder f;
    struct err e = { 0 };

    must(index_open(m, state, USER, &options, &box, &e), &e);
    must(index_folder(box, SLICE_LIT("INBOX"), &f, &e), &e);
    inbox = f.id;
}

static void load(const char *what, size_t n)
{
    struct mailbox_changes c = { 0 };
    struct err e = { 0 };

    start();
    must(index_load(box, inbox, &c, &e), &e);
    report(what, n);
    mailbox_changes_clear(&c);
}

int main(int argc, char **argv)
{
    size_t n = argc > 2 ? strtoul(argv[2], NULL, 10) : 10000;
    struct maildirs *m = NULL;
    struct spool *s = NULL;
    struct err e = { 0 };

    if (argc < 2)
        return 2;
    for (size_t i = 0; i < sizeof body; i++)
        body[i] = i % 64 == 63 ? '\n' : 'x';
    must(maildirs_open(argv[1], &m, &e), &e);
    must(spool_open(argv[1], &s, &e), &e);
    must(maildir_make(m, USER, &e), &e);
    fill(argv[1], n, argc > 3);
    open_box(m, argv[1]);
    (void)sync_box("first look", n);
    load("load", n);
    read_rows("prepare", INDEX_ENVELOPE, n);
    read_rows("envelopes", INDEX_ENVELOPE, n);
    read_rows("all prepared texts", INDEX_SORT, n);
    start();
    index_close(&box);
    report("close", 1);
    start();
    open_box(m, argv[1]);
    report("open", 1);
    (void)sync_box("look after opening", n);
    load("load", n);
    read_rows("envelopes", INDEX_ENVELOPE, n);
    open_messages(n);
    change("flags set", FLAGS_ADD, FLAG_FLAGGED, false, n);
    change("flags replaced", FLAGS_REPLACE, FLAG_SEEN | FLAG_DELETED, false, n);
    (void)sync_box("look after that", n);
    copy("Archive", false, n);
    append(s, 2000);
    change("expunge", FLAGS_ADD, 0, true, n + 2000);
    index_close(&box);
    spool_close(&s);
    maildirs_close(&m);
    return 0;
}
