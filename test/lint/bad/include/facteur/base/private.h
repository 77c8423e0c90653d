#include "up_priv.h"
#include <string.h>
