/*
 * What is known of libxenctrl, libxenguest and their kin: the few calls that a checkpoint is made
 * of, found by name in the process that this library is preloaded into. Nothing is linked, no
 * header of Xen's is needed. Equal in Xen 4.16 to 4.22 (tools/include/xenctrl.h, xenguest.h,
 * xenforeignmemory.h, xentoollog.h); state.c tries the rest against libxc itself.
 */
#ifndef TSR_PAUSE_XC_H
#define TSR_PAUSE_XC_H

#include <stddef.h>
#include <stdint.h>

typedef struct xc_interface_core xc_interface;
typedef struct xenforeignmemory_handle xenforeignmemory_handle;
typedef struct xentoollog_logger xentoollog_logger;

/* struct save_callbacks. Each asks libxl, and waits for its answer: 0 or less ends the save. */
struct xc_callbacks {
    int (*suspend)(void *data);
    void *precopy_policy;
    int (*postcopy)(void *data);        /* resumes the guest */
    int (*checkpoint)(void *data);      /* returns when the next epoch is to begin */
    int (*wait_checkpoint)(void *data);
    int (*switch_qemu_logdirty)(uint32_t domid, unsigned enable, void *data);
    void *data;
};

/* struct xc_hypercall_buffer: a shadow points to the one that has the memory. */
struct xc_buffer {
    void *hbuf;
    struct xc_buffer *param_shadow;
};

/* xc_shadow_op_stats_t */
struct xc_stats {
    uint32_t fault_count, dirty_count;
};

enum { XC_STREAM_REMUS = 1 };
enum { XTL_NOTICE = 6, XTL_WARN = 7 };

/* Of a page that comes without data, as xc_get_pfn_type_batch says it, and in the stream. */
#define XC_TYPE_SHIFT 28
#define XC_TYPE_BROKEN 0xdu
#define XC_TYPE_ABSENT 0xfu
#define STREAM_TYPE_SHIFT 60

/* The functions that are called, by what libc's dlsym finds behind this library. */
#define XC_FUNCTIONS(X) \
    X(int, xc_domain_save, (xc_interface *, int, uint32_t, uint32_t, \
                            struct xc_callbacks *, int, int)) \
    X(long long, xc_logdirty_control, (xc_interface *, uint32_t, unsigned, \
                                       struct xc_buffer *, unsigned long, unsigned, \
                                       struct xc_stats *)) \
    X(int, xc_domain_get_tsc_info, (xc_interface *, uint32_t, uint32_t *, uint64_t *, \
                                    uint32_t *, uint32_t *)) \
    X(int, xc_domain_hvm_getcontext, (xc_interface *, uint32_t, uint8_t *, uint32_t)) \
    X(int, xc_hvm_param_get, (xc_interface *, uint32_t, uint32_t, uint64_t *)) \
    X(int, xc_get_pfn_type_batch, (xc_interface *, uint32_t, unsigned, uint64_t *)) \
    X(xc_interface *, xc_interface_open, (xentoollog_logger *, xentoollog_logger *, \
                                          unsigned)) \
    X(xenforeignmemory_handle *, xenforeignmemory_open, (xentoollog_logger *, unsigned)) \
    X(void *, xenforeignmemory_map, (xenforeignmemory_handle *, uint32_t, int, size_t, \
                                     const uint64_t *, int *)) \
    X(int, xenforeignmemory_unmap, (xenforeignmemory_handle *, void *, size_t)) \
    X(void, xtl_log, (xentoollog_logger *, int, int, const char *, const char *, ...))

struct xc_functions {
#define X(type, name, args) type (*name) args;
    XC_FUNCTIONS(X)
#undef X
};

#endif
