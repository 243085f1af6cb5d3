/*
 * The host: what is asked of it before there is a session.
 */
#include "internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct text {
    char *out;
    size_t size, len;
};

PRINTF(2, 3)
static void add(struct text *text, const char *format, ...)
{
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(text->len < text->size ? text->out + text->len : NULL,
                  text->len < text->size ? text->size - text->len : 0, format,
                  args);
    va_end(args);
    if (n > 0)
        text->len += (size_t)n;
}

/* The members of libxl_version_info, without the braces around them. */
static void add_version(struct text *text, libxl_ctx *xl)
{
    const void *version;
    char *json, *begin, *end;

    if (!tsr_xl.libxl_get_version_info || !tsr_xl.libxl_version_info_to_json)
        return;
    version = tsr_xl.libxl_get_version_info(xl);
    json = version ? tsr_xl.libxl_version_info_to_json(xl, version) : NULL;
    begin = json ? strchr(json, '{') : NULL;
    end = json ? strrchr(json, '}') : NULL;
    if (begin && end && end - begin > 3)
        add(text, "%.*s", (int)(end - begin - 1), begin + 1);
    free(json);
}

/* libxl_physinfo as it is: what the processors can do, and how many there are. */
static void add_physinfo(struct text *text, libxl_ctx *xl)
{
    char *json = NULL;
    void *info;

    if (!tsr_xl.libxl_physinfo_init || !tsr_xl.libxl_physinfo_dispose ||
        !tsr_xl.libxl_physinfo_to_json || !tsr_xl.libxl_get_physinfo)
        return;
    info = calloc(1, TSR_XL_STRUCT_SIZE);
    if (!info)
        return;
    tsr_xl.libxl_physinfo_init(info);
    if (!tsr_xl.libxl_get_physinfo(xl, info))
        json = tsr_xl.libxl_physinfo_to_json(xl, info);
    if (json && json[0] == '{')
        add(text, "%s\"physinfo\":%s", text->len > 1 ? "," : "", json);
    free(json);
    tsr_xl.libxl_physinfo_dispose(info);
    free(info);
}

int tsr_host_info(char *out, size_t size)
{
    struct text text = { .out = out, .size = size };
    struct tsr_ctx *ctx;
    uint64_t free_kb;
    int rc;

    if (!out || !size)
        return -EINVAL;
    rc = tsr_ctx_get(&ctx);
    if (rc < 0)
        return rc;
    add(&text, "{");
    add_version(&text, ctx->xl);
    if (tsr_xl.libxl_get_free_memory &&
        !tsr_xl.libxl_get_free_memory(ctx->xl, &free_kb))
        add(&text, "%s\"free_memory_kb\":%llu", text.len > 1 ? "," : "",
            (unsigned long long)free_kb);
    add_physinfo(&text, ctx->xl);
    add(&text, "}");
    tsr_ctx_put(ctx);
    if (text.len >= size)
        return tsr_fail(-ERANGE, "%zu bytes are needed", text.len + 1);
    return (int)text.len;
}

static char *pool_json(libxl_ctx *xl, const char *qualifier)
{
    uint64_t info[TSR_XL_STRUCT_SIZE / sizeof(uint64_t)] = { 0 };
    uint32_t id = 0;
    char *json = NULL;

    if (tsr_xl.libxl_cpupool_qualifier_to_cpupoolid(xl, qualifier, &id, NULL) ||
        !tsr_xl.libxl_cpupoolid_is_valid(xl, id))
        return NULL;
    tsr_xl.libxl_cpupoolinfo_init(info);
    if (!tsr_xl.libxl_cpupool_info(xl, info, id))
        json = tsr_xl.libxl_cpupoolinfo_to_json(xl, info);
    tsr_xl.libxl_cpupoolinfo_dispose(info);
    return json;
}

int tsr_pool_info(const char *qualifier, char *out, size_t size)
{
    struct tsr_ctx *ctx;
    char *json;
    size_t len;
    int rc;

    if (!qualifier || !*qualifier || !out || !size)
        return -EINVAL;
    if (!tsr_xl.libxl_cpupool_qualifier_to_cpupoolid ||
        !tsr_xl.libxl_cpupoolid_is_valid || !tsr_xl.libxl_cpupool_info ||
        !tsr_xl.libxl_cpupoolinfo_init || !tsr_xl.libxl_cpupoolinfo_dispose ||
        !tsr_xl.libxl_cpupoolinfo_to_json)
        return -ENOSYS;
    rc = tsr_ctx_get(&ctx);
    if (rc < 0)
        return rc;
    json = pool_json(ctx->xl, qualifier);
    tsr_ctx_put(ctx);
    if (!json)
        return tsr_fail(TSR_XL(XL_NOTFOUND), "there is no pool %s", qualifier);
    len = strlen(json);
    if (len < size)
        memcpy(out, json, len + 1);
    free(json);
    return len < size ? (int)len : tsr_fail(-ERANGE, "%zu bytes are needed", len + 1);
}
