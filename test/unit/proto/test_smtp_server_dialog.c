/* Runs the dialogues of test/dialog (README.md there has the format) against smtp_server in this process: as they are
 * grouped, octet by octet, split in two at every point, and all at once; each with answers at once and with answers
 * later. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "smtp_fake_host.h"

#include "facteur/base/mem.h"

#include <dirent.h>

enum step_kind { SEND, LINE, REPLY, TLS, CLOSED, STORED };
struct step {
    enum step_kind kind;
    struct buf text;
    unsigned number; /* of the line in the file, and for STORED what it says */
    unsigned count;
};
enum { STEPS = 512, TEXT = 1 << 20 };
struct script {
    char name[256];
    struct smtp_server_options options;
    bool as_grouped; /* the timing is the test: no other chunking */
    size_t steps_n, octets;
    struct step steps[STEPS];
};

enum mode { GROUPS, OCTETS, SPLIT, WHOLE };
struct run {
    const struct script *script;
    struct fake fake;
    enum mode mode;
    size_t split, fed; /* octets */
    size_t seen;       /* of fake.out */
};

static void die(const char *name, unsigned line, const char *what, const char *more)
{
    fail_msg("%s:%u: %s %s", name, line, what, more);
}

/* ---- reading ---- */

static void unescape(struct script *s, unsigned number, const char *text, struct buf *to)
{
    for (; *text != '\0'; text++) {
        char hex[3] = { 0 };

        if (*text != '\\') {
            assert_int_equal(buf_addc(to, *text), 0);
            continue;
        }
        text++;
        if (*text == 'x' && text[1] != '\0' && text[2] != '\0') {
            memcpy(hex, text + 1, 2);
            assert_int_equal(buf_addc(to, (char)strtol(hex, NULL, 16)), 0);
            text += 2;
        } else if (*text == 'r' || *text == 'n' || *text == '\\' || *text == '0') {
            assert_int_equal(buf_addc(to, *text == 'r' ? '\r' : *text == 'n' ? '\n' : *text == '0' ? '\0' : '\\'), 0);
        } else {
            die(s->name, number, "unknown escape", text);
        }
    }
}

static void read_set(struct script *s, unsigned number, const char *text)
{
    struct smtp_server_options *o = &s->options;
    unsigned n = 0;

    if (strcmp(text, "groups") == 0)
        s->as_grouped = true;
    else if (strcmp(text, "submission") == 0)
        o->submission = true;
    else if (strcmp(text, "tls") == 0)
        o->tls_active = true;
    else if (strcmp(text, "no-tls") == 0)
        o->tls_offered = false;
    else if (strcmp(text, "plain-auth") == 0)
        o->auth_without_tls = true;
    else if (strcmp(text, "no-auth") == 0)
        o->auth = (struct sasl_mechanisms){ 0 };
    else if (strcmp(text, "fix-bare-newlines") == 0)
        o->fix_bare_newlines = true;
    else if (strcmp(text, "trusting") == 0)
        o->trusting = true;
    else if (sscanf(text, "recipients %u", &n) == 1)
        o->recipients = n;
    else if (sscanf(text, "message-size %u", &n) == 1)
        o->message_size = n;
    else if (sscanf(text, "errors %u", &n) == 1)
        o->errors = n;
    else if (sscanf(text, "commands %u", &n) == 1)
        o->commands = n;
    else
        die(s->name, number, "unknown setting", text);
}

static void read_line(struct script *s, unsigned number, char *line)
{
    struct step *step = &s->steps[s->steps_n];
    int count;
    char c;

    line[strcspn(line, "\n")] = '\0';
    if (line[0] == '\0' || line[0] == '#')
        return;
    assert_true(s->steps_n < STEPS);
    *step = (struct step){ .number = number };
    buf_init(&step->text, TEXT);
    if (strncmp(line, "SET ", 4) == 0) {
        read_set(s, number, line + 4);
        return;
    }
    if (strncmp(line, "C: ", 3) == 0 || strcmp(line, "C:") == 0) {
        unescape(s, number, line[2] == ' ' ? line + 3 : "", &step->text);
        assert_int_equal(buf_add(&step->text, "\r\n", 2), 0);
    } else if (strncmp(line, "C| ", 3) == 0) {
        unescape(s, number, line + 3, &step->text);
    } else if (sscanf(line, "FILL %d %c", &count, &c) == 2) {
        for (int i = 0; i < count; i++)
            assert_int_equal(buf_addc(&step->text, c), 0);
    } else if (strncmp(line, "S: ", 3) == 0 || strncmp(line, "S* ", 3) == 0) {
        step->kind = line[1] == ':' ? LINE : REPLY;
        assert_int_equal(buf_adds(&step->text, line + 3), 0);
    } else if (strcmp(line, "TLS") == 0) {
        step->kind = TLS;
    } else if (strcmp(line, "CLOSED") == 0) {
        step->kind = CLOSED;
    } else if (sscanf(line, "STORED %d", &count) == 1) {
        step->kind = STORED;
        step->count = (unsigned)count;
    } else {
        die(s->name, number, "not understood:", line);
    }
    s->octets += step->kind == SEND ? step->text.n : 0;
    s->steps_n++;
}

static struct script *script_read(const char *path, const char *name)
{
    struct script *s = mem_zero(sizeof *s);
    struct fake defaults;
    static char line[4096];
    FILE *f = fopen(path, "r");

    assert_non_null(f);
    fake_init(&defaults);
    s->options = defaults.options;
    (void)snprintf(s->name, sizeof s->name, "%s", name);
    for (unsigned number = 1; fgets(line, sizeof line, f) != NULL; number++)
        read_line(s, number, line);
    (void)fclose(f);
    return s;
}

