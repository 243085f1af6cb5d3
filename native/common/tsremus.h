/*
 * libtsremus: the bytes of tsremus. TypeScript decides, this library drives
 * libxenlight, drains and checks checkpoint streams, and reports.
 *
 * Rules of this interface (they follow from measurements of ffi-napi):
 *  - plain C; every function returns an int: >= 0 on success, < 0 on failure;
 *  - handles are small integers, never pointers; no pointer is ever returned;
 *  - bulk data moves through buffers that the caller owns;
 *  - no callbacks: what happens on a native thread is reported as a
 *    `struct tsr_event` written to a pipe whose read end the caller polls;
 *  - functions marked BLOCKING may take long and are to be called off the
 *    main thread (ffi-napi's .async); all others return in microseconds.
 *
 * Failures: -errno for the system's errors; TSR_XL(rc) for libxenlight's
 * (rc is its negative ERROR_* number, so ERROR_FAIL -3 becomes -10003).
 * tsr_error_text() gives the sentence that belongs to the last failure of the
 * calling thread, or of a handle.
 *
 * libxenlight is opened at run time (no Xen headers to build): one build
 * serves every Xen version that has the functions listed in xen/libxl_abi.h.
 * No struct layout of libxl is known here: structures live in generously
 * sized zeroed buffers and are filled and read through libxl's own *_init,
 * *_from_json and *_to_json.
 */
#ifndef TSREMUS_H
#define TSREMUS_H

#include <stddef.h>
#include <stdint.h>

struct tsr_stream_stats;

#define TSR_ABI_VERSION 4
#define TSR_XL_BASE 10000
#define TSR_XL(rc) (-TSR_XL_BASE + (rc))

#define TSR_API __attribute__((visibility("default")))

/* ---- events ----------------------------------------------------------- */

enum tsr_event_kind {
    /*
     * A line that libxl logged. a = its level (xentoollog: 1 debug, 5 info, 7 warn,
     * 8 error, 9 critical). At most 100 lines a second; dropped ones are counted.
     * TSREMUS_LIBXL_LOG=debug in the environment asks libxl for everything.
     */
    TSR_EV_LOG = 1,
    /* The session failed, ENDED will follow. a = code as of a function, text = why. */
    TSR_EV_FAILED = 2,
    /* save: b bytes wait for tsr_save_read. At most one between two reads, so read
     * until 0. May come late, when the bytes have been read already. */
    TSR_EV_DATA = 3,
    /* save: the guest is suspended at the end of epoch a, the barrier is set.
     * b = bytes of the epoch so far, c = packets and d = bytes that the output buffer
     * holds, e = nanoseconds the barrier took, and in its upper 16 bits the number
     * of interfaces whose packets wait for a later epoch (tsr_plug_barrier). */
    TSR_EV_CHECKPOINT = 4,
    /*
     * save: epoch a has ended, the guest was resumed, the timer is held.
     * b = bytes, c = pages, d = nanoseconds from the epoch's first byte to its
     * CHECKPOINT record, e = nanoseconds from there to CHECKPOINT_END,
     * f = nanoseconds of d in which LIMIT bytes waited and no more was taken.
     */
    TSR_EV_EPOCH_END = 5,
    /*
     * The last event. a = libxl's rc (-22 aborted); -3 also where it never started
     * (FAILED says why). A save that ended by itself may well have 0 (libxl then
     * says how its own cleaning up went): what matters is the text.
     * save: b = 1 if the guest was found suspended and resumed. text = a JSON
     * object: "gone":true, or "shutdown":true with "reason" ("poweroff", "reboot",
     * "crash", .. of libxl), and "error" with libxl's last error lines.
     * restore: b = domid when a == 0. text = libxl's last error lines.
     */
    TSR_EV_ENDED = 6,
    /*
     * restore: the first a bytes of the stream have gone into libxl's pipe. Sent
     * when nothing more can be written, and every 4 MiB. A record of libxl's own
     * that is not all there waits for its rest.
     */
    TSR_EV_FED = 7,
    /*
     * save: LIMIT bytes wait, no more of epoch a is taken until tsr_save_read has
     * made room: the seed is slowed down, a checkpoint keeps the guest suspended.
     * b = bytes that wait. Once per epoch.
     */
    TSR_EV_STALLED = 8,
    /* save: the guest has sent something since the barrier. Once per epoch, from the
     * end of the seed on. */
    TSR_EV_OUTPUT = 9,
};

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

