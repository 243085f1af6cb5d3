/*
 * The fake libxl_domain_create_restore: a thread plays the restore helper, and
 * libxl's own records are read as libxl reads them: with reads that wait, inside
 * of afterpoll.
 */
#include "fake.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../xen/stream.h"

enum { CHECKPOINT, DONE };

struct restore {
    struct fake_op op;
    fake_ctx *ctx;
    int fd;
    int ask[2], answer[2];
    pthread_t helper;
    bool helper_runs, headed;
    atomic_bool stop;
    int rc;
    bool good;                          /* the helper ended well */
    uint32_t *domid_out;
    uint64_t sum, pending;
    uint64_t taken;                     /* of the stream, by either of the two */
};

/* ---- the helper ------------------------------------------------------------------ */

static bool helper_read(struct restore *restore, void *data, size_t size)
{
    bool ok = fake_read(restore->fd, data, size, &restore->stop);

    if (ok)
        restore->taken += size;
    return ok;
}

/* One libxc record; its type, or -1 at the end. */
static int helper_record(struct restore *restore)
{
    uint8_t body[4096];
    uint32_t header[2];
    uint64_t left;

    if (!helper_read(restore, header, 8))
        return -1;
    left = (header[1] + 7u) & ~7u;
    while (left) {
        size_t n = left < sizeof(body) ? left : sizeof(body);

        if (!helper_read(restore, body, n))
            return -1;
        for (size_t i = 0; header[0] == XC_REC_PAGE_DATA && i < n; i++)
            restore->pending += body[i];
        left -= n;
    }
    return (int)header[0];
}

static void helper_run(struct restore *restore)
{
    struct fake_world *world = fake_world();
    char what = CHECKPOINT;
    uint8_t headers[40];
    int type, reply;

    if (!helper_read(restore, headers, 40))
        return;
    for (;;) {
        do {
            type = helper_record(restore);
        } while (type >= 0 && type != XC_REC_CHECKPOINT);
        if (type < 0)
            break;
        if (write(restore->ask[1], &what, 1) != 1 ||
            !fake_read(restore->answer[0], &reply, sizeof(reply),
                       &restore->stop) || !reply)
            break;
        restore->sum += restore->pending;
        restore->pending = 0;
        world->applied++;
    }
    restore->good = !restore->stop && world->applied > 0;
}

static void *helper_main(void *restore_in)
{
    struct restore *restore = restore_in;
    char done = DONE;

    helper_run(restore);
    if (write(restore->ask[1], &done, 1) != 1)
        abort();
    usleep(20000);
    restore->op.child_exited = true;
    return NULL;
}

/* ---- libxl ------------------------------------------------------------------------- */

/*
 * libxl reads like this: it waits, and everything with it. So whatever it begins to
 * read must have been fed.
 */
static bool wait_read(struct restore *restore, void *data, size_t size)
{
    bool early = restore->taken + size > fake_world()->fed;
    char *p = data;

    while (size) {
        ssize_t r = read(restore->fd, p, size);

        if (r <= 0)
            return false;
        if (early)
            fake_world()->early_reads++;
        early = false;
        p += r;
        size -= (size_t)r;
        restore->taken += (size_t)r;
    }
    return true;
}

static void answer(struct restore *restore, int reply)
{
    if (write(restore->answer[1], &reply, sizeof(reply)) < 0)
        abort();
}

static void stream_ready(fake_ctx *ctx, struct fake_watch *watch)
{
    struct restore *restore = watch->data;
    uint32_t header[2];
    uint8_t head[16], *body;
    bool ok;

    if (!restore->headed) {
        restore->headed = true;
        if (!wait_read(restore, head, 16))
            restore->stop = true;
        return;
    }
    ok = wait_read(restore, header, 8);
    body = ok && header[1] ? malloc(header[1] + 7u) : NULL;
    if (body)
        ok = wait_read(restore, body, (header[1] + 7u) & ~7u);
    free(body);
    if (ok && header[0] == XL_REC_LIBXC_CONTEXT) {
        fake_watch_off(ctx, restore->fd);
        restore->helper_runs = true;
        if (pthread_create(&restore->helper, NULL, helper_main, restore))
            abort();
    } else if (ok && header[0] == XL_REC_CHECKPOINT_END) {
        fake_watch_off(ctx, restore->fd);
        answer(restore, 1);
    } else if (!ok) {
        fake_watch_off(ctx, restore->fd);
        if (restore->helper_runs)
            answer(restore, 0);
        else
            restore->op.child_exited = true;
    }
}

