/*
 * The restore session against the fake.
 */
#include "restore_session.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct fake_world *world;

/* EPOCHS of GUEST_TYPE in pieces of at most STEP; then activation. */
static void apply(uint32_t guest_type, int epochs, size_t step)
{
    struct bytes bytes = { 0 };
    struct event event;
    struct restore_session s;
    size_t at, n;

    world = restore_begin(&s);
    put_start(&bytes, guest_type);
    for (int i = 0; i < epochs; i++)
        put_epoch(&bytes, guest_type, 5);
    srand(3);
    for (at = 0; at < bytes.size; at += n) {
        n = 1 + (size_t)rand() % step;
        if (n > bytes.size - at)
            n = bytes.size - at;
        restore_feed(&s, bytes.data + at, n);
    }
    restore_wait_fed(&s, bytes.size);
    CHECK(tsr_restore_free(s.handle) == -EBUSY);
    CHECK(tsr_restore_finish(s.handle) == 0);
    CHECK(tsr_restore_feed(s.handle, bytes.data, 1, NULL) == -ESHUTDOWN);
    restore_finish(&s, &event);
    CHECK(event.e.a == 0 && event.e.b == FAKE_COPY_DOMID);
    CHECK(world->applied == epochs && world->copy_exists);
    CHECK(world->destroys == 0 && world->aborts == 0);
    bytes_free(&bytes);
}

TEST(restore_applies_pv)
{
    apply(PV, 10, 100000);
}

TEST(restore_applies_hvm)
{
    apply(HVM, 10, 3000);
}

/* Bytes come one by one, the records of libxl with them: nobody waits inside. */
TEST(restore_never_begins_a_record_of_libxl_that_is_not_all_there)
{
    struct bytes bytes = { 0 };
    struct event event;
    struct restore_session s;
    size_t slow;

    world = restore_begin(&s);
    put_start(&bytes, HVM);
    put_epoch(&bytes, HVM, 1);
    put_state(&bytes, HVM);
    restore_feed(&s, bytes.data, bytes.size);
    slow = bytes.size;
    put_libxl(&bytes, HVM, 60);
    for (size_t at = slow; at < bytes.size; at++) {
        restore_feed(&s, bytes.data + at, 1);
        if (at % 8 == 3)
            sleep_ms(200);
    }
    sleep_ms(100);
    CHECK(tsr_restore_finish(s.handle) == 0);
    restore_finish(&s, &event);
    CHECK(event.e.a == 0 && world->applied == 2);
    bytes_free(&bytes);
}

/* A device model's state that is bigger than the pipe. */
TEST(restore_takes_a_big_device_state)
{
    struct bytes bytes = { 0 };
    struct event event;
    struct restore_session s;

    world = restore_begin(&s);
    put_start(&bytes, HVM);
    put_state(&bytes, HVM);
    put_libxl(&bytes, HVM, 9u << 20);
    restore_feed(&s, bytes.data, bytes.size / 2);
    restore_feed(&s, bytes.data + bytes.size / 2, bytes.size - bytes.size / 2);
    CHECK(tsr_restore_finish(s.handle) == 0);
    restore_finish(&s, &event);
    CHECK(event.e.a == 0 && world->applied == 1);
    bytes_free(&bytes);
}

/* Activation in the middle of an epoch: the torn one is dropped. */
TEST(restore_drops_a_torn_epoch)
{
    struct bytes bytes = { 0 };
    struct event event;
    struct restore_session s;
    uint64_t expected;

    world = restore_begin(&s);
    put_start(&bytes, PV);
    expected = put_summed_epoch(&bytes, 3);
    expected += put_summed_epoch(&bytes, 4);
    restore_feed(&s, bytes.data, bytes.size);
    bytes.size = 0;
    put_pages(&bytes, 1, 3, 77);
    restore_feed(&s, bytes.data, bytes.size - 100);
    CHECK(tsr_restore_finish(s.handle) == 0);
    restore_finish(&s, &event);
    CHECK(event.e.a == 0 && world->applied == 2);
    CHECK(world->copy_sum == expected);
    bytes_free(&bytes);
}

TEST(restore_fails_without_a_whole_epoch)
{
    struct bytes bytes = { 0 };
    struct event event;
    struct restore_session s;

    world = restore_begin(&s);
    put_start(&bytes, PV);
    put_pages(&bytes, 1, 3, 7);
    restore_feed(&s, bytes.data, bytes.size);
    CHECK(tsr_restore_finish(s.handle) == 0);
    restore_finish(&s, &event);
    CHECK(event.e.a == -3 && !world->copy_exists);
    CHECK(!strcmp(event.text, "Domain 9:cannot (re-)build domain: -1"));
    bytes_free(&bytes);
}

