/*
 * disk-bench: what the library does with a guest's disk, and beside it the same bytes through
 * something that does nothing else.
 *
 *     disk-bench digest BYTES ROUNDS            digests of memory
 *     disk-bench capture LENGTH DEPTH BYTES ROUNDS   writes of LENGTH, DEPTH of them under way,
 *                                               into a capture that somebody reads
 *     disk-bench sink LENGTH DEPTH BYTES ROUNDS the same into a server that reads and answers
 *     disk-bench store LENGTH DEPTH BYTES ROUNDS  .. reads into as much memory as the capture has
 *     disk-bench compare FILE ROUNDS            the digests of a disk, as a resync asks for them
 *     disk-bench read FILE ROUNDS               it is read, in pieces of as many bytes
 *     disk-bench apply FILE LENGTH BYTES ROUNDS an epoch of such writes, applied and durable
 *     disk-bench write FILE LENGTH BYTES ROUNDS they are written, one by one, and synced
 *
 * One line of JSON each: a round's bytes, and the nanoseconds of every one, elapsed and of the
 * processor, which a busy machine does not add to. FILE is a plain file on a
 * file system that knows O_DIRECT, of whole MiB. Exit code 0, 2 usage, 1 anything else.
 */
#include "../common/common.h"
#include "../disk/apply.h"
#include "../disk/digest.h"
#include "../disk/disk.h"
#include "../disk/hasher.h"
#include "../disk/nbd.h"
#include "../test/dm_model.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MIB (1u << 20)
#define ROUNDS_MAX 10000
/* More than the caches have. */
#define REGION (256ul << 20)
/* As a session opens one (src/disk/mirror/primary.ts). */
#define ROOM (64u << 20)
#define WAIT_MS 10000
#define SEAL_EVERY_MS 10
#define PIECE MIB
/* Of the hasher. */
#define READ_BYTES (256u << 10)
/* What memory is filled with. */
#define SAMPLE (64u << 10)

static struct {
    uint64_t ns, cpu_ns;                /* elapsed, and of all threads here */
} took[ROUNDS_MAX];

static void die(const char *what)
{
    char text[TSR_TEXT_MAX] = "";

    tsr_error_text(-1, text, sizeof(text));
    fprintf(stderr, "disk-bench: %s: %s\n", what, text[0] ? text : strerror(errno));
    exit(1);
}

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void begin(long round)
{
    took[round].ns = clock_ns(CLOCK_MONOTONIC);
    took[round].cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}

static void end(long round)
{
    took[round].cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - took[round].cpu_ns;
    took[round].ns = clock_ns(CLOCK_MONOTONIC) - took[round].ns;
}

static void print(long rounds, size_t bytes)
{
    printf("{\"bytes\":%zu,\"ns\":[", bytes);
    for (long i = 0; i < rounds; i++)
        printf("%s%lu", i ? "," : "", (unsigned long)took[i].ns);
    printf("],\"cpuNs\":[");
    for (long i = 0; i < rounds; i++)
        printf("%s%lu", i ? "," : "", (unsigned long)took[i].cpu_ns);
    printf("]}\n");
}

static uint8_t *memory_of(size_t size)
{
    static uint8_t sample[SAMPLE];
    void *memory = NULL;

    for (size_t at = 0; at < SAMPLE; at++)
        sample[at] = (uint8_t)(at * 7 + at / 251);
    if (posix_memalign(&memory, 4096, size))
        die("memory");
    for (size_t at = 0; at < size; at += SAMPLE)
        memcpy((uint8_t *)memory + at, sample, size - at < SAMPLE ? size - at : SAMPLE);
    return memory;
}

/* The next number of a fixed row that looks random: the same writes in every run. */
static uint64_t next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* ---- digests of memory ----------------------------------------------------------------- */

static int digest(size_t bytes, long rounds)
{
    uint8_t *memory = memory_of(REGION), out[TSR_DIGEST_SIZE];
    size_t at = 0;

    for (long i = 0; i < rounds; i++) {
        begin(i);
        for (size_t done = 0; done < bytes; done += TSR_DIGEST_BLOCK) {
            tsr_digest(memory + at, TSR_DIGEST_BLOCK, out);
            at = (at + TSR_DIGEST_BLOCK) % REGION;
        }
        end(i);
    }
    free(memory);
    print(rounds, bytes);
    return 0;
}

