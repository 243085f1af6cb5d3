/*
 * The page encoding under the sanitizers: round trips with every kind of cut and
 * cache, and batches that no encoder makes.
 */
#include "test.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "../codec/internal.h"
#include "../xen/stream.h"
#include "../xen/xen.h"

static uint64_t random_state = 1;

static uint32_t random_below(uint32_t n)
{
    random_state = random_state * UINT64_C(6364136223846793005) + 1;
    return (uint32_t)(random_state >> 33) % n;
}

/* PAGE_DATA of COUNT pages below PFNS, each one of a few, a few words changed. */
static void put_random_pages(struct bytes *bytes, uint32_t count, uint32_t pfns)
{
    uint32_t header[2] = { XC_REC_PAGE_DATA, 8 + count * (8 + TSR_PAGE_SIZE) };
    uint32_t head[2] = { count, 0 }, i, j, changes;

    bytes_add(bytes, header, sizeof(header));
    bytes_add(bytes, head, sizeof(head));
    for (i = 0; i < count; i++) {
        /* Now and then a page table of a PV guest. */
        uint64_t pfn = random_below(pfns) |
                       (uint64_t)(random_below(8) ? 0 : 4) << 60;

        bytes_add(bytes, &pfn, 8);
    }
    for (i = 0; i < count; i++) {
        uint8_t page[TSR_PAGE_SIZE];

        memset(page, (int)random_below(3), sizeof(page));
        changes = random_below(3) ? random_below(6) : random_below(900);
        for (j = 0; j < changes; j++)
            page[random_below(TSR_PAGE_SIZE)] = (uint8_t)random_below(256);
        bytes_add(bytes, page, sizeof(page));
    }
}

static void make_random_stream(struct bytes *bytes, int epochs, uint32_t pages,
                               uint32_t pfns)
{
    put_start(bytes, HVM);
    for (int i = 0; i < epochs; i++) {
        for (uint32_t left = pages; left; left -= left < 7 ? left : 7)
            put_random_pages(bytes, left < 7 ? left : 7, pfns);
        put_state(bytes, HVM);
        put_libxl(bytes, HVM, 100);
    }
}

struct pair {
    int encoder, decoder;
    uint64_t ticket;
    uint8_t wire[TSR_BATCH_HEADER + TSR_BATCH_ENCODED_MAX(TSR_BATCH_RAW_MAX)];
    uint8_t raw[TSR_BATCH_RAW_MAX];
};

/* Beside the flags of tsr_codec_new: without a format. */
#define PLAIN 0x100u

static void open_pair(struct pair *pair, uint32_t flags, uint64_t cache)
{
    int stream = flags == PLAIN ? -1 : tsr_stream_new();

    pair->encoder = tsr_codec_new(stream, flags & TSR_CODEC_ZSTD, cache, 1);
    pair->decoder = tsr_codec_new(stream, TSR_CODEC_DECODE, cache, 0);
    CHECK(stream == -1 || tsr_stream_free(stream) == 0);
    pair->ticket = 0;
    CHECK(pair->encoder >= 0 && pair->decoder >= 0);
}

static void close_pair(struct pair *pair)
{
    CHECK(tsr_codec_free(pair->encoder) == 0);
    CHECK(tsr_codec_free(pair->decoder) == 0);
    CHECK(tsr_codec_free(pair->decoder) == -EBADF);
}

/* Buffers of exactly the size, so that the sanitizer sees one byte too many. */
static void through(struct pair *pair, const uint8_t *data, size_t size)
{
    size_t capacity = TSR_BATCH_HEADER + TSR_BATCH_ENCODED_MAX(size);
    uint8_t *in = malloc(size), *wire = malloc(capacity), *raw = malloc(size);
    uint8_t *exact;
    int n;

    memcpy(in, data, size);
    n = tsr_codec_run(pair->encoder, pair->ticket, in, size, wire, capacity);
    CHECK(n > TSR_BATCH_HEADER && (size_t)n <= capacity);
    exact = malloc((size_t)n);
    memcpy(exact, wire, (size_t)n);
    CHECK(tsr_batch_check(exact, (size_t)n) == 0);
    CHECK(tsr_codec_run(pair->decoder, pair->ticket++, exact, (size_t)n, raw,
                        size) == (int)size);
    CHECK(!memcmp(raw, data, size));
    free(in);
    free(wire);
    free(raw);
    free(exact);
}

