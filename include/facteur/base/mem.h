/* facteur: base/mem: memory that is there, or the process ends.
 * Purpose:   allocation without a failure path: what comes from outside is bounded before it is asked for.
 * Owner:     the caller frees with mem_free.
 * Thread:    any.
 * Limits:    none of its own; every caller's size has a named limit.
 * Standards: none. */
#ifndef FACTEUR_BASE_MEM_H
#define FACTEUR_BASE_MEM_H

#include <stddef.h>

/* Each returns memory or aborts with one line on standard error (the restart loses nothing that was acknowledged). */
void *mem_alloc(size_t n);                  /* not initialised; n = 0 gives a valid pointer */
void *mem_zero(size_t n);                   /* all octets 0 */
void *mem_array(size_t count, size_t each); /* zeroed; count * each is checked for overflow */
void *mem_resize(void *p, size_t n);
char *mem_dup(const void *p, size_t n); /* n octets and a NUL after them */
char *mem_str(const char *s);           /* NULL stays NULL */
void mem_free(void *p);                 /* NULL is fine */

/* Overwrites and frees a secret of n octets; NULL is fine. */
void mem_free_secret(void *p, size_t n);

/* Gives freed pages back to the system, which free() does not where something above them is still in use. Takes
 * milliseconds: after much has been freed. */
void mem_trim(void);

#endif
