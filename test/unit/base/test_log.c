#include "facteur/base/log.h"

#include "facteur/base/clock.h"
#include "facteur/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static char dir[] = "/tmp/facteur-log-XXXXXX";
static char path[64], moved[64];
static int saved_stderr;

static int group_setup(void **state)
{
    (void)state;
    (void)signal(SIGPIPE, SIG_IGN);
    saved_stderr = dup(STDERR_FILENO);
    if (mkdtemp(dir) == NULL)
        return -1;
    (void)snprintf(path, sizeof path, "%s/log", dir);
    (void)snprintf(moved, sizeof moved, "%s/log.1", dir);
    return 0;
}

static int group_teardown(void **state)
{
    (void)state;
    (void)unlink(moved);
    return rmdir(dir);
}

static int setup(void **state)
{
    (void)state;
    clock_freeze(0, 1700000000007); /* 2023-11-14T22:13:20.007Z */
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    log_close();
    clock_thaw();
    (void)unlink(path);
    return dup2(saved_stderr, STDERR_FILENO) < 0 ? -1 : 0;
}

static void open_log(enum log_target target, enum log_format format)
{
    struct err e;

    assert_int_equal(log_open(target, path, format, LOG_LEVEL_INFO, &e), 0);
}

/* The file's text; the caller frees it. */
static char *text_of(const char *name)
{
    char *text = mem_zero(512 * 1024);
    FILE *f = fopen(name, "re");

    assert_non_null(f);
    (void)!fread(text, 1, 512 * 1024 - 1, f);
    (void)fclose(f);
    return text;
}

static void assert_file(const char *name, const char *expected)
{
    char *text = text_of(name);

    assert_string_equal(text, expected);
    mem_free(text);
}

static void writes_logfmt(void **state)
{
    struct stat st;

    (void)state;
    open_log(LOG_TARGET_FILE, LOG_FORMAT_LOGFMT);
    LOG(INFO, "accepted", kv_str("session", "ab1"), kv_num("size", -42), kv_str("empty", NULL));
    LOG(DEBUG, "not-wanted", kv_num("n", 1));
    clock_advance(1000);
    LOG(ERROR, "odd", kv_str("space", "a b"), kv_str("quote", "a\"\\b"),
        kv_slice("octets", SLICE_LIT("\0\r\n\x1b\xc3\xa4")), kv_str("equals", "a=b"), kv_num("min", INT64_MIN),
        kv_num("zero", 0));
    assert_int_equal(log_waiting() > 0, 1);
    log_flush();
    assert_int_equal(log_waiting(), 0);
    assert_file(path, "ts=2023-11-14T22:13:20.007Z level=info event=accepted session=ab1 size=-42\n"
                      "ts=2023-11-14T22:13:21.007Z level=error event=odd space=\"a b\" quote=\"a\\\"\\\\b\" "
                      "octets=\"\\x00\\x0d\\x0a\\x1b\\xc3\\xa4\" equals=\"a=b\" min=-9223372036854775808 zero=0\n");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0137, 0);
}

static void writes_json(void **state)
{
    (void)state;
    open_log(LOG_TARGET_FILE, LOG_FORMAT_JSON);
    LOG(WARNING, "odd", kv_str("text", "a \"b\"\\"), kv_slice("octets", SLICE_LIT("\0\n\xff")), kv_num("n", 7));
    log_flush();
    assert_file(path, "{\"ts\":\"2023-11-14T22:13:20.007Z\",\"level\":\"warning\",\"event\":\"odd\","
                      "\"text\":\"a \\\"b\\\"\\\\\",\"octets\":\"\\u0000\\u000a\\u00ff\",\"n\":7}\n");
}

static void bounds_fields_and_lines(void **state)
{
    struct log_kv many[41] = { { 0 } };
    char value[1000];
    char *text;

    (void)state;
    memset(value, '\n', sizeof value);
    for (int i = 0; i < 40; i++)
        many[i] = kv_slice("key", slice_make(value, sizeof value));
    open_log(LOG_TARGET_FILE, LOG_FORMAT_JSON);
    log_write(LOG_LEVEL_INFO, "long", many);
    log_flush();
    text = text_of(path);
    assert_true(strlen(text) < 8192);
    assert_non_null(strstr(text, "\\u000a...\""));
    assert_string_equal(text + strlen(text) - 3, "\"}\n");
    mem_free(text);
}

static void reopens_after_rotation(void **state)
{
    struct err e;

    (void)state;
    open_log(LOG_TARGET_FILE, LOG_FORMAT_LOGFMT);
    LOG(INFO, "one", kv_num("n", 1));
    assert_int_equal(rename(path, moved), 0);
    assert_int_equal(log_reopen(&e), 0);
    LOG(INFO, "two", kv_num("n", 2));
    log_flush();
    assert_file(moved, "ts=2023-11-14T22:13:20.007Z level=info event=one n=1\n");
    assert_file(path, "ts=2023-11-14T22:13:20.007Z level=info event=two n=2\n");
}

static void keeps_the_old_target_on_an_error(void **state)
{
    struct err e;

    (void)state;
    open_log(LOG_TARGET_FILE, LOG_FORMAT_LOGFMT);
    assert_int_equal(log_open(LOG_TARGET_FILE, "/nonexistent/log", LOG_FORMAT_JSON, LOG_LEVEL_DEBUG, &e), -ENOENT);
    assert_non_null(strstr(e.text, "/nonexistent/log"));
    assert_int_equal(log_open(LOG_TARGET_SYSLOG, "/nonexistent/s", LOG_FORMAT_JSON, LOG_LEVEL_DEBUG, &e), -ENOENT);
    assert_false(log_wants(LOG_LEVEL_DEBUG));
    LOG(INFO, "one", kv_num("n", 1));
    log_flush();
    assert_file(path, "ts=2023-11-14T22:13:20.007Z level=info event=one n=1\n");
}

