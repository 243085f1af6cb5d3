/*
 * The thread that writes a guest's disk on the backup, and the queue before it.
 *
 * The queue is a list of blocks. Its bytes are counted from the first that was ever fed:
 * `head` was fed, `goal` may be written, `tail` was taken out. What is fed is checked
 * before it moves `head`, so the thread meets whole, sound records only.
 *
 *     taken out        may be written        does not count yet
 *     ------------tail===============goal....................head
 */
#include "apply.h"

#include "../common/common.h"
#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

_Static_assert(sizeof(struct tsr_apply_settings) == 296, "shared with JS");
_Static_assert(sizeof(struct tsr_apply_found) == 24, "shared with JS");
_Static_assert(sizeof(struct tsr_apply_stats) == 64, "shared with JS");

#define BLOCK (256u << 10)
/* Blocks that are kept for the next bytes. */
#define SPARES_MAX 32
/* Written at once: records that lie behind each other become one write. */
#define WRITE_MAX (1u << 20)
#define LOOK (1u << 20)
#define ALIGN 4096

struct block {
    struct block *next;
    uint8_t *bytes;
};

struct apply {
    struct tsr_object object;
    struct tsr_apply_settings settings;
    struct tsr_events *events;
    int fd;
    bool is_device;
    pthread_t thread;
    uint8_t *buffer;                    /* of WRITE_MAX, aligned: the thread's */
    uint64_t buffer_at;                 /* where on the disk it belongs */
    size_t buffer_used;

    pthread_mutex_t lock;               /* of all below */
    pthread_cond_t changed;
    struct block *first, *last, *spare;
    unsigned spares;
    uint64_t head, goal, tail;
    /* The check of what is fed. */
    uint8_t header[TSR_DISK_RECORD_SIZE];
    size_t header_used;
    uint64_t data_left;                 /* of the record under way */
    bool is_broken;
    uint64_t next_epoch;                /* whose end comes next */
    uint64_t committed;                 /* epochs that count: below this */
    uint64_t ends[TSR_APPLY_EPOCHS_MAX];        /* of epochs, by number modulo that */
    uint64_t first_end;                 /* of epoch 0; UINT64_MAX: it has not ended */
    bool stop, rolled_back, room_wanted, settle_wanted;
    uint64_t in_hand;                   /* taken out, and not written yet */
    struct tsr_apply_stats stats;
};

/* ---- the queue, under the lock --------------------------------------------- */

static struct block *new_block(struct apply *apply)
{
    struct block *block = apply->spare;

    if (block) {
        apply->spare = block->next;
        apply->spares--;
    } else {
        block = malloc(sizeof(*block));
        if (!block)
            return NULL;
        block->bytes = tsr_map(BLOCK);
        if (!block->bytes) {
            free(block);
            return NULL;
        }
    }
    block->next = NULL;
    return block;
}

static void free_block(struct block *block)
{
    tsr_unmap(block->bytes, BLOCK);
    free(block);
}

static void free_list(struct block *block)
{
    while (block) {
        struct block *next = block->next;

        free_block(block);
        block = next;
    }
}

static void drop_first(struct apply *apply)
{
    struct block *block = apply->first;

    apply->first = block->next;
    if (!apply->first)
        apply->last = NULL;
    if (apply->spares == SPARES_MAX) {
        free_block(block);
        return;
    }
    block->next = apply->spare;
    apply->spare = block;
    apply->spares++;
}

/* Blocks begin at multiples of BLOCK, counted from the first byte ever fed. */
static bool put(struct apply *apply, const uint8_t *data, size_t size)
{
    while (size) {
        size_t at = (size_t)(apply->head % BLOCK), n = BLOCK - at;

        if (!at || !apply->last) {
            struct block *block = new_block(apply);

            if (!block)
                return false;
            if (apply->last)
                apply->last->next = block;
            else
                apply->first = block;
            apply->last = block;
        }
        if (n > size)
            n = size;
        memcpy(apply->last->bytes + at, data, n);
        apply->head += n;
        data += n;
        size -= n;
    }
    return true;
}

