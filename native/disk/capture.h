/*
 * A capture's state, for capture.c (what its threads do) and disk.c (what it is asked).
 */
#ifndef TSR_CAPTURE_H
#define TSR_CAPTURE_H

#include "../common/common.h"
#include "copy.h"
#include "disk.h"
#include "mirror.h"
#include "nbd.h"
#include "pace.h"
#include "ring.h"

/* Epochs that are sealed and not read; far more than the scheduler lets be under way. */
#define TSR_CAPTURE_SEALS_MAX 64
/* Reads that wait; the kernel has at most 128 requests of a device under way. */
#define TSR_CAPTURE_READS_MAX 256

/* Of sealed_last: no epoch is. */
#define TSR_CAPTURE_NOT_SEALED UINT64_MAX

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
    struct tsr_pace *pace;              /* what the guard sees */

    /* Of what is behind the ring's head, which moves under both locks; taken before `lock`. */
    pthread_mutex_t append_lock;
    pthread_mutex_t lock;               /* of all up to `stats` */
    pthread_cond_t room;                /* the ring was read, or it is over */
    pthread_cond_t reads_come;
    struct tsr_ring ring;
    uint64_t reserved;                  /* of its room: for what is about to be appended */
    struct tsr_capture_seal seals[TSR_CAPTURE_SEALS_MAX];
    unsigned first_seal, seal_count;
    uint64_t sealed_last;               /* the newest sealed epoch; UINT64_MAX: none */
    bool is_reading;                    /* somebody is in tsr_capture_read */
    bool told_filling, told_full;       /* of the open epoch */
    bool wants_more;                    /* a read has found nothing */
    bool closing, over;                 /* told to end; the server has ended */
    struct tsr_nbd_request reads[TSR_CAPTURE_READS_MAX];
    unsigned first_read, read_count;
    struct tsr_capture_stats stats;
    struct tsr_copy copy;               /* for its locks see there */

    pthread_mutex_t send_lock;          /* both threads answer */
    uint8_t *read_buffer;               /* the reader's, TSR_NBD_LENGTH_MAX */
    pthread_t server, reader;
    unsigned threads;                   /* started, of these */

    pthread_mutex_t swap_lock;          /* of the two below */
    struct tsr_dm dm;
    struct tsr_mirror mirror;
    struct tsr_dm reader_dm;
};

/* A write of the guest's that waits for room. Zeroed: it has not begun. */
struct tsr_wait {
    uint64_t began_ns, moved_ns, tail;
};
/* It is answered before the kernel gives its leg up (guard.c, TIMEOUT_S). */
#define TSR_WAIT_MOST_MS 20000u
/* Whether it waits on: as long as somebody reads within IDLE_NS, and not too long in all. TAIL:
 * of the ring, now. */
bool tsr_wait_goes_on(struct tsr_wait *wait, uint64_t tail, uint64_t now_ns, uint64_t idle_ns);

/* Starts a thread that hears of no signal; -errno with a sentence. */
int tsr_capture_thread(pthread_t *thread, void *(*run)(void *), void *argument);
/*
 * The SIZE bytes behind the ring's head are part of the open epoch now, and what else of the
 * RESERVED ones is room again; under append_lock. RECORD: the guest's; NULL: of the first copy.
 */
void tsr_capture_publish(struct tsr_capture *capture, uint64_t size, uint64_t reserved,
                         const struct tsr_disk_record *record);
/* The first copy's epoch is open: it is handed out while it grows. Under lock. */
bool tsr_capture_is_first(const struct tsr_capture *capture);

/* Starts both threads; -errno with a sentence. */
int tsr_capture_start(struct tsr_capture *capture);
/* Ends them, and waits for that. */
void tsr_capture_stop(struct tsr_capture *capture);
/* Takes the mirror away, trying again while somebody else changes the table. URGENT: see
 * tsr_mirror_swap. */
int tsr_capture_swap(struct tsr_capture *capture, bool urgent);

#endif
