/* facteur: mail/seven_bit_priv: what the two files of the conversion share.
 * Purpose:   seven_bit.c surveys and plans; seven_bit_out.c writes by the plan.
 * Owner:     struct seven_bit.
 * Thread:    one at a time.
 * Limits:    as facteur/mail/seven_bit.h.
 * Standards: as there. */
#ifndef FACTEUR_MAIL_SEVEN_BIT_PRIV_H
#define FACTEUR_MAIL_SEVEN_BIT_PRIV_H

#include "facteur/mail/seven_bit.h"

enum seven_bit_kind {
    STEP_AROUND, /* preamble, epilogue, lines with boundaries */
    STEP_HEADER,
    STEP_AS_IT_IS,
    STEP_ENCODE
};

#endif
