/*
 * disktest load DEVICE LEDGER THREADS PAUSE: writes as a guest does, until the ledger says stop:
 * with O_DIRECT, sizes of 512 bytes to 1 MiB at odd places, some with FUA, some flushes, discards
 * and zeroes. Each thread has a part of the disk of its own and one write under way, and pauses so
 * many milliseconds after each. Prints what went wrong, and last a line of figures.
 *
 * disktest blocks DEVICE FROM COUNT MS: reads COUNT blocks of 4 KiB from block FROM on, again and
 * again for so long; prints errors and the longest wait.
 */
#include "disktest.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#define BYTES_MAX (1u << 20)
#define ERRORS_SHOWN 5

static struct {
    const char *device;
    struct ledger *ledger;
    uint64_t sectors;
    unsigned threads, pause_ms;
} load;

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

struct operation {
    enum { OP_WRITE, OP_FUA, OP_FLUSH, OP_TRIM, OP_ZERO } what;
    uint64_t sector, count, mark;
};

static struct operation choose(uint64_t *random, uint64_t first, uint64_t sectors)
{
    static const uint32_t sizes[] = { 1, 1, 3, 7, 8, 8, 8, 16, 100, 255, 2048 };
    struct operation op = { .what = OP_WRITE };
    uint64_t dice = next_random(random) % 64;

    op.count = sizes[next_random(random) % (sizeof(sizes) / sizeof(*sizes))];
    if (op.count == 2048 && dice % 4)
        op.count = 8;
    op.sector = first + next_random(random) % (sectors - op.count);
    if (dice < 3)
        op.what = OP_TRIM;
    else if (dice < 5)
        op.what = OP_ZERO;
    else if (dice < 8)
        op.what = OP_FLUSH;
    else if (dice < 16)
        op.what = OP_FUA;
    if (op.what == OP_TRIM) {
        op.sector &= ~7ull;
        op.count = 8 + (op.count & ~7ull);
        if (op.sector + op.count > first + sectors)
            op.what = OP_FLUSH;
    }
    return op;
}

static int carry_out(int fd, const struct operation *op, uint8_t *buffer)
{
    uint64_t range[2] = { op->sector * SECTOR, op->count * SECTOR }, i;
    struct iovec piece = { buffer, op->count * SECTOR };
    ssize_t n;

    switch (op->what) {
    case OP_FLUSH:
        return fsync(fd);
    case OP_TRIM:
        return ioctl(fd, BLKDISCARD, range);
    case OP_ZERO:
        return ioctl(fd, BLKZEROOUT, range);
    default:
        for (i = 0; i < op->count; i++)
            sector_fill(buffer + i * SECTOR, op->sector + i, op->mark);
        n = pwritev2(fd, &piece, 1, (off_t)range[0], op->what == OP_FUA ? RWF_DSYNC : 0);
        if (n >= 0 && n != (ssize_t)range[1])
            errno = EIO;
        return n == (ssize_t)range[1] ? 0 : -1;
    }
}

static void note(atomic_ullong *marks, const struct operation *op)
{
    uint64_t i;

    for (i = 0; i < op->count; i++)
        atomic_store(&marks[op->sector + i], op->mark);
}

static void take_time(double seconds)
{
    unsigned long long ns = (unsigned long long)(seconds * 1e9);
    unsigned long long worst = atomic_load(&load.ledger->worst_ns);

    while (ns > worst && !atomic_compare_exchange_weak(&load.ledger->worst_ns, &worst, ns))
        ;
}

