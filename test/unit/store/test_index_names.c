/* Names that follow the index: what is promised while a file still has its old one. */
#include "store/index_test.h"

#include "index_priv.h"

#define TEXT "Subject: one\n\nbody\n"

static struct sys hooked;
static int renames;      /* so many were asked for */
static int renames_left; /* then they fail */

static int few_renames(int a, const char *from, int b, const char *to)
{
    renames++;
    return renames_left-- > 0 ? sys_kernel.rename_new(a, from, b, to) : -EIO;
}

static void let_rename(int left)
{
    hooked = sys_kernel;
    hooked.rename_new = few_renames;
    renames = 0;
    renames_left = left;
    sys = &hooked;
}

static bool is_there(const char *name)
{
    return access(in_box(name), F_OK) == 0;
}

static void a_row_comes_before_the_name(void **ctx)
{
    char name[256];

    (void)ctx;
    put("cur/1600000001.a.host:2,S", TEXT);
    put("new/1600000002.b.host", TEXT);
    let_rename(0);
    sync_and_load();
    assert_string_equal(listed(), "1:8 2");
    assert_int_equal(store_flags(1, 2, FLAGS_ADD, FLAG_FLAGGED, 0), 0);
    assert_int_equal(renames, 0); /* nobody waited for any */
    assert_true(is_there("cur/1600000001.a.host:2,S"));
    assert_true(is_there("new/1600000002.b.host"));
    assert_string_equal(text_of(inbox, 1), TEXT);
    assert_string_equal(text_of(inbox, 2), TEXT);
    assert_true(index_names_due(box) >= 2);
    let_rename(100);
    (void)write_names();
    assert_int_equal(renames, 2);
    assert_true(find_file("cur", ",U=1", name));
    assert_string_equal(name, "1600000001.a.host,U=1,S=19,W=22:2,FS");
    assert_true(find_file("cur", ",U=2", name));
    assert_string_equal(name, "1600000002.b.host,U=2,S=19,W=22:2,F");
    (void)write_names();
    assert_int_equal(renames, 2);
    look_closely();
    (void)sync_box();
    assert_string_equal(listed(), "1:a 2:2");
}

static void what_is_taken_back_costs_no_rename(void **ctx)
{
    (void)ctx;
    sync_and_load();
    assert_int_equal(append(TEXT, FLAG_SEEN), 0);
    let_rename(0);
    assert_int_equal(store_flags(1, 1, FLAGS_ADD, FLAG_FLAGGED, 0), 0);
    assert_int_equal(store_flags(1, 1, FLAGS_REMOVE, FLAG_FLAGGED, 0), 0);
    (void)write_names();
    assert_int_equal(renames, 0);
}

static void a_look_leaves_what_is_due_alone(void **ctx)
{
    (void)ctx;
    put("cur/1600000001.a.host:2,S", TEXT);
    put("cur/1600000001.a.host", TEXT); /* the same unique part */
    put("new/1600000001.a.host", TEXT);
    let_rename(0);
    sync_and_load();
    assert_string_equal(listed(), "1 2:8 3");
    assert_int_equal(store_flags(1, 3, FLAGS_ADD, FLAG_FLAGGED, 0), 0);
    for (int i = 0; i < 3; i++) {
        look_closely();
        (void)sync_box();
        assert_string_equal(listed(), "1:2 2:a 3:2");
    }
    sys = &sys_kernel;
    (void)write_names();
    look_closely();
    (void)sync_box();
    assert_string_equal(listed(), "1:2 2:a 3:2");
}

static void others_rename_what_is_due(void **ctx)
{
    (void)ctx;
    put("new/1600000001.a.host", TEXT);
    put("cur/1600000002.b.host:2,R", TEXT);
    put("cur/1600000003.c.host:2,", TEXT);
    let_rename(0);
    sync_and_load();
    assert_string_equal(listed(), "1:1 2 3"); /* what is in cur/ comes first */
    assert_int_equal(store_flags(1, 3, FLAGS_ADD, FLAG_FLAGGED, 0), 0);
    assert_int_equal(rename(in_box("new/1600000001.a.host"), in_box("cur/1600000001.a.host:2,S")), 0);
    assert_int_equal(rename(in_box("cur/1600000002.b.host:2,R"), in_box("cur/1600000002.b.host:2,T")), 0);
    assert_int_equal(unlink(in_box("cur/1600000003.c.host:2,")), 0);
    sys = &sys_kernel;
    look_closely();
    (void)sync_box();
    (void)sync_box();
    assert_string_equal(listed(), "1:6 3:a"); /* theirs, and ours that they did not touch */
    (void)write_names();
    reopen();
    assert_string_equal(listed(), "1:6 3:a");
}

/* --- kills --- */

