#include "store/index_test.h"

#define TEXT   "Subject: one\n\nbody\n"
#define TEXT_N (sizeof TEXT - 1)

static void files_get_uids(void **ctx)
{
    char name[256];

    (void)ctx;
    put("cur/1600000002.a.host:2,FS", TEXT);
    put("cur/1600000001.b.host", "crlf\r\n\r\nbody\r\n");
    put("new/1600000003.c.host,S=19,W=22", TEXT);
    sync_and_load();
    assert_string_equal(listed(), "1 2:a 3");
    assert_int_equal(list.messages[0].size, 14);
    assert_int_equal(list.messages[1].size, TEXT_N + 3);
    assert_int_equal(list.messages[2].size, 22);
    assert_int_equal(list.uidnext, 4);
    assert_int_equal(list.first_recent, 3); /* what was in cur/ has been seen by others */
    (void)write_names();
    assert_true(find_file("cur", ",U=3", name));
    assert_string_equal(name, "1600000003.c.host,S=19,W=22,U=3:2,");
    assert_true(find_file("cur", ",U=2", name));
    assert_string_equal(name, "1600000002.a.host,U=2,S=19,W=22:2,FS");
    assert_int_equal(dir_count(in_box("new"), NULL), 0);
    assert_string_equal(text_of(inbox, 1), "crlf\r\n\r\nbody\r\n");
    reopen();
    assert_string_equal(listed(), "1 2:a 3");
}

static void nothing_new_reads_nothing(void **ctx)
{
    static struct sys counting;
    struct timespec old[2] = { { .tv_sec = 1600000000 }, { .tv_sec = 1600000000 } };

    (void)ctx;
    put("cur/1600000002.a.host:2,FS", TEXT);
    sync_and_load();
    for (int i = 0; i < 2; i++) /* a directory that has stood still for long */
        assert_int_equal(utimensat(AT_FDCWD, in_box(i == 0 ? "cur" : "new"), old, 0), 0);
    (void)sync_box();
    clock_freeze(clock_mono_ms() + 100000, clock_wall_ms());
    (void)sync_box();
    counting = sys_kernel;
    counting.openat = NULL; /* a call would be the end */
    sys = &counting;
    assert_int_equal(sync_box(), 1);
    sys = &sys_kernel;
}

static void others_add_rename_and_remove(void **ctx)
{
    char name[256], path[300];
    uint64_t modseq;

    (void)ctx;
    for (int i = 0; i < 4; i++)
        assert_int_equal(append(TEXT, 0), 0);
    sync_and_load();
    modseq = list.modseq;
    rename_letters(",U=2", "FRX");
    assert_true(find_file("cur", ",U=3", name));
    (void)snprintf(path, sizeof path, "cur/%s", name);
    assert_int_equal(unlink(in_box(path)), 0);
    put("cur/1600000002.a.host:2,S", TEXT);
    look_closely();
    (void)sync_box();
    look_closely();
    (void)sync_box();
    assert_string_equal(listed(), "1 2:3 4 5:8");
    assert_true(list.modseq > modseq);
    assert_int_equal(list.messages[0].modseq < list.messages[1].modseq, true);
    assert_string_equal(text_of(inbox, 3), "");
    assert_string_equal(text_of(inbox, 2), TEXT);
    assert_int_equal(store_flags(2, 2, FLAGS_ADD, FLAG_SEEN, 0), 0);
    (void)write_names();
    assert_true(find_file("cur", ",U=2", name));
    assert_string_equal(strchr(name, ':'), ":2,FRSX"); /* the letter that we do not know stays */
}

static void a_renamed_file_is_found_by_those_who_need_it(void **ctx)
{
    (void)ctx;
    for (int i = 0; i < 3; i++)
        assert_int_equal(append(TEXT, 0), 0);
    sync_and_load();
    rename_letters(",U=1", "F");
    assert_string_equal(text_of(inbox, 1), TEXT);
    rename_letters(",U=2", "F");
    assert_int_equal(store_flags(1, 3, FLAGS_ADD, FLAG_SEEN, 0), 0);
    look_closely();
    (void)sync_box();
    assert_string_equal(listed(), "1:a 2:a 3:8");
    rename_letters(",U=3", "T");
    assert_int_equal(expunge(1, 3, true), 0);
    assert_string_equal(listed(), "");
    assert_int_equal(dir_count(in_box("cur"), NULL), 0);
}