static struct tsr_codec_digest same_digest(struct pair *pair)
{
    struct tsr_codec_digest ours, theirs;

    CHECK(tsr_codec_end(pair->encoder, &ours) == 0);
    CHECK(tsr_codec_end(pair->decoder, &theirs) == 0);
    CHECK(ours.raw_bytes == theirs.raw_bytes);
    CHECK(ours.checksum == theirs.checksum);
    CHECK(ours.cache_state == theirs.cache_state);
    CHECK(ours.pages_delta == theirs.pages_delta);
    CHECK(ours.evictions == theirs.evictions);
    return ours;
}

TEST(codec_hash_is_that_of_the_specification)
{
    static const uint8_t text[] = "Call me Ishmael. Some years ago--never mind "
                                  "how long precisely-";

    CHECK(tsr_hash(text, 0, 0) == UINT64_C(0xef46db3751d8e999));
    CHECK(tsr_hash((const uint8_t *)"a", 1, 0) == UINT64_C(0xd24ec4f1a98c6e5b));
    CHECK(tsr_hash((const uint8_t *)"abc", 3, 0) ==
          UINT64_C(0x44bc2cf5ad770999));
    CHECK(tsr_hash(text, 63, 0) == UINT64_C(0x02a2e85470d6fd96));
}

TEST_FOR(codec_round_trip_with_any_cut_and_cache, 1200)
{
    static struct pair pair;
    static const uint64_t caches[] = { 0, 4200, 3 * 4300, 20 * 4300, 1 << 20 };
    static const uint32_t flags[] = { 0, TSR_CODEC_ZSTD, PLAIN };
    struct tsr_codec_digest digest;

    for (unsigned round = 0; round < 90; round++) {
        uint32_t flag = flags[round % 3], widest = 1 + random_below(20000);
        struct bytes bytes = { 0 };
        size_t at, n;

        if (flag == TSR_CODEC_ZSTD && !tsr_codec_has_zstd())
            flag = 0;
        make_random_stream(&bytes, 3, 12, 24);
        open_pair(&pair, flag, caches[round / 3 % 5]);
        for (at = 0; at < bytes.size; at += n) {
            n = 1 + random_below(widest);
            /* Often at a word, so that pieces of pages can be deltas. */
            if (random_below(3) && n > 8)
                n &= ~(size_t)7;
            n = bytes.size - at < n ? bytes.size - at : n;
            through(&pair, bytes.data + at, n);
        }
        digest = same_digest(&pair);
        CHECK(digest.raw_bytes == bytes.size);
        CHECK(flag == PLAIN || digest.pages_copy);
        close_pair(&pair);
        bytes_free(&bytes);
    }
}

