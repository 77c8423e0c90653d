#include "store/store_test.h"

#include "facteur/base/clock.h"
#include "facteur/store/index.h"
#include "facteur/store/sys.h"

#define USER "anna@example.org"
#define BOX  "mail/example.org/anna/Maildir"

static struct dir state;
static struct maildirs *maildirs;
static struct index *box;
static const struct index_options options = { .keywords = 64, .folders = 12, .uid_block = 16 };

static void open_box(void)
{
    struct err e = { 0 };

    if (index_open(maildirs, state.path, USER, &options, &box, &e) < 0)
        fail_msg("%s", e.text);
}

static void reopen(void)
{
    index_close(&box);
    open_box();
}

static int setup_empty(void **ctx)
{
    (void)ctx;
    dir_make(&state);
    assert_int_equal(maildirs_open(state.path, &maildirs, NULL), 0);
    assert_int_equal(maildir_make(maildirs, USER, NULL), 0);
    return 0;
}

static int setup(void **ctx)
{
    (void)setup_empty(ctx);
    open_box();
    return 0;
}

static int teardown(void **ctx)
{
    (void)ctx;
    sys = &sys_kernel;
    index_close(&box);
    maildirs_close(&maildirs);
    dir_remove(&state);
    return 0;
}

static const char *in_box(const char *name)
{
    static char paths[4][1024];
    static unsigned next;
    char *p = paths[next++ % 4];

    (void)snprintf(p, sizeof paths[0], "%s/" BOX "/%s", state.path, name);
    return p;
}

static void make_dir(const char *dir)
{
    static const char *const parts[] = { "", "/cur", "/new", "/tmp" };
    char name[400];

    for (size_t i = 0; i < 4; i++) {
        (void)snprintf(name, sizeof name, "%s%s", dir, parts[i]);
        assert_int_equal(mkdir(in_box(name), 0700), 0);
    }
}

static void put_message(const char *dir, const char *name)
{
    char path[400];

    (void)snprintf(path, sizeof path, "%s/cur/%s", dir, name);
    file_write(in_box(path), "Subject: x\n\nx\n", 14);
    file_age(in_box(path));
}

/* "name[!][+][/][\Use]" of each: ! does not exist, + subscribed, / has children. */
static void note_entry(void *to, const struct index_entry *entry)
{
    static const char *const uses[] = {
        "", "\\All", "\\Archive", "\\Drafts", "\\Flagged", "\\Junk", "\\Sent", "\\Trash"
    };
    struct buf *b = to;

    assert_int_equal(entry->exists, entry->folder != 0);
    assert_int_equal(entry->exists, entry->mailbox_id[0] != '\0');
    assert_true(buf_addf(b, "%.*s%s%s%s%s\n", SLICE_ARG(entry->name), entry->exists ? "" : "!",
                         entry->subscribed ? "+" : "", entry->has_children ? "/" : "", uses[entry->special]) == 0);
}

static void lists(const char *text)
{
    struct buf b;

    buf_init(&b, 65536);
    assert_int_equal(index_list(box, note_entry, &b, NULL), 0);
    assert_string_equal(buf_cstr(&b), text);
    buf_clear(&b);
}

static int create(const char *name)
{
    return index_create(box, slice_str(name), SPECIAL_NONE, NULL);
}

static int rename_to(const char *from, const char *to)
{
    return index_rename(box, slice_str(from), slice_str(to), NULL);
}

static struct index_folder folder(const char *name)
{
    struct index_folder f = { 0 };
    struct err e = { 0 };

    if (index_folder(box, slice_str(name), &f, &e) < 0)
        fail_msg("%s: %s", name, e.text);
    return f;
}

static bool is_there(const char *name)
{
    struct index_folder f;

    return index_folder(box, slice_str(name), &f, NULL) == 0;
}

static struct index_status status(const char *name)
{
    struct index_status s = { 0 };
    struct index_folder f = folder(name);
    int r;

    do {
        r = index_status(box, f.id, &s, NULL);
    } while (r == MORE);
    assert_int_equal(r, DONE);
    return s;
}

#define FIRST "INBOX+\nArchive+\\Archive\nDrafts+\\Drafts\nJunk+\\Junk\nSent+\\Sent\nTrash+\\Trash\n"