/* Written where it lies, by cp or tar. */
static void a_file_is_seen_when_it_is_complete(void **ctx)
{
    const char *name = "cur/1600000003.c.host:2,S", *sized = "cur/1600000004.d.host,S=19,W=22:2,S";

    (void)ctx;
    sync_and_load();
    file_write(in_box(name), TEXT, 5);
    file_write(in_box(sized), TEXT, 5);
    look_closely();
    (void)sync_box();
    assert_string_equal(listed(), "");
    file_write(in_box(name), TEXT, TEXT_N);
    file_write(in_box(sized), TEXT, TEXT_N);
    look_closely();
    (void)sync_box();
    assert_string_equal(listed(), "1:8"); /* as large as its name says */
    file_age(in_box(name));
    look_closely();
    (void)sync_box();
    assert_string_equal(listed(), "1:8 2:8");
    assert_int_equal(list.messages[0].size, TEXT_N + 3);
    assert_int_equal(list.messages[1].size, TEXT_N + 3);
    assert_string_equal(text_of(inbox, 2), TEXT);
}

static int first_envelope(void *to, const struct index_row *row)
{
    slice_clip(row->prepared->envelope, to, 100);
    return 0;
}

/* It was taken in before it was complete, or somebody edits mail in place. */
static void a_file_that_changes_is_measured_again(void **ctx)
{
    struct ranges first = uids(1, 1);
    struct mailbox_changes c = { 0 };
    char envelope[100], name[256], path[300];
    uint32_t from = 0;

    (void)ctx;
    put("cur/1600000001.a.host:2,S", TEXT);
    sync_and_load();
    (void)write_names();
    assert_int_equal(index_read(box, inbox, &first, &from, INDEX_ENVELOPE, first_envelope, envelope, NULL), DONE);
    assert_true(find_file("cur", ",U=1,S=19,W=22", name));
    (void)snprintf(path, sizeof path, "cur/%s", name);
    put(path, "Subject: more\n\n");
    assert_string_equal(text_of(inbox, 1), "Subject: more\n\n");
    assert_int_equal(index_sync(box, inbox, true, &c, NULL), DONE);
    apply(&c);
    assert_int_equal(list.messages[0].size, 17);
    from = 0;
    assert_int_equal(index_read(box, inbox, &first, &from, INDEX_ENVELOPE, first_envelope, envelope, NULL), DONE);
    assert_string_equal(envelope, "Subject: more");
    (void)write_names();
    assert_true(find_file("cur", ",U=1,S=15,W=17:2,S", name));
    ranges_clear(&first);
}

/* Another program writes the letter before it writes the letter's name. */
static void letters_get_their_names_later(void **ctx)
{
    (void)ctx;
    put("cur/1600000001.a.host:2,Sa", TEXT);
    put("cur/1600000002.b.host:2,Sb", TEXT);
    put("cur/1600000003.c.host:2,", TEXT);
    sync_and_load();
    assert_string_equal(listed(), "1:8 2:8 3");
    (void)write_names();
    file_write(in_box("dovecot-keywords"), "0 work\n", 7);
    look_closely();
    put("cur/1600000004.d.host:2,a", TEXT);
    look_closely();
    (void)sync_box();
    assert_string_equal(listed(), "1:8/1 2:8 3 4:0/1");
    (void)write_names();
    assert_true(find_file("cur", ":2,Sb", (char[256]){ 0 }));
    reopen();
    assert_string_equal(listed(), "1:8/1 2:8 3 4:0/1");
}

/* In slices: the lane is another's meanwhile. What one call says is what one transaction has done. */
static void many_letters_get_their_names_later(void **ctx)
{
    enum { MANY = 20000 };
    char name[64];
    size_t most = 0, all = 0;
    int r;

    (void)ctx;
    put("cur/1600000001.a.host:2,Sa", TEXT);
    for (int i = 1; i < MANY; i++) {
        (void)snprintf(name, sizeof name, "cur/1600000001.a%05d.host:2,Sa", i);
        assert_int_equal(link(in_box("cur/1600000001.a.host:2,Sa"), in_box(name)), 0);
    }
    sync_and_load();
    file_write(in_box("dovecot-keywords"), "0 work\n", 7);
    put("cur/1600000004.d.host:2,a", TEXT);
    do {
        struct mailbox_changes c = { 0 };
        struct err e = { 0 };

        r = index_sync(box, inbox, true, &c, &e);
        must(r, &e);
        most = c.count > most ? c.count : most;
        all += c.count;
        apply(&c);
    } while (r == MORE);
    assert_int_equal(all, MANY + 1);
    assert_true(most < all);
    for (size_t i = 0; i < list.count; i++)
        assert_int_equal(list.messages[i].keywords, 1);
}

