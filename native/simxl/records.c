/*
 * The records that are not pages: headers, static data, the state of the
 * virtual machine. Their sizes are those of a real guest; the contents are
 * made up, except for the summary of the guest that stands where the
 * registers would (struct sx_vcpu).
 */
#define _GNU_SOURCE
#include "guest.h"
#include "stream.h"

#include <arpa/inet.h>
#include <endian.h>
#include <stdlib.h>
#include <string.h>

void sx_buffer_add(struct sx_buffer *b, const void *data, size_t size)
{
    if (b->used + size > b->room) {
        b->room = (b->used + size) * 2;
        b->data = realloc(b->data, b->room);
        if (!b->data)
            abort();
    }
    if (data)
        memcpy(b->data + b->used, data, size);
    else
        memset(b->data + b->used, 0, size);
    b->used += size;
}

void sx_buffer_free(struct sx_buffer *b)
{
    free(b->data);
    memset(b, 0, sizeof(*b));
}

void sx_record(struct sx_buffer *b, uint32_t type, const void *body,
               size_t size)
{
    struct record r = { type, (uint32_t)size };

    sx_buffer_add(b, &r, sizeof(r));
    sx_buffer_add(b, body, size);
    sx_buffer_add(b, NULL, (8 - size % 8) % 8);
}

void sx_records_libxl_start(struct sx_buffer *b)
{
    struct libxl_header h = { htobe64(LIBXL_IDENT), htonl(LIBXL_VERSION_2), 0 };

    sx_buffer_add(b, &h, sizeof(h));
    sx_record(b, LIBXL_REC_LIBXC_CONTEXT, NULL, 0);
}

/* Bytes that look like register contents and are the same every time. */
static void noise(uint8_t *out, size_t size, uint64_t seed)
{
    uint64_t x = seed * 0x9e3779b97f4a7c15ull + 1;

    for (size_t i = 0; i < size; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        out[i] = (x & 0x300) ? 0 : (uint8_t)x; /* mostly zero, as in life */
    }
}

static void p2m_frames(struct sx_buffer *b, const struct sx_state *st)
{
    uint64_t frames = (st->nr_pages + 511) / 512;
    struct sx_buffer body = { 0 };
    uint32_t range[2] = { 0, (uint32_t)(st->nr_pages - 1) };

    sx_buffer_add(&body, range, sizeof(range));
    for (uint64_t i = 0; i < frames; i++) {
        uint64_t pfn = st->nr_pages - frames + i;

        sx_buffer_add(&body, &pfn, sizeof(pfn));
    }
    sx_record(b, REC_PV_P2M_FRAMES, body.data, body.used);
    sx_buffer_free(&body);
}

void sx_records_start(struct sx_buffer *b, const struct sx_state *st)
{
    struct image_header i = { IMAGE_MARKER, htonl(IMAGE_ID),
                              htonl(IMAGE_VERSION), 0, 0, 0 };
    struct domain_header d = { st->type == SX_PV ? DOMAIN_PV : DOMAIN_HVM, 12,
                               0, 4, 17 };
    uint8_t cpuid[40 * 24], msr[2 * 16];

    sx_buffer_add(b, &i, sizeof(i));
    sx_buffer_add(b, &d, sizeof(d));
    if (st->type == SX_PV) {
        uint8_t info[8] = { 8, 4 };

        sx_record(b, REC_PV_INFO, info, sizeof(info));
    }
    noise(cpuid, sizeof(cpuid), 1);
    noise(msr, sizeof(msr), 2);
    sx_record(b, REC_CPUID_POLICY, cpuid, sizeof(cpuid));
    sx_record(b, REC_MSR_POLICY, msr, sizeof(msr));
    sx_record(b, REC_STATIC_DATA_END, NULL, 0);
    if (st->type == SX_PV)
        p2m_frames(b, st);
}

void sx_records_tsc(struct sx_buffer *b, const struct sx_state *st)
{
    struct { uint32_t mode, khz; uint64_t nsec; uint32_t incarnation, res; }
    tsc = { 0, 2400000, atomic_load(&st->active_ns), 0, 0 };

    sx_record(b, REC_TSC_INFO, &tsc, sizeof(tsc));
}

static void vcpu_record(struct sx_buffer *b, uint32_t type, uint32_t id,
                        size_t size, const struct sx_vcpu *front)
{
    uint8_t body[8 + 8192] = { 0 };

    memcpy(body, &id, sizeof(id));
    noise(body + 8, size, type * 100 + id);
    if (front)
        memcpy(body + 8, front, sizeof(*front));
    sx_record(b, type, body, 8 + size);
}