/* Takes standard error into a pipe; returns its reading end. */
static int pipe_stderr(void)
{
    int ends[2];

    assert_int_equal(pipe(ends), 0);
    assert_true(dup2(ends[1], STDERR_FILENO) >= 0);
    (void)close(ends[1]);
    open_log(LOG_TARGET_STDERR, LOG_FORMAT_LOGFMT);
    return ends[0];
}

static void a_full_pipe_never_blocks(void **state)
{
    int fd = pipe_stderr();
    uint64_t before = log_dropped();
    static char text[1 << 20];
    size_t n = 0;
    ssize_t got = 1;
    uint64_t lines = 0;
    const char *said;

    (void)state;
    for (int i = 0; i < 10000; i++) { /* about 600 KiB for a pipe of 64 KiB and a buffer of 256 KiB */
        LOG(INFO, "flood", kv_num("n", i));
        log_flush();
    }
    assert_true(log_dropped() > before);
    assert_true(log_waiting() <= 256 * 1024);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    while (got > 0 || log_waiting() > 0) {
        got = read(fd, text + n, sizeof text - 1 - n);
        n += got > 0 ? (size_t)got : 0;
        log_flush();
    }
    LOG(INFO, "after", kv_num("n", 1));
    log_flush();
    n += (size_t)read(fd, text + n, sizeof text - 1 - n);
    text[n] = '\0';
    for (size_t i = 0; i < n; i++)
        lines += text[i] == '\n' ? 1 : 0;
    assert_int_equal(lines, 10000 - (log_dropped() - before) + 2);
    said = strstr(text, "event=log-dropped lines=");
    assert_non_null(said);
    assert_int_equal(strtoull(said + strlen("event=log-dropped lines="), NULL, 10), log_dropped() - before);
    assert_non_null(strstr(said, "event=after n=1\n"));
    (void)close(fd);
}

static void a_gone_reader_is_counted(void **state)
{
    int fd = pipe_stderr();
    uint64_t before = log_dropped();

    (void)state;
    (void)close(fd);
    LOG(INFO, "lost", kv_num("n", 1));
    LOG(INFO, "lost", kv_num("n", 2));
    log_flush();
    assert_int_equal(log_dropped() - before, 2);
    assert_int_equal(log_waiting(), 0);
    (void)close(STDERR_FILENO);
    LOG(INFO, "lost", kv_num("n", 3));
    log_flush();
    assert_true(log_dropped() - before >= 3);
}

static void a_full_disk_keeps_the_lines(void **state)
{
    char *text;

    (void)state;
    if (access("/dev/full", W_OK) != 0)
        skip();
    assert_int_equal(log_open(LOG_TARGET_FILE, "/dev/full", LOG_FORMAT_LOGFMT, LOG_LEVEL_INFO, NULL), 0);
    LOG(INFO, "kept", kv_num("n", 1));
    log_flush();
    assert_true(log_waiting() > 0);
    open_log(LOG_TARGET_FILE, LOG_FORMAT_LOGFMT);
    log_flush();
    text = text_of(path);
    assert_non_null(strstr(text, "event=kept n=1\n"));
    mem_free(text);
}

static int listen_syslog(void)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);

    assert_int_equal(slice_copy(slice_str(path), at.sun_path, sizeof at.sun_path), 0);
    (void)unlink(path);
    assert_int_equal(bind(fd, (const struct sockaddr *)&at, sizeof at), 0);
    return fd;
}

static void speaks_to_syslog(void **state)
{
    int fd = listen_syslog();
    char got[512] = "", expected[512];

    (void)state;
    assert_int_equal(setenv("TZ", "UTC", 1), 0);
    open_log(LOG_TARGET_SYSLOG, LOG_FORMAT_LOGFMT);
    LOG(WARNING, "one", kv_num("n", 1));
    LOG(INFO, "two", kv_num("n", 2));
    log_flush();
    (void)snprintf(expected, sizeof expected,
                   "<20>Nov 14 22:13:20 facteur[%d]: ts=2023-11-14T22:13:20.007Z level=warning event=one n=1",
                   getpid());
    assert_int_equal(recv(fd, got, sizeof got - 1, 0), strlen(expected));
    assert_string_equal(got, expected);
    assert_true(recv(fd, got, sizeof got - 1, 0) > 0);
    assert_int_equal(memcmp(got, "<22>", 4), 0);

    (void)close(fd); /* the daemon is restarted */
    LOG(INFO, "three", kv_num("n", 3));
    log_flush();
    assert_true(log_waiting() > 0);
    fd = listen_syslog();
    clock_advance(1000);
    log_flush();
    assert_int_equal(log_waiting(), 0);
    memset(got, 0, sizeof got);
    assert_true(recv(fd, got, sizeof got - 1, 0) > 0);
    assert_non_null(strstr(got, "event=three"));
    (void)close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(writes_logfmt, setup, teardown),
        cmocka_unit_test_setup_teardown(writes_json, setup, teardown),
        cmocka_unit_test_setup_teardown(bounds_fields_and_lines, setup, teardown),
        cmocka_unit_test_setup_teardown(reopens_after_rotation, setup, teardown),
        cmocka_unit_test_setup_teardown(keeps_the_old_target_on_an_error, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_pipe_never_blocks, setup, teardown),
        cmocka_unit_test_setup_teardown(a_gone_reader_is_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_disk_keeps_the_lines, setup, teardown),
        cmocka_unit_test_setup_teardown(speaks_to_syslog, setup, teardown),
    };

    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
