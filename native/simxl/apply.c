/*
 * One libxc record put into a domain, checked as strictly as libxenguest
 * checks it: a stream that Xen would refuse is refused here, too.
 */
#define _GNU_SOURCE
#include "restore.h"

#include <stdio.h>
#include <string.h>

/* A guest of Xen has pages beyond its RAM (device areas, room to grow), none
 * of ours has. They are let through and go nowhere. */
#define HVM_PFN_MAX (1ull << 24)

__attribute__((format(printf, 2, 3)))
static int bad(struct sx_apply *a, const char *format, ...)
{
    va_list al;

    va_start(al, format);
    vsnprintf(a->why, a->why_size, format, al);
    va_end(al);
    return ERROR_FAIL;
}

static uint64_t pfn_at(const uint8_t *body, uint32_t i)
{
    uint64_t v;

    memcpy(&v, body + 8 + 8 * (size_t)i, sizeof(v));
    return v;
}

static int page_data(struct sx_apply *a, const struct record *r,
                     const uint8_t *body)
{
    struct sx_state *st = a->d->st;
    uint64_t limit = st->type == SX_PV ? a->p2m_end : HVM_PFN_MAX;
    uint32_t count, pages = 0;
    const uint8_t *page;

    if (!a->static_end)
        return bad(a, "PAGE_DATA before STATIC_DATA_END");
    if (r->length < 8)
        return bad(a, "PAGE_DATA record truncated: length %u", r->length);
    memcpy(&count, body, sizeof(count));
    if (count < 1 || r->length < 8 + 8ull * count)
        return bad(a, "PAGE_DATA record of length %u with %u pages",
                   r->length, count);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t v = pfn_at(body, i);
        uint32_t type = (uint32_t)(v >> PFN_TYPE_SHIFT);

        if (v & ~PFN_MASK & ~(0xfull << PFN_TYPE_SHIFT))
            return bad(a, "PAGE_DATA: reserved bits set in pfn %u", i);
        if ((v & PFN_MASK) >= limit)
            return bad(a, "pfn %#lx outside the domain",
                       (unsigned long)(v & PFN_MASK));
        if (type >= 5 && type <= 8)
            return bad(a, "PAGE_DATA: type %#x is invalid", type);
        pages += sx_page_has_data(type);
    }
    if (r->length != 8 + 8ull * count + (uint64_t)SX_PAGE * pages)
        return bad(a, "PAGE_DATA record wrong size: length %u, %u pages with"
                   " data", r->length, pages);
    page = body + 8 + 8 * (size_t)count;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t v = pfn_at(body, i), pfn = v & PFN_MASK;

        if (!sx_page_has_data((uint32_t)(v >> PFN_TYPE_SHIFT)))
            continue;
        if (pfn < st->nr_pages)
            memcpy(a->d->mem + pfn * SX_PAGE, page, SX_PAGE);
        page += SX_PAGE;
    }
    return 0;
}

static int pv_record(struct sx_apply *a, const struct record *r,
                     const uint8_t *body)
{
    uint32_t range[2];

    if (a->d->st->type != SX_PV)
        return bad(a, "PV record %#x for a guest that is not PV", r->type);
    switch (r->type) {
    case REC_PV_INFO:
        if (r->length < 8 || a->pv_info)
            return bad(a, "X86_PV_INFO twice or too short");
        a->pv_info = true;
        return 0;
    case REC_PV_P2M_FRAMES:
        if (!a->pv_info || r->length < 8)
            return bad(a, "X86_PV_P2M_FRAMES too short or before X86_PV_INFO");
        memcpy(range, body, sizeof(range));
        if (range[0] || range[1] >= HVM_PFN_MAX ||
            r->length != 8 + 8 * (range[1] / 512 + 1))
            return bad(a, "X86_PV_P2M_FRAMES: %u..%u in %u bytes", range[0],
                       range[1], r->length);
        a->p2m_end = range[1] + 1ull;
        return 0;
    case REC_SHARED_INFO:
        if (r->length != SX_PAGE)
            return bad(a, "SHARED_INFO of %u bytes", r->length);
        memcpy(&a->shared_info, body, sizeof(a->shared_info));
        return 0;
    default:
        if (r->length <= 8)
            return bad(a, "vCPU record %#x of %u bytes", r->type, r->length);
        memcpy(range, body, sizeof(range));
        if (range[0] >= SX_VCPUS_MAX)
            return bad(a, "vCPU record %#x for vCPU %u", r->type, range[0]);
        if (r->type == REC_PV_VCPU_BASIC && range[0] == 0 &&
            r->length >= 8 + sizeof(a->vcpu)) {
            memcpy(&a->vcpu, body + 8, sizeof(a->vcpu));
            a->checkpoint_state = true;
        }
        return 0;
    }
}

static int hvm_record(struct sx_apply *a, const struct record *r,
                      const uint8_t *body)
{
    uint32_t count;

    if (a->d->st->type == SX_PV)
        return bad(a, "HVM record %#x for a PV guest", r->type);
    if (r->type == REC_HVM_CONTEXT) {
        if (r->length < sizeof(a->vcpu))
            return bad(a, "HVM_CONTEXT of %u bytes", r->length);
        memcpy(&a->vcpu, body, sizeof(a->vcpu));
        a->checkpoint_state = true;
        return 0;
    }
    if (r->length < 8)
        return bad(a, "HVM_PARAMS record truncated: length %u", r->length);
    memcpy(&count, body, sizeof(count));
    if (r->length != 8 + 16ull * count)
        return bad(a, "HVM_PARAMS: %u entries in %u bytes", count, r->length);
    return 0;
}

int sx_apply(struct sx_apply *a, const struct record *r, const uint8_t *body)
{
    switch (r->type) {
    case REC_PAGE_DATA:
        return page_data(a, r, body);
    case REC_PV_INFO:
    case REC_PV_P2M_FRAMES:
    case REC_PV_VCPU_BASIC:
    case REC_PV_VCPU_EXTENDED:
    case REC_PV_VCPU_XSAVE:
    case REC_PV_VCPU_MSRS:
    case REC_SHARED_INFO:
        return pv_record(a, r, body);
    case REC_HVM_CONTEXT:
    case REC_HVM_PARAMS:
        return hvm_record(a, r, body);
    case REC_TSC_INFO:
        return r->length == 24 ? 0 : bad(a, "X86_TSC_INFO of %u bytes",
                                         r->length);
    case REC_CPUID_POLICY:
        return r->length && r->length % 24 == 0
            ? 0 : bad(a, "X86_CPUID_POLICY of %u bytes", r->length);
    case REC_MSR_POLICY:
        return r->length && r->length % 16 == 0
            ? 0 : bad(a, "X86_MSR_POLICY of %u bytes", r->length);
    case REC_STATIC_DATA_END:
        if (a->static_end)
            return bad(a, "Multiple STATIC_DATA_END records found");
        a->static_end = true;
        return 0;
    case REC_VERIFY:
        return 0;
    default:
        if (r->type & REC_OPTIONAL)
            return 0;
        return bad(a, "Mandatory record %#x not handled", r->type);
    }
}

/* A whole epoch is in: from here the domain could be built. */
void sx_apply_epoch_end(struct sx_apply *a, uint64_t epoch)
{
    struct sx_state *st = a->d->st;

    st->vcpu = a->vcpu;
    st->shared_info = a->shared_info;
    /* A stream of a real guest carries no summary that could be compared. */
    atomic_store(&st->restored, a->vcpu.magic == SX_VCPU_MAGIC);
    atomic_store(&st->epoch, epoch);
}
