/*
 * A pause that is the guest's own: preloaded into libxl's save helper (libxl-save-helper), this
 * library makes the checkpoints of a PVH or HVM guest behind the seed. libxc writes what a
 * checkpoint copies while the guest is suspended, tests every page number there is, and unmaps;
 * here it is copied into memory, the guest is resumed, and then it is written:
 *
 *     suspend -> X86_TSC_INFO -> dirty log -> copy pages and state -> resume
 *             -> X86_TSC_INFO -> unmap -> write, CHECKPOINT -> checkpoint
 *
 * The stream is the one that libxc writes, but for the order of its records and the second
 * X86_TSC_INFO, which a restore takes as it takes the first. That one is the mark of a suspended
 * guest, see xen/save_drain.c.
 *
 * libxc writes headers, policies and the seed, and what it writes at the seed's end is compared
 * with what would be written here (state.c). Whatever is doubtful leaves libxc's own way in
 * force, then or in the middle of a pause: until the guest is resumed nothing has been done that
 * libxc could not do again.
 *
 *     pause.c   what is interposed, the loop      pages.c   dirty pages, mapped and copied
 *     state.c   the records of the state          buffer.c  what waits to be written
 */
#ifndef TSR_PAUSE_H
#define TSR_PAUSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "xc.h"

#define PAGE_BYTES 4096u
/* Pages of a record, and of a mapping; libxc's own MAX_BATCH_SIZE. */
#define BATCH_PAGES 1024u

/* docs/specs/libxc-migration-stream.pandoc */
enum {
    REC_PAGE_DATA = 0x1, REC_TSC_INFO = 0x8, REC_HVM_CONTEXT = 0x9, REC_HVM_PARAMS = 0xa,
    REC_CHECKPOINT = 0xe,
};

struct record {
    uint32_t type, length;              /* of the body, without its padding to 8 bytes */
};

/* ---- buffer.c ---------------------------------------------------------------------------- */

/*
 * Memory for what waits to be written to FD. It is never enlarged in a pause: what exceeds it is
 * written at once then, as libxc does.
 */
struct buffer {
    int fd;
    uint8_t *data;
    size_t used, size, limit;
    size_t wanted;                      /* of the epoch: all that was put */
    bool through;                       /* the record under way is bigger than all of it */
};

/* false: no memory. */
bool buffer_open(struct buffer *buffer, int fd, size_t limit);
void buffer_close(struct buffer *buffer);
/*
 * Begins a record of SIZE bytes in all, which is put in pieces then. What is written in a pause is
 * whole records: another one may be written past the buffer at any moment between two.
 */
bool buffer_begin(struct buffer *buffer, size_t size);
bool buffer_end(struct buffer *buffer);
/* SIZE bytes at DATA; false: the stream cannot be written (errno). */
bool buffer_put(struct buffer *buffer, const void *data, size_t size);
/* Writes what waits. */
bool buffer_flush(struct buffer *buffer);
/* Forgets what waits. */
void buffer_drop(struct buffer *buffer);
/* After an epoch, outside of a pause: room for twice as much as it needed, within the limit. */
void buffer_grow(struct buffer *buffer);
/* A record of one body, padded. */
bool buffer_put_record(struct buffer *buffer, uint32_t type, const void *body, uint32_t length);
/* All of it, past every interruption. */
bool write_all(int fd, const void *data, size_t size);

/* ---- pages.c ----------------------------------------------------------------------------- */

struct pages {
    const struct xc_functions *xc;
    xc_interface *xch;
    uint32_t domid;
    xenforeignmemory_handle *memory;
    struct { void *at; size_t pages; } kept[64];
    unsigned kept_count;                /* mappings not yet taken away */
};

bool pages_open(struct pages *pages, const struct xc_functions *xc, xc_interface *xch,
                uint32_t domid);
/*
 * PAGE_DATA records of the pages whose bits are set in BITS (COUNT bits, whole words), in order.
 * Pages that the guest does not have any more are named without data, as libxc names them.
 * false: one is there and cannot be mapped, or the stream cannot be written.
 */
bool pages_put(struct pages *pages, const uint64_t *bits, uint64_t count, struct buffer *out);
/* Takes the mappings away; costs more than making them. */
void pages_unmap(struct pages *pages);

/* ---- state.c ----------------------------------------------------------------------------- */

#define PARAMS_MAX 64

/* What libxc wrote at the end of the seed, and what it asked for meanwhile. */
struct state {
    const struct xc_functions *xc;
    xc_interface *xch;
    uint32_t domid;
    uint32_t params[PARAMS_MAX];        /* HVM parameters, in libxc's order */
    unsigned param_count;
    uint8_t *context;                   /* an HVM_CONTEXT's body */
    size_t context_size;
    uint8_t *learned;
    size_t learned_size;
};

bool state_open(struct state *state, const struct xc_functions *xc, xc_interface *xch,
                uint32_t domid);
/* libxc asks for this parameter; writes these bytes. Too much of either is kept in mind. */
void state_learn_param(struct state *state, uint32_t param);
void state_learn_bytes(struct state *state, const void *data, size_t size);
/* What was learned ends with a CHECKPOINT. */
bool state_learned(const struct state *state);
/* NULL: the records below are those that libxc wrote just now, or what differs. */
const char *state_compare(struct state *state);
/* An X86_TSC_INFO's body, 24 bytes; false: Xen refuses. */
bool state_tsc(struct state *state, uint8_t *body);
/* HVM_CONTEXT, HVM_PARAMS. */
bool state_put(struct state *state, struct buffer *out);

#endif
