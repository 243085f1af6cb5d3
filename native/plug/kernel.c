/*
 * How Linux is told: rtnetlink messages for sch_plug (linux/pkt_sched.h,
 * net/sched/sch_plug.c) and act_mirred (linux/tc_act/tc_mirred.h).
 *
 * The kernel works on a request inside sendmsg and its answer is there when that
 * returns, so nothing here waits except for the kernel's own RTNL lock.
 */
#include "internal.h"

#include <linux/gen_stats.h>
#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_mirred.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct linux_kernel {
    int fd;
    uint32_t seq;
    uint32_t own;                       /* its number, as others see it */
    struct tsr_plug_nft *nft;           /* opened when it is first needed */
};

struct request {
    struct nlmsghdr head;
    union {
        struct tcmsg tc;
        struct tcamsg tca;
        struct if_stats_msg stats;
        struct ifinfomsg link;
        char room[512];
    };
};

static void begin(struct linux_kernel *kernel, struct request *request,
                  uint16_t type, uint16_t flags, size_t family_size)
{
    memset(request, 0, sizeof(*request));
    request->head.nlmsg_len = (uint32_t)NLMSG_LENGTH(family_size);
    request->head.nlmsg_type = type;
    request->head.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags);
    request->head.nlmsg_seq = ++kernel->seq;
}

/* Appends an attribute; a nested one is closed with end_nest. */
static struct rtattr *put(struct request *request, uint16_t type,
                          const void *data, size_t size)
{
    size_t at = NLMSG_ALIGN(request->head.nlmsg_len);
    struct rtattr *attribute = (void *)((char *)request + at);

    if (at + RTA_SPACE(size) > sizeof(*request))
        abort();
    attribute->rta_type = type;
    attribute->rta_len = (uint16_t)RTA_LENGTH(size);
    if (size)
        memcpy(RTA_DATA(attribute), data, size);
    request->head.nlmsg_len = (uint32_t)(at + RTA_ALIGN(attribute->rta_len));
    return attribute;
}

static void end_nest(struct request *request, struct rtattr *nest)
{
    char *end = (char *)request + request->head.nlmsg_len;

    nest->rta_len = (uint16_t)(end - (char *)nest);
}

static const void *find(const struct rtattr *attribute, size_t left,
                        uint16_t type, size_t size)
{
    while (left >= sizeof(*attribute) && attribute->rta_len >= RTA_LENGTH(0) &&
           attribute->rta_len <= left) {
        size_t step = RTA_ALIGN(attribute->rta_len);

        if ((attribute->rta_type & NLA_TYPE_MASK) == type)
            return attribute->rta_len >= RTA_LENGTH(size) ? attribute : NULL;
        if (step >= left)
            break;
        left -= step;
        attribute = (const void *)((const char *)attribute + step);
    }
    return NULL;
}

/* The sentence that the kernel attached to a refusal, or "". */
static void refusal(const struct nlmsghdr *head, char *out, size_t size)
{
    const struct nlmsgerr *error = NLMSG_DATA(head);
    size_t skip = sizeof(*error);
    const struct rtattr *text;

    out[0] = 0;
    if (!(head->nlmsg_flags & NLM_F_ACK_TLVS))
        return;
    if (!(head->nlmsg_flags & NLM_F_CAPPED))
        skip += error->msg.nlmsg_len - sizeof(error->msg);
    skip = NLMSG_ALIGN(skip);
    if (NLMSG_LENGTH(skip) >= head->nlmsg_len)
        return;
    text = find((const void *)((const char *)error + skip),
                head->nlmsg_len - NLMSG_LENGTH(skip), NLMSGERR_ATTR_MSG, 1);
    if (text)
        snprintf(out, size, ": %.*s", (int)(text->rta_len - RTA_LENGTH(0)),
                 (const char *)RTA_DATA(text));
}

/*
 * Sends REQUEST and reads up to its acknowledgement. Another message that comes
 * before it is copied to ANSWER (or dropped: NULL). WHAT begins the sentence of a
 * failure.
 */
