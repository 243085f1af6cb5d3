/*
 * libxl_domain_remus_start, the libxl side: suspending and resuming, libxl's
 * own records, the checkpoint timer. Runs inside afterpoll only.
 */
#define _GNU_SOURCE
#include "save.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct sx_save *of(struct sx_op *op)
{
    return (struct sx_save *)op;
}

static int save_fds(struct sx_op *op, struct pollfd *out, int max)
{
    struct sx_save *s = of(op);
    int n = 0;

    if (max < 2)
        return 0;
    if (s->started)
        out[n++] = (struct pollfd){ s->helper.questions[0], POLLIN, 0 };
    if (s->out_done < s->out.used)
        out[n++] = (struct pollfd){ s->fd, POLLOUT, 0 };
    return n;
}

/*
 * Every end of a Remus operation leads through the tear-down of its devices,
 * and libxl reports how *that* went (remus_teardown_done): 0, whatever went
 * wrong before, unless the operation was aborted.
 */
static void finish(struct sx_save *s)
{
    struct sx_fault f;
    int rc = s->op.aborting ? ERROR_ABORTED : 0;

    sx_helper_stop(&s->helper);
    sx_helper_join(&s->helper);
    s->started = false;
    s->op.ctx->waits_left |= s->waits || s->op.timer;
    s->out.used = s->out_done = 0;
    sx_log(s->op.ctx, XTL_WARN, "Domain %u:Remus: Domain suspend terminated"
           " with rc %d, teardown Remus devices...", s->op.domid,
           s->op.aborting ? ERROR_ABORTED : s->rc);
    if (sx_fault(s->d.host, "save.end", s->name, s->epoch, &f) && f.fail)
        rc = f.rc;
    sx_op_complete(&s->op, rc);
}

/* How the guest stands after its wait: 1 if properly suspended. */
static int suspended(struct sx_save *s, int waited)
{
    struct sx_state *st = s->d.st;
    int reason = (int)atomic_load(&st->shutdown_reason);

    if (waited) {
        sx_log(s->op.ctx, XTL_ERROR, "Domain %u:guest did not suspend, timed"
               " out", s->op.domid);
        s->rc = ERROR_GUEST_TIMEDOUT;
        return 0;
    }
    if (atomic_load(&st->phase) == SX_DYING || !atomic_load(&st->shutdown)) {
        sx_log(s->op.ctx, XTL_ERROR, "Domain %u:guest we were suspending has"
               " been destroyed", s->op.domid);
        s->rc = ERROR_FAIL;
        return 0;
    }
    if (reason != SX_SUSPEND) {
        sx_log(s->op.ctx, XTL_ERROR, "Domain %u:guest we were suspending has"
               " shut down with unexpected reason code %d", s->op.domid,
               reason);
        s->rc = ERROR_FAIL;
        return 0;
    }
    return 1;
}

static int resume(struct sx_save *s)
{
    struct sx_fault f;

    if ((sx_fault(s->d.host, "save.resume", s->name, s->epoch, &f) &&
         f.fail) || sx_domain_resume(s->d.st)) {
        sx_log(s->op.ctx, XTL_ERROR, "Domain %u:xc_domain_resume failed",
               s->op.domid);
        s->rc = ERROR_FAIL;
        return 0;
    }
    return 1;
}

/* In the words of native/pause/pause.c. */
static void say_helper(struct sx_save *s)
{
    if (s->d.st->type == SX_PV)
        sx_log_as(s->op.ctx, XTL_WARN, "tsremus",
                  "checkpoints are libxc's own: libxc writes other records");
    else if (!s->own)
        sx_log_as(s->op.ctx, XTL_WARN, "tsremus",
                  "checkpoints are libxc's own: Cannot allocate memory");
    else
        sx_log_as(s->op.ctx, XTL_NOTICE, "tsremus",
                  "checkpoints are written after the guest was resumed");
}

static void answer_question(struct sx_save *s)
{
    struct sx_state *st = s->d.st;
    struct sx_fault f;
    struct sx_question q;

    if (!sx_helper_question(&s->helper, &q))
        return;
    switch (q.what) {
    case SX_ASK_SUSPEND:
        if (sx_fault_peek(s->d.host, "guest.suspend", s->name, s->epoch, &f))
            atomic_store(&st->suspend_stall_ms, (uint32_t)f.stall_ms);
        else
            atomic_store(&st->suspend_stall_ms, 0);
        s->waits = true;
        atomic_store(&st->suspend_request, 1);
        sx_changed(st);
        sx_helper_answer(&s->helper, 1);
        return;
    case SX_ASK_SUSPENDED:
        s->waits = false;
        sx_helper_answer(&s->helper, suspended(s, q.arg));
        return;
    case SX_ASK_POSTCOPY:
        sx_helper_answer(&s->helper, resume(s));
        return;
    case SX_ASK_SAY:
        say_helper(s);
        sx_helper_answer(&s->helper, 1);
        return;
    case SX_ASK_CHECKPOINT:
        s->out.used = s->out_done = 0;
        sx_records_checkpoint_end(&s->out, st);
        return;
    default: /* SX_ASK_DONE */
        if (!s->rc)
            s->rc = q.arg < 0 ? q.arg : ERROR_FAIL;
        finish(s);
    }
}

static void begin_thread(struct sx_save *s)
{
    if (sx_helper_start(&s->helper, sx_save_thread, s)) {
        s->rc = ERROR_FAIL;
        finish(s);
        return;
    }
    s->started = true;
}

/* The epoch is committed: the helper is answered when the interval is over, or dies. */
static void wait_for_next(struct sx_save *s)
{
    struct sx_fault f;

    sx_op_timer(&s->op, s->interval_ms);
    if (sx_fault(s->d.host, "save.wait", s->name, s->epoch, &f) && f.fail) {
        s->rc = f.rc;
        sx_helper_stop(&s->helper);
    }
}