static void script_free(struct script *s)
{
    for (size_t i = 0; i < s->steps_n; i++)
        buf_clear(&s->steps[i].text);
    mem_free(s);
}

/* ---- running ---- */

static void feed(struct run *r, struct slice octets)
{
    size_t at = r->split > r->fed && r->split < r->fed + octets.n ? r->split - r->fed : octets.n;

    r->fed += octets.n;
    if (r->mode == OCTETS)
        at = 1;
    while (octets.n > 0) {
        fake_feed(&r->fake, slice_head(octets, at));
        fake_answer(&r->fake);
        octets = slice_skip(octets, at);
        at = r->mode == OCTETS ? 1 : octets.n;
    }
}

static struct slice next_line(struct run *r, const struct step *step)
{
    struct slice rest = slice_skip(buf_slice(&r->fake.out), r->seen), line;

    if (!slice_cut(&rest, '\n', &line))
        die(r->script->name, step->number, "the server said nothing; expected:", step->text.p);
    r->seen += line.n + 1;
    assert_true(line.n >= 4 && line.p[line.n - 1] == '\r');
    line.n--;
    return line;
}

static void expect(struct run *r, struct step *step)
{
    struct slice line;
    const char *want = buf_cstr(&step->text);
    char got[600];

    switch (step->kind) {
    case LINE:
        line = next_line(r, step);
        (void)snprintf(got, sizeof got, "'%.*s', expected '%s'", SLICE_ARG(line), want);
        if (!slice_istarts(line, want))
            die(r->script->name, step->number, "the server said", got);
        break;
    case REPLY:
        do
            line = next_line(r, step);
        while (slice_istarts(line, want) && line.p[3] == '-');
        if (!slice_istarts(line, want))
            die(r->script->name, step->number, "another reply than", want);
        break;
    case CLOSED:
        if (!r->fake.closed)
            die(r->script->name, step->number, "not closed", "");
        break;
    case STORED:
        if (r->fake.commits != step->count)
            die(r->script->name, step->number, "another number of messages was stored", "");
        break;
    case SEND:
    case TLS:
        break;
    }
}

static void nothing_more(struct run *r, unsigned number)
{
    if (r->seen < r->fake.out.n)
        die(r->script->name, number, "not expected:", buf_cstr(&r->fake.out) + r->seen);
}

/* Sends from step i on what is to go in one piece. The step after it. */
static size_t send_group(struct run *r, size_t i)
{
    const struct script *s = r->script;
    struct buf all;

    buf_init(&all, TEXT);
    for (; i < s->steps_n && (s->steps[i].kind == SEND || (r->mode == WHOLE && s->steps[i].kind != TLS)); i++)
        if (s->steps[i].kind == SEND)
            assert_int_equal(buf_add(&all, s->steps[i].text.p, s->steps[i].text.n), 0);
    feed(r, buf_slice(&all));
    buf_clear(&all);
    return i;
}

static void run_steps(struct run *r, struct script *s)
{
    bool ends_closed = false;

    for (size_t i = 0, sent = 0; i < s->steps_n; i++) {
        struct step *step = &s->steps[i];

        ends_closed = ends_closed || step->kind == CLOSED;
        if (step->kind == SEND && i >= sent) {
            if (r->mode != WHOLE)
                nothing_more(r, step->number);
            sent = send_group(r, i);
        }
        if (step->kind == TLS) {
            nothing_more(r, step->number);
            assert_true(r->fake.tls_wanted);
            smtp_server_tls_started(r->fake.s);
        }
        expect(r, step);
    }
    nothing_more(r, s->steps[s->steps_n - 1].number);
    if (r->fake.closed != ends_closed)
        die(s->name, s->steps[s->steps_n - 1].number, "closed, but no CLOSED is written", "");
}

static void run(struct script *s, enum mode mode, bool later, size_t split)
{
    struct run r = { .script = s, .mode = mode, .split = split };

    fake_init(&r.fake);
    r.fake.options = s->options;
    r.fake.options.trusting = s->options.trusting || mode == WHOLE; /* all at once is only put up with from friends */
    r.fake.later = later;
    fake_start(&r.fake);
    run_steps(&r, s);
    fake_clear(&r.fake);
}

static void run_in_all_ways(struct script *s)
{
    for (int later = 0; later <= 1; later++) {
        /* Every point of all but the longest; with late answers, where only the joints differ, every third. */
        size_t step = s->octets / 400 + (later ? 3 : 1);

        run(s, GROUPS, later, 0);
        if (s->as_grouped)
            continue;
        run(s, OCTETS, later, 0);
        run(s, WHOLE, later, 0);
        for (size_t at = 1; at < s->octets; at += step)
            run(s, SPLIT, later, at);
    }
}

static void dialogues(void **state)
{
    DIR *dir = opendir(TEST_DIR "/dialog");
    const struct dirent *entry;
    unsigned ran = 0;

    (void)state;
    assert_non_null(dir);
    while ((entry = readdir(dir)) != NULL) {
        char path[4096];
        struct script *s;

        if (!slice_iends(slice_str(entry->d_name), ".txt"))
            continue;
        (void)snprintf(path, sizeof path, TEST_DIR "/dialog/%s", entry->d_name);
        s = script_read(path, entry->d_name);
        assert_true(s->steps_n > 0);
        run_in_all_ways(s);
        script_free(s);
        ran++;
    }
    (void)closedir(dir);
    assert_true(ran > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(dialogues) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
