/*
 * libtsremus: what all its rooms have in common for the caller. The functions are
 * in the header of each room: xen/xen.h, plug/plug.h, codec/codec.h.
 *
 * TypeScript decides, this library moves bytes, drives what moves them, reports.
 *
 * Rules of the interface (they follow from measurements of ffi-napi):
 *  - plain C; every function returns an int: >= 0 on success, < 0 on failure;
 *  - handles are small integers, never pointers; no pointer is ever returned;
 *  - bulk data moves through buffers that the caller owns;
 *  - no callbacks: what happens on a native thread is reported as a
 *    `struct tsr_event` written to a pipe whose read end the caller polls;
 *  - functions marked BLOCKING may take long and are to be called off the
 *    main thread (ffi-napi's .async); all others return in microseconds.
 *
 * Failures: -errno for the system's errors; below -TSR_XL_BASE those of what runs
 * the guest (xen.h, TSR_XL). tsr_error_text has the sentence that belongs to it.
 *
 * One room hands an object of its own to another by its handle: a plug to a save
 * (its barrier), a stream to an encoder (its format). Rooms do not know each other.
 */
#ifndef TSREMUS_H
#define TSREMUS_H

#include <stddef.h>
#include <stdint.h>

#define TSR_ABI_VERSION 11
#define TSR_API __attribute__((visibility("default")))
#define TSR_XL_BASE 10000

/* TSR_ABI_VERSION of the build. */
TSR_API int tsr_abi_version(void);

/*
 * The sentence of the last failure. HANDLE >= 0: of that session. -1: of the
 * calling thread, if its last failure was not asked for yet; else the newest of
 * the process. Below -1, a code that a function returned: the newest failure of
 * the process with that code; this is the one to ask after a call made off the
 * main thread. Writes at most size-1 bytes and a NUL; returns the length.
 * -EAGAIN, -ENOBUFS and -ESHUTDOWN are answers, not failures: they may have none.
 */
TSR_API int tsr_error_text(int handle, char *out, size_t size);

/*
 * Sends TEXT, lines of sd_notify(3), to ADDRESS, which is what NOTIFY_SOCKET says: a path,
 * or "@" and an abstract name. Waits for nothing: -EAGAIN when the reader is behind.
 */
TSR_API int tsr_notify(const char *address, const char *text);

/*
 * Locks what this process has mapped from files to be executed (mlock(2)), so that it need
 * not be read again from a disk when memory was short. BYTES_OUT: how much that is, also
 * where a failure ended it.
 */
TSR_API int tsr_lock_code(uint64_t *bytes_out);

/* ---- events ----------------------------------------------------------- */

/* The kinds that every session has; the others are in the header of its room. */
enum tsr_event_kind {
    /* A line of a log. a = its level (xentoollog's: 1 debug, 5 info, 7 warn, 8 error,
     * 9 critical). At most 100 lines a second; dropped ones are counted. */
    TSR_EV_LOG = 1,
    /* The session failed, ENDED will follow. a = code as of a function, text = why. */
    TSR_EV_FAILED = 2,
    /* The last event. */
    TSR_EV_ENDED = 6,
};
#define TSR_LOG_WARN 7

/* Native byte order, 64 bytes, followed by text_len bytes of text (no NUL). */
struct tsr_event {
    uint32_t kind;
    uint32_t text_len;      /* at most TSR_EVENT_TEXT_MAX */
    uint64_t time_ns;       /* CLOCK_MONOTONIC when it happened */
    int64_t a;
    uint64_t b, c, d, e, f;
};
#define TSR_EVENT_SIZE 64
#define TSR_EVENT_TEXT_MAX 1024

#endif
