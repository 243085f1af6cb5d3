/*
 * What the guest writes into its memory, and how a copy of it is judged.
 */
#define _GNU_SOURCE
#include "guest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define PAGE_MAGIC 0x656761706d697378ull
#define WORDS (SX_PAGE / 8)
#define STRIDE 7919u /* a prime: meets every page before it meets one again */

struct page_head {
    uint64_t magic, pfn, version, sum;
};

static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15ull;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}

static uint64_t page_sum(uint64_t seed, uint64_t pfn, uint64_t version)
{
    return version ? mix(seed ^ mix(pfn) ^ mix(version * 3)) : 0;
}

/* The dirty bit is set after the write: whoever clears it and then reads the
 * page has the write, whoever reads the page too early finds the bit again. */
void sx_dirty(struct sx_domain *d, uint64_t pfn)
{
    atomic_fetch_or(&d->dirty[pfn / 64], 1ull << (pfn % 64));
}

bool sx_guest_hole(const struct sx_domain *d, uint64_t pfn)
{
    uint64_t end = d->st->nr_pages - SX_HOLE_PAGES;

    /* From the number of pages alone, as a toolstack knows it. */
    return d->st->type != SX_PV && pfn >= end - SX_HOLE_PAGES && pfn < end;
}

/*
 * Four kinds of content, because a delta or a compressor that only ever
 * meets random pages shows nothing: wholly new, new in 16 words, text-like,
 * nearly empty.
 */
static void body(uint64_t *w, const struct sx_guest *g, uint64_t pfn,
                 uint64_t version)
{
    uint32_t kind = g->content ? g->content : 1 + (uint32_t)(pfn & 3);
    uint64_t x = mix(g->seed ^ mix(pfn));
    uint64_t v = mix(x ^ version);

    memset(w, 0, SX_PAGE);
    switch (kind) {
    case SX_CONTENT_RANDOM:
        for (size_t i = 4; i < WORDS; i++) {
            v ^= v << 13, v ^= v >> 7, v ^= v << 17;
            w[i] = v;
        }
        break;
    case SX_CONTENT_DELTA:
        for (size_t i = 4; i < WORDS; i++) {
            x ^= x << 13, x ^= x >> 7, x ^= x << 17;
            w[i] = x;
        }
        for (size_t i = 0; i < 16; i++) {
            v = mix(v);
            w[4 + v % (WORDS - 4)] = v;
        }
        break;
    case SX_CONTENT_TEXT:
        for (size_t i = 4; i < WORDS; i++) {
            v ^= v << 13, v ^= v >> 7, v ^= v << 17;
            w[i] = 0x6120736920746920ull + (v & 0x0303030303030303ull);
        }
        break;
    default:
        for (size_t i = 0; i < 4; i++) {
            v = mix(v);
            w[4 + v % (WORDS - 4)] = v;
        }
    }
}

static void compose(uint64_t *w, const struct sx_guest *g, uint64_t pfn,
                    uint64_t version)
{
    struct page_head *h = (struct page_head *)w;

    body(w, g, pfn, version);
    h->magic = PAGE_MAGIC;
    h->pfn = pfn;
    h->version = version;
    h->sum = page_sum(g->seed, pfn, version);
}

static uint32_t *table(const struct sx_domain *d)
{
    return (uint32_t *)(d->mem + SX_PAGE);
}

/* Rewrites one data page and all its bookkeeping. Suspension happens only
 * between two calls, so that the memory of an epoch is always consistent. */
void sx_guest_write(struct sx_domain *d, uint64_t pfn)
{
    struct sx_guest *g = sx_guest(d);
    uint32_t *version = &table(d)[pfn];

    g->sum -= page_sum(g->seed, pfn, *version);
    ++*version;
    compose((uint64_t *)(d->mem + pfn * SX_PAGE), g, pfn, *version);
    sx_dirty(d, pfn);
    sx_dirty(d, 1 + pfn / 1024);
    g->sum += page_sum(g->seed, pfn, *version);
    g->writes++;
    sx_dirty(d, 0);
}

static uint64_t first_data(const struct sx_guest *g)
{
    return 1 + g->table_pages;
}

static uint64_t data_pages(const struct sx_guest *g)
{
    return (g->hole_pages ? g->hole_first : g->nr_pages) - first_data(g);
}

uint64_t sx_guest_pick(struct sx_guest *g)
{
    g->rng ^= g->rng << 13, g->rng ^= g->rng >> 7, g->rng ^= g->rng << 17;
    return first_data(g) + (g->rng >> 11) % g->working_set;
}

/*
 * So many different pages of the working set, one after the other and far
 * apart, so that no two of them leave as one piece.
 */