/* ---- library ---------------------------------------------------------- */

/* TSR_ABI_VERSION of the build. */
TSR_API int tsr_abi_version(void);

/*
 * Opens libxenlight (dlopen PATH: a path or soname), resolves every function
 * of libxl_abi.h and allocates the contexts for short calls.
 * Errors: -ENOENT no such library, -ENOSYS a function is missing (too old: the
 * text names it), TSR_XL(rc) the context was refused (not Xen, not root).
 * Idempotent for the same path; -EBUSY for another one. Libraries older than Xen
 * 4.14 are refused (-ENOSYS). BLOCKING.
 */
TSR_API int tsr_open(const char *path);

/*
 * The sentence of the last failure. HANDLE >= 0: of that session. -1: of the
 * calling thread, if its last failure was not asked for yet; else the newest of
 * the process. Below -1, a code that a function returned: the newest failure of
 * the process with that code; this is the one to ask after a call made off the
 * main thread. Writes at most size-1 bytes and a NUL; returns the length.
 * -EAGAIN, -ENOBUFS and -ESHUTDOWN are answers, not failures: they may have none.
 */
TSR_API int tsr_error_text(int handle, char *out, size_t size);

/* Makes this process the leader of a session of its own (setsid), where it is
 * not yet one, ignores SIGPIPE and (until somebody handles it) SIGHUP. -EPERM
 * where it leads a process group but no session. */
TSR_API int tsr_detach(void);

/* ---- short calls on a domain, each on a context of its own -------------- */

/* Domain 0 and numbers that no guest can have are refused with -EINVAL. */

/* Number of the domain called NAME; TSR_XL(-6 or -21) where there is none. */
TSR_API int tsr_domain_id(const char *name);

/* libxl_dominfo as JSON. Returns its length, or -ERANGE if size is too small;
 * TSR_XL(-21) where there is no such domain. */
TSR_API int tsr_domain_info(uint32_t domid, char *out, size_t size);

/* Configuration of a running domain as libxl_domain_config JSON. BLOCKING. */
TSR_API int tsr_domain_config(uint32_t domid, char *out, size_t size);

/* JSON text {"xen_version_major":..,"commandline":"..","free_memory_kb":..,
 * "physinfo":{..},"library":".."}: libxl_version_info flat, libxl_physinfo (cap_hap,
 * cap_shadow, ..), the file of the library; what it does not offer is absent. */
TSR_API int tsr_host_info(char *out, size_t size);

TSR_API int tsr_domain_pause(uint32_t domid);
TSR_API int tsr_domain_unpause(uint32_t domid);     /* BLOCKING */
TSR_API int tsr_domain_resume(uint32_t domid);      /* cooperative; BLOCKING */
TSR_API int tsr_domain_rename(uint32_t domid, const char *from, const char *to);
TSR_API int tsr_domain_destroy(uint32_t domid);     /* BLOCKING */
/* Creates a new domain from CONFIG, left paused; returns its domid. BLOCKING. */
TSR_API int tsr_domain_create(const char *config_json);

/* ---- save: the primary's side ------------------------------------------ */

/*
 * Starts libxl_domain_remus_start on DOMID with a stream of ours, on a thread
 * and a context of their own. Returns a handle. The thread drains the stream
 * into memory, at most LIMIT bytes unread (past that it stops reading, see
 * TSR_EV_STALLED; only libxl's own few records that end an epoch go beyond),
 * always before it serves libxl; checks every record; at each
 * CHECKPOINT record sets the barrier of PLUG (a handle; -1: nothing is buffered)
 * while the guest is certainly suspended; and after each CHECKPOINT_END holds
 * libxl's timer until tsr_save_checkpoint.
 * *EVENT_FD receives the read end of the event pipe (non-blocking, the
 * caller closes it after TSR_EV_ENDED).
 */
TSR_API int tsr_save_start(uint32_t domid, uint64_t limit, int plug,
                           int32_t *event_fd);

