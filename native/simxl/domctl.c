/*
 * The short calls: finding, looking at, pausing, renaming and destroying
 * domains, and creating new ones.
 */
#define _GNU_SOURCE
#include "guest.h"
#include "xl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "create.h"
#include "devices.h"

/* The faults of a call on a domain; true: the call fails with *RC. */
int sx_fault_rc(libxl_ctx *ctx, const char *point, uint32_t domid, int *rc)
{
    char name[SX_NAME_MAX] = "";
    struct sx_domain d;
    struct sx_fault f;

    if (!sx_domain_map(ctx->host, domid, SX_MAP_STATE, &d)) {
        memcpy(name, d.st->name, sizeof(name));
        sx_domain_unmap(&d);
    }
    if (!sx_fault(ctx->host, point, name, -1, &f) || !f.fail)
        return 0;
    sx_log(ctx, XTL_ERROR, "simxl: %s fails on request", point);
    *rc = f.rc;
    return 1;
}

/* The control page of a domain that exists. */
static int look(libxl_ctx *ctx, uint32_t domid, struct sx_domain *d)
{
    if (sx_domain_map(ctx->host, domid, SX_MAP_STATE, d))
        return ERROR_DOMAIN_NOTFOUND;
    if (sx_domain_exists(d))
        return 0;
    sx_domain_unmap(d);
    return ERROR_DOMAIN_NOTFOUND;
}

SX_API int libxl_name_to_domid(libxl_ctx *ctx, const char *name,
                               uint32_t *domid)
{
    int rc;

    if (sx_fault_rc(ctx, "libxl_name_to_domid", 0, &rc))
        return rc;
    return sx_host_find(ctx->host, name, domid) ? ERROR_INVAL : 0;
}

static void fill_info(libxl_dominfo *out, const struct sx_state *st)
{
    uint64_t kb = st->nr_pages * 4;

    memcpy(out->uuid, st->uuid, sizeof(out->uuid));
    out->domid = st->domid;
    out->paused = atomic_load(&st->pause_count) > 0;
    out->shutdown = atomic_load(&st->shutdown);
    out->running = !out->paused && !out->shutdown;
    out->dying = atomic_load(&st->phase) == SX_DYING;
    out->shutdown_reason =
        out->shutdown ? (int)atomic_load(&st->shutdown_reason) : -1;
    out->outstanding_memkb = out->shared_memkb = out->paged_memkb = 0;
    out->current_memkb = kb;
    out->max_memkb = kb + 1024;
    out->cpu_time = atomic_load(&st->active_ns);
    out->vcpu_max_id = st->vcpus - 1;
    out->vcpu_online = st->vcpus;
    out->gpaddr_bits = 36;
    /* As libxl 4.17 does: a PVH guest is an "hvm" one here. */
    out->domain_type = st->type == SX_PV ? SX_PV : SX_HVM;
}

SX_API int libxl_domain_info(libxl_ctx *ctx, libxl_dominfo *out,
                             uint32_t domid)
{
    struct sx_domain d;
    int rc;

    if (sx_fault_rc(ctx, "libxl_domain_info", domid, &rc))
        return rc;
    rc = look(ctx, domid, &d);
    if (rc)
        return rc;
    if (out)
        fill_info(out, d.st);
    sx_domain_unmap(&d);
    return 0;
}

/* Without the host's own domain, which nobody here can look at. */
SX_API libxl_dominfo *libxl_list_domain(libxl_ctx *ctx, int *count_out)
{
    uint32_t ids[1024];
    libxl_dominfo *list;
    int n, count = 0, rc;

    if (sx_fault_rc(ctx, "libxl_list_domain", 0, &rc))
        return NULL;
    n = sx_host_list(ctx->host, ids, 1024);
    list = calloc(n > 0 ? (size_t)n : 1, sizeof(*list));
    for (int i = 0; list && i < n; i++) {
        struct sx_domain d;

        if (look(ctx, ids[i], &d))
            continue;
        fill_info(&list[count++], d.st);
        sx_domain_unmap(&d);
    }
    *count_out = count;
    return list;
}

SX_API void libxl_dominfo_list_free(libxl_dominfo *list, int count)
{
    (void)count; /* nothing in one of ours is allocated */
    free(list);
}

SX_API int libxl_retrieve_domain_configuration(libxl_ctx *ctx, uint32_t domid,
                                               libxl_domain_config *c,
                                               const libxl_asyncop_how *how)
{
    char path[PATH_MAX], *text = NULL;
    struct sx_domain d;
    struct json *root;
    int rc;

    if (sx_fault_rc(ctx, "libxl_retrieve_domain_configuration", domid, &rc))
        return rc;
    rc = look(ctx, domid, &d);
    if (rc)
        return rc;
    sx_path(path, ctx->host, domid, "config.json");
    text = sx_read_file(path);
    root = text ? json_parse(text) : NULL;
    free(text);
    if (root) {
        char uuid[37];

        sx_config(c); /* complains where _init was forgotten */
        json_free(c->root);
        c->root = root;
        sx_uuid_print(d.st->uuid, uuid);
        json_add_text(json_get(root, "c_info"), "name", d.st->name);
        json_add_text(json_get(root, "c_info"), "uuid", uuid);
    }
    sx_domain_unmap(&d);
    return root ? sx_op_immediate(ctx, how, 0) : ERROR_FAIL;
}

