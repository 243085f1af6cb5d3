/* See fake_xc.h. */
#include "fake_xc.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../../pause/xc.h"

#define API __attribute__((visibility("default")))
#define OP_CLEAN 11
#define FINAL 1

API struct fake_xc fake_xc = {
    .context_size = 1003,
    .params = { [1] = 0xfeff, [5] = 0xfefe, [17] = 7 },
    .unmappable_epoch = -1, .growing_epoch = -1, .contextless_epoch = -1, .broken_epoch = -1,
    .epoch = -1,
};

static const uint32_t asked[] = { 1, 5, 6, 30, 17 };

/* libxc itself calls through its library, and so through what stands in front of it. */
API int xc_domain_get_tsc_info(xc_interface *, uint32_t, uint32_t *, uint64_t *, uint32_t *,
                               uint32_t *);
API int xc_domain_hvm_getcontext(xc_interface *, uint32_t, uint8_t *, uint32_t);
API int xc_hvm_param_get(xc_interface *, uint32_t, uint32_t, uint64_t *);
API long long xc_logdirty_control(xc_interface *, uint32_t, unsigned, struct xc_buffer *,
                                  unsigned long, unsigned, struct xc_stats *);

API xc_interface *xc_interface_open(xentoollog_logger *logger, xentoollog_logger *builders,
                                    unsigned flags)
{
    (void)logger, (void)builders, (void)flags;
    return (xc_interface *)&fake_xc;
}

API void xtl_log(xentoollog_logger *logger, int level, int errnoval, const char *context,
                 const char *format, ...)
{
    va_list args;
    int n = snprintf(fake_xc.said, sizeof(fake_xc.said), "%s %d: ", context, level);

    (void)logger, (void)errnoval;
    va_start(args, format);
    vsnprintf(fake_xc.said + n, sizeof(fake_xc.said) - (size_t)n, format, args);
    va_end(args);
}

API long long xc_logdirty_control(xc_interface *xch, uint32_t domid, unsigned op,
                                  struct xc_buffer *buffer, unsigned long pages, unsigned mode,
                                  struct xc_stats *stats)
{
    (void)xch, (void)domid;
    if (mode && ++fake_xc.epoch == fake_xc.broken_epoch) {
        errno = EIO;
        return -1;
    }
    if (op != OP_CLEAN || pages != FAKE_PAGES || (mode && !fake_xc.suspended))
        abort();
    while (buffer->param_shadow)
        buffer = buffer->param_shadow;
    memcpy(buffer->hbuf, fake_xc.dirty, sizeof(fake_xc.dirty));
    memset(fake_xc.dirty, 0, sizeof(fake_xc.dirty));
    stats->fault_count = stats->dirty_count = 1;
    return (long long)pages;
}

static void asked_now(void)
{
    fake_xc.asked_in_run += !fake_xc.suspended;
}

API int xc_domain_get_tsc_info(xc_interface *xch, uint32_t domid, uint32_t *mode,
                               uint64_t *nsec, uint32_t *khz, uint32_t *incarnation)
{
    (void)xch, (void)domid;
    asked_now();
    *mode = 1, *khz = 2400000, *incarnation = 3;
    *nsec = fake_xc.tsc_nsec++;
    return 0;
}

API int xc_domain_hvm_getcontext(xc_interface *xch, uint32_t domid, uint8_t *out, uint32_t size)
{
    (void)xch, (void)domid;
    asked_now();
    if (fake_xc.epoch == fake_xc.growing_epoch)
        fake_xc.context_size = 2005;
    if (fake_xc.pv || fake_xc.epoch == fake_xc.contextless_epoch ||
        (out && size < fake_xc.context_size)) {
        errno = EINVAL;
        return -1;
    }
    if (out)
        memset(out, 0x70 + fake_xc.epoch, fake_xc.context_size);
    return (int)fake_xc.context_size;
}

API int xc_hvm_param_get(xc_interface *xch, uint32_t domid, uint32_t param, uint64_t *value)
{
    (void)xch, (void)domid;
    asked_now();
    *value = fake_xc.params[param];
    return 0;
}

API int xc_get_pfn_type_batch(xc_interface *xch, uint32_t domid, unsigned count, uint64_t *pfns)
{
    (void)xch, (void)domid;
    for (unsigned i = 0; i < count; i++)
        pfns[i] = fake_xc.absent[pfns[i]] ? (uint64_t)XC_TYPE_ABSENT << XC_TYPE_SHIFT : 0;
    return 0;
}

API xenforeignmemory_handle *xenforeignmemory_open(xentoollog_logger *logger, unsigned flags)
{
    (void)logger, (void)flags;
    return (xenforeignmemory_handle *)&fake_xc;
}

