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

/* Figures of one port, or of all (-1). */
TSR_API int tsr_plug_look(int handle, int port, struct tsr_plug_stats *out);

/* Forgets the devices; what is held stays held. A save that has the handle keeps
 * the plug until it ends. */
TSR_API int tsr_plug_close(int handle);

/* Sends one Ethernet frame (14 to 1514 bytes) out of INTERFACE. */
TSR_API int tsr_send_frame(const char *interface, const uint8_t *frame,
                           size_t size);

#endif
