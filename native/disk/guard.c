/*
 * The disk guard: a program of its own beside a session. It holds the NBD device that is
 * the leg of a guest's mirror, and takes the mirror away when server, socket, leg or disk
 * fails, or when the session is gone: until then the kernel holds the guest's writes.
 *
 *   tsremus-disk-guard --device NAME --under NAME --nbd PATH --size BYTES --leg FD
 *                      --session FD --log FD --lock PATH [--vg-lock PATH]
 *                      [--pace FD] [--stall MS] [--timeout SECONDS]
 *
 * --leg      the kernel's end of the capture's socket (tsr_capture_open)
 * --session  a socket or pipe of the session's: one byte tells the guard to end, its end
 *            says that the session is gone
 * --log      gets a line for each event: event=WORD key=value ...; never waited for
 * --pace     what the capture says of itself (pace.h): a write that waits for room is no stall
 * --stall    the leg has answered nothing for so long although it was asked: it is given up
 * --timeout  after which the kernel itself gives up a request; the backstop, were this
 *            program to hang
 *
 * Events: connected (the device is there and can be put under a mirror), watching (the
 * mirror is live), trouble, blocked (somebody else is changing the volume: it is tried
 * again), swapped, end. SIGTERM is an order to end, too.
 *
 * Nothing here may wait for memory, because the guest's writes may wait for this: all of
 * it is locked, nothing is allocated once it runs, and the kernel's OOM killer leaves it
 * alone. If this program is killed or stopped, the wait in NBD_DO_IT ends, the kernel
 * fails what is under way on the leg, and the session takes the mirror away.
 */
#include "verdict.h"

#include "../common/common.h"
#include "nbd.h"
#include "pace.h"

#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <linux/nbd.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define TICK_MS 100
#define STACK_BYTES (256u << 10)
#define STALL_MS 2000
#define TIMEOUT_S 30
/* Within that the ioctl of a swap holds back new requests, even if it was not seen. Before the
 * ioctl there are locks that somebody else may have, hence the other bound. */
#define BREAK_MS 2000
#define BREAK_ALL_MS 5000
/* From then on what the leg has is answered, if it answers: then so long nothing is. */
#define BREAK_IDLE_MS 500
#define BREAK_STEP_MS 1
/* Until then the kernel has let go of a leg that was broken. */
#define DISCONNECT_MS 10000
#define BLOCKED_EVERY 10

enum { EXIT_USAGE = 64, EXIT_START = 1, EXIT_LEFT = 2 };

static struct {
    const char *nbd;
    uint64_t size;
    int leg, session, log, pace_fd;
    const struct tsr_pace *pace;        /* NULL: it says nothing */
    unsigned stall_ms, timeout_s;

    struct tsr_dm dm;
    struct tsr_mirror mirror;
    struct tsr_mirror_progress progress;
    struct tsr_guard_stall stall;
    int device;                         /* of the NBD device */
    int stat;                           /* its figures in sysfs */
    char pid_path[64];                  /* in sysfs, there while it is connected */
    int signals;
    int over;                           /* eventfd: NBD_DO_IT has returned */
    int breaking;                       /* eventfd: a swap begins */
    atomic_bool swapping;
    atomic_bool leg_over;
    bool connected, seen, told, session_gone;
    unsigned blocked;
    char line[1536];
} guard = { .leg = -1, .session = -1, .log = -1, .pace_fd = -1, .stall_ms = STALL_MS,
            .timeout_s = TIMEOUT_S };

/* ---- the log ------------------------------------------------------------------------- */

static void say(const char *event, const char *format, ...) PRINTF(2, 3);
static void say(const char *event, const char *format, ...)
{
    int n = snprintf(guard.line, 256, "event=%s device=%s", event, guard.mirror.name);
    size_t room = sizeof(guard.line) - 1 - (size_t)n;
    va_list args;
    int more;

    if (format[0])
        guard.line[n++] = ' ';
    va_start(args, format);
    more = vsnprintf(guard.line + n, room, format, args);
    va_end(args);
    if (more > 0)
        n += (size_t)more < room ? more : (int)room - 1;
    guard.line[n++] = '\n';
    /* A reader that is stuck costs lines, not the guard. */
    if (write(guard.log, guard.line, (size_t)n) < 0)
        return;
}

