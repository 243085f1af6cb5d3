/*
 * The host: what is asked of it once, before there is a session.
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