static int talk(struct linux_kernel *kernel, struct request *request,
                void *answer, size_t size, const char *what, uint32_t device)
{
    union {
        struct nlmsghdr head;
        char room[8192];
    } in;
    const struct nlmsghdr *head;
    char why[256];
    ssize_t n;
    uint32_t left;
    int error;

    do {
        n = send(kernel->fd, request, request->head.nlmsg_len, 0);
    } while (n < 0 && errno == EINTR);
    while (n >= 0) {
        n = recv(kernel->fd, &in, sizeof(in), 0);
        if (n < 0 && errno == EINTR) {
            n = 0;
            continue;
        }
        left = (uint32_t)(n > 0 ? n : 0);
        for (head = &in.head; n > 0 && NLMSG_OK(head, left);
             head = NLMSG_NEXT(head, left)) {
            if (head->nlmsg_seq != kernel->seq)
                continue;
            if (head->nlmsg_type != NLMSG_ERROR) {
                if (answer && head->nlmsg_len <= size)
                    memcpy(answer, head, head->nlmsg_len);
                continue;
            }
            error = ((const struct nlmsgerr *)NLMSG_DATA(head))->error;
            if (!error)
                return 0;
            refusal(head, why, sizeof(why));
            return tsr_fail(error, "%s (network device number %u): %s%s", what,
                            device, strerror(-error), why);
        }
    }
    error = errno ? errno : EIO;
    return tsr_fail(-error, "%s: netlink: %s", what, strerror(error));
}

/*
 * What a frame costs dom0 beside its bytes: the socket buffer, its shared part and
 * the rounding of its pages. Told to the kernel as the overhead of the link
 * (tc-stab(8)), it makes the limit one of memory: else a guest that sends the
 * smallest frames could take twenty times the limit from dom0.
 */
static void put_stab(struct request *request)
{
    struct tc_sizespec size = {
        .overhead = TSR_PLUG_OVERHEAD,
        .linklayer = TC_LINKLAYER_ETHERNET,
    };
    struct rtattr *nest = put(request, TCA_STAB | NLA_F_NESTED, NULL, 0);

    put(request, TCA_STAB_BASE, &size, sizeof(size));
    end_nest(request, nest);
}

static int tell_plug(struct linux_kernel *kernel, uint32_t queue,
                     uint16_t flags, struct tc_plug_qopt option,
                     const char *what)
{
    struct request request;

    begin(kernel, &request, RTM_NEWQDISC, flags, sizeof(request.tc));
    request.tc.tcm_family = AF_UNSPEC;
    request.tc.tcm_ifindex = (int)queue;
    request.tc.tcm_parent = TC_H_ROOT;
    put(&request, TCA_KIND, "plug", sizeof("plug"));
    put(&request, TCA_OPTIONS, &option, sizeof(option));
    /* With every change: one without it would take it away. */
    put_stab(&request);
    return talk(kernel, &request, NULL, 0, what, queue);
}

static int linux_create(void *kernel, uint32_t queue, uint32_t limit)
{
    struct tc_plug_qopt option = { .action = TCQ_PLUG_LIMIT, .limit = limit };

    return tell_plug(kernel, queue, NLM_F_CREATE | NLM_F_EXCL, option,
                     "cannot put a plug on the buffer's device");
}

static int linux_change(void *kernel, uint32_t queue, int action)
{
    static const char *const what[] = {
        [TCQ_PLUG_BUFFER] = "cannot close the plug",
        [TCQ_PLUG_RELEASE_ONE] = "cannot release an epoch",
        [TCQ_PLUG_RELEASE_INDEFINITE] = "cannot open the plug",
    };
    struct tc_plug_qopt option = { .action = action };

    return tell_plug(kernel, queue, 0, option, what[action]);
}

static int linux_redirect(void *state, uint32_t action, uint32_t queue)
{
    struct linux_kernel *kernel = state;
    struct tc_mirred mirred = {
        .index = action,
        .action = TC_ACT_STOLEN,
        .eaction = TCA_EGRESS_REDIR,
        .ifindex = queue,
    };
    struct rtattr *table, *entry, *options;
    struct request request;

    begin(kernel, &request, RTM_NEWACTION, NLM_F_CREATE | NLM_F_REPLACE,
          sizeof(request.tca));
    table = put(&request, TCA_ACT_TAB, NULL, 0);
    entry = put(&request, 1, NULL, 0);
    put(&request, TCA_ACT_KIND, "mirred", sizeof("mirred"));
    options = put(&request, TCA_ACT_OPTIONS | NLA_F_NESTED, NULL, 0);
    put(&request, TCA_MIRRED_PARMS, &mirred, sizeof(mirred));
    end_nest(&request, options);
    end_nest(&request, entry);
    end_nest(&request, table);
    return talk(kernel, &request, NULL, 0, "cannot turn the guest's output",
                queue);
}