static void test_first_folders(void **ctx)
{
    (void)ctx;
    lists(FIRST);
    assert_int_equal(access(in_box(".Sent/maildirfolder"), F_OK), 0);
    assert_true(is_there("inbox"));
    assert_int_equal(rename_to("Trash", "Rubbish"), 0);
    assert_int_equal(index_delete(box, SLICE_LIT("Junk"), NULL), 0);
    reopen();
    lists("INBOX+\nArchive+\\Archive\nDrafts+\\Drafts\nJunk!+\nRubbish\\Trash\nSent+\\Sent\nTrash!+\n");
    index_close(&box);
    assert_int_equal(unlink(in_box("../index.db")), 0);
    (void)unlink(in_box("../index.db-wal"));
    open_box();
    lists("INBOX+\nArchive+\\Archive\nDrafts+\\Drafts\nJunk!+\nRubbish\\Trash\nSent+\\Sent\nTrash!+\n");
    assert_int_equal(create("Trash"), 0); /* there is one for that */
    assert_int_equal(create("Junk"), 0);
    assert_int_equal(folder("Trash").special, SPECIAL_NONE);
    assert_int_equal(folder("Junk").special, SPECIAL_JUNK);
}

/* A crash while they were made: the missing ones are made. */
static void test_first_folders_again(void **ctx)
{
    (void)ctx;
    make_dir(".Sent");
    make_dir("facteur-new-0123456789abc");
    open_box();
    lists(FIRST);
    assert_int_equal(access(in_box("facteur-new-0123456789abc"), F_OK), -1);
}

/* What others have made is taken as it is. */
static void test_foreign(void **ctx)
{
    (void)ctx;
    make_dir(".Sent Messages");
    make_dir(".INBOX.Drafts");
    make_dir(".R\xc3\xa4");
    make_dir(".a&AC4-b");
    make_dir(".\xff");
    make_dir(".a..b");
    make_dir(".A&B");
    make_dir(".A&-B"); /* the same name as the one before: it wins */
    assert_int_equal(symlink("/etc", in_box(".link")), 0);
    file_write(in_box(".file"), "", 0);
    open_box();
    lists("INBOX/\nINBOX/Drafts\\Drafts\nA&B\nR\xc3\xa4\nSent Messages\\Sent\na.b\n");
    assert_int_equal(rmdir(in_box(".a&AC4-b/cur")), 0); /* is made again when it is needed */
    assert_int_equal(status("a.b").messages, 0);
    assert_int_equal(create("link"), -EEXIST);
    assert_int_equal(rename_to("A&B", "link"), -EEXIST);
    assert_true(is_there("A&B"));
}

static void test_foreign_changes(void **ctx)
{
    uint32_t uidvalidity;

    (void)ctx;
    assert_int_equal(create("a"), 0);
    put_message(".a", "1.x:2,S");
    uidvalidity = status("a").uidvalidity;
    assert_int_equal(rename(in_box(".a"), in_box(".b")), 0);
    make_dir(".c.d");
    assert_false(is_there("a"));
    assert_int_equal(status("b").messages, 1);
    assert_int_equal(status("b").uidvalidity, uidvalidity);
    lists(FIRST "b\nc!/\nc/d\n");
}

/* A directory that another program moves away and back is the folder that it was: its modseq goes on. */
static void test_gone_and_back(void **ctx)
{
    struct index_folder was, now;

    (void)ctx;
    clock_freeze(0, clock_wall_ms());
    assert_int_equal(create("a"), 0);
    for (int i = 0; i < 3; i++) {
        char name[20];

        (void)snprintf(name, sizeof name, "%d.x:2,S", i);
        put_message(".a", name);
        (void)status("a");
    }
    was = folder("a");
    assert_int_equal(rename(in_box(".a"), in_box("away")), 0);
    assert_false(is_there("a"));
    assert_int_equal(rename(in_box("away"), in_box(".a")), 0);
    now = folder("a");
    assert_int_equal(now.uidvalidity, was.uidvalidity);
    assert_true(now.modseq > was.modseq);
    assert_int_equal(rename(in_box(".a"), in_box("away")), 0);
    assert_false(is_there("a"));
    reopen();
    clock_advance(1000);
    assert_int_equal(rename(in_box("away"), in_box(".a")), 0);
    assert_true(folder("a").modseq > now.modseq);
    clock_thaw();
}