/* ---- writes over the leg's socket ------------------------------------------------------ */

static void all(int sock, void *data, size_t size, bool sends)
{
    uint8_t *at = data;

    while (size) {
        ssize_t n = sends ? send(sock, at, size, MSG_NOSIGNAL) : recv(sock, at, size, MSG_WAITALL);

        if (n <= 0)
            die("the leg");
        at += n;
        size -= (size_t)n;
    }
}

/* The kernel's part: BYTES in writes of LENGTH, no more than DEPTH of them without an answer. */
static void write_all(int leg, uint8_t *data, uint32_t length, unsigned depth, size_t bytes)
{
    uint8_t head[TSR_NBD_REQUEST_SIZE] = { 0 }, reply[TSR_NBD_REPLY_SIZE];
    size_t count = bytes / length, sent = 0, answered = 0;
    uint64_t random = 88172645463325252u, places = REGION / length;

    tsr_nbd_put32(head, TSR_NBD_REQUEST_MAGIC);
    tsr_nbd_put32(head + 4, TSR_NBD_WRITE);
    tsr_nbd_put32(head + 24, length);
    while (answered < count) {
        if (sent < count && sent - answered < depth) {
            uint64_t at = next(&random) % places * length;

            tsr_nbd_put32(head + 12, (uint32_t)++sent);
            tsr_nbd_put32(head + 16, (uint32_t)(at >> 32));
            tsr_nbd_put32(head + 20, (uint32_t)at);
            all(leg, head, sizeof(head), true);
            all(leg, data + at, length, true);
            continue;
        }
        all(leg, reply, sizeof(reply), false);
        answered++;
        if (tsr_nbd_number(reply + 4, 4) || tsr_nbd_number(reply + 8, 8) != answered)
            die("an answer");
    }
}

struct leg {
    int sock, events, handle;
    size_t room;                        /* of the sink */
    atomic_bool ends;
};

static void *run_sink(void *argument)
{
    const struct leg *leg = argument;
    uint8_t *data = memory_of(leg->room), head[TSR_NBD_REQUEST_SIZE];
    uint8_t reply[TSR_NBD_REPLY_SIZE];
    struct tsr_nbd_request request;
    size_t at = 0;

    while (recv(leg->sock, head, sizeof(head), MSG_WAITALL) == sizeof(head)) {
        if (tsr_nbd_decode(head, REGION, &request))
            die("a request");
        if (at + request.length > leg->room)
            at = 0;
        all(leg->sock, data + at, request.length, false);
        at += request.length;
        tsr_nbd_reply(reply, &request, 0);
        all(leg->sock, reply, sizeof(reply), true);
    }
    free(data);
    return NULL;
}

/* What a session does beside the capture: an epoch every so often, and all of it is read. */
static void *run_reader(void *argument)
{
    const struct timespec pause = { .tv_nsec = SEAL_EVERY_MS * 1000000 };
    struct leg *leg = argument;
    uint8_t *piece_bytes = memory_of(PIECE);
    struct tsr_event event;

    for (uint64_t epoch = 0; !atomic_load(&leg->ends); epoch++) {
        struct tsr_capture_piece piece = { .left = 1 };

        nanosleep(&pause, NULL);
        if (tsr_capture_seal(leg->handle, epoch) < 0)
            die("a seal");
        while (piece.left)
            if (tsr_capture_read(leg->handle, piece_bytes, PIECE, &piece) < 0)
                die("a read");
        while (read(leg->events, &event, sizeof(event)) == (ssize_t)sizeof(event))
            if (event.kind == TSR_EV_FAILED)
                die("the leg is lost");
    }
    free(piece_bytes);
    return NULL;
}

static int open_sink(struct leg *leg)
{
    static const int size = 1 << 20;
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds))
        die("sockets");
    for (int i = 0; i < 2; i++)
        if (setsockopt(fds[i], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)))
            setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    leg->sock = fds[0];
    return fds[1];
}

static int open_capture(struct leg *leg)
{
    struct tsr_capture_settings settings = {
        .size = REGION,
        .room = ROOM,
        .ask = ROOM / 2,
        .wait_ms = WAIT_MS,
        .leg_major = 43,
        .name = "vol",
        .under = "under",
        /* Nobody reads: some file that can be opened with O_DIRECT. */
        .plain = "/proc/self/exe",
    };
    int32_t sock, pace, events;

    snprintf(settings.lock, sizeof(settings.lock), "/tmp/disk-bench-%d.lock", getpid());
    dm_model_sectors = REGION / 512;
    dm_model_start(true);
    leg->handle = tsr_capture_open(&settings, &sock, &pace, &events);
    unlink(settings.lock);
    if (leg->handle < 0 || fcntl(events, F_SETFL, O_NONBLOCK))
        die("the capture");
    leg->events = events;
    return sock;
}

