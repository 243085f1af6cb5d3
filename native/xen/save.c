/*
 * The thread of a save session: libxl_domain_remus_start, driven by our own
 * event loop.
 *
 *   poll ──► drain the stream ──► serve libxl ──► poll ...
 *               │ X86_TSC_INFO: guest suspended, barrier
 *               └ CHECKPOINT_END: epoch complete, timer held
 *
 * libxl is served only with all of it read (see save_drain.c for why). Its timer
 * for the next checkpoint is held by giving it the same `now` again and again
 * until tsr_save_checkpoint.
 *
 * The context is used by this thread alone: a synchronous call on it from
 * elsewhere would turn its event loop and serve the resume before the barrier.
 */
#include "save.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define NS_PER_MS UINT64_C(1000000)

/* How long a guest that was asked to suspend may still do so after an abort. */
#define WATCH_MS 3000
/* How long the helper may take to show that it writes, when the seed is aborted. */
#define SHOW_MS 300
/* What a turn polls beside what libxl and the barriers ask for. */
#define OWN_FDS 3
/* libxl's own longest wait (for a guest to suspend) is 60 s. */
#define GIVE_UP_MS 75000

/*
 * libxl's own buffering is off: it releases output without an acknowledgement.
 * The interval is the shortest one, since we hold the timer.
 */
static const char remus_info[] =
    "{\"interval\":1,\"allow_unsafe\":\"True\",\"blackhole\":\"False\","
    "\"compression\":\"False\",\"netbuf\":\"False\",\"diskbuf\":\"False\","
    "\"colo\":\"False\",\"userspace_colo_proxy\":\"False\"}";

static void sleep_ms(unsigned ms)
{
    struct timespec t = {
        .tv_sec = ms / 1000,
        .tv_nsec = (long)(ms % 1000 * NS_PER_MS),
    };

    nanosleep(&t, NULL);
}

/* ---- start ---------------------------------------------------------------- */

static void start(struct tsr_save *save)
{
    char why[TSR_TEXT_MAX];
    int rc;

    rc = tsr_ctx_open(save->events, &save->ctx);
    if (rc < 0) {
        tsr_error_text(-1, why, sizeof(why));
        tsr_save_fail(save, rc, "%s", why);
        return;
    }
    tsr_loop_init(&save->loop, save->ctx);
    save->loop.children_idle_ms = TSR_CHILDREN_LATER_MS;
    tsr_ao_init(&save->ao);
    save->info = calloc(1, TSR_XL_STRUCT_SIZE);
    if (!save->info) {
        tsr_save_fail(save, -ENOMEM, "out of memory");
        return;
    }
    tsr_xl.libxl_domain_remus_info_init(save->info);
    rc = tsr_xl.libxl_domain_remus_info_from_json(save->ctx->xl, save->info,
                                                  remus_info);
    if (rc) {
        tsr_save_fail(save, TSR_XL(rc), "libxenlight refuses the parameters of "
                      "the checkpoint stream (%d)", rc);
        return;
    }
    save->served = tsr_loop_now();
    rc = tsr_xl.libxl_domain_remus_start(save->ctx->xl, save->info, save->domid,
                                         save->stream_out, -1, &save->ao.how);
    if (rc) {
        tsr_log_text(save->ctx->log, why, sizeof(why));
        tsr_save_fail(save, TSR_XL(rc), "cannot start checkpoints of domain "
                      "%u: %s (libxenlight says %d)", save->domid, why, rc);
        return;
    }
    save->started = true;
}

/* ---- one turn ------------------------------------------------------------- */

static struct timeval add_ms(struct timeval t, long ms)
{
    struct timeval d = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };
    struct timeval sum;

    timeradd(&t, &d, &sum);
    return sum;
}

/* The time as libxl is to see it. */
static struct timeval clock_of(const struct tsr_save *save)
{
    struct timeval now = tsr_loop_now();

    if (save->hold)
        return save->frozen;
    /* Let go: expired, even if somebody has set the clock back meanwhile. */
    if (save->use_floor && timercmp(&now, &save->floor, <))
        return save->floor;
    return now;
}

/*
 * The helper wrote since libxl was served last: it did not wait for the guest then, and
 * what it asks since libxl has not seen. So in the seed nobody asked the guest to suspend.
 */
static bool is_writing(const struct tsr_save *save)
{
    return save->parser.offset != save->served_offset;
}

/*
 * The guest runs, and nothing asks it to suspend, as far as we can see: libxl is not served
 * for a moment, and meanwhile the helper shows that it writes. One that does not may wait
 * for the guest, or just be slow.
 */