static void test_create(void **ctx)
{
    struct err e = { 0 };

    (void)ctx;
    assert_int_equal(create("x/y/z"), 0);
    assert_int_equal(create("x-"), 0);
    assert_int_equal(create("inbox/a.b"), 0);
    lists("INBOX+/\nINBOX/a.b\nArchive+\\Archive\nDrafts+\\Drafts\nJunk+\\Junk\nSent+\\Sent\nTrash+\\Trash\n"
          "x!/\nx/y!/\nx/y/z\nx-\n");
    assert_int_equal(create("x"), 0);
    assert_int_equal(create("x"), -EEXIST);
    assert_int_equal(create("InBox"), -EEXIST);
    assert_int_equal(create("INBOX/a.b"), -EEXIST);
    assert_int_equal(create("a/../b"), -EINVAL);
    assert_int_equal(create("a//b"), -EINVAL);
    assert_int_equal(index_create(box, SLICE_LIT("all"), SPECIAL_ALL, NULL), -ENOTSUP);
    assert_int_equal(index_create(box, SLICE_LIT("mine"), SPECIAL_SENT, NULL), 0);
    reopen();
    assert_int_equal(folder("mine").special, SPECIAL_SENT);
    assert_int_equal(create("y"), 0);
    assert_int_equal(index_create(box, SLICE_LIT("z"), SPECIAL_NONE, &e), -EDQUOT);
    assert_non_null(strstr(e.text, "12"));
    assert_int_equal(index_folder(box, SLICE_LIT("nowhere"), &(struct index_folder){ 0 }, &e), -ENOENT);
    assert_int_equal(index_folder(box, SLICE_LIT("../x"), &(struct index_folder){ 0 }, &e), -EINVAL);
}

static void test_delete(void **ctx)
{
    uint64_t octets, messages;
    uint32_t uidvalidity;

    (void)ctx;
    assert_int_equal(create("x"), 0);
    assert_int_equal(create("x/y"), 0);
    put_message(".x", "1.x,S=14,W=17:2,S");
    put_message(".x", "2.x:2,");
    make_dir(".x/odd");
    put_message(".x/odd", "3.x:2,");
    assert_int_equal(maildir_usage(maildirs, USER, &octets, &messages, NULL), 0);
    assert_int_equal(messages, 2);
    assert_int_equal(octets, 28);
    uidvalidity = status("x").uidvalidity;
    assert_int_equal(index_delete(box, SLICE_LIT("x"), NULL), 0);
    assert_int_equal(maildir_usage(maildirs, USER, &octets, &messages, NULL), 0);
    assert_int_equal(messages, 0);
    assert_int_equal(octets, 0);
    lists(FIRST "x!/\nx/y\n");
    assert_int_equal(index_delete(box, SLICE_LIT("x"), NULL), -ENOENT);
    assert_int_equal(create("x"), 0);
    assert_true(status("x").uidvalidity > uidvalidity);
    assert_int_equal(status("x").messages, 0);
    assert_int_equal(index_delete(box, SLICE_LIT("inbox"), NULL), -EPERM);
    assert_int_equal(index_delete(box, SLICE_LIT("x/y"), NULL), 0);
    lists(FIRST "x\n");
    assert_int_equal(dir_count(in_box(""), NULL), 5); /* cur, new, tmp, subscriptions, facteur-uidvalidity */
}

static void test_rename(void **ctx)
{
    uint32_t uidvalidity;
    struct index_folder was;
    struct err e = { 0 };

    (void)ctx;
    assert_int_equal(create("a"), 0);
    assert_int_equal(create("a/b/c"), 0);
    assert_int_equal(create("ab"), 0);
    put_message(".a", "1.x:2,S");
    uidvalidity = status("a").uidvalidity;
    was = folder("a");
    assert_int_equal(index_subscribe(box, SLICE_LIT("a"), true, NULL), 0);
    assert_int_equal(rename_to("a", "ab"), -EEXIST);
    assert_int_equal(rename_to("a", "inbox"), -EEXIST);
    assert_int_equal(rename_to("a", "a"), -EEXIST);
    assert_int_equal(index_rename(box, SLICE_LIT("a"), SLICE_LIT("a/x"), &e), -EINVAL);
    assert_non_null(strstr(e.text, "below itself"));
    assert_int_equal(rename_to("nowhere", "x"), -ENOENT);
    assert_int_equal(rename_to("a", "x//y"), -EINVAL);
    assert_int_equal(rename_to("a", "new/\xc3\xa4"), 0);
    lists(
        FIRST
        "a!+\nab\nnew!/\nnew/\xc3\xa4/\nnew/\xc3\xa4/b!/\nnew/\xc3\xa4/b/c\n"); /* RFC 9051 6.3.6 leaves subscriptions */
    assert_int_equal(status("new/\xc3\xa4").uidvalidity, uidvalidity);
    assert_int_equal(status("new/\xc3\xa4").messages, 1);
    assert_int_equal(folder("new/\xc3\xa4").id, was.id);
    assert_string_equal(folder("new/\xc3\xa4").mailbox_id, was.mailbox_id);
    assert_int_equal(access(in_box(".new.&AOQ-/maildirfolder"), F_OK), 0);
    assert_int_equal(rename_to("new", "a"), 0); /* a name that is only above others */
    lists(FIRST "a!+/\na/\xc3\xa4/\na/\xc3\xa4/b!/\na/\xc3\xa4/b/c\nab\n");
    reopen();
    assert_int_equal(status("a/\xc3\xa4").messages, 1);
}

