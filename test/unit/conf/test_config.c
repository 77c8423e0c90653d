#include "facteur/conf/config.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define HASH "\"$y$j9T$L7H52iHLCxT3qacF3q6vE/$r8/aPjiTN6EIcrXHSb7av6bxsayAF4LUvnc3RV5W1HA\""
#define SCRAM                                                                                                          \
    "\"{SCRAM-SHA-256}4096,QUJDREVGR0g=,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=,"                                 \
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\""
#define HOST "hostname: mail.example.org\n"
#define TLS  "tls: {certificate: c.pem, key: k.pem}\n"

enum { PAGE_MOST = 1 << 20 };

static struct config *parsed(const char *text)
{
    struct conf_problems problems;
    struct config *c = NULL;

    if (config_parse(NULL, slice_str(text), &c, &problems) < 0)
        fail_msg("%s", buf_cstr(&problems.text));
    assert_int_equal(problems.count, 0);
    conf_problems_clear(&problems);
    return c;
}

static void refused(const char *text, const char *message)
{
    struct conf_problems problems;
    struct config *c = NULL;

    assert_int_equal(config_parse(NULL, slice_str(text), &c, &problems), -EINVAL);
    assert_null(c);
    if (strstr(buf_cstr(&problems.text), message) == NULL)
        fail_msg("no \"%s\" in: %s", message, buf_cstr(&problems.text));
    conf_problems_clear(&problems);
}

static void test_five_lines(void **state)
{
    struct config *c = parsed("hostname: Mail.Example.ORG.\n"
                              "domains:\n"
                              "  example.org:\n"
                              "users:\n"
                              "  Anna@Example.org: {password: " HASH "}\n");
    const struct conf_user *anna = config_user(c, "anna@example.org");

    (void)state;
    assert_string_equal(c->hostname, "mail.example.org");
    assert_string_equal(c->state, "/var/lib/facteur");
    assert_string_equal(c->default_domain, "example.org");
    assert_null(c->run_as);
    assert_non_null(anna);
    assert_int_equal(anna->at.line, 5);
    assert_int_equal(anna->at.column, 3);
    assert_int_equal(anna->passwords.count, 1);
    assert_int_equal(anna->services, USER_SUBMISSION | USER_IMAP | USER_POP3);
    assert_true(anna->enabled);
    assert_string_equal(anna->mailbox_local, "anna");
    assert_string_equal(anna->mailbox_domain, "example.org");
    assert_int_equal(c->limits.message_size, 25 << 20);
    assert_int_equal(c->limits.timeout.command, 300000);
    assert_int_equal(c->limits.timeout.relay_data_end, 600000);
    assert_int_equal(c->limits.rate_exempt.count, 2);
    assert_int_equal(c->queue.retry_count, 7);
    assert_int_equal(c->queue.retry[6], 4 * 3600 * 1000);
    assert_int_equal(c->queue.inline_budget, 32 << 20);
    assert_true(c->auth.plain && c->auth.login && !c->auth.scram);
    assert_null(c->relay.smarthost.host);
    assert_null(c->dns.servers);
    assert_int_equal(c->log.level, LOG_LEVEL_INFO);
    assert_int_equal(c->listener_count, 2); /* no certificate: nobody can log in from afar */
    assert_int_equal(c->listeners[0].port, 25);
    assert_int_equal(c->listeners[0].tls, TLS_NONE);
    assert_true(c->listeners[0].optional);
    config_unref(&c);
    assert_null(c);
}

static void test_somebody_is_postmaster(void **state)
{
    struct config *c =
        parsed(HOST "domains: {example.org: , example.net: , example.com: {catch_all: anna@example.org}}\n"
                    "users: {out@example.org: {enabled: false}, anna@example.org: , ben@example.net: }\n");
    const struct conf_alias *a = config_alias(c, "postmaster@example.org");

    (void)state;
    assert_non_null(a);
    assert_string_equal(a->targets.items[0], "anna@example.org");
    assert_int_equal(a->at.line, 2);
    assert_string_equal(config_alias(c, "abuse@example.net")->targets.items[0], "ben@example.net");
    assert_null(config_alias(c, "abuse@example.com")); /* the catch-all takes it */
    config_unref(&c);
    c = parsed(HOST "domains: {example.org: , example.net: }\nusers: {anna@example.org: }\n");
    assert_string_equal(config_alias(c, "postmaster@example.net")->targets.items[0], "anna@example.org");
    config_unref(&c);
}

