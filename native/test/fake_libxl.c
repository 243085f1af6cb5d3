/*
 * The fake libxenlight: contexts, its event loop, short calls.
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
}

/* ---- short calls -------------------------------------------------------------------- */

int libxl_name_to_domid(fake_ctx *ctx, const char *name, uint32_t *domid);
int libxl_name_to_domid(fake_ctx *ctx, const char *name, uint32_t *domid)
{
    (void)ctx;
    if (!strcmp(name, "guest") && !world.gone) {
        *domid = FAKE_DOMID;
        return 0;
    }
    if (world.copy_exists && !strcmp(name, world.copy_name)) {
        *domid = FAKE_COPY_DOMID;
        return 0;
    }
    return XL_INVAL;
}

/* libxl_dominfo as we know it: who, and how it is. */
struct info {
    uint32_t domid;
    bool shutdown, suspended, paused;
    int reason;
};

void libxl_dominfo_init(void *info);
void libxl_dominfo_init(void *info)
{
    memset(info, 0, sizeof(struct info));
}

void libxl_dominfo_dispose(void *info);
void libxl_dominfo_dispose(void *info)
{
    memset(info, 0, sizeof(struct info));
}

int libxl_domain_info(fake_ctx *ctx, void *out, uint32_t domid);
int libxl_domain_info(fake_ctx *ctx, void *out, uint32_t domid)
{
    struct info *info = out;

    info->domid = domid;
    if (domid == FAKE_DOMID && !world.gone) {
        info->reason = world.suspended ? 2 : world.shutdown_reason;
        info->shutdown = info->reason >= 0;
        info->paused = world.paused;
        return 0;
    }
    if (domid == FAKE_COPY_DOMID && world.copy_exists) {
        info->paused = true;
        info->reason = -1;
        return 0;
    }
    fake_log(ctx, "error", "no such domain");
    return XL_DOMAIN_NOTFOUND;
}

char *libxl_dominfo_to_json(fake_ctx *ctx, void *info);
char *libxl_dominfo_to_json(fake_ctx *ctx, void *in)
{
    static const char *const reasons[] = { "poweroff", "reboot", "suspend",
                                           "crash" };
    struct info *info = in;
    char *json = NULL;

    (void)ctx;
    if (asprintf(&json,
                 "{\n    \"uuid\": \"x\",\n    \"domid\": %u,\n"
                 "    \"paused\": %s,\n    \"shutdown\": %s,\n"
                 "    \"dying\": false,\n    \"shutdown_reason\": \"%s\"\n}\n",
                 info->domid, info->paused ? "true" : "false",
                 info->shutdown ? "true" : "false",
                 info->shutdown ? reasons[info->reason] : "unknown") < 0)
        return NULL;
    return json;
}

int libxl_domain_rename(fake_ctx *ctx, uint32_t domid, const char *from,
                        const char *to);
int libxl_domain_rename(fake_ctx *ctx, uint32_t domid, const char *from,
                        const char *to)
{
    if (domid != FAKE_COPY_DOMID || strcmp(from, world.copy_name)) {
        fake_log(ctx, "error", "Domain 5:has another name");
        return XL_INVAL;
    }
    snprintf(world.copy_name, sizeof(world.copy_name), "%s", to);
    return 0;
}

/* ---- short operations: done after their child has been reaped ------------------------ */

struct short_op {
    struct fake_op op;
    uint32_t domid;
    enum { PAUSE, UNPAUSE, RESUME, DESTROY, CONFIG, CREATE } verb;
    void *config;
    uint32_t *domid_out;
};

static void short_finish(fake_ctx *ctx, struct fake_op *op)
{
    struct short_op *s = (struct short_op *)op;
    struct fake_how how = op->how;

    switch (s->verb) {
    case PAUSE:
        world.paused = true;
        break;
    case UNPAUSE:
        world.paused = false;
        break;
    case RESUME:
        world.suspended = false;
        world.resumes_called++;
        break;
    case DESTROY:
        if (s->domid == FAKE_COPY_DOMID)
            world.copy_exists = false;
        else
            world.gone = true;
        world.destroys++;
        break;
    case CONFIG:
        *(char **)s->config = strdup("{\"c_info\":{\"name\":\"guest\"}}");
        break;
    case CREATE:
        *s->domid_out = 12;
        break;
    }
    ctx->op = NULL;
    free(s);
    how.callback(ctx, 0, how.for_callback);
}