struct answer {
    union {
        struct nlmsghdr head;
        char room[4096];
    };
};

/* What comes behind the message's own struct of FAMILY_SIZE bytes; NULL: nothing. */
static const struct rtattr *attributes(const struct answer *answer, size_t family_size,
                                       size_t *size_out)
{
    size_t start = NLMSG_LENGTH(NLMSG_ALIGN(family_size));

    if (answer->head.nlmsg_len <= start)
        return NULL;
    *size_out = answer->head.nlmsg_len - start;
    return (const void *)((const char *)answer + start);
}

/* The root qdisc of QUEUE. */
static int get_qdisc(struct linux_kernel *kernel, uint32_t queue, struct answer *answer)
{
    struct request request;

    answer->head.nlmsg_len = 0;
    begin(kernel, &request, RTM_GETQDISC, NLM_F_ECHO, sizeof(request.tc));
    request.tc.tcm_family = AF_UNSPEC;
    request.tc.tcm_ifindex = (int)queue;
    request.tc.tcm_parent = TC_H_ROOT;
    return talk(kernel, &request, answer, sizeof(*answer), "cannot look at a plug", queue);
}

static int linux_look(void *state, uint32_t queue,
                      struct tsr_queue_look *look_out)
{
    struct answer answer;
    const struct rtattr *all, *stats, *counts;
    struct gnet_stats_queue figures;
    size_t size;
    int rc = get_qdisc(state, queue, &answer);

    if (rc < 0)
        return rc;
    all = attributes(&answer, sizeof(struct tcmsg), &size);
    if (!all)
        return tsr_fail(-EPROTO, "the kernel says nothing of the plug on network "
                        "device number %u", queue);
    stats = find(all, size, TCA_STATS2, 0);
    counts = !stats ? NULL : find(RTA_DATA(stats), RTA_PAYLOAD(stats),
                                  TCA_STATS_QUEUE, sizeof(figures));
    if (!counts)
        return tsr_fail(-EPROTO, "the kernel gives no counts of the plug on "
                        "network device number %u", queue);
    memcpy(&figures, RTA_DATA(counts), sizeof(figures));
    *look_out = tsr_queue_look_of(figures.qlen, figures.backlog, figures.drops);
    return 0;
}

/*
 * An ifb hands its frames back in a tasklet of its own, which may come late. It counts
 * what it took as received and what it handed back as sent; what this host itself
 * sends on it (an address being looked for) it drops (drivers/net/ifb.c).
 */
static int linux_transit(void *state, uint32_t queue, uint64_t *frames_out)
{
    struct linux_kernel *kernel = state;
    union {
        struct nlmsghdr head;
        char room[4096];
    } answer = { .head = { .nlmsg_len = 0 } };
    size_t start = NLMSG_LENGTH(NLMSG_ALIGN(sizeof(struct if_stats_msg)));
    struct rtnl_link_stats64 counts;
    /* The kernel's struct grows at its end. */
    size_t known = offsetof(struct rtnl_link_stats64, multicast);
    const struct rtattr *stats;
    struct request request;
    int rc;

    begin(kernel, &request, RTM_GETSTATS, 0, sizeof(request.stats));
    request.stats.ifindex = queue;
    request.stats.filter_mask = IFLA_STATS_FILTER_BIT(IFLA_STATS_LINK_64);
    rc = talk(kernel, &request, &answer, sizeof(answer),
              "cannot look at a device of the buffer", queue);
    if (rc < 0)
        return rc;
    stats = answer.head.nlmsg_len <= start ? NULL
            : find((void *)((char *)&answer + start),
                   answer.head.nlmsg_len - start, IFLA_STATS_LINK_64,
                   known);
    if (!stats)
        return tsr_fail(-EPROTO, "the kernel gives no counts of network device "
                        "number %u", queue);
    memcpy(&counts, RTA_DATA(stats), known);
    *frames_out = counts.rx_packets - counts.rx_dropped - counts.tx_packets;
    return 0;
}

/* ---- whether all is as it was made ------------------------------------------------ */