static bool in_live_seed(struct tsr_save *save)
{
    uint64_t now = tsr_now_ns();
    struct tsr_guest guest;

    save->withhold = !save->parser.epoch && !save->libxl_writes;
    if (!save->withhold || now - save->looked_ns < 20 * NS_PER_MS)
        return false;
    save->looked_ns = now;
    if (!save->withhold_ns)
        save->withhold_ns = now;
    save->withhold = !tsr_guest_look(save->domid, &guest) && !guest.suspended;
    return save->withhold && (is_writing(save) ||
                              now - save->withhold_ns >= SHOW_MS * NS_PER_MS);
}

static void abort_now(struct tsr_save *save)
{
    save->aborted = true;
    save->aborted_held = save->hold;
    save->aborted_unasked = !save->parser.epoch && !save->libxl_writes &&
                            is_writing(save);
    save->withhold = false;
    save->aborted_ns = tsr_now_ns();
    save->hold = false;
    save->loop.children_idle_ms = TSR_CHILDREN_SOON_MS;
    pthread_mutex_lock(&save->lock);
    save->held = false;
    pthread_mutex_unlock(&save->lock);
    tsr_xl.libxl_ao_abort(save->ctx->xl, &save->ao.how);
}

/* Looks at what the other threads want. */
static void obey(struct tsr_save *save)
{
    bool held, wanted;

    pthread_mutex_lock(&save->lock);
    held = save->held;
    wanted = save->abort_wanted;
    pthread_mutex_unlock(&save->lock);

    if (save->hold && !held) {
        save->floor = add_ms(save->frozen, 2);
        save->use_floor = true;
    }
    save->hold = held;
    save->wait_moment = false;
    if (save->aborted)
        return;
    if (save->ctx->disaster[0])
        tsr_save_fail(save, TSR_XL(XL_FAIL), "libxenlight's event loop broke: "
                      "%s", save->ctx->disaster);
    /* A broken session does not wait for a good moment: none may come. */
    if (save->failed || (wanted && (save->hold || in_live_seed(save))))
        abort_now(save);
    else
        save->wait_moment = wanted;
}

/* Where the barriers tell of output; returns how many of FDS were filled. */
static int await_output(const struct tsr_save *save, struct pollfd *fds)
{
    int n = 0;
    unsigned i;

    for (i = 0; i < save->barrier_count && save->sent_awaited; i++)
        fds[n++] = (struct pollfd){
            .fd = save->barriers[i]->kind->barrier->sent_fd(save->barriers[i]),
            .events = POLLIN,
        };
    return n;
}

static bool any_ready(const struct pollfd *fds, int n)
{
    while (n--)
        if (fds[n].revents)
            return true;
    return false;
}

static void turn(struct tsr_save *save)
{
    struct pollfd extra[OWN_FDS + TSR_BARRIERS_MAX] = {
        { .fd = save->wake, .events = POLLIN },
        { .fd = save->drained == TSR_STREAM_STALLED ? -1
                                                   : save->stream_in,
          .events = POLLIN },
        { .events = POLLOUT },
    };
    int telling = await_output(save, extra + OWN_FDS);
    int timeout_ms = -1;
    uint64_t count;
    bool serve;
    int rc;

    obey(save);
    serve = save->drained == TSR_STREAM_EMPTY && !save->withhold;
    extra[2].fd = tsr_events_want(save->events);
    if (save->drained == TSR_STREAM_MORE)
        timeout_ms = 0;
    else if (save->wait_moment)
        timeout_ms = 20;
    rc = tsr_loop_poll(&save->loop, serve, save->hold, clock_of(save), extra,
                       OWN_FDS + telling, timeout_ms);
    if (rc < 0) {
        tsr_save_fail(save, rc, "the event loop failed (%d)", rc);
        sleep_ms(50);
        return;
    }
    if (extra[0].revents && read(save->wake, &count, sizeof(count)) < 0)
        count = 0;
    if (extra[2].revents)
        tsr_events_flush(save->events);
    if (any_ready(extra + OWN_FDS, telling)) {
        save->sent_awaited = false;
        tsr_events_send(save->events, TSR_EV_OUTPUT, NULL, NULL);
    }

    save->drained = tsr_save_drain(save);
    if (serve && save->drained == TSR_STREAM_EMPTY) {
        save->served = clock_of(save);
        save->served_offset = save->parser.offset;
        tsr_loop_serve(&save->loop, save->served);
    }
    if (save->ctx->disaster[0])
        sleep_ms(50);
}

static bool give_up(const struct tsr_save *save)
{
    uint64_t limit_ms = save->ctx->disaster[0] ? 5000 : GIVE_UP_MS;

    return save->aborted &&
           tsr_now_ns() - save->aborted_ns > limit_ms * NS_PER_MS;
}

