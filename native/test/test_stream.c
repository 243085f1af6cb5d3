/*
 * The stream checker: tables of good and bad streams, cut and bent in every way.
 */
#include "test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../xen/xen.h"
#include "../xen/stream.h"

static void accept(uint32_t guest_type)
{
    struct bytes bytes = { 0 };
    struct tsr_stream_stats stats;
    char text[256];

    make_stream(&bytes, guest_type, 3);
    for (size_t step = 1; step < 4200; step += step < 40 ? 1 : 511) {
        CHECK(check_in_steps(&bytes, step, &stats, text) == 0);
        CHECK(stats.offset == bytes.size && stats.epoch_end == bytes.size);
        CHECK(stats.at_boundary == 1 && stats.epoch == 3);
        CHECK(stats.pages == 3 && stats.guest_type == guest_type);
    }
    bytes_free(&bytes);
}

TEST(stream_accepts_pv)
{
    accept(PV);
}

TEST(stream_accepts_hvm)
{
    accept(HVM);
}

TEST(stream_accepts_version_2)
{
    struct bytes bytes = { 0 };
    struct tsr_stream_stats stats;
    uint8_t info[8] = { 4, 3 };
    uint32_t frames[4] = { 0, 1023 };   /* 1024 pages a frame: 1 of them */
    char text[256];

    put_xl_header(&bytes);
    put_record(&bytes, XL_REC_LIBXC_CONTEXT, NULL, 0);
    put_image(&bytes, 2, PV);
    put_record(&bytes, XC_REC_X86_PV_INFO, info, 8);
    put_record(&bytes, XC_REC_X86_PV_P2M_FRAMES, frames, 16);
    put_epoch(&bytes, PV, 2);
    CHECK(check_in_steps(&bytes, bytes.size, &stats, text) == 0);
    CHECK(stats.at_boundary == 1);
    bytes_free(&bytes);
}

TEST(stream_skips_optional_records)
{
    struct bytes bytes = { 0 };
    struct tsr_stream_stats stats;
    char text[256];

    put_start(&bytes, HVM);
    put_record(&bytes, XC_REC_OPTIONAL | 0x77, "optional", 5);
    put_epoch(&bytes, HVM, 1);
    CHECK(check_in_steps(&bytes, 7, &stats, text) == 0);
    CHECK(stats.at_boundary == 1);
    bytes_free(&bytes);
}

TEST(stream_counts_pages_with_data)
{
    /* plain, L1, pinned L4, broken, only allocated, absent */
    uint64_t body[1 + 6] = { 6, 1, UINT64_C(1) << 60 | 2, UINT64_C(12) << 60 | 3,
                             UINT64_C(13) << 60 | 4, UINT64_C(14) << 60 | 5,
                             UINT64_C(15) << 60 | 6 };
    uint32_t header[2] = { XC_REC_PAGE_DATA, sizeof(body) + 3 * 4096 };
    struct bytes bytes = { 0 };
    struct tsr_stream_stats stats;
    char text[256];

    put_start(&bytes, PV);
    bytes_add(&bytes, header, 8);
    bytes_add(&bytes, body, sizeof(body));
    bytes_zero(&bytes, 3 * 4096);
    for (size_t step = 1; step < 20; step++) {
        CHECK(check_in_steps(&bytes, step, &stats, text) == 0);
        CHECK(stats.pages == 3 && stats.at_boundary == 0);
    }
    bytes_free(&bytes);
}

/* Every prefix of a stream is incomplete, and none is an error. */
TEST(stream_truncated_anywhere)
{
    struct bytes bytes = { 0 }, whole;
    struct tsr_stream_stats stats;
    char text[256];
    size_t first_end;

    put_start(&bytes, HVM);
    put_pages(&bytes, 1, 1, 9);
    put_state(&bytes, HVM);
    put_libxl(&bytes, HVM, 40);
    first_end = bytes.size;
    put_state(&bytes, HVM);
    put_libxl(&bytes, HVM, 40);
    whole = bytes;
    for (size_t n = 0; n < whole.size; n++) {
        bytes.size = n;
        CHECK(check_in_steps(&bytes, 1 + n % 61, &stats, text) == 0);
        CHECK(stats.at_boundary == (n == first_end));
        CHECK(stats.epoch == (n >= first_end));
        CHECK(stats.offset == n);
    }
    bytes_free(&bytes);
}

