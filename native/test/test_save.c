/*
 * The save session against the fake: the order of things, the held timer, the
 * ways to end.
 */
#include "session.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../src/save.h"

#define LIMIT (64u << 20)

static struct fake_world *world;
static int barrier_rc;

/* The buffer of the tests: notes whether the guest was suspended. */
static int probe_barrier(void *state, uint64_t epoch)
{
    int *running = state;

    if (!world->suspended || (int)epoch != world->barriers)
        (*running)++;
    world->barriers++;
    return barrier_rc;
}

static void probe_close(void *state)
{
    (void)state;
}

static const struct tsr_buffer_ops probe = { probe_barrier, probe_close };
static int barriers_while_running;

struct session {
    int handle, fd;
    int fds_before;
    int stream;                         /* checks what is read */
    struct tsr_stream_stats stats;
    uint64_t read;
};

static void begin(struct session *s, uint64_t limit)
{
    struct tsr_save *save;

    if (!world)
        world = open_fake();
    memset(s, 0, sizeof(*s));
    s->fds_before = count_fds();
    s->handle = tsr_save_start(FAKE_DOMID, limit, &s->fd);
    CHECK(s->handle >= 0);
    /* Long before its first checkpoint. */
    save = tsr_handle_get(s->handle, TSR_SAVE);
    save->buffer_state = &barriers_while_running;
    save->buffer = &probe;
    tsr_handle_put(save);
    s->stream = tsr_stream_new();
}

/* Reads what waits; the count. */
static uint64_t drain(struct session *s)
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

/* Takes events and bytes until the epoch has ended. */
static void run_epoch(struct session *s, int64_t epoch)
{
    bool checkpoint = false;
    struct event event;
    uint64_t bytes = 0;

    for (;;) {
        CHECK(next_event(s->fd, &event, 20000));
        bytes += drain(s);
        if (event.e.kind == TSR_EV_CHECKPOINT) {
            CHECK(event.e.a == epoch && !checkpoint);
            checkpoint = true;
        } else if (event.e.kind == TSR_EV_EPOCH_END) {
            break;
        } else {
            CHECK(event.e.kind == TSR_EV_DATA);
        }
    }
    CHECK(checkpoint && event.e.a == epoch);
    CHECK(event.e.b == bytes);
    CHECK(event.e.c == s->stats.pages);
    CHECK(event.e.d < 20000000000u && event.e.e < 20000000000u);
    CHECK(s->stats.at_boundary && s->stats.epoch == (uint64_t)epoch + 1);
    CHECK(tsr_save_read(s->handle, (uint8_t *)&event, sizeof(event)) == 0);
}

/* Nothing but late DATA events for MS. */
static void expect_quiet(struct session *s, int ms)
{
    struct event event;

    while (next_event(s->fd, &event, ms))
        CHECK(event.e.kind == TSR_EV_DATA);
}

static void checkpoint(struct session *s)
{
    world->permitted++;
    CHECK(tsr_save_checkpoint(s->handle) == 0);
}

