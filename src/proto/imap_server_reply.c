#include "imap_server_priv.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

/* ---- results ---- */

static void set_text(struct imap_result *r, const char *fmt, va_list args) __attribute__((format(printf, 2, 0)));
static void set_text(struct imap_result *r, const char *fmt, va_list args)
{
    (void)vsnprintf(r->text, sizeof r->text, fmt, args);
}

struct imap_result imap_ok(const char *fmt, ...)
{
    struct imap_result r = { .status = IMAP_OK };
    va_list args;

    va_start(args, fmt);
    set_text(&r, fmt, args);
    va_end(args);
    return r;
}

struct imap_result imap_no(const char *code, const char *fmt, ...)
{
    struct imap_result r = { .status = IMAP_NO };
    va_list args;

    (void)snprintf(r.code, sizeof r.code, "%s", code);
    va_start(args, fmt);
    set_text(&r, fmt, args);
    va_end(args);
    return r;
}

struct imap_result imap_bad(const char *fmt, ...)
{
    struct imap_result r = { .status = IMAP_BAD };
    va_list args;

    va_start(args, fmt);
    set_text(&r, fmt, args);
    va_end(args);
    return r;
}

struct imap_result imap_result_of_error(int code)
{
    static const struct {
        int error;
        const char *code, *text;
    } known[] = {
        { -ENOENT, "NONEXISTENT", "There is no such mailbox" },
        { -EDQUOT, "OVERQUOTA", "The quota is used up" },
        { -EEXIST, "ALREADYEXISTS", "There is one of that name already" },
        { -EPERM, "CANNOT", "That cannot be done" },
        { -EINVAL, "CANNOT", "That cannot be done" },
        { -EXFULL, "LIMIT", "The mailbox has as many keywords as it may have (limits.keywords)" },
        { -EOVERFLOW, "LIMIT", "The mailbox has no UIDs left: move its messages to a new one" },
        { -ENOSPC, "UNAVAILABLE", "No room at the moment; try again later" },
        { -EFBIG, "UNAVAILABLE", "No room at the moment; try again later" },
        { -EIO, "UNAVAILABLE", "The mail store is not available; try again later" },
        { -EBADMSG, "UNAVAILABLE", "The mail store is not available; try again later" }, /* could not be made anew */
        { -EROFS, "UNAVAILABLE", "The mail store is not available; try again later" },
        { -EAGAIN, "UNAVAILABLE", "Not at the moment; try again later" },
        { -EBUSY, "UNAVAILABLE", "Not at the moment; try again later" },
        { -EMFILE, "UNAVAILABLE", "Not at the moment; try again later" },
        { -ENFILE, "UNAVAILABLE", "Not at the moment; try again later" },
        { -ECANCELED, "UNAVAILABLE", "Not at the moment; try again later" },
    };

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (known[i].error == code)
            return imap_no(known[i].code, "%s", known[i].text);
    return imap_no("SERVERBUG", "Internal error; the log has it");
}

/* ---- output ---- */

void imap_flush(struct imap_server *s)
{
    talk_flush(s->outbox);
}

void imap_put(struct imap_server *s, const char *text, size_t n)
{
    talk_put(s->outbox, text, n);
    s->new_wait = true;
}

void imap_puts(struct imap_server *s, const char *text)
{
    imap_put(s, text, strlen(text));
}

/* What may quote something from outside: it must not become two lines, nor a terminal's command, nor end a code. */
static void put_clean(struct imap_server *s, const char *text, bool in_code)
{
    for (; *text != '\0'; text++) {
        bool clean = *text >= 0x20 && *text < 0x7f && !(in_code && *text == ']');

        imap_put(s, clean ? text : "?", 1);
    }
}

