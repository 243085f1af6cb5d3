/*
 * Encoding and decoding. Both sides walk along the same raw bytes and make the same
 * calls of the cache, so a page operation needs neither page number nor length: the
 * format (common/format.h) knows whose bytes come next. A body that is cut by
 * the end of a batch is encoded in pieces; what holds for a page holds for each.
 *
 * All pages go through the cache, page tables of PV guests as well: what libxc sends
 * of those has page numbers in place of machine addresses (xg_sr_save_x86_pv.c,
 * normalise_pagetable) and changes as little as other pages. Decoding yields the
 * bytes that were encoded, whatever they mean; the checksum proves it.
 *
 * A page of zeroes leaves the cache alone: the copy that is there stays.
 */
#include "internal.h"

#include <endian.h>
#include <stdio.h>
#include <string.h>

static const uint8_t zero_page[TSR_PAGE_SIZE];

int tsr_pages_init(struct tsr_pages *pages, const struct tsr_format_ops *format,
                   uint64_t cache_bytes)
{
    int rc;

    memset(pages, 0, sizeof(*pages));
    if (!format)
        return 0;
    rc = tsr_cache_init(&pages->cache, cache_bytes);
    if (rc)
        return rc;
    pages->walk = format->open();
    if (!pages->walk) {
        tsr_cache_dispose(&pages->cache);
        return tsr_fail(-ENOMEM, "out of memory");
    }
    pages->format = format;
    pages->zero_hash = tsr_hash(zero_page, TSR_PAGE_SIZE, 0);
    return 0;
}

void tsr_pages_dispose(struct tsr_pages *pages)
{
    tsr_cache_dispose(&pages->cache);
    if (pages->walk)
        pages->format->close(pages->walk);
    pages->walk = NULL;
}

void tsr_pages_end(struct tsr_pages *pages, struct tsr_codec_digest *out)
{
    struct tsr_codec_digest *digest = &pages->digest;

    *out = *digest;
    out->cached_pages = pages->cache.used;
    out->evictions = pages->cache.evictions;
    /* The state of the cache is that of the whole session. */
    *digest = (struct tsr_codec_digest){ .cache_state = digest->cache_state };
}

/* One piece of the raw stream, SIZE bytes with HASH, in the order of the stream. */
static void note(struct tsr_pages *pages, uint64_t hash, size_t size)
{
    struct tsr_codec_digest *digest = &pages->digest;

    digest->checksum = tsr_chain(digest->checksum, hash + size);
    digest->raw_bytes += size;
}

/* A piece of a page: those of 4096 bytes are pages, all but a few. */
struct piece {
    uint64_t pfn;
    uint32_t from, size;
    uint32_t slot;
    uint64_t hash;
};

static bool is_page(const struct piece *piece)
{
    return piece->size == TSR_PAGE_SIZE;
}

/* What piece of a page comes next, of at most LEFT bytes; false: none. */
static bool next_piece(const struct tsr_pages *pages, size_t left,
                       struct piece *piece)
{
    if (!pages->format->page(pages->walk, &piece->pfn, &piece->from))
        return false;
    piece->size = TSR_PAGE_SIZE - piece->from;
    if (piece->size > left)
        piece->size = (uint32_t)left;
    piece->slot = TSR_NO_SLOT;
    piece->hash = 0;
    return true;
}

/* Walks over SIZE bytes of a body, which nobody looks at. */
static int pass(struct tsr_pages *pages, const uint8_t *data, size_t size)
{
    size_t taken;

    return pages->format->take(pages->walk, data, size, &taken);
}

/* The piece is known to both sides now. */
static void settle(struct tsr_pages *pages, const struct piece *piece,
                   enum tsr_op op)
{
    struct tsr_codec_digest *digest = &pages->digest;
    bool last = piece->from + piece->size == TSR_PAGE_SIZE;

    note(pages, piece->hash, piece->size);
    digest->pages_same += last && op == TSR_OP_SAME;
    digest->pages_zero += last && op == TSR_OP_ZERO;
    digest->pages_delta += last && op == TSR_OP_DELTA;
    digest->pages_copy += last && op == TSR_OP_COPY;
    if (piece->slot == TSR_NO_SLOT)
        return;
    pages->cache.hashes[piece->slot] = is_page(piece) ? piece->hash : 0;
    digest->cache_state = tsr_chain(digest->cache_state,
                                    piece->hash ^ piece->pfn << 32 ^
                                        piece->slot);
}

/* ---- encoding ------------------------------------------------------------- */

static void add_op(struct tsr_ops_writer *writer, enum tsr_op op)
{
    writer->ops[writer->ops_size++] = (uint8_t)op;
}

static void add_data(struct tsr_ops_writer *writer, const uint8_t *data,
                     size_t size)
{
    memcpy(writer->data + writer->data_size, data, size);
    writer->data_size += size;
}

