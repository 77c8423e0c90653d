/* facteur: app/privs: the rights that the server gives up.
 * Purpose:   from root to an ordinary user, no further than its files, and no system call that it does not need.
 * Owner:     no state; it is the process that changes.
 * Thread:    before the loop runs and before the pool's first thread, so that every thread has the same rights.
 * Limits:    no way back, which is tried. A kernel without Landlock or seccomp is logged and accepted.
 * Standards: credentials(7), landlock(7), prctl(2), seccomp(2). */
#ifndef FACTEUR_APP_PRIVS_H
#define FACTEUR_APP_PRIVS_H

#include "facteur/conf/config.h"

#include <sys/types.h>

#define PRIVS_DEFAULT_USER "facteur" /* without run_as */

/* At the start, before the loop: no core files, not dumpable, no new privileges, as many descriptors as the hard limit
 * has, umask 077, no io_uring. */
int privs_limits(struct err *e) MUST_USE;

/* After the ports are bound and the keys are read. As root: makes the state directory and the log file the user's if
 * they are new, becomes run_as (or "facteur" if that user exists) with its groups, and checks that root is out of
 * reach; without a user to become -ENOENT with the words to say. A state directory of root that holds what is not
 * facteur's is refused (-EPERM). Not as root: only what follows. Then
 * Landlock: the policy's files, certificates and the system's resolver and CA files can be read, the state directory
 * and the log's directory written, nothing executed. Then seccomp: the system calls that a running server makes, of
 * which none starts a program or makes memory executable. So no library can be loaded after it: what the C library
 * would load at first use (charset_load_all) must be there before. *ret says what took effect. */
struct privs_confined {
    bool landlock, seccomp;
};
int privs_drop(const struct config *c, struct privs_confined *ret, struct err *e) MUST_USE;

/* The name of the user that the process is, or its number. */
enum { PRIVS_NAME = 64 };
void privs_name(char to[PRIVS_NAME]);

/* The user that the server runs as when root starts it: run_as, or "facteur". -ENOENT (with words) when there is none,
 * -EPERM when it is root. */
struct privs_user {
    const char *name; /* the config's or a constant */
    uid_t uid;
    gid_t gid;
};
int privs_find_user(const struct config *c, struct privs_user *ret, struct err *e) MUST_USE;

/* For a command that root runs: whether this user can read the file, with its groups. -EACCES with *ret_reaches false: it
 * may not even enter the directory. */
int privs_may_read(const struct privs_user *user, const char *path, bool *ret_reaches) MUST_USE;

/* For a command that root runs: makes the state directory if it is missing and acts as the server's user (else as the
 * state directory's owner) until privs_return. */
int privs_borrow(const struct config *c, struct err *e) MUST_USE;
void privs_return(void);

#endif
