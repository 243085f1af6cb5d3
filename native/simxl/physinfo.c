/*
 * What kind of host it is: its processors, its memory and how its Xen was built.
 * HOST/xen says so, a `key=value` a line; what is not there is as on a usual host.
 * Only what HOST/xen can say is true: the rest of libxl_physinfo stays 0, which
 * its JSON leaves out as libxl's does.
 */
#define _GNU_SOURCE
#include "json.h"
#include "sx.h"
#include "xl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *sx_host_text(const char *host, const char *key)
{
    char path[PATH_MAX + 8], *text, *line, *rest, *found = NULL;
    size_t length = strlen(key);

    snprintf(path, sizeof(path), "%s/xen", host);
    text = sx_read_file(path);
    for (line = text ? strtok_r(text, "\n", &rest) : NULL; line && !found;
         line = strtok_r(NULL, "\n", &rest)) {
        if (!strncmp(line, key, length) && line[length] == '=')
            found = strdup(line + length + 1);
    }
    free(text);
    return found;
}

long long sx_host_value(const char *host, const char *key, long long otherwise)
{
    char *text = sx_host_text(host, key);
    long long value = text ? strtoll(text, NULL, 0) : otherwise;

    free(text);
    return value;
}

SX_API void libxl_physinfo_init(libxl_physinfo *p)
{
    memset(p, 0, sizeof(*p));
}

SX_API void libxl_physinfo_dispose(libxl_physinfo *p)
{
    (void)p;
}

SX_API int libxl_get_physinfo(libxl_ctx *ctx, libxl_physinfo *p)
{
    const char *host = ctx->host;

    p->threads_per_core = 1;
    p->nr_nodes = 1;
    p->nr_cpus = (uint32_t)sx_host_value(host, "cpus", 4);
    p->cores_per_socket = p->nr_cpus;
    p->max_cpu_id = p->nr_cpus - 1;
    p->hw_cap[0] = (uint32_t)sx_host_value(host, "hw_cap0", 0x178bfbff);
    p->hw_cap[1] = (uint32_t)sx_host_value(host, "hw_cap1", 0xf7fa3203);
    p->cap_hvm = true;
    p->cap_pv = true;
    p->cap_hap = sx_host_value(host, "hap", 1) != 0;
    p->cap_shadow = sx_host_value(host, "shadow", 1) != 0;
    return 0;
}

static void add_true(struct json *j, const char *key, bool value)
{
    if (value)
        json_add_bool(j, key, true);
}

SX_API char *libxl_physinfo_to_json(libxl_ctx *ctx, libxl_physinfo *p)
{
    struct json *j = json_new(JSON_OBJECT), *words;
    char *text;

    (void)ctx;
    json_add_int(j, "threads_per_core", p->threads_per_core);
    json_add_int(j, "cores_per_socket", p->cores_per_socket);
    json_add_int(j, "max_cpu_id", p->max_cpu_id);
    json_add_int(j, "nr_cpus", p->nr_cpus);
    json_add_int(j, "nr_nodes", p->nr_nodes);
    words = json_add(j, "hw_cap", json_new(JSON_ARRAY));
    for (size_t i = 0; i < SX_ARRAY(p->hw_cap); i++)
        json_add_int(words, NULL, p->hw_cap[i]);
    add_true(j, "cap_hvm", p->cap_hvm);
    add_true(j, "cap_pv", p->cap_pv);
    add_true(j, "cap_hap", p->cap_hap);
    add_true(j, "cap_shadow", p->cap_shadow);
    text = json_print(j);
    json_free(j);
    return text;
}
