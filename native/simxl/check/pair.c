/* See pair.h. */
#define _GNU_SOURCE
#include "pair.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ---- the relay looks at the stream ---------------------------------- */

enum { LIBXL_HEADER, LIBXL_RECORD, IMAGE_HEADER, DOMAIN_HEADER, XC_RECORD,
       SKIP };

static void want(struct pair *p, int state, size_t need)
{
    p->state = state;
    p->need = need;
    p->have = 0;
}

static void take_snapshot(struct pair *p)
{
    char path[PATH_MAX];
    struct stat s;
    int fd;

    snprintf(path, sizeof(path), "%s/%u/memory", host_a, p->domid);
    fd = open(path, O_RDONLY);
    if (fd < 0 || fstat(fd, &s))
        return;
    p->snapshot = realloc(p->snapshot, (size_t)s.st_size);
    p->snapshot_size = (size_t)s.st_size;
    CHECK(pread(fd, p->snapshot, p->snapshot_size, 0) ==
          (ssize_t)p->snapshot_size);
    close(fd);
}

static void on_checkpoint(struct pair *p)
{
    libxl_dominfo info;

    p->seen_checkpoints++;
    libxl_dominfo_init(&info);
    if (libxl_domain_info(p->info_ctx, &info, p->domid) || !info.shutdown ||
        info.shutdown_reason != SX_SUSPEND)
        p->not_suspended++;
    libxl_dominfo_dispose(&info);
    if (p->restore && p->seen_checkpoints == p->epochs)
        take_snapshot(p);
    if (p->at_checkpoint)
        p->at_checkpoint(p);
}

static void on_epoch_end(struct pair *p)
{
    p->seen_epochs++;
    if (p->seen_epochs == 1) {
        p->epoch1_at = now_ns();
        if (p->hold_ms)
            p->hold_until = now_ns() + (uint64_t)p->hold_ms * 1000000;
    } else if (p->seen_epochs == 2) {
        p->held_ms = (double)(now_ns() - p->epoch1_at) / 1e6;
    }
}

static void skip_body(struct pair *p, int after)
{
    uint32_t length;

    memcpy(&length, p->head + 4, 4);
    p->skip = (length + 7u) & ~7u;
    p->after = after;
    if (p->skip)
        p->state = SKIP;
    else
        want(p, after, 8);
}

static void on_head(struct pair *p)
{
    uint32_t type, length;

    memcpy(&type, p->head, 4);
    memcpy(&length, p->head + 4, 4);
    switch (p->state) {
    case LIBXL_HEADER:
        want(p, LIBXL_RECORD, 8);
        return;
    case LIBXL_RECORD:
        if (type == 1) {
            want(p, IMAGE_HEADER, 24);
        } else if (type == 4) {
            on_epoch_end(p);
            want(p, XC_RECORD, 8);
        } else {
            skip_body(p, LIBXL_RECORD);
        }
        return;
    case IMAGE_HEADER:
        want(p, DOMAIN_HEADER, 16);
        return;
    case DOMAIN_HEADER:
        want(p, XC_RECORD, 8);
        return;
    default:
        if (type == 0xe) {
            on_checkpoint(p);
            want(p, LIBXL_RECORD, 8);
            return;
        }
        if (type == 1)
            p->pages += (length - 8) / 4104;
        skip_body(p, XC_RECORD);
    }
}

static void look_at(struct pair *p, const uint8_t *data, size_t n)
{
    while (n) {
        size_t k = SX_MIN(n, p->state == SKIP ? p->skip : p->need - p->have);

        if (p->state == SKIP) {
            p->skip -= k;
            if (!p->skip)
                want(p, p->after, 8);
        } else {
            memcpy(p->head + p->have, data, k);
            p->have += k;
            if (p->have == p->need)
                on_head(p);
        }
        data += k;
        n -= k;
    }
}

