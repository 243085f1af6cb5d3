/*
 * The guest's part in the tests of output commit.
 *
 *  - A TCP service on IPv4 and IPv6 whose every answer carries the next number of a counter.
 *  - A TCP service that sends as fast as it can, for throughput.
 *  - Flows of datagrams: flows.c.
 *
 * Everything carries how often the guest had been suspended by then (pauses.c). What was said
 * after the k-th suspension of a protection belongs to epoch k: the guest itself says so, by its
 * own clocks and without having heard of epochs. A history of what had been said at each
 * suspension stays in memory, so that a survivor can tell which epoch it is the end of.
 */
#define _GNU_SOURCE
#include "traffic.h"
#include "labguest.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CLIENTS 8
#define REQUESTS_AT_ONCE 64
#define HISTORY 64
#define HISTORY_SHOWN 8 /* what fits into one answer */

enum listener { NUMBER4, NUMBER6, BULK, LISTENERS };

struct talker {
    int fd; /* -1: free */
    enum listener kind;
    size_t in_used, out_used, out_sent;
    uint8_t in[REQUESTS_AT_ONCE * sizeof(struct number_request)];
    uint8_t out[REQUESTS_AT_ONCE * sizeof(struct number_answer)];
};

struct mark {
    uint32_t suspends;
    uint64_t numbers[2];
    uint64_t sequence;
};

static struct {
    uint64_t boot;
    int listeners[LISTENERS];
    struct talker talkers[CLIENTS];
    uint64_t numbers[2]; /* by family: the last one said */
    uint32_t suspends;
    struct mark history[HISTORY];
    uint32_t marks;
} t;

uint32_t traffic_suspends(void)
{
    uint32_t now = pauses_suspends();

    if (now != t.suspends) {
        t.history[t.marks++ % HISTORY] = (struct mark){
            .suspends = now,
            .numbers = { t.numbers[0], t.numbers[1] },
            .sequence = flows_sequence(),
        };
        t.suspends = now;
    }
    return now;
}

static int open_listener(int family, uint16_t port)
{
    struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
    struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons(port) };
    int on = 1, fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    void *address = family == AF_INET6 ? (void *)&six : (void *)&four;
    socklen_t size = family == AF_INET6 ? sizeof(six) : sizeof(four);

    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
    if (bind(fd, address, size) || listen(fd, 8)) {
        close(fd);
        return -1;
    }
    return fd;
}

void traffic_start(uint64_t boot, const char *ip)
{
    t.boot = boot;
    t.suspends = pauses_suspends();
    flows_start(boot, ip);
    t.listeners[NUMBER4] = open_listener(AF_INET, NUMBER_PORT);
    t.listeners[NUMBER6] = open_listener(AF_INET6, NUMBER_PORT);
    t.listeners[BULK] = open_listener(AF_INET, BULK_PORT);
    for (int i = 0; i < LISTENERS; i++)
        if (t.listeners[i] < 0)
            printf("LAB failed: listener %d\n", i);
    for (int i = 0; i < CLIENTS; i++)
        t.talkers[i].fd = -1;
}

int traffic_poll(struct pollfd *fds)
{
    int n = 0;

    for (int i = 0; i < LISTENERS; i++)
        fds[n++] = (struct pollfd){ .fd = t.listeners[i], .events = POLLIN };
    for (int i = 0; i < CLIENTS; i++) {
        struct talker *talker = &t.talkers[i];
        bool writes = talker->kind == BULK || talker->out_sent < talker->out_used;

        fds[n++] = (struct pollfd){ .fd = talker->fd, .events = writes ? POLLOUT : POLLIN };
    }
    return n + flows_poll(fds + n);
}

static void accept_talker(enum listener kind)
{
    int on = 1, fd = accept4(t.listeners[kind], NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd < 0)
        return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    for (int i = 0; i < CLIENTS; i++) {
        struct talker *talker = &t.talkers[i];

        if (talker->fd < 0) {
            talker->fd = fd;
            talker->kind = kind;
            talker->in_used = talker->out_used = talker->out_sent = 0;
            return;
        }
    }
    close(fd);
}

