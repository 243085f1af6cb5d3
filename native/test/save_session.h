/*
 * A save session of the tests, with barriers that watch the guest.
 */
#ifndef SAVE_SESSION_H
#define SAVE_SESSION_H

#include "session.h"

#define LIMIT (64u << 20)
#define PROBES_MAX 3

struct session {
    int handle, fd;
    int fds_before;
    int stream;                         /* checks what is read */
    struct tsr_stream_stats stats;
    uint64_t read;
    int stalls;                         /* epochs that met the limit */
    bool paused;                        /* said of the last CHECKPOINT */
};

extern struct fake_world *world;
extern int failing_barrier, barrier_rc; /* which one refuses, and how; -1: none */
extern int probes_held;                 /* barriers that nobody has given up yet */
extern int sent_fd;                     /* where it tells of output; -1: nowhere */

/* With one barrier, or so many; the last of them tells of output. */
void begin(struct session *s, uint64_t limit);
void begin_with(struct session *s, uint64_t limit, int barriers);
/* Reads what waits, up to the end of the epoch; the count. */
uint64_t drain(struct session *s);
/* Takes events and bytes until the epoch has ended. */
void run_epoch(struct session *s, int64_t epoch);
/* Nothing but late DATA events for MS. */
void expect_quiet(struct session *s, int ms);
void checkpoint(struct session *s);
/* Nanoseconds of CPU time that the session's thread has used. */
int64_t cpu_used(struct session *s);
/* Bytes that wait to be read. */
uint64_t waiting(struct session *s);
/* Blocks that the session's queue has ever taken from the system. */
uint64_t blocks_made(struct session *s);
/* Waits until so many bytes wait, and stay. */
void wait_until(struct session *s, uint64_t bytes);
/* Waits for ENDED and checks that nothing is left and nothing went wrong. */
void finish(struct session *s, struct event *ended);
/*
 * After a failure that cannot wait for the timer the abort comes in the middle of
 * an epoch; its barrier no longer matters, since the epoch is never announced.
 */
void finish_failed(struct session *s, struct event *ended);

#endif