static void leave_names_due(void)
{
    put("new/1600000001.a.host", TEXT);
    put("cur/1600000002.b.host:2,R", TEXT);
    (void)sync_box();
    sys = &sys_kernel;
    assert_int_equal(append(TEXT, 0), 0);
    assert_int_equal(store_flags(1, 3, FLAGS_ADD, FLAG_FLAGGED, 0), 0);
}

static void a_kill_leaves_them_due(void **ctx)
{
    (void)ctx;
    in_dying_process(leave_names_due);
    assert_string_equal(listed(), "1:3 2:2 3:2");
    assert_true(index_names_due(box) > 0);
    (void)write_names();
    index_close(&box);
    assert_int_equal(unlink(in_dir(&state, HOME "/index.db")), 0);
    mailbox_clear(&list);
    mailbox_init(&list);
    open_box();
    assert_int_equal(index_names_due(box), 0);
    sync_and_load();
    assert_string_equal(listed(), "1:3 2:2 3:2");
}

static int rename_and_die(int a, const char *from, int b, const char *to)
{
    int r = sys_kernel.rename_new(a, from, b, to);

    if (renames_left-- == 0)
        (void)kill(getpid(), SIGKILL);
    return r;
}

static void die_within_the_slice(void)
{
    leave_names_due();
    hooked = sys_kernel;
    hooked.rename_new = rename_and_die;
    sys = &hooked;
    (void)write_names();
}

static void a_kill_before_the_rows_know(void **ctx)
{
    (void)ctx;
    for (int n = 0; n < 3; n++) {
        if (n > 0)
            (void)teardown(ctx), (void)setup(ctx);
        renames_left = n;
        in_dying_process(die_within_the_slice);
        sys = &sys_kernel;
        assert_string_equal(listed(), "1:3 2:2 3:2");
        assert_int_equal(store_flags(2, 2, FLAGS_REMOVE, FLAG_FLAGGED, 0), 0);
        (void)write_names();
        look_closely();
        (void)sync_box();
        assert_string_equal(listed(), "1:3 2 3:2");
    }
}

/* --- a disk that fails --- */

static void a_rename_that_fails_is_tried_again(void **ctx)
{
    int r;

    (void)ctx;
    sync_and_load();
    for (int i = 0; i < 4; i++)
        assert_int_equal(append(TEXT, 0), 0);
    assert_int_equal(store_flags(1, 4, FLAGS_ADD, FLAG_FLAGGED, 0), 0);
    let_rename(2);
    do {
        r = index_names(box, NULL);
    } while (r == MORE);
    assert_int_equal(r, -EIO);
    assert_int_equal(index_names_due(box), 2);
    assert_string_equal(listed(), "1:2 2:2 3:2 4:2");
    assert_int_equal(store_flags(1, 4, FLAGS_ADD, FLAG_SEEN, 0), 0);
    sys = &sys_kernel;
    (void)write_names();
    look_closely();
    (void)sync_box();
    assert_string_equal(listed(), "1:a 2:a 3:a 4:a");
}

static int refuse(void *ctx)
{
    (void)ctx;
    return 1;
}

/* A transaction that fails has renamed nothing; one that notes names has, and is made good. */
static void a_transaction_that_fails_loses_nothing(void **ctx)
{
    struct mailbox_changes c = { 0 };
    uint32_t next;
    int r;

    (void)ctx;
    sync_and_load();
    for (int i = 0; i < 3; i++)
        assert_int_equal(append(TEXT, 0), 0);
    put("new/1600000001.a.host", TEXT);
    (void)sqlite3_commit_hook(box->db, refuse, NULL);
    do {
        r = index_sync(box, inbox, true, &c, NULL);
        apply(&c);
    } while (r == MORE);
    assert_true(r < 0);
    assert_true(is_there("new/1600000001.a.host"));
    assert_true(store_flags(1, 3, FLAGS_ADD, FLAG_FLAGGED, 0) < 0);
    (void)sqlite3_commit_hook(box->db, NULL, NULL);
    look_closely();
    (void)sync_box();
    assert_int_equal(list.count, 4);
    next = list.messages[3].uid;
    assert_int_equal(list.messages[0].flags, 0);
    assert_int_equal(store_flags(1, 3, FLAGS_ADD, FLAG_FLAGGED, 0), 0);
    (void)sqlite3_commit_hook(box->db, refuse, NULL);
    assert_true(index_names(box, NULL) < 0);
    (void)sqlite3_commit_hook(box->db, NULL, NULL);
    assert_int_equal(store_flags(2, 2, FLAGS_REMOVE, FLAG_FLAGGED, 0), 0);
    (void)write_names();
    look_closely();
    (void)sync_box();
    reopen();
    assert_int_equal(list.count, 4);
    assert_int_equal(list.messages[3].uid, next);
    assert_int_equal(list.messages[0].flags, FLAG_FLAGGED);
    assert_int_equal(list.messages[1].flags, 0);
}

