/*
 * What stands in front of libxc in its save helper, and the loop that makes checkpoints; see
 * pause.h. libxc's own loop (tools/libs/guest/xg_sr_save.c, save()) waits meanwhile inside
 * xc_logdirty_control, where it takes the dirty log of the first epoch behind the seed.
 *
 * One process, one thread, one guest: the state is global.
 */
#include "pause.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define LIMIT_DEFAULT (64ul << 20)

enum phase {
    OFF,                                /* libxc's own way, for good */
    SEED,                               /* until the dirty log is taken in a pause */
    PAUSED,                             /* the seed's last pages */
    STATE,                              /* libxc asks for and writes the seed's state */
    READY,                              /* that was understood */
};

static struct {
    enum phase phase;
    bool found;                         /* xc is filled */
    struct xc_functions xc;
    xentoollog_logger *logger;
    xc_interface *xch;
    uint32_t domid;
    int fd;
    const struct xc_callbacks *callbacks;
    struct buffer buffer;
    struct pages pages;
    struct state state;
} own;

/* ---- libxc's functions, and what is said to libxl ------------------------------------------- */

/* false: one is missing. */
static bool find_functions(void)
{
    bool all = true;

#define X(type, name, args) \
    *(void **)&own.xc.name = dlsym(RTLD_NEXT, #name); \
    all &= own.xc.name != NULL;
    XC_FUNCTIONS(X)
#undef X
    own.found = true;
    return all;
}

static void say(int level, const char *text, const char *why)
{
    if (own.logger && own.xc.xtl_log)
        own.xc.xtl_log(own.logger, level, -1, "tsremus", "%s%s%s", text, why ? ": " : "",
                       why ? why : "");
}

static void leave_to_libxc(const char *why)
{
    own.phase = OFF;
    say(XTL_WARN, "checkpoints are libxc's own", why);
}

/* ---- the loop -------------------------------------------------------------------------------- */

/* The guest is suspended, its dirty log taken: all of the epoch into the buffer. */
static bool copy_epoch(const uint64_t *bits, uint64_t count)
{
    return pages_put(&own.pages, bits, count, &own.buffer) &&
           state_put(&own.state, &own.buffer);
}

/* false: the save has failed. */
static bool resume_and_write(const uint8_t *tsc)
{
    const struct record head = { REC_TSC_INFO, 24 };
    uint8_t again[sizeof(head) + 24];
    bool written;

    if (own.callbacks->postcopy(own.callbacks->data) <= 0)
        return false;
    memcpy(again, &head, sizeof(head));
    memcpy(again + sizeof(head), tsc, 24);
    written = write_all(own.fd, again, sizeof(again));
    pages_unmap(&own.pages);
    if (!written || !buffer_put_record(&own.buffer, REC_CHECKPOINT, NULL, 0) ||
        !buffer_flush(&own.buffer))
        return false;
    buffer_grow(&own.buffer);
    return own.callbacks->checkpoint(own.callbacks->data) > 0;
}

/* The mark of a suspended guest, ahead of all else of its epoch. */
static bool write_tsc(uint8_t *tsc)
{
    const struct record head = { REC_TSC_INFO, 24 };

    return state_tsc(&own.state, tsc) && write_all(own.fd, &head, sizeof(head)) &&
           write_all(own.fd, tsc, 24);
}

/*
 * Makes checkpoints until the save ends, in place of libxc's call for the dirty log with these
 * arguments. Returns as that would: it failed, or libxc is to make this checkpoint and those
 * behind it.
 */
static long long make_checkpoints(unsigned op, struct xc_buffer *buffer, unsigned long count,
                                  unsigned mode, struct xc_stats *stats)
{
    const struct xc_buffer *real = buffer;
    uint8_t tsc[24];
    long long rc;

    while (real->param_shadow)
        real = real->param_shadow;
    if (!write_tsc(tsc))
        return -1;
    for (;;) {
        if (!copy_epoch(real->hbuf, count)) {
            int saved = errno;

            pages_unmap(&own.pages);
            buffer_drop(&own.buffer);
            leave_to_libxc(strerror(saved));
            return (long long)count;
        }
        if (!resume_and_write(tsc))
            return -1;
        if (!own.callbacks->suspend(own.callbacks->data) || !write_tsc(tsc))
            return -1;
        *stats = (struct xc_stats){ 0, 0 };
        rc = own.xc.xc_logdirty_control(own.xch, own.domid, op, buffer, count, mode, stats);
        if (rc != (long long)count)
            return rc;
    }
}

/* ---- what is interposed ---------------------------------------------------------------------- */

EXPORT long long xc_logdirty_control(xc_interface *xch, uint32_t domid, unsigned op,
                                     struct xc_buffer *buffer, unsigned long count,
                                     unsigned mode, struct xc_stats *stats)
{
    long long rc = own.xc.xc_logdirty_control(xch, domid, op, buffer, count, mode, stats);

    /* XEN_DOMCTL_SHADOW_LOGDIRTY_FINAL is the one mode there is: the guest is suspended. */
    if (!mode || rc != (long long)count)
        return rc;
    if (own.phase == SEED)
        own.phase = PAUSED;
    else if (own.phase == READY)
        return make_checkpoints(op, buffer, count, mode, stats);
    else if (own.phase != OFF)
        leave_to_libxc("the seed's end was not understood");
    return rc;
}

EXPORT int xc_domain_get_tsc_info(xc_interface *xch, uint32_t domid, uint32_t *mode,
                                  uint64_t *nsec, uint32_t *khz, uint32_t *incarnation)
{
    if (own.phase == PAUSED)
        own.phase = STATE;
    return own.xc.xc_domain_get_tsc_info(xch, domid, mode, nsec, khz, incarnation);
}

EXPORT int xc_hvm_param_get(xc_interface *xch, uint32_t domid, uint32_t param, uint64_t *value)
{
    if (own.phase == STATE)
        state_learn_param(&own.state, param);
    return own.xc.xc_hvm_param_get(xch, domid, param, value);
}

/* libxc has written so much of DATA: is that all of the seed? */
static void learn(int fd, const struct iovec *data, int count, ssize_t written)
{
    const char *wrong;
    int i;

    if (own.phase != STATE || fd != own.fd || written <= 0)
        return;
    for (i = 0; i < count && written > 0; i++) {
        size_t n = data[i].iov_len;

        if (n > (size_t)written)
            n = (size_t)written;
        state_learn_bytes(&own.state, data[i].iov_base, n);
        written -= (ssize_t)n;
    }
    if (!state_learned(&own.state))
        return;
    /* What is asked for meanwhile is not libxc's question. */
    own.phase = OFF;
    wrong = state_compare(&own.state);
    if (wrong) {
        leave_to_libxc(wrong);
        return;
    }
    own.phase = READY;
    say(XTL_NOTICE, "checkpoints are written after the guest was resumed", NULL);
}

EXPORT ssize_t write(int fd, const void *data, size_t size)
{
    const struct iovec all = { (void *)data, size };
    ssize_t n = syscall(SYS_write, fd, data, size);
    int saved = errno;

    learn(fd, &all, 1, n);
    errno = saved;
    return n;
}

EXPORT ssize_t writev(int fd, const struct iovec *data, int count)
{
    ssize_t n = syscall(SYS_writev, fd, data, count);
    int saved = errno;

    learn(fd, data, count, n);
    errno = saved;
    return n;
}

EXPORT xc_interface *xc_interface_open(xentoollog_logger *logger, xentoollog_logger *builders,
                                       unsigned flags)
{
    if (!own.found)
        find_functions();
    own.logger = logger;
    return own.xc.xc_interface_open(logger, builders, flags);
}

static size_t limit_of_environment(void)
{
    const char *text = getenv("_TSREMUS_PAUSE_BYTES");
    unsigned long bytes = text ? strtoul(text, NULL, 10) : 0;

    return bytes ? bytes : LIMIT_DEFAULT;
}

EXPORT int xc_domain_save(xc_interface *xch, int fd, uint32_t domid, uint32_t flags,
                          struct xc_callbacks *callbacks, int type, int back_fd)
{
    bool all = find_functions();

    own.xch = xch;
    own.domid = domid;
    own.fd = fd;
    own.callbacks = callbacks;
    if (type != XC_STREAM_REMUS)
        return own.xc.xc_domain_save(xch, fd, domid, flags, callbacks, type, back_fd);
    if (!all)
        leave_to_libxc("this libxc lacks a function");
    else if (!buffer_open(&own.buffer, fd, limit_of_environment()) ||
             !pages_open(&own.pages, &own.xc, xch, domid) ||
             !state_open(&own.state, &own.xc, xch, domid))
        leave_to_libxc(strerror(errno));
    else
        own.phase = SEED;
    return own.xc.xc_domain_save(xch, fd, domid, flags, callbacks, type, back_fd);
}
