/*
 * Builds streams of the true format for the tests.
 */
#include "test.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "../xen/stream.h"

void bytes_add(struct bytes *bytes, const void *data, size_t size)
{
    if (bytes->size + size > bytes->capacity) {
        bytes->capacity = (bytes->size + size) * 2 + 256;
        bytes->data = realloc(bytes->data, bytes->capacity);
        if (!bytes->data)
            abort();
    }
    if (data)
        memcpy(bytes->data + bytes->size, data, size);
    else
        memset(bytes->data + bytes->size, 0, size);
    bytes->size += size;
}

void bytes_zero(struct bytes *bytes, size_t size)
{
    bytes_add(bytes, NULL, size);
}

void bytes_free(struct bytes *bytes)
{
    free(bytes->data);
    *bytes = (struct bytes){ 0 };
}

void put_xl_header(struct bytes *bytes)
{
    uint64_t ident = htobe64(UINT64_C(0x4c6962786c466d74));
    uint32_t version = htobe32(2), options = 0;

    bytes_add(bytes, &ident, 8);
    bytes_add(bytes, &version, 4);
    bytes_add(bytes, &options, 4);
}

void put_image(struct bytes *bytes, uint32_t version, uint32_t guest_type)
{
    uint64_t marker = UINT64_MAX;
    uint32_t id = htobe32(0x58454e46), v = htobe32(version);
    uint32_t domain[4] = { guest_type, 12, 4, 17 };

    bytes_add(bytes, &marker, 8);
    bytes_add(bytes, &id, 4);
    bytes_add(bytes, &v, 4);
    bytes_zero(bytes, 8);
    bytes_add(bytes, domain, sizeof(domain));
}

void put_record(struct bytes *bytes, uint32_t type, const void *body,
                uint32_t length)
{
    uint32_t header[2] = { type, length };

    bytes_add(bytes, header, sizeof(header));
    bytes_add(bytes, body, length);
    bytes_zero(bytes, (8 - length % 8) % 8);
}

void put_pages(struct bytes *bytes, uint64_t first, uint32_t count,
               uint8_t fill)
{
    uint32_t header[2] = { XC_REC_PAGE_DATA, 8 + count * (8 + 4096) };
    uint32_t head[2] = { count, 0 };
    uint8_t page[4096];
    uint32_t i;

    memset(page, fill, sizeof(page));
    bytes_add(bytes, header, sizeof(header));
    bytes_add(bytes, head, sizeof(head));
    for (i = 0; i < count; i++) {
        uint64_t pfn = first + i;

        bytes_add(bytes, &pfn, 8);
    }
    for (i = 0; i < count; i++)
        bytes_add(bytes, page, sizeof(page));
}

void put_start(struct bytes *bytes, uint32_t guest_type)
{
    uint8_t info[8] = { 8, 4 };
    uint32_t frames[6] = { 0, 1023 };   /* 512 pages a frame: 2 of them */

    put_xl_header(bytes);
    put_record(bytes, XL_REC_LIBXC_CONTEXT, NULL, 0);
    put_image(bytes, 3, guest_type);
    if (guest_type == PV)
        put_record(bytes, XC_REC_X86_PV_INFO, info, sizeof(info));
    put_record(bytes, XC_REC_X86_CPUID_POLICY, NULL, 48);
    put_record(bytes, XC_REC_X86_MSR_POLICY, NULL, 16);
    put_record(bytes, XC_REC_STATIC_DATA_END, NULL, 0);
    if (guest_type == PV)
        put_record(bytes, XC_REC_X86_PV_P2M_FRAMES, frames, sizeof(frames));
}

void put_state(struct bytes *bytes, uint32_t guest_type)
{
    uint32_t params[6] = { 1, 0, 5, 0, 6, 0 };

    put_record(bytes, XC_REC_X86_TSC_INFO, NULL, 24);
    if (guest_type == HVM) {
        put_record(bytes, XC_REC_HVM_CONTEXT, NULL, 1003);
        put_record(bytes, XC_REC_HVM_PARAMS, params, sizeof(params));
    } else {
        put_record(bytes, XC_REC_SHARED_INFO, NULL, 4096);
        put_record(bytes, XC_REC_X86_PV_VCPU_BASIC, NULL, 5176);
        put_record(bytes, XC_REC_X86_PV_VCPU_EXTENDED, NULL, 8 + 128);
        put_record(bytes, XC_REC_X86_PV_VCPU_XSAVE, NULL, 8 + 16);
        put_record(bytes, XC_REC_X86_PV_VCPU_MSRS, NULL, 8 + 32);
    }
    put_record(bytes, XC_REC_CHECKPOINT, NULL, 0);
}

void put_libxl(struct bytes *bytes, uint32_t guest_type, uint32_t emulator)
{
    struct bytes body = { 0 };
    uint32_t head[2] = { 2, 0 };

    if (guest_type == HVM && emulator) {
        bytes_add(&body, head, sizeof(head));
        bytes_zero(&body, 13);
        put_record(bytes, XL_REC_EMULATOR_XENSTORE_DATA, body.data,
                   (uint32_t)body.size);
        bytes_zero(&body, emulator - 13);
        put_record(bytes, XL_REC_EMULATOR_CONTEXT, body.data,
                   (uint32_t)body.size);
        bytes_free(&body);
    }
    put_record(bytes, XL_REC_CHECKPOINT_END, NULL, 0);
}

void put_epoch(struct bytes *bytes, uint32_t guest_type, uint32_t pages)
{
    if (pages)
        put_pages(bytes, 16, pages, (uint8_t)bytes->size);
    put_state(bytes, guest_type);
    put_libxl(bytes, guest_type, guest_type == HVM ? 100 : 0);
}

void make_stream(struct bytes *bytes, uint32_t guest_type, int epochs)
{
    put_start(bytes, guest_type);
    for (int i = 0; i < epochs; i++)
        put_epoch(bytes, guest_type, 3);
}