/* Children whose new names would be too long, or are taken, keep everything where it is. */
static void test_rename_all_or_none(void **ctx)
{
    char name[FILENAME_MAX];

    (void)ctx;
    assert_int_equal(create("a"), 0);
    memcpy(name, "a/", 2);
    memset(name + 2, 'x', 240);
    name[242] = '\0';
    assert_int_equal(create(name), 0);
    assert_int_equal(rename_to("a", "aaaaaaaaaaaaaaaaaaaa"), -EINVAL);
    assert_int_equal(create("b/c"), 0);
    assert_int_equal(create("a/c"), 0);
    assert_int_equal(index_delete(box, slice_str(name), NULL), 0);
    assert_int_equal(rename_to("a", "b"), -EEXIST);
    assert_int_equal(mkdir(in_box(".z.c"), 0700), 0);
    assert_int_equal(rename_to("a", "z"), -EEXIST);
    assert_true(is_there("a") && is_there("a/c") && is_there("b/c") && !is_there("z"));
}

static void test_rename_inbox(void **ctx)
{
    uint32_t uidvalidity, uidnext;

    (void)ctx;
    put_message(".", "1.x,S=14:2,S");
    put_message(".", "2.x,S=14:2,");
    assert_int_equal(status("INBOX").messages, 2);
    uidvalidity = status("INBOX").uidvalidity;
    uidnext = status("INBOX").uidnext;
    assert_int_equal(create("INBOX/child"), 0);
    file_write(in_box("new/3.x"), "Subject: x\n\nx\n", 14); /* not seen by anybody yet */
    file_age(in_box("new/3.x"));
    assert_int_equal(rename_to("inbox", "old"), 0);
    assert_int_equal(status("INBOX").messages, 0);
    assert_int_equal(status("INBOX").uidvalidity, uidvalidity);
    assert_true(status("INBOX").uidnext >= uidnext);
    assert_int_equal(status("old").messages, 3);
    assert_int_equal(status("old").unseen, 2);
    assert_true(is_there("INBOX/child"));
}

static void test_subscribe(void **ctx)
{
    (void)ctx;
    assert_int_equal(index_subscribe(box, SLICE_LIT("not/there"), true, NULL), 0);
    assert_int_equal(index_subscribe(box, SLICE_LIT("bad//name"), true, NULL), -EINVAL);
    assert_int_equal(index_subscribe(box, SLICE_LIT("Inbox"), false, NULL), 0);
    assert_int_equal(index_subscribe(box, SLICE_LIT("never"), false, NULL), 0);
    lists("INBOX\nArchive+\\Archive\nDrafts+\\Drafts\nJunk+\\Junk\nSent+\\Sent\nTrash+\\Trash\nnot!\nnot/there!+\n");
}

static void test_status(void **ctx)
{
    struct index_status s;

    (void)ctx;
    assert_int_equal(create("x"), 0);
    put_message(".x", "1.x:2,S");
    put_message(".x", "2.x:2,ST");
    put_message(".x", "3.x:2,F");
    s = status("x");
    assert_int_equal(s.messages, 3);
    assert_int_equal(s.unseen, 1);
    assert_int_equal(s.deleted, 1);
    assert_int_equal(s.size, 3 * 17); /* with CRLF */
    assert_int_equal(s.deleted_size, 17);
    assert_int_equal(s.uidnext, 4);
    assert_true(s.modseq > 0 && s.mailbox_id[0] != '\0');
    while (index_names(box, NULL) == MORE)
        ;
    assert_int_equal(rename(in_box(".x/cur/3.x:2,F"), in_box(".x/cur/3.x:2,F")), -1); /* it has its UID in its name */
    put_message(".x", "4.x:2,");
    s = status("x");
    assert_int_equal(s.messages, 4);
    assert_int_equal(s.unseen, 2);
}

