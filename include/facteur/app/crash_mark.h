/* facteur: app/crash_mark: remembers over the end of the process that it was a crash of ours.
 * Purpose:   tells a message that brings facteur down (its signal leaves a mark) from a power cut or a kill -9 (which leave
 *            none): only after a crash are the messages in hand suspects.
 * Owner:     the process; signal handlers need state that outlives calls.
 * Thread:    installed at start; the handler may run on any.
 * Limits:    a path of 4095 octets.
 * Standards: signal-safety(7): the handler only opens and closes a file. */
#ifndef FACTEUR_APP_CRASH_MARK_H
#define FACTEUR_APP_CRASH_MARK_H

#include "facteur/base/err.h"

#include <stdbool.h>

/* Whether the former process left a mark in the state directory; the mark is taken away. */
bool crash_mark_take(const char *state);
/* From now on SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGABRT leave a mark before they do what they did before. */
int crash_mark_install(const char *state, struct err *e) MUST_USE;

#endif
