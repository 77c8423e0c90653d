/* facteur: proto/sasl_priv: what both sides of SASL share.
 * Purpose:   the keys of SCRAM-SHA-256 and the forms of names.
 * Owner:     the caller's memory.
 * Thread:    any.
 * Limits:    names and passwords of 255 octets.
 * Standards: RFC 5802, RFC 7677. */
#ifndef FACTEUR_PROTO_SASL_PRIV_H
#define FACTEUR_PROTO_SASL_PRIV_H

#include "facteur/proto/sasl.h"

enum {
    SCRAM_KEY = 32,   /* octets of SHA-256 */
    SCRAM_NONCE = 24, /* characters of a nonce of ours: 18 random octets in base64 */
    SCRAM_TEXT = 8192 /* the three messages that are signed */
};

void scram_hmac(const uint8_t key[SCRAM_KEY], struct slice text, uint8_t out[SCRAM_KEY]);
void scram_hash(const uint8_t in[SCRAM_KEY], uint8_t out[SCRAM_KEY]);
void scram_nonce(char to[SCRAM_NONCE + 1]);

/* Takes "x=value" and the comma behind it off the front of *in. -EINVAL when another attribute, or none, stands there.
 */
int scram_attribute(struct slice *in, char name, struct slice *ret) MUST_USE;

/* 1 to 255 octets of UTF-8 without controls and NUL. */
bool sasl_is_plain_text(struct slice s);

/* base64 into buffers that keep no secret behind. */
int sasl_decode(struct slice line, struct buf *to) MUST_USE;
void sasl_buf_wipe(struct buf *b);

#endif
