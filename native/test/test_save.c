/*
 * The save session against the fake: the order of things, the held timer, the
 * limit.
 */
#include "save_session.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void run(uint32_t guest_type, unsigned emulator_bytes)
{
    struct session s;
    struct event event;
    int64_t epoch;

    world = open_fake();
    world->guest_type = guest_type;
    world->emulator_bytes = emulator_bytes;
    begin(&s, LIMIT);
    CHECK(tsr_save_checkpoint(s.handle, 0) == -EAGAIN);
    CHECK(tsr_save_free(s.handle) == -EBUSY);
    for (epoch = 0; epoch < 20; epoch++) {
        run_epoch(&s, epoch);
        /* Its handle is gone, and it waits: who holds the barrier is the save. */
        CHECK(probes_held == 1);
        checkpoint(&s);
        CHECK(tsr_save_checkpoint(s.handle, 0) == -EAGAIN);
    }
    run_epoch(&s, epoch);
    CHECK(world->barriers == 21 && world->resumes_served == 21);
    CHECK(tsr_save_abort(s.handle) == 0);
    CHECK(tsr_save_checkpoint(s.handle, 0) == -ESHUTDOWN);
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

/* More than fits into the stream, written by libxl in the thread that reads. */
TEST(save_takes_a_big_device_state)
{
    run(HVM, 9u << 20);
}

/* However many, in the order given, after the guest suspended and before libxl's resume. */
TEST(save_sets_every_barrier_in_order)
{
    static const char *const calls[] = { "SRSR", "S0RS0R", "S01RS01R", "S012RS012R" };
    struct session s;
    struct event event;

    for (int count = 0; count <= PROBES_MAX; count++) {
        world = open_fake();
        world->call_count = 0;
        memset(world->calls, 0, sizeof(world->calls));
        begin_with(&s, LIMIT, count);
        run_epoch(&s, 0);
        checkpoint(&s);
        run_epoch(&s, 1);
        CHECK(tsr_save_abort(s.handle) == 0);
        finish(&s, &event);
        CHECK(!strcmp(world->calls, calls[count]));
        world->suspends = world->barriers = 0;
        world->epochs = world->resumed_before_barrier = 0;
        world->permitted = 0;
    }
}

/*
 * The same where the pages are written after the resume: by then the barriers stand,
 * however many epochs, however slow libxl is, and where it is the last one.
 */
TEST(save_sets_every_barrier_before_pages_that_come_last)
{
    struct session s;
    struct event event;

    for (int slow_ms = 0; slow_ms <= 20; slow_ms += 20) {
        world = open_fake();
        world->pages_last = true;
        world->slow_ms = slow_ms;
        world->call_count = 0;
        memset(world->calls, 0, sizeof(world->calls));
        begin_with(&s, LIMIT, 2);
        for (int64_t epoch = 0; epoch < 3; epoch++) {
            run_epoch(&s, epoch);
            if (epoch < 2)
                checkpoint(&s);
        }
        world->permitted++;
        CHECK(tsr_save_checkpoint(s.handle, 1) == 0);
        run_epoch(&s, 3);
        CHECK(s.paused && world->paused);
        CHECK(tsr_save_abort(s.handle) == 0);
        finish(&s, &event);
        CHECK(!strcmp(world->calls, "S01RS01RS01RS01PR"));
        world->paused = false;
        world->suspends = world->barriers = 0;
        world->epochs = world->resumed_before_barrier = 0;
        world->permitted = 0;
    }
}

/* And a link that stalls then costs the guest nothing: it runs, and no pause is counted. */
TEST(save_lets_the_guest_run_at_the_limit_where_pages_come_last)
{
    struct session s;
    struct event event;

    world = open_fake();
    world->pages_last = true;
    world->seed_pages = world->epoch_pages = 4;
    begin(&s, 1 << 20);
    run_epoch(&s, 0);
    world->epoch_pages = 2048;
    checkpoint(&s);
    wait_until(&s, 1 << 20);
    CHECK(world->suspends == 2 && world->barriers == 2 && !world->suspended);
    run_epoch(&s, 1);
    CHECK(s.stalls == 0);
    CHECK(tsr_save_abort(s.handle) == 0);
    finish(&s, &event);
}

/*
 * The handover's order: suspended, barriers, paused, and only then libxl's resume. The
 * epoch is whole, none follows, and nothing of ours lets the guest go on.
 */
TEST(save_pauses_the_guest_at_the_last_checkpoint)
{
    struct session s;
    struct event event;

    begin_with(&s, LIMIT, 2);
    run_epoch(&s, 0);
    checkpoint(&s);
    run_epoch(&s, 1);
    CHECK(!s.paused && !world->paused);
    world->permitted++;
    CHECK(tsr_save_checkpoint(s.handle, 1) == 0);
    run_epoch(&s, 2);
    CHECK(s.paused && world->paused && !world->suspended);
    CHECK(!strcmp(world->calls, "S01RS01RS01PR"));
    CHECK(tsr_save_checkpoint(s.handle, 0) == -ESHUTDOWN);
    CHECK(tsr_save_checkpoint(s.handle, 1) == -ESHUTDOWN);
    expect_quiet(&s, 100);
    CHECK(tsr_save_abort(s.handle) == 0);
    finish(&s, &event);
    CHECK(event.e.a == -22 && event.e.b == 0);
    CHECK(world->paused && world->resumes_called == 0 && world->suspends == 3);
}

/* An abort that meets the last epoch under way does not take the pause back. */
TEST(save_pauses_the_guest_though_it_is_aborted)
{
    struct session s;
    struct event event;

    world = open_fake();
    world->suspend_ms = 300;
    begin(&s, LIMIT);
    run_epoch(&s, 0);
    world->permitted++;
    CHECK(tsr_save_checkpoint(s.handle, 1) == 0);
    CHECK(tsr_save_abort(s.handle) == 0);
    finish(&s, &event);
    CHECK(event.e.a == -22 && event.e.b == 0 && world->paused);
    CHECK(!strcmp(world->calls, "S0RS0PR"));
}

/* The epoch of a guest that runs on is never announced as the last one. */
TEST(save_fails_where_the_last_pause_is_refused)
{
    struct session s;
    struct event event;

    world = open_fake();
    world->pause_rc = -3;
    begin(&s, LIMIT);
    run_epoch(&s, 0);
    world->permitted++;
    CHECK(tsr_save_checkpoint(s.handle, 1) == 0);
    do {
        CHECK(next_event(s.fd, &event, 20000));
        CHECK(event.e.kind == TSR_EV_DATA || event.e.kind == TSR_EV_FAILED);
    } while (event.e.kind != TSR_EV_FAILED);
    CHECK(event.e.a == TSR_XL(-3));
    CHECK(strstr(event.text, "the guest is not paused for a handover: cannot pause "
                 "domain 5: Domain 5:Failed to pause"));
    finish_failed(&s, &event);
    CHECK(!world->paused);
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

/* However many epochs: no more than the biggest one needs is ever allocated. */
TEST(save_allocates_nothing_once_warm)
{
    struct session s;
    struct event event;
    int64_t epoch;

    world = open_fake();
    begin(&s, LIMIT);
    for (epoch = 0; epoch < 200; epoch++) {
        run_epoch(&s, epoch);
        world->epoch_pages = epoch % 20 == 0 ? 3000 : 10;
        checkpoint(&s);
    }
    run_epoch(&s, epoch);
    /* 3000 pages are 12 MiB; one block is being read, one being written. */
    CHECK(blocks_made(&s) <= 14);
    CHECK(tsr_save_abort(s.handle) == 0);
    finish(&s, &event);
}

/* Held for long, the thread sleeps: no busy loop. */
TEST(save_sleeps_while_held)
{
    struct session s;
    struct event event;
    int64_t before;

    begin(&s, LIMIT);
    run_epoch(&s, 0);
    sleep_ms(100);
    before = cpu_used(&s);
    sleep_ms(1000);
    CHECK(cpu_used(&s) - before < 6000000);
    CHECK(tsr_save_abort(s.handle) == 0);
    finish(&s, &event);
}

/*
 * What the guest sends is told once per epoch, and not before the first barrier. Told for
 * every frame, a guest that sends flat out would wake the program for each.
 */
TEST(save_tells_of_output_once_per_epoch)
{
    uint64_t frames = 1;
    struct session s;
    struct event event;

    sent_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    CHECK(sent_fd >= 0);
    CHECK(write(sent_fd, &frames, sizeof(frames)) == sizeof(frames));
    begin(&s, LIMIT);
    wait_event(s.fd, TSR_EV_CHECKPOINT, &event);
    for (int epoch = 1; epoch < 4; epoch++) {
        wait_event(s.fd, TSR_EV_OUTPUT, &event);
        while (drain(&s) || !s.stats.at_boundary)
            sleep_ms(1);
        CHECK(s.stats.epoch == (uint64_t)epoch);
        while (next_event(s.fd, &event, 100))
            CHECK(event.e.kind == TSR_EV_DATA ||
                  event.e.kind == TSR_EV_EPOCH_END);
        checkpoint(&s);
        wait_event(s.fd, TSR_EV_CHECKPOINT, &event);
    }
    CHECK(read(sent_fd, &frames, sizeof(frames)) == sizeof(frames));
    wait_event(s.fd, TSR_EV_EPOCH_END, &event);
    while (next_event(s.fd, &event, 100))
        CHECK(event.e.kind == TSR_EV_DATA);
    CHECK(tsr_save_abort(s.handle) == 0);
    finish(&s, &event);
    close(sent_fd);
    sent_fd = -1;
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
    wait_until(&s, 1 << 20);
    CHECK(world->suspends == 0);
    for (int i = 0; i < 2000 && !world->suspends; i++) {
        drain(&s);
        CHECK(waiting(&s) <= 1 << 20);
        sleep_ms(10);
    }
    CHECK(world->suspends == 1);
    do {
        CHECK(next_event(s.fd, &event, 20000));
        drain(&s);
    } while (event.e.kind != TSR_EV_CHECKPOINT);
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
    wait_until(&s, 1 << 20);
    CHECK(world->suspends == 1 && world->barriers == 0 && world->suspended);
    run_epoch(&s, 0);
    CHECK(!world->suspended && s.stalls == 1);
    world->epoch_pages = 1;
    checkpoint(&s);
    run_epoch(&s, 1);
    CHECK(s.stalls == 1);
    CHECK(tsr_save_abort(s.handle) == 0);
    finish(&s, &event);
}

/* libxl is slow, so that the epoch and the request to resume are there together:
 * at the limit the request must not be served before its CHECKPOINT was read. */
TEST(save_serves_nothing_at_the_limit)
{
    struct session s;
    struct event event;
    int64_t before;

    world = open_fake();
    world->seed_pages = 2;
    world->epoch_pages = 64;
    world->slow_ms = 200;
    begin(&s, 64 << 10);
    wait_until(&s, 64 << 10);
    CHECK(world->suspended);
    before = cpu_used(&s);
    sleep_ms(500);
    CHECK(cpu_used(&s) - before < 6000000);
    run_epoch(&s, 0);
    CHECK(tsr_save_abort(s.handle) == 0);
    finish(&s, &event);
}

TEST(save_is_right_when_libxl_is_slow)
{
    struct session s;
    struct event event;
    int64_t epoch;

    world = open_fake();
    world->slow_ms = 20;
    begin(&s, LIMIT);
    for (epoch = 0; epoch < 10; epoch++) {
        run_epoch(&s, epoch);
        expect_quiet(&s, 30);
        checkpoint(&s);
    }
    run_epoch(&s, epoch);
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
    wait_until(&s, 1 << 20);
    CHECK(world->suspended);
    CHECK(tsr_save_abort(s.handle) == 0);
    finish(&s, &event);
    CHECK(event.e.a == -22 && world->aborts_held == 1);
}
