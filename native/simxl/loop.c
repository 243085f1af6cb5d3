/*
 * libxl's event loop: operations that make progress only inside calls of the
 * application. As in libxl,
 *
 *  - an operation with an ao_how advances in libxl_osevent_afterpoll alone,
 *  - timers are set by the real clock and fire by the `now` that is passed
 *    in, so that an application which holds `now` back holds the timer,
 *  - a synchronous call serves every operation of its context meanwhile,
 *  - completion callbacks come from inside these calls, context unlocked,
 *  - where the main loop owns SIGCHLD, an operation for which libxl starts a
 *    child is over only after libxl_childproc_sigchld_occurred.
 */
#define _GNU_SOURCE
#include "xl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FDS_MAX 64

void sx_op_start(libxl_ctx *ctx, struct sx_op *op,
                 const struct sx_op_kind *kind, const libxl_asyncop_how *how)
{
    struct sx_op **last = &ctx->ops;

    op->ctx = ctx;
    op->kind = kind;
    op->sync = !how;
    if (how)
        op->how = *how;
    while (*last)
        last = &(*last)->next;
    *last = op;
}

static void wake(struct sx_op *op)
{
    char c = 0;

    /* Another thread may be in poll() on this context. */
    if (write(op->ctx->wakeup[1], &c, 1) < 0)
        return; /* full: it is awake anyway */
}

static bool main_loop_reaps(const libxl_ctx *ctx)
{
    return ctx->child_hooks.chldowner == SIGCHLD_OWNER_MAINLOOP;
}

void sx_op_complete(struct sx_op *op, int rc)
{
    if (op->done || op->exited)
        return;
    op->timer = false;
    op->rc = rc;
    if (op->kind->forks && main_loop_reaps(op->ctx)) {
        op->exited = true;
        return;
    }
    sx_log(op->ctx, XTL_DEBUG, "ao %s: complete, rc=%d", op->kind->name, rc);
    op->done = true;
    wake(op);
}

/* By the real clock, as libxl does, whatever `now` the application shows. */
void sx_op_timer(struct sx_op *op, long ms)
{
    struct timeval now, add = { ms / 1000, (ms % 1000) * 1000 };

    gettimeofday(&now, NULL);
    timeradd(&now, &add, &op->timer_at);
    op->timer = true;
}

static void unlink_op(libxl_ctx *ctx, struct sx_op *op)
{
    for (struct sx_op **at = &ctx->ops; *at; at = &(*at)->next)
        if (*at == op) {
            *at = op->next;
            return;
        }
}

/* Called unlocked: the callback may call libxl. */
static void deliver(libxl_ctx *ctx)
{
    for (;;) {
        struct sx_op *op;

        sx_lock(ctx);
        for (op = ctx->ops; op && (!op->done || op->sync); op = op->next)
            ;
        if (op)
            unlink_op(ctx, op);
        sx_unlock(ctx);
        if (!op)
            return;
        if (op->how.callback)
            op->how.callback(ctx, op->rc, op->how.u.for_callback);
        else
            sx_log(ctx, XTL_WARN, "simxl: no events are kept; an ao_how needs"
                   " a callback");
        op->kind->free(op);
    }
}

static int timeout_ms(libxl_ctx *ctx, struct timeval now, int upd)
{
    for (struct sx_op *op = ctx->ops; op; op = op->next) {
        struct timeval left;
        int ms = 0;

        if (!op->timer || op->done)
            continue;
        if (timercmp(&op->timer_at, &now, >)) {
            timersub(&op->timer_at, &now, &left);
            ms = left.tv_sec > 2000000
                ? 2000000000
                : (int)(left.tv_sec * 1000 + (left.tv_usec + 999) / 1000);
        }
        if (upd < 0 || ms < upd)
            upd = ms;
    }
    return upd;
}

static int list_fds(libxl_ctx *ctx, struct pollfd *out)
{
    int n = 0;

    out[n++] = (struct pollfd){ ctx->wakeup[0], POLLIN, 0 };
    for (struct sx_op *op = ctx->ops; op; op = op->next)
        if (!op->done && !op->exited && op->kind->fds)
            n += op->kind->fds(op, out + n, FDS_MAX - n);
    return n;
}

SX_API int libxl_osevent_beforepoll(libxl_ctx *ctx, int *nfds_io,
                                    struct pollfd *fds, int *timeout_upd,
                                    struct timeval now)
{
    struct pollfd all[FDS_MAX];
    int n, room = *nfds_io;

    sx_lock(ctx);
    n = list_fds(ctx, all);
    *timeout_upd = timeout_ms(ctx, now, *timeout_upd);
    sx_unlock(ctx);
    memcpy(fds, all, (size_t)SX_MIN(n, room) * sizeof(*fds));
    *nfds_io = n;
    return n > room ? ERROR_BUFFERFULL : 0;
}

/* One handler call per ready fd. The lists are made anew after each, because
 * a handler changes what its operation waits for. */