/* Takes SIZE bytes out, which are there. */
static void get(struct apply *apply, uint8_t *out, size_t size)
{
    while (size) {
        size_t at = (size_t)(apply->tail % BLOCK), n = BLOCK - at;

        if (n > size)
            n = size;
        memcpy(out, apply->first->bytes + at, n);
        apply->tail += n;
        out += n;
        size -= n;
        if (apply->tail % BLOCK == 0)
            drop_first(apply);
    }
}

/* Nothing behind GOAL is there any more, and nothing more will be put there. */
static void forget(struct apply *apply)
{
    apply->head = apply->goal;
    if (apply->tail == apply->goal) {
        while (apply->first)
            drop_first(apply);
    }
}

static uint64_t waiting(const struct apply *apply)
{
    return apply->goal - apply->tail;
}

/* ---- the check of what is fed, under the lock -------------------------------- */

static const char *wrong_record(const struct apply *apply,
                                const struct tsr_disk_record *record)
{
    uint64_t sector = apply->settings.sector, size = apply->settings.size;

    switch (record->flags) {
    case TSR_DISK_FLUSH:
        return record->offset || record->length ? "a flush with a range" : NULL;
    case 0:
    case TSR_DISK_FUA:
    case TSR_DISK_TRIM:
    case TSR_DISK_ZEROES:
        break;
    default:
        return "unknown flags";
    }
    if (!record->length)
        return "no length";
    if (record->offset % sector || record->length % sector)
        return "a part of a sector";
    if (record->offset > size || record->length > size - record->offset)
        return "a place beyond the disk";
    return NULL;
}

static bool has_data(const struct tsr_disk_record *record)
{
    return !(record->flags & ~(uint32_t)TSR_DISK_FUA);
}

/* Takes a part of a record; how much. *WRONG_OUT: why it is none. */
static size_t check_some(struct apply *apply, const uint8_t *data, size_t size,
                         const char **wrong_out)
{
    struct tsr_disk_record record;
    size_t n;

    if (apply->data_left) {
        n = apply->data_left < size ? (size_t)apply->data_left : size;
        apply->data_left -= n;
        return n;
    }
    n = TSR_DISK_RECORD_SIZE - apply->header_used;
    if (n > size)
        n = size;
    memcpy(apply->header + apply->header_used, data, n);
    apply->header_used += n;
    if (apply->header_used < TSR_DISK_RECORD_SIZE)
        return n;
    apply->header_used = 0;
    memcpy(&record, apply->header, sizeof(record));
    *wrong_out = wrong_record(apply, &record);
    if (has_data(&record))
        apply->data_left = record.length;
    return n;
}

/* Behind WHOLE of the SIZE bytes there is no whole record. */
static const char *check(struct apply *apply, const uint8_t *data, size_t size,
                         size_t *whole_out)
{
    const char *wrong = NULL;
    size_t at = 0;

    *whole_out = 0;
    while (!wrong && at < size) {
        at += check_some(apply, data + at, size - at, &wrong);
        if (!apply->header_used && !apply->data_left)
            *whole_out = at;
    }
    return wrong;
}

/* ---- the disk, by the thread ------------------------------------------------- */

