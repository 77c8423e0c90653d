/* The user whose password hashes are like most others': an unknown name is checked against them, so that the time it
 * takes says nothing. */
#include "load_priv.h"

#include "facteur/base/mem.h"

enum { KIND_MAX = 16 * 1024 };

struct share {
    const struct conf_user *user;
    size_t users;
};

/* Scheme and parameters, without salt and hash: "$y$j9T", "$2b$11", "$6$rounds=5000", "{SCRAM-SHA-256}4096". */
static struct slice kind_of(const char *hash)
{
    struct slice s = slice_str(hash);
    size_t parts = strncmp(hash, "$2", 2) == 0 ? 1 : 2; /* bcrypt has salt and hash in one */
    ptrdiff_t comma = slice_find(s, ',');

    if (s.n > 0 && s.p[0] == '{')
        return slice_head(s, comma < 0 ? s.n : (size_t)comma);
    while (s.n > 0 && parts > 0)
        parts -= s.p[--s.n] == '$';
    return s;
}

/* Of all hashes of the user: each of them is computed. */
static struct slice kinds_of(const struct conf_user *user, struct buf *to)
{
    buf_reset(to);
    for (size_t i = 0; i < user->passwords.count; i++) {
        struct slice kind = kind_of(user->passwords.items[i]);

        if (buf_add(to, kind.p, kind.n) < 0 || buf_addc(to, '\n') < 0)
            break;
    }
    return buf_slice(to);
}

const struct conf_user *typical_user(const struct config *c)
{
    struct share *shares = mem_array(c->users.count + 1, sizeof *shares), *best = shares;
    struct map by_kind = { 0 };
    const struct conf_user *typical;
    struct buf kinds;

    buf_init(&kinds, KIND_MAX);
    for (size_t i = 0, count = 1; i < c->users.count; i++) { /* the first is nobody's */
        const struct conf_user *user = c->user_list[i];
        struct slice key = kinds_of(user, &kinds);
        struct share *share = key.n > 0 ? map_get(&by_kind, key) : shares;

        if (share == shares)
            continue;
        if (share == NULL) {
            share = &shares[count++];
            share->user = user;
            (void)map_put(&by_kind, key, share);
        }
        if (++share->users > best->users)
            best = share;
    }
    typical = best->user;
    buf_clear(&kinds);
    map_clear(&by_kind);
    mem_free(shares);
    return typical;
}
