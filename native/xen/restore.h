/*
 * The restore session: what restore.c (its thread), feed.c (the feeder) and
 * restore_api.c (the exported functions) share.
 */
#ifndef TSR_RESTORE_H
#define TSR_RESTORE_H

#include "internal.h"
#include "stream.h"

struct tsr_restore {
    struct tsr_object object;
    struct tsr_events *events;
    int pipe_in, pipe_out;              /* libxl reads, the feeder writes */
    int wake;                           /* eventfd for the session's thread */
    int wake_feeder;
    pthread_t thread, feeder;
    struct tsr_chunks chunks;
    uint64_t limit;                     /* bytes that may wait */
    char *config_json;
    char name[512];                     /* of the copy; 128 characters, with its end */

    /* The session's thread only. */
    struct tsr_ctx *ctx;
    struct tsr_loop loop;
    struct tsr_ao ao;
    void *config, *params;
    uint32_t domid;                     /* libxl's out-parameter */
    bool started, leaked, failed;
    bool aborted;
    uint64_t aborted_ns;

    /* Shared; under lock. */
    pthread_mutex_t lock;
    struct tsr_parser parser;           /* of what was fed */
    uint64_t applied;                   /* beyond epoch 0: the feeder's end */
    bool finish_wanted, abort_wanted;
    bool over;                          /* libxl is done: the feeder stops */
    bool ended;
    uint64_t written;                   /* stream offset in libxl's pipe */
};

void *tsr_restore_main(void *restore);

/* feed.c: writes what was fed into libxl's pipe, on a thread of its own. */
void *tsr_feeder_main(void *restore);
void tsr_restore_wake(int eventfd);

#endif
