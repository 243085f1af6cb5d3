/*
 * The first copy beside what the guest writes: whoever applies epoch 0 in its order must have the
 * guest's disk.
 */
#include "capture_bench.h"

#include "../disk/copy.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GRAIN 4096u
#define BLOCK (256u << 10)

/* The other host's disk, which forgets nothing: what came so far, cut anywhere. */
static struct {
    uint8_t *disk;
    struct bytes rest;
    uint64_t records, zeroes;
    bool ended;
} sink;

static void apply_records(void)
{
    struct tsr_disk_record record;
    size_t at = 0, data;

    while (sink.rest.size - at >= sizeof(record)) {
        memcpy(&record, sink.rest.data + at, sizeof(record));
        data = record.flags & ~(uint32_t)TSR_DISK_FUA ? 0 : record.length;
        if (sink.rest.size - at < sizeof(record) + data)
            break;
        at += sizeof(record);
        CHECK(record.offset <= DISK_BYTES && record.length <= DISK_BYTES - record.offset);
        if (data)
            memcpy(sink.disk + record.offset, sink.rest.data + at, data);
        else if (record.length && !(record.flags & TSR_DISK_TRIM))
            memset(sink.disk + record.offset, 0, record.length);
        sink.records++;
        sink.zeroes += (record.flags & TSR_DISK_ZEROES) != 0;
        at += data;
    }
    memmove(sink.rest.data, sink.rest.data + at, sink.rest.size - at);
    sink.rest.size -= at;
}

/* Reads once; false: nothing was there. */
static bool read_some(size_t size)
{
    static uint8_t buffer[MIB];
    struct tsr_capture_piece piece;
    int n = tsr_capture_read(t.handle, buffer, size, &piece);

    if (n == -EAGAIN)
        return false;
    CHECK(n >= 0 && piece.epoch == 0 && !sink.ended);
    bytes_add(&sink.rest, buffer, (size_t)n);
    apply_records();
    sink.ended = piece.left == 0;
    return true;
}

static struct tsr_capture_stats look(void)
{
    struct tsr_capture_stats stats;

    CHECK(!tsr_capture_look(t.handle, &stats));
    return stats;
}

/* Reads until the copy has ended and epoch 0 is sealed and read. */
static void read_all(void)
{
    while (!look().copy_ended)
        if (!read_some(MIB))
            sleep_ms(1);
    CHECK(!tsr_capture_seal(t.handle, 0));
    while (!sink.ended)
        CHECK(read_some(100001));
    CHECK(sink.rest.size == 0);
}

static void open_copy_of(size_t bytes, enum tsr_first_copy kind, uint64_t rate)
{
    struct tsr_capture_settings settings = settings_of(HANG_MS);

    settings.first_copy = kind;
    settings.copy_rate = rate;
    make_disk(bytes);
    open_with(&settings);
    CHECK(!tsr_capture_insert(t.handle));
    sink.disk = malloc(DISK_BYTES);
    memset(sink.disk, 0xee, DISK_BYTES);
}

static void open_copy(size_t bytes)
{
    open_copy_of(bytes, TSR_COPY_ALL, 0);
}

static void close_copy(void)
{
    close_capture();
    bytes_free(&sink.rest);
    free(sink.disk);
}

static void change_disk(uint64_t offset, const void *data, size_t size)
{
    int fd = open(t.disk, O_WRONLY);

    CHECK(fd >= 0 && pwrite(fd, data, size, (off_t)offset) == (ssize_t)size);
    close(fd);
}

static bool holds(uint64_t offset, uint64_t size, uint8_t byte)
{
    for (uint64_t i = 0; i < size; i++)
        if (sink.disk[offset + i] != byte)
            return false;
    return true;
}

/* Proves: all of the disk comes, zeroes without data, before epoch 0 is sealed; its end is told;
 * without another seal nothing more is handed out. */
