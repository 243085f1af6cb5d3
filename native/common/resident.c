/*
 * Keeps the code of this process in memory: what is mapped from files to be executed
 * (node, libxenlight, ourselves) is thrown away when memory is short, and read again
 * from a disk that may be slow just then. Not all of the memory, by mlockall(2): V8
 * gives pages of its heap back with madvise(2), which the kernel refuses where they are
 * locked, and V8 takes that for its own bug. Its heap is kept out of swap by the unit.
 */
#include "common.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

/* A line of /proc/self/maps (proc(5)): code of a file? */
static bool is_code(const char *line, uintptr_t *from_out, uintptr_t *to_out)
{
    char mode[5];
    int path = 0;

    if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s %*s %*s %*s %n", from_out, to_out,
               mode, &path) < 3 || path == 0)
        return false;
    return mode[2] == 'x' && line[path] == '/';
}

int tsr_lock_code(uint64_t *bytes_out)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[4096 + 256];              /* PATH_MAX, and what stands before it */
    int error = 0;

    *bytes_out = 0;
    if (!maps)
        return tsr_fail(-errno, "/proc/self/maps: %s", strerror(errno));
    while (error == 0 && fgets(line, sizeof(line), maps)) {
        uintptr_t from, to;

        if (!is_code(line, &from, &to))
            continue;
        if (mlock((const void *)from, to - from))
            error = errno;
        else
            *bytes_out += to - from;
    }
    fclose(maps);
    if (error != 0)
        return tsr_fail(-error, "mlock: %s", strerror(error));
    return 0;
}