/* Lets the next checkpoint begin. -EAGAIN while an epoch is under way, or while 63
 * complete ones wait to be read; -ESHUTDOWN once the session is ending. */
TSR_API int tsr_save_checkpoint(int handle);

/* Takes up to SIZE bytes of the stream, in order, never past the end of the
 * current epoch. Returns the count; 0: nothing waits. One thread at a time. */
TSR_API int tsr_save_read(int handle, uint8_t *out, size_t size);

/*
 * Ends the operation: libxl_ao_abort while the timer is held, or in the live
 * part of the seed; else as soon as the epoch under way has ended. Where nobody
 * reads any more, the rest of that epoch is thrown away. Afterwards the guest is
 * watched (3 s, unless the abort came while the timer was held) and resumed if it
 * is found suspended. TSR_EV_ENDED follows. The same watch follows an operation
 * that failed by itself.
 */
TSR_API int tsr_save_abort(int handle);

/* Joins the thread and frees everything. Only after TSR_EV_ENDED was read, or the
 * event pipe closed; before ENDED -EBUSY. BLOCKING (microseconds). */
TSR_API int tsr_save_free(int handle);

/* ---- restore: the backup's side ---------------------------------------- */

/*
 * Starts libxl_domain_create_restore with a checkpointed stream (REMUS) for
 * CONFIG (libxl_domain_config JSON, its c_info.name already that of the copy). FAILED
 * with -EEXIST follows if there is a domain of that name. At most LIMIT bytes may
 * wait for libxl.
 */
TSR_API int tsr_restore_start(const char *config_json, uint64_t limit,
                              int32_t *event_fd);

/*
 * Checks these bytes as tsr_stream_check does (this is the only check that they
 * need) and queues a copy of them. Those of epoch 0 go on to libxl as they come,
 * later ones wait for tsr_restore_apply. OUT (or NULL) is filled unless nothing was
 * taken: -ENOBUFS when there is no room for them below LIMIT, -EMSGSIZE when there
 * never will be, -ESHUTDOWN after finish, abort or the end; or -EPROTO when they do
 * not continue the stream (nothing of them goes to libxl, the session can only be
 * aborted). One thread at a time.
 */
TSR_API int tsr_restore_feed(int handle, const uint8_t *data, size_t size,
                             struct tsr_stream_stats *out);

/* Lets libxl have everything up to OFFSET of the stream, the epoch_end of a whole
 * epoch that was fed; -EINVAL for one that is not all there. */
TSR_API int tsr_restore_apply(int handle, uint64_t offset);

/* End-of-file after epoch 0 and all that was applied: libxl builds the domain,
 * paused. TSR_EV_ENDED brings its domid. This IS activation. */
TSR_API int tsr_restore_finish(int handle);

/* Discards the copy: aborts the operation and destroys the domain. Never
 * closes the pipe before libxl has given up. TSR_EV_ENDED follows, never with
 * a = 0; a FAILED before it says if the domain could not be destroyed. -ESHUTDOWN
 * if the session has ended already. */
TSR_API int tsr_restore_abort(int handle);

TSR_API int tsr_restore_free(int handle);

/* ---- plug: the output buffer ------------------------------------------- */

/*
 * What an interface of the guest sends is redirected (by ingress filters that the
 * caller made) to devices of type ifb, on which sch_plug holds it. All calls may be
 * made from any thread, and take microseconds: a netlink message or two for each
 * interface. Failures: -errno of the kernel with its own words (-ENODEV the device
 * is gone, -ENOENT the kernel has no sch_plug, -EPERM not root).
 */

#define TSR_PLUG_PORTS_MAX 64
/* Bytes that a queue's limit counts for each frame beside the frame's own. */
#define TSR_PLUG_OVERHEAD 768

enum tsr_plug_flags {
    /* Left by a process that died; nothing is made, only tsr_plug_pass makes
     * sense. queues[0] is the older one, the action points to queues[1]. */
    TSR_PLUG_ADOPT = 1,
    /* The queues have their plugs already (a script's, one queue). */
    TSR_PLUG_MADE = 2,
};

