/* What the tests of the relay share: a loop with a watchdog, and next hops that do as they are told. */
#ifndef FACTEUR_TEST_FLOW_PEER_H
#define FACTEUR_TEST_FLOW_PEER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "facteur/base/buf.h"
#include "facteur/base/clock.h"
#include "facteur/base/log.h"
#include "facteur/base/mem.h"
#include "facteur/io/listener.h"
#include "facteur/io/loop.h"
#include "facteur/io/stream.h"
#include "facteur/io/timer.h"
#include "facteur/proto/sasl.h"
#include "facteur/store/password.h"
#include "facteur/store/scram_keys.h"

struct peer;
struct peer_session {
    struct peer *peer;
    struct stream *s;
    struct buf in;
    struct sasl_server sasl; /* SCRAM */
    bool in_sasl, in_data, silent, bad_tls, has_sender, has_recipient;
    unsigned messages;
};

/* A next hop. Replies are whole lines; NULL: the usual one. The recipient's local part says what RCPT answers when it
 * begins with a code ("550-anna@y"). */
struct peer {
    struct listener *listener;
    const char *greeting, *ehlo, *mail, *data, *end, *auth;
    const char *hang_at;  /* a verb, "connect" or "end": nothing is answered from there on */
    const char *close_at; /* the same: the connection ends there instead */
    unsigned close_after; /* messages: then the connection ends without a word; 0: never */
    const char *password; /* for AUTH SCRAM-SHA-256 */
    bool implicit, bad_tls;
    struct tls_server *tls;
    /* what was seen */
    unsigned accepted, open, most_open, messages, recipients, over_tls;
    struct buf log; /* all lines of all sessions, bodies too */
    struct peer_session *sessions[64];
};

static inline void peer_drop(struct peer_session *session)
{
    if (session->s == NULL)
        return;
    stream_close(session->s);
    session->s = NULL;
}

static inline void peer_say(struct peer_session *session, const char *text)
{
    if (session->s != NULL)
        stream_write(session->s, slice_str(text));
}

/* True: the peer goes on as usual at this point. */
static inline bool peer_goes_on(struct peer_session *session, const char *point)
{
    const struct peer *peer = session->peer;

    if (session->silent)
        return false;
    if (peer->close_at != NULL && slice_iis(slice_str(point), peer->close_at)) {
        peer_drop(session);
        return false;
    }
    session->silent = peer->hang_at != NULL && slice_iis(slice_str(point), peer->hang_at);
    return !session->silent;
}

static inline void peer_rcpt(struct peer_session *session, struct slice line)
{
    char reply[64];
    ptrdiff_t at = slice_find(line, '<');

    line = slice_skip(line, (size_t)at + 1);
    if (!session->has_sender) {
        peer_say(session, "503 5.5.1 MAIL first\r\n");
        return;
    }
    if (line.n > 3 && line.p[3] == '-') {
        (void)snprintf(reply, sizeof reply, "%.3s %.1s.1.1 as you wish\r\n", line.p, line.p);
        peer_say(session, reply);
        return;
    }
    session->peer->recipients++;
    session->has_recipient = true;
    peer_say(session, "250 2.1.5 ok\r\n");
}

static inline void peer_take(struct peer_session *session)
{
    struct peer *peer = session->peer;

    session->in_data = session->has_sender = session->has_recipient = false;
    if (!peer_goes_on(session, "end"))
        return;
    peer_say(session, peer->end != NULL ? peer->end : "250 2.0.0 taken\r\n");
    peer->messages += peer->end == NULL ? 1 : 0;
    if (++session->messages == peer->close_after) {
        stream_finish(session->s);
        session->s = NULL;
    }
}

/* ---- SCRAM, by the server's side of proto/sasl ---- */

