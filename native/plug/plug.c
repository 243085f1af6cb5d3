/*
 * The output buffer's rule: what is held, sealed and released.
 *
 * sch_plug counts the packets of the epoch under way and of one finished epoch, and
 * a TCQ_PLUG_RELEASE_ONE lets out as many as the finished one had. But plug_change
 * takes the counts without the lock under which plug_enqueue makes them: a packet
 * that arrives on another processor in that moment (netback goes on reading the
 * ring of a suspended guest) may be counted twice, and then one packet too many
 * leaves. So we do not count. Every interface has two queues, each a sch_plug that
 * is only ever closed or open:
 *
 *    vif ──ingress──► mirred action ──► current (closed: collects)
 *                                       other   (sealed, or open and emptying)
 *
 * A barrier turns the action to the other queue, which is closed and empty: one
 * atomic store in the kernel (tcf_mirred_init). What netback had read before is in
 * the queue that is sealed now; what comes after is in the new one. A frame on its
 * way at that moment was read from the ring before, hence belongs to the sealed
 * epoch or an older one. A release opens the sealed queue; once it is empty it is
 * closed and may be turned to again.
 *
 * One rule for both kinds: at most one sealed epoch. A barrier while one is sealed
 * (or its queue still empties) does nothing: its packets wait for the seal, and so
 * for the acknowledgement, of a later epoch. Late, never early.
 *
 * A port with one queue (an administrator's script made it) has sch_plug's counts.
 */
#include "internal.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/pkt_sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define NOT_SEALED TSR_PLUG_NOT_SEALED
/* A tap has room for fewer. */
#define TAP_FRAMES_MAX 64

struct tsr_plug_world tsr_plug_world = { .kernel = &tsr_plug_kernel_linux };

static uint32_t other(const struct port *port)
{
    return port->given.queues[paired(port) ? 1 - port->current : 0];
}

static void note_max(uint64_t *max, uint64_t began_ns)
{
    uint64_t took = tsr_now_ns() - began_ns;

    if (took > *max)
        *max = took;
}

/* ---- set-up ---------------------------------------------------------------- */

/*
 * A packet socket on the interface, for its side effect: before the kernel shows it
 * a frame it copies what of the frame still lies in pages of the guest
 * (skb_orphan_frags_rx in deliver_skb, net/core/dev.c), and it shows it before the
 * redirect. So netback gives the guest its slots back at once, although the frame is
 * held: without it 256 frames fill the ring.
 *
 * And it tells that something was sent. It takes one byte of a frame, and has room
 * for about one (the least that SO_RCVBUF gives): what comes while that has not
 * been read costs no more than the filter.
 */
static int open_tap(uint32_t interface)
{
    struct sock_filter one_byte[] = { BPF_STMT(BPF_RET | BPF_K, 1) };
    struct sock_fprog program = { 1, one_byte };
    struct sockaddr_ll address = {
        .sll_family = AF_PACKET,
        .sll_protocol = htons(ETH_P_ALL),
        .sll_ifindex = (int)interface,
    };
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int least = 1, rc;

    if (fd >= 0 &&
        !setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program,
                    sizeof(program)) &&
        !setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &least, sizeof(least)) &&
        !bind(fd, (void *)&address, sizeof(address)))
        return fd;
    rc = tsr_fail(-errno, "no packet socket on network device number %u: %s",
                  interface, strerror(errno));
    if (fd >= 0)
        close(fd);
    return rc;
}

/* Opens the tap of a port, among those that tell. */
static int add_tap(struct tsr_plug *plug, struct port *port)
{
    struct epoll_event event = { .events = EPOLLIN };

    port->tap = open_tap(port->given.interface);
    if (port->tap < 0)
        return port->tap;
    if (epoll_ctl(plug->sent, EPOLL_CTL_ADD, port->tap, &event))
        return tsr_fail(-errno, "cannot listen to network device number %u: %s",
                        port->given.interface, strerror(errno));
    return 0;
}

/* What the taps have told so far is known; the next frame is news again. */
static void hush_taps(struct tsr_plug *plug)
{
    char frame[1];
    unsigned i, n;

    for (i = 0; i < plug->count; i++)
        for (n = 0; plug->ports[i].tap >= 0 && n < TAP_FRAMES_MAX; n++)
            if (recv(plug->ports[i].tap, frame, sizeof(frame), 0) < 0)
                break;
}

