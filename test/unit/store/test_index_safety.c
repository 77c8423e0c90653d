/* What the index must survive: kills, lost and damaged files, hostile names, calls that fail. */
#include "store/index_test.h"

#include "index_priv.h"

#define TEXT   "Subject: one\n\nbody\n"
#define TEXT_N (sizeof TEXT - 1)

static const char *in_home(const char *name)
{
    static char path[1024];

    (void)snprintf(path, sizeof path, "%s/" HOME "/%s", state.path, name);
    return path;
}

/* --- kills --- */

static void append_five(void)
{
    for (int i = 0; i < 5; i++)
        assert_int_equal(append(TEXT, 0), 0);
    assert_int_equal(store_flags(1, 3, FLAGS_ADD, FLAG_FLAGGED, 0), 0);
    assert_int_equal(expunge(4, 5, true), 0);
}

static void a_kill_reuses_no_uid(void **ctx)
{
    uint32_t validity = folder_now().uidvalidity, uid;
    uint64_t modseq;

    (void)ctx;
    in_dying_process(append_five);
    assert_string_equal(listed(), "1:2 2:2 3:2");
    assert_int_equal(append_to(inbox, TEXT, 0, &uid), 0);
    assert_true(uid > 5);
    assert_int_equal(folder_now().uidvalidity, validity);
    modseq = list.modseq;
    in_dying_process(append_five);
    assert_true(list.modseq > modseq);
    assert_true(list.count >= 4);
    assert_true(list.messages[list.count - 1].uid > 5);
}

static void forget_the_end_of_the_log(void)
{
    append_five();
    (void)write_names();
    assert_int_equal(truncate(in_home("index.db-wal"), 0), 0);
}

static void lost_transactions_are_made_good(void **ctx)
{
    uint32_t uid;

    (void)ctx;
    assert_int_equal(append(TEXT, 0), 0);
    in_dying_process(forget_the_end_of_the_log);
    assert_string_equal(listed(), "1:2 2:2 3:2 6"); /* the sixth was the fifth of that run */
    assert_int_equal(append_to(inbox, TEXT, 0, &uid), 0);
    assert_true(uid > 6);
}

static void a_clean_end_leaves_no_gap(void **ctx)
{
    uint32_t uid;

    (void)ctx;
    for (uint32_t i = 1; i < 5; i++) {
        assert_int_equal(append_to(inbox, TEXT, 0, &uid), 0);
        assert_int_equal(uid, i);
        reopen();
    }
}

/* --- what is lost --- */

static void fill_box(void)
{
    assert_int_equal(append(TEXT, FLAG_SEEN), 0);
    assert_int_equal(append("Subject: two\n\nx\n", 0), 0);
    assert_int_equal(append(TEXT, FLAG_FLAGGED), 0);
    assert_int_equal(expunge(2, 2, true), 0);
    assert_int_equal(append(TEXT, 0), 0);
    assert_int_equal(append(TEXT, 0), 0);
    assert_int_equal(expunge(5, 5, true), 0);
}

static void without_index(void **ctx)
{
    struct index_folder before;
    uint64_t modseq;

    (void)ctx;
    sync_and_load();
    fill_box();
    before = folder_now();
    modseq = list.modseq;
    index_close(&box);
    assert_int_equal(unlink(in_home("index.db")), 0);
    mailbox_clear(&list);
    mailbox_init(&list);
    open_box();
    sync_and_load();
    assert_string_equal(listed(), "1:8 3:2 4");
    assert_int_equal(folder_now().uidvalidity, before.uidvalidity);
    assert_int_equal(folder_now().uidnext, before.uidnext);
    assert_string_equal(folder_now().mailbox_id, before.mailbox_id);
    assert_true(list.modseq > modseq);
    assert_int_equal(list.messages[0].internal_ms, 1600000000500);
    assert_int_equal(list.messages[0].size, TEXT_N + 3);
}

