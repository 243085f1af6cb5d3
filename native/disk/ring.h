/*
 * The bytes of the epochs that are not handed out yet, in one piece of memory that is
 * used in a circle. One thread appends and one takes; both hold a lock
 * of theirs around what changes head and tail.
 */
#ifndef TSR_RING_H
#define TSR_RING_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct tsr_ring {
    uint8_t *bytes;
    uint64_t size;
    uint64_t head, tail;                /* counted from the beginning: in, out */
};

/* The room for N bytes behind the head, one or two pieces; how many pieces. */
int tsr_ring_ahead(const struct tsr_ring *ring, uint64_t skip, uint64_t n,
                   struct iovec pieces[2]);
/* Copies N bytes to behind the head and SKIP more. */
void tsr_ring_put(struct tsr_ring *ring, uint64_t skip, const void *data, uint64_t n);
/* Copies N bytes from the tail on. */
void tsr_ring_get(const struct tsr_ring *ring, void *out, uint64_t n);

static inline uint64_t tsr_ring_used(const struct tsr_ring *ring)
{
    return ring->head - ring->tail;
}

static inline uint64_t tsr_ring_room(const struct tsr_ring *ring)
{
    return ring->size - tsr_ring_used(ring);
}

#endif
