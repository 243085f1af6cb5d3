/*
 * The guest's main loop: one process, one thread, one poll. It never forks: under emulation that
 * costs 50 ms, and the guest's life must depend on nothing but its memory.
 *
 * Every round advances the counter, the beacon and the pattern by the time that has passed on
 * CLOCK_MONOTONIC, then serves the sockets. Queries are one line in, one line of JSON out.
 */
#define _GNU_SOURCE
#include "labguest.h"
#include "traffic.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CLIENTS_MAX 32
#define LINE_MAX_BYTES 256
#define COUNTER_MS 10.0
#define IDLE_ROUND_MS 5
#define BUSY_ROUND_MS 2
#define CATCH_UP_MS 20.0  /* a round never makes up for more: no bursts after a pause */
#define VERIFY_CHUNK 128  /* pages looked at per round */

enum fixed_socket { QUERY_LISTEN, ECHO_LISTEN, ECHO_UDP, BEACON_UDP, FIXED_SOCKETS };

struct client {
    int fd; /* -1: free */
    bool echo;
    bool verifying; /* waits for the end of the running verification */
    uint32_t entry; /* of the disk's journal, whose durability it waits for; 0: none */
    bool disk_verifying;
    bool files; /* waits for what the files' thread was told to do */
    size_t used;
    char line[LINE_MAX_BYTES];
};

static struct {
    char name[NAME_MAX_BYTES];
    char boot_id[33];
    uint64_t counter, beacon_sequence;
    double counter_due, rewrite_due, beacon_due; /* how much of each is owed */
    double rate, beacon_ms;
    double last_ms;
    bool verifying;
    uint32_t verify_next;
    struct pattern_report report;
    bool disk_verifying;
    uint32_t disk_next, disk_rate;
    struct disk_report disk_report;
    int sockets[FIXED_SOCKETS];
    struct client clients[CLIENTS_MAX];
} s;

static double monotonic_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int open_socket(int type, uint16_t port)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
    int on = 1, fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) ||
        (type == SOCK_STREAM && listen(fd, 16))) {
        close(fd);
        return -1;
    }
    return fd;
}

static void send_beacon(void)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(BEACON_PORT) };
    char text[160];
    int n = snprintf(text, sizeof(text), "LAB1 %s %s %lu %lu", s.name, s.boot_id,
                     (unsigned long)++s.beacon_sequence, (unsigned long)s.counter);

    inet_pton(AF_INET, OUTSIDE_IP, &to.sin_addr);
    (void)!sendto(s.sockets[BEACON_UDP], text, (size_t)n, 0, (struct sockaddr *)&to, sizeof(to));
}

/* Advances everything that goes by time. */
static void advance(void)
{
    double now = monotonic_ms(), passed = now - s.last_ms;

    s.last_ms = now;
    pauses_tick();
    if (passed > CATCH_UP_MS)
        passed = CATCH_UP_MS;
    for (s.counter_due += passed; s.counter_due >= COUNTER_MS; s.counter_due -= COUNTER_MS)
        s.counter++;
    for (s.rewrite_due += passed * s.rate / 1e3; s.rewrite_due >= 1; s.rewrite_due -= 1)
        load_step();
    traffic_suspends();
    flows_advance(passed);
    s.beacon_due += passed;
    if (s.beacon_ms > 0 && s.beacon_due >= s.beacon_ms) {
        s.beacon_due = s.beacon_due > 2 * s.beacon_ms ? 0 : s.beacon_due - s.beacon_ms;
        send_beacon();
    }
}

static void drop_client(struct client *client)
{
    close(client->fd);
    client->fd = -1;
}

static void answer(struct client *client, const char *text)
{
    char line[1400];
    int n = snprintf(line, sizeof(line), "%s\n", text);

    /* A line fits the socket's buffer; a client that does not read is not waited for. */
    if (send(client->fd, line, (size_t)n, MSG_NOSIGNAL) != n)
        drop_client(client);
}

