/*
 * Makes a libtsremus for benchmarks of the one that is released: its device mapper is the tests'
 * model, with one volume of BENCH_DISK_BYTES bytes. All else is as it ships.
 */
#include "../test/dm_model.h"

#include <stdlib.h>

static void __attribute__((constructor)) start(void)
{
    const char *bytes = getenv("BENCH_DISK_BYTES");

    if (bytes)
        dm_model_sectors = strtoull(bytes, NULL, 10) / 512;
    dm_model_start(false);
}
