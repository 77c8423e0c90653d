/* facteur: app/notify: tells the service manager how the server is.
 * Purpose:   systemd's notifications: ready, reloading, stopping, and that the loop still turns (the watchdog).
 * Owner:     notify_close gives it back.
 * Thread:    the loop's.
 * Limits:    nothing is said, and nothing fails, without NOTIFY_SOCKET or when nobody listens there.
 * Standards: sd_notify(3), sd_watchdog_enabled(3). */
#ifndef FACTEUR_APP_NOTIFY_H
#define FACTEUR_APP_NOTIFY_H

#include "facteur/io/timer.h"

struct notify;

/* Reads NOTIFY_SOCKET (a path, or a name behind '@'), WATCHDOG_USEC and WATCHDOG_PID, and removes them from the
 * environment. */
struct notify *notify_new(void);
void notify_close(struct notify **n); /* before the loop; NULL is fine */

void notify_ready(struct notify *n, struct loop *loop); /* after the start: also feeds the watchdog from now on */
void notify_stopping(struct notify *n);

/* Around a reload, whether or not it works; not while stopping. */
void notify_reloading(const struct notify *n);
void notify_reloaded(const struct notify *n);

#endif
