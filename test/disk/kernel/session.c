/*
 * disktest session NAME UNDER PATH NBD LEDGER DIR GUARD: a session's part, over the library as it
 * ships. Makes the device UNDER, opens the capture, starts the program GUARD, puts the mirror in,
 * and then, until SIGTERM: notes what the load's ledger calls completed, seals, reads the epoch
 * and holds the one against the other. What it finds wrong it prints, and its exit code is 1.
 *
 * With the word "unchecked" behind all these it seals and reads, and looks at nothing: for figures.
 *
 * DIR gets the files pids, guard.log, inserted, ended, by which a case knows how far it is.
 *
 * disktest repair NAME UNDER NBD LOCK: what the next command does where all were killed.
 */
#include "disktest.h"

#include "../../../native/common/common.h"
#include "../../../native/disk/disk.h"
#include "../../../native/disk/mirror.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#define SEAL_EVERY_MS 150
#define PROBLEMS_MAX 10
#define ROOM (64u << 20)

static struct {
    const char *dir, *nbd, *guard;
    struct tsr_capture_settings settings;
    struct ledger *ledger;
    int handle, leg, pace, events, control;
    pid_t guard_pid;
    uint64_t epoch;
    uint64_t armed[THREADS_MAX];        /* what is newer must be captured */
    uint64_t shadow[SECTORS_MAX];       /* the marks of what was captured */
    uint64_t before[SECTORS_MAX];
    uint8_t *bytes;                     /* of the epoch that is read */
    uint64_t records, checked;
    unsigned problems;
    bool lost, unchecked;
} run;

static volatile sig_atomic_t told;

static void wait_ms(int ms)
{
    poll(NULL, 0, ms);
}

static void tell(int signal)
{
    (void)signal;
    told = 1;
}

static void problem(const char *format, ...) PRINTF(1, 2);
static void problem(const char *format, ...)
{
    va_list args;

    if (run.problems++ >= PROBLEMS_MAX)
        return;
    printf("problem: ");
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
}

static void fail(const char *what)
{
    char text[1024];

    tsr_error_text(-1, text, sizeof(text));
    printf("session: %s: %s\n", what, text);
    exit(1);
}

static void put_file(const char *name, const char *text)
{
    char path[256], draft[272];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", run.dir, name);
    snprintf(draft, sizeof(draft), "%s.new", path);
    file = fopen(draft, "w");
    if (!file || fputs(text, file) < 0 || fclose(file) || rename(draft, path))
        die(path);
}

/* ---- start ------------------------------------------------------------------------------ */

