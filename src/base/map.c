#include "facteur/base/map.h"

#include "facteur/base/mem.h"
#include "facteur/base/rand.h"
#include "map_priv.h"

enum { MAP_FIRST = 16 };

struct map_entry {
    char *key;
    size_t n;
    uint64_t hash;
    void *value; /* NULL: the place is free */
};

static uint64_t rotate(uint64_t x, unsigned by)
{
    return (x << by) | (x >> (64 - by));
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[0] = rotate(v[0], 32);
    v[2] += v[3];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
}

static uint64_t little_endian(const char *p, size_t n)
{
    uint64_t x = 0;

    for (size_t i = 0; i < n; i++)
        x |= (uint64_t)(unsigned char)p[i] << (8 * i);
    return x;
}

static void sip_word(uint64_t v[4], uint64_t word)
{
    v[3] ^= word;
    sip_round(v);
    sip_round(v);
    v[0] ^= word;
}

uint64_t map_hash(const uint64_t key[2], struct slice s)
{
    uint64_t v[4] = { key[0] ^ 0x736f6d6570736575, key[1] ^ 0x646f72616e646f6d, key[0] ^ 0x6c7967656e657261,
                      key[1] ^ 0x7465646279746573 };
    size_t whole = s.n & ~(size_t)7;

    for (size_t i = 0; i < whole; i += 8)
        sip_word(v, little_endian(s.p + i, 8));
    sip_word(v, (uint64_t)s.n << 56 | (s.n > whole ? little_endian(s.p + whole, s.n - whole) : 0));
    v[2] ^= 0xff;
    for (int i = 0; i < 4; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* The place of the key, or the free place where it belongs. cap is a power of two and never full. */
static size_t place_of(const struct map *m, struct slice key, uint64_t hash)
{
    size_t at = (size_t)hash & (m->cap - 1);

    while (m->entries[at].value != NULL) {
        const struct map_entry *e = &m->entries[at];

        if (e->hash == hash && slice_eq((struct slice){ e->key, e->n }, key))
            break;
        at = (at + 1) & (m->cap - 1);
    }
    return at;
}

static void enlarge(struct map *m)
{
    struct map_entry *old = m->entries;
    size_t old_cap = m->cap;
    bool rekey = old_cap == MAP_FIRST;

    /* Among a handful nobody can make collisions hurt, and small maps are made by the thousand. */
    if (rekey)
        rand_bytes(m->hash_key, sizeof m->hash_key);
    m->cap = old_cap > 0 ? old_cap * 2 : MAP_FIRST;
    m->entries = mem_array(m->cap, sizeof *m->entries);
    for (size_t i = 0; old != NULL && i < old_cap; i++) {
        if (old[i].value == NULL)
            continue;
        if (rekey)
            old[i].hash = map_hash(m->hash_key, (struct slice){ old[i].key, old[i].n });
        m->entries[place_of(m, (struct slice){ old[i].key, old[i].n }, old[i].hash)] = old[i];
    }
    mem_free(old);
}

void map_clear(struct map *m)
{
    for (size_t i = 0; i < m->cap; i++)
        if (m->entries[i].value != NULL)
            mem_free(m->entries[i].key);
    mem_free(m->entries);
    *m = (struct map){ 0 };
}

void *map_get(const struct map *m, struct slice key)
{
    if (m->count == 0)
        return NULL;
    return m->entries[place_of(m, key, map_hash(m->hash_key, key))].value;
}

void *map_put(struct map *m, struct slice key, void *value)
{
    struct map_entry *e;
    uint64_t hash;
    void *before;

    if ((m->count + 1) * 4 > m->cap * 3)
        enlarge(m);
    hash = map_hash(m->hash_key, key);
    e = &m->entries[place_of(m, key, hash)];
    before = e->value;
    if (before == NULL) {
        *e = (struct map_entry){ .key = mem_dup(key.p, key.n), .n = key.n, .hash = hash };
        m->count++;
    }
    e->value = value;
    return before;
}

/* Backward shift: every follower that may stand nearer to its home moves up, so no tombstones are needed. */
static void close_gap(struct map *m, size_t gap)
{
    size_t mask = m->cap - 1;

    for (size_t at = (gap + 1) & mask; m->entries[at].value != NULL; at = (at + 1) & mask) {
        size_t home = (size_t)m->entries[at].hash & mask;

        if (((at - home) & mask) >= ((at - gap) & mask)) {
            m->entries[gap] = m->entries[at];
            gap = at;
        }
    }
    m->entries[gap] = (struct map_entry){ 0 };
}

void *map_take(struct map *m, struct slice key)
{
    size_t at;
    void *value;

    if (m->count == 0)
        return NULL;
    at = place_of(m, key, map_hash(m->hash_key, key));
    value = m->entries[at].value;
    if (value == NULL)
        return NULL;
    mem_free(m->entries[at].key);
    close_gap(m, at);
    m->count--;
    return value;
}

bool map_each(const struct map *m, size_t *cursor, struct slice *ret_key, void **ret_value)
{
    while (*cursor < m->cap) {
        const struct map_entry *e = &m->entries[(*cursor)++];

        if (e->value == NULL)
            continue;
        *ret_key = (struct slice){ e->key, e->n };
        *ret_value = e->value;
        return true;
    }
    return false;
}
