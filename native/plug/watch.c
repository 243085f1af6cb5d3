/*
 * Hears of every change that somebody else makes to what holds a guest's output, and has
 * it looked at (check.c), in a thread of its own: the kernel tells within microseconds,
 * and each of them is a frame of the guest's. What the kernel tells (rtnetlink's groups
 * for links and traffic control, nfnetlink's for nftables) is only a reason to look, by
 * the number of the device it is about; what is true, the kernel is asked.
 *
 * Our own changes carry the number of our socket and are no reason. A socket that overran
 * has lost something: then everything is looked at.
 */
#include "internal.h"

#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

/* The kernel's longest datagram of notifications; a longer one counts as an overrun. */
#define HEARD_MAX 32768
/* What may wait while a check waits for the kernel's lock. */
#define WAITING_MAX (4 << 20)
/* Filters of a shared block belong to no device (linux/rtnetlink.h, tcm_block_index). */
#define NO_DEVICE ((int)TCM_IFINDEX_MAGIC_BLOCK)

struct tsr_plug_watch {
    struct tsr_events *events;
    int fds[2];                         /* rtnetlink, nfnetlink or -1 */
    uint32_t own[2];
    int stop;                           /* eventfd */
    struct tsr_plug_news news[TSR_PLUG_PORTS_MAX];
    char heard[HEARD_MAX];
};

/* ---- what is heard --------------------------------------------------------------------- */

static void look_at_all(struct tsr_plug_news *news, unsigned count)
{
    unsigned i;

    for (i = 0; i < count; i++)
        news[i].look = true;
}

static void hear_of_device(const struct port *ports, unsigned count, int device,
                           struct tsr_plug_news *news)
{
    unsigned i, q;

    for (i = 0; i < count; i++)
        for (q = 0; q < 2; q++)
            if (device > 0 && ((uint32_t)device == ports[i].given.queues[q] ||
                               (uint32_t)device == ports[i].given.interface))
                news[i].look = true;
}

static void hear_of_qdisc(const struct port *ports, unsigned count, bool is_removed,
                          const struct tcmsg *tc, struct tsr_plug_news *news)
{
    unsigned i, q;

    for (i = 0; i < count; i++)
        for (q = 0; q < 2; q++) {
            if (tc->tcm_parent != TC_H_ROOT || tc->tcm_ifindex <= 0 ||
                (uint32_t)tc->tcm_ifindex != ports[i].given.queues[q])
                continue;
            news[i].look = true;
            news[i].touched[q] = true;
            /* Another one than ours: that one goes when ours is put in its place. */
            news[i].removed[q] |= is_removed && ports[i].handles[q] == tc->tcm_handle;
        }
    hear_of_device(ports, count, tc->tcm_ifindex, news);
}

static void hear_of_route(const struct port *ports, unsigned count,
                          const struct nlmsghdr *head, struct tsr_plug_news *news)
{
    const struct tcmsg *tc = NLMSG_DATA(head);
    const struct ifinfomsg *link = NLMSG_DATA(head);

    switch (head->nlmsg_type) {
    case RTM_NEWQDISC:
    case RTM_DELQDISC:
        if (head->nlmsg_len >= NLMSG_LENGTH(sizeof(*tc)))
            hear_of_qdisc(ports, count, head->nlmsg_type == RTM_DELQDISC, tc, news);
        return;
    case RTM_NEWTFILTER:
    case RTM_DELTFILTER:
    case RTM_NEWCHAIN:
    case RTM_DELCHAIN:
        if (head->nlmsg_len < NLMSG_LENGTH(sizeof(*tc)))
            return;
        if (tc->tcm_ifindex == NO_DEVICE)
            look_at_all(news, count);
        hear_of_device(ports, count, tc->tcm_ifindex, news);
        return;
    case RTM_NEWACTION:
    case RTM_DELACTION:
        look_at_all(news, count);
        return;
    case RTM_NEWLINK:
    case RTM_DELLINK:
        if (head->nlmsg_len >= NLMSG_LENGTH(sizeof(*link)))
            hear_of_device(ports, count, link->ifi_index, news);
        return;
    }
}