static void answer_state(struct client *client)
{
    char pauses[512], traffic[256], text[1300];

    pauses_describe(pauses, sizeof(pauses));
    traffic_describe(traffic, sizeof(traffic));
    snprintf(text, sizeof(text),
             "{\"name\":\"%s\",\"boot\":\"%s\",\"counter\":%lu,\"rate\":%.0f,\"pages\":%u,"
             "\"runs\":%u,\"rewrites\":%lu,\"checksum\":\"%016lx\",\"checksumOk\":%s,"
             "\"beaconMs\":%.0f,\"beaconSequence\":%lu,\"uptimeMs\":%.0f,%s,\"pauses\":%s}",
             s.name, s.boot_id, (unsigned long)s.counter, s.rate, pattern_pages(), pattern_runs(),
             (unsigned long)pattern_rewrites(), (unsigned long)pattern_checksum(),
             pattern_sum_ok() ? "true" : "false", s.beacon_ms, (unsigned long)s.beacon_sequence,
             monotonic_ms(), traffic, pauses);
    answer(client, text);
}

/* What the guest takes for the time: by each of its clocks, and which counter drives them. */
static void answer_clocks(struct client *client)
{
    static const clockid_t clocks[] = { CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME };
    char text[256], source[32] = "";
    double ms[3];
    FILE *file = fopen("/sys/devices/system/clocksource/clocksource0/current_clocksource", "re");

    if (file) {
        if (fscanf(file, "%31s", source) != 1)
            source[0] = 0;
        fclose(file);
    }
    for (int i = 0; i < 3; i++) {
        struct timespec now;

        clock_gettime(clocks[i], &now);
        ms[i] = (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
    }
    snprintf(text, sizeof(text),
             "{\"realtimeMs\":%.3f,\"monotonicMs\":%.3f,\"boottimeMs\":%.3f,\"source\":\"%s\"}",
             ms[0], ms[1], ms[2], source);
    answer(client, text);
}

static void answer_verified(struct client *client)
{
    const struct pattern_report *r = &s.report;
    char text[512];
    bool ok = r->stale + r->torn == 0 && r->sum_ok;
    int n = snprintf(text, sizeof(text),
                     "{\"ok\":%s,\"boot\":\"%s\",\"counter\":%lu,\"pages\":%u,\"bad\":%u,"
                     "\"stale\":%u,\"torn\":%u,\"checksumOk\":%s",
                     ok ? "true" : "false", s.boot_id, (unsigned long)s.counter, r->pages,
                     r->stale + r->torn, r->stale, r->torn, r->sum_ok ? "true" : "false");

    if (r->stale + r->torn > 0)
        n += snprintf(text + n, sizeof(text) - (size_t)n,
                      ",\"firstBad\":{\"page\":%u,\"has\":%u,\"due\":%u}", r->first_bad,
                      r->first_has, r->first_due);
    snprintf(text + n, sizeof(text) - (size_t)n, "}");
    answer(client, text);
}

static void answer_history(struct client *client)
{
    char text[1300];

    traffic_history(text, sizeof(text));
    answer(client, text);
}

/* A few pages per round: the rewriting goes on meanwhile, each page is right at its moment. */
static void continue_verification(void)
{
    pattern_verify(s.verify_next, VERIFY_CHUNK, &s.report);
    s.verify_next += VERIFY_CHUNK;
    if (s.verify_next < pattern_pages())
        return;
    s.verifying = false;
    s.report.sum_ok = pattern_sum_ok();
    for (int i = 0; i < CLIENTS_MAX; i++) {
        struct client *client = &s.clients[i];

        if (client->fd >= 0 && client->verifying) {
            client->verifying = false;
            answer_verified(client);
        }
    }
}

static void begin_verification(struct client *client)
{
    client->verifying = true;
    if (s.verifying)
        return;
    s.verifying = true;
    s.verify_next = 0;
    memset(&s.report, 0, sizeof(s.report));
}

static void begin_disk_verification(struct client *client)
{
    client->disk_verifying = true;
    if (s.disk_verifying)
        return;
    s.disk_verifying = true;
    s.disk_next = 0;
    memset(&s.disk_report, 0, sizeof(s.disk_report));
    disk_set_rate(0);
}

/* What waits for the disk: a verification that needs it quiet, and entries of the journal. */
static void continue_disk(void)
{
    char text[512];

    for (int i = 0; i < CLIENTS_MAX; i++) {
        struct client *client = &s.clients[i];

        if (client->fd < 0 || !client->entry || client->entry > disk_appended())
            continue;
        snprintf(text, sizeof(text), "{\"entry\":%u}", client->entry);
        client->entry = 0;
        answer(client, text);
    }
    if (!s.disk_verifying || !disk_is_quiet() || !disk_verify(&s.disk_next, &s.disk_report))
        return;
    s.disk_verifying = false;
    disk_set_rate(s.disk_rate);
    disk_describe(text, sizeof(text), &s.disk_report);
    for (int i = 0; i < CLIENTS_MAX; i++) {
        struct client *client = &s.clients[i];

        if (client->fd < 0 || !client->disk_verifying)
            continue;
        client->disk_verifying = false;
        answer(client, text);
    }
}

/* Whoever told the files' thread to do something is told how that went. */
static void continue_files(void)
{
    char text[512];

    if (!files_are_done())
        return;
    files_describe(text, sizeof(text));
    for (int i = 0; i < CLIENTS_MAX; i++) {
        struct client *client = &s.clients[i];

        if (client->fd < 0 || !client->files)
            continue;
        client->files = false;
        answer(client, text);
    }
}

static void begin_files(struct client *client, enum files_work what)
{
    files_set_rate(0);
    files_begin(what);
    client->files = true;
}

static void obey(struct client *client, char *line)
{
    char *argument = strchr(line, ' ');
    double value = 0;

    if (argument) {
        *argument++ = 0;
        value = atof(argument);
    }
    if (!strcmp(line, "state")) {
        answer_state(client);
    } else if (!strcmp(line, "clocks")) {
        answer_clocks(client);
    } else if (!strcmp(line, "verify")) {
        begin_verification(client);
    } else if (!strcmp(line, "rate") && argument && value >= 0) {
        s.rate = value;
        answer_state(client);
    } else if (!strcmp(line, "runs") && argument && !pattern_set_runs((uint32_t)value)) {
        answer_state(client);
    } else if (!strcmp(line, "load") && argument && !load_set(argument)) {
        answer_state(client);
    } else if (!strcmp(line, "beacon") && argument && value >= 0) {
        s.beacon_ms = value;
        answer_state(client);
    } else if (!strcmp(line, "flow") && argument && flows_set(argument)) {
        answer_state(client);
    } else if (!strcmp(line, "disk") && argument && value >= 0 && disk_is_there()) {
        s.disk_rate = (uint32_t)value;
        disk_set_rate(s.disk_rate);
        answer_state(client);
    } else if (!strcmp(line, "disk-verify") && disk_is_there()) {
        begin_disk_verification(client);
    } else if (!strcmp(line, "files") && argument && value >= 0 && files_are_there()) {
        files_set_rate((uint32_t)value);
        answer_state(client);
    } else if (!strcmp(line, "files-verify") && files_are_there()) {
        begin_files(client, FILES_VERIFY);
    } else if (!strcmp(line, "files-unmount") && files_are_there()) {
        begin_files(client, FILES_UNMOUNT);
    } else if (!strcmp(line, "append") && disk_is_there()) {
        client->entry = disk_append();
        if (!client->entry)
            answer(client, "{\"error\":\"one at a time\"}");
    } else if (!strcmp(line, "history")) {
        answer_history(client);
    } else if (!strcmp(line, "reset")) {
        pauses_reset();
        answer_state(client);
    } else if (!strcmp(line, "poweroff") || !strcmp(line, "reboot") || !strcmp(line, "crash")) {
        answer(client, "{\"ok\":true}");
        usleep(50000); /* the answer goes out before the machine does */
        boot_end(line);
    } else {
        answer(client, "{\"error\":\"unknown command\"}");
    }
}

static void accept_client(int listener, bool echo)
{
    int on = 1, fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd < 0)
        return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    for (int i = 0; i < CLIENTS_MAX; i++) {
        if (s.clients[i].fd < 0) {
            s.clients[i] = (struct client){ .fd = fd, .echo = echo };
            return;
        }
    }
    close(fd);
}

