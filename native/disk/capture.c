/*
 * The server of the mirror's leg: what is captured when.
 *
 * C1. A write is in the ring, whole, before it is answered. The mirror tells the guest
 *     that a write has completed only when both legs have answered: so what has completed
 *     is captured. A write that is under way at a seal may come into this epoch or the
 *     next one; the guest as its memory of that moment knows it has it under way, too,
 *     and issues it again.
 * C2. What is appended is appended whole, under one lock, and a seal is a mark at what was
 *     appended: nothing is ever torn. A write that is half received belongs to the next epoch.
 * C3. A read is answered from the disk only if the kernel says that the mirror's own disk
 *     has failed: then good blocks stay readable. An error is not answered at all: it
 *     would make the mirror give up this leg too, and then every read fails. The guard
 *     breaks the leg as soon as the swap holds back new reads, and that ends the wait.
 * C4. Reads that no mirror sent (udev's, LVM's, the kernel's own search for partitions)
 *     never see the guest's data, so that nobody finds a volume of the guest's there:
 *     zeroes as long as the mirror is not there, an error afterwards. It cannot be the
 *     mirror's read: fail_mirror notes the failed disk before it asks the other leg
 *     (mirror_end_io, drivers/md/dm-raid1.c).
 */
#include "capture.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define STACK_BYTES (256u << 10)
/* Of a swap that somebody else's change is in the way of. */
#define SWAP_AGAIN_MS 50
#define SWAP_AGAIN_MAX 200

/* ---- the socket ---------------------------------------------------------------------- */

/* 0: all of it; negative: the kernel's end is gone. */
static int receive(int sock, struct iovec *pieces, int count)
{
    struct msghdr message = { .msg_iov = pieces, .msg_iovlen = (size_t)count };
    ssize_t r;

    while (message.msg_iovlen) {
        r = recvmsg(sock, &message, MSG_WAITALL);
        if (r < 0 && errno == EINTR)
            continue;
        if (r <= 0)
            return r < 0 ? -errno : -EPIPE;
        while (message.msg_iovlen && (size_t)r >= message.msg_iov->iov_len) {
            r -= (ssize_t)message.msg_iov->iov_len;
            message.msg_iov++;
            message.msg_iovlen--;
        }
        if (message.msg_iovlen) {
            message.msg_iov->iov_base = (uint8_t *)message.msg_iov->iov_base + r;
            message.msg_iov->iov_len -= (size_t)r;
        }
    }
    return 0;
}

static int answer(struct tsr_capture *capture, const struct tsr_nbd_request *request,
                  uint32_t error, const void *data, size_t size)
{
    uint8_t head[TSR_NBD_REPLY_SIZE];
    struct iovec pieces[2] = { { head, sizeof(head) }, { (void *)data, size } };
    struct msghdr message = { .msg_iov = pieces, .msg_iovlen = size ? 2 : 1 };
    size_t left = sizeof(head) + size;
    ssize_t r = 0;

    tsr_nbd_reply(head, request, error);
    pthread_mutex_lock(&capture->send_lock);
    while (left) {
        r = sendmsg(capture->sock, &message, MSG_NOSIGNAL);
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            break;
        left -= (size_t)r;
        while (r && (size_t)r >= message.msg_iov->iov_len) {
            r -= (ssize_t)message.msg_iov->iov_len;
            message.msg_iov++;
            message.msg_iovlen--;
        }
        if (r) {
            message.msg_iov->iov_base = (uint8_t *)message.msg_iov->iov_base + r;
            message.msg_iov->iov_len -= (size_t)r;
        }
    }
    r = left ? -errno : 0;
    pthread_mutex_unlock(&capture->send_lock);
    return (int)r;
}

/* ---- what is captured ---------------------------------------------------------------- */

static void tell(struct tsr_capture *capture, uint32_t kind, uint64_t bytes)
{
    struct tsr_event event = { .b = bytes };

    tsr_events_send(capture->events, kind, &event, NULL);
}

/* Under lock. The copy's turn: F3 in copy.c. */
static bool has_room(const struct tsr_capture *capture, uint64_t need)
{
    return tsr_ring_room(&capture->ring) - capture->reserved >= need &&
           !tsr_copy_has_turn(&capture->copy);
}

bool tsr_wait_goes_on(struct tsr_wait *wait, uint64_t tail, uint64_t now_ns, uint64_t idle_ns)
{
    if (!wait->began_ns || tail != wait->tail)
        wait->moved_ns = now_ns;
    if (!wait->began_ns)
        wait->began_ns = now_ns;
    wait->tail = tail;
    return now_ns - wait->moved_ns < idle_ns &&
           now_ns - wait->began_ns < TSR_WAIT_MOST_MS * 1000000ull;
}