static void hear_of_nft(unsigned count, uint16_t type, struct tsr_plug_news *news)
{
    if (type == (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_DELTABLE) ||
        type == (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_DELCHAIN) ||
        type == (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWCHAIN))
        look_at_all(news, count);
}

void tsr_plug_hear(const struct port *ports, unsigned count, const void *data, size_t size,
                   uint32_t own, bool nft, struct tsr_plug_news *news)
{
    const char *at = data, *end = at + size;
    const struct nlmsghdr *head;
    size_t step;

    /* NLMSG_NEXT steps behind the end where the last message is not padded. */
    for (; (size_t)(end - at) >= sizeof(*head); at += step) {
        head = (const void *)at;
        step = NLMSG_ALIGN((size_t)head->nlmsg_len);
        if (head->nlmsg_len < sizeof(*head) || head->nlmsg_len > (size_t)(end - at))
            return;
        if (head->nlmsg_pid != own && nft)
            hear_of_nft(count, head->nlmsg_type, news);
        else if (head->nlmsg_pid != own)
            hear_of_route(ports, count, head, news);
        if (step > (size_t)(end - at))
            return;
    }
}

/* ---- the thread -------------------------------------------------------------------------- */

void tsr_plug_tell(struct tsr_plug *plug, const struct tsr_event *values)
{
    if (plug->watch)
        tsr_events_send(plug->watch->events, TSR_EV_LOST, values, NULL);
}

static ssize_t receive(int fd, void *buffer, size_t size)
{
    int flags = MSG_DONTWAIT | MSG_TRUNC;

    return tsr_plug_world.receive ? tsr_plug_world.receive(fd, buffer, size, flags)
                                  : recv(fd, buffer, size, flags);
}

/* Has looked at every port that something was heard of. */
static void check_ports(struct tsr_plug *plug, struct tsr_plug_watch *watch, uint64_t at_ns)
{
    unsigned i;

    for (i = 0; i < plug->count; i++) {
        if (!watch->news[i].look)
            continue;
        watch->news[i].at_ns = at_ns;
        tsr_plug_check(plug, &plug->ports[i], &watch->news[i], true);
    }
    memset(watch->news, 0, sizeof(watch->news));
}

/* Reads what one socket has to say; negative: it says nothing any more. */
static int listen_once(struct tsr_plug *plug, struct tsr_plug_watch *watch, bool nft)
{
    ssize_t n = receive(watch->fds[nft], watch->heard, sizeof(watch->heard));
    uint64_t at_ns = tsr_now_ns();
    int error = errno;

    if (n < 0 && (error == EAGAIN || error == EINTR))
        return 0;
    if (n <= 0 && !(n < 0 && error == ENOBUFS))
        return n < 0 ? -error : -EPIPE;
    pthread_mutex_lock(&plug->lock);
    if (plug->watched) {
        if (n < 0 || (size_t)n > sizeof(watch->heard))
            look_at_all(watch->news, plug->count);
        else
            tsr_plug_hear(plug->ports, plug->count, watch->heard, (size_t)n,
                          watch->own[nft], nft, watch->news);
        check_ports(plug, watch, at_ns);
    }
    pthread_mutex_unlock(&plug->lock);
    return 0;
}

/*
 * Before everything that is not of real time: on a host whose processors are busy it
 * would wait its turn for milliseconds, and frames get out meanwhile. What it does for
 * each message is bounded. Where it is not allowed it is as others are.
 */
static void hurry(void)
{
    struct sched_param how = { .sched_priority = sched_get_priority_min(SCHED_FIFO) };

    pthread_setschedparam(pthread_self(), SCHED_FIFO, &how);
}

static void *watch_main(void *object)
{
    struct tsr_plug *plug = object;
    struct tsr_plug_watch *watch = plug->watch;
    struct pollfd polled[] = {
        { .fd = watch->stop, .events = POLLIN },
        { .fd = watch->fds[0], .events = POLLIN },
        { .fd = watch->fds[1], .events = POLLIN },
        { .fd = -1, .events = POLLOUT },
    };
    int rc = 0, i;

    hurry();
    while (!polled[0].revents && !rc) {
        polled[3].fd = tsr_events_want(watch->events);
        if (poll(polled, 4, -1) < 0 && errno != EINTR)
            break;
        for (i = 0; i < 2; i++)
            if (polled[1 + i].revents && !rc)
                rc = listen_once(plug, watch, i);
        tsr_events_flush(watch->events);
    }
    if (rc < 0)
        tsr_events_send(watch->events, TSR_EV_ENDED, &(struct tsr_event){ .a = rc },
                        strerror(-rc));
    tsr_handle_put(plug);
    return NULL;
}