static int serve(const char *what, uint32_t length, unsigned depth, size_t bytes, long rounds)
{
    bool captures = !strcmp(what, "capture");
    struct leg leg = { .sock = -1, .handle = -1, .room = what[1] == 't' ? ROOM : length };
    uint8_t *data = memory_of(REGION);
    int sock = captures ? open_capture(&leg) : open_sink(&leg);
    pthread_t thread;

    if (pthread_create(&thread, NULL, captures ? run_reader : run_sink, &leg))
        die("a thread");
    write_all(sock, data, length, depth, bytes);
    for (long i = 0; i < rounds; i++) {
        begin(i);
        write_all(sock, data, length, depth, bytes);
        end(i);
    }
    atomic_store(&leg.ends, true);
    if (!captures)
        close(sock);
    pthread_join(thread, NULL);
    if (captures)
        tsr_capture_close(leg.handle);
    free(data);
    print(rounds, bytes);
    return 0;
}

/* ---- a disk that is compared ----------------------------------------------------------- */

/* The next event of KIND, skipping others. */
static void await(int events, uint32_t kind)
{
    struct pollfd pollfd = { .fd = events, .events = POLLIN };
    struct tsr_event event = { .kind = 0 };

    while (event.kind != kind) {
        if (event.kind == TSR_EV_FAILED || event.text_len || poll(&pollfd, 1, -1) != 1 ||
            read(events, &event, sizeof(event)) != (ssize_t)sizeof(event))
            die("the disk failed");
    }
}

static size_t size_of(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    off_t size = lseek(fd, 0, SEEK_END);

    if (size <= 0 || size % MIB)
        die(path);
    close(fd);
    return (size_t)size;
}

static void compare_once(int handle, int events, size_t size)
{
    static uint8_t digests[TSR_HASHER_BLOCKS_MAX * TSR_DIGEST_SIZE];
    uint64_t blocks = tsr_digest_blocks(size);

    for (uint64_t first = 0; first < blocks; first += TSR_HASHER_BLOCKS_MAX) {
        uint64_t left = blocks - first;

        if (tsr_hasher_ask(handle, first, left < TSR_HASHER_BLOCKS_MAX ? (uint32_t)left
                                                                       : TSR_HASHER_BLOCKS_MAX))
            die("a question");
        await(events, TSR_EV_HASHED);
        if (tsr_hasher_take(handle, digests, sizeof(digests)) < 0)
            die("an answer");
    }
}

static void read_once(int fd, uint8_t *buffer, size_t size)
{
    for (size_t at = 0; at < size; at += READ_BYTES)
        if (pread(fd, buffer, READ_BYTES, (off_t)at) != READ_BYTES)
            die("a read");
}

static int read_disk(bool compares, const char *path, long rounds)
{
    struct tsr_hasher_settings settings = { .size = size_of(path), .flags = TSR_HASHER_ANY_FILE };
    uint8_t *buffer = memory_of(READ_BYTES);
    int32_t events = -1;
    int fd;

    snprintf(settings.path, sizeof(settings.path), "%s", path);
    fd = compares ? tsr_hasher_open(&settings, &events) : open(path, O_RDONLY | O_DIRECT);
    if (fd < 0)
        die(path);
    for (long i = 0; i < rounds; i++) {
        begin(i);
        if (compares)
            compare_once(fd, events, settings.size);
        else
            read_once(fd, buffer, settings.size);
        end(i);
    }
    if (compares)
        tsr_hasher_close(fd);
    free(buffer);
    print(rounds, settings.size);
    return 0;
}

/* ---- a disk that is written ------------------------------------------------------------ */

struct writes {
    uint8_t *data;                      /* PIECE and more: a write's bytes begin anywhere in it */
    uint64_t random, places;
    uint32_t length;
    size_t count;
};

