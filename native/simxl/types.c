/*
 * The smaller types of libxl: init, dispose, from and to JSON. As in libxl,
 * members with their default value are left out of the JSON.
 */
#define _GNU_SOURCE
#include "xl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

const char *sx_type_name(uint32_t type)
{
    return type == SX_PV ? "pv" : type == SX_PVH ? "pvh" : "hvm";
}

const char *sx_reason_name(int reason)
{
    static const char *const names[] = { "poweroff", "reboot", "suspend",
                                         "crash", "watchdog", "soft_reset" };

    return reason >= 0 && reason < 6 ? names[reason] : "unknown";
}

SX_API const char *libxl_shutdown_reason_to_string(int reason)
{
    return reason >= -1 && reason < 6 ? sx_reason_name(reason) : NULL;
}

SX_API const char *libxl_action_on_shutdown_to_string(int action)
{
    static const char *const names[] = {
        NULL, "destroy", "restart", "restart_rename", "preserve",
        "coredump_destroy", "coredump_restart", "soft_reset"
    };

    return action > 0 && (size_t)action < SX_ARRAY(names) ? names[action]
                                                          : NULL;
}

static char *print_and_free(struct json *j)
{
    char *text = json_print(j);

    json_free(j);
    return text;
}

static void add_nonzero(struct json *j, const char *key, uint64_t value)
{
    if (value)
        json_add_int(j, key, (int64_t)value);
}

static void add_true(struct json *j, const char *key, bool value)
{
    if (value)
        json_add_bool(j, key, true);
}

/* ---- libxl_dominfo -------------------------------------------------- */

SX_API void libxl_dominfo_init(libxl_dominfo *p)
{
    memset(p, 0, sizeof(*p));
    p->shutdown_reason = -1;
    p->outstanding_memkb = p->current_memkb = p->shared_memkb = UINT64_MAX;
    p->paged_memkb = p->max_memkb = UINT64_MAX;
    p->domain_type = -1;
}

SX_API void libxl_dominfo_dispose(libxl_dominfo *p)
{
    if (!p)
        return;
    free(p->ssid_label);
    memset(p, 0, sizeof(*p));
}

SX_API char *libxl_dominfo_to_json(libxl_ctx *ctx, libxl_dominfo *p)
{
    struct json *j = json_new(JSON_OBJECT);
    char uuid[37];

    (void)ctx;
    sx_uuid_print(p->uuid, uuid);
    json_add_text(j, "uuid", uuid);
    add_nonzero(j, "domid", p->domid);
    add_nonzero(j, "ssidref", p->ssidref);
    if (p->ssid_label)
        json_add_text(j, "ssid_label", p->ssid_label);
    add_true(j, "running", p->running);
    add_true(j, "blocked", p->blocked);
    add_true(j, "paused", p->paused);
    add_true(j, "shutdown", p->shutdown);
    add_true(j, "dying", p->dying);
    add_true(j, "never_stop", p->never_stop);
    if (p->shutdown_reason != -1) {
        const char *word = libxl_shutdown_reason_to_string(p->shutdown_reason);

        /* A number that libxl has no word for is null (libxl__yajl_gen_enum). */
        if (word)
            json_add_text(j, "shutdown_reason", word);
        else
            json_add(j, "shutdown_reason", json_new(JSON_NULL));
    }
    if (p->outstanding_memkb != UINT64_MAX)
        json_add_int(j, "outstanding_memkb", (int64_t)p->outstanding_memkb);
    if (p->current_memkb != UINT64_MAX)
        json_add_int(j, "current_memkb", (int64_t)p->current_memkb);
    if (p->shared_memkb != UINT64_MAX)
        json_add_int(j, "shared_memkb", (int64_t)p->shared_memkb);
    if (p->paged_memkb != UINT64_MAX)
        json_add_int(j, "paged_memkb", (int64_t)p->paged_memkb);
    if (p->max_memkb != UINT64_MAX)
        json_add_int(j, "max_memkb", (int64_t)p->max_memkb);
    add_nonzero(j, "cpu_time", p->cpu_time);
    add_nonzero(j, "vcpu_max_id", p->vcpu_max_id);
    add_nonzero(j, "vcpu_online", p->vcpu_online);
    add_nonzero(j, "cpupool", p->cpupool);
    add_nonzero(j, "gpaddr_bits", p->gpaddr_bits);
    if (p->domain_type != -1)
        json_add_text(j, "domain_type",
                      sx_type_name((uint32_t)p->domain_type));
    return print_and_free(j);
}

/* ---- reading -------------------------------------------------------- */

static bool get_int(const struct json *j, const char *key, int *out)
{
    struct json *v = json_get(j, key);

    if (!v)
        return true;
    if (v->kind != JSON_NUMBER || strpbrk(v->text, ".eE"))
        return false;
    *out = atoi(v->text);
    return true;
}

static bool get_defbool(const struct json *j, const char *key,
                        libxl_defbool *out)
{
    struct json *v = json_get(j, key);

    if (!v)
        return true;
    if (v->kind != JSON_STRING)
        return false;
    if (!strcmp(v->text, "<default>"))
        out->val = 0;
    else if (!strcmp(v->text, "True"))
        out->val = 1;
    else if (!strcmp(v->text, "False"))
        out->val = -1;
    else
        return false;
    return true;
}

static bool get_string(const struct json *j, const char *key, char **out)
{
    struct json *v = json_get(j, key);

    if (!v || v->kind == JSON_NULL)
        return true;
    if (v->kind != JSON_STRING)
        return false;
    free(*out);
    *out = strdup(v->text);
    return true;
}