static int make_queues(struct tsr_plug *plug, const struct tsr_plug_port *given)
{
    int i, rc;

    for (i = 0; i < 2 && given->queues[i]; i++) {
        rc = plug->kernel->create(plug->state, given->queues[i], given->limit);
        if (rc < 0)
            return rc;
    }
    return plug->kernel->change(plug->state, given->queues[0],
                                TCQ_PLUG_RELEASE_INDEFINITE);
}

static int add_port(struct tsr_plug *plug, const struct tsr_plug_port *given)
{
    struct port *port = &plug->ports[plug->count];
    int rc = 0;

    if (plug->count == TSR_PLUG_PORTS_MAX)
        return tsr_fail(-E2BIG, "more than %d interfaces", TSR_PLUG_PORTS_MAX);
    *port = (struct port){ .given = *given, .sealed = NOT_SEALED, .tap = -1 };
    if (given->flags & TSR_PLUG_ADOPT) {
        /* Left by another process: the older queue comes first. */
        port->current = paired(port);
    } else {
        port->passing = true;
        if (given->flags & TSR_PLUG_MADE)
            rc = plug->kernel->change(plug->state, given->queues[0],
                                      TCQ_PLUG_RELEASE_INDEFINITE);
        else
            rc = make_queues(plug, given);
    }
    if (rc < 0)
        return rc;
    if (given->interface) {
        rc = add_tap(plug, port);
        if (rc < 0) {
            if (port->tap >= 0)
                close(port->tap);
            return rc;
        }
    }
    return (int)plug->count++;
}

/* ---- barrier and release ---------------------------------------------------- */

/* How many frames have not come out of QUEUE, in *FRAMES_OUT; exact only for 0. */
static int not_out(struct tsr_plug *plug, uint32_t queue, uint64_t *frames_out)
{
    struct tsr_queue_look look = { 0 };
    int rc = plug->kernel->look(plug->state, queue, &look);

    *frames_out = look.packets;
    if (rc < 0 || look.packets)
        return rc;
    return plug->kernel->transit(plug->state, queue, frames_out);
}

/* Closes the other queue again once all is out of it. */
static int close_emptied(struct tsr_plug *plug, struct port *port)
{
    uint64_t frames;
    int rc;

    if (!port->emptying || !paired(port))
        return 0;
    rc = not_out(plug, other(port), &frames);
    if (rc < 0 || frames)
        return rc;
    rc = plug->kernel->change(plug->state, other(port), TCQ_PLUG_BUFFER);
    if (!rc)
        port->emptying = false;
    return rc;
}

/* 1: sealed or closed; 0: it has to wait; negative: refused, nothing changed. */
static int seal(struct tsr_plug *plug, struct port *port, uint64_t epoch)
{
    int rc;

    if (plug->watched)
        tsr_plug_check(plug, port, NULL, false);
    /* All of it is blocked; and what it holds once it is mended goes with a later epoch. */
    if (tsr_plug_is_lost(port)) {
        port->passing = false;
        return 0;
    }
    if (port->sealed != NOT_SEALED)
        return 0;
    if (!paired(port)) {
        rc = plug->kernel->change(plug->state, current(port), TCQ_PLUG_BUFFER);
        if (rc < 0)
            return rc;
    } else {
        rc = close_emptied(plug, port);
        if (rc < 0)
            return rc;
        if (port->emptying)
            return 0;
        rc = plug->kernel->redirect(plug->state, port->given.action,
                                    other(port));
        if (rc < 0)
            return rc;
        port->current = 1 - port->current;
        /* What the seed sent is owed to nobody: that queue is open. */
        port->emptying = port->passing;
    }
    if (!port->passing)
        port->sealed = epoch;
    port->passing = false;
    return 1;
}

static int set_barrier(void *object, uint64_t epoch, uint32_t *merged_out)
{
    struct tsr_plug *plug = object;
    uint64_t began = tsr_now_ns();
    unsigned i;
    int rc = 0;

    *merged_out = 0;
    pthread_mutex_lock(&plug->lock);
    /* Before the seal: a frame of the new epoch is news in any case. */
    hush_taps(plug);
    for (i = 0; i < plug->count && !plug->opened; i++) {
        rc = seal(plug, &plug->ports[i], epoch);
        if (rc < 0)
            break;
        *merged_out += !rc;
    }
    note_max(&plug->stats.barrier_ns_max, began);
    plug->stats.barriers++;
    plug->stats.merged += *merged_out;
    pthread_mutex_unlock(&plug->lock);
    return rc < 0 ? rc : 0;
}

