/*
 * The fake libxl_domain_remus_start: a thread plays the save helper.
 */
#include "fake.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../xen/stream.h"

enum { SUSPEND, POSTCOPY, CHECKPOINT, DONE };

struct save {
    struct fake_op op;
    fake_ctx *ctx;
    int fd;
    int ask[2], answer[2];              /* helper -> libxl, libxl -> helper */
    pthread_t helper;
    bool helper_runs;
    atomic_bool stop;                   /* SIGTERM */
    int rc;
    int epoch;
    struct bytes libxl;                 /* what libxl has to write itself */
    size_t written;
    bool held;                          /* the checkpoint timer runs */
    bool asked_suspend;
};

/* ---- the helper's side ------------------------------------------------------- */

static int request(struct save *save, char what)
{
    int reply = 0;

    if (save->stop)
        return 0;
    if (write(save->ask[1], &what, 1) != 1)
        return 0;
    if (!fake_read(save->answer[0], &reply, sizeof(reply), &save->stop))
        return 0;
    return reply;
}

static bool put(struct save *save, struct bytes *bytes)
{
    bool ok = fake_write(save->fd, bytes->data, bytes->size, &save->stop);

    bytes->size = 0;
    return ok;
}

static void pause_ms(struct save *save, int ms)
{
    while (ms > 0 && !save->stop) {
        usleep(5000);
        ms -= 5;
    }
}

static void run_helper(struct save *save, struct bytes *out)
{
    struct fake_world *world = fake_world();

    put_image(out, 3, world->guest_type);
    if (world->guest_type == PV) {
        uint8_t info[8] = { 8, 4 };

        put_record(out, XC_REC_X86_PV_INFO, info, sizeof(info));
    }
    put_record(out, XC_REC_STATIC_DATA_END, NULL, 0);
    put_pages(out, 0, world->seed_pages, 1);
    if (!put(save, out))
        return;
    pause_ms(save, world->seed_ms);
    for (save->epoch = 0;; save->epoch++) {
        if (!request(save, SUSPEND))
            return;
        if (world->pages_last && save->epoch) {
            put_record(out, XC_REC_X86_TSC_INFO, NULL, 24);
            if (!put(save, out) || !request(save, POSTCOPY))
                return;
            put_record(out, XC_REC_X86_TSC_INFO, NULL, 24);
        }
        if (world->epoch_pages)
            put_pages(out, 3, world->epoch_pages, (uint8_t)save->epoch);
        if (save->epoch == world->break_at_epoch)
            put_record(out, 0x55, "oops", 4);
        if (!put(save, out))
            return;
        if (save->epoch == world->die_at_epoch)
            return;
        put_state(out, world->guest_type);
        if (!put(save, out))
            return;
        if (!(world->pages_last && save->epoch) && !request(save, POSTCOPY))
            return;
        if (!request(save, CHECKPOINT))
            return;
    }
}

static void *helper_main(void *save_in)
{
    struct save *save = save_in;
    struct bytes out = { 0 };
    char done = DONE;

    run_helper(save, &out);
    bytes_free(&out);
    if (write(save->ask[1], &done, 1) != 1)
        abort();
    usleep(20000);
    save->op.child_exited = true;
    return NULL;
}

/* ---- libxl's side -------------------------------------------------------------- */

static void answer(struct save *save, int reply)
{
    if (write(save->answer[1], &reply, sizeof(reply)) < 0)
        abort();
}

static void guest_suspends(fake_ctx *ctx, void *save_in)
{
    struct fake_world *world = fake_world();
    struct save *save = save_in;

    (void)ctx;
    save->asked_suspend = false;
    if (save->epoch == world->poweroff_at_epoch) {
        world->shutdown_reason = 0;
        fake_log(save->ctx, "error", "Domain 5:guest we were suspending has "
                 "shut down");
        answer(save, 0);
        return;
    }
    world->suspended = true;
    world->suspends++;
    fake_note(world, 'S');
    answer(save, 1);
    /* Time for the helper to write its epoch and to ask for the resume. */
    usleep((unsigned)world->slow_ms * 1000);
}

static void next_checkpoint(fake_ctx *ctx, void *save_in)
{
    struct fake_world *world = fake_world();
    struct save *save = save_in;

    (void)ctx;
    save->held = false;
    if (world->epochs > world->permitted)
        world->timers_early++;
    answer(save, 1);
}

/* As libxl's datacopier does: until all is written, or EAGAIN. */
static void write_libxl(fake_ctx *ctx, struct fake_watch *watch)
{
    struct save *save = watch->data;

    while (save->written < save->libxl.size) {
        size_t n = save->libxl.size - save->written;
        ssize_t r = write(save->fd, save->libxl.data + save->written,
                          n < 1000 ? n : 1000);

        if (r < 0 && errno == EAGAIN)
            return;
        if (r < 0)
            abort();
        save->written += (size_t)r;
    }
    fake_watch_off(ctx, save->fd);
    bytes_free(&save->libxl);
    save->written = 0;
    if (save->epoch < 0) {              /* that was the stream's header */
        save->helper_runs = true;
        if (pthread_create(&save->helper, NULL, helper_main, save))
            abort();
        return;
    }
    fake_world()->epochs++;
    if (save->rc) {                     /* aborting: libxl sets no timers then */
        answer(save, 0);
        return;
    }
    save->held = true;
    fake_timer_on(ctx, 1, next_checkpoint, save);
    if (save->epoch == fake_world()->die_waiting_at_epoch)
        save->stop = true;
    /* Time for the timer to be due. */
    usleep((unsigned)fake_world()->slow_ms * 1000);
}

