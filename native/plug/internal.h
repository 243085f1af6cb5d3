/*
 * The output buffer of a guest: what plug.c (the rule), kernel.c (how the
 * kernel is told) and the tests share.
 */
#ifndef TSR_PLUG_INTERNAL_H
#define TSR_PLUG_INTERNAL_H

#include "../common/common.h"
#include "plug.h"

/* What waits in one queue. */
struct tsr_queue_look {
    uint64_t packets, bytes, dropped;
};

/*
 * What the rule asks of the kernel, each for the sch_plug on device QUEUE. 0 or
 * -errno with a sentence (tsr_fail).
 */
struct tsr_plug_kernel {
    /* Puts a closed plug of LIMIT bytes on the device. */
    int (*create)(void *state, uint32_t queue, uint32_t limit);
    /* ACTION: TCQ_PLUG_BUFFER, _RELEASE_ONE or _RELEASE_INDEFINITE. */
    int (*change)(void *state, uint32_t queue, int action);
    /* From now on the mirred action ACTION sends to QUEUE. */
    int (*redirect)(void *state, uint32_t action, uint32_t queue);
    int (*look)(void *state, uint32_t queue, struct tsr_queue_look *look_out);
    /* Frames that have left the plug and are still inside the device. */
    int (*transit)(void *state, uint32_t queue, uint64_t *frames_out);
    void (*close)(void *state);
};

/* Tells the real one, over a netlink socket of its own. */
extern const struct tsr_plug_kernel tsr_plug_kernel_linux;
/* *STATE_OUT for it; 0 or -errno with a sentence. */
int tsr_plug_kernel_open(void **state_out);

/*
 * What a queue's counts come to: BACKLOG has TSR_PLUG_OVERHEAD for each packet, and
 * the two are read without a lock.
 */
static inline struct tsr_queue_look
tsr_queue_look_of(uint64_t packets, uint64_t backlog, uint64_t dropped)
{
    uint64_t overhead = packets * TSR_PLUG_OVERHEAD;

    return (struct tsr_queue_look){
        .packets = packets,
        .bytes = backlog > overhead ? backlog - overhead : 0,
        .dropped = dropped,
    };
}

/* Tells it through a resident `tc -batch -` (tc.c). */
extern const struct tsr_plug_kernel tsr_plug_kernel_tc;
/* *STATE_OUT for it, PROGRAM runs and answers; 0 or -errno with a sentence. */
int tsr_plug_tc_open(const char *program, void **state_out);

/* What tc.c asks of the host; the tests put others here. */
struct tsr_plug_tc_host {
    /* Starts PROGRAM: its stdin, stdout and stderr are one socket. */
    int (*start)(const char *program, int *fd_out, pid_t *pid_out);
    /* IF_NAMESIZE bytes. */
    int (*name)(uint32_t device, char *name_out);
    /* WHAT: a file of /sys/class/net/NAME/statistics. */
    int (*count)(const char *name, const char *what, uint64_t *count_out);
    uint64_t answer_ms;                 /* the longest wait for an answer */
};
extern struct tsr_plug_tc_host tsr_plug_tc_host;

/* The kernel of plugs opened from now on; the tests put a model here. */
struct tsr_plug_world {
    const struct tsr_plug_kernel *kernel;
    void *state;                        /* NULL: tsr_plug_kernel_open */
};
extern struct tsr_plug_world tsr_plug_world;

#endif
