/*
 * Which build this is.
 */
#include "tsremus.h"

int tsr_abi_version(void)
{
    return TSR_ABI_VERSION;
}