/* The sentence of the last failure as one value: quoted, its own quotes made harmless. */
static const char *why(void)
{
    static char text[TSR_TEXT_MAX];
    char *at;

    tsr_error_text(-1, text, sizeof(text));
    for (at = text; *at; at++)
        if (*at == '"' || *at == '\n')
            *at = '\'';
    return text;
}

static int fail_start(const char *what)
{
    say("failed", "why=\"%s: %s\"", what, strerror(errno));
    return EXIT_START;
}

/* ---- the leg ------------------------------------------------------------------------- */

static void break_leg(void)
{
    shutdown(guard.leg, SHUT_RDWR);
}

/* Holds the device until its socket ends, whoever ends it. */
static void *hold_device(void *unused)
{
    uint64_t one = 1;

    (void)unused;
    ioctl(guard.device, NBD_DO_IT);
    /* Fails what is still under way: without it the requests wait for their timeout. */
    ioctl(guard.device, NBD_CLEAR_SOCK);
    atomic_store(&guard.leg_over, true);
    if (write(guard.over, &one, sizeof(one)) < 0)
        abort();
    return NULL;
}

/* R, S, D ..; 0: not known. Of a thread of this process. */
static char state_of(int thread)
{
    char path[64], text[128], *at;
    ssize_t n;
    int fd;

    snprintf(path, sizeof(path), "/proc/self/task/%d/stat", thread);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    n = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (n <= 0)
        return 0;
    text[n] = 0;
    at = strrchr(text, ')');
    return at && at[1] == ' ' ? at[2] : 0;
}

/* Requests answered and under way on the leg; false: not known. */
static bool read_stat(uint64_t *answered_out, uint64_t *waiting_out)
{
    char text[256];
    ssize_t n = pread(guard.stat, text, sizeof(text) - 1, 0);

    if (n <= 0)
        return false;
    text[n] = 0;
    return tsr_guard_stat(text, answered_out, waiting_out);
}

/* Whether new requests are held back; ENTERED: when the ioctl of the swap was seen first. */
static bool is_held_back(uint64_t now, uint64_t *entered)
{
    int thread = atomic_load(&guard.progress.changing);

    if (thread && !*entered)
        *entered = now;
    return (thread && state_of(thread) == 'S') ||
           (*entered && now - *entered > BREAK_MS * 1000000ull);
}

/*
 * A swap waits for what is under way, and so for ever where the leg answers nothing; but a
 * leg that is broken too early makes the mirror fail reads that the disk could serve.
 * The right moment is when new requests are held back and the leg has answered what it can.
 * The first: __dm_suspend (drivers/md/dm.c) sets DMF_BLOCK_IO_FOR_SUSPEND before its first
 * interruptible wait, the one for what is under way; all its waits before (for locks, SRCU)
 * are uninterruptible. The second: a read that fails is not answered (C3 in capture.c), all
 * others are, on however busy a machine.
 */
static void break_when_due(void)
{
    const struct timespec step = { .tv_nsec = BREAK_STEP_MS * 1000000 };
    uint64_t began = tsr_now_ns(), entered = 0, now, answered, waiting;
    struct tsr_guard_stall stall = { 0 };
    bool held_back = false;

    while (atomic_load(&guard.swapping)) {
        now = tsr_now_ns();
        held_back = held_back || is_held_back(now, &entered);
        if (held_back && read_stat(&answered, &waiting))
            tsr_guard_stall_look(&stall, answered, waiting, now, 20 * BREAK_STEP_MS * 1000000ull);
        if (stall.for_ns >= BREAK_IDLE_MS * 1000000ull ||
            now - began > BREAK_ALL_MS * 1000000ull) {
            break_leg();
            return;
        }
        nanosleep(&step, NULL);
    }
}

static void *break_in_time(void *unused)
{
    uint64_t begins;

    (void)unused;
    for (;;)
        if (read(guard.breaking, &begins, sizeof(begins)) == (ssize_t)sizeof(begins))
            break_when_due();
    return NULL;
}

