/*
 * Any bytes for the stream checker. The first byte chooses a cut, the rest is a stream:
 *  - whole or in pieces, the checker must come to the same verdict at the same place;
 *  - what it takes, the page encoding must take as well, and give back.
 */
#include "fuzz.h"

#include <string.h>

#include "../codec/internal.h"
#include "../xen/xen.h"

struct verdict {
    int rc;
    struct tsr_stream_stats stats;
    char text[256];
};

static struct verdict check(const uint8_t *data, size_t size, size_t step)
{
    struct verdict verdict = { 0 };
    int handle = tsr_stream_new();
    size_t at, n;

    MUST(handle >= 0);
    for (at = 0; at < size && !verdict.rc; at += n) {
        n = size - at < step ? size - at : step;
        verdict.rc = tsr_stream_check(handle, data + at, n, &verdict.stats);
    }
    MUST(verdict.rc == 0 || verdict.rc == -EPROTO);
    if (verdict.rc) {
        MUST(tsr_error_text(handle, verdict.text, sizeof(verdict.text)) > 0);
        MUST(tsr_stream_check(handle, data, 1, NULL) == -EPROTO);
    } else {
        MUST(verdict.stats.offset == size);
    }
    MUST(tsr_stream_free(handle) == 0);
    return verdict;
}

static void there_and_back(const uint8_t *data, size_t size, size_t step,
                           uint64_t cache, int wanted)
{
    int stream = tsr_stream_new();
    int encoder = tsr_codec_new(stream, 0, cache, 1);
    int decoder = tsr_codec_new(stream, TSR_CODEC_DECODE, cache, 0);
    struct tsr_codec_digest ours, theirs;
    size_t at, n, ticket = 0;
    int rc = 0;

    MUST(encoder >= 0 && decoder >= 0 && !tsr_stream_free(stream));
    for (at = 0; at < size && rc >= 0; at += n) {
        size_t capacity;
        uint8_t *wire, *raw;

        n = size - at < step ? size - at : step;
        capacity = TSR_BATCH_HEADER + TSR_BATCH_ENCODED_MAX(n);
        wire = malloc(capacity);
        raw = malloc(n);
        rc = tsr_codec_run(encoder, ticket, data + at, n, wire, capacity);
        if (rc >= 0) {
            MUST(tsr_codec_run(decoder, ticket++, wire, (size_t)rc, raw, n) ==
                 (int)n);
            MUST(!memcmp(raw, data + at, n));
        }
        free(wire);
        free(raw);
    }
    MUST(wanted ? rc == wanted : rc >= 0);
    if (rc >= 0) {
        MUST(tsr_codec_end(encoder, &ours) == 0);
        MUST(tsr_codec_end(decoder, &theirs) == 0);
        MUST(ours.checksum == theirs.checksum);
        MUST(ours.cache_state == theirs.cache_state);
    }
    MUST(tsr_codec_free(encoder) == 0);
    MUST(tsr_codec_free(decoder) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct verdict whole, pieces;
    size_t step;

    if (size < 2)
        return 0;
    step = 1 + data[0] * (data[0] % 3 ? 1u : 67u);
    whole = check(data + 1, size - 1, size);
    pieces = check(data + 1, size - 1, step);
    MUST(whole.rc == pieces.rc);
    MUST(!strcmp(whole.text, pieces.text));
    if (!whole.rc)
        MUST(!memcmp(&whole.stats, &pieces.stats, sizeof(whole.stats)));
    there_and_back(data + 1, size - 1, step, data[0] % 7 * 4300u, whole.rc);
    return 0;
}