static void *run(void *argument)
{
    unsigned thread = (unsigned)(uintptr_t)argument;
    uint64_t share = load.sectors / load.threads, number = 0;
    uint64_t random = 88172645463325252u * (thread + 1) + (uint64_t)getpid();
    int fd = open(load.device, O_RDWR | O_DIRECT | O_CLOEXEC);
    struct ledger *ledger = load.ledger;
    void *memory;

    if (fd < 0 || posix_memalign(&memory, 4096, BYTES_MAX + 4096))
        die(load.device);
    atomic_fetch_add(&ledger->running, 1);
    while (!atomic_load(&ledger->stop)) {
        struct operation op = choose(&random, thread * share, share);
        enum kind kind = op.what == OP_TRIM   ? KIND_TRIM
                         : op.what == OP_ZERO ? KIND_ZERO
                                              : KIND_DATA;
        /* Memory that begins anywhere within a page, as a guest's may. */
        uint8_t *buffer = (uint8_t *)memory + SECTOR * (next_random(&random) % 8);
        double began;
        int r;

        op.mark = mark_of(++number, thread, kind);
        atomic_store(&ledger->issued_last[thread], number);
        if (op.what != OP_FLUSH)
            note(ledger->issued, &op);
        began = now_s();
        r = carry_out(fd, &op, buffer);
        take_time(now_s() - began);
        if (r) {
            if (atomic_fetch_add(&ledger->errors, 1) < ERRORS_SHOWN)
                printf("error: thread %u, operation %d, sector %llu, %llu sectors: %s\n", thread,
                       (int)op.what, (unsigned long long)op.sector,
                       (unsigned long long)op.count, strerror(errno));
        } else if (op.what != OP_FLUSH) {
            note(ledger->completed, &op);
        }
        atomic_fetch_add(&ledger->operations, 1);
        if (load.pause_ms)
            usleep(load.pause_ms * 1000);
    }
    close(fd);
    return NULL;
}

static uint64_t bytes_of(int fd)
{
    uint64_t bytes;

    if (ioctl(fd, BLKGETSIZE64, &bytes))
        die("BLKGETSIZE64");
    return bytes;
}

int load_main(int argc, char **argv)
{
    pthread_t threads[THREADS_MAX];
    unsigned i;
    int fd;

    if (argc != 5)
        return 64;
    load.device = argv[1];
    load.ledger = ledger_map(argv[2], true);
    load.threads = (unsigned)atoi(argv[3]);
    load.pause_ms = (unsigned)atoi(argv[4]);
    /* As an emulator or blkback has it open: nobody else may have it for himself. */
    fd = open(load.device, O_RDWR | O_CLOEXEC);
    if (fd < 0 || !load.threads || load.threads > THREADS_MAX)
        die(load.device);
    load.sectors = bytes_of(fd) / SECTOR;
    if (load.sectors > SECTORS_MAX)
        load.sectors = SECTORS_MAX;
    for (i = 0; i < load.threads; i++)
        if (pthread_create(&threads[i], NULL, run, (void *)(uintptr_t)i))
            die("thread");
    for (i = 0; i < load.threads; i++)
        pthread_join(threads[i], NULL);
    printf("load: operations=%llu errors=%llu worst_ms=%llu\n",
           atomic_load(&load.ledger->operations), atomic_load(&load.ledger->errors),
           atomic_load(&load.ledger->worst_ns) / 1000000);
    return atomic_load(&load.ledger->errors) != 0;
}

int blocks_main(int argc, char **argv)
{
    uint64_t from, count, reads = 0, errors = 0, i;
    double until, began, worst = 0;
    void *buffer;
    int fd;

    if (argc != 5)
        return 64;
    fd = open(argv[1], O_RDONLY | O_DIRECT);
    if (fd < 0 || posix_memalign(&buffer, 4096, 4096))
        die(argv[1]);
    from = strtoull(argv[2], NULL, 10);
    count = strtoull(argv[3], NULL, 10);
    until = now_s() + atof(argv[4]) / 1000;
    for (i = 0; now_s() < until; i = (i + 1) % count, reads++) {
        began = now_s();
        if (pread(fd, buffer, 4096, (off_t)((from + i) * 4096)) != 4096 &&
            errors++ < ERRORS_SHOWN)
            printf("error: block %llu: %s\n", (unsigned long long)(from + i), strerror(errno));
        if (now_s() - began > worst)
            worst = now_s() - began;
    }
    printf("blocks: reads=%llu errors=%llu worst_ms=%.0f\n", (unsigned long long)reads,
           (unsigned long long)errors, worst * 1000);
    return errors != 0;
}
