/*
 * Encoders and decoders as exported functions. A call has a part that must be done in
 * the order of the stream (pages against the cache) and one that need not be (zstd,
 * checksums of batches): the first takes its turn by ticket, so that with two threads
 * one compresses a batch while the other encodes the next.
 */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

/* What one call needs, kept for the next. */
struct work {
    struct work *next;
    uint8_t *encoded;                   /* of the largest batch; once zstd needs it */
    struct tsr_zstd zstd;
};

struct codec {
    struct tsr_object object;
    uint32_t flags;
    int level;
    pthread_mutex_t lock;
    pthread_cond_t turn_came;
    uint64_t turn;                      /* the ticket whose turn it is */
    bool ended;                         /* freed */
    int failed;                         /* the code of the first failure */
    struct work *spare;
    uint8_t *ops;                       /* of whose turn it is */
    struct tsr_pages pages;             /* the same */
};

static const size_t encoded_max = TSR_BATCH_ENCODED_MAX(TSR_BATCH_RAW_MAX);

static void destroy(struct tsr_object *object)
{
    struct codec *codec = (struct codec *)object;
    struct work *work;

    while ((work = codec->spare)) {
        codec->spare = work->next;
        tsr_unmap(work->encoded, encoded_max);
        tsr_zstd_dispose(&work->zstd);
        free(work);
    }
    tsr_unmap(codec->ops, TSR_OPS_MAX);
    tsr_pages_dispose(&codec->pages);
    pthread_cond_destroy(&codec->turn_came);
    pthread_mutex_destroy(&codec->lock);
    free(codec);
}

static const struct tsr_kind codec_kind = {
    .name = "an encoder or decoder",
    .destroy = destroy,
};

int tsr_codec_has_zstd(void)
{
    return tsr_zstd_available();
}

static int open_codec(const struct tsr_format_ops *format, uint32_t flags,
                      uint64_t cache_bytes, int level)
{
    struct codec *codec = calloc(1, sizeof(*codec));
    int rc;

    if (!codec)
        return tsr_fail(-ENOMEM, "out of memory");
    tsr_object_init(&codec->object, &codec_kind);
    pthread_mutex_init(&codec->lock, NULL);
    pthread_cond_init(&codec->turn_came, NULL);
    codec->flags = flags;
    codec->level = level;
    rc = tsr_pages_init(&codec->pages, format, cache_bytes);
    if (!rc && flags & TSR_CODEC_ZSTD && !tsr_zstd_available())
        rc = tsr_fail(-ENOSYS, "there is no libzstd.so.1");
    if (!rc && !(flags & TSR_CODEC_DECODE)) {
        codec->ops = tsr_map(TSR_OPS_MAX);
        if (!codec->ops)
            rc = tsr_fail(-ENOMEM, "out of memory");
    }
    if (!rc)
        rc = tsr_handle_new(&codec->object);
    if (rc < 0)
        tsr_handle_put(codec);
    return rc;
}

int tsr_codec_new(int stream, uint32_t flags, uint64_t cache_bytes, int level)
{
    struct tsr_object *object;
    int rc;

    if (stream == -1)
        return open_codec(NULL, flags, cache_bytes, level);
    if (stream == TSR_CODEC_BYTES)
        return open_codec(&tsr_bytes_format, flags, 0, level);
    object = tsr_handle_format(stream);
    if (!object)
        return -EBADF;
    rc = open_codec(object->kind->format, flags, cache_bytes, level);
    tsr_handle_put(object);
    return rc;
}

static struct work *get_work(struct codec *codec)
{
    struct work *work;

    pthread_mutex_lock(&codec->lock);
    work = codec->spare;
    if (work)
        codec->spare = work->next;
    pthread_mutex_unlock(&codec->lock);
    if (work)
        return work;
    return calloc(1, sizeof(*work));
}

/* The room for what zstd takes or gives. */
static bool make_room(struct work *work)
{
    if (!work->encoded)
        work->encoded = tsr_map(encoded_max);
    return work->encoded;
}