static inline void peer_keys(void *ctx, struct slice user, struct sasl_scram_keys *ret)
{
    const struct peer *peer = ctx;
    struct scram_keys keys;
    struct buf hash;
    struct err e;

    (void)user;
    buf_init(&hash, 1000);
    assert_int_equal(password_hash(PASSWORD_SCRAM, slice_str(peer->password), &hash, &e), 0);
    assert_true(scram_keys_find((const char *const[]){ buf_cstr(&hash) }, 1, &keys));
    *ret = (struct sasl_scram_keys){ .known = true, .salt_n = keys.salt_n, .iterations = keys.iterations };
    memcpy(ret->salt, keys.salt, sizeof keys.salt);
    memcpy(ret->stored, keys.stored, sizeof keys.stored);
    memcpy(ret->server, keys.server, sizeof keys.server);
    buf_clear(&hash);
}

static inline void peer_sasl(struct peer_session *session, struct slice line, bool first)
{
    static const struct sasl_mechanisms offered = { .scram = true };
    enum sasl_step step = SASL_MALFORMED;
    struct buf out;

    buf_init(&out, LIMIT_SASL_LINE);
    if (first)
        assert_int_equal(sasl_server_start(&session->sasl, SLICE_LIT("SCRAM-SHA-256"), &offered, &line, peer_keys,
                                           session->peer, &step, &out),
                         0);
    else
        step = sasl_server_next(&session->sasl, line, peer_keys, session->peer, &out);
    session->in_sasl = step == SASL_CONTINUE;
    if (step == SASL_CONTINUE) {
        peer_say(session, "334 ");
        peer_say(session, buf_cstr(&out));
        peer_say(session, "\r\n");
    } else if (step == SASL_ATTEMPT && session->sasl.attempt.scram_proved) {
        peer_say(session, "235 2.7.0 ok\r\n");
    } else {
        peer_say(session, "535 5.7.8 wrong\r\n");
    }
    if (!session->in_sasl)
        sasl_server_clear(&session->sasl);
    buf_clear(&out);
}

static inline void peer_command(struct peer_session *session, struct slice line)
{
    struct peer *peer = session->peer;
    struct slice rest = line, verb;
    char name[16] = "";

    (void)slice_cut(&rest, ' ', &verb);
    assert_int_equal(slice_copy(slice_head(verb, sizeof name - 1), name, sizeof name), 0);
    if (!peer_goes_on(session, name))
        return;
    if (slice_iis(verb, "EHLO")) {
        peer_say(session, peer->ehlo != NULL ? peer->ehlo : "250-peer\r\n250-PIPELINING\r\n250 8BITMIME\r\n");
    } else if (slice_iis(verb, "MAIL")) {
        session->has_sender = peer->mail == NULL;
        peer_say(session, peer->mail != NULL ? peer->mail : "250 2.1.0 ok\r\n");
    } else if (slice_iis(verb, "RCPT")) {
        peer_rcpt(session, line);
    } else if (slice_iis(verb, "AUTH") && peer->password != NULL) {
        assert_true(slice_cut(&rest, ' ', &verb) && slice_is(verb, "SCRAM-SHA-256"));
        peer_sasl(session, rest, true);
    } else if (slice_iis(verb, "AUTH")) {
        peer_say(session, peer->auth != NULL ? peer->auth : "235 2.7.0 ok\r\n");
    } else if (slice_iis(verb, "QUIT")) {
        peer_say(session, "221 2.0.0 bye\r\n");
    } else if (slice_iis(verb, "RSET")) {
        session->has_sender = session->has_recipient = false;
        peer_say(session, "250 2.0.0 ok\r\n");
    } else if (slice_iis(verb, "STARTTLS")) {
        peer_say(session, "220 2.0.0 go\r\n");
        session->bad_tls = peer->bad_tls;
        if (!peer->bad_tls)
            stream_start_tls_server(session->s, peer->tls);
    } else if (slice_iis(verb, "DATA") && !session->has_recipient) {
        peer_say(session, "503 5.5.1 RCPT first\r\n");
    } else if (slice_iis(verb, "DATA")) {
        session->in_data = peer->data == NULL;
        peer_say(session, peer->data != NULL ? peer->data : "354 go\r\n");
    }
}