static void put_text(const char *name, const char *text)
{
    file_write(in_box(name), text, strlen(text));
}

/* One line a message: UID, flags, keywords, UIDL. */
static void holds(const char *name, const char *text)
{
    struct mailbox_changes c = { 0 };
    struct index_folder f = folder(name);
    char uidl[71];
    struct buf b;

    (void)status(name);
    buf_init(&b, 4096);
    assert_int_equal(index_load(box, f.id, &c, NULL), 0);
    for (size_t i = 0; i < c.count; i++) {
        const struct mailbox_message *m = &c.messages[i];

        assert_int_equal(buf_addf(&b, "%u %u", m->uid, m->flags), 0);
        for (unsigned k = 0; k < c.keyword_count; k++)
            if ((m->keywords >> k & 1) != 0)
                assert_int_equal(buf_addf(&b, " %s", c.keywords[k]), 0);
        if (index_uidl(box, f.id, m->uid, uidl) == 0)
            assert_int_equal(buf_addf(&b, " (%s)", uidl), 0);
        assert_int_equal(buf_addc(&b, '\n'), 0);
    }
    assert_string_equal(buf_cstr(&b), text);
    mailbox_changes_clear(&c);
    buf_clear(&b);
}

/* A Maildir as Dovecot 2.3.19 left it, after a few minutes of use: nobody has to download anything again. */
static void test_adopted(void **ctx)
{
#define MADE                                                                                                           \
    "Gr\xc3\xbc\xc3\x9f"                                                                                               \
    "e/\xc3\xa4\xc3\xb6\xc3\xbc"
#define DIR_MADE ".Gr&APwA3w-e.&AOQA9gD8-"
    (void)ctx;
    put_text("dovecot-uidlist", "3 V1795335657 N5 Ge8f5891ae8a5026b004b000083ecc375\n"
                                "1 :1795335656.M452278P19200.vm,S=23,W=25\n"
                                "2 P0000a1b2 :1795335656.M453494P19200.vm,S=23,W=25\n"
                                "4 P :1795335656.M455715P19200.vm,S=23,W=25\n");
    put_text("dovecot-keywords", "0 foo\n1 $Label1\n2 bar\n3 later\n");
    put_text("subscriptions", "V\t2\n\nGr&APwA3w-e\t&AOQA9gD8-\nSent\n");
    put_text("cur/1795335656.M452278P19200.vm,S=23,W=25:2,Sa", "Subject: x\n\nhello, all\n");
    put_text("cur/1795335656.M453494P19200.vm,S=23,W=25:2,bcd", "Subject: x\n\nhello, all\n");
    put_text("cur/1795335656.M455715P19200.vm,S=23,W=25:2,R", "Subject: x\n\nhello, all\n");
    make_dir(".Sent");
    put_text(".Sent/dovecot-uidlist", "3 V1795335660 N7 Ge9f5891ae8a5026b004b000083ecc375\n");
    make_dir(DIR_MADE);
    put_text(DIR_MADE "/dovecot-uidlist", "3 V1795335659 N3 Geaf5891ae8a5026b004b000083ecc375\n"
                                          "2 :1795335656.M9P19200.vm,S=23,W=25\n");
    put_text(DIR_MADE "/dovecot-keywords", "2 in-ue\n");
    put_text(DIR_MADE "/cur/1795335656.M9P19200.vm,S=23,W=25:2,Dc", "Subject: x\n\nhello, all\n");
    open_box();
    lists("INBOX\nGr\xc3\xbc\xc3\x9f"
          "e!/\n" MADE "+\nSent+\\Sent\n");
    assert_int_equal(status("INBOX").uidvalidity, 1795335657);
    assert_int_equal(status("INBOX").uidnext, 5);
    assert_int_equal(status("Sent").uidvalidity, 1795335660);
    assert_int_equal(status("Sent").uidnext, 7);
    assert_int_equal(status(MADE).uidvalidity, 1795335659);
    for (int i = 0; i < 2; i++) {
        holds("INBOX", "1 8 foo\n2 0 $Label1 bar later (0000a1b2)\n4 1 (1795335656.M455715P19200.vm,S=23,W=25)\n");
        holds(MADE, "2 16 in-ue\n");
        index_close(&box);
        assert_int_equal(unlink(in_box("../index.db")), 0);
        (void)unlink(in_box("../index.db-wal"));
        open_box();
    }
    assert_int_equal(status(MADE).uidvalidity, 1795335659);
}