/* One interface of the guest. */
struct tsr_plug_port {         /* 28 bytes */
    uint32_t interface;        /* ifindex to watch, see plug.c, open_tap; 0: none */
    uint32_t queues[2];        /* ifindex of each ifb, which must be up; queues[1]
                                * 0: one queue, with sch_plug's own counts */
    uint32_t action;           /* index of the mirred action that points to
                                * queues[0]; 0 with one queue */
    uint32_t limit;            /* bytes per queue */
    uint32_t flags;
    uint32_t reserved;
};

struct tsr_plug_stats {        /* 64 bytes */
    uint64_t packets, bytes;   /* held now; bytes without TSR_PLUG_OVERHEAD */
    uint64_t dropped;          /* at the limit, since the queues were made */
    uint64_t sealed;           /* oldest sealed epoch; UINT64_MAX: none */
    uint64_t barriers, merged; /* of all ports: set; ports that had to wait */
    uint64_t barrier_ns_max, release_ns_max;
};

/* Over a netlink socket of its own, which was tried: -errno where it does not work. */
TSR_API int tsr_plug_open(void);

/*
 * Over a resident `PROGRAM -batch -`, the tc of iproute2 5.2 or newer: for a host
 * where tsr_plug_open fails. Every call waits for its answer, 10 s at most.
 */
TSR_API int tsr_plug_open_tc(const char *program);

/* Adds an interface: makes its plugs (-EEXIST: something is there), lets all
 * through until the first barrier. Returns the number of the port. */
TSR_API int tsr_plug_add(int handle, const struct tsr_plug_port *port);

/*
 * Seals what was held so far as EPOCH, on each interface; the first call (the end of
 * the seed) closes the buffer. Interfaces with a sealed epoch that is not released,
 * or not gone yet, are left alone: their packets go with a later epoch. Returns how
 * many they were. After tsr_plug_pass: nothing.
 */
TSR_API int tsr_plug_barrier(int handle, uint64_t epoch);

/* Releases what is sealed, up to and including EPOCH. Returns the number of
 * interfaces that released something. */
TSR_API int tsr_plug_release(int handle, uint64_t epoch);

/* Opens the buffer for good, the oldest packets first. Returns the number of
 * interfaces with packets that still wait: call it again until 0. */
TSR_API int tsr_plug_pass(int handle);

/* Figures of one port, or of all (-1). */
TSR_API int tsr_plug_look(int handle, int port, struct tsr_plug_stats *out);

/* Forgets the devices; what is held stays held. A save that has the handle keeps
 * the plug until it ends. */
TSR_API int tsr_plug_close(int handle);

/* Sends one Ethernet frame (14 to 1514 bytes) out of INTERFACE. */
TSR_API int tsr_send_frame(const char *interface, const uint8_t *frame,
                           size_t size);

/* ---- stream checker: strict, incremental, one for both sides ------------ */

struct tsr_stream_stats {      /* 64 bytes */
    uint64_t offset;           /* bytes taken so far */
    uint64_t epoch;            /* number of the epoch under way = complete ones */
    uint64_t pages;            /* page bodies in it; at a boundary: in the epoch that just ended */
    uint64_t records;          /* records in the whole stream */
    uint32_t at_boundary;      /* 1: exactly after a CHECKPOINT_END */
    uint32_t guest_type;       /* 0 not seen, 1 PV, 2 HVM/PVH */
    uint64_t epoch_end;        /* offset right after the last CHECKPOINT_END */
    uint64_t reserved[2];
};

TSR_API int tsr_stream_new(void);
/* Takes the bytes; -EPROTO with a text that names record and offset. After a
 * failure every further call fails the same way. OUT (or NULL) is filled in any case. */
TSR_API int tsr_stream_check(int handle, const uint8_t *data, size_t size,
                             struct tsr_stream_stats *out);
TSR_API int tsr_stream_free(int handle);

/* ---- page encoding ------------------------------------------------------ */

