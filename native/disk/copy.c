/*
 * The first copy: what enters the stream when.
 *
 * A thread of its own reads the disk from its beginning to its end; the guest's writes are
 * captured meanwhile. Both go into one stream, epoch 0, and whoever applies that in its order
 * must have the guest's disk in the end.
 *
 *   F1  A grain is covered once it is in the stream, as a block of the copy or by a write that
 *       was captured. Nothing of a covered grain enters as a block of the copy any more: the
 *       captured write may still be on its way to the disk, so what was read there before or
 *       after may be old. This is looked at when the block enters, not when it is read.
 *       A discard covers nothing: what it leaves there is right, and the disks are to be the
 *       same. Were it covered, the other disk would keep what it held before, which no one
 *       has sent, wherever it does not forget.
 *   F2  A write covers whole grains. Where it begins or ends within one that is not covered,
 *       the server reads that grain and puts it into the stream first. What the disk holds
 *       there is right but for writes that are not captured yet, and those follow in the
 *       stream. So one bit for each grain is exact, however odd the guest's writes are.
 *   F3  The guest's writes come first: the copy fills half of the ring. Where the guest's fill
 *       it all the time, the copy has its turn after SHARE bytes of them, or it would never
 *       end, and a write waits for that turn.
 *   F4  Where the other disk holds something of this guest already, the digests of its blocks
 *       (digest.h) are asked for, ahead of what is read here, and a block that is the same here
 *       stays out of the stream. Its grains count as covered all the same, and whether they were
 *       before is looked at when it would enter, as in F1: of a grain that is not covered the
 *       other disk had nothing from us, so it is there as its digest found it, and what is read
 *       here is all but for writes that are not captured yet. It may have had a discard: what
 *       that leaves is right.
 *   F5  No more than RATE bytes a second are read. The guest's writes never wait for that.
 */
#include "capture.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define GRAIN_LEAST 4096u
#define GRAIN_MOST (64u << 10)
/* Of the bits: with the least grain they are enough for 2 TiB, with the most for 32. */
#define BITS_BYTES_MOST ((uint64_t)64 << 20)
#define BLOCK_BYTES (256u << 10)
#define SHARE (4u * BLOCK_BYTES)

_Static_assert(BLOCK_BYTES % GRAIN_MOST == 0, "a block has whole grains");
_Static_assert(BLOCK_BYTES % TSR_DIGEST_BLOCK == 0, "and whole blocks of digests");
_Static_assert(TSR_DIGEST_BLOCK % GRAIN_MOST == 0, "as have those");
#define COMPARED_MOST (BLOCK_BYTES / TSR_DIGEST_BLOCK)
_Static_assert(TSR_COPY_WHY_MAX <= TSR_TEXT_MAX, "a sentence");

/* ---- grains -------------------------------------------------------------------------- */

static bool is_covered(const struct tsr_copy *copy, uint64_t grain)
{
    return copy->covered[grain / 8] >> (grain % 8) & 1;
}

static void cover(struct tsr_copy *copy, uint64_t first, uint64_t count)
{
    uint64_t i = first, end = first + count;

    while (i < end) {
        if (i % 8 == 0 && end - i >= 8) {
            memset(copy->covered + i / 8, 0xff, (end - i) / 8);
            i += (end - i) / 8 * 8;
        } else {
            copy->covered[i / 8] |= (uint8_t)(1u << (i % 8));
            i++;
        }
    }
}

/* Bytes from grain FIRST on, of COUNT grains; the last one of a disk may be shorter. */
static uint64_t bytes_of(const struct tsr_copy *copy, uint64_t first, uint64_t count)
{
    uint64_t from = first * copy->grain, bytes = count * copy->grain;

    return bytes < copy->size - from ? bytes : copy->size - from;
}

static bool is_zero(const uint8_t *bytes, uint64_t size)
{
    return !bytes[0] && !memcmp(bytes, bytes + 1, size - 1);
}

static int read_disk(struct tsr_capture *capture, uint8_t *out, uint64_t offset, uint64_t size)
{
    ssize_t r = pread(capture->plain, out, size, (off_t)offset);

    if (r == (ssize_t)size)
        return 0;
    return tsr_object_fail(capture, -EIO, "%s cannot be read for its first copy, at byte %llu: %s",
                           capture->settings.name, (unsigned long long)offset,
                           r < 0 ? strerror(errno) : "it ends there");
}

