/* facteur: proto/sasl: the dialogues of AUTH, both sides.
 * Purpose:   PLAIN, LOGIN and SCRAM-SHA-256 as machines from one base64 line to the next, for SMTP now and IMAP and
 *            POP3 later.
 * Owner:     embedded in the session; sasl_server_clear and sasl_client_clear wipe what they held.
 * Thread:    the loop's; only sasl_scram_derive (PBKDF2) is work for a job.
 * Limits:    LIMIT_SASL_LINE a line; names and passwords of 255 octets; SCRAM iterations of a next hop 4,096 to
 *            1,000,000.
 * Standards: RFC 4616 (PLAIN), RFC 5802 and 7677 (SCRAM-SHA-256, no channel binding), RFC 4954 section 4, the LOGIN
 *            draft. Of SASLprep (RFC 4013) the part that needs no tables: valid UTF-8 without controls. */
#ifndef FACTEUR_PROTO_SASL_H
#define FACTEUR_PROTO_SASL_H

#include "facteur/base/buf.h"
#include "facteur/mail/limits.h"

struct sasl_mechanisms {
    bool plain, login, scram;
};

/* What a client has put forward. For PLAIN and LOGIN the password is to be checked; for SCRAM it has been proved (scram
 * true) and only the account is to be judged. */
struct sasl_attempt {
    const char *mechanism;
    char user[256];     /* UTF-8, no controls */
    char authzid[256];  /* "" or what the client wants to act as */
    char password[256]; /* PLAIN, LOGIN */
    bool scram, scram_proved;
};

struct sasl_scram_keys {
    bool known;
    uint8_t salt[32];
    uint8_t salt_n;
    uint32_t iterations;
    uint8_t stored[32], server[32];
};

enum sasl_step {
    SASL_CONTINUE /* send `out` */,
    SASL_ATTEMPT /* judge the attempt */,
    SASL_CANCELLED,
    SASL_MALFORMED /* 501 5.5.2 */
};

struct sasl_server {
    enum {
        SASL_IDLE,
        SASL_PLAIN,
        SASL_LOGIN_USER,
        SASL_LOGIN_PASS,
        SASL_SCRAM_FIRST,
        SASL_SCRAM_FINAL,
        SASL_SCRAM_ACK
    } state;
    struct sasl_attempt attempt;
    struct buf text; /* SCRAM: the GS2 header, and behind it what is signed */
    size_t gs2_n;
    struct sasl_scram_keys keys;
    char nonce[160]; /* the client's and ours */
};

/* Starts an exchange; s is zeroed or cleared. `initial` is the initial response as it came (base64, "=" is an empty
 * one), or NULL. `out` gets base64 for the client when *ret is SASL_CONTINUE. Unknown or switched-off mechanism:
 * -ENOTSUP, and nothing has changed. `keys` is asked once, for SCRAM only. */
typedef void sasl_keys_fn(void *ctx, struct slice user, struct sasl_scram_keys *ret);
int sasl_server_start(struct sasl_server *s, struct slice mechanism, const struct sasl_mechanisms *offered,
                      const struct slice *initial, sasl_keys_fn *keys, void *ctx, enum sasl_step *ret,
                      struct buf *out) MUST_USE;
/* One more line of the client's, without its CRLF. At SASL_ATTEMPT s->attempt is complete. */
enum sasl_step sasl_server_next(struct sasl_server *s, struct slice line, sasl_keys_fn *keys, void *ctx,
                                struct buf *out);
void sasl_server_clear(struct sasl_server *s); /* wiped and idle again */

/* The client's side. SCRAM stops at SASL_CLIENT_KEY: the caller runs sasl_scram_derive in a job, then goes on with
 * sasl_client_key. */
enum sasl_client_step { SASL_CLIENT_SEND, SASL_CLIENT_KEY, SASL_CLIENT_FAILED };
struct sasl_client {
    enum {
        SASL_C_PLAIN,
        SASL_C_LOGIN_USER,
        SASL_C_LOGIN_PASS,
        SASL_C_SCRAM_FIRST,
        SASL_C_SCRAM_KEY,
        SASL_C_SCRAM_FINAL,
        SASL_C_DONE
    } state;
    const char *user, *password; /* borrowed */
    struct buf text;             /* SCRAM: what is signed */
    size_t final_at;             /* where client-final-message-without-proof begins in it */
    uint8_t salt[64];
    uint8_t salt_n;
    uint32_t iterations;
    uint8_t server_signature[32];
    char nonce[48];
};
/* The best of what the server offers and we know: "SCRAM-SHA-256", "PLAIN", "LOGIN", or NULL. */
const char *sasl_client_choose(struct slice offered);
/* `initial` gets the initial response in base64; it stays empty for LOGIN, which has none. -ENOTSUP: unknown mechanism;
 * -EINVAL: a name or password that cannot be sent. `user` and `password` live until sasl_client_clear. */
int sasl_client_start(struct sasl_client *c, const char *mechanism, const char *user, const char *password,
                      struct buf *initial) MUST_USE;
/* The text behind "334 " (base64, may be empty) in; what to send, in base64, out. */
enum sasl_client_step sasl_client_next(struct sasl_client *c, struct slice challenge, struct buf *out);
/* Slow: the salted password (PBKDF2), 32 octets. Any thread. */
void sasl_scram_derive(struct slice password, const uint8_t *salt, size_t salt_n, uint32_t iterations, uint8_t out[32]);
/* Goes on after SASL_CLIENT_KEY: `out` gets the next line to send. */
int sasl_client_key(struct sasl_client *c, const uint8_t salted[32], struct buf *out) MUST_USE;
/* Whether the server proved to know the key too (always true for the others): look before believing a 235. */
bool sasl_client_trusts(const struct sasl_client *c);
void sasl_client_clear(struct sasl_client *c);

#endif
