/*
 * The stream checker: what it refuses, and what it says then.
 */
#include "test.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../xen/xen.h"
#include "../xen/stream.h"

static void refuse(struct bytes *bytes, const char *what)
{
    struct tsr_stream_stats stats;
    char text[256];

    for (size_t step = 1; step < 100; step = step * 3 + 1) {
        CHECK(check_in_steps(bytes, step, &stats, text) == -EPROTO);
        if (!strstr(text, what)) {
            fprintf(stderr, "\"%s\" is not in: %s\n", what, text);
            CHECK(0);
        }
    }
    bytes_free(bytes);
}

static void damage(uint32_t guest_type, size_t at, uint8_t value,
                   const char *what)
{
    struct bytes bytes = { 0 };

    make_stream(&bytes, guest_type, 1);
    CHECK(bytes.data[at] != value);
    bytes.data[at] = value;
    refuse(&bytes, what);
}

TEST(stream_refuses_wrong_headers)
{
    damage(PV, 0, 0, "libxl's header at offset 0 has a wrong identification");
    damage(PV, 11, 3, "libxl's header at offset 0 is not of version 2");
    damage(PV, 15, 1, "announces big-endian records");
    damage(PV, 15, 2, "announces a legacy stream");
    damage(PV, 15, 4, "has unknown options");
    damage(PV, 16, 4, "CHECKPOINT_END (libxl type 0x4, length 0, record 1, "
           "epoch 0) at offset 16 must not come before LIBXC_CONTEXT");
    damage(PV, 24, 0, "the image header at offset 24 has a wrong marker");
    damage(PV, 32, 0, "has a wrong identification");
    damage(PV, 39, 1, "is not of version 2 or 3");
    damage(PV, 39, 4, "is not of version 2 or 3");
    damage(PV, 41, 1, "announces big-endian records");
    damage(PV, 48, 3, "the domain header at offset 48 is of an unknown guest");
    damage(PV, 52, 13, "has pages other than 4 KiB");
}

static void refuse_after_start(uint32_t guest_type, uint32_t type,
                               uint32_t length, const char *what)
{
    struct bytes bytes = { 0 };

    put_start(&bytes, guest_type);
    put_record(&bytes, type, NULL, length);
    refuse(&bytes, what);
}

TEST(stream_refuses_records)
{
    refuse_after_start(PV, 0x40, 8, "unknown record (libxc type 0x40, length 8"
                       ", record 7, epoch 0)");
    refuse_after_start(PV, 0x40, 8, "is mandatory and not known");
    refuse_after_start(PV, XC_REC_END, 0, "END (libxc");
    refuse_after_start(PV, XC_REC_VERIFY, 0, "has no place in a checkpointed");
    refuse_after_start(PV, XC_REC_TOOLSTACK, 8, "has no place");
    refuse_after_start(PV, XC_REC_CHECKPOINT_DIRTY_PFN_LIST, 8, "has no place");
    refuse_after_start(PV, XC_REC_STATIC_DATA_END, 0,
                       "must come before the end of the static data");
    refuse_after_start(PV, XC_REC_X86_CPUID_POLICY, 24, "must come before");
    refuse_after_start(PV, XC_REC_HVM_CONTEXT, 24,
                       "does not belong to a guest of this type");
    refuse_after_start(HVM, XC_REC_SHARED_INFO, 4096, "does not belong");
    refuse_after_start(PV, XC_REC_SHARED_INFO, 4095, "is too short");
    refuse_after_start(PV, XC_REC_SHARED_INFO, 4104, "is too long");
    refuse_after_start(PV, XC_REC_X86_TSC_INFO, 32, "is too long");
    refuse_after_start(PV, XC_REC_X86_TSC_INFO, 16, "is too short");
    refuse_after_start(HVM, XC_REC_HVM_PARAMS, 16, "has an impossible length");
    refuse_after_start(HVM, XC_REC_HVM_PARAMS, 24,
                       "has a length that does not fit its count");
    refuse_after_start(HVM, XC_REC_HVM_CONTEXT, 0, "is too short");
    refuse_after_start(PV, XC_REC_X86_PV_VCPU_BASIC, 8, "is too short");
    refuse_after_start(PV, XC_REC_X86_PV_VCPU_EXTENDED, 144, "is too long");
    refuse_after_start(PV, XC_REC_X86_PV_VCPU_XSAVE, 16, "is too short");
    refuse_after_start(PV, XC_REC_X86_PV_VCPU_MSRS, 16, "impossible length");
    refuse_after_start(PV, XC_REC_X86_PV_P2M_FRAMES, 24, "does not fit its");
    refuse_after_start(PV, XC_REC_PAGE_DATA, 8, "is too short");
    refuse_after_start(PV, XC_REC_PAGE_DATA, 20, "has an impossible length");
    refuse_after_start(PV, XC_REC_PAGE_DATA, 16, "has no pages");
    refuse_after_start(PV, XC_REC_CHECKPOINT, 8, "is too long");
    refuse_after_start(PV, XC_REC_CHECKPOINT, 0, "without a SHARED_INFO");
    refuse_after_start(HVM, XC_REC_CHECKPOINT, 0, "without an HVM_CONTEXT");
}

/* Nobody would have set a barrier: in the first epoch and in a later one. */
TEST(stream_refuses_an_epoch_that_never_says_suspended)
{
    struct bytes bytes = { 0 };

    put_start(&bytes, HVM);
    put_record(&bytes, XC_REC_HVM_CONTEXT, NULL, 8);
    put_record(&bytes, XC_REC_CHECKPOINT, NULL, 0);
    refuse(&bytes, "without an X86_TSC_INFO");
    make_stream(&bytes, HVM, 1);
    put_record(&bytes, XC_REC_HVM_CONTEXT, NULL, 8);
    put_record(&bytes, XC_REC_CHECKPOINT, NULL, 0);
    refuse(&bytes, "without an X86_TSC_INFO");
}

