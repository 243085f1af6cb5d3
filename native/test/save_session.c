#include "save_session.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../xen/save.h"

struct fake_world *world;
int failing_barrier = -1, barrier_rc;

/* A barrier of the tests: notes whether the guest was suspended. */
struct probe {
    struct tsr_object object;
    int epochs;
};
static struct probe probes[PROBES_MAX];
static int probe_count;
int probes_held;
static int barriers_while_running;

static int probe_set(void *object, uint64_t epoch, uint32_t *merged)
{
    struct probe *probe = object;
    int index = (int)(probe - probes);

    if (!world->suspended || (int)epoch != probe->epochs++)
        barriers_while_running++;
    fake_note(world, (char)('0' + index));
    *merged = (uint32_t)index;
    if (index == failing_barrier)
        return tsr_fail(barrier_rc, "refused by barrier %d", index);
    world->barriers += index == probe_count - 1;
    return 0;
}

int sent_fd = -1;

static int probe_sent_fd(void *object)
{
    return object == &probes[probe_count - 1] ? sent_fd : -1;
}

static void probe_destroy(struct tsr_object *object)
{
    (void)object;
    probes_held--;
}

static const struct tsr_barrier_ops probe_ops = { probe_set, probe_sent_fd };
static const struct tsr_kind probe_kind = {
    .name = "a probe",
    .destroy = probe_destroy,
    .barrier = &probe_ops,
};

/* What the epoch's barriers say together: barrier I says I. */
static int merged_by_probes(void)
{
    return probe_count * (probe_count - 1) / 2;
}

void begin_with(struct session *s, uint64_t limit, int barriers)
{
    int32_t handles[PROBES_MAX];

    if (!world)
        world = open_fake();
    memset(s, 0, sizeof(*s));
    probe_count = probes_held = barriers;
    for (int i = 0; i < barriers; i++) {
        probes[i].epochs = 0;
        tsr_object_init(&probes[i].object, &probe_kind);
        handles[i] = tsr_handle_new(&probes[i].object);
        CHECK(handles[i] >= 0);
    }
    s->fds_before = count_fds();
    s->handle = tsr_save_start(FAKE_DOMID, limit, handles, (uint32_t)barriers,
                               &s->fd);
    CHECK(s->handle >= 0);
    /* The save keeps them until it ends, which it may have done by now. */
    for (int i = 0; i < barriers; i++)
        CHECK(tsr_handle_remove(handles[i]));
    s->stream = tsr_stream_new();
}

void begin(struct session *s, uint64_t limit)
{
    begin_with(s, limit, 1);
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
            CHECK((int)event.e.c == merged_by_probes());
            s->paused = event.e.e == 1;
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
    CHECK((event.e.e == 0) == (world->pages_last && epoch) && event.e.e <= event.e.d);
    CHECK(!event.e.e || stalled == (event.e.f > 0));
    CHECK(event.e.f <= event.e.d && event.e.d < 20000000000u);
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
    CHECK(tsr_save_checkpoint(s->handle, 0) == 0);
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
    CHECK(barriers_while_running == 0 && probes_held == 0);
    CHECK(!probe_count || world->resumed_before_barrier == 0);
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
    struct tsr_save *save = tsr_handle_get(s->handle, &tsr_save_kind);
    uint64_t size = tsr_chunks_size(&save->chunks);

    tsr_handle_put(save);
    return size;
}

uint64_t blocks_made(struct session *s)
{
    struct tsr_save *save = tsr_handle_get(s->handle, &tsr_save_kind);
    uint64_t made;

    pthread_mutex_lock(&save->chunks.lock);
    made = save->chunks.made;
    pthread_mutex_unlock(&save->chunks.lock);
    tsr_handle_put(save);
    return made;
}

int64_t cpu_used(struct session *s)
{
    struct tsr_save *save = tsr_handle_get(s->handle, &tsr_save_kind);
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
