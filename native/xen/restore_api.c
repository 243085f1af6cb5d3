/*
 * The exported functions of a restore session.
 */
#include "restore.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define PIPE_SIZE (1 << 20)

static void close_fd(int fd)
{
    if (fd >= 0)
        close(fd);
}

static void destroy(struct tsr_object *object)
{
    struct tsr_restore *restore = (struct tsr_restore *)object;

    if (restore->leaked)
        return;
    tsr_events_free(restore->events);
    tsr_chunks_dispose(&restore->chunks);
    close_fd(restore->pipe_in);
    close_fd(restore->pipe_out);
    close_fd(restore->wake);
    close_fd(restore->wake_feeder);
    pthread_mutex_destroy(&restore->lock);
    free(restore->config_json);
    free(restore);
}

static const struct tsr_kind restore_kind = {
    .name = "a restore",
    .destroy = destroy,
};

static int new_restore(const char *config_json, uint64_t limit,
                       struct tsr_restore **out)
{
    struct tsr_restore *restore = calloc(1, sizeof(*restore));

    if (!restore)
        return tsr_fail(-ENOMEM, "out of memory");
    tsr_object_init(&restore->object, &restore_kind);
    tsr_chunks_init(&restore->chunks);
    tsr_parser_init(&restore->parser);
    pthread_mutex_init(&restore->lock, NULL);
    restore->pipe_in = restore->pipe_out = -1;
    restore->wake = restore->wake_feeder = -1;
    restore->limit = limit;
    restore->config_json = strdup(config_json);
    if (!restore->config_json) {
        tsr_handle_put(restore);
        return tsr_fail(-ENOMEM, "out of memory");
    }
    *out = restore;
    return 0;
}

static int open_fds(struct tsr_restore *restore)
{
    int fds[2];

    restore->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    restore->wake_feeder = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (restore->wake < 0 || restore->wake_feeder < 0 ||
        pipe2(fds, O_CLOEXEC))
        return tsr_fail(-errno, "no descriptors for a session: %s",
                        strerror(errno));
    restore->pipe_in = fds[0];
    restore->pipe_out = fds[1];
    fcntl(fds[1], F_SETPIPE_SZ, PIPE_SIZE);
    /* Only our end: libxl and its helper expect their reads to block. */
    if (fcntl(fds[1], F_SETFL, O_NONBLOCK))
        return tsr_fail(-errno, "fcntl: %s", strerror(errno));
    return 0;
}

static int start_threads(struct tsr_restore *restore)
{
    int r;

    r = pthread_create(&restore->feeder, NULL, tsr_feeder_main, restore);
    if (r)
        return tsr_fail(-r, "no thread for a session: %s", strerror(r));
    pthread_setname_np(restore->feeder, "tsr-feed");
    r = pthread_create(&restore->thread, NULL, tsr_restore_main, restore);
    if (r) {
        restore->over = true;
        tsr_restore_wake(restore->wake_feeder);
        pthread_join(restore->feeder, NULL);
        return tsr_fail(-r, "no thread for a session: %s", strerror(r));
    }
    pthread_setname_np(restore->thread, "tsr-restore");
    return 0;
}

/* tsr_restore_start: the configuration's c_info.name must be the copy's. */
int tsr_restore_start(const char *config_json, uint64_t limit,
                      int32_t *event_fd)
{
    struct tsr_restore *restore = NULL;
    int handle = -1, rc;
    int32_t fd = -1;

    if (!config_json || !event_fd || !limit)
        return tsr_fail(-EINVAL, "a restore needs a configuration and a limit");
    rc = new_restore(config_json, limit, &restore);
    if (rc < 0)
        return rc;
    if (!tsr_json_string(config_json, "c_info.name", restore->name,
                         sizeof(restore->name)) || !restore->name[0]) {
        rc = tsr_fail(-EINVAL, "the configuration has no c_info.name");
        goto out;
    }
    rc = open_fds(restore);
    if (rc < 0)
        goto out;
    restore->events = tsr_events_open(&fd);
    if (!restore->events) {
        rc = tsr_fail(-errno, "no event pipe: %s", strerror(errno));
        goto out;
    }
    handle = tsr_handle_new(&restore->object);
    if (handle < 0) {
        rc = handle;
        goto out;
    }
    rc = start_threads(restore);
    if (rc < 0)
        goto out;
    *event_fd = fd;
    return handle;

out:
    close_fd(fd);
    if (handle >= 0)
        tsr_handle_remove(handle);
    else
        tsr_handle_put(restore);
    return rc;
}

/* Under the lock: may this session still be fed? */
static int check_feed(struct tsr_restore *restore, size_t size)
{
    if (restore->ended || restore->over || restore->abort_wanted ||
        restore->finish_wanted)
        return tsr_object_fail(restore, -ESHUTDOWN, "the session is ending");
    if (restore->parser.failed)
        return tsr_object_fail(restore, -EPROTO, "%s", restore->parser.text);
    if (size > restore->limit)
        return tsr_object_fail(restore, -EMSGSIZE, "more than %llu bytes at "
                               "once", (unsigned long long)restore->limit);
    if (tsr_chunks_size(&restore->chunks) > restore->limit - size)
        return -ENOBUFS;
    return 0;
}

