#include "capture_bench.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct capture_bench t;

void bench_clean(void)
{
    unlink(t.disk);
    unlink(t.lock);
}

struct tsr_capture_settings settings_of(uint32_t wait_ms)
{
    struct tsr_capture_settings settings = {
        .size = DISK_BYTES,
        .room = ROOM,
        .ask = ROOM / 2,
        .wait_ms = wait_ms,
        .leg_major = 43,
        .name = "vol",
        .under = "under",
    };

    /* O_DIRECT: in this folder, not in one of memory. */
    snprintf(t.disk, sizeof(t.disk), "tsr-disk-%d", getpid());
    snprintf(t.lock, sizeof(t.lock), "tsr-lock-%d", getpid());
    strcpy(settings.plain, t.disk);
    strcpy(settings.lock, t.lock);
    return settings;
}

void make_disk(size_t bytes)
{
    int fd = open(t.disk, O_RDWR | O_CREAT | O_TRUNC, 0600);
    uint8_t *data = malloc(bytes);

    memset(data, 0xd1, bytes);
    CHECK(fd >= 0 && write(fd, data, bytes) == (ssize_t)bytes);
    close(fd);
    free(data);
}

void open_with(const struct tsr_capture_settings *settings)
{
    int32_t leg, pace, events;

    test_cleanup = bench_clean;
    dm_model_start(true);
    t.handle = tsr_capture_open(settings, &leg, &pace, &events);
    CHECK(t.handle >= 0);
    t.leg = leg;
    t.pace = pace;
    t.events = events;
}

void open_capture(uint32_t wait_ms)
{
    struct tsr_capture_settings settings = settings_of(wait_ms);

    make_disk(MIB);
    open_with(&settings);
}

void close_capture(void)
{
    int rc = tsr_capture_close(t.handle);

    CHECK(rc >= 0 || rc == -ESTALE);
    close(t.leg);
    close(t.pace);
    close(t.events);
    bench_clean();
}

void all(int fd, void *data, size_t size, bool sends)
{
    uint8_t *at = data;

    while (size) {
        ssize_t n = sends ? send(fd, at, size, MSG_NOSIGNAL) : recv(fd, at, size, 0);

        CHECK(n > 0);
        at += n;
        size -= (size_t)n;
    }
}

static void put64(uint8_t *at, uint64_t value)
{
    tsr_nbd_put32(at, (uint32_t)(value >> 32));
    tsr_nbd_put32(at + 4, (uint32_t)value);
}

uint64_t ask(uint32_t type, uint64_t offset, uint32_t length)
{
    uint8_t bytes[TSR_NBD_REQUEST_SIZE];

    tsr_nbd_put32(bytes, TSR_NBD_REQUEST_MAGIC);
    tsr_nbd_put32(bytes + 4, type);
    put64(bytes + 8, ++t.requests);
    put64(bytes + 16, offset);
    tsr_nbd_put32(bytes + 24, length);
    all(t.leg, bytes, sizeof(bytes), true);
    return t.requests;
}

bool is_answered(int ms)
{
    struct pollfd pfd = { .fd = t.leg, .events = POLLIN };

    return poll(&pfd, 1, ms) > 0;
}

uint32_t answer_to(uint64_t request)
{
    uint8_t bytes[TSR_NBD_REPLY_SIZE];

    all(t.leg, bytes, sizeof(bytes), false);
    CHECK(tsr_nbd_number(bytes, 4) == TSR_NBD_REPLY_MAGIC);
    CHECK(tsr_nbd_number(bytes + 8, 8) == request);
    return (uint32_t)tsr_nbd_number(bytes + 4, 4);
}

void fill(uint8_t *data, uint32_t length, uint64_t seed)
{
    for (uint32_t i = 0; i < length; i++)
        data[i] = (uint8_t)(seed * 31 + i * 7 + i / 251);
}

uint64_t send_write(uint32_t flags, uint64_t offset, uint32_t length, uint64_t seed)
{
    uint64_t request = ask(flags << 16 | TSR_NBD_WRITE, offset, length);
    uint8_t *data = malloc(length);

    fill(data, length, seed);
    all(t.leg, data, length, true);
    free(data);
    return request;
}

void write_at(uint64_t offset, uint32_t length, uint64_t seed)
{
    CHECK(answer_to(send_write(0, offset, length, seed)) == 0);
}

struct bytes read_epoch(uint64_t epoch, size_t step)
{
    struct tsr_capture_piece piece = { .left = 1 };
    struct bytes got = { 0 };
    uint8_t *buffer = malloc(step);

    while (piece.left) {
        int n = tsr_capture_read(t.handle, buffer, step, &piece);

        CHECK(n >= 0 && piece.epoch == epoch);
        if (n)
            bytes_add(&got, buffer, (size_t)n);
    }
    free(buffer);
    return got;
}

void expect_loss(int64_t code, const char *word)
{
    struct event event;

    wait_event(t.events, TSR_EV_FAILED, &event);
    CHECK(event.e.a == code && strstr(event.text, word));
    wait_event(t.events, TSR_EV_ENDED, &event);
    CHECK(event.e.a == 1);
    CHECK(!strcmp(dm_model_table("vol", false), "linear 8:0 0"));
    CHECK(tsr_capture_seal(t.handle, 99) == -EIO);
}
