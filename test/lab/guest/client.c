/*
 * The outside's questions to a guest: the query service, and echoes that measure what a client
 * sees. Runs in the lab's network namespace, on the real machine: its clock never stands still.
 */
#define _GNU_SOURCE
#include "labguest.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define ANSWER_MAX 4096
#define SAMPLES_MAX 200000
#define GAP_MS 100.0

static double now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static bool wait_for(int fd, short events, double end)
{
    struct pollfd p = { .fd = fd, .events = events };
    double left = end - now_ms();

    return poll(&p, 1, left > 0 ? (int)left + 1 : 0) > 0;
}

static int connect_to(const char *ip, int type, uint16_t port, double end)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
    int error = 0, on = 1;
    socklen_t size = sizeof(error);
    int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0 || inet_pton(AF_INET, ip, &to.sin_addr) != 1)
        return -1;
    if (type == SOCK_STREAM)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (connect(fd, (struct sockaddr *)&to, sizeof(to)) && errno != EINPROGRESS)
        return -1;
    if (!wait_for(fd, POLLOUT, end) || getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) || error)
        return -1;
    return fd;
}

int client_ask(const char *ip, int timeout_ms, const char *command)
{
    double end = now_ms() + timeout_ms;
    char data[ANSWER_MAX];
    size_t used = 0;
    int fd = connect_to(ip, SOCK_STREAM, QUERY_PORT, end);

    if (fd < 0) {
        fprintf(stderr, "%s does not answer\n", ip);
        return 1;
    }
    dprintf(fd, "%s\n", command);
    while (used < sizeof(data) - 1 && wait_for(fd, POLLIN, end)) {
        ssize_t n = recv(fd, data + used, sizeof(data) - 1 - used, 0);

        if (n <= 0)
            break;
        used += (size_t)n;
        data[used] = 0;
        if (data[used - 1] == '\n') {
            fputs(data, stdout);
            return 0;
        }
    }
    fprintf(stderr, "%s gave no whole answer to `%s`\n", ip, command);
    return 1;
}

struct echo_stats {
    uint64_t sent, got;
    double last_answer, gap_max, gaps_total;
    uint32_t gaps;
    bool broken;
    double times[SAMPLES_MAX];
};

struct echo_message {
    uint64_t sequence;
    double sent_ms;
};

static void count_answer(struct echo_stats *stats, const struct echo_message *message)
{
    double now = now_ms(), gap = now - stats->last_answer;

    if (stats->got < SAMPLES_MAX)
        stats->times[stats->got] = now - message->sent_ms;
    stats->got++;
    stats->last_answer = now;
    if (gap > stats->gap_max)
        stats->gap_max = gap;
    if (gap > GAP_MS) {
        stats->gaps++;
        stats->gaps_total += gap;
    }
}

/* Takes what has come; messages on a stream may come in pieces. */
static void take_answers(int fd, struct echo_stats *stats)
{
    static char buffer[64 * sizeof(struct echo_message)];
    static size_t used;
    size_t at = 0;
    ssize_t n = recv(fd, buffer + used, sizeof(buffer) - used, 0);

    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR && errno != ECONNREFUSED))
        stats->broken = true;
    if (n <= 0)
        return;
    used += (size_t)n;
    for (; used - at >= sizeof(struct echo_message); at += sizeof(struct echo_message)) {
        struct echo_message message;

        memcpy(&message, buffer + at, sizeof(message));
        count_answer(stats, &message);
    }
    memmove(buffer, buffer + at, used - at);
    used -= at;
}

static int by_size(const void *x, const void *y)
{
    double a = *(const double *)x, b = *(const double *)y;

    return (a > b) - (a < b);
}

static void print_stats(struct echo_stats *stats)
{
    size_t n = stats->got < SAMPLES_MAX ? stats->got : SAMPLES_MAX;

    qsort(stats->times, n, sizeof(*stats->times), by_size);
    printf("{\"sent\":%lu,\"answered\":%lu,\"broken\":%s,\"p50Ms\":%.1f,\"p90Ms\":%.1f,"
           "\"maxMs\":%.1f,\"gapMaxMs\":%.1f,\"gaps\":%u,\"gapsTotalMs\":%.1f}\n",
           (unsigned long)stats->sent, (unsigned long)stats->got,
           stats->broken ? "true" : "false", n ? stats->times[n / 2] : 0.0,
           n ? stats->times[n * 9 / 10] : 0.0, n ? stats->times[n - 1] : 0.0, stats->gap_max,
           stats->gaps, stats->gaps_total);
}

int client_ping(const char *ip, const char *kind, int interval_ms, int seconds)
{
    static struct echo_stats stats;
    int type = !strcmp(kind, "tcp") ? SOCK_STREAM : SOCK_DGRAM;
    double start = now_ms(), next = start, end = start + seconds * 1e3;
    int fd = connect_to(ip, type, ECHO_PORT, start + 5000);

    if (fd < 0) {
        fprintf(stderr, "%s does not answer\n", ip);
        return 1;
    }
    stats.last_answer = now_ms();
    while (!stats.broken && now_ms() < end) {
        if (now_ms() >= next) {
            struct echo_message message = { ++stats.sent, now_ms() };

            if (send(fd, &message, sizeof(message), MSG_NOSIGNAL) < 0 && errno != EAGAIN &&
                errno != ECONNREFUSED)
                stats.broken = true;
            next += interval_ms;
        }
        if (wait_for(fd, POLLIN, next))
            take_answers(fd, &stats);
    }
    count_answer(&stats, &(struct echo_message){ 0, now_ms() }); /* the last gap counts too */
    stats.got--;
    print_stats(&stats);
    return 0;
}
