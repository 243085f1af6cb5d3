/*
 * Short calls on a domain. Each takes a context of its own from the pool, so any
 * number of them may run at once and none of them can serve the events of a
 * session. What libxl offers asynchronously is run that way, in our own loop:
 * it may fork (see library.c), and a loop of ours has an end.
 *
 * libxl_domain_info, libxl_name_to_domid and libxl_domain_rename are synchronous
 * in libxl: a hypercall, reads of xenstore, one transaction; no event loop, no
 * child.
 */
#include "internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* xen/include/public/xen.h */
#define DOMID_FIRST_RESERVED 0x7ff0u

/* An asynchronous call under way: allocated, since it may have to be leaked. */
struct op {
    struct tsr_ctx *ctx;
    struct tsr_ao ao;
    uint32_t domid;
    void *config;
};

static void op_free(struct op *op)
{
    if (op->config) {
        tsr_xl.libxl_domain_config_dispose(op->config);
        free(op->config);
    }
    if (op->ctx)
        tsr_ctx_put(op->ctx);
    free(op);
}

static int op_new(struct op **op_out, bool config)
{
    struct op *op = calloc(1, sizeof(*op));
    int rc;

    if (!op)
        return tsr_fail(-ENOMEM, "out of memory");
    tsr_ao_init(&op->ao);
    rc = tsr_ctx_get(&op->ctx);
    if (rc < 0)
        goto out;
    if (config) {
        op->config = calloc(1, TSR_XL_CONFIG_SIZE);
        if (!op->config) {
            rc = tsr_fail(-ENOMEM, "out of memory");
            goto out;
        }
        tsr_xl.libxl_domain_config_init(op->config);
    }
    *op_out = op;
    return 0;

out:
    op_free(op);
    return rc;
}

/* The failure of a call that FORMAT describes, with what libxl logged. */
PRINTF(3, 4)
static int xl_fail(struct tsr_ctx *ctx, int rc, const char *format, ...)
{
    char what[200], why[TSR_TEXT_MAX / 2];
    va_list args;

    va_start(args, format);
    vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    tsr_log_text(ctx->log, why, sizeof(why));
    if (rc == XL_DOMAIN_NOTFOUND)
        snprintf(why, sizeof(why), "there is no such domain");
    return tsr_fail(TSR_XL(rc), "%s: %s%s(libxenlight says %d)", what, why,
                    why[0] ? " " : "", rc);
}

/*
 * Waits for an operation that was started with RC and ends it: OP is gone
 * afterwards, unless 0 is returned.
 */
static int op_end(struct op *op, int rc, int timeout_s, const char *what)
{
    if (!rc) {
        rc = tsr_ao_run(op->ctx, &op->ao, timeout_s);
        if (rc == -ETIMEDOUT)
            /* libxl may still touch all of it: leaked on purpose. */
            return tsr_fail(rc, "cannot %s domain %u: not done after %d s",
                            what, op->domid, timeout_s);
    }
    if (!rc)
        return 0;
    rc = xl_fail(op->ctx, rc, "cannot %s domain %u", what, op->domid);
    op_free(op);
    return rc;
}

static int refuse_dom0(uint32_t domid)
{
    if (domid && domid < DOMID_FIRST_RESERVED)
        return 0;
    return tsr_fail(-EINVAL, "%u is not the number of a guest", domid);
}

static int copy_out(const char *json, char *out, size_t size)
{
    size_t len = strlen(json);

    if (!out || len >= size)
        return tsr_fail(-ERANGE, "%zu bytes are needed", len + 1);
    memcpy(out, json, len + 1);
    return (int)len;
}

int tsr_domain_id(const char *name)
{
    struct tsr_ctx *ctx;
    uint32_t domid;
    int rc;

    if (!name || !*name)
        return tsr_fail(-EINVAL, "a domain's name is empty");
    rc = tsr_ctx_get(&ctx);
    if (rc < 0)
        return rc;
    rc = tsr_xl.libxl_name_to_domid(ctx->xl, name, &domid);
    if (rc)
        rc = tsr_fail(TSR_XL(rc), "there is no domain called %s", name);
    else
        rc = (int)domid;
    tsr_ctx_put(ctx);
    return rc;
}