static void an_index_that_is_removed_is_read_once_more(void **ctx)
{
    (void)ctx;
    sync_and_load();
    leave_names_due();
    assert_int_equal(unlink(in_dir(&state, HOME "/index.db")), 0);
    (void)sync_box();
    (void)sync_box();
    assert_true(index_was_rebuilt(box));
    assert_string_equal(listed(), "1:3 2:2 3:2");
}

/* --- deliveries --- */

static int arrived(const char *name, uint32_t uid)
{
    struct index_arrival a = { .message = { .uid = uid, .modseq = list.modseq + 1, .size = 22 } };

    (void)snprintf(a.name, sizeof a.name, "%s", name);
    assert_int_equal(index_arrived(box, inbox, &a, 1, NULL), 0);
    return a.code;
}

static void a_delivery_that_a_look_has_found_is_not_there_twice(void **ctx)
{
    (void)ctx;
    sync_and_load();
    put("new/1600000001.a.host", TEXT);
    let_rename(0);
    (void)sync_box();
    assert_int_equal(arrived("1600000001.a.host", 2), -ENOENT);
    sys = &sys_kernel;
    assert_int_equal(arrived("1600000001.a.host", 3), -ENOENT);
    (void)write_names();
    look_closely();
    (void)sync_box();
    assert_string_equal(listed(), "1");
    assert_int_equal(dir_count(in_box("cur"), NULL), 1);
}

/* It comes between two slices of a look that has read its name. */
static void a_delivery_during_a_look(void **ctx)
{
    struct mailbox_changes c = { 0 };
    char name[100];
    int r, slices = 0;

    (void)ctx;
    sync_and_load();
    for (int i = 0; i < 6000; i++) {
        (void)snprintf(name, sizeof name, "new/%d.%d.host", 1500000000 + i, i);
        put(name, "a: \n");
    }
    do {
        r = index_sync(box, inbox, true, &c, NULL);
        assert_true(r >= 0);
        apply(&c);
        (void)snprintf(name, sizeof name, "%d.%d.host", 1500005999 - slices, 5999 - slices);
        if (r == MORE && slices++ < 5) {
            uint32_t uid = folder_now().uidnext;

            assert_int_equal(arrived(name, uid), 0);
            mailbox_arrive(&list, &(struct mailbox_message){ .uid = uid, .modseq = list.modseq + 1 });
        }
    } while (r == MORE);
    assert_true(slices > 0);
    (void)write_names();
    look_closely();
    (void)sync_box();
    assert_int_equal(list.count, 6000);
    assert_int_equal(dir_count(in_box("cur"), NULL), 6000);
}

static void a_base_name_is_as_the_file_had_it(void **ctx)
{
    char name[MAILDIR_NAME];

    (void)ctx;
    put("new/1600000001.a.host", TEXT);
    sync_and_load();
    assert_int_equal(index_base_name(box, inbox, 1, name), 0);
    assert_string_equal(name, "1600000001.a.host");
    assert_true(is_there("cur/1600000001.a.host,U=1,S=19,W=22:2,"));
}

/* What follows the comma may not become what a name begins with: files with a dot there are no messages. */
static void a_name_without_its_unique_part_gets_another(void **ctx)
{
    char name[256];

    (void)ctx;
    put("cur/,.hidden:2,S", TEXT);
    put("cur/,U=5:2,", TEXT);
    sync_and_load();
    assert_string_equal(listed(), "1:8 2");
    assert_int_equal(store_flags(1, 9, FLAGS_ADD, FLAG_FLAGGED, 0), 0);
    (void)write_names();
    assert_true(find_file("cur", ",U=1:2,FS", name));
    assert_true(name[0] != '.' && name[0] != ',');
    assert_true(find_file("cur", ",U=2:2,F", name));
    reopen();
    look_closely();
    sync_and_load();
    assert_string_equal(listed(), "1:a 2:2");
    assert_string_equal(text_of(inbox, 1), TEXT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_row_comes_before_the_name, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_taken_back_costs_no_rename, setup, teardown),
        cmocka_unit_test_setup_teardown(a_look_leaves_what_is_due_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(others_rename_what_is_due, setup, teardown),
        cmocka_unit_test_setup_teardown(a_kill_leaves_them_due, setup, teardown),
        cmocka_unit_test_setup_teardown(a_kill_before_the_rows_know, setup, teardown),
        cmocka_unit_test_setup_teardown(a_rename_that_fails_is_tried_again, setup, teardown),
        cmocka_unit_test_setup_teardown(a_transaction_that_fails_loses_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(an_index_that_is_removed_is_read_once_more, setup, teardown),
        cmocka_unit_test_setup_teardown(a_delivery_that_a_look_has_found_is_not_there_twice, setup, teardown),
        cmocka_unit_test_setup_teardown(a_delivery_during_a_look, setup, teardown),
        cmocka_unit_test_setup_teardown(a_base_name_is_as_the_file_had_it, setup, teardown),
        cmocka_unit_test_setup_teardown(a_name_without_its_unique_part_gets_another, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