static void a_removed_file_is_passed_over(void **ctx)
{
    char name[256], path[300];

    (void)ctx;
    for (int i = 0; i < 3; i++)
        assert_int_equal(append(TEXT, 0), 0);
    sync_and_load();
    assert_true(find_file("cur", ",U=2", name));
    (void)snprintf(path, sizeof path, "cur/%s", name);
    assert_int_equal(unlink(in_box(path)), 0);
    assert_int_equal(store_flags(1, 3, FLAGS_ADD, FLAG_SEEN, 0), 0);
    (void)sync_box();
    (void)sync_box();
    assert_string_equal(listed(), "1:8 3:8");
}

static void recent_ones_may_stay_in_new(void **ctx)
{
    (void)ctx;
    put("new/1600000003.c.host", TEXT);
    (void)sync_with(false);
    load();
    assert_string_equal(listed(), "1");
    assert_int_equal(dir_count(in_box("new"), NULL), 1);
    put("new/1600000004.c.host", TEXT);
    look_closely();
    (void)sync_with(false);
    assert_string_equal(listed(), "1 2");
    assert_string_equal(text_of(inbox, 1), TEXT);
    (void)write_names();
    assert_int_equal(dir_count(in_box("new"), NULL), 2);
    (void)sync_with(true);
    assert_string_equal(listed(), "1 2");
    (void)write_names();
    assert_int_equal(dir_count(in_box("new"), NULL), 0);
    assert_int_equal(dir_count(in_box("cur"), NULL), 2);
    reopen();
    assert_string_equal(listed(), "1 2");
}

static void flags_stay_in_new(void **ctx)
{
    (void)ctx;
    put("new/1600000003.c.host", TEXT);
    (void)sync_with(false);
    load();
    assert_int_equal(store_flags(1, 1, FLAGS_REPLACE, FLAG_DRAFT, 0), 0);
    (void)write_names();
    assert_int_equal(dir_count(in_box("new"), NULL), 0);
    look_closely();
    (void)sync_box();
    assert_string_equal(listed(), "1:10");
}

static void what_is_no_message_is_left_alone(void **ctx)
{
    (void)ctx;
    assert_int_equal(mkdir(in_box("cur/1600000001.dir.host"), 0700), 0);
    assert_int_equal(symlink("/etc/passwd", in_box("cur/1600000001.link.host")), 0);
    assert_int_equal(mkfifo(in_box("new/1600000001.fifo.host"), 0600), 0);
    put("cur/.hidden", TEXT);
    sync_and_load();
    assert_string_equal(listed(), "");
}

/* --- flags, keywords --- */

static void flags_are_letters(void **ctx)
{
    char name[256];
    uint64_t modseq;

    (void)ctx;
    assert_int_equal(append(TEXT, FLAG_SEEN), 0);
    assert_int_equal(append(TEXT, 0), 0);
    sync_and_load();
    modseq = list.modseq;
    assert_int_equal(store_flags(1, 2, FLAGS_ADD, FLAG_SEEN, 0), 0);
    assert_int_equal(list.messages[0].modseq <= modseq, true); /* nothing changed there */
    assert_int_equal(list.messages[1].modseq > modseq, true);
    assert_int_equal(store_flags(1, 1, FLAGS_REPLACE, 0x3f, 0), 0);
    (void)write_names();
    assert_true(find_file("cur", ",U=1", name));
    assert_string_equal(strchr(name, ':'), ":2,DFPRST");
    assert_int_equal(store_flags(1, 1, FLAGS_REMOVE, FLAG_DELETED | FLAG_DRAFT, 0), 0);
    assert_string_equal(listed(), "1:2b 2:8");
    reopen();
    assert_string_equal(listed(), "1:2b 2:8");
}

static unsigned keyword(const char *name, int code)
{
    struct mailbox_changes c = { 0 };
    unsigned bit = 99;

    assert_int_equal(index_keyword(box, inbox, slice_str(name), true, &bit, &c, NULL), code);
    if (code == 0)
        apply(&c);
    return bit;
}

