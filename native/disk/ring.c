#include "ring.h"

#include <string.h>

static int pieces_of(const struct tsr_ring *ring, uint64_t from, uint64_t n,
                     struct iovec pieces[2])
{
    uint64_t at = from % ring->size, first = ring->size - at;

    if (first > n)
        first = n;
    pieces[0] = (struct iovec){ ring->bytes + at, first };
    pieces[1] = (struct iovec){ ring->bytes, n - first };
    return n > first ? 2 : 1;
}

int tsr_ring_ahead(const struct tsr_ring *ring, uint64_t skip, uint64_t n,
                   struct iovec pieces[2])
{
    return pieces_of(ring, ring->head + skip, n, pieces);
}

void tsr_ring_put(struct tsr_ring *ring, uint64_t skip, const void *data, uint64_t n)
{
    struct iovec pieces[2];

    pieces_of(ring, ring->head + skip, n, pieces);
    memcpy(pieces[0].iov_base, data, pieces[0].iov_len);
    memcpy(pieces[1].iov_base, (const uint8_t *)data + pieces[0].iov_len,
           pieces[1].iov_len);
}

void tsr_ring_get(const struct tsr_ring *ring, void *out, uint64_t n)
{
    struct iovec pieces[2];

    pieces_of(ring, ring->tail, n, pieces);
    memcpy(out, pieces[0].iov_base, pieces[0].iov_len);
    memcpy((uint8_t *)out + pieces[0].iov_len, pieces[1].iov_base, pieces[1].iov_len);
}
