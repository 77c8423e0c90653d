/* facteur: store/dir_priv: walking a directory by its descriptor.
 * Purpose:   what spool, Maildir and their sweeps share.
 * Owner:     no state; the caller's descriptor is not moved or closed.
 * Thread:    jobs.
 * Limits:    none; names come as the kernel gives them and are judged by the caller.
 * Standards: none. */
#ifndef FACTEUR_STORE_DIR_PRIV_H
#define FACTEUR_STORE_DIR_PRIV_H

enum { DIR_STALE_S = 36 * 3600 }; /* maildir(5): what lies in tmp/ for longer was given up by its writer */

/* Calls fn for each entry but "." and ".." until it answers other than 0, which is then returned. */
int dir_each(int dir, int (*fn)(void *ctx, int dir, const char *name), void *ctx);

#endif
