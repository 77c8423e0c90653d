#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli_priv.h"
#include "facteur/app/server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

static const char *served;

/* Stands in for the server's own. */
int server_run(const char *config_path, struct err *e)
{
    served = config_path;
    (void)err_set(e, -EADDRINUSE, "port 25 is taken");
    return EX_UNAVAILABLE;
}

#define PARSE(c, e, ...)                                                                                               \
    cli_parse((int)(sizeof((char *[]){ __VA_ARGS__ }) / sizeof(char *)) + 1,                                           \
              (char *[]){ (char *)"facteur", __VA_ARGS__, NULL }, c, e)

#define W(s) ((char *)(s))

static void commands_of_one_and_two_words(void **state)
{
    struct cli c;
    struct err e = { 0 };

    (void)state;
    assert_int_equal(PARSE(&c, &e, W("serve")), 0);
    assert_string_equal(c.command->name, "serve");
    assert_string_equal(c.config, CLI_DEFAULT_CONFIG);
    assert_null(c.socket);
    assert_int_equal(PARSE(&c, &e, W("queue"), W("delete"), W("a"), W("b")), 0);
    assert_string_equal(c.command->name, "queue delete");
    assert_int_equal(c.arg_count, 2);
    assert_string_equal(c.args[1], "b");
    assert_int_equal(cli_parse(1, (char *[]){ W("facteur"), NULL }, &c, &e), 0);
    assert_null(c.command);
    assert_false(c.help);
}

static void options_stand_anywhere(void **state)
{
    struct cli c;
    struct err e = { 0 };

    (void)state;
    assert_int_equal(
        PARSE(&c, &e, W("--config"), W("a.yaml"), W("queue"), W("--socket=s"), W("show"), W("--json"), W("x")), 0);
    assert_string_equal(c.config, "a.yaml");
    assert_string_equal(c.socket, "s");
    assert_string_equal(c.args[0], "x");
    assert_string_equal(cli_value(&c, "json"), "");
    assert_null(cli_value(&c, "body"));
    assert_null(cli_value(&c, "nonsense"));
    assert_int_equal(PARSE(&c, &e, W("tls"), W("self-signed"), W("--cert=a=b"), W("n"), W("--key"), W("k")), 0);
    assert_string_equal(cli_value(&c, "cert"), "a=b");
    assert_string_equal(cli_value(&c, "key"), "k");
    assert_int_equal(PARSE(&c, &e, W("user"), W("del"), W("--"), W("--yes")), 0);
    assert_string_equal(c.args[0], "--yes");
    assert_null(cli_value(&c, "yes"));
    assert_int_equal(PARSE(&c, &e, W("user"), W("add"), W("-")), 0); /* a dash alone is a word */
}

static void environment_names_the_config(void **state)
{
    struct cli c;
    struct err e = { 0 };

    (void)state;
    assert_int_equal(setenv("FACTEUR_CONFIG", "env.yaml", 1), 0);
    assert_int_equal(PARSE(&c, &e, W("check")), 0);
    assert_string_equal(c.config, "env.yaml");
    assert_int_equal(PARSE(&c, &e, W("check"), W("--config"), W("x")), 0);
    assert_string_equal(c.config, "x");
    assert_int_equal(unsetenv("FACTEUR_CONFIG"), 0);
}