/* Under lock. What nobody will read makes room: while the mirror is taken away its writes are
 * answered, or somebody who changes the volume in that moment would make errors of them. */
static void forget(struct tsr_capture *capture)
{
    if (capture->is_reading)
        return;
    capture->ring.tail = capture->ring.head;
    capture->seal_count = 0;
}

/* Under lock. -ETIMEDOUT: see tsr_wait_goes_on. */
static int wait_for_room(struct tsr_capture *capture, uint64_t need)
{
    uint64_t idle_ns = capture->settings.wait_ms * 1000000ull, now, step;
    struct tsr_wait wait = { 0 };
    struct timespec until;

    while (!has_room(capture, need)) {
        if (capture->closing)
            forget(capture);
        if (has_room(capture, need))
            break;
        now = tsr_now_ns();
        if (!tsr_wait_goes_on(&wait, capture->ring.tail, now, idle_ns))
            return -ETIMEDOUT;
        atomic_store(&capture->pace->paced_ns, now);
        step = now + TSR_PACE_STEP_MS * 1000000ull;
        until.tv_sec = (time_t)(step / 1000000000u);
        until.tv_nsec = (long)(step % 1000000000u);
        pthread_cond_timedwait(&capture->room, &capture->lock, &until);
    }
    return 0;
}

/* Takes room for NEED bytes, waiting until it is there. -ENOBUFS: nobody made any. */
static int await_room(struct tsr_capture *capture, uint64_t need)
{
    uint64_t began = tsr_now_ns();
    int rc = 0;

    pthread_mutex_lock(&capture->lock);
    if (!has_room(capture, need)) {
        bool tells = !capture->told_full;

        capture->told_full = true;
        capture->stats.paced++;
        if (tells) {
            pthread_mutex_unlock(&capture->lock);
            tell(capture, TSR_EV_DISK_FULL, tsr_ring_used(&capture->ring));
            pthread_mutex_lock(&capture->lock);
        }
        rc = wait_for_room(capture, need);
        capture->stats.paced_ns += tsr_now_ns() - began;
    }
    capture->reserved += rc ? 0 : need;
    pthread_mutex_unlock(&capture->lock);
    if (rc == -ETIMEDOUT)
        return tsr_object_fail(capture, -ENOBUFS, "nobody made room for the guest's writes "
                               "within %llu ms: %llu bytes wait",
                               (unsigned long long)((tsr_now_ns() - began) / 1000000),
                               (unsigned long long)tsr_ring_used(&capture->ring));
    return rc;
}

static void count(struct tsr_capture *capture, const struct tsr_disk_record *record)
{
    struct tsr_capture_stats *stats = &capture->stats;

    if (record->flags & TSR_DISK_FLUSH) {
        stats->flushes++;
    } else if (record->flags & TSR_DISK_TRIM) {
        stats->trims++;
    } else if (record->flags & TSR_DISK_ZEROES) {
        stats->zeroes++;
    } else {
        stats->writes++;
        stats->written += record->length;
        stats->fuas += record->flags & TSR_DISK_FUA;
    }
}

bool tsr_capture_is_first(const struct tsr_capture *capture)
{
    return capture->copy.size && capture->sealed_last == TSR_CAPTURE_NOT_SEALED;
}

void tsr_capture_publish(struct tsr_capture *capture, uint64_t size, uint64_t reserved,
                         const struct tsr_disk_record *record)
{
    bool tells_filling, tells_more;
    uint64_t used;

    pthread_mutex_lock(&capture->lock);
    capture->ring.head += size;
    capture->reserved -= reserved;
    used = tsr_ring_used(&capture->ring);
    if (used > capture->stats.most)
        capture->stats.most = used;
    if (record) {
        count(capture, record);
        capture->copy.captured_since += size;
    }
    /* No checkpoint helps as long as the first copy is under way. */
    tells_filling = used > capture->settings.ask && !capture->told_filling &&
                    !tsr_capture_is_first(capture);
    capture->told_filling |= tells_filling;
    tells_more = size && capture->wants_more && tsr_capture_is_first(capture);
    capture->wants_more &= !tells_more;
    pthread_cond_signal(&capture->copy.turn);
    pthread_mutex_unlock(&capture->lock);
    if (tells_filling)
        tell(capture, TSR_EV_DISK_FILLING, used);
    if (tells_more)
        tell(capture, TSR_EV_DISK_MORE, used);
}

/* Puts RECORD and what belongs to it behind the head; under append_lock. */
static int append(struct tsr_capture *capture, const struct tsr_disk_record *record, bool data,
                  uint64_t reserved)
{
    uint64_t size = sizeof(*record) + (data ? record->length : 0), before;
    struct iovec pieces[2];
    int rc = tsr_copy_before(capture, record);

    if (rc < 0)
        return rc;
    before = (uint64_t)rc;
    tsr_ring_put(&capture->ring, before, record, sizeof(*record));
    if (data) {
        rc = receive(capture->sock, pieces, tsr_ring_ahead(&capture->ring,
                     before + sizeof(*record), record->length, pieces));
        if (rc < 0)
            return rc;
    }
    tsr_capture_publish(capture, before + size, reserved, record);
    return 0;
}