static void keywords_are_letters_and_bits(void **ctx)
{
    char name[256];
    unsigned bit;

    (void)ctx;
    sync_and_load();
    assert_int_equal(append(TEXT, 0), 0);
    for (unsigned i = 0; i < 64; i++) {
        (void)snprintf(name, sizeof name, "word%u", i);
        assert_int_equal(keyword(name, 0), i);
    }
    assert_int_equal(keyword("more", -EXFULL), 99);
    assert_int_equal(keyword("WORD7", 0), 7);
    assert_int_equal(list.keyword_count, 64);
    assert_int_equal(store_flags(1, 1, FLAGS_REPLACE, 0, 1ull | 1ull << 25 | 1ull << 26 | 1ull << 63), 0);
    (void)write_names();
    assert_true(find_file("cur", ",U=1", name));
    assert_string_equal(strchr(name, ':'), ":2,az");
    assert_int_equal(store_flags(1, 1, FLAGS_REMOVE, 0, 1), 0);
    reopen();
    assert_string_equal(listed(), "1:0/8000000006000000");
    assert_int_equal(index_keyword(box, inbox, SLICE_LIT("word63"), false, &bit, NULL, NULL), 0);
    assert_int_equal(bit, 63);
    rename_letters(",U=1", "b"); /* another program knows nothing of the others */
    look_closely();
    (void)sync_box();
    assert_string_equal(listed(), "1:0/8000000004000002");
}

static void a_condition_keeps_changed_ones_out(void **ctx)
{
    struct index_store op = { .how = FLAGS_ADD, .flags = FLAG_SEEN, .conditional = true };
    struct ranges all = uids(1, UINT32_MAX), modified = { 0 };
    struct mailbox_changes c = { 0 };
    uint32_t from = 0;

    (void)ctx;
    sync_and_load();
    for (int i = 0; i < 3; i++)
        assert_int_equal(append(TEXT, 0), 0);
    op.since = list.modseq;
    assert_int_equal(store_flags(2, 2, FLAGS_ADD, FLAG_FLAGGED, 0), 0);
    assert_int_equal(index_store(box, inbox, &all, &from, &op, &c, &modified, NULL), DONE);
    apply(&c);
    assert_string_equal(listed(), "1:8 2:2 3:8");
    assert_int_equal(ranges_count(&modified), 1);
    assert_true(ranges_has(&modified, 2));
    ranges_clear(&modified);
    ranges_clear(&all);
}

/* --- expunge --- */

static void expunged_are_remembered(void **ctx)
{
    struct ranges gone = { 0 };
    uint64_t before, octets, messages;

    (void)ctx;
    sync_and_load();
    for (int i = 0; i < 5; i++)
        assert_int_equal(append(TEXT, i % 2 == 0 ? FLAG_DELETED : 0), 0);
    assert_int_equal(maildir_usage(maildirs, USER, &octets, &messages, NULL), 0);
    assert_int_equal(messages, 5);
    before = list.modseq;
    assert_int_equal(expunge(1, UINT32_MAX, false), 0);
    assert_string_equal(listed(), "2 4");
    assert_int_equal(maildir_usage(maildirs, USER, &octets, &messages, NULL), 0);
    assert_int_equal(messages, 2);
    assert_int_equal(octets, 2 * TEXT_N);
    assert_int_equal(index_vanished(box, inbox, before, &gone, NULL), 0);
    assert_int_equal(ranges_count(&gone), 3);
    ranges_clear(&gone);
    assert_int_equal(index_vanished(box, inbox, list.modseq, &gone, NULL), 0);
    assert_int_equal(ranges_count(&gone), 0);
    assert_int_equal(index_vanished(box, inbox, 1, &gone, NULL), 0); /* too long ago: whatever is not there */
    assert_int_equal(ranges_count(&gone), 3);
    assert_true(ranges_has(&gone, 5));
    ranges_clear(&gone);
    reopen();
    assert_int_equal(list.uidnext, 6); /* the highest had gone */
}

/* --- reading --- */

struct seen {
    uint32_t uids[100];
    size_t count, stop_at;
    bool sort;
};

static int note_row(void *to, const struct index_row *row)
{
    struct seen *s = to;

    assert_non_null(row->prepared);
    assert_int_equal(row->prepared->envelope.n, 12);
    assert_memory_equal(row->prepared->envelope.p, "Subject: one", 12);
    if (s->sort) {
        assert_true(slice_is(row->prepared->subject, "subject"));
        assert_true(slice_is(row->prepared->structure, "(structure)"));
        assert_true(slice_is(row->prepared->preview, "preview"));
        assert_int_equal(row->prepared->sent_ms, 1234567);
        assert_true(row->prepared->reply);
        assert_string_equal(row->prepared->email_id, "Eabc");
        assert_int_equal(row->prepared->from.n, 0);
    }
    s->uids[s->count++] = row->uid;
    return s->count == s->stop_at;
}

