/*
 * The capture's server, with the test in the kernel's place at the other end of its socket.
 */
#include "capture_bench.h"

#include "../disk/capture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* The next record of an epoch is this one; of a plain write, its data are those of SEED. */
static void expect(struct bytes *epoch, size_t *at, uint64_t offset, uint32_t length,
                   uint32_t flags, uint64_t seed)
{
    struct tsr_disk_record record;

    CHECK(epoch->size - *at >= sizeof(record));
    memcpy(&record, epoch->data + *at, sizeof(record));
    *at += sizeof(record);
    CHECK(record.offset == offset && record.length == length && record.flags == flags);
    if (!(flags & ~(uint32_t)TSR_DISK_FUA)) {
        uint8_t *wanted = malloc(length);

        fill(wanted, length, seed);
        CHECK(epoch->size - *at >= length && !memcmp(epoch->data + *at, wanted, length));
        *at += length;
        free(wanted);
    }
}

/* Proves: the documented format, and that an epoch holds exactly what came before its seal, in
 * its order, whatever the pieces in which it is read. */
TEST(capture_keeps_the_order)
{
    struct tsr_capture_piece piece;
    struct bytes epoch;
    uint8_t byte[16];
    size_t at;

    open_capture(HANG_MS);
    CHECK(tsr_capture_read(t.handle, byte, sizeof(byte), &piece) == -EAGAIN);
    write_at(4096, 512, 1);
    CHECK(answer_to(send_write(1, 512, 1536, 2)) == 0);
    CHECK(answer_to(ask(TSR_NBD_FLUSH, 0, 0)) == 0);
    CHECK(tsr_capture_seal(t.handle, 1) == 0);
    CHECK(answer_to(ask(TSR_NBD_TRIM, 8192, 4096)) == 0);
    CHECK(answer_to(ask(TSR_NBD_WRITE_ZEROES, 0, MIB)) == 0);
    write_at(DISK_BYTES - 512, 512, 3);
    CHECK(tsr_capture_seal(t.handle, 2) == 0);
    CHECK(tsr_capture_seal(t.handle, 5) == 0);

    epoch = read_epoch(1, 7);
    at = 0;
    expect(&epoch, &at, 4096, 512, 0, 1);
    expect(&epoch, &at, 512, 1536, TSR_DISK_FUA, 2);
    expect(&epoch, &at, 0, 0, TSR_DISK_FLUSH, 0);
    CHECK(at == epoch.size);
    bytes_free(&epoch);
    epoch = read_epoch(2, 1000);
    at = 0;
    expect(&epoch, &at, 8192, 4096, TSR_DISK_TRIM, 0);
    expect(&epoch, &at, 0, MIB, TSR_DISK_ZEROES, 0);
    expect(&epoch, &at, DISK_BYTES - 512, 512, 0, 3);
    CHECK(at == epoch.size);
    bytes_free(&epoch);
    epoch = read_epoch(5, 1000);
    CHECK(epoch.size == 0);
    bytes_free(&epoch);
    CHECK(tsr_capture_read(t.handle, byte, sizeof(byte), &piece) == -EAGAIN);
    close_capture();
}

/* Proves: a write that is not all here at a seal belongs to the next epoch, whole. */
TEST(capture_seals_between_writes)
{
    struct bytes epoch;
    uint8_t data[4096];
    uint64_t request;
    size_t at = 0;

    open_capture(HANG_MS);
    fill(data, sizeof(data), 9);
    request = ask(TSR_NBD_WRITE, 0, sizeof(data));
    all(t.leg, data, 1000, true);
    CHECK(tsr_capture_seal(t.handle, 1) == 0);
    CHECK(!is_answered(0));
    all(t.leg, data + 1000, sizeof(data) - 1000, true);
    CHECK(answer_to(request) == 0);
    CHECK(tsr_capture_seal(t.handle, 2) == 0);
    epoch = read_epoch(1, 100);
    CHECK(epoch.size == 0);
    bytes_free(&epoch);
    epoch = read_epoch(2, 100);
    expect(&epoch, &at, 0, sizeof(data), 0, 9);
    CHECK(at == epoch.size);
    bytes_free(&epoch);
    close_capture();
}

/* Proves: a reader that found nothing hears of the next epoch that is sealed, once; one that has
 * something to read hears nothing. */
