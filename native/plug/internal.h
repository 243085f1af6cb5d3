/*
 * The output buffer of a guest: what plug.c (the rule), kernel.c (how the
 * kernel is told) and the tests share.
 */
#ifndef TSR_PLUG_INTERNAL_H
#define TSR_PLUG_INTERNAL_H

#include "../common/common.h"
#include "plug.h"

#include <sys/types.h>

/* What waits in one queue. */
struct tsr_queue_look {
    uint64_t packets, bytes, dropped;
};

/* How a port is found, in the words of enum tsr_plug_fault. */
struct tsr_plug_found {
    uint32_t faults;
    bool absent[2], down[2], unplugged[2];  /* of each queue */
    uint32_t handles[2];                /* the kernel's number of each root qdisc */
};

/* What of a port is looked at, and how it has to be. */
struct tsr_plug_wanted {
    const struct tsr_plug_port *port;
    uint32_t current;                   /* where its action points to */
    const uint32_t *handles;            /* of its plugs; 0: not known yet */
    const char *hold;                   /* name of its second hold; "": none */
    bool whole;                         /* the devices, too */
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
    /* Looks whether all is as it was made; failures to look are faults, too. */
    void (*verify)(void *state, const struct tsr_plug_wanted *wanted,
                   struct tsr_plug_found *found_out);
    /* Puts a new closed plug on the device in place of whatever is there. */
    int (*replace)(void *state, uint32_t queue, uint32_t limit);
    /* -ENODEV: there is no such device. */
    int (*set_up)(void *state, uint32_t device, bool up);
    /* The second hold, see check.c; -EOPNOTSUPP: this kernel has none. */
    int (*hold)(void *state, uint32_t device, const char *name);
    int (*unhold)(void *state, const char *name);
    /* Sockets on which the kernel tells what changes (-1: none), and the numbers under
     * which our own requests appear there. */
    int (*listen)(void *state, int fds_out[2], uint32_t own_out[2]);
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

/* rtnetlink in kernel.c, nfnetlink in nft.c. */
struct tsr_plug_nft;
int tsr_plug_nft_hold(struct tsr_plug_nft **nft, uint32_t device, const char *name);
int tsr_plug_nft_unhold(struct tsr_plug_nft **nft, const char *name);
/* 0: it is there and drops. */
int tsr_plug_nft_look(struct tsr_plug_nft **nft, const char *name);
/* A socket that hears of changes, and our own number. */
int tsr_plug_nft_listen(struct tsr_plug_nft **nft, uint32_t *own_out);
void tsr_plug_nft_close(struct tsr_plug_nft *nft);

/* ---- the rule's state, for plug.c, check.c and watch.c --------------------------- */

#define TSR_PLUG_NOT_SEALED UINT64_MAX

struct port {
    struct tsr_plug_port given;
    unsigned current;                   /* of given.queues */
    bool passing;                       /* before the first barrier */
    bool emptying;                      /* the other queue is open */
    uint64_t sealed;                    /* the epoch in it */
    int tap;
    /* check.c: */
    char hold[TSR_PLUG_HOLD_MAX];       /* "": none */
    uint32_t handles[2];
    uint32_t faults;                    /* found and not mended */
    bool down;                          /* we took the interface down */
};

struct tsr_plug {
    struct tsr_object object;
    pthread_mutex_t lock;               /* the save loop against the rest */
    const struct tsr_plug_kernel *kernel;
    void *state;
    bool opened;                        /* for good: no barrier any more */
    int sent;                           /* epoll: of all taps */
    unsigned count;
    struct port ports[TSR_PLUG_PORTS_MAX];
    struct tsr_plug_stats stats;        /* the counts and times of all */
    bool watched;                       /* every barrier looks, too */
    struct tsr_plug_watch *watch;       /* NULL: nobody tells */
};

/* With a reference; NULL: tsr_fail was called. */
struct tsr_plug *tsr_plug_get(int handle);

static inline bool paired(const struct port *port)
{
    return port->given.queues[1] != 0;
}

static inline uint32_t current(const struct port *port)
{
    return port->given.queues[port->current];
}

/* What a message of the kernel's makes known of a port before anybody has looked. */
struct tsr_plug_news {
    bool look;                          /* something of it changed */
    bool touched[2], removed[2];        /* the root qdisc of each queue */
    uint64_t at_ns;
};

/*
 * Looks at PORT, mends what can be mended here, blocks what cannot, and tells the
 * caller's pipe. With the lock. NEWS: NULL, or what is known. The faults that are left.
 */
uint32_t tsr_plug_check(struct tsr_plug *plug, struct port *port,
                        const struct tsr_plug_news *news, bool whole);
/* True while nothing can be sealed or released there: all is blocked. */
bool tsr_plug_is_lost(const struct port *port);

/* What a plug tells its caller; NULL: nothing is told. */
void tsr_plug_tell(struct tsr_plug *plug, const struct tsr_event *values);

/*
 * Notes in NEWS (COUNT entries) what SIZE bytes from the kernel say of the ports.
 * OWN: the number of our own requests, which are no news. NFT: they came from nfnetlink.
 */
void tsr_plug_hear(const struct port *ports, unsigned count, const void *data,
                   size_t size, uint32_t own, bool nft, struct tsr_plug_news *news);
/* Nothing is told any more; one check may be under way. */
void tsr_plug_watch_stop(struct tsr_plug *plug);
/* Once its thread has ended. */
void tsr_plug_watch_free(struct tsr_plug *plug);

/* The kernel of plugs opened from now on; the tests put a model here. */
struct tsr_plug_world {
    const struct tsr_plug_kernel *kernel;
    void *state;                        /* NULL: tsr_plug_kernel_open */
    /* Of the watch; NULL: recv(2). */
    ssize_t (*receive)(int fd, void *buffer, size_t size, int flags);
};
extern struct tsr_plug_world tsr_plug_world;

#endif
