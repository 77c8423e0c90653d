/* What transaction.c (the envelope and its stages), transaction_body.c (what is kept of the data) and transaction_commit.c
 * (how it becomes durable) share. */
#ifndef FACTEUR_FLOW_TRANSACTION_PRIV_H
#define FACTEUR_FLOW_TRANSACTION_PRIV_H

#include "facteur/flow/transaction.h"

int transaction_end_header(struct transaction *t);    /* the data ended, perhaps within the header */
void transaction_clear_header(struct transaction *t); /* gives its memory back */
void transaction_stored(void *owner, int code);       /* its spool file is complete and durable, or is not */

#endif
