/* facteur: io/tls (for io only): contexts and sessions from the inside.
 * Purpose:   shared by tls.c (contexts), tls_session.c and tls_names.c.
 * Owner:     contexts by reference count, sessions by their stream.
 * Thread:    the loop's.
 * Limits:    none of its own.
 * Standards: RFC 6125 section 6.4 (names in certificates). */
#ifndef FACTEUR_IO_TLS_CTX_PRIV_H
#define FACTEUR_IO_TLS_CTX_PRIV_H

#include "facteur/io/tls.h"
#include "tls_compat.h"
#include "tls_priv.h"
#include <sys/stat.h>

struct tls_pair {
    mbedtls_x509_crt chain;
    mbedtls_pk_context key;
};

struct tls_server {
    unsigned refs;
    mbedtls_ssl_config conf;
    mbedtls_ctr_drbg_context rng;
    mbedtls_ssl_ticket_context tickets;
    struct tls_pair *pairs;
    size_t count;
    char **alpn;                 /* copies, NULL at the end; or NULL */
    struct tls_session *running; /* whose handshake step this is: the SNI callback has no other way to know */
};

struct tls_client {
    unsigned refs;
    mbedtls_ssl_config conf;
    mbedtls_ctr_drbg_context rng;
    mbedtls_x509_crt trust;
    char *ca_file; /* where it was read, and how that file was then */
    struct stat ca_seen;
};

struct tls_session {
    mbedtls_ssl_context ssl;
    struct tls_server *server; /* one of the two */
    struct tls_client *client;
    struct slice *in; /* for the time of one call */
    struct buf *wire;
    char *name; /* client: whom we mean to reach */
    char *sni;  /* server: the name that was asked for */
    char why[192];
    uint32_t flags; /* client: what is wrong with the peer's certificate */
    bool verify;
};

/* Does the certificate's subjectAltName hold this DNS name (case folded, "*." for one label) or IP address? */
bool tls_cert_names(const mbedtls_x509_crt *cert, struct slice name);
bool tls_is_address(struct slice name);

/* mbedTLS's words for its code. */
const char *tls_error(int code, char *to, size_t n);
int tls_rng_start(mbedtls_ctr_drbg_context *rng, struct err *e);

#endif
