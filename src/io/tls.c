#include "facteur/io/tls.h"

#include "facteur/base/mem.h"
#include "facteur/base/rand.h"
#include "tls_ctx_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { TICKET_SECONDS = 24 * 3600, CERT_FILE_MAX_CHAIN = 16, PEM_LOOK = 64 * 1024 };

/* ECDHE with AEAD only (RFC 9325 section 4.2), strongest first; what the library does not have it skips. */
static const int ciphers[] = {
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
    MBEDTLS_TLS1_3_AES_256_GCM_SHA384,
    MBEDTLS_TLS1_3_CHACHA20_POLY1305_SHA256,
    MBEDTLS_TLS1_3_AES_128_GCM_SHA256,
#endif
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    MBEDTLS_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    MBEDTLS_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    MBEDTLS_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    0,
};

const char *tls_library(void)
{
    return "mbedTLS " MBEDTLS_VERSION_STRING;
}

const char *tls_error(int code, char *to, size_t n)
{
    mbedtls_strerror(code, to, n);
    return to;
}

static int from_kernel(void *unused, unsigned char *to, size_t n)
{
    (void)unused;
    rand_bytes(to, n);
    return 0;
}

int tls_rng_start(mbedtls_ctr_drbg_context *rng, struct err *e)
{
    char why[128];
    int rc;

    mbedtls_ctr_drbg_init(rng);
    rc = compat_start();
    if (rc == 0)
        rc = mbedtls_ctr_drbg_seed(rng, from_kernel, NULL, NULL, 0);
    return rc == 0 ? 0 : err_set(e, -EIO, "TLS: random numbers: %s", tls_error(rc, why, sizeof why));
}

/* Settings that both ends have in common. */
static int start_conf(mbedtls_ssl_config *conf, mbedtls_ctr_drbg_context *rng, int endpoint, struct err *e)
{
    char why[128];
    int rc;

    TRY(tls_rng_start(rng, e));
    rc = mbedtls_ssl_config_defaults(conf, endpoint, MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT);
    if (rc != 0)
        return err_set(e, -EIO, "TLS: settings: %s", tls_error(rc, why, sizeof why));
    compat_min_version(conf);
    mbedtls_ssl_conf_ciphersuites(conf, ciphers);
    mbedtls_ssl_conf_rng(conf, mbedtls_ctr_drbg_random, rng);
#if defined(MBEDTLS_SSL_RENEGOTIATION)
    mbedtls_ssl_conf_renegotiation(conf, MBEDTLS_SSL_RENEGOTIATION_DISABLED);
#endif
    mbedtls_ssl_conf_legacy_renegotiation(conf, MBEDTLS_SSL_LEGACY_NO_RENEGOTIATION);
    return 0;
}

/* ---- server ---- */

/* The kernel's words where it was the kernel, and where the file is of another kind, that; else the library's. */
static int unreadable(const char *what, const char *path, const char *begins, int rc, struct err *e)
{
    char text[PEM_LOOK + 1], why[128];
    size_t n;
    FILE *f = fopen(path, "re");

    if (f == NULL)
        return err_set(e, -EINVAL, "%s %s: %s", what, path, err_text(-errno));
    n = fread(text, 1, PEM_LOOK, f);
    (void)fclose(f);
    text[n] = '\0';
    if (memmem(text, n, begins, strlen(begins)) == NULL)
        return err_set(e, -EINVAL, "%s %s: the file holds no PEM %s", what, path, what);
    return err_set(e, -EINVAL, "%s %s: %s", what, path, tls_error(rc, why, sizeof why));
}

static int read_pair(struct tls_server *t, const struct tls_files *f, struct tls_pair *pair, struct err *e)
{
    int rc = mbedtls_x509_crt_parse_file(&pair->chain, f->certificate);

    if (rc < 0)
        return unreadable("certificate", f->certificate, "-----BEGIN CERTIFICATE-----", rc, e);
    if (rc > 0 || pair->chain.raw.p == NULL)
        return err_set(e, -EINVAL, "certificate %s: not all of it is PEM certificates that can be read",
                       f->certificate);
    rc = compat_parse_key(&pair->key, f->key, &t->rng);
    if (rc != 0)
        return unreadable("private key", f->key, "PRIVATE KEY-----", rc, e);
    if (compat_check_pair(&pair->chain, &pair->key, &t->rng) != 0)
        return err_set(e, -EINVAL, "private key %s does not belong to certificate %s", f->key, f->certificate);
    return 0;
}