static void put_work(struct codec *codec, struct work *work)
{
    if (!work)
        return;
    pthread_mutex_lock(&codec->lock);
    work->next = codec->spare;
    codec->spare = work;
    pthread_mutex_unlock(&codec->lock);
}

/* Waits until it is TICKET's turn; 0, or why that will not be. */
static int await_turn(struct codec *codec, uint64_t ticket)
{
    int rc = 0;

    pthread_mutex_lock(&codec->lock);
    while (!codec->ended && !codec->failed && codec->turn < ticket)
        pthread_cond_wait(&codec->turn_came, &codec->lock);
    if (codec->ended)
        rc = tsr_fail(-ESHUTDOWN, "the encoding has ended");
    else if (codec->failed)
        rc = codec->failed;
    else if (codec->turn != ticket)
        rc = tsr_fail(-EINVAL, "ticket %llu was used before",
                      (unsigned long long)ticket);
    pthread_mutex_unlock(&codec->lock);
    return rc;
}

static void end_turn(struct codec *codec, int failed)
{
    pthread_mutex_lock(&codec->lock);
    codec->turn++;
    codec->failed = failed;
    pthread_cond_broadcast(&codec->turn_came);
    pthread_mutex_unlock(&codec->lock);
}

/* Everything after encoding, in any order. */
static int seal(struct codec *codec, struct work *work, uint64_t ticket,
                size_t raw_size, size_t encoded_size, uint8_t *out)
{
    uint8_t *payload = out + TSR_BATCH_HEADER;
    struct tsr_batch fields = {
        .kind = codec->pages.format ? TSR_BATCH_PAGES : TSR_BATCH_PLAIN,
        .raw_size = (uint32_t)raw_size,
        .encoded_size = (uint32_t)encoded_size,
        .payload_size = (uint32_t)encoded_size,
        .sequence = (uint32_t)ticket,
    };
    size_t n = 0;

    if (codec->flags & TSR_CODEC_ZSTD)
        n = tsr_zstd_compress(&work->zstd, payload, encoded_size - 1,
                              work->encoded, encoded_size, codec->level);
    if (n) {
        fields.kind = TSR_BATCH_ZSTD;
        fields.payload_size = (uint32_t)n;
    } else if (codec->flags & TSR_CODEC_ZSTD) {
        memcpy(payload, work->encoded, encoded_size);
    }
    tsr_batch_write(out, &fields);
    pthread_mutex_lock(&codec->lock);
    codec->pages.digest.encoded_bytes += encoded_size;
    codec->pages.digest.wire_bytes += TSR_BATCH_HEADER + fields.payload_size;
    pthread_mutex_unlock(&codec->lock);
    return (int)(TSR_BATCH_HEADER + fields.payload_size);
}

static int encode(struct codec *codec, struct work *work, uint64_t ticket,
                  const uint8_t *raw, size_t size, uint8_t *out,
                  size_t capacity)
{
    bool zstd = codec->flags & TSR_CODEC_ZSTD, room = !zstd || make_room(work);
    uint8_t *encoded = zstd ? work->encoded : out + TSR_BATCH_HEADER;
    size_t encoded_size = 0;
    int rc = await_turn(codec, ticket);

    if (rc)
        return rc;
    if (!room) {
        rc = tsr_object_fail(codec, -ENOMEM, "out of memory");
    } else if (!size || size > TSR_BATCH_RAW_MAX ||
        capacity < TSR_BATCH_HEADER + TSR_BATCH_ENCODED_MAX(size)) {
        rc = tsr_object_fail(codec, -EMSGSIZE, "a batch holds 1 byte to 1 MiB");
    } else {
        rc = tsr_pages_encode(&codec->pages, raw, size, codec->ops, encoded,
                              &encoded_size);
        if (rc)
            tsr_object_fail(codec, rc, "%s",
                            codec->pages.format->text(codec->pages.walk));
    }
    end_turn(codec, rc);
    return rc ? rc : seal(codec, work, ticket, size, encoded_size, out);
}