/* Flags of DEVICE (IFF_UP); -ENODEV: there is none. */
static int get_flags(struct linux_kernel *kernel, uint32_t device)
{
    struct answer answer = { .head = { .nlmsg_len = 0 } };
    uint32_t mask = RTEXT_FILTER_SKIP_STATS;
    const struct ifinfomsg *info;
    struct request request;
    int rc;

    begin(kernel, &request, RTM_GETLINK, 0, sizeof(request.link));
    request.link.ifi_index = (int)device;
    put(&request, IFLA_EXT_MASK, &mask, sizeof(mask));
    rc = talk(kernel, &request, &answer, sizeof(answer), "cannot look at a device", device);
    if (rc < 0)
        return rc;
    info = NLMSG_DATA(&answer.head);
    if (answer.head.nlmsg_len < NLMSG_LENGTH(sizeof(*info)))
        return tsr_fail(-EPROTO, "the kernel says nothing of network device number %u",
                        device);
    return (int)(info->ifi_flags & IFF_UP);
}

/* The parameters of the mirred action ACTION. */
static int get_action(struct linux_kernel *kernel, uint32_t action, struct tc_mirred *out)
{
    struct answer answer = { .head = { .nlmsg_len = 0 } };
    const struct rtattr *all, *at;
    struct rtattr *table, *entry;
    struct request request;
    size_t size;
    int rc;

    begin(kernel, &request, RTM_GETACTION, 0, sizeof(request.tca));
    table = put(&request, TCA_ACT_TAB, NULL, 0);
    entry = put(&request, 1, NULL, 0);
    put(&request, TCA_ACT_KIND, "mirred", sizeof("mirred"));
    put(&request, TCA_ACT_INDEX, &action, sizeof(action));
    end_nest(&request, entry);
    end_nest(&request, table);
    rc = talk(kernel, &request, &answer, sizeof(answer), "cannot look at the redirect", 0);
    if (rc < 0)
        return rc;
    all = attributes(&answer, sizeof(struct tcamsg), &size);
    at = !all ? NULL : find(all, size, TCA_ACT_TAB, 0);
    at = !at ? NULL : find(RTA_DATA(at), RTA_PAYLOAD(at), 1, 0);
    at = !at ? NULL : find(RTA_DATA(at), RTA_PAYLOAD(at), TCA_ACT_OPTIONS, 0);
    at = !at ? NULL : find(RTA_DATA(at), RTA_PAYLOAD(at), TCA_MIRRED_PARMS, sizeof(*out));
    if (!at)
        return tsr_fail(-EPROTO, "the kernel says nothing of the redirect");
    memcpy(out, RTA_DATA(at), sizeof(*out));
    return 0;
}

/* Whether a filter as RTM_NEWTFILTER shows it, of SIZE bytes, is first and has ACTION. */
static bool has_action(const struct nlmsghdr *head, uint32_t action)
{
    size_t start = NLMSG_LENGTH(NLMSG_ALIGN(sizeof(struct tcmsg)));
    const struct tcmsg *tc = NLMSG_DATA(head);
    const struct rtattr *all, *kind, *options, *at;
    struct tc_mirred mirred;
    size_t size = head->nlmsg_len - start;
    bool is_u32;

    /* Of the priority before which there is none. */
    if (head->nlmsg_type != RTM_NEWTFILTER || head->nlmsg_len <= start ||
        TC_H_MAJ(tc->tcm_info) >> 16 != 1)
        return false;
    all = (const void *)((const char *)head + start);
    kind = find(all, size, TCA_KIND, sizeof("u32"));
    options = find(all, size, TCA_OPTIONS, 0);
    if (!kind || !options)
        return false;
    is_u32 = !memcmp(RTA_DATA(kind), "u32", sizeof("u32"));
    at = find(RTA_DATA(options), RTA_PAYLOAD(options),
              is_u32 ? TCA_U32_ACT : TCA_MATCHALL_ACT, 0);
    at = !at ? NULL : find(RTA_DATA(at), RTA_PAYLOAD(at), 1, 0);
    at = !at ? NULL : find(RTA_DATA(at), RTA_PAYLOAD(at), TCA_ACT_OPTIONS, 0);
    at = !at ? NULL : find(RTA_DATA(at), RTA_PAYLOAD(at), TCA_MIRRED_PARMS,
                           sizeof(mirred));
    if (!at)
        return false;
    memcpy(&mirred, RTA_DATA(at), sizeof(mirred));
    return mirred.index == action;
}

/*
 * 1: a filter on the interface's ingress hands its frames to ACTION; 0: none does. The
 * action itself knows it only a while later: a filter is freed after a grace period.
 */