static void serve(fake_ctx *ctx, struct fake_watch *watch)
{
    struct fake_world *world = fake_world();
    struct save *save = watch->data;
    char what;

    if (read(save->ask[0], &what, 1) != 1)
        abort();
    switch (what) {
    case SUSPEND:
        save->asked_suspend = true;
        fake_timer_on(ctx, world->suspend_ms, guest_suspends, save);
        break;
    case POSTCOPY:
        fake_check_resume(save->fd);
        world->suspended = false;
        answer(save, 1);
        break;
    case CHECKPOINT:
        put_libxl(&save->libxl, world->guest_type,
                  world->guest_type == HVM ? world->emulator_bytes : 0);
        fake_watch_on(ctx, save->fd, POLLOUT, write_libxl, save);
        break;
    default:
        fake_watch_off(ctx, save->ask[0]);
        if (!save->rc)
            fake_log(ctx, "error", "Domain 5:saving domain: domain responded "
                     "to suspend request: Bad file descriptor");
        break;
    }
}

static void finish(fake_ctx *ctx, struct fake_op *op)
{
    struct save *save = (struct save *)op;
    struct fake_how how = op->how;
    int rc = save->rc ? save->rc : -3;

    fake_watch_off(ctx, save->ask[0]);
    fake_watch_off(ctx, save->fd);
    fake_timer_off(ctx, guest_suspends);
    /* Only an abort takes this one back (libxl__remus_teardown does not). */
    if (save->rc)
        fake_timer_off(ctx, next_checkpoint);
    if (save->helper_runs)
        pthread_join(save->helper, NULL);
    close(save->ask[0]);
    close(save->ask[1]);
    close(save->answer[0]);
    close(save->answer[1]);
    bytes_free(&save->libxl);
    ctx->op = NULL;
    free(save);
    how.callback(ctx, rc, how.for_callback);
}

static void *suspend_late(void *unused)
{
    struct fake_world *world = fake_world();

    (void)unused;
    usleep((unsigned)world->late_suspend_ms * 1000);
    world->suspended = true;
    return NULL;
}

static void stop(fake_ctx *ctx, struct fake_op *op)
{
    struct fake_world *world = fake_world();
    struct save *save = (struct save *)op;
    pthread_t late;

    if (save->held)
        world->aborts_held++;
    else if (world->suspended || save->asked_suspend)
        world->aborts_unsafe++;
    if (!save->rc)
        save->rc = -22;
    if (fake_timer_off(ctx, next_checkpoint))
        save->held = false;
    if (fake_timer_off(ctx, guest_suspends) || world->late_suspend_ms >= 0) {
        pthread_create(&late, NULL, suspend_late, NULL);
        pthread_detach(late);
    }
    save->stop = true;
    if (!save->helper_runs) {
        fake_watch_off(ctx, save->fd);
        save->op.child_exited = true;
    }
}

int libxl_domain_remus_start(fake_ctx *ctx, void *info, uint32_t domid,
                             int send_fd, int recv_fd,
                             const struct fake_how *how);
int libxl_domain_remus_start(fake_ctx *ctx, void *info, uint32_t domid,
                             int send_fd, int recv_fd,
                             const struct fake_how *how)
{
    struct fake_world *world = fake_world();
    const char *json = *(char **)info;
    struct save *save;

    if (world->start_rc || domid != FAKE_DOMID) {
        fake_log(ctx, "error", "Domain 5:Cannot save a guest with vNUMA "
                 "configured");
        return world->start_rc ? world->start_rc : -3;
    }
    if (!strstr(json, "\"interval\":1,") || !strstr(json, "\"netbuf\":\"False\"") ||
        !strstr(json, "\"colo\":\"False\"") || recv_fd != -1)
        abort();
    if (!(fcntl(send_fd, F_GETFD) & FD_CLOEXEC))
        abort();
    save = calloc(1, sizeof(*save));
    save->ctx = ctx;
    save->fd = send_fd;
    save->epoch = -1;
    save->op.abort = stop;
    save->op.finish = finish;
    if (pipe2(save->ask, O_CLOEXEC) || pipe2(save->answer, O_CLOEXEC))
        abort();
    pthread_mutex_lock(&ctx->lock);
    fake_op_start(ctx, &save->op, how);
    put_xl_header(&save->libxl);
    put_record(&save->libxl, XL_REC_LIBXC_CONTEXT, NULL, 0);
    fake_watch_on(ctx, send_fd, POLLOUT, write_libxl, save);
    fake_watch_on(ctx, save->ask[0], POLLIN, serve, save);
    fake_log(ctx, "info", "a line of the log");
    pthread_mutex_unlock(&ctx->lock);
    return 0;
}
