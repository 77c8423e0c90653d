/* facteur: io/tls: what mbedTLS is to us, the same for 2.28 and 3.6.
 * Purpose:   certificates, settings and sessions; this header hides which library version there is.
 * Owner:     contexts are reference-counted (a reload makes a new one, running sessions keep theirs); a stream owns its
 *            session.
 * Thread:    the loop's.
 * Limits:    TLS 1.2 at least, 1.3 where the library has it; ECDHE with AEAD only; no renegotiation, no compression;
 *            record buffers as the library was built (Debian: 16 KiB each way, 35 KiB a session measured); tickets
 *            instead of a session cache, their key changes every day.
 * Standards: RFC 5246, 8446, 8996, 9325; RFC 6066 (SNI); RFC 7301 (ALPN); RFC 5077 (tickets). */
#ifndef FACTEUR_IO_TLS_H
#define FACTEUR_IO_TLS_H

#include "facteur/base/err.h"
#include "facteur/base/slice.h"

struct tls_server; /* settings and certificates for listening */
struct tls_client; /* settings and trust for connecting */

struct tls_files {
    const char *certificate; /* PEM, the chain, own certificate first */
    const char *key;         /* PEM, not encrypted */
};

/* Reads all pairs; the first is the default, the others are chosen by SNI against their subjectAltName. A key that does
 * not match its certificate, an unreadable or empty file is an error that names the file. `alpn`: a protocol list
 * ending in NULL, or NULL. */
int tls_server_new(const struct tls_files *files, size_t count, const char *const *alpn, struct tls_server **ret,
                   struct err *e) MUST_USE;
struct tls_server *tls_server_ref(struct tls_server *t);
void tls_server_unref(struct tls_server **t);
int64_t tls_server_expires(const struct tls_server *t);                /* wall ms of the first certificate that ends */
int64_t tls_server_pair_expires(const struct tls_server *t, size_t i); /* of the i-th pair that was given */
bool tls_server_names(const struct tls_server *t, const char *host);   /* one of the certificates is for this name */

/* `ca_file` NULL: the system's store (/etc/ssl/certs/ca-certificates.crt, or SSL_CERT_FILE). */
int tls_client_new(const char *ca_file, struct tls_client **ret, struct err *e) MUST_USE;
/* False when the system has no store: connections are encrypted all the same, but none can be verified. */
bool tls_client_has_authorities(const struct tls_client *t);
/* Whether `ca_file` still is the file that was read (path, inode, size, time of change): then a reload keeps t, as
 * reading a system's store takes tens of milliseconds. */
bool tls_client_is_current(const struct tls_client *t, const char *ca_file);
struct tls_client *tls_client_ref(struct tls_client *t);
void tls_client_unref(struct tls_client **t);

/* What a finished handshake is, as text for the trace and the log. */
struct tls_info {
    char version[16]; /* "TLSv1.3" */
    char cipher[64];  /* "TLS_AES_256_GCM_SHA384", IANA's name */
    char sni[256];    /* server: the name that was asked for, or "" */
    char alpn[16];
    bool verified;         /* client: the chain and the name are good */
    char verify_text[160]; /* why not */
};

/* A self-signed certificate for tests and first starts (ECDSA P-256, 10 years, DNS names given, "127.0.0.1" and "::1"
 * as IP names): PEM files, key 0600. */
int tls_self_signed(const char *const *names, size_t count, const char *cert_path, const char *key_path,
                    struct err *e) MUST_USE;

const char *tls_library(void); /* "mbedTLS 2.28.3" */

#endif