static int connect_device(void)
{
    unsigned long flags = TSR_NBD_HAS_FLAGS | TSR_NBD_SEND_FLUSH | TSR_NBD_SEND_FUA |
                          TSR_NBD_SEND_TRIM;
    struct stat status;
    char path[64];

    guard.device = open(guard.nbd, O_RDWR | O_CLOEXEC);
    if (guard.device < 0 || fstat(guard.device, &status))
        return fail_start(guard.nbd);
    if (!S_ISBLK(status.st_mode)) {
        errno = ENOTBLK;
        return fail_start(guard.nbd);
    }
    guard.mirror.leg_major = major(status.st_rdev);
    guard.mirror.leg_minor = minor(status.st_rdev);
    snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/stat", major(status.st_rdev),
             minor(status.st_rdev));
    snprintf(guard.pid_path, sizeof(guard.pid_path), "/sys/dev/block/%u:%u/pid",
             major(status.st_rdev), minor(status.st_rdev));
    guard.stat = open(path, O_RDONLY | O_CLOEXEC);
    if (guard.stat < 0)
        return fail_start(path);
    /* The socket first: it is refused (EBUSY) where somebody else has the device, and all
     * the rest would change what is his. */
    if (ioctl(guard.device, NBD_SET_SOCK, (unsigned long)guard.leg))
        return fail_start("NBD_SET_SOCK");
    if (ioctl(guard.device, NBD_SET_BLKSIZE, (unsigned long)TSR_NBD_SECTOR) ||
        ioctl(guard.device, NBD_SET_SIZE_BLOCKS,
              (unsigned long)(guard.size / TSR_NBD_SECTOR)) ||
        ioctl(guard.device, NBD_SET_FLAGS, flags) ||
        ioctl(guard.device, NBD_SET_TIMEOUT, (unsigned long)guard.timeout_s)) {
        int code = fail_start("NBD");

        ioctl(guard.device, NBD_CLEAR_SOCK);
        return code;
    }
    return 0;
}

/* ---- watching ------------------------------------------------------------------------ */

static bool is_paced(uint64_t now_ns)
{
    return guard.pace && tsr_guard_is_paced(atomic_load(&guard.pace->paced_ns), now_ns);
}

static void look_at_leg(void)
{
    uint64_t answered, waiting, now_ns = tsr_now_ns();

    if (read_stat(&answered, &waiting))
        tsr_guard_stall_look(&guard.stall, answered, is_paced(now_ns) ? 0 : waiting, now_ns,
                             2 * TICK_MS * 1000000ull);
    if (!guard.connected && !access(guard.pid_path, F_OK)) {
        guard.connected = true;
        say("connected", "nbd=%s major=%u minor=%u", guard.nbd, guard.mirror.leg_major,
            guard.mirror.leg_minor);
    }
}

static void look(struct tsr_guard_view *view)
{
    int rc;

    memset(view, 0, sizeof(*view));
    look_at_leg();
    view->told = guard.told;
    view->session_gone = guard.session_gone;
    view->leg_over = atomic_load(&guard.leg_over);
    view->stalled = guard.stall.for_ns >= guard.stall_ms * 1000000ull;
    rc = tsr_mirror_look(&guard.dm, &guard.mirror, &view->found);
    if (rc == -ENXIO)
        view->volume_gone = true;
    else if (rc < 0)
        /* Not seen this time; nothing is concluded from that. */
        view->found.state = TSR_MIRROR_CHANGING;
}

/* Until something happens, or a tick is over. */
static void wait_for_news(void)
{
    struct pollfd fds[] = {
        { .fd = guard.dm.fd, .events = POLLIN },
        { .fd = guard.session_gone ? -1 : guard.session, .events = POLLIN },
        { .fd = guard.signals, .events = POLLIN },
        { .fd = atomic_load(&guard.leg_over) ? -1 : guard.over, .events = POLLIN },
    };
    struct signalfd_siginfo signal;
    char byte;
    ssize_t n;

    if (poll(fds, sizeof(fds) / sizeof(*fds), TICK_MS) <= 0)
        return;
    if (fds[1].revents) {
        n = read(guard.session, &byte, 1);
        guard.told |= n == 1;
        guard.session_gone |= n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
    }
    if (fds[2].revents && read(guard.signals, &signal, sizeof(signal)) > 0)
        guard.told = true;
}

