/* What is promised to be on the disk is there, in the right order; what fails leaves nothing behind. */
#include "store/index_test.h"

#define TEXT   "Subject: one\n\nbody\n"
#define TEXT_N (sizeof TEXT - 1)

/* The calls that matter, one letter each: F file synced, C cur/, N new/, B a folder's own directory synced, L link,
 * M rename to cur/, U unlink. */
static char calls[4096];
static struct sys hooked;
static int fail_at; /* the n-th of them fails; 0: none */
static int fail_code;

static int note(char c)
{
    size_t n = strlen(calls);

    if (n + 1 < sizeof calls) {
        calls[n] = c;
        calls[n + 1] = '\0';
    }
    return fail_at > 0 && (size_t)fail_at == n + 1 ? fail_code : 0;
}

static char kind_of(int fd)
{
    char link[64], path[1024];
    struct stat st;
    ssize_t n;

    assert_int_equal(fstat(fd, &st), 0);
    if (S_ISREG(st.st_mode))
        return 'F';
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    n = readlink(link, path, sizeof path - 1);
    assert_true(n > 0);
    path[n] = '\0';
    return strrchr(path, '/')[1] == 'c' ? 'C' : strrchr(path, '/')[1] == 'n' ? 'N' : 'B';
}

static int hook_fsync(int fd)
{
    int r = note(kind_of(fd));

    return r < 0 ? r : sys_kernel.fsync(fd);
}

static int hook_linkat(int a, const char *from, int b, const char *to)
{
    int r = note('L');

    return r < 0 ? r : sys_kernel.linkat(a, from, b, to);
}

static int hook_rename_new(int a, const char *from, int b, const char *to)
{
    int r = note('M');

    return r < 0 ? r : sys_kernel.rename_new(a, from, b, to);
}

static int hook_unlinkat(int dir, const char *name)
{
    int r = note('U');

    return r < 0 ? r : sys_kernel.unlinkat(dir, name);
}

static void hook(int at, int code)
{
    calls[0] = '\0';
    fail_at = at;
    fail_code = code;
    hooked = sys_kernel;
    hooked.fsync = hook_fsync;
    hooked.sync_names = hook_fsync; /* as where the directory has to be synced */
    hooked.linkat = hook_linkat;
    hooked.rename_new = hook_rename_new;
    hooked.unlinkat = hook_unlinkat;
    sys = &hooked;
}

static const char *unhook(void)
{
    sys = &sys_kernel;
    return calls;
}

static void an_append_is_synced_with_its_directory(void **ctx)
{
    (void)ctx;
    sync_and_load();
    assert_int_equal(append(TEXT, 0), 0); /* reserves UIDs */
    hook(0, 0);
    assert_int_equal(append(TEXT, 0), 0);
    assert_string_equal(unhook(), "MFC");
}

static void uids_are_reserved_before_they_are_used(void **ctx)
{
    (void)ctx;
    sync_and_load();
    hook(0, 0);
    assert_int_equal(append(TEXT, 0), 0);
    assert_string_equal(unhook(), "UFBMFC");
}

static void a_failed_append_leaves_nothing(void **ctx)
{
    struct index_append items[3];
    struct mailbox_changes c = { 0 };

    (void)ctx;
    sync_and_load();
    assert_int_equal(append(TEXT, 0), 0);
    for (int at = 1; at <= 7; at++) {
        for (size_t i = 0; i < 3; i++)
            items[i] = (struct index_append){ .body = { TEXT, TEXT_N }, .size = TEXT_N, .wire_size = TEXT_N + 3 };
        hook(at, -EIO);
        assert_int_equal(index_append(box, spool, inbox, items, 3, &c, NULL), -EIO);
        (void)unhook();
        assert_int_equal(dir_count(in_box("cur"), NULL), 1);
        assert_int_equal(dir_count(in_box("tmp"), NULL), 0);
        assert_int_equal(c.count, 0);
        look_closely();
        (void)sync_box();
        assert_string_equal(listed(), "1");
        assert_false(index_was_rebuilt(box)); /* it was taken back, not lost */
    }
    assert_int_equal(append(TEXT, 0), 0);
    assert_true(list.messages[1].uid > 1);
}

