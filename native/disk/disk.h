/*
 * A guest's disk as a part of every epoch, on the primary: the capture of what the guest
 * writes. See common/tsremus.h for the rules of this interface, mirror.h for what is put
 * under the guest's volume, capture.c for what is captured when.
 *
 * The volume gets a mirror whose second leg is an NBD device; this is that device's
 * server. A write is in the open epoch's buffer before it is answered, so what has
 * completed for the guest is captured. Beside it runs the disk guard (guard.c), a program
 * of its own which holds the device and takes the mirror away when anything of it fails;
 * if the guard fails, the capture does.
 *
 * A capture is a barrier: give its handle to tsr_save_start.
 */
#ifndef TSR_DISK_H
#define TSR_DISK_H

#include "../common/tsremus.h"

/*
 * What an epoch of a disk consists of: the guest's writes in the order in which they came,
 * each a header and, for a plain write, LENGTH bytes of data; nothing between them.
 * Little-endian. Writes that were under way at the same time have no order of their own.
 */
struct tsr_disk_record {        /* 16 bytes */
    uint64_t offset;            /* bytes from the start of the disk; whole sectors of 512 */
    uint32_t length;            /* bytes; whole sectors */
    uint32_t flags;             /* enum tsr_disk_flag */
};
#define TSR_DISK_RECORD_SIZE 16

enum tsr_disk_flag {
    TSR_DISK_FUA = 1,           /* of a write: durable before it was to be answered */
    /* Records without data: */
    TSR_DISK_FLUSH = 2,         /* what was answered before is to be durable; no range */
    TSR_DISK_TRIM = 4,          /* what the range holds is of no interest any more */
    TSR_DISK_ZEROES = 8,        /* the range reads as zeroes */
};

#define TSR_CAPTURE_NAME_MAX 128
#define TSR_CAPTURE_PATH_MAX 256

enum tsr_first_copy {
    TSR_COPY_NONE = 0,
    TSR_COPY_ALL = 1,           /* epoch 0 is all that the disk holds, see tsr_capture_copy */
    TSR_COPY_COMPARED = 2,      /* .. but for blocks that the other disk has, too: it is asked */
};

struct tsr_capture_settings {   /* 1072 bytes; texts end with a NUL */
    uint64_t size;              /* of the disk, bytes */
    uint64_t room;              /* for what is not handed out yet, bytes: the ceiling */
    uint64_t ask;               /* so many waiting bytes ask for a checkpoint */
    uint64_t copy_rate;         /* the first copy reads no more than so many bytes a second; 0:
                                 * as fast as it goes */
    uint32_t wait_ms;           /* a write waits for room, and nobody reads for so long: then
                                 * the leg is given up */
    uint32_t leg_major, leg_minor;      /* the NBD device */
    uint32_t first_copy;        /* enum tsr_first_copy */
    char name[TSR_CAPTURE_NAME_MAX];    /* the volume, as the device mapper calls it */
    char under[TSR_CAPTURE_NAME_MAX];   /* the device over its plain table */
    char plain[TSR_CAPTURE_PATH_MAX];   /* the path of `under`, for reads */
    char lock[TSR_CAPTURE_PATH_MAX];    /* the lock file, which the guard has, too */
    char vg_lock[TSR_CAPTURE_PATH_MAX]; /* LVM's of the volume group: V_NAME in its
                                         * locking_dir; "": the volume is not LVM's */
};

/* A piece of an epoch. */
struct tsr_capture_piece {      /* 16 bytes */
    uint64_t epoch;
    uint64_t left;              /* bytes of it that are still to come; 0: it is whole;
                                 * UINT64_MAX: it is open, and grows */
};

struct tsr_capture_stats {      /* 168 bytes; counts since the capture was opened */
    uint64_t writes, written;   /* requests with data, and their bytes */
    uint64_t fuas, flushes, trims, zeroes;
    uint64_t reads, reads_held; /* answered from the disk; failed there, and held */
    uint64_t probes;            /* reads that no mirror sent: scanners, see capture.c */
    uint64_t open, sealed;      /* bytes that wait now */
    uint64_t most;              /* .. and the most that ever waited */
    uint64_t paced, paced_ns;   /* writes that waited for room, and how long in all */
    int64_t lost;               /* 0, or -errno: the leg is given up */
    uint64_t locked;            /* 1: the room is locked in memory */
    uint64_t to_copy, copied;   /* bytes of the first copy: in all, and done; 0: there is none */
    uint64_t copy_ended;        /* 1: all of it is in epoch 0 */
    uint64_t edges;             /* bytes put before writes of no whole blocks, see copy.c */
    uint64_t equal;             /* bytes that the first copy left out: the other disk has them */
};