static void drop_talker(struct talker *talker)
{
    close(talker->fd);
    talker->fd = -1;
}

static bool flush_answers(struct talker *talker)
{
    ssize_t n = send(talker->fd, talker->out + talker->out_sent,
                     talker->out_used - talker->out_sent, MSG_NOSIGNAL);

    if (n > 0)
        talker->out_sent += (size_t)n;
    if (talker->out_sent == talker->out_used)
        talker->out_sent = talker->out_used = 0;
    return n >= 0 || errno == EAGAIN || errno == EINTR;
}

/* Answers whole requests; false when the client does not speak as it should. */
static bool answer_requests(struct talker *talker)
{
    size_t at = 0;

    for (; talker->in_used - at >= sizeof(struct number_request);
         at += sizeof(struct number_request)) {
        struct number_request request;
        struct number_answer answer = { .magic = ANSWER_MAGIC, .boot = t.boot };

        memcpy(&request, talker->in + at, sizeof(request));
        if (request.magic != REQUEST_MAGIC)
            return false;
        answer.suspends = traffic_suspends(); /* before the number: the history is of before */
        answer.id = request.id;
        answer.number = ++t.numbers[talker->kind];
        memcpy(talker->out + talker->out_used, &answer, sizeof(answer));
        talker->out_used += sizeof(answer);
    }
    memmove(talker->in, talker->in + at, talker->in_used - at);
    talker->in_used -= at;
    return true;
}

static bool serve_talker(struct talker *talker, short events)
{
    static const uint8_t filling[16384];
    ssize_t n;

    if (talker->kind == BULK) {
        n = send(talker->fd, filling, sizeof(filling), MSG_NOSIGNAL);
        return n >= 0 || errno == EAGAIN || errno == EINTR;
    }
    if (talker->out_used > 0)
        return flush_answers(talker);
    if (!(events & POLLIN))
        return !(events & (POLLERR | POLLHUP));
    n = recv(talker->fd, talker->in + talker->in_used, sizeof(talker->in) - talker->in_used, 0);
    if (n <= 0)
        return n < 0 && (errno == EAGAIN || errno == EINTR);
    talker->in_used += (size_t)n;
    return answer_requests(talker) && (talker->out_used == 0 || flush_answers(talker));
}

void traffic_serve(const struct pollfd *fds)
{
    for (int i = 0; i < CLIENTS; i++) {
        struct talker *talker = &t.talkers[i];
        short events = fds[LISTENERS + i].revents;

        if (talker->fd >= 0 && events && !serve_talker(talker, events))
            drop_talker(talker);
    }
    flows_unblock(fds + LISTENERS + CLIENTS);
    for (int i = 0; i < LISTENERS; i++)
        if (fds[i].revents)
            accept_talker((enum listener)i);
}

int traffic_describe(char *out, size_t size)
{
    return snprintf(out, size,
                    "\"suspends\":%u,\"numbers\":[%lu,%lu],\"frames\":%lu,"
                    "\"flows\":[%lu,%lu,%lu,%lu]",
                    traffic_suspends(), (unsigned long)t.numbers[0], (unsigned long)t.numbers[1],
                    (unsigned long)flows_sequence(), (unsigned long)flow_sequence(0),
                    (unsigned long)flow_sequence(1), (unsigned long)flow_sequence(2),
                    (unsigned long)flow_sequence(3));
}

int traffic_history(char *out, size_t size)
{
    uint32_t first = t.marks > HISTORY_SHOWN ? t.marks - HISTORY_SHOWN : 0;
    int n = snprintf(out, size, "{\"suspends\":%u,\"history\":[", traffic_suspends());

    for (uint32_t i = first; i < t.marks; i++) {
        const struct mark *mark = &t.history[i % HISTORY];

        n += snprintf(out + n, size - (size_t)n,
                      "%s{\"suspends\":%u,\"numbers\":[%lu,%lu],\"frames\":%lu}",
                      i > first ? "," : "", mark->suspends, (unsigned long)mark->numbers[0],
                      (unsigned long)mark->numbers[1], (unsigned long)mark->sequence);
    }
    return n + snprintf(out + n, size - (size_t)n, "]}");
}