void imap_put_capabilities(struct imap_server *s)
{
    const struct sasl_mechanisms *m = &s->options.auth;

    imap_puts(s, "CAPABILITY IMAP4rev1 IMAP4rev2 LITERAL+ SASL-IR ID ENABLE IDLE");
    if (!imap_is_logged_in(s)) {
        bool auth = imap_offers_auth(s);

        imap_puts(s, s->options.tls_offered && !s->tls ? " STARTTLS" : "");
        imap_puts(s, auth && (m->plain || m->login) ? "" : " LOGINDISABLED");
        imap_puts(s, auth && m->scram ? " AUTH=SCRAM-SHA-256" : "");
        imap_puts(s, auth && m->plain ? " AUTH=PLAIN" : "");
        imap_puts(s, auth && m->login ? " AUTH=LOGIN" : "");
        return;
    }
    imap_puts(s, " NAMESPACE CHILDREN UNSELECT UIDPLUS ESEARCH SEARCHRES WITHIN CONDSTORE QRESYNC LIST-EXTENDED"
                 " LIST-STATUS SPECIAL-USE CREATE-SPECIAL-USE MOVE MULTIAPPEND QUOTA QUOTA=RES-STORAGE BINARY SORT"
                 " SORT=DISPLAY THREAD=REFERENCES THREAD=ORDEREDSUBJECT STATUS=SIZE OBJECTID SAVEDATE PREVIEW REPLACE"
                 " PARTIAL UTF8=ACCEPT");
    if (s->options.append_limit > 0) {
        char limit[40];

        (void)snprintf(limit, sizeof limit, " APPENDLIMIT=%llu", (unsigned long long)s->options.append_limit);
        imap_puts(s, limit);
    }
}

/* ---- replies ---- */

static const char *const status_names[] = { [IMAP_OK] = "OK", [IMAP_NO] = "NO", [IMAP_BAD] = "BAD" };

void imap_tell_refused(struct imap_server *s, const struct imap_result *r, struct slice shown)
{
    char reply[480];

    (void)snprintf(reply, sizeof reply, r->code[0] != '\0' ? "%s [%s] %s" : "%s %s%s", status_names[r->status], r->code,
                   r->text);
    s->host->refused(s->world, reply, shown);
}

/* BAD ones in a row; a client that goes on and on is not one. */
static void count_error(struct imap_server *s, const struct imap_result *r)
{
    unsigned most = s->options.errors;

    if (!imap_is_logged_in(s) && most > IMAP_ERRORS_BEFORE_LOGIN)
        most = IMAP_ERRORS_BEFORE_LOGIN;
    if (r->status == IMAP_OK)
        s->errors = 0;
    else if (r->status == IMAP_BAD && ++s->errors >= most && most > 0 && !s->ending)
        imap_say_bye(s, "Too many errors");
}

void imap_reply_tagged(struct imap_server *s, struct slice tag, struct slice shown, const struct imap_result *r)
{
    if (tag.n > 0)
        imap_put(s, tag.p, tag.n);
    else
        imap_puts(s, "*");
    imap_puts(s, " ");
    imap_puts(s, status_names[r->status]);
    imap_puts(s, " ");
    if (r->code_text != NULL) {
        imap_puts(s, "[");
        imap_put(s, r->code_text->p, r->code_text->n);
        imap_puts(s, "] ");
    } else if (r->code[0] != '\0') {
        imap_puts(s, "[");
        put_clean(s, r->code, true);
        imap_puts(s, "] ");
    }
    put_clean(s, r->text[0] != '\0' ? r->text : "Done", false);
    imap_puts(s, "\r\n");
    if (r->status != IMAP_OK)
        imap_tell_refused(s, r, shown);
    count_error(s, r);
}

/* The command under way is answered and over. */
void imap_reply(struct imap_server *s, const struct imap_result *r)
{
    struct imap_work *w = s->work;
    bool expunge = false;

    if (r->status != IMAP_BAD && imap_may_tell(s, &expunge)) {
        imap_flush(s);
        s->host->news(s->world, expunge);
    }
    imap_reply_tagged(s, w->command.tag, w->line, r);
    imap_work_drop(s);
    if (s->bye != NULL && !s->ending)
        imap_say_bye(s, s->bye);
}
