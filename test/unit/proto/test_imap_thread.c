#include "facteur/proto/imap_thread.h"

#include "facteur/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static struct thread_message message(uint32_t number, int64_t sent, const char *subject, bool reply, const char *id,
                                     const char *references)
{
    return (struct thread_message){ .number = number,
                                    .sent_ms = sent,
                                    .internal_ms = sent,
                                    .reply = reply,
                                    .subject = slice_str(subject),
                                    .message_id = slice_str(id),
                                    .references = slice_str(references) };
}

static void expect(struct thread_message *m, size_t count, enum imap_thread algorithm, const char *answer)
{
    struct buf out;

    buf_init(&out, 1 << 20);
    assert_int_equal(thread_write(m, count, algorithm, &out), 0);
    assert_string_equal(buf_cstr(&out), answer);
    buf_clear(&out);
}

static void test_references(void **state)
{
    struct thread_message m[] = {
        message(1, 10, "a", false, "<1>", ""),       message(2, 20, "a", true, "<2>", "<1>"),
        message(3, 30, "a", true, "<3>", "<1> <2>"), message(4, 25, "a", true, "<4>", "<1>"),
        message(5, 40, "b", false, "<5>", ""),
    };

    (void)state;
    expect(m, 5, THREAD_REFERENCES, "(1 (2 3)(4))(5)");
    expect(m, 0, THREAD_REFERENCES, "");
}

static void test_missing_parents(void **state)
{
    /* 1 and 2 answer a message that is not here; 3 answers one that is not here either, alone. */
    struct thread_message m[] = {
        message(1, 10, "x", true, "<1>", "<gone>"),
        message(2, 20, "x", true, "<2>", "<gone>"),
        message(3, 30, "y", true, "<3>", "<lost>"),
    };

    (void)state;
    expect(m, 3, THREAD_REFERENCES, "((1)(2))(3)");
}

static void test_missing_parents_whose_children_go_elsewhere(void **state)
{
    /* <a> had <b> and <c> below it, and these 3 and 4, until 3 and 4 told of other parents. */
    struct thread_message both[] = {
        message(1, 10, "1", false, "<1>", "<a> <b> <3>"),
        message(2, 20, "2", false, "<2>", "<a> <c> <4>"),
        message(3, 30, "3", false, "<3>", "<x>"),
        message(4, 40, "4", false, "<4>", "<y>"),
    };
    /* Here 2 stays, alone below <a>: a thread as if <a> had never been. */
    struct thread_message one[] = {
        message(1, 10, "1", false, "<1>", "<a> <b> <3>"),
        message(2, 20, "2", false, "<2>", "<a>"),
        message(3, 30, "3", false, "<3>", "<x>"),
        message(4, 40, "2", true, "<4>", ""),
    };

    (void)state;
    expect(both, 4, THREAD_REFERENCES, "(3 1)(4 2)");
    expect(one, 4, THREAD_REFERENCES, "(2 4)(3 1)");
}

/* RFC 5256, REFERENCES step 1 B: a message knows better than others whom it answers, also that it answers nobody. */
static void test_own_references_win(void **state)
{
    struct thread_message m[] = {
        message(1, 10, "a", false, "<1>", ""),
        message(2, 30, "c", false, "<3>", "<1> <2>"),
        message(3, 20, "b", false, "<2>", ""),
    };

    (void)state;
    expect(m, 3, THREAD_REFERENCES, "(1)(3 2)");
}

static void test_loops_and_doubles(void **state)
{
    struct thread_message m[] = {
        message(1, 10, "", false, "<a>", "<b>"),
        message(2, 20, "", false, "<b>", "<a>"),
        message(3, 30, "", false, "<b>", ""), /* the same id again */
        message(4, 40, "", false, "<c>", "<c>"),
    };

    (void)state;
    expect(m, 4, THREAD_REFERENCES, "(2 1)(3)(4)");
}

static void test_subjects_join(void **state)
{
    struct thread_message m[] = {
        message(1, 10, "news", false, "<1>", ""),
        message(2, 20, "news", true, "<2>", ""),
        message(3, 30, "news", false, "<3>", ""),
        message(4, 5, "", false, "<4>", ""),
    };

    (void)state;
    /* 2 is a reply, so it goes below 1; 3 is none, so the two stand side by side. */
    expect(m, 4, THREAD_REFERENCES, "(4)((1 2)(3))");
}

static void test_ordered_subject(void **state)
{
    struct thread_message m[] = {
        message(1, 50, "b", false, "", ""), message(2, 10, "a", false, "", ""), message(3, 60, "a", true, "", ""),
        message(4, 20, "a", true, "", ""),  message(5, 30, "c", false, "", ""), message(6, 55, "b", true, "", ""),
    };

    (void)state;
    expect(m, 6, THREAD_ORDEREDSUBJECT, "(2 (4)(3))(5)(1 6)");
}

static void test_sort(void **state)
{
    static const struct imap_sort keys[] = { { SORT_SUBJECT, true }, { SORT_SIZE, false } };
    struct thread_message m[] = {
        message(1, 1, "a", false, "", ""),
        message(2, 2, "b", false, "", ""),
        message(3, 3, "b", false, "", ""),
        message(4, 4, "ab", false, "", ""),
    };

    (void)state;
    m[1].size = 7;
    m[2].size = 5;
    sort_messages(m, 4, keys, 2);
    assert_int_equal(m[0].number, 3);
    assert_int_equal(m[1].number, 2);
    assert_int_equal(m[2].number, 4);
    assert_int_equal(m[3].number, 1);
}

/* Deep chains and one wide thread: what took a recursion or a search among siblings would show here. */
static void test_many(void **state)
{
    enum { MANY = 50000 };
    struct thread_message *m = mem_array(MANY, sizeof *m);
    char(*text)[2][24] = mem_array(MANY, sizeof *text);
    struct buf out;

    (void)state;
    for (int wide = 0; wide < 3; wide++) {
        for (uint32_t i = 0; i < MANY; i++) {
            (void)snprintf(text[i][0], sizeof text[i][0], "<%u>", i);
            (void)snprintf(text[i][1], sizeof text[i][1], "<%u>", wide == 0 ? i - 1 : wide == 1 ? 0 : i + 1);
            m[i] = message(i + 1, i, wide == 1 ? "s" : "", wide == 1, text[i][0], text[i][1]);
        }
        buf_init(&out, 4 << 20);
        assert_int_equal(thread_write(m, MANY, THREAD_REFERENCES, &out), 0);
        assert_true(out.n > MANY);
        buf_clear(&out);
    }
    mem_free(m);
    mem_free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_references),
        cmocka_unit_test(test_missing_parents),
        cmocka_unit_test(test_missing_parents_whose_children_go_elsewhere),
        cmocka_unit_test(test_own_references_win),
        cmocka_unit_test(test_loops_and_doubles),
        cmocka_unit_test(test_subjects_join),
        cmocka_unit_test(test_ordered_subject),
        cmocka_unit_test(test_sort),
        cmocka_unit_test(test_many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