/* Puts a record and, where BYTES, its data behind the head and SKIP more; the new SKIP. */
static uint64_t put(struct tsr_capture *capture, uint64_t skip, uint64_t offset, uint64_t size,
                    const uint8_t *bytes)
{
    struct tsr_disk_record record = {
        .offset = offset,
        .length = (uint32_t)size,
        .flags = bytes ? 0 : TSR_DISK_ZEROES,
    };

    tsr_ring_put(&capture->ring, skip, &record, sizeof(record));
    skip += sizeof(record);
    if (!bytes)
        return skip;
    tsr_ring_put(&capture->ring, skip, bytes, size);
    return skip + size;
}

/* ---- beside the guest's writes ------------------------------------------------------- */

uint64_t tsr_copy_before_max(const struct tsr_copy *copy)
{
    return copy->size ? 2 * (copy->grain + sizeof(struct tsr_disk_record)) : 0;
}

/* F2, of one grain. */
static int put_edge(struct tsr_capture *capture, uint64_t grain, uint64_t *skip)
{
    struct tsr_copy *copy = &capture->copy;
    uint64_t size = bytes_of(copy, grain, 1);
    int rc = read_disk(capture, copy->edge, grain * copy->grain, size);

    if (rc < 0)
        return rc;
    *skip = put(capture, *skip, grain * copy->grain, size, copy->edge);
    cover(copy, grain, 1);
    return 0;
}

int tsr_copy_before(struct tsr_capture *capture, const struct tsr_disk_record *record)
{
    struct tsr_copy *copy = &capture->copy;
    uint64_t end = record->offset + record->length, first, last, skip = 0;
    int rc = 0;

    if (!copy->size || copy->ended || !record->length || record->flags & TSR_DISK_TRIM)
        return 0;
    first = record->offset / copy->grain;
    last = (end - 1) / copy->grain;
    if (record->offset % copy->grain && !is_covered(copy, first))
        rc = put_edge(capture, first, &skip);
    if (!rc && end % copy->grain && end < copy->size && !is_covered(copy, last))
        rc = put_edge(capture, last, &skip);
    if (rc < 0)
        return rc;
    cover(copy, first, last - first + 1);
    if (skip) {
        pthread_mutex_lock(&capture->lock);
        copy->edges += skip;
        pthread_mutex_unlock(&capture->lock);
    }
    return (int)skip;
}

bool tsr_copy_has_turn(const struct tsr_copy *copy)
{
    return copy->waits && copy->captured_since >= SHARE;
}

/* ---- the copying thread -------------------------------------------------------------- */

/* What is copied at once: grains, from one on that is not covered. */
struct block {
    uint64_t first, count;
    bool same[COMPARED_MOST];           /* of each block of digests in it: the other disk has it */
};

/* All grains of these bytes' blocks of digests, of which FIRST is one, up to MOST of them. */
static void to_compared(const struct tsr_copy *copy, struct block *block, uint64_t most)
{
    uint64_t grains = TSR_DIGEST_BLOCK / copy->grain, end;

    end = block->first - block->first % grains + most * grains;
    block->first -= block->first % grains;
    block->count = (end < copy->grains ? end : copy->grains) - block->first;
}

/* Finds the next grains that are not covered, at most of a block; false: there are none. */
static bool find_block(struct tsr_capture *capture, struct block *block)
{
    struct tsr_copy *copy = &capture->copy;
    uint64_t at = copy->at, count = 0, most = BLOCK_BYTES / copy->grain;

    pthread_mutex_lock(&capture->append_lock);
    /* By bytes: the guest may have cleared all of it. */
    while (at < copy->grains && is_covered(copy, at))
        at += at % 8 == 0 && copy->covered[at / 8] == 0xff ? 8 : 1;
    if (at > copy->grains)
        at = copy->grains;
    while (at + count < copy->grains && count < most && !is_covered(copy, at + count))
        count++;
    pthread_mutex_unlock(&capture->append_lock);
    *block = (struct block){ .first = at, .count = count };
    return count;
}

/* ---- the other disk: F4 ---------------------------------------------------------------- */