/* Bytes that belong to no page. */
static void encode_bytes(struct tsr_pages *pages, const uint8_t *data,
                         size_t size, struct tsr_ops_writer *writer)
{
    uint32_t count = htole32((uint32_t)size);

    if (!size)
        return;
    add_op(writer, TSR_OP_BYTES);
    memcpy(writer->ops + writer->ops_size, &count, sizeof(count));
    writer->ops_size += sizeof(count);
    add_data(writer, data, size);
    note(pages, tsr_hash(data, size, 0), size);
}

/* As a delta, if that is smaller; brings the copy up to date then. */
static bool encode_delta(uint8_t *copy, const struct piece *piece,
                         const uint8_t *data, unsigned changed,
                         const uint64_t *map, struct tsr_ops_writer *writer)
{
    uint8_t *runs = writer->ops + writer->ops_size + 2;
    unsigned count;
    size_t used;

    /* Every changed word a run of its own, and two to pass over long stretches. */
    if (changed > TSR_DELTA_WORDS_MAX ||
        changed * (8 + 2) + 2 + 2 * 2 > piece->size)
        return false;
    count = tsr_delta_write(data, copy, piece->size / 8, map, runs,
                            writer->data + writer->data_size, &used);
    if (!count)
        return false;
    add_op(writer, TSR_OP_DELTA);
    writer->ops[writer->ops_size++] = (uint8_t)count;
    writer->ops_size += 2 * count;
    writer->data_size += used;
    return true;
}

/* Against the copy last sent. */
static enum tsr_op encode_known(struct tsr_pages *pages, struct piece *piece,
                                const uint8_t *data,
                                struct tsr_ops_writer *writer)
{
    uint8_t *copy = tsr_cache_page(&pages->cache, piece->slot) + piece->from;
    unsigned changed = TSR_DELTA_WORDS_MAX + 1;
    uint64_t map[TSR_WORDS / 64];

    if (piece->size % 8 == 0)
        changed = tsr_delta_find(data, copy, piece->size / 8, map);
    else if (!memcmp(data, copy, piece->size))
        changed = 0;
    if (!changed) {
        add_op(writer, TSR_OP_SAME);
        if (is_page(piece))
            piece->hash = pages->cache.hashes[piece->slot];
        return TSR_OP_SAME;
    }
    if (encode_delta(copy, piece, data, changed, map, writer))
        return TSR_OP_DELTA;
    add_op(writer, TSR_OP_COPY);
    add_data(writer, data, piece->size);
    memcpy(copy, data, piece->size);
    return TSR_OP_COPY;
}

static void encode_piece(struct tsr_pages *pages, struct piece *piece,
                         const uint8_t *data, struct tsr_ops_writer *writer)
{
    enum tsr_op op;

    if (tsr_is_zero(data, piece->size)) {
        op = TSR_OP_ZERO;
        add_op(writer, op);
        if (is_page(piece))
            piece->hash = pages->zero_hash;
    } else {
        piece->slot = tsr_cache_find(&pages->cache, piece->pfn);
        if (piece->slot != TSR_NO_SLOT) {
            op = encode_known(pages, piece, data, writer);
        } else {
            op = TSR_OP_COPY;
            add_op(writer, op);
            add_data(writer, data, piece->size);
            piece->slot = tsr_cache_take(&pages->cache, piece->pfn);
            if (piece->slot != TSR_NO_SLOT)
                memcpy(tsr_cache_page(&pages->cache, piece->slot) + piece->from,
                       data, piece->size);
        }
    }
    if (!piece->hash)
        piece->hash = tsr_hash(data, piece->size, 0);
    settle(pages, piece, op);
}

int tsr_pages_encode(struct tsr_pages *pages, const uint8_t *raw, size_t size,
                     uint8_t *ops, uint8_t *out, size_t *out_size)
{
    struct tsr_ops_writer writer = { .data = out, .ops = ops };
    size_t at = 0, bytes_from = 0, taken;
    struct piece piece;
    int rc = 0;

    if (!pages->format) {
        memcpy(out, raw, size);
        note(pages, tsr_hash(raw, size, 0), size);
        *out_size = size;
        return 0;
    }
    while (!rc && at < size) {
        if (next_piece(pages, size - at, &piece)) {
            encode_bytes(pages, raw + bytes_from, at - bytes_from, &writer);
            encode_piece(pages, &piece, raw + at, &writer);
            rc = pass(pages, raw + at, piece.size);
            at += piece.size;
            bytes_from = at;
        } else {
            rc = pages->format->take(pages->walk, raw + at, size - at, &taken);
            at += taken;
        }
    }
    if (rc)
        return rc;
    encode_bytes(pages, raw + bytes_from, at - bytes_from, &writer);
    *out_size = tsr_ops_finish(&writer);
    return 0;
}

/* ---- decoding ------------------------------------------------------------- */