/* Takes RECORD and, with DATA, what follows it on the socket, into the open epoch. */
static int capture_record(struct tsr_capture *capture, const struct tsr_disk_record *record,
                          bool data)
{
    uint64_t need = sizeof(*record) + (data ? record->length : 0) +
                    tsr_copy_before_max(&capture->copy);
    int rc = await_room(capture, need);

    if (rc < 0)
        return rc;
    pthread_mutex_lock(&capture->append_lock);
    rc = append(capture, record, data, need);
    pthread_mutex_unlock(&capture->append_lock);
    return rc;
}

static int queue_read(struct tsr_capture *capture, const struct tsr_nbd_request *request)
{
    unsigned at;
    int rc = 0;

    pthread_mutex_lock(&capture->lock);
    if (capture->read_count == TSR_CAPTURE_READS_MAX) {
        rc = tsr_object_fail(capture, -EPROTO, "the kernel has more than %d reads under way",
                             TSR_CAPTURE_READS_MAX);
    } else {
        at = (capture->first_read + capture->read_count++) % TSR_CAPTURE_READS_MAX;
        capture->reads[at] = *request;
        pthread_cond_signal(&capture->reads_come);
    }
    pthread_mutex_unlock(&capture->lock);
    return rc;
}

static int serve(struct tsr_capture *capture, const struct tsr_nbd_request *request)
{
    struct tsr_disk_record record = {
        .offset = request->offset,
        .length = request->length,
    };
    int rc;

    switch (request->command) {
    case TSR_NBD_READ:
        return queue_read(capture, request);
    case TSR_NBD_WRITE:
        record.flags = request->fua ? TSR_DISK_FUA : 0;
        break;
    case TSR_NBD_FLUSH:
        record = (struct tsr_disk_record){ .flags = TSR_DISK_FLUSH };
        break;
    case TSR_NBD_TRIM:
        record.flags = TSR_DISK_TRIM;
        break;
    case TSR_NBD_WRITE_ZEROES:
        record.flags = TSR_DISK_ZEROES;
        break;
    default:
        return -EPIPE;
    }
    rc = capture_record(capture, &record, request->command == TSR_NBD_WRITE);
    return rc < 0 ? rc : answer(capture, request, 0, NULL, 0);
}

/* ---- the server's thread ------------------------------------------------------------- */

int tsr_capture_swap(struct tsr_capture *capture, bool urgent)
{
    const struct timespec again = { .tv_nsec = SWAP_AGAIN_MS * 1000000 };
    unsigned tries;
    int rc = 0;

    pthread_mutex_lock(&capture->swap_lock);
    for (tries = 0; tries < SWAP_AGAIN_MAX; tries++) {
        if (tries)
            nanosleep(&again, NULL);
        rc = tsr_mirror_swap(&capture->dm, &capture->mirror, urgent, NULL);
        if (rc != -EBUSY)
            break;
    }
    pthread_mutex_unlock(&capture->swap_lock);
    return rc;
}

/* Until the leg is over; why. */
static int serve_all(struct tsr_capture *capture)
{
    uint8_t bytes[TSR_NBD_REQUEST_SIZE];
    struct iovec piece;
    struct tsr_nbd_request request;
    const char *wrong;
    int rc;

    for (;;) {
        piece = (struct iovec){ bytes, sizeof(bytes) };
        rc = receive(capture->sock, &piece, 1);
        if (rc < 0)
            return rc;
        wrong = tsr_nbd_decode(bytes, capture->settings.size, &request);
        if (wrong)
            return tsr_object_fail(capture, -EPROTO, "the kernel's request on %s: %s",
                                   capture->settings.name, wrong);
        rc = serve(capture, &request);
        if (rc < 0)
            return rc;
    }
}

/* Whoever waits looks whether it is over; under lock. */
static void wake_all(struct tsr_capture *capture)
{
    pthread_cond_broadcast(&capture->room);
    pthread_cond_broadcast(&capture->reads_come);
    pthread_cond_broadcast(&capture->copy.turn);
}

