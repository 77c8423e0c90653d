#include "imap_server_priv.h"

#include "facteur/base/mem.h"

#include <errno.h>

void imap_consume(struct imap_server *s, size_t n)
{
    s->input.now = slice_skip(s->input.now, n);
    s->scanned = 0;
}

int imap_next_line(struct imap_server *s, size_t max, struct slice *ret)
{
    ptrdiff_t lf = slice_find(slice_skip(s->input.now, s->scanned), '\n');
    struct slice line;

    if (lf < 0 && s->input.now.n > max + 1)
        return -E2BIG;
    if (lf < 0) {
        s->scanned = s->input.now.n;
        return MORE;
    }
    line = slice_head(s->input.now, s->scanned + (size_t)lf);
    if (line.n > max + 1)
        return -E2BIG;
    if (line.n == 0 || line.p[--line.n] != '\r' || slice_find(line, '\r') >= 0 || slice_find(line, '\0') >= 0)
        return -EILSEQ;
    imap_consume(s, line.n + 2);
    *ret = line;
    return DONE;
}

/* ---- what is refused and must not run as commands ---- */

static uint64_t swallow_limit(const struct imap_server *s)
{
    if (!imap_is_logged_in(s))
        return IMAP_SWALLOW_BEFORE_LOGIN;
    return s->options.append_limit > IMAP_SWALLOW ? s->options.append_limit : IMAP_SWALLOW;
}

static void begin_drain(struct imap_server *s, uint64_t octets)
{
    s->drain = octets;
    s->tail_n = 0;
    if (octets > s->budget)
        imap_say_bye(s, "Too much data behind a refusal");
}

void imap_swallow(struct imap_server *s, uint64_t octets)
{
    s->budget = swallow_limit(s);
    s->take = imap_take_swallow;
    begin_drain(s, octets);
}

void imap_refuse_literal(struct imap_server *s, uint64_t octets, bool nonsync)
{
    if (nonsync)
        imap_swallow(s, octets);
    else
        s->take = imap_take_command;
}

static void spend(struct imap_server *s, size_t n)
{
    imap_consume(s, n);
    if (n > s->budget)
        imap_say_bye(s, "Too much data behind a refusal");
    s->budget -= n < s->budget ? n : s->budget;
}

/* The last octets of the line, to see a literal at its end. */
static void keep_tail(struct imap_server *s, struct slice octets)
{
    size_t over;

    if (octets.n > IMAP_TAIL)
        octets = slice_skip(octets, octets.n - IMAP_TAIL);
    over = s->tail_n + octets.n > IMAP_TAIL ? s->tail_n + octets.n - IMAP_TAIL : 0;
    memmove(s->tail, s->tail + over, s->tail_n - over);
    memcpy(s->tail + s->tail_n - over, octets.p, octets.n);
    s->tail_n += octets.n - over;
}

/* A swallowed line has ended: with another literal that will come unasked, with one that is waited for (but was
 * refused), or with the command. */
static void swallowed_line(struct imap_server *s)
{
    struct slice tail = slice_make(s->tail, s->tail_n - 2);
    uint64_t octets = 0;
    bool nonsync = false, binary;

    if (tail.n == IMAP_TAIL - 2 && slice_iends(tail, "+}") && slice_find(tail, '{') < 0)
        imap_say_bye(s, "Too much data behind a refusal"); /* its length has more digits than any number */
    else if (imap_literal_at_end(tail, &octets, &nonsync, &binary) && nonsync)
        begin_drain(s, octets);
    else
        s->take = imap_take_command;
}

enum progress imap_take_swallow(struct imap_server *s)
{
    size_t n = s->input.now.n < s->drain ? s->input.now.n : (size_t)s->drain;
    ptrdiff_t lf;

    if (s->input.now.n == 0)
        return MORE;
    if (n > 0) {
        s->drain -= n;
        spend(s, n);
        return DONE;
    }
    lf = slice_find(s->input.now, '\n');
    n = lf < 0 ? s->input.now.n : (size_t)lf + 1;
    keep_tail(s, slice_head(s->input.now, n));
    spend(s, n);
    if (s->tail_n >= 2 && s->tail[s->tail_n - 2] == '\r' && s->tail[s->tail_n - 1] == '\n')
        swallowed_line(s);
    return DONE;
}

