/*
 * The guest's disk: threads that write, flush, discard and clear it all the time, and books in the
 * guest's memory of what each sector has to hold. A copy goes on with memory and disk of one moment
 * if and only if, once what was under way has been issued again, the disk is what the books say.
 *
 * Each thread has stripes of its own, so that no two requests under way touch one sector: what
 * they would leave is nobody's to know. The last megabyte is a journal, of which a client is
 * told an entry's number only when that entry is durable, in that of the files, too (files.c).
 */
#define _GNU_SOURCE
#include "labguest.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#define SECTOR DISK_SECTOR
#define THREADS 4
#define STRIPE 256u            /* sectors */
#define JOURNAL 2048u          /* sectors, at the end of the disk */
#define READ_BYTES (STRIPE * SECTOR)
#define MAGIC 0x6b73696462616cull

#define CLEARED DISK_CLEARED
#define ANYTHING DISK_ANYTHING

struct sector_content {
    uint64_t magic, boot;
    uint32_t sector, number;
    uint64_t words[60];
    uint64_t sum;
};
_Static_assert(sizeof(struct sector_content) == SECTOR, "a sector");

struct writer {
    pthread_t thread;
    uint32_t index, seed;
    uint8_t *buffer;
};

static struct {
    int fd;
    uint64_t boot;
    uint32_t sectors;          /* of the disk, without the journal */
    uint32_t *due;             /* a number, or one of the above */
    struct writer writers[THREADS];
    atomic_uint number;        /* of the last write that was begun */
    atomic_uint rate;          /* requests a second, of all threads; 0: none */
    atomic_uint busy;          /* threads with a request under way */
    atomic_ulong requests, flushes, fuas, discards, clears;
    atomic_int error;          /* of the first request that failed */
    atomic_uint appending;     /* entry that a client waits for; 0: none */
    atomic_uint appended;      /* the last durable one */
    pthread_t journal;
    uint8_t *journal_buffer;
} d = { .fd = -1 };

static void fill(struct sector_content *out, uint32_t sector, uint32_t number)
{
    uint64_t value = (uint64_t)sector << 32 | number;

    *out = (struct sector_content){ MAGIC, d.boot, sector, number, { 0 }, 0 };
    for (size_t i = 0; i < 60; i++) {
        value = value * 6364136223846793005ull + 1442695040888963407ull;
        out->words[i] = value;
    }
    out->sum = value ^ d.boot;
}

static void failed(void)
{
    int none = 0;

    atomic_compare_exchange_strong(&d.error, &none, errno);
}

void disk_fill(uint8_t *out, uint32_t sector, uint32_t number)
{
    fill((struct sector_content *)out, sector, number);
    if (number > d.number)
        d.number = number;
}

static uint32_t next_random(uint32_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed;
}

static void note(uint32_t first, uint32_t count, uint32_t due)
{
    for (uint32_t i = 0; i < count; i++)
        d.due[first + i] = due;
}

/* One request, of a size and at a place by chance. */
static void request_once(struct writer *w)
{
    uint32_t stripes = d.sectors / STRIPE / THREADS;
    uint32_t stripe = (next_random(&w->seed) % stripes) * THREADS + w->index;
    uint32_t kind = next_random(&w->seed) % 100;
    uint32_t count = 1 + next_random(&w->seed) % (kind < 50 ? 16 : STRIPE);
    uint32_t first = stripe * STRIPE + next_random(&w->seed) % (STRIPE - count + 1);
    uint64_t range[2] = { (uint64_t)first * SECTOR, (uint64_t)count * SECTOR };

    if (kind >= 97) {
        if (fdatasync(d.fd))
            failed();
        d.flushes++;
    } else if (kind >= 93) {
        /* Whatever it leaves there is right, until it is written again. */
        note(first, count, ANYTHING);
        if (ioctl(d.fd, BLKDISCARD, range) && errno != EOPNOTSUPP)
            failed();
        d.discards++;
    } else if (kind >= 90) {
        if (ioctl(d.fd, BLKZEROOUT, range))
            failed();
        note(first, count, CLEARED);
        d.clears++;
    } else {
        uint32_t number = ++d.number;
        bool fua = kind >= 85;

        for (uint32_t i = 0; i < count; i++)
            fill((struct sector_content *)(w->buffer + (size_t)i * SECTOR), first + i, number);
        if (pwritev2(d.fd, &(struct iovec){ w->buffer, range[1] }, 1, (off_t)range[0],
                     fua ? RWF_DSYNC : 0) != (ssize_t)range[1])
            failed();
        note(first, count, number);
        d.fuas += fua;
    }
    d.requests++;
}

static void *write_on(void *argument)
{
    struct writer *w = argument;

    for (;;) {
        uint32_t rate = d.rate;

        if (!rate) {
            usleep(5000);
            continue;
        }
        d.busy++;
        /* Looked at again: whoever waits for the end of it has seen it or sees `busy`. */
        if (d.rate)
            request_once(w);
        d.busy--;
        usleep(1000000u * THREADS / rate);
    }
    return NULL;
}

static void *keep_journal(void *unused)
{
    (void)unused;
    for (;;) {
        uint32_t entry = d.appending;

        if (entry <= d.appended) {
            usleep(2000);
            continue;
        }
        uint32_t sector = d.sectors + (entry - 1) % JOURNAL;

        fill((struct sector_content *)d.journal_buffer, sector, entry);
        if (pwrite(d.fd, d.journal_buffer, SECTOR, (off_t)sector * SECTOR) != SECTOR ||
            fdatasync(d.fd) || (files_are_there() && files_append(entry)))
            failed();
        d.appended = entry;
    }
    return NULL;
}