static uint64_t ask_count(const struct tsr_copy *copy, uint64_t first)
{
    uint64_t left = tsr_digest_blocks(copy->size) - first;

    return left < TSR_COPY_ASK ? left : TSR_COPY_ASK;
}

/* Asks ahead of block AT; under lock. What is to be sent: the event's b and c, c = 0: nothing. */
static void plan_question(struct tsr_copy *copy, uint64_t at, struct tsr_event *event)
{
    event->c = 0;
    /* What the guest has covered meanwhile need not be asked for. */
    if (copy->given == copy->asked && copy->asked < at)
        copy->given = copy->asked = at;
    event->b = copy->asked;
    if (copy->asked < tsr_digest_blocks(copy->size) &&
        copy->asked + TSR_COPY_ASK <= at + TSR_COPY_DIGESTS)
        event->c = ask_count(copy, copy->asked);
    copy->asked += event->c;
}

/* Waits for the digest of block AT. How many from it on are here; 0: nothing is compared; or
 * -ESHUTDOWN. */
static int await_digests(struct tsr_capture *capture, uint64_t at)
{
    struct tsr_copy *copy = &capture->copy;
    struct tsr_event event;
    int rc = 0;

    pthread_mutex_lock(&capture->lock);
    while (copy->compares) {
        plan_question(copy, at, &event);
        if (event.c) {
            pthread_mutex_unlock(&capture->lock);
            tsr_events_send(capture->events, TSR_EV_DISK_COMPARE, &event, NULL);
            pthread_mutex_lock(&capture->lock);
            continue;
        }
        if (capture->closing || capture->over || copy->given > at)
            break;
        pthread_cond_wait(&copy->turn, &capture->lock);
    }
    if (capture->closing || capture->over)
        rc = -ESHUTDOWN;
    else if (copy->compares)
        rc = copy->given - at < COMPARED_MOST ? (int)(copy->given - at) : (int)COMPARED_MOST;
    pthread_mutex_unlock(&capture->lock);
    return rc;
}

int tsr_copy_digests(struct tsr_capture *capture, uint64_t first, uint32_t count,
                     const uint8_t *digests)
{
    struct tsr_copy *copy = &capture->copy;
    bool fits, is_over;

    pthread_mutex_lock(&capture->lock);
    /* One answer says of all questions that nothing is compared. */
    is_over = !count && !copy->compares;
    fits = is_over || (first == copy->given && copy->given < copy->asked &&
                       (!count || count == ask_count(copy, first)));
    if (fits && !count)
        copy->compares = false;
    /* The copy may have ended before: the guest has covered what was asked for. */
    for (uint64_t i = 0; fits && copy->compares && i < count; i++)
        memcpy(copy->digests[(first + i) % TSR_COPY_DIGESTS], digests + i * TSR_DIGEST_SIZE,
               TSR_DIGEST_SIZE);
    if (fits)
        copy->given += count;
    pthread_cond_signal(&copy->turn);
    pthread_mutex_unlock(&capture->lock);
    return fits ? 0 : tsr_object_fail(capture, -EPROTO, "digests of %u blocks of %s from block "
                                      "%llu on were not asked for", count, capture->settings.name,
                                      (unsigned long long)first);
}

/* Notes of each block of digests in BLOCK, which was read, whether the other disk has it. */
static void compare(struct tsr_copy *copy, struct block *block)
{
    uint64_t grains = TSR_DIGEST_BLOCK / copy->grain, n;
    uint8_t digest[TSR_DIGEST_SIZE];

    for (uint64_t i = 0; i < block->count; i += n) {
        uint64_t number = (block->first + i) / grains;

        n = block->count - i < grains ? block->count - i : grains;
        tsr_digest(copy->block + i * copy->grain, bytes_of(copy, block->first + i, n), digest);
        /* Nobody changes one that is here before this thread asks for more. */
        block->same[i / grains] = !memcmp(digest, copy->digests[number % TSR_COPY_DIGESTS],
                                          TSR_DIGEST_SIZE);
    }
}

static bool is_same(const struct tsr_copy *copy, const struct block *block, uint64_t i)
{
    return block->same[i * copy->grain / TSR_DIGEST_BLOCK];
}

/* ---- turns ----------------------------------------------------------------------------- */