/* 0: it is over, there is no mirror any more; 1: it must be tried again. */
static int swap(const struct tsr_guard_view *view, const char *reason)
{
    /* Told to end, nothing waits for this; in all else the guest's writes may. */
    bool urgent = !guard.told || view->leg_over;
    uint64_t began = tsr_now_ns(), one = 1;
    int rc;

    if (!guard.blocked)
        say("trouble", "reason=%s state=%s disk=%c leg=%c number=%u", reason,
            tsr_mirror_state_name(view->found.state), view->found.disk ? view->found.disk : '-',
            view->found.leg ? view->found.leg : '-', view->found.event);
    atomic_store(&guard.swapping, true);
    if (write(guard.breaking, &one, sizeof(one)) < 0)
        break_leg();
    rc = tsr_mirror_swap(&guard.dm, &guard.mirror, urgent, &guard.progress);
    atomic_store(&guard.swapping, false);
    if (rc >= 0) {
        say("swapped", "reason=%s here=%d ms=%" PRIu64, reason, rc,
            (tsr_now_ns() - began) / 1000000);
        return 0;
    }
    if (guard.blocked++ % BLOCKED_EVERY == 0)
        say("blocked", "reason=%s why=\"%s\"", reason, why());
    return 1;
}

static int end(const char *reason)
{
    struct pollfd over = { .fd = guard.over, .events = POLLIN };
    bool is_left = false;

    break_leg();
    while (!atomic_load(&guard.leg_over) && !is_left)
        is_left = poll(&over, 1, DISCONNECT_MS) <= 0;
    say("end", "reason=%s disconnected=%d", reason, !is_left);
    return is_left ? EXIT_LEFT : 0;
}

static int watch(void)
{
    struct tsr_guard_view view;
    const char *reason = NULL, *first = NULL;
    bool was_seen = false;

    for (;;) {
        /* Before the look: an event between the two makes the next wait return at once. */
        tsr_dm_arm(&guard.dm);
        look(&view);
        switch (tsr_guard_judge(&view, &guard.seen, &reason)) {
        case TSR_GUARD_END:
            return end(first && view.found.state == TSR_MIRROR_PLAIN ? first : reason);
        case TSR_GUARD_SWAP:
            /* What came first is what the log is to say: the leg ends by the swap, too. */
            if (!first)
                first = reason;
            if (!swap(&view, first))
                continue;
            break;
        case TSR_GUARD_WATCH:
            break;
        }
        if (guard.seen && !was_seen)
            say("watching", "number=%u", view.found.event);
        was_seen = guard.seen;
        wait_for_news();
    }
}

/* ---- start --------------------------------------------------------------------------- */

static uint64_t number(const char *text, uint64_t most)
{
    char *end;
    unsigned long long value;

    errno = 0;
    value = strtoull(text, &end, 10);
    if (errno || *end || end == text || value > most) {
        fprintf(stderr, "tsremus-disk-guard: %s is no number up to %" PRIu64 "\n", text, most);
        exit(EXIT_USAGE);
    }
    return value;
}

static void take_name(char *out, const char *name)
{
    if (!name[0] || strlen(name) >= TSR_DM_NAME_MAX) {
        fprintf(stderr, "tsremus-disk-guard: %s is no name of a device\n", name);
        exit(EXIT_USAGE);
    }
    strcpy(out, name);
}

static void take_path(char *out, const char *path)
{
    if (strlen(path) >= TSR_MIRROR_PATH_MAX) {
        fprintf(stderr, "tsremus-disk-guard: the path %s is too long\n", path);
        exit(EXIT_USAGE);
    }
    strcpy(out, path);
}