static int find_filter(struct linux_kernel *kernel, uint32_t interface, uint32_t action)
{
    union {
        struct nlmsghdr head;
        char room[8192];
    } in;
    const struct nlmsghdr *head;
    struct request request;
    uint32_t left;
    ssize_t n;
    int found = 0;

    begin(kernel, &request, RTM_GETTFILTER, NLM_F_DUMP, sizeof(request.tc));
    request.head.nlmsg_flags &= (uint16_t)~NLM_F_ACK;
    request.tc.tcm_ifindex = (int)interface;
    request.tc.tcm_parent = TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS);
    n = send(kernel->fd, &request, request.head.nlmsg_len, 0);
    while (n >= 0) {
        n = recv(kernel->fd, &in, sizeof(in), 0);
        if (n < 0 && errno == EINTR) {
            n = 0;
            continue;
        }
        left = (uint32_t)(n > 0 ? n : 0);
        for (head = &in.head; n > 0 && NLMSG_OK(head, left);
             head = NLMSG_NEXT(head, left)) {
            if (head->nlmsg_seq != kernel->seq)
                continue;
            if (head->nlmsg_type == NLMSG_DONE)
                return found;
            if (head->nlmsg_type == NLMSG_ERROR)
                return ((const struct nlmsgerr *)NLMSG_DATA(head))->error;
            found = found || has_action(head, action);
        }
    }
    return errno ? -errno : -EIO;
}

static uint32_t verify_action(struct linux_kernel *kernel,
                              const struct tsr_plug_wanted *wanted)
{
    struct tc_mirred mirred;
    uint32_t faults = 0;
    int rc = get_action(kernel, wanted->port->action, &mirred);

    if (rc == -ENOENT || rc == -EINVAL)
        return TSR_PLUG_UNREDIRECTED;
    if (rc < 0)
        return TSR_PLUG_UNSEEN;
    if (wanted->port->interface)
        rc = find_filter(kernel, wanted->port->interface, wanted->port->action);
    if (rc < 0 && rc != -ENODEV && rc != -ENOENT && rc != -EINVAL)
        return TSR_PLUG_UNSEEN;
    if (wanted->port->interface && rc != 1)
        faults |= TSR_PLUG_UNREDIRECTED;
    if (mirred.ifindex != wanted->current || mirred.eaction != TCA_EGRESS_REDIR ||
        mirred.action != TC_ACT_STOLEN)
        faults |= TSR_PLUG_TURNED;
    return faults;
}

static uint32_t verify_queue(struct linux_kernel *kernel,
                             const struct tsr_plug_wanted *wanted, unsigned i,
                             struct tsr_plug_found *found)
{
    uint32_t queue = wanted->port->queues[i];
    const struct rtattr *all, *kind;
    struct answer answer;
    size_t size;
    int rc = get_qdisc(kernel, queue, &answer);

    if (rc == -ENODEV) {
        found->absent[i] = true;
        return TSR_PLUG_NO_DEVICE;
    }
    /* -EINVAL: one of those that the kernel does not show, as noqueue. */
    if (rc < 0 && rc != -ENOENT && rc != -EINVAL)
        return TSR_PLUG_UNSEEN;
    all = rc < 0 ? NULL : attributes(&answer, sizeof(struct tcmsg), &size);
    kind = !all ? NULL : find(all, size, TCA_KIND, sizeof("plug"));
    if (kind && !memcmp(RTA_DATA(kind), "plug", sizeof("plug")))
        found->handles[i] = ((const struct tcmsg *)NLMSG_DATA(&answer.head))->tcm_handle;
    found->unplugged[i] = !found->handles[i] ||
                          (wanted->handles[i] && wanted->handles[i] != found->handles[i]);
    if (found->unplugged[i])
        return TSR_PLUG_UNPLUGGED;
    return 0;
}

static void linux_verify(void *state, const struct tsr_plug_wanted *wanted,
                         struct tsr_plug_found *found)
{
    struct linux_kernel *kernel = state;
    const struct tsr_plug_port *port = wanted->port;
    unsigned i;
    int rc;

