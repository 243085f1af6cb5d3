/*
 * What a capture is asked: the exported functions of disk.h.
 */
#include "capture.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

_Static_assert(sizeof(struct tsr_disk_record) == TSR_DISK_RECORD_SIZE, "shared with JS");
_Static_assert(sizeof(struct tsr_capture_settings) == 1072, "shared with JS");
_Static_assert(sizeof(struct tsr_capture_piece) == 16, "shared with JS");
_Static_assert(sizeof(struct tsr_capture_stats) == 168, "shared with JS");
_Static_assert(TSR_CAPTURE_NAME_MAX == TSR_DM_NAME_MAX, "as the device mapper has it");
_Static_assert(TSR_CAPTURE_PATH_MAX == TSR_MIRROR_PATH_MAX, "copied");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "records are little-endian");

/* Wanted size of the kernel's buffers: a few requests of 1 MiB. */
#define SOCKET_BUFFER (4 << 20)
/* Of room: one request of the longest, and its header, must always fit, twice. */
#define ROOM_LEAST (2 * (uint64_t)(TSR_NBD_LENGTH_MAX + TSR_DISK_RECORD_SIZE))
#define ROOM_MOST ((uint64_t)16 << 30)

static void destroy(struct tsr_object *object)
{
    struct tsr_capture *capture = (struct tsr_capture *)object;

    tsr_capture_stop(capture);
    if (capture->sock >= 0)
        close(capture->sock);
    if (capture->plain >= 0)
        close(capture->plain);
    tsr_dm_close(&capture->dm);
    tsr_dm_close(&capture->reader_dm);
    tsr_events_free(capture->events);
    if (capture->ring.bytes)
        tsr_unmap(capture->ring.bytes, capture->ring.size);
    free(capture->read_buffer);
    tsr_copy_close(&capture->copy);
    if (capture->pace)
        munmap(capture->pace, TSR_PACE_SIZE);
    pthread_cond_destroy(&capture->room);
    pthread_cond_destroy(&capture->reads_come);
    pthread_cond_destroy(&capture->copy.turn);
    pthread_mutex_destroy(&capture->append_lock);
    pthread_mutex_destroy(&capture->lock);
    pthread_mutex_destroy(&capture->send_lock);
    pthread_mutex_destroy(&capture->swap_lock);
    free(capture);
}

/* ---- the barrier --------------------------------------------------------------------- */

static int seal(struct tsr_capture *capture, uint64_t epoch)
{
    struct tsr_capture_seal *seal;

    if (capture->over)
        return tsr_object_fail(capture, -EIO, "the leg of %s is lost: what the guest wrote "
                               "in epoch %llu was not all captured", capture->settings.name,
                               (unsigned long long)epoch);
    if (capture->sealed_last != TSR_CAPTURE_NOT_SEALED && epoch <= capture->sealed_last)
        return tsr_object_fail(capture, -EINVAL, "epoch %llu of %s is sealed already",
                               (unsigned long long)epoch, capture->settings.name);
    if (tsr_capture_is_first(capture) && !capture->copy.ended)
        return tsr_object_fail(capture, -EBUSY, "the first copy of %s has not ended",
                               capture->settings.name);
    if (tsr_capture_is_first(capture) && epoch)
        return tsr_object_fail(capture, -EINVAL, "the first copy of %s is epoch 0, not %llu",
                               capture->settings.name, (unsigned long long)epoch);
    if (capture->seal_count == TSR_CAPTURE_SEALS_MAX)
        return tsr_object_fail(capture, -ENOBUFS, "%d epochs of %s are sealed and not read",
                               TSR_CAPTURE_SEALS_MAX, capture->settings.name);
    seal = &capture->seals[(capture->first_seal + capture->seal_count++) %
                           TSR_CAPTURE_SEALS_MAX];
    *seal = (struct tsr_capture_seal){ .epoch = epoch, .end = capture->ring.head };
    capture->sealed_last = epoch;
    capture->told_filling = capture->told_full = false;
    return 0;
}

