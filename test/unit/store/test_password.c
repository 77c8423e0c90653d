#include "store/store_test.h"

#include "facteur/base/clock.h"
#include "facteur/store/password.h"

static bool fits(const char *hash, const char *password)
{
    return password_verify(&hash, 1, slice_str(password));
}

/* Hashes that other programs make (openssl passwd), and well-formed ones that fit nothing. */
static void test_known(void **ctx)
{
    static const struct {
        const char *hash, *password;
    } known[] = {
        { "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5", "Hello world!" },
        { "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
          "Hello world!" },
        { "$5$rounds=10000$saltstringsaltst$3xv.VbSCBX41eDL9L3voZredqs6XoLcN2UKW8M3XE1.", "x" },
        { "$2b$04$abcdefghijklmnopqrstuuAxqKyGEEw2.6R8dKEdBmNNNUHXXbLmq", "x" },
    };

    (void)ctx;
    for (size_t i = 0; i < 2; i++) {
        assert_true(fits(known[i].hash, known[i].password));
        assert_false(fits(known[i].hash, "hello world!"));
        assert_false(fits(known[i].hash, "Hello world! "));
    }
    for (size_t i = 2; i < 4; i++)
        assert_false(fits(known[i].hash, known[i].password));
}

static void test_scram(void **ctx)
{
    /* RFC 7677 section 3: user "user", password "pencil". */
    static const char hash[] = "{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,"
                               "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,"
                               "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

    (void)ctx;
    assert_true(fits(hash, "pencil"));
    assert_false(fits(hash, "pencils"));
    assert_false(fits("{SCRAM-SHA-256}", "pencil"));
    assert_false(fits("{SCRAM-SHA-256}4096,,,", "pencil"));
    assert_false(
        fits("{SCRAM-SHA-256}0,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,x", "pencil"));
    assert_false(fits("{SCRAM-SHA-256}4000000000,W22ZaJ0SNY7soEsUEjb6gQ==,AA==,AA==", "pencil"));
}

static void test_round_trip(void **ctx)
{
    static const char *const prefixes[] = { "$y$", "$2b$", "$6$", "$argon2id$", "{SCRAM-SHA-256}" };
    char longest[256];

    (void)ctx;
    memset(longest, 'p', 255);
    longest[255] = '\0';
    for (int scheme = PASSWORD_YESCRYPT; scheme <= PASSWORD_SCRAM; scheme++) {
        const char *password = scheme == PASSWORD_BCRYPT ? "geheim" : longest;
        struct buf hash, other;

        buf_init(&hash, 512);
        buf_init(&other, 512);
        assert_int_equal(password_hash((enum password_scheme)scheme, slice_str(password), &hash, NULL), 0);
        assert_int_equal(password_hash((enum password_scheme)scheme, slice_str(password), &other, NULL), 0);
        assert_string_not_equal(buf_cstr(&hash), buf_cstr(&other)); /* salted */
        assert_int_equal(strncmp(buf_cstr(&hash), prefixes[scheme], strlen(prefixes[scheme])), 0);
        assert_true(fits(buf_cstr(&hash), password));
        assert_false(fits(buf_cstr(&hash), "geheiM"));
        buf_clear(&hash);
        buf_clear(&other);
    }
}

static void test_bounds(void **ctx)
{
    static const char sha[] = "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5";
    static const char *const several[] = { "nonsense", sha };
    char longer[257];
    struct buf out;
    struct err e = { 0 };

    (void)ctx;
    memset(longer, 'p', sizeof longer);
    buf_init(&out, 512);
    assert_int_equal(password_hash(PASSWORD_SHA512, slice_make(longer, 256), &out, &e), -EINVAL);
    assert_int_equal(password_hash(PASSWORD_SHA512, slice_make("a\0b", 3), &out, &e), -EINVAL);
    assert_int_equal(password_hash(PASSWORD_SHA512, slice_make("", 0), &out, &e), -EINVAL);
    assert_int_equal(password_hash(PASSWORD_BCRYPT, slice_make(longer, 73), &out, &e), -EINVAL);
    assert_int_equal(out.n, 0);
    buf_clear(&out);
    assert_true(password_verify(several, 2, SLICE_LIT("Hello world!")));
    assert_false(password_verify(several, 1, SLICE_LIT("Hello world!")));
    assert_false(password_verify(several, 2, slice_make("Hello world!\0x", 14)));
    assert_false(password_verify(several, 2, slice_make(NULL, 0)));
    assert_false(fits("", "x"));
    assert_false(fits("*", "*"));
    assert_false(fits("plain", "plain"));
    assert_false(fits("$6$rounds=999999999$saltstring$x", "x"));
    assert_false(fits("$2b$31$abcdefghijklmnopqrstuuAxqKyGEEw2.6R8dKEdBmNNNUHXXbLmq", "x"));
    assert_false(fits("$argon2id$v=19$m=4194304,t=3,p=1$c2FsdHNhbHQ$AAAA", "x"));
    assert_false(fits("$argon2id$v=19$m=64,t=4000000,p=1$c2FsdHNhbHQ$AAAA", "x"));
    assert_false(fits("$argon2id$", "x"));
}

/* An unknown user costs a yescrypt: if the hash for nobody were malformed, it would be refused in no time. */
static void test_unknown_user(void **ctx)
{
    int64_t start, none, known;
    struct buf hash;

    (void)ctx;
    buf_init(&hash, 512);
    assert_int_equal(password_hash(PASSWORD_YESCRYPT, SLICE_LIT("right"), &hash, NULL), 0);
    start = clock_mono_us();
    assert_false(fits(buf_cstr(&hash), "wrong"));
    known = clock_mono_us() - start;
    start = clock_mono_us();
    assert_false(password_verify(NULL, 0, SLICE_LIT("wrong")));
    none = clock_mono_us() - start;
    assert_true(none > known / 8);
    buf_clear(&hash);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known),  cmocka_unit_test(test_scram),        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_bounds), cmocka_unit_test(test_unknown_user),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