TEST(codec_sends_little_for_little)
{
    static struct pair pair;
    struct tsr_codec_digest digest;
    struct bytes start = { 0 }, epoch = { 0 };
    size_t first, at, n;

    open_pair(&pair, 0, 8 << 20);
    put_start(&start, HVM);
    through(&pair, start.data, start.size);
    put_pages(&epoch, 16, 200, 0x55);
    first = epoch.size - (size_t)200 * TSR_PAGE_SIZE;
    put_state(&epoch, HVM);
    put_libxl(&epoch, HVM, 0);
    through(&pair, epoch.data, epoch.size);
    digest = same_digest(&pair);
    CHECK(digest.pages_copy == 200 && digest.cached_pages == 200);

    /* One page has one other word, one has half of them other, the rest none. */
    epoch.data[first + 5 * TSR_PAGE_SIZE + 800] ^= 1;
    for (size_t i = 0; i < 300; i++)
        epoch.data[first + 9 * TSR_PAGE_SIZE + 8 * i] ^= 1;
    through(&pair, epoch.data, epoch.size);
    digest = same_digest(&pair);
    CHECK(digest.pages_same == 198);
    CHECK(digest.pages_delta == 1 && digest.pages_copy == 1);
    CHECK(digest.encoded_bytes < 4096 + 200 * 9 + 4096);

    through(&pair, epoch.data, epoch.size);
    digest = same_digest(&pair);
    CHECK(digest.pages_same == 200);

    /* Cut within pages, and whole again. */
    for (at = 0; at < epoch.size; at += n) {
        n = epoch.size - at < 10008 ? epoch.size - at : 10008;
        through(&pair, epoch.data + at, n);
    }
    digest = same_digest(&pair);
    CHECK(digest.pages_same == 200);
    through(&pair, epoch.data, epoch.size);
    digest = same_digest(&pair);
    CHECK(digest.pages_same == 200);
    close_pair(&pair);
    bytes_free(&start);
    bytes_free(&epoch);
}

/* The checksum of BYTES, which go through in two batches. */
static uint64_t checksum_of(const struct bytes *bytes, uint32_t flags)
{
    static struct pair pair;
    struct tsr_codec_digest digest;
    size_t half = bytes->size / 2;

    open_pair(&pair, flags, 1 << 20);
    through(&pair, bytes->data, half);
    through(&pair, bytes->data + half, bytes->size - half);
    digest = same_digest(&pair);
    close_pair(&pair);
    return digest.checksum;
}

TEST(codec_checksum_sees_every_byte_and_their_order)
{
    static const uint32_t flags[] = { 0, PLAIN };

    for (unsigned i = 0; i < 2; i++) {
        struct bytes bytes = { 0 };
        size_t body, page = TSR_PAGE_SIZE;
        uint64_t before;

        put_start(&bytes, HVM);
        put_pages(&bytes, 16, 6, 0);
        body = bytes.size - 6 * page;
        memset(bytes.data + body + page, 7, 100);
        put_epoch(&bytes, HVM, 6);
        before = checksum_of(&bytes, flags[i]);
        CHECK(checksum_of(&bytes, flags[i]) == before);
        /* Within the page bodies nothing else would notice. */
        for (unsigned j = 0; j < 40; j++) {
            size_t at = body + random_below((uint32_t)(6 * page));

            bytes.data[at] ^= 1;
            CHECK(checksum_of(&bytes, flags[i]) != before);
            bytes.data[at] ^= 1;
        }
        memset(bytes.data + body + page, 0, 100);
        memset(bytes.data + body + 2 * page, 7, 100);
        CHECK(checksum_of(&bytes, flags[i]) != before);
        bytes_free(&bytes);
    }
}