static void mistakes_say_what_was_meant(void **state)
{
    static const struct {
        char *words[5];
        const char *text;
    } rows[] = {
        { { W("sreve") }, "there is no command \"sreve\" (did you mean serve?)" },
        { { W("queue"), W("lst") }, "there is no command \"queue lst\" (did you mean list?)" },
        { { W("xyzzy") }, "there is no command \"xyzzy\"" },
        { { W("user") }, "user what? \"facteur help user\" lists the commands" },
        { { W("status"), W("--jsno") }, "there is no option --jsno (did you mean --json?)" },
        { { W("status"), W("--confg=x") }, "there is no option --confg (did you mean --config?)" },
        { { W("--json"), W("status") }, "there is no option --json" }, /* whose? */
        { { W("serve"), W("now") }, "serve takes no further argument: \"now\"" },
        { { W("user"), W("add") }, "user add wants NAME" },
        { { W("status"), W("--config") }, "--config wants a value: --config FILE" },
        { { W("status"), W("--json=yes") }, "--json takes no value" },
        { { W("status"), W("-j") }, "options have two dashes: \"-j\"" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char *argv[8] = { W("facteur") };
        struct err e = { 0 };
        struct cli c;
        int argc = 1;

        while (rows[i].words[argc - 1] != NULL) {
            argv[argc] = rows[i].words[argc - 1];
            argc++;
        }
        assert_int_equal(cli_parse(argc, argv, &c, &e), -EINVAL);
        assert_string_equal(e.text, rows[i].text);
    }
}

static void too_many_arguments_are_refused(void **state)
{
    char *argv[CLI_ARGUMENTS + 5] = { W("facteur"), W("queue"), W("delete") };
    struct err e = { 0 };
    struct cli c;

    (void)state;
    for (int i = 3; i < CLI_ARGUMENTS + 4; i++)
        argv[i] = W("id");
    assert_int_equal(cli_parse(CLI_ARGUMENTS + 3, argv, &c, &e), 0);
    assert_int_equal(c.arg_count, CLI_ARGUMENTS);
    assert_int_equal(cli_parse(CLI_ARGUMENTS + 4, argv, &c, &e), -EINVAL);
}

/* --- help --- */

static char *help_text(const char *name, bool *ret)
{
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);

    *ret = cli_help(out, name);
    assert_int_equal(fclose(out), 0);
    return text;
}

static void every_command_has_its_help(void **state)
{
    bool known;
    char *all = help_text(NULL, &known);

    (void)state;
    assert_true(known);
    for (const struct cli_command *k = cli_commands(); k->name != NULL; k++) {
        char *one = help_text(k->name, &known);

        assert_true(known);
        assert_non_null(strstr(all, k->name));
        assert_non_null(strstr(all, k->summary));
        assert_non_null(strstr(one, k->summary));
        assert_int_equal(strstr(one, "--config FILE") != NULL, k->needs != CLI_NOTHING);
        assert_non_null(k->run);
        assert_true(k->least <= k->most && k->most <= CLI_ARGUMENTS);
        for (size_t i = 0; k->options[i].name != NULL; i++) {
            assert_true(i < CLI_OPTIONS);
            assert_non_null(strstr(one, k->options[i].text));
        }
        free(one);
    }
    free(all);
    all = help_text("queue", &known);
    assert_true(known);
    assert_non_null(strstr(all, "queue flush"));
    assert_null(strstr(all, "user add"));
    free(all);
    all = help_text("que", &known);
    assert_false(known);
    free(all);
}

static void help_is_asked_for_everywhere(void **state)
{
    struct cli c;
    struct err e = { 0 };

    (void)state;
    assert_int_equal(PARSE(&c, &e, W("--help")), 0);
    assert_true(c.help && c.command == NULL);
    assert_int_equal(PARSE(&c, &e, W("user"), W("-h")), 0);
    assert_string_equal(c.topic, "user");
    assert_int_equal(PARSE(&c, &e, W("user"), W("add"), W("--help")), 0); /* though NAME is missing */
    assert_string_equal(c.command->name, "user add");
    assert_int_equal(PARSE(&c, &e, W("help"), W("queue"), W("list")), 0);
    assert_int_equal(c.arg_count, 2);
}

/* --- running --- */

static void serve_gives_its_config_and_code(void **state)
{
    struct cli c;
    struct err e = { 0 };
    char *text = NULL;
    size_t n = 0;

    (void)state;
    assert_int_equal(PARSE(&c, &e, W("serve"), W("--config=/dev/null")), 0);
    c.err = open_memstream(&text, &n);
    assert_int_equal(c.command->run(&c), EX_UNAVAILABLE);
    assert_int_equal(fclose(c.err), 0);
    assert_string_equal(served, "/dev/null");
    assert_string_equal(text, "facteur: port 25 is taken\n");
    free(text);
}