static void serve_client(struct client *client)
{
    char data[2048];
    ssize_t n = recv(client->fd, data, sizeof(data), 0);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0 || (client->echo && send(client->fd, data, (size_t)n, MSG_NOSIGNAL) != n)) {
        drop_client(client);
        return;
    }
    for (ssize_t i = 0; i < n && !client->echo && client->fd >= 0; i++) {
        if (data[i] == '\n') {
            client->line[client->used] = 0;
            client->used = 0;
            obey(client, client->line);
        } else if (client->used + 1 < sizeof(client->line)) {
            client->line[client->used++] = data[i];
        }
    }
}

static void echo_datagram(int fd)
{
    struct sockaddr_in from;
    socklen_t size = sizeof(from);
    char data[2048];
    ssize_t n = recvfrom(fd, data, sizeof(data), 0, (struct sockaddr *)&from, &size);

    if (n >= 0)
        (void)!sendto(fd, data, (size_t)n, 0, (struct sockaddr *)&from, size);
}

static void serve_sockets(int timeout_ms)
{
    struct pollfd fds[FIXED_SOCKETS + CLIENTS_MAX + TRAFFIC_FDS_MAX];
    struct pollfd *traffic = fds + FIXED_SOCKETS + CLIENTS_MAX;
    int traffic_count;

    for (int i = 0; i < FIXED_SOCKETS; i++)
        fds[i] = (struct pollfd){ .fd = s.sockets[i], .events = POLLIN };
    for (int i = 0; i < CLIENTS_MAX; i++)
        fds[FIXED_SOCKETS + i] = (struct pollfd){ .fd = s.clients[i].fd, .events = POLLIN };
    traffic_count = traffic_poll(traffic);
    if (poll(fds, (nfds_t)(FIXED_SOCKETS + CLIENTS_MAX + traffic_count), timeout_ms) <= 0)
        return;
    traffic_serve(traffic);
    for (int i = 0; i < CLIENTS_MAX; i++)
        if (fds[FIXED_SOCKETS + i].revents && s.clients[i].fd >= 0)
            serve_client(&s.clients[i]);
    if (fds[QUERY_LISTEN].revents)
        accept_client(s.sockets[QUERY_LISTEN], false);
    if (fds[ECHO_LISTEN].revents)
        accept_client(s.sockets[ECHO_LISTEN], true);
    if (fds[ECHO_UDP].revents)
        echo_datagram(s.sockets[ECHO_UDP]);
    if (fds[BEACON_UDP].revents) /* a pending ICMP error; reading it clears it */
        (void)!recv(s.sockets[BEACON_UDP], &(char){ 0 }, 1, 0);
}

