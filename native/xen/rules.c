/*
 * The rules of single records: which are known, where they may stand, how long
 * they may be. Facts of Xen's docs/specs/libxc-migration-stream and
 * libxl-migration-stream, and of what libxc and libxl refuse themselves.
 */
#include "stream.h"

#include <string.h>

#define PV (1u << TSR_GUEST_PV)
#define HVM (1u << TSR_GUEST_HVM)
#define ANY (PV | HVM)

#define VCPU_MAX 8192

enum when { STATIC, DYNAMIC, NEVER };

struct rule {
    uint32_t type;
    const char *name;
    enum when when;
    unsigned guests;
    uint32_t min, max;                  /* of the body */
    uint32_t base, unit;                /* length = base + n * unit */
    uint32_t head;                      /* bytes of the body to look at */
};

static const struct rule xc_rules[] = {
    { XC_REC_END, "END", NEVER, ANY, 0, 0, 0, 1, 0 },
    { XC_REC_PAGE_DATA, "PAGE_DATA", DYNAMIC, ANY, 16, TSR_RECORD_MAX, 0, 8,
      8 },
    { XC_REC_X86_PV_INFO, "X86_PV_INFO", STATIC, PV, 8, 8, 0, 1, 8 },
    { XC_REC_X86_PV_P2M_FRAMES, "X86_PV_P2M_FRAMES", DYNAMIC, PV, 16,
      TSR_RECORD_MAX, 0, 8, 8 },
    { XC_REC_X86_PV_VCPU_BASIC, "X86_PV_VCPU_BASIC", DYNAMIC, PV, 9,
      TSR_RECORD_MAX, 0, 1, 8 },
    { XC_REC_X86_PV_VCPU_EXTENDED, "X86_PV_VCPU_EXTENDED", DYNAMIC, PV, 8,
      8 + 128, 0, 1, 8 },
    { XC_REC_X86_PV_VCPU_XSAVE, "X86_PV_VCPU_XSAVE", DYNAMIC, PV, 8,
      TSR_RECORD_MAX, 0, 1, 8 },
    { XC_REC_SHARED_INFO, "SHARED_INFO", DYNAMIC, PV, 4096, 4096, 0, 1, 0 },
    { XC_REC_X86_TSC_INFO, "X86_TSC_INFO", DYNAMIC, ANY, 24, 24, 0, 1, 0 },
    { XC_REC_HVM_CONTEXT, "HVM_CONTEXT", DYNAMIC, HVM, 1, TSR_RECORD_MAX, 0, 1,
      0 },
    { XC_REC_HVM_PARAMS, "HVM_PARAMS", DYNAMIC, HVM, 8, TSR_RECORD_MAX, 8, 16,
      8 },
    { XC_REC_TOOLSTACK, "TOOLSTACK", NEVER, ANY, 0, 0, 0, 1, 0 },
    { XC_REC_X86_PV_VCPU_MSRS, "X86_PV_VCPU_MSRS", DYNAMIC, PV, 8,
      TSR_RECORD_MAX, 8, 16, 8 },
    { XC_REC_VERIFY, "VERIFY", NEVER, ANY, 0, 0, 0, 1, 0 },
    { XC_REC_CHECKPOINT, "CHECKPOINT", DYNAMIC, ANY, 0, 0, 0, 1, 0 },
    { XC_REC_CHECKPOINT_DIRTY_PFN_LIST, "CHECKPOINT_DIRTY_PFN_LIST", NEVER, ANY,
      0, 0, 0, 1, 0 },
    { XC_REC_STATIC_DATA_END, "STATIC_DATA_END", STATIC, ANY, 0, 0, 0, 1, 0 },
    { XC_REC_X86_CPUID_POLICY, "X86_CPUID_POLICY", STATIC, ANY, 24,
      TSR_RECORD_MAX, 0, 24, 0 },
    { XC_REC_X86_MSR_POLICY, "X86_MSR_POLICY", STATIC, ANY, 16, TSR_RECORD_MAX,
      0, 16, 0 },
};