enum tsr_disk_event_kind {
    /* More than `ask` bytes wait; once for each epoch. b = bytes. */
    TSR_EV_DISK_FILLING = 20,
    /* There is no room, and the guest's writes wait; once for each epoch. b = bytes. */
    TSR_EV_DISK_FULL = 21,
    /* There is something to read, after a read that found nothing: an epoch was sealed, or
     * epoch 0 grows. */
    TSR_EV_DISK_MORE = 22,
    /* All of the first copy is in epoch 0, which can be sealed. b = bytes of the disk. */
    TSR_EV_DISK_COPIED = 23,
    /* The first copy wants the digests of c blocks from block b on, of the other disk
     * (digest.h): tsr_capture_digests. In order; a few are asked for ahead. */
    TSR_EV_DISK_COMPARE = 24,
    /* TSR_EV_FAILED: the leg is given up, and no later epoch can be sealed. TSR_EV_ENDED:
     * a = what taking the mirror away came to, as tsr_mirror_swap has it: 1 done here, 0
     * it was done, or -errno with a text: it has to be tried again. */
};

/*
 * Opens a capture. *LEG_OUT: the kernel's end, for the guard; the caller's, who closes
 * it when the guard has it. *PACE_OUT: likewise, of what the guard sees of the capture (pace.h).
 * *EVENT_OUT: the pipe of events, the caller's. The device `under` must be there, and the
 * mirror not yet. BLOCKING: all of its room is locked in memory.
 */
TSR_API int tsr_capture_open(const struct tsr_capture_settings *settings, int32_t *leg_out,
                             int32_t *pace_out, int32_t *event_out);

/*
 * Puts the mirror under the volume, now that the guard has connected its NBD device.
 * BLOCKING: for writes under way. -EBUSY, -ESTALE: see tsr_mirror_insert; -ESHUTDOWN: the
 * leg is over.
 */
TSR_API int tsr_capture_insert(int handle);

/*
 * Begins the first copy, once, after the mirror was put in, where the settings ask for one: all
 * that the disk holds comes into epoch 0, which can be read while it is open. A block of it
 * enters only if nothing of it was captured before (copy.c). COPIED tells when it is all there;
 * a block that cannot be read is a failure of the leg.
 */
TSR_API int tsr_capture_copy(int handle);

/*
 * Answers the oldest COMPARE that has no answer: the digests of its COUNT blocks from FIRST on.
 * COUNT 0: from FIRST on nothing is compared, all of it is copied. -EPROTO: that was not asked.
 */
TSR_API int tsr_capture_digests(int handle, uint64_t first, uint32_t count,
                                const uint8_t *digests);

/* Ends EPOCH here: what the guest wrote since the last one belongs to it. -EIO: the leg
 * is lost; -ENOBUFS: too many epochs are sealed and not read; -EBUSY: the first copy has
 * not ended. */
TSR_API int tsr_capture_seal(int handle, uint64_t epoch);

/*
 * Copies the next bytes of the oldest sealed epoch, at most SIZE; they are forgotten here.
 * With a first copy epoch 0 is handed out before it is sealed, too. Returns how many; 0 with
 * left = 0: nothing more is in the epoch. -EAGAIN: nothing is there.
 * Any thread, one at a time (-EBUSY).
 */
TSR_API int tsr_capture_read(int handle, uint8_t *out, size_t size,
                             struct tsr_capture_piece *piece);

/*
 * Whether the mirror is live exactly as it was put in, with both legs whole: to be asked
 * after a seal, before its epoch may count as whole. -ESTALE: somebody took it away;
 * -EIO: a leg has failed; -EBUSY: its table is being changed, ask again.
 */
TSR_API int tsr_capture_check(int handle);

TSR_API int tsr_capture_look(int handle, struct tsr_capture_stats *out);

/* BLOCKING. Takes the mirror away and ends the server; what is sealed is forgotten. The
 * result of tsr_mirror_swap; the capture is closed in any case. */
TSR_API int tsr_capture_close(int handle);

#endif
