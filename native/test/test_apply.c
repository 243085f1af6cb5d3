/*
 * The backup's end of a disk, over a plain file: what is written when, what is refused,
 * and what an error comes to.
 */
#include "session.h"

#include "../common/common.h"
#include "../disk/apply.h"
#include "../disk/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define SECTOR 512
#define DISK (4u << 20)
#define LIMIT (8u << 20)

static struct {
    int handle, events;
    char path[64];
    struct tsr_apply_found found;
} t;

static void clean(void)
{
    unlink(t.path);
}

static struct tsr_apply_settings settings_of(void)
{
    struct tsr_apply_settings settings = {
        .size = DISK,
        .limit = LIMIT,
        .room = 1 << 20,
        .sector = SECTOR,
        .flags = TSR_APPLY_ANY_FILE,
    };

    strcpy(settings.path, t.path);
    return settings;
}

/* O_DIRECT: in this folder, not in one of memory. */
static void make_disk(uint8_t content)
{
    uint8_t *bytes = malloc(DISK);
    int fd;

    snprintf(t.path, sizeof(t.path), "tsr-apply-%d", getpid());
    test_cleanup = clean;
    memset(bytes, content, DISK);
    fd = open(t.path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK(fd >= 0 && write(fd, bytes, DISK) == DISK);
    close(fd);
    free(bytes);
}

static void open_apply(uint8_t content)
{
    struct tsr_apply_settings settings;
    int32_t events;

    make_disk(content);
    settings = settings_of();
    t.handle = tsr_apply_open(&settings, &t.found, &events);
    CHECK(t.handle >= 0);
    t.events = events;
}

static void close_apply(void)
{
    struct event event;

    CHECK(tsr_apply_close(t.handle) == 0);
    while (next_event(t.events, &event, HANG_MS) && event.e.kind != TSR_EV_ENDED)
        ;
    CHECK(event.e.kind == TSR_EV_ENDED);
    CHECK(tsr_apply_close(t.handle) == -EBADF);
    close(t.events);
    clean();
}

/* A record, with LENGTH bytes of VALUE where it has data. */
static size_t record(uint8_t *out, uint64_t offset, uint32_t length, uint32_t flags,
                     uint8_t value)
{
    struct tsr_disk_record header = { offset, length, flags };

    memcpy(out, &header, sizeof(header));
    if (flags & ~(uint32_t)TSR_DISK_FUA)
        return sizeof(header);
    memset(out + sizeof(header), value, length);
    return sizeof(header) + length;
}

/* Feeds it in pieces of STEP. */
static int feed_in(const uint8_t *bytes, size_t size, size_t step)
{
    size_t at;

    for (at = 0; at < size; at += step) {
        int rc = tsr_apply_feed(t.handle, bytes + at, step < size - at ? step : size - at);

        if (rc < 0)
            return rc;
    }
    return 0;
}

static void put(uint64_t offset, uint32_t length, uint32_t flags, uint8_t value)
{
    uint8_t *bytes = malloc(length + sizeof(struct tsr_disk_record));
    size_t size = record(bytes, offset, length, flags, value);

    CHECK(feed_in(bytes, size, 1000) == 0);
    free(bytes);
}

static void settled(void)
{
    struct event event;

    CHECK(tsr_apply_settle(t.handle) == 0);
    wait_event(t.events, TSR_EV_APPLY_SETTLED, &event);
}

/* What LENGTH bytes at OFFSET are; -1: not all the same. */
static int byte_at(uint64_t offset, size_t length)
{
    uint8_t *bytes = malloc(length);
    int fd = open(t.path, O_RDONLY), value;
    size_t i;

    CHECK(fd >= 0 && pread(fd, bytes, length, (off_t)offset) == (ssize_t)length);
    value = bytes[0];
    for (i = 1; i < length; i++)
        if (bytes[i] != value)
            value = -1;
    close(fd);
    free(bytes);
    return value;
}

static void seed(void)
{
    put(0, DISK, 0, 0x11);
    CHECK(tsr_apply_end(t.handle, 0) == 0);
    settled();
}

/* Proves: the first copy is written as it comes, a later epoch with its commit and not before. */
TEST(apply_writes_what_counts)
{
    struct tsr_apply_stats stats;

    open_apply(0xee);
    CHECK(t.found.size == DISK && t.found.sector == SECTOR && !t.found.blank);
    put(4096, 8192, 0, 0x10);
    settled();
    CHECK(byte_at(4096, 8192) == 0x10 && byte_at(0, 4096) == 0xee);
    put(0, DISK, 0, 0x11);
    CHECK(tsr_apply_end(t.handle, 0) == 0);
    settled();
    CHECK(byte_at(0, DISK) == 0x11);

    put(0, 512, 0, 0x21);
    put(DISK - 512, 512, TSR_DISK_FUA, 0x22);
    put(0, 0, TSR_DISK_FLUSH, 0);
    CHECK(tsr_apply_end(t.handle, 1) == 0);
    put(512, 1024, 0, 0x31);
    CHECK(tsr_apply_end(t.handle, 2) == 0);
    settled();
    CHECK(byte_at(0, DISK) == 0x11);
    CHECK(tsr_apply_look(t.handle, &stats) == 0 && stats.kept > 2048 && !stats.waiting);
    CHECK(tsr_apply_commit(t.handle, 1) == 0);
    settled();
    CHECK(byte_at(0, 512) == 0x21 && byte_at(DISK - 512, 512) == 0x22);
    CHECK(byte_at(512, DISK - 1024) == 0x11);
    CHECK(tsr_apply_commit(t.handle, 1) == 0);
    CHECK(tsr_apply_commit(t.handle, 3) == -EINVAL);
    CHECK(tsr_apply_commit(t.handle, 2) == 0);
    settled();
    CHECK(byte_at(512, 1024) == 0x31);
    CHECK(tsr_apply_look(t.handle, &stats) == 0 && !stats.kept && !stats.waiting);
    close_apply();
}

/* Proves: order, within an epoch and where records lie behind and upon each other. */
TEST(apply_keeps_the_order)
{
    struct tsr_apply_stats before, after;

    open_apply(0);
    CHECK(t.found.blank);
    seed();
    CHECK(tsr_apply_look(t.handle, &before) == 0);
    put(0, 4096, 0, 1);
    put(4096, 4096, 0, 2);
    put(8192, 4096, 0, 3);
    put(4096, 1024, 0, 4);
    put(8192, 4096, TSR_DISK_ZEROES, 0);
    put(8704, 512, 0, 5);
    put(16384, 4096, 0, 6);
    put(16384, 4096, TSR_DISK_TRIM, 0);
    put(16384, 512, 0, 7);
    CHECK(tsr_apply_end(t.handle, 1) == 0);
    CHECK(tsr_apply_commit(t.handle, 1) == 0);
    settled();
    CHECK(byte_at(0, 4096) == 1);
    CHECK(byte_at(4096, 1024) == 4 && byte_at(5120, 3072) == 2);
    CHECK(byte_at(8192, 512) == 0 && byte_at(8704, 512) == 5 && byte_at(9216, 3072) == 0);
    CHECK(byte_at(16384, 512) == 7);
    CHECK(byte_at(12288, 4096) == 0x11 && byte_at(20480, 4096) == 0x11);
    CHECK(tsr_apply_look(t.handle, &after) == 0);
    CHECK(after.zeroed == 4096 && after.discarded == 4096);
    /* The first three are one write. */
    CHECK(after.writes - before.writes == 5);
    close_apply();
}

/* Proves: zeroes of the first copy are written only where something else was: a disk that takes its
 * room as it is written to stays as small as the guest's. */
TEST(apply_writes_no_zeroes_over_zeroes)
{
    struct tsr_apply_stats stats;

    open_apply(0);
    put(2 << 20, 4096, 0, 9);
    put(0, DISK, TSR_DISK_ZEROES, 0);
    CHECK(tsr_apply_end(t.handle, 0) == 0);
    settled();
    CHECK(tsr_apply_look(t.handle, &stats) == 0);
    CHECK(byte_at(0, DISK) == 0 && stats.zeroed == DISK - (2 << 20));
    put(0, 4096, TSR_DISK_ZEROES, 0);
    CHECK(tsr_apply_end(t.handle, 1) == 0 && tsr_apply_commit(t.handle, 1) == 0);
    settled();
    CHECK(tsr_apply_look(t.handle, &stats) == 0);
    CHECK(stats.zeroed == DISK - (2 << 20) + 4096);
    close_apply();
}

static void refused(uint64_t offset, uint32_t length, uint32_t flags, const char *why)
{
    uint8_t bytes[sizeof(struct tsr_disk_record) + 4096];
    size_t size = sizeof(struct tsr_disk_record);
    struct tsr_disk_record header = { offset, length, flags };
    char text[256];

    open_apply(0);
    seed();
    memcpy(bytes, &header, sizeof(header));
    CHECK(feed_in(bytes, size, 5) == -EPROTO);
    tsr_error_text(t.handle, text, sizeof(text));
    CHECK(strstr(text, why));
    /* And nothing that comes behind it, however sound. */
    CHECK(tsr_apply_feed(t.handle, bytes, 1) == -EPROTO);
    CHECK(tsr_apply_end(t.handle, 1) == -EPROTO);
    settled();
    CHECK(byte_at(0, DISK) == 0x11);
    close_apply();
}

/* Proves: what no primary sends is found before any of it could be written. */
TEST(apply_refuses_what_is_no_record)
{
    refused(DISK, 512, 0, "beyond the disk");
    refused(DISK - 512, 1024, 0, "beyond the disk");
    refused(UINT64_MAX - 511, 512, 0, "beyond the disk");
    refused(UINT64_MAX - 511, 1024, TSR_DISK_ZEROES, "beyond the disk");
    refused(0, UINT32_MAX - 511, TSR_DISK_TRIM, "beyond the disk");
    refused(1, 512, 0, "part of a sector");
    refused(0, 513, TSR_DISK_ZEROES, "part of a sector");
    refused(0, 0, 0, "no length");
    refused(0, 0, TSR_DISK_TRIM, "no length");
    refused(0, 512, TSR_DISK_FLUSH, "flush with a range");
    refused(0, 512, 16, "unknown flags");
    refused(0, 512, TSR_DISK_TRIM | TSR_DISK_ZEROES, "unknown flags");
}

/* Proves: an epoch ends between records, and in its turn. */
TEST(apply_refuses_a_torn_epoch)
{
    uint8_t bytes[sizeof(struct tsr_disk_record) + 512];
    size_t size = record(bytes, 0, 512, 0, 9);

    open_apply(0);
    CHECK(tsr_apply_end(t.handle, 1) == -EPROTO);
    seed();
    CHECK(tsr_apply_end(t.handle, 0) == -EPROTO);
    CHECK(feed_in(bytes, size - 1, size) == 0);
    CHECK(tsr_apply_end(t.handle, 1) == -EPROTO);
    CHECK(feed_in(bytes + size - 1, 1, 1) == 0);
    CHECK(tsr_apply_end(t.handle, 1) == 0);
    CHECK(feed_in(bytes, 5, 5) == 0);
    CHECK(tsr_apply_end(t.handle, 2) == -EPROTO);
    close_apply();
}

/* Proves: a roll back leaves what was committed and nothing else, whatever comes later. */
TEST(apply_rolls_back)
{
    uint8_t bytes[sizeof(struct tsr_disk_record) + 512];
    size_t size = record(bytes, 0, 512, 0, 9);

    open_apply(0);
    seed();
    put(0, 512, 0, 2);
    CHECK(tsr_apply_end(t.handle, 1) == 0);
    put(512, 512, 0, 3);
    CHECK(tsr_apply_end(t.handle, 2) == 0);
    put(1024, 300 << 10, 0, 4);
    CHECK(tsr_apply_commit(t.handle, 1) == 0);
    CHECK(tsr_apply_roll_back(t.handle) == 0);
    CHECK(tsr_apply_commit(t.handle, 2) == -ESHUTDOWN);
    CHECK(tsr_apply_feed(t.handle, bytes, size) == -ESHUTDOWN);
    CHECK(tsr_apply_end(t.handle, 3) == -ESHUTDOWN);
    CHECK(tsr_apply_roll_back(t.handle) == 0);
    settled();
    CHECK(byte_at(0, 512) == 2 && byte_at(512, DISK - 512) == 0x11);
    close_apply();
}

/* Proves: what waits is bounded; and whoever fed too much hears when there is room again. */
TEST(apply_has_a_ceiling)
{
    size_t size = sizeof(struct tsr_disk_record) + DISK;
    uint8_t *bytes = malloc(size);
    struct event event;

    open_apply(0);
    seed();
    record(bytes, 0, DISK, 0, 7);
    CHECK(tsr_apply_feed(t.handle, bytes, size) == 0);
    CHECK(tsr_apply_feed(t.handle, bytes, size) == -ENOBUFS);
    CHECK(tsr_apply_end(t.handle, 1) == 0);
    CHECK(tsr_apply_commit(t.handle, 1) == 0);
    settled();
    CHECK(tsr_apply_feed(t.handle, bytes, size) == 0);
    CHECK(tsr_apply_end(t.handle, 2) == 0);
    CHECK(tsr_apply_commit(t.handle, 2) == 0);
    /* It may have been written by then: then there is room, and nobody has to wait. */
    if (tsr_apply_feed(t.handle, bytes, 16) == 1)
        wait_event(t.events, TSR_EV_APPLY_ROOM, &event);
    free(bytes);
    close_apply();
}

/* Proves: an error is told once, and from then on nothing is written nor settled. */
TEST(apply_tells_an_error_once)
{
    struct rlimit limit = { DISK / 2, RLIM_INFINITY };
    struct tsr_apply_stats stats;
    struct event event;

    open_apply(0);
    seed();
    signal(SIGXFSZ, SIG_IGN);
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    put(DISK / 2, 512, 0, 2);
    put(0, 512, 0, 3);
    CHECK(tsr_apply_end(t.handle, 1) == 0);
    CHECK(tsr_apply_commit(t.handle, 1) == 0);
    wait_event(t.events, TSR_EV_FAILED, &event);
    CHECK(event.e.a == -EFBIG && event.text[0]);
    CHECK(tsr_apply_settle(t.handle) == -EFBIG);
    CHECK(tsr_apply_end(t.handle, 2) == -ESHUTDOWN);
    CHECK(tsr_apply_commit(t.handle, 2) == -ESHUTDOWN);
    CHECK(tsr_apply_look(t.handle, &stats) == 0 && stats.failed == -EFBIG);
    CHECK(byte_at(0, 512) == 0x11);
    CHECK(tsr_apply_close(t.handle) == 0);
    CHECK(next_event(t.events, &event, HANG_MS) && event.e.kind == TSR_EV_ENDED);
    close(t.events);
    clean();
}

/* Proves: a disk is looked at before it is touched, and what is none is refused. */
TEST(apply_looks_before_it_writes)
{
    struct tsr_apply_settings settings;
    struct tsr_apply_found found;
    int32_t events;
    int fds = count_fds(), fd;

    make_disk(0);
    settings = settings_of();
    settings.flags = 0;
    CHECK(tsr_apply_open(&settings, &found, &events) == -ENOTBLK);
    settings = settings_of();
    strcpy(settings.path, "/dev/null");
    CHECK(tsr_apply_open(&settings, &found, &events) < 0);
    strcpy(settings.path, "/nowhere/at/all");
    CHECK(tsr_apply_open(&settings, &found, &events) == -ENOENT);
    settings = settings_of();
    settings.sector = 1024;
    CHECK(tsr_apply_open(&settings, &found, &events) == -EINVAL);
    settings = settings_of();
    settings.size = 100;
    CHECK(tsr_apply_open(&settings, &found, &events) == -EINVAL);
    memset(settings.path, 'x', sizeof(settings.path));
    CHECK(tsr_apply_open(&settings, &found, &events) == -EINVAL);
    CHECK(count_fds() == fds);

    /* A byte in the first MiB, or in the last. */
    open_apply(0);
    CHECK(t.found.blank);
    close_apply();
    for (int i = 0; i < 2; i++) {
        make_disk(0);
        fd = open(t.path, O_WRONLY);
        CHECK(pwrite(fd, "x", 1, i ? DISK - 1 : 4711) == 1);
        close(fd);
        settings = settings_of();
        t.handle = tsr_apply_open(&settings, &found, &events);
        CHECK(t.handle >= 0 && !found.blank);
        t.events = events;
        close_apply();
    }
}
