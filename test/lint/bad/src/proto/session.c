#include "facteur/base/absent.h"
#include <stdio.h>
#include <uv.h>