TEST(copy_is_the_disk)
{
    struct tsr_capture_stats stats;
    static uint8_t nothing[3 * MIB];
    struct event event;

    open_copy(DISK_BYTES);
    change_disk(5 * MIB + GRAIN, nothing, sizeof(nothing));
    stats = look();
    CHECK(stats.to_copy == DISK_BYTES && stats.copied == 0 && !stats.copy_ended);
    CHECK(!read_some(MIB));
    CHECK(!tsr_capture_copy(t.handle));
    CHECK(tsr_capture_copy(t.handle) == -EINVAL);
    CHECK(next_event(t.events, &event, HANG_MS) && event.e.kind == TSR_EV_DISK_MORE);
    read_all();
    CHECK(next_event(t.events, &event, HANG_MS));
    while (event.e.kind == TSR_EV_DISK_MORE)
        CHECK(next_event(t.events, &event, HANG_MS));
    CHECK(event.e.kind == TSR_EV_DISK_COPIED && event.e.b == DISK_BYTES);
    CHECK(holds(0, 5 * MIB + GRAIN, 0xd1) && holds(5 * MIB + GRAIN, sizeof(nothing), 0));
    CHECK(holds(8 * MIB + GRAIN, DISK_BYTES - 8 * MIB - GRAIN, 0xd1) && sink.zeroes >= 12);
    stats = look();
    CHECK(stats.copied == DISK_BYTES && stats.copy_ended && stats.writes == 0);
    write_at(0, 512, 1);
    CHECK(!read_some(MIB));
    close_copy();
}

/* Proves: epoch 0 cannot be sealed before all of the copy is in it, and no other can be first. */
TEST(copy_is_sealed_whole)
{
    open_copy(DISK_BYTES);
    CHECK(tsr_capture_seal(t.handle, 0) == -EBUSY);
    CHECK(!tsr_capture_copy(t.handle));
    /* It cannot end: the ring takes less than the disk. */
    CHECK(tsr_capture_seal(t.handle, 0) == -EBUSY);
    while (!look().copy_ended)
        if (!read_some(MIB))
            sleep_ms(1);
    CHECK(tsr_capture_seal(t.handle, 1) == -EINVAL);
    CHECK(!tsr_capture_seal(t.handle, 0) && !tsr_capture_seal(t.handle, 1));
    close_copy();
}

/* Proves: F1 and F2: what was captured is never overtaken by what the disk held, whether it was
 * captured before its block was read or after; the rest of its grains is not lost. The disk
 * never gets these writes: they are on their way to it all the time. */
TEST(copy_admits_nothing_that_was_captured)
{
    static uint8_t wanted[DISK_BYTES];
    uint64_t at, waits = 0;

    open_copy(DISK_BYTES);
    memset(wanted, 0xd1, sizeof(wanted));
    /* Before the copy: whole grains, a sector, one across two grains, a discard, zeroes. */
    write_at(MIB, 2 * GRAIN, 1);
    fill(wanted + MIB, 2 * GRAIN, 1);
    write_at(2 * MIB + 512, 512, 2);
    fill(wanted + 2 * MIB + 512, 512, 2);
    write_at(3 * MIB - 1024, 2048, 3);
    fill(wanted + 3 * MIB - 1024, 2048, 3);
    CHECK(answer_to(ask(TSR_NBD_TRIM, 4 * MIB + 512, 3 * GRAIN)) == 0);
    CHECK(answer_to(ask(TSR_NBD_WRITE_ZEROES, DISK_BYTES - 1536, 1536)) == 0);
    memset(wanted + DISK_BYTES - 1536, 0, 1536);
    CHECK(look().edges == 4 * (GRAIN + 16));
    CHECK(!tsr_capture_copy(t.handle));
    /* It has read one block more than it could admit. */
    while (waits < 20) {
        at = look().copied;
        sleep_ms(5);
        waits = look().copied == at && at > MIB ? waits + 1 : 0;
    }
    for (uint64_t i = 0; i < 8; i++) {
        uint64_t offset = at + i * BLOCK / 8 + i * 512;

        write_at(offset, 512, 10 + i);
        fill(wanted + offset, 512, 10 + i);
    }
    read_all();
    CHECK(!memcmp(sink.disk, wanted, sizeof(wanted)));
    close_copy();
}

/* Makes room for a write that waits for it, no more than it must. */
static void let_in(uint64_t request)
{
    while (!is_answered(5))
        read_some(32u << 10);
    CHECK(answer_to(request) == 0);
}

