/*
 * How long the guest stood still, measured from inside.
 *
 * CLOCK_MONOTONIC stands still while a Xen guest is suspended, so it cannot see a checkpoint; the
 * time-stamp counter runs on. A gap between two rounds of the main loop that is longer than the
 * threshold counts as a pause. Activation on the other host may set the counter back: such a jump
 * is counted apart and never taken for a pause.
 */
#include "labguest.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <x86intrin.h>

#define THRESHOLD_MS 25.0
#define WINDOW_NS 1000000 /* within this time all clocks are read, or once more */
#define READS_MAX 20
#define ACTIVATION_MS 300.0
#define DRIFT 0.25 /* between two clocks of one host that is busy, far above what is seen */
#define SAMPLES_MAX 8192

/* The counter and CLOCK_MONOTONIC, read as nearly at once as can be. */
struct moment {
    uint64_t tsc;
    double mono_ms;
};

/* Clocks against CLOCK_MONOTONIC at one moment. */
struct clocks {
    double mono_ms;
    int64_t slept_from, slept_to; /* what CLOCK_BOOTTIME is ahead by, ns: between these two */
    double tsc_ms;                /* what the time-stamp counter is */
};

static struct {
    uint64_t last;      /* counter at the previous round */
    struct moment start; /* of the calibration */
    double ticks_per_ms; /* 0 until calibrated */
    struct clocks clocks; /* at the last count of suspensions */
    bool clocks_known;
    uint32_t suspends;
    double since;        /* sum of all gaps since the reset: the observed time */
    double total, longest;
    uint32_t count, jumps;
    float samples[SAMPLES_MAX];
} p;

static double monotonic_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

void pauses_reset(void)
{
    p.since = p.total = p.longest = 0;
    p.count = p.jumps = 0;
    p.last = __rdtsc();
}

/* Of several readings the one that nothing came between, or the least. */
static struct moment now_precisely(void)
{
    struct moment best = { 0 };
    double window = -1;

    for (int i = 0; i < READS_MAX; i++) {
        double before = monotonic_ms();
        uint64_t tsc = __rdtsc();
        double took = monotonic_ms() - before;

        if (window >= 0 && took >= window)
            continue;
        window = took;
        best = (struct moment){ tsc, before + took / 2 };
    }
    return best;
}

void pauses_start(void)
{
    p.start = now_precisely();
    pauses_reset();
}

/* The counter's rate, from the first second of the guest's life, before anything suspends it. */
static void calibrate(void)
{
    struct moment now;

    if (monotonic_ms() - p.start.mono_ms < 500)
        return;
    now = now_precisely();
    p.ticks_per_ms = (double)(now.tsc - p.start.tsc) / (now.mono_ms - p.start.mono_ms);
    pauses_reset();
}

void pauses_tick(void)
{
    uint64_t now = __rdtsc();
    double gap;

    if (p.ticks_per_ms == 0) {
        calibrate();
        return;
    }
    if (now < p.last) {
        p.jumps++;
        p.last = now;
        return;
    }
    gap = (double)(now - p.last) / p.ticks_per_ms;
    p.last = now;
    p.since += gap;
    if (gap < THRESHOLD_MS)
        return;
    p.samples[p.count++ % SAMPLES_MAX] = (float)gap;
    p.total += gap;
    if (gap > p.longest)
        p.longest = gap;
}

static int by_size(const void *x, const void *y)
{
    float a = *(const float *)x, b = *(const float *)y;

    return (a > b) - (a < b);
}

int pauses_describe(char *out, size_t size)
{
    static float sorted[SAMPLES_MAX];
    uint32_t n = p.count < SAMPLES_MAX ? p.count : SAMPLES_MAX;

    for (uint32_t i = 0; i < n; i++)
        sorted[i] = p.samples[i];
    qsort(sorted, n, sizeof(*sorted), by_size);
    return snprintf(out, size,
                    "{\"count\":%u,\"thresholdMs\":%.0f,\"meanMs\":%.1f,\"p50Ms\":%.1f,"
                    "\"p90Ms\":%.1f,\"maxMs\":%.1f,\"totalMs\":%.1f,\"observedMs\":%.1f,"
                    "\"clockJumps\":%u,\"ticksPerMs\":%.0f}",
                    p.count, THRESHOLD_MS, p.count ? p.total / p.count : 0.0,
                    n ? (double)sorted[n / 2] : 0.0, n ? (double)sorted[n * 9 / 10] : 0.0,
                    p.longest, p.total, p.since, p.jumps, p.ticks_per_ms);
}

static int64_t clock_ns(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* False when something came between every time: then there was no one moment. */
static bool read_clocks(struct clocks *out)
{
    for (int i = 0; i < READS_MAX; i++) {
        int64_t before = clock_ns(CLOCK_MONOTONIC), boot = clock_ns(CLOCK_BOOTTIME), after;

        out->mono_ms = (double)before / 1e6;
        out->tsc_ms = (double)__rdtsc() / p.ticks_per_ms - out->mono_ms;
        after = clock_ns(CLOCK_MONOTONIC);
        out->slept_from = boot - after;
        out->slept_to = boot - before;
        if (after - before < WINDOW_NS)
            return true;
    }
    return false;
}

/*
 * On resume the kernel adds the time of the suspension to CLOCK_BOOTTIME, while CLOCK_MONOTONIC
 * stood still (timekeeping_resume() in kernel/time/timekeeping.c): when what the one is ahead of
 * the other certainly grew, there was a suspension, and by nothing else it ever does. Only a host
 * whose time of day is behind the other's adds nothing when it activates its copy; there the
 * time-stamp counter, which is another one, gives it away: it jumps while CLOCK_MONOTONIC stands.
 * What the two differ by after a long time without a look is drift, and no activation.
 */
uint32_t pauses_suspends(void)
{
    struct clocks now;
    double moved, allowed;

    if (p.ticks_per_ms <= 0 || !read_clocks(&now))
        return p.suspends;
    moved = now.tsc_ms - p.clocks.tsc_ms;
    allowed = ACTIVATION_MS + DRIFT * (now.mono_ms - p.clocks.mono_ms);
    if (p.clocks_known &&
        (now.slept_from > p.clocks.slept_to || moved > allowed || moved < -allowed))
        p.suspends++;
    p.clocks = now;
    p.clocks_known = true;
    return p.suspends;
}
