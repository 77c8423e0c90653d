#include "facteur/base/map.h"

#include "map_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

enum { MANY = 5000 };

static struct slice key_of(int i, char text[16])
{
    return slice_make(text, (size_t)snprintf(text, 16, "key%d", i));
}

/* The vectors of the reference: key 00 01 … 0f, input 00 01 … (n - 1). */
static void hashes_as_siphash_2_4(void **state)
{
    static const uint64_t key[2] = { 0x0706050403020100, 0x0f0e0d0c0b0a0908 };
    static const char in[] = "\0\1\2\3\4\5\6\7\10\11\12\13\14\15\16";

    (void)state;
    assert_true(map_hash(key, slice_make(in, 0)) == 0x726fdb47dd0e0e31);
    assert_true(map_hash(key, slice_make(in, 1)) == 0x74f839c593dc67fd);
    assert_true(map_hash(key, slice_make(in, 8)) == 0x93f5f5799a932462);
    assert_true(map_hash(key, slice_make(in, 15)) == 0xa129ca6149be45e5);
}

static void puts_gets_and_replaces(void **state)
{
    struct map m = { 0 };
    int a, b;

    (void)state;
    assert_null(map_get(&m, slice_str("x")));
    assert_null(map_take(&m, slice_str("x")));
    assert_null(map_put(&m, slice_str("x"), &a));
    assert_ptr_equal(map_put(&m, slice_str("x"), &b), &a);
    assert_int_equal(m.count, 1);
    assert_ptr_equal(map_get(&m, slice_str("x")), &b);
    assert_null(map_put(&m, slice_str(""), &a)); /* the empty key is a key */
    assert_null(map_put(&m, SLICE_LIT("x\0y"), &a));
    assert_ptr_equal(map_get(&m, slice_str("")), &a);
    assert_ptr_equal(map_take(&m, slice_str("x")), &b);
    assert_null(map_get(&m, slice_str("x")));
    assert_int_equal(m.count, 2);
    map_clear(&m);
    assert_int_equal(m.count, 0);
}

/* Every third key is taken out again while others move up into the gaps: all the rest must still be found. */
static void survives_many_removals(void **state)
{
    static int values[MANY];
    struct map m = { 0 };
    char text[16];
    size_t cursor = 0, seen = 0;
    struct slice key;
    void *value;

    (void)state;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < MANY; i++)
            (void)map_put(&m, key_of(i, text), &values[i]);
        for (int i = round; i < MANY; i += 3)
            assert_ptr_equal(map_take(&m, key_of(i, text)), &values[i]);
        for (int i = 0; i < MANY; i++)
            assert_ptr_equal(map_get(&m, key_of(i, text)), i % 3 == round ? NULL : &values[i]);
    }
    while (map_each(&m, &cursor, &key, &value)) {
        assert_true(slice_eq(key, key_of((int)((int *)value - values), text)));
        seen++;
    }
    assert_int_equal(seen, m.count);
    assert_true(m.cap < 4 * MANY);
    map_clear(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hashes_as_siphash_2_4),
        cmocka_unit_test(puts_gets_and_replaces),
        cmocka_unit_test(survives_many_removals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