static void codes_are_those_of_sysexits(void **state)
{
    (void)state;
    assert_int_equal(cli_exit_code(0), EX_OK);
    assert_int_equal(cli_exit_code(-ENOENT), EX_NOINPUT);
    assert_int_equal(cli_exit_code(-EINVAL), EX_DATAERR);
    assert_int_equal(cli_exit_code(-ECONNREFUSED), EX_UNAVAILABLE);
    assert_int_equal(cli_exit_code(-EACCES), EX_NOPERM);
    assert_int_equal(cli_exit_code(-EBUSY), EX_TEMPFAIL);
    assert_int_equal(cli_exit_code(-EIO), EX_IOERR);
    assert_int_equal(cli_exit_code(-ESRCH), EX_NOUSER);
}

/* --- text --- */

static void assert_put(void (*put)(FILE *out, const char *text), const char *in, const char *expected)
{
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);

    put(out, in);
    assert_int_equal(fclose(out), 0);
    assert_string_equal(text, expected);
    free(text);
}

static void terminals_get_no_orders(void **state)
{
    (void)state;
    assert_put(cli_put_text, "a\x1b[2Jb\n\x7f", "a\\x1b[2Jb\\x0a\\x7f");
    assert_put(cli_put_text,
               "\xc2\x9b"
               "2J \xc3\xa4\xc2\xa0",
               "\\xc2\\x9b2J \xc3\xa4\xc2\xa0");
    assert_put(cli_put_text, "\xc2", "\xc2"); /* cut off: nothing is read behind the end */
    assert_put(cli_put_text, NULL, "-");
    assert_put(cli_put_lines, "a\nb\r\n\tc", "a\nb\\x0d\n\tc");
}

static void numbers_are_for_people(void **state)
{
    char text[CLI_SHORT];

    (void)state;
    cli_format_age(-5, text);
    assert_string_equal(text, "0s");
    cli_format_age(59999, text);
    assert_string_equal(text, "59s");
    cli_format_age(60000, text);
    assert_string_equal(text, "1m");
    cli_format_age(INT64_C(3600000) + 120000, text);
    assert_string_equal(text, "1h 2m");
    cli_format_age(INT64_C(86400000) * 3 + INT64_C(3600000) * 4, text);
    assert_string_equal(text, "3d 4h");
    cli_format_size(1023, text);
    assert_string_equal(text, "1023 B");
    cli_format_size(4301, text);
    assert_string_equal(text, "4.2 KiB");
    cli_format_size(UINT64_C(5) << 40, text);
    assert_string_equal(text, "5.0 TiB");
}

static int line_of(const char *input, size_t n, char to[8])
{
    FILE *in = fmemopen((void *)(uintptr_t)input, n, "r");
    int code = cli_read_line(in, to, 8);

    assert_int_equal(fclose(in), 0);
    return code;
}

static void lines_are_read_whole(void **state)
{
    char text[8];

    (void)state;
    assert_int_equal(line_of("secret\nmore", 11, text), 0);
    assert_string_equal(text, "secret");
    assert_int_equal(line_of("seven77", 7, text), 0);
    assert_string_equal(text, "seven77");
    assert_int_equal(line_of("eight888\n", 9, text), -EINVAL);
    assert_int_equal(line_of("a\r\n", 3, text), 0);
    assert_string_equal(text, "a");
    assert_int_equal(line_of("a\0b\n", 4, text), -EINVAL);
    assert_int_equal(line_of("\n", 1, text), 0);
    assert_string_equal(text, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands_of_one_and_two_words),  cmocka_unit_test(options_stand_anywhere),
        cmocka_unit_test(environment_names_the_config),   cmocka_unit_test(mistakes_say_what_was_meant),
        cmocka_unit_test(too_many_arguments_are_refused), cmocka_unit_test(every_command_has_its_help),
        cmocka_unit_test(help_is_asked_for_everywhere),   cmocka_unit_test(serve_gives_its_config_and_code),
        cmocka_unit_test(codes_are_those_of_sysexits),    cmocka_unit_test(terminals_get_no_orders),
        cmocka_unit_test(numbers_are_for_people),         cmocka_unit_test(lines_are_read_whole),
    };

    (void)unsetenv("FACTEUR_CONFIG");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
