/*
 * What must know where an epoch ends: the output buffer, a disk. A save is given the
 * handles of such objects and sets all of them, in that order, at each CHECKPOINT
 * record: while the guest is certainly suspended and before libxl is allowed to
 * resume it. A barrier that fails fails the session: the guest goes on, but the
 * epoch is never announced, so nothing of it can be released.
 */
#ifndef TSR_BARRIER_H
#define TSR_BARRIER_H

#include <stdint.h>

struct tsr_barrier_ops {
    /*
     * EPOCH ends here. 0 or -errno with a sentence (tsr_fail); microseconds, since
     * the guest waits. *MERGED_OUT: how many of its parts (interfaces) are left
     * alone, because an older epoch is in the way: they go with a later one.
     */
    int (*set)(void *object, uint64_t epoch, uint32_t *merged_out);
    /* A descriptor that is readable once the guest has sent something since the last
     * barrier; -1: this one does not tell. */
    int (*sent_fd)(void *object);
};

#endif