static void state_pv(struct sx_buffer *b, const struct sx_state *st)
{
    uint8_t page[SX_PAGE];

    noise(page, sizeof(page), 3);
    memcpy(page, &st->shared_info, sizeof(st->shared_info));
    sx_record(b, REC_SHARED_INFO, page, sizeof(page));
    for (uint32_t id = 0; id < st->vcpus; id++) {
        vcpu_record(b, REC_PV_VCPU_BASIC, id, 5168, id ? NULL : &st->vcpu);
        vcpu_record(b, REC_PV_VCPU_EXTENDED, id, 128, NULL);
        vcpu_record(b, REC_PV_VCPU_XSAVE, id, 848, NULL);
        vcpu_record(b, REC_PV_VCPU_MSRS, id, 48, NULL);
    }
}

static void state_hvm(struct sx_buffer *b, const struct sx_state *st)
{
    /* indices of STORE_PFN, IOREQ_PFN, BUFIOREQ_PFN, CONSOLE_PFN, IDENT_PT */
    static const uint64_t indices[] = { 1, 5, 6, 17, 12 };
    struct { uint32_t count, res; struct { uint64_t index, value; } e[5]; }
    params = { 0 };
    size_t size = 2048 + 6 * 1024 * st->vcpus;
    uint8_t *context = malloc(size);

    if (!context)
        abort();
    noise(context, size, 4);
    memcpy(context, &st->vcpu, sizeof(st->vcpu));
    sx_record(b, REC_HVM_CONTEXT, context, size);
    free(context);
    for (size_t i = 0; i < SX_ARRAY(indices); i++) {
        if (st->type == SX_PVH && (indices[i] == 5 || indices[i] == 6))
            continue; /* no device model, no request pages */
        params.e[params.count].index = indices[i];
        params.e[params.count++].value = 0xfeff8 + i;
    }
    sx_record(b, REC_HVM_PARAMS, &params, 8 + 16 * params.count);
}

/* The guest is suspended: what must be of the same moment as its memory. */
void sx_records_state(struct sx_buffer *b, const struct sx_state *st)
{
    if (st->type == SX_PV)
        state_pv(b, st);
    else
        state_hvm(b, st);
    sx_record(b, REC_CHECKPOINT, NULL, 0);
}

/* libxl's own part of an epoch. Only HVM guests have a device model. */
void sx_records_checkpoint_end(struct sx_buffer *b, const struct sx_state *st)
{
    static const char keys[] = "physmap/f0000000/start_addr\0" "f0000000";
    uint32_t emulator[2] = { LIBXL_EMULATOR_QEMU, 0 };
    struct sx_buffer body = { 0 };
    uint8_t qemu[16384 + 3];

    if (st->type == SX_HVM) {
        sx_buffer_add(&body, emulator, sizeof(emulator));
        sx_buffer_add(&body, keys, sizeof(keys));
        sx_record(b, LIBXL_REC_EMULATOR_XENSTORE_DATA, body.data, body.used);
        body.used = 0;
        noise(qemu, sizeof(qemu), 5);
        memcpy(qemu, "QEVM", 4);
        sx_buffer_add(&body, emulator, sizeof(emulator));
        sx_buffer_add(&body, qemu, sizeof(qemu));
        sx_record(b, LIBXL_REC_EMULATOR_CONTEXT, body.data, body.used);
        sx_buffer_free(&body);
    }
    sx_record(b, LIBXL_REC_CHECKPOINT_END, NULL, 0);
}

/* A PV guest has page tables among its pages, the others have a hole. */
uint32_t sx_page_type(const struct sx_domain *d, uint64_t pfn)
{
    if (d->st->type != SX_PV)
        return sx_guest_hole(d, pfn) ? PFN_XTAB : PFN_NOTAB;
    switch (pfn % 256) {
    case 5:
        return PFN_L1TAB;
    case 6:
        return PFN_L2TAB;
    case 7:
        return PFN_L3TAB;
    case 8:
        return PFN_L4TAB_PINNED;
    default:
        return PFN_NOTAB;
    }
}

bool sx_page_has_data(uint32_t type)
{
    return type != PFN_BROKEN && type != PFN_XALLOC && type != PFN_XTAB;
}