static const struct rule xl_rules[] = {
    { XL_REC_END, "END", NEVER, ANY, 0, 0, 0, 1, 0 },
    { XL_REC_LIBXC_CONTEXT, "LIBXC_CONTEXT", STATIC, ANY, 0, 0, 0, 1, 0 },
    { XL_REC_EMULATOR_XENSTORE_DATA, "EMULATOR_XENSTORE_DATA", DYNAMIC, HVM, 8,
      TSR_XL_RECORD_MAX, 0, 1, 8 },
    { XL_REC_EMULATOR_CONTEXT, "EMULATOR_CONTEXT", DYNAMIC, HVM, 8,
      TSR_XL_RECORD_MAX, 0, 1, 8 },
    { XL_REC_CHECKPOINT_END, "CHECKPOINT_END", DYNAMIC, ANY, 0, 0, 0, 1, 0 },
    { XL_REC_CHECKPOINT_STATE, "CHECKPOINT_STATE", NEVER, ANY, 0, 0, 0, 1, 0 },
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const struct rule *find(const struct tsr_parser *parser)
{
    /* Both tables are in the order of the types, which start at 0. */
    if (parser->xl)
        return parser->type < COUNT(xl_rules) ? &xl_rules[parser->type] : NULL;
    return parser->type < COUNT(xc_rules) ? &xc_rules[parser->type] : NULL;
}

static uint32_t u32(const uint8_t *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}

const char *tsr_rule_name(const struct tsr_parser *parser)
{
    const struct rule *rule = find(parser);

    return rule ? rule->name : "unknown record";
}

/* Where the record may stand. */
static const char *check_place(struct tsr_parser *parser,
                               const struct rule *rule)
{
    if (rule->when == NEVER)
        return "has no place in a checkpointed stream";
    if (parser->xl) {
        bool first = parser->guest_type == 0;

        if (first != (rule->when == STATIC))
            return first ? "must not come before LIBXC_CONTEXT"
                         : "comes a second time";
        if (!first && !(rule->guests & (1u << parser->guest_type)))
            return "does not belong to a guest of this type";
        return NULL;
    }
    if (!(rule->guests & (1u << parser->guest_type)))
        return "does not belong to a guest of this type";
    if (rule->when == STATIC && parser->static_end)
        return "must come before the end of the static data";
    if (rule->when == DYNAMIC && !parser->static_end) {
        if (parser->version >= 3)
            return "must come after STATIC_DATA_END";
        /* Version 2 has no such record: the first of these implies it. */
        parser->static_end = true;
    }
    return NULL;
}

/* What a record demands of those before it, and what it leaves behind. */
static const char *check_order(struct tsr_parser *parser)
{
    if (parser->xl)
        return NULL;
    switch (parser->type) {
    case XC_REC_X86_PV_INFO:
        if (parser->pv_info)
            return "comes a second time";
        return NULL;
    case XC_REC_STATIC_DATA_END:
        if (parser->version < 3)
            return "does not exist in version 2 of the stream";
        if (parser->guest_type == TSR_GUEST_PV && !parser->pv_info)
            return "comes before X86_PV_INFO";
        parser->static_end = true;
        return NULL;
    case XC_REC_X86_PV_P2M_FRAMES:
    case XC_REC_SHARED_INFO:
        if (!parser->pv_info)
            return "comes before X86_PV_INFO";
        if (parser->type == XC_REC_SHARED_INFO)
            parser->seen_shared = true;
        return NULL;
    case XC_REC_HVM_CONTEXT:
        parser->seen_context = true;
        return NULL;
    case XC_REC_CHECKPOINT:
        return tsr_rule_checkpoint(parser);
    default:
        return NULL;
    }
}

const char *tsr_rule_header(struct tsr_parser *parser, uint32_t *head_out)
{
    const struct rule *rule;
    const char *wrong;

    *head_out = 0;
    if (!parser->xl && (parser->type & XC_REC_OPTIONAL)) {
        if (parser->length > TSR_RECORD_MAX)
            return "is longer than 128 MiB";
        return NULL;
    }
    rule = find(parser);
    if (!rule)
        /* libxl knows no optional records of its own: it refuses them, too. */
        return "is mandatory and not known";
    wrong = check_place(parser, rule);
    if (wrong)
        return wrong;
    if (parser->length < rule->min)
        return "is too short";
    if (parser->length > rule->max)
        return "is too long";
    if ((parser->length - rule->base) % rule->unit)
        return "has an impossible length";
    wrong = check_order(parser);
    if (wrong)
        return wrong;
    *head_out = rule->head;
    return NULL;
}

const char *tsr_rule_checkpoint(struct tsr_parser *parser)
{
    if (parser->guest_type == TSR_GUEST_HVM && !parser->seen_context)
        return "comes without an HVM_CONTEXT in its epoch";
    if (parser->guest_type == TSR_GUEST_PV && !parser->seen_shared)
        return "comes without a SHARED_INFO in its epoch";
    if (parser->guest_type == TSR_GUEST_PV && !parser->seen_vcpu0)
        return "comes without vCPU 0 in its epoch";
    /* The barriers would not be set. */
    if (!parser->tscs)
        return "comes without an X86_TSC_INFO in its epoch";
    return NULL;
}

static const char *check_p2m(const struct tsr_parser *parser)
{
    uint32_t start = u32(parser->head), end = u32(parser->head + 4);
    uint32_t per_page = 4096 / parser->width;
    uint64_t frames;

    if (start > end)
        return "ends before it begins";
    frames = (uint64_t)(end / per_page) - start / per_page + 1;
    if (parser->length != 8 + 8 * frames)
        return "has a length that does not fit its range";
    return NULL;
}

static const char *check_vcpu(struct tsr_parser *parser)
{
    uint32_t vcpu = u32(parser->head), blob = parser->length - 8;

    if (vcpu >= VCPU_MAX)
        return "is of a vCPU that cannot exist";
    if (parser->type == XC_REC_X86_PV_VCPU_XSAVE && blob && blob < 16)
        return "is too short";
    if (parser->type == XC_REC_X86_PV_VCPU_BASIC && !vcpu)
        parser->seen_vcpu0 = true;
    return NULL;
}

static const char *check_xl_head(const struct tsr_parser *parser)
{
    uint32_t id = u32(parser->head);

    /* 1 qemu-traditional, 2 qemu */
    if (id != 1 && id != 2)
        return "is of an unknown emulator";
    return NULL;
}

const char *tsr_rule_head(struct tsr_parser *parser)
{
    uint8_t width, levels;
    uint64_t count;

    if (parser->xl)
        return check_xl_head(parser);
    switch (parser->type) {
    case XC_REC_PAGE_DATA:
        count = u32(parser->head);
        if (!count)
            return "has no pages";
        if (8 + 8 * count > parser->length)
            return "is too short for its count of pages";
        parser->pfns = (uint32_t)count;
        parser->data_pages = 0;
        parser->carried = 0;
        return NULL;
    case XC_REC_X86_PV_INFO:
        width = parser->head[0];
        levels = parser->head[1];
        if (!((width == 4 && levels == 3) || (width == 8 && levels == 4)))
            return "has an impossible width or number of levels";
        parser->pv_info = true;
        parser->width = width;
        return NULL;
    case XC_REC_X86_PV_P2M_FRAMES:
        return check_p2m(parser);
    case XC_REC_HVM_PARAMS:
        count = u32(parser->head);
        if (parser->length != 8 + 16 * count)
            return "has a length that does not fit its count";
        return NULL;
    default:
        return check_vcpu(parser);
    }
}