TEST(capture_tells_of_a_sealed_epoch)
{
    struct tsr_capture_piece piece;
    struct event event;
    uint8_t byte;

    open_capture(HANG_MS);
    CHECK(tsr_capture_read(t.handle, &byte, 1, &piece) == -EAGAIN);
    write_at(0, 512, 1);
    CHECK(!next_event(t.events, &event, 0));
    CHECK(!tsr_capture_seal(t.handle, 1));
    CHECK(next_event(t.events, &event, HANG_MS) && event.e.kind == TSR_EV_DISK_MORE);
    CHECK(!tsr_capture_seal(t.handle, 2));
    CHECK(!next_event(t.events, &event, 0));
    for (uint64_t n = 1; n <= 2; n++) {
        struct bytes epoch = read_epoch(n, 1000);

        bytes_free(&epoch);
    }
    CHECK(tsr_capture_read(t.handle, &byte, 1, &piece) == -EAGAIN);
    CHECK(!tsr_capture_seal(t.handle, 3));
    CHECK(next_event(t.events, &event, HANG_MS) && event.e.kind == TSR_EV_DISK_MORE);
    close_capture();
}

/* Proves: epochs of all sizes go round the ring, whole. */
TEST(capture_goes_round)
{
    uint64_t seed = 0, checked = 0;

    open_capture(HANG_MS);
    for (uint64_t n = 1; n <= 60; n++) {
        uint64_t from = seed;
        struct bytes epoch;
        size_t at = 0;

        while (seed - from < n % 5) {
            uint32_t length = 512 * (1 + (uint32_t)(seed * 397) % 2048);

            write_at(512 * (seed % 1000), length, seed);
            seed++;
        }
        CHECK(tsr_capture_seal(t.handle, n) == 0);
        epoch = read_epoch(n, 300001);
        for (; from < seed; from++, checked++)
            expect(&epoch, &at, 512 * (from % 1000), 512 * (1 + (uint32_t)(from * 397) % 2048), 0,
                   from);
        CHECK(at == epoch.size);
        bytes_free(&epoch);
    }
    CHECK(checked == 120);
    close_capture();
}

/* Proves: a full buffer makes the guest wait and tells it; room lets it go on; nothing is lost. */
TEST(capture_paces_at_its_ceiling)
{
    struct tsr_capture_stats stats;
    struct bytes epoch;
    struct event event;
    uint64_t request;
    size_t at = 0;

    open_capture(HANG_MS);
    for (unsigned i = 0; i < 8; i++)
        write_at(i * MIB, MIB, i);
    CHECK(next_event(t.events, &event, HANG_MS) && event.e.kind == TSR_EV_DISK_FILLING);
    CHECK(event.e.b > ROOM / 2);
    CHECK(tsr_capture_seal(t.handle, 1) == 0);
    request = send_write(0, 8 * MIB, MIB, 8);
    wait_event(t.events, TSR_EV_DISK_FULL, &event);
    CHECK(!is_answered(50));
    epoch = read_epoch(1, MIB);
    for (unsigned i = 0; i < 8; i++)
        expect(&epoch, &at, i * MIB, MIB, 0, i);
    bytes_free(&epoch);
    CHECK(answer_to(request) == 0);
    CHECK(!tsr_capture_look(t.handle, &stats));
    CHECK(stats.writes == 9 && stats.written == 9 * MIB && stats.paced == 1 && stats.paced_ns);
    CHECK(stats.open == MIB + 16 && stats.sealed == 0);
    CHECK(stats.most >= 8 * (MIB + 16) && stats.most <= ROOM);
    close_capture();
}

/* Proves: where nobody makes room in time, the leg is given up and the mirror taken away. */
TEST(capture_gives_up_without_room)
{
    struct tsr_capture_stats stats;

    open_capture(30);
    CHECK(!tsr_capture_insert(t.handle));
    for (unsigned i = 0; i < 8; i++)
        write_at(i * MIB, MIB, i);
    write_at(8 * MIB, 4096, 8);
    /* Without its data, which would meet a leg that is given up already. */
    ask(TSR_NBD_WRITE, 9 * MIB, MIB - 512);
    expect_loss(-ENOBUFS, "room");
    CHECK(!tsr_capture_look(t.handle, &stats) && stats.lost == -ENOBUFS);
    close_capture();
}

