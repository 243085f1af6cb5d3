/*
 * The restore session against the fake.
 */
#include "session.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../src/restore.h"

#define CONFIG "{\"c_info\":{\"type\":\"pv\",\"name\":\"guest--incoming\"}}"

static struct fake_world *world;

struct session {
    int handle, fd, fds_before;
};

static void begin(struct session *s)
{
    world = open_fake();
    s->fds_before = count_fds();
    s->handle = tsr_restore_start(CONFIG, &s->fd);
    CHECK(s->handle >= 0);
}

static void feed(struct session *s, const uint8_t *data, size_t size)
{
    int rc;

    while ((rc = tsr_restore_feed(s->handle, data, size)) == -ENOBUFS)
        sleep_ms(2);
    CHECK(rc == 0);
}

static void finish(struct session *s, struct event *ended)
{
    do {
        CHECK(next_event(s->fd, ended, 20000));
    } while (ended->e.kind != TSR_EV_ENDED);
    CHECK(tsr_restore_free(s->handle) == 0);
    CHECK(close(s->fd) == 0);
    CHECK(count_fds() == s->fds_before);
    CHECK(world->slow_reads == 0);
}

/* An epoch of COUNT pages; the sum of the bytes that the fake will apply. */
static uint64_t put_summed_epoch(struct bytes *bytes, uint32_t count)
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

/* EPOCHS of GUEST_TYPE in pieces of at most STEP; then activation. */
static void apply(uint32_t guest_type, int epochs, size_t step)
{
    struct bytes bytes = { 0 };
    struct event event;
    struct session s;
    size_t at, n;

    begin(&s);
    put_start(&bytes, guest_type);
    for (int i = 0; i < epochs; i++)
        put_epoch(&bytes, guest_type, 5);
    srand(3);
    for (at = 0; at < bytes.size; at += n) {
        n = 1 + (size_t)rand() % step;
        if (n > bytes.size - at)
            n = bytes.size - at;
        feed(&s, bytes.data + at, n);
    }
    do {
        wait_event(s.fd, TSR_EV_FED, &event);
    } while (event.e.a != (int64_t)bytes.size);
    CHECK(tsr_restore_free(s.handle) == -EBUSY);
    CHECK(tsr_restore_finish(s.handle) == 0);
    CHECK(tsr_restore_feed(s.handle, bytes.data, 1) == -ESHUTDOWN);
    finish(&s, &event);
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
    struct session s;
    size_t slow;

    begin(&s);
    put_start(&bytes, HVM);
    put_epoch(&bytes, HVM, 1);
    put_state(&bytes, HVM);
    feed(&s, bytes.data, bytes.size);
    slow = bytes.size;
    put_libxl(&bytes, HVM, 60);
    for (size_t at = slow; at < bytes.size; at++) {
        feed(&s, bytes.data + at, 1);
        if (at % 8 == 3)
            sleep_ms(200);
    }
    sleep_ms(100);
    CHECK(tsr_restore_finish(s.handle) == 0);
    finish(&s, &event);
    CHECK(event.e.a == 0 && world->applied == 2);
    bytes_free(&bytes);
}

/* A device model's state that is bigger than the pipe. */
TEST(restore_takes_a_big_device_state)
{
    struct bytes bytes = { 0 };
    struct event event;
    struct session s;

    begin(&s);
    put_start(&bytes, HVM);
    put_state(&bytes, HVM);
    put_libxl(&bytes, HVM, 9u << 20);
    feed(&s, bytes.data, bytes.size / 2);
    feed(&s, bytes.data + bytes.size / 2, bytes.size - bytes.size / 2);
    CHECK(tsr_restore_finish(s.handle) == 0);
    finish(&s, &event);
    CHECK(event.e.a == 0 && world->applied == 1);
    bytes_free(&bytes);
}

/* Activation in the middle of an epoch: the torn one is dropped. */
TEST(restore_drops_a_torn_epoch)
{
    struct bytes bytes = { 0 };
    struct event event;
    struct session s;
    uint64_t expected;

    begin(&s);
    put_start(&bytes, PV);
    expected = put_summed_epoch(&bytes, 3);
    expected += put_summed_epoch(&bytes, 4);
    feed(&s, bytes.data, bytes.size);
    bytes.size = 0;
    put_pages(&bytes, 1, 3, 77);
    feed(&s, bytes.data, bytes.size - 100);
    CHECK(tsr_restore_finish(s.handle) == 0);
    finish(&s, &event);
    CHECK(event.e.a == 0 && world->applied == 2);
    CHECK(world->copy_sum == expected);
    bytes_free(&bytes);
}

TEST(restore_fails_without_a_whole_epoch)
{
    struct bytes bytes = { 0 };
    struct event event;
    struct session s;

    begin(&s);
    put_start(&bytes, PV);
    put_pages(&bytes, 1, 3, 7);
    feed(&s, bytes.data, bytes.size);
    CHECK(tsr_restore_finish(s.handle) == 0);
    finish(&s, &event);
    CHECK(event.e.a == -3 && !world->copy_exists);
    CHECK(!strcmp(event.text, "Domain 9:cannot (re-)build domain: -1"));
    bytes_free(&bytes);
}

