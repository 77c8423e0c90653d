#include "smtp_server_priv.h"

#include <stdio.h>

void smtp_flush(struct smtp_server *s)
{
    talk_flush(s->outbox);
}

void smtp_put(struct smtp_server *s, const char *text, size_t n)
{
    talk_put(s->outbox, text, n);
    s->new_wait = true;
}

/* One line. The text may quote what came from outside: it must not become two lines, nor a terminal's command. */
static void put_line(struct smtp_server *s, int code, const char *enhanced, const char *text)
{
    char line[LIMIT_REPLY_TEXT];
    int made = snprintf(line, sizeof line - 2, enhanced[0] != '\0' ? "%d %s %s" : "%d %s%s", code, enhanced, text);
    size_t n = made < 0 ? 0 : (size_t)made;

    n = n > sizeof line - 3 ? sizeof line - 3 : n;
    for (size_t i = 0; i < n; i++)
        line[i] = (char)(line[i] < 0x20 || line[i] > 0x7e ? '?' : line[i]);
    line[n++] = '\r';
    line[n++] = '\n';
    smtp_put(s, line, n);
}

void smtp_reply(struct smtp_server *s, int code, const char *enhanced, const char *text)
{
    struct verdict v;

    if (code < 400) {
        put_line(s, code, enhanced, text);
        return;
    }
    v = verdict_make(code, enhanced, "%s", text);
    smtp_say(s, &v);
}

/* A refusal for now counts less than an error: a list with more recipients than are taken at once gets hundreds. */
static bool is_one_too_many(struct smtp_server *s, int code)
{
    if (code < 500)
        return s->options.commands > 0 && ++s->deferrals > s->options.commands * DEFERRALS_A_COMMAND;
    return s->options.errors > 0 && ++s->errors >= s->options.errors;
}

void smtp_say(struct smtp_server *s, const struct verdict *v)
{
    put_line(s, v->code, v->enhanced, v->text);
    s->ending = s->ending || v->close || v->code == 421;
    if (v->code < 400)
        return;
    s->host->refused(s->world, v, s->line);
    if (!s->ending && is_one_too_many(s, v->code))
        smtp_reply(s, 421, "4.7.0", "Too many errors, closing");
}

bool smtp_is_idling(struct smtp_server *s)
{
    if (s->options.commands == 0 || ++s->idle_commands <= s->options.commands)
        return false;
    smtp_reply(s, 421, "4.7.0", "Too many commands without a message, closing");
    return true;
}

void smtp_say_talked_ahead(struct smtp_server *s)
{
    struct verdict v = verdict_make(554, "5.5.0", "Protocol error: input before the reply");

    v.close = true;
    smtp_say(s, &v);
}
