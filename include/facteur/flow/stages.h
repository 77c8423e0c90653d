/* facteur: flow/stages: what happens to a message on its way in, as tables.
 * Purpose:   the checks of each phase, read from top to bottom; a new check is one function and one row.
 * Owner:     constant tables.
 * Thread:    the loop's.
 * Limits:    a stage that waits does so in a job or a query of its own with a deadline.
 * Standards: RFC 5321, 6409; each row names its own. */
#ifndef FACTEUR_FLOW_STAGES_H
#define FACTEUR_FLOW_STAGES_H

#include "facteur/flow/transaction.h"

enum stage_result {
    STAGE_CONTINUE, /* the next row */
    STAGE_ACCEPT,   /* the rows below are not asked */
    STAGE_REFUSE,   /* *v is the reply, 4xx or 5xx */
    STAGE_WAIT      /* stage_resume comes, on a later turn */
};

struct stage {
    const char *name; /* the rule's name in the log; NULL ends the table */
    enum stage_result (*fn)(struct transaction *t, struct verdict *v);
};

extern const struct stage stages_mail[];   /* at MAIL */
extern const struct stage stages_rcpt[];   /* at each RCPT */
extern const struct stage stages_data[];   /* at DATA or the first BDAT */
extern const struct stage stages_header[]; /* when the header is complete; these must not wait */

/* Runs a table. NOW: *v is set (250 when nothing refused). LATER: `after` comes with it. */
enum when stages_run(struct transaction *t, const struct stage *table, struct verdict *v,
                     void (*after)(struct transaction *t, struct verdict *v));
/* The answer of a stage that waited. */
void stage_resume(struct transaction *t, enum stage_result result, struct verdict *v);

#endif