static void serve(fake_ctx *ctx, struct fake_watch *watch)
{
    struct restore *restore = watch->data;
    char what;

    if (read(restore->ask[0], &what, 1) != 1)
        abort();
    if (what == CHECKPOINT)
        fake_watch_on(ctx, restore->fd, POLLIN, stream_ready, restore);
    else
        fake_watch_off(ctx, restore->ask[0]);
}

static void finish(fake_ctx *ctx, struct fake_op *op)
{
    struct restore *restore = (struct restore *)op;
    struct fake_world *world = fake_world();
    struct fake_how how = op->how;
    int rc = restore->rc;

    fake_watch_off(ctx, restore->ask[0]);
    fake_watch_off(ctx, restore->fd);
    if (restore->helper_runs)
        pthread_join(restore->helper, NULL);
    if (!rc && (!restore->good || world->restore_fails)) {
        fake_log(ctx, "error", "Domain 9:cannot (re-)build domain: -1");
        rc = -3;
    }
    world->copy_sum = restore->sum;
    if (rc && !(rc == -22 && world->keep_on_abort))
        world->copy_exists = false;
    *restore->domid_out = FAKE_COPY_DOMID;
    close(restore->ask[0]);
    close(restore->ask[1]);
    close(restore->answer[0]);
    close(restore->answer[1]);
    ctx->op = NULL;
    free(restore);
    how.callback(ctx, rc, how.for_callback);
}

static void stop(fake_ctx *ctx, struct fake_op *op)
{
    struct restore *restore = (struct restore *)op;

    (void)ctx;
    restore->rc = -22;
    restore->stop = true;
    if (!restore->helper_runs)
        op->child_exited = true;
}

int libxl_domain_create_restore(fake_ctx *ctx, void *config, uint32_t *domid,
                                int restore_fd, int send_back_fd,
                                const void *params, const struct fake_how *how,
                                const void *console);
int libxl_domain_create_restore(fake_ctx *ctx, void *config, uint32_t *domid,
                                int restore_fd, int send_back_fd,
                                const void *params, const struct fake_how *how,
                                const void *console)
{
    struct fake_world *world = fake_world();
    const char *json = *(char *const *)params;
    struct restore *restore;

    if (world->start_rc) {
        fake_log(ctx, "error", "Domain 9:no memory");
        return world->start_rc;
    }
    if (!strstr(json, "\"checkpointed_stream\":1") ||
        !strstr(json, "\"stream_version\":2") || send_back_fd != -1 || console)
        abort();
    if (!strstr(*(char **)config, "\"name\":\"guest--incoming\""))
        abort();
    if (!(fcntl(restore_fd, F_GETFD) & FD_CLOEXEC) ||
        (fcntl(restore_fd, F_GETFL) & O_NONBLOCK))
        abort();
    restore = calloc(1, sizeof(*restore));
    restore->ctx = ctx;
    restore->fd = restore_fd;
    restore->domid_out = domid;
    restore->op.abort = stop;
    restore->op.finish = finish;
    if (pipe2(restore->ask, O_CLOEXEC) || pipe2(restore->answer, O_CLOEXEC))
        abort();
    world->copy_exists = true;
    strcpy(world->copy_name, "guest--incoming");
    pthread_mutex_lock(&ctx->lock);
    fake_op_start(ctx, &restore->op, how);
    fake_watch_on(ctx, restore_fd, POLLIN, stream_ready, restore);
    fake_watch_on(ctx, restore->ask[0], POLLIN, serve, restore);
    pthread_mutex_unlock(&ctx->lock);
    return 0;
}
