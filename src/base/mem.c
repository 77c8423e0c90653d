#include "facteur/base/mem.h"

#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Says why and ends; nothing here allocates. */
static _Noreturn void out_of_memory(void)
{
    static const char words[] = "facteur: out of memory; ending, a restart loses nothing that was acknowledged\n";

    (void)!write(STDERR_FILENO, words, sizeof words - 1);
    abort();
}

void *mem_alloc(size_t n)
{
    void *p = malloc(n > 0 ? n : 1);

    if (p == NULL)
        out_of_memory();
    return p;
}

void *mem_zero(size_t n)
{
    return mem_array(1, n);
}

void *mem_array(size_t count, size_t each)
{
    void *p;

    if (count == 0 || each == 0)
        count = each = 1;
    p = calloc(count, each); /* checks the product itself */
    if (p == NULL)
        out_of_memory();
    return p;
}

void *mem_resize(void *p, size_t n)
{
    void *q = realloc(p, n > 0 ? n : 1);

    if (q == NULL)
        out_of_memory();
    return q;
}

char *mem_dup(const void *p, size_t n)
{
    char *copy;

    if (n == SIZE_MAX)
        out_of_memory();
    copy = mem_alloc(n + 1);
    if (n > 0)
        memcpy(copy, p, n);
    copy[n] = '\0';
    return copy;
}

char *mem_str(const char *s)
{
    return s != NULL ? mem_dup(s, strlen(s)) : NULL;
}

void mem_free(void *p)
{
    free(p);
}

void mem_free_secret(void *p, size_t n)
{
    if (p == NULL)
        return;
    explicit_bzero(p, n);
    free(p);
}

void mem_trim(void)
{
#ifdef __GLIBC__
    (void)malloc_trim(0);
#endif
}