    for (i = 0; i < 2 && port->queues[i]; i++) {
        found->faults |= verify_queue(kernel, wanted, i, found);
        if (!wanted->whole || found->absent[i])
            continue;
        found->down[i] = get_flags(kernel, port->queues[i]) == 0;
        if (found->down[i])
            found->faults |= TSR_PLUG_DEVICE_DOWN;
    }
    if (port->action)
        found->faults |= verify_action(kernel, wanted);
    if (wanted->hold[0]) {
        rc = tsr_plug_nft_look(&kernel->nft, wanted->hold);
        if (rc < 0)
            found->faults |= TSR_PLUG_NO_HOLD;
    }
    /* An interface that was unplugged takes its filter and its hook along; where its action
     * points to then is all the same. */
    if (found->faults & (TSR_PLUG_UNREDIRECTED | TSR_PLUG_NO_HOLD) && port->interface &&
        get_flags(kernel, port->interface) == -ENODEV)
        found->faults &= ~(uint32_t)(TSR_PLUG_UNREDIRECTED | TSR_PLUG_NO_HOLD |
                                     TSR_PLUG_TURNED);
}

static int linux_replace(void *kernel, uint32_t queue, uint32_t limit)
{
    struct tc_plug_qopt option = { .action = TCQ_PLUG_LIMIT, .limit = limit };

    /* All three: a new one also where there is one (tc_modify_qdisc, sch_api.c). */
    return tell_plug(kernel, queue, NLM_F_CREATE | NLM_F_REPLACE | NLM_F_EXCL, option,
                     "cannot put a plug back on the buffer's device");
}

static int linux_set_up(void *state, uint32_t device, bool up)
{
    struct linux_kernel *kernel = state;
    struct request request;

    begin(kernel, &request, RTM_NEWLINK, 0, sizeof(request.link));
    request.link.ifi_index = (int)device;
    request.link.ifi_change = IFF_UP;
    request.link.ifi_flags = up ? IFF_UP : 0;
    return talk(kernel, &request, NULL, 0,
                up ? "cannot set an interface up" : "cannot take an interface down", device);
}

static int linux_hold(void *state, uint32_t device, const char *name)
{
    struct linux_kernel *kernel = state;

    return tsr_plug_nft_hold(&kernel->nft, device, name);
}

static int linux_unhold(void *state, const char *name)
{
    struct linux_kernel *kernel = state;

    return tsr_plug_nft_unhold(&kernel->nft, name);
}

/* A netlink socket that is in GROUPS; its own number in *OWN_OUT (NULL: not wanted). */
static int open_socket(uint32_t groups, uint32_t *own_out)
{
    struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = groups };
    socklen_t size = sizeof(address);
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), rc;

    if (fd >= 0 && !bind(fd, (void *)&address, sizeof(address)) &&
        !getsockname(fd, (void *)&address, &size)) {
        if (own_out)
            *own_out = address.nl_pid;
        return fd;
    }
    rc = tsr_fail(-errno, "cannot speak to the kernel's network part: %s",
                  strerror(errno));
    if (fd >= 0)
        close(fd);
    return rc;
}

static int linux_listen(void *state, int fds_out[2], uint32_t own_out[2])
{
    struct linux_kernel *kernel = state;

    fds_out[0] = open_socket(RTMGRP_LINK | RTMGRP_TC, NULL);
    if (fds_out[0] < 0)
        return fds_out[0];
    own_out[0] = kernel->own;
    /* Without it nobody holds a second time, and nothing is to be heard of it. */
    fds_out[1] = tsr_plug_nft_listen(&kernel->nft, &own_out[1]);
    return 0;
}

static void linux_close(void *state)
{
    struct linux_kernel *kernel = state;

    close(kernel->fd);
    tsr_plug_nft_close(kernel->nft);
    free(kernel);
}

int tsr_plug_kernel_open(void **state_out)
{
    struct linux_kernel *kernel = calloc(1, sizeof(*kernel));
    uint64_t frames;
    int on = 1, rc;

    if (!kernel)
        return tsr_fail(-ENOMEM, "out of memory");
    kernel->fd = open_socket(0, &kernel->own);
    if (kernel->fd < 0) {
        rc = kernel->fd;
        free(kernel);
        return rc;
    }
    setsockopt(kernel->fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on));
    /* Something may sit between us and the kernel: ask it for the counts of lo. */
    rc = linux_transit(kernel, 1, &frames);
    if (rc < 0) {
        linux_close(kernel);
        return rc;
    }
    *state_out = kernel;
    return 0;
}

const struct tsr_plug_kernel tsr_plug_kernel_linux = {
    .create = linux_create,
    .change = linux_change,
    .redirect = linux_redirect,
    .look = linux_look,
    .transit = linux_transit,
    .verify = linux_verify,
    .replace = linux_replace,
    .set_up = linux_set_up,
    .hold = linux_hold,
    .unhold = linux_unhold,
    .listen = linux_listen,
    .close = linux_close,
};