static void discard(bool finish_first)
{
    struct bytes bytes = { 0 };
    struct event event;
    struct restore_session s;

    world = restore_begin(&s);
    put_start(&bytes, PV);
    put_epoch(&bytes, PV, 3);
    restore_feed(&s, bytes.data, bytes.size);
    while (!world->applied)
        sleep_ms(5);
    if (finish_first)
        CHECK(tsr_restore_finish(s.handle) == 0);
    CHECK(tsr_restore_abort(s.handle) == 0);
    CHECK(tsr_restore_finish(s.handle) == -ESHUTDOWN);
    CHECK(tsr_restore_feed(s.handle, bytes.data, 1, NULL) == -ESHUTDOWN);
    restore_finish(&s, &event);
    CHECK(event.e.a == -22 && !world->copy_exists);
    CHECK(tsr_restore_abort(s.handle) == -EBADF);
    bytes_free(&bytes);
}

TEST(restore_discards)
{
    discard(false);
    CHECK(world->ends_of_file == 0);
    CHECK(world->aborts == 1 && world->destroys == 0);
}

/* libxl retains a domain whose creation was aborted: it is destroyed. */
TEST(restore_discards_what_libxl_keeps)
{
    world = open_fake();
    world->keep_on_abort = true;
    discard(false);
    CHECK(world->aborts == 1 && world->destroys == 1);
}

TEST(restore_discards_after_finish)
{
    for (int i = 0; i < 5; i++)
        discard(true);
}

/* An abort that comes while nothing was fed yet. */
TEST(restore_discards_at_once)
{
    struct event event;
    struct restore_session s;

    world = restore_begin(&s);
    CHECK(tsr_restore_abort(s.handle) == 0);
    restore_finish(&s, &event);
    CHECK(event.e.a == -22 && !world->copy_exists);
}

TEST(restore_refuses_a_broken_stream)
{
    struct bytes bytes = { 0 };
    struct event event;
    struct restore_session s;
    char text[256];

    world = restore_begin(&s);
    put_start(&bytes, PV);
    put_epoch(&bytes, PV, 3);
    restore_feed(&s, bytes.data, bytes.size);
    while (world->applied < 1)
        sleep_ms(5);
    bytes.size = 0;
    put_epoch(&bytes, PV, 1);           /* sound, but in the same piece */
    put_record(&bytes, 0x66, "bad", 3);
    CHECK(tsr_restore_feed(s.handle, bytes.data, bytes.size, NULL) ==
          -EPROTO);
    CHECK(tsr_error_text(s.handle, text, sizeof(text)) > 0);
    CHECK(strstr(text, "libxc type 0x66"));
    CHECK(tsr_restore_feed(s.handle, bytes.data, 1, NULL) == -EPROTO);
    CHECK(tsr_restore_finish(s.handle) == -ESHUTDOWN);
    sleep_ms(100);
    CHECK(world->applied == 1);
    CHECK(tsr_restore_abort(s.handle) == 0);
    restore_finish(&s, &event);
    CHECK(event.e.a == -22 && world->applied == 1);
    bytes_free(&bytes);
}

TEST(restore_reports_a_failed_start)
{
    struct event event;
    struct restore_session s;

    world = open_fake();
    world->start_rc = -6;
    world = restore_begin(&s);
    wait_event(s.fd, TSR_EV_FAILED, &event);
    CHECK(event.e.a == TSR_XL(-6) && strstr(event.text, "Domain 9:no memory"));
    restore_finish(&s, &event);
    CHECK(event.e.a == -3);
}

/* Somebody else's domain of that name is not touched. */
TEST(restore_refuses_a_name_that_is_taken)
{
    struct event event;
    struct restore_session s;

    world = open_fake();
    world->copy_exists = true;
    snprintf(world->copy_name, sizeof(world->copy_name), "guest--incoming");
    world = restore_begin(&s);
    wait_event(s.fd, TSR_EV_FAILED, &event);
    CHECK(event.e.a == -EEXIST);
    CHECK(!strcmp(event.text, "there is a domain called guest--incoming "
                  "already"));
    restore_finish(&s, &event);
    CHECK(world->copy_exists && world->destroys == 0);
}

TEST(restore_reports_its_own_end)
{
    struct bytes bytes = { 0 };
    struct event event;
    struct restore_session s;

    world = open_fake();
    world->restore_fails = true;
    world = restore_begin(&s);
    put_start(&bytes, PV);
    put_epoch(&bytes, PV, 3);
    restore_feed(&s, bytes.data, bytes.size);
    CHECK(tsr_restore_finish(s.handle) == 0);
    restore_finish(&s, &event);
    CHECK(event.e.a == -3 && event.e.b == 0 && !world->copy_exists);
    CHECK(world->destroys == 0);
    bytes_free(&bytes);
}

TEST(restore_refuses_wrong_arguments)
{
    int32_t fd;

    world = open_fake();
    CHECK(tsr_restore_start(NULL, 1, &fd) == -EINVAL);
    CHECK(tsr_restore_start("{\"c_info\":{}}", 1, &fd) == -EINVAL);
    CHECK(tsr_restore_start("{\"name\":\"x\"}", 1, &fd) == -EINVAL);
    CHECK(tsr_restore_start("garbage", 1, &fd) == -EINVAL);
    CHECK(tsr_restore_start(CONFIG, 0, &fd) == -EINVAL);
    CHECK(tsr_restore_feed(7, NULL, 0, NULL) == -EBADF);
    CHECK(tsr_restore_apply(7, 0) == -EBADF);
}
