/* facteur: app/server: the program that runs.
 * Purpose:   `facteur serve`: opens everything in order, runs the loop, reloads, and ends without losing anything.
 * Owner:     all there is.
 * Thread:    the loop's.
 * Limits:    limits.timeout.shutdown for a quiet end; a second signal ends it at once.
 * Standards: sysexits.h; RFC 5321 section 3.8 (421 at shutdown). */
#ifndef FACTEUR_APP_SERVER_H
#define FACTEUR_APP_SERVER_H

#include "facteur/base/err.h"

/* Runs until SIGTERM or SIGINT. A code of sysexits.h; the reason of a failed start is in e (problems of the policy file
 * have been printed). */
int server_run(const char *config_path, struct err *e) MUST_USE;

#endif