/* The n-th call from now fails: 0: none. */
static int fail_at;

static bool strikes(void)
{
    return fail_at > 0 && --fail_at == 0;
}

static int failing_openat(int dir, const char *name, int flags, mode_t mode)
{
    return strikes() ? -EMFILE : sys_kernel.openat(dir, name, flags, mode);
}

static int failing_fsync(int fd)
{
    return strikes() ? -EIO : sys_kernel.fsync(fd);
}

static int failing_renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    return strikes() ? -ENOSPC : sys_kernel.renameat(from_dir, from, to_dir, to);
}

static int failing_rename_new(int from_dir, const char *from, int to_dir, const char *to)
{
    return strikes() ? -EIO : sys_kernel.rename_new(from_dir, from, to_dir, to);
}

static int failing_mkdirat(int dir, const char *name, mode_t mode)
{
    return strikes() ? -ENOSPC : sys_kernel.mkdirat(dir, name, mode);
}

/* Whatever call fails: a folder is there as a whole or not at all, no message is lost, and the next try succeeds. */
static void test_faults(void **ctx)
{
    struct sys failing = sys_kernel;
    int n = 0, descriptors;

    (void)ctx;
    reopen();
    lists(FIRST);
    descriptors = open_descriptors();
    failing.openat = failing_openat;
    failing.fsync = failing_fsync;
    failing.renameat = failing_renameat;
    failing.rename_new = failing_rename_new;
    failing.mkdirat = failing_mkdirat;
    sys = &failing;
    for (bool struck = true; struck; n++) {
        struct err e = { 0 };
        int created, renamed, deleted;

        fail_at = n + 1;
        created = index_create(box, SLICE_LIT("a/b"), SPECIAL_NONE, &e);
        if (created == 0 && fail_at > 0)
            put_message(".a.b", "1.x:2,S");
        renamed = index_rename(box, SLICE_LIT("a"), SLICE_LIT("c"), &e);
        deleted = index_delete(box, SLICE_LIT("c/b"), &e);
        struck = fail_at == 0;
        assert_true(struck ? e.code < 0 || deleted == 0 : created == 0 && renamed == 0 && deleted == 0);
        fail_at = 0;
        if (n % 2 == 0)
            reopen();
        assert_false(is_there("a/b") && is_there("c/b"));
        if (created == 0 && renamed < 0 && deleted < 0) /* what was not asked to go is there */
            assert_int_equal(status(is_there("a/b") ? "a/b" : "c/b").messages, 1);
        for (size_t i = 0; i < 2; i++) {
            int r = index_delete(box, i == 0 ? SLICE_LIT("a/b") : SLICE_LIT("c/b"), NULL);

            assert_true(r == 0 || r == -ENOENT);
        }
        lists(FIRST);
    }
    sys = &sys_kernel;
    assert_true(n > 10);
    reopen();
    lists(FIRST);
    assert_int_equal(open_descriptors(), descriptors);
    assert_int_equal(dir_count(in_box(""), NULL), 5); /* nothing is left over */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_first_folders, setup, teardown),
        cmocka_unit_test_setup_teardown(test_first_folders_again, setup_empty, teardown),
        cmocka_unit_test_setup_teardown(test_foreign, setup_empty, teardown),
        cmocka_unit_test_setup_teardown(test_foreign_changes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_gone_and_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_create, setup, teardown),
        cmocka_unit_test_setup_teardown(test_delete, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rename, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rename_all_or_none, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rename_inbox, setup, teardown),
        cmocka_unit_test_setup_teardown(test_subscribe, setup, teardown),
        cmocka_unit_test_setup_teardown(test_status, setup, teardown),
        cmocka_unit_test_setup_teardown(test_adopted, setup_empty, teardown),
        cmocka_unit_test_setup_teardown(test_faults, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