static int set_barrier(void *object, uint64_t epoch, uint32_t *merged_out)
{
    struct tsr_capture *capture = object;
    bool tells;
    int rc;

    *merged_out = 0;
    pthread_mutex_lock(&capture->lock);
    rc = seal(capture, epoch);
    tells = !rc && capture->wants_more;
    capture->wants_more &= !tells;
    pthread_mutex_unlock(&capture->lock);
    /* One write that never waits, and only where a reader has nothing to do. */
    if (tells)
        tsr_events_send(capture->events, TSR_EV_DISK_MORE, NULL, NULL);
    return rc;
}

/* A write is no reason for an early checkpoint; a buffer that fills is told by an event. */
static int sent_fd(void *object)
{
    (void)object;
    return -1;
}

static const struct tsr_barrier_ops barrier_ops = {
    .set = set_barrier,
    .sent_fd = sent_fd,
};

static const struct tsr_kind capture_kind = {
    .name = "the capture of a disk",
    .destroy = destroy,
    .barrier = &barrier_ops,
};

/* ---- opening ------------------------------------------------------------------------- */

static bool is_text(const char *text, size_t size)
{
    return text[0] && strnlen(text, size) < size;
}

static int check_settings(const struct tsr_capture_settings *settings)
{
    if (!is_text(settings->name, sizeof(settings->name)) ||
        !is_text(settings->under, sizeof(settings->under)) ||
        !is_text(settings->plain, sizeof(settings->plain)) ||
        !is_text(settings->lock, sizeof(settings->lock)) ||
        strnlen(settings->vg_lock, sizeof(settings->vg_lock)) == sizeof(settings->vg_lock))
        return tsr_fail(-EINVAL, "the capture of a disk needs the names of its devices");
    if (!settings->size || settings->size % TSR_NBD_SECTOR)
        return tsr_fail(-EINVAL, "a disk of %llu bytes", (unsigned long long)settings->size);
    if (settings->first_copy > TSR_COPY_COMPARED)
        return tsr_fail(-EINVAL, "a first copy of kind %u", settings->first_copy);
    if (settings->room < ROOM_LEAST || settings->room > ROOM_MOST)
        return tsr_fail(-EINVAL, "room of %llu bytes for a disk: %llu to %llu",
                        (unsigned long long)settings->room, (unsigned long long)ROOM_LEAST,
                        (unsigned long long)ROOM_MOST);
    return 0;
}

static int open_sockets(struct tsr_capture *capture, int32_t *leg_out)
{
    static const int size = SOCKET_BUFFER;
    int fds[2], i;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
        return tsr_fail(-errno, "no sockets for a disk: %s", strerror(errno));
    for (i = 0; i < 2; i++)
        if (setsockopt(fds[i], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)))
            setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    capture->sock = fds[0];
    *leg_out = fds[1];
    return 0;
}