static void index_removed_under_us(void **ctx)
{
    struct mailbox_view view = { 0 };

    (void)ctx;
    sync_and_load();
    fill_box();
    view_open(&view, &list, true);
    assert_int_equal(unlink(in_home("index.db")), 0);
    (void)unlink(in_home("index.db-wal"));
    (void)sync_box();
    assert_true(index_was_rebuilt(box));
    assert_false(index_was_rebuilt(box));
    assert_string_equal(listed(), "1:8 3:2 4");
    assert_int_equal(view_count(&view), 3); /* nobody was told that anything went or came */
    assert_int_equal(view_seq(&view, 4), 3);
    assert_int_equal(append(TEXT, 0), 0);
    assert_string_equal(listed(), "1:8 3:2 4 6");
    view_close(&view);
    reopen();
    assert_string_equal(listed(), "1:8 3:2 4 6");
}

/* Nonsense over all pages, and none of them in memory. */
static void damage(void)
{
    struct stat st;
    char page[4096];
    int fd = open(in_home("index.db"), O_RDWR);

    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    memset(page, 0xa5, sizeof page);
    for (off_t at = 0; at < st.st_size; at += (off_t)sizeof page)
        assert_int_equal(pwrite(fd, page, sizeof page, at), sizeof page);
    (void)close(fd);
    (void)sqlite3_db_release_memory(box->db);
}

static int ignore_row(void *to, const struct index_row *row)
{
    (void)row;
    *(unsigned *)to += 1;
    return 0;
}

enum damaged_call { CALL_SYNC, CALL_STORE, CALL_EXPUNGE, CALL_APPEND, CALL_READ, CALL_MESSAGE, CALL_VANISHED, CALLS };

static void call(enum damaged_call which)
{
    struct ranges all = uids(1, UINT32_MAX), gone = { 0 };
    uint32_t from = 0;
    unsigned rows = 0;
    int r;

    switch (which) {
    case CALL_SYNC:
        look_closely();
        (void)sync_box();
        break;
    case CALL_STORE:
        assert_int_equal(store_flags(1, 1, FLAGS_ADD, FLAG_SEEN, 0), 0);
        break;
    case CALL_EXPUNGE:
        assert_int_equal(expunge(1, 3, false), 0);
        break;
    case CALL_APPEND:
        assert_int_equal(append(TEXT, 0), 0);
        break;
    case CALL_READ:
        while ((r = index_read(box, inbox, &all, &from, INDEX_ENVELOPE, ignore_row, &rows, NULL)) == MORE)
            ;
        assert_int_equal(r, 0);
        assert_true(rows >= 3);
        break;
    case CALL_MESSAGE:
        assert_string_equal(text_of(inbox, 3), TEXT);
        break;
    default:
        assert_int_equal(index_vanished(box, inbox, 1, &gone, NULL), 0);
        break;
    }
    ranges_clear(&gone);
    ranges_clear(&all);
}

static void index_damaged_under_us(void **ctx)
{
    (void)ctx;
    sync_and_load();
    fill_box();
    for (enum damaged_call i = 0; i < CALLS; i++) {
        const char *had;
        char text[200];

        reopen(); /* all is in the file now, and not in the cache */
        (void)snprintf(text, sizeof text, "%s", listed());
        damage();
        call(i);
        for (int k = 0; k < 3; k++)
            (void)sync_box();
        assert_true(index_was_rebuilt(box));
        had = i == CALL_APPEND ? listed() : text;
        assert_memory_equal(listed(), had, strlen(text));
        assert_int_equal(list.count, i >= CALL_APPEND ? 4 : 3);
        assert_int_equal(access(in_home("index.db.damaged"), F_OK), 0);
    }
}

static void index_damaged_at_start(void **ctx)
{
    (void)ctx;
    sync_and_load();
    fill_box();
    index_close(&box);
    file_write(in_home("index.db"), "no database, whatever its name says", 35);
    mailbox_clear(&list);
    mailbox_init(&list);
    open_box();
    assert_true(index_was_rebuilt(box));
    sync_and_load();
    assert_string_equal(listed(), "1:8 3:2 4");
}

