/*
 * The two parts of an encoded batch: the data, then the operations that use them
 * up, then the length of the operations. Apart from each other both compress better.
 */
#include "internal.h"

#include <endian.h>
#include <string.h>

size_t tsr_ops_finish(struct tsr_ops_writer *writer)
{
    uint32_t length = htole32((uint32_t)writer->ops_size);
    uint8_t *at = writer->data + writer->data_size;

    memcpy(at, writer->ops, writer->ops_size);
    memcpy(at + writer->ops_size, &length, sizeof(length));
    return writer->data_size + writer->ops_size + sizeof(length);
}

const char *tsr_ops_open(struct tsr_ops_reader *reader, const uint8_t *encoded,
                         size_t size)
{
    uint32_t length;

    if (size < sizeof(length))
        return "is too short";
    size -= sizeof(length);
    memcpy(&length, encoded + size, sizeof(length));
    length = le32toh(length);
    if (length > size)
        return "has more operations than bytes";
    reader->data = encoded;
    reader->data_end = reader->op = encoded + size - length;
    reader->ops_end = encoded + size;
    return NULL;
}

const uint8_t *tsr_ops_data(struct tsr_ops_reader *reader, size_t n)
{
    const uint8_t *at = reader->data;

    if ((size_t)(reader->data_end - at) < n)
        return NULL;
    reader->data += n;
    return at;
}

const uint8_t *tsr_ops_take(struct tsr_ops_reader *reader, size_t n)
{
    const uint8_t *at = reader->op;

    if ((size_t)(reader->ops_end - at) < n)
        return NULL;
    reader->op += n;
    return at;
}
