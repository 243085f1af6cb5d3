/*
 * libxenlight: opened at run time, its contexts, and a pool of them for short
 * calls.
 *
 * Children. libxl forks (helpers, scripts, lock holders), and so does Node (ssh).
 * Every context is put into the "main loop owns SIGCHLD" mode, in which libxl
 * installs no signal handler: libxl__ev_child_fork and the checks in libxl_fork.c
 * (chldmode_ours) leave SIGCHLD alone then. Instead, our loops call
 * libxl_childproc_sigchld_occurred now and then, which asks waitpid about each
 * pid that this very context started and about no other (childproc_checkall).
 * libuv reaps by pid as well, so neither takes the other's children, and Node's
 * own SIGCHLD handler is not touched.
 *
 * For the same reason a call that may fork must never be made synchronously: it
 * would wait inside libxl for a SIGCHLD that nobody forwards.
 */
#include "internal.h"

#include <dlfcn.h>
#include <link.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POOL_MAX 8

struct tsr_xl tsr_xl;

static pthread_mutex_t open_lock = PTHREAD_MUTEX_INITIALIZER;
static char opened_path[256];           /* as given */
static char real_path[1024];

static pthread_mutex_t pool_lock = PTHREAD_MUTEX_INITIALIZER;
static struct tsr_ctx *pool, *abandoned;
static unsigned pool_size;

/*
 * Instead of fork(2), for the save and restore helpers and the devices' scripts. A signal
 * for this process's group, as Ctrl-C in its terminal and timeout(1) send it, asks for
 * an end in order: it must not end the helper beforehand.
 */
static pid_t fork_child(void *user)
{
    pid_t pid = fork();

    (void)user;
    /* In both: whichever of them runs first. */
    if (pid >= 0)
        setpgid(pid, pid);
    return pid;
}

static const libxl_childproc_hooks child_hooks = {
    .chldowner = XL_SIGCHLD_OWNER_MAINLOOP,
    .fork_replacement = fork_child,
};

static void on_disaster(void *user, int type, const char *msg, int errnoval)
{
    struct tsr_ctx *ctx = user;

    (void)type;
    if (!ctx->disaster[0])
        snprintf(ctx->disaster, sizeof(ctx->disaster), "%s%s%s", msg,
                 errnoval ? ": " : "", errnoval ? strerror(errnoval) : "");
}

static int log_level(void)
{
    const char *wish = getenv("TSREMUS_LIBXL_LOG");

    return wish && !strcmp(wish, "debug") ? XTL_DEBUG : XTL_INFO;
}

int tsr_ctx_open(struct tsr_events *events, struct tsr_ctx **ctx_out)
{
    struct tsr_ctx *ctx;
    char why[TSR_TEXT_MAX / 2];
    int rc;

    if (!real_path[0])
        return tsr_fail(-ENXIO, "libxenlight is not open");
    ctx = calloc(1, sizeof(*ctx));
    if (!ctx)
        return tsr_fail(-ENOMEM, "out of memory");
    ctx->log = tsr_log_open(events);
    if (!ctx->log) {
        rc = tsr_fail(-ENOMEM, "out of memory");
        goto out;
    }
    ctx->logger = tsr_xl.xtl_createlogger_stdiostream(
        tsr_log_stream(ctx->log), log_level(),
        XTL_HIDE_PROGRESS | XTL_PROGRESS_NO_CR);
    if (!ctx->logger) {
        rc = tsr_fail(-ENOMEM, "libxenlight made no logger");
        goto out;
    }
    rc = tsr_xl.libxl_ctx_alloc(&ctx->xl, 0, 0, ctx->logger);
    if (rc) {
        ctx->xl = NULL;
        tsr_log_text(ctx->log, why, sizeof(why));
        rc = tsr_fail(TSR_XL(rc), "libxenlight refuses a context (%d)%s%s", rc,
                      why[0] ? ": " : "", why);
        goto out;
    }
    tsr_xl.libxl_childproc_setmode(ctx->xl, &child_hooks, NULL);
    ctx->hooks.disaster = on_disaster;
    tsr_xl.libxl_event_register_callbacks(ctx->xl, &ctx->hooks, ctx);
    *ctx_out = ctx;
    return 0;

out:
    tsr_ctx_close(ctx);
    return rc;
}

void tsr_ctx_close(struct tsr_ctx *ctx)
{
    if (!ctx)
        return;
    if (ctx->xl)
        tsr_xl.libxl_ctx_free(ctx->xl);
    if (ctx->logger)
        tsr_xl.xtl_logger_destroy(ctx->logger);
    tsr_log_free(ctx->log);
    free(ctx);
}

