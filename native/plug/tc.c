/*
 * The other way in which Linux is told: a resident `tc -batch -`, for a host where
 * a netlink socket of our own cannot be had or does not answer.
 *
 * tc knows all that is needed: the plug since iproute2 5.2 (tc/q_plug.c), the size
 * table (tc-stab(8)), and `actions replace`, which turns one mirred action in place.
 * It says nothing of a command that worked, so every exchange ends in a
 * `qdisc show`: that prints one line of JSON, which is flushed at its end
 * (jsonw_destroy, lib/json_writer.c). Without -force tc ends at the first command
 * that fails (do_batch, lib/utils.c), so an answer means that what came before it
 * worked. No answer, for whatever reason, is a failure: a barrier that may not be in
 * place must stop the session.
 *
 * Commands, answers and what tc says on stderr share one pair of sockets; only an
 * answer begins with a bracket.
 */
#include "internal.h"

#include <fcntl.h>
#include <linux/pkt_sched.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef __GLIBC_PREREQ
#define __GLIBC_PREREQ(major, minor) 0
#endif

#define STR_(x) #x
#define STR(x) STR_(x)
#define STAB "stab overhead " STR(TSR_PLUG_OVERHEAD) " linklayer ethernet"
#define SAID_MAX 200

extern char **environ;

struct tc {
    char *program;
    pid_t pid;
    int fd;                             /* -1: it is not running */
    size_t filled;
    char in[4096];                      /* an answer has some 300 bytes */
    char said[SAID_MAX];                /* the last that it complained of */
};

/* ---- the host ---------------------------------------------------------------- */

static int start_tc(const char *program, int *fd_out, pid_t *pid_out)
{
    char *argv[] = { (char *)"tc", (char *)"-json", (char *)"-statistics",
                     (char *)"-batch", (char *)"-", NULL };
    posix_spawn_file_actions_t files;
    posix_spawnattr_t how;
    sigset_t none;
    int fds[2], i, rc;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
        return tsr_fail(-errno, "no sockets for tc: %s", strerror(errno));
    sigemptyset(&none);
    posix_spawn_file_actions_init(&files);
    for (i = 0; i < 3; i++)
        posix_spawn_file_actions_adddup2(&files, fds[1], i);
#if __GLIBC_PREREQ(2, 34)
    /* Nothing else of ours, such as an end of a pipe whose end is waited for. */
    posix_spawn_file_actions_addclosefrom_np(&files, 3);
#endif
    posix_spawnattr_init(&how);
    /* A group of its own: what a terminal interrupts is not tc. */
    posix_spawnattr_setflags(&how, POSIX_SPAWN_SETPGROUP |
                                   POSIX_SPAWN_SETSIGMASK);
    posix_spawnattr_setpgroup(&how, 0);
    posix_spawnattr_setsigmask(&how, &none);
    rc = posix_spawn(pid_out, program, &files, &how, argv, environ);
    posix_spawnattr_destroy(&how);
    posix_spawn_file_actions_destroy(&files);
    close(fds[1]);
    if (rc) {
        close(fds[0]);
        return tsr_fail(-rc, "cannot start %s: %s", program, strerror(rc));
    }
    *fd_out = fds[0];
    return 0;
}

static int device_name(uint32_t device, char *name_out)
{
    if (if_indextoname(device, name_out))
        return 0;
    return tsr_fail(-ENODEV, "there is no network device number %u", device);
}

static int device_count(const char *name, const char *what, uint64_t *count_out)
{
    char path[128], text[32];
    ssize_t n = -1;
    int fd;

    snprintf(path, sizeof(path), "/sys/class/net/%s/statistics/%s", name, what);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        n = read(fd, text, sizeof(text) - 1);
        close(fd);
    }
    if (n <= 0)
        return tsr_fail(-ENODEV, "cannot read %s", path);
    text[n] = 0;
    *count_out = strtoull(text, NULL, 10);
    return 0;
}