/* ---- end ------------------------------------------------------------------ */

/*
 * Whatever ended the operation: the guest must not stay suspended. Watches it for
 * WATCH more milliseconds, resumes it once if need be.
 */
static bool settle(uint32_t domid, unsigned watch_ms, struct tsr_guest *guest)
{
    uint64_t end_ns = tsr_now_ns() + watch_ms * NS_PER_MS;
    int tries = 0;

    for (;;) {
        if (tsr_guest_look(domid, guest) < 0)
            *guest = (struct tsr_guest){ 0 };
        if (guest->gone || (guest->shutdown && !guest->suspended))
            return false;
        if (guest->suspended) {
            if (!tsr_domain_resume(domid))
                return true;
            if (++tries == 5)
                return false;
        } else if (tsr_now_ns() >= end_ns) {
            return false;
        }
        sleep_ms(tries ? 200 : 20);
    }
}

/* {"gone":true} or {"shutdown":true,"reason":"poweroff"}, and "error". */
static void describe(const struct tsr_guest *guest, const char *error,
                     char *out, size_t size)
{
    char quoted[TSR_TEXT_MAX / 2];
    const char *comma = "";
    size_t n = 0;

    n += (size_t)snprintf(out + n, size - n, "{");
    if (guest->gone) {
        n += (size_t)snprintf(out + n, size - n, "\"gone\":true");
        comma = ",";
    } else if (guest->shutdown) {
        n += (size_t)snprintf(out + n, size - n,
                              "\"shutdown\":true,\"reason\":\"%s\"",
                              guest->reason);
        comma = ",";
    }
    if (error[0]) {
        tsr_json_quote(error, quoted, sizeof(quoted));
        n += (size_t)snprintf(out + n, size - n, "%s\"error\":%s", comma,
                              quoted);
    }
    snprintf(out + n, size - n, "}");
}

/*
 * The guest was certainly not asked to suspend, or has done it: the timer was held. An
 * abort at any other moment, and a failure of libxl's (it waits 60 s for an answer), may
 * leave a request that the guest obeys when it gets to it. libxl takes none back but one
 * through XenStore that was not read within those 60 s (libxl_dom_suspend.c,
 * domain_suspend_common_pvcontrol_suspending).
 */
static bool is_quiet(const struct tsr_save *save)
{
    if (!save->started)
        return true;
    if (save->leaked)
        return false;
    return save->aborted ? save->aborted_held : save->hold;
}

static void end(struct tsr_save *save)
{
    struct tsr_event values = { .a = save->started ? save->ao.rc : XL_FAIL };
    struct tsr_guest guest = { 0 };
    char error[TSR_TEXT_MAX / 2] = "", text[TSR_EVENT_TEXT_MAX];
    bool quiet = is_quiet(save);

    if (save->leaked)
        values.a = XL_FAIL;
    if (save->started) {
        if (values.a != XL_ABORTED)
            tsr_log_text(save->ctx->log, error, sizeof(error));
        values.b = settle(save->domid, quiet ? 0 : WATCH_MS, &guest);
        if (values.b)
            guest = (struct tsr_guest){ 0 };
        values.c = !quiet && !save->aborted_unasked && !save->answered &&
                   !values.b && !guest.gone && !guest.shutdown;
    }
    describe(&guest, error, text, sizeof(text));
    if (!save->leaked) {
        if (save->info)
            tsr_xl.libxl_domain_remus_info_dispose(save->info);
        free(save->info);
        if (save->ctx) {
            tsr_loop_dispose(&save->loop);
            /*
             * A helper that dies while libxl waits for the guest, or for the next
             * checkpoint, leaves that wait registered (domain_save_done ends only
             * the event channel's, libxl__remus_teardown none), and libxl_ctx_free
             * asserts that there is none. Only an abort between two checkpoints
             * takes all of them back.
             */
            if (quiet && (!save->started || save->ao.rc == XL_ABORTED))
                tsr_ctx_close(save->ctx);
            else
                tsr_ctx_abandon(save->ctx);
        }
    }
    tsr_save_drop_barriers(save);

    pthread_mutex_lock(&save->lock);
    save->held = false;
    save->ended = true;
    pthread_mutex_unlock(&save->lock);
    tsr_events_send(save->events, TSR_EV_ENDED, &values, text);
    tsr_events_finish(save->events);
}

void *tsr_save_main(void *save_in)
{
    struct tsr_save *save = save_in;

    start(save);
    while (save->started && !save->ao.done) {
        turn(save);
        if (!save->ao.done && give_up(save)) {
            save->leaked = true;
            break;
        }
    }
    end(save);
    return NULL;
}