static void add_defbool(struct json *j, const char *key, libxl_defbool b)
{
    if (b.val)
        json_add_text(j, key, b.val > 0 ? "True" : "False");
}

/* ---- libxl_domain_remus_info ---------------------------------------- */

SX_API void libxl_domain_remus_info_init(libxl_domain_remus_info *p)
{
    memset(p, 0, sizeof(*p));
}

SX_API void libxl_domain_remus_info_dispose(libxl_domain_remus_info *p)
{
    if (!p)
        return;
    free(p->netbufscript);
    memset(p, 0, sizeof(*p));
}

SX_API int libxl_domain_remus_info_from_json(libxl_ctx *ctx,
                                             libxl_domain_remus_info *p,
                                             const char *text)
{
    struct json *j = json_parse(text);
    bool ok = j && j->kind == JSON_OBJECT &&
        get_int(j, "interval", &p->interval) &&
        get_defbool(j, "allow_unsafe", &p->allow_unsafe) &&
        get_defbool(j, "blackhole", &p->blackhole) &&
        get_defbool(j, "compression", &p->compression) &&
        get_defbool(j, "netbuf", &p->netbuf) &&
        get_string(j, "netbufscript", &p->netbufscript) &&
        get_defbool(j, "diskbuf", &p->diskbuf) &&
        get_defbool(j, "colo", &p->colo) &&
        get_defbool(j, "userspace_colo_proxy", &p->userspace_colo_proxy);

    json_free(j);
    if (!ok)
        sx_log(ctx, XTL_ERROR, "unable to generate libxl_domain_remus_info"
               " from JSON representation");
    return ok ? 0 : ERROR_FAIL;
}

SX_API char *libxl_domain_remus_info_to_json(libxl_ctx *ctx,
                                             libxl_domain_remus_info *p)
{
    struct json *j = json_new(JSON_OBJECT);

    (void)ctx;
    if (p->interval)
        json_add_int(j, "interval", p->interval);
    add_defbool(j, "allow_unsafe", p->allow_unsafe);
    add_defbool(j, "blackhole", p->blackhole);
    add_defbool(j, "compression", p->compression);
    add_defbool(j, "netbuf", p->netbuf);
    if (p->netbufscript)
        json_add_text(j, "netbufscript", p->netbufscript);
    add_defbool(j, "diskbuf", p->diskbuf);
    add_defbool(j, "colo", p->colo);
    add_defbool(j, "userspace_colo_proxy", p->userspace_colo_proxy);
    return print_and_free(j);
}

/* ---- libxl_domain_restore_params ------------------------------------ */

SX_API void libxl_domain_restore_params_init(libxl_domain_restore_params *p)
{
    memset(p, 0, sizeof(*p));
    p->stream_version = 1;
}

SX_API void libxl_domain_restore_params_dispose(libxl_domain_restore_params *p)
{
    if (!p)
        return;
    free(p->colo_proxy_script);
    memset(p, 0, sizeof(*p));
}

SX_API int libxl_domain_restore_params_from_json(
    libxl_ctx *ctx, libxl_domain_restore_params *p, const char *text)
{
    struct json *j = json_parse(text);
    int version = (int)p->stream_version;
    bool ok = j && j->kind == JSON_OBJECT &&
        get_int(j, "checkpointed_stream", &p->checkpointed_stream) &&
        get_int(j, "stream_version", &version) &&
        get_string(j, "colo_proxy_script", &p->colo_proxy_script) &&
        get_defbool(j, "userspace_colo_proxy", &p->userspace_colo_proxy);

    p->stream_version = (uint32_t)version;
    json_free(j);
    if (!ok)
        sx_log(ctx, XTL_ERROR, "unable to generate"
               " libxl_domain_restore_params from JSON representation");
    return ok ? 0 : ERROR_FAIL;
}

SX_API char *libxl_domain_restore_params_to_json(
    libxl_ctx *ctx, libxl_domain_restore_params *p)
{
    struct json *j = json_new(JSON_OBJECT);

    (void)ctx;
    add_nonzero(j, "checkpointed_stream", (uint64_t)p->checkpointed_stream);
    if (p->stream_version != 1)
        json_add_int(j, "stream_version", p->stream_version);
    if (p->colo_proxy_script)
        json_add_text(j, "colo_proxy_script", p->colo_proxy_script);
    add_defbool(j, "userspace_colo_proxy", p->userspace_colo_proxy);
    return print_and_free(j);
}

/* ---- libxl_version_info --------------------------------------------- */

SX_API char *libxl_version_info_to_json(libxl_ctx *ctx, libxl_version_info *p)
{
    struct json *j = json_new(JSON_OBJECT), *virt_start;

    (void)ctx;
    json_add_int(j, "xen_version_major", p->xen_version_major);
    json_add_int(j, "xen_version_minor", p->xen_version_minor);
    json_add_text(j, "xen_version_extra", p->xen_version_extra);
    json_add_text(j, "compiler", p->compiler);
    json_add_text(j, "compile_by", p->compile_by);
    json_add_text(j, "compile_domain", p->compile_domain);
    json_add_text(j, "compile_date", p->compile_date);
    json_add_text(j, "capabilities", p->capabilities);
    json_add_text(j, "changeset", p->changeset);
    virt_start = json_add_int(j, "virt_start", 0);
    free(virt_start->text);
    if (asprintf(&virt_start->text, "%lu", (unsigned long)p->virt_start) < 0)
        abort();
    json_add_int(j, "pagesize", p->pagesize);
    json_add_text(j, "commandline", p->commandline);
    json_add_text(j, "build_id", p->build_id);
    return print_and_free(j);
}
