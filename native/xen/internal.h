/*
 * Declarations shared by the files of this room. Each block names its file.
 */
#ifndef TSR_XEN_INTERNAL_H
#define TSR_XEN_INTERNAL_H

#include "../common/common.h"
#include "libxl_abi.h"
#include "xen.h"

/* ---- log.c -------------------------------------------------------------- */

/* Collects what libxl logs through one context. */
struct tsr_log;

struct tsr_log *tsr_log_open(struct tsr_events *events);
FILE *tsr_log_stream(struct tsr_log *log);
/* Forgets the error lines that were kept. */
void tsr_log_reset(struct tsr_log *log);
/* The error lines since the last reset, as one sentence; "" if none. */
void tsr_log_text(struct tsr_log *log, char *out, size_t size);
void tsr_log_free(struct tsr_log *log);

/* ---- library.c ---------------------------------------------------------- */

/* A libxl context with its logger. */
struct tsr_ctx {
    libxl_ctx *xl;
    struct tsr_log *log;
    xentoollog_logger *logger;
    libxl_event_hooks hooks;
    char disaster[256];                 /* set once libxl's events broke */
    struct tsr_ctx *next;
};

/* A new context whose log goes to EVENTS (or NULL: only kept). */
int tsr_ctx_open(struct tsr_events *events, struct tsr_ctx **ctx_out);
void tsr_ctx_close(struct tsr_ctx *ctx);
/* Never uses it again, and never frees it: libxl may still hold something of it. */
void tsr_ctx_abandon(struct tsr_ctx *ctx);
/* A context for one short call, from a pool; never shared. */
int tsr_ctx_get(struct tsr_ctx **ctx_out);
/* Gives it back; one that is broken must be leaked instead. */
void tsr_ctx_put(struct tsr_ctx *ctx);

/* ---- json.c ------------------------------------------------------------- */

/*
 * Finds the value at PATH (object keys, separated by dots) in JSON text.
 * Returns a pointer to its first character and its length, or NULL.
 */
const char *tsr_json_find(const char *json, const char *path, size_t *len_out);
/* true if the value at PATH is the literal true. */
bool tsr_json_true(const char *json, const char *path);
/* Copies the string at PATH; false if absent, not a string or too long. */
bool tsr_json_string(const char *json, const char *path, char *out,
                     size_t size);
/* Writes TEXT as a JSON string with its quotes; always fits a NUL. */
void tsr_json_quote(const char *text, char *out, size_t size);

/* ---- loop.c ------------------------------------------------------------- */

#define TSR_CHILDREN_SOON_MS 10
#define TSR_CHILDREN_LATER_MS 500

/* One turn of poll around libxl's beforepoll and afterpoll. */
struct tsr_loop {
    struct tsr_ctx *ctx;
    struct pollfd *fds;
    int capacity;
    int used;                           /* libxl's fds of this turn */
    uint64_t children_due_ns;
    uint64_t children_busy_ns;          /* look often until then */
    unsigned children_idle_ms;          /* how often after that */
};

void tsr_loop_init(struct tsr_loop *loop, struct tsr_ctx *ctx);
void tsr_loop_dispose(struct tsr_loop *loop);
/*
 * Polls libxl's fds (if SERVE) and EXTRA. TIMEOUT_MS -1: as long as libxl and
 * its children allow; IGNORE_TIMERS: libxl's timers do not wake us.
 */
int tsr_loop_poll(struct tsr_loop *loop, bool serve, bool ignore_timers,
                  struct timeval now, struct pollfd *extra, int extra_count,
                  int timeout_ms);
/* Lets libxl serve what tsr_loop_poll found, and reaps its children. */
void tsr_loop_serve(struct tsr_loop *loop, struct timeval now);
struct timeval tsr_loop_now(void);

/* One asynchronous operation of libxl. */
struct tsr_ao {
    libxl_asyncop_how how;
    bool done;
    int rc;
};

void tsr_ao_init(struct tsr_ao *ao);
/*
 * Runs the event loop of CTX until AO is done; at most TIMEOUT_S seconds, then
 * it is aborted. Returns libxl's rc, or -ETIMEDOUT: then libxl still works on
 * it, and CTX, AO and every parameter of the call must be leaked.
 */
int tsr_ao_run(struct tsr_ctx *ctx, struct tsr_ao *ao, int timeout_s);

/* ---- ops.c -------------------------------------------------------------- */

/* Runs libxl_domain_info into malloc'ed JSON. */
int tsr_info_json(uint32_t domid, char **json_out);

/* What a look at a domain says. */
struct tsr_guest {
    bool gone;
    bool shutdown;
    bool suspended;
    char reason[16];
};
int tsr_guest_look(uint32_t domid, struct tsr_guest *guest_out);

/* ---- chunks.c ----------------------------------------------------------- */

#define TSR_CHUNK_SIZE (1u << 20)

/* A queue of bytes: one thread writes, one reads. */
struct tsr_chunks {
    pthread_mutex_t lock;               /* the list and the counts */
    struct tsr_chunk *first, *last, *spare;
    size_t read_at;                     /* within first */
    size_t write_at;                    /* within last */
    uint64_t size;                      /* bytes that wait */
    size_t in_use, spares;              /* chunks */
    size_t peak, peak_before;           /* most in use, this window and the last */
    unsigned trims;                     /* of this window */
    uint64_t made;                      /* chunks ever taken from the system */
};

void tsr_chunks_init(struct tsr_chunks *chunks);
void tsr_chunks_dispose(struct tsr_chunks *chunks);
/* Writer: where the next bytes go; NULL: no memory. */
uint8_t *tsr_chunks_space(struct tsr_chunks *chunks, size_t *size_out);
/* Writer: N bytes of that space are there. */
void tsr_chunks_commit(struct tsr_chunks *chunks, size_t n);
/* Reader: the oldest bytes, in place; NULL: none. */
const uint8_t *tsr_chunks_peek(struct tsr_chunks *chunks, size_t *size_out);
/* Reader: N of them are done with. */
void tsr_chunks_consume(struct tsr_chunks *chunks, size_t n);
uint64_t tsr_chunks_size(struct tsr_chunks *chunks);
/* Writer, once per epoch: gives memory back that was not needed lately. */
void tsr_chunks_trim(struct tsr_chunks *chunks);

#endif