static inline void peer_on_bytes(void *owner, struct slice octets)
{
    struct peer_session *session = owner;
    size_t used = 0;
    const char *end;

    if (session->bad_tls) { /* to the ClientHello */
        peer_say(session, "500 this is no handshake of ours, not at all, whatever you read into it\r\n");
        return;
    }
    assert_int_equal(buf_add(&session->in, octets.p, octets.n), 0);
    while (session->s != NULL && (end = memchr(session->in.p + used, '\n', session->in.n - used)) != NULL) {
        char *line = mem_dup(session->in.p + used, (size_t)(end - session->in.p) - used);

        used = (size_t)(end - session->in.p) + 1;
        assert_true(used >= 2 && end[-1] == '\r'); /* nothing but CRLF ends a line */
        line[strlen(line) - 1] = '\0';
        assert_int_equal(buf_adds(&session->peer->log, line), 0);
        assert_int_equal(buf_addc(&session->peer->log, '\n'), 0);
        if (session->in_sasl)
            peer_sasl(session, slice_str(line), false);
        else if (!session->in_data)
            peer_command(session, slice_str(line));
        else if (strcmp(line, ".") == 0)
            peer_take(session);
        mem_free(line);
        if (used == session->in.n)
            break;
    }
    buf_drop(&session->in, used);
}

static inline void peer_on_end(void *owner, int status)
{
    (void)status;
    peer_drop(owner);
}

static inline void peer_greet(struct peer_session *session)
{
    if (peer_goes_on(session, "connect"))
        peer_say(session, session->peer->greeting != NULL ? session->peer->greeting : "220 peer ESMTP\r\n");
}

static inline void peer_on_tls(void *owner, int status, const struct tls_info *info, const char *why)
{
    struct peer_session *session = owner;

    (void)info;
    (void)why;
    if (status < 0) {
        peer_drop(session);
        return;
    }
    session->peer->over_tls++;
    if (session->peer->implicit)
        peer_greet(session);
}

static inline void peer_on_closed(void *owner)
{
    struct peer_session *session = owner;
    struct peer *peer = session->peer;

    for (size_t i = 0; i < 64; i++)
        if (peer->sessions[i] == session)
            peer->sessions[i] = NULL;
    peer->open--;
    sasl_server_clear(&session->sasl);
    buf_clear(&session->in);
    mem_free(session);
}

static const struct stream_events peer_events = {
    .on_bytes = peer_on_bytes, .on_end = peer_on_end, .on_tls = peer_on_tls, .on_closed = peer_on_closed
};

static inline void peer_on_accept(void *owner, struct stream *s)
{
    struct peer *peer = owner;
    struct peer_session *session = mem_zero(sizeof *session);

    session->peer = peer;
    session->s = s;
    buf_init(&session->in, 64 * 1024 * 1024);
    peer->accepted++;
    peer->open++;
    if (peer->open > peer->most_open)
        peer->most_open = peer->open;
    for (size_t i = 0; i < 64; i++) {
        if (peer->sessions[i] != NULL)
            continue;
        peer->sessions[i] = session;
        break;
    }
    stream_start(s, &peer_events, session);
    if (peer->implicit)
        stream_start_tls_server(s, peer->tls);
    else
        peer_greet(session);
}

static inline void peer_open(struct loop *loop, struct peer *peer)
{
    const struct endpoint at = { .family = 4, .octets = { 127, 0, 0, 1 } };
    const struct listener_options options = { .reuse = true, .fd = -1 };
    struct err e;

    buf_init(&peer->log, 64 * 1024 * 1024);
    assert_int_equal(listener_new(loop, &at, &options, peer_on_accept, peer, &peer->listener, &e), 0);
}

static inline uint16_t peer_port(const struct peer *peer)
{
    return listener_endpoint(peer->listener)->port;
}

static inline bool peer_heard(struct peer *peer, const char *text)
{
    return strstr(buf_cstr(&peer->log), text) != NULL;
}

/* After it the loop must turn until peer->open is 0. */
static inline void peer_shut(struct peer *peer)
{
    if (peer->listener != NULL)
        listener_close(&peer->listener);
    for (size_t i = 0; i < 64; i++)
        if (peer->sessions[i] != NULL)
            peer_drop(peer->sessions[i]);
}

#endif
