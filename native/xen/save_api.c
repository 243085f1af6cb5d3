/*
 * The exported functions of a save session. They only set flags, move bytes out
 * of the queue and wake the session's thread; none of them waits for it, except
 * tsr_save_free, which comes after its end.
 */
#include "save.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define LIMIT_MIN (64u << 10)

/*
 * Wanted size of the stream's buffer in the kernel (which doubles it, for its own
 * bookkeeping): enough that the helper seldom waits for us while the guest is
 * suspended, little enough that it stays in a processor's cache.
 */
#define STREAM_BUFFER (1 << 20)

static void wake(struct tsr_save *save)
{
    uint64_t one = 1;

    while (write(save->wake, &one, sizeof(one)) < 0 && errno == EINTR)
        ;
}

static void destroy(struct tsr_object *object)
{
    struct tsr_save *save = (struct tsr_save *)object;

    /* libxl never gave the operation back: it may still touch all of it. */
    if (save->leaked)
        return;
    tsr_events_free(save->events);
    tsr_chunks_dispose(&save->chunks);
    if (save->stream_in >= 0)
        close(save->stream_in);
    if (save->stream_out >= 0)
        close(save->stream_out);
    if (save->wake >= 0)
        close(save->wake);
    pthread_mutex_destroy(&save->lock);
    free(save);
}

/*
 * A pair of sockets, not a pipe. A pipe takes each 4 KiB from the page allocator and
 * copies under its lock, a socket takes 32 KiB at a time and copies outside of any:
 * 5.1 GB/s where a pipe of 1 MiB gave 3.2 on two processors, 5.5 and 3.6 on one (memcpy
 * of the same scattered pages: 10). libxl only writes to the descriptor; libvirt's
 * migration hands it a socket, too.
 */
static int open_stream(struct tsr_save *save)
{
    static const int size = STREAM_BUFFER;
    int fds[2];

    save->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (save->wake < 0 ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
        return tsr_fail(-errno, "no descriptors for a session: %s",
                        strerror(errno));
    save->stream_in = fds[0];
    save->stream_out = fds[1];
    /* Past net.core.wmem_max as root; a smaller buffer only means more turns. */
    if (setsockopt(fds[1], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)))
        setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    /* Only our end: the helper expects its writes to block. */
    if (fcntl(fds[0], F_SETFL, O_NONBLOCK))
        return tsr_fail(-errno, "fcntl: %s", strerror(errno));
    return 0;
}

const struct tsr_kind tsr_save_kind = { .name = "a save", .destroy = destroy };

void tsr_save_drop_barriers(struct tsr_save *save)
{
    while (save->barrier_count)
        tsr_handle_put(save->barriers[--save->barrier_count]);
}

static int new_save(const int32_t *barriers, uint32_t count,
                    struct tsr_save **save_out)
{
    struct tsr_save *save = calloc(1, sizeof(*save));
    uint32_t i;

    if (!save)
        return tsr_fail(-ENOMEM, "out of memory");
    tsr_object_init(&save->object, &tsr_save_kind);
    tsr_chunks_init(&save->chunks);
    tsr_parser_init(&save->parser);
    pthread_mutex_init(&save->lock, NULL);
    save->stream_in = save->stream_out = save->wake = -1;
    *save_out = save;
    for (i = 0; i < count; i++) {
        save->barriers[i] = tsr_handle_barrier(barriers[i]);
        if (!save->barriers[i])
            return -EBADF;
        save->barrier_count++;
    }
    return 0;
}

int tsr_save_start(uint32_t domid, uint64_t limit, const int32_t *barriers,
                   uint32_t count, int32_t *event_fd)
{
    struct tsr_save *save = NULL;
    char name[16];
    int handle = -1, rc, r;
    int32_t fd = -1;

    if (!event_fd || limit < LIMIT_MIN)
        return tsr_fail(-EINVAL, "a save needs a limit of at least %u bytes",
                        LIMIT_MIN);
    if (count > TSR_BARRIERS_MAX || (count && !barriers))
        return tsr_fail(-EINVAL, "a save sets at most %d barriers",
                        TSR_BARRIERS_MAX);
    rc = new_save(barriers, count, &save);
    if (rc < 0)
        goto out;
    save->domid = domid;
    save->limit = limit;
    rc = open_stream(save);
    if (rc < 0)
        goto out;
    save->events = tsr_events_open(&fd);
    if (!save->events) {
        rc = tsr_fail(-errno, "no event pipe: %s", strerror(errno));
        goto out;
    }
    handle = tsr_handle_new(&save->object);
    if (handle < 0) {
        rc = handle;
        goto out;
    }
    r = pthread_create(&save->thread, NULL, tsr_save_main, save);
    if (r) {
        rc = tsr_fail(-r, "no thread for a session: %s", strerror(r));
        goto out;
    }
    snprintf(name, sizeof(name), "tsr-save-%u", domid);
    pthread_setname_np(save->thread, name);
    *event_fd = fd;
    return handle;

out:
    if (fd >= 0)
        close(fd);
    if (save)
        tsr_save_drop_barriers(save);
    if (handle >= 0)
        tsr_handle_remove(handle);
    else if (save)
        tsr_handle_put(save);
    return rc;
}