static void rows_are_prepared_once(void **ctx)
{
    struct seen s = { .stop_at = 3 };
    struct ranges some = uids(2, 4);
    uint32_t from = 0;

    (void)ctx;
    sync_and_load();
    for (int i = 0; i < 10; i++)
        assert_int_equal(append(TEXT, 0), 0);
    assert_int_equal(ranges_add(&some, 7, UINT32_MAX), 0);
    assert_int_equal(expunge(8, 8, true), 0);
    prepared_count = 0;
    assert_int_equal(index_read(box, inbox, &some, &from, INDEX_ENVELOPE, note_row, &s, NULL), MORE);
    assert_int_equal(s.count, 3);
    assert_int_equal(from, 5);
    s.sort = true;
    while (index_read(box, inbox, &some, &from, INDEX_SORT, note_row, &s, NULL) == MORE)
        ;
    assert_int_equal(s.count, 6);
    assert_int_equal(s.uids[3], 7);
    assert_int_equal(s.uids[4], 9);
    assert_int_equal(prepared_count, 6);
    while (index_prepare_some(box, inbox, NULL) == MORE)
        ;
    assert_int_equal(prepared_count, 9);
    assert_int_equal(append(TEXT, 0), 0);
    while (index_prepare_some(box, inbox, NULL) == MORE)
        ;
    assert_int_equal(prepared_count, 10);
    ranges_clear(&some);
}

static void what_cannot_be_read_is_left_out(void **ctx)
{
    struct seen s = { 0 };
    struct ranges all = uids(1, UINT32_MAX);
    char name[256], path[300];
    uint32_t from = 0;

    (void)ctx;
    for (int i = 0; i < 4; i++)
        assert_int_equal(append(TEXT, 0), 0);
    sync_and_load();
    for (int i = 2; i < 4; i++) {
        assert_true(find_file("cur", i == 2 ? ",U=2" : ",U=3", name));
        (void)snprintf(path, sizeof path, "cur/%s", name);
        assert_int_equal(unlink(in_box(path)), 0);
        if (i == 3)
            assert_int_equal(mkdir(in_box(path), 0700), 0);
    }
    while (index_read(box, inbox, &all, &from, INDEX_ENVELOPE, note_row, &s, NULL) == MORE)
        ;
    assert_int_equal(s.count, 2);
    assert_int_equal(s.uids[1], 4);
    (void)sync_box();
    assert_string_equal(listed(), "1 4");
    ranges_clear(&all);
}

/* --- deliveries --- */

static int arrived(const char *name, const struct mailbox_message *m)
{
    struct index_arrival a = { .message = *m, .code = -ECANCELED };

    (void)snprintf(a.name, sizeof a.name, "%s", name);
    assert_int_equal(index_arrived(box, inbox, &a, 1, NULL), 0);
    return a.code;
}

static void a_delivery_gets_the_uid_that_was_announced(void **ctx)
{
    struct maildir_delivery d = { .user = USER,
                                  .id = 77,
                                  .received_ms = 1700000000123,
                                  .body = { TEXT, TEXT_N },
                                  .size = TEXT_N,
                                  .wire_size = TEXT_N + 3,
                                  .fd = -1 };
    struct maildir_delivery *const all[] = { &d };
    struct mailbox_message m = { .size = TEXT_N + 3, .internal_ms = 1700000000123 };
    char name[256];
    uint32_t reserved;
    int result;

    (void)ctx;
    sync_and_load();
    assert_int_equal(index_reserve(box, inbox, 100, &reserved, NULL), 0);
    assert_true(reserved >= 101);
    assert_int_equal(maildir_deliver(maildirs, spool, &d, NULL), 0);
    m.uid = list.uidnext;
    m.modseq = list.modseq + 1;
    mailbox_arrive(&list, &m);
    assert_int_equal(arrived(d.name, &m), 0);
    assert_int_equal(arrived(d.name, &m), -EEXIST);
    m.uid++;
    assert_int_equal(arrived(d.name, &m), -ENOENT); /* 2 has been announced: nobody gets it */
    (void)sync_box();
    assert_string_equal(listed(), "1");
    (void)write_names();
    assert_true(find_file("cur", ",S=19,W=22,U=1:2,", name));
    assert_int_equal(append(TEXT, 0), 0);
    assert_string_equal(listed(), "1 3");
    assert_true(list.messages[1].modseq > list.messages[0].modseq);
    maildir_sync(maildirs, all, 1, &result);
    assert_int_equal(result, 0);
    reopen();
    assert_string_equal(listed(), "1 3");
}

