/*
 * Any batches for the decoder. An input is a byte for the cache and the mode, then for
 * each batch: u8 kind, u32 raw size, u32 encoded size, u16 payload size, the payload.
 * Header and checksum are made here, since no fuzzer finds a hash. What the decoder
 * takes, an encoder must take as well, and it must come back through a second pair.
 */
#include "fuzz.h"

#include <string.h>

#include "../codec/internal.h"
#include "../xen/xen.h"

/* As many bytes as are kept to be encoded again, and batches of an input. */
#define RAW_MAX (256u << 10)
#define BATCHES_MAX 64

struct input {
    const uint8_t *at, *end;
};

static bool get(struct input *input, void *out, size_t n)
{
    if ((size_t)(input->end - input->at) < n)
        return false;
    memcpy(out, input->at, n);
    input->at += n;
    return true;
}

/* The next batch, sealed; NULL: none. */
static uint8_t *next_batch(struct input *input, uint32_t sequence,
                           struct tsr_batch *fields, size_t *size_out)
{
    uint16_t payload_size;
    uint8_t *batch;
    size_t left;

    if (!get(input, &fields->kind, 1) || !get(input, &fields->raw_size, 4) ||
        !get(input, &fields->encoded_size, 4) || !get(input, &payload_size, 2))
        return NULL;
    left = (size_t)(input->end - input->at);
    fields->payload_size = payload_size > left ? (uint32_t)left : payload_size;
    fields->sequence = sequence;
    batch = malloc(TSR_BATCH_HEADER + fields->payload_size);
    MUST(batch);
    memcpy(batch + TSR_BATCH_HEADER, input->at, fields->payload_size);
    input->at += fields->payload_size;
    tsr_batch_write(batch, fields);
    *size_out = TSR_BATCH_HEADER + fields->payload_size;
    return batch;
}

/* Encodes and decodes RAW by fresh codecs. */
static void again(int stream, const uint8_t *raw, size_t size)
{
    int encoder = tsr_codec_new(stream, 0, 3 * 4300, 1);
    int decoder = tsr_codec_new(stream, TSR_CODEC_DECODE, 3 * 4300, 0);
    size_t capacity = TSR_BATCH_HEADER + TSR_BATCH_ENCODED_MAX(size);
    uint8_t *wire = malloc(capacity), *back = malloc(size);
    int n;

    MUST(encoder >= 0 && decoder >= 0);
    n = tsr_codec_run(encoder, 0, raw, size, wire, capacity);
    MUST(n > 0);
    MUST(tsr_codec_run(decoder, 0, wire, (size_t)n, back, size) == (int)size);
    MUST(!memcmp(raw, back, size));
    free(wire);
    free(back);
    MUST(tsr_codec_free(encoder) == 0);
    MUST(tsr_codec_free(decoder) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = { data + 1, data + size };
    uint32_t sequence = 0;
    static uint8_t all[RAW_MAX];
    uint8_t *batch;
    size_t done = 0, batch_size;
    int stream, decoder, rc = 0;

    if (!size)
        return 0;
    stream = data[0] & 0x80 ? -1 : tsr_stream_new();
    decoder = tsr_codec_new(stream, TSR_CODEC_DECODE, data[0] % 32 * 4300u, 0);
    MUST(decoder >= 0);
    while (rc >= 0 && sequence < BATCHES_MAX) {
        struct tsr_batch fields = { 0 };
        uint8_t *raw;

        batch = next_batch(&input, sequence, &fields, &batch_size);
        if (!batch)
            break;
        /* What JavaScript would make room for. */
        raw = malloc(fields.raw_size % (TSR_BATCH_RAW_MAX + 1));
        rc = tsr_codec_run(decoder, sequence++, batch, batch_size, raw,
                           fields.raw_size % (TSR_BATCH_RAW_MAX + 1));
        MUST(rc == (int)fields.raw_size || rc == -EPROTO);
        if (rc > 0 && done + (size_t)rc <= RAW_MAX) {
            memcpy(all + done, raw, (size_t)rc);
            done += (size_t)rc;
        } else if (rc > 0) {
            rc = -EMSGSIZE;             /* enough */
        }
        free(batch);
        free(raw);
    }
    if (done)
        again(stream, all, done);
    MUST(stream == -1 || tsr_stream_free(stream) == 0);
    MUST(tsr_codec_free(decoder) == 0);
    return 0;
}
