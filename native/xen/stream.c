/*
 * The checker's machine: cuts the stream into headers and records, in pieces of
 * any size, and asks rules.c about each. Only headers, the first bytes of some
 * bodies and the lists of page numbers are looked at, so it runs as fast as
 * memory can be skipped.
 */
#include "stream.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define XL_IDENT UINT64_C(0x4c6962786c466d74)
#define XL_VERSION 2u
#define XL_OPTION_BIG_ENDIAN 1u
#define XL_OPTION_LEGACY 2u

#define XC_MARKER UINT64_MAX
#define XC_ID 0x58454e46u
#define XC_OPTION_BIG_ENDIAN 1u

#define PFN_TYPE_SHIFT 60
#define PFN_TYPE (UINT64_C(0xf) << PFN_TYPE_SHIFT)
#define PFN_RESERVED UINT64_C(0x0ff0000000000000)

enum {
    XL_HEADER, XL_RECORD, IMAGE_HEADER, DOMAIN_HEADER, XC_RECORD,
    HEAD,                               /* first bytes of a body */
    PFNS,                               /* the page numbers of PAGE_DATA */
    SKIP,                               /* the rest of a body */
    PAD,
};

static void want(struct tsr_parser *parser, int state, uint32_t need)
{
    parser->state = state;
    parser->need = need;
    parser->have = 0;
    if (state != HEAD && state != PFNS && state != SKIP && state != PAD)
        parser->item_offset = parser->offset;
}

void tsr_parser_init(struct tsr_parser *parser)
{
    memset(parser, 0, sizeof(*parser));
    want(parser, XL_HEADER, 16);
}

void tsr_parser_list(struct tsr_parser *parser, uint64_t *list)
{
    parser->list = list;
}

bool tsr_parser_page(const struct tsr_parser *parser, uint64_t *pfn_out,
                     uint32_t *from_out)
{
    uint32_t left;

    if (parser->state != SKIP || parser->xl ||
        parser->type != XC_REC_PAGE_DATA)
        return false;
    left = (uint32_t)((parser->skip + TSR_PAGE_SIZE - 1) / TSR_PAGE_SIZE);
    *pfn_out = parser->list[parser->data_pages - left];
    *from_out = (uint32_t)(left * (uint64_t)TSR_PAGE_SIZE - parser->skip);
    return true;
}

uint64_t tsr_parser_safe(const struct tsr_parser *parser)
{
    bool xl = parser->state == XL_HEADER || parser->state == XL_RECORD ||
              (parser->xl && (parser->state == HEAD || parser->state == SKIP ||
                              parser->state == PAD));

    return xl ? parser->item_offset : parser->offset;
}

static int fail(struct tsr_parser *parser, const char *what, const char *wrong)
{
    parser->failed = true;
    snprintf(parser->text, sizeof(parser->text),
             "the stream is broken: %s at offset %llu %s", what,
             (unsigned long long)parser->item_offset, wrong);
    return -EPROTO;
}

static int fail_record(struct tsr_parser *parser, const char *wrong)
{
    char what[128];

    snprintf(what, sizeof(what),
             "%s (%s type 0x%x, length %u, record %llu, epoch %llu)",
             tsr_rule_name(parser), parser->xl ? "libxl" : "libxc",
             parser->type, parser->length,
             (unsigned long long)parser->records + 1,
             (unsigned long long)parser->epoch);
    return fail(parser, what, wrong);
}

static uint16_t u16(const uint8_t *p)
{
    uint16_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}

static uint32_t u32(const uint8_t *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}

static uint64_t u64(const uint8_t *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}

static int take_xl_header(struct tsr_parser *parser)
{
    const uint8_t *h = parser->head;
    uint32_t options = be32toh(u32(h + 12));

    if (be64toh(u64(h)) != XL_IDENT)
        return fail(parser, "libxl's header", "has a wrong identification");
    if (be32toh(u32(h + 8)) != XL_VERSION)
        return fail(parser, "libxl's header", "is not of version 2");
    if (options & XL_OPTION_BIG_ENDIAN)
        return fail(parser, "libxl's header", "announces big-endian records");
    if (options & XL_OPTION_LEGACY)
        return fail(parser, "libxl's header", "announces a legacy stream");
    if (options)
        return fail(parser, "libxl's header", "has unknown options");
    want(parser, XL_RECORD, 8);
    return 0;
}

