#include "facteur/base/codec.h"
#include "sasl_priv.h"

#include <errno.h>
#include <sodium.h>

enum {
    ITERATIONS_MIN = 4096 /* RFC 7677 4: fewer would make our proof cheap to guess from */,
    ITERATIONS_MAX = 1000000
};

const char *sasl_client_choose(struct slice offered)
{
    static const char *const best_first[] = { "SCRAM-SHA-256", "PLAIN", "LOGIN" };

    for (size_t i = 0; i < sizeof best_first / sizeof best_first[0]; i++) {
        struct slice rest = offered, word;

        while (rest.n > 0) {
            (void)slice_cut(&rest, ' ', &word);
            if (slice_iis(word, best_first[i]))
                return best_first[i];
        }
    }
    return NULL;
}

static int start_plain(struct sasl_client *c, struct buf *initial)
{
    struct buf message;
    int code;

    buf_init(&message, 512);
    code = buf_addc(&message, '\0');
    if (code == 0)
        code = buf_add(&message, c->user, strlen(c->user) + 1);
    if (code == 0)
        code = buf_adds(&message, c->password);
    if (code == 0)
        code = base64_encode(buf_slice(&message), initial);
    sasl_buf_wipe(&message);
    return code;
}

static int add_saslname(struct buf *to, const char *name)
{
    for (; *name != '\0'; name++) {
        if (*name == ',')
            TRY(buf_adds(to, "=2C"));
        else if (*name == '=')
            TRY(buf_adds(to, "=3D"));
        else
            TRY(buf_addc(to, *name));
    }
    return 0;
}

static int start_scram(struct sasl_client *c, struct buf *initial)
{
    char nonce[SCRAM_NONCE + 1];

    scram_nonce(nonce);
    memcpy(c->nonce, nonce, sizeof nonce);
    TRY(buf_adds(&c->text, "n,,n="));
    TRY(add_saslname(&c->text, c->user));
    TRY(buf_addf(&c->text, ",r=%s", c->nonce));
    TRY(base64_encode(buf_slice(&c->text), initial));
    buf_drop(&c->text, sizeof "n,," - 1); /* the GS2 header is not signed */
    return 0;
}

int sasl_client_start(struct sasl_client *c, const char *mechanism, const char *user, const char *password,
                      struct buf *initial)
{
    *c = (struct sasl_client){ .user = user, .password = password };
    buf_init(&c->text, SCRAM_TEXT);
    if (!sasl_is_plain_text(slice_str(user)) || !sasl_is_plain_text(slice_str(password)))
        return -EINVAL;
    if (slice_iis(slice_str(mechanism), "PLAIN")) {
        c->state = SASL_C_PLAIN;
        return start_plain(c, initial);
    }
    if (slice_iis(slice_str(mechanism), "LOGIN")) {
        c->state = SASL_C_LOGIN_USER;
        return 0;
    }
    if (slice_iis(slice_str(mechanism), "SCRAM-SHA-256")) {
        c->state = SASL_C_SCRAM_FIRST;
        return start_scram(c, initial);
    }
    return -ENOTSUP;
}

static int read_salt(struct sasl_client *c, struct slice text)
{
    struct buf salt;
    int code = -EINVAL;

    if (sasl_decode(text, &salt) == 0 && salt.n > 0 && salt.n <= sizeof c->salt) {
        memcpy(c->salt, salt.p, salt.n);
        c->salt_n = (uint8_t)salt.n;
        code = 0;
    }
    buf_clear(&salt);
    return code;
}

/* server-first-message in; after it all that is signed is known, though not yet the key. */
static int read_server_first(struct sasl_client *c, struct slice in)
{
    struct slice whole = in, nonce, salt, count;
    uint64_t iterations;

    TRY(scram_attribute(&in, 'r', &nonce));
    TRY(scram_attribute(&in, 's', &salt));
    TRY(scram_attribute(&in, 'i', &count));
    TRY(slice_u64(count, ITERATIONS_MAX, &iterations));
    if (iterations < ITERATIONS_MIN || nonce.n <= SCRAM_NONCE || memcmp(nonce.p, c->nonce, SCRAM_NONCE) != 0)
        return -EINVAL;
    TRY(read_salt(c, salt));
    c->iterations = (uint32_t)iterations;
    TRY(buf_addc(&c->text, ','));
    TRY(buf_add(&c->text, whole.p, whole.n));
    TRY(buf_addc(&c->text, ','));
    c->final_at = c->text.n;
    TRY(buf_adds(&c->text, "c=biws,r=")); /* base64 of "n,," */
    TRY(buf_add(&c->text, nonce.p, nonce.n));
    c->state = SASL_C_SCRAM_KEY;
    return 0;
}