void tsr_ctx_abandon(struct tsr_ctx *ctx)
{
    pthread_mutex_lock(&pool_lock);
    ctx->next = abandoned;
    abandoned = ctx;
    pthread_mutex_unlock(&pool_lock);
}

int tsr_ctx_get(struct tsr_ctx **ctx_out)
{
    struct tsr_ctx *ctx;

    pthread_mutex_lock(&pool_lock);
    ctx = pool;
    if (ctx) {
        pool = ctx->next;
        pool_size--;
    }
    pthread_mutex_unlock(&pool_lock);
    if (!ctx)
        return tsr_ctx_open(NULL, ctx_out);
    tsr_log_reset(ctx->log);
    *ctx_out = ctx;
    return 0;
}

void tsr_ctx_put(struct tsr_ctx *ctx)
{
    bool keep;

    pthread_mutex_lock(&pool_lock);
    keep = pool_size < POOL_MAX && !ctx->disaster[0];
    if (keep) {
        ctx->next = pool;
        pool = ctx;
        pool_size++;
    }
    pthread_mutex_unlock(&pool_lock);
    if (!keep)
        tsr_ctx_close(ctx);
}

/* /usr/lib/.../libxenlight.so.4.17.0 -> 4, 17. false: no version in the name. */
static bool version_of(const char *path, unsigned *major_out,
                       unsigned *minor_out)
{
    const char *name = strrchr(path, '/');
    const char *so;

    name = name ? name + 1 : path;
    so = strstr(name, ".so.");
    return so && sscanf(so, ".so.%u.%u", major_out, minor_out) == 2;
}

static int resolve(void *library, const char *path)
{
#define FIND(type, name, args) \
    tsr_xl.name = (type (*) args)dlsym(library, #name);
#define NEED(type, name, args) \
    FIND(type, name, args) \
    if (!tsr_xl.name) \
        return tsr_fail(-ENOSYS, "%s has no function %s", path, #name);

    TSR_XL_FUNCTIONS(NEED)
    TSR_XL_OPTIONAL(FIND)
#undef NEED
#undef FIND
    return 0;
}

static int check_version(void *library, const char *path, char *real,
                         size_t size)
{
    struct link_map *map = NULL;
    unsigned major, minor;
    char *resolved;

    if (dlinfo(library, RTLD_DI_LINKMAP, &map) || !map)
        return tsr_fail(-ENOSYS, "%s: %s", path, dlerror());
    resolved = realpath(map->l_name, NULL);
    snprintf(real, size, "%s", resolved ? resolved : map->l_name);
    free(resolved);
    /* A library without a version in its name is a stand-in of ours. */
    if (!version_of(real, &major, &minor))
        return 0;
    if (major > TSR_XL_OLDEST_MAJOR ||
        (major == TSR_XL_OLDEST_MAJOR && minor >= TSR_XL_OLDEST_MINOR))
        return 0;
    return tsr_fail(-ENOSYS, "%s is libxenlight of Xen %u.%u; %d.%d is the "
                    "oldest that is supported", real, major, minor,
                    TSR_XL_OLDEST_MAJOR, TSR_XL_OLDEST_MINOR);
}

static int open_locked(const char *path)
{
    struct tsr_ctx *ctx;
    char real[sizeof(real_path)];
    void *library;
    int rc;

    library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return tsr_fail(-ENOENT, "%s", dlerror());
    /* Never closed again: libxl leaves pthread_atfork handlers behind. */
    rc = check_version(library, path, real, sizeof(real));
    if (rc < 0)
        return rc;
    rc = resolve(library, path);
    if (rc < 0)
        return rc;
    snprintf(real_path, sizeof(real_path), "%s", real);

    rc = tsr_ctx_open(NULL, &ctx);
    if (rc < 0) {
        real_path[0] = 0;
        return rc;
    }
    tsr_ctx_put(ctx);
    snprintf(opened_path, sizeof(opened_path), "%s", path);
    return 0;
}

/*
 * tsr_open: loads libxenlight from PATH and checks that it works by allocating a
 * first context. The same path again is no error, another one is -EBUSY. Also
 * ignores SIGPIPE, as libxl demands, unless somebody handles it.
 */
int tsr_open(const char *path)
{
    struct sigaction old;
    int rc;

    if (!path || !*path || strlen(path) >= sizeof(opened_path))
        return tsr_fail(-EINVAL, "not a path of a library");
    if (!sigaction(SIGPIPE, NULL, &old) && old.sa_handler == SIG_DFL)
        signal(SIGPIPE, SIG_IGN);

    pthread_mutex_lock(&open_lock);
    if (!opened_path[0])
        rc = open_locked(path);
    else if (!strcmp(path, opened_path))
        rc = 0;
    else
        rc = tsr_fail(-EBUSY, "%s is open already", opened_path);
    pthread_mutex_unlock(&open_lock);
    return rc;
}
