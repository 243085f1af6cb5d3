/*
 * What a block of a disk is known by on the other host: see digest.c for which hash, and why.
 */
#ifndef TSR_DIGEST_H
#define TSR_DIGEST_H

#include <stddef.h>
#include <stdint.h>

/* Disks are compared in blocks of so many bytes; the last one of a disk may be shorter. */
#define TSR_DIGEST_BLOCK (64u << 10)
#define TSR_DIGEST_SIZE 32

/* Of SIZE bytes, whole sectors of 512 and at least one. */
void tsr_digest(const uint8_t *data, size_t size, uint8_t out[TSR_DIGEST_SIZE]);
/* The same without the processor's vectors: for tests. */
void tsr_digest_plain(const uint8_t *data, size_t size, uint8_t out[TSR_DIGEST_SIZE]);

static inline uint64_t tsr_digest_blocks(uint64_t disk_bytes)
{
    return (disk_bytes + TSR_DIGEST_BLOCK - 1) / TSR_DIGEST_BLOCK;
}

#endif
