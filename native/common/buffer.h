/*
 * The output buffer as the save loop sees it. The loop calls barrier at every
 * CHECKPOINT record, while the guest is certainly suspended and before libxl is
 * allowed to resume it. A barrier that fails fails the session: the guest goes on,
 * but the epoch is never announced, so nothing of it can be released.
 */
#ifndef TSR_BUFFER_H
#define TSR_BUFFER_H

#include <stdint.h>

/* What a barrier found. */
struct tsr_barrier {
    uint32_t merged;                    /* interfaces whose seal has to wait */
    uint64_t packets, bytes;            /* held on all interfaces */
};

struct tsr_buffer_ops {
    /* 0 or -errno; microseconds, since the guest waits. */
    int (*barrier)(void *state, uint64_t epoch, struct tsr_barrier *found_out);
    /* A descriptor that is readable once something was sent since the last barrier;
     * -1: nobody tells. */
    int (*sent_fd)(void *state);
    void (*close)(void *state);
};

/* Buffers nothing; counts the barriers. */
extern const struct tsr_buffer_ops tsr_buffer_null;
struct tsr_buffer_null_state {
    uint64_t barriers;
};

#endif