/* Another program renames or removes it between two looks at it. */
static const char *renamed_to;

static int openat_too_late(int dir, const char *name, int flags, mode_t mode)
{
    if (strncmp(name, "160000000", 9) == 0 && renamed_to == NULL)
        (void)unlinkat(dir, name, 0);
    else if (strncmp(name, "160000000", 9) == 0)
        (void)renameat(dir, name, dir, renamed_to);
    return sys_kernel.openat(dir, name, flags, mode);
}

static void what_goes_while_it_is_measured_is_passed_over(void **ctx)
{
    static struct sys late;

    (void)ctx;
    late = sys_kernel;
    late.openat = openat_too_late;
    put("cur/1600000001.a.host:2,", TEXT);
    put("cur/1600000002.b.host:2,", TEXT);
    sys = &late;
    sync_and_load();
    assert_string_equal(listed(), "");
    renamed_to = "1600000003.c.host:2,S";
    put("cur/1600000003.c.host:2,", TEXT);
    look_closely();
    (void)sync_box();
    sys = &sys_kernel;
    look_closely();
    (void)sync_box();
    assert_int_equal(list.count, 1);
    assert_int_equal(list.messages[0].flags, FLAG_SEEN);
}

/* Renames between two slices of a scan would move the directory under it, and it would never come to an end. */
static void names_wait_for_the_scan(void **ctx)
{
    enum { FILES = 4000 };
    struct mailbox_changes c = { 0 };
    char name[256];
    int r;

    (void)ctx;
    for (int i = 0; i < FILES; i++) {
        (void)snprintf(name, sizeof name, "cur/%d.a.host:2,S", 1600000000 + i);
        put(name, TEXT);
    }
    do {
        r = index_sync(box, inbox, true, &c, NULL);
        mailbox_changes_clear(&c);
    } while (r == MORE && index_names_due(box) == 0);
    assert_int_equal(r, MORE); /* some have rows and UIDs, and the scan is not over */
    while (index_names(box, NULL) == MORE)
        continue;
    assert_false(find_file("cur", ",U=1,", name));
    assert_true(index_names_due(box) > 0);
    while (index_sync(box, inbox, true, &c, NULL) == MORE)
        mailbox_changes_clear(&c);
    mailbox_changes_clear(&c);
    (void)write_names();
    assert_true(find_file("cur", ",U=1,", name));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(files_get_uids, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_new_reads_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(others_add_rename_and_remove, setup, teardown),
        cmocka_unit_test_setup_teardown(a_renamed_file_is_found_by_those_who_need_it, setup, teardown),
        cmocka_unit_test_setup_teardown(a_file_is_seen_when_it_is_complete, setup, teardown),
        cmocka_unit_test_setup_teardown(a_file_that_changes_is_measured_again, setup, teardown),
        cmocka_unit_test_setup_teardown(letters_get_their_names_later, setup, teardown),
        cmocka_unit_test_setup_teardown(many_letters_get_their_names_later, setup, teardown),
        cmocka_unit_test_setup_teardown(a_removed_file_is_passed_over, setup, teardown),
        cmocka_unit_test_setup_teardown(recent_ones_may_stay_in_new, setup, teardown),
        cmocka_unit_test_setup_teardown(flags_stay_in_new, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_no_message_is_left_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(flags_are_letters, setup, teardown),
        cmocka_unit_test_setup_teardown(keywords_are_letters_and_bits, setup, teardown),
        cmocka_unit_test_setup_teardown(a_condition_keeps_changed_ones_out, setup, teardown),
        cmocka_unit_test_setup_teardown(expunged_are_remembered, setup, teardown),
        cmocka_unit_test_setup_teardown(rows_are_prepared_once, setup, teardown),
        cmocka_unit_test_setup_teardown(what_cannot_be_read_is_left_out, setup, teardown),
        cmocka_unit_test_setup_teardown(what_goes_while_it_is_measured_is_passed_over, setup, teardown),
        cmocka_unit_test_setup_teardown(names_wait_for_the_scan, setup, teardown),
        cmocka_unit_test_setup_teardown(a_delivery_gets_the_uid_that_was_announced, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