static void test_listeners(void **state)
{
    struct config *c = parsed(HOST TLS);

    (void)state;
    assert_int_equal(c->listener_count, 14);
    assert_int_equal(c->listeners[2].port, 587);
    assert_int_equal(c->listeners[2].tls, TLS_STARTTLS);
    assert_int_equal(c->listeners[2].service, SERVICE_SUBMISSION);
    assert_int_equal(c->listeners[5].port, 465);
    assert_int_equal(c->listeners[5].tls, TLS_IMPLICIT);
    assert_string_equal(c->listeners[5].address, "::");
    assert_int_equal(c->listeners[8].port, 993);
    assert_int_equal(c->listeners[8].service, SERVICE_IMAP);
    assert_int_equal(c->listeners[13].port, 995);
    assert_int_equal(c->listeners[13].service, SERVICE_POP3);
    config_unref(&c);

    c = parsed(HOST "listen: loopback\n");
    assert_int_equal(c->listener_count, 8);
    assert_string_equal(c->listeners[0].address, "127.0.0.1");
    assert_string_equal(c->listeners[1].address, "::1");
    assert_int_equal(c->listeners[3].port, 587);
    assert_int_equal(c->listeners[3].service, SERVICE_SUBMISSION);
    assert_int_equal(c->listeners[3].tls, TLS_NONE);
    assert_int_equal(c->listeners[3].at.line, 2);
    config_unref(&c);

    c = parsed(HOST TLS "listen:\n- {port: 465}\n- {port: 0, address: \"[::1]\"}\n- {service: submission}\n"
                        "- {service: submission, tls: implicit, address: 127.0.0.1, port: 4650}\n"
                        "- {address: \"unix:/run/facteur.sock\"}\n- {port: 995, address: 127.0.0.1}\n"
                        "- {service: imap, tls: implicit, address: 127.0.0.1}\n");
    assert_int_equal(c->listener_count, 9);
    assert_int_equal(c->listeners[7].service, SERVICE_POP3);
    assert_int_equal(c->listeners[7].tls, TLS_IMPLICIT);
    assert_int_equal(c->listeners[8].port, 993);
    assert_int_equal(c->listeners[0].service, SERVICE_SUBMISSION);
    assert_int_equal(c->listeners[0].tls, TLS_IMPLICIT);
    assert_string_equal(c->listeners[2].address, "::1");
    assert_false(c->listeners[2].optional);
    assert_int_equal(c->listeners[2].port, 0);
    assert_int_equal(c->listeners[3].port, 587);
    assert_int_equal(c->listeners[5].port, 4650);
    assert_string_equal(c->listeners[6].address, "unix:/run/facteur.sock");
    config_unref(&c);
}

static void test_next_hops(void **state)
{
    struct config *c = parsed(HOST "relay:\n"
                                   "  smarthost: {host: smtp.isp.example, user: a, password: b}\n"
                                   "  routes:\n"
                                   "    a.example: \"192.0.2.1:2525\"\n"
                                   "    b.example: \"[2001:db8::1]:26\"\n"
                                   "    c.example: \"2001:db8::1\"\n"
                                   "    d.example: {host: h.example, port: 465}\n"
                                   "    e.example: {host: h.example, tls: starttls, verify: false}\n"
                                   "    f.example: MX\n"
                                   "    '*': h.example\n");
    const struct conf_route *r = c->relay.routes;

    (void)state;
    assert_int_equal(c->relay.smarthost.port, 587);
    assert_int_equal(c->relay.smarthost.tls, RELAY_TLS_STARTTLS);
    assert_true(c->relay.smarthost.verify);
    assert_int_equal(c->relay.smarthost.at.line, 3);
    assert_int_equal(c->relay.route_count, 7);
    assert_string_equal(r[0].hop.host, "192.0.2.1");
    assert_int_equal(r[0].hop.port, 2525);
    assert_int_equal(r[0].hop.tls, RELAY_TLS_OPPORTUNISTIC);
    assert_false(r[0].hop.verify);
    assert_string_equal(r[1].hop.host, "2001:db8::1");
    assert_int_equal(r[1].hop.port, 26);
    assert_string_equal(r[2].hop.host, "2001:db8::1");
    assert_int_equal(r[2].hop.port, 25);
    assert_int_equal(r[3].hop.tls, RELAY_TLS_IMPLICIT);
    assert_true(r[3].hop.verify);
    assert_int_equal(r[4].hop.port, 25);
    assert_false(r[4].hop.verify);
    assert_null(r[5].hop.host);
    config_unref(&c);
}