SX_API int libxl_domain_pause(libxl_ctx *ctx, uint32_t domid,
                              const libxl_asyncop_how *how)
{
    struct sx_domain d;
    int rc;

    if (sx_fault_rc(ctx, "libxl_domain_pause", domid, &rc))
        return rc;
    if (look(ctx, domid, &d)) {
        sx_log(ctx, XTL_ERROR, "Domain %u:Pausing domain", domid);
        return ERROR_FAIL;
    }
    sx_domain_pause(d.st);
    sx_domain_unmap(&d);
    return sx_op_immediate(ctx, how, 0);
}

SX_API int libxl_domain_unpause(libxl_ctx *ctx, uint32_t domid,
                                const libxl_asyncop_how *how)
{
    struct sx_domain d;
    int rc;

    if (sx_fault_rc(ctx, "libxl_domain_unpause", domid, &rc))
        return rc;
    if (look(ctx, domid, &d))
        return ERROR_FAIL;
    rc = sx_domain_unpause(d.st) ? ERROR_FAIL : 0;
    sx_domain_unmap(&d);
    if (rc)
        sx_log(ctx, XTL_ERROR, "Domain %u:Unpausing domain", domid);
    return rc ? rc : sx_op_immediate(ctx, how, 0);
}

SX_API int libxl_domain_resume(libxl_ctx *ctx, uint32_t domid,
                               int suspend_cancel,
                               const libxl_asyncop_how *how)
{
    struct sx_domain d;
    int rc;

    if (sx_fault_rc(ctx, "libxl_domain_resume", domid, &rc))
        return rc;
    if (look(ctx, domid, &d))
        return ERROR_FAIL;
    /* Not cooperative means new device connections, which no guest here
     * could survive any more than a real one does. */
    rc = suspend_cancel && !sx_domain_resume(d.st) ? 0 : ERROR_FAIL;
    sx_domain_unmap(&d);
    if (rc)
        sx_log(ctx, XTL_ERROR, "Domain %u:xc_domain_resume failed", domid);
    return rc ? rc : sx_op_immediate(ctx, how, 0);
}

SX_API int libxl_domain_destroy(libxl_ctx *ctx, uint32_t domid,
                                const libxl_asyncop_how *how)
{
    struct sx_domain d;
    int rc;

    if (sx_fault_rc(ctx, "libxl_domain_destroy", domid, &rc))
        return rc;
    if (sx_would_hang(ctx, how))
        return ERROR_FAIL;
    rc = look(ctx, domid, &d);
    if (rc)
        return sx_op_immediate(ctx, how, rc);
    sx_domain_unmap(&d);
    rc = sx_domain_destroy(ctx->host, domid) ? ERROR_FAIL : 0;
    return sx_op_forked(ctx, how, rc);
}

SX_API int libxl_domain_rename(libxl_ctx *ctx, uint32_t domid,
                               const char *old_name, const char *new_name)
{
    struct sx_domain d;
    uint32_t other;
    int lock, rc;

    if (sx_fault_rc(ctx, "libxl_domain_rename", domid, &rc))
        return rc;
    if (!new_name || strlen(new_name) >= SX_NAME_MAX)
        return ERROR_INVAL;
    lock = sx_host_lock(ctx->host);
    if (lock < 0)
        return ERROR_FAIL;
    rc = ERROR_FAIL;
    if (look(ctx, domid, &d))
        goto out;
    if (old_name && strcmp(d.st->name, old_name)) {
        sx_log(ctx, XTL_ERROR, "Domain %u:Allegedly named `%s' is actually"
               " named `%s' - racing ?", domid, old_name, d.st->name);
    } else if (new_name[0] && !sx_host_find(ctx->host, new_name, &other) &&
               other != domid) {
        sx_log(ctx, XTL_ERROR, "Domain %u:Domain with name \"%s\" already"
               " exists.", domid, new_name);
        rc = ERROR_INVAL;
    } else {
        strcpy(d.st->name, new_name);
        rc = 0;
    }
    sx_domain_unmap(&d);

out:
    sx_host_unlock(lock);
    return rc;
}

SX_API int libxl_get_free_memory(libxl_ctx *ctx, uint64_t *memkb)
{
    int rc;

    if (sx_fault_rc(ctx, "libxl_get_free_memory", 0, &rc))
        return rc;
    *memkb = (uint64_t)sx_host_value(ctx->host, "free_kb", -1);
    if (*memkb != UINT64_MAX)
        return 0;
    *memkb = (uint64_t)sysconf(_SC_AVPHYS_PAGES) *
        (uint64_t)sysconf(_SC_PAGESIZE) / 1024;
    return 0;
}

SX_API int libxl_domain_create_new(libxl_ctx *ctx, libxl_domain_config *c,
                                   uint32_t *domid,
                                   const libxl_asyncop_how *how,
                                   const void *console_how)
{
    int rc;

    (void)console_how;
    *domid = UINT32_MAX;
    if (sx_would_hang(ctx, how))
        return ERROR_FAIL;
    if (!sx_fault_rc(ctx, "libxl_domain_create_new", 0, &rc)) {
        struct json *config = sx_config(c);

        /* As for a restore; and a boot reads the kernel. */
        rc = sx_boot_lacks(ctx->host, config) ||
             sx_devices_lack(ctx->host, config)
                 ? ERROR_FAIL : sx_create(ctx->host, config, domid);
        if (!rc && sx_devices_add(ctx->host, config, *domid)) {
            sx_domain_destroy(ctx->host, *domid);
            *domid = UINT32_MAX;
            rc = ERROR_FAIL;
        }
    }
    if (rc)
        sx_log(ctx, XTL_ERROR, "simxl: the domain could not be created: %d",
               rc);
    return sx_op_forked(ctx, how, rc);
}
