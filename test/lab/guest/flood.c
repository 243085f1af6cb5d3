/*
 * Pings over IPv4 and IPv6 and ARP requests, each with a number of its own, which the guest's
 * kernel puts into its answer. What asks and what answers is seen by frames.c; the answers that
 * come back here are of no use to anybody.
 */
#define _GNU_SOURCE
#include "traffic.h"
#include "labguest.h"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define ROUND_MS 5
/* An address that nobody has: an ARP request teaches the guest whose it is. */
#define ARP_SENDER_IP "10.77.0.2"

static int open_interface(const char *name, uint8_t mac[6])
{
    struct sockaddr_ll address = {
        .sll_family = AF_PACKET,
        .sll_ifindex = (int)if_nametoindex(name),
    };
    struct ifreq request = { 0 };
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

    snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
    if (fd < 0 || ioctl(fd, SIOCGIFHWADDR, &request) ||
        bind(fd, (struct sockaddr *)&address, sizeof(address)))
        return -1;
    memcpy(mac, request.ifr_hwaddr.sa_data, 6);
    return fd;
}

static double monotonic_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static size_t build(uint8_t *frame, struct frame_addresses *from, uint32_t number)
{
    switch (number % 3) {
    case 0:
        return frame_build_ping4(frame, from, number);
    case 1:
        return frame_build_ping6(frame, from, number);
    default:
        break;
    }
    struct frame_addresses other = *from;

    other.ip = inet_addr(ARP_SENDER_IP);
    return frame_build_arp(frame, &other, number);
}

int flood(char **arguments)
{
    struct frame_addresses from = { .ip = inet_addr(OUTSIDE_IP) };
    struct pollfd end = { .fd = STDIN_FILENO, .events = POLLIN };
    double rate = atof(arguments[4]), owed = 0, last = monotonic_ms();
    uint32_t number = 0;
    uint8_t frame[256], *mac = from.guest_mac;
    int fd = open_interface(arguments[0], from.mac);

    if (sscanf(arguments[1], "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", mac, mac + 1, mac + 2, mac + 3,
               mac + 4, mac + 5) != 6 ||
        inet_pton(AF_INET, arguments[2], &from.guest_ip) != 1 ||
        inet_pton(AF_INET6, arguments[3], from.guest_ip6) != 1 || rate <= 0)
        return 64;
    inet_pton(AF_INET6, OUTSIDE_IP6, from.ip6);
    if (fd < 0) {
        fprintf(stderr, "cannot send on %s\n", arguments[0]);
        return 1;
    }
    printf("# flooding\n");
    while (poll(&end, 1, ROUND_MS) == 0) {
        double now = monotonic_ms();

        owed += (now - last) * rate / 1e3;
        last = now;
        for (owed = owed > rate / 10 ? rate / 10 : owed; owed >= 1; owed -= 1)
            (void)!send(fd, frame, build(frame, &from, ++number), 0);
    }
    printf("{\"sent\":%u}\n", number);
    return 0;
}
