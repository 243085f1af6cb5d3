/*
 * The event pipe. Native threads write whole records (always below PIPE_BUF, so
 * one write is one record), the caller reads. When the pipe is full the records
 * wait in a bounded queue and the session's thread writes them as soon as there
 * is room; log lines are the first to be dropped then, and say so later.
 */
#include "common.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

_Static_assert(sizeof(struct tsr_event) == TSR_EVENT_SIZE, "shared with JS");
_Static_assert(TSR_EVENT_SIZE + TSR_EVENT_TEXT_MAX <= PIPE_BUF, "atomic");

/* Everything but log lines is a few records per epoch, paced by the caller. */
#define QUEUE_MAX 128
#define QUEUE_LOG_MAX 64
/* Log lines per second, and at once. */
#define LOG_RATE 100
#define LOG_BURST 200

struct record {
    struct tsr_event event;
    char text[TSR_EVENT_TEXT_MAX];
};

struct tsr_events {
    pthread_mutex_t lock;
    int fd;                             /* -1: nobody reads any more */
    unsigned first, count;
    struct record queue[QUEUE_MAX];
    unsigned log_tokens;
    uint64_t log_filled_ns;
    uint64_t dropped;
};

struct tsr_events *tsr_events_open(int32_t *read_fd_out)
{
    struct tsr_events *events;
    int fds[2];

    if (pipe2(fds, O_CLOEXEC | O_NONBLOCK))
        return NULL;
    events = calloc(1, sizeof(*events));
    if (!events) {
        close(fds[0]);
        close(fds[1]);
        errno = ENOMEM;
        return NULL;
    }
    pthread_mutex_init(&events->lock, NULL);
    events->fd = fds[1];
    events->log_tokens = LOG_BURST;
    events->log_filled_ns = tsr_now_ns();
    *read_fd_out = fds[0];
    return events;
}

static size_t record_size(const struct record *record)
{
    return TSR_EVENT_SIZE + record->event.text_len;
}

/* false: the pipe is full. */
static bool write_record(struct tsr_events *events, const struct record *record)
{
    ssize_t r;

    if (events->fd < 0)
        return true;
    do {
        r = write(events->fd, record, record_size(record));
    } while (r < 0 && errno == EINTR);
    if (r < 0 && errno == EAGAIN)
        return false;
    if (r < 0) {
        close(events->fd);
        events->fd = -1;
    }
    return true;
}

static void flush_locked(struct tsr_events *events)
{
    while (events->count && write_record(events, &events->queue[events->first])) {
        events->first = (events->first + 1) % QUEUE_MAX;
        events->count--;
    }
}

static void push_locked(struct tsr_events *events, const struct record *record)
{
    flush_locked(events);
    if (!events->count && write_record(events, record))
        return;
    if (events->count == QUEUE_MAX) {
        events->dropped++;
        return;
    }
    memcpy(&events->queue[(events->first + events->count) % QUEUE_MAX], record,
           record_size(record));
    events->count++;
}

static void fill(struct record *record, uint32_t kind,
                 const struct tsr_event *values, const char *text)
{
    size_t len = text ? strlen(text) : 0;

    if (len > TSR_EVENT_TEXT_MAX)
        len = TSR_EVENT_TEXT_MAX;
    if (values)
        record->event = *values;
    else
        memset(&record->event, 0, sizeof(record->event));
    record->event.kind = kind;
    record->event.text_len = (uint32_t)len;
    record->event.time_ns = tsr_now_ns();
    if (len)
        memcpy(record->text, text, len);
}

/* A token bucket: a chatty libxl must not drown what matters. */
static bool log_allowed(struct tsr_events *events)
{
    uint64_t now = tsr_now_ns();
    uint64_t new = (now - events->log_filled_ns) * LOG_RATE / 1000000000u;

    if (new) {
        events->log_filled_ns = now;
        new += events->log_tokens;
        events->log_tokens = new > LOG_BURST ? LOG_BURST : (unsigned)new;
    }
    if (!events->log_tokens || events->count >= QUEUE_LOG_MAX)
        return false;
    events->log_tokens--;
    return true;
}

static void report_dropped(struct tsr_events *events)
{
    struct tsr_event values = { .a = TSR_LOG_WARN };
    struct record record;
    char text[80];

    snprintf(text, sizeof(text), "%llu lines of libxl's log were dropped",
             (unsigned long long)events->dropped);
    events->dropped = 0;
    fill(&record, TSR_EV_LOG, &values, text);
    push_locked(events, &record);
}

void tsr_events_send(struct tsr_events *events, uint32_t kind,
                     const struct tsr_event *values, const char *text)
{
    struct record record;

    fill(&record, kind, values, text);
    pthread_mutex_lock(&events->lock);
    if (kind == TSR_EV_LOG && !log_allowed(events)) {
        events->dropped++;
    } else {
        if (kind == TSR_EV_LOG && events->dropped)
            report_dropped(events);
        push_locked(events, &record);
    }
    pthread_mutex_unlock(&events->lock);
}

int tsr_events_want(struct tsr_events *events)
{
    int fd;

    pthread_mutex_lock(&events->lock);
    fd = events->count ? events->fd : -1;
    pthread_mutex_unlock(&events->lock);
    return fd;
}

void tsr_events_flush(struct tsr_events *events)
{
    pthread_mutex_lock(&events->lock);
    flush_locked(events);
    pthread_mutex_unlock(&events->lock);
}

void tsr_events_finish(struct tsr_events *events)
{
    struct pollfd pfd = { .events = POLLOUT };

    for (;;) {
        tsr_events_flush(events);
        pfd.fd = tsr_events_want(events);
        if (pfd.fd < 0)
            return;
        poll(&pfd, 1, 1000);
    }
}

void tsr_events_free(struct tsr_events *events)
{
    if (!events)
        return;
    if (events->fd >= 0)
        close(events->fd);
    pthread_mutex_destroy(&events->lock);
    free(events);
}