static int take_image_header(struct tsr_parser *parser)
{
    const uint8_t *h = parser->head;
    uint16_t options = be16toh(u16(h + 16));

    parser->version = be32toh(u32(h + 12));
    if (u64(h) != XC_MARKER)
        return fail(parser, "the image header", "has a wrong marker");
    if (be32toh(u32(h + 8)) != XC_ID)
        return fail(parser, "the image header", "has a wrong identification");
    if (parser->version < 2 || parser->version > 3)
        return fail(parser, "the image header", "is not of version 2 or 3");
    if (options & XC_OPTION_BIG_ENDIAN)
        return fail(parser, "the image header", "announces big-endian records");
    if (options)
        return fail(parser, "the image header", "has unknown options");
    want(parser, DOMAIN_HEADER, 16);
    return 0;
}

static int take_domain_header(struct tsr_parser *parser)
{
    uint32_t type = u32(parser->head);

    if (type != TSR_GUEST_PV && type != TSR_GUEST_HVM)
        return fail(parser, "the domain header", "is of an unknown guest type");
    if (u16(parser->head + 4) != 12)
        return fail(parser, "the domain header", "has pages other than 4 KiB");
    parser->guest_type = type;
    want(parser, XC_RECORD, 8);
    return 0;
}

static void next_epoch(struct tsr_parser *parser)
{
    parser->pages = 0;
    parser->tscs = 0;
    parser->seen_context = parser->seen_shared = parser->seen_vcpu0 = false;
}

/* The record is complete: what comes now? */
static enum tsr_mark end_record(struct tsr_parser *parser)
{
    parser->records++;
    if (parser->xl && parser->type == XL_REC_LIBXC_CONTEXT) {
        want(parser, IMAGE_HEADER, 24);
    } else if (parser->xl && parser->type == XL_REC_CHECKPOINT_END) {
        parser->epoch++;
        parser->epoch_end = parser->offset;
        want(parser, XC_RECORD, 8);
        return TSR_MARK_EPOCH_END;
    } else if (parser->xl) {
        want(parser, XL_RECORD, 8);
    } else if (parser->type == XC_REC_CHECKPOINT) {
        want(parser, XL_RECORD, 8);
        return TSR_MARK_CHECKPOINT;
    } else if (parser->type == XC_REC_X86_TSC_INFO && parser->tscs < 2) {
        want(parser, XC_RECORD, 8);
        return parser->tscs++ ? TSR_MARK_RESUMED : TSR_MARK_SUSPENDED;
    } else {
        want(parser, XC_RECORD, 8);
    }
    return TSR_MARK_NONE;
}

/* Goes on to the next part of the body that is not empty. */
static enum tsr_mark next_part(struct tsr_parser *parser)
{
    if (parser->skip) {
        parser->state = SKIP;
        return TSR_MARK_NONE;
    }
    if (parser->pad) {
        parser->state = PAD;
        return TSR_MARK_NONE;
    }
    return end_record(parser);
}

static int take_record_header(struct tsr_parser *parser, enum tsr_mark *mark)
{
    const char *wrong;
    uint32_t head;

    if (parser->state == XC_RECORD && parser->epoch &&
        parser->item_offset == parser->epoch_end)
        next_epoch(parser);
    parser->xl = parser->state == XL_RECORD;
    parser->type = u32(parser->head);
    parser->length = u32(parser->head + 4);
    wrong = tsr_rule_header(parser, &head);
    if (wrong)
        return fail_record(parser, wrong);
    parser->skip = parser->length - head;
    parser->pad = (8 - parser->length % 8) % 8;
    if (head)
        want(parser, HEAD, head);
    else
        *mark = next_part(parser);
    return 0;
}

static int take_head(struct tsr_parser *parser, enum tsr_mark *mark)
{
    const char *wrong = tsr_rule_head(parser);

    if (wrong)
        return fail_record(parser, wrong);
    if (!parser->xl && parser->type == XC_REC_PAGE_DATA)
        parser->state = PFNS;
    else
        *mark = next_part(parser);
    return 0;
}

