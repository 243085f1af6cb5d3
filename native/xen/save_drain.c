/*
 * The stream's way from libxl into memory.
 *
 * Order is everything here. The save helper writes an epoch's X86_TSC_INFO record
 * while the guest is suspended, before it asks libxl to resume it, and libxl sees
 * that request only inside afterpoll, and only if it was there when poll returned.
 * The session's thread reads all there is between the two. So when that record is met
 * here, the guest is suspended and stays so until this function has returned. It is
 * libxc's first record behind the pages, and the first of all where the pages are
 * written after the resume (pause/): the CHECKPOINT record says nothing then, and a
 * second X86_TSC_INFO that the guest has been resumed.
 */
#include "save.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Bytes in a row before the commands are looked at again. */
#define BUDGET (16u << 20)

void tsr_save_fail(struct tsr_save *save, int code, const char *format, ...)
{
    struct tsr_event values = { .a = code };
    char text[TSR_TEXT_MAX];
    va_list args;

    if (save->failed)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    save->failed = true;
    save->discard = true;
    tsr_object_fail(save, code, "%s", text);
    tsr_events_send(save->events, TSR_EV_FAILED, &values, text);
}

/*
 * Between CHECKPOINT and CHECKPOINT_END libxl itself writes to the stream, from
 * inside afterpoll, in our thread: with a device model's state that is bigger
 * than the kernel's buffer it would wait for ever for us to read. So that end does
 * not block then. It must block for the helper, whose end it is as well; but that
 * one writes nothing meanwhile, it waits for answers that come from us.
 */
static void set_libxl_writes(struct tsr_save *save, bool on)
{
    save->libxl_writes = on;
    fcntl(save->stream_out, F_SETFL, on ? O_NONBLOCK : 0);
}

/*
 * A failure of what must be done while the guest is suspended: WHO did not WHAT. No record
 * is looked for any more, so libxl's end blocks no more either; the helper ends by that, as
 * it has to.
 */
static void fail_checkpoint(struct tsr_save *save, int rc, const char *who,
                            const char *what)
{
    char why[TSR_TEXT_MAX];

    set_libxl_writes(save, true);
    if (tsr_error_text(-1, why, sizeof(why)) <= 0)
        snprintf(why, sizeof(why), "%s", strerror(-rc));
    tsr_save_fail(save, rc, "%s %s: %s", who, what, why);
}

/* false: one failed, so nothing of this epoch is announced; what is held stays held. */
static bool set_barriers(struct tsr_save *save, uint64_t *merged_out)
{
    uint32_t merged;
    unsigned i;
    int rc;

    for (i = 0; i < save->barrier_count; i++) {
        struct tsr_object *object = save->barriers[i];

        rc = object->kind->barrier->set(object, save->parser.epoch, &merged);
        if (rc < 0) {
            fail_checkpoint(save, rc, object->kind->name, "took no barrier");
            return false;
        }
        *merged_out += merged;
    }
    return true;
}

static bool is_last(struct tsr_save *save)
{
    bool last;

    pthread_mutex_lock(&save->lock);
    last = save->last;
    pthread_mutex_unlock(&save->lock);
    return last;
}

static void at_suspended(struct tsr_save *save)
{
    struct tsr_event values = {
        .a = (int64_t)save->parser.epoch,
        .b = save->parser.offset - save->epoch_start,
    };
    uint64_t suspended_ns = tsr_now_ns();
    int rc;

    save->answered = true;
    if (!set_barriers(save, &values.c))
        return;
    save->sent_awaited = true;
    values.d = tsr_now_ns() - suspended_ns;
    if (is_last(save)) {
        /* On a context of the pool: on ours it would serve the resume first. */
        rc = tsr_domain_pause(save->domid);
        if (rc < 0) {
            fail_checkpoint(save, rc, "the guest", "is not paused for a handover");
            return;
        }
        values.e = 1;
    }
    if (!save->failed)
        tsr_events_send(save->events, TSR_EV_CHECKPOINT, &values, NULL);
}

static void at_checkpoint(struct tsr_save *save)
{
    save->checkpoint_ns = tsr_now_ns();
    set_libxl_writes(save, true);
}

/* What the stream waits for from here on costs the guest no pause. */
static void at_resumed(struct tsr_save *save)
{
    save->resumed_ns = tsr_now_ns();
    save->paused_stalled_ns = save->stalled_ns;
}

/* The limit is reached: the clock of the stall runs, the caller hears of it. */
static void begin_stall(struct tsr_save *save)
{
    struct tsr_event values = {
        .a = (int64_t)save->parser.epoch,
        .b = tsr_chunks_size(&save->chunks),
    };

    if (!save->stalled_from_ns)
        save->stalled_from_ns = tsr_now_ns();
    /* What was written after the resume keeps nobody suspended. */
    if (!save->stall_told && !save->resumed_ns)
        tsr_events_send(save->events, TSR_EV_STALLED, &values, NULL);
    save->stall_told |= !save->resumed_ns;
}

static void end_stall(struct tsr_save *save)
{
    if (save->stalled_from_ns)
        save->stalled_ns += tsr_now_ns() - save->stalled_from_ns;
    save->stalled_from_ns = 0;
}

