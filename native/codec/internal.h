/*
 * The page encoding (internal interface). What a batch holds is described in
 * codec.h; this is who does what:
 *
 *   hash.c    XXH64, and the chains of hashes that prove both sides equal
 *   cache.c   the copies last sent, by page number
 *   delta.c   what differs between a page and its copy
 *   ops.c     writes and reads the two parts of an encoded batch
 *   bytes.c   the format of what has no pages
 *   pages.c   what both sides know of the stream; encoding, decoding
 *   zstd.c    libzstd, opened at run time
 *   batch.c   the header of a batch
 *   api.c     handles, order, threads
 */
#ifndef TSR_CODEC_INTERNAL_H
#define TSR_CODEC_INTERNAL_H

#include "../common/common.h"
#include "codec.h"

/* ---- hash.c ------------------------------------------------------- */

/* XXH64 as its specification (doc/xxhash_spec.md of xxHash) defines it. */
uint64_t tsr_hash(const uint8_t *data, size_t size, uint64_t seed);
/* CHAIN with VALUE behind what it holds; the order counts. */
uint64_t tsr_chain(uint64_t chain, uint64_t value);

/* ---- cache.c ------------------------------------------------------ */

#define TSR_NO_SLOT UINT32_MAX
#define TSR_CACHE_BYTES_MAX (UINT64_C(1) << 40)

/* A page that found no room, and how many had come before it. */
struct tsr_refused {
    uint32_t tag;                       /* of its number */
    uint32_t when;
};

struct tsr_cache {
    uint32_t slots;                     /* 0: no cache */
    uint32_t used, hand;
    uint32_t misses, strangers;         /* since it was full */
    uint32_t mask;                      /* entries of index - 1 */
    uint64_t evictions;
    uint8_t *base;                      /* the mapping that holds all below */
    size_t size;
    uint8_t *pages;
    uint64_t *pfns;
    uint64_t *hashes;                   /* of the whole page; 0: not known */
    uint32_t *index;                    /* slot + 1, open addressing */
    struct tsr_refused *refused;        /* by page number, the last of each place */
    uint8_t *seen;                      /* found since the hand came by */
};

/* At most BYTES for all of it. -EINVAL: more than TSR_CACHE_BYTES_MAX. */
int tsr_cache_init(struct tsr_cache *cache, uint64_t bytes);
void tsr_cache_dispose(struct tsr_cache *cache);
/* The slot of PFN, which now counts as used lately; or TSR_NO_SLOT. */
uint32_t tsr_cache_find(struct tsr_cache *cache, uint64_t pfn);
/* A slot for PFN, which must not have one. TSR_NO_SLOT: it is not to be kept. */
uint32_t tsr_cache_take(struct tsr_cache *cache, uint64_t pfn);
static inline uint8_t *tsr_cache_page(const struct tsr_cache *cache,
                                      uint32_t slot)
{
    return cache->pages + (size_t)slot * TSR_PAGE_SIZE;
}

/* ---- delta.c ------------------------------------------------------ */

#define TSR_WORDS (TSR_PAGE_SIZE / 8)
/* More changed words than this are not worth a delta. */
#define TSR_DELTA_WORDS_MAX 256u
#define TSR_DELTA_RUNS_MAX 255u

/* true: all N bytes are zero. */
bool tsr_is_zero(const uint8_t *data, size_t n);
/*
 * Notes in MAP which of WORDS words differ; returns how many. Gives up past
 * TSR_DELTA_WORDS_MAX and returns a number beyond it.
 */
unsigned tsr_delta_find(const uint8_t *page, const uint8_t *copy,
                        unsigned words, uint64_t map[TSR_WORDS / 64]);
/*
 * Writes the runs of MAP to RUNS (pairs of bytes: words to pass over, words that
 * follow) and the XOR of their words to DATA, and brings COPY up to date. Returns
 * the number of runs; 0: there are more than TSR_DELTA_RUNS_MAX, nothing was done.
 */
unsigned tsr_delta_write(const uint8_t *page, uint8_t *copy, unsigned words,
                         const uint64_t map[TSR_WORDS / 64], uint8_t *runs,
                         uint8_t *data, size_t *data_out);
/*
 * Applies RUN_COUNT runs to COPY of WORDS words. Takes at most DATA_SIZE bytes of
 * DATA, *DATA_OUT says how many. NULL, or what is wrong.
 */
const char *tsr_delta_apply(uint8_t *copy, unsigned words, const uint8_t *runs,
                            unsigned run_count, const uint8_t *data,
                            size_t data_size, size_t *data_out);