static void serve_fds(libxl_ctx *ctx, int nfds, const struct pollfd *fds)
{
    for (int i = 0; i < nfds; i++) {
        if (!fds[i].revents)
            continue;
        for (struct sx_op *op = ctx->ops; op; op = op->next) {
            struct pollfd wish[8];
            bool over = op->done || op->exited || !op->kind->fds;
            int n = over ? 0 : op->kind->fds(op, wish, 8);

            for (int k = 0; k < n; k++) {
                if (wish[k].fd != fds[i].fd || poll(&wish[k], 1, 0) <= 0)
                    continue;
                op->kind->ready(op, wish[k].fd, wish[k].revents);
                break;
            }
        }
    }
}

static void serve_timers(libxl_ctx *ctx, struct timeval now)
{
    for (struct sx_op *op = ctx->ops; op; op = op->next)
        if (op->timer && !op->done && !timercmp(&op->timer_at, &now, >)) {
            op->timer = false;
            op->kind->timeout(op);
        }
}

static void serve(libxl_ctx *ctx, int nfds, const struct pollfd *fds,
                  struct timeval now)
{
    char drain[64];

    serve_fds(ctx, nfds, fds);
    serve_timers(ctx, now);
    while (read(ctx->wakeup[0], drain, sizeof(drain)) > 0)
        ;
}

SX_API void libxl_osevent_afterpoll(libxl_ctx *ctx, int nfds,
                                    const struct pollfd *fds,
                                    struct timeval now)
{
    sx_lock(ctx);
    serve(ctx, nfds, fds, now);
    sx_unlock(ctx);
    deliver(ctx);
}

/* Gives the result of starting an operation: at once with an ao_how, else
 * after running the loop of the whole context until the operation is over. */
int sx_op_return(libxl_ctx *ctx, struct sx_op *op)
{
    int rc;

    if (!op->sync) {
        sx_unlock(ctx);
        return 0;
    }
    while (!op->done) {
        struct pollfd fds[FDS_MAX];
        struct timeval now;
        int n, timeout;

        n = list_fds(ctx, fds);
        gettimeofday(&now, NULL);
        timeout = timeout_ms(ctx, now, 1000);
        sx_unlock(ctx);
        if (poll(fds, (nfds_t)n, timeout) < 0)
            n = 0;
        gettimeofday(&now, NULL);
        sx_lock(ctx);
        serve(ctx, n, fds, now);
    }
    rc = op->rc;
    unlink_op(ctx, op);
    op->kind->free(op);
    sx_unlock(ctx);
    deliver(ctx);
    return rc;
}

static void free_plain(struct sx_op *op)
{
    free(op);
}

static int immediate(libxl_ctx *ctx, const libxl_asyncop_how *how, int rc,
                     const struct sx_op_kind *kind)
{
    struct sx_op *op;

    if (!how)
        return rc;
    op = calloc(1, sizeof(*op));
    if (!op)
        return ERROR_NOMEM;
    sx_lock(ctx);
    sx_op_start(ctx, op, kind, how);
    sx_op_complete(op, rc);
    sx_unlock(ctx);
    return 0;
}

/* The outcome of something that needed no waiting: returned, or called back
 * from the next afterpoll. */
int sx_op_immediate(libxl_ctx *ctx, const libxl_asyncop_how *how, int rc)
{
    static const struct sx_op_kind kind = { .name = "call",
                                            .free = free_plain };

    return immediate(ctx, how, rc, &kind);
}

/* The same for something that libxl does in a child process. */
int sx_op_forked(libxl_ctx *ctx, const libxl_asyncop_how *how, int rc)
{
    static const struct sx_op_kind kind = { .name = "call", .forks = true,
                                            .free = free_plain };

    return immediate(ctx, how, rc, &kind);
}

/* libxl would wait inside the call for a child that nobody reaps. */
bool sx_would_hang(libxl_ctx *ctx, const libxl_asyncop_how *how)
{
    if (how || !main_loop_reaps(ctx))
        return false;
    sx_log(ctx, XTL_CRITICAL, "simxl: this call would hang in libxl: it is"
           " synchronous, needs a child, and SIGCHLD is the main loop's");
    return true;
}

void sx_reap(libxl_ctx *ctx)
{
    sx_lock(ctx);
    for (struct sx_op *op = ctx->ops; op; op = op->next)
        if (op->exited && !op->done) {
            op->done = true;
            wake(op);
        }
    sx_unlock(ctx);
    deliver(ctx);
}

static bool same_how(const struct sx_op *op, const libxl_asyncop_how *how)
{
    if (!how || op->sync)
        return !how && op->sync;
    return how->callback == op->how.callback &&
        how->u.for_event == op->how.u.for_event;
}

SX_API int libxl_ao_abort(libxl_ctx *ctx, const libxl_asyncop_how *how)
{
    int rc = ERROR_NOTFOUND;
    struct sx_fault f;

    if (sx_fault(ctx->host, "libxl_ao_abort", NULL, -1, &f) && f.fail)
        return f.rc;
    sx_lock(ctx);
    for (struct sx_op *op = ctx->ops; op; op = op->next) {
        if (op->done || !op->kind->abort || !same_how(op, how))
            continue;
        if (op->aborting) {
            rc = ERROR_ABORTED;
            break;
        }
        op->aborting = true;
        if (!op->exited)
            op->kind->abort(op);
        rc = 0;
        break;
    }
    sx_unlock(ctx);
    return rc;
}
