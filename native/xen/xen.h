/*
 * Xen: libxenlight driven by an event loop of our own, checkpoint streams out of it
 * (save) and into it (restore), and the check of such a stream. See common/tsremus.h
 * for the rules of this interface, libxl_abi.h for what is known of libxenlight.
 */
#ifndef TSR_XEN_H
#define TSR_XEN_H

#include "../common/tsremus.h"
#include "events.h"

/* RC: libxl's negative ERROR_* number (ERROR_FAIL -3 becomes -10003). */
#define TSR_XL(rc) (-TSR_XL_BASE + (rc))

/* Where in a stream one is. */
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

/* ---- library, short calls on a domain ----------------------------------- */

/*
 * Opens libxenlight (dlopen PATH: a path or soname), resolves every function of
 * libxl_abi.h and allocates the contexts for short calls. -ENOENT no such library,
 * -ENOSYS too old (before Xen 4.14; the text names what is missing), TSR_XL(rc) the
 * context was refused (not Xen, not root). Idempotent for the same path; -EBUSY for
 * another one. TSREMUS_LIBXL_LOG=debug in the environment asks libxl for everything
 * that it can log. BLOCKING.
 */
TSR_API int tsr_open(const char *path);

/*
 * The calls below each use a context of their own. Domain 0 and numbers that no guest
 * can have are refused with -EINVAL; TSR_XL(-21): there is no such domain. Those that
 * write JSON return its length; -ERANGE if SIZE is too small.
 */

/* The members of libxl_version_info, free_memory_kb, and libxl_physinfo as physinfo. */
TSR_API int tsr_host_info(char *out, size_t size);
/*
 * libxl_cpupoolinfo of the pool that a configuration means by QUALIFIER, its name or number
 * (libxl_utils.c, libxl_cpupool_qualifier_to_cpupoolid). TSR_XL(-23): there is none; -ENOSYS:
 * this libxl cannot say.
 */
TSR_API int tsr_pool_info(const char *qualifier, char *out, size_t size);
/* Number of the domain called NAME; TSR_XL(-6 or -21) where there is none. */
TSR_API int tsr_domain_id(const char *name);
/*
 * Numbers of all domains but domain 0, in order, at most ROOM of them; returns their count,
 * -ERANGE where there are more. A domain that comes or goes meanwhile may be left out.
 */
TSR_API int tsr_domain_ids(uint32_t *out, uint32_t room);
/* libxl_dominfo; libxl_domain_config (BLOCKING). */
TSR_API int tsr_domain_info(uint32_t domid, char *out, size_t size);
TSR_API int tsr_domain_config(uint32_t domid, char *out, size_t size);
/*
 * libxl's words, as JSON: "actions" (action_on_shutdown) and "reasons"
 * (shutdown_reason), in the order of their numbers, and "defaults": of on_poweroff,
 * on_reboot, on_watchdog, on_crash and on_soft_reset the action that a configuration
 * means which leaves the key out.
 */
TSR_API int tsr_end_words(char *out, size_t size);
TSR_API int tsr_domain_pause(uint32_t domid);
TSR_API int tsr_domain_unpause(uint32_t domid);     /* BLOCKING */
TSR_API int tsr_domain_resume(uint32_t domid);      /* cooperative; BLOCKING */
TSR_API int tsr_domain_rename(uint32_t domid, const char *from, const char *to);
TSR_API int tsr_domain_destroy(uint32_t domid);     /* BLOCKING */
/* Creates a new domain from CONFIG, left paused; returns its domid. BLOCKING. */
TSR_API int tsr_domain_create(const char *config_json);

/* ---- save: the primary's side (events.h has what it reports) -------- */

/*
 * Starts libxl_domain_remus_start on DOMID with a stream of ours, on a thread
 * and a context of their own. Returns a handle. The thread drains the stream
 * into memory, at most LIMIT bytes unread (past that it stops reading, see
 * TSR_EV_STALLED; only libxl's own few records that end an epoch go beyond),
 * always before it serves libxl; checks every record; at the first X86_TSC_INFO of each
 * epoch, while the guest is certainly suspended, sets the COUNT barriers whose handles are
 * in BARRIERS, in that order (none: nothing is buffered; at most TSR_BARRIERS_MAX,
 * the save keeps them until it ends); and after each CHECKPOINT_END holds libxl's
 * timer until tsr_save_checkpoint. *EVENT_FD receives the read end of the event
 * pipe (non-blocking, the caller closes it after TSR_EV_ENDED).
 */
#define TSR_BARRIERS_MAX 32
TSR_API int tsr_save_start(uint32_t domid, uint64_t limit, const int32_t *barriers,
                           uint32_t count, int32_t *event_fd);

/*
 * Lets the next checkpoint begin. -EAGAIN while an epoch is under way, or while 63
 * complete ones wait to be read; -ESHUTDOWN once the session is ending.
 *
 * LAST (1, else 0), for a handover: at the first X86_TSC_INFO of the epoch that begins
 * here, after its barriers, the guest is paused by way of another context, before libxl
 * can serve the resume: it does not run on behind the epoch. A pause that is refused
 * fails the session as a barrier does. From the pause on only tsr_domain_unpause lets
 * the guest go on, whatever becomes of the session; it is not undone by an abort, and
 * no other checkpoint may follow (-ESHUTDOWN).
 */
TSR_API int tsr_save_checkpoint(int handle, int last);

/* Takes up to SIZE bytes of the stream, in order, never past the end of an epoch.
 * Returns the count; 0: nothing waits. One thread at a time. */
TSR_API int tsr_save_read(int handle, uint8_t *out, size_t size);

/*
 * Ends the operation: while the timer is held or in the live part of the seed at once,
 * else when the epoch under way has ended; where nobody reads any more, the rest of it
 * is thrown away. Then, as after an operation that failed by itself, the guest is
 * watched (3 s, unless the timer was held) and resumed if it is found suspended. Where it
 * may suspend later still, TSR_EV_ENDED, which follows, says so.
 */
TSR_API int tsr_save_abort(int handle);

/* Joins the thread and frees everything. Only after TSR_EV_ENDED was read, or the
 * event pipe closed; before ENDED -EBUSY. BLOCKING (microseconds). */
TSR_API int tsr_save_free(int handle);

/* ---- restore: the backup's side ---------------------------------------- */

/*
 * Starts libxl_domain_create_restore with a checkpointed stream (REMUS) for CONFIG
 * (libxl_domain_config JSON, its c_info.name already that of the copy); at most LIMIT
 * bytes may wait for libxl. FAILED with -EEXIST follows where that name is taken.
 */
TSR_API int tsr_restore_start(const char *config_json, uint64_t limit, int32_t *event_fd);

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

/* Discards the copy: aborts the operation and destroys the domain. Never closes the pipe
 * before libxl has given up. TSR_EV_ENDED follows, never with a = 0; a FAILED before it
 * says if the domain could not be destroyed. -ESHUTDOWN if the session has ended. */
TSR_API int tsr_restore_abort(int handle);
TSR_API int tsr_restore_free(int handle);

/* ---- stream: strict, incremental, the same check for both sides --------- */

TSR_API int tsr_stream_new(void);
/* Takes the bytes; -EPROTO with a text that names record and offset. After a
 * failure every further call fails the same way. OUT (or NULL) is filled in any case. */
TSR_API int tsr_stream_check(int handle, const uint8_t *data, size_t size,
                             struct tsr_stream_stats *out);
TSR_API int tsr_stream_free(int handle);

#endif