static int open_pace(struct tsr_capture *capture, int32_t *pace_out)
{
    void *memory;
    int fd = memfd_create("tsremus-pace", MFD_CLOEXEC);

    if (fd < 0 || ftruncate(fd, TSR_PACE_SIZE)) {
        int rc = tsr_fail(-errno, "no memory to share with a disk guard: %s", strerror(errno));

        if (fd >= 0)
            close(fd);
        return rc;
    }
    *pace_out = fd;
    memory = mmap(NULL, TSR_PACE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        return tsr_fail(-errno, "no memory to share with a disk guard: %s", strerror(errno));
    capture->pace = memory;
    return 0;
}

static int open_memory(struct tsr_capture *capture)
{
    /* Records stay whole headers across the end of the ring. */
    uint64_t size = capture->settings.room & ~(uint64_t)(TSR_DISK_RECORD_SIZE - 1);
    void *buffer = NULL;

    capture->ring.bytes = tsr_map(size);
    if (!capture->ring.bytes || posix_memalign(&buffer, 4096, TSR_NBD_LENGTH_MAX))
        return tsr_fail(-ENOMEM, "no memory for %llu bytes of a disk's writes",
                        (unsigned long long)size);
    capture->ring.size = size;
    capture->read_buffer = buffer;
    /* Where the limit of locked memory does not allow it, a write may wait for memory. */
    capture->stats.locked = !mlock(capture->ring.bytes, size);
    return capture->settings.first_copy ? tsr_copy_open(&capture->copy, &capture->settings) : 0;
}

static int open_disk(struct tsr_capture *capture)
{
    const struct tsr_capture_settings *settings = &capture->settings;
    struct tsr_mirror *mirror = &capture->mirror;
    uint64_t bytes;
    int rc;

    memcpy(mirror->name, settings->name, sizeof(mirror->name));
    memcpy(mirror->under, settings->under, sizeof(mirror->under));
    memcpy(mirror->lock, settings->lock, sizeof(mirror->lock));
    memcpy(mirror->vg_lock, settings->vg_lock, sizeof(mirror->vg_lock));
    mirror->leg_major = settings->leg_major;
    mirror->leg_minor = settings->leg_minor;
    rc = tsr_dm_open(&capture->dm);
    if (!rc)
        rc = tsr_dm_open(&capture->reader_dm);
    if (!rc)
        rc = tsr_mirror_plan(&capture->dm, mirror);
    if (rc < 0)
        return rc;
    bytes = tsr_dm_sectors(&mirror->plain) * TSR_NBD_SECTOR;
    if (bytes != settings->size)
        return tsr_fail(-EINVAL, "the device %s has %llu bytes, not %llu", mirror->under,
                        (unsigned long long)bytes, (unsigned long long)settings->size);
    capture->plain = open(settings->plain, O_RDONLY | O_DIRECT | O_CLOEXEC);
    if (capture->plain < 0)
        return tsr_fail(-errno, "cannot open %s: %s", settings->plain, strerror(errno));
    return 0;
}

static struct tsr_capture *new_capture(const struct tsr_capture_settings *settings)
{
    struct tsr_capture *capture = calloc(1, sizeof(*capture));
    pthread_condattr_t clock;

    if (!capture)
        return NULL;
    tsr_object_init(&capture->object, &capture_kind);
    capture->settings = *settings;
    capture->sock = capture->plain = capture->dm.fd = capture->reader_dm.fd = -1;
    capture->sealed_last = TSR_CAPTURE_NOT_SEALED;
    capture->wants_more = true;
    pthread_mutex_init(&capture->append_lock, NULL);
    pthread_mutex_init(&capture->lock, NULL);
    pthread_mutex_init(&capture->send_lock, NULL);
    pthread_mutex_init(&capture->swap_lock, NULL);
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&capture->room, &clock);
    pthread_cond_init(&capture->reads_come, NULL);
    pthread_cond_init(&capture->copy.turn, &clock);
    pthread_condattr_destroy(&clock);
    return capture;
}

static void close_if_open(int fd)
{
    if (fd >= 0)
        close(fd);
}

int tsr_capture_open(const struct tsr_capture_settings *settings, int32_t *leg_out,
                     int32_t *pace_out, int32_t *event_out)
{
    struct tsr_capture *capture;
    int32_t leg = -1, pace = -1, event = -1;
    int rc;

    if (!settings || !leg_out || !pace_out || !event_out)
        return tsr_fail(-EINVAL, "the capture of a disk without settings");
    rc = check_settings(settings);
    if (rc < 0)
        return rc;
    capture = new_capture(settings);
    if (!capture)
        return tsr_fail(-ENOMEM, "out of memory");
    rc = open_disk(capture);
    if (!rc)
        rc = open_memory(capture);
    if (!rc)
        rc = open_pace(capture, &pace);
    if (!rc)
        rc = open_sockets(capture, &leg);
    if (!rc) {
        capture->events = tsr_events_open(&event);
        if (!capture->events)
            rc = tsr_fail(-errno, "no pipe for a disk: %s", strerror(errno));
    }
    if (!rc)
        rc = tsr_capture_start(capture);
    if (!rc)
        rc = tsr_handle_new(&capture->object);
    if (rc < 0) {
        tsr_handle_put(capture);
        close_if_open(leg);
        close_if_open(pace);
        close_if_open(event);
        return rc;
    }
    *leg_out = leg;
    *pace_out = pace;
    *event_out = event;
    return rc;
}

