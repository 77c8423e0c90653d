/* facteur: proto/host: what every dialogue and its host agree on.
 * Purpose:   an answer is known at once or comes later; a dialogue that was told LATER reads nothing until it comes.
 * Owner:     constants.
 * Thread:    the loop's.
 * Limits:    none.
 * Standards: none. */
#ifndef FACTEUR_PROTO_HOST_H
#define FACTEUR_PROTO_HOST_H

enum when { NOW, LATER };

#endif