static void index_cut_off_under_us(void **ctx)
{
    (void)ctx;
    sync_and_load();
    fill_box();
    for (int i = 0; i < 2; i++) {
        reopen();
        if (i == 1)
            index_rest(box);
        assert_int_equal(truncate(in_home("index.db"), i == 0 ? 4096 : 0), 0);
        if (i == 0)
            (void)sqlite3_db_release_memory(box->db);
        assert_int_equal(store_flags(4, 4, FLAGS_ADD, FLAG_DRAFT, 0), 0);
        for (int k = 0; k < 3; k++)
            (void)sync_box();
        assert_true(index_was_rebuilt(box));
        assert_string_equal(listed(), "1:8 3:2 4:10");
    }
}

static void it_rests_and_goes_on(void **ctx)
{
    int descriptors;

    (void)ctx;
    sync_and_load();
    fill_box();
    index_rest(box);
    descriptors = open_descriptors();
    (void)sync_box();
    assert_int_equal(store_flags(4, 4, FLAGS_ADD, FLAG_DRAFT, 0), 0);
    assert_true(open_descriptors() > descriptors + 3);
    index_rest(box);
    index_rest(box);
    assert_int_equal(open_descriptors(), descriptors);
    assert_string_equal(text_of(inbox, 4), TEXT);
    index_rest(box);
    assert_int_equal(unlink(in_home("index.db")), 0);
    (void)sync_box();
    assert_true(index_was_rebuilt(box));
    assert_string_equal(listed(), "1:8 3:2 4:10");
}

static void without_uidvalidity(void **ctx)
{
    struct index_folder before;
    uint32_t uid;

    (void)ctx;
    sync_and_load();
    fill_box();
    before = folder_now();
    index_close(&box);
    assert_int_equal(unlink(in_box("facteur-uidvalidity")), 0);
    open_box();
    (void)sync_box();
    assert_int_equal(folder_now().uidvalidity, before.uidvalidity);
    assert_string_equal(folder_now().mailbox_id, before.mailbox_id);
    assert_int_equal(append_to(inbox, TEXT, 0, &uid), 0);
    assert_int_equal(uid, 6);
}

static void without_both(void **ctx)
{
    struct index_folder before;
    uint32_t uid;

    (void)ctx;
    sync_and_load();
    fill_box();
    before = folder_now();
    index_close(&box);
    assert_int_equal(unlink(in_box("facteur-uidvalidity")), 0);
    assert_int_equal(unlink(in_home("index.db")), 0);
    clock_freeze(1000, clock_wall_ms() + 5000);
    mailbox_clear(&list);
    mailbox_init(&list);
    open_box();
    sync_and_load();
    assert_true(folder_now().uidvalidity > before.uidvalidity);
    assert_string_equal(listed(), "1:8 3:2 4"); /* as the names say, though nobody may rely on it */
    assert_int_equal(append_to(inbox, TEXT, 0, &uid), 0);
    assert_int_equal(uid, 5);
}

static void rebuilt_on_demand(void **ctx)
{
    uint32_t drafts, uid;

    (void)ctx;
    sync_and_load();
    fill_box();
    drafts = folder_named("Drafts");
    assert_int_equal(append_to(drafts, TEXT, FLAG_DRAFT, &uid), 0);
    assert_int_equal(index_rebuild(box, NULL), 0);
    assert_int_equal(folder_named("Drafts"), drafts);
    assert_string_equal(text_of(drafts, uid), TEXT);
    (void)sync_box();
    assert_string_equal(listed(), "1:8 3:2 4");
}

/* --- names --- */

