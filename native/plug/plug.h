/*
 * The output buffer of a guest, and frames of our own. See common/tsremus.h for the
 * rules of this interface, plug.c for what is held, sealed and released when.
 *
 * What an interface of the guest sends is redirected (by ingress filters that the
 * caller made) to devices of type ifb, on which sch_plug holds it. All calls may be
 * made from any thread: a netlink message or two for each interface. As a rule that
 * takes microseconds, but each takes the kernel's RTNL lock, and where that is held it
 * blocks: no call during a session is made on the thread of the heartbeats. Failures: -errno of the kernel with its own words (-ENODEV the device
 * is gone, -ENOENT the kernel has no sch_plug, -EPERM not root).
 *
 * A plug is a barrier: give its handle to tsr_save_start.
 */
#ifndef TSR_PLUG_H
#define TSR_PLUG_H

#include "../common/tsremus.h"

#define TSR_PLUG_PORTS_MAX 64
/* Bytes that a queue's limit counts for each frame beside the frame's own. */
#define TSR_PLUG_OVERHEAD 768

enum tsr_plug_flags {
    /* Left by a process that died; nothing is made, only tsr_plug_pass makes
     * sense. queues[0] is the older one, the action points to queues[1]. */
    TSR_PLUG_ADOPT = 1,
    /* The queues have their plugs already (a script's, one queue). */
    TSR_PLUG_MADE = 2,
};

/* One interface of the guest. */
struct tsr_plug_port {         /* 28 bytes */
    uint32_t interface;        /* ifindex to watch, see plug.c, open_tap; 0: none */
    uint32_t queues[2];        /* ifindex of each ifb, which must be up; queues[1]
                                * 0: one queue, with sch_plug's own counts */
    uint32_t action;           /* index of the mirred action that points to
                                * queues[0]; 0 with one queue */
    uint32_t limit;            /* bytes per queue */
    uint32_t flags;
    uint32_t reserved;
};

struct tsr_plug_stats {        /* 64 bytes */
    uint64_t packets, bytes;   /* held now; bytes without TSR_PLUG_OVERHEAD */
    uint64_t dropped;          /* at the limit, since the queues were made */
    uint64_t sealed;           /* oldest sealed epoch; UINT64_MAX: none */
    uint64_t barriers, merged; /* of all ports: set; ports that had to wait */
    uint64_t barrier_ns_max, release_ns_max;
};

#define TSR_PLUG_HOLD_MAX 16
/* Of what tsr_plug_mend returns: the second queue is the one that collects. */
#define TSR_PLUG_SECOND 0x100

/* How a port may be found that somebody else has changed. */
enum tsr_plug_fault {
    TSR_PLUG_UNREDIRECTED = 1,  /* no filter hands the interface's frames to the action */
    TSR_PLUG_TURNED = 2,        /* the action points elsewhere */
    TSR_PLUG_UNPLUGGED = 4,     /* a queue has no plug, or another one */
    TSR_PLUG_TOUCHED = 8,       /* somebody gave a plug an order */
    TSR_PLUG_NO_DEVICE = 16,    /* the device of a queue is gone */
    TSR_PLUG_DEVICE_DOWN = 32,  /* .. or down */
    TSR_PLUG_NO_HOLD = 64,      /* the second hold is gone: nothing got out by that */
    TSR_PLUG_UNSEEN = 128,      /* it could not be looked at */
};

enum tsr_plug_event_kind {
    /* Somebody changed port a: b = its faults as found, c = those that are left,
     * d = 1: its interface is down until they are mended, e = nanoseconds from when it
     * was heard of to when nothing got out any more, f = 1: the second hold was there
     * all the time. TSR_EV_ENDED: it is not watched any more. */
    TSR_EV_LOST = 10,
};

/* Over a netlink socket of its own, which was tried: -errno where it does not work. */
TSR_API int tsr_plug_open(void);

/*
 * Over a resident `PROGRAM -batch -`, the tc of iproute2 5.2 or newer: for a host
 * where tsr_plug_open fails. Every call waits for its answer, 10 s at most.
 */
TSR_API int tsr_plug_open_tc(const char *program);

/* Adds an interface: makes its plugs (-EEXIST: something is there), lets all
 * through until the first barrier. Returns the number of the port. */
TSR_API int tsr_plug_add(int handle, const struct tsr_plug_port *port);

/*
 * Seals what was held so far as EPOCH, on each interface; the first call (the end of
 * the seed) closes the buffer. Interfaces with a sealed epoch that is not released,
 * or not gone yet, are left alone: their packets go with a later epoch. Returns how
 * many they were. After tsr_plug_pass: nothing.
 */
TSR_API int tsr_plug_barrier(int handle, uint64_t epoch);

/* Releases what is sealed, up to and including EPOCH. Returns the number of
 * interfaces that released something. */
TSR_API int tsr_plug_release(int handle, uint64_t epoch);

/* Opens the buffer for good, the oldest packets first. Returns the number of
 * interfaces with packets that still wait: call it again until 0. */
TSR_API int tsr_plug_pass(int handle);

/*
 * A second hold on the interface of PORT, of the given NAME (of a table of nftables, at
 * most 15 bytes): what is not redirected is dropped there, and what comes back from a
 * queue does not pass it. -EOPNOTSUPP: this kernel has none, or no netlink.
 */
TSR_API int tsr_plug_hold(int handle, int port, const char *name);
/* Removes it, whoever made it; 0 too where there is none. */
TSR_API int tsr_plug_unhold(int handle, const char *name);

/*
 * From now on every change that somebody else makes to a port is heard, and looked for
 * at every barrier: what is lost is blocked and mended by the thread that hears of it,
 * and reported as a struct tsr_event to the pipe *FD_OUT, which is the caller's.
 * 1: nobody tells of changes (by way of tc), and only barriers look.
 */
TSR_API int tsr_plug_watch(int handle, int32_t *fd_out);
/* BLOCKING. Nothing is heard or looked for any more when it returns. */
TSR_API int tsr_plug_unwatch(int handle);
/*
 * BLOCKING. The caller has made anew what a port lacks: GIVEN has its queues as they are
 * now. Puts plugs and action in place. The faults that are left and TSR_PLUG_SECOND; no
 * fault: it holds again, and the interface is up again where it was taken down for that.
 * Which queue collects does not change while a port is lost.
 */
TSR_API int tsr_plug_mend(int handle, int port, const struct tsr_plug_port *given);

/* Figures of one port, or of all (-1). */
TSR_API int tsr_plug_look(int handle, int port, struct tsr_plug_stats *out);

/* Forgets the devices; what is held stays held. A save that has the handle keeps
 * the plug until it ends. */
TSR_API int tsr_plug_close(int handle);

/* Sends one Ethernet frame (14 to 1514 bytes) out of INTERFACE. */
TSR_API int tsr_send_frame(const char *interface, const uint8_t *frame,
                           size_t size);

#endif
