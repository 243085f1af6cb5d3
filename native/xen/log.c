/*
 * What libxl logs. Every context has a stream of its own (fopencookie), which
 * libxl's stdio logger writes to; the save and restore helpers log through libxl,
 * so their lines come here as well. Lines go to a session's event pipe, and the
 * error lines are kept for the sentence that explains a failure; where there is
 * none, the last warning. No control character of a line is kept.
 *
 * libxl forks. A child may still log before it execs, so a write in another
 * process than ours does nothing: neither our locks nor our pipe are its own.
 */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_BYTES 1000
/* The first errors name the cause, the last ones what came of it. */
#define KEEP_FIRST 2
#define KEEP_LAST 2
#define KEEP (KEEP_FIRST + KEEP_LAST)
#define KEEP_BYTES 240

struct tsr_log {
    struct tsr_events *events;
    FILE *stream;
    pid_t pid;
    pthread_mutex_t lock;
    char line[LINE_MAX_BYTES + 1];
    size_t len;
    unsigned errors;
    char kept[KEEP][KEEP_BYTES];
    char warned[KEEP_BYTES];
};

/* And what follows the mark of the level; all of a line without one. */
static int level_of(const char *line, const char **text)
{
    static const struct {
        const char *mark;
        int level;
    } marks[] = {
        { ": critical: ", XTL_CRITICAL }, { ": error: ", XTL_ERROR },
        { ": warning: ", XTL_WARN },      { ": notice: ", XTL_NOTICE },
        { ": info: ", XTL_INFO },         { ": progress: ", XTL_PROGRESS },
        { ": detail: ", XTL_DETAIL },     { ": verbose: ", XTL_VERBOSE },
        { ": debug: ", XTL_DEBUG },
    };
    const char *best = NULL;
    int level = XTL_INFO;
    size_t i;

    *text = line;
    /* "libxl: error: file:line:function: text": the first mark is the level. */
    for (i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
        const char *at = strstr(line, marks[i].mark);

        if (at && (!best || at < best)) {
            best = at;
            level = marks[i].level;
            *text = at + strlen(marks[i].mark);
        }
    }
    return level;
}

/* "libxl_x.c:12:f: Domain 3:text" -> "Domain 3:text". */
static const char *message_of(const char *text)
{
    const char *colon = strstr(text, ": ");

    return !strncmp(text, "libxl", 5) && colon ? colon + 2 : text;
}

static void keep_error(struct tsr_log *log, const char *message)
{
    unsigned slot = log->errors;

    if (slot >= KEEP) {
        memmove(log->kept[KEEP_FIRST], log->kept[KEEP_FIRST + 1],
                (KEEP_LAST - 1) * KEEP_BYTES);
        slot = KEEP - 1;
    }
    snprintf(log->kept[slot], KEEP_BYTES, "%.*s", KEEP_BYTES - 1, message);
    log->errors++;
}

static void end_line(struct tsr_log *log)
{
    struct tsr_event values = { 0 };
    const char *text;

    if (!log->len)
        return;
    log->line[log->len] = 0;
    values.a = level_of(log->line, &text);
    if (values.a >= XTL_ERROR)
        keep_error(log, message_of(text));
    else if (values.a == XTL_WARN)
        snprintf(log->warned, KEEP_BYTES, "%.*s", KEEP_BYTES - 1, message_of(text));
    if (log->events)
        tsr_events_send(log->events, TSR_EV_LOG, &values, log->line);
    log->len = 0;
}

static ssize_t cookie_write(void *cookie, const char *data, size_t size)
{
    struct tsr_log *log = cookie;
    size_t i;

    if (getpid() != log->pid)
        return (ssize_t)size;
    pthread_mutex_lock(&log->lock);
    for (i = 0; i < size; i++) {
        if (data[i] == '\n')
            end_line(log);
        else if (data[i] != '\r' && log->len < LINE_MAX_BYTES)
            log->line[log->len++] = (unsigned char)data[i] < 0x20 || data[i] == 0x7f
                                        ? ' ' : data[i];
    }
    pthread_mutex_unlock(&log->lock);
    return (ssize_t)size;
}

struct tsr_log *tsr_log_open(struct tsr_events *events)
{
    cookie_io_functions_t functions = { .write = cookie_write };
    struct tsr_log *log = calloc(1, sizeof(*log));

    if (!log)
        return NULL;
    log->events = events;
    log->pid = getpid();
    pthread_mutex_init(&log->lock, NULL);
    log->stream = fopencookie(log, "w", functions);
    if (!log->stream) {
        free(log);
        return NULL;
    }
    return log;
}

FILE *tsr_log_stream(struct tsr_log *log)
{
    return log->stream;
}

void tsr_log_reset(struct tsr_log *log)
{
    pthread_mutex_lock(&log->lock);
    log->errors = 0;
    log->warned[0] = 0;
    pthread_mutex_unlock(&log->lock);
}

void tsr_log_text(struct tsr_log *log, char *out, size_t size)
{
    unsigned i, n;
    size_t len = 0;

    out[0] = 0;
    pthread_mutex_lock(&log->lock);
    n = log->errors < KEEP ? log->errors : KEEP;
    if (!n)
        len += (size_t)snprintf(out, size, "%s", log->warned);
    for (i = 0; i < n && len < size; i++)
        len += (size_t)snprintf(out + len, size - len, "%s%s",
                                i ? "; " : "", log->kept[i]);
    pthread_mutex_unlock(&log->lock);
}

void tsr_log_free(struct tsr_log *log)
{
    if (!log)
        return;
    fclose(log->stream);
    pthread_mutex_destroy(&log->lock);
    free(log);
}
