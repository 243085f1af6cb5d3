/*
 * What the disk guard sees of a capture without asking it: memory that both have (memfd).
 */
#ifndef TSR_PACE_H
#define TSR_PACE_H

#include <stdatomic.h>
#include <stdint.h>

struct tsr_pace {
    /* When the capture last said that a write of the guest's waits for room (CLOCK_MONOTONIC,
     * ns): it lives, and answers as soon as somebody reads. It says so again and again. */
    atomic_ullong paced_ns;
};
#define TSR_PACE_SIZE 4096
#define TSR_PACE_STEP_MS 100
/* One that was said longer ago counts no more: who said it may be stopped. */
#define TSR_PACE_FRESH_MS 500

#endif