static void a_large_body_is_linked(void **ctx)
{
    struct index_append item = {
        .spooled = true, .spool_id = 5, .size = TEXT_N, .wire_size = TEXT_N + 3, .internal_ms = 1500000000000
    };
    struct mailbox_changes c = { 0 };
    int fd = spool_create(spool, 5, NULL);

    (void)ctx;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, TEXT, TEXT_N), TEXT_N);
    (void)close(fd);
    sync_and_load();
    assert_int_equal(append(TEXT, 0), 0);
    hook(0, 0);
    assert_int_equal(index_append(box, spool, inbox, &item, 1, &c, NULL), 0);
    assert_string_equal(unhook(), "LFC");
    apply(&c);
    assert_int_equal(spool_remove(spool, 5), 0);
    assert_string_equal(text_of(inbox, 2), TEXT);
    assert_int_equal(list.messages[1].internal_ms, 1500000000000);
}

static void the_quota_holds(void **ctx)
{
    (void)ctx;
    index_close(&box);
    options.quota = 2 * TEXT_N + 1;
    open_box();
    sync_and_load();
    assert_int_equal(append(TEXT, 0), 0);
    assert_int_equal(append(TEXT, 0), 0);
    assert_int_equal(append(TEXT, 0), -EDQUOT);
    assert_int_equal(expunge(1, 1, true), 0);
    assert_int_equal(append(TEXT, 0), 0);
    assert_int_equal(list.count, 2);
}

/* --- copy and move --- */

struct transfer {
    struct ranges from, to;
    struct mailbox_changes gone, added;
};

static int transfer(uint32_t target, uint32_t from, uint32_t to, bool move, struct transfer *t)
{
    struct ranges r = uids(from, to);
    struct err e = { 0 };
    int code;

    do {
        code = index_copy(box, inbox, &r, target, move, &t->gone, &t->added, &t->from, &t->to, &e);
    } while (code == MORE);
    ranges_clear(&r);
    return code;
}

static void transfer_clear(struct transfer *t)
{
    apply(&t->gone);
    mailbox_changes_clear(&t->added);
    ranges_clear(&t->from);
    ranges_clear(&t->to);
}

static void load_target(uint32_t folder)
{
    struct mailbox_changes c = { 0 };
    int r;

    do {
        r = index_sync(box, folder, true, &c, NULL);
    } while (r == MORE);
    assert_int_equal(r, 0);
    mailbox_changes_clear(&c);
    assert_int_equal(index_load(box, folder, &c, NULL), 0);
    mailbox_changes_clear(&c);
}

static void copies_are_links_with_flags_and_keywords(void **ctx)
{
    struct transfer t = { 0 };
    struct mailbox_changes c = { 0 };
    uint32_t archive = folder_named("Archive");
    char name[256];
    unsigned bit;
    struct stat st;

    (void)ctx;
    sync_and_load();
    load_target(archive);
    assert_int_equal(index_keyword(box, archive, SLICE_LIT("other"), true, &bit, &c, NULL), 0);
    mailbox_changes_clear(&c);
    assert_int_equal(index_keyword(box, inbox, SLICE_LIT("word"), true, &bit, &c, NULL), 0);
    apply(&c);
    for (int i = 0; i < 3; i++)
        assert_int_equal(append(TEXT, FLAG_SEEN), 0);
    assert_int_equal(store_flags(2, 2, FLAGS_ADD, 0, 1), 0);
    assert_int_equal(transfer(archive, 2, UINT32_MAX, false, &t), DONE);
    assert_int_equal(ranges_count(&t.from), 2);
    assert_true(ranges_has(&t.from, 3));
    assert_true(ranges_has(&t.to, 1) && ranges_has(&t.to, 2));
    assert_int_equal(t.added.count, 2);
    assert_int_equal(t.added.messages[0].flags, FLAG_SEEN);
    assert_int_equal(t.added.messages[0].keywords, 2); /* "word" is the second there */
    assert_int_equal(t.added.messages[1].keywords, 0);
    assert_int_equal(t.added.messages[0].internal_ms, 1600000000500);
    assert_int_equal(t.added.keyword_count, 2);
    assert_true(find_file(".Archive/cur", ",U=1:2,Sb", name));
    assert_true(find_file("cur", ",U=2", name));
    {
        char path[300];

        (void)snprintf(path, sizeof path, "cur/%s", name);
        assert_int_equal(stat(in_box(path), &st), 0);
        assert_int_equal(st.st_nlink, 2);
    }
    assert_string_equal(text_of(archive, 2), TEXT);
    transfer_clear(&t);
    assert_string_equal(listed(), "1:8 2:8/1 3:8");
}