/* ---- asking -------------------------------------------------------------------------- */

static struct tsr_capture *get(int handle)
{
    return tsr_handle_get(handle, &capture_kind);
}

int tsr_capture_insert(int handle)
{
    struct tsr_capture *capture = get(handle);
    int rc;

    if (!capture)
        return -EBADF;
    pthread_mutex_lock(&capture->swap_lock);
    pthread_mutex_lock(&capture->lock);
    rc = capture->closing || capture->over
             ? tsr_object_fail(capture, -ESHUTDOWN, "the leg of %s is over",
                               capture->settings.name)
             : 0;
    pthread_mutex_unlock(&capture->lock);
    /* Whoever ends the leg takes the mirror away afterwards, under swap_lock. */
    if (!rc)
        rc = tsr_mirror_insert(&capture->dm, &capture->mirror);
    pthread_mutex_unlock(&capture->swap_lock);
    tsr_handle_put(capture);
    return rc;
}

int tsr_capture_copy(int handle)
{
    struct tsr_capture *capture = get(handle);
    int rc;

    if (!capture)
        return -EBADF;
    rc = tsr_copy_start(capture);
    tsr_handle_put(capture);
    return rc;
}

int tsr_capture_digests(int handle, uint64_t first, uint32_t count, const uint8_t *digests)
{
    struct tsr_capture *capture;
    int rc;

    if (count && !digests)
        return tsr_fail(-EINVAL, "no digests");
    capture = get(handle);
    if (!capture)
        return -EBADF;
    rc = tsr_copy_digests(capture, first, count, digests);
    tsr_handle_put(capture);
    return rc;
}

int tsr_capture_seal(int handle, uint64_t epoch)
{
    struct tsr_capture *capture = get(handle);
    uint32_t merged;
    int rc;

    if (!capture)
        return -EBADF;
    rc = set_barrier(capture, epoch, &merged);
    tsr_handle_put(capture);
    return rc;
}

/* Where the bytes end that may be handed out, and whose they are; under lock. false: nowhere. */
static bool find_readable(struct tsr_capture *capture, struct tsr_capture_seal *out)
{
    if (capture->seal_count) {
        *out = capture->seals[capture->first_seal];
        return true;
    }
    *out = (struct tsr_capture_seal){ .end = capture->ring.head };
    if (tsr_capture_is_first(capture) && tsr_ring_used(&capture->ring))
        return true;
    capture->wants_more = true;
    return false;
}

static int read_piece(struct tsr_capture *capture, uint8_t *out, size_t size,
                      struct tsr_capture_piece *piece)
{
    struct tsr_capture_seal seal;
    bool is_open;
    uint64_t n;

    pthread_mutex_lock(&capture->lock);
    if (capture->is_reading || !find_readable(capture, &seal)) {
        bool is_reading = capture->is_reading;

        pthread_mutex_unlock(&capture->lock);
        return is_reading ? tsr_fail(-EBUSY, "a disk's writes are read twice at a time")
                          : -EAGAIN;
    }
    /* It may be sealed meanwhile; then the next read tells its end. */
    is_open = !capture->seal_count;
    n = seal.end - capture->ring.tail;
    if (n > size)
        n = size;
    if (n > INT32_MAX)
        n = INT32_MAX;
    capture->is_reading = true;
    pthread_mutex_unlock(&capture->lock);
    /* Nobody else moves the tail, and what is before the head does not change any more. */
    tsr_ring_get(&capture->ring, out, n);
    pthread_mutex_lock(&capture->lock);
    capture->ring.tail += n;
    *piece = (struct tsr_capture_piece){
        .epoch = seal.epoch,
        .left = is_open ? UINT64_MAX : seal.end - capture->ring.tail,
    };
    if (!piece->left) {
        capture->first_seal = (capture->first_seal + 1) % TSR_CAPTURE_SEALS_MAX;
        capture->seal_count--;
    }
    capture->is_reading = false;
    pthread_cond_signal(&capture->room);
    pthread_cond_signal(&capture->copy.turn);
    pthread_mutex_unlock(&capture->lock);
    return (int)n;
}

