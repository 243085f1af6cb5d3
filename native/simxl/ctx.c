/*
 * The context: where the host folder is found, what is logged and to whom.
 * Everything in here is immediate.
 */
#define _GNU_SOURCE
#include "xl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

void sx_lock(libxl_ctx *ctx)
{
    pthread_mutex_lock(&ctx->lock);
}

void sx_unlock(libxl_ctx *ctx)
{
    pthread_mutex_unlock(&ctx->lock);
}

void sx_log(libxl_ctx *ctx, int level, const char *format, ...)
{
    va_list al;

    if (!ctx->logger)
        return;
    va_start(al, format);
    ctx->logger->vmessage(ctx->logger, level, -1, "libxl", format, al);
    va_end(al);
}

void sx_log_as(libxl_ctx *ctx, int level, const char *who, const char *format, ...)
{
    va_list al;

    if (!ctx->logger)
        return;
    va_start(al, format);
    ctx->logger->vmessage(ctx->logger, level, -1, who, format, al);
    va_end(al);
}

static void fill_version(libxl_version_info *v)
{
    v->xen_version_major = 4;
    v->xen_version_minor = 17;
    v->xen_version_extra = ".0-simxl";
    v->compiler = "gcc";
    v->compile_by = "simxl";
    v->compile_domain = "localhost";
    v->compile_date = "";
    v->capabilities = "xen-3.0-x86_64 hvm-3.0-x86_32 hvm-3.0-x86_64";
    v->changeset = "";
    v->virt_start = 0xffff800000000000ull;
    v->pagesize = SX_PAGE;
    v->commandline = "simxl";
    v->build_id = "";
}

SX_API int libxl_ctx_alloc(libxl_ctx **pctx, int version, unsigned flags,
                           xentoollog_logger *logger)
{
    const char *host = getenv("SIMXL_HOST");
    pthread_mutexattr_t attr;
    struct sx_fault f;
    libxl_ctx *ctx;

    (void)flags;
    *pctx = NULL;
    if (version != 0)
        return -2; /* ERROR_VERSION */
    ctx = calloc(1, sizeof(*ctx));
    if (!ctx)
        return ERROR_NOMEM;
    ctx->logger = logger;
    if (!host || sx_host_open(host)) {
        sx_log(ctx, XTL_ERROR, "simxl: SIMXL_HOST must name a folder by its"
               " absolute path (it is %s)", host ? host : "not set");
        free(ctx);
        return ERROR_FAIL;
    }
    snprintf(ctx->host, sizeof(ctx->host), "%s", host);
    if ((sx_fault(host, "libxl_ctx_alloc", NULL, -1, &f) && f.fail) ||
        pipe2(ctx->wakeup, O_CLOEXEC | O_NONBLOCK)) {
        free(ctx);
        return f.fail ? f.rc : ERROR_FAIL;
    }
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&ctx->lock, &attr);
    pthread_mutexattr_destroy(&attr);
    fill_version(&ctx->version);
    ctx->version.xen_version_minor = (int)sx_host_value(host, "minor", 17);
    ctx->commandline = sx_host_text(host, "commandline");
    if (ctx->commandline)
        ctx->version.commandline = ctx->commandline;
    *pctx = ctx;
    return 0;
}

SX_API int libxl_ctx_free(libxl_ctx *ctx)
{
    if (!ctx)
        return 0;
    if (ctx->ops) {
        /* libxl asserts here; so that a test sees which mistake it is: */
        fprintf(stderr, "simxl: libxl_ctx_free with %s under way\n",
                ctx->ops->kind->name);
        abort();
    }
    if (ctx->waits_left) {
        /* domain_save_done leaves the watch and the timeout registered, and
         * libxl__remus_teardown the timeout of the next checkpoint. */
        fprintf(stderr, "simxl: libxl_ctx_free, and a wait of a save for its guest"
                " or for its next checkpoint is left\n");
        abort();
    }
    free(ctx->commandline);
    close(ctx->wakeup[0]);
    close(ctx->wakeup[1]);
    pthread_mutex_destroy(&ctx->lock);
    free(ctx);
    return 0;
}

