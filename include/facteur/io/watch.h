/* facteur: io/watch: told when a directory's entries change.
 * Purpose:   mail that other programs put into a Maildir reaches sessions without polling.
 * Owner:     opaque and heap allocated; watch_close frees it. No callback after it.
 * Thread:    the loop's.
 * Limits:    one inotify instance for the loop; when the system has no more watches, watch_new says so and the caller
 *            looks from time to time instead. Events are gathered for WATCH_SETTLE_MS, during which none is received.
 * Standards: inotify(7) through libuv. */
#ifndef FACTEUR_IO_WATCH_H
#define FACTEUR_IO_WATCH_H

#include "facteur/io/loop.h"

enum { WATCH_SETTLE_MS = 50 };

struct watch;

/* Calls `fn` on a later turn, after something changed in one of the directories (absolute paths; at most 2). */
int watch_new(struct loop *loop, const char *const *paths, unsigned count, void (*fn)(void *owner), void *owner,
              struct watch **ret) MUST_USE;
void watch_close(struct watch **w); /* NULL is fine */

#endif
