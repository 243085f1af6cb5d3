#include "save_session.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../src/save.h"

struct fake_world *world;
int barrier_rc;

/* The buffer of the tests: notes whether the guest was suspended. */
static int probe_barrier(void *state, uint64_t epoch,
                         struct tsr_barrier *found)
{
    int *running = state;

    *found = (struct tsr_barrier){ 0 };

    if (!world->suspended || (int)epoch != world->barriers)
        (*running)++;
    world->barriers++;
    return barrier_rc;
}

int sent_fd = -1;

static int probe_sent_fd(void *state)
{
    (void)state;
    return sent_fd;
}

static void probe_close(void *state)
{
    (void)state;
}

static const struct tsr_buffer_ops probe = {
    probe_barrier, probe_sent_fd, probe_close,
};
static int barriers_while_running;

void begin(struct session *s, uint64_t limit)
{
    if (!world)
        world = open_fake();
    memset(s, 0, sizeof(*s));
    tsr_save_buffer.ops = &probe;
    tsr_save_buffer.state = &barriers_while_running;
    s->fds_before = count_fds();
    s->handle = tsr_save_start(FAKE_DOMID, limit, -1, &s->fd);
    CHECK(s->handle >= 0);
    s->stream = tsr_stream_new();
}

uint64_t drain(struct session *s)
{
    static uint8_t buffer[300000];
    uint64_t total = 0;
    int n;

    while ((n = tsr_save_read(s->handle, buffer, sizeof(buffer))) > 0) {
        CHECK(!tsr_stream_check(s->stream, buffer, (size_t)n, &s->stats));
        total += (uint64_t)n;
        if (s->stats.at_boundary)
            break;
    }
    CHECK(n >= 0);
    s->read += total;
    return total;
}

void run_epoch(struct session *s, int64_t epoch)
{
    bool checkpoint = false, stalled = false;
    struct event event;
    uint64_t bytes = 0;

    for (;;) {
        CHECK(next_event(s->fd, &event, HANG_MS));
        bytes += drain(s);
        if (event.e.kind == TSR_EV_CHECKPOINT) {
            CHECK(event.e.a == epoch && !checkpoint);
            checkpoint = true;
        } else if (event.e.kind == TSR_EV_EPOCH_END) {
            break;
        } else if (event.e.kind == TSR_EV_STALLED) {
            CHECK(event.e.a == epoch && !stalled);
            stalled = true;
            s->stalls++;
        } else {
            CHECK(event.e.kind == TSR_EV_DATA);
        }
    }
    CHECK(checkpoint && event.e.a == epoch);
    CHECK(event.e.b == bytes);
    CHECK(event.e.c == s->stats.pages);
    CHECK(stalled == (event.e.f > 0) && event.e.f <= event.e.d);
    CHECK(event.e.d < 20000000000u && event.e.e < 20000000000u);
    CHECK(s->stats.at_boundary && s->stats.epoch == (uint64_t)epoch + 1);
    CHECK(tsr_save_read(s->handle, (uint8_t *)&event, sizeof(event)) == 0);
}

void expect_quiet(struct session *s, int ms)
{
    struct event event;

    while (next_event(s->fd, &event, ms))
        CHECK(event.e.kind == TSR_EV_DATA);
}

void checkpoint(struct session *s)
{
    world->permitted++;
    CHECK(tsr_save_checkpoint(s->handle) == 0);
}

void finish(struct session *s, struct event *ended)
{
    do {
        CHECK(next_event(s->fd, ended, HANG_MS));
    } while (ended->e.kind != TSR_EV_ENDED);
    CHECK(tsr_save_free(s->handle) == 0);
    CHECK(tsr_save_free(s->handle) == -EBADF);
    CHECK(close(s->fd) == 0);
    CHECK(tsr_stream_free(s->stream) == 0);
    CHECK(count_fds() == s->fds_before);
    CHECK(barriers_while_running == 0);
    CHECK(world->resumed_before_barrier == 0);
    CHECK(world->resumed_undrained == 0);
    CHECK(world->helper_saw_nonblock == 0);
    CHECK(world->timers_early == 0);
    CHECK(world->aborts_unsafe == 0);
    if (!world->gone && world->shutdown_reason < 0)
        CHECK(!world->suspended);
}

void finish_failed(struct session *s, struct event *ended)
{
    while (next_event(s->fd, ended, HANG_MS) && ended->e.kind != TSR_EV_ENDED)
        CHECK(ended->e.kind == TSR_EV_DATA);
    CHECK(ended->e.kind == TSR_EV_ENDED);
    CHECK(!world->suspended && world->resumed_undrained == 0);
    CHECK(tsr_save_free(s->handle) == 0);
    close(s->fd);
    tsr_stream_free(s->stream);
}

uint64_t waiting(struct session *s)
{
    struct tsr_save *save = tsr_handle_get(s->handle, TSR_SAVE);
    uint64_t size = tsr_chunks_size(&save->chunks);

    tsr_handle_put(save);
    return size;
}

uint64_t blocks_made(struct session *s)
{
    struct tsr_save *save = tsr_handle_get(s->handle, TSR_SAVE);
    uint64_t made;

    pthread_mutex_lock(&save->chunks.lock);
    made = save->chunks.made;
    pthread_mutex_unlock(&save->chunks.lock);
    tsr_handle_put(save);
    return made;
}

int64_t cpu_used(struct session *s)
{
    struct tsr_save *save = tsr_handle_get(s->handle, TSR_SAVE);
    struct timespec cpu;
    clockid_t clock;

    CHECK(!pthread_getcpuclockid(save->thread, &clock));
    clock_gettime(clock, &cpu);
    tsr_handle_put(save);
    return cpu.tv_sec * INT64_C(1000000000) + cpu.tv_nsec;
}

void wait_until(struct session *s, uint64_t bytes)
{
    for (int i = 0; i < HANG_MS / 10 && waiting(s) != bytes; i++)
        sleep_ms(10);
    CHECK(waiting(s) == bytes);
    /* It stays like that. */
    sleep_ms(200);
    CHECK(waiting(s) == bytes);
}