static void at_epoch_end(struct tsr_save *save)
{
    uint64_t now = tsr_now_ns();
    struct tsr_event values = {
        .a = (int64_t)save->parser.epoch - 1,
        .b = save->parser.offset - save->epoch_start,
        .c = save->parser.pages,
        .d = (save->resumed_ns ? save->resumed_ns : now) - save->first_ns,
        .e = save->resumed_ns ? 0 : save->checkpoint_ns - save->first_ns,
        .f = save->resumed_ns ? save->paused_stalled_ns : save->stalled_ns,
    };

    set_libxl_writes(save, false);
    save->answered = false;
    save->epoch_start = save->parser.offset;
    save->first_ns = save->resumed_ns = 0;
    save->stalled_ns = 0;
    save->stall_told = false;
    tsr_chunks_trim(&save->chunks);

    pthread_mutex_lock(&save->lock);
    save->ends[(save->ends_first + save->ends_count) % TSR_ENDS_MAX] =
        save->parser.offset;
    save->ends_count++;
    save->held = true;
    pthread_mutex_unlock(&save->lock);

    /*
     * libxl set its timer in the very afterpoll that wrote this record, to a
     * moment after the `now` which that afterpoll was given. As long as it is
     * given the same again, the timer does not expire.
     */
    save->hold = true;
    save->frozen = save->served;
    if (!save->failed)
        tsr_events_send(save->events, TSR_EV_EPOCH_END, &values, NULL);
}

/* Checks N new bytes and lets the reader have them. */
static void take(struct tsr_save *save, const uint8_t *data, size_t n)
{
    enum tsr_mark mark;
    size_t taken;

    if (!save->first_ns) {
        save->first_ns = tsr_now_ns();
        save->use_floor = false;
    }
    while (n && !save->failed) {
        if (tsr_parser_take(&save->parser, data, n, &taken, &mark) < 0) {
            tsr_save_fail(save, -EPROTO, "%s", save->parser.text);
            return;
        }
        if (!save->discard)
            tsr_chunks_commit(&save->chunks, taken);
        if (mark == TSR_MARK_SUSPENDED)
            at_suspended(save);
        else if (mark == TSR_MARK_RESUMED)
            at_resumed(save);
        else if (mark == TSR_MARK_CHECKPOINT)
            at_checkpoint(save);
        else if (mark == TSR_MARK_EPOCH_END)
            at_epoch_end(save);
        data += taken;
        n -= taken;
    }
}

static void tell_data(struct tsr_save *save)
{
    struct tsr_event values = { .b = tsr_chunks_size(&save->chunks) };
    bool tell;

    pthread_mutex_lock(&save->lock);
    tell = values.b && !save->data_told;
    if (tell)
        save->data_told = true;
    pthread_mutex_unlock(&save->lock);
    if (tell)
        tsr_events_send(save->events, TSR_EV_DATA, &values, NULL);
}

/* How many bytes may be taken now; 0: the limit is reached. */
static uint64_t allowance(struct tsr_save *save)
{
    uint64_t waiting;

    /* libxl's own few records are always taken: they end the epoch. */
    if (save->discard || save->libxl_writes)
        return UINT64_MAX;
    waiting = tsr_chunks_size(&save->chunks);
    return waiting < save->limit ? save->limit - waiting : 0;
}

static bool wants_abort(struct tsr_save *save)
{
    bool wanted;

    pthread_mutex_lock(&save->lock);
    wanted = save->abort_wanted;
    pthread_mutex_unlock(&save->lock);
    return wanted;
}

/* One read. false: *RESULT says why there will be no other now. */
static bool read_some(struct tsr_save *save, size_t *n_out,
                      enum tsr_drained *result)
{
    uint64_t allowed = allowance(save);
    uint8_t *space = save->waste;
    size_t size = sizeof(save->waste);
    ssize_t r;

    if (!allowed && wants_abort(save)) {
        /* The reader has stopped, the epoch has to end all the same. */
        save->discard = true;
        allowed = UINT64_MAX;
    }
    if (!allowed) {
        *result = TSR_STREAM_STALLED;
        return false;
    }
    end_stall(save);
    if (!save->discard) {
        space = tsr_chunks_space(&save->chunks, &size);
        if (!space) {
            tsr_save_fail(save, -ENOMEM, "no memory for the stream");
            space = save->waste;
            size = sizeof(save->waste);
        }
    }
    if (size > allowed)
        size = (size_t)allowed;
    r = read(save->stream_in, space, size);
    if (r <= 0) {
        if (r < 0 && errno != EAGAIN && errno != EINTR)
            tsr_save_fail(save, -errno, "cannot read the stream: %s",
                          strerror(errno));
        *result = r < 0 && errno == EINTR ? TSR_STREAM_MORE : TSR_STREAM_EMPTY;
        return false;
    }
    take(save, space, (size_t)r);
    *n_out = (size_t)r;
    return true;
}

enum tsr_drained tsr_save_drain(struct tsr_save *save)
{
    enum tsr_drained result = TSR_STREAM_MORE;
    size_t n, total = 0;

    while (total < BUDGET) {
        if (!read_some(save, &n, &result))
            break;
        total += n;
    }
    atomic_store(&save->stalled, result == TSR_STREAM_STALLED);
    if (result == TSR_STREAM_STALLED && allowance(save)) {
        /* The reader made room just before it could see that we wait. */
        atomic_store(&save->stalled, false);
        result = TSR_STREAM_MORE;
    }
    if (result == TSR_STREAM_STALLED)
        begin_stall(save);
    if (total)
        tell_data(save);
    return result;
}
