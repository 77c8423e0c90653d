#include "facteur/base/rand.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

void rand_bytes(void *p, size_t n)
{
    unsigned char *to = p;

    while (n > 0) {
        ssize_t got = getrandom(to, n, 0);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            static const char words[] = "facteur: the kernel gives no randomness; ending\n";

            (void)!write(STDERR_FILENO, words, sizeof words - 1);
            abort();
        }
        to += got;
        n -= (size_t)got;
    }
}

uint64_t rand_below(uint64_t bound)
{
    uint64_t reject = (UINT64_MAX - bound + 1) % bound; /* 2^64 mod bound: values under it would be drawn too often */
    uint64_t n;

    do
        rand_bytes(&n, sizeof n);
    while (n < reject);
    return n % bound;
}