/* F5. Waits until BYTES more may be read; false: it is over. */
static bool await_pace(struct tsr_capture *capture, uint64_t bytes)
{
    struct tsr_copy *copy = &capture->copy;
    uint64_t now = tsr_now_ns();
    struct timespec until;
    bool goes_on;

    if (!copy->rate)
        return true;
    /* What was not read while something else was waited for is not made up for. */
    if (copy->paced_ns < now)
        copy->paced_ns = now;
    until.tv_sec = (time_t)(copy->paced_ns / 1000000000u);
    until.tv_nsec = (long)(copy->paced_ns % 1000000000u);
    pthread_mutex_lock(&capture->lock);
    while (!capture->closing && !capture->over && tsr_now_ns() < copy->paced_ns)
        pthread_cond_timedwait(&copy->turn, &capture->lock, &until);
    goes_on = !capture->closing && !capture->over;
    pthread_mutex_unlock(&capture->lock);
    copy->paced_ns += bytes * 1000000000u / copy->rate;
    return goes_on;
}

/* F3. Takes room for NEED bytes; false: it is over. */
static bool await_turn(struct tsr_capture *capture, uint64_t need)
{
    struct tsr_copy *copy = &capture->copy;
    const struct tsr_ring *ring = &capture->ring;
    bool goes_on;

    pthread_mutex_lock(&capture->lock);
    copy->waits = true;
    for (;;) {
        uint64_t taken = tsr_ring_used(ring) + capture->reserved;

        goes_on = !capture->closing && !capture->over;
        if (!goes_on || (taken + need <= ring->size &&
                         (taken + need <= ring->size / 2 || copy->captured_since >= SHARE)))
            break;
        pthread_cond_wait(&copy->turn, &capture->lock);
    }
    copy->waits = false;
    copy->captured_since = 0;
    capture->reserved += goes_on ? need : 0;
    pthread_cond_broadcast(&capture->room);
    pthread_mutex_unlock(&capture->lock);
    return goes_on;
}

/* Puts into the stream what of the block is still not covered: F1, F4. */
static void admit(struct tsr_capture *capture, const struct block *block, uint64_t need)
{
    struct tsr_copy *copy = &capture->copy;
    uint64_t first = block->first, count = block->count, i, n, skip = 0, equal = 0;

    pthread_mutex_lock(&capture->append_lock);
    for (i = 0; i < count; i += n) {
        const uint8_t *bytes = copy->block + i * copy->grain;
        bool zero;

        n = 1;
        if (is_covered(copy, first + i))
            continue;
        if (is_same(copy, block, i)) {
            equal += bytes_of(copy, first + i, 1);
            continue;
        }
        zero = is_zero(bytes, bytes_of(copy, first + i, 1));
        while (i + n < count && !is_covered(copy, first + i + n) && !is_same(copy, block, i + n) &&
               is_zero(bytes + n * copy->grain, bytes_of(copy, first + i + n, 1)) == zero)
            n++;
        skip = put(capture, skip, (first + i) * copy->grain, bytes_of(copy, first + i, n),
                   zero ? NULL : bytes);
    }
    cover(copy, first, count);
    pthread_mutex_lock(&capture->lock);
    copy->at = first + count;
    copy->equal += equal;
    pthread_mutex_unlock(&capture->lock);
    tsr_capture_publish(capture, skip, need, NULL);
    pthread_mutex_unlock(&capture->append_lock);
}

/* Room for the block; at worst each grain is a record of its own. */
static uint64_t need_of(const struct tsr_copy *copy, const struct block *block)
{
    uint64_t need = 0;

    for (uint64_t i = 0; i < block->count; i++)
        if (!is_same(copy, block, i))
            need += bytes_of(copy, block->first + i, 1) + sizeof(struct tsr_disk_record);
    return need;
}

static int copy_block(struct tsr_capture *capture, struct block *block)
{
    struct tsr_copy *copy = &capture->copy;
    int compared = await_digests(capture, block->first * copy->grain / TSR_DIGEST_BLOCK), rc;
    uint64_t bytes, need;

    if (compared < 0)
        return compared;
    if (compared)
        to_compared(copy, block, (uint64_t)compared);
    bytes = bytes_of(copy, block->first, block->count);
    if (!await_pace(capture, bytes))
        return -ESHUTDOWN;
    rc = read_disk(capture, copy->block, block->first * copy->grain, bytes);
    if (rc < 0)
        return rc;
    if (compared)
        compare(copy, block);
    need = need_of(copy, block);
    if (need && !await_turn(capture, need))
        return -ESHUTDOWN;
    admit(capture, block, need);
    return 0;
}

