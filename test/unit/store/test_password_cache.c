#include "store/store_test.h"

#include "facteur/store/password_cache.h"

#include <stdio.h>

enum { LIFETIME = 60000 };

static const char *const hashes[] = { "$y$one", "$6$two" };

static struct password_claim claim(const char *user, const char *password)
{
    return (struct password_claim){ .user = user, .hashes = hashes, .count = 2, .password = slice_str(password) };
}

static bool has(struct password_cache *c, struct password_claim what, int64_t now_ms)
{
    return password_cache_has(c, &what, now_ms);
}

static void put(struct password_cache *c, struct password_claim what, int64_t now_ms)
{
    password_cache_put(c, &what, LIFETIME, now_ms);
}

static void test_only_the_very_claim(void **ctx)
{
    static const char *const changed[] = { "$y$one", "$6$TWO" };
    static const char *const joined[] = { "$y$one$6$two" };
    struct password_cache *c = password_cache_new();
    struct password_claim other = claim("anna@example.org", "secret");

    (void)ctx;
    assert_false(has(c, claim("anna@example.org", "secret"), 0));
    put(c, claim("anna@example.org", "secret"), 0);
    assert_true(has(c, claim("anna@example.org", "secret"), 0));
    assert_false(has(c, claim("anna@example.org", "secreT"), 0));
    assert_false(has(c, claim("anna@example.org", "secret "), 0));
    assert_false(has(c, claim("anna@example.org", ""), 0));
    assert_false(has(c, claim("bert@example.org", "secret"), 0));
    assert_false(has(c, claim("anna@example.orgs", "ecret"), 0)); /* the parts do not run together */
    other.hashes = changed;
    assert_false(has(c, other, 0));
    other.hashes = joined;
    other.count = 1;
    assert_false(has(c, other, 0));
    other.hashes = hashes;
    assert_false(has(c, other, 0)); /* one hash was taken away */
    other.count = 2;
    assert_true(has(c, other, 0));
    password_cache_free(&c);
    assert_null(c);
    password_cache_free(&c);
}

static void test_expires_however_often_it_is_used(void **ctx)
{
    struct password_cache *c = password_cache_new();
    struct password_claim anna = claim("anna@example.org", "secret");

    (void)ctx;
    put(c, anna, 1000);
    for (int64_t now = 1000; now < 1000 + LIFETIME; now += 1000)
        assert_true(has(c, anna, now));
    assert_true(has(c, anna, 1000 + LIFETIME - 1));
    assert_false(has(c, anna, 1000 + LIFETIME));
    assert_false(has(c, anna, 1000)); /* it is gone, not hidden */
    put(c, anna, 5000);
    put(c, anna, 6000); /* verified once more: counts from then */
    assert_true(has(c, anna, 6000 + LIFETIME - 1));
    assert_false(has(c, anna, 6000 + LIFETIME));
    password_cache_put(c, &anna, 0, 7000); /* off */
    assert_false(has(c, anna, 7000));
    password_cache_free(&c);
}

static void test_wipe(void **ctx)
{
    struct password_cache *c = password_cache_new();
    struct password_claim anna = claim("anna@example.org", "secret");

    (void)ctx;
    password_cache_wipe(c);
    put(c, anna, 0);
    password_cache_wipe(c);
    assert_false(has(c, anna, 0));
    put(c, anna, 0);
    assert_true(has(c, anna, 0));
    password_cache_free(&c);
}

/* Ten times as many as there is room for: never more than the room, the newest among them; one that is in use stays. */
static void test_is_bounded(void **ctx)
{
    enum { PUT = 10 * PASSWORD_CACHE_ENTRIES };
    struct password_cache *c = password_cache_new();
    struct password_claim anna = claim("anna@example.org", "secret");
    char user[32];
    size_t there = 0;

    (void)ctx;
    put(c, anna, 0);
    for (int i = 0; i < PUT; i++) {
        (void)snprintf(user, sizeof user, "user%d@example.org", i);
        put(c, claim(user, "secret"), i + 1);
        assert_true(has(c, claim(user, "secret"), i + 1));
        assert_true(has(c, anna, i + 1));
    }
    for (int i = 0; i < PUT; i++) {
        (void)snprintf(user, sizeof user, "user%d@example.org", i);
        there += has(c, claim(user, "secret"), PUT);
    }
    assert_in_range(there, PASSWORD_CACHE_ENTRIES / 2, PASSWORD_CACHE_ENTRIES - 1);
    password_cache_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_the_very_claim),
        cmocka_unit_test(test_expires_however_often_it_is_used),
        cmocka_unit_test(test_wipe),
        cmocka_unit_test(test_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
