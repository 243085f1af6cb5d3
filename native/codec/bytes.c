/*
 * Bytes of any kind as a format for the page encoding: no pages are in them, so all goes
 * as it is, and through zstd where that is wanted. What a disk has in an epoch is such.
 */
#include "internal.h"

static char nowhere;

static void *open_walk(void)
{
    return &nowhere;
}

static void close_walk(void *walk)
{
    (void)walk;
}

static bool page(const void *walk, uint64_t *pfn_out, uint32_t *from_out)
{
    (void)walk;
    (void)pfn_out;
    (void)from_out;
    return false;
}

static int take(void *walk, const uint8_t *data, size_t n, size_t *taken_out)
{
    (void)walk;
    (void)data;
    *taken_out = n;
    return 0;
}

static const char *text(const void *walk)
{
    (void)walk;
    return "";
}

const struct tsr_format_ops tsr_bytes_format = {
    .open = open_walk,
    .close = close_walk,
    .page = page,
    .take = take,
    .text = text,
};
