/*
 * A deliberate bug, for one lab test: one dirty page per hundred epochs is lost, in the hundredth
 * or the next one that has a row of pages.
 *
 * Linked into a build of libtsremus that no product contains, by the linker's --wrap: every call
 * of the stream checker goes through here first, and the save loop shows it each byte before
 * anybody else sees it. In a run of consecutive page numbers the first becomes the same as the
 * second. The stream stays as valid as it was; its reader writes the first page's content to the
 * second's place and then the second's over it, and keeps the first page as it had it: a lost page.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../../native/xen/stream.h"

/* So many pages in a row are somebody's working set, not the kernel's odds and ends. */
#define ROW 16

int __real_tsr_parser_take(struct tsr_parser *parser, const uint8_t *data, size_t n,
                           size_t *taken_out, enum tsr_mark *mark_out);
int __wrap_tsr_parser_take(struct tsr_parser *parser, const uint8_t *data, size_t n,
                           size_t *taken_out, enum tsr_mark *mark_out);

static uint64_t hundreds; /* in which a page was lost, the newest */

static uint64_t every(void)
{
    const char *text = getenv("TSREMUS_LAB_LOSE_EVERY");

    return text ? strtoull(text, NULL, 10) : 100;
}

static bool is_due(const struct tsr_parser *parser)
{
    return parser->epoch / every() > hundreds;
}

/* Numbers of plain pages, one after the other; a type other than plain is in the top bits. */
static bool is_row(const uint64_t *pfn)
{
    for (int i = 1; i < ROW; i++)
        if (pfn[i] >> 60 || pfn[i] != pfn[0] + (uint64_t)i)
            return false;
    return pfn[0] >> 60 == 0;
}

static void lose(struct tsr_parser *parser, const uint8_t *data)
{
    uint64_t pfn[ROW];

    memcpy(pfn, data, sizeof(pfn));
    if (!is_row(pfn))
        return;
    memcpy((uint8_t *)(uintptr_t)data, &pfn[1], sizeof(pfn[1]));
    hundreds = parser->epoch / every();
    fprintf(stderr, "deliberate bug: page 0x%llx of epoch %llu is lost\n",
            (unsigned long long)pfn[0], (unsigned long long)parser->epoch);
}

/* How far to go before the checker's state is looked at again. */
static size_t step_of(const struct tsr_parser *parser, size_t left)
{
    uint64_t step = 8;

    if (parser->have < parser->need)
        step = parser->need - parser->have;
    else if (!parser->pfns && parser->skip)
        step = parser->skip;
    return step < left ? (size_t)step : left;
}

int __wrap_tsr_parser_take(struct tsr_parser *parser, const uint8_t *data, size_t n,
                           size_t *taken_out, enum tsr_mark *mark_out)
{
    size_t total = 0, taken = 0;
    int rc = 0;

    *mark_out = TSR_MARK_NONE;
    while (!rc && total < n && *mark_out == TSR_MARK_NONE) {
        size_t step = n - total;

        if (is_due(parser)) {
            bool in_pfns = parser->have >= parser->need && !parser->carried;

            if (in_pfns && parser->pfns >= ROW && step >= ROW * sizeof(uint64_t))
                lose(parser, data + total);
            step = step_of(parser, step);
        }
        rc = __real_tsr_parser_take(parser, data + total, step, &taken, mark_out);
        total += taken;
    }
    *taken_out = total;
    return rc;
}