static void relay(struct pair *p, const uint8_t *data, size_t n)
{
    uint64_t before = p->bytes;

    p->bytes += n;
    look_at(p, data, n);
    if (!p->restore)
        return;
    if (p->cut_at && before + n > p->cut_at)
        n = before < p->cut_at ? p->cut_at - before : 0;
    if (p->queue_used + n > p->queue_room) {
        p->queue_room = (p->queue_used + n) * 2;
        p->queue = realloc(p->queue, p->queue_room);
    }
    memcpy(p->queue + p->queue_used, data, n);
    p->queue_used += n;
}

static void feed(struct pair *p)
{
    while (p->restore_pipe[1] >= 0 && p->queue_done < p->queue_used) {
        ssize_t n = write(p->restore_pipe[1], p->queue + p->queue_done,
                          p->queue_used - p->queue_done);
        if (n < 0)
            return;
        p->queue_done += (size_t)n;
    }
    p->queue_used = p->queue_done = 0;
}

/* ---- the loop ------------------------------------------------------- */

static void save_over(libxl_ctx *ctx, int rc, void *pair)
{
    struct pair *p = pair;

    (void)ctx;
    p->save_done = true;
    p->save_rc = rc;
}

static void restore_over(libxl_ctx *ctx, int rc, void *pair)
{
    struct pair *p = pair;

    (void)ctx;
    p->restore_done = true;
    p->restore_rc = rc;
}

static void start_save(struct pair *p)
{
    static const char json[] = "{\"interval\": %d, \"allow_unsafe\": \"True\","
        " \"blackhole\": \"False\", \"compression\": \"False\", \"netbuf\":"
        " \"False\", \"diskbuf\": \"False\", \"colo\": \"False\"}";
    static libxl_domain_remus_info info; /* libxl does not copy it */
    char text[512];
    int rc;

    snprintf(text, sizeof(text), json, p->interval_ms);
    libxl_domain_remus_info_init(&info);
    CHECK(libxl_domain_remus_info_from_json(p->save_ctx, &info, text) == 0);
    p->save_how = (libxl_asyncop_how){ .callback = save_over };
    p->save_how.u.for_callback = p;
    rc = libxl_domain_remus_start(p->save_ctx, &info, p->domid,
                                  p->save_pipe[1], -1, &p->save_how);
    if (rc)
        save_over(p->save_ctx, rc, p);
}

static void start_restore(struct pair *p)
{
    static libxl_domain_restore_params params;
    libxl_domain_config config;
    int rc;

    libxl_domain_config_init(&config);
    CHECK(libxl_retrieve_domain_configuration(p->info_ctx, p->domid, &config,
                                              NULL) == 0);
    libxl_domain_restore_params_init(&params);
    CHECK(libxl_domain_restore_params_from_json(
        p->restore_ctx, &params,
        "{\"checkpointed_stream\": 1, \"stream_version\": 2}") == 0);
    p->restore_how = (libxl_asyncop_how){ .callback = restore_over };
    p->restore_how.u.for_callback = p;
    rc = libxl_domain_create_restore(p->restore_ctx, &config, &p->copy,
                                     p->restore_pipe[0], -1, &params,
                                     &p->restore_how, NULL);
    libxl_domain_config_dispose(&config); /* ours copies what it needs */
    if (rc)
        restore_over(p->restore_ctx, rc, p);
}

static void begin(struct pair *p)
{
    static const libxl_childproc_hooks mainloop = {
        .chldowner = SIGCHLD_OWNER_MAINLOOP
    };

    p->save_ctx = open_ctx(host_a);
    p->info_ctx = open_ctx(host_a);
    p->restore_pipe[0] = p->restore_pipe[1] = -1;
    if (p->own_sigchld)
        libxl_childproc_setmode(p->save_ctx, &mainloop, NULL);
    CHECK(pipe2(p->save_pipe, O_CLOEXEC) == 0);
    fcntl(p->save_pipe[1], F_SETPIPE_SZ, 1 << 20);
    fcntl(p->save_pipe[0], F_SETFL, O_NONBLOCK);
    want(p, LIBXL_HEADER, 16);
    CHECK(libxl_name_to_domid(p->info_ctx, p->guest, &p->domid) == 0);
    p->restore_done = !p->restore;
    if (p->restore) {
        p->restore_ctx = open_ctx(host_b);
        CHECK(pipe2(p->restore_pipe, O_CLOEXEC) == 0);
        fcntl(p->restore_pipe[1], F_SETPIPE_SZ, 1 << 20);
        fcntl(p->restore_pipe[1], F_SETFL, O_NONBLOCK);
        start_restore(p);
    }
    start_save(p);
}

