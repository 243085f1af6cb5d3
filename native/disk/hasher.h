/*
 * The digests of a disk's blocks, for whoever compares it with its copy on the other host
 * (digest.h). See common/tsremus.h for the rules of this interface.
 *
 * A thread of its own reads the disk, past the page cache, and writes nothing.
 */
#ifndef TSR_HASHER_H
#define TSR_HASHER_H

#include "../common/tsremus.h"

#define TSR_HASHER_PATH_MAX 256
/* Blocks that may be asked for at once. */
#define TSR_HASHER_BLOCKS_MAX 256

enum tsr_hasher_flag {
    TSR_HASHER_ALONE = 1,       /* nobody else may have it mounted, or hold it: -EBUSY */
    TSR_HASHER_ANY_FILE = 2,    /* for tests: a plain file will do, too */
};

struct tsr_hasher_settings {    /* 272 bytes */
    uint64_t size;              /* of the disk, bytes; whole sectors */
    uint32_t flags;             /* enum tsr_hasher_flag */
    uint32_t reserved;          /* 0 */
    char path[TSR_HASHER_PATH_MAX];     /* text that ends with a NUL */
};

enum tsr_hasher_event_kind {
    /* The digests that were asked for can be taken. b = the first block, c = how many. */
    TSR_EV_HASHED = 34,
    /* TSR_EV_FAILED: a = -errno, the disk cannot be read; that question has no answer.
     * TSR_EV_ENDED: it is closed. */
};

/* BLOCKING. -ENOTBLK: it is no block device. -EINVAL: it has another size. *EVENT_OUT: the pipe
 * of events, the caller's. */
TSR_API int tsr_hasher_open(const struct tsr_hasher_settings *settings, int32_t *event_out);

/* Asks for those of COUNT blocks from FIRST on; HASHED, or FAILED, will come. -EBUSY: the
 * question before has no answer yet, or that was not taken. */
TSR_API int tsr_hasher_ask(int handle, uint64_t first, uint32_t count);

/* Copies what was asked for, TSR_DIGEST_SIZE bytes of each block. How many bytes; -EAGAIN: they
 * are not here yet. */
TSR_API int tsr_hasher_take(int handle, uint8_t *out, size_t size);

/* BLOCKING: for the read that is under way. */
TSR_API int tsr_hasher_close(int handle);

#endif
