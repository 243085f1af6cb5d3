/*
 * A queue of bytes between two threads, made of blocks that are kept and used
 * again: once a session is warm, an epoch allocates nothing. The lock is held for
 * a few instructions only; the bytes themselves are moved outside of it, since
 * the writer owns what lies beyond write_at and the reader what lies before.
 */
#include "internal.h"

#include <stdlib.h>
#include <sys/mman.h>

struct tsr_chunk {
    struct tsr_chunk *next;
    uint8_t *data;
};

/* Blocks that stay around even when nothing needed them lately. */
#define SPARES_MIN 8
/* What the last 64 to 128 epochs needed at once is kept: big ones come again. */
#define WINDOW 64
/* Blocks given back at a time, so that no epoch pays for the end of the seed. */
#define TRIM_MAX 16

static struct tsr_chunk *chunk_new(void)
{
    struct tsr_chunk *chunk = malloc(sizeof(*chunk));
    void *data;

    if (!chunk)
        return NULL;
    data = mmap(NULL, TSR_CHUNK_SIZE, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) {
        free(chunk);
        return NULL;
    }
    /*
     * libxl and Node fork, and a child has no use for gigabytes of it: with 1 GiB
     * that a fork had to copy the page tables of, a spawn stopped the event loop for
     * 60 ms and more; with 1 GiB of these for a few, as with none.
     */
    madvise(data, TSR_CHUNK_SIZE, MADV_DONTFORK);
    chunk->data = data;
    chunk->next = NULL;
    return chunk;
}

static void chunk_free(struct tsr_chunk *chunk)
{
    munmap(chunk->data, TSR_CHUNK_SIZE);
    free(chunk);
}

static void free_list(struct tsr_chunk *chunk)
{
    while (chunk) {
        struct tsr_chunk *next = chunk->next;

        chunk_free(chunk);
        chunk = next;
    }
}

void tsr_chunks_init(struct tsr_chunks *chunks)
{
    *chunks = (struct tsr_chunks){ 0 };
    pthread_mutex_init(&chunks->lock, NULL);
}

void tsr_chunks_dispose(struct tsr_chunks *chunks)
{
    free_list(chunks->first);
    free_list(chunks->spare);
    pthread_mutex_destroy(&chunks->lock);
}

static struct tsr_chunk *take_spare(struct tsr_chunks *chunks)
{
    struct tsr_chunk *chunk = chunks->spare;

    if (chunk) {
        chunks->spare = chunk->next;
        chunks->spares--;
        chunk->next = NULL;
    }
    return chunk;
}

static void append(struct tsr_chunks *chunks, struct tsr_chunk *chunk)
{
    if (chunks->last)
        chunks->last->next = chunk;
    else
        chunks->first = chunk;
    chunks->last = chunk;
    chunks->write_at = 0;
    if (chunks->first == chunk)
        chunks->read_at = 0;
    if (++chunks->in_use > chunks->peak)
        chunks->peak = chunks->in_use;
}

uint8_t *tsr_chunks_space(struct tsr_chunks *chunks, size_t *size_out)
{
    struct tsr_chunk *fresh = NULL;
    uint8_t *space = NULL;

    pthread_mutex_lock(&chunks->lock);
    /* All read: begin again at the start of the block that is still warm. */
    if (chunks->last && !chunks->size && chunks->first == chunks->last)
        chunks->read_at = chunks->write_at = 0;
    if (!chunks->last || chunks->write_at == TSR_CHUNK_SIZE) {
        fresh = take_spare(chunks);
        if (!fresh) {
            pthread_mutex_unlock(&chunks->lock);
            fresh = chunk_new();
            pthread_mutex_lock(&chunks->lock);
            chunks->made += fresh != NULL;
        }
        if (!fresh)
            goto out;
        append(chunks, fresh);
    }
    space = chunks->last->data + chunks->write_at;
    *size_out = TSR_CHUNK_SIZE - chunks->write_at;
out:
    pthread_mutex_unlock(&chunks->lock);
    return space;
}

void tsr_chunks_commit(struct tsr_chunks *chunks, size_t n)
{
    pthread_mutex_lock(&chunks->lock);
    chunks->write_at += n;
    chunks->size += n;
    pthread_mutex_unlock(&chunks->lock);
}

/* Moves read blocks to the spares. The last block stays: the writer may hold a
 * pointer into it. */
static void drop_read(struct tsr_chunks *chunks)
{
    struct tsr_chunk *done = chunks->first;

    if (chunks->read_at < TSR_CHUNK_SIZE || done == chunks->last)
        return;
    chunks->first = done->next;
    chunks->read_at = 0;
    chunks->in_use--;
    done->next = chunks->spare;
    chunks->spare = done;
    chunks->spares++;
}

const uint8_t *tsr_chunks_peek(struct tsr_chunks *chunks, size_t *size_out)
{
    const uint8_t *data = NULL;
    size_t end;

    pthread_mutex_lock(&chunks->lock);
    if (chunks->size) {
        drop_read(chunks);
        end = chunks->first == chunks->last ? chunks->write_at : TSR_CHUNK_SIZE;
        data = chunks->first->data + chunks->read_at;
        *size_out = end - chunks->read_at;
    }
    pthread_mutex_unlock(&chunks->lock);
    return data;
}

void tsr_chunks_consume(struct tsr_chunks *chunks, size_t n)
{
    pthread_mutex_lock(&chunks->lock);
    chunks->read_at += n;
    chunks->size -= n;
    drop_read(chunks);
    pthread_mutex_unlock(&chunks->lock);
}

uint64_t tsr_chunks_size(struct tsr_chunks *chunks)
{
    uint64_t size;

    pthread_mutex_lock(&chunks->lock);
    size = chunks->size;
    pthread_mutex_unlock(&chunks->lock);
    return size;
}

void tsr_chunks_trim(struct tsr_chunks *chunks)
{
    struct tsr_chunk *surplus = NULL, *chunk;
    size_t keep;
    int i;

    pthread_mutex_lock(&chunks->lock);
    keep = chunks->peak > chunks->peak_before ? chunks->peak
                                              : chunks->peak_before;
    for (i = 0; i < TRIM_MAX; i++) {
        if (chunks->in_use + chunks->spares <= keep + SPARES_MIN)
            break;
        chunk = take_spare(chunks);
        if (!chunk)
            break;
        chunk->next = surplus;
        surplus = chunk;
    }
    if (++chunks->trims == WINDOW) {
        chunks->trims = 0;
        chunks->peak_before = chunks->peak;
        chunks->peak = chunks->in_use;
    }
    pthread_mutex_unlock(&chunks->lock);
    free_list(surplus);
}
