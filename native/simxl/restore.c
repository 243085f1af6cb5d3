/*
 * The restoring helper: what libxenguest's restore() and libxl's stream
 * reader do.
 *
 * Epoch 0 is applied as it comes. Every later epoch is kept until its
 * CHECKPOINT_END has been read and is then applied at once. When the stream
 * ends, in whatever way, the last applied epoch is the guest; before the
 * first whole epoch the operation fails.
 */
#define _GNU_SOURCE
#include "restore.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct held {
    struct record r;
    uint8_t *body;
};

struct job {
    struct sx_restore *s;
    struct sx_apply apply;
    struct held *held;     /* records of the epoch under way */
    size_t n_held, room;
    bool buffering;        /* a whole epoch has been applied */
    uint64_t offset;
};

/* What reading can come to, besides 0 and negative failures (rc). */
enum { THE_END = 1 };

__attribute__((format(printf, 2, 3)))
static int bad(struct job *j, const char *format, ...)
{
    va_list al;
    int n;

    va_start(al, format);
    n = vsnprintf(j->s->why, sizeof(j->s->why), format, al);
    va_end(al);
    if (n > 0 && (size_t)n < sizeof(j->s->why))
        snprintf(j->s->why + n, sizeof(j->s->why) - (size_t)n,
                 " (at offset %lu)", (unsigned long)j->offset);
    return ERROR_FAIL;
}

