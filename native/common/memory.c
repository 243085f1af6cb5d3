/*
 * Big pieces of memory.
 */
#include "common.h"

#include <stdlib.h>
#include <sys/mman.h>

#ifdef TSR_MAP_ON_HEAP
/* Of the tests: AddressSanitizer watches the ends of what comes from the heap. */
void *tsr_map(size_t size)
{
    return calloc(1, size);
}

void tsr_unmap(void *memory, size_t size)
{
    (void)size;
    free(memory);
}
#else
void *tsr_map(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (memory == MAP_FAILED)
        return NULL;
    /* A child would copy the page tables of all that: 65 ms per GiB. */
    madvise(memory, size, MADV_DONTFORK);
    return memory;
}

void tsr_unmap(void *memory, size_t size)
{
    if (memory)
        munmap(memory, size);
}
#endif