static void start_guard(void)
{
    char leg[12], pace[12], session[12], log[12], size[24], log_path[256], pids[64];
    int pair[2], log_fd;

    snprintf(log_path, sizeof(log_path), "%s/guard.log", run.dir);
    log_fd = open(log_path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600);
    if (log_fd < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
        die(log_path);
    fcntl(pair[0], F_SETFD, FD_CLOEXEC);
    fcntl(run.leg, F_SETFD, 0);
    fcntl(run.pace, F_SETFD, 0);
    snprintf(leg, sizeof(leg), "%d", run.leg);
    snprintf(pace, sizeof(pace), "%d", run.pace);
    snprintf(session, sizeof(session), "%d", pair[1]);
    snprintf(log, sizeof(log), "%d", log_fd);
    snprintf(size, sizeof(size), "%llu", (unsigned long long)run.settings.size);
    run.guard_pid = fork();
    if (run.guard_pid < 0)
        die("fork");
    if (!run.guard_pid) {
        setsid();
        execl(run.guard, "tsremus-disk-guard", "--device", run.settings.name, "--under",
              run.settings.under, "--nbd", run.nbd, "--size", size, "--leg", leg, "--session",
              session, "--log", log, "--lock", run.settings.lock, "--vg-lock",
              run.settings.vg_lock, "--pace", pace, "--stall", "2000", "--timeout", "30",
              (char *)NULL);
        die(run.guard);
    }
    close(pair[1]);
    close(log_fd);
    close(run.leg);
    close(run.pace);
    run.control = pair[0];
    snprintf(pids, sizeof(pids), "session=%d guard=%d\n", getpid(), run.guard_pid);
    put_file("pids", pids);
}

static void await_guard(void)
{
    char path[256], text[4096];
    ssize_t n;
    int fd;

    snprintf(path, sizeof(path), "%s/guard.log", run.dir);
    for (;;) {
        fd = open(path, O_RDONLY);
        n = read(fd, text, sizeof(text) - 1);
        close(fd);
        text[n > 0 ? n : 0] = 0;
        if (strstr(text, "event=connected"))
            return;
        if (waitpid(run.guard_pid, NULL, WNOHANG) == run.guard_pid) {
            printf("session: the guard has ended: %s\n", text);
            exit(1);
        }
        usleep(10000);
    }
}

static void open_all(const char *path)
{
    struct tsr_mirror mirror = { .leg_major = 0 };
    static struct tsr_dm dm;
    struct stat status;
    struct tsr_dm_info info;
    uint64_t bytes;
    int fd;

    memcpy(mirror.name, run.settings.name, sizeof(mirror.name));
    memcpy(mirror.under, run.settings.under, sizeof(mirror.under));
    if (tsr_dm_open(&dm) || tsr_mirror_make_under(&dm, &mirror) ||
        tsr_dm_info(&dm, mirror.under, &info))
        fail("under");
    snprintf(run.settings.plain, sizeof(run.settings.plain), "/dev/dm-%u", info.minor);
    if (stat(run.nbd, &status))
        die(run.nbd);
    run.settings.leg_major = major(status.st_rdev);
    run.settings.leg_minor = minor(status.st_rdev);
    fd = open(path, O_RDONLY);
    if (fd < 0 || ioctl(fd, BLKGETSIZE64, &bytes))
        die(path);
    close(fd);
    run.settings.size = bytes;
    run.handle = tsr_capture_open(&run.settings, &run.leg, &run.pace, &run.events);
    if (run.handle < 0)
        fail("capture");
}

/* ---- what is checked --------------------------------------------------------------------- */

static void take_record(const struct tsr_disk_record *record, const uint8_t *data)
{
    uint64_t first = record->offset / SECTOR, count = record->length / SECTOR, i;

    run.records++;
    if (record->flags & TSR_DISK_FLUSH)
        return;
    if (first + count > SECTORS_MAX) {
        problem("a record of sectors %llu to %llu", (unsigned long long)first,
                (unsigned long long)(first + count));
        return;
    }
    for (i = 0; i < count; i++) {
        uint64_t mark = record->flags & TSR_DISK_TRIM ? (uint64_t)KIND_TRIM : (uint64_t)KIND_ZERO;

        if (!(record->flags & (TSR_DISK_TRIM | TSR_DISK_ZEROES)))
            mark = sector_mark(data + i * SECTOR, first + i);
        if (!mark)
            problem("sector %llu is captured torn", (unsigned long long)(first + i));
        run.shadow[first + i] = mark;
    }
}

/* Reads the sealed epoch; all of its records must be whole. */
static void read_epoch(uint64_t epoch)
{
    struct tsr_capture_piece piece = { .left = 1 };
    size_t have = 0, at = 0;
    int n;

    while (piece.left) {
        n = tsr_capture_read(run.handle, run.bytes + have, ROOM - have, &piece);
        if (n < 0)
            fail("read");
        if (piece.epoch != epoch)
            problem("epoch %llu is read where %llu was sealed", (unsigned long long)piece.epoch,
                    (unsigned long long)epoch);
        have += (size_t)n;
    }
    while (at < have && !run.unchecked) {
        struct tsr_disk_record record;
        bool data;

        if (have - at < sizeof(record)) {
            problem("epoch %llu ends within a header", (unsigned long long)epoch);
            return;
        }
        memcpy(&record, run.bytes + at, sizeof(record));
        at += sizeof(record);
        data = !(record.flags & (TSR_DISK_FLUSH | TSR_DISK_TRIM | TSR_DISK_ZEROES));
        if (data && have - at < record.length) {
            problem("epoch %llu ends within a write", (unsigned long long)epoch);
            return;
        }
        take_record(&record, run.bytes + at);
        at += data ? record.length : 0;
    }
}

/*
 * What had completed before the seal is in this epoch or an older one; what is in them was issued.
 * A record without data has no number: then a later write of that kind must have been issued.
 */
static void check_sector(uint64_t sector)
{
    uint64_t done = run.before[sector], seen = run.shadow[sector];
    uint64_t issued = atomic_load(&run.ledger->issued[sector]);

    if (seen && kind_of(seen) == KIND_DATA && number_of(seen) > number_of(issued))
        problem("sector %llu: write %llu is captured and was never issued",
                (unsigned long long)sector, (unsigned long long)number_of(seen));
    if (!done || number_of(done) <= run.armed[thread_of(done)])
        return;
    run.checked++;
    if (kind_of(seen) == KIND_DATA && number_of(seen) >= number_of(done) &&
        (kind_of(done) == KIND_DATA || number_of(seen) > number_of(done)))
        return;
    if (seen && kind_of(seen) != KIND_DATA &&
        (kind_of(done) != KIND_DATA || number_of(issued) > number_of(done)))
        return;
    problem("sector %llu: write %llu (%d) had completed, and the capture has %llu (%d)",
            (unsigned long long)sector, (unsigned long long)number_of(done), (int)kind_of(done),
            (unsigned long long)number_of(seen), (int)kind_of(seen));
}

static int seal_and_check(void)
{
    uint64_t i;
    int rc;

    for (i = 0; i < SECTORS_MAX && !run.unchecked; i++)
        run.before[i] = atomic_load(&run.ledger->completed[i]);
    rc = tsr_capture_seal(run.handle, run.epoch);
    if (rc < 0)
        return rc;
    /* Somebody is at the table: only the next look can tell. */
    while ((rc = tsr_capture_check(run.handle)) == -EBUSY)
        wait_ms(10);
    if (rc < 0)
        return rc;
    read_epoch(run.epoch++);
    for (i = 0; i < SECTORS_MAX && !run.unchecked; i++)
        check_sector(i);
    return 0;
}

/* The disk itself, once nobody writes, against what was captured. */
static void compare_disk(const char *path)
{
    uint64_t sector, differ = 0;
    int fd = open(path, O_RDONLY | O_DIRECT);
    void *memory;

    if (fd < 0 || posix_memalign(&memory, 4096, 1 << 20))
        die(path);
    for (sector = 0; sector < run.settings.size / SECTOR && sector < SECTORS_MAX; sector += 2048) {
        unsigned i;

        if (pread(fd, memory, 1 << 20, (off_t)(sector * SECTOR)) != 1 << 20)
            die(path);
        for (i = 0; i < 2048; i++) {
            uint64_t seen = run.shadow[sector + i];
            uint64_t mark = sector_mark((uint8_t *)memory + i * SECTOR, sector + i);

            if (seen && kind_of(seen) != KIND_TRIM && mark != seen)
                differ++;
        }
    }
    close(fd);
    if (differ)
        problem("%llu sectors of the disk are not what was captured", (unsigned long long)differ);
}

/* ---- the session ------------------------------------------------------------------------- */

/* What the capture told: true: it has ended. */
static bool take_events(void)
{
    struct tsr_event event;
    char text[TSR_EVENT_TEXT_MAX + 1];
    bool ended = false;

    while (read(run.events, &event, sizeof(event)) == (ssize_t)sizeof(event)) {
        ssize_t n = event.text_len ? read(run.events, text, event.text_len) : 0;

        text[n > 0 ? n : 0] = 0;
        if (event.kind != TSR_EV_DISK_FILLING)
            printf("session: event=%u code=%lld text=\"%s\"\n", event.kind, (long long)event.a,
                   text);
        ended |= event.kind == TSR_EV_ENDED;
        run.lost |= event.kind == TSR_EV_FAILED;
    }
    return ended;
}

/* WHY: 0, or what ended protection. The disk can be compared only where the load has stopped. */
static int finish(const char *path, int why)
{
    struct tsr_capture_stats stats;
    char text[1024];
    int rc;

    if (why < 0) {
        tsr_error_text(-1, text, sizeof(text));
        printf("session: over: code=%d text=\"%s\"\n", why, text);
    }
    if (!why)
        why = seal_and_check();
    tsr_capture_look(run.handle, &stats);
    rc = tsr_capture_close(run.handle);
    take_events();
    printf("session: epochs=%llu records=%llu checked=%llu writes=%llu fuas=%llu flushes=%llu "
           "trims=%llu reads=%llu held=%llu probes=%llu most=%llu locked=%llu close=%d\n",
           (unsigned long long)run.epoch, (unsigned long long)run.records,
           (unsigned long long)run.checked, (unsigned long long)stats.writes,
           (unsigned long long)stats.fuas, (unsigned long long)stats.flushes,
           (unsigned long long)stats.trims, (unsigned long long)stats.reads,
           (unsigned long long)stats.reads_held, (unsigned long long)stats.probes,
           (unsigned long long)stats.most, (unsigned long long)stats.locked, rc);
    if (!why && atomic_load(&run.ledger->stop))
        compare_disk(path);
    put_file("ended", "");
    return run.problems || (!why && rc < 0) ? 1 : 0;
}

int session_main(int argc, char **argv)
{
    int why = 0, status;
    unsigned i;

    run.unchecked = argc == 9 && !strcmp(argv[8], "unchecked");
    if (argc != 8 && !run.unchecked)
        return 64;
    snprintf(run.settings.name, sizeof(run.settings.name), "%s", argv[1]);
    snprintf(run.settings.under, sizeof(run.settings.under), "%s", argv[2]);
    run.nbd = argv[4];
    run.ledger = ledger_map(argv[5], false);
    run.dir = argv[6];
    run.guard = argv[7];
    snprintf(run.settings.lock, sizeof(run.settings.lock), "%s/lock", run.dir);
    if (!strncmp(run.settings.name, "tv-", 3))
        strcpy(run.settings.vg_lock, "/run/lock/lvm/V_tv");
    run.settings.room = ROOM;
    run.settings.ask = ROOM / 2;
    run.settings.wait_ms = 1500;
    run.bytes = malloc(ROOM);
    signal(SIGTERM, tell);
    open_all(argv[3]);
    fcntl(run.events, F_SETFL, O_NONBLOCK);
    start_guard();
    await_guard();
    /* LVM is at the volume group: its turn comes first. */
    while ((why = tsr_capture_insert(run.handle)) == -EBUSY)
        wait_ms(10);
    if (why < 0)
        fail("insert");
    for (i = 0; i < THREADS_MAX; i++)
        run.armed[i] = atomic_load(&run.ledger->issued_last[i]);
    put_file("inserted", "");
    while (!told && !why) {
        wait_ms(SEAL_EVERY_MS);
        if (take_events())
            why = -EIO;
        else if (!told)
            why = seal_and_check();
    }
    status = finish(argv[3], why);
    close(run.control);
    waitpid(run.guard_pid, NULL, 0);
    return status;
}

int repair_main(int argc, char **argv)
{
    struct tsr_mirror *mirror = calloc(1, sizeof(*mirror));
    static struct tsr_dm dm;
    struct stat status;
    int rc;

    if (argc != 5 || stat(argv[3], &status))
        return 64;
    snprintf(mirror->name, sizeof(mirror->name), "%s", argv[1]);
    snprintf(mirror->under, sizeof(mirror->under), "%s", argv[2]);
    mirror->leg_major = major(status.st_rdev);
    mirror->leg_minor = minor(status.st_rdev);
    if (tsr_dm_open(&dm) || tsr_mirror_plan(&dm, mirror))
        fail("repair");
    snprintf(mirror->lock, sizeof(mirror->lock), "%s", argv[4]);
    rc = tsr_mirror_swap(&dm, mirror, true, NULL);
    if (rc < 0)
        fail("repair");
    printf("repair: here=%d\n", rc);
    return 0;
}
