/* A Maildir that Dovecot has served: whoever was in sync with it downloads nothing again. */
#include "store/index_test.h"

#include "index_priv.h"

#define TEXT "Subject: one\n\nbody\n"

static const char uidlist[] = "3 V1400000000 N50 Gdeadbeefdeadbeefdeadbeefdeadbeef\n"
                              "7 W22 :1400000001.M1P1.host,S=19,W=22\n"
                              "9 Pold-uidl :1400000002.M2P1.host\n"
                              "12 :1400000003.M3P1.host,S=19\n"
                              "13 :1400000004.M4P1.gone\n"
                              "40 :1400000005.M5P1.host\n";

static void maildir_of_dovecot(void)
{
    index_close(&box);
    (void)unlink(in_box("facteur-uidvalidity"));
    (void)unlink(in_dir(&state, HOME "/index.db"));
    put("dovecot-uidlist", uidlist);
    put("dovecot-keywords", "0 $Label1\n1 work\n");
    put("cur/1400000001.M1P1.host,S=19,W=22:2,S", TEXT);
    put("cur/1400000002.M2P1.host:2,Fb", TEXT);
    put("cur/1400000003.M3P1.host,S=19:2,", TEXT);
    put("new/1400000005.M5P1.host", TEXT);
    put("cur/1300000000.other.host:2,R", TEXT); /* older, and unknown to Dovecot */
    put("new/1300000000.newer.host,U=40", TEXT);
}

static void check_adopted(const char *others)
{
    char uidl[71], all[100];

    (void)snprintf(all, sizeof all, "7:8 9:2/2 12 40 %s", others);
    assert_int_equal(folder_now().uidvalidity, 1400000000);
    assert_string_equal(listed(), all);
    assert_int_equal(list.keyword_count, 2);
    assert_string_equal(list.keywords[1], "work");
    assert_int_equal(index_uidl(box, inbox, 9, uidl), 0);
    assert_string_equal(uidl, "old-uidl");
    assert_int_equal(index_uidl(box, inbox, 7, uidl), -ENOENT);
}

static void uids_are_adopted(void **ctx)
{
    uint32_t uid;

    (void)ctx;
    maildir_of_dovecot();
    open_box();
    sync_and_load();
    check_adopted("50:1 51");
    assert_int_equal(list.uidnext, 52);
    assert_int_equal(append_to(inbox, TEXT, 0, &uid), 0);
    assert_int_equal(uid, 52);
    assert_int_equal(expunge(52, 52, true), 0);
    list.uidnext = 52;
    assert_int_equal(index_rebuild(box, NULL), 0); /* UIDLs come from Dovecot's list once more */
    (void)sync_box();
    list.uidnext = 52;
    check_adopted("50:1 51");
}

/* Renames so many files, then the disk fails. */
static int renames_left;

static int few_renames(int a, const char *from, int b, const char *to)
{
    return renames_left-- > 0 ? sys_kernel.rename_new(a, from, b, to) : -EIO;
}

static void an_adoption_that_was_cut_short_goes_on(void **ctx)
{
    static struct sys hooked;

    (void)ctx;
    for (int n = 0; n < 6; n++) {
        int r;

        if (n > 0)
            (void)teardown(ctx);
        (void)setup(ctx);
        maildir_of_dovecot();
        open_box();
        hooked = sys_kernel;
        hooked.rename_new = few_renames;
        renames_left = n;
        sys = &hooked;
        sync_and_load();
        do {
            r = index_names(box, NULL);
        } while (r == MORE);
        assert_int_equal(r, -EIO);
        assert_true(index_names_due(box) > 0);
        check_adopted("50:1 51");
        index_close(&box);
        sys = &sys_kernel;
        mailbox_clear(&list);
        mailbox_init(&list);
        (void)unlink(in_dir(&state, HOME "/index.db"));
        open_box();
        sync_and_load();
        check_adopted(n < 5 ? "52:1 53" : "50:1 52"); /* Dovecot knew nothing of these */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(uids_are_adopted, setup, teardown),
        cmocka_unit_test_setup_teardown(an_adoption_that_was_cut_short_goes_on, NULL, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