/* ---- ops.c -------------------------------------------------------- */

enum tsr_op {
    TSR_OP_BYTES = 1,                   /* u32 count: bytes that are no page's */
    TSR_OP_SAME,                        /* the page as it is in the cache */
    TSR_OP_ZERO,
    TSR_OP_DELTA,                       /* u8 count of runs, the runs */
    TSR_OP_COPY,                        /* the page's bytes */
};

/* The most that the operations of one batch take. */
#define TSR_OPS_MAX \
    ((TSR_BATCH_RAW_MAX / TSR_PAGE_SIZE + 2) * (2 + 2 * TSR_DELTA_RUNS_MAX + 5))

struct tsr_ops_writer {
    uint8_t *data;
    size_t data_size;
    uint8_t *ops;                       /* TSR_OPS_MAX bytes */
    size_t ops_size;
};

/* Puts the operations behind the data; the size of both together. */
size_t tsr_ops_finish(struct tsr_ops_writer *writer);

struct tsr_ops_reader {
    const uint8_t *data, *data_end;
    const uint8_t *op, *ops_end;
};

/* NULL, or what is wrong. */
const char *tsr_ops_open(struct tsr_ops_reader *reader, const uint8_t *encoded,
                         size_t size);
/* The next N bytes of data, or NULL. */
const uint8_t *tsr_ops_data(struct tsr_ops_reader *reader, size_t n);
/* The next N bytes of operations, or NULL. */
const uint8_t *tsr_ops_take(struct tsr_ops_reader *reader, size_t n);

/* ---- pages.c ------------------------------------------------------ */

/* What both sides know of the stream, and must know alike. */
struct tsr_pages {
    const struct tsr_format_ops *format;    /* NULL: plain */
    void *walk;                         /* where in the stream both are */
    struct tsr_cache cache;
    struct tsr_codec_digest digest;     /* of the epoch under way */
    uint64_t zero_hash;                 /* of a page of zeroes */
};

/* FORMAT NULL: no pages are looked for, no cache. */
int tsr_pages_init(struct tsr_pages *pages, const struct tsr_format_ops *format,
                   uint64_t cache_bytes);
void tsr_pages_dispose(struct tsr_pages *pages);
/* The digest of the epoch that ends here. */
void tsr_pages_end(struct tsr_pages *pages, struct tsr_codec_digest *out);
/*
 * Encodes SIZE bytes into OUT of TSR_BATCH_ENCODED_MAX(SIZE); OPS is scratch of
 * TSR_OPS_MAX bytes. -EPROTO if RAW is no such stream: the format has the text.
 */
int tsr_pages_encode(struct tsr_pages *pages, const uint8_t *raw, size_t size,
                     uint8_t *ops, uint8_t *out, size_t *out_size);
/*
 * Decodes into exactly RAW_SIZE bytes at RAW. NULL, or what is wrong. A plain batch
 * has as many bytes as it makes (batch.c).
 */
const char *tsr_pages_decode(struct tsr_pages *pages, const uint8_t *encoded,
                             size_t size, uint8_t *raw, size_t raw_size);

/* ---- bytes.c ------------------------------------------------------ */

extern const struct tsr_format_ops tsr_bytes_format;

/* ---- zstd.c ------------------------------------------------------- */

/* One thread's state; zeroed at first. */
struct tsr_zstd {
    void *compressor, *decompressor;
};

bool tsr_zstd_available(void);
/* The compressed size; 0: it did not fit into CAPACITY, or failed. */
size_t tsr_zstd_compress(struct tsr_zstd *zstd, uint8_t *out, size_t capacity,
                         const uint8_t *in, size_t size, int level);
/* true: IN is frames that hold exactly SIZE bytes. */
bool tsr_zstd_decompress(struct tsr_zstd *zstd, uint8_t *out, size_t size,
                         const uint8_t *in, size_t in_size);
void tsr_zstd_dispose(struct tsr_zstd *zstd);

/* ---- batch.c ------------------------------------------------------ */

struct tsr_batch {
    uint8_t kind;                       /* enum tsr_batch_kind */
    uint32_t raw_size, encoded_size, payload_size;
    uint32_t sequence;
};

/* Writes the header before the payload, which must be there. */
void tsr_batch_write(uint8_t *batch, const struct tsr_batch *fields);
/* Reads and checks the header and the checksum. NULL, or what is wrong. */
const char *tsr_batch_read(const uint8_t *batch, size_t size,
                           struct tsr_batch *fields_out);

#endif