static int write_all(struct apply *apply, const uint8_t *data, size_t size, uint64_t at)
{
    while (size) {
        ssize_t n = pwrite(apply->fd, data, size, (off_t)at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (!n)
            return -EIO;
        data += n;
        at += (uint64_t)n;
        size -= (size_t)n;
    }
    return 0;
}

static int flush_buffer(struct apply *apply)
{
    size_t size = apply->buffer_used;
    int rc;

    if (!size)
        return 0;
    apply->buffer_used = 0;
    rc = write_all(apply, apply->buffer, size, apply->buffer_at);
    pthread_mutex_lock(&apply->lock);
    apply->in_hand -= size;
    apply->stats.writes++;
    apply->stats.written += size;
    pthread_mutex_unlock(&apply->lock);
    return rc;
}

/* Moves SIZE bytes from the queue to the disk at AT, by way of the buffer. */
static int write_data(struct apply *apply, uint64_t at, uint64_t size)
{
    while (size) {
        bool follows = apply->buffer_at + apply->buffer_used == at;
        size_t n;
        int rc;

        if (!follows || apply->buffer_used == WRITE_MAX) {
            rc = flush_buffer(apply);
            if (rc)
                return rc;
            apply->buffer_at = at;
        }
        n = WRITE_MAX - apply->buffer_used;
        if (n > size)
            n = (size_t)size;
        pthread_mutex_lock(&apply->lock);
        get(apply, apply->buffer + apply->buffer_used, n);
        apply->in_hand += n;
        pthread_mutex_unlock(&apply->lock);
        apply->buffer_used += n;
        at += n;
        size -= n;
    }
    return 0;
}

/* Whether *AT was brought to END by zeroes alone; else it is where the first others may be. */
static bool pass_zeroes(struct apply *apply, uint64_t *at, uint64_t end)
{
    while (*at < end) {
        size_t n = end - *at < WRITE_MAX ? (size_t)(end - *at) : WRITE_MAX;

        /* Whether it can be read is not what is to be known here. */
        if (pread(apply->fd, apply->buffer, n, (off_t)*at) != (ssize_t)n)
            return false;
        if (apply->buffer[0] || memcmp(apply->buffer, apply->buffer + 1, n - 1))
            return false;
        *at += n;
    }
    return true;
}

static int write_zeroes(struct apply *apply, uint64_t at, uint64_t size)
{
    uint64_t range[2] = { at, size };

    if (apply->is_device && !ioctl(apply->fd, BLKZEROOUT, range))
        return 0;
    if (apply->is_device && errno != EOPNOTSUPP && errno != ENOTTY)
        return -errno;
    memset(apply->buffer, 0, size < WRITE_MAX ? (size_t)size : WRITE_MAX);
    while (size) {
        size_t n = size < WRITE_MAX ? (size_t)size : WRITE_MAX;
        int rc = write_all(apply, apply->buffer, n, at);

        if (rc)
            return rc;
        at += n;
        size -= n;
    }
    return 0;
}

/*
 * Most of a new disk is zeroes in the first copy and here: they are read and not written, or a
 * disk that takes its room as it is written to would take all of it.
 */
static int make_zero(struct apply *apply, bool is_first, uint64_t at, uint64_t size,
                     uint64_t *written_out)
{
    uint64_t end = at + size;

    if (is_first && pass_zeroes(apply, &at, end))
        return 0;
    *written_out = end - at;
    return write_zeroes(apply, at, end - at);
}

/* What it holds is of no interest any more: a disk that cannot forget may keep it. */
static int discard(struct apply *apply, uint64_t at, uint64_t size)
{
    uint64_t range[2] = { at, size };

    if (!apply->is_device || !ioctl(apply->fd, BLKDISCARD, range))
        return 0;
    return errno == EOPNOTSUPP || errno == ENOTTY || errno == EINVAL ? 0 : -errno;
}

/* What has no data: in order with what was written before. */
static int clear(struct apply *apply, const struct tsr_disk_record *record, bool is_first)
{
    bool is_trim = record->flags & TSR_DISK_TRIM;
    uint64_t zeroed = 0;
    int rc = flush_buffer(apply);

    if (rc)
        return rc;
    if (is_trim)
        rc = discard(apply, record->offset, record->length);
    else
        rc = make_zero(apply, is_first, record->offset, record->length, &zeroed);
    pthread_mutex_lock(&apply->lock);
    if (is_trim)
        apply->stats.discarded += record->length;
    apply->stats.zeroed += zeroed;
    pthread_mutex_unlock(&apply->lock);
    return rc;
}

static int apply_record(struct apply *apply)
{
    struct tsr_disk_record record;
    bool is_first;
    int rc = 0;

    pthread_mutex_lock(&apply->lock);
    is_first = apply->tail < apply->first_end;
    get(apply, (uint8_t *)&record, sizeof(record));
    apply->in_hand += sizeof(record);
    pthread_mutex_unlock(&apply->lock);
    if (has_data(&record))
        rc = write_data(apply, record.offset, record.length);
    else if (!(record.flags & TSR_DISK_FLUSH))
        rc = clear(apply, &record, is_first);
    pthread_mutex_lock(&apply->lock);
    apply->in_hand -= sizeof(record);
    pthread_mutex_unlock(&apply->lock);
    return rc;
}

/* ---- the thread --------------------------------------------------------------- */

static void tell_failed(struct apply *apply, int rc)
{
    struct tsr_event values = { .a = rc };

    pthread_mutex_lock(&apply->lock);
    apply->stats.failed = rc;
    apply->goal = apply->tail;
    forget(apply);
    pthread_mutex_unlock(&apply->lock);
    tsr_events_send(apply->events, TSR_EV_FAILED, &values, strerror(-rc));
}

static void tell_room(struct apply *apply)
{
    struct tsr_event values = { 0 };
    bool is_told;

    pthread_mutex_lock(&apply->lock);
    is_told = apply->room_wanted && waiting(apply) <= apply->settings.room;
    values.b = waiting(apply);
    if (is_told)
        apply->room_wanted = false;
    pthread_mutex_unlock(&apply->lock);
    if (is_told)
        tsr_events_send(apply->events, TSR_EV_APPLY_ROOM, &values, NULL);
}

/* Waits for something to do. false: it is to end. */
static bool await_work(struct apply *apply, bool *settle_out)
{
    bool goes_on;

    pthread_mutex_lock(&apply->lock);
    while (!apply->stop && (apply->stats.failed ||
           (!waiting(apply) && !apply->settle_wanted && !apply->buffer_used)))
        pthread_cond_wait(&apply->changed, &apply->lock);
    *settle_out = !waiting(apply) && apply->settle_wanted;
    if (*settle_out)
        apply->settle_wanted = false;
    goes_on = !apply->stop;
    pthread_mutex_unlock(&apply->lock);
    return goes_on;
}

static int settle(struct apply *apply)
{
    int rc = flush_buffer(apply);

    if (!rc && fdatasync(apply->fd))
        rc = -errno;
    if (rc)
        return rc;
    pthread_mutex_lock(&apply->lock);
    apply->stats.settled++;
    pthread_mutex_unlock(&apply->lock);
    tsr_events_send(apply->events, TSR_EV_APPLY_SETTLED, NULL, NULL);
    return 0;
}

static bool is_waiting(struct apply *apply)
{
    bool is;

    pthread_mutex_lock(&apply->lock);
    is = waiting(apply);
    pthread_mutex_unlock(&apply->lock);
    return is;
}

static void *thread_main(void *arg)
{
    struct apply *apply = arg;
    bool is_settling;

    while (await_work(apply, &is_settling)) {
        int rc;

        if (is_settling)
            rc = settle(apply);
        else if (is_waiting(apply))
            rc = apply_record(apply);
        else
            rc = flush_buffer(apply);
        if (rc)
            tell_failed(apply, rc);
        tell_room(apply);
        tsr_events_flush(apply->events);
    }
    tsr_events_send(apply->events, TSR_EV_ENDED, NULL, NULL);
    tsr_events_finish(apply->events);
    return NULL;
}

/* ---- opening ------------------------------------------------------------------ */

static void destroy(struct tsr_object *object)
{
    struct apply *apply = (struct apply *)object;

    tsr_events_free(apply->events);
    free_list(apply->first);
    free_list(apply->spare);
    free(apply->buffer);
    if (apply->fd >= 0)
        close(apply->fd);
    pthread_cond_destroy(&apply->changed);
    pthread_mutex_destroy(&apply->lock);
    free(apply);
}

static const struct tsr_kind apply_kind = {
    .name = "a disk that is written",
    .destroy = destroy,
};

static int check_settings(const struct tsr_apply_settings *settings)
{
    uint32_t sector = settings->sector;

    if (sector != 512 && sector != 4096)
        return tsr_fail(-EINVAL, "a sector of %u bytes", sector);
    if (!settings->size || settings->size % sector || !settings->limit)
        return tsr_fail(-EINVAL, "a disk of no or of half a sector, or without room");
    if (!settings->path[0] || !memchr(settings->path, 0, sizeof(settings->path)))
        return tsr_fail(-EINVAL, "a disk without a path");
    return 0;
}

static int open_disk(struct apply *apply)
{
    const char *path = apply->settings.path;
    struct stat st;

    /* O_EXCL: of a block device, that nobody has mounted it or holds it. */
    apply->fd = open(path, O_RDWR | O_DIRECT | O_EXCL | O_CLOEXEC);
    if (apply->fd < 0 && errno == EBUSY)
        return tsr_fail(-EBUSY, "%s is mounted, or in use by something else", path);
    if (apply->fd < 0 || fstat(apply->fd, &st))
        return tsr_fail(-errno, "%s cannot be opened: %s", path, strerror(errno));
    apply->is_device = S_ISBLK(st.st_mode);
    if (apply->is_device)
        return 0;
    if (!(apply->settings.flags & TSR_APPLY_ANY_FILE) || !S_ISREG(st.st_mode))
        return tsr_fail(-ENOTBLK, "%s is no block device", path);
    return 0;
}

static int measure(struct apply *apply, struct tsr_apply_found *found)
{
    struct stat st;
    int sector = 0;

    if (fstat(apply->fd, &st))
        return tsr_fail(-errno, "fstat: %s", strerror(errno));
    if (!apply->is_device) {
        found->size = (uint64_t)st.st_size;
        found->sector = apply->settings.sector;
        return 0;
    }
    if (ioctl(apply->fd, BLKGETSIZE64, &found->size) || ioctl(apply->fd, BLKSSZGET, &sector))
        return tsr_fail(-errno, "%s cannot be measured: %s", apply->settings.path,
                        strerror(errno));
    found->sector = (uint32_t)sector;
    found->major = major(st.st_rdev);
    found->minor = minor(st.st_rdev);
    return 0;
}

/* 1: LOOK bytes at AT are zeroes, or as many as there are. */
static int is_zero(struct apply *apply, uint64_t at)
{
    ssize_t n = pread(apply->fd, apply->buffer, LOOK, (off_t)at), i;

    if (n < 0)
        return tsr_fail(-errno, "%s cannot be read: %s", apply->settings.path,
                        strerror(errno));
    for (i = 0; i < n; i++)
        if (apply->buffer[i])
            return 0;
    return 1;
}

static int look_at(struct apply *apply, struct tsr_apply_found *found)
{
    uint64_t end;
    int rc;

    *found = (struct tsr_apply_found){ 0 };
    rc = measure(apply, found);
    if (rc)
        return rc;
    rc = is_zero(apply, 0);
    end = found->size & ~(uint64_t)(ALIGN - 1);
    if (rc == 1 && end > LOOK)
        rc = is_zero(apply, end - LOOK);
    if (rc < 0)
        return rc;
    found->blank = (uint32_t)rc;
    return 0;
}

static int new_apply(const struct tsr_apply_settings *settings, struct apply **out)
{
    struct apply *apply = calloc(1, sizeof(*apply));

    if (!apply)
        return tsr_fail(-ENOMEM, "out of memory");
    tsr_object_init(&apply->object, &apply_kind);
    pthread_mutex_init(&apply->lock, NULL);
    pthread_cond_init(&apply->changed, NULL);
    apply->fd = -1;
    apply->first_end = UINT64_MAX;
    apply->settings = *settings;
    apply->buffer = aligned_alloc(ALIGN, WRITE_MAX);
    if (!apply->buffer) {
        tsr_handle_put(apply);
        return tsr_fail(-ENOMEM, "out of memory");
    }
    *out = apply;
    return 0;
}

/* Takes the object over, whatever comes of it. */
static int start(struct apply *apply, int32_t *event_out)
{
    int handle, r;

    apply->events = tsr_events_open(event_out);
    if (!apply->events) {
        r = tsr_fail(-errno, "no event pipe: %s", strerror(errno));
        tsr_handle_put(apply);
        return r;
    }
    handle = tsr_handle_new(&apply->object);
    if (handle < 0) {
        close(*event_out);
        tsr_handle_put(apply);
        return handle;
    }
    r = pthread_create(&apply->thread, NULL, thread_main, apply);
    if (r) {
        close(*event_out);
        tsr_handle_remove(handle);
        return tsr_fail(-r, "no thread for a disk: %s", strerror(r));
    }
    pthread_setname_np(apply->thread, "tsr-apply");
    return handle;
}

int tsr_apply_open(const struct tsr_apply_settings *settings,
                   struct tsr_apply_found *found_out, int32_t *event_out)
{
    struct apply *apply = NULL;
    int rc;

    if (!settings || !found_out || !event_out)
        return tsr_fail(-EINVAL, "an argument is missing");
    rc = check_settings(settings);
    if (!rc)
        rc = new_apply(settings, &apply);
    if (rc)
        return rc;
    rc = open_disk(apply);
    if (!rc)
        rc = look_at(apply, found_out);
    if (!rc)
        return start(apply, event_out);
    tsr_handle_put(apply);
    return rc;
}

/* ---- what is fed, and what of it counts ------------------------------------------ */

static int feed(struct apply *apply, const uint8_t *data, size_t size)
{
    const char *wrong;
    uint64_t before = apply->head;
    size_t whole;

    if (apply->is_broken)
        return tsr_object_fail(apply, -EPROTO, "what came before was wrong");
    if (apply->stop || apply->rolled_back || apply->stats.failed)
        return -ESHUTDOWN;
    if (apply->head - apply->tail + size > apply->settings.limit)
        return tsr_object_fail(apply, -ENOBUFS, "more than %llu bytes wait for the disk",
                               (unsigned long long)apply->settings.limit);
    wrong = check(apply, data, size, &whole);
    if (wrong) {
        apply->is_broken = true;
        return tsr_object_fail(apply, -EPROTO, "a record of a disk has %s", wrong);
    }
    if (!put(apply, data, size)) {
        apply->is_broken = true;
        return tsr_object_fail(apply, -ENOMEM, "out of memory");
    }
    /* The first copy is written as it comes, each record once all of it is here. */
    if (!apply->next_epoch && whole) {
        apply->goal = before + whole;
        pthread_cond_signal(&apply->changed);
    }
    apply->room_wanted |= waiting(apply) > apply->settings.room;
    return waiting(apply) > apply->settings.room;
}

int tsr_apply_feed(int handle, const uint8_t *data, size_t size)
{
    struct apply *apply = tsr_handle_get(handle, &apply_kind);
    int rc;

    if (!apply)
        return -EBADF;
    pthread_mutex_lock(&apply->lock);
    rc = feed(apply, data, size);
    pthread_mutex_unlock(&apply->lock);
    tsr_handle_put(apply);
    return rc;
}

static int end_epoch(struct apply *apply, uint64_t epoch)
{
    if (apply->rolled_back || apply->stats.failed)
        return -ESHUTDOWN;
    if (apply->is_broken || apply->header_used || apply->data_left)
        return tsr_object_fail(apply, -EPROTO, "epoch %llu of a disk ends within a record",
                               (unsigned long long)epoch);
    if (epoch != apply->next_epoch || epoch - apply->committed >= TSR_APPLY_EPOCHS_MAX)
        return tsr_object_fail(apply, -EPROTO, "epoch %llu of a disk ends after %llu",
                               (unsigned long long)epoch,
                               (unsigned long long)apply->next_epoch);
    apply->ends[epoch % TSR_APPLY_EPOCHS_MAX] = apply->head;
    apply->next_epoch++;
    if (!epoch) {
        apply->committed = 1;
        apply->first_end = apply->head;
    }
    return 0;
}

int tsr_apply_end(int handle, uint64_t epoch)
{
    struct apply *apply = tsr_handle_get(handle, &apply_kind);
    int rc;

    if (!apply)
        return -EBADF;
    pthread_mutex_lock(&apply->lock);
    rc = end_epoch(apply, epoch);
    pthread_mutex_unlock(&apply->lock);
    tsr_handle_put(apply);
    return rc;
}

static int commit(struct apply *apply, uint64_t epoch)
{
    if (apply->rolled_back || apply->stats.failed)
        return -ESHUTDOWN;
    if (epoch >= apply->next_epoch)
        return tsr_object_fail(apply, -EINVAL, "epoch %llu is not all there",
                               (unsigned long long)epoch);
    if (epoch < apply->committed)
        return 0;
    apply->committed = epoch + 1;
    apply->goal = apply->ends[epoch % TSR_APPLY_EPOCHS_MAX];
    pthread_cond_signal(&apply->changed);
    return 0;
}

int tsr_apply_commit(int handle, uint64_t epoch)
{
    struct apply *apply = tsr_handle_get(handle, &apply_kind);
    int rc;

    if (!apply)
        return -EBADF;
    pthread_mutex_lock(&apply->lock);
    rc = commit(apply, epoch);
    pthread_mutex_unlock(&apply->lock);
    tsr_handle_put(apply);
    return rc;
}

int tsr_apply_settle(int handle)
{
    struct apply *apply = tsr_handle_get(handle, &apply_kind);
    int rc = 0;

    if (!apply)
        return -EBADF;
    pthread_mutex_lock(&apply->lock);
    if (apply->stats.failed)
        rc = tsr_object_fail(apply, (int)apply->stats.failed, "the disk failed: %s",
                             strerror((int)-apply->stats.failed));
    apply->settle_wanted = true;
    pthread_cond_signal(&apply->changed);
    pthread_mutex_unlock(&apply->lock);
    tsr_handle_put(apply);
    return rc;
}

int tsr_apply_roll_back(int handle)
{
    struct apply *apply = tsr_handle_get(handle, &apply_kind);

    if (!apply)
        return -EBADF;
    pthread_mutex_lock(&apply->lock);
    apply->rolled_back = true;
    forget(apply);
    pthread_mutex_unlock(&apply->lock);
    tsr_handle_put(apply);
    return 0;
}

int tsr_apply_look(int handle, struct tsr_apply_stats *out)
{
    struct apply *apply = tsr_handle_get(handle, &apply_kind);

    if (!apply)
        return -EBADF;
    pthread_mutex_lock(&apply->lock);
    *out = apply->stats;
    out->waiting = waiting(apply) + apply->in_hand;
    out->kept = apply->head - apply->goal;
    pthread_mutex_unlock(&apply->lock);
    tsr_handle_put(apply);
    return 0;
}

int tsr_apply_close(int handle)
{
    struct apply *apply = tsr_handle_get(handle, &apply_kind);

    if (!apply)
        return -EBADF;
    pthread_mutex_lock(&apply->lock);
    apply->stop = true;
    pthread_cond_signal(&apply->changed);
    pthread_mutex_unlock(&apply->lock);
    if (tsr_handle_remove(handle))
        pthread_join(apply->thread, NULL);
    tsr_handle_put(apply);
    return 0;
}