struct tsr_plug_tc_host tsr_plug_tc_host = {
    .start = start_tc,
    .name = device_name,
    .count = device_count,
    .answer_ms = 10000,
};

/* ---- one exchange -------------------------------------------------------------- */

/* What it has not answered is lost with it: the next exchange starts another one. */
static void stop(struct tc *tc)
{
    if (tc->fd < 0)
        return;
    close(tc->fd);
    tc->fd = -1;
    if (tc->pid > 0) {
        kill(tc->pid, SIGKILL);
        while (waitpid(tc->pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
}

static int start(struct tc *tc)
{
    if (tc->fd >= 0)
        return 0;
    tc->filled = 0;
    return tsr_plug_tc_host.start(tc->program, &tc->fd, &tc->pid);
}

static int send_all(int fd, const char *text, size_t size)
{
    ssize_t n;

    while (size) {
        n = send(fd, text, size, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        text += n;
        size -= (size_t)n;
    }
    return 0;
}

/* Keeps what says why, not what says where or how it is used. */
static void note_said(struct tc *tc, const char *line)
{
    static const char *const idle[] = { "Command failed", "We have an error",
                                        "Usage" };
    size_t i;

    for (i = 0; i < sizeof(idle) / sizeof(idle[0]); i++)
        if (!strncmp(line, idle[i], strlen(idle[i])))
            return;
    if (*line)
        snprintf(tc->said, sizeof(tc->said), "%.*s", SAID_MAX - 1, line);
}

/* Takes the first line out of tc->in into LINE; false: there is no whole one. */
static bool next_line(struct tc *tc, char *line)
{
    char *end = memchr(tc->in, '\n', tc->filled);
    size_t length;

    if (!end)
        return false;
    length = (size_t)(end - tc->in);
    memcpy(line, tc->in, length);
    line[length] = 0;
    tc->filled -= length + 1;
    memmove(tc->in, end + 1, tc->filled);
    return true;
}

/* Reads up to the answer, into LINE (as big as tc->in). */
static int read_answer(struct tc *tc, char *line)
{
    uint64_t end_ns = tsr_now_ns() + tsr_plug_tc_host.answer_ms * 1000000u, now;
    struct pollfd fd = { .fd = tc->fd, .events = POLLIN };
    ssize_t n;
    int rc;

    for (;;) {
        while (next_line(tc, line)) {
            if (line[0] == '[')
                return 0;
            note_said(tc, line);
        }
        if (tc->filled == sizeof(tc->in))
            return -EPROTO;
        now = tsr_now_ns();
        rc = now >= end_ns ? 0
             : poll(&fd, 1, (int)((end_ns - now) / 1000000u) + 1);
        if (!rc)
            return -ETIMEDOUT;
        if (rc < 0 && errno != EINTR)
            return -errno;
        if (rc < 0)
            continue;
        n = recv(tc->fd, tc->in + tc->filled, sizeof(tc->in) - tc->filled, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -EIO;
        tc->filled += (size_t)n;
    }
}

static const char *why(const struct tc *tc, int rc)
{
    if (rc == -ETIMEDOUT)
        return "no answer";
    return tc->said[0] ? tc->said : "it ended without a word";
}

/*
 * Lets tc do COMMAND (a line, or ""), and then show the queues of NAME: its answer
 * is in ANSWER, as big as tc->in. WHAT begins the sentence of a failure.
 */
static int ask(struct tc *tc, const char *name, const char *command,
               const char *what, char *answer)
{
    char text[512];
    int rc = start(tc);

    if (rc < 0)
        return rc;
    tc->said[0] = 0;
    /* The empty line: the tc of iproute2 5.2 and a few more reads one line ahead. */
    snprintf(text, sizeof(text), "%sqdisc show dev %s\n\n", command, name);
    rc = send_all(tc->fd, text, strlen(text));
    /* Where it has ended already it may have said why. */
    if (!rc || rc == -EPIPE || rc == -ECONNRESET)
        rc = read_answer(tc, answer);
    if (!rc)
        return 0;
    stop(tc);
    return tsr_fail(rc, "%s (network device %s): tc says: %s", what, name,
                    why(tc, rc));
}

__attribute__((format(printf, 4, 5)))
static int tell(struct tc *tc, uint32_t device, const char *what,
                const char *format, ...)
{
    char name[IF_NAMESIZE], answer[sizeof(tc->in)], rest[256], command[320];
    int rc = tsr_plug_tc_host.name(device, name);
    va_list words;

    if (rc < 0)
        return rc;
    va_start(words, format);
    vsnprintf(rest, sizeof(rest), format, words);
    va_end(words);
    /* A dollar stands for the device. */
    snprintf(command, sizeof(command), "%.*s%s%s\n", (int)strcspn(rest, "$"), rest,
             name, rest + strcspn(rest, "$") + 1);
    return ask(tc, name, command, what, answer);
}

/* ---- what the rule asks for ------------------------------------------------------ */

static int tc_create(void *tc, uint32_t queue, uint32_t limit)
{
    return tell(tc, queue, "cannot put a plug on the buffer's device",
                "qdisc add dev $ root " STAB " plug limit %u", limit);
}

static int tc_change(void *tc, uint32_t queue, int action)
{
    static const struct {
        const char *word, *what;
    } how[] = {
        [TCQ_PLUG_BUFFER] = { "block", "cannot close the plug" },
        [TCQ_PLUG_RELEASE_ONE] = { "release", "cannot release an epoch" },
        [TCQ_PLUG_RELEASE_INDEFINITE] = { "release_indefinite",
                                          "cannot open the plug" },
    };

    /* The size table with every change: one without it would take it away. */
    return tell(tc, queue, how[action].what,
                "qdisc change dev $ root " STAB " plug %s", how[action].word);
}

static int tc_redirect(void *tc, uint32_t action, uint32_t queue)
{
    return tell(tc, queue, "cannot turn the guest's output",
                "actions replace action mirred egress redirect dev $ index %u",
                action);
}

/* A number of the first qdisc of ANSWER. */
static int figure(const char *answer, const char *key, uint64_t *out)
{
    const char *at = strstr(answer, key);

    if (!at)
        return tsr_fail(-EPROTO, "tc shows no %s of a plug: %.80s", key, answer);
    *out = strtoull(at + strlen(key), NULL, 10);
    return 0;
}

static int tc_look(void *state, uint32_t queue, struct tsr_queue_look *look_out)
{
    struct tc *tc = state;
    char name[IF_NAMESIZE], answer[sizeof(tc->in)];
    uint64_t packets, backlog, dropped;
    int rc = tsr_plug_tc_host.name(queue, name);

    if (!rc)
        rc = ask(tc, name, "", "cannot look at a plug", answer);
    if (!rc)
        rc = figure(answer, "\"qlen\":", &packets);
    if (!rc)
        rc = figure(answer, "\"backlog\":", &backlog);
    if (!rc)
        rc = figure(answer, "\"drops\":", &dropped);
    if (!rc)
        *look_out = tsr_queue_look_of(packets, backlog, dropped);
    return rc;
}

/*
 * See linux_transit. The counts come one after the other: what left is read first, so
 * that a frame which moves meanwhile is rather counted than overlooked.
 */
static int tc_transit(void *state, uint32_t queue, uint64_t *frames_out)
{
    uint64_t left, dropped, came;
    char name[IF_NAMESIZE];
    int rc = tsr_plug_tc_host.name(queue, name);

    (void)state;
    if (!rc)
        rc = tsr_plug_tc_host.count(name, "tx_packets", &left);
    if (!rc)
        rc = tsr_plug_tc_host.count(name, "rx_dropped", &dropped);
    if (!rc)
        rc = tsr_plug_tc_host.count(name, "rx_packets", &came);
    if (!rc)
        *frames_out = came - dropped - left;
    return rc;
}

/* What a `qdisc show` tells: whether the queue has a plug. The rest nobody asks here. */
static void tc_verify(void *state, const struct tsr_plug_wanted *wanted,
                      struct tsr_plug_found *found)
{
    struct tc *tc = state;
    char name[IF_NAMESIZE], answer[sizeof(tc->in)];
    unsigned i;

    for (i = 0; i < 2 && wanted->port->queues[i]; i++) {
        if (tsr_plug_tc_host.name(wanted->port->queues[i], name) < 0) {
            found->absent[i] = true;
            found->faults |= TSR_PLUG_NO_DEVICE;
        } else if (ask(tc, name, "", "cannot look at a plug", answer) < 0) {
            found->faults |= TSR_PLUG_UNSEEN;
        } else if (!strstr(answer, "\"kind\":\"plug\"")) {
            found->unplugged[i] = true;
            found->faults |= TSR_PLUG_UNPLUGGED;
        }
    }
}

static int tc_replace(void *tc, uint32_t queue, uint32_t limit)
{
    return tell(tc, queue, "cannot put a plug back on the buffer's device",
                "qdisc replace dev $ root " STAB " plug limit %u", limit);
}

static int tc_set_up(void *state, uint32_t device, bool up)
{
    struct ifreq request = { .ifr_flags = 0 };
    int rc = tsr_plug_tc_host.name(device, request.ifr_name);
    int fd = rc < 0 ? -1 : socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    (void)state;
    if (rc < 0)
        return rc;
    rc = fd < 0 || ioctl(fd, SIOCGIFFLAGS, &request) ? -errno : 0;
    if (!rc) {
        request.ifr_flags = (short)(up ? request.ifr_flags | IFF_UP
                                       : request.ifr_flags & ~IFF_UP);
        rc = ioctl(fd, SIOCSIFFLAGS, &request) ? -errno : 0;
    }
    if (fd >= 0)
        close(fd);
    return rc ? tsr_fail(rc, "cannot set %s up or down: %s", request.ifr_name,
                         strerror(-rc)) : 0;
}

static int tc_hold(void *state, uint32_t device, const char *name)
{
    (void)state;
    (void)device;
    (void)name;
    return tsr_fail(-EOPNOTSUPP, "no netlink socket, no second hold");
}

static int tc_unhold(void *state, const char *name)
{
    (void)state;
    (void)name;
    return 0;
}

static int tc_listen(void *state, int fds_out[2], uint32_t own_out[2])
{
    (void)state;
    (void)fds_out;
    (void)own_out;
    return tsr_fail(-EOPNOTSUPP, "no netlink socket that tells what changes");
}

static void tc_close(void *state)
{
    struct tc *tc = state;

    stop(tc);
    free(tc->program);
    free(tc);
}

const struct tsr_plug_kernel tsr_plug_kernel_tc = {
    .create = tc_create,
    .change = tc_change,
    .redirect = tc_redirect,
    .look = tc_look,
    .transit = tc_transit,
    .verify = tc_verify,
    .replace = tc_replace,
    .set_up = tc_set_up,
    .hold = tc_hold,
    .unhold = tc_unhold,
    .listen = tc_listen,
    .close = tc_close,
};

int tsr_plug_tc_open(const char *program, void **state_out)
{
    struct tc *tc = calloc(1, sizeof(*tc));
    char answer[sizeof(tc->in)];
    int rc;

    if (tc) {
        tc->fd = -1;
        tc->program = strdup(program);
    }
    if (!tc || !tc->program) {
        free(tc);
        return tsr_fail(-ENOMEM, "out of memory");
    }
    /* Every host has this device, and the first question is better a harmless one. */
    rc = ask(tc, "lo", "", "tc does not answer", answer);
    if (rc < 0)
        tc_close(tc);
    else
        *state_out = tc;
    return rc;
}