static const char *decode_bytes(struct tsr_pages *pages,
                                struct tsr_ops_reader *reader, uint8_t *raw,
                                size_t left, size_t *size_out)
{
    const uint8_t *data = tsr_ops_take(reader, 4);
    uint64_t pfn;
    uint32_t count, from;
    size_t at = 0, taken;

    if (!data)
        return "ends within an operation";
    memcpy(&count, data, sizeof(count));
    count = le32toh(count);
    if (!count)
        return "has an empty operation";
    if (count > left)
        return "holds more than it says";
    data = tsr_ops_data(reader, count);
    if (!data)
        return "has too few bytes";
    while (at < count) {
        if (pages->format->page(pages->walk, &pfn, &from))
            return "has other bytes where those of a page must be";
        if (pages->format->take(pages->walk, data + at, count - at, &taken))
            return pages->format->text(pages->walk);
        at += taken;
    }
    memcpy(raw, data, count);
    note(pages, tsr_hash(raw, count, 0), count);
    *size_out = count;
    return NULL;
}

static const char *decode_delta(struct tsr_pages *pages,
                                struct tsr_ops_reader *reader,
                                const struct piece *piece)
{
    const uint8_t *head = tsr_ops_take(reader, 1), *runs = NULL;
    uint8_t *copy = tsr_cache_page(&pages->cache, piece->slot) + piece->from;
    const char *wrong;
    size_t used;

    if (head)
        runs = tsr_ops_take(reader, 2 * (size_t)*head);
    if (!runs)
        return "ends within an operation";
    wrong = tsr_delta_apply(copy, piece->size / 8, runs, *head, reader->data,
                            (size_t)(reader->data_end - reader->data), &used);
    if (!wrong)
        tsr_ops_data(reader, used);
    return wrong;
}

static const char *decode_copy(struct tsr_pages *pages,
                               struct tsr_ops_reader *reader,
                               struct piece *piece, uint8_t *raw)
{
    const uint8_t *data = tsr_ops_data(reader, piece->size);

    if (!data)
        return "has too few bytes";
    memcpy(raw, data, piece->size);
    if (piece->slot == TSR_NO_SLOT)
        piece->slot = tsr_cache_take(&pages->cache, piece->pfn);
    if (piece->slot != TSR_NO_SLOT)
        memcpy(tsr_cache_page(&pages->cache, piece->slot) + piece->from, data,
               piece->size);
    return NULL;
}

static const char *decode_piece(struct tsr_pages *pages,
                                struct tsr_ops_reader *reader, enum tsr_op op,
                                struct piece *piece, uint8_t *raw)
{
    const char *wrong = NULL;

    if (op == TSR_OP_ZERO) {
        memset(raw, 0, piece->size);
        piece->hash = is_page(piece) ? pages->zero_hash : 0;
    } else {
        piece->slot = tsr_cache_find(&pages->cache, piece->pfn);
        if (op == TSR_OP_COPY)
            wrong = decode_copy(pages, reader, piece, raw);
        else if (piece->slot == TSR_NO_SLOT)
            wrong = "needs a page that is not in the cache";
        else if (op == TSR_OP_DELTA)
            wrong = decode_delta(pages, reader, piece);
        if (wrong)
            return wrong;
        if (op != TSR_OP_COPY)
            memcpy(raw,
                   tsr_cache_page(&pages->cache, piece->slot) + piece->from,
                   piece->size);
    }
    if (!piece->hash)
        piece->hash = tsr_hash(raw, piece->size, 0);
    settle(pages, piece, op);
    if (pass(pages, raw, piece->size))
        return pages->format->text(pages->walk);
    return NULL;
}

static const char *decode(struct tsr_pages *pages, const uint8_t *encoded,
                          size_t size, uint8_t *raw, size_t raw_size)
{
    struct tsr_ops_reader reader;
    const char *wrong = tsr_ops_open(&reader, encoded, size);
    size_t at = 0, taken = 0;
    struct piece piece;
    const uint8_t *op;

    while (!wrong && at < raw_size) {
        op = tsr_ops_take(&reader, 1);
        if (!op) {
            wrong = "holds less than it says";
        } else if (*op == TSR_OP_BYTES) {
            wrong = decode_bytes(pages, &reader, raw + at, raw_size - at,
                                 &taken);
            at += taken;
        } else if (*op < TSR_OP_SAME || *op > TSR_OP_COPY) {
            wrong = "has an unknown operation";
        } else if (!next_piece(pages, raw_size - at, &piece)) {
            wrong = "has a page where there is none";
        } else {
            wrong = decode_piece(pages, &reader, *op, &piece, raw + at);
            at += piece.size;
        }
    }
    if (!wrong && (reader.op != reader.ops_end ||
                   reader.data != reader.data_end))
        wrong = "holds more than it says";
    return wrong;
}

const char *tsr_pages_decode(struct tsr_pages *pages, const uint8_t *encoded,
                             size_t size, uint8_t *raw, size_t raw_size)
{
    if (pages->format)
        return decode(pages, encoded, size, raw, raw_size);
    memcpy(raw, encoded, raw_size);
    note(pages, tsr_hash(raw, raw_size, 0), raw_size);
    return NULL;
}