TEST(codec_delta_of_long_stretches)
{
    static uint8_t page[TSR_PAGE_SIZE], copy[TSR_PAGE_SIZE];
    static uint8_t other[TSR_PAGE_SIZE], data[TSR_PAGE_SIZE];
    static const unsigned cases[][2] = { { 0, 256 }, { 256, 256 }, { 255, 1 },
                                         { 511, 1 }, { 0, 1 }, { 300, 200 } };
    uint8_t runs[2 * TSR_DELTA_RUNS_MAX];
    uint64_t map[TSR_WORDS / 64];
    size_t written, taken;
    unsigned count;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        memset(copy, 1, sizeof(copy));
        memset(other, 1, sizeof(other));
        memset(page, 1, sizeof(page));
        memset(page + 8 * cases[i][0], 2, 8 * cases[i][1]);
        CHECK(tsr_delta_find(page, copy, TSR_WORDS, map) == cases[i][1]);
        count = tsr_delta_write(page, copy, TSR_WORDS, map, runs, data,
                                &written);
        CHECK(count && written == 8 * cases[i][1]);
        CHECK(!memcmp(page, copy, sizeof(page)));
        CHECK(!tsr_delta_apply(other, TSR_WORDS, runs, count, data, written,
                               &taken));
        CHECK(taken == written && !memcmp(page, other, sizeof(page)));
        CHECK(tsr_delta_apply(other, TSR_WORDS, runs, count, data, written - 1,
                              &taken) != NULL);
        CHECK(tsr_delta_apply(other, cases[i][0], runs, count, data, written,
                              &taken) != NULL);
    }
    /* Every other word: more runs than there may be. */
    memcpy(copy, page, sizeof(copy));
    for (size_t i = 0; i < TSR_PAGE_SIZE; i += 16)
        page[i] ^= 1;
    CHECK(tsr_delta_find(page, copy, TSR_WORDS, map) == 256);
    CHECK(!tsr_delta_write(page, copy, TSR_WORDS, map, runs, data, &written));
    CHECK(written == 0);
}

/* Against a plain list: what is in the cache, and where. */
TEST(codec_cache_holds_what_it_says)
{
    enum { SLOTS = 40, PFNS = 90 };
    struct tsr_cache cache;
    uint32_t where[PFNS], slot, held;

    CHECK(tsr_cache_init(&cache, SLOTS * 4200) == 0);
    CHECK(cache.slots >= 38 && cache.size <= SLOTS * 4200);
    for (unsigned i = 0; i < PFNS; i++)
        where[i] = TSR_NO_SLOT;
    for (unsigned round = 0; round < 20000; round++) {
        uint32_t i = random_below(PFNS);

        slot = tsr_cache_find(&cache, i * UINT64_C(0x10001));
        CHECK(slot == where[i]);
        if (slot != TSR_NO_SLOT)
            continue;
        slot = tsr_cache_take(&cache, i * UINT64_C(0x10001));
        if (slot == TSR_NO_SLOT)
            continue;
        CHECK(slot < cache.slots);
        for (unsigned j = 0; j < PFNS; j++)
            if (where[j] == slot)
                where[j] = TSR_NO_SLOT;
        where[i] = slot;
    }
    held = 0;
    for (unsigned i = 0; i < PFNS; i++)
        held += where[i] != TSR_NO_SLOT;
    CHECK(held == cache.slots && cache.evictions);
    tsr_cache_dispose(&cache);
    CHECK(tsr_cache_init(&cache, 100) == 0 && !cache.slots);
    CHECK(tsr_cache_init(&cache, TSR_CACHE_BYTES_MAX + 1) == -EINVAL);
}

/* A page that is found stays; those that come once go. */
TEST(codec_cache_keeps_what_is_used)
{
    struct tsr_cache cache;

    CHECK(tsr_cache_init(&cache, 10 * 4200) == 0);
    tsr_cache_take(&cache, 1);
    for (uint64_t pfn = 100; pfn < 400; pfn++) {
        CHECK(tsr_cache_find(&cache, 1) != TSR_NO_SLOT);
        tsr_cache_take(&cache, pfn);
    }
    CHECK(tsr_cache_find(&cache, 100) == TSR_NO_SLOT);
    tsr_cache_dispose(&cache);
}

static unsigned found_in_pass(struct tsr_cache *cache, uint64_t from,
                              uint64_t count)
{
    unsigned found = 0;

    for (uint64_t pfn = from; pfn < from + count; pfn++) {
        if (tsr_cache_find(cache, pfn) != TSR_NO_SLOT)
            found++;
        else
            tsr_cache_take(cache, pfn);
    }
    return found;
}