/* ---- commands ---- */

struct imap_parse_options imap_options_of(const struct imap_server *s)
{
    return (struct imap_parse_options){ .limits = s->options.limits,
                                        .names_utf8 = imap_server_names_utf8(s),
                                        .authenticated = imap_is_logged_in(s),
                                        .selected = s->state == IMAP_IS_SELECTED,
                                        .enabled = s->enabled };
}

static size_t command_limit(const struct imap_server *s)
{
    return imap_is_logged_in(s) ? s->options.line_length : IMAP_LINE_BEFORE_LOGIN;
}

/* What more the command under way may have. */
static size_t room_of(const struct imap_server *s)
{
    size_t limit = command_limit(s), had = s->work != NULL ? s->work->text.n + s->work->size : 0;

    return limit > had ? limit - had : 0;
}

/* A browser that was made to post here, or TLS where plain text should be: it hears nothing. */
static bool is_foreign(const struct imap_server *s, struct slice start)
{
    static const char *const verbs[] = {
        "GET", "POST", "PUT", "HEAD", "PATCH", "TRACE", "DELETE", "CONNECT", "OPTIONS"
    };
    struct slice word;

    if (s->state != IMAP_IS_NOT_AUTHENTICATED || s->work != NULL)
        return false;
    if (start.n > 0 && start.p[0] == 0x16)
        return true;
    start = slice_head(start, 9);
    if (!slice_cut(&start, ' ', &word))
        return false;
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
        if (slice_is(word, verbs[i]))
            return true;
    return false;
}

static void end_foreign(struct imap_server *s, struct slice start)
{
    struct imap_result r = imap_bad("The peer does not speak IMAP");

    imap_tell_refused(s, &r, slice_head(start, 8));
    s->ending = true;
}

enum { SHOWN_OF_VERB = 16, SHOWN_OF_UNKNOWN = 8 };

static void start_work(struct imap_server *s)
{
    if (s->work != NULL)
        return;
    s->work = mem_zero(sizeof *s->work);
    s->work->command.verb = IMAP_VERB_COUNT;
    buf_init(&s->work->text, command_limit(s) + 2);
}

/* Reads tag and verb, so that a refusal carries the tag. */
static int read_head(struct imap_server *s, struct slice text, struct err *e)
{
    struct imap_work *w = s->work;
    struct imap_parse_options o = imap_options_of(s);
    struct imap_cursor x = { .in = text, .o = &o, .a = &w->arena, .c = &w->command, .e = e };
    int code = imap_parse_head(&x);

    w->command.tag = w->command.tag.n > 0 ? imap_keep(&w->arena, w->command.tag) : w->command.tag;
    w->line = w->command.tag;
    return code;
}

static void refuse_line(struct imap_server *s, int code)
{
    struct imap_result r = code == -E2BIG ? imap_bad("Command is longer than the limit")
                                          : imap_bad("NUL, or a CR or LF alone; lines end with CR LF");
    struct err e;

    start_work(s);
    if (s->work->command.tag.n == 0)
        (void)read_head(s, s->work->text.n > 0 ? buf_slice(&s->work->text) : slice_head(s->input.now, 2 * IMAP_TAG),
                        &e);
    imap_swallow(s, 0);
    imap_reply(s, &r);
}

static void refuse_text(struct imap_server *s, const struct imap_result *r, uint64_t octets, bool nonsync)
{
    imap_refuse_literal(s, octets, nonsync);
    imap_reply(s, r);
}

