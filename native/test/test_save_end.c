/*
 * The ways in which a save session ends, against the fake.
 */
#include "save_session.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "../xen/internal.h"

TEST(save_aborts_in_the_live_seed)
{
    struct session s;
    struct event event;
    uint64_t begun;

    world = open_fake();
    world->seed_ms = HANG_MS;
    begin(&s, LIMIT);
    wait_event(s.fd, TSR_EV_DATA, &event);
    /* Until libxl was served again: the helper is silent, and may wait for the guest. */
    sleep_ms(1200);
    begun = now_ms();
    CHECK(tsr_save_abort(s.handle) == 0);
    finish(&s, &event);
    CHECK(event.e.a == -22 && event.e.b == 0);
    /* Whether it was asked to suspend nobody knows: it may do so yet. */
    CHECK(event.e.c == 1);
    /* It looked out for a late suspend, and did not wait for the seed. */
    CHECK(now_ms() - begun >= 3000 && now_ms() - begun < HANG_MS);
}

/* The helper is at its pages: nobody has asked the guest to suspend yet. */
TEST(save_knows_that_nobody_asked_in_the_seed)
{
    struct session s;
    struct event event;

    world = open_fake();
    world->seed_pages = 1000;
    begin(&s, 1 << 20);
    wait_event(s.fd, TSR_EV_DATA, &event);
    wait_event(s.fd, TSR_EV_STALLED, &event);
    CHECK(tsr_save_abort(s.handle) == 0);
    finish(&s, &event);
    CHECK(event.e.a == -22 && event.e.b == 0 && event.e.c == 0);
}

/* The guest was asked to suspend just before: it is found and resumed. */
TEST(save_resumes_a_guest_that_suspends_late)
{
    struct session s;
    struct event event;

    world = open_fake();
    world->seed_ms = HANG_MS;
    world->late_suspend_ms = 700;
    begin(&s, LIMIT);
    wait_event(s.fd, TSR_EV_DATA, &event);
    CHECK(tsr_save_abort(s.handle) == 0);
    finish(&s, &event);
    CHECK(event.e.a == -22 && event.e.b == 1 && event.e.c == 0);
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
    CHECK(event.e.a == -22 && event.e.b == 0 && event.e.c == 0);
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

/*
 * Between two checkpoints: libxl leaves its timer registered, and a context with one
 * must not be freed (the fake aborts then, as libxl's assertion does).
 */
TEST(save_survives_a_helper_that_dies_between_two_checkpoints)
{
    struct session s;
    struct event event;

    world = open_fake();
    world->die_waiting_at_epoch = 1;
    begin(&s, LIMIT);
    run_epoch(&s, 0);
    checkpoint(&s);
    finish(&s, &event);
    CHECK(event.e.a == -3 && event.e.b == 0 && event.e.c == 0);
    CHECK(world->resumes_called == 0 && world->aborts == 0);
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
    CHECK(event.e.a == -3 && event.e.b == 0 && event.e.c == 0);
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

/* The second of three refuses: the third is not asked, the epoch never announced. */
TEST(save_fails_without_a_barrier)
{
    struct session s;
    struct event event;

    failing_barrier = 1;
    barrier_rc = -EIO;
    world = open_fake();
    begin_with(&s, LIMIT, 3);
    for (;;) {
        CHECK(next_event(s.fd, &event, 20000));
        CHECK(event.e.kind != TSR_EV_CHECKPOINT);
        if (event.e.kind == TSR_EV_FAILED)
            break;
    }
    CHECK(event.e.a == -EIO);
    CHECK(strstr(event.text, "a probe took no barrier: refused by barrier 1"));
    finish_failed(&s, &event);
    CHECK(event.e.a == -22);
    CHECK(!strncmp(world->calls, "S01", 3) && !strchr(world->calls, '2'));
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
        while (tsr_save_checkpoint(s.handle, 0) == -EAGAIN)
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
    struct session s;
    int rc;

    begin(&s, LIMIT);
    CHECK(close(s.fd) == 0);
    while (world->epochs < 1)
        sleep_ms(5);
    CHECK(tsr_save_abort(s.handle) == 0);
    do {
        sleep_ms(10);
        rc = tsr_save_free(s.handle);
    } while (rc == -EBUSY);
    CHECK(rc == 0);
    tsr_stream_free(s.stream);
    CHECK(count_fds() == s.fds_before);
}

TEST(save_refuses_wrong_arguments)
{
    int32_t fd, many[TSR_BARRIERS_MAX + 1] = { 0 };
    int32_t stream = tsr_stream_new();
    char text[128];

    world = open_fake();
    CHECK(tsr_save_start(FAKE_DOMID, LIMIT, many, TSR_BARRIERS_MAX + 1, &fd) ==
          -EINVAL);
    CHECK(tsr_save_start(FAKE_DOMID, LIMIT, NULL, 1, &fd) == -EINVAL);
    CHECK(tsr_save_start(FAKE_DOMID, LIMIT, &stream, 1, &fd) == -EBADF);
    CHECK(tsr_error_text(-1, text, sizeof(text)) > 0);
    CHECK(strstr(text, "is not the handle of something with a barrier"));
    CHECK(tsr_stream_free(stream) == 0);
    CHECK(tsr_save_start(FAKE_DOMID, 10, NULL, 0, &fd) == -EINVAL);
    CHECK(tsr_save_start(FAKE_DOMID, LIMIT, NULL, 0, NULL) == -EINVAL);
    CHECK(tsr_save_checkpoint(-1, 0) == -EBADF);
    CHECK(tsr_save_read(12345, NULL, 0) == -EBADF);
    CHECK(tsr_save_abort(0) == -EBADF);
}