static void feed_epoch(int handle, int events, struct writes *writes, uint64_t epoch)
{
    size_t size = TSR_DISK_RECORD_SIZE + writes->length;
    uint8_t *bytes = memory_of(size);

    for (size_t i = 0; i < writes->count; i++) {
        struct tsr_disk_record record = { .length = writes->length };

        record.offset = next(&writes->random) % writes->places * writes->length;
        memcpy(bytes, &record, sizeof(record));
        if (tsr_apply_feed(handle, bytes, size) < 0)
            die("a write");
    }
    free(bytes);
    if (tsr_apply_end(handle, epoch) || tsr_apply_commit(handle, epoch) ||
        tsr_apply_settle(handle))
        die("an epoch");
    await(events, TSR_EV_APPLY_SETTLED);
}

static void write_epoch(int fd, struct writes *writes)
{
    for (size_t i = 0; i < writes->count; i++) {
        off_t at = (off_t)(next(&writes->random) % writes->places * writes->length);

        if (pwrite(fd, writes->data, writes->length, at) != (ssize_t)writes->length)
            die("a write");
    }
    if (fdatasync(fd))
        die("a sync");
}

static int open_apply(const char *path, size_t size, size_t bytes, int32_t *events)
{
    struct tsr_apply_settings settings = { .size = size, .sector = 512 };
    struct tsr_apply_found found;
    int handle;

    settings.flags = TSR_APPLY_ANY_FILE;
    settings.limit = 2 * bytes + ROOM;
    settings.room = ROOM;
    snprintf(settings.path, sizeof(settings.path), "%s", path);
    handle = tsr_apply_open(&settings, &found, events);
    /* Epoch 0 is another thing: it is written as it comes. */
    if (handle < 0 || tsr_apply_end(handle, 0))
        die(path);
    return handle;
}

static int write_disk(bool applies, const char *path, uint32_t length, size_t bytes, long rounds)
{
    size_t size = size_of(path);
    struct writes writes = {
        .data = memory_of(length),
        .random = 88172645463325252u,
        .places = size / length,
        .length = length,
        .count = bytes / length,
    };
    int32_t events = -1;
    int fd = applies ? open_apply(path, size, bytes, &events) : open(path, O_RDWR | O_DIRECT);

    if (fd < 0)
        die(path);
    for (long i = 0; i < rounds; i++) {
        begin(i);
        if (applies)
            feed_epoch(fd, events, &writes, (uint64_t)i + 1);
        else
            write_epoch(fd, &writes);
        end(i);
    }
    if (applies)
        tsr_apply_close(fd);
    free(writes.data);
    print(rounds, bytes);
    return 0;
}

/* ---- the command line ------------------------------------------------------------------ */

static bool is_length(size_t length, size_t bytes)
{
    return length >= 512 && length % 512 == 0 && length <= PIECE && bytes >= length &&
           bytes % length == 0;
}

static int run(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    unsigned long n[4] = { 0 };
    long rounds = argc > 2 ? strtol(argv[argc - 1], NULL, 10) : 0;

    for (int i = 2; i < argc && i < 6; i++)
        n[i - 2] = strtoul(argv[i], NULL, 10);
    if (rounds < 1 || rounds > ROUNDS_MAX)
        return 2;
    if (!strcmp(what, "digest") && argc == 4 && n[0] && n[0] % TSR_DIGEST_BLOCK == 0)
        return digest(n[0], rounds);
    if ((!strcmp(what, "capture") || !strcmp(what, "sink") || !strcmp(what, "store")) &&
        argc == 6 && is_length(n[0], n[2]) && n[1])
        return serve(what, (uint32_t)n[0], (unsigned)n[1], n[2], rounds);
    if ((!strcmp(what, "compare") || !strcmp(what, "read")) && argc == 4)
        return read_disk(what[0] == 'c', argv[2], rounds);
    if ((!strcmp(what, "apply") || !strcmp(what, "write")) && argc == 6 && is_length(n[1], n[2]))
        return write_disk(what[0] == 'a', argv[2], (uint32_t)n[1], n[2], rounds);
    return 2;
}

int main(int argc, char **argv)
{
    int code = run(argc, argv);

    if (code == 2)
        fprintf(stderr, "usage: disk-bench digest BYTES ROUNDS\n"
                        "       disk-bench capture|sink|store LENGTH DEPTH BYTES ROUNDS\n"
                        "       disk-bench compare|read FILE ROUNDS\n"
                        "       disk-bench apply|write FILE LENGTH BYTES ROUNDS\n");
    return code;
}