/* Proves: as long as somebody reads, however little, a write waits on, up to a bound. */
TEST(capture_waits_while_it_is_read)
{
    struct tsr_wait wait = { 0 };
    uint64_t ms = 1000000, now = 7 * ms;

    CHECK(tsr_wait_goes_on(&wait, 10, now, 300 * ms));
    CHECK(tsr_wait_goes_on(&wait, 10, now + 299 * ms, 300 * ms));
    CHECK(!tsr_wait_goes_on(&wait, 10, now + 300 * ms, 300 * ms));
    CHECK(tsr_wait_goes_on(&wait, 11, now += 400 * ms, 300 * ms));
    for (uint64_t i = 0; i < 78; i++)
        CHECK(tsr_wait_goes_on(&wait, 12 + i, now += 250 * ms, 300 * ms));
    CHECK(!tsr_wait_goes_on(&wait, 100, now += 250 * ms, 300 * ms));
}

/* Proves: the guard sees that a write waits for room, again and again, and no other one. */
TEST(capture_tells_that_it_paces)
{
    const struct tsr_pace *pace;
    uint64_t first;

    open_capture(HANG_MS);
    pace = mmap(NULL, TSR_PACE_SIZE, PROT_READ, MAP_SHARED, t.pace, 0);
    CHECK(pace != MAP_FAILED);
    for (unsigned i = 0; i < 8; i++)
        write_at(i * MIB, MIB, i);
    CHECK(atomic_load(&pace->paced_ns) == 0);
    ask(TSR_NBD_WRITE, 9 * MIB, MIB);
    while (!(first = atomic_load(&pace->paced_ns)))
        sleep_ms(1);
    while (atomic_load(&pace->paced_ns) == first)
        sleep_ms(1);
    close_capture();
}

static void *close_beside(void *unused)
{
    (void)unused;
    CHECK(tsr_capture_close(t.handle) == -ESTALE);
    return NULL;
}

/* Proves: while somebody else's change keeps the mirror from being taken away, every write is
 * answered, more than there is room for: a leg that ends would make errors of them. */
TEST(capture_answers_until_its_mirror_is_gone)
{
    pthread_t thread;

    open_capture(HANG_MS);
    CHECK(!tsr_capture_insert(t.handle));
    for (unsigned i = 0; i < 8; i++)
        write_at(i * MIB, MIB, i);
    CHECK(!tsr_capture_seal(t.handle, 1));
    dm_model_load("linear", "8:16 0");
    CHECK(!pthread_create(&thread, NULL, close_beside, NULL));
    for (unsigned i = 0; i < 30; i++)
        write_at(i * MIB, MIB, i);
    dm_model_resume();
    pthread_join(thread, NULL);
    close(t.leg);
    close(t.pace);
    close(t.events);
    bench_clean();
}

/* Proves: when the guard dies and the kernel ends the leg, the capture takes the mirror away. */
TEST(capture_swaps_when_its_leg_ends)
{
    open_capture(HANG_MS);
    CHECK(!tsr_capture_insert(t.handle));
    CHECK(!tsr_capture_check(t.handle));
    write_at(0, 512, 1);
    shutdown(t.leg, SHUT_RDWR);
    expect_loss(-EPIPE, "closed the leg");
    /* Nobody would take it away any more. */
    CHECK(tsr_capture_insert(t.handle) == -ESHUTDOWN);
    close_capture();
}

/* Proves: what no kernel sends ends the leg with a sentence, and is never captured. */
TEST(capture_refuses_what_is_no_request)
{
    static const struct {
        uint32_t type;
        uint64_t offset;
        uint32_t length;
        const char *word;
    } wrong[] = {
        { 9, 0, 512, "unknown" },
        { TSR_NBD_WRITE, 0, 5 * MIB, "longer" },
        { TSR_NBD_WRITE, DISK_BYTES, 512, "end of the disk" },
        { TSR_NBD_TRIM, UINT64_MAX - 511, 512, "end of the disk" },
        { TSR_NBD_WRITE, 100, 512, "whole sectors" },
        { TSR_NBD_READ, 0, 0, "whole sectors" },
    };

    for (unsigned i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        struct event event;

        open_capture(HANG_MS);
        ask(wrong[i].type, wrong[i].offset, wrong[i].length);
        wait_event(t.events, TSR_EV_FAILED, &event);
        CHECK(event.e.a == -EPROTO && strstr(event.text, wrong[i].word));
        close_capture();
    }
}

