/*
 * The event pipe and libxl's log.
 */
#include "session.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../xen/internal.h"

/* ---- events --------------------------------------------------------------- */

TEST(events_are_whole_and_in_order)
{
    struct tsr_event values = { .b = 2, .c = 3, .d = 4, .e = 5 };
    struct tsr_events *events;
    char text[2000];
    struct event event;
    int32_t fd;
    int i;

    events = tsr_events_open(&fd);
    CHECK(events);
    CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
    CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    memset(text, 'x', sizeof(text));
    text[1999] = 0;
    /* 64 KiB of pipe and the queue: more than the pipe alone takes. */
    for (i = 0; i < 150; i++) {
        values.a = i;
        tsr_events_send(events, TSR_EV_FED, &values, text + 1999 - i % 1999);
    }
    CHECK(!next_event(-1, &event, 0));
    for (i = 0; i < 150; i++) {
        tsr_events_flush(events);
        CHECK(next_event(fd, &event, 100));
        CHECK(event.e.kind == TSR_EV_FED && event.e.a == i && event.e.e == 5);
        CHECK(event.e.text_len == (uint32_t)i && event.e.time_ns);
    }
    CHECK(!next_event(fd, &event, 0));
    CHECK(tsr_events_want(events) == -1);
    tsr_events_send(events, TSR_EV_LOG, NULL, text);
    tsr_events_free(events);
    close(fd);
}

/* A chatty libxl: lines are dropped, other events are not, and it is said. */
TEST(events_bound_the_log)
{
    struct tsr_event values = { .a = 1 };
    struct tsr_events *events;
    struct tsr_event got;
    unsigned lines = 0, told = 0, others = 0;
    char text[TSR_EVENT_TEXT_MAX];
    uint64_t began_ms = now_ms();
    uint64_t more;                      /* what was allowed meanwhile, on a busy machine */
    int32_t fd;

    events = tsr_events_open(&fd);
    for (int i = 0; i < 5000; i++)
        tsr_events_send(events, TSR_EV_LOG, &values, "a line");
    for (int i = 0; i < 20; i++)
        tsr_events_send(events, TSR_EV_FED, &values, NULL);
    sleep_ms(30);
    tsr_events_send(events, TSR_EV_LOG, &values, "a line");
    more = (now_ms() - began_ms) / 10 + 1;
    for (;;) {
        tsr_events_flush(events);
        if (read(fd, &got, sizeof(got)) != sizeof(got))
            break;
        CHECK(read(fd, text, got.text_len) == (ssize_t)got.text_len);
        if (got.kind == TSR_EV_FED)
            others++;
        else if (memmem(text, got.text_len, "were dropped", 12))
            told++;
        else
            lines++;
    }
    CHECK(others == 20 && told >= 1 && told <= more && lines > 100 && lines <= 200 + more);
    tsr_events_free(events);
    close(fd);
}

TEST(events_survive_a_closed_reader)
{
    struct tsr_events *events;
    int32_t fd;

    signal(SIGPIPE, SIG_IGN);
    events = tsr_events_open(&fd);
    close(fd);
    for (int i = 0; i < 300; i++)
        tsr_events_send(events, TSR_EV_FED, NULL, "text");
    tsr_events_finish(events);
    tsr_events_free(events);
}

/* ---- the log ------------------------------------------------------------------------ */

TEST(log_keeps_the_errors)
{
    struct tsr_log *log = tsr_log_open(NULL);
    FILE *f = tsr_log_stream(log);
    char text[1024];

    fprintf(f, "libxl: debug: libxl_a.c:1:f: chatter\n");
    fprintf(f, "libxl: error: libxl_dom.c:12:do_it: Domain 3:first\n");
    fprintf(f, "xc: error: Failed to enable logdirty: 95,22,0: Internal error\n");
    for (int i = 0; i < 9; i++)
        fprintf(f, "libxl: error: libxl_b.c:%d:g: number %d\n", i, i);
    fflush(f);
    tsr_log_text(log, text, sizeof(text));
    CHECK(!strcmp(text, "Domain 3:first; Failed to enable logdirty: 95,22,0: "
                  "Internal error; number 7; number 8"));
    tsr_log_text(log, text, 10);
    CHECK(!strcmp(text, "Domain 3:"));
    tsr_log_reset(log);
    tsr_log_text(log, text, sizeof(text));
    CHECK(!text[0]);
    for (int i = 0; i < 5000; i++)
        fprintf(f, "x");
    fprintf(f, ": error: \n");
    fflush(f);
    tsr_log_free(log);
}

/* Proves: where nothing was an error the last warning explains, and no line forges another one. */
TEST(log_keeps_the_last_warning)
{
    struct tsr_log *log = tsr_log_open(NULL);
    FILE *f = tsr_log_stream(log);
    char text[1024];

    fprintf(f, "libxl: warning: libxl_a.c:1:f: Domain 3:older\n");
    fprintf(f, "libxl: warning: libxl_remus.c:9:f: Domain 3:Remus ended\x1b[2J with\t-8\r\n");
    fprintf(f, "libxl: info: chatter\n");
    fflush(f);
    tsr_log_text(log, text, sizeof(text));
    CHECK(!strcmp(text, "Domain 3:Remus ended [2J with -8"));
    tsr_log_text(log, text, 7);
    CHECK(!strcmp(text, "Domain"));
    fprintf(f, "libxl: error: libxl_dom_suspend.c:372:f: Domain 3:timed out\n");
    fflush(f);
    tsr_log_text(log, text, sizeof(text));
    CHECK(!strcmp(text, "Domain 3:timed out"));
    tsr_log_reset(log);
    tsr_log_text(log, text, sizeof(text));
    CHECK(!text[0]);
    tsr_log_free(log);
}

/* A child of libxl that logs must not reach the parent's pipe. */
TEST(log_is_silent_in_children)
{
    struct tsr_events *events;
    struct tsr_event event;
    struct tsr_log *log;
    int status;
    int32_t fd;
    pid_t pid;

    events = tsr_events_open(&fd);
    log = tsr_log_open(events);
    pid = fork();
    if (!pid) {
        fprintf(tsr_log_stream(log), "libxl: error: a.c:1:f: from the child\n");
        fflush(tsr_log_stream(log));
        _exit(0);
    }
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    CHECK(read(fd, &event, sizeof(event)) == -1);
    fprintf(tsr_log_stream(log), "libxl: warning: a.c:1:f: from us\n");
    fflush(tsr_log_stream(log));
    CHECK(read(fd, &event, sizeof(event)) == sizeof(event));
    CHECK(event.kind == TSR_EV_LOG && event.a == XTL_WARN);
    tsr_log_free(log);
    tsr_events_free(events);
    close(fd);
}
