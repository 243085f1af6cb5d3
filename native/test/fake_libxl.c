/*
 * The fake libxenlight: contexts and its event loop.
 */
#include "fake.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define XL_FAIL (-3)
#define XL_INVAL (-6)
#define XL_BUFFERFULL (-13)
#define XL_NOTFOUND (-23)
#define XL_DOMAIN_NOTFOUND (-21)

static struct fake_world world = {
    .guest_type = PV,
    .seed_pages = 64,
    .epoch_pages = 16,
    .emulator_bytes = 64,
    .die_at_epoch = -1,
    .die_waiting_at_epoch = -1,
    .poweroff_at_epoch = -1,
    .break_at_epoch = -1,
    .late_suspend_ms = -1,
    .shutdown_reason = -1,
};

struct fake_world *fake_world(void)
{
    return &world;
}

/* ---- logger: what xtl_createlogger_stdiostream makes ----------------------- */

struct logger {
    FILE *f;
};

void *xtl_createlogger_stdiostream(FILE *f, int min_level, unsigned flags);
void *xtl_createlogger_stdiostream(FILE *f, int min_level, unsigned flags)
{
    struct logger *logger = malloc(sizeof(*logger));

    (void)min_level;
    (void)flags;
    logger->f = f;
    return logger;
}

void xtl_logger_destroy(void *logger);
void xtl_logger_destroy(void *logger)
{
    free(logger);
}

void fake_log(fake_ctx *ctx, const char *level, const char *text)
{
    struct logger *logger = ctx->logger;

    fprintf(logger->f, "libxl: ");
    fprintf(logger->f, "%s: ", level);
    fprintf(logger->f, "libxl_fake.c:1:fake_function: %s\n", text);
    fflush(logger->f);
}

/* ---- contexts --------------------------------------------------------------- */

int libxl_ctx_alloc(fake_ctx **out, int version, unsigned flags, void *logger);
int libxl_ctx_alloc(fake_ctx **out, int version, unsigned flags, void *logger)
{
    pthread_mutexattr_t attr;
    fake_ctx *ctx;

    (void)flags;
    if (version)
        return XL_FAIL;
    ctx = calloc(1, sizeof(*ctx));
    ctx->logger = logger;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&ctx->lock, &attr);
    world.contexts++;
    if (getenv("FAKE_NO_XEN")) {
        fake_log(ctx, "error", "Could not obtain handle on privileged command "
                 "interface: No such file or directory");
        free(ctx);
        return XL_FAIL;
    }
    *out = ctx;
    return 0;
}

int libxl_ctx_free(fake_ctx *ctx);
int libxl_ctx_free(fake_ctx *ctx)
{
    int i;

    if (ctx->op)
        abort();                        /* an operation is in progress */
    for (i = 0; i < FAKE_WATCHES; i++)
        if (ctx->watches[i].on)
            abort();
    for (i = 0; i < FAKE_TIMERS; i++)
        if (ctx->timers[i].on)
            abort();
    world.contexts--;
    free(ctx);
    return 0;
}

void libxl_event_register_callbacks(fake_ctx *ctx, const void *hooks,
                                    void *user);
void libxl_event_register_callbacks(fake_ctx *ctx, const void *hooks,
                                    void *user)
{
    ctx->hooks = hooks;
    ctx->hooks_user = user;
}

void libxl_childproc_setmode(fake_ctx *ctx, const int *hooks, void *user);
void libxl_childproc_setmode(fake_ctx *ctx, const int *hooks, void *user)
{
    (void)user;
    ctx->owner = *hooks;
}

/* ---- watches, timers, operations --------------------------------------------- */

void fake_watch_on(fake_ctx *ctx, int fd, short events,
                   void (*ready)(fake_ctx *, struct fake_watch *), void *data)
{
    int i;

    for (i = 0; i < FAKE_WATCHES; i++) {
        if (ctx->watches[i].on)
            continue;
        ctx->watches[i] = (struct fake_watch){ fd, events, ready, data, true };
        return;
    }
    abort();
}

void fake_watch_off(fake_ctx *ctx, int fd)
{
    int i;

    for (i = 0; i < FAKE_WATCHES; i++)
        if (ctx->watches[i].on && ctx->watches[i].fd == fd)
            ctx->watches[i].on = false;
}

void fake_timer_on(fake_ctx *ctx, int ms, void (*fired)(fake_ctx *, void *),
                   void *data)
{
    struct timeval now, d = { ms / 1000, ms % 1000 * 1000 };
    int i;

    gettimeofday(&now, NULL);
    for (i = 0; i < FAKE_TIMERS; i++) {
        if (ctx->timers[i].on)
            continue;
        timeradd(&now, &d, &ctx->timers[i].at);
        ctx->timers[i].fired = fired;
        ctx->timers[i].data = data;
        ctx->timers[i].on = true;
        return;
    }
    abort();
}

bool fake_timer_off(fake_ctx *ctx, void (*fired)(fake_ctx *, void *))
{
    int i;

    for (i = 0; i < FAKE_TIMERS; i++)
        if (ctx->timers[i].on && ctx->timers[i].fired == fired) {
            ctx->timers[i].on = false;
            return true;
        }
    return false;
}

void fake_op_start(fake_ctx *ctx, struct fake_op *op, const struct fake_how *how)
{
    if (!how || !how->callback || ctx->op)
        abort();                        /* synchronous, or a second one */
    op->how = *how;
    op->complete = false;
    ctx->op = op;
}

void fake_op_complete(fake_ctx *ctx, struct fake_op *op, int rc)
{
    op->rc = rc;
    op->complete = true;
    ctx->op = NULL;
    op->how.callback(ctx, rc, op->how.for_callback);
}

