/*
 * A tiny test runner. Every TEST runs in a process of its own, so that one that
 * crashes, hangs or leaks is one failure, and each may open its own libxenlight.
 */
#ifndef TEST_H
#define TEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef void test_function(void);

/* SECONDS: only a hang takes as long, on however busy a machine. */
void test_register(const char *name, test_function *function, int seconds);
void test_failed(const char *file, int line, const char *what);
/* Run before a test that failed ends; NULL: nothing. */
extern void (*test_cleanup)(void);

#define TEST_FOR(name, seconds) \
    static void test_##name(void); \
    __attribute__((constructor)) static void register_##name(void) \
    { \
        test_register(#name, test_##name, seconds); \
    } \
    static void test_##name(void)
#define TEST(name) TEST_FOR(name, 600)

#define CHECK(condition) \
    do { \
        if (!(condition)) \
            test_failed(__FILE__, __LINE__, #condition); \
    } while (0)

/* Paths of the stand-ins, given by the Makefile's environment. */
const char *fake_path(void);
const char *simxl_path(void);           /* NULL where it was not built */

/* ---- streams (stream_build.c) -------------------------------------------- */

struct bytes {
    uint8_t *data;
    size_t size, capacity;
};

void bytes_add(struct bytes *bytes, const void *data, size_t size);
void bytes_zero(struct bytes *bytes, size_t size);
void bytes_free(struct bytes *bytes);

enum { PV = 1, HVM = 2 };

void put_xl_header(struct bytes *bytes);
void put_image(struct bytes *bytes, uint32_t version, uint32_t guest_type);
/* A record with BODY, padded. */
void put_record(struct bytes *bytes, uint32_t type, const void *body,
                uint32_t length);
/* PAGE_DATA of COUNT plain pages from FIRST on, each filled with FILL. */
void put_pages(struct bytes *bytes, uint64_t first, uint32_t count,
               uint8_t fill);
/* Everything up to STATIC_DATA_END (version 3) and the p2m frames (PV). */
void put_start(struct bytes *bytes, uint32_t guest_type);
/* vCPUs and devices, up to and with CHECKPOINT. */
void put_state(struct bytes *bytes, uint32_t guest_type);
/* libxl's records, up to and with CHECKPOINT_END. */
void put_libxl(struct bytes *bytes, uint32_t guest_type, uint32_t emulator);
void put_epoch(struct bytes *bytes, uint32_t guest_type, uint32_t pages);
/* The start and EPOCHS epochs of three pages. */
void make_stream(struct bytes *bytes, uint32_t guest_type, int epochs);

/* ---- the checker (check_stream.c) ------------------------------------------ */

struct tsr_stream_stats;
/* Checks all of BYTES in pieces of STEP; the last stats, TEXT of 256 bytes. */
int check_in_steps(const struct bytes *bytes, size_t step,
                   struct tsr_stream_stats *stats, char *text);

#endif