static void make_boot_id(void)
{
    uint8_t bytes[16];

    if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
        printf("LAB failed: no random numbers\n");
    for (int i = 0; i < 16; i++)
        snprintf(s.boot_id + 2 * i, 3, "%02x", bytes[i]);
}

void serve(const char *name, const char *ip)
{
    const char *rate;
    uint64_t boot;

    snprintf(s.name, sizeof(s.name), "%s", name);
    make_boot_id();
    s.beacon_ms = 10;
    rate = boot_parameter("lab.rate");
    s.rate = rate ? atof(rate) : 0;
    s.sockets[QUERY_LISTEN] = open_socket(SOCK_STREAM, QUERY_PORT);
    s.sockets[ECHO_LISTEN] = open_socket(SOCK_STREAM, ECHO_PORT);
    s.sockets[ECHO_UDP] = open_socket(SOCK_DGRAM, ECHO_PORT);
    s.sockets[BEACON_UDP] = open_socket(SOCK_DGRAM, BEACON_PORT);
    for (int i = 0; i < FIXED_SOCKETS; i++)
        if (s.sockets[i] < 0)
            printf("LAB failed: socket %d\n", i);
    for (int i = 0; i < CLIENTS_MAX; i++)
        s.clients[i].fd = -1;
    pauses_start();
    boot = strtoull(strndupa(s.boot_id, 16), NULL, 16);
    traffic_start(boot, ip);
    if (boot_parameter("lab.disk") && disk_start("/dev/xvda", boot))
        printf("LAB failed: no disk\n");
    if (boot_parameter("lab.files") && files_start("/dev/xvdb", boot))
        printf("LAB failed: no file system\n");
    s.last_ms = monotonic_ms();
    for (;;) {
        bool at_once = s.verifying || flows_are_hungry();

        serve_sockets(at_once ? 0 : s.rate > 0 ? BUSY_ROUND_MS : IDLE_ROUND_MS);
        advance();
        if (s.verifying)
            continue_verification();
        continue_disk();
        continue_files();
    }
}