static void a_move_syncs_before_it_removes(void **ctx)
{
    struct transfer t = { 0 };
    uint32_t archive = folder_named("Archive");

    (void)ctx;
    sync_and_load();
    load_target(archive);
    assert_int_equal(append(TEXT, 0), 0);
    assert_int_equal(append(TEXT, 0), 0);
    assert_int_equal(transfer(archive, 1, 1, true, &t), DONE);
    transfer_clear(&t);
    hook(0, 0);
    assert_int_equal(transfer(archive, 2, 2, true, &t), DONE);
    assert_string_equal(unhook(), "LCU");
    assert_true(ranges_has(&t.gone.gone, 2));
    transfer_clear(&t);
    assert_string_equal(listed(), "");
    assert_string_equal(text_of(archive, 2), TEXT);
}

static void a_failed_copy_leaves_nothing(void **ctx)
{
    uint32_t archive = folder_named("Archive"), reserved;

    (void)ctx;
    sync_and_load();
    load_target(archive);
    for (int i = 0; i < 4; i++)
        assert_int_equal(append(TEXT, 0), 0);
    assert_int_equal(index_reserve(box, archive, 50, &reserved, NULL), 0);
    for (int at = 1; at <= 6; at++) { /* four links, the directory, the first removal */
        struct transfer t = { 0 };

        hook(at, -EIO);
        assert_int_equal(transfer(archive, 1, 4, true, &t), -EIO);
        (void)unhook();
        assert_int_equal(dir_count(in_box("cur"), NULL), 4);
        assert_int_equal(dir_count(in_box(".Archive/cur"), NULL), at <= 5 ? 0 : 4);
        assert_int_equal(t.added.count, 0);
        transfer_clear(&t);
    }
    load_target(archive);
    assert_string_equal(text_of(archive, reserved - 1), "");
}

static int no_link(int a, const char *from, int b, const char *to)
{
    (void)a;
    (void)from;
    (void)b;
    (void)to;
    return -EXDEV;
}

static void where_links_are_not_possible_it_is_copied(void **ctx)
{
    struct transfer t = { 0 };
    uint32_t archive = folder_named("Archive");

    (void)ctx;
    sync_and_load();
    load_target(archive);
    assert_int_equal(append(TEXT, 0), 0);
    hook(0, 0);
    hooked.linkat = no_link;
    assert_int_equal(transfer(archive, 1, 1, true, &t), DONE);
    (void)unhook();
    transfer_clear(&t);
    assert_string_equal(text_of(archive, 1), TEXT);
    assert_string_equal(listed(), "");
    load_target(archive);
    assert_string_equal(text_of(archive, 1), TEXT);
}

