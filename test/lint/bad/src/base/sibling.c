#include "other_priv.h"
