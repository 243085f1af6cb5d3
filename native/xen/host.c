/*
 * The process and the host: what is asked once, at the start.
 */
#include "../common/common.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int tsr_abi_version(void)
{
    return TSR_ABI_VERSION;
}

static void ignore_signal(int number)
{
    (void)number;
}

/*
 * tsr_detach: gives the process a session of its own, so that the end of ssh or
 * of a terminal does not reach it. -EPERM if it leads a process group but no
 * session: then it must be started again as a child.
 */
int tsr_detach(void)
{
    /* A handler instead of SIG_IGN: exec undoes the one, children would inherit
     * the other, and libxl's device models expect SIGHUP to work. */
    struct sigaction action = {
        .sa_handler = ignore_signal,
        .sa_flags = SA_RESTART,
    };

    signal(SIGPIPE, SIG_IGN);
    if (sigaction(SIGHUP, &action, NULL))
        return tsr_fail(-errno, "sigaction: %s", strerror(errno));
    if (getsid(0) == getpid())
        return 0;
    if (setsid() < 0)
        return tsr_fail(-errno, "setsid: %s", strerror(errno));
    return 0;
}

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
        add(text, "%.*s,", (int)(end - begin - 1), begin + 1);
    free(json);
}

static void add_physinfo(struct text *text, libxl_ctx *xl)
{
    char *json = NULL;
    void *info;

    if (!tsr_xl.libxl_get_physinfo || !tsr_xl.libxl_physinfo_init ||
        !tsr_xl.libxl_physinfo_to_json || !tsr_xl.libxl_physinfo_dispose)
        return;
    info = calloc(1, TSR_XL_STRUCT_SIZE);
    if (!info)
        return;
    tsr_xl.libxl_physinfo_init(info);
    if (!tsr_xl.libxl_get_physinfo(xl, info))
        json = tsr_xl.libxl_physinfo_to_json(xl, info);
    if (json)
        add(text, "\"physinfo\":%s,", json);
    free(json);
    tsr_xl.libxl_physinfo_dispose(info);
    free(info);
}

/*
 * tsr_host_info: one JSON object with the members of libxl_version_info, the
 * free memory in KiB (free_memory_kb), libxl_physinfo (physinfo) and the
 * library's file. What the library does not offer is absent.
 */
int tsr_host_info(char *out, size_t size)
{
    struct text text = { .out = out, .size = size };
    char path[512];
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
        add(&text, "\"free_memory_kb\":%llu,", (unsigned long long)free_kb);
    add_physinfo(&text, ctx->xl);
    tsr_json_quote(tsr_library_path(), path, sizeof(path));
    add(&text, "\"library\":%s}", path);
    tsr_ctx_put(ctx);
    if (text.len >= size)
        return tsr_fail(-ERANGE, "%zu bytes are needed", text.len + 1);
    return (int)text.len;
}
