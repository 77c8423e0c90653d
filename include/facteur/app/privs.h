/* facteur: app/privs: the rights that the server gives up.
 * Purpose:   from root to an ordinary user, and no further than its files.
 * Owner:     no state; it is the process that changes.
 * Thread:    before the loop runs and before the pool's first thread, so that every thread has the same rights.
 * Limits:    no way back, which is tried. A kernel without Landlock is logged and accepted.
 * Standards: credentials(7), landlock(7), prctl(2). */
#ifndef FACTEUR_APP_PRIVS_H
#define FACTEUR_APP_PRIVS_H

#include "facteur/conf/config.h"

#include <sys/types.h>

/* At the start: no core files, not dumpable, no new privileges, as many descriptors as the hard limit has, umask 077.
 */
int privs_limits(struct err *e) MUST_USE;

/* After the ports are bound and the keys are read. As root: makes the state directory and the log file the user's if
 * they are new, becomes run_as (or "facteur" if that user exists) with its groups, and checks that root is out of
 * reach; without a user to become -EPERM with the words to say (exit 78). Not as root: only what follows. Then
 * Landlock: the policy's files, certificates and the system's resolver and CA files can be read, the state directory
 * and the log's directory written, nothing executed. */
int privs_drop(const struct config *c, struct err *e) MUST_USE;

/* The user that the server runs as when root starts it: run_as, or "facteur". -ENOENT (with words) when there is none,
 * -EPERM when it is root. */
struct privs_user {
    const char *name; /* the config's or a constant */
    uid_t uid;
    gid_t gid;
};
int privs_find_user(const struct config *c, struct privs_user *ret, struct err *e) MUST_USE;

/* For a command that root runs: makes the state directory if it is missing and acts as the server's user (else as the
 * state directory's owner) until privs_return. */
int privs_borrow(const struct config *c, struct err *e) MUST_USE;
void privs_return(void);

#endif