static void test_recipients(void **state)
{
    struct config *c = parsed(HOST "domains:\n"
                                   "  example.org: {aliases: {Info: anna, Jörg: [anna, x@EXAMPLE.com]}}\n"
                                   "  example.net: {catch_all: anna@example.org, subaddress: ''}\n"
                                   "users: {anna@example.org: }\n");
    const struct conf_user *user = NULL;
    const struct conf_alias *alias = NULL;
    struct address a;

    (void)state;
    assert_int_equal(address_parse(SLICE_LIT("ANNA+shop@example.org"), 0, &a), 0);
    assert_int_equal(config_recipient(c, &a, &user, &alias), RECIPIENT_USER);
    assert_string_equal(user->name, "anna@example.org");
    assert_int_equal(address_parse(SLICE_LIT("info+x@example.org"), 0, &a), 0);
    assert_int_equal(config_recipient(c, &a, &user, &alias), RECIPIENT_ALIAS);
    assert_string_equal(alias->name, "info@example.org");
    assert_string_equal(config_alias(c, "jörg@example.org")->targets.items[1], "x@example.com");
    assert_int_equal(address_parse(SLICE_LIT("none@example.org"), 0, &a), 0);
    assert_int_equal(config_recipient(c, &a, &user, &alias), RECIPIENT_UNKNOWN);
    assert_int_equal(address_parse(SLICE_LIT("none@example.net"), 0, &a), 0);
    assert_int_equal(config_recipient(c, &a, &user, &alias), RECIPIENT_ALIAS);
    assert_string_equal(alias->name, "@example.net");
    assert_int_equal(address_parse(SLICE_LIT("anna@example.com"), 0, &a), 0);
    assert_int_equal(config_recipient(c, &a, &user, &alias), RECIPIENT_UNKNOWN);

    assert_ptr_equal(config_login(c, SLICE_LIT("Anna")), config_user(c, "anna@example.org"));
    assert_ptr_equal(config_login(c, SLICE_LIT("anna@EXAMPLE.org")), config_user(c, "anna@example.org"));
    assert_null(config_login(c, SLICE_LIT("anna@example.net")));
    assert_null(config_login(c, SLICE_LIT("anna+x")));
    assert_null(config_login(c, SLICE_LIT("")));
    assert_null(config_login(c, SLICE_LIT("an\0na")));
    config_unref(&c);
}

static void test_scram_is_offered_when_all_have_it(void **state)
{
    struct config *c = parsed(HOST "domains: {example.org: }\n"
                                   "users: {a@example.org: {password: [" HASH ", " SCRAM "]}, b@example.org: }\n");

    (void)state;
    assert_true(c->auth.scram);
    config_unref(&c);
    c = parsed(HOST "domains: {example.org: }\n"
                    "users: {a@example.org: {password: " SCRAM "}, b@example.org: {password: " HASH "}}\n");
    assert_false(c->auth.scram);
    config_unref(&c);
}

static void test_references(void **state)
{
    struct config *c = parsed(HOST), *held = config_ref(c);

    (void)state;
    config_unref(&c);
    assert_null(c);
    assert_string_equal(held->hostname, "mail.example.org");
    config_unref(&held);
    config_unref(&held); /* NULL is fine */
}

static void test_budget_follows_memory(void **state)
{
    struct config *c = parsed(HOST "limits: {memory: 8 MiB}\n");

    (void)state;
    assert_int_equal(c->queue.inline_budget, 4 << 20);
    config_unref(&c);
}

static void write_file(const char *path, const char *text, mode_t mode)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(path, mode), 0);
}

