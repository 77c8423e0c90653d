#include "facteur/store/digest.h"

#include <sodium.h>

enum { DIGEST_OCTETS = 16 };

_Static_assert(sizeof(crypto_generichash_state) <= sizeof(struct digest), "libsodium's state fits");

static crypto_generichash_state *state_of(struct digest *d)
{
    return (crypto_generichash_state *)(void *)d->state;
}

void digest_init(struct digest *d)
{
    (void)crypto_generichash_init(state_of(d), NULL, 0, DIGEST_OCTETS);
}

void digest_push(struct digest *d, struct slice octets)
{
    (void)crypto_generichash_update(state_of(d), (const unsigned char *)octets.p, octets.n);
}

void digest_end(struct digest *d, char id[DIGEST_ID])
{
    unsigned char hash[DIGEST_OCTETS];

    (void)crypto_generichash_final(state_of(d), hash, sizeof hash);
    id[0] = 'M'; /* RFC 8474 section 7: an id had better not begin with a digit */
    sodium_bin2hex(id + 1, DIGEST_ID - 1, hash, sizeof hash);
}
