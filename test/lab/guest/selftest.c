/*
 * Proves, on any machine, that the pattern finds out a copy that lost a page.
 *
 * Every check runs some rewrites, saves one page of memory, rewrites on, and puts the saved page
 * back: exactly what a checkpoint leaves that forgot one dirty page. The verification must see it,
 * whether the page belongs to the working set, the books or the running checksum.
 */
#include "labguest.h"

#include <stdio.h>
#include <string.h>

#define PAGES 2048
#define PAGE_BYTES 4096

static int failures;

static void expect(bool holds, const char *what)
{
    printf("%s %s\n", holds ? "ok  " : "FAIL", what);
    failures += !holds;
}

static struct pattern_report verify_all(void)
{
    struct pattern_report report = { 0 };

    pattern_verify(0, PAGES, &report);
    report.sum_ok = pattern_sum_ok();
    return report;
}

static void rewrite_all(uint32_t times)
{
    for (uint32_t i = 0; i < PAGES * times; i++)
        pattern_rewrite_next();
}

/* Loses the first BYTES of one page across a round of rewrites; the state is repaired after. */
static struct pattern_report lose(enum pattern_part part, uint32_t page, size_t bytes)
{
    static uint8_t old[PAGE_BYTES], new[PAGE_BYTES];
    uint8_t *at = pattern_part(part, page);
    struct pattern_report report;

    memcpy(old, at, PAGE_BYTES);
    rewrite_all(1);
    memcpy(new, at, PAGE_BYTES);
    memcpy(at, old, bytes);
    report = verify_all();
    memcpy(at, new, PAGE_BYTES);
    return report;
}

int selftest(void)
{
    struct pattern_report report;

    if (pattern_init(PAGES)) {
        printf("FAIL no memory\n");
        return 1;
    }
    report = verify_all();
    expect(report.pages == PAGES && report.stale + report.torn == 0 && report.sum_ok, "fresh pages");
    rewrite_all(3);
    report = verify_all();
    expect(report.stale + report.torn == 0 && report.sum_ok, "rewritten pages");

    report = lose(PATTERN_PAGE, 77, PAGE_BYTES);
    expect(report.stale == 1 && report.torn == 0 && report.sum_ok, "a stale page");
    expect(report.first_bad == 77 && report.first_has + 1 == report.first_due, "which one it is");
    report = lose(PATTERN_PAGE, PAGES - 1, PAGE_BYTES / 2);
    expect(report.stale + report.torn == 1, "half a page");
    report = lose(PATTERN_PAGE, 5, 8);
    expect(report.stale + report.torn == 1, "eight bytes of a page");
    report = lose(PATTERN_BOOKS, 1, PAGE_BYTES);
    expect(report.stale + report.torn > 0 && !report.sum_ok, "a page of the books");
    report = lose(PATTERN_LEDGER, 0, PAGE_BYTES);
    expect(!report.sum_ok, "the checksum's page");

    expect(pattern_set_runs(64) == 0 && pattern_set_runs(0) < 0 && pattern_set_runs(65) < 0,
           "bounds of the runs");
    rewrite_all(2);
    report = verify_all();
    expect(report.stale + report.torn == 0 && report.sum_ok, "wholly rewritten pages");
    return failures > 0;
}
