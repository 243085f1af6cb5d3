/*
 * The thread that reads a disk for its digests. One question at a time: whoever asks has the next
 * one ready, and a disk is not read faster than somebody wants to know.
 */
#include "hasher.h"

#include "../common/common.h"
#include "digest.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(sizeof(struct tsr_hasher_settings) == 272, "shared with JS");

/* Read at once. */
#define READ_BLOCKS 4
#define READ_BYTES (READ_BLOCKS * TSR_DIGEST_BLOCK)
#define ALIGN 4096

struct hasher {
    struct tsr_object object;
    struct tsr_hasher_settings settings;
    struct tsr_events *events;
    int fd;
    pthread_t thread;
    uint8_t *buffer;                    /* of READ_BYTES, aligned: the thread's */

    pthread_mutex_t lock;               /* of all below; of the digests while `asked` is 0 */
    pthread_cond_t changed;
    uint64_t first;
    uint32_t asked, here;               /* blocks: being read; to be taken */
    bool stop;
    uint8_t digests[TSR_HASHER_BLOCKS_MAX][TSR_DIGEST_SIZE];
};

/* ---- the thread ------------------------------------------------------------------------ */

static int read_some(struct hasher *hasher, uint64_t at, size_t size)
{
    ssize_t n = pread(hasher->fd, hasher->buffer, size, (off_t)at);

    if (n == (ssize_t)size)
        return 0;
    return tsr_object_fail(hasher, n < 0 ? -errno : -EIO, "%s cannot be read, at byte %llu: %s",
                           hasher->settings.path, (unsigned long long)at,
                           n < 0 ? strerror(errno) : "it ends there");
}

static int hash_all(struct hasher *hasher, uint64_t first, uint32_t count)
{
    uint64_t at = first * TSR_DIGEST_BLOCK, end = at + (uint64_t)count * TSR_DIGEST_BLOCK;
    uint32_t block = 0;

    if (end > hasher->settings.size)
        end = hasher->settings.size;
    while (at < end) {
        size_t size = end - at < READ_BYTES ? (size_t)(end - at) : READ_BYTES, n;
        int rc = read_some(hasher, at, size);

        if (rc < 0)
            return rc;
        for (size_t i = 0; i < size; i += n) {
            n = size - i < TSR_DIGEST_BLOCK ? size - i : TSR_DIGEST_BLOCK;
            tsr_digest(hasher->buffer + i, n, hasher->digests[block++]);
        }
        at += size;
    }
    return 0;
}

/* Waits for a question. false: it is to end. */
static bool await_question(struct hasher *hasher)
{
    bool goes_on;

    pthread_mutex_lock(&hasher->lock);
    while (!hasher->stop && !hasher->asked)
        pthread_cond_wait(&hasher->changed, &hasher->lock);
    goes_on = !hasher->stop;
    pthread_mutex_unlock(&hasher->lock);
    return goes_on;
}

static void answer(struct hasher *hasher, int rc)
{
    struct tsr_event event = { .a = rc, .b = hasher->first };
    char text[TSR_TEXT_MAX] = "";

    if (rc < 0)
        tsr_error_text(-1, text, sizeof(text));
    pthread_mutex_lock(&hasher->lock);
    hasher->here = rc < 0 ? 0 : hasher->asked;
    hasher->asked = 0;
    event.c = hasher->here;
    pthread_mutex_unlock(&hasher->lock);
    tsr_events_send(hasher->events, rc < 0 ? TSR_EV_FAILED : TSR_EV_HASHED, &event, text);
    tsr_events_flush(hasher->events);
}

static void *thread_main(void *argument)
{
    struct hasher *hasher = argument;

    /* Nobody but this thread changes a question that was asked. */
    while (await_question(hasher))
        answer(hasher, hash_all(hasher, hasher->first, hasher->asked));
    tsr_events_send(hasher->events, TSR_EV_ENDED, NULL, NULL);
    tsr_events_finish(hasher->events);
    return NULL;
}

/* ---- opening --------------------------------------------------------------------------- */

static void destroy(struct tsr_object *object)
{
    struct hasher *hasher = (struct hasher *)object;

    tsr_events_free(hasher->events);
    free(hasher->buffer);
    if (hasher->fd >= 0)
        close(hasher->fd);
    pthread_cond_destroy(&hasher->changed);
    pthread_mutex_destroy(&hasher->lock);
    free(hasher);
}

static const struct tsr_kind hasher_kind = {
    .name = "a disk that is compared",
    .destroy = destroy,
};