/* The text ends in a literal; `line` is what of it is not in work->text yet. */
static void begin_literal(struct imap_server *s, struct slice text, struct slice line)
{
    struct imap_work *w = s->work;
    struct imap_result r;
    struct err e = { 0 };
    uint64_t octets = 0;
    bool nonsync = false, binary = false;

    (void)imap_literal_at_end(text, &octets, &nonsync, &binary);
    if (w->messages == 0 && read_head(s, text, &e) < 0) {
        r = imap_bad("%s", e.text);
        refuse_text(s, &r, octets, nonsync);
        return;
    }
    if ((w->command.verb == IMAP_APPEND || w->command.verb == IMAP_REPLACE) &&
        imap_announce_message(s, text, octets, nonsync))
        return;
    if (binary || octets > room_of(s) || line.n + 2 > room_of(s) - octets) {
        r = binary ? imap_bad("A literal8 is for messages") : imap_bad("Command is longer than the limit");
        refuse_text(s, &r, octets, nonsync);
        return;
    }
    if (buf_add(&w->text, line.p, line.n) < 0 || buf_adds(&w->text, "\r\n") < 0) {
        imap_say_bye(s, "Internal error"); /* not reached: room_of has counted it */
        return;
    }
    w->left = octets;
    s->take = octets > 0 ? imap_take_literal : imap_take_command;
    if (!nonsync)
        imap_puts(s, "+ OK\r\n");
}

enum progress imap_take_literal(struct imap_server *s)
{
    struct imap_work *w = s->work;
    size_t n = s->input.now.n < w->left ? s->input.now.n : (size_t)w->left;

    if (n == 0)
        return MORE;
    if (buf_add(&w->text, s->input.now.p, n) < 0)
        imap_say_bye(s, "Internal error"); /* not reached: begin_literal has counted it */
    imap_consume(s, n);
    w->left -= n;
    if (w->left == 0)
        s->take = imap_take_command;
    return DONE;
}

/* What of a command the log may show: no password, also none that somebody typed in the wrong place. */
static struct slice shown_of(const struct imap_command *c, struct slice text)
{
    size_t n = c->tag.n + 1;

    if (c->verb != IMAP_VERB_COUNT && !imap_is_secret(c->verb))
        return text;
    while (n < text.n && text.p[n] != ' ' && n < c->tag.n + 1 + SHOWN_OF_VERB)
        n++;
    return c->tag.n > 0 ? slice_head(text, n) : slice_head(text, SHOWN_OF_UNKNOWN);
}

static void complete(struct imap_server *s, struct slice text)
{
    struct imap_work *w = s->work;
    struct imap_parse_options o = imap_options_of(s);
    struct imap_result r;
    struct err e = { 0 };
    int code;

    text = imap_keep(&w->arena, text);
    code = imap_parse(text, &o, &w->arena, &w->command, &e);
    if (w->command.tag.n == 0)
        w->command.verb = IMAP_VERB_COUNT;
    w->line = shown_of(&w->command, text);
    if (code == 0) {
        imap_run(s);
        return;
    }
    r = imap_bad("%s", e.text);
    imap_reply(s, &r);
}

static void take_line(struct imap_server *s, struct slice line)
{
    struct imap_work *w;
    struct slice text = line;
    uint64_t octets;
    bool nonsync, binary, literal = imap_literal_at_end(line, &octets, &nonsync, &binary);

    start_work(s);
    w = s->work;
    if (w->text.n > 0) {
        if (buf_add(&w->text, line.p, line.n) < 0) {
            imap_say_bye(s, "Internal error"); /* not reached: room_of has counted it */
            return;
        }
        text = buf_slice(&w->text);
        line = slice_make(NULL, 0);
    }
    if (literal)
        begin_literal(s, text, line);
    else if (w->messages > 0)
        imap_append_ended(s, text);
    else
        complete(s, text);
}

enum progress imap_take_command(struct imap_server *s)
{
    struct slice line, start = s->input.now;
    int code;

    if (s->input.now.n == 0)
        return MORE;
    code = s->input.now.p[0] == 0x16 ? -EILSEQ : imap_next_line(s, room_of(s), &line);
    if (code == MORE)
        return MORE;
    if (is_foreign(s, start))
        end_foreign(s, start);
    else if (code < 0)
        refuse_line(s, code);
    else
        take_line(s, line);
    return DONE;
}
