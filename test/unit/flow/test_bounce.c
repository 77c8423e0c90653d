/* The notification that is too large as it stands. */
#include "flow_test.h"

#include "facteur/flow/bounce.h"
#include "schedule_priv.h"

static struct flow flow;
static struct dir state;

static int setup(void **ctx)
{
    (void)ctx;
    dir_make(&state);
    flow_test_start(&flow, state.path, 9);
    return 0;
}

static int teardown(void **ctx)
{
    (void)ctx;
    flow_test_stop(&flow);
    dir_remove(&state);
    return 0;
}

/* `count` recipients with addresses and replies as long as `address` and `reply`. */
static struct dsn_recipient *recipients(size_t count, const char *address, const char *reply)
{
    struct dsn_recipient *all = mem_array(count, sizeof *all);

    for (size_t i = 0; i < count; i++)
        all[i] = (struct dsn_recipient){ .address = address,
                                         .orcpt = address,
                                         .action = DSN_FAILED,
                                         .status = "5.1.1",
                                         .remote = "mx.example.net [192.0.2.1]",
                                         .reply = reply };
    return all;
}

static size_t occurrences(const struct queue_message *m, const char *word)
{
    struct slice text = queue_message_body(m);
    size_t n = 0;

    for (const char *p; (p = memmem(text.p, text.n, word, strlen(word))) != NULL; n++)
        text = slice_skip(text, (size_t)(p - text.p) + 1);
    return n;
}

static struct queue_message *made_of(struct dsn_recipient *all, size_t *count)
{
    static char sender[] = "anna@example.org";
    struct queue_message m = { .id = 7, .sender = sender };
    struct queue_message *b = bounce_make(&flow, &m, slice_str("Subject: x\n\nall of it\n"), true, all, count);

    assert_non_null(b);
    assert_true(b->size <= 1024 * 1024);
    assert_int_equal(occurrences(b, "\nAction: failed\n"), *count);
    assert_int_equal(occurrences(b, "\nSubject: x\n"), 1);
    return b;
}

static void done_with(struct queue_message *b)
{
    schedule_drop_body(&flow, b);
    queue_message_free(&b);
}

static void test_long_replies_are_cut(void **ctx)
{
    char reply[1000];
    struct dsn_recipient *all;
    struct queue_message *b;
    size_t count = 2000;

    (void)ctx;
    memset(reply, 'r', sizeof reply - 1);
    reply[sizeof reply - 1] = '\0';
    all = recipients(count, "somebody@example.net", reply);
    b = made_of(all, &count);
    assert_int_equal(count, 2000);
    assert_int_equal(occurrences(b, "all of it"), 0);
    done_with(b);
    mem_free(all);
}

static void test_many_recipients_are_told_in_parts(void **ctx)
{
    char address[320];
    struct dsn_recipient *all;
    size_t told = 0, parts = 0;

    (void)ctx;
    memset(address, 'a', sizeof address - 1);
    memcpy(address + sizeof address - 13, "@example.net", 13);
    all = recipients(2000, address, "550 no");
    while (told < 2000) {
        size_t count = 2000 - told;
        struct queue_message *b = made_of(all + told, &count);

        assert_true(count > 0);
        told += count;
        parts++;
        done_with(b);
    }
    assert_int_equal(told, 2000);
    assert_in_range(parts, 2, 10);
    mem_free(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_long_replies_are_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_recipients_are_told_in_parts, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
