/*
 * The header of a batch: struct tsr_batch_header of codec.h.
 */
#include "internal.h"

#include <endian.h>
#include <string.h>

_Static_assert(sizeof(struct tsr_batch_header) == TSR_BATCH_HEADER,
               "on the wire");
_Static_assert(sizeof(struct tsr_codec_digest) == 88, "shared with JS");

#define CHECKED offsetof(struct tsr_batch_header, check)

static uint64_t check_of(const uint8_t *batch, size_t payload_size)
{
    return tsr_hash(batch + TSR_BATCH_HEADER, payload_size,
                    tsr_hash(batch, CHECKED, 0));
}

static void write_check(uint8_t *batch, size_t payload_size)
{
    uint64_t check = htole64(check_of(batch, payload_size));

    memcpy(batch + CHECKED, &check, sizeof(check));
}

void tsr_batch_write(uint8_t *batch, const struct tsr_batch *fields)
{
    struct tsr_batch_header header = {
        .magic = htole32(TSR_BATCH_MAGIC),
        .version = TSR_BATCH_VERSION,
        .kind = fields->kind,
        .raw_size = htole32(fields->raw_size),
        .encoded_size = htole32(fields->encoded_size),
        .payload_size = htole32(fields->payload_size),
        .sequence = htole32(fields->sequence),
    };

    memcpy(batch, &header, sizeof(header));
    write_check(batch, fields->payload_size);
}

/* The rules of the header, in the order in which they are to be reported. */
static const char *check_fields(const struct tsr_batch_header *header,
                                const struct tsr_batch *fields)
{
    uint32_t raw = fields->raw_size, encoded = fields->encoded_size;

    if (le32toh(header->magic) != TSR_BATCH_MAGIC)
        return "has a wrong magic number";
    if (header->version != TSR_BATCH_VERSION)
        return "is of an unknown version";
    if (fields->kind > TSR_BATCH_ZSTD || header->reserved)
        return "is of an unknown kind";
    if (!raw || raw > TSR_BATCH_RAW_MAX)
        return "says that it holds nothing, or more than 1 MiB";
    if (fields->kind == TSR_BATCH_PLAIN ? encoded != raw
                                        : encoded > TSR_BATCH_ENCODED_MAX(raw))
        return "has an impossible encoded length";
    if (fields->kind == TSR_BATCH_ZSTD ? fields->payload_size >= encoded
                                       : fields->payload_size != encoded)
        return "has an impossible length";
    return NULL;
}

const char *tsr_batch_read(const uint8_t *batch, size_t size,
                           struct tsr_batch *fields_out)
{
    struct tsr_batch_header header;
    const char *wrong;

    if (size < TSR_BATCH_HEADER)
        return "is shorter than its header";
    memcpy(&header, batch, sizeof(header));
    *fields_out = (struct tsr_batch){
        .kind = header.kind,
        .raw_size = le32toh(header.raw_size),
        .encoded_size = le32toh(header.encoded_size),
        .payload_size = le32toh(header.payload_size),
        .sequence = le32toh(header.sequence),
    };
    wrong = check_fields(&header, fields_out);
    if (wrong)
        return wrong;
    if (size - TSR_BATCH_HEADER != fields_out->payload_size)
        return "is not as long as it says";
    if (le64toh(header.check) != check_of(batch, fields_out->payload_size))
        return "has a wrong checksum";
    return NULL;
}

int tsr_batch_seal(uint8_t *batch, size_t size)
{
    if (!batch || size < TSR_BATCH_HEADER)
        return tsr_fail(-EINVAL, "a batch is at least its header");
    write_check(batch, size - TSR_BATCH_HEADER);
    return 0;
}

int tsr_batch_check(const uint8_t *batch, size_t size)
{
    struct tsr_batch fields;
    const char *wrong;

    if (!batch)
        return tsr_fail(-EINVAL, "there is no batch");
    wrong = tsr_batch_read(batch, size, &fields);
    return wrong ? tsr_fail(-EPROTO, "the batch %s", wrong) : 0;
}