/*
 * The raw stream of a session, encoded: a row of batches. Integers are little-endian.
 *
 *   batch     struct tsr_batch_header, then payload_size bytes
 *   payload   kind 0 plain: the raw bytes
 *             kind 1 pages: an encoded batch
 *             kind 2 zstd:  zstd frames that hold an encoded batch
 *   encoded   data, operations, u32 length of the operations
 *   operation u8, each makes the next raw bytes:
 *             1 bytes  u32 count; that many from the data, none of a page's body
 *             2 same   the page as it is in the cache
 *             3 zero   zeroes
 *             4 delta  u8 count, so many runs (u8 words to pass over, u8 words that
 *                      follow): the page in the cache, with those words of 64 bits
 *                      changed by XOR with words from the data
 *             5 copy   the page, from the data
 *
 * Operations 2 to 5 stand for the page body that the raw stream has next, up to its
 * end or that of the batch. The cache holds the copies last sent by page number, on
 * both sides the same (codec/cache.c); 4 and 5 change it, 5 adds to it.
 */
#define TSR_BATCH_RAW_MAX (1u << 20)
/* An encoded batch of RAW bytes has at most so many. */
#define TSR_BATCH_ENCODED_MAX(raw) ((raw) + (raw) / 512 + 64)
#define TSR_BATCH_MAGIC 0x62725354u     /* "TSrb" */
#define TSR_BATCH_VERSION 1
#define TSR_BATCH_HEADER 32

enum tsr_batch_kind {
    TSR_BATCH_PLAIN = 0,
    TSR_BATCH_PAGES = 1,
    TSR_BATCH_ZSTD = 2,
};

struct tsr_batch_header {
    uint32_t magic;
    uint8_t version, kind;
    uint16_t reserved;      /* 0 */
    uint32_t raw_size;      /* 1 to TSR_BATCH_RAW_MAX */
    uint32_t encoded_size;
    uint32_t payload_size;
    uint32_t sequence;      /* 0, 1, 2, .. of the session */
    uint64_t check;         /* XXH64 of the payload, seeded by that of all above */
};

enum tsr_codec_flags {
    TSR_CODEC_DECODE = 1,   /* else it encodes */
    TSR_CODEC_PLAIN = 2,    /* no operations, no cache: batches of kind 0 only */
    TSR_CODEC_ZSTD = 4,     /* encoder: kind 2 where that is smaller */
};

/* What both sides must agree upon at the end of an epoch, and counts. */
struct tsr_codec_digest {   /* 88 bytes */
    uint64_t raw_bytes;     /* of the epoch */
    uint64_t checksum;      /* of those, in order */
    uint64_t cache_state;   /* of all that happened to the cache in the session */
    uint64_t pages_same, pages_zero, pages_delta, pages_copy;   /* of the epoch */
    uint64_t encoded_bytes, wire_bytes;     /* of the epoch, encoder only */
    uint64_t cached_pages, evictions;       /* of the session */
};

/* 1: libzstd is there; 0: batches of kind 2 must be made and undone elsewhere. */
TSR_API int tsr_codec_has_zstd(void);

/*
 * A new encoder or decoder, for a session from the first byte of its stream on.
 * The cache takes at most CACHE_BYTES (0: none) of address space, and of memory what
 * pages fill; both sides need the same number. LEVEL is zstd's.
 */
TSR_API int tsr_codec_new(uint32_t flags, uint64_t cache_bytes, int level);

/*
 * Encoder: SIZE raw bytes (any cut of the stream) become one batch in OUT, which has
 * TSR_BATCH_HEADER + TSR_BATCH_ENCODED_MAX(SIZE). Decoder: one batch becomes raw bytes
 * in OUT, which has as many as its header says. Returns how many bytes were put there.
 * Calls may overlap on several threads; TICKET is 0 for the first, 1 for the next, and
 * so on without gaps, and calls must start in that order. -EPROTO: not a stream, or
 * not a batch; the codec can only be freed then. -ESHUTDOWN: it was. BLOCKING.
 */
TSR_API int tsr_codec_run(int handle, uint64_t ticket, const uint8_t *in,
                          size_t size, uint8_t *out, size_t capacity);

/* Ends the epoch, after all its calls have returned. */
TSR_API int tsr_codec_end(int handle, struct tsr_codec_digest *out);

TSR_API int tsr_codec_free(int handle);

/* Computes the check of a batch whose kind or payload was changed. */
TSR_API int tsr_batch_seal(uint8_t *batch, size_t size);
/* 0, or -EPROTO with a text. */
TSR_API int tsr_batch_check(const uint8_t *batch, size_t size);

#endif
