/* facteur: store/folders_file_priv: the small files that stand beside a folder's messages.
 * Purpose:   subscriptions, dovecot-keywords, facteur-uidvalidity and the like are read whole and replaced at once.
 * Owner:     no state; the caller's descriptor of the directory.
 * Thread:    jobs of the user's lane: one writer at a time.
 * Limits:    what the caller's buf takes; symbolic links are refused.
 * Standards: none. */
#ifndef FACTEUR_STORE_FOLDERS_FILE_PRIV_H
#define FACTEUR_STORE_FOLDERS_FILE_PRIV_H

#include "facteur/base/buf.h"

/* Adds the whole file to `out`. -ENOENT; -EFBIG: more than out->max; -EINVAL: no regular file. */
int small_file_read(int dir, const char *name, struct buf *out) MUST_USE;

/* The file has this content or the old one, whatever happens; durable when it returns. */
int small_file_write(int dir, const char *name, struct slice content) MUST_USE;

#endif