static void a_uid_belongs_to_one_file(void **ctx)
{
    (void)ctx;
    sync_and_load();
    for (int i = 0; i < 3; i++)
        assert_int_equal(append(TEXT, 0), 0);
    put("cur/1500000000.x.host,U=2:2,S", "Subject: x\n\n");  /* taken */
    put("cur/1500000001.x.host,U=77:2,S", "Subject: x\n\n"); /* never given */
    put("cur/1500000002.x.host,U=4294967295:2,", "Subject: x\n\n");
    put("cur/1500000003.x.host,U=0:2,", "Subject: x\n\n");
    put("cur/1500000004.x.host,U=:2,", "Subject: x\n\n");
    put("cur/1500000005.x.host,U=99999999999999999999:2,", "Subject: x\n\n");
    put("new/1500000006.x.host,U=1", "Subject: x\n\n");
    look_closely();
    (void)sync_box();
    assert_string_equal(listed(), "1 2 3 4:8 5:8 6 7 8 9 10");
    assert_string_equal(text_of(inbox, 2), TEXT);
    assert_string_equal(text_of(inbox, 1), TEXT);
    assert_string_equal(text_of(inbox, 10), "Subject: x\n\n");
    reopen();
    assert_string_equal(listed(), "1 2 3 4:8 5:8 6 7 8 9 10");
}

static void of_two_unknown_ones_the_older_keeps_it(void **ctx)
{
    uint32_t next;

    (void)ctx;
    sync_and_load();
    for (int i = 0; i < 3; i++)
        assert_int_equal(append(TEXT, 0), 0);
    next = list.uidnext;
    index_close(&box);
    assert_int_equal(unlink(in_home("index.db")), 0);
    put("cur/1900000000.x.host,U=2:2,S", "Subject: x\n\n");
    mailbox_clear(&list);
    mailbox_init(&list);
    open_box();
    sync_and_load();
    assert_int_equal(list.count, 4);
    assert_string_equal(text_of(inbox, 2), TEXT);
    assert_string_equal(text_of(inbox, next), "Subject: x\n\n");
}

static void one_file_is_never_renamed_over_another(void **ctx)
{
    (void)ctx;
    sync_and_load();
    put("cur/1500000000.x.host,U=1:2,", "Subject: a\n\n");
    put("cur/1500000000.x.host,S=12,W=14,U=1:2,", "Subject: b\n\n");
    put("cur/1500000000.x.host,S=12,W=14,U=2:2,", "Subject: c\n\n");
    put("cur/1500000000.x.host:2,", "Subject: d\n\n");
    look_closely();
    (void)sync_box();
    assert_int_equal(list.count, 4);
    for (uint32_t i = 1; i <= 4; i++)
        assert_int_equal(strlen(text_of(inbox, i)), 12);
    assert_int_equal(dir_count(in_box("cur"), NULL), 4);
}

/* mutt renames by link and unlink; we look in between. */
static void a_second_name_of_a_file_is_followed(void **ctx)
{
    char name[256], from[300], to[300];

    (void)ctx;
    sync_and_load();
    assert_int_equal(append(TEXT, 0), 0);
    assert_true(find_file("cur", ",U=1", name));
    (void)snprintf(from, sizeof from, "cur/%s", name);
    (void)snprintf(to, sizeof to, "cur/%.*s:2,FS", (int)strcspn(name, ":"), name);
    assert_int_equal(link(in_box(from), in_box(to)), 0);
    look_closely();
    (void)sync_box();
    assert_string_equal(listed(), "1");
    assert_int_equal(dir_count(in_box("cur"), NULL), 2);
    assert_int_equal(unlink(in_box(from)), 0);
    look_closely();
    (void)sync_box();
    assert_string_equal(listed(), "1:a");
    assert_string_equal(text_of(inbox, 1), TEXT);
}

/* Left by a program that ended between link and unlink. */
static void a_second_name_is_no_second_message(void **ctx)
{
    char name[256], from[300], to[300];

    (void)ctx;
    sync_and_load();
    assert_int_equal(append(TEXT, 0), 0);
    assert_true(find_file("cur", ",U=1", name));
    (void)snprintf(from, sizeof from, "cur/%s", name);
    (void)snprintf(to, sizeof to, "new/%.*s", (int)strcspn(name, ":"), name);
    assert_int_equal(link(in_box(from), in_box(to)), 0);
    look_closely();
    (void)sync_box();
    assert_string_equal(listed(), "1");
    index_close(&box);
    assert_int_equal(unlink(in_home("index.db")), 0);
    mailbox_clear(&list);
    mailbox_init(&list);
    open_box();
    sync_and_load();
    assert_string_equal(listed(), "1");
    assert_string_equal(text_of(inbox, 1), TEXT);
}