/* The whole of DATA, or nothing if it does not continue the stream. */
static int check_stream(struct tsr_restore *restore, const uint8_t *data,
                        size_t size)
{
    enum tsr_mark mark;
    size_t taken;

    while (size) {
        if (tsr_parser_take(&restore->parser, data, size, &taken, &mark) < 0)
            return tsr_object_fail(restore, -EPROTO, "%s",
                                   restore->parser.text);
        if (mark == TSR_MARK_EPOCH_END) {
            tsr_chunks_trim(&restore->chunks);
            if (restore->parser.epoch == 1)
                restore->applied = restore->parser.epoch_end;
        }
        data += taken;
        size -= taken;
    }
    return 0;
}

static int queue(struct tsr_restore *restore, const uint8_t *data, size_t size)
{
    while (size) {
        size_t n;
        uint8_t *space = tsr_chunks_space(&restore->chunks, &n);

        if (!space)
            return tsr_object_fail(restore, -ENOMEM, "no memory for the "
                                   "stream");
        if (n > size)
            n = size;
        memcpy(space, data, n);
        tsr_chunks_commit(&restore->chunks, n);
        data += n;
        size -= n;
    }
    return 0;
}

/* tsr_restore_feed: to be called by one thread at a time. */
int tsr_restore_feed(int handle, const uint8_t *data, size_t size,
                     struct tsr_stream_stats *out)
{
    struct tsr_restore *restore = tsr_handle_get(handle, &restore_kind);
    struct tsr_parser before;
    uint64_t applied;
    int rc;

    if (!restore)
        return -EBADF;
    pthread_mutex_lock(&restore->lock);
    rc = check_feed(restore, size);
    before = restore->parser;
    applied = restore->applied;
    pthread_mutex_unlock(&restore->lock);
    if (rc < 0)
        goto out;

    /*
     * The bytes are queued before the checker moves on, since its position is
     * what the feeder goes by. Nobody else touches either.
     */
    rc = queue(restore, data, size);
    if (rc < 0)
        goto out;
    pthread_mutex_lock(&restore->lock);
    rc = check_stream(restore, data, size);
    if (rc < 0) {
        /* The feeder stays where the stream was sound. */
        memcpy(before.text, restore->parser.text, sizeof(before.text));
        restore->parser = before;
        restore->parser.failed = true;
        restore->applied = applied;
    }
    if (out)
        tsr_stream_fill(&restore->parser, out);
    pthread_mutex_unlock(&restore->lock);
    if (!rc)
        tsr_restore_wake(restore->wake_feeder);
out:
    tsr_handle_put(restore);
    return rc;
}

int tsr_restore_apply(int handle, uint64_t offset)
{
    struct tsr_restore *restore = tsr_handle_get(handle, &restore_kind);
    int rc = 0;

    if (!restore)
        return -EBADF;
    pthread_mutex_lock(&restore->lock);
    if (offset > restore->parser.epoch_end)
        rc = tsr_object_fail(restore, -EINVAL, "the epoch is not all there");
    else if (offset > restore->applied)
        restore->applied = offset;
    pthread_mutex_unlock(&restore->lock);
    if (!rc)
        tsr_restore_wake(restore->wake_feeder);
    tsr_handle_put(restore);
    return rc;
}

/* A command: sets the flag and wakes both threads. */
static int order(int handle, bool finish)
{
    struct tsr_restore *restore = tsr_handle_get(handle, &restore_kind);
    int rc = 0;

    if (!restore)
        return -EBADF;
    pthread_mutex_lock(&restore->lock);
    if (restore->ended)
        rc = tsr_object_fail(restore, -ESHUTDOWN, "the session has ended");
    else if (finish && (restore->abort_wanted || restore->parser.failed))
        rc = tsr_object_fail(restore, -ESHUTDOWN, "the copy is being "
                             "discarded");
    else if (finish)
        restore->finish_wanted = true;
    else
        restore->abort_wanted = true;
    pthread_mutex_unlock(&restore->lock);
    if (!rc) {
        tsr_restore_wake(restore->wake);
        tsr_restore_wake(restore->wake_feeder);
    }
    tsr_handle_put(restore);
    return rc;
}

int tsr_restore_finish(int handle)
{
    return order(handle, true);
}

int tsr_restore_abort(int handle)
{
    return order(handle, false);
}

int tsr_restore_free(int handle)
{
    struct tsr_restore *restore = tsr_handle_get(handle, &restore_kind);
    bool ended;

    if (!restore)
        return -EBADF;
    pthread_mutex_lock(&restore->lock);
    ended = restore->ended;
    pthread_mutex_unlock(&restore->lock);
    if (!ended) {
        tsr_handle_put(restore);
        return tsr_fail(-EBUSY, "the session has not ended");
    }
    if (tsr_handle_remove(handle))
        pthread_join(restore->thread, NULL);
    tsr_handle_put(restore);
    return 0;
}