static void parse(int argc, char **argv)
{
    static const struct option options[] = {
        { "device", 1, NULL, 'd' }, { "under", 1, NULL, 'u' }, { "nbd", 1, NULL, 'n' },
        { "size", 1, NULL, 'z' },   { "leg", 1, NULL, 'l' },   { "session", 1, NULL, 's' },
        { "log", 1, NULL, 'g' },    { "lock", 1, NULL, 'k' },  { "vg-lock", 1, NULL, 'v' },
        { "pace", 1, NULL, 'p' },   { "stall", 1, NULL, 'a' },  { "timeout", 1, NULL, 't' },
        { 0 },
    };
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'd': take_name(guard.mirror.name, optarg); break;
        case 'u': take_name(guard.mirror.under, optarg); break;
        case 'n': guard.nbd = optarg; break;
        case 'k': take_path(guard.mirror.lock, optarg); break;
        case 'v': take_path(guard.mirror.vg_lock, optarg); break;
        case 'z': guard.size = number(optarg, INT64_MAX); break;
        case 'l': guard.leg = (int)number(optarg, INT32_MAX); break;
        case 's': guard.session = (int)number(optarg, INT32_MAX); break;
        case 'g': guard.log = (int)number(optarg, INT32_MAX); break;
        case 'p': guard.pace_fd = (int)number(optarg, INT32_MAX); break;
        case 'a': guard.stall_ms = (unsigned)number(optarg, 600000); break;
        case 't': guard.timeout_s = (unsigned)number(optarg, 3600); break;
        default: exit(EXIT_USAGE);
        }
    }
    if (!guard.mirror.name[0] || !guard.mirror.under[0] || !guard.nbd || !guard.mirror.lock[0] ||
        !guard.size || guard.size % TSR_NBD_SECTOR || guard.leg < 0 || guard.session < 0 ||
        guard.log < 0 || !guard.stall_ms || !guard.timeout_s || optind != argc) {
        fprintf(stderr, "tsremus-disk-guard: started by tsremus, with all of its options\n");
        exit(EXIT_USAGE);
    }
}

static int start_thread(void *(*run)(void *))
{
    pthread_attr_t attributes;
    pthread_t thread;
    int r;

    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    r = pthread_create(&thread, &attributes, run, NULL);
    pthread_attr_destroy(&attributes);
    errno = r;
    return r;
}

/* From here on nothing is allocated and nothing of this program is paged out. */
static void settle_in_memory(void)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

    if (fd < 0 || write(fd, "-1000", 5) != 5)
        say("warning", "why=\"the OOM killer may choose this program: %s\"", strerror(errno));
    if (fd >= 0)
        close(fd);
    if (mlockall(MCL_CURRENT | MCL_FUTURE))
        say("warning", "why=\"not locked in memory: %s\"", strerror(errno));
}

static void no_blocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags >= 0)
        fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

static int map_pace(void)
{
    void *memory;

    if (guard.pace_fd < 0)
        return 0;
    memory = mmap(NULL, TSR_PACE_SIZE, PROT_READ, MAP_SHARED, guard.pace_fd, 0);
    if (memory == MAP_FAILED)
        return fail_start("--pace");
    guard.pace = memory;
    return 0;
}

static int start(void)
{
    sigset_t all, term;
    int code;

    no_blocking(guard.log);
    no_blocking(guard.session);
    /* Any signal that this program could take would end NBD_DO_IT, and with it the leg. */
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    guard.signals = signalfd(-1, &term, SFD_CLOEXEC | SFD_NONBLOCK);
    guard.over = eventfd(0, EFD_CLOEXEC);
    guard.breaking = eventfd(0, EFD_CLOEXEC);
    if (guard.signals < 0 || guard.over < 0 || guard.breaking < 0)
        return fail_start("no descriptors");
    code = map_pace();
    if (!code)
        code = connect_device();
    if (code)
        return code;
    if (tsr_dm_open(&guard.dm) < 0 || tsr_mirror_plan(&guard.dm, &guard.mirror) < 0) {
        say("failed", "why=\"%s\"", why());
        ioctl(guard.device, NBD_CLEAR_SOCK);
        return EXIT_START;
    }
    if (start_thread(hold_device) || start_thread(break_in_time)) {
        code = fail_start("no thread");
        ioctl(guard.device, NBD_CLEAR_SOCK);
        return code;
    }
    settle_in_memory();
    return 0;
}

int main(int argc, char **argv)
{
    int code;

    parse(argc, argv);
    code = start();
    return code ? code : watch();
}
