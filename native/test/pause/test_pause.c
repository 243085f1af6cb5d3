/*
 * The library that is preloaded into libxl's save helper (pause/), in front of a stand-in for
 * libxc: what the stream has, when it is written, and that whatever is doubtful stays libxc's.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../pause/pause.h"
#include "../../xen/stream.h"
#include "../../xen/xen.h"
#include "../test.h"
#include "fake_xc.h"

#define EPOCHS_MAX 12
#define TSC_RECORD (8 + 24)

int xc_domain_save(xc_interface *, int, uint32_t, uint32_t, struct xc_callbacks *, int, int);
xc_interface *xc_interface_open(xentoollog_logger *, xentoollog_logger *, unsigned);

static int stream;
static int epochs, epochs_wanted;
static unsigned seed = 1;
/* What the guest was when it was suspended; absent pages are zeroes. */
static uint8_t *was[EPOCHS_MAX];
static off_t suspended_at;              /* in the stream */
static off_t written_in_pause[EPOCHS_MAX];
static unsigned dirtied = 300;          /* pages in an epoch */
static int refuse_suspend = -1;         /* the epoch whose suspend the guest refuses */
static int gone_epoch = -1;             /* the one whose stream is taken away */
static bool gone_in_pause;

static off_t size_of_stream(void)
{
    struct stat found;

    CHECK(!fstat(stream, &found));
    return found.st_size;
}

static unsigned chance(unsigned below)
{
    seed = seed * 1103515245 + 12345;
    return seed >> 8 & 0xffffff ? (seed >> 8) % below : 0;
}

static void guest_writes(uint64_t pfn)
{
    if (fake_xc.absent[pfn])
        return;
    memset(fake_xc.memory + pfn * FAKE_PAGE, (int)chance(256), FAKE_PAGE);
    fake_xc.dirty[pfn / 64] |= UINT64_C(1) << pfn % 64;
}

static void guest_runs(void)
{
    for (unsigned i = 0; i < dirtied; i++)
        guest_writes(chance(FAKE_PAGES));
    /* One that it has not is told as dirty all the same, as Xen does of some. */
    fake_xc.dirty[0] |= 1u << 5;
}

static void lose_stream(void)
{
    int unwritable = open("/dev/null", O_RDONLY);

    CHECK(unwritable >= 0 && dup2(unwritable, stream) == stream);
    close(unwritable);
}

static int cb_suspend(void *data)
{
    (void)data;
    if (epochs == refuse_suspend)
        return 0;
    if (epochs == gone_epoch && gone_in_pause)
        lose_stream();
    CHECK(!fake_xc.suspended);
    if (!epochs)
        guest_runs();
    fake_xc.suspended = true;
    was[epochs] = malloc((size_t)FAKE_PAGES * FAKE_PAGE);
    memcpy(was[epochs], fake_xc.memory, (size_t)FAKE_PAGES * FAKE_PAGE);
    suspended_at = size_of_stream();
    return 1;
}

/* At once the guest changes what was just copied. */
static int cb_postcopy(void *data)
{
    (void)data;
    CHECK(fake_xc.suspended);
    written_in_pause[epochs] = size_of_stream() - suspended_at;
    fake_xc.suspended = false;
    if (epochs == gone_epoch)
        lose_stream();
    for (uint64_t pfn = 0; pfn < FAKE_PAGES; pfn += 3)
        guest_writes(pfn);
    return 1;
}

static int cb_checkpoint(void *data)
{
    struct bytes bytes = { 0 };

    (void)data;
    put_libxl(&bytes, HVM, 0);
    CHECK(write(stream, bytes.data, bytes.size) == (ssize_t)bytes.size);
    bytes_free(&bytes);
    guest_runs();
    return ++epochs < epochs_wanted;
}

static struct xc_callbacks callbacks = {
    .suspend = cb_suspend, .postcopy = cb_postcopy, .checkpoint = cb_checkpoint,
};

/* A whole session; what xc_domain_save returned. */
static int save(int wanted)
{
    struct bytes start = { 0 };
    int rc;

    epochs_wanted = wanted;
    stream = memfd_create("stream", 0);
    fake_xc.memory = calloc(FAKE_PAGES, FAKE_PAGE);
    fake_xc.absent[5] = fake_xc.absent[2999] = true;
    guest_runs();
    put_start(&start, fake_xc.pv ? PV : HVM);
    CHECK(write(stream, start.data, start.size) == (ssize_t)start.size);
    bytes_free(&start);
    rc = xc_domain_save(xc_interface_open((void *)&callbacks, NULL, 0), stream, 1, 1, &callbacks,
                        XC_STREAM_REMUS, -1);
    CHECK(fake_xc.mapped == fake_xc.unmapped);
    CHECK(!fake_xc.asked_in_run);
    return rc;
}

