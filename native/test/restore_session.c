#include "restore_session.h"

#include <errno.h>
#include <unistd.h>

static struct fake_world *world;

struct fake_world *restore_begin(struct restore_session *s)
{
    world = open_fake();
    s->fds_before = count_fds();
    s->handle = tsr_restore_start(CONFIG, RESTORE_LIMIT, &s->fd);
    CHECK(s->handle >= 0);
    return world;
}

void restore_feed(struct restore_session *s, const uint8_t *data, size_t size)
{
    struct tsr_stream_stats stats;
    int rc;

    world->fed += size;
    while ((rc = tsr_restore_feed(s->handle, data, size, &stats)) == -ENOBUFS)
        sleep_ms(2);
    CHECK(rc == 0);
    CHECK(tsr_restore_apply(s->handle, stats.epoch_end) == 0);
}

void restore_finish(struct restore_session *s, struct event *ended)
{
    do {
        CHECK(next_event(s->fd, ended, HANG_MS));
    } while (ended->e.kind != TSR_EV_ENDED);
    CHECK(tsr_restore_free(s->handle) == 0);
    CHECK(close(s->fd) == 0);
    CHECK(count_fds() == s->fds_before);
    CHECK(world->early_reads == 0);
}

void restore_wait_fed(struct restore_session *s, uint64_t bytes)
{
    struct event event;

    do {
        wait_event(s->fd, TSR_EV_FED, &event);
    } while (event.e.a != (int64_t)bytes);
}

uint64_t put_summed_epoch(struct bytes *bytes, uint32_t count)
{
    size_t body = bytes->size + 8;
    uint64_t total = 0;

    put_pages(bytes, 100, count, (uint8_t)(count + 3));
    for (size_t i = body; i < bytes->size; i++)
        total += bytes->data[i];
    put_state(bytes, PV);
    put_libxl(bytes, PV, 0);
    return total;
}