static void drain(struct pair *p)
{
    static uint8_t buffer[1 << 20];
    ssize_t n;

    while ((n = read(p->save_pipe[0], buffer, sizeof(buffer))) > 0)
        relay(p, buffer, (size_t)n);
}

/* What the test wanted to happen by now. */
static void decide(struct pair *p)
{
    if (p->each_turn)
        p->each_turn(p);
    if (p->epochs && p->seen_epochs >= p->epochs && !p->aborted) {
        p->aborted = true;
        CHECK(libxl_ao_abort(p->save_ctx, &p->save_how) == 0);
        CHECK(libxl_ao_abort(p->save_ctx, &p->save_how) == ERROR_ABORTED);
        p->reap_at = now_ns() + 50000000;
    }
    if (p->reap_at && now_ns() > p->reap_at && p->own_sigchld) {
        CHECK(!p->save_done);
        libxl_childproc_sigchld_occurred(p->save_ctx);
        CHECK(p->save_done);
        p->reap_at = 0;
    }
    if (p->restore_pipe[1] >= 0) {
        feed(p);
        if (p->save_done && !p->ended && p->queue_used == p->queue_done) {
            p->ended = true;
            if (p->abort_restore) {
                CHECK(libxl_ao_abort(p->restore_ctx, &p->restore_how) == 0);
            } else {
                close(p->restore_pipe[1]);
                p->restore_pipe[1] = -1;
            }
        }
    }
}

static void turn(struct pair *p)
{
    struct pollfd fds[96];
    int a = 40, b = 40, timeout = 20;
    struct timeval now, shown;
    bool hold = p->hold_until > now_ns();

    gettimeofday(&now, NULL);
    shown = hold ? p->frozen : now;
    p->frozen = shown;
    CHECK(libxl_osevent_beforepoll(p->save_ctx, &a, fds, &timeout, shown) == 0);
    if (!p->restore)
        b = 0;
    else
        CHECK(libxl_osevent_beforepoll(p->restore_ctx, &b, fds + a, &timeout,
                                       now) == 0);
    fds[a + b] = (struct pollfd){ p->save_pipe[0], POLLIN, 0 };
    fds[a + b + 1] = (struct pollfd){
        p->queue_used > p->queue_done ? p->restore_pipe[1] : -1, POLLOUT, 0
    };
    if (timeout < 0 || timeout > 20)
        timeout = 20;
    if (hold && timeout == 0)
        timeout = 2;
    if (poll(fds, (nfds_t)(a + b + 2), timeout) < 0)
        return;
    drain(p);
    libxl_osevent_afterpoll(p->save_ctx, a, fds, shown);
    if (p->restore)
        libxl_osevent_afterpoll(p->restore_ctx, b, fds + a, now);
    decide(p);
}

void run_pair(struct pair *p)
{
    uint64_t give_up = now_ns() + 60000000000ull;

    begin(p);
    while ((!p->save_done || !p->restore_done) && now_ns() < give_up)
        turn(p);
    CHECK(p->save_done && p->restore_done);
}

void free_pair(struct pair *p)
{
    libxl_ctx_free(p->save_ctx);
    libxl_ctx_free(p->info_ctx);
    libxl_ctx_free(p->restore_ctx);
    for (int i = 0; i < 2; i++) {
        close(p->save_pipe[i]);
        if (p->restore_pipe[i] >= 0)
            close(p->restore_pipe[i]);
    }
    free(p->queue);
    free(p->snapshot);
}
