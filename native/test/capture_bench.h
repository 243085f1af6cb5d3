/*
 * A capture under test: the test is in the kernel's place at the other end of its socket.
 */
#ifndef CAPTURE_BENCH_H
#define CAPTURE_BENCH_H

#include "dm_model.h"
#include "session.h"

#include "../common/common.h"
#include "../disk/disk.h"
#include "../disk/nbd.h"

/* Of the model's volume. */
#define DISK_BYTES (65536ull * 512)
#define MIB (1u << 20)
#define ROOM (9 * MIB)

extern struct capture_bench {
    int handle, leg, pace, events;
    uint64_t requests;
    char disk[64], lock[64];
} t;

void bench_clean(void);
struct tsr_capture_settings settings_of(uint32_t wait_ms);
/* The file behind `under`, of 0xd1; what is behind its BYTES cannot be read. */
void make_disk(size_t bytes);
void open_with(const struct tsr_capture_settings *settings);
void open_capture(uint32_t wait_ms);
void close_capture(void);

void all(int fd, void *data, size_t size, bool sends);
/* A request; its handle is its number. */
uint64_t ask(uint32_t type, uint64_t offset, uint32_t length);
bool is_answered(int ms);
/* The error of the next answer, which must be that of REQUEST. */
uint32_t answer_to(uint64_t request);
void fill(uint8_t *data, uint32_t length, uint64_t seed);
uint64_t send_write(uint32_t flags, uint64_t offset, uint32_t length, uint64_t seed);
void write_at(uint64_t offset, uint32_t length, uint64_t seed);
/* All of the oldest epoch, in pieces of STEP. */
struct bytes read_epoch(uint64_t epoch, size_t step);
/* The leg is given up for CODE, with a text that has WORD, and the mirror is taken away. */
void expect_loss(int64_t code, const char *word);

#endif