static int open_disk(struct hasher *hasher)
{
    const struct tsr_hasher_settings *settings = &hasher->settings;
    const char *path = settings->path;
    /* O_EXCL: of a block device, that nobody has mounted it or holds it. */
    int alone = settings->flags & TSR_HASHER_ALONE ? O_EXCL : 0;
    struct stat st;
    off_t size;

    hasher->fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC | alone);
    if (hasher->fd < 0 && errno == EBUSY)
        return tsr_fail(-EBUSY, "%s is mounted, or in use by something else", path);
    if (hasher->fd < 0 || fstat(hasher->fd, &st))
        return tsr_fail(-errno, "%s cannot be opened: %s", path, strerror(errno));
    if (!S_ISBLK(st.st_mode) &&
        (!(settings->flags & TSR_HASHER_ANY_FILE) || !S_ISREG(st.st_mode)))
        return tsr_fail(-ENOTBLK, "%s is no block device", path);
    size = lseek(hasher->fd, 0, SEEK_END);
    if (size < 0 || (uint64_t)size != settings->size)
        return tsr_fail(-EINVAL, "%s has %lld bytes, not %llu", path, (long long)size,
                        (unsigned long long)settings->size);
    return 0;
}

/* Takes the object over, whatever comes of it. */
static int start(struct hasher *hasher, int32_t *event_out)
{
    int handle, r;

    hasher->events = tsr_events_open(event_out);
    if (!hasher->events) {
        r = tsr_fail(-errno, "no event pipe: %s", strerror(errno));
        tsr_handle_put(hasher);
        return r;
    }
    handle = tsr_handle_new(&hasher->object);
    if (handle < 0) {
        close(*event_out);
        tsr_handle_put(hasher);
        return handle;
    }
    r = pthread_create(&hasher->thread, NULL, thread_main, hasher);
    if (r) {
        close(*event_out);
        tsr_handle_remove(handle);
        return tsr_fail(-r, "no thread for a disk: %s", strerror(r));
    }
    pthread_setname_np(hasher->thread, "tsr-hasher");
    return handle;
}

int tsr_hasher_open(const struct tsr_hasher_settings *settings, int32_t *event_out)
{
    struct hasher *hasher;
    int rc;

    if (!settings || !event_out)
        return tsr_fail(-EINVAL, "an argument is missing");
    if (!settings->size || settings->size % 512 || !settings->path[0] ||
        !memchr(settings->path, 0, sizeof(settings->path)))
        return tsr_fail(-EINVAL, "a disk of no or of half a sector, or without a path");
    hasher = calloc(1, sizeof(*hasher));
    if (!hasher)
        return tsr_fail(-ENOMEM, "out of memory");
    tsr_object_init(&hasher->object, &hasher_kind);
    pthread_mutex_init(&hasher->lock, NULL);
    pthread_cond_init(&hasher->changed, NULL);
    hasher->settings = *settings;
    hasher->fd = -1;
    hasher->buffer = aligned_alloc(ALIGN, READ_BYTES);
    rc = hasher->buffer ? open_disk(hasher) : tsr_fail(-ENOMEM, "out of memory");
    if (!rc)
        return start(hasher, event_out);
    tsr_handle_put(hasher);
    return rc;
}

/* ---- asking ---------------------------------------------------------------------------- */

static struct hasher *get(int handle)
{
    return tsr_handle_get(handle, &hasher_kind);
}

static int ask(struct hasher *hasher, uint64_t first, uint32_t count)
{
    uint64_t blocks = tsr_digest_blocks(hasher->settings.size);

    if (!count || count > TSR_HASHER_BLOCKS_MAX || first > blocks || count > blocks - first)
        return tsr_object_fail(hasher, -EINVAL, "%u blocks from block %llu on, of %llu", count,
                               (unsigned long long)first, (unsigned long long)blocks);
    if (hasher->asked || hasher->here)
        return tsr_object_fail(hasher, -EBUSY, "a disk is read for another question");
    hasher->first = first;
    hasher->asked = count;
    pthread_cond_signal(&hasher->changed);
    return 0;
}

int tsr_hasher_ask(int handle, uint64_t first, uint32_t count)
{
    struct hasher *hasher = get(handle);
    int rc;

    if (!hasher)
        return -EBADF;
    pthread_mutex_lock(&hasher->lock);
    rc = ask(hasher, first, count);
    pthread_mutex_unlock(&hasher->lock);
    tsr_handle_put(hasher);
    return rc;
}

int tsr_hasher_take(int handle, uint8_t *out, size_t size)
{
    struct hasher *hasher = get(handle);
    size_t bytes;
    int rc;

    if (!hasher)
        return -EBADF;
    pthread_mutex_lock(&hasher->lock);
    bytes = (size_t)hasher->here * TSR_DIGEST_SIZE;
    rc = bytes ? (int)bytes : -EAGAIN;
    if (bytes > size)
        rc = tsr_object_fail(hasher, -EINVAL, "no room for %zu bytes of digests", bytes);
    if (rc > 0) {
        memcpy(out, hasher->digests, bytes);
        hasher->here = 0;
    }
    pthread_mutex_unlock(&hasher->lock);
    tsr_handle_put(hasher);
    return rc;
}

int tsr_hasher_close(int handle)
{
    struct hasher *hasher = get(handle);

    if (!hasher)
        return -EBADF;
    pthread_mutex_lock(&hasher->lock);
    hasher->stop = true;
    pthread_cond_signal(&hasher->changed);
    pthread_mutex_unlock(&hasher->lock);
    if (tsr_handle_remove(handle))
        pthread_join(hasher->thread, NULL);
    tsr_handle_put(hasher);
    return 0;
}
