/*
 * The checkpoint stream as a format for the page encoding: the checker's machine, with
 * the list of the pages whose bodies come next.
 */
#include "internal.h"
#include "stream.h"

struct walk {
    struct tsr_parser parser;
    uint64_t list[TSR_PAGES_MAX];
};

static void *open_walk(void)
{
    struct walk *walk = tsr_map(sizeof(*walk));

    if (!walk)
        return NULL;
    tsr_parser_init(&walk->parser);
    tsr_parser_list(&walk->parser, walk->list);
    return walk;
}

static void close_walk(void *walk)
{
    tsr_unmap(walk, sizeof(struct walk));
}

static bool page(const void *walk_in, uint64_t *pfn_out, uint32_t *from_out)
{
    const struct walk *walk = walk_in;

    return tsr_parser_page(&walk->parser, pfn_out, from_out);
}

static int take(void *walk_in, const uint8_t *data, size_t n, size_t *taken_out)
{
    struct walk *walk = walk_in;
    enum tsr_mark mark;

    return tsr_parser_take(&walk->parser, data, n, taken_out, &mark);
}

static const char *text(const void *walk_in)
{
    const struct walk *walk = walk_in;

    return walk->parser.text;
}

const struct tsr_format_ops tsr_xen_format = {
    .open = open_walk,
    .close = close_walk,
    .page = page,
    .take = take,
    .text = text,
};
