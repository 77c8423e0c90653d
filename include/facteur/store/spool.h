/* facteur: store/spool: bodies too large for a row.
 * Purpose:   a file per large body, durable before its row is written, hard-linked into Maildirs, removed with its row.
 * Owner:     the state directory's descriptor is held; files are opened beneath it.
 * Thread:    jobs; each file one job at a time.
 * Limits:    names are queue ids, made by us.
 * Standards: none. */
#ifndef FACTEUR_STORE_SPOOL_H
#define FACTEUR_STORE_SPOOL_H

#include "facteur/base/err.h"
#include "facteur/base/slice.h"

struct spool;

int spool_open(const char *state, struct spool **ret, struct err *e) MUST_USE;
void spool_close(struct spool **s);

int spool_create(struct spool *s, uint64_t id, struct err *e) MUST_USE;    /* a descriptor, or negative */
int spool_sync(struct spool *s, int fd, struct err *e) MUST_USE;           /* the file, then the directory */
int spool_read_open(struct spool *s, uint64_t id, struct err *e) MUST_USE; /* a descriptor, or negative */
/* A file that is shorter than its row says is never to be taken for the message: -ENODATA when it has not `size` octets. */
int spool_check(struct spool *s, uint64_t id, uint64_t size, struct err *e) MUST_USE;
int spool_remove(struct spool *s, uint64_t id);                                    /* fine when it is gone */
int spool_link(struct spool *s, uint64_t id, int to_dir, const char *to) MUST_USE; /* 0, -EEXIST, -EXDEV, … */
/* At start: removes files without a row (`has_row` says) older than 36 h. Returns how many went. */
int spool_sweep(struct spool *s, bool (*has_row)(void *ctx, uint64_t id), void *ctx, struct err *e) MUST_USE;
int64_t spool_free_octets(struct spool *s); /* of the file system, or negative */

#endif
