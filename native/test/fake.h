/*
 * A fake libxenlight for the tests of the loops. It serves its requests exactly
 * as libxl does, from inside afterpoll and only for descriptors that poll found
 * ready, one message each, and watches what its user does: was the stream empty
 * when a resume was served, was the guest suspended at the barrier, did an abort
 * come at a moment when it does no harm, was a read left waiting.
 *
 * A script (struct fake_world) says what happens; the world is shared with the
 * test, which gets it from fake_world().
 */
#ifndef FAKE_H
#define FAKE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/time.h>

#include "test.h"

#define FAKE_DOMID 5
#define FAKE_COPY_DOMID 9

struct fake_world {
    /* the script */
    uint32_t guest_type;                /* PV or HVM */
    unsigned seed_pages, epoch_pages;
    unsigned emulator_bytes;            /* HVM: state of its device model */
    int start_rc;                       /* of remus_start, create_restore */
    int pause_rc;
    int die_at_epoch;                   /* the helper dies before CHECKPOINT */
    int die_waiting_at_epoch;           /* it dies while libxl waits for the next one */
    int poweroff_at_epoch;              /* instead of suspending */
    int break_at_epoch;                 /* writes a record that is wrong */
    int suspend_ms;                     /* time that a guest needs */
    int seed_ms;                        /* pause in the live seed */
    int late_suspend_ms;                /* after an abort */
    int slow_ms;                        /* libxl takes its time in afterpoll */
    bool pages_last;                    /* from epoch 1 on written after the resume */
    bool keep_on_abort;                 /* an aborted restore keeps its domain */
    bool restore_fails;

    /* the guest on this host */
    atomic_bool suspended, gone;
    atomic_int shutdown_reason;         /* -1: runs */
    atomic_bool paused;

    /* the copy */
    atomic_bool copy_exists;
    char copy_name[128];

    /* what was seen */
    atomic_int epochs;                  /* complete on the stream */
    atomic_int suspends;
    atomic_int barriers;                /* set by the test's buffer */
    atomic_int resumes_served;          /* by the operation, at checkpoints */
    atomic_int resumes_called;          /* libxl_domain_resume */
    atomic_int resumed_before_barrier;
    atomic_int resumed_undrained;
    atomic_int helper_saw_nonblock;
    atomic_int timers_early;            /* a checkpoint without permission */
    atomic_ullong fed;                  /* set by the test: bytes of a copy's stream */
    atomic_int permitted;               /* set by the test: checkpoints asked for */
    atomic_int aborts, aborts_held, aborts_unsafe;
    atomic_int applied;                 /* epochs that the restore applied */
    atomic_int early_reads;             /* by libxl, of what is not fed yet */
    atomic_int ends_of_file;            /* seen by the restore helper */
    atomic_int destroys, contexts, reaped;
    atomic_ullong copy_sum;             /* of the page bytes applied */
    atomic_bool disaster;               /* break the event loop */
    /*
     * In what order: S the guest suspends, 0 1 2 .. the test's barriers, P pause,
     * R the operation's resume is served.
     */
    atomic_uint call_count;
    char calls[64];
};

static inline void fake_note(struct fake_world *world, char what)
{
    unsigned at = world->call_count++;

    if (at < sizeof(world->calls) - 1)
        world->calls[at] = what;
}

struct fake_world *fake_world(void);

/* ---- inside of the fake --------------------------------------------------- */

typedef struct libxl_ctx fake_ctx;

struct fake_watch {
    int fd;
    short events;
    void (*ready)(fake_ctx *ctx, struct fake_watch *watch);
    void *data;
    bool on;
};

struct fake_timer {
    struct timeval at;
    void (*fired)(fake_ctx *ctx, void *data);
    void *data;
    bool on;
};

#define FAKE_WATCHES 8
#define FAKE_TIMERS 4

struct fake_op;

struct libxl_ctx {
    pthread_mutex_t lock;
    void *logger;
    const struct {
        uint64_t mask;
        void *occurs;
        void (*disaster)(void *, int, const char *, int);
    } *hooks;
    void *hooks_user;
    int owner;
    struct fake_watch watches[FAKE_WATCHES];
    struct fake_timer timers[FAKE_TIMERS];
    struct fake_op *op;                 /* the one in progress */
};

struct fake_how {
    void (*callback)(fake_ctx *ctx, int rc, void *for_callback);
    void *for_callback;
};

/* One asynchronous operation. It is over once its child was reaped. */
struct fake_op {
    struct fake_how how;
    void (*abort)(fake_ctx *ctx, struct fake_op *op);
    atomic_bool child_exited;
    bool child_reaped;
    int rc;
    bool complete;                      /* told to the application */
    void (*finish)(fake_ctx *ctx, struct fake_op *op);
};

void fake_log(fake_ctx *ctx, const char *level, const char *text);
void fake_watch_on(fake_ctx *ctx, int fd, short events,
                   void (*ready)(fake_ctx *, struct fake_watch *), void *data);
void fake_watch_off(fake_ctx *ctx, int fd);
void fake_timer_on(fake_ctx *ctx, int ms, void (*fired)(fake_ctx *, void *),
                   void *data);
bool fake_timer_off(fake_ctx *ctx, void (*fired)(fake_ctx *, void *));
/* Starts OP; it completes through fake_op_exit or fake_op_complete. */
void fake_op_start(fake_ctx *ctx, struct fake_op *op, const struct fake_how *how);
void fake_op_complete(fake_ctx *ctx, struct fake_op *op, int rc);

/* Writes all, or false once *STOP. */
bool fake_write(int fd, const void *data, size_t size, atomic_bool *stop);
/* Reads all, or false at the end of the file or once *STOP. */
bool fake_read(int fd, void *data, size_t size, atomic_bool *stop);

/* An epoch's check when libxl serves the helper's request to resume. */
void fake_check_resume(int stream_fd);

#endif
