/*
 * The queue of bytes.
 */
#include "session.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../xen/internal.h"

/* ---- the queue of bytes -------------------------------------------------------- */

#define QUEUE_BYTES (200u << 20)

static uint8_t pattern(uint64_t at)
{
    return (uint8_t)(at * 2654435761u >> 13);
}

static void *write_queue(void *chunks_in)
{
    struct tsr_chunks *chunks = chunks_in;
    uint64_t at = 0;
    unsigned seed = 5;
    size_t n;

    while (at < QUEUE_BYTES) {
        uint8_t *space = tsr_chunks_space(chunks, &n);

        CHECK(space && n);
        if (n > (size_t)rand_r(&seed) % 100000 + 1)
            n = (size_t)rand_r(&seed) % n + 1;
        if (n > QUEUE_BYTES - at)
            n = QUEUE_BYTES - at;
        /* A byte here and there is enough to notice a mistake. */
        for (size_t i = 0; i < n; i += 97)
            space[i] = pattern(at + i);
        tsr_chunks_commit(chunks, n);
        at += n;
        if (tsr_chunks_size(chunks) > 8u << 20)
            usleep(100);
        if (rand_r(&seed) % 50 == 0)
            tsr_chunks_trim(chunks);
    }
    return NULL;
}

TEST(chunks_between_two_threads)
{
    static struct tsr_chunks chunks;
    uint64_t at = 0;
    pthread_t writer;
    unsigned seed = 6;
    size_t n;

    tsr_chunks_init(&chunks);
    CHECK(!tsr_chunks_peek(&chunks, &n));
    CHECK(!pthread_create(&writer, NULL, write_queue, &chunks));
    while (at < QUEUE_BYTES) {
        const uint8_t *data = tsr_chunks_peek(&chunks, &n);

        if (!data)
            continue;
        CHECK(n);
        if (rand_r(&seed) % 2)
            n = (size_t)rand_r(&seed) % n + 1;
        tsr_chunks_consume(&chunks, n);
        at += n;
    }
    pthread_join(writer, NULL);
    CHECK(tsr_chunks_size(&chunks) == 0);
    tsr_chunks_dispose(&chunks);
}

TEST(chunks_keep_the_bytes_in_order)
{
    struct tsr_chunks chunks;
    uint64_t written = 0, taken = 0;
    size_t n;

    tsr_chunks_init(&chunks);
    srand(7);
    while (taken < 40u << 20) {
        size_t k = (size_t)rand() % 700000;
        const uint8_t *data;
        uint8_t *space;

        space = tsr_chunks_space(&chunks, &n);
        k = k < n ? k : n;
        for (size_t i = 0; i < k; i++)
            space[i] = pattern(written + i);
        tsr_chunks_commit(&chunks, k);
        written += k;
        if (rand() % 3 == 0)
            continue;
        data = tsr_chunks_peek(&chunks, &n);
        if (!data)
            continue;
        n = rand() % 3 ? n : n / 2 + 1;
        for (size_t i = 0; i < n; i++)
            if (data[i] != pattern(taken + i))
                CHECK(0);
        tsr_chunks_consume(&chunks, n);
        taken += n;
    }
    tsr_chunks_dispose(&chunks);
}

/* COUNT blocks written, then read; what an epoch of that size needs. */
static void pass(struct tsr_chunks *chunks, int count)
{
    size_t n;

    for (int i = 0; i < count; i++) {
        CHECK(tsr_chunks_space(chunks, &n));
        tsr_chunks_commit(chunks, n);
    }
    while (tsr_chunks_peek(chunks, &n))
        tsr_chunks_consume(chunks, n);
    tsr_chunks_trim(chunks);
}

/* Warm, it takes nothing from the system: big epochs may be rare. */
TEST(chunks_are_kept)
{
    struct tsr_chunks chunks;
    uint64_t made;

    tsr_chunks_init(&chunks);
    pass(&chunks, 100);
    made = chunks.made;
    CHECK(made == 100);
    for (int i = 0; i < 1000; i++)
        pass(&chunks, i % 60 == 0 ? 100 : i % 7);
    CHECK(chunks.made == made);
    tsr_chunks_dispose(&chunks);
}

/* What was not needed for long goes back, a little at a time. */
TEST(chunks_are_given_back)
{
    struct tsr_chunks chunks;
    size_t before, now;

    tsr_chunks_init(&chunks);
    pass(&chunks, 400);
    before = chunks.in_use + chunks.spares;
    for (int i = 0; i < 200; i++) {
        pass(&chunks, 3);
        now = chunks.in_use + chunks.spares;
        CHECK(now <= before && before - now <= 16);
        before = now;
    }
    CHECK(before < 20);
    tsr_chunks_dispose(&chunks);
}

/* A child has no part of them: a fork need not copy their page tables. */
TEST(chunks_are_not_forked)
{
    struct tsr_chunks chunks;
    unsigned char pages[TSR_CHUNK_SIZE / 4096];
    uint8_t *data;
    int status;
    size_t n;
    pid_t pid;

    tsr_chunks_init(&chunks);
    data = tsr_chunks_space(&chunks, &n);
    data[0] = 1;
    CHECK(!mincore(data, n, pages));
    pid = fork();
    if (!pid)
        _exit(mincore(data, n, pages) && errno == ENOMEM ? 7 : 1);
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    tsr_chunks_dispose(&chunks);
}