/* The stream is one, and what a restore makes of it is the guest as it was at each checkpoint. */
static void check_stream(int whole)
{
    off_t size = size_of_stream();
    uint8_t *data = mmap(NULL, (size_t)size, PROT_READ, MAP_SHARED, stream, 0);
    uint8_t *copy = calloc(FAKE_PAGES, FAKE_PAGE);
    struct tsr_stream_stats stats;
    struct tsr_parser parser;
    static uint64_t list[TSR_PAGES_MAX];
    size_t at = 0, taken;
    enum tsr_mark mark;
    int handle = tsr_stream_new(), epoch = 0;

    if (tsr_stream_check(handle, data, (size_t)size, &stats)) {
        char why[300] = "";

        tsr_error_text(handle, why, sizeof(why));
        fprintf(stderr, "%s\n", why);
        CHECK(false);
    }
    CHECK(stats.epoch == (uint64_t)whole);
    tsr_parser_init(&parser);
    tsr_parser_list(&parser, list);
    while (at < (size_t)size) {
        uint64_t pfn;
        uint32_t from;

        if (tsr_parser_page(&parser, &pfn, &from) && !from)
            memcpy(copy + pfn * FAKE_PAGE, data + at, FAKE_PAGE);
        /* A page at a time: a body that is begun is taken whole. */
        taken = tsr_parser_page(&parser, &pfn, &from) ? FAKE_PAGE : 1;
        CHECK(!tsr_parser_take(&parser, data + at, taken, &taken, &mark));
        at += taken;
        if (mark == TSR_MARK_CHECKPOINT) {
            for (pfn = 0; pfn < FAKE_PAGES; pfn++)
                CHECK(fake_xc.absent[pfn] || !memcmp(copy + pfn * FAKE_PAGE,
                                                     was[epoch] + pfn * FAKE_PAGE, FAKE_PAGE));
            epoch++;
        }
    }
    CHECK(epoch == whole);
    free(copy);
}

static bool said(const char *text)
{
    return strstr(fake_xc.said, text) != NULL;
}

TEST(pause_writes_after_the_resume)
{
    CHECK(save(6) == -1);
    check_stream(6);
    CHECK(fake_xc.own_loops == 1 && said("tsremus 6: checkpoints are written after"));
    CHECK(written_in_pause[0] > 200 * FAKE_PAGE);
    for (int epoch = 1; epoch < 6; epoch++)
        CHECK(written_in_pause[epoch] == TSC_RECORD);
}

/*
 * What has no room is written in the pause, in whole records, and the room is enlarged, up to its
 * limit: in the last epoch it is enough.
 */
static void with_room(const char *bytes, bool is_enough)
{
    setenv("_TSREMUS_PAUSE_BYTES", bytes, 1);
    dirtied = 8000;
    CHECK(save(4) == -1);
    check_stream(4);
    CHECK(fake_xc.own_loops == 1);
    CHECK(is_enough == (written_in_pause[3] == TSC_RECORD));
}

TEST(pause_goes_on_without_any_room)
{
    with_room("1", false);
}

TEST(pause_goes_on_with_less_room_than_a_record)
{
    with_room("1000000", false);
}

TEST(pause_goes_on_with_room_for_some)
{
    with_room("6000000", false);
}

TEST(pause_makes_room_for_all)
{
    with_room("40000000", true);
}

/* With another release, or another kind of guest, nothing is done that libxc would not do. */
TEST(pause_leaves_a_pv_guest_to_libxc)
{
    fake_xc.pv = true;
    CHECK(save(3) == -1);
    CHECK(fake_xc.own_loops == 3 && said("tsremus 7: checkpoints are libxc's own"));
}

TEST(pause_leaves_what_it_does_not_know_to_libxc)
{
    fake_xc.odd_record = true;
    CHECK(save(3) == -1);
    check_stream(3);
    CHECK(fake_xc.own_loops == 3 && said("libxc's own: libxc writes other records"));
}

TEST(pause_leaves_a_parameter_that_is_not_written_to_libxc)
{
    fake_xc.odd_param = true;
    CHECK(save(3) == -1);
    check_stream(3);
    CHECK(fake_xc.own_loops == 3 && said("records of another length"));
}

/* A doubt in a pause: this checkpoint and those behind it are libxc's, and whole. */
TEST(pause_gives_back_where_a_page_cannot_be_mapped)
{
    fake_xc.unmappable_epoch = 3;
    CHECK(save(6) == -1);
    check_stream(6);
    CHECK(fake_xc.own_loops == 1 + 3 && said("libxc's own: Bad address"));
    CHECK(written_in_pause[2] == TSC_RECORD && written_in_pause[3] > 300 * FAKE_PAGE);
}

TEST(pause_gives_back_at_once)
{
    fake_xc.unmappable_epoch = 1;
    CHECK(save(4) == -1);
    check_stream(4);
    CHECK(fake_xc.own_loops == 4);
}

/* A context that grew is asked for again; one that cannot be had ends the save, as with libxc. */
TEST(pause_follows_a_context_that_grows)
{
    fake_xc.growing_epoch = 2;
    CHECK(save(5) == -1);
    check_stream(5);
    CHECK(fake_xc.own_loops == 1 && fake_xc.context_size == 2005);
}

TEST(pause_ends_where_the_context_cannot_be_had)
{
    fake_xc.contextless_epoch = 2;
    CHECK(save(5) == -1);
    CHECK(epochs == 2 && fake_xc.suspended && fake_xc.own_loops == 1);
    CHECK(said("libxc's own"));
}

TEST(pause_ends_where_the_guest_does_not_suspend)
{
    refuse_suspend = 3;
    CHECK(save(6) == -1);
    check_stream(3);
    CHECK(epochs == 3 && !fake_xc.suspended);
}

TEST(pause_ends_where_the_dirty_log_cannot_be_had)
{
    fake_xc.broken_epoch = 2;
    CHECK(save(6) == -1);
    CHECK(epochs == 2 && fake_xc.own_loops == 1);
}

/* As libxl ends the helper: nothing can be written to the stream any more. */
TEST(pause_ends_where_the_stream_is_gone)
{
    gone_epoch = 2;
    CHECK(save(6) == -1);
    CHECK(epochs == 2 && !fake_xc.suspended && fake_xc.epoch == 2);
}

TEST(pause_ends_where_the_stream_is_gone_in_the_pause)
{
    gone_epoch = 2;
    gone_in_pause = true;
    CHECK(save(6) == -1);
    CHECK(epochs == 2 && fake_xc.suspended && fake_xc.epoch == 1);
}
