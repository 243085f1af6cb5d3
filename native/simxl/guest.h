/*
 * The guest's memory, as its own programs see it.
 *
 *     page 0              struct sx_guest: identity, counters, checksum
 *     pages 1 .. T        the version of every page, 4 bytes each
 *     pages T+1 ..        data: a head and a body that follow from seed,
 *                         page number and version alone
 *     a hole near the end pages that are not populated (HVM and PVH)
 *
 * A page that was not copied has a version that the table does not have; a
 * table page that was not copied contradicts the running checksum in page 0.
 * So every page that a copy gets wrong shows in sx_guest_verify().
 */
#ifndef SX_GUEST_H
#define SX_GUEST_H

#include "sx.h"

#define SX_GUEST_MAGIC 0x7473657567786973ull
#define SX_HOLE_PAGES 32u

enum { SX_CONTENT_MIX = 0, SX_CONTENT_RANDOM = 1, SX_CONTENT_DELTA = 2,
       SX_CONTENT_TEXT = 3, SX_CONTENT_SPARSE = 4 };

struct sx_guest {
    uint64_t magic;
    uint64_t seed;
    uint8_t boot_id[16];
    uint64_t nr_pages, table_pages, hole_first, hole_pages;
    uint64_t working_set;   /* data pages that the workload rewrites */
    uint64_t rate;          /* pages per second */
    uint32_t content, beacon_ms, tick_ms, reserved;
    uint64_t rng;
    uint64_t writes;        /* page writes, the first filling included */
    uint64_t sum;           /* of sx_page_sum() over all data pages */
    uint64_t ticks;         /* the counter */
    uint64_t beacons;       /* beacons spoken */
    char tag[64];           /* the name that the guest calls itself */
    uint64_t burst;         /* pages rewritten after every resume, at once */
    uint64_t burst_at;      /* where in the working set the next one begins */
};

struct sx_guest_options {
    const char *tag;
    uint64_t rate, burst, fill, working_set;
    uint32_t content, beacon_ms, tick_ms;
};

static inline struct sx_guest *sx_guest(const struct sx_domain *d)
{
    return (struct sx_guest *)d->mem;
}

void sx_guest_boot(struct sx_domain *d, const struct sx_guest_options *o);
void sx_guest_write(struct sx_domain *d, uint64_t pfn);
uint64_t sx_guest_pick(struct sx_guest *g);    /* next page to rewrite */
void sx_guest_burst(struct sx_domain *d);      /* rewrites g->burst pages */
bool sx_guest_hole(const struct sx_domain *d, uint64_t pfn);
void sx_dirty(struct sx_domain *d, uint64_t pfn);

/* Counts wrong pages and writes the first findings to WHY. 0: all is well. */
long sx_guest_verify(const struct sx_domain *d, char *why, size_t size);

#endif