static void *aligned(size_t bytes)
{
    void *at = NULL;

    return posix_memalign(&at, 4096, bytes) ? NULL : at;
}

int disk_start(const char *device, uint64_t boot)
{
    uint64_t bytes = 0;

    for (int i = 0; i < 500 && access(device, F_OK); i++)
        usleep(10000);
    d.fd = open(device, O_RDWR | O_DIRECT | O_CLOEXEC);
    if (d.fd < 0 || ioctl(d.fd, BLKGETSIZE64, &bytes) || bytes / SECTOR < JOURNAL + STRIPE * THREADS)
        return -1;
    d.boot = boot;
    d.sectors = (uint32_t)(bytes / SECTOR - JOURNAL) / (STRIPE * THREADS) * (STRIPE * THREADS);
    d.due = calloc(d.sectors, sizeof(*d.due));
    d.journal_buffer = aligned(SECTOR);
    /* What was there before is nobody's to say. */
    if (!d.due || !d.journal_buffer)
        return -1;
    note(0, d.sectors, ANYTHING);
    for (uint32_t i = 0; i < THREADS; i++) {
        d.writers[i] = (struct writer){ .index = i, .seed = 0x9e3779b9u * (i + 1) ^ (uint32_t)boot,
                                        .buffer = aligned(READ_BYTES) };
        if (!d.writers[i].buffer ||
            pthread_create(&d.writers[i].thread, NULL, write_on, &d.writers[i]))
            return -1;
    }
    return pthread_create(&d.journal, NULL, keep_journal, NULL) ? -1 : 0;
}

bool disk_is_there(void)
{
    return d.fd >= 0 && d.due;
}

void disk_set_rate(uint32_t per_second)
{
    d.rate = per_second;
}

bool disk_is_quiet(void)
{
    return d.rate == 0 && d.busy == 0 && d.appending <= d.appended;
}

uint32_t disk_append(void)
{
    return d.appending <= d.appended ? (d.appending = d.appended + 1) : 0;
}

uint32_t disk_appended(void)
{
    return d.appended;
}

static bool is_zero(const uint8_t *at)
{
    return !at[0] && !memcmp(at, at + 1, SECTOR - 1);
}

void disk_look_at(const uint8_t *at, uint32_t sector, uint32_t due, struct disk_report *report)
{
    struct sector_content has, wanted;

    report->sectors++;
    if (due == ANYTHING || (due == CLEARED && is_zero(at)))
        return;
    memcpy(&has, at, sizeof(has));
    if (due != CLEARED) {
        fill(&wanted, sector, due);
        if (!memcmp(at, &wanted, SECTOR))
            return;
    }
    if (!report->first_bad_known) {
        report->first_bad_known = true;
        report->first_bad = sector;
        report->first_has = has.magic == MAGIC ? has.number : 0;
        report->first_due = due;
    }
    fill(&wanted, sector, has.number);
    if (has.magic != MAGIC || memcmp(at, &wanted, SECTOR))
        report->torn++;
    /* A number that these books have not given, or a newer one than they have for it. */
    else if (has.number > d.number || (due != CLEARED && has.number > due))
        report->early++;
    else
        report->lost++;
}

int disk_verify(uint32_t *next, struct disk_report *report)
{
    uint8_t *buffer = d.writers[0].buffer;
    uint32_t first = *next;

    if (first >= d.sectors)
        return 1;
    if (pread(d.fd, buffer, READ_BYTES, (off_t)first * SECTOR) != READ_BYTES) {
        failed();
        return 1;
    }
    for (uint32_t i = 0; i < STRIPE; i++)
        disk_look_at(buffer + (size_t)i * SECTOR, first + i, d.due[first + i], report);
    *next += STRIPE;
    return 0;
}

int disk_describe(char *out, size_t size, const struct disk_report *r)
{
    return snprintf(out, size,
                    "{\"ok\":%s,\"sectors\":%u,\"lost\":%u,\"early\":%u,\"torn\":%u,\"error\":%d,"
                    "\"requests\":%lu,\"flushes\":%lu,\"fuas\":%lu,\"discards\":%lu,\"clears\":%lu,"
                    "\"entries\":%u,\"firstBad\":{\"sector\":%u,\"has\":%u,\"due\":%u}}",
                    r->lost + r->early + r->torn == 0 && !d.error ? "true" : "false", r->sectors,
                    r->lost, r->early, r->torn, d.error, d.requests, d.flushes, d.fuas, d.discards,
                    d.clears, d.appended, r->first_bad, r->first_has, r->first_due);
}

/* Offline, by another host: how many entries of a journal follow each other, from the first. */
int disk_journal(const char *device, const char *boot_id)
{
    uint8_t sector[SECTOR];
    uint64_t bytes = 0;
    uint32_t entries = 0;
    int fd = open(device, O_RDONLY | O_CLOEXEC);

    if (fd < 0 || ioctl(fd, BLKGETSIZE64, &bytes)) {
        fprintf(stderr, "%s: %s\n", device, strerror(errno));
        return 1;
    }
    d.boot = strtoull(strndupa(boot_id, 16), NULL, 16);
    d.sectors = (uint32_t)(bytes / SECTOR - JOURNAL) / (STRIPE * THREADS) * (STRIPE * THREADS);
    while (entries < JOURNAL &&
           pread(fd, sector, SECTOR, (off_t)(d.sectors + entries) * SECTOR) == SECTOR) {
        struct sector_content wanted;

        fill(&wanted, d.sectors + entries, entries + 1);
        if (memcmp(sector, &wanted, SECTOR))
            break;
        entries++;
    }
    printf("%u\n", entries);
    close(fd);
    return 0;
}