/*
 * libxl_list_domain gives an array of libxl_dominfo, whose size is not known here:
 * of it only the count is used, and the numbers are asked for one by one until as
 * many were found. They are given in order from 1, so few are asked for in vain; a
 * question costs one hypercall (XEN_DOMCTL_getdomaininfo).
 */
int tsr_domain_ids(uint32_t *out, uint32_t room)
{
    struct tsr_ctx *ctx;
    uint32_t n = 0;
    int count = 0, seen = 0;
    void *list;
    int rc;

    rc = tsr_ctx_get(&ctx);
    if (rc < 0)
        return rc;
    list = tsr_xl.libxl_list_domain(ctx->xl, &count);
    if (!list) {
        rc = xl_fail(ctx, XL_FAIL, "cannot list the domains");
        goto out;
    }
    tsr_xl.libxl_dominfo_list_free(list, count);
    for (uint32_t domid = 0; domid < DOMID_FIRST_RESERVED && seen < count; domid++) {
        rc = tsr_xl.libxl_domain_info(ctx->xl, NULL, domid);
        if (rc)
            continue;
        seen++;
        if (!domid)
            continue;
        if (n == room) {
            rc = tsr_fail(-ERANGE, "there are more than %u domains", room);
            goto out;
        }
        out[n++] = domid;
    }
    rc = (int)n;

out:
    tsr_ctx_put(ctx);
    return rc;
}

int tsr_info_json(uint32_t domid, char **json_out)
{
    struct tsr_ctx *ctx;
    void *info;
    int rc;

    rc = tsr_ctx_get(&ctx);
    if (rc < 0)
        return rc;
    info = calloc(1, TSR_XL_STRUCT_SIZE);
    if (!info) {
        tsr_ctx_put(ctx);
        return tsr_fail(-ENOMEM, "out of memory");
    }
    tsr_xl.libxl_dominfo_init(info);
    rc = tsr_xl.libxl_domain_info(ctx->xl, info, domid);
    if (rc) {
        rc = xl_fail(ctx, rc, "cannot look at domain %u", domid);
    } else {
        *json_out = tsr_xl.libxl_dominfo_to_json(ctx->xl, info);
        if (!*json_out)
            rc = tsr_fail(-ENOMEM, "libxenlight made no JSON of domain %u",
                          domid);
    }
    tsr_xl.libxl_dominfo_dispose(info);
    free(info);
    tsr_ctx_put(ctx);
    return rc;
}

int tsr_domain_info(uint32_t domid, char *out, size_t size)
{
    char *json = NULL;
    int rc;

    rc = tsr_info_json(domid, &json);
    if (rc < 0)
        return rc;
    rc = copy_out(json, out, size);
    free(json);
    return rc;
}

int tsr_guest_look(uint32_t domid, struct tsr_guest *guest_out)
{
    char *json = NULL;
    int rc;

    *guest_out = (struct tsr_guest){ 0 };
    rc = tsr_info_json(domid, &json);
    if (rc == TSR_XL(XL_DOMAIN_NOTFOUND)) {
        guest_out->gone = true;
        return 0;
    }
    if (rc < 0)
        return rc;
    guest_out->gone = tsr_json_true(json, "dying");
    guest_out->shutdown = tsr_json_true(json, "shutdown");
    if (guest_out->shutdown &&
        !tsr_json_string(json, "shutdown_reason", guest_out->reason,
                         sizeof(guest_out->reason)))
        snprintf(guest_out->reason, sizeof(guest_out->reason), "unknown");
    guest_out->suspended = guest_out->shutdown &&
                           !strcmp(guest_out->reason, "suspend");
    free(json);
    return 0;
}

