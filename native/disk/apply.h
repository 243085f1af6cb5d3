/*
 * A guest's disk on the backup: what its primary captured (struct tsr_disk_record of
 * disk.h), checked as it comes, and written to a disk here once it counts. See
 * common/tsremus.h for the rules of this interface.
 *
 * Bytes are fed in their order. Those of epoch 0, the first copy, are written as they
 * come; a later epoch waits until it was committed. A thread writes, past the page cache;
 * nothing is durable before it was settled.
 */
#ifndef TSR_APPLY_H
#define TSR_APPLY_H

#include "../common/tsremus.h"

#define TSR_APPLY_PATH_MAX 256
/* Epochs that are here and not committed, at most. */
#define TSR_APPLY_EPOCHS_MAX 128

enum tsr_apply_flag {
    TSR_APPLY_ANY_FILE = 1,     /* for tests: a plain file will do, too */
};

struct tsr_apply_settings {     /* 296 bytes */
    uint64_t size;              /* of the guest's disk, bytes; whole sectors */
    uint64_t limit;             /* so many bytes may be here, applied or not: -ENOBUFS */
    uint64_t room;              /* ROOM is told when no more than so many wait .. */
    uint32_t sector;            /* 512 or 4096 */
    uint32_t flags;             /* enum tsr_apply_flag */
    uint64_t reserved;          /* 0 */
    char path[TSR_APPLY_PATH_MAX];      /* text that ends with a NUL */
};

/* The disk as it was found. */
struct tsr_apply_found {        /* 24 bytes */
    uint64_t size;
    uint32_t sector;
    uint32_t blank;             /* 1: its first and its last MiB are zeroes */
    uint32_t major, minor;      /* 0, 0: no block device */
};

struct tsr_apply_stats {        /* 64 bytes */
    uint64_t waiting;           /* bytes that count and are not written yet */
    uint64_t kept;              /* bytes that do not count yet */
    uint64_t writes, written;   /* to the disk, and their bytes; clears not counted */
    uint64_t zeroed, discarded; /* bytes; of the first copy's zeroes what was not zero before */
    uint64_t settled;           /* how often */
    int64_t failed;             /* 0, or -errno: nothing more is written */
};

enum tsr_apply_event_kind {
    /* No more than `room` bytes wait, and more did when somebody fed. b = bytes. */
    TSR_EV_APPLY_ROOM = 30,
    /* All that was committed when it was asked for is written and durable. */
    TSR_EV_APPLY_SETTLED = 31,
    /* TSR_EV_FAILED: a = -errno, the disk failed; once. TSR_EV_ENDED: it is closed. */
};

/*
 * Opens the disk for itself alone, and looks at it; nothing of it is changed before bytes
 * are fed. -EBUSY: it is mounted, or somebody else has it. -ENOTBLK: it is no block
 * device. *EVENT_OUT: the pipe of events, the caller's. BLOCKING.
 */
TSR_API int tsr_apply_open(const struct tsr_apply_settings *settings,
                           struct tsr_apply_found *found_out, int32_t *event_out);

/*
 * Takes a copy of SIZE bytes that follow those before. Returns 1 when more than `room`
 * bytes wait now, so that ROOM will come, else 0. -EPROTO: no primary sends that, and
 * nothing more is taken. -ENOBUFS: the limit. -ESHUTDOWN: the disk failed, or all was
 * rolled back, and nothing is kept.
 */
TSR_API int tsr_apply_feed(int handle, const uint8_t *data, size_t size);

/* All of EPOCH was fed; 0, 1, 2, .. -EPROTO: it ends within a record, or out of order. */
TSR_API int tsr_apply_end(int handle, uint64_t epoch);

/* EPOCH counts, and all before it: they are written from now on. */
TSR_API int tsr_apply_commit(int handle, uint64_t epoch);

/* SETTLED, or FAILED, will come. */
TSR_API int tsr_apply_settle(int handle);

/* Forgets what was not committed; nothing more is taken. */
TSR_API int tsr_apply_roll_back(int handle);

TSR_API int tsr_apply_look(int handle, struct tsr_apply_stats *out);

/* Ends the thread, after the write that it is at, and closes the disk. BLOCKING. */
TSR_API int tsr_apply_close(int handle);

#endif