/* Proves: C3 and C4: the guest's data are seen by the mirror's own reads only, which are those
 * after its disk has failed; and a read that fails there is not answered. */
TEST(capture_reads_for_the_mirror_only)
{
    struct tsr_capture_stats stats;
    uint8_t data[4096];
    uint64_t request;

    open_capture(HANG_MS);
    CHECK(answer_to(ask(TSR_NBD_READ, 0, sizeof(data))) == 0);
    all(t.leg, data, sizeof(data), false);
    CHECK(data[0] == 0 && !memcmp(data, data + 1, sizeof(data) - 1));
    CHECK(!tsr_capture_insert(t.handle));
    CHECK(answer_to(ask(TSR_NBD_READ, 0, sizeof(data))) == EIO);
    strcpy(dm_model_health, "RA");
    CHECK(tsr_capture_check(t.handle) == -EIO);
    CHECK(answer_to(ask(TSR_NBD_READ, 4096, sizeof(data))) == 0);
    all(t.leg, data, sizeof(data), false);
    CHECK(data[0] == 0xd1 && !memcmp(data, data + 1, sizeof(data) - 1));
    /* So it is while somebody changes the table: reads wait for that, too. */
    dm_model_load("linear", "8:16 0");
    ask(TSR_NBD_READ, 2 * MIB, sizeof(data));
    request = ask(TSR_NBD_READ, 0, 512);
    CHECK(answer_to(request) == 0);
    all(t.leg, data, 512, false);
    CHECK(!is_answered(50));
    CHECK(!tsr_capture_look(t.handle, &stats));
    CHECK(stats.reads == 2 && stats.reads_held == 1 && stats.probes == 2);
    dm_model_resume();
    close_capture();
}

/* Proves: it is noticed that somebody took the mirror away, or is about to. */
TEST(capture_checks_its_mirror)
{
    open_capture(HANG_MS);
    CHECK(tsr_capture_check(t.handle) == -ESTALE);
    CHECK(!tsr_capture_insert(t.handle) && !tsr_capture_check(t.handle));
    dm_model_load("linear", "8:0 0");
    CHECK(tsr_capture_check(t.handle) == -EBUSY);
    dm_model_resume();
    CHECK(tsr_capture_check(t.handle) == -ESTALE);
    close_capture();
}

TEST(capture_refuses_settings)
{
    struct tsr_capture_settings settings = settings_of(0);
    int32_t leg, pace, events;
    int fds = count_fds();

    test_cleanup = bench_clean;
    make_disk(MIB);
    dm_model_start(true);
    settings.room = MIB;
    CHECK(tsr_capture_open(&settings, &leg, &pace, &events) == -EINVAL);
    settings = settings_of(0);
    settings.size -= 512;
    CHECK(tsr_capture_open(&settings, &leg, &pace, &events) == -EINVAL);
    settings = settings_of(0);
    memset(settings.name, 'x', sizeof(settings.name));
    CHECK(tsr_capture_open(&settings, &leg, &pace, &events) == -EINVAL);
    settings = settings_of(0);
    strcpy(settings.under, "other");
    CHECK(tsr_capture_open(&settings, &leg, &pace, &events) == -ENXIO);
    settings = settings_of(0);
    strcpy(settings.plain, "no-such-file");
    CHECK(tsr_capture_open(&settings, &leg, &pace, &events) == -ENOENT);
    CHECK(count_fds() == fds);
    CHECK(tsr_capture_seal(7, 1) == -EBADF && tsr_capture_close(7) == -EBADF);
    bench_clean();
}

TEST(capture_seals_in_order_and_within_bounds)
{
    open_capture(HANG_MS);
    CHECK(!tsr_capture_seal(t.handle, 3));
    CHECK(tsr_capture_seal(t.handle, 3) == -EINVAL);
    CHECK(tsr_capture_seal(t.handle, 2) == -EINVAL);
    for (uint64_t n = 4; n < 3 + 64; n++)
        CHECK(!tsr_capture_seal(t.handle, n));
    CHECK(tsr_capture_seal(t.handle, 100) == -ENOBUFS);
    close_capture();
}
