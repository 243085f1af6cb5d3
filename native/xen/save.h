/*
 * The save session: what save.c (its thread), save_drain.c (the stream) and
 * save_api.c (the exported functions) share.
 */
#ifndef TSR_SAVE_H
#define TSR_SAVE_H

#include <sys/time.h>

#include "internal.h"
#include "stream.h"

/* Complete epochs that may wait to be read. */
#define TSR_ENDS_MAX 64

enum tsr_drained {
    TSR_STREAM_EMPTY,                     /* libxl may be served */
    TSR_STREAM_MORE,                      /* there may be more in it */
    TSR_STREAM_STALLED,                   /* the limit is reached */
};

struct tsr_save {
    struct tsr_object object;
    uint32_t domid;
    uint64_t limit;
    struct tsr_object *barriers[TSR_BARRIERS_MAX];  /* in the order of setting */
    unsigned barrier_count;
    struct tsr_events *events;
    int stream_in, stream_out;              /* the stream; we read, libxl writes */
    int wake;                           /* eventfd: look at the commands */
    pthread_t thread;
    struct tsr_chunks chunks;

    /* The session's thread only. */
    struct tsr_ctx *ctx;
    struct tsr_loop loop;
    struct tsr_ao ao;
    void *info;                         /* libxl_domain_remus_info */
    bool started;                       /* ao was handed to libxl */
    bool leaked;                        /* and never came back */
    struct tsr_parser parser;
    enum tsr_drained drained;
    bool libxl_writes;                  /* CHECKPOINT .. CHECKPOINT_END */
    bool answered;                      /* the guest suspended, in this epoch */
    bool sent_awaited;                  /* the guest's first output of the epoch */
    bool discard;                       /* nobody wants the rest */
    bool failed;
    bool wait_moment;                   /* for a good one to abort at */
    bool withhold;                      /* libxl is not served: an abort waits */
    uint64_t withhold_ns;               /* since when, first; 0: never */
    uint64_t served_offset;             /* of the stream, when libxl was served last */
    bool aborted, aborted_held;
    bool aborted_unasked;               /* in the seed, the helper being at its pages */
    uint64_t aborted_ns, looked_ns;
    uint64_t epoch_start, first_ns, checkpoint_ns;
    uint64_t resumed_ns;                /* of an epoch that was written after the resume; 0 */
    uint64_t stalled_from_ns;           /* 0: it is not, at the moment */
    uint64_t stalled_ns;                /* of this epoch, and done with */
    uint64_t paused_stalled_ns;         /* and of it until the guest was resumed */
    bool stall_told;                    /* in this epoch */
    bool hold;                          /* `held` as this turn saw it */
    struct timeval served;              /* now of the last afterpoll */
    struct timeval frozen, floor;
    bool use_floor;
    uint8_t waste[65536];

    /* Shared; under lock. */
    pthread_mutex_t lock;
    bool held;                          /* the timer: between two epochs */
    bool last;                          /* no epoch after the one under way */
    bool abort_wanted;
    bool ended;
    bool data_told;                     /* a DATA event is on its way */
    uint64_t ends[TSR_ENDS_MAX];        /* offsets of ends not yet read over */
    unsigned ends_first, ends_count;
    uint64_t read_offset;
    atomic_bool stalled;
};

extern const struct tsr_kind tsr_save_kind;

void *tsr_save_main(void *save);
/* Gives up the barriers: the session needs them no more. */
void tsr_save_drop_barriers(struct tsr_save *save);

/* save_drain.c: reads all of the stream into memory, acting on what it sees. */
enum tsr_drained tsr_save_drain(struct tsr_save *save);
/* Notes the first failure of the session: event, text; it is ended then. */
void tsr_save_fail(struct tsr_save *save, int code, const char *format, ...)
    PRINTF(3, 4);

#endif