static void a_copy_into_itself_ends(void **ctx)
{
    struct transfer t = { 0 };

    (void)ctx;
    sync_and_load();
    for (int i = 0; i < 3; i++)
        assert_int_equal(append(TEXT, 0), 0);
    assert_int_equal(transfer(inbox, 1, UINT32_MAX, false, &t), DONE);
    apply(&t.added);
    transfer_clear(&t);
    assert_string_equal(listed(), "1 2 3 4 5 6");
    assert_int_equal(transfer(inbox, 1, 2, true, &t), DONE);
    apply(&t.added);
    transfer_clear(&t);
    assert_string_equal(listed(), "3 4 5 6 7 8");
}

/* --- deliveries that are moved before they are synced --- */

static struct maildir_delivery delivered(uint64_t id)
{
    struct maildir_delivery d = { .user = USER,
                                  .id = id,
                                  .received_ms = clock_wall_ms(),
                                  .body = { TEXT, TEXT_N },
                                  .size = TEXT_N,
                                  .wire_size = TEXT_N + 3,
                                  .fd = -1 };

    assert_int_equal(maildir_deliver(maildirs, spool, &d, NULL), 0);
    return d;
}

static void a_moved_delivery_is_durable_where_it_is(void **ctx)
{
    struct maildir_delivery d = delivered(1), e;
    struct maildir_delivery *const all[] = { &d, &e };
    int results[2];

    (void)ctx;
    sync_and_load();
    (void)write_names();
    e = delivered(2);
    hook(0, 0);
    maildir_sync(maildirs, all, 2, results);
    assert_string_equal(unhook(), "FFNC");
    assert_int_equal(results[0], 0);
    assert_int_equal(results[1], 0);
    e = delivered(3);
    hook(0, 0);
    maildir_sync(maildirs, &all[1], 1, results);
    assert_string_equal(unhook(), "FN"); /* nothing was moved */
}

static void a_failed_delivery_is_found_where_it_is(void **ctx)
{
    struct maildir_delivery d = delivered(1);
    struct maildir_delivery *const all[] = { &d };
    int result;

    (void)ctx;
    sync_and_load();
    assert_string_equal(listed(), "1");
    hook(1, -EIO);
    maildir_sync(maildirs, all, 1, &result);
    (void)unhook();
    assert_int_equal(result, -EIO);
    assert_int_equal(dir_count(in_box("cur"), NULL), 0);
    assert_int_equal(dir_count(in_box("new"), NULL), 0);
    look_closely();
    (void)sync_box();
    look_closely();
    (void)sync_box();
    assert_string_equal(listed(), "");
}

static void a_young_delivery_is_synced_by_its_copy(void **ctx)
{
    struct transfer t = { 0 };
    uint32_t archive = folder_named("Archive");
    struct maildir_delivery d = delivered(1);

    (void)ctx;
    sync_and_load();
    load_target(archive);
    assert_int_equal(append_to(archive, TEXT, 0, NULL), 0);
    hook(0, 0);
    assert_int_equal(transfer(archive, 1, 1, false, &t), DONE);
    assert_string_equal(unhook(), "LFC");
    transfer_clear(&t);
    (void)close(d.fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_append_is_synced_with_its_directory, setup, teardown),
        cmocka_unit_test_setup_teardown(uids_are_reserved_before_they_are_used, setup, teardown),
        cmocka_unit_test_setup_teardown(a_failed_append_leaves_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_large_body_is_linked, setup, teardown),
        cmocka_unit_test_setup_teardown(the_quota_holds, setup, teardown),
        cmocka_unit_test_setup_teardown(copies_are_links_with_flags_and_keywords, setup, teardown),
        cmocka_unit_test_setup_teardown(a_move_syncs_before_it_removes, setup, teardown),
        cmocka_unit_test_setup_teardown(a_failed_copy_leaves_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(where_links_are_not_possible_it_is_copied, setup, teardown),
        cmocka_unit_test_setup_teardown(a_copy_into_itself_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(a_moved_delivery_is_durable_where_it_is, setup, teardown),
        cmocka_unit_test_setup_teardown(a_failed_delivery_is_found_where_it_is, setup, teardown),
        cmocka_unit_test_setup_teardown(a_young_delivery_is_synced_by_its_copy, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
