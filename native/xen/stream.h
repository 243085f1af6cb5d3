/*
 * The strict incremental checker of a checkpointed stream (internal interface).
 *
 * What is accepted is what a Xen host sends for Remus, and nothing else:
 *
 *   libxl header                     16 bytes, version 2, little-endian
 *   LIBXC_CONTEXT                    libxl record, no body
 *   image header, domain header      24 + 16 bytes, version 2 or 3
 *   static records, STATIC_DATA_END  libxc records (version 3)
 *   then, again and again, one epoch:
 *     X86_TSC_INFO                   libxc record: the guest is suspended here. libxc
 *                                    writes it behind the pages, once; pause/ ahead of
 *                                    them, and again as soon as the guest is resumed
 *     PAGE_DATA, vCPUs, devices      libxc records, in any order
 *     CHECKPOINT                     libxc record, the last one; where libxc wrote it
 *                                    the guest is suspended still
 *     EMULATOR_*                     libxl records, HVM only
 *     CHECKPOINT_END                 libxl record: the epoch is complete
 *
 * The next epoch's libxc records follow directly: LIBXC_CONTEXT and the headers
 * come once (libxl's stream writer writes CHECKPOINT_END and answers the helper,
 * which goes on in its loop). There is never an END.
 */
#ifndef TSR_STREAM_H
#define TSR_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../common/format.h"

#ifndef TSR_RECORD_MAX                  /* fuzzing makes it smaller, to reach it */
#define TSR_RECORD_MAX (128u << 20)     /* libxc's own limit */
#endif
#define TSR_XL_RECORD_MAX (32u << 20)   /* ours: a device model's state */
#define TSR_STREAM_TEXT 256
/* Pages with data that fit into one record. */
#define TSR_PAGES_MAX (TSR_RECORD_MAX / TSR_PAGE_SIZE)

enum tsr_mark {
    TSR_MARK_NONE,
    TSR_MARK_SUSPENDED,                 /* right behind an epoch's first X86_TSC_INFO */
    TSR_MARK_RESUMED,                   /* and behind its second one, of pause/ */
    TSR_MARK_CHECKPOINT,                /* right behind a CHECKPOINT record */
    TSR_MARK_EPOCH_END,                 /* right behind a CHECKPOINT_END */
    TSR_MARK_PAGES,                     /* before page bodies, see tsr_parser_list */
};

struct tsr_parser {
    int state;
    uint64_t offset;                    /* bytes taken */
    uint64_t epoch;                     /* complete ones */
    uint64_t records;
    uint64_t pages;                     /* of the epoch, see stats */
    uint64_t epoch_end;
    uint64_t item_offset;               /* where the item under way began */
    bool failed;
    char text[TSR_STREAM_TEXT];

    uint8_t head[24];                   /* header or first bytes of a body */
    uint32_t need, have;
    uint32_t type, length;              /* of the record under way */
    bool xl;                            /* it is one of libxl's */
    uint64_t skip;                      /* bytes of its body to pass over */
    uint32_t pad;
    uint32_t pfns, data_pages;          /* PAGE_DATA: to come, with data */
    uint64_t carry;                     /* a pfn split between two calls */
    uint32_t carried;
    uint64_t *list;                     /* numbers of the data pages, or NULL */

    uint32_t version, guest_type;
    uint32_t width;                     /* of a PV guest, bytes */
    bool static_end, pv_info;
    unsigned tscs;                      /* X86_TSC_INFO in this epoch */
    bool seen_context, seen_shared, seen_vcpu0;     /* in this epoch */
};

void tsr_parser_init(struct tsr_parser *parser);

/*
 * Has the numbers of pages that come with data put into LIST, which must have
 * TSR_PAGES_MAX entries and outlive the parser. tsr_parser_take then stops before the
 * bodies of each PAGE_DATA record as well (TSR_MARK_PAGES).
 */
void tsr_parser_list(struct tsr_parser *parser, uint64_t *list);

/*
 * true: the next bytes belong to the body of a page: that of *PFN_OUT, *FROM_OUT of its
 * bytes have been taken. Needs tsr_parser_list.
 */
bool tsr_parser_page(const struct tsr_parser *parser, uint64_t *pfn_out,
                     uint32_t *from_out);

/*
 * Takes up to N bytes, but stops right behind a mark. Returns 0, or -EPROTO with
 * parser->text; a parser that failed stays failed. Bodies of pages and blobs are
 * not touched.
 */
int tsr_parser_take(struct tsr_parser *parser, const uint8_t *data, size_t n,
                    size_t *taken_out, enum tsr_mark *mark_out);

/*
 * The offset up to which the stream may be handed to libxl without it having to
 * wait in the middle of one of its own records (it reads those with blocking
 * reads, in the thread that turns its event loop).
 */
uint64_t tsr_parser_safe(const struct tsr_parser *parser);

/* format.c: where the pages of such a stream are, for the page encoding. */
extern const struct tsr_format_ops tsr_xen_format;

/* stream_api.c: what the caller is told of the parser's position. */
struct tsr_stream_stats;
void tsr_stream_fill(const struct tsr_parser *parser,
                     struct tsr_stream_stats *out);

/* rules.c: the checks of one record. All return NULL or what is wrong. */
const char *tsr_rule_name(const struct tsr_parser *parser);
/* After the record's header; sets *HEAD_OUT to the bytes of the body to see. */
const char *tsr_rule_header(struct tsr_parser *parser, uint32_t *head_out);
/* After those bytes, which are in parser->head. */
const char *tsr_rule_head(struct tsr_parser *parser);
/* At a CHECKPOINT record: is anything missing? */
const char *tsr_rule_checkpoint(struct tsr_parser *parser);

enum {
    XL_REC_END = 0,
    XL_REC_LIBXC_CONTEXT = 1,
    XL_REC_EMULATOR_XENSTORE_DATA = 2,
    XL_REC_EMULATOR_CONTEXT = 3,
    XL_REC_CHECKPOINT_END = 4,
    XL_REC_CHECKPOINT_STATE = 5,

    XC_REC_END = 0x0,
    XC_REC_PAGE_DATA = 0x1,
    XC_REC_X86_PV_INFO = 0x2,
    XC_REC_X86_PV_P2M_FRAMES = 0x3,
    XC_REC_X86_PV_VCPU_BASIC = 0x4,
    XC_REC_X86_PV_VCPU_EXTENDED = 0x5,
    XC_REC_X86_PV_VCPU_XSAVE = 0x6,
    XC_REC_SHARED_INFO = 0x7,
    XC_REC_X86_TSC_INFO = 0x8,
    XC_REC_HVM_CONTEXT = 0x9,
    XC_REC_HVM_PARAMS = 0xa,
    XC_REC_TOOLSTACK = 0xb,
    XC_REC_X86_PV_VCPU_MSRS = 0xc,
    XC_REC_VERIFY = 0xd,
    XC_REC_CHECKPOINT = 0xe,
    XC_REC_CHECKPOINT_DIRTY_PFN_LIST = 0xf,
    XC_REC_STATIC_DATA_END = 0x10,
    XC_REC_X86_CPUID_POLICY = 0x11,
    XC_REC_X86_MSR_POLICY = 0x12,
};
#define XC_REC_OPTIONAL 0x80000000u

enum { TSR_GUEST_PV = 1, TSR_GUEST_HVM = 2 };

#endif