/*
 * The descriptor may be a blocking one. As much as a pipe that is ready to
 * be written surely takes at once, then look again.
 */
static void write_some(struct sx_save *s)
{
    struct pollfd p = { s->fd, POLLOUT, 0 };

    while (s->out_done < s->out.used && poll(&p, 1, 0) > 0) {
        size_t piece = SX_MIN(s->out.used - s->out_done, (size_t)PIPE_BUF);
        ssize_t n = write(s->fd, s->out.data + s->out_done, piece);

        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            return;
        if (n < 0) {
            sx_log(s->op.ctx, XTL_ERROR, "Domain %u:write to the stream"
                   " failed: %s", s->op.domid, strerror(errno));
            s->rc = ERROR_FAIL;
            sx_helper_stop(&s->helper);
            s->out_done = s->out.used;
            if (!s->started)
                finish(s);
            return;
        }
        s->out_done += (size_t)n;
    }
    if (s->out_done < s->out.used)
        return;
    if (!s->started)
        begin_thread(s);
    else
        wait_for_next(s);
}

static void save_ready(struct sx_op *op, int fd, short revents)
{
    struct sx_save *s = of(op);

    (void)revents;
    if (s->started && fd == s->helper.questions[0])
        answer_question(s);
    else
        write_some(s);
}

static void save_timeout(struct sx_op *op)
{
    sx_helper_answer(&of(op)->helper, 1);
}

/* The helper is stopped wherever it is. A guest that was asked to suspend
 * still does so later, and one that is suspended stays it: as with libxl, the
 * caller has to look. */
static void save_abort(struct sx_op *op)
{
    struct sx_save *s = of(op);

    op->timer = false;
    if (!s->started) {
        s->rc = ERROR_ABORTED;
        finish(s);
        return;
    }
    s->out_done = s->out.used;
    sx_helper_stop(&s->helper);
}

static void save_free(struct sx_op *op)
{
    struct sx_save *s = of(op);

    sx_helper_stop(&s->helper);
    sx_helper_join(&s->helper);
    sx_buffer_free(&s->out);
    sx_domain_unmap(&s->d);
    free(s);
}

static const struct sx_op_kind save_kind = {
    .name = "remus_start", .forks = true,
    .fds = save_fds, .ready = save_ready,
    .timeout = save_timeout, .abort = save_abort, .free = save_free,
};

/* What libxl refuses before it starts. */
static int check_info(libxl_ctx *ctx, const libxl_domain_remus_info *info)
{
    bool unsafe = info->blackhole.val > 0 || info->netbuf.val < 0 ||
        info->diskbuf.val < 0;

    if (!info->colo.val) {
        sx_log(ctx, XTL_ERROR, "Colo mode must be enabled/disabled");
        return ERROR_FAIL;
    }
    if (unsafe && info->allow_unsafe.val <= 0) {
        sx_log(ctx, XTL_ERROR, "Unsafe mode must be enabled to replicate to"
               " /dev/null, disable network buffering and disk replication");
        return ERROR_FAIL;
    }
    if (info->colo.val > 0 || info->netbuf.val >= 0) {
        sx_log(ctx, XTL_ERROR, "Remus: No support for %s",
               info->colo.val > 0 ? "COLO" : "network buffering");
        return ERROR_FAIL;
    }
    return 0;
}

/* As in libxenlight its own program's path is compiled in, for whoever looks for it. */
static const char stock_helper[] = "/usr/lib/simxl/bin/libxl-save-helper";

static struct sx_save *save_new(libxl_ctx *ctx, uint32_t domid)
{
    const char *limit = getenv("SIMXL_SUSPEND_TIMEOUT_MS");
    const char *helper = getenv("LIBXL_SAVE_HELPER");
    const char *bytes = getenv("_TSREMUS_PAUSE_BYTES");
    struct sx_save *s = calloc(1, sizeof(*s));

    if (!s)
        return NULL;
    if (sx_helper_init(&s->helper))
        goto fail;
    if (sx_domain_map(ctx->host, domid, SX_MAP_MEMORY, &s->d) ||
        !sx_domain_exists(&s->d)) {
        sx_helper_join(&s->helper);
        sx_domain_unmap(&s->d);
        goto fail;
    }
    memcpy(s->name, s->d.st->name, sizeof(s->name));
    s->own_bytes = bytes ? strtoul(bytes, NULL, 10) : SIZE_MAX;
    s->own = helper && *helper && strcmp(helper, stock_helper);
    s->suspend_timeout_ms = limit ? atol(limit) : 60000;
    s->op.domid = domid;
    return s;

fail:
    free(s);
    return NULL;
}

SX_API int libxl_domain_remus_start(libxl_ctx *ctx,
                                    libxl_domain_remus_info *info,
                                    uint32_t domid, int send_fd, int recv_fd,
                                    const libxl_asyncop_how *ao_how)
{
    struct sx_save *s;
    int rc;

    (void)recv_fd;
    if (sx_fault_rc(ctx, "libxl_domain_remus_start", domid, &rc))
        return rc;
    if (sx_would_hang(ctx, ao_how))
        return ERROR_FAIL;
    s = save_new(ctx, domid);
    if (!s)
        return ERROR_FAIL;
    rc = check_info(ctx, info);
    if (rc) {
        save_free(&s->op);
        return rc;
    }
    s->fd = send_fd;
    s->interval_ms = info->interval;
    sx_records_libxl_start(&s->out);
    sx_lock(ctx);
    sx_op_start(ctx, &s->op, &save_kind, ao_how);
    return sx_op_return(ctx, &s->op);
}
