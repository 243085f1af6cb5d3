/*
 * The checkpoint stream as libxl and libxenguest write it (docs/specs of the
 * Xen tree: libxl stream version 2, libxc image version 3).
 *
 *     libxl header | LIBXC_CONTEXT
 *     image header, domain header | static records | STATIC_DATA_END
 *     epoch: PAGE_DATA ... | state records | CHECKPOINT
 *            (libxl) [EMULATOR records] CHECKPOINT_END
 *     epoch: ...
 */
#ifndef SX_STREAM_H
#define SX_STREAM_H

#include "sx.h"

#define LIBXL_IDENT 0x4c6962786c466d74ull /* big-endian "LibxlFmt" */
#define LIBXL_VERSION_2 2u

enum {
    LIBXL_REC_END = 0,
    LIBXL_REC_LIBXC_CONTEXT = 1,
    LIBXL_REC_EMULATOR_XENSTORE_DATA = 2,
    LIBXL_REC_EMULATOR_CONTEXT = 3,
    LIBXL_REC_CHECKPOINT_END = 4,
    LIBXL_REC_CHECKPOINT_STATE = 5,
};
#define LIBXL_EMULATOR_QEMU 2u

#define IMAGE_MARKER UINT64_MAX
#define IMAGE_ID 0x58454e46u /* big-endian "XENF" */
#define IMAGE_VERSION 3u

enum { DOMAIN_PV = 1, DOMAIN_HVM = 2 };

enum {
    REC_END = 0x0,
    REC_PAGE_DATA = 0x1,
    REC_PV_INFO = 0x2,
    REC_PV_P2M_FRAMES = 0x3,
    REC_PV_VCPU_BASIC = 0x4,
    REC_PV_VCPU_EXTENDED = 0x5,
    REC_PV_VCPU_XSAVE = 0x6,
    REC_SHARED_INFO = 0x7,
    REC_TSC_INFO = 0x8,
    REC_HVM_CONTEXT = 0x9,
    REC_HVM_PARAMS = 0xa,
    REC_TOOLSTACK = 0xb,
    REC_PV_VCPU_MSRS = 0xc,
    REC_VERIFY = 0xd,
    REC_CHECKPOINT = 0xe,
    REC_CHECKPOINT_DIRTY_PFN_LIST = 0xf,
    REC_STATIC_DATA_END = 0x10,
    REC_CPUID_POLICY = 0x11,
    REC_MSR_POLICY = 0x12,
};
#define REC_OPTIONAL 0x80000000u
#define REC_LENGTH_MAX (128u << 20)

#define PFN_MASK 0x000fffffffffffffull
#define PFN_TYPE_SHIFT 60
enum { PFN_NOTAB = 0x0, PFN_L1TAB = 0x1, PFN_L2TAB = 0x2, PFN_L3TAB = 0x3,
       PFN_L4TAB = 0x4, PFN_L4TAB_PINNED = 0xc, PFN_BROKEN = 0xd,
       PFN_XALLOC = 0xe, PFN_XTAB = 0xf };

#define BATCH_PAGES 1024u

struct libxl_header { uint64_t ident; uint32_t version, options; }; /* BE */
struct image_header { uint64_t marker; uint32_t id, version;       /* BE */
                      uint16_t options, res1; uint32_t res2; };
struct domain_header { uint32_t type; uint16_t page_shift, res;
                       uint32_t xen_major, xen_minor; };
struct record { uint32_t type, length; };
_Static_assert(sizeof(struct libxl_header) == 16, "libxl stream");
_Static_assert(sizeof(struct image_header) == 24, "libxc stream");
_Static_assert(sizeof(struct domain_header) == 16, "libxc stream");

/* ---- records.c ----------------------------------------------------------- */

struct sx_buffer {
    uint8_t *data;
    size_t used, room;
};

void sx_buffer_add(struct sx_buffer *b, const void *data, size_t size);
void sx_buffer_free(struct sx_buffer *b);
void sx_record(struct sx_buffer *b, uint32_t type, const void *body,
               size_t size);

void sx_records_libxl_start(struct sx_buffer *b);
void sx_records_start(struct sx_buffer *b, const struct sx_state *st);
void sx_records_tsc(struct sx_buffer *b, const struct sx_state *st);
/* Behind the TSC_INFO, up to and with CHECKPOINT. */
void sx_records_state(struct sx_buffer *b, const struct sx_state *st);
void sx_records_checkpoint_end(struct sx_buffer *b, const struct sx_state *st);
uint32_t sx_page_type(const struct sx_domain *d, uint64_t pfn);
bool sx_page_has_data(uint32_t type);

#endif