static void discard(bool finish_first)
{
    struct bytes bytes = { 0 };
    struct event event;
    struct session s;

    begin(&s);
    put_start(&bytes, PV);
    put_epoch(&bytes, PV, 3);
    feed(&s, bytes.data, bytes.size);
    while (!world->applied)
        sleep_ms(5);
    if (finish_first)
        CHECK(tsr_restore_finish(s.handle) == 0);
    CHECK(tsr_restore_abort(s.handle) == 0);
    CHECK(tsr_restore_finish(s.handle) == -ESHUTDOWN);
    CHECK(tsr_restore_feed(s.handle, bytes.data, 1) == -ESHUTDOWN);
    finish(&s, &event);
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
    struct session s;

    begin(&s);
    CHECK(tsr_restore_abort(s.handle) == 0);
    finish(&s, &event);
    CHECK(event.e.a == -22 && !world->copy_exists);
}

TEST(restore_refuses_a_broken_stream)
{
    struct bytes bytes = { 0 };
    struct event event;
    struct session s;
    char text[256];

    begin(&s);
    put_start(&bytes, PV);
    put_epoch(&bytes, PV, 3);
    feed(&s, bytes.data, bytes.size);
    while (world->applied < 1)
        sleep_ms(5);
    bytes.size = 0;
    put_epoch(&bytes, PV, 1);           /* sound, but in the same piece */
    put_record(&bytes, 0x66, "bad", 3);
    CHECK(tsr_restore_feed(s.handle, bytes.data, bytes.size) == -EPROTO);
    CHECK(tsr_error_text(s.handle, text, sizeof(text)) > 0);
    CHECK(strstr(text, "libxc type 0x66"));
    CHECK(tsr_restore_feed(s.handle, bytes.data, 1) == -EPROTO);
    CHECK(tsr_restore_finish(s.handle) == -ESHUTDOWN);
    sleep_ms(100);
    CHECK(world->applied == 1);
    CHECK(tsr_restore_abort(s.handle) == 0);
    finish(&s, &event);
    CHECK(event.e.a == -22 && world->applied == 1);
    bytes_free(&bytes);
}

/* More than libxl takes at once is refused, and nothing of it is lost. */
TEST(restore_bounds_its_queue)
{
    struct bytes bytes = { 0 };
    struct event event;
    struct session s;
    uint64_t expected = 0;
    int refused = 0, rc;

    begin(&s);
    put_start(&bytes, PV);
    feed(&s, bytes.data, bytes.size);
    bytes.size = 0;
    put_pages(&bytes, 1, 1024, 1);
    CHECK(tsr_restore_feed(s.handle, bytes.data, (64u << 20) + 1) ==
          -EMSGSIZE);
    for (size_t i = 8; i < bytes.size; i++)
        expected += 40 * (uint64_t)bytes.data[i];
    for (int i = 0; i < 40; i++)
        while ((rc = tsr_restore_feed(s.handle, bytes.data, bytes.size))) {
            CHECK(rc == -ENOBUFS);
            refused++;
            sleep_ms(1);
        }
    CHECK(refused > 0);
    bytes.size = 0;
    put_state(&bytes, PV);
    put_libxl(&bytes, PV, 0);
    feed(&s, bytes.data, bytes.size);
    CHECK(tsr_restore_finish(s.handle) == 0);
    finish(&s, &event);
    CHECK(event.e.a == 0 && world->applied == 1);
    CHECK(world->copy_sum == expected);
    bytes_free(&bytes);
}

TEST(restore_reports_a_failed_start)
{
    struct event event;
    struct session s;

    world = open_fake();
    world->start_rc = -6;
    begin(&s);
    wait_event(s.fd, TSR_EV_FAILED, &event);
    CHECK(event.e.a == TSR_XL(-6) && strstr(event.text, "Domain 9:no memory"));
    finish(&s, &event);
    CHECK(event.e.a == -3);
}

/* Somebody else's domain of that name is not touched. */
TEST(restore_refuses_a_name_that_is_taken)
{
    struct event event;
    struct session s;

    world = open_fake();
    world->copy_exists = true;
    snprintf(world->copy_name, sizeof(world->copy_name), "guest--incoming");
    begin(&s);
    wait_event(s.fd, TSR_EV_FAILED, &event);
    CHECK(event.e.a == -EEXIST);
    CHECK(!strcmp(event.text, "there is a domain called guest--incoming "
                  "already"));
    finish(&s, &event);
    CHECK(world->copy_exists && world->destroys == 0);
}

TEST(restore_reports_its_own_end)
{
    struct bytes bytes = { 0 };
    struct event event;
    struct session s;

    world = open_fake();
    world->restore_fails = true;
    begin(&s);
    put_start(&bytes, PV);
    put_epoch(&bytes, PV, 3);
    feed(&s, bytes.data, bytes.size);
    CHECK(tsr_restore_finish(s.handle) == 0);
    finish(&s, &event);
    CHECK(event.e.a == -3 && event.e.b == 0 && !world->copy_exists);
    CHECK(world->destroys == 0);
    bytes_free(&bytes);
}

TEST(restore_refuses_wrong_arguments)
{
    int32_t fd;

    world = open_fake();
    CHECK(tsr_restore_start(NULL, &fd) == -EINVAL);
    CHECK(tsr_restore_start("{\"c_info\":{}}", &fd) == -EINVAL);
    CHECK(tsr_restore_start("{\"name\":\"x\"}", &fd) == -EINVAL);
    CHECK(tsr_restore_start("garbage", &fd) == -EINVAL);
    CHECK(tsr_restore_feed(7, NULL, 0) == -EBADF);
}
