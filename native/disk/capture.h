/*
 * A capture's state, for capture.c (what its threads do) and disk.c (what it is asked).
 */
#ifndef TSR_CAPTURE_H
#define TSR_CAPTURE_H

#include "../common/common.h"
#include "disk.h"
#include "mirror.h"
#include "nbd.h"
#include "ring.h"

/* Epochs that are sealed and not read; far more than the scheduler lets be under way. */
#define TSR_CAPTURE_SEALS_MAX 64
/* Reads that wait; the kernel has at most 128 requests of a device under way. */
#define TSR_CAPTURE_READS_MAX 256

struct tsr_capture_seal {
    uint64_t epoch;
    uint64_t end;                       /* of it, as the ring counts */
};

struct tsr_capture {
    struct tsr_object object;
    struct tsr_capture_settings settings;
    struct tsr_events *events;
    int sock;                           /* the server's end */
    int plain;                          /* the disk, for reads; O_DIRECT */

    pthread_mutex_t lock;               /* of all up to `stats` */
    pthread_cond_t room;                /* the ring was read, or it is over */
    pthread_cond_t reads_come;
    struct tsr_ring ring;
    struct tsr_capture_seal seals[TSR_CAPTURE_SEALS_MAX];
    unsigned first_seal, seal_count;
    uint64_t sealed_last;               /* the newest sealed epoch; UINT64_MAX: none */
    bool is_reading;                    /* somebody is in tsr_capture_read */
    bool told_filling, told_full;       /* of the open epoch */
    bool closing, over;                 /* told to end; the server has ended */
    struct tsr_nbd_request reads[TSR_CAPTURE_READS_MAX];
    unsigned first_read, read_count;
    struct tsr_capture_stats stats;

    pthread_mutex_t send_lock;          /* both threads answer */
    uint8_t *read_buffer;               /* the reader's, TSR_NBD_LENGTH_MAX */
    pthread_t server, reader;
    unsigned threads;                   /* started, of these */

    pthread_mutex_t swap_lock;          /* of the two below */
    struct tsr_dm dm;
    struct tsr_mirror mirror;
    struct tsr_dm reader_dm;
};

/* Starts both threads; -errno with a sentence. */
int tsr_capture_start(struct tsr_capture *capture);
/* Ends them, and waits for that. */
void tsr_capture_stop(struct tsr_capture *capture);
/* Takes the mirror away, trying again while somebody else changes the table. URGENT: see
 * tsr_mirror_swap. */
int tsr_capture_swap(struct tsr_capture *capture, bool urgent);

#endif