static int sent_fd(void *object)
{
    struct tsr_plug *plug = object;

    return plug->sent;
}

static int release_port(struct tsr_plug *plug, struct port *port,
                        uint64_t epoch)
{
    int rc;

    if (port->sealed == NOT_SEALED || port->sealed > epoch ||
        tsr_plug_is_lost(port))
        return 0;
    rc = plug->kernel->change(plug->state, other(port),
                              paired(port) ? TCQ_PLUG_RELEASE_INDEFINITE
                                           : TCQ_PLUG_RELEASE_ONE);
    if (rc < 0)
        return rc;
    port->sealed = NOT_SEALED;
    port->emptying = paired(port);
    return 1;
}

/* 0: all is out of the queue, which stays open. */
static int pass(struct tsr_plug *plug, uint32_t queue, bool is_lost)
{
    uint64_t frames = 0;
    int rc = plug->kernel->change(plug->state, queue,
                                  TCQ_PLUG_RELEASE_INDEFINITE);

    /* A queue that somebody took away, noticed or not, holds nothing. */
    if (rc == -ENODEV || (is_lost && rc < 0))
        return 0;
    if (!rc)
        rc = not_out(plug, queue, &frames);
    return rc < 0 ? rc : frames != 0;
}

static int pass_port(struct tsr_plug *plug, struct port *port)
{
    bool is_lost = tsr_plug_is_lost(port);
    int rc = 0;

    /* The older packets first. */
    if (paired(port))
        rc = pass(plug, other(port), is_lost);
    if (!rc)
        rc = pass(plug, current(port), is_lost);
    if (!rc && port->down) {
        rc = plug->kernel->set_up(plug->state, port->given.interface, true);
        port->down = rc < 0 && rc != -ENODEV;
        rc = port->down ? rc : 0;
    }
    return rc;
}

/* ---- the exported functions -------------------------------------------------- */

static void destroy(struct tsr_object *object)
{
    struct tsr_plug *plug = (struct tsr_plug *)object;
    unsigned i;

    for (i = 0; i < plug->count; i++)
        if (plug->ports[i].tap >= 0)
            close(plug->ports[i].tap);
    if (plug->sent >= 0)
        close(plug->sent);
    tsr_plug_watch_free(plug);
    plug->kernel->close(plug->state);
    pthread_mutex_destroy(&plug->lock);
    free(plug);
}

static const struct tsr_barrier_ops barrier_ops = {
    .set = set_barrier,
    .sent_fd = sent_fd,
};

static const struct tsr_kind plug_kind = {
    .name = "the output buffer",
    .destroy = destroy,
    .barrier = &barrier_ops,
};

struct tsr_plug *tsr_plug_get(int handle)
{
    return tsr_handle_get(handle, &plug_kind);
}

static int open_plug(const struct tsr_plug_kernel *kernel, void *state)
{
    struct tsr_plug *plug = calloc(1, sizeof(*plug));
    int handle;

    if (!plug) {
        kernel->close(state);
        return tsr_fail(-ENOMEM, "out of memory");
    }
    plug->kernel = kernel;
    plug->state = state;
    tsr_object_init(&plug->object, &plug_kind);
    pthread_mutex_init(&plug->lock, NULL);
    plug->stats.sealed = NOT_SEALED;
    plug->sent = epoll_create1(EPOLL_CLOEXEC);
    if (plug->sent < 0) {
        handle = tsr_fail(-errno, "no epoll descriptor: %s", strerror(errno));
        tsr_handle_put(plug);
        return handle;
    }
    handle = tsr_handle_new(&plug->object);
    if (handle < 0)
        tsr_handle_put(plug);
    return handle;
}

int tsr_plug_open(void)
{
    void *state = tsr_plug_world.state;
    int rc = state ? 0 : tsr_plug_kernel_open(&state);

    return rc < 0 ? rc : open_plug(tsr_plug_world.kernel, state);
}