/* Counts the pages that come with their 4096 bytes. */
static const char *take_pfn(struct tsr_parser *parser, uint64_t pfn)
{
    switch (pfn >> PFN_TYPE_SHIFT) {
    case 0x0:                           /* plain */
    case 0x1: case 0x2: case 0x3: case 0x4:     /* page tables */
    case 0x9: case 0xa: case 0xb: case 0xc:     /* pinned ones */
        if (parser->data_pages == TSR_PAGES_MAX)
            return "has more pages than it has room for";
        if (parser->list)
            parser->list[parser->data_pages] = pfn & ~PFN_TYPE;
        parser->data_pages++;
        break;
    case 0xd: case 0xe: case 0xf:       /* broken, only allocated, absent */
        break;
    default:
        return "has a page of an unknown type";
    }
    return pfn & PFN_RESERVED ? "has an impossible page number" : NULL;
}

static int end_pfns(struct tsr_parser *parser, enum tsr_mark *mark)
{
    uint64_t bodies = (uint64_t)parser->data_pages * 4096;

    if (parser->skip != bodies)
        return fail_record(parser, "has a length that does not fit its pages");
    parser->pages += parser->data_pages;
    *mark = next_part(parser);
    if (parser->list && parser->data_pages)
        *mark = TSR_MARK_PAGES;
    return 0;
}

static int take_pfns(struct tsr_parser *parser, const uint8_t *data, size_t n,
                     size_t *used, enum tsr_mark *mark)
{
    const uint8_t *p = data, *end = data + n;
    const char *wrong;

    while (parser->pfns && p < end) {
        uint64_t pfn;

        if (!parser->carried && end - p >= 8) {
            pfn = u64(p);
            p += 8;
        } else {
            parser->carry |= (uint64_t)*p++ << (8 * parser->carried);
            if (++parser->carried < 8)
                continue;
            pfn = parser->carry;
            parser->carried = 0;
        }
        parser->carry = 0;
        parser->pfns--;
        parser->skip -= 8;
        wrong = take_pfn(parser, pfn);
        if (wrong)
            return fail_record(parser, wrong);
    }
    *used = (size_t)(p - data);
    parser->offset += *used;
    return parser->pfns ? 0 : end_pfns(parser, mark);
}

static int take_pad(struct tsr_parser *parser, uint8_t byte,
                    enum tsr_mark *mark)
{
    if (byte)
        return fail_record(parser, "is not padded with zeroes");
    parser->offset++;
    if (!--parser->pad)
        *mark = end_record(parser);
    return 0;
}

/* Collects parser->need bytes, then acts on them. */
static int take_fixed(struct tsr_parser *parser, const uint8_t *data, size_t n,
                      size_t *used, enum tsr_mark *mark)
{
    size_t k = parser->need - parser->have;

    if (k > n)
        k = n;
    memcpy(parser->head + parser->have, data, k);
    parser->have += (uint32_t)k;
    parser->offset += k;
    *used = k;
    if (parser->have < parser->need)
        return 0;
    switch (parser->state) {
    case XL_HEADER:
        return take_xl_header(parser);
    case IMAGE_HEADER:
        return take_image_header(parser);
    case DOMAIN_HEADER:
        return take_domain_header(parser);
    case HEAD:
        return take_head(parser, mark);
    default:
        return take_record_header(parser, mark);
    }
}

int tsr_parser_take(struct tsr_parser *parser, const uint8_t *data, size_t n,
                    size_t *taken_out, enum tsr_mark *mark_out)
{
    enum tsr_mark mark = TSR_MARK_NONE;
    size_t taken = 0, used = 0;
    int rc = parser->failed ? -EPROTO : 0;

    while (!rc && taken < n && mark == TSR_MARK_NONE) {
        switch (parser->state) {
        case SKIP:
            used = n - taken;
            if (used > parser->skip)
                used = (size_t)parser->skip;
            parser->skip -= used;
            parser->offset += used;
            if (!parser->skip)
                mark = next_part(parser);
            break;
        case PFNS:
            rc = take_pfns(parser, data + taken, n - taken, &used, &mark);
            break;
        case PAD:
            used = 1;
            rc = take_pad(parser, data[taken], &mark);
            break;
        default:
            rc = take_fixed(parser, data + taken, n - taken, &used, &mark);
            break;
        }
        if (!rc)
            taken += used;
    }
    *taken_out = taken;
    *mark_out = mark;
    return rc;
}
