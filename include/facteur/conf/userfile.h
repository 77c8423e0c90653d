/* facteur: conf/userfile: the users that commands manage.
 * Purpose:   adds, changes and removes a user in the users file, comments and order kept.
 * Owner:     no state; the file is replaced atomically (a new file, fsync, rename, fsync of the directory).
 * Thread:    any; short and blocking, so a command or a job.
 * Limits:    a file of 1 MiB.
 * Standards: YAML as conf/config reads it. */
#ifndef FACTEUR_CONF_USERFILE_H
#define FACTEUR_CONF_USERFILE_H

#include "facteur/base/err.h"
#include "facteur/base/slice.h"

/* name: "user@domain". hashes: one or more password hashes. -EEXIST, -ENOENT, -EINVAL, or the system's error. */
int userfile_add(const char *path, const char *name, const char *const *hashes, size_t count, struct err *e) MUST_USE;
int userfile_set_password(const char *path, const char *name, const char *const *hashes, size_t count,
                          struct err *e) MUST_USE;
int userfile_delete(const char *path, const char *name, struct err *e) MUST_USE;

#endif
