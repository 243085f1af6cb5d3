/*
 * Flows of datagrams from the guest to the sink outside, each with a sequence number and a checksum
 * of its own: UDP over IPv4 and IPv6, UDP in a VLAN-tagged frame, UDP on a second interface; at a
 * rate or flat out. What cannot be sent now is sent later: a sequence number is used up only by a
 * frame that the kernel took.
 */
#define _GNU_SOURCE
#include "traffic.h"
#include "labguest.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define FRAMES_AT_ONCE 32 /* of one flow in one round: the others want their turn */
#define FRAME_BYTES_MIN 128
#define FRAME_BYTES_MAX 1400
#define CATCH_UP_MS 100.0 /* what a flow that could not send makes up for */
#define SEND_BUFFER (1 << 20)

struct flow {
    int fd;      /* -1: not there */
    double rate; /* bytes a second; below 0: flat out */
    uint16_t bytes;
    double owed; /* bytes */
    bool blocked;
    uint64_t sequence;
};

static struct flow flows[FLOWS];
static uint64_t sequence; /* of all frames, whatever the flow */
static uint64_t boot_id;
/* What the frames of flow VLAN come from. */
static struct {
    uint8_t mac[6];
    uint32_t ip;
} from;

/* A packet socket that only sends; the source of its frames is noted. */
static int open_raw(const char *interface)
{
    struct sockaddr_ll address = {
        .sll_family = AF_PACKET,
        .sll_ifindex = (int)if_nametoindex(interface),
    };
    struct ifreq request = { 0 };
    int size = SEND_BUFFER, fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", interface);
    if (ioctl(fd, SIOCGIFHWADDR, &request) ||
        bind(fd, (struct sockaddr *)&address, sizeof(address))) {
        close(fd);
        return -1;
    }
    memcpy(from.mac, request.ifr_hwaddr.sa_data, 6);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
    return fd;
}

static int open_udp(enum flow_kind kind)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(SINK_PORT) };
    struct sockaddr_in6 to6 = { .sin6_family = AF_INET6, .sin6_port = htons(SINK_PORT) };
    bool six = kind == FLOW_UDP6, second = kind == FLOW_SECOND;
    int size = SEND_BUFFER;
    int fd = socket(six ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
    inet_pton(AF_INET, second ? OUTSIDE_IP_SECOND : OUTSIDE_IP, &to.sin_addr);
    inet_pton(AF_INET6, OUTSIDE_IP6, &to6.sin6_addr);
    if ((second && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "eth1", 5)) ||
        (six ? connect(fd, (struct sockaddr *)&to6, sizeof(to6))
             : connect(fd, (struct sockaddr *)&to, sizeof(to)))) {
        close(fd);
        return -1;
    }
    return fd;
}

void flows_start(uint64_t boot, const char *ip)
{
    boot_id = boot;
    from.ip = inet_addr(ip);
    for (int i = 0; i < FLOWS; i++)
        flows[i].fd = -1; /* opened when wanted: the interfaces have their addresses then */
}

bool flows_set(const char *arguments)
{
    unsigned which, bytes = FRAME_BYTES_MAX;
    char rate[32];
    struct flow *flow;

    if (sscanf(arguments, "%u %31s %u", &which, rate, &bytes) < 2 || which >= FLOWS ||
        bytes < FRAME_BYTES_MIN || bytes > FRAME_BYTES_MAX)
        return false;
    flow = &flows[which];
    if (flow->fd < 0)
        flow->fd = which == FLOW_VLAN ? open_raw("eth0") : open_udp(which);
    if (flow->fd < 0)
        return false;
    flow->rate = strcmp(rate, "max") ? atof(rate) : -1;
    flow->bytes = (uint16_t)bytes;
    flow->owed = 0;
    flow->blocked = false;
    return true;
}

/* False when there is no room: the frame was not sent and its numbers are not used up. */
static bool send_frame(enum flow_kind kind, struct flow *flow)
{
    static union {
        struct frame_head head;
        uint8_t bytes[FRAME_BYTES_MAX];
    } payload;
    static uint8_t frame[VLAN_OVERHEAD + FRAME_BYTES_MAX];
    const uint8_t *data = payload.bytes;
    size_t size = flow->bytes;

    payload.head = (struct frame_head){
        .magic = FRAME_MAGIC,
        .flow = (uint16_t)kind,
        .bytes = flow->bytes,
        .suspends = traffic_suspends(),
        .sequence = sequence + 1,
        .flow_sequence = flow->sequence + 1,
        .boot = boot_id,
    };
    frame_fill(&payload.head);
    if (kind == FLOW_VLAN) {
        size = frame_build_vlan(frame, from.mac, from.ip, payload.bytes, flow->bytes);
        data = frame;
    }
    if (send(flow->fd, data, size, MSG_NOSIGNAL) < 0) {
        /* ECONNREFUSED tells of an earlier one that nobody took; this one did not go. */
        flow->blocked = errno == EAGAIN || errno == ENOBUFS;
        return false;
    }
    sequence++;
    flow->sequence++;
    return true;
}

void flows_advance(double passed_ms)
{
    for (int kind = 0; kind < FLOWS; kind++) {
        struct flow *flow = &flows[kind];
        int left = FRAMES_AT_ONCE;
        double most = flow->rate * CATCH_UP_MS / 1e3 + flow->bytes;

        if (flow->fd < 0 || flow->rate == 0)
            continue;
        flow->owed += flow->rate * passed_ms / 1e3;
        if (flow->owed > most)
            flow->owed = most;
        if (flow->rate < 0)
            flow->owed = (double)flow->bytes * left;
        while (!flow->blocked && flow->owed >= flow->bytes && left-- > 0 &&
               send_frame((enum flow_kind)kind, flow))
            flow->owed -= flow->bytes;
    }
}

bool flows_are_hungry(void)
{
    for (int i = 0; i < FLOWS; i++)
        if (flows[i].fd >= 0 && flows[i].rate < 0 && !flows[i].blocked)
            return true;
    return false;
}

int flows_poll(struct pollfd *fds)
{
    for (int i = 0; i < FLOWS; i++)
        fds[i] = (struct pollfd){ .fd = flows[i].blocked ? flows[i].fd : -1, .events = POLLOUT };
    return FLOWS;
}

void flows_unblock(const struct pollfd *fds)
{
    for (int i = 0; i < FLOWS; i++)
        if (fds[i].revents)
            flows[i].blocked = false;
}

uint64_t flows_sequence(void)
{
    return sequence;
}

uint64_t flow_sequence(int flow)
{
    return flows[flow].sequence;
}
