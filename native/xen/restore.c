/*
 * The thread of a restore session: libxl_domain_create_restore with a checkpointed
 * stream, driven by our own event loop, while the feeder writes the stream.
 *
 * libxl applies an epoch when it has read its CHECKPOINT_END. At end-of-file it
 * builds the domain from the last one, paused: that is activation. To discard the
 * copy the operation is aborted first and the pipe stays open until libxl has
 * given up; then whatever is left of the domain is destroyed, since after an
 * abort libxl may keep it, or fail to take it apart (its timers and waits are
 * refused while it aborts).
 */
#include "restore.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NS_PER_MS UINT64_C(1000000)
#define GIVE_UP_MS 60000

static const char restore_params[] =
    "{\"checkpointed_stream\":1,\"stream_version\":2,"
    "\"userspace_colo_proxy\":\"False\"}";

PRINTF(3, 4)
static void fail(struct tsr_restore *restore, int code, const char *format, ...)
{
    struct tsr_event values = { .a = code };
    char text[TSR_TEXT_MAX];
    va_list args;

    if (restore->failed)
        return;
    restore->failed = true;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    tsr_object_fail(restore, code, "%s", text);
    tsr_events_send(restore->events, TSR_EV_FAILED, &values, text);
}

/* ---- start ---------------------------------------------------------------- */

static int fill_structs(struct tsr_restore *restore)
{
    libxl_ctx *xl = restore->ctx->xl;
    int rc;

    restore->config = calloc(1, TSR_XL_CONFIG_SIZE);
    restore->params = calloc(1, TSR_XL_STRUCT_SIZE);
    if (!restore->config || !restore->params)
        return XL_NOMEM;
    tsr_xl.libxl_domain_config_init(restore->config);
    tsr_xl.libxl_domain_restore_params_init(restore->params);
    rc = tsr_xl.libxl_domain_config_from_json(xl, restore->config,
                                              restore->config_json);
    if (rc)
        return rc;
    return tsr_xl.libxl_domain_restore_params_from_json(xl, restore->params,
                                                        restore_params);
}

static void start(struct tsr_restore *restore)
{
    char why[TSR_TEXT_MAX];
    int rc;

    rc = tsr_ctx_open(restore->events, &restore->ctx);
    if (rc < 0) {
        tsr_error_text(-1, why, sizeof(why));
        fail(restore, rc, "%s", why);
        return;
    }
    tsr_loop_init(&restore->loop, restore->ctx);
    restore->loop.children_idle_ms = TSR_CHILDREN_LATER_MS;
    tsr_ao_init(&restore->ao);
    /* Never mistake somebody else's domain for our copy: at the end, what bears
     * its name may have to be destroyed. */
    if (tsr_domain_id(restore->name) >= 0) {
        fail(restore, -EEXIST, "there is a domain called %s already",
             restore->name);
        return;
    }
    rc = fill_structs(restore);
    if (rc) {
        tsr_log_text(restore->ctx->log, why, sizeof(why));
        fail(restore, TSR_XL(rc), "libxenlight refuses the configuration: %s "
             "(%d)", why, rc);
        return;
    }
    restore->domid = UINT32_MAX;
    rc = tsr_xl.libxl_domain_create_restore(
        restore->ctx->xl, restore->config, &restore->domid, restore->pipe_in,
        -1, restore->params, &restore->ao.how, NULL);
    if (rc) {
        tsr_log_text(restore->ctx->log, why, sizeof(why));
        fail(restore, TSR_XL(rc), "cannot start the copy: %s (libxenlight says "
             "%d)", why, rc);
        return;
    }
    restore->started = true;
}

/* ---- one turn ------------------------------------------------------------- */

static void obey(struct tsr_restore *restore)
{
    bool wanted, finishing;

    pthread_mutex_lock(&restore->lock);
    wanted = restore->abort_wanted;
    finishing = restore->finish_wanted;
    pthread_mutex_unlock(&restore->lock);

    if (finishing)
        /* Building runs scripts, whose ends should not have to wait. */
        restore->loop.children_idle_ms = TSR_CHILDREN_SOON_MS;
    if (restore->ctx->disaster[0] && !restore->aborted) {
        fail(restore, TSR_XL(XL_FAIL), "libxenlight's event loop broke: %s",
             restore->ctx->disaster);
        wanted = true;
    }
    if (!wanted || restore->aborted)
        return;
    restore->aborted = true;
    restore->aborted_ns = tsr_now_ns();
    restore->loop.children_idle_ms = TSR_CHILDREN_SOON_MS;
    tsr_xl.libxl_ao_abort(restore->ctx->xl, &restore->ao.how);
}

