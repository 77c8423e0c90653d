#include "facteur/io/loop.h"
