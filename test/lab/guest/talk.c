/*
 * TCP clients of the guest, outside of it. `talk` asks for numbers over one connection and goes
 * on for as long as the connection lasts, whatever happens to the guest meanwhile.
 *
 *   # connected
 *   TIME_MS NUMBER SUSPENDS ASKED_MS BOOT      one line per answer; times of CLOCK_REALTIME
 *   ! REASON                                   the connection broke, or an answer was none
 *
 * A request goes out every INTERVAL_US while fewer than WINDOW are unanswered: with a wide window
 * as on a busy server, with a window of one as a single client that waits. Interval 0: at once.
 */
#define _GNU_SOURCE
#include "traffic.h"
#include "labguest.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define WINDOW_MAX 65536
#define CONNECT_MS 10000

static struct {
    int fd;
    uint64_t asked, answered;
    size_t half;                        /* bytes of the next request that are out */
    double asked_ms[WINDOW_MAX];
    uint8_t data[64 * sizeof(struct number_answer)];
    size_t used;
} k;

static double clock_ms(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static int connect_to(const char *ip, uint16_t port)
{
    struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons(port) };
    struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
    bool is6 = inet_pton(AF_INET6, ip, &six.sin6_addr) == 1;
    int on = 1, error = 0, fd;
    socklen_t size = sizeof(error);
    struct pollfd p = { .events = POLLOUT };

    if (!is6 && inet_pton(AF_INET, ip, &four.sin_addr) != 1)
        return -1;
    p.fd = fd = socket(is6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if ((is6 ? connect(fd, (struct sockaddr *)&six, sizeof(six))
             : connect(fd, (struct sockaddr *)&four, sizeof(four))) &&
        errno != EINPROGRESS)
        return -1;
    if (poll(&p, 1, CONNECT_MS) <= 0 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) ||
        error)
        return -1;
    return fd;
}

static bool fail(const char *format, ...)
{
    va_list arguments;

    printf("! ");
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    printf("\n");
    return false;
}

static bool take_answer(const struct number_answer *answer)
{
    if (answer->magic != ANSWER_MAGIC)
        return fail("an answer that is none, after %lu", (unsigned long)k.answered);
    if (answer->id != k.answered + 1)
        return fail("answer to request %lu instead of %lu", (unsigned long)answer->id,
                    (unsigned long)k.answered + 1);
    k.answered++;
    printf("%.3f %lu %u %.3f %016lx\n", clock_ms(CLOCK_REALTIME), (unsigned long)answer->number,
           answer->suspends, k.asked_ms[answer->id % WINDOW_MAX], (unsigned long)answer->boot);
    return true;
}

static bool take_answers(void)
{
    size_t at = 0;
    ssize_t n = recv(k.fd, k.data + k.used, sizeof(k.data) - k.used, 0);

    if (n == 0)
        return fail("the guest closed the connection");
    if (n < 0)
        return errno == EAGAIN || errno == EINTR || fail("%s", strerror(errno));
    k.used += (size_t)n;
    for (; k.used - at >= sizeof(struct number_answer); at += sizeof(struct number_answer)) {
        struct number_answer answer;

        memcpy(&answer, k.data + at, sizeof(answer));
        if (!take_answer(&answer))
            return false;
    }
    memmove(k.data, k.data + at, k.used - at);
    k.used -= at;
    return true;
}

/*
 * True when a request went out. A socket that fills up may take half of one (a client that
 * has asked in vain for nine seconds meets that): the rest goes first, the next time.
 */
static bool ask_next(void)
{
    struct number_request request = { .magic = REQUEST_MAGIC, .id = k.asked + 1 };
    ssize_t n = send(k.fd, (uint8_t *)&request + k.half, sizeof(request) - k.half,
                     MSG_NOSIGNAL);

    if (n > 0)
        k.half += (size_t)n;
    if (k.half < sizeof(request))
        return false;
    k.half = 0;
    k.asked++;
    k.asked_ms[k.asked % WINDOW_MAX] = clock_ms(CLOCK_REALTIME);
    return true;
}

int talk(const char *ip, int interval_us, int window)
{
    double next = clock_ms(CLOCK_MONOTONIC);
    char ignored[64];

    if (window < 1 || window >= WINDOW_MAX)
        return 64;
    k.fd = connect_to(ip, NUMBER_PORT);
    if (k.fd < 0) {
        fprintf(stderr, "%s does not answer\n", ip);
        return 1;
    }
    printf("# connected\n");
    for (;;) {
        struct pollfd fds[2] = { { .fd = k.fd, .events = POLLIN }, { .events = POLLIN } };
        double now = clock_ms(CLOCK_MONOTONIC), wait = next - now;
        bool full = k.asked - k.answered >= (uint64_t)window;
        struct timespec left = { 0 };

        if (!full && wait <= 0) {
            if (ask_next())
                next = interval_us == 0 || wait < -100 ? now : next;
            next += interval_us / 1e3;
            wait = next - now;
            full = k.asked - k.answered >= (uint64_t)window;
        }
        if (full)
            wait = 100;
        if (wait > 0)
            left = (struct timespec){ (time_t)(wait / 1e3), (long)(wait * 1e6) % 1000000000 };
        if (ppoll(fds, 2, &left, NULL) <= 0)
            continue;
        if (fds[1].revents && read(STDIN_FILENO, ignored, sizeof(ignored)) <= 0)
            return 0;
        if (fds[0].revents && !take_answers())
            return 0;
    }
}

int pull(const char *ip, int seconds)
{
    static uint8_t data[1 << 18];
    double began = clock_ms(CLOCK_MONOTONIC), now = began, last = began, gap = 0;
    uint64_t bytes = 0;
    bool broken = false;
    struct pollfd p = { .events = POLLIN };

    p.fd = connect_to(ip, BULK_PORT);
    if (p.fd < 0) {
        fprintf(stderr, "%s does not answer\n", ip);
        return 1;
    }
    while (!broken && now - began < seconds * 1e3) {
        ssize_t n = poll(&p, 1, 100) > 0 ? recv(p.fd, data, sizeof(data), 0) : -1;

        now = clock_ms(CLOCK_MONOTONIC);
        if (now - last > gap)
            gap = now - last;
        if (n > 0) {
            bytes += (uint64_t)n;
            last = now;
        }
        broken = n == 0 || (n < 0 && p.revents & (POLLERR | POLLHUP));
    }
    printf("{\"bytes\":%lu,\"ms\":%.1f,\"gapMaxMs\":%.1f,\"broken\":%s}\n", (unsigned long)bytes,
           now - began, gap, broken ? "true" : "false");
    return 0;
}