static void short_abort(fake_ctx *ctx, struct fake_op *op)
{
    struct fake_how how = op->how;

    ctx->op = NULL;
    free(op);
    how.callback(ctx, -22, how.for_callback);
}

static int start_short(fake_ctx *ctx, uint32_t domid, int verb,
                       const struct fake_how *how, void *config,
                       uint32_t *domid_out)
{
    struct short_op *s;

    if (verb != CREATE && domid != FAKE_DOMID && domid != FAKE_COPY_DOMID) {
        fake_log(ctx, "error", "Domain 77:no such domain");
        return XL_DOMAIN_NOTFOUND;
    }
    s = calloc(1, sizeof(*s));
    s->domid = domid;
    s->verb = (unsigned)verb;
    s->config = config;
    s->domid_out = domid_out;
    s->op.abort = short_abort;
    s->op.finish = short_finish;
    s->op.child_exited = true;
    pthread_mutex_lock(&ctx->lock);
    fake_op_start(ctx, &s->op, how);
    /* Pausing needs no child: it is done before the call returns. */
    if (verb == PAUSE)
        short_finish(ctx, &s->op);
    pthread_mutex_unlock(&ctx->lock);
    return 0;
}

int libxl_domain_pause(fake_ctx *ctx, uint32_t domid, const struct fake_how *how);
int libxl_domain_pause(fake_ctx *ctx, uint32_t domid, const struct fake_how *how)
{
    return start_short(ctx, domid, PAUSE, how, NULL, NULL);
}

int libxl_domain_unpause(fake_ctx *ctx, uint32_t domid,
                         const struct fake_how *how);
int libxl_domain_unpause(fake_ctx *ctx, uint32_t domid,
                         const struct fake_how *how)
{
    return start_short(ctx, domid, UNPAUSE, how, NULL, NULL);
}

int libxl_domain_resume(fake_ctx *ctx, uint32_t domid, int cancel,
                        const struct fake_how *how);
int libxl_domain_resume(fake_ctx *ctx, uint32_t domid, int cancel,
                        const struct fake_how *how)
{
    if (cancel != 1)
        abort();
    return start_short(ctx, domid, RESUME, how, NULL, NULL);
}

int libxl_domain_destroy(fake_ctx *ctx, uint32_t domid,
                         const struct fake_how *how);
int libxl_domain_destroy(fake_ctx *ctx, uint32_t domid,
                         const struct fake_how *how)
{
    return start_short(ctx, domid, DESTROY, how, NULL, NULL);
}

int libxl_retrieve_domain_configuration(fake_ctx *ctx, uint32_t domid,
                                        void *config, const struct fake_how *how);
int libxl_retrieve_domain_configuration(fake_ctx *ctx, uint32_t domid,
                                        void *config, const struct fake_how *how)
{
    return start_short(ctx, domid, CONFIG, how, config, NULL);
}

int libxl_domain_create_new(fake_ctx *ctx, void *config, uint32_t *domid,
                            const struct fake_how *how, const void *console);
int libxl_domain_create_new(fake_ctx *ctx, void *config, uint32_t *domid,
                            const struct fake_how *how, const void *console)
{
    (void)console;
    return start_short(ctx, 0, CREATE, how, config, domid);
}

/* ---- structs: a pointer to their JSON ------------------------------------------------- */

static int from_json(fake_ctx *ctx, char **text, const char *json)
{
    if (json[0] != '{') {
        fake_log(ctx, "error", "not JSON");
        return XL_FAIL;
    }
    *text = strdup(json);
    return 0;
}

#define STRUCT(name) \
    void name##_init(void *p); \
    void name##_init(void *p) \
    { \
        *(char **)p = NULL; \
    } \
    void name##_dispose(void *p); \
    void name##_dispose(void *p) \
    { \
        free(*(char **)p); \
        *(char **)p = NULL; \
    } \
    char *name##_to_json(fake_ctx *ctx, void *p); \
    char *name##_to_json(fake_ctx *ctx, void *p) \
    { \
        (void)ctx; \
        return strdup(*(char **)p); \
    } \
    int name##_from_json(fake_ctx *ctx, void *p, const char *json); \
    int name##_from_json(fake_ctx *ctx, void *p, const char *json) \
    { \
        return from_json(ctx, p, json); \
    }

STRUCT(libxl_domain_config)
STRUCT(libxl_domain_remus_info)
STRUCT(libxl_domain_restore_params)
