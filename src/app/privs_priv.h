/* facteur: app/privs_priv: Landlock, for privs.c alone.
 * Purpose:   the list of places that stay reachable, made into a ruleset.
 * Owner:     no state.
 * Thread:    before there are others.
 * Limits:    needs Landlock's second version (Linux 5.19): the first forbids every rename between directories.
 * Standards: landlock(7). */
#ifndef FACTEUR_APP_PRIVS_PRIV_H
#define FACTEUR_APP_PRIVS_PRIV_H

#include "facteur/conf/config.h"

/* Logs what it did; never fails: the process is then as free as any other. */
void privs_landlock(const struct config *c);

#endif
