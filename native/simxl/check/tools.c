/* What every test needs around a pair: the tool, contexts, the time. */
#define _GNU_SOURCE
#include "pair.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

const char *host_a, *host_b;
int tool_exit;

uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

char *tool(const char *host, const char *format, ...)
{
    static char out[65536];
    char command[1024];
    va_list al;
    size_t n;
    FILE *f;
    int at;

    at = snprintf(command, sizeof(command), "%s --host %s ",
                  getenv("SIMXL_TOOL"), host);
    va_start(al, format);
    vsnprintf(command + at, sizeof(command) - (size_t)at, format, al);
    va_end(al);
    f = popen(command, "r");
    n = f ? fread(out, 1, sizeof(out) - 1, f) : 0;
    out[n] = 0;
    tool_exit = f ? WEXITSTATUS(pclose(f)) : -1;
    return out;
}

bool says(const char *host, const char *name, const char *wanted)
{
    char *text = tool(host, "info %s 2>/dev/null", name);

    return tool_exit == 0 && strstr(text, wanted);
}

bool in_state(const char *host, const char *name, const char *state)
{
    char wanted[64];

    snprintf(wanted, sizeof(wanted), "\"state\": \"%s\"", state);
    return says(host, name, wanted);
}

bool comes_to(const char *host, const char *name, const char *state)
{
    for (int i = 0; i < 500; i++) {
        if (in_state(host, name, state))
            return true;
        usleep(10000);
    }
    return false;
}

libxl_ctx *open_ctx(const char *host)
{
    static xentoollog_logger *logger;
    libxl_ctx *ctx = NULL;

    if (!logger)
        logger = xtl_createlogger_stdiostream(
            stderr, getenv("CHECK_VERBOSE") ? XTL_DEBUG : XTL_CRITICAL, 0);
    setenv("SIMXL_HOST", host, 1);
    CHECK(libxl_ctx_alloc(&ctx, 0, 0, logger) == 0);
    return ctx;
}
