/* facteur: io/tls (for io only): a TLS session as a machine of octets.
 * Purpose:   records in, plain octets out, and the other way round; knows no socket. Input is a slice that the session
 *            takes from, output is a buf that it adds to.
 * Owner:     the stream; a session holds a reference to its context.
 * Thread:    the loop's.
 * Limits:    record buffers as mbedTLS was built.
 * Standards: as io/tls. */
#ifndef FACTEUR_IO_TLS_PRIV_H
#define FACTEUR_IO_TLS_PRIV_H

#include "facteur/base/buf.h"
#include "facteur/io/tls.h"

struct tls_session;

/* NULL only when mbedTLS is out of memory. */
struct tls_session *tls_session_server(struct tls_server *t);
struct tls_session *tls_session_client(struct tls_client *t, const char *name, bool verify);
void tls_session_free(struct tls_session **s); /* NULL is fine */

/* One step of the handshake as far as the input goes: DONE with *ret_info set; MORE; or negative with *ret_why (valid
 * as long as the session) set. Replies and alerts are added to wire. */
int tls_session_handshake(struct tls_session *s, struct slice *in, struct buf *wire, struct tls_info *ret_info,
                          const char **ret_why);

enum { TLS_MORE = 0 };
/* The octets put into `to`; TLS_MORE: needs more input; -ENOTCONN: the peer's close_notify; or another error. */
int tls_session_read(struct tls_session *s, struct slice *in, struct buf *wire, char *to, size_t n);

/* How many of the plain octets were taken (all, unless something fails: then negative). */
int tls_session_write(struct tls_session *s, struct slice plain, struct buf *wire);
void tls_session_close_notify(struct tls_session *s, struct buf *wire);

#endif
