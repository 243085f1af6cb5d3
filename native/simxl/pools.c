/*
 * CPU pools: HOST/pools has a line for each, its name and its processors,
 * "web 2-3", in the order of their numbers; "web" alone has none. Without that
 * file there is Pool-0 with two processors, as after a boot.
 */
#define _GNU_SOURCE
#include "xl.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* As libxl_utils.c, qualifier_to_id: nothing but digits is a number. */
static bool is_number(const char *text)
{
    return *text && strspn(text, "0123456789") == strlen(text);
}

static FILE *open_pools(const char *host)
{
    static char usual[] = "Pool-0 0-1\n";
    char path[PATH_MAX];
    FILE *file;

    snprintf(path, sizeof(path), "%s/pools", host);
    file = fopen(path, "re");
    return file ? file : fmemopen(usual, strlen(usual), "r");
}

/* The pool NAME, or where that is NULL the one of number *ID; its processors
 * in CPUS, of 64 bytes. */
static bool find(const char *host, const char *name, uint32_t *id, char *cpus,
                 char *name_out)
{
    FILE *file = open_pools(host);
    char line[256];
    bool found = false;

    for (uint32_t n = 0; file && !found && fgets(line, sizeof(line), file); n++) {
        char of[128] = "";

        cpus[0] = 0;
        if (sscanf(line, "%127s %63s", of, cpus) < 1)
            continue;
        found = name ? !strcmp(of, name) : n == *id;
        if (found) {
            *id = n;
            strcpy(name_out, of);
        }
    }
    if (file)
        fclose(file);
    return found;
}

SX_API int libxl_cpupool_qualifier_to_cpupoolid(libxl_ctx *ctx, const char *p,
                                                uint32_t *id, int *was_name)
{
    char cpus[64], name[128];

    if (was_name)
        *was_name = !is_number(p);
    if (is_number(p)) {
        *id = (uint32_t)strtoul(p, NULL, 10);
        return 0;
    }
    return find(ctx->host, p, id, cpus, name) ? 0 : ERROR_INVAL;
}

SX_API int libxl_cpupoolid_is_valid(libxl_ctx *ctx, uint32_t id)
{
    char cpus[64], name[128];

    return find(ctx->host, NULL, &id, cpus, name);
}

SX_API void libxl_cpupoolinfo_init(libxl_cpupoolinfo *info)
{
    memset(info, 0, sizeof(*info));
}

SX_API void libxl_cpupoolinfo_dispose(libxl_cpupoolinfo *info)
{
    free(info->pool_name);
    free(info->cpumap.map);
    memset(info, 0, sizeof(*info));
}

SX_API int libxl_cpupool_info(libxl_ctx *ctx, libxl_cpupoolinfo *info,
                              uint32_t id)
{
    long first = 0, last = -1;
    char cpus[64], name[128];

    if (!find(ctx->host, NULL, &id, cpus, name)) {
        sx_log(ctx, XTL_ERROR, "failed to get info for cpupool%u", id);
        return ERROR_FAIL;
    }
    info->poolid = id;
    info->pool_name = strdup(name);
    info->sched = 6; /* credit2 */
    info->cpumap.size = 8;
    info->cpumap.map = calloc(8, 1);
    if (!info->pool_name || !info->cpumap.map)
        return ERROR_NOMEM;
    if (sscanf(cpus, "%ld-%ld", &first, &last) == 1)
        last = first;
    for (long i = SX_MIN(first, 64); i >= 0 && i <= last && i < 64; i++)
        info->cpumap.map[i / 8] |= (uint8_t)(1 << i % 8);
    return 0;
}

SX_API char *libxl_cpupoolinfo_to_json(libxl_ctx *ctx, libxl_cpupoolinfo *info)
{
    struct json *j = json_new(JSON_OBJECT), *cpus = json_new(JSON_ARRAY);
    char *text;

    (void)ctx;
    if (info->poolid)
        json_add_int(j, "poolid", info->poolid);
    json_add_text(j, "pool_name", info->pool_name);
    json_add_text(j, "sched", "credit2");
    for (uint32_t i = 0; i < info->cpumap.size * 8; i++)
        if (info->cpumap.map[i / 8] & 1 << i % 8)
            json_add_int(cpus, NULL, i);
    if (json_length(cpus))
        json_add(j, "cpumap", cpus);
    else
        json_free(cpus);
    text = json_print(j);
    json_free(j);
    return text;
}

/* libxl_create.c, libxl__domain_config_setdefault; and Xen takes no domain
 * into a pool without a processor (cpupool_add_domain). */
const char *sx_pool_lacks(const char *host, const struct json *config)
{
    const struct json *info = json_get(config, "c_info");
    const char *name = info ? json_text(info, "pool_name", "") : "";
    uint32_t id = info ? (uint32_t)json_int(info, "poolid", 0) : 0;
    static _Thread_local char found[128];
    char cpus[64];

    if (is_number(name))
        id = (uint32_t)strtoul(name, NULL, 10);
    else if (!*name)
        snprintf(found, sizeof(found), "%u", id);
    if (find(host, *name && !is_number(name) ? name : NULL, &id, cpus, found) &&
        cpus[0])
        return NULL;
    return *name ? name : found;
}
