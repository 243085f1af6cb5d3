/*
 * The saving helper: what libxenguest's save() does, in its order.
 *
 * Epoch 0 is copied live, at most five rounds; then in every epoch: suspend,
 * take the dirty log, write the pages and the state and the CHECKPOINT
 * record, and only then ask for the resume. The guest stays suspended until
 * libxl is served, so whoever reads the CHECKPOINT record before that reads
 * it while the guest stands still.
 */
#define _GNU_SOURCE
#include "guest.h"
#include "save.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ROUNDS_MAX 5       /* of the live copy, as libxenguest's policy */
#define DIRTY_TARGET 50

struct job {
    struct sx_save *s;
    struct sx_domain *d;
    struct sx_writer w;
    uint64_t *bitmap;      /* of the round under way */
    size_t words;
    uint64_t pfns[BATCH_PAGES];
    uint32_t batch;
    bool drop_due;         /* the deliberate bug: lose a page */
    uint64_t *holes;       /* seed, first round: pages never touched */
    uint8_t *zeros;        /* BATCH_PAGES of them */
    struct sx_buffer tsc;  /* the epoch's TSC_INFO */
    struct sx_buffer held; /* what is written after the resume */
};

static int fault(struct job *j, const char *point, struct sx_fault *f)
{
    struct sx_fault unused;

    f = f ? f : &unused;
    if (!sx_fault(j->d->host, point, j->s->name, j->s->epoch, f))
        return 0;
    return f->fail ? (f->rc ? f->rc : ERROR_FAIL) : 0;
}

/* Takes the dirty log and begins a new one (Xen's OP_CLEAN). */
static uint64_t take_dirty(struct job *j)
{
    uint64_t n = 0;

    for (size_t i = 0; i < j->words; i++) {
        j->bitmap[i] = 0;
        if (!atomic_load_explicit(&j->d->dirty[i], memory_order_relaxed))
            continue;
        j->bitmap[i] = atomic_exchange(&j->d->dirty[i], 0);
        n += (uint64_t)__builtin_popcountll(j->bitmap[i]);
    }
    return n;
}

/*
 * A guest of many gigabytes of which little was ever touched is a sparse file.
 * Looking at the untouched pages would make them real, all of them; so they are
 * sent from elsewhere. What the guest touches after this has its dirty bit.
 */
