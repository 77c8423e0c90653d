#include "facteur/base/arena.h"

#include "facteur/base/mem.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

static void keeps_everything_until_cleared(void **state)
{
    struct arena a = { 0 };
    char *strings[2000];
    char text[16];

    (void)state;
    for (int i = 0; i < 2000; i++) {
        (void)snprintf(text, sizeof text, "string %d", i);
        strings[i] = arena_str(&a, slice_str(text));
    }
    for (int i = 0; i < 2000; i++) {
        (void)snprintf(text, sizeof text, "string %d", i);
        assert_string_equal(strings[i], text);
    }
    assert_true(a.total > 2000 * 9);
    arena_clear(&a);
    assert_int_equal(a.total, 0);
    arena_clear(&a);
}

static void zeroes_and_aligns(void **state)
{
    struct arena a = { 0 };

    (void)state;
    for (size_t n = 0; n < 100; n++) {
        unsigned char *p = arena_zero(&a, n);

        assert_int_equal((uintptr_t)p % alignof(max_align_t), 0);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(p[i], 0);
        memset(p, 0xff, n);
    }
    memset(arena_zero(&a, 1 << 20), 1, 1 << 20); /* larger than any block */
    assert_string_equal(arena_str(&a, slice_str(NULL)), "");
    arena_clear(&a);
}

/* What stands at an address that is no longer ours; past the sanitizer, which would not have it. */
static size_t look_at(const char *p, char *to, size_t n)
{
    int fd = open("/proc/self/mem", O_RDONLY);
    ssize_t got = pread(fd, to, n, (off_t)(uintptr_t)p);

    (void)close(fd);
    return got > 0 ? (size_t)got : 0;
}

static void wipes_what_it_frees(void **state)
{
    struct arena a = { 0 };
    char seen[16] = "";
    const char *p;

    (void)state;
    (void)arena_zero(&a, 100); /* the allocator's own words may stand at a block's beginning */
    p = arena_str(&a, SLICE_LIT("a secret"));
    assert_int_equal(look_at(p, seen, 8), 8);
    assert_memory_equal(seen, "a secret", 8);
    arena_wipe(&a);
    assert_null(a.blocks);
    if (look_at(p, seen, 8) == 8)
        assert_memory_not_equal(seen, "a secret", 8);
}

static void memory_functions_hold_their_word(void **state)
{
    char *p = mem_zero(8);

    (void)state;
    assert_int_equal(p[7], 0);
    p = mem_resize(p, 16);
    mem_free_secret(p, 16);
    mem_free_secret(NULL, 1);
    mem_free(NULL);
    assert_null(mem_str(NULL));
    p = mem_dup("a\0b", 3);
    assert_memory_equal(p, "a\0b", 4);
    mem_free(p);
    p = mem_alloc(0);
    assert_non_null(p);
    mem_free(p);
    p = mem_array(0, 8);
    assert_non_null(p);
    mem_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_everything_until_cleared),
        cmocka_unit_test(zeroes_and_aligns),
        cmocka_unit_test(wipes_what_it_frees),
        cmocka_unit_test(memory_functions_hold_their_word),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