static int copy_all(struct tsr_capture *capture)
{
    struct block block;

    while (find_block(capture, &block)) {
        int rc = copy_block(capture, &block);

        if (rc < 0)
            return rc;
    }
    return 0;
}

static void free_memory(struct tsr_copy *copy)
{
    if (copy->covered)
        tsr_unmap(copy->covered, copy->covered_bytes);
    free(copy->edge);
    free(copy->block);
    free(copy->digests);
    copy->covered = copy->edge = copy->block = NULL;
    copy->digests = NULL;
}

static void *run_copy(void *argument)
{
    struct tsr_capture *capture = argument;
    struct tsr_copy *copy = &capture->copy;
    struct tsr_event event = { .b = copy->size };
    int rc = copy_all(capture);

    if (rc == -ESHUTDOWN)
        return NULL;
    if (rc < 0) {
        pthread_mutex_lock(&capture->lock);
        copy->failed = rc;
        tsr_error_text(-1, copy->why, sizeof(copy->why));
        pthread_mutex_unlock(&capture->lock);
        /* The server sees it, and gives the leg up. */
        shutdown(capture->sock, SHUT_RDWR);
        return NULL;
    }
    pthread_mutex_lock(&capture->append_lock);
    pthread_mutex_lock(&capture->lock);
    copy->ended = true;
    copy->compares = false;
    copy->at = copy->grains;
    pthread_mutex_unlock(&capture->lock);
    free_memory(copy);
    pthread_mutex_unlock(&capture->append_lock);
    tsr_events_send(capture->events, TSR_EV_DISK_COPIED, &event, NULL);
    return NULL;
}

/* ---- start and end ------------------------------------------------------------------- */

int tsr_copy_open(struct tsr_copy *copy, const struct tsr_capture_settings *settings)
{
    void *edge = NULL, *block = NULL;
    uint64_t size = settings->size;

    copy->rate = settings->copy_rate;
    copy->compares = settings->first_copy == TSR_COPY_COMPARED;
    copy->size = size;
    copy->grain = GRAIN_LEAST;
    while (copy->grain < GRAIN_MOST && size / copy->grain / 8 >= BITS_BYTES_MOST)
        copy->grain *= 2;
    copy->grains = (size + copy->grain - 1) / copy->grain;
    copy->covered_bytes = copy->grains / 8 + 1;
    if (copy->covered_bytes > BITS_BYTES_MOST + 1)
        return tsr_fail(-EFBIG, "a disk of %llu bytes is larger than a first copy can be",
                        (unsigned long long)size);
    copy->covered = tsr_map(copy->covered_bytes);
    copy->digests = copy->compares ? malloc(TSR_COPY_DIGESTS * TSR_DIGEST_SIZE) : NULL;
    if (!copy->covered || (copy->compares && !copy->digests) ||
        posix_memalign(&edge, 4096, copy->grain) || posix_memalign(&block, 4096, BLOCK_BYTES)) {
        free(edge);
        return tsr_fail(-ENOMEM, "no memory for the first copy of a disk");
    }
    copy->edge = edge;
    copy->block = block;
    /* As the ring: where it is not allowed, a write may wait for memory. */
    (void)!mlock(copy->covered, copy->covered_bytes);
    return 0;
}

void tsr_copy_close(struct tsr_copy *copy)
{
    free_memory(copy);
}

int tsr_copy_start(struct tsr_capture *capture)
{
    struct tsr_copy *copy = &capture->copy;
    int rc;

    if (!copy->size || copy->started)
        return tsr_object_fail(capture, -EINVAL, "the first copy of %s %s", capture->settings.name,
                               copy->size ? "was begun already" : "is not wanted");
    rc = tsr_capture_thread(&copy->thread, run_copy, capture);
    copy->started = !rc;
    return rc;
}

void tsr_copy_join(struct tsr_copy *copy)
{
    if (copy->started)
        pthread_join(copy->thread, NULL);
    copy->started = false;
}
