#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "facteur/store/digest.h"

static void digests(void **state)
{
    struct digest d;
    char id[DIGEST_ID], other[DIGEST_ID];

    (void)state;
    digest_init(&d);
    digest_end(&d, id);
    assert_string_equal(id, "Mcae66941d9efbd404e4d88758ea67670"); /* BLAKE2b-128 of nothing */
    digest_init(&d);
    digest_push(&d, SLICE_LIT("abc"));
    digest_end(&d, id);
    digest_init(&d);
    digest_push(&d, SLICE_LIT("a"));
    digest_push(&d, SLICE_LIT(""));
    digest_push(&d, SLICE_LIT("bc"));
    digest_end(&d, other);
    assert_string_equal(id, other);
    assert_string_equal(id, "Mcf4ab791c62b8d2b2109c90275287816");
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(digests) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