SX_API void libxl_childproc_setmode(libxl_ctx *ctx,
                                    const libxl_childproc_hooks *hooks,
                                    void *user)
{
    (void)user;
    if (hooks)
        ctx->child_hooks = *hooks;
}

/* simxl has no children, but behaves as if: see sx_op_complete. */
SX_API void libxl_childproc_sigchld_occurred(libxl_ctx *ctx)
{
    sx_reap(ctx);
}

SX_API int libxl_childproc_reaped(libxl_ctx *ctx, pid_t pid, int status)
{
    (void)ctx, (void)pid, (void)status;
    return -14; /* ERROR_UNKNOWN_CHILD */
}

SX_API int libxl_childproc_exited(libxl_ctx *ctx, pid_t pid, int status)
{
    return libxl_childproc_reaped(ctx, pid, status);
}

SX_API void libxl_event_register_callbacks(libxl_ctx *ctx,
                                           const libxl_event_hooks *hooks,
                                           void *user)
{
    (void)ctx, (void)hooks, (void)user;
}

SX_API void libxl_osevent_register_hooks(libxl_ctx *ctx, const void *hooks,
                                         void *user)
{
    (void)hooks, (void)user;
    sx_log(ctx, XTL_ERROR, "simxl: libxl_osevent_register_hooks is not"
           " there: use beforepoll and afterpoll");
}

SX_API const libxl_version_info *libxl_get_version_info(libxl_ctx *ctx)
{
    return &ctx->version;
}

/* Programs find out by this symbol that the library is new enough. */
SX_API int libxl_domain_need_memory_0x041200(libxl_ctx *ctx, void *b_info,
                                             uint32_t *need_memkb)
{
    (void)ctx, (void)b_info, (void)need_memkb;
    return ERROR_NI;
}

/* ---- the logger that writes to a stream --------------------------------- */

struct stream_logger {
    xentoollog_logger vtable;
    FILE *f;
    int min_level;
    unsigned flags;
};

static void stream_vmessage(xentoollog_logger *logger, int level, int errnoval,
                            const char *context, const char *format,
                            va_list al)
{
    static const char *const names[] = {
        "none", "debug", "verbose", "detail", "progress", "info", "notice",
        "warning", "error", "critical"
    };
    struct stream_logger *l = (struct stream_logger *)logger;
    char line[1024];

    if (level < l->min_level || level < 0 || level > XTL_CRITICAL)
        return;
    vsnprintf(line, sizeof(line), format, al);
    fprintf(l->f, "%s: %s: %s", context ? context : "simxl", names[level],
            line);
    if (errnoval >= 0)
        fprintf(l->f, ": %s", strerror(errnoval));
    fputc('\n', l->f);
    fflush(l->f);
}

static void stream_progress(xentoollog_logger *logger, const char *context,
                            const char *doing_what, int percent,
                            unsigned long done, unsigned long total)
{
    struct stream_logger *l = (struct stream_logger *)logger;

    if ((l->flags & XTL_STDIOSTREAM_HIDE_PROGRESS) ||
        l->min_level > XTL_PROGRESS)
        return;
    fprintf(l->f, "%s: progress: %s: %lu/%lu %d%%\n",
            context ? context : "simxl", doing_what, done, total, percent);
    fflush(l->f);
}

static void stream_destroy(xentoollog_logger *logger)
{
    free(logger);
}

SX_API xentoollog_logger *xtl_createlogger_stdiostream(FILE *f, int min_level,
                                                       unsigned flags)
{
    struct stream_logger *l = calloc(1, sizeof(*l));

    if (!l)
        return NULL;
    l->vtable.vmessage = stream_vmessage;
    l->vtable.progress = stream_progress;
    l->vtable.destroy = stream_destroy;
    l->f = f;
    l->min_level = min_level;
    l->flags = flags;
    return &l->vtable;
}

SX_API void xtl_logger_destroy(xentoollog_logger *logger)
{
    if (logger)
        logger->destroy(logger);
}
