#include "store/store_test.h"

#include "dovecot_priv.h"
#include "keywords_priv.h"
#include "subscriptions_priv.h"

static struct dir box;
static int fd;

static int setup(void **ctx)
{
    (void)ctx;
    dir_make(&box);
    fd = open(box.path, O_RDONLY | O_DIRECTORY);
    return fd < 0;
}

static int teardown(void **ctx)
{
    (void)ctx;
    (void)close(fd);
    dir_remove(&box);
    return 0;
}

static void put(const char *name, const char *text)
{
    file_write(in_dir(&box, name), text, strlen(text));
}

static void holds(const char *name, const char *text)
{
    char have[4096];
    size_t n = file_read(in_dir(&box, name), have, sizeof have - 1);

    have[n] = '\0';
    assert_string_equal(have, text);
}

static uint32_t uid_of(const struct dovecot_uidlist *l, const char *base)
{
    const struct dovecot_record *r = dovecot_uidlist_find(l, slice_str(base));

    return r != NULL ? r->uid : 0;
}

/* The text that Dovecot 2.3.19 wrote, and lines as its migrations write them. */
static void test_uidlist(void **ctx)
{
    struct dovecot_uidlist l;
    const struct dovecot_record *r;

    (void)ctx;
    put("dovecot-uidlist", "3 V1795333111 N8 G60f46d33f69b026bc943000083ecc375\n"
                           "1 P :1795333110.M872833P17353.vm,S=23,W=25\n"
                           "2 W25 P00000abc.def S23 :1795333110.M873937P17353.vm,S=23,W=25\n"
                           "4 Phas~all!chars :z:2,S\n"
                           "3 :not-ascending\n"
                           "5 :z\n"
                           "x :no-number\n"
                           "6 :a/b\n"
                           "7\n"
                           "7 :\n"
                           "4294967295 :too-high\n"
                           "99999999999 :too-high\n"
                           "9 :added without a new header\n"
                           "10 :half a line");
    assert_int_equal(dovecot_uidlist_read(fd, &l, NULL), 0);
    assert_int_equal(l.uidvalidity, 1795333111);
    assert_int_equal(l.uidnext, 10);
    assert_string_equal(l.guid, "60f46d33f69b026bc943000083ecc375");
    assert_int_equal(l.count, 4);
    assert_int_equal(uid_of(&l, "1795333110.M872833P17353.vm,S=23,W=25"), 1);
    r = dovecot_uidlist_find(&l, slice_str("1795333110.M872833P17353.vm,S=23,W=25"));
    assert_true(slice_is(r->uidl, "1795333110.M872833P17353.vm,S=23,W=25")); /* pop3_uidl_format = %g */
    r = dovecot_uidlist_find(&l, slice_str("1795333110.M873937P17353.vm,S=23,W=25"));
    assert_non_null(r);
    assert_int_equal(r->uid, 2);
    assert_true(slice_is(r->uidl, "00000abc.def"));
    assert_int_equal(uid_of(&l, "z"), 5); /* it went and came back */
    assert_int_equal(uid_of(&l, "added without a new header"), 9);
    assert_int_equal(uid_of(&l, "half a line"), 0);
    assert_int_equal(uid_of(&l, ""), 0);
    dovecot_uidlist_clear(&l);
}

static void test_uidlist_old(void **ctx)
{
    struct dovecot_uidlist l;

    (void)ctx;
    put("dovecot-uidlist", "1 1130000000 3\n1 first\n2 1130000000.x.host:2,S\n");
    assert_int_equal(dovecot_uidlist_read(fd, &l, NULL), 0);
    assert_int_equal(l.uidvalidity, 1130000000);
    assert_int_equal(l.uidnext, 3);
    assert_string_equal(l.guid, "");
    assert_int_equal(uid_of(&l, "first"), 1);
    assert_int_equal(uid_of(&l, "1130000000.x.host"), 2);
    dovecot_uidlist_clear(&l);
}

static void test_uidlist_broken(void **ctx)
{
    static const char *const broken[] = { "",          "3\n",        "3 V1 N1",
                                          "2 V1 N1\n", "3 V0 N1\n",  "3 V1\n",
                                          "3 V1 N0\n", "3 V-1 N1\n", "3 V4294967296 N1\n",
                                          "\n",        "x\n",        "3 V1 N1 G60f46d33f69b026bc943000083ecc3755\n" };
    struct dovecot_uidlist l;
    struct err e = { 0 };

    (void)ctx;
    assert_int_equal(dovecot_uidlist_read(fd, &l, &e), -ENOENT);
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        put("dovecot-uidlist", broken[i]);
        assert_int_equal(dovecot_uidlist_read(fd, &l, &e), -EBADMSG);
    }
    assert_non_null(strstr(e.text, "dovecot-uidlist"));
    put("elsewhere", "3 V1 N1\n");
    assert_int_equal(unlink(in_dir(&box, "dovecot-uidlist")), 0);
    assert_int_equal(symlink("elsewhere", in_dir(&box, "dovecot-uidlist")), 0);
    assert_int_equal(dovecot_uidlist_read(fd, &l, &e), -EBADMSG);
    assert_int_equal(unlink(in_dir(&box, "dovecot-uidlist")), 0);
    assert_int_equal(mkfifo(in_dir(&box, "dovecot-uidlist"), 0600), 0);
    assert_int_equal(dovecot_uidlist_read(fd, &l, &e), -EBADMSG);
}