/* Files beside the policy file: found from anywhere, secrets only if others cannot read them. */
static void test_files(void **state)
{
    char dir[] = "/tmp/facteur-conf-XXXXXX", path[64], secret[64], users[64];
    struct conf_problems problems;
    struct config *c = NULL;

    (void)state;
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/facteur.yaml", dir);
    (void)snprintf(secret, sizeof secret, "%s/secret", dir);
    (void)snprintf(users, sizeof users, "%s/users.yaml", dir);
    write_file(path,
               HOST "domains: {example.org: }\nusers_file: users.yaml\nstate: var\n"
                    "relay: {smarthost: {host: smtp.isp.example, user: u, password: {file: secret}}}\n",
               0600);
    write_file(secret, "geheim\n", 0644);

    assert_int_equal(config_load(path, &c, &problems), -EINVAL);
    assert_int_equal(problems.count, 1);
    assert_non_null(strstr(buf_cstr(&problems.text), "facteur.yaml:5:"));
    assert_non_null(strstr(buf_cstr(&problems.text), "open to other users (mode 644)"));
    conf_problems_clear(&problems);

    assert_int_equal(chmod(secret, 0640), 0);
    assert_int_equal(config_load(path, &c, &problems), 0); /* no users yet, and no users file: fine */
    assert_string_equal(c->relay.smarthost.password, "geheim");
    assert_string_equal(c->users_file, users);
    assert_int_equal(c->state[0], '/');
    assert_int_equal(c->users.count, 0);
    conf_problems_clear(&problems);
    config_unref(&c);

    write_file(users, "anna@example.org:\n", 0600);
    assert_int_equal(config_load(path, &c, &problems), 0);
    assert_string_equal(config_user(c, "anna@example.org")->at.file, users);
    conf_problems_clear(&problems);
    config_unref(&c);

    assert_int_equal(config_load(dir, &c, &problems), -EINVAL);
    assert_non_null(strstr(buf_cstr(&problems.text), "no regular file"));
    conf_problems_clear(&problems);
    (void)unlink(users);
    (void)unlink(secret);
    (void)unlink(path);
    (void)rmdir(dir);
}

static void test_environment(void **state)
{
    struct config *c;

    (void)state;
    assert_int_equal(setenv("FACTEUR_TEST_PASSWORD", "s3cret", 1), 0);
    c = parsed(HOST "relay: {smarthost: {host: 192.0.2.1, user: u, password: {env: FACTEUR_TEST_PASSWORD}}}\n");
    assert_string_equal(c->relay.smarthost.password, "s3cret");
    config_unref(&c);
    (void)unsetenv("FACTEUR_TEST_PASSWORD");
}

static void test_standing_alone(void **state)
{
    (void)state;
    refused(HOST "users_file: x.yaml\n", "config:2:13: users_file: no file is read here");
    refused(HOST "relay: {smarthost: {host: 192.0.2.1, user: u, password: {file: x}}}\n", "no file is read here");
}

static void test_large_files(void **state)
{
    static char text[(1 << 20) + 100];
    struct conf_problems problems;
    struct config *c = NULL;

    (void)state;
    memset(text, '#', sizeof text);
    assert_int_equal(config_parse("f", slice_make(text, (1 << 20) + 1), &c, &problems), -EINVAL);
    assert_string_equal(buf_cstr(&problems.text), "f: larger than 1024 KiB\n");
    conf_problems_clear(&problems);
}

static void test_many_mistakes(void **state)
{
    struct conf_problems problems;
    struct config *c = NULL;
    struct buf text;

    (void)state;
    buf_init(&text, 1 << 20);
    for (int i = 0; i < 300; i++)
        assert_int_equal(buf_addf(&text, "wrong%d: x\n", i), 0);
    assert_int_equal(config_parse("f", buf_slice(&text), &c, &problems), -EINVAL);
    assert_int_equal(problems.count, 301);
    assert_non_null(strstr(buf_cstr(&problems.text), "f: and 101 more\n"));
    conf_problems_clear(&problems);
    buf_clear(&text);
}

/* What check prints is a policy file again, and means the same. */
static void test_print_reads_back(void **state)
{
    struct config *c =
        parsed(HOST TLS "domains: {example.org: {aliases: {info: [anna, ben@example.com]}, catch_all: anna},"
                        " example.net: {subaddress: ''}}\n"
                        "users: {anna@example.org: {senders: ['*'], quota: 5 GiB, services: [imap]}}\n"
                        "listen: [{port: 587}, {address: 127.0.0.1, port: 26, proxy_from: 10.0.0.1}]\n"
                        "relay: {trusted: 10.0.0.0/8, domains: [example.com], routes: {'*': h.example,"
                        " .x.example: mx}}\n"
                        "log: {to: /var/log/x y.log}\ndns: {servers: [127.0.0.1, '[::1]:53']}\n");
    struct buf first, second;

    (void)state;
    buf_init(&first, PAGE_MOST);
    buf_init(&second, PAGE_MOST);
    assert_int_equal(config_print(c, &first), 0);
    config_unref(&c);
    c = parsed(buf_cstr(&first));
    assert_int_equal(config_print(c, &second), 0);
    assert_string_equal(buf_cstr(&first), buf_cstr(&second));
    config_unref(&c);
    buf_clear(&first);
    buf_clear(&second);
}