static void find_holes(struct job *j)
{
    char path[PATH_MAX];
    off_t hole = 0, data, at, end = (off_t)j->d->mem_size;
    int fd;

    sx_path(path, j->d->host, j->d->domid, "memory");
    fd = open(path, O_RDONLY | O_CLOEXEC);
    j->holes = calloc(j->words, 8);
    j->zeros = mmap(NULL, BATCH_PAGES * SX_PAGE, PROT_READ,
                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (fd < 0 || !j->holes || j->zeros == MAP_FAILED) {
        free(j->holes); /* then they are made real */
        j->holes = NULL;
    }
    while (j->holes && hole < end) {
        hole = lseek(fd, hole, SEEK_HOLE);
        if (hole < 0)
            break;
        data = lseek(fd, hole, SEEK_DATA);
        if (data < 0)
            data = end;
        for (at = (hole + SX_PAGE - 1) / SX_PAGE; at < data / SX_PAGE; at++)
            j->holes[at / 64] |= 1ull << (at % 64);
        hole = data;
    }
    if (fd >= 0)
        close(fd);
}

static void forget_holes(struct job *j)
{
    free(j->holes);
    if (j->zeros && j->zeros != MAP_FAILED)
        munmap(j->zeros, BATCH_PAGES * SX_PAGE);
    j->holes = NULL;
    j->zeros = NULL;
}

static uint8_t *page_at(struct job *j, uint64_t pfn, uint32_t place)
{
    if (j->holes && j->holes[pfn / 64] >> (pfn % 64) & 1)
        return j->zeros + place * SX_PAGE;
    return j->d->mem + pfn * SX_PAGE;
}

/* What has no room waits no longer: in the pause. */
static int write_through(struct job *j, struct iovec *iov, int count)
{
    int rc;

    j->w.hold = NULL;
    rc = sx_writer_write(&j->w, j->held.data, j->held.used);
    if (!rc)
        rc = sx_writer_writev(&j->w, iov, count);
    j->held.used = 0;
    j->w.hold = &j->held;
    return rc;
}

static int flush(struct job *j)
{
    struct { struct record r; uint32_t count, res; } head = { 0 };
    static _Thread_local struct iovec iov[BATCH_PAGES + 2];
    static _Thread_local uint64_t wire[BATCH_PAGES];
    uint32_t pages = 0;
    int n = 2;

    if (!j->batch)
        return 0;
    for (uint32_t i = 0; i < j->batch; i++) {
        uint32_t type = sx_page_type(j->d, j->pfns[i]);
        uint8_t *page = page_at(j, j->pfns[i], i);
        struct iovec *last = &iov[n - 1];

        wire[i] = (uint64_t)type << PFN_TYPE_SHIFT | j->pfns[i];
        if (!sx_page_has_data(type))
            continue;
        pages++;
        if (n > 2 && (uint8_t *)last->iov_base + last->iov_len == page)
            last->iov_len += SX_PAGE; /* neighbours go out as one piece */
        else
            iov[n++] = (struct iovec){ page, SX_PAGE };
    }
    head.r.type = REC_PAGE_DATA;
    head.r.length = 8 + 8 * j->batch + SX_PAGE * pages;
    head.count = j->batch;
    iov[0] = (struct iovec){ &head, sizeof(head) };
    iov[1] = (struct iovec){ wire, 8 * j->batch };
    j->batch = 0;
    if (j->w.hold && j->held.used + head.r.length > j->s->own_bytes)
        return write_through(j, iov, n);
    return sx_writer_writev(&j->w, iov, n);
}

static int send_pages(struct job *j)
{
    int rc;

    for (size_t i = 0; i < j->words; i++) {
        uint64_t bits = j->bitmap[i];

        while (bits) {
            uint64_t pfn = i * 64 + (uint64_t)__builtin_ctzll(bits);

            bits &= bits - 1;
            if (pfn >= j->d->st->nr_pages)
                break;
            j->pfns[j->batch++] = pfn;
            if (j->batch == BATCH_PAGES) {
                rc = flush(j);
                if (rc)
                    return rc;
            }
        }
    }
    return flush(j);
}

static int send_live(struct job *j)
{
    uint64_t dirty = j->d->st->nr_pages;
    int rc;

    atomic_store(&j->d->st->logdirty, 1);
    take_dirty(j);
    find_holes(j);
    memset(j->bitmap, 0xff, j->words * 8);
    for (int round = 0;; round++) {
        rc = fault(j, "save.live", NULL);
        if (!rc && dirty)
            rc = send_pages(j);
        forget_holes(j);
        if (rc || round >= ROUNDS_MAX || dirty < DIRTY_TARGET)
            return rc;
        if (round + 1 >= ROUNDS_MAX)
            return 0;
        dirty = take_dirty(j);
    }
}

/* Waits for the guest to obey, as libxl waits for the event channel. */
static int await_suspended(struct job *j)
{
    struct sx_state *st = j->d->st;
    uint64_t give_up = sx_now_ns() +
        (uint64_t)j->s->suspend_timeout_ms * 1000000ull;

    for (;;) {
        uint32_t seen = atomic_load(&st->word);

        if (atomic_load(&j->s->helper.stopping))
            return -ECANCELED;
        if (atomic_load(&st->shutdown) || !sx_domain_exists(j->d))
            return 0; /* the libxl side finds out how */
        if (sx_now_ns() > give_up)
            return ERROR_GUEST_TIMEDOUT;
        sx_wait_word(st, seen, 10);
    }
}

static int suspend(struct job *j)
{
    struct sx_helper *h = &j->s->helper;
    int rc = fault(j, "save.suspend", NULL);

    if (rc)
        return rc;
    if (sx_helper_ask(h, SX_ASK_SUSPEND, 0) <= 0)
        return ERROR_FAIL;
    rc = await_suspended(j);
    if (rc == -ECANCELED)
        return rc;
    if (sx_helper_ask(h, SX_ASK_SUSPENDED, rc) <= 0)
        return ERROR_FAIL;
    return 0;
}

/*
 * The bug that tests must be able to catch: of the dirty pages one is not
 * sent. Never page 0 or a table page, which the next epoch sends anyway.
 */
static void drop_one(struct job *j)
{
    struct sx_fault f;
    uint64_t first = 1 + (j->d->st->nr_pages + 1023) / 1024;

    sx_fault_peek(j->d->host, "save.page", j->s->name, j->s->epoch, &f);
    if (f.drop && j->s->epoch % f.drop == f.drop - 1)
        j->drop_due = true;
    for (size_t i = j->words; j->drop_due && i-- > 0;) {
        uint64_t pfn;

        if (!j->bitmap[i])
            continue;
        pfn = i * 64 + 63 - (uint64_t)__builtin_clzll(j->bitmap[i]);
        if (pfn < first)
            return; /* an idle epoch: the next one, then */
        j->bitmap[i] &= ~(1ull << (pfn % 64));
        j->drop_due = false;
    }
}

/* As with native/pause in front of libxc: behind the seed, and not for PV guests. */
static bool pages_last(const struct job *j)
{
    return j->s->own && j->s->epoch > 0 && j->d->st->type != SX_PV;
}

static int write_tsc(struct job *j)
{
    return sx_writer_write(&j->w, j->tsc.data, j->tsc.used);
}

/*
 * A page could not be mapped: the checkpoint is libxc's again, from its pages
 * on, and so are those behind it. What was copied is dropped.
 */
static int give_back(struct job *j)
{
    j->s->own = false;
    j->w.hold = NULL;
    j->held.used = 0;
    if (sx_helper_ask(&j->s->helper, SX_ASK_SAY, 0) <= 0)
        return ERROR_FAIL;
    return send_pages(j);
}

static int send_suspended(struct job *j)
{
    struct sx_buffer records = { 0 };
    int rc;

    rc = suspend(j);
    if (rc)
        return rc;
    j->tsc.used = 0;
    sx_records_tsc(&j->tsc, j->d->st);
    if (pages_last(j)) {
        rc = write_tsc(j);
        if (rc)
            return rc;
        j->held.used = 0;
        j->w.hold = &j->held;
    }
    take_dirty(j);
    drop_one(j);
    rc = fault(j, "save.pages", NULL);
    if (!rc)
        rc = send_pages(j);
    if (!rc && j->w.hold && fault(j, "save.map", NULL))
        rc = give_back(j);
    if (!rc)
        rc = fault(j, "save.state", NULL);
    if (!rc && !j->w.hold)
        rc = write_tsc(j);
    if (!rc) {
        sx_records_state(&records, j->d->st);
        rc = sx_writer_write(&j->w, records.data, records.used);
    }
    sx_buffer_free(&records);
    return rc;
}

/* The guest runs again. */
static int send_held(struct job *j)
{
    int rc;

    j->w.hold = NULL;
    rc = write_tsc(j);
    if (!rc)
        rc = fault(j, "save.held", NULL);
    return rc ? rc : sx_writer_write(&j->w, j->held.data, j->held.used);
}

static int one_epoch(struct job *j)
{
    struct sx_helper *h = &j->s->helper;
    int rc = 0;

    j->w.written = 0;
    fault(j, "save.stream", &j->w.fault);
    if (j->s->epoch == 0)
        rc = send_live(j);
    if (!rc)
        rc = send_suspended(j);
    if (!rc)
        rc = fault(j, "save.postcopy", NULL);
    if (rc)
        return rc;
    if (j->s->own && !j->s->epoch && sx_helper_ask(h, SX_ASK_SAY, 0) <= 0)
        return ERROR_FAIL;
    if (sx_helper_ask(h, SX_ASK_POSTCOPY, 0) <= 0)
        return ERROR_FAIL;
    if (j->w.hold)
        rc = send_held(j);
    if (!rc)
        rc = fault(j, "save.checkpoint", NULL);
    if (rc)
        return rc;
    /* Answered when the interval is over: the next epoch may begin. */
    if (sx_helper_ask(h, SX_ASK_CHECKPOINT, 0) <= 0)
        return ERROR_FAIL;
    return 0;
}

static int save(struct job *j)
{
    struct sx_buffer start = { 0 };
    int rc;

    rc = fault(j, "save.start", NULL);
    if (rc)
        return rc;
    rc = sx_writer_open(&j->w, &j->s->helper, j->s->fd);
    if (rc)
        return rc;
    sx_records_start(&start, j->d->st);
    rc = sx_writer_write(&j->w, start.data, start.used);
    sx_buffer_free(&start);
    for (; !rc; j->s->epoch++)
        rc = one_epoch(j);
    return rc;
}

void *sx_save_thread(void *arg)
{
    struct sx_save *s = arg;
    struct job *j = calloc(1, sizeof(*j));
    int rc = ERROR_NOMEM;

    if (j) {
        j->s = s;
        j->d = &s->d;
        j->w.own_fd = -1;
        j->words = (s->d.st->nr_pages + 63) / 64;
        j->bitmap = calloc(j->words, 8);
        if (j->bitmap)
            rc = save(j);
        atomic_store(&s->d.st->logdirty, 0);
        sx_writer_close(&j->w);
        free(j->bitmap);
        sx_buffer_free(&j->tsc);
        sx_buffer_free(&j->held);
        free(j);
    }
    sx_helper_done(&s->helper, rc);
    return NULL;
}
