/* From the greeting to a session that can carry messages: EHLO, STARTTLS, AUTH. */
#include "smtp_client_priv.h"

#include "facteur/base/mem.h"

#include <stdio.h>

/* Ours, not the server's: why no message can go over this session. */
static void cannot(struct smtp_client *c, const char *enhanced, const char *why)
{
    struct smtp_client_reply reply;

    client_say(&reply, 454, enhanced, why);
    client_give_up(c, &reply, false);
}

static void send_words(struct smtp_client *c, const char *verb, const char *argument, enum client_state next)
{
    struct buf line;

    buf_init(&line, LIMIT_SASL_LINE);
    if (buf_addf(&line, "%s%s%s\r\n", verb, argument[0] != '\0' ? " " : "", argument) == 0)
        client_send(c, buf_slice(&line));
    buf_clear(&line);
    client_go(c, next);
}

void client_send_ehlo(struct smtp_client *c)
{
    /* RFC 3207 4.2: what the server said before TLS is forgotten. */
    c->extensions = 0;
    c->size_max = 0;
    c->rcpt_max = 0;
    c->auth[0] = '\0';
    send_words(c, "EHLO", c->helo, CLIENT_EHLO);
}

void client_greeted(struct smtp_client *c)
{
    client_send_ehlo(c);
}

/* ---- what EHLO offers ---- */

static void read_size(struct smtp_client *c, struct slice argument)
{
    uint64_t size;

    if (slice_u64(slice_trim(argument), UINT64_MAX, &size) == 0)
        c->size_max = size;
}

static void read_auth(struct smtp_client *c, struct slice argument)
{
    if (c->auth[0] == '\0' && slice_copy(argument, c->auth, sizeof c->auth) < 0)
        c->auth[0] = '\0';
}

/* RFC 9422: "RCPTMAX=100 MAILMAX=5". */
static void read_limits(struct smtp_client *c, struct slice argument)
{
    struct slice word;
    uint64_t n;

    while (argument.n > 0) {
        (void)slice_cut(&argument, ' ', &word);
        if (slice_istarts(word, "RCPTMAX=") && slice_u64(slice_skip(word, 8), 1000000, &n) == 0)
            c->rcpt_max = (unsigned)n;
    }
}

static const struct {
    const char *keyword;
    unsigned extension;
    void (*read)(struct smtp_client *c, struct slice argument);
} keywords[] = {
    { "PIPELINING", EXT_PIPELINING, NULL }, { "8BITMIME", EXT_8BITMIME, NULL },     { "SMTPUTF8", EXT_SMTPUTF8, NULL },
    { "CHUNKING", EXT_CHUNKING, NULL },     { "BINARYMIME", EXT_BINARYMIME, NULL }, { "DSN", EXT_DSN, NULL },
    { "STARTTLS", EXT_STARTTLS, NULL },     { "SIZE", EXT_SIZE, read_size },        { "AUTH", 0, read_auth },
    { "LIMITS", 0, read_limits },
};

void client_ehlo_line(struct smtp_client *c, struct slice text)
{
    struct slice word;

    if (slice_istarts(text, "AUTH=")) { /* from before RFC 2554, and still said */
        read_auth(c, slice_skip(text, 5));
        return;
    }
    (void)slice_cut(&text, ' ', &word);
    for (size_t i = 0; i < sizeof keywords / sizeof keywords[0]; i++) {
        if (!slice_iis(word, keywords[i].keyword))
            continue;
        c->extensions |= keywords[i].extension;
        if (keywords[i].read != NULL)
            keywords[i].read(c, text);
    }
}

/* RFC 5321 3.2: a server that does not know EHLO is asked with HELO and has no extensions. */
void client_ehlo_refused(struct smtp_client *c)
{
    if (c->reply.code < 500)
        client_give_up(c, &c->reply, false);
    else
        send_words(c, "HELO", c->helo, CLIENT_HELO);
}

/* ---- AUTH ---- */