/* 0, THE_END when the stream ends or breaks, ERROR_ABORTED when stopped. */
static int get(struct job *j, void *out, size_t size)
{
    size_t have = 0;

    while (have < size) {
        ssize_t r;

        if (!sx_helper_wait(&j->s->helper, j->s->fd, POLLIN))
            return ERROR_ABORTED;
        r = read(j->s->fd, (char *)out + have, size - have);
        if (r < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (r <= 0)
            return THE_END;
        have += (size_t)r;
        j->offset += (uint64_t)r;
    }
    return 0;
}

static int get_record(struct job *j, struct held *out)
{
    size_t padded;
    int rc;

    out->body = NULL;
    rc = get(j, &out->r, sizeof(out->r));
    if (rc)
        return rc;
    if (out->r.length > REC_LENGTH_MAX)
        return bad(j, "Record %#x with length %#x exceeds max (%#x)",
                   out->r.type, out->r.length, REC_LENGTH_MAX);
    padded = ((size_t)out->r.length + 7) & ~7ull;
    if (!padded)
        return 0;
    out->body = malloc(padded);
    if (!out->body)
        return ERROR_NOMEM;
    rc = get(j, out->body, padded);
    if (rc) {
        free(out->body);
        out->body = NULL;
    }
    return rc;
}

static int read_libxl_start(struct job *j)
{
    struct libxl_header h;
    struct held rec;
    int rc = get(j, &h, sizeof(h));

    if (rc)
        return rc;
    if (be64toh(h.ident) != LIBXL_IDENT)
        return bad(j, "Invalid ident: expected %#llx", LIBXL_IDENT);
    if (ntohl(h.version) != LIBXL_VERSION_2)
        return bad(j, "Unexpected Version: expected 2, got %u",
                   ntohl(h.version));
    if (ntohl(h.options))
        return bad(j, "Unable to handle big endian or legacy streams");
    rc = get_record(j, &rec);
    if (rc)
        return rc;
    free(rec.body);
    if (rec.r.type != LIBXL_REC_LIBXC_CONTEXT || rec.r.length)
        return bad(j, "libxl record %u where LIBXC_CONTEXT should be",
                   rec.r.type);
    return 0;
}

static int read_headers(struct job *j)
{
    struct image_header i;
    struct domain_header d;
    uint32_t type = j->s->d.st->type == SX_PV ? DOMAIN_PV : DOMAIN_HVM;
    int rc = get(j, &i, sizeof(i));

    if (!rc)
        rc = get(j, &d, sizeof(d));
    if (rc)
        return rc;
    if (i.marker != IMAGE_MARKER || ntohl(i.id) != IMAGE_ID)
        return bad(j, "Invalid marker or ID of the image header");
    if (ntohl(i.version) < 2 || ntohl(i.version) > 3)
        return bad(j, "Invalid Version: expected 2 <= ver <= 3, got %u",
                   ntohl(i.version));
    if (ntohs(i.options) & 1)
        return bad(j, "Unable to handle big endian streams");
    if (d.type != type)
        return bad(j, "Domain header of type %u for a domain of type %u",
                   d.type, type);
    if (d.page_shift != 12)
        return bad(j, "Unknown page shift %u", d.page_shift);
    if (ntohl(i.version) == 2)
        j->apply.static_end = true; /* as compatible as libxenguest */
    return 0;
}

/* libxl's records of a checkpoint, up to its end. */
static int read_libxl_part(struct job *j)
{
    for (;;) {
        struct held rec;
        int rc = get_record(j, &rec);

        if (rc)
            return rc;
        free(rec.body);
        switch (rec.r.type) {
        case LIBXL_REC_CHECKPOINT_END:
            return rec.r.length ? bad(j, "CHECKPOINT_END with a body") : 0;
        case LIBXL_REC_EMULATOR_XENSTORE_DATA:
        case LIBXL_REC_EMULATOR_CONTEXT:
            if (j->s->d.st->type != SX_HVM || rec.r.length < 8)
                return bad(j, "EMULATOR record %u for a guest without a"
                           " device model, or too short", rec.r.type);
            break;
        default:
            return bad(j, "libxl record %u in a checkpoint", rec.r.type);
        }
    }
}

static void drop_held(struct job *j)
{
    for (size_t i = 0; i < j->n_held; i++)
        free(j->held[i].body);
    j->n_held = 0;
}

static int hold(struct job *j, const struct held *rec)
{
    if (j->n_held == j->room) {
        size_t room = j->room + 1024;
        struct held *more = realloc(j->held, room * sizeof(*more));

        if (!more)
            return ERROR_NOMEM;
        j->held = more;
        j->room = room;
    }
    j->held[j->n_held++] = *rec;
    return 0;
}

static int apply_fault(struct job *j, const char *point)
{
    struct sx_fault f;

    if (sx_fault(j->s->d.host, point, j->s->name, j->s->epoch, &f) && f.fail)
        return bad(j, "%s fails on request in epoch %ld", point,
                   (long)j->s->epoch);
    return 0;
}

static int end_of_epoch(struct job *j)
{
    int rc;

    if (sx_helper_ask(&j->s->helper, SX_ASK_CHECKPOINT, 0) <= 0)
        return ERROR_ABORTED;
    rc = read_libxl_part(j);
    if (!rc)
        rc = apply_fault(j, "restore.apply");
    for (size_t i = 0; i < j->n_held && !rc; i++)
        rc = sx_apply(&j->apply, &j->held[i].r, j->held[i].body);
    if (rc)
        return rc;
    drop_held(j);
    if (!j->apply.checkpoint_state)
        return bad(j, "an epoch without the state of vCPU 0");
    sx_apply_epoch_end(&j->apply, (uint64_t)j->s->epoch);
    j->apply.checkpoint_state = false;
    j->s->epoch++;
    j->buffering = true;
    return 0;
}

static int one_record(struct job *j)
{
    struct held rec;
    int rc = get_record(j, &rec);

    /* In a later epoch the real one takes even a malformed record for the
     * end of the primary and goes on with what it has. */
    if (rc == ERROR_FAIL && j->buffering)
        return THE_END;
    if (rc)
        return rc;
    if (rec.r.type == REC_CHECKPOINT || rec.r.type == REC_END) {
        free(rec.body);
        if (rec.r.length)
            return bad(j, "record %#x with a body", rec.r.type);
        return rec.r.type == REC_END ? THE_END : end_of_epoch(j);
    }
    if (j->buffering)
        return hold(j, &rec);
    rc = sx_apply(&j->apply, &rec.r, rec.body);
    free(rec.body);
    return rc;
}

static int restore(struct job *j)
{
    int rc = apply_fault(j, "restore.start");

    if (!rc)
        rc = read_libxl_start(j);
    if (!rc)
        rc = read_headers(j);
    while (!rc)
        rc = one_record(j);
    if (rc == THE_END && !j->buffering)
        return bad(j, "the stream ended before its first whole epoch");
    return rc == THE_END ? 0 : rc;
}

void *sx_restore_thread(void *arg)
{
    struct sx_restore *s = arg;
    struct job *j = calloc(1, sizeof(*j));
    int rc = ERROR_NOMEM;

    if (j) {
        j->s = s;
        j->apply.d = &s->d;
        j->apply.why = s->why;
        j->apply.why_size = sizeof(s->why);
        rc = restore(j);
        drop_held(j);
        free(j->held);
        free(j);
    }
    sx_helper_done(&s->helper, rc);
    return NULL;
}