/* A copy of what is there now, so that a page that changes later would be seen too late. */
API void *xenforeignmemory_map(xenforeignmemory_handle *handle, uint32_t domid, int prot,
                               size_t pages, const uint64_t *pfns, int *errors)
{
    uint8_t *at = mmap(NULL, pages * FAKE_PAGE, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    (void)handle, (void)domid, (void)prot;
    for (size_t i = 0; i < pages; i++) {
        bool fails = fake_xc.epoch == fake_xc.unmappable_epoch && i == pages / 2;

        errors[i] = fails || fake_xc.absent[pfns[i]] ? -EINVAL : 0;
        memcpy(at + i * FAKE_PAGE, fake_xc.memory + pfns[i] * FAKE_PAGE, FAKE_PAGE);
        if (errors[i])
            mprotect(at + i * FAKE_PAGE, FAKE_PAGE, PROT_NONE);
    }
    fake_xc.mapped += (int)pages;
    return at;
}

API int xenforeignmemory_unmap(xenforeignmemory_handle *handle, void *at, size_t pages)
{
    (void)handle;
    fake_xc.unmapped += (int)pages;
    return munmap(at, pages * FAKE_PAGE);
}

/* ---- libxc's own loop --------------------------------------------------------------------- */

static bool put(int fd, const void *data, size_t size)
{
    return write(fd, data, size) == (ssize_t)size;
}

static bool put_record(int fd, uint32_t type, const void *body, uint32_t length)
{
    static const uint8_t zeroes[8];
    uint32_t head[2] = { type, length };
    struct iovec all[3] = {
        { head, 8 }, { (void *)body, length }, { (void *)zeroes, -length & 7 },
    };

    return writev(fd, all, 3) == (ssize_t)(8 + length + (-length & 7));
}

static bool put_dirty(int fd, const uint64_t *bits)
{
    for (uint64_t pfn = 0; pfn < FAKE_PAGES; pfn++) {
        uint64_t named = pfn;
        uint32_t head[4] = { 1, 16, 1, 0 };

        if (!(bits[pfn / 64] >> pfn % 64 & 1))
            continue;
        if (fake_xc.absent[pfn])
            named |= (uint64_t)XC_TYPE_ABSENT << 60;
        else
            head[1] += FAKE_PAGE;
        if (!put(fd, head, 16) || !put(fd, &named, 8) ||
            (!fake_xc.absent[pfn] && !put(fd, fake_xc.memory + pfn * FAKE_PAGE, FAKE_PAGE)))
            return false;
    }
    return true;
}

static bool put_state(xc_interface *xch, int fd)
{
    struct { uint32_t mode, khz; uint64_t nsec; uint32_t incarnation, reserved; } tsc = { 0 };
    struct { uint32_t count, reserved; uint64_t entries[20]; } params = { 0 };
    uint8_t context[4096];
    int n;

    if (xc_domain_get_tsc_info(xch, 1, &tsc.mode, &tsc.nsec, &tsc.khz, &tsc.incarnation) ||
        !put_record(fd, 8, &tsc, sizeof(tsc)))
        return false;
    if (fake_xc.pv) {
        memset(context, 0, sizeof(context));
        return put_record(fd, 7, context, 4096) && put_record(fd, 0xe, NULL, 0);
    }
    n = xc_domain_hvm_getcontext(xch, 1, NULL, 0);
    if (n < 0 || xc_domain_hvm_getcontext(xch, 1, context, (uint32_t)n) != n ||
        !put_record(fd, 9, context, (uint32_t)n))
        return false;
    for (unsigned i = 0; i < 5; i++) {
        uint64_t value;

        xc_hvm_param_get(xch, 1, asked[i], &value);
        if (!value)
            continue;
        params.entries[2 * params.count] = asked[i];
        params.entries[2 * params.count++ + 1] = value;
    }
    if (fake_xc.odd_param) {
        uint64_t value;

        fake_xc.params[33] = 1;
        xc_hvm_param_get(xch, 1, 33, &value);
    }
    return put_record(fd, 10, &params, 8 + 16 * params.count) &&
           (!fake_xc.odd_record || put_record(fd, 0x80000007, "odd", 3)) &&
           put_record(fd, 0xe, NULL, 0);
}

API int xc_domain_save(xc_interface *xch, int fd, uint32_t domid, uint32_t flags,
                       struct xc_callbacks *callbacks, int type, int back_fd)
{
    uint64_t bits[(FAKE_PAGES + 63) / 64];
    struct xc_buffer real = { bits, NULL }, shadow = { NULL, &real };
    struct xc_stats stats;

    (void)domid, (void)flags, (void)type, (void)back_fd;
    /* Live, while the guest runs. */
    memset(bits, 0xff, sizeof(bits));
    if (!put_dirty(fd, bits) ||
        xc_logdirty_control(xch, 1, OP_CLEAN, &shadow, FAKE_PAGES, 0, &stats) != FAKE_PAGES ||
        !put_dirty(fd, bits))
        return -1;
    for (;;) {
        if (!callbacks->suspend(callbacks->data) || !fake_xc.suspended)
            return -1;
        if (xc_logdirty_control(xch, 1, OP_CLEAN, &shadow, FAKE_PAGES, FINAL, &stats) !=
            FAKE_PAGES)
            return -1;
        if (!put_dirty(fd, bits) || !put_state(xch, fd))
            return -1;
        fake_xc.own_loops++;
        if (callbacks->postcopy(callbacks->data) <= 0 ||
            callbacks->checkpoint(callbacks->data) <= 0)
            return -1;
    }
}
