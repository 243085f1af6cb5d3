/*
 * The copies last sent, by page number. Both sides make the same calls in the same
 * order, and nothing here depends on anything else, so that their caches are equal:
 * which page sits where, and which one goes.
 *
 * Any page may sit in any slot (an index finds it), so a guest that fits is held
 * whole. When all slots are taken a hand goes round: a page that was found since it
 * last came by stays, another one goes.
 *
 * Then, too, a page is only let in if it was turned away not long ago, and else one
 * in eight: libxc sends an epoch's pages in ascending order, and a guest that goes
 * through more memory than fits would otherwise drive out every page before it comes
 * again. On page numbers recorded from a database, an interpreter and an unpacker,
 * with caches of a quarter to nine tenths of their pages, this found at least half
 * of what the best of ten policies found; plain clock and LRU found nothing in some.
 */
#include "internal.h"

#include <stdlib.h>

#define PAGE_OVERHEAD (8 + 8 + 1)       /* pfns, hashes, seen */
#define ADMIT_ONE_IN 8

/* Entries of the index: a power of two, at most half of them taken. */
static uint64_t index_entries(uint64_t slots)
{
    uint64_t entries = 16;

    while (entries < 2 * slots)
        entries *= 2;
    return entries;
}

static uint64_t bytes_for(uint64_t slots)
{
    uint64_t entries = index_entries(slots);

    return slots * (TSR_PAGE_SIZE + PAGE_OVERHEAD) + entries * sizeof(uint32_t) +
           entries / 2 * sizeof(struct tsr_refused);
}

int tsr_cache_init(struct tsr_cache *cache, uint64_t bytes)
{
    uint64_t slots = bytes / (TSR_PAGE_SIZE + PAGE_OVERHEAD), entries;
    uint8_t *at;

    *cache = (struct tsr_cache){ 0 };
    if (bytes > TSR_CACHE_BYTES_MAX)
        return tsr_fail(-EINVAL, "a page cache of %llu bytes is beyond 1 TiB",
                        (unsigned long long)bytes);
    while (slots && bytes_for(slots) > bytes)
        slots -= slots / 256 + 1;
    if (!slots)
        return 0;
    entries = index_entries(slots);
    cache->size = (size_t)bytes_for(slots);
    cache->base = tsr_map(cache->size);
    if (!cache->base)
        return tsr_fail(-ENOMEM, "no memory for a page cache of %llu bytes",
                        (unsigned long long)bytes);
    cache->slots = (uint32_t)slots;
    cache->mask = (uint32_t)(entries - 1);
    at = cache->base;
    cache->pages = at;
    at += slots * TSR_PAGE_SIZE;
    cache->pfns = (uint64_t *)(void *)at;
    at += slots * 8;
    cache->hashes = (uint64_t *)(void *)at;
    at += slots * 8;
    cache->index = (uint32_t *)(void *)at;
    at += entries * sizeof(uint32_t);
    cache->refused = (struct tsr_refused *)(void *)at;
    at += entries / 2 * sizeof(struct tsr_refused);
    cache->seen = at;
    return 0;
}

void tsr_cache_dispose(struct tsr_cache *cache)
{
    tsr_unmap(cache->base, cache->size);
    *cache = (struct tsr_cache){ 0 };
}

static uint32_t home(const struct tsr_cache *cache, uint64_t pfn)
{
    return (uint32_t)((pfn * UINT64_C(0x9E3779B97F4A7C15)) >> 32) & cache->mask;
}

/* The entry of PFN, or the empty one where it would go. */
static uint32_t probe(const struct tsr_cache *cache, uint64_t pfn)
{
    uint32_t i = home(cache, pfn);

    /* Ends: at most half of the entries are taken. */
    while (cache->index[i] && cache->pfns[cache->index[i] - 1] != pfn)
        i = (i + 1) & cache->mask;
    return i;
}

uint32_t tsr_cache_find(struct tsr_cache *cache, uint64_t pfn)
{
    uint32_t entry;

    if (!cache->slots)
        return TSR_NO_SLOT;
    entry = cache->index[probe(cache, pfn)];
    if (!entry)
        return TSR_NO_SLOT;
    cache->seen[entry - 1] = 1;
    return entry - 1;
}

/* Empties entry I, and closes the gap: a later one may have probed past it. */
static void forget(struct tsr_cache *cache, uint32_t i)
{
    uint32_t next = i;

    for (;;) {
        uint32_t at;

        next = (next + 1) & cache->mask;
        if (!cache->index[next])
            break;
        at = home(cache, cache->pfns[cache->index[next] - 1]);
        /* Stays if its home lies between the gap and itself. */
        if (((next - at) & cache->mask) < ((next - i) & cache->mask))
            continue;
        cache->index[i] = cache->index[next];
        i = next;
    }
    cache->index[i] = 0;
}

/* Where the hand stops; it passes each page at most once. */
static uint32_t evict(struct tsr_cache *cache)
{
    uint32_t slot;

    while (cache->seen[cache->hand]) {
        cache->seen[cache->hand] = 0;
        cache->hand = (cache->hand + 1) % cache->slots;
    }
    slot = cache->hand;
    cache->hand = (cache->hand + 1) % cache->slots;
    forget(cache, probe(cache, cache->pfns[slot]));
    cache->evictions++;
    return slot;
}

/* Whether a page may drive out another one. */
static bool admit(struct tsr_cache *cache, uint64_t pfn)
{
    struct tsr_refused *refused =
        &cache->refused[home(cache, pfn) & (cache->mask >> 1)];
    uint32_t tag = (uint32_t)(pfn >> 32) ^ (uint32_t)pfn;
    uint32_t now = cache->misses++;
    bool lately = refused->tag == tag &&
                  now - refused->when <= cache->slots / 2;

    *refused = (struct tsr_refused){ tag, now };
    return lately || cache->strangers++ % ADMIT_ONE_IN == 0;
}

uint32_t tsr_cache_take(struct tsr_cache *cache, uint64_t pfn)
{
    uint32_t slot;

    if (!cache->slots)
        return TSR_NO_SLOT;
    if (cache->used == cache->slots && !admit(cache, pfn))
        return TSR_NO_SLOT;
    slot = cache->used < cache->slots ? cache->used++ : evict(cache);
    cache->pfns[slot] = pfn;
    cache->hashes[slot] = 0;
    cache->seen[slot] = 0;
    cache->index[probe(cache, pfn)] = slot + 1;
    return slot;
}
