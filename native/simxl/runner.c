/*
 * The process of a running domain: one virtual CPU with one program on it,
 * which rewrites pages at a set rate, counts, and speaks on the LAN. Obeys
 * the control page between two page writes and at no other moment.
 */
#define _GNU_SOURCE
#include "guest.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

struct runner {
    struct sx_domain d;
    int lan, state_fd;
    bool lan_is_file;
    struct sockaddr_in lan_to;
    uint64_t tick_at, beacon_at, write_at; /* when the next of them is due */
    uint64_t ran_since;
    uint64_t suspended_at;  /* 0: not suspended */
    uint64_t obey_at;       /* 0: it was not asked to suspend */
    bool burst_done;        /* since it was resumed */
};

static void open_lan(struct runner *r)
{
    const char *env = getenv("SIMXL_LAN");
    char path[PATH_MAX + 8], *text = NULL, *end;
    long port;

    r->lan = -1;
    snprintf(path, sizeof(path), "%s/lan", r->d.host);
    if (!env || !*env)
        env = text = access(path, F_OK) ? NULL : sx_read_file(path);
    if (!env || !*env)
        goto out;
    if (text && strchr(text, '\n'))
        *strchr(text, '\n') = 0;
    port = strtol(env, &end, 10);
    if (end != env && !*end) {
        r->lan = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        r->lan_to.sin_family = AF_INET;
        r->lan_to.sin_port = htons((uint16_t)port);
        r->lan_to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    } else {
        r->lan = open(env, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
        r->lan_is_file = true;
    }

out:
    free(text);
}

static void hex(char *out, const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sprintf(out + 2 * i, "%02x", bytes[i]);
}

/* The number is taken before it is spoken: a copy of this memory continues
 * with the next one, so a number that is spoken twice has two speakers. */
static void speak(struct runner *r)
{
    struct sx_guest *g = sx_guest(&r->d);
    char line[PATH_MAX + 512], boot[33], *slash;
    int n;

    g->beacons++;
    sx_dirty(&r->d, 0);
    if (r->lan < 0)
        return;
    hex(boot, g->boot_id, 16);
    slash = strrchr(r->d.host, '/');
    n = snprintf(line, sizeof(line),
                 "{\"guest\":\"%s\",\"boot\":\"%s\",\"seq\":%lu,"
                 "\"ticks\":%lu,\"writes\":%lu,\"host\":\"%s\","
                 "\"domid\":%u,\"ns\":%lu}\n",
                 g->tag, boot, (unsigned long)g->beacons,
                 (unsigned long)g->ticks, (unsigned long)g->writes,
                 slash ? slash + 1 : r->d.host, r->d.domid,
                 (unsigned long)sx_now_ns());
    if (r->lan_is_file) {
        if (write(r->lan, line, (size_t)n) < 0)
            r->lan = -1;
    } else {
        sendto(r->lan, line, (size_t)n, MSG_DONTWAIT,
               (struct sockaddr *)&r->lan_to, sizeof(r->lan_to));
    }
}

/* A destroyed host's folder is gone, and so is the domain. */
static bool orphaned(struct runner *r)
{
    struct stat s;

    return fstat(r->state_fd, &s) || s.st_nlink == 0;
}

static void snapshot(struct runner *r, struct sx_vcpu *v)
{
    struct sx_guest *g = sx_guest(&r->d);

    v->magic = SX_VCPU_MAGIC;
    v->writes = g->writes;
    v->ticks = g->ticks;
    v->sum = g->sum;
}

static bool same_moment(const struct sx_vcpu *a, const struct sx_vcpu *b)
{
    return !memcmp(a, b, sizeof(*a));
}

/* A restored guest looks first whether it was put together from one moment. */
static void check_restored(struct runner *r)
{
    struct sx_state *st = r->d.st;
    struct sx_vcpu here;
    uint32_t torn = 0;

    if (!atomic_load(&st->restored))
        return;
    snapshot(r, &here);
    if (!same_moment(&here, &st->vcpu))
        torn |= 1;
    if (st->type == SX_PV && !same_moment(&here, &st->shared_info))
        torn |= 2;
    atomic_store(&st->torn, torn);
}

static void shut_down(struct runner *r, uint32_t reason)
{
    struct sx_state *st = r->d.st;

    snapshot(r, &st->vcpu);
    st->shared_info = st->vcpu;
    atomic_store(&st->shutdown_reason, reason);
    atomic_store(&st->shutdown, 1);
    if (reason == SX_SUSPEND) {
        atomic_fetch_add(&st->generation, 1);
        r->suspended_at = sx_now_ns();
    }
}

static bool must_stop(const struct sx_state *st)
{
    return atomic_load(&st->pause_count) || atomic_load(&st->shutdown);
}

/* The guest was suspended and runs again. */
static void note_resumed(struct runner *r, uint64_t now)
{
    struct sx_state *st = r->d.st;
    uint64_t n = atomic_load(&st->pauses);

    if (!r->suspended_at)
        return;
    st->pause_ns[n % SX_PAUSES_MAX] = now - r->suspended_at;
    atomic_store(&st->pauses, n + 1);
    r->suspended_at = 0;
    r->burst_done = false;
}

/* Stands still while paused or shut down. Sets the clocks anew afterwards:
 * a guest that slept has no page writes to catch up with. */
static void stand_still(struct runner *r)
{
    struct sx_state *st = r->d.st;
    uint64_t now = sx_now_ns();

    atomic_fetch_add(&st->active_ns, now - r->ran_since);
    for (;;) {
        uint32_t seen = atomic_load(&st->word);

        if (!must_stop(st)) {
            /* Claim activity first and look again: a pause that came in
             * between either sees us active or is seen by us. */
            atomic_store(&st->active, 1);
            if (!must_stop(st))
                break;
        }
        atomic_store(&st->active, 0);
        sx_changed(st);
        seen = atomic_load(&st->word);
        if (must_stop(st))
            sx_wait_word(st, seen, 1000);
        if (orphaned(r))
            exit(0);
    }
    now = sx_now_ns();
    note_resumed(r, now);
    r->ran_since = r->tick_at = r->beacon_at = r->write_at = now;
}

/* What the toolstack wants of the guest, looked at between two writes. */
static void obey(struct runner *r)
{
    struct sx_state *st = r->d.st;
    int64_t rate = atomic_exchange(&st->rate_order, -1);
    int64_t burst = atomic_exchange(&st->burst_order, -1);
    uint32_t order = atomic_exchange(&st->order, 0);

    if (burst >= 0) { /* from the next resume on */
        sx_guest(&r->d)->burst = (uint64_t)burst;
        sx_dirty(&r->d, 0);
    }
    if (rate >= 0) {
        sx_guest(&r->d)->rate = (uint64_t)rate;
        sx_dirty(&r->d, 0);
        r->write_at = sx_now_ns();
    }
    if (order)
        shut_down(r, order - 1);
    if (atomic_load(&st->suspend_request) && !atomic_load(&st->shutdown)) {
        /* Late, it runs on until then: it is at something else, or cannot freeze. */
        if (!r->obey_at)
            r->obey_at = sx_now_ns() +
                atomic_load(&st->suspend_stall_ms) * 1000000ull;
        if (sx_now_ns() >= r->obey_at) {
            r->obey_at = 0;
            atomic_store(&st->suspend_request, 0);
            shut_down(r, SX_SUSPEND);
        }
    }
    if (must_stop(st))
        stand_still(r);
}

/* Writes the pages that are due, at most about a millisecond's worth, and
 * returns when the next one is. */
static uint64_t work(struct runner *r, uint64_t now)
{
    struct sx_guest *g = sx_guest(&r->d);
    uint64_t gap, start = now, word;

    if (!g->rate)
        return UINT64_MAX;
    gap = 1000000000ull / g->rate;
    if (!gap)
        gap = 1;
    if (now > r->write_at + 50000000ull)
        r->write_at = now - 50000000ull; /* too slow for the rate: let go */
    word = atomic_load(&r->d.st->word);
    while (r->write_at <= now && now < start + 1000000ull) {
        sx_guest_write(&r->d, sx_guest_pick(g));
        r->write_at += gap;
        if (atomic_load(&r->d.st->word) != word)
            break; /* an order: obey before the next write */
        now = sx_now_ns();
    }
    return r->write_at;
}

static uint64_t tick(struct runner *r, uint64_t now)
{
    struct sx_guest *g = sx_guest(&r->d);
    uint64_t next;

    if (now >= r->tick_at) {
        g->ticks++;
        sx_dirty(&r->d, 0);
        r->tick_at = now + g->tick_ms * 1000000ull;
    }
    next = r->tick_at;
    if (g->beacon_ms) {
        if (now >= r->beacon_at) {
            speak(r);
            r->beacon_at = now + g->beacon_ms * 1000000ull;
        }
        next = SX_MIN(next, r->beacon_at);
    }
    return next;
}

static void loop(struct runner *r)
{
    struct sx_state *st = r->d.st;
    uint64_t looked = 0;

    for (;;) {
        uint32_t seen = atomic_load(&st->word);
        uint64_t now, next = UINT64_MAX;

        obey(r);
        now = sx_now_ns();
        if (sx_guest(&r->d)->magic == SX_GUEST_MAGIC) {
            if (!r->burst_done)
                sx_guest_burst(&r->d);
            r->burst_done = true;
            next = tick(r, now);
            next = SX_MIN(next, work(r, now));
        } /* else from a stream of Xen: nothing here can run that guest */
        now = sx_now_ns();
        if (now > looked + 500000000ull) {
            looked = now;
            if (orphaned(r))
                exit(0);
        }
        if (next > now + 20000)
            sx_wait_word(st, seen, (long)SX_MIN((next - now) / 1000000 + 1,
                                                500ul));
    }
}

int sx_run(const char *host, uint32_t domid)
{
    static struct runner r;
    char path[PATH_MAX];

    prctl(PR_SET_TIMERSLACK, 1000);
    if (sx_domain_map(host, domid, SX_MAP_MEMORY, &r.d))
        return 1;
    sx_path(path, host, domid, "state");
    r.state_fd = open(path, O_RDONLY | O_CLOEXEC);
    open_lan(&r);
    check_restored(&r);
    r.ran_since = sx_now_ns();
    atomic_store(&r.d.st->runner_start, sx_process_start(getpid()));
    atomic_store(&r.d.st->runner_pid, getpid());
    atomic_store(&r.d.st->phase, SX_LIVE);
    sx_changed(r.d.st);
    stand_still(&r);
    loop(&r);
    return 0;
}