/* Proves: F3: where the guest fills the ring and takes all room that comes, the copy goes on. */
TEST(copy_has_its_turn_beside_the_guest)
{
    uint64_t before, request = 0;

    open_copy(DISK_BYTES);
    CHECK(!tsr_capture_copy(t.handle));
    for (unsigned i = 0; !request || is_answered(50); i++) {
        if (request)
            CHECK(answer_to(request) == 0);
        request = send_write(0, (i % 8) * MIB, 256u << 10, i);
    }
    let_in(request);
    before = look().copied;
    for (unsigned i = 0; i < 80; i++)
        let_in(send_write(0, i * MIB / 4, 64u << 10, i));
    /* 5 MiB of the guest's: a block of the copy after each one. */
    CHECK(look().copied >= before + 3 * BLOCK);
    read_all();
    close_copy();
}

/* Proves: a disk that cannot be read is a failure that says so, of the copy and of an edge. */
TEST(copy_fails_with_its_disk)
{
    open_copy(MIB);
    CHECK(!tsr_capture_copy(t.handle));
    expect_loss(-EIO, "first copy, at byte 1048576");
    close_copy();
    open_copy(MIB);
    ask(TSR_NBD_WRITE_ZEROES, 2 * MIB + 512, 512);
    expect_loss(-EIO, "first copy, at byte 2097152");
    close_copy();
}

/* Proves: a copy under way does not outlive its capture. */
TEST(copy_ends_with_its_capture)
{
    open_copy(DISK_BYTES);
    CHECK(!tsr_capture_copy(t.handle));
    while (!look().copied)
        sleep_ms(1);
    close_copy();
}

/* ---- beside the other disk ------------------------------------------------------------------ */

#define BLOCKS (DISK_BYTES / TSR_DIGEST_BLOCK)

/* Answers every question that was asked, as the other disk is; its first and their count. */
static unsigned answer_questions(uint64_t *first_out)
{
    static uint8_t digests[TSR_COPY_ASK][TSR_DIGEST_SIZE];
    unsigned questions = 0;
    struct event event;

    while (next_event(t.events, &event, questions ? 20 : HANG_MS)) {
        if (event.e.kind != TSR_EV_DISK_COMPARE)
            continue;
        if (!questions++ && first_out)
            *first_out = event.e.b;
        CHECK(event.e.c && event.e.c <= TSR_COPY_ASK && event.e.b + event.e.c <= BLOCKS);
        for (uint64_t i = 0; i < event.e.c; i++)
            tsr_digest(sink.disk + (event.e.b + i) * TSR_DIGEST_BLOCK, TSR_DIGEST_BLOCK,
                       digests[i]);
        CHECK(!tsr_capture_digests(t.handle, event.e.b, (uint32_t)event.e.c, digests[0]));
    }
    return questions;
}

/* Proves: what the other disk has is not sent, and the copy is the disk all the same; questions
 * go ahead, and no further than what may be kept. */
TEST(copy_leaves_out_what_is_there)
{
    struct tsr_capture_stats stats;

    open_copy_of(DISK_BYTES, TSR_COPY_COMPARED, 0);
    memset(sink.disk, 0xd1, DISK_BYTES);
    sink.disk[3 * MIB + 5] ^= 1;
    sink.disk[DISK_BYTES - 1] ^= 1;
    CHECK(!tsr_capture_copy(t.handle));
    CHECK(answer_questions(NULL) == BLOCKS / TSR_COPY_ASK);
    read_all();
    stats = look();
    CHECK(holds(0, DISK_BYTES, 0xd1) && sink.records == 2);
    CHECK(stats.equal == DISK_BYTES - 2 * TSR_DIGEST_BLOCK && stats.copied == DISK_BYTES);
    close_copy();
}

/* Proves: F4: a block that was the same there is not left out of what is captured, before its
 * digest came, between that and its turn, or after; what the guest covered is not asked for. */