/* No damage of a bit makes it crash, and none moves it past the end. */
TEST(stream_damaged_anywhere)
{
    struct bytes bytes = { 0 };
    struct tsr_stream_stats stats;
    unsigned refused = 0, tries = 20000;
    char text[256];

    make_stream(&bytes, HVM, 2);
    make_stream(&bytes, PV, 1);         /* a second header: refused at once */
    srand(1);
    for (unsigned i = 0; i < tries; i++) {
        size_t at = (size_t)rand() % bytes.size;
        uint8_t bit = (uint8_t)(1u << (rand() % 8));

        bytes.data[at] ^= bit;
        if (check_in_steps(&bytes, 1 + (size_t)rand() % 5000, &stats, text))
            refused++;
        CHECK(stats.offset <= bytes.size);
        bytes.data[at] ^= bit;
    }
    CHECK(refused > tries / 2);
    bytes_free(&bytes);
}

TEST(stream_garbage)
{
    struct tsr_stream_stats stats;
    struct bytes bytes = { 0 };
    char text[256];

    srand(2);
    for (int i = 0; i < 2000; i++) {
        bytes.size = 0;
        if (i % 2)
            put_start(&bytes, i % 4 == 1 ? PV : HVM);
        for (int k = 0; k < 200; k++) {
            uint8_t b = (uint8_t)(rand() % (i % 3 ? 256 : 20));

            bytes_add(&bytes, &b, 1);
        }
        check_in_steps(&bytes, 1 + (size_t)rand() % 64, &stats, text);
    }
    bytes_free(&bytes);
}

TEST(stream_stays_failed)
{
    int handle = tsr_stream_new();
    struct tsr_stream_stats stats;
    struct bytes good = { 0 };

    make_stream(&good, PV, 1);
    CHECK(tsr_stream_check(handle, (const uint8_t *)"not a stream at all", 19,
                           &stats) == -EPROTO);
    CHECK(tsr_stream_check(handle, good.data, good.size, NULL) == -EPROTO);
    CHECK(tsr_stream_free(handle) == 0);
    CHECK(tsr_stream_check(handle, good.data, good.size, NULL) == -EBADF);
    CHECK(tsr_stream_free(handle) == -EBADF);
    bytes_free(&good);
}

/* Where the feeder may stop: never inside of libxl's own records. */
TEST(stream_safe_offsets)
{
    struct tsr_parser parser;
    struct bytes bytes = { 0 };
    size_t start_end, xl_start, xl_end, taken;
    enum tsr_mark mark;

    put_start(&bytes, HVM);
    start_end = bytes.size;
    put_state(&bytes, HVM);
    xl_start = bytes.size;
    put_libxl(&bytes, HVM, 40);
    xl_end = bytes.size;
    put_pages(&bytes, 1, 1, 0);
    tsr_parser_init(&parser);
    for (size_t at = 0; at < bytes.size; at++) {
        CHECK(!tsr_parser_take(&parser, bytes.data + at, 1, &taken, &mark));
        CHECK(taken == 1);
        CHECK((mark == TSR_MARK_CHECKPOINT) == (at + 1 == xl_start));
        CHECK((mark == TSR_MARK_EPOCH_END) == (at + 1 == xl_end));
        CHECK((mark == TSR_MARK_SUSPENDED) == (at + 1 == start_end + 32));
        CHECK(tsr_parser_safe(&parser) <= at + 1);
        if (at + 1 < 16)
            CHECK(tsr_parser_safe(&parser) == 0);
        else if (at + 1 < 24)
            CHECK(tsr_parser_safe(&parser) == 16);
        else if (at + 1 <= xl_start || at + 1 >= xl_end)
            CHECK(tsr_parser_safe(&parser) == at + 1);
        else if (at + 1 > xl_start && at + 1 < xl_start + 8 + 21)
            CHECK(tsr_parser_safe(&parser) == xl_start);
    }
    bytes_free(&bytes);
}

/* Bodies must not be touched: 1 GiB in pieces of a megabyte. */
TEST(stream_speed)
{
    struct timespec begin, end;
    struct tsr_parser parser;
    struct bytes bytes = { 0 };
    enum tsr_mark mark;
    size_t taken, at, n;
    double seconds;

    put_start(&bytes, PV);
    tsr_parser_init(&parser);
    CHECK(!tsr_parser_take(&parser, bytes.data, bytes.size, &taken, &mark));
    bytes.size = 0;
    put_pages(&bytes, 0, 1024, 7);
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (int i = 0; i < 256; i++)
        for (at = 0; at < bytes.size; at += n) {
            n = bytes.size - at < 1 << 20 ? bytes.size - at : 1 << 20;
            CHECK(!tsr_parser_take(&parser, bytes.data + at, n, &taken, &mark));
            CHECK(taken == n);
        }
    clock_gettime(CLOCK_MONOTONIC, &end);
    seconds = (double)(end.tv_sec - begin.tv_sec) +
              (double)(end.tv_nsec - begin.tv_nsec) / 1e9;
    printf("    %.1f GB/s\n", 256.0 * (double)bytes.size / 1e9 / seconds);
    CHECK(parser.pages == 256 * 1024);
    CHECK(seconds < 1.0);
    bytes_free(&bytes);
}
