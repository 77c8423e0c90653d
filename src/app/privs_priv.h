/* facteur: app/privs_priv: Landlock and seccomp, for privs.c alone.
 * Purpose:   the list of places that stay reachable, made into a ruleset, and that of system calls, made into a filter.
 * Owner:     no state.
 * Thread:    before there are others.
 * Limits:    needs Landlock's second version (Linux 5.19): the first forbids every rename between directories. Neither
 *            in a container or on a kernel that refuses it.
 * Standards: landlock(7), seccomp(2). */
#ifndef FACTEUR_APP_PRIVS_PRIV_H
#define FACTEUR_APP_PRIVS_PRIV_H

#include "facteur/conf/config.h"

/* The leak checker of a test build traces its own process, which must be dumpable for that and may start another; and
 * the checkers make calls of their own. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CHECKED_BUILD 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define CHECKED_BUILD 1
#endif
#endif
#ifndef CHECKED_BUILD
#define CHECKED_BUILD 0
#endif

/* Before the event loop: libuv makes itself a ring where it can, through which calls would pass by the filter, and aborts
 * when it is kept from using one that it has. */
void privs_forbid_io_uring(void);

/* Both log what they did, and say whether it worked; where it did not, the process is as free as any other. */
bool privs_landlock(const struct config *c);
bool privs_seccomp(void);

/* Of the second what a checked build leaves out: 0 or why not. After privs_forbid_io_uring. */
int privs_seccomp_install(void) MUST_USE;

#endif