/* Called within mbedtls_ssl_handshake with the name out of the client's hello. No match: the first certificate. */
static int on_sni(void *arg, mbedtls_ssl_context *ssl, const unsigned char *name, size_t n)
{
    struct tls_server *t = arg;
    struct slice asked = slice_make((const char *)name, n);

    if (t->running != NULL && t->running->sni == NULL && n < 256)
        t->running->sni = mem_dup(name, n);
    for (size_t i = 0; i < t->count; i++)
        if (tls_cert_names(&t->pairs[i].chain, asked))
            return mbedtls_ssl_set_hs_own_cert(ssl, &t->pairs[i].chain, &t->pairs[i].key);
    return 0;
}

static int set_alpn(struct tls_server *t, const char *const *alpn)
{
    size_t n = 0;

    if (alpn == NULL || alpn[0] == NULL)
        return 0;
    while (alpn[n] != NULL)
        n++;
    t->alpn = mem_array(n + 1, sizeof *t->alpn);
    for (size_t i = 0; i < n; i++)
        t->alpn[i] = mem_str(alpn[i]);
    return mbedtls_ssl_conf_alpn_protocols(&t->conf, (const char **)(void *)t->alpn);
}

static int set_tickets(struct tls_server *t)
{
    int rc = mbedtls_ssl_ticket_setup(&t->tickets, mbedtls_ctr_drbg_random, &t->rng, MBEDTLS_CIPHER_AES_256_GCM,
                                      TICKET_SECONDS);

    if (rc == 0)
        mbedtls_ssl_conf_session_tickets_cb(&t->conf, mbedtls_ssl_ticket_write, mbedtls_ssl_ticket_parse, &t->tickets);
    return rc;
}

static int start_server(struct tls_server *t, const struct tls_files *files, size_t count, const char *const *alpn,
                        struct err *e)
{
    char why[128];
    int rc;

    mbedtls_ssl_config_init(&t->conf);
    mbedtls_ssl_ticket_init(&t->tickets);
    t->pairs = mem_array(count, sizeof *t->pairs);
    for (t->count = 0; t->count < count; t->count++) {
        mbedtls_x509_crt_init(&t->pairs[t->count].chain);
        mbedtls_pk_init(&t->pairs[t->count].key);
    }
    TRY(start_conf(&t->conf, &t->rng, MBEDTLS_SSL_IS_SERVER, e));
    if (count == 0)
        return err_set(e, -EINVAL, "TLS: no certificate is named");
    for (size_t i = 0; i < count; i++)
        TRY(read_pair(t, &files[i], &t->pairs[i], e));
    mbedtls_ssl_conf_authmode(&t->conf, MBEDTLS_SSL_VERIFY_NONE);
    mbedtls_ssl_conf_sni(&t->conf, on_sni, t);
    rc = mbedtls_ssl_conf_own_cert(&t->conf, &t->pairs[0].chain, &t->pairs[0].key);
    if (rc == 0)
        rc = set_alpn(t, alpn);
    if (rc == 0)
        rc = set_tickets(t);
    return rc == 0 ? 0 : err_set(e, -EINVAL, "TLS: settings: %s", tls_error(rc, why, sizeof why));
}

int tls_server_new(const struct tls_files *files, size_t count, const char *const *alpn, struct tls_server **ret,
                   struct err *e)
{
    struct tls_server *t = mem_zero(sizeof *t);
    int rc;

    t->refs = 1;
    rc = start_server(t, files, count, alpn, e);
    if (rc < 0) {
        tls_server_unref(&t);
        return rc;
    }
    *ret = t;
    return 0;
}

struct tls_server *tls_server_ref(struct tls_server *t)
{
    t->refs++;
    return t;
}

void tls_server_unref(struct tls_server **t_p)
{
    struct tls_server *t = *t_p;

    *t_p = NULL;
    if (t == NULL || --t->refs > 0)
        return;
    mbedtls_ssl_config_free(&t->conf);
    mbedtls_ssl_ticket_free(&t->tickets);
    for (size_t i = 0; i < t->count; i++) {
        mbedtls_x509_crt_free(&t->pairs[i].chain);
        mbedtls_pk_free(&t->pairs[i].key);
    }
    for (size_t i = 0; t->alpn != NULL && t->alpn[i] != NULL; i++)
        mem_free(t->alpn[i]);
    mbedtls_ctr_drbg_free(&t->rng);
    mem_free(t->alpn);
    mem_free(t->pairs);
    mem_free(t);
}

