/*
 * The checker as an exported function, for the bytes that JavaScript holds.
 */
#include "stream.h"

#include <stdlib.h>

#include "internal.h"

_Static_assert(sizeof(struct tsr_stream_stats) == 64, "shared with JS");

struct stream {
    struct tsr_object object;
    pthread_mutex_t lock;
    struct tsr_parser parser;
};

static void destroy(struct tsr_object *object)
{
    struct stream *stream = (struct stream *)object;

    pthread_mutex_destroy(&stream->lock);
    free(stream);
}

static const struct tsr_kind stream_kind = {
    .name = "a stream",
    .destroy = destroy,
    .format = &tsr_xen_format,
};

/* tsr_stream_new: a checker that expects the first byte of a stream. */
int tsr_stream_new(void)
{
    struct stream *stream = calloc(1, sizeof(*stream));
    int rc;

    if (!stream)
        return tsr_fail(-ENOMEM, "out of memory");
    tsr_object_init(&stream->object, &stream_kind);
    pthread_mutex_init(&stream->lock, NULL);
    tsr_parser_init(&stream->parser);
    rc = tsr_handle_new(&stream->object);
    if (rc < 0)
        tsr_handle_put(stream);
    return rc;
}

void tsr_stream_fill(const struct tsr_parser *parser,
                     struct tsr_stream_stats *out)
{
    *out = (struct tsr_stream_stats){
        .offset = parser->offset,
        .epoch = parser->epoch,
        .pages = parser->pages,
        .records = parser->records,
        .at_boundary = parser->epoch && parser->offset == parser->epoch_end,
        .guest_type = parser->guest_type,
        .epoch_end = parser->epoch_end,
    };
}

/*
 * tsr_stream_check: takes SIZE bytes. OUT (may be NULL) is filled in any case;
 * at a boundary its `pages` are those of the epoch that just ended.
 */
int tsr_stream_check(int handle, const uint8_t *data, size_t size,
                     struct tsr_stream_stats *out)
{
    struct stream *stream = tsr_handle_get(handle, &stream_kind);
    enum tsr_mark mark;
    size_t taken;
    int rc = 0;

    if (!stream)
        return -EBADF;
    pthread_mutex_lock(&stream->lock);
    if (stream->parser.failed)
        rc = -EPROTO;
    while (!rc && size) {
        rc = tsr_parser_take(&stream->parser, data, size, &taken, &mark);
        data += taken;
        size -= taken;
    }
    if (out)
        tsr_stream_fill(&stream->parser, out);
    if (rc)
        rc = tsr_object_fail(stream, rc, "%s", stream->parser.text);
    pthread_mutex_unlock(&stream->lock);
    tsr_handle_put(stream);
    return rc;
}

int tsr_stream_free(int handle)
{
    struct stream *stream = tsr_handle_get(handle, &stream_kind);

    if (!stream)
        return -EBADF;
    tsr_handle_remove(handle);
    tsr_handle_put(stream);
    return 0;
}
