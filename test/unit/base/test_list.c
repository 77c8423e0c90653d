#include "facteur/base/list.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct item {
    int n;
    struct link link;
};

static void keeps_order_and_lets_go(void **state)
{
    struct link head, other;
    struct item items[4] = { { .n = 0 }, { .n = 1 }, { .n = 2 }, { .n = 3 } };
    int expected = 0;

    (void)state;
    list_init(&head);
    list_init(&other);
    assert_true(list_empty(&head));
    assert_null(list_pop(&head));
    for (int i = 0; i < 3; i++)
        list_push(&head, &items[i].link);
    list_push(&other, &items[3].link);
    list_move(&other, &head);
    list_move(&other, &head);
    assert_true(list_empty(&other));
    LIST_EACH (it, &head) {
        assert_int_equal(LIST_ENTRY(it, struct item, link)->n, expected++);
        if (expected == 2)
            list_unlink(it);
    }
    assert_int_equal(expected, 4);
    assert_false(link_is_in(&items[1].link));
    list_unlink(&items[1].link); /* harmless */
    assert_ptr_equal(LIST_ENTRY(list_pop(&head), struct item, link), &items[0]);
    assert_ptr_equal(LIST_ENTRY(list_pop(&head), struct item, link), &items[2]);
    assert_ptr_equal(LIST_ENTRY(list_pop(&head), struct item, link), &items[3]);
    assert_true(list_empty(&head));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(keeps_order_and_lets_go) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
