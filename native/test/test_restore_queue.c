/*
 * What waits in a restore session: epochs that were not applied yet, and how much.
 */
#include "restore_session.h"

#include <errno.h>

static struct fake_world *world;

/* Whole epochs that nobody applied are not libxl's, and not part of the copy. */
TEST(restore_holds_epochs_until_they_are_applied)
{
    struct bytes bytes = { 0 };
    struct tsr_stream_stats stats;
    struct event event;
    struct restore_session s;
    uint64_t expected, ends[4];

    world = restore_begin(&s);
    put_start(&bytes, PV);
    expected = put_summed_epoch(&bytes, 3);
    ends[0] = bytes.size;
    for (int i = 1; i < 4; i++) {
        uint64_t sum = put_summed_epoch(&bytes, 3 + (uint32_t)i);

        expected += i < 3 ? sum : 0;
        ends[i] = bytes.size;
    }
    world->fed = bytes.size;
    CHECK(!tsr_restore_feed(s.handle, bytes.data, bytes.size - 1, &stats));
    CHECK(stats.epoch == 3 && stats.epoch_end == ends[2] && !stats.at_boundary);
    CHECK(tsr_restore_apply(s.handle, ends[3]) == -EINVAL);
    CHECK(!tsr_restore_feed(s.handle, bytes.data + bytes.size - 1, 1, &stats));
    CHECK(stats.at_boundary && stats.epoch == 4 && stats.epoch_end == ends[3]);
    restore_wait_fed(&s, ends[0]);
    sleep_ms(100);
    CHECK(world->applied == 1);
    CHECK(!tsr_restore_apply(s.handle, ends[2]));
    CHECK(!tsr_restore_apply(s.handle, ends[1]));
    restore_wait_fed(&s, ends[2]);
    CHECK(tsr_restore_finish(s.handle) == 0);
    restore_finish(&s, &event);
    CHECK(event.e.a == 0 && world->applied == 3);
    CHECK(world->copy_sum == expected);
    bytes_free(&bytes);
}

/* More than libxl takes at once is refused, and nothing of it is lost. */
TEST(restore_bounds_its_queue)
{
    struct bytes bytes = { 0 };
    struct event event;
    struct restore_session s;
    uint64_t expected = 0, sum = 0;
    int refused = 0, rc;

    world = restore_begin(&s);
    put_start(&bytes, PV);
    restore_feed(&s, bytes.data, bytes.size);
    bytes.size = 0;
    put_pages(&bytes, 1, 1024, 1);
    CHECK(tsr_restore_feed(s.handle, bytes.data, RESTORE_LIMIT + 1,
                           NULL) == -EMSGSIZE);
    for (size_t i = 8; i < bytes.size; i++)
        sum += bytes.data[i];
    for (int i = 0; i < 40 || !refused; i++) {
        world->fed += bytes.size;
        expected += sum;
        while ((rc = tsr_restore_feed(s.handle, bytes.data, bytes.size,
                                      NULL))) {
            CHECK(rc == -ENOBUFS);
            refused++;
            sleep_ms(1);
        }
    }
    bytes.size = 0;
    put_state(&bytes, PV);
    put_libxl(&bytes, PV, 0);
    restore_feed(&s, bytes.data, bytes.size);
    CHECK(tsr_restore_finish(s.handle) == 0);
    restore_finish(&s, &event);
    CHECK(event.e.a == 0 && world->applied == 1);
    CHECK(world->copy_sum == expected);
    bytes_free(&bytes);
}
