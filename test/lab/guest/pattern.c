/*
 * A working set of pages of which every one can be told to be current, stale or torn.
 *
 * The content of a page follows from its index, its generation and the number of runs alone:
 *
 *   word 0                    header: generation and index
 *   words of the changed runs a sequence seeded by (index, generation)
 *   all other words           a constant seeded by the index
 *
 * A rewrite restores the runs of the generation before and writes those of the new one, so that a
 * page is right only if every run of every rewrite arrived. Which generation a page must have is
 * kept elsewhere: in the books, an array of its own, and once more in a running checksum on a page
 * of its own. A copy that lost a page of the working set, of the books or the checksum's page
 * therefore disagrees with itself, whichever it was.
 */
#include "labguest.h"

#include <string.h>
#include <sys/mman.h>

#define PAGE_BYTES 4096
#define PAGE_WORDS (PAGE_BYTES / 8)
#define RUN_WORDS 8
#define PAGE_RUNS (PAGE_WORDS / RUN_WORDS)
#define RUN_STRIDE 27 /* odd: visits all 64 runs before it repeats one */
#define RUNS_DEFAULT 4

/* What the books say of one page. */
struct slot {
    uint32_t generation;
    uint32_t runs;
};

/* The running checksum and what belongs to it, on a page that nothing else shares. */
struct ledger {
    uint64_t sum;
    uint64_t rewrites;
    uint32_t next;
    uint32_t runs;
};

static uint64_t *memory;
static struct slot *books;
static uint32_t pages_n;
static union {
    struct ledger l;
    uint8_t fill[PAGE_BYTES];
} ledger_page __attribute__((aligned(PAGE_BYTES)));
#define ledger (ledger_page.l)

/* The parts that a lost page may be part of, for the self-test. */
void *pattern_part(enum pattern_part part, uint32_t page)
{
    switch (part) {
    case PATTERN_PAGE: return memory + (size_t)page * PAGE_WORDS;
    case PATTERN_BOOKS: return (uint8_t *)books + (size_t)page * PAGE_BYTES;
    case PATTERN_LEDGER: return &ledger_page;
    }
    return NULL;
}

/* The finalizer of splitmix64: every bit of the result depends on every bit of the input. */
static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static uint64_t header_of(uint32_t page, struct slot slot)
{
    return (uint64_t)slot.generation << 32 | page;
}

static uint64_t base_of(uint32_t page)
{
    return mix(page);
}

/* What one page contributes to the checksum. */
static uint64_t weight_of(uint32_t page, struct slot slot)
{
    return mix(header_of(page, slot) ^ mix(slot.runs));
}

/* The index of the k-th run that a generation changes. */
static uint32_t run_of(uint32_t page, struct slot slot, uint32_t k)
{
    uint32_t first = (uint32_t)mix(header_of(page, slot) + 1) % PAGE_RUNS;

    return (first + k * RUN_STRIDE) % PAGE_RUNS;
}

static uint64_t seed_of(uint32_t page, struct slot slot, uint32_t run)
{
    return mix(header_of(page, slot) * 64 + run);
}

static uint64_t step_of(uint64_t x)
{
    return x * 6364136223846793005u + 1442695040888963407u;
}

static void write_runs(uint64_t *words, uint32_t page, struct slot slot)
{
    for (uint32_t k = 0; k < slot.runs; k++) {
        uint32_t run = run_of(page, slot, k);
        uint64_t x = seed_of(page, slot, run);

        for (int i = 0; i < RUN_WORDS; i++) {
            words[run * RUN_WORDS + (uint32_t)i] = x;
            x = step_of(x);
        }
    }
}

static void restore_runs(uint64_t *words, uint32_t page, struct slot slot)
{
    uint64_t base = base_of(page);

    for (uint32_t k = 0; k < slot.runs; k++) {
        uint32_t run = run_of(page, slot, k);

        for (int i = 0; i < RUN_WORDS; i++)
            words[run * RUN_WORDS + (uint32_t)i] = base;
    }
}

/* The whole content that a page must have. */
static void fill_expected(uint64_t *words, uint32_t page, struct slot slot)
{
    uint64_t base = base_of(page);

    for (int i = 0; i < PAGE_WORDS; i++)
        words[i] = base;
    write_runs(words, page, slot);
    words[0] = header_of(page, slot);
}

int pattern_init(uint32_t pages)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE;
    int prot = PROT_READ | PROT_WRITE;

    memory = mmap(NULL, (size_t)pages * PAGE_BYTES, prot, flags, -1, 0);
    books = mmap(NULL, (size_t)pages * sizeof(*books), prot, flags, -1, 0);
    if (memory == MAP_FAILED || books == MAP_FAILED)
        return -1;
    pages_n = pages;
    ledger.runs = RUNS_DEFAULT;
    for (uint32_t page = 0; page < pages; page++) {
        fill_expected(memory + (size_t)page * PAGE_WORDS, page, books[page]);
        ledger.sum += weight_of(page, books[page]);
    }
    return 0;
}

uint32_t pattern_pages(void)
{
    return pages_n;
}

uint64_t pattern_rewrites(void)
{
    return ledger.rewrites;
}

uint64_t pattern_checksum(void)
{
    return ledger.sum;
}

uint32_t pattern_runs(void)
{
    return ledger.runs;
}

int pattern_set_runs(uint32_t runs)
{
    if (runs < 1 || runs > PAGE_RUNS)
        return -1;
    ledger.runs = runs;
    return 0;
}

void pattern_rewrite_next(void)
{
    uint32_t page = ledger.next;
    uint64_t *words = memory + (size_t)page * PAGE_WORDS;
    struct slot before = books[page];
    struct slot after = { before.generation + 1, ledger.runs };

    restore_runs(words, page, before);
    write_runs(words, page, after);
    words[0] = header_of(page, after);
    books[page] = after;
    ledger.sum += weight_of(page, after) - weight_of(page, before);
    ledger.rewrites++;
    ledger.next = page + 1 == pages_n ? 0 : page + 1;
}

bool pattern_sum_ok(void)
{
    uint64_t sum = 0, rewrites = 0;

    for (uint32_t page = 0; page < pages_n; page++) {
        sum += weight_of(page, books[page]);
        rewrites += books[page].generation;
    }
    return sum == ledger.sum && rewrites == ledger.rewrites;
}

/* Whether the page is whole in the generation that its own header names. */
static bool is_whole(uint32_t page, const uint64_t *words)
{
    static uint64_t expected[PAGE_WORDS];
    struct slot slot = { (uint32_t)(words[0] >> 32), books[page].runs };

    fill_expected(expected, page, slot);
    return memcmp(words, expected, PAGE_BYTES) == 0;
}

void pattern_verify(uint32_t first, uint32_t count, struct pattern_report *report)
{
    static uint64_t expected[PAGE_WORDS];

    for (uint32_t page = first; page < first + count && page < pages_n; page++) {
        const uint64_t *words = memory + (size_t)page * PAGE_WORDS;

        report->pages++;
        fill_expected(expected, page, books[page]);
        if (memcmp(words, expected, PAGE_BYTES) == 0)
            continue;
        if (report->stale + report->torn == 0) {
            report->first_bad = page;
            report->first_has = (uint32_t)(words[0] >> 32);
            report->first_due = books[page].generation;
        }
        if (is_whole(page, words))
            report->stale++;
        else
            report->torn++;
    }
}
