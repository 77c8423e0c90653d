/* A table of SETS rows of WAYS entries. The digest's first octets choose the row; all entries of it are compared, whole,
 * whatever is found. Without the key nobody can tell which row, or which octets, a guess would have to meet. */
#include "facteur/store/password_cache.h"

#include "facteur/base/mem.h"
#include "facteur/base/rand.h"

#include <sodium.h>

enum { DIGEST = 32, KEY = 32, WAYS = 8, SETS = PASSWORD_CACHE_ENTRIES / WAYS };

struct entry {
    uint8_t digest[DIGEST];
    int64_t expires_ms; /* 0: free */
    int64_t used_ms;
};

struct password_cache {
    uint8_t key[KEY];
    struct entry (*sets)[WAYS]; /* NULL until the first is put */
};

struct password_cache *password_cache_new(void)
{
    struct password_cache *c = mem_zero(sizeof *c);

    rand_bytes(c->key, sizeof c->key);
    return c;
}

void password_cache_wipe(struct password_cache *c)
{
    mem_free_secret(c->sets, c->sets != NULL ? SETS * sizeof *c->sets : 0);
    c->sets = NULL;
}

void password_cache_free(struct password_cache **c)
{
    if (*c == NULL)
        return;
    password_cache_wipe(*c);
    mem_free_secret(*c, sizeof **c);
    *c = NULL;
}

/* Each part behind its length: no two claims are one text. */
static void add_part(crypto_generichash_state *h, struct slice part)
{
    uint64_t n = part.n;

    (void)crypto_generichash_update(h, (const unsigned char *)&n, sizeof n);
    (void)crypto_generichash_update(h, (const unsigned char *)part.p, part.n);
}

static void digest_of(const struct password_cache *c, const struct password_claim *claim, uint8_t to[DIGEST])
{
    crypto_generichash_state h;
    uint64_t count = claim->count;

    (void)crypto_generichash_init(&h, c->key, sizeof c->key, DIGEST);
    add_part(&h, slice_str(claim->user));
    (void)crypto_generichash_update(&h, (const unsigned char *)&count, sizeof count);
    for (size_t i = 0; i < claim->count; i++)
        add_part(&h, slice_str(claim->hashes[i]));
    add_part(&h, claim->password);
    (void)crypto_generichash_final(&h, to, DIGEST);
    sodium_memzero(&h, sizeof h);
}

static struct entry *set_of(const struct password_cache *c, const uint8_t digest[DIGEST])
{
    return c->sets[digest[0] % SETS];
}

/* The entry with this digest, expired or not; NULL. */
static struct entry *find(const struct password_cache *c, const uint8_t digest[DIGEST])
{
    struct entry *set = set_of(c, digest), *found = NULL;

    for (size_t i = 0; i < WAYS; i++) {
        if (sodium_memcmp(set[i].digest, digest, DIGEST) == 0 && set[i].expires_ms != 0)
            found = &set[i];
    }
    return found;
}

bool password_cache_has(struct password_cache *c, const struct password_claim *claim, int64_t now_ms)
{
    uint8_t digest[DIGEST];
    struct entry *found = NULL;

    digest_of(c, claim, digest);
    if (c->sets != NULL)
        found = find(c, digest);
    sodium_memzero(digest, sizeof digest);
    if (found == NULL)
        return false;
    if (now_ms >= found->expires_ms) {
        sodium_memzero(found, sizeof *found);
        return false;
    }
    found->used_ms = now_ms;
    return true;
}

/* Free, else expired, else the one that was not used for the longest. */
static struct entry *make_room(const struct password_cache *c, const uint8_t digest[DIGEST], int64_t now_ms)
{
    struct entry *set = set_of(c, digest), *victim = &set[0];

    for (size_t i = 0; i < WAYS; i++) {
        if (set[i].expires_ms <= now_ms)
            return &set[i];
        if (set[i].used_ms < victim->used_ms)
            victim = &set[i];
    }
    return victim;
}

void password_cache_put(struct password_cache *c, const struct password_claim *claim, int64_t lifetime_ms,
                        int64_t now_ms)
{
    uint8_t digest[DIGEST];
    struct entry *at;

    if (lifetime_ms <= 0)
        return;
    if (c->sets == NULL)
        c->sets = mem_array(SETS, sizeof *c->sets);
    digest_of(c, claim, digest);
    at = find(c, digest);
    if (at == NULL)
        at = make_room(c, digest, now_ms);
    memcpy(at->digest, digest, DIGEST);
    at->expires_ms = now_ms + lifetime_ms;
    at->used_ms = now_ms;
    sodium_memzero(digest, sizeof digest);
}
