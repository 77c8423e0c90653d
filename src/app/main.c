#include "facteur/app/cli.h"

#include <sodium.h>
#include <sysexits.h>

int main(int argc, char **argv)
{
    if (sodium_init() < 0) {
        fputs("facteur: libsodium cannot start\n", stderr);
        return EX_SOFTWARE;
    }
    return cli_main(argc, argv);
}
