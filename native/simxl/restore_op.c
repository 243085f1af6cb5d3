/*
 * libxl_domain_create_restore, the libxl side: making the domain, building
 * it at the end, or giving it up. Runs inside afterpoll only.
 */
#define _GNU_SOURCE
#include "restore.h"

#include "devices.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct sx_restore *of(struct sx_op *op)
{
    return (struct sx_restore *)op;
}

static int restore_fds(struct sx_op *op, struct pollfd *out, int max)
{
    if (max < 1)
        return 0;
    out[0] = (struct pollfd){ of(op)->helper.questions[0], POLLIN, 0 };
    return 1;
}

/* The last applied epoch becomes a domain, paused. */
static int build(struct sx_restore *s)
{
    struct sx_fault f;
    const char *lacks = sx_devices_add(s->d.host, s->config, s->d.domid);

    if (lacks) {
        sx_log(s->op.ctx, XTL_ERROR, "Domain %u:unable to add a device: %s",
               s->d.domid, lacks);
        return ERROR_FAIL;
    }
    if (sx_fault(s->d.host, "restore.build", s->name, s->epoch, &f) && f.fail)
        return f.rc;
    if (sx_launch(&s->d)) {
        sx_log(s->op.ctx, XTL_ERROR, "Domain %u:the runner did not start",
               s->d.domid);
        return ERROR_FAIL;
    }
    return 0;
}

static void finish(struct sx_restore *s, int rc)
{
    sx_helper_stop(&s->helper);
    sx_helper_join(&s->helper);
    if (s->op.aborting) {
        /* libxl retains the domain of an aborted creation (retain_domain in
         * domcreate_complete): whoever aborts must destroy it. */
        rc = ERROR_ABORTED;
    } else {
        if (!rc)
            rc = build(s);
        else
            sx_log(s->op.ctx, XTL_ERROR, "Domain %u:Restore failed: %s",
                   s->d.domid, s->why);
        if (rc) {
            sx_domain_destroy(s->d.host, s->d.domid);
            rc = ERROR_FAIL;
        }
    }
    *s->domid_out = s->d.domid;
    sx_op_complete(&s->op, rc);
}

static void restore_ready(struct sx_op *op, int fd, short revents)
{
    struct sx_restore *s = of(op);
    struct sx_question q;

    (void)fd, (void)revents;
    if (!sx_helper_question(&s->helper, &q))
        return;
    if (q.what == SX_ASK_DONE)
        finish(s, q.arg);
    else
        sx_helper_answer(&s->helper, 1);
}

static void restore_abort(struct sx_op *op)
{
    sx_helper_stop(&of(op)->helper);
}

static void restore_free(struct sx_op *op)
{
    struct sx_restore *s = of(op);

    sx_helper_stop(&s->helper);
    sx_helper_join(&s->helper);
    sx_domain_unmap(&s->d);
    json_free(s->config);
    free(s);
}

static const struct sx_op_kind restore_kind = {
    .name = "create_restore", .forks = true,
    .fds = restore_fds, .ready = restore_ready,
    .abort = restore_abort, .free = restore_free,
};

static int restore_new(libxl_ctx *ctx, libxl_domain_config *config,
                       struct sx_restore **out)
{
    struct json *root = sx_config(config);
    struct sx_restore *s;
    const char *lacks;
    struct sx_spec spec;
    char *text;
    int rc;

    rc = sx_config_spec(root, &spec);
    if (rc) {
        sx_log(ctx, XTL_ERROR, "simxl: the configuration needs c_info.type,"
               " c_info.name and b_info.max_memkb");
        return rc;
    }
    lacks = sx_pool_lacks(ctx->host, root);
    if (lacks) {
        sx_log(ctx, XTL_ERROR, "Illegal pool specified: %s", lacks);
        return ERROR_INVAL;
    }
    s = calloc(1, sizeof(*s));
    if (!s || sx_helper_init(&s->helper)) {
        free(s);
        return ERROR_FAIL;
    }
    text = json_print(root);
    rc = sx_domain_make(ctx->host, &spec, text, &s->d);
    free(text);
    if (rc) {
        sx_log(ctx, XTL_ERROR, "Domain with name \"%s\" already exists, or"
               " cannot be made", spec.name);
        sx_helper_join(&s->helper);
        free(s);
        return ERROR_FAIL;
    }
    memcpy(s->name, s->d.st->name, sizeof(s->name));
    s->config = json_copy(root);
    s->op.domid = s->d.domid;
    *out = s;
    return 0;
}

SX_API int libxl_domain_create_restore(
    libxl_ctx *ctx, libxl_domain_config *config, uint32_t *domid,
    int restore_fd, int send_back_fd,
    const libxl_domain_restore_params *params,
    const libxl_asyncop_how *ao_how, const void *console_how)
{
    struct sx_restore *s = NULL;
    int rc;

    (void)send_back_fd, (void)console_how;
    *domid = UINT32_MAX;
    if (sx_fault_rc(ctx, "libxl_domain_create_restore", 0, &rc))
        return rc;
    if (sx_would_hang(ctx, ao_how))
        return ERROR_FAIL;
    if (params->stream_version != 2) {
        sx_log(ctx, XTL_ERROR, "simxl: stream version %u; only 2 is there",
               params->stream_version);
        return ERROR_FAIL;
    }
    /* Failures after the arguments were checked come by the callback. */
    rc = restore_new(ctx, config, &s);
    if (rc)
        return sx_op_immediate(ctx, ao_how, rc); /* before any child */
    s->fd = restore_fd;
    s->domid_out = domid;
    s->checkpointed = params->checkpointed_stream == 1;
    sx_lock(ctx);
    sx_op_start(ctx, &s->op, &restore_kind, ao_how);
    if (sx_helper_start(&s->helper, sx_restore_thread, s))
        finish(s, ERROR_FAIL);
    return sx_op_return(ctx, &s->op);
}