int tsr_plug_open_tc(const char *program)
{
    void *state;
    int rc;

    if (!program)
        return tsr_fail(-EINVAL, "no program to be started");
    rc = tsr_plug_tc_open(program, &state);
    return rc < 0 ? rc : open_plug(&tsr_plug_kernel_tc, state);
}

int tsr_plug_add(int handle, const struct tsr_plug_port *port)
{
    struct tsr_plug *plug;
    int rc;

    if (!port || !port->queues[0] || (port->queues[1] && !port->action))
        return tsr_fail(-EINVAL, "a port of the output buffer without a queue");
    plug = tsr_plug_get(handle);
    if (!plug)
        return -EBADF;
    pthread_mutex_lock(&plug->lock);
    rc = add_port(plug, port);
    pthread_mutex_unlock(&plug->lock);
    tsr_handle_put(plug);
    return rc;
}

int tsr_plug_barrier(int handle, uint64_t epoch)
{
    struct tsr_plug *plug = tsr_plug_get(handle);
    uint32_t merged;
    int rc;

    if (!plug)
        return -EBADF;
    rc = set_barrier(plug, epoch, &merged);
    tsr_handle_put(plug);
    return rc < 0 ? rc : (int)merged;
}

int tsr_plug_release(int handle, uint64_t epoch)
{
    struct tsr_plug *plug = tsr_plug_get(handle);
    uint64_t began = tsr_now_ns();
    int rc, released = 0, failed = 0;
    unsigned i;

    if (!plug)
        return -EBADF;
    pthread_mutex_lock(&plug->lock);
    for (i = 0; i < plug->count; i++) {
        rc = release_port(plug, &plug->ports[i], epoch);
        if (rc < 0)
            failed = rc;
        else
            released += rc;
    }
    note_max(&plug->stats.release_ns_max, began);
    pthread_mutex_unlock(&plug->lock);
    tsr_handle_put(plug);
    return failed ? failed : released;
}

int tsr_plug_pass(int handle)
{
    struct tsr_plug *plug = tsr_plug_get(handle);
    int rc, waiting = 0, failed = 0;
    unsigned i;

    if (!plug)
        return -EBADF;
    pthread_mutex_lock(&plug->lock);
    plug->opened = true;
    for (i = 0; i < plug->count; i++) {
        rc = pass_port(plug, &plug->ports[i]);
        if (rc < 0)
            failed = rc;
        else
            waiting += rc;
    }
    pthread_mutex_unlock(&plug->lock);
    tsr_handle_put(plug);
    return failed ? failed : waiting;
}

static int look_port(struct tsr_plug *plug, const struct port *port,
                     struct tsr_plug_stats *sum)
{
    struct tsr_queue_look look;
    int i, rc;

    /* Part of it may not be there; what is there is blocked. */
    for (i = 0; i < 2 && port->given.queues[i] && !tsr_plug_is_lost(port); i++) {
        rc = plug->kernel->look(plug->state, port->given.queues[i], &look);
        if (rc < 0)
            return rc;
        sum->packets += look.packets;
        sum->bytes += look.bytes;
        sum->dropped += look.dropped;
    }
    return 0;
}

int tsr_plug_look(int handle, int port, struct tsr_plug_stats *out)
{
    struct tsr_plug *plug;
    unsigned i;
    int rc = 0;

    if (!out)
        return tsr_fail(-EINVAL, "no room for the figures");
    plug = tsr_plug_get(handle);
    if (!plug)
        return -EBADF;
    pthread_mutex_lock(&plug->lock);
    *out = plug->stats;
    for (i = 0; i < plug->count && !rc; i++) {
        if (port >= 0 && port != (int)i)
            continue;
        rc = plug->opened || tsr_plug_is_lost(&plug->ports[i])
             ? 0 : close_emptied(plug, &plug->ports[i]);
        if (!rc)
            rc = look_port(plug, &plug->ports[i], out);
        if (plug->ports[i].sealed < out->sealed)
            out->sealed = plug->ports[i].sealed;
    }
    pthread_mutex_unlock(&plug->lock);
    tsr_handle_put(plug);
    return rc;
}

int tsr_plug_close(int handle)
{
    struct tsr_plug *plug = tsr_plug_get(handle);

    if (!plug)
        return -EBADF;
    tsr_plug_watch_stop(plug);
    tsr_handle_put(plug);
    return tsr_handle_remove(handle) ? 0 : -EBADF;
}
