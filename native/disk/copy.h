/*
 * The first copy of a disk: what it holds already comes into epoch 0 while the guest writes
 * (internal interface, see copy.c).
 */
#ifndef TSR_COPY_H
#define TSR_COPY_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "digest.h"

#define TSR_COPY_WHY_MAX 256
/* Digests of the other disk that are asked for at once, and that may be here: of 64 MiB. */
#define TSR_COPY_ASK 256u
#define TSR_COPY_DIGESTS (4u * TSR_COPY_ASK)

struct tsr_capture;
struct tsr_capture_settings;
struct tsr_disk_record;

struct tsr_copy {
    uint64_t size;                      /* of the disk; 0: no first copy is wanted */
    uint64_t grain, grains;             /* bytes of one, a power of two; how many */

    /* Under the capture's append_lock: */
    uint8_t *covered;                   /* a bit for each grain: it is in the stream */
    uint64_t covered_bytes;
    uint8_t *edge;                      /* the server's, of one grain */
    bool ended;                         /* all of it is in the stream */

    /* Under the capture's lock: */
    pthread_cond_t turn;                /* the copy may have its turn */
    bool waits;                         /* for its turn */
    uint64_t captured_since;            /* bytes of the guest's since its last turn */
    uint64_t at;                        /* all grains before this one are covered */
    uint64_t edges;                     /* bytes that the server had to read */
    uint64_t equal;                     /* bytes that the other disk has */
    bool compares;                      /* with the other disk */
    /* Blocks of it: below `given` digests are here, below `asked` they were asked for. */
    uint64_t given, asked;
    uint8_t (*digests)[TSR_DIGEST_SIZE];        /* of block n at n modulo TSR_COPY_DIGESTS */
    int failed;                         /* 0, or -errno: the disk cannot be read */
    char why[TSR_COPY_WHY_MAX];

    uint8_t *block;                     /* the copying thread's */
    uint64_t rate, paced_ns;            /* bytes a second; when the next may be read */
    pthread_t thread;
    bool started;
};

/* Sets the memory aside; -errno with a sentence. */
int tsr_copy_open(struct tsr_copy *copy, const struct tsr_capture_settings *settings);
void tsr_copy_close(struct tsr_copy *copy);

/* Begins the copy: a thread of its own, ended by tsr_copy_join once the capture is over. */
int tsr_copy_start(struct tsr_capture *capture);
void tsr_copy_join(struct tsr_copy *copy);

/* As tsr_capture_digests. */
int tsr_copy_digests(struct tsr_capture *capture, uint64_t first, uint32_t count,
                     const uint8_t *digests);

/* The most that tsr_copy_before puts, bytes. */
uint64_t tsr_copy_before_max(const struct tsr_copy *copy);
/*
 * To be called before RECORD, which the guest's disk has not answered yet, is put into the
 * stream; under append_lock. Puts what else of its first and its last grain the stream lacks
 * behind the head, and counts RECORD as being there. How many bytes were put, or -errno.
 */
int tsr_copy_before(struct tsr_capture *capture, const struct tsr_disk_record *record);

/* Whether the guest's next write has to wait for the copy's turn; under lock. */
bool tsr_copy_has_turn(const struct tsr_copy *copy);

#endif
