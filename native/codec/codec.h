/*
 * The page encoding. See common/tsremus.h for the rules of this interface, pages.c
 * for how it is done.
 *
 * The raw stream of a session, encoded: a row of batches. Integers are little-endian.
 *
 *   batch     struct tsr_batch_header, then payload_size bytes
 *   payload   kind 0 plain: the raw bytes
 *             kind 1 pages: an encoded batch
 *             kind 2 zstd:  zstd frames that hold an encoded batch
 *   encoded   data, operations, u32 length of the operations
 *   operation u8, each makes the next raw bytes:
 *             1 bytes  u32 count; that many from the data, none of a page's body
 *             2 same   the page as it is in the cache
 *             3 zero   zeroes
 *             4 delta  u8 count, so many runs (u8 words to pass over, u8 words that
 *                      follow): the page in the cache, with those words of 64 bits
 *                      changed by XOR with words from the data
 *             5 copy   the page, from the data
 *
 * Operations 2 to 5 stand for the page body that the raw stream has next, up to its
 * end or that of the batch. The cache holds the copies last sent by page number, on
 * both sides the same (cache.c); 4 and 5 change it, 5 adds to it.
 */
#ifndef TSR_CODEC_H
#define TSR_CODEC_H

#include "../common/tsremus.h"

#define TSR_BATCH_RAW_MAX (1u << 20)
/* An encoded batch of RAW bytes has at most so many. */
#define TSR_BATCH_ENCODED_MAX(raw) ((raw) + (raw) / 512 + 64)
#define TSR_BATCH_MAGIC 0x62725354u     /* "TSrb" */
#define TSR_BATCH_VERSION 1
#define TSR_BATCH_HEADER 32

enum tsr_batch_kind {
    TSR_BATCH_PLAIN = 0,
    TSR_BATCH_PAGES = 1,
    TSR_BATCH_ZSTD = 2,
};

struct tsr_batch_header {
    uint32_t magic;
    uint8_t version, kind;
    uint16_t reserved;      /* 0 */
    uint32_t raw_size;      /* 1 to TSR_BATCH_RAW_MAX */
    uint32_t encoded_size;
    uint32_t payload_size;
    uint32_t sequence;      /* 0, 1, 2, .. of the session */
    uint64_t check;         /* XXH64 of the payload, seeded by that of all above */
};

enum tsr_codec_flags {
    TSR_CODEC_DECODE = 1,   /* else it encodes */
    TSR_CODEC_ZSTD = 2,     /* encoder: kind 2 where that is smaller */
};

/* What both sides must agree upon at the end of an epoch, and counts. */
struct tsr_codec_digest {   /* 88 bytes */
    uint64_t raw_bytes;     /* of the epoch */
    uint64_t checksum;      /* of those, in order */
    uint64_t cache_state;   /* of all that happened to the cache in the session */
    uint64_t pages_same, pages_zero, pages_delta, pages_copy;   /* of the epoch */
    uint64_t encoded_bytes, wire_bytes;     /* of the epoch, encoder only */
    uint64_t cached_pages, evictions;       /* of the session */
};

/* 1: libzstd is there; 0: batches of kind 2 must be made and undone elsewhere. */
TSR_API int tsr_codec_has_zstd(void);

/*
 * A new encoder or decoder, for a session from the first byte of its stream on, over
 * the format of STREAM: the handle of any stream of that format (tsr_stream_new),
 * which may be freed at once; -1: none, all goes in batches of kind 0, no cache;
 * TSR_CODEC_BYTES: the same bytes, whatever they are, in batches of kind 1 and 2.
 * The cache takes at most CACHE_BYTES (0: none) of address space, and of memory what
 * pages fill; both sides need the same number. LEVEL is zstd's.
 */
#define TSR_CODEC_BYTES (-2)
TSR_API int tsr_codec_new(int stream, uint32_t flags, uint64_t cache_bytes, int level);

/*
 * Encoder: SIZE raw bytes (any cut of the stream) become one batch in OUT, which has
 * TSR_BATCH_HEADER + TSR_BATCH_ENCODED_MAX(SIZE). Decoder: one batch becomes raw bytes
 * in OUT, which has as many as its header says. Returns how many bytes were put there.
 * Calls may overlap on several threads; TICKET is 0 for the first, 1 for the next, and
 * so on without gaps, and calls must start in that order. -EPROTO: not a stream, or
 * not a batch; the codec can only be freed then. -ESHUTDOWN: it was. BLOCKING.
 */
TSR_API int tsr_codec_run(int handle, uint64_t ticket, const uint8_t *in,
                          size_t size, uint8_t *out, size_t capacity);

/* Ends the epoch, after all its calls have returned. */
TSR_API int tsr_codec_end(int handle, struct tsr_codec_digest *out);

TSR_API int tsr_codec_free(int handle);

/* Computes the check of a batch whose kind or payload was changed. */
TSR_API int tsr_batch_seal(uint8_t *batch, size_t size);
/* 0, or -EPROTO with a text. */
TSR_API int tsr_batch_check(const uint8_t *batch, size_t size);

#endif