static void a_file_shorter_than_its_name_says_is_served(void **ctx)
{
    char name[256], path[300];

    (void)ctx;
    sync_and_load();
    assert_int_equal(append(TEXT, 0), 0);
    assert_true(find_file("cur", ",U=1", name));
    index_close(&box);
    assert_int_equal(unlink(in_home("index.db")), 0);
    (void)snprintf(path, sizeof path, "cur/%s", name);
    assert_int_equal(truncate(in_box(path), 3), 0);
    file_age(in_box(path));
    mailbox_clear(&list);
    mailbox_init(&list);
    open_box();
    sync_and_load();
    assert_string_equal(listed(), "1");
    assert_int_equal(list.messages[0].size, 3);
    assert_int_equal(dir_count(in_box("cur"), NULL), 1);
    assert_int_equal(dir_count(in_box("tmp"), NULL), 0);
}

/* index.db as a power cut leaves it: not closed, and of another boot of the system. */
static void cut_the_power(void)
{
    sqlite3 *db = NULL;

    assert_int_equal(sqlite3_open(in_home("index.db"), &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "UPDATE state SET clean = 0, boot = 'another'", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void an_append_that_a_power_cut_left_half_goes_aside(void **ctx)
{
    char name[256], path[300], whole[300];
    const char *cut;
    int64_t then;

    (void)ctx;
    sync_and_load();
    assert_int_equal(append(TEXT, 0), 0);
    assert_true(find_file("cur", ",U=1", name));
    (void)snprintf(path, sizeof path, "cur/%s", name);
    assert_int_equal(truncate(in_box(path), 3), 0); /* a message that has a row: whatever has cut it, it stays */
    index_close(&box);
    cut = "cur/1600000001.R0123456789abcdef.host,S=100,W=102,U=2:2,";
    put(cut, "half of it");
    put("cur/1600000002.M1P1.host,S=100,W=102,U=3:2,", "of another program");
    (void)snprintf(whole, sizeof whole, "cur/1600000003.R0123456789abcdeg.host,S=%zu,U=4:2,", strlen(TEXT));
    put(whole, TEXT);
    cut_the_power();
    mailbox_clear(&list);
    mailbox_init(&list);
    then = index_files_ns();
    while (index_files_ns() == then) /* a tick of the file system's clock: what is older was there before */
        continue;
    open_box();
    sync_and_load();
    assert_int_equal(list.count, 3);
    assert_int_equal(dir_count(in_box("cur"), NULL), 3);
    assert_int_equal(dir_count(in_box("tmp"), NULL), 1);
    put("cur/1600000004.R0123456789abcdeh.host,S=100,W=102,U=9:2,", "restored since"); /* it has changed since */
    look_closely();
    (void)sync_box();
    assert_int_equal(list.count, 4);
    assert_int_equal(dir_count(in_box("tmp"), NULL), 1);
}

static void a_folder_made_anew_is_another(void **ctx)
{
    (void)ctx;
    sync_and_load();
    fill_box();
    assert_int_equal(rename(in_box("cur"), in_box("old")), 0);
    (void)sync_box();
    look_closely();
    (void)sync_box();
    assert_string_equal(listed(), "");
    assert_int_equal(append(TEXT, 0), 0);
    assert_string_equal(listed(), "6");
}

/* --- many --- */

static void many_are_taken_in_slices(void **ctx)
{
    int slices;

    (void)ctx;
    for (int i = 0; i < 20000; i++) {
        char name[100];

        (void)snprintf(name, sizeof name, "cur/%d.%d.host,S=4,W=5:2,%s", 1500000000 + i, i, i % 2 == 0 ? "S" : "");
        put(name, "a: \n");
    }
    slices = sync_box();
    assert_true(slices > 3);
    load();
    assert_int_equal(list.count, 20000);
    assert_int_equal(list.messages[19999].uid, 20000);
    assert_int_equal(list.messages[2].flags, FLAG_SEEN);
    assert_int_equal(list.messages[3].flags, 0);
    assert_int_equal(store_flags(1, UINT32_MAX, FLAGS_REPLACE, FLAG_FLAGGED, 0), 0);
    assert_int_equal(list.messages[19999].flags, FLAG_FLAGGED);
    assert_int_equal(list.messages[19999].modseq >= list.messages[0].modseq, true);
    assert_int_equal(expunge(1, 19990, true), 0);
    assert_int_equal(list.count, 10);
    look_closely();
    (void)sync_box();
    assert_int_equal(list.count, 10);
}

/* A session works while another's first look is in slices. */
static void work_goes_on_between_slices(void **ctx)
{
    struct mailbox_changes c = { 0 };
    uint32_t uid = 0;
    int r, slices = 0;

    (void)ctx;
    sync_and_load();
    for (int i = 0; i < 6000; i++) {
        char name[100];

        (void)snprintf(name, sizeof name, "cur/%d.%d.host:2,", 1500000000 + i, i);
        put(name, "a: \n");
    }
    look_closely();
    do {
        r = index_sync(box, inbox, true, &c, NULL);
        assert_true(r >= 0);
        apply(&c);
        if (slices++ < 20) {
            assert_int_equal(append_to(inbox, TEXT, 0, &uid), 0);
            assert_int_equal(store_flags(uid, uid, FLAGS_ADD, FLAG_SEEN, 0), 0);
            if (slices % 2 == 0)
                assert_int_equal(expunge(uid, uid, true), 0);
        }
    } while (r == MORE);
    look_closely();
    (void)sync_box();
    assert_int_equal(list.count, 6000 + (size_t)(slices > 20 ? 10 : (slices + 1) / 2));
    for (size_t i = 1; i < list.count; i++)
        assert_true(list.messages[i].uid > list.messages[i - 1].uid);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_kill_reuses_no_uid, setup, teardown),
        cmocka_unit_test_setup_teardown(lost_transactions_are_made_good, setup, teardown),
        cmocka_unit_test_setup_teardown(a_clean_end_leaves_no_gap, setup, teardown),
        cmocka_unit_test_setup_teardown(without_index, setup, teardown),
        cmocka_unit_test_setup_teardown(index_removed_under_us, setup, teardown),
        cmocka_unit_test_setup_teardown(index_damaged_under_us, setup, teardown),
        cmocka_unit_test_setup_teardown(index_damaged_at_start, setup, teardown),
        cmocka_unit_test_setup_teardown(index_cut_off_under_us, setup, teardown),
        cmocka_unit_test_setup_teardown(it_rests_and_goes_on, setup, teardown),
        cmocka_unit_test_setup_teardown(without_uidvalidity, setup, teardown),
        cmocka_unit_test_setup_teardown(without_both, setup, teardown),
        cmocka_unit_test_setup_teardown(rebuilt_on_demand, setup, teardown),
        cmocka_unit_test_setup_teardown(a_uid_belongs_to_one_file, setup, teardown),
        cmocka_unit_test_setup_teardown(of_two_unknown_ones_the_older_keeps_it, setup, teardown),
        cmocka_unit_test_setup_teardown(one_file_is_never_renamed_over_another, setup, teardown),
        cmocka_unit_test_setup_teardown(a_second_name_is_no_second_message, setup, teardown),
        cmocka_unit_test_setup_teardown(a_second_name_of_a_file_is_followed, setup, teardown),
        cmocka_unit_test_setup_teardown(a_file_shorter_than_its_name_says_is_served, setup, teardown),
        cmocka_unit_test_setup_teardown(an_append_that_a_power_cut_left_half_goes_aside, setup, teardown),
        cmocka_unit_test_setup_teardown(a_folder_made_anew_is_another, setup, teardown),
        cmocka_unit_test_setup_teardown(many_are_taken_in_slices, setup, teardown),
        cmocka_unit_test_setup_teardown(work_goes_on_between_slices, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