int tsr_save_checkpoint(int handle, int last)
{
    struct tsr_save *save = tsr_handle_get(handle, &tsr_save_kind);
    int rc = 0;

    if (!save)
        return -EBADF;
    pthread_mutex_lock(&save->lock);
    if (save->ended || save->abort_wanted || save->last) {
        rc = -ESHUTDOWN;
    } else if (!save->held || save->ends_count >= TSR_ENDS_MAX - 1) {
        rc = -EAGAIN;
    } else {
        save->held = false;
        save->last = last != 0;
    }
    pthread_mutex_unlock(&save->lock);
    if (!rc)
        wake(save);
    if (rc == -ESHUTDOWN)
        tsr_object_fail(save, rc, "the session is ending");
    tsr_handle_put(save);
    return rc;
}

/* Where the epoch under way ends for the reader; UINT64_MAX: not known yet. */
static uint64_t reader_end(struct tsr_save *save)
{
    uint64_t end = UINT64_MAX;

    pthread_mutex_lock(&save->lock);
    /* Before looking, so that what comes after is told again. */
    save->data_told = false;
    while (save->ends_count && save->ends[save->ends_first] <= save->read_offset) {
        save->ends_first = (save->ends_first + 1) % TSR_ENDS_MAX;
        save->ends_count--;
    }
    if (save->ends_count)
        end = save->ends[save->ends_first];
    pthread_mutex_unlock(&save->lock);
    return end;
}

/* tsr_save_read: to be called by one thread at a time. */
int tsr_save_read(int handle, uint8_t *out, size_t size)
{
    struct tsr_save *save = tsr_handle_get(handle, &tsr_save_kind);
    const uint8_t *data;
    size_t n, total = 0;
    uint64_t end;

    if (!save)
        return -EBADF;
    if (size > INT32_MAX)
        size = INT32_MAX;
    end = reader_end(save);
    while (total < size && save->read_offset < end) {
        data = tsr_chunks_peek(&save->chunks, &n);
        if (!data)
            break;
        if (end == UINT64_MAX)
            /* The end may have been noted after we asked; it is never before
             * bytes that were committed earlier, so ask again. */
            end = reader_end(save);
        if (n > size - total)
            n = size - total;
        if (n > end - save->read_offset)
            n = (size_t)(end - save->read_offset);
        memcpy(out + total, data, n);
        tsr_chunks_consume(&save->chunks, n);
        save->read_offset += n;
        total += n;
    }
    if (total && atomic_exchange(&save->stalled, false))
        wake(save);
    tsr_handle_put(save);
    return (int)total;
}

int tsr_save_abort(int handle)
{
    struct tsr_save *save = tsr_handle_get(handle, &tsr_save_kind);

    if (!save)
        return -EBADF;
    pthread_mutex_lock(&save->lock);
    save->abort_wanted = true;
    pthread_mutex_unlock(&save->lock);
    wake(save);
    tsr_handle_put(save);
    return 0;
}

int tsr_save_free(int handle)
{
    struct tsr_save *save = tsr_handle_get(handle, &tsr_save_kind);
    bool ended;

    if (!save)
        return -EBADF;
    pthread_mutex_lock(&save->lock);
    ended = save->ended;
    pthread_mutex_unlock(&save->lock);
    if (!ended) {
        tsr_handle_put(save);
        return tsr_fail(-EBUSY, "the session has not ended");
    }
    if (tsr_handle_remove(handle))
        pthread_join(save->thread, NULL);
    tsr_handle_put(save);
    return 0;
}
