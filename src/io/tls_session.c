/* One TLS session: mbedTLS between a slice of input and a buf of output. */
#include "facteur/base/mem.h"
#include "tls_ctx_priv.h"

#include <errno.h>
#include <stdio.h>

/* ---- what mbedTLS calls ---- */

static int on_send(void *arg, const unsigned char *p, size_t n)
{
    struct tls_session *s = arg;

    if (s->wire == NULL || buf_add(s->wire, p, n) < 0)
        return MBEDTLS_ERR_SSL_INTERNAL_ERROR;
    return (int)n;
}

static int on_recv(void *arg, unsigned char *to, size_t n)
{
    struct tls_session *s = arg;

    if (s->in == NULL || s->in->n == 0)
        return MBEDTLS_ERR_SSL_WANT_READ;
    n = n < s->in->n ? n : s->in->n;
    memcpy(to, s->in->p, n);
    *s->in = slice_skip(*s->in, n);
    return (int)n;
}

/* Runs for each certificate of the peer's chain, its own (depth 0) last. Flags that are cleared let the handshake go
 * on; we keep them to say what was wrong. The settings' own "optional" is not used: 3.6.0 ignores it in TLS 1.3. */
static int on_verify(void *arg, mbedtls_x509_crt *cert, int depth, uint32_t *flags)
{
    struct tls_session *s = arg;

    if (depth == 0 && s->name != NULL && tls_is_address(slice_str(s->name)) &&
        !tls_cert_names(cert, slice_str(s->name)))
        *flags |= MBEDTLS_X509_BADCERT_CN_MISMATCH;
    s->flags |= *flags;
    if (!s->verify)
        *flags = 0;
    return 0;
}

/* ---- life ---- */

static int begin(struct tls_session *s, const mbedtls_ssl_config *conf)
{
    mbedtls_ssl_init(&s->ssl);
    TRY(mbedtls_ssl_setup(&s->ssl, conf));
    mbedtls_ssl_set_bio(&s->ssl, s, on_send, on_recv, NULL);
    return 0;
}

struct tls_session *tls_session_server(struct tls_server *t)
{
    struct tls_session *s = mem_zero(sizeof *s);

    s->server = tls_server_ref(t);
    if (begin(s, &t->conf) != 0)
        tls_session_free(&s);
    return s;
}

struct tls_session *tls_session_client(struct tls_client *t, const char *name, bool verify)
{
    struct tls_session *s = mem_zero(sizeof *s);
    bool is_name = name != NULL && name[0] != '\0' && !tls_is_address(slice_str(name));

    s->client = tls_client_ref(t);
    s->name = mem_str(name);
    s->verify = verify;
    /* An address is no server_name (RFC 6066 section 3); on_verify holds it against the certificate. */
    if (begin(s, &t->conf) != 0 || mbedtls_ssl_set_hostname(&s->ssl, is_name ? name : NULL) != 0)
        tls_session_free(&s);
    else
        mbedtls_ssl_set_verify(&s->ssl, on_verify, s);
    return s;
}

void tls_session_free(struct tls_session **s_p)
{
    struct tls_session *s = *s_p;

    if (s == NULL)
        return;
    *s_p = NULL;
    mbedtls_ssl_free(&s->ssl);
    tls_server_unref(&s->server);
    tls_client_unref(&s->client);
    mem_free(s->name);
    mem_free(s->sni);
    mem_free(s);
}

/* ---- handshake ---- */

/* "TLS-ECDHE-RSA-WITH-AES-256-GCM-SHA384" and "TLS1-3-AES-256-GCM-SHA384" as the IANA spells them. */
static void iana_cipher(const char *from, char *to, size_t size)
{
    size_t n = 0;

    if (strncmp(from, "TLS1-3-", 7) == 0) {
        memcpy(to, "TLS_", 4);
        n = 4;
        from += 7;
    }
    for (; *from != '\0' && n + 1 < size; from++)
        to[n++] = *from == '-' ? '_' : *from;
    to[n] = '\0';
}

