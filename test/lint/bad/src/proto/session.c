#include <uv.h>
#include "facteur/base/absent.h"
#include <stdio.h>