/* Waits for ENDED and checks that nothing is left and nothing went wrong. */
static void finish(struct session *s, struct event *ended)
{
    do {
        CHECK(next_event(s->fd, ended, 20000));
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

/* After a failure that cannot wait for the timer the abort comes in the middle of
 * an epoch; its barrier no longer matters, since the epoch is never announced. */
static void finish_failed(struct session *s, struct event *ended)
{
    while (next_event(s->fd, ended, 20000) && ended->e.kind != TSR_EV_ENDED)
        CHECK(ended->e.kind == TSR_EV_DATA);
    CHECK(ended->e.kind == TSR_EV_ENDED);
    CHECK(!world->suspended && world->resumed_undrained == 0);
    CHECK(tsr_save_free(s->handle) == 0);
    close(s->fd);
    tsr_stream_free(s->stream);
}

static void run(uint32_t guest_type, unsigned emulator_bytes)
{
    struct session s;
    struct event event;
    int64_t epoch;

    world = open_fake();
    world->guest_type = guest_type;
    world->emulator_bytes = emulator_bytes;
    begin(&s, LIMIT);
    CHECK(tsr_save_checkpoint(s.handle) == -EAGAIN);
    CHECK(tsr_save_free(s.handle) == -EBUSY);
    for (epoch = 0; epoch < 20; epoch++) {
        run_epoch(&s, epoch);
        checkpoint(&s);
        CHECK(tsr_save_checkpoint(s.handle) == -EAGAIN);
    }
    run_epoch(&s, epoch);
    CHECK(world->barriers == 21 && world->resumes_served == 21);
    CHECK(tsr_save_abort(s.handle) == 0);
    CHECK(tsr_save_checkpoint(s.handle) == -ESHUTDOWN);
    finish(&s, &event);
    CHECK(event.e.a == -22 && event.e.b == 0);
    CHECK(!strcmp(event.text, "{}"));
    CHECK(world->aborts == 1 && world->aborts_held == 1);
    CHECK(world->resumes_called == 0);
}

TEST(save_runs_pv)
{
    run(PV, 0);
}

TEST(save_runs_hvm)
{
    run(HVM, 100);
}

/* More than fits into the pipe, written by libxl in the thread that reads. */
TEST(save_takes_a_big_device_state)
{
    run(HVM, 9u << 20);
}

TEST(save_holds_the_timer)
{
    struct session s;
    struct event event;

    begin(&s, LIMIT);
    run_epoch(&s, 0);
    expect_quiet(&s, 400);
    CHECK(world->epochs == 1 && world->suspends == 1);
    checkpoint(&s);
    run_epoch(&s, 1);
    expect_quiet(&s, 100);
    CHECK(tsr_save_abort(s.handle) == 0);
    finish(&s, &event);
    CHECK(world->aborts_held == 1);
}

/* Held for long, the thread sleeps: no busy loop. */
TEST(save_sleeps_while_held)
{
    struct timespec cpu;
    struct session s;
    struct event event;
    struct tsr_save *save;
    clockid_t clock;

    begin(&s, LIMIT);
    run_epoch(&s, 0);
    sleep_ms(100);
    save = tsr_handle_get(s.handle, TSR_SAVE);
    CHECK(!pthread_getcpuclockid(save->thread, &clock));
    tsr_handle_put(save);
    clock_gettime(clock, &cpu);
    int64_t before = cpu.tv_sec * 1000000000 + cpu.tv_nsec;
    sleep_ms(1000);
    clock_gettime(clock, &cpu);
    CHECK(cpu.tv_sec * 1000000000 + cpu.tv_nsec - before < 20000000);
    CHECK(tsr_save_abort(s.handle) == 0);
    finish(&s, &event);
}

static uint64_t waiting(struct session *s)
{
    struct tsr_save *save = tsr_handle_get(s->handle, TSR_SAVE);
    uint64_t size = tsr_chunks_size(&save->chunks);

    tsr_handle_put(save);
    return size;
}

/* Nobody reads: the seed stops at the limit, and goes on when there is room. */
TEST(save_stops_at_the_limit)
{
    struct session s;
    struct event event;

    world = open_fake();
    world->seed_pages = 4096;
    begin(&s, 1 << 20);
    wait_event(s.fd, TSR_EV_DATA, &event);
    sleep_ms(400);
    CHECK(waiting(&s) == 1 << 20);
    CHECK(world->suspends == 0);
    for (int i = 0; i < 200 && !world->suspends; i++) {
        drain(&s);
        CHECK(waiting(&s) <= 1 << 20);
        sleep_ms(10);
    }
    CHECK(world->suspends == 1);
    wait_event(s.fd, TSR_EV_CHECKPOINT, &event);
    CHECK(tsr_save_abort(s.handle) == 0);
    finish(&s, &event);
}

/* A checkpoint that finds no room leaves the guest suspended until there is. */
TEST(save_keeps_the_guest_suspended_at_the_limit)
{
    struct session s;
    struct event event;

    world = open_fake();
    world->epoch_pages = 2048;
    world->seed_pages = 4;
    begin(&s, 1 << 20);
    sleep_ms(500);
    CHECK(world->suspends == 1 && world->barriers == 0 && world->suspended);
    CHECK(waiting(&s) == 1 << 20);
    run_epoch(&s, 0);
    CHECK(!world->suspended);
    CHECK(tsr_save_abort(s.handle) == 0);
    finish(&s, &event);
}

/* The same, but it is to end: the epoch is thrown away and the guest runs. */
TEST(save_ends_at_the_limit)
{
    struct session s;
    struct event event;

    world = open_fake();
    world->epoch_pages = 2048;
    world->seed_pages = 4;
    begin(&s, 1 << 20);
    sleep_ms(500);
    CHECK(world->suspended);
    CHECK(tsr_save_abort(s.handle) == 0);
    finish(&s, &event);
    CHECK(event.e.a == -22 && world->aborts_held == 1);
}

TEST(save_aborts_in_the_live_seed)
{
    struct session s;
    struct event event;
    uint64_t begun;

    world = open_fake();
    world->seed_ms = 10000;
    begin(&s, LIMIT);
    wait_event(s.fd, TSR_EV_DATA, &event);
    sleep_ms(50);
    begun = now_ms();
    CHECK(tsr_save_abort(s.handle) == 0);
    finish(&s, &event);
    CHECK(event.e.a == -22 && event.e.b == 0);
    CHECK(now_ms() - begun >= 3000 && now_ms() - begun < 5000);
}

/* The guest was asked to suspend just before: it is found and resumed. */
TEST(save_resumes_a_guest_that_suspends_late)
{
    struct session s;
    struct event event;

    world = open_fake();
    world->seed_ms = 10000;
    world->late_suspend_ms = 700;
    begin(&s, LIMIT);
    wait_event(s.fd, TSR_EV_DATA, &event);
    CHECK(tsr_save_abort(s.handle) == 0);
    finish(&s, &event);
    CHECK(event.e.a == -22 && event.e.b == 1);
    CHECK(world->resumes_called == 1);
}

/* An abort while the guest suspends waits for the end of the epoch. */
TEST(save_aborts_after_the_epoch_under_way)
{
    struct session s;
    struct event event;

    world = open_fake();
    world->suspend_ms = 300;
    begin(&s, LIMIT);
    run_epoch(&s, 0);
    checkpoint(&s);
    sleep_ms(100);
    CHECK(tsr_save_abort(s.handle) == 0);
    finish(&s, &event);
    CHECK(event.e.a == -22 && event.e.b == 0);
    CHECK(world->epochs == 2 && world->aborts_held == 1);
}

TEST(save_resumes_the_guest_when_the_helper_dies)
{
    struct session s;
    struct event event;

    world = open_fake();
    world->die_at_epoch = 1;
    begin(&s, LIMIT);
    run_epoch(&s, 0);
    checkpoint(&s);
    finish(&s, &event);
    CHECK(event.e.a == -3 && event.e.b == 1);
    CHECK(!strcmp(event.text, "{\"error\":\"Domain 5:saving domain: domain "
                  "responded to suspend request: Bad file descriptor\"}"));
    CHECK(world->resumes_called == 1 && world->aborts == 0);
}

TEST(save_reports_a_poweroff)
{
    struct session s;
    struct event event;

    world = open_fake();
    world->poweroff_at_epoch = 1;
    begin(&s, LIMIT);
    run_epoch(&s, 0);
    checkpoint(&s);
    finish(&s, &event);
    CHECK(event.e.a == -3 && event.e.b == 0);
    CHECK(strstr(event.text, "{\"shutdown\":true,\"reason\":\"poweroff\","
                 "\"error\":\"Domain 5:guest"));
    CHECK(world->resumes_called == 0);
}

TEST(save_reports_a_destroyed_guest)
{
    struct session s;
    struct event event;

    world = open_fake();
    world->die_at_epoch = 1;
    begin(&s, LIMIT);
    run_epoch(&s, 0);
    world->gone = true;
    checkpoint(&s);
    finish(&s, &event);
    CHECK(!strncmp(event.text, "{\"gone\":true", 12));
    CHECK(world->resumes_called == 0);
}

TEST(save_reports_a_failed_start)
{
    struct session s;
    struct event event;
    char text[256];

    world = open_fake();
    world->start_rc = -3;
    begin(&s, LIMIT);
    wait_event(s.fd, TSR_EV_FAILED, &event);
    CHECK(event.e.a == TSR_XL(-3));
    CHECK(strstr(event.text, "Cannot save a guest with vNUMA configured"));
    CHECK(tsr_error_text(s.handle, text, sizeof(text)) > 0);
    CHECK(!strcmp(text, event.text));
    finish(&s, &event);
    CHECK(event.e.a == -3);
}

TEST(save_fails_on_a_broken_stream)
{
    struct session s;
    struct event event;

    world = open_fake();
    world->break_at_epoch = 1;
    begin(&s, LIMIT);
    run_epoch(&s, 0);
    checkpoint(&s);
    wait_event(s.fd, TSR_EV_FAILED, &event);
    CHECK(event.e.a == -EPROTO);
    CHECK(strstr(event.text, "libxc type 0x55") && strstr(event.text, "epoch 1"));
    finish_failed(&s, &event);
    CHECK(event.e.a == -22);
}

TEST(save_fails_without_a_barrier)
{
    struct session s;
    struct event event;

    barrier_rc = -EIO;
    world = open_fake();
    begin(&s, LIMIT);
    for (;;) {
        CHECK(next_event(s.fd, &event, 20000));
        CHECK(event.e.kind != TSR_EV_CHECKPOINT);
        if (event.e.kind == TSR_EV_FAILED)
            break;
    }
    CHECK(event.e.a == -EIO);
    finish_failed(&s, &event);
    CHECK(event.e.a == -22);
}

TEST(save_survives_a_broken_event_loop)
{
    struct session s;
    struct event event;

    begin(&s, LIMIT);
    run_epoch(&s, 0);
    world->disaster = true;
    wait_event(s.fd, TSR_EV_FAILED, &event);
    CHECK(strstr(event.text, "event loop broke: unexpected poll event"));
    finish(&s, &event);
}

/* Nobody reads the events for long: all that matter are there in the end. */
TEST(save_keeps_events_for_a_late_reader)
{
    struct session s;
    struct event event;
    int64_t epoch;

    begin(&s, LIMIT);
    for (epoch = 0; epoch < 40; epoch++) {
        while (world->epochs <= epoch)
            sleep_ms(1);
        world->permitted = (int)epoch + 1;
        while (tsr_save_checkpoint(s.handle) == -EAGAIN)
            sleep_ms(1);
    }
    while (world->epochs <= epoch)
        sleep_ms(1);
    for (epoch = 0; epoch <= 40; epoch++) {
        wait_event(s.fd, TSR_EV_CHECKPOINT, &event);
        CHECK(event.e.a == epoch);
        wait_event(s.fd, TSR_EV_EPOCH_END, &event);
        CHECK(event.e.a == epoch);
        CHECK(drain(&s) == event.e.b);
    }
    CHECK(tsr_save_abort(s.handle) == 0);
    finish(&s, &event);
}

/* The reader went away: the session ends all the same and can be freed. */
TEST(save_does_without_a_reader)
{
    struct tsr_save *save;
    struct session s;
    int rc;

    begin(&s, LIMIT);
    CHECK(close(s.fd) == 0);
    while (world->epochs < 1)
        sleep_ms(5);
    CHECK(tsr_save_abort(s.handle) == 0);
    save = tsr_handle_get(s.handle, TSR_SAVE);
    tsr_handle_put(save);
    do {
        sleep_ms(10);
        rc = tsr_save_free(s.handle);
    } while (rc == -EBUSY);
    CHECK(rc == 0);
    tsr_stream_free(s.stream);
    CHECK(count_fds() == s.fds_before - 0);
}

TEST(save_refuses_wrong_arguments)
{
    int32_t fd;

    world = open_fake();
    CHECK(tsr_save_start(FAKE_DOMID, 10, &fd) == -EINVAL);
    CHECK(tsr_save_start(FAKE_DOMID, LIMIT, NULL) == -EINVAL);
    CHECK(tsr_save_checkpoint(-1) == -EBADF);
    CHECK(tsr_save_read(12345, NULL, 0) == -EBADF);
    CHECK(tsr_save_abort(0) == -EBADF);
}
