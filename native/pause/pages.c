/* The dirty pages of an epoch; see pause.h. */
#include "pause.h"

#include <errno.h>
#include <sys/mman.h>

bool pages_open(struct pages *pages, const struct xc_functions *xc, xc_interface *xch,
                uint32_t domid)
{
    *pages = (struct pages){ .xc = xc, .xch = xch, .domid = domid };
    pages->memory = xc->xenforeignmemory_open(NULL, 0);
    return pages->memory != NULL;
}

void pages_unmap(struct pages *pages)
{
    while (pages->kept_count) {
        pages->kept_count--;
        pages->xc->xenforeignmemory_unmap(pages->memory, pages->kept[pages->kept_count].at,
                                          pages->kept[pages->kept_count].pages);
    }
}

/*
 * Pages that could not be mapped: Xen says what they are. One that the guest has would be missing
 * in its copy; those that it has not are told as such. false: there is one of the former.
 */
static bool name_absent(struct pages *pages, uint64_t *pfns, const int *errors, uint32_t count)
{
    uint64_t types[BATCH_PAGES];
    uint32_t i, n = 0;

    for (i = 0; i < count; i++)
        if (errors[i])
            types[n++] = pfns[i];
    if (!n)
        return true;
    if (pages->xc->xc_get_pfn_type_batch(pages->xch, pages->domid, n, types))
        return false;
    for (i = 0, n = 0; i < count; i++) {
        uint64_t type;

        if (!errors[i])
            continue;
        type = types[n++] >> XC_TYPE_SHIFT & 0xf;
        if (type != XC_TYPE_ABSENT && type != XC_TYPE_BROKEN) {
            errno = EFAULT;
            return false;
        }
        pfns[i] |= type << STREAM_TYPE_SHIFT;
    }
    return true;
}

/* PFNS become what the record has of them. */
static bool put_batch(struct pages *pages, uint64_t *pfns, uint32_t count, struct buffer *out)
{
    struct { struct record record; uint32_t count, reserved; } head = {
        .record = { REC_PAGE_DATA, 0 }, .count = count,
    };
    int errors[BATCH_PAGES];
    const uint8_t *at;
    uint32_t i, n, there = 0;

    if (pages->kept_count == sizeof(pages->kept) / sizeof(pages->kept[0]))
        pages_unmap(pages);
    at = pages->xc->xenforeignmemory_map(pages->memory, pages->domid, PROT_READ, count, pfns,
                                         errors);
    if (!at)
        return false;
    pages->kept[pages->kept_count].at = (void *)at;
    pages->kept[pages->kept_count++].pages = count;
    if (!name_absent(pages, pfns, errors, count))
        return false;
    for (i = 0; i < count; i++)
        there += !errors[i];
    head.record.length = 8 + 8 * count + PAGE_BYTES * there;
    if (!buffer_begin(out, sizeof(struct record) + head.record.length) ||
        !buffer_put(out, &head, sizeof(head)) || !buffer_put(out, pfns, 8ul * count))
        return false;
    for (i = 0; i < count; i += n) {
        for (n = 1; i + n < count && !errors[i] == !errors[i + n]; n++)
            ;
        if (!errors[i] && !buffer_put(out, at + (size_t)i * PAGE_BYTES, (size_t)n * PAGE_BYTES))
            return false;
    }
    return buffer_end(out);
}

bool pages_put(struct pages *pages, const uint64_t *bits, uint64_t count, struct buffer *out)
{
    uint64_t pfns[BATCH_PAGES];
    uint32_t n = 0;

    for (uint64_t at = 0; at < (count + 63) / 64; at++) {
        uint64_t word = bits[at];

        for (; word; word &= word - 1) {
            uint64_t pfn = at * 64 + (unsigned)__builtin_ctzll(word);

            /* Bits behind the last page are nobody's. */
            if (pfn >= count)
                break;
            pfns[n++] = pfn;
            if (n < BATCH_PAGES)
                continue;
            if (!put_batch(pages, pfns, n, out))
                return false;
            n = 0;
        }
    }
    return !n || put_batch(pages, pfns, n, out);
}