static void turn(struct tsr_restore *restore)
{
    struct pollfd extra[2] = {
        { .fd = restore->wake, .events = POLLIN },
        { .fd = tsr_events_want(restore->events), .events = POLLOUT },
    };
    struct timespec pause = { .tv_nsec = 50 * 1000000 };
    uint64_t count;
    int rc;

    rc = tsr_loop_poll(&restore->loop, true, false, tsr_loop_now(), extra, 2,
                       -1);
    if (rc < 0) {
        fail(restore, rc, "the event loop failed (%d)", rc);
        nanosleep(&pause, NULL);
        return;
    }
    if (extra[0].revents && read(restore->wake, &count, sizeof(count)) < 0)
        count = 0;
    if (extra[1].revents)
        tsr_events_flush(restore->events);
    tsr_loop_serve(&restore->loop, tsr_loop_now());
    if (restore->ctx->disaster[0])
        nanosleep(&pause, NULL);
}

static bool give_up(const struct tsr_restore *restore)
{
    uint64_t limit_ms = restore->ctx->disaster[0] ? 5000 : GIVE_UP_MS;

    return restore->aborted &&
           tsr_now_ns() - restore->aborted_ns > limit_ms * NS_PER_MS;
}

/* ---- end ------------------------------------------------------------------ */

/*
 * Destroys what is left of the copy. libxl takes a domain apart itself when its
 * creation fails, and keeps it when that was aborted (or had just succeeded): only
 * then is the domain of this name certainly ours.
 */
static int destroy_copy(struct tsr_restore *restore)
{
    bool kept = restore->leaked || restore->ao.rc == XL_ABORTED ||
                !restore->ao.rc;
    struct tsr_guest guest;
    int rc = 0, named, tries;

    for (tries = 0; tries < 3; tries++) {
        rc = 0;
        named = kept ? tsr_domain_id(restore->name) : -1;
        if (named > 0)
            rc = tsr_domain_destroy((uint32_t)named);
        /* Domain numbers are handed out in turn, so this one cannot belong to
         * anybody else yet. */
        if (restore->domid != UINT32_MAX && (int)restore->domid != named &&
            !tsr_guest_look(restore->domid, &guest) && !guest.gone)
            rc = tsr_domain_destroy(restore->domid);
        if (rc >= 0 && (!kept || tsr_domain_id(restore->name) < 0))
            return 0;
        usleep(200000);
    }
    return rc < 0 ? rc : tsr_fail(TSR_XL(XL_FAIL), "it is still there");
}

static void stop_feeder(struct tsr_restore *restore)
{
    pthread_mutex_lock(&restore->lock);
    restore->over = true;
    pthread_mutex_unlock(&restore->lock);
    tsr_restore_wake(restore->wake_feeder);
    pthread_join(restore->feeder, NULL);
}

/* Under no circumstances both: a domain that stays, and an abort obeyed. */
static bool end_built(struct tsr_restore *restore)
{
    bool stays;

    pthread_mutex_lock(&restore->lock);
    stays = restore->started && !restore->leaked && !restore->ao.rc &&
            !restore->failed && !restore->abort_wanted;
    restore->ended = stays;
    pthread_mutex_unlock(&restore->lock);
    return stays;
}

static void end_discarded(struct tsr_restore *restore)
{
    char why[TSR_TEXT_MAX / 2];

    if (restore->started && destroy_copy(restore) < 0) {
        tsr_error_text(-1, why, sizeof(why));
        fail(restore, TSR_XL(XL_FAIL), "the copy %s is left behind: %s",
             restore->name, why);
    }
    pthread_mutex_lock(&restore->lock);
    restore->ended = true;
    pthread_mutex_unlock(&restore->lock);
}

static void release(struct tsr_restore *restore)
{
    if (restore->leaked)
        return;
    if (restore->config)
        tsr_xl.libxl_domain_config_dispose(restore->config);
    if (restore->params)
        tsr_xl.libxl_domain_restore_params_dispose(restore->params);
    free(restore->config);
    free(restore->params);
    if (restore->ctx) {
        tsr_loop_dispose(&restore->loop);
        tsr_ctx_close(restore->ctx);
    }
}

static void end(struct tsr_restore *restore)
{
    struct tsr_event values = { .a = XL_FAIL };
    char text[TSR_TEXT_MAX] = "";

    stop_feeder(restore);
    if (restore->started && !restore->leaked)
        values.a = restore->ao.rc;
    if (values.a && restore->ctx)
        tsr_log_text(restore->ctx->log, text, sizeof(text));
    release(restore);
    if (end_built(restore)) {
        values.b = restore->domid;
    } else {
        /* Built in the moment when it was to be discarded: as if aborted. */
        if (!values.a)
            values.a = XL_ABORTED;
        end_discarded(restore);
    }
    tsr_events_send(restore->events, TSR_EV_ENDED, &values, text);
    tsr_events_finish(restore->events);
}

void *tsr_restore_main(void *restore_in)
{
    struct tsr_restore *restore = restore_in;

    start(restore);
    while (restore->started && !restore->ao.done) {
        obey(restore);
        turn(restore);
        if (!restore->ao.done && give_up(restore)) {
            restore->leaked = true;
            break;
        }
    }
    end(restore);
    return NULL;
}
