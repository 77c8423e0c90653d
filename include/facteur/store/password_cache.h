/* facteur: store/password_cache: passwords that have been verified a short while ago.
 * Purpose:   a client that opens many connections with one password is not made to wait for a slow hash each time.
 * Owner:     password_cache_new's caller; holds neither passwords nor names, only keyed digests of what was right.
 * Thread:    the loop's; quick (a BLAKE2b of a few hundred octets).
 * Limits:    PASSWORD_CACHE_ENTRIES; what was not used for the longest makes room.
 * Standards: BLAKE2b with a key (RFC 7693), drawn when the process starts. */
#ifndef FACTEUR_STORE_PASSWORD_CACHE_H
#define FACTEUR_STORE_PASSWORD_CACHE_H

#include "facteur/base/slice.h"

enum { PASSWORD_CACHE_ENTRIES = 1024 };

struct password_cache;

struct password_cache *password_cache_new(void);
void password_cache_free(struct password_cache **c);

/* Who, with all hashes that the policy has for them now, so that a changed one is another entry; and what they said. */
struct password_claim {
    const char *user;
    const char *const *hashes;
    size_t count;
    struct slice password;
};

/* Whether this very claim was put and has not expired; takes as long for a wrong claim as for a right one. `now_ms` is
 * the monotonic clock's. */
bool password_cache_has(struct password_cache *c, const struct password_claim *claim, int64_t now_ms);
/* Notes a claim that password_verify found to be true. It counts for `lifetime_ms`, however often it is used. */
void password_cache_put(struct password_cache *c, const struct password_claim *claim, int64_t lifetime_ms,
                        int64_t now_ms);
void password_cache_wipe(struct password_cache *c);

#endif