static int64_t wall_ms(const mbedtls_x509_time *at)
{
    struct tm tm = { .tm_year = at->year - 1900,
                     .tm_mon = at->mon - 1,
                     .tm_mday = at->day,
                     .tm_hour = at->hour,
                     .tm_min = at->min,
                     .tm_sec = at->sec };

    return (int64_t)timegm(&tm) * 1000;
}

int64_t tls_server_pair_expires(const struct tls_server *t, size_t i)
{
    return wall_ms(&t->pairs[i].chain.valid_to);
}

int64_t tls_server_expires(const struct tls_server *t)
{
    int64_t first = INT64_MAX;

    for (size_t i = 0; i < t->count; i++) {
        int64_t end = tls_server_pair_expires(t, i);

        if (end < first)
            first = end;
    }
    return first;
}

bool tls_server_names(const struct tls_server *t, const char *host)
{
    for (size_t i = 0; i < t->count; i++)
        if (tls_cert_names(&t->pairs[i].chain, slice_str(host)))
            return true;
    return false;
}

/* ---- client ---- */

static const char *ca_path(const char *ca_file)
{
    if (ca_file == NULL)
        ca_file = getenv("SSL_CERT_FILE");
    return ca_file != NULL ? ca_file : "/etc/ssl/certs/ca-certificates.crt";
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

bool tls_client_is_current(const struct tls_client *t, const char *ca_file)
{
    struct stat now = { 0 };

    ca_file = ca_path(ca_file);
    return strcmp(ca_file, t->ca_file) == 0 && (stat(ca_file, &now) == 0 || errno == ENOENT) &&
           same_file(&now, &t->ca_seen);
}

bool tls_client_has_authorities(const struct tls_client *t)
{
    return t->trust.raw.p != NULL;
}

static int read_authorities(struct tls_client *t, struct err *e)
{
    char why[128];
    int rc = mbedtls_x509_crt_parse_file(&t->trust, t->ca_file);

    /* A positive count is certificates of a kind that this library cannot read: the others stay good. */
    if (rc < 0 || t->trust.raw.p == NULL)
        return err_set(e, -EINVAL, "certificates of authorities, %s: %s", t->ca_file,
                       rc < 0 ? tls_error(rc, why, sizeof why) : "none can be read");
    return 0;
}

static int start_client(struct tls_client *t, const char *ca_file, struct err *e)
{
    mbedtls_ssl_config_init(&t->conf);
    mbedtls_x509_crt_init(&t->trust);
    TRY(start_conf(&t->conf, &t->rng, MBEDTLS_SSL_IS_CLIENT, e));
    t->ca_file = mem_str(ca_path(ca_file));
    if (stat(t->ca_file, &t->ca_seen) == 0)
        TRY(read_authorities(t, e));
    else if (ca_file != NULL || errno != ENOENT)
        return err_set(e, -errno, "certificates of authorities, %s: %s", t->ca_file, err_text(-errno));
    mbedtls_ssl_conf_ca_chain(&t->conf, &t->trust, NULL);
    /* Always looked at; what is wrong decides in on_verify of tls_session.c whether the handshake goes on. */
    mbedtls_ssl_conf_authmode(&t->conf, MBEDTLS_SSL_VERIFY_REQUIRED);
    return 0;
}

int tls_client_new(const char *ca_file, struct tls_client **ret, struct err *e)
{
    struct tls_client *t = mem_zero(sizeof *t);
    int rc;

    t->refs = 1;
    rc = start_client(t, ca_file, e);
    if (rc < 0) {
        tls_client_unref(&t);
        return rc;
    }
    *ret = t;
    return 0;
}

struct tls_client *tls_client_ref(struct tls_client *t)
{
    t->refs++;
    return t;
}

void tls_client_unref(struct tls_client **t_p)
{
    struct tls_client *t = *t_p;

    *t_p = NULL;
    if (t == NULL || --t->refs > 0)
        return;
    mbedtls_ssl_config_free(&t->conf);
    mbedtls_x509_crt_free(&t->trust);
    mbedtls_ctr_drbg_free(&t->rng);
    mem_free(t->ca_file);
    mem_free(t);
}
