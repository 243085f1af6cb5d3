/*
 * What the rooms of libtsremus share (internal interface). Each block names its file.
 *
 * A room includes its own headers and those of common, nothing else; `make check`
 * sees to it, and that each links with nothing but common.
 *
 * Conventions (those of libxl where they fit): `rc` is a result of this
 * interface or of libxl, `r` of a system call; out-parameters end in _out;
 * functions return 0 or more on success and a negative code of tsremus.h.
 */
#ifndef TSR_COMMON_H
#define TSR_COMMON_H

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "barrier.h"
#include "format.h"
#include "tsremus.h"

#define TSR_TEXT_MAX 1024
#define PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

static inline uint64_t tsr_now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- error.c ------------------------------------------------------------ */

/* Notes the sentence of a failure of the calling thread; returns CODE. */
int tsr_fail(int code, const char *format, ...) PRINTF(2, 3);

/* ---- handle.c ----------------------------------------------------------- */

struct tsr_object;

struct tsr_kind {
    const char *name;                   /* "a save": for sentences */
    void (*destroy)(struct tsr_object *object);
    /* What objects of this kind are for other rooms; NULL: not that. */
    const struct tsr_barrier_ops *barrier;
    const struct tsr_format_ops *format;
};

/* First member of everything that has a handle. */
struct tsr_object {
    const struct tsr_kind *kind;
    int refs;                           /* guarded by the table's lock */
    pthread_mutex_t text_lock;
    char text[TSR_TEXT_MAX];            /* sentence of the last failure */
};

void tsr_object_init(struct tsr_object *object, const struct tsr_kind *kind);
/* Takes over the caller's reference; returns the handle. */
int tsr_handle_new(struct tsr_object *object);
/* A reference to the object behind HANDLE, or NULL (and tsr_fail -EBADF). */
void *tsr_handle_get(int handle, const struct tsr_kind *kind);
/* The same for one of any kind that has a barrier, or a format. */
struct tsr_object *tsr_handle_barrier(int handle);
struct tsr_object *tsr_handle_format(int handle);
/* Any kind, silently. */
struct tsr_object *tsr_handle_peek(int handle);
void tsr_handle_put(void *object);
/* Makes HANDLE invalid and drops the table's reference; false: it was already. */
bool tsr_handle_remove(int handle);
/* Notes a failure of the object and of the calling thread; returns CODE. */
int tsr_object_fail(void *object, int code, const char *format, ...)
    PRINTF(3, 4);

/* ---- event.c ------------------------------------------------------------ */

struct tsr_events;

/* Opens the pipe; READ_FD_OUT belongs to the caller. NULL: errno. */
struct tsr_events *tsr_events_open(int32_t *read_fd_out);
/* Writes or queues; never blocks. KIND: of tsremus.h or of the room; TEXT may be NULL. */
void tsr_events_send(struct tsr_events *events, uint32_t kind,
                     const struct tsr_event *values, const char *text);
/* The write end if something is queued and wants POLLOUT, else -1. */
int tsr_events_want(struct tsr_events *events);
void tsr_events_flush(struct tsr_events *events);
/* Waits until everything is written or nobody reads any more. */
void tsr_events_finish(struct tsr_events *events);
void tsr_events_free(struct tsr_events *events);

/* ---- memory.c ----------------------------------------------------------- */

/* Zeroed pages that are not copied at a fork; NULL: no memory. */
void *tsr_map(size_t size);
void tsr_unmap(void *memory, size_t size);

#endif