static void test_keywords(void **ctx)
{
    static const char *const names[] = { "foo", "$Label1", "bar" };
    struct keywords k;
    const char *many[40];

    (void)ctx;
    assert_int_equal(keywords_read(fd, &k, NULL), 0);
    assert_int_equal(k.count, 0);
    assert_int_equal(keywords_write(fd, names, 3, NULL), 0);
    holds("dovecot-keywords", "0 foo\n1 $Label1\n2 bar\n");
    put("dovecot-keywords",
        "0 foo\n25 last\n26 beyond\nno number\n3 $Label1\n3 twice\n4 a b\n5 FOO\n6 unknown-1\n7 \xc3\xa4\n"
        "8 \n-1 x\n2 half");
    assert_int_equal(keywords_read(fd, &k, NULL), 0);
    assert_int_equal(k.count, 26);
    assert_string_equal(k.names[0], "foo");
    assert_string_equal(k.names[1], "unknown-1-");
    assert_string_equal(k.names[2], "half");
    assert_string_equal(k.names[3], "twice");
    assert_string_equal(k.names[4], "unknown-4");
    assert_string_equal(k.names[5], "unknown-5");
    assert_string_equal(k.names[25], "last");
    keywords_clear(&k);
    for (size_t i = 0; i < 40; i++)
        many[i] = i < 26 ? &"abcdefghijklmnopqrstuvwxyz"[i] : "more";
    assert_int_equal(keywords_write(fd, many, 40, NULL), 0);
    assert_int_equal(keywords_read(fd, &k, NULL), 0);
    assert_int_equal(k.count, 26);
    assert_string_equal(k.names[25], "z");
    keywords_clear(&k);
}

static bool subscribed(const char *name)
{
    struct subscriptions s;
    bool found = false;

    assert_int_equal(subscriptions_read(fd, &s, NULL), 0);
    for (size_t i = 0; i < s.count; i++)
        found = found || (s.items[i].name != NULL && strcmp(s.items[i].name, name) == 0);
    subscriptions_clear(&s);
    return found;
}

static void test_subscriptions(void **ctx)
{
    static const char *const made[] = { "INBOX",
                                        ("Gr\xc3\xbc\xc3\x9f"
                                         "e/\xc3\xa4\xc3\xb6\xc3\xbc"),
                                        "Sent/2024", "a.b" };
    static const char *const again[] = { "Sent/2024" };

    (void)ctx;
    assert_int_equal(subscriptions_set(fd, made, 4, true, 10, NULL), 0);
    holds("subscriptions", "V\t2\n\nINBOX\nGr&APwA3w-e\t&AOQA9gD8-\nSent\t2024\na&AC4-b\n");
    assert_int_equal(subscriptions_set(fd, again, 1, true, 10, NULL), 0);
    for (size_t i = 0; i < 4; i++)
        assert_true(subscribed(made[i]));
    assert_int_equal(subscriptions_set(fd, again, 1, false, 10, NULL), 0);
    assert_false(subscribed("Sent/2024"));
    holds("subscriptions", "V\t2\n\nINBOX\nGr&APwA3w-e\t&AOQA9gD8-\na&AC4-b\n");
    assert_int_equal(subscriptions_set(fd, again, 1, true, 3, NULL), -EDQUOT);
    assert_int_equal(subscriptions_set(fd, again, 1, true, 4, NULL), 0);
}

/* The old form, and lines that are none of ours. */
static void test_subscriptions_old(void **ctx)
{
    static const char *const names[] = { "Sent", "sent" };

    (void)ctx;
    put("subscriptions", "inbox\nSent.2024\nSent\n..bad\nR\xc3\xa4.x\n\n");
    assert_true(subscribed("INBOX"));
    assert_true(subscribed("Sent/2024"));
    assert_true(subscribed("R\xc3\xa4/x"));
    assert_int_equal(subscriptions_set(fd, names, 2, false, 10, NULL), 0);
    holds("subscriptions", "V\t2\n\ninbox\nSent\t2024\n\t\tbad\nR\xc3\xa4\tx\n");
    put("subscriptions", "V\t2\n\na.b\n\001tx\nok\tok\n");
    assert_false(subscribed("a/b"));
    assert_true(subscribed("ok/ok"));
    assert_int_equal(subscriptions_set(fd, names, 1, true, 10, NULL), 0);
    holds("subscriptions", "V\t2\n\na.b\n\001tx\nok\tok\nSent\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_uidlist, setup, teardown),
        cmocka_unit_test_setup_teardown(test_uidlist_old, setup, teardown),
        cmocka_unit_test_setup_teardown(test_uidlist_broken, setup, teardown),
        cmocka_unit_test_setup_teardown(test_keywords, setup, teardown),
        cmocka_unit_test_setup_teardown(test_subscriptions, setup, teardown),
        cmocka_unit_test_setup_teardown(test_subscriptions_old, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