static void copy_text(const char *from, char *to, size_t size)
{
    if (from != NULL)
        (void)snprintf(to, size, "%s", from);
}

static void describe_verify(uint32_t flags, char *to, size_t size)
{
    to[0] = '\0';
    if (flags == 0)
        return;
    if (mbedtls_x509_crt_verify_info(to, size, "", flags) < 0)
        copy_text("several reasons", to, size);
    for (char *p = to; *p != '\0'; p++) /* a reason a line */
        if (*p == '\n')
            *p = p[1] == '\0' ? '\0' : ';';
}

static void fill_info(struct tls_session *s, struct tls_info *info)
{
    memset(info, 0, sizeof *info);
    copy_text(mbedtls_ssl_get_version(&s->ssl), info->version, sizeof info->version);
    iana_cipher(mbedtls_ssl_get_ciphersuite(&s->ssl), info->cipher, sizeof info->cipher);
    copy_text(s->sni, info->sni, sizeof info->sni);
#if defined(MBEDTLS_SSL_ALPN)
    copy_text(mbedtls_ssl_get_alpn_protocol(&s->ssl), info->alpn, sizeof info->alpn);
#endif
    info->verified = s->client != NULL && s->flags == 0;
    describe_verify(s->flags, info->verify_text, sizeof info->verify_text);
}

static int refuse(struct tls_session *s, int code, const char **ret_why)
{
    char text[128];

    if (s->client != NULL && s->verify && s->flags != 0) {
        describe_verify(s->flags, text, sizeof text);
        (void)snprintf(s->why, sizeof s->why, "certificate: %s", text);
    } else {
        copy_text(tls_error(code, text, sizeof text), s->why, sizeof s->why);
    }
    *ret_why = s->why;
    return -EPROTO;
}

int tls_session_handshake(struct tls_session *s, struct slice *in, struct buf *wire, struct tls_info *ret_info,
                          const char **ret_why)
{
    int rc;

    s->in = in;
    s->wire = wire;
    if (s->server != NULL)
        s->server->running = s;
    rc = mbedtls_ssl_handshake(&s->ssl);
    if (s->server != NULL)
        s->server->running = NULL;
    s->in = NULL;
    s->wire = NULL;
    if (rc == MBEDTLS_ERR_SSL_WANT_READ || rc == MBEDTLS_ERR_SSL_WANT_WRITE)
        return MORE;
    if (rc != 0)
        return refuse(s, rc, ret_why);
    fill_info(s, ret_info);
    return DONE;
}

/* ---- octets ---- */

int tls_session_read(struct tls_session *s, struct slice *in, struct buf *wire, char *to, size_t n)
{
    int rc;

    s->in = in;
    s->wire = wire;
    do {
        rc = mbedtls_ssl_read(&s->ssl, (unsigned char *)to, n);
#if defined(MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET)
    } while (rc == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET);
#else
    } while (false);
#endif
    s->in = NULL;
    s->wire = NULL;
    if (rc > 0)
        return rc;
    if (rc == MBEDTLS_ERR_SSL_WANT_READ || rc == MBEDTLS_ERR_SSL_WANT_WRITE)
        return TLS_MORE;
    if (rc == 0 || rc == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY)
        return -ENOTCONN;
    return -EPROTO;
}

int tls_session_write(struct tls_session *s, struct slice plain, struct buf *wire)
{
    size_t done = 0;

    s->wire = wire;
    while (done < plain.n) {
        int rc = mbedtls_ssl_write(&s->ssl, (const unsigned char *)plain.p + done, plain.n - done);

        if (rc <= 0)
            break;
        done += (size_t)rc;
    }
    s->wire = NULL;
    return done == plain.n ? (int)done : -EPROTO;
}

void tls_session_close_notify(struct tls_session *s, struct buf *wire)
{
    s->wire = wire;
    (void)mbedtls_ssl_close_notify(&s->ssl);
    s->wire = NULL;
}