/* Going through twice as much as fits, again and again, still finds a third. */
TEST(codec_cache_outlives_a_long_pass)
{
    struct tsr_cache cache;
    unsigned found = 0;

    CHECK(tsr_cache_init(&cache, 100 * 4200) == 0);
    for (int pass = 0; pass < 20; pass++)
        found = found_in_pass(&cache, 0, 200);
    CHECK(found > 66);
    /* But other memory that is in use now moves in within a few passes. */
    for (int pass = 0; pass < 4; pass++)
        found_in_pass(&cache, 1000, 40);
    CHECK(found_in_pass(&cache, 1000, 40) == 40);
    tsr_cache_dispose(&cache);
}

/* A faulty batch whose checksums are right reaches the innermost code. */
TEST_FOR(codec_survives_batches_that_nobody_makes, 1200)
{
    static struct pair pair;
    struct bytes bytes = { 0 };
    uint8_t *exact, *raw;
    unsigned refused = 0;

    make_random_stream(&bytes, 2, 20, 12);
    for (unsigned round = 0; round < 1500; round++) {
        size_t n = 1 + random_below((uint32_t)bytes.size - 1), to;
        int size, rc;

        open_pair(&pair, 0, 20 * 4300);
        through(&pair, bytes.data, n);
        size = tsr_codec_run(pair.encoder, 1, bytes.data + n, bytes.size - n,
                             pair.wire, sizeof(pair.wire));
        CHECK(size > 0);
        for (uint32_t i = 1 + random_below(4); i; i--) {
            /* Mostly among the operations, which are at the end. */
            to = random_below(random_below(3) ? 60 : (uint32_t)size);
            to = (size_t)size - 1 - to % (size_t)size;
            pair.wire[to] ^= (uint8_t)(1 << random_below(8));
        }
        exact = malloc((size_t)size);
        memcpy(exact, pair.wire, (size_t)size);
        CHECK(tsr_batch_seal(exact, (size_t)size) == 0);
        raw = malloc(bytes.size - n);
        rc = tsr_codec_run(pair.decoder, 1, exact, (size_t)size, raw,
                           bytes.size - n);
        free(raw);
        CHECK(rc > 0 || rc == -EPROTO);
        refused += rc == -EPROTO;
        if (rc < 0)
            CHECK(tsr_codec_run(pair.decoder, 2, exact, (size_t)size, pair.raw,
                                sizeof(pair.raw)) == -EPROTO);
        free(exact);
        close_pair(&pair);
    }
    CHECK(refused > 300);
    bytes_free(&bytes);
}

static struct pair shared_pair;
static struct bytes shared_bytes;
static size_t shared_total;

static void *encode_one(void *argument)
{
    size_t ticket = (size_t)argument, step = shared_bytes.size / 16 + 1;
    size_t at = ticket * step;
    size_t n = shared_bytes.size - at < step ? shared_bytes.size - at : step;
    size_t capacity = TSR_BATCH_HEADER + TSR_BATCH_ENCODED_MAX(n);
    uint8_t *out = malloc(capacity), *back = malloc(n);
    int size;

    size = tsr_codec_run(shared_pair.encoder, ticket, shared_bytes.data + at, n,
                         out, capacity);
    CHECK(size > 0);
    CHECK(tsr_codec_run(shared_pair.decoder, ticket, out, (size_t)size, back,
                        n) == (int)n);
    CHECK(!memcmp(back, shared_bytes.data + at, n));
    __atomic_add_fetch(&shared_total, n, __ATOMIC_SEQ_CST);
    free(out);
    free(back);
    return NULL;
}

TEST(codec_calls_on_many_threads_take_their_turn)
{
    pthread_t threads[16];

    make_random_stream(&shared_bytes, 2, 60, 40);
    open_pair(&shared_pair, tsr_codec_has_zstd() ? TSR_CODEC_ZSTD : 0, 1 << 20);
    for (size_t i = 16; i-- > 0;)
        CHECK(!pthread_create(&threads[i], NULL, encode_one, (void *)i));
    for (size_t i = 0; i < 16; i++)
        CHECK(!pthread_join(threads[i], NULL));
    CHECK(shared_total == shared_bytes.size);
    same_digest(&shared_pair);
    close_pair(&shared_pair);
    bytes_free(&shared_bytes);
}