/* What can be checked and undone before it is the batch's turn. */
static const char *unseal(struct codec *codec, struct work *work,
                          const uint8_t *batch, size_t size,
                          struct tsr_batch *fields, const uint8_t **encoded_out)
{
    const uint8_t *payload = batch + TSR_BATCH_HEADER;
    const char *wrong = tsr_batch_read(batch, size, fields);

    *encoded_out = payload;
    if (wrong)
        return wrong;
    if (!codec->pages.format != (fields->kind == TSR_BATCH_PLAIN))
        return "is of a kind that was not agreed upon";
    if (fields->kind != TSR_BATCH_ZSTD)
        return NULL;
    if (!tsr_zstd_available())
        return "is compressed, and there is no libzstd.so.1";
    if (!make_room(work))
        return "does not fit into the memory that is left";
    if (!tsr_zstd_decompress(&work->zstd, work->encoded, fields->encoded_size,
                             payload, fields->payload_size))
        return "does not decompress to what it says";
    *encoded_out = work->encoded;
    return NULL;
}

static int decode(struct codec *codec, struct work *work, uint64_t ticket,
                  const uint8_t *batch, size_t size, uint8_t *out,
                  size_t capacity)
{
    struct tsr_batch fields = { 0 };
    const uint8_t *encoded;
    const char *wrong = unseal(codec, work, batch, size, &fields, &encoded);
    int rc = await_turn(codec, ticket);

    if (rc)
        return rc;
    if (!wrong && fields.sequence != (uint32_t)ticket)
        wrong = "is out of order";
    if (!wrong && fields.raw_size > capacity)
        wrong = "is larger than the room for it";
    if (!wrong)
        wrong = tsr_pages_decode(&codec->pages, encoded, fields.encoded_size,
                                 out, fields.raw_size);
    if (wrong)
        rc = tsr_object_fail(codec, -EPROTO, "batch %llu %s",
                             (unsigned long long)ticket, wrong);
    end_turn(codec, rc);
    return rc ? rc : (int)fields.raw_size;
}

static int run(struct codec *codec, uint64_t ticket, const uint8_t *in,
               size_t size, uint8_t *out, size_t capacity)
{
    struct work *work = get_work(codec);
    int rc;

    if (!work) {
        rc = await_turn(codec, ticket);
        if (!rc) {
            rc = tsr_object_fail(codec, -ENOMEM, "out of memory");
            end_turn(codec, rc);
        }
        return rc;
    }
    if (codec->flags & TSR_CODEC_DECODE)
        rc = decode(codec, work, ticket, in, size, out, capacity);
    else
        rc = encode(codec, work, ticket, in, size, out, capacity);
    put_work(codec, work);
    return rc;
}

int tsr_codec_run(int handle, uint64_t ticket, const uint8_t *in, size_t size,
                  uint8_t *out, size_t capacity)
{
    struct codec *codec = tsr_handle_get(handle, &codec_kind);
    int rc;

    if (!codec)
        return -EBADF;
    if (!in || !out)
        rc = tsr_fail(-EINVAL, "a buffer is missing");
    else
        rc = run(codec, ticket, in, size, out, capacity);
    tsr_handle_put(codec);
    return rc;
}

int tsr_codec_end(int handle, struct tsr_codec_digest *out)
{
    struct codec *codec = tsr_handle_get(handle, &codec_kind);
    int rc = 0;

    if (!codec)
        return -EBADF;
    pthread_mutex_lock(&codec->lock);
    if (codec->failed)
        rc = codec->failed;
    else
        tsr_pages_end(&codec->pages, out);
    pthread_mutex_unlock(&codec->lock);
    tsr_handle_put(codec);
    return rc;
}

int tsr_codec_free(int handle)
{
    struct codec *codec = tsr_handle_get(handle, &codec_kind);

    if (!codec)
        return -EBADF;
    pthread_mutex_lock(&codec->lock);
    codec->ended = true;
    pthread_cond_broadcast(&codec->turn_came);
    pthread_mutex_unlock(&codec->lock);
    tsr_handle_remove(handle);
    tsr_handle_put(codec);
    return 0;
}
