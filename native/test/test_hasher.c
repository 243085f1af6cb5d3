/*
 * The digest of a block, and the thread that reads a disk for digests.
 */
#include "session.h"

#include "../common/common.h"
#include "../disk/digest.h"
#include "../disk/hasher.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void fill_block(uint8_t *block, size_t size)
{
    for (size_t i = 0; i < size; i++)
        block[i] = (uint8_t)(i * 7 + i / 251);
}

/* Proves: it is BLAKE2bp's first half, put together of hashlib.blake2b's tree (Python 3.11), with
 * the processor's vectors and without. */
TEST(digest_is_blake2bp)
{
    static const struct { size_t size; const char *hex; } known[] = {
        { 512, "e145c89e63b5ae128249abb01250240129accec42a9fd229631d585eb2ecf5fb" },
        { 1024, "adc371f10fd7875bfd3a3132df9a29dddf801df4f8b7686e6a22cffadbd1a49f" },
        { 4096, "6c2fb4c419b9fea6681667df5d83e2a0650488534a79d42df8b86938ca4f94d1" },
        { 65536, "5b9405b883eab8a1cf4d1860a12132649b73b41305b06f2a1b7f0a2d0d00add6" },
    };
    static uint8_t block[TSR_DIGEST_BLOCK];

    fill_block(block, sizeof(block));
    for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
        uint8_t one[TSR_DIGEST_SIZE], other[TSR_DIGEST_SIZE];
        char hex[2 * TSR_DIGEST_SIZE + 1];

        tsr_digest(block, known[i].size, one);
        tsr_digest_plain(block, known[i].size, other);
        for (int at = 0; at < TSR_DIGEST_SIZE; at++)
            snprintf(hex + 2 * at, 3, "%02x", one[at]);
        CHECK(!strcmp(hex, known[i].hex));
        CHECK(!memcmp(one, other, sizeof(one)));
    }
}

/* Blocks of the disk: the last one is a sector. */
#define BLOCKS 301u
#define DISK ((BLOCKS - 1) * (size_t)TSR_DIGEST_BLOCK + 512)

static struct {
    int handle, events;
    uint8_t *disk;
    char path[64];
} t;

static void clean(void)
{
    unlink(t.path);
}

static struct tsr_hasher_settings settings_of(size_t size)
{
    struct tsr_hasher_settings settings = { .size = size, .flags = TSR_HASHER_ANY_FILE };

    strcpy(settings.path, t.path);
    return settings;
}

/* O_DIRECT: in this folder, not in one of memory. */
static void open_hasher(void)
{
    struct tsr_hasher_settings settings;
    int32_t events;
    int fd;

    snprintf(t.path, sizeof(t.path), "tsr-hasher-%d", getpid());
    test_cleanup = clean;
    t.disk = malloc(DISK);
    fill_block(t.disk, DISK);
    fd = open(t.path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK(fd >= 0 && write(fd, t.disk, DISK) == (ssize_t)DISK);
    close(fd);
    settings = settings_of(DISK);
    t.handle = tsr_hasher_open(&settings, &events);
    CHECK(t.handle >= 0);
    t.events = events;
}

static void close_hasher(void)
{
    CHECK(!tsr_hasher_close(t.handle));
    CHECK(tsr_hasher_close(t.handle) == -EBADF);
    close(t.events);
    free(t.disk);
    clean();
}

static void expect(uint64_t first, uint32_t count)
{
    uint8_t found[TSR_HASHER_BLOCKS_MAX][TSR_DIGEST_SIZE], wanted[TSR_DIGEST_SIZE];
    struct event event;

    CHECK(!tsr_hasher_ask(t.handle, first, count));
    CHECK(next_event(t.events, &event, HANG_MS) && event.e.kind == TSR_EV_HASHED);
    CHECK(event.e.b == first && event.e.c == count);
    CHECK(tsr_hasher_ask(t.handle, first, count) == -EBUSY);
    CHECK(tsr_hasher_take(t.handle, found[0], TSR_DIGEST_SIZE * (count - 1)) == -EINVAL);
    CHECK(tsr_hasher_take(t.handle, found[0], sizeof(found)) == (int)count * TSR_DIGEST_SIZE);
    CHECK(tsr_hasher_take(t.handle, found[0], sizeof(found)) == -EAGAIN);
    for (uint32_t i = 0; i < count; i++) {
        size_t at = (first + i) * TSR_DIGEST_BLOCK, left = DISK - at;

        tsr_digest_plain(t.disk + at, left < TSR_DIGEST_BLOCK ? left : TSR_DIGEST_BLOCK, wanted);
        CHECK(!memcmp(found[i], wanted, sizeof(wanted)));
    }
}

/* Proves: each block has its digest, the last, shorter one, too; one question at a time. */
TEST(hasher_tells_digests)
{
    open_hasher();
    expect(0, TSR_HASHER_BLOCKS_MAX);
    expect(TSR_HASHER_BLOCKS_MAX, BLOCKS - TSR_HASHER_BLOCKS_MAX);
    expect(7, 3);
    expect(BLOCKS - 1, 1);
    CHECK(tsr_hasher_ask(t.handle, 0, 0) == -EINVAL);
    CHECK(tsr_hasher_ask(t.handle, 0, TSR_HASHER_BLOCKS_MAX + 1) == -EINVAL);
    CHECK(tsr_hasher_ask(t.handle, BLOCKS, 1) == -EINVAL);
    CHECK(tsr_hasher_ask(t.handle, BLOCKS - 1, 2) == -EINVAL);
    CHECK(tsr_hasher_ask(t.handle, UINT64_MAX, 2) == -EINVAL);
    close_hasher();
}

/* Proves: a disk that cannot be read is told, and what can be read of it is told after that. */
TEST(hasher_tells_what_cannot_be_read)
{
    struct event event;

    open_hasher();
    CHECK(!truncate(t.path, DISK - TSR_DIGEST_BLOCK));
    CHECK(!tsr_hasher_ask(t.handle, BLOCKS - 2, 2));
    CHECK(next_event(t.events, &event, HANG_MS) && event.e.kind == TSR_EV_FAILED);
    CHECK(event.e.a == -EIO && strstr(event.text, "cannot be read"));
    expect(0, 1);
    close_hasher();
}

/* Proves: what is no disk is refused. */
TEST(hasher_refuses)
{
    struct tsr_hasher_settings settings;
    int32_t events;

    open_hasher();
    settings = settings_of(DISK);
    settings.flags = 0;
    CHECK(tsr_hasher_open(&settings, &events) == -ENOTBLK);
    settings = settings_of(DISK + 1);
    CHECK(tsr_hasher_open(&settings, &events) == -EINVAL);
    settings = settings_of(DISK + 512);
    CHECK(tsr_hasher_open(&settings, &events) == -EINVAL);
    settings = settings_of(DISK);
    strcpy(settings.path, "nowhere");
    CHECK(tsr_hasher_open(&settings, &events) == -ENOENT);
    close_hasher();
}
