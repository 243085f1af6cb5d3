/*
 * The feeder: moves what was fed into the pipe that libxl reads.
 *
 * It is a thread of its own because of how libxl reads. Most of the stream is
 * read by the restore helper, another process; but the few records between
 * CHECKPOINT and CHECKPOINT_END libxl reads itself, with blocking reads, in the
 * thread that turns its event loop. If that thread were also the one that
 * writes, a record that is not all there would stop both for ever. For the same
 * reason the feeder never begins one of libxl's records before it has all of it.
 */
#include "restore.h"

#include <poll.h>
#include <string.h>
#include <unistd.h>

/* FED is told at least this often in a long run. */
#define TELL_BYTES (4u << 20)

void tsr_restore_wake(int fd)
{
    uint64_t one = 1;

    while (write(fd, &one, sizeof(one)) < 0 && errno == EINTR)
        ;
}

static void tell_fed(struct tsr_restore *restore, uint64_t *told)
{
    struct tsr_event values = { .a = (int64_t)restore->written };

    if (*told == restore->written)
        return;
    *told = restore->written;
    tsr_events_send(restore->events, TSR_EV_FED, &values, NULL);
}

/* What the other threads want of the feeder. */
struct orders {
    bool stop, close;
    uint64_t safe;
};

static struct orders orders_of(struct tsr_restore *restore)
{
    struct orders orders;

    pthread_mutex_lock(&restore->lock);
    orders.stop = restore->over;
    /* While an abort is wanted the end of the file must not be seen: it would
     * mean activation. */
    orders.close = restore->finish_wanted && !restore->abort_wanted;
    orders.safe = tsr_parser_safe(&restore->parser);
    /* A later epoch goes to libxl as a whole, and only when somebody says so. */
    if (restore->parser.epoch && orders.safe > restore->applied)
        orders.safe = restore->applied;
    pthread_mutex_unlock(&restore->lock);
    return orders;
}

static void wait(struct tsr_restore *restore, bool for_pipe)
{
    struct pollfd pfds[2] = {
        { .fd = restore->wake_feeder, .events = POLLIN },
        { .fd = for_pipe ? restore->pipe_out : -1, .events = POLLOUT },
    };
    uint64_t count;

    if (poll(pfds, 2, -1) < 0)
        return;
    if (pfds[0].revents && read(restore->wake_feeder, &count, sizeof(count)) < 0)
        return;
}

/* One write. false: there is nothing that may be written, or no room. */
static bool write_some(struct tsr_restore *restore, uint64_t safe, bool *full)
{
    const uint8_t *data;
    size_t n;
    ssize_t r;

    *full = false;
    if (restore->written >= safe)
        return false;
    data = tsr_chunks_peek(&restore->chunks, &n);
    if (!data)
        return false;
    if (n > safe - restore->written)
        n = (size_t)(safe - restore->written);
    r = write(restore->pipe_out, data, n);
    if (r < 0 && errno == EINTR)
        return true;
    if (r < 0) {
        /* EAGAIN; anything else is libxl's end, which it reports itself. */
        *full = errno == EAGAIN;
        return false;
    }
    pthread_mutex_lock(&restore->lock);
    restore->written += (uint64_t)r;
    pthread_mutex_unlock(&restore->lock);
    tsr_chunks_consume(&restore->chunks, (size_t)r);
    return true;
}

void *tsr_feeder_main(void *restore_in)
{
    struct tsr_restore *restore = restore_in;
    uint64_t told = 0;
    bool full;

    for (;;) {
        struct orders orders = orders_of(restore);

        if (orders.stop)
            break;
        if (write_some(restore, orders.safe, &full)) {
            if (restore->written - told >= TELL_BYTES)
                tell_fed(restore, &told);
            continue;
        }
        if (!full) {
            tell_fed(restore, &told);
            if (orders.close) {
                /* The end of the file: libxl builds the domain. What is left
                 * in the queue is of an epoch that does not count. */
                close(restore->pipe_out);
                restore->pipe_out = -1;
                break;
            }
        }
        wait(restore, full);
    }
    return NULL;
}