/* Of one whose thread has ended, or was never started. */
static void free_watch(struct tsr_plug_watch *watch)
{
    int i;

    for (i = 0; i < 2; i++)
        if (watch->fds[i] >= 0)
            close(watch->fds[i]);
    if (watch->stop >= 0)
        close(watch->stop);
    tsr_events_free(watch->events);
    free(watch);
}

void tsr_plug_watch_free(struct tsr_plug *plug)
{
    if (plug->watch)
        free_watch(plug->watch);
    plug->watch = NULL;
}

void tsr_plug_watch_stop(struct tsr_plug *plug)
{
    uint64_t one = 1;

    if (plug->watch && write(plug->watch->stop, &one, sizeof(one)) < 0)
        return;                         /* it was told already */
}

static int start_thread(struct tsr_plug *plug)
{
    pthread_attr_t how;
    sigset_t all, before;
    pthread_t thread;
    int r;

    pthread_attr_init(&how);
    pthread_attr_setdetachstate(&how, PTHREAD_CREATE_DETACHED);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    r = pthread_create(&thread, &how, watch_main, plug);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&how);
    return r ? tsr_fail(-r, "no thread to watch the output buffer: %s", strerror(r)) : 0;
}

/* ---- the exported functions ----------------------------------------------------------------- */

/* With the lock, and a reference to PLUG that becomes the thread's. */
static int begin(struct tsr_plug *plug, int32_t *fd_out)
{
    struct tsr_plug_watch *watch = calloc(1, sizeof(*watch));
    int waiting = WAITING_MAX, rc;
    bool untold;

    if (!watch)
        return tsr_fail(-ENOMEM, "out of memory");
    watch->fds[0] = watch->fds[1] = -1;
    watch->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    rc = watch->stop < 0 ? tsr_fail(-errno, "no eventfd: %s", strerror(errno))
         : plug->kernel->listen(plug->state, watch->fds, watch->own);
    untold = rc == -EOPNOTSUPP;
    if (rc >= 0 || untold) {
        watch->events = tsr_events_open(fd_out);
        rc = watch->events ? 0 : tsr_fail(-errno, "no event pipe: %s", strerror(errno));
    }
    if (rc < 0) {
        free_watch(watch);
        return rc;
    }
    if (!untold)
        setsockopt(watch->fds[0], SOL_SOCKET, SO_RCVBUFFORCE, &waiting, sizeof(waiting));
    plug->watch = watch;
    rc = start_thread(plug);
    if (rc < 0) {
        close(*fd_out);
        *fd_out = -1;
        tsr_plug_watch_free(plug);
    }
    return rc < 0 ? rc : untold;
}

int tsr_plug_watch(int handle, int32_t *fd_out)
{
    struct tsr_plug *plug = tsr_plug_get(handle);
    unsigned i;
    int rc;

    if (!plug)
        return -EBADF;
    *fd_out = -1;
    pthread_mutex_lock(&plug->lock);
    rc = plug->watch ? tsr_fail(-EALREADY, "it is watched already") : begin(plug, fd_out);
    if (rc >= 0) {
        plug->watched = true;
        /* As they are now; what happened before this is found, too. */
        for (i = 0; i < plug->count; i++)
            tsr_plug_check(plug, &plug->ports[i], NULL, true);
    }
    pthread_mutex_unlock(&plug->lock);
    if (rc < 0)
        tsr_handle_put(plug);
    return rc;
}

int tsr_plug_unwatch(int handle)
{
    struct tsr_plug *plug = tsr_plug_get(handle);

    if (!plug)
        return -EBADF;
    pthread_mutex_lock(&plug->lock);
    plug->watched = false;
    tsr_plug_watch_stop(plug);
    pthread_mutex_unlock(&plug->lock);
    tsr_handle_put(plug);
    return 0;
}