TEST(copy_compares_beside_the_guest)
{
    static uint8_t wanted[DISK_BYTES];
    uint64_t first;

    open_copy_of(DISK_BYTES, TSR_COPY_COMPARED, 0);
    memset(sink.disk, 0xd1, DISK_BYTES);
    memset(wanted, 0xd1, sizeof(wanted));
    CHECK(answer_to(ask(TSR_NBD_WRITE_ZEROES, 0, 8 * MIB)) == 0);
    memset(wanted, 0, 8 * MIB);
    write_at(9 * MIB + 512, 512, 1);
    fill(wanted + 9 * MIB + 512, 512, 1);
    CHECK(!tsr_capture_copy(t.handle));
    write_at(10 * MIB, 2 * GRAIN, 2);
    fill(wanted + 10 * MIB, 2 * GRAIN, 2);
    answer_questions(&first);
    CHECK(first == 8 * MIB / TSR_DIGEST_BLOCK);
    write_at(20 * MIB + 1024, 2048, 3);
    fill(wanted + 20 * MIB + 1024, 2048, 3);
    read_all();
    CHECK(!memcmp(sink.disk, wanted, sizeof(wanted)));
    CHECK(look().equal > 20 * MIB);
    close_copy();
}

/* Proves: where the other disk has nothing to compare all of it is copied, with one answer for
 * all questions; what was not asked for is refused. */
TEST(copy_asks_in_vain)
{
    static uint8_t digests[TSR_COPY_ASK][TSR_DIGEST_SIZE];
    struct event event;

    open_copy_of(DISK_BYTES, TSR_COPY_COMPARED, 0);
    CHECK(tsr_capture_digests(t.handle, 0, 1, digests[0]) == -EPROTO);
    CHECK(!tsr_capture_copy(t.handle));
    CHECK(next_event(t.events, &event, HANG_MS) && event.e.kind == TSR_EV_DISK_COMPARE);
    CHECK(event.e.b == 0 && event.e.c == TSR_COPY_ASK);
    CHECK(next_event(t.events, &event, HANG_MS) && event.e.kind == TSR_EV_DISK_COMPARE);
    CHECK(event.e.b == TSR_COPY_ASK);
    CHECK(tsr_capture_digests(t.handle, 0, TSR_COPY_ASK - 1, digests[0]) == -EPROTO);
    CHECK(tsr_capture_digests(t.handle, TSR_COPY_ASK, TSR_COPY_ASK, digests[0]) == -EPROTO);
    CHECK(!tsr_capture_digests(t.handle, 0, 0, NULL));
    CHECK(!tsr_capture_digests(t.handle, TSR_COPY_ASK, 0, NULL));
    read_all();
    CHECK(holds(0, DISK_BYTES, 0xd1) && look().equal == 0);
    close_copy();
}

/* Proves: digests that come when the copy has ended without them are no error, and one that waits
 * for them ends with its capture. */
TEST(copy_ends_without_its_answers)
{
    static uint8_t digests[TSR_COPY_ASK][TSR_DIGEST_SIZE];
    struct event event;

    open_copy_of(DISK_BYTES, TSR_COPY_COMPARED, 0);
    CHECK(!tsr_capture_copy(t.handle));
    CHECK(next_event(t.events, &event, HANG_MS) && event.e.kind == TSR_EV_DISK_COMPARE);
    CHECK(answer_to(ask(TSR_NBD_WRITE_ZEROES, 0, DISK_BYTES)) == 0);
    CHECK(!tsr_capture_digests(t.handle, 0, TSR_COPY_ASK, digests[0]));
    read_all();
    CHECK(!tsr_capture_digests(t.handle, TSR_COPY_ASK, TSR_COPY_ASK, digests[0]));
    CHECK(holds(0, DISK_BYTES, 0) && look().equal == 0);
    close_copy();
    open_copy_of(DISK_BYTES, TSR_COPY_COMPARED, 0);
    CHECK(!tsr_capture_copy(t.handle));
    CHECK(next_event(t.events, &event, HANG_MS) && event.e.kind == TSR_EV_DISK_COMPARE);
    close_copy();
}

/* Proves: F5: it takes the time that its rate gives it, and the guest's writes do not. */
TEST(copy_keeps_to_its_rate)
{
    uint64_t began;

    open_copy_of(DISK_BYTES, TSR_COPY_ALL, 32 * MIB);
    began = now_ms();
    CHECK(!tsr_capture_copy(t.handle));
    for (unsigned i = 0; i < 8; i++)
        write_at(16 * MIB + i * GRAIN, GRAIN, i);
    read_all();
    /* All but the last block. */
    CHECK(now_ms() - began >= 980);
    close_copy();
    open_copy_of(DISK_BYTES, TSR_COPY_ALL, 1);
    CHECK(!tsr_capture_copy(t.handle));
    close_copy();
}

