/*
 * libxl's event loop, turned by us. beforepoll tells what libxl waits for, we
 * poll that together with what we wait for, afterpoll lets libxl serve it. Our
 * callbacks run inside of tsr_loop_serve, in the calling thread, since nobody
 * else uses the context.
 */
#include "internal.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#define FDS_START 64
#define FDS_MAX 65536
#define NS_PER_MS UINT64_C(1000000)

/*
 * A child's end is not seen by poll; we look at this pace. Often for a while
 * after the other end of one of libxl's pipes has gone (its helper exits), and
 * otherwise only every loop->children_idle_ms: what else libxl is told, some
 * ten times an epoch, says nothing about children.
 */
#define CHILDREN_BUSY_MS 10
#define CHILDREN_BUSY_FOR_MS 300

/* How long an operation may take to end after it was told to. */
#define ABORT_MS 10000

void tsr_loop_init(struct tsr_loop *loop, struct tsr_ctx *ctx)
{
    *loop = (struct tsr_loop){
        .ctx = ctx,
        .children_idle_ms = TSR_CHILDREN_SOON_MS,
    };
}

void tsr_loop_dispose(struct tsr_loop *loop)
{
    free(loop->fds);
}

struct timeval tsr_loop_now(void)
{
    struct timeval now;

    /* libxl's timers are in wall-clock time, so ours has to be, too. */
    gettimeofday(&now, NULL);
    return now;
}

static int grow(struct tsr_loop *loop, int need)
{
    struct pollfd *fds;

    if (need <= loop->capacity)
        return 0;
    if (need < FDS_START)
        need = FDS_START;
    if (need > FDS_MAX)
        return tsr_fail(-EMFILE, "libxl waits for %d descriptors", need);
    fds = realloc(loop->fds, (size_t)need * sizeof(*fds));
    if (!fds)
        return tsr_fail(-ENOMEM, "out of memory");
    loop->fds = fds;
    loop->capacity = need;
    return 0;
}

/* Fills loop->fds with libxl's; reduces *TIMEOUT_MS. */
static int ask_libxl(struct tsr_loop *loop, struct timeval now, int extra_count,
                     int *timeout_ms)
{
    int rc, n;

    for (;;) {
        rc = grow(loop, extra_count + 1);
        if (rc < 0)
            return rc;
        n = loop->capacity - extra_count;
        rc = tsr_xl.libxl_osevent_beforepoll(loop->ctx->xl, &n, loop->fds,
                                             timeout_ms, now);
        if (!rc)
            break;
        if (rc != XL_BUFFERFULL)
            return tsr_fail(TSR_XL(rc), "libxl_osevent_beforepoll failed (%d)",
                            rc);
        rc = grow(loop, n + extra_count);
        if (rc < 0)
            return rc;
    }
    loop->used = n;
    return 0;
}

/* When to look at the children again, at the pace of now: it may have changed. */
static uint64_t children_due(struct tsr_loop *loop, uint64_t now)
{
    uint64_t pace_ms = now < loop->children_busy_ns ? CHILDREN_BUSY_MS
                                                    : loop->children_idle_ms;

    if (loop->children_due_ns > now + pace_ms * NS_PER_MS)
        loop->children_due_ns = now + pace_ms * NS_PER_MS;
    return loop->children_due_ns;
}

static int until_children(struct tsr_loop *loop)
{
    uint64_t now = tsr_now_ns();
    uint64_t due = children_due(loop, now);

    return due <= now ? 0 : (int)((due - now + NS_PER_MS - 1) / NS_PER_MS);
}

int tsr_loop_poll(struct tsr_loop *loop, bool serve, bool ignore_timers,
                  struct timeval now, struct pollfd *extra, int extra_count,
                  int timeout_ms)
{
    int timers_ms = -1, children_ms, r, i;
    bool ended = false;
    int rc;

    loop->used = 0;
    rc = grow(loop, extra_count + 1);
    if (rc < 0)
        return rc;
    if (serve) {
        rc = ask_libxl(loop, now, extra_count, &timers_ms);
        if (rc < 0)
            return rc;
        if (timers_ms >= 0 && !ignore_timers &&
            (timeout_ms < 0 || timers_ms < timeout_ms))
            timeout_ms = timers_ms;
        children_ms = until_children(loop);
        if (timeout_ms < 0 || children_ms < timeout_ms)
            timeout_ms = children_ms;
    }
    if (extra_count)
        memcpy(loop->fds + loop->used, extra,
               (size_t)extra_count * sizeof(*extra));
    r = poll(loop->fds, (nfds_t)(loop->used + extra_count), timeout_ms);
    if (r < 0 && errno != EINTR)
        return tsr_fail(-errno, "poll: %s", strerror(errno));
    for (i = 0; i < loop->used + extra_count; i++) {
        if (r < 0)
            loop->fds[i].revents = 0;
        if (i < loop->used && loop->fds[i].revents & (POLLHUP | POLLERR))
            ended = true;
    }
    if (ended)
        loop->children_busy_ns = tsr_now_ns() + CHILDREN_BUSY_FOR_MS * NS_PER_MS;
    if (extra_count)
        memcpy(extra, loop->fds + loop->used,
               (size_t)extra_count * sizeof(*extra));
    return 0;
}

void tsr_loop_serve(struct tsr_loop *loop, struct timeval now)
{
    uint64_t now_ns;

    tsr_xl.libxl_osevent_afterpoll(loop->ctx->xl, loop->used, loop->fds, now);
    loop->used = 0;

    now_ns = tsr_now_ns();
    if (now_ns < children_due(loop, now_ns))
        return;
    tsr_xl.libxl_childproc_sigchld_occurred(loop->ctx->xl);
    loop->children_due_ns = UINT64_MAX;
    children_due(loop, now_ns);
}

static void ao_done(libxl_ctx *ctx, int rc, void *for_callback)
{
    struct tsr_ao *ao = for_callback;

    (void)ctx;
    ao->rc = rc;
    ao->done = true;
}

void tsr_ao_init(struct tsr_ao *ao)
{
    *ao = (struct tsr_ao){ .how.callback = ao_done };
    ao->how.u.for_callback = ao;
}

int tsr_ao_run(struct tsr_ctx *ctx, struct tsr_ao *ao, int timeout_s)
{
    struct tsr_loop loop;
    uint64_t end_ns = tsr_now_ns() + (uint64_t)timeout_s * 1000 * NS_PER_MS;
    bool aborted = false;
    int rc = 0;

    tsr_loop_init(&loop, ctx);
    while (!ao->done) {
        rc = tsr_loop_poll(&loop, true, false, tsr_loop_now(), NULL, 0, 1000);
        if (rc < 0)
            break;
        tsr_loop_serve(&loop, tsr_loop_now());
        if (ao->done)
            break;
        if (ctx->disaster[0]) {
            /* libxl's events are broken: do not spin on a dead descriptor. */
            struct timespec pause = { .tv_nsec = 50 * 1000000 };

            nanosleep(&pause, NULL);
        }
        if (tsr_now_ns() < end_ns)
            continue;
        if (aborted) {
            rc = -ETIMEDOUT;
            break;
        }
        tsr_xl.libxl_ao_abort(ctx->xl, &ao->how);
        aborted = true;
        end_ns = tsr_now_ns() + ABORT_MS * NS_PER_MS;
    }
    tsr_loop_dispose(&loop);
    if (ao->done)
        return ao->rc;
    return rc < 0 ? -ETIMEDOUT : rc;
}