TEST(stream_refuses_lengths_beyond_the_limit)
{
    uint32_t header[2] = { XC_REC_HVM_CONTEXT, TSR_RECORD_MAX + 8 };
    uint32_t optional[2] = { XC_REC_OPTIONAL | 1, TSR_RECORD_MAX + 8 };
    uint32_t emulator[2] = { XL_REC_EMULATOR_CONTEXT, TSR_XL_RECORD_MAX + 8 };
    struct bytes bytes = { 0 };

    put_start(&bytes, HVM);
    bytes_add(&bytes, header, 8);
    refuse(&bytes, "is too long");
    put_start(&bytes, HVM);
    bytes_add(&bytes, optional, 8);
    refuse(&bytes, "is longer than 128 MiB");
    put_start(&bytes, HVM);
    put_state(&bytes, HVM);
    bytes_add(&bytes, emulator, 8);
    refuse(&bytes, "is too long");
}

static void refuse_page(uint64_t count, uint64_t pfn, size_t data,
                        const char *what)
{
    uint64_t body[2] = { count, pfn };
    uint32_t header[2] = { XC_REC_PAGE_DATA, (uint32_t)(16 + data) };
    struct bytes bytes = { 0 };

    put_start(&bytes, PV);
    bytes_add(&bytes, header, 8);
    bytes_add(&bytes, body, 16);
    bytes_zero(&bytes, data);
    refuse(&bytes, what);
}

TEST(stream_refuses_pages)
{
    refuse_page(1, UINT64_C(5) << 60, 4096, "has a page of an unknown type");
    refuse_page(1, UINT64_C(1) << 52, 4096, "has an impossible page number");
    refuse_page(2, 1, 0, "is too short for its count of pages");
    refuse_page(1, 1, 0, "has a length that does not fit its pages");
    refuse_page(1, 1, 8192, "has a length that does not fit its pages");
    refuse_page(1, UINT64_C(15) << 60, 4096, "does not fit its pages");
    refuse_page(0xffffffff, 1, 4096, "is too short for its count");
}

TEST(stream_refuses_pv_info)
{
    uint8_t info[8] = { 8, 3 };
    struct bytes bytes = { 0 };

    put_xl_header(&bytes);
    put_record(&bytes, XL_REC_LIBXC_CONTEXT, NULL, 0);
    put_image(&bytes, 3, PV);
    put_record(&bytes, XC_REC_X86_PV_INFO, info, 8);
    refuse(&bytes, "has an impossible width");

    put_xl_header(&bytes);
    put_record(&bytes, XL_REC_LIBXC_CONTEXT, NULL, 0);
    put_image(&bytes, 3, PV);
    put_record(&bytes, XC_REC_STATIC_DATA_END, NULL, 0);
    refuse(&bytes, "STATIC_DATA_END (libxc type 0x10, length 0, record 2, "
           "epoch 0) at offset 64 comes before X86_PV_INFO");

    put_xl_header(&bytes);
    put_record(&bytes, XL_REC_LIBXC_CONTEXT, NULL, 0);
    put_image(&bytes, 3, HVM);
    put_pages(&bytes, 1, 1, 0);
    refuse(&bytes, "PAGE_DATA");
}

TEST(stream_refuses_libxl_records)
{
    uint32_t emulator[2] = { 3, 0 };
    struct bytes bytes = { 0 };

    put_start(&bytes, HVM);
    put_state(&bytes, HVM);
    put_record(&bytes, XL_REC_END, NULL, 0);
    refuse(&bytes, "END (libxl");

    put_start(&bytes, HVM);
    put_state(&bytes, HVM);
    put_record(&bytes, XL_REC_LIBXC_CONTEXT, NULL, 0);
    refuse(&bytes, "comes a second time");

    put_start(&bytes, HVM);
    put_state(&bytes, HVM);
    put_record(&bytes, XL_REC_CHECKPOINT_STATE, NULL, 8);
    refuse(&bytes, "has no place");

    put_start(&bytes, HVM);
    put_state(&bytes, HVM);
    put_record(&bytes, XL_REC_EMULATOR_CONTEXT, emulator, 8);
    refuse(&bytes, "is of an unknown emulator");

    put_start(&bytes, PV);
    put_state(&bytes, PV);
    put_record(&bytes, XL_REC_EMULATOR_CONTEXT, emulator, 8);
    refuse(&bytes, "does not belong to a guest of this type");

    put_start(&bytes, PV);
    put_state(&bytes, PV);
    put_record(&bytes, XC_REC_OPTIONAL | 9, NULL, 0);
    refuse(&bytes, "is mandatory and not known");
}

TEST(stream_refuses_padding)
{
    struct bytes bytes = { 0 };

    put_start(&bytes, HVM);
    put_record(&bytes, XC_REC_HVM_CONTEXT, NULL, 1001);
    bytes.data[bytes.size - 1] = 1;
    refuse(&bytes, "is not padded with zeroes");
}

TEST(stream_refuses_an_epoch_without_its_vcpus)
{
    struct bytes bytes = { 0 };

    make_stream(&bytes, PV, 1);
    put_pages(&bytes, 1, 2, 0);
    put_record(&bytes, XC_REC_SHARED_INFO, NULL, 4096);
    put_record(&bytes, XC_REC_CHECKPOINT, NULL, 0);
    refuse(&bytes, "comes without vCPU 0 in its epoch");
}