int sasl_client_key(struct sasl_client *c, const uint8_t salted[32], struct buf *out)
{
    struct slice signed_text = buf_slice(&c->text);
    uint8_t client_key[SCRAM_KEY], server_key[SCRAM_KEY], stored[SCRAM_KEY], proof[SCRAM_KEY];
    struct buf message;
    int code;

    if (c->state != SASL_C_SCRAM_KEY)
        return -EINVAL;
    scram_hmac(salted, SLICE_LIT("Client Key"), client_key);
    scram_hmac(salted, SLICE_LIT("Server Key"), server_key);
    scram_hash(client_key, stored);
    scram_hmac(stored, signed_text, proof);
    for (size_t i = 0; i < SCRAM_KEY; i++)
        proof[i] ^= client_key[i];
    scram_hmac(server_key, signed_text, c->server_signature);
    sodium_memzero(client_key, sizeof client_key);
    sodium_memzero(server_key, sizeof server_key);

    buf_init(&message, SCRAM_TEXT);
    code = buf_add(&message, signed_text.p + c->final_at, signed_text.n - c->final_at);
    if (code == 0)
        code = buf_adds(&message, ",p=");
    if (code == 0)
        code = base64_encode(slice_make((const char *)proof, sizeof proof), &message);
    if (code == 0)
        code = base64_encode(buf_slice(&message), out);
    sasl_buf_wipe(&message);
    if (code == 0)
        c->state = SASL_C_SCRAM_FINAL;
    return code;
}

/* server-final-message: v=signature, or e=why not. */
static int read_server_final(struct sasl_client *c, struct slice in)
{
    struct slice value;
    struct buf signature = { 0 };
    int code = scram_attribute(&in, 'v', &value);

    if (code == 0)
        code = sasl_decode(value, &signature);
    if (code == 0 && (signature.n != SCRAM_KEY || sodium_memcmp(signature.p, c->server_signature, SCRAM_KEY) != 0))
        code = -EACCES;
    buf_clear(&signature);
    if (code == 0)
        c->state = SASL_C_DONE;
    return code;
}

static int send_secret(struct sasl_client *c, const char *text, unsigned next_state, struct buf *out)
{
    c->state = next_state;
    return base64_encode(slice_str(text), out);
}

static enum sasl_client_step answer(struct sasl_client *c, struct slice challenge, struct buf *out)
{
    int code = -EINVAL;

    switch (c->state) {
    case SASL_C_PLAIN: /* a server that did not look at the initial response */
        code = start_plain(c, out);
        c->state = SASL_C_DONE;
        break;
    case SASL_C_LOGIN_USER:
        code = send_secret(c, c->user, SASL_C_LOGIN_PASS, out);
        break;
    case SASL_C_LOGIN_PASS:
        code = send_secret(c, c->password, SASL_C_DONE, out);
        break;
    case SASL_C_SCRAM_FIRST:
        code = read_server_first(c, challenge);
        return code == 0 ? SASL_CLIENT_KEY : SASL_CLIENT_FAILED;
    case SASL_C_SCRAM_FINAL:
        code = read_server_final(c, challenge);
        break;
    case SASL_C_SCRAM_KEY:
    case SASL_C_DONE:
        break;
    }
    return code == 0 ? SASL_CLIENT_SEND : SASL_CLIENT_FAILED;
}

enum sasl_client_step sasl_client_next(struct sasl_client *c, struct slice challenge, struct buf *out)
{
    bool is_scram = c->state >= SASL_C_SCRAM_FIRST && c->state <= SASL_C_SCRAM_FINAL;
    struct buf decoded;
    enum sasl_client_step step = SASL_CLIENT_FAILED;

    /* PLAIN and LOGIN do not care what the challenge says: servers word it in many ways, some not in base64. */
    if (!is_scram)
        return answer(c, challenge, out);
    if (sasl_decode(challenge, &decoded) == 0)
        step = answer(c, buf_slice(&decoded), out);
    buf_clear(&decoded);
    return step;
}

bool sasl_client_trusts(const struct sasl_client *c)
{
    return c->state < SASL_C_SCRAM_FIRST || c->state == SASL_C_DONE;
}

void sasl_client_clear(struct sasl_client *c)
{
    sasl_buf_wipe(&c->text);
    sodium_memzero(c, sizeof *c);
}
