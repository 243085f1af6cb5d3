/*
 * The end of the guest's flows, outside of it: UDP on port 5004, over IPv4 and IPv6, whole only if
 * the kernel found UDP's own checksum right and we the frame's. A line of JSON at the end:
 * per flow how many came, how many are missing between the first and the last, how many came a
 * second time, and how many after a later one; and how many were damaged. What a guest says again
 * after its activation counts as coming a second time, unless nobody had heard it before.
 */
#define _GNU_SOURCE
#include "traffic.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define RECEIVE_BUFFER (64 << 20)
#define MESSAGES 64
#define SEQUENCES (1u << 24) /* later ones count as damaged */

static struct flow {
    uint64_t got, first, last, again, late;
    uint8_t seen[SEQUENCES / 8];
} flows[FLOWS];
static uint64_t damaged;
static uint64_t guest_boot;

static int open_sink(int family)
{
    struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons(SINK_PORT) };
    struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(SINK_PORT) };
    int on = 1, size = RECEIVE_BUFFER, fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool is6 = family == AF_INET6;

    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
    if (is6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
    if (is6 ? bind(fd, (struct sockaddr *)&six, sizeof(six))
            : bind(fd, (struct sockaddr *)&four, sizeof(four))) {
        close(fd);
        return -1;
    }
    return fd;
}

static void count(struct flow *flow, uint64_t sequence)
{
    uint8_t bit = (uint8_t)(1u << sequence % 8), *byte = &flow->seen[sequence / 8];

    flow->got++;
    if (*byte & bit)
        flow->again++;
    else if (sequence < flow->last)
        flow->late++;
    *byte |= bit;
    if (flow->first == 0 || sequence < flow->first)
        flow->first = sequence;
    if (sequence > flow->last)
        flow->last = sequence;
}

static uint64_t missing(const struct flow *flow)
{
    return flow->got ? flow->last - flow->first + 1 - (flow->got - flow->again) : 0;
}

static void take(const uint8_t *payload, size_t size)
{
    struct frame_head head;

    if (!frame_is_whole(payload, size)) {
        damaged++;
        return;
    }
    memcpy(&head, payload, sizeof(head));
    if (head.flow >= FLOWS || head.flow_sequence >= SEQUENCES ||
        (guest_boot && head.boot != guest_boot)) {
        damaged++;
        return;
    }
    guest_boot = head.boot;
    count(&flows[head.flow], head.flow_sequence);
}

static void take_all(int fd)
{
    static uint8_t data[MESSAGES][2048];
    struct iovec vectors[MESSAGES];
    struct mmsghdr messages[MESSAGES];
    int n;

    memset(messages, 0, sizeof(messages));
    for (int i = 0; i < MESSAGES; i++) {
        vectors[i] = (struct iovec){ data[i], sizeof(data[i]) };
        messages[i].msg_hdr.msg_iov = &vectors[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    n = recvmmsg(fd, messages, MESSAGES, MSG_DONTWAIT, NULL);
    for (int i = 0; i < n; i++)
        take(data[i], messages[i].msg_len);
}

int sink(void)
{
    struct pollfd fds[3] = {
        { .fd = open_sink(AF_INET), .events = POLLIN },
        { .fd = open_sink(AF_INET6), .events = POLLIN },
        { .fd = STDIN_FILENO, .events = POLLIN },
    };
    char ignored[64];

    if (fds[0].fd < 0 || fds[1].fd < 0) {
        fprintf(stderr, "port %d is taken\n", SINK_PORT);
        return 1;
    }
    printf("# listening\n");
    for (;;) {
        if (poll(fds, 3, -1) < 0)
            continue;
        for (int i = 0; i < 2; i++)
            if (fds[i].revents)
                take_all(fds[i].fd);
        if (fds[2].revents && read(STDIN_FILENO, ignored, sizeof(ignored)) <= 0)
            break;
    }
    printf("{\"damaged\":%lu,\"flows\":[", (unsigned long)damaged);
    for (int i = 0; i < FLOWS; i++)
        printf("%s{\"got\":%lu,\"first\":%lu,\"last\":%lu,\"again\":%lu,\"late\":%lu,"
               "\"missing\":%lu}",
               i ? "," : "", (unsigned long)flows[i].got, (unsigned long)flows[i].first,
               (unsigned long)flows[i].last, (unsigned long)flows[i].again,
               (unsigned long)flows[i].late, (unsigned long)missing(&flows[i]));
    printf("]}\n");
    return 0;
}