void sx_guest_burst(struct sx_domain *d)
{
    struct sx_guest *g = sx_guest(d);
    uint64_t stride = g->working_set % STRIDE ? STRIDE : 1;
    uint64_t n = SX_MIN(g->burst, g->working_set);

    while (n--) {
        g->burst_at = (g->burst_at + stride) % g->working_set;
        sx_guest_write(d, first_data(g) + g->burst_at);
    }
}

void sx_guest_boot(struct sx_domain *d, const struct sx_guest_options *o)
{
    struct sx_guest *g = sx_guest(d);
    uint64_t n = d->st->nr_pages, fill;

    memset(g, 0, sizeof(*g));
    if (getrandom(g->boot_id, sizeof(g->boot_id), 0) < 0)
        memset(g->boot_id, 7, sizeof(g->boot_id));
    memcpy(&g->seed, g->boot_id, sizeof(g->seed));
    g->rng = mix(g->seed) | 1;
    g->nr_pages = n;
    g->table_pages = (n + 1023) / 1024;
    if (d->st->type != SX_PV) {
        g->hole_first = n - 2 * SX_HOLE_PAGES;
        g->hole_pages = SX_HOLE_PAGES;
    }
    g->working_set = SX_MIN(o->working_set ? o->working_set : UINT64_MAX,
                            data_pages(g));
    g->rate = o->rate;
    g->burst = o->burst;
    g->content = o->content;
    g->beacon_ms = o->beacon_ms;
    g->tick_ms = o->tick_ms ? o->tick_ms : 10;
    snprintf(g->tag, sizeof(g->tag), "%.63s", o->tag);
    fill = SX_MIN(o->fill, data_pages(g));
    for (uint64_t i = 0; i < fill; i++)
        sx_guest_write(d, first_data(g) + i);
    g->magic = SX_GUEST_MAGIC;
}

struct findings {
    char *why;
    size_t size;
    long count;
};

__attribute__((format(printf, 2, 3)))
static void finding(struct findings *f, const char *format, ...)
{
    size_t used = strlen(f->why);
    va_list al;

    if (f->count++ >= 4 || used + 2 >= f->size)
        return;
    if (used)
        used += (size_t)snprintf(f->why + used, f->size - used, "; ");
    va_start(al, format);
    vsnprintf(f->why + used, f->size - used, format, al);
    va_end(al);
}

static void verify_page(const struct sx_domain *d, uint64_t pfn,
                        struct findings *f)
{
    static const uint64_t zero[WORDS];
    const struct sx_guest *g = sx_guest(d);
    const uint64_t *page = (const uint64_t *)(d->mem + pfn * SX_PAGE);
    uint32_t version = table(d)[pfn];
    uint64_t want[WORDS];

    if (!version) {
        if (memcmp(page, zero, SX_PAGE))
            finding(f, "page %lu is not empty though never written",
                    (unsigned long)pfn);
        return;
    }
    compose(want, g, pfn, version);
    if (!memcmp(page, want, SX_PAGE))
        return;
    if (page[0] == PAGE_MAGIC && page[1] == pfn && page[2] != version)
        finding(f, "page %lu has version %lu where the table says %u",
                (unsigned long)pfn, (unsigned long)page[2], version);
    else
        finding(f, "page %lu version %u has the wrong content",
                (unsigned long)pfn, version);
}

long sx_guest_verify(const struct sx_domain *d, char *why, size_t size)
{
    struct findings f = { why, size, 0 };
    const struct sx_guest *g = sx_guest(d);
    uint64_t sum = 0, writes = 0;

    why[0] = 0;
    if (g->magic != SX_GUEST_MAGIC || g->nr_pages != d->st->nr_pages) {
        finding(&f, "page 0 is not a guest of this size");
        return f.count;
    }
    for (uint64_t pfn = first_data(g); pfn < g->nr_pages; pfn++) {
        if (sx_guest_hole(d, pfn))
            continue;
        verify_page(d, pfn, &f);
        writes += table(d)[pfn];
        sum += page_sum(g->seed, pfn, table(d)[pfn]);
    }
    if (writes != g->writes)
        finding(&f, "the table counts %lu writes, page 0 counts %lu",
                (unsigned long)writes, (unsigned long)g->writes);
    if (sum != g->sum)
        finding(&f, "the running checksum is %016lx, the pages give %016lx",
                (unsigned long)g->sum, (unsigned long)sum);
    if (atomic_load(&d->st->torn) & 1)
        finding(&f, "the vCPU state is of another moment than the memory");
    if (atomic_load(&d->st->torn) & 2)
        finding(&f, "the shared info is of another moment than the memory");
    return f.count;
}