static void start_auth(struct smtp_client *c)
{
    const char *mechanism = sasl_client_choose(slice_str(c->auth));
    bool proves = mechanism != NULL && slice_istarts(slice_str(mechanism), "SCRAM-"); /* the password stays here */
    struct buf initial, words;

    if (c->user == NULL) {
        client_ready(c);
        return;
    }
    if (mechanism == NULL) {
        cannot(c, "4.7.0", "The server offers no way to log in that we know");
        return;
    }
    if (!c->encrypted && c->tls == CLIENT_TLS_IF_OFFERED && !proves) {
        cannot(c, "4.7.11", "The server offers no TLS, and the password does not go in the clear");
        return;
    }
    buf_init(&initial, LIMIT_SASL_LINE);
    buf_init(&words, LIMIT_SASL_LINE);
    if (sasl_client_start(&c->sasl, mechanism, c->user, c->password, &initial) < 0 ||
        buf_addf(&words, "%s%s%s", mechanism, initial.n > 0 ? " " : "", buf_cstr(&initial)) < 0)
        cannot(c, "4.7.0", "The user name or password does not fit the login");
    else
        send_words(c, "AUTH", buf_cstr(&words), CLIENT_AUTH);
    buf_clear(&initial);
    buf_clear(&words);
}

static void auth_done(struct smtp_client *c)
{
    if (sasl_client_trusts(&c->sasl))
        client_ready(c);
    else
        cannot(c, "4.7.0", "The server did not prove that it knows the password");
}

/* A 334 with its challenge, or the 235. */
void client_auth_reply(struct smtp_client *c, struct slice challenge)
{
    struct buf out;
    enum sasl_client_step step;

    if (c->reply.code / 100 == 2) {
        auth_done(c);
        return;
    }
    buf_init(&out, LIMIT_SASL_LINE);
    step = sasl_client_next(&c->sasl, challenge, &out);
    if (step == SASL_CLIENT_SEND) {
        send_words(c, buf_cstr(&out), "", CLIENT_AUTH);
    } else if (step == SASL_CLIENT_KEY) {
        client_go(c, CLIENT_DERIVE);
        c->host->derive(c->world, &c->sasl);
    } else {
        client_send(c, SLICE_LIT("*\r\n"));
        cannot(c, "4.7.0", "The server's side of the login makes no sense");
    }
    buf_clear(&out);
}

void smtp_client_derived(struct smtp_client *c, const uint8_t salted[32])
{
    struct buf out;

    if (c->state != CLIENT_DERIVE)
        return;
    buf_init(&out, LIMIT_SASL_LINE);
    if (sasl_client_key(&c->sasl, salted, &out) == 0)
        send_words(c, buf_cstr(&out), "", CLIENT_AUTH);
    else
        cannot(c, "4.7.0", "The server's side of the login makes no sense");
    buf_clear(&out);
}

/* ---- STARTTLS ---- */

void client_ehlo_done(struct smtp_client *c)
{
    bool offers = client_has(c, EXT_STARTTLS);

    if (c->encrypted || c->tls == CLIENT_TLS_NEVER) {
        c->offered_tls = c->offered_tls || offers;
        start_auth(c);
        return;
    }
    c->offered_tls = offers;
    if (offers)
        send_words(c, "STARTTLS", "", CLIENT_STARTTLS);
    else if (c->tls == CLIENT_TLS_REQUIRED)
        cannot(c, "4.7.4", "The server does not offer STARTTLS, which is required");
    else
        start_auth(c);
}

void client_starttls_taken(struct smtp_client *c)
{
    /* RFC 3207 6 and CVE-2011-0411 the other way round: what stands in clear behind the 220 is not the server's. */
    if (c->input_left > 0) {
        cannot(c, "4.7.0", "Octets behind the reply to STARTTLS: somebody is in between");
        return;
    }
    client_go(c, CLIENT_HANDSHAKE);
    c->host->start_tls(c->world);
}

void client_starttls_refused(struct smtp_client *c)
{
    if (c->tls == CLIENT_TLS_REQUIRED || c->reply.code == 421)
        client_give_up(c, &c->reply, false);
    else
        start_auth(c);
}
