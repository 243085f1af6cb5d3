/*
 * Beacons, with the port of the outer bridge at which they came in.
 *
 * Each host hangs on a tap of its own. A packet socket on the tap sees what the host sends before
 * any bridge has touched it, and with the frames that leave through the same tap (marked
 * PACKET_OUTGOING) left out, a beacon's line names the host that sent it. Time is the kernel's,
 * taken when the frame came, not when this program got round to reading it.
 *
 *   TIME_MS LABEL GUEST BOOT_ID SEQUENCE COUNTER
 */
#define _GNU_SOURCE
#include "labguest.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PORTS_MAX 4
#define RECEIVE_BUFFER (8 << 20)

static int open_tap(const char *interface)
{
    int on = 1, size = RECEIVE_BUFFER;
    struct sockaddr_ll address = {
        .sll_family = AF_PACKET,
        /* Not ETH_P_IP: those listeners come after the bridge, which has taken the frame by then. */
        .sll_protocol = htons(ETH_P_ALL),
        .sll_ifindex = (int)if_nametoindex(interface),
    };
    int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || address.sll_ifindex == 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on));
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
    setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on));
    return bind(fd, (struct sockaddr *)&address, sizeof(address)) ? -1 : fd;
}

/* The payload of a beacon, or NULL if the packet is anything else. */
static const char *beacon_in(char *packet, ssize_t length)
{
    const struct iphdr *ip = (const struct iphdr *)(void *)packet;
    const struct udphdr *udp;
    size_t head;

    if (length < (ssize_t)(sizeof(*ip) + sizeof(*udp)) || ip->protocol != IPPROTO_UDP)
        return NULL;
    head = (size_t)ip->ihl * 4;
    if ((size_t)length < head + sizeof(*udp) + 5)
        return NULL;
    udp = (const struct udphdr *)(void *)(packet + head);
    if (ntohs(udp->dest) != BEACON_PORT)
        return NULL;
    head += sizeof(*udp);
    packet[length] = 0;
    /* Frames are padded to 60 bytes; the text ends where the datagram does. */
    if (head - sizeof(*udp) + ntohs(udp->len) < (size_t)length)
        packet[head - sizeof(*udp) + ntohs(udp->len)] = 0;
    return strncmp(packet + head, "LAB1 ", 5) ? NULL : packet + head + 5;
}

static void take_packet(int fd, const char *label)
{
    char packet[2048], control[256];
    struct sockaddr_ll from = { 0 };
    struct iovec iov = { packet, sizeof(packet) - 1 };
    struct msghdr message = {
        .msg_name = &from,
        .msg_namelen = sizeof(from),
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = control,
        .msg_controllen = sizeof(control),
    };
    struct timespec when = { 0 };
    ssize_t n = recvmsg(fd, &message, 0);
    const char *beacon;

    if (n <= 0 || from.sll_pkttype == PACKET_OUTGOING ||
        from.sll_protocol != htons(ETH_P_IP))
        return;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c))
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_TIMESTAMPNS)
            memcpy(&when, CMSG_DATA(c), sizeof(when));
    beacon = beacon_in(packet, n);
    if (beacon)
        printf("%.3f %s %s\n", (double)when.tv_sec * 1e3 + (double)when.tv_nsec / 1e6, label,
               beacon);
}

int capture(int count, char **interfaces)
{
    struct pollfd fds[PORTS_MAX + 1];

    if (count > PORTS_MAX)
        return 64;
    for (int i = 0; i < count; i++) {
        char *equals = strchr(interfaces[i], '=');

        if (!equals)
            return 64;
        *equals = 0;
        fds[i] = (struct pollfd){ .fd = open_tap(equals + 1), .events = POLLIN };
        if (fds[i].fd < 0) {
            fprintf(stderr, "cannot capture on %s\n", equals + 1);
            return 1;
        }
    }
    fds[count] = (struct pollfd){ .fd = STDIN_FILENO, .events = POLLIN };
    printf("# capturing\n");
    for (;;) {
        char ignored[64];

        if (poll(fds, (nfds_t)count + 1, -1) < 0)
            continue;
        for (int i = 0; i < count; i++)
            if (fds[i].revents)
                take_packet(fds[i].fd, interfaces[i]);
        if (fds[count].revents && read(STDIN_FILENO, ignored, sizeof(ignored)) <= 0)
            return 0;
    }
}