static void test_print_hides_secrets(void **state)
{
    struct config *c = parsed(HOST "domains: {example.org: }\nusers: {anna@example.org: {password: " HASH "}}\n"
                                   "relay: {smarthost: {host: 192.0.2.1, user: u, password: geheim}}\n");
    struct buf out;

    (void)state;
    buf_init(&out, PAGE_MOST);
    assert_int_equal(config_print(c, &out), 0);
    assert_non_null(strstr(buf_cstr(&out), "********"));
    assert_null(strstr(buf_cstr(&out), "geheim"));
    assert_null(strstr(buf_cstr(&out), "$y$"));
    buf_clear(&out);
    buf_init(&out, 100);
    assert_int_equal(config_print(c, &out), -ENOBUFS);
    buf_clear(&out);
    config_unref(&c);
}

static void test_example_file(void **state)
{
    struct conf_problems problems;
    struct config *c = NULL;

    (void)state;
    if (config_load(SOURCE_DIR "/config/facteur.yaml", &c, &problems) < 0)
        fail_msg("%s", buf_cstr(&problems.text));
    assert_string_equal(c->hostname, "mail.example.org");
    conf_problems_clear(&problems);
    config_unref(&c);
}

/* What stands at an address that is no longer ours; past the sanitizer, which would not have it. */
static void look_at(const char *p, char *to, size_t n)
{
    int fd = open("/proc/self/mem", O_RDONLY);

    (void)!pread(fd, to, n, (off_t)(uintptr_t)p);
    (void)close(fd);
}

static void test_secrets_are_wiped(void **state)
{
    enum { N = 12 };
    struct config *c =
        parsed(HOST "domains: {example.org: {}}\n"
                    "users: {anna@example.org: {password: " HASH "}}\n"
                    "relay: {smarthost: {host: a.example, tls: implicit, user: u, password: p4ssw0rd1234}}\n");
    const char *password = c->relay.smarthost.password, *hash = c->user_list[0]->passwords.items[0];
    char seen[2][N] = { "", "" };

    (void)state;
    look_at(password, seen[0], N);
    look_at(hash, seen[1], N);
    assert_memory_equal(seen[0], "p4ssw0rd1234", N);
    assert_memory_equal(seen[1], &HASH[1], N);
    config_unref(&c);
    memset(seen, 0, sizeof seen);
    look_at(password, seen[0], N);
    look_at(hash, seen[1], N);
    assert_memory_not_equal(seen[0], "p4ssw0rd1234", N);
    assert_memory_not_equal(seen[1], &HASH[1], N);
}

/* The tables of docs/configuration.md are the parser's own. FACTEUR_UPDATE=1 writes them anew. */
static void test_reference_page(void **state)
{
    static const char path[] = SOURCE_DIR "/docs/configuration.md",
                      start_mark[] = "<!-- keys: from src/conf/schema.c -->\n", end_mark[] = "<!-- end of keys -->";
    static char page[PAGE_MOST];
    FILE *f = fopen(path, "rb");
    struct buf tables;
    char *start, *end;
    size_t n;

    (void)state;
    assert_non_null(f);
    n = fread(page, 1, sizeof page - 1, f);
    page[n] = '\0';
    (void)fclose(f);
    start = strstr(page, start_mark);
    end = strstr(page, end_mark);
    assert_true(start != NULL && end != NULL && start < end);
    start += strlen(start_mark);
    buf_init(&tables, PAGE_MOST);
    assert_int_equal(config_reference(&tables), 0);
    if (getenv("FACTEUR_UPDATE") != NULL) {
        f = fopen(path, "wb");
        assert_non_null(f);
        (void)fprintf(f, "%.*s%s%s", (int)(start - page), page, buf_cstr(&tables), end);
        (void)fclose(f);
    } else if (!slice_eq(slice_make(start, (size_t)(end - start)), buf_slice(&tables))) {
        fail_msg("docs/configuration.md differs from the schema; run this test with FACTEUR_UPDATE=1");
    }
    buf_clear(&tables);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_five_lines),
        cmocka_unit_test(test_secrets_are_wiped),
        cmocka_unit_test(test_somebody_is_postmaster),
        cmocka_unit_test(test_listeners),
        cmocka_unit_test(test_next_hops),
        cmocka_unit_test(test_recipients),
        cmocka_unit_test(test_scram_is_offered_when_all_have_it),
        cmocka_unit_test(test_references),
        cmocka_unit_test(test_budget_follows_memory),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_environment),
        cmocka_unit_test(test_standing_alone),
        cmocka_unit_test(test_large_files),
        cmocka_unit_test(test_many_mistakes),
        cmocka_unit_test(test_print_reads_back),
        cmocka_unit_test(test_print_hides_secrets),
        cmocka_unit_test(test_example_file),
        cmocka_unit_test(test_reference_page),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