void libxl_childproc_sigchld_occurred(fake_ctx *ctx);
void libxl_childproc_sigchld_occurred(fake_ctx *ctx)
{
    struct fake_op *op;

    if (ctx->owner != 1)
        abort();
    pthread_mutex_lock(&ctx->lock);
    op = ctx->op;
    if (op && op->finish && op->child_exited && !op->child_reaped) {
        op->child_reaped = true;
        world.reaped++;
        op->finish(ctx, op);
    }
    pthread_mutex_unlock(&ctx->lock);
}

int libxl_ao_abort(fake_ctx *ctx, const struct fake_how *how);
int libxl_ao_abort(fake_ctx *ctx, const struct fake_how *how)
{
    int rc = XL_NOTFOUND;

    pthread_mutex_lock(&ctx->lock);
    if (ctx->op && ctx->op->how.callback == how->callback &&
        ctx->op->how.for_callback == how->for_callback) {
        world.aborts++;
        ctx->op->abort(ctx, ctx->op);
        rc = 0;
    }
    pthread_mutex_unlock(&ctx->lock);
    return rc;
}

/* ---- the event loop ------------------------------------------------------------ */

int libxl_osevent_beforepoll(fake_ctx *ctx, int *nfds, struct pollfd *fds,
                             int *timeout, struct timeval now);
int libxl_osevent_beforepoll(fake_ctx *ctx, int *nfds, struct pollfd *fds,
                             int *timeout, struct timeval now)
{
    struct timeval rel;
    int i, n = 0, ms, room = *nfds;

    pthread_mutex_lock(&ctx->lock);
    for (i = 0; i < FAKE_WATCHES; i++) {
        if (!ctx->watches[i].on)
            continue;
        if (n < room)
            fds[n] = (struct pollfd){ ctx->watches[i].fd,
                                      ctx->watches[i].events, 0 };
        n++;
    }
    for (i = 0; i < FAKE_TIMERS; i++) {
        if (!ctx->timers[i].on)
            continue;
        timersub(&ctx->timers[i].at, &now, &rel);
        ms = rel.tv_sec < 0 ? 0 : (int)(rel.tv_sec * 1000 +
                                        (rel.tv_usec + 999) / 1000);
        if (*timeout < 0 || ms < *timeout)
            *timeout = ms;
    }
    pthread_mutex_unlock(&ctx->lock);
    *nfds = n;
    return n <= room ? 0 : XL_BUFFERFULL;
}

static bool was_ready(const struct pollfd *fds, int nfds, int fd, short events)
{
    struct pollfd again = { fd, events, 0 };
    int i;

    for (i = 0; i < nfds; i++)
        if (fds[i].fd == fd && fds[i].revents)
            /* libxl polls again before it calls back. */
            return poll(&again, 1, 0) == 1;
    return false;
}

void libxl_osevent_afterpoll(fake_ctx *ctx, int nfds, const struct pollfd *fds,
                             struct timeval now);
void libxl_osevent_afterpoll(fake_ctx *ctx, int nfds, const struct pollfd *fds,
                             struct timeval now)
{
    struct fake_watch *due[FAKE_WATCHES];
    int i, n = 0;

    pthread_mutex_lock(&ctx->lock);
    if (world.disaster)
        ctx->hooks->disaster(ctx->hooks_user, 0, "unexpected poll event", 0);
    for (i = 0; i < FAKE_WATCHES; i++)
        if (ctx->watches[i].on && was_ready(fds, nfds, ctx->watches[i].fd,
                                            ctx->watches[i].events))
            due[n++] = &ctx->watches[i];
    for (i = 0; i < n; i++)
        if (due[i]->on)
            due[i]->ready(ctx, due[i]);
    for (i = 0; i < FAKE_TIMERS; i++) {
        if (!ctx->timers[i].on || timercmp(&ctx->timers[i].at, &now, >))
            continue;
        ctx->timers[i].on = false;
        ctx->timers[i].fired(ctx, ctx->timers[i].data);
    }
    pthread_mutex_unlock(&ctx->lock);
}

/* ---- helpers of the operations --------------------------------------------------- */

bool fake_write(int fd, const void *data, size_t size, atomic_bool *stop)
{
    const char *p = data;

    while (size) {
        struct pollfd pfd = { fd, POLLOUT, 0 };
        ssize_t r;

        if (*stop)
            return false;
        if (fcntl(fd, F_GETFL) & O_NONBLOCK)
            world.helper_saw_nonblock++;
        if (poll(&pfd, 1, 20) != 1)
            continue;
        /* One page: never waits after POLLOUT, so that *STOP is seen. */
        r = write(fd, p, size < 4096 ? size : 4096);
        if (r < 0)
            return false;
        p += r;
        size -= (size_t)r;
    }
    return true;
}

bool fake_read(int fd, void *data, size_t size, atomic_bool *stop)
{
    char *p = data;

    while (size) {
        struct pollfd pfd = { fd, POLLIN, 0 };
        ssize_t r;

        if (*stop)
            return false;
        if (poll(&pfd, 1, 20) != 1)
            continue;
        r = read(fd, p, size);
        if (!r)
            world.ends_of_file++;
        if (r <= 0)
            return false;
        p += r;
        size -= (size_t)r;
    }
    return true;
}

void fake_check_resume(int stream_fd)
{
    int waiting = 0;

    if (ioctl(stream_fd, FIONREAD, &waiting) || waiting)
        world.resumed_undrained++;
    if (world.barriers != world.suspends)
        world.resumed_before_barrier++;
    world.resumes_served++;
    fake_note(&world, 'R');
}