static void *wait_for_turn(void *argument)
{
    struct pair *pair = argument;
    uint8_t in[8] = { 0 };

    CHECK(tsr_codec_run(pair->encoder, 5, in, sizeof(in), pair->wire,
                        sizeof(pair->wire)) == -ESHUTDOWN);
    return NULL;
}

static int holders_of(int handle)
{
    struct tsr_object *object = tsr_handle_peek(handle);
    int refs = __atomic_load_n(&object->refs, __ATOMIC_SEQ_CST);

    tsr_handle_put(object);
    return refs;
}

TEST(codec_free_ends_calls_that_wait)
{
    static struct pair pair;
    pthread_t thread;

    open_pair(&pair, 0, 0);
    CHECK(!pthread_create(&thread, NULL, wait_for_turn, &pair));
    /* The table's, ours, and that of the call. */
    while (holders_of(pair.encoder) < 3)
        sched_yield();
    CHECK(tsr_codec_free(pair.encoder) == 0);
    CHECK(!pthread_join(thread, NULL));
    CHECK(tsr_codec_free(pair.decoder) == 0);
}

/* Proves: bytes that are no stream of a hypervisor's come back as they were, in batches of
 * their own kinds, and none of a page is taken for them. */
TEST(codec_takes_any_bytes)
{
    static const uint32_t sizes[] = { 1, 16, 4096, 100000, TSR_BATCH_RAW_MAX };
    uint32_t flags = tsr_codec_has_zstd() ? TSR_CODEC_ZSTD : 0;
    int encoder = tsr_codec_new(TSR_CODEC_BYTES, flags, 0, 1);
    int decoder = tsr_codec_new(TSR_CODEC_BYTES, TSR_CODEC_DECODE, 0, 1);
    uint8_t *raw = malloc(TSR_BATCH_RAW_MAX), *back = malloc(TSR_BATCH_RAW_MAX);
    size_t room = TSR_BATCH_HEADER + TSR_BATCH_ENCODED_MAX(TSR_BATCH_RAW_MAX);
    uint8_t *batch = malloc(room);
    struct tsr_codec_digest here, there;
    int n = 0;

    CHECK(encoder >= 0 && decoder >= 0);
    for (uint32_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        for (uint32_t at = 0; at < sizes[i]; at++)
            raw[at] = i % 2 ? 0 : (uint8_t)random_below(256);
        n = tsr_codec_run(encoder, i, raw, sizes[i], batch, room);
        CHECK(n > 0 && batch[5] != TSR_BATCH_PLAIN);
        CHECK(tsr_codec_run(decoder, i, batch, (size_t)n, back, TSR_BATCH_RAW_MAX) ==
              (int)sizes[i]);
        CHECK(!memcmp(raw, back, sizes[i]));
    }
    CHECK(tsr_codec_end(encoder, &here) == 0 && tsr_codec_end(decoder, &there) == 0);
    CHECK(here.checksum == there.checksum && here.raw_bytes == there.raw_bytes);
    CHECK(!here.cache_state && !there.cache_state && !here.pages_copy);
    /* An epoch in which nothing was written. */
    CHECK(tsr_codec_end(encoder, &here) == 0 && tsr_codec_end(decoder, &there) == 0);
    CHECK(!here.raw_bytes && here.checksum == there.checksum);
    /* What comes out of its turn is refused. */
    CHECK(tsr_codec_run(decoder, 5, batch, (size_t)n, back, TSR_BATCH_RAW_MAX) == -EPROTO);
    tsr_codec_free(encoder);
    tsr_codec_free(decoder);
    free(raw);
    free(back);
    free(batch);
}
