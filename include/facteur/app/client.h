/* facteur: app/client: the command line's end of the control socket.
 * Purpose:   one question, one answer, blocking.
 * Owner:     heap allocated; client_close frees.
 * Thread:    the command's only one.
 * Limits:    an answer of 16 MiB, 60 s of silence.
 * Standards: service/control.h's requests. */
#ifndef FACTEUR_APP_CLIENT_H
#define FACTEUR_APP_CLIENT_H

#include "facteur/base/err.h"

#include <jansson.h>

struct client;

/* -ENOENT, -ECONNREFUSED: no server runs there; -EACCES: the socket's permissions. */
int client_open(const char *path, struct client **ret, struct err *e) MUST_USE;
void client_close(struct client **c); /* NULL is fine */

/* Sends the request (whose reference it takes) and waits. *ret is a new reference to an answer with "ok": true; an
 * answer with false is an error with its text: -EINVAL bad-request, -ENOENT not-found, -ESRCH no-user, -EBUSY busy,
 * -EBADMSG damaged, -EIO failed. -EPROTO: that was no answer. */
int client_call(struct client *c, json_t *request, json_t **ret, struct err *e) MUST_USE;

#endif