int tsr_capture_read(int handle, uint8_t *out, size_t size, struct tsr_capture_piece *piece)
{
    struct tsr_capture *capture;
    int rc;

    if (!out || !size || !piece)
        return tsr_fail(-EINVAL, "no room for a disk's writes");
    capture = get(handle);
    if (!capture)
        return -EBADF;
    rc = read_piece(capture, out, size, piece);
    tsr_handle_put(capture);
    return rc;
}

static int check(struct tsr_capture *capture)
{
    const char *name = capture->settings.name;
    struct tsr_mirror_found found;
    int rc = tsr_mirror_look(&capture->dm, &capture->mirror, &found);

    if (rc < 0)
        return rc;
    if (found.state == TSR_MIRROR_PLAIN || found.state == TSR_MIRROR_FOREIGN ||
        found.state == TSR_MIRROR_COMING)
        return tsr_object_fail(capture, -ESTALE, "the mirror of %s is gone: its table is %s",
                               name, tsr_mirror_state_name(found.state));
    if (found.state != TSR_MIRROR_LIVE || found.suspended || !found.disk)
        return tsr_object_fail(capture, -EBUSY, "the table of %s is being changed", name);
    if (found.disk != 'A' || found.leg != 'A')
        return tsr_object_fail(capture, -EIO, "the mirror of %s has failed: disk %c, leg %c",
                               name, found.disk, found.leg);
    return 0;
}

int tsr_capture_check(int handle)
{
    struct tsr_capture *capture = get(handle);
    int rc;

    if (!capture)
        return -EBADF;
    pthread_mutex_lock(&capture->swap_lock);
    rc = check(capture);
    pthread_mutex_unlock(&capture->swap_lock);
    tsr_handle_put(capture);
    return rc;
}

int tsr_capture_look(int handle, struct tsr_capture_stats *out)
{
    struct tsr_capture *capture;
    unsigned last;

    if (!out)
        return tsr_fail(-EINVAL, "no room for the figures");
    capture = get(handle);
    if (!capture)
        return -EBADF;
    pthread_mutex_lock(&capture->lock);
    *out = capture->stats;
    last = (capture->first_seal + capture->seal_count - 1) % TSR_CAPTURE_SEALS_MAX;
    out->sealed = capture->seal_count ? capture->seals[last].end - capture->ring.tail : 0;
    out->open = tsr_ring_used(&capture->ring) - out->sealed;
    out->to_copy = capture->copy.size;
    out->copied = capture->copy.at * capture->copy.grain;
    if (out->copied > out->to_copy)
        out->copied = out->to_copy;
    out->copy_ended = capture->copy.ended;
    out->edges = capture->copy.edges;
    out->equal = capture->copy.equal;
    pthread_mutex_unlock(&capture->lock);
    tsr_handle_put(capture);
    return 0;
}

int tsr_capture_close(int handle)
{
    struct tsr_capture *capture = get(handle);
    int rc;

    if (!capture)
        return -EBADF;
    /* No write waits for room any more; all are answered until the mirror is gone. */
    pthread_mutex_lock(&capture->lock);
    capture->closing = true;
    pthread_cond_broadcast(&capture->room);
    pthread_cond_broadcast(&capture->copy.turn);
    pthread_mutex_unlock(&capture->lock);
    rc = tsr_capture_swap(capture, false);
    tsr_capture_stop(capture);
    tsr_handle_put(capture);
    if (!tsr_handle_remove(handle))
        return -EBADF;
    return rc;
}