/* ---- at random ---------------------------------------------------------------------------- */

#define WRITES 3000u
#define LATE 40u

static atomic_bool writes_done;
/* Of the other disk as it was before: nothing of it is looked at while its records come. */
static uint8_t before[DISK_BYTES];

static void *drain(void *unused)
{
    (void)unused;
    while (!atomic_load(&writes_done) || !look().copy_ended)
        if (!read_some(77777))
            sleep_ms(1);
    return NULL;
}

static uint64_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

static void *answer_all(void *unused)
{
    static uint8_t digests[TSR_COPY_ASK][TSR_DIGEST_SIZE];
    struct event event;

    (void)unused;
    while (!look().copy_ended) {
        if (!next_event(t.events, &event, 5) || event.e.kind != TSR_EV_DISK_COMPARE)
            continue;
        for (uint64_t i = 0; i < event.e.c; i++)
            tsr_digest(before + (event.e.b + i) * TSR_DIGEST_BLOCK, TSR_DIGEST_BLOCK, digests[i]);
        sleep_ms(5);
        CHECK(!tsr_capture_digests(t.handle, event.e.b, (uint32_t)event.e.c, digests[0]));
    }
    return NULL;
}

static void copy_at_random(enum tsr_first_copy kind)
{
    static uint8_t wanted[DISK_BYTES], data[MIB];
    struct { uint64_t offset, seed; uint32_t length; } late[LATE];
    uint64_t random = (uint64_t)getpid();
    pthread_t thread, answers;

    open_copy_of(DISK_BYTES, kind, 0);
    memset(wanted, 0xd1, sizeof(wanted));
    /* Three blocks of four are there. */
    for (uint64_t i = 0; i < BLOCKS; i++)
        if (i % 4)
            memset(sink.disk + i * TSR_DIGEST_BLOCK, 0xd1, TSR_DIGEST_BLOCK);
    memcpy(before, sink.disk, sizeof(before));
    memset(late, 0, sizeof(late));
    for (unsigned i = 0; i < WRITES; i++) {
        uint32_t length = 512 * (1 + (uint32_t)next_random(&random) % (i % 10 ? 24 : 512));
        uint64_t offset = 512 * (next_random(&random) % ((DISK_BYTES - length) / 512 + 1));
        unsigned how = next_random(&random) % 9, at = i % LATE;
        uint64_t request;

        fill(data, length, i);
        if (i == WRITES / 10) {
            CHECK(!tsr_capture_copy(t.handle));
            CHECK(!pthread_create(&thread, NULL, drain, NULL));
            CHECK(!pthread_create(&answers, NULL, answer_all, NULL));
        }
        if (late[at].length) {
            uint8_t *older = malloc(late[at].length);

            fill(older, late[at].length, late[at].seed);
            change_disk(late[at].offset, older, late[at].length);
            free(older);
        }
        late[at].length = 0;
        if (how == 0) {
            request = ask(TSR_NBD_WRITE_ZEROES, offset, length);
            memset(wanted + offset, 0, length);
        } else if (how == 8) {
            request = ask(TSR_NBD_TRIM, offset, length);
        } else {
            if (how < 3)
                change_disk(offset, data, length);
            request = send_write(0, offset, length, i);
            memcpy(wanted + offset, data, length);
            if (how > 5) {
                late[at].offset = offset;
                late[at].length = length;
                late[at].seed = i;
            }
        }
        CHECK(answer_to(request) == 0);
    }
    atomic_store(&writes_done, true);
    pthread_join(thread, NULL);
    pthread_join(answers, NULL);
    read_all();
    CHECK(!memcmp(sink.disk, wanted, sizeof(wanted)));
    CHECK(kind == TSR_COPY_ALL || look().equal > 0);
    close_copy();
}

/* Proves: F1 to F3 in whatever order: writes of all sizes reach the disk before they are captured,
 * long after, or never, while it is copied; what is discarded is the same on both disks. */
TEST(copy_equals_under_writes_at_random)
{
    copy_at_random(TSR_COPY_ALL);
}

/* Proves: F4 likewise, where most of the disk is there already. */
TEST(copy_compared_equals_under_writes_at_random)
{
    copy_at_random(TSR_COPY_COMPARED);
}