int tsr_domain_config(uint32_t domid, char *out, size_t size)
{
    struct op *op;
    char *json;
    int rc;

    rc = refuse_dom0(domid);
    if (rc < 0)
        return rc;
    rc = op_new(&op, true);
    if (rc < 0)
        return rc;
    op->domid = domid;
    rc = tsr_xl.libxl_retrieve_domain_configuration(op->ctx->xl, domid,
                                                    op->config, &op->ao.how);
    rc = op_end(op, rc, 30, "read the configuration of");
    if (rc < 0)
        return rc;
    json = tsr_xl.libxl_domain_config_to_json(op->ctx->xl, op->config);
    if (json)
        rc = copy_out(json, out, size);
    else
        rc = tsr_fail(-ENOMEM, "libxenlight made no JSON of domain %u", domid);
    free(json);
    op_free(op);
    return rc;
}

/* The calls that take a domain and nothing else. */
enum verb { PAUSE, UNPAUSE, RESUME, DESTROY };

static int simple_call(uint32_t domid, enum verb verb)
{
    static const char *const words[] = { "pause", "unpause", "resume",
                                         "destroy" };
    static const int seconds[] = { 10, 60, 60, 180 };
    struct op *op;
    libxl_ctx *xl;
    int rc;

    rc = refuse_dom0(domid);
    if (rc < 0)
        return rc;
    rc = op_new(&op, false);
    if (rc < 0)
        return rc;
    op->domid = domid;
    xl = op->ctx->xl;
    switch (verb) {
    case PAUSE:
        rc = tsr_xl.libxl_domain_pause(xl, domid, &op->ao.how);
        break;
    case UNPAUSE:
        rc = tsr_xl.libxl_domain_unpause(xl, domid, &op->ao.how);
        break;
    case RESUME:
        rc = tsr_xl.libxl_domain_resume(xl, domid, 1, &op->ao.how);
        break;
    case DESTROY:
        rc = tsr_xl.libxl_domain_destroy(xl, domid, &op->ao.how);
        break;
    }
    rc = op_end(op, rc, seconds[verb], words[verb]);
    if (rc < 0)
        return rc;
    op_free(op);
    return 0;
}

int tsr_domain_pause(uint32_t domid)
{
    return simple_call(domid, PAUSE);
}

int tsr_domain_unpause(uint32_t domid)
{
    return simple_call(domid, UNPAUSE);
}

int tsr_domain_resume(uint32_t domid)
{
    return simple_call(domid, RESUME);
}

int tsr_domain_destroy(uint32_t domid)
{
    return simple_call(domid, DESTROY);
}

int tsr_domain_rename(uint32_t domid, const char *from, const char *to)
{
    struct tsr_ctx *ctx;
    int rc;

    if (!from || !*from || !to || !*to)
        return tsr_fail(-EINVAL, "a domain's name is empty");
    rc = refuse_dom0(domid);
    if (rc < 0)
        return rc;
    rc = tsr_ctx_get(&ctx);
    if (rc < 0)
        return rc;
    rc = tsr_xl.libxl_domain_rename(ctx->xl, domid, from, to);
    if (rc)
        rc = xl_fail(ctx, rc, "cannot rename domain %u from %s to %s", domid,
                     from, to);
    tsr_ctx_put(ctx);
    return rc;
}

int tsr_domain_create(const char *config_json)
{
    struct op *op;
    uint32_t domid;
    int rc;

    if (!config_json)
        return tsr_fail(-EINVAL, "no configuration");
    rc = op_new(&op, true);
    if (rc < 0)
        return rc;
    rc = tsr_xl.libxl_domain_config_from_json(op->ctx->xl, op->config,
                                              config_json);
    if (rc) {
        rc = xl_fail(op->ctx, rc, "libxenlight refuses the configuration");
        op_free(op);
        return rc;
    }
    op->domid = UINT32_MAX;
    rc = tsr_xl.libxl_domain_create_new(op->ctx->xl, op->config, &op->domid,
                                        &op->ao.how, NULL);
    rc = op_end(op, rc, 300, "create a");
    if (rc < 0)
        return rc;
    domid = op->domid;
    op_free(op);
    return (int)domid;
}
