/* facteur: store/scram_keys: what SCRAM needs of a stored password.
 * Purpose:   finds the keys among a user's hashes, and has some for a user who does not exist, so that nobody can tell.
 * Owner:     by value.
 * Thread:    any; quick.
 * Limits:    a salt of 32 octets.
 * Standards: RFC 5802 section 3 (StoredKey, ServerKey), RFC 7677. */
#ifndef FACTEUR_STORE_SCRAM_KEYS_H
#define FACTEUR_STORE_SCRAM_KEYS_H

#include "facteur/base/slice.h"

struct scram_keys {
    uint8_t salt[32];
    uint8_t salt_n;
    uint32_t iterations;
    uint8_t stored[32], server[32];
};

/* The first "{SCRAM-SHA-256}iterations,salt,stored,server" of the hashes. False (*ret unchanged) without one. */
bool scram_keys_find(const char *const *hashes, size_t count, struct scram_keys *ret);

/* Keys that fit no password; the same for the same name as long as `secret` is. */
void scram_keys_pretend(struct slice user, const uint8_t secret[32], struct scram_keys *ret);

#endif