static void end_leg(struct tsr_capture *capture, int why)
{
    struct tsr_event event = { 0 };
    char text[TSR_TEXT_MAX] = "";
    bool told;

    /* What is under way fails on the leg now, and is held by the mirror. */
    shutdown(capture->sock, SHUT_RDWR);
    pthread_mutex_lock(&capture->lock);
    told = capture->closing;
    if (capture->copy.failed)
        why = tsr_object_fail(capture, capture->copy.failed, "%s", capture->copy.why);
    capture->over = true;
    capture->stats.lost = why;
    event.a = why;
    wake_all(capture);
    pthread_mutex_unlock(&capture->lock);
    if (!told) {
        if (why == -EPIPE || why == -ECONNRESET)
            tsr_object_fail(capture, why, "the kernel has closed the leg of %s",
                            capture->settings.name);
        tsr_error_text(-1, text, sizeof(text));
        tsr_events_send(capture->events, TSR_EV_FAILED, &event, text);
        /* The guard does it, too, if it lives; whoever is first. */
        event.a = tsr_capture_swap(capture, true);
        text[0] = 0;
        if (event.a < 0)
            tsr_error_text(-1, text, sizeof(text));
        tsr_events_send(capture->events, TSR_EV_ENDED, &event, text);
    }
}

static void *run_server(void *argument)
{
    struct tsr_capture *capture = argument;

    end_leg(capture, serve_all(capture));
    return NULL;
}

/* ---- the reader's thread ------------------------------------------------------------- */

/* What the kernel says of the mirror, as far as a read is concerned: C3, C4. */
enum reads { READ_DISK, READ_ZEROES, READ_NOTHING };

static enum reads judge_read(struct tsr_capture *capture)
{
    struct tsr_mirror_found found;
    int rc = tsr_mirror_look(&capture->reader_dm, &capture->mirror, &found);

    /* Not seen: it may be the mirror's, and the guest comes first. */
    if (rc < 0)
        return rc == -ENXIO ? READ_NOTHING : READ_DISK;
    if (found.state == TSR_MIRROR_PLAIN)
        return READ_ZEROES;
    return found.disk && found.disk != 'A' ? READ_DISK : READ_NOTHING;
}

static int answer_read(struct tsr_capture *capture, const struct tsr_nbd_request *request)
{
    enum reads reads = judge_read(capture);
    bool held = false;
    ssize_t r;

    if (reads == READ_DISK) {
        r = pread(capture->plain, capture->read_buffer, request->length,
                  (off_t)request->offset);
        held = r != (ssize_t)request->length;
    } else {
        memset(capture->read_buffer, 0, request->length);
    }
    pthread_mutex_lock(&capture->lock);
    capture->stats.probes += reads != READ_DISK;
    capture->stats.reads_held += held;
    capture->stats.reads += reads == READ_DISK && !held;
    pthread_mutex_unlock(&capture->lock);
    if (held)
        return 0;
    if (reads == READ_NOTHING)
        return answer(capture, request, EIO, NULL, 0);
    return answer(capture, request, 0, capture->read_buffer, request->length);
}

static void *run_reader(void *argument)
{
    struct tsr_capture *capture = argument;
    struct tsr_nbd_request request;

    pthread_mutex_lock(&capture->lock);
    while (!capture->over) {
        if (!capture->read_count) {
            pthread_cond_wait(&capture->reads_come, &capture->lock);
            continue;
        }
        request = capture->reads[capture->first_read];
        capture->first_read = (capture->first_read + 1) % TSR_CAPTURE_READS_MAX;
        capture->read_count--;
        pthread_mutex_unlock(&capture->lock);
        /* That the leg is gone, the server's thread sees. */
        answer_read(capture, &request);
        pthread_mutex_lock(&capture->lock);
    }
    pthread_mutex_unlock(&capture->lock);
    return NULL;
}

/* ---- start and end ------------------------------------------------------------------- */

int tsr_capture_thread(pthread_t *thread, void *(*run)(void *), void *argument)
{
    sigset_t all, before;
    pthread_attr_t attributes;
    int r;

    /* Signals are for the caller's own threads; here they would break waits. */
    sigfillset(&all);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    r = pthread_create(thread, &attributes, run, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return r ? tsr_fail(-r, "no thread for a disk: %s", strerror(r)) : 0;
}

int tsr_capture_start(struct tsr_capture *capture)
{
    int rc = tsr_capture_thread(&capture->reader, run_reader, capture);

    capture->threads = !rc;
    if (!rc)
        rc = tsr_capture_thread(&capture->server, run_server, capture);
    capture->threads += !rc;
    return rc;
}

void tsr_capture_stop(struct tsr_capture *capture)
{
    pthread_mutex_lock(&capture->lock);
    capture->closing = true;
    if (capture->threads < 2)
        capture->over = true;
    wake_all(capture);
    pthread_mutex_unlock(&capture->lock);
    if (capture->sock >= 0)
        shutdown(capture->sock, SHUT_RDWR);
    if (capture->threads > 1)
        pthread_join(capture->server, NULL);
    if (capture->threads > 0)
        pthread_join(capture->reader, NULL);
    capture->threads = 0;
    tsr_copy_join(&capture->copy);
}
